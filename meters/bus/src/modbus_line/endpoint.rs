//! Where Modbus meters are reached.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::is_host_and_port;

/// Where Modbus meters are reached.
///
/// Text form: `tcp:HOST:PORT` for Modbus TCP, `rtu:DEVICE:BAUD:8E1` for a serial line, and
/// `rtutcp:HOST:PORT` for a converter that passes the bytes of a serial line on over TCP.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ModbusEndpoint {
    /// Modbus TCP: a meter, or a gateway to a serial line.
    Tcp {
        /// `host:port`.
        address: String,
    },
    /// The frames of a serial line on TCP; the line's speed is set at the converter.
    RtuOverTcp {
        /// `host:port`.
        address: String,
    },
    /// A serial line with Modbus RTU.
    Rtu {
        /// The path of the device.
        device: String,
        /// Speed and form of its characters.
        characters: Characters,
    },
}

impl ModbusEndpoint {
    /// Returns whether frames have the form of the serial line, with a checksum and without a header.
    pub(crate) const fn is_rtu(&self) -> bool {
        match self {
            Self::Tcp { .. } => false,
            Self::RtuOverTcp { .. } | Self::Rtu { .. } => true,
        }
    }

    /// Returns what `host:port` or the device's path is.
    #[must_use]
    pub const fn address(&self) -> &String {
        match self {
            Self::Tcp { address } | Self::RtuOverTcp { address } => address,
            Self::Rtu { device, .. } => device,
        }
    }
}

impl FromStr for ModbusEndpoint {
    type Err = ParseModbusEndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, rest) = text.split_once(':').ok_or(ParseModbusEndpointError::Kind)?;
        match kind {
            "tcp" => host_and_port(rest).map(|address| Self::Tcp { address }),
            "rtutcp" => host_and_port(rest).map(|address| Self::RtuOverTcp { address }),
            "rtu" => {
                let error = ParseModbusEndpointError::Serial;
                let (rest, form) = rest.rsplit_once(':').ok_or(error)?;
                let (device, speed) = rest.rsplit_once(':').ok_or(error)?;
                if device.is_empty() {
                    return Err(error);
                }
                Ok(Self::Rtu {
                    device: device.to_owned(),
                    characters: Characters::parse(speed, form)?,
                })
            }
            _ => Err(ParseModbusEndpointError::Kind),
        }
    }
}

fn host_and_port(text: &str) -> Result<String, ParseModbusEndpointError> {
    if is_host_and_port(text) {
        Ok(text.to_owned())
    } else {
        Err(ParseModbusEndpointError::Tcp)
    }
}

impl fmt::Display for ModbusEndpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { address } => write!(formatter, "tcp:{address}"),
            Self::RtuOverTcp { address } => write!(formatter, "rtutcp:{address}"),
            Self::Rtu { device, characters } => write!(formatter, "rtu:{device}:{characters}"),
        }
    }
}

/// Speed and form of the characters on a serial line; they have 8 data bits.
///
/// Text form: `9600:8E1`.
///
/// Spec: MODBUS over Serial Line V1.02, section 2.5.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Characters {
    bits_per_second: u32,
    parity: Parity,
    two_stop_bits: bool,
}

/// The parity bit of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Parity {
    None,
    Even,
    Odd,
}

impl Characters {
    /// The slowest and the fastest speed that meters and converters are known to have.
    const SPEEDS: std::ops::RangeInclusive<u32> = 300..=1_000_000;
    /// The speed above which silences have a length of their own, so that they are not too short for software.
    const FAST: u32 = 19_200;
    /// The silence between frames above that speed.
    ///
    /// Spec: MODBUS over Serial Line V1.02, section 2.5.1.1.
    const FAST_SILENCE: Duration = Duration::from_micros(1_750);
    const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

    fn parse(speed: &str, form: &str) -> Result<Self, ParseModbusEndpointError> {
        let error = ParseModbusEndpointError::Serial;
        let bits_per_second: u32 = speed.parse().map_err(|_| error)?;
        if !Self::SPEEDS.contains(&bits_per_second) {
            return Err(error);
        }
        let (parity, two_stop_bits) = match form {
            "8E1" => (Parity::Even, false),
            "8N1" => (Parity::None, false),
            "8O1" => (Parity::Odd, false),
            "8E2" => (Parity::Even, true),
            "8N2" => (Parity::None, true),
            "8O2" => (Parity::Odd, true),
            _ => return Err(error),
        };
        Ok(Self {
            bits_per_second,
            parity,
            two_stop_bits,
        })
    }

    /// Returns the speed in bits per second.
    #[must_use]
    pub const fn bits_per_second(self) -> u32 {
        self.bits_per_second
    }

    pub(crate) const fn parity(self) -> Parity {
        self.parity
    }

    pub(crate) const fn has_two_stop_bits(self) -> bool {
        self.two_stop_bits
    }

    /// Returns how long so many characters take on the line.
    #[must_use]
    pub fn transmission(self, count: u32) -> Duration {
        self.half_characters(count.saturating_mul(2))
    }

    /// Returns the silence that ends a frame: three and a half characters.
    ///
    /// Spec: MODBUS over Serial Line V1.02, section 2.5.1.1.
    #[must_use]
    pub fn silence(self) -> Duration {
        if self.bits_per_second > Self::FAST {
            Self::FAST_SILENCE
        } else {
            self.half_characters(7)
        }
    }

    fn half_characters(self, count: u32) -> Duration {
        let parity = u64::from(self.parity != Parity::None);
        // Start bit, 8 data bits, stop bit.
        let bits = 10_u64
            .saturating_add(parity)
            .saturating_add(u64::from(self.two_stop_bits));
        let nanoseconds = bits
            .saturating_mul(count.into())
            .saturating_mul(Self::NANOSECONDS_PER_SECOND)
            .div_euclid(2);
        let per_second = u64::from(self.bits_per_second);
        Duration::from_nanos(nanoseconds.checked_div(per_second).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Characters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parity = match self.parity {
            Parity::None => 'N',
            Parity::Even => 'E',
            Parity::Odd => 'O',
        };
        let stop_bits = if self.two_stop_bits { 2 } else { 1 };
        write!(formatter, "{}:8{parity}{stop_bits}", self.bits_per_second)
    }
}

/// The error for a text that is no place of Modbus meters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseModbusEndpointError {
    /// It is of no kind that there is.
    #[error(
        "Modbus meters are given as tcp:HOST:PORT, rtu:DEVICE:BAUD:8E1, or rtutcp:HOST:PORT for RTU over TCP"
    )]
    Kind,
    /// Host or port is missing.
    #[error("a Modbus host is given as tcp:HOST:PORT, such as tcp:192.168.10.21:502")]
    Tcp,
    /// Device, speed or form of the characters is missing, or no line runs so.
    #[error(
        "a serial line is given as rtu:DEVICE:BAUD:8E1, such as rtu:/dev/ttyUSB0:9600:8E1; the last part is 8E1, 8N1, 8O1, 8E2, 8N2 or 8O2"
    )]
    Serial,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_written() {
        for text in [
            "tcp:192.168.10.21:502",
            "tcp:[::1]:1",
            "rtutcp:converter.local:4001",
            "rtu:/dev/ttyUSB0:9600:8E1",
            "rtu:/dev/serial/by-path/platform-1:2:19200:8N2",
        ] {
            assert_eq!(text.parse::<ModbusEndpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_endpoint_names_the_form() {
        for (text, error) in [
            ("cellar", ParseModbusEndpointError::Kind),
            ("serial:/dev/ttyUSB0:9600", ParseModbusEndpointError::Kind),
            ("tcp:host", ParseModbusEndpointError::Tcp),
            ("rtutcp::1", ParseModbusEndpointError::Tcp),
            ("tcp:host:0", ParseModbusEndpointError::Tcp),
            ("rtu:/dev/ttyUSB0", ParseModbusEndpointError::Serial),
            ("rtu:/dev/ttyUSB0:9600", ParseModbusEndpointError::Serial),
            ("rtu:/dev/ttyUSB0:9600:7E1", ParseModbusEndpointError::Serial),
            ("rtu:/dev/ttyUSB0:1:8E1", ParseModbusEndpointError::Serial),
            ("rtu::9600:8E1", ParseModbusEndpointError::Serial),
        ] {
            assert_eq!(text.parse::<ModbusEndpoint>(), Err(error), "{text}");
        }
    }

    #[test]
    fn times_follow_the_characters() {
        let characters = |text: &str| {
            let (speed, form) = text.split_once(':').unwrap();
            Characters::parse(speed, form).unwrap()
        };
        assert_eq!(characters("9600:8E1").transmission(8).as_micros(), 9_166);
        assert_eq!(characters("9600:8N1").silence().as_micros(), 3_645);
        assert_eq!(characters("19200:8E1").silence().as_micros(), 2_005);
        assert_eq!(characters("38400:8E1").silence(), Duration::from_micros(1_750));
    }
}
