//! Tariffs are exact whatever the calendar, the clock changes and the gaps: the shipped applications, natively and in the
//! sandbox, beside an oracle that goes minute by minute.

use std::collections::BTreeMap;

use evaluation::calendar::{Calendar, Offsets};
use evaluation::interface::{Channel, Flags, Input, InputReading, InputView, OutputView, Record};
use evaluation::manifest::Value;
use evaluation::{Go, Module, Package, accept};
use model::{Decimal, Period, Span, Status, Timestamp, Unit};
use proptest::prelude::*;

const QUARTER: i64 = 900;
const DAY: i64 = 86_400;
const ERROR_STAGE: u16 = 63;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}

fn time(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().unix_seconds()
}

/// Central European time around the changes that the windows lie at.
fn changes() -> Vec<(Timestamp, i16)> {
    [
        ("2027-10-31T01:00:00Z", 60),
        ("2028-03-26T01:00:00Z", 120),
        ("2028-10-29T01:00:00Z", 60),
        ("2029-03-25T01:00:00Z", 120),
    ]
    .map(|(from, minutes)| (from.parse().unwrap(), minutes))
    .to_vec()
}

/// Local midnights before days of 23, 25 and 24 hours, a leap day among them.
const STARTS: [&str; 5] = [
    "2028-03-25T23:00:00Z",
    "2028-10-28T22:00:00Z",
    "2028-02-28T23:00:00Z",
    "2028-12-30T23:00:00Z",
    "2028-06-30T22:00:00Z",
];

/// Changes of the stage at minutes of the day, the first at midnight.
type Day = BTreeMap<u16, u16>;

fn day() -> impl Strategy<Value = Day> {
    // Some calendars change at quarters, some in between, where there is never a reading.
    let minute = prop_oneof![(0u16..96).prop_map(|quarter| quarter * 15), 0u16..1440];
    let changes = prop::collection::btree_map(minute, 1u16..=4, 0..6);
    (changes, 1u16..=4).prop_map(|(mut changes, first)| {
        changes.insert(0, first);
        changes
    })
}

fn calendar(work: &Day, weekend: &Day) -> Calendar {
    let schedule = |day: &Day| -> serde_json::Value {
        let changes = day.iter();
        let changes = changes.map(|(minute, stage)| {
            serde_json::json!([format!("{:02}:{:02}", minute / 60, minute % 60), stage])
        });
        changes.collect()
    };
    serde_json::from_value(serde_json::json!({
        "seasons": [{
            "from": "01-01",
            "work": schedule(work),
            "saturday": schedule(weekend),
            "sunday": schedule(weekend),
            "holiday": schedule(weekend),
        }]
    }))
    .unwrap()
}

/// The stage at a second, without slots: the offset, the day of the week and the time of day.
fn stage_at(second: i64, work: &Day, weekend: &Day) -> u16 {
    let minutes = changes()
        .iter()
        .rev()
        .find(|(from, _)| from.unix_seconds() <= second)
        .unwrap()
        .1;
    let local = second + i64::from(minutes) * 60;
    // 1970-01-01 was a Thursday.
    let weekday = (local.div_euclid(DAY) + 3).rem_euclid(7);
    let day = if weekday >= 5 { weekend } else { work };
    let minute = u16::try_from(local.rem_euclid(DAY) / 60).unwrap();
    *day.range(..=minute).next_back().unwrap().1
}

/// A counter that grows by the amounts, with readings where nothing is missing.
fn readings(start: i64, amounts: &[(u32, bool)]) -> Vec<(i64, i64)> {
    let mut value = 1_000_000;
    let mut found = Vec::new();
    for (index, (amount, missing)) in (0i64..).zip(amounts) {
        if !missing {
            found.push((start + index * QUARTER, value));
        }
        value += i64::from(*amount);
    }
    found
}

fn input(start: i64, days: i64, readings: &[(i64, i64)], parameter: Value) -> Input {
    let window = Period::new(at(start), at(start + days * DAY + 7_200)).unwrap();
    let slots = match &parameter {
        Value::Calendar(calendar) => calendar
            .slots(window, &Offsets::try_from(changes()).unwrap())
            .unwrap(),
        _ => Vec::new(),
    };
    let readings = readings.iter().map(|(time, value)| InputReading {
        time: at(*time),
        value: Decimal::new(i128::from(*value), -1).unwrap(),
        status: Status::GOOD,
        flags: Flags::NONE,
    });
    Input {
        run: 1,
        window,
        cutoff: window.to(),
        parameters: vec![Some(parameter)],
        channels: vec![Channel {
            role: 0,
            obis: "1-0:1.8.0*255".parse().unwrap(),
            unit: Unit::WattHour,
            step: Span::QUARTER_HOUR,
            readings: readings.collect(),
        }],
        slots,
        state: Vec::new(),
    }
}

/// The registers of all windows of a series, as the gateway cuts it: readings at both ends, and the last one before a window
/// that has none at its start.
fn windows_of(readings: &[(i64, i64)], ends: &[i64], calendar: &Calendar) -> BTreeMap<u16, i64> {
    let mut sums = BTreeMap::new();
    for (from, to) in ends.iter().zip(&ends[1..]) {
        let inside = readings.iter().filter(|(time, _)| from <= time && time <= to);
        let mut inside: Vec<_> = inside.copied().collect();
        if inside.first().is_some_and(|(time, _)| time > from) {
            let lead = readings.iter().rev().find(|(time, _)| time < from);
            inside.splice(0..0, lead.copied());
        }
        if inside.is_empty() {
            continue;
        }
        let window = Period::new(at(*from), at(*to)).unwrap();
        let rated = Period::new(at((*from).min(inside[0].0)), at(*to)).unwrap();
        let slots = calendar.slots(rated, &Offsets::try_from(changes()).unwrap());
        let input = Input {
            window,
            cutoff: window.to(),
            slots: slots.unwrap(),
            ..input(*from, 1, &inside, Value::Calendar(Box::new(calendar.clone())))
        };
        let bytes = natively(&input.encode().unwrap(), taf_2::evaluate, taf_2::room);
        for record in records(&bytes) {
            assert!(*from <= record.from && record.to == *to);
            *sums.entry(record.stage).or_default() += record.value;
        }
    }
    sums
}

/// Runs an application as the library that it is natively.
fn natively(
    blob: &[u8],
    evaluate: fn(&guest::Input<'_>, &mut guest::Output<'_>) -> Result<(), guest::Fault>,
    room: fn(&guest::Input<'_>) -> usize,
) -> Vec<u8> {
    let input = guest::Input::parse(blob).unwrap();
    let mut bytes = vec![0; guest::HEADER_BYTES + room(&input) * guest::RECORD_BYTES];
    let mut output = guest::Output::new(&mut bytes).unwrap();
    evaluate(&input, &mut output).unwrap();
    output.finish().unwrap().to_vec()
}

fn records(blob: &[u8]) -> Vec<Record> {
    OutputView::parse(blob).unwrap().records
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn tariff_sums_are_exact_across_clock_changes_leap_days_and_gaps(
        start in prop::sample::select(STARTS.to_vec()),
        work in day(),
        weekend in day(),
        amounts in prop::collection::vec((0u32..50_000, prop::bool::weighted(0.1)), 2..230),
    ) {
        let start = time(start);
        let readings = readings(start, &amounts);
        let calendar = Value::Calendar(Box::new(calendar(&work, &weekend)));
        let blob = input(start, 3, &readings, calendar).encode().unwrap();
        let found: BTreeMap<u16, i64> = records(&natively(&blob, taf_2::evaluate, taf_2::room))
            .iter()
            .map(|record| (record.stage, record.value))
            .collect();
        let mut expected: BTreeMap<u16, i64> = BTreeMap::new();
        for pair in readings.windows(2) {
            let [(from, before), (to, after)] = pair else { unreachable!() };
            let stage = stage_at(*from, &work, &weekend);
            let steady = (*from..*to).step_by(60).all(|second| stage_at(second, &work, &weekend) == stage);
            *expected.entry(if steady { stage } else { ERROR_STAGE }).or_default() += after - before;
        }
        prop_assert_eq!(&found, &expected);
        let counted = readings.last().zip(readings.first()).map_or(0, |(last, first)| last.1 - first.1);
        prop_assert_eq!(found.values().sum::<i64>(), counted);
    }

    #[test]
    fn windows_lose_nothing_between_each_other(
        start in prop::sample::select(STARTS.to_vec()),
        work in day(),
        weekend in day(),
        amounts in prop::collection::vec((0u32..50_000, prop::bool::weighted(0.3)), 2..230),
        quarters in prop::collection::btree_set(1i64..230, 0..8),
    ) {
        let start = time(start);
        let readings = readings(start, &amounts);
        let ends: Vec<_> = std::iter::once(0).chain(quarters).chain([240]).map(|quarter| start + quarter * QUARTER).collect();
        let calendar = calendar(&work, &weekend);
        let found = windows_of(&readings, &ends, &calendar);
        // However the series is cut, it is rated the same.
        let whole = windows_of(&readings, &[start, start + 240 * QUARTER], &calendar);
        let used = |sums: &BTreeMap<u16, i64>| -> Vec<_> { sums.iter().map(|(stage, sum)| (*stage, *sum)).filter(|(_, sum)| *sum != 0).collect() };
        prop_assert_eq!(used(&found), used(&whole));
        let counted = readings.last().zip(readings.first()).map_or(0, |(last, first)| last.1 - first.1);
        prop_assert_eq!(found.values().sum::<i64>(), counted);
    }

    #[test]
    fn slots_cover_the_window_and_lie_in_one_day(
        start in prop::sample::select(STARTS.to_vec()),
        shift in 0i64..DAY,
        length in 1i64..(400 * DAY),
        work in day(),
        weekend in day(),
    ) {
        let from = time(start) - shift;
        let window = Period::new(at(from), at(from + length)).unwrap();
        let slots = calendar(&work, &weekend).slots(window, &Offsets::try_from(changes()).unwrap()).unwrap();
        prop_assert_eq!(slots[0].from, window.from());
        prop_assert_eq!(slots[slots.len() - 1].to, window.to());
        for pair in slots.windows(2) {
            prop_assert_eq!(pair[0].to, pair[1].from);
        }
        for slot in &slots {
            let local = |time: Timestamp| time.unix_seconds() + i64::from(slot.offset_minutes) * 60;
            prop_assert!(slot.from < slot.to);
            prop_assert_eq!(local(slot.from).div_euclid(DAY), (local(slot.to) - 1).div_euclid(DAY));
            for second in [slot.from.unix_seconds(), slot.to.unix_seconds() - 1] {
                prop_assert_eq!(stage_at(second, &work, &weekend), slot.stage);
            }
        }
    }
}

#[test]
fn register_series_has_92_96_or_100_values_a_day() {
    for (from, to, values) in [
        ("2028-03-25T23:00:00Z", "2028-03-26T22:00:00Z", 92),
        ("2028-06-30T22:00:00Z", "2028-07-01T22:00:00Z", 96),
        ("2028-10-28T22:00:00Z", "2028-10-29T23:00:00Z", 100),
    ] {
        let (start, end) = (time(from), time(to));
        let quarters = (end - start) / QUARTER;
        let readings: Vec<_> = (0..=quarters).map(|n| (start + n * QUARTER, n)).collect();
        let mut input = input(start, 2, &readings, Value::Integer(QUARTER));
        input.window = Period::new(at(start), at(end)).unwrap();
        let blob = input.encode().unwrap();
        assert_eq!(
            records(&natively(&blob, taf_7::evaluate, taf_7::room)).len(),
            values
        );
    }
}

#[test]
fn sandbox_and_native_run_give_the_same_bytes() {
    let bytes = crate::apps::package("taf-2");
    let package = Package::parse(&bytes).unwrap();
    let module = Module::load(package.bytes(), package.manifest().limits().memory_bytes).unwrap();
    let day = Day::from([(0, 2), (360, 1), (1320, 2)]);
    let start = time(STARTS[0]);
    let amounts: Vec<(u32, bool)> = (0..190).map(|n| (n * 37 % 1000, n % 23 == 20)).collect();
    let calendar = Value::Calendar(Box::new(calendar(&day, &day)));
    let blob = input(start, 2, &readings(start, &amounts), calendar)
        .encode()
        .unwrap();
    let run = module.run(&blob, 1_000_000, &mut |_| Go::On).unwrap();
    assert_eq!(run.output, natively(&blob, taf_2::evaluate, taf_2::room));
    let outcome = accept(package.manifest(), &InputView::parse(&blob).unwrap(), &run.output).unwrap();
    let codes: Vec<String> = outcome
        .elements
        .iter()
        .map(|element| element.obis.to_string())
        .collect();
    assert_eq!(codes, ["1-0:1.8.63*255", "1-0:1.8.1*255", "1-0:1.8.2*255"]);
}
