//! A fleet of simulated gateways behind a broker, as a process.

use std::time::Duration;

use serde::Deserialize;

use crate::{LogTail, Process, Program, Stage, StageError, Supplier};

/// How long each gateway may take until it is certified and connected, and what all of them may take at least.
const PATIENCE_EACH: Duration = Duration::from_millis(100);
const PATIENCE_LEAST: Duration = Duration::from_secs(60);

/// The open files that a program needs besides one for each gateway.
pub(crate) const OTHER_FILES: usize = 256;

/// Simulated gateways, all connected. Dropping it ends them.
#[derive(Debug)]
pub struct SimulatedGateways {
    process: Process,
    guids: Vec<String>,
}

/// What the gateways have done, all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct FleetState {
    /// How many are connected.
    pub connected: u64,
    /// How many requests were answered.
    pub answered: u64,
    /// How many answers have their receipts.
    pub receipts: u64,
    /// How many answers went out again.
    pub repeated: u64,
    /// How many messages could not be read.
    pub refused: u64,
}

impl SimulatedGateways {
    /// Starts so many gateways of the stage's trust centre, whom the supplier knows then, and waits until they are
    /// connected to the brokers (`HOST:PORT`), in turn. `mqtt` is the version, `5` or `3.1.1`.
    ///
    /// # Errors
    ///
    /// Any [`StageError`].
    pub fn start(
        stage: &Stage,
        supplier: &Supplier,
        count: usize,
        brokers: &[String],
        mqtt: &str,
    ) -> Result<Self, StageError> {
        let each = PATIENCE_EACH.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        let patience = each.max(PATIENCE_LEAST);
        let mut command = stage
            .command(Program::Simulators, "gateways")
            .open_files(count.saturating_add(OTHER_FILES))
            .option("--count", count.to_string())
            .option("--center", stage.trust_center())
            .option("--supplier", supplier.home())
            .option("--patience", patience.as_secs().to_string());
        for broker in brokers {
            command = command.option("--broker", broker);
        }
        if mqtt == "3.1.1" {
            command = command.arg("--mqtt-3");
        }
        let process = stage.start(&command)?;
        // Certifying comes before connecting.
        let line = process.next_line(&stage.deadline(patience.saturating_mul(2)))?;
        line.ok_or_else(|| StageError::Silent {
            name: process.name().to_owned(),
            log: LogTail::of(process.log()),
        })?;
        let folder = supplier.home().join("gateways");
        let entries = std::fs::read_dir(&folder).map_err(StageError::file(&folder))?;
        let mut guids = Vec::new();
        for entry in entries {
            let name = entry.map_err(StageError::file(&folder))?.file_name();
            guids.push(name.to_string_lossy().replace('-', ":"));
        }
        Ok(Self { process, guids })
    }

    /// Returns the GUIDs, with that of every other gateway that the supplier knows.
    #[must_use]
    pub fn guids(&self) -> &[String] {
        &self.guids
    }

    /// Returns the number of the process, by which the system tells about it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for a state that fulfils the condition; `what` names it.
    ///
    /// # Errors
    ///
    /// [`StageError::TooLate`] if the time is over first, [`StageError::Silent`] if the gateways have ended.
    pub fn wait_for(
        &mut self,
        stage: &Stage,
        what: &str,
        allowed: Duration,
        condition: impl Fn(&FleetState) -> bool,
    ) -> Result<FleetState, StageError> {
        let deadline = stage.deadline(allowed);
        let mut last = None;
        while let Ok(Some(line)) = self.process.next_line(&deadline) {
            let state = serde_json::from_str(&line).map_err(|source| StageError::Answer {
                name: self.process.name().to_owned(),
                schema: r#"{"connected":…,"answered":…,…}"#,
                line: line.clone(),
                source,
                log: LogTail::of(self.process.log()),
            })?;
            if condition(&state) {
                return Ok(state);
            }
            last = Some(state);
        }
        self.process.check_running()?;
        Err(self
            .process
            .too_late(&format!("{what}; the last state was {last:?}"), &deadline))
    }
}
