//! The tariff: what a unit costs in which stage, and when each stage holds.
//!
//! A stage holds for registers of its own, or for windows of the local time. The clock of the meter's place decides, with
//! its summer time; the rules of time zones are those that this program was built with.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use model::{Decimal, Element, ElementPattern, Timestamp, Unit};
use serde::{Deserialize, Serialize};

/// How many stages a tariff has at most, and how many windows a stage.
const MAX_STAGES: usize = 64;
/// How many places behind the point an amount has at most.
const MAX_PLACES: u8 = 9;

/// The reason why a tariff cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TariffError {
    /// Nobody knows the time zone.
    #[error("{name:?} is no time zone; name one as Europe/Berlin")]
    Zone {
        /// What the tariff says.
        name: String,
    },
    /// There are windows, and no time zone.
    #[error("the tariff has windows of the local time; name its time_zone")]
    NoZone,
    /// The tariff has too many stages or windows, or none.
    #[error("a tariff has 1 to {MAX_STAGES} stages, and each up to {MAX_STAGES} windows")]
    Stages,
    /// The amounts have too many places.
    #[error("an amount has up to {MAX_PLACES} places behind the point")]
    Places,
    /// A window begins or ends at no time of the day, or is empty.
    #[error(
        "the stage {stage:?} has a window that is none; it begins and ends as 06:00 and 22:00, or at 24:00"
    )]
    Window {
        /// The stage.
        stage: String,
    },
    /// The unit of a price is none.
    #[error("the stage {stage:?} has a price for {unit:?}, which is no unit; name one as kWh, Wh or m3")]
    Unit {
        /// The stage.
        stage: String,
        /// What the tariff says.
        unit: String,
    },
}

/// A tariff as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TariffDocument {
    /// The currency of prices and amounts.
    pub currency: String,
    /// How many places behind the point an amount has, 9 at most.
    pub places: u8,
    /// The name of the zone whose clock the windows are of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The stages, 64 at most.
    pub stage: Vec<StageDocument>,
}

/// A stage as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageDocument {
    /// Its name.
    pub name: String,
    /// The registers that it is about.
    pub elements: Vec<ElementPattern>,
    /// The unit that the price is for: kWh, m3.
    pub unit: String,
    /// What one unit costs.
    pub price: Decimal,
    /// When it holds; without windows, whenever no other stage does.
    #[serde(default)]
    pub windows: Vec<WindowDocument>,
}

/// A window as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowDocument {
    /// On which days it opens.
    #[serde(default = "every_day")]
    pub days: Vec<Day>,
    /// When it opens, as 06:00.
    pub from: String,
    /// When it closes, as 22:00 or 24:00; before the opening, that is on the next day.
    pub to: String,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Day {
    /// The first one (ISO 8601).
    Monday,
    /// The second one.
    Tuesday,
    /// The third one.
    Wednesday,
    /// The fourth one.
    Thursday,
    /// The fifth one.
    Friday,
    /// The sixth one.
    Saturday,
    /// The seventh one.
    Sunday,
}

impl Day {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];
}

fn every_day() -> Vec<Day> {
    Day::ALL.to_vec()
}

/// A tariff.
#[derive(Debug, Clone)]
pub struct Tariff {
    /// The currency of prices and amounts.
    pub currency: String,
    /// How many places behind the point an amount has.
    pub places: u8,
    /// The clock that windows are of.
    pub(crate) zone: TimeZone,
    /// The stages.
    pub(crate) stages: Vec<Stage>,
}

/// A stage of a tariff.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// The registers that it is about.
    pub(crate) elements: Vec<ElementPattern>,
    /// The unit that the price is for, as the tariff writes it.
    pub unit: String,
    /// The same without its prefix.
    pub(crate) base: Unit,
    /// The power of ten of its prefix.
    pub(crate) power: i8,
    /// What one unit costs.
    pub price: Decimal,
    windows: Vec<Window>,
}

#[derive(Debug, Clone)]
struct Window {
    days: Vec<Weekday>,
    from: Minute,
    to: Minute,
}

/// A minute of the day, up to 24:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Minute(i16);

impl Minute {
    const END: Self = Self(24 * 60);

    fn parse(text: &str) -> Option<Self> {
        let (hours, minutes) = text.split_once(':')?;
        let digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(hours) || !digits(minutes) {
            return None;
        }
        let (hours, minutes): (i16, i16) = (hours.parse().ok()?, minutes.parse().ok()?);
        let minute = Self(hours.checked_mul(60)?.checked_add(minutes)?);
        (minutes < 60 && minute <= Self::END).then_some(minute)
    }

    fn of(time: Time) -> Self {
        Self(
            i16::from(time.hour())
                .saturating_mul(60)
                .saturating_add(i16::from(time.minute())),
        )
    }
}

impl Tariff {
    /// Takes a tariff as it is written down; `zone_of` finds a time zone by its name.
    ///
    /// # Errors
    ///
    /// [`TariffError`] names what is wrong in it.
    pub fn new(
        document: TariffDocument,
        zone_of: impl FnOnce(&str) -> Option<TimeZone>,
    ) -> Result<Self, TariffError> {
        if document.stage.is_empty() || document.stage.len() > MAX_STAGES {
            return Err(TariffError::Stages);
        }
        if document.places > MAX_PLACES {
            return Err(TariffError::Places);
        }
        let has_windows = document.stage.iter().any(|stage| !stage.windows.is_empty());
        let zone = match document.time_zone {
            Some(name) => zone_of(&name).ok_or(TariffError::Zone { name })?,
            None if has_windows => return Err(TariffError::NoZone),
            None => TimeZone::UTC,
        };
        let stages = document.stage.into_iter().map(Stage::try_from);
        Ok(Self {
            currency: document.currency,
            places: document.places,
            zone,
            stages: stages.collect::<Result<_, _>>()?,
        })
    }

    /// Returns the clock of the meters.
    #[must_use]
    pub const fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Returns the stages that a register has a part in.
    #[must_use]
    pub fn stages_of(&self, element: &Element) -> Vec<&Stage> {
        let stages = self.stages.iter();
        stages
            .filter(|stage| stage.elements.iter().any(|pattern| pattern.matches(element)))
            .collect()
    }
}

impl TryFrom<StageDocument> for Stage {
    type Error = TariffError;

    fn try_from(raw: StageDocument) -> Result<Self, TariffError> {
        let (base, power) = unit(&raw.unit).ok_or_else(|| TariffError::Unit {
            stage: raw.name.clone(),
            unit: raw.unit.clone(),
        })?;
        if raw.windows.len() > MAX_STAGES {
            return Err(TariffError::Stages);
        }
        let windows = raw.windows.iter().map(|window| {
            let (from, to) = (Minute::parse(&window.from)?, Minute::parse(&window.to)?);
            let days: Vec<Weekday> = window.days.iter().map(|day| weekday(*day)).collect();
            (from != to && from < Minute::END && !days.is_empty()).then_some(Window { days, from, to })
        });
        let windows = windows
            .collect::<Option<_>>()
            .ok_or_else(|| TariffError::Window {
                stage: raw.name.clone(),
            })?;
        Ok(Self {
            name: raw.name,
            elements: raw.elements,
            unit: raw.unit,
            base,
            power,
            price: raw.price,
            windows,
        })
    }
}

/// Reads a unit with its prefix: kWh is 10³ Wh.
fn unit(text: &str) -> Option<(Unit, i8)> {
    if let Ok(unit) = text.parse() {
        return Some((unit, 0));
    }
    let prefixes = [('k', 3), ('M', 6), ('G', 9)];
    prefixes.into_iter().find_map(|(prefix, power)| {
        let unit = text.strip_prefix(prefix)?.parse().ok()?;
        Some((unit, power))
    })
}

const fn weekday(day: Day) -> Weekday {
    match day {
        Day::Monday => Weekday::Monday,
        Day::Tuesday => Weekday::Tuesday,
        Day::Wednesday => Weekday::Wednesday,
        Day::Thursday => Weekday::Thursday,
        Day::Friday => Weekday::Friday,
        Day::Saturday => Weekday::Saturday,
        Day::Sunday => Weekday::Sunday,
    }
}

impl Stage {
    /// Returns whether the stage holds for windows of the local time only.
    pub(crate) const fn has_windows(&self) -> bool {
        !self.windows.is_empty()
    }

    /// Returns whether one of the stage's windows is open at a time.
    pub(crate) fn is_open(&self, zone: &TimeZone, time: Timestamp) -> bool {
        let Some(local) = local(zone, time) else {
            return false;
        };
        let (today, minute) = (local.weekday(), Minute::of(local.time()));
        let yesterday = today.previous();
        self.windows.iter().any(|window| {
            if window.from < window.to {
                return window.days.contains(&today) && window.from <= minute && minute < window.to;
            }
            // It goes on past midnight, and belongs to the day on which it has begun.
            (window.days.contains(&today) && minute >= window.from)
                || (window.days.contains(&yesterday) && minute < window.to)
        })
    }

    /// Returns the times of the day at which windows begin and end.
    pub(crate) fn edges(&self) -> impl Iterator<Item = Time> {
        let minutes = self.windows.iter().flat_map(|window| [window.from, window.to]);
        minutes.filter_map(|Minute(minute)| {
            let hour = i8::try_from(minute.checked_div(60)?.checked_rem(24)?).ok()?;
            let minute = i8::try_from(minute.checked_rem(60)?).ok()?;
            Time::new(hour, minute, 0, 0).ok()
        })
    }
}

/// Returns what the clock of a place shows.
pub(crate) fn local(zone: &TimeZone, time: Timestamp) -> Option<jiff::civil::DateTime> {
    let time = jiff::Timestamp::from_second(time.unix_seconds()).ok()?;
    Some(zone.to_datetime(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tariff(stage: serde_json::Value, zone: Option<&str>) -> Result<Tariff, TariffError> {
        let document = serde_json::json!({
            "currency": "EUR", "places": 2, "time_zone": zone,
            "stage": [stage],
        });
        let document = serde_json::from_value(document).unwrap();
        Tariff::new(document, |name| TimeZone::get(name).ok())
    }

    fn with(more: serde_json::Value) -> Result<Tariff, TariffError> {
        let mut stage = serde_json::json!({
            "name": "day", "elements": ["*/1-0:1.8.0*255"], "price": "0.30", "unit": "kWh",
        });
        for (key, value) in more.as_object().unwrap() {
            stage[key] = value.clone();
        }
        tariff(stage, Some("Europe/Berlin"))
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn windows_follow_the_clock_of_the_place() {
        let window = serde_json::json!({"days": ["monday"], "from": "22:00", "to": "06:00"});
        let tariff = with(serde_json::json!({"windows": [window]})).unwrap();
        let [stage] = tariff.stages.as_slice() else {
            panic!()
        };
        // Monday, 5 January 2026, winter time: UTC+1. Monday, 6 July 2026, summer time: UTC+2.
        for (time, open) in [
            ("2026-01-05T20:59:00Z", false),
            ("2026-01-05T21:00:00Z", true),
            ("2026-01-06T04:59:59Z", true),
            ("2026-01-06T05:00:00Z", false),
            ("2026-01-05T00:00:00Z", false),
            ("2026-07-06T20:00:00Z", true),
            ("2026-07-07T04:00:00Z", false),
        ] {
            assert_eq!(stage.is_open(tariff.zone(), at(time)), open, "{time}");
        }
    }

    #[test]
    fn units_have_prefixes() {
        assert_eq!(unit("kWh"), Some((Unit::WattHour, 3)));
        assert_eq!(unit("m3"), Some((Unit::CubicMetre, 0)));
        assert_eq!(unit("MJ"), Some((Unit::Joule, 6)));
        assert_eq!(unit("xWh"), None);
    }

    #[test]
    fn tariffs_that_are_none_are_named() {
        use serde_json::json;
        let unit = with(json!({"unit": "kWx"}));
        assert!(matches!(unit, Err(TariffError::Unit { .. })));
        for (from, to) in [
            ("22:00", "25:00"),
            ("6:00", "22:00"),
            ("24:00", "06:00"),
            ("06:00", "06:00"),
        ] {
            let window = with(json!({"windows": [{"from": from, "to": to}]}));
            assert!(matches!(window, Err(TariffError::Window { .. })), "{from}");
        }
        let strange = json!({"currency": "EUR", "places": 2, "stage": [], "colour": 1});
        assert!(serde_json::from_value::<TariffDocument>(strange).is_err());
        let document = |places, stage| TariffDocument {
            currency: "EUR".to_owned(),
            places,
            time_zone: None,
            stage,
        };
        let none = Tariff::new(document(2, Vec::new()), |_| None);
        assert_eq!(none.unwrap_err(), TariffError::Stages);
        let stage = json!({
            "name": "n", "elements": ["*"], "unit": "kWh", "price": "1", "windows": [{"from": "00:00", "to": "24:00"}],
        });
        let stage: StageDocument = serde_json::from_value(stage).unwrap();
        let no_zone = Tariff::new(document(2, vec![stage.clone()]), |_| None);
        assert_eq!(no_zone.unwrap_err(), TariffError::NoZone);
        let places = Tariff::new(document(10, vec![stage.clone()]), |_| None);
        assert_eq!(places.unwrap_err(), TariffError::Places);
        let stage = serde_json::to_value(&stage).unwrap();
        let zone = tariff(stage, Some("Europe/Atlantis"));
        assert!(matches!(zone, Err(TariffError::Zone { .. })));
    }
}
