//! Bad input from every side: the cause is named, and nothing else is harmed.

use std::path::Path;

use system::{Command, Finished, Folder, House, Interrupt, Program, Programs, Query, Stage, Supplier};

use crate::steps::{gateway_log, granted, house, pull_until, read};

/// Where the gateway takes messages, HTTP POST.
const MESSAGES: &str = "/smgw/v1/messages";
/// The exit code for a faulty configuration (`EX_CONFIG` of sysexits.h).
const BAD_CONFIG: i32 = 78;

#[test]
fn configuration_with_an_unknown_key_is_refused_with_file_line_and_key() {
    let folder = Folder::temporary().unwrap();
    let stage = Stage::set(Programs::find().unwrap(), folder, Interrupt::default()).unwrap();
    let text = format!(
        "data = {:?}\nregistration_perod = \"PT5S\"\n",
        stage.path("data").display().to_string()
    );
    let config = stage.write("smgw.toml", &text).unwrap();
    for command in [
        stage.command(Program::Smgw, "run").option("--config", &config),
        stage.command(Program::Smgw, "config").arg("check").arg(&config),
    ] {
        let finished = stage.run(&command).unwrap();
        assert_eq!(finished.code, Some(BAD_CONFIG));
        let log = finished.log_text().unwrap();
        for word in ["smgw.toml", "registration_perod"] {
            assert!(log.contains(word), "{word} is not in: {log}");
        }
        assert!(log.contains(":2") || log.contains("line 2"), "{log}");
    }
}

#[test]
fn supplier_of_another_authority_is_refused_and_the_rightful_one_still_served() {
    let house = house();
    let other = house
        .stage
        .found_trust_center("other-trust-center", "Other Trust Centre")
        .unwrap();
    let stranger = house
        .stage
        .found_supplier("stranger", "Stranger", &other)
        .unwrap();
    // Our own program would not even start with such certificates, so OpenSSL plays the stranger.
    let finished = post(&house, stranger.home(), b"hello");
    assert!(finished.lines.is_empty(), "{:?}", finished.lines);
    let log = gateway_log(&house);
    assert_eq!(log.matches("handshake failed").count(), 1, "{log}");
    assert!(log.contains("UnknownIssuer"), "{log}");
    pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
}

#[test]
fn certificates_of_another_authority_are_refused_by_the_suppliers_own_program() {
    let house = house();
    let other = house
        .stage
        .found_trust_center("other-trust-center", "Other Trust Centre")
        .unwrap();
    let stranger = house
        .stage
        .found_supplier("stranger", "Stranger", &other)
        .unwrap();
    let root = house.stage.trust_center().join("root.pem");
    std::fs::copy(root, stranger.home().join("root.pem")).unwrap();
    assert_fails_with_one_chain(&house, &stranger, "certificate");
}

#[test]
fn gateway_of_another_authority_is_refused_by_the_supplier() {
    let house = house();
    let other = house
        .stage
        .found_trust_center("other-trust-center", "Other Trust Centre")
        .unwrap();
    std::fs::copy(other.join("root.pem"), house.supplier.home().join("root.pem")).unwrap();
    assert_fails_with_one_chain(&house, &house.supplier, "certificate");
}

#[test]
fn supplier_without_a_grant_is_told_so() {
    let house = house();
    let newcomer = house
        .stage
        .found_supplier("newcomer", "Newcomer", &house.stage.trust_center())
        .unwrap();
    // It has the gateway's certificates, as from a directory, and yet gets nothing.
    let known = Path::new("gateways").join(house.card.guid.replace(':', "-"));
    std::fs::create_dir_all(newcomer.home().join(&known)).unwrap();
    for file in ["sig.pem", "enc.pem", "tls.pem"] {
        let file = known.join(file);
        std::fs::copy(house.supplier.home().join(&file), newcomer.home().join(&file)).unwrap();
    }
    assert_fails_with_one_chain(&house, &newcomer, "no-grant");
}

#[test]
fn truncated_message_is_refused_and_logged_and_the_next_whole_one_answered() {
    let house = house();
    let kept = house.stage.path("kept");
    let query = Query {
        keep: Some(kept.clone()),
        ..granted(&house)
    };
    house.supplier.pull(&house.stage, &query).unwrap();
    let mut files = std::fs::read_dir(&kept)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let request = files
        .find(|file| file.to_string_lossy().ends_with("-request.cms"))
        .unwrap();
    let whole = std::fs::read(request).unwrap();
    let logged_before = gateway_log(&house).lines().count();
    let finished = post(&house, house.supplier.home(), &whole[..whole.len() / 2]);
    let log = read(&finished.log);
    let answer = finished.lines.into_iter().next();
    let answer = answer.unwrap_or_else(|| panic!("no answer: {log}"));
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(
        gateway_log(&house).lines().count(),
        logged_before + 1,
        "{}",
        gateway_log(&house)
    );
    pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
}

#[test]
fn message_that_comes_twice_is_refused_after_a_restart_too() {
    let mut house = house();
    let kept = house.stage.path("kept");
    let query = Query {
        keep: Some(kept.clone()),
        ..granted(&house)
    };
    house.supplier.pull(&house.stage, &query).unwrap();
    let request = std::fs::read(kept.join("0001-request.cms")).unwrap();
    let status_line = |house: &House| {
        let finished = post(house, house.supplier.home(), &request);
        finished.lines.into_iter().next().unwrap()
    };
    assert!(status_line(&house).starts_with("HTTP/1.1 409 "));
    house.gateway.stop().unwrap();
    house.start_gateway_again("operational").unwrap();
    assert!(status_line(&house).starts_with("HTTP/1.1 409 "));
    assert_eq!(gateway_log(&house).matches("replayed").count(), 1);
    pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
}

/// Posts a body to the gateway over mutual TLS with OpenSSL, with the TLS key and certificate of a
/// supplier's home; the answer is in the lines.
fn post(house: &House, home: &Path, body: &[u8]) -> Finished {
    let mut request = format!(
        "POST {MESSAGES} HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/pkcs7-mime\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend(body);
    let file = house.stage.path("request.http");
    std::fs::write(&file, request).unwrap();
    let script = r#"exec openssl s_client -quiet -connect "$1" -CAfile "$2" -cert "$3/tls.pem" -key "$3/tls.key" < "$4""#;
    let command = Command::new("openssl s_client", Path::new("sh"))
        .option("-c", script)
        .arg("sh")
        .arg(house.status.wan.as_deref().unwrap())
        .arg(house.stage.trust_center().join("root.pem"))
        .arg(home)
        .arg(&file);
    house.stage.run(&command).unwrap()
}

fn assert_fails_with_one_chain(house: &House, supplier: &Supplier, word: &str) {
    let finished = supplier.try_pull(&house.stage, &granted(house)).unwrap();
    assert_eq!(finished.code, Some(1), "{:?}", finished.lines);
    assert!(finished.lines.is_empty(), "{:?}", finished.lines);
    assert_names(&finished.log, word);
}

fn assert_names(log: &Path, word: &str) {
    let text = read(log).to_lowercase();
    assert!(
        !text.trim().is_empty() && text.contains(word),
        "{word:?} is not in: {text}"
    );
}
