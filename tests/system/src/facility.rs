//! A second facility, and the trust centre while it serves it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::{Answer, LogTail, Process, Program, Stage, StageError, read_answer};

/// How long the trust centre may take until it listens.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// A second facility that the stage's trust centre has certified and serves. Dropping it ends the service.
#[derive(Debug)]
pub struct Facility {
    home: PathBuf,
    center: String,
    service: Process,
}

/// The answer of `facility serve`, once it listens.
#[derive(Debug, Deserialize)]
struct Listening {
    listen: String,
}

/// The answer of `facility personalize`.
#[derive(Debug, Deserialize)]
struct Made {
    guid: String,
}

impl Answer for Made {
    const SCHEMA: &'static str = "trust-center.facility-personalize/1";
}

impl Facility {
    /// Founds a facility in the folder `home` of the stage, has it certified, and starts the service for it.
    ///
    /// # Errors
    ///
    /// Any [`StageError`].
    pub fn found(stage: &Stage, home: &str, name: &str) -> Result<Self, StageError> {
        let home = stage.path(home);
        let act = |verb: &str| stage.command(Program::TrustCenter, verb);
        let init = act("facility").arg("init");
        stage
            .run(&init.option("--home", &home).option("--name", name))?
            .success()?;
        let certify = act("certify-facility").option("--home", stage.trust_center());
        stage.run(&certify.option("--requests", &home))?.success()?;
        let serve = act("facility").arg("serve").arg("--json");
        let serve = serve
            .option("--home", stage.trust_center())
            .option("--listen", "127.0.0.1:0");
        let service = stage.start(&serve)?;
        let line = service.next_line(&stage.deadline(START_PATIENCE))?;
        let silent = || StageError::Silent {
            name: service.name().to_owned(),
            log: LogTail::of(service.log()),
        };
        let line = line.ok_or_else(silent)?;
        let listening: Listening = serde_json::from_str(&line).map_err(|_| silent())?;
        Ok(Self {
            home,
            center: listening.listen,
            service,
        })
    }

    /// Returns the facility's folder.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Returns where the trust centre serves it.
    #[must_use]
    pub fn center(&self) -> &str {
        &self.center
    }

    /// Has the facility personalise the blank card of this place; returns its GUID.
    ///
    /// # Errors
    ///
    /// Any [`StageError`]; the last words of the program are in it.
    pub fn personalize(&self, stage: &Stage, card: &str) -> Result<String, StageError> {
        let command = stage.command(Program::TrustCenter, "facility").arg("personalize");
        let command = command
            .arg("--json")
            .option("--home", &self.home)
            .option("--center", &self.center)
            .option("--card", card);
        let finished = stage.run(&command)?;
        let made: Made = read_answer(&finished.name, finished.answer()?, LogTail::of(&finished.log))?;
        Ok(made.guid)
    }

    /// Returns the file with what the service has said.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.service.log()
    }
}
