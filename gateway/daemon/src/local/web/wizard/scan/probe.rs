//! The two kinds of line as the scan asks them, one address at a time.

use std::sync::Arc;
use std::time::Duration;

use bus::discovery::Discovery;
use bus::modbus_discovery::ModbusDiscovery;
use bus::{MbusEndpoint, MbusMaster, ModbusEndpoint, ModbusMaster, PollError};
use mbus::link::PrimaryAddress;
use mbus::master::Timing;
use modbus::Profile;

use super::turn::Refused;
use super::{Counted, FoundMeter, MOST_FOUND, Order, Scan};

/// A line that is asked.
pub(super) trait Probe {
    /// What comes of asking.
    type Report;

    /// Begins anew: the port is closed, and opened when it is next used.
    fn renew(&mut self);

    /// Asks one address, so often.
    async fn ask(&mut self, address: u8, tries: u8) -> Result<Vec<Self::Report>, PollError>;

    /// Adds what was counted on the line since it was last asked for.
    fn count(&mut self, sum: &mut Counted);

    /// Writes down what came of asking.
    fn take(scan: &mut Scan, report: Self::Report);
}

/// An M-Bus.
pub(super) struct MbusProbe {
    endpoint: MbusEndpoint,
    timing: Timing,
    master: MbusMaster,
}

impl MbusProbe {
    pub(super) fn new(order: &Order) -> Result<Self, Refused> {
        let (endpoint, baud) = order.mbus().ok_or(Refused::Endpoint)?;
        let timing = Timing::new(baud, Duration::from_millis(order.latency_ms));
        Ok(Self {
            master: MbusMaster::new(endpoint.clone(), timing),
            endpoint,
            timing,
        })
    }
}

impl Probe for MbusProbe {
    type Report = Discovery;

    fn renew(&mut self) {
        self.master = MbusMaster::new(self.endpoint.clone(), self.timing);
    }

    async fn ask(&mut self, address: u8, tries: u8) -> Result<Vec<Discovery>, PollError> {
        // An order has no other addresses.
        let primary: Vec<_> = PrimaryAddress::try_from(address).into_iter().collect();
        let mut reports = Vec::new();
        bus::discovery::scan(&mut self.master, &primary, tries, |report| reports.push(report)).await?;
        Ok(reports)
    }

    fn count(&mut self, sum: &mut Counted) {
        let counted = self.master.take_counters();
        sum.requests = sum.requests.saturating_add(counted.sent);
        sum.frames = sum.frames.saturating_add(counted.received);
        sum.timeouts = sum.timeouts.saturating_add(counted.timeouts);
        sum.damaged = sum.damaged.saturating_add(counted.damaged);
        sum.collisions = sum.collisions.saturating_add(counted.collisions);
    }

    fn take(scan: &mut Scan, report: Discovery) {
        match report {
            Discovery::Asking { .. } => {}
            Discovery::Meter { address, telegrams } if scan.found.len() < MOST_FOUND => {
                scan.found.push(FoundMeter::on_mbus(address, &telegrams));
            }
            Discovery::Meter { .. } => {}
            Discovery::Shared(address) => scan.shared.push(address.to_string()),
            Discovery::Missing { address, .. } => scan.shared.push(address.to_string()),
        }
    }
}

/// A Modbus endpoint.
pub(super) struct ModbusProbe {
    endpoint: ModbusEndpoint,
    profiles: Vec<Arc<Profile>>,
    wait: Duration,
    master: ModbusMaster,
}

impl ModbusProbe {
    pub(super) fn new(order: &Order) -> Result<Self, Refused> {
        let endpoint = order.modbus().ok_or(Refused::Endpoint)?;
        let texts = modbus::built_in_names().filter_map(modbus::built_in);
        // A test of the crate proves that every one of them is valid.
        let profiles = texts.filter_map(|text| Profile::parse(text).ok());
        Ok(Self {
            master: ModbusMaster::new(endpoint.clone()),
            endpoint,
            profiles: profiles.map(Arc::new).collect(),
            wait: Duration::from_millis(order.latency_ms),
        })
    }
}

impl Probe for ModbusProbe {
    type Report = ModbusDiscovery;

    fn renew(&mut self) {
        self.master = ModbusMaster::new(self.endpoint.clone());
    }

    async fn ask(&mut self, address: u8, tries: u8) -> Result<Vec<ModbusDiscovery>, PollError> {
        let Self {
            profiles,
            wait,
            master,
            ..
        } = self;
        let mut reports = Vec::new();
        bus::modbus_discovery::scan(master, &[address], profiles, *wait, tries, |report| {
            reports.push(report);
        })
        .await?;
        Ok(reports)
    }

    fn count(&mut self, sum: &mut Counted) {
        let counted = self.master.take_counters();
        sum.requests = sum.requests.saturating_add(counted.requests);
    }

    fn take(scan: &mut Scan, report: ModbusDiscovery) {
        match report {
            ModbusDiscovery::Unit(found) if scan.found.len() < MOST_FOUND => {
                scan.found.push(FoundMeter::on_modbus(&found));
            }
            ModbusDiscovery::Unit(_)
            | ModbusDiscovery::Asking { .. }
            | ModbusDiscovery::Trying { .. }
            | ModbusDiscovery::EveryUnit { .. } => {}
        }
    }
}
