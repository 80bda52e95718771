//! A broker of a run's own: Mosquitto, certified by the trust centre, with the access rules of the sample.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::wait::wait_until;
use crate::{Command, LogTail, Process, Program, Stage, StageError};

/// How long the broker may take until it listens.
const START_PATIENCE: Duration = Duration::from_secs(20);
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

/// A private Mosquitto on the loopback interface. Dropping it ends it.
#[derive(Debug)]
pub struct Broker {
    process: Option<Process>,
    folder: PathBuf,
    port: u16,
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
        let folder = stage.path(name);
        std::fs::create_dir_all(&folder).map_err(StageError::file(&folder))?;
        let port = free_port().map_err(StageError::file(Path::new("127.0.0.1")))?;
        certify(stage, &folder)?;
        let write = |file: &str, text: &str| {
            let file = folder.join(file);
            std::fs::write(&file, text).map_err(StageError::file(&file))
        };
        write("acl", rules)?;
        write("mosquitto.conf", &configuration(stage, &folder, port))?;
        let mut broker = Self {
            process: None,
            folder,
            port,
        };
        broker.start_again(stage)?;
        Ok(broker)
    }

    /// Returns the address, `HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("localhost:{}", self.port)
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
        let command = command.option("-c", self.folder.join("mosquitto.conf"));
        let mut process = stage.start(&command)?;
        let deadline = stage.deadline(START_PATIENCE);
        let listens = wait_until(&deadline, || {
            process.check_running()?;
            let connected = std::net::TcpStream::connect(("127.0.0.1", self.port));
            Ok::<_, StageError>(connected.ok().map(drop))
        })?;
        if listens.is_none() {
            return Err(process.too_late("a listening broker", &deadline));
        }
        self.process = Some(process);
        Ok(())
    }

    /// Returns what the broker has logged last, if it runs.
    #[must_use]
    pub fn log(&self) -> Option<LogTail> {
        let process = self.process.as_ref()?;
        Some(LogTail::of(process.log()))
    }
}

/// Makes the broker's key with OpenSSL, and has the trust centre certify it.
fn certify(stage: &Stage, folder: &Path) -> Result<(), StageError> {
    let (key, request) = (folder.join("key.pem"), folder.join("request.csr"));
    let openssl = Command::new("openssl", Path::new("/usr/bin/openssl"))
        .arg("req")
        .arg("-new")
        .arg("-nodes")
        .option("-newkey", "ec")
        .option("-pkeyopt", "ec_paramgen_curve:P-256")
        .option("-subj", "/CN=localhost")
        .option("-keyout", key)
        .option("-out", &request);
    stage.run(&openssl)?.success()?;
    let command = stage
        .command(Program::TrustCenter, "certify-broker")
        .option("--home", stage.trust_center())
        .option("--request", request)
        .option("--dns", "localhost")
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

fn configuration(stage: &Stage, folder: &Path, port: u16) -> String {
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
         listener {port} 127.0.0.1\n\
         cafile {authorities}\n\
         certfile {certificate}\n\
         keyfile {key}\n\
         tls_version tlsv1.3\n\
         require_certificate true\n\
         use_identity_as_username true\n\
         acl_file {acl}\n\
         persistence false\n\
         log_dest stderr\n",
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
