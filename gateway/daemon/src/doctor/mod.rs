//! `smgw doctor`: the examination of the gateway, part by part, with the daemon running and without.
//!
//! With a daemon that answers, its own view counts: it has the card and the buses to itself. Without one, files, ports and the
//! reader are looked at from outside, and what only the daemon knows is said not to be checked. Nothing is changed either way.
//!
//! The parts are functions of their own, and the installation takes the same ones ([`crate::local::web`]): a thing is judged in one
//! place, and has the same verdict, code and remedy wherever it is shown.

pub(crate) mod buses;
pub(crate) mod card;
mod check;
mod climb;
pub(crate) mod clock;
pub(crate) mod ladder;
mod servers;
mod sntp;
pub(crate) mod storage;
mod units;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use model::{GatewayState, Timestamp};
use serde::{Deserialize, Serialize};
use store::Logs;

use crate::card::{CardView, Slot, inspect};
use crate::codes::{Code, device, examination as codes};
use crate::config::{Config, ConfigError};
use crate::journal::{self, CardKeyVerifier};
use crate::local::control::{self, ControlError};
use crate::local::logs::{self, Report};
use crate::mounts::{self, Finding};
use crate::report::Chain;
use crate::status::Status;

pub(crate) use check::{Area, Check, Outcome};
pub(crate) use climb::{BELOW, Climbed, Climber, Inside, NO_BROKER, NOT_DIRECT, Rung, Way};

/// The name of the schema and its version; additive within the version.
const SCHEMA: &str = "smgw.doctor/1";
/// How long the own web may take to accept a connection.
const WEB_TIMEOUT: Duration = Duration::from_secs(3);
/// The findings with which something does not work: nothing outlives the power, no supplier is served, nobody gets in.
const STOPPING: [Code; 6] = [
    device::MOUNT_MEMORY,
    device::MOUNT_OVERLAY,
    device::LOG_LOST,
    device::LOG_CHANGED,
    device::LOG_FULL,
    device::ACCESS_DAMAGED,
];
/// What is said of what only the daemon knows.
const NO_DAEMON: &str = "only a running gateway can tell";
/// What is said of what a daemon has that does not answer.
const SILENT: &str = "the running gateway has it, and does not answer";

/// Everything that an examination has found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Examination {
    schema: String,
    time: Timestamp,
    version: String,
    /// Whether a running gateway was asked; otherwise files, ports and the reader were looked at.
    asked_daemon: bool,
    /// Whether nothing is wrong.
    well: bool,
    checks: Vec<Check>,
}

impl Examination {
    fn new(asked_daemon: bool, checks: Vec<Check>) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            time: crate::clock::now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            asked_daemon,
            well: !checks.iter().any(Check::is_finding),
            checks,
        }
    }

    /// Returns whether nothing is wrong.
    pub(crate) const fn is_well(&self) -> bool {
        self.well
    }
}

/// Examines the gateway whose configuration is in this file, and says at what it looks.
pub(crate) fn examine(file: &Path, mut say: impl FnMut(&str)) -> Examination {
    let config = match Config::read(file) {
        Ok(config) => config,
        Err(error) => {
            let mut checks = vec![configuration_fault(&error)];
            checks.extend(units::units());
            checks.extend(clock::clock());
            checks.extend([ladder::link(), ladder::route(&[])]);
            return Examination::new(false, checks);
        }
    };
    let mut checks = configuration(file, &config);
    say("looking at the services");
    checks.extend(units::units());
    let asked = control::ask(&config.control_socket);
    checks.push(daemon(&asked));
    let daemon = Daemon::of(asked);
    say("looking at the data folder");
    checks.extend(data(&config, daemon.status()));
    say("looking at the card");
    checks.extend(reader(&config, &daemon));
    checks.extend(clock::clock());
    say("looking at the network");
    checks.extend(wan(&config, &daemon));
    say("looking at the meters");
    checks.extend(meters(&config, &daemon));
    say("walking the logs");
    checks.push(logs(&config, &daemon));
    checks.extend(web(&config, daemon.status()));
    Examination::new(daemon.status().is_some(), checks)
}

/// Who has the card and the buses.
pub(crate) enum Daemon {
    /// A gateway that answers, and when it did: the examination takes longer than a short registration period.
    Answers(Box<Status>, Timestamp),
    /// One that is there and does not: it has them all the same.
    Silent,
    /// Nobody.
    Away,
}

impl Daemon {
    /// Tells who has them by what came of the question for the status.
    pub(crate) fn of(asked: Result<Status, ControlError>) -> Self {
        match asked {
            Ok(status) => Self::Answers(Box::new(status), crate::clock::now()),
            Err(error) if refusal(&error) == codes::NO_DAEMON => Self::Away,
            Err(_) => Self::Silent,
        }
    }

    fn status(&self) -> Option<&Status> {
        match self {
            Self::Answers(status, _) => Some(status),
            Self::Silent | Self::Away => None,
        }
    }
}

fn configuration_fault(error: &ConfigError) -> Check {
    Check::error(
        Area::Configuration,
        "file",
        error.code(),
        Chain(error).to_string(),
    )
}

fn configuration(file: &Path, config: &Config) -> Vec<Check> {
    let area = Area::Configuration;
    let mut checks = vec![Check::good(area, "file", file.display().to_string())];
    if config.buses.is_empty() {
        checks.push(Check::warning(
            area,
            "buses",
            codes::NO_METERS,
            "there is no [[bus]]",
        ));
    }
    if config.wan.is_none() && config.broker.is_none() {
        let found = "neither [wan] listen nor [wan.broker]";
        checks.push(Check::notice(area, "WAN", codes::NO_WAN, found));
    }
    checks
}

/// Says of the daemon whether it runs, and in which state it is.
fn daemon(asked: &Result<Status, ControlError>) -> Check {
    let (area, what) = (Area::Service, "gateway");
    match asked {
        Ok(status) => state(status),
        Err(error) => Check::error(area, what, refusal(error), Chain(error).to_string()),
    }
}

/// Tells a daemon that is not there from one that does not talk to this user, or to nobody.
fn refusal(error: &ControlError) -> Code {
    match error {
        ControlError::NotPermitted { .. } => codes::CONTROL_REFUSED,
        ControlError::NoDaemon { .. } => codes::NO_DAEMON,
        _ => codes::CONTROL_SILENT,
    }
}

/// Says of the state of the daemon what its own code says.
fn state(status: &Status) -> Check {
    let detail = status.detail.as_deref().unwrap_or(&status.cause);
    let found = format!("{}: {detail}", status.state);
    let (area, what, code) = (Area::Service, "gateway", Code::from(status.state));
    let mut check = match status.state {
        GatewayState::Operational => return Check::good(area, what, found),
        GatewayState::Bound | GatewayState::Binding | GatewayState::Unbound | GatewayState::Degraded => {
            Check::warning(area, what, code, found)
        }
        GatewayState::CardMissing
        | GatewayState::CardForeign
        | GatewayState::Tampered
        | GatewayState::ClockUnknown
        | GatewayState::StorageFull => Check::error(area, what, code, found),
    };
    check.remedy = Some(status.remedy.clone());
    check
}

fn data(config: &Config, status: Option<&Status>) -> Vec<Check> {
    let folder = storage::folder(&config.data);
    if folder.code.as_deref() == Some(codes::DATA_MISSING.code) {
        return vec![folder];
    }
    let mut checks = vec![
        folder,
        storage::space(&config.data),
        storage::device_key(config.device_key.as_deref(), &config.data),
    ];
    let findings = status.map_or_else(|| mounts::examine(&config.data), |status| status.findings.clone());
    checks.extend(findings.iter().map(of_finding));
    checks
}

/// Takes over what the daemon, or the look at the mounts, has found.
pub(crate) fn of_finding(finding: &Finding) -> Check {
    let Finding { code, text, remedy } = finding;
    let area = match code.strip_prefix("SMGW-F-").and_then(|number| number.get(..2)) {
        Some("02" | "03") => Area::Logs,
        Some("05") => Area::Web,
        _ => Area::Data,
    };
    let outcome = if STOPPING.iter().any(|stopping| stopping.code == code) {
        Outcome::Error
    } else {
        Outcome::Warning
    };
    Check {
        outcome,
        ..Check::of_code(area, "finding", code, text, remedy)
    }
}

fn reader(config: &Config, daemon: &Daemon) -> Vec<Check> {
    let (area, what) = (Area::Card, "reader");
    let view = match daemon {
        Daemon::Answers(..) => control::ask_for::<CardView>(&config.control_socket, control::CARD),
        Daemon::Silent => return vec![Check::not_checked(area, what, SILENT)],
        Daemon::Away => Ok(inspect(&Slot::new(config.card.slot.clone()), None, None)),
    };
    match view {
        Ok(view) => card::card(&view, crate::clock::now()),
        Err(error) => {
            let found = Chain(&error).to_string();
            vec![Check::error(area, what, codes::CONTROL_SILENT, found)]
        }
    }
}

/// Climbs the ladder of the WAN. The running gateway does that itself, which has the card; without it the rungs are tried that need
/// none.
pub(crate) fn wan(config: &Config, daemon: &Daemon) -> Vec<Check> {
    let climbed = match daemon {
        Daemon::Answers(..) => {
            let climbed = control::ask_for::<Vec<Climbed>>(&config.control_socket, control::LADDER);
            climbed.unwrap_or_else(|error| from_outside(config, &Chain(&error).to_string()))
        }
        Daemon::Silent => from_outside(config, SILENT),
        Daemon::Away => from_outside(config, NO_DAEMON),
    };
    let mut checks: Vec<_> = climbed.into_iter().map(|climbed| climbed.check).collect();
    let status = daemon.status();
    let broker = status.and_then(|status| status.broker.as_ref());
    checks.extend(broker.map(ladder::serving));
    checks
}

/// Climbs without the card, and says why the rungs that need it are not checked.
fn from_outside(config: &Config, why: &str) -> Vec<Climbed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let mut climbed = Vec::new();
    match runtime {
        Ok(runtime) => {
            let way = Way::of(config);
            runtime.block_on(climb::climb(&way, Err(why), &mut |rung| climbed.push(rung)));
            // A name service that is away is not waited for.
            runtime.shutdown_background();
        }
        Err(error) => {
            let check = Check::not_checked(Area::Wan, "link", error.to_string());
            let rung = Rung::Link;
            climbed.push(Climbed { rung, check });
        }
    }
    climbed
}

fn meters(config: &Config, daemon: &Daemon) -> Vec<Check> {
    let is_in_use = !matches!(daemon, Daemon::Away);
    let lines = config.buses.iter().map(|bus| buses::line(bus, is_in_use));
    let mut checks: Vec<_> = lines.collect();
    match daemon {
        Daemon::Answers(status, now) => {
            let period = status.registration_period;
            let meters = status.meters.iter();
            checks.extend(meters.map(|meter| buses::meter(meter, period, *now)));
        }
        Daemon::Silent | Daemon::Away if config.buses.is_empty() => {}
        Daemon::Silent | Daemon::Away => {
            checks.push(Check::not_checked(Area::Meters, "values", NO_DAEMON));
        }
    }
    checks
}

fn logs(config: &Config, daemon: &Daemon) -> Check {
    let (area, what) = (Area::Logs, "chains");
    let report = match daemon {
        Daemon::Answers(..) => control::ask_for::<Report>(&config.control_socket, logs::VERIFICATION)
            .map_err(|error| Chain(&error).to_string()),
        Daemon::Silent => return Check::not_checked(area, what, SILENT),
        Daemon::Away => {
            let folder = config.data.join(journal::FOLDER);
            if matches!(folder.try_exists(), Ok(false)) {
                let why = "there are none yet; the gateway begins them at its first start";
                return Check::not_checked(area, what, why);
            }
            Logs::verify_folder(&folder, &CardKeyVerifier::new(None))
                .map(|verification| Report::new(&verification, false))
                .map_err(|error| Chain(&error).to_string())
        }
    };
    match report {
        Ok(report) if report.sound => Check::good(area, what, "all three logs are sound"),
        Ok(_) => Check::error(
            area,
            what,
            codes::LOGS_BAD,
            "a log is not what was written into it",
        ),
        Err(why) => Check::error(area, what, codes::LOGS_UNREADABLE, why),
    }
}

fn web(config: &Config, status: Option<&Status>) -> Vec<Check> {
    let Some(https) = &config.https else {
        return Vec::new();
    };
    let area = Area::Web;
    let Some(status) = status else {
        return vec![Check::not_checked(area, "certificate", NO_DAEMON)];
    };
    let certificate = match status.https_fingerprint {
        Some(fingerprint) => Check::good(area, "certificate", format!("SHA-256 {fingerprint}")),
        None => Check::error(area, "certificate", codes::WEB_CERTIFICATE, "it serves nobody"),
    };
    let address = reachable(https.listen);
    let door = match TcpStream::connect_timeout(&address, WEB_TIMEOUT) {
        Ok(_) => Check::good(area, "door", address.to_string()),
        Err(error) => Check::error(area, "door", codes::WEB_CLOSED, format!("{address}: {error}")),
    };
    vec![certificate, door]
}

/// Returns where somebody who listens is reached from the same machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen {
        SocketAddr::V4(address) if address.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(address) if address.ip().is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address.ip(),
    };
    SocketAddr::new(ip, listen.port())
}

impl fmt::Display for Examination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.asked_daemon {
            writeln!(
                formatter,
                "No running gateway was asked: this is what files, ports and the reader tell."
            )?;
        }
        self.checks
            .iter()
            .try_for_each(|check| write!(formatter, "{check}"))?;
        let count = self.checks.iter().filter(|check| check.is_finding()).count();
        match count {
            0 => writeln!(formatter, "Nothing is wrong."),
            1 => writeln!(formatter, "One thing is wrong."),
            count => writeln!(formatter, "{count} things are wrong."),
        }
    }
}

#[cfg(test)]
mod tests;
