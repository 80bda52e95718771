//! The access rules for a broker, and the names that would be dangerous in them.

use crate::facility::{answer_in, error_in};
use crate::stage::Stage;

fn rules(stage: &Stage, options: &str) -> String {
    let printed = stage.answer(&format!("broker-acl{options}"));
    assert_eq!(printed["schema"], "trust-center.broker-acl/1");
    printed["rules"].as_str().unwrap().to_owned()
}

/// The fingerprint of a certificate, as OpenSSL says it.
fn fingerprint(stage: &Stage, certificate: &str) -> String {
    let said = stage.openssl(&["x509", "-in", certificate, "-noout", "-fingerprint", "-sha256"]);
    let (_, digits) = said.trim().split_once('=').unwrap();
    digits.replace(':', "").to_lowercase()
}

/// The lines between `user NAME` and the next user.
fn lines_of<'a>(rules: &'a str, name: &str) -> Vec<&'a str> {
    let mut lines = rules.lines().skip_while(|line| *line != format!("user {name}"));
    assert!(lines.next().is_some(), "{name}: {rules}");
    lines
        .take_while(|line| !line.starts_with("user "))
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn rules_name_every_party_with_its_certificates_and_nobody_who_is_revoked() {
    let stage = Stage::founded();
    for name in ["works", "other"] {
        stage.supplier(name);
        stage.answer(&format!("certify --requests {name}"));
    }
    let (first, tsm) = (
        fingerprint(&stage, "works/sig.pem"),
        fingerprint(&stage, "center/tsm/sig.pem"),
    );
    let text = rules(&stage, "");
    assert!(text.contains("\npattern read smgw/v1/+/%u/req/+\n"), "{text}");
    let topics = |fingerprint: &str| {
        [
            format!("topic write smgw/v1/+/+/req/{fingerprint}"),
            format!("topic write smgw/v1/+/+/ack/{fingerprint}"),
            format!("topic read smgw/v1/+/+/rsp/{fingerprint}"),
        ]
    };
    let presence = "topic read smgw/v1/+/+/presence".to_owned();
    assert_eq!(
        lines_of(&text, "works"),
        [&topics(&first)[..], std::slice::from_ref(&presence)].concat()
    );
    assert_eq!(lines_of(&text, "Centre")[..3], topics(&tsm));
    assert!(
        !text.contains("FINGERPRINT") && !text.contains("City Works"),
        "{text}"
    );

    // A renewed party has its old certificate until that one ends.
    stage.answer("renew --requests works");
    let second = fingerprint(&stage, "works/sig.pem");
    let text = rules(&stage, "");
    let expected = [
        &topics(&first)[..],
        &topics(&second),
        std::slice::from_ref(&presence),
    ]
    .concat();
    assert_eq!(lines_of(&text, "works"), expected);
    stage.answer("revoke --name works --reason key-compromise");
    let text = rules(&stage, "");
    assert!(
        !text.contains(&first) && !text.contains(&second) && !text.contains("user works"),
        "{text}"
    );
    assert!(text.contains("user other"), "{text}");
    // For people it is the file itself.
    let output = stage.command("broker-acl").output().unwrap();
    assert!(output.status.success());
}

#[test]
fn rules_name_each_gateway_whose_card_is_alive_on_demand() {
    let stage = Stage::founded();
    let guids = ["one", "two"].map(|card| {
        let made = stage.answer(&format!("personalize --card soft:{card}"));
        made["guid"].as_str().unwrap().to_owned()
    });
    stage.answer(&format!(
        "revoke --guid {} --reason cessation-of-operation",
        guids[1]
    ));
    let text = rules(&stage, " --gateways");
    let guid = &guids[0];
    assert_eq!(
        lines_of(&text, guid),
        [
            format!("topic read smgw/v1/+/{guid}/req/+"),
            format!("topic read smgw/v1/+/{guid}/ack/+"),
            format!("topic write smgw/v1/+/{guid}/rsp/+"),
            format!("topic write smgw/v1/+/{guid}/presence"),
            format!("topic readwrite smgw/v1/+/{guid}/echo"),
        ]
    );
    assert!(!text.contains("pattern ") && !text.contains(&guids[1]), "{text}");
}

#[test]
fn nobody_is_certified_by_a_name_that_a_broker_takes_for_others() {
    let stage = Stage::founded();
    for (folder, name, said) in [
        ("plus", "\\+", "without + # / %"),
        ("hash", "Works #1", "without + # / %"),
        ("slash", "Gas\\/Water", "without + # / %"),
        ("substitution", "%u", "without + # / %"),
        ("gateway", "fd5a::1", "is an address"),
        ("space", "Works ", "begins or ends with a space"),
        ("center", "Centre", "choose another name"),
    ] {
        let folder = format!("supplier-{folder}");
        stage.supplier_called(&folder, name);
        let error = stage.error(&format!("certify --requests {folder}"));
        assert!(error.contains(said), "{name}: {error}");
        assert!(!stage.path(&folder).join("sig.pem").exists());
    }
    answer_in(&stage, "factory", "facility init --name %u");
    let error = stage.error("certify-facility --requests factory");
    assert!(error.contains("without + # / %"), "{error}");
    let error = error_in(&stage, "elsewhere", "init --name fd5a::1");
    assert!(error.contains("is an address"), "{error}");
    assert!(!stage.path("elsewhere").exists());
}

#[test]
fn name_is_one_suppliers_and_a_compromised_key_is_never_certified_again() {
    let stage = Stage::founded();
    stage.supplier("works");
    stage.answer("certify --requests works");
    stage.answer("certify --requests works");
    // Somebody else asks for the name; only the operator can say that it is the same.
    stage.supplier_called("second", "works");
    let said = stage.error("certify --requests second");
    assert!(said.contains("renew --requests"), "{said}");
    stage.answer("renew --requests second");
    stage.answer("revoke --name works --reason key-compromise");
    for folder in ["works", "second"] {
        for act in ["certify", "renew"] {
            let said = stage.error(&format!("{act} --requests {folder}"));
            assert!(
                said.contains("compromised") && said.contains("new keys"),
                "{said}"
            );
        }
    }
    stage.supplier_called("third", "works");
    stage.answer("renew --requests third");
    stage.answer("records verify");
}
