//! M-Bus after EN 13757-2 (link layer) and EN 13757-3 (application layer).
//!
//! From the wire up: [`link`] makes frames from bytes, [`master`] is the state machine that reads a
//! meter, [`application`] takes a telegram apart into records, [`obis`] names what a record
//! measures, [`readout`] turns the telegrams of one meter into the samples of [`model`], and
//! [`report`] writes a telegram out for programs and people.
//!
//! This crate does no I/O and reads no clock: bytes and time come in as arguments, so the driver of
//! a serial port or a TCP converter is a short loop around [`master::Read`], which shows it.
#![warn(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]

pub mod application;
pub mod link;
pub mod master;
pub mod obis;
pub mod readout;
pub mod report;

#[cfg(test)]
mod vectors;
