//! Tests against a foreign implementation: OpenSSL (Debian's program) reads what we write, and we
//! read what it writes. What it wrote once stands in `tests/vectors/messages`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use model::KeySlot;

use crate::certificate::{Certificate, CertificationRequest, Role, TrustAnchor};
use crate::content::Content;
use crate::envelope::open;
use crate::software::SoftwareKey;
use crate::testing::{Party, World, at, now, world};

/// The time at which OpenSSL is to judge: that of [`now`].
fn attime() -> String {
    now().unix_seconds().to_string()
}

/// Runs OpenSSL in a folder and returns its output; a failure of it fails the test.
fn openssl(folder: &Path, arguments: &[&str]) -> Output {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the program `openssl` is needed: apt-get install openssl");
    assert!(
        output.status.success(),
        "openssl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Writes the trust centre's and a party's certificates and keys as files.
fn write_party(folder: &Path, world: &World, party: &Party) {
    let root = world.authority.anchor.certificate();
    fs::write(folder.join("root.pem"), root.to_pem().unwrap()).unwrap();
    let (triple, keys) = (&party.triple, &party.keys);
    for (name, certificate, key) in [
        ("sig", &triple.sig, &keys.sig),
        ("enc", &triple.enc, &keys.enc),
        ("tls", &triple.tls, &keys.tls),
    ] {
        let pem = certificate.to_pem().unwrap();
        fs::write(folder.join(format!("{name}.pem")), pem).unwrap();
        let pem = key.to_pkcs8_pem().unwrap();
        fs::write(folder.join(format!("{name}.key")), pem.as_bytes()).unwrap();
    }
}

#[test]
fn openssl_verifies_and_opens_our_message() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let world = world();
    for content in [b"hello".as_slice(), b"", &[0x5a; 70_000]] {
        write_party(folder, &world, &world.card);
        let message = world.supplier.seal(content, &world.card);
        fs::write(folder.join("message.der"), message).unwrap();
        openssl(
            folder,
            &[
                "cms",
                "-verify",
                "-binary",
                "-inform",
                "DER",
                "-in",
                "message.der",
                "-CAfile",
                "root.pem",
                "-purpose",
                "any",
                "-x509_strict",
                "-attime",
                &attime(),
                "-out",
                "enveloped.der",
            ],
        );
        openssl(
            folder,
            &[
                "cms",
                "-decrypt",
                "-binary",
                "-inform",
                "DER",
                "-in",
                "enveloped.der",
                "-recip",
                "enc.pem",
                "-inkey",
                "enc.key",
                "-out",
                "content",
            ],
        );
        assert_eq!(fs::read(folder.join("content")).unwrap(), content);
    }
}

#[test]
fn openssl_verifies_the_signatures_of_a_package_and_makes_them() {
    use crate::package::{Place, sign, verify};
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let world = world();
    write_party(folder, &world, &world.supplier);
    let package = b"\0asm\x01\0\0\0".to_vec();
    let author = (&world.supplier.triple.sig, None);
    let by_author = sign(&package, Place::Author, author, &world.supplier.keys.sig, now()).unwrap();
    // Behind the section's identifier and length stand the name's length and the name.
    let at = by_author
        .windows(11)
        .position(|window| window == b"smgw.author")
        .unwrap()
        + 11;
    fs::write(folder.join("package"), &package).unwrap();
    fs::write(folder.join("signature.der"), &by_author[at..]).unwrap();
    let attime = attime();
    let verifying = [
        "cms",
        "-verify",
        "-binary",
        "-inform",
        "DER",
        "-in",
        "signature.der",
        "-content",
        "package",
        "-CAfile",
        "root.pem",
        "-purpose",
        "any",
        "-x509_strict",
        "-attime",
        &attime,
        "-out",
        "verified",
    ];
    openssl(folder, &verifying);
    assert_eq!(fs::read(folder.join("verified")).unwrap(), package);
    for naming in ["-keyid", "-nosmimecap"] {
        let signing = [
            "cms",
            "-sign",
            "-binary",
            "-in",
            "package",
            "-signer",
            "sig.pem",
            "-inkey",
            "sig.key",
            "-md",
            "sha256",
            "-nosmimecap",
            "-outform",
            "DER",
            "-out",
            "signature.der",
            naming,
        ];
        openssl(folder, &signing);
        let signature = fs::read(folder.join("signature.der")).unwrap();
        let anchor = &world.authority.anchor;
        let signer = crate::package::verify_over(&signature, &package, Place::Author, anchor, now());
        assert_eq!(signer.unwrap(), world.supplier.verified.sig);
    }
    assert!(verify(&package, Place::Author, &world.authority.anchor, now()).is_err());
}

#[test]
fn message_that_openssl_makes_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let world = world();
    write_party(folder, &world, &world.card);
    fs::rename(folder.join("enc.pem"), folder.join("card-enc.pem")).unwrap();
    write_party(folder, &world, &world.supplier);
    fs::write(folder.join("content"), b"hello from OpenSSL").unwrap();
    openssl(
        folder,
        &[
            "cms",
            "-encrypt",
            "-binary",
            "-aes-128-gcm",
            "-in",
            "content",
            "-outform",
            "DER",
            "-out",
            "enveloped.der",
            "-recip",
            "card-enc.pem",
            "-keyopt",
            "ecdh_kdf_md:sha256",
            "-keyid",
        ],
    );
    for naming in [
        ["-nosmimecap", "-keyid"],
        ["-nosmimecap", "-binary"],
        ["-keyid", "-binary"],
    ] {
        let mut arguments = vec![
            "cms",
            "-sign",
            "-binary",
            "-nodetach",
            "-econtent_type",
            "1.2.840.113549.1.9.16.1.6",
            "-md",
            "sha256",
            "-signer",
            "sig.pem",
            "-inkey",
            "sig.key",
            "-in",
            "enveloped.der",
            "-outform",
            "DER",
            "-out",
            "message.der",
        ];
        arguments.extend(naming);
        openssl(folder, &arguments);
        let message = fs::read(folder.join("message.der")).unwrap();
        let opened = world.card.open(&message, &world.authority.anchor);
        let opened = opened.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(opened.content.as_slice(), b"hello from OpenSSL");
        assert_eq!(opened.sender, world.supplier.verified.sig);
    }
}

#[test]
fn openssl_accepts_our_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let world = world();
    for (party, names) in [
        (
            &world.card,
            "CN = 2001:db8::c0ff:ee, OU = Card, serialNumber = 2001:db8::c0ff:ee",
        ),
        (&world.tsm, "CN = Demo TSM, OU = TSM"),
    ] {
        write_party(folder, &world, party);
        for (file, purpose) in [
            ("sig", "any"),
            ("enc", "any"),
            ("tls", "sslserver"),
            ("tls", "sslclient"),
        ] {
            let file = format!("{file}.pem");
            openssl(
                folder,
                &[
                    "verify",
                    "-x509_strict",
                    "-purpose",
                    purpose,
                    "-attime",
                    &attime(),
                    "-CAfile",
                    "root.pem",
                    &file,
                ],
            );
            openssl(folder, &["asn1parse", "-in", &file]);
            let subject = openssl(folder, &["x509", "-in", &file, "-noout", "-subject"]);
            let subject = String::from_utf8(subject.stdout).unwrap();
            assert_eq!(subject.trim_end(), format!("subject={names}"));
        }
    }
    write_party(folder, &world, &world.card);
    let text = openssl(folder, &["x509", "-in", "tls.pem", "-noout", "-text"]);
    let text = String::from_utf8(text.stdout).unwrap();
    for line in [
        "Version: 3 (0x2)",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "IP Address:2001:DB8:0:0:0:0:C0FF:EE",
        "Not After : Dec 31 23:59:59 2026 GMT",
        "Signature Algorithm: ecdsa-with-SHA256",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn openssl_accepts_our_requests_for_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let world = world();
    let supplier = &world.supplier;
    let subject = supplier.triple.sig.subject().unwrap();
    for (slot, key) in
        KeySlot::ALL
            .into_iter()
            .zip([&supplier.keys.sig, &supplier.keys.enc, &supplier.keys.tls])
    {
        let request = CertificationRequest::build(subject.clone(), slot, key.public_point(), key).unwrap();
        fs::write(folder.join("request.pem"), request.to_pem().unwrap()).unwrap();
        openssl(folder, &["req", "-verify", "-noout", "-in", "request.pem"]);
    }
}

#[test]
fn openssl_reads_our_keys_and_we_read_its() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let world = world();
    write_party(folder, &world, &world.supplier);
    let spki = openssl(folder, &["pkey", "-in", "sig.key", "-pubout", "-outform", "DER"]);
    let point = world.supplier.keys.sig.public_point();
    assert_eq!(spki.stdout, point.to_spki());
    openssl(
        folder,
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
            "other.key",
        ],
    );
    let spki = openssl(
        folder,
        &["pkey", "-in", "other.key", "-pubout", "-outform", "DER"],
    );
    let pem = fs::read_to_string(folder.join("other.key")).unwrap();
    let key = SoftwareKey::from_pkcs8_pem(&pem).unwrap();
    assert_eq!(spki.stdout, key.public_point().to_spki());
}

/// The golden files' folder in `tests/vectors`.
macro_rules! golden {
    ($file:literal) => {
        concat!("../../../tests/vectors/messages/", $file)
    };
}

#[test]
fn golden_message_is_opened() {
    let root = Certificate::from_pem(include_str!(golden!("root.pem"))).unwrap();
    let anchor = TrustAnchor::new(root).unwrap();
    let recipient = Certificate::from_pem(include_str!(golden!("card-enc.pem"))).unwrap();
    let key = SoftwareKey::from_pkcs8_pem(include_str!(golden!("card-enc.key"))).unwrap();
    let time = at("2027-01-01T00:00:00Z");
    let card = anchor.verify(&recipient, time, Role::Card, KeySlot::Enc).unwrap();
    let message = include_bytes!(golden!("request.der"));
    let opened = open(message, &anchor, time, &recipient, &key).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(opened.content.as_slice(), include_bytes!(golden!("request.json")));
    let sender = Certificate::from_pem(include_str!(golden!("supplier-sig.pem"))).unwrap();
    assert_eq!(*opened.sender.certificate(), sender);
    let content = Content::parse(&opened.content).unwrap();
    assert_eq!(content.check_sender(&opened.sender), Ok(()));
    assert_eq!(content.check_recipient(card.card_id().unwrap()), Ok(()));
}

#[test]
fn golden_request_for_a_certificate_is_read() {
    let request = CertificationRequest::from_der(include_bytes!(golden!("csr.der"))).unwrap();
    assert_eq!(request.slot(), KeySlot::Tls);
    assert_eq!(request.subject().name().as_str(), "Supplier");
    assert_eq!(request.subject().role(), Role::Supplier);
}
