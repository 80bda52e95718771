//! The check of a profile: from the file form to types that are valid.

use std::ops::Range;
use std::time::Duration;

use model::Quantity;
use toml::Spanned;

use super::document::{
    Document, ExpectedEntry, FractionEntry, LimitsEntry, ParameterEntry, ProbeEntry, RegisterEntry,
    SelfTestEntry, SerialNumberEntry, SunSpecEntry,
};
use super::locator::Locator;
use super::{
    CodedUnit, Expected, Fraction, Function, Limits, Parameter, Place, Probe, Profile, ProfileFault, Ratio,
    Register, RegisterType, Scaling, SelfTest, SerialNumber, SunSpec, TestBlock, UnitIds, UnitSource,
    obis_rules,
};
use crate::plan::Block;

mod claims;
mod place;

use claims::Claims;
use place::Context;

/// A fault, where it is, and the key below that place if the place is a whole entry.
pub(super) struct Fault {
    pub(super) span: Range<usize>,
    pub(super) key: Option<&'static str>,
    pub(super) fault: ProfileFault,
}

impl ProfileFault {
    fn at(self, span: &Range<usize>) -> Fault {
        Fault {
            span: span.clone(),
            key: None,
            fault: self,
        }
    }

    fn at_key(self, span: &Range<usize>, key: &'static str) -> Fault {
        Fault {
            key: Some(key),
            ..self.at(span)
        }
    }
}

impl Document {
    pub(super) fn checked(self, locator: Locator<'_>) -> Result<Profile, Fault> {
        check_name(&self.name)?;
        let context = Context {
            defaults: self.defaults,
            is_sunspec: self.sunspec.is_some(),
        };
        let unit_ids = self
            .unit_ids
            .map(checked_unit_ids)
            .transpose()?
            .unwrap_or_default();
        let sunspec = self
            .sunspec
            .map(|entry| checked_sunspec(entry, &context))
            .transpose()?;
        let mut claims = Claims::new(locator);
        let identification = checked_probes(self.identification, &context, &mut claims)?;
        let serial_number = self
            .serial_number
            .map(|entry| checked_serial_number(entry, &context, &mut claims))
            .transpose()?;
        let parameters = checked_parameters(self.parameters, &context, &mut claims)?;
        let span = self.registers.span();
        let entries = self.registers.into_inner();
        check_entries(entries.len(), Profile::MAX_REGISTERS, &span)?;
        let mut registers = Vec::with_capacity(entries.len());
        for entry in entries {
            let span = entry.span();
            let register = entry.into_inner().checked(&span, &context, &parameters)?;
            check_codes(&register, &parameters, self.medium, &span)?;
            claims.claim_register(&register, &span)?;
            registers.push(register);
        }
        claims.check_use(&registers, &parameters)?;
        let limits = checked_limits(self.limits, &context, &claims)?;
        claims.check_forbidden(&limits.forbidden)?;
        let self_tests = self.self_tests.into_iter();
        let self_tests = self_tests.map(|entry| entry.checked(&context, &claims));
        let profile = Profile {
            name: self.name.into_inner(),
            manufacturer: self.manufacturer,
            models: self.models,
            medium: self.medium,
            source: self.source,
            unit_ids,
            limits,
            sunspec,
            identification,
            serial_number,
            parameters,
            registers,
            self_tests: self_tests.collect::<Result<_, _>>()?,
            blocks: Vec::new(),
        };
        Ok(profile.planned())
    }
}

fn check_name(name: &Spanned<String>) -> Result<(), Fault> {
    let mut parts = name.get_ref().split('-');
    let plain = |part: &str| {
        let mut letters = part.bytes();
        !part.is_empty() && letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
    };
    if parts.clone().count() >= 2 && parts.all(plain) {
        return Ok(());
    }
    let found = name.get_ref().clone();
    Err(ProfileFault::Name { found }.at(&name.span()))
}

fn check_entries(found: usize, most: usize, span: &Range<usize>) -> Result<(), Fault> {
    if (1..=most).contains(&found) {
        return Ok(());
    }
    Err(ProfileFault::Entries { found, most }.at(span))
}

fn checked_unit_ids(entry: Spanned<UnitIds>) -> Result<UnitIds, Fault> {
    let span = entry.span();
    let unit_ids = entry.into_inner();
    let is_reserved = !UnitIds::SERIAL_LINE.contains(unit_ids.last) && unit_ids.last != UnitIds::OWN_SERVER;
    if unit_ids.first == 0 || unit_ids.first > unit_ids.last || is_reserved {
        return Err(ProfileFault::UnitIds.at(&span));
    }
    Ok(unit_ids)
}

fn checked_sunspec(entry: Spanned<SunSpecEntry>, context: &Context) -> Result<SunSpec, Fault> {
    let span = entry.span();
    let entry = entry.into_inner();
    let bases = entry.bases.unwrap_or_else(|| SunSpec::BASES.to_vec());
    check_entries(bases.len(), SunSpec::MAX_BASES, &span)?;
    check_entries(entry.models.len(), SunSpec::MAX_BASES, &span)?;
    let function = context.function(None, &span)?;
    if function.reads_bits() {
        return Err(ProfileFault::NotBits {
            register_type: RegisterType::U16,
        }
        .at(&span));
    }
    Ok(SunSpec {
        function,
        bases,
        models: entry.models,
    })
}

fn checked_probes(
    entries: Vec<Spanned<ProbeEntry>>,
    context: &Context,
    claims: &mut Claims<'_>,
) -> Result<Vec<Probe>, Fault> {
    if let Some(entry) = entries.get(Probe::MAX) {
        let fault = ProfileFault::Entries {
            found: entries.len(),
            most: Probe::MAX,
        };
        return Err(fault.at(&entry.span()));
    }
    entries
        .into_iter()
        .map(|entry| {
            let span = entry.span();
            match entry.into_inner() {
                ProbeEntry {
                    register: Some(mut entry),
                    device: None,
                } => {
                    check_entries(entry.one_of.len(), Probe::MAX_PATTERNS, &span)?;
                    let field = context.field(entry.place(), Place::Wire, &span)?;
                    if let Some(pattern) = entry.one_of.iter().find(|pattern| !pattern.can_be_in(&field)) {
                        let fault = ProfileFault::Pattern {
                            found: pattern.0.clone(),
                            register_type: field.register_type,
                        };
                        return Err(fault.at_key(&span, "register"));
                    }
                    claims.share(&field, &span);
                    Ok(Probe::Register {
                        field,
                        patterns: entry.one_of,
                    })
                }
                ProbeEntry {
                    register: None,
                    device: Some(entry),
                } => {
                    check_entries(entry.one_of.len(), Probe::MAX_PATTERNS, &span)?;
                    Ok(Probe::Device {
                        object: entry.object,
                        patterns: entry.one_of,
                    })
                }
                ProbeEntry { .. } => Err(ProfileFault::ProbeChoice.at(&span)),
            }
        })
        .collect()
}

fn checked_serial_number(
    entry: Spanned<SerialNumberEntry>,
    context: &Context,
    claims: &mut Claims<'_>,
) -> Result<SerialNumber, Fault> {
    let span = entry.span();
    let mut entry = entry.into_inner();
    let register_type = entry.register_type;
    if !register_type.can_name_a_meter() {
        return Err(ProfileFault::SerialNumberType { register_type }.at_key(&span, "type"));
    }
    let field = context.field(entry.place(), Place::CommonModel, &span)?;
    claims.claim(&field, &span)?;
    let serial_number = SerialNumber {
        field,
        prefix: entry.prefix,
        digits: entry.digits,
    };
    // The greatest number of any type and the longest text, so that every serial number makes an
    // identity. A text has two characters in each register.
    let longest = match register_type {
        RegisterType::Ascii => serial_number.named("A"),
        _ => serial_number.numbered(u64::MAX.into()),
    };
    longest.map_err(|source| ProfileFault::Identity(source).at(&span))?;
    Ok(serial_number)
}

fn checked_parameters(
    entries: Vec<Spanned<ParameterEntry>>,
    context: &Context,
    claims: &mut Claims<'_>,
) -> Result<Vec<Parameter>, Fault> {
    if let Some(entry) = entries.get(Profile::MAX_PARAMETERS) {
        let fault = ProfileFault::Entries {
            found: entries.len(),
            most: Profile::MAX_PARAMETERS,
        };
        return Err(fault.at(&entry.span()));
    }
    let mut parameters: Vec<Parameter> = Vec::with_capacity(entries.len());
    for entry in entries {
        let span = entry.span();
        let mut entry = entry.into_inner();
        let field = context.field(entry.place(), Place::MeterModel, &span)?;
        claims.claim_parameter(&entry.name, &field, &span)?;
        let mut codes: Vec<u64> = entry.units.iter().map(|unit| unit.code).collect();
        codes.sort_unstable();
        codes.dedup();
        let unusable = field.register_type == RegisterType::Ascii || codes.len() != entry.units.len();
        if unusable {
            return Err(ProfileFault::ParameterUse { name: entry.name }.at(&span));
        }
        let units = entry.units.into_iter().map(|unit| {
            Ok(CodedUnit {
                code: unit.code,
                unit: unit.unit,
                power_of_ten: checked_scale(unit.scale, &span)?,
            })
        });
        parameters.push(Parameter {
            name: entry.name,
            field,
            power_of_ten: checked_scale(entry.scale, &span)?,
            units: units.collect::<Result<_, _>>()?,
        });
    }
    Ok(parameters)
}

fn checked_scale(scale: i8, span: &Range<usize>) -> Result<i8, Fault> {
    if (-Register::MAX_SCALE..=Register::MAX_SCALE).contains(&scale) {
        return Ok(scale);
    }
    Err(ProfileFault::Scale { scale }.at_key(span, "scale"))
}

fn checked_limits(
    entry: Spanned<LimitsEntry>,
    context: &Context,
    claims: &Claims<'_>,
) -> Result<Limits, Fault> {
    let span = entry.span();
    let entry = entry.into_inner();
    for (key, function, found, most) in [
        (
            "registers_per_request",
            Function::HoldingRegisters,
            entry.registers_per_request,
            Limits::MAX_REGISTERS_PER_REQUEST,
        ),
        (
            "bits_per_request",
            Function::Coils,
            entry.bits_per_request,
            Limits::MAX_BITS_PER_REQUEST,
        ),
    ] {
        let least = claims.widest(function.reads_bits());
        if !(least..=most).contains(&found) {
            return Err(ProfileFault::PerRequest { found, least, most }.at_key(&span, key));
        }
    }
    let longest = u32::try_from(Limits::LONGEST_WAIT.as_millis()).unwrap_or(u32::MAX);
    for (key, found_ms, least) in [
        ("pause_ms", entry.pause_ms, 0),
        ("answer_timeout_ms", entry.answer_timeout_ms, 1),
        ("connect_delay_ms", entry.connect_delay_ms, 0),
    ] {
        if !(least..=longest).contains(&found_ms) {
            return Err(ProfileFault::Wait { found_ms }.at_key(&span, key));
        }
    }
    let forbidden = entry.forbidden.into_iter().map(|entry| {
        let span = entry.span();
        let entry = entry.into_inner();
        let function = context.function(entry.function, &span)?;
        let address = entry.first;
        // A range of all 65536 registers leaves nothing to read, so its length need not fit.
        let count = entry
            .last
            .checked_sub(address)
            .and_then(|rest| rest.checked_add(1));
        let count = count.ok_or_else(|| ProfileFault::BeyondAddressSpace { address }.at(&span))?;
        Ok(Block {
            function,
            address,
            count,
        })
    });
    Ok(Limits {
        registers_per_request: entry.registers_per_request,
        bits_per_request: entry.bits_per_request,
        largest_gap: entry.largest_gap,
        forbidden: forbidden.collect::<Result<_, _>>()?,
        pause: Duration::from_millis(entry.pause_ms.into()),
        answer_timeout: Duration::from_millis(entry.answer_timeout_ms.into()),
        connect_delay: Duration::from_millis(entry.connect_delay_ms.into()),
        one_connection: entry.one_connection,
    })
}

impl RegisterEntry {
    fn checked(
        mut self,
        span: &Range<usize>,
        context: &Context,
        parameters: &[Parameter],
    ) -> Result<Register, Fault> {
        let field = context.field(self.place(), Place::MeterModel, span)?;
        let register_type = field.register_type;
        if (self.negative_obis.is_some() || self.inverted) && !register_type.is_signed() {
            return Err(ProfileFault::NoSign { register_type }.at(span));
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
        let mut factors: Vec<&String> = self.times.iter().chain(&self.over).collect();
        factors.sort_unstable();
        if let Some((name, _)) = factors
            .iter()
            .zip(factors.iter().skip(1))
            .find(|(one, other)| one == other)
        {
            let name = (*name).clone();
            return Err(ProfileFault::ParameterUse { name }.at(span));
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
        let factor = |name: &String| {
            let index = parameter(name, parameters, span)?;
            let names_a_unit = parameters.get(index).is_some_and(|found| !found.units.is_empty());
            if names_a_unit {
                let name = name.clone();
                return Err(ProfileFault::ParameterUse { name }.at(span));
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
            power_of_ten: checked_scale(self.scale, span)?,
            ratio,
            power_from: self.scale_from.as_ref().map(factor).transpose()?,
            times: self.times.iter().map(factor).collect::<Result<_, _>>()?,
            over: self.over.iter().map(factor).collect::<Result<_, _>>()?,
        })
    }

    fn unit(&self, span: &Range<usize>, parameters: &[Parameter]) -> Result<UnitSource, Fault> {
        match (self.unit, &self.unit_from) {
            (Some(unit), None) => Ok(UnitSource::Fixed(unit)),
            (None, Some(name)) => {
                let index = parameter(name, parameters, span)?;
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

fn parameter(name: &str, parameters: &[Parameter], span: &Range<usize>) -> Result<usize, Fault> {
    let index = parameters.iter().position(|parameter| parameter.name == name);
    index.ok_or_else(|| {
        let name = name.to_owned();
        ProfileFault::UnknownParameter { name }.at(span)
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
            power_of_ten: checked_scale(self.scale, span)?,
        })
    }
}

/// Checks that the codes of a register suit its medium and its unit.
fn check_codes(
    register: &Register,
    parameters: &[Parameter],
    medium: model::Medium,
    span: &Range<usize>,
) -> Result<(), Fault> {
    let possible: Vec<model::Unit> = match register.unit {
        UnitSource::Fixed(unit) => vec![unit],
        UnitSource::From(index) => {
            let units = parameters
                .get(index)
                .into_iter()
                .flat_map(|parameter| &parameter.units);
            units.map(|unit| unit.unit).collect()
        }
    };
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

impl SelfTestEntry {
    fn checked(self, context: &Context, claims: &Claims<'_>) -> Result<SelfTest, Fault> {
        let mut codes = Vec::with_capacity(self.elements.len());
        let mut elements = Vec::with_capacity(self.elements.len());
        for entry in self.elements {
            let span = entry.span();
            let element = entry.into_inner().checked(&span)?;
            claims.check_expected(element.obis, &codes, &span)?;
            codes.push((span, element.obis));
            elements.push(element);
        }
        let mut blocks: Vec<(Range<usize>, Block)> = Vec::with_capacity(self.registers.len());
        let mut registers = Vec::with_capacity(self.registers.len());
        for entry in self.registers {
            let span = entry.span();
            let entry = entry.into_inner();
            let test = TestBlock {
                function: context.function(entry.function, &span)?,
                address: entry.address,
                words: entry.words,
            };
            claims.check_contents(test.block(), &blocks, &span)?;
            blocks.push((span, test.block()));
            registers.push(test);
        }
        Ok(SelfTest {
            title: self.title,
            registers,
            meter: self.meter,
            elements,
        })
    }
}

impl ExpectedEntry {
    fn checked(self, span: &Range<usize>) -> Result<Expected, Fault> {
        let obis = self.obis;
        let value = match (self.value, self.unit, self.gap) {
            (Some(value), Some(unit), None) => Ok(Quantity { value, unit }),
            (None, None, Some(gap)) => Err(gap),
            _ => return Err(ProfileFault::Expectation { obis }.at(span)),
        };
        Ok(Expected { obis, value })
    }
}

#[cfg(test)]
mod tests;
