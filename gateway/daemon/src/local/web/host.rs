//! By which names the local web may be asked for.
//!
//! A page of a stranger can have its name resolved to the gateway's address (DNS rebinding); the browser then takes both for one
//! site. What it cannot do is ask by a name that is not its own.

use std::net::IpAddr;

/// Returns whether the text of the header `Host` names the gateway: by the address of this connection, or as configured.
pub(super) fn is_ours(host: &str, own: IpAddr, names: &[String]) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, port)) => (address, Some(port.strip_prefix(':').unwrap_or("?"))),
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return false;
    }
    let name = name.to_ascii_lowercase();
    let address = name.parse::<IpAddr>().map(|address| address.to_canonical());
    address.is_ok_and(|address| address == own.to_canonical()) || names.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_addresses_and_configured_names_are_ours() {
        let own: IpAddr = "192.168.1.5".parse().unwrap();
        let names = ["smgw.local".to_owned(), "fd00::5".to_owned()];
        for host in [
            "192.168.1.5",
            "192.168.1.5:8443",
            "SMGW.local",
            "smgw.local:443",
            "[fd00::5]:1",
            "[::ffff:192.168.1.5]",
        ] {
            assert!(is_ours(host, own, &names), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "192.168.1.6",
            "smgw.local.evil.example",
            "smgw.local:x",
            "smgw.local:1:2",
            "[fd00::5]x",
            "[fd00::6]",
            "localhost",
        ] {
            assert!(!is_ours(host, own, &names), "{host}");
        }
    }
}
