//! The master: state machines that read meters, find them and tell them something.
//!
//! | machine | does |
//! |---|---|
//! | [`Read`] | reads one meter, by its primary address or by selection |
//! | [`Probe`] | finds out whether nobody, one meter or several answer to an address |
//! | [`Command`] | tells meters something: an address, a speed, an application reset |
//!
//! [`Search`] says which selections to probe in order to find every meter.
//!
//! Nothing here waits, sends or receives. A [`Machine`] says through [`Output`] what is to be done
//! next; time is a [`Duration`] since a start of the caller's choice, the same for all machines of a
//! line. What they know of the [`Line`] in common is lent to each: its speed, and until when a late
//! answer may come. The driver is this loop:
//!
//! ```
//! use core::time::Duration;
//! use mbus::link::{Control, Frame, LongFrame, PrimaryAddress};
//! use mbus::master::{BaudRate, Line, Machine, Output, Read, Station, Timing};
//!
//! let mut line = Line::new(Timing::new(BaudRate::B2400, Timing::CONVERTER_ALLOWANCE));
//! // Kept by the caller, one per meter, for as long as the meter is on the bus.
//! let mut station = Station::new(PrimaryAddress::try_from(1)?);
//!
//! // A port and a clock; here the meter answers at once.
//! let mut now = Duration::ZERO;
//! let mut wire: Vec<u8> = Vec::new();
//! let header = vec![0x78, 0x56, 0x34, 0x12, 0x77, 0x04, 0x01, 0x07, 0x55, 0, 0, 0];
//! let telegram = LongFrame::new(Control::RSP_UD, 1, 0x72, header).ok_or("too long")?;
//!
//! let mut read = Read::new(&mut line, &mut station);
//! let frames = loop {
//!     match read.poll_output(now) {
//!         // Discard what the port holds unread, then write all bytes.
//!         Output::Send(bytes) => match Frame::parse(&bytes)? {
//!             Frame::Short { control: Control::SND_NKE, .. } => wire.push(0xE5),
//!             _ => wire.extend(telegram.encode()),
//!         },
//!         // Wait for bytes until that time, and tell the machine which of the two came first.
//!         Output::Wait { until } if wire.is_empty() => {
//!             now = until;
//!             read.handle_timeout(now);
//!         }
//!         Output::Wait { .. } => {
//!             read.handle_input(&wire, now);
//!             wire.clear();
//!         }
//!         // Set the port to that speed; a converter that cannot has to give up here.
//!         Output::Rate(_) => return Err("the speed is fixed".into()),
//!         Output::Done(result) => break result?,
//!     }
//! };
//! assert_eq!(frames, [telegram]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! To give up a machine before it is done, drop it; the next read of the meter then starts afresh.
//!
//! Spec: EN 13757-2:2018, section 5 (EN 60870-5-2).

use core::time::Duration;

mod command;
mod exchange;
mod frames;
mod line;
mod probe;
mod read;
mod script;
mod search;
mod station;
mod telegram;
mod timing;

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test")]
mod tests;

pub use command::{Command, Instruction, Recipient, Reply};
pub use frames::ByteOrder;
pub use line::{Counters, Line};
pub use probe::{Found, Probe};
pub use read::{Read, ReadError};
pub use search::{Hit, Search};
pub use station::{MeterAddress, Station};
pub use timing::{BaudRate, Timing, UnknownBaudRate};

/// A state machine that does something on a line.
pub trait Machine {
    /// What comes out of it.
    type Result;

    /// Says what is to be done next.
    #[must_use = "the output is what the driver has to do"]
    fn poll_output(&mut self, now: Duration) -> Output<Self::Result>;

    /// Takes what the port received, in any pieces.
    ///
    /// What comes while nothing is awaited, and what comes after its time, is discarded.
    fn handle_input(&mut self, bytes: &[u8], now: Duration);

    /// Takes notice that it is `now`; harmless before the time that [`Output::Wait`] gave.
    fn handle_timeout(&mut self, now: Duration);
}

/// What the driver is to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<T> {
    /// Discard what the port holds unread, write all of these bytes, then poll again.
    Send(Vec<u8>),
    /// Set the port to this speed, then poll again.
    Rate(BaudRate),
    /// Wait for input until that time, then hand in the input or the timeout.
    ///
    /// `Duration::MAX` stands for nothing left to wait for.
    Wait {
        /// The time, on the caller's clock.
        until: Duration,
    },
    /// It is over, with this result.
    Done(T),
}
