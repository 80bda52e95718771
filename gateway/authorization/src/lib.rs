//! Authorisation: what a supplier may have, and the proof that it may.
//!
//! [`decide`] holds a query against three layers of [`Rules`]: the grants that the TSM has installed, its policy, and the
//! consumer's restrictions. Everything that no grant permits, or that another layer takes away, is refused, with the reason
//! and the rule; [`explain`] says in addition what was looked at. What it permits is a [`Granted`] query, the
//! only thing that can release readings, and nothing but this crate can make a [`Granted`]:
//!
//! ```compile_fail,E0451
//! # fn forge(series: Vec<model::Series>, supplier: model::Fingerprint, scope: ()) {
//! let forged = authorization::Granted { value: series, supplier, permits: Vec::new(), scope };
//! # }
//! ```
//!
//! This crate does no I/O and reads no clock. It does not seal what it releases, and it writes no
//! log; the caller does both.
#![warn(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]

mod decision;
mod denial;
mod granted;
#[cfg(test)]
mod properties;
mod release;
mod rules;
mod trace;

pub use decision::{decide, explain};
pub use denial::{DenialReason, Denied};
pub use granted::{Granted, Paced, Rule};
pub use release::{Registration, Release, Released};
pub use rules::{Asker, LastAsked, Layer, Occasion, Rules};
pub use trace::{Explanation, Looked};

/// Decides by grants alone, for who asks for the first time.
#[cfg(test)]
fn by_grants<'a>(
    query: &model::Query,
    supplier: model::Fingerprint,
    grants: &'a [model::Grant],
    now: model::Timestamp,
) -> Result<Granted<'a, model::Query>, Denied> {
    let rules = Rules {
        grants,
        policy: &[],
        restrictions: &[],
    };
    decide(query, Asker { supplier, name: "" }, &rules, &Occasion::FIRST, now)
}
