//! The firewall of the device, loaded into a host's own network: what comes through on the WAN's side and on the meters'.

use std::path::Path;

use system::{Command, Folder, Host, Interrupt, Network, Process, Programs, Stage};

use crate::steps::{ARRIVAL, read, told};

/// Listens at an address on every port that it is told.
const LISTENER: &str = "
import socket, sys, time
doors = [socket.create_server((sys.argv[1], int(port)), family=socket.AF_INET6) for port in sys.argv[2:]]
print('listening', flush=True)
time.sleep(600)
";
/// Prints how many of so many connections to an address and a port come about while all are kept open.
const CALLER: &str = "
import socket, sys
address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
calls = []
for _ in range(count):
    try:
        calls.append(socket.create_connection((address, port), timeout=1))
    except OSError:
        pass
print(len(calls))
";
/// What the gateway offers suppliers and the household, what a broker and a meter listen on, and what nobody may reach.
const OFFERED: u16 = 8_443;
const WEB: u16 = 443;
const BROKER: u16 = 8_883;
const METER: u16 = 502;
const CLOSED: u16 = 22;

struct Scene {
    gateway: Side,
    other: Side,
    _network: Network,
    stage: Stage,
}

/// A host, and what listens on it.
struct Side {
    holder: u32,
    address: String,
    _listener: Process,
}

impl Side {
    fn on(stage: &Stage, host: &Host, ports: &[u16]) -> Self {
        let command = Command::new("listener", Path::new("python3"));
        let command = command
            .option("-c", LISTENER)
            .arg(host.address())
            .inside(host.id());
        let ports = ports.iter().map(u16::to_string);
        let listener = stage.start(&ports.fold(command, Command::arg)).unwrap();
        let line = listener.next_line(&stage.deadline(ARRIVAL)).unwrap();
        assert_eq!(line.as_deref(), Some("listening"), "{}", read(listener.log()));
        Self {
            holder: host.id(),
            address: host.address().to_owned(),
            _listener: listener,
        }
    }
}

impl Scene {
    /// Has a gateway behind its firewall, whose only port has this name.
    fn with_port(name: &str) -> Self {
        let programs = Programs::find().unwrap();
        let stage = Stage::bare(programs, Folder::temporary().unwrap(), Interrupt::default()).unwrap();
        let network =
            Network::build(&stage, &["gateway", "other"]).unwrap_or_else(|error| panic!("{}", told(&error)));
        let (host, other) = (network.host("gateway").unwrap(), network.host("other").unwrap());
        let script = "ip link set wan down && ip link set wan name \"$1\" && ip link set \"$1\" up && \
            ip -6 address add \"$2/128\" dev \"$1\" nodad && ip -6 route add fc00::/7 dev \"$1\"";
        let renaming = shell(script, &[name, host.address()]).inside(host.id());
        assert_eq!(stage.run(&renaming).unwrap().code, Some(0));
        let scene = Self {
            gateway: Side::on(&stage, host, &[OFFERED, WEB, CLOSED]),
            other: Side::on(&stage, other, &[BROKER, METER, CLOSED]),
            _network: network,
            stage,
        };
        // Whatever is refused below is refused by the firewall.
        assert_eq!(scene.calls_in(CLOSED, 1), 1);
        assert_eq!(scene.calls_out(CLOSED, 1), 1);
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../systemd/nftables.conf");
        scene.load(&rules);
        scene
    }

    fn load(&self, rules: &Path) {
        let load = Command::new("nft", Path::new("nft"))
            .option("--file", rules)
            .inside(self.gateway.holder);
        let loaded = self.stage.run(&load).unwrap();
        assert_eq!(loaded.code, Some(0), "{}", read(&loaded.log));
    }

    /// Returns how many connections the other host gets to the gateway.
    fn calls_in(&self, port: u16, count: usize) -> usize {
        self.calls(&self.other, &self.gateway, port, count)
    }

    /// Returns how many connections the gateway gets to the other host.
    fn calls_out(&self, port: u16, count: usize) -> usize {
        self.calls(&self.gateway, &self.other, port, count)
    }

    fn calls(&self, from: &Side, to: &Side, port: u16, count: usize) -> usize {
        let command = Command::new("caller", Path::new("python3"))
            .option("-c", CALLER)
            .arg(&to.address);
        let command = command
            .arg(port.to_string())
            .arg(count.to_string())
            .inside(from.holder);
        let finished = self.stage.run(&command).unwrap();
        finished.lines[0].parse().unwrap()
    }
}

fn shell(script: &str, arguments: &[&str]) -> Command {
    let command = Command::new("shell", Path::new("sh"))
        .option("-c", script)
        .arg("sh");
    arguments.iter().fold(command, Command::arg)
}

#[test]
fn on_the_side_of_the_wan_only_messages_come_in_and_only_known_services_are_called() {
    let scene = Scene::with_port("wan0");
    // One address does not take all the connections that the gateway has.
    assert_eq!(scene.calls_in(OFFERED, 10), 8);
    for port in [WEB, CLOSED] {
        assert_eq!(scene.calls_in(port, 1), 0, "{port}");
    }
    assert_eq!(scene.calls_out(BROKER, 1), 1);
    assert_eq!(scene.calls_out(METER, 1), 0, "no meter is looked for in the WAN");
    assert_eq!(scene.calls_out(CLOSED, 1), 0);
}

#[test]
fn on_the_side_of_the_meters_only_the_web_is_reached_and_meters_are_called() {
    let scene = Scene::with_port("lan0");
    assert_eq!(scene.calls_in(WEB, 14), 12);
    for port in [OFFERED, CLOSED] {
        assert_eq!(scene.calls_in(port, 1), 0, "{port}");
    }
    assert_eq!(scene.calls_out(METER, 1), 1);
}

#[test]
fn a_port_that_is_of_neither_side_is_dead_and_an_installation_can_add_to_the_rules() {
    let scene = Scene::with_port("eth7");
    assert_eq!((scene.calls_in(OFFERED, 1), scene.calls_out(BROKER, 1)), (0, 0));
    let rules = scene.stage.write(
        "added.nft",
        "add rule inet smgw output oifname \"eth7\" tcp dport 8883 accept\n",
    );
    scene.load(&rules.unwrap());
    assert_eq!((scene.calls_in(OFFERED, 1), scene.calls_out(BROKER, 1)), (0, 1));
}
