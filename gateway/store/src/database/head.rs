//! The head: how many commits there were, and count and digest of each kind of rows.
//!
//! It changes in the transaction that changes the rows. So a row that damage has dropped, added or changed is noticed
//! at the next start, and a database that commits are missing from, too: the `witness` knows the last head.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version of the format, 1 |
//! | 8 | generation: the number of commits so far |
//! | 1 | bit 0: the replay memory is not sure, see `requests` |
//! | 8 × (8 + 8) | count and digest of the rows of each [`RowKind`], in its order |
//! | 4 | CRC-32C over `H1` and all bytes before |
//!
//! Numbers are big-endian. The digest of a kind is the XOR of the digests of its rows, in any order. That of a row is
//! the first 8 bytes of the SHA-256 digest of one letter and its columns. A column is `i` and 8 bytes if it is an
//! integer, else `b` (blob), `t` (text), `f` (real) or `n` (null), the number of its bytes (8) and its bytes.
//!
//! | kind | letter and columns |
//! |---|---|
//! | schema | `s`: type, name, sql of sqlite_schema |
//! | round, day | `r`, `d`: key, content; a row of evaluation is `v`: number, label, mark, lengths of made and given; counted with day |
//! | element | `e`: id, meter, obis, crc; the row of element_count is `g`: greatest, crc |
//! | request | `q`: id, expires; the row of request_floor is `x`: expires; a row of asked is `a`: key, time, expires |
//! | outbox | `o`: number, id, recipient, crc, length of the content |
//! | bundle | `u`: version, digest, seal; the row of restriction is `c`: version, seal, unless its version is 0 |
//! | loss | `l`: number, content |
//!
//! A transaction that stores rounds and nothing else does not write the table, which would cost a page: each part
//! of a round says what the head was before it (see `part`), so that the newest one completes the table's.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

use super::checksum::{self, split_sound};
use super::{Database, DatabaseError, Inner};
use crate::DatabasePosition;

const VERSION: u8 = 1;
const UNSURE: u8 = 1;

/// A kind of rows that is accounted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// The descriptions of the tables.
    Schema,
    /// Rounds of readings that are not sealed yet.
    Round,
    /// The lists of the chunks of sealed days, and what applications have made.
    Day,
    /// Measurement elements.
    Element,
    /// Requests that are remembered, the time up to which they are forgotten, and when was granted what has to wait.
    Request,
    /// Messages that wait for receipts.
    Outbox,
    /// The bundle that is installed, and the consumer's restrictions.
    Bundle,
    /// Losses that were found earlier.
    Loss,
    /// Chunks of sealed days; they are counted by the days' lists.
    Chunk,
}

impl RowKind {
    /// The kinds that the head counts, in the order of its bytes.
    pub(super) const COUNTED: [Self; 8] = [
        Self::Schema,
        Self::Round,
        Self::Day,
        Self::Element,
        Self::Request,
        Self::Outbox,
        Self::Bundle,
        Self::Loss,
    ];
}

/// How many rows there are of a kind, and their digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) count: u64,
    pub(super) digest: u64,
}

impl Tally {
    /// Takes up a row.
    pub(super) const fn add(&mut self, row: u64) {
        self.count = self.count.saturating_add(1);
        self.digest ^= row;
    }

    /// Strikes a row.
    pub(super) const fn remove(&mut self, row: u64) {
        self.count = self.count.saturating_sub(1);
        self.digest ^= row;
    }

    /// Takes up other rows.
    pub(super) const fn add_all(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.digest ^= other.digest;
    }
}

/// What is accounted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Head {
    /// The number of commits.
    pub(super) generation: u64,
    /// Whether requests may be missing from the replay memory.
    pub(super) is_unsure: bool,
    pub(super) schema: Tally,
    pub(super) rounds: Tally,
    pub(super) days: Tally,
    pub(super) elements: Tally,
    pub(super) requests: Tally,
    pub(super) outbox: Tally,
    pub(super) bundle: Tally,
    pub(super) losses: Tally,
}

/// What the rounds were before one of their parts was stored, and in which commit it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Before {
    pub(super) generation: u64,
    pub(super) count: u64,
    pub(super) digest: u64,
}

impl Before {
    /// The number of its bytes.
    pub(super) const LENGTH: usize = 24;

    /// Returns its bytes: generation, count and digest.
    pub(super) fn bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        let numbers = [self.generation, self.count, self.digest];
        for (place, number) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
            *place = number.to_be_bytes();
        }
        bytes
    }

    /// Reads its bytes.
    pub(super) fn read(bytes: [u8; Self::LENGTH]) -> Self {
        let mut numbers = bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|bytes| u64::from_be_bytes(*bytes));
        let mut next = || numbers.next().unwrap_or_default();
        Self {
            generation: next(),
            count: next(),
            digest: next(),
        }
    }
}

impl Head {
    /// Returns the head of the commit that is being prepared.
    pub(super) const fn next(self) -> Self {
        Self {
            generation: self.generation.saturating_add(1),
            ..self
        }
    }

    /// Returns what a part of a round that is stored now says.
    pub(super) const fn before(&self) -> Before {
        Before {
            generation: self.generation,
            count: self.rounds.count,
            digest: self.rounds.digest,
        }
    }

    /// Takes up the newest part of a round, if it is newer.
    pub(super) fn complete(&mut self, before: Before, row: u64) {
        if before.generation > self.generation {
            self.generation = before.generation;
            self.rounds = Tally {
                count: before.count,
                digest: before.digest,
            };
            self.rounds.add(row);
        }
    }

    /// Returns the rows of a kind; chunks have none of their own.
    pub(super) fn tally(&self, kind: RowKind) -> Tally {
        let mut copy = *self;
        copy.tally_mut(kind).map_or_else(Tally::default, |tally| *tally)
    }

    pub(super) const fn tally_mut(&mut self, kind: RowKind) -> Option<&mut Tally> {
        Some(match kind {
            RowKind::Schema => &mut self.schema,
            RowKind::Round => &mut self.rounds,
            RowKind::Day => &mut self.days,
            RowKind::Element => &mut self.elements,
            RowKind::Request => &mut self.requests,
            RowKind::Outbox => &mut self.outbox,
            RowKind::Bundle => &mut self.bundle,
            RowKind::Loss => &mut self.losses,
            RowKind::Chunk => return None,
        })
    }

    /// Returns whether nothing was ever stored.
    pub(super) fn is_blank(&self) -> bool {
        let mut kinds = RowKind::COUNTED
            .into_iter()
            .filter(|kind| *kind != RowKind::Schema);
        self.generation <= 1 && kinds.all(|kind| self.tally(kind) == Tally::default())
    }

    /// Returns the bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.push(if self.is_unsure { UNSURE } else { 0 });
        for kind in RowKind::COUNTED {
            let tally = self.tally(kind);
            bytes.extend_from_slice(&tally.count.to_be_bytes());
            bytes.extend_from_slice(&tally.digest.to_be_bytes());
        }
        let sum = checksum_of(&bytes);
        bytes.extend_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// Reads the bytes; `None` if they are damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = split_sound(bytes, checksum_of)?;
        let (version, bytes) = bytes.split_first()?;
        let (generation, bytes) = bytes.split_first_chunk::<8>()?;
        let (flags, bytes) = bytes.split_first()?;
        let (numbers, rest) = bytes.as_chunks::<8>();
        if *version != VERSION || *flags > UNSURE || !rest.is_empty() {
            return None;
        }
        let mut head = Self {
            generation: u64::from_be_bytes(*generation),
            is_unsure: *flags == UNSURE,
            ..Self::default()
        };
        let mut numbers = numbers.iter().map(|bytes| u64::from_be_bytes(*bytes));
        for kind in RowKind::COUNTED {
            let (count, digest) = (numbers.next()?, numbers.next()?);
            *head.tally_mut(kind)? = Tally { count, digest };
        }
        numbers.next().is_none().then_some(head)
    }

    /// Returns the first 8 bytes of the SHA-256 digest of the bytes, as a number.
    pub(super) fn digest(&self) -> u64 {
        first_bytes(Sha256::digest(self.encode()).as_slice())
    }

    /// Writes the table.
    pub(super) fn store(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached("INSERT OR REPLACE INTO head (slot, content) VALUES (1, ?1)")?
            .execute(params![self.encode()])?;
        Ok(())
    }

    /// Reads the table; `None` if it is damaged or empty.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Option<Self>> {
        let read = |row: &Row<'_>| match row.get_ref(0)? {
            ValueRef::Blob(bytes) => Ok(Self::decode(bytes)),
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) => Ok(None),
        };
        let found = connection.query_row("SELECT content FROM head WHERE slot = 1", [], read);
        Ok(found.optional()?.flatten())
    }
}

impl Database {
    /// Returns how far the database has come.
    #[must_use]
    pub fn position(&self) -> DatabasePosition {
        let head = self.lock().head;
        let last_loss = self.losses_in_memory().last();
        DatabasePosition {
            generation: head.generation,
            digest: head.digest(),
            last_loss,
        }
    }
}

impl Inner {
    /// Takes up the head of a commit and has it witnessed; only then may the commit be confirmed.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::File`] if the witness cannot be written: the commit is on the disk, but must not be confirmed.
    pub(super) fn confirm(&mut self, head: Head) -> Result<(), DatabaseError> {
        self.head = head;
        Ok(self.witness.write(&head)?)
    }
}

/// Returns the digest of a row from its letter and columns.
pub(super) fn digest_of(letter: u8, columns: &[ValueRef<'_>]) -> u64 {
    let mut digest = Sha256::new();
    digest.update([letter]);
    for column in columns {
        add_column(&mut digest, *column);
    }
    first_bytes(digest.finalize().as_slice())
}

/// Returns the digest of a row that is read: all its columns, in order.
pub(super) fn digest_of_row(letter: u8, row: &Row<'_>) -> rusqlite::Result<u64> {
    let mut digest = Sha256::new();
    digest.update([letter]);
    for column in 0..row.as_ref().column_count() {
        add_column(&mut digest, row.get_ref(column)?);
    }
    Ok(first_bytes(digest.finalize().as_slice()))
}

/// Returns the rows that a query finds, each of which gives its columns in the order of the digest.
pub(super) fn tally_of(
    connection: &Connection,
    letter: u8,
    sql: &str,
    arguments: impl rusqlite::Params,
) -> rusqlite::Result<Tally> {
    let mut tally = Tally::default();
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(arguments)?;
    while let Some(row) = rows.next()? {
        tally.add(digest_of_row(letter, row)?);
    }
    Ok(tally)
}

impl Tally {
    /// Strikes other rows.
    pub(super) const fn remove_all(&mut self, other: Self) {
        self.count = self.count.saturating_sub(other.count);
        self.digest ^= other.digest;
    }
}

fn add_column(digest: &mut Sha256, column: ValueRef<'_>) {
    let mut add = |letter: u8, bytes: &[u8]| {
        digest.update([letter]);
        digest.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(bytes);
    };
    match column {
        ValueRef::Integer(number) => {
            digest.update(b"i");
            digest.update(number.to_be_bytes());
        }
        ValueRef::Blob(bytes) => add(b'b', bytes),
        ValueRef::Text(bytes) => add(b't', bytes),
        ValueRef::Real(real) => add(b'f', &real.to_bits().to_be_bytes()),
        ValueRef::Null => add(b'n', &[]),
    }
}

fn first_bytes(digest: &[u8]) -> u64 {
    digest
        .first_chunk::<8>()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn checksum_of(content: &[u8]) -> u32 {
    let mut digest = checksum::begin();
    digest.update(b"H1");
    digest.update(content);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_is_read_back_and_no_flipped_bit_passes() {
        let mut head = Head {
            generation: 7,
            is_unsure: true,
            ..Head::default()
        };
        for (kind, count) in RowKind::COUNTED.into_iter().zip(1..) {
            let digest = u64::MAX ^ count;
            *head.tally_mut(kind).unwrap() = Tally { count, digest };
        }
        let bytes = head.encode();
        assert_eq!(Head::decode(&bytes), Some(head));
        for place in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << (place % 8);
            assert_eq!(Head::decode(&flipped), None, "{place}");
        }
        assert_eq!(Head::decode(&bytes[1..]), None);
    }

    #[test]
    fn rows_may_come_in_any_order_and_go() {
        let rows: Vec<u64> = (0..3)
            .map(|key| digest_of(b'r', &[ValueRef::Integer(key), ValueRef::Blob(b"x")]))
            .collect();
        let mut tally = Tally::default();
        rows.iter().for_each(|row| tally.add(*row));
        let mut other = Tally::default();
        rows.iter().rev().for_each(|row| other.add(*row));
        assert_eq!(tally, other);
        rows.iter().for_each(|row| tally.remove(*row));
        assert_eq!(tally, Tally::default());
    }
}
