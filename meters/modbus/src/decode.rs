//! From registers to samples.

use model::{Decimal, Element, GapReason, Medium, MeterId, Quantity, Sample, Status};

use crate::image::RegisterImage;
use crate::profile::{Field, Profile, Register, RegisterType, WordOrder};
use crate::real::shortest_decimal;

/// What one meter gave in one poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readout {
    /// Who the meter is.
    pub meter: MeterId,
    /// What it measures.
    pub medium: Medium,
    /// What it measured: one sample for each register of the profile, in the profile's order.
    pub samples: Vec<Sample>,
}

impl Profile {
    /// Decodes what was read from a meter.
    ///
    /// A register that was not read gives a sample with [`GapReason::NoAnswer`], one that holds a
    /// "not available" content or a NaN [`GapReason::NotAvailable`], an infinity or a number that
    /// no decimal of this gateway can hold [`GapReason::BadAnswer`].
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the image holds no serial number, so that nobody knows whose values they are.
    pub fn decode(&self, image: &RegisterImage) -> Result<Readout, DecodeError> {
        let meter = self.identity(image)?;
        let samples = self
            .registers()
            .iter()
            .map(|register| sample(register, &meter, image))
            .collect();
        Ok(Readout {
            meter,
            medium: self.medium(),
            samples,
        })
    }

    fn identity(&self, image: &RegisterImage) -> Result<MeterId, DecodeError> {
        let serial_number = self.serial_number();
        let number = match number(&serial_number.field, image) {
            Ok(number) => number.mantissa(),
            Err(GapReason::NoAnswer) => return Err(DecodeError::SerialNumberNotRead),
            Err(_) => return Err(DecodeError::SerialNumberNotAvailable),
        };
        // The profile's check has proved that every number makes an identity.
        serial_number
            .identity(number)
            .map_err(|_| DecodeError::SerialNumberNotAvailable)
    }
}

fn sample(register: &Register, meter: &MeterId, image: &RegisterImage) -> Sample {
    let value = number(&register.field, image).and_then(|number| {
        let value = number.scaled_by(register.scale).ok_or(GapReason::BadAnswer)?;
        Ok(Quantity {
            value,
            unit: register.unit,
        })
    });
    let status = match register.field.register_type {
        RegisterType::F32 if value.is_ok() => Status::FROM_FLOAT,
        _ => Status::GOOD,
    };
    Sample {
        element: Element {
            meter: meter.clone(),
            obis: register.obis,
        },
        value,
        status,
    }
}

/// Reads a number out of the image, or says why there is none.
fn number(field: &Field, image: &RegisterImage) -> Result<Decimal, GapReason> {
    let mut words = image.words(field.block()).ok_or(GapReason::NoAnswer)?;
    if field
        .not_available
        .iter()
        .any(|absent| absent.as_slice() == words)
    {
        return Err(GapReason::NotAvailable);
    }
    if field.word_order == WordOrder::LowWordFirst {
        words.reverse();
    }
    let whole = |number: i128| Ok(Decimal::whole(number));
    match (field.register_type, words.as_slice()) {
        (RegisterType::U16, [word]) => whole((*word).into()),
        (RegisterType::I16, [word]) => whole(word.cast_signed().into()),
        (RegisterType::U32, [high, low]) => whole(joined(*high, *low).into()),
        (RegisterType::I32, [high, low]) => whole(joined(*high, *low).cast_signed().into()),
        (RegisterType::U64, [a, b, c, d]) => whole(joined_64([*a, *b, *c, *d]).into()),
        (RegisterType::I64, [a, b, c, d]) => whole(joined_64([*a, *b, *c, *d]).cast_signed().into()),
        (RegisterType::F32, [high, low]) => real(f32::from_bits(joined(*high, *low))),
        // The image gave as many words as the type has, so nothing else can come.
        _ => Err(GapReason::BadAnswer),
    }
}

fn real(real: f32) -> Result<Decimal, GapReason> {
    if real.is_nan() {
        return Err(GapReason::NotAvailable);
    }
    shortest_decimal(real).ok_or(GapReason::BadAnswer)
}

fn joined(high: u16, low: u16) -> u32 {
    u32::from(high) << 16 | u32::from(low)
}

fn joined_64([a, b, c, d]: [u16; 4]) -> u64 {
    u64::from(joined(a, b)) << 32 | u64::from(joined(c, d))
}

/// The reason why registers cannot be told to be a meter's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The registers with the serial number were not read.
    #[error("the meter's serial number was not read")]
    SerialNumberNotRead,
    /// The meter says that it has no serial number.
    #[error("the meter has no serial number")]
    SerialNumberNotAvailable,
}

#[cfg(test)]
mod tests {
    use model::Unit;
    use proptest::prelude::*;

    use super::*;
    use crate::{Block, Function};

    /// Serial number 7, and one register of the given type at address 0.
    fn profile(register: &str) -> Profile {
        Profile::parse(&format!(
            r#"
            name = "acme-one"
            manufacturer = "Acme"
            models = []
            medium = "electricity"
            source = {{ document = "none", edition = "none" }}
            limits = {{ registers_per_request = 10, largest_gap = 0 }}
            serial_number = {{ prefix = "ACM", digits = 1, function = 3, address = 0, type = "u16", not_available = ["0000"] }}
            registers = [{{ obis = "1-0:1.8.0*255", function = 4, address = 0, unit = "Wh", {register} }}]
            "#
        ))
        .unwrap()
    }

    fn block(function: Function, words: &[u16]) -> Block {
        Block {
            function,
            address: 0,
            count: words.len().try_into().unwrap(),
        }
    }

    fn image(serial_number: u16, words: &[u16]) -> RegisterImage {
        let mut image = RegisterImage::new();
        let serial_block = block(Function::HoldingRegisters, &[serial_number]);
        image.insert(serial_block, &[serial_number]).unwrap();
        image
            .insert(block(Function::InputRegisters, words), words)
            .unwrap();
        image
    }

    fn decoded(register: &str, words: &[u16]) -> Sample {
        let readout = profile(register).decode(&image(7, words)).unwrap();
        assert_eq!(readout.meter.as_str(), "ACM-7");
        assert_eq!(readout.medium, Medium::Electricity);
        readout.samples.into_iter().next().unwrap()
    }

    #[track_caller]
    fn assert_value(register: &str, words: &[u16], mantissa: i128, scaler: i8, status: Status) {
        let sample = decoded(register, words);
        let value = Decimal::new(mantissa, scaler).unwrap();
        let unit = Unit::WattHour;
        assert_eq!(sample.value, Ok(Quantity { value, unit }));
        assert_eq!(sample.status, status);
    }

    #[test]
    fn integers_keep_every_digit() {
        let good = Status::GOOD;
        assert_value(r#"type = "u16""#, &[0xFFFE], 65_534, 0, good);
        assert_value(r#"type = "i16", scale = -2"#, &[0xFFFE], -2, -2, good);
        assert_value(r#"type = "u32""#, &[0xFFFF, 0xFFFE], 4_294_967_294, 0, good);
        assert_value(r#"type = "i32", scale = 1"#, &[0xFFFF, 0xFFFE], -2, 1, good);
        let minus_two = &[0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE];
        assert_value(r#"type = "u64""#, minus_two, 18_446_744_073_709_551_614, 0, good);
        assert_value(r#"type = "i64""#, minus_two, -2, 0, good);
    }

    #[test]
    fn the_low_word_can_come_first() {
        let order = r#"word_order = "low-word-first""#;
        assert_value(
            &format!(r#"type = "u32", {order}"#),
            &[0x0002, 0x0001],
            65_538,
            0,
            Status::GOOD,
        );
        assert_value(
            &format!(r#"type = "u64", {order}"#),
            &[4, 0, 0, 0],
            4,
            0,
            Status::GOOD,
        );
    }

    #[test]
    fn kilowatt_hours_become_watt_hours_exactly_and_reals_are_marked() {
        // 1234.567 as a real of single precision is 0x449A5225.
        assert_value(
            r#"type = "f32", scale = 3"#,
            &[0x449A, 0x5225],
            1_234_567,
            0,
            Status::FROM_FLOAT,
        );
    }

    #[test]
    fn negative_zero_is_zero() {
        assert_value(r#"type = "f32""#, &[0x8000, 0], 0, 0, Status::FROM_FLOAT);
    }

    #[test]
    fn what_is_not_available_is_absent_with_its_reason() {
        let nan = decoded(r#"type = "f32""#, &[0x7FC0, 0]);
        assert_eq!(nan.value, Err(GapReason::NotAvailable));
        assert_eq!(nan.status, Status::GOOD);
        let marked = decoded(r#"type = "i16", not_available = ["8000"]"#, &[0x8000]);
        assert_eq!(marked.value, Err(GapReason::NotAvailable));
    }

    #[test]
    fn what_no_decimal_can_hold_is_a_bad_answer() {
        let infinity = decoded(r#"type = "f32""#, &[0x7F80, 0]);
        assert_eq!(infinity.value, Err(GapReason::BadAnswer));
        let too_small = decoded(r#"type = "f32", scale = -18"#, &[0x2F00, 1]);
        assert_eq!(too_small.value, Err(GapReason::BadAnswer));
    }

    #[test]
    fn a_register_that_was_not_read_has_no_answer() {
        let sample = decoded(r#"type = "u32""#, &[1]);
        assert_eq!(sample.value, Err(GapReason::NoAnswer));
    }

    #[test]
    fn values_without_a_serial_number_are_nobodys() {
        let profile = profile(r#"type = "u16""#);
        assert_eq!(
            profile.decode(&RegisterImage::new()),
            Err(DecodeError::SerialNumberNotRead)
        );
        assert_eq!(
            profile.decode(&image(0, &[1])),
            Err(DecodeError::SerialNumberNotAvailable)
        );
    }

    proptest! {
        #[test]
        fn any_registers_give_one_sample_each(words: [u16; 4], scale in -18i8..=18, kind in 0usize..7) {
            let types = ["u16", "i16", "u32", "i32", "u64", "i64", "f32"];
            let register = format!(r#"type = "{}", scale = {scale}"#, types[kind]);
            let readout = profile(&register).decode(&image(7, &words)).unwrap();
            prop_assert_eq!(readout.samples.len(), 1);
            if !types[kind].starts_with('f') {
                prop_assert!(readout.samples[0].value.is_ok());
            }
        }
    }
}
