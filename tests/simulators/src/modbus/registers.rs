//! The registers of a meter, and what it answers when it is asked for them.

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
}

impl Registers {
    /// A meter with these contents that takes requests for up to `longest` registers, and shows zeros in holes.
    #[must_use]
    pub const fn new(image: RegisterImage, longest: u16) -> Self {
        Self {
            image,
            longest,
            refuses_holes: false,
        }
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
