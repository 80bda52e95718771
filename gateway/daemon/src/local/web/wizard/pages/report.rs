//! The page of the report: to print, to save, and as JSON.

use askama::Template;
use axum::Router;
use axum::extract::State as Shared;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use qrcode::render::svg;

use super::super::super::pages::{Frame, rendered, working};
use super::super::super::portal::{AsTechnician, Barrier, Member, Portal};
use super::super::book::Step;
use super::super::report::{SignedReport, code_of};
use super::super::words::{self, Words};
use super::shown::Shown;
use super::view::StepView;
use super::{Faults, frame, paper};

/// The width of the picture of the QR code, in pixels at least.
const CODE_WIDTH: u32 = 200;

pub(super) fn routes() -> Router<Portal> {
    Router::new()
        .route("/wizard/report.json", get(json))
        .route("/wizard/report.pdf", get(pdf))
}

#[derive(Template)]
#[template(path = "web/wizard/report.html")]
struct ReportPage {
    frame: Frame,
    words: &'static Words,
    view: StepView,
    /// The QR code of the GUID.
    code: Option<String>,
    shown: Option<Shown>,
}

pub(super) fn page(portal: &Portal, technician: &Member, faults: Faults) -> Result<Response, Barrier> {
    let language = technician.language;
    let made = portal.wizard.book.progress().report;
    let shown = made.and_then(|made| Shown::of(&made, &portal.zone, language));
    let page = ReportPage {
        frame: frame(portal, technician, Step::Report),
        words: words::words(language),
        view: StepView::of(portal, technician, Step::Report, faults),
        code: shown
            .as_ref()
            .and_then(|shown| shown.guid.as_deref())
            .and_then(picture),
        shown,
    };
    rendered(language, &page)
}

/// Draws the QR code of a GUID.
fn picture(guid: &str) -> Option<String> {
    let picture = code_of(guid)?
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
    let report = made(&portal, &technician)?;
    let name = "attachment; filename=\"installation-report.json\"";
    Ok(([(header::CONTENT_DISPOSITION, name)], axum::Json(report)).into_response())
}

async fn pdf(
    Shared(portal): Shared<Portal>,
    AsTechnician(technician): AsTechnician,
) -> Result<Response, Barrier> {
    let report = made(&portal, &technician)?;
    let language = technician.language;
    let file = working(language, move || paper::write(&report, &portal.zone, language)).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/pdf"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"installation-report.pdf\"",
        ),
    ];
    Ok((headers, file).into_response())
}

/// Returns the report that was made last.
fn made(portal: &Portal, technician: &Member) -> Result<SignedReport, Barrier> {
    let report = portal.wizard.book.progress().report;
    report.ok_or(Barrier::Missing(technician.language))
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
