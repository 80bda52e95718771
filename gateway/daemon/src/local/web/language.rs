//! The language of a page, and how it writes numbers and times.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;
use model::{Decimal, Obis, Quantity, Timestamp, Unit};

use super::catalogue::{ENGLISH, GERMAN, Words};
use super::headers::cookie;
use super::zone::Zone;
use crate::codes;

/// The cookie that says which language was chosen.
pub(super) const COOKIE: &str = "smgw-language";
/// The most languages of a browser that are looked at.
const MOST_LANGUAGES: usize = 16;

/// A language of the local web.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    German,
    English,
}

/// What a code of the catalogue stands for, in one language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CodeText {
    pub(super) cause: &'static str,
    pub(super) remedy: &'static str,
}

impl Language {
    /// Returns the language that was chosen, else the first of the browser's that there is, else English.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let chosen = cookie(headers, COOKIE).and_then(Self::parse);
        let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|text| text.to_str().ok());
        chosen.unwrap_or_else(|| accepted.map_or(Self::English, Self::accepted))
    }

    /// Reads `de` or `en`.
    pub(crate) fn parse(code: &str) -> Option<Self> {
        match code {
            "de" => Some(Self::German),
            "en" => Some(Self::English),
            _ => None,
        }
    }

    /// Chooses by `Accept-Language` (RFC 9110, section 12.5.4); of languages with one weight the first counts.
    fn accepted(text: &str) -> Self {
        let languages = text.split(',').take(MOST_LANGUAGES);
        let known = languages.filter_map(|entry| {
            let (range, parameters) = entry.split_once(';').unwrap_or((entry, ""));
            let code = range.trim().get(..2)?.to_ascii_lowercase();
            let weight = parameters
                .trim()
                .strip_prefix("q=")
                .map_or(Some(1_000), permille)?;
            Some((Self::parse(&code)?, weight))
        });
        let best = known
            .filter(|(_, weight)| *weight > 0)
            .reduce(|best, other| if other.1 > best.1 { other } else { best });
        best.map_or(Self::English, |(language, _)| language)
    }

    /// Returns the code for `lang`.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::German => "de",
            Self::English => "en",
        }
    }

    /// Returns the other one.
    pub(super) const fn other(self) -> Self {
        match self {
            Self::German => Self::English,
            Self::English => Self::German,
        }
    }

    /// Returns cause and remedy of a code of the catalogue in this language.
    pub(super) fn of_code(self, code: &str) -> Option<CodeText> {
        let code = codes::find(code)?;
        let (cause, remedy) = match self {
            Self::German => code.german(),
            Self::English => (code.cause, code.remedy),
        };
        Some(CodeText { cause, remedy })
    }

    /// Chooses the text in this language.
    pub(super) const fn choose(self, [german, english]: [&'static str; 2]) -> &'static str {
        match self {
            Self::German => german,
            Self::English => english,
        }
    }

    /// Returns the texts.
    pub(super) const fn words(self) -> &'static Words {
        match self {
            Self::German => &GERMAN,
            Self::English => &ENGLISH,
        }
    }

    /// Writes a number: with a decimal comma in German.
    pub(super) fn number(self, value: Decimal) -> String {
        let text = value.to_string();
        match self {
            Self::German => text.replace('.', ","),
            Self::English => text,
        }
    }

    /// Writes a quantity in the unit that people use, to the last digit.
    pub(super) fn quantity(self, quantity: Quantity) -> String {
        let (value, unit) = for_people(quantity);
        format!("{} {unit}", self.number(value))
    }

    /// Writes a time by the wall clock.
    pub(super) fn time(self, zone: &Zone, time: Timestamp) -> String {
        let clock = zone.wall_clock(time);
        let format = match self {
            Self::German => {
                let (day, month, year) = (clock.day(), clock.month(), clock.year());
                format!("{day:02}.{month:02}.{year} ")
            }
            Self::English => format!("{} ", clock.date()),
        };
        format!("{format}{:02}:{:02}", clock.hour(), clock.minute())
    }

    /// Says what an OBIS code measures, as far as there is a word for it, and the code itself.
    pub(super) fn measure(self, obis: Obis) -> String {
        let [medium, _, quantity, kind, tariff, _] = obis.groups();
        let words = self.words();
        let word = match (medium, quantity, kind) {
            (1, 1, 8) => Some(words.import),
            (1, 2, 8) => Some(words.export),
            (1, 1 | 16, 7) => Some(words.power),
            (5 | 6, 1, 0) => Some(words.energy),
            (7, 3, 0) | (8 | 9, 1, 0) | (5 | 6, 2, 0) => Some(words.volume),
            _ => None,
        };
        match word {
            Some(word) if tariff > 0 && kind == 8 => format!("{word}, {} {tariff} ({obis})", words.tariff),
            Some(word) => format!("{word} ({obis})"),
            None => obis.to_string(),
        }
    }

    /// Says how old something is.
    pub(super) fn age(self, now: Timestamp, time: Timestamp) -> String {
        let words = self.words();
        let seconds = now.seconds_since(time);
        match seconds {
            ..0 => words.from_the_future.to_owned(),
            0..120 => format!("{seconds} {}", words.seconds),
            120..7_200 => format!("{} {}", seconds.div_euclid(60), words.minutes),
            7_200..172_800 => format!("{} {}", seconds.div_euclid(3_600), words.hours),
            _ => format!("{} {}", seconds.div_euclid(86_400), words.days),
        }
    }
}

/// Reads a weight such as `0.8` in thousandths.
fn permille(text: &str) -> Option<u16> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or_else(|| (text.trim(), ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if fraction.len() > 3 || !digits(fraction) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1_000),
        _ => None,
    }
}

/// Returns the value in the unit that people use, exactly: kWh for Wh, MJ for J, and the signs that they know.
pub(super) fn for_people(quantity: Quantity) -> (Decimal, &'static str) {
    let Quantity { value, unit } = quantity;
    let scaled = |power, symbol| value.scaled_by(power).map(|value| (value, symbol));
    let known = match unit {
        Unit::WattHour => scaled(-3, "kWh"),
        Unit::VarHour => scaled(-3, "kvarh"),
        Unit::VoltAmpereHour => scaled(-3, "kVAh"),
        Unit::Joule => scaled(-6, "MJ"),
        Unit::CubicMetre => Some((value, "m³")),
        Unit::CubicMetrePerHour => Some((value, "m³/h")),
        Unit::DegreeCelsius => Some((value, "°C")),
        Unit::Degree => Some((value, "°")),
        Unit::One => Some((value, "")),
        Unit::Kilogram
        | Unit::Watt
        | Unit::Var
        | Unit::VoltAmpere
        | Unit::JoulePerHour
        | Unit::KilogramPerHour
        | Unit::Kelvin
        | Unit::Bar
        | Unit::Second
        | Unit::Volt
        | Unit::Ampere
        | Unit::Hertz => None,
    };
    known.unwrap_or_else(|| (value, unit.symbol()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::COOKIE as HEADER;

    use super::*;

    #[test]
    fn browser_chooses_and_the_switch_prevails() {
        for (text, language) in [
            ("de-DE,de;q=0.9,en;q=0.8", Language::German),
            ("en-GB,de;q=0.5", Language::English),
            ("fr,en;q=0.1,de;q=0.2", Language::German),
            ("fr", Language::English),
            ("de;q=0", Language::English),
            ("de;q=2,ü", Language::English),
            ("", Language::English),
        ] {
            assert_eq!(Language::accepted(text), language, "{text}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static("de"));
        assert_eq!(Language::of(&headers), Language::German);
        headers.insert(HEADER, HeaderValue::from_static("a=b; smgw-language=en"));
        assert_eq!(Language::of(&headers), Language::English);
    }

    #[test]
    fn numbers_and_times_are_written_as_people_do() {
        let value: Decimal = "1234567.8".parse().unwrap();
        let energy = Quantity {
            value,
            unit: Unit::WattHour,
        };
        assert_eq!(Language::German.quantity(energy), "1234,5678 kWh");
        assert_eq!(Language::English.quantity(energy), "1234.5678 kWh");
        let zone = Zone::central_europe();
        let time: Timestamp = "2026-07-01T22:05:00Z".parse().unwrap();
        assert_eq!(Language::German.time(&zone, time), "02.07.2026 00:05");
        assert_eq!(Language::English.time(&zone, time), "2026-07-02 00:05");
        let measure = |obis: &str| Language::German.measure(obis.parse().unwrap());
        assert_eq!(measure("1-0:1.8.0*255"), "Bezug (1-0:1.8.0*255)");
        assert_eq!(measure("1-0:2.8.2*255"), "Einspeisung, Tarif 2 (1-0:2.8.2*255)");
        assert_eq!(measure("7-0:3.0.0*255"), "Volumen (7-0:3.0.0*255)");
        assert_eq!(measure("1-0:32.7.0*255"), "1-0:32.7.0*255");
        let now: Timestamp = "2026-07-01T22:35:00Z".parse().unwrap();
        assert_eq!(Language::German.age(now, time), "30 min");
        assert_eq!(Language::English.age(time, now), "from the future");
    }
}
