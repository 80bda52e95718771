//! Registers with a measured value, and the registers that say how those are to be read.

use model::{Decimal, MeterId, MeterIdError, Obis};
use serde::Deserialize;

use super::Field;

/// A measured value in the meter's registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// What the value measures; of a value with a sign rule, its part above zero.
    pub obis: Obis,
    /// What the part below zero measures, without its sign, if the meter counts both directions in one register.
    pub negative_obis: Option<Obis>,
    /// Whether the meter counts the other direction as positive.
    pub inverted: bool,
    /// Where the number stands and how it is written.
    pub field: Field,
    /// Where the rest of the number stands, if the meter splits it.
    pub fraction: Option<Fraction>,
    /// What the number is multiplied by.
    pub scaling: Scaling,
    /// The unit, after scaling.
    pub unit: UnitSource,
    /// How often the value is read.
    pub poll: PollClass,
}

impl Register {
    /// The greatest absolute power of ten, so that a real with few digits is still a decimal.
    pub const MAX_SCALE: i8 = 18;

    /// Returns the phase that the value belongs to, as its code says.
    ///
    /// Spec: IEC 62056-61:2006, table 4 (group C of electricity: 21 to 40, 41 to 60, 61 to 80).
    #[must_use]
    pub const fn phase(&self) -> Option<Phase> {
        super::obis_rules::phase(self.obis)
    }

    /// Returns the tariff that the value is counted in, as its code says; 0 is the total.
    #[must_use]
    pub const fn tariff(&self) -> Option<u8> {
        super::obis_rules::tariff(self.obis)
    }

    /// Returns the codes of the elements that the register gives.
    pub fn codes(&self) -> impl Iterator<Item = Obis> {
        [Some(self.obis), self.negative_obis].into_iter().flatten()
    }

    /// Returns the indices of the parameters that the value needs.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = usize> {
        let unit = match self.unit {
            UnitSource::Fixed(_) => None,
            UnitSource::From(index) => Some(index),
        };
        let scaling = &self.scaling;
        let factors = scaling.times.iter().chain(&scaling.over).copied();
        factors.chain(scaling.power_from).chain(unit)
    }
}

/// What a register's number is multiplied by, all of it exactly.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scaling {
    /// The power of ten: 3 for kWh to Wh.
    pub power_of_ten: i8,
    /// A ratio besides.
    pub ratio: Ratio,
    /// The parameter that holds a further power of ten, such as a SunSpec scale factor.
    pub power_from: Option<usize>,
    /// The parameters that the number is multiplied by, such as the ratio of a current transformer.
    pub times: Vec<usize>,
    /// The parameters that the number is divided by.
    pub over: Vec<usize>,
}

/// The ratio of two whole numbers that is a finite decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    /// What is multiplied by, at least 1.
    pub numerator: u32,
    /// What is divided by, at least 1; its only prime factors, after shortening, are 2 and 5.
    pub denominator: u32,
}

impl Ratio {
    /// One to one.
    pub const ONE: Self = Self {
        numerator: 1,
        denominator: 1,
    };

    /// Returns the ratio as a decimal, if it is a finite one.
    #[must_use]
    pub fn decimal(self) -> Option<Decimal> {
        let numerator = Decimal::whole(self.numerator.into());
        crate::decode::quotient(numerator, Decimal::whole(self.denominator.into()))
    }
}

impl Default for Ratio {
    fn default() -> Self {
        Self::ONE
    }
}

/// The rest of a number whose whole part stands elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fraction {
    /// Where the rest stands and how it is written.
    pub field: Field,
    /// The power of ten that turns the rest into the unit of the whole part.
    pub power_of_ten: i8,
}

/// The unit of a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitSource {
    /// Always the same one.
    Fixed(model::Unit),
    /// The one that a parameter names.
    From(usize),
}

/// A register that says how others are to be read: a scale factor, a transformer's ratio, a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The name by which registers refer to it.
    pub name: String,
    /// Where the number stands and how it is written.
    pub field: Field,
    /// The power of ten that the parameter's own number is multiplied by.
    pub power_of_ten: i8,
    /// What the number means, if it names a unit.
    pub units: Vec<CodedUnit>,
    /// What the number can be; what lies outside spoils the values that need it.
    pub range: Option<ParameterRange>,
}

/// What the number of a parameter can be, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParameterRange {
    /// The least number.
    pub least: i32,
    /// The greatest number.
    pub most: i32,
}

impl ParameterRange {
    /// Returns whether the number is a whole one within the range.
    #[must_use]
    pub fn holds(self, number: Decimal) -> bool {
        let whole = number.rescaled(0).map(Decimal::mantissa);
        whole.is_some_and(|whole| i128::from(self.least) <= whole && whole <= i128::from(self.most))
    }
}

/// A value that the meter does not show, but whose parts it does: the sum of other values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Total {
    /// What the total measures.
    pub obis: Obis,
    /// The codes of the values that it is the sum of, two at least.
    pub of: Vec<Obis>,
}

impl Total {
    /// The greatest number of parts: no meter has more tariffs.
    pub const MAX_PARTS: usize = 16;
}

/// A unit as a meter names it by a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodedUnit {
    /// The meter's number.
    pub code: u64,
    /// The unit.
    pub unit: model::Unit,
    /// What turns the meter's unit into this one: 3 for kWh to Wh.
    pub power_of_ten: i8,
}

/// How often a register is read.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum PollClass {
    /// For the live display: power, voltage, current.
    Fast,
    /// Once in a registration period: counters.
    #[default]
    Normal,
    /// Once after a start: what never changes.
    Static,
}

impl PollClass {
    /// Every class, in the order of the enum.
    pub const ALL: [Self; 3] = [Self::Fast, Self::Normal, Self::Static];
}

/// A phase of the mains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, schemars::JsonSchema)]
#[expect(missing_docs, reason = "the names are the phases' own")]
pub enum Phase {
    L1,
    L2,
    L3,
}

/// The registers with the serial number, and how the meter's identity is made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialNumber {
    /// Where the number stands and how it is written; its type is a whole number or text.
    pub field: Field,
    /// The maker's letters, the first part of the identity.
    pub prefix: String,
    /// The number of digits that a number is filled up to with zeros; a text stays as it is.
    pub digits: u8,
}

impl SerialNumber {
    /// Returns the identity of a meter with that number, such as `EAS-00012345`.
    pub(crate) fn numbered(&self, number: i128) -> Result<MeterId, MeterIdError> {
        let width = usize::from(self.digits);
        format!("{}-{number:0width$}", self.prefix).try_into()
    }

    /// Returns the identity of a meter with that text, such as `ABB-A1B2C3`.
    pub(crate) fn named(&self, text: &str) -> Result<MeterId, MeterIdError> {
        format!("{}-{text}", self.prefix).try_into()
    }
}
