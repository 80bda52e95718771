//! The material that a facility has got and not used up: one file per card, sealed for the facility itself.
//!
//! A file goes as soon as it is known what became of its card.

use std::collections::BTreeSet;
use std::path::PathBuf;

use counterparty::files::{self, Access, FileError};
use messages::certificate::Role;
use model::{CardId, Timestamp};

use super::center::wipe;
use super::home::{Facility, LOCK};
use super::letter::{self, LetterError};
use super::message::CardMaterial;
use crate::books::BooksError;

/// The greatest size of one card's material in bytes: four keys, six certificates, and CMS around them.
const MAX_MATERIAL: usize = 64 * 1_024;

/// The reason why material cannot be kept or found again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StockError {
    /// The file cannot be read or written.
    #[error("the material of a card cannot be kept; free the disk")]
    File(#[from] FileError),
    /// The books cannot be read.
    #[error("the facility's books cannot be read")]
    Books(#[from] BooksError),
    /// The file cannot be sealed or opened.
    #[error("the material of a card cannot be used")]
    Letter(#[from] LetterError),
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

    /// Throws away what does not belong to a card that is still to be made: its end was cut off.
    pub(super) fn sweep(&self) -> Result<(), StockError> {
        let mut wanted = Vec::new();
        for delivery in self.books().stock()? {
            wanted.extend(self.books().guids_of(delivery)?);
        }
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
