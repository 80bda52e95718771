//! A gateway whose card is revoked, and a supplier that reads the lists of revoked certificates.

use std::path::Path;

use system::{Finished, House, LogTail, Process, Program};

use crate::steps::{granted, house, pull_until};

fn center(house: &House, line: &str) -> Finished {
    let mut words = line.split(' ');
    let command = house.stage.command(Program::TrustCenter, words.next().unwrap());
    let command = words.fold(command, |command, word| command.arg(word));
    let finished = house
        .stage
        .run(&command.option("--home", house.stage.trust_center()))
        .unwrap();
    finished.success().unwrap();
    finished
}

fn take_lists(house: &House, option: &str, place: &str) -> Finished {
    let command = house.stage.command(Program::Supplier, "crl").arg("--json");
    let command = command
        .option("--home", house.supplier.home())
        .option(option, place);
    house.stage.run(&command).unwrap()
}

fn said(finished: &Finished) -> String {
    LogTail::of(&finished.log).to_string()
}

/// Pulls with more options than other stories do.
fn pull(house: &House, option: &str) -> Finished {
    let wan = house.status.wan.clone().unwrap();
    let command = house
        .stage
        .command(Program::Supplier, "pull")
        .arg("--json")
        .arg(option);
    let command = command
        .option("--home", house.supplier.home())
        .option("--guid", &house.card.guid)
        .option("--gateway", wan)
        .option("--resolution", &house.period)
        .option("--last", "PT10M");
    house.stage.run(&command).unwrap()
}

/// Starts the directory; returns it with its address.
fn directory(house: &House) -> (Process, String) {
    let serve = house
        .stage
        .command(Program::TrustCenter, "directory")
        .arg("serve");
    let serve = serve
        .arg("--json")
        .option("--home", house.stage.trust_center())
        .option("--listen", "127.0.0.1:0");
    let process = house.stage.start(&serve).unwrap();
    let deadline = house.stage.deadline(std::time::Duration::from_secs(20));
    let line = process.next_line(&deadline).unwrap().unwrap();
    let answer: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = format!("http://{}", answer["listen"].as_str().unwrap());
    (process, address)
}

#[test]
fn supplier_with_lists_asks_no_gateway_whose_card_is_revoked() {
    let house = house();
    pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
    let finished = pull(&house, "--require-lists");
    assert_eq!(finished.code, Some(1));
    assert!(said(&finished).contains("supplier crl"), "{}", said(&finished));

    center(&house, "crl");
    let (first, address) = directory(&house);
    let taken = take_lists(&house, "--from", &address);
    let answer: serde_json::Value = serde_json::from_str(taken.answer().unwrap()).unwrap();
    assert_eq!(answer["lists"].as_array().unwrap().len(), 2);
    pull(&house, "--require-lists").success().unwrap();
    drop(first);
    let (_directory, address) = the_next_authority_has_its_list(&house);

    // An old list is kept for later.
    let old = house.stage.path("old.crl");
    std::fs::copy(house.stage.trust_center().join("issuing.crl"), &old).unwrap();
    center(
        &house,
        &format!("revoke --guid {} --reason key-compromise", house.card.guid),
    );
    center(&house, "crl");
    take_lists(&house, "--from", &address).success().unwrap();
    let finished = pull(&house, "--require-lists");
    assert_eq!(finished.code, Some(1));
    assert!(said(&finished).contains("was revoked at"), "{}", said(&finished));
    let finished = take_lists(&house, "--file", old.to_str().unwrap());
    assert_eq!(finished.code, Some(1));
    assert!(said(&finished).contains("here already"), "{}", said(&finished));
    foreign_lists_are_refused(&house);
}

/// A directory that is started then tells of a new issuing authority, and has its list.
fn the_next_authority_has_its_list(house: &House) -> (Process, String) {
    center(house, "renew --issuing");
    center(house, "crl");
    let (process, address) = directory(house);
    let taken = take_lists(house, "--from", &address);
    let answer: serde_json::Value = serde_json::from_str(taken.answer().unwrap()).unwrap();
    assert_eq!(answer["lists"].as_array().unwrap().len(), 3);
    pull(house, "--require-lists").success().unwrap();
    (process, address)
}

fn foreign_lists_are_refused(house: &House) {
    let foreign = house
        .stage
        .found_trust_center("foreign", "Foreign Centre")
        .unwrap();
    let sign = house.stage.command(Program::TrustCenter, "crl");
    house
        .stage
        .run(&sign.option("--home", &foreign))
        .unwrap()
        .success()
        .unwrap();
    let list = foreign.join("issuing.crl");
    let refused = |file: &Path| {
        let finished = take_lists(house, "--file", file.to_str().unwrap());
        assert_eq!(finished.code, Some(1));
        said(&finished)
    };
    let text = refused(&list);
    assert!(text.contains("that this trust centre has signed"), "{text}");
    let text = refused(&house.stage.trust_center().join("root.pem"));
    assert!(text.contains("holds no list"), "{text}");
    let finished = take_lists(house, "--from", "http://127.0.0.1:1");
    assert!(said(&finished).contains("is served there"), "{}", said(&finished));
}
