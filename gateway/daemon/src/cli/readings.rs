//! `smgw readings`: registered values of the running gateway, as a table, as CSV or as JSON.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use model::{ElementPattern, ParseElementPatternError, ParseTimeError, Period, Span, Timestamp};
use serde_json::json;

use super::meter::find;
use super::{ConfigFile, FAILURE, REFUSED, UNAVAILABLE, fail, with_config};
use crate::clock;
use crate::config::Config;
use crate::local::control::{self, ControlError};
use crate::local::grants::Outcome;
use crate::local::readings::{DamagedView, PointView, PointsPage, READINGS, Wanted};

/// The name of the schema of a line and its version; additive within the version.
const SCHEMA: &str = "smgw.reading/1";
/// The exit code when some of what was asked for is damaged.
const DAMAGED: u8 = 3;
/// The first line of CSV.
const HEAD: &str = "time,meter,obis,value,unit,status,gap";

/// Options of `smgw readings`.
#[derive(Debug, Args)]
#[command(
    after_help = "Values are the consumer's: only root and the gateway's own user are answered.\n\nExit codes: 0 done, 1 failure or no such meter, 2 wrong usage, 3 done, and some of it is damaged, 69 no daemon answers, 77 refused, 78 wrong configuration."
)]
pub(super) struct ReadingsOptions {
    /// Only this meter, by its name or its identity.
    #[arg(long)]
    meter: Option<String>,
    /// Only these elements, as in M1/1-0:1.8.0*255 or */7-0:3.0.0*255; with --meter the code alone, as in 1-0:1.8.0*255.
    #[arg(long, visible_alias = "elements")]
    element: Option<String>,
    /// From when on, as in 2026-11-23T00:00:00Z; a day before the end, if it is not said.
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Until when, without that time itself; until now, if it is not said.
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// Only values at multiples of this, as in PT1H or P1D (in UTC).
    #[arg(long)]
    resolution: Option<Span>,
    /// How they are written.
    #[arg(long, value_enum, default_value_t = Format::Table, conflicts_with_all = ["json", "csv"])]
    format: Format,
    /// Print one JSON document a line (schema smgw.reading/1).
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print comma-separated values with a line of names at the top (RFC 4180).
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
}

/// The reason why values are not shown.
#[derive(Debug, thiserror::Error)]
enum ReadingsError {
    #[error("there is no meter {0:?} that has answered yet; smgw meter list names them")]
    Meter(String),
    #[error("--element {text:?} names no elements")]
    Element {
        text: String,
        #[source]
        source: ParseElementPatternError,
    },
    #[error("--from has to be before --to")]
    Period(#[from] ParseTimeError),
    #[error("the gateway cannot read its values: {0}")]
    Refused(String),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("the values cannot be written out")]
    Output(#[from] io::Error),
    #[error("a value cannot be written out")]
    Json(#[from] serde_json::Error),
}

impl ReadingsOptions {
    pub(super) fn run(self) -> ExitCode {
        let format = match (self.json, self.csv) {
            (true, _) => Format::Json,
            (false, true) => Format::Csv,
            (false, false) => self.format,
        };
        let file = self.file.config.clone();
        with_config(file, |config| {
            let wanted = self.wanted(&config, clock::now());
            let written = wanted.and_then(|wanted| write(&config.control_socket, wanted, format));
            match written {
                Ok(0) => ExitCode::SUCCESS,
                Ok(_) => ExitCode::from(DAMAGED),
                Err(ReadingsError::Control(error @ ControlError::NoDaemon { .. })) => {
                    fail(UNAVAILABLE, &error)
                }
                Err(ReadingsError::Control(error @ ControlError::NotPermitted { .. })) => {
                    fail(REFUSED, &error)
                }
                Err(error) => fail(FAILURE, &error),
            }
        })
    }

    fn wanted(&self, config: &Config, now: Timestamp) -> Result<Wanted, ReadingsError> {
        let id = match &self.meter {
            None => None,
            Some(name) => {
                let meter = find(config, name)?.and_then(|meter| meter.id);
                Some(meter.ok_or_else(|| ReadingsError::Meter(name.clone()))?)
            }
        };
        let id = id.as_ref().map(model::MeterId::as_str);
        Ok(Wanted {
            elements: pattern(id, self.element.as_deref())?,
            period: period(self.from, self.to, now)?,
            resolution: self.resolution,
        })
    }
}

/// Puts meter and elements together.
fn pattern(meter: Option<&str>, element: Option<&str>) -> Result<ElementPattern, ReadingsError> {
    let text = match (meter, element) {
        (None, None) => return Ok(ElementPattern::ANY),
        (None, Some(element)) => element.to_owned(),
        (Some(meter), None) => format!("{meter}/*"),
        // The code alone, or the code of any meter, is that of the one that is named.
        (Some(meter), Some(element)) => format!("{meter}/{}", element.strip_prefix("*/").unwrap_or(element)),
    };
    text.parse()
        .map_err(|source| ReadingsError::Element { text, source })
}

/// Fills in what is not said: until this second and with it, and a day before that.
fn period(from: Option<Timestamp>, to: Option<Timestamp>, now: Timestamp) -> Result<Period, ParseTimeError> {
    let second = Span::from_seconds(1);
    let to = to.unwrap_or_else(|| second.map_or(now, |second| now.saturating_add(second)));
    Period::new(from.unwrap_or_else(|| to.saturating_sub(Span::DAY)), to)
}

/// Asks for page after page, and writes them; returns how much is damaged. Each page begins behind the one before, so that
/// there is a last one.
fn write(socket: &Path, mut wanted: Wanted, format: Format) -> Result<usize, ReadingsError> {
    let mut output = BufWriter::new(io::stdout().lock());
    let mut damaged: usize = 0;
    if format == Format::Csv {
        write!(output, "{HEAD}\r\n")?;
    }
    loop {
        let page = match control::order(socket, READINGS, &wanted)? {
            Outcome::Done(page) => page,
            Outcome::Refused(reason) => return Err(ReadingsError::Refused(reason)),
        };
        let PointsPage {
            points,
            damaged: lost,
            rest,
        } = page;
        for point in &points {
            write_point(&mut output, point, format)?;
        }
        damaged = damaged.saturating_add(lost.len());
        output.flush()?;
        lost.iter().for_each(tell_damage);
        match rest.filter(|rest| rest.from() > wanted.period.from()) {
            Some(rest) => wanted.period = rest,
            None => return Ok(damaged),
        }
    }
}

fn write_point(output: &mut impl Write, point: &PointView, format: Format) -> Result<(), ReadingsError> {
    let PointView {
        meter, obis, time, ..
    } = point;
    let value = point.value.map(|value| value.to_string()).unwrap_or_default();
    let unit = point.unit.map(|unit| unit.to_string()).unwrap_or_default();
    let gap = point.gap.map(|gap| gap.to_string()).unwrap_or_default();
    match format {
        Format::Json => {
            let mut line = json!({ "schema": SCHEMA });
            if let (Some(line), serde_json::Value::Object(fields)) =
                (line.as_object_mut(), serde_json::to_value(point)?)
            {
                line.extend(fields);
            }
            writeln!(output, "{line}")?;
        }
        // Neither identities nor codes nor units have commas or quotes.
        Format::Csv => {
            let status = point.status.map(|status| status.bits().to_string());
            let status = status.unwrap_or_default();
            write!(output, "{time},{meter},{obis},{value},{unit},{status},{gap}\r\n")?;
        }
        Format::Table => {
            let (obis, shown) = (obis.to_string(), format!("{value}{gap}"));
            writeln!(
                output,
                "{time}  {:<20} {obis:<20} {shown:>18} {unit}",
                meter.as_str()
            )?;
        }
    }
    Ok(())
}

/// Says on standard error what is lost.
fn tell_damage(damaged: &DamagedView) {
    let element = damaged.element.as_deref().unwrap_or("some elements");
    let (from, to) = (damaged.period.from(), damaged.period.to());
    drop(writeln!(
        io::stderr(),
        "smgw: the values of {element} from {from} to {to} are damaged and lost"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meter_and_element_are_put_together() {
        for (meter, element, expected) in [
            (None, Some("*/1-0:1.8.0*255"), "*/1-0:1.8.0*255"),
            (Some("M1"), None, "M1/*"),
            (Some("M1"), Some("1-0:1.8.0*255"), "M1/1-0:1.8.0*255"),
            (Some("M1"), Some("*/1-0:1.8.0*255"), "M1/1-0:1.8.0*255"),
        ] {
            let expected: ElementPattern = expected.parse().unwrap();
            assert_eq!(pattern(meter, element).unwrap(), expected);
        }
        assert_eq!(pattern(None, None).unwrap(), ElementPattern::ANY);
        let error = pattern(None, Some("nonsense//")).unwrap_err();
        assert!(matches!(error, ReadingsError::Element { .. }));
    }

    #[test]
    fn period_ends_now_and_lasts_a_day_unless_it_is_said() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        let usual = period(None, None, now).unwrap();
        assert!(usual.contains(now));
        assert_eq!(usual.to().seconds_since(usual.from()), 86_400);
        let early = "2026-11-01T00:00:00Z".parse().unwrap();
        assert_eq!(period(Some(early), Some(now), now).unwrap().from(), early);
        assert!(period(Some(now), Some(early), now).is_err());
    }

    #[test]
    fn gap_is_a_reason_and_never_a_number() {
        let point = PointView {
            meter: "M1".parse().unwrap(),
            obis: "1-0:1.8.0*255".parse().unwrap(),
            time: "2026-11-30T12:00:00Z".parse().unwrap(),
            value: None,
            unit: None,
            status: None,
            gap: Some(model::GapReason::NoAnswer),
        };
        let written = |format| {
            let mut output = Vec::new();
            write_point(&mut output, &point, format).unwrap();
            String::from_utf8(output).unwrap()
        };
        assert_eq!(
            written(Format::Csv),
            "2026-11-30T12:00:00Z,M1,1-0:1.8.0*255,,,,no-answer\r\n"
        );
        let json: serde_json::Value = serde_json::from_str(&written(Format::Json)).unwrap();
        assert_eq!(
            (&json["schema"], &json["gap"]),
            (&SCHEMA.into(), &"no-answer".into())
        );
        assert!(json.get("value").is_none());
        assert!(written(Format::Table).contains("no-answer"));
    }
}
