//! What an energy application may take at most, whatever its manifest asks for.
//!
//! The figures come from measurements with the engine: a tariff with stages takes some 80 units of fuel for a reading, and
//! 100,000 readings take 1.6 MB of the guest's memory.

use serde::{Deserialize, Serialize};

/// The most bytes of a package: a module of 256 KiB, a manifest, and two signatures with their certificates.
pub const MAX_PACKAGE_BYTES: usize = MAX_MODULE_BYTES + MAX_MANIFEST_BYTES + 2 * MAX_SIGNATURE_BYTES + 1024;
/// The most bytes of the module's own sections; the shipped ones have less than 8 KiB.
pub const MAX_MODULE_BYTES: usize = 256 * 1024;
/// The most bytes of the manifest, its test vectors included.
pub const MAX_MANIFEST_BYTES: usize = 64 * 1024;
/// The most bytes of one signature: a CMS SignedData with a chain of certificates.
pub const MAX_SIGNATURE_BYTES: usize = 16 * 1024;
/// The most sections of a package: the twelve that the standard knows, and some custom ones such as names.
pub const MAX_SECTIONS: usize = 32;

/// The most bytes of the guest's memory: 64 pages of 64 KiB.
pub const MAX_MEMORY_BYTES: u32 = 4 * 1024 * 1024;
/// The most fuel that a run may take for each reading.
pub const MAX_FUEL_PER_READING: u64 = 5_000;
/// The most fuel that a run may take whatever it reads.
pub const MAX_FUEL_BASE: u64 = 50_000_000;
/// The most fuel of one run, in all; some seconds on a small processor.
pub const MAX_FUEL: u64 = 500_000_000;
/// The most elements that one run may give back: a year of quarter hours, and a day more.
pub const MAX_OUTPUTS: u32 = 50_000;
/// The most bytes of state that a run may leave to the next one.
pub const MAX_STATE_BYTES: u32 = 16 * 1024;
/// The most bytes of text that a run may log.
pub const MAX_LOG_BYTES: usize = 2 * 1024;
/// The most lines that a run may log.
pub const MAX_LOG_LINES: usize = 64;
/// How deep functions of the guest may call each other.
pub const MAX_CALL_DEPTH: usize = 256;
/// The most bytes of the engine's stack for the guest.
pub const MAX_STACK_BYTES: usize = 128 * 1024;
/// The most elements of the guest's table of functions.
pub const MAX_TABLE_ELEMENTS: usize = 1024;

/// The most readings of an input: four years of quarter hours of one channel.
pub const MAX_READINGS: usize = 150_000;
/// The most channels of an input.
pub const MAX_CHANNELS: usize = 64;
/// The most slots of a rolled-out calendar: four years of days with forty changes each.
pub const MAX_SLOTS: usize = 65_536;
/// The most parameters of an application.
pub const MAX_PARAMETERS: usize = 64;
/// The most bytes of one text parameter.
pub const MAX_TEXT_BYTES: usize = 256;
/// The most bytes of an input blob; the guest needs the rest of its memory for what it makes.
pub const MAX_INPUT_BYTES: usize = 3584 * 1024;
/// The most bytes of an output blob.
pub const MAX_OUTPUT_BYTES: usize = 3 * 1024 * 1024;

/// How much fuel is burned before the host is asked whether to go on: a few milliseconds on a large processor, some tens
/// on a small one.
pub const FUEL_SLICE: u64 = 1_000_000;

/// What one application may take, as its manifest says; each within the hard limit of this module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Fuel of a run whatever it reads.
    pub fuel_base: u64,
    /// Fuel of a run for each reading of its input.
    pub fuel_per_reading: u64,
    /// Bytes of the guest's memory.
    pub memory_bytes: u32,
    /// Elements that a run gives back.
    pub outputs: u32,
    /// Bytes of state that a run leaves to the next one.
    pub state_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel_base: 1_000_000,
            fuel_per_reading: 500,
            memory_bytes: 2 * 1024 * 1024,
            outputs: 10_000,
            state_bytes: 4 * 1024,
        }
    }
}

impl Limits {
    /// Returns the name of the first limit that lies above the hard one.
    #[must_use]
    pub fn above_hard(&self) -> Option<&'static str> {
        [
            ("fuel_base", self.fuel_base > MAX_FUEL_BASE),
            ("fuel_per_reading", self.fuel_per_reading > MAX_FUEL_PER_READING),
            ("memory_bytes", self.memory_bytes > MAX_MEMORY_BYTES),
            ("outputs", self.outputs > MAX_OUTPUTS),
            ("state_bytes", self.state_bytes > MAX_STATE_BYTES),
        ]
        .into_iter()
        .find_map(|(name, above)| above.then_some(name))
    }

    /// Returns the fuel of a run over so many readings, at most [`MAX_FUEL`].
    #[must_use]
    pub fn fuel_for(&self, readings: u32) -> u64 {
        self.fuel_per_reading
            .saturating_mul(u64::from(readings))
            .saturating_add(self.fuel_base)
            .min(MAX_FUEL)
    }
}
