//! Personalising many cards: those in a reader one after the other, those in files some at the same time.
//!
//! What is done stands in the books, so a batch that was cut off is taken up again by the same command: cards that are
//! complete are left alone, what was begun is settled, and the labels are made anew from the books.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use counterparty::clock;
use model::CardId;

use crate::arguments::CardPlace;
use crate::authority::Authority;
use crate::books::{Books, BooksError, Station};
use crate::labels::{Labels, LabelsError};
use crate::personalize::{Completed, GuidSource, KeySource, PersonalizeError, Workplace, personalize};
use crate::reader::{InsertedCard, ReaderError};

/// How many cards in a row may fail before the batch is given up: then it is not the cards.
const MAX_FAILURES: u32 = 5;
/// How many soft cards are worked at at the same time: most of their time they wait for the disk.
const AT_THE_SAME_TIME: usize = 8;
/// How often the progress is shown at most.
const REFRESH: Duration = Duration::from_millis(100);
/// How wide the bar is, in characters.
const BAR: u32 = 30;

/// The reason why a batch was not completed. It may be taken up again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BatchError {
    /// The labels cannot be written.
    #[error(transparent)]
    Labels(#[from] LabelsError),
    /// The books cannot be kept.
    #[error("the batch is not continued, since the books cannot be kept")]
    Books(#[from] BooksError),
    /// The reader fails.
    #[error("the batch is not continued, since no card can be put in")]
    Reader(#[from] ReaderError),
    /// The folder of the soft cards cannot be made.
    #[error("the folder of the cards cannot be made")]
    Cards(#[source] counterparty::files::FileError),
    /// Too many cards have failed in a row.
    #[error("{MAX_FAILURES} cards in a row were not completed; the same command continues")]
    Failures {
        /// What was wrong with the last one.
        #[source]
        source: Box<PersonalizeError<ReaderError>>,
    },
    /// Some cards are missing.
    #[error("{completed} of {cards} cards are complete; the same command continues")]
    Incomplete {
        /// How many are complete.
        completed: u32,
        /// How many there should be.
        cards: u32,
    },
}

/// What is to be done.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// The reader, or the folder of the soft cards.
    pub(crate) place: CardPlace,
    /// How many cards.
    pub(crate) cards: u32,
    /// The folder of the labels.
    pub(crate) labels: PathBuf,
    /// Where the GUIDs come from.
    pub(crate) source: GuidSource,
    /// Where the key pairs come from.
    pub(crate) keys: KeySource,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    /// The batch's name.
    pub(crate) batch: String,
    /// The GUIDs of all its cards.
    pub(crate) guids: Vec<CardId>,
    /// How many cards of this run were not completed.
    pub(crate) failed: u32,
}

/// Personalises until the batch is complete.
pub(crate) fn run(authority: &Authority, books: &Books, order: &Order) -> Result<Done, BatchError> {
    let mut labels = Labels::open(&order.labels, order.cards)?;
    let batch = labels.batch().to_owned();
    let completed = books.completed(&batch)?;
    labels.begin(&completed)?;
    let mut progress = Progress::new(order.cards, count(completed.len()));
    let run = Run {
        authority,
        books,
        order,
        batch: &batch,
        failures_in_a_row: AtomicU32::new(0),
        failed: AtomicU32::new(0),
    };
    match &order.place {
        CardPlace::Soft(folder) => {
            counterparty::files::make_folder(folder).map_err(BatchError::Cards)?;
            run.side_by_side(folder, |card| {
                if !completed.contains(&card.guid) {
                    labels.add(card.guid)?;
                    progress.step();
                }
                Ok(())
            })?;
        }
        CardPlace::Pcsc(reader) => {
            while progress.completed < order.cards {
                progress.say("put the next blank card into the reader");
                crate::pcsc_card::wait(reader, true).map_err(ReaderError::from)?;
                if let Some(card) = run.card(&order.place, false)?
                    && !(card.before && completed.contains(&card.guid))
                {
                    labels.add(card.guid)?;
                    progress.step();
                }
                progress.say("take the card out");
                crate::pcsc_card::wait(reader, false).map_err(ReaderError::from)?;
            }
        }
    }
    progress.end();
    labels.finish()?;
    let (guids, failed) = (books.completed(&batch)?, run.failed.into_inner());
    let (completed, cards) = (count(guids.len()), order.cards);
    if completed < cards {
        return Err(BatchError::Incomplete { completed, cards });
    }
    Ok(Done { batch, guids, failed })
}

/// One run of a batch.
struct Run<'a> {
    authority: &'a Authority,
    books: &'a Books,
    order: &'a Order,
    batch: &'a str,
    failures_in_a_row: AtomicU32,
    failed: AtomicU32,
}

impl Run<'_> {
    /// Personalises the cards of a folder, some at the same time, and hands each one on that is complete.
    fn side_by_side(
        &self,
        folder: &Path,
        mut completed: impl FnMut(Completed) -> Result<(), BatchError>,
    ) -> Result<(), BatchError> {
        let next = AtomicU32::new(1);
        let (sender, receiver) = mpsc::sync_channel(AT_THE_SAME_TIME);
        std::thread::scope(|scope| {
            for _ in 0..AT_THE_SAME_TIME {
                let (sender, next) = (sender.clone(), &next);
                scope.spawn(move || {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number > self.order.cards {
                            return;
                        }
                        let place = CardPlace::Soft(folder.join(format!("card-{number:05}")));
                        let done = self.card(&place, true).transpose();
                        // Nobody listens any more once the batch has been given up.
                        if done.is_some_and(|done| sender.send(done).is_err()) {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            // The receiver goes with the first error, which ends the others after their present card.
            receiver.into_iter().try_for_each(|card| completed(card?))
        })
    }

    /// Personalises one card; `None` if it was not completed and the next one may be tried.
    fn card(&self, place: &CardPlace, keeps_its_card: bool) -> Result<Option<Completed>, BatchError> {
        let workplace = Workplace {
            authority: self.authority,
            books: self.books,
            source: self.order.source,
            keys: self.order.keys,
            station: station(place, self.batch),
            keeps_its_card,
        };
        let card = InsertedCard::insert(place)?;
        match personalize(&workplace, card, clock::now()) {
            Ok(card) => {
                self.failures_in_a_row.store(0, Ordering::Relaxed);
                Ok(Some(card))
            }
            Err(PersonalizeError::Books(error)) => Err(error.into()),
            Err(error) => {
                tracing::warn!("{}", crate::chain(&error));
                self.failed.fetch_add(1, Ordering::Relaxed);
                let in_a_row = self.failures_in_a_row.fetch_add(1, Ordering::Relaxed);
                if in_a_row.saturating_add(1) < MAX_FAILURES {
                    return Ok(None);
                }
                Err(BatchError::Failures {
                    source: Box::new(error),
                })
            }
        }
    }
}

/// Names the place of a card for the books: this machine, and the reader or file.
pub(crate) fn station(place: &CardPlace, batch: &str) -> Station {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let place = match place {
        CardPlace::Pcsc(reader) => format!("pcsc:{reader}"),
        CardPlace::Soft(file) => format!("soft:{}", absolute(file).display()),
    };
    Station {
        place: format!("{} {place}", host.trim()),
        batch: batch.to_owned(),
    }
}

/// Returns the one path of a file, that need not be there yet.
fn absolute(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new(".")).canonicalize();
    match (folder, file.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => file.to_owned(),
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Shows on a terminal how far the batch is.
struct Progress {
    cards: u32,
    completed: u32,
    at_begin: u32,
    begun: Instant,
    shown: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    fn new(cards: u32, completed: u32) -> Self {
        Self {
            cards,
            completed,
            at_begin: completed,
            begun: Instant::now(),
            shown: None,
            is_terminal: io::stderr().is_terminal(),
        }
    }

    fn step(&mut self) {
        self.completed = self.completed.saturating_add(1);
        let is_due = self.shown.is_none_or(|shown| shown.elapsed() >= REFRESH);
        if self.is_terminal && (is_due || self.completed == self.cards) {
            self.shown = Some(Instant::now());
            let elapsed = self.begun.elapsed();
            let line = bar(
                self.completed,
                self.cards,
                self.completed - self.at_begin,
                elapsed,
            );
            // Progress that cannot be shown is no reason to stop.
            drop(write!(io::stderr(), "\r{line}\x1b[K"));
        }
    }

    /// Asks the operator for something.
    fn say(&self, text: &str) {
        let (completed, cards) = (self.completed, self.cards);
        let newline = if self.is_terminal { "\r\x1b[K" } else { "" };
        drop(writeln!(io::stderr(), "{newline}{completed}/{cards}: {text}"));
    }

    fn end(&self) {
        if self.is_terminal {
            drop(writeln!(io::stderr()));
        }
    }
}

/// Writes a bar, the numbers, and how long the rest takes at the pace so far.
fn bar(completed: u32, cards: u32, in_this_run: u32, elapsed: Duration) -> String {
    let full = BAR
        .saturating_mul(completed)
        .checked_div(cards)
        .unwrap_or(BAR)
        .min(BAR);
    let width = |count: u32| usize::try_from(count).unwrap_or(0);
    let rest = elapsed.checked_div(in_this_run).map_or(0, |each| {
        each.saturating_mul(cards.saturating_sub(completed)).as_secs()
    });
    format!(
        "[{}{}] {completed}/{cards}, {rest} s left",
        "#".repeat(width(full)),
        ".".repeat(width(BAR.saturating_sub(full)))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_shows_how_much_and_how_long() {
        assert_eq!(
            bar(50, 100, 50, Duration::from_secs(10)),
            format!("[{}{}] 50/100, 10 s left", "#".repeat(15), ".".repeat(15))
        );
        assert!(bar(0, 0, 0, Duration::ZERO).ends_with("0/0, 0 s left"));
    }

    #[test]
    fn station_of_a_file_is_one_however_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let direct = station(&CardPlace::Soft(folder.path().join("card")), "");
        let around = folder
            .path()
            .join("../")
            .join(folder.path().file_name().unwrap())
            .join("card");
        assert_eq!(direct, station(&CardPlace::Soft(around), ""));
        assert_ne!(direct, station(&CardPlace::Pcsc("card".to_owned()), ""));
    }
}
