//! The logs through the control socket: pages of entries, and the outcome of a verification.

use std::fmt;

use axum::extract::{Path as Segment, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use model::{Fingerprint, LogHash, LogKind, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{LogEntry, LogError, LogPage, Verification};

use super::blocking;
use crate::journal::Journal;
use crate::report::Chain;

/// The name of the schema of an entry and its version; additive within the version.
const ENTRY_SCHEMA: &str = "smgw.log/1";
/// The name of the schema of a verification and its version; additive within the version.
const VERIFICATION_SCHEMA: &str = "smgw.log-verification/1";

/// Where a verification is asked for.
pub(crate) const VERIFICATION: &str = "/v1/log-verification";

/// Returns where a page of a log is asked for.
pub(crate) fn page_address(kind: LogKind, after: u64, since: Option<Timestamp>) -> String {
    let since = since.map_or_else(String::new, |since| format!("&since={since}"));
    format!("/v1/logs/{kind}?after={after}{since}")
}

/// An entry as the command line prints it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    schema: String,
    log: LogKind,
    sequence: u64,
    time: Timestamp,
    /// Whether the clock could be trusted when the entry was written.
    clock_trusted: bool,
    /// The code of the event; none if this software does not know it.
    code: Option<String>,
    /// The event in words.
    text: String,
    /// What the entry says.
    event: Value,
    /// The hash that chains it.
    hash: LogHash,
}

impl From<LogEntry> for Entry {
    fn from(entry: LogEntry) -> Self {
        let known = entry.event();
        let text = known
            .as_ref()
            .map_or_else(|| entry.content.clone(), ToString::to_string);
        Self {
            schema: ENTRY_SCHEMA.to_owned(),
            log: entry.log,
            sequence: entry.sequence,
            time: entry.at.time,
            clock_trusted: entry.at.clock_trusted,
            code: known.map(|event| event.code().to_owned()),
            text,
            event: serde_json::from_str(&entry.content).unwrap_or(Value::String(entry.content)),
            hash: entry.hash,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.clock_trusted { ' ' } else { '?' };
        let code = self.code.as_deref().unwrap_or("unknown");
        write!(
            formatter,
            "{:>8}  {}{mark}  {code:<11}  {}",
            self.sequence, self.time, self.text
        )
    }
}

/// A page of a log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    /// The entry behind which the next page begins, if there is one.
    pub(crate) next: Option<u64>,
}

impl From<LogPage> for Page {
    fn from(page: LogPage) -> Self {
        Self {
            entries: page.entries.into_iter().map(Entry::from).collect(),
            next: page.next,
        }
    }
}

/// Something that is wrong.
#[derive(Debug, Serialize, Deserialize)]
struct Fault {
    code: String,
    /// The first entry that is bad, if it is about one.
    sequence: Option<u64>,
    text: String,
}

/// What a verification found out about one log.
#[derive(Debug, Serialize, Deserialize)]
struct Verdict {
    log: LogKind,
    /// The number of entries that are sound.
    entries: u64,
    /// The first of them, if there is any, is the one behind so many that are deleted.
    pruned: u64,
    /// The last of them; 0 if there never was one.
    last: u64,
    /// The hash of the last of them.
    hash: LogHash,
    /// The number of entries that the card has signed.
    signed: u64,
    /// The length of an unfinished entry at the end, in bytes; the next start cuts it off.
    torn_bytes: usize,
    fault: Option<Fault>,
}

/// The last signature over the heads.
#[derive(Debug, Serialize, Deserialize)]
struct Signature {
    number: u64,
    time: Timestamp,
    /// The fingerprint of the certificate of the key.
    certificate: Fingerprint,
}

/// The outcome of a verification, as the command line prints it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    schema: String,
    pub(crate) sound: bool,
    /// Whether the signature's key was compared with the bound card's.
    key_compared: bool,
    signature: Option<Signature>,
    fault: Option<Fault>,
    logs: Vec<Verdict>,
}

impl Report {
    pub(crate) fn new(verification: &Verification, key_compared: bool) -> Self {
        let verdict = |log: &store::LogVerdict| Verdict {
            log: log.log,
            entries: log.entries(),
            pruned: log.base.count,
            last: log.head.count,
            hash: log.head.hash,
            signed: log.signed,
            torn_bytes: log.torn,
            fault: log.fault.map(|fault| Fault {
                code: fault.code().to_owned(),
                sequence: Some(fault.sequence()),
                text: fault.to_string(),
            }),
        };
        Self {
            schema: VERIFICATION_SCHEMA.to_owned(),
            sound: verification.is_sound(),
            key_compared,
            signature: verification.signed.map(|signed| Signature {
                number: signed.number,
                time: signed.time,
                certificate: signed.certificate,
            }),
            fault: verification.fault.map(|fault| Fault {
                code: fault.code().to_owned(),
                sequence: None,
                text: fault.to_string(),
            }),
            logs: verification.logs.iter().map(verdict).collect(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for log in &self.logs {
            let Verdict {
                entries,
                last,
                signed,
                ..
            } = log;
            write!(
                formatter,
                "{:<12} {entries} entries up to {last}, {signed} signed: ",
                log.log.name()
            )?;
            match &log.fault {
                Some(fault) => writeln!(formatter, "BAD, {} ({})", fault.text, fault.code)?,
                None if log.torn_bytes > 0 => {
                    writeln!(formatter, "sound; the entry behind it was never finished")?
                }
                None => writeln!(formatter, "sound")?,
            }
        }
        match &self.signature {
            Some(signature) => writeln!(
                formatter,
                "signature    number {} at {}, certificate {}",
                signature.number, signature.time, signature.certificate
            )?,
            None => writeln!(formatter, "signature    none yet")?,
        }
        if let Some(fault) = &self.fault {
            writeln!(formatter, "             BAD, {} ({})", fault.text, fault.code)?;
        } else if self.signature.is_some() && !self.key_compared {
            writeln!(
                formatter,
                "             its key was not compared with the bound card's"
            )?;
        }
        Ok(())
    }
}

/// Which part of a log is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(default)]
    after: u64,
    since: Option<Timestamp>,
}

/// Answers what the command line asks about the logs.
pub(super) fn router(journal: Journal) -> Router {
    Router::new()
        .route("/v1/logs/{kind}", get(page))
        .route(VERIFICATION, get(verification))
        .with_state(journal)
}

async fn page(
    State(journal): State<Journal>,
    Segment(kind): Segment<LogKind>,
    Query(part): Query<Part>,
) -> Result<Json<Page>, StatusCode> {
    let page = read(move || journal.logs().page(kind, part.after, part.since)).await?;
    Ok(Json(page.into()))
}

async fn verification(State(journal): State<Journal>) -> Result<Json<Report>, StatusCode> {
    let (verification, key_compared) = read(move || Ok((journal.verify()?, journal.compares_keys()))).await?;
    Ok(Json(Report::new(&verification, key_compared)))
}

async fn read<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, LogError> + Send + 'static,
) -> Result<R, StatusCode> {
    blocking(work).await?.map_err(|error| {
        tracing::error!("{}", Chain(&error));
        StatusCode::INTERNAL_SERVER_ERROR
    })
}

#[cfg(test)]
mod tests;
