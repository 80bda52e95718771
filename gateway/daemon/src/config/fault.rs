//! What may be wrong with a configuration.

use std::path::PathBuf;

use model::{MeterIdError, Span};
use store::Installed;

use super::{home_assistant, web};
use crate::codes::{Code, examination as codes};
use crate::modbus::source::SourceError;

/// The reason why a configuration is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{} cannot be read", file.display())]
    Unreadable {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is larger than 1 MiB and no configuration", file.display())]
    TooLarge { file: PathBuf },
    #[error("{} has more than {} files of installed meters", folder.display(), Installed::MOST)]
    TooManyInstalled { folder: PathBuf },
    #[error("{}, line {line}", file.display())]
    Fault {
        file: PathBuf,
        line: usize,
        #[source]
        fault: Fault,
    },
}

impl ConfigError {
    /// Returns the line of the fault, if it is about one.
    pub(crate) const fn line(&self) -> Option<usize> {
        match self {
            Self::Fault { line, .. } => Some(*line),
            Self::Unreadable { .. } | Self::TooLarge { .. } | Self::TooManyInstalled { .. } => None,
        }
    }

    /// Returns what stands in the catalogue of codes.
    pub(crate) const fn code(&self) -> Code {
        match self {
            Self::Unreadable { .. } => codes::CONFIGURATION_MISSING,
            Self::TooLarge { .. } | Self::TooManyInstalled { .. } | Self::Fault { .. } => {
                codes::CONFIGURATION_WRONG
            }
        }
    }
}

/// What is wrong in a configuration; `at` is the offset in bytes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{}", .0.message())]
    Toml(Box<toml::de::Error>),
    #[error("the name {name:?} is used twice; buses and meters each need their own")]
    DuplicateName { name: String, at: usize },
    #[error("a name is empty; logs and pages call buses and meters by their names")]
    EmptyName { at: usize },
    #[error("a name has a control character, which would be carried out by terminals; leave it out")]
    ControlInName { at: usize },
    #[error("bus: give either mbus or modbus, the endpoint host:port")]
    Protocol { at: usize },
    #[error("bus: the endpoint is not of the form host:port, such as 192.168.10.20:10001")]
    Endpoint { at: usize },
    #[error("bus: another bus has the same endpoint; put the meters on one bus")]
    DuplicateEndpoint { at: usize },
    #[error("bus: {name} is there already with another endpoint; leave the endpoint out, or give the same")]
    OtherEndpoint { name: String, at: usize },
    #[error("point.metering_point: a metering point has 33 capital letters and digits, or 11 digits")]
    MeteringPoint { at: usize },
    #[error("point.consumer: there is no consumer {name}; web.https.consumer names them")]
    PointConsumer { name: String, at: usize },
    #[error("bus: it has no meters; add a [[bus.meter]] or leave the bus out")]
    NoMeters { at: usize },
    #[error("meter: another meter on this bus has the same address")]
    DuplicateAddress { at: usize },
    #[error("registration_period: {period} does not divide a day, so its grid would shift from day to day")]
    Period { period: Span, at: usize },
    #[error(
        "live_period: it is shorter than the registration period, {registration}; leave it out to read nothing between the rounds"
    )]
    LivePeriod { at: usize, registration: Span },
    #[error("bus: the endpoint is none")]
    MbusEndpoint {
        at: usize,
        #[source]
        source: bus::ParseEndpointError,
    },
    #[error("bus: the endpoint is none")]
    ModbusEndpoint {
        at: usize,
        #[source]
        source: bus::ParseModbusEndpointError,
    },
    #[error("bus: baud is the speed behind an M-Bus converter on TCP; a serial port has it in its endpoint")]
    Baud {
        at: usize,
        #[source]
        source: Option<mbus::master::UnknownBaudRate>,
    },
    #[error("meter: key_file has to be a file with the 32 hexadecimal digits of the meter's AES key")]
    KeyFile {
        at: usize,
        #[source]
        source: Option<std::io::Error>,
    },
    #[error(
        "bus: latency_ms is what an M-Bus converter adds to the time of an answer, 0 to {}",
        crate::mbus::MAX_LATENCY_MS
    )]
    Latency { at: usize },
    #[error(
        "meter: an M-Bus meter needs primary, 0 to 250, or secondary, such as ACW-12345678-14-07, and no other address; byte_order goes with secondary"
    )]
    MbusMeter { at: usize },
    #[error("meter: only on a serial port can an M-Bus meter have a speed of its own, 300 to 38400")]
    MeterBaud {
        at: usize,
        #[source]
        source: Option<mbus::master::UnknownBaudRate>,
    },
    #[error(
        "meter: a Modbus meter needs unit, 1 to 247 or 255, and profile, and no other address; baud, application_reset, byte_order and key_file are of an M-Bus meter"
    )]
    ModbusMeter { at: usize },
    #[error("profile")]
    Profile {
        at: usize,
        #[source]
        source: Box<SourceError>,
    },
    #[error(
        "meter: meters of {name} do not tell their serial number; give the meter an id, such as id = \"ACM-1\""
    )]
    NoIdentity { name: String, at: usize },
    #[error("id")]
    Identity {
        at: usize,
        #[source]
        source: MeterIdError,
    },
    #[error("answer_timeout_ms: an answer is waited for 10 to 60000 ms")]
    AnswerTimeout { at: usize },
    #[error("store.history: readings are kept for a day (P1D) at least")]
    HistoryTooShort { at: usize },
    #[error("store.otp: the offset is a multiple of 4 bytes, the length of a fuse word")]
    OtpOffset { at: usize },
    #[error(
        "web.listen: the local page has no log-in and may listen on a loopback address only; web.https has one"
    )]
    WebNotLocal { at: usize },
    #[error(
        "web.https.names: at most {} names or addresses of 1 to 253 letters, digits, dots, hyphens or colons",
        web::MOST_NAMES
    )]
    WebNames { at: usize },
    #[error("web.https.zone: it is no time zone in the form of POSIX, such as CET-1CEST,M3.5.0,M10.5.0/3")]
    Zone { at: usize },
    #[error(
        "web.https.consumer: at most {} consumers, each with a name of its own of 1 to 40 small letters, digits and hyphens, and with meters; technician is taken",
        crate::local::web::MOST_CONSUMERS
    )]
    Consumer { at: usize },
    #[error("home_assistant.broker: {source}")]
    HomeAssistantBroker {
        at: usize,
        source: broker::BrokerAddressError,
    },
    #[error("home_assistant: it needs [web.https], where the consumer switches it on")]
    HomeAssistantAlone { at: usize },
    #[error(
        "home_assistant.broker: the broker is one of the house: a private or link-local address, a name without a dot, or one that ends in .local, .home.arpa or .internal"
    )]
    HomeAssistantFarAway { at: usize },
    #[error("home_assistant.account: {account:?} is no consumer of [web.https]")]
    HomeAssistantAccount { account: String, at: usize },
    #[error(
        "home_assistant.elements: 1 to {} patterns, such as \"*/1-0:1.8.0*255\"",
        home_assistant::MOST_PATTERNS
    )]
    HomeAssistantElements { at: usize },
    #[error("home_assistant: prefix is the beginning of a topic without wildcards, and language is de or en")]
    HomeAssistantWord { at: usize },
    #[error("card.heartbeat_ms: the card is looked after every 50 to 500 ms")]
    Heartbeat { at: usize },
    #[error("wan.broker.address: {source}")]
    BrokerAddress {
        at: usize,
        source: broker::BrokerAddressError,
    },
    #[error("wan.broker.start_delay: the wait after the start is a day at most")]
    StartDelay { at: usize },
    #[error("card: the card is either in a reader or in a file; leave out reader or soft")]
    TwoCards { at: usize },
    #[cfg(not(feature = "soft-card"))]
    #[error("card.soft: this build has no soft card; it is for demonstrations and never in production")]
    NoSoftCard { at: usize },
}

impl Fault {
    /// Returns the line of the fault, counted from 1.
    pub(super) fn line(&self, text: &str) -> usize {
        let at = match self {
            Self::Toml(error) => error.span().map_or(0, |span| span.start),
            Self::DuplicateName { at, .. }
            | Self::EmptyName { at }
            | Self::ControlInName { at }
            | Self::Protocol { at }
            | Self::Endpoint { at }
            | Self::MbusEndpoint { at, .. }
            | Self::Baud { at, .. }
            | Self::DuplicateEndpoint { at }
            | Self::OtherEndpoint { at, .. }
            | Self::MeteringPoint { at }
            | Self::PointConsumer { at, .. }
            | Self::NoMeters { at }
            | Self::DuplicateAddress { at }
            | Self::Period { at, .. }
            | Self::LivePeriod { at, .. }
            | Self::MbusMeter { at }
            | Self::MeterBaud { at, .. }
            | Self::Latency { at }
            | Self::KeyFile { at, .. }
            | Self::ModbusMeter { at }
            | Self::Profile { at, .. }
            | Self::NoIdentity { at, .. }
            | Self::Identity { at, .. }
            | Self::AnswerTimeout { at }
            | Self::ModbusEndpoint { at, .. }
            | Self::HistoryTooShort { at }
            | Self::OtpOffset { at }
            | Self::Heartbeat { at }
            | Self::TwoCards { at }
            | Self::BrokerAddress { at, .. }
            | Self::StartDelay { at }
            | Self::WebNames { at }
            | Self::Zone { at }
            | Self::Consumer { at }
            | Self::HomeAssistantBroker { at, .. }
            | Self::HomeAssistantAlone { at }
            | Self::HomeAssistantFarAway { at }
            | Self::HomeAssistantAccount { at, .. }
            | Self::HomeAssistantElements { at }
            | Self::HomeAssistantWord { at }
            | Self::WebNotLocal { at } => *at,
            #[cfg(not(feature = "soft-card"))]
            Self::NoSoftCard { at } => *at,
        };
        line_at(text, at)
    }
}

/// Returns the line of an offset in bytes, counted from 1.
pub(super) fn line_at(text: &str, at: usize) -> usize {
    text.bytes()
        .take(at)
        .filter(|byte| *byte == b'\n')
        .count()
        .saturating_add(1)
}
