//! An LDAP server of a run's own: Debian's `slapd` with a database, certificates and a port for itself.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::wait::wait_until;
use crate::{Command, Process, Program, Stage, StageError};

/// How long `slapd` may take until it answers.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// Makes an authority of the run's own and a server's certificate for localhost; `$1` is the folder.
const CERTIFICATES: &str = r#"
set -e
cd "$1"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj '/CN=Server authority' \
    -keyout ca.key -out ca.pem
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=localhost' -keyout server.key -out server.csr
echo 'subjectAltName = DNS:localhost' >server.ext
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days 30 -extfile server.ext -out server.pem
"#;

/// A private `slapd`. Dropping it ends it.
#[derive(Debug)]
pub struct LdapServer {
    process: Process,
    folder: PathBuf,
    port: u16,
    tls_port: u16,
}

impl LdapServer {
    /// The entry below which the directory is put; it is there.
    pub const BASE: &'static str = "ou=directory,dc=example";
    /// Who may write.
    pub const WRITER: &'static str = "cn=centre,dc=example";
    /// The writer's password.
    pub const PASSWORD: &'static str = "a password of tests";

    /// Starts a server in the folder `name` of the stage.
    ///
    /// # Errors
    ///
    /// [`StageError::TooLate`] with the last words of `slapd`; that it is not installed is among them.
    pub fn start(stage: &Stage, name: &str) -> Result<Self, StageError> {
        let folder = stage.path(name);
        let data = folder.join("data");
        std::fs::create_dir_all(&data).map_err(StageError::file(&data))?;
        let certificates = Command::new("openssl", Path::new("sh"))
            .arg("-c")
            .arg(CERTIFICATES)
            .arg("sh")
            .arg(&folder);
        stage.run(&certificates)?.success()?;
        stage.write(&format!("{name}/password"), Self::PASSWORD)?;
        stage.write(&format!("{name}/slapd.conf"), &configuration(&folder))?;
        stage.write(&format!("{name}/base.ldif"), BASE_ENTRIES)?;
        let add = Command::new("slapadd", Path::new("/usr/sbin/slapadd"))
            .option("-f", folder.join("slapd.conf"))
            .option("-l", folder.join("base.ldif"));
        stage.run(&add)?.success()?;
        let [port, tls_port] = free_ports().map_err(StageError::file(&folder))?;
        let mut server = Self {
            process: stage.start(&service(&folder, port, tls_port))?,
            folder,
            port,
            tls_port,
        };
        let deadline = stage.deadline(START_PATIENCE);
        let there = wait_until(&deadline, || {
            server.process.check_running()?;
            Ok::<_, StageError>(server.search(Self::BASE, &[]).map(drop))
        })?;
        there.ok_or_else(|| server.process.too_late("an answer", &deadline))?;
        Ok(server)
    }

    /// Returns the address without TLS.
    #[must_use]
    pub fn address(&self) -> String {
        format!("ldap://localhost:{}", self.port)
    }

    /// Returns the address with TLS.
    #[must_use]
    pub fn tls_address(&self) -> String {
        format!("ldaps://localhost:{}", self.tls_port)
    }

    /// Returns the file with the authority of the server's certificate.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Returns the file with the writer's password.
    #[must_use]
    pub fn password_file(&self) -> PathBuf {
        self.folder.join("password")
    }

    /// Has the stage's trust centre bring the server up to date.
    ///
    /// # Errors
    ///
    /// Any [`StageError`].
    pub fn publish(&self, stage: &Stage) -> Result<(), StageError> {
        let publish = stage.command(Program::TrustCenter, "directory").arg("publish");
        let publish = publish
            .option("--home", stage.trust_center())
            .option("--ldap", self.address())
            .option("--base", Self::BASE)
            .option("--bind", Self::WRITER)
            .option("--password-file", self.password_file());
        stage.run(&publish)?.success()
    }

    /// Returns the values of a binary attribute of one entry below the base, in base64, or `None` if there is no such entry.
    #[must_use]
    pub fn values(&self, entry: &str, attribute: &str) -> Option<Vec<String>> {
        let lines = self.search(&format!("{entry},{}", Self::BASE), &[attribute])?;
        let prefix = format!("{attribute}:: ");
        let values = lines.iter().filter_map(|line| line.strip_prefix(&prefix));
        Some(values.map(str::to_owned).collect())
    }

    /// Has `ldapsearch` read one entry, as anybody may; returns the lines of its LDIF, or `None` if there is no such entry
    /// or no server.
    #[must_use]
    pub fn search(&self, entry: &str, attributes: &[&str]) -> Option<Vec<String>> {
        let output = std::process::Command::new("ldapsearch")
            .args(["-x", "-LLL", "-o", "ldif-wrap=no", "-H", &self.address()])
            .args(["-s", "base", "-b", entry])
            .arg("(objectClass=*)")
            .args(attributes)
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text.lines().map(str::to_owned).collect();
        output.status.success().then_some(lines)
    }
}

const BASE_ENTRIES: &str = "dn: dc=example
objectClass: domain
dc: example

dn: ou=directory,dc=example
objectClass: organizationalUnit
ou: directory
";

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
database mdb
directory {folder}/data
suffix dc=example
rootdn {}
rootpw \"{}\"
access to * by * read
",
        LdapServer::WRITER,
        LdapServer::PASSWORD
    )
}

fn service(folder: &Path, port: u16, tls_port: u16) -> Command {
    // With a level of messages, slapd stays in the foreground.
    Command::new("slapd", Path::new("/usr/sbin/slapd"))
        .option("-f", folder.join("slapd.conf"))
        .option("-d", "0")
        .option(
            "-h",
            format!("ldap://localhost:{port} ldaps://localhost:{tls_port}"),
        )
}

/// Finds two ports that nobody has. They are free until the server takes them, or, rarely, another program.
fn free_ports() -> std::io::Result<[u16; 2]> {
    let listeners = [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)));
    let [first, second] = listeners;
    Ok([first?.local_addr()?.port(), second?.local_addr()?.port()])
}
