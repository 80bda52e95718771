//! One evaluation: readings in, values out, all of it in the store or nothing.

use std::borrow::Cow;
use std::ops::Range;

use evaluation::interface::{Channel, InputView};
use evaluation::protocol::Failure;
use evaluation::{Derived as Accepted, LogLevel, Manifest, Outcome, accept};
use model::{Element, MeterId, Period, Reading, Span, Timestamp};
use sha2::{Digest, Sha256};
use store::{DatabaseError, Derived, NewEvaluation, Store, Stored};

use super::given::Context;
use super::input::{Prepared, Sources};
use super::{Assigned, Host};
use crate::report::Chain;

/// How often a window is evaluated anew in one go if readings come meanwhile.
const MAX_OVERTAKEN: usize = 3;
/// How many evaluations that are damaged or outdated are passed over on the way back to one that says what it has left.
const MAX_PASSED: usize = 64;

/// What came of the evaluation of a window.
#[derive(Debug)]
pub(super) enum Evaluated {
    /// So many values were made, in this revision.
    Stored { revision: u32, values: usize },
    /// Nothing has changed since the last time.
    Same,
    /// Readings kept coming; it is evaluated later.
    Later,
    /// It failed.
    Failed(Failure),
}

/// What came of one run.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) values: Vec<Derived>,
    pub(super) state: Vec<u8>,
    /// What the application was given, and of whose meters.
    pub(super) given: Vec<u8>,
    pub(super) meters: Vec<MeterId>,
    pub(super) digest: [u8; 32],
}

/// What a window has come to before anything runs.
enum Ready {
    /// It has readings.
    Run(Box<Prepared>),
    /// It has none, and that is what comes of it.
    Nothing(Made),
}

impl Ready {
    const fn digest(&self) -> [u8; 32] {
        match self {
            Self::Run(prepared) => prepared.digest,
            Self::Nothing(made) => made.digest,
        }
    }
}

/// What evaluations need.
#[derive(Debug)]
pub(super) struct Evaluator<'a> {
    pub(super) store: &'a Store,
    pub(super) host: Host,
    pub(super) period: Span,
    pub(super) history: Span,
    pub(super) now: Timestamp,
}

impl Evaluator<'_> {
    /// Evaluates a window and stores what comes of it.
    pub(super) fn evaluate(&self, assigned: &Assigned, window: Period) -> Result<Evaluated, DatabaseError> {
        let database = self.store.database();
        for _ in 0..MAX_OVERTAKEN {
            database.watch_window(window);
            let ready = match self.ready(assigned, window)? {
                Ok(ready) => ready,
                Err(failure) => return Ok(Evaluated::Failed(failure)),
            };
            let known = database.evaluation(&assigned.key, window.from());
            let known =
                known.filter(|known| (known.digest, known.application) == (ready.digest(), assigned.digest));
            let (stored, values) = match known {
                // The same version need not run over the same again to be found to make the same.
                Some(known) => (database.confirm_evaluation(known.number)?, 0),
                None => match self.carry_out(assigned, ready)? {
                    Ok(made) => (self.keep(assigned, window, &made)?, made.values.len()),
                    Err(failure) => return Ok(Evaluated::Failed(failure)),
                },
            };
            match stored {
                Stored::Revision(revision) => return Ok(Evaluated::Stored { revision, values }),
                Stored::Same => return Ok(Evaluated::Same),
                Stored::Overtaken => {}
                Stored::NoRoom => {
                    return Ok(failed(
                        "too-many-elements",
                        "the gateway knows too many elements that were made",
                    ));
                }
            }
        }
        Ok(Evaluated::Later)
    }

    /// Runs the application over a window, whatever is stored of it; stores nothing.
    pub(super) fn make(
        &self,
        assigned: &Assigned,
        window: Period,
    ) -> Result<Result<Made, Failure>, DatabaseError> {
        match self.ready(assigned, window)? {
            Ok(ready) => self.carry_out(assigned, ready),
            Err(failure) => Ok(Err(failure)),
        }
    }

    /// Reads what the application is to be given.
    fn ready(&self, assigned: &Assigned, window: Period) -> Result<Result<Ready, Failure>, DatabaseError> {
        let sources = Sources {
            store: self.store,
            period: self.period,
            state: self.state_before(assigned, window)?,
            now: self.now,
        };
        Ok(match sources.prepare(assigned, window)? {
            Ok(Some(prepared)) => Ok(Ready::Run(Box::new(prepared))),
            Ok(None) => Ok(Ready::Nothing(nothing(assigned, window, sources.state))),
            Err(fault) => Err(failure(fault.code(), &fault)),
        })
    }

    fn carry_out(&self, assigned: &Assigned, ready: Ready) -> Result<Result<Made, Failure>, DatabaseError> {
        let prepared = match ready {
            Ready::Run(prepared) => *prepared,
            Ready::Nothing(made) => return Ok(Ok(made)),
        };
        let bytes = match self.store.applications().read(assigned.digest) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(Err(absent())),
            Err(error) => return Ok(Err(failure("package", &error))),
        };
        Ok(self.run(assigned, &bytes, prepared))
    }

    fn keep(&self, assigned: &Assigned, window: Period, made: &Made) -> Result<Stored, DatabaseError> {
        let context = Context {
            supplier: assigned.supplier.as_str().into(),
            assignment: Cow::Borrowed(&assigned.assignment),
            meters: made.meters.as_slice().into(),
        };
        self.store.database().store_evaluation(&NewEvaluation {
            assignment: assigned.key,
            window,
            time: self.now,
            application: assigned.digest,
            digest: made.digest,
            values: made.values.clone(),
            state: made.state.clone(),
            given: context.before(&made.given),
            until: window.to().saturating_add(assigned.longest_keep(self.history)),
        })
    }

    fn run(&self, assigned: &Assigned, package: &[u8], prepared: Prepared) -> Result<Made, Failure> {
        let Prepared {
            input,
            meters,
            digest,
        } = prepared;
        let given = input.encode().map_err(|error| failure("interface", &error))?;
        let outcome = run(self.host, &assigned.manifest, package, &given)?;
        let measured = self.store.database().measured_elements();
        let mut values: Vec<Derived> = Vec::new();
        for accepted in outcome.elements {
            let channel = usize::from(accepted.channel);
            let (Some(meter), Some(channel)) = (meters.get(channel), input.channels.get(channel)) else {
                continue;
            };
            let element = accepted.element(meter.clone());
            if meters_of(&accepted.basis, &input.channels, &meters).any(|other| other != meter) {
                return Err(foreign_basis(&element));
            }
            if element.obis != channel.obis && measured.contains(&element) {
                return Err(own_element(&element));
            }
            values.push(self.derived(assigned, accepted, element));
        }
        values.sort_by(|one, two| key_of(one).cmp(&key_of(two)));
        let twice = values
            .iter()
            .zip(values.iter().skip(1))
            .find(|(one, two)| key_of(one) == key_of(two));
        if let Some((twice, _)) = twice {
            let (element, time) = key_of(twice);
            let text = format!("the application made two values of {element} at {time}");
            return Err(Failure {
                code: "duplicate-output".to_owned(),
                text,
            });
        }
        Ok(Made {
            values,
            state: outcome.state,
            given,
            meters,
            digest,
        })
    }

    fn derived(&self, assigned: &Assigned, accepted: Accepted, element: Element) -> Derived {
        let Accepted {
            output,
            stage,
            from,
            to,
            quantity,
            status,
            basis,
            ..
        } = accepted;
        Derived {
            reading: Reading {
                element,
                time: to,
                quantity,
                status,
            },
            from,
            stage,
            basis,
            until: to.saturating_add(assigned.keep(output, self.history)),
        }
    }

    /// Returns what the nearest window before that was evaluated has left, if the application leaves anything: one in between
    /// that failed changes nothing. One whose readings have changed since is not counted as evaluated, since its application may
    /// fail on them; only if no other is near it is what it left before.
    fn state_before(&self, assigned: &Assigned, window: Period) -> Result<Vec<u8>, DatabaseError> {
        if assigned.manifest.limits().state_bytes == 0 {
            return Ok(Vec::new());
        }
        let database = self.store.database();
        let mut end = window.from();
        let mut stale = None;
        for _ in 0..MAX_PASSED {
            let Some(before) = database.evaluation_before(&assigned.key, end) else {
                break;
            };
            end = before.window.from();
            match database.made(before.number)? {
                Some(made) if !before.is_stale => return Ok(made.state),
                Some(made) => stale = stale.or(Some(made.state)),
                None => {}
            }
        }
        Ok(stale.unwrap_or_default())
    }
}

/// Runs an application over a blob, and holds what it makes against its manifest.
pub(super) fn run(host: Host, manifest: &Manifest, package: &[u8], given: &[u8]) -> Result<Outcome, Failure> {
    let view = InputView::parse(given).map_err(|error| failure("input", &error))?;
    let run = host(package, given)?;
    for line in run.log.iter().filter(|line| line.level != LogLevel::Debug) {
        tracing::info!(application = %manifest.id(), version = %manifest.version(), "an application says: {}", line.text);
    }
    accept(manifest, &view, &run.output).map_err(|error| failure(error.code(), &error))
}

/// Returns whose meters the readings are that a value says to be made of, channel by channel.
fn meters_of<'a>(
    basis: &'a Range<u32>,
    channels: &'a [Channel],
    meters: &'a [MeterId],
) -> impl Iterator<Item = &'a MeterId> {
    let mut first = 0u32;
    let touched = channels.iter().map(move |channel| {
        let begin = first;
        first = begin.saturating_add(u32::try_from(channel.readings.len()).unwrap_or(u32::MAX));
        basis.start < first && begin < basis.end
    });
    let of = meters.iter().zip(touched);
    of.filter_map(|(meter, touched)| touched.then_some(meter))
}

fn key_of(value: &Derived) -> (&Element, Timestamp) {
    (&value.reading.element, value.reading.time)
}

/// A window without readings is evaluated to nothing: it is done, until readings come, and what the window before has left is
/// handed on to the one behind.
fn nothing(assigned: &Assigned, window: Period, state: Vec<u8>) -> Made {
    let mut digest = Sha256::new();
    digest.update(b"nothing");
    digest.update(assigned.key);
    digest.update(window.from().unix_seconds().to_be_bytes());
    digest.update(&state);
    Made {
        values: Vec::new(),
        state,
        given: Vec::new(),
        meters: Vec::new(),
        digest: digest.finalize().into(),
    }
}

fn failed(code: &str, text: &str) -> Evaluated {
    Evaluated::Failed(Failure {
        code: code.to_owned(),
        text: text.to_owned(),
    })
}

fn failure(code: &str, error: &dyn std::error::Error) -> Failure {
    Failure {
        code: code.to_owned(),
        text: Chain(error).to_string(),
    }
}

fn absent() -> Failure {
    Failure {
        code: "package".to_owned(),
        text: "the package of the application is not here, or damaged; the TSM sends it again".to_owned(),
    }
}

fn foreign_basis(element: &Element) -> Failure {
    Failure {
        code: "foreign-basis".to_owned(),
        text: format!("the application says that {element} is made of readings of another meter, too"),
    }
}

fn own_element(element: &Element) -> Failure {
    Failure {
        code: "own-element".to_owned(),
        text: format!("the application made {element}, which the meter has itself"),
    }
}
