//! What can be wrong with a profile.

use model::{Medium, MeterIdError, Obis, Unit};

use super::{Limits, Profile, Register, RegisterType, SelfTestError};

/// The reason why a text is no profile, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}{}{field}", if field.is_empty() { "" } else { ": " })]
pub struct ProfileError {
    /// The line of the fault, counted from 1.
    pub line: usize,
    /// The path of the faulty field, such as `registers[3].scale`; empty if it cannot be told.
    pub field: String,
    /// What is wrong.
    #[source]
    pub fault: Box<ProfileFault>,
}

/// What is wrong with a field of a profile, or between two of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileFault {
    /// The text is longer than any profile needs to be.
    #[error("the profile has {found} bytes, the limit is {}", Profile::MAX_LENGTH)]
    TooLong {
        /// The length that was given, in bytes.
        found: usize,
    },
    /// The text is not TOML, a key is unknown or missing, or a value has not the form of its key.
    #[error("the profile does not have the documented form: {}", .0.message())]
    Form(toml::de::Error),
    /// A text says nothing.
    #[error("the text is blank; it must name something")]
    Blank,
    /// The end of a range lies before its beginning.
    #[error("the range ends at {last}, before its beginning {first}")]
    Reversed {
        /// The beginning that was given.
        first: i64,
        /// The end that was given.
        last: i64,
    },
    /// Two entries of `not_available` are the same.
    #[error("the same contents stand twice in not_available")]
    RepeatedContents,
    /// A hole is allowed that no request can read across.
    #[error("a gap of {found} registers cannot be read across by a request of {most}; give less than that")]
    Gap {
        /// The gap that was given.
        found: u16,
        /// The greatest number of registers in a request.
        most: u16,
    },
    /// A total is no sum of two or more different values of one unit.
    #[error(
        "the total {obis} must be the sum of two or more different values of the same unit, none of them static"
    )]
    Total {
        /// The total's code.
        obis: Obis,
    },
    /// Nothing shows that the profile is right.
    #[error("the profile has no self-test; give registers of a meter and the elements that they must give")]
    NoSelfTest,
    /// A self-test does not give what it must.
    #[error("the self-test \"{title}\" fails")]
    SelfTest {
        /// The test's title.
        title: String,
        /// What differs.
        source: Box<SelfTestError>,
    },
    /// The name is not maker-model in small letters and digits.
    #[error("the name \"{found}\" is not maker-model in small letters, digits and hyphens")]
    Name {
        /// The name that was given.
        found: String,
    },
    /// A list has more entries than a meter can need, or none at all where one is needed.
    #[error("there are {found} entries; 1 to {most} can be used")]
    Entries {
        /// The number of entries that were given.
        found: usize,
        /// The greatest number.
        most: usize,
    },
    /// The first unit identifier is 0 or lies behind the last one, or the last one is reserved.
    #[error("unit identifiers go from 1 to 247, first to last; 255 is a meter that is its own TCP server")]
    UnitIds,
    /// The limit asks for more than a Modbus answer can hold, or for less than one number needs.
    #[error("{found} registers or bits in a request are not within {least} to {most}")]
    PerRequest {
        /// The number that was given.
        found: u16,
        /// The width of the widest number in the profile.
        least: u16,
        /// The most that the protocol can carry.
        most: u16,
    },
    /// A pause or a timeout is longer than any meter needs, or the timeout is zero.
    #[error("{found_ms} ms is no time that a meter needs; the limit is {} ms", Limits::LONGEST_WAIT.as_millis())]
    Wait {
        /// The time that was given, in milliseconds.
        found_ms: u32,
    },
    /// Neither the entry nor `defaults` has a function code.
    #[error("neither the entry nor defaults has a function code")]
    NoFunction,
    /// `model` is given in a profile without `sunspec`.
    #[error("only the addresses of a profile with sunspec belong to a model")]
    NoSunSpec,
    /// The registers lead beyond the last address.
    #[error("address {address:#06x} leaves no room for the registers")]
    BeyondAddressSpace {
        /// The address that was given.
        address: u16,
    },
    /// `count` is missing for a type that needs it, given for one that does not, or too great.
    #[error("the type {register_type} cannot have this count")]
    Count {
        /// The type that was given.
        register_type: RegisterType,
    },
    /// A table of bits is read as something else than a bitfield.
    #[error("functions 1 and 2 read bits, which are no {register_type}")]
    NotBits {
        /// The type that was given.
        register_type: RegisterType,
    },
    /// The word or byte order cannot be meant for this type.
    #[error("the type {register_type} has no such word or byte order")]
    Order {
        /// The type that was given.
        register_type: RegisterType,
    },
    /// `bits` are given for another type, are none, or lie beyond the field.
    #[error("the bits are not within the bitfield")]
    Bits,
    /// An entry of `not_available` has not as many registers as the number itself.
    #[error("not_available has {found} registers where the number has {expected}")]
    NotAvailableWidth {
        /// The number of registers of the number.
        expected: u16,
        /// The number of registers of the entry.
        found: usize,
    },
    /// Two entries claim the same register.
    #[error("address {address:#06x} is already part of the entry on line {other_line}")]
    Overlap {
        /// The address of the later entry.
        address: u16,
        /// The line of the entry that has it already.
        other_line: usize,
    },
    /// A register lies in a range that no request may touch.
    #[error("address {address:#06x} is forbidden by the limits")]
    Forbidden {
        /// The address of the entry.
        address: u16,
    },
    /// Two registers give the same element.
    #[error("obis {obis} already stands on line {other_line}")]
    DuplicateObis {
        /// The code that they share.
        obis: Obis,
        /// The line of the earlier register.
        other_line: usize,
    },
    /// A power of ten is none that a meter would use.
    #[error("the power of ten {scale} is not within ±{}", Register::MAX_SCALE)]
    Scale {
        /// The power of ten that was given.
        scale: i8,
    },
    /// A ratio is zero, or no finite decimal, so that no value could be exact.
    #[error(
        "{numerator}/{denominator} is not the ratio of two counting numbers that a finite decimal can express"
    )]
    Ratio {
        /// The numerator that was given.
        numerator: u32,
        /// The denominator that was given.
        denominator: u32,
    },
    /// A register refers to a parameter that the profile does not have.
    #[error("there is no parameter \"{name}\"")]
    UnknownParameter {
        /// The name that was given.
        name: String,
    },
    /// Two parameters have the same name.
    #[error("the parameter \"{name}\" already stands on line {other_line}")]
    DuplicateParameter {
        /// The name that they share.
        name: String,
        /// The line of the earlier one.
        other_line: usize,
    },
    /// No register refers to the parameter.
    #[error("no register uses the parameter \"{name}\"")]
    UnusedParameter {
        /// The parameter's name.
        name: String,
    },
    /// A parameter is a text, names one unit twice, or is used for what its entry is not made for.
    #[error("the parameter \"{name}\" cannot be used like this")]
    ParameterUse {
        /// The parameter's name.
        name: String,
    },
    /// A register has neither `unit` nor `unit_from`, or both.
    #[error("a register needs either unit or unit_from")]
    UnitChoice,
    /// The code belongs to another medium than the profile.
    #[error("obis {obis} does not belong to a meter of {medium}")]
    MediumMismatch {
        /// The code that was given.
        obis: Obis,
        /// The profile's medium.
        medium: Medium,
    },
    /// The code stands for a quantity that is not measured in that unit.
    #[error("obis {obis} is not measured in {unit}")]
    UnitMismatch {
        /// The code that was given.
        obis: Obis,
        /// The unit that was given, or that a parameter can name.
        unit: Unit,
    },
    /// `phase` is not the one of the code.
    #[error("obis {obis} does not belong to that phase")]
    PhaseMismatch {
        /// The code that was given.
        obis: Obis,
    },
    /// `tariff` is not the one of the code.
    #[error("obis {obis} does not belong to that tariff")]
    TariffMismatch {
        /// The code that was given.
        obis: Obis,
    },
    /// A sign rule is given for a type without a sign.
    #[error("a number of the type {register_type} is never below zero")]
    NoSign {
        /// The type that was given.
        register_type: RegisterType,
    },
    /// A number that is split has a text or bits for one of its parts.
    #[error("a number of the type {register_type} cannot be split")]
    NotSplittable {
        /// The type that was given.
        register_type: RegisterType,
    },
    /// The serial number has a type that is neither a whole number nor text.
    #[error("a serial number cannot have the type {register_type}")]
    SerialNumberType {
        /// The type that was given.
        register_type: RegisterType,
    },
    /// `prefix` and `digits` of the serial number make no valid identity.
    #[error("prefix and digits of the serial number make no meter identity")]
    Identity(#[source] MeterIdError),
    /// A probe has neither `register` nor `device`, or both.
    #[error("a probe needs either register or device")]
    ProbeChoice,
    /// A register cannot hold what a probe asks for.
    #[error("a register of the type {register_type} never holds \"{found}\"")]
    Pattern {
        /// What the probe asks for.
        found: String,
        /// The register's type.
        register_type: RegisterType,
    },
    /// A self-test expects an element that the profile does not have.
    #[error("no register has the obis {obis}")]
    UnknownElement {
        /// The element's code.
        obis: Obis,
    },
    /// An expected element of a self-test has neither a value with unit nor a gap, or both.
    #[error("the expected element {obis} needs either value and unit, or gap")]
    Expectation {
        /// Its code.
        obis: Obis,
    },
}
