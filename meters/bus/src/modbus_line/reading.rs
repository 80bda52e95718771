//! Reading a meter by its profile, and finding out whether it is of the profile's family.

use std::sync::Arc;

use modbus::sunspec::{ModelMap, Walk};
use modbus::{
    Block, Handled, Identification, Misfit, PollClass, Profile, Question, RegisterImage, Reply as Told,
    Verdict, device_identification,
};

use super::link::Reply;
use super::master::{Asked, ModbusMaster};
use super::patience::Patience;
use super::station::ModbusStation;
use crate::PollError;

/// What was read from a meter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModbusReading {
    /// The profile, with its registers where this meter has them.
    pub profile: Arc<Profile>,
    /// The registers.
    pub image: RegisterImage,
    /// The first thing that went wrong, if not everything could be read.
    pub fault: Option<PollError>,
}

impl ModbusMaster {
    /// Reads every register of the meter's profile.
    ///
    /// Requests that the meter refuses are split; what it keeps refusing is left out of later reads,
    /// and noted in the image with its exception. A SunSpec meter is walked over before its first read.
    ///
    /// # Errors
    ///
    /// [`PollError`] if nothing at all could be read. It says whether the line, the meter or its
    /// answer is at fault.
    pub async fn read(&mut self, station: &mut ModbusStation) -> Result<ModbusReading, PollError> {
        if station.placed.is_none() {
            let placed = match station.profile.sunspec() {
                None => Arc::clone(&station.profile),
                Some(sunspec) => {
                    let mut walk = Walk::new(sunspec);
                    while let Some(block) = walk.next_request() {
                        let mut asked = station.asked();
                        match self.ask(&mut asked, Question::Registers(block)).await {
                            Ok(Reply::Words(words)) if walk.handle_answer(&words).is_ok() => {}
                            Ok(_) => walk.handle_refusal(),
                            Err(PollError::Exception(exception)) if !exception.is_passing() => {
                                walk.handle_refusal();
                            }
                            Err(error) => return Err(error),
                        }
                    }
                    station.placed_by(&walk.finish())?
                }
            };
            station.placed = Some(placed);
        }
        self.read_placed(station, None).await
    }

    /// Reads a meter that must be of the profile's family and say who it is, unless it was named.
    pub(super) async fn read_known(
        &mut self,
        station: &mut ModbusStation,
    ) -> Result<ModbusReading, PollError> {
        if station.placed.is_none() {
            let profile = Arc::clone(&station.profile);
            let verdict = self
                .identify_with(station.unit, &profile, &mut station.patience)
                .await?;
            let placed = match verdict {
                Verdict::Unproven => Arc::clone(&profile),
                Verdict::Fits(models) => station.placed_by(&models)?,
                // Not every firmware shows what the maker's document promises.
                Verdict::DoesNotFit(Misfit::Refused { probe }) => {
                    tracing::warn!(
                        unit = station.unit,
                        profile = profile.name(),
                        probe,
                        "the meter does not show whether the profile fits"
                    );
                    station.placed_by(&ModelMap::default())?
                }
                Verdict::DoesNotFit(misfit) => return Err(PollError::OtherMeter(misfit)),
            };
            station.placed = Some(placed);
        }
        let identity = match &station.identity {
            Some(_) => None,
            None => station.serial_number_block(),
        };
        self.read_placed(station, identity).await
    }

    /// Finds out whether a unit is a meter of the profile's family.
    ///
    /// # Errors
    ///
    /// [`PollError`] if the unit does not answer, or the line is down.
    pub(super) async fn identify_with(
        &mut self,
        unit: u8,
        profile: &Profile,
        patience: &mut Patience,
    ) -> Result<Verdict, PollError> {
        let mut identification = Identification::new(profile);
        while let Some(question) = identification.next_question() {
            let mut asked = Asked {
                unit,
                limits: profile.limits(),
                patience,
            };
            match self.ask(&mut asked, question).await {
                Ok(reply) => tell(&mut identification, question, &reply),
                Err(PollError::Exception(exception)) if !exception.is_passing() => {
                    identification.handle_reply(Told::Refusal);
                }
                Err(error) => return Err(error),
            }
        }
        // No question is left, so that the verdict stands.
        Ok(identification.verdict().unwrap_or(Verdict::Unproven))
    }

    /// Reads what the profile wants; without the essential registers the rest is not worth it.
    async fn read_placed(
        &mut self,
        station: &mut ModbusStation,
        essential: Option<Block>,
    ) -> Result<ModbusReading, PollError> {
        let profile = station
            .placed
            .clone()
            .unwrap_or_else(|| Arc::clone(&station.profile));
        let mut plan = profile.plan(&PollClass::ALL, &station.refusals);
        let mut fault = None;
        let mut refusal = None;
        let mut is_answered = false;
        while let Some(block) = plan.next_request() {
            let mut asked = station.asked();
            let error = match self.ask(&mut asked, Question::Registers(block)).await {
                Ok(Reply::Words(words)) if plan.handle_answer(&words).is_ok() => {
                    is_answered = true;
                    continue;
                }
                Ok(_) => PollError::Answer(super::frames::AnswerFault::Malformed),
                Err(error) => error,
            };
            match error {
                PollError::Exception(exception) => {
                    refusal.get_or_insert_with(|| error.clone());
                    if plan.handle_exception(exception.code()) == Handled::Unchanged {
                        plan.handle_refusal(exception.code());
                        if !exception.is_final() {
                            fault.get_or_insert_with(|| error.clone());
                        }
                    }
                }
                PollError::Answer(_) => {
                    plan.handle_bad_answer();
                    fault.get_or_insert_with(|| error.clone());
                }
                // The meter or the line is gone, and so are the answers to the other requests.
                ref gone => {
                    fault.get_or_insert_with(|| gone.clone());
                    while plan.next_request().is_some() {
                        plan.give_up();
                    }
                }
            }
            if essential.is_some_and(|block| plan.image().is_absent(block)) {
                return Err(error);
            }
        }
        match fault.as_ref().or(refusal.as_ref()) {
            Some(error) if !is_answered => Err(error.clone()),
            _ => {
                let outcome = plan.finish();
                station.refusals = outcome.refusals;
                Ok(ModbusReading {
                    profile,
                    image: outcome.image,
                    fault,
                })
            }
        }
    }
}

/// Tells the identification what came; what does not suit the question is a refusal.
pub(super) fn tell(identification: &mut Identification, question: Question, reply: &Reply) {
    let told = match (question, reply) {
        (_, Reply::Words(words)) => Told::Registers(words),
        (Question::Device(object), Reply::Device(body)) => {
            device_identification::text(object, body).map_or(Told::Refusal, Told::Device)
        }
        _ => Told::Refusal,
    };
    identification.handle_reply(told);
}

impl ModbusStation {
    fn asked(&mut self) -> Asked<'_> {
        Asked {
            unit: self.unit,
            limits: self.profile.limits(),
            patience: &mut self.patience,
        }
    }

    /// Moves the profile's registers to where this meter has its models.
    fn placed_by(&self, models: &ModelMap) -> Result<Arc<Profile>, PollError> {
        let placed = self.profile.placed(models).map_err(PollError::Placement)?;
        Ok(Arc::new(placed))
    }

    /// Returns where the serial number stands.
    fn serial_number_block(&self) -> Option<Block> {
        let profile = self.placed.as_ref().unwrap_or(&self.profile);
        profile.serial_number().map(|number| number.field.block())
    }
}
