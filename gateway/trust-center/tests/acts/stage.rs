//! A folder with a trust centre, and the program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) struct Stage {
    pub(crate) folder: TempDir,
    /// What the program finds in its environment.
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            environment: vec![("TRUST_CENTER_PASSPHRASE", "a passphrase of tests".to_owned())],
        }
    }

    /// A stage on which a trust centre is founded.
    pub(crate) fn founded() -> Self {
        let stage = Self::new();
        stage.answer("init --name Centre");
        stage
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path("center")
    }

    /// The program with these arguments, in the stage's folder; `--home` and `--json` are added.
    pub(crate) fn command(&self, line: &str) -> Command {
        self.command_in("center", line)
    }

    /// The same for a trust centre in another folder.
    pub(crate) fn command_in(&self, home: &str, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trust-center"));
        command
            .args(line.split(' '))
            .args(["--home", home, "--json"])
            .current_dir(self.folder.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn run(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    /// Runs the program, which must succeed, and returns its answer.
    pub(crate) fn answer(&self, line: &str) -> Value {
        let output = self.run(line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Runs the program, which must fail, and returns what it says.
    pub(crate) fn error(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(!output.status.success(), "{line}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// The lines of `records show`.
    pub(crate) fn records(&self) -> Vec<Value> {
        let output = self.run("records show");
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The GUIDs of the records of this act.
    pub(crate) fn guids(&self, act: &str) -> Vec<String> {
        let records = self.records();
        let of_act = records.iter().filter(|record| record["act"] == act);
        of_act
            .map(|record| record["guid"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Makes keys and requests of a supplier with OpenSSL.
    pub(crate) fn supplier(&self, name: &str) {
        self.supplier_called(name, name);
    }

    /// Does the same for a supplier whose folder has another name.
    pub(crate) fn supplier_called(&self, folder: &str, name: &str) {
        std::fs::create_dir(self.path(folder)).unwrap();
        for (slot, usage, extended) in [
            ("sig", "digitalSignature", ""),
            ("enc", "keyAgreement", ""),
            (
                "tls",
                "digitalSignature",
                "extendedKeyUsage=serverAuth,clientAuth",
            ),
        ] {
            let subject = format!("/CN={name}/OU=Supplier");
            let usage = format!("keyUsage=critical,{usage}");
            let (key, request) = (format!("{folder}/{slot}.key"), format!("{folder}/{slot}.csr"));
            let mut arguments = vec![
                "req",
                "-new",
                "-utf8",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-subj",
                &subject,
                "-addext",
                &usage,
                "-keyout",
                &key,
                "-out",
                &request,
            ];
            if !extended.is_empty() {
                arguments.extend(["-addext", extended]);
            }
            self.openssl(&arguments);
        }
    }

    /// Runs OpenSSL, which must succeed, and returns what it prints.
    pub(crate) fn openssl(&self, arguments: &[&str]) -> String {
        let output = self.openssl_output(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn openssl_output(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("openssl");
        command.args(arguments).current_dir(self.folder.path());
        command.output().unwrap()
    }
}

/// Starts a program that must succeed.
pub(crate) fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
