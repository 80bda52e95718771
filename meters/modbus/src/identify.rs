//! Whether a device belongs to the family of meters that a profile describes.

mod plausible;

use std::collections::VecDeque;

use crate::image::RegisterImage;
use crate::plan::Block;
use crate::profile::{DeviceObject, Probe, Profile, SunSpec};
use crate::sunspec::{ModelMap, Walk};

pub use plausible::Plausibility;

/// The identification of a device by a profile: which question comes next, and what the answer means.
///
/// The driver sends [`next_question`](Self::next_question) until there is none and tells each
/// [`Reply`]; then the [`Verdict`] stands. A SunSpec device is walked over first.
#[derive(Debug, Clone)]
pub struct Identification {
    walk: Option<(Walk, SunSpec)>,
    models: ModelMap,
    probes: VecDeque<(usize, Probe)>,
    misfit: Option<Misfit>,
    /// Whether there is nothing to ask.
    is_blank: bool,
}

/// What the driver has to ask the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// The contents of registers.
    Registers(Block),
    /// An object of the device identification; see [`device_identification`].
    Device(DeviceObject),
}

/// What the device has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The registers that were asked for.
    Registers(&'a [u16]),
    /// The text of the object that was asked for.
    Device(&'a str),
    /// An exception with that code, or an answer that is none.
    Refusal,
}

/// What came out of an identification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The profile says nothing that would tell its family apart, so that every device would do.
    Unproven,
    /// The device belongs to the family; here are its models, if it is a SunSpec device.
    Fits(ModelMap),
    /// The device is another one.
    DoesNotFit(Misfit),
}

/// The first thing by which a device is another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The device has none of the profile's SunSpec models.
    #[error(
        "none of the SunSpec models {} is among those of the device: {}",
        numbers(wanted),
        numbers(found)
    )]
    NoModel {
        /// The models of the profile.
        wanted: Vec<u16>,
        /// The models of the device; none if it is no SunSpec device.
        found: Vec<u16>,
    },
    /// A probe found something else.
    #[error("probe {probe} ({place}) found \"{found}\", where the profile has {}", wanted.join(" or "))]
    Other {
        /// The number of the probe in the profile, counted from 1.
        probe: usize,
        /// Where the probe has looked, in words.
        place: String,
        /// What the profile has there.
        wanted: Vec<String>,
        /// What it found, in words.
        found: String,
    },
    /// The device did not show what a probe asked for.
    #[error("probe {probe} was refused")]
    Refused {
        /// The number of the probe in the profile, counted from 1.
        probe: usize,
    },
}

impl Identification {
    /// Starts the identification of a device.
    #[must_use]
    pub fn new(profile: &Profile) -> Self {
        let probes = profile.identification().iter().cloned();
        let sunspec = profile.sunspec();
        Self {
            walk: sunspec.map(|sunspec| (Walk::new(sunspec), sunspec.clone())),
            models: ModelMap::default(),
            probes: (1..).zip(probes).collect(),
            misfit: None,
            is_blank: sunspec.is_none() && profile.identification().is_empty(),
        }
    }

    /// Returns the question that comes next, until the verdict stands.
    #[must_use]
    pub fn next_question(&self) -> Option<Question> {
        if self.misfit.is_some() {
            return None;
        }
        if let Some((walk, _)) = &self.walk {
            return walk.next_request().map(Question::Registers);
        }
        self.probes.front().map(|(_, probe)| match probe {
            Probe::Register { field, .. } => Question::Registers(field.block()),
            Probe::Device { object, .. } => Question::Device(*object),
        })
    }

    /// Takes the reply to the question. One that does not suit the question is a refusal.
    pub fn handle_reply(&mut self, reply: Reply<'_>) {
        if let Some((walk, _)) = &mut self.walk {
            match reply {
                Reply::Registers(words) if walk.handle_answer(words).is_ok() => {}
                _ => walk.handle_refusal(),
            }
            if walk.next_request().is_none() {
                self.end_walk();
            }
            return;
        }
        let Some((number, probe)) = self.probes.pop_front() else {
            return;
        };
        self.misfit = judge(&probe, reply).err().map(|found| match found {
            Some(found) => {
                let (place, wanted) = probe.words();
                Misfit::Other {
                    probe: number,
                    place,
                    wanted,
                    found,
                }
            }
            None => Misfit::Refused { probe: number },
        });
    }

    /// Returns the verdict, once no question is left.
    #[must_use]
    pub fn verdict(self) -> Option<Verdict> {
        if self.next_question().is_some() {
            return None;
        }
        Some(match self.misfit {
            Some(misfit) => Verdict::DoesNotFit(misfit),
            None if self.is_blank => Verdict::Unproven,
            None => Verdict::Fits(self.models),
        })
    }

    fn end_walk(&mut self) {
        let Some((walk, sunspec)) = self.walk.take() else {
            return;
        };
        self.models = walk.finish();
        let fields = self.probes.iter_mut().filter_map(|(_, probe)| match probe {
            Probe::Register { field, .. } => Some(field),
            Probe::Device { .. } => None,
        });
        let mut placed = fields.map(|field| field.place_in(&sunspec, &self.models));
        let has_none = |model: &u16| self.models.address_of(*model).is_none();
        if sunspec.models.iter().all(has_none) || placed.any(|placed| placed.is_err()) {
            self.misfit = Some(Misfit::NoModel {
                wanted: sunspec.models,
                found: self.models.models().collect(),
            });
        }
    }
}

fn numbers(models: &[u16]) -> String {
    if models.is_empty() {
        return "none".to_owned();
    }
    let models: Vec<String> = models.iter().map(u16::to_string).collect();
    models.join(", ")
}

/// Returns what else was found; `None` if nothing was.
fn judge(probe: &Probe, reply: Reply<'_>) -> Result<(), Option<String>> {
    match (probe, reply) {
        (Probe::Register { field, patterns }, Reply::Registers(words)) => {
            let mut image = RegisterImage::new();
            image.insert(field.block(), words).map_err(|_| None)?;
            Probe::judge_registers(field, patterns, &image).map_err(Some)
        }
        (Probe::Device { patterns, .. }, Reply::Device(text)) => {
            Probe::judge_text(text, patterns).map_err(Some)
        }
        _ => Err(None),
    }
}

/// Function 43/14, Read Device Identification, for one object at a time.
///
/// Spec: Modbus Application Protocol V1.1b3, section 6.21.
pub mod device_identification {
    use super::DeviceIdentificationError;
    use crate::profile::DeviceObject;

    /// Encapsulated Interface Transport.
    pub const FUNCTION: u8 = 0x2B;
    /// The interface of the device identification.
    const INTERFACE: u8 = 0x0E;
    /// The access to one object.
    const ONE_OBJECT: u8 = 4;

    /// Returns the request for an object: what follows the function code.
    #[must_use]
    pub const fn request(object: DeviceObject) -> [u8; 3] {
        [INTERFACE, ONE_OBJECT, object.id()]
    }

    /// Reads the object's text out of the answer: what follows the function code.
    ///
    /// # Errors
    ///
    /// [`DeviceIdentificationError`] if the answer is malformed or has another object.
    pub fn text(object: DeviceObject, answer: &[u8]) -> Result<&str, DeviceIdentificationError> {
        let malformed = DeviceIdentificationError::Malformed;
        let [
            INTERFACE,
            ONE_OBJECT,
            _conformity,
            _more,
            _next,
            1,
            id,
            length,
            text @ ..,
        ] = answer
        else {
            return Err(malformed);
        };
        if *id != object.id() {
            return Err(DeviceIdentificationError::OtherObject { found: *id });
        }
        if usize::from(*length) != text.len() {
            return Err(malformed);
        }
        let text = str::from_utf8(text).map_err(|_| malformed)?;
        Ok(text.trim_matches(['\0', ' ']))
    }
}

/// The reason why an answer gives no device identification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceIdentificationError {
    /// The answer has not the form of one object with its text.
    #[error("the device's identification is malformed")]
    Malformed,
    /// The answer has another object than the one that was asked for.
    #[error("the device answered with object {found} of its identification")]
    OtherObject {
        /// The object that came.
        found: u8,
    },
}

#[cfg(test)]
mod tests;
