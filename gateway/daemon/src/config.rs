//! The configuration: one TOML file, read once into a checked type, and beside it the meters that were installed through the
//! local web.
//!
//! Those are in files of their own, `meters.d/*.toml` in the data folder, each with buses, meters and metering points that
//! are added to what the one file says. The same checks hold for all of them together.
//!
//! Keys that nobody knows are refused, since a mistyped key is a setting that silently does not
//! hold. Every error names file, line and key.

mod document;
mod fault;
mod home_assistant;
mod installed;
mod origin;
mod web;

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bus::{BusConfig, Port};
use document::{BrokerSection, BusSection, Document};
use model::{Fingerprint, Span};
use sha2::{Digest, Sha256};
use store::{Installed, LogLimits, OtpPlace, SentLimits};

use crate::wan::BrokerConfig;
use installed::DropIn;
use web::WebSection;

pub(crate) use fault::{ConfigError, Fault};
pub(crate) use home_assistant::HomeAssistantConfig;
pub(crate) use installed::{Point, is_metering_point};
pub(crate) use origin::Settings;
pub(crate) use web::HttpsConfig;

/// The greatest size of a configuration file: thousands of meters fit.
const MAX_FILE: u64 = 1024 * 1024;

/// What the gateway runs with.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The file; none, if it is a text.
    pub(crate) file: PathBuf,
    /// The SHA-256 digest of the file, and of the installed meters, if there are any.
    pub(crate) digest: Fingerprint,
    /// The folder of the store.
    pub(crate) data: PathBuf,
    /// The file with the key that seals the bindings; the store's own, the weak default, if there is none.
    pub(crate) device_key: Option<PathBuf>,
    /// The fuses that the binding is burned into as well, if the board has any.
    pub(crate) otp: Option<OtpPlace>,
    /// How often elements are registered for good.
    pub(crate) registration_period: Span,
    /// How often fast values are read for display between the rounds, if they are.
    pub(crate) live_period: Option<Span>,
    /// How long readings are kept.
    pub(crate) history: Span,
    /// How much is kept of what suppliers were given.
    pub(crate) sent: SentLimits,
    /// How much the logs keep.
    pub(crate) logs: LogLimits,
    /// Where the card is, and how often it is looked after.
    pub(crate) card: CardConfig,
    /// The Unix socket for the command line.
    pub(crate) control_socket: PathBuf,
    /// Where the local page without login listens, if it does: a loopback address.
    pub(crate) web: Option<SocketAddr>,
    /// The local web over HTTPS, if there is one.
    pub(crate) https: Option<HttpsConfig>,
    /// What a consumer's own Home Assistant is told, if anything.
    pub(crate) home_assistant: Option<HomeAssistantConfig>,
    /// Where suppliers and the TSM reach the gateway, if directly.
    pub(crate) wan: Option<SocketAddr>,
    /// The broker through which they reach it, if they do.
    pub(crate) broker: Option<BrokerConfig>,
    /// The buses and their meters.
    pub(crate) buses: Vec<BusConfig>,
    /// Where meters measure, and for whom, as far as that is known.
    pub(crate) points: Vec<Point>,
}

/// Where the card is, and how often it is looked after.
#[derive(Debug, Clone)]
pub(crate) struct CardConfig {
    /// Where it is.
    pub(crate) slot: CardSlot,
    /// How often it is looked for, or looked after. It bounds how long it can be gone before the service stops.
    pub(crate) heartbeat: Duration,
    /// Whether a card is bound only after the technician has confirmed it, and not at its insertion.
    pub(crate) waits_for_confirmation: bool,
}

/// Where the card is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CardSlot {
    /// In the PC/SC reader of that name, or whose name begins so; in the only one if none is named.
    Reader(Option<String>),
    /// The card is a file, for demonstrations and tests.
    #[cfg(feature = "soft-card")]
    Soft(PathBuf),
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names file, line and key.
    pub(crate) fn read(file: &Path) -> Result<Self, ConfigError> {
        Self::read_and(file, None).map(|(config, _)| config)
    }

    /// Reads and checks a configuration file, and returns its text too.
    ///
    /// # Errors
    ///
    /// As [`Config::read`].
    pub(crate) fn read_with_text(file: &Path) -> Result<(Self, String), ConfigError> {
        Self::read_and(file, None)
    }

    /// Reads and checks a configuration file with one more file of an installed meter, which is not written yet.
    ///
    /// # Errors
    ///
    /// As [`Config::read`]; the file that is not written yet has the name `new.toml`.
    pub(crate) fn read_with(file: &Path, added: &str) -> Result<Self, ConfigError> {
        let added = Some((PathBuf::from("new.toml"), added.to_owned()));
        Self::read_and(file, added).map(|(config, _)| config)
    }

    fn read_and(file: &Path, added: Option<(PathBuf, String)>) -> Result<(Self, String), ConfigError> {
        let text = text_of(file)?;
        let own = Self::parse(&text).map_err(|fault| in_file(file, &text, fault))?;
        let mut installed = installed::read(&Installed::folder(&own.data))?;
        installed.extend(added);
        let config = if installed.is_empty() {
            own
        } else {
            Self::with_installed(&text, &installed)?
        };
        let config = Self {
            file: file.to_owned(),
            ..config
        };
        Ok((config, text))
    }

    /// Takes the installed meters into the configuration of a file that is good by itself.
    fn with_installed(text: &str, installed: &[(PathBuf, String)]) -> Result<Self, ConfigError> {
        let together = |count: usize| {
            let texts: Vec<_> = installed
                .iter()
                .take(count)
                .map(|(_, text)| text.as_str())
                .collect();
            Self::parse_with(text, &texts)
        };
        let all = together(installed.len());
        if let Ok(config) = all {
            return Ok(config);
        }
        // The first one with which it is not good any more is at fault, and what is wrong stands there.
        for (count, (file, added)) in (1..).zip(installed) {
            together(count).map_err(|fault| in_file(file, added, fault))?;
        }
        all.map_err(|fault| in_file(Path::new(""), text, fault))
    }

    /// Reads and checks a configuration.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        Self::parse_with(text, &[])
    }

    /// Reads and checks a configuration with what is added to it. If it is good without the last one, a fault lies there.
    pub(crate) fn parse_with(text: &str, installed: &[&str]) -> Result<Self, Fault> {
        let mut document: Document = toml::from_str(text).map_err(|error| Fault::Toml(Box::new(error)))?;
        let mut points = Vec::new();
        for added in installed {
            points.extend(DropIn::parse(added)?.add_to(&mut document)?);
        }
        let (web, mut https) = document.web.take().map_or(Ok((None, None)), WebSection::check)?;
        let points = installed::check_points(points, https.as_mut())?;
        let home_assistant = document.home_assistant.take();
        let home_assistant = home_assistant.map(|section| section.check(https.as_ref()));
        check_names(&document)?;
        let buses: Vec<_> = document
            .bus
            .iter()
            .map(BusSection::check)
            .collect::<Result<_, _>>()?;
        check_endpoints(&document)?;
        let registration_period = document::check_period(document.registration_period)?;
        Ok(Self {
            file: PathBuf::new(),
            digest: digest_of(text, installed),
            data: document.data,
            otp: document.store.otp()?,
            history: document.store.history()?,
            sent: document.store.sent(),
            device_key: document.store.device_key,
            registration_period,
            live_period: document::check_live_period(document.live_period, registration_period)?,
            logs: document.logs.limits(),
            card: document.card.check()?,
            control_socket: document.control.socket,
            web,
            https,
            home_assistant: home_assistant.transpose()?,
            broker: document.wan.broker.map(BrokerSection::check).transpose()?,
            wan: document.wan.listen,
            buses,
            points,
        })
    }
}

/// Reads a file, but no more of it than shows that it is too long.
fn text_of(file: &Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        file: file.to_owned(),
        source,
    };
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    let length = opened.take(MAX_FILE.saturating_add(1)).read_to_string(&mut text);
    if u64::try_from(length.map_err(unreadable)?).is_ok_and(|length| length > MAX_FILE) {
        return Err(ConfigError::TooLarge {
            file: file.to_owned(),
        });
    }
    Ok(text)
}

fn in_file(file: &Path, text: &str, fault: Fault) -> ConfigError {
    ConfigError::Fault {
        file: file.to_owned(),
        line: fault.line(text),
        fault,
    }
}

/// Returns the digest of everything that was read; without installed meters it is that of the file.
fn digest_of(text: &str, installed: &[&str]) -> Fingerprint {
    let mut digest = Sha256::new_with_prefix(text);
    for added in installed {
        digest.update(b"\0");
        digest.update(added);
    }
    Fingerprint::new(digest.finalize().into())
}

/// Returns whether a character does something rather than being shown: to a terminal, or to the order of a line (Unicode
/// Standard Annex 9, section 2).
fn is_control(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Buses and meters share one space of names, since logs and pages call both by name alone.
fn check_names(document: &Document) -> Result<(), Fault> {
    let meters = document
        .bus
        .iter()
        .flat_map(|bus| &bus.meter)
        .map(|meter| &meter.name);
    let mut names = BTreeSet::new();
    for name in document.bus.iter().map(|bus| &bus.name).chain(meters) {
        let at = name.span().start;
        if name.get_ref().trim().is_empty() {
            return Err(Fault::EmptyName { at });
        }
        if name.get_ref().chars().any(is_control) {
            return Err(Fault::ControlInName { at });
        }
        if !names.insert(name.get_ref()) {
            let name = name.get_ref().clone();
            return Err(Fault::DuplicateName { name, at });
        }
    }
    Ok(())
}

/// Two tasks on one line would talk into each other's answers.
fn check_endpoints(document: &Document) -> Result<(), Fault> {
    let mut endpoints = BTreeSet::new();
    for endpoint in document.bus.iter().filter_map(BusSection::endpoint) {
        if !endpoints.insert(line_of(endpoint.get_ref())) {
            return Err(Fault::DuplicateEndpoint {
                at: endpoint.span().start,
            });
        }
    }
    Ok(())
}

/// Returns the host and port, or the device, that an endpoint names: neither its kind nor its speed make
/// another line of it.
pub(crate) fn line_of(endpoint: &str) -> String {
    let serial = |rest: &str, parts| rest.rsplitn(parts, ':').last().map(str::to_owned);
    let line = match endpoint.split_once(':') {
        Some(("tcp" | "rtutcp", rest)) if rest.contains(':') => Some(rest.to_ascii_lowercase()),
        Some(("serial", rest)) => serial(rest, 2),
        Some(("rtu", rest)) => serial(rest, 3),
        _ => None,
    };
    line.unwrap_or_else(|| endpoint.to_ascii_lowercase())
}

impl fmt::Display for CardConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.slot {
            CardSlot::Reader(None) => writeln!(formatter, "card                 in the only reader")?,
            CardSlot::Reader(Some(name)) => writeln!(formatter, "card                 in reader {name}")?,
            #[cfg(feature = "soft-card")]
            CardSlot::Soft(file) => writeln!(formatter, "card                 SOFT CARD {}", file.display())?,
        }
        let binding = if self.waits_for_confirmation {
            "after smgw binding confirm"
        } else {
            "at the first insertion of a card that fits"
        };
        writeln!(formatter, "binding              {binding}")
    }
}

impl Config {
    /// Shows how much is kept of what was sent and logged.
    fn show_kept(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SentLimits { age, bytes } = self.sent;
        writeln!(formatter, "what was sent        {age}, at most {bytes} bytes")?;
        let LogLimits {
            system_bytes,
            consumer_bytes,
            calibration_bytes,
            ..
        } = self.logs;
        writeln!(
            formatter,
            "logs, bytes          system {system_bytes}, consumer {consumer_bytes}, calibration {calibration_bytes}"
        )
    }
}

impl fmt::Display for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = |address: Option<SocketAddr>| {
            address.map_or_else(|| "off".to_owned(), |address| address.to_string())
        };
        writeln!(formatter, "data                 {}", self.data.display())?;
        match &self.device_key {
            Some(file) => writeln!(formatter, "device key           {}", file.display())?,
            None => writeln!(
                formatter,
                "device key           device.key in the data folder: the weak default"
            )?,
        }
        if let Some(otp) = &self.otp {
            let OtpPlace { file, offset } = otp;
            writeln!(
                formatter,
                "fuses                {} from byte {offset} on",
                file.display()
            )?;
        }
        writeln!(formatter, "registration period  {}", self.registration_period)?;
        match self.live_period {
            Some(period) => writeln!(formatter, "live period          {period}")?,
            None => writeln!(formatter, "live period          off")?,
        }
        writeln!(formatter, "history              {}", self.history)?;
        self.show_kept(formatter)?;
        write!(formatter, "{}", self.card)?;
        writeln!(
            formatter,
            "control socket       {}",
            self.control_socket.display()
        )?;
        writeln!(formatter, "local page           {}", address(self.web))?;
        let https = self.https.as_ref().map(|https| https.listen);
        writeln!(formatter, "local web, HTTPS     {}", address(https))?;
        match &self.home_assistant {
            Some(told) => writeln!(
                formatter,
                "Home Assistant       {}, account {}",
                told.broker, told.account
            )?,
            None => writeln!(formatter, "Home Assistant       off")?,
        }
        writeln!(formatter, "WAN, direct          {}", address(self.wan))?;
        match &self.broker {
            Some(broker) => writeln!(formatter, "WAN, broker          {}", broker.address)?,
            None => writeln!(formatter, "WAN, broker          off")?,
        }
        write_buses(formatter, &self.buses)
    }
}

fn write_buses(formatter: &mut fmt::Formatter<'_>, buses: &[BusConfig]) -> fmt::Result {
    for bus in buses {
        let (protocol, endpoint, meters): (_, _, Vec<&str>) = match &bus.port {
            Port::Mbus { endpoint, meters, .. } => (
                "M-Bus",
                endpoint.to_string(),
                meters.iter().map(|meter| meter.name.as_str()).collect(),
            ),
            Port::Modbus { endpoint, meters } => (
                "Modbus",
                endpoint.to_string(),
                meters.iter().map(|meter| meter.name.as_str()).collect(),
            ),
        };
        writeln!(
            formatter,
            "bus {:<16} {protocol} at {endpoint}: {}",
            bus.name,
            meters.join(", ")
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
