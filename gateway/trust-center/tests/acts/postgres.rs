//! The books on a PostgreSQL server, which the test starts for itself.

use std::process::Stdio;

use crate::cluster::Cluster;
use crate::facility::answer_in;
use crate::stage::Stage;

#[test]
fn deliveries_requests_and_access_rules_are_found_on_a_server() {
    let cluster = Cluster::start();
    let stage = Stage::new();
    stage.answer(&format!("init --name Centre --books {}", cluster.url()));
    stage.supplier("works");
    stage.answer("certify --requests works");
    answer_in(&stage, "factory", "facility init --name Factory");
    stage.answer("certify-facility --requests factory");
    let mut deliveries = Vec::new();
    for file in ["one.cms", "two.cms"] {
        let line = format!("facility export --facility Factory --cards 2 --out {file}");
        deliveries.push(stage.answer(&line)["delivery"].clone());
    }
    let pending = |stage: &Stage| {
        let listed = stage.answer("facility deliveries");
        let listed = listed["deliveries"].as_array().unwrap().clone();
        listed
            .iter()
            .map(|pending| (pending["delivery"].clone(), pending["cards"].clone()))
            .collect::<Vec<_>>()
    };
    let cards = |delivery: &serde_json::Value| (delivery.clone(), 2.into());
    assert_eq!(pending(&stage), [cards(&deliveries[0]), cards(&deliveries[1])]);
    let name = deliveries[0].as_str().unwrap();
    let cancelled = stage.answer(&format!("facility cancel --delivery {name}"));
    assert_eq!(cancelled["guids"].as_array().unwrap().len(), 2);
    assert_eq!(pending(&stage), [cards(&deliveries[1])]);
    let rules = stage.answer("broker-acl");
    assert_eq!(rules["parties"], serde_json::json!(["Centre", "works"]));
    assert!(stage.run("tsm requests list").status.success());
    stage.answer("records verify");
}

#[test]
fn books_on_a_server_are_kept_as_those_in_a_file() {
    let cluster = Cluster::start();
    let stage = Stage::new();
    stage.answer(&format!("init --name Centre --books {}", cluster.url()));
    assert!(!stage.home().join("books.db").exists());
    stage.supplier("works");
    stage.answer("certify --requests works");
    let run = |name: &str| {
        let line = format!("personalize --card soft:cards-{name} --batch 8 --labels labels-{name}");
        stage.command(&line).stdout(Stdio::null()).spawn().unwrap()
    };
    let (mut one, mut other) = (run("one"), run("other"));
    assert!(one.wait().unwrap().success() && other.wait().unwrap().success());
    assert_eq!(stage.guids("personalized").len(), 16);
    stage.answer("revoke --name works --reason unspecified");
    stage.answer("crl");
    stage.answer("records verify");
    let mut second = stage.command_in("second", &format!("init --name Second --books {}", cluster.url()));
    let second = second.output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(
        !second.status.success() && said.contains("somebody's books"),
        "{said}"
    );

    for statement in [
        "UPDATE records SET act = '{}'",
        "DELETE FROM guids",
        "TRUNCATE certificates CASCADE",
        "INSERT INTO records VALUES (1000, '', '', '')",
        "INSERT INTO guids SELECT guid, station, batch, record FROM guids",
    ] {
        assert!(!cluster.sql(statement), "{statement}");
    }
    stage.answer("records verify");
    assert!(cluster.sql("ALTER TABLE records DISABLE TRIGGER ALL; UPDATE records SET time = '2020-01-01T00:00:00Z' WHERE number = 3"));
    assert_eq!(stage.run("records verify").status.code(), Some(3));
}

#[test]
fn server_that_is_gone_is_a_clear_error_and_leaves_the_card_blank() {
    let cluster = Cluster::start();
    let stage = Stage::new();
    stage.answer(&format!("init --name Centre --books {}", cluster.url()));
    cluster.control("stop");
    let said = stage.error("personalize --card soft:card");
    assert!(said.contains("the books cannot be kept"), "{said}");
    assert!(!stage.path("card").exists());
    cluster.control("start");
    stage.answer("personalize --card soft:card");
    assert_eq!(stage.guids("guid-given").len(), 1);
    stage.answer("records verify");
}

/// A trust centre with two cards, one of them revoked, and lists.
fn at_work() -> Stage {
    let stage = Stage::founded();
    stage.supplier("works");
    stage.answer("certify --requests works");
    stage.answer("personalize --card soft:one");
    let other = stage.answer("personalize --card soft:other");
    let guid = other["guid"].as_str().unwrap();
    stage.answer(&format!("revoke --guid {guid} --reason unspecified"));
    stage.answer("crl");
    stage
}

#[test]
fn books_are_moved_to_a_server_with_every_record() {
    let cluster = Cluster::start();
    let stage = at_work();
    let before = stage.answer("records verify");
    let records = stage.records();
    // A program that has the old books open.
    let directory = crate::directory::Server::start(&stage);
    let moved = stage.answer(&format!("books move --to {}", cluster.url()));
    let count = before["records"].as_u64().unwrap();
    assert_eq!(moved["records"], count + 1);
    assert!(stage.home().join("books.db.moved").exists() && !stage.home().join("books.db").exists());
    let now = stage.records();
    let (last, first) = now.split_last().unwrap();
    assert_eq!(first, records);
    assert_eq!(
        (&last["act"], &last["head"]),
        (&"books-moved".into(), &before["head"])
    );
    stage.answer("records verify");
    drop(directory);

    // Work goes on, and the old certificates are known.
    stage.answer("personalize --card soft:third");
    stage.answer("revoke --name works --reason unspecified");
    assert_eq!(stage.answer("crl")["lists"][1]["number"], 2);
    assert!(!cluster.sql("DELETE FROM certificates"));
    let said = stage.error(&format!("books move --to {}", cluster.url()));
    assert!(said.contains("on a server already"), "{said}");

    // The old books are refused wherever they turn up.
    std::fs::create_dir(stage.path("second")).unwrap();
    std::fs::copy(stage.home().join("books.db.moved"), stage.path("second/books.db")).unwrap();
    let second = stage.command_in("second", "records verify").output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(
        !second.status.success() && said.contains("have been moved"),
        "{said}"
    );
    let again = stage.command_in("second", &format!("books move --to {}", cluster.url()));
    let said = String::from_utf8_lossy(&{ again }.output().unwrap().stderr).into_owned();
    assert!(said.contains("not those in the file"), "{said}");
}

#[test]
fn move_of_the_books_that_is_killed_again_and_again_comes_to_its_end() {
    let cluster = Cluster::start();
    let stage = at_work();
    let records = stage.records();
    let line = format!("books move --to {}", cluster.url());
    let (mut kills, mut ended) = (0, false);
    while !ended {
        let mut child = stage
            .command(&line)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // From the first instant on, a little later each time, until it is done before it is killed.
        std::thread::scope(|_| {
            let until = std::time::Instant::now() + std::time::Duration::from_millis(kills * 3);
            while std::time::Instant::now() < until {
                std::thread::yield_now();
            }
        });
        drop(child.kill());
        ended = child.wait().unwrap().success();
        kills += 1;
        // The old or the new books are in force, never none and never both.
        let is_marked =
            String::from_utf8_lossy(&stage.run("records verify").stderr).contains("have been moved");
        assert!(is_marked || stage.records()[..records.len()] == records);
    }
    assert!(kills > 5, "{kills}");
    if stage.home().join("books.db").exists() {
        stage.answer(&line);
    }
    assert!(stage.home().join("books.url").exists());
    assert_eq!(stage.records().len(), records.len() + 1);
    stage.answer("records verify");
}

#[test]
fn books_are_not_moved_over_others_nor_when_they_are_altered() {
    let cluster = Cluster::start();
    let stage = at_work();
    let mut second = stage.command_in("second", &format!("init --name Second --books {}", cluster.url()));
    assert!(second.output().unwrap().status.success());
    let said = stage.error(&format!("books move --to {}", cluster.url()));
    assert!(said.contains("name another, empty database"), "{said}");
    let said = stage.error("books move --to mysql://host/books");
    assert!(said.contains("postgres://"), "{said}");
    stage.answer("personalize --card soft:third");
    stage.answer("records verify");

    let path = stage.home().join("books.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let act = b"\"act\":\"founded\"";
    // A page that was split may have kept a copy that is not read any more.
    for at in 0..bytes.len() - act.len() - 10 {
        if bytes[at..].starts_with(act) {
            bytes[at + act.len() + 10] ^= 1;
        }
    }
    std::fs::write(&path, bytes).unwrap();
    let output = stage.run(&format!("books move --to {}", cluster.url()));
    assert_eq!(output.status.code(), Some(3));
}
