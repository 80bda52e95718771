//! The history of one element: what was consumed in each part of a day, week, month or year.
//!
//! It is the difference of the register between the ends of the part, exact as the meter gave it. Where an end is missing there
//! is no number, but the reason why. Nothing is interpolated.

use jiff::civil::Date;
use model::{
    Decimal, Element, ElementPattern, GapReason, Medium, Period, Quantity, Reading, Status, Timestamp, Unit,
};
use store::{Database, DatabaseError};

use super::calendar::Span;
use super::language::Language;
use super::walk::Walk;
use super::zone::Zone;

/// What stands at an end of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Point {
    Reading(Quantity, Status),
    Gap(GapReason),
    Damaged,
}

impl Point {
    /// Returns the reading of an element that stands there, if it is one.
    pub(super) fn reading(&self, element: &Element, time: Timestamp) -> Option<Reading> {
        match self {
            Self::Reading(quantity, status) => Some(Reading {
                element: element.clone(),
                time,
                quantity: *quantity,
                status: *status,
            }),
            Self::Gap(_) | Self::Damaged => None,
        }
    }
}

/// What is to be known about a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Note {
    /// It has not ended yet; the last value counts.
    SoFar,
    /// It has not begun yet.
    NotYet,
    /// Nothing was registered at an end.
    Nothing,
    /// An end is a gap.
    Gap(GapReason),
    /// What is stored about an end is damaged.
    Damaged,
    /// The register went back, or changed its unit.
    WentBack,
    /// The clock was not set at an end.
    ClockUnknown,
}

impl Note {
    /// Says why no reading stands somewhere; nothing if one does.
    pub(super) const fn of_missing(point: Option<&Point>) -> Option<Self> {
        match point {
            None => Some(Self::Nothing),
            Some(Point::Gap(reason)) => Some(Self::Gap(*reason)),
            Some(Point::Damaged) => Some(Self::Damaged),
            Some(Point::Reading(..)) => None,
        }
    }

    /// Says it in words.
    pub(super) const fn text(self, language: Language) -> &'static str {
        let words = language.words();
        match self {
            Self::SoFar => words.so_far,
            Self::NotYet => words.not_yet,
            Self::Nothing => words.nothing_registered,
            Self::Gap(reason) => words.gap(reason),
            Self::Damaged => words.gap_damaged,
            Self::WentBack => words.went_back,
            Self::ClockUnknown => words.clock_unknown,
        }
    }

    /// Returns the code in JSON.
    pub(super) fn code(self) -> String {
        match self {
            Self::SoFar => "so-far".to_owned(),
            Self::NotYet => "not-yet".to_owned(),
            Self::Nothing => "nothing-registered".to_owned(),
            Self::Gap(reason) => reason.to_string(),
            Self::Damaged => "damaged".to_owned(),
            Self::WentBack => "went-back".to_owned(),
            Self::ClockUnknown => "clock-unknown".to_owned(),
        }
    }
}

/// A part of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    /// What was consumed, if it is known.
    pub(super) consumed: Option<Quantity>,
    /// The register at the end, or its last value.
    pub(super) register: Option<Quantity>,
    pub(super) note: Option<Note>,
}

impl Row {
    /// Returns whether something is missing that should be there.
    pub(super) fn is_gap(&self) -> bool {
        self.consumed.is_none() && self.note != Some(Note::NotYet)
    }
}

/// The history of an element in a period.
#[derive(Debug, Clone)]
pub(super) struct History {
    pub(super) element: Element,
    pub(super) span: Span,
    pub(super) first: Date,
    pub(super) rows: Vec<Row>,
    /// The registers that the rows are made of, in the order of time.
    pub(super) registers: Vec<Reading>,
}

impl History {
    /// Reads the history in the day, week, month or year that begins with a day; `None` if the calendar ends before.
    pub(super) fn read(
        database: &Database,
        (element, last): (Element, Option<&Reading>),
        (span, first, zone): (Span, Date, &Zone),
        now: Timestamp,
    ) -> Result<Option<Self>, DatabaseError> {
        let Some(bounds) = span.bounds(zone, first) else {
            return Ok(None);
        };
        let past: Vec<_> = bounds.iter().copied().filter(|bound| *bound <= now).collect();
        let walk = match past.first().zip(bounds.last()) {
            Some((from, to)) => Walk::over(database, &element, (*from, *to), &past)?,
            None => Walk::default(),
        };
        let rows = rows(&bounds, &walk, last, now);
        let registers = registers(&element, (&bounds, &walk), last, now);
        Ok(Some(Self {
            element,
            span,
            first,
            rows,
            registers,
        }))
    }

    /// Returns the sum of what is known, and whether all of it is.
    pub(super) fn sum(&self) -> Option<(Quantity, bool)> {
        let sum = sum_of(self.rows.iter().filter_map(|row| row.consumed))?;
        Some((sum, !self.rows.iter().any(Row::is_gap)))
    }
}

/// Reads what is registered at one time.
pub(super) fn read_point(
    database: &Database,
    element: &Element,
    time: Timestamp,
) -> Result<Option<Point>, DatabaseError> {
    let end = model::Span::from_seconds(1).map_or(time, |second| time.saturating_add(second));
    let Ok(period) = Period::new(time, end) else {
        return Ok(None);
    };
    let page = database.readings(&ElementPattern::from(element.clone()), period)?;
    let reading = page.readings.first();
    let reading = reading.map(|reading| Point::Reading(reading.quantity, reading.status));
    let gap = page.gaps.first().map(|gap| Point::Gap(gap.reason));
    Ok(reading
        .or(gap)
        .or_else(|| (!page.damaged.is_empty()).then_some(Point::Damaged)))
}

/// Returns the last reading if a part ends with it, because that goes on.
fn so_far((from, to): (Timestamp, Timestamp), last: Option<&Reading>, now: Timestamp) -> Option<&Reading> {
    last.filter(|last| from <= now && to > now && last.time > from)
}

/// Returns the registers that the parts between bounds are made of.
fn registers(
    element: &Element,
    (bounds, walk): (&[Timestamp], &Walk),
    last: Option<&Reading>,
    now: Timestamp,
) -> Vec<Reading> {
    let at_bounds = walk.points.iter();
    let at_bounds = at_bounds.filter_map(|(time, point)| point.reading(element, *time));
    let mut parts = bounds.iter().zip(bounds.iter().skip(1));
    let last = parts.find_map(|(from, to)| so_far((*from, *to), last, now));
    at_bounds.chain(last.cloned()).collect()
}

/// Makes the parts between bounds of what stands at them; `last` is the last reading there is.
fn rows(bounds: &[Timestamp], walk: &Walk, last: Option<&Reading>, now: Timestamp) -> Vec<Row> {
    let pairs = bounds.iter().zip(bounds.iter().skip(1));
    pairs
        .map(|(from, to)| {
            let (from, to) = (*from, *to);
            if from > now {
                return missing((from, to), Note::NotYet);
            }
            let so_far = so_far((from, to), last, now);
            let end = match so_far {
                Some(last) => Some(Point::Reading(last.quantity, last.status)),
                None => walk.points.get(&to).cloned(),
            };
            let note = (to > now).then_some(Note::SoFar);
            let row = row((from, to), walk.points.get(&from), end.as_ref(), note);
            // What stands at its ends is no consumption if the register went back in between.
            if row.consumed.is_some() && walk.is_broken(from, to) {
                return Row {
                    register: row.register,
                    ..missing((from, to), Note::WentBack)
                };
            }
            row
        })
        .collect()
}

fn missing((from, to): (Timestamp, Timestamp), note: Note) -> Row {
    Row {
        from,
        to,
        consumed: None,
        register: None,
        note: Some(note),
    }
}

fn row(ends: (Timestamp, Timestamp), start: Option<&Point>, end: Option<&Point>, note: Option<Note>) -> Row {
    let register = match end {
        Some(Point::Reading(quantity, _)) => Some(*quantity),
        _ => None,
    };
    let (Some(Point::Reading(before, was)), Some(Point::Reading(after, is))) = (start, end) else {
        let note = Note::of_missing(start).or_else(|| Note::of_missing(end));
        let note = note.unwrap_or(Note::Nothing);
        return Row {
            register,
            ..missing(ends, note)
        };
    };
    let consumed = after
        .value
        .checked_sub(before.value)
        .filter(|_| after.unit == before.unit);
    let forward = consumed.filter(|consumed| consumed.mantissa() >= 0);
    let Some(value) = forward else {
        return Row {
            register,
            ..missing(ends, Note::WentBack)
        };
    };
    let clock = was.contains(Status::CLOCK_UNKNOWN) || is.contains(Status::CLOCK_UNKNOWN);
    let (from, to) = ends;
    Row {
        from,
        to,
        consumed: Some(Quantity {
            value,
            unit: after.unit,
        }),
        register,
        note: clock.then_some(Note::ClockUnknown).or(note),
    }
}

/// Returns whether a unit is one of a register that counts up, so that differences of it are a consumption.
pub(super) const fn is_register(unit: Unit, medium: Medium) -> bool {
    match unit {
        Unit::WattHour
        | Unit::VarHour
        | Unit::VoltAmpereHour
        | Unit::Joule
        | Unit::CubicMetre
        | Unit::Kilogram => true,
        // What a heat cost allocator counts has no unit.
        Unit::One => matches!(medium, Medium::HeatCostAllocator),
        Unit::Watt
        | Unit::Var
        | Unit::VoltAmpere
        | Unit::JoulePerHour
        | Unit::CubicMetrePerHour
        | Unit::KilogramPerHour
        | Unit::DegreeCelsius
        | Unit::Kelvin
        | Unit::Bar
        | Unit::Second
        | Unit::Volt
        | Unit::Ampere
        | Unit::Hertz
        | Unit::Degree => false,
    }
}

/// Returns the sum of quantities, if there are some and they have one unit.
pub(super) fn sum_of(quantities: impl IntoIterator<Item = Quantity>) -> Option<Quantity> {
    let mut quantities = quantities.into_iter();
    let Quantity { value, unit } = quantities.next()?;
    let value = quantities.try_fold(value, |sum, next| {
        (next.unit == unit).then(|| sum.checked_add(next.value)).flatten()
    })?;
    Some(Quantity { value, unit })
}

/// Returns the mean of values in one unit, cut off behind the finest digit among them: it is shown and never billed.
pub(super) fn mean(values: &[Decimal]) -> Option<Decimal> {
    let (first, others) = values.split_first()?;
    let sum = others
        .iter()
        .try_fold(*first, |sum, value| sum.checked_add(*value))?;
    let count = i128::try_from(values.len()).ok()?;
    Decimal::new(sum.mantissa().checked_div(count)?, sum.scaler())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).unwrap()
    }

    fn energy(text: &str) -> Quantity {
        Quantity {
            value: text.parse().unwrap(),
            unit: Unit::WattHour,
        }
    }

    fn reading(text: &str) -> Point {
        Point::Reading(energy(text), Status::GOOD)
    }

    fn last(seconds: i64, text: &str) -> Reading {
        Reading {
            element: Element {
                meter: "M1".parse().unwrap(),
                obis: "1-0:1.8.0*255".parse().unwrap(),
            },
            time: at(seconds),
            quantity: energy(text),
            status: Status::GOOD,
        }
    }

    fn told(rows: &[Row]) -> Vec<(Option<String>, Option<Note>)> {
        let told = rows.iter().map(|row| {
            let consumed = row.consumed.map(|quantity| quantity.value.to_string());
            (consumed, row.note)
        });
        told.collect()
    }

    #[test]
    fn consumption_is_exact_and_gaps_have_their_reasons() {
        let bounds: Vec<_> = (0..8).map(|hour| at(hour * 3_600)).collect();
        let mut doubtful = reading("9.9");
        if let Point::Reading(_, status) = &mut doubtful {
            *status = Status::CLOCK_UNKNOWN;
        }
        let points = BTreeMap::from([
            (bounds[0], reading("1.10")),
            (bounds[1], reading("2.2")),
            (bounds[2], Point::Gap(GapReason::NoAnswer)),
            (bounds[3], reading("3")),
            (bounds[4], doubtful),
            (bounds[5], reading("8")),
            (bounds[6], Point::Damaged),
        ]);
        let rows = rows(&bounds, &Walk::standing(points), None, at(100_000));
        let gap = Some(Note::Gap(GapReason::NoAnswer));
        assert_eq!(
            told(&rows),
            [
                (Some("1.10".to_owned()), None),
                (None, gap),
                (None, gap),
                (Some("6.9".to_owned()), Some(Note::ClockUnknown)),
                (None, Some(Note::WentBack)),
                (None, Some(Note::Damaged)),
                (None, Some(Note::Damaged)),
            ]
        );
        let history = History {
            element: last(0, "0").element,
            span: Span::Day,
            first: jiff::civil::date(1970, 1, 1),
            rows,
            registers: Vec::new(),
        };
        let (sum, is_whole) = history.sum().unwrap();
        assert_eq!((sum.value.to_string().as_str(), is_whole), ("8.00", false));
    }

    #[test]
    fn part_that_goes_on_ends_with_the_last_value_and_the_future_is_no_gap() {
        let bounds: Vec<_> = (0..4).map(|hour| at(hour * 3_600)).collect();
        let points = BTreeMap::from([(bounds[0], reading("1")), (bounds[1], reading("2"))]);
        let walk = Walk::standing(points);
        let rows = rows(&bounds, &walk, Some(&last(4_500, "2.5")), at(5_000));
        assert_eq!(
            told(&rows),
            [
                (Some("1".to_owned()), None),
                (Some("0.5".to_owned()), Some(Note::SoFar)),
                (None, Some(Note::NotYet)),
            ]
        );
        assert!(!rows[2].is_gap());
        let old = super::rows(&bounds, &walk, Some(&last(3_600, "2")), at(5_000));
        assert_eq!(told(&old)[1], (None, Some(Note::Nothing)));
    }

    #[test]
    fn day_of_25_hours_is_read_whole_from_sealed_days_and_rounds_alike() {
        let folder = tempfile::tempdir().unwrap();
        let key = store::DeviceKey::new([7; store::DeviceKey::LENGTH]);
        let store = store::Store::open(folder.path(), Ok(store::Protection { key, otp: None })).unwrap();
        let database = store.database();
        let midnight: Timestamp = "2026-10-24T22:00:00Z".parse().unwrap();
        for hour in 0..=25i64 {
            let time = at(midnight.unix_seconds() + hour * 3_600);
            let readings = vec![last(time.unix_seconds(), &format!("{}", 100 + hour * 2))];
            let gaps = Vec::new();
            database.register(&store::Round { readings, gaps }).unwrap();
        }
        let (zone, first) = (Zone::central_europe(), jiff::civil::date(2026, 10, 25));
        let now = "2026-10-27T00:00:00Z".parse().unwrap();
        let element = last(0, "0").element;
        let read = || {
            let chosen = (element.clone(), None);
            History::read(database, chosen, (Span::Day, first, &zone), now)
                .unwrap()
                .unwrap()
        };
        let rounds = read();
        assert!(
            database
                .seal_days("2026-10-25T00:30:00Z".parse().unwrap())
                .unwrap()
                .points
                > 0
        );
        for history in [rounds, read()] {
            assert_eq!(told(&history.rows), vec![(Some("2".to_owned()), None); 25]);
            assert_eq!(history.sum().unwrap().0.value.to_string(), "50");
        }
    }

    #[test]
    fn month_in_which_the_register_went_back_and_caught_up_has_no_figure() {
        let folder = tempfile::tempdir().unwrap();
        let reading = |time: &str, value: &str| Reading {
            time: time.parse().unwrap(),
            ..last(0, value)
        };
        let newest = reading("2026-02-10T10:00:00Z", "900");
        let readings = vec![
            reading("2025-12-31T23:00:00Z", "100"),
            reading("2026-01-10T00:00:00Z", "400"),
            reading("2026-01-11T00:00:00Z", "20"),
            reading("2026-01-31T23:00:00Z", "700"),
            newest.clone(),
        ];
        let store = super::super::testing::store(folder.path(), readings);
        let chosen = (newest.element.clone(), Some(&newest));
        let first = jiff::civil::date(2026, 1, 1);
        let zone = Zone::central_europe();
        let now = "2026-02-10T10:05:00Z".parse().unwrap();
        let history = History::read(store.database(), chosen, (Span::Year, first, &zone), now);
        let history = history.unwrap().unwrap();
        let rows = told(&history.rows);
        assert_eq!(rows[0], (None, Some(Note::WentBack)));
        assert_eq!(rows[1], (Some("200".to_owned()), Some(Note::SoFar)));
        assert_eq!(rows[2], (None, Some(Note::NotYet)));
        let registers = history.registers.iter().map(|one| one.quantity.value.to_string());
        assert_eq!(
            registers.collect::<Vec<_>>(),
            ["100", "700", "900"],
            "what is seen"
        );
    }

    #[test]
    fn mean_is_cut_off_behind_the_finest_digit() {
        let values = ["1.0", "2", "2"].map(|text| text.parse().unwrap());
        assert_eq!(mean(&values).unwrap().to_string(), "1.6");
        assert_eq!(mean(&[]), None);
    }

    proptest! {
        #[test]
        fn sum_of_the_parts_is_the_whole(steps in prop::collection::vec(0u32..100_000, 1..25)) {
            let mut register = 5_000i128;
            let mut points = BTreeMap::from([(at(0), reading("5.000"))]);
            let mut bounds = vec![at(0)];
            for (hour, step) in (1i64..).zip(&steps) {
                register += i128::from(*step);
                let value = Decimal::new(register, -3).unwrap();
                let quantity = Quantity { value, unit: Unit::WattHour };
                points.insert(at(hour * 3_600), Point::Reading(quantity, Status::GOOD));
                bounds.push(at(hour * 3_600));
            }
            let history = History {
                element: last(0, "0").element,
                span: Span::Day,
                first: jiff::civil::date(1970, 1, 1),
                rows: rows(&bounds, &Walk::standing(points), None, at(1_000_000)),
                registers: Vec::new(),
            };
            let (sum, is_whole) = history.sum().unwrap();
            prop_assert!(is_whole);
            prop_assert_eq!(sum.value, Decimal::new(register - 5_000, -3).unwrap());
        }
    }
}
