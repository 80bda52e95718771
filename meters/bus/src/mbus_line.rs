//! The master of an M-Bus: the driver of the pure machines.

use std::io;
use std::time::Duration;

use mbus::link::LongFrame;
use mbus::master::{
    Command, Counters, Found, Instruction, Line as Wire, Machine, MeterAddress, Output, Probe, Read,
    Recipient, Reply, Station, Timing,
};
use tokio::time::{Instant, timeout, timeout_at};

use crate::bus::Line;
use crate::connector::Connector;
use crate::endpoint::MbusEndpoint;
use crate::mbus_port::MbusPort;
use crate::{MeterAnswer, PollError, Statistics};

/// How much is read at a time: the longest frame and some.
const BUFFER_LENGTH: usize = 512;
/// The greatest number of reads that discard stale bytes; a line that still has some babbles, and
/// the machine has bounds of its own for that.
const MAX_STALE_READS: usize = 16;
/// How long the converter may take to accept a request of a few bytes.
const WRITE_TIMEOUT: Duration = Duration::from_secs(3);

/// The master of one M-Bus. Its port is kept open from one call to the next until it breaks.
///
/// Each call runs one machine to its end. A call that is dropped leaves the master in order: the
/// meter that was being read is initialised before it is asked again.
#[derive(Debug)]
pub struct MbusMaster {
    connector: Connector,
    endpoint: MbusEndpoint,
    wire: Wire,
    /// The start of the time that the machines count.
    start: Instant,
    port: Option<MbusPort>,
    connections: u64,
}

impl MbusMaster {
    /// Builds the master; the port is opened when it is needed.
    #[must_use]
    pub fn new(endpoint: MbusEndpoint, timing: Timing) -> Self {
        let address = match &endpoint {
            MbusEndpoint::Tcp { address } => address.clone(),
            MbusEndpoint::Serial { device, .. } => device.clone(),
        };
        Self {
            connector: Connector::new(address),
            endpoint,
            wire: Wire::new(timing),
            start: Instant::now(),
            port: None,
            connections: 0,
        }
    }

    /// Reads the telegrams of a meter.
    ///
    /// # Errors
    ///
    /// [`PollError`] says whether the bus, the meter or its answer is at fault.
    pub async fn read(&mut self, station: &mut Station) -> Result<Vec<LongFrame>, PollError> {
        let kept = self.open().await?;
        let mut result = self.run(|wire| Read::new(wire, station)).await;
        if kept && result == Err(PollError::ConnectionLost) {
            // The converter had closed the idle connection.
            self.open().await?;
            result = self.run(|wire| Read::new(wire, station)).await;
        }
        result?.map_err(PollError::from)
    }

    /// Finds out who answers to an address; who is silent is asked so many times.
    ///
    /// # Errors
    ///
    /// [`PollError`] if the bus cannot be reached.
    pub async fn probe(&mut self, address: MeterAddress, tries: u8) -> Result<Found, PollError> {
        let kept = self.open().await?;
        let result = self.run(|wire| Probe::new(wire, address, tries)).await;
        if kept && result == Err(PollError::ConnectionLost) {
            self.open().await?;
            return self.run(|wire| Probe::new(wire, address, tries)).await;
        }
        result
    }

    /// Tells meters something.
    ///
    /// # Errors
    ///
    /// [`PollError`] says whether the bus or the meter is at fault.
    pub async fn command(
        &mut self,
        recipient: Recipient,
        instruction: Instruction,
    ) -> Result<Reply, PollError> {
        if let (MbusEndpoint::Tcp { .. }, Instruction::SetBaudRate(_)) = (&self.endpoint, instruction) {
            // The meter would switch, and the converter could not follow.
            return Err(PollError::RateFixed);
        }
        self.open().await?;
        let result = self.run(|wire| Command::new(wire, recipient, instruction)).await;
        result?.map_err(PollError::from)
    }

    /// Returns what was counted on the line since the last call.
    pub const fn take_counters(&mut self) -> Counters {
        self.wire.take_counters()
    }

    /// Makes sure that the port is open; returns whether it was.
    async fn open(&mut self) -> Result<bool, PollError> {
        if self.port.is_some() {
            return Ok(true);
        }
        self.port = Some(MbusPort::open(&mut self.connector, &self.endpoint).await?);
        self.connections = self.connections.saturating_add(1);
        self.wire.reopened();
        Ok(false)
    }

    /// Runs a machine on the open port, which is kept unless it breaks.
    async fn run<'a, M: Machine>(
        &'a mut self,
        machine: impl FnOnce(&'a mut Wire) -> M,
    ) -> Result<M::Result, PollError> {
        let mut port = self.port.take().ok_or(PollError::ConnectionLost)?;
        let result = drive(&mut port, machine(&mut self.wire), self.start).await;
        if !matches!(result, Err(PollError::ConnectionLost | PollError::RateFixed)) {
            self.port = Some(port);
        }
        result
    }
}

impl Line for MbusMaster {
    type Meter = Station;

    async fn poll(
        &mut self,
        station: &mut Station,
        statistics: &mut Statistics,
    ) -> Result<MeterAnswer, PollError> {
        let frames = self.read(station).await;
        let counted = self.take_counters();
        statistics.requests = statistics.requests.saturating_add(counted.sent);
        statistics.retries = statistics.retries.saturating_add(counted.retries);
        statistics.link = statistics.link.plus(counted);
        let opened = std::mem::take(&mut self.connections);
        statistics.connections = statistics.connections.saturating_add(opened);
        let readout = station.readout(&frames?).map_err(PollError::Telegrams)?;
        Ok(MeterAnswer {
            id: readout.meter,
            medium: readout.medium,
            samples: readout.samples,
        })
    }

    /// Meters on an M-Bus are not read for display: many run on a battery for years, and some count the readings of a day
    /// that are left to them.
    fn poll_live(
        &mut self,
        _: &mut Station,
        _: &mut Statistics,
    ) -> impl Future<Output = Option<Result<MeterAnswer, PollError>>> + Send {
        std::future::ready(None)
    }

    /// The converter is kept: it has one master, and its port is slow to open on some.
    fn end_round(&mut self) {}

    fn let_go(&mut self) {
        self.port = None;
    }
}

/// Does what the machine says until it is done.
async fn drive<M: Machine>(
    port: &mut MbusPort,
    mut machine: M,
    start: Instant,
) -> Result<M::Result, PollError> {
    let mut buffer = [0; BUFFER_LENGTH];
    loop {
        match machine.poll_output(start.elapsed()) {
            Output::Send(request) => {
                discard_stale(port, &mut buffer)?;
                match timeout(WRITE_TIMEOUT, port.write(&request)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return Err(PollError::ConnectionLost),
                }
            }
            Output::Rate(rate) => port.set_rate(rate)?,
            Output::Wait { until } => {
                let deadline = start.checked_add(until).unwrap_or_else(Instant::now);
                match timeout_at(deadline, port.read(&mut buffer)).await {
                    Err(_) => machine.handle_timeout(start.elapsed()),
                    Ok(Ok(0) | Err(_)) => return Err(PollError::ConnectionLost),
                    Ok(Ok(length)) => {
                        let bytes = buffer.get(..length).unwrap_or_default();
                        machine.handle_input(bytes, start.elapsed());
                    }
                }
            }
            Output::Done(result) => return Ok(result),
        }
    }
}

/// Discards what has come since the last read, so that it cannot be taken for the next answer.
fn discard_stale(port: &mut MbusPort, buffer: &mut [u8]) -> Result<(), PollError> {
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
