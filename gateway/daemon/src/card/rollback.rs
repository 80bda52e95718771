//! The anchor of the store on the card: an older copy of the data folder is noticed.
//!
//! The card keeps counter and digest of the last milestone (`store::Milestone`) and takes only the next one. A step is:
//!
//! 1. read what the card keeps, and go on only if it is this store's milestone or the one before;
//! 2. write the next milestone down, flushed;
//! 3. tell the card.
//!
//! A cut before 2 leaves everything as it was, one behind 2 leaves the store one step ahead, which the next comparison
//! finds and puts right by telling the card. So the store is never behind its card, unless it was put back.
//!
//! When a milestone is reached: at every start, every [`SPAN`], and at an ordered stop. That is some 9,000 times a year
//! or 140,000 times in sixteen years, of the 500,000 that a cell of a card's memory bears at the least; once per
//! registration period would be 560,000. A rollback to less than an hour before, in the same session with the card,
//! is therefore not noticed by the anchor; one that reaches behind a start is noticed by the session counter as well.

use std::time::{Duration, Instant};

use card::{CardError, HeadVerdict, StoreHead};
use model::{LogHead, LogKind};
use store::{DatabasePosition, Loss, Lost, Milestone, ReachError, Store};

use super::handle::Session;
use super::obstacle::Obstacle;
use super::reader::ReaderError;
use crate::journal::Journal;
use crate::report::Chain;

/// How long after a milestone the next one is due.
const SPAN: Duration = Duration::from_secs(3_600);

/// How long to wait after a milestone was not reached, as on a full disk.
const PAUSE: Duration = Duration::from_secs(600);

/// The anchor of one store, while the daemon runs.
#[derive(Debug, Default)]
pub(super) struct StoreAnchor {
    /// When the next milestone is due; at once after a start.
    due: Option<Instant>,
    /// Whether what the store holds has been compared with its milestone.
    is_compared: bool,
}

/// The reason why a milestone was not reached. The one before stays, or is one step ahead of the card.
#[derive(Debug, thiserror::Error)]
enum StepError {
    /// The card cannot be reached or refuses.
    #[error("the card does not take the milestone")]
    Card(#[from] CardError<ReaderError>),
    /// The card keeps another milestone.
    #[error(transparent)]
    Compared(Box<Obstacle>),
    /// The milestone cannot be written.
    #[error(transparent)]
    Reach(#[from] ReachError),
    /// The milestones cannot be read.
    #[error("the milestones cannot be read")]
    OutOfReach,
}

impl StoreAnchor {
    /// Compares the store with what its card keeps, and tells the card the milestone that a cut kept from it.
    ///
    /// # Errors
    ///
    /// The [`Obstacle`] says which of the two was set back.
    pub(super) fn compare(
        &mut self,
        session: &mut Session,
        store: &Store,
        journal: &Journal,
    ) -> Result<(), Obstacle> {
        let milestone = milestone_of(store)?;
        judge(session, milestone.as_ref())?;
        if let Some(milestone) = milestone.filter(|_| !self.is_compared) {
            compare_content(&milestone, store, journal)?;
        }
        self.is_compared = true;
        Ok(())
    }

    /// Reaches the next milestone if one is due.
    pub(super) fn keep_up(&mut self, session: &mut Session, store: &Store, journal: &Journal, now: Instant) {
        if self.due.is_none_or(|due| now >= due) {
            let span = if self.step(session, store, journal) {
                SPAN
            } else {
                PAUSE
            };
            self.due = now.checked_add(span);
        }
    }

    /// Reaches the next milestone and returns whether the card has it. Damaged logs are never vouched for.
    pub(super) fn step(&self, session: &mut Session, store: &Store, journal: &Journal) -> bool {
        if !self.is_compared || journal.is_damaged() {
            return false;
        }
        match step(session, store, journal) {
            Ok(counter) => {
                tracing::debug!(counter, "the card keeps a new milestone of the store");
                true
            }
            Err(error) => {
                tracing::warn!("the card keeps no new milestone of the store: {}", Chain(&error));
                false
            }
        }
    }
}

fn step(session: &mut Session, store: &Store, journal: &Journal) -> Result<u64, StepError> {
    let last = store.milestone().map_err(|_| StepError::OutOfReach)?;
    judge(session, last.as_ref()).map_err(|obstacle| StepError::Compared(Box::new(obstacle)))?;
    let next = store
        .next_milestone(journal.logs())
        .map_err(|_| StepError::OutOfReach)?;
    store.reach(&next)?;
    session.advance_store_head(&head_of(Some(&next)))?;
    Ok(next.counter)
}

/// Returns the last milestone of a store.
fn milestone_of(store: &Store) -> Result<Option<Milestone>, Obstacle> {
    store
        .milestone()
        .map_err(|error| Obstacle::MilestonesOutOfReach(Chain(error).to_string()))
}

/// Judges the milestone by what the card keeps; one that a cut kept from the card is told now.
fn judge(session: &mut Session, milestone: Option<&Milestone>) -> Result<(), Obstacle> {
    let (card, head) = (session.store_head()?, head_of(milestone));
    let before = milestone.map_or(Milestone::NOTHING_BEFORE, |milestone| milestone.before);
    let (card_counter, store_counter) = (card.counter, head.counter);
    match card.judge(&head, &before) {
        HeadVerdict::Current => Ok(()),
        HeadVerdict::OneStepAhead => {
            tracing::info!(
                counter = head.counter,
                "a cut kept this milestone from the card; it is told now"
            );
            Ok(session.advance_store_head(&head)?)
        }
        HeadVerdict::Older => Err(Obstacle::StoreSetBack {
            card: card_counter,
            store: store_counter,
        }),
        HeadVerdict::Foreign if card_counter.saturating_add(1) < store_counter => {
            Err(Obstacle::CardHeadSetBack {
                card: card_counter,
                store: store_counter,
            })
        }
        HeadVerdict::Foreign => Err(Obstacle::StoreForeign {
            counter: store_counter,
        }),
    }
}

fn head_of(milestone: Option<&Milestone>) -> StoreHead {
    milestone.map_or(StoreHead::NONE, |milestone| StoreHead {
        counter: milestone.counter,
        hash: milestone.digest(),
    })
}

/// Compares what the store holds with the milestone that the card vouches for: the milestone alone is quickly put back
/// in its place beside an old database or old logs.
///
/// Damage alone puts nothing back: a database that was damaged, or has lost its witness, still has the number of its last
/// commit. Only one that was made anew since the milestone has begun to count again, and says that all is lost. A log that
/// is damaged is an alarm of its own; the others are compared all the same.
fn compare_content(milestone: &Milestone, store: &Store, journal: &Journal) -> Result<(), Obstacle> {
    let (then, now) = (milestone.database, store.database().position());
    let is_behind =
        now.generation < then.generation || (now.generation == then.generation && now.digest != then.digest);
    if is_behind && !was_made_anew(store, then) {
        return Err(Obstacle::PartSetBack { part: "database" });
    }
    for (log, part, then) in [
        (LogKind::System, "system log", milestone.system),
        (LogKind::Consumer, "consumer log", milestone.consumer),
        (LogKind::Calibration, "calibration log", milestone.calibration),
    ] {
        if !journal.is_log_damaged(log) && !continues(journal, log, then)? {
            return Err(Obstacle::PartSetBack { part });
        }
    }
    Ok(())
}

/// Returns whether the database was found to be missing since the milestone. One that is made anew numbers its losses from
/// 1 on, so that an old loss is told from a new one only by when it was found, or if there was none before.
fn was_made_anew(store: &Store, then: DatabasePosition) -> bool {
    let database = store.database();
    let is_missing = |loss: &Loss| loss.lost == Lost::Database;
    database.new_losses().iter().any(is_missing)
        || database
            .losses()
            .iter()
            .any(|loss| is_missing(loss) && loss.number > then.last_loss)
}

/// Returns whether a log has the head that it had at the milestone. An entry that was deleted because of the log's size
/// or age has been vouched for by the card's signature.
fn continues(journal: &Journal, log: LogKind, then: LogHead) -> Result<bool, Obstacle> {
    let now = journal.logs().head(log);
    if now.count <= then.count {
        return Ok(now == then);
    }
    let Some(before) = then.count.checked_sub(1) else {
        return Ok(true);
    };
    let page = journal.logs().page(log, before, None);
    let page = page.map_err(|error| Obstacle::LogsOutOfReach(Chain(&error).to_string()))?;
    let entry = page.entries.iter().find(|entry| entry.sequence == then.count);
    Ok(entry.is_none_or(|entry| entry.hash == then.hash))
}
