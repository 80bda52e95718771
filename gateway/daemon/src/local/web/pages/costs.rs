//! What was consumed between two days, what it costs at the prices that the consumer has entered, the readings that prove it,
//! and whether a bill agrees.

mod entered;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use billing::{CountError, Day, Tariff, TariffDocument};
use jiff::civil::Date;
use model::{Decimal, Element, ElementPattern, Quantity, Timestamp};
use serde::Deserialize;

use super::super::asked::Query;
use super::super::calendar::Span;
use super::super::household::Measured;
use super::super::language::{Language, for_people};
use super::super::portal::{AsConsumer, Barrier, Portal};
use super::super::prices::{self, stages_of, unit_of_price};
use super::super::reckoning::{NoFigure, Reckoning, reckon};
use super::super::sent::remarks;
use super::super::zone::Zone;
use super::now::see;
use super::{Frame, percent_encoded, rendered, working};
use crate::clock;
use crate::report::Chain;

use entered::{Entered, Field};

/// The readings that a page shows of one stage at most; a year of night windows has twice as many.
const MOST_PROOFS: usize = 60;
/// The currency that is offered first.
const CURRENCY: &str = "EUR";

pub(super) fn routes() -> Router<Portal> {
    Router::new()
        .route("/costs", get(page))
        .route("/costs/price", post(entered::add))
        .route("/costs/price/remove", post(entered::remove))
}

/// What is to be reckoned, and what a bill says about it. A form leaves empty what is not given.
#[derive(Debug, Clone, Default, Deserialize)]
struct Wanted {
    element: Option<ElementPattern>,
    #[serde(default)]
    from: String,
    /// The last day, included.
    #[serde(default)]
    to: String,
    #[serde(default)]
    billed: String,
    #[serde(default)]
    amount: String,
}

struct Choice {
    value: String,
    text: String,
    is_chosen: bool,
}

/// What a bill says against what was reckoned.
struct Comparison {
    what: &'static str,
    own: String,
    billed: String,
    agrees: bool,
    difference: String,
}

/// A part of a stage with the readings at its ends.
struct Proof {
    from: String,
    start: String,
    to: String,
    end: String,
    consumption: String,
    remark: String,
}

struct Line {
    stage: String,
    consumption: String,
    price: Option<(String, String)>,
    proofs: Vec<Proof>,
    /// How many are not shown.
    more: usize,
}

/// What was reckoned, as the page shows it.
struct Shown {
    from: String,
    to: String,
    is_so_far: bool,
    whole: String,
    total: Option<String>,
    lines: Vec<Line>,
    comparisons: Vec<Comparison>,
}

/// Why nothing was reckoned, as the page shows it.
struct Missing {
    text: &'static str,
    detail: String,
    times: Vec<String>,
    /// The parts of the time in which the register has only counted up.
    runs: Vec<Proof>,
    /// What was counted in them together.
    proven: Option<String>,
    comparisons: Vec<Comparison>,
}

/// A stage of the prices that were entered.
struct Stage {
    name: String,
    element: String,
    price: String,
    windows: String,
}

#[derive(Template)]
#[template(path = "web/costs.html")]
struct CostsPage {
    frame: Frame,
    form_token: String,
    choices: Vec<Choice>,
    tabs: Vec<(&'static str, String)>,
    element: String,
    unit: &'static str,
    wanted: Wanted,
    currency: String,
    shown: Option<Shown>,
    missing: Option<Missing>,
    stages: Vec<Stage>,
    fault: Option<String>,
    entered: Entered,
    bad: Bad,
    /// When the card signed the logs last, and the how-manieth time that was.
    signed: Option<(u64, String)>,
    /// Which milestone the card was told last, and its digest.
    milestone: Option<(u64, String)>,
}

/// The reason why the page cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("the readings cannot be read")]
struct CostsError(#[from] store::DatabaseError);

async fn page(
    State(portal): State<Portal>,
    consumer: AsConsumer,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Barrier> {
    let language = consumer.member.language;
    let page = working(language, move || {
        make(&portal, &consumer, (wanted, Entered::default()), clock::now())
    });
    rendered(language, &page.await?)
}

fn make(
    portal: &Portal,
    consumer: &AsConsumer,
    (wanted, entered): (Wanted, Entered),
    now: Timestamp,
) -> Result<CostsPage, CostsError> {
    let (language, zone) = (consumer.member.language, &portal.zone);
    let account = &consumer.member.session.identity.name;
    let prices = portal.gate.prices(account);
    let fault = prices.as_ref().err().map(|fault| Chain(fault).to_string());
    let document = prices.ok().flatten();
    let tariff = document.clone();
    let tariff = tariff.and_then(|document| prices::tariff(document, zone).ok());
    let seen = see(portal, &consumer.own, now)?;
    let registers: Vec<_> = seen.iter().filter(|one| one.is_register()).collect();
    let chosen = choose(&registers, wanted.element.as_ref());
    let (days, bad) = (days(&wanted, zone.day(now)), Bad::of(&wanted));
    let mut page = CostsPage {
        frame: consumer.member.frame(portal),
        form_token: consumer.member.session.form_token.reveal().to_string(),
        choices: choices(language, &registers, chosen),
        tabs: chosen.map_or_else(Vec::new, |one| tabs(language, &one.last.element, zone.day(now))),
        element: chosen.map_or_else(String::new, |one| pattern(&one.last.element).to_string()),
        unit: chosen.map_or("", |one| unit_of_price(one.last.quantity.unit)),
        currency: entered
            .currency()
            .or_else(|| document.as_ref().map(|document| document.currency.clone()))
            .unwrap_or_else(|| CURRENCY.to_owned()),
        stages: document
            .as_ref()
            .zip(chosen)
            .map_or_else(Vec::new, |(document, one)| {
                stages(language, document, &one.last.element)
            }),
        wanted: Wanted {
            from: days.0.to_string(),
            to: days.1.to_string(),
            ..wanted
        },
        shown: None,
        missing: None,
        fault,
        entered,
        bad,
        signed: signed(portal, language),
        milestone: milestone(portal),
    };
    let Some((one, period)) = chosen.zip(period(zone, days)) else {
        return Ok(page);
    };
    let database = portal.source.store.database();
    let register = (&one.last.element, one.registered.as_ref());
    match reckon(database, register, period, tariff.as_ref(), now)? {
        Ok(reckoned) => page.shown = Some(show((language, zone), &reckoned, tariff.as_ref(), &page.wanted)),
        Err(why) => page.missing = Some(missing((language, zone), &why, &page.wanted)),
    }
    Ok(page)
}

fn pattern(element: &Element) -> ElementPattern {
    ElementPattern::from(element.clone())
}

fn choose<'a>(registers: &[&'a Measured], wanted: Option<&ElementPattern>) -> Option<&'a Measured> {
    let mut registers = registers.iter().copied();
    match wanted {
        Some(wanted) => registers.find(|one| pattern(&one.last.element) == *wanted),
        None => {
            let first = registers.clone().next();
            registers.find(|one| one.is_main_register()).or(first)
        }
    }
}

fn choices(language: Language, registers: &[&Measured], chosen: Option<&Measured>) -> Vec<Choice> {
    let choice = |one: &&Measured| {
        let element = &one.last.element;
        let (medium, measure) = (
            language.words().medium(one.medium),
            language.measure(element.obis),
        );
        Choice {
            value: pattern(element).to_string(),
            text: format!("{medium}, {}: {measure}", one.name),
            is_chosen: chosen.is_some_and(|chosen| chosen.last.element == *element),
        }
    };
    registers.iter().map(choice).collect()
}

/// What of the form cannot be read. The page shows what can be had without it.
struct Bad {
    from: bool,
    to: bool,
    /// The first day lies behind the last one.
    order: bool,
    billed: bool,
    amount: bool,
}

impl Bad {
    fn of(wanted: &Wanted) -> Self {
        let day = |text: &str| text.parse::<Date>().ok();
        let (from, to) = (day(&wanted.from), day(&wanted.to));
        let is_bad_number = |text: &str| !text.trim().is_empty() && number(text).is_none();
        Self {
            from: from.is_none() && !wanted.from.is_empty(),
            to: to.is_none() && !wanted.to.is_empty(),
            order: from.zip(to).is_some_and(|(from, to)| from > to),
            billed: is_bad_number(&wanted.billed),
            amount: is_bad_number(&wanted.amount),
        }
    }
}

/// Returns the first and the last day: as they are wanted, else this month's.
fn days(wanted: &Wanted, today: Date) -> (Date, Date) {
    let from = wanted.from.parse().unwrap_or_else(|_| today.first_of_month());
    let to = wanted.to.parse().unwrap_or_else(|_| today.last_of_month());
    (from, to)
}

/// Returns from when until when, the last day included; `None` if there is no such time.
fn period(zone: &Zone, (from, to): (Date, Date)) -> Option<(Timestamp, Timestamp)> {
    let period = (zone.midnight(from)?, zone.midnight(to.tomorrow().ok()?)?);
    (period.0 < period.1).then_some(period)
}

/// Returns the address of what a register has cost from one day to another.
pub(super) fn costs_address(element: &Element, from: Date, to: Date) -> String {
    let element = percent_encoded(&pattern(element).to_string());
    format!("/costs?element={element}&from={from}&to={to}")
}

/// Returns addresses of this and the last day, week, month and year.
fn tabs(language: Language, element: &Element, today: Date) -> Vec<(&'static str, String)> {
    let words = language.words();
    let tab = |span: Span| {
        let first = span.first_day(today)?;
        let last = span.neighbour(first, true)?.yesterday().ok()?;
        let text = match span {
            Span::Day => words.day,
            Span::Week => words.week,
            Span::Month => words.month,
            Span::Year => words.year,
        };
        Some((text, costs_address(element, first, last)))
    };
    Span::ALL.into_iter().filter_map(tab).collect()
}

fn stages(language: Language, document: &TariffDocument, element: &Element) -> Vec<Stage> {
    let stages = stages_of(document, element).into_iter();
    stages
        .filter_map(|stage| {
            let windows: Vec<_> = stage
                .windows
                .iter()
                .map(|window| {
                    format!(
                        "{} {} – {}",
                        days_in_words(language, &window.days),
                        window.from,
                        window.to
                    )
                })
                .collect();
            Some(Stage {
                name: stage.name.clone(),
                element: stage.elements.first()?.to_string(),
                price: format!(
                    "{} {}/{}",
                    language.number(stage.price),
                    document.currency,
                    stage.unit
                ),
                windows: windows.join(", "),
            })
        })
        .collect()
}

const WEEKDAYS: [Day; 5] = [
    Day::Monday,
    Day::Tuesday,
    Day::Wednesday,
    Day::Thursday,
    Day::Friday,
];
const WEEKEND: [Day; 2] = [Day::Saturday, Day::Sunday];

fn days_in_words(language: Language, days: &[Day]) -> &'static str {
    let words = language.words();
    match days.len() {
        5 => words.weekdays,
        2 => words.weekend,
        _ => words.every_day,
    }
}

fn signed(portal: &Portal, language: Language) -> Option<(u64, String)> {
    let (number, time) = portal.source.journal.logs().last_signed()?;
    Some((number, language.time(&portal.zone, time)))
}

fn milestone(portal: &Portal) -> Option<(u64, String)> {
    let milestone = portal.source.store.milestone().ok().flatten()?;
    Some((milestone.counter, milestone.digest().to_string()))
}

fn show(
    (language, zone): (Language, &Zone),
    reckoned: &Reckoning,
    tariff: Option<&Tariff>,
    wanted: &Wanted,
) -> Shown {
    let currency = tariff.map_or("", |tariff| tariff.currency.as_str());
    let money = |amount: Decimal| format!("{} {currency}", language.number(amount));
    let lines = reckoned.lines.iter().map(|line| Line {
        stage: line.stage.clone().unwrap_or_default(),
        consumption: match &line.price {
            Some((consumption, unit, ..)) => format!("{} {unit}", language.number(*consumption)),
            None => language.quantity(line.counted),
        },
        price: line
            .price
            .as_ref()
            .map(|(_, unit, price, amount)| (format!("{}/{unit}", money(*price)), money(*amount))),
        proofs: line
            .parts
            .iter()
            .take(MOST_PROOFS)
            .map(|part| proof((language, zone), part))
            .collect(),
        more: line.parts.len().saturating_sub(MOST_PROOFS),
    });
    Shown {
        from: stamp((language, zone), reckoned.from),
        to: stamp((language, zone), reckoned.to),
        is_so_far: reckoned.is_so_far,
        whole: language.quantity(reckoned.whole),
        total: reckoned.total.map(money),
        lines: lines.collect(),
        comparisons: compare(language, (reckoned.whole, reckoned.total), currency, wanted),
    }
}

fn stamp((language, zone): (Language, &Zone), time: Timestamp) -> String {
    format!("{} ({})", language.time(zone, time), zone.offset(time))
}

fn proof(place: (Language, &Zone), part: &billing::Part<model::Reading>) -> Proof {
    let (language, _) = place;
    let unit = part.end.quantity.unit;
    let both = part.start.status.with(part.end.status);
    Proof {
        from: stamp(place, part.start.time),
        start: language.quantity(part.start.quantity),
        to: stamp(place, part.end.time),
        end: language.quantity(part.end.quantity),
        consumption: language.quantity(Quantity {
            value: part.consumption,
            unit,
        }),
        remark: remarks(language, both),
    }
}

/// Holds what a bill says against what was reckoned.
fn compare(
    language: Language,
    (whole, total): (Quantity, Option<Decimal>),
    currency: &str,
    wanted: &Wanted,
) -> Vec<Comparison> {
    let words = language.words();
    let (whole, unit) = for_people(whole);
    let figures = [
        (words.consumption, Some(whole), unit, &wanted.billed),
        (words.amount, total, currency, &wanted.amount),
    ];
    let compared = figures.into_iter().filter_map(|(what, own, unit, billed)| {
        let (own, billed) = (own?, number(billed)?);
        let difference = billed.checked_sub(own)?;
        let text = |value| format!("{} {unit}", language.number(value));
        Some(Comparison {
            what,
            own: text(own),
            billed: text(billed),
            agrees: difference.mantissa() == 0,
            difference: text(difference),
        })
    });
    compared.collect()
}

/// Reads a number with a decimal comma or point.
fn number(text: &str) -> Option<Decimal> {
    let text = text.trim().replace(',', ".");
    text.parse().ok()
}

fn missing(place: (Language, &Zone), why: &NoFigure, wanted: &Wanted) -> Missing {
    let (language, _) = place;
    let words = language.words();
    let text = match &why.error {
        CountError::Nothing => words.count_nothing,
        CountError::Missing { .. } => words.count_missing,
        CountError::WentBack { .. } => words.count_went_back,
        CountError::Units { .. } => words.count_units,
        CountError::OtherUnit { .. } => words.count_other_unit,
        CountError::NoStage { .. } => words.count_no_stage,
        CountError::TwoStages { .. } => words.count_two_stages,
        CountError::TooLong => words.count_too_long,
        CountError::Overflow => words.count_overflow,
    };
    let times = why.missing.iter();
    let proven = why.proven();
    Missing {
        runs: why.runs.iter().map(|run| proof(place, run)).collect(),
        proven: proven.map(|proven| language.quantity(proven)),
        comparisons: proven.map_or_else(Vec::new, |proven| compare(language, (proven, None), "", wanted)),
        text,
        detail: why.error.to_string(),
        times: times
            .map(|(time, note)| format!("{}: {}", stamp(place, *time), note.text(language)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn reckoned(watt_hours: i128, cents: Option<i128>) -> (Quantity, Option<Decimal>) {
        let whole = Quantity {
            value: Decimal::whole(watt_hours),
            unit: model::Unit::WattHour,
        };
        (whole, cents.map(|cents| Decimal::new(cents, -2).unwrap()))
    }

    fn bill(billed: &str, amount: &str) -> Wanted {
        Wanted {
            billed: billed.to_owned(),
            amount: amount.to_owned(),
            ..Wanted::default()
        }
    }

    #[test]
    fn bill_agrees_or_differs_by_so_much_exactly() {
        let told = |billed: &str, amount: &str| {
            let own = reckoned(10_000, Some(265));
            let compared = compare(Language::English, own, "EUR", &bill(billed, amount));
            compared
                .into_iter()
                .map(|one| (one.agrees, one.difference))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            told("10", "2,65"),
            [(true, "0.000 kWh".into()), (true, "0.00 EUR".into())]
        );
        assert_eq!(
            told("10.5", "2.7"),
            [(false, "0.500 kWh".into()), (false, "0.05 EUR".into())]
        );
        assert_eq!(told("9", ""), [(false, "-1.000 kWh".into())]);
        assert!(told("", "ten").is_empty());
        let unpriced = reckoned(1, None);
        assert!(compare(Language::German, unpriced, "", &bill("", "1")).is_empty());
    }

    #[test]
    fn last_day_is_included_and_a_day_can_have_23_hours() {
        let zone = Zone::central_europe();
        let hours = |from: Date, to: Date| {
            let (from, to) = period(&zone, (from, to))?;
            Some(to.seconds_since(from) / 3_600)
        };
        assert_eq!(hours(date(2026, 3, 29), date(2026, 3, 29)), Some(23));
        assert_eq!(hours(date(2026, 10, 1), date(2026, 10, 31)), Some(31 * 24 + 1));
        assert_eq!(hours(date(2026, 3, 29), date(2026, 3, 28)), None);
        let wanted = Wanted {
            from: "yesterday".to_owned(),
            ..Wanted::default()
        };
        let month = (date(2026, 2, 1), date(2026, 2, 28));
        assert_eq!(days(&wanted, date(2026, 2, 11)), month);
    }
}
