//! A card in a PC/SC reader: one thread owns context and card, and every call to it has a deadline.
//!
//! A call to pcscd can hang with the reader, and nothing can end it from outside. So the blocking calls are made by a
//! thread of their own; whoever waits for it gives up after a while and treats the card as lost. The thread that hangs
//! keeps the reader until its call comes back, and until then no other one is started.

use std::ffi::{CStr, CString};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use card::Transport;
use pcsc::{Context, Disposition, MAX_BUFFER_SIZE_EXTENDED, Protocols, ReaderState, Scope, ShareMode, State};
use zeroize::{Zeroize, Zeroizing};

use super::reader::ReaderError;
use super::slot::{ReaderFacts, Slot};

/// How long a card may take to get power: ISO 7816-3 permits it a second, and slow readers try three voltages.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a command may take. A signature takes 300 ms on a slow card; nothing that the gateway asks for is three
/// of them.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the service goes on while a command that reads is not answered: it takes a card some 20 ms. Together with the
/// pause between two heartbeats, and what is said last on a connection, it is no more than a second.
const READ_PATIENCE: Duration = Duration::from_millis(300);

/// The same for every other command. The longest one that is sent while the gateway serves makes a key pair and agrees a
/// key, each of which may take 300 ms.
const WORK_PATIENCE: Duration = Duration::from_millis(750);

/// How long the card must have failed before it is reset. pcscd looks for cards every 400 ms; a reset that fails in
/// between has it take the card for absent, and one that was inserted meanwhile is not seen until it is taken out again.
const RESET_AFTER: Duration = Duration::from_secs(1);

/// What goes wrong or comes back for one command.
type Outcome = Result<Zeroizing<Vec<u8>>, ReaderError>;

/// A card that has power in a PC/SC reader. Dropping it resets the card and lets go of the reader.
#[derive(Debug)]
pub(super) struct PcscCard {
    commands: SyncSender<Zeroizing<Vec<u8>>>,
    answers: Receiver<Outcome>,
    slot: Slot,
    reader: String,
    /// The reader's event count when the card got power.
    events: u16,
    /// Whether the card is out of reach for good.
    is_lost: bool,
}

/// What the thread found when it connected.
struct Connected {
    facts: ReaderFacts,
    events: u16,
}

impl PcscCard {
    /// Gives power to the card in the named reader, or in the only one.
    ///
    /// Returns the card, what its reader says, and what is closed by the end of the thread that has the reader.
    pub(super) fn connect(
        name: Option<&str>,
        slot: Slot,
    ) -> Result<(Self, ReaderFacts, Receiver<()>), ReaderError> {
        let (commands, work) = mpsc::sync_channel(1);
        let (answer, answers) = mpsc::sync_channel(1);
        let (reply, connected) = mpsc::sync_channel(1);
        let (end, owner) = mpsc::sync_channel(1);
        let name = name.map(str::to_owned);
        let own_slot = slot.clone();
        std::thread::Builder::new()
            .name("card reader".to_owned())
            .spawn(move || {
                // Dropped with the closure, after the card.
                let _end: SyncSender<()> = end;
                own(name.as_deref(), &own_slot, &reply, &work, &answer);
            })
            .map_err(ReaderError::Thread)?;
        let Connected { facts, events } = match connected.recv_timeout(CONNECT_TIMEOUT) {
            Ok(connected) => connected?,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                slot.keep_owner(owner);
                return Err(ReaderError::Hangs);
            }
        };
        let card = Self {
            commands,
            answers,
            slot,
            reader: facts.name.clone(),
            events,
            is_lost: false,
        };
        Ok((card, facts, owner))
    }

    /// Returns how often a card had come or gone in the reader when this one got power.
    pub(super) const fn insertion(&self) -> u16 {
        self.events
    }

    fn exchange(&self, command: &[u8]) -> Outcome {
        if self.slot.moved_since(&self.reader, self.events) {
            return Err(ReaderError::Lost);
        }
        let patience = patience(command);
        let command = Zeroizing::new(command.to_vec());
        self.commands.try_send(command).map_err(|_| ReaderError::Lost)?;
        let answered = match self.answers.recv_timeout(patience) {
            Err(RecvTimeoutError::Timeout) => {
                self.slot.stand_down("the card does not answer");
                self.answers.recv_timeout(ANSWER_TIMEOUT.saturating_sub(patience))
            }
            answered => answered,
        };
        match answered {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => Err(ReaderError::Hangs),
            Err(RecvTimeoutError::Disconnected) => Err(ReaderError::Lost),
        }
    }
}

/// Returns how long the service goes on while the command is not answered.
const fn patience(command: &[u8]) -> Duration {
    match command {
        // SELECT and READ BINARY, protected or not: what a heartbeat is made of.
        [_, 0xA4 | 0xB0, ..] => READ_PATIENCE,
        _ => WORK_PATIENCE,
    }
}

impl Transport for PcscCard {
    type Error = ReaderError;

    fn transmit(&mut self, command: &[u8]) -> Outcome {
        // After any failure the card may be another one, or the same with its session gone.
        if self.is_lost {
            return Err(ReaderError::Lost);
        }
        let outcome = self.exchange(command);
        self.is_lost = outcome.is_err();
        outcome
    }
}

/// The life of the thread: it connects, says so, and carries out commands until nobody sends any or one fails.
fn own(
    name: Option<&str>,
    slot: &Slot,
    reply: &SyncSender<Result<Connected, ReaderError>>,
    work: &Receiver<Zeroizing<Vec<u8>>>,
    answer: &SyncSender<Outcome>,
) {
    let card = match connect(name) {
        Ok((card, connected)) => {
            if reply.try_send(Ok(connected)).is_err() {
                return;
            }
            card
        }
        Err(error) => return drop(reply.try_send(Err(error))),
    };
    let mut buffer = vec![0; MAX_BUFFER_SIZE_EXTENDED];
    while let Ok(command) = work.recv() {
        let outcome = transmit(&card, &command, &mut buffer);
        let failed_for = slot.note_outcome(outcome.is_ok());
        if let Some(failed_for) = failed_for {
            let disposition = if failed_for < RESET_AFTER {
                Disposition::LeaveCard
            } else {
                slot.note_reset();
                Disposition::ResetCard
            };
            // A card that is gone cannot be let go of, and need not be. It is done before the answer, on which the
            // program may end: pcscd resets the cards of those that do.
            drop(card.disconnect(disposition));
            return drop(answer.try_send(outcome));
        }
        if answer.try_send(outcome).is_err() {
            return;
        }
    }
}

fn transmit(card: &pcsc::Card, command: &[u8], buffer: &mut [u8]) -> Outcome {
    let answer = card.transmit(command, buffer)?;
    let (length, answer) = (answer.len(), Zeroizing::new(answer.to_vec()));
    // What the card answers may be an agreed secret.
    buffer.iter_mut().take(length).for_each(Zeroize::zeroize);
    Ok(answer)
}

fn connect(name: Option<&str>) -> Result<(pcsc::Card, Connected), ReaderError> {
    let context = Context::establish(Scope::System)?;
    let readers = context.list_readers_owned()?;
    let reader = choose(&readers, name)?;
    // The count is taken first: a card that is exchanged from here on is not the one that gets power.
    let mut states = [ReaderState::new(reader, State::UNAWARE)];
    context.get_status_change(Duration::ZERO, &mut states)?;
    let [state] = &states;
    let (atr, events) = (state.atr().to_vec(), events(state));
    let card = context.connect(reader, ShareMode::Exclusive, Protocols::T1)?;
    let facts = ReaderFacts {
        name: reader.to_string_lossy().into_owned(),
        atr: Some(atr),
    };
    Ok((card, Connected { facts, events }))
}

/// Returns how often a card came or went in the reader, in the 16 bits that PC/SC has for it.
pub(super) fn events(state: &ReaderState) -> u16 {
    u16::try_from(state.event_count()).unwrap_or_default()
}

/// Chooses the reader of that name, or the only one whose name begins so, or simply the only one.
fn choose<'a>(readers: &'a [CString], name: Option<&str>) -> Result<&'a CStr, ReaderError> {
    let text = |reader: &CString| reader.to_string_lossy().into_owned();
    let listed = |readers: &[&'a CString]| {
        let names: Vec<_> = readers.iter().map(|reader| text(reader)).collect();
        names.join(", ")
    };
    if readers.is_empty() {
        return Err(ReaderError::NoReader);
    }
    let all: Vec<_> = readers.iter().collect();
    let wanted = name.unwrap_or_default();
    if let Some(exact) = readers.iter().find(|reader| text(reader) == wanted) {
        return Ok(exact);
    }
    let begins: Vec<_> = readers
        .iter()
        .filter(|reader| text(reader).starts_with(wanted))
        .collect();
    match begins.as_slice() {
        [only] => Ok(only),
        [] => Err(ReaderError::OtherReaders {
            name: wanted.to_owned(),
            there: listed(&all),
        }),
        several => Err(ReaderError::SeveralReaders {
            names: listed(several),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readers(names: &[&str]) -> Vec<CString> {
        names.iter().map(|name| CString::new(*name).unwrap()).collect()
    }

    #[test]
    fn reader_is_the_named_one_or_the_only_one() {
        let two = readers(&["Alpha 00 00", "Beta 01 00"]);
        let chosen = |name| choose(&two, name).map(|reader| reader.to_str().unwrap().to_owned());
        assert_eq!(chosen(Some("Beta 01 00")).unwrap(), "Beta 01 00");
        assert_eq!(chosen(Some("Alpha")).unwrap(), "Alpha 00 00");
        assert!(
            matches!(chosen(None), Err(ReaderError::SeveralReaders { names }) if names == "Alpha 00 00, Beta 01 00")
        );
        assert!(
            matches!(chosen(Some("Gamma")), Err(ReaderError::OtherReaders { name, there })
            if name == "Gamma" && there.contains("Beta"))
        );
        assert!(choose(&readers(&["Alpha"]), None).is_ok());
        assert!(matches!(choose(&[], None), Err(ReaderError::NoReader)));
    }

    #[test]
    fn exact_name_wins_over_a_longer_one() {
        let slots = readers(&["Reader 1", "Reader 10"]);
        assert_eq!(choose(&slots, Some("Reader 1")).unwrap(), c"Reader 1");
    }

    /// A card whose thread does what the closure does.
    fn card(
        serve: impl FnOnce(Receiver<Zeroizing<Vec<u8>>>, SyncSender<Outcome>) + Send + 'static,
    ) -> PcscCard {
        let (commands, work) = mpsc::sync_channel(1);
        let (answer, answers) = mpsc::sync_channel(1);
        std::thread::spawn(move || serve(work, answer));
        PcscCard {
            commands,
            answers,
            slot: Slot::new(crate::config::CardSlot::Reader(None)),
            reader: "reader".to_owned(),
            events: 1,
            is_lost: false,
        }
    }

    #[test]
    fn card_that_hangs_is_given_up_in_time_and_for_good() {
        let (release, hold) = mpsc::channel::<()>();
        let mut card = card(move |work, answer| {
            work.recv().unwrap();
            hold.recv().unwrap_err();
            drop(answer);
        });
        let begun = std::time::Instant::now();
        assert!(matches!(card.transmit(&[0]), Err(ReaderError::Hangs)));
        assert!(begun.elapsed() < ANSWER_TIMEOUT * 2);
        assert!(matches!(card.transmit(&[0]), Err(ReaderError::Lost)));
        drop(release);
    }

    #[test]
    fn card_that_answers_late_is_not_lost_and_the_service_ends_meanwhile() {
        use std::sync::Arc;

        use tokio::sync::watch;

        use crate::card::standing::{Gate, Standing};

        for (command, late) in [([0x0C, 0xB0], READ_PATIENCE), ([0x0C, 0x2A], WORK_PATIENCE)] {
            let mut card = card(move |work, answer| {
                let (release, hold) = mpsc::channel::<()>();
                work.recv().unwrap();
                // Longer than the patience, shorter than the time after which the card is lost.
                hold.recv_timeout(late + Duration::from_millis(300)).unwrap_err();
                drop(release);
                answer.send(Ok(Zeroizing::new(vec![0x90, 0x00]))).unwrap();
                drop(work.recv());
            });
            let gate = Gate::new(Arc::new(watch::channel(Standing::unknown()).0));
            card.slot.guard(gate.clone());
            assert_eq!(card.transmit(&command).unwrap().as_slice(), [0x90, 0x00]);
            assert!(gate.is_closed());
        }
    }

    #[test]
    fn card_that_failed_once_is_lost() {
        let mut card = card(|work, answer| {
            work.recv().unwrap();
            answer.send(Err(pcsc::Error::ResetCard.into())).unwrap();
            drop(work.recv());
        });
        assert!(matches!(card.transmit(&[0]), Err(ReaderError::Lost)));
        assert!(matches!(card.transmit(&[0]), Err(ReaderError::Lost)));
    }

    #[test]
    fn card_that_was_exchanged_unseen_is_lost() {
        let mut card = card(|work, answer| {
            while work.recv().is_ok() {
                answer.send(Ok(Zeroizing::new(vec![0x90, 0x00]))).unwrap();
            }
        });
        assert_eq!(card.transmit(&[0]).unwrap().as_slice(), [0x90, 0x00]);
        card.slot.note_events("reader", 3, true);
        assert!(matches!(card.transmit(&[0]), Err(ReaderError::Lost)));
    }
}
