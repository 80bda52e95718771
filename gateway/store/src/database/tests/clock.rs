//! A clock that jumps: nothing that is stored is overwritten, reordered or forgotten.

use std::collections::BTreeMap;

use model::Span;

use super::*;

const HISTORY: &str = "P730D";
const DAY: i64 = 86_400;
/// 2026-10-25T00:00:00Z: that night, summer time ends in central Europe at 01:00Z.
const START: i64 = 1_792_886_400;

/// A gateway that registers at the quarter hours of a clock that does not do what clocks do.
struct Gateway {
    place: Place,
    database: Option<Database>,
    meter: i64,
    expected: BTreeMap<i64, Reading>,
}

impl Gateway {
    fn new() -> Self {
        let place = Place::new();
        let database = Some(place.open());
        let mut gateway = Self {
            place,
            database,
            meter: 0,
            expected: BTreeMap::new(),
        };
        gateway.run(START - DAY, 200);
        gateway
    }

    fn database(&self) -> &Database {
        self.database.as_ref().unwrap()
    }

    /// Registers so many rounds from the grid point at or before a time of the clock, and looks after the
    /// history as the daemon does after each.
    fn run(&mut self, clock: i64, rounds: i64) {
        let first = Span::QUARTER_HOUR.grid_at_or_before(at(clock)).unix_seconds();
        for number in 0..rounds {
            self.meter += 1;
            let time = first + number * 900;
            let reading = reading("M1", time, &self.meter.to_string());
            self.database().register(&round([reading.clone()], [])).unwrap();
            self.expected.entry(time).or_insert(reading);
            self.database().seal_days(at(time)).unwrap();
            self.database()
                .forget(HISTORY.parse().unwrap(), at(time))
                .unwrap();
        }
    }

    /// Everything that was ever registered is there, once, in the order of its times.
    fn check(mut self) {
        let expected: Vec<_> = self.expected.values().cloned().collect();
        assert_eq!(all(self.database()).readings, expected);
        self.database = None;
        self.database = Some(self.place.open());
        let page = all(self.database());
        assert_eq!((page.readings, page.damaged), (expected, Vec::new()));
        assert_eq!(self.database().losses(), []);
    }
}

#[test]
fn second_or_hour_in_either_direction_overwrites_nothing() {
    for jump in [1, -1, 3_600, -3_600] {
        let mut gateway = Gateway::new();
        let now = START + 100 * 900;
        gateway.run(now + jump, 20);
        gateway.run(now, 20);
        gateway.check();
    }
}

#[test]
fn ten_years_ahead_and_back_forget_nothing() {
    let mut gateway = Gateway::new();
    let ten_years = 3_653 * DAY;
    gateway.run(START + ten_years, 200);
    gateway.run(START + 2 * DAY, 300);
    gateway.run(START + ten_years, 5);
    gateway.check();
}

#[test]
fn clock_of_1970_adds_and_changes_nothing() {
    let mut gateway = Gateway::new();
    for _ in 0..3 {
        gateway.run(0, 100);
        gateway.run(START + 3 * DAY, 100);
    }
    gateway.run(-900, 3);
    gateway.check();
}

#[test]
fn leap_second_repeats_a_time_and_the_first_value_stays() {
    // 2016-12-31T23:59:60Z was the last one: by POSIX, 00:00:00Z came twice.
    let mut gateway = Gateway::new();
    gateway.run(1_483_228_800, 1);
    gateway.run(1_483_228_800, 10);
    gateway.check();
}

#[test]
fn end_of_summer_time_repeats_no_time() {
    // 02:45 and 02:00 of the local clock are 00:45Z and 01:00Z: the store knows UTC alone.
    let times = ["2026-10-25T02:45:00+02:00", "2026-10-25T02:00:00+01:00"].map(|local| {
        let time: Timestamp = local.parse().unwrap();
        time.unix_seconds()
    });
    assert_eq!(times[1] - times[0], 900);
    let database = Place::new().open();
    for (time, value) in times.iter().zip(["1", "2"]) {
        database
            .register(&round([reading("M1", *time, value)], []))
            .unwrap();
    }
    assert_eq!(all(&database).readings.len(), 2);
}

#[test]
fn day_that_was_sealed_too_early_is_completed() {
    let mut gateway = Gateway::new();
    let noon = START + 10 * DAY + DAY / 2;
    gateway.run(noon - 10 * 900, 10);
    // Two days ahead, and back: what is left of the day comes behind its chunk.
    gateway.run(noon + 2 * DAY, 10);
    gateway.run(noon, 48);
    gateway.check();
}
