//! The store: every reading that gateways have handed out, exactly once, with the signed answer that proves it.
//!
//! It is a file (SQLite) or on a server (PostgreSQL). An answer goes in whole or not at all, and only when it is in, the
//! gateway gets its receipt. A reading is known by gateway, meter, OBIS code and time; the same again changes nothing, and a
//! different value is kept beside the first one as a conflict, which a bill refuses to overlook.

mod answers;
mod database;
mod error;
mod grid;
mod schema;
#[cfg(test)]
mod tests;
mod views;

use counterparty::files::FileError;
use messages::content::{Answer, MessageId};
use model::{CardId, Query, Reading, Timestamp};

pub use database::StorePlace;
pub use error::StoreError;
pub use grid::{MAX_TRIES, MissingRun};
pub use views::{ElementKey, Proof, StoredConflict, StoredElement, StoredGap, StoredReading};

use database::Database;

/// What became of an answer in the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// How many readings are new.
    pub new: u64,
    /// How many were there already, with the same value.
    pub repeated: u64,
    /// How many of the new ones are where a gap was.
    pub filled: u64,
    /// How many points have a gap.
    pub gaps: u64,
    /// Readings that are there with another value; that one stays.
    pub conflicts: Vec<Reading>,
}

impl Kept {
    /// Adds what became of a further answer.
    pub(crate) fn add(&mut self, more: Self) {
        self.new = self.new.saturating_add(more.new);
        self.repeated = self.repeated.saturating_add(more.repeated);
        self.filled = self.filled.saturating_add(more.filled);
        self.gaps = self.gaps.saturating_add(more.gaps);
        self.conflicts.extend(more.conflicts);
    }
}

/// A store of readings. Clones share its connection; transactions come one after the other.
#[derive(Debug, Clone)]
pub struct Store {
    database: Database,
}

impl Store {
    /// Opens a store; a file is made if it is not there, and tables of an earlier version are brought to this one's.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if there is no way to it, or it is of a later version.
    pub async fn open(place: &StorePlace) -> Result<Self, StoreError> {
        let database = Database::open(place).await?;
        Ok(Self { database })
    }

    /// Opens a store that is there already, for who only reads.
    ///
    /// # Errors
    ///
    /// As [`Store::open`], and if there is no such file.
    pub async fn open_existing(place: &StorePlace) -> Result<Self, StoreError> {
        if let StorePlace::File(path) = place {
            std::fs::metadata(path).map_err(FileError::at(path))?;
        }
        Self::open(place).await
    }

    /// Closes the store in order. What was kept is safe without it, too.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// Keeps an answer that was opened and checked, with its signed message (DER), all of it or nothing. `rest` is what
    /// remains to be asked of the gateway. Returns `None` if the answer is there already.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing of the answer is in the store then.
    pub async fn keep(
        &self,
        answer: &Answer,
        signed: &[u8],
        rest: Option<&[Query]>,
    ) -> Result<Option<Kept>, StoreError> {
        let mut turn = self.database.begin().await?;
        let done = answers::keep(&mut turn, answer, signed, rest).await;
        turn.end(done).await
    }

    /// Notes that points were asked for again, as so many tries, so that nobody asks for ever. Those that have a value by
    /// now do not count.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn note_tries(&self, runs: &[MissingRun], tries: u32) -> Result<(), StoreError> {
        let mut turn = self.database.begin().await?;
        let done = grid::note_tries(&mut turn, runs, tries).await;
        turn.end(done).await
    }

    /// Returns what remained to be asked of a gateway when its last pull was cut off.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn rest(&self, guid: CardId) -> Result<Vec<Query>, StoreError> {
        let mut turn = self.database.turn().await?;
        let done = views::rest(&mut turn, guid).await;
        turn.read(done)
    }

    /// Returns the elements that have readings, of one gateway or of all, in order.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn elements(&self, guid: Option<CardId>) -> Result<Vec<StoredElement>, StoreError> {
        let mut turn = self.database.turn().await?;
        let done = views::elements(&mut turn, guid).await;
        turn.read(done)
    }

    /// Returns readings of an element from a time on, oldest first, as many as are wanted at most.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn readings(
        &self,
        element: ElementKey,
        from: Timestamp,
        limit: u32,
    ) -> Result<Vec<StoredReading>, StoreError> {
        let mut turn = self.database.turn().await?;
        let done = views::readings(&mut turn, element, from, limit).await;
        turn.read(done)
    }

    /// Returns the gaps of an element that have a reason, in a time that includes both ends.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn gaps(
        &self,
        element: ElementKey,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<StoredGap>, StoreError> {
        let mut turn = self.database.turn().await?;
        let done = views::gaps(&mut turn, element, (from, to)).await;
        turn.read(done)
    }

    /// Returns the values that contradict readings of an element, in a time that includes both ends.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn conflicts(
        &self,
        element: ElementKey,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<StoredConflict>, StoreError> {
        let mut turn = self.database.turn().await?;
        let done = views::conflicts(&mut turn, element, (from, to)).await;
        turn.read(done)
    }

    /// Returns the points without a value that an element should have: those of each of its grids, from the first point of
    /// which something is known to the last.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn missing(&self, element: &StoredElement) -> Result<Vec<MissingRun>, StoreError> {
        let mut turn = self.database.turn().await?;
        let done = grid::missing(&mut turn, element).await;
        turn.read(done)
    }

    /// Returns a signed answer (DER), as it came over the WAN.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoAnswer`] if there is none, and any other [`StoreError`].
    pub async fn signed(&self, guid: CardId, message: MessageId) -> Result<Vec<u8>, StoreError> {
        let mut turn = self.database.turn().await?;
        let done = views::signed(&mut turn, guid, message).await;
        turn.read(done)
    }
}
