//! What exactly was sent: the content of a delivery, word for word, as it was kept when it left.
//!
//! The consumer log names the digest of the content. What is kept is shown only if it has that digest, so that what is shown
//! is what was sent. Of a message that tells of others' meters too, somebody sees the own ones alone.

use messages::content::{Content, ContentError};
use model::{ConsumerEvent, Fingerprint, GapReason, LogHash, LogKind, Series, Status, Timestamp};
use store::{LogError, Logs, Sent, SentError};
use zeroize::Zeroizing;

use super::deliveries::{Entry, entry_of};
use super::language::Language;
use super::roster::Own;

/// The reason why it cannot be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum SentFault {
    #[error("the consumer log cannot be read")]
    Log(#[from] LogError),
    #[error("what was sent cannot be read")]
    Sent(#[source] store::FileError),
    #[error("what was sent is of a schema that this version does not know")]
    Content(#[from] ContentError),
}

/// What was sent.
pub(super) enum Kept {
    /// The entry is no delivery, or nothing left, or the version that wrote it noted no digest.
    Nothing,
    /// It is not kept any more.
    Forgotten(Fingerprint),
    /// What is kept is not what was sent.
    Damaged(Fingerprint),
    /// What is kept has the digest that the log names.
    Here(Message),
}

/// A message as it was sent.
pub(super) struct Message {
    pub(super) digest: Fingerprint,
    /// The content in JSON, word for word, if all of it concerns the one who asks.
    pub(super) json: Option<Zeroizing<Vec<u8>>>,
    /// What it tells of own meters.
    pub(super) series: Vec<Series>,
}

/// An entry of the consumer log with what was sent.
pub(super) struct Delivery {
    pub(super) entry: Entry,
    /// The hash that chains the entry to all before it.
    pub(super) hash: LogHash,
    pub(super) kept: Kept,
}

/// A value as it was sent.
pub(super) struct Point<'a> {
    pub(super) series: &'a Series,
    pub(super) time: Timestamp,
    pub(super) value: Result<model::Decimal, Option<GapReason>>,
    pub(super) status: Status,
}

/// Finds a delivery by its place in the consumer log, if it concerns somebody's own meters.
pub(super) fn find(
    logs: &Logs,
    sent: &Sent,
    own: &Own,
    sequence: u64,
) -> Result<Option<Delivery>, SentFault> {
    let page = logs.page(LogKind::Consumer, sequence.saturating_sub(1), None)?;
    let found = page.entries.into_iter().find(|entry| entry.sequence == sequence);
    let Some((hash, entry)) = found.and_then(|entry| Some((entry.hash, entry_of(&entry, own)?))) else {
        return Ok(None);
    };
    let digest = match &entry.event {
        ConsumerEvent::Answered { content, .. } => *content,
        ConsumerEvent::Denied { .. }
        | ConsumerEvent::GrantsChanged { .. }
        | ConsumerEvent::Restricted { .. }
        | ConsumerEvent::RestrictionLifted { .. } => None,
    };
    let kept = match digest {
        None => Kept::Nothing,
        Some(digest) => match sent.read(digest) {
            Ok(None) => Kept::Forgotten(digest),
            Ok(Some(json)) => Kept::Here(message(digest, json, own)?),
            Err(SentError::Damaged { digest }) => Kept::Damaged(digest),
            Err(SentError::File(error)) => return Err(SentFault::Sent(error)),
        },
    };
    Ok(Some(Delivery { entry, hash, kept }))
}

fn message(digest: Fingerprint, json: Zeroizing<Vec<u8>>, own: &Own) -> Result<Message, SentFault> {
    let mut series = match Content::parse(&json)? {
        Content::Answer(answer) => answer.series,
        Content::Push(push) => push.series,
        // Nothing else carries values.
        Content::Request(_)
        | Content::Bundle(_)
        | Content::Report(_)
        | Content::ReportRequest(_)
        | Content::Application(_)
        | Content::InstallationRequest(_)
        | Content::CardCommands(_)
        | Content::CardAnswers(_)
        | Content::Refused(_)
        | Content::Receipt(_) => Vec::new(),
    };
    let all = series.len();
    series.retain(|series| own.measures(&series.element));
    let is_whole = *own == Own::All || series.len() == all;
    Ok(Message {
        digest,
        json: is_whole.then_some(json),
        series,
    })
}

impl Message {
    /// Returns every value that was sent, and every place that was left empty, in the order of the message.
    pub(super) fn points(&self) -> impl Iterator<Item = Point<'_>> {
        self.series.iter().flat_map(points)
    }
}

fn points(series: &Series) -> impl Iterator<Item = Point<'_>> {
    let times = std::iter::successors(Some(series.start), |time| Some(time.saturating_add(series.step)));
    let mut gaps = series.gaps.iter().peekable();
    let cells = (0u32..).zip(times).zip(series.values.iter().zip(&series.status));
    cells.map(move |((index, time), (value, status))| {
        // Gaps stand in the order of their places.
        while gaps.peek().is_some_and(|(place, _)| *place < index) {
            gaps.next();
        }
        let reason = gaps.peek().filter(|(place, _)| *place == index);
        Point {
            series,
            time,
            value: value.ok_or(reason.map(|(_, reason)| *reason)),
            status: *status,
        }
    })
}

/// Says in words what a status says, each remark behind the other; nothing about a good one. Bits that this version does not
/// know are told as a number.
pub(super) fn remarks(language: Language, status: Status) -> String {
    let words = language.words();
    let known = [
        (Status::CLOCK_UNKNOWN, words.clock_unknown),
        (Status::FROM_FLOAT, words.status_float),
        (Status::TEMPORARY_ERROR, words.status_temporary),
        (Status::PERMANENT_ERROR, words.status_permanent),
        (Status::LOW_POWER, words.status_low_power),
    ];
    let mut unknown = status.bits();
    let mut told = Vec::new();
    for (bit, word) in known {
        unknown &= !bit.bits();
        if status.contains(bit) {
            told.push(word.to_owned());
        }
    }
    if unknown != 0 {
        told.push(format!("{unknown:#x}"));
    }
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use messages::content::{Answer, MessageId};
    use model::{Aggregation, Decimal, LogText, Period, Span, Unit};
    use sha2::{Digest, Sha256};
    use store::{DeviceKey, LogLimits, Protection, Store};

    use super::*;
    use crate::journal::moment;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn series(meter: &str) -> Series {
        let element = model::Element {
            meter: meter.parse().unwrap(),
            obis: "1-0:1.8.0*255".parse().unwrap(),
        };
        Series {
            medium: model::Medium::of(element.obis),
            element,
            unit: Unit::WattHour,
            start: at("2026-11-29T23:00:00Z"),
            step: Span::QUARTER_HOUR,
            aggregation: Aggregation::Value,
            values: vec![Decimal::new(105, -1), None, None],
            status: vec![Status::LOW_POWER, Status::GOOD, Status::GOOD],
            gaps: vec![(2, GapReason::NoAnswer)],
        }
    }

    fn answer(meters: &[&str]) -> Vec<u8> {
        let content = Content::Answer(Answer {
            id: MessageId::new([1; 16]),
            in_reply_to: MessageId::new([2; 16]),
            gateway: "fd5a::1".parse().unwrap(),
            supplier: Fingerprint::new([7; 32]),
            time: at("2026-11-30T00:00:00Z"),
            series: meters.iter().map(|meter| series(meter)).collect(),
            refusals: Vec::new(),
            rest: Vec::new(),
        });
        content.to_json().unwrap()
    }

    fn answered(content: Option<Fingerprint>) -> model::LogEvent {
        ConsumerEvent::Answered {
            supplier: Fingerprint::new([7; 32]),
            name: LogText::cut("Stadtwerke"),
            request: LogText::cut("02"),
            rules: vec!["billing".to_owned()],
            purpose: vec!["billing".parse().unwrap()],
            elements: "*/1-0:1.8.0*255".parse().unwrap(),
            period: Period::new(at("2026-11-29T23:00:00Z"), at("2026-11-30T00:00:00Z")).unwrap(),
            resolution: Span::QUARTER_HOUR,
            aggregation: Aggregation::Value,
            values: 1,
            bytes: 1_000,
            pseudonymous: false,
            content,
        }
        .into()
    }

    struct Scene {
        _folder: tempfile::TempDir,
        store: Store,
        logs: Logs,
    }

    fn scene() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let key = DeviceKey::new([7; DeviceKey::LENGTH]);
        let store = Store::open(folder.path(), Ok(Protection { key, otp: None })).unwrap();
        let logs = folder.path().join("logs");
        let logs = Logs::open(&logs, LogLimits::default(), false, moment()).unwrap();
        Scene {
            _folder: folder,
            store,
            logs,
        }
    }

    impl Scene {
        fn find(&self, own: &Own, sequence: u64) -> Option<Delivery> {
            find(&self.logs, self.store.sent(), own, sequence).unwrap()
        }
    }

    fn flat(meter: &str) -> Own {
        Own::Meters(Arc::new(BTreeSet::from([meter.parse().unwrap()])))
    }

    #[test]
    fn what_is_shown_is_word_for_word_what_was_sent() {
        let scene = scene();
        let json = answer(&["M1", "M2"]);
        let digest = scene.store.sent().keep(&json, crate::clock::now()).unwrap();
        scene.logs.append(moment(), &[answered(Some(digest))]).unwrap();
        let delivery = scene.find(&Own::All, 1).unwrap();
        let Kept::Here(message) = delivery.kept else {
            panic!("it is kept")
        };
        let shown = message.json.as_ref().unwrap();
        assert_eq!(shown.as_slice(), json.as_slice());
        assert_eq!(
            Fingerprint::new(Sha256::digest(shown.as_slice()).into()),
            message.digest
        );
        let points: Vec<_> = message.points().map(|point| (point.time, point.value)).collect();
        assert_eq!(points.len(), 6);
        assert_eq!(points[0].1.unwrap().to_string(), "10.5");
        assert_eq!(points[1], (at("2026-11-29T23:15:00Z"), Err(None)));
        assert_eq!(points[2].1, Err(Some(GapReason::NoAnswer)));
        assert!(scene.find(&Own::All, 2).is_none());
    }

    #[test]
    fn others_of_the_house_see_what_was_sent_of_their_own_meters_only() {
        let scene = scene();
        let sent = scene.store.sent();
        let digest = sent.keep(&answer(&["M1", "M2"]), crate::clock::now()).unwrap();
        scene.logs.append(moment(), &[answered(Some(digest))]).unwrap();
        let Some(Kept::Here(message)) = scene.find(&flat("M1"), 1).map(|found| found.kept) else {
            panic!("it is kept")
        };
        assert!(message.json.is_none());
        let meters: Vec<_> = message
            .series
            .iter()
            .map(|one| one.element.meter.to_string())
            .collect();
        assert_eq!(meters, ["M1"]);
    }

    #[test]
    fn what_is_not_kept_or_damaged_is_said() {
        let scene = scene();
        let never = Fingerprint::new([9; 32]);
        let digest = scene
            .store
            .sent()
            .keep(&answer(&["M1"]), at("2026-11-30T00:00:00Z"));
        let digest = digest.unwrap();
        let events = [answered(None), answered(Some(never)), answered(Some(digest))];
        scene.logs.append(moment(), &events).unwrap();
        let kept = |sequence| scene.find(&Own::All, sequence).unwrap().kept;
        assert!(matches!(kept(1), Kept::Nothing));
        assert!(matches!(kept(2), Kept::Forgotten(named) if named == never));
        assert!(matches!(kept(3), Kept::Here(_)));
        let seconds = at("2026-11-30T00:00:00Z").unix_seconds();
        let file = scene._folder.path().join(format!("sent/{seconds}-{digest}"));
        std::fs::write(file, answer(&["M2"])).unwrap();
        assert!(matches!(kept(3), Kept::Damaged(named) if named == digest));
    }

    #[test]
    fn every_remark_is_told_in_words() {
        let all = Status::from_bits(0b11111);
        let told = remarks(Language::English, all);
        assert_eq!(told.split(", ").count(), 5, "{told}");
        assert_eq!(remarks(Language::German, Status::GOOD), "");
        assert_eq!(remarks(Language::English, Status::from_bits(1 << 9)), "0x200");
    }
}
