//! Personalising a card: a GUID that nobody else has, keys made on the card, certificates for them.
//!
//! The GUID is in the books before the card gets it, and a certificate is on the trust centre's
//! disk before it is on the card. So a cut leaves a card that is blank, or one that the trust
//! centre knows.

use card::personalization::PersonalizationError;
use card::session::{CardIdentity, CardSession};
use card::{CardError, CardKey, LifeCycle, Point, Transport};
use counterparty::gateways::{CardFolder, GatewayError, PublishError};
use messages::certificate::{Certificate, CertificateError, Subject, VerifiedParty};
use messages::keys::{PointError, PublicPoint};
use model::{CardId, KeySlot, Timestamp};

use crate::authority::{Authority, AuthorityError};
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
    /// The certificate cannot be put into the trust centre's folder.
    #[error(transparent)]
    Keep(#[from] PublishError),
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
    /// The card's attestation key is its SIG key, so that the card could prove nothing.
    #[error("the card {guid} has no attestation key of its own; personalise a new card")]
    Attestation {
        /// The GUID.
        guid: CardId,
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
    let certify = |name, key: &Point| certify_key(authority, guid, name, key, now);
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
///
/// The attestation key is certified as a SIG key is. That is no danger: it signs the card's own texts
/// alone, and whoever checks it checks that it is not the SIG key.
fn certify_key(
    authority: &Authority,
    guid: CardId,
    name: CardKey,
    key: &Point,
    now: Timestamp,
) -> Result<Vec<u8>, CertifyKeyError> {
    let key = PublicPoint::from_sec1(&key.to_bytes())?;
    let slot = match name {
        CardKey::Slot(slot) => slot,
        CardKey::Attestation => KeySlot::Sig,
    };
    let certificate = authority.certify(&Subject::card(guid), slot, &key, now)?;
    let folder = card_folder(authority, guid);
    match name {
        CardKey::Slot(slot) => folder.write_one(slot, &certificate)?,
        CardKey::Attestation => folder.write_attestation(&certificate)?,
    }
    Ok(certificate.as_der().to_vec())
}

/// Returns the certificates of a card of this trust centre, judged by its root.
pub(crate) fn card_of(
    authority: &Authority,
    guid: CardId,
    now: Timestamp,
) -> Result<VerifiedParty, CardCertificatesError> {
    let card = card_folder(authority, guid).read(authority.anchor(), now);
    card.map_err(|error| unknown(guid, error))
}

/// Returns the certificate of the attestation key of a card of this trust centre, judged by its root.
pub(crate) fn attestation_of(
    authority: &Authority,
    guid: CardId,
    now: Timestamp,
) -> Result<Certificate, CardCertificatesError> {
    let certificate = card_folder(authority, guid).read_attestation(authority.anchor(), now);
    certificate.map_err(|error| unknown(guid, error))
}

fn unknown(guid: CardId, error: GatewayError) -> CardCertificatesError {
    use CardCertificatesError as E;
    match error {
        GatewayError::Unknown { guid } => E::Unknown { guid },
        GatewayError::File { guid, source } => E::Unreadable {
            guid,
            source: source.into(),
        },
        GatewayError::Certificate { path, source } => E::Unreadable {
            guid,
            source: AuthorityError::Certificate { path, source },
        },
        GatewayError::Refused { guid, source } => E::Refused { guid, source },
        GatewayError::Foreign { guid, .. } => E::Foreign { guid },
        GatewayError::Attestation { guid } => E::Attestation { guid },
    }
}

fn card_folder(authority: &Authority, guid: CardId) -> CardFolder {
    CardFolder::of_card(&authority.home().join("cards"), guid)
}
