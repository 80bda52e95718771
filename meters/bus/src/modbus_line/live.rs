//! The fast values of a meter, for the live display.

use std::collections::BTreeSet;

use modbus::{PollClass, Profile, Register};
use model::{MeterId, Obis};

use super::{ModbusMaster, ModbusStation};
use crate::{MeterAnswer, PollError};

impl ModbusMaster {
    /// Reads the fast values of a meter that was read before; `None` if it was not, or has none.
    ///
    /// The values are of the meter that has told its identity last, since that is not asked for again. What goes wrong
    /// changes nothing for the reads that count: neither what they ask for, nor how patient they are with the meter, nor
    /// when the port may be opened again.
    pub(super) async fn read_live(
        &mut self,
        station: &mut ModbusStation,
    ) -> Option<Result<MeterAnswer, PollError>> {
        let (meter, codes) = station.live()?;
        let (connector, before) = (self.connector().clone(), station.clone());
        let reading = self.read_placed(station, &[PollClass::Fast]).await;
        station.refusals = before.refusals;
        if reading.as_ref().map_or(true, |reading| reading.fault.is_some()) {
            *self.connector() = connector;
            station.patience = before.patience;
        }
        Some(reading.map(|reading| {
            let readout = reading.profile.decode_for(&meter, &reading.image);
            let samples = readout.samples.into_iter();
            MeterAnswer {
                id: readout.meter,
                medium: readout.medium,
                samples: samples
                    .filter(|sample| codes.contains(&sample.element.obis))
                    .collect(),
            }
        }))
    }
}

impl ModbusStation {
    /// Returns whose fast values can be read, and which they are.
    fn live(&self) -> Option<(MeterId, BTreeSet<Obis>)> {
        let (told, placed) = (self.told.as_ref()?, self.placed.as_ref()?);
        let codes = fast_codes(placed);
        (!codes.is_empty()).then(|| (told.clone(), codes))
    }
}

fn fast_codes(profile: &Profile) -> BTreeSet<Obis> {
    let registers = profile.registers().iter();
    registers
        .filter(|register| register.poll == PollClass::Fast)
        .flat_map(Register::codes)
        .collect()
}
