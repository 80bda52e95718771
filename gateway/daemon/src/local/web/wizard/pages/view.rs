//! What the pages of the wizard show of steps and checks, in the language of whoever looks.

use model::Timestamp;

use super::super::super::language::Language;
use super::super::super::portal::{Member, Portal};
use super::super::super::zone::Zone;
use super::super::book::{Entry, State, Step};
use super::super::check::{Check, Verdict};
use super::super::what::What;
use super::super::{seen, terms, words};
use super::Faults;
use crate::clock;

/// A step in the list of all.
pub(super) struct StepLine {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) state: &'static str,
    pub(super) class: &'static str,
    pub(super) reason: Option<String>,
    pub(super) time: Option<String>,
    pub(super) is_running: bool,
}

/// Returns every step as it stands.
pub(super) fn step_lines(portal: &Portal, language: Language) -> Vec<StepLine> {
    let progress = portal.wizard.book.progress();
    let line = |step: Step| {
        let entry = progress.entry(step);
        let state = state_of(portal, step, &entry);
        StepLine {
            name: step.name(),
            title: words::step(language, step),
            state: words::state(language, &state),
            class: class_of(&state),
            is_running: state == State::Running,
            time: entry.time.map(|time| language.time(&portal.zone, time)),
            reason: reason_of(state),
        }
    };
    Step::ALL.into_iter().map(line).collect()
}

/// Returns the state that a step is seen in. What is burned counts for more than what the wizard has written down.
pub(super) fn state_of(portal: &Portal, step: Step, entry: &Entry) -> State {
    let wizard = &portal.wizard;
    let state = seen(&entry.state, wizard.is_running(step));
    let serves = || wizard.site.bindings.standing.borrow().identity.is_some();
    match step {
        Step::Binding if state != State::Running && serves() => State::Good,
        Step::Binding if state == State::Good => State::Problem,
        Step::Device | Step::Card | Step::Bus | Step::Meters | Step::Binding | Step::Wan | Step::Report => {
            state
        }
    }
}

pub(super) fn reason_of(state: State) -> Option<String> {
    match state {
        State::Skipped { reason } => Some(reason),
        State::ToDo | State::Running | State::Interrupted | State::Good | State::Problem => None,
    }
}

pub(super) const fn class_of(state: &State) -> &'static str {
    match state {
        State::Good => "good",
        State::Problem | State::Interrupted => "stale",
        State::ToDo | State::Running | State::Skipped { .. } => "soft",
    }
}

/// A check as a page shows it.
pub(super) struct CheckLine {
    pub(super) title: &'static str,
    pub(super) verdict: &'static str,
    pub(super) class: &'static str,
    pub(super) measured: Option<String>,
    pub(super) time: Option<String>,
    pub(super) code: Option<String>,
    /// The cause that the code stands for, in the language of the page.
    pub(super) cause: Option<&'static str>,
    /// The particulars, in English.
    pub(super) particulars: Option<String>,
    /// In the language of the page.
    pub(super) remedy: Option<&'static str>,
}

/// How times are told: in which language, by which clock, and from when on what lies ahead is counted.
#[derive(Clone, Copy)]
pub(super) struct Telling<'a> {
    pub(super) language: Language,
    pub(super) zone: &'a Zone,
    pub(super) now: Timestamp,
}

impl<'a> Telling<'a> {
    /// As a page does that is looked at now.
    pub(super) fn now(portal: &'a Portal, language: Language) -> Self {
        Self {
            language,
            zone: &portal.zone,
            now: clock::now(),
        }
    }

    pub(super) fn time(&self, time: Timestamp) -> String {
        self.language.time(self.zone, time)
    }
}

impl CheckLine {
    fn of(telling: Telling<'_>, check: &Check) -> Self {
        let language = telling.language;
        let wants_remedy = match check.verdict {
            Verdict::Note | Verdict::Warning | Verdict::Problem => true,
            Verdict::Good | Verdict::NotReached => false,
        };
        let known = check.code.as_deref().and_then(|code| language.of_code(code));
        let remedy = known.map_or_else(|| check.what.remedy(language), |known| known.remedy);
        let reason = check
            .cause
            .as_deref()
            .and_then(|why| terms::reason(language, why));
        let cause = known.map(|known| known.cause).or(reason);
        Self {
            title: check.what.name(language),
            verdict: words::verdict(language, check.verdict),
            class: match check.verdict {
                Verdict::Good => "good",
                Verdict::Note | Verdict::NotReached => "soft",
                Verdict::Warning | Verdict::Problem => "stale",
            },
            measured: check
                .measured
                .as_deref()
                .map(|text| terms::measured(language, check.what, text)),
            time: check.time.map(|time| {
                let shown = telling.time(time);
                match check.what {
                    What::Certificate => {
                        format!("{shown}, {}", words::validity(language, telling.now, time))
                    }
                    _ => shown,
                }
            }),
            code: check.code.clone(),
            particulars: check
                .cause
                .clone()
                .filter(|text| reason.is_none() && Some(text.as_str()) != cause),
            cause,
            remedy: wants_remedy.then_some(remedy),
        }
    }

    pub(super) fn all(telling: Telling<'_>, checks: &[Check]) -> Vec<Self> {
        checks.iter().map(|check| Self::of(telling, check)).collect()
    }
}

/// What the page of every step has.
pub(super) struct StepView {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) purpose: &'static str,
    pub(super) state: &'static str,
    pub(super) class: &'static str,
    pub(super) reason: Option<String>,
    pub(super) time: Option<String>,
    pub(super) took: Option<String>,
    pub(super) checks: Vec<CheckLine>,
    pub(super) is_running: bool,
    /// Whether a button begins the step; a binding and a scan have forms of their own.
    pub(super) has_button: bool,
    /// What stands on it.
    pub(super) button: &'static str,
    pub(super) form_token: String,
    pub(super) reason_entered: String,
    pub(super) reason_fault: Option<&'static str>,
    /// Which part of a long list is shown, as its address has it; empty for the first one.
    pub(super) part: String,
    pub(super) refusal: Option<String>,
    pub(super) previous: Option<&'static str>,
    pub(super) next: Option<&'static str>,
}

impl StepView {
    pub(super) fn of(portal: &Portal, technician: &Member, step: Step, faults: Faults) -> Self {
        let language = technician.language;
        let entry = portal.wizard.book.progress().entry(step);
        let state = state_of(portal, step, &entry);
        let place = Step::ALL.iter().position(|one| *one == step).unwrap_or(0);
        let neighbour =
            |place: Option<usize>| place.and_then(|place| Step::ALL.get(place)).map(|one| one.name());
        Self {
            name: step.name(),
            title: words::step(language, step),
            purpose: words::purpose(language, step),
            state: words::state(language, &state),
            class: class_of(&state),
            is_running: state == State::Running,
            reason: reason_of(state),
            time: entry.time.map(|time| language.time(&portal.zone, time)),
            took: entry.took_ms.map(|took| format!("{took} ms")),
            checks: CheckLine::all(Telling::now(portal, language), &entry.checks),
            button: button(language, step, entry.state != State::ToDo),
            has_button: !matches!(step, Step::Binding | Step::Bus),
            form_token: technician.session.form_token.reveal().to_string(),
            reason_fault: faults.reason.as_ref().map(|typed| typed.fault),
            reason_entered: faults.reason.map(|typed| typed.text).unwrap_or_default(),
            part: String::new(),
            refusal: faults.refusal,
            previous: neighbour(place.checked_sub(1)),
            next: neighbour(place.checked_add(1)),
        }
    }
}

impl StepView {
    /// Notes that the page shows another part of a long list than the first one, to be watched at the same place.
    pub(super) fn showing(mut self, from: usize) -> Self {
        if from > 0 {
            self.part = format!("?from={from}");
        }
        self
    }
}

/// Returns what stands on the button that begins a step.
const fn button(language: Language, step: Step, is_begun: bool) -> &'static str {
    let words = words::words(language);
    match (step, is_begun) {
        (Step::Report, false) => words.report_make,
        (Step::Report, true) => words.report_again,
        (_, false) => words.check_now,
        (_, true) => words.check_again,
    }
}
