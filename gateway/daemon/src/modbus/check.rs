//! `smgw modbus check`: whether a file is a profile that does what it says.

use std::path::{Path, PathBuf};

use modbus::Profile;
use serde_json::json;

use super::{CommandError, requests, source};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The profile to check.
    file: PathBuf,
    /// Print one JSON document (schema smgw.modbus-check/1).
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<String, CommandError> {
    let file = &arguments.file;
    let profile = source::read(file)?;
    check_name(file, &profile)?;
    run_self_tests(file, &profile)?;
    Ok(if arguments.json {
        as_json(&profile)
    } else {
        as_text(&profile)
    })
}

/// A profile is found by the name of its file.
fn check_name(file: &Path, profile: &Profile) -> Result<(), CommandError> {
    if file.file_stem().is_some_and(|stem| stem == profile.name()) {
        return Ok(());
    }
    Err(CommandError::FileName {
        file: file.to_owned(),
        name: profile.name().to_owned(),
    })
}

fn run_self_tests(file: &Path, profile: &Profile) -> Result<(), CommandError> {
    if profile.self_tests().is_empty() {
        return Err(CommandError::NoSelfTest {
            file: file.to_owned(),
        });
    }
    for (index, test) in profile.self_tests().iter().enumerate() {
        test.run(profile).map_err(|source| CommandError::SelfTest {
            file: file.to_owned(),
            index,
            title: test.title.clone(),
            source: Box::new(source),
        })?;
    }
    Ok(())
}

fn as_json(profile: &Profile) -> String {
    let document = json!({
        "schema": "smgw.modbus-check/1",
        "profile": profile.name(),
        "values": profile.registers().len(),
        "requests": requests(profile),
        "self_tests": profile.self_tests().len(),
        "unchecked": profile.source().unchecked,
    });
    format!("{document}\n")
}

fn as_text(profile: &Profile) -> String {
    let requests = match requests(profile) {
        Some(count) => format!("{count} requests"),
        None => "SunSpec models".to_owned(),
    };
    let mut text = format!(
        "{} is in order: {} values in {requests}, {} self-tests passed\n",
        profile.name(),
        profile.registers().len(),
        profile.self_tests().len(),
    );
    for remark in &profile.source().unchecked {
        text.push_str("not checked against the maker's document: ");
        text.push_str(remark);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Chain;

    /// Checks a text as a file of that name.
    fn checked(name: &str, text: &str) -> Result<String, CommandError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        run(&Arguments { file, json: false })
    }

    fn gas() -> &'static str {
        modbus::built_in("wirenboard-mcm8-gas").unwrap()
    }

    fn fault(text: &str) -> String {
        let error = checked("wirenboard-mcm8-gas.toml", text).unwrap_err();
        let message = Chain(&error).to_string();
        let (_, cause) = message.split_once("wirenboard-mcm8-gas.toml").unwrap();
        cause.to_owned()
    }

    #[test]
    fn a_good_profile_is_in_order() {
        let text = checked("wirenboard-mcm8-gas.toml", gas()).unwrap();
        assert!(
            text.starts_with(
                "wirenboard-mcm8-gas is in order: 1 values in 1 requests, 2 self-tests passed\n"
            )
        );
        assert!(text.contains("not checked against the maker's document: "));
    }

    #[test]
    fn a_good_profile_is_a_document_too() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sunspec-21x.toml");
        std::fs::write(&file, modbus::built_in("sunspec-21x").unwrap()).unwrap();
        let document = run(&Arguments { file, json: true }).unwrap();
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        assert_eq!(document["schema"], "smgw.modbus-check/1");
        assert_eq!(document["profile"], "sunspec-21x");
        assert!(document["requests"].is_null());
    }

    #[test]
    fn a_fault_is_told_with_file_line_and_field() {
        let message = fault(&gas().replace("scale = -2", "scale = -20"));
        let (place, cause) = message.split_once(": the power").unwrap();
        assert!(
            place.starts_with(": line ") && place.ends_with(": registers[0].scale"),
            "{place}"
        );
        assert!(cause.contains("-20"));
    }

    #[test]
    fn a_profile_lives_in_the_file_of_its_name() {
        let error = checked("gas.toml", gas()).unwrap_err();
        assert!(matches!(error, CommandError::FileName { name, .. } if name == "wirenboard-mcm8-gas"));
    }

    #[test]
    fn a_profile_without_a_test_is_not_in_order() {
        let (text, _) = gas().split_once("[[self_tests]]").unwrap();
        assert_eq!(fault(text), ": self_tests: the profile has none");
    }

    #[test]
    fn a_failed_test_is_named() {
        let message = fault(&gas().replace("\"1234.00\"", "\"1234.01\""));
        let beginning = ": self_tests[0]: \"what a healthy meter shows\" fails: element";
        assert!(message.starts_with(beginning), "{message}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let file = PathBuf::from("/nonexistent/acme-one.toml");
        let error = run(&Arguments { file, json: false }).unwrap_err();
        assert!(matches!(
            error,
            CommandError::Source(source::SourceError::File { .. })
        ));
    }

    #[test]
    fn a_file_without_an_end_is_too_long() {
        let text = " ".repeat(Profile::MAX_LENGTH + 100);
        assert!(fault(&text).contains("the limit is"));
    }
}
