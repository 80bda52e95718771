//! What is looked at when the database is opened: whether everything is there that was confirmed.
//!
//! The trees of the tables are checked by SQLite, so that a search finds what a walk finds; then the rows are counted
//! and compared with the head, and the head with the witness. What differs is a loss. It is stored in the transaction
//! that takes what is there for the new head. Chunks are left out: they are many, and the days' lists account for
//! them; see `checks`.

use model::Timestamp;
use rusqlite::{Connection, TransactionBehavior};

use super::head::{Before, Head, RowKind, Tally, digest_of_row, tally_of};
use super::keys::{Day, time_of_round};
use super::loss::{Loss, Losses, Lost};
use super::witness::{Statement, Witness};
use super::{DatabaseError, asked, day, evaluation, loss, migration, part, points, restrictions};

/// What SQLite says of a tree that is in order.
const SOUND: &str = "ok";

/// The tables whose trees are checked at each start: all but that of the chunks.
const SMALL_TABLES: [&str; 14] = [
    "sqlite_schema",
    "head",
    "round",
    "day",
    "element",
    "element_count",
    "request",
    "request_floor",
    "outbox",
    "bundle",
    "loss",
    "asked",
    "restriction",
    "evaluation",
];

/// What is there.
#[derive(Debug, Default)]
pub(super) struct Present {
    /// The rows as they are; generation and doubts are not counted here.
    pub(super) rows: Head,
    /// The newest part of a round that says what the head was, and its row.
    newest: Option<(Before, u64)>,
    damaged_rounds: u64,
    damaged_days: u64,
}

/// What the witness says about a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It knows no later one.
    Whole,
    /// It knows later ones, so many.
    Behind(u64),
    /// It knows another one of the same generation.
    Other,
    /// It knows none, though there must have been one.
    Silent,
}

/// Makes sure that searches find what is stored; in the chunks only if they are suspected.
///
/// # Errors
///
/// [`DatabaseError::Inconsistent`] if a table's tree or index is not in order.
pub(super) fn check_trees(connection: &Connection, is_suspected: bool) -> Result<(), DatabaseError> {
    // Without a name, it is all trees, and that none has a page of another.
    let all = is_suspected.then_some(("chunk", "PRAGMA integrity_check(1)".to_owned()));
    let small = SMALL_TABLES.map(|table| (table, format!("PRAGMA integrity_check({table})")));
    let check = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0));
    for (table, sql) in small.into_iter().chain(all) {
        // SQLite finds fault with a page that it could not read just now, too. A second look tells: what is damaged
        // stays so, and a salvage for the sake of one failed read would report a loss where there is none.
        if check(&sql)? != SOUND {
            let found = check(&sql)?;
            if found != SOUND {
                return Err(DatabaseError::Inconsistent { table, found });
            }
        }
    }
    Ok(())
}

/// Compares what is there with what was confirmed, takes it for the new head and returns that; what is lost is stored.
pub(super) fn examine(
    connection: &mut Connection,
    witness: &Witness,
    is_provisioned: bool,
    losses: &mut Losses,
) -> Result<Head, DatabaseError> {
    let present = count(connection)?;
    let stored = Head::load(connection)?;
    let mut head = stored.unwrap_or_default();
    if let Some((before, row)) = present.newest {
        head.complete(before, row);
    }
    let lost = match stored {
        Some(_) => {
            let statement = statement_of(witness, &head, connection)?;
            lost(&head, &present, statement, is_provisioned)
        }
        None => vec![Lost::Head],
    };
    if head.schema != present.rows.schema && stored.is_some() {
        return Err(DatabaseError::Inconsistent {
            table: "sqlite_schema",
            found: "the descriptions of the tables have changed".to_owned(),
        });
    }
    if lost.is_empty() {
        return Ok(head);
    }
    let (adopted, found) = adopt(connection, head, present, witness, lost)?;
    found.into_iter().for_each(|loss| losses.add(loss));
    Ok(adopted)
}

/// Compares what a salvage has found, under the head that it has found, with what was confirmed; stores that it was
/// made, and what is lost.
pub(super) fn examine_salvaged(
    connection: &mut Connection,
    witness: &Witness,
    found: Option<Head>,
) -> Result<Vec<Loss>, DatabaseError> {
    let present = count(connection)?;
    let mut head = found.unwrap_or_default();
    if let Some((before, row)) = present.newest {
        head.complete(before, row);
    }
    let mut all = vec![Lost::Salvaged];
    match found {
        Some(_) => {
            let statement = statement_of(witness, &head, connection)?;
            all.extend(lost(&head, &present, statement, false));
        }
        None => all.push(Lost::Head),
    }
    let (_, losses) = adopt(connection, head, present, witness, all)?;
    Ok(losses)
}

/// Returns what the witness says; of the head as it was before migrations that changed nothing else, it says the same of the
/// head that is there.
fn statement_of(
    witness: &Witness,
    head: &Head,
    connection: &Connection,
) -> rusqlite::Result<Option<Statement>> {
    let before = [
        migration::v3::before(head, connection)?,
        migration::v4::before(head, connection)?,
    ];
    let statement = witness.statement();
    Ok(statement.map(|statement| {
        if before.iter().any(|before| statement.is_of(before)) {
            Statement::of(head)
        } else {
            statement
        }
    }))
}

/// Takes what is there for the new head, and stores it with what is lost.
fn adopt(
    connection: &mut Connection,
    head: Head,
    present: Present,
    witness: &Witness,
    lost: Vec<Lost>,
) -> Result<(Head, Vec<Loss>), DatabaseError> {
    let known = witness.statement().map_or(0, |statement| statement.generation);
    let mut adopted = Head {
        generation: head.generation.max(known).saturating_add(1),
        is_unsure: head.is_unsure || lost.iter().any(|lost| is_doubt(*lost)),
        ..present.rows
    };
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    list_days(&transaction, &mut adopted.days)?;
    let behind = latest_time(&transaction)?;
    let mut found = Vec::new();
    for lost in lost {
        found.push(loss::store(&transaction, &mut adopted.losses, lost, behind)?);
    }
    adopted.store(&transaction)?;
    transaction.commit()?;
    Ok((adopted, found))
}

/// Returns whether a request that was accepted may be missing with it.
const fn is_doubt(lost: Lost) -> bool {
    match lost {
        Lost::Rows { kind, .. } => matches!(kind, RowKind::Request),
        Lost::Commits { .. }
        | Lost::Replaced
        | Lost::Head
        | Lost::Witness
        | Lost::Database
        | Lost::Salvaged => true,
    }
}

/// Returns what is lost, compared with what the head and the witness say.
fn lost(head: &Head, present: &Present, statement: Option<Statement>, is_provisioned: bool) -> Vec<Lost> {
    let mut lost = Vec::new();
    let had_past = statement.is_some_and(|statement| statement.generation > head.generation);
    if head.is_blank() && (had_past || (statement.is_none() && is_provisioned)) {
        return vec![Lost::Database];
    }
    match verdict(head, statement) {
        Verdict::Whole => {}
        Verdict::Behind(missing) => lost.push(Lost::Commits { missing }),
        Verdict::Other => lost.push(Lost::Replaced),
        Verdict::Silent => lost.push(Lost::Witness),
    }
    for kind in RowKind::COUNTED {
        let (expected, found) = (head.tally(kind), present.rows.tally(kind));
        if expected == found || kind == RowKind::Schema {
            continue;
        }
        let missing = expected.count.saturating_sub(found.count);
        let unexpected = found.count.saturating_sub(expected.count);
        let damaged = match kind {
            RowKind::Round => present.damaged_rounds,
            RowKind::Day => present.damaged_days,
            _ => 0,
        };
        let is_told = missing > 0 || unexpected > 0;
        lost.push(Lost::Rows {
            kind,
            missing,
            damaged: if is_told { damaged } else { damaged.max(1) },
            unexpected,
        });
    }
    lost
}

fn verdict(head: &Head, statement: Option<Statement>) -> Verdict {
    match statement {
        // Between the first commit and the first statement there was nothing to be confirmed.
        None if head.generation <= 1 => Verdict::Whole,
        None => Verdict::Silent,
        // A commit that was not witnessed was not confirmed either; it stays.
        Some(statement) if statement.generation < head.generation => Verdict::Whole,
        Some(statement) if statement.is_of(head) => Verdict::Whole,
        Some(statement) if statement.generation == head.generation => Verdict::Other,
        Some(statement) => Verdict::Behind(statement.generation.saturating_sub(head.generation)),
    }
}

/// Counts the rows that are there.
pub(super) fn count(connection: &Connection) -> rusqlite::Result<Present> {
    let mut present = count_version_3(connection)?;
    present.rows.requests.add_all(asked::tally(connection)?);
    present.rows.bundle.add_all(restrictions::tally(connection)?);
    present.rows.days.add_all(evaluation::tally(connection)?);
    Ok(present)
}

/// Counts the rows of the tables that version 3 had.
pub(super) fn count_version_3(connection: &Connection) -> rusqlite::Result<Present> {
    let tally = |letter, sql| tally_of(connection, letter, sql, []);
    let mut present = Present::default();
    let rows = &mut present.rows;
    rows.schema = tables(connection)?;
    rows.elements = tally(b'e', "SELECT id, meter, obis, crc FROM element")?;
    rows.elements
        .add_all(tally(b'g', "SELECT greatest, crc FROM element_count")?);
    rows.requests = tally(b'q', "SELECT id, expires FROM request")?;
    rows.requests
        .add_all(tally(b'x', "SELECT expires FROM request_floor")?);
    rows.outbox = tally(
        b'o',
        "SELECT number, id, recipient, crc, length(content) FROM outbox",
    )?;
    rows.bundle = tally(b'u', "SELECT version, digest, seal FROM bundle")?;
    rows.losses = tally(b'l', "SELECT number, content FROM loss")?;
    count_days(connection, &mut present)?;
    count_rounds(connection, &mut present)?;
    Ok(present)
}

/// Completes a head by what the newest round says.
pub(super) fn count_rounds_of(connection: &Connection, head: &mut Head) -> rusqlite::Result<()> {
    let mut present = Present::default();
    count_rounds(connection, &mut present)?;
    if let Some((before, row)) = present.newest {
        head.complete(before, row);
    }
    Ok(())
}

/// Counts the descriptions of the tables.
pub(super) fn tables(connection: &Connection) -> rusqlite::Result<Tally> {
    tally_of(connection, b's', "SELECT type, name, sql FROM sqlite_schema", [])
}

fn count_days(connection: &Connection, present: &mut Present) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT key, content FROM day")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        present.rows.days.add(digest_of_row(b'd', row)?);
        if !day::is_sound(row.get(0)?, points::content(row)?) {
            present.damaged_days = present.damaged_days.saturating_add(1);
        }
    }
    Ok(())
}

fn count_rounds(connection: &Connection, present: &mut Present) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT key, content FROM round")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let digest = digest_of_row(b'r', row)?;
        present.rows.rounds.add(digest);
        let (key, content) = (row.get(0)?, points::content(row)?);
        if !part::is_sound(key, content) {
            present.damaged_rounds = present.damaged_rounds.saturating_add(1);
            continue;
        }
        if let Some(before) = part::before(key, content)
            && present.newest.is_none_or(|(newest, _)| newest < before)
        {
            present.newest = Some((before, digest));
        }
    }
    Ok(())
}

/// Makes incomplete lists for days that have chunks and whose list is lost, so that these days are known again.
fn list_days(connection: &Connection, tally: &mut Tally) -> rusqlite::Result<()> {
    let mut from = Day::FIRST;
    // Each day that is found is later than the one before.
    while let Some(found) = points::next_day(connection, from)? {
        let has_chunks = !points::chunk_parts(connection, found)?.is_empty();
        if has_chunks && day::load(connection, found)? == day::Known::Nothing {
            let record = day::load_or_list(connection, found)?;
            day::store(connection, tally, found, &record)?;
        }
        from = found.next();
    }
    Ok(())
}

/// Returns the latest time for which anything is there.
pub(super) fn latest_time(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let last = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
    let round = last("SELECT max(key) FROM round")?.map(time_of_round);
    let chunk = last("SELECT max(key) FROM chunk")?.map(|key| Day::of_chunk(key).next().start());
    let latest = round.max(chunk);
    Ok(latest.and_then(|time| Timestamp::from_unix_seconds(time).ok()))
}
