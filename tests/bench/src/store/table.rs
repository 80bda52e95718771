//! The table of figures, each with its limit.

use std::fmt;

use super::engines::Name;
use super::steps::Found;
use super::work::READINGS_PER_DAY;
use crate::error::BenchError;

const MB: f64 = 1_000_000.0;

/// What was found about one engine.
pub(super) struct Figures {
    pub(super) written_bytes: u64,
    pub(super) fill: Found,
    pub(super) read: Found,
    pub(super) opened: Found,
}

/// A line of the table.
struct Line {
    name: &'static str,
    limit: Option<f64>,
    digits: usize,
    /// The figures of the engines; `None` where there is none.
    figures: Vec<Option<f64>>,
    /// Whether the figures behind the first are computed from the others.
    is_computed: bool,
}

/// The table.
pub(super) struct Table {
    days: u64,
    has_device: bool,
    engines: Vec<(Name, Figures)>,
    two_years: Option<(Found, Found)>,
}

impl Table {
    pub(super) const fn new(days: u64, has_device: bool) -> Self {
        Self {
            days,
            has_device,
            engines: Vec::new(),
            two_years: None,
        }
    }

    pub(super) fn add(&mut self, engine: Name, figures: Figures) {
        self.engines.push((engine, figures));
    }

    /// Adds two years of the store, if it gave back what was put in.
    pub(super) fn add_two_years(&mut self, filled: &Found, read: &Found) -> Result<(), BenchError> {
        same(Name::Ours, filled, read)?;
        self.two_years = Some((filled.clone(), read.clone()));
        Ok(())
    }

    /// Checks that every engine gave back what was put in, and that this was the same for all.
    pub(super) fn check_content(&self) -> Result<(), BenchError> {
        for (engine, figures) in &self.engines {
            same(*engine, &figures.fill, &figures.read)?;
            if let Some((_, first)) = self.engines.first() {
                same(*engine, &first.fill, &figures.read)?;
            }
        }
        Ok(())
    }

    /// Returns the figures of the store that are above their limits.
    pub(super) fn above_limit(&self) -> Vec<&'static str> {
        let is_above = |line: &Line| {
            let ours = line.figures.first().copied().flatten();
            ours.zip(line.limit).is_some_and(|(ours, limit)| ours > limit)
        };
        let above = self.lines().into_iter().filter(is_above);
        above.map(|line| line.name).collect()
    }

    fn lines(&self) -> Vec<Line> {
        let readings = as_float(self.days * READINGS_PER_DAY);
        let line = |name, limit, digits, figure: &dyn Fn(&Figures) -> f64| Line {
            name,
            limit,
            digits,
            figures: self
                .engines
                .iter()
                .map(|(_, figures)| Some(figure(figures)))
                .collect(),
            is_computed: false,
        };
        let peak = |found: &Found| as_float(found.peak_kib) * 1_024.0 / MB;
        let written = if self.has_device {
            "written to the device, B/reading"
        } else {
            "written by the process (/proc/self/io), B/reading"
        };
        let mut lines = vec![
            line("on disk when closed, B/reading", Some(4.0), 2, &|f| {
                as_float(f.fill.closed_bytes) / readings
            }),
            line("on disk while open, log included, B/reading", None, 2, &|f| {
                as_float(f.fill.open_bytes) / readings
            }),
            line(written, self.has_device.then_some(90.0), 1, &|f| {
                as_float(f.written_bytes) / readings
            }),
            line("registering, s", None, 2, &|f| f.fill.seconds),
            line("slowest round, ms", None, 2, &|f| f.fill.slowest_commit_ms),
            line("slowest sealing of a day, ms", None, 2, &|f| {
                f.fill.slowest_sealing_ms
            }),
            line("one day of one element, median, ms", Some(1.0), 3, &|f| {
                f.read.day_median_ms
            }),
            line("one day of one element, slowest in 100, ms", None, 3, &|f| {
                f.read.day_slowest_percent_ms
            }),
            line(
                "one day of one element, not sealed yet, median, ms",
                Some(1.0),
                3,
                &|f| f.opened.fresh_day_median_ms,
            ),
            line("export of everything, fastest of 5, s", Some(0.2), 3, &|f| {
                f.read.export_seconds
            }),
            line("open after a kill, slowest, ms", Some(200.0), 2, &|f| {
                f.opened.open_ms
            }),
            line("peak memory above the start, MB", Some(10.0), 2, &|f| {
                peak(&f.fill).max(peak(&f.read)).max(peak(&f.opened))
            }),
        ];
        if let Some((filled, read)) = &self.two_years {
            lines.extend(self.lines_of_two_years(filled, read));
        }
        lines
    }

    fn lines_of_two_years(&self, filled: &Found, read: &Found) -> [Line; 4] {
        let ours = |name, limit, digits, figure| Line {
            name,
            limit,
            digits,
            figures: vec![Some(figure)],
            is_computed: false,
        };
        let times = as_float(filled.readings) / as_float(self.days * READINGS_PER_DAY);
        let mut size = ours("two years, MB", Some(64.0), 1, as_float(filled.closed_bytes) / MB);
        let others = self.engines.iter().skip(1);
        size.figures
            .extend(others.map(|(_, figures)| Some(as_float(figures.fill.closed_bytes) * times / MB)));
        size.is_computed = true;
        let peak = filled.peak_kib.max(read.peak_kib);
        [
            size,
            ours(
                "two years: one day of one element, median, ms",
                Some(1.0),
                3,
                read.day_median_ms,
            ),
            ours(
                "two years: export of everything, fastest of 5, s",
                None,
                2,
                read.export_seconds,
            ),
            ours(
                "two years: peak memory above the start, MB",
                Some(10.0),
                2,
                as_float(peak) * 1_024.0 / MB,
            ),
        ]
    }
}

fn same(engine: Name, put_in: &Found, given_back: &Found) -> Result<(), BenchError> {
    let text = |found: &Found| format!("{} readings with the sum {}", found.readings, found.sum);
    if text(put_in) == text(given_back) {
        return Ok(());
    }
    Err(BenchError::Content {
        engine: engine.to_string(),
        expected: text(put_in),
        found: text(given_back),
    })
}

/// Counts are far below 2^53, and shown with a few digits.
#[expect(clippy::cast_precision_loss, reason = "a figure for a table")]
const fn as_float(count: u64) -> f64 {
    count as f64
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let readings = self.days * READINGS_PER_DAY;
        writeln!(
            formatter,
            "50 meters x 4 elements x 15 minutes x {} days: {readings} readings, one durable commit a round",
            self.days
        )?;
        write!(formatter, "{:<50} {:>7}", "", "limit")?;
        for (engine, _) in &self.engines {
            write!(formatter, " {engine:>20}")?;
        }
        writeln!(formatter)?;
        for line in self.lines() {
            let limit = line
                .limit
                .map_or_else(|| "-".to_owned(), |limit| limit.to_string());
            write!(formatter, "{:<50} {limit:>7}", line.name)?;
            for (index, figure) in line.figures.iter().enumerate() {
                let mark = if line.is_computed && index > 0 { "~" } else { "" };
                let text = figure.map(|figure| format!("{mark}{figure:.*}", line.digits));
                write!(formatter, " {:>20}", text.unwrap_or_default())?;
            }
            writeln!(formatter)?;
        }
        writeln!(formatter, "~ computed from the {} days", self.days)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(closed_bytes: u64, sum: &str) -> Figures {
        let found = Found {
            readings: 19_200,
            sum: sum.to_owned(),
            closed_bytes,
            ..Found::default()
        };
        Figures {
            written_bytes: 19_200 * 50,
            fill: found.clone(),
            read: found,
            opened: Found::default(),
        }
    }

    #[test]
    fn figure_above_its_limit_is_named() {
        let mut table = Table::new(1, true);
        table.add(Name::Ours, figures(19_200 * 3, "7"));
        table.add(Name::TimeElement, figures(19_200 * 17, "7"));
        assert!(table.above_limit().is_empty());
        assert!(table.to_string().contains("on disk when closed"));
        let mut table = Table::new(1, true);
        table.add(Name::Ours, figures(19_200 * 5, "7"));
        assert_eq!(table.above_limit(), ["on disk when closed, B/reading"]);
    }

    #[test]
    fn engines_that_differ_in_content_are_not_compared() {
        let mut table = Table::new(1, false);
        table.add(Name::Ours, figures(1, "7"));
        table.add(Name::TimeElement, figures(1, "8"));
        let error = table.check_content().unwrap_err();
        assert!(
            error.to_string().contains("rows (time, element) gave back"),
            "{error}"
        );
    }
}
