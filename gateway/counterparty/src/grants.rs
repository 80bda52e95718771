//! The grants file: what a supplier is to have, as an operator writes it.
//!
//! TOML, one `[[grant]]` per rule. The supplier is named by whoever reads it, and a grant without
//! times holds from now on for a year.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use messages::content::{MAX_GRANTS, MAX_PATTERNS, RuleName, WordError};
use model::{Aggregation, ElementPattern, Fingerprint, Grant, Period, Purpose, Span, Timestamp};
use serde::Deserialize;
use toml::Spanned;

use crate::files::{self, FileError};

/// The greatest size of a grants file in bytes.
const MAX_FILE: usize = 1_024 * 1_024;
/// How long a grant holds that does not say until when.
const DEFAULT_DAYS: u32 = 365;

/// The reason why a grants file is refused.
#[derive(Debug, thiserror::Error)]
pub enum GrantsError {
    /// The file cannot be read.
    #[error("the grants cannot be read")]
    File(#[from] FileError),
    /// The file is no TOML, or has a key or value that does not belong there.
    #[error("{}, line {line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// There are no grants, or too many.
    #[error("{} has {found} grants; a bundle has 1 to {MAX_GRANTS}", path.display())]
    Count {
        /// The file.
        path: PathBuf,
        /// How many there are.
        found: usize,
    },
    /// A name cannot be used.
    #[error("{}, line {line}: the id of this grant cannot be used", path.display())]
    Id {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Why not.
        #[source]
        source: WordError,
    },
    /// Two grants have one name.
    #[error("{}, line {line}: another grant has the id {id:?} already", path.display())]
    RepeatedId {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The name.
        id: String,
    },
    /// A grant covers nothing, or has too many patterns.
    #[error("{}, line {line}: this grant has {found} patterns of elements; give it 1 to {MAX_PATTERNS}", path.display())]
    Elements {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// How many there are.
        found: usize,
    },
    /// A grant permits no values.
    #[error("{}, line {line}: this grant names no aggregations; name some, or leave the list out for value and difference", path.display())]
    Aggregations {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// A grant ends before it begins.
    #[error("{}, line {line}: this grant ends before it begins; correct valid_from or valid_until", path.display())]
    Validity {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
}

/// What a grants file says.
#[derive(Debug, Clone)]
pub struct GrantsFile {
    path: PathBuf,
    rules: Vec<(usize, Rule)>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    grant: Vec<Spanned<Rule>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    id: String,
    elements: Vec<ElementPattern>,
    finest: Span,
    #[serde(default = "Aggregation::usual")]
    aggregations: BTreeSet<Aggregation>,
    history: Span,
    push: Option<Span>,
    at_most: Option<Span>,
    valid_from: Option<Timestamp>,
    valid_until: Option<Timestamp>,
    purpose: Purpose,
}

impl GrantsFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`GrantsError`] names file, line and cause.
    pub fn read(path: &Path) -> Result<Self, GrantsError> {
        Self::parse(path, &files::read_text(path, MAX_FILE)?)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, GrantsError> {
        let document: Document = toml::from_str(text).map_err(|error| GrantsError::Syntax {
            path: path.to_owned(),
            line: line_of(text, error.span()),
            message: error.message().to_owned(),
        })?;
        if document.grant.is_empty() || document.grant.len() > MAX_GRANTS {
            return Err(GrantsError::Count {
                path: path.to_owned(),
                found: document.grant.len(),
            });
        }
        let mut names = HashSet::new();
        let mut rules = Vec::with_capacity(document.grant.len());
        for rule in document.grant {
            let line = line_of(text, Some(rule.span()));
            let rule = rule.into_inner();
            let at = || (path.to_owned(), line);
            check(&rule, at)?;
            if !names.insert(rule.id.clone()) {
                let (path, line) = at();
                return Err(GrantsError::RepeatedId {
                    path,
                    line,
                    id: rule.id,
                });
            }
            rules.push((line, rule));
        }
        Ok(Self {
            path: path.to_owned(),
            rules,
        })
    }

    /// Returns the grants for a supplier, with the times that the file leaves open filled in.
    ///
    /// # Errors
    ///
    /// [`GrantsError::Validity`] if a grant has ended before it begins.
    pub fn grants(&self, supplier: Fingerprint, now: Timestamp) -> Result<Vec<Grant>, GrantsError> {
        let year = Span::from_seconds(DEFAULT_DAYS.saturating_mul(Span::DAY.seconds())).unwrap_or(Span::DAY);
        let grant = |(line, rule): &(usize, Rule)| {
            let from = rule.valid_from.unwrap_or(now);
            let until = rule.valid_until.unwrap_or_else(|| from.saturating_add(year));
            let validity = Period::new(from, until).map_err(|_| GrantsError::Validity {
                path: self.path.clone(),
                line: *line,
            })?;
            Ok(Grant {
                id: rule.id.clone(),
                supplier,
                elements: rule.elements.clone(),
                finest: rule.finest,
                aggregations: rule.aggregations.clone(),
                history: rule.history,
                validity,
                push: rule.push,
                at_most: rule.at_most,
                purpose: rule.purpose.clone(),
            })
        };
        self.rules.iter().map(grant).collect()
    }
}

fn check(rule: &Rule, at: impl Fn() -> (PathBuf, usize)) -> Result<(), GrantsError> {
    rule.id.parse::<RuleName>().map_err(|source| {
        let (path, line) = at();
        GrantsError::Id { path, line, source }
    })?;
    if rule.aggregations.is_empty() {
        let (path, line) = at();
        return Err(GrantsError::Aggregations { path, line });
    }
    let found = rule.elements.len();
    if found == 0 || found > MAX_PATTERNS {
        let (path, line) = at();
        return Err(GrantsError::Elements { path, line, found });
    }
    Ok(())
}

/// Returns the line, counted from 1, in which a span of bytes begins; a fault without one is the
/// file's.
fn line_of(text: &str, span: Option<Range<usize>>) -> usize {
    let before = span.and_then(|span| text.as_bytes().get(..span.start));
    let breaks = before.map_or(0, |before| before.iter().filter(|byte| **byte == b'\n').count());
    breaks.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"# What the supplier bills by.
[[grant]]
id = "billing"
elements = ["*/1-0:1.8.0*255"]
finest = "PT15M"
history = "P730D"
purpose = "billing by consumption"
"#;

    fn parse(text: &str) -> Result<GrantsFile, GrantsError> {
        GrantsFile::parse(Path::new("grants.toml"), text)
    }

    fn now() -> Timestamp {
        "2026-06-01T12:00:00Z".parse().unwrap()
    }

    fn supplier() -> Fingerprint {
        Fingerprint::new([7; 32])
    }

    #[test]
    fn grant_without_times_holds_for_a_year() {
        let grants = parse(GOOD).unwrap().grants(supplier(), now()).unwrap();
        assert_eq!(grants[0].supplier, supplier());
        assert_eq!(grants[0].validity.from(), now());
        assert_eq!(grants[0].validity.to().to_string(), "2027-06-01T12:00:00Z");
        assert_eq!(grants[0].finest, Span::QUARTER_HOUR);
    }

    #[test]
    fn how_often_a_grant_may_be_asked_is_kept() {
        let grants = parse(&format!("{GOOD}at_most = \"PT1H\"\n")).unwrap();
        let grants = grants.grants(supplier(), now()).unwrap();
        assert_eq!(grants[0].at_most.map(Span::seconds), Some(3_600));
    }

    #[test]
    fn given_times_are_kept() {
        let text =
            format!("{GOOD}valid_from = \"2026-01-01T00:00:00Z\"\nvalid_until = \"2026-07-01T00:00:00Z\"\n");
        let grants = parse(&text).unwrap().grants(supplier(), now()).unwrap();
        assert_eq!(grants[0].validity.from().to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(grants[0].validity.to().to_string(), "2026-07-01T00:00:00Z");
    }

    #[test]
    fn faults_of_form_are_named_with_file_and_line() {
        for (text, expected, word) in [
            (format!("{GOOD}colour = \"red\"\n"), 8, "colour"),
            (GOOD.replace("PT15M", "15min"), 5, "PT15M"),
            (GOOD.replace("*/1-0", "1-0"), 4, "METER/OBIS"),
            (GOOD.replace("\nid = ", "\nid "), 3, ""),
            (GOOD.replace("history", "histories"), 6, "histories"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(
                matches!(&error, GrantsError::Syntax { line, .. } if *line == expected),
                "{error}"
            );
            assert!(error.to_string().starts_with("grants.toml, line "), "{error}");
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn faults_of_sense_are_named_with_file_and_line() {
        let error = parse(&GOOD.replace("\"billing\"", "\"\"")).unwrap_err();
        assert!(matches!(error, GrantsError::Id { line: 2, .. }), "{error}");
        let error = parse(&format!("{GOOD}\n{GOOD}")).unwrap_err();
        assert!(
            matches!(error, GrantsError::RepeatedId { line: 10, .. }),
            "{error}"
        );
        let error = parse(&GOOD.replace("\"*/1-0:1.8.0*255\"", "")).unwrap_err();
        assert!(
            matches!(
                error,
                GrantsError::Elements {
                    line: 2,
                    found: 0,
                    ..
                }
            ),
            "{error}"
        );
        let ended = format!("{GOOD}valid_until = \"2026-01-01T00:00:00Z\"\n");
        let error = parse(&ended).unwrap().grants(supplier(), now()).unwrap_err();
        assert!(matches!(error, GrantsError::Validity { line: 2, .. }), "{error}");
    }

    #[test]
    fn file_without_grants_is_refused() {
        assert!(matches!(parse(""), Err(GrantsError::Count { found: 0, .. })));
        let error = GrantsFile::read(Path::new("/does/not/exist")).unwrap_err();
        assert!(matches!(error, GrantsError::File(FileError::Missing { .. })));
    }
}
