//! The material that a facility has got and not used up: one file per card, sealed for the facility itself.
//!
//! A file goes as soon as it is known what became of its card.

use std::collections::BTreeSet;
use std::path::PathBuf;

use card::personalization::ImportedKeyError;
use counterparty::files::{self, Access, FileError};
use messages::certificate::{Certificate, CertificateError, Role, Triple, VerifiedParty};
use model::{CardId, KeySlot, Timestamp};

use super::center::wipe;
use super::home::{Facility, LOCK};
use super::letter::{self, LetterError};
use super::message::{CardMaterial, CertificateWords};
use crate::books::{Act, BooksError, Outcome};

/// The greatest size of one card's material in bytes: four keys, six certificates, and CMS around them.
const MAX_MATERIAL: usize = 64 * 1_024;

/// The reason why material cannot be kept or found again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StockError {
    /// The file cannot be read or written.
    #[error(
        "the material of a card cannot be kept or read; free the disk, or restore the file from its backup"
    )]
    File(#[from] FileError),
    /// The books cannot be read.
    #[error("the facility's books cannot be read")]
    Books(#[from] BooksError),
    /// The file cannot be sealed or opened.
    #[error("the material of a card cannot be used")]
    Letter(#[from] LetterError),
    /// The certificates do not hold.
    #[error("the certificates of the material do not hold; check the clock, and order other material")]
    Certificates(#[from] CertificateError),
    /// A private key is none.
    #[error("the keys of the material cannot be used; order other material")]
    Key(#[from] ImportedKeyError),
    /// The certificates are for other keys.
    #[error("the certificates of the material are for other keys; order other material")]
    OtherKeys,
    /// No material of this GUID waits.
    #[error(
        "no material of {guid} waits for a card here; what became of a card is settled by `personalize` where it was begun"
    )]
    Used {
        /// The GUID.
        guid: CardId,
    },
    /// There is none.
    #[error(
        "there is no material of which a card could be made; get some with `trust-center facility order` or `import`"
    )]
    Empty,
}

impl Facility {
    fn material(&self, guid: CardId) -> PathBuf {
        self.stock()
            .join(format!("{}.cms", guid.to_string().replace(':', "-")))
    }

    /// Puts the material of a card into the stock.
    pub(super) fn keep(&self, card: &CardMaterial, now: Timestamp) -> Result<(), StockError> {
        let sealed = letter::write(card, self.identity(), &self.identity().party.enc, now)?;
        Ok(files::replace(
            &self.material(card.guid),
            &sealed,
            Access::Private,
        )?)
    }

    /// Takes the material of a card from the stock, where it stays until it is thrown away.
    pub(super) fn take(&self, guid: CardId, now: Timestamp) -> Result<CardMaterial, StockError> {
        let sealed = files::read(&self.material(guid), MAX_MATERIAL)?;
        let identity = self.identity();
        let (_, card) = letter::read(&sealed, identity, identity.anchor, Role::Facility, now)?;
        Ok(card)
    }

    /// Takes, for the next card, what has arrived first of the material with keys and has not been begun with; it stays in
    /// the stock. What cannot be used is left aside.
    pub(super) fn next(&self, now: Timestamp) -> Result<CardMaterial, StockError> {
        let mut useless = None;
        for guid in self.books().unbegun()? {
            let usable = self.take(guid, now).and_then(|material| {
                self.judge(&material, now)?;
                Ok(material)
            });
            match usable {
                Ok(material) if material.keys.is_some() => return Ok(material),
                // What a card's own keys were certified with serves no other card.
                Ok(_) => {}
                Err(error @ StockError::Books(_)) => return Err(error),
                Err(error) => {
                    tracing::warn!(%guid, "material is left aside: {}", crate::chain(&error));
                    useless.get_or_insert(error);
                }
            }
        }
        Err(useless.unwrap_or(StockError::Empty))
    }

    /// Gives the material of a card up with which none has been begun, and throws it away, readable or not.
    pub(super) fn discard(&self, guid: CardId, now: Timestamp) -> Result<(), StockError> {
        if !self.books().unbegun()?.contains(&guid) {
            return Err(StockError::Used { guid });
        }
        let act = Act::LeftBlank { guid };
        self.books().settle(now, guid, Outcome::LeftBlank, &act)?;
        self.throw_away(guid)
    }

    /// Judges the certificates of the material: all four are for its GUID, and for four keys.
    pub(super) fn judge(
        &self,
        material: &CardMaterial,
        now: Timestamp,
    ) -> Result<VerifiedParty, CertificateError> {
        let CertificateWords {
            sig,
            enc,
            tls,
            attestation,
        } = &material.certificates;
        let certificates = Triple {
            sig: sig.clone(),
            enc: enc.clone(),
            tls: tls.clone(),
        };
        let anchor = self.identity().anchor;
        let party = anchor.verify_party(&certificates, now, Role::Card)?;
        let attesting = anchor.verify(attestation, now, Role::Card, KeySlot::Sig)?;
        if [party.card_id, attesting.card_id()] != [Some(material.guid); 2] {
            return Err(CertificateError::DifferentSubjects);
        }
        if [sig, enc, tls]
            .map(Certificate::public_key)
            .contains(&attestation.public_key())
        {
            return Err(CertificateError::RepeatedKey);
        }
        Ok(party)
    }

    /// Throws away what does not belong to a card that is still to be made: its end was cut off.
    pub(super) fn sweep(&self) -> Result<(), StockError> {
        let wanted = self.books().unmade()?;
        let folder = self.stock();
        let mut wanted: BTreeSet<_> = wanted.into_iter().map(|guid| self.material(guid)).collect();
        wanted.insert(folder.join(LOCK));
        let entries = std::fs::read_dir(&folder).map_err(FileError::at(&folder))?;
        for entry in entries {
            let path = entry.map_err(FileError::at(&folder))?.path();
            if !wanted.contains(&path) {
                wipe(&path)?;
            }
        }
        Ok(())
    }

    /// Throws the material of a card away.
    pub(super) fn throw_away(&self, guid: CardId) -> Result<(), StockError> {
        Ok(wipe(&self.material(guid))?)
    }
}
