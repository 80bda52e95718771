//! The lines to the meters, and what the running gateway says of each meter.

use std::fs;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, Instant};

use bus::{BusConfig, MbusEndpoint, ModbusEndpoint, Port};
use model::{Span, Timestamp};
use rustix::fs::{Access, access};

use super::check::{Area, Check};
use crate::codes::examination as codes;
use crate::metering::MeterView;

/// How long a converter may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// After how many registration periods without a value a meter is silent: one round may be late.
const STALE_PERIODS: i64 = 2;

/// Where a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line<'a> {
    Serial(&'a str),
    Network(&'a str),
}

impl<'a> Line<'a> {
    fn of(port: &'a Port) -> Self {
        match port {
            Port::Mbus { endpoint, .. } => match endpoint {
                MbusEndpoint::Tcp { address } => Self::Network(address),
                MbusEndpoint::Serial { device, .. } => Self::Serial(device),
            },
            Port::Modbus { endpoint, .. } => match endpoint {
                ModbusEndpoint::Tcp { address } | ModbusEndpoint::RtuOverTcp { address } => {
                    Self::Network(address)
                }
                ModbusEndpoint::Rtu { device, .. } => Self::Serial(device),
            },
        }
    }
}

/// Looks at the line of a bus. A converter on the network is tried only if nobody else may have it: many serve one client at a
/// time, and the running gateway is the one.
pub(crate) fn line(bus: &BusConfig, is_in_use: bool) -> Check {
    let what = format!("bus {}", bus.name);
    match Line::of(&bus.port) {
        Line::Serial(device) => serial(&what, Path::new(device)),
        Line::Network(address) if is_in_use => {
            let why = format!("{address} is the running gateway's; see its meters");
            Check::not_checked(Area::Meters, &what, why)
        }
        Line::Network(address) => network(&what, address),
    }
}

fn serial(what: &str, device: &Path) -> Check {
    let shown = device.display();
    if let Err(error) = fs::metadata(device) {
        return Check::error(Area::Meters, what, codes::NO_PORT, format!("{shown}: {error}"));
    }
    match access(device, Access::READ_OK | Access::WRITE_OK) {
        Ok(()) => Check::good(Area::Meters, what, format!("{shown} is there")),
        Err(error) => {
            let found = format!("{shown}: {}", io::Error::from(error));
            Check::error(Area::Meters, what, codes::PORT_RIGHTS, found)
        }
    }
}

fn network(what: &str, address: &str) -> Check {
    let begun = Instant::now();
    let connected = address.to_socket_addrs().and_then(|mut found| {
        let first = found
            .next()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        TcpStream::connect_timeout(&first, CONNECT_TIMEOUT)
    });
    match connected {
        Ok(_) => Check::good(Area::Meters, what, address).within(begun.elapsed()),
        Err(error) => Check::error(
            Area::Meters,
            what,
            codes::NO_CONVERTER,
            format!("{address}: {error}"),
        ),
    }
}

/// Judges a meter by what the running gateway knows of it.
pub(crate) fn meter(view: &MeterView, period: Span, now: Timestamp) -> Check {
    let what = format!("meter {}", view.name);
    let measured = match &view.id {
        Some(id) => format!("{}: {id}", view.name),
        None => view.name.clone(),
    };
    let check = judge(view, &what, period, now).measuring(measured);
    match view.last_success {
        Some(last) => check.at(last),
        None => check,
    }
}

fn judge(view: &MeterView, what: &str, period: Span, now: Timestamp) -> Check {
    let error = view.error.as_deref();
    let Some(last) = view.last_success else {
        return match error {
            Some(error) => Check::error(Area::Meters, what, codes::METER_SILENT, error),
            None => Check::not_checked(Area::Meters, what, "it has not been read yet"),
        };
    };
    let age = now.seconds_since(last);
    let id = view.id.as_ref().map_or_else(String::new, |id| format!("{id}, "));
    let found = format!("{id}last values of {last}, {age} s ago");
    let with_error = |found: String| match error {
        Some(error) => format!("{found}: {error}"),
        None => found,
    };
    if age > i64::from(period.seconds()).saturating_mul(STALE_PERIODS) {
        Check::error(Area::Meters, what, codes::METER_STALE, with_error(found))
    } else if error.is_some() {
        Check::warning(Area::Meters, what, codes::METER_FAILS, with_error(found))
    } else {
        Check::good(Area::Meters, what, found)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::check::Outcome;
    use super::*;
    use crate::metering::StatisticsView;

    fn view(last: Option<&str>, error: Option<&str>) -> MeterView {
        MeterView {
            name: "gas".to_owned(),
            bus: "cellar".to_owned(),
            id: None,
            medium: None,
            last_success: last.map(|time| time.parse().unwrap()),
            error: error.map(str::to_owned),
            values: Vec::new(),
            registered: Vec::new(),
            statistics: StatisticsView::default(),
        }
    }

    #[test]
    fn meter_is_judged_by_the_age_of_its_values() {
        let now = "2026-11-30T12:30:00Z".parse().unwrap();
        let judged = |last, error| meter(&view(last, error), Span::QUARTER_HOUR, now);
        assert_eq!(judged(Some("2026-11-30T12:00:00Z"), None).outcome, Outcome::Good);
        for (last, error, code) in [
            (None, Some("no answer"), "SMGW-D-0701"),
            (Some("2026-11-30T11:59:59Z"), None, "SMGW-D-0702"),
            (Some("2026-11-30T12:15:00Z"), Some("no answer"), "SMGW-D-0703"),
        ] {
            let check = judged(last, error);
            assert_eq!(check.code.as_deref(), Some(code), "{check}");
            assert!(error.is_none_or(|error| check.found.contains(error)), "{check}");
        }
        assert_eq!(judged(None, None).outcome, Outcome::NotChecked);
    }

    #[test]
    fn port_that_is_missing_is_named() {
        let missing = serial("bus cellar", Path::new("/dev/ttyNONE"));
        assert_eq!(missing.code.as_deref(), Some("SMGW-D-0704"));
        assert!(missing.found.contains("/dev/ttyNONE"), "{missing}");
        assert_eq!(
            serial("bus cellar", Path::new("/dev/null")).outcome,
            Outcome::Good
        );
    }

    #[test]
    fn converter_is_tried_unless_the_gateway_has_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert_eq!(network("bus cellar", &address).outcome, Outcome::Good);
        drop(listener);
        assert_eq!(
            network("bus cellar", &address).code.as_deref(),
            Some("SMGW-D-0706")
        );
        let bus = BusConfig {
            name: "cellar".to_owned(),
            port: Port::Modbus {
                endpoint: ModbusEndpoint::Tcp { address },
                meters: Vec::new(),
            },
        };
        assert_eq!(line(&bus, true).outcome, Outcome::NotChecked);
        assert_eq!(line(&bus, false).code.as_deref(), Some("SMGW-D-0706"));
    }
}
