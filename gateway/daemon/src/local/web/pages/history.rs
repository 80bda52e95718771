//! The history of a meter: as a chart, as a table, and as files with exactly that.

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jiff::civil::Date;
use model::{Element, ElementPattern, Quantity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::asked::Query;
use super::super::calendar::Span;
use super::super::chart::{Bar, draw};
use super::super::history::{History, Row};
use super::super::household::Measured;
use super::super::language::{Language, for_people};
use super::super::openapi::ElementWords;
use super::super::portal::{AsConsumer, Barrier, Portal};
use super::super::roster::Own;
use super::super::zone::Zone;
use super::costs::costs_address;
use super::now::see;
use super::{Frame, percent_encoded, rendered, working};
use crate::clock;

/// The name of the schema and its version; additive within the version.
const SCHEMA: &str = "smgw.web-history/1";

/// What is to be shown.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub(crate) struct Wanted {
    /// The element, METER/OBIS; without it, the first register of the own meters.
    #[schemars(with = "Option<String>")]
    element: Option<ElementPattern>,
    /// What is looked at at once: `day`, which is what anything else means, `week`, `month` or `year`.
    by: Option<String>,
    /// A day that lies in it, such as 2026-11-30; without it, today.
    at: Option<String>,
}

/// An element that can be chosen.
struct Choice {
    value: String,
    text: String,
    is_chosen: bool,
}

/// A day, week, month or year that can be chosen.
struct Tab {
    text: &'static str,
    to: String,
    is_chosen: bool,
}

/// A part of the history, as the page and the CSV show it.
struct Line {
    from: String,
    to: String,
    consumed: Option<String>,
    register: Option<String>,
    note: Option<&'static str>,
    is_gap: bool,
}

#[derive(Template)]
#[template(path = "web/history.html")]
struct HistoryPage {
    frame: Frame,
    choices: Vec<Choice>,
    tabs: Vec<Tab>,
    by: &'static str,
    at: String,
    shown: Option<Shown>,
}

/// What is shown of an element.
struct Shown {
    title: String,
    unit: &'static str,
    earlier: Option<String>,
    later: Option<String>,
    chart: String,
    lines: Vec<Line>,
    sum: Option<(String, bool)>,
    csv: String,
    json: String,
    xml: String,
    /// Where it is told what it costs.
    costs: Option<String>,
}

/// What was found of what is wanted.
pub(in super::super) struct Found {
    pub(super) elements: Vec<Measured>,
    span: Span,
    day: Date,
    pub(super) history: Option<History>,
}

/// Reads what is wanted; without an element, the first register of somebody's own meters.
pub(in super::super) fn find(
    portal: &Portal,
    own: &Own,
    wanted: &Wanted,
) -> Result<Found, store::DatabaseError> {
    let now = clock::now();
    let seen = see(portal, own, now)?.into_iter();
    let elements: Vec<_> = seen.filter(Measured::is_register).collect();
    let span = wanted.by.as_deref().and_then(Span::parse).unwrap_or(Span::Day);
    let asked = wanted.at.as_deref().and_then(|text| text.parse::<Date>().ok());
    let day = asked.unwrap_or_else(|| portal.zone.day(now));
    let element = wanted.element.as_ref().map(ElementPattern::exact);
    let chosen = match &element {
        None => elements
            .iter()
            .find(|one| one.is_main_register())
            .or_else(|| elements.first()),
        Some(element) => elements
            .iter()
            .find(|one| Some(&one.last.element) == element.as_ref()),
    };
    let history = match (chosen, span.first_day(day)) {
        (Some(one), Some(first)) => History::read(
            portal.source.store.database(),
            (one.last.element.clone(), one.registered.as_ref()),
            (span, first, &portal.zone),
            now,
        )?,
        _ => None,
    };
    Ok(Found {
        elements,
        span,
        day,
        history,
    })
}

pub(super) async fn page(
    State(portal): State<Portal>,
    consumer: AsConsumer,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Barrier> {
    let language = consumer.member.language;
    let frame = consumer.member.frame(&portal);
    let zone = portal.zone.clone();
    let asked = wanted.element.is_some();
    let found = working(language, move || find(&portal, &consumer.own, &wanted)).await?;
    if asked && found.history.is_none() {
        return Err(Barrier::Missing(language));
    }
    let chosen = found.history.as_ref().map(|history| history.element.clone());
    let at = found.day.to_string();
    let page = HistoryPage {
        choices: choices(language, &found.elements, chosen.as_ref()),
        tabs: tabs(language, chosen.as_ref(), (found.span, &at)),
        by: found.span.code(),
        at,
        shown: found.history.map(|history| show(language, &zone, &history)),
        frame,
    };
    rendered(language, &page)
}

fn choices(language: Language, elements: &[Measured], chosen: Option<&Element>) -> Vec<Choice> {
    let choice = |one: &Measured| {
        let element = &one.last.element;
        let (medium, measure) = (
            language.words().medium(one.medium),
            language.measure(element.obis),
        );
        Choice {
            value: ElementPattern::from(element.clone()).to_string(),
            text: format!("{medium}, {}: {measure}", one.name),
            is_chosen: chosen == Some(element),
        }
    };
    elements.iter().map(choice).collect()
}

fn address(path: &str, element: &Element, span: Span, at: &str) -> String {
    let element = ElementPattern::from(element.clone()).to_string();
    format!(
        "{path}?element={}&by={}&at={at}",
        percent_encoded(&element),
        span.code()
    )
}

fn tabs(language: Language, chosen: Option<&Element>, (current, at): (Span, &str)) -> Vec<Tab> {
    let words = language.words();
    let tab = |(span, element): (Span, &Element)| Tab {
        text: match span {
            Span::Day => words.day,
            Span::Week => words.week,
            Span::Month => words.month,
            Span::Year => words.year,
        },
        to: address("/history", element, span, at),
        is_chosen: span == current,
    };
    let spans = Span::ALL.into_iter();
    spans.filter_map(|span| Some((span, chosen?))).map(tab).collect()
}

fn show(language: Language, zone: &Zone, history: &History) -> Shown {
    let History {
        element,
        span,
        first,
        rows,
        ..
    } = history;
    let near = |is_next| span.neighbour(*first, is_next);
    let at = |day: Date| address("/history", element, *span, &day.to_string());
    let unit = rows.iter().find_map(|row| row.register);
    let lines: Vec<_> = rows.iter().map(|row| line(language, zone, row)).collect();
    let measure = language.measure(element.obis);
    let name = format!("{}: {} {measure}, {first}", language.words().chart, element.meter);
    let greatest = rows.iter().filter_map(|row| row.consumed).reduce(|one, two| {
        if two
            .value
            .compare(one.value)
            .is_some_and(std::cmp::Ordering::is_gt)
        {
            two
        } else {
            one
        }
    });
    let greatest = greatest
        .map(|quantity| language.quantity(quantity))
        .unwrap_or_default();
    let bars = rows
        .iter()
        .zip(&lines)
        .map(|(row, line)| bar((*span, zone), row, line));
    let today = first.to_string();
    Shown {
        title: format!("{} {measure}", element.meter),
        unit: unit.map_or("", |quantity| for_people(quantity).1),
        earlier: near(false).map(at),
        later: near(true).map(at),
        chart: draw(&bars.collect::<Vec<_>>(), &name, &greatest),
        sum: history
            .sum()
            .map(|(sum, is_whole)| (language.quantity(sum), is_whole)),
        csv: address("/history.csv", element, *span, &today),
        json: address("/api/v1/history", element, *span, &today),
        xml: address("/history.xml", element, *span, &today),
        costs: near(true)
            .and_then(|next| next.yesterday().ok())
            .map(|last| costs_address(element, *first, last)),
        lines,
    }
}

fn bar((span, zone): (Span, &Zone), row: &Row, line: &Line) -> Bar {
    let told = line.consumed.as_deref().or(line.note).unwrap_or_default();
    Bar {
        label: span.label(zone, row.from),
        title: format!("{} – {}: {told}", line.from, line.to),
        value: row.consumed.map(|quantity| quantity.value),
        is_gap: row.is_gap(),
    }
}

fn line(language: Language, zone: &Zone, row: &Row) -> Line {
    let number = |quantity: Quantity| language.number(for_people(quantity).0);
    let time = |time| format!("{} ({})", language.time(zone, time), zone.offset(time));
    Line {
        from: time(row.from),
        to: time(row.to),
        consumed: row.consumed.map(number),
        register: row.register.map(number),
        note: row.note.map(|note| note.text(language)),
        is_gap: row.is_gap(),
    }
}

/// Hands out the table as CSV (RFC 4180): in German with semicolons and decimal commas, as spreadsheets there expect it.
pub(super) async fn csv(
    State(portal): State<Portal>,
    consumer: AsConsumer,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Barrier> {
    let language = consumer.member.language;
    let zone = portal.zone.clone();
    let found = working(language, move || find(&portal, &consumer.own, &wanted)).await?;
    let history = found.history.ok_or(Barrier::Missing(language))?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"history.csv\"",
        ),
    ];
    Ok((headers, csv_of(language, &zone, &history)).into_response())
}

fn csv_of(language: Language, zone: &Zone, history: &History) -> String {
    let words = language.words();
    let separator = match language {
        Language::German => ';',
        Language::English => ',',
    };
    let shown = show(language, zone, history);
    let header = [
        words.from,
        words.to,
        words.consumption,
        words.register_at_end,
        words.unit,
        words.note,
    ];
    let mut text = record(separator, &header);
    for line in &shown.lines {
        text.push_str(&record(
            separator,
            &[
                &line.from,
                &line.to,
                line.consumed.as_deref().unwrap_or_default(),
                line.register.as_deref().unwrap_or_default(),
                shown.unit,
                line.note.unwrap_or_default(),
            ],
        ));
    }
    text
}

fn record(separator: char, fields: &[&str]) -> String {
    let quoted = fields
        .iter()
        .map(|field| format!("\"{}\"", field.replace('"', "\"\"")));
    let quoted: Vec<_> = quoted.collect();
    format!("{}\r\n", quoted.join(&separator.to_string()))
}

/// The history as JSON, with the same numbers as the page.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "History")]
pub(in super::super) struct Document {
    /// The name of the schema and its version; additive within the version.
    schema: &'static str,
    #[schemars(with = "ElementWords")]
    element: Element,
    /// `day`, `week`, `month` or `year`.
    by: &'static str,
    /// The first day of it.
    #[schemars(extend("format" = "date"))]
    from: String,
    /// The unit of all numbers; empty while there is none.
    unit: &'static str,
    parts: Vec<Part>,
    /// What is known of the consumption, an exact decimal number.
    sum: Option<String>,
    /// Whether nothing is missing in the sum.
    complete: bool,
}

/// An hour of a day, a day of a week or month, a month of a year.
#[derive(Serialize, JsonSchema)]
struct Part {
    #[schemars(with = "String", extend("format" = "date-time"))]
    from: model::Timestamp,
    #[schemars(with = "String", extend("format" = "date-time"))]
    to: model::Timestamp,
    /// An exact decimal number, if it is known.
    consumption: Option<String>,
    /// The register at the end, or its last value.
    register: Option<String>,
    /// Why something is missing or doubtful, as a code.
    note: Option<String>,
}

/// Writes the history as JSON.
pub(in super::super) fn json_of(found: Found) -> Option<Response> {
    let history = found.history?;
    let number = |quantity: Quantity| for_people(quantity).0.to_string();
    let unit = history.rows.iter().find_map(|row| row.register);
    let sum = history.sum();
    let parts = history.rows.iter().map(|row| Part {
        from: row.from,
        to: row.to,
        consumption: row.consumed.map(number),
        register: row.register.map(number),
        note: row.note.map(|note| note.code()),
    });
    Some(
        Json(Document {
            schema: SCHEMA,
            by: history.span.code(),
            from: history.first.to_string(),
            unit: unit.map_or("", |quantity| for_people(quantity).1),
            parts: parts.collect(),
            sum: sum.map(|(sum, _)| number(sum)),
            complete: sum.is_some_and(|(_, is_whole)| is_whole),
            element: history.element,
        })
        .into_response(),
    )
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use model::Timestamp;
    use store::{DeviceKey, Protection, Store};

    use super::*;

    /// Shows a day on which nothing was registered.
    fn shown(day: Date) -> Shown {
        let folder = tempfile::tempdir().unwrap();
        let key = DeviceKey::new([7; DeviceKey::LENGTH]);
        let store = Store::open(folder.path(), Ok(Protection { key, otp: None })).unwrap();
        let element = Element {
            meter: "M1".parse().unwrap(),
            obis: "1-0:1.8.0*255".parse().unwrap(),
        };
        let (zone, now) = (Zone::central_europe(), "2026-12-01T00:00:00Z");
        let now: Timestamp = now.parse().unwrap();
        let chosen = (element, None);
        let history = History::read(store.database(), chosen, (Span::Day, day, &zone), now);
        show(Language::English, &zone, &history.unwrap().unwrap())
    }

    #[test]
    fn days_on_which_the_clock_is_changed_are_drawn_with_their_hours() {
        for (day, hours, twice) in [
            (date(2026, 3, 29), 23, 0),
            (date(2026, 10, 25), 25, 2),
            (date(2026, 11, 30), 24, 1),
        ] {
            let shown = shown(day);
            assert_eq!(shown.lines.len(), hours, "{day}");
            assert_eq!(shown.chart.matches("<rect ").count(), hours, "{day}");
            // The hour that is left out is not there, and the one that comes twice is told apart by the offset.
            let clock = format!("{day} 02:00");
            let begins = shown.lines.iter().filter(|line| line.from.starts_with(&clock));
            let mut begins: Vec<_> = begins.map(|line| line.from.clone()).collect();
            assert_eq!(begins.len(), twice, "{day}");
            begins.dedup();
            assert_eq!(begins.len(), twice, "{day}");
            assert_eq!(shown.lines[0].from.split(' ').nth(1), Some("00:00"), "{day}");
        }
    }
}
