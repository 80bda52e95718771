//! A fleet behind a cluster of three brokers, one of which is killed while the fleet is pulled.

use std::time::Duration;

use system::{
    Cluster, Folder, Interrupt, Programs, SimulatedGateways, Stage, StageError, Supplier, wait_until,
};

use crate::steps::{read, sql, told};

/// How many gateways there are.
const GATEWAYS: usize = 200;
/// How many of them are asked at the same time.
const AT_A_TIME: usize = 8;
/// After how many gateways the node is killed to which a third of them, and the supplier, has connected.
const KILLED_AFTER: usize = 40;
/// How long it may take until all gateways are back, and until all are pulled from: a request that is lost with the node is
/// noticed after two minutes.
const PATIENCE: Duration = Duration::from_secs(300);
/// What each gateway measures.
const ELEMENTS: usize = 4;
/// What is wrong with the store, a row for each: registers of a simulated gateway follow from the last byte of its GUID, and
/// the time. Where the text of a GUID leaves zeros out, there is a colon in their place.
const FAULTS: &str = "
    WITH registers AS (
        SELECT guid, element, meter || '/' || obis AS register, time, value
        FROM readings JOIN elements ON elements.id = element JOIN gateways ON gateways.id = gateway
    ),
    paces (register, number) AS (
        VALUES ('E1/1-0:1.8.0*255', 1), ('E1/1-0:2.8.0*255', 2), ('W1/8-0:1.0.0*255', 3), ('G1/7-0:3.0.0*255', 4)
    )
    SELECT guid, registers.register, time, value
    FROM registers LEFT JOIN paces ON paces.register = registers.register
    WHERE time % 900 != 0 OR replace(value, '.', '') + 0 IS NOT (time / 900) * (number
        + max(instr('0123456789abcdef', substr(guid, -1)) - 1, 0)
        + max(instr('0123456789abcdef', substr(guid, -2, 1)) - 1, 0) * 16)
    LIMIT 5";

#[test]
fn node_of_a_cluster_that_is_killed_loses_no_gateway_and_doubles_no_value() {
    let folder = Folder::temporary().unwrap();
    let stage = Stage::set(Programs::find().unwrap(), folder, Interrupt::default()).unwrap();
    let supplier = stage
        .found_supplier("supplier", "City Works", &stage.trust_center())
        .unwrap();
    let mut cluster = Cluster::start(&stage).unwrap_or_else(|error| panic!("{}", told(&error)));
    let brokers = cluster.addresses();
    let fleet = SimulatedGateways::start(&stage, &supplier, GATEWAYS, &brokers, "3.1.1");
    let mut fleet = fleet.unwrap_or_else(|error| panic!("{}\n{:?}", told(&error), cluster.log(0)));

    // The supplier comes to the node that is killed while it pulls.
    let pulling = stage.start(&pull_all(&stage, &supplier, &brokers[0])).unwrap();
    for _ in 0..KILLED_AFTER {
        let line = pulling.next_line(&stage.deadline(PATIENCE)).unwrap();
        assert!(line.is_some(), "{}", read(pulling.log()));
    }
    cluster.kill(0).unwrap();
    let cut_off = pulling.finish(&stage.deadline(PATIENCE)).unwrap();
    assert_eq!(cut_off.code, Some(3), "it was over before the node was killed");
    let first = gateways_in(&supplier);
    assert!(
        (KILLED_AFTER..GATEWAYS).contains(&first),
        "{first} are in the store"
    );

    // The gateways come to the nodes that are left, and so does the supplier.
    let all = u64::try_from(GATEWAYS).unwrap();
    let state = fleet.wait_for(&stage, "the return of all", PATIENCE, |state| {
        state.connected == all
    });
    let state = state.unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!(state.refused, 0);
    // A cluster that has just lost a node refuses subscriptions and loses requests for a while: whoever has not answered is
    // asked again, as an operator's timer does.
    let mut left = brokers[1..].iter().cycle();
    let pulled = wait_until(&stage.deadline(PATIENCE * 2), || {
        let pulling = stage.start(&pull_all(&stage, &supplier, left.next().unwrap()))?;
        let pulled = pulling.finish(&stage.deadline(PATIENCE))?;
        Ok::<_, StageError>((pulled.code == Some(0)).then_some(()))
    });
    assert_eq!(
        pulled.unwrap(),
        Some(()),
        "{} are in the store",
        gateways_in(&supplier)
    );

    // A day of four elements of each, which has 96 quarter hours, and an end more if both lie on the grid or time went on.
    let store = supplier.home().join("store.db");
    let counted = sql(
        &store,
        "SELECT gateway, count(*) FROM readings JOIN elements ON elements.id = element GROUP BY gateway, element",
    );
    assert_eq!(counted.lines().count(), ELEMENTS * GATEWAYS);
    for line in counted.lines() {
        let (_, count) = line.split_once('|').unwrap();
        assert!((96..=98).contains(&count.parse().unwrap()), "{line}");
    }
    assert_eq!(sql(&store, FAULTS), "");
    assert_eq!(sql(&store, "SELECT count(*) FROM conflicts"), "0");
    assert_eq!(gateways_in(&supplier), GATEWAYS);
}

/// Builds the command line that takes what is not in the store yet, from every gateway.
fn pull_all(stage: &Stage, supplier: &Supplier, broker: &str) -> system::Command {
    supplier
        .pull_all_command(stage, &format!("mqtts://{broker}?mqtt=3.1.1"), AT_A_TIME)
        .arg("--since-last")
        .option("--retries", "0")
}

/// Counts the gateways of which something is in the store.
fn gateways_in(supplier: &Supplier) -> usize {
    let store = supplier.home().join("store.db");
    sql(
        &store,
        "SELECT count(DISTINCT gateway) FROM readings JOIN elements ON elements.id = element",
    )
    .parse()
    .unwrap()
}
