//! The file form of a profile.

use model::{Decimal, GapReason, Medium, MeterId, Obis, Unit};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::locator::Locator;
use super::{
    Bits, ByteOrder, DeviceObject, Function, ParameterRange, Pattern, Phase, PollClass, Profile,
    ProfileError, ProfileFault, RegisterType, Source, UnitIds, WordOrder, Words,
};

impl Profile {
    /// Reads a profile from its TOML text.
    ///
    /// # Errors
    ///
    /// [`ProfileError`] with the line, the field and the cause; of several faults the first one found.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        let locator = Locator(text);
        if text.len() > Self::MAX_LENGTH {
            let fault = ProfileFault::TooLong { found: text.len() };
            return Err(locator.error(&(0..0), None, fault));
        }
        let document: Document = toml::from_str(text).map_err(|source| locator.form_error(source))?;
        document
            .checked(locator)
            .map_err(|fault| locator.error(&fault.span, fault.key, fault.fault))
    }

    /// Reads a profile from its text and runs its self-tests.
    ///
    /// # Errors
    ///
    /// Every fault that was found, each with its line and field: the first one of the text, or else all the
    /// tests that fail, or that there is none.
    pub fn check(text: &str) -> Result<Self, Vec<ProfileError>> {
        let profile = Self::parse(text).map_err(|error| vec![error])?;
        let locator = Locator(text);
        if profile.self_tests.is_empty() {
            return Err(vec![locator.error_in("self_tests", ProfileFault::NoSelfTest)]);
        }
        let faults = profile.self_tests.iter().enumerate().filter_map(|(index, test)| {
            let source = test.run(&profile).err()?;
            let place = source.place(test);
            let fault = ProfileFault::SelfTest {
                title: test.title.clone(),
                source: Box::new(source),
            };
            Some(locator.error_in(&format!("self_tests[{index}].{place}"), fault))
        });
        let faults: Vec<ProfileError> = faults.collect();
        if faults.is_empty() {
            Ok(profile)
        } else {
            Err(faults)
        }
    }
}

/// Returns the JSON schema of the file form, as JSON text.
///
/// Editors complete and check profiles with it; what a schema cannot say (overlaps, contradictions
/// between entries) only [`Profile::parse`] finds.
#[must_use]
pub fn json_schema() -> String {
    format!("{:#}", schemars::schema_for!(Document).as_value())
}

/// Builds an entry that says where something stands in the registers, and more.
macro_rules! entry {
    ($(#[$outer:meta])* struct $name:ident { $($(#[$inner:meta])* $key:ident: $type:ty,)* }) => {
        $(#[$outer])*
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            /// The function code, 1 to 4; as in `defaults` if it is left out.
            #[schemars(with = "Option<u8>", range(min = 1, max = 4))]
            pub(super) function: Option<Function>,
            /// The first register as it goes over the wire, counted from 0; with `sunspec`, counted
            /// from the register that holds the model's identifier.
            pub(super) address: u16,
            /// With `sunspec`: which model the address belongs to. The default is the meter's.
            pub(super) model: Option<Model>,
            /// How the number is written.
            #[serde(rename = "type")]
            pub(super) register_type: RegisterType,
            /// The number of registers of bcd, ascii and bitfield, or of bits of functions 1 and 2.
            #[schemars(range(min = 1, max = 64))]
            pub(super) count: Option<u16>,
            /// Which register comes first; as in `defaults` if it is left out.
            pub(super) word_order: Option<WordOrder>,
            /// Which byte of a register comes first; as in `defaults` if it is left out.
            pub(super) byte_order: Option<ByteOrder>,
            /// Which bits of a bitfield count.
            pub(super) bits: Option<Bits>,
            /// Contents that stand for "no value", each as the registers go over the wire.
            #[serde(default)]
            #[schemars(with = "Vec<String>", inner(regex(pattern = r"^\s*[0-9A-Fa-f]{4}(\s+[0-9A-Fa-f]{4})*\s*$")))]
            pub(super) not_available: Vec<Words>,
            $($(#[$inner])* pub(super) $key: $type,)*
        }

        impl $name {
            /// Takes out where the entry's number stands and how it is written.
            pub(super) fn place(&mut self) -> PlaceEntry {
                PlaceEntry {
                    function: self.function,
                    address: self.address,
                    model: self.model,
                    register_type: self.register_type,
                    count: self.count,
                    word_order: self.word_order,
                    byte_order: self.byte_order,
                    bits: self.bits,
                    not_available: std::mem::take(&mut self.not_available),
                }
            }
        }
    };
}

/// What the entries have in common.
pub(super) struct PlaceEntry {
    pub(super) function: Option<Function>,
    pub(super) address: u16,
    pub(super) model: Option<Model>,
    pub(super) register_type: RegisterType,
    pub(super) count: Option<u16>,
    pub(super) word_order: Option<WordOrder>,
    pub(super) byte_order: Option<ByteOrder>,
    pub(super) bits: Option<Bits>,
    pub(super) not_available: Vec<Words>,
}

/// A family of Modbus meters: its registers, what they mean, and how they may be read.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Modbus meter profile")]
pub(super) struct Document {
    /// The profile's name, maker-model; also the name of the file.
    #[schemars(with = "String", regex(pattern = r"^[a-z0-9]+(-[a-z0-9]+)+$"))]
    pub(super) name: Spanned<String>,
    /// The maker's name.
    #[schemars(with = "String")]
    pub(super) manufacturer: Spanned<String>,
    /// The models that the profile was written for.
    #[schemars(with = "Vec<String>", length(min = 1))]
    pub(super) models: Spanned<Vec<Spanned<String>>>,
    /// What is measured.
    #[schemars(with = "MediumName")]
    pub(super) medium: Medium,
    /// Where the register map was taken from.
    pub(super) source: Source,
    /// The unit identifiers that the meter can have; 1 to 247 if they are left out.
    #[schemars(with = "Option<UnitIds>")]
    pub(super) unit_ids: Option<Spanned<UnitIds>>,
    /// How the meter may be read.
    #[schemars(with = "LimitsEntry")]
    pub(super) limits: Spanned<LimitsEntry>,
    /// What entries that leave it out have.
    #[serde(default)]
    pub(super) defaults: Defaults,
    /// Where the meter's SunSpec models are looked for.
    #[schemars(with = "Option<SunSpecEntry>")]
    pub(super) sunspec: Option<Spanned<SunSpecEntry>>,
    /// What holds of every meter of the family.
    #[serde(default)]
    #[schemars(with = "Vec<ProbeEntry>")]
    pub(super) identification: Vec<Spanned<ProbeEntry>>,
    /// The meter's identity.
    #[schemars(with = "Option<SerialNumberEntry>")]
    pub(super) serial_number: Option<Spanned<SerialNumberEntry>>,
    /// Registers that say how others are to be read.
    #[serde(default)]
    #[schemars(with = "Vec<ParameterEntry>")]
    pub(super) parameters: Vec<Spanned<ParameterEntry>>,
    /// Every value that is read.
    #[schemars(with = "Vec<RegisterEntry>")]
    pub(super) registers: Spanned<Vec<Spanned<RegisterEntry>>>,
    /// Sums of values: totals that the meter does not show itself.
    #[serde(default)]
    #[schemars(with = "Vec<TotalEntry>")]
    pub(super) totals: Vec<Spanned<TotalEntry>>,
    /// Test vectors: contents of registers, and the elements that they must give.
    #[serde(default)]
    pub(super) self_tests: Vec<SelfTestEntry>,
}

/// The names of the media.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", inline)]
#[expect(dead_code, reason = "only its schema is used; the model has the type itself")]
enum MediumName {
    Electricity,
    HeatCostAllocator,
    Cooling,
    Heat,
    Gas,
    Water,
    WarmWater,
    Other,
}

/// What entries that leave it out have.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Defaults {
    /// The function code, 1 to 4.
    #[schemars(with = "Option<u8>", range(min = 1, max = 4))]
    pub(super) function: Option<Function>,
    /// Which register comes first.
    #[serde(default)]
    pub(super) word_order: WordOrder,
    /// Which byte of a register comes first.
    #[serde(default)]
    pub(super) byte_order: ByteOrder,
}

/// How a meter may be read.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsEntry {
    /// The greatest number of registers in one request.
    #[schemars(range(min = 1, max = 125))]
    pub(super) registers_per_request: u16,
    /// The greatest number of bits in one request of functions 1 and 2.
    #[serde(default = "most_bits")]
    #[schemars(range(min = 1, max = 2000))]
    pub(super) bits_per_request: u16,
    /// The greatest number of registers between two wanted ones that a request may read across.
    pub(super) largest_gap: u16,
    /// Registers that no request may touch.
    #[serde(default)]
    #[schemars(with = "Vec<ForbiddenEntry>")]
    pub(super) forbidden: Vec<Spanned<ForbiddenEntry>>,
    /// How long the line stays quiet between an answer and the next request, in milliseconds.
    #[serde(default)]
    #[schemars(range(max = 60000))]
    pub(super) pause_ms: u32,
    /// How long an answer can take, in milliseconds.
    #[serde(default = "usual_timeout_ms")]
    #[schemars(range(min = 1, max = 60000))]
    pub(super) answer_timeout_ms: u32,
    /// How long the meter is left alone after a connection to it was opened, in milliseconds.
    #[serde(default)]
    #[schemars(range(max = 60000))]
    pub(super) connect_delay_ms: u32,
    /// Whether the meter serves one TCP connection at a time.
    #[serde(default)]
    pub(super) one_connection: bool,
}

const fn most_bits() -> u16 {
    super::Limits::MAX_BITS_PER_REQUEST
}

/// Behind a gateway to a slow serial line, 300 ms are known to be too short.
const fn usual_timeout_ms() -> u32 {
    1_000
}

/// Registers that no request may touch, both ends included.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ForbiddenEntry {
    /// The function code, 1 to 4; as in `defaults` if it is left out.
    #[schemars(with = "Option<u8>", range(min = 1, max = 4))]
    pub(super) function: Option<Function>,
    /// The first register.
    pub(super) first: u16,
    /// The last register.
    pub(super) last: u16,
}

/// Where the models of a SunSpec meter are looked for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SunSpecEntry {
    /// The addresses at which the marker is looked for; the standard's three if they are left out.
    pub(super) bases: Option<Vec<u16>>,
    /// The meter models that the profile describes.
    pub(super) models: Vec<u16>,
}

/// The model that an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Model {
    /// Model 1, with maker, model and serial number.
    Common,
    /// The meter model.
    Meter,
}

/// Something that holds of every meter of the family: either a register or a device object.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProbeEntry {
    /// A register and what it can hold.
    pub(super) register: Option<RegisterProbeEntry>,
    /// An object of the device identification (function 43/14) and what it can be.
    pub(super) device: Option<DeviceProbeEntry>,
}

entry! {
    /// A register and what it can hold.
    struct RegisterProbeEntry {
        /// Texts or numbers; a final `*` stands for any rest.
        one_of: Vec<Pattern>,
    }
}

/// An object of the device identification (function 43/14) and what it can be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeviceProbeEntry {
    /// The object.
    pub(super) object: DeviceObject,
    /// Texts; a final `*` stands for any rest.
    pub(super) one_of: Vec<Pattern>,
}

entry! {
    /// The meter's identity: prefix, a hyphen, and the serial number.
    struct SerialNumberEntry {
        /// The maker's letters.
        prefix: String,
        /// The number of digits that a number is filled up to with zeros.
        #[serde(default)]
        digits: u8,
    }
}

entry! {
    /// A register that says how others are to be read.
    struct ParameterEntry {
        /// The name by which registers refer to it.
        name: String,
        /// The power of ten that the parameter's own number is multiplied by.
        #[serde(default)]
        #[schemars(range(min = -18, max = 18))]
        scale: i8,
        /// What the number means, if it names a unit.
        #[serde(default)]
        units: Vec<CodedUnitEntry>,
        /// What the number can be; what lies outside spoils the values that need it.
        range: Option<ParameterRange>,
    }
}

/// A unit as a meter names it by a number.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CodedUnitEntry {
    /// The meter's number.
    pub(super) code: u64,
    /// The unit's symbol.
    #[schemars(with = "String")]
    pub(super) unit: Unit,
    /// What turns the meter's unit into this one: 3 for kWh to Wh.
    #[serde(default)]
    #[schemars(range(min = -18, max = 18))]
    pub(super) scale: i8,
}

entry! {
    /// A measured value.
    struct RegisterEntry {
        /// What the value measures, A-B:C.D.E*F.
        #[schemars(with = "String", regex(pattern = r"^\d+-\d+:\d+\.\d+\.\d+\*\d+$"))]
        obis: Obis,
        /// What the part below zero measures, if one signed register counts both directions.
        #[schemars(with = "Option<String>", regex(pattern = r"^\d+-\d+:\d+\.\d+\.\d+\*\d+$"))]
        negative_obis: Option<Obis>,
        /// Whether the meter counts the other direction as positive.
        #[serde(default)]
        inverted: bool,
        /// The phase, which must be that of the code.
        phase: Option<Phase>,
        /// The tariff, which must be that of the code; 0 is the total.
        tariff: Option<u8>,
        /// The power of ten that turns the number into the unit: 3 for kWh to Wh.
        #[serde(default)]
        #[schemars(range(min = -18, max = 18))]
        scale: i8,
        /// A ratio that the number is multiplied by besides.
        ratio: Option<RatioEntry>,
        /// The parameter that holds a further power of ten.
        scale_from: Option<String>,
        /// The parameters that the number is multiplied by.
        #[serde(default)]
        times: Vec<String>,
        /// The parameters that the number is divided by.
        #[serde(default)]
        over: Vec<String>,
        /// The rest of a number whose whole part stands here.
        fraction: Option<FractionEntry>,
        /// The unit's symbol, after scaling.
        #[schemars(with = "Option<String>")]
        unit: Option<Unit>,
        /// The parameter that names the unit.
        unit_from: Option<String>,
        /// How often the value is read.
        #[serde(default)]
        poll: PollClass,
    }
}

/// The ratio of two whole numbers.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RatioEntry {
    /// What is multiplied by.
    #[schemars(range(min = 1))]
    pub(super) numerator: u32,
    /// What is divided by.
    #[schemars(range(min = 1))]
    pub(super) denominator: u32,
}

entry! {
    /// The rest of a number whose whole part stands elsewhere.
    struct FractionEntry {
        /// The power of ten that turns the rest into the unit of the whole part.
        #[serde(default)]
        #[schemars(range(min = -18, max = 18))]
        scale: i8,
    }
}

/// A total that the meter does not show, but whose parts it does.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TotalEntry {
    /// What the total measures, A-B:C.D.E*F.
    #[schemars(with = "String", regex(pattern = r"^\d+-\d+:\d+\.\d+\.\d+\*\d+$"))]
    pub(super) obis: Obis,
    /// The codes of the values that it is the sum of.
    #[schemars(with = "Vec<String>")]
    pub(super) of: Vec<Obis>,
}

/// A test vector.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SelfTestEntry {
    /// What the vector shows, in a few words.
    pub(super) title: String,
    /// The registers that the meter is supposed to have answered with.
    #[schemars(with = "Vec<TestBlockEntry>")]
    pub(super) registers: Vec<Spanned<TestBlockEntry>>,
    /// The identity that they must give, if the profile has a serial number.
    #[schemars(with = "Option<String>")]
    pub(super) meter: Option<MeterId>,
    /// The elements that they must give.
    #[schemars(with = "Vec<ExpectedEntry>")]
    pub(super) elements: Vec<Spanned<ExpectedEntry>>,
}

/// Contents of registers from an address on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TestBlockEntry {
    /// The function code, 1 to 4; as in `defaults` if it is left out.
    #[schemars(with = "Option<u8>", range(min = 1, max = 4))]
    pub(super) function: Option<Function>,
    /// The first register on the wire.
    pub(super) address: u16,
    /// Four hexadecimal digits for each register.
    #[schemars(
        with = "String",
        regex(pattern = r"^\s*[0-9A-Fa-f]{4}(\s+[0-9A-Fa-f]{4})*\s*$")
    )]
    pub(super) words: Words,
}

/// An element that a test vector must give: a value with its unit, or the reason for the gap.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedEntry {
    /// The element's code.
    #[schemars(with = "String", regex(pattern = r"^\d+-\d+:\d+\.\d+\.\d+\*\d+$"))]
    pub(super) obis: Obis,
    /// The value as a decimal.
    #[schemars(with = "Option<String>", regex(pattern = r"^-?\d+(\.\d+)?$"))]
    pub(super) value: Option<Decimal>,
    /// The unit's symbol.
    #[schemars(with = "Option<String>")]
    pub(super) unit: Option<Unit>,
    /// Why there is no value.
    #[schemars(with = "Option<GapName>")]
    pub(super) gap: Option<GapReason>,
}

/// The names of the reasons for a gap.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", inline)]
#[expect(dead_code, reason = "only its schema is used; the model has the type itself")]
enum GapName {
    NotAvailable,
    BadAnswer,
}
