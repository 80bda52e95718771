//! A second facility, and the trust centre while it serves it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::{Answer, Command, LogTail, Process, Program, Stage, StageError, read_answer};

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

    /// Has the facility personalise the blank card of this place with material that is in its folder already, without any
    /// connection; returns its GUID.
    ///
    /// # Errors
    ///
    /// Any [`StageError`].
    pub fn personalize_from_material(&self, stage: &Stage, card: &str) -> Result<String, StageError> {
        let command = stage.command(Program::TrustCenter, "facility").arg("personalize");
        let command = command
            .arg("--json")
            .arg("--from-material")
            .option("--home", &self.home)
            .option("--card", card);
        let finished = stage.run(&command)?;
        let made: Made = read_answer(&finished.name, finished.answer()?, LogTail::of(&finished.log))?;
        Ok(made.guid)
    }

    /// Orders material for some cards over the connection.
    ///
    /// # Errors
    ///
    /// Any [`StageError`].
    pub fn order(&self, stage: &Stage, cards: usize) -> Result<(), StageError> {
        let order = stage.command(Program::TrustCenter, "facility").arg("order");
        let order = order
            .option("--home", &self.home)
            .option("--center", &self.center)
            .option("--cards", cards.to_string());
        stage.run(&order)?.success()
    }

    /// Carries material for some cards from the trust centre to the facility of this name, and the confirmation back, in files.
    ///
    /// # Errors
    ///
    /// Any [`StageError`].
    pub fn carry_material(&self, stage: &Stage, name: &str, cards: usize) -> Result<(), StageError> {
        let material = stage.path("material.cms");
        let center = |verb: &str| self.act(stage, stage.trust_center().as_path(), verb);
        let export = center("export")
            .option("--facility", name)
            .option("--cards", cards.to_string());
        stage.run(&export.option("--out", &material))?.success()?;
        let confirmation = stage.path("confirmation.cms");
        let import = self.act(stage, &self.home, "import").option("--file", &material);
        stage.run(&import.option("--out", &confirmation))?.success()?;
        self.carry(stage, &confirmation)
    }

    /// Carries the report of what became of the cards to the trust centre, and the answer back, in files.
    ///
    /// # Errors
    ///
    /// Any [`StageError`].
    pub fn carry_report(&self, stage: &Stage) -> Result<(), StageError> {
        let file = stage.path("report.cms");
        let report = self.act(stage, &self.home, "report").option("--out", &file);
        stage.run(&report)?.success()?;
        self.carry(stage, &file)
    }

    /// Carries a file of the facility to the trust centre, and the answer back.
    fn carry(&self, stage: &Stage, file: &Path) -> Result<(), StageError> {
        let answered = stage.path("answer.cms");
        let answer = self
            .act(stage, &stage.trust_center(), "answer")
            .option("--file", file);
        stage.run(&answer.option("--out", &answered))?.success()?;
        let import = self.act(stage, &self.home, "import").option("--file", &answered);
        stage.run(&import)?.success()
    }

    fn act(&self, stage: &Stage, home: &Path, verb: &str) -> Command {
        let command = stage.command(Program::TrustCenter, "facility").arg(verb);
        command.option("--home", home)
    }

    /// Returns the file with what the service has said.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.service.log()
    }
}
