//! Energy applications at work: signed, installed, run on what is registered, revised, explained, contained.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use system::{
    Card, CardPlace, Folder, Gateway, GatewayConfig, GrantText, Interrupt, Meters, Period, Program, Programs,
    Pull, Query, Stage, StageError, Supplier, wait_until,
};

use crate::steps::{ALL_OF_IT, PERIOD, read, told};

/// How long it may take until windows are over, evaluated and pulled, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Where a package's manifest stands.
const MANIFEST: &str = "smgw.manifest";
/// Meters on the M-Bus that nobody has built: asking them takes long enough for a window to be evaluated meanwhile.
const ABSENT: std::ops::RangeInclusive<u8> = 101..=130;

/// A module that writes nothing of a window with one reading, and never comes to an end with more.
const HOSTILE: &str = r#"(module
    (memory (export "memory") 2 32)
    (func (export "abi_version") (result i32) (i32.const 1))
    (func (export "smgw_alloc") (param i32) (result i32) (i32.const 4096))
    (func (export "evaluate") (param $in i32) (param $length i32) (result i64)
        (if (i32.gt_u (i32.load offset=64 (local.get $in)) (i32.const 1)) (then (loop $ever (br $ever))))
        (i32.store (i32.const 1024) (i32.const 0x314f5453))
        (i32.store (i32.const 1028) (i32.const 0x00180001))
        (i32.store (i32.const 1032) (i32.const 24))
        (i64.or (i64.shl (i64.const 1024) (i64.const 32)) (i64.const 24))))"#;

/// A gateway that reads an electricity meter, and whatever of the cellar it is told to.
struct Street {
    gateway: Gateway,
    supplier: Supplier,
    card: Card,
    wan: String,
    config: PathBuf,
    meters: Meters,
    stage: Stage,
}

impl Street {
    fn new() -> Self {
        Self::try_new().unwrap_or_else(|error| panic!("{}", told(&error)))
    }

    fn try_new() -> Result<Self, StageError> {
        let stage = Stage::set(Programs::find()?, Folder::temporary()?, Interrupt::default())?;
        let supplier = stage.found_supplier("supplier", "City Works", &stage.trust_center())?;
        let meters = stage.start_meters()?;
        let card = stage.personalize("card")?;
        let config = config_of(&stage, &card, &meters, "");
        let mut gateway = stage.start_gateway(&config)?;
        let status = gateway.wait_for(&stage, "the binding", PATIENCE, |status| {
            status.state == "bound" && status.wan.is_some()
        })?;
        Ok(Self {
            gateway,
            supplier,
            card,
            wan: status.wan.unwrap_or_default(),
            config,
            meters,
            stage,
        })
    }

    /// Installs an application with assignments, and grants of all elements.
    fn install(&mut self, application: &Path, assignments: &str) -> Result<(), String> {
        let grants = GrantText {
            id: "tariff".to_owned(),
            elements: vec!["*".to_owned()],
            finest: PERIOD.to_owned(),
            history: "P30D".to_owned(),
            purpose: "billing by tariff".to_owned(),
            push: None,
        };
        let grants = self
            .stage
            .write("grants.toml", &GrantText::file(&[grants]))
            .unwrap();
        let assignments = self.stage.write("assignments.toml", assignments).unwrap();
        let command = self.stage.command(Program::TrustCenter, "install").arg("--json");
        let command = command
            .option("--home", self.stage.trust_center())
            .option("--guid", &self.card.guid)
            .option("--gateway", &self.wan)
            .option("--supplier", self.supplier.home())
            .option("--grants", grants)
            .option("--application", application)
            .option("--assignment", assignments);
        let finished = self.stage.run(&command).unwrap();
        if finished.code != Some(0) {
            return Err(finished.log_text().unwrap());
        }
        self.gateway
            .wait_for_state(&self.stage, "operational", PATIENCE)
            .unwrap_or_else(|error| panic!("{}", told(&error)));
        Ok(())
    }

    /// Signs an application as the supplier; returns the signed package.
    fn sign(&self, package: &Path) -> PathBuf {
        let signed = self.supplier.sign(&self.stage, package);
        signed.unwrap_or_else(|error| panic!("{}", told(&error)))
    }

    /// Writes a package with one vector, which gets the fuel that `app check` says it takes.
    fn write_package(&self, name: &str, module: &[u8], mut manifest: Value) -> PathBuf {
        let file = self.stage.path(name);
        std::fs::write(&file, package(module, &manifest)).unwrap();
        let command = self.stage.command(Program::Smgw, "app").arg("check");
        let checked = self.stage.run(&command.arg("--json").arg(&file)).unwrap();
        let checked: Value = serde_json::from_str(&checked.lines[0]).unwrap();
        let fault = checked["fault"].as_str().unwrap();
        let behind = fault.split("takes ").nth(1);
        let fuel = behind.and_then(|behind| behind.split(' ').next());
        let fuel: u64 = fuel
            .and_then(|fuel| fuel.parse().ok())
            .unwrap_or_else(|| panic!("{fault}"));
        manifest["vectors"][0]["fuel"] = fuel.into();
        std::fs::write(&file, package(module, &manifest)).unwrap();
        file
    }

    /// Runs a command of the gateway about applications; returns its code and its answer.
    fn app(&self, words: &[&str]) -> (Option<i32>, Value) {
        let command = self.stage.command(Program::Smgw, "app");
        let command = words.iter().fold(command, |command, word| command.arg(word));
        let finished = self
            .stage
            .run(&command.arg("--json").option("--config", &self.config))
            .unwrap();
        let answer = finished
            .lines
            .first()
            .map(|line| serde_json::from_str(line).unwrap());
        (finished.code, answer.unwrap_or(Value::Null))
    }

    fn pull(&self, elements: &str) -> Pull {
        let query = Query {
            guid: self.card.guid.clone(),
            wan: self.wan.clone(),
            elements: vec![elements.to_owned()],
            resolution: PERIOD.to_owned(),
            period: Period::Last(ALL_OF_IT.to_owned()),
            keep: None,
        };
        let pull = self.supplier.pull(&self.stage, &query);
        pull.unwrap_or_else(|error| panic!("{}\n{}", told(&error), read(self.gateway.log())))
    }

    /// Returns the values of an element by their times.
    fn values(&self, elements: &str) -> BTreeMap<String, String> {
        let pull = self.pull(elements);
        let series = pull.series.iter().flat_map(|series| series.points().unwrap());
        series
            .map(|point| (point.time.to_string(), point.value))
            .collect()
    }

    fn wait<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let found = wait_until(&self.stage.deadline(PATIENCE), || Ok::<_, StageError>(look()));
        let found = found.unwrap_or_else(|error| panic!("{}", told(&error)));
        found.unwrap_or_else(|| panic!("{what} in time\n{}", read(self.gateway.log())))
    }

    /// Returns the entries of the system log that are about applications.
    fn failures(&self) -> Vec<String> {
        let command = self
            .stage
            .command(Program::Smgw, "log")
            .arg("show")
            .arg("system")
            .arg("--json");
        let finished = self.stage.run(&command.option("--config", &self.config)).unwrap();
        let entries = finished
            .lines
            .iter()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let own = entries.filter(|entry| entry["code"] == "SMGW-L-1019");
        own.map(|entry| entry["text"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// Writes the configuration: the electricity meter, and of the cellar's bus what is given.
fn config_of(stage: &Stage, card: &Card, meters: &Meters, cellar: &str) -> PathBuf {
    let config = GatewayConfig::on(stage, CardPlace::File(card.file.clone()), meters, PERIOD);
    let text = config.to_toml();
    let cut = text.find("[[bus]]\nname = \"cellar\"").unwrap();
    let board = text.find("[[bus]]\nname = \"board\"").unwrap();
    let text = format!("{}{cellar}{}", &text[..cut], &text[board..]);
    stage.write("smgw.toml", &text).unwrap()
}

/// Returns the parts of a package: its module, and its manifest.
fn parts(package: &[u8]) -> (&[u8], Value) {
    let name = [&[u8::try_from(MANIFEST.len()).unwrap()][..], MANIFEST.as_bytes()].concat();
    let at = package
        .windows(name.len())
        .position(|window| window == name)
        .unwrap();
    // In front of the name stand the section's identifier, which is 0, and its length in up to three bytes.
    let begin = (2..=4)
        .map(|back| at - back)
        .find(|begin| package[*begin] == 0)
        .unwrap();
    let manifest = serde_json::from_slice(&package[at + name.len()..]).unwrap();
    (&package[..begin], manifest)
}

/// Puts a manifest behind a module.
fn package(module: &[u8], manifest: &Value) -> Vec<u8> {
    let leb128 = |mut number: usize| {
        let mut bytes = Vec::new();
        loop {
            let low = u8::try_from(number & 0x7f).unwrap();
            number >>= 7;
            if number == 0 {
                bytes.push(low);
                return bytes;
            }
            bytes.push(low | 0x80);
        }
    };
    let content = [
        &leb128(MANIFEST.len()),
        MANIFEST.as_bytes(),
        &serde_json::to_vec(manifest).unwrap(),
    ]
    .concat();
    [module, &[0], &leb128(content.len()), &content].concat()
}

/// The tariff with stages that is shipped, for registration periods of seconds: as many windows as there is room for.
fn fast_tariff(stage: &Stage) -> PathBuf {
    let shipped = std::fs::read(stage.application("taf-2").unwrap()).unwrap();
    let (module, manifest) = parts(&shipped);
    let file = stage.path("taf-2.wasm");
    std::fs::write(&file, package(module, &fast(manifest))).unwrap();
    file
}

fn fast(mut manifest: Value) -> Value {
    manifest["inputs"][0]["finest"] = "PT1S".into();
    let outputs = manifest["outputs"].as_array_mut().unwrap();
    outputs
        .iter_mut()
        .for_each(|output| output["keep"] = "PT12H".into());
    manifest
}

/// A later version of it that makes nothing of anything.
fn silent_tariff(street: &Street) -> PathBuf {
    let shipped = std::fs::read(street.stage.application("taf-2").unwrap()).unwrap();
    let mut manifest = fast(parts(&shipped).1);
    manifest["version"] = "1.1.1".into();
    let mut vector = manifest["vectors"][0].clone();
    vector["outputs"] = json!([]);
    manifest["vectors"] = json!([vector]);
    let module = HOSTILE.replace("(br $ever)", "");
    street.write_package("silent.wasm", &wat::parse_str(module).unwrap(), manifest)
}

/// Assigns a tariff with one stage for all times to what is counted.
fn assignments(window: &str) -> String {
    let all = r#"[["00:00", 1]]"#;
    format!(
        "[[assignment]]\nname = \"household\"\nwindow = \"{window}\"\nzone = \"UTC0\"\n\
         inputs.register = [\"*/1-0:1.8.0*255\", \"*/7-0:3.0.0*255\"]\n\
         parameters.stages.seasons = [{{ from = \"01-01\", work = {all}, saturday = {all}, sunday = {all}, holiday = {all} }}]\n"
    )
}

/// Reads digits as a whole number of thousandths.
fn thousandths(value: &str) -> i128 {
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    format!("{whole}{part:0<3}").parse().unwrap()
}

/// Returns what stands behind a key in a line of the gateway's log.
fn field<'a>(line: &'a str, key: &str) -> &'a str {
    let behind = line.split_once(&format!(" {key}=")).unwrap().1;
    behind.split(' ').next().unwrap().trim_matches('"')
}

/// Returns the windows that were evaluated, by their revision.
fn evaluated(log: &str) -> Vec<(u32, String, String)> {
    let lines = log.lines().filter(|line| line.contains("window evaluated"));
    lines
        .map(|line| {
            let revision = field(line, "revision").parse().unwrap();
            (
                revision,
                field(line, "from").to_owned(),
                field(line, "to").to_owned(),
            )
        })
        .collect()
}

#[test]
fn derived_registers_reach_the_supplier_and_late_readings_revise_them() {
    let mut street = Street::new();
    let signed = street.sign(&fast_tariff(&street.stage));
    let command = street.stage.command(Program::Smgw, "app").arg("check");
    let command = command.arg("--json").arg(&signed);
    let checked: Value = serde_json::from_str(&street.stage.run(&command).unwrap().lines[0]).unwrap();
    assert_eq!(
        checked["application"]["author"]["name"],
        json!("City Works"),
        "{checked}"
    );
    assert_eq!(checked["application"]["tsm"], Value::Null);
    street
        .install(&signed, &assignments("PT10S"))
        .unwrap_or_else(|log| panic!("{log}\n{}", read(street.gateway.log())));
    let made = assert_that_windows_are_exact(&street);
    let meter = street.pull("*/1-0:1.8.1*255").series[0].meter.clone();
    let element = format!("{meter}/1-0:1.8.1*255");
    assert_that_the_command_line_explains(&street, &element, &made);

    let before = read(street.gateway.log());
    street.gateway.kill().unwrap();
    read_a_gas_meter_late(&mut street);
    let to = street.wait("a revision", || {
        let windows = evaluated(&read(street.gateway.log()));
        let revised = windows.into_iter().find(|(revision, ..)| *revision == 2);
        revised.map(|(_, _, to)| to)
    });
    let (_, explained) = street.app(&["explain", &element, &to]);
    let revisions = explained["series"][0]["revisions"].as_array().unwrap();
    let numbers: Vec<_> = revisions.iter().map(|revision| &revision["revision"]).collect();
    assert_eq!(numbers, [&json!(2), &json!(1)], "{explained}");
    assert!(
        revisions.iter().all(|revision| revision["reproduced"] == true),
        "{explained}"
    );
    let pulled = street.values("*/1-0:1.8.1*255");
    assert_eq!(
        pulled.get(&to).map(String::as_str),
        revisions[0]["value"]["value"].as_str()
    );

    // Nobody has evaluated a window twice for the first time, on either side of the power cut.
    let all = before + &read(street.gateway.log());
    let mut firsts = evaluated(&all);
    firsts.retain(|(revision, ..)| *revision == 1);
    let mut distinct = firsts.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), firsts.len(), "{firsts:?}");
    assert_that_a_dry_run_runs_what_is_assigned(&mut street, &element);
}

/// A later version makes something else of the readings that a stored value is made of: run dry, that comes out, and the
/// stored value stays.
fn assert_that_a_dry_run_runs_what_is_assigned(street: &mut Street, element: &str) {
    let silent = silent_tariff(street);
    let signed = street.sign(&silent);
    let made = street.values("*/1-0:1.8.1*255");
    let (to, value) = made.iter().next_back().unwrap();
    let (_, explained) = street.app(&["explain", element, to]);
    let newest = explained["series"][0]["revisions"][0].clone();
    let period = format!("{}/{to}", newest["window"]["from"].as_str().unwrap());
    let dry = |street: &Street| {
        street.app(&["run", "taf-2", "--dry", "--period", &period]).1["assignments"][0].clone()
    };
    let before = dry(street);
    let values = before["values"].as_array().unwrap();
    let own = values.iter().find(|made| made["obis"] == json!("1-0:1.8.1*255"));
    assert_eq!(
        (&before["application"], &own.unwrap()["value"]),
        (&json!("taf-2 1.1.0"), &json!(value))
    );
    street
        .install(&signed, &assignments("PT10S"))
        .unwrap_or_else(|log| panic!("{log}\n{}", read(street.gateway.log())));
    let after = street.wait("the later version", || {
        Some(dry(street)).filter(|after| after["application"] == json!("taf-2 1.1.1"))
    });
    assert_eq!(
        (&after["values"], &after["failure"]),
        (&json!([]), &Value::Null),
        "{after}"
    );
    let (_, explained) = street.app(&["explain", element, to]);
    let stored = &explained["series"][0]["revisions"][0];
    assert_eq!(
        (&stored["application"], &stored["value"], &stored["reproduced"]),
        (&json!("taf-2 1.1.0"), &newest["value"], &json!(true)),
        "{explained}"
    );
}

/// Each window's register is what the meter has counted in it, to the last digit. Returns the registers by their times.
fn assert_that_windows_are_exact(street: &Street) -> BTreeMap<String, String> {
    let (counted, made) = street.wait("three windows", || {
        let made = street.values("*/1-0:1.8.1*255");
        let counted = street.values("*/1-0:1.8.0*255");
        (made.len() >= 3).then_some((counted, made))
    });
    let mut compared = 0;
    for (to, value) in &made {
        let end: jiff::Timestamp = to.parse().unwrap();
        let from = (end - jiff::SignedDuration::from_secs(10)).to_string();
        if let (Some(first), Some(last)) = (counted.get(&from), counted.get(to)) {
            let expected = thousandths(last) - thousandths(first);
            assert_eq!(thousandths(value), expected, "until {to}");
            compared += 1;
        }
    }
    assert!(compared >= 2, "{made:?} {counted:?}");
    made
}

/// The command line lists the application, explains a value by its readings, and runs it dry.
fn assert_that_the_command_line_explains(street: &Street, element: &str, made: &BTreeMap<String, String>) {
    let (code, listed) = street.app(&["list"]);
    assert_eq!((code, &listed["schema"]), (Some(0), &json!("smgw.app.list/1")));
    let app = &listed["applications"][0];
    assert_eq!(
        (&app["id"], &app["supplier"]),
        (&json!("taf-2"), &json!("City Works"))
    );
    assert!(app["assignments"][0]["evaluated_until"].is_string(), "{listed}");
    let to = made.keys().next_back().unwrap();
    let (code, explained) = street.app(&["explain", element, to]);
    assert_eq!(
        (code, &explained["schema"]),
        (Some(0), &json!("smgw.app.explanation/2"))
    );
    let series = &explained["series"][0];
    assert_eq!(
        (&series["assignment"], &series["supplier"]),
        (&json!("household"), &json!("City Works")),
        "{explained}"
    );
    let newest = &series["revisions"][0];
    assert_eq!(
        (&newest["reproduced"], &newest["application"]),
        (&json!(true), &json!("taf-2 1.1.0"))
    );
    assert_eq!(newest["value"]["value"], json!(made[to]), "{explained}");
    assert!(newest["basis"].as_array().unwrap().len() >= 2, "{explained}");
    assert_eq!(
        newest["basis"][0]["meter"], newest["value"]["meter"],
        "{explained}"
    );
    assert_eq!(newest["slots"][0]["stage"], json!(1), "{explained}");
    assert!(newest["parameters"]["stages"].is_object(), "{explained}");
    let period = format!("{}/{to}", newest["window"]["from"].as_str().unwrap());
    let (code, dry) = street.app(&["run", "taf-2", "--dry", "--period", &period]);
    assert_eq!((code, &dry["schema"]), (Some(0), &json!("smgw.app.run/2")));
    assert_eq!(
        dry["assignments"][0]["values"][0]["value"],
        json!(made[to]),
        "{dry}"
    );
    let (code, _) = street.app(&["explain", element, "2020-01-01T00:00:00Z"]);
    assert_eq!(code, Some(1));
}

/// Starts the gateway again with a gas meter that it has never read, behind many that don't answer: its first reading comes
/// late.
fn read_a_gas_meter_late(street: &mut Street) {
    let mbus = &street.meters.addresses().mbus;
    let mut cellar = format!("[[bus]]\nname = \"cellar\"\nmbus = \"{mbus}\"\n");
    for address in ABSENT {
        cellar += &format!("\n[[bus.meter]]\nname = \"absent-{address}\"\nprimary = {address}\n");
    }
    cellar += "\n[[bus.meter]]\nname = \"gas\"\nprimary = 1\n\n";
    street.config = config_of(&street.stage, &street.card, &street.meters, &cellar);
    street.gateway = street.stage.start_gateway(&street.config).unwrap();
    let status = street
        .gateway
        .wait_for_state(&street.stage, "operational", PATIENCE);
    street.wan = status.unwrap().wan.unwrap();
}

#[test]
fn hostile_application_is_contained_and_named() {
    let mut street = Street::new();
    let module = wat::parse_str(HOSTILE).unwrap();
    let texts = json!({ "de": "Nie fertig", "en": "Never done" });
    let manifest = json!({
        "schema": "smgw.manifest/1", "id": "hostile", "version": "1.0.0", "interface": "smgw:tariff/1",
        "name": texts, "description": texts,
        "inputs": [{ "role": "register", "obis": "1-0:1.8.0*255", "units": ["Wh"], "finest": "PT1S", "history": "P30D" }],
        "outputs": [{ "output": "nothing", "obis": "x-x:x.x.9*255", "keep": "PT6H" }],
        "vectors": [{
            "name": "one reading", "window": { "from": "2026-11-23T12:00:00Z", "to": "2026-11-23T13:00:00Z" },
            "channels": [{ "role": "register", "obis": "1-0:1.8.0*255", "unit": "Wh", "step": "PT15M",
                "readings": [{ "at": "2026-11-23T12:00:00Z", "value": "1.5" }] }],
            "outputs": [], "fuel": 0
        }]
    });
    let file = street.write_package("hostile.wasm", &module, manifest);
    let refused = street.install(&file, &assignments("PT4S")).unwrap_err();
    assert!(refused.contains("not signed by its author"), "{refused}");

    let signed = street.sign(&file);
    let assigned = "[[assignment]]\nname = \"trap\"\nwindow = \"PT4S\"\nzone = \"UTC0\"\ninputs.register = [\"*/1-0:1.8.0*255\"]\n";
    let wrong = assigned.replace("register", "volume");
    let refused = street.install(&signed, &wrong).unwrap_err();
    assert!(refused.contains("assignment"), "{refused}");
    street
        .install(&signed, assigned)
        .unwrap_or_else(|log| panic!("{log}\n{}", read(street.gateway.log())));
    let failures = street.wait("a failure", || {
        Some(street.failures()).filter(|failures| !failures.is_empty())
    });
    assert!(
        failures[0].contains("application hostile 1.0.0 failed on trap")
            && failures[0].contains("(out-of-fuel)"),
        "{failures:?}"
    );
    // Metering goes on, and the application is left alone for a while.
    let counted = street.values("*/1-0:1.8.0*255").len();
    street.wait("more readings", || {
        (street.values("*/1-0:1.8.0*255").len() >= counted + 3).then_some(())
    });
    assert_eq!(street.failures().len(), 1);
    let (_, listed) = street.app(&["list"]);
    let app = &listed["applications"][0];
    assert_eq!(
        (&app["failures"], app["left_alone_until"].is_string()),
        (&json!(1), true),
        "{listed}"
    );
}
