//! `smgw modbus check`: whether a file is a profile that does what it says.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use modbus::{Profile, ProfileError};
use serde::Serialize;

use super::{requests, source};
use crate::cli::CONFIGURATION;
use crate::mbus::session::{failure, print, say};
use crate::report::Chain;

/// What holds of a profile in the file of another name.
const FIELD_OF_NAME: &str = "name";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 in order, 2 wrong usage, 78 faulty, or no file that can be read; every fault is named with file, line and field.\nWith --json: schema smgw.modbus.check/1, whatever the exit code but 2."
)]
pub(crate) struct Arguments {
    /// The profile to check.
    file: PathBuf,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// What a check has found out.
#[derive(Debug, Serialize)]
struct Checked {
    schema: &'static str,
    file: String,
    /// Whether it is in order.
    valid: bool,
    profile: Option<String>,
    values: Option<usize>,
    /// How many requests read everything; none of a SunSpec meter.
    requests: Option<usize>,
    self_tests: Option<usize>,
    /// What is wrong.
    findings: Vec<Finding>,
    /// What is not wrong, but does not help.
    warnings: Vec<Finding>,
    /// What could not be checked against the maker's document, as the profile says.
    unchecked: Vec<String>,
}

/// Something that is wrong, and where.
#[derive(Debug, Serialize)]
struct Finding {
    line: usize,
    field: String,
    message: String,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let checked = Checked::of(&arguments.file);
    for finding in checked.findings.iter().chain(&checked.warnings) {
        say(&format!("smgw: {}", finding.text(&checked.file)));
    }
    match print(&checked, arguments.json, Checked::text) {
        Ok(()) if checked.valid => ExitCode::SUCCESS,
        Ok(()) => ExitCode::from(CONFIGURATION),
        Err(error) => failure(&error),
    }
}

impl Checked {
    fn of(file: &Path) -> Self {
        let mut checked = Self {
            schema: "smgw.modbus.check/1",
            file: file.display().to_string(),
            valid: false,
            profile: None,
            values: None,
            requests: None,
            self_tests: None,
            findings: Vec::new(),
            warnings: Vec::new(),
            unchecked: Vec::new(),
        };
        let text = match source::text_of(file) {
            Ok(text) => text,
            Err(error) => {
                checked.findings.push(Finding {
                    line: 1,
                    field: "the whole text".to_owned(),
                    message: Chain(std::error::Error::source(&error).unwrap_or(&error)).to_string(),
                });
                return checked;
            }
        };
        match Profile::check(&text) {
            Ok(profile) => checked.take(&profile, file, &text),
            Err(faults) => checked.findings = faults.into_iter().map(Finding::of).collect(),
        }
        checked
    }

    fn take(&mut self, profile: &Profile, file: &Path, text: &str) {
        self.valid = true;
        self.profile = Some(profile.name().to_owned());
        self.values = Some(profile.codes().count());
        self.requests = requests(profile);
        self.self_tests = Some(profile.self_tests().len());
        self.unchecked.clone_from(&profile.source().unchecked);
        if file.file_stem().is_none_or(|stem| stem != profile.name()) {
            let is_name = |line: &str| line.trim_start().starts_with(FIELD_OF_NAME);
            let line = text.lines().position(is_name).unwrap_or(0).saturating_add(1);
            let name = profile.name();
            self.warnings.push(Finding {
                line,
                field: FIELD_OF_NAME.to_owned(),
                message: format!(
                    "the profile is called \"{name}\"; to be found by that name, its file must be {name}.toml"
                ),
            });
        }
    }

    fn text(&self) -> String {
        let (Some(profile), Some(values), Some(tests)) = (&self.profile, self.values, self.self_tests) else {
            return String::new();
        };
        let requests = match self.requests {
            Some(count) => format!("{count} requests"),
            None => "SunSpec models".to_owned(),
        };
        let mut text =
            format!("{profile} is in order: {values} values in {requests}, {tests} self-tests passed\n");
        for remark in &self.unchecked {
            text.push_str("not checked against the maker's document: ");
            text.push_str(remark);
            text.push('\n');
        }
        text
    }
}

impl Finding {
    fn of(error: ProfileError) -> Self {
        Self {
            line: error.line,
            message: Chain(&*error.fault).to_string(),
            field: error.field,
        }
    }

    fn text(&self, file: &str) -> String {
        format!("{file}: line {}: {}: {}", self.line, self.field, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a text as a file of that name.
    fn checked(name: &str, text: &str) -> Checked {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        Checked::of(&file)
    }

    fn gas() -> &'static str {
        modbus::built_in("wirenboard-mcm8-gas").unwrap()
    }

    /// The one thing that is wrong with the text.
    fn fault(text: &str) -> (usize, String, String) {
        let mut checked = checked("wirenboard-mcm8-gas.toml", text);
        assert!(!checked.valid && checked.text().is_empty());
        assert_eq!(checked.findings.len(), 1);
        let Finding { line, field, message } = checked.findings.remove(0);
        (line, field, message)
    }

    #[test]
    fn a_good_profile_is_in_order() {
        let checked = checked("wirenboard-mcm8-gas.toml", gas());
        assert!(checked.valid && checked.warnings.is_empty());
        let text = checked.text();
        assert!(
            text.starts_with(
                "wirenboard-mcm8-gas is in order: 1 values in 1 requests, 2 self-tests passed\n"
            )
        );
        assert!(text.contains("not checked against the maker's document: "));
    }

    #[test]
    fn a_good_profile_is_a_document_too() {
        let checked = checked("sunspec-21x.toml", modbus::built_in("sunspec-21x").unwrap());
        let document = serde_json::to_value(&checked).unwrap();
        assert_eq!(document["schema"], "smgw.modbus.check/1");
        assert_eq!(
            (&document["profile"], &document["valid"]),
            (&"sunspec-21x".into(), &true.into())
        );
        assert!(document["requests"].is_null());
        assert_eq!(document["findings"], serde_json::json!([]));
    }

    #[test]
    fn a_fault_is_told_with_line_and_field_in_the_document_too() {
        let broken = gas().replace("scale = -2", "scale = -20");
        let (line, field, message) = fault(&broken);
        assert!(line > 1);
        assert_eq!(field, "registers[0].scale");
        assert!(message.contains("-20"), "{message}");
        let document = serde_json::to_value(checked("a-b.toml", &broken)).unwrap();
        let finding = &document["findings"][0];
        assert_eq!(document["valid"], false);
        assert_eq!(
            (&finding["line"], &finding["field"]),
            (&line.into(), &"registers[0].scale".into())
        );
        let text = checked("a-b.toml", &broken).findings[0].text("a-b.toml");
        assert!(
            text.starts_with(&format!("a-b.toml: line {line}: registers[0].scale: the power")),
            "{text}"
        );
    }

    #[test]
    fn a_profile_in_a_file_of_another_name_is_warned_of() {
        let checked = checked("gas.toml", gas());
        assert!(checked.valid);
        let warning = &checked.warnings[0];
        assert_eq!(warning.field, "name");
        let line = gas().lines().nth(warning.line - 1).unwrap();
        assert!(line.starts_with("name = "), "{line}");
        assert!(
            warning.message.ends_with("wirenboard-mcm8-gas.toml"),
            "{}",
            warning.message
        );
    }

    #[test]
    fn the_commented_example_is_in_order() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../meters/modbus/example.toml");
        let checked = Checked::of(Path::new(file));
        assert!(checked.valid, "{:?}", checked.findings);
    }

    #[test]
    fn a_profile_without_a_test_is_not_in_order() {
        let (text, _) = gas().split_once("[[self_tests]]").unwrap();
        let (line, field, message) = fault(text);
        assert_eq!((line, field.as_str()), (1, "self_tests"));
        assert!(message.contains("no self-test"), "{message}");
    }

    #[test]
    fn a_failed_test_is_named() {
        let (line, field, message) = fault(&gas().replace("\"1234.00\"", "\"1234.01\""));
        assert!(gas().lines().nth(line - 1).unwrap().contains("1234.00"), "{line}");
        assert_eq!(field, "self_tests[0].elements[0]");
        assert_eq!(
            message,
            "the self-test \"what a healthy meter shows\" fails: element 7-0:3.0.0*255: expected 1234.01 m3, found 1234.00 m3"
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let checked = Checked::of(Path::new("/nonexistent/acme-one.toml"));
        assert!(!checked.valid);
        let text = checked.findings[0].text(&checked.file);
        assert!(
            text.contains("/nonexistent/acme-one.toml") && text.contains("No such file"),
            "{text}"
        );
    }

    #[test]
    fn a_file_without_an_end_is_too_long() {
        let text = " ".repeat(Profile::MAX_LENGTH + 100);
        assert!(fault(&text).2.contains("the limit is"));
    }
}
