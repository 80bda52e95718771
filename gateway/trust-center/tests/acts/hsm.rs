//! Keys in an HSM: SoftHSM2, with tokens of its own.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::stage::{Stage, succeed};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// A stage with a token "centre", whose PIN is 1234.
fn stage() -> Stage {
    let mut stage = Stage::new();
    let tokens = stage.path("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let configuration = stage.path("softhsm2.conf");
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        tokens.display()
    );
    std::fs::write(&configuration, text).unwrap();
    stage
        .environment
        .push(("SOFTHSM2_CONF", configuration.to_str().unwrap().to_owned()));
    stage.environment.push(("TRUST_CENTER_PIN", "1234".to_owned()));
    let arguments = [
        "--init-token",
        "--free",
        "--label",
        "centre",
        "--so-pin",
        "5678",
        "--pin",
        "1234",
    ];
    succeed(
        Command::new("softhsm2-util")
            .args(arguments)
            .env("SOFTHSM2_CONF", configuration),
    );
    stage
}

#[test]
fn authority_with_its_keys_in_an_hsm_does_all_that_another_does() {
    let stage = stage();
    stage.answer(&format!(
        "init --name Centre --hsm-module {MODULE} --hsm-token centre"
    ));
    let uri = std::fs::read_to_string(stage.home().join("issuing.key")).unwrap();
    assert!(
        uri.starts_with("pkcs11:token=centre;object=smgw-issuing-"),
        "{uri}"
    );
    stage.supplier("works");
    stage.answer("certify --requests works");
    stage.answer("personalize --card soft:card");
    stage.answer("crl");
    stage.answer("renew --tsm");
    stage.answer("renew --issuing");
    let uri = std::fs::read_to_string(stage.home().join("issuing-2.key")).unwrap();
    assert!(uri.starts_with("pkcs11:token=centre;"), "{uri}");
    stage.answer("certify --requests works");
    stage.openssl(&[
        "verify",
        "-CAfile",
        "center/root.pem",
        "-untrusted",
        "center/chain.pem",
        "works/sig.pem",
    ]);
    stage.answer("records verify");
}

#[test]
fn lost_hsm_leaves_books_and_cards_as_they_were() {
    let mut stage = stage();
    stage.answer(&format!(
        "init --name Centre --hsm-module {MODULE} --hsm-token centre"
    ));
    let records = stage.records();
    std::fs::rename(stage.path("tokens"), stage.path("stolen")).unwrap();
    std::fs::create_dir(stage.path("tokens")).unwrap();
    let said = stage.error("personalize --card soft:card");
    assert!(said.contains("there is no token \"centre\""), "{said}");
    assert!(!stage.path("card").exists(), "nothing is written to the card");
    let said = stage.error("crl");
    assert!(said.contains("HSM"), "{said}");
    assert_eq!(stage.records(), records);
    stage.answer("records verify");

    std::fs::remove_dir(stage.path("tokens")).unwrap();
    std::fs::rename(stage.path("stolen"), stage.path("tokens")).unwrap();
    stage.environment.retain(|(name, _)| *name != "TRUST_CENTER_PIN");
    let said = stage.error("personalize --card soft:card");
    assert!(said.contains("--pin-file"), "{said}");
    std::fs::write(stage.path("pin"), "4321\n").unwrap();
    let said = stage.error("personalize --card soft:card --pin-file pin");
    assert!(said.contains("check its PIN"), "{said}");
    std::fs::write(stage.path("pin"), "1234\n").unwrap();
    stage.answer("personalize --card soft:card --pin-file pin");
    assert_eq!(stage.guids("guid-given"), stage.guids("personalized"));
}

#[test]
fn hsm_that_is_lost_in_the_middle_of_a_batch_leaves_nothing_in_doubt() {
    let stage = stage();
    stage.answer(&format!(
        "init --name Centre --hsm-module {MODULE} --hsm-token centre"
    ));
    let line = "personalize --card soft:cards --batch 400 --labels labels";
    let batch = stage
        .command(line)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let table = stage.path("labels/labels.csv");
    let begun = Instant::now();
    while std::fs::read_to_string(&table).map_or(0, |text| text.lines().count()) < 20 {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "the batch does not begin"
        );
        std::thread::yield_now();
    }
    std::fs::rename(stage.path("tokens"), stage.path("stolen")).unwrap();
    std::fs::create_dir(stage.path("tokens")).unwrap();
    let output = batch.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("HSM"), "{said}");
    stage.answer("records verify");
    // What was begun is known, and every GUID was given once.
    let settled = ["personalized", "left-blank", "scrapped"].map(|act| stage.guids(act));
    let mut settled = settled.concat();
    settled.sort();
    let mut given = stage.guids("guid-given");
    given.sort();
    assert_eq!(settled, given);

    std::fs::remove_dir(stage.path("tokens")).unwrap();
    std::fs::rename(stage.path("stolen"), stage.path("tokens")).unwrap();
    let done = stage.answer(line);
    assert_eq!(done["guids"].as_array().unwrap().len(), 400);
    assert_eq!(stage.guids("personalized").len(), 400);
    stage.answer("records verify");
}

#[test]
fn library_that_is_not_there_is_named() {
    let stage = stage();
    let said = stage.error("init --name Centre --hsm-module /no/such/library.so --hsm-token centre");
    assert!(
        said.contains("/no/such/library.so") && said.contains("cannot be loaded"),
        "{said}"
    );
    let said = stage.error("init --name Centre --hsm-module /bin/sh --hsm-token centre");
    assert!(said.contains("cannot be loaded"), "{said}");
}
