//! What an energy supplier builds on: its keys and certificates ([`Home`]), the way to a gateway
//! ([`Exchange`]), and pulls whose answers are decrypted and checked ([`Pull`]). What a gateway hands out it is asked for at
//! the TSM ([`request_install`], [`requests`]).
//!
//! A [`Store`] keeps what was handed out, once, with its proof; a [`Puller`] pulls into it, and [`pull_fleet`] from many gateways
//! at once. A [`Reception`] takes what they send by themselves. [`bill`] and [`export`] make something of it.
//! `examples/collect.rs` shows a pull from all, a bill and an export.
//!
//! An answer that comes out of here is by the card that was asked, certified by the trust centre,
//! to the very request that was sent, and fresh. What it was asked with and what it said can be
//! kept as it went over the WAN ([`Archive`]), so that anybody can check it with OpenSSL.
//!
//! The library reads no clock of its own: callers hand the time in.

mod application;
mod ask;
mod bill;
mod export;
mod fleet;
mod follow;
mod home;
mod known;
mod lists;
mod pull;
mod puller;
mod receive;
mod store;
#[cfg(test)]
mod stories;

pub use application::{ApplicationError, sign};
pub use ask::{AskError, InstallationOrder, request_install, requests};
pub use bill::{
    Bill, BillError, BillLine, BillOrder, Contradiction, Part, Stage, Tariff, TariffError, TariffFileError,
    bill, parse_time, read_tariff, reason_in_words, zone,
};
pub use counterparty::archive::{Archive, ArchiveError};
pub use counterparty::conversation::ConversationError;
pub use counterparty::exchange::{Exchange, ExchangeError, GatewayAddress, GatewayAddressError, Identity};
pub use counterparty::fetch::FetchError;
pub use counterparty::files::FileError;
pub use counterparty::gateways::GatewayError;
pub use counterparty::hub::Hub;
pub use counterparty::random::RandomError;
pub use counterparty::tsm::{RequestView, TsmClient, TsmClientError};
pub use export::{ExportError, ExportOrder, Format, UnknownFormat, export};
pub use fleet::{DEFAULT_JOBS, FleetError, MAX_JOBS, Outcome, Target, pull_fleet};
pub use follow::{Backlog, Schedule};
pub use home::{Home, HomeError, KnowError};
pub use known::{KnownError, KnownGateway};
pub use lists::{ListError, Taken};
pub use pull::{Pull, PullError};
pub use puller::{MAX_PAGES, MAX_RUNS, Order, Pulled, Puller, PullerError, Witness};
pub use receive::{ReceiveError, Received, Reception};
pub use store::{
    ElementKey, Kept, MAX_TRIES, MissingRun, Proof, Store, StoreError, StorePlace, StoredConflict,
    StoredElement, StoredGap, StoredReading,
};
