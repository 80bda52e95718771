//! The link layer: frames, addresses, and the decoder that finds frames in a stream of bytes.
//!
//! | frame | bytes |
//! |---|---|
//! | single character | `E5` |
//! | short | `10 C A checksum 16` |
//! | long, control | `68 L L 68 C A CI data… checksum 16`, L counts C to the end of the data |
//!
//! The checksum is the sum of C to the end of the data, modulo 256. Which frame answers which is
//! the business of [`crate::master`].
//!
//! Spec: EN 13757-2:2018, section 5 (EN 60870-5-1, format class FT 1.2).

mod address;
mod control;
mod decoder;
mod frame;
mod secondary;

pub use address::{AddressError, BROADCAST, PrimaryAddress, SELECTED, TEST};
pub use control::Control;
pub use decoder::Decoder;
pub use frame::{Frame, FrameError, LongFrame};
pub use secondary::{ParseSecondaryError, SecondaryAddress};
