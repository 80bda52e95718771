//! Signing an energy application as its author.

use std::path::Path;

use counterparty::files::{self, Access, FileError};
use messages::content::{MAX_APPLICATION, application_digest};
use messages::package::{self, Place, SignError};
use messages::software::SoftwareKeyError;
use model::{Fingerprint, Timestamp};

use crate::home::Home;

/// The reason why an application is not signed.
#[derive(Debug, thiserror::Error)]
pub enum ApplicationError {
    /// The file cannot be read or written.
    #[error("the application cannot be read or written; one has {MAX_APPLICATION} bytes at most")]
    File(#[from] FileError),
    /// The signature cannot be made.
    #[error(transparent)]
    Sign(#[from] Box<SignError<SoftwareKeyError>>),
}

/// Signs the package of an application with the supplier's SIG key; returns the digest of what came of it.
///
/// # Errors
///
/// [`ApplicationError`] if it is no module, signed already, or cannot be written.
pub fn sign(home: &Home, file: &Path, out: &Path, now: Timestamp) -> Result<Fingerprint, ApplicationError> {
    let bytes = files::read(file, MAX_APPLICATION)?;
    let identity = home.identity();
    let certificate = identity.party.sig.certificate();
    let by = (certificate, identity.anchor.issuing_of(certificate));
    let signed = package::sign(&bytes, Place::Author, by, &identity.keys.sig, now).map_err(Box::new)?;
    files::replace(out, &signed, Access::Public)?;
    Ok(application_digest(&signed))
}
