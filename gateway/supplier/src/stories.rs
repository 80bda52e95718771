//! A supplier from its keys to a checked answer, with a gateway in miniature on the other side.

#[path = "../../counterparty/tests/conversations/door.rs"]
mod door;
#[path = "../../counterparty/tests/conversations/gateway_double.rs"]
mod gateway_double;
mod into_store;

use std::path::Path;

use counterparty::archive::Archive;
use counterparty::clock::now;
use counterparty::conversation::ConversationError;
use counterparty::exchange::{Exchange, ExchangeError};
use counterparty::files::FileError;
use counterparty::gateways::{CardFolder, GatewayError};
use hyper::StatusCode;
use messages::certificate::CertificationRequest;
use messages::content::{Answer, Content, MessageId, Report};
use model::{CardId, Fingerprint, GatewayState, KeySlot, Period, Query, Span};
use tempfile::TempDir;

use crate::home::{Home, HomeError};
use crate::pull::{Pull, PullError};
use door::Reply;
use gateway_double::{Gateway, GatewayDouble, TestAuthority, answers, refused};

fn guid() -> CardId {
    "fd5a:6d67:7700::1".parse().unwrap()
}

fn certified(authority: &TestAuthority) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    Home::init(folder.path(), &"Supplier".parse().unwrap()).unwrap();
    certify(authority, folder.path());
    folder
}

/// Does what the trust centre does with a supplier's requests.
fn certify(authority: &TestAuthority, folder: &Path) {
    for slot in KeySlot::ALL {
        let text = std::fs::read_to_string(folder.join(format!("{slot}.csr"))).unwrap();
        let request = CertificationRequest::from_pem(&text).unwrap();
        let certificate = authority.issue(request.subject(), request.slot(), request.public_key());
        std::fs::write(folder.join(format!("{slot}.pem")), certificate.to_pem().unwrap()).unwrap();
    }
    let root = authority.anchor().certificate().to_pem().unwrap();
    std::fs::write(folder.join("root.pem"), root).unwrap();
}

fn query(elements: &str) -> Query {
    let step = Span::from_seconds(5).unwrap();
    let end = step.grid_after(now());
    Query {
        elements: elements.parse().unwrap(),
        period: Period::new(end.saturating_sub(Span::QUARTER_HOUR), end).unwrap(),
        resolution: step,
        aggregation: model::Aggregation::Value,
    }
}

#[test]
fn keys_are_made_once_and_certified() {
    let authority = TestAuthority::new("Trust centre");
    let folder = certified(&authority);
    let home = Home::load(folder.path(), now()).unwrap();
    assert_eq!(home.party().name.as_str(), "Supplier");
    let error = Home::init(folder.path(), &"Another".parse().unwrap()).unwrap_err();
    assert!(matches!(error, HomeError::File(FileError::Exists { .. })));
    let mode = std::os::unix::fs::MetadataExt::mode(&folder.path().join("enc.key").metadata().unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn incomplete_and_mixed_homes_are_named() {
    let authority = TestAuthority::new("Trust centre");
    let folder = certified(&authority);
    let file = |name: &str| folder.path().join(name);
    let load = || Home::load(folder.path(), now()).unwrap_err();
    let exchange_file = |name: &str, other: &Path| {
        let kept = std::fs::read(file(name)).unwrap();
        std::fs::copy(other, file(name)).unwrap();
        kept
    };

    let kept = exchange_file("sig.key", &file("enc.key"));
    assert!(matches!(load(), HomeError::WrongKey { path } if path.ends_with("sig.key")));
    std::fs::write(file("sig.key"), "no key").unwrap();
    assert!(matches!(load(), HomeError::Key { .. }));
    std::fs::write(file("sig.key"), kept).unwrap();

    let foreign = certified(&TestAuthority::new("Foreign centre"));
    let kept = exchange_file("root.pem", &foreign.path().join("root.pem"));
    assert!(matches!(load(), HomeError::Refused(_)));
    std::fs::copy(file("sig.pem"), file("root.pem")).unwrap();
    assert!(matches!(load(), HomeError::Certificate { path, .. } if path.ends_with("root.pem")));
    std::fs::write(file("root.pem"), kept).unwrap();

    std::fs::write(file("tls.pem"), "no certificate").unwrap();
    assert!(matches!(load(), HomeError::Certificate { path, .. } if path.ends_with("tls.pem")));
    std::fs::remove_file(file("tls.pem")).unwrap();
    assert!(matches!(load(), HomeError::NotCertified { path } if path.ends_with("tls.pem")));
    std::fs::remove_file(file("enc.key")).unwrap();
    assert!(matches!(load(), HomeError::File(FileError::Missing { .. })));
}

#[test]
fn expired_certificates_are_refused() {
    let authority = TestAuthority::new("Trust centre");
    let folder = certified(&authority);
    let late = "2100-01-01T00:00:00Z".parse().unwrap();
    assert!(matches!(
        Home::load(folder.path(), late),
        Err(HomeError::Refused(_))
    ));
}

/// A certified supplier and a gateway that it knows.
struct Scene {
    folder: TempDir,
    home: Home,
    exchange: Exchange,
    gateway: GatewayDouble,
}

fn scene() -> Scene {
    let authority = TestAuthority::new("Trust centre");
    let folder = certified(&authority);
    let home = Home::load(folder.path(), now()).unwrap();
    let gateway = Gateway::new(&authority, guid(), home.party());
    CardFolder::of_gateway(folder.path(), guid())
        .write(gateway.certificates())
        .unwrap();
    let gateway = GatewayDouble::start(gateway);
    let exchange = Exchange::new(home.identity(), guid(), gateway.address()).unwrap();
    Scene {
        folder,
        home,
        exchange,
        gateway,
    }
}

impl Scene {
    fn pull(&self) -> Pull<'_> {
        Pull::new(&self.home, guid(), &self.exchange, now)
    }

    async fn fails(&self, behaviour: impl Fn(&Gateway, &[u8]) -> Reply + Send + 'static) -> PullError {
        self.gateway.behave(behaviour);
        self.pull().ask(&[query("*")], None).await.unwrap_err()
    }

    /// Has the gateway say something else than the answer that it should give.
    async fn fails_on(&self, content: fn(Answer) -> Content) -> PullError {
        let behaviour =
            move |gateway: &Gateway, message: &[u8]| gateway.says(&content(gateway.answer_to(message)));
        self.fails(behaviour).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn granted_values_arrive_and_both_messages_are_kept() {
    let scene = scene();
    let kept = scene.folder.path().join("kept");
    let mut archive = Archive::open(&kept).unwrap();
    let queries = [query("*/7-0:x.x.x*255"), query("*/1-0:16.7.0*255")];
    let answer = scene.pull().ask(&queries, Some(&mut archive)).await.unwrap();
    assert_eq!(answer.gateway, guid());
    let points: Vec<_> = answer.series[0].points().collect();
    assert_eq!((points.len(), points[0].1.to_string()), (1, "12.340".to_owned()));
    assert_eq!(answer.refusals[0].code.as_str(), "element-not-granted");
    let request = std::fs::read(kept.join("0001-request.cms")).unwrap();
    assert_eq!(request, scene.gateway.last_request());
    assert!(kept.join("0001-answer.cms").exists());
    scene.pull().ask(&queries, Some(&mut archive)).await.unwrap();
    assert!(kept.join("0002-answer.cms").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_none_to_the_request_are_named() {
    let scene = scene();
    let reply = scene
        .fails_on(|answer| {
            Content::Answer(Answer {
                in_reply_to: MessageId::new([9; 16]),
                ..answer
            })
        })
        .await;
    assert!(matches!(reply, PullError::OtherRequest), "{reply}");
    let supplier = scene
        .fails_on(|answer| {
            Content::Answer(Answer {
                supplier: Fingerprint::new([9; 32]),
                ..answer
            })
        })
        .await;
    assert!(matches!(supplier, PullError::OtherRequest), "{supplier}");
    let refusal = scene.fails_on(refused).await;
    assert!(matches!(refusal, PullError::Refused { .. }), "{refusal}");
    let report = scene
        .fails_on(|answer| {
            Content::Report(Report {
                id: answer.id,
                in_reply_to: answer.in_reply_to,
                gateway: answer.gateway,
                time: answer.time,
                bundle_version: 0,
                bundle_digest: None,
                state: GatewayState::Operational,
                unit: None,
            })
        })
        .await;
    assert!(matches!(report, PullError::Unexpected), "{report}");
    let unasked = scene
        .fails_on(|mut answer| {
            answer.series[0].step = Span::from_seconds(1).unwrap();
            Content::Answer(answer)
        })
        .await;
    assert!(matches!(unasked, PullError::Unasked { .. }), "{unasked}");
    let rest = scene
        .fails_on(|mut answer| {
            answer.rest.push(query("M9/*"));
            Content::Answer(answer)
        })
        .await;
    assert!(matches!(rest, PullError::UnaskedRest { .. }), "{rest}");
    // None of this keeps the next pull from succeeding.
    scene.gateway.behave(answers);
    assert!(scene.pull().ask(&[query("*")], None).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_conversation_are_passed_on() {
    let scene = scene();
    let cut = scene.fails(|_, _| None).await;
    assert!(
        matches!(
            &cut,
            PullError::Conversation(ConversationError::Exchange(cause))
                if matches!(**cause, ExchangeError::Broken { .. })
        ),
        "{cut}"
    );
    let garbage = scene
        .fails(|_, _| Some((StatusCode::OK, b"garbage".to_vec())))
        .await;
    assert!(
        matches!(garbage, PullError::Conversation(ConversationError::Open(_))),
        "{garbage}"
    );
    let content = scene.fails(|gateway, _| gateway.says_in_bytes(b"{}")).await;
    assert!(
        matches!(content, PullError::Conversation(ConversationError::Answer(_))),
        "{content}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_cannot_be_sent_are_refused_here() {
    let scene = scene();
    let too_many = vec![query("*"); messages::content::MAX_QUERIES + 1];
    let asked = scene.pull().ask(&too_many, None).await;
    assert!(matches!(asked, Err(PullError::Request(_))));
    let other = Pull::new(&scene.home, "fd5a::2".parse().unwrap(), &scene.exchange, now);
    let asked = other.ask(&[query("*")], None).await;
    assert!(matches!(
        asked,
        Err(PullError::Gateway(GatewayError::Unknown { .. }))
    ));
}

#[test]
fn every_file_of_a_home_has_its_slot_in_its_name() {
    let folder = tempfile::tempdir().unwrap();
    Home::init(folder.path(), &"Supplier".parse().unwrap()).unwrap();
    for slot in KeySlot::ALL {
        assert!(folder.path().join(format!("{slot}.csr")).exists());
    }
}
