//! The bytes that a row's checksum covers, and how rows are read.
//!
//! Numbers are big-endian; `text` is its length in one byte and its bytes; `element` is the meter's
//! identity as text and the six groups of the OBIS code. A reading's checksum covers its element by
//! name, so that a damaged row of `element` can't hand its readings to another meter.
//!
//! | row | bytes |
//! |---|---|
//! | element | `E1`, number (8), element |
//! | reading | `R1`, time (8), element, mantissa (16), scaler (1), unit (text), status (4) |
//! | gap | `G1`, time (8), element, reason (text) |

use crc::{CRC_32_ISCSI, Crc, Digest, Table};
use model::{Decimal, Element, Gap, GapReason, Quantity, Reading, Status, Timestamp, Unit};
use rusqlite::types::{Value, ValueRef};

/// CRC-32C (Castagnoli), which the catalogue of CRCs lists under iSCSI. Spec: RFC 3720, appendix B.4.
static CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);

/// Returns the checksum of an element's row.
pub(super) fn element_checksum(id: i64, element: &Element) -> u32 {
    let mut digest = CRC.digest();
    digest.update(b"E1");
    digest.update(&id.to_be_bytes());
    digest_element(&mut digest, element);
    digest.finalize()
}

/// Returns the checksum of a reading's row.
pub(super) fn reading_checksum(reading: &Reading) -> u32 {
    let value = reading.quantity.value;
    let mut digest = CRC.digest();
    digest.update(b"R1");
    digest.update(&reading.time.unix_seconds().to_be_bytes());
    digest_element(&mut digest, &reading.element);
    digest.update(&value.mantissa().to_be_bytes());
    digest.update(&value.scaler().to_be_bytes());
    digest_text(&mut digest, reading.quantity.unit.symbol());
    digest.update(&reading.status.bits().to_be_bytes());
    digest.finalize()
}

/// Returns the checksum of a gap's row.
pub(super) fn gap_checksum(gap: &Gap) -> u32 {
    let mut digest = CRC.digest();
    digest.update(b"G1");
    digest.update(&gap.time.unix_seconds().to_be_bytes());
    digest_element(&mut digest, &gap.element);
    digest_text(&mut digest, &gap.reason.to_string());
    digest.finalize()
}

fn digest_element(digest: &mut Digest<'_, u32, Table<1>>, element: &Element) {
    digest_text(digest, element.meter.as_str());
    digest.update(&element.obis.groups());
}

/// The texts are identities, symbols and codes of at most 40 bytes.
fn digest_text(digest: &mut Digest<'_, u32, Table<1>>, text: &str) {
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    digest.update(&[length]);
    digest.update(text.as_bytes());
}

/// Returns a mantissa as it is stored: an integer if it fits 64 bits, else 16 bytes.
pub(super) fn mantissa_value(mantissa: i128) -> Value {
    i64::try_from(mantissa).map_or_else(|_| Value::Blob(mantissa.to_be_bytes().to_vec()), Value::Integer)
}

/// Reads columns `id, meter, obis, crc`; `None` if the row is damaged.
pub(super) fn read_element(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<(i64, Element)>> {
    let id = row.get(0)?;
    let (meter, obis, crc) = (row.get_ref(1)?, row.get_ref(2)?, row.get_ref(3)?);
    let parse = || {
        Some(Element {
            meter: meter.as_str().ok()?.parse().ok()?,
            obis: obis.as_str().ok()?.parse().ok()?,
        })
    };
    let is_sound = |element: &Element| crc == ValueRef::Integer(i64::from(element_checksum(id, element)));
    Ok(parse().filter(is_sound).map(|element| (id, element)))
}

/// Reads columns `mantissa, scaler, unit, status, crc` from the third one on; `None` if the row is damaged.
pub(super) fn read_reading(
    row: &rusqlite::Row<'_>,
    time: Timestamp,
    element: &Element,
) -> rusqlite::Result<Option<Reading>> {
    let (mantissa, scaler) = (row.get_ref(2)?, row.get_ref(3)?);
    let (unit, status, crc) = (row.get_ref(4)?, row.get_ref(5)?, row.get_ref(6)?);
    let parse = || {
        let mantissa = match mantissa {
            ValueRef::Integer(mantissa) => i128::from(mantissa),
            other => i128::from_be_bytes(other.as_blob().ok()?.try_into().ok()?),
        };
        let scaler = i8::try_from(scaler.as_i64().ok()?).ok()?;
        let unit: Unit = unit.as_str().ok()?.parse().ok()?;
        Some(Reading {
            element: element.clone(),
            time,
            quantity: Quantity {
                value: Decimal::new(mantissa, scaler)?,
                unit,
            },
            status: Status::from_bits(u32::try_from(status.as_i64().ok()?).ok()?),
        })
    };
    let is_sound = |reading: &Reading| crc == ValueRef::Integer(i64::from(reading_checksum(reading)));
    Ok(parse().filter(is_sound))
}

/// Reads columns `reason, crc` from the third one on; `None` if the row is damaged.
pub(super) fn read_gap(
    row: &rusqlite::Row<'_>,
    time: Timestamp,
    element: &Element,
) -> rusqlite::Result<Option<Gap>> {
    let (reason, crc) = (row.get_ref(2)?, row.get_ref(3)?);
    let parse = || {
        let reason = reason.as_str().ok()?;
        let mut reasons = GapReason::ALL.into_iter();
        Some(Gap {
            element: element.clone(),
            time,
            reason: reasons.find(|known| known.to_string() == reason)?,
        })
    };
    let is_sound = |gap: &Gap| crc == ValueRef::Integer(i64::from(gap_checksum(gap)));
    Ok(parse().filter(is_sound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_that_of_the_standard() {
        // RFC 3720, appendix B.4: 32 bytes of zeros.
        assert_eq!(CRC.checksum(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn mantissa_is_an_integer_while_it_fits() {
        assert_eq!(mantissa_value(-5), Value::Integer(-5));
        assert_eq!(mantissa_value(i128::from(i64::MAX)), Value::Integer(i64::MAX));
        let long = i128::from(i64::MAX).saturating_add(1);
        assert_eq!(mantissa_value(long), Value::Blob(long.to_be_bytes().to_vec()));
    }
}
