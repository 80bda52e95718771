//! Who may speak to a host that serves one client at a time.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// How much of an endpoint is in the name: names in the abstract space have 107 bytes at most.
const LONGEST_NAME: usize = 90;

/// The right to be connected to an endpoint, while it is held: of all buses and programs on this
/// machine one alone has it.
///
/// It is a name in the kernel's abstract space of sockets, which is gone with the process that
/// holds it however that may end, and needs no file and no rights.
#[derive(Debug)]
pub(super) struct Claim {
    _name: UnixListener,
}

impl Claim {
    /// Takes the right, unless somebody has it.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AddrInUse`] if somebody has it.
    pub(super) fn take(address: &str) -> io::Result<Self> {
        let address = address.to_ascii_lowercase();
        let bytes = address.as_bytes();
        // The end of it tells endpoints apart better than the beginning.
        let start = bytes.len().saturating_sub(LONGEST_NAME);
        let mut name = b"smgw-modbus ".to_vec();
        name.extend_from_slice(bytes.get(start..).unwrap_or_default());
        let name = SocketAddr::from_abstract_name(name)?;
        UnixListener::bind_addr(&name).map(|name| Self { _name: name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_one_holder_at_a_time() {
        let long = format!("{}.local:502", "meter".repeat(40));
        for address in ["Meter.local:1", &long] {
            let held = Claim::take(address).unwrap();
            let error = Claim::take(&address.to_lowercase()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            let other = Claim::take(&format!("{address}1")).unwrap();
            drop(held);
            Claim::take(address).unwrap();
            drop(other);
        }
    }
}
