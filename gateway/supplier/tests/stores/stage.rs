//! Answers to keep, and what is in a store.

use std::process::Command;

use messages::content::{Answer, MessageId};
use model::{Decimal, Element, Fingerprint, GapReason, Medium, Series, Span, Status, Timestamp, Unit};
use supplier::Store;

pub(crate) fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// How many points an answer of [`answer`] has, of which the last but one is a gap.
pub(crate) const POINTS: usize = 2_000;

/// The answer of this number, which goes on where the one before it has ended.
pub(crate) fn answer(number: u8) -> Answer {
    let step = Span::QUARTER_HOUR;
    let length = i64::try_from(POINTS).unwrap() * i64::from(step.seconds());
    let gap = u32::try_from(POINTS - 2).unwrap();
    let value = |index: usize| Decimal::new(12_340 + i128::try_from(index).unwrap(), -3);
    let values = (0..POINTS).map(|index| if index == POINTS - 2 { None } else { value(index) });
    let series = Series {
        element: Element {
            meter: "M1".parse().unwrap(),
            obis: "1-0:1.8.0*255".parse().unwrap(),
        },
        medium: Medium::Electricity,
        unit: Unit::WattHour,
        start: Timestamp::from_unix_seconds(length * i64::from(number)).unwrap(),
        step,
        aggregation: model::Aggregation::Value,
        values: values.collect(),
        status: vec![Status::GOOD; POINTS],
        gaps: vec![(gap, GapReason::BusDown)],
    };
    Answer {
        id: MessageId::new([number; 16]),
        in_reply_to: MessageId::new([0xff; 16]),
        gateway: "fd5a::1".parse().unwrap(),
        supplier: Fingerprint::new([1; 32]),
        time: "2026-03-29T12:00:00Z".parse().unwrap(),
        series: vec![series],
        refusals: Vec::new(),
        rest: Vec::new(),
    }
}

/// Returns the values that a store has.
pub(crate) async fn values(store: &Store) -> Vec<String> {
    let mut values = Vec::new();
    for element in store.elements(None).await.unwrap() {
        let readings = store
            .readings(element.key, Timestamp::EPOCH, 1_000_000)
            .await
            .unwrap();
        values.extend(readings.iter().map(|reading| reading.quantity.to_string()));
    }
    values
}
