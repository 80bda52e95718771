//! What keeps the gateway from serving, and the state that follows from it.

use std::error::Error;
use std::io;

use card::{CardError, LifeCycle};
use messages::certificate::CertificateError;
use model::{CardId, GatewayId, GatewayState};
use store::{BindingsError, BundleError, BurnError, Tamper};

use super::reader::ReaderError;
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
    /// The card has the bound GUID but another key.
    #[error("the card in the reader has the bound GUID but another key: it is a copy")]
    OtherKey,
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
    /// The bound card does not take the pairing secret.
    #[error(
        "the bound card does not take the pairing secret, and has {tries} tries left; it is not tried again until \
         the card is inserted anew or the gateway starts"
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
    /// The tamper lock has been burned.
    #[error("the gateway was given up at {}: {}", .0.time, .0.reason)]
    GivenUp(Tamper),
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
    /// Returns the state that the gateway is in because of it.
    pub(super) const fn state(&self, bound: bool) -> GatewayState {
        match self {
            // A card that goes while it is examined is missing like one that was not there.
            Self::Reader(_) | Self::Card(CardError::Transport(_)) if bound => GatewayState::CardMissing,
            Self::Reader(_) | Self::Card(CardError::Transport(_)) => GatewayState::Unbound,
            Self::Blank
            | Self::BoundElsewhere { .. }
            | Self::Certificates(_)
            | Self::CertificateGuid { .. }
            | Self::AttestationKey
                if !bound =>
            {
                GatewayState::Unbound
            }
            Self::Card(_) if !bound => GatewayState::Unbound,
            Self::Blank
            | Self::Card(_)
            | Self::BoundElsewhere { .. }
            | Self::OtherCard { .. }
            | Self::OtherKey
            | Self::SetBack { .. }
            | Self::Certificates(_)
            | Self::CertificateGuid { .. }
            | Self::AttestationKey
            | Self::PairingRefused { .. }
            | Self::PairingBlocked
            | Self::SessionCounterBehind { .. }
            | Self::BundleSetBack { .. } => GatewayState::CardForeign,
            Self::GivenUp(_)
            | Self::BindingsTampered(_)
            | Self::NoPairing
            | Self::SessionCounterAhead { .. } => GatewayState::Tampered,
            Self::BindingsNoSpace(_) => GatewayState::StorageFull,
            Self::ClockUnset => GatewayState::ClockUnknown,
            Self::Burn(_) | Self::Random(_) => GatewayState::Binding,
            Self::Bundle(_) | Self::BindingsOutOfReach(_) => GatewayState::Degraded,
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
