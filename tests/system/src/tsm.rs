//! The TSM as it serves, and what suppliers and operators see of it.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::answers::{Answer, read_answer};
use crate::wait::wait_until;
use crate::{Finished, LogTail, Process, Program, Stage, StageError, Supplier};

/// How long the TSM may take until it listens: its keys are encrypted.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// The TSM while it serves.
#[derive(Debug)]
pub struct Tsm {
    process: Process,
    address: String,
}

/// What `supplier request-install` and `supplier requests` answer about one request.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Requested {
    /// The request.
    pub id: String,
    /// The GUID of the gateway's card.
    pub gateway: String,
    /// What became of it.
    pub state: String,
    /// Why, if there is more to say.
    pub reason: Option<String>,
}

impl Answer for Requested {
    const SCHEMA: &'static str = "tsm.request/1";
}

impl Tsm {
    pub(crate) fn start(stage: &Stage) -> Result<Self, StageError> {
        let command = stage
            .command(Program::TrustCenter, "tsm")
            .arg("serve")
            .arg("--json");
        let command = command
            .option("--home", stage.trust_center())
            .option("--listen", stage.listen(Program::TrustCenter));
        let process = stage.start(&command)?;
        let line = process.next_line(&stage.deadline(START_PATIENCE))?;
        let silent = || StageError::Silent {
            name: process.name().to_owned(),
            log: LogTail::of(process.log()),
        };
        let line = line.ok_or_else(silent)?;
        let answer: Value = serde_json::from_str(&line).unwrap_or_default();
        let address = answer.get("listen").and_then(Value::as_str).map(str::to_owned);
        let address = address.ok_or_else(silent)?;
        Ok(Self { process, address })
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the process.
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Returns what it has logged.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.process.log()
    }

    /// Has a supplier ask for the grants of a file, and perhaps an application; whatever comes of it.
    ///
    /// # Errors
    ///
    /// As [`Stage::run`].
    pub fn try_request(
        &self,
        stage: &Stage,
        supplier: &Supplier,
        guid: &str,
        grants: &Path,
        application: Option<&Path>,
    ) -> Result<Finished, StageError> {
        let command = stage.command(Program::Supplier, "request-install").arg("--json");
        let command = command
            .option("--home", supplier.home())
            .option("--tsm", &self.address)
            .option("--guid", guid)
            .option("--grants", grants);
        stage.run(&match application {
            Some(file) => command.option("--application", file),
            None => command,
        })
    }

    /// Has a supplier ask, and returns what became of it so far.
    ///
    /// # Errors
    ///
    /// Any [`StageError`].
    pub fn request(
        &self,
        stage: &Stage,
        supplier: &Supplier,
        guid: &str,
        grants: &Path,
        application: Option<&Path>,
    ) -> Result<Requested, StageError> {
        let finished = self.try_request(stage, supplier, guid, grants, application)?;
        read_answer(&finished.name, finished.answer()?, LogTail::of(&finished.log))
    }

    /// Returns what became of a supplier's requests, oldest first.
    ///
    /// # Errors
    ///
    /// Any [`StageError`].
    pub fn requests(&self, stage: &Stage, supplier: &Supplier) -> Result<Vec<Requested>, StageError> {
        let command = stage.command(Program::Supplier, "requests").arg("--json");
        let command = command
            .option("--home", supplier.home())
            .option("--tsm", &self.address);
        let finished = stage.run(&command)?;
        finished.success()?;
        let log = || LogTail::of(&finished.log);
        let lines = finished.lines.iter();
        lines
            .map(|line| read_answer(&finished.name, line, log()))
            .collect()
    }

    /// Waits until a supplier's request is in the state.
    ///
    /// # Errors
    ///
    /// [`StageError::TooLate`] if it does not come to that; the TSM's last words are in it.
    pub fn wait_for(
        &mut self,
        stage: &Stage,
        supplier: &Supplier,
        id: &str,
        state: &str,
        allowed: Duration,
    ) -> Result<Requested, StageError> {
        let deadline = stage.deadline(allowed);
        let found = wait_until(&deadline, || {
            self.process.check_running()?;
            let requests = self.requests(stage, supplier)?;
            let found = requests
                .into_iter()
                .find(|request| request.id == id && request.state == state);
            Ok::<_, StageError>(found)
        })?;
        found.ok_or_else(|| {
            self.process
                .too_late(&format!("a request that is {state}"), &deadline)
        })
    }
}
