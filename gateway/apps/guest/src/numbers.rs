//! Exact decimals of 64 bits.

use core::cmp::Ordering;

use crate::Fault;

/// Returns the power of ten.
///
/// # Errors
///
/// [`Fault::OVERFLOW`] above 10^18.
pub fn power_of_ten(exponent: u8) -> Result<i64, Fault> {
    10i64.checked_pow(u32::from(exponent)).ok_or(Fault::OVERFLOW)
}

/// Returns the digits of the same number with another power of ten, if that needs no rounding.
///
/// # Errors
///
/// [`Fault::OVERFLOW`] if they do not fit, or digits would be lost.
pub fn rescaled(mantissa: i64, from: i8, to: i8) -> Result<i64, Fault> {
    let shift = i16::from(from) - i16::from(to);
    let factor = power_of_ten(u8::try_from(shift.unsigned_abs()).map_err(|_| Fault::OVERFLOW)?)?;
    if shift >= 0 {
        mantissa.checked_mul(factor).ok_or(Fault::OVERFLOW)
    } else if mantissa % factor == 0 {
        Ok(mantissa / factor)
    } else {
        Err(Fault::OVERFLOW)
    }
}

/// Compares two numbers with their powers of ten.
///
/// # Errors
///
/// [`Fault::OVERFLOW`] if the coarser one does not fit the finer power of ten.
pub fn compare(one: (i64, i8), two: (i64, i8)) -> Result<Ordering, Fault> {
    let scaler = one.1.min(two.1);
    Ok(rescaled(one.0, one.1, scaler)?.cmp(&rescaled(two.0, two.1, scaler)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_whatever_their_powers_of_ten() {
        assert_eq!(compare((15, -1), (1, 0)), Ok(Ordering::Greater));
        assert_eq!(compare((10, -1), (1, 0)), Ok(Ordering::Equal));
        assert_eq!(compare((i64::MAX, 0), (1, -1)), Err(Fault::OVERFLOW));
        assert_eq!(compare((1, 100), (1, -100)), Err(Fault::OVERFLOW));
    }

    #[test]
    fn nothing_is_rounded() {
        assert_eq!(rescaled(1500, -3, -1), Ok(15));
        assert_eq!(rescaled(1501, -3, -1), Err(Fault::OVERFLOW));
    }
}
