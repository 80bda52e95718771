//! Writes that the power cut: only what was not acknowledged is gone.

use std::fs;

use super::*;

/// The states of the last write after a power cut: its beginning up to every byte, and up to some of them its
/// end only, its beginning and garbage, or a file that ends there.
fn cuts(before: &[u8], after: &[u8], from: usize, to: usize) -> Vec<Vec<u8>> {
    let mut states = Vec::new();
    for cut in from..to {
        let mut beginning = before.to_vec();
        beginning[from..cut].copy_from_slice(&after[from..cut]);
        let mut end = before.to_vec();
        end[cut..to].copy_from_slice(&after[cut..to]);
        states.push(beginning);
        if cut % 8 == 0 {
            states.push(end);
            states.push([&after[..cut], &[0xff; 20][..]].concat());
            states.push(after[..cut].to_vec());
        }
    }
    states
}

fn repaired_at_every_byte(events: &[LogEvent], kind: LogKind) -> usize {
    let place = Place::new();
    let logs = place.open();
    logs.append(at(1), &[started("a"), answered(1, 0), clock_set()])
        .unwrap();
    let acknowledged = logs.head(kind);
    let before = fs::read(place.segment(kind)).unwrap();
    logs.append(at(2), events).unwrap();
    drop(logs);
    let after = fs::read(place.segment(kind)).unwrap();
    let ends = offsets(kind, &after);
    let written = ends.len() - events.len();
    let (from, to) = (ends[written - 1], *ends.last().unwrap());
    let mut states = 0;
    for state in cuts(&before, &after, from, to) {
        let cut = Place::new();
        copy(&place.path(), &cut.path());
        overwrite(&cut.segment(kind), &state);
        assert!(cut.verify().is_sound());
        let logs = cut.open();
        // Whole entries of a write that was not acknowledged may stay.
        let head = logs.head(kind);
        let most = acknowledged.count + events.len() as u64 + logs.repairs().len() as u64;
        assert!((acknowledged.count..=most).contains(&head.count));
        let kept = entries(&logs, kind);
        assert_eq!(kept[0].sequence, 1);
        let repair = logs.repairs().first().cloned();
        logs.append(at(3), &[started("b"), answered(2, 0), clock_set()])
            .unwrap();
        assert!(logs.verify(&TestCard).unwrap().is_sound());
        if let Some(repair) = repair {
            assert_eq!((repair.log, repair.bytes > 0), (kind, true));
            let noted = entries(&logs, LogKind::System);
            let is_repair = |entry: &LogEntry| matches!(entry.event(), Some(LogEvent::System(SystemEvent::LogRepaired { log, .. })) if log == kind);
            assert!(noted.iter().any(is_repair));
        }
        drop(logs);
        assert_eq!(cut.open().repairs(), []);
        states += 1;
    }
    states
}

#[test]
fn a_torn_entry_is_cut_off_at_every_byte() {
    assert!(repaired_at_every_byte(&[clock_set()], LogKind::Calibration) > 100);
}

#[test]
fn entries_written_at_once_are_torn_together_at_every_byte() {
    assert!(repaired_at_every_byte(&[started("c"), started("d"), started("e")], LogKind::System) > 300);
}

#[test]
fn damage_before_the_last_write_is_kept_for_the_auditor() {
    for (place_of_damage, expected) in [(1, 2), (0, 1)] {
        let place = Place::new();
        let logs = place.open();
        for value in 1..5 {
            logs.append(at(1), &[answered(value, 0)]).unwrap();
        }
        drop(logs);
        let path = place.segment(LogKind::Consumer);
        let mut bytes = fs::read(&path).unwrap();
        let starts = offsets(LogKind::Consumer, &bytes);
        bytes[starts[place_of_damage] + 30] ^= 1;
        fs::write(&path, &bytes).unwrap();
        for reopened in 0..3 {
            let logs = place.open();
            assert_eq!(logs.repairs(), []);
            logs.append(at(2), &[answered(5, 0)]).unwrap();
            assert_eq!(logs.head(LogKind::Consumer).count, 5 + reopened);
            let fault = fault_of(&logs.verify(&TestCard).unwrap(), LogKind::Consumer);
            assert_eq!(fault, Some(LogFault::Damaged { sequence: expected }));
            assert_eq!(entries(&logs, LogKind::Consumer).len() as u64, 4 + reopened);
        }
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn a_damaged_header_is_kept_and_the_log_goes_on() {
    let place = Place::new();
    place.open().append(at(1), &[answered(1, 0)]).unwrap();
    let path = place.segment(LogKind::Consumer);
    let mut bytes = fs::read(&path).unwrap();
    bytes[10] ^= 1;
    fs::write(&path, bytes).unwrap();
    for _ in 0..2 {
        let logs = place.open();
        logs.append(at(1), &[answered(2, 0)]).unwrap();
        let fault = fault_of(&logs.verify(&TestCard).unwrap(), LogKind::Consumer);
        assert_eq!(fault, Some(LogFault::Header { sequence: 1 }));
    }
    assert_eq!(place.open().head(LogKind::Consumer).count, 3);
}

#[test]
fn a_segment_of_which_nothing_can_be_read_is_left_behind() {
    let place = Place::new();
    drop(place.open());
    fs::write(place.segment(LogKind::Calibration), vec![0xff; 100]).unwrap();
    for _ in 0..2 {
        let logs = place.open();
        logs.append(at(1), &[clock_set()]).unwrap();
        let fault = fault_of(&logs.verify(&TestCard).unwrap(), LogKind::Calibration);
        assert_eq!(fault, Some(LogFault::Header { sequence: 1 }));
    }
}
