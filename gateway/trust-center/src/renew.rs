//! Renewing the certificates of a card.
//!
//! The card itself keeps the certificates that it was completed with, since nothing of its identity can be written again.
//! The new ones are for the same keys and the same GUID; suppliers get them with the next installation, and the directory
//! publishes them. Suppliers are renewed by certifying them again, the TSM by [`Authority::renew_tsm`].

use messages::certificate::{CertificateError, Role, Subject, Triple, VerifiedParty};
use model::{CardId, KeySlot, Timestamp};

use crate::authority::{Authority, AuthorityError, issued};
use crate::books::{Books, BooksError, Entry};

/// The reason why a certificate was not renewed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewError {
    /// The card is not known, or all its certificates are revoked.
    #[error("there are no certificates of the card {guid} that could be renewed; check the GUID")]
    Unknown {
        /// The GUID.
        guid: CardId,
    },
    /// The authority does not issue.
    #[error("the certificates cannot be renewed")]
    Authority(#[from] AuthorityError),
    /// What was issued does not hold.
    #[error("the new certificates do not hold; check the clock")]
    Issued(#[from] CertificateError),
    /// The books cannot be kept.
    #[error("the certificates are not renewed, since the books cannot be kept")]
    Books(#[from] BooksError),
}

/// Issues new certificates for the three keys of a card.
pub(crate) fn card(
    authority: &Authority,
    books: &Books,
    guid: CardId,
    now: Timestamp,
) -> Result<VerifiedParty, RenewError> {
    let entries = books.certificates(&guid.to_string())?;
    let renew = |slot: KeySlot| {
        let of_slot = |entry: &&Entry| entry.key == slot.name() && !entry.revoked;
        let latest = entries
            .iter()
            .rev()
            .find(of_slot)
            .ok_or(RenewError::Unknown { guid })?;
        let key = latest.certificate.public_key();
        Ok::<_, RenewError>(authority.certify(&Subject::card(guid), slot, key, now)?)
    };
    let certificates = Triple {
        sig: renew(KeySlot::Sig)?,
        enc: renew(KeySlot::Enc)?,
        tls: renew(KeySlot::Tls)?,
    };
    let party = authority.anchor().verify_party(&certificates, now, Role::Card)?;
    books.issued(now, &issued(&certificates))?;
    Ok(party)
}
