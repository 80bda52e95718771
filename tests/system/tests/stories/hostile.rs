//! Messages that come twice, late, out of order, from a wrong clock, in floods, or for somebody who may not have them any
//! more. A foreign MQTT client (Debian's mosquitto-clients) puts them on their way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use system::{BrokerUser, Command, GRANTED, House, Process, Query, StageError, Supplier, wait_until};

use crate::ledger::Ledger;
use crate::scene::{Line, Scene, WayOver};
use crate::steps::{
    ARRIVAL, PERIOD, granted, house, other_clock, pull_until, read, told, wait_for_empty_outbox,
};

/// How long the TSM's visit may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many messages of a flood come that are none.
const FLOOD: usize = 3_000;
/// A length that no message has, in bytes; the greatest one is 4 MiB and some kilobytes long.
const OVERSIZED: usize = 6 * 1_024 * 1_024;
/// How many connections of a flood stand that say nothing.
const MUTE_CONNECTIONS: usize = 300;
/// How many connections one party holds that neither ends a request nor reads: more than the gateway has for all.
const SLOW_READERS: usize = 20;
/// How much a flood may add to the gateway's memory, in kilobytes: 16 messages of the greatest size, which wait for their
/// turn, and what the allocator keeps.
const FLOOD_LIMIT_KB: u64 = 64 * 1_024;

#[test]
fn requests_that_come_twice_and_out_of_order_are_answered_once_each() {
    let mut scene = Scene::serving(WayOver::Broker("5"), Line::Good);
    let [first, second] = unsent_requests(&mut scene);
    let heard = hear(&scene);
    let topic = request_topic(&scene);
    let replayed = || read(scene.gateway.log()).matches("code=\"replayed\"").count();
    for (request, replays) in [(&second, 0), (&first, 0), (&second, 1), (&first, 2), (&first, 3)] {
        publish(&scene, &topic, request);
        if replays == 0 {
            let answer = heard.next_line(&scene.stage.deadline(ARRIVAL)).unwrap();
            assert!(answer.is_some(), "{}", read(scene.gateway.log()));
        } else {
            let refused = wait_until(&scene.stage.deadline(ARRIVAL), || {
                Ok::<_, StageError>((replayed() == replays).then_some(()))
            });
            assert_eq!(refused.unwrap(), Some(()), "{}", read(scene.gateway.log()));
        }
    }
    // Not even a new start makes it forget what it has answered.
    scene.kill_gateway();
    wait_for_connection(&mut scene);
    let before = read(scene.gateway.log()).matches("code=\"replayed\"").count();
    publish(&scene, &topic, &first);
    let refused = wait_until(&scene.stage.deadline(ARRIVAL), || {
        let after = read(scene.gateway.log()).matches("code=\"replayed\"").count();
        Ok::<_, StageError>((after > before).then_some(()))
    });
    assert_eq!(refused.unwrap(), Some(()), "{}", read(scene.gateway.log()));
}

#[test]
fn clocks_that_differ_by_more_than_the_window_are_refused_with_an_error_of_their_own() {
    let scene = Scene::serving(WayOver::Direct, Line::Good);
    let query = scene.query(&GRANTED, PERIOD);
    let other_clock = other_clock(&scene.stage);
    for (skew, is_refused) in [("-240", false), ("+240", false), ("-600", true), ("+600", true)] {
        let command = scene
            .supplier
            .pull_command(&scene.stage, &query)
            .env("LD_PRELOAD", &other_clock)
            .env("FAKETIME", skew)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
        let before = read(scene.gateway.log()).matches("code=\"not-fresh\"").count();
        let finished = scene.stage.run(&command).unwrap();
        let refused = read(scene.gateway.log()).matches("code=\"not-fresh\"").count() - before;
        let said = finished.log_text().unwrap();
        assert_eq!(finished.code, Some(i32::from(is_refused)), "{skew}: {said}");
        assert_eq!(
            refused,
            usize::from(is_refused),
            "{skew}: {}",
            read(scene.gateway.log())
        );
        assert_eq!(
            said.contains("the message is not fresh"),
            is_refused,
            "{skew}: {said}"
        );
    }
}

#[test]
fn answer_that_waits_for_a_supplier_who_is_revoked_meanwhile_never_leaves() {
    let mut scene = Scene::serving(WayOver::Broker("5"), Line::Good);
    let [request, _] = unsent_requests(&mut scene);
    // Nobody takes the answer, so that it waits.
    let topic = request_topic(&scene);
    publish(&scene, &topic, &request);
    let granted = wait_until(&scene.stage.deadline(ARRIVAL), || {
        Ok::<_, StageError>(read(scene.gateway.log()).contains("INFO granted").then_some(()))
    });
    assert_eq!(granted.unwrap(), Some(()), "{}", read(scene.gateway.log()));
    revoke_the_supplier(&scene);
    wait_for_empty_outbox(&scene.stage, scene.gateway.log());
    // It would go out again with the next connection.
    let heard = hear(&scene);
    scene.gateway.kill().unwrap();
    scene.gateway = scene.stage.start_gateway(&scene.config).unwrap();
    wait_for_connection(&mut scene);
    publish(&scene, &topic, &request);
    let refused = wait_until(&scene.stage.deadline(ARRIVAL), || {
        Ok::<_, StageError>(read(scene.gateway.log()).contains("rejected").then_some(()))
    });
    assert_eq!(refused.unwrap(), Some(()), "{}", read(scene.gateway.log()));
    assert_eq!(heard.line_soon(), None);
}

#[test]
fn flood_over_the_broker_is_refused_and_neither_grows_the_gateway_nor_starves_the_supplier() {
    let scene = Scene::serving(WayOver::Broker("5"), Line::Good);
    let mut ledger = Ledger::open(&scene, scene.wan.clone());
    ledger.wait_for_more(&scene);
    let before = scene.gateway.memory_kb().unwrap();
    let nonsense = format!("{}\n", "no message ".repeat(1_000)).repeat(FLOOD);
    let file = scene.stage.write("flood", &nonsense).unwrap();
    let script = r#"file="$1"; shift; exec mosquitto_pub -l "$@" < "$file""#;
    let flood = Command::new("mosquitto_pub", Path::new("sh"))
        .option("-c", script)
        .arg("sh")
        .arg(file);
    let flood = as_supplier(&scene, flood).option("-t", request_topic(&scene));
    let mut flood = scene.stage.start(&flood).unwrap();
    let mut most = before;
    while flood.check_running().is_ok() {
        most = most.max(scene.gateway.memory_kb().unwrap());
        ledger.wait_for_more(&scene);
    }
    most = most.max(scene.gateway.memory_kb().unwrap());
    assert!(
        most < before + FLOOD_LIMIT_KB,
        "{before} kB before, {most} kB at most"
    );
    ledger.settle(&scene);
}

#[test]
fn forged_messages_over_a_broker_are_refused_by_name_and_oversized_ones_stop_nobody() {
    for mqtt in ["5", "3.1.1"] {
        let mut scene = Scene::serving(WayOver::Broker(mqtt), Line::Good);
        let [request, _] = unsent_requests(&mut scene);
        let topic = request_topic(&scene);
        let bytes = std::fs::read(&request).unwrap();
        let middle = bytes.len() / 2;
        let mut forged = bytes.clone();
        forged[middle] ^= 0x01;
        let cut = bytes[..middle].to_vec();
        for (name, message) in [("forged", forged), ("cut", cut)] {
            let file = scene.stage.path(name);
            std::fs::write(&file, message).unwrap();
            let before = refusals(&scene);
            publish(&scene, &topic, &file);
            let refused = wait_until(&scene.stage.deadline(ARRIVAL), || {
                Ok::<_, StageError>((refusals(&scene) > before).then_some(()))
            });
            assert_eq!(
                refused.unwrap(),
                Some(()),
                "{name}\n{}",
                read(scene.gateway.log())
            );
            assert_eq!(refusals(&scene), before + 1, "{}", read(scene.gateway.log()));
        }
        // What is longer than any message the broker drops, if it knows MQTT 5; with 3.1.1 the gateway ends the connection over
        // it and comes back.
        let file = scene.stage.path("oversized");
        std::fs::write(&file, vec![0x30; OVERSIZED]).unwrap();
        for _ in 0..3 {
            publish(&scene, &topic, &file);
        }
        wait_for_connection(&mut scene);
        pull_until_it_answers(&scene);
    }
}

#[test]
fn request_that_comes_over_the_topic_of_another_party_is_refused_and_a_gateway_that_dies_is_away() {
    let mut scene = Scene::serving(WayOver::Broker("5"), Line::Good);
    let [request, _] = unsent_requests(&mut scene);
    let other = scene
        .stage
        .found_supplier("other", "Other Works", &scene.stage.trust_center())
        .unwrap();
    let users = [&scene.supplier, &other].map(BrokerUser::supplier);
    scene
        .broker
        .as_ref()
        .unwrap()
        .admit(&scene.stage, &users)
        .unwrap();
    let topic = request_topic(&scene).replace(scene.supplier.fingerprint(), other.fingerprint());
    // What the supplier has signed, put on its way by another one with whatever is its own.
    let client = Command::new("mosquitto_pub", Path::new("mosquitto_pub"))
        .option("-t", &topic)
        .option("-f", &request);
    scene.succeeds(&as_party(&scene, &other, client));
    let refused = wait_until(&scene.stage.deadline(ARRIVAL), || {
        Ok::<_, StageError>((refusals(&scene) > 0).then_some(()))
    });
    let log = read(scene.gateway.log());
    assert_eq!(refused.unwrap(), Some(()), "{log}");
    assert!(log.contains("code=\"other-party\""), "{log}");
    assert!(!log.contains("INFO granted"), "{log}");

    // The broker tells whoever may know it.
    scene.gateway.kill().unwrap();
    let client = Command::new("mosquitto_sub", Path::new("mosquitto_sub"))
        .option("-t", format!("smgw/v1/+/{}/presence", scene.card.guid));
    let listening = scene.stage.start(&as_supplier(&scene, client)).unwrap();
    let mut said = String::new();
    while said != "away" {
        let line = listening.next_line(&scene.stage.deadline(ARRIVAL)).unwrap();
        said = line.unwrap_or_else(|| panic!("{:?}", scene.broker.as_ref().unwrap().log()));
    }
}

/// Counts the messages that the gateway has refused.
fn refusals(scene: &Scene) -> usize {
    read(scene.gateway.log())
        .lines()
        .filter(|line| line.contains("code=") && line.contains("rejected, from the broker"))
        .count()
}

#[test]
fn connections_that_say_nothing_or_read_slowly_keep_nobody_out_and_stay_bounded() {
    let house = house();
    pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
    let before = house.gateway.memory_kb().unwrap();
    let wan = house.status.wan.clone().unwrap();
    // A party that is certified, and is granted nothing.
    let center = house.stage.trust_center();
    let greedy = house
        .stage
        .found_supplier("greedy", "Greedy Works", &center)
        .unwrap();
    // They come from the supplier's own network, whose handshakes are counted together with theirs: it gets in as soon as
    // the gateway has ended the first of them.
    let mut mute: Vec<TcpStream> = (0..MUTE_CONNECTIONS)
        .map(|_| TcpStream::connect(&wan).unwrap())
        .collect();
    for stream in &mut mute {
        // Some say the beginning of what could be a handshake; the gateway may have ended them already.
        drop(stream.write_all(&[0x16, 0x03, 0x01]));
    }
    let slow: Vec<Process> = (0..SLOW_READERS).map(|_| slow_reader(&house, &greedy)).collect();
    let served = wait_until(&house.stage.deadline(ARRIVAL), || {
        let finished = house.supplier.try_pull(&house.stage, &granted(&house))?;
        Ok::<_, StageError>((finished.code == Some(0)).then_some(()))
    });
    assert_eq!(served.unwrap(), Some(()), "{}", read(house.gateway.log()));
    let most = house.gateway.memory_kb().unwrap();
    assert!(
        most < before + FLOOD_LIMIT_KB,
        "{before} kB before, {most} kB at most"
    );
    drop(slow);
    // Whoever says nothing is ended by the gateway.
    for stream in &mut mute {
        stream.set_read_timeout(Some(ARRIVAL)).unwrap();
        let ended = stream.read(&mut [0; 64]);
        assert!(
            !matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
            "{ended:?}"
        );
    }
}

/// Starts OpenSSL as a client that is let in, begins a request, and then neither ends it nor reads.
fn slow_reader(house: &House, party: &Supplier) -> Process {
    let script = r#"(printf 'POST /smgw/v1/messages HTTP/1.1\r\nHost: gateway\r\nContent-Length: 4000000\r\n\r\n'; head -c 3000000 /dev/zero; exec sleep 60) |
        openssl s_client -quiet -connect "$1" -CAfile "$2" -cert "$3/tls.pem" -key "$3/tls.key" > /dev/null"#;
    let command = Command::new("openssl s_client", Path::new("sh"))
        .option("-c", script)
        .arg("sh")
        .arg(house.status.wan.as_deref().unwrap())
        .arg(house.stage.trust_center().join("root.pem"))
        .arg(party.home());
    house.stage.start(&command).unwrap()
}

/// Seals two requests and sends neither: the gateway is away while they are asked.
fn unsent_requests(scene: &mut Scene) -> [PathBuf; 2] {
    pull_until_it_answers(scene);
    scene.gateway.stop().unwrap();
    let kept = scene.stage.path("unsent");
    let query = Query {
        keep: Some(kept.clone()),
        ..scene.query(&GRANTED, PERIOD)
    };
    for _ in 0..2 {
        let finished = scene.supplier.try_pull(&scene.stage, &query).unwrap();
        let said = finished.log_text().unwrap();
        assert!(said.contains("not connected to the broker"), "{said}");
    }
    scene.start_gateway_again();
    wait_for_connection(scene);
    ["0001-request.cms", "0002-request.cms"].map(|name| kept.join(name))
}

fn pull_until_it_answers(scene: &Scene) {
    let query = scene.query(&GRANTED, PERIOD);
    let pulled = wait_until(&scene.stage.deadline(ARRIVAL), || {
        let pull = scene.supplier.pull(&scene.stage, &query)?;
        Ok::<_, StageError>((!pull.series.is_empty()).then_some(()))
    });
    pulled.unwrap_or_else(|error| panic!("{}\n{}", told(&error), read(scene.gateway.log())));
}

fn wait_for_connection(scene: &mut Scene) {
    let connected = scene
        .gateway
        .wait_for(&scene.stage, "a connection to the broker", ARRIVAL, |status| {
            status.broker.as_ref().is_some_and(|broker| broker.connected)
        });
    connected.unwrap_or_else(|error| panic!("{}", told(&error)));
}

/// Has the trust centre revoke the supplier, and the TSM take it out of the gateway's bundle.
fn revoke_the_supplier(scene: &Scene) {
    let register = scene
        .center(&["gateways", "register"])
        .option("--guid", &scene.card.guid)
        .option("--gateway", &scene.wan);
    scene.succeeds(&register);
    scene.succeeds(&scene.center(&["revoke", "--name", "City Works", "--reason", "key-compromise"]));
    let tsm = scene.stage.start_tsm().unwrap();
    let taken_out = wait_until(&scene.stage.deadline(PATIENCE), || {
        let log = read(scene.gateway.log());
        Ok::<_, StageError>(log.contains("grants=0").then_some(()))
    });
    assert_eq!(
        taken_out.unwrap(),
        Some(()),
        "{}\n{}",
        read(tsm.log()),
        read(scene.gateway.log())
    );
}

/// Gives a client of Mosquitto's the supplier's identity, on the supplier's host.
fn as_supplier(scene: &Scene, client: Command) -> Command {
    as_party(scene, &scene.supplier, client)
}

fn as_party(scene: &Scene, party: &Supplier, client: Command) -> Command {
    let broker = scene.network.host("broker").unwrap();
    client
        .inside(scene.network.host("supplier").unwrap().id())
        .option("-h", broker.dns())
        .option("-p", "8883")
        .option("-q", "1")
        .option("--cafile", scene.stage.trust_center().join("root.pem"))
        .option("--cert", party.home().join("tls.pem"))
        .option("--key", party.home().join("tls.key"))
}

/// Listens to what the gateway sends to the supplier; each message is a line.
fn hear(scene: &Scene) -> Process {
    let filter = format!(
        "smgw/v1/+/{}/rsp/{}",
        scene.card.guid,
        scene.supplier.fingerprint()
    );
    let client = Command::new("mosquitto_sub", Path::new("mosquitto_sub"))
        .option("-t", &filter)
        .option("-F", "%t %l");
    let listening = scene.stage.start(&as_supplier(scene, client)).unwrap();
    let broker = scene.broker.as_ref().unwrap();
    let subscribed = wait_until(&scene.stage.deadline(ARRIVAL), || {
        Ok::<_, StageError>(broker.has_logged(&filter).then_some(()))
    });
    assert_eq!(subscribed.unwrap(), Some(()), "{:?}", broker.log());
    listening
}

/// Finds out the topic for requests to the gateway; its shard is in what the broker says of its presence.
fn request_topic(scene: &Scene) -> String {
    let client = Command::new("mosquitto_sub", Path::new("mosquitto_sub"))
        .option("-t", format!("smgw/v1/+/{}/presence", scene.card.guid))
        .option("-F", "%t")
        .option("-C", "1");
    let finished = scene.stage.run(&as_supplier(scene, client)).unwrap();
    let presence = finished
        .answer()
        .unwrap_or_else(|error| panic!("{}", told(&error)));
    let base = presence.strip_suffix("/presence").unwrap();
    format!("{base}/req/{}", scene.supplier.fingerprint())
}

fn publish(scene: &Scene, topic: &str, message: &Path) {
    let client = Command::new("mosquitto_pub", Path::new("mosquitto_pub"))
        .option("-t", topic)
        .option("-f", message);
    let finished = scene.stage.run(&as_supplier(scene, client)).unwrap();
    let published = finished.success();
    published.unwrap_or_else(|error| panic!("{}", told(&error)));
}
