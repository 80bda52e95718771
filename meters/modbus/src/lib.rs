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
mod identify;
mod image;
mod plan;
mod profile;
mod real;
pub mod sunspec;
#[cfg(test)]
mod vectors;

pub use built_in::{built_in, built_in_names};
pub use decode::{DecodeError, DecodedValue, Readout, ValueFault, refusal_reason};
pub use identify::{
    DeviceIdentificationError, Identification, Misfit, Plausibility, Question, Reply, Verdict,
    device_identification,
};
pub use image::{ImageError, RegisterImage};
pub use plan::{Block, Handled, Outcome, Plan, Refusals};
pub use profile::{
    Bits, ByteOrder, CodedUnit, DeviceObject, Expected, Field, Fraction, Function, FunctionError, Limits,
    Parameter, ParameterRange, Pattern, Phase, Place, PollClass, Probe, Profile, ProfileError, ProfileFault,
    Ratio, Register, RegisterType, Scaling, SelfTest, SelfTestError, SerialNumber, Source, SunSpec,
    TestBlock, Total, UnitIds, UnitSource, WordOrder, Words, WordsError, json_schema,
};
pub use real::{shortest_decimal, shortest_decimal_f64};
