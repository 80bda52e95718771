//! The bands of a delivery rule: on which side of them the values are that their recipient knows of, and how often it is told.
//!
//! A change that finds no room in the budget is not forgotten: the side that the recipient knows stays, and the next value that
//! is still on the other one is told when there is room again.

use std::collections::{BTreeSet, VecDeque};

use messages::content::Cause;
use model::{Element, Grant, Reading, Side, Timestamp, Trigger};

/// How long lies between two messages of one rule that tell of a change at least, in seconds.
pub(super) const LEAST_PAUSE_SECONDS: i64 = 10;

/// How many such messages one rule has sent within an hour at most.
pub(super) const MAX_EVENTS_PER_HOUR: usize = 20;

/// An hour in seconds.
const HOUR_SECONDS: i64 = 3_600;

/// What the recipient of one rule knows.
#[derive(Debug, Default)]
pub(super) struct Bands {
    /// The elements that were outside the band of a trigger, by its place in the rule.
    outside: BTreeSet<(usize, Element)>,
    /// Up to which time values have been looked at.
    pub(super) looked_until: Option<Timestamp>,
    /// When it was told of changes.
    told: VecDeque<Timestamp>,
}

/// A value that has crossed an end of a band.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Crossing {
    trigger: usize,
    element: Element,
    side: Side,
}

impl Crossing {
    /// Returns why something is sent.
    pub(super) const fn cause(&self) -> Cause {
        match self.side {
            Side::Outside => Cause::Left(self.element.obis),
            Side::Inside => Cause::Returned(self.element.obis),
        }
    }
}

/// Returns whether the rule of a grant looks at whether values leave a band.
pub(super) fn has_bands(grant: &Grant) -> bool {
    let triggers = grant.delivery.as_deref().map(|rule| rule.triggers());
    triggers.is_some_and(|triggers| {
        triggers
            .iter()
            .any(|trigger| matches!(trigger, Trigger::Outside { .. }))
    })
}

impl Bands {
    /// Returns which values have crossed an end of a band, against what the recipient knows.
    pub(super) fn crossings(&self, triggers: &[Trigger], readings: &[Reading]) -> Vec<Crossing> {
        let mut crossings = Vec::new();
        for (trigger, place) in triggers.iter().zip(0..) {
            for reading in readings {
                let element = reading.element.clone();
                let is_outside = self.outside.contains(&(place, element.clone()));
                let before = if is_outside { Side::Outside } else { Side::Inside };
                let side = trigger.side(before, element.obis, reading.quantity);
                crossings.extend(side.filter(|side| *side != before).map(|side| Crossing {
                    trigger: place,
                    element,
                    side,
                }));
            }
        }
        crossings
    }

    /// Returns whether the recipient may be told of changes now. A clock that was set back keeps nobody waiting.
    pub(super) fn may_tell(&mut self, now: Timestamp) -> bool {
        self.told
            .retain(|told| (0..HOUR_SECONDS).contains(&now.seconds_since(*told)));
        let is_close = |told: &Timestamp| now.seconds_since(*told) < LEAST_PAUSE_SECONDS;
        self.told.len() < MAX_EVENTS_PER_HOUR && !self.told.back().is_some_and(is_close)
    }

    /// Takes note that the recipient was told.
    pub(super) fn told(&mut self, crossings: Vec<Crossing>, now: Timestamp) {
        for crossing in crossings {
            let key = (crossing.trigger, crossing.element);
            match crossing.side {
                Side::Outside => self.outside.insert(key),
                Side::Inside => self.outside.remove(&key),
            };
        }
        self.told.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use model::{Decimal, DeliveryRule, Quantity, Status, Unit};

    use super::*;

    fn rule() -> DeliveryRule {
        serde_json::from_str(include_str!("../../../../apps/taf-10/delivery.json")).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).unwrap()
    }

    fn volts(value: i128) -> Reading {
        Reading {
            element: Element {
                meter: "M1".parse().unwrap(),
                obis: "1-0:32.7.0*255".parse().unwrap(),
            },
            time: at(0),
            quantity: Quantity {
                value: Decimal::whole(value),
                unit: Unit::Volt,
            },
            status: Status::GOOD,
        }
    }

    #[test]
    fn change_is_found_once_it_was_told_and_with_hysteresis() {
        let (rule, mut bands) = (rule(), Bands::default());
        let obis = volts(0).element.obis;
        let mut causes = Vec::new();
        for value in [230, 254, 255, 252, 251, 230, 206, 208, 209] {
            let found = bands.crossings(rule.triggers(), &[volts(value)]);
            causes.extend(found.iter().map(|crossing| (value, crossing.cause())));
            bands.told(found, at(0));
        }
        assert_eq!(
            causes,
            [
                (254, Cause::Left(obis)),
                (251, Cause::Returned(obis)),
                (206, Cause::Left(obis)),
                (209, Cause::Returned(obis)),
            ]
        );
    }

    #[test]
    fn what_was_not_told_is_found_again() {
        let (rule, bands) = (rule(), Bands::default());
        for _ in 0..2 {
            assert_eq!(bands.crossings(rule.triggers(), &[volts(254)]).len(), 1);
        }
    }

    #[test]
    fn messages_have_a_pause_and_a_number_within_an_hour() {
        let mut bands = Bands::default();
        let mut told = Vec::new();
        for second in 0..3 * HOUR_SECONDS {
            if bands.may_tell(at(second)) {
                bands.told(Vec::new(), at(second));
                told.push(second);
            }
        }
        assert_eq!(told.len(), MAX_EVENTS_PER_HOUR * 3);
        assert_eq!(told[1] - told[0], LEAST_PAUSE_SECONDS);
        assert!(bands.may_tell(at(0)), "a clock that was set back");
    }
}
