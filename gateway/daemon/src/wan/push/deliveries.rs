//! What delivery rules have the gateway send: on their schedules, and when values leave their bands or are back.
//!
//! Also whether a value has left its band is looked at only in what the grant lets through: consumer and policy take that away,
//! too, and no value between the points of the grid makes itself felt.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::slice;

use authorization::{Asker, Occasion, Rules, decide};
use messages::content::{Cause, Delivered};
use model::{
    Aggregation, DeliveryRule, Grant, ParseTimeError, Period, Quantity, Query, Reading, Series, Span,
    Timestamp, Trigger,
};
use store::ScheduleKey;

use super::bands::{Bands, has_bands};
use super::parcel::{Parcel, as_fine_as_is_left, send, short};
use super::samples::Samples;
use super::{Pauses, delay, due, key_of, not_sent, owes_receipts, slowed};
use crate::card::{Bundle, Identity};
use crate::grants::{Pacing, Restrictions};
use crate::wan::exchange::Exchange;
use crate::wan::rejection::Rejection;

/// The rules at work. What recipients know of bands is forgotten when the daemon ends; a value that is outside then counts as
/// having left its band.
#[derive(Debug)]
pub(super) struct Deliveries {
    samples: Samples,
    bands: BTreeMap<ScheduleKey, Bands>,
}

/// A rule at work, with what it is carried out by.
struct Work<'a> {
    exchange: &'a Exchange,
    identity: &'a Identity,
    bundle: &'a Bundle,
    grant: &'a Grant,
    rule: &'a DeliveryRule,
    held: &'a [Reading],
    now: Timestamp,
}

/// Returns the keys of all schedules of rules.
pub(super) fn keys(bundle: &Bundle) -> BTreeSet<ScheduleKey> {
    let ruled = bundle.grants().iter().filter_map(ruled);
    ruled
        .flat_map(|(grant, rule)| schedules(rule).map(|every| key_of_schedule(grant, every)))
        .collect()
}

fn ruled(grant: &Grant) -> Option<(&Grant, &DeliveryRule)> {
    Some((grant, grant.delivery.as_deref()?))
}

fn schedules(rule: &DeliveryRule) -> impl Iterator<Item = Span> + '_ {
    rule.triggers().iter().filter_map(|trigger| match trigger {
        Trigger::Every(every) => Some(*every),
        Trigger::OnDemand | Trigger::Outside { .. } => None,
    })
}

/// Names a schedule of a rule.
fn key_of_schedule(grant: &Grant, every: Span) -> ScheduleKey {
    let every = every.to_string();
    short(&[&key_of(grant), b"delivery", every.as_bytes()])
}

impl Deliveries {
    pub(super) const fn new(samples: Samples) -> Self {
        let bands = BTreeMap::new();
        Self { samples, bands }
    }

    /// Sends what the rules of a bundle have sent now, as much as is left of what may be. What is wrong with one keeps no
    /// other waiting.
    pub(super) fn deliver(
        &mut self,
        exchange: &Exchange,
        (identity, bundle): (&Identity, &Bundle),
        pauses: &mut Pauses,
        left: &mut usize,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let known: BTreeSet<_> = bundle
            .grants()
            .iter()
            .filter_map(ruled)
            .map(|(grant, _)| key_of(grant))
            .collect();
        self.bands.retain(|key, _| known.contains(key));
        for (grant, rule) in bundle.grants().iter().filter_map(ruled) {
            let key = key_of(grant);
            if *left == 0 || pauses.holds(&key, now) || owes_receipts(exchange, grant.supplier)? {
                continue;
            }
            let held = self.samples.of(&key);
            let work = Work {
                exchange,
                identity,
                bundle,
                grant,
                rule,
                held: &held,
                now,
            };
            let bands = self.bands.entry(key).or_default();
            let sent = work
                .tell_of_crossings(bands, left)
                .and_then(|()| work.keep_schedules(left));
            match sent {
                Ok(()) => pauses.end(&key),
                Err(rejection) => {
                    not_sent(&rejection);
                    pauses.begin(key, now);
                }
            }
        }
        Ok(())
    }
}

impl Work<'_> {
    fn parties(&self) -> (&Identity, &Bundle) {
        (self.identity, self.bundle)
    }

    /// Sends the values of the first point behind the last one that was looked at in which something has crossed an end of a
    /// band, if the recipient may be told now; then the points behind it wait.
    fn tell_of_crossings(&self, bands: &mut Bands, left: &mut usize) -> Result<(), Rejection> {
        if !has_bands(self.grant) {
            return Ok(());
        }
        let times: BTreeSet<_> = self.held.iter().map(|reading| reading.time).collect();
        let reach = self.now.saturating_sub(self.grant.history);
        let is_new =
            |time: &Timestamp| *time >= reach && bands.looked_until.is_none_or(|until| *time > until);
        let new: Vec<_> = times.into_iter().filter(is_new).collect();
        for time in new {
            let Ok(period) = point(time) else { continue };
            let crossings = bands.crossings(self.rule.triggers(), &self.permitted(period)?);
            let Some(first) = crossings.first() else {
                bands.looked_until = Some(time);
                continue;
            };
            if *left == 0 || !bands.may_tell(self.now) {
                // The side that the recipient knows stays, so that the newest value tells once there is room.
                bands.looked_until = Some(time);
                continue;
            }
            *left = left.saturating_sub(1);
            self.send(period, first.cause())?;
            bands.told(crossings, self.now);
            bands.looked_until = Some(time);
        }
        Ok(())
    }

    /// Sends what is due on the schedules of the rule.
    fn keep_schedules(&self, left: &mut usize) -> Result<(), Rejection> {
        let schedules_kept = self.exchange.store.schedules();
        for scheduled in schedules(self.rule) {
            let slow = slowed(scheduled, self.grant, self.bundle.policy());
            let finest = self.grant.finest.common_multiple(self.rule.finest());
            let Some(every) = slow
                .zip(finest)
                .and_then(|(slow, finest)| slow.common_multiple(finest))
            else {
                continue;
            };
            let key = key_of_schedule(self.grant, scheduled);
            let settled = self.now.saturating_sub(delay(self.identity.guid, every));
            let mut due = due(
                self.grant,
                every,
                schedules_kept.kept_until(&key),
                (settled, self.now),
            );
            if self.is_latest() {
                // What was not read then is not there any more.
                let last = due.last().copied();
                due.retain(|period| Some(*period) == last || self.has_of(*period));
            }
            for period in due {
                if *left == 0 {
                    return Ok(());
                }
                *left = left.saturating_sub(1);
                self.send(period, Cause::Due)?;
                let kept = schedules_kept.keep(key, period.to());
                kept.map_err(Rejection::Schedules)?;
            }
        }
        Ok(())
    }

    fn is_latest(&self) -> bool {
        self.rule.aggregation() == Aggregation::Latest
    }

    /// Returns whether a value is held of the end of a period or before it.
    fn has_of(&self, period: Period) -> bool {
        self.held
            .iter()
            .any(|reading| period.from() < reading.time && reading.time <= period.to())
    }

    fn send(&self, period: Period, cause: Cause) -> Result<(), Rejection> {
        let parcel = Parcel {
            grant: self.grant,
            period,
            queries: self.queries(period, cause == Cause::Due),
            delivery: Some(Delivered {
                rule: self.rule.id().clone(),
                taf: self.rule.taf(),
                cause,
                pseudonymous: self.rule.is_pseudonymous(),
            }),
            held: self.held,
        };
        send(self.exchange, self.parties(), &parcel, self.now)
    }

    /// Asks for what grant and rule have in common. What is latest, or made of a step, belongs to the period at whose end it is;
    /// of a change, to its very point.
    fn queries(&self, period: Period, is_due: bool) -> Vec<Query> {
        let resolution = self.grant.finest.common_multiple(self.rule.finest());
        let behind =
            |time: Timestamp| Span::from_seconds(1).map_or(time, |second| time.saturating_add(second));
        let reach = self.now.saturating_sub(self.grant.history);
        let asked = match self.rule.aggregation() {
            Aggregation::Latest if is_due => {
                Period::new(behind(period.from()).max(reach), behind(period.to()))
            }
            Aggregation::Value | Aggregation::Latest => Ok(period),
            Aggregation::Difference | Aggregation::Minimum | Aggregation::Maximum | Aggregation::Mean => {
                Period::new(period.from(), behind(period.to()))
            }
        };
        let (Some(resolution), Ok(asked)) = (resolution, asked) else {
            return Vec::new();
        };
        let patterns = self.grant.delivered().into_iter();
        patterns
            .map(|elements| Query {
                elements,
                period: asked,
                resolution,
                aggregation: self.rule.aggregation(),
            })
            .collect()
    }

    /// Returns what the grant lets through of the values of a point, to look at; none of it is handed out.
    fn permitted(&self, period: Period) -> Result<Vec<Reading>, Rejection> {
        let restrictions = Restrictions::of(&self.exchange.store, self.now)?;
        let rules = Rules {
            grants: slice::from_ref(self.grant),
            policy: self.bundle.policy(),
            restrictions: &restrictions,
        };
        let supplier = self
            .bundle
            .supplier(self.grant.supplier)
            .ok_or(Rejection::NoGrant)?;
        let asker = Asker {
            supplier: self.grant.supplier,
            name: supplier.name.as_str(),
        };
        let mut permitted = Vec::new();
        for query in self.queries(period, false) {
            let query = as_fine_as_is_left(query, asker, (&rules, Pacing::Delivered), self.now);
            let Ok(granted) = decide(&query, asker, &rules, &Occasion::Delivered, self.now) else {
                continue;
            };
            let mut release = granted.begin();
            release.take(self.held.iter().cloned(), []);
            // They stay here, under the names of their meters.
            let series = self.exchange.sources().finish(release, None).series;
            let series = series.into_series(|_, meter| Ok::<_, Infallible>(meter.clone()));
            permitted.extend(series.unwrap_or_default().iter().flat_map(readings_of));
        }
        Ok(permitted)
    }
}

/// Returns the time of one point.
fn point(time: Timestamp) -> Result<Period, ParseTimeError> {
    let second = Span::from_seconds(1);
    Period::new(time, second.map_or(time, |second| time.saturating_add(second)))
}

fn readings_of(series: &Series) -> Vec<Reading> {
    let points = series.points();
    points
        .map(|(time, value, status)| Reading {
            element: series.element.clone(),
            time,
            quantity: Quantity {
                value,
                unit: series.unit,
            },
            status,
        })
        .collect()
}
