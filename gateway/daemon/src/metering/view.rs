//! What is shown of the meters: the last values, and whether they answer.

use std::fmt;

use bus::{BusConfig, Port, Statistics};
use model::{Decimal, Element, Medium, MeterId, Obis, Quantity, Reading, Status, Timestamp, Unit};
use serde::{Deserialize, Serialize};

/// A meter as the local page and the command line show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MeterView {
    /// The name in the configuration.
    pub(crate) name: String,
    /// The bus that it is on.
    pub(crate) bus: String,
    /// Who the meter says it is, once it has answered.
    pub(crate) id: Option<MeterId>,
    /// What it measures.
    pub(crate) medium: Option<Medium>,
    /// The point of the grid for which it last gave values.
    pub(crate) last_success: Option<Timestamp>,
    /// Why the last attempt failed, if it did.
    pub(crate) error: Option<String>,
    /// The last values, registered or not.
    pub(crate) values: Vec<ValueView>,
    /// The last values that were registered: an older point of the grid may be all that is wanted of an element.
    #[serde(skip)]
    pub(crate) registered: Vec<ValueView>,
    /// What has been counted since the daemon was started.
    #[serde(default)]
    pub(crate) statistics: StatisticsView,
}

impl MeterView {
    /// Returns what is in memory of the meter's elements.
    pub(crate) fn readings(&self) -> impl Iterator<Item = Reading> {
        let values = self.registered.iter().chain(&self.values);
        let known = self.id.iter().flat_map(move |meter| {
            let values = values.clone();
            values.map(move |value| (meter, value))
        });
        known.map(|(meter, value)| Reading {
            element: Element {
                meter: meter.clone(),
                obis: value.obis,
            },
            time: value.time,
            quantity: Quantity {
                value: value.value,
                unit: value.unit,
            },
            status: value.status,
        })
    }
}

impl From<&Reading> for ValueView {
    fn from(reading: &Reading) -> Self {
        Self {
            obis: reading.element.obis,
            value: reading.quantity.value,
            unit: reading.quantity.unit,
            time: reading.time,
            status: reading.status,
        }
    }
}

/// What has been counted for a meter or a bus since the daemon was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct StatisticsView {
    /// Rounds in which it was asked.
    pub(crate) polls: u64,
    /// Rounds in which it gave its values.
    pub(crate) answers: u64,
    /// Rounds in which it was left out.
    pub(crate) skipped: u64,
    /// Requests that were sent, repetitions included.
    pub(crate) requests: u64,
    /// Requests among them that repeated an earlier one.
    pub(crate) retries: u64,
    /// Connections that were opened.
    pub(crate) connections: u64,
    /// M-Bus frames that answered a request.
    pub(crate) frames: u64,
    /// M-Bus tries that nothing answered.
    pub(crate) timeouts: u64,
    /// M-Bus tries in which damaged frames came, such as those with a wrong checksum.
    pub(crate) checksum_errors: u64,
    /// M-Bus tries in which several meters answered at once.
    pub(crate) collisions: u64,
    /// M-Bus frames that answered nothing.
    pub(crate) strays: u64,
    /// How long the last poll took that gave values, in milliseconds; of a bus, the longest.
    pub(crate) answer_ms: Option<u64>,
}

impl StatisticsView {
    /// Adds what was counted for another meter of the same bus.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            polls: self.polls.saturating_add(other.polls),
            answers: self.answers.saturating_add(other.answers),
            skipped: self.skipped.saturating_add(other.skipped),
            requests: self.requests.saturating_add(other.requests),
            retries: self.retries.saturating_add(other.retries),
            connections: self.connections.saturating_add(other.connections),
            frames: self.frames.saturating_add(other.frames),
            timeouts: self.timeouts.saturating_add(other.timeouts),
            checksum_errors: self.checksum_errors.saturating_add(other.checksum_errors),
            collisions: self.collisions.saturating_add(other.collisions),
            strays: self.strays.saturating_add(other.strays),
            answer_ms: self.answer_ms.max(other.answer_ms),
        }
    }
}

impl From<Statistics> for StatisticsView {
    fn from(counted: Statistics) -> Self {
        Self {
            polls: counted.polls,
            answers: counted.answers,
            skipped: counted.skipped,
            requests: counted.requests,
            retries: counted.retries,
            connections: counted.connections,
            frames: counted.link.received,
            timeouts: counted.link.timeouts,
            checksum_errors: counted.link.damaged,
            collisions: counted.link.collisions,
            strays: counted.link.strays,
            answer_ms: counted
                .answer_time
                .and_then(|time| u64::try_from(time.as_millis()).ok()),
        }
    }
}

/// The last value of an element.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ValueView {
    /// What is measured.
    pub(crate) obis: Obis,
    /// The value.
    pub(crate) value: Decimal,
    /// Its unit.
    pub(crate) unit: Unit,
    /// The point of the grid that it belongs to, or of the live one.
    pub(crate) time: Timestamp,
    /// What is to be known about it.
    #[serde(default)]
    pub(crate) status: Status,
}

impl fmt::Display for ValueView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (obis, quantity) = (self.obis.to_string(), self.value.to_string());
        write!(
            formatter,
            "{obis:<20} {quantity:>18} {:<6} {}",
            self.unit, self.time
        )
    }
}

/// Returns the meters of the configuration, before any has been read.
pub(super) fn unread(buses: &[BusConfig]) -> Vec<MeterView> {
    let meters = buses.iter().flat_map(|bus| {
        let names: Vec<&String> = match &bus.port {
            Port::Mbus { meters, .. } => meters.iter().map(|meter| &meter.name).collect(),
            Port::Modbus { meters, .. } => meters.iter().map(|meter| &meter.name).collect(),
        };
        names.into_iter().map(|name| (bus.name.clone(), name.clone()))
    });
    meters
        .map(|(bus, name)| MeterView {
            name,
            bus,
            id: None,
            medium: None,
            last_success: None,
            error: None,
            values: Vec::new(),
            registered: Vec::new(),
            statistics: StatisticsView::default(),
        })
        .collect()
}
