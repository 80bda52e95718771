//! The gateways as the TSM knows them: from their signed reports, and from its own books.

use std::fmt;
use std::path::{Path, PathBuf};

use counterparty::exchange::{GatewayAddress, GatewayAddressError};
use counterparty::files::{self, FileError};
use messages::content::{ReportedFinding, SoftwareVersion};
use model::{CardId, Fingerprint, GatewayState, ParseIdentityError, Timestamp};
use serde::Serialize;

use crate::books::{Books, BooksError, GatewayEntry};
use crate::tsm::transport::own_address;

/// The greatest size of a list of gateways in bytes: some 100,000 lines.
const MAX_LIST: usize = 16 * 1_024 * 1_024;
/// The forecast counts certificates that end within so many days.
const FORECAST_DAYS: [u32; 4] = [30, 90, 365, 730];
/// The seconds of a day.
const DAY: i64 = 86_400;

/// The reason why gateways were not shown or registered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatewaysError {
    /// The books cannot be read, or a card is not known.
    #[error(transparent)]
    Books(#[from] BooksError),
    /// The gateway is not known.
    #[error("the TSM does not know the gateway {guid}; register it, or have a supplier ask for it")]
    Unknown {
        /// The GUID of its card.
        guid: CardId,
    },
    /// The list cannot be read.
    #[error("the list of gateways cannot be read")]
    File(#[from] FileError),
    /// A line of the list names no card.
    #[error("{}, line {line}: write a GUID, and behind it HOST:PORT if the gateway listens elsewhere", path.display())]
    Line {
        /// The list.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Why not.
        #[source]
        source: LineError,
    },
}

/// The reason why a line names no gateway.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    /// The GUID is none.
    #[error(transparent)]
    Guid(#[from] ParseIdentityError),
    /// The address is none.
    #[error(transparent)]
    Address(#[from] GatewayAddressError),
    /// There is more than GUID and address.
    #[error("there is more on the line than that")]
    More,
}

/// A gateway as it is shown.
#[derive(Debug, Serialize)]
#[serde(tag = "schema", rename = "trust-center.gateway/1")]
pub(crate) struct GatewayShown {
    guid: CardId,
    address: String,
    /// What it has reported last; nothing if it never has.
    state: Option<GatewayState>,
    reported: Option<Timestamp>,
    bundle_version: Option<u64>,
    software: Option<SoftwareVersion>,
    findings: Vec<ReportedFinding>,
    applications: Vec<Fingerprint>,
    suppliers: Vec<Fingerprint>,
    /// How many jobs wait for it.
    waiting: u64,
    /// How often it was tried in vain since it was reached last, why, and when it is tried again.
    attempts: u64,
    trouble: Option<String>,
    again: Option<Timestamp>,
    certificates_end: Option<Timestamp>,
    days_left: Option<i64>,
}

/// How many gateways have certificates that end soon.
#[derive(Debug, Default, Serialize)]
#[serde(tag = "schema", rename = "trust-center.gateways-forecast/1")]
pub(crate) struct Forecast {
    gateways: u64,
    reporting: u64,
    waiting: u64,
    expired: u64,
    within: Vec<Within>,
}

/// How many end within a time.
#[derive(Debug, Serialize)]
struct Within {
    days: u32,
    gateways: u64,
}

impl GatewayShown {
    pub(crate) fn new(entry: GatewayEntry, now: Timestamp) -> Self {
        let GatewayEntry { report, guid, .. } = entry;
        let unit = report.as_ref().and_then(|report| report.unit.clone());
        let (software, findings, applications) = unit.map_or((None, Vec::new(), Vec::new()), |unit| {
            (Some(unit.software), unit.findings, unit.applications)
        });
        let days_left = entry
            .certificates_end
            .map(|end| end.seconds_since(now).div_euclid(DAY));
        Self {
            guid,
            address: entry.address.unwrap_or_else(|| own_address(guid)),
            state: report.as_ref().map(|report| report.state),
            reported: report.as_ref().map(|report| report.time),
            bundle_version: report.as_ref().map(|report| report.bundle_version),
            software,
            findings,
            applications,
            suppliers: entry.suppliers,
            waiting: entry.jobs,
            attempts: entry.attempts,
            trouble: entry.trouble,
            again: entry.due,
            certificates_end: entry.certificates_end,
            days_left,
        }
    }

    /// Returns the gateway in one line, for a table.
    pub(crate) fn row(&self) -> String {
        let state = self
            .state
            .map_or_else(|| "never heard".to_owned(), |state| state.to_string());
        let reported = self
            .reported
            .map_or_else(|| "-".to_owned(), |time| time.to_string());
        let bundle = self
            .bundle_version
            .map_or_else(|| "-".to_owned(), |version| version.to_string());
        let days = self
            .days_left
            .map_or_else(|| "-".to_owned(), |days| format!("{days} d"));
        format!(
            "{:<40} {state:<13} {bundle:>6} {:>7} {days:>8} {reported}",
            self.guid, self.waiting
        )
    }

    /// The head of the table of [`GatewayShown::row`].
    pub(crate) fn head() -> String {
        format!(
            "{:<40} {:<13} {:>6} {:>7} {:>8} reported",
            "GUID", "state", "bundle", "waiting", "expires"
        )
    }
}

/// Goes through all gateways, or those whose certificates end within so many days, and counts.
pub(crate) fn list<E: From<GatewaysError>>(
    books: &Books,
    expiring_within: Option<u32>,
    now: Timestamp,
    mut show: impl FnMut(&GatewayShown) -> Result<(), E>,
) -> Result<Forecast, E> {
    let mut forecast = Forecast::new();
    let mut behind = String::new();
    loop {
        let page = books.gateways(&behind).map_err(GatewaysError::Books)?;
        let Some(last) = page.last() else {
            return Ok(forecast);
        };
        behind = last.guid.to_string();
        for entry in page {
            let shown = GatewayShown::new(entry, now);
            forecast.count(&shown);
            let ends_within = |days: u32| shown.days_left.is_some_and(|left| left < i64::from(days));
            if expiring_within.is_none_or(ends_within) {
                show(&shown)?;
            }
        }
    }
}

/// Shows one gateway.
pub(crate) fn show(books: &Books, guid: CardId, now: Timestamp) -> Result<GatewayShown, GatewaysError> {
    let entry = books.gateway(guid)?.ok_or(GatewaysError::Unknown { guid })?;
    Ok(GatewayShown::new(entry, now))
}

/// Registers the gateways of a list: a line for each, a GUID and behind it its address, if that is another one.
pub(crate) fn register_all(books: &Books, path: &Path, now: Timestamp) -> Result<u64, GatewaysError> {
    let text = files::read_text(path, MAX_LIST)?;
    let mut gateways = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        gateways.push(gateway_of(line).map_err(|source| GatewaysError::Line {
            path: path.to_owned(),
            line: index.saturating_add(1),
            source,
        })?);
    }
    let mut registered = 0u64;
    for (guid, address) in gateways {
        books.register(now, guid, address.map(|address| address.to_string()).as_deref())?;
        registered = registered.saturating_add(1);
    }
    Ok(registered)
}

fn gateway_of(line: &str) -> Result<(CardId, Option<GatewayAddress>), LineError> {
    let mut words = line.split_whitespace();
    let guid = words.next().unwrap_or_default().parse()?;
    let address = words.next().map(str::parse).transpose()?;
    match words.next() {
        None => Ok((guid, address)),
        Some(_) => Err(LineError::More),
    }
}

impl Forecast {
    fn new() -> Self {
        let within = FORECAST_DAYS.map(|days| Within { days, gateways: 0 });
        Self {
            within: within.into(),
            ..Self::default()
        }
    }

    fn count(&mut self, gateway: &GatewayShown) {
        let one_more = |counter: &mut u64, counts: bool| *counter = counter.saturating_add(u64::from(counts));
        one_more(&mut self.gateways, true);
        one_more(&mut self.reporting, gateway.state.is_some());
        one_more(&mut self.waiting, gateway.waiting > 0);
        let left = gateway.days_left;
        one_more(&mut self.expired, left.is_some_and(|left| left < 0));
        for within in &mut self.within {
            let ends = left.is_some_and(|left| (0..i64::from(within.days)).contains(&left));
            one_more(&mut within.gateways, ends);
        }
    }
}

impl fmt::Display for Forecast {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} gateways, {} have reported, work waits for {}. Certificates: {} have ended",
            self.gateways, self.reporting, self.waiting, self.expired
        )?;
        for Within { days, gateways } in &self.within {
            write!(formatter, ", {gateways} end within {days} days")?;
        }
        write!(formatter, ".")
    }
}

impl fmt::Display for GatewayShown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "GUID          {}", self.guid)?;
        writeln!(formatter, "address       {}", self.address)?;
        match (self.state, self.reported) {
            (Some(state), Some(time)) => {
                writeln!(
                    formatter,
                    "state         {state} ({}), reported at {time}",
                    state.code()
                )?;
                writeln!(formatter, "              {} {}", state.cause(), state.remedy())?;
            }
            _ => writeln!(formatter, "state         it has never reported")?,
        }
        if let Some(software) = &self.software {
            writeln!(formatter, "software      {software}")?;
        }
        if let Some(version) = self.bundle_version {
            writeln!(formatter, "bundle        {version}")?;
        }
        for supplier in &self.suppliers {
            writeln!(formatter, "supplier      {supplier}")?;
        }
        for application in &self.applications {
            writeln!(formatter, "application   {application}")?;
        }
        for ReportedFinding { code, text } in &self.findings {
            writeln!(formatter, "finding       {code}: {text}")?;
        }
        if let (Some(end), Some(days)) = (self.certificates_end, self.days_left) {
            writeln!(
                formatter,
                "certificates  the first one ends at {end}, in {days} days"
            )?;
        }
        if let Some(trouble) = &self.trouble {
            let again = self
                .again
                .map_or_else(|| "soon".to_owned(), |time| format!("at {time}"));
            writeln!(
                formatter,
                "trouble       tried {} times in vain, again {again}: {trouble}",
                self.attempts
            )?;
        }
        write!(formatter, "waiting       {} jobs", self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(days_left: Option<i64>) -> GatewayShown {
        let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        let end =
            days_left.map(|days| Timestamp::from_unix_seconds(now.unix_seconds() + days * DAY).unwrap());
        let entry = GatewayEntry {
            guid: "fd5a::1".parse().unwrap(),
            address: None,
            report: None,
            jobs: 0,
            attempts: 0,
            due: None,
            trouble: None,
            certificates_end: end,
            suppliers: Vec::new(),
        };
        GatewayShown::new(entry, now)
    }

    #[test]
    fn forecast_counts_what_ends_within_each_time() {
        let mut forecast = Forecast::new();
        for days in [
            Some(-1),
            Some(0),
            Some(29),
            Some(30),
            Some(400),
            Some(3_000),
            None,
        ] {
            let shown = shown(days);
            assert_eq!(shown.days_left, days);
            forecast.count(&shown);
        }
        let within: Vec<_> = forecast.within.iter().map(|within| within.gateways).collect();
        assert_eq!((forecast.gateways, forecast.expired), (7, 1));
        assert_eq!(within, [2, 3, 3, 4]);
    }

    #[test]
    fn lines_of_a_list_are_understood_or_named() {
        assert_eq!(gateway_of("fd5a::1").unwrap().1, None);
        let (_, address) = gateway_of("fd5a::1  gateway.example:8443").unwrap();
        assert_eq!(address.unwrap().to_string(), "gateway.example:8443");
        assert!(matches!(gateway_of("gateway"), Err(LineError::Guid(_))));
        assert!(matches!(
            gateway_of("fd5a::1 gateway"),
            Err(LineError::Address(_))
        ));
        assert!(matches!(gateway_of("fd5a::1 a:1 b"), Err(LineError::More)));
    }
}
