//! What an energy supplier builds on: its keys and certificates ([`Home`]), the way to a gateway
//! ([`Exchange`]), and pulls whose answers are decrypted and checked ([`Pull`]).
//!
//! An answer that comes out of here is by the card that was asked, certified by the trust centre,
//! to the very request that was sent, and fresh. What it was asked with and what it said can be
//! kept as it went over the WAN ([`Archive`]), so that anybody can check it with OpenSSL.
//!
//! The library reads no clock of its own: callers hand the time in.

mod archive;
mod exchange;
mod files;
mod follow;
mod gateways;
mod home;
mod pull;
mod random;
#[cfg(test)]
mod stories;

pub use archive::{Archive, ArchiveError};
pub use exchange::{Exchange, ExchangeError, GatewayAddress, GatewayAddressError, Identity};
pub use files::FileError;
pub use follow::{Backlog, Schedule};
pub use gateways::GatewayError;
pub use home::{Home, HomeError};
pub use pull::{Pull, PullError};
pub use random::RandomError;
