//! Key pairs that the trust centre makes for its cards.

use std::collections::BTreeSet;
use std::path::Path;

use p256::SecretKey;
use serde_json::Value;

use crate::stage::Stage;

/// The private keys of a soft card, by name.
fn keys_of(card: &Path) -> Vec<(String, SecretKey)> {
    let state: Value = serde_json::from_slice(&std::fs::read(card).unwrap()).unwrap();
    assert_eq!(state["life_cycle"], "personalized");
    let keys = state["keys"].as_object().unwrap();
    let parse = |hex: &str| SecretKey::from_slice(&hex::decode(hex).unwrap()).unwrap();
    keys.iter()
        .map(|(name, key)| (name.clone(), parse(key.as_str().unwrap())))
        .collect()
}

/// Every file below a folder, but not the cards themselves.
fn files_below(folder: &Path, cards: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path == cards {
        } else if path.is_dir() {
            found.extend(files_below(&path, cards));
        } else {
            found.push(path);
        }
    }
    found
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[test]
fn cards_have_the_keys_that_the_centre_made_and_nothing_else_has() {
    let stage = Stage::founded();
    let line = "personalize --card soft:cards --batch 3 --labels labels --keys-from-center";
    let output = stage.run(line);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    let guids: BTreeSet<String> = serde_json::from_value(done["guids"].clone()).unwrap();
    assert_eq!(guids.len(), 3);
    stage.answer("records verify");

    let cards = stage.path("cards");
    let mut written: Vec<Vec<u8>> = vec![output.stdout, output.stderr];
    let files = files_below(stage.folder.path(), &cards);
    assert!(files.iter().any(|file| file.ends_with("center/books.db")));
    written.extend(files.iter().map(|file| std::fs::read(file).unwrap()));
    // Who looks in the right places finds what is no secret.
    for guid in &guids {
        assert!(
            written.iter().any(|text| contains(text, guid.as_bytes())),
            "{guid}"
        );
    }
    let mut points = BTreeSet::new();
    for number in 1..=3 {
        let keys = keys_of(&cards.join(format!("card-{number:05}")));
        let names: Vec<_> = keys.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["attestation", "enc", "sig", "tls"]);
        for (name, key) in keys {
            let point = key.public_key().to_sec1_bytes();
            assert!(points.insert(point), "{name} is there twice");
            let private = key.to_bytes();
            let digits = hex::encode(private);
            for secret in [&private[..], digits.as_bytes(), digits.to_uppercase().as_bytes()] {
                assert!(!written.iter().any(|text| contains(text, secret)), "{name}");
            }
        }
    }

    // The same command leaves the complete cards as they are.
    let before: Vec<_> = files_below(&cards, Path::new(""))
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect();
    stage.answer(line);
    let after: Vec<_> = files_below(&cards, Path::new(""))
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect();
    assert_eq!(before, after);
}

#[test]
fn guid_is_made_of_a_key_of_the_centre_on_demand() {
    let stage = Stage::founded();
    let done = stage.answer("personalize --card soft:card --keys-from-center --guid-from-key");
    let guid = done["guid"].as_str().unwrap();
    assert!(guid.starts_with("2001:20:"), "{guid}");
    assert_eq!(stage.guids("personalized"), [guid]);
}
