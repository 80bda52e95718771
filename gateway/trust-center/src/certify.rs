//! Certifying a supplier or a second facility: from its three requests to its three certificates.

use std::path::{Path, PathBuf};

use counterparty::files::{self, Access, FileError};
use messages::certificate::{
    Certificate, CertificateError, CertificationRequest, DnsName, RequestError, Role, Triple, VerifiedParty,
};
use model::{KeySlot, Timestamp};

use crate::authority::{Authority, AuthorityError, issued, write_certificate, write_triple};
use crate::books::{Act, Books, BooksError, Issued};
use crate::names::{self, NameError, Standing};

/// The reason why a supplier was not certified. Nothing has been written into its folder, unless
/// the variant is about a file there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertifyError {
    /// A request is missing, or a certificate cannot be written.
    #[error("the supplier's folder cannot be used; `supplier init` makes one")]
    File(#[from] FileError),
    /// A file holds no good request.
    #[error("the request {} is refused; have the supplier make its requests anew", path.display())]
    Request {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: RequestError,
    },
    /// A request is about another of the three keys than its file's name says.
    #[error("the request {} is not about the {slot} key; have the supplier make its requests anew", path.display())]
    Slot {
        /// The file.
        path: PathBuf,
        /// The key that it should be about.
        slot: KeySlot,
    },
    /// The requester wants to be something else than what it is to be certified as.
    #[error(
        "the requester wants to be certified as {found}, not as {expected}; check the folder and the command"
    )]
    Role {
        /// What it is to be certified as.
        expected: Role,
        /// What it wants to be.
        found: Role,
    },
    /// The name is none that the requester may have.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A key was given up as compromised.
    #[error("the {slot} key was revoked as compromised; have the supplier make new keys and requests")]
    Compromised {
        /// Which key.
        slot: KeySlot,
    },
    /// The three requests are not about one party.
    #[error("the three requests name different parties; have the supplier make them anew")]
    DifferentSubjects,
    /// The supplier trusts another trust centre already.
    #[error("{} is another trust centre's; a supplier has one home for each trust centre", path.display())]
    ForeignRoot {
        /// The root certificate in the supplier's folder.
        path: PathBuf,
    },
    /// The authority does not issue.
    #[error("the supplier's certificates cannot be issued")]
    Authority(#[from] AuthorityError),
    /// What was issued does not hold: two requests were about one key.
    #[error("the three requests make no party; have the supplier make them anew")]
    Party(#[source] CertificateError),
    /// The act could not be written down.
    #[error("the supplier is not certified, since the books cannot be kept")]
    Books(#[from] BooksError),
}

/// Signs the requests of a supplier's folder and puts the certificates beside them.
pub(crate) fn certify(
    authority: &Authority,
    books: &Books,
    folder: &Path,
    standing: Standing,
    now: Timestamp,
) -> Result<VerifiedParty, CertifyError> {
    certify_as(Role::Supplier, standing, authority, books, folder, now)
}

/// Signs the requests of a second facility's folder; `center.pem` is the certificate for which it encrypts its messages.
pub(crate) fn certify_facility(
    authority: &Authority,
    books: &Books,
    folder: &Path,
    now: Timestamp,
) -> Result<VerifiedParty, CertifyError> {
    let center = authority.tsm()?.party.enc.certificate();
    let facility = certify_as(Role::Facility, Standing::Holder, authority, books, folder, now)?;
    write_certificate(&folder.join("center.pem"), center)?;
    Ok(facility)
}

/// Does the same for a party of this role.
fn certify_as(
    role: Role,
    standing: Standing,
    authority: &Authority,
    books: &Books,
    folder: &Path,
    now: Timestamp,
) -> Result<VerifiedParty, CertifyError> {
    check_root(authority, folder)?;
    let requests = Requests::read(folder, role)?;
    let subject = requests.sig.subject();
    names::claim(books, subject, requests.sig.public_key(), standing)?;
    requests.check_compromised(books)?;
    let issue = |request: &CertificationRequest| {
        authority.certify(subject, request.slot(), request.public_key(), now)
    };
    let certificates = Triple {
        sig: issue(&requests.sig)?,
        enc: issue(&requests.enc)?,
        tls: issue(&requests.tls)?,
    };
    let party = authority
        .anchor()
        .verify_party(&certificates, now, role)
        .map_err(CertifyError::Party)?;
    let certified = Act::Certified {
        name: party.name.clone(),
        sig: certificates.sig.fingerprint(),
        enc: certificates.enc.fingerprint(),
        tls: certificates.tls.fingerprint(),
    };
    books.record_issued(now, &certified, &issued(&certificates))?;
    write_triple(folder, &certificates)?;
    authority.write_chain(&folder.join("chain.pem"))?;
    write_certificate(&folder.join("root.pem"), authority.anchor().certificate())?;
    Ok(party)
}

/// Certifies a broker, a server that is reached by the names; the certificate and that of its issuing authority, as servers
/// show them, go into the file.
pub(crate) fn certify_broker(
    authority: &Authority,
    books: &Books,
    order: &BrokerOrder,
    now: Timestamp,
) -> Result<Certificate, CertifyError> {
    let text = files::read_text(&order.request, CertificationRequest::MAX_PEM)?;
    let request = |source| CertifyError::Request {
        path: order.request.clone(),
        source,
    };
    let key = CertificationRequest::proven_key(&text).map_err(request)?;
    let certificate = authority.certify_broker(&order.names, &key, now)?;
    let issued = Issued {
        certificate: certificate.clone(),
        key: "server",
    };
    books.issued(now, &[issued])?;
    let mut pem = certificate.to_pem().map_err(CertifyError::Party)?;
    if let Some(issuing) = authority.anchor().issuing_of(&certificate) {
        pem.push_str(&issuing.to_pem().map_err(CertifyError::Party)?);
    }
    files::replace(&order.certificate, pem.as_bytes(), Access::Public)?;
    Ok(certificate)
}

/// A broker that is to be certified.
#[derive(Debug, Clone)]
pub(crate) struct BrokerOrder {
    /// Its request (PKCS#10, PEM); what it says besides the key is not read.
    pub(crate) request: PathBuf,
    /// The names by which it is reached.
    pub(crate) names: Vec<DnsName>,
    /// Where the certificates go.
    pub(crate) certificate: PathBuf,
}

/// The three requests of one party.
struct Requests {
    sig: CertificationRequest,
    enc: CertificationRequest,
    tls: CertificationRequest,
}

impl Requests {
    fn read(folder: &Path, expected: Role) -> Result<Self, CertifyError> {
        let requests = Self {
            sig: read_request(folder, KeySlot::Sig)?,
            enc: read_request(folder, KeySlot::Enc)?,
            tls: read_request(folder, KeySlot::Tls)?,
        };
        let subject = requests.sig.subject();
        if requests.enc.subject() != subject || requests.tls.subject() != subject {
            return Err(CertifyError::DifferentSubjects);
        }
        let found = subject.role();
        if found != expected {
            return Err(CertifyError::Role { expected, found });
        }
        Ok(requests)
    }
}

impl Requests {
    /// Whoever else has a key that was compromised would have what is certified for it now.
    fn check_compromised(&self, books: &Books) -> Result<(), CertifyError> {
        let compromised = books.compromised()?;
        for request in [&self.sig, &self.enc, &self.tls] {
            let mut certificates = compromised.iter();
            if certificates.any(|certificate| certificate.public_key() == request.public_key()) {
                let slot = request.slot();
                return Err(CertifyError::Compromised { slot });
            }
        }
        Ok(())
    }
}

fn read_request(folder: &Path, slot: KeySlot) -> Result<CertificationRequest, CertifyError> {
    let path = folder.join(format!("{slot}.csr"));
    let text = files::read_text(&path, CertificationRequest::MAX_PEM)?;
    match CertificationRequest::from_pem(&text) {
        Ok(request) if request.slot() == slot => Ok(request),
        Ok(_) => Err(CertifyError::Slot { path, slot }),
        Err(source) => Err(CertifyError::Request { path, source }),
    }
}

/// A supplier that has been certified by somebody else is left alone.
fn check_root(authority: &Authority, folder: &Path) -> Result<(), CertifyError> {
    let path = folder.join("root.pem");
    match crate::authority::read_certificate(&path) {
        Ok(root) if root == *authority.anchor().certificate() => Ok(()),
        Err(AuthorityError::File(FileError::Missing { .. })) => Ok(()),
        Ok(_) => Err(CertifyError::ForeignRoot { path }),
        Err(error) => Err(error.into()),
    }
}
