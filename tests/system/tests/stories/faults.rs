//! Everything that a network, a broker and a power supply do to messages on their way: in the end the supplier has every
//! value once, whatever happened.
//!
//! The supplier follows the gateway all the time; a ledger of what it prints is held against what the gateway has.

use std::time::Duration;

use system::{StageError, wait_until};

use crate::ledger::Ledger;
use crate::scene::{Line, Scene, WayOver};
use crate::steps::{ARRIVAL, wait_for_empty_outbox};

/// How many of a hundred packets get lost, on both sides; TCP hides them, at the price of time.
const LOSS: u8 = 8;
/// How often the gateway is killed.
const KILLS: u32 = 5;

#[test]
fn connection_that_is_cut_in_the_middle_slow_or_doubled_loses_and_doubles_nothing() {
    let scene = Scene::serving(WayOver::Direct, Line::Bad);
    let mut ledger = Ledger::open(&scene, scene.bad_wan());
    ledger.wait_for_more(&scene);
    // In the handshake, in a request, in an answer: a request has some 2 kB, the answer more.
    for cut in [
        "cut up 0",
        "cut up 100",
        "cut up 1000",
        "cut down 200",
        "cut down 2000",
    ] {
        let before = scene.order(cut);
        wait_for_cut(&scene, before);
        scene.order("heal");
        ledger.wait_for_more(&scene);
    }
    for fault in ["delay 150", "rate 20000", "double"] {
        scene.order("heal");
        scene.order(fault);
        scene.order("reset");
        ledger.wait_for_more(&scene);
    }
    scene.order("heal");
    ledger.settle(&scene);
}

#[test]
fn broker_that_is_killed_or_cut_off_from_the_gateway_loses_and_doubles_nothing() {
    let mut scene = Scene::serving(WayOver::Broker("5"), Line::Bad);
    let mut ledger = Ledger::open(&scene, scene.wan.clone());
    ledger.wait_for_more(&scene);
    for cut in ["cut down 1000", "cut up 1500"] {
        let before = scene.order(cut);
        wait_for_cut(&scene, before);
        scene.order("heal");
        ledger.wait_for_more(&scene);
    }
    for fault in ["delay 200", "rate 20000"] {
        scene.order("heal");
        scene.order(fault);
        ledger.wait_for_more(&scene);
    }
    scene.order("heal");
    let broker = scene.broker.as_mut().unwrap();
    broker.kill().unwrap();
    broker.start_again(&scene.stage).unwrap();
    ledger.settle(&scene);
    // What nobody has said to have goes out again with the next connection, to whoever listens then.
    let _listening = Ledger::open(&scene, scene.wan.clone());
    scene.order("reset");
    wait_for_empty_outbox(&scene.stage, scene.gateway.log());
}

#[test]
fn gateway_that_is_killed_again_and_again_on_a_network_that_loses_packets_loses_no_value() {
    let mut scene = Scene::serving(WayOver::Direct, Line::Good);
    let mut ledger = Ledger::open(&scene, scene.wan.clone());
    for host in ["gateway", "supplier"] {
        let host = scene.network.host(host).unwrap();
        host.lose(&scene.stage, LOSS)
            .unwrap_or_else(|error| panic!("{}", crate::steps::told(&error)));
    }
    for kill in 0..KILLS {
        ledger.wait_for_more(&scene);
        // At another moment each time: while it reads, writes, answers.
        std::thread::park_timeout(Duration::from_millis(u64::from(kill) * 370));
        scene.kill_gateway();
    }
    ledger.settle(&scene);
}

#[test]
fn broker_on_a_network_that_loses_packets_loses_no_value() {
    let scene = Scene::serving(WayOver::Broker("5"), Line::Good);
    let mut ledger = Ledger::open(&scene, scene.wan.clone());
    for host in ["gateway", "supplier", "broker"] {
        scene
            .network
            .host(host)
            .unwrap()
            .lose(&scene.stage, LOSS)
            .unwrap();
    }
    for _ in 0..KILLS {
        ledger.wait_for_more(&scene);
    }
    ledger.settle(&scene);
}

fn wait_for_cut(scene: &Scene, before: u64) {
    let cut = wait_until(&scene.stage.deadline(ARRIVAL * 4), || {
        Ok::<_, StageError>((scene.order("counts") > before).then_some(()))
    });
    assert_eq!(cut.unwrap(), Some(()), "nothing was cut");
}
