//! A PostgreSQL server that a test starts for itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::stage::succeed;

/// A cluster in a folder, reached through a Unix socket in it. It ends with this.
pub(super) struct Cluster {
    programs: PathBuf,
    folder: tempfile::TempDir,
}

/// PostgreSQL refuses to run as root, so root hands it to the user that Debian has for it.
fn unprivileged(program: &Path) -> Command {
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout.trim_ascii() == b"0";
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program);
    command
}

impl Cluster {
    pub(super) fn start() -> Self {
        let versions = std::fs::read_dir("/usr/lib/postgresql").unwrap();
        let mut programs: Vec<_> = versions
            .map(|version| version.unwrap().path().join("bin"))
            .collect();
        programs.sort();
        // The path of a socket has a hundred characters at most.
        let folder = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap();
        let cluster = Self {
            programs: programs.pop().unwrap(),
            folder,
        };
        if Command::new("id").arg("-u").output().unwrap().stdout.trim_ascii() == b"0" {
            succeed(
                Command::new("chown")
                    .arg("postgres:postgres")
                    .arg(cluster.folder.path()),
            );
        }
        let data = cluster.folder.path().join("data");
        let mut init = cluster.command("initdb");
        succeed(
            init.args(["--username=centre", "--auth=trust", "--no-sync", "--pgdata"])
                .arg(data),
        );
        cluster.control("start");
        cluster
    }

    fn command(&self, program: &str) -> Command {
        let mut command = unprivileged(&self.programs.join(program));
        command.current_dir(self.folder.path());
        command
    }

    /// Has the server started or stopped, without giving it time to put anything in order.
    pub(super) fn control(&self, act: &str) {
        let folder = self.folder.path();
        let mut control = self.command("pg_ctl");
        control
            .args(["--wait", "--mode=immediate", "--pgdata"])
            .arg(folder.join("data"));
        control.arg("--log").arg(folder.join("log"));
        control
            .arg("--options")
            .arg(format!("-c listen_addresses= -k {}", folder.display()));
        let control = control
            .arg(act)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        assert!(control.status().unwrap().success(), "{act}");
    }

    pub(super) fn url(&self) -> String {
        let folder = self.folder.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres://centre@{folder}/postgres")
    }

    /// Lets SQL be done, and returns whether the server did it.
    pub(super) fn sql(&self, statement: &str) -> bool {
        let mut psql = self.command("psql");
        psql.arg("--host").arg(self.folder.path());
        psql.args([
            "--username=centre",
            "--set=ON_ERROR_STOP=1",
            "--command",
            statement,
            "postgres",
        ]);
        psql.stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.folder.path().join("data/postmaster.pid").exists() {
            self.control("stop");
        }
    }
}
