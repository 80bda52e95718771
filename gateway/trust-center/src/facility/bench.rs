//! The place where the facility makes cards: each of the material of one GUID, which is used once.
//!
//! That a card is begun with a GUID is in the books before the card gets anything of it, and what became of the card is
//! there afterwards, as in the trust centre itself: whenever the work is cut off, the next look at the same place settles
//! it.

use card::personalization::{CardPoints, ImportedKeys, KeyOrigin, PersonalizationError};
use card::session::{CardIdentity, CardSession, Certificates};
use card::{LifeCycle, Transport};
use messages::certificate::{CertificateError, VerifiedParty};
use model::{CardId, Timestamp};

use super::errand::{Errand, ErrandError};
use super::home::Facility;
use super::message::{CardMaterial, Keys, Points};
use super::stock::StockError;
use crate::books::{Act, BooksError, DeliveryId, Outcome, Station, hex};
use crate::personalize::PersonalizeError;

/// The reason why the facility has made no card.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError<E: std::error::Error + 'static> {
    /// The card fails, or is not blank.
    #[error(transparent)]
    Card(#[from] PersonalizeError<E>),
    /// The trust centre gives nothing.
    #[error("there is no material for the card")]
    Errand(#[from] ErrandError),
    /// The material cannot be used.
    #[error("the material of the card cannot be used")]
    Stock(#[from] StockError),
    /// The card gave back something else than was written.
    #[error("the completed card holds other data than were written; it is scrap")]
    ReadBack,
    /// The certificates of the material do not hold.
    #[error("the certificates of the material do not hold; check the clock, and order other material")]
    Certificates(#[from] CertificateError),
    /// The books cannot be kept.
    #[error("the card is not made, since the facility's books cannot be kept")]
    Books(#[from] BooksError),
}

/// A card that is complete.
#[derive(Debug)]
pub(crate) struct Made {
    /// Its GUID.
    pub(crate) guid: CardId,
    /// Its certificates, judged.
    pub(crate) party: VerifiedParty,
}

/// Where the facility makes a card.
pub(crate) struct Bench<'a> {
    /// The facility.
    pub(crate) facility: &'a Facility,
    /// The place, as the books call it.
    pub(crate) station: Station,
    /// Whether the place has the same card whenever it is looked at, as a file does and a reader does not.
    pub(crate) keeps_its_card: bool,
}

impl Bench<'_> {
    /// Settles what was begun here before; returns the card if it is complete.
    pub(crate) fn look<T: Transport>(
        &self,
        transport: &mut T,
        now: Timestamp,
    ) -> Result<Option<Made>, BenchError<T::Error>> {
        let books = self.facility.books();
        let begun = books.begun_at(&self.station.place)?;
        let mut session = CardSession::open(transport).map_err(PersonalizeError::Card)?;
        let found = session.life_cycle().map_err(PersonalizeError::Card)?;
        match found {
            LifeCycle::Blank => {
                let outcome = if self.keeps_its_card {
                    Outcome::LeftBlank
                } else {
                    Outcome::Scrapped
                };
                for guid in begun {
                    self.give_up(guid, outcome, now)?;
                }
                Ok(None)
            }
            LifeCycle::Personalized => {
                let shown = session.identity().map_err(PersonalizeError::Card)?;
                let mut completed = None;
                for guid in begun {
                    let material = self.facility.take(guid, now)?;
                    if shown == identity(&material) {
                        completed = Some(self.complete(&material, now)?);
                    } else {
                        self.give_up(guid, Outcome::Scrapped, now)?;
                    }
                }
                match (completed, books.outcome(shown.guid)?) {
                    (Some(completed), _) => Ok(Some(completed)),
                    (None, Some(Outcome::Scrapped | Outcome::LeftBlank)) => {
                        let guid = shown.guid;
                        Err(PersonalizeError::Scrap { guid }.into())
                    }
                    (None, _) => Err(PersonalizeError::NotBlank { found }.into()),
                }
            }
            LifeCycle::Bound | LifeCycle::Operational | LifeCycle::Terminated => {
                Err(PersonalizeError::NotBlank { found }.into())
            }
        }
    }

    /// Makes a blank card whose keys it makes itself; the trust centre certifies them on the way.
    pub(crate) fn with_own_keys<T: Transport>(
        &self,
        transport: T,
        delivery: DeliveryId,
        errand: &mut Errand<'_>,
        runtime: &tokio::runtime::Runtime,
        now: Timestamp,
    ) -> Result<Made, BenchError<T::Error>> {
        let mut given = None;
        let contact = self.facility.contact();
        let identify = |points: &CardPoints| {
            let shown = *points;
            let points = Points {
                sig: hex(&points.sig.to_bytes()),
                enc: hex(&points.enc.to_bytes()),
                tls: hex(&points.tls.to_bytes()),
                attestation: hex(&points.attestation.to_bytes()),
            };
            let guids = runtime.block_on(errand.order(delivery, Keys::Card(Box::new(points))))?;
            let [guid] = guids.as_slice() else {
                return Err(ErrandError::OtherMaterial);
            };
            let material = self.facility.take(*guid, now)?;
            if !is_for(&material, &shown) || self.facility.judge(&material, now).is_err() {
                return Err(ErrandError::OtherMaterial);
            }
            self.facility.books().begin_card(now, *guid, &self.station)?;
            let identity = (*guid, certificates(&material));
            let is_contact = material.contact.to_contact() == contact;
            given = Some(material);
            if is_contact {
                Ok(identity)
            } else {
                Err(ErrandError::OtherContact)
            }
        };
        let done = card::personalization::personalize(transport, &contact, KeyOrigin::Card, identify);
        self.finish(done, given.as_ref(), now)
    }

    /// Makes a blank card of the next material in the stock, whose keys the trust centre has made. They are open in memory
    /// until the card has them, and wiped then.
    pub(crate) fn with_keys_from_stock<T: Transport>(
        &self,
        transport: T,
        now: Timestamp,
    ) -> Result<Made, BenchError<T::Error>> {
        let mut material = self.facility.next(now)?;
        let keys = material.keys.take().ok_or(StockError::Empty)?;
        let imported = ImportedKeys::complete(|key| keys.number(key)).map_err(StockError::Key)?;
        drop(keys);
        // Before the card gets anything of it: from here on no other card does, whatever happens.
        self.facility
            .books()
            .begin_card(now, material.guid, &self.station)?;
        let origin = KeyOrigin::Imported(Box::new(imported));
        let identify = |points: &CardPoints| {
            if is_for(&material, points) {
                Ok((material.guid, certificates(&material)))
            } else {
                Err(StockError::OtherKeys)
            }
        };
        let contact = material.contact.to_contact();
        let done = card::personalization::personalize(transport, &contact, origin, identify);
        self.finish(done, Some(&material), now)
    }

    /// Writes down what became of the card that was to be made of this material.
    fn finish<E, C>(
        &self,
        done: Result<CardIdentity, PersonalizationError<E, C>>,
        given: Option<&CardMaterial>,
        now: Timestamp,
    ) -> Result<Made, BenchError<E>>
    where
        E: std::error::Error,
        C: std::error::Error + Into<BenchError<E>>,
    {
        let error = match (done, given) {
            (Ok(_), Some(material)) => return self.complete(material, now),
            // No card is complete without material.
            (Ok(_), None) => return Err(BenchError::ReadBack),
            (Err(error), _) => error,
        };
        if let Some(&CardMaterial { guid, .. }) = given {
            let outcome = match &error {
                PersonalizationError::Completion(_) | PersonalizationError::ReadBack => Outcome::Scrapped,
                PersonalizationError::Card(_)
                | PersonalizationError::NotBlank { .. }
                | PersonalizationError::Certification(_) => Outcome::LeftBlank,
            };
            self.give_up(guid, outcome, now)?;
        }
        Err(match error {
            PersonalizationError::Certification(error) => error.into(),
            PersonalizationError::Card(error) | PersonalizationError::Completion(error) => {
                PersonalizeError::Card(error).into()
            }
            PersonalizationError::NotBlank { found } => PersonalizeError::NotBlank { found }.into(),
            PersonalizationError::ReadBack => BenchError::ReadBack,
        })
    }

    /// Writes down that a card is complete, whose certificates are judged once more, and throws its material away.
    fn complete<E: std::error::Error>(
        &self,
        material: &CardMaterial,
        now: Timestamp,
    ) -> Result<Made, BenchError<E>> {
        let party = self.facility.judge(material, now)?;
        let guid = material.guid;
        let act = Act::Personalized {
            guid,
            sig: material.certificates.sig.fingerprint(),
            enc: material.certificates.enc.fingerprint(),
            tls: material.certificates.tls.fingerprint(),
        };
        self.settle(guid, Outcome::Completed, &act, now)?;
        Ok(Made { guid, party })
    }

    /// Writes down that a card came to nothing, and throws its material away: a card may have had it.
    fn give_up(&self, guid: CardId, outcome: Outcome, now: Timestamp) -> Result<(), SettleError> {
        let act = match outcome {
            Outcome::LeftBlank => Act::LeftBlank { guid },
            Outcome::Scrapped | Outcome::Completed => Act::Scrapped { guid },
        };
        self.settle(guid, outcome, &act, now)
    }

    fn settle(&self, guid: CardId, outcome: Outcome, act: &Act, now: Timestamp) -> Result<(), SettleError> {
        tracing::info!(%guid, "{act}");
        self.facility.books().settle(now, guid, outcome, act)?;
        Ok(self.facility.throw_away(guid)?)
    }
}

/// The reason why an outcome was not written down.
#[derive(Debug, thiserror::Error)]
enum SettleError {
    #[error(transparent)]
    Books(#[from] BooksError),
    #[error(transparent)]
    Stock(#[from] StockError),
}

impl<E: std::error::Error> From<SettleError> for BenchError<E> {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Books(error) => Self::Books(error),
            SettleError::Stock(error) => Self::Stock(error),
        }
    }
}

/// Returns what a card that is made of the material says of itself.
fn identity(material: &CardMaterial) -> CardIdentity {
    CardIdentity {
        guid: material.guid,
        certificates: certificates(material),
        contact: material.contact.to_contact(),
    }
}

/// Returns whether the certificates of the material are for these keys.
fn is_for(material: &CardMaterial, points: &CardPoints) -> bool {
    let words = &material.certificates;
    [
        (&words.sig, &points.sig),
        (&words.enc, &points.enc),
        (&words.tls, &points.tls),
        (&words.attestation, &points.attestation),
    ]
    .into_iter()
    .all(|(certificate, point)| *certificate.public_key().as_sec1() == point.to_bytes())
}

fn certificates(material: &CardMaterial) -> Certificates {
    let der = |certificate: &messages::certificate::Certificate| certificate.as_der().to_vec();
    Certificates {
        sig: der(&material.certificates.sig),
        enc: der(&material.certificates.enc),
        tls: der(&material.certificates.tls),
        attestation: der(&material.certificates.attestation),
    }
}
