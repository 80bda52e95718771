//! `smgw log`: shows the logs, and walks their chains.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use model::{Fingerprint, LogKind, Timestamp};
use store::{LogError, Logs};

use super::{ConfigFile, FAILURE, UNAVAILABLE, fail, print, with_config};
use crate::journal::{self, CardKeyVerifier};
use crate::local::control::{self, ControlError};
use crate::local::logs::{self, Page, Report};

/// The exit code when a log is not what was written into it.
const DAMAGED: u8 = 3;

#[derive(Debug, Subcommand)]
pub(super) enum LogCommand {
    /// Shows a log of the gateway that is running, its oldest entry first.
    Show {
        /// Which log: system, consumer or calibration.
        log: LogKind,
        /// Only entries of this time and later, as in 2026-11-23T12:00:00Z.
        #[arg(long, value_name = "TIME")]
        since: Option<Timestamp>,
        /// Print one JSON document a line (schema smgw.log/1).
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Walks the chain of every log and names the first entry that is bad; exit code 3 if there is one.
    ///
    /// The gateway that is running does it; without one, the files themselves are read and not changed.
    Verify {
        /// Print one JSON document (schema smgw.log-verification/1).
        #[arg(long)]
        json: bool,
        /// Verify the logs in this folder, as in a copy of the gateway's data, and ask no daemon.
        #[arg(long, value_name = "FOLDER")]
        folder: Option<PathBuf>,
        /// The SHA-256 digest of the bound card's SIG key, to compare the signature's key with.
        #[arg(long, value_name = "DIGEST", requires = "folder")]
        card_key: Option<Fingerprint>,
        #[command(flatten)]
        file: ConfigFile,
    },
}

impl LogCommand {
    pub(super) fn run(self) -> ExitCode {
        match self {
            Self::Show {
                log,
                since,
                json,
                file,
            } => with_config(file.config, |config| {
                outcome(show(&config.control_socket, log, since, json))
            }),
            Self::Verify {
                json,
                folder: Some(folder),
                card_key,
                ..
            } => report(verify_folder(&folder, card_key), json),
            Self::Verify { json, file, .. } => with_config(file.config, |config| {
                match control::ask_for::<Report>(&config.control_socket, logs::VERIFICATION) {
                    Ok(found) => report(Ok(found), json),
                    Err(ControlError::NoDaemon { .. }) => {
                        report(verify_folder(&config.data.join(journal::FOLDER), None), json)
                    }
                    Err(error) => fail(FAILURE, &error),
                }
            }),
        }
    }
}

/// The reason why a log cannot be shown.
#[derive(Debug, thiserror::Error)]
enum ShowError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("the log cannot be written out")]
    Output(#[from] io::Error),
    #[error("an entry cannot be written out")]
    Json(#[from] serde_json::Error),
}

fn outcome(shown: Result<(), ShowError>) -> ExitCode {
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(ShowError::Control(error @ ControlError::NoDaemon { .. })) => fail(UNAVAILABLE, &error),
        Err(error) => fail(FAILURE, &error),
    }
}

/// Asks for page after page. Each page begins behind the one before, so that there is a last one.
fn show(socket: &Path, log: LogKind, since: Option<Timestamp>, json: bool) -> Result<(), ShowError> {
    let mut output = BufWriter::new(io::stdout().lock());
    let mut after = 0;
    loop {
        let page: Page = control::ask_for(socket, &logs::page_address(log, after, since))?;
        for entry in page.entries {
            if json {
                serde_json::to_writer(&mut output, &entry)?;
                writeln!(output)?;
            } else {
                writeln!(output, "{entry}")?;
            }
        }
        match page.next.filter(|next| *next > after) {
            Some(next) => after = next,
            None => break,
        }
    }
    Ok(output.flush()?)
}

/// Walks the logs in a folder; the key is compared only if the auditor knows it.
fn verify_folder(folder: &Path, key: Option<Fingerprint>) -> Result<Report, LogError> {
    let verification = Logs::verify_folder(folder, &CardKeyVerifier::new(key))?;
    Ok(Report::new(&verification, key.is_some()))
}

fn report(outcome: Result<Report, LogError>, json: bool) -> ExitCode {
    let report = match outcome {
        Ok(report) => report,
        Err(error) => return fail(FAILURE, &error),
    };
    let text = if json {
        match serde_json::to_string(&report) {
            Ok(text) => format!("{text}\n"),
            Err(error) => return fail(FAILURE, &error),
        }
    } else {
        report.to_string()
    };
    let printed = print(&text);
    if report.sound {
        printed
    } else {
        ExitCode::from(DAMAGED)
    }
}
