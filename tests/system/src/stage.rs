//! The folder of one run, and what is founded in it: trust centre, suppliers, cards.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::answers::{Answer, read_answer};
use crate::{
    CardReader, Certified, Command, Deadline, Finished, Gateway, GatewayConfig, GrantText, Host, Installed,
    Interrupt, LogTail, Meters, Personalized, Process, Program, Programs, Renewed, StageError, Supplier, Tsm,
};

/// How long a program that only computes or asks once may take; a card signs in 300 ms.
const ONE_SHOT_PATIENCE: Duration = Duration::from_secs(30);

/// Where a stage keeps its files.
#[derive(Debug)]
pub enum Folder {
    /// In a folder that is deleted with the stage.
    Temporary(TempDir),
    /// In a folder that stays.
    Given(PathBuf),
}

impl Folder {
    /// Makes a folder that is deleted with the stage.
    ///
    /// # Errors
    ///
    /// [`StageError::File`] if the system's temporary folder cannot be written.
    pub fn temporary() -> Result<Self, StageError> {
        tempfile::tempdir()
            .map(Self::Temporary)
            .map_err(StageError::file(&std::env::temp_dir()))
    }

    /// Returns the path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Given(path) => path,
        }
    }
}

/// The folder of one run with its trust centre, and the programs to play with.
#[derive(Debug)]
pub struct Stage {
    programs: Programs,
    folder: Folder,
    interrupt: Interrupt,
    logs_begun: AtomicU32,
    environment: Vec<(OsString, OsString)>,
    places: Vec<(Program, Place)>,
}

/// Where a program runs, if not on this machine's own network.
#[derive(Debug)]
struct Place {
    holder: u32,
    address: String,
}

/// A personalised card.
#[derive(Debug, Clone)]
pub struct Card {
    /// The state of the soft card.
    pub file: PathBuf,
    /// Its GUID.
    pub guid: String,
}

impl Stage {
    /// Sets the stage: makes its folders and the trust centre.
    ///
    /// # Errors
    ///
    /// Any [`StageError`]; the trust centre's last words are in it.
    pub fn set(programs: Programs, folder: Folder, interrupt: Interrupt) -> Result<Self, StageError> {
        let stage = Self::bare(programs, folder, interrupt)?;
        stage.found_trust_center("trust-center", "Trust Centre")?;
        Ok(stage)
    }

    /// Sets a stage on which nothing is founded yet.
    ///
    /// # Errors
    ///
    /// [`StageError::File`] if its folders cannot be made.
    pub fn bare(programs: Programs, folder: Folder, interrupt: Interrupt) -> Result<Self, StageError> {
        let stage = Self {
            programs,
            folder,
            interrupt,
            logs_begun: AtomicU32::new(0),
            environment: Vec::new(),
            places: Vec::new(),
        };
        let logs = stage.path("log");
        std::fs::create_dir_all(&logs).map_err(StageError::file(&logs))?;
        Ok(stage)
    }

    /// Gives every program that is started from now on an environment variable.
    pub fn give(&mut self, variable: impl Into<OsString>, value: impl Into<OsString>) {
        self.environment.push((variable.into(), value.into()));
    }

    /// Has a program run on a host of a network, whenever it is started from now on.
    pub fn place(&mut self, program: Program, host: &Host) {
        let place = Place {
            holder: host.id(),
            address: host.address().to_owned(),
        };
        self.places.retain(|(placed, _)| *placed != program);
        self.places.push((program, place));
    }

    fn place_of(&self, program: Program) -> Option<&Place> {
        let mut places = self.places.iter();
        places.find_map(|(placed, place)| (*placed == program).then_some(place))
    }

    /// Returns where a program is to listen, on any free port.
    #[must_use]
    pub fn listen(&self, program: Program) -> String {
        match self.place_of(program) {
            Some(place) => format!("[{}]:0", place.address),
            None => "127.0.0.1:0".to_owned(),
        }
    }

    /// Returns the path of a file or folder of the stage.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the folder of the trust centre.
    #[must_use]
    pub fn trust_center(&self) -> PathBuf {
        self.path("trust-center")
    }

    /// Returns the path of a program.
    #[must_use]
    pub fn program(&self, program: Program) -> PathBuf {
        self.programs.path(program)
    }

    /// Returns the path of an energy application, such as `taf-2`.
    ///
    /// # Errors
    ///
    /// [`StageError::NoApplication`] if it has not been built.
    pub fn application(&self, name: &str) -> Result<PathBuf, StageError> {
        self.programs.application(name)
    }

    /// Returns the deadline that lies so far ahead, or passes when the stage is interrupted.
    #[must_use]
    pub fn deadline(&self, allowed: Duration) -> Deadline {
        Deadline::after(allowed, &self.interrupt)
    }

    /// Begins the command line of a program.
    #[must_use]
    pub fn command(&self, program: Program, verb: &str) -> Command {
        let name = format!("{} {verb}", program.name());
        let command = Command::new(&name, &self.programs.path(program)).arg(verb);
        let command = match self.place_of(program) {
            Some(place) => command.inside(place.holder),
            None => command,
        };
        let variables = self.environment.iter();
        variables.fold(command, |command, (name, value)| command.env(name, value))
    }

    /// Starts a private `pcscd` in the folder `name` of the stage; every program that is started from now on finds its
    /// reader.
    ///
    /// # Errors
    ///
    /// As [`CardReader::start`].
    pub fn start_reader(&mut self, name: &str) -> Result<CardReader, StageError> {
        let reader = CardReader::start(self, name)?;
        let (variable, socket) = reader.environment();
        self.environment.push((variable.into(), socket.into()));
        Ok(reader)
    }

    /// Returns a number that the stage has not given yet.
    pub(crate) fn next_number(&self) -> u32 {
        self.logs_begun.fetch_add(1, Ordering::Relaxed)
    }

    /// Starts a program that keeps running.
    ///
    /// # Errors
    ///
    /// [`StageError::File`] for its log, [`StageError::Start`] without `setpriv`.
    pub fn start(&self, command: &Command) -> Result<Process, StageError> {
        let number = self.next_number();
        let name = command.name().replace(' ', "-");
        Process::start(command, &self.path("log").join(format!("{number:04}-{name}.log")))
    }

    /// Runs a program to its end, whatever its exit code.
    ///
    /// # Errors
    ///
    /// As [`Stage::start`], and [`StageError::TooLate`] if it does not end.
    pub fn run(&self, command: &Command) -> Result<Finished, StageError> {
        self.start(command)?.finish(&self.deadline(ONE_SHOT_PATIENCE))
    }

    /// Runs a program to its successful end and reads its answer.
    ///
    /// # Errors
    ///
    /// Any [`StageError`]; the program's last words are in it.
    pub fn ask<A: Answer>(&self, command: &Command) -> Result<A, StageError> {
        let finished = self.run(command)?;
        read_answer(&finished.name, finished.answer()?, LogTail::of(&finished.log))
    }

    /// Founds one more trust centre in the folder `home` of the stage.
    ///
    /// # Errors
    ///
    /// Any [`StageError`].
    pub fn found_trust_center(&self, home: &str, name: &str) -> Result<PathBuf, StageError> {
        let home = self.path(home);
        let command = self.command(Program::TrustCenter, "init");
        self.run(&command.option("--home", &home).option("--name", name))?
            .success()?;
        Ok(home)
    }

    /// Founds a supplier in the folder `home` of the stage and has it certified by a trust centre.
    ///
    /// # Errors
    ///
    /// Any [`StageError`].
    pub fn found_supplier(
        &self,
        home: &str,
        name: &str,
        trust_center: &Path,
    ) -> Result<Supplier, StageError> {
        let home = self.path(home);
        let init = self.command(Program::Supplier, "init");
        self.run(&init.option("--home", &home).option("--name", name))?
            .success()?;
        let certify = self.command(Program::TrustCenter, "certify").arg("--json");
        let certified: Certified =
            self.ask(&certify.option("--home", trust_center).option("--requests", &home))?;
        Ok(Supplier::new(home, certified))
    }

    /// Makes new keys for a supplier that the stage's trust centre has certified by this name before, in the folder `home`, and
    /// has them certified.
    ///
    /// # Errors
    ///
    /// Any [`StageError`].
    pub fn renew_supplier(&self, home: &str, name: &str) -> Result<Supplier, StageError> {
        let home = self.path(home);
        let init = self.command(Program::Supplier, "init");
        self.run(&init.option("--home", &home).option("--name", name))?
            .success()?;
        let renew = self.command(Program::TrustCenter, "renew").arg("--json");
        let renew = renew.option("--home", self.trust_center());
        let renewed: Renewed = self.ask(&renew.option("--requests", &home))?;
        let Renewed { name, fingerprint } = renewed;
        Ok(Supplier::new(home, Certified { name, fingerprint }))
    }

    /// Makes and personalises a card whose state is the file `name` of the stage.
    ///
    /// # Errors
    ///
    /// Any [`StageError`].
    pub fn personalize(&self, name: &str) -> Result<Card, StageError> {
        let file = self.path(name);
        let command = self.command(Program::TrustCenter, "personalize").arg("--json");
        let personalized: Personalized = self.ask(
            &command
                .option("--home", self.trust_center())
                .option("--card", format!("soft:{}", file.display())),
        )?;
        Ok(Card {
            file,
            guid: personalized.guid,
        })
    }

    /// Starts the TSM on a free port and waits until it listens.
    ///
    /// # Errors
    ///
    /// Any [`StageError`].
    pub fn start_tsm(&self) -> Result<Tsm, StageError> {
        Tsm::start(self)
    }

    /// Has the TSM take note of where a gateway listens.
    ///
    /// # Errors
    ///
    /// Any [`StageError`].
    pub fn register_gateway(&self, guid: &str, wan: &str) -> Result<(), StageError> {
        let command = self.command(Program::TrustCenter, "gateways").arg("register");
        let command = command
            .option("--home", self.trust_center())
            .option("--guid", guid)
            .option("--gateway", wan);
        self.run(&command)?.success()
    }

    /// Starts the four simulated meters and waits for their addresses.
    ///
    /// # Errors
    ///
    /// Any [`StageError`].
    pub fn start_meters(&self) -> Result<Meters, StageError> {
        Meters::start(self)
    }

    /// Writes a configuration as the file `name` of the stage.
    ///
    /// # Errors
    ///
    /// [`StageError::File`] if it cannot be written.
    pub fn write_config(&self, name: &str, config: &GatewayConfig) -> Result<PathBuf, StageError> {
        self.write(name, &config.to_toml())
    }

    /// Starts the gateway with the configuration and waits until it answers.
    ///
    /// # Errors
    ///
    /// Any [`StageError`].
    pub fn start_gateway(&self, config: &Path) -> Result<Gateway, StageError> {
        Gateway::start(self, config)
    }

    /// Has the TSM make first contact with the gateway and install grants for the supplier.
    /// Every message goes into the folder `keep` as it went over the WAN, if there is one.
    ///
    /// # Errors
    ///
    /// Any [`StageError`].
    pub fn install(
        &self,
        guid: &str,
        wan: &str,
        supplier: &Supplier,
        grants: &[GrantText],
        keep: Option<&Path>,
    ) -> Result<Installed, StageError> {
        let file = self.write("grants.toml", &GrantText::file(grants))?;
        let command = self.command(Program::TrustCenter, "install").arg("--json");
        let command = command
            .option("--home", self.trust_center())
            .option("--guid", guid)
            .option("--gateway", wan)
            .option("--supplier", supplier.home())
            .option("--grants", file);
        self.ask(&match keep {
            Some(folder) => command.option("--keep", folder),
            None => command,
        })
    }

    /// Writes a text as the file `name` of the stage.
    ///
    /// # Errors
    ///
    /// [`StageError::File`] if it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, StageError> {
        let path = self.path(name);
        std::fs::write(&path, text).map_err(StageError::file(&path))?;
        Ok(path)
    }
}
