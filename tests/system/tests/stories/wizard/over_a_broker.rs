//! The ladder of a gateway behind a broker.

use serde_json::Value;
use system::{Broker, BrokerUser, Command, Program, Wan};

use super::{Phone, Site};
use crate::local_web::Browser;
use crate::steps::read;

#[test]
fn a_way_over_a_broker_is_good_up_to_the_echo_and_a_broker_without_its_rule_is_not() {
    let broker = std::cell::OnceCell::new();
    let site = Site::new(&|stage| {
        let users = [BrokerUser::tsm(stage).unwrap()];
        let broker = broker.get_or_init(|| Broker::start(stage, "broker", &users).unwrap());
        Wan::Broker {
            address: broker.address(),
            mqtt: "5".to_owned(),
        }
    });
    let issued = site.smgw(&["web", "password", "technician"]);
    let browser = Browser::new(&site.stage, &site.web(), "technician");
    browser.begin("technician", issued["password"].as_str().unwrap());
    let phone = Phone { site: &site, browser };
    let unbound = phone.carry_out("wan", "start", &[]);
    assert!(unbound.body.contains("SMGW-D-0611"), "{}", unbound.body);
    let last = site.card.guid.len() - 4;
    let bound = phone.carry_out("binding", "confirm", &[("characters", &site.card.guid[last..])]);
    assert!(bound.body.contains("are one unit"), "{}", bound.body);
    let page = phone.carry_out("wan", "start", &[]);
    for rung in [
        "TLS with the card",
        "Login at the broker",
        "Echo through the broker",
    ] {
        let good = format!("<strong>{rung}</strong>: <span class=\"good\">good</span>");
        assert!(page.body.contains(&good), "{rung}: {}", page.body);
    }
    assert_eq!(phone.state("wan"), "problem", "the TSM has not been here");
    let rungs = examined(&site);
    for (rung, outcome) in [
        ("TLS", "good"),
        ("broker", "good"),
        ("echo", "good"),
        ("first contact", "warning"),
    ] {
        assert_eq!(outcome_of(&rungs, rung), outcome, "{rungs:#}");
    }
    without_the_daemon_the_card_is_not_asked(&site);

    // A broker that was given the rules of an earlier version lets the gateway in, and the echo is missing.
    let mut broker = broker.into_inner().unwrap();
    broker.kill().unwrap();
    let acl = site.stage.path("broker").join("acl");
    let rules = read(&acl);
    let rules: Vec<_> = rules.lines().filter(|line| !line.ends_with("/echo")).collect();
    std::fs::write(&acl, rules.join("\n") + "\n").unwrap();
    broker.start_again(&site.stage).unwrap();
    let page = phone.carry_out("wan", "start", &[]);
    let missing = "<strong>Echo through the broker</strong>: <span class=\"stale\">problem</span>";
    assert!(
        page.body.contains(missing) && page.body.contains("SMGW-D-0610"),
        "{}",
        page.body
    );
    let rungs = examined(&site);
    let echo = rungs
        .as_array()
        .unwrap()
        .iter()
        .find(|rung| rung["what"] == "echo");
    let echo = echo.unwrap();
    assert_eq!(echo["code"], "SMGW-D-0610", "{rungs:#}");
    for text in ["cause", "remedy"] {
        let text = echo[text].as_str().unwrap().replace('\'', "&#39;");
        assert!(page.body.contains(&text), "{text} is missing in {}", page.body);
    }
}

/// Returns the rungs that `smgw wan check` climbs.
fn examined(site: &Site) -> Value {
    let command = site.stage.command(Program::Smgw, "wan").arg("check");
    check_of(site, &command.arg("--json").option("--config", &site.config))
}

fn check_of(site: &Site, command: &Command) -> Value {
    let finished = site.stage.run(command).unwrap();
    let document: Value = serde_json::from_str(finished.lines.last().unwrap()).unwrap();
    assert_eq!(document["schema"], "smgw.wan-check/1");
    document["rungs"].clone()
}

fn outcome_of(rungs: &Value, what: &str) -> String {
    let rungs = rungs.as_array().unwrap();
    let rung = rungs.iter().find(|rung| rung["what"] == what).unwrap();
    rung["outcome"].as_str().unwrap().to_owned()
}

/// With another socket nobody answers: what takes the card is not checked, and the rungs below are.
fn without_the_daemon_the_card_is_not_asked(site: &Site) {
    let text = read(&site.config);
    let socket = text.lines().find(|line| line.starts_with("socket = ")).unwrap();
    let away = text.replace(socket, "socket = \"/nonexistent/smgw.sock\"");
    let away = site.stage.write("away.toml", &away).unwrap();
    let command = site.stage.command(Program::Smgw, "wan").arg("check");
    let rungs = check_of(site, &command.arg("--json").option("--config", &away));
    assert_eq!(outcome_of(&rungs, "TCP"), "good", "{rungs:#}");
    for rung in ["TLS", "broker", "echo", "first contact"] {
        assert_eq!(outcome_of(&rungs, rung), "not-checked", "{rungs:#}");
    }
}
