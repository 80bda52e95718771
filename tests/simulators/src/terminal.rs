//! A serial port: a pseudo-terminal, whose other end a simulator has.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;

use tokio_serial::{SerialPort, SerialStream};

/// Opening a terminal does not make it the one that controls the process (O_NOCTTY).
const NO_CONTROLLING_TERMINAL: i32 = 0o400;

/// A pseudo-terminal: a master opens it by its path as it opens a serial port.
pub struct Terminal {
    /// The simulator's end.
    pub(crate) port: SerialStream,
    path: String,
    /// The master's end, held open without a lock, so that the simulator's end outlives each master.
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

    /// Lays a cable to another one: what goes into one comes out of the other, at any speed.
    ///
    /// # Errors
    ///
    /// What the system says if one of the ports fails; otherwise it does not end by itself.
    pub async fn connect(&mut self, other: &mut Self) -> std::io::Result<()> {
        tokio::io::copy_bidirectional(&mut self.port, &mut other.port)
            .await
            .map(|_| ())
    }

    /// Returns the speed that the master has set, in bits per second: both ends share it.
    pub(crate) fn baud_rate(&self) -> Option<u32> {
        self.port.baud_rate().ok()
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
