//! The status of the gateway, as the local page, the command line and its JSON show it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use model::{CardId, Fingerprint, GatewayState, Reading, Span};
use serde::{Deserialize, Serialize};
use store::Store;
use tokio::sync::watch;

use crate::card::{SOFT_CARD, Standing};
use crate::codes::device as codes;
use crate::journal::Journal;
use crate::liveness::Vitals;
use crate::local::web::Shelf;
use crate::losses;
use crate::metering::{MeterView, StatisticsView};
use crate::mounts::Finding;
use crate::wan::BrokerView;

/// Everything that a status says. The schema is additive within its version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) schema: String,
    pub(crate) state: GatewayState,
    pub(crate) code: String,
    pub(crate) cause: String,
    pub(crate) remedy: String,
    /// More about the cause, if there is more to say.
    pub(crate) detail: Option<String>,
    /// The stable code of what keeps the gateway from serving, if it is the card or the binding.
    #[serde(default)]
    pub(crate) obstacle: Option<String>,
    /// The GUID that the gateway is bound to.
    pub(crate) guid: Option<CardId>,
    /// The version of the bundle in force.
    pub(crate) bundle_version: Option<u64>,
    /// Whether the card is, or can be, a file or a program on a virtual reader: never so in production.
    pub(crate) soft_card: bool,
    pub(crate) web: Option<String>,
    /// Where the local web with a login is, if there is one.
    #[serde(default)]
    pub(crate) https: Option<String>,
    /// The SHA-256 digest of its certificate, as browsers show it.
    #[serde(default)]
    pub(crate) https_fingerprint: Option<Fingerprint>,
    pub(crate) wan: Option<SocketAddr>,
    /// How it stands with the broker, if there is one.
    #[serde(default)]
    pub(crate) broker: Option<BrokerView>,
    pub(crate) registration_period: Span,
    /// How often fast values are read for display between the rounds, if they are.
    #[serde(default)]
    pub(crate) live_period: Option<Span>,
    /// What is wrong with the device and does not stop it.
    #[serde(default)]
    pub(crate) findings: Vec<Finding>,
    /// The memory that the daemon has in use, in KiB.
    pub(crate) rss_kb: Option<u64>,
    pub(crate) meters: Vec<MeterView>,
    /// What has been counted on each bus.
    #[serde(default)]
    pub(crate) buses: BTreeMap<String, StatisticsView>,
}

/// The name of the schema and its version.
const SCHEMA: &str = "smgw.status/1";

/// Where a status comes from.
#[derive(Debug, Clone)]
pub(crate) struct StatusSource {
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) meters: watch::Receiver<Vec<MeterView>>,
    /// The latest values that applications have made.
    pub(crate) made: watch::Receiver<Vec<Reading>>,
    pub(crate) registration_period: Span,
    pub(crate) live_period: Option<Span>,
    pub(crate) web: Option<SocketAddr>,
    pub(crate) https: Option<SocketAddr>,
    pub(crate) certificate: Option<Shelf>,
    pub(crate) wan: Option<SocketAddr>,
    pub(crate) broker: Option<watch::Receiver<BrokerView>>,
    /// What was found at the start.
    pub(crate) findings: Arc<[Finding]>,
    pub(crate) journal: Journal,
    /// What knows the losses, which may be found later too.
    pub(crate) store: Arc<Store>,
    /// What monitoring is told besides.
    pub(crate) vitals: Vitals,
}

impl StatusSource {
    /// Returns whether the card is, or can be, a soft one.
    pub(crate) fn has_soft_card(&self) -> bool {
        SOFT_CARD || self.standing.borrow().soft_card
    }

    /// Returns the status at this moment.
    pub(crate) fn status(&self) -> Status {
        let standing = self.standing.borrow().clone();
        let identity = standing.identity.as_ref();
        let bundle = identity.and_then(|identity| identity.bundle.as_ref());
        let findings = findings(&self.findings, &self.store, &self.journal);
        let state = reported(standing.state, !findings.is_empty());
        let mut meters = self.meters.borrow().clone();
        show_made(&mut meters, &self.made.borrow());
        Status {
            schema: SCHEMA.to_owned(),
            state,
            code: state.code().to_owned(),
            cause: state.cause().to_owned(),
            remedy: standing
                .obstacle
                .map_or_else(|| state.remedy(), |obstacle| obstacle.remedy)
                .to_owned(),
            obstacle: standing.obstacle.map(|obstacle| obstacle.code.to_owned()),
            detail: standing.detail,
            guid: standing.bound_to,
            bundle_version: bundle.map(|bundle| bundle.version),
            soft_card: SOFT_CARD || standing.soft_card,
            web: self.web.map(|address| format!("http://{address}/")),
            https: self.https.map(|address| format!("https://{address}/")),
            https_fingerprint: self.certificate.as_ref().and_then(Shelf::fingerprint),
            wan: self.wan,
            broker: self.broker.as_ref().map(|broker| broker.borrow().clone()),
            registration_period: self.registration_period,
            live_period: self.live_period,
            findings,
            rss_kb: resident_memory_kib(),
            buses: by_bus(&meters),
            meters,
        }
    }
}

/// Returns what is wrong with the device and does not stop it: what was found at the start, and since.
pub(crate) fn findings(at_the_start: &[Finding], store: &Store, journal: &Journal) -> Vec<Finding> {
    let mut findings = at_the_start.to_vec();
    findings.extend(losses::findings(&store.database().losses()));
    findings.extend(store.access().damaged().into_iter().map(damaged_access));
    findings.extend(journal.findings());
    findings
}

/// Returns what is wrong with a file that says who may use the local web: nobody gets in by a damaged one.
fn damaged_access(file: &str) -> Finding {
    let text = format!("The file {file} is damaged: nobody can use the local web over HTTPS.");
    Finding::new(codes::ACCESS_DAMAGED, text)
}

/// Returns the state that is reported: a gateway that serves, and with which something is wrong, is degraded.
///
/// It goes on serving. A state that stops the service says more than a finding does, and stays.
pub(crate) const fn reported(state: GatewayState, has_findings: bool) -> GatewayState {
    match state {
        GatewayState::Operational if has_findings => GatewayState::Degraded,
        state => state,
    }
}

/// Shows what applications have made of a meter's elements beside those.
fn show_made(meters: &mut [MeterView], made: &[Reading]) {
    for reading in made {
        let meter = meters
            .iter_mut()
            .find(|meter| meter.id.as_ref() == Some(&reading.element.meter));
        if let Some(meter) = meter {
            meter.values.push(reading.into());
        }
    }
}

/// Adds up what was counted for the meters of each bus.
fn by_bus(meters: &[MeterView]) -> BTreeMap<String, StatisticsView> {
    let mut buses: BTreeMap<String, StatisticsView> = BTreeMap::new();
    for meter in meters {
        let sum = buses.entry(meter.bus.clone()).or_default();
        *sum = sum.plus(meter.statistics);
    }
    buses
}

/// Reads from the kernel how much memory this process has in use, in KiB.
fn resident_memory_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.state, self.code)?;
        match &self.obstacle {
            Some(obstacle) => writeln!(formatter, ", {obstacle}")?,
            None => writeln!(formatter)?,
        }
        writeln!(formatter, "  {}", self.detail.as_deref().unwrap_or(&self.cause))?;
        writeln!(formatter, "  {}", self.remedy)?;
        if self.soft_card {
            writeln!(
                formatter,
                "  The card is, or can be, a SOFT CARD: this is not for production."
            )?;
        }
        for Finding { code, text, remedy } in &self.findings {
            writeln!(formatter, "  {code}: {text}")?;
            writeln!(formatter, "    {remedy}")?;
        }
        let guid = self
            .guid
            .map_or_else(|| "not bound".to_owned(), |guid| guid.to_string());
        writeln!(formatter, "GUID   {guid}")?;
        writeln!(formatter, "web    {}", self.web.as_deref().unwrap_or("off"))?;
        if let Some(https) = &self.https {
            let fingerprint = self.https_fingerprint;
            let fingerprint = fingerprint.map_or_else(|| "no certificate".to_owned(), |one| one.to_string());
            writeln!(formatter, "HTTPS  {https} SHA-256 {fingerprint}")?;
        }
        let wan = self
            .wan
            .map_or_else(|| "off".to_owned(), |address| address.to_string());
        writeln!(formatter, "WAN    {wan}")?;
        if let Some(broker) = &self.broker {
            writeln!(formatter, "broker {broker}")?;
        }
        for meter in &self.meters {
            let id = meter.id.as_ref().map_or("not yet read", |id| id.as_str());
            writeln!(formatter, "{:<20} {id}", meter.name)?;
            if let Some(error) = &meter.error {
                writeln!(formatter, "  {error}")?;
            }
            for value in &meter.values {
                writeln!(formatter, "  {value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateway_that_serves_with_a_finding_is_degraded() {
        for state in GatewayState::ALL {
            assert_eq!(reported(state, false), state);
            let degraded = state == GatewayState::Operational || state == GatewayState::Degraded;
            let expected = if degraded { GatewayState::Degraded } else { state };
            assert_eq!(reported(state, true), expected);
        }
    }

    #[test]
    fn the_kernel_says_how_much_memory_is_in_use() {
        assert!(resident_memory_kib().unwrap() > 100);
    }
}
