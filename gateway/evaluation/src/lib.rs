//! The sandbox of the energy applications: what they are, what they see, and how they are run.
//!
//! An energy application is a WebAssembly module in a signed [`package`], with a [`manifest`] that says what it reads,
//! what it makes and what it may take. It is a pure function: an input blob (readings, parameters, a calendar that is
//! rolled out, the state of the run before) gives an output blob (elements and the next state), both described in
//! [`interface`] and known as `smgw:tariff/1`. The [`engine`] runs it on integers only, with bounded fuel and memory, and a
//! fresh instance for each run; [`accept`] then holds what it has made against the manifest.
//!
//! This crate does no I/O and reads no clock, knows no grant and checks no signature: the caller hands in bytes, stops a
//! run that takes too long, verifies the signatures over the ranges that a package names, and stores what comes out. It is
//! the only crate that names the engine.
#![warn(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]

pub mod calendar;
mod check;
pub mod engine;
pub mod interface;
pub mod limits;
pub mod manifest;
pub mod package;
pub mod protocol;
mod vectors;

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod samples;

pub use check::{AcceptError, Derived, Outcome, accept};
pub use engine::{Go, LogLevel, LogLine, Module, ModuleError, Run, RunError};
pub use manifest::{Manifest, ManifestError};
pub use package::{Package, PackageError};
pub use vectors::{VectorError, VectorRunError, prove, prove_by};
