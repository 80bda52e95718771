//! Registers filled by a profile: what a meter of the family shows that has measured certain values.
//!
//! It is the way back of the product's decoding, written apart from it.

use std::collections::BTreeMap;

use modbus::sunspec::{ModelMap, Walk};
use modbus::{
    Block, ByteOrder, Field, Limits, Parameter, Pattern, Place, Probe, Profile, Register, RegisterImage,
    RegisterType, SunSpec, UnitSource, WordOrder,
};
use model::{Decimal, Obis};

use super::Registers;

/// What a simulated meter has measured.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// The serial number, as digits or as text.
    pub serial_number: String,
    /// The parameters, by name. Without a word of it a power of ten is 0, a factor 1, and a unit the
    /// first one that the profile knows.
    pub parameters: BTreeMap<String, Decimal>,
    /// The values, by code, in the units of the profile. What is missing is shown as "not available",
    /// or as zero where the profile knows no such content.
    pub values: BTreeMap<Obis, Decimal>,
}

/// The reason why a meter cannot show its contents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    /// The field is too narrow for the number, or cannot hold a text.
    #[error("the register at {address:#06x} cannot hold {content}")]
    DoesNotFit {
        /// Where it stands.
        address: u16,
        /// What it should hold.
        content: String,
    },
    /// A SunSpec model does not fit behind the marker.
    #[error("the SunSpec models do not fit into the address space")]
    Models,
}

impl Contents {
    /// Fills the registers of a meter of the profile's family.
    ///
    /// Integers are rounded to the nearest, as a meter of that resolution does.
    ///
    /// # Errors
    ///
    /// [`FillError`] for contents that no register can hold.
    pub fn fill(&self, profile: &Profile) -> Result<Registers, FillError> {
        let mut image = RegisterImage::new();
        let models = put_models(profile, &mut image)?;
        put_identification(profile, &models, &mut image)?;
        let probes = profile.identification();
        let profile = profile.placed(&models).map_err(|_| FillError::Models)?;
        if let Some(serial_number) = profile.serial_number() {
            put(&mut image, &serial_number.field, &self.serial_number)?;
        }
        for parameter in profile.parameters() {
            let number = self.parameter(&profile, parameter);
            let number = divided(number, power_of_ten(parameter.power_of_ten));
            put_number(&mut image, &parameter.field, number)?;
        }
        for register in profile.registers() {
            self.put_value(&mut image, &profile, register)?;
        }
        let registers = Registers::new(image, profile.limits().registers_per_request);
        Ok(probes.iter().fold(registers, |registers, probe| match probe {
            Probe::Device { object, patterns } => registers.with_object(object.id(), first(patterns)),
            Probe::Register { .. } => registers,
        }))
    }

    fn parameter(&self, profile: &Profile, parameter: &Parameter) -> Ratio {
        if let Some(number) = self.parameters.get(&parameter.name) {
            return ratio_of(*number);
        }
        if let Some(unit) = parameter.units.first() {
            return (unit.code.into(), 1);
        }
        let mut registers = profile.registers().iter();
        let index = profile.parameters().iter().position(|other| other == parameter);
        let is_a_power = registers.any(|register| register.scaling.power_from == index);
        if is_a_power { (0, 1) } else { (1, 1) }
    }

    fn put_value(
        &self,
        image: &mut RegisterImage,
        profile: &Profile,
        register: &Register,
    ) -> Result<(), FillError> {
        let above = self.values.get(&register.obis).copied().map(ratio_of);
        let below = register
            .negative_obis
            .and_then(|obis| self.values.get(&obis).copied().map(ratio_of));
        let value = match (above, below) {
            (Some(above), Some(below)) if above.0 == 0 => (-below.0, below.1),
            (Some(value), _) => value,
            (None, Some(below)) => (-below.0, below.1),
            (None, None) => return put_nothing(image, register),
        };
        let number = self.unscaled(profile, register, value);
        let Some(fraction) = &register.fraction else {
            return put_number(image, &register.field, number);
        };
        let whole = number.0 / number.1;
        put_number(image, &register.field, (whole, 1))?;
        let rest = (number.0 - whole * number.1, number.1);
        put_number(
            image,
            &fraction.field,
            divided(rest, power_of_ten(fraction.power_of_ten)),
        )
    }

    /// Takes back all that the profile multiplies by.
    fn unscaled(&self, profile: &Profile, register: &Register, value: Ratio) -> Ratio {
        let parameter = |index: &usize| {
            let parameter = profile.parameters().get(*index);
            parameter.map_or((1, 1), |parameter| self.parameter(profile, parameter))
        };
        let scaling = &register.scaling;
        let mut number = divided(value, power_of_ten(scaling.power_of_ten));
        number = divided(
            number,
            (scaling.ratio.numerator.into(), scaling.ratio.denominator.into()),
        );
        if let Some(index) = &scaling.power_from {
            let (power, _) = parameter(index);
            number = divided(number, power_of_ten(i8::try_from(power).unwrap_or(0)));
        }
        if let UnitSource::From(index) = register.unit {
            let (code, _) = parameter(&index);
            let mut units = profile
                .parameters()
                .iter()
                .skip(index)
                .take(1)
                .flat_map(|found| &found.units);
            let named = units.find(|unit| i128::from(unit.code) == code);
            number = divided(number, power_of_ten(named.map_or(0, |unit| unit.power_of_ten)));
        }
        for index in &scaling.times {
            number = divided(number, parameter(index));
        }
        for index in &scaling.over {
            let (numerator, denominator) = parameter(index);
            number = divided(number, (denominator, numerator));
        }
        if register.inverted {
            (-number.0, number.1)
        } else {
            number
        }
    }
}

/// A number as numerator and denominator, the latter above zero.
type Ratio = (i128, i128);

fn ratio_of(decimal: Decimal) -> Ratio {
    let (numerator, denominator) = power_of_ten(decimal.scaler());
    (decimal.mantissa() * numerator, denominator)
}

fn power_of_ten(power: i8) -> Ratio {
    let factor = 10i128.pow(power.unsigned_abs().into());
    if power < 0 { (1, factor) } else { (factor, 1) }
}

fn divided(dividend: Ratio, divisor: Ratio) -> Ratio {
    let (numerator, denominator) = (dividend.0 * divisor.1, dividend.1 * divisor.0);
    let common = common_divisor(numerator.unsigned_abs(), denominator.unsigned_abs()).max(1);
    let common = i128::try_from(common).unwrap_or(1);
    (numerator / common, denominator / common)
}

fn common_divisor(one: u128, two: u128) -> u128 {
    if two == 0 {
        one
    } else {
        common_divisor(two, one % two)
    }
}

/// Rounds to the nearest whole number, halves away from zero.
fn rounded((numerator, denominator): Ratio) -> i128 {
    (numerator + numerator.signum() * denominator / 2) / denominator
}

/// Writes a real out with as many places as any meter has.
fn written((numerator, denominator): Ratio) -> String {
    const PLACES: i8 = 12;
    let digits = rounded((numerator * 10i128.pow(PLACES.unsigned_abs().into()), denominator));
    Decimal::new(digits, -PLACES).map_or_else(String::new, |decimal| decimal.to_string())
}

/// Puts the marker and the headers of the common model and the meter model where the standard has them.
fn put_models(profile: &Profile, image: &mut RegisterImage) -> Result<ModelMap, FillError> {
    /// The length of the common model, without its header and without the optional pad.
    const COMMON_LENGTH: u16 = 66;

    let Some(sunspec) = profile.sunspec() else {
        return Ok(ModelMap::default());
    };
    let (Some(base), Some(model)) = (sunspec.bases.first(), sunspec.models.first()) else {
        return Err(FillError::Models);
    };
    let ends = profile
        .registers()
        .iter()
        .map(|register| register.field.block().end());
    let length = u16::try_from(ends.max().unwrap_or(2) - 2).map_err(|_| FillError::Models)?;
    let mut address = *base;
    for (header, length) in [
        ([0x5375, 0x6E53], 0),
        ([SunSpec::COMMON_MODEL, COMMON_LENGTH], COMMON_LENGTH),
        ([*model, length], length),
        ([0xFFFF, 0], 0),
    ] {
        let block = Block {
            function: sunspec.function,
            address,
            count: 2,
        };
        image.insert(block, &header).map_err(|_| FillError::Models)?;
        address = address.checked_add(2 + length).ok_or(FillError::Models)?;
    }
    let mut walk = Walk::new(sunspec);
    while let Some(block) = walk.next_request() {
        match image.words(block) {
            Some(words) if walk.handle_answer(&words).is_ok() => {}
            _ => walk.handle_refusal(),
        }
    }
    Ok(walk.finish())
}

/// Puts what tells the family from others.
fn put_identification(
    profile: &Profile,
    models: &ModelMap,
    image: &mut RegisterImage,
) -> Result<(), FillError> {
    for probe in profile.identification() {
        let Probe::Register { field, patterns } = probe else {
            continue;
        };
        let mut wanted = profile.sunspec().into_iter().flat_map(|sunspec| &sunspec.models);
        let start = match field.place {
            Place::Wire => Some(0),
            Place::CommonModel => models.address_of(SunSpec::COMMON_MODEL),
            Place::MeterModel => wanted.find_map(|model| models.address_of(*model)),
        };
        let address = start.and_then(|start| field.address.checked_add(start));
        let field = Field {
            address: address.ok_or(FillError::Models)?,
            place: Place::Wire,
            ..field.clone()
        };
        put(image, &field, first(patterns))?;
    }
    Ok(())
}

/// Returns a text that the first of the patterns fits.
fn first(patterns: &[Pattern]) -> &str {
    let pattern = patterns.first().map_or("", |pattern| pattern.0.as_str());
    pattern.strip_suffix('*').unwrap_or(pattern)
}

/// Shows that there is no value, if the profile knows how; zero otherwise.
fn put_nothing(image: &mut RegisterImage, register: &Register) -> Result<(), FillError> {
    let field = &register.field;
    if let Some(fraction) = &register.fraction {
        put_number(image, &fraction.field, (0, 1))?;
    }
    let words = match field.not_available.first() {
        Some(words) => words.as_slice().to_vec(),
        None => match field.register_type {
            RegisterType::F32 => in_order(split(f32::NAN.to_bits().into(), 2), field),
            RegisterType::F64 => in_order(split(f64::NAN.to_bits().into(), 4), field),
            _ => vec![0; field.count.into()],
        },
    };
    insert(image, field, &words, "nothing")
}

/// Puts a text: letters into a text, a number into everything else.
fn put(image: &mut RegisterImage, field: &Field, content: &str) -> Result<(), FillError> {
    if field.register_type != RegisterType::Ascii {
        let number = content.parse().map(ratio_of);
        return put_number(image, field, number.map_err(|_| does_not_fit(field, content))?);
    }
    let mut bytes = content.as_bytes().to_vec();
    if bytes.len() > usize::from(field.count) * 2 {
        return Err(does_not_fit(field, content));
    }
    bytes.resize(usize::from(field.count) * 2, 0);
    let words = bytes
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |word, byte| word << 8 | u16::from(*byte)));
    insert(image, field, &in_order(words.collect(), field), content)
}

fn put_number(image: &mut RegisterImage, field: &Field, number: Ratio) -> Result<(), FillError> {
    let text = written(number);
    let whole = rounded(number);
    let count = u32::from(field.count);
    let bits: Option<u128> = match field.register_type {
        RegisterType::F32 => text.parse::<f32>().ok().map(|real| real.to_bits().into()),
        RegisterType::F64 => text.parse::<f64>().ok().map(|real| real.to_bits().into()),
        RegisterType::Ascii => {
            return put(image, field, &whole.to_string());
        }
        RegisterType::Bcd => u128::from_str_radix(&whole.to_string(), 16).ok(),
        RegisterType::I16 => i16::try_from(whole)
            .ok()
            .map(|number| number.cast_unsigned().into()),
        RegisterType::I32 => i32::try_from(whole)
            .ok()
            .map(|number| number.cast_unsigned().into()),
        RegisterType::I64 => i64::try_from(whole)
            .ok()
            .map(|number| number.cast_unsigned().into()),
        RegisterType::U16
        | RegisterType::U32
        | RegisterType::U48
        | RegisterType::U64
        | RegisterType::Bitfield => u128::try_from(whole).ok(),
    };
    let width = if field.function.reads_bits() {
        count
    } else {
        count * 16
    };
    let bits = bits.filter(|bits| bits.checked_shr(width).unwrap_or(0) == 0);
    let bits = bits.ok_or_else(|| does_not_fit(field, &text))?;
    let words = if field.function.reads_bits() {
        (0..count)
            .map(|place| u16::from(bits >> place & 1 == 1))
            .collect()
    } else {
        let low = u32::from(field.bits.map_or(0, |run| run.lowest));
        let shown = shown_before(image, field) | bits << low;
        in_order(split(shown, field.count.into()), field)
    };
    insert(image, field, &words, &text)
}

/// Returns the other bits of a bitfield, which an earlier entry may have put.
fn shown_before(image: &RegisterImage, field: &Field) -> u128 {
    let shared = field.bits.and_then(|_| image.words(field.block()));
    shared.map_or(0, |words| {
        in_order(words, field)
            .iter()
            .fold(0, |bits, word| bits << 16 | u128::from(*word))
    })
}

/// Splits bits into words, the highest first.
fn split(bits: u128, count: usize) -> Vec<u16> {
    let words = bits.to_be_bytes();
    let words = words
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |word, byte| word << 8 | u16::from(*byte)));
    words.skip(8usize.saturating_sub(count)).collect()
}

/// Brings words into the order of the wire; each of these orders is its own way back.
fn in_order(mut words: Vec<u16>, field: &Field) -> Vec<u16> {
    match field.word_order {
        WordOrder::HighWordFirst => {}
        WordOrder::LowWordFirst => words.reverse(),
        WordOrder::LowHalfFirst => words.rotate_left(2),
    }
    if field.byte_order == ByteOrder::LowByteFirst {
        words = words.into_iter().map(u16::swap_bytes).collect();
    }
    words
}

fn insert(image: &mut RegisterImage, field: &Field, words: &[u16], content: &str) -> Result<(), FillError> {
    debug_assert!(field.count <= Limits::MAX_REGISTERS_PER_REQUEST);
    image
        .insert(field.block(), words)
        .map_err(|_| does_not_fit(field, content))
}

fn does_not_fit(field: &Field, content: &str) -> FillError {
    FillError::DoesNotFit {
        address: field.address,
        content: content.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use modbus::ValueFault;
    use modbus::{Handled, PollClass, Refusals};
    use model::Status;

    use super::*;

    fn profiles() -> impl Iterator<Item = Profile> {
        let texts = modbus::built_in_names().map(|name| modbus::built_in(name).unwrap());
        texts.map(|text| Profile::parse(text).unwrap())
    }

    /// A value for each code of the profile, a different one for each; of two directions the first.
    fn contents(profile: &Profile) -> Contents {
        let registers = profile.registers().iter().zip(1i128..);
        let values = registers.map(|(register, number)| {
            let unit = match register.unit {
                UnitSource::Fixed(_) => 0,
                UnitSource::From(index) => profile.parameters()[index].units[0].power_of_ten,
            };
            // As fine as the register shows it.
            let scaler = register.scaling.power_of_ten + unit;
            (register.obis, Decimal::new(number * 3 + 1, scaler).unwrap())
        });
        Contents {
            serial_number: "1234567".to_owned(),
            parameters: BTreeMap::new(),
            values: values.collect(),
        }
    }

    /// Reads everything, as a driver would.
    fn poll(
        profile: &Profile,
        registers: &Registers,
        refusals: &Refusals,
    ) -> (modbus::Outcome, usize, usize) {
        let mut plan = profile.plan(&PollClass::ALL, refusals);
        let (mut answered, mut refused) = (0, 0);
        while let Some(block) = plan.next_request() {
            match registers.read(block.function.code(), block.address, block.count) {
                Ok(words) => {
                    plan.handle_answer(&words).unwrap();
                    answered += 1;
                }
                Err(code) => {
                    assert_ne!(plan.handle_exception(code), Handled::Unchanged);
                    refused += 1;
                }
            }
        }
        (plan.finish(), answered, refused)
    }

    fn placed(profile: &Profile, registers: &Registers) -> Profile {
        let mut identification = modbus::Identification::new(profile);
        while let Some(modbus::Question::Registers(block)) = identification.next_question() {
            match registers.read(block.function.code(), block.address, block.count) {
                Ok(words) => identification.handle_reply(modbus::Reply::Registers(&words)),
                Err(_) => identification.handle_reply(modbus::Reply::Refusal),
            }
        }
        match identification.verdict() {
            Some(modbus::Verdict::Fits(models)) => profile.placed(&models).unwrap(),
            _ => profile.clone(),
        }
    }

    #[test]
    fn every_profile_reads_the_values_that_its_meter_shows() {
        for profile in profiles() {
            let contents = contents(&profile);
            let registers = contents.fill(&profile).unwrap();
            let profile = placed(&profile, &registers);
            let (outcome, answered, refused) = poll(&profile, &registers, &Refusals::default());
            assert_eq!(
                (answered, refused),
                (profile.blocks().len(), 0),
                "{}",
                profile.name()
            );
            let found = profile.values(&outcome.image);
            for register in profile.registers() {
                let value = found.iter().find(|value| value.obis == register.obis).unwrap();
                let expected = contents.values[&register.obis];
                let shown = value.value.map(|quantity| quantity.value);
                assert!(
                    shown.unwrap().same_value(expected),
                    "{} {:?}",
                    profile.name(),
                    value
                );
            }
            if let Some(number) = profile.serial_number() {
                let meter = profile.identity(&outcome.image).unwrap();
                assert!(meter.as_str().starts_with(&number.prefix) && meter.as_str().ends_with("1234567"));
            }
        }
    }

    #[test]
    fn a_meter_that_refuses_holes_is_read_without_refusals_the_second_time() {
        for profile in profiles() {
            let registers = contents(&profile).fill(&profile).unwrap().refusing_holes();
            let profile = placed(&profile, &registers);
            let (first, ..) = poll(&profile, &registers, &Refusals::default());
            let mut refusals = first.refusals;
            // A cut is only learned where nothing else explains a refusal, so it may take some polls.
            for _ in 0..profile.registers().len() {
                let (outcome, _, refused) = poll(&profile, &registers, &refusals);
                assert_eq!(outcome.image, first.image, "{}", profile.name());
                refusals = outcome.refusals;
                if refused == 0 {
                    break;
                }
            }
            let (_, _, refused) = poll(&profile, &registers, &refusals);
            assert_eq!(refused, 0, "{}", profile.name());
            assert_eq!(refusals.absent().count(), 0, "{}", profile.name());
        }
    }

    #[test]
    fn a_meter_that_takes_few_registers_is_read_all_the_same() {
        for profile in profiles() {
            let plain = contents(&profile).fill(&profile).unwrap();
            let profile = placed(&profile, &plain);
            let widest = profile.blocks().iter().map(|block| block.count).max().unwrap();
            let registers = plain.clone().with_longest(widest.clamp(16, 40));
            let (outcome, ..) = poll(&profile, &registers, &Refusals::default());
            let (expected, ..) = poll(&profile, &plain, &Refusals::default());
            assert_eq!(
                profile.values(&outcome.image),
                profile.values(&expected.image),
                "{}",
                profile.name()
            );
        }
    }

    #[test]
    fn what_was_not_measured_is_not_available_or_zero() {
        let profile = Profile::parse(modbus::built_in("abb-b23").unwrap()).unwrap();
        let contents = Contents {
            serial_number: "7".to_owned(),
            ..Contents::default()
        };
        let values = profile.values(contents.fill(&profile).unwrap().image());
        assert!(
            values
                .iter()
                .all(|value| value.value == Err(ValueFault::NotAvailable))
        );
        let profile = Profile::parse(modbus::built_in("eastron-sdm630").unwrap()).unwrap();
        let values = profile.values(contents.fill(&profile).unwrap().image());
        assert!(
            values
                .iter()
                .all(|value| value.value == Err(ValueFault::NotANumber))
        );
        assert!(values.iter().all(|value| value.status == Status::GOOD));
    }

    #[test]
    fn the_other_direction_is_below_zero() {
        let profile = Profile::parse(modbus::built_in("abb-b23").unwrap()).unwrap();
        let below = "1-0:4.7.0*255".parse().unwrap();
        let contents = Contents {
            serial_number: "7".to_owned(),
            values: BTreeMap::from([(below, "12.34".parse().unwrap())]),
            ..Contents::default()
        };
        let values = profile.values(contents.fill(&profile).unwrap().image());
        let value = values.iter().find(|value| value.obis == below).unwrap();
        assert_eq!(value.value.unwrap().to_string(), "12.34 var");
    }

    #[test]
    fn the_commented_example_has_every_kind_of_entry() {
        let profile = Profile::parse(include_str!("../../../../meters/modbus/example.toml")).unwrap();
        let parameters = [
            ("energy-power", "-2"),
            ("ct-primary", "250"),
            ("ct-secondary", "5.0"),
            ("volume-unit", "2"),
        ];
        let parameters = parameters.map(|(name, number)| (name.to_owned(), number.parse().unwrap()));
        let values = [
            ("1-0:32.7.0*255", "230.1"),
            ("1-0:1.7.0*255", "0"),
            ("1-0:2.7.0*255", "200"),
            ("1-0:1.8.0*255", "1234500"),
            ("1-0:3.8.0*255", "5042"),
            ("1-0:14.7.0*255", "50.125"),
            ("0-0:96.50.0*255", "0.01"),
            ("0-0:97.97.0*255", "4"),
            ("0-0:97.97.1*255", "3"),
            ("0-0:96.3.1*255", "5"),
        ];
        let contents = Contents {
            serial_number: "42".to_owned(),
            parameters: BTreeMap::from(parameters),
            values: values
                .map(|(code, value)| (code.parse().unwrap(), value.parse().unwrap()))
                .into(),
        };
        let found = profile.values(contents.fill(&profile).unwrap().image());
        assert_eq!(found.len(), values.len());
        for decoded in found {
            let expected = contents.values[&decoded.obis];
            assert!(decoded.value.unwrap().value.same_value(expected), "{decoded:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let profile = Profile::parse(modbus::built_in("saia-ale3").unwrap()).unwrap();
        let mut contents = contents(&profile);
        contents
            .values
            .insert("1-0:36.7.0*255".parse().unwrap(), "327680".parse().unwrap());
        let error = contents.fill(&profile).unwrap_err();
        assert!(
            matches!(error, FillError::DoesNotFit { address: 37, .. }),
            "{error}"
        );
        contents.serial_number = "A1".to_owned();
        let error = contents.fill(&profile).unwrap_err();
        assert!(
            matches!(error, FillError::DoesNotFit { address: 15, .. }),
            "{error}"
        );
        let sunspec = modbus::built_in("sunspec-20x").unwrap();
        let late = sunspec.replace("sunspec = { ", "sunspec = { bases = [65500], ");
        let profile = Profile::parse(&late).unwrap();
        assert_eq!(Contents::default().fill(&profile).unwrap_err(), FillError::Models);
    }
}
