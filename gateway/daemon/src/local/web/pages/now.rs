//! What is now, what is today against the usual, and whether everything is well.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use billing::Tariff;
use model::{ElementPattern, Reading, Timestamp};

use super::super::household::{Measured, measured, silent, today, view_of};
use super::super::language::Language;
use super::super::portal::{AsConsumer, Barrier, Portal};
use super::super::prices;
use super::super::reckoning::reckon;
use super::super::roster::Own;
use super::super::told::Told;
use super::{Frame, rendered, working};
use crate::clock;
use crate::metering::MeterView;

/// The last value of an element, as the page shows it.
pub(super) struct Line {
    /// The element, by which live values find their places.
    key: String,
    is_power: bool,
    meter: String,
    medium: &'static str,
    measure: String,
    value: String,
    time: String,
    age: String,
    is_stale: bool,
    is_retired: bool,
    fault: Option<Told>,
}

/// Today's consumption of a register against the usual.
struct TodayLine {
    title: String,
    so_far: Option<String>,
    usual: Option<String>,
    /// What it costs so far at the prices that were entered.
    costs: Option<String>,
}

#[derive(Template)]
#[template(path = "web/now.html")]
struct NowPage {
    frame: Frame,
    cause: &'static str,
    code: &'static str,
    findings: Vec<Told>,
    /// Meters that have not answered since the start, and why.
    silent: Vec<(String, Option<Told>)>,
    today: Vec<TodayLine>,
    lines: Vec<Line>,
}

impl NowPage {
    /// Returns the names of meters that give nothing new.
    fn stale(&self) -> Vec<&str> {
        let stale = self.lines.iter().filter(|line| line.is_stale);
        let mut names: Vec<_> = stale.map(|line| line.meter.as_str()).collect();
        names.dedup();
        names
    }
}

pub(super) async fn page(State(portal): State<Portal>, consumer: AsConsumer) -> Result<Response, Barrier> {
    let language = consumer.member.language;
    let frame = consumer.member.frame(&portal);
    let page = working(language, move || {
        let now = clock::now();
        let status = portal.source.status();
        let seen = see(&portal, &consumer.own, now)?;
        let account = &consumer.member.session.identity.name;
        let document = portal.gate.prices(account).ok().flatten();
        let tariff = document.and_then(|document| prices::tariff(document, &portal.zone).ok());
        let meters = portal.source.meters.borrow().clone();
        let silent = silent(&meters, &consumer.own).into_iter();
        Ok::<_, store::DatabaseError>(NowPage {
            frame,
            cause: language.words().cause(status.state),
            code: status.state.code(),
            findings: Told::of_findings(language, &status.findings),
            silent: silent
                .map(|meter| {
                    let fault = Told::of_meter(language, meter, portal.source.registration_period, now);
                    (meter.name.clone(), fault)
                })
                .collect(),
            today: today_lines(&portal, language, (&seen, tariff.as_ref()), now)?,
            lines: seen
                .iter()
                .map(|one| line(&portal, language, one, (&meters, now)))
                .collect(),
        })
    });
    rendered(language, &page.await?)
}

/// Returns what somebody's own meters have measured last.
pub(in super::super) fn see(
    portal: &Portal,
    own: &Own,
    now: Timestamp,
) -> Result<Vec<Measured>, store::DatabaseError> {
    let meters = portal.source.meters.borrow().clone();
    let period = portal.source.registration_period;
    measured(portal.source.store.database(), &meters, (own, period), now)
}

fn line(
    portal: &Portal,
    language: Language,
    one: &Measured,
    (meters, now): (&[MeterView], Timestamp),
) -> Line {
    let view = view_of(meters, &one.last.element.meter);
    let period = portal.source.registration_period;
    let [medium, _, quantity, kind, stage, _] = one.last.element.obis.groups();
    Line {
        key: ElementPattern::from(one.last.element.clone()).to_string(),
        is_power: matches!((medium, quantity, kind, stage), (1, 1 | 16, 7, 0)),
        meter: one.name.clone(),
        medium: language.words().medium(one.medium),
        measure: language.measure(one.last.element.obis),
        value: language.quantity(one.last.quantity),
        time: language.time(&portal.zone, one.last.time),
        age: language.age(now, one.last.time),
        is_stale: one.is_stale,
        is_retired: one.is_retired,
        fault: view.and_then(|view| Told::of_meter(language, view, period, now)),
    }
}

fn today_lines(
    portal: &Portal,
    language: Language,
    (seen, tariff): (&[Measured], Option<&Tariff>),
    now: Timestamp,
) -> Result<Vec<TodayLine>, store::DatabaseError> {
    let mut lines = Vec::new();
    for one in seen.iter().filter(|one| one.is_main_register()) {
        let Some(registered) = &one.registered else {
            continue;
        };
        let database = portal.source.store.database();
        let today = today(database, &portal.zone, registered, now)?;
        let (medium, measure) = (
            language.words().medium(one.medium),
            language.measure(one.last.element.obis),
        );
        lines.push(TodayLine {
            title: format!("{medium}, {}: {measure}", one.name),
            so_far: today.so_far.map(|quantity| language.quantity(quantity)),
            usual: today.usual.map(|quantity| language.quantity(quantity)),
            costs: match tariff {
                Some(tariff) => costs_today(portal, language, (registered, tariff), now)?,
                None => None,
            },
        });
    }
    Ok(lines)
}

/// Returns what a register's consumption of today costs so far, if that can be told.
fn costs_today(
    portal: &Portal,
    language: Language,
    (registered, tariff): (&Reading, &Tariff),
    now: Timestamp,
) -> Result<Option<String>, store::DatabaseError> {
    let day = portal.zone.day(now);
    let ends = portal
        .zone
        .midnight(day)
        .zip(day.tomorrow().ok().and_then(|day| portal.zone.midnight(day)));
    let Some(ends) = ends else { return Ok(None) };
    let register = (&registered.element, Some(registered));
    let reckoned = reckon(portal.source.store.database(), register, ends, Some(tariff), now)?;
    let total = reckoned.ok().and_then(|reckoned| reckoned.total);
    Ok(total.map(|total| format!("{} {}", language.number(total), tariff.currency)))
}
