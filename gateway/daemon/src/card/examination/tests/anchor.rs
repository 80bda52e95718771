//! The anchor: whatever breaks off between two steps, a store that is its own is never refused, and an older copy never
//! accepted.

use model::{CalibrationEvent, LogKind};
use proptest::prelude::*;
use store::{Lost, Remembered};

use super::*;
use crate::card::rollback::StoreAnchor;

/// Where a step breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// Before the milestone is written down.
    BeforeTheStore,
    /// Behind that, before the card is told.
    BeforeTheCard,
    /// The card has it, its answer is lost.
    BeforeTheAnswer,
    /// Not at all.
    Never,
}

/// What happens to a gateway between two comparisons.
#[derive(Debug, Clone, Copy)]
enum Event {
    Step(Cut),
    /// Somebody copies the milestone.
    Copy,
    /// Somebody puts the copy back.
    PutBack,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let cut = prop_oneof![
        Just(Cut::BeforeTheStore),
        Just(Cut::BeforeTheCard),
        Just(Cut::BeforeTheAnswer),
        Just(Cut::Never)
    ];
    let event = prop_oneof![
        6 => cut.prop_map(Event::Step),
        1 => Just(Event::Copy),
        1 => Just(Event::PutBack)
    ];
    prop::collection::vec(event, 1..12)
}

/// A gateway with its card, paired once.
struct Anchored {
    gateway: Gateway,
    journal: Journal,
    session: Session,
}

impl Anchored {
    fn new() -> Self {
        let (_, gateway) = bound();
        let card = reader::power_on(&CardSlot::Soft(gateway.card())).unwrap();
        let mut session = CardSession::open(card).unwrap();
        let store = gateway.store();
        examine(&mut session, &store, Consent::Automatic).unwrap();
        drop(store);
        let journal = gateway.journal();
        Self {
            gateway,
            journal,
            session,
        }
    }

    /// What a start finds.
    fn start(&mut self, store: &Store) -> Result<StoreAnchor, Obstacle> {
        let mut anchor = StoreAnchor::default();
        anchor.compare(&mut self.session, store, &self.journal)?;
        Ok(anchor)
    }

    /// Takes a step that breaks off, as far as it gets.
    fn step(&mut self, store: &Store, cut: Cut) {
        match cut {
            Cut::BeforeTheStore => {}
            Cut::BeforeTheCard => {
                let next = store.next_milestone(self.journal.logs()).unwrap();
                store.reach(&next).unwrap();
            }
            // Whether the answer arrives makes no difference to what is kept.
            Cut::BeforeTheAnswer | Cut::Never => {
                let anchor = self.start(store).unwrap();
                assert!(anchor.step(&mut self.session, store, &self.journal));
            }
        }
    }

    fn copies(&self) -> [PathBuf; 2] {
        ["milestone-a", "milestone-b"].map(|copy| self.gateway.folder.path().join("data").join(copy))
    }

    fn read_copies(&self) -> [Option<Vec<u8>>; 2] {
        self.copies().map(|copy| std::fs::read(copy).ok())
    }

    fn write_copies(&self, contents: &[Option<Vec<u8>>; 2]) {
        for (copy, content) in self.copies().iter().zip(contents) {
            match content {
                Some(content) => std::fs::write(copy, content).unwrap(),
                None => drop(std::fs::remove_file(copy)),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn own_store_is_never_refused_and_an_older_one_never_taken(events in events()) {
        let mut anchored = Anchored::new();
        let (mut copy, mut copied_at) = (anchored.read_copies(), 0);
        for event in events {
            let store = anchored.gateway.store();
            match event {
                Event::Step(cut) => {
                    anchored.step(&store, cut);
                    drop(store);
                    // The power comes back.
                    let store = anchored.gateway.store();
                    prop_assert!(anchored.start(&store).is_ok(), "{cut:?}");
                    let kept = anchored.session.store_head().unwrap().counter;
                    prop_assert_eq!(kept, store.milestone().unwrap().map_or(0, |last| last.counter));
                }
                Event::Copy => {
                    copy = anchored.read_copies();
                    copied_at = anchored.session.store_head().unwrap().counter;
                }
                Event::PutBack => {
                    drop(store);
                    let kept = anchored.session.store_head().unwrap().counter;
                    let own = anchored.read_copies();
                    anchored.write_copies(&copy);
                    let store = anchored.gateway.store();
                    match anchored.start(&store) {
                        Ok(_) => prop_assert_eq!(copied_at, kept),
                        Err(obstacle) => {
                            prop_assert!(copied_at < kept);
                            prop_assert_eq!(obstacle.state(true), GatewayState::Tampered);
                            prop_assert!(matches!(obstacle, Obstacle::StoreSetBack { .. }), "{}", obstacle);
                        }
                    }
                    prop_assert_eq!(anchored.session.store_head().unwrap().counter, kept);
                    drop(store);
                    anchored.write_copies(&own);
                }
            }
        }
    }
}

#[test]
fn card_that_was_set_back_behind_its_store_is_refused() {
    let mut anchored = Anchored::new();
    let store = anchored.gateway.store();
    for _ in 0..2 {
        anchored.step(&store, Cut::BeforeTheCard);
    }
    let refused = anchored.start(&store).unwrap_err();
    assert!(matches!(refused, Obstacle::CardHeadSetBack { card: 0, store: 2 }));
    assert_eq!(refused.state(true), GatewayState::CardForeign);
}

#[test]
fn milestone_that_the_card_was_never_told_is_refused() {
    let mut anchored = Anchored::new();
    let store = anchored.gateway.store();
    anchored.step(&store, Cut::Never);
    let last = store.milestone().unwrap().unwrap();
    let mut forged = last;
    forged.database.generation += 1;
    store.reach(&forged).unwrap();
    let refused = anchored.start(&store).unwrap_err();
    assert!(
        matches!(refused, Obstacle::StoreForeign { counter: 1 }),
        "{refused}"
    );
    forged.counter = 2;
    forged.before = forged.digest();
    store.reach(&forged).unwrap();
    let refused = anchored.start(&store).unwrap_err();
    assert!(
        matches!(refused, Obstacle::StoreForeign { counter: 2 }),
        "{refused}"
    );
}

#[test]
fn database_or_log_that_is_older_than_its_milestone_is_refused() {
    let mut anchored = Anchored::new();
    let store = anchored.gateway.store();
    anchored.step(&store, Cut::Never);
    let mut ahead = store.next_milestone(anchored.journal.logs()).unwrap();
    ahead.database.generation += 5;
    store.reach(&ahead).unwrap();
    let refused = anchored.start(&store).unwrap_err();
    assert!(
        matches!(refused, Obstacle::PartSetBack { part: "database" }),
        "{refused}"
    );
    let mut ahead = store.next_milestone(anchored.journal.logs()).unwrap();
    ahead.system.count += 5;
    store.reach(&ahead).unwrap();
    let refused = anchored.start(&store).unwrap_err();
    assert!(
        matches!(refused, Obstacle::PartSetBack { part: "system log" }),
        "{refused}"
    );
    assert_eq!(refused.state(true), GatewayState::Tampered);
}

#[test]
fn store_that_lost_both_copies_of_its_milestone_is_refused_and_one_is_enough() {
    let mut anchored = Anchored::new();
    let store = anchored.gateway.store();
    anchored.step(&store, Cut::Never);
    drop(store);
    let [first, second] = anchored.copies();
    std::fs::write(first, "?").unwrap();
    assert!(anchored.start(&anchored.gateway.store()).is_ok());
    std::fs::remove_file(second).unwrap();
    let refused = anchored.start(&anchored.gateway.store()).unwrap_err();
    assert!(matches!(refused, Obstacle::StoreSetBack { card: 1, store: 0 }));
}

/// Copies the database, or puts the copy back.
fn copy_database(from: &Path, to: &Path) {
    for part in ["gateway.db", "gateway.db-wal", "gateway.db-shm"] {
        match std::fs::copy(from.join(part), to.join(part)) {
            Ok(_) => {}
            Err(_) => drop(std::fs::remove_file(to.join(part))),
        }
    }
}

fn commit(store: &Store, id: u8) {
    let now = clock::now();
    let expires = now.saturating_add(Span::QUARTER_HOUR);
    let remembered = store.database().remember_request(&[id; 16], expires, now);
    assert_eq!(remembered.unwrap(), Remembered::Fresh);
}

#[test]
fn old_database_is_refused_whatever_loss_it_reports() {
    let mut anchored = Anchored::new();
    let data = anchored.gateway.folder.path().join("data");
    let copy = TempDir::new().unwrap();
    let store = anchored.gateway.store();
    commit(&store, 1);
    drop(store);
    copy_database(&data, copy.path());
    let store = anchored.gateway.store();
    for id in 2..9 {
        commit(&store, id);
    }
    anchored.step(&store, Cut::Never);
    drop(store);
    // With its witness gone, the old one reports that: a loss, and no excuse for being older than the milestone.
    copy_database(copy.path(), &data);
    std::fs::remove_file(data.join("gateway.head")).unwrap();
    let store = anchored.gateway.store();
    assert!(
        store
            .database()
            .losses()
            .iter()
            .any(|loss| loss.lost == Lost::Witness)
    );
    let refused = anchored.start(&store).unwrap_err();
    assert!(
        matches!(refused, Obstacle::PartSetBack { part: "database" }),
        "{refused}"
    );
}

#[test]
fn database_that_is_lost_altogether_is_a_loss_and_nothing_was_set_back() {
    let mut anchored = Anchored::new();
    let data = anchored.gateway.folder.path().join("data");
    let store = anchored.gateway.store();
    for id in 1..9 {
        commit(&store, id);
    }
    anchored.step(&store, Cut::Never);
    drop(store);
    copy_database(Path::new("/nowhere"), &data);
    std::fs::remove_file(data.join("gateway.head")).unwrap();
    let store = anchored.gateway.store();
    assert!(
        store
            .database()
            .losses()
            .iter()
            .any(|loss| loss.lost == Lost::Database)
    );
    assert!(anchored.start(&store).is_ok());
    // That it was lost once excuses nothing later.
    anchored.step(&store, Cut::Never);
    drop(store);
    let store = anchored.gateway.store();
    let mut ahead = store.next_milestone(anchored.journal.logs()).unwrap();
    ahead.database.generation += 5;
    store.reach(&ahead).unwrap();
    let refused = anchored.start(&store).unwrap_err();
    assert!(
        matches!(refused, Obstacle::PartSetBack { part: "database" }),
        "{refused}"
    );
}

#[test]
fn damaged_log_hides_no_other_one_that_was_set_back() {
    let mut anchored = Anchored::new();
    let store = anchored.gateway.store();
    anchored.journal.note(vec![CalibrationEvent::ClockSet.into(); 3]);
    anchored.step(&store, Cut::Never);
    let mut ahead = store.next_milestone(anchored.journal.logs()).unwrap();
    ahead.consumer.count += 5;
    store.reach(&ahead).unwrap();
    let logs = anchored.gateway.folder.path().join("logs");
    for file in std::fs::read_dir(logs.join("calibration")).unwrap() {
        std::fs::write(file.unwrap().path(), "?").unwrap();
    }
    assert!(!anchored.journal.verify().unwrap().is_sound());
    assert!(anchored.journal.is_log_damaged(LogKind::Calibration));
    assert!(!anchored.journal.is_log_damaged(LogKind::Consumer));
    let refused = anchored.start(&store).unwrap_err();
    assert!(
        matches!(refused, Obstacle::PartSetBack { part: "consumer log" }),
        "{refused}"
    );
}
