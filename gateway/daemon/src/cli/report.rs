//! `smgw report`: one document for whoever helps, without values, secrets and names of people; and the report of the
//! installation, as it is handed over.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use model::{LogKind, Span, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use super::identity::IdentityView;
use super::{CONFIGURATION, ConfigFile, FAILURE, UNAVAILABLE, fail, print};
use crate::binding::BindingView;
use crate::clock;
use crate::config::{Config, Settings};
use crate::doctor::examine;
use crate::local::control::{self, ControlError};
use crate::local::logs::{self, Page};
use crate::local::web::{INSTALLATION_REPORT, InstallationReport, Language, Zone};
use crate::mbus::session::{end_progress, show_progress};
use crate::report::Chain;
use crate::status::Status;

/// The name of the schema and its version; additive within the version.
const SCHEMA: &str = "smgw.report/1";
/// How many entries of the system log are in it: the latest ones.
const MOST_ENTRIES: usize = 200;
/// How far back they are looked for.
const ENTRIES_SINCE: Span = match Span::from_seconds(30 * 86_400) {
    Some(span) => span,
    None => Span::DAY,
};
/// What names people, places of theirs or what they call things, in events of the system log.
const PERSONAL: [&str; 3] = ["account", "peer", "name"];

/// Options of `smgw report`.
#[derive(Debug, Args)]
#[command(
    after_help = "The document is JSON (schema smgw.report/1): identity, settings with their origin, examination, state, meters and what was counted on their lines, binding, and the latest entries of the system log. No consumption, no secret, no account and no address of whoever logged in is in it.\n\nWith --installation it is the report that the last step of the installation has made, signed by the card: as PDF with the signed JSON, its signature and the certificate attached, or as JSON (schema smgw.signed-report/1). It names metering points and consumers.\n\nExit codes: 0 done, 1 failure, 2 wrong usage, 69 no gateway answers, 78 wrong configuration."
)]
pub(super) struct ReportOptions {
    /// Write it into this file, which must not exist yet, in place of standard output.
    #[arg(long, visible_alias = "out", value_name = "FILE")]
    output: Option<PathBuf>,
    /// The report of the installation; a FILE whose name ends in .pdf is a PDF, anything else JSON.
    #[arg(long)]
    installation: bool,
    /// The language of the PDF.
    #[arg(long, value_name = "CODE", value_parser = ["de", "en"], default_value = "en", requires = "installation")]
    language: String,
    /// Print it on one line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

impl ReportOptions {
    pub(super) fn run(self) -> ExitCode {
        if self.installation {
            return self.hand_over();
        }
        let document = document(&self.file.config);
        end_progress();
        self.put_out(&document)
    }

    /// Hands over the report of the installation.
    fn hand_over(&self) -> ExitCode {
        let config = match Config::read(&self.file.config) {
            Ok(config) => config,
            Err(error) => return fail(CONFIGURATION, &error),
        };
        let asked =
            control::ask_for::<Option<InstallationReport>>(&config.control_socket, INSTALLATION_REPORT);
        let report = match asked {
            Ok(Some(report)) => report,
            Ok(None) => return fail(FAILURE, &NoReport),
            Err(error @ ControlError::NoDaemon { .. }) => return fail(UNAVAILABLE, &error),
            Err(error) => return fail(FAILURE, &error),
        };
        let file = self.output.as_deref();
        let Some(file) = file.filter(|file| file.extension().is_some_and(|end| end == "pdf")) else {
            return self.put_out(&report);
        };
        let zone = config.https.map_or_else(Zone::central_europe, |https| https.zone);
        let language = Language::parse(&self.language).unwrap_or(Language::English);
        match report.to_pdf(&zone, language) {
            Ok(pdf) => written(file, &pdf),
            Err(error) => fail(FAILURE, &error),
        }
    }

    /// Writes a document as JSON to where it belongs.
    fn put_out(&self, document: &impl Serialize) -> ExitCode {
        let text = if self.json {
            serde_json::to_string(document)
        } else {
            serde_json::to_string_pretty(document)
        };
        let text = match text {
            Ok(text) => format!("{text}\n"),
            Err(error) => return fail(FAILURE, &error),
        };
        match &self.output {
            Some(file) => written(file, text.as_bytes()),
            None => print(&text),
        }
    }
}

/// No report was made yet.
#[derive(Debug, thiserror::Error)]
#[error(
    "no report of the installation was made yet; make it in the local web, at the last step of Installation"
)]
struct NoReport;

/// The report could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the report cannot be written into {}", file.display())]
struct NotWritten {
    file: PathBuf,
    #[source]
    source: std::io::Error,
}

fn written(file: &Path, content: &[u8]) -> ExitCode {
    match write(file, content) {
        Ok(()) => ExitCode::SUCCESS,
        Err(source) => {
            let file = file.to_owned();
            fail(FAILURE, &NotWritten { file, source })
        }
    }
}

fn write(file: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let mut created = std::fs::File::create_new(file)?;
    created.write_all(content)?;
    created.sync_all()
}

/// Puts the document together. What cannot be asked for is said, and the rest is there.
fn document(file: &Path) -> Value {
    let read = Config::read_with_text(file);
    let mut document = json!({
        "schema": SCHEMA,
        "time": clock::now(),
        "examination": part(Ok::<_, String>(examine(file, show_progress))),
    });
    let Some(fields) = document.as_object_mut() else {
        return document;
    };
    let (config, text) = match read {
        Ok(read) => read,
        Err(error) => {
            fields.insert(
                "settings".to_owned(),
                json!({ "error": Chain(&error).to_string() }),
            );
            return document;
        }
    };
    let settings = Settings::of((file, &text), &config, (true, true)).without_names();
    let socket = &config.control_socket;
    let told = |error: ControlError| Chain(&error).to_string();
    for (key, value) in [
        ("settings", settings.to_json()),
        ("identity", part(IdentityView::ask(&config).map_err(told))),
        (
            "status",
            part(control::ask(socket).map(without_values).map_err(told)),
        ),
        (
            "binding",
            part(control::ask_for::<BindingView>(socket, control::BINDING).map_err(told)),
        ),
        ("system_log", part(entries(socket, clock::now()).map_err(told))),
    ] {
        fields.insert(key.to_owned(), value);
    }
    document
}

fn part<T: Serialize>(part: Result<T, String>) -> Value {
    let error = match part {
        Ok(part) => match serde_json::to_value(part) {
            Ok(value) => return value,
            Err(error) => error.to_string(),
        },
        Err(error) => error,
    };
    json!({ "error": error })
}

/// Leaves out what was measured.
fn without_values(mut status: Status) -> Status {
    for meter in &mut status.meters {
        meter.values.clear();
    }
    status
}

/// Returns the latest entries of the system log without what is personal in them. Each page begins behind the one before.
fn entries(socket: &Path, now: Timestamp) -> Result<VecDeque<Value>, ControlError> {
    let mut latest = VecDeque::new();
    let since = Some(now.saturating_sub(ENTRIES_SINCE));
    let mut after = 0;
    loop {
        let page: Page = control::ask_for(socket, &logs::page_address(LogKind::System, after, since))?;
        for entry in page.entries {
            latest.push_back(without_people(serde_json::to_value(entry)?));
            if latest.len() > MOST_ENTRIES {
                latest.pop_front();
            }
        }
        match page.next.filter(|next| *next > after) {
            Some(next) => after = next,
            None => return Ok(latest),
        }
    }
}

/// Leaves out who did something, and the words that say it, where an event names people.
fn without_people(mut entry: Value) -> Value {
    let Some(fields) = entry.as_object_mut() else {
        return entry;
    };
    let mut names_people = false;
    if let Some(event) = fields.get_mut("event").and_then(Value::as_object_mut) {
        for key in PERSONAL {
            names_people |= event.remove(key).is_some();
        }
    }
    if names_people {
        fields.remove("text");
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_logged_in_is_left_out_and_the_event_stays() {
        let entry = json!({
            "code": "SMGW-L-1031", "text": "flat-1 logged in to the local web from 192.0.2.7",
            "event": { "event": "logged-in", "account": "flat-1", "peer": "192.0.2.7" },
        });
        let kept = json!({ "code": "SMGW-L-1031", "event": { "event": "logged-in" } });
        assert_eq!(without_people(entry), kept);
        let started = json!({ "text": "started", "event": { "event": "started", "version": "1" } });
        assert_eq!(without_people(started.clone()), started);
    }

    #[test]
    fn gateway_that_does_not_run_has_a_report_too() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("smgw.toml");
        let data = folder.path().display();
        std::fs::write(
            &file,
            format!("data = \"{data}\"\n[control]\nsocket = \"{data}/s\"\n"),
        )
        .unwrap();
        let report = document(&file);
        assert_eq!(report["schema"], SCHEMA);
        assert_eq!(report["examination"]["schema"], "smgw.doctor/1");
        assert_eq!(report["settings"]["schema"], "smgw.config/1");
        assert!(
            report["status"]["error"].as_str().unwrap().contains("no daemon"),
            "{report}"
        );
        let missing = document(Path::new("/nonexistent"));
        assert!(missing["settings"]["error"].is_string(), "{missing}");
    }

    #[test]
    fn report_is_never_written_over_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("report.json");
        write(&file, b"{}").unwrap();
        assert!(write(&file, b"{}").is_err());
    }
}
