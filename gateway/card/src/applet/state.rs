//! The state of a card that survives a reset.

use std::collections::BTreeMap;
use std::fmt;

use model::{CardId, GatewayId};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::crypto::PrivateKey;
use crate::files::{Anchor, Contact, Pairing, Suppliers};
use crate::{CardKey, FileId, LifeCycle, StoreHead};

/// Everything that a card keeps: life cycle, keys, files, binding.
///
/// A holder writes [`CardState::to_bytes`] somewhere that survives, as a whole or not at all. The
/// bytes contain the private keys: this is how a soft card is stored, never a real one.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardState {
    format: Format,
    /// Grows with every change, so that a holder sees whether there is something to write.
    revision: u64,
    life_cycle: LifeCycle,
    keys: BTreeMap<String, PrivateKey>,
    files: BTreeMap<u16, HexBytes>,
    binding: Option<BoundTo>,
    #[serde(default)]
    pairing: PairingCounters,
}

/// How often the card was paired, and how many tries are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PairingCounters {
    sessions: u64,
    tries: u8,
}

impl Default for PairingCounters {
    fn default() -> Self {
        Self {
            sessions: 0,
            tries: Pairing::MAX_TRIES,
        }
    }
}

/// The format of the stored bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Format {
    #[serde(rename = "smgw-soft-card/1")]
    V1,
}

/// The gateway that a card is bound to, written once.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BoundTo {
    pub(super) gateway: GatewayId,
    pub(super) pairing_secret: PairingSecret,
    pub(super) confirmed: bool,
}

/// The secret that card and gateway share (16 bytes); wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
pub(super) struct PairingSecret(pub(super) [u8; 16]);

#[derive(Clone, PartialEq, Eq)]
struct HexBytes(Vec<u8>);

impl Serialize for HexBytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl CardState {
    /// Returns a card as it leaves the factory: nothing about it is unique yet.
    #[must_use]
    pub fn blank() -> Self {
        Self {
            format: Format::V1,
            revision: 0,
            life_cycle: LifeCycle::Blank,
            keys: BTreeMap::new(),
            files: BTreeMap::new(),
            binding: None,
            pairing: PairingCounters::default(),
        }
    }

    /// Returns the bytes that the holder persists (JSON; they contain the private keys).
    ///
    /// # Errors
    ///
    /// [`CardStateError`] if the state cannot be written as JSON.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, CardStateError> {
        serde_json::to_vec(self)
            .map(Zeroizing::new)
            .map_err(CardStateError)
    }

    /// Reads what [`CardState::to_bytes`] wrote.
    ///
    /// # Errors
    ///
    /// [`CardStateError`] if the bytes are damaged or of another format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CardStateError> {
        serde_json::from_slice(bytes).map_err(CardStateError)
    }

    /// Returns the life cycle.
    #[must_use]
    pub const fn life_cycle(&self) -> LifeCycle {
        self.life_cycle
    }

    /// Returns the GUID, if it has been written.
    #[must_use]
    pub fn guid(&self) -> Option<CardId> {
        CardId::try_from(self.file(FileId::Guid)?).ok()
    }

    pub(super) const fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn contact(&self) -> Option<Contact> {
        Contact::parse(self.file(FileId::Contact)?).ok()
    }

    pub(super) fn suppliers(&self) -> Suppliers {
        self.file(FileId::Suppliers)
            .and_then(|bytes| Suppliers::parse(bytes).ok())
            .unwrap_or_default()
    }

    pub(super) fn anchor(&self) -> Anchor {
        self.file(FileId::Anchor)
            .and_then(|bytes| Anchor::parse(bytes).ok())
            .unwrap_or(Anchor::NONE)
    }

    pub(super) fn file(&self, file: FileId) -> Option<&[u8]> {
        self.files.get(&file.identifier()).map(|bytes| bytes.0.as_slice())
    }

    pub(super) fn store_head(&self) -> StoreHead {
        self.file(FileId::StoreHead)
            .and_then(|bytes| StoreHead::parse(bytes).ok())
            .unwrap_or(StoreHead::NONE)
    }

    pub(super) const fn pairing(&self) -> Pairing {
        Pairing {
            sessions: self.pairing.sessions,
            tries: self.pairing.tries,
        }
    }

    pub(super) fn key(&self, key: CardKey) -> Option<&PrivateKey> {
        self.keys.get(key.name())
    }

    pub(super) const fn binding(&self) -> Option<&BoundTo> {
        self.binding.as_ref()
    }

    pub(super) fn write_file(&mut self, file: FileId, content: &[u8]) {
        self.files.insert(file.identifier(), HexBytes(content.to_vec()));
        self.touch();
    }

    /// Takes a new key. A certificate of the one before it says nothing any more, and goes with it.
    pub(super) fn write_key(&mut self, name: CardKey, key: PrivateKey) {
        self.files.remove(&FileId::certificate_of(name).identifier());
        self.keys.insert(name.name().to_owned(), key);
        self.touch();
    }

    /// Uses up a try before a secret is compared. Returns whether there was one.
    pub(super) const fn use_try(&mut self) -> bool {
        match self.pairing.tries.checked_sub(1) {
            Some(left) => {
                self.pairing.tries = left;
                self.touch();
                true
            }
            None => false,
        }
    }

    /// Gives all tries back, after a good secret or by the TSM's order.
    pub(super) const fn restore_tries(&mut self) {
        self.pairing.tries = Pairing::MAX_TRIES;
        self.touch();
    }

    /// Counts a pairing. 2^64 of them never happen.
    pub(super) const fn count_session(&mut self) {
        self.pairing.sessions = self.pairing.sessions.saturating_add(1);
        self.touch();
    }

    pub(super) fn write_binding(&mut self, binding: BoundTo) {
        self.binding = Some(binding);
        self.touch();
    }

    /// Moves on in the life cycle; there is no way back.
    pub(super) fn advance_to(&mut self, next: LifeCycle) {
        if next > self.life_cycle {
            self.life_cycle = next;
            self.touch();
        }
    }

    /// Dies, for good: first the life cycle says so, then the keys and the pairing secret are erased. A
    /// card that writes these one by one is dead with the first, and erases what is left at the next reset.
    pub(super) fn die(&mut self) {
        self.advance_to(LifeCycle::Terminated);
        self.go_on_dying();
    }

    /// Erases what a cut has left of a card that was dying.
    pub(super) fn go_on_dying(&mut self) {
        let has_secrets = !self.keys.is_empty() || self.binding.is_some();
        if self.life_cycle == LifeCycle::Terminated && has_secrets {
            self.keys.clear();
            self.binding = None;
            self.touch();
        }
    }

    const fn touch(&mut self) {
        self.revision = self.revision.wrapping_add(1);
    }
}

impl fmt::Debug for CardState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CardState")
            .field("life_cycle", &self.life_cycle)
            .field("guid", &self.guid())
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// The stored state of a card cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the stored state of the card is damaged or of another format")]
pub struct CardStateError(#[source] serde_json::Error);
