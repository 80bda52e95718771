//! The exceptions with which a Modbus meter refuses a request.

use std::fmt;

use model::GapReason;

/// The code of a Modbus exception.
///
/// Spec: Modbus Application Protocol V1.1b3, section 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ModbusException(u8);

impl ModbusException {
    /// Builds the exception from its code on the wire.
    #[must_use]
    pub const fn new(code: u8) -> Self {
        Self(code)
    }

    /// Returns the code on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// Returns whether the same request may be answered a little later: the meter is busy, or the
    /// gateway before it has not reached it.
    #[must_use]
    pub const fn is_passing(self) -> bool {
        matches!(self.0, 5 | 6 | 10 | 11)
    }

    /// Returns whether the meter says that it never has what was asked for: the function, the address or
    /// the number of registers is none of its own.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self.0, 1..=3)
    }

    /// Returns what the exception means for the values that were asked for.
    ///
    /// A gateway sends 10 and 11 in the place of a meter that it cannot reach; whatever else a meter
    /// refuses is not available. It is the same for one register as for all of them.
    #[must_use]
    pub const fn gap_reason(self) -> GapReason {
        modbus::refusal_reason(self.0)
    }
}

impl fmt::Display for ModbusException {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            1 => "illegal function",
            2 => "illegal data address",
            3 => "illegal data value",
            4 => "server device failure",
            5 => "acknowledge",
            6 => "server device busy",
            8 => "memory parity error",
            10 => "gateway path unavailable",
            11 => "gateway target device failed to respond",
            _ => "unknown exception",
        };
        write!(formatter, "{name} ({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_named() {
        assert_eq!(ModbusException::new(2).to_string(), "illegal data address (2)");
        assert_eq!(ModbusException::new(99).to_string(), "unknown exception (99)");
        assert_eq!(ModbusException::new(6).code(), 6);
    }

    #[test]
    fn only_who_is_busy_or_out_of_reach_is_asked_again() {
        let passing = (0..=255).filter(|code| ModbusException::new(*code).is_passing());
        assert_eq!(passing.collect::<Vec<u8>>(), [5, 6, 10, 11]);
        let last = (0..=255).filter(|code| ModbusException::new(*code).is_final());
        assert_eq!(last.collect::<Vec<u8>>(), [1, 2, 3]);
    }

    #[test]
    fn an_exception_says_why_values_are_absent() {
        for (code, reason) in [
            (2, GapReason::NotAvailable),
            (6, GapReason::NotAvailable),
            (11, GapReason::NoAnswer),
        ] {
            assert_eq!(ModbusException::new(code).gap_reason(), reason);
        }
    }
}
