//! The supplier's folder: three keys, the requests for their certificates, and the certificates.
//!
//! `init` makes `{sig,enc,tls}.{key,csr}`. The trust centre adds `{sig,enc,tls}.pem` and
//! `root.pem`, and for each gateway that the supplier may ask, that gateway's certificates.

use std::path::{Path, PathBuf};

use counterparty::exchange::Identity;
use counterparty::files::{self, Access, FileError};
use counterparty::gateways::{CardFolder, GatewayError, PublishError};
use getrandom::SysRng;
use messages::certificate::profile::IssueError;
use messages::certificate::{
    Certificate, CertificateError, CertificationRequest, PartyName, RequestError, Role, Subject,
    SubjectError, Triple, TrustAnchor, VerifiedParty,
};
use messages::software::{SoftwareKey, SoftwareKeyError, SoftwareKeys};
use model::{CardId, KeySlot, Timestamp};
use zeroize::Zeroizing;

use crate::lists::{self, ListError};

/// The reason why a supplier's folder cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// A file of the keys is missing, there already, or cannot be reached.
    #[error("the supplier's folder cannot be used as it is; `supplier init` makes a new one")]
    File(#[from] FileError),
    /// The keys are there, but no certificates.
    #[error("{} is missing; have the trust centre certify this folder (`trust-center certify`)", path.display())]
    NotCertified {
        /// The missing file.
        path: PathBuf,
    },
    /// A key could not be made.
    #[error("a key cannot be made")]
    Software(#[from] SoftwareKeyError),
    /// The name makes no subject.
    #[error("the name cannot be certified")]
    Subject(#[from] SubjectError),
    /// A request could not be made.
    #[error("the request for a certificate cannot be made")]
    Request(#[from] IssueError<SoftwareKeyError>),
    /// A request could not be written.
    #[error("the request for a certificate cannot be written")]
    RequestForm(#[from] RequestError),
    /// A file holds no key.
    #[error("{} holds no key; restore it from its backup", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: SoftwareKeyError,
    },
    /// A file holds no certificate.
    #[error("{} holds no certificate; have the trust centre certify this folder again", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: CertificateError,
    },
    /// A key is not that of its certificate.
    #[error("{} is not the key of its certificate; have the trust centre certify this folder again", path.display())]
    WrongKey {
        /// The key's file.
        path: PathBuf,
    },
    /// A list of revoked certificates cannot be used.
    #[error(transparent)]
    Lists(#[from] ListError),
    /// The certificates are not by the root beside them, no longer valid, or not a supplier's.
    #[error("the supplier's certificates do not hold; have the trust centre certify this folder again")]
    Refused(#[source] CertificateError),
}

/// The reason why the certificates of a gateway were not taken over.
#[derive(Debug, thiserror::Error)]
pub enum KnowError {
    /// They do not hold.
    #[error("the certificates of the gateway do not hold; ask the trust centre")]
    Certificate(#[from] CertificateError),
    /// They are another gateway's.
    #[error("the certificates are not those of the gateway {guid}; ask the trust centre")]
    Foreign {
        /// The GUID that was asked for.
        guid: CardId,
    },
    /// They cannot be kept.
    #[error("the certificates of the gateway cannot be kept")]
    Publish(#[from] PublishError),
    /// The certificates of the issuing authorities cannot be kept.
    #[error("the certificates of the trust centre's issuing authorities cannot be kept")]
    Chain(#[from] FileError),
}

/// The supplier: keys and certificates that fit each other.
#[derive(Debug)]
pub struct Home {
    folder: PathBuf,
    anchor: TrustAnchor,
    keys: SoftwareKeys,
    party: VerifiedParty,
    lists_due: Option<Timestamp>,
}

impl Home {
    /// Makes keys and requests in a folder that has none.
    ///
    /// Keys are readable by their owner alone, and nothing is ever overwritten.
    ///
    /// # Errors
    ///
    /// [`HomeError`] if a file is there already or cannot be written.
    pub fn init(folder: &Path, name: &PartyName) -> Result<(), HomeError> {
        files::make_folder(folder)?;
        let keys = SoftwareKeys::generate(&mut SysRng)?;
        let subject = Subject::party(name.clone(), Role::Supplier)?;
        for slot in KeySlot::ALL {
            let (certified, key) = match slot {
                KeySlot::Sig => (KeySlot::Sig, &keys.sig),
                KeySlot::Enc => (KeySlot::Enc, &keys.enc),
                KeySlot::Tls => (KeySlot::Tls, &keys.tls),
            };
            let request = CertificationRequest::build(subject.clone(), certified, key.public_point(), key)?;
            let file = |ending| folder.join(format!("{slot}.{ending}"));
            files::write_new(&file("key"), key.to_pkcs8_pem()?.as_bytes(), Access::Private)?;
            files::write_new(&file("csr"), request.to_pem()?.as_bytes(), Access::Public)?;
        }
        Ok(())
    }

    /// Loads the supplier and checks that its parts fit each other, and with its lists of revoked certificates.
    ///
    /// # Errors
    ///
    /// [`HomeError`] names the file that is missing or does not fit.
    pub fn load(folder: &Path, now: Timestamp) -> Result<Self, HomeError> {
        let home = Self::load_without_lists(folder, now)?;
        let (anchor, lists_due) = lists::apply(home.anchor, folder)?;
        let certificates = Triple {
            sig: home.party.sig.certificate().clone(),
            enc: home.party.enc.certificate().clone(),
            tls: home.party.tls.certificate().clone(),
        };
        let party = anchor
            .verify_party(&certificates, now, Role::Supplier)
            .map_err(HomeError::Refused)?;
        Ok(Self {
            anchor,
            party,
            lists_due,
            ..home
        })
    }

    /// Loads the supplier as if it had no lists of revoked certificates, so that new ones can be taken whatever is there.
    ///
    /// # Errors
    ///
    /// As [`Home::load`].
    pub fn load_without_lists(folder: &Path, now: Timestamp) -> Result<Self, HomeError> {
        let file = |slot: KeySlot, ending| folder.join(format!("{slot}.{ending}"));
        // The keys first: without them there is nothing that could be certified.
        let sig = read_key(&file(KeySlot::Sig, "key"))?;
        let enc = read_key(&file(KeySlot::Enc, "key"))?;
        let tls = read_key(&file(KeySlot::Tls, "key"))?;
        let path = folder.join("root.pem");
        let mut anchor = TrustAnchor::new(read_certificate(&path)?)
            .map_err(|source| HomeError::Certificate { path, source })?;
        let path = folder.join("chain.pem");
        match read_chain(&path) {
            Ok(chain) => {
                anchor = anchor
                    .with_chain(chain)
                    .map_err(|source| HomeError::Certificate { path, source })?;
            }
            // A trust centre without an issuing authority has none to give.
            Err(HomeError::NotCertified { .. }) => {}
            Err(error) => return Err(error),
        }
        let certificates = Triple {
            sig: read_certificate(&file(KeySlot::Sig, "pem"))?,
            enc: read_certificate(&file(KeySlot::Enc, "pem"))?,
            tls: read_certificate(&file(KeySlot::Tls, "pem"))?,
        };
        let party = anchor
            .verify_party(&certificates, now, Role::Supplier)
            .map_err(HomeError::Refused)?;
        for (slot, key, certificate) in [
            (KeySlot::Sig, &sig, &certificates.sig),
            (KeySlot::Enc, &enc, &certificates.enc),
            (KeySlot::Tls, &tls, &certificates.tls),
        ] {
            if key.public_point() != certificate.public_key() {
                let path = file(slot, "key");
                return Err(HomeError::WrongKey { path });
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            anchor,
            keys: SoftwareKeys { sig, enc, tls },
            party,
            lists_due: None,
        })
    }

    /// Returns the root of the trust centre that has certified the supplier.
    #[must_use]
    pub const fn anchor(&self) -> &TrustAnchor {
        &self.anchor
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns when the first of the next lists of revoked certificates is due, or `None` if there are none.
    pub(crate) const fn lists_due(&self) -> Option<Timestamp> {
        self.lists_due
    }

    /// Returns the supplier's certificates.
    #[must_use]
    pub const fn party(&self) -> &VerifiedParty {
        &self.party
    }

    /// Returns who the supplier is when it speaks with gateways.
    #[must_use]
    pub const fn identity(&self) -> Identity<'_> {
        Identity {
            anchor: &self.anchor,
            party: &self.party,
            keys: &self.keys,
        }
    }

    /// Takes over the certificates of a gateway's card, if they hold and are this gateway's. `issuing` are authorities that
    /// the trust centre may have made since the supplier was certified.
    ///
    /// # Errors
    ///
    /// [`KnowError`] if they do not, or cannot be kept.
    pub fn know_gateway(
        &self,
        guid: CardId,
        certificates: &Triple,
        issuing: &[Certificate],
        now: Timestamp,
    ) -> Result<(), KnowError> {
        let anchor = self.anchor.clone().with_chain(issuing.iter().cloned())?;
        let card = anchor.verify_party(certificates, now, Role::Card)?;
        if card.card_id != Some(guid) {
            return Err(KnowError::Foreign { guid });
        }
        self.keep_chain(&anchor)?;
        Ok(CardFolder::of_gateway(&self.folder, guid).write(&card)?)
    }

    /// Takes over what issuing authorities the trust centre has by now; returns the supplier that knows them.
    ///
    /// # Errors
    ///
    /// [`KnowError`] if one is none of the trust centre's, or they cannot be kept.
    pub(crate) fn knowing(self, issuing: impl IntoIterator<Item = Certificate>) -> Result<Self, KnowError> {
        let anchor = self.anchor.clone().with_chain(issuing)?;
        self.keep_chain(&anchor)?;
        Ok(Self { anchor, ..self })
    }

    /// Writes down what issuing authorities are known, if there are more than before.
    fn keep_chain(&self, anchor: &TrustAnchor) -> Result<(), KnowError> {
        if anchor.issuing() == self.anchor.issuing() {
            return Ok(());
        }
        let pem: String = anchor
            .issuing()
            .iter()
            .map(Certificate::to_pem)
            .collect::<Result<_, _>>()?;
        Ok(files::replace(
            &self.folder.join("chain.pem"),
            pem.as_bytes(),
            Access::Public,
        )?)
    }

    /// Returns the certificates of a gateway's card, judged by the root.
    ///
    /// # Errors
    ///
    /// [`GatewayError`] if the supplier does not know the gateway, or its certificates do not hold.
    pub fn gateway(&self, guid: CardId, now: Timestamp) -> Result<VerifiedParty, GatewayError> {
        CardFolder::of_gateway(&self.folder, guid).read(&self.anchor, now)
    }
}

fn read_key(path: &Path) -> Result<SoftwareKey, HomeError> {
    let text = Zeroizing::new(files::read_text(path, SoftwareKey::MAX_PEM)?);
    SoftwareKey::from_pkcs8_pem(&text).map_err(|source| HomeError::Key {
        path: path.to_owned(),
        source,
    })
}

fn read_chain(path: &Path) -> Result<Vec<Certificate>, HomeError> {
    let limit = Certificate::MAX_PEM * TrustAnchor::MAX_ISSUING;
    let text = read_pem(path, limit)?;
    Certificate::from_pem_chain(&text).map_err(|source| HomeError::Certificate {
        path: path.to_owned(),
        source,
    })
}

fn read_pem(path: &Path, limit: usize) -> Result<String, HomeError> {
    files::read_text(path, limit).map_err(|error| match error {
        FileError::Missing { path } => HomeError::NotCertified { path },
        error => HomeError::File(error),
    })
}

fn read_certificate(path: &Path) -> Result<Certificate, HomeError> {
    let text = read_pem(path, Certificate::MAX_PEM)?;
    Certificate::from_pem(&text).map_err(|source| HomeError::Certificate {
        path: path.to_owned(),
        source,
    })
}
