//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use messages::certificate::PartyName;
use messages::content::ApplicationName;
use model::{Aggregation, CardId, ElementPattern, ParseTimeError, Period, Query, Span, Timestamp};
use supplier::GatewayAddress;

/// Energy supplier: pulls the elements that it was granted, verified and decrypted.
#[derive(Debug, Parser)]
#[command(name = "supplier", version, about)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What a supplier does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes keys, and requests for their certificates
    Init(Init),
    /// Pulls elements from a gateway
    Pull(Pull),
    /// Asks the TSM for grants, and an application, on a gateway
    RequestInstall(RequestInstall),
    /// Shows what became of the requests, and takes over the certificates of gateways that serve
    Requests(Requests),
    /// Fetches the lists of revoked certificates, by which gateways are checked from then on
    Crl(Crl),
}

/// `supplier request-install`
#[derive(Debug, Args)]
pub(crate) struct RequestInstall {
    #[command(flatten)]
    pub(crate) way: WayToTsm,
    /// The GUID of the gateway's card
    #[arg(long, value_name = "GUID")]
    pub(crate) guid: CardId,
    /// What is asked for
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) grants: PathBuf,
    /// An energy application that is to run on the gateway
    #[arg(long, value_name = "FILE.wasm")]
    pub(crate) application: Option<PathBuf>,
    /// The application's name and version, for the consumer; its file's name if it is not said
    #[arg(long, value_name = "NAME", requires = "application")]
    pub(crate) application_name: Option<ApplicationName>,
}

/// `supplier requests`
#[derive(Debug, Args)]
pub(crate) struct Requests {
    #[command(flatten)]
    pub(crate) way: WayToTsm,
}

/// Who asks the TSM, and where it is.
#[derive(Debug, Args)]
pub(crate) struct WayToTsm {
    /// The supplier's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// Where the TSM listens
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) tsm: GatewayAddress,
    /// Print one line of JSON per request
    #[arg(long)]
    pub(crate) json: bool,
}

/// `supplier crl`
#[derive(Debug, Args)]
pub(crate) struct Crl {
    /// The supplier's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    #[command(flatten)]
    pub(crate) from: ListPlace,
    /// Print the result as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where lists are taken from.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ListPlace {
    /// The trust centre's directory
    #[arg(long = "from", value_name = "http://HOST:PORT")]
    pub(crate) directory: Option<String>,
    /// A file with a list, PEM or DER; may be repeated
    #[arg(long = "file", value_name = "FILE.crl")]
    pub(crate) files: Vec<PathBuf>,
}

/// `supplier init`
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The supplier's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// The supplier's name, as certificates carry it
    #[arg(long, value_name = "NAME")]
    pub(crate) name: PartyName,
    /// Print the result as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `supplier pull`
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// The supplier's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// The GUID of the gateway's card
    #[arg(long, value_name = "GUID")]
    pub(crate) guid: CardId,
    /// Where the gateway listens
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) gateway: GatewayAddress,
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
    /// Keep every message as it went over the WAN in this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// Print one line of JSON per pull
    #[arg(long)]
    pub(crate) json: bool,
    /// Pull only with lists of revoked certificates of which no newer one is due; without this, an old list is only told of
    #[arg(long)]
    pub(crate) require_lists: bool,
    /// Go on once per resolution step, until SIGINT or SIGTERM
    #[arg(long, conflicts_with_all = ["from", "to"])]
    pub(crate) follow: bool,
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
}

/// Returns the period up to now, whose own value still belongs to it.
pub(crate) fn until_now(from: Timestamp, now: Timestamp) -> Result<Period, ParseTimeError> {
    let end = Span::from_seconds(1).map_or(now, |second| now.saturating_add(second));
    Period::new(from, end)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

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
    fn command_line_is_consistent() {
        Arguments::command().debug_assert();
        for line in [
            "supplier init --home d --name n",
            "supplier crl --home d --from http://[::1]:8610",
            "supplier crl --home d --file a --file b --json",
        ] {
            assert!(Arguments::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        assert!(Arguments::try_parse_from("supplier crl --home d".split(' ')).is_err());
    }

    #[test]
    fn tsm_is_asked_for_grants_and_applications() {
        let line = "supplier request-install --home d --tsm [::1]:1 --guid fd5a::1 --grants g.toml";
        for rest in [
            "",
            " --application a.wasm",
            " --application a.wasm --application-name T1 --json",
        ] {
            assert!(
                Arguments::try_parse_from(format!("{line}{rest}").split(' ')).is_ok(),
                "{rest}"
            );
        }
        assert!(Arguments::try_parse_from(format!("{line} --application-name T").split(' ')).is_err());
        assert!(
            Arguments::try_parse_from("supplier requests --home d --tsm [::1]:1 --json".split(' ')).is_ok()
        );
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
}
