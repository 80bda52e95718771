//! Personalising a card: a GUID that nobody else has, keys made on the card, certificates for them.
//!
//! The GUID is in the books before the card gets it, and a certificate is on the trust centre's
//! disk before it is on the card. So a cut leaves a card that is blank, or one that the trust
//! centre knows.

use std::path::{Path, PathBuf};

use card::personalization::PersonalizationError;
use card::session::{CardIdentity, CardSession};
use card::{CardError, LifeCycle, Point, Transport};
use counterparty::files::{self, Access, FileError};
use messages::certificate::{CertificateError, Role, Subject, Triple, VerifiedParty};
use messages::keys::{PointError, PublicPoint};
use model::{CardId, KeySlot, Timestamp};

use crate::authority::{Authority, AuthorityError, certificate_of, read_certificate};
use crate::books::{Act, Books, BooksError, GuidPrefix};

/// The reason why a card was not personalised.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PersonalizeError<E: std::error::Error + 'static> {
    /// The card cannot be reached or refuses.
    #[error("the card cannot be personalised; a card that was taken out is still blank")]
    Card(#[from] CardError<E>),
    /// The card is somebody already.
    #[error("the card is {found}; take a blank one")]
    NotBlank {
        /// The life cycle that was found.
        found: LifeCycle,
    },
    /// A step failed after the card had been found blank.
    #[error("the card was not personalised")]
    Personalization(#[from] PersonalizationError<E, CertifyKeyError>),
    /// The card gave back other certificates than it should hold.
    #[error("the card's certificates do not hold; scrap the card")]
    ReadBack(#[from] CardCertificatesError),
    /// The books cannot be kept.
    #[error("the card is not personalised further, since the books cannot be kept")]
    Books(#[from] BooksError),
}

/// The reason why a key of a card was not certified.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertifyKeyError {
    /// The key cannot be certified.
    #[error("the card's key is none that can be certified; scrap the card")]
    Key(#[from] PointError),
    /// The authority does not issue.
    #[error("the certificate cannot be issued")]
    Authority(#[from] AuthorityError),
    /// The certificate cannot be encoded.
    #[error("the certificate cannot be written as PEM")]
    Pem(#[source] CertificateError),
    /// The certificate cannot be put into the trust centre's folder.
    #[error("the certificate cannot be kept; free the disk")]
    File(#[from] FileError),
}

/// The reason why the trust centre does not know a card.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CardCertificatesError {
    /// There is no such card.
    #[error("this trust centre has no certificates of the card {guid}; check the GUID")]
    Unknown {
        /// The GUID.
        guid: CardId,
    },
    /// A certificate cannot be read.
    #[error("the certificates of the card {guid} cannot be read; restore them from the backup")]
    Unreadable {
        /// The GUID.
        guid: CardId,
        /// Why not.
        #[source]
        source: AuthorityError,
    },
    /// The certificates do not hold.
    #[error("the certificates of the card {guid} do not hold; personalise a new card")]
    Refused {
        /// The GUID.
        guid: CardId,
        /// Why not.
        #[source]
        source: CertificateError,
    },
    /// The certificates are another card's.
    #[error(
        "the certificates in the folder of the card {guid} are another card's; restore them from the backup"
    )]
    Foreign {
        /// The GUID.
        guid: CardId,
    },
}

/// Personalises the card that the transport leads to.
pub(crate) fn personalize<T: Transport>(
    authority: &Authority,
    books: &Books,
    prefix: GuidPrefix,
    mut transport: T,
    now: Timestamp,
) -> Result<(CardIdentity, VerifiedParty), PersonalizeError<T::Error>> {
    let found = CardSession::open(&mut transport)?.life_cycle()?;
    if found != LifeCycle::Blank {
        return Err(PersonalizeError::NotBlank { found });
    }
    let guid = books.give_guid(prefix, now)?;
    let certify = |slot, key: &Point| certify_key(authority, guid, slot, key, now);
    let identity = card::personalization::personalize(&mut transport, guid, &authority.contact(), certify)?;
    let party = card_of(authority, guid, now)?;
    let personalized = Act::Personalized {
        guid,
        sig: party.sig.certificate().fingerprint(),
        enc: party.enc.certificate().fingerprint(),
        tls: party.tls.certificate().fingerprint(),
    };
    books.record(now, &personalized)?;
    Ok((identity, party))
}

/// Certifies one key of the card and keeps the certificate before anybody gets it.
fn certify_key(
    authority: &Authority,
    guid: CardId,
    slot: KeySlot,
    key: &Point,
    now: Timestamp,
) -> Result<Vec<u8>, CertifyKeyError> {
    let key = PublicPoint::from_sec1(&key.to_bytes())?;
    let certificate = authority.certify(&Subject::card(guid), slot, &key, now)?;
    let folder = card_folder(authority.home(), guid);
    files::make_folder(&folder)?;
    let pem = certificate.to_pem().map_err(CertifyKeyError::Pem)?;
    files::replace(
        &folder.join(format!("{slot}.pem")),
        pem.as_bytes(),
        Access::Public,
    )?;
    Ok(certificate.as_der().to_vec())
}

/// Returns the certificates of a card of this trust centre, judged by its root.
pub(crate) fn card_of(
    authority: &Authority,
    guid: CardId,
    now: Timestamp,
) -> Result<VerifiedParty, CardCertificatesError> {
    let folder = card_folder(authority.home(), guid);
    let read = |slot: KeySlot| {
        read_certificate(&folder.join(format!("{slot}.pem"))).map_err(|source| match source {
            AuthorityError::File(FileError::Missing { .. }) => CardCertificatesError::Unknown { guid },
            source => CardCertificatesError::Unreadable { guid, source },
        })
    };
    let certificates = Triple {
        sig: read(KeySlot::Sig)?,
        enc: read(KeySlot::Enc)?,
        tls: read(KeySlot::Tls)?,
    };
    let party = authority
        .anchor()
        .verify_party(&certificates, now, Role::Card)
        .map_err(|source| CardCertificatesError::Refused { guid, source })?;
    if party.card_id == Some(guid) {
        Ok(party)
    } else {
        Err(CardCertificatesError::Foreign { guid })
    }
}

/// Writes a card's certificates into a folder, for whoever is to know them.
pub(crate) fn publish(certificates: &VerifiedParty, folder: &Path) -> Result<(), CertifyKeyError> {
    files::make_folder(folder)?;
    let certificates = Triple {
        sig: certificates.sig.certificate().clone(),
        enc: certificates.enc.certificate().clone(),
        tls: certificates.tls.certificate().clone(),
    };
    for slot in KeySlot::ALL {
        let pem = certificate_of(&certificates, slot).to_pem();
        let pem = pem.map_err(CertifyKeyError::Pem)?;
        files::replace(
            &folder.join(format!("{slot}.pem")),
            pem.as_bytes(),
            Access::Public,
        )?;
    }
    Ok(())
}

/// Returns the name of the folder of a card: its GUID, with dashes for the colons.
pub(crate) fn folder_name(guid: CardId) -> String {
    guid.to_string().replace(':', "-")
}

fn card_folder(home: &Path, guid: CardId) -> PathBuf {
    home.join("cards").join(folder_name(guid))
}
