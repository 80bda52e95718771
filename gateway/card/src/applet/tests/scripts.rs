//! The card scripts of `tests/vectors/card`, run in process.

use super::*;
use crate::script::{BUILT_IN, Script};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/card");

fn card_in(state: LifeCycle, center: &TestCenter) -> TestCard {
    let mut card = match state {
        LifeCycle::Blank => TestCard::blank(1),
        LifeCycle::Personalized => TestCard::personalized(1, center).0,
        LifeCycle::Bound => bound_card(center).0,
        LifeCycle::Operational => operational_card(center).0,
        LifeCycle::Terminated => {
            let (mut card, identity) = bound_card(center);
            let mut session = CardSession::open(&mut card).unwrap();
            session.bind(&order(OTHER_GATEWAY), &identity).unwrap_err();
            card
        }
    };
    card.reset();
    card
}

#[test]
fn every_card_script_runs_in_process_on_every_card_that_it_is_for() {
    let center = TestCenter::new(1);
    for built_in in BUILT_IN {
        let name = built_in.name;
        let script: Script = built_in
            .text
            .parse()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!script.title().is_empty(), "{name}");
        for &state in script.cards() {
            let mut card = card_in(state, &center);
            let before = card.applet.state().to_bytes().unwrap();
            assert_eq!(card.applet.state().life_cycle(), state, "{name}");
            let reset = |card: &mut TestCard| {
                card.reset();
                Ok(())
            };
            let outcome = script.run(&mut card, reset, &mut TestRandom::new(9));
            outcome.unwrap_or_else(|error| panic!("{name} on a card that is {state}: {error}"));
            if !script.is_dangerous() {
                let after = card.applet.state().to_bytes().unwrap();
                assert_eq!(after, before, "{name} leaves the card as it was");
            }
        }
    }
}

#[test]
fn every_script_of_the_folder_is_built_in_and_every_state_has_a_harmless_one() {
    let mut files: Vec<String> = std::fs::read_dir(FOLDER)
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".script").map(str::to_owned)
        })
        .collect();
    let mut names: Vec<&str> = BUILT_IN.iter().map(|script| script.name).collect();
    files.sort();
    names.sort_unstable();
    assert_eq!(files, names);
    for state in [
        LifeCycle::Blank,
        LifeCycle::Personalized,
        LifeCycle::Bound,
        LifeCycle::Operational,
        LifeCycle::Terminated,
    ] {
        let harmless = BUILT_IN.iter().any(|built_in| {
            let script: Script = built_in.text.parse().unwrap();
            !script.is_dangerous() && script.cards().contains(&state)
        });
        assert!(harmless, "{state}");
    }
}
