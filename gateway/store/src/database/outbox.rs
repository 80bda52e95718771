//! The outbox: messages that wait until their recipient says that it has them.
//!
//! They are queued in the transaction that stores the readings they tell of. A message is forgotten
//! when its recipient's receipt has come, or when its recipient is not to have it any more, and for no other reason: a
//! broker's word proves nothing.
//!
//! The checksum of a row covers `O1`, number (8, big-endian), id (16), recipient (32) and content. A damaged
//! message is never handed out; its receipt can still come, if it went out before.

use std::collections::BTreeSet;

use model::Fingerprint;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::head::{Tally, digest_of, tally_of};
use super::{Database, DatabaseError, Inner, checksum};

/// The greatest number of messages that are handed out at once.
const PENDING_MESSAGES: usize = 64;

/// The number of bytes behind which no further message is handed out at once.
const PENDING_BYTES: usize = 1 << 20;

/// A message for somebody outside; what it says is opaque here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxMessage {
    /// Its id, by which the recipient tells a repeat.
    pub id: [u8; 16],
    /// The fingerprint of the recipient's SIG certificate.
    pub recipient: Fingerprint,
    /// The message.
    pub content: Vec<u8>,
}

impl OutboxMessage {
    /// The greatest length of a message's content in bytes: 16 MB of them leave room for a dozen.
    pub const MAX_CONTENT: usize = 1 << 20;
}

/// Messages that wait, in the order in which they were queued.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pending {
    /// The messages and their numbers in the queue.
    pub messages: Vec<(u64, OutboxMessage)>,
    /// The numbers of messages that are damaged.
    pub damaged: Vec<u64>,
    /// The number behind which to go on, if there may be more.
    pub more: Option<u64>,
}

/// What waits for the receipts of one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Arrears {
    /// How many messages.
    pub messages: u64,
    /// The length of their contents in bytes.
    pub bytes: u64,
}

impl Arrears {
    /// Behind how many messages nobody is sent more.
    const MAX_MESSAGES: u64 = 64;
    /// Behind how many bytes: with one message more of the greatest length, seven recipients that send no receipts have room.
    const MAX_BYTES: u64 = 1 << 20;

    /// Returns whether nothing more is to be queued until receipts come.
    #[must_use]
    pub const fn are_too_many(self) -> bool {
        self.messages >= Self::MAX_MESSAGES || self.bytes >= Self::MAX_BYTES
    }
}

/// What a receipt did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Receipt {
    /// The message is forgotten, and that is on the disk.
    Forgotten,
    /// No such message waits for this recipient's receipt: it is forgotten already, or never was.
    Unknown,
}

/// What the outbox holds, or may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Occupancy {
    pub(super) messages: usize,
    pub(super) bytes: usize,
    /// The greatest number that was given since the start, or that waits. It never goes back while the
    /// daemon runs, so that whoever goes through the queue misses nothing.
    pub(super) last: i64,
}

impl Occupancy {
    /// The most that may wait: 40 days of one message to each of 100 suppliers a day, or 16 MB.
    pub(super) const LIMIT: Self = Self {
        messages: 4_096,
        bytes: 16 << 20,
        last: i64::MAX,
    };

    /// What suppliers may fill of it: the TSM, which alone can end what one of them does, finds room in any case.
    pub(super) const OF_SUPPLIERS: Self = Self {
        messages: 4_032,
        bytes: 14 << 20,
        last: i64::MAX,
    };
}

/// The reason why a message is not queued, or the queue cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// Too much waits for receipts.
    #[error("{messages} messages with {bytes} bytes wait for receipts, and there is no room for more")]
    Full {
        /// The number of messages that wait.
        messages: usize,
        /// The length of their contents in bytes.
        bytes: usize,
    },
    /// The message is longer than [`OutboxMessage::MAX_CONTENT`].
    #[error("the message has {found} bytes, more than can be queued")]
    TooLarge {
        /// Its length in bytes.
        found: usize,
    },
    /// Another message waits under the same id.
    #[error("another message waits under the same id")]
    IdTaken,
    /// The database failed.
    #[error("the outbox cannot be read or written")]
    Database(#[from] DatabaseError),
}

impl From<rusqlite::Error> for OutboxError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

impl Database {
    /// Queues a message for a supplier; on return it is on the disk. Queued again, it waits once.
    ///
    /// # Errors
    ///
    /// [`OutboxError`]; the message does not wait then.
    pub fn enqueue(&self, message: &OutboxMessage) -> Result<(), OutboxError> {
        self.lock().enqueue(message, Occupancy::OF_SUPPLIERS)
    }

    /// Queues a message for the TSM as [`Database::enqueue`] does, where suppliers have no room left too.
    ///
    /// # Errors
    ///
    /// As [`Database::enqueue`].
    pub fn enqueue_for_tsm(&self, message: &OutboxMessage) -> Result<(), OutboxError> {
        self.lock().enqueue(message, Occupancy::LIMIT)
    }

    /// Returns messages that wait, behind a number in the queue, as many as are handed out at once.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Database`] if the database cannot be read.
    pub fn pending(&self, behind: Option<u64>) -> Result<Pending, OutboxError> {
        self.lock().pending(behind)
    }

    /// Returns what waits for a recipient's receipts.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Database`] if the database cannot be read.
    pub fn waiting_for(&self, recipient: Fingerprint) -> Result<Arrears, OutboxError> {
        self.lock().waiting_for(recipient)
    }

    /// Forgets the message that the recipient says it has. The caller has verified who says so.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Database`] if that cannot be stored; the message waits on.
    pub fn receipt(&self, id: &[u8; 16], recipient: Fingerprint) -> Result<Receipt, OutboxError> {
        self.lock().receipt(id, recipient)
    }

    /// Forgets every message that is for none of these; returns how many there were.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Database`] if that cannot be stored; all of them wait on.
    pub fn withhold_from_all_but(&self, recipients: &BTreeSet<Fingerprint>) -> Result<u64, OutboxError> {
        self.lock().withhold_from_all_but(recipients)
    }
}

impl Inner {
    pub(super) fn enqueue(&mut self, message: &OutboxMessage, limit: Occupancy) -> Result<(), OutboxError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let messages = std::slice::from_ref(message);
        let mut head = self.head.next();
        let occupancy = queue(&transaction, &mut head.outbox, messages, self.outbox, limit)?;
        if head.outbox == self.head.outbox {
            return Ok(());
        }
        head.store(&transaction)?;
        transaction.commit()?;
        self.outbox = occupancy;
        Ok(self.confirm(head)?)
    }

    fn pending(&self, behind: Option<u64>) -> Result<Pending, OutboxError> {
        let behind = behind.map_or(0, |number| i64::try_from(number).unwrap_or(i64::MAX));
        let mut pending = Pending::default();
        let mut bytes = 0usize;
        let mut statement = self.connection.prepare_cached(
            "SELECT number, id, recipient, crc, content FROM outbox WHERE number > ?1 ORDER BY number",
        )?;
        let mut rows = statement.query([behind])?;
        while let Some(row) = rows.next()? {
            let handed_out = pending.messages.len().saturating_add(pending.damaged.len());
            if handed_out >= PENDING_MESSAGES || bytes >= PENDING_BYTES {
                let last = pending.messages.last().map(|(number, _)| *number);
                pending.more = last.max(pending.damaged.last().copied());
                break;
            }
            let number: i64 = row.get(0)?;
            let message = read_message(row, number)?;
            let number = u64::try_from(number).unwrap_or_default();
            match message {
                Some(message) => {
                    bytes = bytes.saturating_add(message.content.len());
                    pending.messages.push((number, message));
                }
                None => pending.damaged.push(number),
            }
        }
        Ok(pending)
    }

    fn waiting_for(&self, recipient: Fingerprint) -> Result<Arrears, OutboxError> {
        let waiting: (i64, i64) = self
            .connection
            .prepare_cached(
                "SELECT count(*), coalesce(sum(length(content)), 0) FROM outbox WHERE recipient = ?1",
            )?
            .query_row([recipient.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Arrears {
            messages: u64::try_from(waiting.0).unwrap_or_default(),
            bytes: u64::try_from(waiting.1).unwrap_or_default(),
        })
    }

    fn receipt(&mut self, id: &[u8; 16], recipient: Fingerprint) -> Result<Receipt, OutboxError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let length: Option<i64> = transaction
            .prepare_cached("SELECT length(content) FROM outbox WHERE id = ?1 AND recipient = ?2")?
            .query_row(params![id, recipient.as_bytes()], |row| row.get(0))
            .optional()?;
        let Some(length) = length else {
            return Ok(Receipt::Unknown);
        };
        let mut head = self.head.next();
        head.outbox
            .remove_all(tally_of(&transaction, b'o', MESSAGE_OF_ID, params![id])?);
        transaction
            .prepare_cached("DELETE FROM outbox WHERE id = ?1")?
            .execute(params![id])?;
        head.store(&transaction)?;
        transaction.commit()?;
        let length = usize::try_from(length).unwrap_or_default();
        self.outbox = Occupancy {
            messages: self.outbox.messages.saturating_sub(1),
            bytes: self.outbox.bytes.saturating_sub(length),
            ..self.outbox
        };
        self.confirm(head)?;
        Ok(Receipt::Forgotten)
    }

    fn withhold_from_all_but(&mut self, recipients: &BTreeSet<Fingerprint>) -> Result<u64, OutboxError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let waiting: Vec<(Vec<u8>, i64, i64)> = transaction
            .prepare_cached(
                "SELECT recipient, count(*), sum(length(content)) FROM outbox GROUP BY recipient",
            )?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        let is_meant = |recipient: &[u8]| recipients.iter().any(|known| known.as_bytes() == recipient);
        let mut head = self.head.next();
        let mut left = self.outbox;
        let mut withheld = 0;
        for (recipient, messages, bytes) in waiting {
            if is_meant(&recipient) {
                continue;
            }
            head.outbox
                .remove_all(tally_of(&transaction, b'o', MESSAGES_FOR, params![recipient])?);
            transaction
                .prepare_cached("DELETE FROM outbox WHERE recipient = ?1")?
                .execute(params![recipient])?;
            left.messages = left
                .messages
                .saturating_sub(usize::try_from(messages).unwrap_or_default());
            left.bytes = left
                .bytes
                .saturating_sub(usize::try_from(bytes).unwrap_or_default());
            withheld = u64::try_from(messages)
                .unwrap_or_default()
                .saturating_add(withheld);
        }
        if withheld == 0 {
            return Ok(0);
        }
        head.store(&transaction)?;
        transaction.commit()?;
        self.outbox = left;
        self.confirm(head)?;
        Ok(withheld)
    }
}

/// The columns of the digest.
const MESSAGE_OF_ID: &str = "SELECT number, id, recipient, crc, length(content) FROM outbox WHERE id = ?1";
/// The same of all messages for one recipient.
const MESSAGES_FOR: &str =
    "SELECT number, id, recipient, crc, length(content) FROM outbox WHERE recipient = ?1";

/// Queues messages within a transaction, accounts for them and returns what the outbox holds when it is committed.
pub(super) fn queue(
    connection: &Connection,
    tally: &mut Tally,
    messages: &[OutboxMessage],
    occupancy: Occupancy,
    limit: Occupancy,
) -> Result<Occupancy, OutboxError> {
    let mut after = occupancy;
    for message in messages {
        let found = message.content.len();
        if found > OutboxMessage::MAX_CONTENT {
            return Err(OutboxError::TooLarge { found });
        }
        if waits(connection, message)? {
            continue;
        }
        after.messages = after.messages.saturating_add(1);
        after.bytes = after.bytes.saturating_add(found);
        if after.messages > limit.messages || after.bytes > limit.bytes {
            return Err(OutboxError::Full {
                messages: occupancy.messages,
                bytes: occupancy.bytes,
            });
        }
        after.last = after.last.saturating_add(1);
        tally.add(insert(connection, after.last, message)?);
    }
    Ok(after)
}

/// Returns whether the message waits already.
fn waits(connection: &Connection, message: &OutboxMessage) -> Result<bool, OutboxError> {
    let same = connection
        .prepare_cached("SELECT recipient = ?2 AND content = ?3 FROM outbox WHERE id = ?1")?
        .query_row(
            params![message.id, message.recipient.as_bytes(), message.content],
            |row| row.get(0),
        )
        .optional()?;
    match same {
        Some(false) => Err(OutboxError::IdTaken),
        same => Ok(same.is_some()),
    }
}

/// Stores a message and returns the digest of its row.
fn insert(connection: &Connection, number: i64, message: &OutboxMessage) -> rusqlite::Result<u64> {
    let crc = message_checksum(number, message);
    connection
        .prepare_cached(
            "INSERT INTO outbox (number, id, recipient, crc, content) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            number,
            message.id,
            message.recipient.as_bytes(),
            crc,
            message.content
        ])?;
    Ok(digest_of(
        b'o',
        &[
            ValueRef::Integer(number),
            ValueRef::Blob(&message.id),
            ValueRef::Blob(message.recipient.as_bytes()),
            ValueRef::Integer(i64::from(crc)),
            ValueRef::Integer(i64::try_from(message.content.len()).unwrap_or(i64::MAX)),
        ],
    ))
}

/// Reads columns `id, recipient, crc, content` from the second one on; `None` if the row is damaged.
fn read_message(row: &Row<'_>, number: i64) -> rusqlite::Result<Option<OutboxMessage>> {
    let columns = [row.get_ref(1)?, row.get_ref(2)?, row.get_ref(3)?, row.get_ref(4)?];
    Ok(message_of(number, columns))
}

/// Reads the columns behind a message's number; `None` if the row is damaged.
pub(super) fn message_of(
    number: i64,
    [id, recipient, crc, content]: [ValueRef<'_>; 4],
) -> Option<OutboxMessage> {
    let parse = || {
        let recipient: [u8; 32] = recipient.as_blob().ok()?.try_into().ok()?;
        Some(OutboxMessage {
            id: id.as_blob().ok()?.try_into().ok()?,
            recipient: Fingerprint::new(recipient),
            content: content.as_blob().ok()?.to_vec(),
        })
    };
    let is_sound =
        |message: &OutboxMessage| crc == ValueRef::Integer(i64::from(message_checksum(number, message)));
    parse().filter(is_sound)
}

fn message_checksum(number: i64, message: &OutboxMessage) -> u32 {
    let mut digest = checksum::begin();
    digest.update(b"O1");
    digest.update(&number.to_be_bytes());
    digest.update(&message.id);
    digest.update(message.recipient.as_bytes());
    digest.update(&message.content);
    digest.finalize()
}

/// Returns what the outbox holds.
pub(super) fn occupancy(connection: &Connection) -> rusqlite::Result<Occupancy> {
    let sql = "SELECT count(*), coalesce(sum(length(content)), 0), coalesce(max(number), 0) FROM outbox";
    let count = |row: &Row<'_>, column| -> rusqlite::Result<usize> {
        let count: i64 = row.get(column)?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    };
    connection.query_row(sql, [], |row| {
        Ok(Occupancy {
            messages: count(row, 0)?,
            bytes: count(row, 1)?,
            last: row.get(2)?,
        })
    })
}
