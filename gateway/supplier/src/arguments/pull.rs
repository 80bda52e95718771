//! The command line of `supplier pull`.

use std::path::PathBuf;

use clap::Args;
use model::{Aggregation, CardId, ElementPattern, ParseTimeError, Period, Query, Span, Timestamp};
use supplier::{DEFAULT_JOBS, GatewayAddress, MAX_JOBS, Order};

use super::StoreChoice;

/// How many further attempts there may be: the last one begins some minutes after the first.
const MAX_RETRIES: u32 = 10;
/// How many further attempts there are unless told otherwise, if many gateways are asked.
const FLEET_RETRIES: u32 = 2;

/// `supplier pull`
#[derive(Debug, Args)]
pub(crate) struct Pull {
    #[command(flatten)]
    pub(crate) store: StoreChoice,
    #[command(flatten)]
    pub(crate) whom: Whom,
    /// Where the gateway listens, or mqtts://HOST:PORT of the broker; for several gateways, where those are that have no
    /// address of their own. Without it a gateway is reached at its GUID, port 8443
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) gateway: Option<GatewayAddress>,
    /// Elements, such as */1-0:1.8.0*255; may be repeated
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    pub(crate) elements: Vec<ElementPattern>,
    /// The distance between two values, such as PT15M
    #[arg(long, value_name = "SPAN")]
    pub(crate) resolution: Span,
    /// How each value is made of what is registered: value, difference, minimum, maximum or mean; or latest, the last one
    /// that the gateway has in memory, registered or not
    #[arg(long, value_name = "AGGREGATION", default_value_t)]
    pub(crate) aggregation: Aggregation,
    /// The time up to now, such as P1D
    #[arg(long, value_name = "SPAN", required_unless_present = "from", conflicts_with_all = ["from", "to"])]
    pub(crate) last: Option<Span>,
    /// The beginning of the time, such as 2026-11-23T12:00:00Z
    #[arg(long, value_name = "TIME", requires = "to")]
    pub(crate) from: Option<Timestamp>,
    /// The end of the time; it does not belong to it
    #[arg(long, value_name = "TIME", requires = "from")]
    pub(crate) to: Option<Timestamp>,
    /// Go on where the store ends, element by element, and with what a pull that was cut off had still to ask; the
    /// beginning of the time counts only for what the store has nothing of
    #[arg(long, conflicts_with_all = ["no_store", "follow"])]
    pub(crate) since_last: bool,
    /// Ask again for points without a value, a few times at most
    #[arg(long, conflicts_with_all = ["no_store", "follow"])]
    pub(crate) fill_gaps: bool,
    /// Keep nothing in the store, only print; the gateway has its receipt all the same
    #[arg(long, conflicts_with_all = ["store", "list", "all"])]
    pub(crate) no_store: bool,
    /// How many gateways are asked at a time
    #[arg(long, value_name = "N", default_value_t = DEFAULT_JOBS, value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_JOBS)))]
    pub(crate) jobs: u16,
    /// How many further attempts there are if a gateway is not reached; none if one is asked, 2 if many are
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_RETRIES)))]
    pub(crate) retries: Option<u32>,
    /// Keep every message as it went over the WAN in this folder; for one gateway
    #[arg(long, value_name = "DIR", conflicts_with_all = ["list", "all"])]
    pub(crate) keep: Option<PathBuf>,
    /// Print JSON: if one gateway is asked, a line with the values of each answer; if many are, a line for each gateway
    #[arg(long)]
    pub(crate) json: bool,
    /// Pull only with lists of revoked certificates of which no newer one is due; without this, an old list is only told of
    #[arg(long)]
    pub(crate) require_lists: bool,
    /// Go on once per resolution step, until SIGINT or SIGTERM; for one gateway
    #[arg(long, conflicts_with_all = ["from", "to", "list", "all"])]
    pub(crate) follow: bool,
}

/// Which gateways are asked.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Whom {
    /// The GUID of a gateway's card; may be repeated
    #[arg(long, value_name = "GUID")]
    pub(crate) guid: Vec<CardId>,
    /// The gateways of a file, with a line GUID [HOST:PORT] for each
    #[arg(long, value_name = "FILE")]
    pub(crate) list: Option<PathBuf>,
    /// Every gateway whose certificates are in the supplier's folder
    #[arg(long)]
    pub(crate) all: bool,
}

impl Whom {
    /// Returns the gateway, if one is asked and named on the command line.
    pub(crate) fn single(&self) -> Option<CardId> {
        match self.guid.as_slice() {
            [guid] if self.list.is_none() && !self.all => Some(*guid),
            _ => None,
        }
    }
}

impl Pull {
    /// Returns the period that is asked for first.
    pub(crate) fn period(&self, now: Timestamp) -> Result<Period, ParseTimeError> {
        match (self.last, self.from, self.to) {
            (Some(last), _, _) => {
                let begin = self.resolution.grid_at_or_before(now.saturating_sub(last));
                until_now(begin, now)
            }
            (None, Some(from), Some(to)) => Period::new(from, to),
            // The parser has seen to it that this does not occur; nothing is asked for then.
            (None, from, to) => Period::new(from.unwrap_or(now), to.unwrap_or(now)),
        }
    }

    /// Returns the queries for a period.
    pub(crate) fn queries(&self, period: Period) -> Vec<Query> {
        let query = |elements: &ElementPattern| Query {
            elements: elements.clone(),
            period,
            resolution: self.resolution,
            aggregation: self.aggregation,
        };
        self.elements.iter().map(query).collect()
    }

    /// Returns what to pull into the store.
    pub(crate) fn order(&self, period: Period) -> Order {
        let retries = match self.whom.single() {
            Some(_) => 0,
            None => FLEET_RETRIES,
        };
        Order {
            elements: self.elements.clone(),
            resolution: self.resolution,
            aggregation: self.aggregation,
            period,
            since_last: self.since_last,
            fill_gaps: self.fill_gaps,
            retries: self.retries.unwrap_or(retries),
        }
    }
}

/// Returns the period up to now, whose own value still belongs to it.
pub(crate) fn until_now(from: Timestamp, now: Timestamp) -> Result<Period, ParseTimeError> {
    let end = Span::from_seconds(1).map_or(now, |second| now.saturating_add(second));
    Period::new(from, end)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    const PULL: &str = "supplier pull --home d --guid fd5a::1 --gateway [::1]:1 --resolution PT15M";

    fn parse(rest: &str) -> Result<Pull, clap::Error> {
        let line = format!("{PULL} {rest}");
        match Arguments::try_parse_from(line.split_whitespace())?.command {
            Command::Pull(pull) => Ok(pull),
            _ => unreachable!(),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn last_span_begins_on_the_grid_and_ends_with_now() {
        let pull = parse("--last PT1H --elements */1-0:1.8.0*255 --elements M1/* --follow --json").unwrap();
        let period = pull.period(at("2026-11-23T12:05:00Z")).unwrap();
        assert_eq!(period.from(), at("2026-11-23T11:00:00Z"));
        assert!(period.contains(at("2026-11-23T12:05:00Z")));
        let queries = pull.queries(period);
        assert_eq!(queries.len(), 2);
        assert_eq!(queries[1].elements.to_string(), "M1/*");
    }

    #[test]
    fn given_times_are_asked_for_as_they_are() {
        let pull = parse("--from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z --keep k").unwrap();
        let period = pull.period(at("2026-11-23T12:05:00Z")).unwrap();
        assert_eq!(period.to(), at("2026-02-01T00:00:00Z"));
        assert_eq!(pull.queries(period)[0].elements, ElementPattern::ANY);
        let backwards = parse("--from 2026-02-01T00:00:00Z --to 2026-01-01T00:00:00Z").unwrap();
        assert!(matches!(
            backwards.period(at("2026-11-23T12:05:00Z")),
            Err(ParseTimeError::EmptyPeriod { .. })
        ));
    }

    #[test]
    fn times_that_contradict_each_other_are_refused() {
        for rest in [
            "",
            "--last P1D --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z",
            "--from 2026-01-01T00:00:00Z",
            "--to 2026-01-01T00:00:00Z",
            "--from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z --follow",
        ] {
            assert!(parse(rest).is_err(), "{rest}");
        }
    }

    #[test]
    fn many_gateways_are_asked_with_further_attempts() {
        let line = |whom: &str| {
            let line = format!("supplier pull --home d --resolution PT15M --last P1D {whom}");
            match Arguments::try_parse_from(line.split_whitespace())?.command {
                Command::Pull(pull) => Ok(pull),
                _ => unreachable!(),
            }
        };
        let period = Period::new(at("2026-11-23T12:00:00Z"), at("2026-11-23T13:00:00Z")).unwrap();
        for (whom, retries) in [
            ("--guid fd5a::1", 0),
            ("--guid fd5a::1 --retries 3", 3),
            ("--guid fd5a::1 --guid fd5a::2", 2),
            ("--guid fd5a::1 --all", 2),
            ("--list l --since-last --fill-gaps --jobs 512 --store s.db", 2),
        ] {
            let pull: Result<Pull, clap::Error> = line(whom);
            assert_eq!(pull.unwrap().order(period).retries, retries, "{whom}");
        }
        for whom in [
            "",
            "--all --jobs 0",
            "--all --jobs 513",
            "--all --retries 11",
            "--all --keep d",
            "--all --follow",
            "--all --no-store",
            "--guid fd5a::1 --no-store --since-last",
            "--guid fd5a::1 --store mysql://x",
        ] {
            assert!(line(whom).is_err(), "{whom}");
        }
    }
}
