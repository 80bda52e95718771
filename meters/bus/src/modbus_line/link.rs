//! An open port with the library on it: one request, one answer.

use std::fmt;
use std::io;
use std::time::Duration;

use modbus::{Block, Function, Question, device_identification};
use tokio::time::{Instant, sleep_until};
use tokio_modbus::client::{Client, Context, rtu, tcp};
use tokio_modbus::slave::{Slave, SlaveContext};
use tokio_modbus::{Error, Request, Response};

use super::frames::{AnswerFault, Framing};
use super::port::ModbusPort;
use super::wire::Wire;

/// An open port, and the library's client on it.
pub(super) struct Link {
    pub(super) wire: Wire,
    framing: Framing,
    context: Context,
}

/// What a unit has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// Registers; bits are words, 0 or 1.
    Words(Vec<u16>),
    /// An object of the device identification: what follows the function code.
    Device(Vec<u8>),
    /// An exception with that code.
    Exception(u8),
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nothing came in time.
    Silence,
    /// What came is not the answer.
    Fault(AnswerFault),
    /// The port is gone.
    Lost,
}

/// How long something is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    /// Until the answer begins.
    pub(super) answer: Duration,
    /// From one part of it to the next.
    pub(super) gap: Duration,
}

impl Link {
    pub(super) fn new(port: ModbusPort, framing: Framing) -> Self {
        let wire = Wire::new(port, framing);
        let context = attach(&wire, framing);
        Self {
            wire,
            framing,
            context,
        }
    }

    /// Puts a new client on the port: one that has seen an error has reached its end.
    pub(super) fn renew(&mut self) {
        self.context = attach(&self.wire, self.framing);
    }

    /// Asks a unit, and returns its answer and how long it took to begin.
    ///
    /// An answer of the late unit, if that is another one, is passed over.
    pub(super) async fn call(
        &mut self,
        unit: u8,
        question: Question,
        waits: Waits,
        late_unit: Option<u8>,
    ) -> Result<(Reply, Duration), Failure> {
        self.wire.begin(late_unit);
        self.context.set_slave(Slave(unit));
        let sent = Instant::now();
        // `call` and not the reading functions of the library, which trust the answer's length.
        let outcome = tokio::select! {
            biased;
            outcome = self.context.call(request(question)) => outcome,
            () = expiry(&self.wire, sent, waits) => {
                return Err(self.wire.rest_fault().map_or(Failure::Silence, Failure::Fault));
            }
        };
        let began = self.wire.first_byte().unwrap_or(sent);
        let reply = match outcome {
            Ok(Ok(response)) => self.reply(question, response),
            Ok(Err(exception)) => Ok(Reply::Exception(exception.into())),
            Err(error) => Err(self.failure(&error)),
        };
        reply.map(|reply| (reply, began.duration_since(sent)))
    }

    fn reply(&self, question: Question, response: Response) -> Result<Reply, Failure> {
        match (question, response) {
            (
                Question::Registers(_),
                Response::ReadHoldingRegisters(words) | Response::ReadInputRegisters(words),
            ) => Ok(Reply::Words(words)),
            // The library gives whole bytes of bits, of which the last is filled up.
            (Question::Registers(block), Response::ReadCoils(bits) | Response::ReadDiscreteInputs(bits)) => {
                let bits = bits.into_iter().take(block.count.into());
                Ok(Reply::Words(bits.map(u16::from).collect()))
            }
            (Question::Device(_), Response::ReadDeviceIdentification(_)) => {
                Ok(Reply::Device(self.wire.body()))
            }
            _ => Err(Failure::Fault(AnswerFault::Malformed)),
        }
    }

    /// Names what the library says went wrong.
    fn failure(&self, error: &Error) -> Failure {
        let Error::Transport(error) = error else {
            return Failure::Fault(AnswerFault::Malformed);
        };
        let fault = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<AnswerFault>());
        if let Some(fault) = fault {
            return Failure::Fault(*fault);
        }
        if self.wire.is_answered() || error.kind() == io::ErrorKind::InvalidData {
            return Failure::Fault(AnswerFault::Malformed);
        }
        self.wire.rest_fault().map_or(Failure::Lost, Failure::Fault)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Link")
            .field("wire", &self.wire)
            .field("framing", &self.framing)
            .finish_non_exhaustive()
    }
}

fn attach(wire: &Wire, framing: Framing) -> Context {
    match framing {
        Framing::Tcp => tcp::attach(wire.clone()),
        Framing::Rtu => rtu::attach(wire.clone()),
    }
}

fn request(question: Question) -> Request<'static> {
    match question {
        Question::Registers(Block {
            function,
            address,
            count,
        }) => match function {
            Function::Coils => Request::ReadCoils(address, count),
            Function::DiscreteInputs => Request::ReadDiscreteInputs(address, count),
            Function::HoldingRegisters => Request::ReadHoldingRegisters(address, count),
            Function::InputRegisters => Request::ReadInputRegisters(address, count),
        },
        Question::Device(object) => {
            let body = device_identification::request(object).to_vec();
            Request::Custom(device_identification::FUNCTION, body.into())
        }
    }
}

/// Waits until the answer has not begun in time, or has not gone on.
async fn expiry(wire: &Wire, sent: Instant, waits: Waits) {
    loop {
        let until = match wire.last_byte() {
            None => sent.checked_add(waits.answer),
            Some(last) => last.checked_add(waits.gap),
        };
        let until = until.unwrap_or(sent);
        if Instant::now() >= until {
            return;
        }
        sleep_until(until).await;
    }
}
