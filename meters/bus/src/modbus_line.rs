//! Modbus TCP, one request at a time.

use std::fmt;
use std::io;
use std::time::Duration;

use modbus::{Block, Function, ImageError, RegisterImage};
use tokio::time::timeout;
use tokio_modbus::client::{Client, Context, tcp};
use tokio_modbus::slave::{Slave, SlaveContext};
use tokio_modbus::{Error, Request, Response};

use crate::bus::Line;
use crate::connector::Connector;
use crate::{MeterAnswer, ModbusException, ModbusUnit, PollError, Statistics};

/// The number of times that a request is sent before it has failed.
const MAX_TRIES: u8 = 3;

/// The connection to a Modbus TCP server.
///
/// The connection is kept from round to round and dropped after whatever went wrong on it: an
/// answer that comes too late finds nobody who could take it for the next one's.
pub(crate) struct ModbusLine {
    connector: Connector,
    answer_timeout: Duration,
    connection: Option<Context>,
}

impl ModbusLine {
    pub(crate) const fn new(endpoint: String, answer_timeout: Duration) -> Self {
        Self {
            connector: Connector::new(endpoint),
            answer_timeout,
            connection: None,
        }
    }

    /// Reads one block, in as many tries as there are.
    async fn read(
        &mut self,
        unit: u8,
        block: Block,
        statistics: &mut Statistics,
    ) -> Result<Vec<u16>, PollError> {
        let mut tries = 0u8;
        loop {
            tries = tries.saturating_add(1);
            if tries > 1 {
                statistics.retries = statistics.retries.saturating_add(1);
            }
            let error = match self.ask(unit, block, statistics).await {
                Ok(words) => return Ok(words),
                // The connection is in order; and a refusal would be repeated.
                Err(refusal @ PollError::Exception(_)) => return Err(refusal),
                Err(error) => error,
            };
            self.connection = None;
            match error {
                PollError::NoAnswer { .. } if tries >= MAX_TRIES => {
                    return Err(PollError::NoAnswer { tries });
                }
                PollError::NoAnswer { .. }
                | PollError::ConnectionLost
                | PollError::ForeignAnswer
                | PollError::MalformedAnswer
                | PollError::AnswerLength(_)
                    if tries < MAX_TRIES => {}
                last => return Err(last),
            }
        }
    }

    /// Sends the request once and waits for its answer.
    async fn ask(
        &mut self,
        unit: u8,
        block: Block,
        statistics: &mut Statistics,
    ) -> Result<Vec<u16>, PollError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => {
                let stream = self.connector.connect().await?;
                statistics.connections = statistics.connections.saturating_add(1);
                empty.insert(tcp::attach(stream))
            }
        };
        connection.set_slave(Slave(unit));
        let request = match block.function {
            Function::Coils => Request::ReadCoils(block.address, block.count),
            Function::DiscreteInputs => Request::ReadDiscreteInputs(block.address, block.count),
            Function::HoldingRegisters => Request::ReadHoldingRegisters(block.address, block.count),
            Function::InputRegisters => Request::ReadInputRegisters(block.address, block.count),
        };
        statistics.requests = statistics.requests.saturating_add(1);
        // `call` and not the reading functions of the library, which trust the answer's length.
        match timeout(self.answer_timeout, connection.call(request)).await {
            Err(_) => Err(PollError::NoAnswer { tries: 1 }),
            Ok(Err(error)) => Err(broken(&error)),
            Ok(Ok(Err(exception))) => Err(PollError::Exception(ModbusException::new(exception.into()))),
            Ok(Ok(Ok(Response::ReadHoldingRegisters(words) | Response::ReadInputRegisters(words)))) => {
                checked_length(block, words)
            }
            Ok(Ok(Ok(Response::ReadCoils(bits) | Response::ReadDiscreteInputs(bits)))) => {
                checked_length(block, unpadded(block, bits))
            }
            Ok(Ok(Ok(_))) => Err(PollError::ForeignAnswer),
        }
    }
}

impl Line for ModbusLine {
    type Meter = ModbusUnit;

    async fn poll(
        &mut self,
        meter: &mut ModbusUnit,
        statistics: &mut Statistics,
    ) -> Result<MeterAnswer, PollError> {
        let mut image = RegisterImage::new();
        for block in meter.profile.blocks() {
            let words = self.read(meter.unit, *block, statistics).await?;
            image.insert(*block, &words).map_err(PollError::AnswerLength)?;
        }
        let readout = meter.profile.decode(&image).map_err(PollError::Registers)?;
        Ok(MeterAnswer {
            id: readout.meter,
            medium: readout.medium,
            samples: readout.samples,
        })
    }
}

impl fmt::Debug for ModbusLine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ModbusLine")
            .field("connector", &self.connector)
            .field("connected", &self.connection.is_some())
            .finish_non_exhaustive()
    }
}

fn checked_length(block: Block, words: Vec<u16>) -> Result<Vec<u16>, PollError> {
    if words.len() == usize::from(block.count) {
        return Ok(words);
    }
    Err(PollError::AnswerLength(ImageError::Length {
        expected: block.count,
        found: words.len(),
    }))
}

/// Returns the bits that were asked for as words; an answer fills its last byte up with zeros.
fn unpadded(block: Block, bits: Vec<bool>) -> Vec<u16> {
    let count = usize::from(block.count);
    let kept = if bits.len() == count.next_multiple_of(8) {
        count
    } else {
        bits.len()
    };
    bits.into_iter().take(kept).map(u16::from).collect()
}

/// Names what the library says went wrong with a connection.
fn broken(error: &Error) -> PollError {
    match error {
        Error::Protocol(_) => PollError::ForeignAnswer,
        Error::Transport(error) => match error.kind() {
            // The codec's words for bytes that are no Modbus; a socket has others.
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::Unsupported => {
                PollError::MalformedAnswer
            }
            _ => PollError::ConnectionLost,
        },
    }
}
