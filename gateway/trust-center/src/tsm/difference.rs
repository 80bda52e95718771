//! What an installation would change on a gateway.

use std::fmt;

use messages::content::Bundle;
use model::{Fingerprint, Grant, Limit};
use serde::Serialize;

use super::narrow::is_within;

/// The difference between what is in force on a gateway and what would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    /// The version of the bundle in force, 0 for none.
    pub(crate) from_version: u64,
    /// The version that the next bundle would have.
    pub(crate) to_version: u64,
    /// Suppliers that come or go.
    pub(crate) suppliers: Vec<SupplierChange>,
    /// Grants that come, go or change.
    pub(crate) grants: Vec<GrantChange>,
    /// Applications that come or go.
    pub(crate) applications: Vec<ApplicationChange>,
    /// The limits of the policy that hold at the gateway from then on, if they change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<Vec<Limit>>,
}

/// A supplier that comes or goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SupplierChange {
    /// Whether it comes or goes.
    pub(crate) change: Kind,
    /// Its name.
    pub(crate) name: String,
    /// Its SIG certificate.
    pub(crate) supplier: Fingerprint,
}

/// A grant that comes, goes or changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct GrantChange {
    /// How it changes.
    pub(crate) change: Kind,
    /// The supplier's SIG certificate.
    pub(crate) supplier: Fingerprint,
    /// The grant.
    pub(crate) id: String,
    /// What is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<Grant>,
    /// What would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<Grant>,
}

/// An application that comes or goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ApplicationChange {
    /// Whether it comes or goes.
    pub(crate) change: Kind,
    /// The supplier's SIG certificate.
    pub(crate) supplier: Fingerprint,
    /// Its name.
    pub(crate) name: String,
    /// Its digest.
    pub(crate) digest: Fingerprint,
}

/// How something changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// It comes.
    Added,
    /// It goes.
    Removed,
    /// It gives less than before, and nothing more.
    Narrowed,
    /// It gives more than before, and nothing less.
    Widened,
    /// It gives other things than before.
    Altered,
}

impl Kind {
    const fn sign(self) -> char {
        match self {
            Self::Added => '+',
            Self::Removed => '-',
            Self::Narrowed => '<',
            Self::Widened => '>',
            Self::Altered => '~',
        }
    }
}

impl Difference {
    /// Compares two bundles; without one in force, everything comes.
    pub(crate) fn between(before: Option<&Bundle>, after: &Bundle) -> Self {
        Self {
            from_version: before.map_or(0, |bundle| bundle.bundle_version),
            to_version: after.bundle_version,
            suppliers: suppliers(before, after),
            grants: grants(before, after),
            applications: applications(before, after),
            policy: Some(&after.policy)
                .filter(|policy| before.map_or(&Vec::new(), |bundle| &bundle.policy) != *policy)
                .cloned(),
        }
    }
}

fn suppliers(before: Option<&Bundle>, after: &Bundle) -> Vec<SupplierChange> {
    let list = |bundle: &Bundle| -> Vec<(Fingerprint, String)> {
        let entries = bundle.suppliers.iter();
        entries
            .map(|entry| (entry.certificates.sig.fingerprint(), entry.name.to_string()))
            .collect()
    };
    let (old, new) = (before.map(list).unwrap_or_default(), list(after));
    let change = |change: Kind| {
        move |(supplier, name): &(Fingerprint, String)| SupplierChange {
            change,
            name: name.clone(),
            supplier: *supplier,
        }
    };
    let added = new.iter().filter(|entry| !old.contains(entry));
    let removed = old.iter().filter(|entry| !new.contains(entry));
    added
        .map(change(Kind::Added))
        .chain(removed.map(change(Kind::Removed)))
        .collect()
}

fn grants(before: Option<&Bundle>, after: &Bundle) -> Vec<GrantChange> {
    let old: &[Grant] = before.map_or(&[], |bundle| &bundle.grants);
    let same = |one: &Grant, other: &Grant| (one.supplier, &one.id) == (other.supplier, &other.id);
    let mut changes = Vec::new();
    for grant in &after.grants {
        let known = old.iter().find(|known| same(known, grant));
        if known == Some(grant) {
            continue;
        }
        changes.push(GrantChange {
            change: known.map_or(Kind::Added, |known| compare(known, grant)),
            supplier: grant.supplier,
            id: grant.id.clone(),
            before: known.cloned(),
            after: Some(grant.clone()),
        });
    }
    for grant in old {
        if !after.grants.iter().any(|other| same(other, grant)) {
            changes.push(GrantChange {
                change: Kind::Removed,
                supplier: grant.supplier,
                id: grant.id.clone(),
                before: Some(grant.clone()),
                after: None,
            });
        }
    }
    changes
}

/// Says how a grant changes. Another purpose makes another grant of it.
fn compare(before: &Grant, after: &Grant) -> Kind {
    match (is_within(after, before), is_within(before, after)) {
        _ if before.purpose != after.purpose => Kind::Altered,
        (true, false) => Kind::Narrowed,
        (false, true) => Kind::Widened,
        (true, true) | (false, false) => Kind::Altered,
    }
}

fn applications(before: Option<&Bundle>, after: &Bundle) -> Vec<ApplicationChange> {
    let old = before.map_or(&[][..], |bundle| &bundle.applications);
    let change = |change: Kind| {
        move |entry: &messages::content::ApplicationEntry| ApplicationChange {
            change,
            supplier: entry.supplier,
            name: entry.name.to_string(),
            digest: entry.digest,
        }
    };
    let added = after.applications.iter().filter(|entry| !old.contains(entry));
    let removed = old.iter().filter(|entry| !after.applications.contains(entry));
    added
        .map(change(Kind::Added))
        .chain(removed.map(change(Kind::Removed)))
        .collect()
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "The bundle in force is {}; the next one would be {}.",
            self.from_version, self.to_version
        )?;
        for SupplierChange {
            change,
            name,
            supplier,
        } in &self.suppliers
        {
            write!(formatter, "\n{} supplier {name} ({supplier})", change.sign())?;
        }
        for GrantChange {
            change,
            id,
            before,
            after,
            ..
        } in &self.grants
        {
            write!(formatter, "\n{} grant {id:?}", change.sign())?;
            for (word, grant) in [("was", before), ("becomes", after)] {
                if let Some(grant) = grant {
                    write!(formatter, "\n    {word}: {}", Told(grant))?;
                }
            }
        }
        for ApplicationChange {
            change, name, digest, ..
        } in &self.applications
        {
            write!(formatter, "\n{} application {name} ({digest})", change.sign())?;
        }
        if let Some(policy) = &self.policy {
            write!(
                formatter,
                "\n~ policy: {} limits hold at the gateway",
                policy.len()
            )?;
        }
        let changes_rules = !self.grants.is_empty() || self.policy.is_some();
        if self.suppliers.is_empty() && !changes_rules && self.applications.is_empty() {
            write!(formatter, "\nNothing would change.")?;
        }
        Ok(())
    }
}

/// A grant in one line.
pub(crate) struct Told<'a>(pub(crate) &'a Grant);

impl fmt::Display for Told<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grant = self.0;
        let elements: Vec<_> = grant.elements.iter().map(ToString::to_string).collect();
        let aggregations: Vec<_> = grant
            .aggregations
            .iter()
            .map(|aggregation| aggregation.as_str())
            .collect();
        write!(
            formatter,
            "{} ({}) every {}, back to {}, from {} to {}, for {}",
            elements.join(" "),
            aggregations.join(", "),
            grant.finest,
            grant.history,
            grant.validity.from(),
            grant.validity.to(),
            grant.purpose
        )?;
        if let Some(at_most) = grant.at_most {
            write!(formatter, ", asked every {at_most} at most")?;
        }
        match &grant.delivery {
            Some(rule) => write!(formatter, ", delivered by {rule}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Period, Span};

    use super::*;

    fn grant(id: &str, finest: u32) -> Grant {
        let at = |text: &str| text.parse().unwrap();
        Grant {
            id: id.to_owned(),
            supplier: Fingerprint::new([1; 32]),
            elements: vec!["*".parse().unwrap()],
            finest: Span::from_seconds(finest).unwrap(),
            aggregations: model::Aggregation::USUAL.into(),
            history: Span::DAY,
            validity: Period::new(at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")).unwrap(),
            push: None,
            at_most: None,
            delivery: None,
            purpose: "billing".parse().unwrap(),
        }
    }

    #[test]
    fn changes_of_a_grant_are_told_apart() {
        for (before, after, expected) in [
            (60, 120, Kind::Narrowed),
            (120, 60, Kind::Widened),
            (60, 90, Kind::Altered),
        ] {
            assert_eq!(compare(&grant("a", before), &grant("a", after)), expected);
        }
        let mut other = grant("a", 120);
        other.purpose = "research".parse().unwrap();
        assert_eq!(compare(&grant("a", 60), &other), Kind::Altered);
    }
}
