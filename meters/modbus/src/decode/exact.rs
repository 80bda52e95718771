//! Products and quotients of decimals, exact or absent.

use model::Decimal;

/// Multiplies exactly; `None` if the digits or the scaler do not fit.
pub(crate) fn product(one: Decimal, two: Decimal) -> Option<Decimal> {
    let mantissa = one.mantissa().checked_mul(two.mantissa())?;
    Decimal::new(mantissa, one.scaler().checked_add(two.scaler())?)
}

/// Divides exactly; `None` by zero, if the quotient is no finite decimal, or if it does not fit.
pub(crate) fn quotient(dividend: Decimal, divisor: Decimal) -> Option<Decimal> {
    let common = greatest_common_divisor(
        dividend.mantissa().unsigned_abs(),
        divisor.mantissa().unsigned_abs(),
    );
    let common = i128::try_from(common).ok()?;
    let numerator = dividend.mantissa().checked_div(common)?;
    let denominator = divisor.mantissa().checked_div(common)?;
    let (twos, rest) = without_factor(denominator.unsigned_abs(), 2);
    let (fives, rest) = without_factor(rest, 5);
    if rest != 1 {
        return None;
    }
    // 1 / (2^t × 5^f) is 2^(z-t) × 5^(z-f) / 10^z, where z is the greater of both.
    let zeros = twos.max(fives);
    let factor = 2i128
        .checked_pow(zeros.checked_sub(twos)?)?
        .checked_mul(5i128.checked_pow(zeros.checked_sub(fives)?)?)?;
    let mantissa = numerator.checked_mul(factor)?.checked_mul(denominator.signum())?;
    let scaler = dividend.scaler().checked_sub(divisor.scaler())?;
    Decimal::new(mantissa, scaler.checked_sub(i8::try_from(zeros).ok()?)?)
}

/// Euclid's algorithm; it ends, since the second number shrinks with each step.
const fn greatest_common_divisor(mut one: u128, mut two: u128) -> u128 {
    while let Some(rest) = one.checked_rem(two) {
        one = two;
        two = rest;
    }
    one
}

/// Takes a factor out of a number as often as it is in it, at most 127 times.
fn without_factor(mut number: u128, factor: u128) -> (u32, u128) {
    let mut times = 0u32;
    while number != 0 && number.checked_rem(factor) == Some(0) {
        number = number.checked_div(factor).unwrap_or(0);
        times = times.saturating_add(1);
    }
    (times, number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn products_keep_every_digit() {
        assert_eq!(product(decimal("1.25"), decimal("-0.8")), Decimal::new(-1000, -3));
        assert_eq!(product(Decimal::whole(i128::MAX), Decimal::whole(2)), None);
        assert_eq!(
            product(Decimal::new(1, 20).unwrap(), Decimal::new(1, 20).unwrap()),
            None
        );
    }

    #[test]
    fn quotients_are_finite_decimals_or_absent() {
        for (dividend, divisor, expected) in [
            ("100", "5", Some("20")),
            ("1", "8", Some("0.125")),
            ("3", "-40", Some("-0.075")),
            ("0.6", "0.3", Some("2")),
            ("6", "3", Some("2")),
            ("0", "7", Some("0")),
            ("1", "3", None),
            ("1", "0", None),
            ("0", "0", None),
        ] {
            let found = quotient(decimal(dividend), decimal(divisor));
            match (found, expected) {
                (Some(found), Some(expected)) => assert!(found.same_value(decimal(expected)), "{found}"),
                (found, expected) => assert_eq!(found.is_none(), expected.is_none(), "{dividend}/{divisor}"),
            }
        }
    }

    proptest! {
        #[test]
        fn a_quotient_times_the_divisor_is_the_dividend(dividend: i64, divisor: i32, scaler in -9i8..=9) {
            let dividend = Decimal::new(dividend.into(), scaler).unwrap();
            let divisor = Decimal::whole(divisor.into());
            if let Some(found) = quotient(dividend, divisor) {
                prop_assert!(product(found, divisor).unwrap().same_value(dividend));
            }
        }

        #[test]
        fn any_digits_are_divided_or_refused(one: i128, two: i128, first in -30i8..=30, second in -30i8..=30) {
            let (one, two) = (Decimal::new(one, first).unwrap(), Decimal::new(two, second).unwrap());
            let _ = (product(one, two), quotient(one, two));
        }
    }
}
