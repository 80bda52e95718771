//! Two facilities: the trust centre in `center`, the second one in `factory`.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::stage::{Stage, read};

/// The trust centre while it serves facilities.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(stage: &Stage) -> Self {
        Self::at(stage, "127.0.0.1:0")
    }

    fn at(stage: &Stage, address: &str) -> Self {
        let mut child = stage
            .command(&format!("facility serve --listen {address}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        let address = answer["listen"].as_str().unwrap().to_owned();
        Self { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs an act of the facility in the folder `home`, which must succeed.
pub(crate) fn answer_in(stage: &Stage, home: &str, line: &str) -> Value {
    let output = stage.command_in(home, line).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs an act of the facility in the folder `home`, which must fail.
pub(crate) fn error_in(stage: &Stage, home: &str, line: &str) -> String {
    let output = stage.command_in(home, line).output().unwrap();
    assert!(!output.status.success(), "{line}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The GUIDs of the records of an act in the books of the facility in the folder `home`.
pub(crate) fn guids_in(stage: &Stage, home: &str, act: &str) -> Vec<String> {
    let output = stage.command_in(home, "records show").output().unwrap();
    let records = String::from_utf8(output.stdout).unwrap();
    let records = records
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut guids = Vec::new();
    for record in records.filter(|record| record["act"] == act) {
        match &record["guids"] {
            Value::Array(several) => {
                guids.extend(several.iter().map(|guid| guid.as_str().unwrap().to_owned()))
            }
            _ => guids.push(record["guid"].as_str().unwrap().to_owned()),
        }
    }
    guids
}

pub(crate) fn sorted(mut guids: Vec<String>) -> Vec<String> {
    guids.sort();
    guids
}

/// A trust centre and a facility that it has certified.
pub(crate) fn stage() -> Stage {
    let stage = Stage::founded();
    answer_in(&stage, "factory", "facility init --name Factory");
    stage.answer("certify-facility --requests factory");
    stage
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Whether a file below the folder holds these bytes.
pub(crate) fn holds(folder: &Path, bytes: &[u8]) -> bool {
    files(folder).iter().any(|path| {
        let content = std::fs::read(path).unwrap();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

/// The names of what is pending in the trust centre's folder.
pub(crate) fn pending(stage: &Stage) -> Vec<PathBuf> {
    let mut found = files(&stage.home().join("deliveries"));
    found.retain(|path| path.extension().is_some_and(|extension| extension == "cms"));
    found
}

/// Has OpenSSL open a sealed file with the facility's key.
pub(crate) fn open(stage: &Stage, sealed: &Path) -> Value {
    let inner = stage.path("inner.der");
    let verify = ["cms", "-verify", "-inform", "DER", "-CAfile", "center/root.pem"];
    let verify = verify
        .into_iter()
        .chain(["-purpose", "any", "-binary", "-in", sealed.to_str().unwrap()]);
    let verify = verify
        .chain(["-out", inner.to_str().unwrap()])
        .collect::<Vec<_>>();
    stage.openssl(&verify);
    let opened = stage.openssl(&[
        "cms",
        "-decrypt",
        "-inform",
        "DER",
        "-in",
        inner.to_str().unwrap(),
        "-recip",
        "factory/enc.pem",
        "-inkey",
        "factory/enc.key",
        "-passin",
        "pass:a passphrase of tests",
    ]);
    serde_json::from_str(&opened).unwrap()
}

#[test]
fn card_of_the_second_facility_is_in_the_books_of_both_and_in_the_directory() {
    let stage = stage();
    let server = Server::start(&stage);
    let card = answer_in(
        &stage,
        "factory",
        &format!(
            "facility personalize --center {} --card soft:card",
            server.address
        ),
    );
    let guid = card["guid"].as_str().unwrap().to_owned();
    for act in ["guid-given", "personalized", "material-given"] {
        assert_eq!(
            guids_in(&stage, "center", act),
            std::slice::from_ref(&guid),
            "{act}"
        );
    }
    for act in [
        "material-received",
        "card-begun",
        "personalized",
        "outcomes-reported",
    ] {
        assert_eq!(
            guids_in(&stage, "factory", act),
            std::slice::from_ref(&guid),
            "{act}"
        );
    }
    stage.answer("records verify");
    answer_in(&stage, "factory", "records verify");
    assert_eq!(pending(&stage), Vec::<PathBuf>::new());
    assert_eq!(files(&stage.path("factory/material")).len(), 1, "only the lock");
    // A card that is complete is left alone, and the facility issues nothing by itself.
    let line = format!(
        "facility personalize --center {} --card soft:card",
        server.address
    );
    let said = error_in(&stage, "factory", &line);
    assert!(said.contains("take a blank one"), "{said}");
    let said = error_in(&stage, "factory", "personalize --card soft:other");
    assert!(said.contains("is missing"), "{said}");

    let batch = format!(
        "facility personalize --center {} --card soft:cards --batch 4 --labels labels",
        server.address
    );
    let made = answer_in(&stage, "factory", &batch);
    assert_eq!(made["guids"].as_array().unwrap().len(), 4);
    assert_eq!(read(&stage.path("labels/labels.csv")).lines().count(), 5);
    let again = answer_in(&stage, "factory", &batch);
    assert_eq!(made["guids"], again["guids"]);
    assert_eq!(stage.guids("personalized").len(), 5);
}

#[test]
fn keys_are_delivered_once_and_gone_from_the_trust_centre_afterwards() {
    let stage = stage();
    stage.answer("facility export --facility Factory --cards 3 --out material.cms");
    let sealed = std::fs::read(stage.path("material.cms")).unwrap();
    // OpenSSL alone opens what is for the facility, with the facility's key.
    let material = open(&stage, &stage.path("material.cms"));
    assert_eq!(material["type"], "facility.material/1");
    let mut secrets = Vec::new();
    for card in material["cards"].as_array().unwrap() {
        for key in ["sig", "enc", "tls", "attestation"] {
            let digits = card["keys"][key].as_str().unwrap().to_owned();
            assert_eq!(digits.len(), 64);
            let bytes = (0..32).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap());
            secrets.push(bytes.collect::<Vec<_>>());
            secrets.push(digits.into_bytes());
        }
    }
    assert_eq!(secrets.len(), 24);
    // Not even while it is pending is a key in the trust centre's folder in a form that it could read.
    let middle = &sealed[sealed.len() / 2..][..64];
    assert!(holds(&stage.home(), middle) && pending(&stage).len() == 1);
    assert!(!secrets.iter().any(|secret| holds(&stage.home(), secret)));

    let import = "facility import --file material.cms --out confirmation.cms";
    let arrived = answer_in(&stage, "factory", import);
    assert_eq!(arrived["guids"].as_array().unwrap().len(), 3);
    stage.answer("facility answer --file confirmation.cms --out answer.cms");
    assert!(!holds(&stage.home(), middle) && pending(&stage).is_empty());
    assert!(!secrets.iter().any(|secret| holds(&stage.home(), secret)));
    assert!(!secrets.iter().any(|secret| holds(&stage.path("factory"), secret)));

    answer_in(&stage, "factory", "facility import --file answer.cms");

    // Confirmed or imported again, nothing comes twice.
    stage.answer("facility answer --file confirmation.cms --out answer.cms");
    answer_in(&stage, "factory", "facility import --file answer.cms");
    let again = answer_in(&stage, "factory", import);
    assert_eq!(again["guids"], arrived["guids"]);
    assert_eq!(sorted(guids_in(&stage, "factory", "material-received")).len(), 3);
    assert_eq!(
        sorted(stage.guids("guid-given")),
        sorted(guids_in(&stage, "factory", "material-received"))
    );
    stage.answer("records verify");
    answer_in(&stage, "factory", "records verify");
}

#[test]
fn files_for_others_and_altered_ones_are_refused() {
    let stage = stage();
    answer_in(&stage, "other", "facility init --name Other");
    stage.answer("certify-facility --requests other");
    stage.answer("facility export --facility Factory --cards 1 --out material.cms");
    let import = "facility import --file material.cms --out confirmation.cms";
    let said = error_in(&stage, "other", import);
    assert!(said.contains("is not accepted"), "{said}");
    let whole = std::fs::read(stage.path("material.cms")).unwrap();
    for at in [60, whole.len() / 2, whole.len() - 10] {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        std::fs::write(stage.path("material.cms"), altered).unwrap();
        let said = error_in(&stage, "factory", import);
        assert!(said.contains("is not accepted"), "{at}: {said}");
    }
    let said = stage.error("facility answer --file material.cms --out answer.cms");
    assert!(said.contains("is not accepted"), "{said}");
    std::fs::write(stage.path("material.cms"), &whole).unwrap();
    let said = error_in(&stage, "factory", "facility import --file material.cms");
    assert!(said.contains("--out"), "{said}");
    answer_in(&stage, "factory", import);
    let said = stage.error("facility export --facility Nobody --cards 1 --out material.cms");
    assert!(said.contains("certify-facility"), "{said}");
    // Another facility does not confirm what is not for it, and one that is revoked gets nothing.
    assert_eq!(pending(&stage).len(), 1);
    stage.answer("revoke --name Factory --reason key-compromise");
    let said = stage.error("facility answer --file confirmation.cms --out answer.cms");
    assert!(said.contains("revoked"), "{said}");
    let said = stage.error("facility export --facility Factory --cards 1 --out material.cms");
    assert!(said.contains("revoked"), "{said}");
    assert_eq!(pending(&stage).len(), 1);
}

#[test]
fn connection_is_for_facilities_of_this_trust_centre_and_to_it_alone() {
    let stage = stage();
    let server = Server::start(&stage);
    let order = format!("facility order --center {} --cards 1", server.address);
    answer_in(&stage, "factory", &order);

    // Not certified, and certified by somebody else.
    answer_in(&stage, "stranger", "facility init --name Stranger");
    let said = error_in(&stage, "stranger", &order);
    assert!(said.contains("certify-facility"), "{said}");
    let second = stage
        .command_in("elsewhere", "init --name Elsewhere")
        .output()
        .unwrap();
    assert!(second.status.success());
    answer_in(&stage, "elsewhere", "certify-facility --requests stranger");
    let said = error_in(&stage, "stranger", &order);
    assert!(said.contains("trust centre"), "{said}");
    // A supplier is no facility.
    stage.supplier("works");
    let said = stage.error("certify-facility --requests works");
    assert!(said.contains("wants to be certified as Supplier"), "{said}");
    // A revoked facility is refused by the running server.
    stage.answer("revoke --name Factory --reason key-compromise");
    let given = stage.guids("guid-given");
    let said = error_in(&stage, "factory", &order);
    assert!(said.contains("trust centre"), "{said}");
    assert_eq!(stage.guids("guid-given"), given);
    drop(server);
    let said = error_in(&stage, "factory", &order);
    assert!(said.contains("facility serve"), "{said}");
}

/// Lets a program run for a while, and kills it; returns whether it had ended before.
fn kill_after(mut child: Child, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    while Instant::now() < until && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let ended = child.try_wait().unwrap().is_some();
    drop(child.kill());
    child.wait().unwrap();
    ended
}

fn spawn(stage: &Stage, line: &str) -> Child {
    let mut command = stage.command_in("factory", line);
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Compares the books of both: every GUID that was given to the facility has arrived there once.
pub(crate) fn compare(stage: &Stage) {
    let given = stage.guids("guid-given");
    let received = guids_in(stage, "factory", "material-received");
    let once: BTreeSet<_> = given.iter().cloned().collect();
    assert_eq!(once.len(), given.len());
    assert_eq!(sorted(received), sorted(given));
    assert_eq!(pending(stage), Vec::<PathBuf>::new());
    for act in ["personalized", "left-blank", "scrapped"] {
        assert_eq!(
            sorted(guids_in(stage, "factory", act)),
            sorted(stage.guids(act)),
            "{act}"
        );
    }
    stage.answer("records verify");
    answer_in(stage, "factory", "records verify");
}

#[test]
fn facility_that_is_killed_again_and_again_gets_every_delivery_once() {
    let stage = stage();
    let server = Server::start(&stage);
    let line = format!("facility order --center {} --cards 20", server.address);
    // The shortest of three: a machine that is busy with something else for a moment makes one of them long.
    let orders = (0..3).map(|_| {
        let begun = Instant::now();
        answer_in(&stage, "factory", &line);
        begun.elapsed()
    });
    let whole = orders.min().unwrap();
    let mut killed = 0;
    for number in 0..30 {
        // From the beginning to the end of an order, in steps.
        let patience = whole.mul_f64(0.1 + f64::from(number) / 30.0);
        killed += u32::from(!kill_after(spawn(&stage, &line), patience));
    }
    assert!(killed >= 10, "{killed}");
    answer_in(&stage, "factory", &line);
    compare(&stage);
}

#[test]
fn trust_centre_that_is_killed_again_and_again_gives_every_delivery_once() {
    let stage = stage();
    let mut server = Server::start(&stage);
    let address = server.address.clone();
    let line = format!("facility order --center {address} --cards 20");
    let begun = Instant::now();
    answer_in(&stage, "factory", &line);
    let whole = begun.elapsed();
    for number in 0..20 {
        let order = spawn(&stage, &line);
        let until = Instant::now() + whole.mul_f64(0.5 + 0.6 * f64::from(number) / 20.0);
        while Instant::now() < until {
            std::thread::yield_now();
        }
        drop(server);
        kill_after(order, Duration::from_secs(20));
        server = Server::at(&stage, &address);
    }
    answer_in(&stage, "factory", &line);
    compare(&stage);
}

#[test]
fn batch_of_the_facility_that_is_killed_again_and_again_leaves_nothing_in_doubt() {
    let stage = stage();
    let server = Server::start(&stage);
    let line = format!(
        "facility personalize --center {} --card soft:cards --batch 12 --labels labels",
        server.address
    );
    for number in 0..25 {
        let patience = Duration::from_micros(200_000 + number * 7_919 % 300_000);
        if kill_after(spawn(&stage, &line), patience) {
            break;
        }
    }
    let done = answer_in(&stage, "factory", &line);
    let guids: BTreeSet<String> = serde_json::from_value(done["guids"].clone()).unwrap();
    assert_eq!(guids.len(), 12);
    let table = read(&stage.path("labels/labels.csv"));
    let labelled: BTreeSet<_> = table
        .lines()
        .skip(1)
        .map(|line| line.split(',').next().unwrap().to_owned())
        .collect();
    assert_eq!(labelled, guids);
    compare(&stage);
    let given: BTreeSet<_> = stage.guids("guid-given").into_iter().collect();
    let settled: Vec<_> = ["personalized", "left-blank", "scrapped"]
        .map(|act| stage.guids(act))
        .concat();
    assert_eq!(settled.iter().cloned().collect::<BTreeSet<_>>(), given);
    assert_eq!(settled.len(), given.len());
}

#[test]
fn outcomes_travel_in_files_too_and_never_change() {
    let stage = stage();
    let server = Server::start(&stage);
    let line = format!(
        "facility personalize --center {} --card soft:card",
        server.address
    );
    // The server is gone before the outcome can be told.
    let card = answer_in(&stage, "factory", &line);
    let said = error_in(&stage, "factory", "facility report --out report.cms");
    assert!(said.contains("nothing to report"), "{said}");
    drop(server);
    let said = error_in(&stage, "factory", &line.replace("soft:card", "soft:other"));
    assert!(said.contains("facility serve"), "{said}");
    assert!(!stage.path("other").exists());
    assert_eq!(stage.guids("personalized"), [card["guid"].as_str().unwrap()]);
}

#[test]
fn two_programs_do_not_work_in_one_facility_at_once() {
    let stage = stage();
    let lock = std::fs::File::create(stage.path("factory/material/lock")).unwrap();
    lock.lock().unwrap();
    let said = error_in(&stage, "factory", "facility report --out report.cms");
    assert!(said.contains("another program works in"), "{said}");
}

#[test]
fn random_bytes_as_a_letter_end_the_connection_and_nothing_else() {
    let stage = stage();
    let server = Server::start(&stage);
    let mut noise = Command::new("openssl");
    noise.args(["s_client", "-connect", &server.address, "-quiet", "-tls1_3"]);
    noise.args([
        "-cert",
        "factory/tls.pem",
        "-key",
        "factory/tls.key",
        "-cert_chain",
        "factory/chain.pem",
    ]);
    noise
        .args(["-pass", "pass:a passphrase of tests"])
        .current_dir(stage.folder.path());
    let mut child = noise
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"\x00\x00\x00\x10sixteen letters.").unwrap();
    let output = child.wait_with_output().unwrap();
    drop(input);
    assert_eq!(output.stdout, b"");
    answer_in(
        &stage,
        "factory",
        &format!("facility order --center {} --cards 1", server.address),
    );
    compare(&stage);
}
