//! What is taken from a damaged database: rows whose own checksums say that they are what was stored.
//!
//! A row is known by the form of its columns and by its checksum, which begins with letters of its own for each kind
//! and covers its key: no tree and no description of a table is needed. Requests have no checksum; a wrong one refuses
//! what nobody asks, and one that is missing is made up for by the mark that a salvage raises (see `requests`).

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};

use super::super::elements::{self, Elements};
use super::super::head::Head;
use super::super::keys::part_and_element;
use super::super::{DatabaseError, bundle, chunk, day, evaluation, loss, outbox, part, restrictions};
use super::cells::{self, Layout};
use super::source::{PAGE, Source};
use crate::FileError;

/// The number of rows behind which a transaction ends: memory and what a full disk undoes stay small.
const TRANSACTION_ROWS: u32 = 4_096;

const ELEMENT: &str = "INSERT OR IGNORE INTO element (id, meter, obis, crc) VALUES (?1, ?2, ?3, ?4)";
const MESSAGE: &str =
    "INSERT OR IGNORE INTO outbox (number, id, recipient, crc, content) VALUES (?1, ?2, ?3, ?4, ?5)";
const EVALUATION: &str =
    "INSERT OR IGNORE INTO evaluation (number, label, mark, made, given) VALUES (?1, ?2, ?3, ?4, ?5)";
const CHUNK: &str = "INSERT OR IGNORE INTO chunk VALUES (?1, ?2)";

/// What is taken by a walk through all pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Walk {
    /// The names of the elements, which the checksums of chunks cover.
    Elements,
    /// Everything else.
    Others,
}

/// What a row was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Damaged, or nothing of ours.
    Nothing,
    /// A chunk.
    Chunk,
    /// Something else, and sound.
    Other,
}

/// Rows on their way into the new database.
#[derive(Debug)]
struct Rows<'a> {
    connection: &'a Connection,
    walk: Walk,
    elements: Elements,
    /// The newest head.
    head: Option<Head>,
    /// The rows of the transaction that is open.
    open: u32,
}

/// Brings every sound row of a database into a new one, and returns the head that was found.
pub(super) fn carry_over(
    source: &Source,
    connection: &Connection,
    at: impl Fn(std::io::Error) -> FileError,
) -> Result<Option<Head>, DatabaseError> {
    let free = source.free().map_err(&at)?.unwrap_or_default();
    let mut rows = Rows {
        connection,
        walk: Walk::Elements,
        elements: Elements::default(),
        head: None,
        open: 0,
    };
    let mut page = vec![0; PAGE];
    connection.execute_batch("BEGIN")?;
    for walk in [Walk::Elements, Walk::Others] {
        rows.walk = walk;
        // The first page has the descriptions of the tables, and nothing else.
        for number in 2..=source.pages() {
            if free.contains(&number) {
                continue;
            }
            source.read(number, &mut page).map_err(&at)?;
            rows.take_page(source, &page, &at)?;
        }
        rows.elements = Elements::load(connection)?;
    }
    rows.keep_bundle_of_head()?;
    rows.drop_numbers_of_messages()?;
    connection.execute_batch("COMMIT")?;
    Ok(rows.head)
}

impl Found {
    const fn other(is_sound: bool) -> Self {
        if is_sound { Self::Other } else { Self::Nothing }
    }
}

impl Rows<'_> {
    fn take_page(
        &mut self,
        source: &Source,
        page: &[u8],
        at: &impl Fn(std::io::Error) -> FileError,
    ) -> Result<(), DatabaseError> {
        match cells::layout(page) {
            Layout::Nothing => {}
            Layout::Rows(cells) => {
                let mut others = 0u32;
                let mut nameless = Vec::new();
                for cell in cells {
                    let Some(record) = cell.record(page, source).map_err(at)? else {
                        continue;
                    };
                    let columns = cells::columns(&record).unwrap_or_default();
                    match self.take(cell.key, &columns)? {
                        Found::Chunk => {}
                        Found::Other => others = others.saturating_add(1),
                        Found::Nothing => {
                            self.take_mark(&columns)?;
                            nameless.extend(self.nameless_chunk(cell.key, &columns));
                        }
                    }
                }
                // A page has rows of one table.
                if others == 0 {
                    for (key, content) in nameless {
                        self.insert(CHUNK, params![key, content])?;
                    }
                }
            }
            Layout::Entries(cells) => {
                for cell in cells {
                    if let Some(record) = cell.record(page, source).map_err(at)?
                        && let Some(columns) = cells::columns(&record)
                    {
                        self.take_request(&columns)?;
                        self.take_asked(&columns)?;
                    }
                }
            }
            Layout::Wrecked => {
                let mut place = 0usize;
                // Each round of the loop is further on, and a page has an end.
                while place < PAGE {
                    let mut behind = place.saturating_add(1);
                    if let Some(cell) = cells::row_at(page, place)
                        && let Some(record) = cell.record(page, source).map_err(at)?
                        && let Some(columns) = cells::columns(&record)
                        && self.take(cell.key, &columns)? != Found::Nothing
                    {
                        behind = cell.end;
                    }
                    place = behind;
                }
            }
        }
        Ok(())
    }

    /// Takes a row if it is sound.
    fn take(&mut self, key: i64, columns: &[ValueRef<'_>]) -> rusqlite::Result<Found> {
        use ValueRef::{Blob, Integer, Null, Text};
        let is_first_walk = self.walk == Walk::Elements;
        match *columns {
            [Null, meter @ Text(_), obis @ Text(_), crc @ Integer(_)] => {
                let is_sound = elements::element_of(key, [meter, obis, crc]).is_some();
                if is_sound && is_first_walk {
                    let (meter, obis) = (meter.as_str()?, obis.as_str()?);
                    self.insert(ELEMENT, params![key, meter, obis, crc.as_i64()?])?;
                }
                Ok(Found::other(is_sound))
            }
            _ if is_first_walk => Ok(Found::Nothing),
            [Null, Blob(content)] => self.take_content(key, content),
            [Null, Integer(greatest), Integer(crc)] => {
                let count = elements::count_of(greatest, crc);
                if count.is_some() {
                    let sql = "INSERT INTO element_count (slot, greatest, crc) VALUES (1, ?1, ?2) \
                               ON CONFLICT (slot) DO UPDATE SET greatest = excluded.greatest, crc = excluded.crc \
                               WHERE excluded.greatest > greatest";
                    self.insert(sql, params![greatest, crc])?;
                }
                Ok(Found::other(count.is_some()))
            }
            [
                Null,
                id @ Blob(_),
                recipient @ Blob(_),
                crc @ Integer(_),
                content @ Blob(_),
            ] => {
                let message = outbox::message_of(key, [id, recipient, crc, content]);
                if let Some(message) = &message {
                    let recipient = message.recipient.as_bytes();
                    let row = params![key, message.id, recipient, crc.as_i64()?, message.content];
                    self.insert(MESSAGE, row)?;
                }
                Ok(Found::other(message.is_some()))
            }
            [Null, Integer(version), Blob(digest), Blob(content), Blob(seal)] => {
                let is_sound = bundle::is_sound(version, digest, content, seal);
                if is_sound {
                    let sql = "INSERT INTO bundle (slot, version, digest, content, seal) VALUES (1, ?1, ?2, ?3, ?4) \
                               ON CONFLICT (slot) DO UPDATE SET version = excluded.version, \
                               digest = excluded.digest, content = excluded.content, seal = excluded.seal \
                               WHERE excluded.version > version";
                    self.insert(sql, params![version, digest, content, seal])?;
                }
                Ok(Found::other(is_sound))
            }
            [Null, Integer(version), Blob(content), Blob(seal)] => {
                let is_sound = restrictions::is_sound(version, content, seal);
                if is_sound {
                    let sql = "INSERT INTO restriction (slot, version, content, seal) VALUES (1, ?1, ?2, ?3) \
                               ON CONFLICT (slot) DO UPDATE SET version = excluded.version, \
                               content = excluded.content, seal = excluded.seal WHERE excluded.version > version";
                    self.insert(sql, params![version, content, seal])?;
                }
                Ok(Found::other(is_sound))
            }
            [Null, Blob(label), Integer(mark), Blob(made), Blob(given)] => {
                let is_sound = evaluation::is_sound(key, label, made, given);
                if is_sound {
                    self.insert(EVALUATION, params![key, label, mark, made, given])?;
                }
                Ok(Found::other(is_sound))
            }
            _ => Ok(Found::Nothing),
        }
    }

    /// Takes a row of a key and a content that ends in its checksum.
    fn take_content(&mut self, key: i64, content: &[u8]) -> rusqlite::Result<Found> {
        let (_, id) = part_and_element(key);
        let is_chunk = |element| chunk::read(key, element, content).is_some();
        if part::is_sound(key, content) {
            self.take_round(key, content)?;
        } else if self.elements.name(id).is_some_and(is_chunk) {
            self.insert(CHUNK, params![key, content])?;
            return Ok(Found::Chunk);
        } else if day::is_sound(key, content) {
            // There are two only if the freelist is lost and an old page has an earlier list. What misses a chunk that
            // was forgotten says so; what forgets one is silent.
            let sql = "INSERT INTO day VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE \
                       SET content = excluded.content WHERE length(excluded.content) > length(content)";
            self.insert(sql, params![key, content])?;
        } else if loss::is_sound(key, content) {
            self.insert(
                "INSERT OR IGNORE INTO loss VALUES (?1, ?2)",
                params![key, content],
            )?;
        } else if let Some(head) = Head::decode(content) {
            let known = self.head.map(|known| known.generation);
            if known.is_none_or(|known| known < head.generation) {
                self.head = Some(head);
            }
        } else {
            return Ok(Found::Nothing);
        }
        Ok(Found::Other)
    }

    /// Returns what may be a chunk of an element whose name is lost: it cannot be checked, nor be read, before the name is
    /// known again. A page that has a sound row of another kind has none.
    fn nameless_chunk(&self, key: i64, columns: &[ValueRef<'_>]) -> Option<(i64, Vec<u8>)> {
        let (_, id) = part_and_element(key);
        let is_nameless = self.walk == Walk::Others && self.elements.name(id).is_none();
        match columns {
            [ValueRef::Null, ValueRef::Blob(content)] if is_nameless => Some((key, content.to_vec())),
            _ => None,
        }
    }

    /// Takes a part of a round. Of two under one key the later one counts: what the other says is sealed.
    fn take_round(&mut self, key: i64, content: &[u8]) -> rusqlite::Result<()> {
        let known: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT content FROM round WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        if known.is_none_or(|known| part::before(key, &known) < part::before(key, content)) {
            self.insert(
                "INSERT OR REPLACE INTO round VALUES (?1, ?2)",
                params![key, content],
            )?;
        }
        Ok(())
    }

    /// Takes the mark up to which requests are forgotten; it has no checksum, so that it must stand in a page that is in
    /// order.
    fn take_mark(&mut self, columns: &[ValueRef<'_>]) -> rusqlite::Result<()> {
        if let (Walk::Others, [ValueRef::Null, ValueRef::Integer(expires)]) = (self.walk, columns) {
            let sql = "INSERT INTO request_floor VALUES (1, ?1) \
                       ON CONFLICT (slot) DO UPDATE SET expires = max(expires, excluded.expires)";
            self.insert(sql, params![expires])?;
        }
        Ok(())
    }

    /// Takes a request, from the table or from its index. The index of the outbox has the same form, with a message's
    /// number for an expiry.
    fn take_request(&mut self, columns: &[ValueRef<'_>]) -> rusqlite::Result<()> {
        use ValueRef::{Blob, Integer};
        if let (Walk::Others, [Blob(id), Integer(expires)] | [Integer(expires), Blob(id)]) =
            (self.walk, columns)
            && id.len() == 16
        {
            let sql = "INSERT INTO request VALUES (?1, ?2) \
                       ON CONFLICT (id) DO UPDATE SET expires = max(expires, excluded.expires)";
            self.insert(sql, params![id, expires])?;
        }
        Ok(())
    }

    /// Takes when something was granted, from the table; its index has other columns.
    fn take_asked(&mut self, columns: &[ValueRef<'_>]) -> rusqlite::Result<()> {
        use ValueRef::{Blob, Integer};
        if let (Walk::Others, [Blob(key), Integer(time), Integer(expires)]) = (self.walk, columns)
            && key.len() == 32
        {
            let sql = "INSERT INTO asked VALUES (?1, ?2, ?3) ON CONFLICT (key) DO UPDATE \
                       SET time = excluded.time, expires = excluded.expires WHERE excluded.time > time";
            self.insert(sql, params![key, time, expires])?;
        }
        Ok(())
    }

    /// Drops the bundle unless it is the one that the head accounts for: an earlier one, in a page that was given up,
    /// must not bring back what it allowed. The head accounts for the restrictions together with it. If both are not what
    /// they were and no restrictions were found, some may be lost; that they are is what a missing row says.
    fn keep_bundle_of_head(&self) -> rusqlite::Result<()> {
        let restrictions = restrictions::tally(self.connection)?;
        let mut found = bundle::tally(self.connection)?;
        found.add_all(restrictions);
        if self.head.is_none_or(|head| head.bundle != found) {
            self.connection.execute("DELETE FROM bundle", [])?;
            if restrictions.count == 0 {
                self.connection.execute("DELETE FROM restriction", [])?;
            }
        }
        Ok(())
    }

    /// Drops what the index of the outbox has brought among the requests. If the message is lost, it stays: its expiry is
    /// long past, so that it is forgotten with the next request that comes.
    fn drop_numbers_of_messages(&self) -> rusqlite::Result<()> {
        let sql = "DELETE FROM request WHERE EXISTS \
                   (SELECT 1 FROM outbox WHERE outbox.id = request.id AND outbox.number = request.expires)";
        self.connection.execute(sql, [])?;
        Ok(())
    }

    fn insert(&mut self, sql: &str, row: impl rusqlite::Params) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute(row)?;
        self.open = self.open.saturating_add(1);
        if self.open >= TRANSACTION_ROWS {
            self.open = 0;
            self.connection.execute_batch("COMMIT; BEGIN")?;
        }
        Ok(())
    }
}
