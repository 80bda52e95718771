//! A trust centre and a gateway in miniature, with keys in software and faults on demand.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use counterparty::exchange::GatewayAddress;
use counterparty::random;
use getrandom::SysRng;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use messages::certificate::profile::{CertificateContent, SerialNumber, issue, issue_root};
use messages::certificate::{Certificate, CertificationRequest, Subject, Triple, TrustAnchor, VerifiedParty};
use messages::content::{Answer, Content, MessageId, Refusal, Refused, Report};
use messages::envelope::{EnvelopeRandom, MAX_MESSAGE, Sender, open, seal};
use messages::keys::PublicPoint;
use messages::software::{SoftwareEphemeral, SoftwareKey, SoftwareKeys};
use model::{
    CardId, Fingerprint, GatewayState, KeySlot, Medium, Period, Query, Series, Span, Status, Timestamp, Unit,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The present second; TLS checks certificates by the system's clock.
#[expect(clippy::disallowed_methods, reason = "TLS reads the same clock")]
pub(super) fn present() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_unix_seconds(i64::try_from(since.as_secs()).unwrap()).unwrap()
}

fn validity() -> Period {
    let day = Span::DAY;
    Period::new(present().saturating_sub(day), present().saturating_add(day)).unwrap()
}

fn serial_number() -> SerialNumber {
    SerialNumber::from_random(*random::bytes().unwrap())
}

pub(super) struct TestAuthority {
    key: SoftwareKey,
    anchor: TrustAnchor,
}

pub(super) struct TestCard {
    guid: CardId,
    keys: SoftwareKeys,
    certificates: Triple,
}

impl TestAuthority {
    pub(super) fn new(name: &str) -> Self {
        let key = SoftwareKey::generate(&mut SysRng).unwrap();
        let (name, serial) = (name.parse().unwrap(), serial_number());
        let anchor = issue_root(name, key.public_point(), serial, validity(), &key).unwrap();
        Self { key, anchor }
    }

    fn issue(&self, subject: &Subject, slot: KeySlot, key: &PublicPoint) -> Certificate {
        let content = CertificateContent {
            subject: subject.clone(),
            slot,
            public_key: *key,
            serial_number: serial_number(),
            validity: validity(),
        };
        issue(&content, &self.anchor, &self.key).unwrap()
    }

    /// Does what the trust centre does with a supplier's requests.
    pub(super) fn certify(&self, folder: &Path) {
        for slot in KeySlot::ALL {
            let text = std::fs::read_to_string(folder.join(format!("{slot}.csr"))).unwrap();
            let request = CertificationRequest::from_pem(&text).unwrap();
            let certificate = self.issue(request.subject(), request.slot(), request.public_key());
            std::fs::write(folder.join(format!("{slot}.pem")), certificate.to_pem().unwrap()).unwrap();
        }
        let root = self.anchor.certificate().to_pem().unwrap();
        std::fs::write(folder.join("root.pem"), root).unwrap();
    }

    pub(super) fn card(&self, guid: CardId) -> TestCard {
        let keys = SoftwareKeys::generate(&mut SysRng).unwrap();
        let subject = Subject::card(guid);
        let certificates = Triple {
            sig: self.issue(&subject, KeySlot::Sig, keys.sig.public_point()),
            enc: self.issue(&subject, KeySlot::Enc, keys.enc.public_point()),
            tls: self.issue(&subject, KeySlot::Tls, keys.tls.public_point()),
        };
        TestCard {
            guid,
            keys,
            certificates,
        }
    }

    /// Puts a card's certificates into a supplier's folder.
    pub(super) fn publish(&self, card: &TestCard, folder: &Path) {
        let name = card.guid.to_string().replace(':', "-");
        let folder = folder.join("gateways").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let Triple { sig, enc, tls } = &card.certificates;
        for (name, certificate) in [("sig.pem", sig), ("enc.pem", enc), ("tls.pem", tls)] {
            std::fs::write(folder.join(name), certificate.to_pem().unwrap()).unwrap();
        }
    }
}

/// What the gateway does with the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    Good,
    RefusesInJson,
    AnswersHtml,
    AnswersTooMuch,
    AnswersGarbage,
    AnswersNonsense,
    Cuts,
    NamesOtherGateway,
    IsOtherGateway,
    RepliesTo(MessageId),
    NamesOtherSupplier,
    AnswersLate,
    RefusesInMessage,
    Reports,
    AnswersFiner,
}

pub(super) struct GatewayDouble {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    anchor: TrustAnchor,
    card: TestCard,
    other_card: TestCard,
    supplier: VerifiedParty,
    behaviour: Mutex<Behaviour>,
    last_request: Mutex<Vec<u8>>,
}

impl GatewayDouble {
    pub(super) async fn start(
        authority: &TestAuthority,
        card: TestCard,
        supplier: &VerifiedParty,
        behaviour: Behaviour,
    ) -> Self {
        let tls = server_config(&authority.anchor, &card);
        let state = Arc::new(State {
            anchor: authority.anchor.clone(),
            card,
            other_card: authority.card("fd5a:6d67:7700::99".parse().unwrap()),
            supplier: supplier.clone(),
            behaviour: Mutex::new(behaviour),
            last_request: Mutex::new(Vec::new()),
        });
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(accept(
            listener,
            TlsAcceptor::from(Arc::new(tls)),
            Arc::clone(&state),
        ));
        Self { address, state, task }
    }

    pub(super) fn address(&self) -> GatewayAddress {
        self.address.to_string().parse().unwrap()
    }

    pub(super) fn behave(&self, behaviour: Behaviour) {
        *self.state.behaviour.lock().unwrap() = behaviour;
    }

    pub(super) fn last_request(&self) -> Vec<u8> {
        self.state.last_request.lock().unwrap().clone()
    }
}

impl Drop for GatewayDouble {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        connections.spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = service_fn(|request| answer(Arc::clone(&state), request));
            let served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(served);
        });
    }
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    assert_eq!(request.uri().path(), "/smgw/v1/messages");
    assert_eq!(request.headers()["content-type"], "application/pkcs7-mime");
    let message = request.into_body().collect().await.unwrap().to_bytes();
    *state.last_request.lock().unwrap() = message.to_vec();
    let respond = |status, body: Vec<u8>| {
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        Ok(response)
    };
    let behaviour = *state.behaviour.lock().unwrap();
    match behaviour {
        Behaviour::RefusesInJson => {
            let body = br#"{"code":"SMGW-W-0001","reason":"the gateway is busy"}"#;
            respond(StatusCode::SERVICE_UNAVAILABLE, body.to_vec())
        }
        Behaviour::AnswersHtml => respond(StatusCode::NOT_FOUND, b"<html>".to_vec()),
        Behaviour::AnswersTooMuch => respond(StatusCode::OK, vec![0; MAX_MESSAGE + 1]),
        Behaviour::AnswersGarbage => respond(StatusCode::OK, b"garbage".to_vec()),
        Behaviour::Cuts => Err(std::io::Error::other("cut")),
        _ => respond(StatusCode::OK, state.handle(&message, behaviour)),
    }
}

impl State {
    fn handle(&self, message: &[u8], behaviour: Behaviour) -> Vec<u8> {
        let certificates = &self.card.certificates;
        let key = &self.card.keys.enc;
        let opened = open(message, &self.anchor, present(), &certificates.enc, key)
            .ok()
            .unwrap();
        let content = Content::parse(&opened.content).unwrap();
        content.check_sender(&opened.sender).unwrap();
        content.check_recipient(self.card.guid).unwrap();
        let Content::Request(request) = content else {
            panic!("{content:?}")
        };
        let mut good = Answer {
            id: MessageId::new(*random::bytes().unwrap()),
            in_reply_to: request.id,
            gateway: self.card.guid,
            supplier: request.sender,
            time: present(),
            series: vec![gas(&request.queries[0])],
            refusals: request.queries[1..].iter().map(refusal).collect(),
        };
        let mut sender = &self.card;
        let content = match behaviour {
            Behaviour::AnswersNonsense => return self.seal(sender, b"{}"),
            Behaviour::RefusesInMessage => Content::Refused(Refused {
                id: good.id,
                in_reply_to: request.id,
                gateway: self.card.guid,
                time: present(),
                code: "SMGW-W-0002".parse().unwrap(),
                reason: "the message is not wanted".parse().unwrap(),
            }),
            Behaviour::Reports => Content::Report(Report {
                id: good.id,
                in_reply_to: request.id,
                gateway: self.card.guid,
                time: present(),
                bundle_version: 0,
                bundle_digest: None,
                state: GatewayState::Operational,
            }),
            other => {
                match other {
                    Behaviour::NamesOtherGateway => good.gateway = self.other_card.guid,
                    Behaviour::IsOtherGateway => {
                        good.gateway = self.other_card.guid;
                        sender = &self.other_card;
                    }
                    Behaviour::RepliesTo(id) => good.in_reply_to = id,
                    Behaviour::NamesOtherSupplier => good.supplier = Fingerprint::new([9; 32]),
                    Behaviour::AnswersLate => good.time = present().saturating_sub(Span::DAY),
                    Behaviour::AnswersFiner => {
                        good.series[0].step = Span::from_seconds(1).unwrap();
                    }
                    _ => {}
                }
                Content::Answer(good)
            }
        };
        self.seal(sender, &content.to_json().unwrap())
    }

    fn seal(&self, card: &TestCard, json: &[u8]) -> Vec<u8> {
        let sender = Sender {
            certificate: &card.certificates.sig,
            signer: &card.keys.sig,
            agreement: SoftwareEphemeral::new(SysRng),
        };
        let random = EnvelopeRandom::new(random::bytes().unwrap());
        seal(json, &self.supplier.enc, sender, &random, present()).unwrap()
    }
}

fn gas(query: &Query) -> Series {
    Series {
        element: model::Element {
            meter: "M1".parse().unwrap(),
            obis: "7-0:3.0.0*255".parse().unwrap(),
        },
        medium: Medium::Gas,
        unit: Unit::CubicMetre,
        start: query.period.from(),
        step: query.resolution,
        values: vec![Some("12.340".parse().unwrap())],
        status: vec![Status::GOOD],
        gaps: Vec::new(),
    }
}

fn refusal(query: &Query) -> Refusal {
    Refusal {
        query: query.clone(),
        code: "element-not-granted".parse().unwrap(),
        reason: "no grant covers this".parse().unwrap(),
        rule: None,
    }
}

fn server_config(anchor: &TrustAnchor, card: &TestCard) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from(anchor.certificate().as_der().to_vec());
    roots.add(root).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let certificate = CertificateDer::from(card.certificates.tls.as_der().to_vec());
    let pem = card.keys.tls.to_pkcs8_pem().unwrap();
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![certificate], key)
        .unwrap()
}
