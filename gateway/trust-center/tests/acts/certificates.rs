//! What the authority makes, judged by OpenSSL.

use std::os::unix::fs::PermissionsExt;

use crate::stage::{Stage, read};

const CHAIN: [&str; 4] = ["-CAfile", "center/root.pem", "-untrusted", "center/chain.pem"];

/// The arguments of `openssl verify` with the lists of both authorities.
fn verify(certificate: &str) -> Vec<&str> {
    let lists = ["-crl_check_all", "-CRLfile", "lists.pem"];
    ["verify", "-x509_strict"]
        .into_iter()
        .chain(CHAIN)
        .chain(lists)
        .chain([certificate])
        .collect()
}

fn write_lists(stage: &Stage) {
    let lists = ["root.crl", "issuing.crl"].map(|name| read(&stage.home().join(name)));
    std::fs::write(stage.path("lists.pem"), lists.concat()).unwrap();
}

#[test]
fn openssl_accepts_certificates_and_lists_and_refuses_what_is_revoked() {
    let stage = Stage::founded();
    stage.supplier("works");
    stage.answer("certify --requests works");
    stage.supplier("other");
    stage.answer("certify --requests other");
    let lists = stage.answer("crl");
    assert_eq!(lists["lists"][1]["number"], 1);
    write_lists(&stage);
    for certificate in [
        "works/sig.pem",
        "works/enc.pem",
        "works/tls.pem",
        "center/tsm/sig.pem",
        "center/issuing.pem",
    ] {
        stage.openssl(&verify(certificate));
    }

    let revoked = stage.answer("revoke --name works --reason key-compromise");
    assert_eq!(revoked["revoked"], 3);
    let said = stage.error("revoke --name works --reason key-compromise");
    assert!(said.contains("no certificate that holds"), "{said}");
    stage.answer("revoke --certificate center/tsm/enc.pem --reason superseded");
    let lists = stage.answer("crl --days 30");
    assert_eq!(
        (&lists["lists"][1]["number"], &lists["lists"][1]["revoked"]),
        (&2.into(), &3.into())
    );
    write_lists(&stage);
    for certificate in [
        "works/sig.pem",
        "works/enc.pem",
        "works/tls.pem",
        "center/tsm/enc.pem",
    ] {
        let output = stage.openssl_output(&verify(certificate));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains("certificate revoked"),
            "{said}"
        );
    }
    stage.openssl(&verify("other/sig.pem"));
    // The trust centre itself is not revoked by its name.
    let said = stage.error("revoke --name Centre --reason unspecified");
    assert!(said.contains("no certificate that holds"), "{said}");

    check_list(&stage);
    // A TSM that is revoked can be renewed.
    stage.answer("renew --tsm");
    assert!(stage.answer("records verify")["records"].as_u64().unwrap() > 8);
}

/// Has OpenSSL show and verify the issuing authority's list.
fn check_list(stage: &Stage) {
    let list = stage.openssl(&[
        "crl",
        "-in",
        "center/issuing.crl",
        "-noout",
        "-text",
        "-CAfile",
        "center/chain.pem",
    ]);
    for part in [
        "Version 2",
        "CRL Number",
        "Authority Key Identifier",
        "Next Update",
        "Key Compromise",
        "ecdsa-with-SHA256",
    ] {
        assert!(list.contains(part), "{part}: {list}");
    }
    let verified = stage.openssl_output(&[
        "crl",
        "-in",
        "center/issuing.crl",
        "-noout",
        "-CAfile",
        "center/chain.pem",
    ]);
    assert!(String::from_utf8_lossy(&verified.stderr).contains("verify OK"));
}

#[test]
fn profiles_are_what_they_should_be() {
    let stage = Stage::founded();
    let text = |file: &str| stage.openssl(&["x509", "-in", file, "-noout", "-text"]);
    assert!(text("center/root.pem").contains("CA:TRUE, pathlen:1"));
    let issuing = text("center/issuing.pem");
    assert!(
        issuing.contains("CA:TRUE, pathlen:0") && issuing.contains("Certificate Sign, CRL Sign"),
        "{issuing}"
    );
    assert!(text("center/tsm/sig.pem").contains("Digital Signature"));

    stage.openssl(&[
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=whatever",
        "-keyout",
        "broker.key",
        "-out",
        "broker.csr",
    ]);
    stage.answer("certify-broker --request broker.csr --dns Broker.example --dns b.example --out broker.pem");
    let broker = text("broker.pem");
    for part in [
        "DNS:broker.example, DNS:b.example",
        "TLS Web Server Authentication",
        "OU = Broker",
    ] {
        assert!(broker.contains(part), "{part}: {broker}");
    }
    assert!(!broker.contains("Client"));
    let arguments = [
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-verify_hostname",
        "b.example",
    ];
    stage.openssl(
        &arguments
            .into_iter()
            .chain(CHAIN)
            .chain(["broker.pem"])
            .collect::<Vec<_>>(),
    );
    let said = stage.error("certify-broker --request broker.csr --dns *.example --out broker.pem");
    assert!(said.contains("DNS name"), "{said}");

    let card = stage.answer("personalize --card soft:card");
    let guid = card["guid"].as_str().unwrap();
    stage.answer(&format!("renew --guid {guid}"));
    stage.answer("renew --tsm");
    stage.answer("certify-broker --request broker.csr --dns b.example --out broker.pem");
    let said = stage.error("renew --guid fd5a::1");
    assert!(said.contains("check the GUID"), "{said}");
}

#[test]
fn keys_are_encrypted_and_openssl_opens_them_with_the_passphrase() {
    let mut stage = Stage::founded();
    for name in ["root", "issuing", "tsm/sig", "tsm/enc", "tsm/tls"] {
        let path = stage.home().join(format!("{name}.key"));
        assert!(
            read(&path).starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"),
            "{name}"
        );
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let file = path.to_str().unwrap();
        stage.openssl(&[
            "pkey",
            "-in",
            file,
            "-passin",
            "pass:a passphrase of tests",
            "-noout",
            "-text",
        ]);
        let wrong = stage.openssl_output(&[
            "pkey",
            "-in",
            file,
            "-passin",
            "pass:another passphrase",
            "-noout",
        ]);
        assert!(!wrong.status.success());
    }
    assert!(!stage.home().join("passphrase").exists());

    stage.environment = vec![("TRUST_CENTER_PASSPHRASE", "another passphrase".to_owned())];
    let said = stage.error("crl");
    assert!(said.contains("does not open"), "{said}");
    // A list that was not signed leaves no record.
    assert!(
        stage
            .records()
            .iter()
            .all(|record| record["act"] != "list-signed")
    );
    stage.environment.clear();
    let said = stage.error("crl");
    assert!(said.contains("--passphrase-file"), "{said}");
    std::fs::write(stage.path("secret"), "a passphrase of tests\n").unwrap();
    stage.answer("crl --passphrase-file secret");
    let mut through_descriptor = stage.command("crl --passphrase-file /dev/fd/0");
    let through_descriptor = through_descriptor.stdin(std::fs::File::open(stage.path("secret")).unwrap());
    assert!(through_descriptor.status().unwrap().success());
    assert!(
        stage
            .error("crl --passphrase secret")
            .contains("unexpected argument")
    );
}

#[test]
fn trust_centre_without_a_passphrase_draws_one() {
    let mut stage = Stage::new();
    stage.environment.clear();
    let output = stage.run("init --name Centre");
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("move it elsewhere"));
    let passphrase = stage.home().join("passphrase");
    assert_eq!(passphrase.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    stage.answer("crl");
    std::fs::rename(passphrase, stage.path("elsewhere")).unwrap();
    stage.answer("crl --passphrase-file elsewhere");
}

#[test]
fn altered_books_have_an_exit_code_of_their_own() {
    let stage = Stage::founded();
    let bytes = std::fs::read(stage.home().join("books.db")).unwrap();
    let act = b"\"act\":\"founded\"";
    let found = bytes.windows(act.len()).position(|window| window == act).unwrap();
    let mut altered = bytes.clone();
    altered[found + act.len() + 10] ^= 1;
    std::fs::write(stage.home().join("books.db"), altered).unwrap();
    let output = stage.run("records verify");
    assert_eq!(
        output.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
