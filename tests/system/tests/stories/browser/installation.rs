//! A technician installs a new gateway in a browser, from the first power-up to the first reading that a supplier pulls: the
//! card in a reader behind `pcscd`, meters on both kinds of line, a real trust centre.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use system::{
    Card, CardReader, Folder, GRANTED, Gateway, GrantText, HouseReader, Interrupt, Meters, Period, Programs,
    Query, Stage, StageError, Supplier, grants_of_the_house, wait_until,
};

use super::Script;
use crate::local_web::ask;
use crate::steps::{ALL_OF_IT, ARRIVAL, PERIOD, assert_measures_on, read, told};

/// What a new gateway has, before anybody has been there.
const NEW: &str = include_str!("../../../../../yocto-layer/recipes-smgw/smgw/smgw.toml");
/// The passwords that stand on the label.
const LABEL: [(&str, &str); 2] = [("technician", "kv7m-q2xd-94rt"), ("consumer", "w3np-8fhz-55ya")];
/// How long a card may be gone before that is a removal, and what it takes to notice that.
const GONE_FOR_GOOD: Duration = Duration::from_secs(30);
/// The views: three of the first login, of the new device four and a mistake, then each step with what goes wrong at it and
/// where another phone resumes it, and what is left when the bound card is gone.
const LOOKED: u64 = 46;

/// A place with a new gateway, and whoever has to do with it. Its fields are ended in their order.
struct Place<'a> {
    stage: &'a Stage,
    gateway: Gateway,
    meters: Meters,
    card: Card,
    reader: HouseReader,
    supplier: Supplier,
    config: PathBuf,
    web: String,
}

impl<'a> Place<'a> {
    /// Sets up a gateway that nobody has seen yet, with its card in the reader of a `pcscd`.
    fn new(stage: &'a Stage, service: CardReader) -> Result<Self, StageError> {
        let supplier = stage.found_supplier("supplier", "Supplier", &stage.trust_center())?;
        let meters = stage.start_meters()?;
        let card = stage.personalize("card")?;
        let reader = HouseReader {
            card: service.insert(stage, &card.file)?,
            service,
        };
        // An address of its own, so that it is the same behind every power cut.
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = format!("127.20.{high}.{low}:8443");
        let config = stage.write("smgw.toml", &new_device(stage, &address))?;
        Ok(Self {
            stage,
            gateway: stage.start_gateway(&config)?,
            meters,
            card,
            reader,
            supplier,
            config,
            web: format!("https://{address}"),
        })
    }

    /// Gives the accounts the passwords of the label, as its maker does.
    fn label(&self) {
        for (account, password) in LABEL {
            let file = self.stage.write("label", password).unwrap();
            let file = file.display().to_string();
            let arguments = ["web", "password", account, "--from-file", &file];
            ask(self.stage, &self.config, &arguments);
        }
    }

    /// Does what the browser cannot.
    fn obey(&mut self, words: &[&str]) -> Value {
        match words {
            ["power-cut"] => {
                self.gateway.kill().unwrap();
                self.gateway = self
                    .stage
                    .start_gateway(&self.config)
                    .unwrap_or_else(|error| panic!("{}", told(&error)));
                Value::Null
            }
            ["card", order] => {
                self.reader.card.order(order).unwrap();
                if *order == "insert" {
                    self.reader.card.wait_for_contact(self.stage, "inserted").unwrap();
                }
                Value::Null
            }
            ["pull-while-binding"] => self.pull_while_binding(),
            ["measures-on"] => {
                assert_measures_on(self.stage, &self.gateway);
                Value::Null
            }
            ["bound"] => self.wait_for(&["bound", "operational", "degraded"], ARRIVAL),
            ["given-up"] => self.wait_for(&["tampered"], GONE_FOR_GOOD + ARRIVAL),
            ["tsm"] => self.first_contact(),
            ["pull"] => self.pull(),
            order => panic!("nobody knows how to {order:?}"),
        }
    }

    fn wait_for(&mut self, states: &[&str], patience: Duration) -> Value {
        let what = format!("one of the states {}", states.join(", "));
        let waited = self.gateway.wait_for(self.stage, &what, patience, |status| {
            states.contains(&status.state.as_str())
        });
        waited.unwrap_or_else(|error| panic!("{}", told(&error)));
        Value::Null
    }

    /// Takes the card out while it has the order to bind, which the gateway has written down and waits for.
    fn pull_while_binding(&self) -> Value {
        let begun = wait_until(&self.stage.deadline(ARRIVAL), || {
            let log = read(self.gateway.log());
            Ok::<_, StageError>(log.contains("binding to the card in the reader").then_some(()))
        });
        assert_eq!(begun.unwrap(), Some(()), "{}", read(self.gateway.log()));
        self.reader.card.order("remove").unwrap();
        self.reader.card.order("delay 0").unwrap();
        Value::Null
    }

    fn wan(&self) -> String {
        let status = self.gateway.status(self.stage).unwrap().unwrap();
        status.wan.expect("it listens for the WAN")
    }

    fn first_contact(&mut self) -> Value {
        let grants: Vec<GrantText> = grants_of_the_house(PERIOD);
        let (guid, wan) = (&self.card.guid, self.wan());
        let installed = self.stage.install(guid, &wan, &self.supplier, &grants, None);
        installed.unwrap_or_else(|error| panic!("{}\n{}", told(&error), read(self.gateway.log())));
        self.wait_for(&["operational", "degraded"], ARRIVAL)
    }

    fn pull(&self) -> Value {
        let query = Query {
            guid: self.card.guid.clone(),
            wan: self.wan(),
            elements: GRANTED.iter().map(|&pattern| pattern.to_owned()).collect(),
            resolution: PERIOD.to_owned(),
            period: Period::Last(ALL_OF_IT.to_owned()),
            keep: None,
        };
        let pulled = wait_until(&self.stage.deadline(ARRIVAL), || {
            let pull = self.supplier.pull(self.stage, &query)?;
            Ok::<_, StageError>(Some(pull).filter(|pull| !pull.series.is_empty()))
        });
        let pulled = pulled.unwrap_or_else(|error| panic!("{}\n{}", told(&error), read(self.gateway.log())));
        assert!(
            pulled.is_some(),
            "nothing is pulled\n{}",
            read(self.gateway.log())
        );
        json!({ "supplier": self.supplier.name() })
    }
}

/// Returns the configuration of a new gateway, with the places that the stage has.
fn new_device(stage: &Stage, web: &str) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    let path = |name: &str| quoted(&stage.path(name).display().to_string());
    let data = format!("data = {}\nregistration_period = \"{PERIOD}\"", path("data"));
    let places = [
        ("data = \"/var/lib/smgw\"", data),
        (
            "socket = \"/run/smgw/smgw.sock\"",
            format!("socket = {}", path("smgw.sock")),
        ),
        (
            "listen = \"127.0.0.1:8080\"",
            "listen = \"127.0.0.1:0\"".to_owned(),
        ),
        (
            "listen = \"192.168.10.1:443\"",
            format!("listen = {}", quoted(web)),
        ),
        ("listen = \"[::]:8443\"", "listen = \"[::1]:0\"".to_owned()),
        (
            "binding = \"confirmed\"",
            format!("binding = \"confirmed\"\nreader = {}", quoted(CardReader::NAME)),
        ),
    ];
    places.iter().fold(NEW.to_owned(), |text, (there, here)| {
        assert!(text.contains(there), "{there} is missing in {text}");
        text.replace(there, here)
    })
}

#[test]
fn new_gateway_is_installed_in_a_browser_from_the_first_power_up_to_the_first_reading() {
    let folder = Folder::temporary().unwrap();
    let mut stage = Stage::set(Programs::find().unwrap(), folder, Interrupt::default()).unwrap();
    let service = stage.start_reader("pcscd").unwrap();
    let stage = stage;
    let mut place = Place::new(&stage, service).unwrap_or_else(|error| panic!("{}", told(&error)));
    place.label();
    let (guid, web) = (place.card.guid.clone(), place.web.clone());
    let addresses = place.meters.addresses();
    let lines = [&addresses.mbus, &addresses.modbus].map(|address| format!("tcp:{address}"));
    let script = Script {
        stage: &stage,
        name: "installation",
        web: &web,
        variables: &[
            ("TECHNICIAN", LABEL[0].1),
            ("CONSUMER", LABEL[1].1),
            ("MBUS", &lines[0]),
            ("MODBUS", &lines[1]),
            ("GUID", &guid),
        ],
        looked: LOOKED,
    };
    script.tell_and_obey(|words| place.obey(words));
    place.meters.check_running().unwrap();
    place.gateway.check_running().unwrap();
}
