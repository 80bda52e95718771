//! Another card in the reader: the gateway serves nobody, until its own card is back.

use crate::steps::{assert_wan_refuses, granted, house, pull_until};

#[test]
fn second_card_is_refused_and_the_first_one_serves_again() {
    let mut house = house();
    pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
    let second = house.stage.personalize("second-card").unwrap();
    assert_ne!(second.guid, house.card.guid);

    house.gateway.stop().unwrap();
    let first = house.stage.path("first-card");
    std::fs::rename(&house.card.file, &first).unwrap();
    std::fs::copy(&second.file, &house.card.file).unwrap();
    house.start_gateway_again("card-foreign").unwrap();
    assert_eq!(house.status.code, "SMGW-S-0102");
    assert_eq!(
        house.status.guid.as_deref(),
        Some(house.card.guid.as_str()),
        "the binding stays what it was"
    );
    assert_wan_refuses(&house);

    house.gateway.stop().unwrap();
    std::fs::rename(&first, &house.card.file).unwrap();
    house.start_gateway_again("operational").unwrap();
    let pull = pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
    assert_eq!(pull.guid, house.card.guid);
}
