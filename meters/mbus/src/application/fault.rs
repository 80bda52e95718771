//! Why a record has no value.

/// The reason why a record's value cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The telegram ends within the record.
    #[error("the meter's telegram ends within the record, at least {missing} bytes are missing")]
    Truncated {
        /// The least number of bytes that are missing.
        missing: usize,
    },
    /// The standard gives the DIF no meaning, so that the record's end is unknown.
    #[error("the meter's record begins with the reserved DIF {found:#04x}")]
    ReservedDif {
        /// The DIF.
        found: u8,
    },
    /// The standard gives the length of variable data no meaning, so that its end is unknown.
    #[error("the meter's record has the reserved length {found:#04x}")]
    ReservedLength {
        /// The length byte.
        found: u8,
    },
    /// More than ten DIFEs.
    #[error("the meter's record has more than 10 DIFEs")]
    DifeChain,
    /// More than ten VIFEs.
    #[error("the meter's record has more than 10 VIFEs")]
    VifeChain,
    /// A plain text unit with VIFEs that is a text in neither of its two places.
    #[error("the meter's record has a plain text unit with VIFEs, and no text in either place")]
    PlainTextPlace,
    /// The DIF with which a master asks for all records; a meter has no use for it.
    #[error("the record is a request for all records, and none of a meter")]
    GlobalReadout,
    /// The meter says by a VIFE why there is no value.
    #[error("the meter reports for this record: {}", reported(*code))]
    Reported {
        /// The code of the VIFE.
        code: u8,
    },
    /// The coding of a date that is not known.
    #[error("the meter's date has a coding that is not read")]
    DateCoding,
    /// A BCD digit that is none: the meter marks an error in this way.
    #[error("the meter marks the value as faulty with the digit {found:X}")]
    BcdDigit {
        /// The first such digit from the left, 10 to 15.
        found: u8,
    },
    /// The meter marks the value as not available.
    #[error("the meter marks the value as not available")]
    NotAvailable,
    /// The real is infinite or not a number.
    #[error("the meter sent a real that is no finite number")]
    NotFinite,
    /// The number has a scaler that a decimal cannot have.
    #[error("the meter's number is too great or too small to be kept exactly")]
    Range,
    /// The date or time does not exist, or the meter marks it as invalid.
    #[error("the meter sent no valid date")]
    InvalidDate,
}

impl RecordError {
    /// Returns a short name for the cause, for programs: lower case with hyphens, stable.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Truncated { .. } => "truncated",
            Self::ReservedDif { .. } => "reserved-dif",
            Self::ReservedLength { .. } => "reserved-length",
            Self::DifeChain => "dife-chain",
            Self::VifeChain => "vife-chain",
            Self::PlainTextPlace => "plain-text",
            Self::GlobalReadout => "global-readout",
            Self::Reported { .. } => "reported-by-meter",
            Self::DateCoding => "date-coding",
            Self::BcdDigit { .. } => "bcd-digit",
            Self::NotAvailable => "not-available",
            Self::NotFinite => "not-finite",
            Self::Range => "range",
            Self::InvalidDate => "invalid-date",
        }
    }
}

/// Returns what the error code of a VIFE means.
///
/// Spec: EN 13757-3:2018, table 15 and section 6 (record errors).
const fn reported(code: u8) -> &'static str {
    match code {
        0x01 => "too many DIFEs",
        0x02 => "storage number not implemented",
        0x03 => "unit number not implemented",
        0x04 => "tariff number not implemented",
        0x05 => "function not implemented",
        0x06 => "data class not implemented",
        0x07 => "data size not implemented",
        0x0B => "too many VIFEs",
        0x0C => "illegal VIF group",
        0x0D => "illegal VIF exponent",
        0x0E => "VIF and DIF mismatch",
        0x0F => "unimplemented action",
        0x15 => "no data available",
        0x16 => "data overflow",
        0x17 => "data underflow",
        0x18 => "data error",
        0x1C => "premature end of record",
        _ => "an error with a reserved code",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_meters_report_are_named() {
        for (code, words) in [
            (0x15, "no data available"),
            (0x18, "data error"),
            (0x02, "storage number not implemented"),
            (0x08, "an error with a reserved code"),
        ] {
            let error = RecordError::Reported { code };
            assert_eq!(
                error.to_string(),
                format!("the meter reports for this record: {words}")
            );
            assert_eq!(error.code(), "reported-by-meter");
        }
    }
}
