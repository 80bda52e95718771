//! Losses: what was found to be missing or damaged. They are kept, so that a loss is reported once and never forgotten.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version of the format, 1 |
//! | 1 | what is lost: 1 rows, 2 commits, 3 other content, 4 the head, 5 the witness, 6 the database; 7 if it was salvaged |
//! | 1 | the kind of rows, by its place in [`RowKind`], from 1 on; 0 if it is not rows |
//! | 3 × 8 | rows that are missing, damaged and unexpected; missing commits stand in the first |
//! | 1 + 8 | 1 and the time behind which it was found, in seconds since 1970-01-01T00:00:00Z; 0 if there is none |
//! | 4 | CRC-32C over `L1`, the row's number (8) and all bytes before |
//!
//! Numbers are big-endian.

use model::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};

use super::Database;
use super::checksum::{self, split_sound};
use super::head::{RowKind, Tally, digest_of, tally_of};

const VERSION: u8 = 1;

/// The greatest number of losses that are kept, the latest ones: some 100 KB.
const MAX_LOSSES: i64 = 1_024;

/// The greatest number of losses that are listed, the latest ones.
const MAX_LISTED: usize = 64;

/// Something that was confirmed and is not there any more, or may not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// Its number; they grow.
    pub number: u64,
    /// What is lost.
    pub lost: Lost,
    /// The time of the latest reading that was there when the loss was found; `None` if there was none. The
    /// database has no other clock.
    pub behind: Option<Timestamp>,
}

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Rows of one kind are not what they were.
    Rows {
        /// The kind.
        kind: RowKind,
        /// How many are missing.
        missing: u64,
        /// How many are damaged; at least one if none is missing or unexpected.
        damaged: u64,
        /// How many are there that should not be.
        unexpected: u64,
    },
    /// The latest commits are missing; all readings behind the loss's time may be.
    Commits {
        /// How many.
        missing: u64,
    },
    /// The database is not the one that was written last, though it has as many commits.
    Replaced,
    /// The head is damaged: it cannot be told whether rows are missing.
    Head,
    /// The witness is missing or damaged: it cannot be told whether commits are missing.
    Witness,
    /// The database is missing; a new one has been made.
    Database,
    /// The database was damaged so that it could not be opened: what could be read is in a new one, and the losses
    /// behind this one say what could not.
    Salvaged,
}

impl Database {
    /// Returns the losses that are known, the latest 64 of them, in the order in which they were found.
    #[must_use]
    pub fn losses(&self) -> Vec<Loss> {
        self.losses_in_memory().known.clone()
    }

    /// Returns those that were found since the database was opened, in the order in which they were found.
    #[must_use]
    pub fn new_losses(&self) -> Vec<Loss> {
        let losses = self.losses_in_memory();
        let is_new = |loss: &&Loss| losses.first_new.is_some_and(|first| loss.number >= first);
        losses.known.iter().filter(is_new).copied().collect()
    }
}

/// The latest losses, in memory.
#[derive(Debug, Default)]
pub(super) struct Losses {
    known: Vec<Loss>,
    first_new: Option<u64>,
    /// How many rows are damaged; what they said is not known.
    pub(super) damaged: u64,
}

impl Losses {
    /// Returns the number of the last one, 0 if there is none.
    pub(super) fn last(&self) -> u64 {
        self.known.iter().map(|loss| loss.number).max().unwrap_or(0)
    }

    /// Reads the table.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut losses = Self::default();
        let mut statement = connection.prepare("SELECT number, content FROM loss ORDER BY number")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            match decode(row.get(0)?, super::points::content(row)?) {
                Some(loss) => losses.push(loss),
                None => losses.damaged = losses.damaged.saturating_add(1),
            }
        }
        Ok(losses)
    }

    /// Takes losses from a number on for new ones: they were found just now.
    pub(super) const fn are_new_from(&mut self, first: u64) {
        self.first_new = Some(first);
    }

    /// Takes up a loss that was found just now, and is committed.
    pub(super) fn add(&mut self, loss: Loss) {
        self.first_new.get_or_insert(loss.number);
        self.push(loss);
    }

    fn push(&mut self, loss: Loss) {
        if self.known.len() >= MAX_LISTED {
            self.known.remove(0);
        }
        self.known.push(loss);
    }
}

/// Stores a loss within a transaction.
pub(super) fn store(
    connection: &Connection,
    tally: &mut Tally,
    lost: Lost,
    behind: Option<Timestamp>,
) -> rusqlite::Result<Loss> {
    let last: i64 =
        connection.query_row("SELECT coalesce(max(number), 0) FROM loss", [], |row| row.get(0))?;
    let number = last.saturating_add(1);
    let loss = Loss {
        number: number.unsigned_abs(),
        lost,
        behind,
    };
    let content = encode(number, &loss);
    connection.execute(
        "INSERT INTO loss (number, content) VALUES (?1, ?2)",
        params![number, content],
    )?;
    tally.add(digest_of(
        b'l',
        &[ValueRef::Integer(number), ValueRef::Blob(&content)],
    ));
    let first_kept = number.saturating_sub(MAX_LOSSES);
    let old = "SELECT number, content FROM loss WHERE number <= ?1";
    tally.remove_all(tally_of(connection, b'l', old, [first_kept])?);
    connection.execute("DELETE FROM loss WHERE number <= ?1", [first_kept])?;
    Ok(loss)
}

fn encode(number: i64, loss: &Loss) -> Vec<u8> {
    let (what, kind, counts) = match loss.lost {
        Lost::Rows {
            kind,
            missing,
            damaged,
            unexpected,
        } => (1, code(kind), [missing, damaged, unexpected]),
        Lost::Commits { missing } => (2, 0, [missing, 0, 0]),
        Lost::Replaced => (3, 0, [0; 3]),
        Lost::Head => (4, 0, [0; 3]),
        Lost::Witness => (5, 0, [0; 3]),
        Lost::Database => (6, 0, [0; 3]),
        Lost::Salvaged => (7, 0, [0; 3]),
    };
    let mut bytes = vec![VERSION, what, kind];
    for count in counts {
        bytes.extend_from_slice(&count.to_be_bytes());
    }
    bytes.push(u8::from(loss.behind.is_some()));
    let behind = loss.behind.map_or(0, Timestamp::unix_seconds);
    bytes.extend_from_slice(&behind.to_be_bytes());
    let sum = checksum_of(number, &bytes);
    bytes.extend_from_slice(&sum.to_be_bytes());
    bytes
}

/// Returns whether the bytes are a loss.
pub(super) fn is_sound(number: i64, bytes: &[u8]) -> bool {
    decode(number, bytes).is_some()
}

fn decode(number: i64, bytes: &[u8]) -> Option<Loss> {
    let bytes = split_sound(bytes, |content| checksum_of(number, content))?;
    let ([version, what, kind], bytes) = bytes.split_first_chunk::<3>()?;
    let (counts, bytes) = bytes.split_first_chunk::<24>()?;
    let mut counts = counts
        .as_chunks::<8>()
        .0
        .iter()
        .map(|bytes| u64::from_be_bytes(*bytes));
    let (missing, damaged, unexpected) = (counts.next()?, counts.next()?, counts.next()?);
    let ([has_time], time) = bytes.split_first_chunk::<1>()?;
    let time = i64::from_be_bytes(time.try_into().ok()?);
    if *version != VERSION {
        return None;
    }
    let lost = match *what {
        1 => Lost::Rows {
            kind: kind_of(*kind)?,
            missing,
            damaged,
            unexpected,
        },
        2 => Lost::Commits { missing },
        3 => Lost::Replaced,
        4 => Lost::Head,
        5 => Lost::Witness,
        6 => Lost::Database,
        7 => Lost::Salvaged,
        _ => return None,
    };
    Some(Loss {
        number: u64::try_from(number).ok()?,
        lost,
        behind: Timestamp::from_unix_seconds(time).ok().filter(|_| *has_time == 1),
    })
}

const KINDS: [RowKind; 9] = [
    RowKind::Schema,
    RowKind::Round,
    RowKind::Day,
    RowKind::Element,
    RowKind::Request,
    RowKind::Outbox,
    RowKind::Bundle,
    RowKind::Loss,
    RowKind::Chunk,
];

fn code(kind: RowKind) -> u8 {
    let mut codes = KINDS.into_iter().zip(1..);
    codes
        .find(|(known, _)| *known == kind)
        .map_or(0, |(_, code)| code)
}

fn kind_of(code: u8) -> Option<RowKind> {
    let mut kinds = KINDS.into_iter().zip(1..);
    kinds.find(|(_, known)| *known == code).map(|(kind, _)| kind)
}

fn checksum_of(number: i64, content: &[u8]) -> u32 {
    let mut digest = checksum::begin();
    digest.update(b"L1");
    digest.update(&number.to_be_bytes());
    digest.update(content);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_loss_is_read_back_and_no_flipped_bit_passes() {
        let rows = KINDS.map(|kind| Lost::Rows {
            kind,
            missing: 1,
            damaged: u64::MAX,
            unexpected: 3,
        });
        let others = [
            Lost::Commits { missing: 9 },
            Lost::Replaced,
            Lost::Head,
            Lost::Witness,
            Lost::Database,
            Lost::Salvaged,
        ];
        for lost in rows.into_iter().chain(others) {
            for behind in [None, Timestamp::from_unix_seconds(-5).ok()] {
                let loss = Loss {
                    number: 4,
                    lost,
                    behind,
                };
                let bytes = encode(4, &loss);
                assert_eq!(decode(4, &bytes), Some(loss));
                assert_eq!(decode(5, &bytes), None);
                for place in 0..bytes.len() {
                    let mut flipped = bytes.clone();
                    flipped[place] ^= 1 << (place % 8);
                    assert_eq!(decode(4, &flipped), None, "{place}");
                }
            }
        }
    }
}
