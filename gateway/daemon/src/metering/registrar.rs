//! The registrar: takes the meters' reports, registers complete rounds, keeps what is shown.

use std::sync::Arc;

use bus::{BusConfig, MeterAnswer, Report, RoundKind};
use model::{Element, GapReason, LogEvent, Span, Timestamp};
use store::{Round, Store};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::round::OpenRounds;
use super::view::{self, MeterView, ValueView};
use crate::clock;
use crate::journal::{Journal, MeterBook};
use crate::liveness;
use crate::report::Chain;
use crate::threads::ThreadFailed;

/// The task that registers.
pub(crate) struct Registrar {
    store: Arc<Store>,
    rounds: OpenRounds,
    views: watch::Sender<Vec<MeterView>>,
    journal: Journal,
    book: MeterBook,
    period: Span,
    /// What the calibration log is to say; it is written before the round that it belongs to.
    events: Vec<LogEvent>,
}

/// A point of the grid at which a bus could not be read, since it was still busy.
#[derive(Debug)]
pub(crate) struct Missed {
    /// The bus.
    pub(crate) bus: String,
    /// The point of the grid.
    pub(crate) time: Timestamp,
}

/// The reason why the registrar stopped, and the daemon with it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistrationFailed {
    /// The store did not take a round.
    #[error("a round of readings could not be registered")]
    Store(#[from] store::RegisterError),
    /// The thread that wrote to the store has panicked.
    #[error("the store's thread has failed")]
    Thread(#[from] ThreadFailed),
}

impl Registrar {
    /// Builds the registrar for the buses, and the view of their meters.
    pub(crate) fn new(
        store: Arc<Store>,
        (journal, book): (Journal, MeterBook),
        (buses, period): (&[BusConfig], Span),
    ) -> (Self, watch::Receiver<Vec<MeterView>>) {
        let (views, watch) = watch::channel(view::unread(buses));
        let registrar = Self {
            store,
            rounds: OpenRounds::new(buses.len()),
            views,
            journal,
            book,
            period,
            events: Vec::new(),
        };
        (registrar, watch)
    }

    /// Registers until it is stopped, or until the store fails. What has come in by then is
    /// registered before it returns.
    pub(crate) async fn run(
        mut self,
        mut reports: mpsc::Receiver<Report>,
        mut missed: mpsc::Receiver<Missed>,
        stop: CancellationToken,
    ) -> Result<(), RegistrationFailed> {
        loop {
            let complete = tokio::select! {
                () = stop.cancelled() => return self.register_all().await,
                Some(missed) = missed.recv() => {
                    self.note_missed(&missed);
                    let expected = self.elements_on(&missed.bus);
                    self.rounds.miss(&missed, expected)
                }
                Some(report) = reports.recv() => match report.kind {
                    RoundKind::Registration => {
                        let expected = self.elements_of(&report.meter);
                        self.show(&report);
                        self.events.extend(self.book.add(&report));
                        self.rounds.add(&report, &expected)
                    }
                    RoundKind::Live => {
                        self.show_live(&report);
                        Vec::new()
                    }
                },
                else => return self.register_all().await,
            };
            for (time, round) in complete {
                let readings = round.readings.len();
                self.events.extend(self.book.round(time, self.period));
                let registered = self.register(round).await?;
                tracing::debug!(%time, readings, stored = registered.stored, "round registered");
            }
        }
    }

    async fn register_all(mut self) -> Result<(), RegistrationFailed> {
        for (_, round) in self.rounds.take_all() {
            self.register(round).await?;
        }
        Ok(())
    }

    async fn register(&mut self, round: Round) -> Result<store::Registered, RegistrationFailed> {
        let (store, journal) = (Arc::clone(&self.store), self.journal.clone());
        let events = std::mem::take(&mut self.events);
        let registering = move || {
            if !events.is_empty() {
                journal.note(events);
            }
            store.database().register(&round)
        };
        let registered = liveness::work(registering).await??;
        if registered.refused > 0 {
            tracing::warn!(
                refused = registered.refused,
                "the gateway knows too many elements; some were left out"
            );
        }
        Ok(registered)
    }

    /// Has the book know of the meters on a bus that was not read.
    fn note_missed(&mut self, missed: &Missed) {
        let views = self.views.borrow();
        let on_bus = views.iter().filter(|view| view.bus == missed.bus);
        for view in on_bus {
            let events = self.book.miss(&view.name, missed.time, GapReason::BusDown);
            self.events.extend(events);
        }
    }

    /// Returns the elements that a meter should give: those that it has given before.
    fn elements_of(&self, meter: &str) -> Vec<Element> {
        self.elements_where(|view| view.name == meter)
    }

    /// Returns the elements that the meters of a bus should give.
    fn elements_on(&self, bus: &str) -> Vec<Element> {
        self.elements_where(|view| view.bus == bus)
    }

    fn elements_where(&self, wanted: impl Fn(&MeterView) -> bool) -> Vec<Element> {
        let views = self.views.borrow();
        let wanted = views.iter().filter(|view| wanted(view));
        let meters: Vec<_> = wanted.filter_map(|view| view.id.as_ref()).collect();
        let mut elements = self.store.database().measured_elements();
        elements.retain(|element| meters.contains(&&element.meter));
        elements
    }

    /// Updates what is shown, and logs it once when a meter begins or ceases to fail.
    fn show(&self, report: &Report) {
        self.views.send_modify(|views| {
            let Some(view) = views.iter_mut().find(|view| view.name == report.meter) else {
                return;
            };
            view.statistics = report.statistics.into();
            match &report.outcome {
                Ok(answer) => {
                    if view.error.take().is_some() {
                        tracing::info!(bus = report.bus, meter = report.meter, "the meter answers again");
                    }
                    show_answer(view, report, answer);
                }
                Err(error) => {
                    let text = Chain(error).to_string();
                    if view.error.is_none() {
                        tracing::warn!(bus = report.bus, meter = report.meter, "{text}");
                    }
                    view.error = Some(text);
                }
            }
        });
    }

    /// Puts fast values in the place of those that are shown. A failure is none of the meter's: the next round that is
    /// registered tells whether it answers.
    fn show_live(&self, report: &Report) {
        self.views.send_modify(|views| {
            let Some(view) = views.iter_mut().find(|view| view.name == report.meter) else {
                return;
            };
            view.statistics = report.statistics.into();
            match &report.outcome {
                Ok(answer) if view.id.as_ref() == Some(&answer.id) => {
                    for value in values_of(report, answer) {
                        show_value(&mut view.values, value);
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(
                        bus = report.bus,
                        meter = report.meter,
                        "not read for display: {}",
                        Chain(error)
                    );
                }
            }
        });
    }
}

/// Shows a value unless a later one of the element is shown already.
fn show_value(values: &mut Vec<ValueView>, value: ValueView) {
    match values.iter_mut().find(|shown| shown.obis == value.obis) {
        Some(shown) if shown.time < value.time => *shown = value,
        Some(_) => {}
        None => values.push(value),
    }
}

fn show_answer(view: &mut MeterView, report: &Report, answer: &MeterAnswer) {
    if view.id.as_ref().is_some_and(|id| *id != answer.id) {
        tracing::warn!(bus = report.bus, meter = report.meter, id = %answer.id, "another meter answers at this address");
    }
    view.id = Some(answer.id.clone());
    view.medium = Some(answer.medium);
    view.last_success = Some(report.round);
    view.values = values_of(report, answer).collect();
    view.registered.clone_from(&view.values);
}

/// Returns what a report shows: the values that are there, marked as registered ones are.
fn values_of(report: &Report, answer: &MeterAnswer) -> impl Iterator<Item = ValueView> {
    answer.samples.iter().filter_map(|sample| {
        let quantity = sample.value.ok()?;
        Some(ValueView {
            obis: sample.element.obis,
            value: quantity.value,
            unit: quantity.unit,
            time: report.round,
            status: sample.status.with(clock::status_at(report.round)),
        })
    })
}

#[cfg(test)]
mod tests;
