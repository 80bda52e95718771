//! Where a broker listens.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::ServerName;

/// The address of a broker: a name that its certificate has, or an IP address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    host: String,
    port: u16,
}

impl BrokerAddress {
    /// Returns the host as TLS knows it: a name or an address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for BrokerAddress {
    type Err = BrokerAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = text.rsplit_once(':').ok_or(BrokerAddressError)?;
        let port = port.parse().map_err(|_| BrokerAddressError)?;
        let bare = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or(BrokerAddressError)?,
            None if host.contains(':') => return Err(BrokerAddressError),
            None => host,
        };
        if port == 0 || ServerName::try_from(bare).is_err() {
            return Err(BrokerAddressError);
        }
        let host = bare.to_owned();
        Ok(Self { host, port })
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(formatter, "[{host}]:{port}")
        } else {
            write!(formatter, "{host}:{port}")
        }
    }
}

/// A text is no address of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a broker's address has the form HOST:PORT, such as broker.example:8883")]
pub struct BrokerAddressError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for (text, host, port) in [
            ("broker.example:8883", "broker.example", 8_883),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("[fd5a::1]:8883", "fd5a::1", 8_883),
        ] {
            let address: BrokerAddress = text.parse().unwrap();
            assert_eq!((address.host(), address.port()), (host, port));
            assert_eq!(address.to_string(), text);
        }
        for text in [
            "",
            "host",
            "host:",
            ":1",
            "host:0",
            "host:65536",
            "fd5a::1",
            "fd5a::1:8883",
            "[fd5a::1:8883",
            "a b:1",
            "a/b:1",
        ] {
            assert_eq!(text.parse::<BrokerAddress>(), Err(BrokerAddressError), "{text:?}");
        }
    }
}
