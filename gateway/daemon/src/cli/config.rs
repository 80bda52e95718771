//! `smgw config`: whether a configuration is taken, and where each setting comes from.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use super::{CONFIGURATION, ConfigFile, DEFAULT_CONFIG, fail, print, show};
use crate::config::{Config, ConfigError, Settings};
use crate::report::Chain;

/// The name of the schema of a check and its version; additive within the version.
const CHECK_SCHEMA: &str = "smgw.config-check/1";

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Checks a configuration without starting anything; names file, line and key of a fault.
    #[command(after_help = "Exit codes: 0 it is taken, 2 wrong usage, 78 it is not.")]
    Check {
        /// The file to check.
        #[arg(default_value = DEFAULT_CONFIG)]
        file: PathBuf,
        /// Print one JSON document (schema smgw.config-check/1).
        #[arg(long)]
        json: bool,
    },
    /// Shows the settings as they stand in the file.
    #[command(after_help = "Exit codes: 0 done, 2 wrong usage, 78 the configuration is not taken.")]
    Show {
        /// Show what holds for each key that is left out, too.
        #[arg(long)]
        effective: bool,
        /// Show where each setting comes from: file and line, or a default.
        #[arg(long)]
        origin: bool,
        /// Print one JSON document (schema smgw.config/1); it has the origin in any case.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        file: ConfigFile,
    },
}

/// What a check has found.
#[derive(Debug, Serialize)]
struct CheckView<'a> {
    schema: &'static str,
    file: &'a Path,
    valid: bool,
    /// The line of the fault, counted from 1.
    line: Option<usize>,
    /// What is wrong.
    error: Option<String>,
    code: Option<&'static str>,
    cause: Option<&'static str>,
    remedy: Option<&'static str>,
    /// What the gateway would run with, in words.
    #[serde(skip)]
    summary: Option<String>,
}

impl<'a> CheckView<'a> {
    fn of(file: &'a Path, read: &Result<Config, ConfigError>) -> Self {
        let error = read.as_ref().err();
        let code = error.map(ConfigError::code);
        Self {
            schema: CHECK_SCHEMA,
            file,
            valid: error.is_none(),
            line: error.and_then(ConfigError::line),
            error: error.map(|error| Chain(error).to_string()),
            code: code.map(|code| code.code),
            cause: code.map(|code| code.cause),
            remedy: code.map(|code| code.remedy),
            summary: read.as_ref().ok().map(ToString::to_string),
        }
    }
}

impl fmt::Display for CheckView<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.summary.as_deref().unwrap_or_default())
    }
}

impl ConfigCommand {
    pub(super) fn run(self) -> ExitCode {
        match self {
            Self::Check { file, json } => check(&file, json),
            Self::Show {
                effective,
                origin,
                json,
                file,
            } => match Config::read_with_text(&file.config) {
                Ok((config, text)) => {
                    let from = (file.config.as_path(), text.as_str());
                    show(&Settings::of(from, &config, (effective, origin)), json)
                }
                Err(error) => fail(CONFIGURATION, &error),
            },
        }
    }
}

fn check(file: &Path, json: bool) -> ExitCode {
    let read = Config::read(file);
    let view = CheckView::of(file, &read);
    match (read, json) {
        (Ok(_), _) => show(&view, json),
        (Err(_), true) => match serde_json::to_string(&view) {
            // The document was printed or not: the configuration is wrong either way.
            Ok(text) => {
                print(&format!("{text}\n"));
                ExitCode::from(CONFIGURATION)
            }
            Err(error) => fail(CONFIGURATION, &error),
        },
        (Err(error), false) => fail(CONFIGURATION, &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_has_its_line_code_and_remedy_in_json_too() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("smgw.toml");
        std::fs::write(&file, "data = \"/d\"\n[control]\nsocket = \"/s\"\nspeed = 1\n").unwrap();
        let read = Config::read(&file);
        let document = serde_json::to_value(CheckView::of(&file, &read)).unwrap();
        assert_eq!(document["schema"], "smgw.config-check/1");
        assert_eq!(
            (&document["valid"], &document["line"]),
            (&false.into(), &4.into())
        );
        assert_eq!(document["code"], "SMGW-D-0102");
        assert!(
            document["error"].as_str().unwrap().contains("speed"),
            "{document}"
        );
        std::fs::write(&file, "data = \"/d\"\n[control]\nsocket = \"/s\"\n").unwrap();
        let read = Config::read(&file);
        let view = CheckView::of(&file, &read);
        assert!(view.valid && view.to_string().contains("/s"));
    }
}
