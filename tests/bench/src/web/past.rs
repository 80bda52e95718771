//! The past of a household: two years of quarter hours of five elements.

use std::path::Path;
use std::time::SystemTime;

use model::{Decimal, Element, Quantity, Reading, Span, Status, Timestamp, Unit};
use store::{Database, Round};

use crate::error::BenchError;

/// The rounds of a day.
const ROUNDS_PER_DAY: i64 = 96;
/// What is measured: by which meter, under which code, in which unit, with how many digits behind the point, and how much is
/// added in a quarter hour, at most.
const ELEMENTS: [(&str, &str, Unit, i8, u64); 5] = [
    ("EMH-10000001-01-02", "1-0:1.8.0*255", Unit::WattHour, 0, 900),
    ("EMH-10000001-01-02", "1-0:2.8.0*255", Unit::WattHour, 0, 400),
    ("ELS-10000002-3C-03", "7-0:3.0.0*255", Unit::CubicMetre, -3, 300),
    ("ELS-10000003-3C-07", "8-0:1.0.0*255", Unit::CubicMetre, -3, 40),
    ("ELS-10000004-3C-04", "6-0:1.0.0*255", Unit::WattHour, 2, 9),
];

/// Registers the past up to now, in a database that nobody has open, and seals its days.
#[expect(
    clippy::disallowed_methods,
    reason = "the gateway that is started behind it has the clock of this machine"
)]
pub(super) fn fill(file: &Path, days: u16) -> Result<(), BenchError> {
    let database = Database::open(file)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    let period = i64::from(Span::QUARTER_HOUR.seconds());
    let last = now - now.rem_euclid(period);
    let mut random = 0x9e37_79b9_7f4a_7c15;
    let mut counters = ELEMENTS.map(|_| 10_000_000i128);
    for day in (0..i64::from(days)).rev() {
        let mut readings = Vec::new();
        for round in (0..ROUNDS_PER_DAY).rev() {
            let time = last - (day * ROUNDS_PER_DAY + round) * period;
            let time = Timestamp::from_unix_seconds(time).map_err(words)?;
            for ((meter, obis, unit, scaler, step), counter) in ELEMENTS.iter().zip(&mut counters) {
                *counter += i128::from(next(&mut random, *step));
                let element = Element {
                    meter: meter.parse().map_err(words)?,
                    obis: obis.parse().map_err(words)?,
                };
                readings.extend(Decimal::new(*counter, *scaler).map(|value| Reading {
                    element,
                    time,
                    quantity: Quantity { value, unit: *unit },
                    status: Status::GOOD,
                }));
            }
        }
        let gaps = Vec::new();
        database.register(&Round { readings, gaps })?;
    }
    let now = Timestamp::from_unix_seconds(now).map_err(words)?;
    while database.seal_days(now)?.points > 0 {}
    Ok(())
}

fn words(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BenchError {
    BenchError::Words(error.into())
}

/// Returns a number from 0 to below `limit` (xorshift64*, G. Marsaglia and S. Vigna).
fn next(random: &mut u64, limit: u64) -> u64 {
    *random ^= *random >> 12;
    *random ^= *random << 25;
    *random ^= *random >> 27;
    let high = random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
    high % limit.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_the_past_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.db");
        fill(&file, 2).unwrap();
        let database = Database::open(&file).unwrap();
        assert_eq!(database.latest().unwrap().readings.len(), ELEMENTS.len());
    }
}
