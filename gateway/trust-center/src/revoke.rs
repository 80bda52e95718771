//! Revoking, and the lists of what is revoked.
//!
//! A revocation is in force in this trust centre at once: nothing is installed for a revoked supplier any more, and together
//! with it every gateway that serves the supplier is queued for a bundle that leaves it out, before all else, and every gateway
//! that runs an application which the supplier has signed, for a bundle that says so. For everybody
//! else there are the lists, `root.crl` and `issuing.crl` in the trust centre's folder (PEM), and one more for each issuing
//! authority that followed the first.

use std::path::{Path, PathBuf};

use counterparty::files::{self, Access, FileError};
use messages::certificate::{
    Certificate, CertificateError, ListContent, PartyName, RevocationList, RevocationReason,
};
use model::{CardId, Span, Timestamp};

use crate::authority::{Authority, AuthorityError, read_certificate};
use crate::books::{Books, BooksError, serial_of};
use crate::bundles::{self, BundlesError};

/// The reason why nothing was revoked, or a list not signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RevokeError {
    /// The books cannot be kept, or know no such certificate.
    #[error(transparent)]
    Books(#[from] BooksError),
    /// The certificate cannot be read, or a key not be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The certificate names nobody of this system.
    #[error("the certificate cannot be looked up")]
    Certificate(#[from] CertificateError),
    /// The certificate is not in the books.
    #[error("the certificate {serial} was not issued by this trust centre")]
    Foreign {
        /// Its serial number.
        serial: String,
    },
    /// It cannot be told which gateways run what was signed by them.
    #[error("what is in force on the gateways cannot be read, so nothing is revoked")]
    Bundles(#[from] Box<BundlesError>),
    /// The list cannot be written.
    #[error("the list is signed, but cannot be written; free the disk and sign it again")]
    File(#[from] FileError),
}

/// Whose certificates are to be revoked.
#[derive(Debug, Clone)]
pub(crate) enum Whom {
    /// All of a card.
    Card(CardId),
    /// All of a supplier or broker of this name.
    Party(PartyName),
    /// The one in this file.
    File(PathBuf),
}

/// A list that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignedList {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its number.
    pub(crate) number: u64,
    /// How many certificates are on it.
    pub(crate) revoked: usize,
    /// When the next one is due.
    pub(crate) next: Timestamp,
}

/// Revokes certificates; returns how many. Gateways that run what was signed by one of them are queued for a bundle that says
/// so, on whoever's behalf it runs.
pub(crate) fn revoke(
    (home, books): (&Path, &Books),
    whom: &Whom,
    reason: RevocationReason,
    now: Timestamp,
) -> Result<usize, RevokeError> {
    match whom {
        Whom::Card(guid) => Ok(books.revoke(now, &guid.to_string(), None, reason, &[])?),
        Whom::Party(name) => {
            let is_author =
                |author: &Certificate| author.subject().is_ok_and(|subject| subject.name() == name);
            let also = bundles::gateways_with(home, is_author).map_err(Box::new)?;
            Ok(books.revoke(now, name.as_str(), None, reason, &also)?)
        }
        Whom::File(path) => {
            let certificate = read_certificate(path)?;
            let serial = serial_of(&certificate);
            let known = books.certificate(&serial)?;
            if known.is_none_or(|entry| entry.certificate != certificate) {
                return Err(RevokeError::Foreign { serial });
            }
            let name = certificate.subject()?.name().to_string();
            let also = bundles::gateways_with(home, |author| *author == certificate).map_err(Box::new)?;
            Ok(books.revoke(now, &name, Some(&serial), reason, &also)?)
        }
    }
}

/// Signs the list of each authority; `with_root` is for the root's, whose key may be elsewhere.
pub(crate) fn sign_lists(
    authority: &Authority,
    books: &Books,
    with_root: bool,
    validity: Span,
    now: Timestamp,
) -> Result<Vec<SignedList>, RevokeError> {
    let mut signed = Vec::new();
    let authorities = authority.authorities();
    let only_one = authorities.len() == 1;
    for issuer in authorities {
        let is_root = issuer == authority.anchor().certificate();
        if is_root && !with_root && !only_one {
            continue;
        }
        let next = now.saturating_add(validity);
        let sign = |number: u64, revoked: &[(Vec<u8>, messages::certificate::Revocation)]| {
            let content = ListContent {
                number,
                time: now,
                next,
                revoked,
            };
            let list = authority.with_key_of(issuer, |key| Ok(RevocationList::issue(content, issuer, key)?));
            let list = list.map_err(|error| BooksError::Issue(Box::new(error)))?;
            Ok(list.to_pem()?)
        };
        let (number, pem) = books.sign_list(issuer, now, next, sign)?;
        let path = authority.list_file(issuer);
        files::replace(&path, pem.as_bytes(), Access::Public)?;
        signed.push(SignedList {
            path,
            number,
            revoked: RevocationList::from_pem(&pem)?.revoked().len(),
            next,
        });
    }
    Ok(signed)
}
