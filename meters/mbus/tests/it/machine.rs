//! Hostile answers to a master: damaged, foreign, late and missing ones, in virtual time.

use core::time::Duration;

use mbus::link::{Control, Frame, PrimaryAddress, SecondaryAddress};
use mbus::master::{BaudRate, Found, Line, Machine, MeterAddress, Output, Probe, Read, Station, Timing};

use super::corpus;
use super::mutation::{FRAMES, Random, mutate};

/// More than the tries of all exchanges of the longest read, so that a machine without end is noticed.
const MOST_SENT: usize = 150;
/// More than the pieces that come in while a machine runs.
const MOST_STEPS: usize = 2_000;
const MILLISECOND: Duration = Duration::from_millis(1);

/// A line whose meters answer at random.
struct Wire {
    random: Random,
    seeds: Vec<Vec<u8>>,
    now: Duration,
    answers: u32,
    /// What the running machine has received.
    heard: Vec<u8>,
}

impl Wire {
    /// Makes up an answer: sound, altered, or none; sometimes two at once.
    fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        let mut answer = Vec::new();
        let telegram_due = matches!(
            Frame::parse(request),
            Ok(Frame::Short { control, .. }) if control != Control::SND_NKE
        );
        for _ in 0..=usize::from(self.random.below(8) == 0) {
            self.answers += 1;
            match (self.random.below(8), telegram_due) {
                (0, _) => {}
                (1..=5, false) => answer.push(0xE5),
                (1..=2, true) => answer.extend(&self.seeds[self.random.below(self.seeds.len())]),
                _ => {
                    let mut frame = self.seeds[self.random.below(self.seeds.len())].clone();
                    mutate(&mut frame, &mut self.random);
                    answer.extend(frame);
                }
            }
        }
        answer
    }

    /// Runs the machine to its end; the bytes come in pieces, or when it is too late.
    fn run<M: Machine>(&mut self, mut machine: M) -> M::Result {
        self.heard.clear();
        let mut pending = Vec::new();
        let mut sent = 0;
        for _ in 0..MOST_STEPS {
            match machine.poll_output(self.now) {
                Output::Send(request) => {
                    sent += 1;
                    assert!(sent <= MOST_SENT, "{sent} requests");
                    pending = self.answer(&request);
                }
                Output::Rate(_) => {}
                Output::Wait { until } if pending.is_empty() || self.random.below(16) == 0 => {
                    assert!(until < Duration::MAX, "the machine waits for ever");
                    self.now = self.now.max(until);
                    machine.handle_timeout(self.now);
                }
                Output::Wait { .. } => {
                    let most = pending.len();
                    let length = if self.random.below(4) == 0 {
                        self.random.below(most) + 1
                    } else {
                        most
                    };
                    let piece: Vec<u8> = pending.drain(..length).collect();
                    self.now += MILLISECOND;
                    machine.handle_input(&piece, self.now);
                    self.heard.extend(piece);
                }
                Output::Done(result) => return result,
            }
        }
        panic!("the machine does not end");
    }
}

#[test]
fn masters_end_and_make_no_frame_up_whatever_answers() {
    let mut wire = Wire {
        random: Random(0x0BAD_C0FF_EE15_600D),
        seeds: [corpus::golden(), corpus::of_each_kind()].concat(),
        now: Duration::ZERO,
        answers: 0,
        heard: Vec::new(),
    };
    let mut line = Line::new(Timing::new(BaudRate::B2400, Timing::CONVERTER_ALLOWANCE));
    let primary = PrimaryAddress::try_from(1).unwrap();
    let mut stations = [
        Station::new(primary),
        Station::new(SecondaryAddress::ALL),
        Station::new(primary).with_application_reset(0x10),
        Station::new(primary).at(BaudRate::B9600),
    ];
    let (mut read, mut failed, mut found) = (0u32, 0u32, 0u32);
    while wire.answers < FRAMES {
        let station = &mut stations[wire.random.below(4)];
        match wire.run(Read::new(&mut line, station)) {
            Ok(frames) => {
                read += 1;
                assert!(!frames.is_empty() && frames.len() <= Read::MAX_TELEGRAMS);
                for bytes in frames.iter().map(mbus::link::LongFrame::encode) {
                    let received = wire.heard.windows(bytes.len()).any(|part| part == bytes);
                    assert!(received, "{bytes:02x?} was never sent");
                }
            }
            Err(_) => failed += 1,
        }
        let address = MeterAddress::from(primary);
        if let Found::Meter { telegram, .. } = wire.run(Probe::new(&mut line, address, 2)) {
            found += 1;
            let bytes = telegram.encode();
            assert!(wire.heard.windows(bytes.len()).any(|part| part == bytes));
        }
    }
    assert!(
        read > 1000 && failed > 1000 && found > 100,
        "{read} {failed} {found}"
    );
}
