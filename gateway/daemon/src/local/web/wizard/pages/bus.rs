//! The page of the scan.

use askama::Template;
use axum::Router;
use axum::extract::State as Shared;
use axum::response::Response;
use axum::routing::{get, post};
use mbus::master::BaudRate;

use super::super::super::asked::{Form as Sent, Query};
use super::super::super::language::Language;
use super::super::super::pages::{Frame, rendered};
use super::super::super::portal::{AsTechnician, Barrier, Member, Portal};
use super::super::book::Step;
use super::super::scan::{Counted, Fault, Form, FoundMeter, LATENCIES_MS, Protocol, Scan};
use super::super::words::{self, Words};
use super::super::work::Job;
use super::part::Part;
use super::view::StepView;
use super::{Faults, Plain, Shown, begin, frame, show, to};

pub(super) fn routes() -> Router<Portal> {
    Router::new()
        .route("/wizard/bus", get(shown))
        .route("/wizard/bus/scan", post(scan))
        .route("/wizard/bus/cancel", post(cancel))
}

/// A meter that was found, as the page shows it.
struct FoundLine {
    address: String,
    title: String,
    medium: Option<&'static str>,
    profile: Option<String>,
    readings: Vec<(String, String)>,
    error: Option<String>,
    telegrams: Vec<String>,
    /// What leads to the form that installs it, already filled in.
    install: String,
}

/// The scan as the page shows it.
struct ScanView {
    endpoint: String,
    asked: usize,
    of: usize,
    now: Option<String>,
    waits: bool,
    took: String,
    /// How many were found, and those of them that are shown.
    part: Part,
    found: Vec<FoundLine>,
    shared: Vec<String>,
    unfinished: Vec<String>,
    counted: Counted,
}

/// What stands in the form.
struct Fields {
    entered: Form,
    fault: Option<Fault>,
    endpoints: Vec<String>,
    bauds: Vec<String>,
    latencies: Vec<String>,
}

impl Fields {
    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}

#[derive(Template)]
#[template(path = "web/wizard/bus.html")]
struct BusPage {
    frame: Frame,
    words: &'static Words,
    view: StepView,
    fields: Fields,
    scan: Option<ScanView>,
}

async fn shown(
    Shared(portal): Shared<Portal>,
    AsTechnician(technician): AsTechnician,
    Query(Shown { from, .. }): Query<Shown>,
) -> Result<Response, Barrier> {
    page(&portal, &technician, Faults::default(), from)
}

/// Shows the scan; of what was found, the part with the meter `from`.
pub(super) fn page(
    portal: &Portal,
    technician: &Member,
    faults: Faults,
    from: usize,
) -> Result<Response, Barrier> {
    let language = technician.language;
    let scan = portal.wizard.board.scan();
    let (entered, fault) = faults
        .scan
        .clone()
        .unwrap_or_else(|| (entered(portal, scan.as_ref()), None));
    let lines = portal.wizard.site.lines.iter();
    let page = BusPage {
        frame: frame(portal, technician, Step::Bus),
        words: words::words(language),
        view: StepView::of(portal, technician, Step::Bus, faults).showing(from),
        fields: Fields {
            entered,
            fault,
            endpoints: lines.map(|line| line.endpoint.clone()).collect(),
            bauds: BaudRate::ALL
                .map(|baud| baud.bits_per_second().to_string())
                .into(),
            latencies: LATENCIES_MS.map(|latency| latency.to_string()).into(),
        },
        scan: scan.map(|scan| seen(language, scan, from)),
    };
    rendered(language, &page)
}

/// Returns what stands in the form at first: the scan before, or the first line that there is.
fn entered(portal: &Portal, scan: Option<&Scan>) -> Form {
    let order = scan.map(|scan| &scan.order);
    let line = portal.wizard.site.lines.first();
    let is_modbus = match order {
        Some(order) => order.protocol == Protocol::Modbus,
        None => line.is_some_and(|line| !line.is_mbus),
    };
    let number =
        |of: fn(&super::super::scan::Order) -> u64, otherwise: u64| order.map_or(otherwise, of).to_string();
    let (first, last) = if is_modbus { (1, 247) } else { (0, 250) };
    Form {
        form: String::new(),
        protocol: if is_modbus { "modbus" } else { "mbus" }.to_owned(),
        endpoint: match (order, line) {
            (Some(order), _) => order.endpoint.clone(),
            (None, Some(line)) => line.endpoint.clone(),
            (None, None) => String::new(),
        },
        baud: number(|order| u64::from(order.baud), 2_400),
        latency: number(|order| order.latency_ms, 100),
        tries: number(|order| u64::from(order.tries), 1),
        first: number(|order| u64::from(order.first), first),
        last: number(|order| u64::from(order.last), last),
    }
}

fn seen(language: Language, scan: Scan, from: usize) -> ScanView {
    let protocol = scan.order.protocol;
    let endpoint = scan.order.endpoint.clone();
    let part = Part::with(from, scan.found.len());
    let found = part
        .take(scan.found)
        .map(|found| line(language, (protocol, &endpoint), found));
    ScanView {
        asked: scan.asked,
        of: scan.of,
        now: scan.now,
        waits: scan.waits,
        took: format!("{} s", scan.took_ms / 1_000),
        found: found.collect(),
        part,
        shared: scan.shared,
        unfinished: scan.unfinished,
        counted: scan.counted,
        endpoint,
    }
}

fn line(language: Language, (protocol, endpoint): (Protocol, &str), found: FoundMeter) -> FoundLine {
    let protocol = match protocol {
        Protocol::Mbus => "mbus",
        Protocol::Modbus => "modbus",
    };
    let encoded = super::super::super::pages::percent_encoded;
    let install = format!(
        "/wizard/meters?protocol={protocol}&endpoint={}&address={}&profile={}&id={}#install",
        encoded(endpoint),
        encoded(&found.address),
        encoded(found.profile.as_deref().unwrap_or_default()),
        encoded(found.id.as_deref().unwrap_or_default()),
    );
    let parts = [found.manufacturer.as_deref(), found.number.as_deref()];
    let title: Vec<_> = parts.into_iter().flatten().collect();
    let reading = |(obis, quantity)| (language.measure(obis), language.quantity(quantity));
    FoundLine {
        title: title.join(" "),
        medium: found.medium.map(|medium| language.words().medium(medium)),
        profile: found.profile,
        readings: found.readings.into_iter().map(reading).collect(),
        error: found.error,
        telegrams: found.telegrams,
        address: found.address,
        install,
    }
}

async fn scan(
    Shared(portal): Shared<Portal>,
    AsTechnician(technician): AsTechnician,
    Sent(form): Sent<Form>,
) -> Result<Response, Barrier> {
    technician.check(&form.form)?;
    match form.read() {
        Ok(order) => begin(&portal, &technician, Step::Bus, Job::Scan(order)).await,
        Err(fault) => {
            let faults = Faults {
                scan: Some((form, Some(fault))),
                ..Faults::default()
            };
            show(&portal, &technician, Step::Bus, faults).await
        }
    }
}

async fn cancel(
    Shared(portal): Shared<Portal>,
    AsTechnician(technician): AsTechnician,
    Sent(form): Sent<Plain>,
) -> Result<Response, Barrier> {
    technician.check(&form.form)?;
    portal.wizard.board.cancel();
    super::wait_shortly(&portal.wizard, Step::Bus).await;
    Ok(to(Step::Bus))
}
