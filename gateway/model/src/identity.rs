//! Who is who: the card's GUID, the gateway's identity, the fingerprint of a certificate.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::text::serde_as_text;

/// The globally unique identifier (GUID) of a card: an IPv6 address.
///
/// 16 bytes in network byte order; its text form is that of RFC 5952. The unspecified, loopback
/// and multicast addresses identify no card and are refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CardId(Ipv6Addr);

impl CardId {
    /// Returns the GUID as the address at which networks can reach the gateway.
    #[must_use]
    pub const fn address(self) -> Ipv6Addr {
        self.0
    }

    /// Returns the 16 bytes in network byte order, as the card's file holds them.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.octets()
    }
}

impl TryFrom<Ipv6Addr> for CardId {
    type Error = ParseIdentityError;

    fn try_from(address: Ipv6Addr) -> Result<Self, Self::Error> {
        if address.is_unspecified() || address.is_loopback() || address.is_multicast() {
            return Err(ParseIdentityError::NotAnIdentity { address });
        }
        Ok(Self(address))
    }
}

impl TryFrom<&[u8]> for CardId {
    type Error = ParseIdentityError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        let octets: [u8; 16] = bytes.try_into().map_err(|_| ParseIdentityError::Length {
            expected: 16,
            found: bytes.len(),
        })?;
        Self::try_from(Ipv6Addr::from(octets))
    }
}

impl FromStr for CardId {
    type Err = ParseIdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address: Ipv6Addr = text.parse().map_err(|_| ParseIdentityError::NotAnAddress)?;
        Self::try_from(address)
    }
}

impl fmt::Display for CardId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Debug for CardId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CardId({})", self.0)
    }
}

/// One of the three key pairs of a party, each with a certificate of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeySlot {
    /// Signs messages.
    Sig,
    /// Agrees the keys that messages are encrypted with.
    Enc,
    /// Authenticates connections.
    Tls,
}

impl KeySlot {
    /// Every slot, in the order of the enum.
    pub const ALL: [Self; 3] = [Self::Sig, Self::Enc, Self::Tls];

    /// Returns the name as files carry it: `sig`, `enc`, `tls`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sig => "sig",
            Self::Enc => "enc",
            Self::Tls => "tls",
        }
    }
}

impl fmt::Display for KeySlot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// Defines an identifier of a fixed number of bytes whose text form is lower-case hexadecimal.
macro_rules! hex_identifier {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $length]);

        impl $name {
            /// Wraps the bytes.
            #[must_use]
            pub const fn new(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// Returns the bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = ParseIdentityError;

            fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
                let bytes = bytes.try_into().map_err(|_| ParseIdentityError::Length {
                    expected: $length,
                    found: bytes.len(),
                })?;
                Ok(Self(bytes))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdentityError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let bytes = hex::decode(text).map_err(|_| ParseIdentityError::NotHexadecimal)?;
                Self::try_from(bytes.as_slice())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}({self})", stringify!($name))
            }
        }
    };
}

hex_identifier! {
    /// The SHA-256 digest of a DER-encoded certificate or public key (32 bytes).
    ///
    /// A supplier is named by the fingerprint of its SIG certificate.
    Fingerprint, 32
}

hex_identifier! {
    /// The identity of a gateway, made at its first start (16 random bytes).
    ///
    /// The card stores it when it is bound, and terminates itself when another one tries to bind it.
    GatewayId, 16
}

serde_as_text!(CardId, Fingerprint, GatewayId);

/// The reason why bytes or a text name no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdentityError {
    /// The number of bytes is not that of this kind of identity.
    #[error("identity has {found} bytes, expected {expected}")]
    Length {
        /// The number of bytes that this kind of identity has.
        expected: usize,
        /// The number of bytes that were given.
        found: usize,
    },
    /// The text is not an IPv6 address.
    #[error("a GUID is an IPv6 address such as fd00::1")]
    NotAnAddress,
    /// The address exists but can identify no card.
    #[error("address {address} is unspecified, loopback or multicast and identifies no card")]
    NotAnIdentity {
        /// The address that was given.
        address: Ipv6Addr,
    },
    /// The text is not an even number of hexadecimal digits.
    #[error("identity is not written in hexadecimal digits")]
    NotHexadecimal,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_id_reads_back_its_text_and_bytes() {
        let id: CardId = "fd5a:9c1e::42".parse().unwrap();
        assert_eq!(id.to_string(), "fd5a:9c1e::42");
        assert_eq!(CardId::try_from(id.to_bytes().as_slice()), Ok(id));
    }

    #[test]
    fn addresses_that_name_nobody_are_refused() {
        for text in ["::", "::1", "ff02::1"] {
            let error = text.parse::<CardId>().unwrap_err();
            assert!(
                matches!(error, ParseIdentityError::NotAnIdentity { .. }),
                "{text}"
            );
        }
        assert_eq!(
            "10.0.0.1".parse::<CardId>(),
            Err(ParseIdentityError::NotAnAddress)
        );
        assert_eq!(
            CardId::try_from([0u8; 4].as_slice()),
            Err(ParseIdentityError::Length {
                expected: 16,
                found: 4
            })
        );
    }

    #[test]
    fn fingerprint_is_hexadecimal_of_its_length() {
        let fingerprint = Fingerprint::new([0xab; 32]);
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        assert_eq!(
            "zz".parse::<Fingerprint>(),
            Err(ParseIdentityError::NotHexadecimal)
        );
        assert_eq!(
            "abcd".parse::<Fingerprint>(),
            Err(ParseIdentityError::Length {
                expected: 32,
                found: 2
            })
        );
    }
}
