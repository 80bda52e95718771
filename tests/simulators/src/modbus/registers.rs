//! The registers of a meter, and what it answers when it is asked for them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use modbus::{Block, Function, RegisterImage};

/// The exceptions with which a meter refuses a request.
pub(super) const ILLEGAL_FUNCTION: u8 = 1;
pub(super) const ILLEGAL_DATA_ADDRESS: u8 = 2;
pub(super) const ILLEGAL_DATA_VALUE: u8 = 3;

/// The registers of a meter: some have contents, the holes between them have none.
#[derive(Debug, Clone)]
pub struct Registers {
    image: RegisterImage,
    longest: u16,
    refuses_holes: bool,
    /// Registers that are refused, of any table, and the exception for it.
    refused: Vec<(RangeInclusive<u16>, u8)>,
    /// The texts of the device identification, by object.
    objects: BTreeMap<u8, String>,
}

impl Registers {
    /// A meter with these contents that takes requests for up to `longest` registers, and shows zeros in holes.
    #[must_use]
    pub const fn new(image: RegisterImage, longest: u16) -> Self {
        Self {
            image,
            longest,
            refuses_holes: false,
            refused: Vec::new(),
            objects: BTreeMap::new(),
        }
    }

    /// Has the meter refuse each request that touches one of these registers, with that exception.
    #[must_use]
    pub fn refusing(mut self, addresses: RangeInclusive<u16>, exception: u8) -> Self {
        self.refused.push((addresses, exception));
        self
    }

    /// Gives the meter a text in its device identification (function 43/14), by the object's number.
    #[must_use]
    pub fn with_object(mut self, object: u8, text: &str) -> Self {
        self.objects.insert(object, text.to_owned());
        self
    }

    /// Has the meter refuse each request that touches a hole.
    #[must_use]
    pub fn refusing_holes(self) -> Self {
        Self {
            refuses_holes: true,
            ..self
        }
    }

    /// Has the meter refuse longer requests.
    #[must_use]
    pub fn with_longest(self, longest: u16) -> Self {
        Self { longest, ..self }
    }

    /// Returns the contents.
    #[must_use]
    pub const fn image(&self) -> &RegisterImage {
        &self.image
    }

    /// Returns the text of an object of the device identification.
    ///
    /// # Errors
    ///
    /// The exception: 1 if the meter has no device identification, 2 if it lacks the object.
    pub fn object(&self, object: u8) -> Result<&str, u8> {
        if self.objects.is_empty() {
            return Err(ILLEGAL_FUNCTION);
        }
        let text = self.objects.get(&object);
        text.map(String::as_str).ok_or(ILLEGAL_DATA_ADDRESS)
    }

    /// Returns what the meter answers: the registers, or the code of its exception.
    ///
    /// # Errors
    ///
    /// The exception: 1 for a function that reads nothing, 2 for registers that the meter does not
    /// have, 3 for too many or too few of them.
    pub fn read(&self, function: u8, address: u16, count: u16) -> Result<Vec<u16>, u8> {
        let function = Function::try_from(function).map_err(|_| ILLEGAL_FUNCTION)?;
        if count == 0 || count > self.longest {
            return Err(ILLEGAL_DATA_VALUE);
        }
        let block = Block {
            function,
            address,
            count,
        };
        if block.end() > 1 << 16 {
            return Err(ILLEGAL_DATA_ADDRESS);
        }
        let touched =
            |range: &RangeInclusive<u16>| u32::from(*range.start()) < block.end() && *range.end() >= address;
        if let Some((_, exception)) = self.refused.iter().find(|(range, _)| touched(range)) {
            return Err(*exception);
        }
        let single = |address| {
            self.image.words(Block {
                address,
                count: 1,
                ..block
            })
        };
        let words = (address..=u16::MAX).take(count.into()).map(single);
        let words: Vec<Option<u16>> = words
            .map(|word| word.and_then(|word| word.first().copied()))
            .collect();
        let held = words.iter().filter(|word| word.is_some()).count();
        if held == 0 || (self.refuses_holes && held < words.len()) {
            return Err(ILLEGAL_DATA_ADDRESS);
        }
        Ok(words.into_iter().map(Option::unwrap_or_default).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registers() -> Registers {
        let mut image = RegisterImage::new();
        for (address, words) in [(10, [1, 2]), (14, [3, 4])] {
            let block = Block {
                function: Function::InputRegisters,
                address,
                count: 2,
            };
            image.insert(block, &words).unwrap();
        }
        Registers::new(image, 6)
    }

    #[test]
    fn holes_are_zero_or_refused() {
        assert_eq!(registers().read(4, 10, 6), Ok(vec![1, 2, 0, 0, 3, 4]));
        assert_eq!(
            registers().refusing_holes().read(4, 10, 6),
            Err(ILLEGAL_DATA_ADDRESS)
        );
        assert_eq!(registers().refusing_holes().read(4, 14, 2), Ok(vec![3, 4]));
    }

    #[test]
    fn given_registers_are_refused_with_the_given_exception() {
        let registers = registers().refusing(12..=13, ILLEGAL_DATA_VALUE);
        assert_eq!(registers.read(4, 10, 2), Ok(vec![1, 2]));
        assert_eq!(registers.read(4, 14, 2), Ok(vec![3, 4]));
        for (address, count) in [(10, 3), (13, 2), (10, 6)] {
            assert_eq!(registers.read(4, address, count), Err(ILLEGAL_DATA_VALUE));
        }
    }

    #[test]
    fn a_device_identifies_itself_if_it_can() {
        assert_eq!(registers().object(0), Err(ILLEGAL_FUNCTION));
        let registers = registers().with_object(0, "Acme");
        assert_eq!(registers.object(0), Ok("Acme"));
        assert_eq!(registers.object(1), Err(ILLEGAL_DATA_ADDRESS));
    }

    #[test]
    fn refusals_have_their_codes() {
        assert_eq!(registers().read(6, 10, 1), Err(ILLEGAL_FUNCTION));
        for (function, address, count) in [(3, 10, 2), (4, 12, 2), (4, 65_535, 2)] {
            assert_eq!(
                registers().read(function, address, count),
                Err(ILLEGAL_DATA_ADDRESS)
            );
        }
        for count in [0, 7] {
            assert_eq!(registers().read(4, 10, count), Err(ILLEGAL_DATA_VALUE));
        }
        assert_eq!(
            registers().with_longest(2).read(4, 10, 3),
            Err(ILLEGAL_DATA_VALUE)
        );
    }
}
