//! What keeps running: the simulated meters and the gateway.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::answers::read_answer;
use crate::wait::wait_until;
use crate::{LogTail, MeterAddresses, Process, Program, Stage, StageError, Status};

/// How long a program may take until it answers for the first time.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// The exit code of `smgw status` while no daemon answers (`EX_UNAVAILABLE` of sysexits.h).
const NO_DAEMON: i32 = 69;

/// The simulated meters.
#[derive(Debug)]
pub struct Meters {
    process: Process,
    addresses: MeterAddresses,
}

impl Meters {
    /// Starts the meters on free ports and waits for their addresses.
    pub(crate) fn start(stage: &Stage) -> Result<Self, StageError> {
        let command = stage.command(Program::Simulators, "meters");
        let process = stage.start(
            &command
                .option("--mbus", "127.0.0.1:0")
                .option("--modbus", "127.0.0.1:0"),
        )?;
        let line = process.next_line(&stage.deadline(START_PATIENCE))?;
        let line = line.ok_or_else(|| StageError::Silent {
            name: process.name().to_owned(),
            log: LogTail::of(process.log()),
        })?;
        let addresses = MeterAddresses::read(&process, &line)?;
        Ok(Self { process, addresses })
    }

    /// Returns where the meters can be reached.
    #[must_use]
    pub const fn addresses(&self) -> &MeterAddresses {
        &self.addresses
    }

    /// Checks that the meters still run.
    ///
    /// # Errors
    ///
    /// [`StageError::Failed`] with their last words if they have ended.
    pub fn check_running(&mut self) -> Result<(), StageError> {
        self.process.check_running()
    }
}

/// The gateway's daemon.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    config: PathBuf,
}

impl Gateway {
    /// Starts the daemon and waits until its command line answers.
    pub(crate) fn start(stage: &Stage, config: &Path) -> Result<Self, StageError> {
        let command = stage.command(Program::Smgw, "run");
        let mut gateway = Self {
            process: stage.start(&command.option("--config", config))?,
            config: config.to_owned(),
        };
        gateway.wait_for(stage, "an answer to `smgw status`", START_PATIENCE, |_| true)?;
        Ok(gateway)
    }

    /// Asks the daemon for its status, or returns `None` while it does not answer.
    ///
    /// # Errors
    ///
    /// Any [`StageError`] but that no daemon answers.
    pub fn status(&self, stage: &Stage) -> Result<Option<Status>, StageError> {
        let command = stage.command(Program::Smgw, "status").arg("--json");
        let finished = stage.run(&command.option("--config", &self.config))?;
        if finished.code == Some(NO_DAEMON) {
            return Ok(None);
        }
        let log = LogTail::of(&finished.log);
        read_answer(&finished.name, finished.answer()?, log).map(Some)
    }

    /// Waits for a status that fulfils the condition and returns it; `what` names the condition.
    ///
    /// # Errors
    ///
    /// [`StageError::TooLate`] if the time is over first, [`StageError::Failed`] if the daemon
    /// ends; its last words are in both.
    pub fn wait_for(
        &mut self,
        stage: &Stage,
        what: &str,
        allowed: Duration,
        mut condition: impl FnMut(&Status) -> bool,
    ) -> Result<Status, StageError> {
        let deadline = stage.deadline(allowed);
        let found = wait_until(&deadline, || {
            self.process.check_running()?;
            Ok::<_, StageError>(self.status(stage)?.filter(|status| condition(status)))
        })?;
        found.ok_or_else(|| self.process.too_late(what, &deadline))
    }

    /// Waits until the gateway is in the state and returns its status.
    ///
    /// A machine whose temporary folder lies in memory or on an overlay makes a gateway that serves
    /// `degraded`: that is `operational` here, unless a story is about it.
    ///
    /// # Errors
    ///
    /// As [`Gateway::wait_for`].
    pub fn wait_for_state(
        &mut self,
        stage: &Stage,
        state: &str,
        allowed: Duration,
    ) -> Result<Status, StageError> {
        let what = format!("the state {state}");
        self.wait_for(stage, &what, allowed, |status| {
            status.state == state || (state == "operational" && status.state == "degraded")
        })
    }

    /// Checks that the daemon still runs.
    ///
    /// # Errors
    ///
    /// [`StageError::Failed`] with its last words if it has ended.
    pub fn check_running(&mut self) -> Result<(), StageError> {
        self.process.check_running()
    }

    /// Returns the number of the daemon's process, by which the system tells about it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Returns the file with the daemon's log.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.process.log()
    }

    /// Kills the daemon with SIGKILL, as a power cut would.
    ///
    /// # Errors
    ///
    /// [`StageError::TooLate`] if the kernel does not end it.
    pub fn kill(&mut self) -> Result<(), StageError> {
        self.process.kill()
    }

    /// Returns how much memory the daemon has, in kilobytes: its resident set.
    ///
    /// # Errors
    ///
    /// [`StageError::File`] if the kernel does not tell, as of one that has ended.
    pub fn memory_kb(&self) -> Result<u64, StageError> {
        let file = Path::new("/proc")
            .join(self.process.id().to_string())
            .join("status");
        let text = std::fs::read_to_string(&file).map_err(StageError::file(&file))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        number.ok_or_else(|| StageError::file(&file)(std::io::Error::other("it has no VmRSS")))
    }

    /// Ends the daemon in order.
    ///
    /// # Errors
    ///
    /// [`StageError::TooLate`] if it had to be killed, [`StageError::Failed`] if it ended with
    /// another exit code than 0.
    pub fn stop(&mut self) -> Result<(), StageError> {
        self.process.stop()
    }
}
