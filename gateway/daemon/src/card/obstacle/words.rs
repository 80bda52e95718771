//! Code and remedy of every obstacle.

use card::CardError;

use super::Obstacle;
use crate::card::reader::ReaderError;

impl Obstacle {
    /// Returns the stable code: `01xx` reader, `02xx` card, `03xx` gateway.
    pub(in crate::card) const fn code(&self) -> &'static str {
        match self {
            Self::Reader(error) | Self::Card(CardError::Transport(error)) => error.code(),
            Self::Blank => "SMGW-C-0201",
            Self::Terminated => "SMGW-C-0202",
            Self::OwnTerminated(_) => "SMGW-C-0203",
            Self::OtherKind { .. } => "SMGW-C-0204",
            Self::BoundElsewhere { .. } => "SMGW-C-0205",
            Self::OtherCard { .. } => "SMGW-C-0206",
            Self::OtherKey => "SMGW-C-0207",
            Self::SetBack { .. } => "SMGW-C-0208",
            Self::SessionCounterBehind { .. } => "SMGW-C-0209",
            Self::BundleSetBack { .. } => "SMGW-C-0210",
            Self::CardHeadSetBack { .. } => "SMGW-C-0211",
            Self::Certificates(_) => "SMGW-C-0212",
            Self::CertificateGuid { .. } => "SMGW-C-0213",
            Self::AttestationKey => "SMGW-C-0214",
            Self::PairingRefused { .. } => "SMGW-C-0215",
            Self::PairingBlocked => "SMGW-C-0216",
            Self::Card(_) => "SMGW-C-0217",
            Self::AwaitsConfirmation { .. } => "SMGW-C-0218",
            Self::PairingPaused { .. } => "SMGW-C-0219",
            Self::BindingBegun { .. } => "SMGW-C-0220",
            Self::SecretUnknown => "SMGW-C-0221",
            Self::GivenUp { .. } => "SMGW-C-0301",
            Self::Removed => "SMGW-C-0302",
            Self::BindingsTampered(_) => "SMGW-C-0303",
            Self::SessionCounterAhead { .. } => "SMGW-C-0304",
            Self::StoreSetBack { .. } => "SMGW-C-0305",
            Self::StoreForeign { .. } => "SMGW-C-0306",
            Self::PartSetBack { .. } => "SMGW-C-0307",
            Self::NoPairing => "SMGW-C-0308",
            Self::BindingsNoSpace(_) => "SMGW-C-0309",
            Self::BindingsOutOfReach(_) => "SMGW-C-0310",
            Self::MilestonesOutOfReach(_) => "SMGW-C-0311",
            Self::LogsOutOfReach(_) => "SMGW-C-0312",
            Self::Burn(_) => "SMGW-C-0313",
            Self::Bundle(_) => "SMGW-C-0314",
            Self::ClockUnset => "SMGW-C-0315",
            Self::Random(_) => "SMGW-C-0316",
        }
    }

    /// Returns the remedy, as a sentence.
    pub(in crate::card) const fn remedy(&self) -> &'static str {
        match self {
            Self::Reader(error) | Self::Card(CardError::Transport(error)) => error.remedy(),
            Self::Blank => "Have the trust centre personalise the card, or insert one that is.",
            Self::Terminated => {
                "Take the card out and insert the right one; nothing brings this one back. If it is the one that this gateway is \
                 bound to, replace both together."
            }
            Self::OwnTerminated(_) => "Replace gateway and card together; this card will never work again.",
            Self::OtherKind { .. } => "Insert a card that the trust centre has personalised for a gateway.",
            Self::BoundElsewhere { .. } => {
                "Put this card back into its own gateway, and insert one that has never been bound, or the one that this \
                 gateway is bound to."
            }
            Self::OtherCard { .. } => "Put the bound card back; another card will never be accepted.",
            Self::OtherKey | Self::SecretUnknown => {
                "Keep the copy for the auditor and put the bound card back."
            }
            Self::SetBack { .. }
            | Self::SessionCounterBehind { .. }
            | Self::BundleSetBack { .. }
            | Self::CardHeadSetBack { .. } => {
                "Keep this card for the auditor and put the bound card back; if it is the bound card, replace gateway and \
                 card together."
            }
            Self::Certificates(_) | Self::CertificateGuid { .. } | Self::AttestationKey => {
                "Ask the trust centre which card this is, and insert one whose certificates are in order."
            }
            Self::PairingRefused { .. } => {
                "Keep a copy for the auditor and put the bound card back. If it is the bound card, stop the gateway, \
                 insert the card anew and start it; if it refuses again, ask the trust centre."
            }
            Self::PairingPaused { .. } => {
                "Make sure that it is the bound card, then run smgw binding confirm with the last four characters of its \
                 GUID; if it refuses, have the trust centre unlock it: trust-center unlock."
            }
            Self::BindingBegun { .. } => {
                "Insert the card that the binding has begun with. If it is lost or broken, run smgw binding confirm with the \
                 last four characters of the GUID of this one; the first one then never serves any gateway."
            }
            Self::PairingBlocked => "Have the trust centre unlock the card: trust-center unlock.",
            Self::Card(_) => {
                "Stop the gateway, insert the card anew and start it; if it fails again, replace it, and a bound one with its \
                 gateway."
            }
            Self::AwaitsConfirmation { .. } => {
                "Compare the GUID with the one on the card's label, then run smgw binding confirm with its last four \
                 characters."
            }
            Self::GivenUp { .. }
            | Self::Removed
            | Self::BindingsTampered(_)
            | Self::NoPairing
            | Self::SessionCounterAhead { .. } => {
                "Replace gateway and card together and keep this one for the auditor."
            }
            Self::StoreSetBack { .. } | Self::StoreForeign { .. } | Self::PartSetBack { .. } => {
                "Never restore the data folder from a copy. Keep gateway and card for the auditor and replace them together."
            }
            Self::BindingsNoSpace(_) => "Free the disk, then start the gateway again.",
            Self::BindingsOutOfReach(_)
            | Self::MilestonesOutOfReach(_)
            | Self::LogsOutOfReach(_)
            | Self::Bundle(_) => {
                "Check disk and file rights of the data folder, then start the gateway again."
            }
            Self::Burn(_) => "Check the disk, leave the card in the reader and start the gateway again.",
            Self::ClockUnset => "Connect a time source.",
            Self::Random(_) => "Start the gateway again; if that does not help, replace the board.",
        }
    }
}

impl ReaderError {
    const fn code(&self) -> &'static str {
        match self {
            Self::NoCard => "SMGW-C-0101",
            Self::NoReader => "SMGW-C-0102",
            Self::SeveralReaders { .. } => "SMGW-C-0103",
            Self::OtherReaders { .. } => "SMGW-C-0104",
            Self::NoService => "SMGW-C-0105",
            Self::NotPermitted => "SMGW-C-0106",
            Self::InUse => "SMGW-C-0107",
            Self::Mute => "SMGW-C-0108",
            Self::OtherProtocol => "SMGW-C-0109",
            Self::Lost => "SMGW-C-0110",
            Self::Hangs => "SMGW-C-0111",
            Self::Pcsc(_) | Self::Thread(_) => "SMGW-C-0112",
            #[cfg(feature = "soft-card")]
            Self::File(_) | Self::Damaged(_) => "SMGW-C-0113",
        }
    }

    const fn remedy(&self) -> &'static str {
        match self {
            Self::NoCard => "Insert the card.",
            Self::NoReader => "Attach the card reader.",
            Self::SeveralReaders { .. } | Self::OtherReaders { .. } => {
                "Name the reader that holds the card in [card] reader, or attach it."
            }
            Self::NoService => "Start pcscd; the gateway finds it by itself.",
            Self::NotPermitted => "Permit the gateway's user to use cards in the polkit rules of pcscd.",
            Self::InUse => "Stop the other program.",
            Self::Mute => {
                "Stop the gateway, put the card in the right way round, or clean its contacts, and start it."
            }
            Self::OtherProtocol => "Insert a card that the trust centre has personalised for a gateway.",
            Self::Lost => "Leave the card in the reader; the gateway looks at it again by itself.",
            Self::Hangs => {
                "Attach the reader anew; if that does not help, stop the gateway, insert the card anew and start it."
            }
            Self::Pcsc(_) | Self::Thread(_) => "Attach the reader anew, or start pcscd again.",
            #[cfg(feature = "soft-card")]
            Self::File(_) | Self::Damaged(_) => "Check the soft card's file.",
        }
    }
}
