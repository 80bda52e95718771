//! Deliveries that the trust centre gives up: nothing of them is left there, and whoever asks for them is told.

use std::path::PathBuf;

use serde_json::Value;

use crate::facility::{Server, answer_in, error_in, files, guids_in, holds, pending, sorted, stage};
use crate::material::{CALLS, kill_before_call};
use crate::stage::Stage;

/// Makes a delivery in a file; returns its name.
fn export(stage: &Stage, cards: usize) -> String {
    let exported = stage.answer(&format!(
        "facility export --facility Factory --cards {cards} --out material.cms"
    ));
    exported["delivery"].as_str().unwrap().to_owned()
}

fn cancel(delivery: &str) -> String {
    format!("facility cancel --delivery {delivery}")
}

const IMPORT: &str = "facility import --file material.cms --out confirmation.cms";

/// How many certificates are revoked in the books of the trust centre.
fn revoked(stage: &Stage) -> usize {
    let records = stage.records();
    let revoked = records.iter().filter(|record| record["act"] == "revoked");
    revoked
        .map(|record| record["serials"].as_array().unwrap().len())
        .sum()
}

#[test]
fn delivery_that_is_lost_is_cancelled_and_refused_by_name_when_it_is_found() {
    let stage = stage();
    let delivery = export(&stage, 3);
    let sealed = std::fs::read(stage.path("material.cms")).unwrap();
    let middle = &sealed[sealed.len() / 2..][..64];
    let listed = stage.answer("facility deliveries");
    assert_eq!(listed["deliveries"][0]["delivery"], *delivery);
    assert_eq!(listed["deliveries"][0]["facility"], "Factory");
    assert_eq!(listed["deliveries"][0]["cards"], 3);

    let cancelled = stage.answer(&cancel(&delivery));
    assert_eq!(cancelled["guids"].as_array().unwrap().len(), 3);
    assert!(pending(&stage).is_empty() && !holds(&stage.home(), middle));
    assert_eq!(
        stage.answer("facility deliveries")["deliveries"],
        Value::Array(Vec::new())
    );
    assert_eq!(revoked(&stage), 12);
    // The GUIDs are used up, and everything is in the books.
    assert_eq!(sorted(stage.guids("scrapped")), sorted(stage.guids("guid-given")));
    assert!(
        stage
            .records()
            .iter()
            .any(|record| record["act"] == "material-cancelled")
    );
    stage.answer("records verify");
    stage.answer("crl");
    let list = stage.openssl(&["crl", "-in", "center/issuing.crl", "-noout", "-text"]);
    assert_eq!(list.matches("Cessation Of Operation").count(), 12, "{list}");
    // Done again, it does nothing.
    assert_eq!(stage.answer(&cancel(&delivery))["guids"], cancelled["guids"]);
    assert_eq!(revoked(&stage), 12);

    // The file is found, and the facility confirms it.
    answer_in(&stage, "factory", IMPORT);
    assert_eq!(files(&stage.path("factory/material")).len(), 4);
    stage.answer("facility answer --file confirmation.cms --out answer.cms");
    let said = error_in(&stage, "factory", "facility import --file answer.cms");
    assert!(
        said.contains("has cancelled delivery") && said.contains(&delivery),
        "{said}"
    );
    assert_eq!(files(&stage.path("factory/material")).len(), 1, "only the lock");
    let said = error_in(
        &stage,
        "factory",
        "facility personalize --from-material --card soft:card",
    );
    assert!(said.contains("no material"), "{said}");
    let said = error_in(&stage, "factory", IMPORT);
    assert!(said.contains("has cancelled delivery"), "{said}");
    answer_in(&stage, "factory", "records verify");
}

#[test]
fn facility_that_has_made_cards_of_a_cancelled_delivery_is_told_which() {
    let stage = stage();
    let delivery = export(&stage, 2);
    answer_in(&stage, "factory", IMPORT);
    let line = "facility personalize --from-material --card soft:card";
    let made = answer_in(&stage, "factory", line)["guid"]
        .as_str()
        .unwrap()
        .to_owned();
    // Nobody has told the trust centre that the delivery has arrived.
    stage.answer(&cancel(&delivery));

    let server = Server::start(&stage);
    let report = format!("facility report --center {}", server.address);
    let output = stage.command_in("factory", &report).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("scrap the card") && said.contains(&made), "{said}");
    assert_eq!(files(&stage.path("factory/material")).len(), 1, "only the lock");
    assert_eq!(guids_in(&stage, "factory", "outcomes-reported").len(), 2);
    assert_eq!(stage.guids("scrapped").len(), 2);
    assert_eq!(stage.guids("personalized"), Vec::<String>::new());
    // Everything else goes on.
    let order = format!("facility order --center {} --cards 1", server.address);
    answer_in(&stage, "factory", &order);
    answer_in(&stage, "factory", &line.replace("soft:card", "soft:other"));
    answer_in(&stage, "factory", &report);
    assert_eq!(stage.guids("personalized").len(), 1);
    for home in ["center", "factory"] {
        answer_in(&stage, home, "records verify");
    }
}

#[test]
fn delivery_that_has_arrived_is_not_cancelled() {
    let stage = stage();
    let said = stage.error(&cancel(&"ab".repeat(16)));
    assert!(said.contains("facility deliveries"), "{said}");
    let said = stage.error(&cancel("ab"));
    assert!(said.contains("32 hexadecimal digits"), "{said}");
    let delivery = export(&stage, 1);
    answer_in(&stage, "factory", IMPORT);
    stage.answer("facility answer --file confirmation.cms --out answer.cms");
    let said = stage.error(&cancel(&delivery));
    assert!(
        said.contains("arrived at Factory") && said.contains("trust-center revoke"),
        "{said}"
    );

    // Neither is one of which a card is known, though nobody has confirmed it.
    answer_in(&stage, "factory", "facility import --file answer.cms");
    let delivery = export(&stage, 1);
    answer_in(&stage, "factory", IMPORT);
    for card in ["soft:one", "soft:two"] {
        let line = format!("facility personalize --from-material --card {card}");
        answer_in(&stage, "factory", &line);
    }
    answer_in(&stage, "factory", "facility report --out report.cms");
    stage.answer("facility answer --file report.cms --out answer.cms");
    let said = stage.error(&cancel(&delivery));
    assert!(said.contains("arrived at Factory"), "{said}");
    assert_eq!(stage.guids("personalized").len(), 2);
    assert_eq!(revoked(&stage), 0);
}

#[test]
fn cancelling_is_all_or_nothing_wherever_it_is_killed() {
    let stage = stage();
    let (mut kills, mut number, mut calls) = (0, 1, CALLS.into_iter());
    let mut call = calls.next();
    while let Some(present) = call {
        let delivery = export(&stage, 2);
        let killed = kill_before_call(&stage, "center", &cancel(&delivery), present, number);
        let is_in_the_books = stage.answer("facility deliveries")["deliveries"] == Value::Array(Vec::new());
        let cancelled = stage.guids("scrapped").len();
        assert_eq!(cancelled % 2, 0, "{number}");
        assert!(is_in_the_books || pending(&stage).len() == 1, "{number}");
        stage.answer(&cancel(&delivery));
        assert_eq!(pending(&stage), Vec::<PathBuf>::new());
        assert_eq!(sorted(stage.guids("scrapped")), sorted(stage.guids("guid-given")));
        if killed {
            kills += 1;
            number += 1;
        } else {
            (call, number) = (calls.next(), 1);
        }
    }
    assert!(kills >= 3, "{kills}");
    assert_eq!(revoked(&stage), stage.guids("guid-given").len() * 4);
    stage.answer("records verify");
}
