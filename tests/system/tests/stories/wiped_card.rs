//! The bound card is gone or blank: the gateway serves nobody and binds to nothing else.

use system::{House, StageError, wait_until};

use crate::steps::{assert_wan_refuses, granted, house, pull_until, read};

#[test]
fn card_that_is_gone_is_missed_and_its_return_is_noticed() {
    let mut house = house();
    let elsewhere = house.stage.path("elsewhere");
    house.gateway.stop().unwrap();
    std::fs::rename(&house.card.file, &elsewhere).unwrap();
    assert_refused(&mut house, &["card-missing"]);

    house.gateway.stop().unwrap();
    std::fs::rename(&elsewhere, &house.card.file).unwrap();
    house.start_gateway_again("operational").unwrap();
    pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
}

#[test]
fn wiped_card_is_refused() {
    let mut house = house();
    house.gateway.stop().unwrap();
    let blank = r#"{"format":"smgw-soft-card/1","revision":0,"life_cycle":"blank","keys":{},"files":{},"binding":null}"#;
    std::fs::write(&house.card.file, blank).unwrap();
    assert_refused(&mut house, &["card-foreign"]);
    assert!(
        read(house.gateway.log()).contains("blank"),
        "{}",
        read(house.gateway.log())
    );
}

#[test]
fn card_that_is_exchanged_while_the_gateway_runs_ends_gateway_and_card() {
    let mut house = house();
    let second = house.stage.personalize("second-card").unwrap();
    let theirs = std::fs::read(&second.file).unwrap();
    let own = house.stage.path("own-card");
    std::fs::rename(&house.card.file, &own).unwrap();
    std::fs::rename(&second.file, &house.card.file).unwrap();
    let allowed = crate::steps::ARRIVAL;
    let stage = &house.stage;
    house.status = house.gateway.wait_for_state(stage, "tampered", allowed).unwrap();
    assert_eq!(house.status.obstacle.as_deref(), Some("SMGW-C-0301"));
    assert_wan_refuses(&house);
    assert_eq!(
        std::fs::read(&house.card.file).unwrap(),
        theirs,
        "nothing was written to the other card"
    );

    std::fs::rename(&own, &house.card.file).unwrap();
    let deadline = house.stage.deadline(allowed);
    let ended = wait_until(&deadline, || {
        let terminated = read(&house.card.file).contains("\"life_cycle\":\"terminated\"");
        Ok::<_, StageError>(terminated.then_some(()))
    });
    ended.unwrap().expect("the card that is seen again is terminated");
    assert_wan_refuses(&house);
}

/// Starts the gateway and asserts that it names one of the states and serves nobody.
fn assert_refused(house: &mut House, states: &[&str]) {
    let stage = &house.stage;
    house.gateway = stage.start_gateway(&house.config).unwrap();
    let allowed = crate::steps::ARRIVAL;
    house.status = house
        .gateway
        .wait_for(stage, "a state that names the card", allowed, |status| {
            states.contains(&status.state.as_str())
        })
        .unwrap();
    assert_wan_refuses(house);
}
