//! The slot that the card is in: how it gets power, and what is known about its reader.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::pcsc::PcscCard;
use super::reader::{Reader, ReaderError};
use crate::config::CardSlot;

/// How long the thread of a card that was given up may take to let go of the reader.
const LET_GO: Duration = Duration::from_millis(500);

/// How the names of vsmartcard's readers begin.
const VIRTUAL_READER: &str = "Virtual PCD";

/// A slot for a card. Its clones are the same slot.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    place: CardSlot,
    shared: Arc<Mutex<Known>>,
}

/// What is known about the reader.
#[derive(Debug, Default)]
struct Known {
    /// Where the last card that got power was.
    facts: Option<ReaderFacts>,
    /// How often a card had come or gone in its reader when that card got power.
    insertion: Option<u16>,
    /// The last event counts of the readers, as the monitor sees them; pcscd has at most sixteen readers.
    events: BTreeMap<String, u16>,
    /// Whether a reader came or went, or the service did, since that was asked for.
    was_blind: bool,
    /// Since when every command has failed.
    failing_since: Option<Instant>,
    /// Closed by the end of the thread that has the reader, or had it.
    owner: Option<Receiver<()>>,
}

/// What the reader says of itself and of the card in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReaderFacts {
    /// The reader's name, or the soft card's file.
    pub(crate) name: String,
    /// The card's answer to reset; a card in a file gives none.
    pub(crate) atr: Option<Vec<u8>>,
}

impl Slot {
    pub(crate) fn new(place: CardSlot) -> Self {
        Self {
            place,
            shared: Arc::default(),
        }
    }

    /// Returns where the card is to be.
    pub(crate) const fn place(&self) -> &CardSlot {
        &self.place
    }

    /// Gives power to the card, if there is one.
    ///
    /// # Errors
    ///
    /// [`ReaderError`] says why the card cannot be reached.
    pub(crate) fn power_on(&self) -> Result<Reader, ReaderError> {
        match &self.place {
            CardSlot::Reader(name) => {
                self.wait_for_owner()?;
                let (card, facts, owner) = PcscCard::connect(name.as_deref(), self.clone())?;
                let mut known = self.known();
                known.facts = Some(facts);
                known.insertion = Some(card.insertion());
                known.owner = Some(owner);
                Ok(Box::new(card))
            }
            #[cfg(feature = "soft-card")]
            CardSlot::Soft(file) => {
                let card = super::soft::SoftCard::insert(file)?;
                self.known().facts = Some(ReaderFacts {
                    name: file.display().to_string(),
                    atr: None,
                });
                Ok(Box::new(card))
            }
        }
    }

    /// Returns what the reader said of itself when the last card got power.
    pub(crate) fn facts(&self) -> Option<ReaderFacts> {
        self.known().facts.clone()
    }

    /// Returns which insertion the last card that got power came by: how often a card had come or gone in the reader
    /// until then. A file does not count.
    pub(super) fn insertion(&self) -> Option<u16> {
        self.known().insertion
    }

    /// Writes down how often a card came or went in a reader, and returns whether that is news. The count starts again
    /// after 65,535.
    pub(super) fn note_events(&self, reader: &str, count: u16) -> bool {
        self.known().events.insert(reader.to_owned(), count) != Some(count)
    }

    /// Forgets the counts: pcscd, which counts, has ended.
    pub(super) fn forget_events(&self) {
        self.known().events.clear();
    }

    /// Notes that a reader, or the service, came or went: for a moment nobody could look into the slot.
    pub(super) fn note_blindness(&self) {
        self.known().was_blind = true;
    }

    /// Returns whether nobody could look into the slot at some moment since this was asked for the last time.
    pub(super) fn take_blindness(&self) -> bool {
        std::mem::take(&mut self.known().was_blind)
    }

    /// Returns whether the card is a file, or a program on a virtual reader, as far as is known.
    pub(super) fn is_soft(&self) -> bool {
        match &self.place {
            CardSlot::Reader(name) => {
                let found = self.facts().map(|facts| facts.name);
                let name = found.or_else(|| name.clone());
                name.is_some_and(|name| name.starts_with(VIRTUAL_READER))
            }
            #[cfg(feature = "soft-card")]
            CardSlot::Soft(_) => true,
        }
    }

    /// Whether a card came or went in the reader since it was at the count.
    pub(super) fn moved_since(&self, reader: &str, count: u16) -> bool {
        // Half of the counts lie ahead; the monitor may also lag behind, and that is no event.
        const AHEAD: u16 = u16::MAX / 2;
        let latest = self.known().events.get(reader).copied().unwrap_or(count);
        (1..=AHEAD).contains(&latest.wrapping_sub(count))
    }

    /// Writes down whether a command was answered, and returns for how long none has been.
    pub(super) fn note_outcome(&self, answered: bool) -> Option<Duration> {
        let mut known = self.known();
        if answered {
            known.failing_since = None;
            return None;
        }
        Some(known.failing_since.get_or_insert_with(Instant::now).elapsed())
    }

    /// Waits until nobody has the reader any more. A thread that hangs keeps it: there is never more than one.
    fn wait_for_owner(&self) -> Result<(), ReaderError> {
        let Some(owner) = self.known().owner.take() else {
            return Ok(());
        };
        match owner.recv_timeout(LET_GO) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Ok(()),
            Err(RecvTimeoutError::Timeout) => {
                self.known().owner = Some(owner);
                Err(ReaderError::Hangs)
            }
        }
    }

    /// Keeps the thread that did not even get as far as the card.
    pub(super) fn keep_owner(&self, owner: Receiver<()>) {
        self.known().owner = Some(owner);
    }

    /// A panic elsewhere leaves what is known as it is, and it is still whole.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn slot() -> Slot {
        Slot::new(CardSlot::Reader(None))
    }

    #[test]
    fn a_swap_between_two_looks_is_seen_by_the_count() {
        let slot = slot();
        assert!(!slot.moved_since("reader", 3), "nothing is known yet");
        assert!(slot.note_events("reader", 3));
        assert!(!slot.note_events("reader", 3), "the same count is no news");
        assert!(!slot.moved_since("reader", 3));
        slot.note_events("reader", 5);
        assert!(slot.moved_since("reader", 3));
        assert!(!slot.moved_since("reader", 7), "the monitor lags behind");
        assert!(!slot.moved_since("another reader", 3));
        slot.note_events("reader", 1);
        assert!(slot.moved_since("reader", u16::MAX), "the count started again");
        slot.forget_events();
        assert!(!slot.moved_since("reader", u16::MAX));
    }

    #[test]
    fn moment_of_blindness_is_told_once() {
        let slot = slot();
        assert!(!slot.take_blindness());
        slot.note_blindness();
        assert!(slot.take_blindness());
        assert!(!slot.take_blindness());
    }

    #[test]
    fn virtual_reader_is_announced_before_and_after_it_is_found() {
        let named = |name: &str| Slot::new(CardSlot::Reader(Some(name.to_owned())));
        assert!(named("Virtual PCD 00 00").is_soft());
        assert!(!named("Identiv SCR3500").is_soft());
        let slot = slot();
        assert!(!slot.is_soft());
        slot.known().facts = Some(ReaderFacts {
            name: "Virtual PCD 00 01".to_owned(),
            atr: None,
        });
        assert!(slot.is_soft());
    }

    #[test]
    fn failures_are_timed_until_an_answer() {
        let slot = slot();
        assert_eq!(slot.note_outcome(true), None);
        let first = slot.note_outcome(false).unwrap();
        assert!(slot.note_outcome(false).unwrap() >= first);
        assert_eq!(slot.note_outcome(true), None);
    }

    #[test]
    fn reader_whose_thread_hangs_is_not_opened_again() {
        let slot = slot();
        let (thread, owner) = mpsc::sync_channel(1);
        slot.keep_owner(owner);
        assert!(matches!(slot.power_on(), Err(ReaderError::Hangs)));
        assert!(matches!(slot.power_on(), Err(ReaderError::Hangs)));
        drop(thread);
        assert!(!matches!(slot.power_on(), Err(ReaderError::Hangs)));
    }
}
