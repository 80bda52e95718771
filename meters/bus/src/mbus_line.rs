//! M-Bus behind a TCP converter: the driver of the master's machine.

use std::io;
use std::time::Duration;

use mbus::link::{LongFrame, PrimaryAddress};
use mbus::master::{Line as Wire, Machine, Output, Read, Station, Timing};
use mbus::readout::Readout;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::bus::Line;
use crate::connector::Connector;
use crate::{MeterAnswer, MeterConfig, PollError, Statistics};

/// How much is read at a time: the longest frame and some.
const BUFFER_LENGTH: usize = 512;
/// The greatest number of reads that discard stale bytes; a line that still has some babbles, and
/// the machine has bounds of its own for that.
const MAX_STALE_READS: usize = 16;
/// How long the converter may take to accept a request of a few bytes.
const WRITE_TIMEOUT: Duration = Duration::from_secs(3);

/// The connection to the converter; it is kept from round to round until it breaks.
#[derive(Debug)]
pub(crate) struct MbusLine {
    connector: Connector,
    wire: Wire,
    /// The start of the time that the machines count.
    start: Instant,
    port: Option<TcpStream>,
}

impl MbusLine {
    pub(crate) fn new(endpoint: String, timing: Timing) -> Self {
        Self {
            connector: Connector::new(endpoint),
            wire: Wire::new(timing),
            start: Instant::now(),
            port: None,
        }
    }

    /// Begins to keep what the master has to know of a meter.
    pub(crate) fn station(meter: MeterConfig<PrimaryAddress>) -> MeterConfig<Station> {
        MeterConfig {
            name: meter.name,
            address: Station::new(meter.address),
        }
    }

    /// Reads the meter's telegrams, over the kept connection or a new one.
    async fn read(
        &mut self,
        station: &mut Station,
        statistics: &mut Statistics,
    ) -> Result<Vec<LongFrame>, PollError> {
        let mut port = match self.port.take() {
            Some(port) => port,
            None => {
                let port = self.connector.connect().await?;
                statistics.connections = statistics.connections.saturating_add(1);
                port
            }
        };
        let read = Read::new(&mut self.wire, station);
        let frames = drive(&mut port, read, self.start, statistics).await;
        if frames != Err(PollError::ConnectionLost) {
            self.port = Some(port);
        }
        frames
    }
}

impl Line for MbusLine {
    type Meter = Station;

    async fn poll(
        &mut self,
        station: &mut Station,
        statistics: &mut Statistics,
    ) -> Result<MeterAnswer, PollError> {
        let kept = self.port.is_some();
        let frames = match self.read(station, statistics).await {
            // The converter had closed the idle connection since the last round.
            Err(PollError::ConnectionLost) if kept => self.read(station, statistics).await?,
            frames => frames?,
        };
        let readout = Readout::from_frames(&frames).map_err(PollError::Telegrams)?;
        Ok(MeterAnswer {
            id: readout.meter,
            medium: readout.medium,
            samples: readout.samples,
        })
    }
}

/// Does what the machine says until it is done.
async fn drive(
    port: &mut TcpStream,
    mut read: Read<'_>,
    start: Instant,
    statistics: &mut Statistics,
) -> Result<Vec<LongFrame>, PollError> {
    let mut buffer = [0; BUFFER_LENGTH];
    let mut last_request = Vec::new();
    loop {
        match read.poll_output(start.elapsed()) {
            Output::Send(request) => {
                discard_stale(port, &mut buffer)?;
                match timeout(WRITE_TIMEOUT, port.write_all(&request)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return Err(PollError::ConnectionLost),
                }
                statistics.requests = statistics.requests.saturating_add(1);
                // What follows an answer differs from it at least by the frame count bit.
                let repeated = u64::from(request == last_request);
                statistics.retries = statistics.retries.saturating_add(repeated);
                last_request = request;
            }
            Output::Wait { until } => {
                let deadline = start.checked_add(until).unwrap_or_else(Instant::now);
                match timeout_at(deadline, port.read(&mut buffer)).await {
                    Err(_) => read.handle_timeout(start.elapsed()),
                    Ok(Ok(0) | Err(_)) => return Err(PollError::ConnectionLost),
                    Ok(Ok(length)) => {
                        let bytes = buffer.get(..length).unwrap_or_default();
                        read.handle_input(bytes, start.elapsed());
                    }
                }
            }
            // No meter is configured with a speed of its own.
            Output::Rate(_) => return Err(PollError::ConnectionLost),
            Output::Done(result) => return result.map_err(PollError::from),
        }
    }
}

/// Discards what has come since the last read, so that it cannot be taken for the next answer.
fn discard_stale(port: &TcpStream, buffer: &mut [u8]) -> Result<(), PollError> {
    for _ in 0..MAX_STALE_READS {
        match port.try_read(buffer) {
            Ok(0) => return Err(PollError::ConnectionLost),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(_) => return Err(PollError::ConnectionLost),
        }
    }
    Ok(())
}
