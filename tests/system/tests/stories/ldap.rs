//! The directory on an LDAP server, read back with foreign tools alone.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use system::{Finished, Folder, Interrupt, LdapServer, LogTail, Program, Programs, Stage};

fn stage() -> Stage {
    Stage::set(
        Programs::find().unwrap(),
        Folder::temporary().unwrap(),
        Interrupt::default(),
    )
    .unwrap()
}

/// Runs an act of the trust centre.
fn act(stage: &Stage, line: &str, more: &[(&str, &str)]) -> Finished {
    let mut words = line.split(' ');
    let command = stage.command(Program::TrustCenter, words.next().unwrap());
    let command = words.fold(command, |command, word| command.arg(word));
    let command = command.arg("--json").option("--home", stage.trust_center());
    let command = more
        .iter()
        .fold(command, |command, (name, value)| command.option(name, value));
    stage.run(&command).unwrap()
}

/// Runs an act that must succeed; returns its answer.
fn answer(stage: &Stage, line: &str, more: &[(&str, &str)]) -> Value {
    let finished = act(stage, line, more);
    serde_json::from_str(finished.answer().unwrap()).unwrap()
}

/// Runs an act that must fail; returns what it says.
fn error(stage: &Stage, line: &str, more: &[(&str, &str)]) -> String {
    let finished = act(stage, line, more);
    assert_eq!(finished.code, Some(1), "{line}");
    LogTail::of(&finished.log).to_string()
}

/// The options with which the writer publishes to this address.
fn writer<'a>(address: &'a str, password: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("--ldap", address),
        ("--base", LdapServer::BASE),
        ("--bind", LdapServer::WRITER),
        ("--password-file", password),
    ]
}

/// Writes the values of a binary attribute as files, and returns how many there are.
fn values(lines: &[String], attribute: &str, folder: &Path) -> Vec<std::path::PathBuf> {
    let prefix = format!("{attribute}:: ");
    let values = lines.iter().filter_map(|line| line.strip_prefix(&prefix));
    let write = |(number, value): (usize, &str)| {
        let path = folder.join(format!("value-{number}.der"));
        let base64 = folder.join("value.base64");
        std::fs::write(&base64, value).unwrap();
        let mut decode = Command::new("openssl");
        decode
            .args(["base64", "-d", "-A", "-in"])
            .arg(base64)
            .arg("-out")
            .arg(&path);
        assert!(decode.status().unwrap().success());
        path
    };
    values.enumerate().map(write).collect()
}

fn openssl(arguments: &[&str], file: &Path) -> (bool, String) {
    let output = Command::new("openssl")
        .args(arguments)
        .arg(file)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// Has OpenSSL verify the certificates of a card.
fn check_card(stage: &Stage, guid: &str, certificates: &[std::path::PathBuf]) {
    assert_eq!(certificates.len(), 4);
    let home = stage.trust_center();
    let [root, chain] = ["root.pem", "chain.pem"].map(|name| home.join(name));
    let mut keys = std::collections::BTreeSet::new();
    for certificate in certificates {
        let pem = stage.path("certificate.pem");
        let convert = ["x509", "-inform", "DER", "-out", pem.to_str().unwrap(), "-in"];
        assert!(openssl(&convert, certificate).0);
        let verify = [
            "verify",
            "-CAfile",
            root.to_str().unwrap(),
            "-untrusted",
            chain.to_str().unwrap(),
        ];
        assert!(openssl(&verify, &pem).0);
        let (_, text) = openssl(&["x509", "-noout", "-subject", "-in"], &pem);
        assert!(text.contains(guid), "{text}");
        keys.insert(openssl(&["x509", "-noout", "-pubkey", "-in"], &pem).1);
    }
    assert_eq!(keys.len(), 4);
}

#[test]
fn certificates_and_lists_on_an_ldap_server_are_what_the_books_say() {
    let stage = stage();
    let server = LdapServer::start(&stage, "ldap").unwrap();
    let (first, second) = (
        stage.personalize("first").unwrap().guid,
        stage.personalize("second").unwrap().guid,
    );
    answer(&stage, "crl", &[]);
    let password = server.password_file();
    let password = password.to_str().unwrap();
    let address = server.address();
    let publish = || answer(&stage, "directory publish", &writer(&address, password));
    let counts = |answer: &Value| {
        ["added", "changed", "removed", "unchanged"].map(|count| answer[count].as_u64().unwrap())
    };
    assert_eq!(counts(&publish()), [4, 0, 0, 0]);
    assert_eq!(counts(&publish()), [0, 0, 0, 4]);

    let entry = |name: &str| format!("cn={name},{}", LdapServer::BASE);
    let found = server
        .search(&entry(&first), &["userCertificate;binary", "objectClass"])
        .unwrap();
    assert!(found.contains(&"objectClass: pkiUser".to_owned()), "{found:?}");
    let certificates = values(&found, "userCertificate;binary", &stage.path(""));
    check_card(&stage, &first, &certificates);
    let found = server
        .search(&entry("root"), &["cACertificate;binary", "objectClass"])
        .unwrap();
    assert!(found.contains(&"objectClass: pkiCA".to_owned()), "{found:?}");
    assert_eq!(values(&found, "cACertificate;binary", &stage.path("")).len(), 1);

    // What is revoked goes, and stands on the list.
    let reason = [("--guid", second.as_str()), ("--reason", "key-compromise")];
    answer(&stage, "revoke", &reason);
    answer(&stage, "crl", &[]);
    assert_eq!(counts(&publish()), [0, 2, 1, 1]);
    assert!(server.search(&entry(&second), &[]).is_none());
    let chain = stage.trust_center().join("chain.pem");
    let (_, issuing) = openssl(&["x509", "-noout", "-ext", "subjectKeyIdentifier", "-in"], &chain);
    let identifier = issuing
        .lines()
        .last()
        .unwrap()
        .trim()
        .replace(':', "")
        .to_lowercase();
    let found = server
        .search(
            &entry(&format!("issuing-{identifier}")),
            &["certificateRevocationList;binary"],
        )
        .unwrap();
    let list = values(&found, "certificateRevocationList;binary", &stage.path(""));
    let [list] = list.as_slice() else {
        panic!("{found:?}");
    };
    let check = [
        "crl",
        "-inform",
        "DER",
        "-noout",
        "-text",
        "-CAfile",
        chain.to_str().unwrap(),
        "-in",
    ];
    let (verified, text) = openssl(&check, list);
    assert!(verified && text.contains("verify OK"), "{text}");
    assert_eq!(text.matches("Key Compromise").count(), 4, "{text}");
}

#[test]
fn server_is_reached_with_tls_and_refused_with_a_cause() {
    let stage = stage();
    let server = LdapServer::start(&stage, "ldap").unwrap();
    stage.personalize("first").unwrap();
    let (password, authority) = (server.password_file(), server.authority());
    let (password, authority) = (password.to_str().unwrap(), authority.to_str().unwrap());
    let [plain, tls] = [server.address(), server.tls_address()];

    let mut options = writer(&tls, password);
    let said = error(&stage, "directory publish", &options);
    assert!(said.contains("--ca"), "{said}");
    options.push(("--ca", authority));
    assert_eq!(answer(&stage, "directory publish", &options)["added"], 3);
    let mut options = writer(&plain, password);
    options.push(("--ca", authority));
    let answered = answer(&stage, "directory publish --starttls", &options);
    assert_eq!(answered["unchanged"], 3);

    // A server of another authority, another name, or none at all.
    let root = stage.trust_center().join("root.pem");
    let mut options = writer(&tls, password);
    options.push(("--ca", root.to_str().unwrap()));
    let said = error(&stage, "directory publish", &options);
    assert!(said.contains("check its address, its certificate"), "{said}");
    let other = tls.replace("localhost", "127.0.0.1");
    let mut options = writer(&other, password);
    options.push(("--ca", authority));
    let said = error(&stage, "directory publish", &options);
    assert!(said.contains("check its address, its certificate"), "{said}");
    let said = error(
        &stage,
        "directory publish",
        &writer("ldap://localhost:1", password),
    );
    assert!(said.contains("no connection"), "{said}");
    let said = error(&stage, "directory publish", &writer("http://localhost", password));
    assert!(said.contains("ldap://HOST"), "{said}");

    let wrong = stage.write("wrong", "another password").unwrap();
    let said = error(
        &stage,
        "directory publish",
        &writer(&plain, wrong.to_str().unwrap()),
    );
    assert!(
        said.contains("result 49") && said.contains("check --bind"),
        "{said}"
    );
    let said = error(
        &stage,
        "directory publish",
        &writer("ldap://ldap.example", password),
    );
    assert!(said.contains("in clear"), "{said}");
    let mut options = writer(&plain, password);
    options[1].1 = "ou=nowhere,dc=example";
    let said = error(&stage, "directory publish", &options);
    assert!(said.contains("no entry \"ou=nowhere,dc=example\""), "{said}");
    // Nobody in particular may read, and not write.
    let anybody = [("--ldap", plain.as_str()), ("--base", LdapServer::BASE)];
    stage.personalize("second").unwrap();
    let said = error(&stage, "directory publish", &anybody);
    assert!(said.contains("check its access rules"), "{said}");
}
