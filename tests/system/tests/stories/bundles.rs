//! Bundles that are not the gateway's, by a TSM that has every key: OpenSSL seals and signs what our own never would.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use system::{Command, House, grants_of_the_house};

use crate::steps::{PERIOD, gateway_log, granted, house, pull_until};

/// id-ct-contentInfo (RFC 5652, section 3), which a message's signature is made over.
const CONTENT_INFO: &str = "1.2.840.113549.1.9.16.1.6";

#[test]
fn bundle_that_is_older_altered_or_anothers_is_refused_with_its_own_error() {
    let house = house();
    let stage = &house.stage;
    let wan = house.status.wan.as_deref().unwrap();
    let folder = stage
        .trust_center()
        .join("gateways")
        .join(house.card.guid.replace(':', "-"));
    let first = std::fs::read_to_string(folder.join("00000001-bundle.json")).unwrap();
    let mut coarser = grants_of_the_house(PERIOD);
    coarser[0].history = "P365D".to_owned();
    stage
        .install(&house.card.guid, wan, &house.supplier, &coarser, None)
        .unwrap();
    let second = std::fs::read_to_string(folder.join("00000002-bundle.json")).unwrap();

    let bundle: Value = serde_json::from_str(&second).unwrap();
    let altered = second.replace("P365D", "P730D");
    assert_ne!(altered, second);
    let others = second.replace(bundle["recipient"].as_str().unwrap(), "fd5a::1");
    let later = second.replace("\"bundle_version\":2", "\"bundle_version\":3");
    assert_ne!(later, second);
    for (content, code) in [
        (&first, "older-bundle"),
        (&altered, "altered-bundle"),
        (&others, "party"),
    ] {
        let refused = || gateway_log(&house).matches(&format!("code=\"{code}\"")).count();
        let before = refused();
        send(&house, content);
        assert_eq!(refused(), before + 1, "{code}: {}", gateway_log(&house));
    }
    // A later one waits for the card, and nothing has changed.
    send(&house, &later);
    let log = gateway_log(&house);
    assert!(log.contains("waits for the card to vouch for it"), "{log}");
    // The installations before left no moment in which the card vouched for a bundle that was not here.
    assert!(!log.contains("is not here yet"), "{log}");
    // The one that the card vouches for may come again.
    send(&house, &second);
    assert!(
        gateway_log(&house).contains("the bundle was stored before"),
        "{}",
        gateway_log(&house)
    );
    pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
}

/// Seals a content as the TSM and posts it to the gateway.
fn send(house: &House, content: &str) {
    let stage = &house.stage;
    let (tsm, path) = (stage.trust_center().join("tsm"), |name: &str| stage.path(name));
    let passphrase = std::fs::read_to_string(stage.trust_center().join("passphrase")).unwrap();
    stage.write("content.json", content).unwrap();
    let card = house
        .supplier
        .home()
        .join("gateways")
        .join(house.card.guid.replace(':', "-"));
    let openssl = |arguments: &[&str], files: &[(&str, &Path)]| -> Output {
        let mut command = std::process::Command::new("openssl");
        command
            .args(arguments)
            .env("KEY_PASSPHRASE", passphrase.trim_end());
        for (option, file) in files {
            command.arg(option).arg(file);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        output
    };
    let sealed = path("sealed.der");
    let encrypt = ["cms", "-encrypt", "-binary", "-aes-128-gcm", "-outform", "DER"];
    openssl(
        &encrypt,
        &[
            ("-in", &path("content.json")),
            ("-out", &sealed),
            ("-recip", &card.join("enc.pem")),
            ("-keyopt", Path::new("ecdh_kdf_md:sha256")),
        ],
    );
    let sign = [
        "cms",
        "-sign",
        "-binary",
        "-nodetach",
        "-nosmimecap",
        "-md",
        "sha256",
        "-outform",
        "DER",
        "-econtent_type",
        CONTENT_INFO,
        "-passin",
        "env:KEY_PASSPHRASE",
    ];
    openssl(
        &sign,
        &[
            ("-in", &sealed),
            ("-out", &path("message.der")),
            ("-signer", &tsm.join("sig.pem")),
            ("-inkey", &tsm.join("sig.key")),
        ],
    );
    let script = r#"length=$(wc -c < "$4") && { printf 'POST /smgw/v1/messages HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/pkcs7-mime\r\nContent-Length: %s\r\nConnection: close\r\n\r\n' "$length" && cat "$4"; } > "$4.http" &&
        exec openssl s_client -quiet -connect "$1" -CAfile "$2" -cert "$3/tls.pem" -key "$3/tls.key" -pass env:KEY_PASSPHRASE < "$4.http""#;
    let post = Command::new("openssl s_client", Path::new("sh"))
        .option("-c", script)
        .arg("sh")
        .arg(house.status.wan.as_deref().unwrap())
        .arg(stage.trust_center().join("root.pem"))
        .arg(&tsm)
        .arg(path("message.der"))
        .env("KEY_PASSPHRASE", passphrase.trim_end());
    stage.run(&post).unwrap();
}
