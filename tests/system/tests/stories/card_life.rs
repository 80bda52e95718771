//! What the trust centre does to a bound card, what the technician does, and a store that is put back.

use std::path::Path;

use serde_json::Value;
use system::{CardPlace, Finished, Folder, GatewayConfig, House, Interrupt, Program, Programs, Stage};

use crate::steps::{ARRIVAL, PERIOD, assert_wan_refuses, granted, house, pull_until};

/// Runs an act of the trust centre on the card of a house.
fn act(house: &House, verb: &str, way: &str, place: &str) -> Finished {
    let command = house.stage.command(Program::TrustCenter, verb).arg("--json");
    let command = command
        .option("--home", house.stage.trust_center())
        .option("--guid", &house.card.guid)
        .option(way, place);
    house.stage.run(&command).unwrap()
}

/// The command line that leads to the card in the gateway's reader.
fn relay(house: &House) -> String {
    let smgw = house.stage.program(Program::Smgw);
    format!(
        "'{}' card relay --config '{}'",
        smgw.display(),
        house.config.display()
    )
}

fn answer(finished: &Finished) -> Value {
    assert_eq!(finished.code, Some(0), "{}", finished.log_text().unwrap());
    serde_json::from_str(finished.answer().unwrap()).unwrap()
}

/// Changes the stored state of the card as nothing but its own memory could.
fn alter(card: &Path, change: impl FnOnce(&mut Value)) {
    let mut state = serde_json::from_slice(&std::fs::read(card).unwrap()).unwrap();
    change(&mut state);
    std::fs::write(card, serde_json::to_vec(&state).unwrap()).unwrap();
}

fn books(house: &House) -> String {
    let command = house.stage.command(Program::TrustCenter, "records").arg("show");
    let command = command.option("--home", house.stage.trust_center());
    let shown = house.stage.run(&command.arg("--json")).unwrap();
    assert_eq!(shown.code, Some(0), "{}", shown.log_text().unwrap());
    shown.lines.join("\n")
}

#[test]
fn card_that_was_locked_by_wrong_secrets_is_unlocked_through_the_gateway() {
    let mut house = house();
    house.gateway.stop().unwrap();
    alter(&house.card.file, |card| card["pairing"]["tries"] = 0.into());
    house.start_gateway_again("card-foreign").unwrap();
    assert_eq!(house.status.obstacle.as_deref(), Some("SMGW-C-0216"));
    assert!(
        house.status.remedy.contains("trust-center unlock"),
        "{}",
        house.status.remedy
    );
    assert_wan_refuses(&house);
    // No message reaches a gateway without its card.
    let wan = house.status.wan.clone().unwrap();
    assert_eq!(act(&house, "unlock", "--gateway", &wan).code, Some(1));

    let unlocked = answer(&act(&house, "unlock", "--relay", &relay(&house)));
    assert_eq!(unlocked["schema"], "trust-center.unlock/1");
    let stage = &house.stage;
    house.status = house
        .gateway
        .wait_for_state(stage, "operational", ARRIVAL)
        .unwrap();
    pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
    let books = books(&house);
    assert_eq!(books.matches("\"act\":\"unlock-begun\"").count(), 2);
    assert_eq!(books.matches("\"act\":\"unlocked\"").count(), 1);
}

#[test]
fn card_is_terminated_through_its_gateway_and_nothing_brings_it_back() {
    let mut house = house();
    let wan = house.status.wan.clone().unwrap();
    let terminated = answer(&act(&house, "terminate", "--gateway", &wan));
    assert_eq!(terminated["witness"], "gateway");
    let stage = &house.stage;
    house.status = house
        .gateway
        .wait_for_state(stage, "card-foreign", ARRIVAL)
        .unwrap();
    assert_eq!(house.status.obstacle.as_deref(), Some("SMGW-C-0202"));
    assert_wan_refuses(&house);
    house.gateway.stop().unwrap();
    house.start_gateway_again("card-foreign").unwrap();
    assert_eq!(house.status.obstacle.as_deref(), Some("SMGW-C-0202"));
    assert!(
        house.status.remedy.contains("replace both together"),
        "{}",
        house.status.remedy
    );
    assert_wan_refuses(&house);
    let again = house
        .stage
        .install(&house.card.guid, &wan, &house.supplier, &[], None);
    assert!(again.unwrap_err().to_string().contains("was terminated"));
}

#[test]
fn card_is_terminated_through_a_relay_without_a_daemon() {
    let mut house = house();
    house.gateway.stop().unwrap();
    // A card that nobody is to trust any more can still be ended, and nothing else be done to it.
    let revoke = house.stage.command(Program::TrustCenter, "revoke").arg("--json");
    let revoke = revoke
        .option("--home", house.stage.trust_center())
        .option("--guid", &house.card.guid)
        .option("--reason", "key-compromise");
    answer(&house.stage.run(&revoke).unwrap());
    assert_eq!(act(&house, "unlock", "--relay", &relay(&house)).code, Some(1));
    let terminated = answer(&act(&house, "terminate", "--relay", &relay(&house)));
    assert_eq!(terminated["witness"], "card");
    house.start_gateway_again("card-foreign").unwrap();
    assert_eq!(house.status.obstacle.as_deref(), Some("SMGW-C-0202"));
    assert!(books(&house).contains("\"witness\":\"card\""));
}

#[test]
fn card_of_another_gateway_is_refused_before_it_is_told_to_bind() {
    let mut house = house();
    house.gateway.stop().unwrap();
    let first = house.config.clone();
    let text = crate::steps::read(&first);
    let (data, socket) = (house.stage.path("data"), house.stage.path("smgw.sock"));
    let text = text
        .replace(
            &data.display().to_string(),
            &house.stage.path("data-2").display().to_string(),
        )
        .replace(
            &socket.display().to_string(),
            &house.stage.path("smgw-2.sock").display().to_string(),
        );
    house.config = house.stage.write("smgw-2.toml", &text).unwrap();
    house.gateway = house.stage.start_gateway(&house.config).unwrap();
    let refused = house
        .gateway
        .wait_for(&house.stage, "a refusal", ARRIVAL, |status| {
            status.obstacle.as_deref() == Some("SMGW-C-0205")
        });
    house.status = refused.unwrap();
    assert_eq!(house.status.state, "unbound");
    assert_wan_refuses(&house);
    // No order makes it go on either: the BIND of another gateway would end the life of the card.
    let last = &house.card.guid[house.card.guid.len() - 4..];
    let command = house
        .stage
        .command(Program::Smgw, "binding")
        .arg("confirm")
        .arg(last);
    let confirmed = house
        .stage
        .run(&command.option("--config", &house.config))
        .unwrap();
    assert_eq!(confirmed.code, Some(1));
    assert!(
        confirmed.lines.join("\n").contains("SMGW-C-0205"),
        "{:?}",
        confirmed.lines
    );
    house.gateway.stop().unwrap();
    house.config = first;
    house.start_gateway_again("operational").unwrap();
    pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
}

#[test]
fn card_with_few_tries_left_waits_for_the_technician() {
    let mut house = house();
    house.gateway.stop().unwrap();
    alter(&house.card.file, |card| card["pairing"]["tries"] = 3.into());
    house.start_gateway_again("card-foreign").unwrap();
    assert_eq!(house.status.obstacle.as_deref(), Some("SMGW-C-0219"));
    assert!(
        house.status.remedy.contains("smgw binding confirm"),
        "{}",
        house.status.remedy
    );
    assert_wan_refuses(&house);
    let last = &house.card.guid[house.card.guid.len() - 4..];
    let command = house
        .stage
        .command(Program::Smgw, "binding")
        .arg("confirm")
        .arg(last);
    let confirmed = house
        .stage
        .run(&command.option("--config", &house.config))
        .unwrap();
    assert_eq!(confirmed.code, Some(0), "{:?}", confirmed.lines);
    let stage = &house.stage;
    house.status = house
        .gateway
        .wait_for_state(stage, "operational", ARRIVAL)
        .unwrap();
    pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
}

#[test]
fn data_folder_that_is_put_back_from_a_copy_is_tampered() {
    let mut house = house();
    let (data, copy) = (house.stage.path("data"), house.stage.path("copy"));
    let copy_all = |from: &Path, to: &Path| {
        let status = std::process::Command::new("cp")
            .arg("-a")
            .args([from, to])
            .status();
        assert!(status.unwrap().success());
    };
    house.gateway.stop().unwrap();
    house.start_gateway_again("operational").unwrap();
    // The copy is of this very session with the card: its counter of sessions tells nothing.
    copy_all(&data, &copy);
    house.gateway.stop().unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    copy_all(&copy, &data);
    house.start_gateway_again("tampered").unwrap();
    assert_eq!(house.status.obstacle.as_deref(), Some("SMGW-C-0305"));
    assert!(
        house.status.detail.as_ref().unwrap().contains("older copy"),
        "{:?}",
        house.status
    );
    assert!(
        house.status.remedy.contains("Never restore"),
        "{:?}",
        house.status
    );
    assert_wan_refuses(&house);
}

#[test]
fn card_is_bound_after_the_technician_has_confirmed_its_guid() {
    let stage = Stage::set(
        Programs::find().unwrap(),
        Folder::temporary().unwrap(),
        Interrupt::default(),
    );
    let stage = stage.unwrap();
    let card = stage.personalize("card").unwrap();
    let meters = stage.start_meters().unwrap();
    let config = GatewayConfig::on(&stage, CardPlace::File(card.file.clone()), &meters, PERIOD);
    let text = config
        .to_toml()
        .replace("[card]\n", "[card]\nbinding = \"confirmed\"\n");
    let config = stage.write("smgw.toml", &text).unwrap();
    let mut gateway = stage.start_gateway(&config).unwrap();
    let waiting = gateway.wait_for(&stage, "the card", ARRIVAL, |status| status.obstacle.is_some());
    let waiting = waiting.unwrap();
    assert_eq!(
        (waiting.state.as_str(), waiting.obstacle.as_deref()),
        ("unbound", Some("SMGW-C-0218"))
    );
    assert!(
        waiting.remedy.contains("smgw binding confirm"),
        "{}",
        waiting.remedy
    );
    let confirm = |characters: &str| {
        let command = stage
            .command(Program::Smgw, "binding")
            .arg("confirm")
            .arg(characters)
            .arg("--json");
        stage.run(&command.option("--config", &config)).unwrap()
    };
    let refused = confirm("zzzz");
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.lines.join("\n").contains("SMGW-C-0223"),
        "{:?}",
        refused.lines
    );
    let life_cycle = || -> Value {
        let state: Value = serde_json::from_slice(&std::fs::read(&card.file).unwrap()).unwrap();
        state["life_cycle"].clone()
    };
    assert_eq!(life_cycle(), "personalized");
    let last = &card.guid[card.guid.len() - 4..];
    let bound = confirm(last);
    assert_eq!(
        bound.code,
        Some(0),
        "{:?}\n{}",
        bound.lines,
        bound.log_text().unwrap()
    );
    let bound: Value = serde_json::from_str(bound.answer().unwrap()).unwrap();
    assert_eq!(bound["bound_to"], card.guid.as_str());
    assert_eq!(life_cycle(), "bound");
    gateway.wait_for_state(&stage, "bound", ARRIVAL).unwrap();
    assert_eq!(confirm(last).code, Some(1), "a binding is confirmed once");
}

#[test]
fn every_card_that_is_not_the_bound_one_is_refused_with_a_code_of_its_own() {
    let mut house = house();
    let own = house.stage.path("own-card");
    house.gateway.stop().unwrap();
    std::fs::rename(&house.card.file, &own).unwrap();
    let stored = crate::steps::read(&own);
    let other = house.stage.personalize("other").unwrap();
    let other = crate::steps::read(&other.file);
    let altered = |text: &str, change: &dyn Fn(&mut Value)| {
        let mut card: Value = serde_json::from_str(text).unwrap();
        change(&mut card);
        card.to_string()
    };
    let set_back = altered(&stored, &|card| {
        card["life_cycle"] = "personalized".into();
        card["binding"] = Value::Null;
    });
    let elsewhere = altered(&stored, &|card| {
        let gateway = card["binding"]["gateway"].as_str().unwrap();
        let changed: String = gateway.chars().rev().collect();
        card["binding"]["gateway"] = changed.into();
    });
    // The GUID and the certificates of the bound card, but none of its keys.
    let keys: Value = serde_json::from_str::<Value>(&other).unwrap()["keys"].clone();
    let clone = altered(&stored, &|card| card["keys"] = keys.clone());
    let wrong_secret = altered(&stored, &|card| {
        card["binding"]["pairing_secret"] = Value::from(vec![0_u8; 16]);
    });
    let terminated = altered(&stored, &|card| card["life_cycle"] = "terminated".into());
    let blank = r#"{"format":"smgw-soft-card/1","revision":0,"life_cycle":"blank","keys":{},"files":{},"binding":null}"#;
    for (what, card, code) in [
        ("another card", other.as_str(), "SMGW-C-0206"),
        ("a card that was set back", &set_back, "SMGW-C-0208"),
        ("a card bound elsewhere", &elsewhere, "SMGW-C-0205"),
        ("a card with other keys", &clone, "SMGW-C-0207"),
        ("a card with another secret", &wrong_secret, "SMGW-C-0215"),
        ("a terminated card", &terminated, "SMGW-C-0202"),
        ("a blank card", blank, "SMGW-C-0201"),
    ] {
        std::fs::write(&house.card.file, card).unwrap();
        house.gateway = house.stage.start_gateway(&house.config).unwrap();
        let refused = house.gateway.wait_for(&house.stage, what, ARRIVAL, |status| {
            status.obstacle.as_deref() == Some(code)
        });
        house.status = refused.unwrap();
        assert_eq!(house.status.state, "card-foreign", "{what}");
        assert!(!house.status.remedy.is_empty(), "{what}");
        assert_wan_refuses(&house);
        house.gateway.stop().unwrap();
    }
}
