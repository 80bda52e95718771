//! Modbus meters as data: profiles, the planning of block reads, and the exact decoding of registers.
//!
//! A meter is a [`Profile`], a TOML file that says which registers it has and what they mean. The
//! profile plans its reads as the fewest [`Block`]s that the meter's limits allow; the driver fills
//! a [`RegisterImage`] with the answers; the profile decodes the image into samples. Nothing here
//! knows a socket or a clock; requests go over the wire in the crate `bus`.
//!
//! Spec: Modbus Application Protocol Specification V1.1b3.
#![warn(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]

mod built_in;
mod decode;
mod image;
mod plan;
mod profile;
mod real;

pub use built_in::{built_in, built_in_names};
pub use decode::{DecodeError, Readout};
pub use image::{ImageError, RegisterImage};
pub use plan::Block;
pub use profile::{
    Expected, Field, Function, FunctionError, Limits, Profile, ProfileError, Register, RegisterType,
    SelfTest, SelfTestError, SerialNumber, Source, TestBlock, WordOrder, Words, WordsError,
};
pub use real::shortest_decimal;
