//! The consumer's restrictions in the store, and in the consumer's log when they change.
//!
//! A restriction that begins later is not suspended by a clock that is set back. With each one stands the latest time that is
//! known of it: when it was set, and from its begin on a time at which it was in force. While the clock stands before that,
//! nobody knows what time it is, and the restriction holds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{ConsumerEvent, Effect, ElementPattern, LogEvent, RestrictedSupplier, Restriction, Timestamp};
use serde::{Deserialize, Serialize};
use store::{RestrictionsError, Store};
use tokio_util::sync::CancellationToken;

use crate::journal::Journal;
use crate::report::Chain;
use crate::{clock, liveness};

/// The version of the format in which they are stored.
const VERSION: u32 = 1;

/// The greatest number of restrictions: one for each supplier that a card keeps, and some more for single elements.
const MAX_COUNT: usize = 128;

/// How long to wait before it is looked again whether a restriction has begun: a clock that is set back sooner than that
/// finds it in force only as long as it does not stand before the time at which it was set.
const LOOK: Duration = Duration::from_secs(5);

/// The reason why restrictions cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestrictionsFault {
    /// The store does not have them.
    #[error(transparent)]
    Store(#[from] RestrictionsError),
    /// They were written by another version.
    #[error("the consumer's restrictions are of another version; set them anew")]
    Content(#[source] serde_json::Error),
    /// There is none with this number.
    #[error("there is no restriction {id}; smgw grants list shows those that there are")]
    Unknown {
        /// The number.
        id: u64,
    },
    /// There are too many.
    #[error("there are {MAX_COUNT} restrictions already; lift some")]
    TooMany,
    /// What changes cannot be logged.
    #[error("the change cannot be logged, so that it is not made")]
    Log(#[from] store::LogError),
}

/// The restrictions as they are stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    /// The number of the next one; no number is given twice.
    next: u64,
    restrictions: Vec<Restriction>,
    /// The latest time that is known of each, by its number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    known: BTreeMap<u64, Timestamp>,
}

impl Document {
    const fn new() -> Self {
        Self {
            version: VERSION,
            next: 1,
            restrictions: Vec::new(),
            known: BTreeMap::new(),
        }
    }

    /// Returns the restrictions as they hold at a time: none that is in force begins later.
    fn at(self, now: Timestamp) -> Vec<Restriction> {
        let Self {
            mut restrictions,
            known,
            ..
        } = self;
        for restriction in &mut restrictions {
            if known.get(&restriction.id).is_some_and(|known| now < *known) {
                restriction.from = restriction.from.min(now);
            }
        }
        restrictions
    }

    /// Takes note of what has begun; returns whether anything was noted.
    fn note_begun(&mut self, now: Timestamp) -> bool {
        let mut is_noted = false;
        for restriction in self.restrictions.iter().filter(|known| known.from <= now) {
            let known = self.known.entry(restriction.id).or_insert(Timestamp::EPOCH);
            if *known < restriction.from {
                *known = now;
                is_noted = true;
            }
        }
        is_noted
    }

    fn read(store: &Store) -> Result<Self, RestrictionsFault> {
        let content = store.database().restrictions()?;
        if content.is_empty() {
            return Ok(Self::new());
        }
        let document: Self = serde_json::from_slice(&content).map_err(RestrictionsFault::Content)?;
        if document.version == VERSION {
            Ok(document)
        } else {
            let unknown = format!("version {}", document.version);
            Err(RestrictionsFault::Content(serde::de::Error::custom(unknown)))
        }
    }

    fn write(&self, store: &Store) -> Result<(), RestrictionsFault> {
        let content = serde_json::to_vec(self).map_err(RestrictionsFault::Content)?;
        Ok(store.database().set_restrictions(&content)?)
    }
}

/// What the consumer wants to have restricted.
#[derive(Debug, Clone)]
pub(crate) struct NewRestriction {
    pub(crate) supplier: Option<RestrictedSupplier>,
    pub(crate) elements: ElementPattern,
    pub(crate) effect: Effect,
    pub(crate) from: Timestamp,
}

/// The consumer's restrictions; clones share the lock under which they change.
#[derive(Debug, Clone)]
pub(crate) struct Restrictions {
    store: Arc<Store>,
    journal: Journal,
    changing: Arc<Mutex<()>>,
}

impl Restrictions {
    pub(crate) fn new(store: Arc<Store>, journal: Journal) -> Self {
        Self {
            store,
            journal,
            changing: Arc::default(),
        }
    }

    /// Returns the restrictions that a store has as they hold at the present time, those that begin later among them. One that
    /// holds since the clock stands before what is known of it begins now.
    ///
    /// # Errors
    ///
    /// [`RestrictionsFault`] if they cannot be told; nothing may be handed out then.
    pub(crate) fn of(store: &Store, now: Timestamp) -> Result<Vec<Restriction>, RestrictionsFault> {
        Ok(Document::read(store)?.at(now))
    }

    /// Returns the restrictions as they were set.
    pub(crate) fn all(&self) -> Result<Vec<Restriction>, RestrictionsFault> {
        Ok(Document::read(&self.store)?.restrictions)
    }

    /// Takes note of restrictions that begin, so that they hold from then on whatever the clock says, until it is stopped.
    pub(crate) async fn keep_in_force(self, stop: CancellationToken) {
        loop {
            let restrictions = self.clone();
            match liveness::work(move || restrictions.note_begun(clock::now())).await {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => tracing::warn!("what begins is not noted: {}", Chain(&fault)),
                Err(error) => tracing::error!("the thread that notes what begins has failed: {error}"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    fn note_begun(&self, now: Timestamp) -> Result<(), RestrictionsFault> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut document = Document::read(&self.store)?;
        if document.note_begun(now) {
            document.write(&self.store)?;
        }
        Ok(())
    }

    /// Sets a restriction at the present time. It is logged before it holds, and holds when this returns. If the earlier ones are lost, it is
    /// the only one from then on.
    pub(crate) fn restrict(
        &self,
        new: NewRestriction,
        now: Timestamp,
    ) -> Result<Restriction, RestrictionsFault> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut document = match Document::read(&self.store) {
            Err(RestrictionsFault::Store(RestrictionsError::Damaged) | RestrictionsFault::Content(_)) => {
                tracing::warn!("the restrictions before are lost; the one that is set now takes their place");
                Document::new()
            }
            read => read?,
        };
        if document.restrictions.len() >= MAX_COUNT {
            return Err(RestrictionsFault::TooMany);
        }
        let NewRestriction {
            supplier,
            elements,
            effect,
            from,
        } = new;
        let restriction = Restriction {
            id: document.next,
            supplier,
            elements,
            effect,
            from,
        };
        document.next = document.next.saturating_add(1);
        document.restrictions.push(restriction.clone());
        document.known.insert(restriction.id, now);
        self.log(ConsumerEvent::Restricted {
            restriction: restriction.clone(),
        })?;
        document.write(&self.store)?;
        Ok(restriction)
    }

    /// Lifts a restriction, and returns it. It is logged before it holds no more.
    pub(crate) fn lift(&self, id: u64) -> Result<Restriction, RestrictionsFault> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut document = Document::read(&self.store)?;
        let place = document.restrictions.iter().position(|known| known.id == id);
        let restriction = place.map(|place| document.restrictions.remove(place));
        let restriction = restriction.ok_or(RestrictionsFault::Unknown { id })?;
        document.known.remove(&id);
        self.log(ConsumerEvent::RestrictionLifted {
            restriction: restriction.clone(),
        })?;
        document.write(&self.store)?;
        Ok(restriction)
    }

    fn log(&self, event: ConsumerEvent) -> Result<(), RestrictionsFault> {
        Ok(self.journal.write([LogEvent::from(event)])?)
    }
}

#[cfg(test)]
mod tests {
    use model::LogKind;
    use store::{DeviceKey, LogLimits, Logs, Protection};

    use super::*;
    use crate::journal::{CardKeyVerifier, moment};

    fn open(folder: &std::path::Path) -> Restrictions {
        let key = DeviceKey::new([0x5a; DeviceKey::LENGTH]);
        let store = Store::open(&folder.join("data"), Ok(Protection { key, otp: None })).unwrap();
        let logs = Logs::open(&folder.join("logs"), LogLimits::default(), false, moment()).unwrap();
        let journal = Journal::new(logs, CardKeyVerifier::new(None)).unwrap();
        Restrictions::new(Arc::new(store), journal)
    }

    fn objection() -> NewRestriction {
        NewRestriction {
            supplier: None,
            elements: ElementPattern::ANY,
            effect: Effect::Object,
            from: Timestamp::EPOCH,
        }
    }

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_767_225_600 + 3_600 * hours).unwrap()
    }

    /// Returns whether the only restriction of a store is in force.
    fn is_in_force(restrictions: &Restrictions, now: Timestamp) -> bool {
        Restrictions::of(&restrictions.store, now).unwrap()[0].from <= now
    }

    fn logged(restrictions: &Restrictions) -> Vec<String> {
        let page = restrictions
            .journal
            .logs()
            .page(LogKind::Consumer, 0, None)
            .unwrap();
        let code = |entry: store::LogEntry| entry.event().unwrap().code().to_owned();
        page.entries.into_iter().map(code).collect()
    }

    #[test]
    fn restrictions_are_set_and_lifted_across_restarts_and_stand_in_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let restrictions = open(folder.path());
        assert_eq!(restrictions.all().unwrap(), []);
        let first = restrictions.restrict(objection(), at(0)).unwrap();
        let second = restrictions.restrict(objection(), at(0)).unwrap();
        assert_eq!((first.id, second.id), (1, 2));
        drop(restrictions);
        let restrictions = open(folder.path());
        assert_eq!(restrictions.all().unwrap(), [first.clone(), second]);
        assert_eq!(restrictions.lift(2).unwrap().id, 2);
        assert!(matches!(
            restrictions.lift(2),
            Err(RestrictionsFault::Unknown { id: 2 })
        ));
        // No number is given twice.
        assert_eq!(restrictions.restrict(objection(), at(0)).unwrap().id, 3);
        assert_eq!(
            logged(&restrictions),
            ["SMGW-L-2004", "SMGW-L-2004", "SMGW-L-2005", "SMGW-L-2004"]
        );
    }

    #[test]
    fn clock_that_is_set_back_suspends_no_restriction_that_has_begun() {
        let folder = tempfile::tempdir().unwrap();
        let restrictions = open(folder.path());
        let later = NewRestriction {
            from: at(10),
            ..objection()
        };
        let set = restrictions.restrict(later, at(0)).unwrap();
        for (now, expected) in [(at(0), false), (at(9), false), (at(10), true), (at(9), false)] {
            assert_eq!(is_in_force(&restrictions, now), expected, "{now}");
        }
        restrictions.note_begun(at(9)).unwrap();
        assert!(!is_in_force(&restrictions, at(9)));
        restrictions.note_begun(at(11)).unwrap();
        drop(restrictions);
        let restrictions = open(folder.path());
        for hour in [-100, 0, 9, 10, 11, 12] {
            assert!(is_in_force(&restrictions, at(hour)), "hour {hour}");
            restrictions.note_begun(at(hour)).unwrap();
        }
        assert!(is_in_force(&restrictions, at(0)));
        // What is shown is what was set.
        assert_eq!(restrictions.all().unwrap(), [set]);
        restrictions.lift(1).unwrap();
        assert_eq!(Restrictions::of(&restrictions.store, at(0)).unwrap(), []);
    }

    #[test]
    fn clock_before_the_time_at_which_a_restriction_was_set_is_wrong_and_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let restrictions = open(folder.path());
        let later = NewRestriction {
            from: at(10),
            ..objection()
        };
        restrictions.restrict(later, at(5)).unwrap();
        assert!(is_in_force(&restrictions, Timestamp::EPOCH));
        assert!(is_in_force(&restrictions, at(4)));
        assert!(!is_in_force(&restrictions, at(5)));
    }

    #[test]
    fn restrictions_that_were_stored_without_a_time_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let restrictions = open(folder.path());
        let stored = br#"{"version":1,"next":2,"restrictions":[{"id":1,"elements":"*/*","effect":"object","from":"2026-01-01T10:00:00Z"}]}"#;
        restrictions.store.database().set_restrictions(stored).unwrap();
        assert!(!is_in_force(&restrictions, at(9)));
        restrictions.note_begun(at(10)).unwrap();
        assert!(is_in_force(&restrictions, at(9)));
    }

    #[test]
    fn number_of_restrictions_is_bounded_and_fits_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let restrictions = open(folder.path());
        let restriction = Restriction {
            id: 1,
            supplier: Some(RestrictedSupplier {
                fingerprint: model::Fingerprint::new([7; 32]),
                name: "N".repeat(60).parse().unwrap(),
            }),
            elements: "ELS-12345678-3C-03/1-0:1.8.0*255".parse().unwrap(),
            effect: Effect::Coarser(model::Span::QUARTER_HOUR),
            from: Timestamp::EPOCH,
        };
        let full = Document {
            version: VERSION,
            next: 129,
            known: (1..=128).map(|id| (id, at(0))).collect(),
            restrictions: vec![restriction; MAX_COUNT],
        };
        full.write(&restrictions.store).unwrap();
        assert!(matches!(
            restrictions.restrict(objection(), at(0)),
            Err(RestrictionsFault::TooMany)
        ));
        restrictions.lift(1).unwrap();
        restrictions.restrict(objection(), at(0)).unwrap();
    }

    #[test]
    fn what_is_lost_is_a_fault_until_a_restriction_is_set_anew() {
        let folder = tempfile::tempdir().unwrap();
        let restrictions = open(folder.path());
        let database = restrictions.store.database();
        for content in [&b"{}"[..], br#"{"version":2,"next":1,"restrictions":[]}"#] {
            database.set_restrictions(content).unwrap();
            assert!(matches!(restrictions.all(), Err(RestrictionsFault::Content(_))));
            assert!(restrictions.lift(1).is_err());
            restrictions.restrict(objection(), at(0)).unwrap();
            assert_eq!(restrictions.all().unwrap().len(), 1);
        }
    }
}
