//! The check of where a number stands and how it is written there.

use std::ops::Range;

use super::Fault;
use crate::image::ADDRESS_SPACE;
use crate::profile::document::{Defaults, Model, PlaceEntry};
use crate::profile::{Field, Function, Place, ProfileFault, RegisterType, WordOrder};

/// What every entry is checked against.
pub(super) struct Context {
    pub(super) defaults: Defaults,
    pub(super) is_sunspec: bool,
}

impl Context {
    /// Returns the function code of an entry, or that of the defaults.
    pub(super) fn function(&self, given: Option<Function>, span: &Range<usize>) -> Result<Function, Fault> {
        let function = given.or(self.defaults.function);
        function.ok_or_else(|| ProfileFault::NoFunction.at_key(span, "function"))
    }

    /// Checks where a number stands; without `model`, a SunSpec address belongs to `usual`.
    pub(super) fn field(&self, entry: PlaceEntry, usual: Place, span: &Range<usize>) -> Result<Field, Fault> {
        let function = self.function(entry.function, span)?;
        let register_type = entry.register_type;
        let place = match (self.is_sunspec, entry.model) {
            (true, None) => usual,
            (true, Some(Model::Common)) => Place::CommonModel,
            (true, Some(Model::Meter)) => Place::MeterModel,
            (false, None) => Place::Wire,
            (false, Some(_)) => return Err(ProfileFault::NoSunSpec.at_key(span, "model")),
        };
        let count = checked_count(&entry, function, span)?;
        self.check_orders(&entry, count, span)?;
        check_bits(&entry, count, function, span)?;
        // A text is in reading order even where numbers are not.
        let usual_order = match register_type {
            RegisterType::Ascii => WordOrder::HighWordFirst,
            _ => self.defaults.word_order,
        };
        let field = Field {
            function,
            address: entry.address,
            place,
            count,
            register_type,
            word_order: entry.word_order.unwrap_or(usual_order),
            byte_order: entry.byte_order.unwrap_or(self.defaults.byte_order),
            bits: entry.bits,
            not_available: entry.not_available,
        };
        if field.block().end() > ADDRESS_SPACE {
            let address = field.address;
            return Err(ProfileFault::BeyondAddressSpace { address }.at_key(span, "address"));
        }
        let mut absent = field.not_available.iter().map(|words| words.as_slice().len());
        if let Some(found) = absent.find(|found| *found != usize::from(count)) {
            let expected = count;
            return Err(ProfileFault::NotAvailableWidth { expected, found }.at_key(span, "not_available"));
        }
        let absent = field.not_available.iter().enumerate();
        for (index, words) in absent {
            if field
                .not_available
                .iter()
                .take(index)
                .any(|earlier| earlier == words)
            {
                return Err(ProfileFault::RepeatedContents.at_key(span, "not_available"));
            }
        }
        Ok(field)
    }

    /// An order that is given for one entry must be possible for its type; one of `defaults` is
    /// passed over where it says nothing.
    fn check_orders(&self, entry: &PlaceEntry, count: u16, span: &Range<usize>) -> Result<(), Fault> {
        let order = ProfileFault::Order {
            register_type: entry.register_type,
        };
        let word_order = entry.word_order.unwrap_or(self.defaults.word_order);
        let given = entry.word_order.is_some();
        let wrong = match word_order {
            WordOrder::LowHalfFirst => count != 4 && (given || count > 1),
            WordOrder::HighWordFirst | WordOrder::LowWordFirst => given && count == 1,
        };
        if wrong {
            return Err(order.at_key(span, "word_order"));
        }
        Ok(())
    }
}

fn checked_count(entry: &PlaceEntry, function: Function, span: &Range<usize>) -> Result<u16, Fault> {
    let register_type = entry.register_type;
    if function.reads_bits() && register_type != RegisterType::Bitfield {
        return Err(ProfileFault::NotBits { register_type }.at_key(span, "type"));
    }
    // A bit of a table of bits is counted as a register, so that 64 of them make the widest field.
    let most = if function.reads_bits() {
        64
    } else {
        register_type.most_registers()
    };
    match (register_type.registers(), entry.count) {
        (Some(count), None) => Ok(count),
        (None, Some(count)) if (1..=most).contains(&count) => Ok(count),
        _ => Err(ProfileFault::Count { register_type }.at_key(span, "count")),
    }
}

fn check_bits(entry: &PlaceEntry, count: u16, function: Function, span: &Range<usize>) -> Result<(), Fault> {
    let Some(bits) = entry.bits else {
        return Ok(());
    };
    let width = if function.reads_bits() {
        count
    } else {
        count.saturating_mul(16)
    };
    let possible = entry.register_type == RegisterType::Bitfield && bits.count > 0 && bits.end() <= width;
    if possible {
        return Ok(());
    }
    Err(ProfileFault::Bits.at_key(span, "bits"))
}
