//! The clock: whether it was ever set, whether something keeps it right, and how far it is off.

use std::io;
use std::net::ToSocketAddrs;
use std::path::Path;
use std::time::{Duration, Instant};

use model::{Span, Status, Timestamp};

use super::check::{Area, Check};
use super::servers::{TimeServer, time_servers};
use super::sntp::{self, Measurement};
use crate::clock::{now, permitted_deviation, status_at};
use crate::codes::examination as codes;
use crate::report::Chain;

/// What systemd-timesyncd leaves when it has set the clock by a server.
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";
/// What chrony leaves while it runs; its folder may be closed to others.
const CHRONY: &str = "/run/chrony/chronyd.pid";
/// The most addresses of a time server that are asked.
const MOST_ADDRESSES: usize = 2;
/// For how long another server is asked: what goes on beyond that is no measurement any more.
const ENOUGH: Duration = Duration::from_secs(8);

/// Looks at the clock, and at who keeps it right.
pub(crate) fn clock() -> Vec<Check> {
    vec![set(now()), source([SYNCHRONIZED, CHRONY].map(Path::new))]
}

/// Looks whether the clock was ever set: nothing is served by one that was not.
pub(crate) fn is_set() -> Check {
    set(now())
}

fn set(now: Timestamp) -> Check {
    let what = "clock";
    let check = if status_at(now) == Status::GOOD {
        Check::good(Area::Clock, what, now.to_string())
    } else {
        Check::error(Area::Clock, what, codes::CLOCK_UNSET, now.to_string())
    };
    check.at(now)
}

/// Looks for the trace of a time service.
fn source(traces: [&Path; 2]) -> Check {
    let what = "time source";
    match traces.into_iter().find(|trace| is_there(trace)) {
        Some(trace) => {
            let shown = trace.display().to_string();
            Check::good(Area::Clock, what, format!("kept by a time service ({shown})")).measuring(shown)
        }
        None => Check::notice(Area::Clock, what, codes::CLOCK_FREE, "no time service was found"),
    }
}

/// Returns whether there is a file; one in a folder that is closed to us is.
fn is_there(file: &Path) -> bool {
    match file.symlink_metadata() {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    }
}

/// Measures how far the clock is off, by the first time server that tells the time. It blocks for some seconds for each.
pub(crate) fn offset(config: &Path, period: Span) -> Check {
    offset_by(&time_servers(config), period)
}

fn offset_by(servers: &[TimeServer], period: Span) -> Check {
    let (area, what) = (Area::Wan, "time");
    let set = is_set();
    if set.is_finding() {
        return Check {
            area,
            what: what.to_owned(),
            ..set
        };
    }
    if servers.is_empty() {
        return Check::notice(area, what, codes::NO_TIME_SERVER, format!("it is {}", set.found));
    }
    let mut refusals = Vec::new();
    let begun = Instant::now();
    for server in servers {
        if begun.elapsed() >= ENOUGH {
            break;
        }
        match ask(server) {
            Ok(measurement) => return judge(measurement, server, period),
            Err(why) => refusals.push(format!("{}: {why}", server.host)),
        }
    }
    Check::warning(area, what, codes::TIME_SILENT, refusals.join("; "))
}

/// Asks the first addresses of a server; says why none of them tells the time.
fn ask(server: &TimeServer) -> Result<Measurement, String> {
    let addresses = (server.host.as_str(), server.port).to_socket_addrs();
    let addresses = addresses.map_err(|error| error.to_string())?;
    let mut why = "the name has no address".to_owned();
    for address in addresses.take(MOST_ADDRESSES) {
        match sntp::ask(address) {
            Ok(measurement) => return Ok(measurement),
            Err(error) => why = format!("{address}: {}", Chain(&error)),
        }
    }
    Err(why)
}

/// Judges what was measured: a clock is wrong only if it is so however late question or answer came.
fn judge(measurement: Measurement, server: &TimeServer, period: Span) -> Check {
    let (area, what) = (Area::Wan, "time");
    let Measurement {
        ahead_ms,
        unsure_ms,
        stratum,
    } = measurement;
    let permitted_ms = permitted_deviation(period).saturating_mul(1_000);
    let host = &server.host;
    let measured = format!("{ahead_ms:+} ms ± {unsure_ms} ms, {host}");
    let way = if ahead_ms < 0 { "behind" } else { "ahead of" };
    let off = ahead_ms.saturating_abs();
    let found = format!(
        "the clock is {off} ms {way} {host} (stratum {stratum}), give or take {unsure_ms} ms; {permitted_ms} ms are permitted"
    );
    let check = if off.saturating_sub(unsure_ms) > permitted_ms {
        Check::error(area, what, codes::CLOCK_WRONG, found)
    } else {
        Check::good(area, what, found)
    };
    check.measuring(measured)
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;

    #[test]
    fn clock_that_was_never_set_is_an_error() {
        let never = set(Timestamp::EPOCH);
        assert_eq!(never.code.as_deref(), Some("SMGW-D-0501"));
        assert_eq!(
            set("2026-11-30T12:00:00Z".parse().unwrap()).outcome,
            Outcome::Good
        );
    }

    #[test]
    fn time_service_is_known_by_its_trace() {
        let root = tempfile::tempdir().unwrap();
        let (one, other) = (root.path().join("one"), root.path().join("other"));
        let free = source([&one, &other]);
        assert_eq!(free.code.as_deref(), Some("SMGW-D-0502"));
        std::fs::write(&other, "").unwrap();
        assert_eq!(source([&one, &other]).outcome, Outcome::Good);
    }

    #[test]
    fn clock_is_wrong_when_it_is_so_whatever_the_way_took() {
        let server = TimeServer {
            host: "time.example".to_owned(),
            port: 123,
        };
        // 3 % of a quarter of an hour are 27 s.
        for (ahead_ms, unsure_ms, code) in [
            (0, 5, None),
            (27_000, 0, None),
            (27_500, 501, None),
            (27_500, 499, Some("SMGW-D-0503")),
            (-27_001, 0, Some("SMGW-D-0503")),
            (i64::MIN, 1, Some("SMGW-D-0503")),
        ] {
            let measurement = Measurement {
                ahead_ms,
                unsure_ms,
                stratum: 2,
            };
            let check = judge(measurement, &server, Span::QUARTER_HOUR);
            assert_eq!(check.code.as_deref(), code, "{check}");
            assert!(check.measured.unwrap().contains("time.example"));
        }
    }

    #[test]
    fn without_a_server_nothing_is_measured_and_one_that_is_silent_is_named() {
        let none = offset_by(&[], Span::QUARTER_HOUR);
        assert_eq!(
            (none.outcome, none.code.as_deref()),
            (Outcome::Notice, Some("SMGW-D-0504"))
        );
        // RFC 6761, section 6.4: nobody ever has a name under it.
        let server = TimeServer {
            host: "time.invalid".to_owned(),
            port: 123,
        };
        let silent = offset_by(&[server], Span::QUARTER_HOUR);
        assert_eq!(silent.code.as_deref(), Some("SMGW-D-0505"));
        assert!(silent.found.starts_with("time.invalid"), "{silent}");
    }
}
