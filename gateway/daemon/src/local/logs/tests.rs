use std::path::Path;
use std::sync::Arc;

use model::{CalibrationEvent, LogEvent, LogText, SystemEvent};
use store::{DeviceKey, LogLimits, Logs, Protection, Store};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::app;
use crate::applications::{ApplicationsTask, Explainer};
use crate::binding::BindingSource;
use crate::card::{CardHandle, Standing};
use crate::config::Config;
use crate::doctor::{Climber, Inside, Way};
use crate::grants::Restrictions;
use crate::journal::{CardKeyVerifier, moment};
use crate::liveness::{Pulses, Vitals};
use crate::local::control::{self, ControlError};
use crate::local::grants::GrantsSource;
use crate::local::web::AccessSource;
use crate::status::StatusSource;

fn journal(folder: &Path) -> Journal {
    let logs = Logs::open(folder, LogLimits::default(), false, moment()).unwrap();
    Journal::new(logs, CardKeyVerifier::new(None)).unwrap()
}

fn open_store(folder: &Path) -> Arc<Store> {
    let key = DeviceKey::new([0x5a; DeviceKey::LENGTH]);
    Arc::new(Store::open(&folder.join("data"), Ok(Protection { key, otp: None })).unwrap())
}

/// Serves a journal on a socket, and asks for what stands at an address.
async fn asked<T>(journal: &Journal, addresses: Vec<String>) -> Vec<Result<T, ControlError>>
where
    T: serde::de::DeserializeOwned + Send + 'static,
{
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("socket");
    let listener = control::listen(&socket).unwrap();
    let store = open_store(folder.path());
    let source = StatusSource {
        standing: watch::channel(Standing::unknown()).1,
        meters: watch::channel(Vec::new()).1,
        made: watch::channel(Vec::new()).1,
        registration_period: model::Span::QUARTER_HOUR,
        live_period: None,
        web: None,
        https: None,
        certificate: None,
        wan: None,
        broker: None,
        findings: Arc::new([]),
        journal: journal.clone(),
        store: Arc::clone(&store),
        vitals: Vitals {
            pulses: Pulses::default(),
            card: CardHandle::ended(),
        },
    };
    let stop = CancellationToken::new();
    let bindings = BindingSource {
        store,
        device_key: None,
        waits_for_confirmation: false,
        standing: watch::channel(Standing::unknown()).1,
    };
    let card = CardHandle::ended();
    let restrictions = Restrictions::new(Arc::clone(&source.store), journal.clone());
    let granting = GrantsSource::new(source.standing.clone(), Arc::clone(&source.store), restrictions);
    let periods = (model::Span::QUARTER_HOUR, model::Span::DAY);
    let gateway = (Arc::clone(&source.store), journal.clone());
    let (_, shared, _) = ApplicationsTask::new(gateway, source.standing.clone(), periods, app::host);
    let logs = (
        journal.clone(),
        granting,
        Explainer::new(shared),
        AccessSource(None),
    );
    let inside = Inside {
        card: card.clone(),
        standing: source.standing.clone(),
        listens: None,
    };
    let way = Way::of(&Config::parse("data = \"/nowhere\"\n[control]\nsocket = \"/nowhere\"\n").unwrap());
    let climber = Climber::new(way, inside);
    let serving = control::serve(listener, source, bindings, logs, (card, climber), stop.clone());
    let serving = tokio::spawn(serving);
    let asking = move || {
        let ask = |address: &String| control::ask_for(&socket, address);
        addresses.iter().map(ask).collect()
    };
    let answers = tokio::task::spawn_blocking(asking).await.unwrap();
    stop.cancel();
    serving.await.unwrap();
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_shown_page_by_page() {
    let folder = TempDir::new().unwrap();
    let journal = journal(folder.path());
    let started = |number: u64| {
        LogEvent::from(SystemEvent::Started {
            version: LogText::cut(&number.to_string()),
        })
    };
    journal.write((0..300).map(started)).unwrap();
    let (mut shown, mut after) = (Vec::new(), Some(0));
    while let Some(behind) = after {
        let address = page_address(LogKind::System, behind, None);
        let page: Page = asked(&journal, vec![address]).await.pop().unwrap().unwrap();
        assert!(page.entries.len() <= 256);
        shown.extend(page.entries);
        after = page.next;
    }
    assert_eq!(shown.len(), 300);
    let line = serde_json::to_value(&shown[299]).unwrap();
    assert_eq!(line["schema"], "smgw.log/1");
    assert_eq!(line["sequence"], 300);
    assert_eq!(line["code"], "SMGW-L-1001");
    assert_eq!(line["event"]["event"], "started");
    assert_eq!(line["clock_trusted"], true);
    let text = shown[299].to_string();
    assert!(text.contains("SMGW-L-1001  started, version 299"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_asked_for_is_shown() {
    let folder = TempDir::new().unwrap();
    let journal = journal(folder.path());
    journal.write([CalibrationEvent::ClockSet.into()]).unwrap();
    let since = |text: &str| Some(text.parse().unwrap());
    let addresses = vec![
        page_address(LogKind::Calibration, 0, since("2026-01-01T00:00:00Z")),
        page_address(LogKind::Calibration, 0, since("9000-01-01T00:00:00Z")),
        "/v1/logs/audit".to_owned(),
        "/v1/logs/system?before=1".to_owned(),
    ];
    let mut answers = asked::<Page>(&journal, addresses).await.into_iter();
    assert_eq!(answers.next().unwrap().unwrap().entries.len(), 1);
    assert_eq!(answers.next().unwrap().unwrap().entries.len(), 0);
    for answer in answers {
        assert!(matches!(answer, Err(ControlError::Refused { .. })), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_names_the_first_bad_entry() {
    let folder = TempDir::new().unwrap();
    let journal = journal(folder.path());
    for _ in 0..3 {
        journal.write([CalibrationEvent::ClockSet.into()]).unwrap();
    }
    let verified = async || -> Report {
        let mut answers = asked(&journal, vec![VERIFICATION.to_owned()]).await;
        answers.pop().unwrap().unwrap()
    };
    let sound = verified().await;
    assert!(sound.sound, "{sound:?}");
    let text = sound.to_string();
    assert!(
        text.contains("calibration  3 entries up to 3, 0 signed: sound"),
        "{text}"
    );
    let segment = folder.path().join("calibration/00000000000000000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[80] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let bad = verified().await;
    assert!(!bad.sound);
    let json = serde_json::to_value(&bad).unwrap();
    assert_eq!(json["schema"], "smgw.log-verification/1");
    assert_eq!(json["logs"][2]["fault"]["sequence"], 1);
    assert_eq!(json["logs"][2]["fault"]["code"], "damaged");
    let text = bad.to_string();
    assert!(text.contains("BAD, entry 1 is damaged (damaged)"), "{text}");
}
