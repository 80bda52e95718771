//! The way to the broker, rung by rung: link, address and route, name, TCP, and then what the gateway says of the rest.
//!
//! Each rung is measured for itself, blocks for some seconds at most, and changes nothing. None of them proves that a message
//! arrives: that is said by the last one alone.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use broker::BrokerAddress;

use super::check::{Area, Check};
use crate::codes::examination as codes;
use crate::wan::BrokerView;

/// Where the kernel shows the interfaces.
const INTERFACES: &str = "/sys/class/net";
/// The interface that leads nowhere.
const LOOPBACK: &str = "lo";
/// The most interfaces that are looked at.
const MOST_INTERFACES: usize = 64;
/// Addresses outside, for documentation (RFC 5737, RFC 3849): only the kernel is asked how it would reach them.
pub(crate) const OUTSIDE: [&str; 2] = ["192.0.2.1:9", "[2001:db8::1]:9"];
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
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
        let read = |file: &str| fs::read_to_string(entry.path().join(file)).ok();
        // The carrier of an interface that is switched off cannot be read.
        let has_carrier = read("carrier").is_some_and(|carrier| carrier.trim() == "1");
        if has_carrier { &mut up } else { &mut down }.push(name);
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
    Check::good(Area::Wan, what, format!("{} up", up.join(", ")))
}

/// Asks the kernel with which address it would reach the outside. Nothing is sent.
pub(crate) fn route() -> Check {
    let sources: Vec<_> = OUTSIDE
        .iter()
        .filter_map(|outside| source_towards(outside.parse().ok()?).ok())
        .map(|source| source.to_string())
        .collect();
    if sources.is_empty() {
        return Check::error(
            Area::Wan,
            "address and route",
            codes::NO_ROUTE,
            "the kernel knows no way",
        );
    }
    Check::good(
        Area::Wan,
        "address and route",
        format!("from {}", sources.join(" and ")),
    )
}

/// Returns the address from which something would go to another one. Nothing is sent: the kernel is asked for the way.
pub(crate) fn source_towards(target: SocketAddr) -> io::Result<IpAddr> {
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
            (check, found)
        }
        Ok(found) if !found.is_empty() => {
            let shown: Vec<_> = found.iter().map(|address| address.ip().to_string()).collect();
            let check = Check::good(Area::Wan, what, format!("{host} is {}", shown.join(", ")));
            (check.within(took), found)
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
    let mut refusals = Vec::new();
    for address in addresses.iter().take(MOST_ADDRESSES) {
        let begun = Instant::now();
        match TcpStream::connect_timeout(address, CONNECT_TIMEOUT) {
            Ok(_) => return Check::good(Area::Wan, what, address.to_string()).within(begun.elapsed()),
            Err(error) => refusals.push(format!("{address}: {error}")),
        }
    }
    Check::error(Area::Wan, what, codes::NO_CONNECTION, refusals.join("; "))
}

/// Says what the running gateway says of its broker: TLS with the card's key, and the login.
pub(crate) fn broker(view: &BrokerView) -> Check {
    let what = "TLS and broker";
    match (view.connected, &view.fault) {
        (true, _) => Check::good(Area::Wan, what, view.to_string()),
        (false, Some(_)) => Check::error(Area::Wan, what, codes::BROKER_AWAY, view.to_string()),
        (false, None) => Check::warning(Area::Wan, what, codes::BROKER_AWAY, view.to_string()),
    }
}

/// Says whether the trust centre has ever reached the gateway: the one proof that messages arrive both ways.
pub(crate) fn contact(bundle_version: Option<u64>) -> Check {
    let what = "first contact";
    match bundle_version {
        Some(version) => Check::good(
            Area::Wan,
            what,
            format!("bundle {version} of the trust centre is in force"),
        ),
        None => Check::warning(Area::Wan, what, codes::NO_CONTACT, "no bundle is in force"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::check::Outcome;
    use super::*;

    fn interface(folder: &Path, name: &str, carrier: Option<&str>) {
        let interface = folder.join(name);
        fs::create_dir(&interface).unwrap();
        if let Some(carrier) = carrier {
            fs::write(interface.join("carrier"), carrier).unwrap();
        }
    }

    #[test]
    fn loopback_is_no_link_and_a_plug_is() {
        let folder = tempfile::tempdir().unwrap();
        interface(folder.path(), "lo", Some("1\n"));
        let none = link_in(folder.path());
        assert_eq!(none.code.as_deref(), Some("SMGW-D-0601"));
        interface(folder.path(), "wwan0", None);
        interface(folder.path(), "eth0", Some("0\n"));
        assert_eq!(link_in(folder.path()).found, "eth0, wwan0: no link");
        interface(folder.path(), "eth1", Some("1\n"));
        assert_eq!(link_in(folder.path()).found, "eth1 up");
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
        assert_eq!(broker(&view(true, None)).outcome, Outcome::Good);
        assert_eq!(broker(&view(false, Some("refused"))).outcome, Outcome::Error);
        assert_eq!(broker(&view(false, None)).outcome, Outcome::Warning);
        assert_eq!(contact(None).outcome, Outcome::Warning);
        assert_eq!(contact(Some(1)).outcome, Outcome::Good);
    }
}
