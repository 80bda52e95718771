//! Simulated M-Bus meters on one TCP level converter.
//!
//! A [`Bus`] holds several [`Slave`]s and serves them to any number of clients, as a transparent
//! converter does: requests come in and answers go out as bytes, without a wrapping. The slaves
//! speak real frames, keep the frame count bit, and stay silent to what is not for them. Their
//! values move with time as those of a household do ([`household`]). Through the [`BusHandle`] a
//! test makes the next answers of a slave go wrong.
//!
//! Not simulated: bit timing, secondary addresses, collisions.

mod bus;
mod fault;
mod household;
mod meter;
mod profile;
mod slave;

#[cfg(test)]
mod tests;

pub use bus::{Bus, BusError, BusHandle, InjectError};
pub use fault::Fault;
pub use household::{household, household_after};
pub use meter::{Identity, Meter};
pub use slave::Slave;
