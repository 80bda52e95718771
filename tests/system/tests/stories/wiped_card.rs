//! The bound card is gone or blank: the gateway serves nobody and binds to nothing else.

use system::House;

use crate::steps::{assert_wan_refuses, granted, house, pull_until};

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
    std::fs::write(&house.card.file, "").unwrap();
    assert_refused(&mut house, &["card-missing", "card-foreign"]);
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
