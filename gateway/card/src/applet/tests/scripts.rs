//! The card scripts of `tests/vectors/card`, run in process.

use super::*;
use crate::script::Script;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/card");

#[test]
fn every_card_script_runs_in_process() {
    let center = TestCenter::new(1);
    let mut scripts = 0;
    for entry in std::fs::read_dir(FOLDER).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "script") {
            continue;
        }
        scripts += 1;
        let name = path.display();
        let text = std::fs::read_to_string(&path).unwrap();
        let script: Script = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut card = match script.card() {
            LifeCycle::Blank => TestCard::blank(1),
            LifeCycle::Personalized => TestCard::personalized(1, &center).0,
            LifeCycle::Bound => bound_card(&center).0,
            LifeCycle::Operational | LifeCycle::Terminated => operational_card(&center).0,
        };
        card.reset();
        let before = card.applet.state().life_cycle();
        assert_eq!(before, script.card(), "{name}");
        let reset = |card: &mut TestCard| {
            card.reset();
            Ok(())
        };
        let outcome = script.run(&mut card, reset);
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
        if !script.is_dangerous() {
            assert_eq!(card.applet.state().life_cycle(), before, "{name}");
        }
    }
    assert!(scripts >= 7, "{scripts} scripts are fewer than there were");
}
