//! Reads with virtual time.

use core::time::Duration;

use proptest::prelude::*;

use super::{BaudRate, Output, Read, ReadError, Station, Timing};
use crate::link::{Control, FrameError, LongFrame};

const MILLISECOND: Duration = Duration::from_millis(1);
const HEADER: [u8; 12] = [
    0x78, 0x56, 0x34, 0x12, 0x77, 0x04, 0x01, 0x07, 0x55, 0x00, 0x00, 0x00,
];
const NKE: [u8; 5] = [0x10, 0x40, 0x05, 0x45, 0x16];
const REQUEST_SET: [u8; 5] = [0x10, 0x7B, 0x05, 0x80, 0x16];
const REQUEST_CLEAR: [u8; 5] = [0x10, 0x5B, 0x05, 0x60, 0x16];

fn timing() -> Timing {
    Timing::new(BaudRate::B2400, Duration::ZERO)
}

fn station() -> Station {
    Station::new(5.try_into().unwrap())
}

fn telegram(address: u8, records: &[u8]) -> LongFrame {
    LongFrame::new(Control::RSP_UD, address, 0x72, [&HEADER, records].concat()).unwrap()
}

/// A read and its clock: what is sent, and what each answer leads to.
struct Scene<'s> {
    read: Read<'s>,
    now: Duration,
}

impl<'s> Scene<'s> {
    fn new(station: &'s mut Station, now: Duration) -> Self {
        Self {
            read: Read::new(station, timing(), now),
            now,
        }
    }

    fn expect_send(&mut self, bytes: &[u8]) {
        assert_eq!(self.read.poll_output(self.now), Output::Send(bytes.to_vec()));
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.now += MILLISECOND;
        self.read.handle_input(bytes, self.now);
    }

    fn wait(&mut self) -> Duration {
        let Output::Wait { until } = self.read.poll_output(self.now) else {
            panic!("the machine has nothing to wait for");
        };
        let waited = until - self.now;
        self.now = until;
        self.read.handle_timeout(until);
        waited
    }

    fn result(&mut self) -> Result<Vec<LongFrame>, ReadError> {
        match self.read.poll_output(self.now) {
            Output::Done(result) => result,
            other => panic!("not done, but {other:?}"),
        }
    }
}

/// A station that has been read once, so that its next request has the bit cleared.
fn initialised() -> Station {
    let mut station = station();
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    scene.expect_send(&NKE);
    scene.hear(&[0xE5]);
    scene.expect_send(&REQUEST_SET);
    scene.hear(&telegram(5, &[]).encode());
    assert_eq!(scene.result(), Ok(vec![telegram(5, &[])]));
    station
}

#[test]
fn first_read_initialises_the_link_and_later_ones_toggle_the_bit() {
    let mut station = initialised();
    for request in [REQUEST_CLEAR, REQUEST_SET, REQUEST_CLEAR] {
        let mut scene = Scene::new(&mut station, Duration::ZERO);
        scene.expect_send(&request);
        scene.hear(&telegram(5, &[]).encode());
        assert!(scene.result().is_ok());
        assert_eq!(
            scene.read.poll_output(scene.now),
            Output::Wait { until: Duration::MAX }
        );
    }
}

#[test]
fn further_telegrams_are_fetched_to_the_end() {
    let mut station = initialised();
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    let (first, second) = (telegram(5, &[0x01, 0x13, 0x01, 0x1F]), telegram(5, &[0x0F]));
    scene.expect_send(&REQUEST_CLEAR);
    scene.hear(&first.encode());
    scene.expect_send(&REQUEST_SET);
    scene.hear(&second.encode());
    assert_eq!(scene.result(), Ok(vec![first, second]));
}

#[test]
fn answer_in_pieces_extends_the_wait() {
    let mut station = initialised();
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    let bytes = telegram(5, &[0x2F; 200]).encode();
    scene.expect_send(&REQUEST_CLEAR);
    for byte in &bytes {
        scene.now += timing().transmission(1) - MILLISECOND;
        scene.hear(&[*byte]);
    }
    assert!(scene.now > timing().answer() + timing().transmission(5));
    assert!(scene.result().is_ok());
}

#[test]
fn dead_meter_costs_three_timeouts() {
    let mut station = initialised();
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    for _ in 0..Read::MAX_TRIES {
        scene.expect_send(&REQUEST_CLEAR);
        assert_eq!(scene.wait(), timing().transmission(5) + timing().answer());
    }
    assert_eq!(scene.result(), Err(ReadError::NoAnswer { tries: 3 }));
}

#[test]
fn failed_read_is_followed_by_a_fresh_link_and_late_answers_are_waited_out() {
    let mut station = initialised();
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    for _ in 0..Read::MAX_TRIES {
        scene.expect_send(&REQUEST_CLEAR);
        scene.wait();
    }
    assert!(scene.result().is_err());
    let failed = scene.now;
    let mut scene = Scene::new(&mut station, failed);
    scene.hear(&telegram(5, &[]).encode());
    scene.wait();
    assert_eq!(scene.now, failed + timing().answer());
    scene.expect_send(&NKE);
}

#[test]
fn abandoned_read_is_followed_by_a_fresh_link() {
    let mut station = initialised();
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    scene.expect_send(&REQUEST_CLEAR);
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    scene.expect_send(&NKE);
}

#[test]
fn forgotten_station_begins_with_a_fresh_link() {
    let mut station = initialised();
    station.forget();
    Scene::new(&mut station, Duration::ZERO).expect_send(&NKE);
}

#[test]
fn damaged_answer_is_asked_for_again_with_the_same_bit() {
    let mut station = initialised();
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    let mut damaged = telegram(5, &[]).encode();
    damaged[6] ^= 0x01;
    scene.expect_send(&REQUEST_CLEAR);
    scene.hear(&damaged);
    scene.wait();
    scene.expect_send(&REQUEST_CLEAR);
    scene.hear(&telegram(5, &[]).encode());
    assert!(scene.result().is_ok());
}

#[test]
fn meter_that_is_only_heard_damaged_is_told_from_a_dead_one() {
    let mut station = initialised();
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    let half = &telegram(5, &[]).encode()[..10];
    for _ in 0..Read::MAX_TRIES {
        scene.expect_send(&REQUEST_CLEAR);
        scene.hear(half);
        scene.wait();
    }
    assert!(matches!(scene.result(), Err(ReadError::Frame { tries: 3, .. })));
}

#[test]
fn noise_in_front_of_the_answer_is_skipped() {
    let mut station = initialised();
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    scene.expect_send(&REQUEST_CLEAR);
    scene.hear(&[0x00, 0x68, 0xE5, 0x10]);
    scene.hear(&telegram(5, &[]).encode());
    assert!(scene.result().is_ok());
}

#[test]
fn late_answer_of_another_meter_is_passed_over() {
    let mut station = initialised();
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    scene.expect_send(&REQUEST_CLEAR);
    scene.hear(&telegram(4, &[]).encode());
    scene.hear(&telegram(5, &[]).encode());
    assert_eq!(scene.result(), Ok(vec![telegram(5, &[])]));
}

#[test]
fn meter_with_a_foreign_address_is_named() {
    let mut station = initialised();
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    for _ in 0..Read::MAX_TRIES {
        scene.expect_send(&REQUEST_CLEAR);
        scene.hear(&telegram(4, &[]).encode());
        scene.wait();
    }
    assert_eq!(
        scene.result(),
        Err(ReadError::WrongAddress {
            expected: 5,
            found: 4
        })
    );
}

#[test]
fn frames_that_answer_nothing_are_unexpected() {
    let mut station = initialised();
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    for _ in 0..Read::MAX_TRIES {
        scene.expect_send(&REQUEST_CLEAR);
        scene.hear(&[0xE5]);
        scene.wait();
    }
    assert_eq!(scene.result(), Err(ReadError::Unexpected { tries: 3 }));
}

#[test]
fn late_answer_to_the_first_try_is_not_taken_for_the_next_telegram() {
    let mut station = initialised();
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    let (first, second) = (telegram(5, &[0x01, 0x13, 0x01, 0x1F]), telegram(5, &[]));
    scene.expect_send(&REQUEST_CLEAR);
    scene.wait();
    scene.expect_send(&REQUEST_CLEAR);
    scene.hear(&first.encode());
    scene.expect_send(&REQUEST_SET);
    scene.hear(&first.encode());
    scene.hear(&second.encode());
    assert_eq!(scene.result(), Ok(vec![first, second]));
}

#[test]
fn meter_that_ignores_the_bit_is_named() {
    let mut station = initialised();
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    let first = telegram(5, &[0x1F]).encode();
    scene.expect_send(&REQUEST_CLEAR);
    scene.hear(&first);
    for _ in 0..Read::MAX_TRIES {
        scene.expect_send(&REQUEST_SET);
        scene.hear(&first);
        scene.wait();
    }
    assert_eq!(scene.result(), Err(ReadError::Repeated { tries: 3 }));
}

#[test]
fn meter_without_end_is_given_up() {
    let mut station = initialised();
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    for number in 0..16 {
        assert!(matches!(scene.read.poll_output(scene.now), Output::Send(_)));
        scene.hear(&telegram(5, &[0x01, 0x13, number, 0x1F]).encode());
    }
    assert_eq!(scene.result(), Err(ReadError::TooManyTelegrams));
}

#[test]
fn babble_ends_with_the_limit() {
    let mut station = initialised();
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    let mut requests = 0;
    // A byte a millisecond: the three tries together are bounded by some five seconds.
    for _ in 0..10_000 {
        match scene.read.poll_output(scene.now) {
            Output::Send(_) => requests += 1,
            Output::Wait { .. } => scene.hear(&[0x00]),
            Output::Done(result) => {
                let source = FrameError::Start { found: 0 };
                assert_eq!(
                    (requests, result),
                    (3, Err(ReadError::Frame { tries: 3, source }))
                );
                return;
            }
        }
    }
    panic!("the read has no end");
}

#[test]
fn answer_after_its_time_is_discarded() {
    let mut station = initialised();
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    scene.expect_send(&REQUEST_CLEAR);
    scene.now += Duration::from_secs(1);
    scene.hear(&telegram(5, &[]).encode());
    scene.expect_send(&REQUEST_CLEAR);
}

proptest! {
    #[test]
    fn any_input_ends_within_the_bounds(
        pieces in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..300), 0u64..400), 0..200,
        ),
    ) {
        let mut station = station();
        let mut read = Read::new(&mut station, timing(), Duration::ZERO);
        let mut now = Duration::ZERO;
        let mut pieces = pieces.into_iter();
        let mut result = None;
        // Two requests of three tries for each telegram, and a wait behind each piece.
        for _ in 0..2000 {
            match read.poll_output(now) {
                Output::Send(bytes) => prop_assert_eq!(bytes.len(), 5),
                Output::Done(done) => {
                    result = Some(done);
                    break;
                }
                Output::Wait { until } => match pieces.next() {
                    Some((bytes, pause)) => {
                        now += Duration::from_millis(pause);
                        read.handle_input(&bytes, now);
                    }
                    None => {
                        now = until;
                        read.handle_timeout(now);
                    }
                },
            }
        }
        prop_assert!(matches!(result, Some(Err(_))));
    }
}
