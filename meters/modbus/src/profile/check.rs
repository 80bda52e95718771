//! The check of a profile: from the file form to types that are valid.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::document::{
    Document, LimitsEntry, ParameterEntry, ProbeEntry, SerialNumberEntry, SunSpecEntry, TotalEntry,
};
use super::locator::Locator;
use super::{
    CodedUnit, Function, Limits, Parameter, ParameterRange, Place, Probe, Profile, ProfileFault, Register,
    RegisterType, SerialNumber, SunSpec, Total, UnitIds,
};
use crate::plan::Block;

mod claims;
mod place;
mod register;
mod self_tests;

use claims::Claims;
use place::Context;
use register::check_codes;

/// A fault, where it is, and the key below that place if the place is a whole entry.
pub(super) struct Fault {
    pub(super) span: Range<usize>,
    pub(super) key: Option<&'static str>,
    pub(super) fault: ProfileFault,
}

impl Fault {
    /// Names the key below a place that has none.
    fn with_key(self, key: &'static str) -> Self {
        Self {
            key: self.key.or(Some(key)),
            ..self
        }
    }
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
        check_maker(&self.manufacturer, &self.models)?;
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
        let totals = checked_totals(self.totals, &registers, &parameters, self.medium, &mut claims)?;
        let limits = checked_limits(self.limits, &context, &claims)?;
        claims.check_forbidden(&limits.forbidden)?;
        let self_tests = self.self_tests.into_iter();
        let self_tests = self_tests.map(|entry| entry.checked(&context, &claims));
        let profile = Profile {
            name: self.name.into_inner(),
            manufacturer: self.manufacturer.into_inner(),
            models: self
                .models
                .into_inner()
                .into_iter()
                .map(Spanned::into_inner)
                .collect(),
            medium: self.medium,
            source: self.source,
            unit_ids,
            limits,
            sunspec,
            identification,
            serial_number,
            parameters,
            registers,
            totals,
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

fn checked_totals(
    entries: Vec<Spanned<TotalEntry>>,
    registers: &[Register],
    parameters: &[Parameter],
    medium: model::Medium,
    claims: &mut Claims<'_>,
) -> Result<Vec<Total>, Fault> {
    let totals = entries.into_iter().map(|entry| {
        let span = entry.span();
        let total = entry.into_inner().checked(&span, registers, parameters, medium)?;
        claims.claim_code(total.obis, &span)?;
        Ok(total)
    });
    totals.collect()
}

/// Checks that maker and models are named.
fn check_maker(manufacturer: &Spanned<String>, models: &Spanned<Vec<Spanned<String>>>) -> Result<(), Fault> {
    check_words(manufacturer)?;
    check_entries(models.get_ref().len(), Profile::MAX_MODELS, &models.span())?;
    models.get_ref().iter().try_for_each(check_words)
}

/// Checks that a text says something.
fn check_words(text: &Spanned<String>) -> Result<(), Fault> {
    if text.get_ref().trim().is_empty() {
        return Err(ProfileFault::Blank.at(&text.span()));
    }
    Ok(())
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
    let bases_fault = |fault: Fault| fault.with_key("bases");
    check_entries(bases.len(), SunSpec::MAX_BASES, &span).map_err(bases_fault)?;
    let models_fault = |fault: Fault| fault.with_key("models");
    check_entries(entry.models.len(), SunSpec::MAX_BASES, &span).map_err(models_fault)?;
    let function = context.function(None, &span)?;
    if function.reads_bits() {
        return Err(ProfileFault::NotBits {
            register_type: RegisterType::U16,
        }
        .at_key(&span, "function"));
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
                    check_entries(entry.one_of.len(), Probe::MAX_PATTERNS, &span)
                        .map_err(|fault| fault.with_key("register.one_of"))?;
                    let field = context.field(entry.place(), Place::Wire, &span)?;
                    if let Some(pattern) = entry.one_of.iter().find(|pattern| !pattern.can_be_in(&field)) {
                        let fault = ProfileFault::Pattern {
                            found: pattern.0.clone(),
                            register_type: field.register_type,
                        };
                        return Err(fault.at_key(&span, "register.one_of"));
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
                    check_entries(entry.one_of.len(), Probe::MAX_PATTERNS, &span)
                        .map_err(|fault| fault.with_key("device.one_of"))?;
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
    longest.map_err(|source| ProfileFault::Identity(source).at_key(&span, "prefix"))?;
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
        let key = if codes.len() == entry.units.len() {
            "type"
        } else {
            "units"
        };
        let unusable = field.register_type == RegisterType::Ascii || codes.len() != entry.units.len();
        if unusable {
            return Err(ProfileFault::ParameterUse { name: entry.name }.at_key(&span, key));
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
            range: checked_range(entry.range, &span)?,
        });
    }
    Ok(parameters)
}

fn checked_range(
    range: Option<ParameterRange>,
    span: &Range<usize>,
) -> Result<Option<ParameterRange>, Fault> {
    match range {
        Some(ParameterRange { least, most }) if least > most => Err(ProfileFault::Reversed {
            first: least.into(),
            last: most.into(),
        }
        .at_key(span, "range")),
        range => Ok(range),
    }
}

fn checked_scale(scale: i8, span: &Range<usize>) -> Result<i8, Fault> {
    if (-Register::MAX_SCALE..=Register::MAX_SCALE).contains(&scale) {
        return Ok(scale);
    }
    Err(ProfileFault::Scale { scale }.at_key(span, "scale"))
}

/// Checks that there is a request that can read across the widest gap, with a register on each side.
fn check_gap(entry: &LimitsEntry, claims: &Claims<'_>, span: &Range<usize>) -> Result<(), Fault> {
    let most = if claims.are_only_bits() {
        entry.bits_per_request
    } else {
        entry.registers_per_request
    };
    let found = entry.largest_gap;
    if found > 0 && found >= most {
        return Err(ProfileFault::Gap { found, most }.at_key(span, "largest_gap"));
    }
    Ok(())
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
    check_gap(&entry, claims, &span)?;
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
        let (address, last) = (entry.first, entry.last);
        if address > last {
            let fault = ProfileFault::Reversed {
                first: address.into(),
                last: last.into(),
            };
            return Err(fault.at_key(&span, "last"));
        }
        // A range of all 65536 registers leaves nothing to read, so its length need not fit.
        let count = last.checked_sub(address).and_then(|rest| rest.checked_add(1));
        let count =
            count.ok_or_else(|| ProfileFault::BeyondAddressSpace { address }.at_key(&span, "last"))?;
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

#[cfg(test)]
mod tests;
