//! IEEE 754 reals on the wire, and the decimals that stand for them.

use model::Decimal;

/// Returns the shortest decimal that reads back as the same `f32`.
///
/// A register with a real is inexact by its nature; these are the fewest digits that lose nothing
/// of it: the real 230.1 becomes `230.1`, not 230.1000061. Whole numbers have scaler 0 and negative
/// zero becomes 0.
///
/// Returns `None` for NaN and the infinities, and for a real so close to zero that its digits lie
/// behind [`Decimal::MAX_SCALER`] places.
#[must_use]
pub fn shortest_decimal(real: f32) -> Option<Decimal> {
    if !real.is_finite() {
        return None;
    }
    from_scientific(&format!("{real:e}"))
}

/// Returns the shortest decimal that reads back as the same `f64`; as [`shortest_decimal`] does.
#[must_use]
pub fn shortest_decimal_f64(real: f64) -> Option<Decimal> {
    if !real.is_finite() {
        return None;
    }
    from_scientific(&format!("{real:e}"))
}

/// Reads what the standard library's `{:e}` writes: the shortest digits that read back, as in `-2.301e2`.
fn from_scientific(text: &str) -> Option<Decimal> {
    let (digits, exponent) = text.split_once('e')?;
    let digits: Decimal = digits.parse().ok()?;
    if digits.mantissa() == 0 {
        return Some(Decimal::whole(0));
    }
    let exponent: i16 = exponent.parse().ok()?;
    let scaler = i8::try_from(i16::from(digits.scaler()).checked_add(exponent)?).ok()?;
    if scaler <= 0 {
        return Decimal::new(digits.mantissa(), scaler);
    }
    written_out(digits.mantissa(), scaler)
}

/// Appends the zeros of a positive scaler to the digits, as far as they fit.
fn written_out(mantissa: i128, scaler: i8) -> Option<Decimal> {
    let factor = 10i128.checked_pow(u32::from(scaler.unsigned_abs()));
    match factor.and_then(|factor| mantissa.checked_mul(factor)) {
        Some(whole) => Some(Decimal::whole(whole)),
        None => Decimal::new(mantissa, scaler).or_else(|| written_out_in_part(mantissa, scaler)),
    }
}

/// Appends only as many zeros as bring the scaler down to the greatest one there is.
fn written_out_in_part(mantissa: i128, scaler: i8) -> Option<Decimal> {
    let greatest = i8::try_from(Decimal::MAX_SCALER).ok()?;
    let zeros = u32::try_from(scaler.checked_sub(greatest)?).ok()?;
    Decimal::new(mantissa.checked_mul(10i128.checked_pow(zeros)?)?, greatest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(real: f32) -> Option<String> {
        shortest_decimal(real).map(|decimal| decimal.to_string())
    }

    #[test]
    fn digits_are_the_fewest_that_read_back() {
        for (real, expected) in [
            (230.1, "230.1"),
            (-0.05, "-0.05"),
            (1.0, "1"),
            (1_000_000.0, "1000000"),
            (16_777_216.0, "16777216"),
            (12345.678, "12345.678"),
            (1e-30, "0.000000000000000000000000000001"),
            (f32::MAX, "340282350000000000000000000000000000000"),
        ] {
            assert_eq!(text(real).as_deref(), Some(expected));
        }
        assert_eq!(shortest_decimal(1_000_000.0), Some(Decimal::whole(1_000_000)));
    }

    #[test]
    fn negative_zero_is_zero() {
        assert_eq!(shortest_decimal(-0.0), Some(Decimal::whole(0)));
    }

    #[test]
    fn what_is_no_number_has_no_decimal() {
        for real in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(1)] {
            assert_eq!(shortest_decimal(real), None);
        }
        for real in [f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, 1e300] {
            assert_eq!(shortest_decimal_f64(real), None);
        }
    }

    #[test]
    fn doubles_keep_more_digits() {
        let text = |real: f64| shortest_decimal_f64(real).map(|decimal| decimal.to_string());
        assert_eq!(text(1_234_567.890_12).as_deref(), Some("1234567.89012"));
        assert_eq!(text(-0.0).as_deref(), Some("0"));
        assert_eq!(text(0.1 + 0.2).as_deref(), Some("0.30000000000000004"));
    }

    proptest! {
        #[test]
        fn every_decimal_reads_back_as_its_real(bits: u32) {
            let real = f32::from_bits(bits);
            match shortest_decimal(real) {
                Some(decimal) => prop_assert_eq!(decimal.to_string().parse::<f32>().unwrap(), real),
                None => prop_assert!(!real.is_finite() || real.abs() < 1e-21),
            }
        }

        #[test]
        fn every_decimal_reads_back_as_its_double(bits: u64) {
            let real = f64::from_bits(bits);
            match shortest_decimal_f64(real) {
                Some(decimal) => prop_assert_eq!(decimal.to_string().parse::<f64>().unwrap(), real),
                None => prop_assert!(!real.is_finite() || real.abs() < 1e-13 || real.abs() > 1e38),
            }
        }

        #[test]
        fn doubles_of_a_meters_size_have_a_decimal(real in -1e15f64..1e15) {
            if real == 0.0 || real.abs() > 1e-10 {
                let decimal = shortest_decimal_f64(real).unwrap();
                prop_assert_eq!(decimal.to_string().parse::<f64>().unwrap(), real);
            }
        }
    }
}
