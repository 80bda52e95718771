//! The pages of the wizard. They work without a script; with one, a step that runs is watched without being loaded again.

mod binding;
mod bus;
#[path = "pages/meters.rs"]
mod meters_page;
mod paper;
mod part;
mod report;
mod shown;
mod view;

use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::extract::State as Shared;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::super::asked::{Form, Path};
use super::super::pages::{Frame, rendered, working};
use super::super::portal::{AsTechnician, Barrier, Member, Portal};
use super::book::{BookError, LONGEST_REASON, Step};
use super::words::{self, Words};
use super::work::Job;
use super::{StartError, Wizard, meters, scan};
use crate::threads;
pub(crate) use paper::PaperError;
pub(super) use paper::write as write_pdf;
use view::{StepLine, StepView, step_lines};

const SCRIPT: &str = include_str!("../../../../templates/web/wizard.js");
/// How long an answer waits for a step that is soon at its end, so that nobody has to look again.
const SHORT_WAIT: Duration = Duration::from_millis(1_500);
/// How often it is looked whether the step is at its end.
const GLANCE: Duration = Duration::from_millis(50);

/// The addresses of the wizard.
pub(in super::super) fn routes() -> Router<Portal> {
    Router::new()
        .route("/wizard", get(overview))
        .route("/wizard.js", get(script))
        .route("/wizard/{step}", get(page))
        .route("/wizard/{step}/start", post(start))
        .route("/wizard/{step}/skip", post(skip))
        .merge(binding::routes())
        .merge(report::routes())
        .merge(bus::routes())
        .merge(meters_page::routes())
}

async fn script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT)
}

#[derive(Template)]
#[template(path = "web/wizard/overview.html")]
struct OverviewPage {
    frame: Frame,
    words: &'static Words,
    steps: Vec<StepLine>,
    is_running: bool,
}

async fn overview(
    Shared(portal): Shared<Portal>,
    AsTechnician(technician): AsTechnician,
) -> Result<Response, Barrier> {
    let language = technician.language;
    let steps = step_lines(&portal, language);
    let page = OverviewPage {
        frame: technician.frame(&portal),
        words: words::words(language),
        is_running: steps.iter().any(|step| step.is_running),
        steps,
    };
    rendered(language, &page)
}

#[derive(Template)]
#[template(path = "web/wizard/step.html")]
struct StepPage {
    frame: Frame,
    words: &'static Words,
    view: StepView,
}

async fn page(
    Shared(portal): Shared<Portal>,
    AsTechnician(technician): AsTechnician,
    Path(name): Path<String>,
) -> Result<Response, Barrier> {
    let step = Step::named(&name).ok_or(Barrier::Missing(technician.language))?;
    show(&portal, &technician, step, Faults::default()).await
}

/// What somebody has typed, and what is wrong with it.
#[derive(Debug, Clone)]
struct Typed {
    text: String,
    fault: &'static str,
}

/// Which parts of long lists are to be shown, by an entry of each from 0 on.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
struct Shown {
    /// Of the meters.
    #[serde(default)]
    from: usize,
    /// Of the files in which meters were installed.
    #[serde(default)]
    files: usize,
}

/// What was wrong with what somebody has sent.
#[derive(Debug, Default, Clone)]
struct Faults {
    /// With the reason for skipping.
    reason: Option<Typed>,
    /// With the characters of the GUID.
    characters: Option<Typed>,
    /// With what is to be scanned.
    scan: Option<(scan::Form, Option<scan::Fault>)>,
    /// With a meter that is to be installed.
    meter: Option<(meters::Form, meters::Fault)>,
    /// With nothing at all: the gateway starts again.
    restarts: bool,
    /// With nothing that was sent, in English.
    refusal: Option<String>,
}

impl Faults {
    const fn are_there(&self) -> bool {
        self.reason.is_some()
            || self.characters.is_some()
            || self.scan.is_some()
            || self.meter.is_some()
            || self.refusal.is_some()
    }
}

/// Shows a step, with what was wrong with what was sent.
async fn show(portal: &Portal, technician: &Member, step: Step, faults: Faults) -> Result<Response, Barrier> {
    let is_faulty = faults.are_there();
    let mut response = match step {
        Step::Binding => binding::page(portal, technician, faults).await?,
        Step::Bus => bus::page(portal, technician, faults, 0)?,
        Step::Meters => meters_page::page(portal, technician, (faults, None), Shown::default()).await?,
        Step::Report => report::page(portal, technician, faults)?,
        Step::Device | Step::Card | Step::Wan => {
            let page = StepPage {
                frame: frame(portal, technician, step),
                words: words::words(technician.language),
                view: StepView::of(portal, technician, step, faults),
            };
            rendered(technician.language, &page)?
        }
    };
    if is_faulty {
        *response.status_mut() = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
    }
    Ok(response)
}

/// Returns the frame of a step's page, which is where the language is switched to also behind a form that was refused.
fn frame(portal: &Portal, technician: &Member, step: Step) -> Frame {
    let here = format!("/wizard/{}", step.name());
    Frame::new(technician.language, &here, Some(&technician.session), portal)
}

/// What every form carries.
#[derive(Deserialize)]
struct Plain {
    form: String,
}

async fn start(
    Shared(portal): Shared<Portal>,
    AsTechnician(technician): AsTechnician,
    Path(name): Path<String>,
    Form(form): Form<Plain>,
) -> Result<Response, Barrier> {
    technician.check(&form.form)?;
    let missing = Barrier::Missing(technician.language);
    let (step, job) = match Step::named(&name) {
        Some(step @ Step::Device) => (step, Job::Device),
        Some(step @ Step::Card) => (step, Job::Card),
        Some(step @ Step::Wan) => (step, Job::Wan),
        Some(step @ Step::Report) => (step, Job::Report),
        Some(step @ Step::Meters) => (step, Job::Meters),
        // They are begun by forms of their own.
        Some(Step::Binding | Step::Bus) | None => return Err(missing),
    };
    begin(&portal, &technician, step, job).await
}

/// Begins a step and leads to its page, which shows the end if that comes soon.
async fn begin(portal: &Portal, technician: &Member, step: Step, job: Job) -> Result<Response, Barrier> {
    let wizard = portal.wizard.clone();
    let begun = threads::blocking(move || wizard.start(step, job)).await;
    let begun = begun.map_err(|error| Barrier::failed(technician.language, &error))?;
    match begun {
        Ok(()) => {
            wait_shortly(&portal.wizard, step).await;
            Ok(to(step))
        }
        // Whoever has begun it on another phone is as good.
        Err(StartError::AtWork) => Ok(to(step)),
        Err(error @ (StartError::Busy | StartError::Book(_))) => {
            let refusal = Some(crate::report::Chain(&error).to_string());
            let faults = Faults {
                refusal,
                ..Faults::default()
            };
            show(portal, technician, step, faults).await
        }
    }
}

async fn wait_shortly(wizard: &Wizard, step: Step) {
    let ended = async {
        while wizard.is_running(step) {
            tokio::time::sleep(GLANCE).await;
        }
    };
    // A step that takes longer is watched.
    drop(tokio::time::timeout(SHORT_WAIT, ended).await);
}

fn to(step: Step) -> Response {
    Redirect::to(&format!("/wizard/{}", step.name())).into_response()
}

#[derive(Deserialize)]
struct Skipping {
    form: String,
    #[serde(default)]
    reason: String,
}

async fn skip(
    Shared(portal): Shared<Portal>,
    AsTechnician(technician): AsTechnician,
    Path(name): Path<String>,
    Form(form): Form<Skipping>,
) -> Result<Response, Barrier> {
    technician.check(&form.form)?;
    let language = technician.language;
    let step = Step::named(&name).ok_or(Barrier::Missing(language))?;
    let reason = form.reason.trim().to_owned();
    if !(1..=LONGEST_REASON).contains(&reason.chars().count()) || reason.chars().any(char::is_control) {
        let (text, fault) = (form.reason, words::words(language).skip_empty);
        let faults = Faults {
            reason: Some(Typed { text, fault }),
            ..Faults::default()
        };
        return show(&portal, &technician, step, faults).await;
    }
    let wizard = portal.wizard.clone();
    if wizard.is_running(step) {
        return Ok(to(step));
    }
    working(language, move || {
        wizard.book.skip(step, &reason).map_err(|error: BookError| error)
    })
    .await?;
    Ok(to(step))
}
