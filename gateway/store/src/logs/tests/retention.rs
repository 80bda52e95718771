//! What is deleted, what is never deleted, and that the chain goes on.

use std::fs;

use super::*;

const SMALL: LogLimits = LogLimits {
    system_bytes: 3 * 65_536,
    system_age: Span::DAY,
    consumer_bytes: 3 * 65_536,
    consumer_age: Span::DAY,
    calibration_bytes: 2 * 65_536,
};

fn segments(place: &Place, kind: LogKind) -> Vec<u64> {
    segment::list(&place.path().join(kind.name())).unwrap()
}

fn pruned(logs: &Logs, kind: LogKind) -> Vec<LogHead> {
    let base = |entry: LogEntry| match entry.event() {
        Some(LogEvent::System(SystemEvent::LogPruned { log, base })) if log == kind => Some(base),
        _ => None,
    };
    entries(logs, LogKind::System)
        .into_iter()
        .filter_map(base)
        .collect()
}

#[test]
fn a_log_at_its_size_loses_its_oldest_entries_and_keeps_its_chain() {
    let place = Place::new();
    let logs = place.open_with(SMALL);
    for value in 0..40 {
        logs.append(at(1), &[answered(value, 14)]).unwrap();
        assert!(segments(&place, LogKind::Consumer).len() <= 3);
        assert!(logs.verify(&TestCard).unwrap().is_sound());
    }
    let bases = pruned(&logs, LogKind::Consumer);
    assert!(bases.len() > 5);
    let kept = entries(&logs, LogKind::Consumer);
    assert_eq!(kept[0].sequence, bases.last().unwrap().count + 1);
    assert_eq!(kept.last().unwrap().sequence, 40);
    drop(logs);
    let verification = place.verify();
    assert!(verification.is_sound());
    assert_eq!(verification.logs[1].base, *bases.last().unwrap());
}

#[test]
fn the_system_log_is_shortened_too_and_the_signature_covers_what_is_gone() {
    let place = Place::new();
    let logs = place.open_with(SMALL);
    logs.append(at(1), &[answered(0, 14)]).unwrap();
    for round in 0..300 {
        let events: Vec<_> = (0..5).map(|_| started(&"v".repeat(290))).collect();
        logs.append(at(1), &events).unwrap();
        if round % 60 == 0 {
            let signed = logs.sign(at(1), &mut TestCard).unwrap();
            let base = entries(&logs, LogKind::System)[0].sequence - 1;
            assert_eq!(signed.heads.system.base.count, base);
        }
    }
    assert!(logs.verify(&TestCard).unwrap().is_sound());
    assert!(segments(&place, LogKind::System).len() <= 3);
    assert!(entries(&logs, LogKind::System)[0].sequence > 500);
}

#[test]
fn a_consumer_log_that_was_shortened_long_ago_is_covered_by_the_signature_alone() {
    let place = Place::new();
    let logs = place.open_with(SMALL);
    for value in 0..40 {
        logs.append(at(1), &[answered(value, 14)]).unwrap();
    }
    logs.sign(at(1), &mut TestCard).unwrap();
    for _ in 0..300 {
        let events: Vec<_> = (0..5).map(|_| started(&"v".repeat(290))).collect();
        logs.append(at(1), &events).unwrap();
    }
    assert_eq!(pruned(&logs, LogKind::Consumer), []);
    let verification = logs.verify(&TestCard).unwrap();
    assert!(verification.logs[1].base.count > 0);
    assert_eq!(fault_of(&verification, LogKind::Consumer), None);
}

#[test]
fn entries_that_nobody_pruned_are_missed() {
    for (kind, event) in [
        (LogKind::System, started(&"v".repeat(290))),
        (LogKind::Consumer, answered(1, 14)),
        (LogKind::Calibration, clock_set()),
    ] {
        let place = Place::new();
        let logs = place.open();
        while segments(&place, kind).len() < 3 {
            logs.append(at(1), &vec![event.clone(); 4]).unwrap();
        }
        drop(logs);
        fs::remove_file(place.segment(kind)).unwrap();
        let sequence = segments(&place, kind)[0];
        assert_eq!(fault_of(&place.verify(), kind), Some(LogFault::Base { sequence }));
    }
}

#[test]
fn a_segment_in_the_middle_is_missed() {
    let place = Place::new();
    let logs = place.open();
    for value in 0..14 {
        logs.append(at(1), &[answered(value, 14)]).unwrap();
    }
    drop(logs);
    let firsts = segments(&place, LogKind::Consumer);
    fs::remove_file(segment::path(&place.path().join("consumer"), firsts[1])).unwrap();
    assert_eq!(
        fault_of(&place.verify(), LogKind::Consumer),
        Some(LogFault::Sequence {
            sequence: firsts[1],
            found: firsts[2]
        })
    );
}

#[test]
fn old_entries_go_one_segment_with_each_signature() {
    let place = Place::new();
    let limits = LogLimits {
        consumer_bytes: 20 * 65_536,
        ..SMALL
    };
    let logs = place.open_with(limits);
    for value in 0..14 {
        logs.append(at(1), &[answered(value, 14)]).unwrap();
    }
    let had = segments(&place, LogKind::Consumer).len();
    assert!(had >= 4);
    logs.sign(at(80_000), &mut TestCard).unwrap();
    assert_eq!(segments(&place, LogKind::Consumer).len(), had);
    let unset = Moment {
        clock_trusted: false,
        ..at(9_000_000)
    };
    logs.sign(unset, &mut TestCard).unwrap();
    assert_eq!(segments(&place, LogKind::Consumer).len(), had);
    let signed = logs.sign(at(9_000_000), &mut TestCard).unwrap();
    assert_eq!(segments(&place, LogKind::Consumer).len(), had - 1);
    assert_eq!(
        signed.heads.consumer.base.count + 1,
        segments(&place, LogKind::Consumer)[0]
    );
    assert!(logs.verify(&TestCard).unwrap().is_sound());
    for _ in 0..10 {
        logs.sign(at(9_000_000), &mut TestCard).unwrap();
    }
    assert_eq!(segments(&place, LogKind::Consumer).len(), 1);
    assert!(logs.verify(&TestCard).unwrap().is_sound());
}

#[test]
fn a_full_calibration_log_says_so_early_and_loses_nothing() {
    let place = Place::new();
    let logs = place.open_with(SMALL);
    let mut written = 0;
    while !logs.is_full(LogKind::Calibration) {
        logs.append(at(1), &[clock_set()]).unwrap();
        written += 1;
    }
    // There is room for what happens next.
    for _ in 0..50 {
        logs.append(at(1), &[clock_set()]).unwrap();
        written += 1;
    }
    let full = loop {
        match logs.append(at(1), &[clock_set()]) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    let is_full = matches!(
        full,
        LogError::Full {
            log: LogKind::Calibration
        }
    );
    assert!(is_full, "{full:?}");
    logs.append(at(1), &[started("a"), answered(1, 0)]).unwrap();
    logs.reserve().unwrap();
    assert!(logs.verify(&TestCard).unwrap().is_sound());
    assert!(!logs.is_full(LogKind::System) && !logs.is_full(LogKind::Consumer));
    drop(logs);
    let logs = place.open_with(SMALL);
    assert!(logs.is_full(LogKind::Calibration));
    assert_eq!(logs.head(LogKind::Calibration).count, written);
    assert_eq!(entries(&logs, LogKind::Calibration)[0].sequence, 1);
    drop(logs);
    let logs = place.open();
    assert!(!logs.is_full(LogKind::Calibration));
    logs.append(at(1), &[clock_set()]).unwrap();
    assert_eq!(logs.head(LogKind::Calibration).count, written + 1);
}
