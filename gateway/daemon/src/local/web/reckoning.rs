//! What one register has counted between two times, by the stages of the prices that were entered, and what that costs: the
//! same arithmetic as `supplier bill`, on the readings that the gateway has registered itself.

use std::collections::BTreeMap;

use billing::{CountError, Part, Register, Tariff, boundaries};
use model::{Decimal, Element, Quantity, Reading, Timestamp};
use store::{Database, DatabaseError};

use super::history::{Note, sum_of};
use super::walk::{MOST_BREAKS, Walk};

/// The most boundaries between stages: a year with two changes of stages a day, and then some. It bounds how long a page is.
const MOST_BOUNDARIES: usize = 1_500;
/// How many missing readings are named.
const NAMED: usize = 10;

/// What was counted in one stage.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// The stage's name; none without prices.
    pub(super) stage: Option<String>,
    pub(super) counted: Quantity,
    /// What was counted in the unit of the price, the unit, the price, and the amount.
    pub(super) price: Option<(Decimal, String, Decimal, Decimal)>,
    /// The readings that prove it.
    pub(super) parts: Vec<Part<Reading>>,
}

/// What was counted, and what it costs.
#[derive(Debug, Clone)]
pub(super) struct Reckoning {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    /// Whether the time goes on, so that it was reckoned up to the last reading.
    pub(super) is_so_far: bool,
    pub(super) lines: Vec<Line>,
    /// What was counted in all stages together.
    pub(super) whole: Quantity,
    /// The sum of the amounts.
    pub(super) total: Option<Decimal>,
}

/// Why there is no figure.
#[derive(Debug, Clone)]
pub(super) struct NoFigure {
    pub(super) error: CountError,
    /// The first readings that are missing, and why.
    pub(super) missing: Vec<(Timestamp, Note)>,
    /// The parts of the time in which the register has only counted up, each with the readings at its ends.
    pub(super) runs: Vec<Part<Reading>>,
}

impl NoFigure {
    /// Returns what was counted in all parts together, if they have one unit: what is proven without the whole being so.
    pub(super) fn proven(&self) -> Option<Quantity> {
        sum_of(self.runs.iter().map(|run| Quantity {
            value: run.consumption,
            unit: run.end.quantity.unit,
        }))
    }
}

impl From<CountError> for NoFigure {
    fn from(error: CountError) -> Self {
        Self {
            error,
            missing: Vec::new(),
            runs: Vec::new(),
        }
    }
}

/// Reckons what a register has counted. `last` is the last reading that was registered.
pub(super) fn reckon(
    database: &Database,
    (element, last): (&Element, Option<&Reading>),
    (from, to): (Timestamp, Timestamp),
    tariff: Option<&Tariff>,
    now: Timestamp,
) -> Result<Result<Reckoning, NoFigure>, DatabaseError> {
    let is_so_far = to > now;
    let to = if is_so_far {
        last.map_or(from, |last| last.time.min(to))
    } else {
        to
    };
    if to <= from {
        return Ok(Err(CountError::Nothing.into()));
    }
    // A register that no stage is about has no price.
    let tariff = tariff.filter(|tariff| !tariff.stages_of(element).is_empty());
    let times = match boundaries(element, (from, to), tariff) {
        Ok(times) if times.len() <= MOST_BOUNDARIES => times,
        Ok(_) => return Ok(Err(CountError::TooLong.into())),
        Err(error) => return Ok(Err(error.into())),
    };
    let walk = Walk::over(database, element, (from, to), &times)?;
    if !walk.is_whole && walk.breaks.len() < MOST_BREAKS {
        return Ok(Err(CountError::TooLong.into()));
    }
    let (readings, missing) = sort(element, &times, &walk);
    let figures = figures(element, &readings, (from, to), tariff);
    Ok(figures
        .map(|(lines, whole, total)| Reckoning {
            from,
            to,
            is_so_far,
            lines,
            whole,
            total,
        })
        .map_err(|error| NoFigure {
            error,
            missing,
            runs: walk.runs(),
        }))
}

/// Returns the readings at the boundaries, and those at breaks, of which no figure may be made; and what is missing.
fn sort(element: &Element, times: &[Timestamp], walk: &Walk) -> (Vec<Reading>, Vec<(Timestamp, Note)>) {
    let mut readings = BTreeMap::new();
    let mut missing = Vec::new();
    for time in times {
        let point = walk.points.get(time);
        if let Some(reading) = point.and_then(|point| point.reading(element, *time)) {
            readings.insert(*time, reading);
        }
        let note = Note::of_missing(point).filter(|_| missing.len() < NAMED);
        missing.extend(note.map(|note| (*time, note)));
    }
    for one in &walk.breaks {
        readings.insert(one.before.time, one.before.clone());
        readings.insert(one.after.time, one.after.clone());
    }
    (readings.into_values().collect(), missing)
}

type Figures = (Vec<Line>, Quantity, Option<Decimal>);

fn figures(
    element: &Element,
    readings: &[Reading],
    period: (Timestamp, Timestamp),
    tariff: Option<&Tariff>,
) -> Result<Figures, CountError> {
    let register = Register { element, readings };
    let mut lines = Vec::new();
    let mut whole: Option<Quantity> = None;
    let mut total = None;
    for counted in register.count(period, tariff)? {
        let quantity = counted.whole()?;
        let before = whole.map_or(Decimal::whole(0), |whole| whole.value);
        let value = before.checked_add(quantity.value).ok_or(CountError::Overflow)?;
        whole = Some(Quantity { value, ..quantity });
        let price = match (counted.stage, tariff) {
            (Some(stage), Some(tariff)) => {
                let (consumption, amount) = stage.priced(element, quantity, tariff.places)?;
                let before = total.unwrap_or(Decimal::whole(0));
                total = Some(before.checked_add(amount).ok_or(CountError::Overflow)?);
                Some((consumption, stage.unit.clone(), stage.price, amount))
            }
            _ => None,
        };
        lines.push(Line {
            stage: counted.stage.map(|stage| stage.name.clone()),
            counted: quantity,
            price,
            parts: counted.parts,
        });
    }
    Ok((lines, whole.ok_or(CountError::Nothing)?, total))
}

#[cfg(test)]
mod tests {
    use model::{Status, Unit};
    use store::Round;

    use super::super::prices;
    use super::super::testing::store;
    use super::super::zone::Zone;
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn element() -> Element {
        Element {
            meter: "M1".parse().unwrap(),
            obis: "1-0:1.8.0*255".parse().unwrap(),
        }
    }

    fn reading(time: &str, value: &str) -> Reading {
        Reading {
            element: element(),
            time: at(time),
            quantity: Quantity {
                value: value.parse().unwrap(),
                unit: Unit::WattHour,
            },
            status: Status::GOOD,
        }
    }

    /// The prices of the supplier's tests, by day and by night.
    fn tariff() -> Tariff {
        let document = serde_json::json!({
            "currency": "EUR", "places": 2, "time_zone": "here",
            "stage": [
                {"name": "night", "elements": ["M1/1-0:1.8.0*255"], "unit": "kWh", "price": "0.2000",
                 "windows": [{"from": "22:00", "to": "06:00"}]},
                {"name": "day", "elements": ["M1/1-0:1.8.0*255"], "unit": "kWh", "price": "0.3012"},
            ],
        });
        let document = serde_json::from_value(document).unwrap();
        prices::tariff(document, &Zone::central_europe()).unwrap()
    }

    #[test]
    fn figures_are_those_of_the_supplier_on_the_day_of_25_hours() {
        // 100 Wh each quarter: nine hours of night and sixteen of day, as in the supplier's tests.
        let folder = tempfile::tempdir().unwrap();
        let store = store(
            folder.path(),
            vec![
                reading("2026-10-24T22:00:00Z", "1000000"),
                reading("2026-10-25T05:00:00Z", "1002800"),
                reading("2026-10-25T21:00:00Z", "1009200"),
                reading("2026-10-25T23:00:00Z", "1010000"),
            ],
        );
        let period = (at("2026-10-24T22:00:00Z"), at("2026-10-25T23:00:00Z"));
        let now = at("2026-11-01T00:00:00Z");
        let element = element();
        let reckoned = reckon(store.database(), (&element, None), period, Some(&tariff()), now);
        let reckoned = reckoned.unwrap().unwrap();
        let lines: Vec<_> = reckoned
            .lines
            .iter()
            .map(|line| {
                let (consumption, unit, _, amount) = line.price.clone().unwrap();
                let stage = line.stage.clone().unwrap();
                (stage, consumption.to_string(), unit, amount.to_string())
            })
            .collect();
        let line = |stage: &str, consumption: &str, amount: &str| {
            let text = |text: &str| text.to_owned();
            (text(stage), text(consumption), text("kWh"), text(amount))
        };
        assert_eq!(
            lines,
            [line("night", "3.600", "0.72"), line("day", "6.400", "1.93")]
        );
        assert_eq!(reckoned.total.unwrap().to_string(), "2.65");
        assert_eq!(reckoned.whole.value.to_string(), "10000");
        assert_eq!(reckoned.lines[0].parts.len(), 2);
        let plain = reckon(store.database(), (&element, None), period, None, now);
        let plain = plain.unwrap().unwrap();
        assert_eq!((plain.lines.len(), plain.total), (1, None));
        assert!(plain.lines[0].price.is_none());
    }

    #[test]
    fn time_that_goes_on_is_reckoned_up_to_the_last_reading() {
        let folder = tempfile::tempdir().unwrap();
        let last = reading("2026-11-10T10:15:00Z", "150.5");
        let store = store(
            folder.path(),
            vec![reading("2026-10-31T23:00:00Z", "100"), last.clone()],
        );
        let period = (at("2026-10-31T23:00:00Z"), at("2026-11-30T23:00:00Z"));
        let now = at("2026-11-10T10:20:00Z");
        let element = element();
        let reckoned = reckon(store.database(), (&element, Some(&last)), period, None, now);
        let reckoned = reckoned.unwrap().unwrap();
        assert!(reckoned.is_so_far);
        assert_eq!(
            (reckoned.to, reckoned.whole.value.to_string()),
            (last.time, "50.5".to_owned())
        );
        let future = (at("2027-01-01T00:00:00Z"), at("2027-02-01T00:00:00Z"));
        let none = reckon(store.database(), (&element, Some(&last)), future, None, now);
        assert_eq!(none.unwrap().unwrap_err().error, CountError::Nothing);
    }

    #[test]
    fn register_that_went_back_in_between_gives_no_figure_and_what_is_proven_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(
            folder.path(),
            vec![
                reading("2026-10-01T00:00:00Z", "100"),
                reading("2026-10-10T00:00:00Z", "150.5"),
                reading("2026-10-11T00:00:00Z", "3"),
                reading("2026-11-01T00:00:00Z", "220"),
            ],
        );
        let now = at("2026-11-02T00:00:00Z");
        let element = element();
        let reckoned = |from: &str| {
            let period = (at(from), at("2026-11-01T00:00:00Z"));
            let reckoned = reckon(store.database(), (&element, None), period, None, now).unwrap();
            reckoned.map_err(Box::new)
        };
        let none = reckoned("2026-10-01T00:00:00Z").unwrap_err();
        assert!(
            matches!(&none.error, CountError::WentBack { at: back, .. } if *back == at("2026-10-11T00:00:00Z")),
            "{none:?}"
        );
        let runs: Vec<_> = none.runs.iter().map(|run| run.consumption.to_string()).collect();
        assert_eq!(runs, ["50.5", "217"]);
        assert_eq!(none.proven().unwrap().value.to_string(), "267.5");
        let behind = reckoned("2026-10-11T00:00:00Z").unwrap();
        assert_eq!(behind.whole.value.to_string(), "217");
        // A meter that came later: what it has counted since is told, and no figure for the whole time.
        let early = reckoned("2026-09-01T00:00:00Z").unwrap_err();
        assert_eq!(early.proven().unwrap().value.to_string(), "267.5");
    }

    #[test]
    fn missing_readings_are_named_with_their_reasons() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path(), vec![reading("2026-10-01T00:00:00Z", "1")]);
        let gap = model::Gap {
            element: element(),
            time: at("2026-10-02T00:00:00Z"),
            reason: model::GapReason::NoAnswer,
        };
        let round = Round {
            readings: Vec::new(),
            gaps: vec![gap.clone()],
        };
        store.database().register(&round).unwrap();
        let period = (at("2026-10-01T00:00:00Z"), gap.time);
        let now = at("2026-11-01T00:00:00Z");
        let element = element();
        let none = reckon(store.database(), (&element, None), period, None, now).unwrap();
        let none = none.unwrap_err();
        assert!(
            matches!(none.error, CountError::Missing { count: 1, .. }),
            "{none:?}"
        );
        assert_eq!(none.missing, [(gap.time, Note::Gap(gap.reason))]);
        let long = (at("2020-01-01T00:00:00Z"), now);
        let long = reckon(store.database(), (&element, None), long, Some(&tariff()), now).unwrap();
        assert_eq!(long.unwrap_err().error, CountError::TooLong);
    }
}
