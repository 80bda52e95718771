//! Any text is a profile or refused with its place; whatever its meter answers, reading it ends, keeps the limits, and
//! gives each element a value or the reason for the gap.
//!
//! The first byte chooses a built-in profile, or says that a text follows, which ends with a zero. The rest says what
//! the meter does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modbus::sunspec::Walk;
use modbus::{Block, Handled, Identification, PollClass, Profile, Question, Refusals, Reply, device_identification};
use model::GapReason;

/// What the meter does, byte by byte; behind the end it shows zeros.
struct Meter<'a>(&'a [u8]);

impl Meter<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn words(&mut self, block: Block) -> Vec<u16> {
        let bits = block.function.reads_bits();
        let word = |_| u16::from_be_bytes([self.byte(), self.byte()]) & if bits { 1 } else { u16::MAX };
        (0..block.count).map(word).collect()
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    let names: Vec<&str> = modbus::built_in_names().collect();
    let (text, rest) = match names.get(usize::from(*first)) {
        Some(name) => (modbus::built_in(name).unwrap_or_default().to_owned(), rest),
        None => {
            let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
            let (text, rest) = rest.split_at(end);
            (String::from_utf8_lossy(text).into_owned(), rest)
        }
    };
    let profile = match Profile::check(&text) {
        Ok(profile) => profile,
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in errors {
                assert!((1..=text.lines().count() + 1).contains(&error.line), "{error}");
                assert!(!error.field.is_empty(), "{error}");
                assert!(!error.fault.to_string().is_empty());
            }
            match Profile::parse(&text) {
                Ok(profile) => profile,
                Err(_) => return,
            }
        }
    };
    let mut meter = Meter(rest);
    identify(&profile, &mut meter);
    let models = profile.sunspec().map(|sunspec| {
        let mut walk = Walk::new(sunspec);
        while let Some(block) = walk.next_request() {
            match meter.byte() {
                0..=200 => walk.handle_answer(&meter.words(block)).unwrap_or_else(|error| panic!("{error}")),
                _ => walk.handle_refusal(),
            }
        }
        walk.finish()
    });
    let Ok(placed) = profile.placed(&models.unwrap_or_default()) else {
        return;
    };
    let mut refusals = Refusals::default();
    for classes in [&PollClass::ALL[..], &PollClass::ALL[..2]] {
        refusals = read(&placed, classes, &refusals, &mut meter);
    }
});

fn identify(profile: &Profile, meter: &mut Meter<'_>) {
    let mut identification = Identification::new(profile);
    let mut questions = 0;
    while let Some(question) = identification.next_question() {
        questions += 1;
        assert!(questions < 500);
        match question {
            Question::Registers(block) if meter.byte() < 200 => {
                identification.handle_reply(Reply::Registers(&meter.words(block)));
            }
            Question::Device(object) => {
                let length = meter.byte();
                let text: Vec<u8> = (0..length).map(|_| meter.byte()).collect();
                let text = device_identification::text(object, &text);
                identification.handle_reply(text.map_or(Reply::Refusal, Reply::Device));
            }
            Question::Registers(_) => identification.handle_reply(Reply::Refusal),
        }
    }
    assert!(identification.verdict().is_some());
}

/// Reads the meter, and returns what it has refused.
fn read(profile: &Profile, classes: &[PollClass], refusals: &Refusals, meter: &mut Meter<'_>) -> Refusals {
    let limits = profile.limits();
    let mut plan = profile.plan(classes, refusals);
    let (mut requests, mut splits) = (0, 0);
    while let Some(block) = plan.next_request() {
        assert!(block.count >= 1 && block.count <= limits.most(block.function) && block.end() <= 1 << 16);
        assert!(profile.sunspec().is_some() || limits.forbidden.iter().all(|range| !range.overlaps(block)));
        requests += 1;
        match meter.byte() {
            0..=150 => plan.handle_answer(&meter.words(block)).unwrap_or_else(|error| panic!("{error}")),
            151..=220 => match plan.handle_exception(meter.byte() % 12) {
                Handled::Unchanged => plan.handle_refusal(11),
                Handled::Split => splits += 1,
                Handled::Absent => {}
            },
            _ => drop(plan.give_up(GapReason::BadAnswer)),
        }
    }
    let entries = profile.registers().len() * 2 + profile.parameters().len() + 1;
    assert!(splits <= modbus::Plan::MAX_SPLITS && requests <= entries * 2);
    let outcome = plan.finish();
    let values = profile.values(&outcome.image);
    assert_eq!(values.len(), profile.codes().count());
    for decoded in &values {
        match decoded.value {
            Ok(quantity) => assert!(!quantity.to_string().is_empty()),
            Err(fault) => assert!(!fault.to_string().is_empty() && !fault.gap_reason().to_string().is_empty()),
        }
    }
    assert!(profile.serial_number().is_some() || profile.identity(&outcome.image).is_err());
    outcome.refusals
}
