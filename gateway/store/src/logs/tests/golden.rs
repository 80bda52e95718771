//! Logs of every version that was ever in the field are read by today's code. `make-logs-v1.py` made them.

use std::fs;

use super::*;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/store/logs-v1")
}

/// Compares what is signed with the text that the script wrote; the daemon's tests check the signature itself.
struct SignedText;

impl HeadVerifier for SignedText {
    fn verify(&self, digest: &[u8; 32], _: &HeadSignature) -> Result<(), HeadRefusal> {
        use sha2::{Digest, Sha256};
        let text = fs::read(golden().join("heads.txt")).unwrap();
        let expected: [u8; 32] = Sha256::digest(text).into();
        if *digest == expected {
            Ok(())
        } else {
            Err(HeadRefusal::Signature)
        }
    }
}

#[test]
fn golden_logs_verify() {
    let verification = Logs::verify_folder(&golden(), &SignedText).unwrap();
    assert!(verification.is_sound(), "{verification:?}");
    let entries: Vec<_> = verification.logs.iter().map(LogVerdict::entries).collect();
    assert_eq!(entries, [6, 2, 3]);
    assert_eq!(verification.logs[1].base.count, 40);
    assert_eq!(verification.logs[0].signed, 5);
    assert_eq!(verification.signed.unwrap().number, 7);
}

#[test]
fn golden_entries_are_understood_and_continued() {
    let place = Place::new();
    copy(&golden(), &place.path());
    let logs = place.open();
    assert_eq!(logs.repairs(), []);
    for kind in LogKind::ALL {
        for entry in entries(&logs, kind) {
            let event = entry.event();
            assert!(event.is_some(), "{entry:?}");
        }
    }
    let system = entries(&logs, LogKind::System);
    assert!(!system[0].at.clock_trusted && system[1].at.clock_trusted);
    assert_eq!(entries(&logs, LogKind::Consumer)[1].sequence, 42);
    assert_eq!(logs.last_signed().map(|(number, _)| number), Some(7));
    logs.append(at(1), &[started("a"), answered(1, 0), clock_set()])
        .unwrap();
    assert!(logs.verify(&SignedText).unwrap().is_sound());
}
