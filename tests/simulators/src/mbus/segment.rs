//! A segment: slaves on one wire, with the times that bits take.

use std::collections::VecDeque;
use std::time::Duration;

use mbus::link::{Decoder, SecondaryAddress};
use mbus::master::{BaudRate, Machine, Output};

use super::fault::{Answer, Fault};
use super::slave::Slave;
use super::wire::{BITS, Transmission, received};

/// How long a bit takes where nobody looks at the time.
const FAST_BIT: Duration = Duration::from_nanos(800);
/// Silence after which slaves take the next byte for the beginning of a frame.
const FRAME_GAP: Duration = Duration::from_millis(100);
/// Bytes that a converter passes on together while more are coming, so that it does not wake its client
/// for each.
pub(super) const CHUNK: usize = 16;
/// The longest time for which bytes are held back to be passed on together: well below the silence that
/// ends a transmission behind a converter.
const LONGEST_HOLD: Duration = Duration::from_millis(20);
/// Answers that are on the wire at most; what is more is lost.
const MAX_TRANSMISSIONS: usize = 1024;

/// Slaves on one wire, in virtual time: nothing here waits.
///
/// The master's bytes and the slaves' answers take the time of their bits; answers that overlap
/// spoil each other. Time is a [`Duration`] since a start of the caller's choice.
#[derive(Debug)]
pub struct Segment {
    slaves: Vec<Slave>,
    rate: BaudRate,
    is_timed: bool,
    decoder: Decoder,
    /// When the master's last byte was complete.
    master_until: Duration,
    transmissions: Vec<Transmission>,
    /// What the master is still to receive of them, and when each byte is complete.
    stream: VecDeque<(Duration, u8)>,
    /// Bytes that were complete then are delivered.
    delivered: Duration,
    /// Bytes that are passed on together while more are coming.
    chunk: usize,
}

impl Segment {
    /// Builds a segment on which bits take as long as the rate says.
    #[must_use]
    pub fn timed(slaves: Vec<Slave>, rate: BaudRate) -> Self {
        Self {
            slaves,
            rate,
            is_timed: true,
            decoder: Decoder::new(),
            master_until: Duration::ZERO,
            transmissions: Vec::new(),
            stream: VecDeque::new(),
            delivered: Duration::ZERO,
            chunk: 1,
        }
    }

    /// Builds a segment on which a bit takes less than a microsecond, whatever the rate.
    #[must_use]
    pub fn fast(slaves: Vec<Slave>) -> Self {
        Self {
            is_timed: false,
            ..Self::timed(slaves, BaudRate::B2400)
        }
    }

    /// Has so many bytes passed on together while more are coming.
    #[must_use]
    pub(super) fn in_chunks(mut self, chunk: usize) -> Self {
        self.chunk = chunk.max(1);
        self
    }

    /// Returns the slaves.
    pub fn slaves_mut(&mut self) -> &mut [Slave] {
        &mut self.slaves
    }

    /// Sets the rate of the master's port.
    pub const fn set_rate(&mut self, rate: BaudRate) {
        self.rate = rate;
    }

    /// Returns how long a bit takes.
    #[must_use]
    pub fn bit(&self) -> Duration {
        if self.is_timed {
            Duration::from_secs(1) / self.rate.bits_per_second()
        } else {
            FAST_BIT
        }
    }

    /// Makes the next answers of every slave with that secondary address go wrong; false if there is none.
    pub fn inject(&mut self, meters: SecondaryAddress, fault: Fault, answers: u32) -> bool {
        let mut found = false;
        for slave in &mut self.slaves {
            if meters.matches(slave.identity()) {
                slave.inject(fault, answers);
                found = true;
            }
        }
        found
    }

    /// Puts bytes on the wire that nobody has asked for.
    pub fn babble(&mut self, bytes: Vec<u8>, now: Duration) {
        self.put([Transmission { start: now, bytes }]);
    }

    /// Takes what the master begins to send now.
    pub fn send(&mut self, bytes: &[u8], now: Duration) {
        if now > self.master_until + FRAME_GAP {
            self.decoder.clear();
        }
        let bit = self.bit();
        let start = self.master_until.max(now);
        let sent = |count: usize| start + bit * BITS * u32::try_from(count).unwrap_or(u32::MAX);
        let mut input = bytes;
        let mut answers = Vec::new();
        while let Some(decoded) = self.decoder.next_frame(&mut input) {
            let heard = sent(bytes.len() - input.len());
            let Ok(frame) = decoded else {
                continue;
            };
            for slave in &mut self.slaves {
                let Some(Answer { delay, bytes }) = slave.hear(&frame, heard, self.rate) else {
                    continue;
                };
                let start = heard + bit * slave.response_bits() + slave.response_pause() + delay;
                answers.push(Transmission { start, bytes });
            }
        }
        self.master_until = sent(bytes.len());
        if !answers.is_empty() {
            self.put(answers);
        }
    }

    /// Returns when bytes are there for the master next.
    #[must_use]
    pub fn next_event(&self) -> Option<Duration> {
        let mut times = self.stream.iter().take(self.chunk).map(|(time, _)| *time);
        let first = times.next()?;
        let mut last = first;
        // A pause between bytes ends what is passed on together.
        for time in times {
            if time > last + self.bit() * BITS * 2 || time > first + LONGEST_HOLD {
                break;
            }
            last = time;
        }
        Some(last)
    }

    /// Returns the bytes that the master has received since the last call.
    pub fn receive(&mut self, now: Duration) -> Vec<u8> {
        self.delivered = self.delivered.max(now);
        let count = self.stream.partition_point(|(time, _)| *time <= now);
        self.stream.drain(..count).map(|(_, byte)| byte).collect()
    }

    /// Lets a machine and the slaves talk to each other until the machine is done.
    ///
    /// The clock jumps to whatever happens next, so that minutes pass in no time.
    pub fn play<M: Machine>(&mut self, mut machine: M, now: &mut Duration) -> M::Result {
        loop {
            match machine.poll_output(*now) {
                Output::Send(bytes) => {
                    self.receive(*now);
                    self.send(&bytes, *now);
                }
                Output::Rate(rate) => self.set_rate(rate),
                Output::Wait { until } => match self.next_event() {
                    Some(time) if time <= until => {
                        *now = time.max(*now);
                        let bytes = self.receive(*now);
                        machine.handle_input(&bytes, *now);
                    }
                    _ => {
                        *now = until.max(*now);
                        machine.handle_timeout(*now);
                    }
                },
                Output::Done(result) => return result,
            }
        }
    }

    /// Puts answers on the wire, where they spoil what is still going on.
    fn put(&mut self, transmissions: impl IntoIterator<Item = Transmission>) {
        let bit = self.bit();
        self.transmissions.retain(|sent| sent.end(bit) > self.delivered);
        let room = MAX_TRANSMISSIONS.saturating_sub(self.transmissions.len());
        self.transmissions.extend(transmissions.into_iter().take(room));
        let bytes = received(&self.transmissions, bit).into_iter();
        self.stream = bytes.filter(|(time, _)| *time > self.delivered).collect();
    }
}
