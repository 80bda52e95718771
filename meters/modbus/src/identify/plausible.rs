//! Whether registers look like the values of a profile, for families that nothing else tells apart.

use model::{Decimal, Obis, Quantity, Status, Unit};

use crate::image::RegisterImage;
use crate::profile::Profile;

/// How well registers suit a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plausibility {
    /// The values of the profile.
    pub values: usize,
    /// How many of them the meter shows.
    pub shown: usize,
    /// How many registers hold what stands for "no value".
    pub absent: usize,
    /// How many would hardly be there by chance: reals of a sensible size other than zero.
    pub telling: usize,
    /// The first value that no meter shows.
    pub implausible: Option<(Obis, Quantity)>,
}

impl Plausibility {
    /// Values that suit a profile by chance in other registers: two zeros make a real of zero, and a
    /// few of the other reals have a sensible size.
    const TELLING: usize = 3;

    /// Judges what was read with the profile's requests.
    #[must_use]
    pub fn of(profile: &Profile, image: &RegisterImage) -> Self {
        let values = profile.values(image);
        let shown = values
            .iter()
            .filter_map(|decoded| Some((decoded, decoded.value.ok()?)));
        let is_telling = |status: Status, quantity: &Quantity| {
            status == Status::FROM_FLOAT && magnitude(quantity.value).is_some()
        };
        let absent = values.iter().filter_map(|decoded| decoded.value.err());
        Self {
            values: values.len(),
            shown: shown.clone().count(),
            absent: absent.filter(|fault| fault.is_the_meters_word()).count(),
            telling: shown
                .clone()
                .filter(|(decoded, quantity)| is_telling(decoded.status, quantity))
                .count(),
            implausible: shown
                .map(|(decoded, quantity)| (decoded.obis, quantity))
                .find(|(_, quantity)| !is_sensible(quantity)),
        }
    }

    /// Returns whether the meter may well be of the profile's family.
    ///
    /// Registers that hold a NaN, or another content that stands for "no value", are there: a meter on
    /// one phase has no values of the others. But the greater part must be values.
    #[must_use]
    pub const fn suits(&self) -> bool {
        let there = self.shown.saturating_add(self.absent);
        self.implausible.is_none()
            && there == self.values
            && self.absent <= self.shown
            && self.telling >= Self::TELLING
    }
}

/// Returns whether a meter can show such a value; zero it always can.
fn is_sensible(quantity: &Quantity) -> bool {
    /// Powers of ten from the millionth part of a unit on.
    const LEAST: i32 = -6;
    let most = match quantity.unit {
        Unit::Hertz => 2,
        Unit::DegreeCelsius | Unit::Kelvin | Unit::Degree => 3,
        Unit::Volt | Unit::Ampere | Unit::Bar => 6,
        Unit::Watt | Unit::Var | Unit::VoltAmpere => 10,
        _ => 15,
    };
    let least = if quantity.unit == Unit::Hertz { 1 } else { LEAST };
    magnitude(quantity.value).is_none_or(|power| (least..=most).contains(&power))
}

/// Returns the power of ten of the first digit; zero has none.
fn magnitude(value: Decimal) -> Option<i32> {
    let digits = value.mantissa().unsigned_abs().checked_ilog10()?;
    i32::try_from(digits).ok()?.checked_add(value.scaler().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Block;
    use crate::profile::Function;

    fn profile(name: &str) -> Profile {
        Profile::parse(crate::built_in(name).unwrap()).unwrap()
    }

    /// Every register of the profile's requests, with what the words are at their place.
    fn image(profile: &Profile, word: impl Fn(u16) -> u16) -> RegisterImage {
        let mut image = RegisterImage::new();
        for block in profile.blocks() {
            let words: Vec<u16> = (block.address..).take(block.count.into()).map(&word).collect();
            image.insert(*block, &words).unwrap();
        }
        image
    }

    #[test]
    fn a_meter_that_shows_sensible_reals_suits() {
        let profile = profile("eastron-sdm630");
        // 50.0 in every pair of registers.
        let image = image(&profile, |address| if address % 2 == 0 { 0x4248 } else { 0 });
        let plausibility = Plausibility::of(&profile, &image);
        assert_eq!((plausibility.values, plausibility.shown), (51, 51));
        assert!(plausibility.suits(), "{plausibility:?}");
    }

    #[test]
    fn zeros_and_texts_do_not_suit_reals() {
        let profile = profile("eastron-sdm630");
        let zeros = Plausibility::of(&profile, &image(&profile, |_| 0));
        assert_eq!((zeros.telling, zeros.suits()), (0, false));
        let blanks = Plausibility::of(&profile, &image(&profile, |_| 0x2020));
        assert!(blanks.implausible.is_some() && !blanks.suits());
    }

    #[test]
    fn a_meter_that_hides_registers_does_not_suit() {
        let profile = profile("eastron-sdm630");
        let mut shown = RegisterImage::new();
        let block = Block {
            function: Function::InputRegisters,
            address: 0,
            count: 6,
        };
        shown.insert(block, &[0x4366, 0, 0x4366, 0, 0x4366, 0]).unwrap();
        let plausibility = Plausibility::of(&profile, &shown);
        assert_eq!((plausibility.shown, plausibility.telling), (3, 3));
        assert!(!plausibility.suits());
    }

    #[test]
    fn a_meter_on_one_phase_has_no_values_of_the_others_and_suits() {
        let profile = profile("eastron-sdm630");
        let suits = |absent_until: u16| {
            let word = |address: u16| match address % 2 {
                0 if address < absent_until => 0x7FC0,
                0 => 0x4248,
                _ => 0,
            };
            Plausibility::of(&profile, &image(&profile, word)).suits()
        };
        assert!(suits(0x20));
        // Hardly anything is left.
        assert!(!suits(0x156));
    }

    #[test]
    fn sizes_follow_the_unit() {
        let sensible = |value: &str, unit| {
            is_sensible(&Quantity {
                value: value.parse().unwrap(),
                unit,
            })
        };
        assert!(sensible("50.02", Unit::Hertz) && sensible("0", Unit::Hertz));
        assert!(!sensible("0.05", Unit::Hertz) && !sensible("5000", Unit::Hertz));
        assert!(sensible("-40", Unit::DegreeCelsius) && !sensible("1000000", Unit::DegreeCelsius));
        assert!(!sensible("0.00000000001", Unit::Watt));
    }
}
