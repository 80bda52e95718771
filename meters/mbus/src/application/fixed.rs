//! The fixed data structure of older meters: two counters.

use model::Unit as Model;

use super::bcd::number_of_bcd;
use super::fault::RecordError;
use super::header::{DeviceType, Header, HeaderKind, Identification, Manufacturer, MeterStatus};
use super::measurand::Measurand;
use super::record::{Function, Record};
use super::tables::{Factor, Form, Scale};
use super::unit::{Base, Unit};
use super::value::{ByteOrder, Value};
use super::vib::Vib;

/// Status bit: the counters are binary, else BCD.
const BINARY: u8 = 0x01;
/// Status bit: the counters are those of a fixed date, else the present ones.
const STORED: u8 = 0x02;
/// The bits of the medium and unit field that hold a unit.
const UNIT: u8 = 0x3F;
/// The unit of a second counter that has the unit of the first, and is a past value of it.
const SAME_BUT_HISTORIC: u8 = 0x3E;

/// Two counters with their units.
///
/// On the wire 16 bytes: identification (4), access number, status, medium and unit (2, in either
/// byte order the least significant first), counter 1 (4), counter 2 (4).
///
/// Spec: EN 1434-3:1997 and EN 13757-3:2004, annex (fixed data structure, CI `73` and `77`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FixedData<'f> {
    status: u8,
    units: [u8; 2],
    counters: [&'f [u8]; 2],
    order: ByteOrder,
}

impl<'f> FixedData<'f> {
    /// The length on the wire, in bytes.
    pub(super) const LENGTH: usize = 16;

    /// Takes the data apart, if it has the length.
    pub(super) fn parse(data: &'f [u8], order: ByteOrder) -> Option<(Header, Self)> {
        let (head, counters) = data.split_first_chunk::<8>()?;
        let [i0, i1, i2, i3, access_number, status, first, second] = *head;
        if data.len() != Self::LENGTH {
            return None;
        }
        let identification = match order {
            ByteOrder::LeastFirst => u32::from_le_bytes([i0, i1, i2, i3]),
            ByteOrder::MostFirst => u32::from_be_bytes([i0, i1, i2, i3]),
        };
        let header = Header {
            kind: HeaderKind::Fixed,
            identification: Identification::from_digits(identification),
            manufacturer: Manufacturer::from_bits(0),
            version: 0,
            device_type: device_type(first >> 6 | second >> 6 << 2),
            access_number,
            status: MeterStatus::from_bits(status),
            configuration: 0,
        };
        let (one, two) = counters.split_at_checked(4)?;
        let fixed = Self {
            status,
            units: [first & UNIT, second & UNIT],
            counters: [one, two],
            order,
        };
        Some((header, fixed))
    }

    /// Returns counter 0 or 1.
    pub(super) fn record(&self, number: u8) -> Option<Record<'f>> {
        let [first, second] = self.units;
        let [one, two] = self.counters;
        let (unit, raw, historic) = match (number, second) {
            (0, _) => (first, one, false),
            (1, SAME_BUT_HISTORIC) => (first, two, true),
            (1, _) => (second, two, false),
            _ => return None,
        };
        let vib = vib_of(unit);
        Some(Record {
            storage: u64::from(historic || self.status & STORED != 0),
            function: Function::Instantaneous,
            value: self.value(raw, &vib),
            vib,
            raw,
            ..Record::EMPTY
        })
    }

    fn value(&self, raw: &'f [u8], vib: &Vib<'_>) -> Result<Value<'f>, RecordError> {
        let (scale, unit) = match vib.form() {
            Form::Scaled(scale) => (scale.power_of_ten, Some(scale.unit)),
            Form::Date | Form::Plain => (0, None),
        };
        let bytes: [u8; 4] = raw.try_into().unwrap_or_default();
        let digits = match (self.status & BINARY != 0, self.order) {
            (true, ByteOrder::LeastFirst) => u32::from_le_bytes(bytes).into(),
            (true, ByteOrder::MostFirst) => u32::from_be_bytes(bytes).into(),
            (false, ByteOrder::LeastFirst) => number_of_bcd(bytes.iter().rev())?,
            (false, ByteOrder::MostFirst) => number_of_bcd(bytes.iter())?,
        };
        let value = model::Decimal::new(digits.into(), scale).ok_or(RecordError::Range)?;
        Ok(Value::Number {
            value,
            unit,
            from_real: false,
        })
    }
}

/// Translates the medium of the fixed structure, whose codes 10 to 14 mean mode 2 of 3, 4, 6, 7, 8.
const fn device_type(medium: u8) -> DeviceType {
    DeviceType::from_code(match medium {
        0x0A => 0x03,
        0x0B => 0x04,
        0x0C => 0x06,
        0x0D => 0x07,
        0x0E => 0x08,
        0x09 | 0x0F => 0x0F,
        other => other,
    })
}

/// Returns the value information of a unit's code, with the VIF of the same kind.
///
/// Spec: EN 1434-3:1997 (physical units of the fixed data structure).
fn vib_of(code: u8) -> Vib<'static> {
    use Measurand as M;
    let above = |first: u8, power: i8| power.saturating_add_unsigned(code.saturating_sub(first));
    let scaled = |vif: &'static [u8], measurand, unit: Model, power_of_ten| {
        let form = Form::Scaled(Scale {
            unit: Unit::new(Base::Model(unit)),
            power_of_ten,
            factor: Factor::One,
            unsigned: true,
        });
        Vib::known(vif, measurand, form)
    };
    match code {
        0x00 => Vib::known(&[0x6D], M::Time, Form::Plain),
        0x01 => Vib::known(&[0x6C], M::Date, Form::Plain),
        0x02..=0x0A => scaled(&[0x00], M::Energy, Model::WattHour, above(0x02, 0)),
        0x0B..=0x13 => scaled(&[0x08], M::Energy, Model::Joule, above(0x0B, 3)),
        0x14..=0x1C => scaled(&[0x28], M::Power, Model::Watt, above(0x14, 0)),
        0x1D..=0x25 => scaled(&[0x30], M::Power, Model::JoulePerHour, above(0x1D, 3)),
        0x26..=0x2E => scaled(&[0x10], M::Volume, Model::CubicMetre, above(0x26, -6)),
        0x2F..=0x37 => scaled(&[0x38], M::VolumeFlow, Model::CubicMetrePerHour, above(0x2F, -6)),
        0x38 => scaled(&[0x64], M::Temperature, Model::DegreeCelsius, -3),
        0x39 => scaled(&[0x6E], M::HeatCostAllocation, Model::One, 0),
        0x3F => scaled(&[0xFD, 0x3A], M::Dimensionless, Model::One, 0),
        _ => Vib::EMPTY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(data: &[u8], order: ByteOrder) -> Vec<String> {
        let (_, fixed) = FixedData::parse(data, order).unwrap();
        (0..3)
            .map_while(|number| fixed.record(number))
            .map(|record| match record.value {
                Ok(Value::Number { value, unit, .. }) => {
                    let unit = unit.map(|unit| unit.to_string()).unwrap_or_default();
                    format!(
                        "{} {} {value} {unit}",
                        record.vib.measurand().words(),
                        record.storage
                    )
                }
                other => format!("{other:?}"),
            })
            .collect()
    }

    /// The example of the standard: water meter 12345678, 1 l now and 135 l at the fixed date.
    const EXAMPLE: [u8; 16] = [
        0x78, 0x56, 0x34, 0x12, 0x0A, 0x00, 0xE9, 0x7E, 0x01, 0x00, 0x00, 0x00, 0x35, 0x01, 0x00, 0x00,
    ];

    #[test]
    fn example_of_the_standard_is_read() {
        let (header, _) = FixedData::parse(&EXAMPLE, ByteOrder::LeastFirst).unwrap();
        assert_eq!(header.identification.to_string(), "12345678");
        assert_eq!((header.access_number, header.device_type.code()), (0x0A, 0x07));
        assert_eq!(
            texts(&EXAMPLE, ByteOrder::LeastFirst),
            ["volume 0 0.001 m3", "volume 1 0.135 m3"]
        );
    }

    #[test]
    fn other_byte_order_binary_counters_and_stored_values_are_read() {
        let mut data = EXAMPLE;
        data[..4].reverse();
        data[5] = BINARY | STORED | 0x04;
        data[6] = 0xC6;
        data[7] = 0x46;
        data[8..12].copy_from_slice(&[0x00, 0x01, 0x00, 0x00]);
        let (header, _) = FixedData::parse(&data, ByteOrder::MostFirst).unwrap();
        assert_eq!(header.identification.to_string(), "12345678");
        assert_eq!(header.status.bits(), 0x07);
        assert_eq!(header.status_of_values(), model::Status::LOW_POWER);
        assert_eq!(
            texts(&data, ByteOrder::MostFirst),
            ["energy 1 655360000 Wh", "energy 1 8892579840000 Wh"]
        );
    }

    #[test]
    fn counters_with_error_digits_are_no_numbers() {
        let mut data = EXAMPLE;
        data[8] = 0x0A;
        let (_, fixed) = FixedData::parse(&data, ByteOrder::LeastFirst).unwrap();
        assert_eq!(
            fixed.record(0).unwrap().value,
            Err(RecordError::BcdDigit { found: 0x0A })
        );
        assert!(fixed.record(1).unwrap().value.is_ok());
    }

    #[test]
    fn units_are_those_of_the_table() {
        for (code, words, power) in [
            (0x02, "energy Wh", 0),
            (0x0A, "energy Wh", 8),
            (0x0B, "energy J", 3),
            (0x13, "energy J", 11),
            (0x14, "power W", 0),
            (0x25, "power J/h", 11),
            (0x26, "volume m3", -6),
            (0x2E, "volume m3", 2),
            (0x2F, "volume flow m3/h", -6),
            (0x37, "volume flow m3/h", 2),
            (0x38, "temperature degC", -3),
            (0x39, "heat cost allocation 1", 0),
            (0x3F, "dimensionless 1", 0),
        ] {
            let vib = vib_of(code);
            let Form::Scaled(scale) = vib.form() else {
                panic!("{code:#04x}");
            };
            assert_eq!(format!("{} {}", vib.measurand().words(), scale.unit), words);
            assert_eq!(scale.power_of_ten, power, "{code:#04x}");
        }
        for code in [0x00, 0x01, 0x3A, 0x3D] {
            assert_eq!(vib_of(code).unit(), None);
        }
    }

    #[test]
    fn media_of_the_second_mode_are_those_of_the_first() {
        for (medium, code) in [
            (0x04, 0x04),
            (0x0A, 0x03),
            (0x0B, 0x04),
            (0x0E, 0x08),
            (0x0F, 0x0F),
        ] {
            assert_eq!(device_type(medium).code(), code);
        }
    }

    #[test]
    fn other_lengths_are_refused() {
        assert!(FixedData::parse(&EXAMPLE[..15], ByteOrder::LeastFirst).is_none());
        assert!(FixedData::parse(&[0; 17], ByteOrder::LeastFirst).is_none());
    }
}
