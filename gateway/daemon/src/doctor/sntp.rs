//! A question to a time server, and what it says: how far the own clock is off, and how sure that is.
//!
//! This is the client of SNTP (RFC 4330), which an NTP server (RFC 5905) answers. It only measures: nothing sets the clock by it,
//! and so an answer that nobody has signed will do. The time service itself cannot be asked from within the daemon's sandbox:
//! chrony's command port is closed and its socket is root's, and `ProtectClock=` takes away the kernel's own word, `adjtimex`.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::clock;
use crate::random::{self, RandomError};

/// The length of a packet without extensions, in bytes (RFC 5905, section 7.3).
const LENGTH: usize = 48;
/// How long an answer may take. It is no more use behind a longer way: the half of it is how unsure the answer is.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// How often a server is asked: a datagram may be lost.
const TRIES: usize = 2;
/// The most datagrams that are looked at for one question; others than the answer may come.
const MOST_DATAGRAMS: usize = 8;
/// The first byte of a question: no leap second, version 4, client (RFC 4330, section 5).
const QUESTION: u8 = 0b00_100_011;
/// The mode of a server's answer (RFC 4330, section 4).
const SERVER: u8 = 4;
/// The leap indicator of a server whose clock was never set (RFC 4330, section 4).
const NOT_SET: u8 = 3;
/// The stratum from which on a server follows nobody (RFC 5905, section 7.3).
const UNSYNCHRONISED: u8 = 16;
/// The greatest distance of a server from its reference clock, as 16.16 seconds: 16 s (MAXDISP; RFC 5905, section 7.2).
const MOST_DISTANCE: u64 = 16 << 16;
/// From 1900 to 1970, in seconds (RFC 4330, section 3).
const NTP_TO_UNIX: i64 = 2_208_988_800;
/// The length of an era in seconds (RFC 5905, section 6).
const ERA: i64 = 1 << 32;
/// Nanoseconds of a second.
const NANOS: i64 = 1_000_000_000;

/// How far the own clock is off, by the word of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Measurement {
    /// How far it is ahead of the server's, in milliseconds; behind it if negative.
    pub(crate) ahead_ms: i64,
    /// How far that may be wrong either way, in milliseconds: half of the way there and back.
    pub(crate) unsure_ms: i64,
    /// How far the server is from a reference clock: 1 has one of its own.
    pub(crate) stratum: u8,
}

/// The reason why a server's answer is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    /// It is shorter than a packet.
    #[error("the server's answer has {0} bytes, and {LENGTH} are needed")]
    Short(usize),
    /// It is of another version.
    #[error("the server answers in version {0} of NTP, and was asked in 4")]
    Version(u8),
    /// It is no server's answer.
    #[error("what came is no server's answer but of mode {0}")]
    Mode(u8),
    /// It answers another question.
    #[error("what came answers another question")]
    Foreign,
    /// The server asks to be left alone.
    #[error("the server refuses to tell the time ({})", shown(*.0))]
    Refused([u8; 4]),
    /// The server does not know the time.
    #[error("the server does not know the time itself")]
    NotSet,
    /// What it says cannot be.
    #[error("the times in the server's answer cannot be")]
    Impossible,
}

/// The reason why a server does not tell the time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SntpError {
    #[error("the server cannot be asked")]
    Socket(#[source] io::Error),
    #[error("the server does not answer within {} ms", PATIENCE.as_millis())]
    Silent,
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// Asks a server. It blocks for [`TRIES`] times [`PATIENCE`] at most.
///
/// # Errors
///
/// [`SntpError`] is of the last try.
pub(crate) fn ask(server: SocketAddr) -> Result<Measurement, SntpError> {
    let mut last = SntpError::Silent;
    for _ in 0..TRIES {
        match ask_once(server) {
            Ok(measurement) => return Ok(measurement),
            Err(error @ SntpError::Silent) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn ask_once(server: SocketAddr) -> Result<Measurement, SntpError> {
    let any: SocketAddr = if server.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any).map_err(SntpError::Socket)?;
    // Behind this, the kernel passes on what this server says and nothing else.
    socket.connect(server).map_err(SntpError::Socket)?;
    let cookie = random::bytes()?;
    let (sent, begun) = (clock::nanoseconds(), Instant::now());
    socket.send(&question(cookie)).map_err(SntpError::Socket)?;
    let mut buffer = [0; 512];
    for _ in 0..MOST_DATAGRAMS {
        let left = PATIENCE.saturating_sub(begun.elapsed());
        if left.is_zero() {
            break;
        }
        socket.set_read_timeout(Some(left)).map_err(SntpError::Socket)?;
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if is_over(error.kind()) => break,
            Err(error) => return Err(SntpError::Socket(error)),
        };
        let took = begun.elapsed();
        match Answer::read(buffer.get(..length).unwrap_or_default(), cookie) {
            // Somebody who guesses is waited past, and so is an answer to the try before.
            Err(AnswerError::Foreign) => {}
            answer => return Ok(answer?.measure(sent, took)?),
        }
    }
    Err(SntpError::Silent)
}

fn is_over(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

/// Returns a question. In the place of the own time stands what nobody can guess: the server sends it back, and the own clock
/// need not be told to anybody.
fn question(cookie: [u8; 8]) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    packet[0] = QUESTION;
    packet[LENGTH - 8..].copy_from_slice(&cookie);
    packet
}

/// What a server says, as far as it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Answer {
    stratum: u8,
    /// When the question came, in nanoseconds since 1970.
    received: i64,
    /// When the answer went, in nanoseconds since 1970.
    answered: i64,
}

impl Answer {
    /// Reads an answer to the question with this cookie.
    ///
    /// Spec: RFC 4330, section 5; RFC 5905, sections 7.3 and 7.4.
    fn read(bytes: &[u8], cookie: [u8; 8]) -> Result<Self, AnswerError> {
        let Some((packet, _extensions)) = bytes.split_first_chunk::<LENGTH>() else {
            return Err(AnswerError::Short(bytes.len()));
        };
        let [head, stratum, _poll, _precision, rest @ ..] = *packet;
        let (leap, version, mode) = (head >> 6, head >> 3 & 7, head & 7);
        if mode != SERVER {
            return Err(AnswerError::Mode(mode));
        }
        if version != 4 {
            return Err(AnswerError::Version(version));
        }
        let word = |at: usize| field::<4>(&rest, at).map(u32::from_be_bytes);
        let time = |at: usize| field::<8>(&rest, at).and_then(nanoseconds);
        if field(&rest, 20) != Some(cookie) {
            return Err(AnswerError::Foreign);
        }
        if stratum == 0 {
            return Err(AnswerError::Refused(field(&rest, 8).unwrap_or_default()));
        }
        if leap == NOT_SET || stratum >= UNSYNCHRONISED {
            return Err(AnswerError::NotSet);
        }
        let (delay, dispersion) = (word(0).unwrap_or(u32::MAX), word(4).unwrap_or(u32::MAX));
        if u64::from(delay) / 2 + u64::from(dispersion) >= MOST_DISTANCE {
            return Err(AnswerError::NotSet);
        }
        let (Some(received), Some(answered)) = (time(28), time(36)) else {
            return Err(AnswerError::Impossible);
        };
        Ok(Self {
            stratum,
            received,
            answered,
        })
    }

    /// Says how far the own clock is off, which showed `sent` when the question went.
    ///
    /// Spec: RFC 4330, section 5: the offset is ((T2 - T1) + (T3 - T4)) / 2, the delay (T4 - T1) - (T3 - T2).
    fn measure(self, sent: i64, took: Duration) -> Result<Measurement, AnswerError> {
        let impossible = || AnswerError::Impossible;
        let took = i64::try_from(took.as_nanos()).map_err(|_| impossible())?;
        let come = sent.checked_add(took).ok_or_else(impossible)?;
        let held = self.answered.checked_sub(self.received).ok_or_else(impossible)?;
        // Whoever has held the question for longer than the answer took has another idea of a second.
        if !(0..=took).contains(&held) {
            return Err(impossible());
        }
        let there = self.received.checked_sub(sent).ok_or_else(impossible)?;
        let back = self.answered.checked_sub(come).ok_or_else(impossible)?;
        let behind = there.checked_add(back).ok_or_else(impossible)? / 2;
        let million = NANOS / 1_000;
        Ok(Measurement {
            ahead_ms: behind.checked_neg().ok_or_else(impossible)? / million,
            unsure_ms: (took - held) / 2 / million + 1,
            stratum: self.stratum,
        })
    }
}

/// Returns a field of a packet behind its first four bytes.
fn field<const N: usize>(rest: &[u8], at: usize) -> Option<[u8; N]> {
    rest.get(at..)?.first_chunk().copied()
}

/// Reads a time (RFC 5905, section 6) as nanoseconds since 1970; nothing if it is none. One without its first bit is behind the
/// 7th of February 2036 (RFC 4330, section 3).
fn nanoseconds(time: [u8; 8]) -> Option<i64> {
    let time = u64::from_be_bytes(time);
    if time == 0 {
        return None;
    }
    let seconds = i64::try_from(time >> 32).ok()?;
    let era = if seconds < ERA / 2 { ERA } else { 0 };
    let fraction = (u128::from(time & u64::from(u32::MAX)) * u128::from(NANOS.unsigned_abs())) >> 32;
    let seconds = seconds.checked_add(era)?.checked_sub(NTP_TO_UNIX)?;
    let fraction = i64::try_from(fraction).ok()?;
    seconds.checked_mul(NANOS)?.checked_add(fraction)
}

/// Shows the code with which a server refuses, such as `RATE`; what is no letter is shown as a point.
fn shown(code: [u8; 4]) -> String {
    let letters = code.map(|byte| if byte.is_ascii_graphic() { byte } else { b'.' });
    letters.map(char::from).iter().collect()
}

#[cfg(test)]
mod tests;
