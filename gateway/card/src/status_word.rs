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
    /// Wrong length of the command.
    pub const WRONG_LENGTH: Self = Self(0x6700);
    /// Command chaining is not supported for this command.
    pub const CHAINING_NOT_SUPPORTED: Self = Self(0x6884);
    /// The security status is not satisfied.
    pub const SECURITY_STATUS: Self = Self(0x6982);
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
            Self::WRONG_LENGTH => "wrong length",
            Self::CHAINING_NOT_SUPPORTED => "command chaining not supported",
            Self::SECURITY_STATUS => "security status not satisfied",
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
            _ => "other status",
        }
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
