//! Meters that are reached together, and what each says to a request.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use super::fault::{Fault, Faults};
use super::frame::{Carrier, Content, Request, Wanted};
use super::house::House;
use super::line::{SerialLine, Traffic};
use super::registers::{ILLEGAL_FUNCTION, Registers};
use super::sdm630;

/// The exception of a gateway that has no such unit behind it.
const GATEWAY_TARGET_FAILED: u8 = 11;

/// How meters are reached, and how fast they are, while nothing is wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Manners {
    /// How long a meter thinks about a request before it answers.
    pub latency: Duration,
    /// The line that the meters are on; without one, bits take no time. Over TCP it stands behind a
    /// gateway, which puts one request after the other on it.
    pub line: Option<SerialLine>,
    /// Whether one connection at a time is accepted, and a second one closed at once.
    pub one_connection: bool,
    /// Whether the adapter of the line returns what it is sent.
    pub echo: bool,
}

/// Meters that are reached together: behind one TCP server, or on one serial line.
#[derive(Debug)]
pub struct Site {
    manners: Manners,
    meters: BTreeMap<u8, Meter>,
}

impl Site {
    /// A site without meters, on which bits and thoughts take no time.
    #[must_use]
    pub fn new() -> Self {
        Self::with_manners(Manners::default())
    }

    /// A site without meters.
    #[must_use]
    pub const fn with_manners(manners: Manners) -> Self {
        Self {
            manners,
            meters: BTreeMap::new(),
        }
    }

    /// Adds a meter with these registers as that unit, in the place of the one that had it.
    #[must_use]
    pub fn with_meter(self, unit: u8, registers: Registers) -> Self {
        self.with(unit, Shown::Registers(registers))
    }

    /// Adds an SDM630 in a house, whose values follow from the time.
    #[must_use]
    pub fn with_sdm630(self, unit: u8, serial_number: u32) -> Self {
        let shown = Shown::House {
            house: House::new(),
            started: Instant::now(),
            serial_number,
        };
        self.with(unit, shown)
    }

    fn with(mut self, unit: u8, shown: Shown) -> Self {
        let meter = Meter {
            shown,
            faults: Faults::default(),
            requests: 0,
        };
        self.meters.insert(unit, meter);
        self
    }

    pub(super) const fn manners(&self) -> Manners {
        self.manners
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

/// A site in operation, which its connections share.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) manners: Manners,
    pub(super) state: Mutex<State>,
    /// The line, for one exchange at a time; without a line, connections do not wait for each other.
    pub(super) line: AsyncMutex<Traffic>,
}

#[derive(Debug)]
pub(super) struct State {
    meters: BTreeMap<u8, Meter>,
    /// What goes wrong with whichever meter is asked next.
    pub(super) faults: Faults,
    /// What goes wrong with every request that touches certain registers of a function.
    pub(super) habits: Vec<(u8, RangeInclusive<u16>, Fault)>,
    pub(super) requests: u64,
    pub(super) connections: u64,
    pub(super) refused: u64,
}

impl Running {
    pub(super) fn new(site: Site) -> Self {
        let manners = site.manners();
        Self {
            manners,
            state: Mutex::new(State {
                meters: site.meters,
                faults: Faults::default(),
                habits: Vec::new(),
                requests: 0,
                connections: 0,
                refused: 0,
            }),
            line: AsyncMutex::new(Traffic::new(manners.line)),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct Meter {
    shown: Shown,
    pub(super) faults: Faults,
    pub(super) requests: u64,
}

/// What a meter shows.
#[derive(Debug)]
enum Shown {
    House {
        house: House,
        started: Instant,
        serial_number: u32,
    },
    Registers(Registers),
}

impl Shown {
    fn read(&mut self, request: Request) -> Result<Content, u8> {
        match (self, request.wanted) {
            (
                Self::House {
                    house,
                    started,
                    serial_number,
                },
                Wanted::Registers { address, count },
            ) => {
                house.live_until(started.elapsed().as_secs());
                sdm630::read(house, *serial_number, request.function, address, count).map(Content::Words)
            }
            (Self::Registers(registers), Wanted::Registers { address, count }) => registers
                .read(request.function, address, count)
                .map(Content::Words),
            (Self::Registers(registers), Wanted::Object(object)) => {
                let text = registers.object(object);
                text.map(|text| Content::Object(object, text.to_owned()))
            }
            (Self::House { .. }, Wanted::Object(_)) | (_, Wanted::Unknown) => Err(ILLEGAL_FUNCTION),
        }
    }
}

/// What a connection does about a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// It sends the frame, after that much more than the meter's latency.
    Answer(Vec<u8>, Duration),
    /// It sends the frame before the answer to the next request.
    Hold(Vec<u8>),
    Ignore,
    Close,
}

/// What a connection remembers from request to request.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The answer that is still to be sent.
    pub(super) held: Vec<u8>,
    /// The last answer.
    last: Vec<u8>,
}

impl State {
    /// Returns the meter with that unit.
    pub(super) fn meter(&mut self, unit: u8) -> Option<&mut Meter> {
        self.meters.get_mut(&unit)
    }

    /// Takes back all faults that have not happened yet.
    pub(super) fn heal(&mut self) {
        self.faults.clear();
        self.habits.clear();
        for meter in self.meters.values_mut() {
            meter.faults.clear();
        }
    }

    pub(super) fn react(&mut self, request: Request, carrier: Carrier, memory: &mut Memory) -> Reaction {
        self.requests += 1;
        let Some(meter) = self.meters.get_mut(&request.unit) else {
            return match carrier {
                Carrier::Tcp { .. } => {
                    let refusal = request.answer(Err(GATEWAY_TARGET_FAILED));
                    Reaction::Answer(carrier.wrap(request.unit, &refusal), Duration::ZERO)
                }
                Carrier::Serial => Reaction::Ignore,
            };
        };
        meter.requests += 1;
        let habit = || {
            let Wanted::Registers { address, count } = request.wanted else {
                return None;
            };
            let last = address.saturating_add(count.saturating_sub(1));
            let mut habits = self.habits.iter();
            let habit = habits.find(|(function, range, _)| {
                *function == request.function && *range.start() <= last && *range.end() >= address
            });
            habit.map(|(.., fault)| *fault)
        };
        let fault = meter.faults.next().or_else(|| self.faults.next()).or_else(habit);
        let result = meter.shown.read(request);
        let answer = carrier.wrap(
            request.unit,
            &request.answer(result.as_ref().map_err(|code| *code)),
        );
        let stale = std::mem::replace(&mut memory.last, answer.clone());
        match fault {
            None => Reaction::Answer(answer, Duration::ZERO),
            Some(fault) => spoiled(fault, (request, carrier), &result, answer, stale),
        }
    }
}

/// Has an answer go wrong.
fn spoiled(
    fault: Fault,
    (request, carrier): (Request, Carrier),
    result: &Result<Content, u8>,
    mut answer: Vec<u8>,
    stale: Vec<u8>,
) -> Reaction {
    let body = |request: Request, result: &Result<Content, u8>| {
        request.answer(result.as_ref().map_err(|code| *code))
    };
    let frame = match fault {
        Fault::Exception(code) => carrier.wrap(request.unit, &request.answer(Err(code))),
        Fault::Silence => return Reaction::Ignore,
        Fault::Late => return Reaction::Hold(answer),
        Fault::Delayed(delay) => return Reaction::Answer(answer, delay),
        Fault::WrongUnit => carrier.wrap(request.unit.wrapping_add(1), &body(request, result)),
        Fault::WrongTransaction => match carrier {
            Carrier::Tcp { transaction } => {
                let transaction = transaction.wrapping_sub(1);
                Carrier::Tcp { transaction }.wrap(request.unit, &body(request, result))
            }
            Carrier::Serial if stale.is_empty() => return Reaction::Ignore,
            Carrier::Serial => stale,
        },
        Fault::WrongFunction => {
            let other = Request {
                function: if request.function == 3 { 4 } else { 3 },
                ..request
            };
            carrier.wrap(request.unit, &body(other, result))
        }
        Fault::WrongChecksum => {
            carrier.spoil(&mut answer);
            answer
        }
        Fault::HalfFrame => {
            answer.truncate(answer.len() / 2);
            answer
        }
        Fault::TooShort => carrier.wrap(request.unit, &body(request, &resized(result, -1))),
        Fault::TooLong => carrier.wrap(request.unit, &body(request, &resized(result, 1))),
        Fault::Close => return Reaction::Close,
    };
    Reaction::Answer(frame, Duration::ZERO)
}

/// Returns the content with one register more or less.
fn resized(result: &Result<Content, u8>, change: isize) -> Result<Content, u8> {
    let mut resized = result.clone();
    if let Ok(Content::Words(words)) = &mut resized {
        words.resize(words.len().saturating_add_signed(change), 0);
    }
    resized
}
