//! What the programs print with `--json`, as far as the stories look at it.
//!
//! Keys that are not named here are ignored, since a program may say more than a story asks.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{LogTail, Process, StageError};

/// A form of answer that names itself in the key `schema`.
pub trait Answer: DeserializeOwned {
    /// The name and version of the form.
    const SCHEMA: &'static str;
}

/// The key that every answer begins with.
#[derive(Deserialize)]
struct Header {
    schema: String,
}

/// Reads an answer of the named program and checks which form it has.
///
/// # Errors
///
/// [`StageError::Answer`] for another shape, [`StageError::Schema`] for another form.
pub fn read_answer<A: Answer>(name: &str, line: &str, log: LogTail) -> Result<A, StageError> {
    let read = || -> Result<(Header, A), serde_json::Error> {
        let header: Header = serde_json::from_str(line)?;
        Ok((header, serde_json::from_str(line)?))
    };
    let (header, answer) = read().map_err(|source| StageError::Answer {
        name: name.to_owned(),
        schema: A::SCHEMA,
        line: line.to_owned(),
        source,
        log,
    })?;
    if header.schema != A::SCHEMA {
        return Err(StageError::Schema {
            name: name.to_owned(),
            expected: A::SCHEMA,
            found: header.schema,
        });
    }
    Ok(answer)
}

/// What `trust-center renew` answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Renewed {
    /// Whose certificates were renewed.
    pub name: String,
    /// The SHA-256 of the new SIG certificate, 64 hexadecimal digits.
    pub fingerprint: String,
}

impl Answer for Renewed {
    const SCHEMA: &'static str = "trust-center.renew/1";
}

/// What `trust-center certify` answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Certified {
    /// The supplier's name.
    pub name: String,
    /// The SHA-256 of its SIG certificate, 64 hexadecimal digits.
    pub fingerprint: String,
}

impl Answer for Certified {
    const SCHEMA: &'static str = "trust-center.certify/1";
}

/// What `trust-center personalize` answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Personalized {
    /// The card's GUID, an IPv6 address.
    pub guid: String,
    /// The SHA-256 of its SIG certificate, 64 hexadecimal digits.
    pub sig: String,
    /// How long the card took, in microseconds.
    pub card_us: u64,
    /// How long the trust centre took beside it, in microseconds.
    pub center_us: u64,
}

impl Answer for Personalized {
    const SCHEMA: &'static str = "trust-center.personalize/1";
}

/// What `trust-center install` answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Installed {
    /// The GUID of the gateway's card.
    pub guid: String,
    /// The version of the bundle that was installed.
    pub version: u64,
    /// The state of the gateway afterwards.
    pub state: String,
}

impl Answer for Installed {
    const SCHEMA: &'static str = "trust-center.install/1";
}

/// Where the simulated meters can be reached; the first line that `simulators meters` prints.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MeterAddresses {
    /// The TCP level converter of the M-Bus, `HOST:PORT`.
    pub mbus: String,
    /// The Modbus TCP server, `HOST:PORT`.
    pub modbus: String,
}

impl MeterAddresses {
    /// Waits for the addresses in the first line of the process.
    pub(crate) fn read(process: &Process, line: &str) -> Result<Self, StageError> {
        serde_json::from_str(line).map_err(|source| StageError::Answer {
            name: process.name().to_owned(),
            schema: r#"{"mbus":…,"modbus":…}"#,
            line: line.to_owned(),
            source,
            log: LogTail::of(process.log()),
        })
    }
}

/// What `smgw status` answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// The gateway's state, such as `operational`.
    pub state: String,
    /// The code of the state.
    pub code: String,
    /// What to do about it.
    pub remedy: String,
    /// More about the cause.
    pub detail: Option<String>,
    /// The code of what keeps the gateway from serving, if it is the card or the binding.
    pub obstacle: Option<String>,
    /// The GUID of the bound card.
    pub guid: Option<String>,
    /// Whether the card is a soft one.
    pub soft_card: bool,
    /// The address of the local web.
    pub web: Option<String>,
    /// The address at which the WAN's messages arrive, `HOST:PORT`.
    pub wan: Option<String>,
    /// How it stands with the broker.
    #[serde(default)]
    pub broker: Option<BrokerStatus>,
    /// The registration period.
    pub registration_period: String,
    /// What is wrong with the device and does not stop it.
    pub findings: Vec<Finding>,
    /// The daemon's resident memory, in KiB.
    pub rss_kb: u64,
    /// Every meter that is configured.
    pub meters: Vec<MeterStatus>,
}

/// How a gateway stands with its broker.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BrokerStatus {
    /// Where it listens.
    pub address: String,
    /// Whether the gateway is connected.
    pub connected: bool,
    /// Why it is not.
    pub fault: Option<String>,
}

/// Something that is wrong with the device and does not stop it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Finding {
    /// The stable code.
    pub code: String,
    /// What is wrong.
    pub text: String,
    /// What to do about it.
    pub remedy: String,
}

impl Answer for Status {
    const SCHEMA: &'static str = "smgw.status/1";
}

impl Status {
    /// Returns the identity of the meter that the configuration calls `name`.
    #[must_use]
    pub fn meter_id(&self, name: &str) -> Option<&str> {
        let meter = self.meters.iter().find(|meter| meter.name == name)?;
        meter.id.as_deref()
    }

    /// Returns whether every meter has been read at least once.
    #[must_use]
    pub fn has_read_every_meter(&self) -> bool {
        self.meters.iter().all(|meter| meter.last_success.is_some())
    }
}

/// One meter in [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MeterStatus {
    /// What the configuration calls it.
    pub name: String,
    /// Its identity, once it has answered.
    pub id: Option<String>,
    /// What it measures, once it has answered.
    pub medium: Option<String>,
    /// When it last answered.
    pub last_success: Option<String>,
    /// Why its last read failed.
    pub error: Option<String>,
    /// Its last values.
    pub values: Vec<MeterValue>,
}

/// One value of a meter in [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MeterValue {
    /// What was measured.
    pub obis: String,
    /// The meter's own digits.
    pub value: String,
    /// Their unit.
    pub unit: String,
}

/// What one `supplier pull` answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pull {
    /// The GUID of the gateway that answered.
    pub guid: String,
    /// The id of the answer, 32 hexadecimal digits.
    pub message: String,
    /// What was handed out.
    pub series: Vec<PullSeries>,
    /// What was refused.
    pub refusals: Vec<Refusal>,
}

impl Answer for Pull {
    const SCHEMA: &'static str = "supplier.pull/1";
}

/// The values of one element on an even grid, as the supplier received them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PullSeries {
    /// The meter's identity.
    pub meter: String,
    /// What was measured.
    pub obis: String,
    /// The medium, such as `gas`.
    pub medium: String,
    /// The unit of every value.
    pub unit: String,
    /// The time of the first value, RFC 3339 in UTC.
    pub start: String,
    /// The distance between two values, ISO 8601.
    pub step: String,
    /// The values, the meter's own digits; absent ones are `None`.
    pub values: Vec<Option<String>>,
}

/// One value and the time that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The time.
    pub time: Timestamp,
    /// The meter's own digits.
    pub value: String,
}

impl PullSeries {
    /// Returns the values that are present, with their times, oldest first.
    ///
    /// # Errors
    ///
    /// [`StageError::Time`] if start or step cannot be computed with.
    pub fn points(&self) -> Result<Vec<Point>, StageError> {
        let of = |text: &str| {
            let text = text.to_owned();
            move |source| StageError::Time { text, source }
        };
        let mut time: Timestamp = self.start.parse().map_err(of(&self.start))?;
        let step: SignedDuration = self.step.parse().map_err(of(&self.step))?;
        let mut points = Vec::new();
        for value in &self.values {
            if let Some(value) = value {
                points.push(Point {
                    time,
                    value: value.clone(),
                });
            }
            time = time.checked_add(step).map_err(of(&self.step))?;
        }
        Ok(points)
    }
}

/// What was refused to the supplier, and why.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    /// The elements that were asked for.
    pub elements: String,
    /// The stable code of the refusal.
    pub code: String,
    /// The reason, as a sentence.
    pub reason: String,
    /// The grant that refused it, if one did.
    pub rule: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PULL: &str = r#"{"schema":"supplier.pull/1","guid":"fd5a::1","message":"00112233445566778899aabbccddeeff",
        "series":[{"meter":"M1","obis":"7-0:3.0.0*255","medium":"gas","unit":"m3","start":"2026-11-23T12:00:00Z",
        "step":"PT5S","values":["1.00",null,"1.10"],"status":[0,0,0],"gaps":[[1,"no-answer"]]}],
        "refusals":[{"elements":"*/1-0:16.7.0*255","code":"no-grant","reason":"…","rule":null}]}"#;

    fn read<A: Answer>(line: &str) -> Result<A, StageError> {
        read_answer(
            "program",
            line,
            LogTail::of(std::path::Path::new("/does/not/exist")),
        )
    }

    #[test]
    fn pull_shows_points_with_their_times() {
        let pull: Pull = read(PULL).unwrap();
        let points = pull.series[0].points().unwrap();
        let texts: Vec<_> = points.iter().map(|p| format!("{} {}", p.time, p.value)).collect();
        assert_eq!(texts, ["2026-11-23T12:00:00Z 1.00", "2026-11-23T12:00:10Z 1.10"]);
        assert_eq!(pull.refusals[0].code, "no-grant");
    }

    #[test]
    fn time_that_is_none_is_named() {
        let mut pull: Pull = read(PULL).unwrap();
        pull.series[0].step = "often".into();
        let error = pull.series[0].points().unwrap_err();
        assert!(matches!(error, StageError::Time { text, .. } if text == "often"));
    }

    #[test]
    fn answer_of_another_form_is_refused() {
        let error = read::<Pull>(&PULL.replace("supplier.pull/1", "supplier.pull/2")).unwrap_err();
        assert!(matches!(error, StageError::Schema { found, .. } if found == "supplier.pull/2"));
    }

    #[test]
    fn answer_of_another_shape_is_refused_and_quoted() {
        let error = read::<Certified>(r#"{"schema":"trust-center.certify/1"}"#).unwrap_err();
        assert!(matches!(error, StageError::Answer { line, .. } if line.contains("certify")));
        assert!(matches!(
            read::<Certified>("no json"),
            Err(StageError::Answer { .. })
        ));
    }
}
