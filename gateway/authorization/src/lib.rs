//! Authorisation: what a supplier may have, and the proof that it may.
//!
//! [`decide`] holds a query against the grants that the TSM has installed; everything that no grant
//! permits is refused, with the reason and the rule. What it permits is a [`Granted`] query, the
//! only thing that can release readings, and nothing but this crate can make a [`Granted`]:
//!
//! ```compile_fail,E0451
//! # fn forge(series: Vec<model::Series>, supplier: model::Fingerprint) {
//! let forged = authorization::Granted { value: series, supplier, grants: Vec::new() };
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

pub use decision::decide;
pub use denial::{DenialReason, Denied};
pub use granted::{Granted, Rule};
pub use release::{Release, Released};
