//! What a conversation says, takes and keeps, and what it refuses to take.

use counterparty::archive::{Archive, ArchiveError};
use counterparty::clock;
use counterparty::conversation::{Conversation, ConversationError};
use counterparty::exchange::{Exchange, ExchangeError, Identity};
use hyper::StatusCode;
use messages::certificate::{Role, Subject, VerifiedParty};
use messages::content::{Answer, Content, MAX_QUERIES, MessageId, Request};
use messages::envelope::{MAX_CONTENT, MAX_MESSAGE};
use model::{CardId, Period, Query, Span};

use super::door::Reply;
use super::gateway_double::{Gateway, GatewayDouble, TestAuthority, TestParty, answers, refused};

pub(super) fn guid() -> CardId {
    "fd5a:6d67:7700::1".parse().unwrap()
}

fn other_guid() -> CardId {
    "fd5a:6d67:7700::99".parse().unwrap()
}

/// A party and a gateway, certified by one authority.
pub(super) struct Scene {
    pub(super) authority: TestAuthority,
    own: TestParty,
    card: VerifiedParty,
    pub(super) gateway: GatewayDouble,
    exchange: Exchange,
}

pub(super) fn scene() -> Scene {
    let authority = TestAuthority::new("Trust centre");
    let own = party(&authority);
    let gateway = Gateway::new(&authority, guid(), &own.certificates);
    let card = gateway.certificates().clone();
    let gateway = GatewayDouble::start(gateway);
    let exchange = Exchange::new(identity(&authority, &own), guid(), gateway.address()).unwrap();
    Scene {
        authority,
        own,
        card,
        gateway,
        exchange,
    }
}

pub(super) fn party(authority: &TestAuthority) -> TestParty {
    authority.party(&Subject::party("Party".parse().unwrap(), Role::Supplier).unwrap())
}

pub(super) fn identity<'a>(authority: &'a TestAuthority, party: &'a TestParty) -> Identity<'a> {
    Identity {
        anchor: authority.anchor(),
        party: &party.certificates,
        keys: &party.keys,
    }
}

impl Scene {
    pub(super) fn identity(&self) -> Identity<'_> {
        identity(&self.authority, &self.own)
    }

    fn conversation(&self) -> Conversation<'_> {
        Conversation::new(self.identity(), &self.card, guid(), &self.exchange, clock::now)
    }

    /// Builds a request of so many queries.
    fn request(&self, queries: usize) -> Content {
        let step = Span::from_seconds(5).unwrap();
        let end = step.grid_after(clock::now());
        let query = Query {
            elements: "*".parse().unwrap(),
            period: Period::new(end.saturating_sub(Span::QUARTER_HOUR), end).unwrap(),
            resolution: step,
            aggregation: model::Aggregation::Value,
        };
        Content::Request(Request {
            id: MessageId::new([7; 16]),
            sender: self.own.certificates.sig.certificate().fingerprint(),
            recipient: guid(),
            time: clock::now(),
            queries: vec![query; queries],
        })
    }

    async fn fails(
        &self,
        behaviour: impl Fn(&Gateway, &[u8]) -> Reply + Send + 'static,
    ) -> ConversationError {
        self.gateway.behave(behaviour);
        self.conversation().ask(&self.request(1)).await.unwrap_err()
    }

    /// Has the gateway answer what it should, but for a change.
    async fn fails_when(&self, change: fn(&mut Answer)) -> ConversationError {
        let behaviour = move |gateway: &Gateway, message: &[u8]| {
            let mut answer = gateway.answer_to(message);
            change(&mut answer);
            gateway.says(&Content::Answer(answer))
        };
        self.fails(behaviour).await
    }

    async fn exchange_fails(
        &self,
        behaviour: impl Fn(&Gateway, &[u8]) -> Reply + Send + 'static,
    ) -> ExchangeError {
        match self.fails(behaviour).await {
            ConversationError::Exchange(error) => *error,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_arrives_and_both_messages_are_kept() {
    let scene = scene();
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let mut archive = Archive::open(&kept).unwrap();
    let mut conversation = scene.conversation().kept_in(Some(&mut archive));
    let Content::Answer(answer) = conversation.ask(&scene.request(2)).await.unwrap() else {
        panic!("no answer")
    };
    assert_eq!(answer.gateway, guid());
    let points: Vec<_> = answer.series[0].points().collect();
    assert_eq!((points.len(), points[0].1.to_string()), (1, "12.340".to_owned()));
    assert_eq!(answer.refusals[0].code.as_str(), "element-not-granted");
    let request = std::fs::read(kept.join("0001-request.cms")).unwrap();
    assert_eq!(request, scene.gateway.last_request());
    assert!(kept.join("0001-answer.cms").exists());
    conversation.ask(&scene.request(1)).await.unwrap();
    assert!(kept.join("0002-answer.cms").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_give_no_message_are_named() {
    let scene = scene();
    let refused = scene
        .exchange_fails(|_, _| {
            let body = br#"{"code":"SMGW-W-0001","reason":"the gateway is busy"}"#;
            Some((StatusCode::SERVICE_UNAVAILABLE, body.to_vec()))
        })
        .await;
    assert!(
        matches!(&refused, ExchangeError::Refused { code, .. } if code.as_str() == "SMGW-W-0001"),
        "{refused}"
    );
    let status = scene
        .exchange_fails(|_, _| Some((StatusCode::NOT_FOUND, b"<html>".to_vec())))
        .await;
    assert!(matches!(status, ExchangeError::Status { .. }), "{status}");
    let large = scene
        .exchange_fails(|_, _| Some((StatusCode::OK, vec![0; MAX_MESSAGE + 1])))
        .await;
    assert!(matches!(large, ExchangeError::TooLarge { .. }), "{large}");
    let cut = scene.exchange_fails(|_, _| None).await;
    assert!(matches!(cut, ExchangeError::Broken { .. }), "{cut}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_cannot_be_relied_on_are_named() {
    let scene = scene();
    let garbage = scene.fails(|_, _| garbage()).await;
    assert!(matches!(garbage, ConversationError::Open(_)), "{garbage}");
    let content = scene.fails(|gateway, _| gateway.says_in_bytes(b"{}")).await;
    assert!(matches!(content, ConversationError::Answer(_)), "{content}");
    let party = scene.fails_when(|answer| answer.gateway = other_guid()).await;
    assert!(matches!(party, ConversationError::Party(_)), "{party}");
    let other = Gateway::new(&scene.authority, other_guid(), &scene.own.certificates);
    let other = scene
        .fails(move |gateway, message| {
            other.says(&Content::Answer(Answer {
                gateway: other_guid(),
                ..gateway.answer_to(message)
            }))
        })
        .await;
    assert!(matches!(other, ConversationError::OtherGateway { .. }), "{other}");
    let reply = scene
        .fails_when(|answer| answer.in_reply_to = MessageId::new([9; 16]))
        .await;
    assert!(matches!(reply, ConversationError::OtherMessage), "{reply}");
    let late = scene
        .fails_when(|answer| answer.time = clock::now().saturating_sub(Span::DAY))
        .await;
    assert!(matches!(late, ConversationError::Freshness(_)), "{late}");
    let refusal = scene
        .fails(|gateway, message| gateway.says(&refused(gateway.answer_to(message))))
        .await;
    assert!(matches!(refusal, ConversationError::Refused { .. }), "{refusal}");
    // None of this keeps the next message from being answered.
    scene.gateway.behave(answers);
    assert!(scene.conversation().ask(&scene.request(1)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_that_is_refused_is_kept_as_evidence() {
    let scene = scene();
    scene.gateway.behave(|_, _| garbage());
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let mut archive = Archive::open(&kept).unwrap();
    let mut conversation = scene.conversation().kept_in(Some(&mut archive));
    let asked = conversation.ask(&scene.request(1)).await;
    assert!(matches!(asked, Err(ConversationError::Open(_))));
    assert_eq!(std::fs::read(kept.join("0001-answer.cms")).unwrap(), b"garbage");
    std::fs::remove_dir_all(&kept).unwrap();
    let asked = conversation.ask(&scene.request(1)).await;
    assert!(matches!(
        asked,
        Err(ConversationError::Archive(ArchiveError::File(_)))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_that_cannot_be_sent_are_refused_here() {
    let scene = scene();
    let mut conversation = scene.conversation();
    let asked = conversation.ask(&scene.request(MAX_QUERIES + 1)).await;
    assert!(matches!(asked, Err(ConversationError::Content(_))));
    let id = MessageId::new([7; 16]);
    let asked = conversation.ask_in_bytes(&vec![0; MAX_CONTENT + 1], id).await;
    assert!(matches!(asked, Err(ConversationError::Seal(_))));
    assert!(scene.gateway.last_request().is_empty());
}

fn garbage() -> Reply {
    Some((StatusCode::OK, b"garbage".to_vec()))
}
