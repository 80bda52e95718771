//! What is written into the system log.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{LogHash, LogHead, LogKind, LogText};
use crate::{CardId, Fingerprint, GatewayId, GatewayState, Period, Timestamp};

/// An event for the system log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SystemEvent {
    /// The daemon has started.
    Started {
        /// The version of the software.
        version: LogText,
    },
    /// The daemon stops.
    Stopped {
        /// Why.
        reason: LogText,
    },
    /// What the gateway may do has changed, as when a card came or went.
    StandingChanged {
        /// The state from now on.
        state: GatewayState,
        /// The state's code.
        code: LogText,
        /// More about the cause.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<LogText>,
    },
    /// The gateway is bound to a card for good.
    BindingBurned {
        /// The card's GUID.
        card: CardId,
        /// The gateway's identity.
        gateway: GatewayId,
        /// When the binding was made.
        time: Timestamp,
    },
    /// The trust centre has installed a bundle.
    BundleInstalled {
        /// Its version.
        version: u64,
        /// Its digest.
        digest: Fingerprint,
        /// How many suppliers it unlocks.
        suppliers: u64,
        /// How many grants it has.
        grants: u64,
    },
    /// A connection from the WAN failed before anything was said.
    HandshakeRefused {
        /// Where it came from.
        peer: LogText,
        /// Why.
        reason: LogText,
    },
    /// A message was rejected.
    MessageRejected {
        /// The stable code of the rejection.
        code: LogText,
        /// Who sent it, if that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sender: Option<LogText>,
        /// Where it came from, if that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peer: Option<LogText>,
    },
    /// The card has signed the heads of the logs.
    HeadsSigned {
        /// The how-manieth signature it was.
        number: u64,
        /// The fingerprint of the certificate of the key that signed.
        certificate: Fingerprint,
    },
    /// Old entries of a log are deleted, since it has reached its size or they their age.
    LogPruned {
        /// Which log.
        log: LogKind,
        /// What remains is chained to this.
        base: LogHead,
    },
    /// The end of a log was cut back to its last whole entry, as after a power cut.
    LogRepaired {
        /// Which log.
        log: LogKind,
        /// The last entry that stayed; 0 if none did.
        behind: u64,
        /// How many bytes were cut off.
        bytes: u64,
        /// The SHA-256 digest of what was cut off.
        digest: LogHash,
    },
    /// A log is not what was written into it.
    LogDamaged {
        /// Which log; none if the signed heads themselves are damaged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<LogKind>,
        /// The stable code of the finding.
        code: LogText,
        /// The first entry that is bad.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sequence: Option<u64>,
    },
    /// A log takes no more entries.
    LogFull {
        /// Which log.
        log: LogKind,
    },
    /// The configuration was read at the start.
    ConfigurationRead {
        /// The SHA-256 digest of the file.
        digest: Fingerprint,
    },
    /// Something is wrong with the storage, or something in it is lost.
    StorageFinding {
        /// The stable code of the finding.
        code: LogText,
        /// What is wrong.
        text: LogText,
    },
    /// A part of the bindings was put right at the start.
    BindingsRepaired {
        /// What was put right.
        what: LogText,
    },
    /// Days that are past were sealed.
    HistorySealed {
        /// How many values and gaps.
        points: u64,
        /// In how many chunks they are.
        chunks: u64,
    },
    /// What is older than it is to be kept was deleted.
    HistoryForgotten {
        /// How many rows: of rounds and of chunks.
        rows: u64,
    },
    /// An energy application failed; what it should have made of the window is missing for now.
    ApplicationFailed {
        /// Its id and version.
        application: LogText,
        /// The assignment.
        assignment: LogText,
        /// The digest of its package.
        digest: Fingerprint,
        /// The window.
        window: Period,
        /// The stable code of the reason.
        code: LogText,
        /// The reason.
        reason: LogText,
    },
    /// An energy application makes nothing any more, since its author's certificate is revoked.
    ApplicationStopped {
        /// Its id and version.
        application: LogText,
        /// The digest of its package.
        digest: Fingerprint,
        /// Since when the certificate is revoked.
        since: Timestamp,
        /// Why.
        reason: LogText,
    },
    /// Events of one kind came so often that some were only counted.
    EventsCounted {
        /// The code of the events.
        code: LogText,
        /// How many were only counted.
        count: u64,
    },
    /// Somebody has logged in to the local web.
    LoggedIn {
        /// The account.
        account: LogText,
        /// Where it came from.
        peer: LogText,
    },
    /// Somebody could not log in to the local web.
    LoginFailed {
        /// The account, if there is one of that name: what is no name may be a password in the wrong field.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<LogText>,
        /// Where it came from.
        peer: LogText,
    },
    /// The password of an account of the local web was changed.
    PasswordChanged {
        /// The account.
        account: LogText,
        /// Whether it is a first password, issued on the device's command line.
        issued: bool,
    },
    /// A token for reading through the local web was made.
    TokenMade {
        /// The account.
        account: LogText,
        /// What the account calls it.
        name: LogText,
    },
    /// A token for reading through the local web was revoked.
    TokenRevoked {
        /// The account.
        account: LogText,
        /// What the account called it.
        name: LogText,
    },
    /// All passwords and tokens of the local web were deleted, on the device's command line.
    AccessReset,
    /// Somebody has logged out of the local web.
    LoggedOut {
        /// The account.
        account: LogText,
        /// Where it came from.
        peer: LogText,
    },
    /// A login to the local web was refused unseen, because it was tried too often.
    LoginRefused {
        /// The account, if there is one of that name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<LogText>,
        /// Where it came from.
        peer: LogText,
    },
    /// The local web has a new certificate, by the device's command line.
    CertificateRenewed {
        /// The SHA-256 digest of the certificate.
        certificate: Fingerprint,
    },
    /// Somebody has had the gateway started again through the local web.
    RestartOrdered {
        /// The account.
        account: LogText,
    },
    /// Somebody has installed meters through the local web; they are read behind the next start.
    MetersInstalled {
        /// The account.
        account: LogText,
        /// The names of the meters.
        meters: LogText,
        /// The file that has them.
        file: LogText,
    },
    /// Somebody has removed meters that were installed through the local web; they are read until the next start.
    MetersRemoved {
        /// The account.
        account: LogText,
        /// The names of the meters.
        meters: LogText,
        /// The file that had them.
        file: LogText,
    },
}

impl SystemEvent {
    /// Returns the stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Started { .. } => "SMGW-L-1001",
            Self::Stopped { .. } => "SMGW-L-1002",
            Self::StandingChanged { .. } => "SMGW-L-1003",
            Self::BindingBurned { .. } => "SMGW-L-1004",
            Self::BundleInstalled { .. } => "SMGW-L-1005",
            Self::HandshakeRefused { .. } => "SMGW-L-1006",
            Self::MessageRejected { .. } => "SMGW-L-1007",
            Self::HeadsSigned { .. } => "SMGW-L-1008",
            Self::LogPruned { .. } => "SMGW-L-1009",
            Self::LogRepaired { .. } => "SMGW-L-1010",
            Self::LogDamaged { .. } => "SMGW-L-1011",
            Self::LogFull { .. } => "SMGW-L-1012",
            Self::EventsCounted { .. } => "SMGW-L-1013",
            Self::ConfigurationRead { .. } => "SMGW-L-1014",
            Self::StorageFinding { .. } => "SMGW-L-1015",
            Self::BindingsRepaired { .. } => "SMGW-L-1016",
            Self::HistorySealed { .. } => "SMGW-L-1017",
            Self::HistoryForgotten { .. } => "SMGW-L-1018",
            Self::ApplicationFailed { .. } => "SMGW-L-1019",
            Self::ApplicationStopped { .. } => "SMGW-L-1020",
            Self::LoggedIn { .. } => "SMGW-L-1031",
            Self::LoginFailed { .. } => "SMGW-L-1032",
            Self::PasswordChanged { .. } => "SMGW-L-1033",
            Self::TokenMade { .. } => "SMGW-L-1034",
            Self::TokenRevoked { .. } => "SMGW-L-1035",
            Self::AccessReset => "SMGW-L-1036",
            Self::LoggedOut { .. } => "SMGW-L-1037",
            Self::LoginRefused { .. } => "SMGW-L-1038",
            Self::CertificateRenewed { .. } => "SMGW-L-1039",
            Self::RestartOrdered { .. } => "SMGW-L-1040",
            Self::MetersInstalled { .. } => "SMGW-L-1041",
            Self::MetersRemoved { .. } => "SMGW-L-1042",
        }
    }
}

impl SystemEvent {
    /// Writes which application does not run as it should, and why.
    fn tell_run(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApplicationFailed {
                application,
                assignment,
                window,
                code,
                reason,
                ..
            } => {
                let (from, to) = (window.from(), window.to());
                write!(
                    formatter,
                    "application {application} failed on {assignment} from {from} to {to}: {reason} ({code})"
                )
            }
            Self::ApplicationStopped {
                application,
                since,
                reason,
                ..
            } => write!(
                formatter,
                "application {application} is stopped: its author's certificate is revoked since {since} ({reason})"
            ),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for SystemEvent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { version } => write!(formatter, "started, version {version}"),
            Self::Stopped { reason } => write!(formatter, "stopped: {reason}"),
            Self::StandingChanged { state, code, detail } => {
                standing_changed(formatter, *state, (code, detail.as_ref()))
            }
            Self::BindingBurned { card, gateway, time } => {
                write!(formatter, "gateway {gateway} was bound to card {card} at {time}")
            }
            Self::BundleInstalled {
                version,
                suppliers,
                grants,
                ..
            } => write!(
                formatter,
                "bundle {version} was installed: {suppliers} suppliers, {grants} grants"
            ),
            Self::HandshakeRefused { peer, reason } => {
                write!(formatter, "a connection from {peer} was refused: {reason}")
            }
            Self::MessageRejected { code, sender, peer } => match sender.as_ref().or(peer.as_ref()) {
                Some(from) => write!(formatter, "a message from {from} was rejected: {code}"),
                None => write!(formatter, "a message was rejected: {code}"),
            },
            Self::HeadsSigned { number, .. } => {
                write!(
                    formatter,
                    "the card signed the heads of the logs, number {number}"
                )
            }
            Self::LogPruned { log, base } => {
                write!(
                    formatter,
                    "the {log} log was shortened, entries up to {} are gone",
                    base.count
                )
            }
            Self::LogRepaired { .. } => self.tell_repair(formatter),
            Self::LogDamaged { log, code, sequence } => log_damaged(formatter, *log, code, *sequence),
            Self::LogFull { log } => write!(formatter, "the {log} log is full"),
            Self::ConfigurationRead { digest } => {
                write!(formatter, "the configuration with the digest {digest} was read")
            }
            Self::StorageFinding { code, text } => write!(formatter, "{code}: {text}"),
            Self::BindingsRepaired { what } => write!(formatter, "the bindings were repaired: {what}"),
            Self::HistorySealed { points, .. } => {
                write!(formatter, "{points} past values and gaps were sealed")
            }
            Self::HistoryForgotten { rows } => write!(formatter, "{rows} rows of old history were deleted"),
            Self::ApplicationFailed { .. } | Self::ApplicationStopped { .. } => self.tell_run(formatter),
            Self::EventsCounted { code, count } => {
                write!(formatter, "{count} more events {code} were only counted")
            }
            Self::LoggedIn { .. }
            | Self::LoginFailed { .. }
            | Self::PasswordChanged { .. }
            | Self::TokenMade { .. }
            | Self::TokenRevoked { .. }
            | Self::AccessReset
            | Self::LoggedOut { .. }
            | Self::LoginRefused { .. }
            | Self::CertificateRenewed { .. }
            | Self::RestartOrdered { .. }
            | Self::MetersInstalled { .. }
            | Self::MetersRemoved { .. } => self.tell_access(formatter),
        }
    }
}

fn standing_changed(
    formatter: &mut fmt::Formatter<'_>,
    state: GatewayState,
    (code, detail): (&LogText, Option<&LogText>),
) -> fmt::Result {
    write!(formatter, "the state is {state} ({code})")?;
    match detail {
        Some(detail) => write!(formatter, ": {detail}"),
        None => Ok(()),
    }
}

fn log_damaged(
    formatter: &mut fmt::Formatter<'_>,
    log: Option<LogKind>,
    code: &LogText,
    sequence: Option<u64>,
) -> fmt::Result {
    let log = log.map_or("signature over the", LogKind::name);
    write!(formatter, "the {log} log is damaged: {code}")?;
    match sequence {
        Some(sequence) => write!(formatter, " at entry {sequence}"),
        None => Ok(()),
    }
}

impl SystemEvent {
    fn tell_repair(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LogRepaired {
                log, behind, bytes, ..
            } => write!(
                formatter,
                "the end of the {log} log was repaired: {bytes} bytes behind entry {behind} were cut off"
            ),
            _ => Ok(()),
        }
    }
}

impl SystemEvent {
    /// Says what happened at the local web.
    fn tell_access(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoggedIn { account, peer } => {
                write!(formatter, "{account} logged in to the local web from {peer}")
            }
            Self::LoginFailed {
                account: Some(account),
                peer,
            } => write!(
                formatter,
                "a login to the local web as {account} from {peer} failed"
            ),
            Self::LoginFailed { account: None, peer } => {
                write!(
                    formatter,
                    "a login to the local web from {peer} failed: no such account"
                )
            }
            Self::PasswordChanged {
                account,
                issued: true,
            } => {
                write!(
                    formatter,
                    "{account} was issued a first password for the local web"
                )
            }
            Self::PasswordChanged {
                account,
                issued: false,
            } => {
                write!(formatter, "{account} has changed the password for the local web")
            }
            Self::TokenMade { account, name } => {
                write!(formatter, "{account} has made the token {name} for the local web")
            }
            Self::TokenRevoked { account, name } => {
                write!(
                    formatter,
                    "{account} has revoked the token {name} for the local web"
                )
            }
            Self::LoggedOut { account, peer } => {
                write!(formatter, "{account} logged out of the local web from {peer}")
            }
            Self::LoginRefused { account, peer } => {
                let account = account.as_ref().map_or("an unknown account", LogText::as_str);
                write!(
                    formatter,
                    "a login to the local web as {account} from {peer} was refused: tried too often"
                )
            }
            Self::CertificateRenewed { certificate } => {
                write!(formatter, "the local web has the new certificate {certificate}")
            }
            Self::RestartOrdered { account } => {
                write!(formatter, "{account} has had the gateway started again")
            }
            Self::MetersInstalled {
                account,
                meters,
                file,
            } => write!(formatter, "{account} has installed {meters} ({file})"),
            Self::MetersRemoved {
                account,
                meters,
                file,
            } => write!(formatter, "{account} has removed {meters} ({file})"),
            _ => formatter.write_str("the passwords and tokens of the local web were deleted"),
        }
    }
}
