//! The TSM at its door and at its queue: who is let in, what is refused and why, and what a kill does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use system::{
    CardPlace, Command, Folder, Gateway, GatewayConfig, GrantText, Interrupt, Meters, Program, Programs,
    Stage, StageError, Supplier, Tsm, grants_of_the_house, wait_until,
};

use crate::steps::{ARRIVAL, PERIOD, let_pass, read, told};

/// How often the TSM is killed.
const KILLS: usize = 12;
/// How long it may take to deliver, behind a pause after an attempt in vain.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway that is bound and waits for the TSM.
struct Scene {
    gateway: Gateway,
    wan: String,
    guid: String,
    supplier: Supplier,
    grants: PathBuf,
    config: PathBuf,
    _meters: Meters,
    stage: Stage,
}

fn scene() -> Scene {
    let stage = Stage::set(
        Programs::find().unwrap(),
        Folder::temporary().unwrap(),
        Interrupt::default(),
    );
    let stage = stage.unwrap();
    let supplier = stage
        .found_supplier("supplier", "City Works", &stage.trust_center())
        .unwrap();
    let card = stage.personalize("card").unwrap();
    let meters = stage.start_meters().unwrap();
    let config = GatewayConfig::on(&stage, CardPlace::File(card.file.clone()), &meters, PERIOD);
    let config = stage.write_config("smgw.toml", &config).unwrap();
    let mut gateway = stage.start_gateway(&config).unwrap();
    let bound = gateway.wait_for(&stage, "the binding", ARRIVAL, |status| {
        status.state == "bound" && status.wan.is_some()
    });
    let wan = bound
        .unwrap_or_else(|error| panic!("{}", told(&error)))
        .wan
        .unwrap();
    let grants = stage
        .write("grants.toml", &GrantText::file(&grants_of_the_house(PERIOD)))
        .unwrap();
    Scene {
        gateway,
        wan,
        guid: card.guid,
        supplier,
        grants,
        config,
        _meters: meters,
        stage,
    }
}

fn center(stage: &Stage, words: &[&str]) -> Command {
    let mut command = stage.command(Program::TrustCenter, words[0]);
    for word in &words[1..] {
        command = command.arg(word);
    }
    command.option("--home", stage.trust_center())
}

fn start(stage: &Stage) -> Tsm {
    stage
        .start_tsm()
        .unwrap_or_else(|error| panic!("{}", told(&error)))
}

/// Returns the records of one act.
fn records(stage: &Stage, act: &str) -> Vec<Value> {
    let finished = stage.run(&center(stage, &["records", "show", "--json"])).unwrap();
    let records = finished
        .lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter(|record| record["act"] == act).collect()
}

#[test]
fn killed_tsm_delivers_everything_once() {
    let mut scene = scene();
    let Scene { stage, .. } = &scene;
    stage.register_gateway(&scene.guid, &scene.wan).unwrap();
    stage
        .write("trust-center/policy.toml", "approve = \"automatic\"\n")
        .unwrap();
    let suppliers: Vec<_> = (0..KILLS)
        .map(|number| {
            let name = format!("Supplier {number}");
            stage
                .found_supplier(&format!("supplier-{number}"), &name, &stage.trust_center())
                .unwrap()
        })
        .collect();
    let mut asked = Vec::new();
    for (number, supplier) in suppliers.iter().enumerate() {
        let mut tsm = start(stage);
        let request = tsm.request(stage, supplier, &scene.guid, &scene.grants, None);
        asked.push(request.unwrap_or_else(|error| panic!("{}", told(&error))));
        // A little later each time: before, within and behind the delivery.
        let_pass(stage, Duration::from_millis(u64::try_from(number).unwrap() * 120));
        tsm.process().kill().unwrap();
    }
    let mut tsm = start(stage);
    for (supplier, request) in suppliers.iter().zip(&asked) {
        let installed = tsm.wait_for(stage, supplier, &request.id, "installed", PATIENCE);
        installed.unwrap_or_else(|error| panic!("{}\n{}", told(&error), read(tsm.log())));
    }
    let versions: Vec<_> = records(stage, "installed")
        .iter()
        .map(|record| record["version"].as_u64().unwrap())
        .collect();
    let mut unique = versions.clone();
    unique.dedup();
    assert_eq!(versions, unique, "no bundle is in force twice");
    assert_eq!(versions.len(), KILLS, "each request is one bundle: {versions:?}");
    let status = scene.gateway.wait_for_state(&scene.stage, "operational", ARRIVAL);
    status.unwrap_or_else(|error| panic!("{}", told(&error)));
    scene
        .stage
        .run(&center(&scene.stage, &["records", "verify"]))
        .unwrap()
        .success()
        .unwrap();
}

#[test]
fn work_for_a_gateway_that_is_away_waits_until_it_comes() {
    let Scene {
        mut gateway,
        wan,
        guid,
        supplier,
        grants,
        config,
        _meters,
        stage,
    } = scene();
    gateway.stop().unwrap();
    stage.register_gateway(&guid, &wan).unwrap();
    stage
        .write("trust-center/policy.toml", "approve = \"automatic\"\n")
        .unwrap();
    let mut tsm = start(&stage);
    let asked = tsm.request(&stage, &supplier, &guid, &grants, None).unwrap();
    assert_eq!(asked.state, "approved");
    let show = center(&stage, &["gateways", "show", "--json"]).option("--guid", &guid);
    let tried = wait_until(&stage.deadline(PATIENCE), || {
        let finished = stage.run(&show)?;
        let shown: Value = serde_json::from_str(finished.answer()?).unwrap();
        Ok::<_, StageError>(Some(shown).filter(|shown| shown["attempts"].as_u64() > Some(0)))
    });
    let shown = tried.unwrap().expect("the gateway is tried in vain");
    assert_eq!(shown["waiting"], 1);
    assert!(
        shown["trouble"].as_str().unwrap().contains("no connection"),
        "{shown}"
    );
    let list = stage.run(&center(&stage, &["gateways", "list"])).unwrap();
    assert!(
        list.lines.last().unwrap().contains("work waits for 1"),
        "{:?}",
        list.lines
    );

    let mut gateway = stage.start_gateway(&config).unwrap();
    let bound = gateway.wait_for(&stage, "its door", ARRIVAL, |status| status.wan.is_some());
    let wan = bound
        .unwrap_or_else(|error| panic!("{}", told(&error)))
        .wan
        .unwrap();
    stage.register_gateway(&guid, &wan).unwrap();
    let installed = tsm.wait_for(&stage, &supplier, &asked.id, "installed", PATIENCE);
    installed.unwrap_or_else(|error| panic!("{}\n{}", told(&error), read(tsm.log())));
}

#[test]
fn who_is_no_supplier_is_not_let_in_and_what_is_wrong_is_named() {
    let scene = scene();
    let Scene { stage, supplier, .. } = &scene;
    let mut tsm = start(stage);
    let other = stage
        .found_trust_center("other-trust-center", "Other Trust Centre")
        .unwrap();
    let stranger = stage.found_supplier("stranger", "Stranger", &other).unwrap();
    let refused = |supplier: &Supplier, guid: &str, grants: &Path, application: Option<&Path>| {
        let finished = tsm
            .try_request(stage, supplier, guid, grants, application)
            .unwrap();
        assert_eq!(finished.code, Some(1), "{:?}", finished.lines);
        finished.log_text().unwrap()
    };
    // It does not take our TSM for its own, and our TSM does not let it in.
    let said = refused(&stranger, &scene.guid, &scene.grants, None);
    assert!(said.contains("no connection to the TSM"), "{said}");
    for file in ["root.pem", "chain.pem"] {
        std::fs::copy(supplier.home().join(file), stranger.home().join(file)).unwrap();
    }
    let said = refused(&stranger, &scene.guid, &scene.grants, None);
    assert!(said.contains("certificates do not hold"), "{said}");
    // A gateway's certificate is of this trust centre, and yet no supplier's.
    let said = openssl_get(stage, &tsm, &stage.trust_center().join("tsm"), None);
    assert!(!said.contains("HTTP/1.1 200"), "{said}");
    let said = openssl_get(stage, &tsm, stranger.home(), None);
    assert!(!said.contains("HTTP/1.1 200"), "{said}");
    let said = openssl_get(stage, &tsm, supplier.home(), Some("/tsm/v1/requests"));
    assert!(
        said.contains("HTTP/1.1 200") && said.contains("tsm.requests/1"),
        "{said}"
    );
    let said = openssl_get(stage, &tsm, supplier.home(), Some("/tsm/v1/requests/nonsense"));
    assert!(
        said.contains("HTTP/1.1 404") && said.contains("tsm.refusal/1"),
        "{said}"
    );

    let said = refused(supplier, "fd5a::1", &scene.grants, None);
    assert!(said.contains("no card with the GUID fd5a::1"), "{said}");
    let broken = stage.path("broken.wasm");
    std::fs::write(&broken, b"MZ this is no module").unwrap();
    let said = refused(supplier, &scene.guid, &scene.grants, Some(&broken));
    assert!(said.contains("no WebAssembly module"), "{said}");
    let text = std::fs::read_to_string(&scene.grants).unwrap();
    let short = text.replace("P730D", "PT1S");
    let short = stage.write("short.toml", &short).unwrap();
    let said = refused(supplier, &scene.guid, &short, None);
    assert!(said.contains("lengthen history"), "{said}");

    // None of this keeps the rightful one from being served.
    let asked = tsm
        .request(stage, supplier, &scene.guid, &scene.grants, None)
        .unwrap();
    let reject = ["tsm", "requests", "reject", &asked.id, "--reason", "no contract"];
    stage.run(&center(stage, &reject)).unwrap().success().unwrap();
    let rejected = tsm
        .wait_for(stage, supplier, &asked.id, "rejected", PATIENCE)
        .unwrap();
    assert_eq!(rejected.reason.as_deref(), Some("no contract"));
    // Of two operators the second one is told.
    let again = stage
        .run(&center(stage, &["tsm", "requests", "approve", &asked.id]))
        .unwrap();
    assert_eq!(again.code, Some(1));
    assert!(
        again.log_text().unwrap().contains("is rejected already"),
        "{}",
        again.log_text().unwrap()
    );
}

/// Asks the TSM with the TLS key and certificate of a folder, as OpenSSL does it.
fn openssl_get(stage: &Stage, tsm: &Tsm, home: &Path, path: Option<&str>) -> String {
    let path = path.unwrap_or("/tsm/v1/certificates");
    let script = r#"printf 'GET %s HTTP/1.1\r\nHost: tsm\r\nConnection: close\r\n\r\n' "$3" |
        exec openssl s_client -quiet -connect "$1" -cert "$2/tls.pem" -key "$2/tls.key" -pass env:KEY_PASSPHRASE"#;
    let passphrase = std::fs::read_to_string(stage.trust_center().join("passphrase")).unwrap();
    let command = Command::new("openssl s_client", Path::new("sh"))
        .option("-c", script)
        .arg("sh")
        .arg(tsm.address())
        .arg(home)
        .arg(path)
        .env("KEY_PASSPHRASE", passphrase.trim_end());
    stage.run(&command).unwrap().lines.join("\n")
}
