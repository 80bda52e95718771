//! The words and numbers that both forms have in common.

use model::{Decimal, Obis};

use crate::application::{
    DeviceType, Function, Header, HeaderKind, Line, Measurand, Modifier, Record, SecondaryAddress, Telegram,
    Value,
};
use crate::obis;

/// The records of one telegram and their codes; no two records have the same one.
///
/// As in a readout the first record keeps the code of the list, and others get private ones.
pub(super) fn with_codes<'f>(telegram: &Telegram<'f>) -> impl Iterator<Item = (Record<'f>, Obis)> {
    let device_type = telegram.header().device_type;
    let mut taken = Vec::with_capacity(TYPICAL_RECORDS);
    telegram.records().map(move |record| {
        let code = free_code(&record, device_type, &taken);
        taken.push(code);
        (record, code)
    })
}

/// The records of a telegram that fills its frame, as a rule.
const TYPICAL_RECORDS: usize = 32;

/// The search is bounded by the 255 occurrences of which a code can be made; a telegram has fewer
/// records.
fn free_code(record: &Record<'_>, device_type: DeviceType, taken: &[Obis]) -> Obis {
    let listed = obis::code_of(record, device_type);
    if !taken.contains(&listed) {
        return listed;
    }
    (1..=u8::MAX)
        .map(|occurrence| obis::private_code(record, device_type, occurrence))
        .find(|code| !taken.contains(code))
        .unwrap_or(listed)
}

/// Which parts of the header the telegram has: the address of the sender, and its state.
pub(super) struct Known {
    pub(super) identification: bool,
    pub(super) maker: bool,
    pub(super) state: bool,
}

impl Known {
    pub(super) fn of(header: &Header) -> Self {
        let nobody = SecondaryAddress::NOBODY;
        let by_link = header.sender() != nobody;
        match header.kind {
            HeaderKind::Long => Self {
                identification: true,
                maker: true,
                state: true,
            },
            HeaderKind::Fixed => Self {
                identification: true,
                maker: false,
                state: true,
            },
            HeaderKind::Short => Self {
                identification: by_link,
                maker: by_link,
                state: true,
            },
            HeaderKind::None => Self {
                identification: by_link,
                maker: by_link,
                state: false,
            },
        }
    }
}

pub(super) const fn function(function: Function) -> &'static str {
    match function {
        Function::Instantaneous => "instantaneous",
        Function::Maximum => "maximum",
        Function::Minimum => "minimum",
        Function::Error => "error",
    }
}

/// Writes what is measured, and behind commas what the orthogonal VIFEs make of it.
pub(super) fn push_quantity(out: &mut String, record: &Record<'_>) {
    let measurand = record.vib.measurand();
    out.push_str(measurand.words());
    if record.vib.is_plain() || measurand == Measurand::ManufacturerSpecific {
        return;
    }
    let mut makers = false;
    for modifier in record.vib.modifiers() {
        let words = match modifier {
            Modifier::Maker(_) if makers => "",
            Modifier::Maker(_) => {
                makers = true;
                makers_words(record.vib.line())
            }
            Modifier::First(_) | Modifier::Second(_) => modifier.words(),
        };
        if !words.is_empty() {
            out.push_str(", ");
            out.push_str(words);
        }
    }
}

const fn makers_words(line: Line) -> &'static str {
    match line {
        Line::L1 => "phase L1",
        Line::L2 => "phase L2",
        Line::L3 => "phase L3",
        Line::All | Line::Neutral | Line::Between(_) => "manufacturer specific",
    }
}

/// What stands in the place of a value that there is not: a short name and a sentence.
pub(super) fn fault(record: &Record<'_>) -> Option<(&'static str, String)> {
    match &record.value {
        Ok(Value::Nothing) => Some(("no-data", "the meter's record has no data".to_owned())),
        Ok(_) => None,
        Err(error) => Some((error.code(), error.to_string())),
    }
}

/// Writes a number in plain digits.
pub(super) fn push_number(out: &mut String, number: u64) {
    if number < 10 {
        let digit = u8::try_from(number).unwrap_or(0);
        out.push(char::from(b'0'.saturating_add(digit)));
        return;
    }
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    let mut rest = number;
    // At most 20 passes: the digits of the greatest number.
    for place in digits.iter_mut().rev() {
        let digit = u8::try_from(rest % 10).unwrap_or(0);
        *place = b'0'.saturating_add(digit);
        start = start.saturating_sub(1);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    push_ascii(out, digits.get(start..).unwrap_or(&[]));
}

/// Writes characters that are known to be of ASCII.
fn push_ascii(out: &mut String, characters: &[u8]) {
    out.push_str(std::str::from_utf8(characters).unwrap_or_default());
}

/// Writes a decimal as its text form is, without an exponent.
pub(super) fn push_decimal(out: &mut String, value: Decimal) {
    let Ok(magnitude) = u64::try_from(value.mantissa().unsigned_abs()) else {
        out.push_str(&value.to_string());
        return;
    };
    if value.mantissa() < 0 {
        out.push('-');
    }
    let places = usize::from(value.scaler().unsigned_abs());
    let start = out.len();
    push_number(out, magnitude);
    if value.scaler() >= 0 {
        if magnitude != 0 {
            out.extend(std::iter::repeat_n('0', places));
        }
        return;
    }
    let digits = out.len().saturating_sub(start);
    for _ in digits..=places {
        out.insert(start, '0');
    }
    out.insert(out.len().saturating_sub(places), '.');
}

pub(super) fn push_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    const BYTES_AT_ONCE: usize = 32;
    let mut characters = [0; 2 * BYTES_AT_ONCE];
    for part in bytes.chunks(BYTES_AT_ONCE) {
        for (place, byte) in characters.as_chunks_mut::<2>().0.iter_mut().zip(part) {
            let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
            *place = [digit(byte >> 4), digit(byte & 0x0F)];
        }
        push_ascii(out, characters.get(..part.len().saturating_mul(2)).unwrap_or(&[]));
    }
}

pub(super) fn push_obis(out: &mut String, code: Obis) {
    /// Six groups of three digits, and the five signs between them.
    const LONGEST: usize = 23;
    let mut characters = [0u8; LONGEST];
    let mut length = 0usize;
    let mut put = |character: u8| {
        if let Some(place) = characters.get_mut(length) {
            *place = character;
            length = length.saturating_add(1);
        }
    };
    for (group, behind) in code.groups().into_iter().zip(*b"-:..*\0") {
        let digit = |number: u8| b'0'.saturating_add(number % 10);
        if group >= 100 {
            put(digit(group / 100));
        }
        if group >= 10 {
            put(digit(group / 10));
        }
        put(digit(group));
        if behind != 0 {
            put(behind);
        }
    }
    push_ascii(out, characters.get(..length).unwrap_or(&[]));
}

/// Writes two digits, as in dates.
fn push_two(out: &mut String, number: u8) {
    if number < 10 {
        out.push('0');
    }
    push_number(out, number.into());
}

/// Writes a value; `None` if there is none.
pub(super) fn push_value(out: &mut String, record: &Record<'_>) -> Option<()> {
    match record.value {
        Ok(Value::Number { value, .. }) => push_decimal(out, value),
        Ok(Value::Date(date)) => push_date(out, date),
        Ok(Value::DateTime(time)) => {
            push_date(out, time.date());
            out.push('T');
            push_time(out, time.clock());
        }
        Ok(Value::Time(time)) => push_time(out, time),
        Ok(Value::Text(text)) => out.push_str(&text.to_string()),
        Ok(Value::Raw(bytes)) => push_hex(out, bytes),
        Ok(Value::Nothing) | Err(_) => return None,
    }
    Some(())
}

fn push_date(out: &mut String, date: crate::application::CivilDate) {
    push_number(out, date.year().into());
    out.push('-');
    push_two(out, date.month());
    out.push('-');
    push_two(out, date.day());
}

fn push_time(out: &mut String, time: crate::application::TimeOfDay) {
    push_two(out, time.hour());
    out.push(':');
    push_two(out, time.minute());
    if let Some(second) = time.second() {
        out.push(':');
        push_two(out, second);
    }
}

/// Writes the unit, if the record has one.
///
/// What the meter wrote out is shown beside texts too, since it is all that says what they are.
pub(super) fn push_unit(out: &mut String, record: &Record<'_>) -> Option<()> {
    let written_out = record.vib.plain_text().map(|text| text.to_string());
    let written_out = written_out.filter(|text| !text.is_empty());
    if let Some(text) = &written_out {
        out.push_str(text);
    }
    let unit = match record.value {
        Ok(Value::Number { unit, .. }) => unit,
        Err(_) | Ok(Value::Nothing) => record.vib.unit(),
        Ok(_) => None,
    };
    let Some(unit) = unit else {
        return written_out.map(|_| ());
    };
    out.push_str(unit.base().symbol());
    if let Some(ratio) = unit.ratio() {
        out.push_str(ratio.symbol());
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn decimals_are_written_as_the_model_writes_them(mantissa: i64, small in -2000i64..2000, scaler in -30i8..=30) {
            for mantissa in [mantissa, small] {
                let value = Decimal::new(mantissa.into(), scaler).unwrap();
                let mut text = String::new();
                push_decimal(&mut text, value);
                prop_assert_eq!(text, value.to_string());
            }
        }
    }

    #[test]
    fn numbers_beyond_64_bits_are_written_too() {
        let mut text = String::new();
        push_decimal(&mut text, Decimal::new(-i128::from(u64::MAX) * 10, -1).unwrap());
        assert_eq!(text, "-18446744073709551615.0");
        text.clear();
        push_number(&mut text, u64::MAX);
        assert_eq!(text, "18446744073709551615");
    }
}
