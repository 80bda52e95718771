//! Exact arithmetic with decimals: nothing is rounded but where a bill says so.

use model::Decimal;

/// Multiplies exactly; `None` on overflow.
#[must_use]
pub fn product(one: Decimal, other: Decimal) -> Option<Decimal> {
    let mantissa = one.mantissa().checked_mul(other.mantissa())?;
    Decimal::new(mantissa, one.scaler().checked_add(other.scaler())?)
}

/// Rounds to so many places behind the point, half away from zero; `None` on overflow.
#[must_use]
pub fn rounded(value: Decimal, places: u8) -> Option<Decimal> {
    let scaler = i8::try_from(places).ok()?.checked_neg()?;
    if let Some(exact) = value.rescaled(scaler) {
        return Some(exact);
    }
    let digits = scaler.checked_sub(value.scaler())?;
    let divisor = 10_i128.checked_pow(u32::try_from(digits).ok()?)?;
    let whole = value.mantissa().checked_div(divisor)?;
    let rest = value.mantissa().checked_rem(divisor)?;
    let up = rest.unsigned_abs().checked_mul(2)? >= divisor.unsigned_abs();
    let away = if up { rest.signum() } else { 0 };
    Decimal::new(whole.checked_add(away)?, scaler)
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "tests compute with small numbers")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn amounts_are_rounded_half_away_from_zero() {
        for (value, places, expected) in [
            ("1.005", 2, "1.01"),
            ("1.0049999", 2, "1.00"),
            ("-1.005", 2, "-1.01"),
            ("-1.004", 2, "-1.00"),
            ("2", 2, "2.00"),
            ("0.5", 0, "1"),
            ("0.49", 0, "0"),
        ] {
            assert_eq!(
                rounded(decimal(value), places).unwrap().to_string(),
                expected,
                "{value}"
            );
        }
        assert_eq!(rounded(Decimal::whole(i128::MAX), 2), None);
    }

    #[test]
    fn products_are_exact() {
        let price = product(decimal("1234.567"), decimal("0.312345")).unwrap();
        assert_eq!(price.to_string(), "385.610829615");
        assert_eq!(product(Decimal::whole(i128::MAX), Decimal::whole(2)), None);
    }

    proptest! {
        #[test]
        fn rounding_moves_by_half_a_step_at_most(mantissa in -1_000_000_000_i128..1_000_000_000, scaler in -9_i8..=0, places in 0_u8..6) {
            let value = Decimal::new(mantissa, scaler).unwrap();
            let moved = rounded(value, places).unwrap().checked_sub(value).unwrap();
            let twice = product(moved, Decimal::whole(2)).unwrap();
            let scale = 10_i128.pow(30) / 10_i128.pow(u32::from(places));
            let step = twice.rescaled(-30).unwrap().mantissa().abs();
            prop_assert!(step <= scale);
        }
    }
}
