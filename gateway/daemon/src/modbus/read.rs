//! `smgw modbus read`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bus::{ModbusEndpoint, ModbusException, ModbusMaster, ModbusReading, ModbusStation, PollError};
use clap::Args;
use modbus::{DecodedValue, Profile, Register, RegisterImage};
use model::{Medium, Obis, Status};
use serde::Serialize;

use super::source;
use crate::cli::{CONFIGURATION, fail};
use crate::mbus::session::{BAD_ANSWER, End, end_progress, failure, print, show_progress, until_cancelled};
use crate::report::Chain;

/// Reads a meter by its profile and shows its values.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done, 2 wrong usage, 3 the meter did not answer or not well, 69 the line or host cannot be reached, 78 no such profile, 130 cancelled by Ctrl-C.\nWith --json: schema smgw.modbus-read/1, whatever the exit code but 2 and 78."
)]
pub(crate) struct Options {
    /// Where the meter is: tcp:HOST:PORT, rtu:DEVICE:BAUD:8E1 such as rtu:/dev/ttyUSB0:9600:8E1, or rtutcp:HOST:PORT for RTU over TCP.
    #[arg(value_name = "ENDPOINT")]
    endpoint: ModbusEndpoint,
    /// What the meter has in its registers: a built-in profile, or the path of a TOML file.
    #[arg(long, value_name = "NAME")]
    profile: String,
    /// The meter's unit, 1 to 247; 255 for a meter that is its own TCP server.
    #[arg(long, value_name = "N", value_parser = unit)]
    unit: u8,
    /// How long an answer can take, in milliseconds, instead of what the profile says.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    timeout_ms: Option<u64>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

fn unit(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(unit @ (1..=247 | 255)) => Ok(unit),
        _ => Err("a unit lies between 1 and 247, or is 255".to_owned()),
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
    let mut master = ModbusMaster::new(options.endpoint.clone());
    let mut station = ModbusStation::new(options.unit, Arc::clone(&profile));
    if let Some(longest) = options.timeout_ms {
        station = station.with_answer_timeout(Duration::from_millis(longest));
    }
    let mut reading = None;
    show_progress(&format!("reading unit {}", options.unit));
    let work = async {
        reading = Some(master.read(&mut station).await?);
        Ok(())
    };
    let end = match until_cancelled(work) {
        Ok(end) => end,
        Err(error) => return failure(&error),
    };
    end_progress();
    let counted = master.take_counters();
    let mut shown = Shown {
        schema: "smgw.modbus-read/1",
        profile: profile.name().to_owned(),
        endpoint: options.endpoint.to_string(),
        unit_id: options.unit,
        meter: None,
        medium: profile.medium(),
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

impl Shown {
    /// Takes what was read; returns whether nothing went wrong.
    fn take(&mut self, reading: &ModbusReading) -> bool {
        let ModbusReading {
            profile,
            image,
            fault,
        } = reading;
        self.meter = profile.identity(image).ok().map(|meter| meter.to_string());
        let values = profile.values(image).into_iter();
        self.elements = values
            .map(|decoded| Element::of(profile, image, &decoded))
            .collect();
        self.error = fault.as_ref().map(|fault| Chain(fault).to_string());
        fault.is_none()
    }

    /// Shows that nothing was read; returns that it did not go well.
    fn miss(&mut self, profile: &Profile, error: &PollError) -> bool {
        let (gap, text) = (error.gap_reason(), Chain(error).to_string());
        let values = profile.values(&RegisterImage::new()).into_iter();
        self.elements = values
            .map(|decoded| Element::without_value(decoded.obis, format!("{gap}: {text}")))
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
            let value = element.value.as_deref().or(element.error.as_deref());
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
    fn of(profile: &Profile, image: &RegisterImage, decoded: &DecodedValue) -> Self {
        match decoded.value {
            Ok(quantity) => Self {
                obis: decoded.obis.to_string(),
                value: Some(quantity.value.to_string()),
                unit: Some(quantity.unit.symbol()),
                float: decoded.status == Status::FROM_FLOAT,
                error: None,
            },
            Err(gap) => {
                let refusal = refusal(profile, image, decoded.obis);
                let error = match refusal {
                    Some(exception) => format!("{gap}: the meter refused the register: {exception}"),
                    None => gap.to_string(),
                };
                Self::without_value(decoded.obis, error)
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

/// Returns the exception with which the meter has refused to show a value.
fn refusal(profile: &Profile, image: &RegisterImage, obis: Obis) -> Option<ModbusException> {
    let is_its = |register: &&Register| register.obis == obis || register.negative_obis == Some(obis);
    let register = profile.registers().iter().find(is_its)?;
    image.refusal(register.field.block()).map(ModbusException::new)
}

#[cfg(test)]
mod tests {
    use modbus::Block;
    use model::GapReason;

    use super::*;

    fn shown(profile: &Profile) -> Shown {
        Shown {
            schema: "smgw.modbus-read/1",
            profile: profile.name().to_owned(),
            endpoint: "tcp:127.0.0.1:502".to_owned(),
            unit_id: 1,
            meter: None,
            medium: profile.medium(),
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
        assert_eq!(unit("255"), Ok(255));
        for text in ["0", "248", "256", "x"] {
            assert!(unit(text).is_err(), "{text}");
        }
    }
}
