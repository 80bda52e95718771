//! Aggregations: how one value is made of what was registered within a step.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::Decimal;
use crate::text::serde_as_text;

/// How the value of one step is made of what was registered in it.
///
/// The step of a point `t` of the grid is what lies behind `t - resolution`, up to and with `t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Aggregation {
    /// What was registered at `t`, with the meter's own digits.
    #[default]
    Value,
    /// What was registered at `t` less what was registered at `t - resolution`: the consumption, for a register that counts.
    /// It has a sign.
    Difference,
    /// The least of all values of the step.
    Minimum,
    /// The greatest of all values of the step.
    Maximum,
    /// The mean of all values of the step, rounded half to even behind one digit more than they have.
    Mean,
    /// The latest value that the gateway has in memory, registered or not; at most one, and only if its time is a point of
    /// the grid.
    Latest,
}

impl Aggregation {
    /// Every aggregation, in the order of the enum.
    pub const ALL: [Self; 6] = [
        Self::Value,
        Self::Difference,
        Self::Minimum,
        Self::Maximum,
        Self::Mean,
        Self::Latest,
    ];

    /// What a grant permits that does not say: what can be computed of values at the granted resolution anyhow.
    pub const USUAL: [Self; 2] = [Self::Value, Self::Difference];

    /// Returns [`Aggregation::USUAL`] as the set that a grant or a limit has which does not say.
    #[must_use]
    pub fn usual() -> BTreeSet<Self> {
        Self::USUAL.into()
    }

    /// Returns whether the values are the registered ones themselves.
    #[must_use]
    pub const fn is_value(&self) -> bool {
        matches!(self, Self::Value)
    }

    /// Returns the text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Difference => "difference",
            Self::Minimum => "minimum",
            Self::Maximum => "maximum",
            Self::Mean => "mean",
            Self::Latest => "latest",
        }
    }
}

impl fmt::Display for Aggregation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for Aggregation {
    type Err = ParseAggregationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|known| known.as_str() == text)
            .ok_or(ParseAggregationError)
    }
}

serde_as_text!(Aggregation);

/// The error for a text that names no aggregation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an aggregation is value, difference, minimum, maximum, mean or latest")]
pub struct ParseAggregationError;

/// The sum of values, their number, and the least and the greatest of them: all that an aggregation needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    sum: Decimal,
    count: u32,
    least: Decimal,
    greatest: Decimal,
}

impl Summary {
    /// Summarises one value.
    #[must_use]
    pub const fn of(value: Decimal) -> Self {
        Self {
            sum: value,
            count: 1,
            least: value,
            greatest: value,
        }
    }

    /// Adds a value; `None` if the sum leaves what a decimal holds.
    #[must_use]
    pub fn with(self, value: Decimal) -> Option<Self> {
        let least = if value.compare(self.least)?.is_lt() {
            value
        } else {
            self.least
        };
        let greatest = if value.compare(self.greatest)?.is_gt() {
            value
        } else {
            self.greatest
        };
        Some(Self {
            sum: self.sum.checked_add(value)?,
            count: self.count.checked_add(1)?,
            least,
            greatest,
        })
    }

    /// Returns the least value, with its own digits.
    #[must_use]
    pub const fn least(&self) -> Decimal {
        self.least
    }

    /// Returns the greatest value, with its own digits.
    #[must_use]
    pub const fn greatest(&self) -> Decimal {
        self.greatest
    }

    /// Returns the mean, rounded half to even behind one digit more than the finest value has; `None` if that cannot be
    /// written.
    #[must_use]
    pub fn mean(&self) -> Option<Decimal> {
        let scaler = self.sum.scaler().checked_sub(1)?;
        let sum = self.sum.rescaled(scaler)?.mantissa();
        let count = i128::from(self.count);
        let (whole, rest) = (sum.div_euclid(count), sum.rem_euclid(count));
        let twice = rest.checked_mul(2)?;
        let is_odd = whole.rem_euclid(2) == 1;
        let rounds_up = twice > count || (twice == count && is_odd);
        Decimal::new(whole.checked_add(i128::from(rounds_up))?, scaler)
    }
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    reason = "the figures of these tests are small"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn summary(values: &[&str]) -> Summary {
        let mut values = values.iter().map(|value| value.parse::<Decimal>().unwrap());
        let first = Summary::of(values.next().unwrap());
        values.try_fold(first, Summary::with).unwrap()
    }

    #[test]
    fn texts_read_back_and_others_are_refused() {
        for known in Aggregation::ALL {
            assert_eq!(known.to_string().parse(), Ok(known));
        }
        // What is not registered is granted by name only.
        assert!(!Aggregation::USUAL.contains(&Aggregation::Latest));
        assert_eq!("average".parse::<Aggregation>(), Err(ParseAggregationError));
    }

    #[test]
    fn least_and_greatest_keep_their_digits() {
        let all = summary(&["1.50", "-2", "1.5", "3.000"]);
        assert_eq!(
            (all.least().to_string(), all.greatest().to_string()),
            ("-2".into(), "3.000".into())
        );
    }

    #[test]
    fn mean_is_rounded_half_to_even_behind_one_more_digit() {
        for (values, mean) in [
            (&["1", "2"][..], "1.5"),
            (&["1", "1", "2"], "1.3"),
            (&["-1", "-1", "-2"], "-1.3"),
            (&["0.1", "0.2", "0.2", "0.2"], "0.18"),
            (
                &["0.01", "0.02", "0.02", "0.02", "0.02", "0.02", "0.02", "0.02"],
                "0.019",
            ),
            (
                &[
                    "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0",
                    "0", "1",
                ],
                "0.0",
            ),
            (
                &[
                    "1", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0",
                    "1", "1",
                ],
                "0.2",
            ),
        ] {
            assert_eq!(summary(values).mean().unwrap().to_string(), mean, "{values:?}");
        }
    }

    #[test]
    fn what_no_decimal_holds_is_none() {
        let most = Decimal::whole(i128::MAX);
        assert_eq!(Summary::of(most).with(most), None);
        assert_eq!(Summary::of(most).mean(), None);
    }

    proptest! {
        #[test]
        fn mean_lies_between_the_least_and_the_greatest(values in prop::collection::vec(-1_000_000i128..1_000_000, 1..40)) {
            let mut decimals = values.iter().map(|value| Decimal::new(*value, -3).unwrap());
            let first = Summary::of(decimals.next().unwrap());
            let all = decimals.try_fold(first, Summary::with).unwrap();
            let mean = all.mean().unwrap();
            prop_assert!(!mean.compare(all.least()).unwrap().is_lt());
            prop_assert!(!mean.compare(all.greatest()).unwrap().is_gt());
            // Half a unit of the last digit is the greatest error.
            let count = i128::try_from(values.len()).unwrap();
            let error = mean.mantissa() * count - values.iter().sum::<i128>() * 10;
            prop_assert!(error.abs() * 2 <= count);
        }
    }
}
