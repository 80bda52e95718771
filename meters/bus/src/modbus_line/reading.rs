//! Reading a meter by its profile, and finding out whether it is of the profile's family.

use std::sync::Arc;

use modbus::sunspec::{ModelMap, Walk};
use modbus::{
    Block, Handled, Identification, Misfit, Plan, PollClass, Profile, Question, RegisterImage, Reply as Told,
    Verdict, device_identification,
};

use super::link::Reply;
use super::master::{Asked, ModbusMaster};
use super::patience::Patience;
use super::station::{ModbusStation, Statics};
use crate::PollError;

/// The greatest number of requests of one read that a meter may leave unanswered. Some are silent about
/// what they do not have; one that is gone is not worth waiting for each of its requests.
const MAX_SILENT: usize = 2;

/// What was read from a meter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModbusReading {
    /// The profile, with its registers where this meter has them.
    pub profile: Arc<Profile>,
    /// The registers.
    pub image: RegisterImage,
    /// The first thing that went wrong, if not everything could be read.
    pub fault: Option<PollError>,
    /// The registers that were asked for in vain, and why they are not there.
    pub absent: Vec<(Block, PollError)>,
    /// Whether the values that never change were asked for too.
    pub has_statics: bool,
}

impl ModbusReading {
    /// Returns why registers that were asked for are not there.
    #[must_use]
    pub fn cause(&self, block: Block) -> Option<&PollError> {
        let absent = self.absent.iter();
        absent
            .filter(|(absent, _)| *absent == block)
            .map(|(_, error)| error)
            .next()
    }
}

/// What came out of the question whether a meter is of its profile's family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// It is one.
    Fits,
    /// Nothing tells the family apart.
    Unproven,
    /// The meter does not show what the probe wants to see; not every firmware does what the maker's document promises.
    Refused {
        /// The number of the probe in the profile, counted from 1.
        probe: usize,
    },
    /// The meter has not answered the probe; if it answers the other requests, it is read all the same.
    Silent,
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
        self.read_placed(station, &PollClass::ALL).await
    }

    /// Reads every register of a meter that must be of the profile's family.
    ///
    /// It is asked once whether it is; [`ModbusStation::proof`] tells what came out of it.
    ///
    /// # Errors
    ///
    /// [`PollError::OtherMeter`] if it is another one, and what [`read`](Self::read) says.
    pub async fn read_identified(&mut self, station: &mut ModbusStation) -> Result<ModbusReading, PollError> {
        self.identify(station).await?;
        self.read_placed(station, &PollClass::ALL).await
    }

    /// Reads what is due of a meter that must be of the profile's family.
    pub(super) async fn read_due(&mut self, station: &mut ModbusStation) -> Result<ModbusReading, PollError> {
        self.identify(station).await?;
        let kept = station.statics.as_ref();
        let classes = if kept.is_some_and(|kept| kept.since.elapsed() < Statics::LONGEST) {
            &[PollClass::Fast, PollClass::Normal][..]
        } else {
            &PollClass::ALL
        };
        self.read_placed(station, classes).await
    }

    /// Asks a meter at its first contact whether it is of the profile's family.
    async fn identify(&mut self, station: &mut ModbusStation) -> Result<(), PollError> {
        if station.placed.is_some() && station.proof.is_some() {
            return Ok(());
        }
        let profile = Arc::clone(&station.profile);
        let verdict = self
            .identify_with(station.unit, &profile, &mut station.patience)
            .await;
        let (placed, proof) = match verdict {
            Ok(Verdict::Unproven) => (Arc::clone(&profile), Proof::Unproven),
            Ok(Verdict::Fits(models)) => (station.placed_by(&models)?, Proof::Fits),
            Ok(Verdict::DoesNotFit(Misfit::Refused { probe })) => {
                (station.placed_by(&ModelMap::default())?, Proof::Refused { probe })
            }
            Ok(Verdict::DoesNotFit(misfit)) => return Err(PollError::OtherMeter(misfit)),
            // Without its walk, nobody knows where a SunSpec meter has its registers.
            Err(PollError::NoAnswer { .. } | PollError::ConnectionLost) if profile.sunspec().is_none() => {
                (Arc::clone(&profile), Proof::Silent)
            }
            Err(error) => return Err(error),
        };
        if matches!(proof, Proof::Refused { .. } | Proof::Silent) {
            tracing::warn!(
                unit = station.unit,
                profile = profile.name(),
                ?proof,
                "the meter does not show whether the profile fits"
            );
        }
        station.placed = Some(placed);
        station.proof = Some(proof);
        Ok(())
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

    /// Reads what the profile wants of some classes.
    ///
    /// A request that is not answered ends the read if nothing was answered before, and so does the
    /// second one: that bounds how long a meter is waited for.
    pub(super) async fn read_placed(
        &mut self,
        station: &mut ModbusStation,
        classes: &[PollClass],
    ) -> Result<ModbusReading, PollError> {
        let profile = station
            .placed
            .clone()
            .unwrap_or_else(|| Arc::clone(&station.profile));
        let mut plan = profile.plan(classes, &station.refusals);
        let mut failures = Failures::default();
        while let Some(block) = plan.next_request() {
            let mut asked = station.asked();
            let error = match self.ask(&mut asked, Question::Registers(block)).await {
                Ok(Reply::Words(words)) if plan.handle_answer(&words).is_ok() => continue,
                Ok(_) => PollError::Answer(super::frames::AnswerFault::Malformed),
                Err(error) => error,
            };
            failures.handle(&mut plan, error);
        }
        let Failures {
            fault,
            refusal,
            absent,
            ..
        } = failures;
        match fault.as_ref().or(refusal.as_ref()) {
            Some(error) if !plan.is_answered() => Err(error.clone()),
            _ => {
                let outcome = plan.finish();
                station.refusals = outcome.refusals;
                Ok(ModbusReading {
                    profile,
                    image: outcome.image,
                    fault,
                    absent,
                    has_statics: classes.contains(&PollClass::Static),
                })
            }
        }
    }
}

/// What went wrong in one read.
#[derive(Default)]
struct Failures {
    /// The first thing that is the fault of the meter or of the line.
    fault: Option<PollError>,
    /// The first refusal.
    refusal: Option<PollError>,
    absent: Vec<(Block, PollError)>,
    silent: usize,
}

impl Failures {
    /// Has the plan go on after a request that was not answered as it should be.
    fn handle(&mut self, plan: &mut Plan, error: PollError) {
        match error {
            PollError::Exception(exception) => {
                self.refusal.get_or_insert_with(|| error.clone());
                if plan.handle_exception(exception.code()) == Handled::Unchanged {
                    plan.handle_refusal(exception.code());
                    if !exception.is_final() {
                        self.fault.get_or_insert(error);
                    }
                }
            }
            PollError::Answer(_) => self.give_up(plan, &error),
            PollError::NoAnswer { .. } | PollError::ConnectionLost => {
                self.silent = self.silent.saturating_add(1);
                let is_gone = !plan.is_answered() || self.silent >= MAX_SILENT;
                self.give_up(plan, &error);
                if is_gone {
                    self.give_up_the_rest(plan, &error);
                }
            }
            // The line is gone, and so are the answers to the other requests.
            gone => self.give_up_the_rest(plan, &gone),
        }
    }

    fn give_up(&mut self, plan: &mut Plan, error: &PollError) {
        self.fault.get_or_insert_with(|| error.clone());
        let members = plan.give_up(error.gap_reason());
        self.absent
            .extend(members.into_iter().map(|member| (member, error.clone())));
    }

    fn give_up_the_rest(&mut self, plan: &mut Plan, error: &PollError) {
        while plan.next_request().is_some() {
            self.give_up(plan, error);
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
    pub(super) fn serial_number_block(&self) -> Option<Block> {
        let profile = self.placed.as_ref().unwrap_or(&self.profile);
        profile.serial_number().map(|number| number.field.block())
    }
}
