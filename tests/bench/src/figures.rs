//! What the tables of several benches have in common.

use std::path::Path;
use std::time::Duration;

use crate::error::BenchError;

/// Writes a line of a table: what it is, its limit, and what was found.
pub(crate) fn line(what: &str, limit: &str, found: &str) -> String {
    format!("{what:<72} {limit:>10} {found:>10}\n")
}

/// Returns the time that stands in the middle.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Returns the greatest memory that a process has had, in KiB.
pub(crate) fn peak_memory_kib(process: u32) -> Result<u64, BenchError> {
    let file = Path::new("/proc").join(process.to_string()).join("status");
    let text = std::fs::read_to_string(&file).map_err(BenchError::file(&file))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    number.ok_or_else(|| BenchError::file(&file)(std::io::Error::other("it has no VmHWM")))
}
