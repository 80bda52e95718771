//! The energy applications that suppliers have uploaded: `applications/SHA256.wasm` in the trust centre's folder.
//!
//! The name is the digest of the bytes, so an application that many gateways get is here once, and one that was altered is
//! noticed whenever it is read. Its author has signed it; the TSM adds its own signature when it goes into a bundle, and
//! `SHA256.signed` has the digest of what came of that. What an application does is not judged here.

use std::path::{Path, PathBuf};

use counterparty::exchange::Identity;
use counterparty::files::{self, Access, FileError};
use messages::certificate::{Certificate, TrustAnchor};
use messages::content::{ApplicationEntry, MAX_APPLICATION, application_digest, is_module};
use messages::package::{self, Place, SignError, SignatureError};
use messages::software::SoftwareKeyError;
use model::{Fingerprint, Timestamp};

/// How many applications are kept: some for each of a hundred suppliers, as they came and with the TSM's signature.
const MAX_KEPT: usize = 2_000;
/// The greatest length of a file with a digest in it, in bytes.
const MAX_NAME: usize = 80;

/// The reason why an application is refused or not found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplicationsError {
    /// It is not what its digest says.
    #[error("the application has the digest {found}, announced was {announced}; send it again")]
    Digest {
        /// The digest of what came.
        found: Fingerprint,
        /// The digest that was announced.
        announced: Fingerprint,
    },
    /// It is too large.
    #[error(
        "the application has {found} bytes, more than the {MAX_APPLICATION} that a gateway takes; make it smaller"
    )]
    TooLarge {
        /// Its size in bytes.
        found: usize,
    },
    /// It is no module.
    #[error("the application is no WebAssembly module of version 1; build it anew")]
    NoModule,
    /// There are too many.
    #[error("{MAX_KEPT} applications are kept already; remove some that no gateway has from {}", folder.display())]
    Full {
        /// Where they are.
        folder: PathBuf,
    },
    /// It is not here.
    #[error("the application {digest} is not here; upload it first")]
    Missing {
        /// Its digest.
        digest: Fingerprint,
    },
    /// It was altered.
    #[error("{} was altered; upload the application again", path.display())]
    Altered {
        /// The file.
        path: PathBuf,
    },
    /// It is not signed as it has to be.
    #[error("the application is not signed as it has to be; its author signs it with `supplier app sign`")]
    Signature(#[from] SignatureError),
    /// The TSM cannot sign it.
    #[error("the TSM cannot sign the application")]
    Sign(#[from] Box<SignError<SoftwareKeyError>>),
    /// A file cannot be read or written.
    #[error("the applications cannot be kept; free the disk")]
    File(#[from] FileError),
}

/// The applications of a trust centre.
#[derive(Debug, Clone)]
pub(crate) struct Applications {
    folder: PathBuf,
}

impl Applications {
    /// Names the applications of a trust centre.
    pub(crate) fn of_home(home: &Path) -> Self {
        let folder = home.join("applications");
        Self { folder }
    }

    /// Keeps an application under the digest that was announced; it may be here already.
    pub(crate) fn keep(&self, announced: Fingerprint, bytes: &[u8]) -> Result<(), ApplicationsError> {
        if bytes.len() > MAX_APPLICATION {
            return Err(ApplicationsError::TooLarge { found: bytes.len() });
        }
        let found = application_digest(bytes);
        if found != announced {
            return Err(ApplicationsError::Digest { found, announced });
        }
        if !is_module(bytes) {
            return Err(ApplicationsError::NoModule);
        }
        match self.read(announced) {
            Ok(_) => return Ok(()),
            Err(ApplicationsError::Missing { .. } | ApplicationsError::Altered { .. }) => {}
            Err(error) => return Err(error),
        }
        files::make_folder(&self.folder)?;
        let kept = std::fs::read_dir(&self.folder).map_err(FileError::at(&self.folder))?;
        let kept = kept.filter_map(Result::ok).map(|entry| entry.path());
        let packages = kept.filter(|path| path.extension().is_some_and(|ending| ending == "wasm"));
        if packages.count() >= MAX_KEPT {
            let folder = self.folder.clone();
            return Err(ApplicationsError::Full { folder });
        }
        Ok(files::replace(&self.path(announced), bytes, Access::Private)?)
    }

    /// Returns the bytes of an application.
    pub(crate) fn read(&self, digest: Fingerprint) -> Result<Vec<u8>, ApplicationsError> {
        let path = self.path(digest);
        let bytes = match files::read(&path, MAX_APPLICATION) {
            Ok(bytes) => bytes,
            Err(FileError::Missing { .. }) => return Err(ApplicationsError::Missing { digest }),
            Err(FileError::TooLarge { .. }) => return Err(ApplicationsError::Altered { path }),
            Err(error) => return Err(error.into()),
        };
        if application_digest(&bytes) == digest {
            Ok(bytes)
        } else {
            Err(ApplicationsError::Altered { path })
        }
    }

    /// Returns the certificate that an application names as its author's; none if the application is not here any more, or was
    /// altered.
    pub(crate) fn author(&self, digest: Fingerprint) -> Result<Option<Certificate>, ApplicationsError> {
        match self.read(digest) {
            Ok(bytes) => Ok(package::claimed_author(&bytes)?),
            Err(ApplicationsError::Missing { .. } | ApplicationsError::Altered { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns what a bundle says of an application that a supplier has uploaded: the package with the TSM's signature behind
    /// its author's, which is checked first. It is signed once, so that it has one digest.
    pub(crate) fn countersigned(
        &self,
        entry: &ApplicationEntry,
        tsm: Identity<'_>,
        anchor: &TrustAnchor,
        now: Timestamp,
    ) -> Result<ApplicationEntry, ApplicationsError> {
        let bytes = self.read(entry.digest)?;
        package::verify(&bytes, Place::Author, anchor, now)?;
        if let Some(known) = self.known_signed(entry.digest, &bytes)? {
            return Ok(named(entry, known.0, &known.1));
        }
        let certificate = tsm.party.sig.certificate();
        let by = (certificate, tsm.anchor.issuing_of(certificate));
        let signed = package::sign(&bytes, Place::Tsm, by, &tsm.keys.sig, now).map_err(Box::new)?;
        let digest = application_digest(&signed);
        self.keep(digest, &signed)?;
        let name = self.signed_name(entry.digest);
        files::replace(&name, digest.to_string().as_bytes(), Access::Private)?;
        Ok(named(entry, digest, &signed))
    }

    /// Returns the package that was signed before, if it is still here and what it was.
    fn known_signed(
        &self,
        uploaded: Fingerprint,
        bytes: &[u8],
    ) -> Result<Option<(Fingerprint, Vec<u8>)>, ApplicationsError> {
        let name = match files::read(&self.signed_name(uploaded), MAX_NAME) {
            Ok(name) => name,
            Err(FileError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let digest = std::str::from_utf8(&name)
            .ok()
            .and_then(|name| name.trim().parse().ok());
        let Some(digest) = digest else {
            return Ok(None);
        };
        match self.read(digest) {
            Ok(signed) if package::without_tsm(&signed)? == bytes => Ok(Some((digest, signed))),
            Ok(_) | Err(ApplicationsError::Missing { .. } | ApplicationsError::Altered { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The file that has the digest of an application with the TSM's signature.
    fn signed_name(&self, uploaded: Fingerprint) -> PathBuf {
        self.folder.join(format!("{uploaded}.signed"))
    }

    fn path(&self, digest: Fingerprint) -> PathBuf {
        self.folder.join(format!("{digest}.wasm"))
    }
}

fn named(entry: &ApplicationEntry, digest: Fingerprint, bytes: &[u8]) -> ApplicationEntry {
    ApplicationEntry {
        digest,
        size: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        ..entry.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &[u8] = b"\0asm\x01\0\0\0and what it does";

    #[test]
    fn application_is_kept_once_and_found_by_its_digest() {
        let home = tempfile::tempdir().unwrap();
        let applications = Applications::of_home(home.path());
        let digest = application_digest(MODULE);
        assert!(matches!(
            applications.read(digest),
            Err(ApplicationsError::Missing { .. })
        ));
        for _ in 0..2 {
            applications.keep(digest, MODULE).unwrap();
        }
        assert_eq!(applications.read(digest).unwrap(), MODULE);
        assert_eq!(
            std::fs::read_dir(home.path().join("applications"))
                .unwrap()
                .count(),
            1
        );
        // Whoever alters the file is noticed, and the next upload mends it.
        std::fs::write(applications.path(digest), b"other").unwrap();
        assert!(matches!(
            applications.read(digest),
            Err(ApplicationsError::Altered { .. })
        ));
        applications.keep(digest, MODULE).unwrap();
        assert_eq!(applications.read(digest).unwrap(), MODULE);
    }

    #[test]
    fn broken_applications_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let applications = Applications::of_home(home.path());
        let digest = application_digest(MODULE);
        assert!(matches!(
            applications.keep(digest, b"\0asm\x01\0\0\0another"),
            Err(ApplicationsError::Digest { .. })
        ));
        let component = b"\0asm\x0d\0\x01\0";
        assert!(matches!(
            applications.keep(application_digest(component), component),
            Err(ApplicationsError::NoModule)
        ));
        let large = vec![0; MAX_APPLICATION + 1];
        assert!(matches!(
            applications.keep(application_digest(&large), &large),
            Err(ApplicationsError::TooLarge { .. })
        ));
        assert!(!home.path().join("applications").exists());
    }
}
