//! Every exchange over both ways, on a network of its own: directly at the card's GUID as address, and over Mosquitto.
//!
//! Gateway, supplier, trust centre and broker each have a network namespace; the gateway's has the GUID as its IPv6
//! address and listens there, at the port that everybody takes for granted. One walk, one table of what comes of it.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use system::{
    BrokerUser, Command, GRANTED, GrantText, Query, StageError, UNGRANTED, grants_of_the_house, wait_until,
};

use crate::scene::{Line, Scene, WayOver};
use crate::steps::{ARRIVAL, PERIOD, read, told, wait_for_empty_outbox};

/// How long an installation by the TSM's visit may take, behind an attempt in vain.
const PATIENCE: Duration = Duration::from_secs(60);

/// A step of the walk: makes an exchange, and says what came of it.
type Step = fn(&mut Scene) -> String;

/// What every exchange comes to, whichever way it takes.
const WALK: [(&str, Step, &str); 9] = [
    ("first contact", first_contact, "bundle 1, operational"),
    ("pull", pull, "electricity gas heat water"),
    ("pull finer than granted", finer, "too-fine by billing"),
    ("pull what nobody has", ungranted, "element-not-granted"),
    (
        "application by the TSM's visit",
        application,
        "bundle 2, 1 application",
    ),
    ("a stranger", stranger, "no-grant"),
    ("receipts", receipts, "nothing waits"),
    ("a revoked supplier", revoked, "no-grant"),
    ("the card's end, by the TSM's channel", end, "card-foreign"),
];

#[test]
fn every_exchange_is_made_directly_at_the_address_that_is_the_guid() {
    walk(WayOver::Direct);
}

#[test]
fn every_exchange_is_made_over_a_broker_on_another_host() {
    walk(WayOver::Broker("5"));
}

fn walk(way: WayOver) {
    let mut scene = Scene::set(way, Line::Good);
    for (step, does, expected) in WALK {
        let came = does(&mut scene);
        assert_eq!(came, expected, "{step}, {way:?}\n{}", read(scene.gateway.log()));
    }
}

#[test]
fn whoever_is_not_who_he_should_be_is_ended_in_the_handshake() {
    let scene = Scene::set(WayOver::Direct, Line::Good);
    let stage = &scene.stage;
    let foreign = stage.found_trust_center("foreign", "Foreign Centre").unwrap();
    let stranger = stage
        .found_supplier("foreign-supplier", "Foreign Works", &foreign)
        .unwrap();
    let own = identity(scene.supplier.home());
    let (right_name, other_name) = (scene.card.guid.clone(), "fd5a::1".to_owned());
    let wrong_chain = identity(stranger.home());
    // What OpenSSL says, as a client that shares no code with the gateway.
    for (case, arguments, name, ends) in [
        (
            "all is well",
            [&own[..], &[]].concat(),
            &right_name,
            "\"code\":\"envelope\"",
        ),
        (
            "no certificate",
            Vec::new(),
            &right_name,
            "alert certificate required",
        ),
        ("a wrong chain", wrong_chain, &right_name, "alert unknown ca"),
        (
            "TLS 1.2",
            [&own[..], &["-tls1_2".to_owned()]].concat(),
            &right_name,
            "alert protocol version",
        ),
        ("another name", own.clone(), &other_name, "IP address mismatch"),
    ] {
        let said = s_client(&scene, &arguments, name);
        assert!(said.contains(ends), "{case}: {said}");
        assert_eq!(said.contains("HTTP/1.1"), case == "all is well", "{case}: {said}");
    }
    // The gateway says so too, a line for each of those whom it has ended.
    let refused = read(scene.gateway.log()).matches("handshake failed").count();
    assert_eq!(refused, 4, "{}", read(scene.gateway.log()));
    // And so do our own counterparts, of a gateway that is another one.
    let other = Query {
        guid: "fd5a::1".to_owned(),
        ..scene.query(&GRANTED, PERIOD)
    };
    let known = scene.supplier.home().join("gateways");
    let folder = |guid: &str| known.join(guid.replace(':', "-"));
    drop(std::fs::rename(folder(&scene.card.guid), folder("fd5a::1")));
    let finished = scene.supplier.try_pull(stage, &other).unwrap();
    assert_eq!(finished.code, Some(1), "{}", finished.log_text().unwrap());
}

fn first_contact(scene: &mut Scene) -> String {
    format!("bundle {}, operational", scene.make_first_contact())
}

fn pull(scene: &mut Scene) -> String {
    let query = scene.query(&GRANTED, PERIOD);
    let mut media = Vec::new();
    let complete = wait_until(&scene.stage.deadline(ARRIVAL), || {
        let pull = scene.supplier.pull(&scene.stage, &query)?;
        assert_eq!((&pull.guid, pull.refusals.len()), (&scene.card.guid, 0));
        media = pull.series.iter().map(|series| series.medium.clone()).collect();
        media.sort();
        media.dedup();
        Ok::<_, StageError>((media.len() == 4).then_some(()))
    });
    complete.unwrap_or_else(|error| panic!("{}\n{}", told(&error), read(scene.gateway.log())));
    media.join(" ")
}

fn finer(scene: &mut Scene) -> String {
    refusal(scene, &GRANTED[..1], "PT1S")
}

fn ungranted(scene: &mut Scene) -> String {
    refusal(scene, &[UNGRANTED], PERIOD)
}

fn refusal(scene: &Scene, elements: &[&str], resolution: &str) -> String {
    let pull = scene
        .supplier
        .pull(&scene.stage, &scene.query(elements, resolution));
    let pull = pull.unwrap_or_else(|error| panic!("{}", told(&error)));
    assert!(pull.series.is_empty(), "{pull:?}");
    let [refusal] = pull.refusals.try_into().unwrap();
    match refusal.rule {
        Some(rule) => format!("{} by {rule}", refusal.code),
        None => refusal.code,
    }
}

fn application(scene: &mut Scene) -> String {
    let grants = GrantText::file(&grants_of_the_house(PERIOD));
    let grants = scene.stage.write("grants.toml", &grants).unwrap();
    let application = scene.stage.application("taf-2").unwrap();
    let application = scene.supplier.sign(&scene.stage, &application).unwrap();
    scene
        .stage
        .write("trust-center/policy.toml", "approve = \"automatic\"\n")
        .unwrap();
    let register = scene
        .center(&["gateways", "register"])
        .option("--guid", &scene.card.guid);
    // Directly it is reached at its GUID, which need not be said.
    scene.succeeds(&match scene.way {
        WayOver::Direct => register,
        WayOver::Broker(_) => register.option("--gateway", &scene.wan),
    });
    let mut tsm = scene.stage.start_tsm().unwrap();
    let (guid, stage, supplier) = (&scene.card.guid, &scene.stage, &scene.supplier);
    let asked = tsm.request(stage, supplier, guid, &grants, Some(&application));
    let asked = asked.unwrap_or_else(|error| panic!("{}\n{}", told(&error), read(tsm.log())));
    let installed = tsm.wait_for(stage, supplier, &asked.id, "installed", PATIENCE);
    installed.unwrap_or_else(|error| panic!("{}\n{}", told(&error), read(tsm.log())));
    // The report about the installation comes a moment behind it.
    let show = scene
        .center(&["gateways", "show", "--json"])
        .option("--guid", guid);
    let shown = wait_until(&stage.deadline(ARRIVAL), || {
        let finished = scene.succeeds(&show);
        let shown: Value = serde_json::from_str(finished.answer()?).unwrap();
        Ok::<_, StageError>(Some(shown).filter(|shown| shown["bundle_version"] == 2))
    });
    let shown = shown.unwrap().expect("the gateway reports the bundle");
    scene.tsm = Some(tsm);
    format!(
        "bundle {}, {} application",
        shown["bundle_version"],
        shown["applications"].as_array().unwrap().len()
    )
}

/// A supplier whom nobody grants anything; it knows the gateway from the other one. The broker lets
/// it in, so that the gateway has to refuse it.
fn stranger(scene: &mut Scene) -> String {
    let stage = &scene.stage;
    let stranger = stage
        .found_supplier("stranger", "Stranger", &stage.trust_center())
        .unwrap();
    let known = scene.supplier.home().join("gateways");
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .args([&known, &stranger.home().join("gateways")])
        .status();
    assert!(copied.unwrap().success());
    if let Some(broker) = &scene.broker {
        let users = [
            BrokerUser::supplier(&scene.supplier),
            BrokerUser::supplier(&stranger),
            BrokerUser::tsm(stage).unwrap(),
        ];
        broker.admit(stage, &users).unwrap();
    }
    let before = read(scene.gateway.log()).matches("no-grant").count();
    // The card agrees no key with it, so that over a broker it gets no answer at all, and waits for one.
    let asking = stranger.follow(stage, &scene.query(&GRANTED, PERIOD)).unwrap();
    let refused = wait_until(&stage.deadline(ARRIVAL), || {
        let after = read(scene.gateway.log()).matches("no-grant").count();
        Ok::<_, StageError>((after > before).then_some("no-grant"))
    });
    assert_eq!(asking.line_soon(), None);
    refused.unwrap().unwrap_or("nothing").to_owned()
}

fn receipts(scene: &mut Scene) -> String {
    wait_for_empty_outbox(&scene.stage, scene.gateway.log());
    "nothing waits".to_owned()
}

fn revoked(scene: &mut Scene) -> String {
    let revoke = ["revoke", "--name", "City Works", "--reason", "key-compromise"];
    scene.succeeds(&scene.center(&revoke));
    let query = scene.query(&GRANTED, PERIOD);
    let before = read(scene.gateway.log()).matches("no-grant").count();
    // The TSM's visit takes the supplier out of the bundle without anybody's doing.
    let gone = wait_until(&scene.stage.deadline(PATIENCE), || {
        let finished = scene.succeeds(
            &scene
                .center(&["gateways", "show", "--json"])
                .option("--guid", &scene.card.guid),
        );
        let shown: Value = serde_json::from_str(finished.answer()?).unwrap();
        Ok::<_, StageError>((shown["bundle_version"] == 3).then_some(()))
    });
    assert_eq!(gone.unwrap(), Some(()), "{}", read(scene.gateway.log()));
    let asking = scene.supplier.follow(&scene.stage, &query).unwrap();
    let refused = wait_until(&scene.stage.deadline(ARRIVAL), || {
        let after = read(scene.gateway.log()).matches("no-grant").count();
        Ok::<_, StageError>((after > before).then_some("no-grant"))
    });
    assert_eq!(asking.line_soon(), None);
    refused.unwrap().unwrap_or("nothing").to_owned()
}

/// Ends the card's life through the TSM's channel. A dead card signs nothing: directly the gateway says so itself, inside
/// TLS; over a broker nobody could believe it, and the TSM is left with what it has begun.
fn end(scene: &mut Scene) -> String {
    scene.tsm = None;
    let terminate = scene
        .center(&["terminate", "--json"])
        .option("--guid", &scene.card.guid);
    let ending = scene
        .stage
        .start(&terminate.option("--gateway", &scene.wan))
        .unwrap();
    let ended = scene
        .gateway
        .wait_for_state(&scene.stage, "card-foreign", ARRIVAL);
    if scene.way == WayOver::Direct {
        let finished = ending.finish(&scene.stage.deadline(ARRIVAL)).unwrap();
        let terminated: Value = serde_json::from_str(finished.answer().unwrap()).unwrap();
        assert_eq!(terminated["witness"], "gateway");
    } else {
        assert_eq!(ending.line_soon(), None);
    }
    ended.unwrap().state
}

/// Returns OpenSSL's arguments for a party's TLS certificate and key.
fn identity(home: &Path) -> Vec<String> {
    let file = |name: &str| home.join(name).display().to_string();
    vec![
        "-cert".to_owned(),
        file("tls.pem"),
        "-key".to_owned(),
        file("tls.key"),
    ]
}

/// Has OpenSSL post something that is no message to the gateway from the supplier's host, and returns all that it says.
fn s_client(scene: &Scene, arguments: &[String], name: &str) -> String {
    let script = r#"printf 'POST /smgw/v1/messages HTTP/1.1\r\nHost: gateway\r\nContent-Length: 7\r\nConnection: close\r\n\r\nnothing' |
        timeout 20 openssl s_client -ign_eof -verify_return_error -connect "$@" 2>&1 || true"#;
    let root = scene.stage.trust_center().join("root.pem");
    let command = Command::new("openssl s_client", Path::new("sh"))
        .option("-c", script)
        .arg("sh")
        .arg(&scene.wan)
        .option("-CAfile", root)
        .option("-verify_ip", name)
        .inside(scene.network.host("supplier").unwrap().id());
    let command = arguments.iter().fold(command, Command::arg);
    let finished = scene.stage.run(&command).unwrap();
    finished.lines.join("\n")
}
