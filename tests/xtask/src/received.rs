//! What the supplier has received so far: the last value of each element, and how much there was.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use system::{Pull, StageError};

/// The number of media in the house: electricity, gas, heat, water.
const MEDIA: usize = 4;

/// What has arrived at the supplier. Its size grows with the elements, not with time.
#[derive(Debug, Default)]
pub(crate) struct Received {
    elements: BTreeMap<Place, Latest>,
    rounds: BTreeMap<String, Round>,
    readings: u64,
}

/// Where an element stands in the table: by medium, then meter, then code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The medium.
    pub medium: String,
    /// The meter's identity.
    pub meter: String,
    /// The OBIS code.
    pub obis: String,
}

/// The newest value of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Latest {
    /// The meter's own digits.
    pub value: String,
    /// Their unit.
    pub unit: String,
    /// The time that it belongs to.
    pub time: Timestamp,
}

/// How many registration periods of one medium have arrived, and the last of them.
#[derive(Debug)]
struct Round {
    count: usize,
    last: Timestamp,
}

impl Received {
    /// Takes in a pull and returns what is new in it; what has been seen before is passed over.
    ///
    /// # Errors
    ///
    /// [`StageError::Time`] if a time in it cannot be computed with.
    pub(crate) fn take(&mut self, pull: &Pull) -> Result<Vec<(Place, Latest)>, StageError> {
        let mut new = Vec::new();
        let mut times: BTreeMap<&str, BTreeSet<Timestamp>> = BTreeMap::new();
        for series in &pull.series {
            let place = Place {
                medium: series.medium.clone(),
                meter: series.meter.clone(),
                obis: series.obis.clone(),
            };
            let seen = self.elements.get(&place).map(|latest| latest.time);
            for point in series.points()? {
                times.entry(&series.medium).or_default().insert(point.time);
                if seen.is_none_or(|seen| point.time > seen) {
                    let latest = Latest {
                        value: point.value,
                        unit: series.unit.clone(),
                        time: point.time,
                    };
                    new.push((place.clone(), latest));
                }
            }
        }
        for (medium, times) in times {
            self.count_rounds(medium, &times);
        }
        for (place, latest) in &new {
            self.readings += 1;
            self.elements.insert(place.clone(), latest.clone());
        }
        Ok(new)
    }

    fn count_rounds(&mut self, medium: &str, times: &BTreeSet<Timestamp>) {
        let Some(&newest) = times.last() else { return };
        let seen = self.rounds.get(medium);
        let count = times
            .iter()
            .filter(|time| seen.is_none_or(|seen| **time > seen.last))
            .count();
        let round = Round {
            count: seen.map_or(0, |seen| seen.count) + count,
            last: seen.map_or(newest, |seen| seen.last.max(newest)),
        };
        self.rounds.insert(medium.to_owned(), round);
    }

    /// Returns the elements in the order of the table.
    pub(crate) const fn elements(&self) -> &BTreeMap<Place, Latest> {
        &self.elements
    }

    /// Returns the media that have arrived, in alphabetical order.
    pub(crate) fn media(&self) -> Vec<String> {
        self.rounds.keys().cloned().collect()
    }

    /// Returns the number of different values.
    pub(crate) const fn readings(&self) -> u64 {
        self.readings
    }

    /// Returns how many registration periods have arrived of every medium of the house.
    pub(crate) fn rounds(&self) -> usize {
        if self.rounds.len() < MEDIA {
            return 0;
        }
        self.rounds.values().map(|round| round.count).min().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use system::PullSeries;

    use super::*;

    fn pull(medium: &str, start: &str, values: &[Option<&str>]) -> Pull {
        Pull {
            guid: "fd5a::1".into(),
            message: "00".into(),
            series: vec![PullSeries {
                meter: "M1".into(),
                obis: "7-0:3.0.0*255".into(),
                medium: medium.into(),
                unit: "m3".into(),
                start: start.into(),
                step: "PT5S".into(),
                values: values.iter().map(|value| value.map(str::to_owned)).collect(),
            }],
            refusals: Vec::new(),
        }
    }

    #[test]
    fn overlapping_pulls_count_each_value_once() {
        let mut received = Received::default();
        let first = pull("gas", "2026-11-23T12:00:00Z", &[Some("1.0"), None, Some("1.2")]);
        assert_eq!(received.take(&first).unwrap().len(), 2);
        assert_eq!(received.take(&first).unwrap(), []);
        let second = pull("gas", "2026-11-23T12:00:10Z", &[Some("1.2"), Some("1.3")]);
        let new = received.take(&second).unwrap();
        assert_eq!(new[0].1.value, "1.3");
        assert_eq!((received.readings(), received.elements().len()), (3, 1));
    }

    #[test]
    fn round_has_arrived_when_every_medium_has() {
        let mut received = Received::default();
        for medium in ["electricity", "gas", "heat"] {
            let two = pull(medium, "2026-11-23T12:00:00Z", &[Some("1"), Some("2")]);
            received.take(&two).unwrap();
        }
        assert_eq!(received.rounds(), 0);
        received
            .take(&pull("water", "2026-11-23T12:00:05Z", &[Some("1")]))
            .unwrap();
        assert_eq!(received.rounds(), 1);
        assert_eq!(received.media(), ["electricity", "gas", "heat", "water"]);
    }
}
