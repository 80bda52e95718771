//! A network of the run's own: hosts in network namespaces of the kernel, on one bridge.
//!
//! A host is a process that holds a namespace and sleeps; whatever is started in it runs beside that process. All of it
//! ends with the run, however that ends: nothing of it has a name on the machine. It needs root and `ip` (Debian package
//! iproute2); where it cannot be had, the stories that want it fail and say so.

use std::path::Path;
use std::time::Duration;

use crate::{Command, Process, Stage, StageError};

/// How long a namespace may take to come up.
const PATIENCE: Duration = Duration::from_secs(10);
/// The interface of a host, and the bridge of the hub.
const INTERFACE: &str = "wan";
const BRIDGE: &str = "bridge";
/// The unique local addresses (RFC 4193), among which are the hosts' and the GUIDs: all on one link.
const LINK: &str = "fc00::/7";
/// Behind which prefix the hosts have their own addresses.
const HOSTS: &str = "fd00:5e11::";

/// Hosts on one bridge. Dropping it ends them.
#[derive(Debug)]
pub struct Network {
    hosts: Vec<Host>,
    _hub: Process,
}

/// A host: a network namespace, and names of the other hosts.
#[derive(Debug)]
pub struct Host {
    name: String,
    address: String,
    process: Process,
}

impl Network {
    /// Builds a network of hosts with these names; each finds the others as `NAME.test`.
    ///
    /// # Errors
    ///
    /// [`StageError::Network`] if this machine gives no namespaces.
    pub fn build(stage: &Stage, names: &[&str]) -> Result<Self, StageError> {
        let folder = stage.path("network");
        std::fs::create_dir_all(&folder).map_err(StageError::file(&folder))?;
        let mut text = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
        for (number, name) in (1_u32..).zip(names) {
            text.push_str(&format!("{HOSTS}{number:x} {name}.test\n"));
        }
        let names_file = stage.write("network/hosts", &text)?;
        let hub = space(stage, "hub", &names_file)?;
        let bridge = format!("ip link add {BRIDGE} type bridge && ip link set {BRIDGE} up");
        run(stage, "a bridge", &shell(&bridge, &[]).inside(hub.id()))?;
        let mut hosts = Vec::new();
        for (number, name) in (1_u32..).zip(names) {
            let host = Host {
                name: (*name).to_owned(),
                address: format!("{HOSTS}{number:x}"),
                process: space(stage, name, &names_file)?,
            };
            host.connect(stage, &hub, number)?;
            hosts.push(host);
        }
        Ok(Self { hosts, _hub: hub })
    }

    /// Returns the host of this name.
    ///
    /// # Errors
    ///
    /// [`StageError::NoHost`] if the network has none.
    pub fn host(&self, name: &str) -> Result<&Host, StageError> {
        let host = self.hosts.iter().find(|host| host.name == name);
        host.ok_or_else(|| StageError::NoHost {
            name: name.to_owned(),
        })
    }
}

impl Host {
    /// Returns its own address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the name by which the others find it.
    #[must_use]
    pub fn dns(&self) -> String {
        format!("{}.test", self.name)
    }

    /// Returns the process that holds the namespace, for [`Command::inside`].
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Gives the host one more address, such as the GUID of its card.
    ///
    /// # Errors
    ///
    /// [`StageError::Network`] if it cannot be given.
    pub fn give_address(&self, stage: &Stage, address: &str) -> Result<(), StageError> {
        // No one else has it, and an address that is only being tried cannot be listened on.
        let script = format!("ip -6 address add \"$1/128\" dev {INTERFACE} nodad");
        run(stage, "an address", &shell(&script, &[address]).inside(self.id()))
    }

    /// Loses so many of a hundred packets that come in, by chance; with 0 none any more.
    ///
    /// # Errors
    ///
    /// [`StageError::Network`] without `nft` (Debian package nftables).
    pub fn lose(&self, stage: &Stage, percent: u8) -> Result<(), StageError> {
        // What stays on the host is not lost.
        let script = r#"nft delete table inet loss 2>/dev/null; nft "add table inet loss;
            add chain inet loss in { type filter hook input priority 0; };
            add rule inet loss in iifname \"wan\" numgen random mod 100 < $1 drop""#;
        run(
            stage,
            "loss of packets",
            &shell(script, &[&percent.to_string()]).inside(self.id()),
        )
    }

    fn connect(&self, stage: &Stage, hub: &Process, number: u32) -> Result<(), StageError> {
        let plug = format!(
            "ip link add port{number} type veth peer name {INTERFACE} netns \"$1\" && \
             ip link set port{number} master {BRIDGE} up"
        );
        let host = self.id().to_string();
        run(stage, "a cable", &shell(&plug, &[&host]).inside(hub.id()))?;
        let up = format!("ip link set {INTERFACE} up && ip -6 route add {LINK} dev {INTERFACE}");
        run(stage, "a route", &shell(&up, &[]).inside(self.id()))?;
        self.give_address(stage, &self.address)
    }
}

/// Starts a process that holds a new namespace, in which the names of the hosts are known.
fn space(stage: &Stage, name: &str, names: &Path) -> Result<Process, StageError> {
    let script = "mount --bind \"$1\" /etc/hosts && ip link set lo up && echo ready && exec sleep infinity";
    let holder = Command::new(&format!("network {name}"), Path::new("unshare"))
        .arg("--net")
        .arg("--mount")
        .arg("sh")
        .option("-c", script)
        .arg("sh")
        .arg(names);
    let process = stage.start(&holder)?;
    match process.next_line(&stage.deadline(PATIENCE))? {
        Some(_) => Ok(process),
        None => Err(StageError::network(
            &format!("the namespace {name}"),
            process.log(),
        )),
    }
}

fn shell(script: &str, arguments: &[&str]) -> Command {
    let command = Command::new("network", Path::new("sh"))
        .option("-c", script)
        .arg("sh");
    arguments.iter().fold(command, Command::arg)
}

fn run(stage: &Stage, what: &str, command: &Command) -> Result<(), StageError> {
    let finished = stage.run(command)?;
    match finished.code {
        Some(0) => Ok(()),
        _ => Err(StageError::network(what, &finished.log)),
    }
}

/// Returns what runs a program in the namespace that the process holds; the program takes the place of it.
pub(crate) fn entering(holder: u32) -> [String; 5] {
    let target = format!("--target={holder}");
    ["nsenter", &target, "--net", "--mount", "--"].map(str::to_owned)
}
