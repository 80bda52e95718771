//! The ladder of a gateway behind a broker.

use system::{Broker, BrokerUser, Wan};

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
    assert!(
        unbound.body.contains("no card serves this gateway"),
        "{}",
        unbound.body
    );
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
        page.body.contains(missing) && page.body.contains("access rules"),
        "{}",
        page.body
    );
}
