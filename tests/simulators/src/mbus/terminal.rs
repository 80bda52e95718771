//! A serial level converter: a pseudo-terminal.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;

use mbus::master::BaudRate;
use tokio_serial::{SerialPort, SerialStream};

/// Opening a terminal does not make it the one that controls the process (O_NOCTTY).
const NO_CONTROLLING_TERMINAL: i32 = 0o400;

/// A pseudo-terminal: a master opens it by its path as it opens a serial port.
pub struct Terminal {
    /// The converter's end.
    pub(super) port: SerialStream,
    path: String,
    /// The master's end, held open without a lock, so that the converter's end outlives each master.
    _held: File,
}

impl Terminal {
    /// Opens a pseudo-terminal.
    ///
    /// # Errors
    ///
    /// [`TerminalError`] if the system has none.
    pub fn open() -> Result<Self, TerminalError> {
        let (port, other) = SerialStream::pair()?;
        let path = other.name().ok_or(TerminalError::NoPath)?;
        let held = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(NO_CONTROLLING_TERMINAL)
            .open(&path)
            .map_err(TerminalError::Open)?;
        Ok(Self {
            port,
            path,
            _held: held,
        })
    }

    /// Returns the path by which a master opens it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the speed that the master has set: both ends share it.
    pub(super) fn rate(&self) -> Option<BaudRate> {
        BaudRate::try_from(self.port.baud_rate().ok()?).ok()
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Terminal")
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

/// The reason why a pseudo-terminal could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum TerminalError {
    /// The system has none.
    #[error("the system gives no pseudo-terminal")]
    Pair(#[from] tokio_serial::Error),
    /// The system does not tell its path.
    #[error("the pseudo-terminal has no path")]
    NoPath,
    /// Its path cannot be opened.
    #[error("the pseudo-terminal cannot be opened by its path")]
    Open(#[source] std::io::Error),
}
