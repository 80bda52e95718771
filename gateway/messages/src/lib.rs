//! What the gateway and its counterparties write to each other.
//!
//! [`content`] is what is said (requests, answers, bundles, reports) as versioned JSON;
//! [`envelope`] signs and encrypts it as CMS so that only its recipient can read it; [`package`] is where the signatures of an
//! energy application stand; and [`certificate`] says who a sender is. Private keys stay behind the traits of [`keys`]: the
//! gateway's are on its card, those of its counterparties are [`software`] keys.
//!
//! This crate does no I/O, reads no clock and draws no random numbers: time and randomness are
//! arguments. Whether a message is fresh, new and permitted is the caller's to decide; it gets
//! the words for that here ([`content::check_freshness`], [`content::Content::check_sender`]).
#![warn(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]

pub mod certificate;
pub mod content;
pub mod envelope;
pub mod keys;
#[cfg(test)]
mod openssl;
pub mod package;
pub mod software;
#[cfg(test)]
mod testing;
mod time;
