//! Profiles: what a family of meters has in its registers.
//!
//! The file form is TOML; `example.toml` in the folder of this crate explains every key in comments, and
//! [`json_schema`] describes the form to machines. Unknown keys are refused, and so is an entry
//! that is impossible or contradicts another one.

mod check;
mod document;
mod error;
mod field;
mod identification;
mod locator;
mod obis_rules;
mod register;
mod self_test;

use std::collections::BTreeSet;
use std::time::Duration;

use model::{Medium, Obis};
use serde::Deserialize;

pub use document::json_schema;
pub use error::{ProfileError, ProfileFault};
pub use field::{
    Bits, ByteOrder, Field, Function, FunctionError, RegisterType, WordOrder, Words, WordsError,
};
pub use identification::{DeviceObject, Pattern, Probe};
pub use register::{
    CodedUnit, Fraction, Parameter, ParameterRange, Phase, PollClass, Ratio, Register, Scaling, SerialNumber,
    Total, UnitSource,
};
pub use self_test::{Expected, SelfTest, SelfTestError, TestBlock};

use crate::plan::{self, Block, Plan, Refusals};
use crate::sunspec::{ModelMap, PlacementError};

/// A family of meters: its registers, what they mean, and how they may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    name: String,
    manufacturer: String,
    models: Vec<String>,
    medium: Medium,
    source: Source,
    unit_ids: UnitIds,
    limits: Limits,
    sunspec: Option<SunSpec>,
    identification: Vec<Probe>,
    serial_number: Option<SerialNumber>,
    parameters: Vec<Parameter>,
    registers: Vec<Register>,
    totals: Vec<Total>,
    self_tests: Vec<SelfTest>,
    blocks: Vec<Block>,
}

impl Profile {
    /// The greatest length of a profile's text in bytes; the longest known register maps need a tenth.
    pub const MAX_LENGTH: usize = 256 * 1024;
    /// The greatest number of models of one family; the largest families have some dozens.
    pub const MAX_MODELS: usize = 200;
    /// The greatest number of registers with a meaning; a SunSpec meter with all its models has 400.
    pub const MAX_REGISTERS: usize = 1_000;
    /// The greatest number of parameters; a SunSpec model has ten at most.
    pub const MAX_PARAMETERS: usize = 100;

    /// Returns the name, maker-model as in `eastron-sdm630`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the maker's name.
    #[must_use]
    pub fn manufacturer(&self) -> &str {
        &self.manufacturer
    }

    /// Returns the models that the profile was written for.
    #[must_use]
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// Returns what the meter measures.
    #[must_use]
    pub const fn medium(&self) -> Medium {
        self.medium
    }

    /// Returns where the register map was taken from.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// Returns the unit identifiers that the meter can have.
    #[must_use]
    pub const fn unit_ids(&self) -> UnitIds {
        self.unit_ids
    }

    /// Returns how the meter may be read.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns where the meter's SunSpec models are looked for, if it has any.
    #[must_use]
    pub const fn sunspec(&self) -> Option<&SunSpec> {
        self.sunspec.as_ref()
    }

    /// Returns what must hold of a meter of this family. Without any, nothing tells it apart.
    #[must_use]
    pub fn identification(&self) -> &[Probe] {
        &self.identification
    }

    /// Returns where the serial number stands, if the meter tells it.
    #[must_use]
    pub const fn serial_number(&self) -> Option<&SerialNumber> {
        self.serial_number.as_ref()
    }

    /// Returns the registers that say how others are to be read, in the order of the file.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Returns the registers with a measured value, in the order of the file.
    #[must_use]
    pub fn registers(&self) -> &[Register] {
        &self.registers
    }

    /// Returns the sums of values, in the order of the file.
    #[must_use]
    pub fn totals(&self) -> &[Total] {
        &self.totals
    }

    /// Returns the codes of every element of the profile, in the order of its values.
    pub fn codes(&self) -> impl Iterator<Item = Obis> {
        let registers = self.registers.iter().flat_map(Register::codes);
        registers.chain(self.totals.iter().map(|total| total.obis))
    }

    /// Returns the test vectors, in the order of the file.
    #[must_use]
    pub fn self_tests(&self) -> &[SelfTest] {
        &self.self_tests
    }

    /// Returns the requests that read everything: the fewest that the limits allow.
    ///
    /// There are none for a SunSpec profile before it is [placed](Self::placed).
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Returns whether every address is one on the wire; only a SunSpec profile is not, before it
    /// is [placed](Self::placed).
    #[must_use]
    pub fn is_placed(&self) -> bool {
        self.fields().all(|field| field.place == Place::Wire)
    }

    /// Moves the registers to where a meter has its SunSpec models.
    ///
    /// # Errors
    ///
    /// [`PlacementError`] if the meter lacks a model of the profile, or has it at the very end of
    /// the address space.
    pub fn placed(&self, models: &ModelMap) -> Result<Self, PlacementError> {
        let mut placed = self.clone();
        let Some(sunspec) = &self.sunspec else {
            return Ok(placed);
        };
        for field in placed.fields_mut() {
            field.place_in(sunspec, models)?;
        }
        Ok(placed.planned())
    }

    /// Plans the reading of the registers of those classes, with the parameters that they need.
    ///
    /// The serial number is read along with [`PollClass::Normal`], behind the values unless it lies among
    /// them: a meter that has values and is silent about its number is read all the same. The refusals are what earlier
    /// polls of the same meter have learned; a new meter has none. There is nothing to read of a
    /// SunSpec profile before it is [placed](Self::placed).
    #[must_use]
    pub fn plan(&self, classes: &[PollClass], refusals: &Refusals) -> Plan {
        if !self.is_placed() {
            return Plan::new([], None, &self.limits, refusals);
        }
        let last = self.serial_number.as_ref().map(|number| number.field.block());
        Plan::new(self.wanted(classes), last, &self.limits, refusals)
    }

    /// Returns what must be read for those classes, each place once.
    fn wanted(&self, classes: &[PollClass]) -> BTreeSet<Block> {
        let mut wanted = BTreeSet::new();
        if classes.contains(&PollClass::Normal) {
            wanted.extend(self.serial_number.iter().map(|number| number.field.block()));
        }
        let registers = self.registers.iter();
        for register in registers.filter(|register| classes.contains(&register.poll)) {
            wanted.insert(register.field.block());
            wanted.extend(register.fraction.iter().map(|fraction| fraction.field.block()));
            wanted.extend(
                register
                    .parameters()
                    .filter_map(|index| self.parameters.get(index))
                    .map(|parameter| parameter.field.block()),
            );
        }
        wanted
    }

    fn fields(&self) -> impl Iterator<Item = &Field> {
        let registers = self.registers.iter().map(|register| &register.field);
        let fractions = self
            .registers
            .iter()
            .filter_map(|register| register.fraction.as_ref());
        let parameters = self.parameters.iter().map(|parameter| &parameter.field);
        let serial_number = self.serial_number.iter().map(|number| &number.field);
        registers
            .chain(fractions.map(|fraction| &fraction.field))
            .chain(parameters)
            .chain(serial_number)
    }

    fn fields_mut(&mut self) -> impl Iterator<Item = &mut Field> {
        let registers = self.registers.iter_mut().flat_map(|register| {
            let fraction = register.fraction.as_mut().map(|fraction| &mut fraction.field);
            [Some(&mut register.field), fraction].into_iter().flatten()
        });
        let parameters = self.parameters.iter_mut().map(|parameter| &mut parameter.field);
        let serial_number = self.serial_number.iter_mut().map(|number| &mut number.field);
        registers.chain(parameters).chain(serial_number)
    }

    fn planned(mut self) -> Self {
        if self.is_placed() {
            let wanted = self.wanted(&PollClass::ALL);
            self.blocks = plan::blocks(wanted, &self.limits, &Refusals::default());
        }
        self
    }
}

/// Where a register map was taken from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The document's title.
    pub document: String,
    /// Its edition, as it stands on the document.
    pub edition: String,
    /// What could not be checked against the maker's document, one sentence each.
    #[serde(default)]
    pub unchecked: Vec<String>,
}

/// The unit identifiers that a meter can have, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitIds {
    /// The first one, at least 1.
    pub first: u8,
    /// The last one, at most 247; 255 for a meter that is its own TCP server.
    pub last: u8,
}

impl UnitIds {
    /// Every address of a serial line.
    ///
    /// Spec: MODBUS over Serial Line V1.02, section 2.2.
    pub const SERIAL_LINE: Self = Self { first: 1, last: 247 };
    /// The unit of a meter that is its own TCP server.
    ///
    /// Spec: Modbus Messaging on TCP/IP Implementation Guide V1.0b, section 4.4.2.3.
    pub const OWN_SERVER: u8 = 255;

    /// Returns whether the unit is one of them.
    #[must_use]
    pub const fn contains(self, unit: u8) -> bool {
        self.first <= unit && unit <= self.last
    }
}

impl Default for UnitIds {
    fn default() -> Self {
        Self::SERIAL_LINE
    }
}

/// How a meter may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The greatest number of registers in one request, 1 to 125.
    pub registers_per_request: u16,
    /// The greatest number of bits in one request to a table of bits, 1 to 2000.
    pub bits_per_request: u16,
    /// The greatest number of registers between two wanted ones that a request may read across.
    pub largest_gap: u16,
    /// Registers that no request may touch.
    pub forbidden: Vec<Block>,
    /// How long the line stays quiet between an answer and the next request.
    pub pause: Duration,
    /// How long an answer can take.
    pub answer_timeout: Duration,
    /// How long the meter is left alone after a connection to it was opened.
    pub connect_delay: Duration,
    /// Whether the meter serves one TCP connection at a time.
    pub one_connection: bool,
}

impl Limits {
    /// The greatest number of registers that one answer can hold.
    ///
    /// Spec: Modbus Application Protocol V1.1b3, sections 6.3 and 6.4.
    pub const MAX_REGISTERS_PER_REQUEST: u16 = 125;
    /// The greatest number of bits that one answer can hold.
    ///
    /// Spec: Modbus Application Protocol V1.1b3, sections 6.1 and 6.2.
    pub const MAX_BITS_PER_REQUEST: u16 = 2_000;
    /// The longest pause and the longest wait for an answer; what takes longer is no meter's doing.
    pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

    /// Returns the greatest count of a request to the table.
    #[must_use]
    pub const fn most(&self, function: Function) -> u16 {
        if function.reads_bits() {
            self.bits_per_request
        } else {
            self.registers_per_request
        }
    }
}

/// What an address counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// 0, as on the wire.
    Wire,
    /// The first register of the SunSpec common model, the one that holds its identifier.
    CommonModel,
    /// The first register of the SunSpec meter model, the one that holds its identifier.
    MeterModel,
}

/// Where the models of a SunSpec meter are looked for.
///
/// Spec: SunSpec Information Model Specification, version 1.9, section 6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SunSpec {
    /// The table that holds the models.
    pub function: Function,
    /// The addresses at which the marker `SunS` is looked for, in this order.
    pub bases: Vec<u16>,
    /// The meter models that the profile describes; the first one that the meter has is read.
    pub models: Vec<u16>,
}

impl SunSpec {
    /// The model with maker, model and serial number.
    pub const COMMON_MODEL: u16 = 1;
    /// The addresses at which the standard allows the marker, the usual one first.
    pub const BASES: [u16; 3] = [40_000, 50_000, 0];
    /// The greatest number of bases; the standard names three.
    pub const MAX_BASES: usize = 8;
}
