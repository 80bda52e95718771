//! A readout: what one meter gave in one poll, in the words of the model.

use std::collections::BTreeSet;

use model::{Element, GapReason, Medium, MeterId, MeterIdError, Obis, Quantity, Sample};

use crate::application::{
    DeviceType, Header, HeaderKind, Opener, Record, Scratch, Telegram, TelegramError, Unit, Value,
};
use crate::link::LongFrame;
use crate::obis;

/// What one meter gave in one poll.
///
/// A sample is made of each record whose VIF names a quantity in a unit of the model: of a number
/// its value, of a record that is faulty or without data the gap [`GapReason::NotAvailable`].
/// Dates, texts and records with other units are no samples; [`Telegram::records`] shows them. If several records have
/// one OBIS code, the first keeps it and the others get private ones, in the order of the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readout {
    /// Who the meter is.
    pub meter: MeterId,
    /// What it measures.
    pub medium: Medium,
    /// What it measured.
    pub samples: Vec<Sample>,
}

impl Readout {
    /// Puts the telegrams of one poll together, as [`crate::master::Read`] gives them.
    ///
    /// # Errors
    ///
    /// [`ReadoutError`] if there is none, if one cannot be read, or if they are not of one meter.
    pub fn from_frames(frames: &[LongFrame]) -> Result<Self, ReadoutError> {
        Self::of(frames, &Opener::default())
    }

    /// Puts the telegrams of one poll together, which may be encrypted, compact, or without a header
    /// that says who sends.
    ///
    /// # Errors
    ///
    /// [`ReadoutError`], as [`Readout::from_frames`]; besides, if the key is missing or wrong, or the
    /// format of a compact frame unknown.
    pub fn of(frames: &[LongFrame], opener: &Opener<'_>) -> Result<Self, ReadoutError> {
        let (first, others) = frames.split_first().ok_or(ReadoutError::Empty)?;
        let mut scratch = Scratch::new();
        let first = Telegram::open(first, opener, &mut scratch)?;
        let is_nameless = matches!(first.header().kind, HeaderKind::Short | HeaderKind::None);
        if is_nameless && opener.sender.is_none() {
            return Err(ReadoutError::Nameless);
        }
        let mut gathering = Gathering {
            meter: meter_id(first.header())?,
            device_type: first.header().device_type,
            codes: BTreeSet::new(),
            samples: Vec::new(),
        };
        gathering.add(&first);
        for other in others {
            let mut scratch = Scratch::new();
            let telegram = Telegram::open(other, opener, &mut scratch)?;
            if !telegram.header().same_meter(first.header()) {
                return Err(ReadoutError::OtherMeter {
                    expected: gathering.meter,
                    found: meter_id(telegram.header())?,
                });
            }
            gathering.add(&telegram);
        }
        Ok(Self {
            meter: gathering.meter,
            medium: gathering.device_type.medium(),
            samples: gathering.samples,
        })
    }
}

/// Returns the identity of the meter with that header, such as `ACW-12345678-14-07`.
///
/// The parts are those of the secondary address: manufacturer, identification, version and device
/// type, the last two as hexadecimal numbers.
///
/// # Errors
///
/// [`MeterIdError`] if the model did not take this form, which it does.
pub fn meter_id(header: &Header) -> Result<MeterId, MeterIdError> {
    format!(
        "{}-{}-{:02X}-{:02X}",
        header.manufacturer,
        header.identification,
        header.version,
        header.device_type.code()
    )
    .try_into()
}

struct Gathering {
    meter: MeterId,
    device_type: DeviceType,
    codes: BTreeSet<Obis>,
    samples: Vec<Sample>,
}

impl Gathering {
    fn add(&mut self, telegram: &Telegram<'_>) {
        let status = telegram.header().status_of_values();
        for record in telegram.records() {
            let Some(unit) = record.vib.unit().and_then(Unit::of_model) else {
                continue;
            };
            let (value, status) = match record.value {
                Ok(Value::Number { value, from_real, .. }) => {
                    let mark = if from_real {
                        model::Status::FROM_FLOAT
                    } else {
                        model::Status::GOOD
                    };
                    (Ok(Quantity { value, unit }), status.with(mark))
                }
                Ok(Value::Nothing) | Err(_) => (Err(GapReason::NotAvailable), status),
                Ok(Value::Date(_) | Value::DateTime(_) | Value::Time(_) | Value::Text(_) | Value::Raw(_)) => {
                    continue;
                }
            };
            let Some(obis) = self.free_code(&record) else {
                continue;
            };
            self.samples.push(Sample {
                element: Element {
                    meter: self.meter.clone(),
                    obis,
                },
                value,
                status,
            });
        }
    }

    /// Takes the record's code, or the first private one that is free.
    ///
    /// The search is bounded by the 255 occurrences of which a code can be made: more than that of
    /// one and the same record are no values.
    fn free_code(&mut self, record: &Record<'_>) -> Option<Obis> {
        let listed = obis::code_of(record, self.device_type);
        let private =
            (1..=u8::MAX).map(|occurrence| obis::private_code(record, self.device_type, occurrence));
        std::iter::once(listed)
            .chain(private)
            .find(|code| self.codes.insert(*code))
    }
}

/// The reason why frames are no readout of one meter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadoutError {
    /// There is no telegram.
    #[error("no telegram was given")]
    Empty,
    /// A telegram cannot be read.
    #[error("the meter's telegram cannot be read")]
    Telegram(#[from] TelegramError),
    /// A later telegram comes from another meter, with the same primary address.
    #[error("two meters answered to one address: {expected} and {found}")]
    OtherMeter {
        /// The meter that sent the first telegram.
        expected: MeterId,
        /// The meter that sent a later one.
        found: MeterId,
    },
    /// The telegram has no header that says who sends.
    #[error("the meter's telegram does not say which meter sends it")]
    Nameless,
    /// The model does not take the identity.
    #[error("the meter's secondary address makes no identity")]
    Identity(#[from] MeterIdError),
}

#[cfg(test)]
mod tests {
    use model::Status;
    use proptest::prelude::*;

    use super::*;
    use crate::link::Control;

    fn frame(identification: u8, status: u8, records: &[u8]) -> LongFrame {
        let header = [
            identification,
            0x56,
            0x34,
            0x12,
            0x77,
            0x04,
            0x14,
            0x07,
            0x55,
            status,
            0,
            0,
        ];
        LongFrame::new(Control::RSP_UD, 1, 0x72, [&header, records].concat()).unwrap()
    }

    fn texts(readout: &Readout) -> Vec<String> {
        readout
            .samples
            .iter()
            .map(|sample| match sample.value {
                Ok(quantity) => format!("{} {quantity}", sample.element.obis),
                Err(reason) => format!("{} {reason}", sample.element.obis),
            })
            .collect()
    }

    #[test]
    fn telegrams_of_one_meter_become_its_samples() {
        let frames = [
            frame(0x78, 0x04, &[0x0C, 0x13, 0x21, 0x43, 0x05, 0x00, 0x1F]),
            frame(0x78, 0x00, &[0x05, 0x3E, 0x00, 0x00, 0xC0, 0x3F]),
        ];
        let readout = Readout::from_frames(&frames).unwrap();
        assert_eq!(readout.meter.as_str(), "ACW-12345678-14-07");
        assert_eq!(readout.medium, Medium::Water);
        assert_eq!(
            texts(&readout),
            ["8-0:1.0.0*255 54.321 m3", "8-0:2.0.0*255 1.5 m3/h"]
        );
        assert_eq!(readout.samples[0].status, Status::LOW_POWER);
        assert_eq!(readout.samples[1].status, Status::FROM_FLOAT);
    }

    #[test]
    fn faulty_record_is_a_gap_and_later_ones_are_kept() {
        let records = [
            0x0C, 0x13, 0x21, 0xC3, 0x05, 0x00, // an error digit
            0x00, 0x22, // no data
            0x02, 0x6C, 0xFF, 0xFF, // no date
            0x01, 0x3B, 0x07,
        ];
        let readout = Readout::from_frames(&[frame(0x78, 0, &records)]).unwrap();
        let values: Vec<_> = readout
            .samples
            .iter()
            .map(|sample| sample.value.is_ok())
            .collect();
        assert_eq!(values, [false, false, true]);
        assert_eq!(readout.samples[0].value, Err(GapReason::NotAvailable));
        assert_eq!(texts(&readout)[2], "8-0:2.0.0*255 0.007 m3/h");
    }

    #[test]
    fn second_record_of_one_code_is_kept_apart() {
        let records = [0x01, 0x13, 0x01, 0x01, 0x13, 0x02, 0x01, 0x13, 0x03];
        let readout = Readout::from_frames(&[frame(0x78, 0, &records)]).unwrap();
        let codes: BTreeSet<_> = readout.samples.iter().map(|sample| sample.element.obis).collect();
        assert_eq!(codes.len(), 3);
        assert_eq!(texts(&readout)[0], "8-0:1.0.0*255 0.001 m3");
    }

    #[test]
    fn frames_that_are_no_readout_are_refused_with_their_cause() {
        assert_eq!(Readout::from_frames(&[]), Err(ReadoutError::Empty));
        let other = LongFrame::new(Control::RSP_UD, 1, 0x50, vec![0; 16]).unwrap();
        assert_eq!(
            Readout::from_frames(&[other]),
            Err(ReadoutError::Telegram(TelegramError::ControlInformation {
                found: 0x50
            }))
        );
        let nameless = LongFrame::new(Control::RSP_UD, 1, 0x78, vec![0x01, 0x13, 0x05]).unwrap();
        assert_eq!(Readout::from_frames(&[nameless]), Err(ReadoutError::Nameless));
        assert_eq!(
            Readout::from_frames(&[frame(0x78, 0, &[0x1F]), frame(0x79, 0, &[])]),
            Err(ReadoutError::OtherMeter {
                expected: "ACW-12345678-14-07".parse().unwrap(),
                found: "ACW-12345679-14-07".parse().unwrap(),
            })
        );
        let error = ReadoutError::from(MeterIdError::Length { found: 41 });
        assert_eq!(
            error.to_string(),
            "the meter's secondary address makes no identity"
        );
    }

    proptest! {
        #[test]
        fn any_data_is_read_or_refused(
            device_type: u8,
            records in proptest::collection::vec(any::<u8>(), 0..=240),
            control_information in prop_oneof![Just(0x72), any::<u8>()],
        ) {
            let header = [0x78, 0x56, 0x34, 0x12, 0x77, 0x04, 0x14, device_type, 0x55, 0, 0, 0];
            let data = [&header[..], &records].concat();
            let frame = LongFrame::new(Control::RSP_UD, 1, control_information, data).unwrap();
            let Ok(readout) = Readout::from_frames(&[frame]) else {
                // In plain the header's configuration is 0, so that a long header is always read.
                prop_assert_ne!(control_information, 0x72);
                return Ok(());
            };
            let codes: BTreeSet<_> = readout.samples.iter().map(|sample| sample.element.obis).collect();
            prop_assert_eq!(codes.len(), readout.samples.len());
        }
    }
}
