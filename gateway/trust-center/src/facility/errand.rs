//! What the facility asks of the trust centre, over a connection or in files that somebody carries.
//!
//! A delivery is ordered in the books before it is asked for, its cards are in the stock before the books say that it has
//! arrived, and only then it is confirmed; that it was is in the books, too. So whatever is cut off is done again with the same delivery, by [`Errand::go`].

use messages::certificate::Role;
use model::{CardId, Timestamp};

use super::home::Facility;
use super::letter::{self, LetterError};
use super::message::{Answer, Ask, CardOutcome, Keys, MAX_OUTCOMES, Material};
use super::stock::StockError;
use super::wire::{Wire, WireError};
use crate::books::{Act, BooksError, DeliveryEnd, DeliveryId, Outcome};

/// The reason why the facility has not got what it asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ErrandError {
    /// There is no connection, or it has broken.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A letter cannot be written, or an answer is not accepted.
    #[error(transparent)]
    Letter(#[from] LetterError),
    /// The material cannot be kept.
    #[error(transparent)]
    Stock(#[from] StockError),
    /// The books cannot be kept.
    #[error("the facility's books cannot be kept")]
    Books(#[from] BooksError),
    /// The trust centre refuses.
    #[error("the trust centre refuses: {reason}")]
    Refused {
        /// Why, in its words.
        reason: String,
    },
    /// The trust centre has given the delivery up.
    #[error(
        "the trust centre has cancelled delivery {delivery} and revoked its certificates; order another one, and scrap cards that were made of it"
    )]
    Cancelled {
        /// The delivery's name.
        delivery: DeliveryId,
    },
    /// The answer is to another question.
    #[error("the answer is to another question; give the file that belongs here")]
    OtherQuestion,
    /// The trust centre has another issuing authority by now.
    #[error("the trust centre has another issuing authority by now; have it certify this folder again")]
    OtherContact,
    /// The material is not for this facility or this card, or another trust centre's.
    #[error(
        "the material is for another facility or another card, or by another trust centre; check the clock, too"
    )]
    OtherMaterial,
}

/// An errand to the trust centre, on a connection.
pub(crate) struct Errand<'a> {
    facility: &'a Facility,
    wire: Wire,
    clock: fn() -> Timestamp,
}

impl<'a> Errand<'a> {
    /// Connects to the trust centre.
    pub(crate) async fn begin(
        facility: &'a Facility,
        address: &str,
        clock: fn() -> Timestamp,
    ) -> Result<Self, ErrandError> {
        let wire = Wire::connect(facility.identity(), address).await?;
        Ok(Self {
            facility,
            wire,
            clock,
        })
    }

    /// Ends what was cut off: fetches deliveries that were ordered, confirms those that have arrived, and reports outcomes.
    pub(crate) async fn go(&mut self) -> Result<(), ErrandError> {
        let books = self.facility.books();
        for delivery in books.open_deliveries(self.facility.center().name())? {
            let has_arrived = books.delivery(delivery)?.is_some_and(|found| found.has_arrived);
            let ended = if has_arrived {
                self.confirm(delivery).await
            } else {
                self.fetch(&Ask::Resume { delivery }, delivery).await.map(drop)
            };
            match ended {
                Ok(()) => {}
                // What is to be known of that is in the books, and the operator is told.
                Err(ErrandError::Cancelled { .. }) => {}
                Err(error) if has_arrived => return Err(error),
                Err(ErrandError::Refused { reason }) => {
                    tracing::warn!(%delivery, "the delivery is given up: {reason}");
                    books.receive_material((self.clock)(), delivery, self.facility.center().name(), &[])?;
                    books.confirm_material((self.clock)(), delivery)?;
                }
                Err(error) => return Err(error),
            }
        }
        self.facility.clear((self.clock)())?;
        self.report().await
    }

    /// Orders material and fetches it; returns the GUIDs.
    pub(crate) async fn order(
        &mut self,
        delivery: DeliveryId,
        keys: Keys,
    ) -> Result<Vec<CardId>, ErrandError> {
        let center = self.facility.center().name();
        self.facility
            .books()
            .order_material((self.clock)(), delivery, center)?;
        let cards = keys;
        self.fetch(&Ask::Order { delivery, cards }, delivery).await
    }

    async fn fetch(&mut self, ask: &Ask, delivery: DeliveryId) -> Result<Vec<CardId>, ErrandError> {
        let answer = self.ask(ask).await?;
        let guids = self.facility.accept(&answer, (self.clock)(), Some(delivery))?;
        self.confirm(delivery).await?;
        Ok(guids)
    }

    async fn confirm(&mut self, delivery: DeliveryId) -> Result<(), ErrandError> {
        let ask = Ask::Confirm { delivery };
        let answer = self.ask(&ask).await?;
        self.facility.check_done(&answer, &ask, (self.clock)())?;
        self.facility.note(&ask, (self.clock)())
    }

    /// Reports what became of cards.
    pub(crate) async fn report(&mut self) -> Result<(), ErrandError> {
        while let Some(ask) = self.facility.outcomes()? {
            let answer = self.ask(&ask).await?;
            self.facility.check_done(&answer, &ask, (self.clock)())?;
            self.facility.note(&ask, (self.clock)())?;
        }
        Ok(())
    }

    async fn ask(&mut self, ask: &Ask) -> Result<Vec<u8>, ErrandError> {
        let letter = self.facility.letter(ask, (self.clock)())?;
        Ok(self.wire.ask(&letter).await?)
    }
}

impl Facility {
    /// Writes a letter to the trust centre.
    pub(crate) fn letter(&self, ask: &Ask, now: Timestamp) -> Result<Vec<u8>, ErrandError> {
        Ok(letter::write(ask, self.identity(), self.center(), now)?)
    }

    /// Takes what an answer brings; returns the GUIDs of the material, which is in the stock and in the books.
    pub(crate) fn accept(
        &self,
        answer: &[u8],
        now: Timestamp,
        expected: Option<DeliveryId>,
    ) -> Result<Vec<CardId>, ErrandError> {
        let Answer::Material(material) = self.read(answer, now)? else {
            return Err(ErrandError::OtherQuestion);
        };
        let Material {
            delivery,
            facility,
            cards,
        } = material;
        if expected.is_some_and(|expected| expected != delivery) {
            return Err(ErrandError::OtherQuestion);
        }
        let known = self.books().delivery(delivery)?;
        if known.as_ref().and_then(|known| known.end) == Some(DeliveryEnd::Cancelled) {
            return Err(ErrandError::Cancelled { delivery });
        }
        let root = self.identity().anchor.certificate();
        if facility != self.identity().party.name || cards.iter().any(|card| card.contact.root() != root) {
            return Err(ErrandError::OtherMaterial);
        }
        let guids: Vec<_> = cards.iter().map(|card| card.guid).collect();
        if known.is_some_and(|known| known.has_arrived) {
            // Taken before, and perhaps used up by now.
            return Ok(guids);
        }
        for card in &cards {
            self.keep(card, now)?;
        }
        let center = self.center().name();
        self.books().receive_material(now, delivery, center, &guids)?;
        Ok(guids)
    }

    /// Clears up what an earlier run has left: material of cards that are settled, and certificates for the keys of a card
    /// that never got them.
    pub(crate) fn clear(&self, now: Timestamp) -> Result<(), ErrandError> {
        for delivery in self.books().stock()? {
            // A card that has made its keys is a delivery of its own; others need not be opened.
            if let [guid] = *self.books().unused_of(delivery)? {
                match self.take(guid, now) {
                    Ok(material) if material.keys.is_some() => {}
                    Ok(_) => {
                        self.books()
                            .settle(now, guid, Outcome::LeftBlank, &Act::LeftBlank { guid })?;
                    }
                    Err(error) => {
                        tracing::warn!(%guid, "material is left aside: {}", crate::chain(&error));
                    }
                }
            }
        }
        Ok(self.sweep()?)
    }

    /// Returns the question that reports outcomes, if there are any that the trust centre does not know.
    pub(crate) fn outcomes(&self) -> Result<Option<Ask>, ErrandError> {
        let outcomes = self.books().unreported()?;
        let outcomes: Vec<_> = outcomes
            .into_iter()
            .take(MAX_OUTCOMES)
            .map(|(guid, outcome)| CardOutcome { guid, outcome })
            .collect();
        if outcomes.is_empty() {
            return Ok(None);
        }
        Ok(Some(Ask::Report { outcomes }))
    }

    /// Takes note that the trust centre knows what it was told.
    pub(crate) fn note(&self, ask: &Ask, now: Timestamp) -> Result<(), ErrandError> {
        match ask {
            Ask::Report { outcomes } => {
                let guids: Vec<_> = outcomes.iter().map(|outcome| outcome.guid).collect();
                Ok(self.books().reported(now, &guids)?)
            }
            Ask::Confirm { delivery } => {
                let found = self.books().delivery(*delivery)?;
                if found.is_some_and(|found| found.end.is_none()) {
                    self.books().confirm_material(now, *delivery)?;
                }
                Ok(())
            }
            Ask::Order { .. } | Ask::Resume { .. } => Ok(()),
        }
    }

    fn check_done(&self, answer: &[u8], ask: &Ask, now: Timestamp) -> Result<(), ErrandError> {
        match self.read(answer, now)? {
            Answer::Done { to } if to == *ask => Ok(()),
            Answer::Done { .. } | Answer::Material(_) | Answer::Cancelled { .. } | Answer::Refusal { .. } => {
                Err(ErrandError::OtherQuestion)
            }
        }
    }

    /// Takes note that the trust centre has given a delivery up: what of it is in the stock goes.
    fn forget(&self, delivery: DeliveryId, now: Timestamp) -> Result<(), ErrandError> {
        let books = self.books();
        match books.delivery(delivery)? {
            // Given up by a trust centre that this facility has not asked for it.
            None => return Err(ErrandError::OtherQuestion),
            Some(known) if known.end.is_none() => {
                let unused = books.forget_material(now, delivery)?;
                tracing::warn!(%delivery, unused = unused.len(), "the trust centre has cancelled the delivery");
                for guid in books.guids_of(delivery)? {
                    if !unused.contains(&guid) {
                        tracing::warn!(%guid, "scrap the card that was made of the delivery, or is being made: it is revoked");
                    }
                }
            }
            Some(_) => {}
        }
        Ok(self.sweep()?)
    }

    /// Opens an answer of the trust centre; a refusal is an error, and so is a delivery that was cancelled, of which note is
    /// taken.
    pub(crate) fn read(&self, answer: &[u8], now: Timestamp) -> Result<Answer, ErrandError> {
        let identity = self.identity();
        let (_, answer) = letter::read(answer, identity, identity.anchor, Role::Tsm, now)?;
        match answer {
            Answer::Refusal { reason } => Err(ErrandError::Refused { reason }),
            Answer::Cancelled { delivery } => {
                self.forget(delivery, now)?;
                Err(ErrandError::Cancelled { delivery })
            }
            answer @ (Answer::Material(_) | Answer::Done { .. }) => Ok(answer),
        }
    }
}
