//! The custodian and its card, over time: removals, holds, confirmations, deaths.

use std::time::Instant;

use tokio::sync::watch;

use super::*;
use crate::card::custodian::{CustodianThread, is_proven_dead};
use crate::card::handle::CardHandle;
use crate::card::removal::OUT_FOR_GOOD;
use crate::card::standing::Standing;
use crate::card::{Confirmed, NotConfirmed};

/// How long to wait for something that should happen.
const PATIENCE: Duration = Duration::from_secs(60);
const HEARTBEAT: Duration = Duration::from_millis(50);

/// A gateway whose custodian runs.
struct Running {
    handle: CardHandle,
    standing: watch::Receiver<Standing>,
    thread: CustodianThread,
}

impl Gateway {
    fn start(&self) -> Running {
        self.start_with(false)
    }

    fn start_with(&self, waits_for_confirmation: bool) -> Running {
        let config = CardConfig {
            waits_for_confirmation,
            slot: CardSlot::Soft(self.card()),
            heartbeat: HEARTBEAT,
        };
        let (handle, standing, thread) = Custodian::start(
            config,
            Arc::new(self.store()),
            self.journal(),
            &crate::liveness::Pulses::default(),
        )
        .unwrap();
        Running {
            handle,
            standing,
            thread,
        }
    }

    fn away(&self) -> PathBuf {
        self.card().with_extension("away")
    }

    fn take_card_out(&self) {
        std::fs::rename(self.card(), self.away()).unwrap();
    }

    fn put_card_back(&self) {
        std::fs::rename(self.away(), self.card()).unwrap();
    }
}

impl Running {
    fn wait_for(&self, what: &str, condition: impl Fn(&Standing) -> bool) -> Standing {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let standing = self.standing.borrow().clone();
            if condition(&standing) {
                return standing;
            }
            std::thread::yield_now();
        }
        panic!("{what}: {:?}", *self.standing.borrow());
    }

    fn wait_for_state(&self, state: GatewayState) -> Standing {
        self.wait_for("a state", |standing| standing.state == state)
    }

    fn wait_for_obstacle(&self, code: &str) -> Standing {
        self.wait_for(code, |standing| {
            standing.obstacle.is_some_and(|obstacle| obstacle.code == code)
        })
    }

    fn stop(self) {
        drop(self.handle);
        self.thread.join(PATIENCE);
    }
}

fn life_cycle(card: &Path) -> String {
    let state: serde_json::Value = serde_json::from_slice(&std::fs::read(card).unwrap()).unwrap();
    state["life_cycle"].as_str().unwrap().to_owned()
}

#[test]
fn card_that_is_taken_out_while_it_serves_ends_gateway_and_card() {
    let (_, gateway) = bound();
    let running = gateway.start();
    running.wait_for_state(GatewayState::Bound);
    gateway.take_card_out();
    let begun = Instant::now();
    running.wait_for_state(GatewayState::CardMissing);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let given_up = running.wait_for_state(GatewayState::Tampered);
    assert!(begun.elapsed() >= OUT_FOR_GOOD);
    assert_eq!(given_up.obstacle.unwrap().code, "SMGW-C-0301");
    assert!(given_up.detail.unwrap().contains("taken out"));
    // It is dead across restarts, card or no card.
    running.stop();
    let running = gateway.start();
    running.wait_for_state(GatewayState::Tampered);
    assert_eq!(life_cycle(&gateway.away()), "bound");
    gateway.put_card_back();
    let begun = Instant::now();
    while life_cycle(&gateway.card()) != "terminated" {
        assert!(begun.elapsed() < PATIENCE, "the card that is seen again lives");
        running.handle.examine().unwrap();
        assert_eq!(running.standing.borrow().state, GatewayState::Tampered);
    }
    running.stop();
    // The card has said so in clear, and anybody can say that.
    assert!(
        gateway
            .store()
            .bindings()
            .unwrap()
            .card_terminated()
            .unwrap()
            .is_none()
    );
    assert!(gateway.shown_obstacles()[0].contains("was given up"));
}

#[test]
fn card_that_bounces_serves_on_in_another_session() {
    let (_, gateway) = bound();
    let running = gateway.start();
    let first = running.wait_for_state(GatewayState::Bound);
    let session = first.identity.as_ref().unwrap().session;
    assert!(first.continues(session));
    gateway.take_card_out();
    running.wait_for_state(GatewayState::CardMissing);
    gateway.put_card_back();
    let second = running.wait_for_state(GatewayState::Bound);
    assert!(!second.continues(session), "who was served before is cut off");
    running.stop();
    assert!(gateway.store().bindings().unwrap().tampered().unwrap().is_none());
}

#[test]
fn card_that_goes_after_the_order_to_stop_or_was_never_there_is_no_removal() {
    let (_, gateway) = bound();
    let running = gateway.start();
    running.wait_for_state(GatewayState::Bound);
    running.handle.take_leave().unwrap();
    gateway.take_card_out();
    let begun = Instant::now();
    while begun.elapsed() < OUT_FOR_GOOD + Duration::from_millis(1_500) {
        running.handle.examine().unwrap();
    }
    assert_eq!(running.standing.borrow().state, GatewayState::CardMissing);
    running.stop();
    let running = gateway.start();
    let begun = Instant::now();
    while begun.elapsed() < OUT_FOR_GOOD + Duration::from_millis(1_500) {
        running.handle.examine().unwrap();
    }
    assert_eq!(running.standing.borrow().state, GatewayState::CardMissing);
    gateway.put_card_back();
    running.wait_for_state(GatewayState::Bound);
    running.stop();
}

#[test]
fn given_up_gateway_spares_every_card_but_its_own() {
    let (center, gateway) = bound();
    gateway.take_card_out();
    let store = gateway.store();
    let bindings = store.bindings().unwrap();
    bindings.burn_tamper("for this test", clock::now()).unwrap();
    drop(store);
    center.personalize(&gateway.card(), "fd5a::2");
    let examined = |store: &Store| {
        let card = reader::power_on(&CardSlot::Soft(gateway.card())).unwrap();
        examine(&mut CardSession::open(card).unwrap(), store, Consent::Automatic)
    };
    let (_, other) = bound();
    for theirs in [
        std::fs::read(gateway.card()).unwrap(),
        std::fs::read(other.card()).unwrap(),
    ] {
        std::fs::write(gateway.card(), &theirs).unwrap();
        assert!(examined(&gateway.store()).is_err());
        assert_eq!(std::fs::read(gateway.card()).unwrap(), theirs);
    }
    gateway.put_card_back();
    assert!(matches!(
        examined(&gateway.store()),
        Err(Obstacle::GivenUp { card: None, .. })
    ));
    assert_eq!(life_cycle(&gateway.card()), "terminated");
}

/// The wear that an obstacle behind the pairing costs.
#[test]
fn obstacle_behind_the_pairing_costs_one_pairing() {
    let (_, gateway) = bound();
    let store = gateway.store();
    store.database().install_bundle(1, [7; 32], b"{}").unwrap();
    drop(store);
    let running = gateway.start();
    running.wait_for_obstacle("SMGW-C-0210");
    for _ in 0..50 {
        running.handle.examine().unwrap();
        let inspected = running.handle.inspect().unwrap();
        assert!(inspected.guid.is_some());
    }
    assert!(
        running.handle.call(|session| session.anchor()).is_err(),
        "nothing is done with such a card"
    );
    running.stop();
    // One for the binding, one for this start.
    alter(&gateway.card(), |card| assert_eq!(card["pairing"]["sessions"], 2));
}

#[test]
fn card_of_a_gateway_that_waits_is_bound_after_the_confirmation_alone() {
    let (center, gateway) = (Center::new(), Gateway::new());
    center.personalize(&gateway.card(), "fd5a::1:a3f");
    let running = gateway.start_with(true);
    let waiting = running.wait_for_obstacle("SMGW-C-0218");
    assert_eq!(waiting.state, GatewayState::Unbound);
    for wrong in ["0a3e", "a3f", ""] {
        let refused = running.handle.confirm(wrong.to_owned()).unwrap();
        assert!(matches!(refused, Err(NotConfirmed::OtherCard)), "{wrong}");
    }
    assert_eq!(life_cycle(&gateway.card()), "personalized");
    let confirmed = running.handle.confirm("0A3F".to_owned()).unwrap();
    assert!(matches!(confirmed, Ok(Confirmed { guid }) if guid == "fd5a::1:a3f".parse().unwrap()));
    running.wait_for_state(GatewayState::Bound);
    let again = running.handle.confirm("0a3f".to_owned()).unwrap();
    assert!(matches!(again, Err(NotConfirmed::AlreadyBound { .. })));
    running.stop();
    // What is bound needs no confirmation at the next start.
    let running = gateway.start_with(true);
    running.wait_for_state(GatewayState::Bound);
    running.stop();
}

#[test]
fn confirmation_without_a_card_or_of_a_blank_one_says_why() {
    let gateway = Gateway::new();
    let running = gateway.start_with(true);
    let missing = running.handle.confirm("0001".to_owned()).unwrap().unwrap_err();
    assert_eq!(missing.code(), "SMGW-C-0101");
    std::fs::write(gateway.card(), CardState::blank().to_bytes().unwrap()).unwrap();
    running.wait_for_obstacle("SMGW-C-0201");
    let blank = running.handle.confirm("0001".to_owned()).unwrap().unwrap_err();
    assert_eq!(blank.code(), "SMGW-C-0201");
    running.stop();
}

#[test]
fn terminated_card_is_refused_by_every_gateway() {
    let terminated = || {
        let (_, gateway) = bound();
        alter(&gateway.card(), |card| card["life_cycle"] = "terminated".into());
        std::fs::read(gateway.card()).unwrap()
    };
    let unbound = Gateway::new();
    std::fs::write(unbound.card(), terminated()).unwrap();
    let running = unbound.start();
    assert_eq!(
        running.wait_for_obstacle("SMGW-C-0202").state,
        GatewayState::Unbound
    );
    running.stop();
    let (_, bound) = bound();
    std::fs::write(bound.card(), terminated()).unwrap();
    let running = bound.start();
    assert_eq!(
        running.wait_for_obstacle("SMGW-C-0202").state,
        GatewayState::CardForeign
    );
    running.stop();
}

#[test]
fn card_that_is_paused_is_paired_by_the_confirmation_of_its_guid() {
    let (_, gateway) = bound();
    alter(&gateway.card(), |card| card["pairing"]["tries"] = 2.into());
    let running = gateway.start();
    running.wait_for_obstacle("SMGW-C-0219");
    let refused = running.handle.confirm("0:02".to_owned()).unwrap();
    assert!(matches!(refused, Err(NotConfirmed::OtherCard)));
    let confirmed = running.handle.confirm("a::1".to_owned()).unwrap();
    assert!(matches!(confirmed, Ok(Confirmed { guid }) if guid == GUID.parse().unwrap()));
    running.wait_for_state(GatewayState::Bound);
    running.stop();
}

#[test]
fn whoever_says_in_clear_that_the_card_is_dead_is_not_believed_for_good() {
    let (_, gateway) = bound();
    let running = gateway.start();
    running.wait_for_state(GatewayState::Bound);
    let own = std::fs::read(gateway.card()).unwrap();
    alter(&gateway.card(), |card| card["life_cycle"] = "terminated".into());
    running.wait_for_obstacle("SMGW-C-0202");
    std::fs::write(gateway.card(), own).unwrap();
    // It is the bound card, as far as anybody can tell, and it has not been paired elsewhere.
    running.wait_for_state(GatewayState::Bound);
    running.stop();
    let store = gateway.store();
    let bindings = store.bindings().unwrap();
    assert!(bindings.card_terminated().unwrap().is_none() && bindings.tampered().unwrap().is_none());
}

#[test]
fn card_that_is_paired_is_believed_that_it_is_dead_and_nobody_else() {
    let (_, gateway) = bound();
    let mut session = CardSession::open(reader::power_on(&CardSlot::Soft(gateway.card())).unwrap()).unwrap();
    let (command, status) = ("READ BINARY", StatusWord::TERMINATED);
    let protected = CardError::Refused { command, status };
    assert!(!is_proven_dead(&session, &protected), "in clear");
    examine(&mut session, &gateway.store(), Consent::Automatic).unwrap();
    assert!(is_proven_dead(&session, &protected));
    let other = CardError::Refused {
        command,
        status: StatusWord::CONDITIONS,
    };
    assert!(!is_proven_dead(&session, &other));
    let by = Some(status);
    for in_clear in [
        CardError::SessionEnded { command, status },
        CardError::NotSent { command, by },
    ] {
        assert!(!is_proven_dead(&session, &in_clear), "{in_clear}");
    }
}
