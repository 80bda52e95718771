//! From registers to samples.

mod content;
mod exact;
mod fault;

use model::{Decimal, Element, GapReason, Medium, MeterId, Obis, Quantity, Sample, Status};

pub(crate) use content::{Content, content};
use exact::product;
pub(crate) use exact::quotient;
pub use fault::{ValueFault, refusal_reason};

use crate::image::RegisterImage;
use crate::profile::{Field, Parameter, Profile, Register, Total, UnitSource};

/// What one meter gave in one poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readout {
    /// Who the meter is.
    pub meter: MeterId,
    /// What it measures.
    pub medium: Medium,
    /// What it measured: the samples of each register of the profile, in the profile's order.
    pub samples: Vec<Sample>,
}

/// The value of one element, before it is known whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodedValue {
    /// What was measured.
    pub obis: Obis,
    /// The value, or the reason why there is none.
    pub value: Result<Quantity, ValueFault>,
    /// What is to be known about the value.
    pub status: Status,
}

impl Profile {
    /// Decodes what was read from a meter that tells its serial number.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the profile or the image holds no serial number, so that nobody knows
    /// whose values they are.
    pub fn decode(&self, image: &RegisterImage) -> Result<Readout, DecodeError> {
        Ok(self.decode_for(&self.identity(image)?, image))
    }

    /// Decodes what was read from a meter whose identity is known.
    #[must_use]
    pub fn decode_for(&self, meter: &MeterId, image: &RegisterImage) -> Readout {
        let samples = self.values(image).into_iter().map(|decoded| Sample {
            element: Element {
                meter: meter.clone(),
                obis: decoded.obis,
            },
            value: decoded.value.map_err(ValueFault::gap_reason),
            status: decoded.status,
        });
        Readout {
            meter: meter.clone(),
            medium: self.medium(),
            samples: samples.collect(),
        }
    }

    /// Returns the identity of the meter that was read.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the profile or the image holds no serial number.
    pub fn identity(&self, image: &RegisterImage) -> Result<MeterId, DecodeError> {
        let serial_number = self.serial_number().ok_or(DecodeError::NoSerialNumber)?;
        let identity = match content(&serial_number.field, image) {
            Ok(Content::Number(number)) => serial_number.numbered(number.mantissa()),
            Ok(Content::Text(text)) => serial_number.named(&text),
            Err(ValueFault::NotRead(_) | ValueFault::Refused { .. }) => {
                return Err(DecodeError::SerialNumberNotRead);
            }
            Err(_) => return Err(DecodeError::SerialNumberNotAvailable),
        };
        identity.map_err(|_| DecodeError::SerialNumberNotAvailable)
    }

    /// Decodes the values of every register, in the profile's order, and then its totals.
    ///
    /// What gives no value has a [`ValueFault`].
    #[must_use]
    pub fn values(&self, image: &RegisterImage) -> Vec<DecodedValue> {
        let registers = self.registers().iter();
        let mut values: Vec<DecodedValue> = registers
            .flat_map(|register| self.values_of(register, image))
            .collect();
        let totals: Vec<DecodedValue> = self.totals().iter().map(|total| sum(total, &values)).collect();
        values.extend(totals);
        values
    }

    fn values_of(&self, register: &Register, image: &RegisterImage) -> impl Iterator<Item = DecodedValue> {
        let value = self.quantity(register, image);
        let status = match value {
            Ok(_) if self.comes_from_a_real(register) => Status::FROM_FLOAT,
            _ => Status::GOOD,
        };
        let (above, below) = match register.negative_obis {
            None => (value, None),
            Some(obis) => (
                part(value, Part::AboveZero),
                Some((obis, part(value, Part::BelowZero))),
            ),
        };
        let parts = [Some((register.obis, above)), below];
        parts
            .into_iter()
            .flatten()
            .map(move |(obis, value)| DecodedValue { obis, value, status })
    }

    /// Computes the value of a register, exactly.
    fn quantity(&self, register: &Register, image: &RegisterImage) -> Result<Quantity, ValueFault> {
        let mut value = number(&register.field, image)?;
        if let Some(fraction) = &register.fraction {
            let rest = number(&fraction.field, image)?;
            let rest = rest.scaled_by(fraction.power_of_ten).ok_or(ValueFault::Scaled)?;
            value = value.checked_add(rest).ok_or(ValueFault::Scaled)?;
        }
        let (unit, unit_power) = self.unit_of(register, image)?;
        let scaling = &register.scaling;
        let power = match scaling.power_from {
            None => 0,
            Some(index) => whole_power(self.parameter(index, image)?)?,
        };
        let mut factors = Vec::with_capacity(scaling.times.len());
        for index in &scaling.times {
            factors.push(self.parameter(*index, image)?);
        }
        let mut divisors = Vec::with_capacity(scaling.over.len());
        for index in &scaling.over {
            divisors.push(self.parameter(*index, image)?);
        }
        let scaled = || {
            let mut value = value
                .scaled_by(scaling.power_of_ten)?
                .scaled_by(power)?
                .scaled_by(unit_power)?;
            for factor in factors {
                value = product(value, factor)?;
            }
            for divisor in divisors {
                value = quotient(value, divisor)?;
            }
            let (numerator, denominator) = (scaling.ratio.numerator, scaling.ratio.denominator);
            if numerator != denominator {
                value = product(value, scaling.ratio.decimal()?)?;
            }
            if register.inverted {
                value = Decimal::new(value.mantissa().checked_neg()?, value.scaler())?;
            }
            Some(value)
        };
        let value = scaled().ok_or(ValueFault::Scaled)?;
        Ok(Quantity { value, unit })
    }

    /// Returns the unit of a register, and the power of ten that leads to it.
    fn unit_of(&self, register: &Register, image: &RegisterImage) -> Result<(model::Unit, i8), ValueFault> {
        let index = match register.unit {
            UnitSource::Fixed(unit) => return Ok((unit, 0)),
            UnitSource::From(index) => index,
        };
        let parameter = self.parameters().get(index).ok_or(ValueFault::UnknownUnit)?;
        let code = number(&parameter.field, image)?;
        let named = parameter
            .units
            .iter()
            .find(|unit| Decimal::whole(unit.code.into()).same_value(code));
        let named = named.ok_or(ValueFault::UnknownUnit)?;
        Ok((named.unit, named.power_of_ten))
    }

    fn parameter(&self, index: usize, image: &RegisterImage) -> Result<Decimal, ValueFault> {
        let parameter: &Parameter = self.parameters().get(index).ok_or(ValueFault::Scaled)?;
        let number = number(&parameter.field, image)?;
        if parameter.range.is_some_and(|range| !range.holds(number)) {
            return Err(ValueFault::Parameter { found: number });
        }
        number.scaled_by(parameter.power_of_ten).ok_or(ValueFault::Scaled)
    }

    fn comes_from_a_real(&self, register: &Register) -> bool {
        let scaling = &register.scaling;
        let mut factors = scaling.times.iter().chain(&scaling.over);
        register.field.register_type.is_real()
            || register
                .fraction
                .as_ref()
                .is_some_and(|fraction| fraction.field.register_type.is_real())
            || factors.any(|index| {
                self.parameters()
                    .get(*index)
                    .is_some_and(|found| found.field.register_type.is_real())
            })
    }
}

/// Reads a number; a text that is none is a bad answer.
fn number(field: &Field, image: &RegisterImage) -> Result<Decimal, ValueFault> {
    match content(field, image)? {
        Content::Number(number) => Ok(number),
        Content::Text(text) => text.parse().map_err(|_| ValueFault::NoNumber),
    }
}

/// Returns a parameter as a power of ten.
fn whole_power(parameter: Decimal) -> Result<i8, ValueFault> {
    let whole = parameter.rescaled(0).ok_or(ValueFault::PowerOfTen)?;
    i8::try_from(whole.mantissa()).map_err(|_| ValueFault::PowerOfTen)
}

/// A direction of a signed register.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    AboveZero,
    BelowZero,
}

/// Returns the amount in one direction; it is zero while the meter counts in the other.
fn part(value: Result<Quantity, ValueFault>, part: Part) -> Result<Quantity, ValueFault> {
    let quantity = value?;
    let mantissa = quantity.value.mantissa();
    let counts = (mantissa >= 0) == (part == Part::AboveZero);
    let amount = if counts { mantissa.checked_abs() } else { Some(0) };
    let value = amount.and_then(|amount| Decimal::new(amount, quantity.value.scaler()));
    Ok(Quantity {
        value: value.ok_or(ValueFault::Scaled)?,
        ..quantity
    })
}

/// Adds up the parts of a total; one that is absent leaves the total absent for the same reason.
fn sum(total: &Total, values: &[DecodedValue]) -> DecodedValue {
    let mut status = Status::GOOD;
    let mut add = || {
        let mut amount: Option<Quantity> = None;
        for obis in &total.of {
            let part = values.iter().find(|decoded| decoded.obis == *obis);
            let part = part.ok_or(ValueFault::NotRead(GapReason::NoAnswer))?;
            let quantity = part.value?;
            status = status.with(part.status);
            amount = Some(match amount {
                None => quantity,
                Some(before) if before.unit != quantity.unit => return Err(ValueFault::Units),
                Some(before) => Quantity {
                    value: before
                        .value
                        .checked_add(quantity.value)
                        .ok_or(ValueFault::Scaled)?,
                    ..quantity
                },
            });
        }
        amount.ok_or(ValueFault::NotRead(GapReason::NoAnswer))
    };
    let value = add();
    DecodedValue {
        obis: total.obis,
        value,
        status: if value.is_ok() { status } else { Status::GOOD },
    }
}

/// The reason why registers cannot be told to be a meter's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Meters of this family do not tell their serial number; the identity must be known.
    #[error("the profile has no serial number, so the meter must be named by hand")]
    NoSerialNumber,
    /// The registers with the serial number were not read.
    #[error("the meter's serial number was not read")]
    SerialNumberNotRead,
    /// The meter says that it has no serial number, or gives one that makes no identity.
    #[error("the meter has no serial number")]
    SerialNumberNotAvailable,
}

#[cfg(test)]
mod tests;
