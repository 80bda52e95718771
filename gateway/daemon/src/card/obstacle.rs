//! What keeps the gateway from serving, and the state that follows from it.

use card::{CardError, LifeCycle};
use messages::certificate::CertificateError;
use model::{CardId, GatewayId, GatewayState};
use store::{BindingsError, BundleError, BurnError, Tamper};

use super::reader::ReaderError;

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
    /// The tamper lock has been burned.
    #[error("the gateway was given up at {}: {}", .0.time, .0.reason)]
    GivenUp(Tamper),
    /// The bindings are damaged or out of reach; the store says which.
    #[error("the bindings cannot be trusted: {0}")]
    Bindings(String),
    /// The binding could not be burned.
    #[error("the binding cannot be burned")]
    Burn(#[from] BurnError),
    /// The secret that was begun with the binding is lost.
    #[error("the secret that belongs to the binding is lost")]
    NoPairing,
    /// The stored bundle cannot be read.
    #[error("the stored bundle cannot be read")]
    Bundle(#[from] BundleError),
    /// The system's random number generator failed.
    #[error("the system gives no random numbers")]
    Random,
}

impl From<&BindingsError> for Obstacle {
    fn from(error: &BindingsError) -> Self {
        Self::Bindings(crate::report::Chain(error).to_string())
    }
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
            Self::Reader(_) if bound => GatewayState::CardMissing,
            Self::Reader(_) => GatewayState::Unbound,
            Self::Blank
            | Self::BoundElsewhere { .. }
            | Self::Certificates(_)
            | Self::CertificateGuid { .. }
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
            | Self::CertificateGuid { .. } => GatewayState::CardForeign,
            Self::GivenUp(_) | Self::Bindings(_) | Self::NoPairing => GatewayState::Tampered,
            Self::Burn(_) | Self::Random => GatewayState::Binding,
            Self::Bundle(_) => GatewayState::Degraded,
        }
    }
}
