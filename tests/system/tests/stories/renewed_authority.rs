//! A trust centre that has a new issuing authority, and gateways and suppliers that know the former one.

use system::{Finished, House, Program, grants_of_the_house};

use crate::steps::{PERIOD, gateway_log, granted, house, pull_until, read};

fn center(house: &House, verb: &str, option: (&str, &str)) -> Finished {
    let command = house.stage.command(Program::TrustCenter, verb);
    let command = command.option("--home", house.stage.trust_center());
    let command = match option {
        (flag, "") => command.arg(flag),
        (name, value) => command.option(name, value),
    };
    let finished = house.stage.run(&command).unwrap();
    finished.success().unwrap();
    finished
}

#[test]
fn suppliers_of_the_new_authority_are_served_beside_those_of_the_former_one() {
    let mut house = house();
    let query = granted(&house);
    pull_until(&house, &query, |pull| !pull.series.is_empty());
    center(&house, "renew", ("--issuing", ""));

    // The gateway hears of the new authority with the bundle that unlocks its supplier.
    let newcomer = house
        .stage
        .found_supplier("newcomer", "Newcomer", &house.stage.trust_center());
    let newcomer = newcomer.unwrap();
    let issuer = |home: &std::path::Path| read(&home.join("chain.pem")).matches("BEGIN").count();
    assert_eq!((issuer(newcomer.home()), issuer(house.supplier.home())), (2, 1));
    let grants = grants_of_the_house(PERIOD);
    let installed = house
        .stage
        .install(&house.card.guid, &query.wan, &newcomer, &grants, None);
    installed.unwrap_or_else(|error| panic!("{error}\n{}", gateway_log(&house)));
    let pulled = newcomer.pull(&house.stage, &query).unwrap();
    assert_eq!(pulled.guid, house.card.guid);
    pull_until(&house, &query, |pull| !pull.series.is_empty());

    // It has not forgotten it when it starts again.
    house.gateway.stop().unwrap();
    house.start_gateway_again("operational").unwrap();
    let query = granted(&house);
    newcomer.pull(&house.stage, &query).unwrap();

    // A supplier of before gets new certificates, and is another one for the gateway until the next bundle.
    center(
        &house,
        "renew",
        ("--requests", house.supplier.home().to_str().unwrap()),
    );
    assert_eq!(
        house.supplier.try_pull(&house.stage, &query).unwrap().code,
        Some(1)
    );
    let installed = house
        .stage
        .install(&house.card.guid, &query.wan, &house.supplier, &grants, None);
    installed.unwrap_or_else(|error| panic!("{error}\n{}", gateway_log(&house)));
    pull_until(&house, &query, |pull| !pull.series.is_empty());
}
