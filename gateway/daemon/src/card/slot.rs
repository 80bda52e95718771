//! The slot that the card is in: how it gets power, and what is known about its reader.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::pcsc::PcscCard;
use super::reader::{Reader, ReaderError};
use super::removal::Events;
use super::standing::Gate;
use crate::config::CardSlot;

/// How long the thread of a card that was given up may take to let go of the reader.
const LET_GO: Duration = Duration::from_millis(500);

/// How long the events behind a reset by the gateway are put down to it: two looks of pcscd, which looks every 400 ms.
const OWN_RESET: Duration = Duration::from_secs(1);

/// How many events are put down to resets by the gateway until the card is paired: as many resets as a card that hangs
/// for a minute is given.
const OWN_EVENTS: u32 = 20;

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
    /// In which reader, and behind how many events, the bound card has proved for the last time that it is there.
    proven: Option<(String, u16)>,
    /// When the gateway itself reset the card for the last time.
    reset_at: Option<Instant>,
    /// How many events were put down to that since the card has proved that it is there.
    own_events: u32,
    /// Whether the reader, or the service, came or went since that was asked for.
    was_blind: bool,
    /// What ends the service at once.
    gate: Option<Gate>,
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

    /// Has the service ended through the gate as soon as the card has moved, cannot be seen, or does not answer.
    pub(super) fn guard(&self, gate: Gate) {
        self.known().gate = Some(gate);
    }

    /// Ends the service at once, until the card has been examined anew.
    pub(super) fn stand_down(&self, why: &'static str) {
        let gate = self.known().gate.clone();
        if let Some(gate) = gate {
            gate.close(why);
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
    /// after 65,535. Behind a reset by the gateway itself, a card that is there has not been away.
    pub(super) fn note_events(&self, reader: &str, count: u16, is_present: bool) -> bool {
        let mut known = self.known();
        let before = known.events.insert(reader.to_owned(), count);
        let is_own = known.facts.as_ref().is_some_and(|facts| facts.name == reader);
        let has_moved = is_own
            && known
                .insertion
                .is_some_and(|insertion| is_ahead(insertion, count));
        if is_own && before.is_some_and(|before| before != count && !is_ahead(before, count)) {
            // The reader counts from the start again: it was away, shorter than anybody looks.
            known.lose_sight();
        }
        known.put_down_to_reset(reader, count, is_present);
        drop(known);
        if has_moved {
            self.stand_down("a card came or went in the reader; it is examined anew");
        }
        before != Some(count)
    }

    /// Writes down that the bound card has proved that it is there.
    pub(super) fn note_proof(&self) {
        let mut known = self.known();
        let name = known.facts.as_ref().map(|facts| facts.name.clone());
        known.proven = name.zip(known.insertion);
        known.own_events = 0;
    }

    /// Returns whether a card came or went since the bound card has proved that it is there.
    pub(super) fn events_since_proof(&self) -> Events {
        let known = self.known();
        let Some((reader, count)) = &known.proven else {
            return Events::Unknown;
        };
        let latest = known.events.get(reader).copied().unwrap_or(*count);
        if is_ahead(*count, latest) {
            Events::Moved
        } else {
            Events::None
        }
    }

    /// Writes down that the gateway itself resets the card.
    pub(super) fn note_reset(&self) {
        self.known().reset_at = Some(Instant::now());
    }

    /// Forgets the counts: pcscd, which counts, has ended.
    pub(super) fn forget_events(&self) {
        self.known().events.clear();
    }

    /// Notes that the service came or went: for a moment nobody could look into the slot.
    pub(super) fn note_blindness(&self) {
        self.known().lose_sight();
        self.stand_down("nobody can look into the reader for now; the card is examined anew");
    }

    /// Notes which readers there are, if these are others than before; if the card's is not among them, nobody can look.
    pub(super) fn note_readers<'a>(&self, mut names: impl Iterator<Item = std::borrow::Cow<'a, str>>) {
        let own = self.facts().map(|facts| facts.name);
        if own.is_none_or(|own| names.all(|name| name != own)) {
            self.note_blindness();
        }
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
        let latest = self.known().events.get(reader).copied().unwrap_or(count);
        is_ahead(count, latest)
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

impl Known {
    /// The counts of events that are known so far tell nothing about those that follow.
    fn lose_sight(&mut self) {
        self.was_blind = true;
        self.proven = None;
    }

    /// Puts an event down to the gateway's own reset, if it was just before and the card is there.
    fn put_down_to_reset(&mut self, reader: &str, count: u16, is_present: bool) {
        let has_reset = self.reset_at.is_some_and(|at| at.elapsed() < OWN_RESET);
        if let Some((proven_in, proven)) = &mut self.proven
            && proven_in == reader
            && *proven != count
            && is_present
            && has_reset
            && self.own_events < OWN_EVENTS
        {
            *proven = count;
            self.own_events = self.own_events.saturating_add(1);
        }
    }
}

/// Returns whether a count of events is one of those that follow another. Half of all counts do; the monitor may also
/// lag behind, and that is no event.
const fn is_ahead(count: u16, latest: u16) -> bool {
    let ahead = latest.wrapping_sub(count);
    0 < ahead && ahead <= u16::MAX / 2
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
        assert!(slot.note_events("reader", 3, true));
        assert!(!slot.note_events("reader", 3, true), "the same count is no news");
        assert!(!slot.moved_since("reader", 3));
        slot.note_events("reader", 5, true);
        assert!(slot.moved_since("reader", 3));
        assert!(!slot.moved_since("reader", 7), "the monitor lags behind");
        assert!(!slot.moved_since("another reader", 3));
        slot.note_events("reader", 1, true);
        assert!(slot.moved_since("reader", u16::MAX), "the count started again");
        slot.forget_events();
        assert!(!slot.moved_since("reader", u16::MAX));
    }

    /// A slot in whose reader the bound card has proved behind five events that it is there.
    fn proven() -> Slot {
        let slot = slot();
        slot.known().facts = Some(ReaderFacts {
            name: "reader".to_owned(),
            atr: None,
        });
        slot.known().insertion = Some(5);
        slot.note_events("reader", 5, true);
        slot.note_proof();
        assert_eq!(slot.events_since_proof(), Events::None);
        slot
    }

    #[test]
    fn events_are_told_until_the_card_proves_itself_again() {
        let slot = proven();
        slot.note_events("another reader", 9, true);
        assert_eq!(slot.events_since_proof(), Events::None);
        slot.note_events("reader", 7, true);
        assert_eq!(slot.events_since_proof(), Events::Moved);
        slot.known().insertion = Some(7);
        assert_eq!(slot.events_since_proof(), Events::Moved);
        slot.note_proof();
        assert_eq!(slot.events_since_proof(), Events::None);
    }

    #[test]
    fn events_of_a_reader_that_was_away_are_unknown() {
        let slot = proven();
        slot.note_readers(["reader", "another"].map(std::borrow::Cow::from).into_iter());
        assert!(!slot.take_blindness(), "the card's reader is there");
        assert_eq!(slot.events_since_proof(), Events::None);
        slot.note_readers(["another"].map(std::borrow::Cow::from).into_iter());
        assert_eq!(slot.events_since_proof(), Events::Unknown);
        assert!(slot.take_blindness());
        // It was away and came back before anybody looked, and counts from the start.
        let slot = proven();
        slot.note_events("reader", 1, true);
        assert_eq!(slot.events_since_proof(), Events::Unknown);
        assert!(slot.take_blindness());
    }

    #[test]
    fn own_reset_is_not_taken_for_a_card_that_came_or_went() {
        let slot = proven();
        slot.note_reset();
        slot.note_events("reader", 7, true);
        assert_eq!(slot.events_since_proof(), Events::None);
        slot.note_events("reader", 8, false);
        assert_eq!(slot.events_since_proof(), Events::Moved, "it is out");
        let slot = proven();
        slot.note_reset();
        slot.known().reset_at = Instant::now().checked_sub(OWN_RESET);
        slot.note_events("reader", 7, true);
        assert_eq!(slot.events_since_proof(), Events::Moved, "that was long after it");
        let slot = proven();
        for event in 0..OWN_EVENTS + 1 {
            assert_eq!(slot.events_since_proof(), Events::None, "{event}");
            slot.note_reset();
            slot.note_events("reader", 7 + 2 * u16::try_from(event).unwrap(), true);
        }
        assert_eq!(
            slot.events_since_proof(),
            Events::Moved,
            "nobody hides behind resets"
        );
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
