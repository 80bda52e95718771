//! Simulated M-Bus meters behind level converters on TCP and on a pseudo-terminal.
//!
//! A [`Segment`] is a wire with [`Slave`]s in virtual time: bits take their time, answers that
//! overlap spoil each other as they do on a real wire. A [`Bus`] serves a segment in real time to any
//! number of clients, as a transparent converter does: requests come in and answers go out as bytes,
//! without a wrapping.
//!
//! The slaves speak real frames: they keep the frame count bit, for their primary address and for
//! selections apart, are selected by wildcards, take addresses and speeds, send several telegrams,
//! and stay silent to what is not for them. Meters differ in their [`Manners`]. Their values move
//! with time as those of a household do ([`household`]); a [`fleet`] fills a bus. Through the
//! [`BusHandle`] a test makes the next answers of a slave go wrong.

mod bus;
mod client;
mod fault;
mod fleet;
mod household;
mod meter;
mod profile;
mod segment;
mod slave;
mod wire;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod virtual_time;

pub use bus::{Bus, BusError, BusHandle, InjectError};
pub use fault::Fault;
pub use fleet::{Numbering, fleet};
pub use household::{household, household_after};
pub use meter::{Identity, Meter};
pub use segment::Segment;
pub use slave::{Manners, Slave};
