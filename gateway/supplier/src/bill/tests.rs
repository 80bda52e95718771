//! Bills of registers as they should be, and what is refused.

use std::path::Path;

use messages::content::MessageId;
use model::{Fingerprint, Status, Unit};
use proptest::prelude::*;

use super::*;
use crate::store::Proof;

const STAGES: &str = r#"
currency = "EUR"
places = 2
time_zone = "Europe/Berlin"

[[stage]]
name = "night"
elements = ["*/1-0:1.8.0*255"]
unit = "kWh"
price = "0.2000"
windows = [{ from = "22:00", to = "06:00" }]

[[stage]]
name = "day"
elements = ["*/1-0:1.8.0*255"]
unit = "kWh"
price = "0.3012"
"#;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn element() -> Element {
    Element {
        meter: "M1".parse().unwrap(),
        obis: "1-0:1.8.0*255".parse().unwrap(),
    }
}

fn reading(time: Timestamp, value: Decimal) -> StoredReading {
    StoredReading {
        time,
        quantity: Quantity {
            value,
            unit: Unit::WattHour,
        },
        status: Status::GOOD,
        proof: Proof {
            message: MessageId::new([1; 16]),
            digest: Fingerprint::new([2; 32]),
        },
    }
}

/// Every quarter of an hour, from the one time to the other, the register has counted so many watt-hours more.
fn steady(from: Timestamp, to: Timestamp, per_quarter: i128) -> Vec<StoredReading> {
    let quarters = to.seconds_since(from) / 900;
    (0..=quarters)
        .map(|quarter| {
            let time = Timestamp::from_unix_seconds(from.unix_seconds() + quarter * 900).unwrap();
            reading(
                time,
                Decimal::whole(1_000_000 + i128::from(quarter) * per_quarter),
            )
        })
        .collect()
}

fn order(from: &str, to: &str, tariff: Option<&str>) -> BillOrder {
    let tariff = tariff.map(|text| tariff::parse(text, Path::new("tariff.toml")).unwrap());
    let zone = zone("Europe/Berlin").unwrap();
    BillOrder {
        guid: "fd5a::1".parse().unwrap(),
        from: parse_time(from, &zone).unwrap(),
        to: parse_time(to, &zone).unwrap(),
        elements: Vec::new(),
        tariff,
        despite_conflicts: false,
    }
}

fn billed(order: &BillOrder, readings: &[StoredReading]) -> Vec<(Option<String>, String, String)> {
    let lines = lines(&element(), readings, order).unwrap();
    lines
        .iter()
        .map(|line| {
            let amount = line
                .price
                .map(|(_, amount)| amount.to_string())
                .unwrap_or_default();
            (line.stage.clone(), line.consumption.to_string(), amount)
        })
        .collect()
}

#[test]
fn days_on_which_the_clock_is_changed_have_23_and_25_hours() {
    // 100 Wh a quarter: the night has eight hours less one in spring and one more in autumn, the day sixteen.
    for (from, to, night, amount) in [
        ("2026-03-29", "2026-03-30", "2.800", "0.56"),
        ("2026-10-25", "2026-10-26", "3.600", "0.72"),
        ("2026-10-26", "2026-10-27", "3.200", "0.64"),
    ] {
        let order = order(from, to, Some(STAGES));
        let readings = steady(order.from, order.to, 100);
        let lines = billed(&order, &readings);
        let expected = [("night", night, amount), ("day", "6.400", "1.93")];
        let expected =
            expected.map(|(name, kwh, eur)| (Some(name.to_owned()), kwh.to_owned(), eur.to_owned()));
        assert_eq!(lines, expected, "{from}");
    }
}

#[test]
fn hour_that_comes_twice_belongs_to_the_window_both_times() {
    let tariff = STAGES.replace(
        "from = \"22:00\", to = \"06:00\"",
        "from = \"02:00\", to = \"03:00\"",
    );
    for (from, to, expected) in [
        ("2026-03-29", "2026-03-30", None),
        ("2026-03-28", "2026-03-29", Some("0.400")),
        ("2026-10-25", "2026-10-26", Some("0.800")),
    ] {
        let order = order(from, to, Some(&tariff));
        let lines = billed(&order, &steady(order.from, order.to, 100));
        let night = lines.iter().find(|(stage, ..)| stage.as_deref() == Some("night"));
        assert_eq!(night.map(|(_, kwh, _)| kwh.as_str()), expected, "{from}");
    }
}

#[test]
fn window_that_begins_within_the_hour_that_comes_twice_is_open_twice() {
    let tariff = STAGES.replace(
        "from = \"22:00\", to = \"06:00\"",
        "from = \"02:30\", to = \"04:00\"",
    );
    let order = order("2026-10-25", "2026-10-26", Some(&tariff));
    let lines = lines(&element(), &steady(order.from, order.to, 100), &order).unwrap();
    let night = lines
        .iter()
        .find(|line| line.stage.as_deref() == Some("night"))
        .unwrap();
    let times: Vec<_> = night
        .parts
        .iter()
        .map(|part| (part.start.time, part.end.time))
        .collect();
    assert_eq!(
        times,
        [
            (at("2026-10-25T00:30:00Z"), at("2026-10-25T01:00:00Z")),
            (at("2026-10-25T01:30:00Z"), at("2026-10-25T03:00:00Z"))
        ]
    );
}

#[test]
fn without_a_tariff_the_difference_is_billed_with_its_readings() {
    let order = order("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", None);
    let readings = [
        reading(order.from, "17.5".parse().unwrap()),
        reading(order.to, "20.125".parse().unwrap()),
    ];
    let lines = lines(&element(), &readings, &order).unwrap();
    assert_eq!(
        (lines.len(), lines[0].consumption.to_string()),
        (1, "2.625".to_owned())
    );
    assert_eq!(
        (&lines[0].parts[0].start, &lines[0].parts[0].end),
        (&readings[0], &readings[1])
    );
    assert_eq!((lines[0].unit.as_str(), lines[0].price), ("Wh", None));
}

#[test]
fn reading_that_is_missing_inside_a_stage_is_counted_over_and_one_at_its_edge_is_not() {
    let order = order("2026-01-10", "2026-01-11", Some(STAGES));
    let mut readings = steady(order.from, order.to, 100);
    let whole = billed(&order, &readings);
    readings.retain(|reading| reading.time != at("2026-01-10T10:00:00Z"));
    assert_eq!(billed(&order, &readings), whole);
    // 06:00 and 22:00 in Berlin.
    readings
        .retain(|reading| ![at("2026-01-10T05:00:00Z"), at("2026-01-10T21:00:00Z")].contains(&reading.time));
    let error = lines(&element(), &readings, &order).unwrap_err();
    assert!(
        matches!(&error, BillError::Missing { count: 2, times, .. } if times == "2026-01-10T05:00:00Z, 2026-01-10T21:00:00Z"),
        "{error}"
    );
    assert!(error.to_string().contains("--fill-gaps"), "{error}");
    let nothing = lines(&element(), &[], &order).unwrap_err();
    assert!(
        matches!(nothing, BillError::Missing { count: 2, .. }),
        "{nothing}"
    );
}

#[test]
fn register_that_goes_back_or_changes_its_unit_is_refused() {
    let order = order("2026-01-10", "2026-01-11", None);
    let mut readings = steady(order.from, order.to, 100);
    readings[50].quantity.value = Decimal::whole(5);
    let error = lines(&element(), &readings, &order).unwrap_err();
    assert!(
        matches!(error, BillError::WentBack { at, .. } if at == readings[50].time),
        "{error}"
    );
    let mut readings = steady(order.from, order.to, 100);
    readings[50].quantity.unit = Unit::VarHour;
    let error = lines(&element(), &readings, &order).unwrap_err();
    assert!(matches!(error, BillError::Units { .. }), "{error}");
}

#[test]
fn tariffs_that_do_not_fit_are_refused() {
    let fails = |tariff: &str| {
        let order = order("2026-01-10", "2026-01-11", Some(tariff));
        let readings = steady(order.from, order.to, 100);
        lines(&element(), &readings, &order).unwrap_err()
    };
    let other = fails(&STAGES.replace("kWh", "m3"));
    assert!(matches!(other, BillError::OtherUnit { .. }), "{other}");
    let [head, night, day]: [&str; 3] = STAGES.split("[[stage]]").collect::<Vec<_>>().try_into().unwrap();
    let none = fails(&format!("{head}[[stage]]{night}"));
    assert!(
        matches!(none, BillError::NoStage { at, .. } if at == self::at("2026-01-10T05:00:00Z")),
        "{none}"
    );
    let two = fails(&format!("{head}[[stage]]{day}[[stage]]{day}"));
    assert!(matches!(two, BillError::TwoStages { .. }), "{two}");
    let overlap = fails(&format!(
        "{STAGES}windows = [{{ from = \"05:00\", to = \"22:00\" }}]"
    ));
    assert!(
        matches!(overlap, BillError::TwoStages { at, .. } if at == self::at("2026-01-10T04:00:00Z")),
        "{overlap}"
    );
    let dear = fails(&STAGES.replace("0.3012", &"9".repeat(38)));
    assert!(matches!(dear, BillError::Overflow), "{dear}");
}

#[test]
fn counters_are_known_by_their_codes() {
    for (obis, counts) in [
        ("1-0:1.8.0*255", true),
        ("1-0:2.8.2*255", true),
        ("1-0:16.7.0*255", false),
        ("7-0:3.0.0*255", true),
        ("7-0:43.0.0*255", false),
        ("8-0:1.0.0*255", true),
        ("6-0:1.0.0*255", true),
        ("6-0:8.0.0*255", false),
    ] {
        assert_eq!(is_counter(obis.parse().unwrap()), counts, "{obis}");
    }
}

#[test]
fn times_are_dates_of_the_place_or_exact() {
    let zone = zone("Europe/Berlin").unwrap();
    assert_eq!(
        parse_time("2026-07-01", &zone).unwrap(),
        at("2026-06-30T22:00:00Z")
    );
    assert_eq!(
        parse_time("2026-07-01T00:00:00+02:00", &zone).unwrap(),
        at("2026-06-30T22:00:00Z")
    );
    assert!(matches!(parse_time("July", &zone), Err(BillError::Time { .. })));
}

proptest! {
    #[test]
    fn stages_together_are_the_whole(
        start_day in 0_i64..3_650,
        days in 1_i64..40,
        counts in proptest::collection::vec(0_u32..5_000, 1..60),
        from_minute in 0_i64..96,
        to_minute in 0_i64..96,
    ) {
        prop_assume!(from_minute != to_minute);
        let clock = |quarter: i64| format!("{:02}:{:02}", quarter / 4, quarter % 4 * 15);
        let window = format!("from = \"{}\", to = \"{}\"", clock(from_minute), clock(to_minute));
        let tariff = STAGES.replace("from = \"22:00\", to = \"06:00\"", &window);
        let begin = at("2020-01-01T00:00:00Z").unix_seconds() + start_day * 86_400;
        let from = Timestamp::from_unix_seconds(begin).unwrap();
        let to = Timestamp::from_unix_seconds(begin + days * 86_400).unwrap();
        let mut order = order("2020-01-01", "2020-01-02", Some(&tariff));
        (order.from, order.to) = (from, to);
        let mut shown = 0_i128;
        let readings: Vec<_> = (0..=days * 96)
            .map(|quarter| {
                let step = counts[usize::try_from(quarter).unwrap() % counts.len()];
                shown += i128::from(step);
                let time = Timestamp::from_unix_seconds(begin + quarter * 900).unwrap();
                reading(time, Decimal::new(shown, -1).unwrap())
            })
            .collect();
        let lines = lines(&element(), &readings, &order).unwrap();
        let sum = lines.iter().fold(Decimal::whole(0), |sum, line| sum.checked_add(line.consumption).unwrap());
        let whole = readings.last().unwrap().quantity.value.mantissa() - readings[0].quantity.value.mantissa();
        prop_assert!(sum.same_value(Decimal::new(whole, -4).unwrap()));
        // And each quarter of an hour is in the stage that the clock of the place shows.
        let zone = order.tariff.as_ref().unwrap().zone().clone();
        let night: i128 = readings
            .windows(2)
            .filter(|pair| {
                let time = jiff::Timestamp::from_second(pair[0].time.unix_seconds()).unwrap();
                let local = zone.to_datetime(time);
                let quarter = i64::from(local.hour()) * 4 + i64::from(local.minute()) / 15;
                if from_minute < to_minute {
                    (from_minute..to_minute).contains(&quarter)
                } else {
                    quarter >= from_minute || quarter < to_minute
                }
            })
            .map(|pair| pair[1].quantity.value.mantissa() - pair[0].quantity.value.mantissa())
            .sum();
        let billed = lines.iter().find(|line| line.stage.as_deref() == Some("night"));
        let billed = billed.map_or(Decimal::whole(0), |line| line.consumption);
        prop_assert!(billed.same_value(Decimal::new(night, -4).unwrap()));
    }
}
