//! What the daemon says of itself while it runs: to the system's journal with fields, or to standard error as text.
//!
//! It is not the three logs, see [`crate::journal`]: nothing depends on it, and nothing is kept by it. In systemd's journal
//! each field of an event has a name of its own, `SMGW_CODE`, `SMGW_METER`, `SMGW_BUS`, `SMGW_REMEDY`, so that
//! `journalctl SMGW_CODE=SMGW-S-0203` finds what a state has to say; its level is the priority. What has a code also has the
//! identity by which the journal's catalogue explains it: `journalctl -x`.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::codes;

/// Where systemd says which stream is connected to its journal, as `DEVICE:INODE` (systemd.exec(5)).
const JOURNAL_STREAM: &str = "JOURNAL_STREAM";
/// What the names of our fields begin with in the journal.
const FIELDS: &str = "SMGW";
/// The field of an event that holds its code.
const CODE: &str = "code";
/// The field of the journal by which its catalogue finds an explanation.
const MESSAGE_ID: &str = "MESSAGE_ID";
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
fn journal() -> Option<Explained> {
    if !is_read_by_the_journal() {
        return None;
    }
    way_to_the_journal().ok().map(|plain| Explained { plain })
}

fn way_to_the_journal() -> io::Result<tracing_journald::Layer> {
    Ok(tracing_journald::layer()?.with_field_prefix(Some(FIELDS.to_owned())))
}

/// What writes into the journal, and gives what has a code its identity.
struct Explained {
    plain: tracing_journald::Layer,
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Explained {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.plain.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.plain.on_record(id, values, context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut code = Coded::default();
        event.record(&mut code);
        let explained = code.0.and_then(|code| codes::find(&code)).map(|known| {
            // Fields that do not have our prefix belong to a way of their own; states and findings are few.
            let id = codes::message_id(known.code);
            way_to_the_journal().map(|way| way.with_custom_fields([(MESSAGE_ID, id)]))
        });
        match explained {
            Some(Ok(way)) => way.on_event(event, context),
            Some(Err(_)) | None => self.plain.on_event(event, context),
        }
    }
}

/// The code of an event, if it has one.
#[derive(Debug, Default, PartialEq, Eq)]
struct Coded(Option<String>);

impl Visit for Coded {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == CODE {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == CODE {
            self.0 = Some(format!("{value:?}"));
        }
    }
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

    /// Keeps the codes of the events that it sees.
    struct Seen(std::sync::Arc<std::sync::Mutex<Vec<Coded>>>);

    impl<S: Subscriber> Layer<S> for Seen {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut code = Coded::default();
            event.record(&mut code);
            self.0.lock().unwrap().push(code);
        }
    }

    #[test]
    fn code_of_an_event_is_found_however_it_is_recorded() {
        let seen = std::sync::Arc::default();
        let subscriber = tracing_subscriber::registry().with(Seen(std::sync::Arc::clone(&seen)));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(code = "SMGW-F-0102", "a finding");
            tracing::warn!(code = %"SMGW-F-0102", "a finding that is displayed");
            tracing::warn!(codes = "SMGW-F-0102", "another field");
        });
        let code = || Coded(Some("SMGW-F-0102".to_owned()));
        assert_eq!(*seen.lock().unwrap(), [code(), code(), Coded::default()]);
    }

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
