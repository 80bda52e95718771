//! What is burned, and how it is written as the content of a row.

use std::fmt;

use model::{Binding, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::row::{Key, RowFault};
use super::state::State;
use super::{BindingsError, BurnError, Tampering};

/// The first phase of a binding: what the gateway is about to burn.
#[derive(Clone)]
pub struct Intent {
    /// The binding.
    pub binding: Binding,
    /// What the gateway shares with the card from then on, opaque here, at most
    /// [`Intent::MAX_PAIRING`] bytes; secret.
    pub pairing: Zeroizing<Vec<u8>>,
}

impl Intent {
    /// The greatest length of the pairing in bytes: a secret and what belongs to it.
    pub const MAX_PAIRING: usize = 1_024;
}

impl fmt::Debug for Intent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Intent")
            .field("binding", &self.binding)
            .finish_non_exhaustive()
    }
}

/// The content of the binding's row and of the intent's; the pairing in hexadecimal digits.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredIntent {
    #[zeroize(skip)]
    pub(super) binding: Binding,
    pairing: String,
}

impl StoredIntent {
    pub(super) fn new(intent: &Intent) -> Result<Self, BurnError> {
        if intent.pairing.len() > Intent::MAX_PAIRING {
            return Err(BurnError::PairingTooLong {
                found: intent.pairing.len(),
            });
        }
        Ok(Self {
            binding: intent.binding.clone(),
            pairing: hex::encode(intent.pairing.as_slice()),
        })
    }

    pub(super) fn without_pairing(binding: &Binding) -> Self {
        Self {
            binding: binding.clone(),
            pairing: String::new(),
        }
    }

    pub(super) fn open(&self, key: Key) -> Result<Intent, BindingsError> {
        let pairing = hex::decode(self.pairing.as_bytes()).map_err(|_| unreadable(key))?;
        Ok(Intent {
            binding: self.binding.clone(),
            pairing: Zeroizing::new(pairing),
        })
    }
}

/// How a burn went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Burned {
    /// The row was burned by this call.
    Now,
    /// The same row had been burned before, as after a power cut.
    AlreadyBurned,
}

/// The tamper lock: why and when the gateway was given up for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tamper {
    /// Why, in up to [`Tamper::MAX_REASON`] characters.
    pub reason: String,
    /// When, by the gateway's clock.
    pub time: Timestamp,
}

impl Tamper {
    /// The greatest number of characters of a reason; what is longer is cut off, never refused.
    pub const MAX_REASON: usize = 200;
}

/// The lock that says that the bound card has ended its life: it is dead, and so is the gateway with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Termination {
    /// When, by the gateway's clock.
    pub time: Timestamp,
}

/// A number that only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// The session counter of the bound card, which grows with every pairing, as the card itself last proved it.
    CardSession,
    /// How often this gateway has tried to pair; written before each try.
    PairingAttempt,
    /// How many of these tries the card has not counted, as it has proved since.
    PairingFailed,
}

impl Counter {
    pub(super) const ALL: [Self; 3] = [Self::CardSession, Self::PairingAttempt, Self::PairingFailed];

    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CardSession => "card-session",
            Self::PairingAttempt => "pairing-attempt",
            Self::PairingFailed => "pairing-failed",
        }
    }

    pub(super) const fn key(self) -> Key {
        match self {
            Self::CardSession => Key::CardSession,
            Self::PairingAttempt => Key::PairingAttempt,
            Self::PairingFailed => Key::PairingFailed,
        }
    }
}

/// Returns when a row was burned.
pub(super) fn time_of(state: &State, key: Key) -> Result<Timestamp, BindingsError> {
    let time = match key {
        Key::Binding => state
            .content::<StoredIntent>(key)?
            .map(|stored| stored.binding.time),
        Key::Tamper => state.content::<Tamper>(key)?.map(|tamper| tamper.time),
        Key::CardTerminated => state.content::<Termination>(key)?.map(|lock| lock.time),
        Key::Head | Key::CardSession | Key::PairingAttempt | Key::PairingFailed | Key::Intent => None,
    };
    time.ok_or_else(|| unreadable(key))
}

fn unreadable(key: Key) -> BindingsError {
    Tampering::DamagedRow {
        key: key.name(),
        fault: RowFault::Content,
    }
    .into()
}
