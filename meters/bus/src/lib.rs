//! The buses: one task per bus that reads its meters, round after round.
//!
//! A [`Bus`] is the handle of such a task. The daemon starts a round when the registration grid or
//! the live display wants one; the task reads meter by meter and sends a [`Report`] for each. The
//! protocols are the pure machines of the crates `mbus` and `modbus`; here are the sockets, the
//! timeouts and the retries, and nowhere else. The wall clock is not read: the time of a round is
//! the daemon's word, and waiting follows the monotonic clock of tokio.
//!
//! An [`MbusMaster`] or a [`ModbusMaster`] by itself is for what has no rounds: [`discovery`],
//! commands, a single read.
//!
//! What is bounded: a connection attempt by a timeout, attempts by a growing pause, a meter by three
//! tries for each request and then by a circuit breaker, rounds by the refusal to start one while
//! another is running, live rounds by the one that waits, reports by the receiver's channel.

mod breaker;
mod bus;
mod config;
mod connector;
pub mod discovery;
mod endpoint;
mod error;
mod exception;
mod mbus_line;
mod mbus_port;
mod modbus_line;
mod report;

pub use bus::{Bus, BusTask, Loan, StartRoundError, prepare, spawn};
pub use config::{BusConfig, MeterConfig, Port};
pub use endpoint::{MbusEndpoint, ParseEndpointError, is_host_and_port};
pub use error::PollError;
pub use exception::ModbusException;
pub use mbus_line::MbusMaster;
pub use modbus_line::discovery as modbus_discovery;
pub use modbus_line::{
    AnswerFault, Characters, ModbusCounters, ModbusEndpoint, ModbusMaster, ModbusReading, ModbusStation,
    ParseModbusEndpointError, Proof,
};
pub use report::{MeterAnswer, Report, RoundKind, Statistics};
