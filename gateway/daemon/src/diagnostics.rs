//! What the daemon says of itself while it runs: to the system's journal with fields, or to standard error as text.
//!
//! It is not the three logs, see [`crate::journal`]: nothing depends on it, and nothing is kept by it. In systemd's journal
//! each field of an event has a name of its own, `SMGW_CODE`, `SMGW_METER`, `SMGW_BUS`, `SMGW_REMEDY`, so that
//! `journalctl SMGW_CODE=SMGW-S-0203` finds what a state has to say; its level is the priority.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Where systemd says which stream is connected to its journal, as `DEVICE:INODE` (systemd.exec(5)).
const JOURNAL_STREAM: &str = "JOURNAL_STREAM";
/// What the names of our fields begin with in the journal.
const FIELDS: &str = "SMGW";
/// The level of an error in the text of a stream that the journal reads (sd-daemon(3)).
const ERROR_PREFIX: &str = "<3>";

/// Begins to say what happens, from the level of information on.
pub(crate) fn begin() {
    if let Some(journal) = journal() {
        tracing_subscriber::registry()
            .with(LevelFilter::INFO)
            .with(journal)
            .init();
        return;
    }
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
}

/// Returns what an error on standard error begins with: its level, if the journal reads it, so that it is found there as one.
pub(crate) fn error_prefix() -> &'static str {
    if is_read_by_the_journal() {
        ERROR_PREFIX
    } else {
        ""
    }
}

/// Returns the way to the journal, if standard error goes there; a journal that cannot be reached gets the text at least.
fn journal() -> Option<tracing_journald::Layer> {
    if !is_read_by_the_journal() {
        return None;
    }
    let layer = tracing_journald::layer().ok()?;
    Some(layer.with_field_prefix(Some(FIELDS.to_owned())))
}

/// Says whether standard error is the stream that systemd has connected to its journal, and not one that somebody else has
/// put in its place.
fn is_read_by_the_journal() -> bool {
    let Ok(told) = std::env::var(JOURNAL_STREAM) else {
        return false;
    };
    stream(io::stderr()).is_ok_and(|stream| stream == told)
}

/// Returns a stream as systemd names it.
fn stream(stream: impl AsFd) -> io::Result<String> {
    let file = File::from(stream.as_fd().try_clone_to_owned()?);
    let metadata = file.metadata()?;
    Ok(format!("{}:{}", metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_the_name_of_its_device_and_its_inode() {
        let file = tempfile::tempfile().unwrap();
        let other = tempfile::tempfile().unwrap();
        assert_eq!(stream(&file).unwrap(), stream(file.try_clone().unwrap()).unwrap());
        assert_ne!(stream(&file).unwrap(), stream(&other).unwrap());
        let parts = stream(&file).unwrap();
        assert!(
            parts.split(':').all(|part| part.parse::<u64>().is_ok()),
            "{parts}"
        );
    }
}
