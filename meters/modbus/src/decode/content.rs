//! What stands in a field: a number or a text.

use model::Decimal;

use super::ValueFault;
use crate::image::RegisterImage;
use crate::profile::{ByteOrder, Field, RegisterType, WordOrder};
use crate::real::{shortest_decimal, shortest_decimal_f64};

/// The content of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// A number.
    Number(Decimal),
    /// A text without the blanks around it; not empty.
    Text(String),
}

/// Reads the content of a field out of the image, or says why there is none.
pub(crate) fn content(field: &Field, image: &RegisterImage) -> Result<Content, ValueFault> {
    let block = field.block();
    let mut words = image.words(block).ok_or_else(|| image.gap(block))?;
    let mut absent = field.not_available.iter();
    if absent.any(|absent| absent.as_slice() == words) {
        return Err(ValueFault::NotAvailable);
    }
    if field.function.reads_bits() {
        // The first bit of a table is the lowest one of the field.
        let bits = words
            .iter()
            .rev()
            .fold(0u64, |bits, bit| bits << 1 | u64::from(*bit & 1));
        return Ok(Content::Number(whole(selected(bits, field))));
    }
    put_high_first(&mut words, field);
    match (field.register_type, words.as_slice()) {
        (RegisterType::U16, [word]) => number(whole(*word)),
        (RegisterType::I16, [word]) => number(whole(word.cast_signed())),
        (RegisterType::U32 | RegisterType::U48 | RegisterType::U64, words) => number(whole(joined(words))),
        (RegisterType::I32, [high, low]) => number(whole(joined_32(*high, *low).cast_signed())),
        (RegisterType::I64, words) => number(whole(joined(words).cast_signed())),
        (RegisterType::F32, [high, low]) => real(joined_32(*high, *low)),
        (RegisterType::F64, words) => real_64(joined(words)),
        (RegisterType::Bcd, words) => number(whole(bcd(words)?)),
        (RegisterType::Bitfield, words) => number(whole(selected(joined(words), field))),
        (RegisterType::Ascii, words) => text(words).map(Content::Text),
        // The image gave as many words as the type has, so nothing else can come.
        _ => Err(ValueFault::Characters),
    }
}

const fn number(number: Decimal) -> Result<Content, ValueFault> {
    Ok(Content::Number(number))
}

fn whole(number: impl Into<i128>) -> Decimal {
    Decimal::whole(number.into())
}

/// Brings the bytes into the order ABCDEFGH.
fn put_high_first(words: &mut [u16], field: &Field) {
    if field.byte_order == ByteOrder::LowByteFirst {
        for word in words.iter_mut() {
            *word = word.swap_bytes();
        }
    }
    match field.word_order {
        WordOrder::HighWordFirst => {}
        WordOrder::LowWordFirst => words.reverse(),
        // The profile's check has proved that there are four.
        WordOrder::LowHalfFirst => words.rotate_left(words.len().div_euclid(2)),
    }
}

/// Joins up to four words, the highest first.
fn joined(words: &[u16]) -> u64 {
    words
        .iter()
        .fold(0, |joined, word| joined << 16 | u64::from(*word))
}

fn joined_32(high: u16, low: u16) -> u32 {
    u32::from(high) << 16 | u32::from(low)
}

/// Returns the bits of a bitfield that count.
fn selected(bits: u64, field: &Field) -> u64 {
    let Some(run) = field.bits else {
        return bits;
    };
    let above = bits.checked_shr(run.lowest.into()).unwrap_or(0);
    let mask = 1u64
        .checked_shl(run.count.into())
        .map_or(u64::MAX, |bit| bit.wrapping_sub(1));
    above & mask
}

/// Joins decimal digits of four bits each, the highest first.
fn bcd(words: &[u16]) -> Result<i128, ValueFault> {
    let nibbles = words
        .iter()
        .flat_map(|word| [12u32, 8, 4, 0].map(|shift| word >> shift & 0xF));
    let mut number = 0i128;
    for nibble in nibbles {
        if nibble > 9 {
            return Err(ValueFault::Digit);
        }
        let shifted = number.checked_mul(10).ok_or(ValueFault::Scaled)?;
        number = shifted.checked_add(nibble.into()).ok_or(ValueFault::Scaled)?;
    }
    Ok(number)
}

/// Reads two characters from each word; blanks and zeros around the text fill it up.
fn text(words: &[u16]) -> Result<String, ValueFault> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    let text = String::from_utf8(bytes).map_err(|_| ValueFault::Characters)?;
    let text = text.trim_matches(['\0', ' ']);
    if text.is_empty() {
        return Err(ValueFault::EmptyText);
    }
    if text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Ok(text.to_owned());
    }
    Err(ValueFault::Characters)
}

fn real(bits: u32) -> Result<Content, ValueFault> {
    let real = f32::from_bits(bits);
    if real.is_nan() {
        return Err(ValueFault::NotANumber);
    }
    if real.is_infinite() {
        return Err(ValueFault::Infinite);
    }
    shortest_decimal(real)
        .map(Content::Number)
        .ok_or(ValueFault::Unrepresentable)
}

fn real_64(bits: u64) -> Result<Content, ValueFault> {
    let real = f64::from_bits(bits);
    if real.is_nan() {
        return Err(ValueFault::NotANumber);
    }
    if real.is_infinite() {
        return Err(ValueFault::Infinite);
    }
    shortest_decimal_f64(real)
        .map(Content::Number)
        .ok_or(ValueFault::Unrepresentable)
}
