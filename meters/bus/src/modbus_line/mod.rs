//! Modbus: TCP, RTU on a serial line, and RTU over TCP.
//!
//! [`ModbusMaster`] speaks to the units of one line or host, one request at a time. The plan of the
//! requests and their meaning are the pure machines of the crate `modbus`; framing is that of
//! `tokio-modbus`, whose stream is watched, since the library hides some faults of an answer.

mod claim;
pub mod discovery;
mod endpoint;
mod frames;
mod link;
mod live;
mod master;
mod patience;
mod port;
mod reading;
mod station;
mod wire;

pub use endpoint::{Characters, ModbusEndpoint, ParseModbusEndpointError};
pub use frames::AnswerFault;
pub use master::{ModbusCounters, ModbusMaster};
pub use reading::{ModbusReading, Proof};
pub use station::ModbusStation;

use modbus::{DecodeError, PollClass, Register};
use model::{GapReason, MeterId, Obis, Sample};
use station::Statics;
use tokio::time::Instant;

use crate::bus::Line;
use crate::{MeterAnswer, PollError, Statistics};

impl Line for ModbusMaster {
    type Meter = ModbusStation;

    async fn poll(
        &mut self,
        station: &mut ModbusStation,
        statistics: &mut Statistics,
    ) -> Result<MeterAnswer, PollError> {
        let reading = self.read_due(station).await;
        self.end_poll(station, statistics);
        let answer = reading.and_then(|reading| station.answer(reading));
        if answer.as_ref().is_err_and(may_be_another_meter) {
            station.forget();
        }
        answer
    }

    async fn poll_live(
        &mut self,
        station: &mut ModbusStation,
        statistics: &mut Statistics,
    ) -> Option<Result<MeterAnswer, PollError>> {
        let answer = self.read_live(station).await?;
        self.end_poll(station, statistics);
        Some(answer)
    }

    fn end_round(&mut self) {
        if matches!(self.endpoint(), ModbusEndpoint::RtuOverTcp { .. }) {
            // A technician's tool on this machine can be connected until the next round.
            self.disconnect();
        }
    }

    fn let_go(&mut self) {
        self.disconnect();
    }
}

impl ModbusMaster {
    /// Counts what a poll took, and gives back what others may want.
    fn end_poll(&mut self, station: &ModbusStation, statistics: &mut Statistics) {
        let counted = self.take_counters();
        statistics.requests = statistics.requests.saturating_add(counted.requests);
        statistics.retries = statistics.retries.saturating_add(counted.retries);
        statistics.connections = statistics.connections.saturating_add(counted.connections);
        if station.profile.limits().one_connection {
            // Others may want to be served until the next round.
            self.disconnect();
        }
    }
}

/// Returns whether the meter may have been replaced, or given other firmware, after that.
fn may_be_another_meter(error: &PollError) -> bool {
    error.gap_reason() == GapReason::NoAnswer
        || matches!(
            error,
            PollError::Registers(_)
                | PollError::Placement(_)
                | PollError::OtherMeter(_)
                | PollError::Unidentified(_)
        )
}

impl ModbusStation {
    /// Decodes what was read, for the identity that the meter has told or was given.
    fn answer(&mut self, reading: ModbusReading) -> Result<MeterAnswer, PollError> {
        let meter = self.identity_in(&reading)?;
        if self.told.as_ref().is_some_and(|told| *told != meter) {
            // Another meter has taken the place: the next read finds out what it refuses.
            self.forget();
        }
        self.told = Some(meter.clone());
        let mut readout = reading.profile.decode_for(&meter, &reading.image);
        self.keep_statics(&reading, &mut readout.samples);
        Ok(MeterAnswer {
            id: readout.meter,
            medium: readout.medium,
            samples: readout.samples,
        })
    }

    /// Returns whose values they are: of the meter that was named, or that says its serial number, or,
    /// while it does not, that has said it before and has answered ever since.
    fn identity_in(&mut self, reading: &ModbusReading) -> Result<MeterId, PollError> {
        if let Some(identity) = &self.identity {
            return Ok(identity.clone());
        }
        let error = match reading.profile.identity(&reading.image) {
            Ok(meter) => {
                self.is_nameless = false;
                return Ok(meter);
            }
            Err(error) => error,
        };
        let cause = self
            .serial_number_block()
            .and_then(|block| reading.cause(block))
            .cloned()
            .unwrap_or_else(|| PollError::Registers(error.clone()));
        match (&self.told, error) {
            (Some(told), DecodeError::SerialNumberNotRead) => {
                if !self.is_nameless {
                    tracing::warn!(unit = self.unit, meter = %told, %cause, "the meter no longer shows its serial number; it is taken for the same one");
                }
                self.is_nameless = true;
                Ok(told.clone())
            }
            (None, DecodeError::SerialNumberNotRead) => Err(PollError::Unidentified(Box::new(cause))),
            (_, error) => Err(PollError::Registers(error)),
        }
    }

    /// Keeps the values that never change, or puts them where they were not asked for.
    fn keep_statics(&mut self, reading: &ModbusReading, samples: &mut [Sample]) {
        let registers = reading.profile.registers().iter();
        let codes = registers
            .filter(|register| register.poll == PollClass::Static)
            .flat_map(Register::codes);
        let codes: Vec<Obis> = codes.collect();
        let statics = samples
            .iter_mut()
            .filter(|sample| codes.contains(&sample.element.obis));
        if let Some(kept) = self.statics.as_ref().filter(|_| !reading.has_statics) {
            for sample in statics {
                if let Some(known) = kept.samples.iter().find(|known| known.element == sample.element) {
                    *sample = known.clone();
                }
            }
            return;
        }
        let statics: Vec<Sample> = statics.map(|sample| sample.clone()).collect();
        // What is not there yet is asked for in the next round.
        let is_complete = statics.iter().all(|sample| sample.value.is_ok());
        self.statics = is_complete.then(|| Statics {
            since: Instant::now(),
            samples: statics,
        });
    }
}
