//! What one register has counted between two times, by the stages of the prices that were entered, and what that costs: the
//! same arithmetic as `supplier bill`, on the readings that the gateway has registered itself.

use billing::{CountError, Part, Register, Tariff, boundaries};
use model::{Decimal, Element, Quantity, Reading, Timestamp};
use store::{Database, DatabaseError};

use super::history::{Note, Point, read_point};

/// The most readings that are looked up: a year with two changes of stages a day, and then some. It bounds how long a page
/// takes.
const MOST_READINGS: usize = 1_500;
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
}

impl From<CountError> for NoFigure {
    fn from(error: CountError) -> Self {
        Self {
            error,
            missing: Vec::new(),
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
        Ok(times) if times.len() <= MOST_READINGS => times,
        Ok(_) => return Ok(Err(CountError::TooLong.into())),
        Err(error) => return Ok(Err(error.into())),
    };
    let mut readings = Vec::with_capacity(times.len());
    let mut missing = Vec::new();
    for time in times {
        let note = match read_point(database, element, time)? {
            Some(Point::Reading(quantity, status)) => {
                readings.push(Reading {
                    element: element.clone(),
                    time,
                    quantity,
                    status,
                });
                continue;
            }
            Some(Point::Gap(reason)) => Note::Gap(reason),
            Some(Point::Damaged) => Note::Damaged,
            None => Note::Nothing,
        };
        if missing.len() < NAMED {
            missing.push((time, note));
        }
    }
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
        .map_err(|error| NoFigure { error, missing }))
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
