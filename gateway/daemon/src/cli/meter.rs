//! `smgw meter`: the meters of the running gateway, and how each is read.

use std::fmt;
use std::process::ExitCode;

use bus::{ModbusEndpoint, Port};
use clap::Subcommand;
use model::{Medium, MeterId, Timestamp};
use serde::Serialize;

use super::watch::{Watched, schema_watched};
use super::{ConfigFile, FAILURE, answer, fail, show, with_config};
use crate::clock;
use crate::config::Config;
use crate::local::control::{self, ControlError};
use crate::metering::{MeterView, StatisticsView};

/// The names of the schemas and their version; additive within the version.
const LIST_SCHEMA: &str = "smgw.meters/1";
const METER_SCHEMA: &str = "smgw.meter/1";
const PROFILE_SCHEMA: &str = "smgw.meter-profile/1";

#[derive(Debug, Subcommand)]
pub(super) enum MeterCommand {
    /// Lists the meters: whether they answer, and since when not. No values.
    #[command(
        after_help = "Exit codes: 0 done, 1 failure, 2 wrong usage, 69 no daemon answers, 77 refused, 78 wrong configuration.",
        mut_arg("json", schema_watched(LIST_SCHEMA))
    )]
    List(Watched),
    /// Shows a meter with its last values and what was counted on its line.
    #[command(
        after_help = "Exit codes: 0 done, 1 failure or no such meter, 2 wrong usage, 69 no daemon answers, 77 refused, 78 wrong configuration.",
        mut_arg("json", schema_watched(METER_SCHEMA))
    )]
    Show {
        /// Its name in the configuration, or its identity.
        name: String,
        #[command(flatten)]
        watched: Watched,
    },
    /// Shows how a meter is read: bus, address, and the profile of its registers. It takes no daemon.
    #[command(after_help = "Exit codes: 0 done, 1 no such meter, 2 wrong usage, 78 wrong configuration.")]
    Profile {
        /// Its name in the configuration.
        name: String,
        /// Print one JSON document (schema smgw.meter-profile/1).
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        file: ConfigFile,
    },
}

/// There is no meter of that name.
#[derive(Debug, thiserror::Error)]
#[error("there is no meter {0:?}; smgw meter list names them")]
struct UnknownMeter(String);

/// The meters, without their values.
#[derive(Debug, Serialize)]
struct MetersView {
    schema: &'static str,
    time: Timestamp,
    meters: Vec<Line>,
}

impl MetersView {
    /// Asks the running gateway.
    fn ask(config: &Config, now: Timestamp) -> Result<Self, ControlError> {
        let meters = control::ask(&config.control_socket)?.meters.into_iter();
        Ok(Self {
            schema: LIST_SCHEMA,
            time: now,
            meters: meters.map(|view| Line::of(view, now)).collect(),
        })
    }
}

/// What a list says of a meter.
#[derive(Debug, Serialize)]
struct Line {
    name: String,
    bus: String,
    id: Option<MeterId>,
    medium: Option<Medium>,
    last_success: Option<Timestamp>,
    /// The age of the last values in seconds.
    age_seconds: Option<i64>,
    error: Option<String>,
    statistics: StatisticsView,
}

impl Line {
    fn of(view: MeterView, now: Timestamp) -> Self {
        Self {
            age_seconds: view.last_success.map(|last| now.seconds_since(last)),
            name: view.name,
            bus: view.bus,
            id: view.id,
            medium: view.medium,
            last_success: view.last_success,
            error: view.error,
            statistics: view.statistics,
        }
    }
}

impl fmt::Display for MetersView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for meter in &self.meters {
            let id = meter.id.as_ref().map_or("not yet read", |id| id.as_str());
            let medium = meter.medium.map(|medium| medium.to_string()).unwrap_or_default();
            let age = meter
                .age_seconds
                .map_or_else(|| "no values yet".to_owned(), |age| format!("{age} s ago"));
            writeln!(
                formatter,
                "{:<20} {:<16} {id:<20} {medium:<12} {age}",
                meter.name, meter.bus
            )?;
            if let Some(error) = &meter.error {
                writeln!(formatter, "  {error}")?;
            }
        }
        Ok(())
    }
}

/// A meter with its last values.
#[derive(Debug, Serialize)]
struct Shown {
    schema: &'static str,
    #[serde(flatten)]
    meter: MeterView,
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meter = &self.meter;
        let known = |text: Option<String>| text.unwrap_or_else(|| "not known".to_owned());
        writeln!(formatter, "name       {}", meter.name)?;
        writeln!(formatter, "bus        {}", meter.bus)?;
        writeln!(
            formatter,
            "identity   {}",
            known(meter.id.as_ref().map(ToString::to_string))
        )?;
        writeln!(
            formatter,
            "medium     {}",
            known(meter.medium.map(|medium| medium.to_string()))
        )?;
        writeln!(
            formatter,
            "last read  {}",
            known(meter.last_success.map(|time| time.to_string()))
        )?;
        if let Some(error) = &meter.error {
            writeln!(formatter, "error      {error}")?;
        }
        let counted = meter.statistics;
        writeln!(
            formatter,
            "rounds     {} asked, {} answered, {} left out",
            counted.polls, counted.answers, counted.skipped
        )?;
        writeln!(
            formatter,
            "line       {} requests, {} repeated, {} unanswered, {} damaged, {} collisions, {} strays",
            counted.requests,
            counted.retries,
            counted.timeouts,
            counted.checksum_errors,
            counted.collisions,
            counted.strays
        )?;
        if let Some(ms) = counted.answer_ms {
            writeln!(formatter, "took       {ms} ms")?;
        }
        for value in &meter.values {
            writeln!(formatter, "  {value}")?;
        }
        Ok(())
    }
}

/// How a meter is read.
#[derive(Debug, Serialize)]
struct ProfileView {
    schema: &'static str,
    name: String,
    bus: String,
    /// Where the bus is.
    endpoint: String,
    /// The M-Bus address, or the Modbus unit.
    address: String,
    /// The profile of a Modbus meter.
    profile: Option<RegistersView>,
}

/// What a profile knows of a Modbus meter.
#[derive(Debug, Serialize)]
struct RegistersView {
    name: String,
    manufacturer: String,
    models: Vec<String>,
    medium: Medium,
    /// The codes of its values.
    values: Vec<String>,
    document: String,
    edition: String,
}

impl ProfileView {
    /// Finds a meter of the configuration.
    fn find(config: &Config, name: &str) -> Option<Self> {
        config.buses.iter().find_map(|bus| {
            let view = |endpoint: String, address: String, profile| Self {
                schema: PROFILE_SCHEMA,
                name: name.to_owned(),
                bus: bus.name.clone(),
                endpoint,
                address,
                profile,
            };
            match &bus.port {
                Port::Mbus { endpoint, meters, .. } => {
                    let meter = meters.iter().find(|meter| meter.name == name)?;
                    let address = meter.address.address().to_string();
                    Some(view(format!("mbus {endpoint}"), address, None))
                }
                Port::Modbus { endpoint, meters } => {
                    let meter = meters.iter().find(|meter| meter.name == name)?;
                    let unit = format!("unit {}", meter.address.unit());
                    let registers = RegistersView::of(meter.address.profile());
                    Some(view(modbus(endpoint), unit, Some(registers)))
                }
            }
        })
    }
}

fn modbus(endpoint: &ModbusEndpoint) -> String {
    format!("modbus {endpoint}")
}

impl RegistersView {
    fn of(profile: &::modbus::Profile) -> Self {
        Self {
            name: profile.name().to_owned(),
            manufacturer: profile.manufacturer().to_owned(),
            models: profile.models().to_vec(),
            medium: profile.medium(),
            values: profile.codes().map(|code| code.to_string()).collect(),
            document: profile.source().document.clone(),
            edition: profile.source().edition.clone(),
        }
    }
}

impl fmt::Display for ProfileView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "name       {}", self.name)?;
        writeln!(formatter, "bus        {}, {}", self.bus, self.endpoint)?;
        writeln!(formatter, "address    {}", self.address)?;
        let Some(profile) = &self.profile else {
            return writeln!(
                formatter,
                "profile    none: an M-Bus meter says itself what it measures"
            );
        };
        writeln!(
            formatter,
            "profile    {}: {}, {}",
            profile.name,
            profile.manufacturer,
            profile.models.join(", ")
        )?;
        writeln!(formatter, "medium     {}", profile.medium)?;
        writeln!(formatter, "document   {}, {}", profile.document, profile.edition)?;
        profile
            .values
            .iter()
            .try_for_each(|code| writeln!(formatter, "  {code}"))
    }
}

impl MeterCommand {
    pub(super) fn run(self) -> ExitCode {
        match self {
            Self::List(watched) => {
                watched.run(|config, json| answer(MetersView::ask(config, clock::now()), json))
            }
            Self::Show { name, watched } => watched.run(|config, json| match find(config, &name) {
                Ok(Some(meter)) => {
                    let schema = METER_SCHEMA;
                    show(&Shown { schema, meter }, json)
                }
                Ok(None) => fail(FAILURE, &UnknownMeter(name.clone())),
                Err(error) => answer(Err::<Shown, _>(error), json),
            }),
            Self::Profile { name, json, file } => {
                with_config(file.config, |config| match ProfileView::find(&config, &name) {
                    Some(view) => show(&view, json),
                    None => fail(FAILURE, &UnknownMeter(name)),
                })
            }
        }
    }
}

/// Finds a meter by its name or its identity.
pub(super) fn find(config: &Config, name: &str) -> Result<Option<MeterView>, ControlError> {
    let status = control::ask(&config.control_socket)?;
    let is_named =
        |meter: &MeterView| meter.name == name || meter.id.as_ref().is_some_and(|id| id.as_str() == name);
    Ok(status.meters.into_iter().find(is_named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profile_tells_bus_address_and_registers() {
        let config = Config::parse(include_str!("../../smgw.toml")).unwrap();
        let electricity = ProfileView::find(&config, "electricity").unwrap();
        assert_eq!(electricity.address, "unit 1");
        assert_eq!(electricity.profile.as_ref().unwrap().name, "eastron-sdm630");
        let text = electricity.to_string();
        assert!(
            text.contains("distribution-board, modbus tcp:192.168.10.21:502"),
            "{text}"
        );
        let gas = ProfileView::find(&config, "gas").unwrap();
        assert!(gas.profile.is_none());
        assert!(gas.to_string().contains("mbus tcp:192.168.10.20:10001"), "{gas}");
        assert!(ProfileView::find(&config, "none").is_none());
    }
}
