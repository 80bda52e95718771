//! Why a register gives no value.

use model::GapReason;

/// The reason why a register gives no value, in detail; [`gap_reason`](Self::gap_reason) is what is registered.
///
/// One rule holds for all of them: a meter that says that it has no value, be it by an exception or by
/// the content of the register, gives [`GapReason::NotAvailable`]; a content that means nothing gives
/// [`GapReason::BadAnswer`]; a register that was not read has the reason of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueFault {
    /// The request for the register has failed, or was not sent.
    #[error("the register was not read")]
    NotRead(GapReason),
    /// The meter has refused to show the register.
    #[error("the meter refused the register with exception {code}")]
    Refused {
        /// The exception's code.
        code: u8,
    },
    /// The content is one that stands for "no value".
    #[error("the register holds what stands for no value")]
    NotAvailable,
    /// The register holds a NaN.
    #[error("the register holds a NaN, which stands for no value")]
    NotANumber,
    /// The register holds blanks where a text belongs.
    #[error("the register holds an empty text")]
    EmptyText,
    /// The register holds an infinity.
    #[error("the register holds an infinity, which is no measured value")]
    Infinite,
    /// The register holds a real that no decimal of the gateway can hold.
    #[error(
        "the register holds a real that is too large, or too close to zero, for a decimal of the gateway"
    )]
    Unrepresentable,
    /// A digit of a decimal number is none.
    #[error("the register holds a digit from A to F where a decimal one belongs")]
    Digit,
    /// The characters of a text are none.
    #[error("the register holds bytes that are no text")]
    Characters,
    /// A text is no number.
    #[error("the register holds a text that is no number")]
    NoNumber,
    /// The meter names a unit by a code that the profile does not have.
    #[error("the meter names a unit by a code that its profile does not know")]
    UnknownUnit,
    /// A parameter that should be a power of ten is none.
    #[error("the meter's power of ten is no whole number of a sensible size")]
    PowerOfTen,
    /// A parameter lies outside of the range that its profile gives.
    #[error("a register that scales the value holds {found}, which is outside of its range")]
    Parameter {
        /// What it holds.
        found: model::Decimal,
    },
    /// The scaled value does not fit, or is no finite decimal.
    #[error("the scaled value has more digits than the gateway can hold, or is no finite decimal")]
    Scaled,
    /// The parts of a total have different units.
    #[error("the parts of the total have different units")]
    Units,
}

impl ValueFault {
    /// Returns the reason that is registered in the place of the value.
    #[must_use]
    pub const fn gap_reason(self) -> GapReason {
        match self {
            Self::NotRead(reason) => reason,
            Self::Refused { code } => refusal_reason(code),
            Self::NotAvailable | Self::NotANumber | Self::EmptyText => GapReason::NotAvailable,
            Self::Infinite
            | Self::Unrepresentable
            | Self::Digit
            | Self::Characters
            | Self::NoNumber
            | Self::UnknownUnit
            | Self::PowerOfTen
            | Self::Parameter { .. }
            | Self::Scaled
            | Self::Units => GapReason::BadAnswer,
        }
    }

    /// Returns whether the meter itself says, in the register, that it has no value.
    #[must_use]
    pub const fn is_the_meters_word(self) -> bool {
        matches!(self, Self::NotAvailable | Self::NotANumber)
    }
}

/// Returns what an exception means for the values that were asked for.
///
/// A meter that refuses a request does not make its values available, whatever its code; 10 and 11
/// come from a gateway in the place of a meter that it cannot reach.
///
/// Spec: Modbus Application Protocol V1.1b3, section 7.
#[must_use]
pub const fn refusal_reason(code: u8) -> GapReason {
    match code {
        10 | 11 => GapReason::NoAnswer,
        _ => GapReason::NotAvailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_has_one_reason_wherever_it_comes() {
        for code in [1, 2, 3, 4, 5, 6, 8, 99] {
            assert_eq!(ValueFault::Refused { code }.gap_reason(), GapReason::NotAvailable);
        }
        for code in [10, 11] {
            assert_eq!(ValueFault::Refused { code }.gap_reason(), GapReason::NoAnswer);
        }
    }

    #[test]
    fn a_register_that_was_not_read_has_the_reason_of_its_request() {
        for reason in GapReason::ALL {
            assert_eq!(ValueFault::NotRead(reason).gap_reason(), reason);
        }
    }
}
