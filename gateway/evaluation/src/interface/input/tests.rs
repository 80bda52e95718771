use proptest::prelude::*;

use super::*;
use crate::samples::input;

fn refused(change: impl FnOnce(&mut Input)) -> InputError {
    let mut wrong = input();
    change(&mut wrong);
    wrong.encode().map(|_| ()).unwrap_err()
}

#[test]
fn blob_has_the_documented_bytes() {
    let blob = input().encode().unwrap();
    // 4 parameters, 1 channel, no slots, 3 readings, 4 bytes of text, 5 bytes of state.
    assert_eq!(blob.len(), 80 + 4 * 16 + 24 + 3 * 16 + 8 + 8);
    assert_eq!(
        blob[..16],
        [b'S', b'T', b'I', b'1', 1, 0, 80, 0, 7, 0, 0, 0, 0, 0, 0, 0]
    );
    assert_eq!(
        blob[48..80],
        [
            232, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0
        ]
    );
    assert_eq!(blob[80..96], [1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    // 1-0:1.8.0*255, Wh, two decimals, role 0, 900 s, readings 0 to 3.
    assert_eq!(
        blob[144..168],
        [
            1, 0, 1, 8, 0, 255, 30, 0xfe, 0, 0, 0, 0, 0x84, 3, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0
        ]
    );
    // 100.0 in the channel's scaler.
    assert_eq!(
        blob[168..184],
        [0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x27, 0, 0, 0, 0, 0, 0]
    );
    assert_eq!(blob[216..], *b"none\0\0\0\0state\0\0\0");
}

#[test]
fn what_does_not_fit_is_named() {
    let time = input().channels[0].readings[1].time;
    let window = input().window;
    assert_eq!(
        refused(|i| i.channels[0].readings[1].time = i.window.from()),
        InputError::Order {
            channel: 0,
            time: window.from()
        }
    );
    let early = window.from().saturating_sub(Span::DAY);
    assert_eq!(
        refused(|i| {
            let readings = &mut i.channels[0].readings;
            readings[0].time = early;
            readings[1].time = early.saturating_add(Span::QUARTER_HOUR);
        }),
        InputError::OutsideWindow {
            channel: 0,
            time: early.saturating_add(Span::QUARTER_HOUR)
        }
    );
    let large = Decimal::whole(i128::from(i64::MAX));
    assert_eq!(
        refused(|i| i.channels[0].readings[1].value = large),
        InputError::Value { channel: 0, time }
    );
    let long = Value::Text("x".repeat(MAX_TEXT_BYTES + 1));
    assert_eq!(
        refused(|i| i.parameters[2] = Some(long)),
        InputError::Parameter { index: 2 }
    );
    let state = vec![0; 16 * 1024 + 1];
    assert_eq!(
        refused(|i| i.state = state),
        InputError::TooMany {
            part: Part::State,
            found: 16 * 1024 + 1,
            limit: 16 * 1024
        }
    );
    let slot = Slot {
        from: time,
        to: time,
        offset_minutes: 0,
        stage: 1,
        day: crate::calendar::DayKind::Work,
    };
    let full = refused(|i| {
        i.slots = vec![slot; MAX_SLOTS];
        let first = i.channels[0].readings[0];
        i.window = Period::new(
            first.time,
            first.time.saturating_add(Span::DAY).saturating_add(Span::DAY),
        )
        .unwrap();
        let second = |n: u32| InputReading {
            time: first.time.saturating_add(Span::from_seconds(n + 1).unwrap()),
            ..first
        };
        i.channels[0].readings = (0..150_000).map(second).collect();
    });
    assert!(matches!(full, InputError::TooLong { .. }), "{full}");
}

#[test]
fn malformed_blobs_name_their_fault() {
    let good = input().encode().unwrap();
    let changed = |at: usize, byte: u8| {
        let mut blob = good.clone();
        blob[at] = byte;
        InputView::parse(&blob).map(|_| ()).unwrap_err()
    };
    assert_eq!(changed(4, 2), ViewError::Header);
    assert_eq!(changed(48, 0), ViewError::Length { bytes: good.len() });
    assert_eq!(changed(150, 1), ViewError::Channel { index: 0 });
    assert_eq!(changed(164, 2), ViewError::Channel { index: 1 });
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(noise: Vec<u8>, cut in 0usize..240) {
        drop(InputView::parse(&noise));
        let mut blob = input().encode().unwrap();
        for (byte, noise) in blob.iter_mut().zip(&noise) {
            *byte ^= noise & 0x11;
        }
        drop(InputView::parse(&blob[..cut.min(blob.len())]));
        drop(InputView::parse(&blob));
    }
}
