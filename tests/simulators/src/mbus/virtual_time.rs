//! The master of the `mbus` crate on a segment, in virtual time.

use std::collections::BTreeSet;
use std::time::Duration;

use mbus::link::{LongFrame, PrimaryAddress, SecondaryAddress};
use mbus::master::{
    BaudRate, Command, Found, Hit, Instruction, Line, MeterAddress, Probe, Read, ReadError, Recipient, Reply,
    Search, Station, Timing,
};
use proptest::prelude::*;

use super::{Fault, Identity, Manners, Meter, Numbering, Segment, Slave, fleet};

const RATE: BaudRate = BaudRate::B2400;

fn timing() -> Timing {
    Timing::new(RATE, Duration::ZERO)
}

/// A master, its clock, and the segment that it speaks to.
struct Scene {
    segment: Segment,
    line: Line,
    now: Duration,
}

impl Scene {
    fn new(slaves: Vec<Slave>) -> Self {
        Self {
            segment: Segment::timed(slaves, RATE),
            line: Line::new(timing()),
            now: Duration::ZERO,
        }
    }

    fn read(&mut self, station: &mut Station) -> Result<Vec<LongFrame>, ReadError> {
        self.segment
            .play(Read::new(&mut self.line, station), &mut self.now)
    }

    fn probe(&mut self, address: MeterAddress, tries: u8) -> Found {
        let probe = Probe::new(&mut self.line, address, tries);
        self.segment.play(probe, &mut self.now)
    }

    fn command(&mut self, recipient: Recipient, instruction: Instruction) -> Result<Reply, ReadError> {
        let command = Command::new(&mut self.line, recipient, instruction);
        self.segment.play(command, &mut self.now)
    }

    /// Reads each station once and returns how long all of them took.
    fn round(&mut self, stations: &mut [Station]) -> (Duration, Vec<Result<Vec<LongFrame>, ReadError>>) {
        let begun = self.now;
        let results = stations.iter_mut().map(|station| self.read(station)).collect();
        (self.now - begun, results)
    }

    /// Searches for every meter; inseparable ones are marked.
    fn search(&mut self, mut search: Search) -> (BTreeSet<String>, u32) {
        let mut hits = BTreeSet::new();
        while let Some((selection, tries)) = search.next_probe() {
            let found = self.probe(selection.into(), tries);
            match search.report(found) {
                Some(Hit::Meter { address, .. }) => assert!(hits.insert(address.to_string())),
                Some(Hit::Inseparable { selection }) => assert!(hits.insert(format!("? {selection}"))),
                None => {}
            }
        }
        (hits, search.probes())
    }
}

fn primary(address: u8) -> PrimaryAddress {
    address.try_into().unwrap()
}

fn identities(slaves: &[Slave]) -> BTreeSet<String> {
    slaves.iter().map(|slave| slave.identity().to_string()).collect()
}

fn identity_of(frame: &LongFrame) -> SecondaryAddress {
    SecondaryAddress::from_le_bytes(*frame.data().first_chunk().unwrap())
}

/// What the bit times alone make of so many bytes in each direction, and the slave's shortest pause.
fn bound(request: usize, answers: impl Iterator<Item = usize>) -> Duration {
    let one =
        |answer| timing().transmission(request) + timing().least_answer() + timing().transmission(answer);
    answers.map(one).sum()
}

fn lengths(results: &[Result<Vec<LongFrame>, ReadError>]) -> Vec<usize> {
    let frames = results.iter().flatten().flatten();
    frames.map(|frame| frame.encode().len()).collect()
}

#[test]
fn sixty_meters_are_read_within_the_bound_of_the_bit_times() {
    let mut scene = Scene::new(fleet(60, Numbering::Consecutive));
    let mut stations: Vec<_> = (1..=60).map(|address| Station::new(primary(address))).collect();
    scene.round(&mut stations);
    let (time, results) = scene.round(&mut stations);
    let lengths = lengths(&results);
    assert_eq!(lengths.len(), 60);
    assert!(
        lengths.iter().all(|length| (95..=110).contains(length)),
        "{lengths:?}"
    );
    let bound = bound(5, lengths.into_iter());
    assert!(time * 100 <= bound * 105, "{time:?} for {bound:?}");
}

#[test]
fn sixty_selected_meters_are_read_within_the_bound_of_the_bit_times() {
    let slaves = fleet(60, Numbering::Scattered { seed: 7 });
    let mut stations: Vec<_> = slaves
        .iter()
        .map(|slave| Station::new(slave.identity()))
        .collect();
    let mut scene = Scene::new(slaves);
    scene.round(&mut stations);
    let (time, results) = scene.round(&mut stations);
    let lengths = lengths(&results);
    assert_eq!(lengths.len(), 60);
    let selections = bound(17, std::iter::repeat_n(1, 60));
    let bound = selections + bound(5, lengths.into_iter());
    assert!(time * 100 <= bound * 105, "{time:?} for {bound:?}");
}

#[test]
fn dead_meter_adds_its_three_timeouts_once() {
    let mut scene = Scene::new(fleet(60, Numbering::Consecutive));
    let mut stations: Vec<_> = (1..=60).map(|address| Station::new(primary(address))).collect();
    scene.round(&mut stations);
    let (sound, _) = scene.round(&mut stations);
    let dead = scene.segment.slaves_mut()[29].identity();
    assert!(scene.segment.inject(dead, Fault::Silence, u32::MAX));
    let (with_dead, results) = scene.round(&mut stations);
    assert_eq!(results[29], Err(ReadError::NoAnswer { tries: 3 }));
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 59);
    // A meter may begin to answer at the last moment, and the sixth byte is its first.
    let one_try = timing().transmission(6) + timing().answer();
    assert!(with_dead - (sound - sound / 60) <= one_try * 3 + Duration::from_millis(1));
    // From then on it costs one try when the breaker lets it be asked at all.
    let (later, results) = scene.round(&mut stations);
    assert_eq!(results[29], Err(ReadError::NoAnswer { tries: 1 }));
    assert!(later - (sound - sound / 60) <= one_try + Duration::from_millis(1));
}

#[test]
fn every_meter_is_found_whatever_its_number() {
    for numbering in [Numbering::Consecutive, Numbering::Scattered { seed: 3 }] {
        let slaves = fleet(60, numbering);
        let expected = identities(&slaves);
        let mut scene = Scene::new(slaves);
        let (hits, probes) = scene.search(Search::new(SecondaryAddress::ALL));
        assert_eq!(hits, expected);
        assert!(scene.line.take_counters().collisions > 0);
        // Two minutes are little more than the probes of silence take by themselves.
        assert!(
            probes < 250 && scene.now < Duration::from_secs(120),
            "{probes} {:?}",
            scene.now
        );
    }
}

/// Slaves with these secondary addresses, which answer after different times.
fn slaves(addresses: &[&str], manners: Manners) -> Vec<Slave> {
    let meter = |(number, address): (u8, &&str)| {
        let identity = Identity::from(address.parse::<SecondaryAddress>().unwrap());
        let manners = Manners {
            response_bits: manners.response_bits + 7 * u32::from(number),
            ..manners
        };
        Slave::new(primary(0), Meter::with_months(identity, 1, 2), Duration::ZERO).with(manners)
    };
    (0..).zip(addresses).map(meter).collect()
}

#[test]
fn meters_are_told_apart_by_every_part_of_their_address() {
    for addresses in [
        ["ACW-12345678-14-07", "ACW-1234567A-14-07"],
        ["ACW-12345678-14-07", "ELS-12345678-14-07"],
        ["ACW-12345678-14-07", "ACW-12345678-24-07"],
        ["ACW-12345678-14-07", "ACW-12345678-14-06"],
    ] {
        let mut scene = Scene::new(slaves(&addresses, Manners::default()));
        let (hits, _) = scene.search(Search::new(SecondaryAddress::ALL));
        assert_eq!(hits, addresses.map(str::to_owned).into(), "{addresses:?}");
    }
}

#[test]
fn meters_that_compare_whole_fields_are_told_apart_by_version() {
    let manners = Manners {
        compares_whole_fields: true,
        ..Manners::default()
    };
    let addresses = ["ACW-12345678-14-07", "ACW-12345678-24-07"];
    let mut scene = Scene::new(slaves(&addresses, manners));
    let (hits, _) = scene.search(Search::new(SecondaryAddress::ALL));
    assert_eq!(hits, addresses.map(str::to_owned).into());
}

#[test]
fn meters_that_never_overlap_are_still_several() {
    // The second one answers when the first one's short telegram is over.
    let mut both = slaves(&["ACW-12345678-14-07", "ACW-22345678-14-07"], Manners::default());
    let late = both.remove(1).with(Manners {
        response_bits: 330,
        response_pause: Duration::from_millis(49),
        ..Manners::default()
    });
    both.push(late);
    let mut scene = Scene::new(both);
    assert_eq!(scene.probe(SecondaryAddress::ALL.into(), 1), Found::Several);
    let (hits, _) = scene.search(Search::new(SecondaryAddress::ALL));
    assert_eq!(hits.len(), 2);
}

#[test]
fn primary_probe_finds_one_meter_and_a_shared_address() {
    let mut scene = Scene::new(fleet(3, Numbering::Consecutive));
    assert!(matches!(
        scene.probe(primary(2).into(), 1),
        Found::Meter { address: Some(_), .. }
    ));
    assert_eq!(scene.probe(primary(9).into(), 1), Found::Nobody);
    let addresses = ["ACW-12345678-14-07", "ACW-22345678-14-07"];
    let mut scene = Scene::new(slaves(&addresses, Manners::default()));
    assert_eq!(scene.probe(primary(0).into(), 1), Found::Several);
}

#[test]
fn meter_that_keeps_its_bit_over_selections_is_read_afresh() {
    let manners = Manners {
        keeps_bit_over_selection: true,
        ..Manners::default()
    };
    let mut scene = Scene::new(slaves(&["ACW-12345678-14-07"], manners));
    let mut station = Station::new("12345678".parse::<SecondaryAddress>().unwrap());
    let mut access_numbers = BTreeSet::new();
    for _ in 0..4 {
        let frames = scene.read(&mut station).unwrap();
        assert!(access_numbers.insert(frames[0].data()[8]), "an old telegram");
    }
}

#[test]
fn command_is_no_repetition_to_a_meter_that_compares_the_bit_of_every_frame() {
    let manners = Manners {
        compares_bit_of_commands: true,
        ..Manners::default()
    };
    let mut scene = Scene::new(slaves(&["ACW-12345678-14-07"], manners));
    let mut station = Station::new(primary(0));
    scene.read(&mut station).unwrap();
    let acknowledged = Ok(Reply::Acknowledged);
    let instruction = Instruction::SetPrimary(primary(7));
    let recipient = Recipient::Meter(primary(0).into());
    assert_eq!(scene.command(recipient, instruction), acknowledged);
    let recipient = Recipient::Meter(primary(7).into());
    let instruction = Instruction::SetIdentification(0x8765_4321);
    assert_eq!(scene.command(recipient, instruction), acknowledged);
    let mut station = Station::new(primary(7)).with_application_reset(0x10);
    for _ in 0..3 {
        let frames = scene.read(&mut station).unwrap();
        assert_eq!(identity_of(&frames[0]).to_string(), "ACW-87654321-14-07");
    }
}

#[test]
fn only_meter_is_read_by_the_test_address() {
    let mut scene = Scene::new(slaves(&["ACW-12345678-14-07"], Manners::default()));
    let mut station = Station::new(MeterAddress::Single);
    let numbers: BTreeSet<_> = (0..3)
        .map(|_| scene.read(&mut station).unwrap()[0].data()[8])
        .collect();
    assert_eq!(numbers.len(), 3);
    assert!(matches!(
        scene.probe(MeterAddress::Single, 1),
        Found::Meter { address: Some(_), .. }
    ));
}

#[test]
fn meter_that_is_slower_than_the_standard_is_not_taken_for_two() {
    for pause in [50, 150, 200, 250] {
        let manners = Manners {
            response_pause: timing().answer() + Duration::from_millis(pause),
            ..Manners::default()
        };
        let mut scene = Scene::new(slaves(&["ACW-12345678-14-07"], manners));
        let found = scene.probe(primary(0).into(), 3);
        assert!(!matches!(found, Found::Several), "{pause} ms: {found:?}");
    }
}

#[test]
fn addresses_and_speed_are_set_and_used() {
    let mut scene = Scene::new(slaves(&["ACW-12345678-14-07"], Manners::default()));
    let meter: SecondaryAddress = "12345678".parse().unwrap();
    let recipient = Recipient::Meter(meter.into());
    let acknowledged = Ok(Reply::Acknowledged);
    assert_eq!(
        scene.command(recipient, Instruction::SetPrimary(primary(42))),
        acknowledged
    );
    assert!(scene.read(&mut Station::new(primary(42))).is_ok());
    let recipient = Recipient::Meter(primary(42).into());
    assert_eq!(
        scene.command(recipient, Instruction::SetIdentification(0x8765_4321)),
        acknowledged
    );
    let frames = scene.read(&mut Station::new(primary(42))).unwrap();
    assert_eq!(identity_of(&frames[0]).to_string(), "ACW-87654321-14-07");
    assert_eq!(
        scene.command(recipient, Instruction::SetBaudRate(BaudRate::B9600)),
        acknowledged
    );
    let mut quick = Station::new(primary(42)).at(BaudRate::B9600);
    assert!(scene.read(&mut quick).is_ok());
    // Broadcasts reach a meter at the speed that it has.
    let back = Instruction::SetBaudRate(RATE);
    assert_eq!(
        scene.command(Recipient::Everybody, Instruction::Initialise),
        Ok(Reply::Nothing)
    );
    assert_eq!(
        scene.command(Recipient::Meter(MeterAddress::Single), back),
        acknowledged
    );
}

#[test]
fn meter_that_refuses_a_speed_is_heard_at_its_own() {
    let manners = Manners {
        refuses_rates: true,
        ..Manners::default()
    };
    let mut scene = Scene::new(slaves(&["ACW-12345678-14-07"], manners));
    scene.segment.slaves_mut()[0].raise_alarm(1);
    let recipient = Recipient::Meter(primary(0).into());
    let rate = BaudRate::B9600;
    let refused = scene.command(recipient, Instruction::SetBaudRate(rate));
    assert_eq!(refused, Err(ReadError::RateRefused { rate }));
    assert!(matches!(
        scene.command(recipient, Instruction::SendAlarm),
        Ok(Reply::Telegram(_))
    ));
}

fn any_fault() -> impl Strategy<Value = Option<Fault>> {
    prop_oneof![
        4 => Just(None),
        1 => Just(Some(Fault::WrongChecksum)),
        1 => Just(Some(Fault::Silence)),
        1 => Just(Some(Fault::HalfFrame)),
        1 => Just(Some(Fault::Noise)),
        1 => (0..600u16).prop_map(|bytes| Some(Fault::Babble(bytes))),
        2 => (0..1500u64).prop_map(|late| Some(Fault::Late(Duration::from_millis(late)))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_goes_wrong_an_answer_is_the_meters_own(
        steps in proptest::collection::vec((0..6usize, any_fault(), 1..4u32, 0..2000u64), 1..40),
    ) {
        let slaves = fleet(3, Numbering::Consecutive);
        let identities: Vec<_> = slaves.iter().map(Slave::identity).collect();
        let mut stations: Vec<_> = (1..=3).map(|address| Station::new(primary(address))).collect();
        stations.extend(identities.iter().map(|identity| Station::new(*identity)));
        let mut scene = Scene::new(slaves);
        let longest = Duration::from_secs(30);
        for (number, fault, answers, pause) in steps {
            let identity = identities[number % 3];
            if let Some(fault) = fault {
                prop_assert!(scene.segment.inject(identity, fault, answers));
            }
            let begun = scene.now;
            if let Ok(frames) = scene.read(&mut stations[number]) {
                prop_assert_eq!(identity_of(&frames[0]), identity);
            }
            prop_assert!(scene.now - begun < longest, "{:?}", scene.now - begun);
            if pause > 1000 {
                scene.now += Duration::from_millis(pause);
            }
        }
    }

    #[test]
    fn late_answers_within_two_waits_never_make_an_old_telegram_new(
        steps in proptest::collection::vec((0..3usize, proptest::option::of(0..180u64), 1..4u32), 1..40),
    ) {
        let slaves = fleet(3, Numbering::Consecutive);
        let identities: Vec<_> = slaves.iter().map(Slave::identity).collect();
        let mut stations: Vec<_> = (1..=3).map(|address| Station::new(primary(address))).collect();
        let mut scene = Scene::new(slaves);
        let mut last = [None; 3];
        for (number, late, answers) in steps {
            if let Some(late) = late {
                let late = timing().answer() + Duration::from_millis(late);
                scene.segment.inject(identities[number], Fault::Late(late), answers);
            }
            if let Ok(frames) = scene.read(&mut stations[number]) {
                let access = frames[0].data()[8];
                prop_assert_ne!(last[number], Some(access));
                last[number] = Some(access);
            }
        }
    }

    #[test]
    fn search_in_passing_noise_misses_nobody(
        numbers in proptest::collection::btree_set(0..10_000u32, 2..12),
        noisy in proptest::collection::vec((0..12usize, 1..3u32), 0..3),
    ) {
        let texts: Vec<String> = numbers.iter().map(|number| format!("ELS-4711{number:04}-3C-07")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let slaves = slaves(&texts, Manners::default());
        let expected = identities(&slaves);
        let mut scene = Scene::new(slaves);
        for (number, answers) in noisy {
            let meter = scene.segment.slaves_mut()[number % texts.len()].identity();
            scene.segment.inject(meter, Fault::Noise, answers);
        }
        let (hits, _) = scene.search(Search::new(SecondaryAddress::ALL));
        prop_assert_eq!(hits, expected);
    }
}
