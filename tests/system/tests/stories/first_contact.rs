//! Figures 4 and 3 from beginning to end: a blank card behind a real `pcscd`, an authority whose keys are in an HSM, a
//! supplier that asks, an operator who approves, and the first pulled reading.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use system::{
    CardPlace, CardReader, Command, Folder, GRANTED, GatewayConfig, GrantText, Interrupt, Period, Program,
    Programs, Query, Stage, StageError, Supplier, Tsm, grants_of_the_house, wait_until,
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
    let config = GatewayConfig {
        data: stage.path("data"),
        registration_period: PERIOD.to_owned(),
        card: CardPlace::Reader(CardReader::NAME.to_owned()),
        socket: stage.path("smgw.sock"),
        meters: meters.addresses().clone(),
    };
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
    let application = stage.path("tariff.wasm");
    std::fs::write(&application, b"\0asm\x01\0\0\0").unwrap();
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
    assert_ended_by_revocation(&stage, &tsm, &supplier, &query, &grants);
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
