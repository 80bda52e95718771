//! Any bytes are an output blob, an input blob and an answer, or refused; what is taken is what the manifest permits.
#![no_main]

use std::sync::OnceLock;

use evaluation::interface::{Channel, Flags, Input, InputReading, InputView, OutputView};
use evaluation::{Manifest, accept, protocol};
use libfuzzer_sys::fuzz_target;
use model::{Decimal, Period, Span, Status, Timestamp, Unit};

const MANIFEST: &[u8] = include_bytes!("../../../gateway/apps/taf-8/manifest.json");
const READINGS: u32 = 4;

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else {
        return;
    };
    match kind % 3 {
        0 => output(rest),
        1 => drop(InputView::parse(rest)),
        _ => {
            if let Ok(answer) = protocol::decode_answer(rest) {
                assert_eq!(protocol::decode_answer(&protocol::encode_answer(&answer)), Ok(answer));
            }
            drop(protocol::run_job(rest, &mut |_| evaluation::Go::Stop));
        }
    }
});

fn output(bytes: &[u8]) {
    let Ok(view) = OutputView::parse(bytes) else {
        return;
    };
    assert_eq!(view.encode(), bytes);
    static WORLD: OnceLock<(Manifest, InputView)> = OnceLock::new();
    let (manifest, input) = WORLD.get_or_init(world);
    let Ok(outcome) = accept(manifest, input, bytes) else {
        return;
    };
    assert_eq!(outcome.elements.len(), view.records.len());
    for element in outcome.elements {
        assert!(usize::from(element.output) < manifest.outputs().len() && element.channel == 0);
        assert!(input.window.from() <= element.from && element.from <= element.to && element.to <= input.window.to());
        assert!(!element.basis.is_empty() && element.basis.end <= READINGS);
        assert_eq!(element.quantity.unit, Unit::Watt);
        assert!(!element.quantity.to_string().is_empty());
    }
}

fn world() -> (Manifest, InputView) {
    let at = |seconds: u32| Timestamp::from_unix_seconds(i64::from(seconds)).unwrap();
    let window = Period::new(at(0), at(3_600)).unwrap();
    let reading = |number: u32| InputReading {
        time: at(number * 900),
        value: Decimal::whole(i128::from(number)),
        status: Status::GOOD,
        flags: Flags::NONE,
    };
    let input = Input {
        run: 0,
        window,
        cutoff: window.to(),
        parameters: Vec::new(),
        channels: vec![Channel {
            role: 0,
            obis: "1-0:1.8.0*255".parse().unwrap(),
            unit: Unit::WattHour,
            step: Span::QUARTER_HOUR,
            readings: (0..READINGS).map(reading).collect(),
        }],
        slots: Vec::new(),
        state: Vec::new(),
    };
    let view = InputView::parse(&input.encode().unwrap()).unwrap();
    (Manifest::parse(MANIFEST).unwrap(), view)
}
