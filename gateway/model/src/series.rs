//! Columns of values: what travels to a supplier.

use serde::{Deserialize, Serialize};

use crate::{Aggregation, Decimal, Element, Gap, GapReason, Medium, Reading, Span, Status, Timestamp, Unit};

/// The values of one element on an even grid, in columns; absent values are explicit.
///
/// `values[i]` belongs to the time `start + i × step`. `status[i]` goes with it. A value that is
/// absent is `null` and its reason stands in `gaps`, by index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// The meter and what it measures.
    #[serde(flatten)]
    pub element: Element,
    /// The medium, for the reader's convenience; it follows from the OBIS code.
    pub medium: Medium,
    /// The unit of every value.
    pub unit: Unit,
    /// The time of the first value.
    pub start: Timestamp,
    /// The distance between two values.
    pub step: Span,
    /// How each value is made of what was registered.
    #[serde(default, skip_serializing_if = "Aggregation::is_value")]
    pub aggregation: Aggregation,
    /// The values, decimals with the meter's own digits.
    pub values: Vec<Option<Decimal>>,
    /// The status of each value.
    pub status: Vec<Status>,
    /// Why values are absent: index and reason. An index without one was never registered.
    pub gaps: Vec<(u32, GapReason)>,
}

impl Series {
    /// The greatest number of points in one series: four years of quarter hours.
    pub const MAX_POINTS: usize = 140_256;

    /// Lays readings and gaps of one element on the grid from `start` on.
    ///
    /// Points of the grid with neither reading nor gap stay absent. The series ends with the last
    /// point that has either; readings off the grid are left out.
    ///
    /// Returns `None` if no reading is left.
    #[must_use]
    pub fn from_readings(start: Timestamp, step: Span, readings: &[Reading], gaps: &[Gap]) -> Option<Self> {
        let index = |time: Timestamp| -> Option<usize> {
            let distance = u64::try_from(time.seconds_since(start)).ok()?;
            let step = u64::from(step.seconds());
            let on_grid = distance.checked_rem(step)? == 0;
            let index = usize::try_from(distance.checked_div(step)?).ok()?;
            (on_grid && index < Self::MAX_POINTS).then_some(index)
        };
        let first = readings.iter().find(|reading| index(reading.time).is_some())?;
        let times = readings.iter().map(|reading| reading.time);
        let last = times
            .chain(gaps.iter().map(|gap| gap.time))
            .filter_map(index)
            .max()?;
        let points = last.checked_add(1)?;
        let mut series = Self {
            element: first.element.clone(),
            medium: Medium::of(first.element.obis),
            unit: first.quantity.unit,
            start,
            step,
            aggregation: Aggregation::Value,
            values: vec![None; points],
            status: vec![Status::GOOD; points],
            gaps: Vec::new(),
        };
        for reading in readings {
            let slot = index(reading.time);
            if reading.element != series.element || reading.quantity.unit != series.unit {
                continue;
            }
            if let Some(value) = slot.and_then(|slot| series.values.get_mut(slot)) {
                *value = Some(reading.quantity.value);
            }
            if let Some(status) = slot.and_then(|slot| series.status.get_mut(slot)) {
                *status = reading.status;
            }
        }
        for gap in gaps {
            let Some(slot) = index(gap.time).filter(|_| gap.element == series.element) else {
                continue;
            };
            if series.values.get(slot) == Some(&None) {
                series.gaps.push((u32::try_from(slot).ok()?, gap.reason));
            }
        }
        Some(series)
    }

    /// Checks what a peer sent: columns of one length, within [`Series::MAX_POINTS`].
    ///
    /// # Errors
    ///
    /// [`SeriesError`] names the first column that does not fit.
    pub fn check(&self) -> Result<(), SeriesError> {
        let points = self.values.len();
        if points > Self::MAX_POINTS {
            return Err(SeriesError::TooLong { points });
        }
        if self.status.len() != points {
            return Err(SeriesError::StatusLength {
                values: points,
                status: self.status.len(),
            });
        }
        for (index, _) in &self.gaps {
            let slot = usize::try_from(*index)
                .ok()
                .and_then(|slot| self.values.get(slot));
            if slot != Some(&None) {
                return Err(SeriesError::GapWithoutHole { index: *index });
            }
        }
        Ok(())
    }

    /// Returns the values that are present, with their times.
    pub fn points(&self) -> impl Iterator<Item = (Timestamp, Decimal, Status)> {
        let times = std::iter::successors(Some(self.start), |time| Some(time.saturating_add(self.step)));
        times
            .zip(&self.values)
            .zip(&self.status)
            .filter_map(|((time, value), status)| Some((time, (*value)?, *status)))
    }
}

/// The reason why a received series is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeriesError {
    /// More points than [`Series::MAX_POINTS`].
    #[error("the peer sent a series of {points} points, more than the limit")]
    TooLong {
        /// The number of points that were sent.
        points: usize,
    },
    /// The status column has another length than the values.
    #[error("the peer sent {status} status words for {values} values")]
    StatusLength {
        /// The number of values.
        values: usize,
        /// The number of status words.
        status: usize,
    },
    /// A gap is explained where a value stands, or outside the series.
    #[error("the peer explains a gap at {index}, where the series has none")]
    GapWithoutHole {
        /// The index that the gap names.
        index: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Quantity;

    fn element() -> Element {
        Element {
            meter: "M1".parse().unwrap(),
            obis: "7-0:3.0.0*255".parse().unwrap(),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).unwrap()
    }

    fn reading(seconds: i64, value: &str) -> Reading {
        Reading {
            element: element(),
            time: at(seconds),
            quantity: Quantity {
                value: value.parse().unwrap(),
                unit: Unit::CubicMetre,
            },
            status: Status::GOOD,
        }
    }

    fn gap(seconds: i64) -> Gap {
        Gap {
            element: element(),
            time: at(seconds),
            reason: GapReason::NoAnswer,
        }
    }

    fn step() -> Span {
        Span::from_seconds(10).unwrap()
    }

    #[test]
    fn columns_keep_order_gaps_and_digits() {
        let readings = [reading(100, "1.00"), reading(120, "1.10"), reading(125, "9")];
        let series = Series::from_readings(at(100), step(), &readings, &[gap(110), gap(130)]).unwrap();
        let values: Vec<_> = series
            .values
            .iter()
            .map(|value| value.map(|v| v.to_string()))
            .collect();
        assert_eq!(values, [Some("1.00".into()), None, Some("1.10".into()), None]);
        assert_eq!(series.gaps, [(1, GapReason::NoAnswer), (3, GapReason::NoAnswer)]);
        assert_eq!(series.check(), Ok(()));
        let points: Vec<_> = series
            .points()
            .map(|(time, value, _)| (time, value.to_string()))
            .collect();
        assert_eq!(points, [(at(100), "1.00".into()), (at(120), "1.10".into())]);
    }

    #[test]
    fn json_form_is_stable() {
        let series = Series::from_readings(at(100), step(), &[reading(110, "1.00")], &[gap(100)]).unwrap();
        assert_eq!(
            serde_json::to_string(&series).unwrap(),
            r#"{"meter":"M1","obis":"7-0:3.0.0*255","medium":"gas","unit":"m3","start":"1970-01-01T00:01:40Z","step":"PT10S","values":[null,"1.00"],"status":[0,0],"gaps":[[0,"no-answer"]]}"#
        );
    }

    #[test]
    fn received_columns_must_agree() {
        let good = Series::from_readings(at(100), step(), &[reading(100, "1")], &[]).unwrap();
        let mut short = good.clone();
        short.status.clear();
        assert_eq!(
            short.check(),
            Err(SeriesError::StatusLength { values: 1, status: 0 })
        );
        let mut false_gap = good.clone();
        false_gap.gaps.push((0, GapReason::NoAnswer));
        assert_eq!(false_gap.check(), Err(SeriesError::GapWithoutHole { index: 0 }));
        let mut long = good;
        long.values = vec![None; Series::MAX_POINTS + 1];
        assert_eq!(
            long.check(),
            Err(SeriesError::TooLong {
                points: Series::MAX_POINTS + 1
            })
        );
    }

    #[test]
    fn nothing_to_show_is_no_series() {
        assert_eq!(
            Series::from_readings(at(100), step(), &[reading(105, "1")], &[gap(100)]),
            None
        );
    }
}
