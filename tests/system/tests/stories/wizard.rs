//! The installation wizard, walked through as a technician does: every step, a power cut behind and in the middle of them, and
//! bad input at every field.

mod over_a_broker;
pub(crate) mod paper;
mod telling;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use system::{
    Card, CardPlace, Command, Folder, Gateway, GatewayConfig, Interrupt, Meters, Programs, Stage, StageError,
    Wan, wait_until,
};

use crate::local_web::{Answer, Browser, CHOSEN, ask};
use crate::steps::{give_clock, read, told};
use telling::{the_code_is_told_in_german, the_examination_says_the_same, who_has_installed_what_is_logged};

/// Long enough that a scan finds its turn between two rounds.
const PERIOD: &str = "PT10S";
/// How long a step may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long a start may take.
const START: Duration = Duration::from_secs(30);

/// A house with a gateway that nobody has installed yet.
struct Site {
    gateway: Gateway,
    meters: Meters,
    card: Card,
    config: PathBuf,
    stage: Stage,
}

impl Site {
    /// Sets up a gateway whose card waits for the confirmation, with one meter out of four. What is prepared last holds for
    /// the gateway alone.
    fn new(prepare: &dyn Fn(&mut Stage) -> Wan) -> Self {
        let open = || -> Result<Self, StageError> {
            let mut stage = Stage::set(Programs::find()?, Folder::temporary()?, Interrupt::default())?;
            let meters = stage.start_meters()?;
            let card = stage.personalize("card")?;
            let place = CardPlace::File(card.file.clone());
            let config = GatewayConfig::on(&stage, place, &meters, PERIOD);
            let text = config.to_toml_over(&prepare(&mut stage));
            let (text, _) = text.split_once("\n[[bus.meter]]\nname = \"water\"").unwrap();
            let web = "binding = \"confirmed\"\n\n[web.https]\nlisten = \"127.0.0.1:0\"\n\n[control]";
            let config = stage.write("smgw.toml", &text.replacen("\n[control]", web, 1))?;
            let gateway = stage.start_gateway(&config)?;
            Ok(Self {
                gateway,
                meters,
                card,
                config,
                stage,
            })
        };
        open().unwrap_or_else(|error| panic!("{}", told(&error)))
    }

    /// Asks the gateway's command line for one JSON document.
    fn smgw(&self, arguments: &[&str]) -> Value {
        ask(&self.stage, &self.config, arguments)
    }

    fn web(&self) -> String {
        self.smgw(&["status"])["https"].as_str().unwrap().to_owned()
    }

    /// Logs in as the technician, who has a password already.
    fn technician(&self, name: &str) -> Phone<'_> {
        let browser = Browser::new(&self.stage, &self.web(), name);
        browser.log_in("technician", CHOSEN).leads_to("/");
        Phone { site: self, browser }
    }

    /// Cuts the power, and starts the gateway again.
    fn power_cut(&mut self) {
        self.gateway.kill().unwrap();
        self.gateway = self.stage.start_gateway(&self.config).unwrap();
    }
}

/// The technician's phone.
struct Phone<'a> {
    site: &'a Site,
    browser: Browser<'a>,
}

impl Phone<'_> {
    fn page(&self, step: &str) -> Answer {
        let page = self.browser.get(&format!("/wizard/{step}"));
        assert_eq!(page.status, 200, "{step}: {}", page.body);
        page
    }

    /// Sends a form of a step's page.
    fn send(&self, step: &str, order: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.page(step).form_token().to_owned();
        let fields = [fields, &[("form", token.as_str())]].concat();
        self.browser.post(&format!("/wizard/{step}/{order}"), &fields)
    }

    /// Sends a form, and waits for the end of the step.
    fn carry_out(&self, step: &str, order: &str, fields: &[(&str, &str)]) -> Answer {
        let sent = self.send(step, order, fields);
        assert_eq!(sent.status, 303, "{step}: {}", sent.body);
        let ended = wait_until(&self.site.stage.deadline(PATIENCE), || {
            let page = self.page(step);
            Ok::<_, StageError>((!page.body.contains("data-running")).then_some(page))
        });
        ended
            .unwrap()
            .unwrap_or_else(|| panic!("{step} has no end\n{}", read(self.site.gateway.log())))
    }

    /// Returns the state of a step as the overview has it.
    fn state(&self, step: &str) -> String {
        let overview = self.browser.get("/wizard");
        let (_, rest) = overview
            .body
            .split_once(&format!("href=\"/wizard/{step}\">"))
            .unwrap_or_else(|| panic!("{step} is missing in {}", overview.body));
        let (_, rest) = rest.split_once("<span class=\"").unwrap();
        let (_, rest) = rest.split_once('>').unwrap();
        rest.split('<').next().unwrap().to_owned()
    }
}

const STEPS: [&str; 7] = ["device", "card", "bus", "meters", "binding", "wan", "report"];

#[test]
fn an_installation_is_walked_through_with_a_power_cut_at_every_step() {
    let mut site = Site::new(&|_| Wan::loopback());
    let issued = site.smgw(&["web", "password", "technician"]);
    let first = Browser::new(&site.stage, &site.web(), "first");
    first.get("/wizard").leads_to("/login");
    first.begin("technician", issued["password"].as_str().unwrap());
    let phone = site.technician("start");
    for step in STEPS {
        assert_eq!(phone.state(step), "to do", "{step}");
    }
    consumers_and_strangers_are_kept_out(&phone);
    drop(first);

    let device = phone.carry_out("device", "start", &[]);
    for text in [
        "Free space",
        "MiB",
        "Network interfaces",
        "Time",
        "Offset of the clock",
    ] {
        assert!(device.body.contains(text), "{text} is missing in {}", device.body);
    }
    the_examination_says_the_same(&site, &device.body);
    let state = phone.state("device");
    drop(phone);
    site.power_cut();
    assert_eq!(site.technician("device").state("device"), state);

    card(&mut site);
    bus(&mut site);
    meters(&mut site);
    binding(&mut site);
    wan_without_a_broker(&mut site);
    report(&mut site);
    site.meters.check_running().unwrap();
}

fn consumers_and_strangers_are_kept_out(phone: &Phone<'_>) {
    let site = phone.site;
    let issued = site.smgw(&["web", "password", "consumer"]);
    let consumer = Browser::new(&site.stage, &site.web(), "consumer");
    consumer.begin("consumer", issued["password"].as_str().unwrap());
    for page in ["/wizard", "/wizard/device", "/wizard/report.json"] {
        assert_eq!(consumer.get(page).status, 403, "{page}");
    }
    assert_eq!(phone.browser.get("/wizard/nothing").status, 404);
    assert_eq!(phone.browser.get("/wizard/report.json").status, 404);
    let forged = "0".repeat(64);
    for order in [
        "device/start",
        "device/skip",
        "bus/scan",
        "bus/cancel",
        "meters/install",
        "meters/remove",
        "meters/compare",
        "meters/restart",
        "binding/confirm",
    ] {
        let fields = [("form", forged.as_str())];
        let refused = phone.browser.post(&format!("/wizard/{order}"), &fields);
        assert_eq!(refused.status, 403, "{order}");
    }
    let script = phone.browser.get("/wizard.js");
    assert!(script.status == 200 && script.body.len() < 4_000);
    for reason in ["", "   ", &"x".repeat(201)] {
        let refused = phone.send("wan", "skip", &[("reason", reason)]);
        assert_eq!(refused.status, 422, "{reason}");
        assert!(refused.body.contains("id=\"reason-fault\""), "{}", refused.body);
    }
    phone
        .send("wan", "skip", &[("reason", "no SIM <yet>")])
        .leads_to("/wizard/wan");
    assert_eq!(phone.state("wan"), "left out");
    assert!(phone.page("wan").body.contains("no SIM &#60;yet&#62;"));
}

fn card(site: &mut Site) {
    let phone = site.technician("card");
    let aside = site.stage.path("card-aside");
    std::fs::rename(&site.card.file, &aside).unwrap();
    let pulled = phone.carry_out("card", "start", &[]);
    assert_eq!(phone.state("card"), "problem");
    assert!(pulled.body.contains("SMGW-C-"), "{}", pulled.body);
    the_code_is_told_in_german(&phone, &pulled.body);
    let binding = phone.page("binding");
    assert!(
        binding.body.contains("It cannot be bound yet"),
        "{}",
        binding.body
    );
    std::fs::rename(&aside, &site.card.file).unwrap();
    let there = phone.carry_out("card", "start", &[]);
    for text in [
        site.card.guid.as_str(),
        "Trust Centre",
        "Certificate chain",
        "valid for another",
        "Soft card",
    ] {
        assert!(there.body.contains(text), "{text} is missing in {}", there.body);
    }
    assert_eq!(phone.state("card"), "good");
    drop(phone);
    site.power_cut();
    assert_eq!(site.technician("card-2").state("card"), "good");
}

fn bus(site: &mut Site) {
    let mbus = format!("tcp:{}", site.meters.addresses().mbus);
    let phone = site.technician("bus");
    let good = [
        ("protocol", "mbus"),
        ("endpoint", mbus.as_str()),
        ("baud", "2400"),
        ("latency", "100"),
        ("tries", "1"),
        ("first", "1"),
        ("last", "4"),
    ];
    for (field, bad, told) in [
        ("protocol", "dlms", "Choose the protocol"),
        ("endpoint", "cellar", "no endpoint"),
        ("baud", "1", "of the list"),
        ("latency", "1", "of the list"),
        ("tries", "9", "1, 2 or 3"),
        ("first", "x", "0 to 250"),
        ("last", "251", "0 to 250"),
    ] {
        let fields = good.map(|(name, value)| (name, if name == field { bad } else { value }));
        let refused = phone.send("bus", "scan", &fields);
        assert_eq!(refused.status, 422, "{field}");
        assert!(refused.body.contains(told), "{field}: {}", refused.body);
        assert!(refused.body.contains("aria-invalid=\"true\""), "{field}");
    }
    let closed = good.map(|(name, value)| {
        (
            name,
            if name == "endpoint" {
                "tcp:127.0.0.1:1"
            } else {
                value
            },
        )
    });
    let closed = phone.carry_out("bus", "scan", &closed);
    assert!(closed.body.contains("Check the wiring"), "{}", closed.body);
    assert_eq!(phone.state("bus"), "problem");

    // The line is read for metering every ten seconds, and the scan takes its turns.
    let found = phone.carry_out("bus", "scan", &good);
    for text in [
        "Address 1:",
        "Address 2:",
        "Address 3:",
        "Frames as they came",
        "Gas",
        "Water",
        "Heat",
    ] {
        assert!(found.body.contains(text), "{text} is missing in {}", found.body);
    }
    assert_eq!(phone.state("bus"), "good");
    let gas = &site.smgw(&["status"])["meters"][0];
    assert!(gas["error"].is_null(), "metering goes on: {gas}");

    let whole = good.map(|(name, value)| (name, if name == "last" { "250" } else { value }));
    assert_eq!(phone.send("bus", "scan", &whole).status, 303);
    assert_eq!(phone.state("bus"), "running");
    phone.send("bus", "cancel", &[]).leads_to("/wizard/bus");
    let cancelled = phone.page("bus");
    assert!(cancelled.body.contains("Cancelled after"), "{}", cancelled.body);
    assert_eq!(phone.send("bus", "scan", &whole).status, 303);
    drop(phone);
    site.power_cut();
    let phone = site.technician("bus-2");
    assert_eq!(phone.state("bus"), "interrupted: check again");
    phone.carry_out("bus", "scan", &good);
}

fn meters(site: &mut Site) {
    let mbus = format!("tcp:{}", site.meters.addresses().mbus);
    let phone = site.technician("meters");
    let good = [
        ("protocol", "mbus"),
        ("endpoint", mbus.as_str()),
        ("bus", ""),
        ("address", "2"),
        ("profile", ""),
        ("id", ""),
        ("name", "water"),
        ("point", ""),
        ("consumer", ""),
    ];
    for (field, bad, told) in [
        ("protocol", "dlms", "Choose the protocol"),
        ("protocol", "modbus", "Choose the protocol"),
        ("endpoint", "cellar", "no endpoint"),
        ("endpoint", "tcp:127.0.0.1:1", "1 to 40 characters"),
        ("address", "251", "0 to 250"),
        ("name", "", "1 to 40 characters"),
        ("point", "DE1", "33 capital letters"),
        ("point", "51238696781", "identity of the meter"),
        ("address", "1", "same address"),
        ("name", "gas", "used twice"),
    ] {
        let fields = good.map(|(name, value)| (name, if name == field { bad } else { value }));
        let refused = phone.send("meters", "install", &fields);
        assert_eq!(refused.status, 422, "{field}: {}", refused.body);
        assert!(refused.body.contains(told), "{field}: {}", refused.body);
    }
    phone.send("meters", "install", &good).leads_to("/wizard/meters");
    let page = phone.page("meters");
    assert!(page.body.contains("Restart now"), "{}", page.body);
    drop(phone);
    site.power_cut();
    // The power cut was the restart.
    let names = |site: &Site| -> Vec<String> {
        let meters = site.smgw(&["status"])["meters"].as_array().unwrap().clone();
        let names = meters.iter().filter_map(|meter| meter["name"].as_str());
        names.map(str::to_owned).collect()
    };
    assert_eq!(names(site), ["gas", "water"]);

    let phone = site.technician("meters-2");
    assert!(!phone.page("meters").body.contains("Restart now"));
    let heat = good.map(|(name, value)| match name {
        "address" => (name, "3"),
        "name" => (name, "heat"),
        _ => (name, value),
    });
    phone.send("meters", "install", &heat).leads_to("/wizard/meters");
    let asked = phone.send("meters", "restart", &[]);
    assert!(asked.body.contains("The gateway restarts"), "{}", asked.body);
    drop(phone);
    let again = wait_until(&site.stage.deadline(START), || {
        let status = site.gateway.status(&site.stage)?;
        Ok::<_, StageError>(status.filter(|status| status.meters.len() == 3))
    });
    assert!(again.unwrap().is_some(), "{}", read(site.gateway.log()));
    site.gateway.check_running().unwrap();
    who_has_installed_what_is_logged(site);
    dials(site);
}

/// Compares every meter with its dial.
fn dials(site: &mut Site) {
    let every = wait_until(&site.stage.deadline(PATIENCE), || {
        let status = site.gateway.status(&site.stage)?;
        Ok::<_, StageError>(status.filter(system::Status::has_read_every_meter))
    });
    assert!(every.unwrap().is_some(), "{}", read(site.gateway.log()));

    let phone = site.technician("meters-3");
    for name in ["gas", "water", "heat"] {
        let agrees = if name == "heat" { "no" } else { "yes" };
        let fields = [("meter", name), ("agrees", agrees)];
        phone
            .send("meters", "compare", &fields)
            .leads_to("/wizard/meters");
    }
    phone.carry_out("meters", "start", &[]);
    assert_eq!(phone.state("meters"), "problem", "one does not agree");
    let fields = [("meter", "heat"), ("agrees", "yes")];
    phone
        .send("meters", "compare", &fields)
        .leads_to("/wizard/meters");
    // On a slow machine a round of so short a period may be late.
    let good = wait_until(&site.stage.deadline(PATIENCE), || {
        phone.carry_out("meters", "start", &[]);
        Ok::<_, StageError>((phone.state("meters") == "good").then_some(()))
    });
    assert!(good.unwrap().is_some(), "{}", phone.page("meters").body);
    for (field, value) in [("meter", "nobody"), ("agrees", "perhaps")] {
        let fields = [("meter", "gas"), ("agrees", "yes")];
        let fields = fields.map(|(name, good)| (name, if name == field { value } else { good }));
        assert_eq!(phone.send("meters", "compare", &fields).status, 404, "{field}");
    }
    assert_eq!(
        phone.send("meters", "remove", &[("file", "../smgw.toml")]).status,
        404
    );
}

fn binding(site: &mut Site) {
    let phone = site.technician("binding");
    let page = phone.page("binding");
    assert!(
        page.body.contains("cannot be undone") && page.body.contains(&site.card.guid),
        "{}",
        page.body
    );
    for (characters, told) in [
        ("", "last four characters"),
        ("12345", "last four characters"),
        ("zzzz", "last four characters"),
        ("0000", "does not end like that"),
    ] {
        let refused = phone.send("binding", "confirm", &[("characters", characters)]);
        assert_eq!(refused.status, 422, "{characters}");
        assert!(
            refused.body.contains("id=\"characters-fault\"") && refused.body.contains(told),
            "{characters}: {}",
            refused.body
        );
    }
    let last = site.card.guid.len() - 4;
    let characters = site.card.guid[last..].to_owned();
    let sent = phone.send("binding", "confirm", &[("characters", &characters)]);
    assert_eq!(sent.status, 303, "{}", sent.body);
    drop(phone);
    // In the middle of it or behind it: the gateway brings it to its end.
    site.power_cut();
    let bound = site.gateway.wait_for_state(&site.stage, "bound", START);
    bound.unwrap_or_else(|error| panic!("{}", told(&error)));
    let phone = site.technician("binding-2");
    assert_eq!(phone.state("binding"), "good");
    let page = phone.page("binding");
    assert!(
        page.body.contains("are one unit") && !page.body.contains("id=\"characters\""),
        "{}",
        page.body
    );
    let again = phone.send("binding", "confirm", &[("characters", &characters)]);
    assert_eq!(again.status, 303);
    assert_eq!(
        phone.state("binding"),
        "good",
        "it cannot be done twice, nor undone"
    );
}

fn wan_without_a_broker(site: &mut Site) {
    let phone = site.technician("wan");
    let page = phone.carry_out("wan", "start", &[]);
    for text in [
        "Link",
        "Address",
        "Reachable at",
        "not checked",
        "Tell the TSM the GUID",
    ] {
        assert!(page.body.contains(text), "{text} is missing in {}", page.body);
    }
    assert_eq!(phone.state("wan"), "problem", "the TSM has not been here");
    drop(phone);
    site.power_cut();
    assert_eq!(site.technician("wan-2").state("wan"), "problem");
}

fn report(site: &mut Site) {
    let bound = site.gateway.wait_for_state(&site.stage, "bound", START);
    bound.unwrap_or_else(|error| panic!("{}", told(&error)));
    let phone = site.technician("report");
    let page = phone.carry_out("report", "start", &[]);
    assert!(
        page.body.contains("<svg") && page.body.contains("Signed by the card"),
        "{}",
        page.body
    );
    let before = phone.browser.get("/wizard/report.json").body;
    drop(phone);
    site.power_cut();
    let phone = site.technician("report-2");
    assert_eq!(phone.browser.get("/wizard/report.json").body, before);
    let signed: Value = serde_json::from_str(&before).unwrap();
    let text = signed["report"].as_str().unwrap();
    let report: Value = serde_json::from_str(text).unwrap();
    assert_eq!(report["guid"], site.card.guid.as_str());
    assert_eq!(report["steps"].as_array().unwrap().len(), STEPS.len() - 1);
    assert_eq!(report["meters"].as_array().unwrap().len(), 3);
    openssl_verifies(&site.stage, &signed, text, true);
    openssl_verifies(&site.stage, &signed, &text.replace("good", "evil"), false);
    paper::is_what_the_page_shows(&phone, &signed);
}

/// Has OpenSSL check the card's signature over the report.
fn openssl_verifies(stage: &Stage, signed: &Value, text: &str, is_genuine: bool) {
    let file = |name: &str, bytes: &[u8]| {
        let path = stage.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let bytes = |key: &str| hex(signed[key].as_str().unwrap());
    let certificate = file("report.der", &bytes("certificate"));
    let signature = file("report.sig", &bytes("signature"));
    let report = file("report.txt", text.as_bytes());
    let script = "openssl x509 -inform DER -in \"$1\" -noout -pubkey > \"$1.pub\" && \
                  openssl dgst -sha256 -verify \"$1.pub\" -signature \"$2\" \"$3\"";
    let command = Command::new("openssl", Path::new("sh"))
        .arg("-c")
        .arg(script)
        .arg("sh");
    let finished = stage
        .run(&command.arg(certificate).arg(signature).arg(report))
        .unwrap();
    let code = finished.code;
    assert_eq!(
        code == Some(0),
        is_genuine,
        "{:?} {}",
        finished.lines,
        finished.log_text().unwrap()
    );
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
        .collect()
}

#[test]
fn a_clock_that_was_never_set_is_named_at_every_step_and_nothing_is_bound() {
    let site = Site::new(&|stage| {
        give_clock(stage, "@1970-01-02 00:00:00");
        Wan::loopback()
    });
    let issued = site.smgw(&["web", "password", "technician"]);
    let browser = Browser::new(&site.stage, &site.web(), "technician");
    browser.begin("technician", issued["password"].as_str().unwrap());
    let phone = Phone { site: &site, browser };
    for step in ["device", "card", "wan"] {
        let page = phone.carry_out(step, "start", &[]);
        assert_eq!(phone.state(step), "problem", "{step}");
        let told = if step == "card" { "SMGW-C-" } else { "SMGW-D-0501" };
        assert!(page.body.contains(told), "{step}: {}", page.body);
    }
    let binding = phone.page("binding");
    assert!(
        binding.body.contains("It cannot be bound yet"),
        "{}",
        binding.body
    );
    phone.carry_out("report", "start", &[]);
    assert!(
        phone.page("report").body.contains("not signed"),
        "it says that nobody has signed it"
    );
}
