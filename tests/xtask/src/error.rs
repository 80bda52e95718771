//! Why a chore could not be done.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// The reason why a chore could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum XtaskError {
    /// System packages are missing and this user may not install them.
    #[error(
        "these Debian packages are missing: {0}; install them as root with `apt-get install {0}`, then try again"
    )]
    PackagesMissing(String),
    /// System packages are missing and there is no apt.
    #[error(
        "these system packages are missing: {0} (Debian's names), and this system has no apt-get; \
         install what carries them here, then try again"
    )]
    NoApt(String),
    /// A package is still not there after its installation.
    #[error("{package} is installed, but {proof} is still not there")]
    PackageUseless {
        /// The package.
        package: &'static str,
        /// What should have come with it.
        proof: &'static str,
    },
    /// A component of the toolchain is missing.
    #[error("cargo {component} does not work; install it with `rustup component add {package}`")]
    ComponentMissing {
        /// The subcommand.
        component: &'static str,
        /// The component that brings it.
        package: &'static str,
    },
    /// Debian's compiler is another one than the applications' digests are of.
    #[error("the energy applications are built with Debian's {expected}, and /usr/bin/rustc is {found:?}")]
    Compiler {
        /// The version that is written down.
        expected: &'static str,
        /// What the compiler says.
        found: String,
    },
    /// An energy application is not the one whose digest is written down.
    #[error(
        "gateway/apps/digests.txt does not list {line:?}; if the change is meant, `cargo xtask apps --accept` writes it down"
    )]
    Digest {
        /// The digest and the file.
        line: String,
    },
    /// The crates could not be listed.
    #[error("the crates cannot be listed for the layer")]
    Crates(#[from] crate::crates::CratesError),
    /// The daemon has outgrown its limit.
    #[error("smgw has {bytes} bytes, {most} at most")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// Tests failed on another processor, or others were left out than those that are named.
    #[error("{failed} tests failed, and {left_out} were left out where {named} are named")]
    Tests {
        /// How many failed.
        failed: usize,
        /// How many were left out.
        left_out: usize,
        /// How many are to be left out.
        named: usize,
    },
    /// An update went otherwise than it should.
    #[error("the machine was not updated as it should be")]
    Update(#[from] crate::update::UpdateError),
    /// A program could not be started.
    #[error("{program} could not be started")]
    Start {
        /// The program.
        program: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A step of a chore failed; its own output says why.
    #[error("the step \"{step}\" failed ({status})")]
    Step {
        /// The step.
        step: String,
        /// How its program ended.
        status: ExitStatus,
    },
    /// The system could not be set up, or a part of it ended.
    #[error("the system stopped")]
    System(#[from] system::StageError),
    /// The store did not stand the torture, or could not be tortured.
    #[error("the torture went wrong")]
    Torture(#[from] crate::torture::TortureError),
    /// A machine with the gateway did not stand what a device has to.
    #[error("the machine does not do what a device has to")]
    Machine(#[from] crate::vm::MachineError),
    /// A package for Debian is not what it is to be.
    #[error("the packages for Debian are not what they are to be")]
    Package(#[from] crate::deb::PackageError),
    /// Inputs break the properties of fuzz targets.
    #[error("these fuzz targets found something: {0}; the inputs are in tests/fuzz/artifacts")]
    Findings(String),
    /// A signal or the deadline ended the demonstration before enough had arrived.
    #[error("the demonstration ended before {wanted} registration periods had arrived: {found} had")]
    TooFewRounds {
        /// The number that was asked for.
        wanted: u32,
        /// The number that arrived.
        found: usize,
    },
    /// The supplier received something that it is not granted.
    #[error("the gateway handed out {asked}, which nobody is granted")]
    NotRefused {
        /// What was asked for.
        asked: &'static str,
    },
    /// The period of the demonstration makes no sense.
    #[error("{text:?} is no registration period between PT2S and PT1H in whole seconds")]
    Period {
        /// The text.
        text: String,
    },
    /// The folder for the messages holds something else.
    #[error("{} holds other files; name a new or empty folder with --keep", path.display())]
    KeepNotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{} could not be read or written", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Signals cannot be caught.
    #[error("signals cannot be caught")]
    Signals(#[source] std::io::Error),
    /// The terminal or pipe that the chore writes to is gone.
    #[error("the output is gone")]
    Output(#[from] std::io::Error),
}

impl XtaskError {
    /// Builds the error for a file, for use with `map_err`.
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::File { path, source }
    }
}
