//! An Eastron SDM630 as a Modbus TCP server, with the values of a house and faults on demand.
//!
//! The framing is written out here, apart from the product's library, so that an answer can be
//! wrong in every way that a test asks for.
//!
//! Spec: Modbus Messaging on TCP/IP Implementation Guide V1.0b; Modbus Application Protocol V1.1b3.

mod fault;
mod frame;
mod house;
mod registers;
mod server;

pub use fault::Fault;
pub use server::Sdm630;
