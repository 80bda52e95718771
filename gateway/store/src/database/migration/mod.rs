//! Versions of the database, forward only.

mod v1;
mod v2;
pub(super) mod v3;
pub(super) mod v4;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{DatabaseError, examination};

/// `SMGW` in ASCII: what SQLite's header names the database's owner by.
pub(super) const APPLICATION_ID: i64 = 0x534d_4757;

/// A step from one version to the next. Never edited once it was in the field.
struct Step {
    /// Makes the tables.
    script: &'static str,
    /// Brings over what the version before has stored.
    carry_over: fn(&Transaction<'_>) -> rusqlite::Result<()>,
}

/// The steps; the first one makes version 1.
const STEPS: [Step; 5] = [
    Step {
        script: include_str!("../../../schema/v1.sql"),
        carry_over: |_| Ok(()),
    },
    Step {
        script: include_str!("../../../schema/v2.sql"),
        carry_over: v1::carry_over,
    },
    Step {
        script: include_str!("../../../schema/v3.sql"),
        carry_over: v2::carry_over,
    },
    Step {
        script: include_str!("../../../schema/v4.sql"),
        carry_over: v3::carry_over,
    },
    Step {
        script: include_str!("../../../schema/v5.sql"),
        carry_over: v4::carry_over,
    },
];

/// Brings the database to the newest version, each step in one transaction.
///
/// Taking the first transaction also takes the exclusive lock.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), DatabaseError> {
    let mut done = usize::MAX;
    while done > 0 {
        done = step(connection)?;
    }
    Ok(())
}

/// Makes one step and returns the number of steps that were made: 1, or 0 at the newest version.
fn step(connection: &mut Connection) -> Result<usize, DatabaseError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    let number = |sql| transaction.query_row(sql, [], |row| row.get::<_, i64>(0));
    let version = number("PRAGMA user_version")?;
    let owner = number("PRAGMA application_id")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    let is_empty = (version, owner, tables) == (0, 0, 0);
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if (owner, version) != (APPLICATION_ID, known) && !is_empty && has_newest_tables(&transaction)? {
        return Err(DatabaseError::Inconsistent {
            table: "sqlite_schema",
            found: format!("the header names version {version} of application {owner}"),
        });
    }
    if owner != APPLICATION_ID && !is_empty {
        return Err(DatabaseError::NotOurs);
    }
    if version > known {
        return Err(DatabaseError::TooNew {
            found: version,
            known,
        });
    }
    let step = usize::try_from(version).ok().and_then(|index| STEPS.get(index));
    let Some(step) = step else {
        return Ok(0);
    };
    transaction.execute_batch(step.script)?;
    (step.carry_over)(&transaction)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", version.saturating_add(1))?;
    transaction.commit()?;
    Ok(1)
}

/// Returns whether the tables are those of the newest version that is known, to the letter: then the database has that
/// version, whatever its header says. Each step changes a table, so that this can be told.
fn has_newest_tables(transaction: &Transaction<'_>) -> rusqlite::Result<bool> {
    let mut newest = Connection::open_in_memory()?;
    let made = newest.transaction()?;
    for step in STEPS {
        made.execute_batch(step.script)?;
        (step.carry_over)(&made)?;
    }
    Ok(examination::tables(&made)? == examination::tables(transaction)?)
}
