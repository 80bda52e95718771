//! A supplier and what it asks for.

use std::path::{Path, PathBuf};

use crate::{Certified, Command, Finished, LogTail, Process, Program, Pull, Stage, StageError, read_answer};

/// The exit code of a pull that was answered, and of which everything was refused.
const REFUSED: i32 = 3;

/// A supplier with keys and certificates.
#[derive(Debug, Clone)]
pub struct Supplier {
    home: PathBuf,
    certified: Certified,
}

/// The time that a supplier asks for, in the forms of RFC 3339 and ISO 8601.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Period {
    /// So much time until now.
    Last(String),
    /// From a point in time (inclusive) to another (exclusive).
    Between {
        /// The beginning.
        from: String,
        /// The end.
        to: String,
    },
}

/// What a supplier asks for, and where.
#[derive(Debug, Clone)]
pub struct Query {
    /// The GUID of the gateway's card.
    pub guid: String,
    /// The gateway's WAN address, `HOST:PORT`.
    pub wan: String,
    /// Patterns of elements.
    pub elements: Vec<String>,
    /// The distance between two values, ISO 8601.
    pub resolution: String,
    /// The time.
    pub period: Period,
    /// A folder for every message as it went over the WAN.
    pub keep: Option<PathBuf>,
}

impl Supplier {
    /// Builds the supplier from its folder and what the trust centre said.
    pub(crate) const fn new(home: PathBuf, certified: Certified) -> Self {
        Self { home, certified }
    }

    /// Returns the folder with its keys and certificates.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Returns its name, as its certificates carry it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.certified.name
    }

    /// Returns the SHA-256 of its SIG certificate, 64 hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.certified.fingerprint
    }

    /// Signs the package of an energy application as its author; returns the signed one, in the folder of the stage.
    ///
    /// # Errors
    ///
    /// Any [`StageError`]; the supplier's last words are in it.
    pub fn sign(&self, stage: &Stage, package: &Path) -> Result<PathBuf, StageError> {
        let name = package.file_stem().unwrap_or_default().to_string_lossy();
        let out = stage.path(&format!("{name}.signed.wasm"));
        let command = stage.command(Program::Supplier, "app").arg("sign").arg(package);
        let command = command.option("--home", &self.home).option("--out", &out);
        stage.run(&command)?.success()?;
        Ok(out)
    }

    /// Pulls once and reads the answer; there is one if everything was refused, too.
    ///
    /// # Errors
    ///
    /// Any [`StageError`]; the supplier's last words are in it.
    pub fn pull(&self, stage: &Stage, query: &Query) -> Result<Pull, StageError> {
        Self::read(self.try_pull(stage, query)?)
    }

    /// Reads what a pull has printed; there is an answer if everything was refused, too.
    ///
    /// # Errors
    ///
    /// As [`Supplier::pull`].
    pub fn read(finished: Finished) -> Result<Pull, StageError> {
        let answered = match finished.code {
            Some(REFUSED) => Finished {
                code: Some(0),
                ..finished
            },
            _ => finished,
        };
        read_answer(&answered.name, answered.answer()?, LogTail::of(&answered.log))
    }

    /// Pulls once, whatever comes of it.
    ///
    /// # Errors
    ///
    /// As [`Stage::run`].
    pub fn try_pull(&self, stage: &Stage, query: &Query) -> Result<Finished, StageError> {
        stage.run(&self.pull_command(stage, query))
    }

    /// Starts pulling once per resolution step; every line of the process is a [`Pull`].
    ///
    /// # Errors
    ///
    /// As [`Stage::start`].
    pub fn follow(&self, stage: &Stage, query: &Query) -> Result<Process, StageError> {
        stage.start(&self.pull_command(stage, query).arg("--follow"))
    }

    /// Returns the command line that pulls the last day of everything from every gateway that the supplier knows, so many
    /// at a time; each gateway is a line of what it prints.
    #[must_use]
    pub fn pull_all_command(&self, stage: &Stage, wan: &str, jobs: usize) -> Command {
        stage
            .command(Program::Supplier, "pull")
            .arg("--json")
            .arg("--all")
            .option("--home", &self.home)
            .option("--gateway", wan)
            .option("--elements", "*/*")
            .option("--resolution", "PT15M")
            .option("--last", "P1D")
            .option("--jobs", jobs.to_string())
    }

    /// Returns the command line that pulls once.
    #[must_use]
    pub fn pull_command(&self, stage: &Stage, query: &Query) -> Command {
        let mut command = stage
            .command(Program::Supplier, "pull")
            .arg("--json")
            .option("--home", &self.home)
            .option("--guid", &query.guid)
            .option("--gateway", &query.wan)
            .option("--resolution", &query.resolution);
        for pattern in &query.elements {
            command = command.option("--elements", pattern);
        }
        command = match &query.period {
            Period::Last(span) => command.option("--last", span),
            Period::Between { from, to } => command.option("--from", from).option("--to", to),
        };
        match &query.keep {
            Some(folder) => command.option("--keep", folder),
            None => command,
        }
    }
}
