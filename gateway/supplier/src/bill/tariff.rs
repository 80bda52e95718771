//! The tariff: what a unit costs in which stage, and when each stage holds.
//!
//! A stage holds for registers of its own, or for windows of the local time. The clock of the meter's place decides, with
//! its summer time; the rules of time zones are those that this program was built with.

use std::path::{Path, PathBuf};

use counterparty::files::{self, FileError};
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use model::{Decimal, Element, ElementPattern, Timestamp, Unit};
use serde::Deserialize;

/// The greatest size of a tariff file in bytes.
const MAX_FILE: usize = 64 * 1_024;
/// How many stages a tariff has at most, and how many windows a stage.
const MAX_STAGES: usize = 64;
/// How many places behind the point an amount has at most.
const MAX_PLACES: u8 = 9;

/// The reason why a tariff cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TariffError {
    /// The file cannot be read.
    #[error("the tariff cannot be read")]
    File(#[from] FileError),
    /// The file is no tariff.
    #[error("{} is no tariff; the supplier's README has an example", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Why not, with line and key.
        #[source]
        source: Box<toml::de::Error>,
    },
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTariff {
    currency: String,
    places: u8,
    time_zone: Option<String>,
    stage: Vec<RawStage>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStage {
    name: String,
    elements: Vec<ElementPattern>,
    unit: String,
    price: Decimal,
    #[serde(default)]
    windows: Vec<RawWindow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWindow {
    #[serde(default = "every_day")]
    days: Vec<Day>,
    from: String,
    to: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

const ALL_DAYS: [Day; 7] = [
    Day::Monday,
    Day::Tuesday,
    Day::Wednesday,
    Day::Thursday,
    Day::Friday,
    Day::Saturday,
    Day::Sunday,
];

fn every_day() -> Vec<Day> {
    ALL_DAYS.to_vec()
}

/// A tariff.
#[derive(Debug, Clone)]
pub struct Tariff {
    /// The currency of prices and amounts.
    pub currency: String,
    /// How many places behind the point an amount has.
    pub places: u8,
    /// The clock that windows are of.
    pub(super) zone: TimeZone,
    /// The stages.
    pub(super) stages: Vec<Stage>,
}

/// A stage of a tariff.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// The registers that it is about.
    pub(super) elements: Vec<ElementPattern>,
    /// The unit that the price is for, as the tariff writes it.
    pub unit: String,
    /// The same without its prefix.
    pub(super) base: Unit,
    /// The power of ten of its prefix.
    pub(super) power: i8,
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
    /// Reads a tariff.
    ///
    /// # Errors
    ///
    /// [`TariffError`] names what is wrong in it.
    pub fn read(path: &Path) -> Result<Self, TariffError> {
        let text = files::read_text(path, MAX_FILE)?;
        Self::parse(&text, path)
    }

    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, TariffError> {
        let raw: RawTariff = toml::from_str(text).map_err(|source| TariffError::Form {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        if raw.stage.is_empty() || raw.stage.len() > MAX_STAGES {
            return Err(TariffError::Stages);
        }
        if raw.places > MAX_PLACES {
            return Err(TariffError::Places);
        }
        let has_windows = raw.stage.iter().any(|stage| !stage.windows.is_empty());
        let zone = match &raw.time_zone {
            Some(name) => zone(name)?,
            None if has_windows => return Err(TariffError::NoZone),
            None => TimeZone::UTC,
        };
        let stages = raw.stage.into_iter().map(Stage::try_from);
        Ok(Self {
            currency: raw.currency,
            places: raw.places,
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
    pub(super) fn stages_of(&self, element: &Element) -> Vec<&Stage> {
        let stages = self.stages.iter();
        stages
            .filter(|stage| stage.elements.iter().any(|pattern| pattern.matches(element)))
            .collect()
    }
}

/// Returns a time zone by its name.
///
/// # Errors
///
/// [`TariffError::Zone`] if there is none of this name.
pub fn zone(name: &str) -> Result<TimeZone, TariffError> {
    TimeZone::get(name).map_err(|_| TariffError::Zone {
        name: name.to_owned(),
    })
}

impl TryFrom<RawStage> for Stage {
    type Error = TariffError;

    fn try_from(raw: RawStage) -> Result<Self, TariffError> {
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
    pub(super) const fn has_windows(&self) -> bool {
        !self.windows.is_empty()
    }

    /// Returns whether one of the stage's windows is open at a time.
    pub(super) fn is_open(&self, zone: &TimeZone, time: Timestamp) -> bool {
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
    pub(super) fn edges(&self) -> impl Iterator<Item = Time> {
        let minutes = self.windows.iter().flat_map(|window| [window.from, window.to]);
        minutes.filter_map(|Minute(minute)| {
            let hour = i8::try_from(minute.checked_div(60)?.checked_rem(24)?).ok()?;
            let minute = i8::try_from(minute.checked_rem(60)?).ok()?;
            Time::new(hour, minute, 0, 0).ok()
        })
    }
}

/// Returns what the clock of a place shows.
pub(super) fn local(zone: &TimeZone, time: Timestamp) -> Option<jiff::civil::DateTime> {
    let time = jiff::Timestamp::from_second(time.unix_seconds()).ok()?;
    Some(zone.to_datetime(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Tariff, TariffError> {
        Tariff::parse(text, Path::new("tariff.toml"))
    }

    fn with(stage: &str) -> Result<Tariff, TariffError> {
        parse(&format!(
            "currency = \"EUR\"\nplaces = 2\ntime_zone = \"Europe/Berlin\"\n[[stage]]\nname = \"day\"\n\
             elements = [\"*/1-0:1.8.0*255\"]\nprice = \"0.30\"\n{stage}"
        ))
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn windows_follow_the_clock_of_the_place() {
        let tariff =
            with("unit = \"kWh\"\nwindows = [{ days = [\"monday\"], from = \"22:00\", to = \"06:00\" }]")
                .unwrap();
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
        assert!(matches!(with("unit = \"kWx\""), Err(TariffError::Unit { .. })));
        for window in [
            "from = \"22:00\", to = \"25:00\"",
            "from = \"6:00\", to = \"22:00\"",
            "from = \"24:00\", to = \"06:00\"",
            "from = \"06:00\", to = \"06:00\"",
        ] {
            let stage = format!("unit = \"kWh\"\nwindows = [{{ {window} }}]");
            assert!(
                matches!(with(&stage), Err(TariffError::Window { .. })),
                "{window}"
            );
        }
        assert!(matches!(
            with("unit = \"kWh\"\ncolour = 1"),
            Err(TariffError::Form { .. })
        ));
        assert!(matches!(
            with("unit = \"kWh\"\nprice = 0.3"),
            Err(TariffError::Form { .. })
        ));
        assert!(matches!(
            parse("currency = \"EUR\"\nplaces = 2\nstage = []"),
            Err(TariffError::Stages)
        ));
        assert!(matches!(zone("Europe/Atlantis"), Err(TariffError::Zone { .. })));
        let text = "currency = \"EUR\"\nplaces = 2\n[[stage]]\nname = \"n\"\nelements = [\"*\"]\nunit = \"kWh\"\nprice = \"1\"\n\
                    windows = [{ from = \"00:00\", to = \"24:00\" }]";
        assert!(matches!(parse(text), Err(TariffError::NoZone)));
        assert!(matches!(
            parse(&text.replace("places = 2", "places = 10")),
            Err(TariffError::Places)
        ));
        assert!(matches!(
            Tariff::read(Path::new("/nowhere")),
            Err(TariffError::File(_))
        ));
    }
}
