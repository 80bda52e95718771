//! Status words: how a card says what became of a command.

use std::fmt;

/// The two bytes SW1 SW2 that end every answer.
///
/// Spec: ISO/IEC 7816-4:2020, section 5.6.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatusWord(u16);

impl StatusWord {
    /// Normal processing.
    pub const OK: Self = Self(0x9000);
    /// The card is in termination state; nothing works any more.
    pub const TERMINATED: Self = Self(0x6285);
    /// Another command came in the middle of a chain.
    pub const CHAIN_BROKEN: Self = Self(0x6883);
    /// Wrong length of the command.
    pub const WRONG_LENGTH: Self = Self(0x6700);
    /// The security status is not satisfied.
    pub const SECURITY_STATUS: Self = Self(0x6982);
    /// The authentication method is blocked: no try is left.
    pub const BLOCKED: Self = Self(0x6983);
    /// The conditions of use (the life cycle) are not satisfied.
    pub const CONDITIONS: Self = Self(0x6985);
    /// A data object of secure messaging is missing.
    pub const SM_OBJECT_MISSING: Self = Self(0x6987);
    /// A data object of secure messaging is incorrect.
    pub const SM_OBJECT_WRONG: Self = Self(0x6988);
    /// The data field is incorrect.
    pub const WRONG_DATA: Self = Self(0x6A80);
    /// The file is not found.
    pub const FILE_NOT_FOUND: Self = Self(0x6A82);
    /// P1 or P2 is incorrect.
    pub const WRONG_PARAMETERS: Self = Self(0x6A86);
    /// The referenced key or partner is not found.
    pub const REFERENCE_NOT_FOUND: Self = Self(0x6A88);
    /// The offset lies outside the file.
    pub const WRONG_OFFSET: Self = Self(0x6B00);
    /// The instruction is not supported.
    pub const UNKNOWN_INSTRUCTION: Self = Self(0x6D00);
    /// The class is not supported.
    pub const UNKNOWN_CLASS: Self = Self(0x6E00);

    /// The answer has more bytes than were expected; GET RESPONSE fetches that many (00: 256 or more).
    pub(crate) fn more(bytes: usize) -> Self {
        Self::counting(0x6100, bytes)
    }

    /// The number of expected bytes is wrong; that many are there (00: 256 or more).
    pub(crate) fn exactly(bytes: usize) -> Self {
        Self::counting(0x6C00, bytes)
    }

    /// The authentication failed; that many tries are left, 15 at most in one digit.
    pub(crate) fn tries_left(tries: u8) -> Self {
        Self(0x63C0 | u16::from(tries.min(0x0F)))
    }

    fn counting(base: u16, bytes: usize) -> Self {
        Self(base | u8::try_from(bytes).map_or(0, u16::from))
    }

    /// Returns how many tries are left after an authentication that failed, if that is what this says.
    #[must_use]
    pub const fn tries(self) -> Option<u8> {
        match self.to_bytes() {
            [0x63, tries @ 0xC0..=0xCF] => Some(tries & 0x0F),
            _ => None,
        }
    }

    /// Returns whether GET RESPONSE fetches more, and how many bytes at most.
    pub(crate) const fn remaining(self) -> Option<usize> {
        counted(self, 0x61)
    }

    /// Returns how many bytes the same command must expect.
    pub(crate) const fn exact(self) -> Option<usize> {
        counted(self, 0x6C)
    }

    /// Wraps the value SW1 × 256 + SW2.
    #[must_use]
    pub const fn new(value: u16) -> Self {
        Self(value)
    }

    /// Returns the value SW1 × 256 + SW2.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0
    }

    /// Returns SW1 and SW2.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 2] {
        self.0.to_be_bytes()
    }

    /// Returns whether the command was carried out.
    #[must_use]
    pub const fn is_ok(self) -> bool {
        self.0 == Self::OK.0
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::OK => "done",
            Self::TERMINATED => "the card is terminated",
            Self::CHAIN_BROKEN => "last command of the chain expected",
            Self::WRONG_LENGTH => "wrong length",
            Self::SECURITY_STATUS => "security status not satisfied",
            Self::BLOCKED => "authentication blocked, no try left",
            Self::CONDITIONS => "not permitted in this state of the card",
            Self::SM_OBJECT_MISSING => "secure messaging object missing",
            Self::SM_OBJECT_WRONG => "secure messaging object wrong",
            Self::WRONG_DATA => "wrong data",
            Self::FILE_NOT_FOUND => "file not found",
            Self::WRONG_PARAMETERS => "wrong parameters",
            Self::REFERENCE_NOT_FOUND => "key or partner not found",
            Self::WRONG_OFFSET => "offset outside the file",
            Self::UNKNOWN_INSTRUCTION => "instruction not supported",
            Self::UNKNOWN_CLASS => "class not supported",
            status if status.tries().is_some() => "authentication failed, the last digit is what is left",
            status if status.remaining().is_some() => "more data are there",
            status if status.exact().is_some() => "wrong number of expected bytes",
            _ => "other status",
        }
    }
}

/// Reads the second byte as a number of bytes, if the first one is the given one.
const fn counted(status: StatusWord, first: u8) -> Option<usize> {
    match status.to_bytes() {
        [found, 0] if found == first => Some(256),
        [found, bytes] if found == first => Some(bytes as usize),
        _ => None,
    }
}

impl fmt::Display for StatusWord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04X} ({})", self.0, self.meaning())
    }
}

impl fmt::Debug for StatusWord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StatusWord({:04X})", self.0)
    }
}
