//! The binding is cut off at every single write of either side, and goes on from there.

use super::*;
use crate::applet::Applet;

/// The gateway's memory: what survives a cut.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Memory {
    begun: bool,
    burned: bool,
    sessions: u64,
}

/// How many more writes there are before the power fails, and at which of its sides a write falls.
#[derive(Debug, Clone, Copy)]
struct Power {
    writes: usize,
    /// Whether the last write still happens; its success is never heard of.
    is_written: bool,
}

/// The power has failed.
#[derive(Debug, thiserror::Error)]
#[error("the power has failed")]
struct Cut;

impl Power {
    /// Spends a write; returns whether it happens and whether power is left behind it.
    fn spend(&mut self) -> (bool, Result<(), Cut>) {
        match self.writes.checked_sub(1) {
            Some(left) => {
                self.writes = left;
                (true, Ok(()))
            }
            None => (self.is_written, Err(Cut)),
        }
    }
}

/// Card and gateway on one power supply; the card's memory is written as a whole, before the answer.
struct Bench {
    applet: Applet,
    stored: CardState,
    memory: Memory,
    random: TestRandom,
    power: Power,
}

impl Transport for &mut Bench {
    type Error = Cut;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, Cut> {
        let answer = self.applet.process(command, &mut self.random);
        if answer.changed {
            let (happens, power) = self.power.spend();
            if happens {
                self.stored = self.applet.state().clone();
            }
            power?;
        }
        Ok(answer.response)
    }
}

impl Bench {
    fn write(&mut self, change: impl FnOnce(&mut Memory)) -> Result<(), CardError<Cut>> {
        let (happens, power) = self.power.spend();
        if happens {
            change(&mut self.memory);
        }
        power.map_err(CardError::Transport)
    }

    /// Starts with the given power and does what a gateway does at its start.
    fn start(&mut self, power: Power) -> Result<(), CardError<Cut>> {
        self.power = power;
        self.applet = Applet::power_on(self.stored.clone());
        let identity = CardSession::open(&mut *self)?.identity()?;
        if !self.memory.burned {
            if !self.memory.begun {
                self.write(|memory| memory.begun = true)?;
            }
            CardSession::open(&mut *self)?.bind(&order(GATEWAY), &identity)?;
            self.write(|memory| memory.burned = true)?;
        }
        let found = CardSession::open(&mut *self)?.pairing()?.sessions;
        let (recorded, next) = (self.memory.sessions, found.saturating_add(1));
        assert!(
            found == recorded || next == recorded,
            "{found} against {recorded}"
        );
        self.write(|memory| memory.sessions = next)?;
        let mut session = CardSession::open(&mut *self)?;
        session.pair(&SECRET, &mut TestRandom::new(6))?;
        assert_eq!(session.pairing()?.sessions, next);
        if session.bound_to()? != Some((GATEWAY, true)) {
            session.confirm(&order(GATEWAY))?;
        }
        session.prove([1; 16], &identity)
    }
}

#[test]
fn the_binding_survives_a_cut_at_every_two_writes_of_either_side() {
    let (card, _) = TestCard::personalized(7, &TestCenter::new(1));
    let blank = || Bench {
        applet: Applet::power_on(card.applet.state().clone()),
        stored: card.applet.state().clone(),
        memory: Memory::default(),
        random: TestRandom::new(9),
        power: power(0, false),
    };
    let mut cuts = 0;
    for first in all_cuts() {
        // The second cut falls behind each write in turn; before it is as behind the one before it.
        for second in all_cuts().filter(|power| power.is_written) {
            let mut bench = blank();
            cuts += [first, second]
                .into_iter()
                .filter(|power| is_cut(bench.start(*power)))
                .count();
            bench.start(power(usize::MAX, true)).unwrap();
            assert!(bench.memory.burned);
            let mut session = CardSession::open(&mut bench).unwrap();
            assert_eq!(session.bound_to().unwrap(), Some((GATEWAY, true)));
            assert_eq!(session.pairing().unwrap().tries, 10);
        }
    }
    assert!(cuts > WRITES * WRITES, "{cuts} cuts");
}

/// The writes of a first start: begin, BIND, burn, count, two of the pairing (the try, then the session),
/// CONFIRM.
const WRITES: usize = 7;

fn all_cuts() -> impl Iterator<Item = Power> {
    (0..=WRITES).flat_map(|writes| [power(writes, false), power(writes, true)])
}

const fn power(writes: usize, is_written: bool) -> Power {
    Power { writes, is_written }
}

/// Returns whether the power failed; nothing else may.
fn is_cut(outcome: Result<(), CardError<Cut>>) -> bool {
    match outcome {
        Ok(()) => false,
        Err(CardError::Transport(Cut)) => true,
        Err(other) => panic!("{other:?}"),
    }
}
