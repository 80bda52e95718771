//! The whole way with the second facility, up to the first readings of the supplier: a blank card behind a real `pcscd`,
//! personalised there with what the trust centre sends, and cards that are made of material, whichever way that has come.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use system::{Facility, House, Program};

use crate::steps::{PERIOD, granted, pull_until, read, told};

#[test]
fn card_of_the_second_facility_serves_a_gateway_and_its_supplier() {
    let house =
        House::for_a_story_with_two_facilities(PERIOD).unwrap_or_else(|error| panic!("{}", told(&error)));
    let pull = pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
    assert_eq!(pull.guid, house.card.guid);
    // The books of both say the same of the card, and nothing is pending.
    for home in [house.stage.trust_center(), house.stage.path("factory")] {
        let records = house.stage.command(Program::TrustCenter, "records");
        let records = house
            .stage
            .run(&records.arg("show").arg("--json").option("--home", &home))
            .unwrap();
        let completed = records
            .lines
            .iter()
            .filter(|line| line.contains("\"act\":\"personalized\"") && line.contains(&house.card.guid));
        assert_eq!(completed.count(), 1, "{}", home.display());
        let verify = house.stage.command(Program::TrustCenter, "records").arg("verify");
        house
            .stage
            .run(&verify.option("--home", &home))
            .unwrap()
            .success()
            .unwrap();
    }
    let deliveries = house.stage.trust_center().join("deliveries");
    let left: Vec<_> = std::fs::read_dir(deliveries)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name != "lock")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn card_of_carried_material_serves_a_gateway_and_its_keys_are_nowhere_else() {
    let house = House::for_a_story_with_material(PERIOD).unwrap_or_else(|error| panic!("{}", told(&error)));
    // First contact was with the card itself, whose key to attest with came from outside like the others.
    let pull = pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
    assert_eq!(pull.guid, house.card.guid);

    // Another facility orders over the connection, and makes its cards when that is gone.
    let stage = &house.stage;
    let mailer = Facility::found(stage, "mailer", "Card Mailer").unwrap();
    mailer.order(stage, 2).unwrap();
    let mut cards = vec![house.card.file.clone()];
    for card in ["first", "second"] {
        let card = stage.path(card);
        let place = format!("soft:{}", card.display());
        mailer.personalize_from_material(stage, &place).unwrap();
        cards.push(card);
    }
    mailer.carry_report(stage).unwrap();
    let folders = [stage.trust_center(), stage.path("factory"), stage.path("mailer")];
    let files: Vec<_> = folders.iter().flat_map(|folder| files_below(folder)).collect();
    let written: Vec<_> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    let holds = |part: &[u8]| {
        written
            .iter()
            .any(|text| text.windows(part.len()).any(|window| window == part))
    };
    let mut verified = 0;
    for card in &cards {
        let state: Value = serde_json::from_str(&read(card)).unwrap();
        let keys = state["keys"].as_object().unwrap();
        assert_eq!(keys.len(), 4);
        for (name, key) in keys {
            let digits = key.as_str().unwrap();
            assert!(!holds(digits.as_bytes()) && !holds(&bytes(digits)), "{name}");
        }
        for (file, content) in state["files"].as_object().unwrap() {
            // EF.CERT.SIG to EF.CERT.ATT
            if (0x0201..=0x0204).contains(&file.parse::<u16>().unwrap()) {
                verify(
                    stage.path("certificate.der"),
                    &bytes(content.as_str().unwrap()),
                    &stage.trust_center(),
                );
                verified += 1;
            }
        }
    }
    assert_eq!(verified, 12);
    // Who looks in the right places finds what is no secret.
    assert!(holds(house.card.guid.as_bytes()));
    let left = [stage.path("factory/material"), stage.path("mailer/material")];
    for folder in left.into_iter().chain([stage.trust_center().join("deliveries")]) {
        let left: Vec<_> = files_below(&folder)
            .into_iter()
            .filter(|file| !file.ends_with("lock"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Has OpenSSL verify a certificate by the root, through the issuing authority.
fn verify(file: PathBuf, der: &[u8], center: &Path) {
    std::fs::write(&file, der).unwrap();
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-CAfile"])
        .arg(center.join("root.pem"))
        .arg("-untrusted")
        .arg(center.join("chain.pem"))
        .arg(&file)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn bytes(digits: &str) -> Vec<u8> {
    let pairs = (0..digits.len() / 2).map(|at| &digits[2 * at..2 * at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}
