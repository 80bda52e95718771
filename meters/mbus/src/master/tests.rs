//! Reads with virtual time.

use core::time::Duration;

use proptest::prelude::*;

use super::{
    BaudRate, ByteOrder, Command, Found, Instruction, Line, Machine, MeterAddress, Output, Probe, Read,
    ReadError, Recipient, Reply, Station, Timing,
};
use crate::link::{Control, FrameError, LongFrame, PrimaryAddress, SecondaryAddress};

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
    Station::new(PrimaryAddress::try_from(5).unwrap())
}

fn telegram(address: u8, records: &[u8]) -> LongFrame {
    LongFrame::new(Control::RSP_UD, address, 0x72, [&HEADER, records].concat()).unwrap()
}

/// A machine and its clock: what is sent, and what each answer leads to.
struct Scene<M> {
    read: M,
    now: Duration,
}

impl<'s> Scene<Read<'s>> {
    fn new((line, station): &'s mut (Line, Station), now: Duration) -> Self {
        Self {
            read: Read::new(line, station),
            now,
        }
    }
}

impl<M: Machine> Scene<M>
where
    M::Result: PartialEq + core::fmt::Debug,
{
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

    fn result(&mut self) -> M::Result {
        match self.read.poll_output(self.now) {
            Output::Done(result) => result,
            other => panic!("not done, but {other:?}"),
        }
    }
}

/// A station that has been read once, so that its next request has the bit cleared.
fn initialised() -> (Line, Station) {
    let mut station = (Line::new(timing()), station());
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
        assert!(scene.wait() <= timing().transmission(6) + timing().answer());
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
    // Whichever meter is asked next: an acknowledgement says not whose it is.
    let mut other = (station.0, Station::new(PrimaryAddress::try_from(6).unwrap()));
    let mut scene = Scene::new(&mut other, failed);
    scene.hear(&[0xE5]);
    scene.wait();
    assert_eq!(scene.now, failed + timing().answer());
    scene.expect_send(&[0x10, 0x40, 0x06, 0x46, 0x16]);
}

#[test]
fn telegrams_name_their_meter_and_need_no_quiet_line() {
    let (line, mut dead) = initialised();
    let mut station = (line, dead.clone());
    dead.forget();
    let mut scene = (station.0.clone(), dead);
    let mut scene = Scene::new(&mut scene, Duration::ZERO);
    for _ in 0..Read::MAX_TRIES {
        scene.expect_send(&NKE);
        scene.wait();
    }
    let now = scene.now;
    let mut scene = Scene::new(&mut station, now);
    scene.expect_send(&REQUEST_CLEAR);
    scene.hear(&[0xE5]);
    scene.hear(&telegram(5, &[]).encode());
    assert!(scene.result().is_ok());
    assert_eq!(station.0.take_counters().strays, 1);
}

#[test]
fn meter_that_was_lost_gets_one_try_until_it_is_back() {
    let mut station = initialised();
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    for _ in 0..Read::MAX_TRIES {
        scene.expect_send(&REQUEST_CLEAR);
        scene.wait();
    }
    assert!(scene.result().is_err());
    let mut now = scene.now + Duration::from_secs(900);
    let mut scene = Scene::new(&mut station, now);
    scene.expect_send(&NKE);
    scene.wait();
    assert_eq!(scene.result(), Err(ReadError::NoAnswer { tries: 1 }));
    now = scene.now + Duration::from_secs(900);
    let mut scene = Scene::new(&mut station, now);
    scene.expect_send(&NKE);
    scene.hear(&[0xE5]);
    for _ in 0..Read::MAX_TRIES {
        scene.expect_send(&REQUEST_SET);
        scene.wait();
    }
    assert_eq!(scene.result(), Err(ReadError::NoAnswer { tries: 3 }));
}

#[test]
fn answer_of_a_slow_meter_to_an_earlier_try_makes_the_next_wait_longer() {
    let mut station = initialised();
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    scene.expect_send(&REQUEST_CLEAR);
    scene.wait();
    scene.expect_send(&REQUEST_CLEAR);
    // Sooner after the second request than any meter can answer: it is the answer to the first.
    scene.hear(&telegram(5, &[]).encode());
    assert!(scene.result().is_ok());
    let patient = station.1.answer_time().unwrap();
    assert!(patient > Duration::from_millis(50), "{patient:?}");
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
    station.1.forget();
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
            Output::Rate(rate) => panic!("{rate:?}"),
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

const METER: SecondaryAddress = SecondaryAddress::new(0x1234_5678, 0x0477, 0x01, 0x07);
const SELECT: [u8; 17] = [
    0x68, 0x0B, 0x0B, 0x68, 0x53, 0xFD, 0x52, 0x78, 0x56, 0x34, 0x12, 0x77, 0x04, 0x01, 0x07, 0x39, 0x16,
];
const NKE_SELECTED: [u8; 5] = [0x10, 0x40, 0xFD, 0x3D, 0x16];
const REQUEST_SELECTED: [u8; 5] = [0x10, 0x7B, 0xFD, 0x78, 0x16];

/// A meter that is selected, and was read once with this telegram.
fn selected(first: &LongFrame) -> (Line, Station) {
    let mut station = (Line::new(timing()), Station::new(METER));
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    for request in [&SELECT[..], &NKE_SELECTED, &SELECT] {
        scene.expect_send(request);
        scene.hear(&[0xE5]);
    }
    scene.expect_send(&REQUEST_SELECTED);
    scene.hear(&first.encode());
    assert_eq!(scene.result(), Ok(vec![first.clone()]));
    station
}

#[test]
fn selected_meter_is_initialised_once_and_then_selected_and_asked() {
    let mut station = selected(&telegram(5, &[]));
    for value in 0..3 {
        let mut scene = Scene::new(&mut station, Duration::ZERO);
        scene.expect_send(&SELECT);
        scene.hear(&[0xE5]);
        scene.expect_send(&REQUEST_SELECTED);
        scene.hear(&telegram(9, &[0x01, 0x13, value]).encode());
        assert!(scene.result().is_ok());
    }
}

#[test]
fn telegram_of_the_last_read_is_asked_for_afresh_once() {
    let old = telegram(5, &[]);
    let mut station = selected(&old);
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    scene.expect_send(&SELECT);
    scene.hear(&[0xE5]);
    scene.expect_send(&REQUEST_SELECTED);
    scene.hear(&old.encode());
    scene.expect_send(&NKE_SELECTED);
    // This one does not acknowledge what deselects it.
    scene.wait();
    let settled = scene.wait();
    assert!(settled <= timing().answer());
    scene.expect_send(&SELECT);
    scene.hear(&[0xE5]);
    scene.expect_send(&REQUEST_SELECTED);
    scene.hear(&old.encode());
    assert_eq!(scene.result(), Ok(vec![old.clone()]));
    let now = scene.now;
    let mut scene = Scene::new(&mut station, now);
    scene.expect_send(&SELECT);
    scene.hear(&[0xE5]);
    scene.expect_send(&REQUEST_SELECTED);
    scene.hear(&old.encode());
    assert!(scene.result().is_ok(), "a meter that stands still is asked once");
}

#[test]
fn meter_that_was_not_selected_is_named() {
    let mut station = selected(&telegram(5, &[]));
    let found = SecondaryAddress::new(0x1234_5679, 0x0477, 0x01, 0x07);
    let data = [&found.to_le_bytes()[..], &[0; 4]].concat();
    let wrong = LongFrame::new(Control::RSP_UD, 5, 0x72, data).unwrap();
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    scene.expect_send(&SELECT);
    scene.hear(&[0xE5]);
    for _ in 0..Read::MAX_TRIES {
        scene.expect_send(&REQUEST_SELECTED);
        scene.hear(&wrong.encode());
        scene.wait();
    }
    let expected = METER;
    assert_eq!(scene.result(), Err(ReadError::WrongMeter { expected, found }));
}

#[test]
fn selection_is_repeated_if_the_acknowledgement_was_not_the_meters() {
    let mut station = selected(&telegram(5, &[]));
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    scene.expect_send(&SELECT);
    scene.hear(&[0xE5]);
    for _ in 0..Read::MAX_TRIES {
        scene.expect_send(&REQUEST_SELECTED);
        scene.wait();
    }
    scene.wait();
    scene.expect_send(&SELECT);
    for _ in 1..Read::MAX_TRIES {
        scene.wait();
        scene.expect_send(&SELECT);
    }
    scene.wait();
    assert_eq!(scene.result(), Err(ReadError::NoAnswer { tries: 3 }));
}

#[test]
fn application_reset_and_byte_order_are_the_stations() {
    let station = Station::new(METER)
        .with_application_reset(0x10)
        .with_byte_order(ByteOrder::MostFirst);
    let mut station = (Line::new(timing()), station);
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    let select = hex::decode("680b0b6853fd5612345678047701073d16").unwrap();
    for request in [&select[..], &NKE_SELECTED, &select] {
        scene.expect_send(request);
        scene.hear(&[0xE5]);
    }
    scene.expect_send(&hex::decode("6804046873fd5010d016").unwrap());
    scene.hear(&[0xE5]);
    scene.expect_send(&[0x10, 0x5B, 0xFD, 0x58, 0x16]);
    scene.hear(&telegram(5, &[]).encode());
    assert!(scene.result().is_ok());
}

#[test]
fn meter_with_a_speed_of_its_own_is_asked_at_it() {
    let mut station = (Line::new(timing()), station().at(BaudRate::B9600));
    let mut scene = Scene::new(&mut station, Duration::ZERO);
    assert_eq!(scene.read.poll_output(scene.now), Output::Rate(BaudRate::B9600));
    scene.expect_send(&NKE);
    let now = scene.now;
    let mut other = (station.0, self::station());
    let mut scene = Scene::new(&mut other, now);
    assert_eq!(scene.read.poll_output(scene.now), Output::Rate(BaudRate::B2400));
    scene.expect_send(&NKE);
}

/// Probes for `METER` and hears these bytes behind the selection and the request.
fn probe(acknowledgement: &[u8], answer: &[u8]) -> (Found, u64) {
    let mut line = Line::new(timing());
    let read = Probe::new(&mut line, METER.into(), 1);
    let mut scene = Scene {
        read,
        now: Duration::ZERO,
    };
    scene.expect_send(&SELECT);
    scene.hear(acknowledgement);
    // Selection, request, its repetition, and what each of them waits for.
    for _ in 0..8 {
        match scene.read.poll_output(scene.now) {
            Output::Send(request) => {
                assert_eq!(request, REQUEST_SELECTED);
                scene.hear(answer);
            }
            Output::Wait { until } => {
                scene.now = until;
                scene.read.handle_timeout(until);
            }
            Output::Done(found) => return (found, line.take_counters().collisions),
            Output::Rate(rate) => panic!("{rate:?}"),
        }
    }
    panic!("the probe has no end");
}

#[test]
fn probe_tells_nobody_one_and_several() {
    let sound = telegram(5, &[]).encode();
    let mut damaged = sound.clone();
    damaged[8] ^= 0x40;
    assert_eq!(probe(&[], &[]), (Found::Nobody, 0));
    let telegram = telegram(5, &[]);
    let address = Some(METER);
    assert_eq!(probe(&[0xE5], &sound), (Found::Meter { address, telegram }, 0));
    assert_eq!(probe(&[0xE5, 0xE5], &[]), (Found::Several, 1));
    assert_eq!(probe(&[0xA4], &[]), (Found::Several, 1));
    assert_eq!(probe(&[0xE5], &damaged), (Found::Several, 1));
    assert_eq!(
        probe(&[0xE5], &[&[0xE5], &sound[..]].concat()),
        (Found::Several, 1)
    );
    assert_eq!(
        probe(&[0xE5], &[&sound[..], &sound].concat()),
        (Found::Several, 1)
    );
    assert_eq!(probe(&[0xE5], &[]), (Found::Unclear, 0));
}

#[test]
fn telegram_that_follows_another_is_a_collision() {
    let mut line = Line::new(timing());
    let read = Probe::new(&mut line, METER.into(), 1);
    let mut scene = Scene {
        read,
        now: Duration::ZERO,
    };
    scene.expect_send(&SELECT);
    scene.hear(&[0xE5]);
    scene.expect_send(&REQUEST_SELECTED);
    scene.hear(&telegram(5, &[]).encode());
    // Another meter takes its time.
    scene.now += Duration::from_millis(150);
    scene.hear(&telegram(6, &[]).encode());
    while let Output::Wait { until } = scene.read.poll_output(scene.now) {
        scene.now = until;
    }
    assert_eq!(line.take_counters().collisions, 1);
}

fn command(line: &mut Line, recipient: Recipient, instruction: Instruction) -> Scene<Command<'_>> {
    Scene {
        read: Command::new(line, recipient, instruction),
        now: Duration::ZERO,
    }
}

#[test]
fn broadcast_waits_until_everybody_has_heard_it() {
    let mut line = Line::new(timing());
    let mut scene = command(&mut line, Recipient::Everybody, Instruction::Initialise);
    scene.expect_send(&[0x10, 0x40, 0xFF, 0x3F, 0x16]);
    assert!(scene.wait() >= timing().answer());
    assert_eq!(scene.result(), Ok(Reply::Nothing));
}

#[test]
fn address_is_set_at_the_only_meter_and_at_a_selected_one() {
    let mut line = Line::new(timing());
    let instruction = Instruction::SetPrimary(PrimaryAddress::try_from(8).unwrap());
    let mut scene = command(&mut line, Recipient::Meter(MeterAddress::Single), instruction);
    scene.expect_send(&[0x10, 0x40, 0xFE, 0x3E, 0x16]);
    scene.hear(&[0xE5]);
    scene.expect_send(&hex::decode("6806066873fe51017a084516").unwrap());
    scene.hear(&[0xE5]);
    assert_eq!(scene.result(), Ok(Reply::Acknowledged));
    let mut scene = command(&mut line, Recipient::Meter(METER.into()), instruction);
    scene.expect_send(&SELECT);
    scene.hear(&[0xE5]);
    scene.expect_send(&hex::decode("6806066873fd51017a084416").unwrap());
    for _ in 1..Read::MAX_TRIES {
        scene.wait();
        assert!(matches!(scene.read.poll_output(scene.now), Output::Send(_)));
    }
    scene.wait();
    assert_eq!(scene.result(), Err(ReadError::NoAnswer { tries: 3 }));
}

#[test]
fn alarm_is_a_telegram_or_none() {
    let mut line = Line::new(timing());
    let recipient = Recipient::Meter(PrimaryAddress::try_from(5).unwrap().into());
    let alarm = LongFrame::new(Control::RSP_UD, 5, 0x71, vec![0x04]).unwrap();
    for (answer, reply) in [
        (vec![0xE5], Reply::Acknowledged),
        (alarm.encode(), Reply::Telegram(alarm)),
    ] {
        let mut scene = command(&mut line, recipient, Instruction::SendAlarm);
        scene.expect_send(&[0x10, 0x40, 0x05, 0x45, 0x16]);
        scene.hear(&[0xE5]);
        scene.expect_send(&[0x10, 0x7A, 0x05, 0x7F, 0x16]);
        scene.hear(&answer);
        assert_eq!(scene.result(), Ok(reply));
    }
}

/// Tells a meter to take 9600 bits per second; it acknowledges, and is heard there, here, or nowhere.
fn switch(heard_at: Option<BaudRate>) -> Result<Reply, ReadError> {
    let rate = BaudRate::B9600;
    let mut line = Line::new(timing());
    let recipient = Recipient::Meter(PrimaryAddress::try_from(5).unwrap().into());
    let mut scene = command(&mut line, recipient, Instruction::SetBaudRate(rate));
    scene.expect_send(&[0x10, 0x40, 0x05, 0x45, 0x16]);
    scene.hear(&[0xE5]);
    scene.expect_send(&[0x68, 0x03, 0x03, 0x68, 0x73, 0x05, 0xBD, 0x35, 0x16]);
    scene.hear(&[0xE5]);
    let mut speed = BaudRate::B2400;
    // Three tries at each speed, a wait behind each, and the changes of speed.
    for _ in 0..20 {
        match scene.read.poll_output(scene.now) {
            Output::Rate(rate) => speed = rate,
            Output::Send(_) if heard_at == Some(speed) => scene.hear(&[0xE5]),
            Output::Send(_) => {}
            Output::Wait { until } => scene.now = until,
            Output::Done(result) => return result,
        }
    }
    panic!("the command has no end");
}

#[test]
fn speed_falls_back_if_the_meter_is_not_heard_at_the_new_one() {
    let rate = BaudRate::B9600;
    assert_eq!(switch(Some(rate)), Ok(Reply::Acknowledged));
    assert_eq!(
        switch(Some(BaudRate::B2400)),
        Err(ReadError::RateRefused { rate })
    );
    assert_eq!(switch(None), Err(ReadError::RateLost { rate }));
}

proptest! {
    #[test]
    fn any_input_ends_within_the_bounds(
        pieces in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..300), 0u64..400), 0..200,
        ),
    ) {
        let (mut line, mut station) = (Line::new(timing()), station());
        let mut read = Read::new(&mut line, &mut station);
        let mut now = Duration::ZERO;
        let mut pieces = pieces.into_iter();
        let mut result = None;
        // Two requests of three tries for each telegram, and a wait behind each piece.
        for _ in 0..2000 {
            match read.poll_output(now) {
                Output::Send(bytes) => prop_assert_eq!(bytes.len(), 5),
                Output::Rate(rate) => prop_assert!(false, "{rate:?}"),
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
