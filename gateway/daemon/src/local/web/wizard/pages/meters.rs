//! The page of the meters: compare, install, and have it taken over.

use std::path::Path;

use askama::Template;
use axum::Router;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use store::Installed;

use super::super::super::asked::{Form as Sent, Query};
use super::super::super::pages::{Frame, rendered, working};
use super::super::super::portal::{AsTechnician, Barrier, Member, Portal};
use super::super::super::told::Told;
use super::super::book::Step;
use super::super::meters::{self, Comparison, Fault, Field, Form};
use super::super::words::{self, Words};
use super::super::work::Job;
use super::part::Part;
use super::view::StepView;
use super::{Faults, Plain, Shown, frame, show, to};
use crate::clock;
use crate::metering::MeterView;

pub(super) fn routes() -> Router<Portal> {
    Router::new()
        .route("/wizard/meters", get(prefilled))
        .route("/wizard/meters/install", post(install))
        .route("/wizard/meters/remove", post(remove))
        .route("/wizard/meters/compare", post(compare))
        .route("/wizard/meters/restart", post(restart))
}

/// A meter that is read, as the page shows it.
struct MeterLine {
    name: String,
    bus: String,
    id: Option<String>,
    medium: Option<&'static str>,
    point: Option<String>,
    consumer: Option<String>,
    fault: Option<Told>,
    readings: Vec<(String, String)>,
    /// When it was compared, and whether it agreed.
    compared: Option<(String, bool)>,
}

/// A meter that was installed here, as the page shows it.
struct InstalledLine {
    file: String,
    text: String,
    /// Whether it is read already.
    is_in_force: bool,
}

/// What stands in the form.
struct Fields {
    entered: Form,
    fault: Option<Field>,
    whole: Option<String>,
    profiles: Vec<&'static str>,
    consumers: Vec<String>,
    endpoints: Vec<String>,
}

impl Fields {
    fn is(&self, field: Field) -> bool {
        self.fault == Some(field)
    }
}

#[derive(Template)]
#[template(path = "web/wizard/meters.html")]
struct MetersPage {
    frame: Frame,
    words: &'static Words,
    view: StepView,
    /// How many are read, and those of them that are shown.
    part: Part,
    meters: Vec<MeterLine>,
    /// How many were installed here, and those of them that are shown.
    files: Part,
    installed: Vec<InstalledLine>,
    wants_restart: bool,
    is_restarting: bool,
    fields: Fields,
}

async fn prefilled(
    Shared(portal): Shared<Portal>,
    AsTechnician(technician): AsTechnician,
    Query(form): Query<Prefill>,
) -> Result<Response, Barrier> {
    let Prefill {
        protocol,
        endpoint,
        address,
        profile,
        id,
        from,
        files,
    } = form;
    let entered = Form {
        protocol,
        endpoint,
        address,
        profile,
        id,
        ..Form::default()
    };
    let shown = Shown { from, files };
    page(&portal, &technician, (Faults::default(), Some(entered)), shown).await
}

/// What the page of the scan hands over, and which parts of the lists are to be shown.
#[derive(Deserialize)]
struct Prefill {
    #[serde(default)]
    from: usize,
    #[serde(default)]
    files: usize,
    #[serde(default)]
    protocol: String,
    #[serde(default)]
    endpoint: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    profile: String,
    #[serde(default)]
    id: String,
}

pub(super) async fn page(
    portal: &Portal,
    technician: &Member,
    (faults, entered): (Faults, Option<Form>),
    shown: Shown,
) -> Result<Response, Barrier> {
    let language = technician.language;
    let site = portal.wizard.site.clone();
    let names = working(language, move || site.source.store.installed().names()).await?;
    let site = &portal.wizard.site;
    let views = site.source.meters.borrow().clone();
    let comparisons = portal.wizard.book.progress().comparisons;
    let in_force = |file: &String| site.installed.contains(file);
    let wants_restart = names.iter().any(|file| !in_force(file)) || names.len() != site.installed.len();
    let (part, files) = (
        Part::with(shown.from, views.len()),
        Part::with(shown.files, names.len()),
    );
    let (folder, kept) = (Installed::folder(&site.data), files.take(names).collect());
    let installed = working(language, move || {
        Ok::<_, std::convert::Infallible>(texts(&folder, kept))
    })
    .await?;
    let (mut fault, mut whole) = (None, None);
    let mut form = entered;
    if let Some((sent, why)) = faults.meter.clone() {
        form = Some(sent);
        match why {
            Fault::At(field) => fault = Some(field),
            Fault::Whole(text) => whole = Some(text),
        }
    }
    let page = MetersPage {
        frame: frame(portal, technician, Step::Meters),
        words: words::words(language),
        is_restarting: faults.restarts,
        view: StepView::of(portal, technician, Step::Meters, faults).showing(shown.from),
        part,
        files,
        meters: part
            .take(views.iter())
            .map(|view| line(portal, technician, view, &comparisons))
            .collect(),
        installed: installed
            .into_iter()
            .map(|(file, text)| InstalledLine {
                is_in_force: in_force(&file),
                file,
                text,
            })
            .collect(),
        wants_restart,
        fields: Fields {
            entered: form.unwrap_or_default(),
            fault,
            whole,
            profiles: modbus::built_in_names().collect(),
            consumers: site.consumers.clone(),
            endpoints: site.lines.iter().map(|line| line.endpoint.clone()).collect(),
        },
    };
    rendered(language, &page)
}

/// Returns files of installed meters with what they say.
fn texts(folder: &Path, names: Vec<String>) -> Vec<(String, String)> {
    let read = |name: String| {
        let text = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
        (name, text)
    };
    names.into_iter().map(read).collect()
}

fn line(portal: &Portal, technician: &Member, view: &MeterView, comparisons: &[Comparison]) -> MeterLine {
    let language = technician.language;
    let point = meters::point_of(&portal.wizard.site.points, view.id.as_ref());
    let compared = comparisons
        .iter()
        .find(|one| one.meter == view.name && one.id == view.id);
    let known = view.values.len();
    let skipped = view.registered.len();
    let readings = view.readings().skip(skipped).take(known);
    MeterLine {
        name: view.name.clone(),
        bus: view.bus.clone(),
        id: view.id.as_ref().map(ToString::to_string),
        medium: view.medium.map(|medium| language.words().medium(medium)),
        point: point.and_then(|point| point.metering_point.clone()),
        consumer: point.and_then(|point| point.consumer.clone()),
        fault: Told::of_meter(language, view, portal.source.registration_period, clock::now()),
        readings: readings
            .map(|reading| {
                (
                    language.measure(reading.element.obis),
                    language.quantity(reading.quantity),
                )
            })
            .collect(),
        compared: compared.map(|one| (language.time(&portal.zone, one.time), one.agrees)),
    }
}

async fn install(
    Shared(portal): Shared<Portal>,
    AsTechnician(technician): AsTechnician,
    Sent(form): Sent<Form>,
) -> Result<Response, Barrier> {
    technician.check(&form.form)?;
    let (site, sent) = (portal.wizard.site.clone(), form.clone());
    let account = technician.session.identity.name.clone();
    let outcome = working(technician.language, move || {
        Ok::<_, std::convert::Infallible>(meters::install(&site, &sent, &account))
    })
    .await?;
    match outcome {
        Ok(()) => Ok(to(Step::Meters)),
        Err(fault) => {
            let faults = Faults {
                meter: Some((form, fault)),
                ..Faults::default()
            };
            show(&portal, &technician, Step::Meters, faults).await
        }
    }
}

#[derive(Deserialize)]
struct Removal {
    form: String,
    #[serde(default)]
    file: String,
}

async fn remove(
    Shared(portal): Shared<Portal>,
    AsTechnician(technician): AsTechnician,
    Sent(form): Sent<Removal>,
) -> Result<Response, Barrier> {
    technician.check(&form.form)?;
    let site = portal.wizard.site.clone();
    let (file, account) = (form.file, technician.session.identity.name.clone());
    let removed = working(technician.language, move || {
        meters::remove(&site, &file, &account)
    })
    .await?;
    if removed {
        Ok(to(Step::Meters))
    } else {
        Err(Barrier::Missing(technician.language))
    }
}

#[derive(Deserialize)]
struct Word {
    form: String,
    #[serde(default)]
    meter: String,
    #[serde(default)]
    agrees: String,
    /// Which part of the meters was shown.
    #[serde(default)]
    from: usize,
}

async fn compare(
    Shared(portal): Shared<Portal>,
    AsTechnician(technician): AsTechnician,
    Sent(form): Sent<Word>,
) -> Result<Response, Barrier> {
    technician.check(&form.form)?;
    let missing = || Barrier::Missing(technician.language);
    let agrees = match form.agrees.as_str() {
        "yes" => true,
        "no" => false,
        _ => return Err(missing()),
    };
    let views = portal.wizard.site.source.meters.borrow().clone();
    let view = views
        .iter()
        .find(|view| view.name == form.meter)
        .ok_or_else(missing)?;
    let dial = meters::dial(view);
    let comparison = Comparison {
        meter: view.name.clone(),
        id: view.id.clone(),
        obis: dial.map(|(obis, _)| obis),
        reading: dial.map(|(_, reading)| reading),
        time: clock::now(),
        agrees,
    };
    let book = portal.wizard.book.clone();
    working(technician.language, move || {
        book.change(|progress| meters::note(&mut progress.comparisons, comparison))
    })
    .await?;
    match form.from {
        0 => Ok(to(Step::Meters)),
        from => Ok(Redirect::to(&format!("/wizard/meters?from={from}")).into_response()),
    }
}

async fn restart(
    Shared(portal): Shared<Portal>,
    AsTechnician(technician): AsTechnician,
    Sent(form): Sent<Plain>,
) -> Result<Response, Barrier> {
    technician.check(&form.form)?;
    let site = portal.wizard.site.clone();
    let checked = working(technician.language, move || {
        Ok::<_, std::convert::Infallible>(crate::config::Config::read(&site.config))
    })
    .await?;
    if let Err(error) = checked {
        // A gateway that would not start again is not stopped.
        let refusal = Some(crate::report::Chain(&error).to_string());
        let faults = Faults {
            refusal,
            ..Faults::default()
        };
        return show(&portal, &technician, Step::Meters, faults).await;
    }
    let told = portal.wizard.jobs.try_send(Job::Restart).is_ok();
    page(
        &portal,
        &technician,
        (
            Faults {
                restarts: told,
                ..Faults::default()
            },
            None,
        ),
        Shown::default(),
    )
    .await
}
