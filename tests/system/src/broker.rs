//! A broker of a run's own: Mosquitto, certified by the trust centre, with the access rules of the sample.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fleet::OTHER_FILES;
use crate::wait::wait_until;
use crate::{Command, Host, LogTail, Process, Program, Stage, StageError, Supplier};

/// How long the broker may take until it listens.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// How many connections it may have: the greatest fleet of a bench.
const MAX_CONNECTIONS: usize = 12_000;
/// What it logs when it listens.
const LISTENS: &str = " running";
/// What it logs when it reads its rules anew.
const RELOADS: &str = "Reloading config";
/// Where it listens on a host of its own: MQTT over TLS.
const PORT: u16 = 8_883;
/// The program; Debian has it where only root looks.
const MOSQUITTO: &str = "/usr/sbin/mosquitto";
/// The sample of the access rules, as it is shipped.
const SAMPLE_RULES: &str = include_str!("../../../gateway/broker/mosquitto.acl");
/// What stands in the sample for a party's name, and for the fingerprint of its SIG certificate.
const SAMPLE_PARTY: (&str, &str) = ("City Works", "FINGERPRINT");

/// A party that may use the broker.
#[derive(Debug, Clone)]
pub struct BrokerUser {
    /// Its name, as its certificates carry it.
    pub name: String,
    /// The fingerprint of its SIG certificate, in hexadecimal digits.
    pub fingerprint: String,
}

impl BrokerUser {
    /// Returns the TSM of the stage, as OpenSSL reads its certificate.
    ///
    /// # Errors
    ///
    /// Any [`StageError`].
    pub fn tsm(stage: &Stage) -> Result<Self, StageError> {
        let read = |what: &str, before: &str| -> Result<String, StageError> {
            let openssl = Command::new("openssl", Path::new("/usr/bin/openssl"))
                .arg("x509")
                .arg("-noout")
                .arg("-sha256")
                .option("-nameopt", "multiline")
                .option("-in", stage.trust_center().join("tsm/sig.pem"))
                .arg(what);
            let finished = stage.run(&openssl)?;
            finished.success()?;
            let line = finished.lines.iter().find(|line| line.contains(before));
            let value = line.and_then(|line| line.split_once('='));
            Ok(value
                .map(|(_, value)| value.trim().to_owned())
                .unwrap_or_default())
        };
        Ok(Self {
            name: read("-subject", "commonName")?,
            fingerprint: read("-fingerprint", "Fingerprint")?
                .replace(':', "")
                .to_lowercase(),
        })
    }

    /// Returns a supplier as a user.
    #[must_use]
    pub fn supplier(supplier: &Supplier) -> Self {
        Self {
            name: supplier.name().to_owned(),
            fingerprint: supplier.fingerprint().to_owned(),
        }
    }
}

/// A private Mosquitto on the loopback interface. Dropping it ends it.
#[derive(Debug)]
pub struct Broker {
    process: Option<Process>,
    folder: PathBuf,
    place: Place,
}

/// Where a broker listens.
#[derive(Debug)]
struct Place {
    /// The name by which it is reached.
    name: String,
    address: String,
    port: u16,
    /// The process that holds its network, if that is not this machine's own.
    holder: Option<u32>,
}

impl Broker {
    /// Starts a broker in the folder `name` of the stage, which gateways and these parties may use.
    ///
    /// # Errors
    ///
    /// Any [`StageError`]; that Mosquitto is not installed is among them.
    pub fn start(stage: &Stage, name: &str, users: &[BrokerUser]) -> Result<Self, StageError> {
        Self::start_with(stage, name, &rules(users))
    }

    /// Starts a broker as [`Broker::start`] does, with access rules as its operator has got them.
    ///
    /// # Errors
    ///
    /// As [`Broker::start`].
    pub fn start_with(stage: &Stage, name: &str, rules: &str) -> Result<Self, StageError> {
        let place = Place {
            name: "localhost".to_owned(),
            address: "127.0.0.1".to_owned(),
            port: free_port().map_err(StageError::file(Path::new("127.0.0.1")))?,
            holder: None,
        };
        Self::start_at(stage, name, rules, place)
    }

    /// Starts a broker as [`Broker::start`] does, on a host of a network.
    ///
    /// # Errors
    ///
    /// As [`Broker::start`].
    pub fn start_on(stage: &Stage, host: &Host, users: &[BrokerUser]) -> Result<Self, StageError> {
        let place = Place {
            name: host.dns(),
            address: host.address().to_owned(),
            port: PORT,
            holder: Some(host.id()),
        };
        Self::start_at(stage, "broker", &rules(users), place)
    }

    fn start_at(stage: &Stage, name: &str, rules: &str, place: Place) -> Result<Self, StageError> {
        let folder = stage.path(name);
        std::fs::create_dir_all(&folder).map_err(StageError::file(&folder))?;
        certify(stage, &folder, &place.name)?;
        let write = |file: &str, text: &str| {
            let file = folder.join(file);
            std::fs::write(&file, text).map_err(StageError::file(&file))
        };
        write("acl", rules)?;
        write("mosquitto.conf", &configuration(stage, &folder, &place))?;
        let mut broker = Self {
            process: None,
            folder,
            place,
        };
        broker.start_again(stage)?;
        Ok(broker)
    }

    /// Returns the address, `HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.place.name, self.place.port)
    }

    /// Lets these parties use the broker from now on, besides gateways, and nobody else.
    ///
    /// # Errors
    ///
    /// Any [`StageError`].
    pub fn admit(&self, stage: &Stage, users: &[BrokerUser]) -> Result<(), StageError> {
        let Some(process) = &self.process else {
            return Ok(());
        };
        let file = self.folder.join("acl");
        std::fs::write(&file, rules(users)).map_err(StageError::file(&file))?;
        let known = |log: &str| log.matches(RELOADS).count();
        let read = || std::fs::read_to_string(process.log()).unwrap_or_default();
        let before = known(&read());
        process.signal("HUP");
        let deadline = stage.deadline(START_PATIENCE);
        let reloaded = wait_until(&deadline, || {
            Ok::<_, StageError>((known(&read()) > before).then_some(()))
        })?;
        reloaded.ok_or_else(|| process.too_late("new access rules", &deadline))
    }

    /// Kills the broker with SIGKILL, as a crash would; it forgets everything.
    ///
    /// # Errors
    ///
    /// [`StageError::TooLate`] if it does not end.
    pub fn kill(&mut self) -> Result<(), StageError> {
        match self.process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Starts the broker again after [`Broker::kill`], at the same address.
    ///
    /// # Errors
    ///
    /// As [`Broker::start`].
    pub fn start_again(&mut self, stage: &Stage) -> Result<(), StageError> {
        let command = Command::new("mosquitto", Path::new(MOSQUITTO));
        let command = command
            .option("-c", self.folder.join("mosquitto.conf"))
            .open_files(MAX_CONNECTIONS.saturating_add(OTHER_FILES));
        let command = match self.place.holder {
            Some(holder) => command.inside(holder),
            None => command,
        };
        let mut process = stage.start(&command)?;
        let deadline = stage.deadline(START_PATIENCE);
        let listens = wait_until(&deadline, || {
            process.check_running()?;
            let log = std::fs::read_to_string(process.log()).unwrap_or_default();
            Ok::<_, StageError>(log.contains(LISTENS).then_some(()))
        })?;
        if listens.is_none() {
            return Err(process.too_late("a listening broker", &deadline));
        }
        self.process = Some(process);
        Ok(())
    }

    /// Returns whether the broker has logged this since it was started.
    #[must_use]
    pub fn has_logged(&self, text: &str) -> bool {
        let log = self.process.as_ref().map(Process::log);
        log.and_then(|log| std::fs::read_to_string(log).ok())
            .is_some_and(|log| log.contains(text))
    }

    /// Returns the number of its process, if it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Returns what the broker has logged last, if it runs.
    #[must_use]
    pub fn log(&self) -> Option<LogTail> {
        let process = self.process.as_ref()?;
        Some(LogTail::of(process.log()))
    }
}

/// Makes the broker's key with OpenSSL, and has the trust centre certify it.
pub(crate) fn certify(stage: &Stage, folder: &Path, name: &str) -> Result<(), StageError> {
    let (key, request) = (folder.join("key.pem"), folder.join("request.csr"));
    let openssl = Command::new("openssl", Path::new("/usr/bin/openssl"))
        .arg("req")
        .arg("-new")
        .arg("-nodes")
        .option("-newkey", "ec")
        .option("-pkeyopt", "ec_paramgen_curve:P-256")
        .option("-subj", format!("/CN={name}"))
        .option("-keyout", key)
        .option("-out", &request);
    stage.run(&openssl)?.success()?;
    let command = stage
        .command(Program::TrustCenter, "certify-broker")
        .option("--home", stage.trust_center())
        .option("--request", request)
        .option("--dns", name)
        .option("--out", folder.join("broker.pem"));
    stage.run(&command)?.success()
}

/// Fills the sample's rules for a party in, once for each.
fn rules(users: &[BrokerUser]) -> String {
    let (name, fingerprint) = SAMPLE_PARTY;
    let (gateways, party) = SAMPLE_RULES
        .split_once(&format!("user {name}"))
        .unwrap_or((SAMPLE_RULES, ""));
    let mut text = gateways.to_owned();
    for user in users {
        text.push_str(&format!("user {}", user.name));
        text.push_str(&party.replace(fingerprint, &user.fingerprint));
        text.push('\n');
    }
    text
}

fn configuration(stage: &Stage, folder: &Path, place: &Place) -> String {
    let center = stage.trust_center();
    let path = |folder: &Path, file: &str| folder.join(file).display().to_string();
    let authorities = folder.join("authorities.pem");
    let both =
        ["root.pem", "chain.pem"].map(|file| std::fs::read_to_string(center.join(file)).unwrap_or_default());
    // Without it the broker does not start, and says which file it lacks.
    drop(std::fs::write(&authorities, both.concat()));
    // Started by root it would become a user of its own, who may not read the folder.
    format!(
        "user root\n\
         listener {port} {address}\n\
         cafile {authorities}\n\
         certfile {certificate}\n\
         keyfile {key}\n\
         tls_version tlsv1.3\n\
         require_certificate true\n\
         use_identity_as_username true\n\
         acl_file {acl}\n\
         persistence false\n\
         log_dest stderr\n\
         log_type error\n\
         log_type warning\n\
         log_type notice\n\
         log_type information\n\
         log_type subscribe\n",
        port = place.port,
        address = place.address,
        authorities = authorities.display(),
        certificate = path(folder, "broker.pem"),
        key = path(folder, "key.pem"),
        acl = path(folder, "acl"),
    )
}

/// Finds a port on which nobody listens at this moment.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_has_rules_for_gateways_and_for_each_party() {
        let user = |name: &str, fingerprint: &str| BrokerUser {
            name: name.to_owned(),
            fingerprint: fingerprint.to_owned(),
        };
        let text = rules(&[user("One", "aa"), user("Two", "bb")]);
        assert!(text.contains("pattern read smgw/v1/+/%u/req/+"), "{text}");
        for line in [
            "user One\ntopic write smgw/v1/+/+/req/aa",
            "user Two\ntopic write smgw/v1/+/+/req/bb",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(!text.contains("FINGERPRINT"), "{text}");
    }
}
