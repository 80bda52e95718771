//! Modbus meters: an Eastron SDM630 with the values of a house, and a meter of any profile with the
//! values that a test gives it, with faults on demand.
//!
//! A [`Site`] holds one meter or several and is served over TCP, behind a serial server (RTU over
//! TCP) or on a serial port; its [`Manners`] say how slow its meters and their line are. Through the
//! [`Service`] a test makes the next answers go wrong.
//!
//! The framing is written out here, apart from the product's library, so that an answer can be
//! wrong in every way that a test asks for.
//!
//! Spec: Modbus Messaging on TCP/IP Implementation Guide V1.0b; MODBUS over Serial Line V1.02; Modbus
//! Application Protocol V1.1b3.

mod fault;
mod filling;
mod frame;
mod house;
mod line;
mod registers;
mod sdm630;
mod server;
mod site;

#[cfg(test)]
mod tests;

pub use fault::Fault;
pub use filling::{Contents, FillError};
pub use line::SerialLine;
pub use registers::Registers;
pub use server::{Sdm630, Server, Service};
pub use site::{Manners, Site};
