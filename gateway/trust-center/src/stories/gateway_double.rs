//! A gateway in miniature: the real applet behind real TLS and real messages, and faults on demand.
//!
//! It keeps no store and decides nothing; what it is good for is the TSM's side of the wire.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use card::session::{BindOrder, CardSession};
use card::{CardError, Partner, Point};
use counterparty::clock;
use counterparty::random;
use getrandom::SysRng;
use hyper::StatusCode;
use messages::certificate::{Certificate, Role, TrustAnchor};
use messages::content::{
    Apdu, Bundle, CardAnswers, Content, MessageId, Refused, Report, UnitReport, application_digest,
    bundle_digest,
};
use messages::envelope::{EnvelopeRandom, MAX_MESSAGE, Opened, Sender, open, seal};
use messages::keys::{EphemeralKeyAgreement, KeyAgreement, PublicPoint, SharedSecret, Signer};
use model::{CardId, Fingerprint, GatewayId, GatewayState, KeySlot, Span, Timestamp};
use rand_core::UnwrapErr;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};
use zeroize::Zeroizing;

use super::door::{Door, Reply};
use crate::authority::Authority;
use crate::soft_card::{SoftCard, SoftCardError};

/// What the gateway does with the next message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// What it should.
    Good,
    /// Breaks the connection once the bundle is there.
    CutsBundle,
    /// Refuses with code and reason.
    RefusesInJson,
    /// Refuses with a page.
    AnswersHtml,
    /// Answers with more than a message can have.
    AnswersTooMuch,
    /// Answers with bytes that are no message.
    AnswersGarbage,
    /// Refuses in a message of its own.
    RefusesInMessage,
    /// Answers to a message that nobody sent.
    AnswersOtherMessage,
    /// Answers with a message whose content is none.
    AnswersNonsense,
    /// Answers in the name of another gateway.
    NamesOtherGateway,
    /// Answers with a time long past.
    AnswersLate,
    /// Reports, whatever it was asked for.
    Reports,
    /// Passes on none of the card's answers.
    KeepsCardAnswers,
    /// Reports another bundle than the one it got.
    ReportsOtherBundle,
    /// Reports that it is not operational.
    ReportsBound,
    /// Does not know how to report on itself, as older software.
    IsOlder,
    /// Forgets every bundle and application, as with a new data folder.
    Forgets,
    /// Keeps no application.
    RefusesApplications,
}

type Session = Arc<Mutex<CardSession<SoftCard>>>;

pub(super) struct GatewayDouble {
    door: Door,
    state: Arc<State>,
}

struct State {
    anchor: TrustAnchor,
    guid: CardId,
    sig: Certificate,
    enc: Certificate,
    session: Session,
    behaviour: Mutex<Behaviour>,
    bundle: Mutex<Option<Bundle>>,
    digest: Mutex<Option<Fingerprint>>,
    applications: Mutex<BTreeSet<Fingerprint>>,
    received: Mutex<Received>,
    meanwhile: Mutex<Option<Meanwhile>>,
    installing: Mutex<Option<Meanwhile>>,
}

/// What somebody else does while the gateway is visited.
type Meanwhile = Box<dyn FnOnce() + Send>;

/// How many messages of each kind came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) applications: usize,
    pub(super) bundles: usize,
}

impl GatewayDouble {
    /// Binds the card of a file to a new gateway, which listens at a free port.
    pub(super) fn start(authority: &Authority, card: &Path, behaviour: Behaviour) -> Self {
        let mut session = CardSession::open(SoftCard::insert(card).unwrap()).unwrap();
        let identity = session.identity().unwrap();
        let order = BindOrder {
            gateway: GatewayId::new([1; 16]),
            pairing_secret: Zeroizing::new([2; 16]),
            nonce: [3; 16],
        };
        session.bind(&order, &identity).unwrap();
        let secret = &order.pairing_secret;
        session.pair(secret, &mut UnwrapErr(SysRng)).unwrap();
        session.confirm(&order).unwrap();
        let session = Arc::new(Mutex::new(session));
        let tls = CertifiedKey::new(
            chain_of(authority, &identity.certificates.tls),
            Arc::new(HandshakeKey(Arc::clone(&session))),
        );
        let state = Arc::new(State {
            anchor: authority.anchor().clone(),
            guid: identity.guid,
            sig: Certificate::from_der(&identity.certificates.sig).unwrap(),
            enc: Certificate::from_der(&identity.certificates.enc).unwrap(),
            session,
            behaviour: Mutex::new(behaviour),
            bundle: Mutex::new(None),
            digest: Mutex::new(None),
            applications: Mutex::new(BTreeSet::new()),
            received: Mutex::new(Received::default()),
            meanwhile: Mutex::new(None),
            installing: Mutex::new(None),
        });
        let behind = Arc::clone(&state);
        let door = Door::open(authority.anchor(), tls, move |message| behind.answer(message));
        Self { door, state }
    }

    pub(super) fn address(&self) -> String {
        self.door.address().to_string()
    }

    pub(super) fn behave(&self, behaviour: Behaviour) {
        *self.state.behaviour.lock().unwrap() = behaviour;
    }

    /// Has something done by somebody else when the gateway is asked next how it is.
    pub(super) fn meanwhile(&self, act: impl FnOnce() + Send + 'static) {
        *self.state.meanwhile.lock().unwrap() = Some(Box::new(act));
    }

    /// Has something done by somebody else when a bundle is put in force next, before its report.
    pub(super) fn while_installing(&self, act: impl FnOnce() + Send + 'static) {
        *self.state.installing.lock().unwrap() = Some(Box::new(act));
    }

    /// Returns how many messages of each kind came.
    pub(super) fn received(&self) -> Received {
        *self.state.received.lock().unwrap()
    }

    /// Returns the bundle that came last.
    pub(super) fn bundle(&self) -> Option<Bundle> {
        self.state.bundle.lock().unwrap().clone()
    }
}

impl State {
    fn answer(&self, message: &[u8]) -> Reply {
        let behaviour = *self.behaviour.lock().unwrap();
        match behaviour {
            Behaviour::RefusesInJson => {
                let body = br#"{"code":"SMGW-W-0001","reason":"the gateway is busy"}"#;
                Some((StatusCode::SERVICE_UNAVAILABLE, body.to_vec()))
            }
            Behaviour::AnswersHtml => Some((StatusCode::NOT_FOUND, b"<html>".to_vec())),
            Behaviour::AnswersTooMuch => Some((StatusCode::OK, vec![0; MAX_MESSAGE + 1])),
            Behaviour::AnswersGarbage => Some((StatusCode::OK, b"garbage".to_vec())),
            _ => Some((StatusCode::OK, self.handle(message, behaviour)?)),
        }
    }

    /// Answers a message, unless the connection is to break.
    fn handle(&self, message: &[u8], behaviour: Behaviour) -> Option<Vec<u8>> {
        let opened: Opened =
            open(message, &self.anchor, clock::now(), &self.enc, CardKey::tsm(self)).unwrap();
        let content = Content::parse(&opened.content).unwrap();
        content.check_sender(&opened.sender).unwrap();
        content.check_recipient(self.guid).unwrap();
        let (in_reply_to, reply_to) = reply_to(&content);
        self.session
            .lock()
            .unwrap()
            .introduce_tsm(reply_to.as_der())
            .unwrap();
        let in_reply_to = match behaviour {
            Behaviour::AnswersOtherMessage => MessageId::new([9; 16]),
            _ => in_reply_to,
        };
        let answer = match (behaviour, content) {
            (Behaviour::RefusesInMessage, _) => Content::Refused(Refused {
                id: message_id(),
                in_reply_to,
                gateway: self.guid,
                time: clock::now(),
                code: "SMGW-W-0002".parse().unwrap(),
                reason: "the message is not wanted".parse().unwrap(),
            }),
            (_, content @ (Content::ReportRequest(_) | Content::Application(_))) => {
                self.about_itself(behaviour, in_reply_to, content)
            }
            (Behaviour::Reports, _) => self.report(in_reply_to, 0, None, GatewayState::Bound),
            (_, Content::CardCommands(commands)) => self.pass_on(behaviour, in_reply_to, &commands.commands),
            (_, Content::Bundle(bundle)) => {
                let digest = bundle_digest(&opened.content);
                let anchor = self.session.lock().unwrap().anchor().unwrap();
                let version = bundle.bundle_version;
                if (anchor.version, anchor.digest) != (version, digest) {
                    // It waits for the card, and what was in force stays so. What the card will never take, a gateway
                    // refuses at once; here it is left to the card.
                    let in_force = self
                        .bundle
                        .lock()
                        .unwrap()
                        .as_ref()
                        .map_or(0, |known| known.bundle_version);
                    let known = *self.digest.lock().unwrap();
                    let report = self.report(in_reply_to, in_force, known, GatewayState::Bound);
                    return Some(self.seal(&report.to_json().unwrap(), &reply_to));
                }
                for entry in &bundle.applications {
                    assert!(self.applications.lock().unwrap().contains(&entry.digest));
                }
                *self.bundle.lock().unwrap() = Some(bundle);
                *self.digest.lock().unwrap() = Some(digest);
                self.received.lock().unwrap().bundles += 1;
                Self::let_happen(&self.installing);
                match behaviour {
                    Behaviour::CutsBundle => return None,
                    Behaviour::ReportsOtherBundle => {
                        self.report(in_reply_to, 77, Some(digest), GatewayState::Operational)
                    }
                    Behaviour::ReportsBound => {
                        self.report(in_reply_to, version, Some(digest), GatewayState::Bound)
                    }
                    _ => self.report(in_reply_to, version, Some(digest), GatewayState::Operational),
                }
            }
            (_, other) => panic!("{other:?}"),
        };
        let json = match behaviour {
            Behaviour::AnswersNonsense => b"{}".to_vec(),
            _ => answer.to_json().unwrap(),
        };
        Some(self.seal(&json, &reply_to))
    }

    /// Does what somebody else is to do now.
    fn let_happen(act: &Mutex<Option<Meanwhile>>) {
        if let Some(act) = act.lock().unwrap().take() {
            act();
        }
    }

    /// Answers what is asked about the gateway itself, or sent for later.
    fn about_itself(&self, behaviour: Behaviour, in_reply_to: MessageId, content: Content) -> Content {
        match (behaviour, content) {
            (Behaviour::IsOlder, Content::ReportRequest(_)) => Content::Refused(Refused {
                id: message_id(),
                in_reply_to,
                gateway: self.guid,
                time: clock::now(),
                code: "content".parse().unwrap(),
                reason: "the content of the message cannot be read".parse().unwrap(),
            }),
            (_, Content::ReportRequest(_)) => {
                Self::let_happen(&self.meanwhile);
                if behaviour == Behaviour::Forgets {
                    *self.bundle.lock().unwrap() = None;
                    *self.digest.lock().unwrap() = None;
                    self.applications.lock().unwrap().clear();
                    *self.behaviour.lock().unwrap() = Behaviour::Good;
                }
                self.report_on_unit(in_reply_to)
            }
            (Behaviour::RefusesApplications, Content::Application(_)) => {
                self.received.lock().unwrap().applications += 1;
                Content::Refused(Refused {
                    id: message_id(),
                    in_reply_to,
                    gateway: self.guid,
                    time: clock::now(),
                    code: "application".parse().unwrap(),
                    reason: "the application does not do what it says".parse().unwrap(),
                })
            }
            (_, Content::Application(application)) => {
                let bytes: Vec<u8> = application
                    .content
                    .iter()
                    .flat_map(|piece| piece.as_bytes().to_vec())
                    .collect();
                assert_eq!(application_digest(&bytes), application.digest);
                self.received.lock().unwrap().applications += 1;
                self.applications.lock().unwrap().insert(application.digest);
                self.report_on_unit(in_reply_to)
            }
            (_, other) => panic!("{other:?}"),
        }
    }

    fn pass_on(&self, behaviour: Behaviour, in_reply_to: MessageId, commands: &[Apdu]) -> Content {
        let mut session = self.session.lock().unwrap();
        let mut answers = Vec::new();
        if behaviour != Behaviour::KeepsCardAnswers {
            for command in commands {
                let answer = session.pass(command.as_bytes()).unwrap();
                answers.push(Apdu::try_from(answer.to_vec()).unwrap());
            }
        }
        let time = match behaviour {
            Behaviour::AnswersLate => clock::now().saturating_sub(Span::DAY),
            _ => clock::now(),
        };
        let gateway = match behaviour {
            Behaviour::NamesOtherGateway => "fd5a::1".parse().unwrap(),
            _ => self.guid,
        };
        Content::CardAnswers(CardAnswers {
            id: message_id(),
            in_reply_to,
            gateway,
            time,
            answers,
        })
    }

    fn report_on_unit(&self, in_reply_to: MessageId) -> Content {
        let bundle = self.bundle.lock().unwrap();
        let version = bundle.as_ref().map_or(0, |bundle| bundle.bundle_version);
        let state = match *bundle {
            Some(_) => GatewayState::Operational,
            None => GatewayState::Bound,
        };
        let Content::Report(report) = self.report(in_reply_to, version, *self.digest.lock().unwrap(), state)
        else {
            unreachable!()
        };
        Content::Report(Report {
            unit: Some(UnitReport {
                software: "0.0.1".parse().unwrap(),
                certificates_end: clock::now(),
                applications: self.applications.lock().unwrap().iter().copied().collect(),
                findings: Vec::new(),
            }),
            ..report
        })
    }

    fn report(
        &self,
        in_reply_to: MessageId,
        version: u64,
        digest: Option<Fingerprint>,
        state: GatewayState,
    ) -> Content {
        Content::Report(Report {
            id: message_id(),
            in_reply_to,
            gateway: self.guid,
            time: clock::now(),
            bundle_version: version,
            bundle_digest: digest,
            state,
            unit: None,
        })
    }

    fn seal(&self, json: &[u8], reply_to: &Certificate) -> Vec<u8> {
        let now: Timestamp = clock::now();
        let recipient = self
            .anchor
            .verify(reply_to, now, Role::Tsm, KeySlot::Enc)
            .unwrap();
        let sender = Sender {
            certificate: &self.sig,
            issuing: self.anchor.issuing_of(&self.sig),
            signer: CardKey::tsm(self),
            agreement: CardKey::tsm(self),
        };
        let random = EnvelopeRandom::new(random::bytes().unwrap());
        seal(json, &recipient, sender, &random, now).unwrap()
    }
}

/// Returns the certificate with that of its issuing authority, as a gateway shows it.
fn chain_of(authority: &Authority, der: &[u8]) -> Vec<CertificateDer<'static>> {
    let certificate = Certificate::from_der(der).unwrap();
    let issuing = authority.anchor().issuing_of(&certificate);
    std::iter::once(&certificate)
        .chain(issuing)
        .map(|certificate| CertificateDer::from(certificate.as_der().to_vec()))
        .collect()
}

/// Returns the identity of a message, and to whom its answer goes.
fn reply_to(content: &Content) -> (MessageId, Certificate) {
    match content {
        Content::CardCommands(commands) => (commands.id, commands.reply_to.clone()),
        Content::Bundle(bundle) => (bundle.id, bundle.reply_to.clone()),
        Content::ReportRequest(request) => (request.id, request.reply_to.clone()),
        Content::Application(application) => (application.id, application.reply_to.clone()),
        other => panic!("{other:?}"),
    }
}

fn message_id() -> MessageId {
    MessageId::new(*random::bytes().unwrap())
}

/// The card's keys, used for messages to the TSM.
struct CardKey(Session);

impl CardKey {
    fn tsm(state: &State) -> Self {
        Self(Arc::clone(&state.session))
    }
}

fn card_point(point: &PublicPoint) -> Point {
    Point::try_from(point.as_sec1().as_slice()).unwrap()
}

impl Signer for CardKey {
    type Error = CardError<SoftCardError>;

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], Self::Error> {
        let signature = self.0.lock().unwrap().sign(Partner::Tsm, digest)?;
        Ok(*signature.as_bytes())
    }
}

impl KeyAgreement for CardKey {
    type Error = CardError<SoftCardError>;

    fn agree(&mut self, peer: &PublicPoint) -> Result<SharedSecret, Self::Error> {
        let secret = self.0.lock().unwrap().agree(Partner::Tsm, &card_point(peer))?;
        Ok(SharedSecret::new(*secret.as_bytes()))
    }
}

impl EphemeralKeyAgreement for CardKey {
    type Error = CardError<SoftCardError>;

    fn agree_ephemeral(
        &mut self,
        recipient: &PublicPoint,
    ) -> Result<(PublicPoint, SharedSecret), Self::Error> {
        let (point, secret) = self
            .0
            .lock()
            .unwrap()
            .agree_ephemeral(Partner::Tsm, &card_point(recipient))?;
        let point = PublicPoint::from_sec1(&point.to_bytes()).unwrap();
        Ok((point, SharedSecret::new(*secret.as_bytes())))
    }
}

/// The card's TLS key.
struct HandshakeKey(Session);

impl std::fmt::Debug for HandshakeKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("HandshakeKey")
    }
}

impl rustls::sign::SigningKey for HandshakeKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
        offered
            .contains(&scheme)
            .then(|| Box::new(Self(Arc::clone(&self.0))) as Box<dyn rustls::sign::Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl rustls::sign::Signer for HandshakeKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        use sha2::Digest;
        let digest = sha2::Sha256::digest(message).into();
        let signature = self.0.lock().unwrap().sign_handshake(&digest).unwrap();
        let signature = p256::ecdsa::Signature::from_slice(signature.as_bytes()).unwrap();
        Ok(signature.to_der().as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}
