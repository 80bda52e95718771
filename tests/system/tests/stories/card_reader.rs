//! The gateway's card is in a real reader's service: a private `pcscd`, with the soft card on its virtual reader.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use system::{
    Command, Folder, House, HouseReader, Interrupt, Program, Programs, Stage, StageError, wait_until,
};

use crate::steps::{ARRIVAL, PERIOD, assert_wan_refuses, gateway_log, granted, let_pass, pull_until, told};

/// The longest time from the removal of the card, or its last answer, to the end of the service.
const STOP_LIMIT: Duration = Duration::from_secs(1);
/// What is added because of the machine: its two cores run six processes of the story, and those of another one.
const MACHINE_SLACK: Duration = Duration::from_millis(500);
/// How long a swap takes that pcscd, which looks every 400 ms, counts for certain. Between two of its looks it may miss
/// one; the gateway is then without its card, and is not given up for that.
const SWAP: Duration = Duration::from_secs(1);
/// For how long a card has to be gone until that is a removal, and what it takes to notice that.
const GONE_FOR_GOOD: Duration = Duration::from_secs(30);

/// Opens a house that serves its supplier with a card in a reader.
fn house() -> House {
    House::for_a_story_with_a_reader(PERIOD).unwrap_or_else(|error| panic!("{}", told(&error)))
}

fn reader(house: &House) -> &HouseReader {
    house.reader.as_ref().expect("the house has a reader")
}

fn wait_for_state(house: &mut House, state: &str) {
    let status = house.gateway.wait_for_state(&house.stage, state, ARRIVAL);
    house.status = status.unwrap_or_else(|error| panic!("{}", told(&error)));
}

#[test]
fn whole_system_works_with_the_card_in_a_reader_and_dies_with_its_removal() {
    let mut house = house();
    pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
    let mut open = open_connection(&house);

    reader(&house).card.order("remove").unwrap();
    assert_cut_off(&house, &mut open);
    assert_given_up(&mut house);

    // It is dead whenever it is started again, and so is its card as soon as it is seen.
    house.gateway.stop().unwrap();
    assert_eq!(life_cycle(&house), "operational");
    house.start_gateway_again("tampered").unwrap();
    reader(&house).card.order("insert").unwrap();
    let ended = wait_until(&house.stage.deadline(ARRIVAL), || {
        Ok::<_, StageError>((life_cycle(&house) == "terminated").then_some(()))
    });
    ended.unwrap().expect("the card that is seen again is terminated");
    assert_given_up(&mut house);
    assert_wan_refuses(&house);
}

#[test]
fn card_that_is_gone_when_the_service_returns_is_removed() {
    let mut house = house();
    let service = &mut house.reader.as_mut().expect("the house has a reader").service;
    service.kill_service().unwrap();
    wait_for_state(&mut house, "card-missing");
    reader(&house).card.order("remove").unwrap();
    let service = &mut house.reader.as_mut().expect("the house has a reader").service;
    service.start_service(&house.stage).unwrap();
    assert_given_up(&mut house);
}

/// Asserts that, whatever the gateway does in the second from now on, behind it nobody gets anything, and who was
/// connected is cut off.
fn assert_cut_off(house: &House, open: &mut system::Process) {
    let second = house.stage.deadline(STOP_LIMIT + MACHINE_SLACK);
    let cut_off = wait_until(&second, || Ok::<_, StageError>(open.check_running().err()));
    assert!(
        cut_off.unwrap().is_some(),
        "the open connection outlives the card\n{}",
        gateway_log(house)
    );
    let waited: Result<Option<()>, StageError> = wait_until(&second, || Ok(None));
    waited.unwrap();
    assert_wan_refuses(house);
}

/// Asserts that nothing says that the card was removed, and that the gateway serves again.
fn assert_spared(house: &mut House) {
    pull_when_it_is_back(house);
    assert_eq!(house.status.obstacle, None);
    let (stage, config) = (&house.stage, &house.config);
    let command = stage.command(Program::Smgw, "binding").arg("show").arg("--json");
    let shown = stage.run(&command.option("--config", config)).unwrap();
    let binding: Value = serde_json::from_str(shown.answer().unwrap()).unwrap();
    assert_eq!(binding["given_up"], Value::Null);
}

/// Asserts that the gateway has been given up because of the removal, and says so.
fn assert_given_up(house: &mut House) {
    wait_for_state(house, "tampered");
    let status = &house.status;
    assert_eq!(status.obstacle.as_deref(), Some("SMGW-C-0301"));
    assert!(
        status
            .detail
            .as_ref()
            .unwrap()
            .contains("taken out while the gateway ran"),
        "{status:?}"
    );
    assert!(
        status.remedy.contains("Replace gateway and card together"),
        "{status:?}"
    );
    let command = house
        .stage
        .command(Program::Smgw, "binding")
        .arg("show")
        .arg("--json");
    let shown = house
        .stage
        .run(&command.option("--config", &house.config))
        .unwrap();
    let binding: Value = serde_json::from_str(shown.answer().unwrap()).unwrap();
    assert_eq!(
        binding["given_up"]["reason"],
        "the bound card was taken out while the gateway ran"
    );
    assert_eq!(binding["binding"]["card"], house.card.guid.as_str());
    assert_eq!(binding["soft_card"], true);
}

fn life_cycle(house: &House) -> String {
    let state: Value = serde_json::from_slice(&std::fs::read(&house.card.file).unwrap()).unwrap();
    state["life_cycle"].as_str().unwrap().to_owned()
}

/// Opens a TLS connection as the supplier, and leaves it open.
fn open_connection(house: &House) -> system::Process {
    let home = house.supplier.home();
    let connect = Command::new("openssl s_client", Path::new("openssl"))
        .arg("s_client")
        .arg("-ign_eof")
        .arg("-verify_return_error")
        .option("-connect", house.status.wan.as_ref().unwrap())
        .option("-cert", home.join("tls.pem"))
        .option("-key", home.join("tls.key"))
        .option("-CAfile", home.join("root.pem"));
    let connection = house.stage.start(&connect).unwrap();
    let deadline = house.stage.deadline(ARRIVAL);
    while let Some(line) = connection.next_line(&deadline).unwrap() {
        assert!(!line.contains("New, (NONE)"), "no connection");
        if line.contains("Verify return code: 0") {
            return connection;
        }
    }
    panic!("no connection: {}", crate::steps::read(connection.log()));
}

#[test]
fn killed_service_is_missed_and_its_return_is_noticed() {
    let mut house = house();
    let service = &mut house.reader.as_mut().expect("the house has a reader").service;
    service.kill_service().unwrap();
    wait_for_state(&mut house, "card-missing");
    assert_wan_refuses(&house);
    let log = gateway_log(&house);
    assert!(log.contains("start pcscd"), "{log}");

    let service = &mut house.reader.as_mut().expect("the house has a reader").service;
    service.start_service(&house.stage).unwrap();
    wait_for_state(&mut house, "operational");
    pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
}

#[test]
fn card_that_hangs_stops_the_service_and_not_the_gateway() {
    let mut house = house();
    let mut open = open_connection(&house);
    reader(&house).card.order("hang").unwrap();
    assert_cut_off(&house, &mut open);
    wait_for_state(&mut house, "card-missing");
    reader(&house).card.order("resume").unwrap();
    wait_for_state(&mut house, "operational");

    // A brown-out, garbage and a contact that bounces cost an examination, not the binding.
    reader(&house).card.order("brown-out").unwrap();
    reader(&house).card.order("garble 2").unwrap();
    pull_when_it_is_back(&mut house);
    reader(&house).card.order("remove").unwrap();
    reader(&house).card.order("insert").unwrap();
    pull_when_it_is_back(&mut house);
}

#[test]
fn card_that_hangs_for_longer_than_a_removal_takes_is_spared() {
    let mut house = house();
    reader(&house).card.order("hang").unwrap();
    wait_for_state(&mut house, "card-missing");
    // The gateway resets the card over and over meanwhile, and none of these resets is a card that came or went.
    let long = house.stage.deadline(GONE_FOR_GOOD + Duration::from_secs(10));
    let given_up = wait_until(&long, || {
        let status = house.gateway.status(&house.stage)?;
        Ok::<_, StageError>(status.filter(|status| status.state != "card-missing"))
    });
    assert!(given_up.unwrap().is_none(), "{}", gateway_log(&house));
    reader(&house).card.order("resume").unwrap();
    assert_spared(&mut house);
}

#[test]
fn card_whose_program_is_killed_and_started_again_is_a_contact_that_bounced() {
    let mut house = house();
    let mut open = open_connection(&house);
    let reader = house.reader.as_mut().expect("the house has a reader");
    reader.card.kill().unwrap();
    reader.card = reader.service.insert(&house.stage, &house.card.file).unwrap();
    assert_spared(&mut house);
    assert!(
        open.check_running().is_err(),
        "the open connection outlives the card"
    );
}

#[test]
fn swap_that_is_shorter_than_a_removal_is_one_if_the_card_does_not_come_back() {
    let mut house = house();
    // The slot is empty for longer than pcscd leaves it out of sight, and never for as long as a removal takes: what
    // is there again is mute.
    let card = &reader(&house).card;
    card.order("remove").unwrap();
    card.order("hang").unwrap();
    let_pass(&house.stage, SWAP);
    card.order("insert").unwrap();
    wait_for_state(&mut house, "card-missing");
    let status = house
        .gateway
        .wait_for_state(&house.stage, "tampered", GONE_FOR_GOOD + ARRIVAL);
    house.status = status.unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_given_up(&mut house);
}

#[test]
fn other_card_in_the_slot_while_the_gateway_runs_is_a_removal() {
    let mut house = house();
    let other = house.stage.personalize("other").unwrap();
    let reader = house.reader.as_mut().expect("the house has a reader");
    reader.card.order("remove").unwrap();
    reader.card = reader.service.insert(&house.stage, &other.file).unwrap();
    assert_given_up(&mut house);
    let state: Value = serde_json::from_slice(&std::fs::read(&other.file).unwrap()).unwrap();
    assert_eq!(state["life_cycle"], "personalized", "the other card is untouched");
}

fn pull_when_it_is_back(house: &mut House) {
    wait_for_state(house, "operational");
    let deadline = house.stage.deadline(ARRIVAL);
    while !deadline.has_passed() {
        let pulled = house.supplier.try_pull(&house.stage, &granted(house)).unwrap();
        if pulled.code == Some(0) {
            return;
        }
    }
    panic!("nothing is served after the brown-out\n{}", gateway_log(house));
}

#[test]
fn card_is_shown_and_checked_with_and_without_the_daemon() {
    let mut house = house();
    let card = |house: &House, verb, code| card(&house.stage, &house.config, verb, code);
    let view = card(&house, "status", Some(0));
    assert_eq!(view["reader"], system::CardReader::NAME);
    assert_eq!(view["atr"], "3B8C01807380014056534D47573031E6");
    assert_eq!(view["life_cycle"], "operational");
    assert_eq!(view["guid"], house.card.guid.as_str());
    assert_eq!(view["binding"], "here");
    assert_eq!(view["soft_card"], true);
    let certificates = view["certificates"].as_array().unwrap();
    let keys: Vec<_> = certificates
        .iter()
        .map(|one| one["key"].as_str().unwrap())
        .collect();
    assert_eq!(keys, ["sig", "enc", "tls", "attestation"]);
    for certificate in certificates {
        assert!(
            certificate["expiry"]
                .as_str()
                .unwrap()
                .starts_with("valid for another")
        );
    }
    card(&house, "check", Some(0));

    house.gateway.stop().unwrap();
    let view = card(&house, "status", Some(0));
    assert_eq!(
        (&view["guid"], &view["was_compared"]),
        (&Value::from(house.card.guid.as_str()), &Value::from(false))
    );
    reader(&house).card.order("remove").unwrap();
    let view = card(&house, "check", Some(1));
    assert!(!view["obstacles"].as_array().unwrap().is_empty(), "{view}");
}

/// Runs `smgw card` and returns what it prints.
fn card(stage: &Stage, config: &Path, verb: &str, code: Option<i32>) -> Value {
    let command = stage.command(Program::Smgw, "card").arg(verb).arg("--json");
    let finished = stage.run(&command.option("--config", config)).unwrap();
    assert_eq!(
        finished.code,
        code,
        "{:?}\n{}",
        finished.lines,
        finished.log_text().unwrap()
    );
    serde_json::from_str(finished.lines.last().unwrap()).unwrap()
}

#[test]
fn opensc_reads_the_guid_of_the_card() {
    let mut house = house();
    house.gateway.stop().unwrap();
    let (variable, socket) = reader(&house).service.environment();
    let opensc = Command::new("opensc-tool", Path::new("opensc-tool"))
        .option("--reader", system::CardReader::NAME)
        .option("--send-apdu", "00A4040C06F0534D475701")
        .option("--send-apdu", "00A4020C020101")
        .option("--send-apdu", "00B0000000")
        .env(variable, socket);
    let finished = house.stage.run(&opensc).unwrap();
    finished
        .success()
        .unwrap_or_else(|error| panic!("{}", told(&error)));
    let printed = finished.lines.join("\n");
    assert_eq!(printed.matches("SW1=0x90, SW2=0x00").count(), 3, "{printed}");
    let guid: std::net::Ipv6Addr = house.card.guid.parse().unwrap();
    let digits: Vec<String> = guid.octets().iter().map(|octet| format!("{octet:02X}")).collect();
    assert!(printed.contains(&digits.join(" ")), "{printed}");
}

#[test]
fn trust_centre_personalises_the_card_in_a_reader() {
    let folder = Folder::temporary().unwrap();
    let mut stage = Stage::set(Programs::find().unwrap(), folder, Interrupt::default()).unwrap();
    let reader = stage.start_reader("pcscd").unwrap();
    let card = stage.path("card");
    let _inserted = reader.insert(&stage, &card).unwrap();
    let command = stage
        .command(Program::TrustCenter, "personalize")
        .arg("--json")
        .option("--home", stage.trust_center())
        .option("--card", format!("pcsc:{}", system::CardReader::NAME));
    let config = format!(
        "data = \"data\"\n[control]\nsocket = \"nobody\"\n[card]\nreader = \"{}\"\n",
        system::CardReader::NAME
    );
    let config = stage.write("smgw.toml", &config).unwrap();
    // The reader takes a moment to see that a card is there.
    let blank = wait_until(&stage.deadline(ARRIVAL), || {
        let view = self::card(&stage, &config, "check", Some(1));
        Ok::<_, StageError>(Some(view).filter(|view| view["life_cycle"] == "blank"))
    });
    let blank = blank.unwrap().expect("the blank card is seen");
    assert!(
        blank["obstacles"][0].as_str().unwrap().contains("blank"),
        "{blank}"
    );
    let finished = wait_until(&stage.deadline(ARRIVAL), || {
        let finished = stage.run(&command)?;
        Ok::<_, StageError>(Some(finished).filter(|finished| finished.code == Some(0)))
    });
    let finished = finished.unwrap().expect("the card is personalised");
    let personalized: Value = serde_json::from_str(finished.answer().unwrap()).unwrap();
    let state: Value = serde_json::from_slice(&std::fs::read(&card).unwrap()).unwrap();
    assert_eq!(state["life_cycle"], "personalized");
    assert!(personalized["guid"].is_string(), "{personalized}");

    let view = self::card(&stage, &config, "check", Some(0));
    assert_eq!(
        (&view["life_cycle"], &view["guid"]),
        (&Value::from("personalized"), &personalized["guid"])
    );

    let again = stage.run(&command).unwrap();
    assert_eq!(again.code, Some(1));
    assert!(
        again.log_text().unwrap().contains("blank one"),
        "{}",
        again.log_text().unwrap()
    );
}
