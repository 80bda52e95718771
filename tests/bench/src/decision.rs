//! The bench of authorisation: how long a decision over a thousand grants takes, whatever comes of it.
//!
//! One supplier has all of the grants, which is the most that a gateway ever looks at for one query; beside it stands the
//! same number among as many suppliers as a card keeps. Each decision is timed by itself.

use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use authorization::{Asker, Occasion, Rules, decide};
use clap::Args;
use model::{
    Aggregation, Effect, ElementPattern, Fingerprint, Grant, Limit, Period, Query, Restriction, Span,
    Timestamp,
};

use crate::error::BenchError;
use crate::figures::{line, median};

/// How many grants are looked at: nearly as many as a bundle has at most.
const GRANTS: usize = 1_000;
/// How many suppliers a card keeps.
const SUPPLIERS: u8 = 32;
/// How long a decision may take.
const LIMIT: Duration = Duration::from_micros(20);
/// How many decisions are timed.
const RUNS: usize = 20_001;
const SHORT_RUNS: usize = 11;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Fewer decisions: to see that it works.
    #[arg(long)]
    short: bool,
    /// Succeed even if a figure is above its limit.
    #[arg(long)]
    no_limits: bool,
}

/// What is decided.
struct Case {
    what: &'static str,
    grants: Vec<Grant>,
    policy: Vec<Limit>,
    restrictions: Vec<Restriction>,
    query: Query,
    is_granted: bool,
}

/// Measures and prints the table.
pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    let runs = if options.short { SHORT_RUNS } else { RUNS };
    let cases = cases().map_err(BenchError::Words)?;
    let mut text = line("", "limit", "found");
    let mut kept = true;
    for case in &cases {
        let found = median(time(case, runs)?);
        kept &= found <= LIMIT;
        text += &line(case.what, &format!("{LIMIT:?}"), &format!("{found:.1?}"));
    }
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(BenchError::Output)?;
    if kept || options.short || options.no_limits {
        return Ok(());
    }
    Err(BenchError::AboveLimit("decisions".to_owned()))
}

fn time(case: &Case, runs: usize) -> Result<Vec<Duration>, BenchError> {
    let rules = Rules {
        grants: &case.grants,
        policy: &case.policy,
        restrictions: &case.restrictions,
    };
    let asker = Asker {
        supplier: supplier(0),
        name: "City Works",
    };
    let now = case.query.period.to();
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let begun = Instant::now();
        let decided = black_box(decide(
            black_box(&case.query),
            asker,
            &rules,
            &Occasion::FIRST,
            now,
        ));
        times.push(begun.elapsed());
        if decided.is_ok() != case.is_granted {
            return Err(BenchError::Decision { what: case.what });
        }
    }
    Ok(times)
}

const fn supplier(number: u8) -> Fingerprint {
    Fingerprint::new([number; 32])
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// The present time.
fn now() -> Result<Timestamp, Fault> {
    Ok("2026-11-23T12:00:00Z".parse()?)
}

fn seconds(seconds: u32) -> Result<Span, Fault> {
    Ok(Span::from_seconds(seconds).ok_or("no such span")?)
}

/// A day of hours.
fn query(elements: &str) -> Result<Query, Fault> {
    Ok(Query {
        elements: elements.parse()?,
        period: Period::new(now()?.saturating_sub(Span::DAY), now()?)?,
        resolution: seconds(3_600)?,
        aggregation: Aggregation::Value,
    })
}

/// Many grants of one supplier, each for the elements that its number names.
fn grants(elements: impl Fn(usize) -> String) -> Result<Vec<Grant>, Fault> {
    let grant = |number| {
        Ok(Grant {
            id: format!("grant {number}"),
            supplier: supplier(0),
            elements: vec![elements(number).parse()?],
            finest: Span::QUARTER_HOUR,
            aggregations: Aggregation::usual(),
            history: seconds(86_400 * 730)?,
            validity: Period::new(now()?.saturating_sub(Span::DAY), now()?.saturating_add(Span::DAY))?,
            push: None,
            at_most: None,
            delivery: None,
            purpose: "billing".parse()?,
        })
    };
    (0..GRANTS).map(grant).collect()
}

fn limit(number: usize, supplier: Option<Fingerprint>) -> Limit {
    Limit {
        id: format!("policy {number}"),
        supplier,
        elements: vec![ElementPattern::ANY],
        finest: Span::QUARTER_HOUR,
        aggregations: Aggregation::usual(),
        history: Span::DAY,
        validity: None,
        at_most: None,
    }
}

fn restriction(effect: Effect) -> Result<Restriction, Fault> {
    Ok(Restriction {
        id: 1,
        supplier: None,
        elements: ElementPattern::ANY,
        effect,
        from: now()?,
    })
}

fn cases() -> Result<Vec<Case>, Fault> {
    let meters = grants(|number| format!("ELS-{number:08}-3C-03/7-0:3.0.0*255"))?;
    let all = grants(|_| "*/7-0:x.0.0*255".to_owned())?;
    let mut shared = all.clone();
    for (grant, number) in shared.iter_mut().zip((0..SUPPLIERS).cycle()) {
        grant.supplier = supplier(number);
    }
    let case = |what, grants: &[Grant], query, is_granted| Case {
        what,
        grants: grants.to_vec(),
        policy: Vec::new(),
        restrictions: Vec::new(),
        query,
        is_granted,
    };
    let one = query("ELS-00000999-3C-03/7-0:3.0.0*255")?;
    let every = query("*/7-0:3.0.0*255")?;
    let fine = Query {
        resolution: seconds(60)?,
        ..every.clone()
    };
    Ok(vec![
        case(
            "1,000 grants for a meter each; one meter is asked for",
            &meters,
            one,
            true,
        ),
        case(
            "1,000 grants for all meters; each permits",
            &all,
            every.clone(),
            true,
        ),
        case(
            "1,000 grants among 32 suppliers; all meters",
            &shared,
            every.clone(),
            true,
        ),
        Case {
            policy: vec![limit(1, None), limit(2, Some(supplier(0)))],
            restrictions: vec![restriction(Effect::Coarser(seconds(3_600)?))?],
            ..case(
                "1,000 grants, two limits and a restriction; each permits",
                &all,
                every.clone(),
                true,
            )
        },
        case(
            "1,000 grants for all meters; each is too coarse",
            &all,
            fine,
            false,
        ),
        Case {
            restrictions: vec![restriction(Effect::Object)?],
            ..case(
                "1,000 grants for all meters; the consumer objects",
                &all,
                every,
                false,
            )
        },
    ])
}
