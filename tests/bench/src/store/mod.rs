//! The bench of the store: 50 meters with 4 elements, every quarter of an hour, one durable commit for each round,
//! for 30 days and for two years, beside SQLite with one row for each reading.

mod device;
mod engines;
mod steps;
mod table;
mod work;

use std::io::Write;

use clap::Args;

use crate::error::BenchError;
use device::Place;
use engines::Name;
use steps::{Found, Task};
use table::{Figures, Table};

pub(crate) use steps::{StepOptions, run_step};

/// How many days the full form has, and how many the short one.
const DAYS: u64 = 30;
const SHORT_DAYS: u64 = 1;

/// The days of two years.
const TWO_YEARS: u64 = 730;

/// How often a process is killed and the engine opened again.
const KILLS: u64 = 10;
const SHORT_KILLS: u64 = 1;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// One day instead of thirty, and no two years: to see that it works, the figures are worse than they are.
    #[arg(long)]
    short: bool,
    /// Succeed even if a figure is above its limit.
    #[arg(long)]
    no_limits: bool,
}

/// Measures and prints the table.
pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    let (place, why_not) = Place::new()?;
    if let Some(error) = &why_not {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
        note(&format!(
            "no device of its own ({error}{}): bytes written are those of /proc/self/io, which counts what the \
             process asked for and nothing of the file system",
            cause.unwrap_or_default()
        ))?;
    }
    let (days, kills) = if options.short {
        (SHORT_DAYS, SHORT_KILLS)
    } else {
        (DAYS, KILLS)
    };
    let mut table = Table::new(days, why_not.is_none());
    for engine in Name::ALL {
        note(&format!("{engine}: {days} days"))?;
        table.add(engine, measure(&place, engine, days, kills)?);
    }
    table.check_content()?;
    if !options.short {
        note(&format!("{}: {TWO_YEARS} days", Name::Ours))?;
        let folder = place.folder("two-years")?;
        let filled = steps::in_process(Task::Fill, Name::Ours, &folder, TWO_YEARS)?;
        let read = steps::in_process(Task::Read, Name::Ours, &folder, TWO_YEARS)?;
        table.add_two_years(&filled, &read)?;
    }
    print(&table.to_string())?;
    let above = table.above_limit();
    if above.is_empty() || options.short || options.no_limits {
        return Ok(());
    }
    Err(BenchError::AboveLimit(above.join(", ")))
}

/// Measures one engine.
fn measure(place: &Place, engine: Name, days: u64, kills: u64) -> Result<Figures, BenchError> {
    let folder = place.folder(engine.argument())?;
    let before = place.bytes_written()?;
    let fill = steps::in_process(Task::Fill, engine, &folder, days)?;
    let after = place.bytes_written()?;
    let read = steps::in_process(Task::Read, engine, &folder, days)?;
    let mut opened = Found::default();
    for kill in 0..kills {
        let again = steps::open_after_kill(engine, &folder, days, kill)?;
        if again.open_ms > opened.open_ms {
            opened = again;
        }
    }
    std::fs::remove_dir_all(&folder).map_err(BenchError::file(&folder))?;
    let device_bytes = after
        .zip(before)
        .map(|(after, before)| after.saturating_sub(before));
    Ok(Figures {
        written_bytes: device_bytes.unwrap_or(fill.process_bytes),
        fill,
        read,
        opened,
    })
}

/// Says on standard error what goes on; the table alone goes to standard output.
fn note(text: &str) -> Result<(), BenchError> {
    writeln!(std::io::stderr(), "{text}").map_err(BenchError::Output)
}

fn print(text: &str) -> Result<(), BenchError> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(BenchError::Output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_without_a_device_is_measured_too() {
        // Steps run this program, which is the test itself here: only what needs no step can be tried.
        let (place, _) = Place::new().unwrap();
        let folder = place.folder("x").unwrap();
        assert!(folder.is_dir());
        let before = place.bytes_written().unwrap();
        std::fs::write(folder.join("file"), vec![7; 100_000]).unwrap();
        let after = place.bytes_written().unwrap();
        if let Some((before, after)) = before.zip(after) {
            assert!(
                (100_000..10_000_000).contains(&(after - before)),
                "{before} {after}"
            );
        }
    }
}
