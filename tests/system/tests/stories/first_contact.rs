//! Figures 4 and 3 from beginning to end: a blank card behind a real `pcscd`, an authority whose keys are in an HSM, a
//! supplier that asks, an operator who approves, the first pulled reading, and what an LDAP server shows of all that.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use system::{
    CardPlace, CardReader, Command, Folder, GRANTED, GatewayConfig, GrantText, Interrupt, LdapServer, Period,
    Program, Programs, Query, Stage, StageError, Supplier, Tsm, grants_of_the_house, wait_until,
};

use crate::steps::{ALL_OF_IT, ARRIVAL, PERIOD, read, told};

const HSM: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// How long the binding, or an installation behind it, may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// Sets a stage whose trust centre has the keys that issue certificates in an HSM.
fn stage() -> Stage {
    let programs = Programs::find().unwrap();
    let mut stage = Stage::bare(programs, Folder::temporary().unwrap(), Interrupt::default()).unwrap();
    let tokens = stage.path("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        tokens.display()
    );
    let configuration = stage.write("softhsm2.conf", &text).unwrap();
    stage.give("SOFTHSM2_CONF", configuration.clone());
    stage.give("TRUST_CENTER_PIN", "1234");
    let mut token = Command::new("softhsm2-util", Path::new("softhsm2-util"));
    for argument in [
        "--init-token",
        "--free",
        "--label",
        "centre",
        "--so-pin",
        "5678",
        "--pin",
        "1234",
    ] {
        token = token.arg(argument);
    }
    let token = token.env("SOFTHSM2_CONF", configuration);
    stage.run(&token).unwrap().success().unwrap();
    let init = stage.command(Program::TrustCenter, "init");
    let init = init
        .option("--home", stage.trust_center())
        .option("--name", "Trust Centre")
        .option("--hsm-module", HSM)
        .option("--hsm-token", "centre");
    stage.run(&init).unwrap().success().unwrap();
    stage
}

fn json(stage: &Stage, command: &Command) -> Value {
    let finished = stage.run(command).unwrap();
    let line = finished
        .answer()
        .unwrap_or_else(|error| panic!("{}", told(&error)));
    serde_json::from_str(line).unwrap()
}

/// Begins a command of the trust centre.
fn center(stage: &Stage, words: &[&str]) -> Command {
    let mut command = stage.command(Program::TrustCenter, words[0]);
    for word in &words[1..] {
        command = command.arg(word);
    }
    command.option("--home", stage.trust_center())
}

fn personalize(stage: &Stage) -> String {
    let command =
        center(stage, &["personalize", "--json"]).option("--card", format!("pcsc:{}", CardReader::NAME));
    // The reader takes a moment to see that a card is there.
    let finished = wait_until(&stage.deadline(ARRIVAL), || {
        let finished = stage.run(&command)?;
        Ok::<_, StageError>(Some(finished).filter(|finished| finished.code == Some(0)))
    });
    let finished = finished.unwrap().expect("the card is personalised");
    let personalized: Value = serde_json::from_str(finished.answer().unwrap()).unwrap();
    personalized["guid"].as_str().unwrap().to_owned()
}

#[test]
fn from_a_blank_card_to_the_first_reading_that_a_supplier_asked_the_tsm_for() {
    let mut stage = stage();
    let reader = stage.start_reader("pcscd").unwrap();
    let _card = reader.insert(&stage, &stage.path("card")).unwrap();
    let guid = personalize(&stage);

    let meters = stage.start_meters().unwrap();
    let config = GatewayConfig::on(
        &stage,
        CardPlace::Reader(CardReader::NAME.to_owned()),
        &meters,
        PERIOD,
    );
    let config = stage.write_config("smgw.toml", &config).unwrap();
    let mut gateway = stage.start_gateway(&config).unwrap();
    let bound = gateway.wait_for(&stage, "the binding", PATIENCE, |status| {
        status.state == "bound" && status.wan.is_some()
    });
    let wan = bound
        .unwrap_or_else(|error| panic!("{}", told(&error)))
        .wan
        .unwrap();

    let supplier = stage
        .found_supplier("supplier", "City Works", &stage.trust_center())
        .unwrap();
    let grants = stage
        .write("grants.toml", &GrantText::file(&grants_of_the_house(PERIOD)))
        .unwrap();
    let application = stage.application("taf-2").unwrap();
    let application = supplier.sign(&stage, &application).unwrap();
    let mut tsm = stage.start_tsm().unwrap();
    stage.register_gateway(&guid, &wan).unwrap();
    let asked = tsm.request(&stage, &supplier, &guid, &grants, Some(&application));
    let asked = asked.unwrap_or_else(|error| panic!("{}\n{}", told(&error), read(tsm.log())));
    assert_eq!(asked.state, "waiting");

    let shown = json(
        &stage,
        &center(&stage, &["tsm", "requests", "show", &asked.id, "--json"]),
    );
    assert_eq!(shown["difference"]["grants"][0]["change"], "added", "{shown}");
    assert_eq!(shown["difference"]["to_version"], 1);
    let approve = center(&stage, &["tsm", "requests", "approve", &asked.id]);
    stage.run(&approve).unwrap().success().unwrap();
    let installed = tsm.wait_for(&stage, &supplier, &asked.id, "installed", PATIENCE);
    installed.unwrap_or_else(|error| panic!("{}\n{}", told(&error), read(tsm.log())));

    let query = Query {
        guid: guid.clone(),
        wan,
        elements: GRANTED.map(str::to_owned).to_vec(),
        resolution: PERIOD.to_owned(),
        period: Period::Last(ALL_OF_IT.to_owned()),
        keep: None,
    };
    let pulled = wait_until(&stage.deadline(ARRIVAL), || {
        let pull = supplier.pull(&stage, &query)?;
        Ok::<_, StageError>(Some(pull).filter(|pull| !pull.series.is_empty()))
    });
    let pulled = pulled.unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!(pulled.expect("readings arrive in time").guid, guid);

    assert_shown(&stage, &guid);
    let server = LdapServer::start(&stage, "ldap").unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_published(&stage, &server, &supplier, &guid);
    assert_ended_by_revocation(&stage, &tsm, &supplier, &query, &grants);
    assert_seen_by_its_heir(&stage, &tsm, &asked.id);
    assert_unpublished(&stage, &server, &supplier, &guid);
}

/// Signs new lists of what is revoked and brings the LDAP server up to date.
fn publish(stage: &Stage, server: &LdapServer) {
    stage.run(&center(stage, &["crl"])).unwrap().success().unwrap();
    let published = server.publish(stage);
    published.unwrap_or_else(|error| panic!("{}", told(&error)));
}

/// Returns the certificates of the gateway that the supplier checks its answers by, as files.
fn certificates_in_use(supplier: &Supplier, guid: &str) -> [PathBuf; 3] {
    let folder = supplier.home().join("gateways").join(guid.replace(':', "-"));
    ["sig", "enc", "tls"].map(|slot| folder.join(format!("{slot}.pem")))
}

/// Asserts that anybody finds the certificates at the LDAP server with which the supplier reads from the gateway.
fn assert_published(stage: &Stage, server: &LdapServer, supplier: &Supplier, guid: &str) {
    publish(stage, server);
    let found = server.values(&format!("cn={guid}"), "userCertificate;binary");
    let found = found.expect("the card has an entry");
    // The fourth is that of the key with which the card attests.
    assert_eq!(found.len(), 4);
    for certificate in certificates_in_use(supplier, guid) {
        let text = read(&certificate);
        let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        assert!(found.contains(&base64), "{}", certificate.display());
    }
    let root = server.values("cn=root", "cACertificate;binary").unwrap();
    let text = read(&stage.trust_center().join("root.pem"));
    let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(root, [base64]);
}

/// Asserts that the lists at the LDAP server name the certificates of the revoked supplier, and that the entry of the card goes
/// when that one is revoked, too.
fn assert_unpublished(stage: &Stage, server: &LdapServer, supplier: &Supplier, guid: &str) {
    let serial = |certificate: &Path| {
        let printed = openssl(&["x509", "-noout", "-serial", "-in", certificate.to_str().unwrap()]);
        let (_, serial) = printed.trim().split_once('=').unwrap();
        serial.trim_start_matches('0').to_owned()
    };
    let theirs = ["sig", "enc", "tls"].map(|slot| serial(&supplier.home().join(format!("{slot}.pem"))));
    let cards = certificates_in_use(supplier, guid).map(|certificate| serial(&certificate));
    publish(stage, server);
    let names = listed(stage, server);
    assert!(
        theirs.iter().all(|serial| names.contains(serial)),
        "{theirs:?}: {names:?}"
    );
    assert!(
        !cards.iter().any(|serial| names.contains(serial)),
        "{cards:?}: {names:?}"
    );
    assert!(
        server
            .values(&format!("cn={guid}"), "userCertificate;binary")
            .is_some()
    );

    let revoke = center(stage, &["revoke", "--reason", "cessation-of-operation"]);
    stage
        .run(&revoke.option("--guid", guid))
        .unwrap()
        .success()
        .unwrap();
    publish(stage, server);
    assert_eq!(
        server.values(&format!("cn={guid}"), "userCertificate;binary"),
        None
    );
    let names = listed(stage, server);
    assert!(
        cards.iter().all(|serial| names.contains(serial)),
        "{cards:?}: {names:?}"
    );
}

/// Returns the serial numbers on the issuing authority's list at the LDAP server, as OpenSSL reads it.
fn listed(stage: &Stage, server: &LdapServer) -> Vec<String> {
    let chain = stage.trust_center().join("chain.pem");
    let key = openssl(&[
        "x509",
        "-noout",
        "-ext",
        "subjectKeyIdentifier",
        "-in",
        chain.to_str().unwrap(),
    ]);
    let key = key.lines().last().unwrap().trim().replace(':', "").to_lowercase();
    let lists = server.values(&format!("cn=issuing-{key}"), "certificateRevocationList;binary");
    let [list] = &lists.expect("the issuing authority has an entry")[..] else {
        panic!("an authority has one list");
    };
    let (text, file) = (stage.write("list.base64", list).unwrap(), stage.path("list.der"));
    openssl(&[
        "base64",
        "-d",
        "-A",
        "-in",
        text.to_str().unwrap(),
        "-out",
        file.to_str().unwrap(),
    ]);
    let printed = openssl(&[
        "crl",
        "-inform",
        "DER",
        "-noout",
        "-text",
        "-in",
        file.to_str().unwrap(),
    ]);
    let serials = printed
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Serial Number: "));
    serials
        .map(|serial| serial.trim_start_matches('0').to_owned())
        .collect()
}

fn openssl(arguments: &[&str]) -> String {
    let output = std::process::Command::new("openssl")
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Asserts that the supplier sees what it has asked for with the keys that it has lost, once it has new ones.
fn assert_seen_by_its_heir(stage: &Stage, tsm: &Tsm, id: &str) {
    let heir = stage.renew_supplier("supplier-again", "City Works");
    let heir = heir.unwrap_or_else(|error| panic!("{}", told(&error)));
    let requests = tsm
        .requests(stage, &heir)
        .unwrap_or_else(|error| panic!("{}", told(&error)));
    assert!(requests.iter().any(|request| request.id == id), "{requests:?}");
}

/// Asserts that the TSM shows the gateway as it has reported itself.
fn assert_shown(stage: &Stage, guid: &str) {
    let gateway_shown = center(stage, &["gateways", "show", "--json"]).option("--guid", guid);
    // The report about the installation comes a moment behind it.
    let reported = wait_until(&stage.deadline(ARRIVAL), || {
        let shown = json(stage, &gateway_shown);
        Ok::<_, StageError>(Some(shown).filter(|shown| shown["bundle_version"] == 1))
    });
    let shown = reported.unwrap().expect("the gateway reports the bundle");
    assert!(
        ["operational", "degraded"].contains(&shown["state"].as_str().unwrap()),
        "{shown}"
    );
    assert_eq!(
        (&shown["bundle_version"], &shown["waiting"]),
        (&1.into(), &0.into()),
        "{shown}"
    );
    assert_eq!(shown["applications"].as_array().unwrap().len(), 1, "{shown}");
    assert!(shown["days_left"].as_i64().unwrap() > 3_600, "{shown}");
}

/// Asserts that a supplier which is revoked gets nothing any more, from nobody, and without anybody's doing.
fn assert_ended_by_revocation(stage: &Stage, tsm: &Tsm, supplier: &Supplier, query: &Query, grants: &Path) {
    let revoke = center(
        stage,
        &["revoke", "--name", "City Works", "--reason", "key-compromise"],
    );
    stage.run(&revoke).unwrap().success().unwrap();
    let refused = wait_until(&stage.deadline(ARRIVAL), || {
        let finished = supplier.try_pull(stage, query)?;
        Ok::<_, StageError>(Some(finished).filter(|finished| finished.code != Some(0)))
    });
    let refused = refused.unwrap().expect("the revocation reaches the gateway");
    assert!(read(&refused.log).contains("no-grant"), "{}", read(&refused.log));
    let finished = tsm
        .try_request(stage, supplier, &query.guid, grants, None)
        .unwrap();
    assert_eq!(finished.code, Some(1));
    assert!(
        finished.log_text().unwrap().contains("you are no supplier"),
        "{}",
        finished.log_text().unwrap()
    );
    stage
        .run(&center(stage, &["records", "verify"]))
        .unwrap()
        .success()
        .unwrap();
}
