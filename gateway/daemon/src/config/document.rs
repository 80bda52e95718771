//! The configuration as it stands in the file, and how its parts are checked.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use broker::Protocol;
use bus::{BusConfig, MbusEndpoint, MeterConfig, ModbusEndpoint, ModbusStation, Port, is_host_and_port};
use mbus::application::Key;
use mbus::link::{PrimaryAddress, SecondaryAddress};
use mbus::master::{BaudRate, ByteOrder, Station, Timing, UnknownBaudRate};
use model::{MeterId, Span};
use serde::Deserialize;
use store::{LogLimits, OtpPlace, SentLimits};
use toml::Spanned;
use zeroize::Zeroizing;

use crate::mbus::{DEFAULT_LATENCY_MS, KeyDigits, MAX_LATENCY_MS};

use super::home_assistant::HomeAssistantSection;
use super::web::WebSection;
use super::{CardConfig, CardSlot, Fault};
use crate::modbus::source;
use crate::wan::BrokerConfig;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) data: PathBuf,
    pub(super) registration_period: Option<Spanned<Span>>,
    pub(super) live_period: Option<Spanned<Span>>,
    #[serde(default)]
    pub(super) store: StoreSection,
    #[serde(default)]
    pub(super) logs: LogsSection,
    #[serde(default)]
    pub(super) card: CardSection,
    pub(super) control: ControlSection,
    pub(super) web: Option<WebSection>,
    pub(super) home_assistant: Option<HomeAssistantSection>,
    #[serde(default)]
    pub(super) wan: WanSection,
    #[serde(default)]
    pub(super) bus: Vec<BusSection>,
}

/// Takes a period whose grid is the same every day.
pub(super) fn check_period(period: Option<Spanned<Span>>) -> Result<Span, Fault> {
    let Some(spanned) = period else {
        return Ok(Span::QUARTER_HOUR);
    };
    let (at, period) = (spanned.span().start, spanned.into_inner());
    if Span::DAY.is_multiple_of(period) {
        Ok(period)
    } else {
        Err(Fault::Period { period, at })
    }
}

/// Takes the period of what is read for display, which lies between the rounds that are registered. No span is shorter than
/// a second.
pub(super) fn check_live_period(
    period: Option<Spanned<Span>>,
    registration: Span,
) -> Result<Option<Span>, Fault> {
    match period {
        None => Ok(None),
        Some(period) if *period.get_ref() < registration => Ok(Some(period.into_inner())),
        Some(period) => Err(Fault::LivePeriod {
            at: period.span().start,
            registration,
        }),
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoreSection {
    pub(super) device_key: Option<PathBuf>,
    pub(super) otp: Option<Spanned<OtpSection>>,
    history: Option<Spanned<Span>>,
    sent_age: Option<Span>,
    sent_bytes: Option<u64>,
}

/// How long readings are kept unless the file says otherwise: 24 months.
const DEFAULT_HISTORY: Span = match Span::from_seconds(730 * Span::DAY.seconds()) {
    Some(history) => history,
    None => Span::DAY,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OtpSection {
    file: PathBuf,
    #[serde(default)]
    offset: u64,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogsSection {
    system_bytes: Option<u64>,
    system_age: Option<Span>,
    consumer_bytes: Option<u64>,
    consumer_age: Option<Span>,
    calibration_bytes: Option<u64>,
}

impl LogsSection {
    pub(super) fn limits(&self) -> LogLimits {
        let default = LogLimits::default();
        LogLimits {
            system_bytes: self.system_bytes.unwrap_or(default.system_bytes),
            system_age: self.system_age.unwrap_or(default.system_age),
            consumer_bytes: self.consumer_bytes.unwrap_or(default.consumer_bytes),
            consumer_age: self.consumer_age.unwrap_or(default.consumer_age),
            calibration_bytes: self.calibration_bytes.unwrap_or(default.calibration_bytes),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CardSection {
    reader: Option<String>,
    soft: Option<Spanned<PathBuf>>,
    heartbeat_ms: Option<Spanned<u64>>,
    #[serde(default)]
    binding: BindingSection,
}

/// When a card is bound.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum BindingSection {
    /// At its insertion.
    #[default]
    Automatic,
    /// After the technician's confirmation.
    Confirmed,
}

/// How often the card is looked after unless the file says otherwise, in milliseconds. With it, a card that is taken
/// out is missed well within a second.
const DEFAULT_HEARTBEAT_MS: u64 = 250;
/// How often the card can be looked after, in milliseconds: seldom enough for a slow card to do something else as well,
/// often enough that the service stops within a second when the card is gone.
const HEARTBEATS_MS: RangeInclusive<u64> = 50..=500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ControlSection {
    pub(super) socket: PathBuf,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WanSection {
    pub(super) listen: Option<SocketAddr>,
    pub(super) broker: Option<BrokerSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BrokerSection {
    address: Spanned<String>,
    #[serde(default)]
    mqtt: MqttVersion,
    start_delay: Option<Spanned<Span>>,
    root: Option<PathBuf>,
}

/// Which version of MQTT is spoken.
#[derive(Clone, Copy, Default, Deserialize)]
enum MqttVersion {
    #[default]
    #[serde(rename = "5")]
    Five,
    #[serde(rename = "3.1.1")]
    ThreeOneOne,
}

/// The longest random wait for the broker after the start, unless the file says otherwise: power returns to a whole
/// street at once.
const DEFAULT_START_DELAY: Span = Span::QUARTER_HOUR;
/// The longest that can be set; a day without a gateway is a fault and no pause.
const MAX_START_DELAY: Span = Span::DAY;

impl BrokerSection {
    pub(super) fn check(self) -> Result<BrokerConfig, Fault> {
        let at = self.address.span().start;
        let address = self.address.get_ref().parse();
        let start_delay = match self.start_delay {
            None => DEFAULT_START_DELAY,
            Some(delay) if *delay.get_ref() <= MAX_START_DELAY => delay.into_inner(),
            Some(delay) => {
                return Err(Fault::StartDelay {
                    at: delay.span().start,
                });
            }
        };
        Ok(BrokerConfig {
            address: address.map_err(|source| Fault::BrokerAddress { at, source })?,
            protocol: match self.mqtt {
                MqttVersion::Five => Protocol::Five,
                MqttVersion::ThreeOneOne => Protocol::ThreeOneOne,
            },
            start_delay: Duration::from_secs(u64::from(start_delay.seconds())),
            root: self.root,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BusSection {
    pub(super) name: Spanned<String>,
    mbus: Option<Spanned<String>>,
    modbus: Option<Spanned<String>>,
    baud: Option<Spanned<u32>>,
    latency_ms: Option<Spanned<u64>>,
    #[serde(default)]
    pub(super) meter: Vec<MeterSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MeterSection {
    pub(super) name: Spanned<String>,
    primary: Option<u8>,
    secondary: Option<String>,
    baud: Option<Spanned<u32>>,
    application_reset: Option<u8>,
    byte_order: Option<SelectionOrder>,
    key_file: Option<Spanned<PathBuf>>,
    unit: Option<u8>,
    profile: Option<Spanned<String>>,
    id: Option<Spanned<String>>,
    answer_timeout_ms: Option<Spanned<u64>>,
}

/// In which order of bytes a meter is selected.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SelectionOrder {
    LeastFirst,
    MostFirst,
}

impl StoreSection {
    /// Returns how much is kept of what suppliers were given.
    pub(super) fn sent(&self) -> SentLimits {
        let default = SentLimits::default();
        SentLimits {
            age: self.sent_age.unwrap_or(default.age),
            bytes: self.sent_bytes.unwrap_or(default.bytes),
        }
    }

    /// Returns how long readings are kept: as the file says, else 24 months.
    pub(super) fn history(&self) -> Result<Span, Fault> {
        match &self.history {
            None => Ok(DEFAULT_HISTORY),
            Some(history) if *history.get_ref() >= Span::DAY => Ok(*history.get_ref()),
            Some(history) => Err(Fault::HistoryTooShort {
                at: history.span().start,
            }),
        }
    }

    pub(super) fn otp(&self) -> Result<Option<OtpPlace>, Fault> {
        let Some(section) = &self.otp else {
            return Ok(None);
        };
        let OtpSection { file, offset } = section.get_ref();
        if offset % OtpPlace::WORD == 0 {
            let file = file.clone();
            Ok(Some(OtpPlace {
                file,
                offset: *offset,
            }))
        } else {
            let at = section.span().start;
            Err(Fault::OtpOffset { at })
        }
    }
}

impl CardSection {
    pub(super) fn check(self) -> Result<CardConfig, Fault> {
        let heartbeat_ms = match &self.heartbeat_ms {
            None => DEFAULT_HEARTBEAT_MS,
            Some(ms) if HEARTBEATS_MS.contains(ms.get_ref()) => *ms.get_ref(),
            Some(ms) => return Err(Fault::Heartbeat { at: ms.span().start }),
        };
        Ok(CardConfig {
            waits_for_confirmation: self.binding == BindingSection::Confirmed,
            slot: self.slot()?,
            heartbeat: Duration::from_millis(heartbeat_ms),
        })
    }

    fn slot(self) -> Result<CardSlot, Fault> {
        match self.soft {
            None => Ok(CardSlot::Reader(self.reader)),
            Some(file) if self.reader.is_some() => Err(Fault::TwoCards {
                at: file.span().start,
            }),
            #[cfg(feature = "soft-card")]
            Some(file) => Ok(CardSlot::Soft(file.into_inner())),
            #[cfg(not(feature = "soft-card"))]
            Some(file) => Err(Fault::NoSoftCard {
                at: file.span().start,
            }),
        }
    }
}

impl BusSection {
    /// Adds the meters of a bus of the same name, which has the same endpoint or none.
    pub(super) fn take(&mut self, other: Self) -> Result<(), Fault> {
        let is_same = match (other.endpoint(), self.endpoint()) {
            (None, _) => true,
            (Some(other), Some(own)) => super::line_of(other.get_ref()) == super::line_of(own.get_ref()),
            (Some(_), None) => false,
        };
        if !is_same {
            let at = other.name.span().start;
            let name = other.name.into_inner();
            return Err(Fault::OtherEndpoint { name, at });
        }
        self.meter.extend(other.meter);
        Ok(())
    }

    /// Returns the endpoint that is given, if one is.
    pub(super) fn endpoint(&self) -> Option<&Spanned<String>> {
        self.mbus.as_ref().or(self.modbus.as_ref())
    }

    pub(super) fn check(&self) -> Result<BusConfig, Fault> {
        if self.meter.is_empty() {
            return Err(Fault::NoMeters {
                at: self.name.span().start,
            });
        }
        let port = match (&self.mbus, &self.modbus) {
            (Some(endpoint), None) => {
                let endpoint = mbus_endpoint(endpoint)?;
                self.check_speeds(&endpoint)?;
                Port::Mbus {
                    timing: Timing::new(self.baud_rate(&endpoint)?, self.latency()?),
                    endpoint,
                    meters: self.meters(MeterSection::station)?,
                }
            }
            (None, Some(_)) if self.baud.is_some() => return Err(self.baud_fault(None)),
            (None, Some(_)) if self.latency_ms.is_some() => return Err(self.latency_fault()),
            (None, Some(endpoint)) => Port::Modbus {
                endpoint: modbus_endpoint(endpoint)?,
                meters: self.meters(MeterSection::modbus_station)?,
            },
            (Some(_), Some(_)) | (None, None) => {
                return Err(Fault::Protocol {
                    at: self.name.span().start,
                });
            }
        };
        Ok(BusConfig {
            name: self.name.get_ref().clone(),
            port,
        })
    }

    /// Refuses a speed of a meter's own behind a converter, whose speed nobody here can change.
    fn check_speeds(&self, endpoint: &MbusEndpoint) -> Result<(), Fault> {
        let own = self.meter.iter().find_map(|meter| meter.baud.as_ref());
        match (endpoint, own) {
            (MbusEndpoint::Tcp { .. }, Some(baud)) => Err(Fault::MeterBaud {
                at: baud.span().start,
                source: None,
            }),
            (MbusEndpoint::Tcp { .. }, None) | (MbusEndpoint::Serial { .. }, _) => Ok(()),
        }
    }

    /// Returns the speed of the bus: a serial port names it itself.
    fn baud_rate(&self, endpoint: &MbusEndpoint) -> Result<BaudRate, Fault> {
        match (&self.baud, endpoint) {
            (None, endpoint) => Ok(endpoint.baud_rate()),
            (Some(baud), MbusEndpoint::Tcp { .. }) => {
                BaudRate::try_from(*baud.get_ref()).map_err(|source| self.baud_fault(Some(source)))
            }
            (Some(_), MbusEndpoint::Serial { .. }) => Err(self.baud_fault(None)),
        }
    }

    /// Returns what the converter adds to the time of an answer.
    fn latency(&self) -> Result<Duration, Fault> {
        match &self.latency_ms {
            None => Ok(Duration::from_millis(DEFAULT_LATENCY_MS)),
            Some(ms) if *ms.get_ref() <= MAX_LATENCY_MS => Ok(Duration::from_millis(*ms.get_ref())),
            Some(_) => Err(self.latency_fault()),
        }
    }

    fn latency_fault(&self) -> Fault {
        let at = self.latency_ms.as_ref().map_or(0, |ms| ms.span().start);
        Fault::Latency { at }
    }

    fn baud_fault(&self, source: Option<UnknownBaudRate>) -> Fault {
        let at = self.baud.as_ref().map_or(0, |baud| baud.span().start);
        Fault::Baud { at, source }
    }

    fn meters<A>(
        &self,
        address: impl Fn(&MeterSection) -> Result<A, Fault>,
    ) -> Result<Vec<MeterConfig<A>>, Fault> {
        let mut addresses = BTreeSet::new();
        let mut configure = |meter: &MeterSection| {
            if !addresses.insert((meter.primary, meter.unit, meter.secondary.clone())) {
                return Err(Fault::DuplicateAddress {
                    at: meter.name.span().start,
                });
            }
            Ok(MeterConfig {
                name: meter.name.get_ref().clone(),
                address: address(meter)?,
            })
        };
        self.meter.iter().map(&mut configure).collect()
    }
}

/// Takes `tcp:HOST:PORT` or `serial:DEVICE:BAUD`; `HOST:PORT` alone is a converter on TCP.
fn mbus_endpoint(endpoint: &Spanned<String>) -> Result<MbusEndpoint, Fault> {
    let text = endpoint.get_ref();
    if text.starts_with("tcp:") || text.starts_with("serial:") {
        return text.parse().map_err(|source| Fault::MbusEndpoint {
            at: endpoint.span().start,
            source,
        });
    }
    host_and_port(endpoint).map(|address| MbusEndpoint::Tcp { address })
}

/// Takes `tcp:HOST:PORT`, `rtutcp:HOST:PORT` or `rtu:DEVICE:BAUD:8E1`; `HOST:PORT` alone is Modbus TCP.
fn modbus_endpoint(endpoint: &Spanned<String>) -> Result<ModbusEndpoint, Fault> {
    let text = endpoint.get_ref();
    if ["tcp:", "rtutcp:", "rtu:"]
        .iter()
        .any(|kind| text.starts_with(kind))
    {
        return text.parse().map_err(|source| Fault::ModbusEndpoint {
            at: endpoint.span().start,
            source,
        });
    }
    host_and_port(endpoint).map(|address| ModbusEndpoint::Tcp { address })
}

fn host_and_port(endpoint: &Spanned<String>) -> Result<String, Fault> {
    let text = endpoint.get_ref();
    if is_host_and_port(text) {
        Ok(text.clone())
    } else {
        Err(Fault::Endpoint {
            at: endpoint.span().start,
        })
    }
}

/// Reads the AES key of a meter from its file.
fn key_in(file: &Spanned<PathBuf>) -> Result<Key, Fault> {
    let fault = |source| Fault::KeyFile {
        at: file.span().start,
        source,
    };
    let text = std::fs::read_to_string(file.get_ref()).map(Zeroizing::new);
    let text = text.map_err(|source| fault(Some(source)))?;
    KeyDigits::parse(&text)
        .map(|digits| digits.0)
        .map_err(|_| fault(None))
}

impl MeterSection {
    fn station(&self) -> Result<Station, Fault> {
        let fault = Fault::MbusMeter {
            at: self.name.span().start,
        };
        if self.id.is_some() || self.answer_timeout_ms.is_some() {
            return Err(fault);
        }
        let station = match (self.primary, &self.secondary, self.unit, &self.profile) {
            (Some(address), None, None, None) if self.byte_order.is_none() => {
                let address = PrimaryAddress::try_from(address).map_err(|_| fault)?;
                Station::new(address)
            }
            (None, Some(address), None, None) => {
                let address: SecondaryAddress = address.parse().map_err(|_| fault)?;
                Station::new(address)
            }
            _ => return Err(fault),
        };
        let station = match self.byte_order {
            None | Some(SelectionOrder::LeastFirst) => station,
            Some(SelectionOrder::MostFirst) => station.with_byte_order(ByteOrder::MostFirst),
        };
        let station = match self.application_reset {
            None => station,
            Some(subcode) => station.with_application_reset(subcode),
        };
        let station = match &self.key_file {
            None => station,
            Some(file) => station.with_key(key_in(file)?),
        };
        let Some(baud) = &self.baud else {
            return Ok(station);
        };
        BaudRate::try_from(*baud.get_ref())
            .map(|rate| station.at(rate))
            .map_err(|source| Fault::MeterBaud {
                at: baud.span().start,
                source: Some(source),
            })
    }

    /// Returns whether the meter has keys that only an M-Bus knows.
    const fn is_of_mbus(&self) -> bool {
        self.primary.is_some()
            || self.secondary.is_some()
            || self.baud.is_some()
            || self.application_reset.is_some()
            || self.byte_order.is_some()
            || self.key_file.is_some()
    }

    fn modbus_station(&self) -> Result<ModbusStation, Fault> {
        let fault = Fault::ModbusMeter {
            at: self.name.span().start,
        };
        let (false, Some(unit @ (1..=247 | 255)), Some(name)) = (self.is_of_mbus(), self.unit, &self.profile)
        else {
            return Err(fault);
        };
        let at = name.span().start;
        let profile = source::load(name.get_ref()).map_err(|source| Fault::Profile {
            at,
            source: Box::new(source),
        })?;
        if profile.serial_number().is_none() && self.id.is_none() {
            let name = profile.name().to_owned();
            return Err(Fault::NoIdentity { name, at });
        }
        let mut station = ModbusStation::new(unit, Arc::new(profile));
        if let Some(id) = &self.id {
            let identity: MeterId = id.get_ref().parse().map_err(|source| Fault::Identity {
                at: id.span().start,
                source,
            })?;
            station = station.with_identity(identity);
        }
        match &self.answer_timeout_ms {
            None => Ok(station),
            Some(ms) if ANSWER_TIMEOUTS_MS.contains(ms.get_ref()) => {
                Ok(station.with_answer_timeout(Duration::from_millis(*ms.get_ref())))
            }
            Some(ms) => Err(Fault::AnswerTimeout { at: ms.span().start }),
        }
    }
}

/// How long a Modbus answer can be waited for, in milliseconds: from a meter on the same board to one behind
/// two gateways.
const ANSWER_TIMEOUTS_MS: RangeInclusive<u64> = 10..=60_000;
