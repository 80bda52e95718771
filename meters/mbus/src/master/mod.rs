//! The master: a state machine that reads one meter by its primary address.
//!
//! Nothing here waits, sends or receives. The machine says through [`Output`] what is to be done
//! next; time is a [`Duration`](core::time::Duration) since a start of the caller's choice, the
//! same for all reads of a bus. The driver is this loop:
//!
//! ```
//! use core::time::Duration;
//! use mbus::link::{Control, Frame, LongFrame};
//! use mbus::master::{BaudRate, Output, Read, ReadError, Station, Timing};
//!
//! // Kept by the caller, one per meter, for as long as the meter is on the bus.
//! let mut station = Station::new(1.try_into()?);
//! let timing = Timing::new(BaudRate::B2400, Timing::CONVERTER_ALLOWANCE);
//!
//! // A port and a clock; here the meter answers at once.
//! let mut now = Duration::ZERO;
//! let mut wire: Vec<u8> = Vec::new();
//! let header = vec![0x78, 0x56, 0x34, 0x12, 0x77, 0x04, 0x01, 0x07, 0x55, 0, 0, 0];
//! let telegram = LongFrame::new(Control::RSP_UD, 1, 0x72, header).ok_or("too long")?;
//!
//! let mut read = Read::new(&mut station, timing, now);
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
//!         Output::Done(result) => break result?,
//!     }
//! };
//! assert_eq!(frames, [telegram]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! To give up a read before it is done, drop the machine; the next read then starts afresh.
//!
//! Spec: EN 13757-2:2018, section 5 (EN 60870-5-2).

mod read;
mod station;
mod timing;

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test")]
mod tests;

pub use read::{Output, Read, ReadError};
pub use station::Station;
pub use timing::{BaudRate, Timing, UnknownBaudRate};
