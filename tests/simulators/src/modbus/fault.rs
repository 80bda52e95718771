//! What can go wrong with an answer.

use std::collections::VecDeque;
use std::time::Duration;

/// What the meter does wrong when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It answers with that exception code.
    Exception(u8),
    /// It does not answer.
    Silence,
    /// It answers only when it is asked the next time on the same connection, before that answer.
    Late,
    /// It answers that much later than it should.
    Delayed(Duration),
    /// It answers as another unit.
    WrongUnit,
    /// It answers with another transaction identifier; on a serial line, which has none, with its
    /// answer to the request before.
    WrongTransaction,
    /// It answers as if another function had been asked for.
    WrongFunction,
    /// It answers with a checksum that does not fit; over TCP, which has none, as another protocol.
    WrongChecksum,
    /// The second half of its answer is missing.
    HalfFrame,
    /// It answers with one register less than it was asked for.
    TooShort,
    /// It answers with one register more than it was asked for.
    TooLong,
    /// It closes the connection; on a serial port, which stays open, it does not answer.
    Close,
}

impl Fault {
    /// It is busy with something else (exception 6, Server Device Busy).
    pub const BUSY: Self = Self::Exception(6);
}

/// The faults that are still to come, in their order.
#[derive(Debug, Default)]
pub(super) struct Faults(VecDeque<(Fault, u32)>);

impl Faults {
    /// Has the fault happen to that many requests, after the faults that are already to come.
    pub(super) fn push(&mut self, fault: Fault, requests: u32) {
        if requests > 0 {
            self.0.push_back((fault, requests));
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes the fault of the present request.
    pub(super) fn next(&mut self) -> Option<Fault> {
        let (fault, requests) = self.0.front_mut()?;
        let fault = *fault;
        *requests -= 1;
        if *requests == 0 {
            self.0.pop_front();
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_in_their_order_and_number() {
        let mut faults = Faults::default();
        faults.push(Fault::Silence, 2);
        faults.push(Fault::Close, 0);
        faults.push(Fault::Late, 1);
        assert_eq!(
            [faults.next(), faults.next(), faults.next(), faults.next()],
            [
                Some(Fault::Silence),
                Some(Fault::Silence),
                Some(Fault::Late),
                None
            ]
        );
    }
}
