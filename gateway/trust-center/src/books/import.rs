//! Taking over the books of an earlier version, `records.jsonl`: one JSON object per line.
//!
//! The new books are made under another name and get theirs when they are complete, so a cut leaves the old ones in
//! force. The old file stays as `records.jsonl.imported`.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use counterparty::files::{self, FileError};
use messages::certificate::Certificate;
use model::{Fingerprint, Timestamp};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use sqlx::AnyConnection;
use sqlx::query;

use crate::books::certificates::write_issued;
use crate::books::database::Database;
use crate::books::{Act, BooksError, Issued, Outcome, chain, write_terminated};

/// The greatest length of a line in bytes; the longest act had some 500.
const MAX_LINE: u64 = 4_096;

/// An act of the earlier version and when it was done.
#[derive(Debug, Deserialize)]
struct Line {
    time: Timestamp,
    #[serde(flatten)]
    act: Act,
}

/// Takes the earlier books of the folder over, if there are any and it has not been done.
pub(super) fn finish(home: &Path) -> Result<(), BooksError> {
    let old = home.join("records.jsonl");
    if !old.exists() {
        return Ok(());
    }
    let new = home.join("books.db");
    if !new.exists() {
        // Nobody else does the same: whoever has this file locked does it for both.
        let lock = std::fs::File::open(&old).map_err(FileError::at(&old))?;
        lock.lock().map_err(FileError::at(&old))?;
        if !old.exists() || new.exists() {
            return Ok(());
        }
        let begun = home.join("books.db.new");
        for leftover in ["books.db.new", "books.db.new-wal", "books.db.new-shm"] {
            let path = home.join(leftover);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(FileError::at(&path)(error).into());
                }
                _ => {}
            }
        }
        Database::make_file(&begun)?;
        take_over(&Database::open_file(&begun)?, home, &old)?;
        rename(&begun, &new)?;
    }
    rename(&old, &home.join("records.jsonl.imported"))
}

fn rename(from: &Path, to: &Path) -> Result<(), BooksError> {
    std::fs::rename(from, to).map_err(FileError::at(to))?;
    Ok(files::sync_folder_of(to)?)
}

fn take_over(database: &Database, home: &Path, old: &Path) -> Result<(), BooksError> {
    database.define()?;
    let (lines, file) = read(old)?;
    let time = lines.last().map_or(Timestamp::EPOCH, |line| line.time);
    let records = u64::try_from(lines.len()).unwrap_or(u64::MAX);
    let certificates = certificates(home)?;
    database.transact(async |connection: &mut AnyConnection| {
        for line in &lines {
            let record = chain::append(connection, line.time, &line.act).await?;
            write_indexes(connection, &line.act, record).await?;
        }
        chain::append(connection, time, &Act::Imported { records, file }).await?;
        for of_one in &certificates {
            write_issued(connection, time, of_one).await?;
        }
        Ok(())
    })?;
    // The log of a database that is renamed would be left behind, so everything is put into its file.
    database.run(async |connection: &mut AnyConnection| {
        sqlx::raw_sql("PRAGMA journal_mode = DELETE")
            .execute(connection)
            .await?;
        Ok(())
    })
}

async fn write_indexes(connection: &mut AnyConnection, act: &Act, record: i64) -> Result<(), BooksError> {
    let given = |guid: String| {
        query("INSERT INTO guids (guid, station, batch, record) VALUES ($1, '', '', $2)")
            .bind(guid)
            .bind(record)
    };
    let settled = |guid: String| {
        query("INSERT INTO cards (guid, outcome, record) VALUES ($1, $2, $3)")
            .bind(guid)
            .bind(Outcome::Completed.as_str().to_owned())
            .bind(record)
    };
    match act {
        Act::GuidGiven { guid } => given(guid.to_string()).execute(connection).await?,
        Act::Personalized { guid, .. } => settled(guid.to_string()).execute(connection).await?,
        _ => return write_terminated(connection, act, record).await,
    };
    Ok(())
}

/// Reads the earlier books. A last line without its end was never confirmed to anybody.
fn read(path: &Path) -> Result<(Vec<Line>, Fingerprint), BooksError> {
    let at_file = |source| FileError::at(path)(source);
    let mut reader = BufReader::new(std::fs::File::open(path).map_err(at_file)?);
    let (mut lines, mut digest) = (Vec::new(), Sha256::new());
    for line in 1usize.. {
        let mut text = Vec::new();
        let mut bounded = reader.by_ref().take(MAX_LINE);
        bounded.read_until(b'\n', &mut text).map_err(at_file)?;
        digest.update(&text);
        let is_cut = text.last().is_some_and(|byte| *byte != b'\n');
        if text.is_empty() || (is_cut && reader.fill_buf().map_err(at_file)?.is_empty()) {
            break;
        }
        let read = serde_json::from_slice(&text).map_err(|source| BooksError::Damaged {
            path: path.to_owned(),
            line,
            source,
        })?;
        lines.push(read);
    }
    Ok((lines, Fingerprint::new(digest.finalize().into())))
}

/// Reads the certificates that the earlier version kept as files: those of the root, the TSM and the cards.
fn certificates(home: &Path) -> Result<Vec<Vec<Issued>>, BooksError> {
    let slots = ["sig", "enc", "tls"];
    let mut found = vec![
        read_folder(home, &["root"], "authority")?,
        read_slots(&home.join("tsm"), &slots)?,
    ];
    let cards = home.join("cards");
    match std::fs::read_dir(&cards) {
        Ok(entries) => {
            let mut folders = Vec::new();
            for entry in entries {
                folders.push(entry.map_err(FileError::at(&cards))?.path());
            }
            folders.sort();
            for folder in folders {
                found.push(read_slots(&folder, &["sig", "enc", "tls", "attestation"])?);
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(FileError::at(&cards)(error).into()),
    }
    Ok(found)
}

fn read_slots(folder: &Path, names: &[&'static str]) -> Result<Vec<Issued>, BooksError> {
    let mut found = Vec::new();
    for name in names {
        found.append(&mut read_folder(folder, &[name], name)?);
    }
    Ok(found)
}

fn read_folder(folder: &Path, names: &[&str], key: &'static str) -> Result<Vec<Issued>, BooksError> {
    let mut found = Vec::new();
    for name in names {
        let path: PathBuf = folder.join(format!("{name}.pem"));
        match files::read_text(&path, Certificate::MAX_PEM) {
            Ok(text) => found.push(Issued {
                certificate: Certificate::from_pem(&text)?,
                key,
            }),
            // A card that was not completed has not got them all.
            Err(FileError::Missing { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}
