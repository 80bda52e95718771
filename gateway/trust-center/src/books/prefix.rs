//! Where the GUIDs that this trust centre gives come from.

use std::net::Ipv6Addr;
use std::str::FromStr;

use model::{CardId, ParseIdentityError};

/// The upper half of the GUIDs that this trust centre gives; the lower half is random.
///
/// Text form `fd5a:6d67:7700::/64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GuidPrefix([u8; 8]);

impl GuidPrefix {
    /// The prefix unless another one is asked for: a unique local one, so that it is nobody's on
    /// the internet.
    ///
    /// Spec: RFC 4193, section 3.1.
    pub(crate) const DEFAULT: &'static str = "fd5a:6d67:7700::/64";

    pub(crate) fn guid(self, random: [u8; 8]) -> Result<CardId, PrefixError> {
        let mut octets = [0; 16];
        let (upper, lower) = octets.split_at_mut(8);
        upper.copy_from_slice(&self.0);
        lower.copy_from_slice(&random);
        Ok(CardId::try_from(Ipv6Addr::from(octets))?)
    }
}

impl FromStr for GuidPrefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, length) = text.split_once('/').ok_or(PrefixError::Form)?;
        let address: Ipv6Addr = address.parse().map_err(|_| PrefixError::Form)?;
        let octets = address.octets();
        let (upper, lower) = octets.split_at(8);
        if length != "64" || lower.iter().any(|byte| *byte != 0) {
            return Err(PrefixError::Length);
        }
        let prefix = Self(upper.try_into().map_err(|_| PrefixError::Form)?);
        prefix.guid([1; 8])?;
        Ok(prefix)
    }
}

/// The reason why a text is no prefix of GUIDs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PrefixError {
    /// The text is no address with a length.
    #[error("a prefix has the form fd5a:6d67:7700::/64")]
    Form,
    /// The prefix is not 64 bits long, or has bits behind its end.
    #[error("a prefix has 64 bits and zeros behind them, since the other 64 are random")]
    Length,
    /// Its addresses identify nobody.
    #[error("no GUIDs can be made of this prefix")]
    Identity(#[from] ParseIdentityError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_64_bits_of_addresses_that_identify() {
        for (text, expected) in [
            ("fd5a:6d67:7700::", PrefixError::Form),
            ("10.0.0.0/64", PrefixError::Form),
            ("fd5a::/48", PrefixError::Length),
            ("fd5a::1/64", PrefixError::Length),
        ] {
            assert_eq!(text.parse::<GuidPrefix>(), Err(expected), "{text}");
        }
        assert!(matches!(
            "ff02::/64".parse::<GuidPrefix>(),
            Err(PrefixError::Identity(_))
        ));
    }
}
