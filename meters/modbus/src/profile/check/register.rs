//! The check of registers and parameters: what a value measures, and what turns its number into a unit.

use std::ops::Range;

use super::place::Context;
use super::{Fault, check_entries};
use crate::profile::document::{FractionEntry, RegisterEntry, TotalEntry};
use crate::profile::{
    Fraction, Parameter, Place, PollClass, ProfileFault, Ratio, Register, RegisterType, Scaling, Total,
    UnitSource, obis_rules,
};

impl RegisterEntry {
    pub(super) fn checked(
        mut self,
        span: &Range<usize>,
        context: &Context,
        parameters: &[Parameter],
    ) -> Result<Register, Fault> {
        let field = context.field(self.place(), Place::MeterModel, span)?;
        let register_type = field.register_type;
        if (self.negative_obis.is_some() || self.inverted) && !register_type.is_signed() {
            let key = if self.inverted {
                "inverted"
            } else {
                "negative_obis"
            };
            return Err(ProfileFault::NoSign { register_type }.at_key(span, key));
        }
        let fraction = self
            .fraction
            .take()
            .map(|entry| entry.checked(span, context, register_type))
            .transpose()?;
        if obis_rules::phase(self.obis) != self.phase && self.phase.is_some() {
            return Err(ProfileFault::PhaseMismatch { obis: self.obis }.at_key(span, "phase"));
        }
        if obis_rules::tariff(self.obis) != self.tariff && self.tariff.is_some() {
            return Err(ProfileFault::TariffMismatch { obis: self.obis }.at_key(span, "tariff"));
        }
        if let Some(obis) = self.negative_obis {
            if obis_rules::phase(obis) != obis_rules::phase(self.obis) {
                return Err(ProfileFault::PhaseMismatch { obis }.at_key(span, "negative_obis"));
            }
            if obis_rules::tariff(obis) != obis_rules::tariff(self.obis) {
                return Err(ProfileFault::TariffMismatch { obis }.at_key(span, "negative_obis"));
            }
        }
        for (index, name) in self.over.iter().enumerate() {
            let rest = self.over.iter().skip(index.saturating_add(1));
            if rest.chain(&self.times).any(|other| other == name) {
                let name = name.clone();
                return Err(ProfileFault::ParameterUse { name }.at_key(span, "over"));
            }
        }
        for (index, name) in self.times.iter().enumerate() {
            if self
                .times
                .iter()
                .skip(index.saturating_add(1))
                .any(|other| other == name)
            {
                let name = name.clone();
                return Err(ProfileFault::ParameterUse { name }.at_key(span, "times"));
            }
        }
        Ok(Register {
            obis: self.obis,
            negative_obis: self.negative_obis,
            inverted: self.inverted,
            field,
            fraction,
            scaling: self.scaling(span, parameters)?,
            unit: self.unit(span, parameters)?,
            poll: self.poll,
        })
    }

    fn scaling(&self, span: &Range<usize>, parameters: &[Parameter]) -> Result<Scaling, Fault> {
        let factor = |key: &'static str, name: &String| {
            let index = parameter(key, name, parameters, span)?;
            let names_a_unit = parameters.get(index).is_some_and(|found| !found.units.is_empty());
            if names_a_unit {
                let name = name.clone();
                return Err(ProfileFault::ParameterUse { name }.at_key(span, key));
            }
            Ok(index)
        };
        let ratio = self.ratio.as_ref().map_or(Ratio::ONE, |entry| Ratio {
            numerator: entry.numerator,
            denominator: entry.denominator,
        });
        if ratio.numerator == 0 || ratio.decimal().is_none() {
            let Ratio {
                numerator,
                denominator,
            } = ratio;
            return Err(ProfileFault::Ratio {
                numerator,
                denominator,
            }
            .at_key(span, "ratio"));
        }
        Ok(Scaling {
            power_of_ten: super::checked_scale(self.scale, span)?,
            ratio,
            power_from: self
                .scale_from
                .as_ref()
                .map(|name| factor("scale_from", name))
                .transpose()?,
            times: self
                .times
                .iter()
                .map(|name| factor("times", name))
                .collect::<Result<_, _>>()?,
            over: self
                .over
                .iter()
                .map(|name| factor("over", name))
                .collect::<Result<_, _>>()?,
        })
    }

    fn unit(&self, span: &Range<usize>, parameters: &[Parameter]) -> Result<UnitSource, Fault> {
        match (self.unit, &self.unit_from) {
            (Some(unit), None) => Ok(UnitSource::Fixed(unit)),
            (None, Some(name)) => {
                let index = parameter("unit_from", name, parameters, span)?;
                let names_no_unit = parameters.get(index).is_some_and(|found| found.units.is_empty());
                if names_no_unit {
                    let name = name.clone();
                    return Err(ProfileFault::ParameterUse { name }.at_key(span, "unit_from"));
                }
                Ok(UnitSource::From(index))
            }
            _ => Err(ProfileFault::UnitChoice.at_key(span, "unit")),
        }
    }
}

fn parameter(
    key: &'static str,
    name: &str,
    parameters: &[Parameter],
    span: &Range<usize>,
) -> Result<usize, Fault> {
    let index = parameters.iter().position(|parameter| parameter.name == name);
    index.ok_or_else(|| {
        let name = name.to_owned();
        ProfileFault::UnknownParameter { name }.at_key(span, key)
    })
}

impl FractionEntry {
    fn checked(
        mut self,
        span: &Range<usize>,
        context: &Context,
        whole: RegisterType,
    ) -> Result<Fraction, Fault> {
        let field = context.field(self.place(), Place::MeterModel, span)?;
        for register_type in [whole, field.register_type] {
            if matches!(register_type, RegisterType::Ascii | RegisterType::Bitfield) {
                return Err(ProfileFault::NotSplittable { register_type }.at_key(span, "fraction"));
            }
        }
        Ok(Fraction {
            field,
            power_of_ten: super::checked_scale(self.scale, span)?,
        })
    }
}

/// Checks that the codes of a register suit its medium and its unit.
pub(super) fn check_codes(
    register: &Register,
    parameters: &[Parameter],
    medium: model::Medium,
    span: &Range<usize>,
) -> Result<(), Fault> {
    let possible = possible_units(register, parameters);
    for obis in register.codes() {
        if !obis_rules::suits(obis, medium) {
            return Err(ProfileFault::MediumMismatch { obis, medium }.at_key(span, "obis"));
        }
        let allowed = obis_rules::units(obis);
        let wrong = possible
            .iter()
            .find(|unit| !allowed.is_empty() && !allowed.contains(unit));
        if let Some(unit) = wrong.copied() {
            return Err(ProfileFault::UnitMismatch { obis, unit }.at_key(span, "unit"));
        }
    }
    Ok(())
}

/// Returns the units that a register's value can have.
fn possible_units(register: &Register, parameters: &[Parameter]) -> Vec<model::Unit> {
    match register.unit {
        UnitSource::Fixed(unit) => vec![unit],
        UnitSource::From(index) => {
            let units = parameters
                .get(index)
                .into_iter()
                .flat_map(|parameter| &parameter.units);
            units.map(|unit| unit.unit).collect()
        }
    }
}

impl TotalEntry {
    /// Checks that a total is the sum of different values of the profile that have one and the same unit.
    pub(super) fn checked(
        self,
        span: &Range<usize>,
        registers: &[Register],
        parameters: &[Parameter],
        medium: model::Medium,
    ) -> Result<Total, Fault> {
        let Self { obis, of } = self;
        check_entries(of.len(), Total::MAX_PARTS, span).map_err(|fault| fault.with_key("of"))?;
        if !obis_rules::suits(obis, medium) {
            return Err(ProfileFault::MediumMismatch { obis, medium }.at_key(span, "obis"));
        }
        let mut common: Option<Vec<model::Unit>> = None;
        for (index, part) in of.iter().enumerate() {
            let found = registers
                .iter()
                .find(|register| register.codes().any(|code| code == *part));
            let Some(register) = found else {
                return Err(ProfileFault::UnknownElement { obis: *part }.at_key(span, "of"));
            };
            let units = possible_units(register, parameters);
            let differs = common.as_ref().is_some_and(|common| *common != units);
            let is_repeated = of.iter().take(index).any(|earlier| earlier == part);
            let is_static = register.poll == PollClass::Static;
            if of.len() < 2 || differs || is_repeated || is_static {
                return Err(ProfileFault::Total { obis }.at_key(span, "of"));
            }
            common = Some(units);
        }
        let allowed = obis_rules::units(obis);
        let units = common.unwrap_or_default();
        let wrong = units
            .into_iter()
            .find(|unit| !allowed.is_empty() && !allowed.contains(unit));
        match wrong {
            Some(unit) => Err(ProfileFault::UnitMismatch { obis, unit }.at_key(span, "obis")),
            None => Ok(Total { obis, of }),
        }
    }
}
