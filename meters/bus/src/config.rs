//! What a bus is made of.

use mbus::master::{Station, Timing};

use crate::{MbusEndpoint, ModbusEndpoint, ModbusStation};

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
    /// Modbus: a serial line, a meter on TCP, or a gateway to a serial line.
    Modbus {
        /// Where the line, the meter or the gateway is.
        endpoint: ModbusEndpoint,
        /// The meters, and what each has in its registers.
        meters: Vec<MeterConfig<ModbusStation>>,
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
