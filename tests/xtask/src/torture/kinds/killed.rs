//! Kills at any time; the torture is the oracle that knows what was acknowledged.

use std::io::Read;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::Kind;
use crate::torture::bases::{Base, Bases};
use crate::torture::bench::{Bench, Run};
use crate::torture::error::TortureError;
use crate::torture::random::Random;
use crate::torture::verdict::Outcome;

/// The number of kills.
const KILLS: usize = 1_000;

/// The longest time in microseconds before a kill; every third one comes within the first milliseconds.
const LONGEST_US: usize = 60_000;
const SHORTEST_US: usize = 6_000;

struct Kills<'a> {
    bases: &'a Bases,
}

/// Prepares the kills.
pub(super) fn prepare<'a>(bases: &'a Bases, _: &Bench) -> Result<Box<dyn Kind + 'a>, TortureError> {
    Ok(Box::new(Kills { bases }))
}

/// Returns a script that does not end by itself before it is killed.
pub(super) fn endless(base: &Base) -> &'static str {
    if base.name == "fresh" {
        "open mix:0-3 begin burn mix:3-100000"
    } else {
        "open mix:10-20 reopen mix:20-100000"
    }
}

/// Waits without work; only a time is to pass.
pub(super) fn pass(time: Duration) {
    let (_sender, never) = channel::<()>();
    let sent = never.recv_timeout(time);
    debug_assert!(sent.is_err(), "nothing is ever sent");
}

impl Kind for Kills<'_> {
    fn count(&self) -> usize {
        KILLS
    }

    fn torture(&self, number: usize, bench: &mut Bench) -> Result<Outcome, TortureError> {
        let base = &self.bases.three[number % self.bases.three.len()];
        let mut random = Random::new(u64::try_from(number).unwrap_or(0));
        let longest = if random.below(3) == 0 {
            SHORTEST_US
        } else {
            LONGEST_US
        };
        let delay = Duration::from_micros(u64::try_from(random.below(longest)).unwrap_or(0));
        let store = base.copy(bench)?.join("store");
        let actor = || TortureError::program("the actor");
        let mut child = bench.actor(&[], &store, endless(base)).spawn().map_err(actor())?;
        // The pipe is emptied meanwhile: an actor that waits for room in it does nothing.
        let reading = child.stdout.take().map(|mut stdout| {
            std::thread::spawn(move || {
                let mut text = String::new();
                stdout.read_to_string(&mut text).map(|_| text)
            })
        });
        pass(delay);
        child.kill().map_err(actor())?;
        let status = child.wait().map_err(actor())?;
        let text = match reading.map(std::thread::JoinHandle::join) {
            Some(Ok(text)) => text.map_err(actor())?,
            _ => String::new(),
        };
        let run = Run::of(text.lines(), status);
        let acknowledged = base.acknowledged_with(&run.acknowledged);
        Ok(Outcome {
            what: format!("{}, killed after {} µs", base.name, delay.as_micros()),
            acknowledged: acknowledged.len(),
            verdict: bench.check(&store, &acknowledged, true)?,
            ..Outcome::default()
        })
    }

    fn describe(&self) -> String {
        format!(
            "at random times up to {} ms, three stores in turn; a number gives the store and the time only",
            LONGEST_US / 1_000
        )
    }
}
