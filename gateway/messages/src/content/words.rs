//! The words of contents: message ids, APDUs and bounded texts.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Implements serde through `Display` and `FromStr`.
macro_rules! serde_as_text {
    ($($name:ty),+ $(,)?) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'_, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

/// The identity of a message: 16 random bytes, in text 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId([u8; 16]);

impl MessageId {
    /// Wraps the bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for MessageId {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| WordError::MessageId)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MessageId({self})")
    }
}

/// A command to a card or its answer, 2 to 4,096 bytes, in text as hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Apdu(Vec<u8>);

impl Apdu {
    /// The least number of bytes: a status word.
    pub const MIN_LENGTH: usize = 2;
    /// The greatest number of bytes: a certificate with room for secure messaging.
    pub const MAX_LENGTH: usize = 4_096;

    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Vec<u8>> for Apdu {
    type Error = WordError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, Self::Error> {
        if !(Self::MIN_LENGTH..=Self::MAX_LENGTH).contains(&bytes.len()) {
            return Err(WordError::ApduLength { found: bytes.len() });
        }
        Ok(Self(bytes))
    }
}

impl FromStr for Apdu {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(hex::decode(text).map_err(|_| WordError::ApduText)?)
    }
}

impl fmt::Display for Apdu {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Apdu {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Apdu({} bytes)", self.0.len())
    }
}

/// A piece of an energy application, 1 to 4,096 bytes, in text as hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Piece(Vec<u8>);

impl Piece {
    /// The greatest number of bytes.
    pub const MAX_LENGTH: usize = 4_096;

    /// Cuts bytes into pieces, all but the last one of the greatest length.
    #[must_use]
    pub fn cut(bytes: &[u8]) -> Vec<Self> {
        let pieces = bytes.chunks(Self::MAX_LENGTH);
        pieces.map(|piece| Self(piece.to_vec())).collect()
    }

    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Piece {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = hex::decode(text).map_err(|_| WordError::Piece)?;
        if bytes.is_empty() || bytes.len() > Self::MAX_LENGTH {
            return Err(WordError::Piece);
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Piece({} bytes)", self.0.len())
    }
}

/// Defines a text of 1 to so many printable characters.
macro_rules! bounded_text {
    ($(#[$doc:meta])* $name:ident, $limit:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The greatest length in characters.
            pub const MAX_LENGTH: usize = $limit;

            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let length = text.chars().count();
                let allowed: fn(char) -> bool = $allowed;
                if length == 0 || length > Self::MAX_LENGTH || !text.chars().all(allowed) {
                    return Err(WordError::Text { limit: Self::MAX_LENGTH });
                }
                Ok(Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&self.0)
            }
        }
    };
}

bounded_text! {
    /// The stable code of a refusal, as in `SMGW-A-0001`: 1 to 32 visible ASCII characters.
    RefusalCode, 32, |character| character.is_ascii_graphic()
}

bounded_text! {
    /// The reason of a refusal as a sentence, 1 to 400 printable characters.
    RefusalReason, 400, |character| !character.is_control()
}

bounded_text! {
    /// The name of a grant, 1 to 60 printable characters; it is the grant's `id`.
    RuleName, 60, |character| !character.is_control()
}

bounded_text! {
    /// The name and version of an energy application, as people read it, 1 to 60 printable characters.
    ApplicationName, 60, |character| !character.is_control()
}

bounded_text! {
    /// The version of a gateway's software, 1 to 40 visible ASCII characters.
    SoftwareVersion, 40, |character| character.is_ascii_graphic()
}

serde_as_text!(
    MessageId,
    Apdu,
    Piece,
    RefusalCode,
    RefusalReason,
    RuleName,
    ApplicationName,
    SoftwareVersion
);

/// The reason why bytes or a text are none of a content's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// The text is no message id.
    #[error("a message id has 32 hexadecimal digits")]
    MessageId,
    /// The text of an APDU is not hexadecimal.
    #[error("an APDU is written in hexadecimal digits")]
    ApduText,
    /// An APDU is too short or too long.
    #[error("an APDU has 2 to 4096 bytes, found {found}")]
    ApduLength {
        /// The length that was given, in bytes.
        found: usize,
    },
    /// A piece of an application is empty, too long or not hexadecimal.
    #[error("a piece of an application is written in 2 to {} hexadecimal digits", 2 * Piece::MAX_LENGTH)]
    Piece,
    /// A text is empty, too long or not printable.
    #[error("the text has to have 1 to {limit} permitted characters")]
    Text {
        /// The greatest number of characters.
        limit: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_their_text() {
        let id = "00112233445566778899aabbccddeeff";
        assert_eq!(id.parse::<MessageId>().unwrap().to_string(), id);
        assert_eq!("9000".parse::<Apdu>().unwrap().as_bytes(), [0x90, 0x00]);
        assert_eq!(
            "SMGW-A-0001".parse::<RefusalCode>().unwrap().as_str(),
            "SMGW-A-0001"
        );
    }

    #[test]
    fn words_that_break_their_bounds_are_refused() {
        assert_eq!("00".parse::<MessageId>(), Err(WordError::MessageId));
        assert_eq!("9".parse::<Apdu>(), Err(WordError::ApduText));
        assert_eq!("90".parse::<Apdu>(), Err(WordError::ApduLength { found: 1 }));
        assert_eq!(
            Apdu::try_from(vec![0; 4_097]),
            Err(WordError::ApduLength { found: 4_097 })
        );
        for piece in ["", "a", "zz", &"00".repeat(4_097)] {
            assert_eq!(piece.parse::<Piece>(), Err(WordError::Piece));
        }
        assert_eq!("a b".parse::<RefusalCode>(), Err(WordError::Text { limit: 32 }));
        assert_eq!("".parse::<RefusalReason>(), Err(WordError::Text { limit: 400 }));
        assert_eq!("a\nb".parse::<RuleName>(), Err(WordError::Text { limit: 60 }));
        assert_eq!(
            "a".repeat(61).parse::<RuleName>(),
            Err(WordError::Text { limit: 60 })
        );
    }

    #[test]
    fn apdus_are_not_printed() {
        assert_eq!(
            format!("{:?}", "00a4040c".parse::<Apdu>().unwrap()),
            "Apdu(4 bytes)"
        );
    }
}
