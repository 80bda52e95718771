//! Why a fleet cannot be made.

use std::path::{Path, PathBuf};

use messages::certificate::profile::IssueError;
use messages::certificate::{CertificateError, SubjectError};
use messages::software::SoftwareKeyError;

/// The reason why a fleet cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// A file of the trust centre or the supplier cannot be read or written.
    #[error("{} cannot be read or written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The trust centre's key cannot be decrypted.
    #[error("{} is no key that the file `passphrase` beside it opens", path.display())]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// A certificate cannot be read or does not hold.
    #[error("a certificate of the trust centre does not hold; found one with `trust-center init`")]
    Certificate(#[from] CertificateError),
    /// A key cannot be made or read.
    #[error("a key cannot be made")]
    Software(#[from] SoftwareKeyError),
    /// A GUID makes no subject.
    #[error("a gateway has no name")]
    Subject(#[from] SubjectError),
    /// A certificate cannot be issued.
    #[error("a gateway cannot be certified")]
    Issue(#[from] IssueError<SoftwareKeyError>),
    /// TLS cannot be set up.
    #[error("the TLS of a gateway cannot be set up")]
    Tls(#[from] rustls::Error),
    /// No random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// There is nowhere to connect to.
    #[error("a fleet needs a broker; name one")]
    NoBroker,
    /// A thread has failed.
    #[error("a thread that made gateways has failed")]
    Thread,
    /// The process may not have so many connections.
    #[error(
        "{needed} open files are needed and {found} are permitted; raise the limit with `ulimit -n` or `prlimit --nofile`"
    )]
    Descriptors {
        /// How many are needed.
        needed: u64,
        /// How many are permitted.
        found: u64,
    },
}

impl FleetError {
    pub(super) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::File { path, source }
    }
}
