//! The signed heads: what was signed and is gone or different is found.

use std::fs;

use super::*;

struct BrokenCard;

#[derive(Debug, thiserror::Error)]
#[error("the card is gone")]
struct Gone;

impl HeadAnchor for BrokenCard {
    type Error = Gone;

    fn sign(&mut self, _: &[u8; 32]) -> Result<HeadSignature, Gone> {
        Err(Gone)
    }
}

/// A place with entries and a signature over them, and two entries in each log behind it.
fn signed() -> Place {
    let place = Place::new();
    let logs = place.open();
    let events = [started("a"), answered(1, 0), clock_set()];
    logs.append(at(1), &events).unwrap();
    logs.append(at(2), &events).unwrap();
    logs.sign(at(3), &mut TestCard).unwrap();
    logs.append(at(4), &events).unwrap();
    logs.append(at(5), &events).unwrap();
    place
}

#[test]
fn the_signed_text_is_what_the_documentation_says() {
    let place = signed();
    let Stored::Heads(stored) = heads::load(&place.path()).unwrap() else {
        panic!()
    };
    let (system, genesis) = (stored.heads.system, genesis(LogKind::System));
    let text = stored.heads.text();
    let expected = format!(
        "smgw/log-heads/1\nnumber 1\ntime 1970-01-01T00:00:03Z\nsystem base 0 {genesis} head 2 {}\nconsumer base 0 ",
        system.head.hash
    );
    assert!(text.starts_with(&expected), "{text}");
    assert_eq!(text.lines().count(), 6);
    assert!(text.ends_with('\n'));
}

#[test]
fn signatures_are_numbered_and_noted() {
    let place = signed();
    let logs = place.open();
    assert_eq!(logs.last_signed(), Some((1, at(3).time)));
    let second = logs.sign(at(9), &mut TestCard).unwrap();
    assert_eq!(second.heads.number, 2);
    let last = entries(&logs, LogKind::System).pop().unwrap();
    assert_eq!(
        last.event(),
        Some(
            SystemEvent::HeadsSigned {
                number: 2,
                certificate: second.signature.fingerprint()
            }
            .into()
        )
    );
    drop(logs);
    let verification = place.verify();
    assert!(verification.is_sound());
    let summary = verification.signed.unwrap();
    assert_eq!((summary.number, summary.time), (2, at(9).time));
    assert_eq!(verification.logs[1].signed, 4);
    assert_eq!(verification.logs[1].entries(), 4);
}

#[test]
fn a_card_that_does_not_sign_changes_nothing() {
    let place = signed();
    let before = fs::read(place.path().join("heads.json")).unwrap();
    let logs = place.open();
    let failed = logs.sign(at(9), &mut BrokenCard);
    assert!(matches!(failed, Err(AnchorError::Anchor(Gone))), "{failed:?}");
    drop(logs);
    assert_eq!(fs::read(place.path().join("heads.json")).unwrap(), before);
    assert!(place.verify().is_sound());
}

#[test]
fn heads_that_cannot_be_kept_are_no_signature() {
    let place = signed();
    let logs = place.open();
    fs::create_dir(place.path().join("heads.json.tmp")).unwrap();
    let failed = logs.sign(at(9), &mut TestCard);
    assert!(
        matches!(failed, Err(AnchorError::Log(LogError::File(_)))),
        "{failed:?}"
    );
    assert_eq!(logs.last_signed(), Some((1, at(3).time)));
}

#[test]
fn a_log_that_was_cut_before_the_signed_head_is_shorter() {
    for kind in LogKind::ALL {
        let place = signed();
        let path = place.segment(kind);
        let mut bytes = fs::read(&path).unwrap();
        let ends = offsets(kind, &bytes);
        bytes[ends[1]..].fill(0);
        fs::write(&path, bytes).unwrap();
        let fault = fault_of(&place.verify(), kind);
        assert_eq!(
            fault,
            Some(LogFault::Shorter {
                sequence: 2,
                signed: 2
            })
        );
        // Entries that come later don't heal it.
        let logs = place.open();
        logs.append(at(9), &[started("x"), answered(9, 0), clock_set()])
            .unwrap();
        let fault = fault_of(&logs.verify(&TestCard).unwrap(), kind);
        assert_eq!(fault, Some(LogFault::Different { sequence: 2 }));
    }
}

#[test]
fn a_log_that_is_gone_is_missed_for_ever() {
    for kind in LogKind::ALL {
        let place = Place::new();
        place
            .open()
            .append(at(1), &[started("a"), answered(1, 0), clock_set()])
            .unwrap();
        fs::remove_dir_all(place.path().join(kind.name())).unwrap();
        for _ in 0..2 {
            let logs = place.open();
            logs.append(at(2), &[started("a"), answered(1, 0), clock_set()])
                .unwrap();
            let fault = fault_of(&logs.verify(&TestCard).unwrap(), kind);
            assert_eq!(fault, Some(LogFault::Base { sequence: 1 }));
        }
    }
}

#[test]
fn a_provisioned_gateway_without_logs_has_lost_them() {
    let place = Place::new();
    drop(Logs::open(&place.path(), LogLimits::default(), true, at(1)).unwrap());
    let verification = place.open().verify(&TestCard).unwrap();
    for kind in LogKind::ALL {
        assert_eq!(
            fault_of(&verification, kind),
            Some(LogFault::Base { sequence: 1 })
        );
    }
}

#[test]
fn a_first_start_that_was_cut_off_is_a_first_start_again() {
    let place = Place::new();
    drop(place.open());
    fs::remove_dir_all(place.path().join("calibration")).unwrap();
    assert!(place.open().verify(&TestCard).unwrap().is_sound());
}

#[test]
fn heads_that_are_gone_damaged_or_old_are_named() {
    let place = signed();
    let path = place.path().join("heads.json");
    let first = fs::read_to_string(&path).unwrap();
    place.open().sign(at(9), &mut TestCard).unwrap();
    let second = fs::read_to_string(&path).unwrap();
    let fault = |content: Option<&str>| {
        fs::remove_file(&path).unwrap_or_default();
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        place.verify().fault
    };
    assert_eq!(fault(Some(&second)), None);
    assert_eq!(fault(None), Some(HeadsFault::Missing { number: 2 }));
    assert_eq!(
        fault(Some(&first)),
        Some(HeadsFault::Older { number: 2, found: 1 })
    );
    assert_eq!(fault(Some("{}")), Some(HeadsFault::Damaged));
    assert_eq!(fault(Some(&"x".repeat(20_000))), Some(HeadsFault::Damaged));
    let other_time = second.replace("00:00:09Z", "00:00:08Z");
    assert_eq!(fault(Some(&other_time)), Some(HeadRefusal::Signature.into()));
    let other_format = second.replace("heads/1", "heads/2");
    assert_eq!(fault(Some(&other_format)), Some(HeadsFault::Damaged));
}

#[test]
fn heads_signed_with_another_key_are_refused() {
    let place = signed();
    let Stored::Heads(mut stored) = heads::load(&place.path()).unwrap() else {
        panic!()
    };
    stored.signature.certificate = b"another".to_vec();
    heads::save(&place.path(), &stored).unwrap();
    assert_eq!(place.verify().fault, Some(HeadRefusal::Key.into()));
}

#[test]
fn faults_have_codes_and_name_the_first_bad_entry() {
    let faults = [
        LogFault::Header { sequence: 7 },
        LogFault::Damaged { sequence: 7 },
        LogFault::Sequence {
            sequence: 7,
            found: 9,
        },
        LogFault::Chain { sequence: 7 },
        LogFault::Base { sequence: 7 },
        LogFault::Shorter {
            sequence: 7,
            signed: 9,
        },
        LogFault::Different { sequence: 7 },
    ];
    let mut codes: Vec<_> = faults.iter().map(|fault| fault.code()).collect();
    for fault in faults {
        assert_eq!(fault.sequence(), 7);
        assert!(fault.to_string().contains('7'));
    }
    let heads = [
        HeadsFault::Missing { number: 2 },
        HeadsFault::Damaged,
        HeadsFault::Older { number: 2, found: 1 },
        HeadRefusal::Key.into(),
        HeadRefusal::Signature.into(),
    ];
    codes.extend(heads.iter().map(|fault| fault.code()));
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), faults.len() + heads.len());
}
