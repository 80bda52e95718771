//! The same system over a broker: the gateway has no door to the WAN, it dials out to Mosquitto.

use std::time::Duration;

use system::{
    Broker, BrokerUser, COUNTER, Command, Finished, GrantText, House, Program, Query, StageError, Tsm,
    grants_of_the_house, wait_until,
};

use crate::steps::{
    ALL_OF_IT, ARRIVAL, PERIOD, RESENDING, assert_wan_refuses, gateway_log, granted, house, pull_until, read,
    sql, told, wait_for_empty_outbox, waiting,
};

/// How long a connection to the broker may take, and a return to it.
const CONNECTING: Duration = Duration::from_secs(40);
/// How long a delivery may take after the broker was away: the TSM has paused, and so has the gateway.
const RETURN: Duration = Duration::from_secs(90);

#[test]
fn a_gateway_behind_a_broker_is_installed_pulled_from_and_has_its_receipts() {
    let (house, mut broker) = behind_a_broker("5");
    let query = over(&granted(&house), &broker, "");
    let pull = pull_until(&house, &query, |pull| !pull.series.is_empty());
    assert_eq!(pull.guid, house.card.guid);

    // The TSM comes the same way, with first contact and a new bundle.
    let grants = grants_of_the_house(PERIOD);
    let installed = house
        .stage
        .install(&house.card.guid, &query.wan, &house.supplier, &grants, None);
    installed.unwrap_or_else(|error| panic!("{}\n{}", told(&error), gateway_log(&house)));
    pull_until(&house, &query, |pull| !pull.series.is_empty());
    wait_for_empty_outbox(&house.stage, house.gateway.log());

    // A broker that crashes forgets everything; the gateway comes back, and so does the service.
    broker.kill().unwrap();
    let refused = house.supplier.try_pull(&house.stage, &query).unwrap();
    assert_eq!(refused.code, Some(1));
    assert!(
        text_of(&refused).contains("cannot be reached"),
        "{}",
        text_of(&refused)
    );
    broker.start_again(&house.stage).unwrap();
    let pulled = wait_until(&house.stage.deadline(CONNECTING), || {
        let finished = house.supplier.try_pull(&house.stage, &query)?;
        Ok::<_, StageError>((finished.code == Some(0)).then_some(()))
    });
    assert_eq!(pulled.unwrap(), Some(()), "{}", gateway_log(&house));
    wait_for_empty_outbox(&house.stage, house.gateway.log());
}

#[test]
fn a_fleet_behind_a_broker_is_pulled_over_one_connection() {
    let (mut house, mut broker) = behind_a_broker("5");
    let query = over(&granted(&house), &broker, "");
    pull_until(&house, &query, |pull| !pull.series.is_empty());
    let pulled = wait_until(&house.stage.deadline(ARRIVAL), || {
        let finished = pull_fleet(&house, &query.wan);
        let new = finished.lines.iter().any(|line| !line.contains("\"new\":0,"));
        Ok::<_, StageError>((finished.code == Some(0) && new).then_some(()))
    });
    assert_eq!(pulled.unwrap(), Some(()), "{}", gateway_log(&house));
    // The store was first, and then the receipt.
    wait_for_empty_outbox(&house.stage, house.gateway.log());

    // Who is away is known at once, and who asks while the broker is gone hears that.
    house.gateway.kill().unwrap();
    let away = wait_until(&house.stage.deadline(CONNECTING), || {
        let text = text_of(&pull_fleet(&house, &query.wan));
        Ok::<_, StageError>(text.contains("is not connected to the broker").then_some(()))
    });
    assert_eq!(away.unwrap(), Some(()));
    broker.kill().unwrap();
    let finished = pull_fleet(&house, &query.wan);
    assert_eq!(finished.code, Some(3));
    assert!(
        text_of(&finished).contains("cannot be reached"),
        "{}",
        text_of(&finished)
    );
}

#[test]
fn what_the_store_does_not_take_has_no_receipt_and_comes_again() {
    let (house, broker) = behind_a_broker("5");
    let query = over(&granted(&house), &broker, "");
    pull_until(&house, &query, |pull| !pull.series.is_empty());
    wait_for_empty_outbox(&house.stage, house.gateway.log());
    let store = house.supplier.home().join("store.db");
    sql(
        &store,
        "CREATE TRIGGER full BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'no room'); END",
    );
    for finished in [
        house.supplier.try_pull(&house.stage, &query).unwrap(),
        pull_fleet(&house, &query.wan),
    ] {
        assert_ne!(finished.code, Some(0));
        assert!(text_of(&finished).contains("no room"), "{}", text_of(&finished));
    }
    let waits = wait_until(&house.stage.deadline(ARRIVAL), || {
        Ok::<_, StageError>(waiting(&house.stage).filter(|count| count == "2"))
    });
    assert!(
        waits.unwrap().is_some(),
        "{:?} answers wait\n{}",
        waiting(&house.stage),
        gateway_log(&house)
    );
    sql(&store, "DROP TRIGGER full");
    // The gateway sends them again after a minute, to whoever listens then.
    let _listening = house.supplier.follow(&house.stage, &query).unwrap();
    let taken = wait_until(&house.stage.deadline(RESENDING), || {
        Ok::<_, StageError>(waiting(&house.stage).filter(|count| count == "0"))
    });
    assert!(
        taken.unwrap().is_some(),
        "{:?} answers wait\n{}",
        waiting(&house.stage),
        gateway_log(&house)
    );
}

#[test]
fn a_broker_that_knows_mqtt_3_1_1_only_serves_as_well() {
    let (house, broker) = behind_a_broker("3.1.1");
    let query = over(&granted(&house), &broker, "?mqtt=3.1.1");
    pull_until(&house, &query, |pull| !pull.series.is_empty());
    wait_for_empty_outbox(&house.stage, house.gateway.log());
}

#[test]
fn who_is_not_granted_anything_learns_nothing_over_a_broker_either() {
    let house = house();
    let stranger = house
        .stage
        .found_supplier("stranger", "Stranger", &house.stage.trust_center())
        .unwrap();
    let users = [
        BrokerUser::supplier(&stranger),
        BrokerUser::supplier(&house.supplier),
    ];
    let broker = Broker::start(&house.stage, "broker", &users).unwrap();
    let house = connected(house, &broker, "5");
    let query = over(&granted(&house), &broker, "");
    // It knows the gateway's certificates from another supplier.
    let known = house.supplier.home().join("gateways");
    copy_folder(&known, &stranger.home().join("gateways"));
    // The card agrees no key with it, so that it gets no answer at all.
    let asking = stranger.follow(&house.stage, &query).unwrap();
    let refused = wait_until(&house.stage.deadline(ARRIVAL), || {
        let log = read(house.gateway.log());
        Ok::<_, StageError>(log.contains("no-grant").then_some(()))
    });
    assert_eq!(refused.unwrap(), Some(()), "{}", gateway_log(&house));
    assert_eq!(asking.line_soon(), None);
    drop(asking);
    pull_until(&house, &query, |pull| !pull.series.is_empty());
}

#[test]
fn tsm_delivers_what_was_approved_over_a_broker_with_the_rules_that_it_prints() {
    let house = house();
    let acl = center(&house, &["broker-acl"]);
    let printed = house.stage.run(&acl).unwrap();
    let rules = printed.lines.join("\n");
    assert!(
        rules.contains("user Supplier") && rules.contains("pattern read"),
        "{rules}"
    );
    let mut broker = Broker::start_with(&house.stage, "broker", &rules).unwrap();
    let house = connected(house, &broker, "5");
    let query = over(&granted(&house), &broker, "");
    let mut tsm = house.stage.start_tsm().unwrap();
    house
        .stage
        .register_gateway(&house.card.guid, &query.wan)
        .unwrap();
    let approve = |id: &str| {
        let approve = center(&house, &["tsm", "requests", "approve", id]);
        house.stage.run(&approve).unwrap().success().unwrap();
    };
    let first = ask(&house, &tsm, "billing over a broker");
    approve(&first);
    let installed = tsm.wait_for(&house.stage, &house.supplier, &first, "installed", CONNECTING);
    installed
        .unwrap_or_else(|error| panic!("{}\n{}\n{}", told(&error), read(tsm.log()), gateway_log(&house)));
    pull_until(&house, &query, |pull| !pull.series.is_empty());

    // A receipt that the broker took with it would come with the supplier's next question alone.
    wait_for_empty_outbox(&house.stage, house.gateway.log());

    // What is approved while the broker is away waits, and is delivered when it is back.
    broker.kill().unwrap();
    let second = ask(&house, &tsm, "billing after a night");
    approve(&second);
    let away = wait_until(&house.stage.deadline(CONNECTING), || {
        Ok::<_, StageError>(read(tsm.log()).contains("not delivered").then_some(()))
    });
    assert_eq!(away.unwrap(), Some(()), "{}", read(tsm.log()));
    broker.start_again(&house.stage).unwrap();
    let installed = tsm.wait_for(&house.stage, &house.supplier, &second, "installed", RETURN);
    installed
        .unwrap_or_else(|error| panic!("{}\n{}\n{}", told(&error), read(tsm.log()), gateway_log(&house)));
    wait_for_empty_outbox(&house.stage, house.gateway.log());
}

/// Has the supplier ask the TSM for what it has already, for another purpose; returns the request.
fn ask(house: &House, tsm: &Tsm, purpose: &str) -> String {
    let mut grants = grants_of_the_house(PERIOD);
    for grant in &mut grants {
        grant.purpose = purpose.to_owned();
    }
    let grants = house.stage.write("more.toml", &GrantText::file(&grants)).unwrap();
    let asked = tsm.request(&house.stage, &house.supplier, &house.card.guid, &grants, None);
    asked
        .unwrap_or_else(|error| panic!("{}\n{}", told(&error), read(tsm.log())))
        .id
}

/// Begins a command of the trust centre.
fn center(house: &House, words: &[&str]) -> Command {
    let mut words = words.iter();
    let command = house.stage.command(Program::TrustCenter, words.next().unwrap());
    let command = words.fold(command, |command, word| command.arg(word));
    command.option("--home", house.stage.trust_center())
}

/// Opens a house whose gateway is reached over a broker and in no other way.
pub(crate) fn behind_a_broker(mqtt: &str) -> (House, Broker) {
    let house = house();
    let users = [
        BrokerUser::supplier(&house.supplier),
        BrokerUser::tsm(&house.stage).unwrap(),
    ];
    let broker =
        Broker::start(&house.stage, "broker", &users).unwrap_or_else(|error| panic!("{}", told(&error)));
    let house = connected(house, &broker, mqtt);
    (house, broker)
}

/// Starts the gateway again, with the broker in place of its door.
fn connected(mut house: House, broker: &Broker, mqtt: &str) -> House {
    house.gateway.stop().unwrap();
    let text = read(&house.config);
    let door = "[wan]\nlisten = \"[::1]:0\"";
    assert!(text.contains(door), "{text}");
    let line = format!(
        "[wan.broker]\naddress = \"{}\"\nmqtt = \"{mqtt}\"\nstart_delay = \"PT1S\"",
        broker.address()
    );
    std::fs::write(&house.config, text.replace(door, &line)).unwrap();
    house.start_gateway_again("operational").unwrap();
    let connected =
        house
            .gateway
            .wait_for(&house.stage, "a connection to the broker", CONNECTING, |status| {
                status.broker.as_ref().is_some_and(|broker| broker.connected)
            });
    let status = connected.unwrap_or_else(|error| panic!("{}\n{:?}", told(&error), broker.log()));
    assert_eq!(status.wan, None, "nothing listens");
    house.status = status;
    assert_wan_refuses(&house);
    house
}

/// Pulls from every gateway that the supplier knows.
fn pull_fleet(house: &House, wan: &str) -> Finished {
    let command = house
        .stage
        .command(Program::Supplier, "pull")
        .arg("--all")
        .arg("--json");
    let command = command
        .option("--home", house.supplier.home())
        .option("--gateway", wan)
        .option("--elements", COUNTER)
        .option("--resolution", &house.period)
        .option("--last", ALL_OF_IT)
        .option("--retries", "0");
    house.stage.run(&command).unwrap()
}

pub(crate) fn over(query: &Query, broker: &Broker, version: &str) -> Query {
    Query {
        wan: format!("mqtts://{}{version}", broker.address()),
        ..query.clone()
    }
}

pub(crate) fn text_of(finished: &Finished) -> String {
    finished.log_text().unwrap()
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .args([from, to])
        .status();
    assert!(copied.unwrap().success());
}
