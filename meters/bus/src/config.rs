//! What a bus is made of.

use std::sync::Arc;
use std::time::Duration;

use mbus::master::{Station, Timing};
use modbus::Profile;

use crate::MbusEndpoint;

/// The usual time for which a Modbus answer is waited: behind a gateway to a slow serial line,
/// 300 ms are known to be too short.
pub const DEFAULT_ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// A bus, how it is reached, and the meters on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusConfig {
    /// The name by which reports and logs call the bus.
    pub name: String,
    /// How the bus is reached, and its meters.
    pub port: Port,
}

/// How a bus is reached, and the meters on it, in the order in which they are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    /// M-Bus behind a level converter, on TCP or on a serial port.
    Mbus {
        /// Where the converter is.
        endpoint: MbusEndpoint,
        /// What the waits are computed from.
        timing: Timing,
        /// The meters, and how each is asked.
        meters: Vec<MeterConfig<Station>>,
    },
    /// Modbus TCP: a meter, or a gateway to a serial line.
    ModbusTcp {
        /// The meter or gateway, `host:port`.
        endpoint: String,
        /// How long an answer is waited for.
        answer_timeout: Duration,
        /// The meters, by unit.
        meters: Vec<MeterConfig<ModbusUnit>>,
    },
}

/// A meter on a bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeterConfig<A> {
    /// The name by which reports and logs call the meter.
    pub name: String,
    /// Where it is on the bus.
    pub address: A,
}

/// A Modbus meter: its unit identifier and what it has in its registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModbusUnit {
    /// The unit identifier, 1 to 247; 255 for a meter that is its own TCP server.
    pub unit: u8,
    /// Its registers.
    pub profile: Arc<Profile>,
}
