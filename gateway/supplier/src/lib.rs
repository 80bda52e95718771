//! What an energy supplier builds on: its keys and certificates ([`Home`]), the way to a gateway
//! ([`Exchange`]), and pulls whose answers are decrypted and checked ([`Pull`]). What a gateway hands out it is asked for at
//! the TSM ([`request_install`], [`requests`]).
//!
//! An answer that comes out of here is by the card that was asked, certified by the trust centre,
//! to the very request that was sent, and fresh. What it was asked with and what it said can be
//! kept as it went over the WAN ([`Archive`]), so that anybody can check it with OpenSSL.
//!
//! The library reads no clock of its own: callers hand the time in.

mod ask;
mod follow;
mod home;
mod lists;
mod pull;
#[cfg(test)]
mod stories;

pub use ask::{AskError, Order, request_install, requests};
pub use counterparty::archive::{Archive, ArchiveError};
pub use counterparty::conversation::ConversationError;
pub use counterparty::exchange::{Exchange, ExchangeError, GatewayAddress, GatewayAddressError, Identity};
pub use counterparty::fetch::FetchError;
pub use counterparty::files::FileError;
pub use counterparty::gateways::GatewayError;
pub use counterparty::random::RandomError;
pub use counterparty::tsm::{RequestView, TsmClient, TsmClientError};
pub use follow::{Backlog, Schedule};
pub use home::{Home, HomeError, KnowError};
pub use lists::{ListError, Taken};
pub use pull::{Pull, PullError};
