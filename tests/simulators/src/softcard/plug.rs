//! The card in its slot: it plugs itself in, answers, and suffers what a test asks for.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::SoftCardError;
use super::link::{ATR, Link, Order};
use super::memory::Memory;

/// How long to wait before the reader is tried again: `pcscd` may start later than the card, or again.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause, so that a card comes back soon after a long absence of the reader.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How long a connection may take to be accepted; the reader is on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How the card stands to its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact {
    /// It is in the reader.
    Inserted,
    /// It is to be in the reader, which does not answer yet.
    Waiting,
    /// It was taken out.
    Removed,
}

/// A soft card that plugs itself into a virtual reader, on a thread of its own. Dropping it takes it out.
#[derive(Debug)]
pub struct SoftCard {
    slot: Arc<Slot>,
    thread: Option<JoinHandle<()>>,
}

/// What the card's thread and the one who holds the [`SoftCard`] share.
#[derive(Debug)]
struct Slot {
    wishes: Mutex<Wishes>,
    changed: Condvar,
}

/// What is to be done to the card.
#[derive(Debug)]
struct Wishes {
    stop: bool,
    inserted: bool,
    hang: bool,
    power_cycle: bool,
    /// So many answers are garbage.
    garbage: u32,
    /// How long a signature takes.
    signature: Duration,
    /// The connection to the reader, to be cut from outside.
    stream: Option<TcpStream>,
}

impl SoftCard {
    /// Starts the card of a file, inserted in the virtual reader that listens at the address. A file that is not there
    /// is a blank card.
    ///
    /// # Errors
    ///
    /// [`SoftCardError`] if the file is no card, or another reader has it. That no reader listens is none: the card
    /// waits for it.
    pub fn start(file: &Path, reader: SocketAddr) -> Result<Self, SoftCardError> {
        let memory = Memory::open(file)?;
        let slot = Arc::new(Slot {
            wishes: Mutex::new(Wishes {
                stop: false,
                inserted: true,
                hang: false,
                power_cycle: false,
                garbage: 0,
                signature: Duration::ZERO,
                stream: None,
            }),
            changed: Condvar::new(),
        });
        let own = Arc::clone(&slot);
        let thread = std::thread::Builder::new()
            .name("soft card".to_owned())
            .spawn(move || own.live(memory, reader))
            .map_err(SoftCardError::Thread)?;
        Ok(Self {
            slot,
            thread: Some(thread),
        })
    }

    /// Takes the card out of the reader.
    pub fn remove(&self) {
        self.slot.wish(|wishes| {
            wishes.inserted = false;
            wishes.cut();
        });
    }

    /// Puts the card into the reader.
    pub fn insert(&self) {
        self.slot.wish(|wishes| wishes.inserted = true);
    }

    /// Takes the power away for a moment, without the reader noticing.
    pub fn brown_out(&self) {
        self.slot.wish(|wishes| wishes.power_cycle = true);
    }

    /// Lets every signature take so long.
    pub fn delay_signatures(&self, delay: Duration) {
        self.slot.wish(|wishes| wishes.signature = delay);
    }

    /// Gives garbage for the next answers.
    pub fn garble(&self, answers: u32) {
        self.slot.wish(|wishes| wishes.garbage = answers);
    }

    /// Stops answering, until [`SoftCard::resume`] or the removal.
    pub fn hang(&self) {
        self.slot.wish(|wishes| wishes.hang = true);
    }

    /// Answers again.
    pub fn resume(&self) {
        self.slot.wish(|wishes| wishes.hang = false);
    }

    /// Returns how the card stands to its reader.
    #[must_use]
    pub fn contact(&self) -> Contact {
        let wishes = self.slot.wishes();
        match (&wishes.stream, wishes.inserted) {
            (_, false) => Contact::Removed,
            (Some(_), true) => Contact::Inserted,
            (None, true) => Contact::Waiting,
        }
    }
}

impl Drop for SoftCard {
    fn drop(&mut self) {
        self.slot.wish(|wishes| {
            wishes.stop = true;
            wishes.cut();
        });
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the soft card's thread has panicked");
        }
    }
}

impl Wishes {
    /// Ends the connection, also under a thread that reads from it.
    fn cut(&mut self) {
        if let Some(stream) = self.stream.take() {
            // A connection that is gone already needs no end.
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

impl Slot {
    /// A panic elsewhere leaves the wishes as they are, and they are still whole.
    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wish(&self, change: impl FnOnce(&mut Wishes)) {
        change(&mut self.wishes());
        self.changed.notify_all();
    }

    /// Waits until the condition holds, at most so long.
    fn wait(&self, longest: Duration, until: impl Fn(&Wishes) -> bool) {
        let waited = self
            .changed
            .wait_timeout_while(self.wishes(), longest, |wishes| !until(wishes));
        drop(waited);
    }

    /// Lives until it is told to stop, or its memory fails: such a card is dead.
    fn live(&self, mut memory: Memory, reader: SocketAddr) {
        let mut pause = FIRST_PAUSE;
        loop {
            self.wait(Duration::MAX, |wishes| wishes.stop || wishes.inserted);
            if self.wishes().stop {
                return;
            }
            let Some(mut link) = self.plug_in(reader) else {
                self.wait(pause, |wishes| wishes.stop);
                pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                continue;
            };
            tracing::info!(%reader, "inserted");
            pause = FIRST_PAUSE;
            let served = self.serve(&mut memory, &mut link);
            self.wishes().cut();
            memory.power_cycle();
            match served {
                Ok(error) => tracing::info!("out of the reader: {error}"),
                Err(error) => return tracing::error!("the card is dead: {error}"),
            }
        }
    }

    fn plug_in(&self, reader: SocketAddr) -> Option<Link> {
        let stream = TcpStream::connect_timeout(&reader, CONNECT_TIMEOUT).ok()?;
        let link = Link::new(stream.try_clone().ok()?).ok()?;
        let mut wishes = self.wishes();
        if wishes.stop || !wishes.inserted {
            return None;
        }
        wishes.stream = Some(stream);
        Some(link)
    }

    /// Answers the reader until the connection ends, and returns how it ended.
    fn serve(&self, memory: &mut Memory, link: &mut Link) -> Result<std::io::Error, SoftCardError> {
        loop {
            let order = match link.next_order() {
                Ok(order) => order,
                Err(error) => return Ok(error),
            };
            let answered = match order {
                Order::PowerOff | Order::PowerOn | Order::Reset => {
                    memory.power_cycle();
                    Ok(())
                }
                Order::Atr => link.answer(&ATR),
                Order::Command(command) => {
                    let command = zeroize::Zeroizing::new(command);
                    if std::mem::take(&mut self.wishes().power_cycle) {
                        memory.power_cycle();
                    }
                    let response = memory.transmit(&command)?;
                    self.suffer(&command);
                    match self.garbage() {
                        Some(garbage) => link.answer(garbage),
                        None => link.answer(&response),
                    }
                }
            };
            if let Err(error) = answered {
                return Ok(error);
            }
        }
    }

    /// Takes the time that a signature takes, and hangs if it is to.
    fn suffer(&self, command: &[u8]) {
        let delay = self.wishes().signature;
        if signs(command) && !delay.is_zero() {
            self.wait(delay, |wishes| wishes.stop || !wishes.inserted);
        }
        self.wait(Duration::MAX, |wishes| {
            wishes.stop || !wishes.inserted || !wishes.hang
        });
    }

    /// Returns what to answer instead of the truth: half a status word, or forty bytes that look like a good answer.
    fn garbage(&self) -> Option<&'static [u8]> {
        const LONG: [u8; 42] = {
            let mut long = [0xA5; 42];
            long[40] = 0x90;
            long[41] = 0x00;
            long
        };
        let mut wishes = self.wishes();
        let left = wishes.garbage.checked_sub(1)?;
        wishes.garbage = left;
        Some(if left.is_multiple_of(2) { &[0x90] } else { &LONG })
    }
}

/// Whether the card makes a signature for the command: PSO: COMPUTE DIGITAL SIGNATURE or INTERNAL AUTHENTICATE,
/// protected or not.
fn signs(command: &[u8]) -> bool {
    matches!(command, [_, 0x2A, 0x9E, 0x9A, ..] | [_, 0x88, ..])
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;

    const GET_CHALLENGE: [u8; 7] = [0, 5, 0x00, 0x84, 0x00, 0x00, 0x10];
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A reader that does what vsmartcard's does.
    struct Reader {
        listener: TcpListener,
        folder: tempfile::TempDir,
    }

    impl Reader {
        fn new() -> Self {
            Self {
                listener: TcpListener::bind("127.0.0.1:0").unwrap(),
                folder: tempfile::tempdir().unwrap(),
            }
        }

        fn card(&self) -> SoftCard {
            let address = self.listener.local_addr().unwrap();
            SoftCard::start(&self.folder.path().join("card"), address).unwrap()
        }

        fn accept(&self) -> TcpStream {
            let (stream, _) = self.listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream
        }
    }

    fn ask(reader: &mut TcpStream, frame: &[u8]) -> Vec<u8> {
        reader.write_all(frame).unwrap();
        let mut length = [0; 2];
        reader.read_exact(&mut length).unwrap();
        let mut body = vec![0; usize::from(u16::from_be_bytes(length))];
        reader.read_exact(&mut body).unwrap();
        body
    }

    /// A blank card gives no challenge, but it answers.
    fn answers(reader: &mut TcpStream) -> bool {
        ask(reader, &GET_CHALLENGE).len() == 2
    }

    fn ended(reader: &mut TcpStream) -> bool {
        reader.read(&mut [0]).is_ok_and(|read| read == 0)
    }

    #[test]
    fn card_plugs_itself_in_and_answers() {
        let reader = Reader::new();
        let card = reader.card();
        let mut stream = reader.accept();
        stream.write_all(&[0, 1, 1]).unwrap();
        assert_eq!(ask(&mut stream, &[0, 1, 4]), ATR);
        assert!(answers(&mut stream));
        assert_eq!(card.contact(), Contact::Inserted);
    }

    #[test]
    fn card_comes_back_when_the_reader_does() {
        let reader = Reader::new();
        let card = reader.card();
        drop(reader.accept());
        assert!(answers(&mut reader.accept()));
        drop(card);
    }

    #[test]
    fn removed_card_is_out_at_once_and_comes_back_when_inserted() {
        let reader = Reader::new();
        let card = reader.card();
        let mut stream = reader.accept();
        assert!(answers(&mut stream));
        card.remove();
        assert!(ended(&mut stream));
        assert_eq!(card.contact(), Contact::Removed);
        card.insert();
        assert!(answers(&mut reader.accept()));
    }

    #[test]
    fn brown_out_is_seen_by_nobody_but_the_card() {
        let reader = Reader::new();
        let card = reader.card();
        let mut stream = reader.accept();
        let (select, read) = (
            [0, 7, 0x00, 0xA4, 0x02, 0x0C, 0x02, 0x01, 0x01],
            [0, 5, 0x00, 0xB0, 0, 0, 0],
        );
        assert_eq!(ask(&mut stream, &select), [0x90, 0x00]);
        let write = [&[0, 21, 0x00, 0xD6, 0, 0, 0x10, 0xFD][..], &[0x5A; 15]].concat();
        assert_eq!(ask(&mut stream, &write), [0x90, 0x00]);
        assert_eq!(ask(&mut stream, &read).len(), 18);
        card.brown_out();
        assert_eq!(ask(&mut stream, &read).len(), 2, "no file is selected any more");
        assert_eq!(card.contact(), Contact::Inserted);
    }

    #[test]
    fn signatures_take_as_long_as_is_wished() {
        let reader = Reader::new();
        let card = reader.card();
        let mut stream = reader.accept();
        let delay = Duration::from_millis(80);
        card.delay_signatures(delay);
        let begun = Instant::now();
        assert!(answers(&mut stream));
        assert!(begun.elapsed() < delay, "a challenge is no signature");
        ask(&mut stream, &[0, 5, 0x00, 0x2A, 0x9E, 0x9A, 0x00]);
        assert!(begun.elapsed() >= delay);
    }

    #[test]
    fn garbage_is_given_so_often_and_then_the_truth() {
        let reader = Reader::new();
        let card = reader.card();
        let mut stream = reader.accept();
        card.garble(2);
        let lengths = [(); 3].map(|()| ask(&mut stream, &GET_CHALLENGE).len());
        assert_eq!(lengths, [42, 1, 2]);
    }

    #[test]
    fn hanging_card_answers_when_it_is_let_and_can_be_taken_out() {
        let reader = Reader::new();
        let card = reader.card();
        let mut stream = reader.accept();
        card.hang();
        stream.write_all(&GET_CHALLENGE).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(stream.read(&mut [0]).is_err());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        card.resume();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        card.hang();
        stream.write_all(&GET_CHALLENGE).unwrap();
        card.remove();
        assert!(ended(&mut stream));
    }

    #[test]
    fn card_without_a_reader_waits_and_can_be_dropped() {
        let reader = Reader::new();
        let address = reader.listener.local_addr().unwrap();
        let Reader { listener, folder } = reader;
        drop(listener);
        let card = SoftCard::start(&folder.path().join("card"), address).unwrap();
        assert_eq!(card.contact(), Contact::Waiting);
    }
}
