//! What the command line asks about applications: which there are, what they would make, and how a value came about.

use evaluation::Package;
use evaluation::interface::InputView;
use model::{Element, Fingerprint, Period, Timestamp};
use store::{DatabaseError, Derived, Evaluation, FileError};

use super::evaluate;
use super::given::{self, Context};
use super::task::{Shared, name_of};
use super::view::{
    AppView, AppsView, AssignmentView, BasisView, ExplanationView, MadeView, RevisionView, RunOf, RunView,
    SeriesView, SlotView, StoppedView,
};
use super::{Assigned, assigned};
use crate::clock;

/// The most basis readings of one revision that are shown; the rest is in the package's input all the same.
const MAX_BASIS: usize = 10_000;

/// The most slots of the calendar of one revision that are shown: those of a month with some changes a day.
const MAX_SLOTS: usize = 200;

/// Answers the command line.
#[derive(Debug, Clone)]
pub(crate) struct Explainer {
    shared: Shared,
}

/// The reason why a question about applications has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// No bundle in force has it.
    #[error("no application {id:?} is assigned to anything; `smgw app list` shows what there is")]
    Unknown { id: String },
    /// It is stopped.
    #[error(
        "the application {id:?} is stopped: its author's certificate is revoked since {since}; have the module signed anew"
    )]
    Stopped { id: String, since: Timestamp },
    /// Nothing was made.
    #[error("no application has made {element} at {time}")]
    NotMade { element: Element, time: Timestamp },
    /// The store failed.
    #[error("what applications have made cannot be read")]
    Store(#[from] DatabaseError),
    /// The packages cannot be read.
    #[error("the packages of applications cannot be read")]
    Packages(#[from] FileError),
}

impl Explainer {
    pub(crate) const fn new(shared: Shared) -> Self {
        Self { shared }
    }

    /// Lists the applications that are kept, and what they are run on.
    pub(crate) fn list(&self) -> Result<AppsView, Refusal> {
        let (_, all) = self.shared.assigned();
        let mut applications = Vec::new();
        for digest in self.shared.store.applications().list()? {
            let assigned: Vec<_> = all.iter().filter(|assigned| assigned.digest == digest).collect();
            applications.extend(self.shown(digest, &assigned));
        }
        applications.sort_by(|one, two| (&one.id, &one.version).cmp(&(&two.id, &two.version)));
        Ok(AppsView::new(applications))
    }

    fn shown(&self, digest: Fingerprint, assigned: &[&Assigned]) -> Option<AppView> {
        let manifest = assigned::manifest_of(&self.shared.store, digest)?;
        let (failures, until) = self.shared.failures(digest).unzip();
        let named = self.shared.supplier_of(digest);
        Some(AppView {
            id: manifest.id().to_string(),
            version: manifest.version().to_string(),
            digest,
            taf: manifest.taf(),
            name_de: manifest.name().de.clone(),
            name_en: manifest.name().en.clone(),
            supplier: named,
            assignments: assigned
                .iter()
                .map(|assigned| self.assignment(assigned))
                .collect(),
            stopped: assigned
                .iter()
                .find_map(|assigned| assigned.stopped.as_ref().map(StoppedView::new)),
            failures: failures.unwrap_or_default(),
            left_alone_until: until.filter(|until| *until > clock::now()),
        })
    }

    fn assignment(&self, assigned: &Assigned) -> AssignmentView {
        let schedule = &assigned.assignment;
        let inputs = schedule
            .inputs
            .iter()
            .flat_map(|(role, patterns)| patterns.iter().map(move |pattern| format!("{role} {pattern}")));
        AssignmentView {
            name: schedule.name.to_string(),
            window: schedule.window.to_string(),
            zone: schedule.zone.to_string(),
            from: schedule.from,
            to: schedule.to,
            inputs: inputs.collect(),
            evaluated_until: self.shared.store.database().evaluated_until(&assigned.key),
        }
    }

    /// Runs an application over a period as if it were a window; nothing is stored.
    pub(crate) fn run(&self, id: &str, period: Period) -> Result<RunView, Refusal> {
        let (_, all) = self.shared.assigned();
        let mut meant = all
            .iter()
            .filter(|assigned| assigned.manifest.id().as_str() == id)
            .peekable();
        let first = meant
            .peek()
            .ok_or_else(|| Refusal::Unknown { id: id.to_owned() })?;
        if let Some(revoked) = first.stopped {
            let (id, since) = (id.to_owned(), revoked.time);
            return Err(Refusal::Stopped { id, since });
        }
        let evaluator = self.shared.evaluator(clock::now());
        let mut runs = Vec::new();
        for assigned in meant {
            let (values, failure) = match evaluator.make(assigned, period)? {
                Ok(made) => (made.values.iter().map(MadeView::new).collect(), None),
                Err(failure) => (Vec::new(), Some(format!("{} ({})", failure.text, failure.code))),
            };
            runs.push(RunOf {
                application: assigned.name(),
                digest: assigned.digest,
                name: assigned.assignment.name.to_string(),
                values,
                failure,
            });
        }
        Ok(RunView::new(period, runs))
    }

    /// Explains how the value of an element at a time came about, by what made it, revision by revision.
    pub(crate) fn explain(&self, element: &Element, time: Timestamp) -> Result<ExplanationView, Refusal> {
        let found = self.shared.store.database().evaluations_at(element, time)?;
        if found.is_empty() {
            let element = element.clone();
            return Err(Refusal::NotMade { element, time });
        }
        let (_, all) = self.shared.assigned();
        let mut keys: Vec<[u8; 32]> = Vec::new();
        let mut series: Vec<SeriesView> = Vec::new();
        for (evaluation, value) in &found {
            let key = evaluation.assignment;
            let given = self.shared.store.database().given(evaluation.number)?;
            let (context, blob) = given.as_deref().map(given::split).unzip();
            let context = context.flatten();
            let revision = self.revision((evaluation, value), context.as_ref(), blob)?;
            if let Some(place) = keys.iter().position(|known| *known == key)
                && let Some(known) = series.get_mut(place)
            {
                known.revisions.push(revision);
                continue;
            }
            let assigned = all.iter().find(|assigned| assigned.key == key);
            let (name, supplier) = match (&context, assigned) {
                (Some(context), _) => (Some(&context.assignment.name), Some(context.supplier.to_string())),
                (None, Some(assigned)) => (Some(&assigned.assignment.name), Some(assigned.supplier.clone())),
                (None, None) => (None, None),
            };
            keys.push(key);
            series.push(SeriesView {
                assignment: name.map(ToString::to_string),
                supplier: supplier.filter(|supplier| !supplier.is_empty()),
                revisions: vec![revision],
            });
        }
        Ok(ExplanationView::new(series))
    }

    fn revision(
        &self,
        (evaluation, value): (&Evaluation, &Derived),
        context: Option<&Context<'_>>,
        given: Option<&[u8]>,
    ) -> Result<RevisionView, Refusal> {
        let view = given.and_then(|given| Some((InputView::parse(given).ok()?, given)));
        let basis = view.as_ref().map(|view| basis(view, context, value));
        let slots = view.as_ref().map(|view| slots(view, value));
        let state = view.as_ref().and_then(|(view, given)| view.state(given).ok());
        let reproduced = match given {
            Some(given) => self.reproduces(evaluation, value, given)?,
            None => Err("what the application was given is damaged".to_owned()),
        };
        let (reproduced, fault) = match reproduced {
            Ok(reproduced) => (reproduced, None),
            Err(fault) => (false, Some(fault)),
        };
        Ok(RevisionView {
            revision: evaluation.revision,
            value: MadeView::new(value),
            made: evaluation.time,
            window: evaluation.window,
            application: name_of(&self.shared.store, evaluation.application),
            digest: evaluation.application,
            parameters: context.map(|context| context.assignment.parameters.clone()),
            slots: slots.unwrap_or_default(),
            state_bytes: state.map_or(0, <[u8]>::len),
            basis: basis.unwrap_or_default(),
            reproduced,
            fault,
        })
    }

    /// Runs the version that has made a value over what it was given then, and returns whether the same comes out.
    fn reproduces(
        &self,
        evaluation: &Evaluation,
        value: &Derived,
        given: &[u8],
    ) -> Result<Result<bool, String>, Refusal> {
        let Some(package) = self.shared.store.applications().read(evaluation.application)? else {
            return Ok(Err("the package of the application is gone".to_owned()));
        };
        let manifest = match Package::parse(&package) {
            Ok(package) => package.manifest().clone(),
            Err(error) => return Ok(Err(error.to_string())),
        };
        Ok(
            match evaluate::run(self.shared.host, &manifest, &package, given) {
                Ok(outcome) => Ok(outcome.elements.iter().any(|made| {
                    (made.obis, made.from, made.to)
                        == (value.reading.element.obis, value.from, value.reading.time)
                        && (made.quantity, made.status, made.basis.clone())
                            == (value.reading.quantity, value.reading.status, value.basis.clone())
                })),
                Err(failure) => Err(failure.text),
            },
        )
    }
}

/// Returns the readings that a value is made of.
fn basis(
    (view, given): &(InputView, &[u8]),
    context: Option<&Context<'_>>,
    value: &Derived,
) -> Vec<BasisView> {
    let readings = view.readings(given).unwrap_or_default();
    let first = usize::try_from(value.basis.start).unwrap_or(usize::MAX);
    let count = value.basis.end.saturating_sub(value.basis.start);
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(MAX_BASIS);
    let shown = readings.iter().skip(first).take(count);
    let meter = |channel: u16| context?.meters.get(usize::from(channel)).map(ToString::to_string);
    shown
        .map(|reading| BasisView {
            meter: meter(reading.channel),
            obis: reading.obis.to_string(),
            time: reading.time,
            value: reading.value.to_string(),
            unit: reading.unit.to_string(),
            status: reading.status,
        })
        .collect()
}

/// Returns the slots of the calendar in a value's period: those of its stage, or all if it has none of theirs.
fn slots((view, given): &(InputView, &[u8]), value: &Derived) -> Vec<SlotView> {
    let slots = view.slots(given).unwrap_or_default();
    let held = slots
        .iter()
        .filter(|slot| slot.from < value.reading.time && value.from < slot.to);
    let has_stage = held.clone().any(|slot| slot.stage == value.stage);
    held.filter(|slot| !has_stage || slot.stage == value.stage)
        .take(MAX_SLOTS)
        .map(|slot| SlotView {
            from: slot.from,
            to: slot.to,
            stage: slot.stage,
        })
        .collect()
}
