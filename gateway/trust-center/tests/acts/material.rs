//! Cards that the second facility makes of material with keys: whichever way it has come, each key is on one card at most, and
//! nowhere else afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::facility::{
    Server, answer_in, compare, error_in, files, guids_in, holds, open, pending, sorted, stage,
};
use crate::stage::{Stage, read};

/// The four private keys of each GUID of a file of material, as digits.
fn secrets_of(stage: &Stage, sealed: &str) -> BTreeMap<String, Vec<String>> {
    let material = open(stage, &stage.path(sealed));
    let cards = material["cards"].as_array().unwrap();
    let of_card = |card: &Value| {
        let key = |name: &&str| card["keys"][*name].as_str().unwrap().to_owned();
        let keys = ["sig", "enc", "tls", "attestation"].iter().map(key).collect();
        (card["guid"].as_str().unwrap().to_owned(), keys)
    };
    cards.iter().map(of_card).collect()
}

fn hidden(folder: &Path, digits: &str) -> bool {
    let bytes = hex::decode(digits).unwrap();
    !holds(folder, digits.as_bytes()) && !holds(folder, &bytes)
}

/// A soft card's state.
fn state(card: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(card).unwrap()).unwrap()
}

/// Delivers material for some cards in a file; returns the file's name.
fn deliver_in_a_file(stage: &Stage, cards: usize) -> &'static str {
    stage.answer(&format!(
        "facility export --facility Factory --cards {cards} --out material.cms"
    ));
    let import = "facility import --file material.cms --out confirmation.cms";
    answer_in(stage, "factory", import);
    stage.answer("facility answer --file confirmation.cms --out answer.cms");
    answer_in(stage, "factory", "facility import --file answer.cms");
    "material.cms"
}

/// Has OpenSSL verify the certificates that a card carries, and returns their number.
fn verify_certificates(stage: &Stage, card: &Path) -> usize {
    let state = state(card);
    let mut verified = 0;
    for (file, content) in state["files"].as_object().unwrap() {
        // EF.CERT.SIG, ENC, TLS and ATT.
        if !(0x0201..=0x0204).contains(&file.parse::<u16>().unwrap()) {
            continue;
        }
        std::fs::write(
            stage.path("certificate.der"),
            hex::decode(content.as_str().unwrap()).unwrap(),
        )
        .unwrap();
        stage.openssl(&[
            "verify",
            "-x509_strict",
            "-CAfile",
            "center/root.pem",
            "-untrusted",
            "center/chain.pem",
            "certificate.der",
        ]);
        verified += 1;
    }
    verified
}

#[test]
fn material_of_both_ways_becomes_cards_and_its_keys_are_on_them_alone() {
    let stage = stage();
    let secrets = secrets_of(&stage, deliver_in_a_file(&stage, 3));
    let server = Server::start(&stage);
    let order = format!("facility order --center {} --cards 2", server.address);
    let ordered = answer_in(&stage, "factory", &order);
    drop(server);

    // Nobody is there to ask, and nobody needs to be.
    let line = "facility personalize --from-material --card soft:cards --batch 5 --labels labels";
    let made = answer_in(&stage, "factory", line);
    let guids: BTreeSet<String> = serde_json::from_value(made["guids"].clone()).unwrap();
    let expected: BTreeSet<String> = secrets.keys().cloned().collect();
    let by_wire: Vec<String> = serde_json::from_value(ordered["guids"].clone()).unwrap();
    assert_eq!(guids, expected.into_iter().chain(by_wire).collect());
    assert_eq!(read(&stage.path("labels/labels.csv")).lines().count(), 6);

    let mut found = 0;
    for number in 1..=5 {
        let card = stage.path(&format!("cards/card-{number:05}"));
        assert_eq!(state(&card)["life_cycle"], "personalized");
        assert_eq!(verify_certificates(&stage, &card), 4);
        let on_card: BTreeSet<_> = state(&card)["keys"]
            .as_object()
            .unwrap()
            .values()
            .map(|key| key.as_str().unwrap().to_owned())
            .collect();
        found += secrets
            .values()
            .filter(|keys| on_card == keys.iter().cloned().collect())
            .count();
    }
    assert_eq!(found, 3, "the cards have the keys that were in the file");
    for secret in secrets.values().flatten() {
        assert!(hidden(&stage.home(), secret) && hidden(&stage.path("factory"), secret));
    }
    assert_eq!(files(&stage.path("factory/material")).len(), 1, "only the lock");

    // What became of the cards goes to the trust centre in a file.
    assert_eq!(stage.guids("personalized"), Vec::<String>::new());
    answer_in(&stage, "factory", "facility report --out report.cms");
    stage.answer("facility answer --file report.cms --out answer.cms");
    answer_in(&stage, "factory", "facility import --file answer.cms");
    assert_eq!(stage.guids("personalized").len(), 5);
    compare(&stage);

    // The same command finds all done; another card finds nothing left, and is not touched.
    let again = answer_in(&stage, "factory", line);
    assert_eq!(made["guids"], again["guids"]);
    let said = error_in(
        &stage,
        "factory",
        "facility personalize --from-material --card soft:sixth",
    );
    assert!(said.contains("facility order"), "{said}");
    assert!(!stage.path("sixth").exists());
}

#[test]
fn cards_of_material_are_reported_over_a_connection_if_there_is_one() {
    let stage = stage();
    deliver_in_a_file(&stage, 1);
    let server = Server::start(&stage);
    let line = format!(
        "facility personalize --from-material --center {} --card soft:card",
        server.address
    );
    let made = answer_in(&stage, "factory", &line);
    assert_eq!(stage.guids("personalized"), [made["guid"].as_str().unwrap()]);
    compare(&stage);
    // A card that is somebody already takes nothing from the stock.
    deliver_in_a_file(&stage, 1);
    let said = error_in(&stage, "factory", &line);
    assert!(said.contains("take a blank one"), "{said}");
    assert_eq!(files(&stage.path("factory/material")).len(), 2);
    let said = error_in(&stage, "factory", "facility personalize --card soft:other");
    assert!(said.contains("--center"), "{said}");
}

#[test]
fn damaged_material_is_left_aside() {
    let stage = stage();
    let mut guids: Vec<_> = secrets_of(&stage, deliver_in_a_file(&stage, 2))
        .into_keys()
        .collect();
    guids.sort();
    let damaged = stage.path(&format!("factory/material/{}.cms", guids[0].replace(':', "-")));
    std::fs::write(&damaged, "no message").unwrap();
    let line = "facility personalize --from-material --card soft:card";
    assert_eq!(answer_in(&stage, "factory", line)["guid"], *guids[1]);
    let said = error_in(&stage, "factory", &line.replace("soft:card", "soft:other"));
    assert!(said.contains("cannot be used"), "{said}");
    assert!(damaged.exists());
    // It is thrown away on demand alone, and once.
    let discard = format!("facility discard --guid {}", guids[0]);
    answer_in(&stage, "factory", &discard);
    assert!(!damaged.exists());
    let said = error_in(&stage, "factory", &discard);
    assert!(said.contains("no material"), "{said}");
    let said = error_in(
        &stage,
        "factory",
        &format!("facility discard --guid {}", guids[1]),
    );
    assert!(said.contains("no material"), "{said}");
    assert_eq!(guids_in(&stage, "factory", "left-blank"), [guids[0].clone()]);
}

/// The calls before which a program is killed: with the one its files come to the disk, with the other its books. strace
/// counts them for each thread, and each of these is made by one thread.
pub(crate) const CALLS: [&str; 2] = ["fsync", "fdatasync"];

/// Runs an act in the folder `home`, and kills it before it makes this call for the nth time; returns whether it was killed.
pub(crate) fn kill_before_call(stage: &Stage, home: &str, line: &str, call: &str, number: u32) -> bool {
    let act = stage.command_in(home, line);
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:signal=SIGKILL:when={number}")])
        .arg(act.get_program())
        .args(act.get_args())
        .current_dir(stage.folder.path())
        .envs(act.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .output()
        .expect("this test needs strace (package strace)");
    // strace ends as its child does.
    output.status.signal() == Some(9)
}

/// The cards on which a key is, whatever became of them.
fn cards_with(stage: &Stage, secret: &str) -> Vec<PathBuf> {
    let mut found = files(&stage.path("cards"));
    // What a killed write has left beside the file of a card is no card.
    let is_card = |card: &Path| !card.file_name().unwrap().to_string_lossy().starts_with(".new-");
    found.retain(|card| is_card(card) && read(card).contains(secret));
    found
}

/// The command that makes the card of this number.
fn making(number: usize) -> String {
    format!("facility personalize --from-material --card soft:cards/{number}")
}

/// Has the facility make cards, each at a place of its own, and kills it before each call once; returns how many places there are.
fn begin_cards_and_be_killed(stage: &Stage) -> usize {
    let mut places = 0;
    for call in CALLS {
        for number in 1.. {
            places += 1;
            if !kill_before_call(stage, "factory", &making(places), call, number) {
                break;
            }
            // What was begun is begun with nothing else.
            let begun = guids_in(stage, "factory", "card-begun");
            assert_eq!(begun.iter().collect::<BTreeSet<_>>().len(), begun.len());
        }
    }
    // A card has some ten commands that change it, each with two calls, and the books have some more.
    assert!((25..90).contains(&places), "{places}");
    places
}

#[test]
fn material_is_on_one_card_at_most_wherever_the_facility_is_killed() {
    const MATERIAL: usize = 200;
    let stage = stage();
    let secrets = secrets_of(&stage, deliver_in_a_file(&stage, MATERIAL));
    std::fs::create_dir(stage.path("cards")).unwrap();
    let places = begin_cards_and_be_killed(&stage);
    let on_cards: Vec<_> = secrets
        .values()
        .map(|keys| keys.iter().map(|key| cards_with(&stage, key)).collect::<Vec<_>>())
        .collect();
    assert!(
        on_cards.iter().flatten().all(|cards| cards.len() <= 1),
        "{on_cards:?}"
    );
    assert!(on_cards.iter().flatten().any(|cards| cards.len() == 1));

    // The next look at each place settles what was begun there, and makes the card, unless it is complete.
    for number in 1..=places {
        let output = stage.command_in("factory", &making(number)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() || said.contains("take a blank one"),
            "{said}"
        );
    }
    answer_in(&stage, "factory", "facility report --out report.cms");
    stage.answer("facility answer --file report.cms --out answer.cms");
    answer_in(&stage, "factory", "facility import --file answer.cms");
    compare(&stage);
    assert_eq!(pending(&stage), Vec::<PathBuf>::new());

    let made = stage.guids("personalized");
    let blank = stage.guids("left-blank");
    assert_eq!(stage.guids("scrapped"), Vec::<String>::new());
    assert_eq!(made.len(), places);
    assert!(!blank.is_empty());
    assert_eq!(
        sorted(guids_in(&stage, "factory", "card-begun")),
        sorted([made.clone(), blank.clone()].concat())
    );
    for (guid, keys) in &secrets {
        let cards: Vec<_> = keys.iter().map(|key| cards_with(&stage, key)).collect();
        if made.contains(guid) {
            let one = cards[0].first().unwrap_or_else(|| panic!("{guid} is on no card"));
            assert!(
                cards
                    .iter()
                    .all(|cards| cards.as_slice() == std::slice::from_ref(one))
            );
            assert_eq!(state(one)["life_cycle"], "personalized");
        } else {
            assert!(cards.iter().all(Vec::is_empty), "{guid}: {cards:?}");
        }
        let sealed = stage.path(&format!("factory/material/{}.cms", guid.replace(':', "-")));
        assert_eq!(
            sealed.exists(),
            !made.contains(guid) && !blank.contains(guid),
            "{guid}"
        );
        for key in keys {
            assert!(hidden(&stage.home(), key) && hidden(&stage.path("factory"), key));
        }
    }
    // Nothing else is in the stock.
    let left = files(&stage.path("factory/material"));
    assert_eq!(left.len(), MATERIAL - made.len() - blank.len() + 1, "{left:?}");
}
