//! A cluster of three brokers of a run's own: NATS with JetStream, which speaks MQTT 3.1.1, certified by the trust centre.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use crate::broker::certify;
use crate::wait::wait_until;
use crate::{Command, LogTail, Process, Stage, StageError};

/// How long the nodes may take until they have found each other.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// The program; Debian has it where only root looks.
const NATS: &str = "/usr/sbin/nats-server";
/// How many nodes there are: one may be lost.
const NODES: usize = 3;
/// What a node logs when it knows who leads, and when it listens.
const LEADER: &str = "metadata leader";

/// Three brokers that are one, on the loopback interface. Dropping it ends them.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    process: Option<Process>,
    port: u16,
}

/// The ports of a node: NATS's own protocol, the other nodes, MQTT.
#[derive(Debug, Clone, Copy)]
struct Ports {
    own: u16,
    cluster: u16,
    mqtt: u16,
}

impl Cluster {
    /// Starts the nodes, which let in whoever has a certificate of the trust centre, and waits until they are one.
    ///
    /// # Errors
    ///
    /// Any [`StageError`]; that NATS is not installed is among them.
    pub fn start(stage: &Stage) -> Result<Self, StageError> {
        let folder = stage.path("cluster");
        std::fs::create_dir_all(&folder).map_err(StageError::file(&folder))?;
        certify(stage, &folder, "localhost")?;
        let center = stage.trust_center();
        let mut authorities = String::new();
        for name in ["root.pem", "chain.pem"] {
            let file = center.join(name);
            authorities += &std::fs::read_to_string(&file).map_err(StageError::file(&file))?;
        }
        stage.write("cluster/authorities.pem", &authorities)?;
        let ports = free_ports().map_err(StageError::file(Path::new("127.0.0.1")))?;
        let mut nodes = Vec::new();
        for (number, own) in ports.iter().enumerate() {
            let text = configuration(&folder, number, *own, &ports);
            let file = stage.write(&format!("cluster/node-{number}.conf"), &text)?;
            let command = Command::new(&format!("nats {number}"), Path::new(NATS)).option("-c", file);
            nodes.push(Node {
                process: Some(stage.start(&command)?),
                port: own.mqtt,
            });
        }
        let mut cluster = Self { nodes };
        cluster.wait_until_one(stage)?;
        Ok(cluster)
    }

    /// Returns the addresses of all nodes, `HOST:PORT`.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        let nodes = self.nodes.iter();
        nodes.map(|node| format!("localhost:{}", node.port)).collect()
    }

    /// Kills a node with SIGKILL, as a power cut would.
    ///
    /// # Errors
    ///
    /// [`StageError::TooLate`] if it does not end.
    pub fn kill(&mut self, number: usize) -> Result<(), StageError> {
        let process = self.nodes.get_mut(number).and_then(|node| node.process.take());
        process.map_or(Ok(()), |mut process| process.kill())
    }

    /// Returns what a node has logged last, if it runs.
    #[must_use]
    pub fn log(&self, number: usize) -> Option<LogTail> {
        let process = self.nodes.get(number)?.process.as_ref()?;
        Some(LogTail::of(process.log()))
    }

    fn wait_until_one(&mut self, stage: &Stage) -> Result<(), StageError> {
        let deadline = stage.deadline(START_PATIENCE);
        for node in &mut self.nodes {
            let Some(process) = &mut node.process else {
                continue;
            };
            let knows = wait_until(&deadline, || {
                process.check_running()?;
                let log = std::fs::read_to_string(process.log()).unwrap_or_default();
                Ok::<_, StageError>(log.contains(LEADER).then_some(()))
            })?;
            knows.ok_or_else(|| process.too_late("a cluster with a leader", &deadline))?;
        }
        Ok(())
    }
}

fn configuration(folder: &Path, number: usize, own: Ports, all: &[Ports]) -> String {
    let path = |name: &str| folder.join(name).display().to_string();
    let routes: Vec<String> = all
        .iter()
        .map(|ports| format!("\"nats://127.0.0.1:{}\"", ports.cluster))
        .collect();
    format!(
        "server_name: node-{number}\n\
         listen: \"127.0.0.1:{port}\"\n\
         jetstream {{ store_dir: \"{store}\" }}\n\
         cluster {{ name: smgw, listen: \"127.0.0.1:{cluster}\", routes: [{routes}] }}\n\
         mqtt {{\n  \
           listen: \"127.0.0.1:{mqtt}\"\n  \
           tls {{ cert_file: \"{certificate}\", key_file: \"{key}\", ca_file: \"{authorities}\", verify: true }}\n\
         }}\n",
        port = own.own,
        cluster = own.cluster,
        mqtt = own.mqtt,
        store = path(&format!("store-{number}")),
        routes = routes.join(", "),
        certificate = path("broker.pem"),
        key = path("key.pem"),
        authorities = path("authorities.pem"),
    )
}

/// Finds ports on which nobody listens at this moment, all at once so that none comes twice.
fn free_ports() -> std::io::Result<Vec<Ports>> {
    let listening: Vec<TcpListener> = (0..NODES * 3)
        .map(|_| TcpListener::bind(("127.0.0.1", 0)))
        .collect::<Result<_, _>>()?;
    let ports: Vec<u16> = listening
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()))
        .collect::<std::io::Result<_>>()?;
    let nodes = ports.chunks_exact(3).filter_map(|chunk| match chunk {
        [own, cluster, mqtt] => Some(Ports {
            own: *own,
            cluster: *cluster,
            mqtt: *mqtt,
        }),
        _ => None,
    });
    Ok(nodes.collect())
}
