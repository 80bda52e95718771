//! The acts, and what each of them writes: all of it follows from the act's number.

use std::fmt;
use std::sync::LazyLock;

use model::{
    Binding, CalibrationEvent, ConsumerEvent, Decimal, Element, Fingerprint, Gap, GapReason, GatewayId,
    LogEvent, LogText, Obis, Period, Quantity, Reading, Span, Status, SystemEvent, Timestamp, Unit,
};
use store::{DeviceKey, Intent, Moment, OutboxMessage, Protection, Round};
use zeroize::Zeroizing;

/// 2025-01-01T00:00:00Z, where the days begin that are registered at once.
const DAYS_BEGIN: i64 = 1_735_689_600;

/// 2026-01-01T00:00:00Z, where the single rounds begin.
const BEGIN: i64 = 1_767_225_600;

/// The distance of two rounds in seconds.
const STEP: i64 = 900;

/// Rounds that come with a message stand so many seconds behind those that come without.
const POST_OFFSET: i64 = 300;

const DAY_SECONDS: i64 = 86_400;

/// The number of meters; in each round one of them is silent.
const METERS: u32 = 5;

/// How often the rarer acts of a mix come, in rounds; a day is registered, sealed and forgotten as often.
const RARELY: u32 = 16;

/// The number of days behind which a mix forgets one.
const HISTORY_DAYS: u32 = 3;

/// One thing that the gateway asks of its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Act {
    /// Opens store and logs.
    Open,
    /// Closes store and logs and opens them again, in the same process.
    Reopen,
    /// Writes the intent.
    Begin,
    /// Burns the binding.
    Burn,
    /// Burns the tamper lock.
    Tamper,
    /// Burns the lock that says that the card has ended its life.
    Terminated,
    /// Advances the card's session counter to this value.
    Advance(u32),
    /// Registers the round of this number.
    Round(u32),
    /// Registers the quarter hours of the day of this number at once.
    Day(u32),
    /// Registers a round and queues a message, in one transaction.
    Post(u32),
    /// Queues the message of this number.
    Queue(u32),
    /// The message of this number may be forgotten from now on: its receipt is about to be taken.
    WillReceipt(u32),
    /// Takes the receipt for the message that was posted with this number.
    Receipt(u32),
    /// Seals the days before the one of this number.
    Seal(u32),
    /// The days before the one of this number may be forgotten from now on.
    WillForget(u32),
    /// Forgets the days before the one of this number.
    Forget(u32),
    /// Remembers the request of this number.
    Remember(u32),
    /// Installs the bundle of this version.
    Bundle(u32),
    /// Appends the entries of this number, one to each log.
    Log(u32),
    /// Has the heads of the logs signed.
    Sign,
}

impl Act {
    /// Returns its name and its number.
    const fn word(self) -> (&'static str, Option<u32>) {
        match self {
            Self::Open => ("open", None),
            Self::Reopen => ("reopen", None),
            Self::Begin => ("begin", None),
            Self::Burn => ("burn", None),
            Self::Tamper => ("tamper", None),
            Self::Terminated => ("terminated", None),
            Self::Sign => ("sign", None),
            Self::Advance(number) => ("advance", Some(number)),
            Self::Round(number) => ("round", Some(number)),
            Self::Day(number) => ("day", Some(number)),
            Self::Post(number) => ("post", Some(number)),
            Self::Queue(number) => ("queue", Some(number)),
            Self::WillReceipt(number) => ("will-receipt", Some(number)),
            Self::Receipt(number) => ("receipt", Some(number)),
            Self::Seal(number) => ("seal", Some(number)),
            Self::WillForget(number) => ("will-forget", Some(number)),
            Self::Forget(number) => ("forget", Some(number)),
            Self::Remember(number) => ("remember", Some(number)),
            Self::Bundle(number) => ("bundle", Some(number)),
            Self::Log(number) => ("log", Some(number)),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.word() {
            (name, None) => formatter.write_str(name),
            (name, Some(number)) => write!(formatter, "{name}:{number}"),
        }
    }
}

/// Reads the acts of a script, ranges of acts too; what removes something is announced by an act of its own.
pub(crate) fn parse_script(words: &[&str]) -> Option<Vec<Act>> {
    let mut acts = Vec::new();
    for word in words {
        match word.split_once(':') {
            Some(("days", numbers)) => acts.extend(range(numbers)?.map(Act::Day)),
            Some(("mix", numbers)) => range(numbers)?.for_each(|number| mix(number, &mut acts)),
            _ => add(parse(word)?, &mut acts),
        }
    }
    Some(acts)
}

/// Reads one act.
pub(crate) fn parse(word: &str) -> Option<Act> {
    let Some((name, number)) = word.split_once(':') else {
        return Some(match word {
            "open" => Act::Open,
            "reopen" => Act::Reopen,
            "begin" => Act::Begin,
            "burn" => Act::Burn,
            "tamper" => Act::Tamper,
            "terminated" => Act::Terminated,
            "sign" => Act::Sign,
            _ => return None,
        });
    };
    let number = number.parse().ok()?;
    Some(match name {
        "advance" => Act::Advance(number),
        "round" => Act::Round(number),
        "day" => Act::Day(number),
        "post" => Act::Post(number),
        "queue" => Act::Queue(number),
        "will-receipt" => Act::WillReceipt(number),
        "receipt" => Act::Receipt(number),
        "seal" => Act::Seal(number),
        "will-forget" => Act::WillForget(number),
        "forget" => Act::Forget(number),
        "remember" => Act::Remember(number),
        "bundle" => Act::Bundle(number),
        "log" => Act::Log(number),
        _ => return None,
    })
}

fn add(act: Act, acts: &mut Vec<Act>) {
    match act {
        Act::Receipt(number) => acts.push(Act::WillReceipt(number)),
        Act::Forget(number) => acts.push(Act::WillForget(number)),
        _ => {}
    }
    acts.push(act);
}

/// Adds what a gateway does about one round, now and then something rarer.
fn mix(number: u32, acts: &mut Vec<Act>) {
    let day = number / RARELY;
    add(Act::Round(number), acts);
    add(Act::Remember(number), acts);
    add(Act::Log(number), acts);
    match number % RARELY {
        0 | 8 => add(Act::Bundle(number.saturating_add(1)), acts),
        1 | 9 => add(Act::Post(number), acts),
        3 => add(Act::Advance(number), acts),
        4 => add(Act::Receipt(number.saturating_sub(3)), acts),
        5 => add(Act::Queue(number), acts),
        6 => add(Act::Sign, acts),
        7 => add(Act::Day(day), acts),
        10 => add(Act::Seal(day), acts),
        11 if day > HISTORY_DAYS => add(Act::Forget(day.saturating_sub(HISTORY_DAYS)), acts),
        _ => {}
    }
}

fn range(text: &str) -> Option<std::ops::Range<u32>> {
    let (from, to) = text.split_once('-')?;
    Some(from.parse().ok()?..to.parse().ok()?)
}

/// Returns a time as the store knows it; those of the acts are far from where it could fail.
fn time(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap_or(Timestamp::EPOCH)
}

/// Returns the clock's time for everything but rounds; it stands still.
pub(crate) fn now() -> Timestamp {
    time(BEGIN)
}

/// Returns the same for the logs.
pub(crate) fn moment() -> Moment {
    Moment {
        time: now(),
        clock_trusted: true,
    }
}

/// Returns what the bindings are sealed with.
pub(crate) fn protection() -> Protection {
    Protection {
        key: DeviceKey::new([0x5a; 32]),
        otp: None,
    }
}

/// Returns a period that every round is in.
pub(crate) fn always() -> Option<Period> {
    Period::new(Timestamp::EPOCH, time(i64::from(u32::MAX))).ok()
}

/// Returns the first second of a day.
pub(crate) fn day_start(number: u32) -> Timestamp {
    time(DAYS_BEGIN.saturating_add(i64::from(number).saturating_mul(DAY_SECONDS)))
}

/// Returns what an act registers: a reading of each meter but one, and a gap for that one, at each of its times.
pub(crate) fn round(act: Act) -> Round {
    let (from, count) = match act {
        Act::Day(number) => (day_start(number).unix_seconds(), DAY_SECONDS / STEP),
        Act::Round(number) => (BEGIN.saturating_add(i64::from(number).saturating_mul(STEP)), 1),
        Act::Post(number) => {
            let begin = BEGIN.saturating_add(POST_OFFSET);
            (begin.saturating_add(i64::from(number).saturating_mul(STEP)), 1)
        }
        _ => (BEGIN, 0),
    };
    let mut round = Round::default();
    for index in 0..count {
        let time = time(from.saturating_add(index.saturating_mul(STEP)));
        for element in ELEMENTS.iter() {
            match point(time, element) {
                Some(Ok(reading)) => round.readings.push(reading),
                Some(Err(gap)) => round.gaps.push(gap),
                None => {}
            }
        }
    }
    round
}

/// Returns the act that registers what stands at a time.
pub(crate) fn act_at(time: Timestamp) -> Option<Act> {
    let seconds = time.unix_seconds();
    if let Some(behind) = seconds.checked_sub(BEGIN).filter(|behind| *behind >= 0) {
        let number = u32::try_from(behind.checked_div(STEP)?).ok()?;
        return match behind.checked_rem(STEP)? {
            0 => Some(Act::Round(number)),
            POST_OFFSET => Some(Act::Post(number)),
            _ => None,
        };
    }
    let behind = seconds.checked_sub(DAYS_BEGIN)?;
    let day = u32::try_from(behind.checked_div(DAY_SECONDS)?).ok()?;
    (behind >= 0 && behind.checked_rem(STEP)? == 0).then_some(Act::Day(day))
}

/// The elements, one of each meter.
static ELEMENTS: LazyLock<Vec<Element>> = LazyLock::new(|| {
    let element = |meter: u32| {
        Some(Element {
            meter: format!("TORT-{meter}").parse().ok()?,
            obis: Obis::new([1, 0, 1, 8, 0, 255]),
        })
    };
    (0..METERS).filter_map(element).collect()
});

/// Returns the number of an element's meter.
pub(crate) fn meter_of(element: &Element) -> Option<u32> {
    let place = ELEMENTS.iter().position(|known| known == element)?;
    u32::try_from(place).ok()
}

/// Returns what is registered for an element at a time; `None` for an element that no act knows.
pub(crate) fn point(time: Timestamp, known: &Element) -> Option<Result<Reading, Gap>> {
    let meter = meter_of(known)?;
    let element = known.clone();
    // Rounds with a message count as others.
    let step = time
        .unix_seconds()
        .checked_sub(DAYS_BEGIN)?
        .checked_mul(3)?
        .checked_div(STEP)?;
    let number = u32::try_from(step).ok()?;
    if number % METERS == meter {
        let reason = GapReason::NoAnswer;
        return Some(Err(Gap {
            element,
            time,
            reason,
        }));
    }
    // Digits that neither repeat from round to round nor grow evenly, so that an exchange is noticed.
    let digits = i128::from(number)
        .saturating_mul(1_000)
        .saturating_add(i128::from(
            (number ^ 0x5a5a).wrapping_mul(meter.wrapping_add(7)) % 977,
        ));
    let scaler = if meter.is_multiple_of(2) { -2 } else { 0 };
    Some(Ok(Reading {
        element,
        time,
        quantity: Quantity {
            value: Decimal::new(digits, scaler).unwrap_or_else(|| Decimal::whole(digits)),
            unit: Unit::WattHour,
        },
        status: Status::GOOD,
    }))
}

/// Returns 16 bytes that begin with a number.
fn id(kind: u8, number: u32) -> [u8; 16] {
    let mut id = [kind; 16];
    for (place, byte) in id.iter_mut().zip(number.to_be_bytes()) {
        *place = byte;
    }
    id
}

const POSTED: u8 = 0xa0;
const QUEUED: u8 = 0xa1;

/// Returns the message that an act queues.
pub(crate) fn message(act: Act) -> OutboxMessage {
    let (kind, number) = match act {
        Act::Post(number) | Act::Receipt(number) | Act::WillReceipt(number) => (POSTED, number),
        Act::Queue(number) => (QUEUED, number),
        _ => (0, 0),
    };
    let line = format!("message {number} of kind {kind}\n").into_bytes();
    OutboxMessage {
        id: id(kind, number),
        recipient: Fingerprint::new([kind; 32]),
        content: line.repeat(usize::try_from(number % 5).unwrap_or(0).saturating_mul(9)),
    }
}

/// Returns the act that queues the message of an id.
pub(crate) fn act_of_message(message: &[u8; 16]) -> Option<Act> {
    let (number, rest) = message.split_first_chunk::<4>()?;
    let number = u32::from_be_bytes(*number);
    match rest.first() {
        Some(&POSTED) => Some(Act::Post(number)),
        Some(&QUEUED) => Some(Act::Queue(number)),
        _ => None,
    }
}

/// Returns the id of a request.
pub(crate) fn request_id(number: u32) -> [u8; 16] {
    id(0x5e, number)
}

/// Returns when every request expires.
pub(crate) fn request_expiry() -> Timestamp {
    now().saturating_add(Span::QUARTER_HOUR)
}

/// Returns digest and content of a bundle: 1 to 4 kB.
pub(crate) fn bundle(version: u32) -> ([u8; 32], Vec<u8>) {
    let line = format!("bundle {version}\n").into_bytes();
    let lines = usize::try_from(version % 7).unwrap_or(0).saturating_add(2);
    let content = line.repeat(lines.saturating_mul(40));
    let mut digest = [0xb0; 32];
    for (place, byte) in digest.iter_mut().zip(version.to_be_bytes()) {
        *place = byte;
    }
    (digest, content)
}

/// Returns the entries of a number: one for each log.
pub(crate) fn entries(number: u32) -> [LogEvent; 3] {
    let last = time(BEGIN.saturating_add(i64::from(number)));
    [
        SystemEvent::Started {
            version: LogText::cut(&number.to_string()),
        }
        .into(),
        ConsumerEvent::GrantsChanged {
            version: u64::from(number),
            suppliers: u64::from(number % 7),
            grants: u64::from(number % 11),
        }
        .into(),
        CalibrationEvent::RegistrationInterrupted {
            last,
            next: last.saturating_add(Span::QUARTER_HOUR),
        }
        .into(),
    ]
}

/// Returns the number of an entry of ours; `None` if it is one that the logs write about themselves.
pub(crate) fn number_of(event: &LogEvent) -> Option<u32> {
    match event {
        LogEvent::System(SystemEvent::Started { version }) => version.as_str().parse().ok(),
        LogEvent::Consumer(ConsumerEvent::GrantsChanged { version, .. }) => u32::try_from(*version).ok(),
        LogEvent::Calibration(CalibrationEvent::RegistrationInterrupted { last, .. }) => {
            u32::try_from(last.unix_seconds().saturating_sub(BEGIN)).ok()
        }
        _ => None,
    }
}

/// Returns the binding that is burned, or the one of a stranger's card that must never be.
pub(crate) fn binding(is_ours: bool) -> Binding {
    let last = if is_ours { 1 } else { 2 };
    let card: String = format!("fd5a::{last}");
    let Ok(card) = card.parse() else {
        unreachable!("the address is that of a card");
    };
    Binding {
        card,
        card_key: Fingerprint::new([last; 32]),
        gateway: GatewayId::new([9; 16]),
        time: now(),
    }
}

/// Returns the intent to burn a binding.
pub(crate) fn intent(is_ours: bool) -> Intent {
    Intent {
        binding: binding(is_ours),
        pairing: Zeroizing::new(vec![0xc0; 48]),
    }
}

/// Why the tamper lock is burned.
pub(crate) const TAMPER: &str = "the card was pulled";
