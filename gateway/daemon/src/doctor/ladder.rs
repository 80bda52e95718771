//! The rungs of the way to the broker: link, address and route, name, TCP, TLS, login, echo, first contact.
//!
//! Each rung is measured for itself, takes some seconds at most, and changes nothing. None of them proves that a message arrives:
//! that is said by the last two alone. [`super::climb`] puts them in their order.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use broker::BrokerAddress;

use super::check::{Area, Check};
use crate::card::{CardHandle, Identity};
use crate::codes::examination as codes;
use crate::report::Chain;
use crate::wan::{BrokerConfig, BrokerView, EchoSeen, TlsSeen, try_echo, try_tls};

/// Where the kernel shows the interfaces.
const INTERFACES: &str = "/sys/class/net";
/// The interface that leads nowhere.
const LOOPBACK: &str = "lo";
/// The most interfaces that are looked at.
const MOST_INTERFACES: usize = 64;
/// Addresses outside, for documentation (RFC 5737, RFC 3849): only the kernel is asked how it would reach them.
const OUTSIDE: [&str; 2] = ["192.0.2.1:9", "[2001:db8::1]:9"];
/// How long a connection may take to be made, for all addresses of the broker together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(12);
/// The most addresses of one name that are tried.
const MOST_ADDRESSES: usize = 4;

/// Looks whether any interface but the loopback one has a link.
pub(crate) fn link() -> Check {
    link_in(Path::new(INTERFACES))
}

fn link_in(folder: &Path) -> Check {
    let what = "link";
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return Check::not_checked(Area::Wan, what, format!("{}: {error}", folder.display())),
    };
    let mut up = Vec::new();
    let mut down = Vec::new();
    for entry in entries.take(MOST_INTERFACES).flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == LOOPBACK {
            continue;
        }
        if is_up(&entry.path()) { &mut up } else { &mut down }.push(name);
    }
    up.sort();
    down.sort();
    if up.is_empty() {
        let found = match down.as_slice() {
            [] => "there is no interface".to_owned(),
            down => format!("{}: no link", down.join(", ")),
        };
        return Check::error(Area::Wan, what, codes::NO_LINK, found);
    }
    let up = up.join(", ");
    Check::good(Area::Wan, what, format!("{up} up")).measuring(up)
}

/// Returns whether an interface is up, by its operational state (RFC 2863, section 3.1.13), which knows more than the carrier: one
/// that waits for a modem to dial is not up. Drivers that never say their state have a carrier all the same.
fn is_up(interface: &Path) -> bool {
    let read = |file: &str| fs::read_to_string(interface.join(file)).unwrap_or_default();
    match read("operstate").trim() {
        "up" => true,
        // The carrier of an interface that is switched off cannot be read.
        "unknown" | "" => read("carrier").trim() == "1",
        _ => false,
    }
}

/// Asks the kernel with which address it would reach the broker, or the outside. Nothing is sent.
pub(crate) fn route(towards: &[SocketAddr]) -> Check {
    let what = "address";
    let outside = || {
        OUTSIDE
            .iter()
            .filter_map(|outside| outside.parse().ok())
            .collect()
    };
    let towards = if towards.is_empty() {
        outside()
    } else {
        towards.to_vec()
    };
    let mut refusal = None;
    let mut sources = BTreeSet::new();
    for target in towards {
        match source_towards(target) {
            Ok(source) => drop(sources.insert(source)),
            Err(error) => refusal = Some(error),
        }
    }
    let shown: Vec<_> = sources.iter().map(ToString::to_string).collect();
    if shown.is_empty() {
        let why = refusal.map_or_else(String::new, |error| format!(": {error}"));
        let found = format!("the kernel knows no way{why}");
        return Check::error(Area::Wan, what, codes::NO_ROUTE, found);
    }
    let found = format!("from {}", shown.join(" and "));
    Check::good(Area::Wan, what, found).measuring(shown.join(", "))
}

/// Returns the address from which something would go to another one. Nothing is sent: the kernel is asked for the way.
fn source_towards(target: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if target.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    Ok(socket.local_addr()?.ip())
}

/// Resolves the broker's name; returns its addresses too, for the next rung.
pub(crate) fn name(address: &BrokerAddress) -> (Check, Vec<SocketAddr>) {
    let what = "name";
    let begun = Instant::now();
    let host = address.host();
    let found = (host, address.port()).to_socket_addrs();
    let took = begun.elapsed();
    match found.map(|found| found.take(MOST_ADDRESSES).collect::<Vec<_>>()) {
        Ok(found) if host.parse::<IpAddr>().is_ok() => {
            let check = Check::good(Area::Wan, what, format!("{host} is an address"));
            (check.measuring(host), found)
        }
        Ok(found) if !found.is_empty() => {
            let shown: Vec<_> = found.iter().map(|address| address.ip().to_string()).collect();
            let shown = shown.join(", ");
            let check = Check::good(Area::Wan, what, format!("{host} is {shown}"));
            (check.measuring(format!("{host}: {shown}")).within(took), found)
        }
        Ok(_) => {
            let found = format!("{host} has no address");
            (
                Check::error(Area::Wan, what, codes::NO_NAME, found).within(took),
                Vec::new(),
            )
        }
        Err(error) => {
            let found = format!("{host}: {error}");
            (
                Check::error(Area::Wan, what, codes::NO_NAME, found).within(took),
                Vec::new(),
            )
        }
    }
}

/// Opens a TCP connection to one of the addresses, and closes it.
pub(crate) fn connection(addresses: &[SocketAddr]) -> Check {
    let what = "TCP";
    if addresses.is_empty() {
        return Check::not_checked(Area::Wan, what, "there is no address to connect to");
    }
    let tried = addresses.get(..MOST_ADDRESSES).unwrap_or(addresses);
    let each = u32::try_from(tried.len()).map_or(CONNECT_TIMEOUT, |count| CONNECT_TIMEOUT / count);
    let mut refusals = Vec::new();
    for address in tried {
        let begun = Instant::now();
        match TcpStream::connect_timeout(address, each) {
            Ok(_) => {
                let check = Check::good(Area::Wan, what, address.to_string());
                return check.measuring(address.to_string()).within(begun.elapsed());
            }
            Err(error) => refusals.push(format!("{address}: {error}")),
        }
    }
    Check::error(Area::Wan, what, codes::NO_CONNECTION, refusals.join("; "))
}

/// Makes a TLS connection to the broker with the card's key, and closes it.
pub(crate) async fn tls(config: &BrokerConfig, card: &CardHandle, identity: &Identity) -> Check {
    let what = "TLS";
    match try_tls(config, card, identity).await {
        Ok(TlsSeen { suite, ends, took }) => {
            let check = Check::good(Area::Wan, what, suite.clone())
                .measuring(suite)
                .within(took);
            match ends {
                Some(ends) => check.at(ends),
                None => check,
            }
        }
        Err(error) => Check::error(Area::Wan, what, codes::NO_TLS, Chain(&error).to_string()),
    }
}

/// Logs in to the broker beside the connection that serves, and says something to itself: two rungs. The second is nothing if the
/// first does not hold.
pub(crate) async fn echo(
    config: &BrokerConfig,
    card: &CardHandle,
    identity: &Identity,
) -> (Check, Option<Check>) {
    let (login, echo) = ("broker", "echo");
    let good = |what, took| Check::good(Area::Wan, what, "it comes through").within(took);
    match try_echo(config, card, identity).await {
        Ok(EchoSeen { let_in, echo: back }) => {
            let login = Check::good(Area::Wan, login, "it lets the gateway in").within(let_in);
            (login, Some(good(echo, back)))
        }
        Err(error) if error.is_of_echo() => {
            let login = Check::good(Area::Wan, login, "it lets the gateway in");
            let found = Chain(&error).to_string();
            (login, Some(Check::error(Area::Wan, echo, codes::NO_ECHO, found)))
        }
        Err(error) => {
            let found = Chain(&error).to_string();
            (Check::error(Area::Wan, login, codes::NO_LOGIN, found), None)
        }
    }
}

/// Says how it stands with the connection to the broker that serves, by the word of the running gateway.
pub(crate) fn serving(view: &BrokerView) -> Check {
    let what = "connection";
    match (view.connected, &view.fault) {
        (true, _) => Check::good(Area::Wan, what, view.to_string()),
        (false, Some(_)) => Check::error(Area::Wan, what, codes::BROKER_AWAY, view.to_string()),
        (false, None) => Check::warning(Area::Wan, what, codes::BROKER_AWAY, view.to_string()),
    }
}

/// Says whether the gateway can be called: where it listens, if it is to.
pub(crate) fn direct(wanted: Option<SocketAddr>, listens: Option<SocketAddr>) -> Check {
    let what = "direct";
    match (listens, wanted) {
        (Some(address), _) => Check::good(Area::Wan, what, format!("the gateway listens on {address}"))
            .measuring(address.to_string()),
        (None, Some(wanted)) => Check::error(Area::Wan, what, codes::NO_LISTENER, wanted.to_string())
            .measuring(wanted.to_string()),
        (None, None) => {
            let found = "neither [wan] listen nor [wan.broker]";
            Check::notice(Area::Wan, what, codes::NO_WAN, found)
        }
    }
}

/// Says whether the trust centre has ever reached the gateway: the one proof that messages arrive both ways.
pub(crate) fn contact(bundle_version: Option<u64>) -> Check {
    let what = "first contact";
    match bundle_version {
        Some(version) => {
            let found = format!("bundle {version} of the trust centre is in force");
            Check::good(Area::Wan, what, found).measuring(format!("Bundle {version}"))
        }
        None => Check::warning(Area::Wan, what, codes::NO_CONTACT, "no bundle is in force"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::check::Outcome;
    use super::*;

    fn interface(folder: &Path, name: &str, files: &[(&str, &str)]) {
        let interface = folder.join(name);
        fs::create_dir(&interface).unwrap();
        for (file, text) in files {
            fs::write(interface.join(file), format!("{text}\n")).unwrap();
        }
    }

    #[test]
    fn loopback_is_no_link_and_a_plug_is() {
        let folder = tempfile::tempdir().unwrap();
        interface(folder.path(), "lo", &[("operstate", "unknown"), ("carrier", "1")]);
        let none = link_in(folder.path());
        assert_eq!(none.code.as_deref(), Some("SMGW-D-0601"));
        for (name, files) in [
            // Switched off, unplugged, waiting for its modem, and without a state or a carrier that can be read.
            ("eth0", &[("operstate", "down")][..]),
            ("eth1", &[("operstate", "down"), ("carrier", "0")]),
            ("wwan0", &[("operstate", "dormant"), ("carrier", "1")]),
            ("wwan1", &[("operstate", "unknown")]),
        ] {
            interface(folder.path(), name, files);
        }
        assert_eq!(link_in(folder.path()).found, "eth0, eth1, wwan0, wwan1: no link");
        interface(folder.path(), "eth2", &[("operstate", "up"), ("carrier", "1")]);
        interface(
            folder.path(),
            "ppp0",
            &[("operstate", "unknown"), ("carrier", "1")],
        );
        let up = link_in(folder.path());
        assert_eq!(
            (up.outcome, up.measured.as_deref()),
            (Outcome::Good, Some("eth2, ppp0"))
        );
        assert_eq!(link_in(&folder.path().join("none")).outcome, Outcome::NotChecked);
    }

    #[test]
    fn way_out_is_measured_without_sending_anything() {
        let way = route(&["127.0.0.1:9".parse().unwrap()]);
        assert_eq!(
            (way.outcome, way.measured.as_deref()),
            (Outcome::Good, Some("127.0.0.1"))
        );
        // Nobody may send to all without asking for it (socket(7), SO_BROADCAST).
        let none = route(&["255.255.255.255:9".parse().unwrap()]);
        assert_eq!(none.code.as_deref(), Some("SMGW-D-0602"));
    }

    #[test]
    fn address_needs_no_name_and_a_port_that_listens_is_reached() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (named, found) = name(&address.to_string().parse().unwrap());
        assert_eq!((named.outcome, found.as_slice()), (Outcome::Good, &[address][..]));
        assert_eq!(connection(&found).outcome, Outcome::Good);
        drop(listener);
        assert_eq!(connection(&found).code.as_deref(), Some("SMGW-D-0604"));
        assert_eq!(connection(&[]).outcome, Outcome::NotChecked);
    }

    #[test]
    fn name_that_nobody_has_is_named() {
        // RFC 6761, section 6.4: nobody ever has a name under it.
        let (unknown, found) = name(&"broker.invalid:8883".parse().unwrap());
        assert_eq!((unknown.code.as_deref(), found.len()), (Some("SMGW-D-0603"), 0));
        assert!(unknown.found.starts_with("broker.invalid"), "{}", unknown.found);
    }

    #[test]
    fn no_tick_before_the_trust_centre_has_been_there() {
        let view = |connected, fault: Option<&str>| BrokerView {
            address: "broker:8883".to_owned(),
            connected,
            fault: fault.map(str::to_owned),
        };
        assert_eq!(serving(&view(true, None)).outcome, Outcome::Good);
        assert_eq!(serving(&view(false, Some("refused"))).outcome, Outcome::Error);
        assert_eq!(serving(&view(false, None)).outcome, Outcome::Warning);
        assert_eq!(contact(None).outcome, Outcome::Warning);
        assert_eq!(contact(Some(1)).outcome, Outcome::Good);
    }

    #[test]
    fn listener_is_told_from_one_that_is_wanted_and_from_none() {
        let address = Some("192.0.2.7:8443".parse().unwrap());
        let codes = [(address, address), (address, None), (None, None)]
            .map(|(wanted, listens)| direct(wanted, listens).code);
        let expected = [None, Some("SMGW-D-0607"), Some("SMGW-D-0104")];
        assert_eq!(codes.each_ref().map(Option::as_deref), expected);
    }
}
