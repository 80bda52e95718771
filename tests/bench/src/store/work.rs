//! The work: what some meters say every quarter of an hour. It looks like life and is the same in every run.

use model::{Decimal, Element, Period, Quantity, Reading, Span, Status, Timestamp, Unit};

/// How many meters there are.
pub(super) const METERS: u64 = 50;

/// How many elements each has.
pub(super) const ELEMENTS: u64 = 4;

/// How many rounds a day has.
pub(super) const ROUNDS_PER_DAY: u64 = 96;

/// How many readings a day has.
pub(super) const READINGS_PER_DAY: u64 = METERS * ELEMENTS * ROUNDS_PER_DAY;

/// 2026-11-23T00:00:00Z, when the work begins.
const BEGIN: i64 = 1_795_392_000;

/// What an element measures and how it moves.
struct Kind {
    obis: &'static str,
    unit: Unit,
    scaler: i8,
    status: Status,
    /// What is added each time, at most; a value that does not count up goes to and fro within it.
    step: u64,
    counts_up: bool,
}

const ENERGY: Kind = Kind {
    obis: "1-0:1.8.0*255",
    unit: Unit::WattHour,
    scaler: 0,
    status: Status::GOOD,
    step: 900,
    counts_up: true,
};

const REACTIVE: Kind = Kind {
    obis: "1-0:3.8.0*255",
    unit: Unit::VarHour,
    scaler: 0,
    status: Status::GOOD,
    step: 200,
    counts_up: true,
};

const POWER: Kind = Kind {
    obis: "1-0:1.7.0*255",
    unit: Unit::Watt,
    scaler: -1,
    status: Status::FROM_FLOAT,
    step: 36_000,
    counts_up: false,
};

const VOLTAGE: Kind = Kind {
    obis: "1-0:32.7.0*255",
    unit: Unit::Volt,
    scaler: -2,
    status: Status::FROM_FLOAT,
    step: 400,
    counts_up: false,
};

const KINDS: [Kind; 4] = [ENERGY, REACTIVE, POWER, VOLTAGE];

/// The meters, and where their counters stand.
pub(super) struct Work {
    elements: Vec<(Element, i128)>,
    random: u64,
}

impl Work {
    /// Begins with counters that have run for years.
    pub(super) fn new() -> Self {
        let mut work = Self {
            elements: Vec::new(),
            random: 0x9e37_79b9_7f4a_7c15,
        };
        for meter in 0..METERS {
            for kind in &KINDS {
                let counter = 10_000_000 + i128::from(work.next(20_000_000));
                let start = if kind.counts_up { counter } else { 23_000 };
                work.elements
                    .extend(element(meter, kind).map(|element| (element, start)));
            }
        }
        work
    }

    /// Returns what the meters say at a round, the first one being 0. Rounds are asked for in order.
    pub(super) fn round(&mut self, number: u64) -> Vec<Reading> {
        let time = time(number);
        let mut readings = Vec::with_capacity(self.elements.len());
        for index in 0..self.elements.len() {
            let kind = KINDS.get(index % KINDS.len()).unwrap_or(&ENERGY);
            let step = i128::from(self.next(kind.step));
            // One meter in a thousand has a remark, for this round.
            let is_faulty = self.next(1_000) == 0;
            let Some((element, counter)) = self.elements.get_mut(index) else {
                continue;
            };
            let mantissa = if kind.counts_up {
                *counter += step;
                *counter
            } else {
                *counter + step
            };
            let fault = if is_faulty {
                Status::TEMPORARY_ERROR
            } else {
                Status::GOOD
            };
            readings.extend(Decimal::new(mantissa, kind.scaler).map(|value| Reading {
                element: element.clone(),
                time,
                quantity: Quantity {
                    value,
                    unit: kind.unit,
                },
                status: kind.status.with(fault),
            }));
        }
        readings
    }

    /// Returns the elements.
    pub(super) fn elements(&self) -> impl Iterator<Item = &Element> {
        self.elements.iter().map(|(element, _)| element)
    }

    /// Returns a number from 0 to below `limit` (xorshift64*, G. Marsaglia and S. Vigna).
    fn next(&mut self, limit: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let high = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        high % limit.max(1)
    }
}

fn element(meter: u64, kind: &Kind) -> Option<Element> {
    Some(Element {
        meter: format!("ELS-{:08}-3C-02", 10_000_000 + meter * 7_919)
            .parse()
            .ok()?,
        obis: kind.obis.parse().ok()?,
    })
}

/// Returns the time of a round.
pub(super) fn time(round: u64) -> Timestamp {
    let seconds = i64::try_from(round * u64::from(Span::QUARTER_HOUR.seconds())).unwrap_or(i64::MAX);
    Timestamp::from_unix_seconds(BEGIN.saturating_add(seconds)).unwrap_or(Timestamp::EPOCH)
}

/// Returns the period of some days, the first one being 0.
pub(super) fn days(from: u64, count: u64) -> Option<Period> {
    let to = from.saturating_add(count);
    Period::new(time(from * ROUNDS_PER_DAY), time(to * ROUNDS_PER_DAY)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_the_same_in_every_run() {
        let (mut one, mut two) = (Work::new(), Work::new());
        for number in 0..10 {
            let round = one.round(number);
            assert_eq!(round.len(), 200);
            assert_eq!(round, two.round(number));
        }
    }

    #[test]
    fn counters_count_up() {
        let mut work = Work::new();
        let energy = |round: &[Reading]| round[0].quantity.value.mantissa();
        let rounds: Vec<_> = (0..100).map(|number| energy(&work.round(number))).collect();
        assert!(rounds.is_sorted() && rounds[0] < rounds[99]);
    }
}
