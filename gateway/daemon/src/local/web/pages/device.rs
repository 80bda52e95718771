//! The device, for the technician: its state, what is wrong, and whether the meters answer. No consumption history.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::super::language::{CodeText, Language};
use super::super::portal::{AsTechnician, Barrier, Portal};
use super::super::told::Told;
use super::{Frame, rendered, working};
use crate::clock;
use crate::metering::MeterView;
use crate::status::Status;

/// A value of a meter, to be compared with its dial.
struct Line {
    measure: String,
    value: String,
    age: String,
}

/// A meter as the page shows it.
struct Meter {
    name: String,
    bus: String,
    id: Option<String>,
    medium: Option<&'static str>,
    answered: Option<String>,
    is_stale: bool,
    fault: Option<Told>,
    lines: Vec<Line>,
}

#[derive(Template)]
#[template(path = "web/device.html")]
struct DevicePage {
    frame: Frame,
    code: String,
    cause: &'static str,
    remedy: &'static str,
    detail: Option<String>,
    guid: Option<String>,
    findings: Vec<Told>,
    meters: Vec<Meter>,
}

pub(super) async fn page(
    State(portal): State<Portal>,
    AsTechnician(technician): AsTechnician,
) -> Result<Response, Barrier> {
    let language = technician.language;
    let frame = technician.frame(&portal);
    let source = portal.source.clone();
    let status = working(language, move || {
        Ok::<_, std::convert::Infallible>(source.status())
    })
    .await?;
    // What is in the way says more than the state that follows from it.
    let code = status.obstacle.clone().unwrap_or_else(|| status.code.clone());
    let (cause, remedy) = match language.of_code(&code) {
        Some(CodeText { cause, remedy }) => (cause, remedy),
        None => {
            let words = language.words();
            (words.cause(status.state), words.remedy_of(status.state))
        }
    };
    let page = DevicePage {
        frame,
        code,
        cause,
        remedy,
        guid: status.guid.map(|guid| guid.to_string()),
        meters: status
            .meters
            .iter()
            .map(|one| meter(&portal, language, &status, one))
            .collect(),
        detail: status.detail,
        findings: Told::of_findings(language, &status.findings),
    };
    rendered(language, &page)
}

fn meter(portal: &Portal, language: Language, status: &Status, one: &MeterView) -> Meter {
    let now = clock::now();
    let limit = i64::from(status.registration_period.seconds()).saturating_mul(2);
    let line = |reading: model::Reading| Line {
        measure: language.measure(reading.element.obis),
        value: language.quantity(reading.quantity),
        age: language.age(now, reading.time),
    };
    let known = one.values.len();
    let skipped = one.registered.len();
    Meter {
        name: one.name.clone(),
        bus: one.bus.clone(),
        id: one.id.as_ref().map(ToString::to_string),
        medium: one.medium.map(|medium| language.words().medium(medium)),
        answered: one.last_success.map(|time| {
            let (age, time) = (language.age(now, time), language.time(&portal.zone, time));
            format!("{age} ({time})")
        }),
        is_stale: one
            .last_success
            .is_none_or(|time| now.seconds_since(time) > limit),
        fault: Told::of_meter(language, one, status.registration_period, now),
        // The values in memory come behind those that are registered, which may be older.
        lines: one.readings().skip(skipped).take(known).map(line).collect(),
    }
}
