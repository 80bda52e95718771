//! What registers have counted by the stages of a tariff, and what that costs, in exact decimals.
//!
//! Whoever makes a bill and whoever checks it reckon with the same code: the supplier with readings that it was sent, the
//! gateway for the consumer with those that it has registered. Every figure is the difference of two readings of one
//! register. What cannot be reckoned is refused rather than guessed.

#![warn(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]

mod amount;
mod register;
mod tariff;

use model::{Decimal, Element, Quantity, Reading, Timestamp, Unit};

pub use amount::{product, rounded};
pub use register::{Counted, Part, Register, boundaries};
pub use tariff::{Day, Stage, StageDocument, Tariff, TariffDocument, TariffError, WindowDocument};

/// A reading of a register, with whatever else its owner knows about it.
pub trait Shown: Clone {
    /// Returns when the register showed it.
    fn time(&self) -> Timestamp;
    /// Returns what it showed.
    fn quantity(&self) -> Quantity;
}

impl Shown for Reading {
    fn time(&self) -> Timestamp {
        self.time
    }

    fn quantity(&self) -> Quantity {
        self.quantity
    }
}

/// The reason why a register's consumption cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CountError {
    /// There is not a single reading.
    #[error("there is no reading of the register")]
    Nothing,
    /// Readings are missing.
    #[error("{count} readings of {element} are missing, at {times}")]
    Missing {
        /// The register.
        element: Element,
        /// How many readings.
        count: usize,
        /// When the first of them should be.
        times: String,
    },
    /// The register shows less than before.
    #[error(
        "{element} went back from {before} at {last} to {after} at {at}: the register has overflowed, or the meter was reset \
         or exchanged; reckon the times before and after it apart"
    )]
    WentBack {
        /// The register.
        element: Element,
        /// What it showed.
        before: Box<Quantity>,
        /// When it showed that.
        last: Timestamp,
        /// What it shows.
        after: Box<Quantity>,
        /// When it shows that.
        at: Timestamp,
    },
    /// The register counts in another unit than before.
    #[error("{element} counts in another unit since {at}; reckon the times before and after it apart")]
    Units {
        /// The register.
        element: Element,
        /// Since when.
        at: Timestamp,
    },
    /// The tariff's price is for something else.
    #[error(
        "the price of the stage {stage:?} is for {price}, and {element} counts {unit}; correct the tariff"
    )]
    OtherUnit {
        /// The stage.
        stage: String,
        /// The unit of the price.
        price: String,
        /// The register.
        element: Element,
        /// The unit of the register.
        unit: Unit,
    },
    /// No stage holds.
    #[error("the tariff has no stage for {element} at {at}; add one, or one without windows for the rest")]
    NoStage {
        /// The register.
        element: Element,
        /// When.
        at: Timestamp,
    },
    /// Two stages hold at once.
    #[error("the tariff has the stages {one:?} and {other:?} for {element} at {at}; let one hold at a time")]
    TwoStages {
        /// The register.
        element: Element,
        /// When.
        at: Timestamp,
        /// One stage.
        one: String,
        /// The other stage.
        other: String,
    },
    /// The time is too long.
    #[error("the time is too long; reckon shorter ones")]
    TooLong,
    /// A number is too large.
    #[error("a number has more digits than this program reckons with; check the tariff and the readings")]
    Overflow,
}

impl Stage {
    /// Returns a consumption in the unit of the price, and the amount, rounded to so many places behind the point.
    ///
    /// # Errors
    ///
    /// [`CountError::OtherUnit`] if the price is for something else than the register counts, [`CountError::Overflow`] if a
    /// number is too large.
    pub fn priced(
        &self,
        element: &Element,
        consumption: Quantity,
        places: u8,
    ) -> Result<(Decimal, Decimal), CountError> {
        if consumption.unit != self.base {
            return Err(CountError::OtherUnit {
                stage: self.name.clone(),
                price: self.unit.clone(),
                element: element.clone(),
                unit: consumption.unit,
            });
        }
        let consumption = consumption.value.scaled_by(self.power.saturating_neg());
        let consumption = consumption.ok_or(CountError::Overflow)?;
        let amount = product(consumption, self.price).and_then(|amount| rounded(amount, places));
        Ok((consumption, amount.ok_or(CountError::Overflow)?))
    }
}
