//! The manifest of an energy application: what it is, what it reads, makes and takes.
//!
//! JSON with the schema name `smgw.manifest/1`; unknown fields are refused. The shipped applications have theirs in
//! `gateway/apps`, each with its test vectors.

mod misfit;
mod parameter;
mod vector;

use model::{Obis, ObisPattern, Span, Unit};
use serde::{Deserialize, Serialize};

pub use misfit::Misfit;
pub use model::{AppId, Texts, Version};
pub use parameter::{Domain, Parameter, ParameterError, Value};
pub use vector::{ExpectedOutput, Vector, VectorChannel, VectorInputError, VectorReading};

use crate::interface;
use crate::limits::{Limits, MAX_MANIFEST_BYTES, MAX_PARAMETERS};

/// The schema name that a manifest states.
pub const SCHEMA: &str = "smgw.manifest/1";
/// The most inputs of an application.
pub const MAX_INPUTS: usize = 16;
/// The most outputs of an application: 63 stages and what stands beside them.
pub const MAX_OUTPUTS: usize = 80;
/// The most test vectors of an application.
pub const MAX_VECTORS: usize = 16;
/// The most bytes of a name in one language.
pub const MAX_NAME_BYTES: usize = 80;
/// The most bytes of a description in one language.
pub const MAX_DESCRIPTION_BYTES: usize = 600;

/// The manifest, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    raw: RawManifest,
}

/// The manifest as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    schema: String,
    id: AppId,
    version: Version,
    interface: String,
    taf: Option<u8>,
    name: Texts,
    description: Texts,
    inputs: Vec<InputRole>,
    outputs: Vec<OutputRole>,
    #[serde(default)]
    parameters: Vec<Parameter>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    vectors: Vec<Vector>,
}

/// A role that an element plays for the application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputRole {
    /// Its name within the manifest.
    pub role: String,
    /// The codes that may play it.
    pub obis: ObisPattern,
    /// The units that its values may have.
    pub units: Vec<Unit>,
    /// The finest registration period that the application needs to see; a host hands in nothing finer.
    pub finest: Span,
    /// How far back a window may begin.
    pub history: Span,
    /// How many elements may play it at once.
    #[serde(default = "one")]
    pub at_most: u16,
    /// Whether the application runs without it.
    #[serde(default)]
    pub optional: bool,
    /// Whether a window that has no reading at its start is given the last one before it too, so that what was counted in
    /// between is not lost between two windows.
    #[serde(default)]
    pub lead: bool,
}

const fn one() -> u16 {
    1
}

/// An element that the application makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputRole {
    /// Its name within the manifest.
    pub output: String,
    /// Its code; open groups are taken from the element that it is made of.
    pub obis: ObisPattern,
    /// Its unit; that of the element that it is made of if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// How long the host keeps its values; as long as it keeps readings if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Span>,
}

impl OutputRole {
    /// Returns the code of an element that is made of one with the given code.
    #[must_use]
    pub fn obis_of(&self, made_of: Obis) -> Obis {
        let text = self.obis.to_string();
        if self.obis == ObisPattern::ANY {
            return made_of;
        }
        // The pattern has no door to its groups; its text form has one letter for each open one.
        let groups = text.split(['-', ':', '.', '*']);
        let mut code = made_of.groups();
        for (place, group) in code.iter_mut().zip(groups) {
            if let Ok(fixed) = group.parse() {
                *place = fixed;
            }
        }
        Obis::new(code)
    }

    /// Returns the unit of an element that is made of one with the given unit.
    #[must_use]
    pub fn unit_of(&self, made_of: Unit) -> Unit {
        self.unit.unwrap_or(made_of)
    }
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] names the first thing that is wrong.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        if json.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLong { bytes: json.len() });
        }
        let raw: RawManifest = serde_json::from_slice(json).map_err(|error| ManifestError::Json {
            line: error.line(),
            source: JsonFault(error.to_string()),
        })?;
        raw.check()?;
        Ok(Self { raw })
    }

    /// Returns the application's name, the same for every version.
    #[must_use]
    pub const fn id(&self) -> &AppId {
        &self.raw.id
    }

    /// Returns the version, which grows with every change.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.raw.version
    }

    /// Returns the number of the tariff use case of BSI TR-03109-1 that it serves, if it serves one.
    #[must_use]
    pub const fn taf(&self) -> Option<u8> {
        self.raw.taf
    }

    /// Returns the name for people.
    #[must_use]
    pub const fn name(&self) -> &Texts {
        &self.raw.name
    }

    /// Returns what it does, for people.
    #[must_use]
    pub const fn description(&self) -> &Texts {
        &self.raw.description
    }

    /// Returns the roles of what it reads; blobs name them by index.
    #[must_use]
    pub fn inputs(&self) -> &[InputRole] {
        &self.raw.inputs
    }

    /// Returns what it makes; blobs name it by index.
    #[must_use]
    pub fn outputs(&self) -> &[OutputRole] {
        &self.raw.outputs
    }

    /// Returns its parameters; blobs have them in this order.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.raw.parameters
    }

    /// Returns what a run may take.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.raw.limits
    }

    /// Returns the test vectors.
    #[must_use]
    pub fn vectors(&self) -> &[Vector] {
        &self.raw.vectors
    }

    /// Puts given parameters into the manifest's order, with defaults for those that are not given.
    ///
    /// # Errors
    ///
    /// [`ParameterError`] if one is unknown, missing, of another kind or out of its bounds.
    pub fn values(
        &self,
        given: &std::collections::BTreeMap<String, serde_json::Value>,
    ) -> Result<Vec<Option<Value>>, ParameterError> {
        let known = |name: &String| self.parameters().iter().any(|parameter| parameter.name == *name);
        if let Some(name) = given.keys().find(|name| !known(name)) {
            return Err(ParameterError::Unknown { name: name.clone() });
        }
        self.parameters()
            .iter()
            .map(|parameter| parameter.value(given.get(&parameter.name)))
            .collect()
    }
}

impl RawManifest {
    fn check(&self) -> Result<(), ManifestError> {
        if self.schema != SCHEMA {
            return Err(ManifestError::Schema);
        }
        if self.interface != interface::NAME {
            return Err(ManifestError::Interface);
        }
        if self.taf.is_some_and(|taf| !(1..=16).contains(&taf)) {
            return Err(ManifestError::Taf);
        }
        if !(self.name.fit(MAX_NAME_BYTES) && self.description.fit(MAX_DESCRIPTION_BYTES)) {
            return Err(ManifestError::Texts);
        }
        self.check_counts()?;
        self.check_names()?;
        if let Some(limit) = self.limits.above_hard() {
            return Err(ManifestError::Limit { limit });
        }
        if let Some(role) = self
            .inputs
            .iter()
            .find(|role| role.units.is_empty() || role.at_most == 0)
        {
            return Err(ManifestError::Input {
                role: role.role.clone(),
            });
        }
        for parameter in &self.parameters {
            parameter.check().map_err(|source| ManifestError::Parameter {
                name: parameter.name.clone(),
                source,
            })?;
        }
        let calendars = self
            .parameters
            .iter()
            .filter(|parameter| parameter.domain == Domain::Calendar);
        if calendars.count() > 1 {
            return Err(ManifestError::TwoCalendars);
        }
        Ok(())
    }

    fn check_counts(&self) -> Result<(), ManifestError> {
        let counts = [
            ("inputs", self.inputs.len(), 1, MAX_INPUTS),
            ("outputs", self.outputs.len(), 1, MAX_OUTPUTS),
            ("parameters", self.parameters.len(), 0, MAX_PARAMETERS),
            ("vectors", self.vectors.len(), 0, MAX_VECTORS),
        ];
        for (part, found, least, most) in counts {
            if !(least..=most).contains(&found) {
                return Err(ManifestError::Count { part, found });
            }
        }
        Ok(())
    }

    /// Roles, outputs and parameters have names, each its own.
    fn check_names(&self) -> Result<(), ManifestError> {
        let inputs: Vec<&str> = self.inputs.iter().map(|input| input.role.as_str()).collect();
        let outputs: Vec<&str> = self.outputs.iter().map(|output| output.output.as_str()).collect();
        let parameters: Vec<&str> = self.parameters.iter().map(|p| p.name.as_str()).collect();
        for names in [inputs, outputs, parameters] {
            let mut seen = std::collections::BTreeSet::new();
            for name in names {
                if !AppId::is_name(name) || !seen.insert(name) {
                    return Err(ManifestError::Name {
                        name: name.to_owned(),
                    });
                }
            }
        }
        Ok(())
    }
}

/// What the reader of JSON says; kept as text, so that errors can be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonFault(pub String);

/// The reason why bytes are no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Longer than [`MAX_MANIFEST_BYTES`].
    #[error("the manifest has {bytes} bytes, more than {MAX_MANIFEST_BYTES}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// No JSON of this form.
    #[error("line {line} of the manifest is not of the form that it states")]
    Json {
        /// The line.
        line: usize,
        /// What is wrong with it.
        source: JsonFault,
    },
    /// Another schema.
    #[error("the manifest is not of the schema {SCHEMA}")]
    Schema,
    /// Another interface.
    #[error("the application is not written for {}", interface::NAME)]
    Interface,
    /// A number that no tariff use case has.
    #[error("tariff use cases have the numbers 1 to 16")]
    Taf,
    /// A name or description is empty, too long, or has control characters.
    #[error(
        "a name has 1 to {MAX_NAME_BYTES} bytes and a description 1 to {MAX_DESCRIPTION_BYTES}, in German and English"
    )]
    Texts,
    /// Too few or too many of something.
    #[error("the manifest has {found} {part}")]
    Count {
        /// What is counted.
        part: &'static str,
        /// How many there are.
        found: usize,
    },
    /// A name is malformed, or stands twice.
    #[error("{name:?} is not a name of small letters, digits and dashes, or stands twice")]
    Name {
        /// The name.
        name: String,
    },
    /// A limit lies above the hard one.
    #[error("{limit} lies above what any application may take")]
    Limit {
        /// The name of the limit.
        limit: &'static str,
    },
    /// An input has no unit, or nothing may play its role.
    #[error("the input {role} names no unit, or no element may play it")]
    Input {
        /// The role.
        role: String,
    },
    /// A parameter's bounds or default make no sense.
    #[error("the parameter {name} makes no sense")]
    Parameter {
        /// Its name.
        name: String,
        /// What is wrong with it.
        source: ParameterError,
    },
    /// Two parameters are calendars, and an input has room for one.
    #[error("an application has one calendar at most")]
    TwoCalendars,
}

#[cfg(test)]
mod tests;
