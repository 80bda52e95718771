//! What an application has made, held against its manifest and its input.

use std::ops::Range;

use model::{Decimal, Element, MeterId, Obis, Quantity, Status, Timestamp};

use crate::interface::{ChannelView, InputView, OutputError, OutputView, Record, unit_of};
use crate::manifest::{Manifest, OutputRole};

/// What came of a run, held against the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The elements, in the order in which the application wrote them.
    pub elements: Vec<Derived>,
    /// What the next run is given.
    pub state: Vec<u8>,
}

/// One value that an application has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// The index of the manifest's output.
    pub output: u16,
    /// The index of the input's channel that it is made of.
    pub channel: u16,
    /// What it measures.
    pub obis: Obis,
    /// The tariff stage; 0 if there is none.
    pub stage: u16,
    /// The start of its period.
    pub from: Timestamp,
    /// The end of its period; a value at a point in time begins and ends there.
    pub to: Timestamp,
    /// The number and its unit.
    pub quantity: Quantity,
    /// The status of everything that it is made of.
    pub status: Status,
    /// The readings that it is made of, as indices into the input.
    pub basis: Range<u32>,
}

impl Derived {
    /// Returns the element, as one of the meter that the channel belongs to.
    #[must_use]
    pub const fn element(&self, meter: MeterId) -> Element {
        Element {
            meter,
            obis: self.obis,
        }
    }
}

/// Reads an output blob and holds it against the manifest and the input that it was made of.
///
/// # Errors
///
/// [`AcceptError`] names the first element that the manifest does not permit.
pub fn accept(manifest: &Manifest, input: &InputView, blob: &[u8]) -> Result<Outcome, AcceptError> {
    let view = OutputView::parse(blob)?;
    let limits = manifest.limits();
    let count = u32::try_from(view.records.len()).unwrap_or(u32::MAX);
    if count > limits.outputs {
        return Err(AcceptError::TooMany {
            found: count,
            limit: limits.outputs,
        });
    }
    let state = u32::try_from(view.state.len()).unwrap_or(u32::MAX);
    if state > limits.state_bytes {
        return Err(AcceptError::State {
            found: state,
            limit: limits.state_bytes,
        });
    }
    let records = view.records.iter().enumerate();
    let elements = records.map(|(index, record)| derived(manifest, input, record, index));
    Ok(Outcome {
        elements: elements.collect::<Result<_, _>>()?,
        state: view.state.to_vec(),
    })
}

fn derived(
    manifest: &Manifest,
    input: &InputView,
    record: &Record,
    index: usize,
) -> Result<Derived, AcceptError> {
    let role = manifest.outputs().get(usize::from(record.output));
    let role = role.ok_or(AcceptError::Undeclared { index })?;
    let channel = input.channels.get(usize::from(record.channel));
    let channel = channel.ok_or(AcceptError::Channel { index })?;
    let (from, to) = period(input, record).ok_or(AcceptError::Period { index })?;
    Ok(Derived {
        output: record.output,
        channel: record.channel,
        obis: role.obis_of(channel.obis),
        stage: record.stage,
        from,
        to,
        quantity: quantity(role, channel, record, index)?,
        status: Status::from_bits(u32::from(record.status)),
        basis: basis(input, channel, record, index)?,
    })
}

fn quantity(
    role: &OutputRole,
    channel: &ChannelView,
    record: &Record,
    index: usize,
) -> Result<Quantity, AcceptError> {
    let unit = unit_of(record.unit).filter(|unit| *unit == role.unit_of(channel.unit));
    let value = Decimal::new(i128::from(record.value), record.scaler);
    Ok(Quantity {
        value: value.ok_or(AcceptError::Scaler { index })?,
        unit: unit.ok_or(AcceptError::Unit { index })?,
    })
}

/// The period lies in the window.
fn period(input: &InputView, record: &Record) -> Option<(Timestamp, Timestamp)> {
    let from = Timestamp::from_unix_seconds(record.from).ok()?;
    let to = Timestamp::from_unix_seconds(record.to).ok()?;
    let within = input.window.from() <= from && from <= to && to <= input.window.to();
    within.then_some((from, to))
}

/// The basis is at least one reading of the input, and one of them is of the element's channel.
fn basis(
    input: &InputView,
    channel: &ChannelView,
    record: &Record,
    index: usize,
) -> Result<Range<u32>, AcceptError> {
    let basis = || {
        let end = record.basis_first.checked_add(record.basis_count)?;
        (record.basis_count > 0 && end <= input.readings).then_some(record.basis_first..end)
    };
    let basis = basis().ok_or(AcceptError::Basis { index })?;
    if channel.is_in(&basis) {
        Ok(basis)
    } else {
        Err(AcceptError::ForeignBasis { index })
    }
}

/// The reason why what an application has made is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// The bytes are no output blob.
    #[error("the application's output is malformed")]
    Blob(#[from] OutputError),
    /// More elements than the manifest asks for.
    #[error("the application made {found} elements, and its manifest asks for {limit}")]
    TooMany {
        /// The number.
        found: u32,
        /// The manifest's.
        limit: u32,
    },
    /// More state than the manifest asks for.
    #[error("the application leaves {found} bytes of state, and its manifest asks for {limit}")]
    State {
        /// The length.
        found: u32,
        /// The manifest's.
        limit: u32,
    },
    /// An element that the manifest does not name.
    #[error("element {index} of the application is none of its manifest's")]
    Undeclared {
        /// The element's index in the output.
        index: usize,
    },
    /// An element of a channel that the input does not have.
    #[error("element {index} of the application is made of a channel that it was not given")]
    Channel {
        /// The element's index in the output.
        index: usize,
    },
    /// Another unit than the manifest's.
    #[error("element {index} of the application has another unit than its manifest says")]
    Unit {
        /// The element's index in the output.
        index: usize,
    },
    /// A power of ten that no value has.
    #[error("element {index} of the application has a scaler outside the decimals of this gateway")]
    Scaler {
        /// The element's index in the output.
        index: usize,
    },
    /// A period that lies outside the window, or ends before it begins.
    #[error("element {index} of the application has a period outside the window")]
    Period {
        /// The element's index in the output.
        index: usize,
    },
    /// A basis without a reading of the element's own channel.
    #[error("element {index} of the application says to be made of readings of other channels than its own")]
    ForeignBasis {
        /// The element's index in the output.
        index: usize,
    },
    /// No basis, or one that the input does not have.
    #[error("element {index} of the application does not say what it is made of")]
    Basis {
        /// The element's index in the output.
        index: usize,
    },
}

impl AcceptError {
    /// Returns the stable code for logs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Blob(_) => "output-malformed",
            Self::TooMany { .. } => "too-many-outputs",
            Self::State { .. } => "state-too-long",
            Self::Undeclared { .. } => "undeclared-output",
            Self::Channel { .. } => "unknown-channel",
            Self::Unit { .. } => "wrong-unit",
            Self::Scaler { .. } => "wrong-scaler",
            Self::Period { .. } => "period-outside-window",
            Self::Basis { .. } => "no-basis",
            Self::ForeignBasis { .. } => "foreign-basis",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{input, manifest, record};

    fn accepted(records: Vec<Record>, state: &[u8]) -> Result<Outcome, AcceptError> {
        let view = InputView::parse(&input().encode().unwrap()).unwrap();
        accept(&manifest(), &view, &OutputView { records, state }.encode())
    }

    #[test]
    fn element_takes_open_groups_and_unit_from_its_channel() {
        let outcome = accepted(vec![record()], b"state").unwrap();
        assert_eq!(outcome.state, b"state");
        let element = &outcome.elements[0];
        assert_eq!(element.obis.to_string(), "1-0:1.8.1*255");
        assert_eq!(element.quantity.to_string(), "12.5 Wh");
        assert_eq!(element.basis, 0..2);
        assert_eq!(
            element.element("M1".parse().unwrap()).to_string(),
            "M1 1-0:1.8.1*255"
        );
    }

    #[test]
    fn basis_has_a_reading_of_the_channel_that_the_element_is_of() {
        let mut input = input();
        let mut second = input.channels[0].clone();
        second.obis = "1-0:2.8.0*255".parse().unwrap();
        input.channels.push(second);
        let view = InputView::parse(&input.encode().unwrap()).unwrap();
        let made = |channel, basis_first, basis_count| {
            let record = Record {
                channel,
                basis_first,
                basis_count,
                ..record()
            };
            let records = vec![record];
            let blob = OutputView { records, state: b"" }.encode();
            accept(&manifest(), &view, &blob).map(|outcome| outcome.elements[0].basis.clone())
        };
        // Three readings each.
        let foreign = Err(AcceptError::ForeignBasis { index: 0 });
        for (channel, first, count, expected) in [
            (0, 0, 3, Ok(0..3)),
            (0, 2, 1, Ok(2..3)),
            (0, 3, 3, foreign.clone()),
            (1, 0, 3, foreign.clone()),
            (1, 3, 1, Ok(3..4)),
            (0, 0, 6, Ok(0..6)),
            (1, 2, 2, Ok(2..4)),
            (1, 3, 4, Err(AcceptError::Basis { index: 0 })),
        ] {
            assert_eq!(made(channel, first, count), expected, "{channel} {first} {count}");
        }
    }

    #[test]
    fn everything_that_the_manifest_does_not_permit_is_named() {
        let refused = |change: fn(&mut Record)| {
            let mut wrong = record();
            change(&mut wrong);
            accepted(vec![record(), wrong], b"").unwrap_err()
        };
        assert_eq!(refused(|r| r.output = 9), AcceptError::Undeclared { index: 1 });
        assert_eq!(refused(|r| r.channel = 9), AcceptError::Channel { index: 1 });
        assert_eq!(refused(|r| r.unit = 27), AcceptError::Unit { index: 1 });
        assert_eq!(refused(|r| r.unit = 1), AcceptError::Unit { index: 1 });
        assert_eq!(refused(|r| r.scaler = 31), AcceptError::Scaler { index: 1 });
        assert_eq!(
            refused(|r| r.from -= 900_000_000),
            AcceptError::Period { index: 1 }
        );
        assert_eq!(refused(|r| r.to += 900_000_000), AcceptError::Period { index: 1 });
        assert_eq!(refused(|r| r.to = r.from - 1), AcceptError::Period { index: 1 });
        assert_eq!(refused(|r| r.from = i64::MIN), AcceptError::Period { index: 1 });
        assert_eq!(refused(|r| r.basis_count = 0), AcceptError::Basis { index: 1 });
        assert_eq!(refused(|r| r.basis_first = 3), AcceptError::Basis { index: 1 });
        assert_eq!(
            refused(|r| r.basis_first = u32::MAX),
            AcceptError::Basis { index: 1 }
        );
        let many = vec![record(); 5];
        assert_eq!(
            accepted(many, b""),
            Err(AcceptError::TooMany { found: 5, limit: 4 })
        );
        assert_eq!(
            accepted(Vec::new(), &[0; 65]),
            Err(AcceptError::State { found: 65, limit: 64 })
        );
        let view = InputView::parse(&input().encode().unwrap()).unwrap();
        assert_eq!(
            accept(&manifest(), &view, b""),
            Err(AcceptError::Blob(OutputError::Header))
        );
    }
}
