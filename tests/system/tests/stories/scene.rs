//! A gateway, a supplier, the trust centre and a broker, each on a host of its own in a network of namespaces.

use std::path::PathBuf;

use system::{
    BadNetwork, Broker, BrokerUser, Card, CardPlace, Command, Finished, Folder, Gateway, GatewayConfig,
    Interrupt, Meters, Network, Period, Program, Programs, Query, Stage, StageError, Supplier, Tsm, Wan,
    grants_of_the_house,
};

use crate::steps::{ALL_OF_IT, ARRIVAL, PERIOD, read, told};

/// The port of every gateway that listens at its GUID.
const PORT: u16 = 8_443;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WayOver {
    /// Straight to the GUID's address.
    Direct,
    /// Over a broker, with this version of MQTT.
    Broker(&'static str),
}

/// What is between the gateway and whoever is next on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// Nothing but the network.
    Good,
    /// Something that spoils connections when it is told to.
    Bad,
}

/// The parties, each on its host, and a gateway that is bound and waits for the TSM.
pub(crate) struct Scene {
    pub(crate) way: WayOver,
    pub(crate) gateway: Gateway,
    pub(crate) card: Card,
    pub(crate) supplier: Supplier,
    pub(crate) tsm: Option<Tsm>,
    /// What a counterpart is told about where the gateway is.
    pub(crate) wan: String,
    pub(crate) broker: Option<Broker>,
    pub(crate) bad: Option<BadNetwork>,
    pub(crate) config: PathBuf,
    _meters: Meters,
    pub(crate) network: Network,
    pub(crate) stage: Stage,
}

impl Scene {
    pub(crate) fn set(way: WayOver, line: Line) -> Self {
        Self::try_set(way, line).unwrap_or_else(|error| panic!("{}", told(&error)))
    }

    /// Sets the scene as [`Scene::set`] does, and has the gateway serve its supplier.
    pub(crate) fn serving(way: WayOver, line: Line) -> Self {
        let mut scene = Self::set(way, line);
        scene.make_first_contact();
        scene
    }

    fn try_set(way: WayOver, line: Line) -> Result<Self, StageError> {
        let mut stage = Stage::set(Programs::find()?, Folder::temporary()?, Interrupt::default())?;
        let network = Network::build(&stage, &["gateway", "supplier", "center", "broker"])?;
        stage.place(Program::Smgw, network.host("gateway")?);
        stage.place(Program::Simulators, network.host("gateway")?);
        stage.place(Program::Supplier, network.host("supplier")?);
        stage.place(Program::TrustCenter, network.host("center")?);
        let supplier = stage.found_supplier("supplier", "City Works", &stage.trust_center())?;
        let card = stage.personalize("card")?;
        let mut bad = None;
        let (door, wan, broker) = match way {
            WayOver::Direct => {
                let host = network.host("gateway")?;
                host.give_address(&stage, &card.guid)?;
                let address = format!("[{}]:{PORT}", card.guid);
                if line == Line::Bad {
                    bad = Some(BadNetwork::start(&stage, host, &address)?);
                }
                (Wan::Direct(address.clone()), address, None)
            }
            WayOver::Broker(mqtt) => {
                let users = [BrokerUser::supplier(&supplier), BrokerUser::tsm(&stage)?];
                let host = network.host("broker")?;
                let broker = Broker::start_on(&stage, host, &users)?;
                let mut address = broker.address();
                let wan = format!("mqtts://{address}");
                if line == Line::Bad {
                    let network = BadNetwork::start(&stage, host, &address)?;
                    address = format!("{}:{}", host.dns(), network.port());
                    bad = Some(network);
                }
                let mqtt = mqtt.to_owned();
                (Wan::Broker { address, mqtt }, wan, Some(broker))
            }
        };
        let meters = stage.start_meters()?;
        let config = GatewayConfig::on(&stage, CardPlace::File(card.file.clone()), &meters, PERIOD);
        let config = stage.write("smgw.toml", &config.to_toml_over(&door))?;
        let mut gateway = stage.start_gateway(&config)?;
        gateway.wait_for(&stage, "the binding and its way", ARRIVAL, |status| {
            let connected = status.broker.as_ref().is_some_and(|broker| broker.connected);
            status.state == "bound" && (status.wan.is_some() || connected)
        })?;
        Ok(Self {
            way,
            gateway,
            card,
            supplier,
            tsm: None,
            wan,
            broker,
            bad,
            config,
            _meters: meters,
            network,
            stage,
        })
    }

    /// Has the TSM make first contact, waits until the gateway serves, and returns the version of the bundle.
    pub(crate) fn make_first_contact(&mut self) -> u64 {
        let grants = grants_of_the_house(PERIOD);
        let Self { stage, supplier, .. } = self;
        let installed = stage.install(&self.card.guid, &self.wan, supplier, &grants, None);
        let installed =
            installed.unwrap_or_else(|error| panic!("{}\n{}", told(&error), read(self.gateway.log())));
        self.wait_until_it_serves();
        installed.version
    }

    /// Kills the gateway, as a power cut would, and starts it again.
    pub(crate) fn kill_gateway(&mut self) {
        self.gateway.kill().unwrap();
        self.start_gateway_again();
    }

    /// Starts the gateway again after it was ended.
    pub(crate) fn start_gateway_again(&mut self) {
        self.gateway = self.stage.start_gateway(&self.config).unwrap();
        self.wait_until_it_serves();
    }

    fn wait_until_it_serves(&mut self) {
        let status = self.gateway.wait_for_state(&self.stage, "operational", ARRIVAL);
        status.unwrap_or_else(|error| panic!("{}", told(&error)));
    }

    pub(crate) fn query(&self, elements: &[&str], resolution: &str) -> Query {
        Query {
            guid: self.card.guid.clone(),
            wan: self.wan.clone(),
            elements: elements.iter().map(|&pattern| pattern.to_owned()).collect(),
            resolution: resolution.to_owned(),
            period: Period::Last(ALL_OF_IT.to_owned()),
            keep: None,
        }
    }

    /// Orders something of the bad network, and returns how many connections have been cut.
    pub(crate) fn order(&self, order: &str) -> u64 {
        let bad = self.bad.as_ref().expect("the line is a bad one");
        bad.order(order)
            .unwrap_or_else(|error| panic!("{}", told(&error)))
            .1
    }

    /// Returns where the supplier asks so that its connection goes through the bad network: directly there is one
    /// connection, and over a broker only the gateway's goes through it.
    pub(crate) fn bad_wan(&self) -> String {
        match (&self.bad, self.way) {
            (Some(bad), WayOver::Direct) => {
                let host = self.network.host("gateway").unwrap();
                format!("[{}]:{}", host.address(), bad.port())
            }
            _ => self.wan.clone(),
        }
    }

    /// Begins a command of the trust centre.
    pub(crate) fn center(&self, words: &[&str]) -> Command {
        let command = self.stage.command(Program::TrustCenter, words[0]);
        let command = words[1..].iter().fold(command, Command::arg);
        command.option("--home", self.stage.trust_center())
    }

    pub(crate) fn succeeds(&self, command: &Command) -> Finished {
        let finished = self.stage.run(command).unwrap();
        let told = finished.success().map_err(|error| told(&error));
        assert_eq!(told, Ok(()), "{}", read(self.gateway.log()));
        finished
    }
}
