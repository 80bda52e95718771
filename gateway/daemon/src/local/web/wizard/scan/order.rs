//! What is to be scanned, and what can be wrong with what somebody has entered.

use bus::{MbusEndpoint, ModbusEndpoint};
use mbus::master::BaudRate;
use serde::{Deserialize, Serialize};

/// The longest endpoint that is read, in characters.
const LONGEST_ENDPOINT: usize = 200;
/// How long an answer may take beyond what the standard says, or on Modbus at all, in milliseconds: on a line of one's own,
/// behind a converter, with slow meters.
pub(in super::super) const LATENCIES_MS: [u64; 4] = [100, 300, 1_000, 3_000];
/// The first and the last primary address (EN 13757-2:2018, section 5.7.5), and unit (Modbus over serial line V1.02, section 2.2).
const MBUS_ADDRESSES: (u8, u8) = (0, 250);
const MODBUS_UNITS: (u8, u8) = (1, 247);
/// The most tries of one address.
const MOST_TRIES: u8 = 3;

/// What is spoken on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in super::super) enum Protocol {
    #[default]
    Mbus,
    Modbus,
}

/// What is to be scanned.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(in super::super) struct Order {
    pub(in super::super) protocol: Protocol,
    pub(in super::super) endpoint: String,
    /// The speed behind a converter, in bits per second.
    pub(in super::super) baud: u32,
    pub(in super::super) latency_ms: u64,
    pub(in super::super) tries: u8,
    pub(in super::super) first: u8,
    pub(in super::super) last: u8,
}

/// What somebody has entered, as it came.
#[derive(Debug, Clone, Default, Deserialize)]
pub(in super::super) struct Form {
    pub(in super::super) form: String,
    #[serde(default)]
    pub(in super::super) protocol: String,
    #[serde(default)]
    pub(in super::super) endpoint: String,
    #[serde(default)]
    pub(in super::super) baud: String,
    #[serde(default)]
    pub(in super::super) latency: String,
    #[serde(default)]
    pub(in super::super) tries: String,
    #[serde(default)]
    pub(in super::super) first: String,
    #[serde(default)]
    pub(in super::super) last: String,
}

/// What is wrong with what was entered, by the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Fault {
    Protocol,
    Endpoint,
    Baud,
    Latency,
    Tries,
    Addresses,
}

impl Form {
    /// Reads what was entered.
    pub(in super::super) fn read(&self) -> Result<Order, Fault> {
        let protocol = match self.protocol.as_str() {
            "mbus" => Protocol::Mbus,
            "modbus" => Protocol::Modbus,
            _ => return Err(Fault::Protocol),
        };
        let number = |text: &str, fault| text.trim().parse::<u8>().map_err(|_| fault);
        let order = Order {
            protocol,
            endpoint: self.endpoint.trim().to_owned(),
            baud: self.baud.trim().parse().map_err(|_| Fault::Baud)?,
            latency_ms: self.latency.trim().parse().map_err(|_| Fault::Latency)?,
            tries: number(&self.tries, Fault::Tries)?,
            first: number(&self.first, Fault::Addresses)?,
            last: number(&self.last, Fault::Addresses)?,
        };
        order.check()?;
        Ok(order)
    }
}

impl Order {
    fn check(&self) -> Result<(), Fault> {
        let (least, most) = match self.protocol {
            Protocol::Mbus => MBUS_ADDRESSES,
            Protocol::Modbus => MODBUS_UNITS,
        };
        if self.endpoint.chars().count() > LONGEST_ENDPOINT {
            return Err(Fault::Endpoint);
        }
        if BaudRate::try_from(self.baud).is_err() {
            return Err(Fault::Baud);
        }
        let is_known = match self.protocol {
            Protocol::Mbus => self.mbus().is_some(),
            Protocol::Modbus => self.modbus().is_some(),
        };
        if !is_known {
            return Err(Fault::Endpoint);
        }
        if !LATENCIES_MS.contains(&self.latency_ms) {
            return Err(Fault::Latency);
        }
        if !(1..=MOST_TRIES).contains(&self.tries) {
            return Err(Fault::Tries);
        }
        let is_range = least <= self.first && self.first <= self.last && self.last <= most;
        if is_range { Ok(()) } else { Err(Fault::Addresses) }
    }

    /// Returns the addresses that are asked.
    pub(in super::super) fn addresses(&self) -> std::ops::RangeInclusive<u8> {
        self.first..=self.last
    }

    /// Returns the M-Bus with its speed; a serial port has it in its endpoint.
    pub(super) fn mbus(&self) -> Option<(MbusEndpoint, BaudRate)> {
        let endpoint: MbusEndpoint = self.endpoint.parse().ok()?;
        let baud = match &endpoint {
            MbusEndpoint::Tcp { .. } => BaudRate::try_from(self.baud).ok()?,
            MbusEndpoint::Serial { baud_rate, .. } => *baud_rate,
        };
        Some((endpoint, baud))
    }

    /// Returns the Modbus endpoint.
    pub(super) fn modbus(&self) -> Option<ModbusEndpoint> {
        self.endpoint.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(endpoint: &str) -> Form {
        Form {
            form: String::new(),
            protocol: "mbus".to_owned(),
            endpoint: endpoint.to_owned(),
            baud: "2400".to_owned(),
            latency: "100".to_owned(),
            tries: "1".to_owned(),
            first: "0".to_owned(),
            last: "250".to_owned(),
        }
    }

    #[test]
    fn what_was_entered_is_read() {
        let order = form(" tcp:192.168.10.20:10001 ").read().unwrap();
        assert_eq!(order.addresses().len(), 251);
        assert_eq!(order.mbus().unwrap().1, BaudRate::B2400);
        let serial = form("serial:/dev/ttyUSB0:300").read().unwrap();
        assert_eq!(serial.mbus().unwrap().1, BaudRate::B300);
        let modbus = Form {
            protocol: "modbus".to_owned(),
            first: "1".to_owned(),
            last: "247".to_owned(),
            ..form("rtu:/dev/ttyUSB0:9600:8E1")
        };
        assert!(modbus.read().unwrap().modbus().is_some());
    }

    #[test]
    fn every_field_has_its_fault() {
        let good = form("tcp:127.0.0.1:1");
        let change = |how: fn(&mut Form)| {
            let mut bad = good.clone();
            how(&mut bad);
            bad.read().unwrap_err()
        };
        assert_eq!(change(|form| form.protocol = "dlms".to_owned()), Fault::Protocol);
        assert_eq!(
            change(|form| form.endpoint = "127.0.0.1".to_owned()),
            Fault::Endpoint
        );
        assert_eq!(
            change(|form| form.endpoint = format!("tcp:{}:1", "x".repeat(300))),
            Fault::Endpoint
        );
        assert_eq!(change(|form| form.baud = "2401".to_owned()), Fault::Baud);
        assert_eq!(change(|form| form.latency = "7".to_owned()), Fault::Latency);
        assert_eq!(change(|form| form.tries = "0".to_owned()), Fault::Tries);
        assert_eq!(change(|form| form.last = "251".to_owned()), Fault::Addresses);
        assert_eq!(change(|form| form.first = "7x".to_owned()), Fault::Addresses);
        assert_eq!(
            change(|form| {
                form.protocol = "modbus".to_owned();
                form.last = "9".to_owned();
            }),
            Fault::Addresses
        );
    }
}
