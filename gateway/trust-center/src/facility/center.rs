//! The trust centre's side: it answers what its facilities ask, in the order in which it may be cut off at any point.
//!
//! The folder `deliveries` holds a sealed message for each delivery that is pending. It is there before the books say so
//! and goes after the books say that it has arrived, so that what is in the folder and not pending can be swept away.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use counterparty::exchange::Identity;
use counterparty::files::{self, Access, FileError};
use getrandom::SysRng;
use messages::certificate::{
    Certificate, CertificateError, PartyName, Role, Subject, TrustAnchor, VerifiedCertificate,
};
use messages::keys::{PointError, PublicPoint};
use messages::software::{SoftwareKey, SoftwareKeyError};
use model::{CardId, KeySlot, Timestamp};

use super::letter::{self, LetterError};
use super::message::{
    Answer, Ask, CardMaterial, CardOutcome, CertificateWords, ContactWords, KeyNumber, KeyWords, Keys,
    MAX_CARDS, MAX_OUTCOMES, Material, Points,
};
use crate::authority::{Authority, AuthorityError};
use crate::books::{
    Act, Books, BooksError, Delivery, DeliveryEnd, DeliveryId, Giving, Issued, Outcome, from_hex,
};
use crate::personalize::{ATTESTATION, GuidSource};

/// How many deliveries to one facility may be pending; one that confirms none of them gets no more.
const MAX_PENDING: usize = 64;

/// The reason why a facility was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CenterError {
    /// The message is not accepted, or the answer cannot be written.
    #[error(transparent)]
    Letter(#[from] LetterError),
    /// The books cannot be kept.
    #[error("the facility is not answered, since the books cannot be kept")]
    Books(#[from] BooksError),
    /// A file cannot be kept.
    #[error("the delivery cannot be kept; free the disk, or restore the folder from its backup")]
    File(#[from] FileError),
    /// The TSM, which signs for the trust centre, cannot sign, or nothing is certified.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The facility is not known, or its certificates are revoked or expired.
    #[error(
        "there is no facility {name} whose certificates hold; certify it with `trust-center certify-facility`"
    )]
    Unknown {
        /// The name.
        name: PartyName,
    },
    /// The facility's certificate does not hold.
    #[error(
        "the facility's certificate does not hold; certify it again with `trust-center certify-facility`"
    )]
    Certificate(#[from] CertificateError),
    /// A key could not be made.
    #[error("a key for a card cannot be made")]
    Key(#[from] SoftwareKeyError),
    /// There is no such delivery.
    #[error("there is no delivery {delivery}; `trust-center facility deliveries` lists what is pending")]
    NoDelivery {
        /// Its name.
        delivery: DeliveryId,
    },
    /// The delivery is not pending any more, or cards have been made of it.
    #[error(
        "delivery {delivery} has arrived at {facility} and cannot be cancelled; revoke its cards (`trust-center revoke --guid GUID`)"
    )]
    Arrived {
        /// Its name.
        delivery: DeliveryId,
        /// Where it has arrived.
        facility: PartyName,
    },
    /// The facility asks for what is not given.
    #[error("the facility {name} is refused: {reason}")]
    Refused {
        /// The facility's name.
        name: PartyName,
        /// Why.
        reason: Refusal,
    },
}

/// Why a facility gets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The delivery has been confirmed.
    #[error("the delivery has arrived, and nothing of it is kept here; ask for another one")]
    Arrived,
    /// The delivery is another facility's, or of nobody.
    #[error("there is no such delivery to this facility")]
    NoDelivery,
    /// Too many or no cards.
    #[error("a delivery is for 1 to {MAX_CARDS} cards")]
    Count,
    /// The delivery was given up.
    #[error("the delivery is cancelled, and its certificates are revoked")]
    Cancelled,
    /// Too many deliveries are pending.
    #[error("{MAX_PENDING} deliveries are pending; confirm some of them first")]
    Pending,
    /// The card's keys cannot be certified.
    #[error("the card's keys cannot be certified; scrap the card")]
    Points,
    /// A card is not of this facility.
    #[error("the card was given to somebody else")]
    Card,
    /// A card had another outcome before.
    #[error("another outcome of the card is in the books, and an outcome never changes")]
    Outcome,
    /// Too many outcomes.
    #[error("at most {MAX_OUTCOMES} outcomes are reported at once")]
    Outcomes,
}

/// The trust centre, as its facilities meet it.
#[derive(Debug)]
pub(crate) struct Center {
    /// The authority.
    pub(crate) authority: Authority,
    /// Its books.
    pub(crate) books: Books,
    /// Where the GUIDs come from.
    pub(crate) source: GuidSource,
}

impl Center {
    /// Answers a letter of a facility with another one.
    pub(crate) fn answer(&self, letter: &[u8], now: Timestamp) -> Result<Vec<u8>, CenterError> {
        let anchor = self.anchor()?;
        let (sender, ask) = letter::read(letter, self.identity()?, &anchor, Role::Facility, now)?;
        let facility = sender.name();
        let answer = match self.act(facility, &ask, now) {
            Ok(Some(sealed)) => return Ok(sealed),
            Ok(None) => Answer::Done { to: ask },
            Err(CenterError::Refused { name, reason }) => {
                tracing::warn!(facility = %name, "{reason}");
                match (reason, ask.delivery()) {
                    (Refusal::Cancelled, Some(delivery)) => Answer::Cancelled { delivery },
                    (reason, _) => Answer::Refusal {
                        reason: reason.to_string(),
                    },
                }
            }
            Err(error) => return Err(error),
        };
        let recipient = self.facility(&anchor, facility, now)?;
        Ok(letter::write(&answer, self.identity()?, &recipient, now)?)
    }

    /// Prepares a delivery that nobody has asked for, with keys made here; returns the letter.
    pub(crate) fn export(
        &self,
        facility: &PartyName,
        delivery: DeliveryId,
        cards: usize,
        now: Timestamp,
    ) -> Result<Vec<u8>, CenterError> {
        self.order(facility, delivery, &Keys::Center(cards), now)
    }

    /// Removes what is not pending any more, or never came to be.
    pub(crate) fn sweep(&self) -> Result<(), CenterError> {
        let _lock = self.lock()?;
        let folder = self.folder();
        let entries = std::fs::read_dir(&folder).map_err(FileError::at(&folder))?;
        for entry in entries {
            let path = entry.map_err(FileError::at(&folder))?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let delivery = name.strip_suffix(".cms").and_then(|name| name.parse().ok());
            let is_pending = match delivery {
                Some(delivery) => self
                    .books
                    .delivery(delivery)?
                    .is_some_and(|found| found.end.is_none()),
                None => name == "lock",
            };
            if !is_pending {
                wipe(&path)?;
            }
        }
        Ok(())
    }

    /// Returns the root with what is revoked by now, since this may run for long.
    pub(crate) fn anchor(&self) -> Result<TrustAnchor, CenterError> {
        Ok(self.authority.anchor_now(&self.books)?)
    }

    /// Returns who signs for the trust centre.
    pub(crate) fn identity(&self) -> Result<Identity<'_>, CenterError> {
        Ok(self.authority.tsm()?)
    }

    fn act(&self, facility: &PartyName, ask: &Ask, now: Timestamp) -> Result<Option<Vec<u8>>, CenterError> {
        match ask {
            Ask::Order { delivery, cards } => self.order(facility, *delivery, cards, now).map(Some),
            Ask::Resume { delivery } => self.resume(facility, *delivery, now).map(Some),
            Ask::Confirm { delivery } => self.confirm(facility, *delivery, now).map(|()| None),
            Ask::Report { outcomes } => self.settle(facility, outcomes, now).map(|()| None),
        }
    }

    fn order(
        &self,
        facility: &PartyName,
        delivery: DeliveryId,
        cards: &Keys,
        now: Timestamp,
    ) -> Result<Vec<u8>, CenterError> {
        let _lock = self.lock()?;
        match self.books.delivery(delivery)? {
            Some(found) => self.give_again(facility, &found, delivery),
            None if self.books.open_deliveries(facility)?.len() >= MAX_PENDING => {
                Err(refused(facility, Refusal::Pending))
            }
            None => self.give(facility, delivery, cards, now),
        }
    }

    /// Gives a pending delivery again. One that never came to be is burned: an order that is still on its way comes too
    /// late.
    fn resume(
        &self,
        facility: &PartyName,
        delivery: DeliveryId,
        now: Timestamp,
    ) -> Result<Vec<u8>, CenterError> {
        let _lock = self.lock()?;
        match self.books.delivery(delivery)? {
            Some(found) => self.give_again(facility, &found, delivery),
            None => {
                self.books.burn_delivery(now, delivery, facility)?;
                Err(refused(facility, Refusal::NoDelivery))
            }
        }
    }

    fn give_again(
        &self,
        facility: &PartyName,
        found: &Delivery,
        delivery: DeliveryId,
    ) -> Result<Vec<u8>, CenterError> {
        if found.facility != *facility {
            return Err(refused(facility, Refusal::NoDelivery));
        }
        match found.end {
            Some(DeliveryEnd::Confirmed) => Err(refused(facility, Refusal::Arrived)),
            Some(DeliveryEnd::Cancelled) => Err(refused(facility, Refusal::Cancelled)),
            None => Ok(files::read(
                &self.path(delivery),
                messages::envelope::MAX_MESSAGE,
            )?),
        }
    }

    fn give(
        &self,
        facility: &PartyName,
        delivery: DeliveryId,
        cards: &Keys,
        now: Timestamp,
    ) -> Result<Vec<u8>, CenterError> {
        let keys = match cards {
            Keys::Center(count) if (1..=MAX_CARDS).contains(count) => {
                let made = (0..*count).map(|_| CardKeys::make());
                made.collect::<Result<Vec<_>, _>>()?
            }
            Keys::Center(_) => return Err(refused(facility, Refusal::Count)),
            Keys::Card(points) => {
                let shown = CardKeys::shown(points).map_err(|_| refused(facility, Refusal::Points))?;
                vec![shown]
            }
        };
        let recipient = self.facility(&self.anchor()?, facility, now)?;
        let identity = self.identity()?;
        let path = self.path(delivery);
        let mut sealed = Vec::new();
        let giving = Giving {
            delivery,
            facility,
            cards: keys.len(),
            draw: &mut |number| {
                let key = keys.get(number).ok_or(BooksError::Broken)?;
                self.source.draw(&key.sig)
            },
            issue: &mut |number, guid| {
                let key = keys.get(number).ok_or(BooksError::Broken)?;
                let issued = key.certify(&self.authority, guid, now);
                issued.map_err(|error| BooksError::Issue(Box::new(error)))
            },
        };
        self.books.give_material(now, giving, |cards| {
            let material = Answer::Material(Material {
                delivery,
                facility: facility.clone(),
                cards: cards.into_iter().map(|(_, card)| card).collect(),
            });
            sealed = letter::write(&material, identity, &recipient, now)
                .map_err(|error| BooksError::Issue(Box::new(error)))?;
            Ok(files::replace(&path, &sealed, Access::Private)?)
        })?;
        Ok(sealed)
    }

    fn confirm(&self, facility: &PartyName, delivery: DeliveryId, now: Timestamp) -> Result<(), CenterError> {
        let _lock = self.lock()?;
        let found = self.books.delivery(delivery)?;
        let found = found.filter(|found| found.facility == *facility);
        let found = found.ok_or_else(|| refused(facility, Refusal::NoDelivery))?;
        match found.end {
            None => self.books.confirm_material(now, delivery)?,
            Some(DeliveryEnd::Confirmed) => {}
            Some(DeliveryEnd::Cancelled) => return Err(refused(facility, Refusal::Cancelled)),
        }
        wipe(&self.path(delivery))?;
        Ok(())
    }

    /// Gives a pending delivery up, which its facility has lost or will not take; returns for whom it was, and the GUIDs of
    /// its cards. Nobody gets it any more, and whatever card may have been made of it nevertheless is nobody's.
    pub(crate) fn cancel(
        &self,
        delivery: DeliveryId,
        now: Timestamp,
    ) -> Result<(PartyName, Vec<CardId>), CenterError> {
        let _lock = self.lock()?;
        let found = self.books.delivery(delivery)?;
        let Delivery { facility, end, .. } = found.ok_or(CenterError::NoDelivery { delivery })?;
        let guids = match end {
            None => self.books.cancel_material(now, delivery)?,
            // Done before, and perhaps cut off before its end.
            Some(DeliveryEnd::Cancelled) => Some(self.books.guids_of(delivery)?),
            Some(DeliveryEnd::Confirmed) => None,
        };
        let arrived = || CenterError::Arrived {
            delivery,
            facility: facility.clone(),
        };
        let guids = guids.ok_or_else(arrived)?;
        wipe(&self.path(delivery))?;
        Ok((facility, guids))
    }

    fn settle(
        &self,
        facility: &PartyName,
        outcomes: &[CardOutcome],
        now: Timestamp,
    ) -> Result<(), CenterError> {
        if outcomes.len() > MAX_OUTCOMES {
            return Err(refused(facility, Refusal::Outcomes));
        }
        for CardOutcome { guid, outcome } in outcomes {
            if self.books.station_of(*guid)? != Some(station(facility)) {
                return Err(refused(facility, Refusal::Card));
            }
            match self.books.outcome(*guid)? {
                Some(found) if found == *outcome => continue,
                // The delivery was given up before it was known that it had arrived; the facility hears that when it
                // confirms it.
                Some(_) if self.is_cancelled(*guid)? => {
                    tracing::warn!(%guid, %facility, ?outcome, "reported of a delivery that is cancelled");
                    continue;
                }
                Some(_) => return Err(refused(facility, Refusal::Outcome)),
                None => {}
            }
            let act = match outcome {
                Outcome::LeftBlank => Act::LeftBlank { guid: *guid },
                Outcome::Scrapped => Act::Scrapped { guid: *guid },
                Outcome::Completed => {
                    // Revoked or not by now: the card carries them.
                    let entries = self.books.certificates(&guid.to_string())?;
                    let fingerprint = |key: &str| {
                        let entry = entries.iter().find(|entry| entry.key == key);
                        let entry = entry.ok_or(BooksError::Index {
                            table: "certificates",
                        })?;
                        Ok::<_, BooksError>(entry.certificate.fingerprint())
                    };
                    Act::Personalized {
                        guid: *guid,
                        sig: fingerprint("sig")?,
                        enc: fingerprint("enc")?,
                        tls: fingerprint("tls")?,
                    }
                }
            };
            self.books.settle(now, *guid, *outcome, &act)?;
        }
        Ok(())
    }

    fn is_cancelled(&self, guid: CardId) -> Result<bool, CenterError> {
        let delivery = self.books.delivery_with(guid)?;
        Ok(delivery.is_some_and(|delivery| delivery.end == Some(DeliveryEnd::Cancelled)))
    }

    /// Returns the ENC certificate of the facility of this name: the latest that holds.
    fn facility(
        &self,
        anchor: &TrustAnchor,
        name: &PartyName,
        now: Timestamp,
    ) -> Result<VerifiedCertificate, CenterError> {
        let entries = self.books.certificates(name.as_str())?;
        let mut of_facility = entries.iter().rev().filter(|entry| {
            entry.key == KeySlot::Enc.name()
                && entry
                    .certificate
                    .subject()
                    .is_ok_and(|subject| subject.role() == Role::Facility)
        });
        let latest = of_facility
            .next()
            .ok_or_else(|| CenterError::Unknown { name: name.clone() })?;
        Ok(letter::recipient(
            anchor,
            &latest.certificate,
            Role::Facility,
            now,
        )?)
    }

    fn folder(&self) -> PathBuf {
        self.authority.home().join("deliveries")
    }

    fn path(&self, delivery: DeliveryId) -> PathBuf {
        self.folder().join(format!("{delivery}.cms"))
    }

    /// Keeps others from sweeping while a delivery comes to be, and from giving while it goes.
    fn lock(&self) -> Result<File, CenterError> {
        let folder = self.folder();
        files::make_folder(&folder)?;
        let path = folder.join("lock");
        let file = File::create(&path).map_err(FileError::at(&path))?;
        file.lock().map_err(FileError::at(&path))?;
        Ok(file)
    }
}

/// Returns what the books call the place of the cards of a facility.
pub(crate) fn station(facility: &PartyName) -> String {
    format!("facility {facility}")
}

fn refused(name: &PartyName, reason: Refusal) -> CenterError {
    let name = name.clone();
    CenterError::Refused { name, reason }
}

/// Overwrites a file and removes it, if it is there. What the disk itself keeps of it elsewhere is sealed.
pub(super) fn wipe(path: &Path) -> Result<(), FileError> {
    let overwrite = || {
        let mut file = File::options().write(true).open(path)?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
        file.write_all(&vec![0; length])?;
        file.sync_all()?;
        std::fs::remove_file(path)
    };
    match overwrite() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => {
            done.map_err(FileError::at(path))?;
            files::sync_folder_of(path)
        }
    }
}

/// The keys of one card, until its material is sealed.
struct CardKeys {
    sig: PublicPoint,
    enc: PublicPoint,
    tls: PublicPoint,
    attestation: PublicPoint,
    /// The private ones, if they are made here.
    private: Option<KeyWords>,
}

impl CardKeys {
    fn make() -> Result<Self, SoftwareKeyError> {
        let [sig, enc, tls, attestation] = [
            SoftwareKey::generate(&mut SysRng)?,
            SoftwareKey::generate(&mut SysRng)?,
            SoftwareKey::generate(&mut SysRng)?,
            SoftwareKey::generate(&mut SysRng)?,
        ];
        let private = KeyWords {
            sig: KeyNumber::of(&sig),
            enc: KeyNumber::of(&enc),
            tls: KeyNumber::of(&tls),
            attestation: KeyNumber::of(&attestation),
        };
        Ok(Self {
            sig: *sig.public_point(),
            enc: *enc.public_point(),
            tls: *tls.public_point(),
            attestation: *attestation.public_point(),
            private: Some(private),
        })
    }

    fn shown(points: &Points) -> Result<Self, PointError> {
        let point = |digits: &str| PublicPoint::from_sec1(&from_hex(digits).unwrap_or_default());
        Ok(Self {
            sig: point(&points.sig)?,
            enc: point(&points.enc)?,
            tls: point(&points.tls)?,
            attestation: point(&points.attestation)?,
            private: None,
        })
    }

    fn certify(
        &self,
        authority: &Authority,
        guid: CardId,
        now: Timestamp,
    ) -> Result<(CardMaterial, Vec<Issued>), AuthorityError> {
        let subject = Subject::card(guid);
        let mut issued = Vec::new();
        let mut certify =
            |key: &'static str, slot, point: &PublicPoint| -> Result<Certificate, AuthorityError> {
                let certificate = authority.certify(&subject, slot, point, now)?;
                issued.push(Issued {
                    certificate: certificate.clone(),
                    key,
                });
                Ok(certificate)
            };
        let certificates = CertificateWords {
            sig: certify("sig", KeySlot::Sig, &self.sig)?,
            enc: certify("enc", KeySlot::Enc, &self.enc)?,
            tls: certify("tls", KeySlot::Tls, &self.tls)?,
            attestation: certify(ATTESTATION, KeySlot::Sig, &self.attestation)?,
        };
        let anchor = authority.anchor();
        let material = CardMaterial {
            guid,
            contact: ContactWords::new(
                anchor.name(),
                anchor.certificate(),
                anchor.issuing_of(&certificates.sig),
            ),
            certificates,
            keys: self.private.clone(),
        };
        Ok((material, issued))
    }
}
