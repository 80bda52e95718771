//! Registered values through the control socket, page by page.
//!
//! They are the consumer's. The socket is for root and the daemon's own user, who can read the data folder anyway, and the local
//! web's technician has no way here.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use model::{
    Decimal, Element, ElementPattern, Gap, GapReason, MeterId, Obis, Period, Reading, Span, Status,
    Timestamp, Unit,
};
use serde::{Deserialize, Serialize};
use store::{Damaged, Page, Store};

use super::blocking;
use super::grants::Outcome;
use crate::report::Chain;

/// Where a page is asked for.
pub(crate) const READINGS: &str = "/v1/readings";

/// Which values are asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) elements: ElementPattern,
    pub(crate) period: Period,
    /// Only values on this grid; all, if there is none.
    pub(crate) resolution: Option<Span>,
}

impl Wanted {
    fn has(&self, time: Timestamp) -> bool {
        self.resolution.is_none_or(|grid| grid.has_on_grid(time))
    }
}

/// A point of the grid: a value, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PointView {
    pub(crate) meter: MeterId,
    pub(crate) obis: Obis,
    pub(crate) time: Timestamp,
    /// The meter's own digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<Decimal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<Unit>,
    /// What is to be known about the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<Status>,
    /// Why there is no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gap: Option<GapReason>,
}

impl From<Reading> for PointView {
    fn from(reading: Reading) -> Self {
        let Element { meter, obis } = reading.element;
        Self {
            meter,
            obis,
            time: reading.time,
            value: Some(reading.quantity.value),
            unit: Some(reading.quantity.unit),
            status: Some(reading.status),
            gap: None,
        }
    }
}

impl From<Gap> for PointView {
    fn from(gap: Gap) -> Self {
        let Element { meter, obis } = gap.element;
        Self {
            meter,
            obis,
            time: gap.time,
            value: None,
            unit: None,
            status: None,
            gap: Some(gap.reason),
        }
    }
}

/// What is damaged, so that its values are lost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DamagedView {
    /// The meter and the code, if it can be told which.
    pub(crate) element: Option<String>,
    pub(crate) period: Period,
}

impl From<Damaged> for DamagedView {
    fn from(damaged: Damaged) -> Self {
        Self {
            element: damaged
                .element
                .map(|element| format!("{}/{}", element.meter, element.obis)),
            period: damaged.period,
        }
    }
}

/// A page of values and gaps, by time.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PointsPage {
    pub(crate) points: Vec<PointView>,
    pub(crate) damaged: Vec<DamagedView>,
    /// What is asked for next, if there is more.
    pub(crate) rest: Option<Period>,
}

impl PointsPage {
    fn of(page: Page, wanted: &Wanted) -> Self {
        let readings = page.readings.into_iter().map(PointView::from);
        let points = readings.chain(page.gaps.into_iter().map(PointView::from));
        let mut points: Vec<_> = points.filter(|point| wanted.has(point.time)).collect();
        points.sort_by(|one, two| {
            let key = |point: &PointView| (point.time, point.meter.clone(), point.obis);
            key(one).cmp(&key(two))
        });
        Self {
            points,
            damaged: page.damaged.into_iter().map(DamagedView::from).collect(),
            rest: page.rest,
        }
    }
}

/// Answers what the command line asks about values.
pub(super) fn router(store: Arc<Store>) -> Router {
    Router::new().route(READINGS, post(page)).with_state(store)
}

async fn page(
    State(store): State<Arc<Store>>,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Outcome<PointsPage>>, StatusCode> {
    let read = blocking(move || {
        let page = store.database().readings(&wanted.elements, wanted.period);
        page.map(|page| PointsPage::of(page, &wanted))
    });
    Ok(Json(match read.await? {
        Ok(page) => Outcome::Done(page),
        Err(error) => Outcome::Refused(Chain(&error).to_string()),
    }))
}

#[cfg(test)]
mod tests {
    use model::Quantity;

    use super::*;

    fn element() -> Element {
        Element {
            meter: "M1".parse().unwrap(),
            obis: "1-0:1.8.0*255".parse().unwrap(),
        }
    }

    fn reading(time: &str) -> Reading {
        Reading {
            element: element(),
            time: time.parse().unwrap(),
            quantity: Quantity {
                value: "1.50".parse().unwrap(),
                unit: Unit::WattHour,
            },
            status: Status::GOOD,
        }
    }

    #[test]
    fn values_and_gaps_stand_in_the_order_of_time_and_on_the_grid_that_is_asked_for() {
        let page = || Page {
            readings: vec![reading("2026-11-30T12:00:00Z"), reading("2026-11-30T13:00:00Z")],
            gaps: vec![Gap {
                element: element(),
                time: "2026-11-30T12:15:00Z".parse().unwrap(),
                reason: GapReason::NoAnswer,
            }],
            ..Page::default()
        };
        let wanted = |resolution: Option<&str>| Wanted {
            elements: ElementPattern::ANY,
            period: Period::new(Timestamp::EPOCH, "2027-01-01T00:00:00Z".parse().unwrap()).unwrap(),
            resolution: resolution.map(|span| span.parse().unwrap()),
        };
        let all = PointsPage::of(page(), &wanted(None)).points;
        let times: Vec<_> = all.iter().map(|point| point.time.to_string()).collect();
        assert_eq!(
            times,
            [
                "2026-11-30T12:00:00Z",
                "2026-11-30T12:15:00Z",
                "2026-11-30T13:00:00Z"
            ]
        );
        assert_eq!(all[0].value.unwrap().to_string(), "1.50");
        assert_eq!((all[1].value, all[1].gap), (None, Some(GapReason::NoAnswer)));
        assert_eq!(PointsPage::of(page(), &wanted(Some("PT1H"))).points.len(), 2);
    }
}
