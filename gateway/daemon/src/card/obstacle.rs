//! What keeps the gateway from serving, and the state that follows from it.
//!
//! Each has a stable code, a cause (its text) and a remedy, the same on the command line, in the status and in the log.

mod words;

use std::error::Error;
use std::io;

use card::{CardError, LifeCycle, StatusWord};
use messages::certificate::CertificateError;
use model::{CardId, GatewayId, GatewayState, Timestamp};
use store::{BindingsError, BundleError, BurnError, Tamper, Termination};

use super::reader::ReaderError;
use super::removal::Sight;
use crate::random::RandomError;
use crate::report::Chain;

/// The reason why the card in the reader, or its absence, keeps the gateway from serving.
#[derive(Debug, thiserror::Error)]
pub(super) enum Obstacle {
    /// No card can be reached.
    #[error(transparent)]
    Reader(#[from] ReaderError),
    /// The card refuses or fails.
    #[error("the card cannot be examined")]
    Card(#[from] CardError<ReaderError>),
    /// The card has never been personalised, or has been wiped.
    #[error("the card in the reader is blank; the trust centre personalises cards")]
    Blank,
    /// The card has ended its life.
    #[error("the card in the reader has ended its life and will never work again")]
    Terminated,
    /// The bound card has ended its life, as its own session said.
    #[error("the card that this gateway is bound to has ended its life at {0}")]
    OwnTerminated(Timestamp),
    /// The card is another kind of card.
    #[error(
        "the card in the reader is no card for a gateway: it answers {status} to the selection of its application"
    )]
    OtherKind {
        /// What it answers.
        status: StatusWord,
    },
    /// The technician has not confirmed the binding yet.
    #[error("the card {guid} may be bound, and waits for the technician's confirmation")]
    AwaitsConfirmation {
        /// The GUID of the card.
        guid: CardId,
    },
    /// A binding has begun with another card, which may be bound to this gateway already.
    #[error("the binding has begun with the card {begun}, and the card in the reader is {found}")]
    BindingBegun {
        /// The GUID of the card that may be bound already.
        begun: CardId,
        /// The GUID of the card in the reader.
        found: CardId,
    },
    /// The card is bound to another gateway.
    #[error("the card in the reader is bound to gateway {gateway}, not to this one")]
    BoundElsewhere {
        /// The other gateway.
        gateway: GatewayId,
    },
    /// The card has another GUID than the bound one.
    #[error("the card in the reader is {found}, this gateway is bound to {bound}")]
    OtherCard {
        /// The GUID of the card.
        found: CardId,
        /// The GUID that was burned.
        bound: CardId,
    },
    /// The card has the bound GUID but other keys.
    #[error(
        "the card in the reader shows the bound GUID and does not have the bound card's keys: it is a copy"
    )]
    OtherKey,
    /// What looks like the bound card answers the pairing and does not know the secret.
    #[error(
        "the card in the reader shows what the bound card shows and does not know the pairing secret: it is a copy"
    )]
    SecretUnknown,
    /// The bound card says that it has never been bound.
    #[error("the bound card says that it is {found}: it was set back")]
    SetBack {
        /// The life cycle of the card.
        found: LifeCycle,
    },
    /// The card's certificates are not in order.
    #[error("the card's certificates are not in order")]
    Certificates(#[from] CertificateError),
    /// The card's certificates are for another GUID than its file.
    #[error("the card's certificates are not for the GUID {guid} that it shows")]
    CertificateGuid {
        /// The GUID in the card's file.
        guid: CardId,
    },
    /// The card shows its SIG key as its attestation key, so that it could prove nothing.
    #[error("the card has no attestation key of its own")]
    AttestationKey,
    /// What looks like the bound card does not take the pairing secret.
    #[error(
        "the card in the reader shows what the bound card shows, and does not take the pairing secret: it is a copy, or the \
         bound card was changed; it has {tries} tries left, and having refused twice is not tried again until it is \
         inserted anew or the gateway starts"
    )]
    PairingRefused {
        /// How many tries are left.
        tries: u8,
    },
    /// The bound card takes no pairing secret any more.
    #[error(
        "the bound card takes no pairing secret any more, since too many wrong ones were tried; the trust centre can unlock it"
    )]
    PairingBlocked,
    /// The bound card is left alone: few tries are left, or too many were in vain.
    #[error(
        "the bound card is not paired any more without an order: {tries} tries are left to it, and {open} were in vain since it \
         was paired last"
    )]
    PairingPaused {
        /// How many tries are left, as the card says.
        tries: u8,
        /// How many tries have been in vain.
        open: u64,
    },
    /// The card was paired more often than this gateway has done it.
    #[error(
        "the card was paired {found} times, this gateway knows of {recorded}: the card was used elsewhere, or this store \
         was set back"
    )]
    SessionCounterAhead {
        /// How often the card was paired.
        found: u64,
        /// How often this gateway has paired it.
        recorded: u64,
    },
    /// The card was paired less often than this gateway has done it.
    #[error(
        "the card was paired {found} times, this gateway has done it {recorded} times: the card was set back"
    )]
    SessionCounterBehind {
        /// How often the card was paired.
        found: u64,
        /// How often this gateway has paired it.
        recorded: u64,
    },
    /// The card was taken out for good while the gateway ran, and that could not be burned.
    #[error("the bound card was taken out while the gateway ran, and the tamper row cannot be burned")]
    Removed,
    /// The tamper lock has been burned.
    #[error("the gateway was given up at {}: {}{}", .tamper.time, .tamper.reason, ended(.card.as_ref()))]
    GivenUp {
        /// When and why.
        tamper: Tamper,
        /// When the bound card was seen again and ended its life, if it was.
        card: Option<Termination>,
    },
    /// The bindings are damaged, lost or contradicted.
    #[error("the bindings cannot be trusted: {0}")]
    BindingsTampered(String),
    /// The bindings cannot be read since the disk is full.
    #[error("the bindings cannot be opened on a full disk: {0}")]
    BindingsNoSpace(String),
    /// The bindings cannot be read for another reason.
    #[error("the bindings are out of reach; the gateway looks again when it is started again: {0}")]
    BindingsOutOfReach(String),
    /// The clock was never set, so that no certificate can be judged.
    #[error("the clock was never set, so that the card's certificates cannot be judged")]
    ClockUnset,
    /// The card vouches for an older bundle than the one that it vouched for before.
    #[error(
        "the card vouches for bundle {anchored}, but it vouched for bundle {stored} before: it was set back"
    )]
    BundleSetBack {
        /// The version that the card vouches for.
        anchored: u64,
        /// The version that is stored, which it vouched for once.
        stored: u64,
    },
    /// The card is ahead of the store: an older copy of the data folder is in its place.
    #[error(
        "the bound card has been told milestone {card} of this store, which is at milestone {store}: an older copy of the \
         data folder is in its place"
    )]
    StoreSetBack {
        /// The counter that the card keeps.
        card: u64,
        /// The counter of the store.
        store: u64,
    },
    /// The store's milestone is not the one that the card keeps, nor the next one.
    #[error(
        "milestone {counter} of this store is not the one that the bound card was told: the store was changed"
    )]
    StoreForeign {
        /// The counter of the store.
        counter: u64,
    },
    /// A part of the store is older than the milestone that the card vouches for.
    #[error("the {part} is older than what the bound card vouches for: an older copy is in its place")]
    PartSetBack {
        /// Which part.
        part: &'static str,
    },
    /// The store is ahead of the card by more than a cut explains.
    #[error(
        "the bound card keeps milestone {card}, but it was told milestone {store} of this store before: the card was set \
         back"
    )]
    CardHeadSetBack {
        /// The counter that the card keeps.
        card: u64,
        /// The counter of the store.
        store: u64,
    },
    /// The milestones cannot be read.
    #[error("the store's milestones are out of reach; the gateway looks again when it is started again: {0}")]
    MilestonesOutOfReach(String),
    /// A log cannot be read.
    #[error("a log is out of reach: {0}")]
    LogsOutOfReach(String),
    /// The binding could not be burned.
    #[error("the binding cannot be burned")]
    Burn(#[from] BurnError),
    /// The secret that was begun with the binding is lost.
    #[error("the secret that belongs to the binding is lost")]
    NoPairing,
    /// The stored bundle cannot be read.
    #[error("the stored bundle cannot be read")]
    Bundle(#[from] BundleError),
    /// No random bytes could be drawn.
    #[error(transparent)]
    Random(#[from] RandomError),
}

fn ended(card: Option<&Termination>) -> String {
    card.map_or_else(String::new, |card| {
        format!("; its card ended its life at {}", card.time)
    })
}

impl From<&BindingsError> for Obstacle {
    fn from(error: &BindingsError) -> Self {
        let text = Chain(error).to_string();
        match error {
            BindingsError::Tampered(_) => Self::BindingsTampered(text),
            error if is_full_disk(error) => Self::BindingsNoSpace(text),
            _ => Self::BindingsOutOfReach(text),
        }
    }
}

/// Looks for a full disk among the causes of an error.
fn is_full_disk(error: &(dyn Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let mut kinds = causes
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .map(io::Error::kind);
    kinds.any(|kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
}

impl From<BindingsError> for Obstacle {
    fn from(error: BindingsError) -> Self {
        Self::from(&error)
    }
}

impl Obstacle {
    /// Tells a card that refuses the selection of the application: it is dead, or of another kind.
    pub(super) fn of_selection(error: CardError<ReaderError>) -> Self {
        match error {
            CardError::Refused { status, .. } if status == StatusWord::TERMINATED => Self::Terminated,
            CardError::Refused { status, .. } => Self::OtherKind { status },
            error => error.into(),
        }
    }

    /// Returns the state that the gateway is in because of it.
    pub(super) const fn state(&self, bound: bool) -> GatewayState {
        match self {
            // A card that goes while it is examined is missing like one that was not there.
            Self::Reader(_) | Self::Card(CardError::Transport(_)) if bound => GatewayState::CardMissing,
            Self::Reader(_) | Self::Card(CardError::Transport(_)) => GatewayState::Unbound,
            Self::Blank
            | Self::Terminated
            | Self::OtherKind { .. }
            | Self::BoundElsewhere { .. }
            | Self::Certificates(_)
            | Self::CertificateGuid { .. }
            | Self::AttestationKey
            | Self::Card(_)
                if !bound =>
            {
                GatewayState::Unbound
            }
            Self::AwaitsConfirmation { .. } => GatewayState::Unbound,
            Self::BindingBegun { .. } => GatewayState::Binding,
            Self::Blank
            | Self::Terminated
            | Self::OwnTerminated(_)
            | Self::OtherKind { .. }
            | Self::Card(_)
            | Self::BoundElsewhere { .. }
            | Self::OtherCard { .. }
            | Self::OtherKey
            | Self::SecretUnknown
            | Self::SetBack { .. }
            | Self::Certificates(_)
            | Self::CertificateGuid { .. }
            | Self::AttestationKey
            | Self::PairingRefused { .. }
            | Self::PairingBlocked
            | Self::PairingPaused { .. }
            | Self::SessionCounterBehind { .. }
            | Self::CardHeadSetBack { .. }
            | Self::BundleSetBack { .. } => GatewayState::CardForeign,
            Self::GivenUp { .. }
            | Self::Removed
            | Self::BindingsTampered(_)
            | Self::NoPairing
            | Self::StoreSetBack { .. }
            | Self::StoreForeign { .. }
            | Self::PartSetBack { .. }
            | Self::SessionCounterAhead { .. } => GatewayState::Tampered,
            Self::BindingsNoSpace(_) => GatewayState::StorageFull,
            Self::ClockUnset => GatewayState::ClockUnknown,
            Self::Burn(_) | Self::Random(_) => GatewayState::Binding,
            Self::Bundle(_)
            | Self::BindingsOutOfReach(_)
            | Self::MilestonesOutOfReach(_)
            | Self::LogsOutOfReach(_) => GatewayState::Degraded,
        }
    }

    /// Returns what it says about where the bound card is.
    ///
    /// What keeps the gateway itself from looking, as a full disk, is no more evidence than a reader that is gone. A card
    /// that is paired has proved that it is there, whatever is wrong with its certificates.
    pub(super) const fn sight(&self, is_paired: bool) -> Sight {
        match self {
            Self::Reader(error) | Self::Card(CardError::Transport(error)) => error.sight(),
            // It has no such application; any other refusal may be a card that fails.
            Self::OtherKind { status } if status.value() == StatusWord::FILE_NOT_FOUND.value() => {
                Sight::Other
            }
            Self::Blank
            | Self::BoundElsewhere { .. }
            | Self::OtherCard { .. }
            | Self::OtherKey
            | Self::SetBack { .. } => Sight::Other,
            // These are found behind the pairing.
            Self::StoreSetBack { .. }
            | Self::StoreForeign { .. }
            | Self::PartSetBack { .. }
            | Self::CardHeadSetBack { .. }
            | Self::MilestonesOutOfReach(_)
            | Self::LogsOutOfReach(_)
            | Self::BundleSetBack { .. }
            | Self::Bundle(_) => Sight::Card,
            Self::ClockUnset
            | Self::Certificates(_)
            | Self::CertificateGuid { .. }
            | Self::AttestationKey
                if is_paired =>
            {
                Sight::Card
            }
            Self::Card(_)
            | Self::OtherKind { .. }
            | Self::Terminated
            | Self::AwaitsConfirmation { .. }
            | Self::BindingBegun { .. }
            | Self::Certificates(_)
            | Self::CertificateGuid { .. }
            | Self::AttestationKey
            | Self::SecretUnknown
            | Self::PairingRefused { .. }
            | Self::PairingBlocked
            | Self::PairingPaused { .. }
            | Self::SessionCounterAhead { .. }
            | Self::SessionCounterBehind { .. }
            | Self::OwnTerminated(_)
            | Self::Removed
            | Self::GivenUp { .. } => Sight::Unclear,
            Self::ClockUnset
            | Self::BindingsTampered(_)
            | Self::BindingsNoSpace(_)
            | Self::BindingsOutOfReach(_)
            | Self::Burn(_)
            | Self::NoPairing
            | Self::Random(_) => Sight::Blind,
        }
    }
}

#[cfg(test)]
mod tests {
    use store::FileError;

    use super::*;

    fn unreadable(kind: io::ErrorKind) -> BindingsError {
        BindingsError::File(FileError {
            path: "bindings".into(),
            source: kind.into(),
        })
    }

    #[test]
    fn a_full_disk_is_not_taken_for_tampering() {
        let full = Obstacle::from(unreadable(io::ErrorKind::StorageFull));
        assert_eq!(full.state(true), GatewayState::StorageFull);
        let unreachable = Obstacle::from(unreadable(io::ErrorKind::PermissionDenied));
        assert_eq!(unreachable.state(true), GatewayState::Degraded);
        let lost = store::Tampering::LostRow { key: "binding" };
        let tampered = Obstacle::from(BindingsError::Tampered(lost));
        assert_eq!(tampered.state(true), GatewayState::Tampered);
    }

    #[test]
    fn what_keeps_the_gateway_from_looking_is_no_evidence_and_what_anybody_can_say_is_no_card() {
        for own in [
            Obstacle::ClockUnset,
            Obstacle::BindingsNoSpace(String::new()),
            Obstacle::Reader(ReaderError::NoReader),
            Obstacle::Reader(ReaderError::InUse),
        ] {
            assert_eq!(own.sight(false), Sight::Blind, "{own}");
        }
        assert_eq!(Obstacle::ClockUnset.sight(true), Sight::Card);
        assert_eq!(Obstacle::AttestationKey.sight(true), Sight::Card);
        assert_eq!(Obstacle::AttestationKey.sight(false), Sight::Unclear);
        for said in [
            Obstacle::Terminated,
            Obstacle::SecretUnknown,
            Obstacle::PairingRefused { tries: 9 },
            Obstacle::PairingPaused { tries: 3, open: 0 },
            Obstacle::Reader(ReaderError::Mute),
            Obstacle::OtherKind {
                status: StatusWord::CONDITIONS,
            },
        ] {
            assert_eq!(said.sight(false), Sight::Unclear, "{said}");
        }
        let status = StatusWord::FILE_NOT_FOUND;
        for other in [
            Obstacle::OtherKind { status },
            Obstacle::OtherKey,
            Obstacle::Blank,
        ] {
            assert_eq!(other.sight(false), Sight::Other, "{other}");
        }
    }

    #[test]
    fn no_obstacle_lets_anything_be_served() {
        for bound in [false, true] {
            for obstacle in [
                Obstacle::Blank,
                Obstacle::OtherKey,
                Obstacle::ClockUnset,
                Obstacle::NoPairing,
            ] {
                assert!(!obstacle.state(bound).serves_tsm(), "{obstacle}");
            }
        }
    }
}
