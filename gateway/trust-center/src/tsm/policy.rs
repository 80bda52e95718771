//! The policy: what suppliers get at most, and whose requests need no operator.
//!
//! `policy.toml` in the trust centre's folder. Limits at the top are for all suppliers, those below `[[supplier]]` for one;
//! the narrower wins. Without the file nothing is limited, and an operator decides on every request.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use counterparty::files::{self, FileError};
use messages::certificate::PartyName;
use messages::content::{MAX_LIMITS, RuleName};
use model::{Aggregation, ElementPattern, Fingerprint, Grant, Limit, Period, Span};
use serde::Deserialize;

use super::narrow::{Contradiction, narrow};

/// The greatest size of a policy in bytes.
const MAX_FILE: usize = 1_024 * 1_024;

/// The reason why there is no policy to go by.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    /// The file cannot be read.
    #[error("the policy cannot be read")]
    File(#[from] FileError),
    /// The file is no policy.
    #[error("{} is no policy; correct it: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// A supplier is named twice.
    #[error("{} names the supplier {name} twice; say once what it gets", path.display())]
    RepeatedSupplier {
        /// The file.
        path: PathBuf,
        /// The supplier.
        name: PartyName,
    },
    /// There are more limits than gateways take.
    #[error("{} has {found} limits; gateways take up to {MAX_LIMITS}", path.display())]
    TooMany {
        /// The file.
        path: PathBuf,
        /// How many there are.
        found: usize,
    },
    /// A limit covers nothing.
    #[error("{} has a limit without elements; name some, or leave the limit out", path.display())]
    NoElements {
        /// The file.
        path: PathBuf,
    },
}

/// Who decides on a request that the limits leave something of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Approval {
    /// An operator.
    #[default]
    Operator,
    /// Nobody: it is approved at once.
    Automatic,
}

/// What suppliers get at most, and who decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    #[serde(default)]
    approve: Approval,
    limit: Option<Vec<LimitDocument>>,
    #[serde(default)]
    supplier: Vec<SupplierDocument>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct SupplierDocument {
    name: PartyName,
    approve: Option<Approval>,
    limit: Option<Vec<LimitDocument>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitDocument {
    elements: Vec<ElementPattern>,
    finest: Span,
    #[serde(default = "Aggregation::usual")]
    aggregations: BTreeSet<Aggregation>,
    history: Span,
    validity: Option<Period>,
    at_most: Option<Span>,
}

impl Policy {
    /// Reads the policy of a trust centre; without one nothing is limited.
    pub(crate) fn of_home(home: &Path) -> Result<Self, PolicyError> {
        let path = home.join("policy.toml");
        match files::read_text(&path, MAX_FILE) {
            Ok(text) => Self::parse(&path, &text),
            Err(FileError::Missing { .. }) => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, PolicyError> {
        let path = || path.to_owned();
        let policy: Self = toml::from_str(text).map_err(|error| PolicyError::Syntax {
            path: path(),
            // It quotes the line.
            message: error.to_string().trim_end().to_owned(),
        })?;
        let mut names = HashSet::new();
        let mut limits: Vec<&LimitDocument> = policy.limit.iter().flatten().collect();
        for supplier in &policy.supplier {
            if !names.insert(&supplier.name) {
                let name = supplier.name.clone();
                return Err(PolicyError::RepeatedSupplier { path: path(), name });
            }
            limits.extend(supplier.limit.iter().flatten());
        }
        let found = limits.len();
        if found > MAX_LIMITS {
            return Err(PolicyError::TooMany { path: path(), found });
        }
        if limits.iter().any(|limit| limit.elements.is_empty()) {
            return Err(PolicyError::NoElements { path: path() });
        }
        Ok(policy)
    }

    /// Returns what is left of what a supplier asks for.
    pub(crate) fn narrow(&self, name: &PartyName, grants: &[Grant]) -> Result<Vec<Grant>, Contradiction> {
        let own = self.of(name).and_then(|supplier| supplier.limit.as_deref());
        let of_all = self.limit.as_deref().map(|documents| limits(documents, None));
        let of_one = own.map(|documents| limits(documents, None));
        let narrowed = narrow(grants, of_all.as_deref())?;
        narrow(&narrowed, of_one.as_deref())
    }

    /// Returns the limits that hold at a gateway with these suppliers, also for grants that it had before.
    pub(crate) fn limits<'a>(
        &self,
        suppliers: impl Iterator<Item = (&'a PartyName, Fingerprint)>,
    ) -> Vec<Limit> {
        let of_all = self.limit.as_deref();
        let mut all = of_all.map_or_else(Vec::new, |documents| limits(documents, None));
        for (name, fingerprint) in suppliers {
            let own = self.of(name).and_then(|supplier| supplier.limit.as_deref());
            if let Some(documents) = own {
                all.extend(limits(documents, Some((name, fingerprint))));
            }
        }
        all
    }

    /// Returns who decides on a supplier's requests.
    pub(crate) fn approval(&self, name: &PartyName) -> Approval {
        let own = self.of(name).and_then(|supplier| supplier.approve);
        own.unwrap_or(self.approve)
    }

    fn of(&self, name: &PartyName) -> Option<&SupplierDocument> {
        self.supplier.iter().find(|supplier| supplier.name == *name)
    }
}

/// Returns the limits of all suppliers, or of one. Where a list has none, nothing is left: that is a limit without elements.
fn limits(documents: &[LimitDocument], supplier: Option<(&PartyName, Fingerprint)>) -> Vec<Limit> {
    let named = |number: usize| {
        let id = match supplier {
            Some((name, _)) => format!("policy {number} for {name}"),
            None => format!("policy {number}"),
        };
        id.chars().take(RuleName::MAX_LENGTH).collect()
    };
    let supplier_of = supplier.map(|(_, fingerprint)| fingerprint);
    if documents.is_empty() {
        return vec![Limit {
            id: named(0),
            supplier: supplier_of,
            elements: Vec::new(),
            finest: Span::DAY,
            aggregations: Aggregation::usual(),
            history: Span::DAY,
            validity: None,
            at_most: None,
        }];
    }
    let limit = |(document, number): (&LimitDocument, usize)| Limit {
        id: named(number),
        supplier: supplier_of,
        elements: document.elements.clone(),
        finest: document.finest,
        aggregations: document.aggregations.clone(),
        history: document.history,
        validity: document.validity,
        at_most: document.at_most,
    };
    documents.iter().zip(1..).map(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[[limit]]
elements = ["*"]
finest = "PT15M"
history = "P730D"

[[supplier]]
name = "City Works"
approve = "automatic"

[[supplier.limit]]
elements = ["*/1-0:1.8.0*255"]
finest = "PT1M"
history = "P30D"
"#;

    fn parse(text: &str) -> Result<Policy, PolicyError> {
        Policy::parse(Path::new("policy.toml"), text)
    }

    fn grant() -> Grant {
        let at = |text: &str| text.parse().unwrap();
        Grant {
            id: "all".to_owned(),
            supplier: Fingerprint::new([1; 32]),
            elements: vec!["*".parse().unwrap()],
            finest: "PT1M".parse().unwrap(),
            aggregations: Aggregation::USUAL.into(),
            history: "P1000D".parse().unwrap(),
            validity: Period::new(at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")).unwrap(),
            push: None,
            at_most: None,
            delivery: None,
            purpose: "billing".parse().unwrap(),
        }
    }

    #[test]
    fn narrower_of_the_general_and_the_particular_limit_wins() {
        let policy = parse(GOOD).unwrap();
        let city = "City Works".parse().unwrap();
        let [left] = policy.narrow(&city, &[grant()]).unwrap().try_into().unwrap();
        assert_eq!(left.elements[0].to_string(), "*/1-0:1.8.0*255");
        assert_eq!(
            (left.finest.to_string(), left.history.to_string()),
            ("PT15M".to_owned(), "P30D".to_owned())
        );
        let other = "Country Works".parse().unwrap();
        let [left] = policy.narrow(&other, &[grant()]).unwrap().try_into().unwrap();
        assert_eq!(
            (left.finest.to_string(), left.history.to_string()),
            ("PT15M".to_owned(), "P730D".to_owned())
        );
        assert_eq!(policy.approval(&city), Approval::Automatic);
        assert_eq!(policy.approval(&other), Approval::Operator);
    }

    #[test]
    fn gateways_get_the_limits_of_all_and_of_their_suppliers_by_number() {
        let [city, other] = ["City Works", "Country Works"].map(|name| name.parse::<PartyName>().unwrap());
        let print = |byte| Fingerprint::new([byte; 32]);
        let text = format!("{GOOD}at_most = \"PT1H\"\n");
        let policy = parse(&text).unwrap();
        let limits = policy.limits([(&city, print(1)), (&other, print(2))].into_iter());
        let named: Vec<_> = limits
            .iter()
            .map(|limit| (limit.id.as_str(), limit.supplier))
            .collect();
        assert_eq!(
            named,
            [("policy 1", None), ("policy 1 for City Works", Some(print(1)))]
        );
        assert_eq!(limits[1].at_most.map(Span::seconds), Some(3_600));
        assert_eq!(Policy::default().limits([(&city, print(1))].into_iter()), []);
        let [nothing] = parse("limit = []")
            .unwrap()
            .limits([].into_iter())
            .try_into()
            .unwrap();
        assert!(nothing.elements.is_empty());
        let many =
            "[[limit]]\nelements = [\"*\"]\nfinest = \"PT15M\"\nhistory = \"P1D\"\n".repeat(MAX_LIMITS + 1);
        assert!(matches!(parse(&many), Err(PolicyError::TooMany { .. })));
    }

    #[test]
    fn without_a_policy_nothing_is_limited_and_an_operator_decides() {
        let folder = tempfile::tempdir().unwrap();
        let policy = Policy::of_home(folder.path()).unwrap();
        let name = "City Works".parse().unwrap();
        assert_eq!(policy.narrow(&name, &[grant()]).unwrap(), [grant()]);
        assert_eq!(policy.approval(&name), Approval::Operator);
    }

    #[test]
    fn policies_that_cannot_be_followed_are_named() {
        let error = parse("colour = 1").unwrap_err();
        assert!(error.to_string().contains("colour"), "{error}");
        let twice = format!("{GOOD}\n[[supplier]]\nname = \"City Works\"\n");
        assert!(matches!(parse(&twice), Err(PolicyError::RepeatedSupplier { .. })));
        let empty = GOOD.replace("[\"*\"]", "[]");
        assert!(matches!(parse(&empty), Err(PolicyError::NoElements { .. })));
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("policy.toml")).unwrap();
        assert!(matches!(
            Policy::of_home(folder.path()),
            Err(PolicyError::File(_))
        ));
    }
}
