//! A supplier from its keys to a checked answer, with a gateway in miniature on the other side.

mod gateway_double;

use std::path::{Path, PathBuf};

use counterparty::archive::{Archive, ArchiveError};
use counterparty::conversation::ConversationError;
use counterparty::exchange::{Exchange, ExchangeError};
use counterparty::files::FileError;
use counterparty::gateways::GatewayError;
use messages::content::MessageId;
use model::{CardId, KeySlot, Period, Query, Span, Timestamp};
use tempfile::TempDir;

use crate::home::{Home, HomeError};
use crate::pull::{Pull, PullError};
use gateway_double::{Behaviour, GatewayDouble, TestAuthority};

/// The time of every story, since nothing here reads a clock; only TLS does, by its own.
fn now() -> Timestamp {
    gateway_double::present()
}

fn guid() -> CardId {
    "fd5a:6d67:7700::1".parse().unwrap()
}

fn certified(authority: &TestAuthority) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    Home::init(folder.path(), &"Supplier".parse().unwrap()).unwrap();
    authority.certify(folder.path());
    folder
}

fn query(elements: &str) -> Query {
    let step = Span::from_seconds(5).unwrap();
    let end = step.grid_after(now());
    Query {
        elements: elements.parse().unwrap(),
        period: Period::new(end.saturating_sub(Span::QUARTER_HOUR), end).unwrap(),
        resolution: step,
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

#[test]
fn gateways_are_known_by_their_certificates_alone() {
    let authority = TestAuthority::new("Trust centre");
    let folder = certified(&authority);
    let home = Home::load(folder.path(), now()).unwrap();
    let gateway = |guid| home.gateway(guid, now());
    assert!(matches!(gateway(guid()), Err(GatewayError::Unknown { .. })));
    authority.publish(&authority.card(guid()), folder.path());
    assert_eq!(gateway(guid()).unwrap().card_id, Some(guid()));

    let other: CardId = "fd5a:6d67:7700::2".parse().unwrap();
    let folder_of = |name: &str| -> PathBuf { folder.path().join("gateways").join(name) };
    std::fs::rename(folder_of("fd5a-6d67-7700--1"), folder_of("fd5a-6d67-7700--2")).unwrap();
    assert!(matches!(gateway(other), Err(GatewayError::Foreign { .. })));
    let stranger = TestAuthority::new("Trust centre");
    stranger.publish(&stranger.card(guid()), folder.path());
    assert!(matches!(gateway(guid()), Err(GatewayError::Refused { .. })));
    let file = folder_of("fd5a-6d67-7700--1").join("sig.pem");
    std::fs::write(&file, "no certificate").unwrap();
    assert!(matches!(gateway(guid()), Err(GatewayError::Certificate { .. })));
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert!(matches!(gateway(guid()), Err(GatewayError::File { .. })));
}

/// A certified supplier and a gateway that it knows.
struct Scene {
    folder: TempDir,
    home: Home,
    exchange: Exchange,
    gateway: GatewayDouble,
}

async fn scene(behaviour: Behaviour) -> Scene {
    let authority = TestAuthority::new("Trust centre");
    let folder = certified(&authority);
    let card = authority.card(guid());
    authority.publish(&card, folder.path());
    let home = Home::load(folder.path(), now()).unwrap();
    let gateway = GatewayDouble::start(&authority, card, home.party(), behaviour).await;
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

    async fn fails(&self, behaviour: Behaviour) -> PullError {
        self.gateway.behave(behaviour);
        self.pull().ask(&[query("*")], None).await.unwrap_err()
    }
}

fn conversation(error: PullError) -> ConversationError {
    match error {
        PullError::Conversation(error) => error,
        other => panic!("{other:?}"),
    }
}

fn exchange(error: PullError) -> ExchangeError {
    match conversation(error) {
        ConversationError::Exchange(error) => *error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn granted_values_arrive_and_both_messages_are_kept() {
    let scene = scene(Behaviour::Good).await;
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
async fn answers_that_cannot_be_relied_on_are_named() {
    let scene = scene(Behaviour::Good).await;
    let refused = exchange(scene.fails(Behaviour::RefusesInJson).await);
    assert!(
        matches!(&refused, ExchangeError::Refused { code, .. } if code.as_str() == "SMGW-W-0001"),
        "{refused}"
    );
    let status = exchange(scene.fails(Behaviour::AnswersHtml).await);
    assert!(matches!(status, ExchangeError::Status { .. }), "{status}");
    let large = exchange(scene.fails(Behaviour::AnswersTooMuch).await);
    assert!(matches!(large, ExchangeError::TooLarge { .. }), "{large}");
    let cut = exchange(scene.fails(Behaviour::Cuts).await);
    assert!(matches!(cut, ExchangeError::Broken { .. }), "{cut}");
    let garbage = conversation(scene.fails(Behaviour::AnswersGarbage).await);
    assert!(matches!(garbage, ConversationError::Open(_)), "{garbage}");
    let content = conversation(scene.fails(Behaviour::AnswersNonsense).await);
    assert!(matches!(content, ConversationError::Answer(_)), "{content}");
    let party = conversation(scene.fails(Behaviour::NamesOtherGateway).await);
    assert!(matches!(party, ConversationError::Party(_)), "{party}");
    let other = conversation(scene.fails(Behaviour::IsOtherGateway).await);
    assert!(matches!(other, ConversationError::OtherGateway { .. }), "{other}");
    let reply = scene.fails(Behaviour::RepliesTo(MessageId::new([9; 16]))).await;
    assert!(matches!(reply, PullError::OtherRequest), "{reply}");
    let supplier = scene.fails(Behaviour::NamesOtherSupplier).await;
    assert!(matches!(supplier, PullError::OtherRequest), "{supplier}");
    let late = conversation(scene.fails(Behaviour::AnswersLate).await);
    assert!(matches!(late, ConversationError::Freshness(_)), "{late}");
    let refused = scene.fails(Behaviour::RefusesInMessage).await;
    assert!(matches!(refused, PullError::Refused { .. }), "{refused}");
    let report = scene.fails(Behaviour::Reports).await;
    assert!(matches!(report, PullError::Unexpected), "{report}");
    let unasked = scene.fails(Behaviour::AnswersFiner).await;
    assert!(matches!(unasked, PullError::Unasked { .. }), "{unasked}");
    // None of this keeps the next pull from succeeding.
    scene.gateway.behave(Behaviour::Good);
    assert!(scene.pull().ask(&[query("*")], None).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_that_is_refused_is_kept_as_evidence() {
    let scene = scene(Behaviour::AnswersGarbage).await;
    let kept = scene.folder.path().join("kept");
    let mut archive = Archive::open(&kept).unwrap();
    let asked = scene.pull().ask(&[query("*")], Some(&mut archive)).await;
    assert!(matches!(
        asked,
        Err(PullError::Conversation(ConversationError::Open(_)))
    ));
    assert_eq!(std::fs::read(kept.join("0001-answer.cms")).unwrap(), b"garbage");
    std::fs::remove_dir_all(&kept).unwrap();
    let asked = scene.pull().ask(&[query("*")], Some(&mut archive)).await;
    assert!(matches!(
        asked,
        Err(PullError::Conversation(ConversationError::Archive(
            ArchiveError::File(_)
        )))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_cannot_be_sent_are_refused_here() {
    let scene = scene(Behaviour::Good).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn only_the_gateway_with_the_guid_is_connected_to() {
    let scene = scene(Behaviour::Good).await;
    let connect = async |guid: &str, address: &str| {
        let exchange = Exchange::new(
            scene.home.identity(),
            guid.parse().unwrap(),
            address.parse().unwrap(),
        );
        exchange.unwrap().post(b"message".to_vec()).await.unwrap_err()
    };
    let address = scene.gateway.address().to_string();
    let other = connect("fd5a::2", &address).await;
    assert!(matches!(other, ExchangeError::Connect { .. }), "{other}");
    let nobody = connect("fd5a:6d67:7700::1", "[::1]:1").await;
    assert!(matches!(nobody, ExchangeError::Connect { .. }), "{nobody}");
}

#[tokio::test(flavor = "multi_thread")]
async fn supplier_of_another_trust_centre_is_not_let_in() {
    let scene = scene(Behaviour::Good).await;
    let stranger = certified(&TestAuthority::new("Foreign centre"));
    let stranger = Home::load(stranger.path(), now()).unwrap();
    // It would even trust the gateway; the gateway does not trust it.
    let identity = crate::Identity {
        anchor: scene.home.anchor(),
        ..stranger.identity()
    };
    let exchange = Exchange::new(identity, guid(), scene.gateway.address()).unwrap();
    let refused = exchange.post(b"message".to_vec()).await.unwrap_err();
    assert!(
        matches!(
            refused,
            ExchangeError::Broken { .. } | ExchangeError::Connect { .. }
        ),
        "{refused}"
    );
}

#[test]
fn every_file_of_a_home_has_its_slot_in_its_name() {
    let folder = tempfile::tempdir().unwrap();
    Home::init(folder.path(), &"Supplier".parse().unwrap()).unwrap();
    for slot in KeySlot::ALL {
        assert!(folder.path().join(format!("{slot}.csr")).exists());
    }
}
