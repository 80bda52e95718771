//! Simulated gateways behind a broker are gateways to the supplier, which knows no difference.

use std::time::Duration;

use system::{Broker, BrokerUser, Folder, Interrupt, Period, Programs, Query, SimulatedGateways, Stage};

use crate::steps::told;

const GATEWAYS: usize = 12;
/// How long the receipts may take behind the answers.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn simulated_gateways_answer_a_supplier_over_a_broker_of_either_version() {
    for (mqtt, suffix) in [("5", ""), ("3.1.1", "?mqtt=3.1.1")] {
        let folder = Folder::temporary().unwrap();
        let stage = Stage::set(Programs::find().unwrap(), folder, Interrupt::default()).unwrap();
        let supplier = stage
            .found_supplier("supplier", "City Works", &stage.trust_center())
            .unwrap();
        let broker = Broker::start(&stage, "broker", &[BrokerUser::supplier(&supplier)]).unwrap();
        let fleet = SimulatedGateways::start(&stage, &supplier, GATEWAYS, &[broker.address()], mqtt);
        let mut fleet = fleet.unwrap_or_else(|error| panic!("{}", told(&error)));
        let guids = fleet.guids().to_vec();
        assert_eq!(guids.len(), GATEWAYS);
        for guid in &guids {
            let pull = supplier.pull(
                &stage,
                &Query {
                    guid: guid.clone(),
                    wan: format!("mqtts://{}{suffix}", broker.address()),
                    elements: vec!["*/1-0:1.8.0*255".to_owned(), "*/8-x:x.x.x*255".to_owned()],
                    resolution: "PT15M".to_owned(),
                    period: Period::Last("P1D".to_owned()),
                    keep: None,
                },
            );
            let pull = pull.unwrap_or_else(|error| panic!("{}\n{:?}", told(&error), broker.log()));
            assert_eq!((&pull.guid, pull.series.len()), (guid, 2));
            // A day has 96 quarter hours, and both of its ends may lie on the grid.
            let is_a_day = |values: usize| (96..=97).contains(&values);
            assert!(
                pull.series.iter().all(|series| is_a_day(series.values.len())),
                "{pull:?}"
            );
        }
        let all = u64::try_from(GATEWAYS).unwrap();
        let state = fleet.wait_for(&stage, "all receipts", PATIENCE, |state| state.receipts == all);
        let state = state.unwrap_or_else(|error| panic!("{}", told(&error)));
        assert_eq!((state.connected, state.answered, state.refused), (all, all, 0));
    }
}
