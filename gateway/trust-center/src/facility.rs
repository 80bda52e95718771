//! Two facilities: a second one (611) personalises cards with what the trust centre (600) sends.
//!
//! Each has its own folder, keys, books and control; the trust centre has certified the facility, and that is all that
//! ties them. What they say to each other are messages in CMS ([`message`], [`letter`]), signed by the sender and encrypted
//! for the recipient. They go over a TLS connection on which both sides prove who they are ([`wire`]), or in files that
//! somebody carries. [`center`] answers on the side of the trust centre; [`home`] is the facility's folder, [`errand`] what it
//! asks for, and [`mod@bench`] the place where its cards are made.
//!
//! A delivery is exactly once with the facility, or pending. The trust centre writes it down, with GUIDs and certificates,
//! in one transaction with the sealed message on its disk, and gives the same bytes whenever the facility asks for the
//! delivery by its name. Once the facility has confirmed it, only the books are left of it. The private keys in it are on
//! the trust centre's disk in no other form than encrypted for the facility, from the first moment on.

mod arguments;
mod bench;
mod center;
mod commands;
mod errand;
mod home;
mod letter;
mod message;
mod output;
mod stock;
#[cfg(test)]
#[cfg(feature = "soft-card")]
mod tests;
mod wire;

pub(crate) use arguments::FacilityCommand;
pub(crate) use commands::{FacilityError, run};
pub(crate) use output::FacilityOutput;
