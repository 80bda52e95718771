//! The consumer log for a consumer: who was given what, when, for what purpose, at what resolution.

use model::{ConsumerEvent, ElementPattern, LogEvent, LogKind, Restriction, Timestamp};
use store::{LogEntry, LogError, Logs};

use super::roster::Own;

/// The entries of a page: the log is read by so many at once, the latest first.
const PAGE: u64 = 50;

/// An entry of the consumer log.
pub(super) struct Entry {
    pub(super) sequence: u64,
    pub(super) time: Timestamp,
    pub(super) event: ConsumerEvent,
}

/// A page of the consumer log, its latest entry first.
pub(super) struct Deliveries {
    pub(super) entries: Vec<Entry>,
    /// The sequence before which the next page ends, if there is an older entry.
    pub(super) before: Option<u64>,
}

/// Reads the entries before one, or the latest; of those, what concerns somebody's own meters.
pub(super) fn read(logs: &Logs, own: &Own, before: Option<u64>) -> Result<Deliveries, LogError> {
    let end = logs.head(LogKind::Consumer).count.saturating_add(1);
    let end = before.map_or(end, |before| before.clamp(1, end));
    let after = end.saturating_sub(PAGE).saturating_sub(1);
    let page = logs.page(LogKind::Consumer, after, None)?;
    let entries = page.entries.into_iter().filter(|entry| entry.sequence < end);
    let mut entries: Vec<_> = entries.filter_map(|entry| entry_of(&entry, own)).collect();
    entries.reverse();
    Ok(Deliveries {
        entries,
        before: (after > 0).then(|| after.saturating_add(1)),
    })
}

/// Returns what an entry says, if it concerns somebody's own meters.
pub(super) fn entry_of(entry: &LogEntry, own: &Own) -> Option<Entry> {
    match entry.event()? {
        LogEvent::Consumer(event) => concerns(own, &event).then_some(Entry {
            sequence: entry.sequence,
            time: entry.at.time,
            event,
        }),
        LogEvent::System(_) | LogEvent::Calibration(_) => None,
    }
}

fn concerns(own: &Own, event: &ConsumerEvent) -> bool {
    match event {
        ConsumerEvent::Answered { elements, .. } | ConsumerEvent::Denied { elements, .. } => {
            may_name(own, elements)
        }
        ConsumerEvent::GrantsChanged { .. } => true,
        ConsumerEvent::Restricted { restriction } | ConsumerEvent::RestrictionLifted { restriction } => {
            may_name(own, &restriction.elements)
        }
    }
}

/// Returns whether a pattern may mean one of somebody's own meters.
fn may_name(own: &Own, elements: &ElementPattern) -> bool {
    elements.meter.as_ref().is_none_or(|meter| own.has(meter))
}

/// Returns whether somebody may lift a restriction or set it: it is about own meters only.
pub(super) fn is_own(own: &Own, elements: &ElementPattern) -> bool {
    match (own, &elements.meter) {
        (Own::All, _) => true,
        (Own::Meters(_), Some(meter)) => own.has(meter),
        (Own::Meters(_), None) => false,
    }
}

/// Returns the restrictions that touch somebody's own meters.
pub(super) fn restrictions_of(own: &Own, all: Vec<Restriction>) -> Vec<Restriction> {
    let touches = |restriction: &Restriction| may_name(own, &restriction.elements);
    all.into_iter().filter(touches).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use model::{Effect, Restriction};
    use store::LogLimits;

    use super::*;
    use crate::journal::moment;

    fn restricted(id: u64, elements: &str) -> LogEvent {
        let restriction = Restriction {
            id,
            supplier: None,
            elements: elements.parse().unwrap(),
            effect: Effect::Object,
            from: Timestamp::EPOCH,
        };
        ConsumerEvent::Restricted { restriction }.into()
    }

    fn flat() -> Own {
        Own::Meters(Arc::new(BTreeSet::from(["M1".parse().unwrap()])))
    }

    #[test]
    fn pages_go_back_to_the_first_entry_without_losing_one() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::open(folder.path(), LogLimits::default(), false, moment()).unwrap();
        let events: Vec<_> = (1..=120).map(|id| restricted(id, "M1/*")).collect();
        logs.append(moment(), &events).unwrap();
        let (mut before, mut seen) = (None, Vec::new());
        loop {
            let page = read(&logs, &flat(), before).unwrap();
            seen.extend(page.entries.iter().map(|entry| entry.sequence));
            match page.before {
                Some(next) => before = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, (1..=120).rev().collect::<Vec<_>>());
    }

    #[test]
    fn others_of_the_house_see_and_lift_what_is_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::open(folder.path(), LogLimits::default(), false, moment()).unwrap();
        let events = [restricted(1, "M1/*"), restricted(2, "M2/*"), restricted(3, "*")];
        logs.append(moment(), &events).unwrap();
        let seen = |own: &Own| {
            let page = read(&logs, own, None).unwrap();
            page.entries
                .iter()
                .map(|entry| entry.sequence)
                .collect::<Vec<_>>()
        };
        assert_eq!(seen(&flat()), [3, 1]);
        assert_eq!(seen(&Own::All), [3, 2, 1]);
        let own = |own: &Own, elements: &str| is_own(own, &elements.parse().unwrap());
        assert!(own(&flat(), "M1/*") && !own(&flat(), "M2/*") && !own(&flat(), "*"));
        assert!(own(&Own::All, "*"));
    }
}
