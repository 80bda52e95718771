//! The assignments file: what an energy application is to be run on, as whoever asks for it writes it.
//!
//! TOML, one `[[assignment]]` for each series of windows. What its parameters may be is for the application's manifest to
//! say; the gateway holds one against the other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use messages::content::{Assignment, MAX_ASSIGNMENTS, RuleName};
use model::{ElementPattern, Timestamp, Window, Zone};
use serde::Deserialize;
use serde_json::Value;

use crate::files::{self, FileError};

/// The greatest size of an assignments file in bytes.
const MAX_FILE: usize = 512 * 1_024;

/// The reason why an assignments file is refused.
#[derive(Debug, thiserror::Error)]
pub enum AssignmentsError {
    /// The file cannot be read.
    #[error("the assignments cannot be read")]
    File(#[from] FileError),
    /// The file is no TOML, or has a key or value that does not belong there.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// There are none, or too many.
    #[error("{} has {found} assignments; an application has 1 to {MAX_ASSIGNMENTS}", path.display())]
    Count {
        /// The file.
        path: PathBuf,
        /// How many there are.
        found: usize,
    },
}

/// What an assignments file says.
#[derive(Debug, Clone)]
pub struct AssignmentsFile {
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    assignment: Vec<Row>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(deserialize_with = "name")]
    name: RuleName,
    window: Window,
    zone: Zone,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    inputs: BTreeMap<String, Vec<ElementPattern>>,
    #[serde(default)]
    parameters: BTreeMap<String, Value>,
}

fn name<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<RuleName, D::Error> {
    String::deserialize(deserializer)?
        .parse()
        .map_err(serde::de::Error::custom)
}

impl AssignmentsFile {
    /// Reads an assignments file.
    ///
    /// # Errors
    ///
    /// [`AssignmentsError`] says what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, AssignmentsError> {
        Self::parse(path, &files::read_text(path, MAX_FILE)?)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, AssignmentsError> {
        let document: Document = toml::from_str(text).map_err(|error| AssignmentsError::Syntax {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        let found = document.assignment.len();
        if !(1..=MAX_ASSIGNMENTS).contains(&found) {
            let path = path.to_owned();
            return Err(AssignmentsError::Count { path, found });
        }
        Ok(Self {
            rows: document.assignment,
        })
    }

    /// Returns the assignments. One that does not say from when on it holds does so from now on, or as long as it did before
    /// under the same name. Of those that share a name, each but the first says it itself.
    #[must_use]
    pub fn assignments(&self, before: &[Assignment], now: Timestamp) -> Vec<Assignment> {
        let rows = self.rows.iter().cloned();
        let since = |name: &RuleName| {
            before
                .iter()
                .filter(|known| known.name == *name)
                .map(|known| known.from)
                .min()
        };
        rows.map(|row| Assignment {
            from: row.from.or_else(|| since(&row.name)).unwrap_or(now),
            to: row.to,
            name: row.name,
            inputs: row.inputs,
            parameters: row.parameters,
            window: row.window,
            zone: row.zone,
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [[assignment]]
        name = "household"
        window = "day"
        zone = "CET-1CEST,M3.5.0,M10.5.0/3"
        inputs.register = ["M1/1-0:1.8.0*255"]
        parameters.stages.seasons = [
            { from = "01-01", work = [["00:00", 2], ["06:00", 1]], saturday = [["00:00", 2]], sunday = [["00:00", 2]], holiday = [["00:00", 2]] },
        ]
    "#;

    fn parsed(text: &str) -> Result<AssignmentsFile, AssignmentsError> {
        AssignmentsFile::parse(Path::new("a.toml"), text)
    }

    #[test]
    fn assignment_without_a_time_holds_from_now_on_or_as_it_did() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let later: Timestamp = "2026-12-23T12:00:00Z".parse().unwrap();
        let file = parsed(FILE).unwrap();
        let [assignment] = file.assignments(&[], now).try_into().unwrap();
        assert_eq!((assignment.from, assignment.window), (now, Window::Day));
        assert_eq!(
            assignment.parameters["stages"]["seasons"][0]["work"][1][0],
            "06:00"
        );
        let again = file.assignments(std::slice::from_ref(&assignment), later);
        assert_eq!(again, [assignment]);
        let given = FILE.replace("window =", "from = \"2026-11-01T00:00:00Z\"\nwindow =");
        let [given] = parsed(&given)
            .unwrap()
            .assignments(&again, now)
            .try_into()
            .unwrap();
        assert_eq!(given.from.to_string(), "2026-11-01T00:00:00Z");
    }

    #[test]
    fn tariff_changes_at_a_date() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let later: Timestamp = "2026-12-23T12:00:00Z".parse().unwrap();
        let [first] = parsed(FILE).unwrap().assignments(&[], now).try_into().unwrap();
        let ended = FILE.replace("window =", "to = \"2026-12-31T23:00:00Z\"\nwindow =");
        let next = FILE.replace("window =", "from = \"2026-12-31T23:00:00Z\"\nwindow =");
        let next = next.replace("\"06:00\"", "\"07:00\"");
        let both = parsed(&(ended + &next)).unwrap();
        let [old, new] = both
            .assignments(std::slice::from_ref(&first), later)
            .try_into()
            .unwrap();
        assert_eq!((old.from, old.to), (first.from, Some(new.from)));
        assert_eq!((new.to, &new.name), (None, &old.name));
        assert!(!old.is_beside(&new) && old.is_beside(&first));
        // The same file once more says the same.
        let again = both.assignments(&[new.clone(), old.clone()], later);
        assert_eq!(again, [old, new]);
    }

    #[test]
    fn faults_name_the_file() {
        for text in [
            FILE.replace("\"day\"", "\"week\""),
            FILE.replace("window", "windows"),
            FILE.replace("CET-1", "?"),
        ] {
            let error = parsed(&text).unwrap_err();
            assert!(matches!(error, AssignmentsError::Syntax { .. }), "{error}");
            assert!(error.to_string().starts_with("a.toml: "), "{error}");
        }
        let error = parsed("").unwrap_err();
        assert!(
            matches!(error, AssignmentsError::Count { found: 0, .. }),
            "{error}"
        );
        let error = AssignmentsFile::read(Path::new("/nonexistent")).unwrap_err();
        assert!(matches!(error, AssignmentsError::File(_)), "{error}");
    }
}
