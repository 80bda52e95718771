//! A fleet behind a cluster of three brokers, one of which is killed while the fleet is pulled.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use system::{
    Cluster, Folder, Interrupt, Period, Programs, Pull, Query, SimulatedGateways, Stage, StageError,
    wait_until,
};

use crate::steps::told;

/// How many gateways there are.
const GATEWAYS: usize = 60;
/// How many of them are asked at the same time.
const AT_A_TIME: usize = 4;
/// After how many answers the node is killed to which a third of the gateways has connected.
const KILLED_AFTER: usize = 15;
/// How long one gateway may take to be pulled from: its request may be lost with the node, which the supplier notices after
/// two minutes, and it comes back within a minute.
const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn node_of_a_cluster_that_is_killed_loses_no_gateway_and_doubles_no_answer() {
    let folder = Folder::temporary().unwrap();
    let stage = Stage::set(Programs::find().unwrap(), folder, Interrupt::default()).unwrap();
    let supplier = stage
        .found_supplier("supplier", "City Works", &stage.trust_center())
        .unwrap();
    let cluster = Cluster::start(&stage).unwrap_or_else(|error| panic!("{}", told(&error)));
    let brokers = cluster.addresses();
    let fleet = SimulatedGateways::start(&stage, &supplier, GATEWAYS, &brokers, "3.1.1");
    let mut fleet = fleet.unwrap_or_else(|error| panic!("{}\n{:?}", told(&error), cluster.log(0)));
    let guids = fleet.guids().to_vec();
    // The supplier comes to the node that will be killed, and goes to the next one when it is gone, as the gateways do.
    let cluster = Mutex::new(cluster);
    let pull = |guid: &String, answered: &AtomicUsize| -> Pull {
        let mut brokers = brokers.iter().cycle();
        let pulled = wait_until(&stage.deadline(PATIENCE), || {
            let broker = brokers.next().unwrap();
            let query = Query {
                guid: guid.clone(),
                wan: format!("mqtts://{broker}?mqtt=3.1.1"),
                elements: vec!["*/*".to_owned()],
                resolution: "PT15M".to_owned(),
                period: Period::Last("P1D".to_owned()),
                keep: None,
            };
            let finished = stage.start(&supplier.pull_command(&stage, &query))?;
            let finished = finished.finish(&stage.deadline(PATIENCE))?;
            if finished.code != Some(0) {
                return Ok::<_, StageError>(None);
            }
            Ok(Some(serde_json::from_str(finished.answer()?).unwrap()))
        });
        let pull = pulled.unwrap_or_else(|error| panic!("{}", told(&error)));
        if answered.fetch_add(1, Ordering::Relaxed) + 1 == KILLED_AFTER {
            cluster.lock().unwrap().kill(0).unwrap();
        }
        pull.unwrap_or_else(|| panic!("{guid} is lost"))
    };
    let answered = AtomicUsize::new(0);
    let next = AtomicUsize::new(0);
    let pulled: Vec<Pull> = std::thread::scope(|scope| {
        let pulling: Vec<_> = (0..AT_A_TIME)
            .map(|_| {
                scope.spawn(|| {
                    let mut pulled = Vec::new();
                    while let Some(guid) = guids.get(next.fetch_add(1, Ordering::Relaxed)) {
                        pulled.push(pull(guid, &answered));
                    }
                    pulled
                })
            })
            .collect();
        pulling
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(pulled.len(), GATEWAYS);
    let mut values = BTreeSet::new();
    for pull in &pulled {
        assert_eq!(pull.series.len(), 4, "{}", pull.guid);
        for series in &pull.series {
            for point in series.points().unwrap() {
                let place = (&pull.guid, &series.meter, &series.obis, point.time);
                assert!(values.insert(place), "{place:?} came twice");
            }
        }
    }
    assert!((96 * 4 * GATEWAYS..=97 * 4 * GATEWAYS).contains(&values.len()));
    // All come back to the nodes that are left, with whatever had no receipt yet.
    let all = u64::try_from(GATEWAYS).unwrap();
    let state = fleet.wait_for(&stage, "the return of all", PATIENCE, |state| {
        state.connected == all
    });
    let state = state.unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!(state.refused, 0);
}
