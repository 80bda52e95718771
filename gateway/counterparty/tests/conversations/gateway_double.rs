//! A trust centre and a gateway in miniature, with keys in software. The gateway does what it is told.

use std::sync::{Arc, Mutex};

use counterparty::exchange::GatewayAddress;
use counterparty::{clock, random};
use getrandom::SysRng;
use hyper::StatusCode;
use messages::certificate::profile::{CertificateContent, SerialNumber, issue, issue_root};
use messages::certificate::{Certificate, Subject, Triple, TrustAnchor, VerifiedParty};
use messages::content::{Answer, Content, MessageId, Refusal, Refused};
use messages::envelope::{EnvelopeRandom, Sender, open, seal};
use messages::keys::PublicPoint;
use messages::software::{SoftwareEphemeral, SoftwareKey, SoftwareKeys};
use model::{CardId, Element, KeySlot, Medium, Period, Query, Series, Span, Status, Unit};
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::door::{Door, Reply};

pub(super) struct TestAuthority {
    pub(super) key: SoftwareKey,
    anchor: TrustAnchor,
}

/// Keys and their certificates.
pub(super) struct TestParty {
    pub(super) keys: SoftwareKeys,
    pub(super) certificates: VerifiedParty,
}

impl TestAuthority {
    pub(super) fn new(name: &str) -> Self {
        let key = SoftwareKey::generate(&mut SysRng).unwrap();
        let (name, serial) = (name.parse().unwrap(), serial_number());
        let anchor = issue_root(name, key.public_point(), serial, validity(), &key).unwrap();
        Self { key, anchor }
    }

    pub(super) fn anchor(&self) -> &TrustAnchor {
        &self.anchor
    }

    pub(super) fn issue(&self, subject: &Subject, slot: KeySlot, key: &PublicPoint) -> Certificate {
        let content = CertificateContent {
            subject: subject.clone(),
            slot,
            public_key: *key,
            serial_number: serial_number(),
            validity: validity(),
        };
        issue(&content, &self.anchor, &self.key).unwrap()
    }

    /// Makes keys for somebody and certifies them.
    pub(super) fn party(&self, subject: &Subject) -> TestParty {
        let keys = SoftwareKeys::generate(&mut SysRng).unwrap();
        let certificates = Triple {
            sig: self.issue(subject, KeySlot::Sig, keys.sig.public_point()),
            enc: self.issue(subject, KeySlot::Enc, keys.enc.public_point()),
            tls: self.issue(subject, KeySlot::Tls, keys.tls.public_point()),
        };
        let certificates = self
            .anchor
            .verify_party(&certificates, clock::now(), subject.role())
            .unwrap();
        TestParty { keys, certificates }
    }
}

fn validity() -> Period {
    let (now, day) = (clock::now(), Span::DAY);
    Period::new(now.saturating_sub(day), now.saturating_add(day)).unwrap()
}

fn serial_number() -> SerialNumber {
    SerialNumber::from_random(*random::bytes().unwrap())
}

/// A gateway that speaks with one partner.
pub(super) struct Gateway {
    anchor: TrustAnchor,
    guid: CardId,
    card: TestParty,
    partner: VerifiedParty,
}

impl Gateway {
    pub(super) fn new(authority: &TestAuthority, guid: CardId, partner: &VerifiedParty) -> Self {
        Self {
            anchor: authority.anchor.clone(),
            guid,
            card: authority.party(&Subject::card(guid)),
            partner: partner.clone(),
        }
    }

    pub(super) fn certificates(&self) -> &VerifiedParty {
        &self.card.certificates
    }

    /// Opens a request and answers the first query with a value, all others with a refusal.
    pub(super) fn answer_to(&self, message: &[u8]) -> Answer {
        let certificate = self.card.certificates.enc.certificate();
        let key = &self.card.keys.enc;
        let opened = open(message, &self.anchor, clock::now(), certificate, key).unwrap();
        let content = Content::parse(&opened.content).unwrap();
        content.check_sender(&opened.sender).unwrap();
        content.check_recipient(self.guid).unwrap();
        let Content::Request(request) = content else {
            panic!("{content:?}")
        };
        Answer {
            id: MessageId::new(*random::bytes().unwrap()),
            in_reply_to: request.id,
            gateway: self.guid,
            supplier: request.sender,
            time: clock::now(),
            series: vec![gas(&request.queries[0])],
            refusals: request.queries[1..].iter().map(refusal).collect(),
            rest: Vec::new(),
        }
    }

    pub(super) fn says(&self, content: &Content) -> Reply {
        self.says_in_bytes(&content.to_json().unwrap())
    }

    pub(super) fn says_in_bytes(&self, json: &[u8]) -> Reply {
        let sender = Sender {
            certificate: self.card.certificates.sig.certificate(),
            issuing: None,
            signer: &self.card.keys.sig,
            agreement: SoftwareEphemeral::new(SysRng),
        };
        let random = EnvelopeRandom::new(random::bytes().unwrap());
        let message = seal(json, &self.partner.enc, sender, &random, clock::now()).unwrap();
        Some((StatusCode::OK, message))
    }

    fn tls_key(&self) -> CertifiedKey {
        let certificate = self.card.certificates.tls.certificate().as_der();
        let pem = self.card.keys.tls.to_pkcs8_pem().unwrap();
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
        CertifiedKey::new(
            vec![CertificateDer::from(certificate.to_vec())],
            any_ecdsa_type(&key).unwrap(),
        )
    }
}

/// Answers as a gateway should.
pub(super) fn answers(gateway: &Gateway, message: &[u8]) -> Reply {
    gateway.says(&Content::Answer(gateway.answer_to(message)))
}

/// Makes a refusal of the whole message out of the answer that it should have.
pub(super) fn refused(answer: Answer) -> Content {
    Content::Refused(Refused {
        id: answer.id,
        in_reply_to: answer.in_reply_to,
        gateway: answer.gateway,
        time: answer.time,
        code: "SMGW-W-0002".parse().unwrap(),
        reason: "the message is not wanted".parse().unwrap(),
    })
}

type Behaviour = Box<dyn Fn(&Gateway, &[u8]) -> Reply + Send>;

/// A gateway behind its door.
pub(super) struct GatewayDouble {
    door: Door,
    behaviour: Arc<Mutex<Behaviour>>,
    last_request: Arc<Mutex<Vec<u8>>>,
}

impl GatewayDouble {
    /// Puts a gateway behind a door; it answers as it should until it is told otherwise.
    pub(super) fn start(gateway: Gateway) -> Self {
        let behaviour: Arc<Mutex<Behaviour>> = Arc::new(Mutex::new(Box::new(answers)));
        let last_request = Arc::new(Mutex::new(Vec::new()));
        let (told, request) = (Arc::clone(&behaviour), Arc::clone(&last_request));
        let (anchor, key) = (gateway.anchor.clone(), gateway.tls_key());
        let answer = move |message: &[u8]| {
            *request.lock().unwrap() = message.to_vec();
            told.lock().unwrap()(&gateway, message)
        };
        Self {
            door: Door::open(&anchor, key, answer),
            behaviour,
            last_request,
        }
    }

    pub(super) fn address(&self) -> GatewayAddress {
        self.door.address()
    }

    /// Tells the gateway what to do with a message from now on.
    pub(super) fn behave(&self, behaviour: impl Fn(&Gateway, &[u8]) -> Reply + Send + 'static) {
        *self.behaviour.lock().unwrap() = Box::new(behaviour);
    }

    pub(super) fn last_request(&self) -> Vec<u8> {
        self.last_request.lock().unwrap().clone()
    }
}

fn gas(query: &Query) -> Series {
    Series {
        element: Element {
            meter: "M1".parse().unwrap(),
            obis: "7-0:3.0.0*255".parse().unwrap(),
        },
        medium: Medium::Gas,
        unit: Unit::CubicMetre,
        start: query.period.from(),
        step: query.resolution,
        aggregation: model::Aggregation::Value,
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
