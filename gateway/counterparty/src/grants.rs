//! The grants file: what a supplier is to have, as an operator writes it.
//!
//! TOML, one `[[grant]]` per rule. The supplier is named by whoever reads it, and a grant without
//! times holds from now on for a year. A delivery rule stands in the grant, as `[grant.delivery]`, or in a file of its own, as the
//! shipped ones do (JSON), which `delivery_file` names from the folder of the grants file on.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use messages::content::{MAX_DELIVERIES, MAX_GRANTS, MAX_PATTERNS, RuleName, WordError};
use model::{
    Aggregation, DeliveryRule, ElementPattern, Fingerprint, Grant, GrantError, Period, Purpose, Span,
    Timestamp,
};
use serde::Deserialize;
use toml::Spanned;

use crate::files::{self, FileError};

/// The greatest size of a grants file in bytes.
const MAX_FILE: usize = 1_024 * 1_024;
/// The greatest size of a file with a delivery rule in bytes: its texts and its patterns are bounded far below.
const MAX_RULE_FILE: usize = 32 * 1_024;
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
    /// A grant has a delivery rule twice.
    #[error("{}, line {line}: this grant has both delivery and delivery_file; leave one out", path.display())]
    TwoRules {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// The file with a delivery rule cannot be read.
    #[error("{}, line {line}: the delivery_file of this grant cannot be read", path.display())]
    RuleFile {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Why not.
        #[source]
        source: FileError,
    },
    /// The file with a delivery rule has none.
    #[error("{}, line {line}: {} is no delivery rule: {message}", path.display(), file.display())]
    Rule {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The file that should have the rule.
        file: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A grant and its delivery rule contradict each other.
    #[error("{}, line {line}: this grant contradicts its delivery rule", path.display())]
    Delivery {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What contradicts what.
        source: GrantError,
    },
    /// There are too many delivery rules.
    #[error("{} has {found} delivery rules; a bundle has {MAX_DELIVERIES} at most", path.display())]
    Rules {
        /// The file.
        path: PathBuf,
        /// How many there are.
        found: usize,
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
    delivery: Option<Box<DeliveryRule>>,
    delivery_file: Option<PathBuf>,
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
            let mut rule = rule.into_inner();
            let at = || (path.to_owned(), line);
            check(&rule, at)?;
            read_delivery(&mut rule, at)?;
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
        let found = rules.iter().filter(|(_, rule)| rule.delivery.is_some()).count();
        if found > MAX_DELIVERIES {
            let path = path.to_owned();
            return Err(GrantsError::Rules { path, found });
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
    /// [`GrantsError::Validity`] if a grant has ended before it begins, [`GrantsError::Delivery`] if one contradicts its
    /// delivery rule.
    pub fn grants(&self, supplier: Fingerprint, now: Timestamp) -> Result<Vec<Grant>, GrantsError> {
        let year = Span::from_seconds(DEFAULT_DAYS.saturating_mul(Span::DAY.seconds())).unwrap_or(Span::DAY);
        let grant = |(line, rule): &(usize, Rule)| {
            let from = rule.valid_from.unwrap_or(now);
            let until = rule.valid_until.unwrap_or_else(|| from.saturating_add(year));
            let validity = Period::new(from, until).map_err(|_| GrantsError::Validity {
                path: self.path.clone(),
                line: *line,
            })?;
            let grant = Grant {
                id: rule.id.clone(),
                supplier,
                elements: rule.elements.clone(),
                finest: rule.finest,
                aggregations: rule.aggregations.clone(),
                history: rule.history,
                validity,
                push: rule.push,
                at_most: rule.at_most,
                delivery: rule.delivery.clone(),
                purpose: rule.purpose.clone(),
            };
            grant.check().map_err(|source| GrantsError::Delivery {
                path: self.path.clone(),
                line: *line,
                source,
            })?;
            Ok(grant)
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

/// Reads the delivery rule that a grant names by its file.
fn read_delivery(rule: &mut Rule, at: impl Fn() -> (PathBuf, usize)) -> Result<(), GrantsError> {
    let Some(named) = rule.delivery_file.take() else {
        return Ok(());
    };
    let (path, line) = at();
    if rule.delivery.is_some() {
        return Err(GrantsError::TwoRules { path, line });
    }
    let file = path.parent().unwrap_or_else(|| Path::new("")).join(named);
    let text = match files::read_text(&file, MAX_RULE_FILE) {
        Ok(text) => text,
        Err(source) => return Err(GrantsError::RuleFile { path, line, source }),
    };
    match serde_json::from_str(&text) {
        Ok(read) => rule.delivery = Some(read),
        Err(error) => {
            let message = error.to_string();
            return Err(GrantsError::Rule {
                path,
                line,
                file,
                message,
            });
        }
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

    const GRID: &str = r#"[[grant]]
id = "grid"
elements = ["*/1-0:32.7.0*255"]
finest = "PT1M"
aggregations = ["latest"]
history = "PT1H"
purpose = "state of the grid"
[grant.delivery]
schema = "smgw.delivery/1"
id = "voltage"
version = "1.0.0"
taf = 10
name = { de = "Spannung", en = "Voltage" }
description = { de = "Wenn sie das Band verlässt.", en = "When it leaves the band." }
elements = ["1-x:32.7.0*255"]
finest = "PT1M"
aggregation = "latest"
triggers = [{ every = "PT15M" }, { outside = { obis = "1-0:32.7.0*255", least = "207", most = "253", unit = "V", hysteresis = "2" } }]
identity = { pseudonym = { rotation = "P30D" } }
"#;

    #[test]
    fn delivery_rule_stands_in_its_grant() {
        let grants = parse(GRID).unwrap().grants(supplier(), now()).unwrap();
        let rule = grants[0].delivery.as_ref().unwrap();
        assert_eq!((rule.taf(), rule.triggers().len()), (10, 2));
        assert!(rule.is_pseudonymous());
    }

    #[test]
    fn faults_of_delivery_rules_are_named_with_file_and_line() {
        for (from, to, expected, words) in [
            ("taf = 10", "taf = 17", 8, "numbers 1 to 16"),
            ("least = \"207\"", "least = \"300\"", 8, "trigger 1"),
            (
                "identity = { pseudonym = { rotation = \"P30D\" } }",
                "identity = \"meter\"",
                8,
                "pseudonym",
            ),
            ("every =", "evry =", 18, "evry"),
        ] {
            assert!(GRID.contains(from), "{from}");
            let error = parse(&GRID.replace(from, to)).unwrap_err();
            let is_named = matches!(&error, GrantsError::Syntax { line, message, .. }
                if *line == expected && message.contains(words));
            assert!(is_named, "{error}");
        }
        let error = parse(&GRID.replace("*/1-0", "M1/1-0")).unwrap();
        let error = error.grants(supplier(), now()).unwrap_err();
        assert!(error.to_string().starts_with("grants.toml, line 1: "), "{error}");
        let source = GrantError::NamedMeter;
        assert!(matches!(error, GrantsError::Delivery { source: found, .. } if found == source));
        let twice = GRID.replace("[grant.delivery]", "delivery_file = \"x\"\n[grant.delivery]");
        let error = parse(&twice).unwrap_err();
        assert!(matches!(error, GrantsError::TwoRules { line: 1, .. }), "{error}");
    }

    #[test]
    fn shipped_delivery_rule_is_read_from_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "{}delivery_file = \"rule.json\"\n",
            GRID.split("[grant.").next().unwrap()
        );
        let path = folder.path().join("grants.toml");
        std::fs::write(&path, &text).unwrap();
        let error = GrantsFile::read(&path).unwrap_err();
        assert!(matches!(error, GrantsError::RuleFile { line: 1, .. }), "{error}");
        let rule = folder.path().join("rule.json");
        std::fs::write(&rule, include_str!("../../apps/taf-10/delivery.json")).unwrap();
        let grants = GrantsFile::read(&path).unwrap();
        let grants = grants.grants(supplier(), now()).unwrap();
        assert_eq!(grants[0].delivery.as_ref().unwrap().id().as_str(), "taf-10");
        std::fs::write(&rule, "{}").unwrap();
        let error = GrantsFile::read(&path).unwrap_err();
        assert!(matches!(error, GrantsError::Rule { line: 1, .. }), "{error}");
    }

    #[test]
    fn example_file_is_read() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../apps/taf-10/grants.toml");
        let grants = GrantsFile::read(&path)
            .unwrap()
            .grants(supplier(), now())
            .unwrap();
        assert!(grants[0].pseudonymous().is_some());
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
