//! What a simulated gateway has measured: it follows from its GUID and the time, so that anybody can reckon it again.

use messages::content::{Answer, MessageId, Request};
use model::{Aggregation, CardId, Decimal, Element, Medium, Query, Series, Status, Timestamp, Unit};

/// What each gateway measures: electricity drawn and fed in, water, gas.
const ELEMENTS: [(&str, &str, Medium, Unit); 4] = [
    ("E1", "1-0:1.8.0*255", Medium::Electricity, Unit::WattHour),
    ("E1", "1-0:2.8.0*255", Medium::Electricity, Unit::WattHour),
    ("W1", "8-0:1.0.0*255", Medium::Water, Unit::CubicMetre),
    ("G1", "7-0:3.0.0*255", Medium::Gas, Unit::CubicMetre),
];
/// The scale of every value: thousandths.
const SCALER: i8 = -3;
/// How many points of an element an answer has at most: a month of quarter hours.
const MAX_POINTS: usize = 3_000;

/// Answers a request for values in full; what is not measured has no series, nor what is aggregated.
pub(super) fn answer(request: &Request, gateway: CardId, id: MessageId, now: Timestamp) -> Answer {
    let series = request
        .queries
        .iter()
        .filter(|query| query.aggregation.is_value())
        .flat_map(|query| all_series(query, gateway, now));
    Answer {
        id,
        in_reply_to: request.id,
        gateway,
        supplier: request.sender,
        time: now,
        series: series.collect(),
        refusals: Vec::new(),
        rest: Vec::new(),
    }
}

fn all_series(query: &Query, gateway: CardId, now: Timestamp) -> Vec<Series> {
    let elements = ELEMENTS.iter().zip(0_u8..);
    elements
        .filter_map(|((meter, obis, medium, unit), number)| {
            let element = Element {
                meter: meter.parse().ok()?,
                obis: obis.parse().ok()?,
            };
            if !query.elements.matches(&element) {
                return None;
            }
            let times = times(query, now);
            let start = *times.first()?;
            Some(Series {
                element,
                medium: *medium,
                unit: *unit,
                start,
                step: query.resolution,
                aggregation: Aggregation::Value,
                values: times.iter().map(|time| value(gateway, number, *time)).collect(),
                status: vec![Status::GOOD; times.len()],
                gaps: Vec::new(),
            })
        })
        .collect()
}

/// The points of the grid within the query that have passed.
fn times(query: &Query, now: Timestamp) -> Vec<Timestamp> {
    let (from, to) = (query.period.from(), query.period.to());
    let first = match query.resolution.grid_at_or_before(from) {
        first if first == from => first,
        _ => query.resolution.grid_after(from),
    };
    std::iter::successors(Some(first), |time| Some(time.saturating_add(query.resolution)))
        .take_while(|time| *time < to && *time <= now)
        .take(MAX_POINTS)
        .collect()
}

/// A register that only grows: faster with some gateways than with others.
fn value(gateway: CardId, number: u8, time: Timestamp) -> Option<Decimal> {
    let [.., pace] = gateway.to_bytes();
    let quarters = i128::from(time.unix_seconds()) / 900;
    let pace = i128::from(pace) + i128::from(number) + 1;
    Decimal::new(quarters.checked_mul(pace)?, SCALER)
}
