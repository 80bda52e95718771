//! The soft card as a program: the applet behind the real `pcscd`, by vsmartcard's virtual reader.
//!
//! `pcscd` listens for the virtual reader, the card connects: a connection is a card that is inserted, its end is a card
//! that was taken out. The card's state is a file that is on the disk before an answer is given. What a chip can suffer
//! can be asked for: see [`SoftCard`].

mod control;
mod error;
mod link;
mod memory;
mod plug;

pub use control::Control;
pub use error::SoftCardError;
pub use link::ATR;
pub use plug::{Contact, SoftCard};
