//! Personalising a card: keys made on the card or for it, a GUID that nobody else has, certificates for them.
//!
//! GUID and certificates are in the books before the card gets them, and what became of the card is there afterwards. So
//! whenever the work is cut off, the next look at the same place settles it: the card is complete, or blank, or scrap, and
//! nothing is ever in doubt. Certificates that no good card carries are revoked.

use std::time::{Duration, Instant};

use card::personalization::{CardPoints, ImportedKeys, KeyOrigin, PersonalizationError};
use card::session::{CardIdentity, CardSession, Certificates};
use card::{CardError, CardKey, LifeCycle, Point, Transport};
use counterparty::random;
use getrandom::SysRng;
use messages::certificate::{
    Certificate, CertificateError, Role, Subject, Triple, TrustAnchor, VerifiedParty,
};
use messages::keys::{PointError, PublicPoint};
use model::{CardId, KeySlot, Timestamp};
use rand_core::UnwrapErr;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::authority::{Authority, AuthorityError};
use crate::books::{Act, Books, BooksError, Entry, GuidPrefix, Issued, Outcome, Station};

/// What the books call the key with which a card attests.
pub(crate) const ATTESTATION: &str = "attestation";

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
    /// The card has been given up before.
    #[error("the card {guid} is scrap, and its certificates are revoked; take a blank one")]
    Scrap {
        /// The card's GUID.
        guid: CardId,
    },
    /// A step failed after the card had been found blank.
    #[error("the card was not personalised")]
    Personalization(#[from] PersonalizationError<E, BooksError>),
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
}

/// The reason why the trust centre does not know a card.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CardCertificatesError {
    /// There is no such card.
    #[error("this trust centre has no certificates of the card {guid} that hold; check the GUID")]
    Unknown {
        /// The GUID.
        guid: CardId,
    },
    /// The books cannot be read.
    #[error("the certificates of the card {guid} cannot be read")]
    Unreadable {
        /// The GUID.
        guid: CardId,
        /// Why not.
        #[source]
        source: BooksError,
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
}

/// Where the GUID of a card comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GuidSource {
    /// The prefix, and 64 random bits.
    Prefix(GuidPrefix),
    /// The card's SIG key: 96 bits of its digest behind the prefix that the IETF has set apart for such identifiers.
    ///
    /// Spec: RFC 7343 (ORCHIDv2), section 2; the context is that of this system, the OGA identifier 0.
    CardKey,
}

impl GuidSource {
    /// Draws a GUID for a card with this key.
    pub(crate) fn draw(self, key: &PublicPoint) -> Result<CardId, BooksError> {
        match self {
            Self::Prefix(prefix) => Ok(prefix.guid(*random::bytes()?)?),
            Self::CardKey => {
                let digest = Sha256::new()
                    .chain_update(b"smgw/guid-of-card-key/1")
                    .chain_update(key.as_sec1())
                    .finalize();
                let mut octets = [0x20, 0x01, 0x00, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                octets
                    .iter_mut()
                    .skip(4)
                    .zip(digest)
                    .for_each(|(octet, byte)| *octet = byte);
                Ok(CardId::try_from(std::net::Ipv6Addr::from(octets))?)
            }
        }
    }
}

/// Where the key pairs SIG, ENC and TLS of a card come from; the attestation key is always the card's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// The card makes them, and nobody else ever has them.
    Card,
    /// The trust centre makes them for the card. They are in its memory until the card has them, then wiped, and never
    /// written anywhere; if the work is cut off, the card gets new ones.
    Center,
}

impl KeySource {
    fn origin(self) -> KeyOrigin {
        match self {
            Self::Card => KeyOrigin::Card,
            // The kernel's generator does not fail once it has given keys to the program's start.
            Self::Center => KeyOrigin::Imported(Box::new(ImportedKeys::generate(&mut UnwrapErr(SysRng)))),
        }
    }
}

/// Where cards are personalised, and how.
#[derive(Debug)]
pub(crate) struct Workplace<'a> {
    /// Whose cards they are.
    pub(crate) authority: &'a Authority,
    /// Where it is written down.
    pub(crate) books: &'a Books,
    /// Where the GUIDs come from.
    pub(crate) source: GuidSource,
    /// Where the key pairs come from.
    pub(crate) keys: KeySource,
    /// The place of the card.
    pub(crate) station: Station,
    /// Whether the place has the same card whenever it is looked at, as a file does and a reader does not.
    pub(crate) keeps_its_card: bool,
}

/// A card that is complete.
#[derive(Debug)]
pub(crate) struct Completed {
    /// What the card says of itself.
    pub(crate) guid: CardId,
    /// Its certificates, judged.
    pub(crate) party: VerifiedParty,
    /// Whether it was complete before, by work that was cut off or is done.
    pub(crate) before: bool,
    /// How long that took.
    pub(crate) took: Took,
}

impl Completed {
    const fn before(guid: CardId, party: VerifiedParty) -> Self {
        Self {
            guid,
            party,
            before: true,
            took: Took {
                card: Duration::ZERO,
                center: Duration::ZERO,
            },
        }
    }
}

/// How long a personalisation took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Took {
    /// In the card and on the way to it.
    pub(crate) card: Duration,
    /// In the trust centre: certificates, books, checks.
    pub(crate) center: Duration,
}

/// The way to a card, with a stopwatch.
struct Timed<T> {
    transport: T,
    spent: Duration,
}

impl<T: Transport> Transport for Timed<T> {
    type Error = T::Error;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, T::Error> {
        let begun = Instant::now();
        let answer = self.transport.transmit(command);
        self.spent = self.spent.saturating_add(begun.elapsed());
        answer
    }
}

/// Personalises the card that the transport leads to, or brings to its end what was begun with it.
pub(crate) fn personalize<T: Transport>(
    workplace: &Workplace<'_>,
    transport: T,
    now: Timestamp,
) -> Result<Completed, PersonalizeError<T::Error>> {
    let begun = Instant::now();
    let mut timed = Timed {
        transport,
        spent: Duration::ZERO,
    };
    let completed = personalize_or_settle(workplace, &mut timed, now)?;
    let took = Took {
        card: timed.spent,
        center: begun.elapsed().saturating_sub(timed.spent),
    };
    Ok(Completed { took, ..completed })
}

fn personalize_or_settle<T: Transport>(
    workplace: &Workplace<'_>,
    mut transport: T,
    now: Timestamp,
) -> Result<Completed, PersonalizeError<T::Error>> {
    let mut session = CardSession::open(&mut transport)?;
    let found = session.life_cycle()?;
    let unsettled = workplace.books.unsettled(&workplace.station.place)?;
    match found {
        LifeCycle::Blank => {
            // Only a place that keeps its card shows that this is the one that was begun with.
            let outcome = if workplace.keeps_its_card {
                Outcome::LeftBlank
            } else {
                Outcome::Scrapped
            };
            for guid in unsettled {
                workplace.give_up(guid, outcome, now)?;
            }
            workplace.personalize_blank(transport, now)
        }
        LifeCycle::Personalized => {
            let shown = session.identity()?;
            for guid in unsettled {
                if guid == shown.guid && workplace.is_as_issued(&shown)? {
                    let party = workplace.complete(guid, now)?;
                    return Ok(Completed::before(guid, party));
                }
                workplace.give_up(guid, Outcome::Scrapped, now)?;
            }
            workplace.known(shown.guid, found, now)
        }
        LifeCycle::Bound | LifeCycle::Operational | LifeCycle::Terminated => {
            Err(PersonalizeError::NotBlank { found })
        }
    }
}

impl Workplace<'_> {
    fn personalize_blank<T: Transport>(
        &self,
        transport: T,
        now: Timestamp,
    ) -> Result<Completed, PersonalizeError<T::Error>> {
        let mut given = None;
        let identify = |points: &CardPoints| {
            let (guid, certificates) = self.identify(points, now)?;
            given = Some(guid);
            Ok::<_, BooksError>((guid, certificates))
        };
        let (contact, keys) = (self.authority.contact(), self.keys.origin());
        let done = card::personalization::personalize(transport, &contact, keys, identify);
        let error = match done {
            Ok(identity) => {
                let guid = identity.guid;
                return Ok(Completed {
                    guid,
                    party: self.complete(guid, now)?,
                    before: false,
                    took: Took::default(),
                });
            }
            Err(error) => error,
        };
        if let Some(guid) = given {
            let outcome = match &error {
                PersonalizationError::Completion(_) | PersonalizationError::ReadBack => Outcome::Scrapped,
                PersonalizationError::Card(_)
                | PersonalizationError::NotBlank { .. }
                | PersonalizationError::Certification(_) => Outcome::LeftBlank,
            };
            self.give_up(guid, outcome, now)?;
        }
        Err(error.into())
    }

    /// Gives the card its GUID and its certificates; both are in the books when this returns.
    fn identify(&self, points: &CardPoints, now: Timestamp) -> Result<(CardId, Certificates), BooksError> {
        let refused = |error: CertifyKeyError| BooksError::Issue(Box::new(error));
        let sig = point(&points.sig).map_err(|error| refused(error.into()))?;
        let draw = || self.source.draw(&sig);
        let issue = |guid| {
            let mut issued = Vec::new();
            let certificates = points.certified(|name, key| {
                let certificate = certify_key(self.authority, guid, name, key, now)?;
                let der = certificate.as_der().to_vec();
                let key = match name {
                    CardKey::Slot(slot) => slot.name(),
                    CardKey::Attestation => ATTESTATION,
                };
                issued.push(Issued { certificate, key });
                Ok(der)
            });
            certificates
                .map(|certificates| (certificates, issued))
                .map_err(refused)
        };
        self.books.give_guid(&self.station, now, draw, issue)
    }

    /// Judges the certificates of a completed card, and writes down that it is complete.
    fn complete(&self, guid: CardId, now: Timestamp) -> Result<VerifiedParty, CompleteError> {
        let party = card_of(self.authority, self.books, guid, now)?;
        let personalized = Act::Personalized {
            guid,
            sig: party.sig.certificate().fingerprint(),
            enc: party.enc.certificate().fingerprint(),
            tls: party.tls.certificate().fingerprint(),
        };
        self.books.settle(now, guid, Outcome::Completed, &personalized)?;
        Ok(party)
    }

    fn give_up(&self, guid: CardId, outcome: Outcome, now: Timestamp) -> Result<(), BooksError> {
        let act = match outcome {
            Outcome::LeftBlank => Act::LeftBlank { guid },
            Outcome::Scrapped | Outcome::Completed => Act::Scrapped { guid },
        };
        tracing::warn!(%guid, "{act}");
        self.books.settle(now, guid, outcome, &act)
    }

    /// Returns whether the card carries what the books say was issued for it, and this trust centre's contact.
    fn is_as_issued(&self, shown: &CardIdentity) -> Result<bool, BooksError> {
        let entries = self.books.certificates(&shown.guid.to_string())?;
        let issued = |key: &str| {
            let entry = entries.iter().find(|entry| entry.key == key && !entry.revoked);
            entry.map(|entry| entry.certificate.as_der())
        };
        let Certificates {
            sig,
            enc,
            tls,
            attestation,
        } = &shown.certificates;
        let same = [
            ("sig", sig),
            ("enc", enc),
            ("tls", tls),
            (ATTESTATION, attestation),
        ]
        .into_iter()
        .all(|(key, der)| issued(key) == Some(der));
        Ok(same && shown.contact == self.authority.contact())
    }

    /// Says what is known of a card that is not blank and that nothing was begun with here.
    fn known<E: std::error::Error>(
        &self,
        guid: CardId,
        found: LifeCycle,
        now: Timestamp,
    ) -> Result<Completed, PersonalizeError<E>> {
        match self.books.outcome(guid)? {
            Some(Outcome::Scrapped | Outcome::LeftBlank) => Err(PersonalizeError::Scrap { guid }),
            Some(Outcome::Completed)
                if !self.station.batch.is_empty()
                    && self.books.completed(&self.station.batch)?.contains(&guid) =>
            {
                let party = card_of(self.authority, self.books, guid, now)?;
                Ok(Completed::before(guid, party))
            }
            Some(Outcome::Completed) | None => Err(PersonalizeError::NotBlank { found }),
        }
    }
}

/// The reason why a card that is complete is not in the books as such.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompleteError {
    /// Its certificates do not hold.
    #[error(transparent)]
    Certificates(#[from] CardCertificatesError),
    /// The books cannot be kept.
    #[error(transparent)]
    Books(#[from] BooksError),
}

impl<E: std::error::Error + 'static> From<CompleteError> for PersonalizeError<E> {
    fn from(error: CompleteError) -> Self {
        match error {
            CompleteError::Certificates(error) => Self::ReadBack(error),
            CompleteError::Books(error) => Self::Books(error),
        }
    }
}

/// Certifies one key of the card.
///
/// The attestation key is certified as a SIG key is. That is no danger: it signs the card's own texts
/// alone, and whoever checks it checks that it is not the SIG key.
fn certify_key(
    authority: &Authority,
    guid: CardId,
    name: CardKey,
    key: &Point,
    now: Timestamp,
) -> Result<Certificate, CertifyKeyError> {
    let slot = match name {
        CardKey::Slot(slot) => slot,
        CardKey::Attestation => KeySlot::Sig,
    };
    Ok(authority.certify(&Subject::card(guid), slot, &point(key)?, now)?)
}

fn point(key: &Point) -> Result<PublicPoint, PointError> {
    PublicPoint::from_sec1(&key.to_bytes())
}

/// Returns the certificates of a card of this trust centre, judged by its root: the latest that are not revoked.
pub(crate) fn card_of(
    authority: &Authority,
    books: &Books,
    guid: CardId,
    now: Timestamp,
) -> Result<VerifiedParty, CardCertificatesError> {
    card_judged_by(authority.anchor(), books, guid, now)
}

/// Returns the certificates of a card as [`card_of`] does, judged by a root that may know of later revocations.
pub(crate) fn card_judged_by(
    anchor: &TrustAnchor,
    books: &Books,
    guid: CardId,
    now: Timestamp,
) -> Result<VerifiedParty, CardCertificatesError> {
    let entries = entries_of(books, guid)?;
    party_of(anchor, &entries, guid, now, Revoked::Refused)
}

/// Returns the certificate of the attestation key of a card of this trust centre, judged by its root: the latest that is
/// not revoked. It is of another key than SIG, with which the gateway has anything signed.
pub(crate) fn attestation_of(
    authority: &Authority,
    books: &Books,
    guid: CardId,
    now: Timestamp,
) -> Result<Certificate, CardCertificatesError> {
    attestation_judged_by(authority.anchor(), books, guid, now)
}

/// Returns the certificate of the attestation key as [`attestation_of`] does, judged by a root that may know of later
/// revocations.
pub(crate) fn attestation_judged_by(
    anchor: &TrustAnchor,
    books: &Books,
    guid: CardId,
    now: Timestamp,
) -> Result<Certificate, CardCertificatesError> {
    let entries = entries_of(books, guid)?;
    attestation_in(anchor, &entries, guid, now, Revoked::Refused)
}

/// Returns the certificates of a card that is to be terminated, and that of its attestation key: the latest, revoked or
/// not. That nobody is to trust the card any more is no reason to let it live.
pub(crate) fn condemned(
    authority: &Authority,
    books: &Books,
    guid: CardId,
    now: Timestamp,
) -> Result<(VerifiedParty, Certificate), CardCertificatesError> {
    let entries = entries_of(books, guid)?;
    let anchor = without_revocations(authority.anchor());
    let anchor = anchor.map_err(|source| CardCertificatesError::Refused { guid, source })?;
    let party = party_of(&anchor, &entries, guid, now, Revoked::Accepted)?;
    let attestation = attestation_in(&anchor, &entries, guid, now, Revoked::Accepted)?;
    Ok((party, attestation))
}

/// Returns the same root and issuing authorities, as if nothing were revoked.
fn without_revocations(anchor: &TrustAnchor) -> Result<TrustAnchor, CertificateError> {
    let root = TrustAnchor::new(anchor.certificate().clone())?;
    let mut issuing = anchor.issuing().iter();
    issuing.try_fold(root, |anchor, issuing| anchor.with_issuing(issuing.clone()))
}

/// What a certificate that is revoked is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Revoked {
    /// Nothing.
    Refused,
    /// It still says which key the card has.
    Accepted,
}

fn party_of(
    anchor: &TrustAnchor,
    entries: &[Entry],
    guid: CardId,
    now: Timestamp,
    revoked: Revoked,
) -> Result<VerifiedParty, CardCertificatesError> {
    let latest = |slot: KeySlot| latest(entries, guid, slot.name(), revoked);
    let certificates = Triple {
        sig: latest(KeySlot::Sig)?,
        enc: latest(KeySlot::Enc)?,
        tls: latest(KeySlot::Tls)?,
    };
    anchor
        .verify_party(&certificates, now, Role::Card)
        .map_err(|source| CardCertificatesError::Refused { guid, source })
}

fn attestation_in(
    anchor: &TrustAnchor,
    entries: &[Entry],
    guid: CardId,
    now: Timestamp,
    revoked: Revoked,
) -> Result<Certificate, CardCertificatesError> {
    let certificate = latest(entries, guid, ATTESTATION, revoked)?;
    let verified = anchor
        .verify(&certificate, now, Role::Card, KeySlot::Sig)
        .map_err(|source| CardCertificatesError::Refused { guid, source })?;
    if verified.card_id() != Some(guid) {
        return Err(CardCertificatesError::Unknown { guid });
    }
    // A SIG certificate that is revoked or expired is about the SIG key nevertheless.
    let key = certificate.spki_digest();
    let mut sigs = entries.iter().filter(|entry| entry.key == KeySlot::Sig.name());
    if sigs.any(|sig| sig.certificate.spki_digest() == key) {
        return Err(CardCertificatesError::Attestation { guid });
    }
    Ok(certificate)
}

fn entries_of(books: &Books, guid: CardId) -> Result<Vec<Entry>, CardCertificatesError> {
    let entries = books.certificates(&guid.to_string());
    entries.map_err(|source| CardCertificatesError::Unreadable { guid, source })
}

fn latest(
    entries: &[Entry],
    guid: CardId,
    key: &str,
    revoked: Revoked,
) -> Result<Certificate, CardCertificatesError> {
    let counts = |entry: &&Entry| entry.key == key && (!entry.revoked || revoked == Revoked::Accepted);
    let found = entries.iter().rev().find(counts);
    let found = found.map(|entry| entry.certificate.clone());
    found.ok_or(CardCertificatesError::Unknown { guid })
}
