mod deliveries;

use model::{GatewayState, Grant, Limit, Period, Query, Reading, Series, SeriesError, Span, Status};
use proptest::prelude::*;

use super::*;
use crate::certificate::{RevocationReason, Role};
use crate::testing::{World, card_id, now, world};

fn id(number: u8) -> MessageId {
    MessageId::new([number; 16])
}

fn fingerprint() -> Fingerprint {
    Fingerprint::new([0xab; 32])
}

fn query() -> Query {
    Query {
        elements: "*/1-0:1.8.0*255".parse().unwrap(),
        period: Period::new(now(), now().saturating_add(Span::DAY)).unwrap(),
        resolution: Span::QUARTER_HOUR,
        aggregation: model::Aggregation::Value,
    }
}

fn series() -> Series {
    let reading = Reading {
        element: "M1/1-0:1.8.0*255"
            .parse::<model::ElementPattern>()
            .unwrap()
            .exact()
            .unwrap(),
        time: now(),
        quantity: model::Quantity {
            value: "12.340".parse().unwrap(),
            unit: model::Unit::WattHour,
        },
        status: Status::GOOD,
    };
    Series::from_readings(now(), Span::QUARTER_HOUR, &[reading], &[]).unwrap()
}

fn request() -> Request {
    Request {
        id: id(1),
        sender: fingerprint(),
        recipient: card_id(),
        time: now(),
        queries: vec![query()],
    }
}

fn answer() -> Answer {
    Answer {
        id: id(2),
        in_reply_to: id(1),
        gateway: card_id(),
        supplier: fingerprint(),
        time: now(),
        series: vec![series()],
        refusals: vec![Refusal {
            query: query(),
            code: "SMGW-A-0002".parse().unwrap(),
            reason: "The resolution is finer than the grant permits.".parse().unwrap(),
            rule: Some("billing".parse().unwrap()),
        }],
        rest: Vec::new(),
    }
}

fn grant() -> Grant {
    Grant {
        id: "billing".into(),
        supplier: fingerprint(),
        elements: vec!["*".parse().unwrap()],
        finest: Span::QUARTER_HOUR,
        aggregations: model::Aggregation::USUAL.into(),
        history: Span::DAY,
        validity: query().period,
        push: None,
        at_most: None,
        delivery: None,
        purpose: "billing".parse().unwrap(),
    }
}

fn bundle(world: &World) -> Bundle {
    Bundle {
        id: id(3),
        recipient: card_id(),
        bundle_version: 7,
        time: now(),
        reply_to: world.tsm.triple.enc.clone(),
        issuing: Vec::new(),
        suppliers: vec![SupplierEntry {
            name: "Stadtwerke Süd".parse().unwrap(),
            certificates: world.supplier.triple.clone(),
        }],
        grants: vec![grant()],
        applications: vec![application()],
        revoked: vec![RevokedCertificate {
            certificate: fingerprint(),
            time: now(),
            reason: RevocationReason::KeyCompromise,
        }],
        policy: vec![limit()],
    }
}

fn limit() -> Limit {
    Limit {
        id: "policy 1".to_owned(),
        supplier: None,
        elements: vec!["*".parse().unwrap()],
        finest: Span::QUARTER_HOUR,
        aggregations: model::Aggregation::USUAL.into(),
        history: Span::DAY,
        validity: None,
        at_most: None,
    }
}

fn application() -> ApplicationEntry {
    ApplicationEntry {
        supplier: fingerprint(),
        name: "Tariff 2.1".parse().unwrap(),
        digest: fingerprint(),
        size: 9_000,
        assignments: vec![assignment()],
    }
}

fn assignment() -> Assignment {
    let day = serde_json::json!([["00:00", 2], ["06:00", 1]]);
    let season =
        serde_json::json!({ "from": "01-01", "work": day, "saturday": day, "sunday": day, "holiday": day });
    Assignment {
        name: "household".parse().unwrap(),
        inputs: [("register".to_owned(), vec!["M1/1-0:1.8.0*255".parse().unwrap()])].into(),
        parameters: [("stages".to_owned(), serde_json::json!({ "seasons": [season] }))].into(),
        window: model::Window::Day,
        zone: "CET-1CEST,M3.5.0,M10.5.0/3".parse().unwrap(),
        from: now(),
        to: None,
    }
}

#[test]
fn assignments_of_one_name_follow_upon_each_other() {
    let world = world();
    let [begin, change, end] = [0, 86_400, 2 * 86_400].map(|seconds| {
        let seconds = now().unix_seconds() + seconds;
        Timestamp::from_unix_seconds(seconds).unwrap()
    });
    let series = |spans: &[(Timestamp, Option<Timestamp>)]| {
        let mut bundle = bundle(&world);
        let spans = spans.iter().map(|(from, to)| Assignment {
            from: *from,
            to: *to,
            ..assignment()
        });
        bundle.applications[0].assignments = spans.collect();
        let json = Content::Bundle(bundle.clone()).to_json()?;
        assert_eq!(Content::parse(&json).unwrap(), Content::Bundle(bundle));
        Ok::<_, ContentError>(String::from_utf8(json.to_vec()).unwrap())
    };
    let ends = |spans: &[_]| series(spans).unwrap().matches("\"to\":").count();
    let following = [(begin, Some(change)), (change, Some(end)), (end, None)];
    assert_eq!(
        ends(&following),
        ends(&[(begin, None)]) + 2,
        "what has no end says nothing of it"
    );
    for spans in [
        [(begin, None), (change, None)],
        [(begin, Some(end)), (change, None)],
        [(change, None), (begin, Some(end))],
    ] {
        let error = series(&spans).unwrap_err();
        assert!(
            matches!(error, ContentError::RepeatedAssignment { .. }),
            "{error}"
        );
    }
    let error = series(&[(change, Some(change))]).unwrap_err();
    assert!(matches!(error, ContentError::EmptyAssignment { .. }), "{error}");
    let own = Assignment {
        from: begin,
        to: Some(change),
        ..assignment()
    };
    assert!(own.covers(begin) && !own.covers(change));
}

#[test]
fn assignments_have_limits_and_names_of_their_own() {
    let world = world();
    let refused = |change: &dyn Fn(&mut Vec<Assignment>)| {
        let mut bundle = bundle(&world);
        change(&mut bundle.applications[0].assignments);
        Content::Bundle(bundle).to_json().unwrap_err()
    };
    let error = refused(&|all| all.push(assignment()));
    assert!(
        matches!(error, ContentError::RepeatedAssignment { .. }),
        "{error}"
    );
    let error = refused(&|all| *all = vec![assignment(); MAX_ASSIGNMENTS + 1]);
    assert!(
        matches!(
            error,
            ContentError::TooMany {
                list: List::Assignments,
                ..
            }
        ),
        "{error}"
    );
    let error = refused(&|all| {
        all[0].inputs = (0..=MAX_ROLES)
            .map(|role| (role.to_string(), Vec::new()))
            .collect();
    });
    assert!(
        matches!(
            error,
            ContentError::TooMany {
                list: List::Roles,
                ..
            }
        ),
        "{error}"
    );
    let error = refused(&|all| {
        all[0].inputs = [("a".to_owned(), vec!["*".parse().unwrap(); MAX_PLAYERS + 1])].into();
    });
    assert!(
        matches!(
            error,
            ContentError::TooMany {
                list: List::Patterns,
                ..
            }
        ),
        "{error}"
    );
    let error = refused(&|all| {
        all[0].parameters = [("a".to_owned(), vec!["x"; MAX_PARAMETERS].into())].into();
    });
    assert!(matches!(error, ContentError::TooLarge { .. }), "{error}");
}

fn unit() -> UnitReport {
    UnitReport {
        software: "0.1.0".parse().unwrap(),
        certificates_end: now(),
        applications: vec![fingerprint()],
        findings: vec![ReportedFinding {
            code: "SMGW-F-0101".parse().unwrap(),
            text: "The data folder lies in memory.".parse().unwrap(),
        }],
    }
}

fn report() -> Report {
    Report {
        id: id(5),
        in_reply_to: id(3),
        gateway: card_id(),
        time: now(),
        bundle_version: 7,
        bundle_digest: Some(fingerprint()),
        state: GatewayState::Operational,
        unit: Some(unit()),
    }
}

fn delivery(world: &World) -> Application {
    Application {
        id: id(9),
        recipient: card_id(),
        time: now(),
        reply_to: world.tsm.triple.enc.clone(),
        digest: fingerprint(),
        content: Piece::cut(&[7; 9_000]),
    }
}

fn installation(world: &World) -> InstallationRequest {
    InstallationRequest {
        id: id(10),
        sender: fingerprint(),
        gateway: card_id(),
        time: now(),
        certificates: Box::new(world.supplier.triple.clone()),
        grants: vec![grant()],
        application: Some(application()),
    }
}

fn commands(world: &World) -> CardCommands {
    CardCommands {
        id: id(4),
        recipient: card_id(),
        time: now(),
        reply_to: world.tsm.triple.enc.clone(),
        commands: vec!["00840000 08".replace(' ', "").parse().unwrap()],
    }
}

fn every_content(world: &World) -> Vec<Content> {
    vec![
        Content::Request(request()),
        Content::Answer(answer()),
        Content::Bundle(bundle(world)),
        Content::Report(report()),
        Content::ReportRequest(ReportRequest {
            id: id(8),
            recipient: card_id(),
            time: now(),
            reply_to: world.tsm.triple.enc.clone(),
        }),
        Content::Application(delivery(world)),
        Content::InstallationRequest(installation(world)),
        Content::CardCommands(commands(world)),
        Content::CardAnswers(CardAnswers {
            id: id(6),
            in_reply_to: id(4),
            gateway: card_id(),
            time: now(),
            answers: vec!["9000".parse().unwrap()],
        }),
        Content::Refused(Refused {
            id: id(7),
            in_reply_to: id(1),
            gateway: card_id(),
            time: now(),
            code: "SMGW-M-0001".parse().unwrap(),
            reason: "The message was repeated.".parse().unwrap(),
        }),
        Content::Receipt(receipt(fingerprint())),
        Content::Push(push()),
    ]
}

fn push() -> Push {
    Push {
        id: id(11),
        gateway: card_id(),
        supplier: fingerprint(),
        time: now(),
        grant: "billing".parse().unwrap(),
        period: query().period,
        delivery: None,
        series: answer().series,
    }
}

fn receipt(sender: Fingerprint) -> Receipt {
    Receipt {
        id: id(8),
        received: id(2),
        sender,
        recipient: card_id(),
        time: now(),
    }
}

fn parse(json: &str) -> Result<Content, ContentError> {
    Content::parse(json.as_bytes())
}

#[test]
fn every_content_reads_back_its_json() {
    for (number, content) in every_content(&world()).into_iter().enumerate() {
        let json = content.to_json().unwrap();
        assert_eq!(Content::parse(&json).unwrap(), content);
        let text = String::from_utf8(json).unwrap();
        let head = format!(r#"{{"version":1,"type":"{}""#, KINDS[number]);
        assert!(text.starts_with(&head), "{text}");
        assert_eq!(content.time(), now());
        assert!(text.contains(&content.id().to_string()));
        if let Some(other) = content.in_reply_to() {
            assert!(text.contains(&other.to_string()));
        }
    }
}

#[test]
fn json_of_a_request_is_stable() {
    let json = Content::Request(request()).to_json().unwrap();
    assert_eq!(
        String::from_utf8(json).unwrap(),
        r#"{"version":1,"type":"request","id":"01010101010101010101010101010101","sender":"abababababababababababababababababababababababababababababababab","recipient":"2001:db8::c0ff:ee","time":"2026-06-01T12:00:00Z","queries":[{"elements":"*/1-0:1.8.0*255","period":{"from":"2026-06-01T12:00:00Z","to":"2026-06-02T12:00:00Z"},"resolution":"PT15M"}]}"#
    );
}

#[test]
fn json_of_an_answer_is_stable() {
    let json = Content::Answer(answer()).to_json().unwrap();
    assert_eq!(
        String::from_utf8(json).unwrap(),
        r#"{"version":1,"type":"answer","id":"02020202020202020202020202020202","in_reply_to":"01010101010101010101010101010101","gateway":"2001:db8::c0ff:ee","supplier":"abababababababababababababababababababababababababababababababab","time":"2026-06-01T12:00:00Z","series":[{"meter":"M1","obis":"1-0:1.8.0*255","medium":"electricity","unit":"Wh","start":"2026-06-01T12:00:00Z","step":"PT15M","values":["12.340"],"status":[0],"gaps":[]}],"refusals":[{"query":{"elements":"*/1-0:1.8.0*255","period":{"from":"2026-06-01T12:00:00Z","to":"2026-06-02T12:00:00Z"},"resolution":"PT15M"},"code":"SMGW-A-0002","reason":"The resolution is finer than the grant permits.","rule":"billing"}]}"#
    );
}

#[test]
fn unknown_types_versions_and_fields_are_named() {
    assert!(matches!(
        parse(r#"{"type":"gossip","version":1}"#),
        Err(ContentError::UnknownType { found }) if found == "gossip"
    ));
    let long = format!(r#"{{"type":"{}","version":1}}"#, "x".repeat(5_000));
    assert!(matches!(
        parse(&long),
        Err(ContentError::UnknownType { found }) if found.len() == QUOTED
    ));
    assert!(matches!(
        parse(r#"{"type":"request","version":2}"#),
        Err(ContentError::UnknownVersion { found: 2 })
    ));
    let json = String::from_utf8(Content::Request(request()).to_json().unwrap()).unwrap();
    for (from, to, named) in [
        (
            r#"{"version""#,
            r#"{"extra":1,"version""#,
            "unknown field `extra`",
        ),
        (
            r#""time":"2026-06-01T12:00:00Z","queries""#,
            r#""queries""#,
            "missing field `time`",
        ),
        (
            r#""queries""#,
            r#""time":"2026-06-01T12:00:00Z","queries""#,
            "duplicate field `time`",
        ),
        (r#""queries":["#, r#""queries":[1,"#, "invalid type"),
        (
            r#""resolution""#,
            r#""extra":0,"resolution""#,
            "unknown field `extra`",
        ),
        ("0101", "01zz", "a message id has 32 hexadecimal digits"),
    ] {
        let edited = json.replacen(from, to, 1);
        assert_ne!(edited, json);
        match parse(&edited) {
            Err(ContentError::Schema(source)) => assert!(source.to_string().contains(named), "{source}"),
            other => panic!("{edited}: {other:?}"),
        }
    }
}

#[test]
fn what_is_no_json_object_is_refused() {
    for json in ["", "null", "[]", "{}", r#"{"type":"request"}"#, "{", "\u{0}"] {
        assert!(matches!(parse(json), Err(ContentError::Header(_))), "{json}");
    }
    let repeated = r#"{"type":"request","type":"bundle","version":1}"#;
    assert!(matches!(parse(repeated), Err(ContentError::Header(_))));
}

#[test]
fn size_depth_and_texts_are_bounded_before_parsing() {
    let blanks = |count: usize, json: &str| format!("{json}{}", " ".repeat(count));
    assert!(matches!(
        parse(&blanks(MAX_CONTENT, "")),
        Err(ContentError::Header(_))
    ));
    assert!(matches!(
        parse(&blanks(MAX_CONTENT, "1")),
        Err(ContentError::TooLarge {
            limit: MAX_CONTENT,
            ..
        })
    ));
    assert!(matches!(
        parse(&blanks(MAX_SMALL, r#"{"type":"report","version":1}"#)),
        Err(ContentError::TooLarge { limit: MAX_SMALL, .. })
    ));
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(matches!(parse(&deep(MAX_DEPTH)), Err(ContentError::Header(_))));
    assert!(matches!(parse(&deep(MAX_DEPTH + 1)), Err(ContentError::TooDeep)));
    assert!(matches!(
        parse(&format!("\"{}\"", "[".repeat(MAX_TEXT))),
        Err(ContentError::Header(_))
    ));
    assert!(matches!(
        parse(&format!("\"{}\"", "\\\"".repeat(MAX_TEXT / 2 + 1))),
        Err(ContentError::TextTooLong)
    ));
}

/// Asserts that one more than permitted is refused.
fn bounded(content: Content, expected: List) {
    match content.to_json() {
        Err(ContentError::TooMany { list, found, limit }) => {
            assert_eq!((list, found.checked_sub(limit)), (expected, Some(1)));
        }
        other => panic!("{expected}: {other:?}"),
    }
}

#[test]
fn every_list_is_bounded() {
    let world = world();
    let queries = vec![query(); MAX_QUERIES + 1];
    bounded(Content::Request(Request { queries, ..request() }), List::Queries);
    let many = vec![series(); MAX_SERIES + 1];
    bounded(
        Content::Answer(Answer {
            series: many.clone(),
            ..answer()
        }),
        List::Series,
    );
    let refusals = vec![answer().refusals.remove(0); MAX_REFUSALS + 1];
    bounded(Content::Answer(Answer { refusals, ..answer() }), List::Refusals);
    bounded(
        Content::Push(Push {
            series: many,
            ..push()
        }),
        List::Series,
    );
    let rest = vec![query(); MAX_QUERIES + 1];
    bounded(Content::Answer(Answer { rest, ..answer() }), List::Queries);
    let apdus: Vec<Apdu> = vec!["9000".parse().unwrap(); MAX_APDUS + 1];
    let mut many = commands(&world);
    many.commands = apdus.clone();
    bounded(Content::CardCommands(many), List::Commands);
    let Some(Content::CardAnswers(mut many)) = every_content(&world).into_iter().nth(8) else {
        panic!("the ninth content has the card's answers");
    };
    many.answers = apdus;
    bounded(Content::CardAnswers(many), List::Answers);
    let mut many = delivery(&world);
    many.content = vec!["00".parse().unwrap(); MAX_PIECES + 1];
    bounded(Content::Application(many), List::Pieces);
    let mut many = installation(&world);
    many.grants = vec![grant(); MAX_GRANTS + 1];
    bounded(Content::InstallationRequest(many), List::Grants);
    for (findings, applications, list) in [
        (MAX_FINDINGS + 1, 0, List::Findings),
        (0, MAX_APPLICATIONS + 1, List::Applications),
    ] {
        let unit = UnitReport {
            findings: vec![unit().findings.remove(0); findings],
            applications: vec![fingerprint(); applications],
            ..unit()
        };
        let unit = Some(unit);
        bounded(Content::Report(Report { unit, ..report() }), list);
    }
}

#[test]
fn every_list_of_a_bundle_is_bounded() {
    let world = world();
    let issuing = vec![world.tsm.triple.enc.clone(); TrustAnchor::MAX_ISSUING + 1];
    bounded(
        Content::Bundle(Bundle {
            issuing,
            ..bundle(&world)
        }),
        List::Issuing,
    );
    let suppliers = vec![bundle(&world).suppliers.remove(0); MAX_SUPPLIERS + 1];
    bounded(
        Content::Bundle(Bundle {
            suppliers,
            ..bundle(&world)
        }),
        List::Suppliers,
    );
    let grants = vec![grant(); MAX_GRANTS + 1];
    bounded(
        Content::Bundle(Bundle {
            grants,
            ..bundle(&world)
        }),
        List::Grants,
    );
    let mut wide = bundle(&world);
    wide.grants[0].elements = vec!["*".parse().unwrap(); MAX_PATTERNS + 1];
    bounded(Content::Bundle(wide), List::Patterns);
    let mut limited = bundle(&world);
    limited.policy = vec![limit(); MAX_LIMITS + 1];
    bounded(Content::Bundle(limited), List::Limits);
    let mut wide = bundle(&world);
    wide.policy[0].elements = vec!["*".parse().unwrap(); MAX_PATTERNS + 1];
    bounded(Content::Bundle(wide), List::Patterns);
    let mut many = bundle(&world);
    many.applications = vec![application(); MAX_APPLICATIONS + 1];
    bounded(Content::Bundle(many), List::Applications);
}

#[test]
fn the_most_card_commands_fit() {
    let mut most = commands(&world());
    most.commands = vec![Apdu::try_from(vec![0; Apdu::MAX_LENGTH]).unwrap(); MAX_APDUS];
    let json = Content::CardCommands(most).to_json().unwrap();
    assert!(Content::parse(&json).is_ok());
}

#[test]
fn the_largest_application_fits_and_comes_out_as_it_was() {
    let bytes: Vec<u8> = (0..=250).cycle().take(MAX_APPLICATION).collect();
    let delivery = Application {
        digest: application_digest(&bytes),
        content: Piece::cut(&bytes),
        ..delivery(&world())
    };
    let json = Content::Application(delivery).to_json().unwrap();
    let Content::Application(found) = Content::parse(&json).unwrap() else {
        panic!("another content")
    };
    let pieces: Vec<u8> = found
        .content
        .iter()
        .flat_map(|piece| piece.as_bytes().to_vec())
        .collect();
    assert_eq!(application_digest(&pieces), found.digest);
}

#[test]
fn modules_are_told_from_other_files() {
    assert!(is_module(b"\0asm\x01\0\0\0"));
    for other in [&b"\0asm\x0d\0\x01\0"[..], b"\0asm", b"MZ", b""] {
        assert!(!is_module(other), "{other:?}");
    }
}

#[test]
fn content_of_an_earlier_version_without_applications_and_policy_is_read_as_it_was() {
    let world = world();
    let old = Bundle {
        applications: Vec::new(),
        revoked: Vec::new(),
        policy: Vec::new(),
        ..bundle(&world)
    };
    let json = String::from_utf8(Content::Bundle(old.clone()).to_json().unwrap()).unwrap();
    assert!(
        !json.contains("applications") && !json.contains("policy"),
        "{json}"
    );
    assert_eq!(parse(&json).unwrap(), Content::Bundle(old));
    let old = Report {
        unit: None,
        ..report()
    };
    let json = String::from_utf8(Content::Report(old.clone()).to_json().unwrap()).unwrap();
    assert!(!json.contains("unit"), "{json}");
    assert_eq!(parse(&json).unwrap(), Content::Report(old));
}

#[test]
fn contradictory_series_and_nameless_grants_are_refused() {
    let mut bad = answer();
    bad.series[0].status.clear();
    assert!(matches!(
        Content::Answer(bad).to_json(),
        Err(ContentError::Series(SeriesError::StatusLength { .. }))
    ));
    let mut bad = bundle(&world());
    bad.grants[0].id = String::new();
    assert!(matches!(
        Content::Bundle(bad).to_json(),
        Err(ContentError::GrantName(WordError::Text { limit: 60 }))
    ));
}

#[test]
fn contents_come_from_whom_they_name() {
    let world = world();
    let (supplier, tsm, card) = (
        &world.supplier.verified.sig,
        &world.tsm.verified.sig,
        &world.card.verified.sig,
    );
    let senders = [supplier, card, tsm, card, tsm, tsm, supplier, tsm, card, card];
    // Receipts come from suppliers and from the TSM, see below.
    for (content, sender) in every_content(&world).into_iter().zip(senders) {
        let content = match content {
            Content::Request(body) => Content::Request(Request {
                sender: supplier.certificate().fingerprint(),
                ..body
            }),
            Content::InstallationRequest(body) => Content::InstallationRequest(InstallationRequest {
                sender: supplier.certificate().fingerprint(),
                ..body
            }),
            other => other,
        };
        assert_eq!(content.check_sender(sender), Ok(()));
        for other in [supplier, tsm, card] {
            if other != sender {
                assert_eq!(
                    content.check_sender(other),
                    Err(PartyError::Role {
                        expected: sender.role(),
                        found: other.role()
                    })
                );
            }
        }
    }
    assert_eq!(supplier.role(), Role::Supplier);
    assert_eq!(
        Content::Request(request()).check_sender(supplier),
        Err(PartyError::Sender)
    );
    assert_eq!(
        Content::InstallationRequest(installation(&world)).check_sender(supplier),
        Err(PartyError::Sender)
    );
    let elsewhere = Answer {
        gateway: "2001:db8::2".parse().unwrap(),
        ..answer()
    };
    assert_eq!(
        Content::Answer(elsewhere).check_sender(card),
        Err(PartyError::Sender)
    );
}

#[test]
fn receipts_come_from_whoever_may_be_sent_something() {
    let world = world();
    for sender in [&world.supplier.verified.sig, &world.tsm.verified.sig] {
        let own = sender.certificate().fingerprint();
        assert_eq!(Content::Receipt(receipt(own)).check_sender(sender), Ok(()));
        assert_eq!(
            Content::Receipt(receipt(fingerprint())).check_sender(sender),
            Err(PartyError::Sender)
        );
    }
    let card = &world.card.verified.sig;
    assert!(matches!(
        Content::Receipt(receipt(card.certificate().fingerprint())).check_sender(card),
        Err(PartyError::Role {
            found: Role::Card,
            ..
        })
    ));
}

#[test]
fn contents_are_for_the_gateway_that_they_name() {
    let world = world();
    let other = "2001:db8::2".parse().unwrap();
    for content in every_content(&world) {
        let is_other = matches!(content, Content::InstallationRequest(_) | Content::Push(_));
        if content.in_reply_to().is_some() || is_other {
            assert_eq!(
                content.check_recipient(card_id()),
                Err(PartyError::NotForGateways)
            );
        } else {
            assert_eq!(content.check_recipient(card_id()), Ok(()));
            assert_eq!(
                content.check_recipient(other),
                Err(PartyError::Recipient { named: card_id() })
            );
        }
    }
}

#[test]
fn digest_of_a_bundle_is_that_of_its_bytes() {
    assert_eq!(
        bundle_digest(b"abc").to_string(),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_refused(bytes: Vec<u8>) {
        prop_assert!(Content::parse(&bytes).is_err());
    }

    #[test]
    fn any_damaged_content_is_read_or_refused(place: prop::sample::Index, value: u8) {
        let mut json = Content::Answer(answer()).to_json().unwrap();
        let place = place.index(json.len());
        json[place] = value;
        if let Ok(content) = Content::parse(&json) {
            prop_assert_eq!(Content::parse(&content.to_json().unwrap()).unwrap(), content);
        }
    }

    #[test]
    fn any_request_round_trips(id: [u8; 16], sender: [u8; 32], seconds in 0i64..4_000_000_000, count in 0usize..=MAX_QUERIES) {
        let content = Content::Request(Request {
            id: MessageId::new(id),
            sender: Fingerprint::new(sender),
            time: Timestamp::from_unix_seconds(seconds).unwrap(),
            queries: vec![query(); count],
            ..request()
        });
        prop_assert_eq!(Content::parse(&content.to_json().unwrap()).unwrap(), content);
    }
}
