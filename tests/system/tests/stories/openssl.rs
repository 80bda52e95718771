//! Kept messages, opened by OpenSSL alone: no code of ours verifies or decrypts them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use system::{House, Query, grants_of_the_house};

use crate::steps::{PERIOD, granted, house, pull_until};

#[test]
fn kept_answer_is_verified_and_decrypted_by_openssl() {
    let house = house();
    let (message, value) = kept_answer(&house);
    let sealed = house.stage.path("sealed.der");
    let root = house.stage.trust_center().join("root.pem");
    let verified = verify(&message, &root, &sealed);
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
    let opened = decrypt(&sealed, &house, "enc");
    assert!(
        opened.status.success(),
        "{}",
        String::from_utf8_lossy(&opened.stderr)
    );
    let content: Value = serde_json::from_slice(&opened.stdout).unwrap();
    let text = content.to_string();
    assert!(text.contains(&format!("\"{value}\"")), "{value} is not in {text}");
    assert!(text.contains("7-0:") && text.contains("\"m3\""), "{text}");
    assert!(content["type"].is_string(), "{text}");
}

#[test]
fn altered_answer_is_refused_by_openssl_and_another_key_opens_nothing() {
    let house = house();
    let (message, _) = kept_answer(&house);
    let root = house.stage.trust_center().join("root.pem");
    let sealed = house.stage.path("sealed.der");
    assert!(verify(&message, &root, &sealed).status.success());
    assert!(!decrypt(&sealed, &house, "tls").status.success());
    let mut bytes = std::fs::read(&message).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let altered = house.stage.path("altered.cms");
    std::fs::write(&altered, bytes).unwrap();
    assert!(
        !verify(&altered, &root, &house.stage.path("nothing.der"))
            .status
            .success()
    );
}

#[test]
fn kept_messages_of_the_tsm_are_verified_by_openssl() {
    let house = house();
    let kept = house.stage.path("first-contact");
    let grants = grants_of_the_house(PERIOD);
    let wan = house.status.wan.as_deref().unwrap();
    let stage = &house.stage;
    stage
        .install(&house.card.guid, wan, &house.supplier, &grants, Some(&kept))
        .unwrap();
    let root = stage.trust_center().join("root.pem");
    let sealed = stage.path("sealed.der");
    for kind in ["request", "answer"] {
        let messages = messages(&kept, kind);
        // The first message is the bundle, which waits; three are for the card, and the fifth is the bundle again.
        assert_eq!(messages.len(), 5, "{messages:?}");
        for message in messages {
            assert!(
                verify(&message, &root, &sealed).status.success(),
                "{}",
                message.display()
            );
        }
    }
}

/// Pulls until gas readings arrive; returns the kept answer and one of the values in it.
fn kept_answer(house: &House) -> (PathBuf, String) {
    let gas = |pull: &system::Pull| {
        let of_gas = pull.series.iter().find(|series| series.medium == "gas");
        of_gas.and_then(|series| series.values.iter().flatten().next().cloned())
    };
    pull_until(house, &granted(house), |pull| gas(pull).is_some());
    let kept = house.stage.path("kept");
    let query = Query {
        keep: Some(kept.clone()),
        ..granted(house)
    };
    let pull = house.supplier.pull(&house.stage, &query).unwrap();
    let mut answers = messages(&kept, "answer");
    assert_eq!(answers.len(), 1, "{answers:?}");
    (answers.remove(0), gas(&pull).unwrap())
}

/// Returns the kept requests or answers.
fn messages(kept: &Path, kind: &str) -> Vec<PathBuf> {
    let end = format!("-{kind}.cms");
    let files = std::fs::read_dir(kept)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .filter(|file| file.to_string_lossy().ends_with(&end))
        .collect()
}

fn verify(message: &Path, root: &Path, sealed: &Path) -> Output {
    Command::new("openssl")
        .args(["cms", "-verify", "-purpose", "any", "-inform", "DER", "-binary"])
        .arg("-CAfile")
        .arg(root)
        .arg("-in")
        .arg(message)
        .arg("-out")
        .arg(sealed)
        .output()
        .unwrap()
}

fn decrypt(sealed: &Path, house: &House, key: &str) -> Output {
    let home = house.supplier.home();
    Command::new("openssl")
        .args(["cms", "-decrypt", "-inform", "DER", "-binary"])
        .arg("-inkey")
        .arg(home.join(format!("{key}.key")))
        .arg("-recip")
        .arg(home.join(format!("{key}.pem")))
        .arg("-in")
        .arg(sealed)
        .output()
        .unwrap()
}
