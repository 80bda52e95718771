//! The security module (100): its applet, the gateway's session with it, its personalisation and
//! the trust centre's access to it, all over ISO 7816 APDUs.
//!
//! The crate is pure: the [`applet`] is one function from command to answer over a [`CardState`]
//! that its holder persists, and the other three sides speak through a [`Transport`]. Nothing here
//! reads a clock, opens a file or makes randomness; random bytes come in as arguments.
//!
//! The table of commands stands in `README.md` beside this crate and is compared with the code's
//! own table by a test.
//!
//! [`CardState`]: applet::CardState
#![warn(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]

mod apdu;
pub mod applet;
mod commands;
mod crypto;
mod files;
mod pace;
pub mod personalization;
pub mod script;
pub mod secure_messaging;
pub mod session;
mod status_word;
mod store_head;
pub mod tlv;
mod transport;
pub mod tsm;

pub use apdu::{ApduError, CommandApdu, Header, ResponseApdu};
pub use applet::{CardKey, Partner};
pub use commands::{COMMANDS, Command, CommandRule, LifeCycle, Reach};
pub use crypto::{Point, PointError, SharedSecret, Signature};
pub use files::{
    Anchor, Contact, FILES, FileContentError, FileId, FileRule, Pairing, SupplierEntry, Suppliers,
};
pub use session::CardSession;
pub use status_word::StatusWord;
pub use store_head::{HeadVerdict, StoreHead};
pub use transport::{CardError, Transport};
