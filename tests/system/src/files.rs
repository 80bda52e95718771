//! The files that a person would write: the gateway's configuration and the grants.

use std::path::PathBuf;

use crate::{MeterAddresses, Meters, Stage};

/// Where a gateway finds its card.
#[derive(Debug, Clone)]
pub enum CardPlace {
    /// The state of a soft card.
    File(PathBuf),
    /// A PC/SC reader, by its name.
    Reader(String),
}

/// How a gateway is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wan {
    /// It listens at this address, `ADDRESS:PORT`.
    Direct(String),
    /// It dials out to a broker.
    Broker {
        /// The broker's address, `HOST:PORT`.
        address: String,
        /// The version of MQTT: `5` or `3.1.1`.
        mqtt: String,
    },
}

impl Wan {
    /// Returns the way of most stories: directly, on the loopback interface.
    #[must_use]
    pub fn loopback() -> Self {
        Self::Direct("[::1]:0".to_owned())
    }

    fn to_toml(&self) -> String {
        match self {
            Self::Direct(listen) => format!("[wan]\nlisten = {}", quoted(listen)),
            Self::Broker { address, mqtt } => format!(
                "[wan.broker]\naddress = {}\nmqtt = {}\nstart_delay = \"PT1S\"",
                quoted(address),
                quoted(mqtt)
            ),
        }
    }
}

/// The configuration of a gateway in a house with four meters.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// The folder of the store.
    pub data: PathBuf,
    /// How often elements are registered, ISO 8601.
    pub registration_period: String,
    /// Where the card is.
    pub card: CardPlace,
    /// The Unix socket of the command line.
    pub socket: PathBuf,
    /// Where the meters are.
    pub meters: MeterAddresses,
}

impl GatewayConfig {
    /// The name that the configuration gives to the electricity meter.
    pub const ELECTRICITY: &'static str = "electricity";
    /// The M-Bus meters by name and primary address, as the simulators have them.
    pub const ON_MBUS: [(&'static str, u8); 3] = [("gas", 1), ("water", 2), ("heat", 3)];

    /// Places what the gateway has in the stage's folder, with this card and these meters.
    #[must_use]
    pub fn on(stage: &Stage, card: CardPlace, meters: &Meters, registration_period: &str) -> Self {
        Self {
            data: stage.path("data"),
            registration_period: registration_period.to_owned(),
            card,
            socket: stage.path("smgw.sock"),
            meters: meters.addresses().clone(),
        }
    }

    /// Writes the configuration as TOML, for the way of most stories.
    #[must_use]
    pub fn to_toml(&self) -> String {
        self.to_toml_over(&Wan::loopback())
    }

    /// Writes the configuration as TOML, for a gateway that is reached in this way.
    #[must_use]
    pub fn to_toml_over(&self, wan: &Wan) -> String {
        let mut text = format!(
            "data = {data}\nregistration_period = {period}\n\n\
             [card]\n{card}\n\n\
             [control]\nsocket = {socket}\n\n\
             [web]\nlisten = \"127.0.0.1:0\"\n\n\
             {wan}\n\n\
             [[bus]]\nname = \"cellar\"\nmbus = {mbus}\n",
            data = quoted(&self.data.to_string_lossy()),
            period = quoted(&self.registration_period),
            card = match &self.card {
                CardPlace::File(file) => format!("soft = {}", quoted(&file.to_string_lossy())),
                CardPlace::Reader(name) => format!("reader = {}", quoted(name)),
            },
            socket = quoted(&self.socket.to_string_lossy()),
            wan = wan.to_toml(),
            mbus = quoted(&self.meters.mbus),
        );
        for (name, primary) in Self::ON_MBUS {
            text.push_str(&format!(
                "\n[[bus.meter]]\nname = \"{name}\"\nprimary = {primary}\n"
            ));
        }
        text.push_str(&format!(
            "\n[[bus]]\nname = \"board\"\nmodbus = {modbus}\n\n\
             [[bus.meter]]\nname = \"{name}\"\nunit = 1\nprofile = \"eastron-sdm630\"\n",
            modbus = quoted(&self.meters.modbus),
            name = Self::ELECTRICITY,
        ));
        text
    }
}

/// One grant as it stands in the trust centre's file.
#[derive(Debug, Clone)]
pub struct GrantText {
    /// The name of the rule.
    pub id: String,
    /// Patterns of elements.
    pub elements: Vec<String>,
    /// The finest resolution, ISO 8601.
    pub finest: String,
    /// How far back, ISO 8601.
    pub history: String,
    /// What the data are for.
    pub purpose: String,
    /// How often the gateway sends by itself, ISO 8601.
    pub push: Option<String>,
}

impl GrantText {
    /// Writes the grants as TOML.
    #[must_use]
    pub fn file(grants: &[Self]) -> String {
        grants.iter().map(Self::to_toml).collect()
    }

    fn to_toml(&self) -> String {
        let elements: Vec<String> = self.elements.iter().map(|pattern| quoted(pattern)).collect();
        let push = self
            .push
            .as_deref()
            .map(|every| format!("push = {}\n", quoted(every)));
        format!(
            "[[grant]]\nid = {}\nelements = [{}]\nfinest = {}\nhistory = {}\npurpose = {}\n{}\n",
            quoted(&self.id),
            elements.join(", "),
            quoted(&self.finest),
            quoted(&self.history),
            quoted(&self.purpose),
            push.unwrap_or_default(),
        )
    }
}

/// Quotes a text as a basic string of TOML; the escapes of JSON are a subset of TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_is_toml_with_every_meter() {
        let config = GatewayConfig {
            data: "/a folder/with \"quotes\"".into(),
            registration_period: "PT5S".into(),
            card: CardPlace::File("/card".into()),
            socket: "/socket".into(),
            meters: MeterAddresses {
                mbus: "127.0.0.1:1".into(),
                modbus: "127.0.0.1:2".into(),
            },
        };
        let table: toml::Table = config.to_toml().parse().unwrap();
        assert_eq!(table["wan"]["listen"].as_str(), Some("[::1]:0"));
        assert_eq!(table["data"].as_str(), Some("/a folder/with \"quotes\""));
        assert_eq!(table["card"]["soft"].as_str(), Some("/card"));
        assert_eq!(table["bus"][0]["meter"].as_array().unwrap().len(), 3);
        assert_eq!(
            table["bus"][1]["meter"][0]["profile"].as_str(),
            Some("eastron-sdm630")
        );
    }

    #[test]
    fn gateway_behind_a_broker_listens_nowhere() {
        let wan = Wan::Broker {
            address: "broker.test:8883".into(),
            mqtt: "5".into(),
        };
        let table: toml::Table = wan.to_toml().parse().unwrap();
        assert_eq!(
            table["wan"]["broker"]["address"].as_str(),
            Some("broker.test:8883")
        );
        assert!(table["wan"].get("listen").is_none());
    }

    #[test]
    fn grants_are_an_array_of_tables() {
        let grant = GrantText {
            id: "billing".into(),
            elements: vec!["*/1-0:1.8.0*255".into(), "*/7-0:3.0.0*255".into()],
            finest: "PT5S".into(),
            history: "P730D".into(),
            purpose: "billing".into(),
            push: None,
        };
        let daily = GrantText {
            push: Some("P1D".into()),
            ..grant.clone()
        };
        let table: toml::Table = GrantText::file(&[daily, grant]).parse().unwrap();
        assert_eq!(table["grant"][0]["push"].as_str(), Some("P1D"));
        assert!(table["grant"][1].get("push").is_none());
        assert_eq!(table["grant"][1]["elements"][1].as_str(), Some("*/7-0:3.0.0*255"));
    }
}
