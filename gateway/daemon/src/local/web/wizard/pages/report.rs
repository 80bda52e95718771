//! The page of the report: to print, to save, and as JSON.

use askama::Template;
use axum::Router;
use axum::extract::State as Shared;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};

use super::super::super::language::Language;
use super::super::super::pages::{Frame, rendered};
use super::super::super::portal::{AsTechnician, Barrier, Member, Portal};
use super::super::book::Step;
use super::super::report::{Report, ReportedStep};
use super::super::words::{self, Words};
use super::view::{CheckLine, StepView, class_of, reason_of};
use super::{Faults, frame};

/// The width of the picture of the QR code, in pixels at least.
const CODE_WIDTH: u32 = 200;

pub(super) fn routes() -> Router<Portal> {
    Router::new().route("/wizard/report.json", get(json))
}

/// A step as the report shows it.
struct Section {
    title: &'static str,
    state: &'static str,
    class: &'static str,
    reason: Option<String>,
    time: Option<String>,
    checks: Vec<CheckLine>,
}

/// A meter as the report shows it.
struct MeterLine {
    name: String,
    bus: String,
    id: Option<String>,
    medium: Option<&'static str>,
    point: Option<String>,
    consumer: Option<String>,
    /// The reading that was compared, when, and whether it agreed.
    compared: Option<(String, String, bool)>,
}

/// The report as the page shows it.
struct Shown {
    made: String,
    software: String,
    state: String,
    guid: Option<String>,
    code: Option<String>,
    gateway: Option<String>,
    since: Option<String>,
    is_signed: bool,
    digest: String,
    steps: Vec<Section>,
    meters: Vec<MeterLine>,
}

#[derive(Template)]
#[template(path = "web/wizard/report.html")]
struct ReportPage {
    frame: Frame,
    words: &'static Words,
    view: StepView,
    shown: Option<Shown>,
}

pub(super) fn page(portal: &Portal, technician: &Member, faults: Faults) -> Result<Response, Barrier> {
    let language = technician.language;
    let made = portal.wizard.book.progress().report;
    let shown = made.and_then(|made| {
        let digest = hex::encode(made.digest());
        let report = made.read()?;
        Some(shown(
            portal,
            language,
            report,
            (made.signature.is_some(), digest),
        ))
    });
    let page = ReportPage {
        frame: frame(portal, technician, Step::Report),
        words: words::words(language),
        view: StepView::of(portal, technician, Step::Report, faults),
        shown,
    };
    rendered(language, &page)
}

fn shown(portal: &Portal, language: Language, report: Report, (is_signed, digest): (bool, String)) -> Shown {
    let time = |time| language.time(&portal.zone, time);
    let guid = report.guid.map(|guid| guid.to_string());
    Shown {
        made: time(report.made),
        software: report.software,
        state: report.state,
        code: guid.as_deref().and_then(picture),
        guid,
        gateway: report.gateway,
        since: report.bound_since.map(time),
        is_signed,
        digest,
        steps: report
            .steps
            .into_iter()
            .map(|step| section(portal, language, step))
            .collect(),
        meters: report
            .meters
            .into_iter()
            .map(|meter| MeterLine {
                name: meter.name,
                bus: meter.bus,
                id: meter.id.map(|id| id.to_string()),
                medium: meter.medium.map(|medium| language.words().medium(medium)),
                point: meter.metering_point,
                consumer: meter.consumer,
                compared: meter.compared.map(|one| {
                    let reading = one.reading.map(|reading| language.quantity(reading));
                    (reading.unwrap_or_default(), time(one.time), one.agrees)
                }),
            })
            .collect(),
    }
}

fn section(portal: &Portal, language: Language, ReportedStep { step, entry }: ReportedStep) -> Section {
    Section {
        title: words::step(language, step),
        state: words::state(language, &entry.state),
        class: class_of(&entry.state),
        time: entry.time.map(|time| language.time(&portal.zone, time)),
        checks: CheckLine::all(portal, language, &entry.checks),
        reason: reason_of(entry.state),
    }
}

/// Draws the QR code of a GUID. A GUID always fits.
fn picture(guid: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(guid, EcLevel::M).ok()?;
    let picture = code
        .render::<svg::Color<'_>>()
        .min_dimensions(CODE_WIDTH, CODE_WIDTH)
        .build();
    // Within a page there is no XML declaration.
    let start = picture.find("<svg")?;
    picture.get(start..).map(str::to_owned)
}

async fn json(
    Shared(portal): Shared<Portal>,
    AsTechnician(technician): AsTechnician,
) -> Result<Response, Barrier> {
    let missing = Barrier::Missing(technician.language);
    let report = portal.wizard.book.progress().report.ok_or(missing)?;
    let name = "attachment; filename=\"installation-report.json\"";
    Ok(([(header::CONTENT_DISPOSITION, name)], axum::Json(report)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_a_guid_is_a_picture_that_may_stand_in_a_page() {
        let picture = picture("fd5a:5d5e:aaaa:bbbb:cccc:dddd:eeee:ffff").unwrap();
        assert!(
            picture.starts_with("<svg") && picture.ends_with("</svg>"),
            "{picture}"
        );
        assert!(
            !picture.contains("style=") && !picture.contains("<script"),
            "{picture}"
        );
    }
}
