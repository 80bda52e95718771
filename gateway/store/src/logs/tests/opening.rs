//! Opening, appending, reading, and what is refused.

use std::fs;

use super::*;

#[test]
fn entries_are_found_again_in_their_logs_and_in_order() {
    let place = Place::new();
    for round in 1..4 {
        let logs = place.open();
        let events = [started("a"), answered(round, 0), clock_set(), started("b")];
        logs.append(at(10), &events).unwrap();
        assert_eq!(logs.repairs(), []);
        assert_eq!(logs.head(LogKind::System).count, round * 2);
        assert_eq!(logs.head(LogKind::Consumer).count, round);
    }
    let logs = place.open();
    let system = entries(&logs, LogKind::System);
    let sequences: Vec<_> = system.iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5, 6]);
    assert_eq!(system[5].event(), Some(started("b")));
    assert_eq!(system[5].hash, logs.head(LogKind::System).hash);
    assert_eq!(system[5].at, at(10));
    assert_eq!(entries(&logs, LogKind::Consumer)[2].event(), Some(answered(3, 0)));
    assert!(logs.verify(&TestCard).unwrap().is_sound());
}

#[test]
fn times_that_32_bits_do_not_hold_are_kept() {
    let place = Place::new();
    // 2040-06-01, and behind the end of 32 bits, 2106-02-07T06:28:15Z.
    let times = [2_222_121_600, i64::from(u32::MAX) + 1];
    for time in times {
        place.open().append(at(time), &[started("a")]).unwrap();
    }
    let logs = place.open();
    let kept: Vec<_> = entries(&logs, LogKind::System)
        .iter()
        .map(|entry| entry.at)
        .collect();
    assert_eq!(kept, times.map(at));
    assert!(logs.verify(&TestCard).unwrap().is_sound());
}

#[test]
fn pages_are_bounded_and_cover_everything_once() {
    let place = Place::new();
    let logs = place.open();
    for value in 0..60 {
        let events: Vec<_> = (0..10).map(|small| answered(value * 10 + small, 0)).collect();
        logs.append(at(i64::try_from(value).unwrap()), &events).unwrap();
        logs.append(at(0), &[answered(9_999, 9)]).unwrap();
    }
    let page = logs.page(LogKind::Consumer, 0, None).unwrap();
    assert!(page.entries.len() <= 256 && page.next.is_some());
    let sequences: Vec<_> = entries(&logs, LogKind::Consumer)
        .iter()
        .map(|entry| entry.sequence)
        .collect();
    assert_eq!(sequences, (1..=660).collect::<Vec<_>>());
    let mut after = Some(0);
    let mut since = Vec::new();
    while let Some(behind) = after {
        let page = logs.page(LogKind::Consumer, behind, Some(at(59).time)).unwrap();
        since.extend(page.entries);
        after = page.next;
    }
    assert_eq!(since.len(), 10);
    assert_eq!(
        logs.page(LogKind::Consumer, 660, None).unwrap(),
        LogPage::default()
    );
    assert_eq!(
        logs.page(LogKind::Consumer, u64::MAX, None).unwrap(),
        LogPage::default()
    );
}

#[test]
fn an_entry_of_a_newer_gateway_is_kept_and_not_understood() {
    let entry = LogEntry {
        log: LogKind::System,
        sequence: 1,
        at: at(1),
        content: r#"{"event":"invented"}"#.to_owned(),
        hash: genesis(LogKind::System),
    };
    assert_eq!(entry.event(), None);
}

#[test]
fn logs_have_one_owner() {
    let place = Place::new();
    let logs = place.open();
    let second = Logs::open(&place.path(), LogLimits::default(), false, at(1));
    assert!(matches!(second, Err(LogError::Locked)), "{second:?}");
    let reader = Logs::verify_folder(&place.path(), &TestCard);
    assert!(matches!(reader, Err(LogError::Locked)), "{reader:?}");
    drop(logs);
    assert!(place.verify().is_sound());
    place.open();
}

#[test]
fn logs_of_a_newer_gateway_are_left_alone() {
    let place = Place::new();
    drop(place.open());
    let path = place.segment(LogKind::System);
    let mut bytes = fs::read(&path).unwrap();
    bytes[7] = b'2';
    // The checksum of the header, in the place that every version has it in.
    let sum = record::checksum(&bytes[..49]);
    bytes[49..53].copy_from_slice(&sum.to_be_bytes());
    fs::write(&path, &bytes).unwrap();
    let outcome = Logs::open(&place.path(), LogLimits::default(), false, at(1));
    let newer = matches!(
        outcome,
        Err(LogError::TooNew {
            log: LogKind::System,
            version: '2'
        })
    );
    assert!(newer, "{outcome:?}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn flipped_version_of_a_segment_is_damage_and_keeps_no_log_shut() {
    let place = Place::new();
    let logs = place.open();
    logs.append(at(1), &[started("a"), started("b")]).unwrap();
    drop(logs);
    let path = place.segment(LogKind::System);
    let mut bytes = fs::read(&path).unwrap();
    bytes[7] ^= 2;
    fs::write(&path, &bytes).unwrap();
    let logs = place.open();
    assert_eq!(entries(&logs, LogKind::System).len(), 2);
    assert!(!logs.verify(&TestCard).unwrap().is_sound());
    logs.append(at(2), &[started("c")]).unwrap();
}

#[test]
fn an_entry_that_is_too_long_is_refused_and_nothing_is_written() {
    let place = Place::new();
    let logs = place.open();
    let outcome = logs.append(at(1), &[answered(1, 0), answered(2, 17)]);
    assert!(
        matches!(outcome, Err(LogError::TooLong { log: LogKind::Consumer, bytes }) if bytes > 17_000),
        "{outcome:?}"
    );
    assert_eq!(logs.head(LogKind::Consumer).count, 0);
    logs.append(at(1), &[answered(1, 16)]).unwrap();
}

#[test]
fn behind_a_failed_write_the_log_takes_nothing_until_it_is_opened_again() {
    let place = Place::new();
    let logs = place.open();
    logs.append(at(1), &[started("a")]).unwrap();
    let read_only = File::open(place.segment(LogKind::System)).unwrap();
    logs.lock().chain_mut(LogKind::System).replace_file(read_only);
    let failed = logs.append(at(1), &[started("b")]);
    assert!(matches!(failed, Err(LogError::File(_))), "{failed:?}");
    let halted = logs.append(at(1), &[started("b")]);
    let is_halted = matches!(halted, Err(LogError::Halted { log: LogKind::System }));
    assert!(is_halted, "{halted:?}");
    drop(logs);
    let logs = place.open();
    logs.append(at(1), &[started("b")]).unwrap();
    assert_eq!(logs.head(LogKind::System).count, 2);
}

#[test]
fn a_folder_that_is_not_there_is_not_sound_but_out_of_reach() {
    let place = Place::new();
    let outcome = Logs::verify_folder(&place.path(), &TestCard);
    assert!(matches!(outcome, Err(LogError::File(_))), "{outcome:?}");
}

#[test]
fn verifying_a_folder_changes_nothing_in_it() {
    let place = Place::new();
    place.open().append(at(1), &[started("a")]).unwrap();
    let path = place.segment(LogKind::System);
    let mut bytes = fs::read(&path).unwrap();
    let end = *offsets(LogKind::System, &bytes).last().unwrap();
    bytes[end..end + 9].copy_from_slice(b"torn torn");
    fs::write(&path, &bytes).unwrap();
    let verification = place.verify();
    assert!(verification.is_sound());
    assert!(verification.logs[0].torn > 0);
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn an_unfinished_segment_is_removed() {
    let place = Place::new();
    drop(place.open());
    let unfinished = place.path().join("system/00000000000000000009.seg.tmp");
    fs::write(&unfinished, "x").unwrap();
    place.open();
    assert!(!unfinished.exists());
}
