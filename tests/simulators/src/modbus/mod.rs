//! Modbus meters: an Eastron SDM630 with the values of a house, and a meter of any profile with the
//! values that a test gives it, as TCP servers with faults on demand.
//!
//! The framing is written out here, apart from the product's library, so that an answer can be
//! wrong in every way that a test asks for.
//!
//! Spec: Modbus Messaging on TCP/IP Implementation Guide V1.0b; Modbus Application Protocol V1.1b3.

mod fault;
mod filling;
mod frame;
mod house;
mod registers;
mod sdm630;
mod server;

pub use fault::Fault;
pub use filling::{Contents, FillError};
pub use registers::Registers;
pub use server::{Sdm630, Server};
