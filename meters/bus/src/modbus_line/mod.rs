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
mod master;
mod patience;
mod port;
mod reading;
mod station;
mod wire;

pub use endpoint::{Characters, ModbusEndpoint, ParseModbusEndpointError};
pub use frames::AnswerFault;
pub use master::{ModbusCounters, ModbusMaster};
pub use reading::ModbusReading;
pub use station::ModbusStation;

use model::GapReason;

use crate::bus::Line;
use crate::{MeterAnswer, PollError, Statistics};

impl Line for ModbusMaster {
    type Meter = ModbusStation;

    async fn poll(
        &mut self,
        station: &mut ModbusStation,
        statistics: &mut Statistics,
    ) -> Result<MeterAnswer, PollError> {
        let reading = self.read_known(station).await;
        let counted = self.take_counters();
        statistics.requests = statistics.requests.saturating_add(counted.requests);
        statistics.retries = statistics.retries.saturating_add(counted.retries);
        statistics.connections = statistics.connections.saturating_add(counted.connections);
        if station.profile.limits().one_connection {
            // Others may want to be served until the next round.
            self.disconnect();
        }
        let answer = reading.and_then(|reading| station.answer(reading));
        if answer.as_ref().is_err_and(may_be_another_meter) {
            station.forget();
        }
        answer
    }
}

/// Returns whether the meter may have been replaced, or given other firmware, after that.
fn may_be_another_meter(error: &PollError) -> bool {
    error.gap_reason() == GapReason::NoAnswer
        || matches!(
            error,
            PollError::Registers(_) | PollError::Placement(_) | PollError::OtherMeter(_)
        )
}

impl ModbusStation {
    /// Decodes what was read, for the identity that the meter has told or was given.
    fn answer(&mut self, reading: ModbusReading) -> Result<MeterAnswer, PollError> {
        let ModbusReading {
            profile,
            image,
            fault,
        } = reading;
        let readout = match &self.identity {
            Some(identity) => profile.decode_for(identity, &image),
            None => profile
                .decode(&image)
                .map_err(|error| fault.unwrap_or(PollError::Registers(error)))?,
        };
        if self.told.as_ref().is_some_and(|told| *told != readout.meter) {
            // Another meter has taken the place: the next read finds out what it refuses.
            self.forget();
        }
        self.told = Some(readout.meter.clone());
        Ok(MeterAnswer {
            id: readout.meter,
            medium: readout.medium,
            samples: readout.samples,
        })
    }
}
