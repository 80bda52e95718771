use std::collections::BTreeSet;

use serde::de::DeserializeOwned;

use super::*;
use crate::{
    Aggregation, Effect, ElementPattern, GapReason, GatewayId, GatewayState, Medium, MeterId, Period,
    Restriction, Span, Status, Timestamp,
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn text(text: &str) -> LogText {
    text.parse().unwrap()
}

fn head() -> LogHead {
    LogHead {
        count: 3,
        hash: LogHash::new([0xab; 32]),
    }
}

fn system_events() -> Vec<SystemEvent> {
    let log = LogKind::Consumer;
    vec![
        SystemEvent::Started {
            version: text("0.1.0"),
        },
        SystemEvent::Stopped {
            reason: text("it was told to"),
        },
        SystemEvent::StandingChanged {
            state: GatewayState::CardMissing,
            code: text("SMGW-S-0101"),
            detail: None,
        },
        SystemEvent::BindingBurned {
            card: "fd5a::1".parse().unwrap(),
            gateway: GatewayId::new([1; 16]),
            time: at("2026-11-23T12:00:00Z"),
        },
        SystemEvent::BundleInstalled {
            version: 2,
            digest: Fingerprint::new([2; 32]),
            suppliers: 1,
            grants: 3,
        },
        SystemEvent::HandshakeRefused {
            peer: text("[::1]:1"),
            reason: text("no certificate"),
        },
        SystemEvent::MessageRejected {
            code: text("replayed"),
            sender: None,
            peer: Some(text("[::1]:1")),
        },
        SystemEvent::HeadsSigned {
            number: 1,
            certificate: Fingerprint::new([3; 32]),
        },
        SystemEvent::LogPruned { log, base: head() },
        SystemEvent::LogRepaired {
            log,
            behind: 3,
            bytes: 10,
            digest: LogHash::new([4; 32]),
        },
        SystemEvent::LogDamaged {
            log: Some(log),
            code: text("damaged"),
            sequence: Some(7),
        },
        SystemEvent::LogFull { log },
        SystemEvent::EventsCounted {
            code: text("SMGW-L-1006"),
            count: 9,
        },
        SystemEvent::ConfigurationRead {
            digest: Fingerprint::new([5; 32]),
        },
        SystemEvent::StorageFinding {
            code: text("SMGW-F-0105"),
            text: text("The data partition is mounted with commit=30."),
        },
        SystemEvent::BindingsRepaired {
            what: text("copy A was written again"),
        },
    ]
}

/// What happens to what is kept, and to what makes more of it.
fn kept_events() -> Vec<SystemEvent> {
    vec![
        SystemEvent::HistorySealed {
            points: 96,
            chunks: 1,
        },
        SystemEvent::HistoryForgotten { rows: 96 },
        SystemEvent::ApplicationStopped {
            application: text("taf-2 1.0.0"),
            digest: Fingerprint::new([6; 32]),
            since: at("2026-11-22T00:00:00Z"),
            reason: text("key-compromise"),
        },
    ]
}

fn access_events() -> Vec<SystemEvent> {
    vec![
        SystemEvent::LoggedIn {
            account: text("technician"),
            peer: text("192.168.1.7"),
        },
        SystemEvent::LoginFailed {
            account: Some(text("consumer")),
            peer: text("192.168.1.7"),
        },
        SystemEvent::PasswordChanged {
            account: text("consumer"),
            issued: true,
        },
        SystemEvent::TokenMade {
            account: text("consumer"),
            name: text("display"),
        },
        SystemEvent::TokenRevoked {
            account: text("consumer"),
            name: text("display"),
        },
        SystemEvent::AccessReset,
        SystemEvent::LoggedOut {
            account: text("consumer"),
            peer: text("192.168.1.7"),
        },
        SystemEvent::LoginRefused {
            account: None,
            peer: text("192.168.1.7"),
        },
        SystemEvent::CertificateRenewed {
            certificate: Fingerprint::new([7; 32]),
        },
        SystemEvent::RestartOrdered {
            account: text("technician"),
        },
        SystemEvent::MetersInstalled {
            account: text("technician"),
            meters: text("water"),
            file: text("meter-1.toml"),
        },
        SystemEvent::MetersRemoved {
            account: text("technician"),
            meters: text("water"),
            file: text("meter-1.toml"),
        },
    ]
}

fn consumer_events() -> Vec<ConsumerEvent> {
    let period = Period::new(at("2026-11-22T00:00:00Z"), at("2026-11-23T00:00:00Z")).unwrap();
    let supplier = Fingerprint::new([0xcd; 32]);
    vec![
        ConsumerEvent::Answered {
            supplier,
            name: text("Stadtwerke"),
            request: text("00ff"),
            rules: vec!["billing".to_owned()],
            purpose: vec!["billing".parse().unwrap()],
            elements: "*/1-0:1.8.0*255".parse().unwrap(),
            period,
            resolution: Span::QUARTER_HOUR,
            aggregation: Aggregation::Value,
            values: 96,
            pseudonymous: false,
            bytes: 4_000,
            content: Some(Fingerprint::new([6; 32])),
        },
        ConsumerEvent::Denied {
            supplier,
            name: text("Stadtwerke"),
            request: text("00ff"),
            code: text("too-fine"),
            rule: None,
            elements: ElementPattern::ANY,
            period,
            resolution: Span::QUARTER_HOUR,
            aggregation: Aggregation::Value,
        },
        ConsumerEvent::GrantsChanged {
            version: 2,
            suppliers: 1,
            grants: 3,
        },
        ConsumerEvent::Restricted {
            restriction: restriction(),
        },
        ConsumerEvent::RestrictionLifted {
            restriction: restriction(),
        },
    ]
}

fn restriction() -> Restriction {
    Restriction {
        id: 1,
        supplier: None,
        elements: ElementPattern::ANY,
        effect: Effect::Object,
        from: at("2026-11-22T00:00:00Z"),
    }
}

fn calibration_events() -> Vec<CalibrationEvent> {
    let (name, meter): (_, MeterId) = (text("gas"), "ELS-12345678-3C-03".parse().unwrap());
    let (from, to) = (at("2026-11-22T00:00:00Z"), at("2026-11-23T00:00:00Z"));
    vec![
        CalibrationEvent::ClockUnset,
        CalibrationEvent::ClockSet,
        CalibrationEvent::ClockJumped {
            expected: from,
            found: to,
        },
        CalibrationEvent::MeterSeen {
            name: name.clone(),
            meter: meter.clone(),
            medium: Medium::Gas,
        },
        CalibrationEvent::MeterReplaced {
            name: name.clone(),
            before: meter.clone(),
            now: meter.clone(),
        },
        CalibrationEvent::MeterStatus {
            name: name.clone(),
            meter: meter.clone(),
            status: Status::LOW_POWER,
        },
        CalibrationEvent::GapBegun {
            name: name.clone(),
            meter: None,
            from,
            reason: GapReason::NoAnswer,
        },
        CalibrationEvent::GapEnded {
            name,
            meter,
            from,
            to,
        },
        CalibrationEvent::RegistrationInterrupted { last: from, next: to },
    ]
}

fn reads_back<E: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(event: &E) {
    let json = serde_json::to_string(event).unwrap();
    assert_eq!(&serde_json::from_str::<E>(&json).unwrap(), event, "{json}");
}

fn all_events() -> Vec<LogEvent> {
    let system = system_events()
        .into_iter()
        .chain(kept_events())
        .chain(access_events());
    let system = system.map(LogEvent::from);
    let consumer = consumer_events().into_iter().map(LogEvent::from);
    let calibration = calibration_events().into_iter().map(LogEvent::from);
    system.chain(consumer).chain(calibration).collect()
}

#[test]
fn every_event_reads_back_its_json() {
    system_events().iter().for_each(reads_back);
    kept_events().iter().for_each(reads_back);
    access_events().iter().for_each(reads_back);
    consumer_events().iter().for_each(reads_back);
    calibration_events().iter().for_each(reads_back);
}

#[test]
fn every_event_has_its_own_code_and_a_sentence() {
    let events = all_events();
    let codes: BTreeSet<_> = events.iter().map(LogEvent::code).collect();
    assert_eq!(codes.len(), events.len());
    for event in &events {
        let first = match event.kind() {
            LogKind::System => "SMGW-L-1",
            LogKind::Consumer => "SMGW-L-2",
            LogKind::Calibration => "SMGW-L-3",
        };
        assert!(event.code().starts_with(first), "{event:?}");
        assert!(event.to_string().contains(' '), "{event:?}");
    }
}

#[test]
fn json_form_is_stable() {
    for (event, json) in [
        (0, r#"{"event":"started","version":"0.1.0"}"#),
        (
            2,
            r#"{"event":"standing-changed","state":"card-missing","code":"SMGW-S-0101"}"#,
        ),
        (
            8,
            r#"{"event":"log-pruned","log":"consumer","base":{"count":3,"hash":"abababababababababababababababababababababababababababababababab"}}"#,
        ),
        (
            25,
            r#"{"event":"logged-out","account":"consumer","peer":"192.168.1.7"}"#,
        ),
        (26, r#"{"event":"login-refused","peer":"192.168.1.7"}"#),
        (28, r#"{"event":"restart-ordered","account":"technician"}"#),
        (
            29,
            r#"{"event":"meters-installed","account":"technician","meters":"water","file":"meter-1.toml"}"#,
        ),
        (
            31,
            r#"{"event":"answered","supplier":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd","name":"Stadtwerke","request":"00ff","rules":["billing"],"purpose":["billing"],"elements":"*/1-0:1.8.0*255","period":{"from":"2026-11-22T00:00:00Z","to":"2026-11-23T00:00:00Z"},"resolution":"PT15M","values":96,"bytes":4000,"content":"0606060606060606060606060606060606060606060606060606060606060606"}"#,
        ),
        (
            34,
            r#"{"event":"restricted","restriction":{"id":1,"elements":"*/*","effect":"object","from":"2026-11-22T00:00:00Z"}}"#,
        ),
        (36, r#"{"event":"clock-unset"}"#),
        (
            42,
            r#"{"event":"gap-begun","name":"gas","from":"2026-11-22T00:00:00Z","reason":"no-answer"}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&all_events()[event]).unwrap(), json);
    }
}

#[test]
fn unknown_events_and_fields_are_refused() {
    for json in [
        r#"{"event":"started","version":"1","more":1}"#,
        r#"{"event":"invented"}"#,
        "{}",
    ] {
        assert!(serde_json::from_str::<SystemEvent>(json).is_err(), "{json}");
    }
}

#[test]
fn texts_are_bounded_and_printable() {
    assert_eq!("a\nb".parse::<LogText>(), Err(LogWordError::Text));
    assert_eq!("a".repeat(301).parse::<LogText>(), Err(LogWordError::Text));
    assert_eq!(LogText::cut("a\nb").as_str(), "a b");
    assert_eq!(LogText::cut(&"ä".repeat(400)).as_str().chars().count(), 300);
}

#[test]
fn logs_and_hashes_read_back_their_names() {
    for kind in LogKind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
        assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
    }
    assert_eq!("audit".parse::<LogKind>(), Err(LogWordError::Kind));
    let hash = head().hash;
    assert_eq!(hash.to_string().parse(), Ok(hash));
    assert_eq!("zz".parse::<LogHash>(), Err(ParseIdentityError::NotHexadecimal));
}
