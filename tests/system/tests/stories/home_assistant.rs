//! A consumer's own Home Assistant: what a broker of the house is told, by whose will, and what is left when it ends.

use std::net::TcpListener;
use std::path::Path;

use serde_json::Value;
use system::{Command, House, Process, Stage, StageError, wait_until};

use crate::local_web::{Browser, first_password, house_with_web_and, token};
use crate::steps::{ARRIVAL, gateway_log, told};

/// The user of the gateway at the broker.
const USER: &str = "gateway";
const PASSWORD: &str = "green bottles";
/// What Home Assistant itself would come as.
const READER: &str = "home";

/// A Mosquitto of the house, without TLS, as most houses have it.
struct HouseBroker {
    port: u16,
    _process: Process,
}

impl HouseBroker {
    /// Writes the broker's files.
    fn prepare(stage: &Stage, port: u16) {
        let passwords = stage.path("passwords");
        for (user, password) in [(USER, PASSWORD), (READER, READER)] {
            let mut command = Command::new("mosquitto_passwd", Path::new("mosquitto_passwd")).arg("-b");
            if !passwords.exists() {
                command = command.arg("-c");
            }
            let finished = stage
                .run(&command.arg(&passwords).arg(user).arg(password))
                .unwrap();
            assert_eq!(finished.code, Some(0), "{}", finished.log_text().unwrap());
        }
        let config = format!(
            "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {}\nuser root\n",
            passwords.display()
        );
        stage.write("house-broker.conf", &config).unwrap();
    }

    fn start(stage: &Stage, port: u16) -> Self {
        let command = Command::new("mosquitto", Path::new("/usr/sbin/mosquitto"));
        let command = command.option("-c", stage.path("house-broker.conf"));
        let process = stage.start(&command).unwrap();
        Self {
            port,
            _process: process,
        }
    }

    /// Returns all that is pinned up: topics with their texts.
    fn pinned(&self, stage: &Stage) -> Vec<(String, String)> {
        let command = Command::new("mosquitto_sub", Path::new("mosquitto_sub"))
            .option("-h", "127.0.0.1")
            .option("-p", self.port.to_string())
            .option("-u", READER)
            .option("-P", READER)
            .option("-t", "#")
            .option("-F", "%t %p")
            .arg("--retained-only")
            .option("-W", "1");
        // It ends by its time limit, and says so with a code of its own.
        let finished = stage.run(&command).unwrap();
        let lines = finished.lines.iter().filter_map(|line| line.split_once(' '));
        lines
            .map(|(topic, text)| (topic.to_owned(), text.to_owned()))
            .collect()
    }

    fn wait_for(&self, house: &House, is_it: impl Fn(&[(String, String)]) -> bool) -> Vec<(String, String)> {
        let found = wait_until(&house.stage.deadline(ARRIVAL), || {
            let pinned = self.pinned(&house.stage);
            Ok::<_, StageError>(is_it(&pinned).then_some(pinned))
        });
        found
            .unwrap()
            .unwrap_or_else(|| panic!("{:?}\n{}", self.pinned(&house.stage), gateway_log(house)))
    }
}

fn is_available(pinned: &[(String, String)], text: &str) -> bool {
    pinned
        .iter()
        .any(|(topic, found)| topic.ends_with("/availability") && found == text)
}

#[test]
fn broker_of_the_house_is_told_what_the_consumer_has_switched_on_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials");
    std::fs::write(&credentials, format!("{USER}\n{PASSWORD}\n")).unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let section = format!(
        "[home_assistant]\nbroker = \"127.0.0.1:{port}\"\ncredentials_file = \"{}\"\nelements = [\"*/1-0:1.8.0*255\", \
         \"*/7-x:x.x.x*255\"]\nlanguage = \"en\"\n",
        credentials.display()
    );
    let (mut house, web) = house_with_web_and(&section);
    HouseBroker::prepare(&house.stage, port);
    let consumer = Browser::new(&house.stage, &web, "consumer");
    consumer.begin("consumer", &first_password(&house, "consumer"));
    let page = consumer.get("/recipients").body;
    assert!(page.contains("Off: nothing goes to the broker"), "{page}");
    let broker = HouseBroker::start(&house.stage, port);
    assert!(broker.pinned(&house.stage).is_empty(), "it is off");

    token(&consumer, "home-assistant");
    let is_whole = |pinned: &[(String, String)]| {
        is_available(pinned, "online")
            && pinned
                .iter()
                .filter(|(topic, _)| topic.ends_with("/state"))
                .count()
                == 2
    };
    let pinned = broker.wait_for(&house, is_whole);
    let page = consumer.get("/recipients").body;
    assert!(
        page.contains("On: the last values go to your own broker"),
        "{page}"
    );
    devices(&pinned);

    // A gateway that dies is away by its last will, and comes back by itself.
    house.gateway.kill().unwrap();
    broker.wait_for(&house, |pinned| is_available(pinned, "offline"));
    house
        .start_gateway_again("operational")
        .unwrap_or_else(|error| panic!("{}", told(&error)));
    broker.wait_for(&house, |pinned| is_available(pinned, "online"));

    let web = crate::local_web::smgw(&house, &["status"])["https"]
        .as_str()
        .unwrap()
        .to_owned();
    let consumer = Browser::new(&house.stage, &web, "again");
    consumer.log_in("consumer", "seven green bottles").leads_to("/");
    let page = consumer.get("/tokens");
    let revoking = [("name", "home-assistant"), ("form", page.form_token())];
    consumer.post("/tokens/revoke", &revoking).leads_to("/tokens");
    let left = broker.wait_for(&house, |pinned| is_available(pinned, "offline"));
    assert_eq!(left.len(), 1, "{left:?}");
}

/// Checks the payloads of the discovery against what Home Assistant asks of them.
fn devices(pinned: &[(String, String)]) {
    let mut classes = Vec::new();
    for (topic, text) in pinned {
        if !topic.starts_with("homeassistant/device/") {
            continue;
        }
        assert!(topic.ends_with("/config"), "{topic}");
        let device: Value = serde_json::from_str(text).unwrap();
        assert!(!device["device"]["identifiers"].as_array().unwrap().is_empty());
        assert!(device["origin"]["name"].is_string());
        let state = device["state_topic"].as_str().unwrap();
        let (_, values) = pinned.iter().find(|(topic, _)| topic == state).unwrap();
        let values: Value = serde_json::from_str(values).unwrap();
        for (key, sensor) in device["components"].as_object().unwrap() {
            assert_eq!(sensor["platform"], "sensor");
            let template = sensor["value_template"].as_str().unwrap();
            assert_eq!(template, format!("{{{{ value_json['{key}'].value }}}}"));
            let value = values[key]["value"].as_str().unwrap();
            assert!(value.parse::<f64>().is_ok(), "{value}");
            let text = |key: &str| sensor[key].as_str().unwrap().to_owned();
            if text("state_class") == "measurement" {
                // A flow, a temperature: they go up and down.
                continue;
            }
            assert_eq!(text("state_class"), "total_increasing");
            classes.push((text("device_class"), text("unit_of_measurement")));
        }
    }
    classes.sort();
    classes.dedup();
    let known = [("energy", "kWh"), ("gas", "m³")];
    assert_eq!(
        classes,
        known.map(|(class, unit)| (class.to_owned(), unit.to_owned()))
    );
    assert!(
        pinned.iter().all(|(_, text)| !text.contains("16_7_0")),
        "{pinned:?}"
    );
}
