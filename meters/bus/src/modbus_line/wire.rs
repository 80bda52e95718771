//! The stream between the library and the port: what passes has been compared with the request.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout};

use super::frames::{AnswerFault, Framing, Judged, body, judge, judge_rest};
use super::port::ModbusPort;

/// How much is read at a time: the longest frame and some.
const CHUNK: usize = 512;
/// The greatest number of chunks that are discarded in a row. A line that has still more to say
/// babbles, and is treated as lost.
const MAX_DISCARDED: usize = 64;

/// The stream of an open port, shared by the library that asks and the driver that looks after it.
///
/// An answer reaches the library only as a whole and only if it is the answer to the request;
/// otherwise the library gets an [`AnswerFault`] in its place.
#[derive(Debug, Clone)]
pub(super) struct Wire(Arc<Mutex<Tap>>);

#[derive(Debug)]
struct Tap {
    port: ModbusPort,
    framing: Framing,
    /// The request that was sent last.
    request: Vec<u8>,
    /// What has come since.
    answer: Vec<u8>,
    /// How much of a complete answer the library has taken; none while it is not complete.
    taken: Option<usize>,
    /// The unit that has not answered lately; an answer of its comes late and is passed over.
    late_unit: Option<u8>,
    /// Whether the adapter returns what is sent; not known before the first answer.
    echoes: Option<bool>,
    /// Whether the echo of the request has been passed over.
    is_echo_over: bool,
    first_byte: Option<Instant>,
    last_byte: Option<Instant>,
}

impl Wire {
    pub(super) fn new(port: ModbusPort, framing: Framing) -> Self {
        Self(Arc::new(Mutex::new(Tap {
            port,
            framing,
            request: Vec::new(),
            answer: Vec::new(),
            taken: None,
            late_unit: None,
            echoes: None,
            is_echo_over: false,
            first_byte: None,
            last_byte: None,
        })))
    }

    /// Prepares for a request. An answer of the late unit, if it is another one, is passed over.
    pub(super) fn begin(&self, late_unit: Option<u8>) {
        let mut tap = self.lock();
        tap.request.clear();
        tap.answer.clear();
        tap.taken = None;
        tap.late_unit = late_unit;
        tap.is_echo_over = false;
        tap.first_byte = None;
        tap.last_byte = None;
    }

    /// Returns when the answer began.
    pub(super) fn first_byte(&self) -> Option<Instant> {
        self.lock().first_byte
    }

    /// Returns when something came last.
    pub(super) fn last_byte(&self) -> Option<Instant> {
        self.lock().last_byte
    }

    /// Returns what is wrong with the part of an answer that has come; none if nothing has.
    pub(super) fn rest_fault(&self) -> Option<AnswerFault> {
        let tap = self.lock();
        (!tap.answer.is_empty()).then(|| judge_rest(tap.framing, &tap.request, &tap.answer))
    }

    /// Returns whether a complete answer has come.
    pub(super) fn is_answered(&self) -> bool {
        self.lock().taken.is_some()
    }

    /// Returns what follows the function code in the answer.
    pub(super) fn body(&self) -> Vec<u8> {
        let tap = self.lock();
        body(tap.framing, &tap.answer).to_vec()
    }

    /// Discards what comes until nothing has come for so long, and returns how many bytes it was.
    ///
    /// # Errors
    ///
    /// What the port says, or [`io::ErrorKind::TimedOut`] if there is no end of it.
    pub(super) async fn discard_until_silent(&self, silence: Duration) -> io::Result<usize> {
        // What has come already is only known to the runtime after it has looked.
        tokio::task::yield_now().await;
        let mut discarded = 0_usize;
        for _ in 0..MAX_DISCARDED {
            match timeout(
                silence,
                std::future::poll_fn(|context| self.poll_discard(context)),
            )
            .await
            {
                Err(_) => return Ok(discarded),
                Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Ok(count)) => discarded = discarded.saturating_add(count),
                Ok(Err(error)) => return Err(error),
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    fn poll_discard(&self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut chunk = [0; CHUNK];
        let mut buffer = ReadBuf::new(&mut chunk);
        let mut tap = self.lock();
        ready!(Pin::new(&mut tap.port).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn lock(&self) -> MutexGuard<'_, Tap> {
        // What is behind the lock is sound after a panic too: each call changes it as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tap {
    /// Takes what has come, and says whether the answer is complete.
    fn take(&mut self, bytes: &[u8]) -> Result<(), AnswerFault> {
        let now = Instant::now();
        self.first_byte.get_or_insert(now);
        self.last_byte = Some(now);
        self.answer.extend_from_slice(bytes);
        if self.is_echo_coming() {
            return Ok(());
        }
        loop {
            match judge(self.framing, &self.request, &self.answer) {
                Judged::Incomplete => return Ok(()),
                Judged::Answer => {
                    self.echoes.get_or_insert(false);
                    self.taken = Some(0);
                    return Ok(());
                }
                Judged::Faulty {
                    fault: AnswerFault::Unit { found, .. },
                    length: Some(length),
                } if self.late_unit == Some(found) => {
                    self.answer.drain(..length.min(self.answer.len()));
                    self.late_unit = None;
                    self.first_byte = None;
                    self.last_byte = None;
                    if self.answer.is_empty() {
                        return Ok(());
                    }
                    self.first_byte = Some(now);
                    self.last_byte = Some(now);
                }
                Judged::Faulty { fault, .. } => return Err(fault),
            }
        }
    }

    /// Passes over the request itself, which many adapters of RS-485 return; returns whether a part of
    /// it is still to come, or nothing has come behind it.
    ///
    /// An answer begins with the same two bytes, and hardly ever with more of them. An adapter that has
    /// passed an answer on without an echo has none, so that nothing is taken for one there.
    fn is_echo_coming(&mut self) -> bool {
        if self.framing != Framing::Rtu || self.is_echo_over || self.echoes == Some(false) {
            return false;
        }
        let length = self.request.len().min(self.answer.len());
        if self.request.get(..length) != self.answer.get(..length) {
            return false;
        }
        if length < self.request.len() {
            return true;
        }
        if self.echoes.is_none() {
            tracing::info!("the adapter of the serial line returns what is sent; that is passed over");
        }
        self.echoes = Some(true);
        self.is_echo_over = true;
        self.answer.drain(..length);
        if self.answer.is_empty() {
            // The meter has not said anything yet.
            self.first_byte = None;
            self.last_byte = None;
        }
        self.answer.is_empty()
    }

    /// Gives the library what is left of a complete answer; returns whether there was any.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let Some(taken) = self.taken else {
            return false;
        };
        let left = self.answer.get(taken..).unwrap_or_default();
        let given = left.get(..left.len().min(buffer.remaining())).unwrap_or_default();
        buffer.put_slice(given);
        self.taken = Some(taken.saturating_add(given.len()));
        !given.is_empty()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut tap = self.lock();
        loop {
            if tap.give(buffer) {
                return Poll::Ready(Ok(()));
            }
            let mut chunk = [0; CHUNK];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut tap.port).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            tap.take(read.filled())
                .map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))?;
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut tap = self.lock();
        let written = ready!(Pin::new(&mut tap.port).poll_write(context, bytes))?;
        tap.request
            .extend_from_slice(bytes.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    /// Does nothing: a write hands everything to the system, and a serial port's own flush would
    /// block the thread until the last bit is on the line.
    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().port).poll_shutdown(context)
    }
}
