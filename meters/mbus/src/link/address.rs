//! Primary addresses.

use std::fmt;

/// The A field that addresses the meters which a selection has matched.
pub const SELECTED: u8 = 253;
/// The A field that every meter takes for its own and answers: for a single meter on the line.
pub const TEST: u8 = 254;
/// The A field that every meter takes for its own and none answers.
pub const BROADCAST: u8 = 255;

/// The primary address of a meter, 0 to 250; 0 is that of a meter which was given none yet.
///
/// The addresses above are no meter's own: 253 selects by secondary address, 254 and 255 are
/// broadcasts.
///
/// Spec: EN 13757-2:2018, section 5.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrimaryAddress(u8);

impl PrimaryAddress {
    /// The greatest address that a meter can have.
    pub const MAX: u8 = 250;

    /// Returns the byte of the A field.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for PrimaryAddress {
    type Error = AddressError;

    fn try_from(byte: u8) -> Result<Self, Self::Error> {
        if byte > Self::MAX {
            return Err(AddressError { found: byte });
        }
        Ok(Self(byte))
    }
}

impl fmt::Display for PrimaryAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Debug for PrimaryAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PrimaryAddress({})", self.0)
    }
}

/// The error for a number that is no meter's primary address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a meter's primary address lies between 0 and 250, found {found}")]
pub struct AddressError {
    /// The number that was given.
    pub found: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_meters_end_at_250() {
        assert_eq!(PrimaryAddress::try_from(250).unwrap().byte(), 250);
        assert_eq!(PrimaryAddress::try_from(251), Err(AddressError { found: 251 }));
    }
}
