//! What the program prints as its result: a sentence for people, or one line of JSON.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use messages::certificate::{PartyName, RevocationReason, VerifiedParty};
use model::{CardId, Fingerprint, GatewayState, Timestamp};
use serde::Serialize;

use crate::books::{Record, Witness};
use crate::install::Installed;
use crate::personalize::Took;
use crate::revoke::SignedList;
use crate::tsm::difference::Difference;

/// The result of an act.
#[derive(Debug, Serialize)]
#[serde(tag = "schema")]
pub(crate) enum Output {
    /// Of `init`.
    #[serde(rename = "trust-center.init/1")]
    Init {
        /// The trust centre's name.
        name: PartyName,
        /// The root certificate.
        fingerprint: Fingerprint,
    },
    /// Of `certify`.
    #[serde(rename = "trust-center.certify/1")]
    Certify {
        /// The supplier's name.
        name: PartyName,
        /// The SIG certificate, by which grants name the supplier.
        fingerprint: Fingerprint,
    },
    /// Of `personalize`.
    #[serde(rename = "trust-center.personalize/1")]
    Personalize {
        /// The card's GUID.
        guid: CardId,
        /// The SIG certificate.
        sig: Fingerprint,
        /// The ENC certificate.
        enc: Fingerprint,
        /// The TLS certificate.
        tls: Fingerprint,
        /// How long the card took, in microseconds.
        card_us: u64,
        /// How long the trust centre took beside it, in microseconds.
        center_us: u64,
    },
    /// Of `personalize --batch`.
    #[serde(rename = "trust-center.batch/1")]
    Batch {
        /// The batch's name.
        batch: String,
        /// The GUIDs of its cards.
        guids: Vec<CardId>,
        /// How many cards of this run were not completed.
        failed: u32,
    },
    /// Of `certify-broker`.
    #[serde(rename = "trust-center.certify-broker/1")]
    CertifyBroker {
        /// The certificate.
        fingerprint: Fingerprint,
    },
    /// Of `renew`.
    #[serde(rename = "trust-center.renew/1")]
    Renew {
        /// Whose certificates were renewed.
        name: PartyName,
        /// The new SIG certificate.
        fingerprint: Fingerprint,
    },
    /// Of `revoke`.
    #[serde(rename = "trust-center.revoke/1")]
    Revoke {
        /// How many certificates were revoked.
        revoked: usize,
        /// Why.
        reason: RevocationReason,
    },
    /// Of `crl`.
    #[serde(rename = "trust-center.crl/1")]
    Crl {
        /// The lists.
        lists: Vec<List>,
    },
    /// One line of `records show`.
    #[serde(rename = "trust-center.record/1")]
    Record(Record),
    /// Of `records verify`.
    #[serde(rename = "trust-center.verify/1")]
    Verify {
        /// How many records there are.
        records: u64,
        /// The hash of the last one.
        head: Fingerprint,
    },
    /// Of `directory publish`.
    #[serde(rename = "trust-center.publish/1")]
    Publish {
        /// Entries that were made.
        added: u64,
        /// Entries that were brought up to date.
        changed: u64,
        /// Entries that were taken away.
        removed: u64,
        /// Entries that were left as they are.
        unchanged: u64,
    },
    /// Of `books move`.
    #[serde(rename = "trust-center.books-moved/1")]
    BooksMoved {
        /// How many records there are now; the last one says that the others were moved.
        records: u64,
        /// The hash of the last one.
        head: Fingerprint,
    },
    /// Of `directory serve`, once it listens.
    #[serde(rename = "trust-center.directory/1")]
    Directory {
        /// Where it listens.
        listen: SocketAddr,
    },
    /// Of `install`.
    #[serde(rename = "trust-center.install/1")]
    Install {
        /// The GUID of the gateway's card.
        guid: CardId,
        /// The bundle's version.
        version: u64,
        /// The state of the gateway.
        state: GatewayState,
    },
    /// Of `install --dry-run`.
    #[serde(rename = "trust-center.dry-run/1")]
    DryRun(Difference),
    /// Of `tsm serve`, once it listens.
    #[serde(rename = "trust-center.tsm/1")]
    Tsm {
        /// Where it listens.
        listen: SocketAddr,
    },
    /// Of `gateways register`.
    #[serde(rename = "trust-center.register/1")]
    Registered {
        /// How many gateways are registered.
        gateways: u64,
    },
    /// Of `unlock`.
    #[serde(rename = "trust-center.unlock/1")]
    Unlock {
        /// The card's GUID.
        guid: CardId,
    },
    /// Of `terminate`.
    #[serde(rename = "trust-center.terminate/1")]
    Terminate {
        /// The card's GUID.
        guid: CardId,
        /// Who says so.
        witness: Witness,
    },
}

/// A list of revoked certificates that was signed.
#[derive(Debug, Serialize)]
pub(crate) struct List {
    /// The file.
    path: PathBuf,
    /// The list's number.
    number: u64,
    /// How many certificates are on it.
    revoked: usize,
    /// When the next one is due.
    next: Timestamp,
}

impl List {
    fn sentence(&self) -> String {
        format!(
            "{}: list {} with {} certificates, the next is due at {}",
            self.path.display(),
            self.number,
            self.revoked,
            self.next
        )
    }
}

impl Output {
    pub(crate) fn lists(lists: Vec<SignedList>) -> Self {
        let list = |list: SignedList| List {
            path: list.path,
            number: list.number,
            revoked: list.revoked,
            next: list.next,
        };
        Self::Crl {
            lists: lists.into_iter().map(list).collect(),
        }
    }

    pub(crate) fn certified(supplier: &VerifiedParty) -> Self {
        Self::Certify {
            name: supplier.name.clone(),
            fingerprint: supplier.sig.certificate().fingerprint(),
        }
    }

    pub(crate) fn personalized(guid: CardId, card: &VerifiedParty, took: Took) -> Self {
        let microseconds = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self::Personalize {
            card_us: microseconds(took.card),
            center_us: microseconds(took.center),
            guid,
            sig: card.sig.certificate().fingerprint(),
            enc: card.enc.certificate().fingerprint(),
            tls: card.tls.certificate().fingerprint(),
        }
    }

    pub(crate) const fn installed(guid: CardId, installed: &Installed) -> Self {
        Self::Install {
            guid,
            version: installed.version,
            state: installed.state,
        }
    }

    /// Prints the result on the standard output.
    pub(crate) fn print(&self, json: bool) -> io::Result<()> {
        print(json, self, || self.sentence())
    }

    fn sentence(&self) -> String {
        match self {
            Self::Init { name, fingerprint } => {
                format!(
                    "The trust centre {name} is founded. Its root certificate has the SHA-256 {fingerprint}."
                )
            }
            Self::Certify { name, fingerprint } => {
                format!(
                    "The supplier {name} is certified. Its SIG certificate has the SHA-256 {fingerprint}."
                )
            }
            Self::Personalize { guid, sig, .. } => {
                format!(
                    "The card is personalised. Its GUID is {guid}, its SIG certificate has the SHA-256 {sig}."
                )
            }
            Self::Batch { batch, guids, failed } => format!(
                "Batch {batch} is complete: {} cards. {failed} cards of this run were not completed.",
                guids.len()
            ),
            Self::CertifyBroker { fingerprint } => {
                format!("The broker is certified. Its certificate has the SHA-256 {fingerprint}.")
            }
            Self::Renew { name, fingerprint } => {
                format!(
                    "The certificates of {name} are renewed. The SIG certificate has the SHA-256 {fingerprint}."
                )
            }
            Self::Revoke { revoked, reason } => format!(
                "{revoked} certificates are revoked ({reason}). Sign new lists with `trust-center crl`; `trust-center tsm \
                 serve` has gateways leave their owner out before all else."
            ),
            Self::Crl { lists } => lists.iter().map(List::sentence).collect::<Vec<_>>().join("\n"),
            Self::Record(record) => format!("{:>6} {} {}", record.number, record.time, record.act),
            Self::Verify { records, head } => {
                format!("The books are sound: {records} records, the last one with the hash {head}.")
            }
            Self::Publish {
                added,
                changed,
                removed,
                unchanged,
            } => format!(
                "The directory is published: {added} entries added, {changed} changed, {removed} removed, {unchanged} left \
                 as they are."
            ),
            Self::BooksMoved { records, head } => format!(
                "The books are on the server, verified: {records} records, the last one with the hash {head}. The old ones \
                 are kept as books.db.moved."
            ),
            Self::Directory { listen } => format!("The directory is served at http://{listen}/."),
            Self::Install { guid, version, state } => {
                format!("Bundle {version} is in force on the gateway {guid}, which is {state}.")
            }
            Self::DryRun(difference) => difference.to_string(),
            Self::Tsm { listen } => format!("The TSM is served at https://{listen}/."),
            Self::Registered { gateways } => format!("{gateways} gateways are registered."),
            Self::Unlock { guid } => {
                format!("The card {guid} has all its tries back; its gateway pairs with it by itself.")
            }
            Self::Terminate {
                guid,
                witness: Witness::Card,
            } => format!("The card {guid} has ended its life, as it says itself."),
            Self::Terminate {
                guid,
                witness: Witness::Gateway,
            } => format!("The card {guid} has ended its life, as its gateway reports."),
        }
    }
}

/// Prints something on the standard output: a line of JSON, or what people read.
pub(crate) fn print(json: bool, shown: &impl Serialize, sentence: impl FnOnce() -> String) -> io::Result<()> {
    let text = if json {
        serde_json::to_string(shown)?
    } else {
        sentence()
    };
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_their_schema() {
        let guid: CardId = "fd5a::1".parse().unwrap();
        let installed = Installed {
            version: 1,
            state: GatewayState::Operational,
        };
        assert_eq!(
            serde_json::to_string(&Output::installed(guid, &installed)).unwrap(),
            r#"{"schema":"trust-center.install/1","guid":"fd5a::1","version":1,"state":"operational"}"#
        );
        let fingerprint = Fingerprint::new([0xab; 32]);
        let certified = Output::Certify {
            name: "Supplier".parse().unwrap(),
            fingerprint,
        };
        assert_eq!(
            serde_json::to_string(&certified).unwrap(),
            format!(
                r#"{{"schema":"trust-center.certify/1","name":"Supplier","fingerprint":"{fingerprint}"}}"#
            )
        );
    }
}
