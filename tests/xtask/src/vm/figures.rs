//! Figures that the machine tells, beside their limits.
#![expect(clippy::print_stdout, reason = "a command-line tool prints its result")]

use std::collections::BTreeMap;

/// The most that a figure may be: `smgw` is ready within 2 s of its start, and its first reading is stored within one poll,
/// which in the machine is 2 s.
const LIMITS: [(&str, i64); 2] = [("ready-after-ms", 2_000), ("first-round-after-s", 2)];

/// What was told, by its name.
#[derive(Debug, Default)]
pub(super) struct Figures(BTreeMap<&'static str, Vec<i64>>);

impl Figures {
    /// Takes a figure down, if it has a limit.
    pub(super) fn take(&mut self, name: &str, value: &str) {
        let known = LIMITS.iter().find(|(known, _)| *known == name);
        if let (Some((name, _)), Ok(value)) = (known, value.trim().parse()) {
            self.0.entry(name).or_default().push(value);
        }
    }

    /// Prints the median of each figure beside its limit; returns how many are over it, or missing.
    pub(super) fn print(&self) -> usize {
        let over = LIMITS.iter().filter(|(name, limit)| {
            let Some((median, count)) = self.median(name) else {
                println!("          {name}: not told, limit {limit}");
                return true;
            };
            println!("          {name}: median {median} of {count}, limit {limit}");
            median > *limit
        });
        over.count()
    }

    fn median(&self, name: &str) -> Option<(i64, usize)> {
        let mut values = self.0.get(name)?.clone();
        values.sort_unstable();
        let median = values.get(values.len() / 2)?;
        Some((*median, values.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_held_against_the_limit() {
        let mut figures = Figures::default();
        assert_eq!(figures.print(), 2, "what is not told counts");
        for value in ["1900", "9000 ", "1800", "no number"] {
            figures.take("ready-after-ms", value);
        }
        figures.take("first-round-after-s", "3");
        figures.take("stop-after-ms", "1");
        assert_eq!(figures.median("ready-after-ms"), Some((1_900, 3)));
        assert_eq!(figures.print(), 1, "one is over its limit");
    }
}
