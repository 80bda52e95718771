//! The configuration as it stands in the file, and how its parts are checked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bus::{BusConfig, DEFAULT_ANSWER_TIMEOUT, MeterConfig, ModbusUnit, Port};
use mbus::link::PrimaryAddress;
use mbus::master::{BaudRate, Timing};
use modbus::Profile;
use model::Span;
use serde::Deserialize;
use toml::Spanned;

use super::{CardSlot, Fault};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) data: PathBuf,
    #[serde(default = "quarter_hour")]
    pub(super) registration_period: Span,
    #[serde(default)]
    pub(super) card: CardSection,
    pub(super) control: ControlSection,
    pub(super) web: Option<WebSection>,
    pub(super) wan: Option<WanSection>,
    #[serde(default)]
    pub(super) bus: Vec<BusSection>,
}

const fn quarter_hour() -> Span {
    Span::QUARTER_HOUR
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CardSection {
    soft: Option<Spanned<PathBuf>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ControlSection {
    pub(super) socket: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebSection {
    pub(super) listen: Spanned<SocketAddr>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WanSection {
    pub(super) listen: SocketAddr,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BusSection {
    pub(super) name: Spanned<String>,
    mbus: Option<String>,
    modbus: Option<String>,
    #[serde(default)]
    pub(super) meter: Vec<MeterSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MeterSection {
    pub(super) name: Spanned<String>,
    primary: Option<u8>,
    unit: Option<u8>,
    profile: Option<Spanned<String>>,
}

impl CardSection {
    pub(super) fn slot(self) -> Result<CardSlot, Fault> {
        match self.soft {
            None => Ok(CardSlot::None),
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
    pub(super) fn check(&self) -> Result<BusConfig, Fault> {
        let port = match (&self.mbus, &self.modbus) {
            (Some(endpoint), None) => Port::MbusTcp {
                endpoint: endpoint.clone(),
                timing: Timing::new(BaudRate::B2400, Timing::CONVERTER_ALLOWANCE),
                meters: self.meters(MeterSection::primary_address)?,
            },
            (None, Some(endpoint)) => Port::ModbusTcp {
                endpoint: endpoint.clone(),
                answer_timeout: DEFAULT_ANSWER_TIMEOUT,
                meters: self.meters(MeterSection::modbus_unit)?,
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

    fn meters<A>(
        &self,
        address: impl Fn(&MeterSection) -> Result<A, Fault>,
    ) -> Result<Vec<MeterConfig<A>>, Fault> {
        let configure = |meter: &MeterSection| {
            Ok(MeterConfig {
                name: meter.name.get_ref().clone(),
                address: address(meter)?,
            })
        };
        self.meter.iter().map(configure).collect()
    }
}

impl MeterSection {
    fn primary_address(&self) -> Result<PrimaryAddress, Fault> {
        let fault = Fault::MbusMeter {
            at: self.name.span().start,
        };
        match (self.primary, self.unit, &self.profile) {
            (Some(address), None, None) => PrimaryAddress::try_from(address).map_err(|_| fault),
            _ => Err(fault),
        }
    }

    fn modbus_unit(&self) -> Result<ModbusUnit, Fault> {
        let fault = Fault::ModbusMeter {
            at: self.name.span().start,
        };
        let (None, Some(unit @ (1..=247 | 255)), Some(profile)) = (self.primary, self.unit, &self.profile)
        else {
            return Err(fault);
        };
        let at = profile.span().start;
        let text = modbus::built_in(profile.get_ref()).ok_or_else(|| Fault::UnknownProfile {
            name: profile.get_ref().clone(),
            known: modbus::built_in_names().collect::<Vec<_>>().join(", "),
            at,
        })?;
        let profile = Profile::parse(text).map_err(|source| Fault::Profile {
            at,
            source: Box::new(source),
        })?;
        Ok(ModbusUnit {
            unit,
            profile: Arc::new(profile),
        })
    }
}
