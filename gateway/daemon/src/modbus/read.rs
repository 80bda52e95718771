//! `smgw modbus read`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bus::{ModbusEndpoint, ModbusException, ModbusMaster, ModbusReading, ModbusStation, PollError, Proof};
use clap::Args;
use modbus::{Block, DecodedValue, Profile, Register, UnitIds, UnitSource, ValueFault};
use model::{Medium, Obis, Status};
use serde::Serialize;

use super::source;
use crate::cli::{CONFIGURATION, fail};
use crate::mbus::session::{
    BAD_ANSWER, End, end_progress, failure, print, say, show_progress, until_cancelled,
};
use crate::report::Chain;

/// Reads a meter by its profile and shows its values.
///
/// First the meter is asked whether it is of the profile's family; one that is another one is named, and not read.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done, 2 wrong usage, 3 the meter did not answer, or not well, or is another one, 69 the line or host cannot be reached, 78 no such profile, or none of that unit, 130 cancelled by Ctrl-C.\nWith --json: schema smgw.modbus.read/1, whatever the exit code but 2 and 78."
)]
pub(crate) struct Options {
    /// Where the meter is: tcp:HOST:PORT, rtu:DEVICE:BAUD:8E1 such as rtu:/dev/ttyUSB0:9600:8E1, or rtutcp:HOST:PORT for RTU over TCP.
    #[arg(value_name = "ENDPOINT")]
    endpoint: ModbusEndpoint,
    /// What the meter has in its registers: a built-in profile, or the path of a TOML file.
    #[arg(long, value_name = "NAME")]
    profile: String,
    /// The meter's unit, one of its profile; 0 and 255 too for a host on TCP that is the meter itself.
    #[arg(long, value_name = "N", value_parser = unit)]
    unit: u8,
    /// How long an answer can take, in milliseconds, instead of what the profile says.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    timeout_ms: Option<u64>,
    /// Read though the unit is none of the profile, and do not ask the meter what it is.
    #[arg(long)]
    force: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Takes a unit that an endpoint can have; 248 to 254 are reserved.
fn unit(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(unit @ (0..=247 | 255)) => Ok(unit),
        _ => Err(
            "a unit lies between 1 and 247; 0 or 255 is a host on TCP that is the meter itself".to_owned(),
        ),
    }
}

/// The reason why a meter cannot have a unit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum UnitError {
    /// On a line, 0 is for all meters at once, and 255 for none.
    #[error("unit {unit} is a host on TCP that is the meter itself; meters on a line have 1 to 247")]
    Line { unit: u8 },
    /// The profile's meters have others.
    #[error(
        "unit {unit} is none of {profile}, whose meters have {first} to {last}; --force reads it all the same"
    )]
    Profile {
        unit: u8,
        profile: String,
        first: u8,
        last: u8,
    },
}

/// Checks whether a meter of the profile can have the unit at the endpoint.
fn check_unit(options: &Options, profile: &Profile) -> Result<(), UnitError> {
    let unit = options.unit;
    let UnitIds { first, last } = profile.unit_ids();
    match options.endpoint {
        // It is of no account there: the host is the meter.
        ModbusEndpoint::Tcp { .. } if unit == 0 || unit == UnitIds::OWN_SERVER => Ok(()),
        ModbusEndpoint::Rtu { .. } | ModbusEndpoint::RtuOverTcp { .. }
            if !UnitIds::SERIAL_LINE.contains(unit) =>
        {
            Err(UnitError::Line { unit })
        }
        _ if options.force || profile.unit_ids().contains(unit) => Ok(()),
        _ => Err(UnitError::Profile {
            unit,
            profile: profile.name().to_owned(),
            first,
            last,
        }),
    }
}

/// What is shown of a meter.
#[derive(Debug, Serialize)]
struct Shown {
    schema: &'static str,
    profile: String,
    endpoint: String,
    unit_id: u8,
    /// Who the meter says it is.
    meter: Option<String>,
    medium: Medium,
    /// Whether the meter says that it is of the profile's family: fits, unproven if nothing tells the family
    /// apart, refused or silent if the meter does not show it, mismatch, or skipped; nothing without an answer.
    identification: Option<&'static str>,
    elements: Vec<Element>,
    /// Requests that went over the wire, repetitions included.
    requests: u64,
    /// Requests among them that repeated an earlier one.
    retries: u64,
    /// What went wrong, if not everything could be read.
    error: Option<String>,
}

/// A value, or the reason why there is none.
#[derive(Debug, Serialize)]
struct Element {
    obis: String,
    value: Option<String>,
    unit: Option<&'static str>,
    /// Whether the meter gave the value as a binary real, whose shortest decimal it is.
    float: bool,
    error: Option<String>,
}

pub(super) fn run(options: &Options) -> ExitCode {
    let profile = match source::load(&options.profile) {
        Ok(profile) => Arc::new(profile),
        Err(error) => return fail(CONFIGURATION, &error),
    };
    if let Err(error) = check_unit(options, &profile) {
        return fail(CONFIGURATION, &error);
    }
    let mut master = ModbusMaster::new(options.endpoint.clone());
    let mut station = ModbusStation::new(options.unit, Arc::clone(&profile));
    if let Some(longest) = options.timeout_ms {
        station = station.with_answer_timeout(Duration::from_millis(longest));
    }
    let mut reading = None;
    show_progress(&format!("reading unit {}", options.unit));
    let work = async {
        reading = Some(if options.force {
            master.read(&mut station).await?
        } else {
            master.read_identified(&mut station).await?
        });
        Ok(())
    };
    let end = match until_cancelled(work) {
        Ok(end) => end,
        Err(error) => return failure(&error),
    };
    end_progress();
    let counted = master.take_counters();
    let identification = match &end {
        End::Failed(PollError::OtherMeter(_)) => Some(MISMATCH),
        _ if reading.is_none() => None,
        _ => Some(identification(station.proof())),
    };
    if identification.is_some_and(|found| found == REFUSED || found == SILENT) {
        say(&format!(
            "smgw: the meter does not show whether it is one of {}",
            profile.name()
        ));
    }
    let mut shown = Shown {
        schema: SCHEMA,
        profile: profile.name().to_owned(),
        endpoint: options.endpoint.to_string(),
        unit_id: options.unit,
        meter: None,
        medium: profile.medium(),
        identification,
        elements: Vec::new(),
        requests: counted.requests,
        retries: counted.retries,
        error: None,
    };
    let is_sound = match (&reading, &end) {
        (Some(reading), _) => shown.take(reading),
        (None, End::Failed(error)) => shown.miss(&profile, error),
        (None, End::Done | End::Cancelled) => return end.exit_code(),
    };
    match print(&shown, options.json, Shown::text) {
        Ok(()) if end == End::Done && !is_sound => ExitCode::from(BAD_ANSWER),
        Ok(()) => end.exit_code(),
        Err(error) => failure(&error),
    }
}

const SCHEMA: &str = "smgw.modbus.read/1";
const MISMATCH: &str = "mismatch";
const REFUSED: &str = "refused";
const SILENT: &str = "silent";

fn identification(proof: Option<Proof>) -> &'static str {
    match proof {
        Some(Proof::Fits) => "fits",
        Some(Proof::Unproven) => "unproven",
        Some(Proof::Refused { .. }) => REFUSED,
        Some(Proof::Silent) => SILENT,
        None => "skipped",
    }
}

impl Shown {
    /// Takes what was read; returns whether nothing went wrong.
    fn take(&mut self, reading: &ModbusReading) -> bool {
        let ModbusReading {
            profile,
            image,
            fault,
            ..
        } = reading;
        self.meter = profile.identity(image).ok().map(|meter| meter.to_string());
        let values = profile.values(image).into_iter();
        self.elements = values.map(|decoded| Element::of(reading, &decoded)).collect();
        self.error = fault.as_ref().map(|fault| Chain(fault).to_string());
        fault.is_none()
    }

    /// Shows that nothing was read; returns that it did not go well.
    fn miss(&mut self, profile: &Profile, error: &PollError) -> bool {
        let (gap, text) = (error.gap_reason(), Chain(error).to_string());
        self.elements = profile
            .codes()
            .map(|obis| Element::without_value(obis, format!("{gap}: {text}")))
            .collect();
        self.error = Some(text);
        false
    }

    fn text(&self) -> String {
        let meter = self.meter.as_deref().unwrap_or("-");
        let mut text = format!(
            "{} unit {}: {meter} ({}), {} requests\n",
            self.profile, self.unit_id, self.medium, self.requests
        );
        for element in &self.elements {
            // What holds of the whole meter is said once.
            let own = element.error.as_deref().map(|error| {
                let common = self
                    .error
                    .as_deref()
                    .and_then(|common| error.strip_suffix(common));
                common.map_or(error, |gap| gap.trim_end_matches([':', ' ']))
            });
            let value = element.value.as_deref().or(own);
            let line = format!(
                "  {:<20} {} {}",
                element.obis,
                value.unwrap_or("-"),
                element.unit.unwrap_or_default()
            );
            text.push_str(line.trim_end());
            text.push('\n');
        }
        if let Some(error) = &self.error {
            text.push_str("not everything could be read: ");
            text.push_str(error);
            text.push('\n');
        }
        text
    }
}

impl Element {
    fn of(reading: &ModbusReading, decoded: &DecodedValue) -> Self {
        match decoded.value {
            Ok(quantity) => Self {
                obis: decoded.obis.to_string(),
                value: Some(quantity.value.to_string()),
                unit: Some(quantity.unit.symbol()),
                float: decoded.status == Status::FROM_FLOAT,
                error: None,
            },
            Err(fault) => {
                let gap = fault.gap_reason();
                let text = match (fault, cause(reading, decoded.obis)) {
                    (ValueFault::Refused { code }, _) => {
                        format!("the meter refused the register: {}", ModbusException::new(code))
                    }
                    (ValueFault::NotRead(_), Some(error)) => Chain(error).to_string(),
                    (fault, _) => fault.to_string(),
                };
                Self::without_value(decoded.obis, format!("{gap}: {text}"))
            }
        }
    }

    fn without_value(obis: Obis, error: String) -> Self {
        Self {
            obis: obis.to_string(),
            value: None,
            unit: None,
            float: false,
            error: Some(error),
        }
    }
}

/// Returns why the registers of an element were not read: its own, or the first that it needs.
fn cause(reading: &ModbusReading, obis: Obis) -> Option<&PollError> {
    let profile = &reading.profile;
    let parts = profile.totals().iter().find(|total| total.obis == obis);
    let codes = parts.map_or_else(|| vec![obis], |total| total.of.clone());
    let registers = profile.registers().iter();
    let needed = registers.filter(|register| register.codes().any(|code| codes.contains(&code)));
    needed
        .flat_map(|register| blocks(profile, register))
        .find_map(|block| reading.cause(block))
}

/// Returns the registers that a value is made of.
fn blocks(profile: &Profile, register: &Register) -> Vec<Block> {
    let scaling = &register.scaling;
    let unit = match register.unit {
        UnitSource::Fixed(_) => None,
        UnitSource::From(index) => Some(index),
    };
    let parameters = scaling.times.iter().chain(&scaling.over).copied();
    let parameters = parameters.chain(scaling.power_from).chain(unit);
    let parameters = parameters.filter_map(|index| profile.parameters().get(index));
    let fraction = register.fraction.iter().map(|fraction| fraction.field.block());
    [register.field.block()]
        .into_iter()
        .chain(fraction)
        .chain(parameters.map(|parameter| parameter.field.block()))
        .collect()
}

#[cfg(test)]
mod tests {
    use modbus::RegisterImage;
    use model::GapReason;

    use super::*;

    fn shown(profile: &Profile) -> Shown {
        Shown {
            schema: SCHEMA,
            profile: profile.name().to_owned(),
            endpoint: "tcp:127.0.0.1:502".to_owned(),
            unit_id: 1,
            meter: None,
            medium: profile.medium(),
            identification: Some("unproven"),
            elements: Vec::new(),
            requests: 1,
            retries: 0,
            error: None,
        }
    }

    fn gas() -> Profile {
        Profile::parse(modbus::built_in("wirenboard-mcm8-gas").unwrap()).unwrap()
    }

    fn reading(words: Option<&[u16]>) -> ModbusReading {
        let profile = Arc::new(gas());
        let block: Block = profile.blocks()[0];
        let mut image = RegisterImage::new();
        match words {
            Some(words) => image.insert(block, words).unwrap(),
            None => image.refuse(block, 2),
        }
        ModbusReading {
            profile,
            image,
            fault: None,
            absent: Vec::new(),
            has_statics: true,
        }
    }

    #[test]
    fn a_value_is_a_decimal_string() {
        let mut shown = shown(&gas());
        assert!(shown.take(&reading(Some(&[1, 0xE240]))));
        let document = serde_json::to_value(&shown).unwrap();
        let element = &document["elements"][0];
        assert_eq!(element["obis"], "7-0:3.0.0*255");
        assert_eq!(element["value"], "1234.56");
        assert_eq!(element["unit"], "m3");
        assert!(element["error"].is_null());
        assert_eq!(document["requests"], 1);
        assert!(
            shown.text().contains("  7-0:3.0.0*255        1234.56 m3\n"),
            "{}",
            shown.text()
        );
    }

    #[test]
    fn a_refused_register_names_the_exception() {
        let mut shown = shown(&gas());
        assert!(shown.take(&reading(None)));
        assert_eq!(shown.elements[0].value, None);
        assert_eq!(
            shown.elements[0].error.as_deref(),
            Some("not-available: the meter refused the register: illegal data address (2)")
        );
    }

    #[test]
    fn every_element_of_a_silent_meter_has_the_reason() {
        let mut shown = shown(&gas());
        let error = PollError::NoAnswer { tries: 3 };
        assert_eq!(error.gap_reason(), GapReason::NoAnswer);
        assert!(!shown.miss(&gas(), &error));
        assert_eq!(
            shown.elements[0].error.as_deref(),
            Some("no-answer: the meter did not answer, 3 tries were made")
        );
        assert!(
            shown
                .text()
                .contains("not everything could be read: the meter did not answer")
        );
    }

    #[test]
    fn units_are_those_of_modbus() {
        assert_eq!(unit("247"), Ok(247));
        assert_eq!((unit("255"), unit("0")), (Ok(255), Ok(0)));
        for text in ["-1", "248", "256", "x"] {
            assert!(unit(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_unit_is_one_of_the_profile_or_the_host_itself() {
        let text = modbus::built_in("wirenboard-mcm8-gas").unwrap();
        let text = format!("unit_ids = {{ first = 1, last = 32 }}\n{text}");
        let profile = Profile::parse(&text).unwrap();
        let check = |endpoint: &str, unit, force| {
            let options = Options {
                endpoint: endpoint.parse().unwrap(),
                profile: String::new(),
                unit,
                timeout_ms: None,
                force,
                json: false,
            };
            check_unit(&options, &profile)
        };
        let (tcp, line) = ("tcp:127.0.0.1:502", "rtu:/dev/ttyUSB0:9600:8E1");
        for unit in [0, 1, 32, 255] {
            assert_eq!(check(tcp, unit, false), Ok(()));
        }
        for unit in [0, 255] {
            assert_eq!(check(line, unit, true), Err(UnitError::Line { unit }));
        }
        for endpoint in [tcp, line] {
            let error = check(endpoint, 33, false).unwrap_err().to_string();
            assert!(error.contains("1 to 32") && error.contains("--force"), "{error}");
            assert_eq!(check(endpoint, 33, true), Ok(()));
        }
    }

    #[test]
    fn values_of_a_request_that_failed_have_its_cause() {
        let mut reading = reading(None);
        let block = reading.profile.blocks()[0];
        reading.image = RegisterImage::new();
        reading.image.miss(block, GapReason::NoAnswer);
        let error = PollError::NoAnswer { tries: 3 };
        reading.absent = vec![(block, error.clone())];
        reading.fault = Some(error);
        let mut shown = shown(&gas());
        assert!(!shown.take(&reading));
        assert_eq!(
            shown.elements[0].error.as_deref(),
            Some("no-answer: the meter did not answer, 3 tries were made")
        );
    }
}
