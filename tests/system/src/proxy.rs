//! A bad network in front of a gateway or a broker, as a process, with faults on demand.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::reader::order;
use crate::{Host, LogTail, Process, Program, Stage, StageError};

/// How long the program may take until it listens.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// Passes TCP connections on to a target. Dropping it ends it, and every connection with it.
#[derive(Debug)]
pub struct BadNetwork {
    _process: Process,
    control: PathBuf,
    port: u16,
}

impl BadNetwork {
    /// Starts it on a free port of a host, with `target` (`HOST:PORT`) behind it; nothing goes wrong yet.
    ///
    /// # Errors
    ///
    /// Any [`StageError`].
    pub fn start(stage: &Stage, host: &Host, target: &str) -> Result<Self, StageError> {
        let control = stage.path(&format!("network-{}.sock", stage.next_number()));
        let command = stage
            .command(Program::Simulators, "proxy")
            .inside(host.id())
            .option("--listen", format!("[{}]:0", host.address()))
            .option("--to", target)
            .option("--control", &control);
        let process = stage.start(&command)?;
        let silent = || StageError::Silent {
            name: process.name().to_owned(),
            log: LogTail::of(process.log()),
        };
        let line = process.next_line(&stage.deadline(START_PATIENCE))?;
        let answer: Value = serde_json::from_str(&line.ok_or_else(silent)?).unwrap_or_default();
        let address = answer.get("listen").and_then(Value::as_str);
        let port = address.and_then(|address| address.rsplit_once(':')?.1.parse().ok());
        let port = port.ok_or_else(silent)?;
        Ok(Self {
            _process: process,
            control,
            port,
        })
    }

    /// Returns the port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Gives an order, such as `cut up 1000`, `delay 100`, `stall`, `reset` or `heal`, and returns how many connections
    /// were accepted and how many were cut.
    ///
    /// # Errors
    ///
    /// [`StageError::File`] if the program does not answer.
    pub fn order(&self, text: &str) -> Result<(u64, u64), StageError> {
        let answer = order(&self.control, text)?;
        let counts = answer
            .split_once(' ')
            .and_then(|(accepted, cut)| Some((accepted.parse().ok()?, cut.parse().ok()?)));
        counts.ok_or_else(|| StageError::file(&self.control)(std::io::Error::other(answer)))
    }
}
