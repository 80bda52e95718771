use std::path::Path;

use model::{CalibrationEvent, ConsumerEvent};
use store::LogLimits;
use tempfile::TempDir;

use super::*;

const SMALL: LogLimits = LogLimits {
    system_bytes: LogLimits::SYSTEM_BYTES,
    system_age: model::Span::DAY,
    consumer_bytes: LogLimits::CONSUMER_BYTES,
    consumer_age: model::Span::DAY,
    calibration_bytes: 0,
};

fn open(folder: &Path, limits: LogLimits) -> Journal {
    let logs = Logs::open(folder, limits, false, moment()).unwrap();
    Journal::new(logs, CardKeyVerifier::new(None)).unwrap()
}

fn codes(journal: &Journal, kind: LogKind) -> Vec<String> {
    let page = journal.logs().page(kind, 0, None).unwrap();
    let code = |entry: store::LogEntry| entry.event().unwrap().code().to_owned();
    page.entries.into_iter().map(code).collect()
}

#[test]
fn damage_is_an_alarm_at_every_start_and_stays_in_the_log() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), LogLimits::default());
    let changed = ConsumerEvent::GrantsChanged {
        version: 1,
        suppliers: 1,
        grants: 1,
    };
    for _ in 0..3 {
        journal.write([changed.clone().into()]).unwrap();
    }
    assert_eq!(journal.alarm(), None);
    assert!(journal.verify().unwrap().is_sound());
    drop(journal);
    let segment = folder.path().join("consumer/00000000000000000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[80] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    for starts in 1..3 {
        let journal = open(folder.path(), LogLimits::default());
        let alarm = journal.alarm().unwrap();
        assert_eq!(alarm.state, GatewayState::Degraded);
        assert_eq!(journal.findings()[0].code, "SMGW-F-0201");
        assert!(
            alarm
                .detail
                .starts_with("the consumer log is damaged: damaged at entry 1"),
            "{}",
            alarm.detail
        );
        assert_eq!(codes(&journal, LogKind::System), vec!["SMGW-L-1011"; starts]);
    }
}

#[test]
fn damage_that_is_found_later_is_an_alarm_too() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), LogLimits::default());
    journal.write([CalibrationEvent::ClockSet.into()]).unwrap();
    std::fs::remove_dir_all(folder.path().join("calibration")).unwrap();
    journal.note([CalibrationEvent::ClockSet.into()]);
    std::fs::write(folder.path().join("heads.json"), "{}").unwrap();
    assert_eq!(journal.alarm(), None);
    assert!(!journal.verify().unwrap().is_sound());
    assert_eq!(journal.alarm().unwrap().state, GatewayState::Degraded);
    assert!(journal.is_damaged());
}

#[test]
fn a_full_calibration_log_is_an_alarm_that_ends_with_more_room() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), SMALL);
    let events = vec![LogEvent::from(CalibrationEvent::ClockSet); 200];
    while !journal.logs().is_full(LogKind::Calibration) {
        journal.write(events.clone()).unwrap();
    }
    assert_eq!(journal.alarm(), None);
    journal.look_for_room();
    let alarm = journal.alarm().unwrap();
    assert_eq!(alarm.state, GatewayState::StorageFull);
    assert_eq!(codes(&journal, LogKind::System), ["SMGW-L-1012"]);
    // What happens now is still logged, until there is no room at all; then the rest goes on.
    journal.write([CalibrationEvent::ClockSet.into()]).unwrap();
    let full = loop {
        if let Err(error) = journal.write(events.clone()) {
            break error;
        }
    };
    assert!(matches!(
        full,
        LogError::Full {
            log: LogKind::Calibration
        }
    ));
    assert!(!journal.inner.broken.is_cancelled());
    drop(journal);
    assert_eq!(open(folder.path(), SMALL).alarm(), Some(alarm));
    assert_eq!(open(folder.path(), LogLimits::default()).alarm(), None);
}

#[test]
fn what_strangers_cause_is_counted_when_it_comes_too_often() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), LogLimits::default());
    let refused = SystemEvent::HandshakeRefused {
        peer: LogText::cut("::1"),
        reason: LogText::cut("no certificate"),
    };
    for _ in 0..30 {
        journal.note_outside(refused.clone());
    }
    journal.note_counted();
    journal.note_counted();
    let codes = codes(&journal, LogKind::System);
    assert_eq!(codes.len(), 21);
    assert_eq!(codes[20], "SMGW-L-1013");
}

#[test]
fn what_is_too_long_is_refused_and_nothing_else_is_stopped() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), LogLimits::default());
    let period = model::Period::new(
        "2026-01-01T00:00:00Z".parse().unwrap(),
        "2026-01-02T00:00:00Z".parse().unwrap(),
    );
    let long = ConsumerEvent::Denied {
        supplier: Fingerprint::new([1; 32]),
        name: LogText::cut("Stadtwerke"),
        request: LogText::cut("00"),
        code: LogText::cut("too-fine"),
        rule: Some("r".repeat(20_000)),
        elements: model::ElementPattern::ANY,
        period: period.unwrap(),
        resolution: model::Span::QUARTER_HOUR,
        aggregation: model::Aggregation::Value,
    };
    assert!(matches!(
        journal.write([long.into()]),
        Err(LogError::TooLong { .. })
    ));
    assert!(!journal.inner.broken.is_cancelled());
}

#[cfg(feature = "soft-card")]
mod with_a_card {
    use std::sync::Arc;
    use std::time::Duration;

    use model::{CardId, Span};
    use store::{DeviceKey, HeadRefusal, HeadsFault, Protection, Store};

    use super::*;
    use crate::card::{Center, Custodian};
    use crate::config::{CardConfig, CardSlot};

    const GUID: &str = "fd5a::1";

    /// How long the card's thread may take to end.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// How often the card is looked after.
    const HEARTBEAT: Duration = Duration::from_millis(250);

    fn open_store(folder: &Path) -> Store {
        let key = DeviceKey::new([0x5a; 32]);
        Store::open(&folder.join("data"), Ok(Protection { key, otp: None })).unwrap()
    }

    fn in_file(folder: &Path) -> CardConfig {
        CardConfig {
            waits_for_confirmation: false,
            slot: CardSlot::Soft(folder.join("card")),
            heartbeat: HEARTBEAT,
        }
    }

    /// Lets a gateway live until its card is examined, has the heads signed and stops in order; returns its GUID
    /// if the card has signed.
    async fn a_life(folder: &Path) -> Option<CardId> {
        let store = Arc::new(open_store(folder));
        let binding = store.bindings().unwrap().binding().unwrap();
        let key = binding.as_ref().map(|binding| binding.card_key);
        let logs = folder.join("logs");
        let logs = Logs::open(&logs, LogLimits::default(), binding.is_some(), moment()).unwrap();
        let journal = Journal::new(logs, CardKeyVerifier::new(key)).unwrap();
        let slot = in_file(folder);
        let (card, mut standing, thread) =
            Custodian::start(slot, store, journal.clone(), &crate::liveness::Pulses::default()).unwrap();
        let examined = standing.wait_for(|standing| standing.detail.is_some() || standing.identity.is_some());
        let bound_to = examined
            .await
            .unwrap()
            .identity
            .as_ref()
            .map(|identity| identity.guid);
        let keeper = Keeper::new(journal.clone(), card, standing, Span::QUARTER_HOUR);
        let signed = keeper.sign().await;
        assert!(bound_to.is_none() || journal.compares_keys());
        drop(keeper);
        tokio::task::spawn_blocking(|| thread.join(PATIENCE))
            .await
            .unwrap();
        bound_to.filter(|_| signed)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_card_signs_the_heads_and_its_signature_verifies() {
        let folder = TempDir::new().unwrap();
        Center::new().personalize(&folder.path().join("card"), GUID);
        for _ in 0..2 {
            assert_eq!(a_life(folder.path()).await, Some(GUID.parse().unwrap()));
        }
        let store = open_store(folder.path());
        let key = store.bindings().unwrap().binding().unwrap().unwrap().card_key;
        let logs = folder.path().join("logs");
        let verify = |key| Logs::verify_folder(&logs, &CardKeyVerifier::new(Some(key))).unwrap();
        let verification = verify(key);
        assert!(verification.is_sound(), "{verification:?}");
        assert_eq!(verification.signed.unwrap().number, 2);
        let other = verify(Fingerprint::new([1; 32]));
        assert_eq!(other.fault, Some(HeadsFault::Refused(HeadRefusal::Key)));
        let path = logs.join("heads.json");
        let heads = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, heads.replace("\"number\": 2", "\"number\": 3")).unwrap();
        let changed = verify(key);
        assert_eq!(changed.fault, Some(HeadsFault::Refused(HeadRefusal::Signature)));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_binding_is_logged_once() {
        let folder = TempDir::new().unwrap();
        Center::new().personalize(&folder.path().join("card"), GUID);
        for _ in 0..3 {
            a_life(folder.path()).await;
        }
        let journal = open(&folder.path().join("logs"), LogLimits::default());
        let codes = codes(&journal, LogKind::System);
        let bound = codes.iter().filter(|code| *code == "SMGW-L-1004").count();
        assert_eq!(bound, 1, "{codes:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_log_that_was_cut_behind_the_gateways_back_is_never_signed_again() {
        let folder = TempDir::new().unwrap();
        Center::new().personalize(&folder.path().join("card"), GUID);
        a_life(folder.path()).await;
        let segment = folder.path().join("logs/system/00000000000000000001.seg");
        let mut bytes = std::fs::read(&segment).unwrap();
        bytes[200..].fill(0);
        std::fs::write(&segment, bytes).unwrap();
        for _ in 0..2 {
            assert_eq!(a_life(folder.path()).await, None);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn damage_that_comes_while_the_daemon_runs_is_not_signed() {
        let folder = TempDir::new().unwrap();
        Center::new().personalize(&folder.path().join("card"), GUID);
        a_life(folder.path()).await;
        let store = Arc::new(open_store(folder.path()));
        let journal = open(&folder.path().join("logs"), LogLimits::default());
        let slot = in_file(folder.path());
        let (card, mut standing, thread) =
            Custodian::start(slot, store, journal.clone(), &crate::liveness::Pulses::default()).unwrap();
        standing
            .wait_for(|standing| standing.identity.is_some())
            .await
            .unwrap();
        let segment = folder.path().join("logs/system/00000000000000000001.seg");
        let mut bytes = std::fs::read(&segment).unwrap();
        bytes[80] ^= 1;
        std::fs::write(&segment, bytes).unwrap();
        let keeper = Keeper::new(journal.clone(), card, standing.clone(), Span::QUARTER_HOUR);
        assert!(!keeper.sign().await);
        let degraded = standing.wait_for(|standing| standing.state == GatewayState::Degraded);
        // The card stays at hand, so that whoever asks is told.
        assert!(degraded.await.unwrap().answers());
        drop(keeper);
        tokio::task::spawn_blocking(|| thread.join(PATIENCE))
            .await
            .unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn logs_of_a_bound_gateway_that_are_gone_are_missed_at_every_start() {
        let folder = TempDir::new().unwrap();
        Center::new().personalize(&folder.path().join("card"), GUID);
        a_life(folder.path()).await;
        std::fs::remove_dir_all(folder.path().join("logs")).unwrap();
        for _ in 0..2 {
            assert_eq!(a_life(folder.path()).await, None);
        }
    }
}
