//! Bills by consumption and by stages of a tariff, in exact decimals, with the readings that prove them.
//!
//! Every figure is the difference of two readings of a register; the answers that they came with are named, and are in the
//! store as the gateway's card has signed them. A bill is refused rather than guessed: if a reading at the beginning, the end
//! or a change of stages is missing, if a register has counted back, or if two values contradict each other.

mod tariff;
#[cfg(test)]
mod tests;

use billing::{CountError, Register, Shown};
use jiff::tz::TimeZone;
use model::{CardId, Decimal, Element, ElementPattern, GapReason, Medium, Obis, Quantity, Timestamp};

use crate::store::{MissingRun, Store, StoreError, StoredElement, StoredReading};

pub use billing::{Stage, Tariff, TariffError};
pub use tariff::{TariffFileError, read_tariff, zone};

/// What was counted between two readings of the store.
pub type Part = billing::Part<StoredReading>;

/// How many readings of one register are read at once.
const PAGE: u32 = 10_000;
/// How many readings of one register a bill looks at, at most: a year of minutes.
const MAX_READINGS: usize = 527_041;

/// The reason why there is no bill.
#[derive(Debug, thiserror::Error)]
pub enum BillError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The time is empty.
    #[error("a bill begins before it ends; correct --from and --to")]
    Period,
    /// The time is no time.
    #[error("{text:?} is no time; write a date, or a time as 2026-11-23T12:00:00Z")]
    Time {
        /// What was given.
        text: String,
    },
    /// There is nothing to bill.
    #[error(
        "the store has no register of the gateway that the bill is about; pull it, or correct --elements"
    )]
    Nothing,
    /// A reading is missing.
    #[error(
        "{count} readings of {element} are missing, at {times}; pull them (`supplier pull --fill-gaps`, or with --from and \
         --to), and if the meter was exchanged, bill the times of both apart (--elements METER/OBIS)"
    )]
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
         or exchanged; bill the times before and after it apart"
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
    #[error("{element} counts in another unit since {at}; bill the times before and after it apart")]
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
        unit: model::Unit,
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
    /// Two values contradict each other.
    #[error(
        "the gateway has handed out {other} for {element} at {at} too, beside the value that came first; ask its operator, or \
         bill the first value (--despite-conflicts)"
    )]
    Conflict {
        /// The register.
        element: Element,
        /// When.
        at: Timestamp,
        /// The value that came later.
        other: Quantity,
    },
    /// The time is too long.
    #[error("the bill is about too long a time; bill shorter ones")]
    TooLong,
    /// A number is too large.
    #[error(
        "a number of the bill has more digits than this program reckons with; check the tariff and the readings"
    )]
    Overflow,
}

/// What to bill.
#[derive(Debug, Clone)]
pub struct BillOrder {
    /// The gateway, by its card's GUID.
    pub guid: CardId,
    /// The beginning.
    pub from: Timestamp,
    /// The end.
    pub to: Timestamp,
    /// The registers, by patterns; those of the tariff if there are none, and without a tariff everything that counts.
    pub elements: Vec<ElementPattern>,
    /// The tariff; without one the bill has no amounts.
    pub tariff: Option<Tariff>,
    /// Whether the value that came first counts where two contradict each other.
    pub despite_conflicts: bool,
}

/// A bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    /// The gateway, by its card's GUID.
    pub guid: CardId,
    /// The beginning.
    pub from: Timestamp,
    /// The end.
    pub to: Timestamp,
    /// What was counted, by registers and stages.
    pub lines: Vec<BillLine>,
    /// The sum of the lines' amounts, and its currency.
    pub total: Option<(Decimal, String)>,
    /// Points within the time that have no reading; the register has counted over them.
    pub missing: Vec<MissingRun>,
    /// Values within the time that contradict those that were billed.
    pub conflicts: Vec<Contradiction>,
    /// Registers that have readings before or after the time only, and are not in the bill.
    pub left_out: Vec<Element>,
}

/// A value that contradicts one that was billed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The register.
    pub element: Element,
    /// When.
    pub time: Timestamp,
    /// The value that came later.
    pub quantity: Quantity,
}

/// What one register has counted in one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillLine {
    /// The register.
    pub element: Element,
    /// The stage's name; none without a tariff.
    pub stage: Option<String>,
    /// What was counted.
    pub consumption: Decimal,
    /// In which unit: that of the price, or of the register.
    pub unit: String,
    /// What one unit costs, and the amount, rounded.
    pub price: Option<(Decimal, Decimal)>,
    /// The readings that prove it.
    pub parts: Vec<Part>,
}

/// Makes a bill from what is in the store.
///
/// # Errors
///
/// [`BillError`] names the reading that is missing, or whatever else keeps the bill from being right.
pub async fn bill(store: &Store, order: &BillOrder) -> Result<Bill, BillError> {
    if order.from >= order.to {
        return Err(BillError::Period);
    }
    let mut bill = Bill {
        guid: order.guid,
        from: order.from,
        to: order.to,
        lines: Vec::new(),
        total: None,
        missing: Vec::new(),
        conflicts: Vec::new(),
        left_out: Vec::new(),
    };
    for element in store.elements(Some(order.guid)).await? {
        if element.aggregation.is_value() && order.is_about(&element.element) {
            add_register(store, order, &element, &mut bill).await?;
        }
    }
    if bill.lines.is_empty() {
        return Err(BillError::Nothing);
    }
    if let Some(tariff) = &order.tariff {
        let zero = Decimal::new(0, i8::try_from(tariff.places).unwrap_or(0).saturating_neg());
        let amounts = bill.lines.iter().filter_map(|line| line.price);
        let sum = amounts.fold(zero, |sum, (_, amount)| sum?.checked_add(amount));
        bill.total = Some((sum.ok_or(BillError::Overflow)?, tariff.currency.clone()));
    }
    Ok(bill)
}

async fn add_register(
    store: &Store,
    order: &BillOrder,
    element: &StoredElement,
    bill: &mut Bill,
) -> Result<(), BillError> {
    let period = (order.from, order.to);
    let outside = |(first, last)| last <= order.from || order.to <= first;
    if element.known().is_none_or(outside) {
        bill.left_out.push(element.element.clone());
        return Ok(());
    }
    for conflict in store.conflicts(element.key, period).await? {
        let (time, quantity) = (conflict.time, conflict.quantity);
        if !order.despite_conflicts {
            return Err(BillError::Conflict {
                element: element.element.clone(),
                at: time,
                other: quantity,
            });
        }
        bill.conflicts.push(Contradiction {
            element: element.element.clone(),
            time,
            quantity,
        });
    }
    let readings = readings(store, element, period).await?;
    bill.lines.extend(lines(&element.element, &readings, order)?);
    let missing = store.missing(element).await?;
    let within = |run: &MissingRun| run.first < order.to && run.last > order.from;
    bill.missing.extend(missing.into_iter().filter(within));
    Ok(())
}

async fn readings(
    store: &Store,
    element: &StoredElement,
    (from, to): (Timestamp, Timestamp),
) -> Result<Vec<StoredReading>, BillError> {
    let mut readings: Vec<StoredReading> = Vec::new();
    let mut next = from;
    while readings.len() <= MAX_READINGS {
        let page = store.readings(element.key, next, PAGE).await?;
        let last = page.last().map(|reading| reading.time);
        readings.extend(page.into_iter().filter(|reading| reading.time <= to));
        match last {
            Some(last) if last < to => {
                let second = model::Span::from_seconds(1).ok_or(BillError::Overflow)?;
                next = last.saturating_add(second);
            }
            _ => return Ok(readings),
        }
    }
    Err(BillError::TooLong)
}

/// Makes the lines of one register.
fn lines(
    element: &Element,
    readings: &[StoredReading],
    order: &BillOrder,
) -> Result<Vec<BillLine>, BillError> {
    if readings.is_empty() {
        return Err(BillError::Missing {
            element: element.clone(),
            count: 2,
            times: format!("{}, {}", order.from, order.to),
        });
    }
    let register = Register { element, readings };
    let counted = register.count((order.from, order.to), order.tariff.as_ref())?;
    let lines = counted.into_iter().map(|counted| {
        let whole = counted.whole()?;
        let (consumption, unit, price) = match (counted.stage, &order.tariff) {
            (Some(stage), Some(tariff)) => {
                let (consumption, amount) = stage.priced(element, whole, tariff.places)?;
                (consumption, stage.unit.clone(), Some((stage.price, amount)))
            }
            _ => (whole.value, counted.unit.to_string(), None),
        };
        Ok(BillLine {
            element: element.clone(),
            stage: counted.stage.map(|stage| stage.name.clone()),
            consumption,
            unit,
            price,
            parts: counted.parts,
        })
    });
    lines.collect()
}

impl Shown for StoredReading {
    fn time(&self) -> Timestamp {
        self.time
    }

    fn quantity(&self) -> Quantity {
        self.quantity
    }
}

impl From<CountError> for BillError {
    fn from(error: CountError) -> Self {
        match error {
            CountError::Nothing => Self::Nothing,
            CountError::Missing {
                element,
                count,
                times,
            } => Self::Missing {
                element,
                count,
                times,
            },
            CountError::WentBack {
                element,
                before,
                last,
                after,
                at,
            } => Self::WentBack {
                element,
                before,
                last,
                after,
                at,
            },
            CountError::Units { element, at } => Self::Units { element, at },
            CountError::OtherUnit {
                stage,
                price,
                element,
                unit,
            } => Self::OtherUnit {
                stage,
                price,
                element,
                unit,
            },
            CountError::NoStage { element, at } => Self::NoStage { element, at },
            CountError::TwoStages {
                element,
                at,
                one,
                other,
            } => Self::TwoStages {
                element,
                at,
                one,
                other,
            },
            CountError::TooLong => Self::TooLong,
            CountError::Overflow => Self::Overflow,
        }
    }
}

impl BillOrder {
    /// Returns whether the bill is about a register.
    fn is_about(&self, element: &Element) -> bool {
        let wanted = self.elements.is_empty() || self.elements.iter().any(|pattern| pattern.matches(element));
        let billed = match &self.tariff {
            Some(tariff) => !tariff.stages_of(element).is_empty(),
            None => !self.elements.is_empty() || is_counter(element.obis),
        };
        wanted && billed
    }
}

/// Returns whether a code is that of a register that only counts up.
///
/// Spec: IEC 62056-61:2006, tables 3 and 5 (electricity: time integral 1, the meter's total); EN 13757-1:2014, annex on
/// heat, gas and water (quantities 1 to 3, current value).
const fn is_counter(obis: Obis) -> bool {
    let [_, _, quantity, processing, _, _] = obis.groups();
    match Medium::of(obis) {
        Medium::Electricity => processing == 8,
        Medium::Gas => quantity == 3 && processing == 0,
        Medium::Heat | Medium::Cooling | Medium::HeatCostAllocator | Medium::Water | Medium::WarmWater => {
            quantity == 1 && processing == 0
        }
        Medium::Other => false,
    }
}

/// Reads the beginning or end of a bill: a date, which begins at midnight of the place, or a time with its offset.
///
/// # Errors
///
/// [`BillError::Time`] if it is neither.
pub fn parse_time(text: &str, zone: &TimeZone) -> Result<Timestamp, BillError> {
    let wrong = || BillError::Time {
        text: text.to_owned(),
    };
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let date: jiff::civil::Date = text.parse().map_err(|_| wrong())?;
    let midnight = zone.to_ambiguous_timestamp(date.to_datetime(jiff::civil::Time::midnight()));
    let midnight = midnight.compatible().map_err(|_| wrong())?;
    Timestamp::from_unix_seconds(midnight.as_second()).map_err(|_| wrong())
}

/// Returns why points are missing, in words.
#[must_use]
pub fn reason_in_words(reason: Option<GapReason>) -> String {
    reason.map_or_else(|| "no reason known".to_owned(), |reason| reason.to_string())
}
