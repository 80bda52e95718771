//! Simulated meters that speak real wire protocols, a soft card in a real `pcscd`, a fleet of gateways
//! behind a broker, and a bad network, with faults on demand.
//!
//! They stand in for hardware in the demo and in the tests; nothing of the product depends on them.

pub mod gateways;
pub mod mbus;
pub mod modbus;
pub mod proxy;
pub mod softcard;
mod terminal;

pub use terminal::{Terminal, TerminalError};
