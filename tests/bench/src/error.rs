//! Why a bench could not be run.

use std::path::{Path, PathBuf};

/// The reason why a bench could not be run, or what it found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// A file could not be read or written.
    #[error("{} could not be read or written", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("{program} could not be started")]
    Start {
        /// The program.
        program: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A program failed.
    #[error("{program} failed: {said}")]
    Program {
        /// The program.
        program: String,
        /// What it said.
        said: String,
    },
    /// A step printed no result.
    #[error("the step {step} printed no result")]
    Step {
        /// The step.
        step: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// valgrind did not say how many instructions it counted.
    #[error("valgrind named no number of instructions: {said}")]
    Instructions {
        /// What it said.
        said: String,
    },
    /// The frame of the bench is not read as it should be.
    #[error("the frame of the bench is not decoded")]
    Frame,
    /// A word of the bench is not one of the model's.
    #[error("the bench has a word that is none of the model's")]
    Words(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A decision is another than it should be.
    #[error("another decision than expected: {what}")]
    Decision {
        /// What was decided.
        what: &'static str,
    },
    /// The store could not be opened or read.
    #[error("the store failed")]
    Store(#[from] store::DatabaseError),
    /// The supplier's store could not be opened.
    #[error("the supplier's store failed")]
    SupplierStore(#[from] supplier::StoreError),
    /// The store did not take a round.
    #[error("the store took no round")]
    Register(#[from] store::RegisterError),
    /// SQLite failed.
    #[error("SQLite failed")]
    Sqlite(#[from] rusqlite::Error),
    /// An engine gave back something else than was put in.
    #[error("{engine} gave back {found}, and {expected} were put in")]
    Content {
        /// The engine.
        engine: String,
        /// What should have come.
        expected: String,
        /// What came.
        found: String,
    },
    /// The system around the bench could not be set up.
    #[error("the system could not be set up")]
    Stage(#[from] system::StageError),
    /// The card reader failed.
    #[error("the card reader failed")]
    Reader(#[from] pcsc::Error),
    /// The card failed.
    #[error("the card failed")]
    Card(#[from] card::CardError<pcsc::Error>),
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls(#[from] rustls::Error),
    /// A connection failed.
    #[error("a connection failed")]
    Network(#[source] std::io::Error),
    /// The output is gone.
    #[error("the output is gone")]
    Output(#[source] std::io::Error),
    /// What the bench measures could not be set up, or failed.
    #[error("what the bench measures failed")]
    World(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A figure is above its limit.
    #[error("above the limit: {0}")]
    AboveLimit(String),
}

impl BenchError {
    /// Builds the error for a file, for use with `map_err`.
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::File { path, source }
    }
}
