//! Discovery: which units are on a Modbus line or host, and what meters they are.
//!
//! The scan reports as it goes, so that progress can be shown and what was found is not lost when it
//! is cancelled: drop the future, or cancel what it is selected against.

use std::sync::Arc;
use std::time::Duration;

use modbus::{
    Block, Function, Identification, Misfit, Plausibility, PollClass, Profile, Question, Refusals,
    RegisterImage, Reply as Told, Verdict,
};
use model::{GapReason, MeterId};

use super::link::Reply;
use super::master::{Asked, ModbusMaster};
use super::patience::Patience;
use super::reading::tell;
use crate::{ModbusEndpoint, PollError};

/// The questions that show whether anybody is there. A unit that does not have the register says so;
/// one that does not know the function should, but some are silent then.
const PRESENCE: [Question; 2] = [
    Question::Registers(Block {
        function: Function::HoldingRegisters,
        address: 0,
        count: 1,
    }),
    Question::Registers(Block {
        function: Function::InputRegisters,
        address: 0,
        count: 1,
    }),
];
/// How often a unit that is known to be there is asked.
const TRIES: u8 = 2;
/// How often a profile's requests are split while it is compared: more holes than this has no map.
const MAX_SPLITS: u8 = 40;
/// The exception for registers that are not there.
///
/// Spec: Modbus Application Protocol V1.1b3, section 7.
const ILLEGAL_DATA_ADDRESS: u8 = 2;
/// How many units with one and the same serial number show that a host answers for every unit.
const SAME_METER: usize = 3;

/// What a scan reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModbusDiscovery {
    /// A unit is about to be asked.
    Asking {
        /// The unit.
        unit: u8,
        /// Units that were asked before.
        done: usize,
        /// Units that follow.
        open: usize,
    },
    /// A profile is about to be tried on a unit that is there.
    Trying {
        /// The unit.
        unit: u8,
        /// The profile's name.
        profile: String,
    },
    /// A unit is there.
    Unit(Box<FoundUnit>),
    /// The host answers for every unit with the same meter; the scan ends.
    EveryUnit {
        /// The first unit that it was found as.
        unit: u8,
        /// The meter.
        meter: MeterId,
    },
}

/// A unit that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundUnit {
    /// The unit.
    pub unit: u8,
    /// The profiles that fit it, the best one first.
    pub fitting: Vec<Fit>,
    /// The profiles that do not, the closest one first.
    pub others: Vec<NoFit>,
    /// What went wrong, if the unit could not be looked at to the end.
    pub fault: Option<PollError>,
}

/// A profile that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// The profile, with its registers where the meter has them.
    pub profile: Arc<Profile>,
    /// Whether the meter says that it is one of the family; otherwise its values look like it.
    pub is_proven: bool,
    /// Who the meter says it is.
    pub meter: Option<MeterId>,
}

/// A profile that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoFit {
    /// The profile's name.
    pub profile: String,
    /// Why it does not fit.
    pub reason: Mismatch,
}

/// Why a profile does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The meters of the family have other units.
    #[error("its meters have units {first} to {last}")]
    Unit {
        /// The first unit.
        first: u8,
        /// The last unit.
        last: u8,
    },
    /// The meter says that it is another one.
    #[error("{0}")]
    Misfit(Misfit),
    /// The meter does not show all the values.
    #[error("{shown} of its {values} values are shown")]
    Hidden {
        /// The values that the meter shows.
        shown: usize,
        /// The values of the profile.
        values: usize,
    },
    /// A value is none that a meter shows.
    #[error("{obis} would be {quantity}")]
    Implausible {
        /// What is measured.
        obis: model::Obis,
        /// The value.
        quantity: model::Quantity,
    },
    /// Nothing tells the family apart.
    #[error("nothing tells its meters from others")]
    Unproven,
}

/// Looks for meters on the units, and for the profiles that fit them.
///
/// An answer is waited for as long as `wait`; who is silent is asked so many times.
///
/// # Errors
///
/// [`PollError`] if the line or host cannot be reached, which ends the scan.
pub async fn scan(
    master: &mut ModbusMaster,
    units: &[u8],
    profiles: &[Arc<Profile>],
    wait: Duration,
    tries: u8,
    mut report: impl FnMut(ModbusDiscovery),
) -> Result<(), PollError> {
    let Some(limits) = profiles.first().map(|profile| profile.limits().clone()) else {
        return Ok(());
    };
    let mut last: Option<(MeterId, u8, usize)> = None;
    for (done, unit) in units.iter().copied().enumerate() {
        let open = units.len().saturating_sub(done).saturating_sub(1);
        report(ModbusDiscovery::Asking { unit, done, open });
        let mut visit = Visit {
            unit,
            limits: &limits,
            patience: Patience::new(wait).with_tries(tries),
            known: Vec::new(),
        };
        let fault = match visit.presence(master).await? {
            Presence::Absent => continue,
            Presence::There => None,
            Presence::Disturbed(fault) => Some(fault),
        };
        let found = visit.look(master, profiles, fault, &mut report).await?;
        let meter = found.fitting.first().and_then(|fit| fit.meter.clone());
        report(ModbusDiscovery::Unit(Box::new(found)));
        last = match (meter, last) {
            (Some(meter), Some((same, first, count))) if meter == same => {
                Some((same, first, count.saturating_add(1)))
            }
            (Some(meter), _) => Some((meter, unit, 1)),
            (None, _) => None,
        };
        if let Some((meter, unit, SAME_METER)) = &last
            && matches!(master.endpoint(), ModbusEndpoint::Tcp { .. })
        {
            report(ModbusDiscovery::EveryUnit {
                unit: *unit,
                meter: meter.clone(),
            });
            return Ok(());
        }
    }
    Ok(())
}

/// Whether anybody is there.
enum Presence {
    Absent,
    There,
    /// Somebody is, but is not understood.
    Disturbed(PollError),
}

/// A unit while it is looked at.
struct Visit<'a> {
    unit: u8,
    limits: &'a modbus::Limits,
    patience: Patience,
    /// What it was asked before: profiles have questions in common.
    known: Vec<(Question, Option<Reply>)>,
}

impl Visit<'_> {
    async fn presence(&mut self, master: &mut ModbusMaster) -> Result<Presence, PollError> {
        let mut presence = Presence::Absent;
        for question in PRESENCE {
            match self.ask(master, question).await {
                Ok(_) => return Ok(Presence::There),
                Err(PollError::NoAnswer { .. } | PollError::ConnectionLost) => {}
                // A gateway says that nobody is behind it.
                Err(PollError::Exception(exception)) if exception.gap_reason() == GapReason::NoAnswer => {
                    return Ok(Presence::Absent);
                }
                // It is there and busy.
                Err(PollError::Exception(_)) => return Ok(Presence::There),
                Err(fault @ PollError::Answer(_)) => presence = Presence::Disturbed(fault),
                Err(error) => return Err(error),
            }
        }
        Ok(presence)
    }

    /// Asks once for each question; an exception that will not change is no reply.
    async fn ask(
        &mut self,
        master: &mut ModbusMaster,
        question: Question,
    ) -> Result<Option<Reply>, PollError> {
        if let Some((_, reply)) = self.known.iter().find(|(asked, _)| *asked == question) {
            return Ok(reply.clone());
        }
        let mut asked = Asked {
            unit: self.unit,
            limits: self.limits,
            patience: &mut self.patience,
        };
        let reply = match master.ask(&mut asked, question).await {
            Ok(reply) => Some(reply),
            Err(PollError::Exception(exception)) if !exception.is_passing() => None,
            Err(error) => return Err(error),
        };
        self.known.push((question, reply.clone()));
        Ok(reply)
    }

    /// Tries every profile: first what the meter says of itself, then what its values look like.
    async fn look(
        mut self,
        master: &mut ModbusMaster,
        profiles: &[Arc<Profile>],
        fault: Option<PollError>,
        report: &mut impl FnMut(ModbusDiscovery),
    ) -> Result<FoundUnit, PollError> {
        self.patience = self.patience.with_tries(TRIES);
        let mut found = Found {
            unit: self.unit,
            fault,
            ..Found::default()
        };
        for is_proof in [true, false] {
            if !found.fitting.is_empty() {
                found.rule_out_the_rest(profiles);
                break;
            }
            for profile in profiles {
                if is_proven_by_itself(profile) != is_proof {
                    continue;
                }
                report(ModbusDiscovery::Trying {
                    unit: self.unit,
                    profile: profile.name().to_owned(),
                });
                let tried = if is_proof {
                    self.prove(master, profile).await
                } else {
                    self.compare(master, profile).await
                };
                match tried {
                    Ok(Ok(fit)) => found.fitting.push(fit),
                    Ok(Err((closeness, reason))) => found.others.push((closeness, no_fit(profile, reason))),
                    Err(error) if error.gap_reason() == GapReason::BusDown => match error {
                        // Some hosts close the connection for a question that they do not like.
                        PollError::ConnectionLost => found.fault = Some(error),
                        error => return Err(error),
                    },
                    Err(error) => found.fault = Some(error),
                }
            }
        }
        Ok(found.finish())
    }

    /// Asks what the profile's probes want to know.
    async fn prove(&mut self, master: &mut ModbusMaster, profile: &Arc<Profile>) -> Result<Tried, PollError> {
        if let Some(mismatch) = self.unit_mismatch(profile) {
            return Ok(Err(mismatch));
        }
        let mut identification = Identification::new(profile);
        let mut answered = 0_usize;
        while let Some(question) = identification.next_question() {
            match self.ask(master, question).await? {
                Some(reply) => {
                    answered = answered.saturating_add(1);
                    tell(&mut identification, question, &reply);
                }
                None => identification.handle_reply(Told::Refusal),
            }
        }
        let models = match identification.verdict() {
            Some(Verdict::Fits(models)) => models,
            Some(Verdict::DoesNotFit(misfit)) => {
                return Ok(Err((answered.saturating_mul(PROVEN), Mismatch::Misfit(misfit))));
            }
            Some(Verdict::Unproven) | None => return Ok(Err((0, Mismatch::Unproven))),
        };
        let placed = profile.placed(&models).map_err(PollError::Placement)?;
        let meter = self.identity(master, &placed).await?;
        Ok(Ok(Fit {
            profile: Arc::new(placed),
            is_proven: true,
            meter,
        }))
    }

    /// Reads what the profile wants, and looks whether a meter shows such values.
    async fn compare(
        &mut self,
        master: &mut ModbusMaster,
        profile: &Arc<Profile>,
    ) -> Result<Tried, PollError> {
        if let Some(mismatch) = self.unit_mismatch(profile) {
            return Ok(Err(mismatch));
        }
        let mut plan = profile.plan(&PollClass::ALL, &Refusals::default());
        let mut splits_left = MAX_SPLITS;
        // A meter that shows a serial number where the profile has it is worth more questions.
        let serial_number = profile.serial_number().map(|number| number.field.block());
        let mut is_answered = match serial_number {
            Some(block) => self.ask(master, Question::Registers(block)).await?.is_some(),
            None => false,
        };
        while let Some(block) = plan.next_request() {
            match self.ask(master, Question::Registers(block)).await? {
                Some(Reply::Words(words)) if plan.handle_answer(&words).is_ok() => is_answered = true,
                Some(_) => drop(plan.give_up(GapReason::BadAnswer)),
                // A meter that shows some of it may refuse to be read across holes.
                None if is_answered && splits_left > 0 => {
                    splits_left = splits_left.saturating_sub(1);
                    plan.handle_exception(ILLEGAL_DATA_ADDRESS);
                }
                None => plan.handle_refusal(ILLEGAL_DATA_ADDRESS),
            }
        }
        let image = plan.finish().image;
        let plausibility = Plausibility::of(profile, &image);
        let Plausibility {
            values,
            shown,
            telling,
            implausible,
            ..
        } = plausibility;
        if plausibility.suits() {
            return Ok(Ok(Fit {
                profile: Arc::clone(profile),
                is_proven: false,
                meter: profile.identity(&image).ok(),
            }));
        }
        let reason = match implausible {
            Some((obis, quantity)) => Mismatch::Implausible { obis, quantity },
            None if shown < values => Mismatch::Hidden { shown, values },
            None => Mismatch::Unproven,
        };
        let share = telling.saturating_mul(PROVEN).checked_div(values.max(1));
        Ok(Err((share.unwrap_or(0), reason)))
    }

    /// Returns who the meter says it is, if its profile knows where that stands.
    async fn identity(
        &mut self,
        master: &mut ModbusMaster,
        profile: &Profile,
    ) -> Result<Option<MeterId>, PollError> {
        let Some(serial_number) = profile.serial_number() else {
            return Ok(None);
        };
        let block = serial_number.field.block();
        let mut image = RegisterImage::new();
        if let Some(Reply::Words(words)) = self.ask(master, Question::Registers(block)).await? {
            drop(image.insert(block, &words));
        }
        Ok(profile.identity(&image).ok())
    }

    fn unit_mismatch(&self, profile: &Profile) -> Option<(usize, Mismatch)> {
        let units = profile.unit_ids();
        // 255 is a host that is the meter itself.
        let is_possible = units.contains(self.unit) || self.unit == u8::MAX;
        (!is_possible).then_some((
            0,
            Mismatch::Unit {
                first: units.first,
                last: units.last,
            },
        ))
    }
}

/// A profile that fits, or how close it comes and why it does not.
type Tried = Result<Fit, (usize, Mismatch)>;

/// How much a probe counts that was answered, as against all the values of a profile.
const PROVEN: usize = 100;

/// What has been found out about a unit.
#[derive(Default)]
struct Found {
    unit: u8,
    fitting: Vec<Fit>,
    others: Vec<(usize, NoFit)>,
    fault: Option<PollError>,
}

impl Found {
    /// Notes of the profiles that need no look any more that the meter has said what it is.
    fn rule_out_the_rest(&mut self, profiles: &[Arc<Profile>]) {
        let rest = profiles.iter().filter(|profile| !is_proven_by_itself(profile));
        self.others
            .extend(rest.map(|profile| (0, no_fit(profile, Mismatch::Unproven))));
    }

    fn finish(mut self) -> FoundUnit {
        // Of profiles that nothing tells apart, the one that explains most is the best one.
        self.fitting
            .sort_by_key(|fit| std::cmp::Reverse(fit.profile.registers().len()));
        self.others
            .sort_by_key(|(closeness, _)| std::cmp::Reverse(*closeness));
        FoundUnit {
            unit: self.unit,
            fitting: self.fitting,
            others: self.others.into_iter().map(|(_, other)| other).collect(),
            fault: self.fault,
        }
    }
}

fn no_fit(profile: &Profile, reason: Mismatch) -> NoFit {
    NoFit {
        profile: profile.name().to_owned(),
        reason,
    }
}

/// Returns whether the meters of the family say what they are.
fn is_proven_by_itself(profile: &Profile) -> bool {
    profile.sunspec().is_some() || !profile.identification().is_empty()
}
