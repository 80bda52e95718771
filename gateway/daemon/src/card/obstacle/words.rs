//! Code and remedy of every obstacle.

use card::CardError;

use super::Obstacle;
use crate::card::reader::ReaderError;
use crate::codes::{Code, card as codes};

impl Obstacle {
    /// Returns what stands in the catalogue of codes: `01xx` reader, `02xx` card, `03xx` gateway.
    const fn entry(&self) -> Code {
        match self {
            Self::Reader(error) | Self::Card(CardError::Transport(error)) => error.entry(),
            Self::Blank => codes::BLANK,
            Self::Terminated => codes::TERMINATED,
            Self::OwnTerminated(_) => codes::OWN_TERMINATED,
            Self::OtherKind { .. } => codes::OTHER_KIND,
            Self::BoundElsewhere { .. } => codes::BOUND_ELSEWHERE,
            Self::OtherCard { .. } => codes::OTHER_CARD,
            Self::OtherKey => codes::OTHER_KEY,
            Self::SetBack { .. } => codes::SET_BACK,
            Self::SessionCounterBehind { .. } => codes::SESSION_COUNTER_BEHIND,
            Self::BundleSetBack { .. } => codes::BUNDLE_SET_BACK,
            Self::CardHeadSetBack { .. } => codes::CARD_HEAD_SET_BACK,
            Self::Certificates(_) => codes::CERTIFICATES,
            Self::CertificateGuid { .. } => codes::CERTIFICATE_GUID,
            Self::AttestationKey => codes::ATTESTATION_KEY,
            Self::PairingRefused { .. } => codes::PAIRING_REFUSED,
            Self::PairingBlocked => codes::PAIRING_BLOCKED,
            Self::Card(_) => codes::CARD_FAILS,
            Self::AwaitsConfirmation { .. } => codes::AWAITS_CONFIRMATION,
            Self::PairingPaused { .. } => codes::PAIRING_PAUSED,
            Self::BindingBegun { .. } => codes::BINDING_BEGUN,
            Self::SecretUnknown => codes::SECRET_UNKNOWN,
            Self::GivenUp { .. } => codes::GIVEN_UP,
            Self::Removed => codes::REMOVED,
            Self::BindingsTampered(_) => codes::BINDINGS_TAMPERED,
            Self::SessionCounterAhead { .. } => codes::SESSION_COUNTER_AHEAD,
            Self::StoreSetBack { .. } => codes::STORE_SET_BACK,
            Self::StoreForeign { .. } => codes::STORE_FOREIGN,
            Self::PartSetBack { .. } => codes::PART_SET_BACK,
            Self::NoPairing => codes::NO_PAIRING,
            Self::BindingsNoSpace(_) => codes::BINDINGS_NO_SPACE,
            Self::BindingsOutOfReach(_) => codes::BINDINGS_OUT_OF_REACH,
            Self::MilestonesOutOfReach(_) => codes::MILESTONES_OUT_OF_REACH,
            Self::LogsOutOfReach(_) => codes::LOGS_OUT_OF_REACH,
            Self::Burn(_) => codes::BURN,
            Self::Bundle(_) => codes::BUNDLE,
            Self::ClockUnset => codes::CLOCK_UNSET,
            Self::Random(_) => codes::RANDOM,
        }
    }

    /// Returns the stable code.
    pub(in crate::card) const fn code(&self) -> &'static str {
        self.entry().code
    }

    /// Returns the remedy, as a sentence.
    pub(in crate::card) const fn remedy(&self) -> &'static str {
        self.entry().remedy
    }
}

impl ReaderError {
    const fn entry(&self) -> Code {
        match self {
            Self::NoCard => codes::NO_CARD,
            Self::NoReader => codes::NO_READER,
            Self::SeveralReaders { .. } => codes::SEVERAL_READERS,
            Self::OtherReaders { .. } => codes::OTHER_READERS,
            Self::NoService => codes::NO_SERVICE,
            Self::NotPermitted => codes::NOT_PERMITTED,
            Self::InUse => codes::IN_USE,
            Self::Mute => codes::MUTE,
            Self::OtherProtocol => codes::OTHER_PROTOCOL,
            Self::Lost => codes::LOST,
            Self::Hangs => codes::HANGS,
            Self::Pcsc(_) | Self::Thread(_) => codes::READER_FAILS,
            #[cfg(feature = "soft-card")]
            Self::File(_) | Self::Damaged(_) => codes::SOFT_CARD_FILE,
        }
    }
}
