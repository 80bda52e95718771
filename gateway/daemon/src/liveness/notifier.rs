//! What the daemon tells the service manager, through the datagram socket that it was given (sd_notify(3)).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The longest status line, in characters: it is shown in one line of a terminal.
const LONGEST_STATUS: usize = 200;

/// Speaks to the service manager, or to nobody if there is none.
#[derive(Debug)]
pub(crate) struct Notifier {
    manager: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

/// Something that the service manager is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    /// The daemon is up.
    Ready,
    /// The daemon has begun to stop.
    Stopping,
    /// Every task is alive.
    Alive,
    /// What the gateway does, in words.
    Status(String),
}

impl Notifier {
    /// Takes socket and period from the environment in which systemd starts a service of `Type=notify`.
    ///
    /// # Errors
    ///
    /// If there is a socket that cannot be used: a service that cannot say that it is up would be killed for it.
    pub(crate) fn from_environment() -> io::Result<Self> {
        let socket = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty());
        let is_for_us = |pid: OsString| pid.to_str() == Some(std::process::id().to_string().as_str());
        let watchdog = std::env::var("WATCHDOG_USEC").ok();
        let watchdog = watchdog.filter(|_| std::env::var_os("WATCHDOG_PID").is_none_or(is_for_us));
        Self::new(
            socket.as_deref(),
            watchdog
                .and_then(|period| period.parse().ok())
                .map(Duration::from_micros),
        )
    }

    /// Builds the way to a socket: a path, or a name of the kernel's behind an `@`.
    pub(super) fn new(socket: Option<&OsStr>, watchdog: Option<Duration>) -> io::Result<Self> {
        let manager = socket.map(|socket| {
            let address = match socket.as_bytes().strip_prefix(b"@") {
                Some(name) => SocketAddr::from_abstract_name(name)?,
                None => SocketAddr::from_pathname(socket)?,
            };
            let own = UnixDatagram::unbound()?;
            // A manager that is slow to read holds no task up: what counts is sent again.
            own.set_nonblocking(true)?;
            Ok::<_, io::Error>((own, address))
        });
        Ok(Self {
            manager: manager.transpose()?,
            watchdog: watchdog.filter(|period| !period.is_zero()),
        })
    }

    /// Returns how long the manager waits for a sign of life, if it does.
    pub(super) const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Tells the manager something.
    ///
    /// # Errors
    ///
    /// If it did not get there.
    pub(super) fn tell(&self, notice: &Notice) -> io::Result<()> {
        let Some((own, manager)) = &self.manager else {
            return Ok(());
        };
        own.send_to_addr(notice.to_line().as_bytes(), manager).map(drop)
    }
}

impl Notice {
    fn to_line(&self) -> String {
        match self {
            Self::Ready => "READY=1".to_owned(),
            Self::Stopping => "STOPPING=1".to_owned(),
            Self::Alive => "WATCHDOG=1".to_owned(),
            // A line break would begin another assignment.
            Self::Status(text) => {
                let line = text
                    .chars()
                    .map(|letter| if letter.is_control() { ' ' } else { letter });
                format!("STATUS={}", line.take(LONGEST_STATUS).collect::<String>())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(manager: &UnixDatagram) -> String {
        let mut bytes = [0; 1024];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn notices_arrive_at_a_socket_in_the_file_system() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(Some(path.as_os_str()), None).unwrap();
        for (notice, line) in [
            (Notice::Ready, "READY=1"),
            (Notice::Alive, "WATCHDOG=1"),
            (Notice::Stopping, "STOPPING=1"),
            (Notice::Status("bound".to_owned()), "STATUS=bound"),
        ] {
            notifier.tell(&notice).unwrap();
            assert_eq!(told(&manager), line);
        }
        drop((manager, folder));
        assert!(notifier.tell(&Notice::Alive).is_err());
    }

    #[test]
    fn notices_arrive_at_an_abstract_socket() {
        let name = format!("smgw-notifier-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let notifier = Notifier::new(Some(format!("@{name}").as_ref()), None).unwrap();
        notifier.tell(&Notice::Ready).unwrap();
        assert_eq!(told(&manager), "READY=1");
    }

    #[test]
    fn a_status_is_one_short_line() {
        let text = format!("no card\nREADY=1{}", "x".repeat(1000));
        let line = Notice::Status(text).to_line();
        assert!(line.starts_with("STATUS=no card READY=1x"), "{line}");
        assert!(line.len() < 300, "{}", line.len());
    }

    #[test]
    fn nobody_is_told_where_there_is_no_manager() {
        let notifier = Notifier::new(None, Some(Duration::ZERO)).unwrap();
        assert!(notifier.tell(&Notice::Ready).is_ok());
        assert_eq!(notifier.watchdog(), None);
        let too_long = "x".repeat(1000);
        assert!(Notifier::new(Some(too_long.as_ref()), None).is_err());
    }
}
