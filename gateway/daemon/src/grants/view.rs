//! Grants, limits, restrictions and decisions as the command line and its JSON show them.

use std::fmt;

use authorization::{Explanation, Layer};
use model::{Fingerprint, Grant, Limit, Query, Restriction, Timestamp};
use serde::{Deserialize, Serialize};

/// The names of the schemas and their version; additive within the version.
const GRANTS_SCHEMA: &str = "smgw.grants/1";
const EXPLANATION_SCHEMA: &str = "smgw.grants-explanation/1";
const RESTRICTION_SCHEMA: &str = "smgw.grants-restriction/1";

/// A supplier that the gateway knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SupplierView {
    pub(crate) name: String,
    pub(crate) supplier: Fingerprint,
}

/// Everything by which is decided what suppliers get.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct GrantsView {
    schema: String,
    suppliers: Vec<SupplierView>,
    grants: Vec<Grant>,
    policy: Vec<Limit>,
    restrictions: Vec<Restriction>,
    /// Why nothing is handed out: the gateway does not serve, or the restrictions are lost.
    fault: Option<String>,
}

impl GrantsView {
    pub(crate) fn new(
        suppliers: Vec<SupplierView>,
        (grants, policy): (&[Grant], &[Limit]),
        restrictions: Vec<Restriction>,
        fault: Option<String>,
    ) -> Self {
        Self {
            schema: GRANTS_SCHEMA.to_owned(),
            suppliers,
            grants: grants.to_vec(),
            policy: policy.to_vec(),
            restrictions,
            fault,
        }
    }

    fn name_of(&self, fingerprint: Fingerprint) -> String {
        let known = self.suppliers.iter().find(|entry| entry.supplier == fingerprint);
        known.map_or_else(|| fingerprint.to_string(), |entry| entry.name.clone())
    }
}

impl fmt::Display for GrantsView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.grants.is_empty() && self.fault.is_none() {
            writeln!(formatter, "Nobody is granted anything.")?;
        }
        for grant in &self.grants {
            let (from, to) = (grant.validity.from(), grant.validity.to());
            let name = self.name_of(grant.supplier);
            write!(
                formatter,
                "grant        {:?} of {name}: {}",
                grant.id,
                list(&grant.elements)
            )?;
            write!(
                formatter,
                " every {}, {}",
                grant.finest,
                list(&grant.aggregations)
            )?;
            write!(formatter, ", back to {}, from {from} to {to}", grant.history)?;
            if let Some(push) = grant.push {
                write!(formatter, ", sent every {push}")?;
            }
            if let Some(at_most) = grant.at_most {
                write!(formatter, ", asked every {at_most} at most")?;
            }
            if let Some(rule) = &grant.delivery {
                write!(formatter, ", delivered by {rule}")?;
            }
            writeln!(formatter, ", for {}", grant.purpose)?;
        }
        for limit in &self.policy {
            let name = limit
                .supplier
                .map_or_else(|| "all".to_owned(), |one| self.name_of(one));
            write!(
                formatter,
                "policy       {:?} for {name}: {}",
                limit.id,
                list(&limit.elements)
            )?;
            write!(
                formatter,
                " every {}, {}",
                limit.finest,
                list(&limit.aggregations)
            )?;
            write!(formatter, ", back to {}", limit.history)?;
            if let Some(validity) = limit.validity {
                write!(formatter, ", from {} to {}", validity.from(), validity.to())?;
            }
            if let Some(at_most) = limit.at_most {
                write!(formatter, ", asked every {at_most} at most")?;
            }
            writeln!(formatter)?;
        }
        for restriction in &self.restrictions {
            writeln!(formatter, "{}", Told(restriction))?;
        }
        match &self.fault {
            Some(fault) => writeln!(formatter, "Nothing is handed out: {fault}."),
            None if self.restrictions.is_empty() => writeln!(formatter, "Nothing is restricted."),
            None => Ok(()),
        }
    }
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    texts.join(" ")
}

/// A restriction in one line.
struct Told<'a>(&'a Restriction);

impl fmt::Display for Told<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let restriction = self.0;
        let supplier = restriction.supplier.as_ref();
        let name = supplier.map_or("all suppliers", |supplier| supplier.name.as_str());
        write!(
            formatter,
            "restriction  {}: {name} get of {}: {}, from {} on",
            restriction.id, restriction.elements, restriction.effect, restriction.from
        )
    }
}

/// A restriction that was set.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RestrictionView {
    schema: String,
    restriction: Restriction,
}

impl From<Restriction> for RestrictionView {
    fn from(restriction: Restriction) -> Self {
        Self {
            schema: RESTRICTION_SCHEMA.to_owned(),
            restriction,
        }
    }
}

impl fmt::Display for RestrictionView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", Told(&self.restriction))?;
        writeln!(
            formatter,
            "It holds until it is lifted: smgw grants lift {}",
            self.restriction.id
        )
    }
}

/// A restriction that was lifted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LiftedView {
    schema: String,
    lifted: Restriction,
}

impl From<Restriction> for LiftedView {
    fn from(lifted: Restriction) -> Self {
        Self {
            schema: RESTRICTION_SCHEMA.to_owned(),
            lifted,
        }
    }
}

impl fmt::Display for LiftedView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "Lifted: {}", Told(&self.lifted))
    }
}

/// A rule that was looked at.
#[derive(Debug, Serialize, Deserialize)]
struct LookedView {
    layer: Layer,
    rule: String,
    permits: bool,
    /// The stable code of the refusal.
    code: Option<String>,
    reason: Option<String>,
    /// Whether it is the rule that decided, or one of several.
    decided: bool,
}

/// Why a query is refused.
#[derive(Debug, Serialize, Deserialize)]
struct DeniedView {
    code: String,
    layer: Layer,
    rule: Option<String>,
    reason: String,
}

/// A decision with the rules that it came from.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ExplanationView {
    schema: String,
    supplier: Fingerprint,
    name: String,
    time: Timestamp,
    query: Query,
    granted: bool,
    /// The grants by which it is granted.
    rules: Vec<String>,
    denied: Option<DeniedView>,
    looked: Vec<LookedView>,
}

impl ExplanationView {
    pub(crate) fn new(
        supplier: SupplierView,
        query: Query,
        explanation: &Explanation,
        time: Timestamp,
    ) -> Self {
        let looked = explanation.looked.iter().map(|looked| LookedView {
            layer: looked.layer,
            rule: looked.rule.clone(),
            permits: looked.refuses.is_none(),
            code: looked.refuses.as_ref().map(|reason| reason.code().to_owned()),
            reason: looked.refuses.as_ref().map(ToString::to_string),
            decided: explanation.has_decided(looked),
        });
        let denied = explanation.outcome.as_ref().err().map(|denied| DeniedView {
            code: denied.reason.code().to_owned(),
            layer: denied.layer,
            rule: denied.rule.clone(),
            reason: denied.reason.to_string(),
        });
        Self {
            schema: EXPLANATION_SCHEMA.to_owned(),
            supplier: supplier.supplier,
            name: supplier.name,
            time,
            query,
            granted: denied.is_none(),
            rules: explanation.outcome.clone().unwrap_or_default(),
            denied,
            looked: looked.collect(),
        }
    }
}

impl fmt::Display for ExplanationView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Query {
            elements,
            period,
            resolution,
            aggregation,
        } = &self.query;
        writeln!(
            formatter,
            "{} asks for {elements} every {resolution} ({aggregation}) from {} to {}",
            self.name,
            period.from(),
            period.to()
        )?;
        for looked in &self.looked {
            let mark = if looked.decided { '*' } else { ' ' };
            write!(formatter, "{mark} {:<9} {:?}: ", looked.layer, looked.rule)?;
            match (&looked.code, &looked.reason) {
                (Some(code), Some(reason)) => writeln!(formatter, "refuses, {reason} ({code})")?,
                _ => writeln!(formatter, "permits")?,
            }
        }
        match &self.denied {
            None => writeln!(formatter, "Granted by {}.", self.rules.join(", ")),
            Some(denied) => {
                let rule = denied.rule.as_ref();
                let by = rule.map_or_else(String::new, |rule| format!(" by {rule:?}"));
                writeln!(
                    formatter,
                    "Refused by the layer {}{by}: {} ({}).",
                    denied.layer, denied.reason, denied.code
                )
            }
        }
    }
}
