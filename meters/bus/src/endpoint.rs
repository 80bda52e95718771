//! Where an M-Bus is reached.

use std::fmt;
use std::str::FromStr;

use mbus::master::BaudRate;

/// Where an M-Bus is reached.
///
/// Text form: `tcp:HOST:PORT` for a converter that passes the bytes of a TCP connection on,
/// `serial:DEVICE:BAUD` for a level converter on a serial port, such as `serial:/dev/ttyUSB0:2400`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MbusEndpoint {
    /// A converter on TCP, whose speed is set at the converter.
    Tcp {
        /// `host:port`.
        address: String,
    },
    /// A level converter on a serial port: 8 data bits, even parity, one stop bit.
    Serial {
        /// The path of the device.
        device: String,
        /// The speed.
        baud_rate: BaudRate,
    },
}

impl MbusEndpoint {
    /// Returns the speed of the bus, as far as the endpoint says: 2400 behind a TCP converter.
    #[must_use]
    pub const fn baud_rate(&self) -> BaudRate {
        match self {
            Self::Tcp { .. } => BaudRate::B2400,
            Self::Serial { baud_rate, .. } => *baud_rate,
        }
    }
}

/// Returns whether a text names a host and a port that one can connect to: `host:port`, the port 1 to 65535.
#[must_use]
pub fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

impl FromStr for MbusEndpoint {
    type Err = ParseEndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, rest) = text.split_once(':').ok_or(ParseEndpointError::Kind)?;
        match kind {
            "tcp" => {
                if !is_host_and_port(rest) {
                    return Err(ParseEndpointError::Tcp);
                }
                Ok(Self::Tcp {
                    address: rest.to_owned(),
                })
            }
            "serial" => {
                let (device, baud) = rest.rsplit_once(':').ok_or(ParseEndpointError::Serial)?;
                let baud: u32 = baud.parse().map_err(|_| ParseEndpointError::Serial)?;
                let baud_rate = BaudRate::try_from(baud).map_err(|_| ParseEndpointError::Serial)?;
                if device.is_empty() {
                    return Err(ParseEndpointError::Serial);
                }
                Ok(Self::Serial {
                    device: device.to_owned(),
                    baud_rate,
                })
            }
            _ => Err(ParseEndpointError::Kind),
        }
    }
}

impl fmt::Display for MbusEndpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { address } => write!(formatter, "tcp:{address}"),
            Self::Serial { device, baud_rate } => {
                write!(formatter, "serial:{device}:{}", baud_rate.bits_per_second())
            }
        }
    }
}

/// The error for a text that is no address of an M-Bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseEndpointError {
    /// It is of neither kind.
    #[error("an M-Bus is given as tcp:HOST:PORT or serial:DEVICE:BAUD")]
    Kind,
    /// Host or port is missing.
    #[error("a converter is given as tcp:HOST:PORT, such as tcp:192.168.10.20:10001")]
    Tcp,
    /// Device or speed is missing, or no M-Bus runs at the speed.
    #[error(
        "a serial port is given as serial:DEVICE:BAUD, such as serial:/dev/ttyUSB0:2400, with 300 to 38400 baud"
    )]
    Serial,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_written() {
        for text in [
            "tcp:192.168.10.20:10001",
            "tcp:[::1]:1",
            "serial:/dev/ttyUSB0:2400",
        ] {
            assert_eq!(text.parse::<MbusEndpoint>().unwrap().to_string(), text);
        }
        let serial: MbusEndpoint = "serial:/dev/ttyUSB0:300".parse().unwrap();
        assert_eq!(serial.baud_rate(), BaudRate::B300);
    }

    #[test]
    fn what_is_no_endpoint_names_the_form() {
        for (text, error) in [
            ("cellar", ParseEndpointError::Kind),
            ("udp:host:1", ParseEndpointError::Kind),
            ("tcp:host", ParseEndpointError::Tcp),
            ("tcp::1", ParseEndpointError::Tcp),
            ("tcp:host:0", ParseEndpointError::Tcp),
            ("serial:/dev/ttyUSB0", ParseEndpointError::Serial),
            ("serial:/dev/ttyUSB0:1", ParseEndpointError::Serial),
            ("serial::2400", ParseEndpointError::Serial),
        ] {
            assert_eq!(text.parse::<MbusEndpoint>(), Err(error), "{text}");
        }
    }
}
