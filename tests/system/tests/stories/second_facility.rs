//! The whole way with the second facility: a blank card behind a real `pcscd`, personalised there with what the trust
//! centre sends, up to the first readings of the supplier.

use system::{House, Program};

use crate::steps::{PERIOD, granted, pull_until, told};

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
