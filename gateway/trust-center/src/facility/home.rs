//! The facility's folder: its keys, encrypted as those of a trust centre, what the trust centre has certified, its own
//! books, and the material that it has got and not used up.
//!
//! `init` makes `{sig,enc,tls}.{key,csr}` and the books. The trust centre adds `{sig,enc,tls}.pem`, `root.pem`,
//! `chain.pem` and `center.pem`, the certificate for which messages to it are encrypted.

use std::fs::File;
use std::path::{Path, PathBuf};

use card::Contact;
use counterparty::exchange::Identity;
use counterparty::files::{self, Access, FileError};
use getrandom::SysRng;
use messages::certificate::profile::IssueError;
use messages::certificate::{
    Certificate, CertificateError, CertificationRequest, PartyName, RequestError, Role, Subject,
    SubjectError, Triple, TrustAnchor, VerifiedCertificate, VerifiedParty,
};
use messages::software::{SoftwareKeyError, SoftwareKeys};
use model::{KeySlot, Timestamp};

use super::letter;
use super::message::ContactWords;
use crate::authority::{AuthorityError, read_certificate};
use crate::books::{Books, BooksError};
use crate::keys::{KeyError, KeyStore, Secrets};

/// The name of the file that one program at a time has locked.
pub(super) const LOCK: &str = "lock";

/// The reason why a facility's folder cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HomeError {
    /// A file is there already, or cannot be reached.
    #[error("the facility's folder cannot be used as it is; `trust-center facility init` makes a new one")]
    File(#[from] FileError),
    /// Another program works in the folder.
    #[error("another program works in {}; wait for its end, or give each reader a facility of its own", folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// The keys are there, but no certificates.
    #[error("{} is missing; have the trust centre certify this folder (`trust-center certify-facility`)", path.display())]
    NotCertified {
        /// The missing file.
        path: PathBuf,
    },
    /// A certificate cannot be read.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The certificates do not hold.
    #[error("the facility's certificates do not hold; have the trust centre certify this folder again")]
    Refused(#[from] CertificateError),
    /// A key is missing, or cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A key cannot be made.
    #[error("a key cannot be made")]
    Software(#[from] SoftwareKeyError),
    /// The name makes no subject.
    #[error("the name cannot be certified")]
    Subject(#[from] SubjectError),
    /// A request cannot be made.
    #[error("the request for a certificate cannot be made")]
    Request(#[from] IssueError<SoftwareKeyError>),
    /// A request cannot be written.
    #[error("the request for a certificate cannot be written")]
    RequestForm(#[from] RequestError),
    /// The books cannot be begun or opened.
    #[error("the facility's books cannot be used")]
    Books(#[from] BooksError),
}

/// The second facility.
#[derive(Debug)]
pub(crate) struct Facility {
    folder: PathBuf,
    anchor: TrustAnchor,
    party: VerifiedParty,
    keys: SoftwareKeys,
    center: VerifiedCertificate,
    books: Books,
    /// Held until this is dropped.
    _lock: File,
}

impl Facility {
    /// Makes keys, requests and books in a folder that has none.
    pub(crate) fn init(folder: &Path, name: &PartyName, secrets: &Secrets) -> Result<(), HomeError> {
        files::make_folder(folder)?;
        let store = KeyStore::new(folder, secrets);
        let keys = SoftwareKeys::generate(&mut SysRng)?;
        let subject = Subject::party(name.clone(), Role::Facility)?;
        for (slot, key) in [
            (KeySlot::Sig, &keys.sig),
            (KeySlot::Enc, &keys.enc),
            (KeySlot::Tls, &keys.tls),
        ] {
            let request = CertificationRequest::build(subject.clone(), slot, key.public_point(), key)?;
            store.write(&folder.join(format!("{slot}.key")), key)?;
            let path = folder.join(format!("{slot}.csr"));
            files::write_new(&path, request.to_pem()?.as_bytes(), Access::Public)?;
        }
        files::make_folder(&folder.join("material"))?;
        Books::create(folder, None)?;
        Ok(())
    }

    /// Loads a facility that has been certified, for this program alone.
    pub(crate) fn load(folder: &Path, secrets: &Secrets, now: Timestamp) -> Result<Self, HomeError> {
        let path = folder.join("material").join(LOCK);
        let lock = File::create(&path).map_err(FileError::at(&path))?;
        if lock.try_lock().is_err() {
            let folder = folder.to_owned();
            return Err(HomeError::Busy { folder });
        }
        let books = Books::open(folder)?;
        let read = |name: &str| {
            read_certificate(&folder.join(name)).map_err(|error| match error {
                AuthorityError::File(FileError::Missing { path }) => HomeError::NotCertified { path },
                error => error.into(),
            })
        };
        let mut anchor = TrustAnchor::new(read("root.pem")?)?;
        if folder.join("chain.pem").exists() {
            for issuing in crate::authority::read_certificates(&folder.join("chain.pem"))? {
                anchor = anchor.with_issuing(issuing)?;
            }
        }
        let certificates = Triple {
            sig: read("sig.pem")?,
            enc: read("enc.pem")?,
            tls: read("tls.pem")?,
        };
        let party = anchor.verify_party(&certificates, now, Role::Facility)?;
        let center = letter::recipient(&anchor, &read("center.pem")?, Role::Tsm, now)?;
        let store = KeyStore::new(folder, secrets);
        let key = |slot: KeySlot, certificate: &Certificate| {
            store.read(&folder.join(format!("{slot}.key")), certificate)
        };
        let keys = SoftwareKeys {
            sig: key(KeySlot::Sig, &certificates.sig)?,
            enc: key(KeySlot::Enc, &certificates.enc)?,
            tls: key(KeySlot::Tls, &certificates.tls)?,
        };
        Ok(Self {
            folder: folder.to_owned(),
            anchor,
            party,
            keys,
            center,
            books,
            _lock: lock,
        })
    }

    /// Returns who the facility is when it speaks.
    pub(crate) const fn identity(&self) -> Identity<'_> {
        Identity {
            anchor: &self.anchor,
            party: &self.party,
            keys: &self.keys,
        }
    }

    /// Returns what a card keeps of the trust centre.
    pub(crate) fn contact(&self) -> Contact {
        let issuing = self.anchor.issuing().first();
        ContactWords::new(self.anchor.name(), self.anchor.certificate(), issuing).to_contact()
    }

    /// Returns the certificate for which messages to the trust centre are encrypted.
    pub(crate) const fn center(&self) -> &VerifiedCertificate {
        &self.center
    }

    /// Returns the facility's own books.
    pub(crate) const fn books(&self) -> &Books {
        &self.books
    }

    /// Returns the folder of the material.
    pub(crate) fn stock(&self) -> PathBuf {
        self.folder.join("material")
    }
}
