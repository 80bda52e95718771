//! What the tests share: a small world with a trust centre, a supplier, a TSM and a card.

use std::convert::Infallible;

use model::{CardId, KeySlot, Period, Timestamp};
use p256::elliptic_curve::rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::certificate::profile::{CertificateContent, SerialNumber, issue, issue_root};
use crate::certificate::{Certificate, Role, Subject, Triple, TrustAnchor, VerifiedParty};
use crate::envelope::{EnvelopeRandom, Opened, Sender, open, seal};
use crate::keys::{EphemeralKeyAgreement, KeyAgreement, PublicPoint, SharedSecret, Signer};
use crate::software::{SoftwareEphemeral, SoftwareKey, SoftwareKeyError, SoftwareKeys};

/// Random numbers that are the same in every run.
#[derive(Clone, Debug)]
pub(crate) struct TestRandom(u64);

impl TestRandom {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed << 32)
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.try_fill_bytes(&mut bytes).unwrap();
        bytes
    }
}

impl TryRng for TestRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_be_bytes(self.bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_be_bytes(self.bytes()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(32) {
            self.0 = self.0.wrapping_add(1);
            chunk.copy_from_slice(&Sha256::digest(self.0.to_be_bytes())[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for TestRandom {}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The first second of the certificates' validity.
pub(crate) fn start() -> Timestamp {
    at("2026-01-01T00:00:00Z")
}

/// A time within the certificates' validity.
pub(crate) fn now() -> Timestamp {
    at("2026-06-01T12:00:00Z")
}

pub(crate) fn validity() -> Period {
    Period::new(start(), at("2027-01-01T00:00:00Z")).unwrap()
}

pub(crate) fn card_id() -> CardId {
    "2001:db8::c0ff:ee".parse().unwrap()
}

/// A trust centre: its root key and certificate.
pub(crate) struct Authority {
    pub(crate) key: SoftwareKey,
    pub(crate) anchor: TrustAnchor,
    random: TestRandom,
}

impl Authority {
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        let mut random = TestRandom::new(seed);
        let key = SoftwareKey::generate(&mut random).unwrap();
        let serial = SerialNumber::from_random(random.bytes());
        let anchor = issue_root(
            name.parse().unwrap(),
            key.public_point(),
            serial,
            validity(),
            &key,
        )
        .unwrap();
        Self { key, anchor, random }
    }

    pub(crate) fn content(
        &mut self,
        subject: &Subject,
        slot: KeySlot,
        key: &PublicPoint,
    ) -> CertificateContent {
        CertificateContent {
            subject: subject.clone(),
            slot,
            public_key: *key,
            serial_number: SerialNumber::from_random(self.random.bytes()),
            validity: validity(),
        }
    }

    pub(crate) fn issue(&mut self, subject: &Subject, slot: KeySlot, key: &PublicPoint) -> Certificate {
        let content = self.content(subject, slot, key);
        issue(&content, &self.anchor, &self.key).unwrap()
    }

    pub(crate) fn enroll(&mut self, subject: &Subject) -> Party {
        let keys = SoftwareKeys::generate(&mut self.random).unwrap();
        let triple = Triple {
            sig: self.issue(subject, KeySlot::Sig, keys.sig.public_point()),
            enc: self.issue(subject, KeySlot::Enc, keys.enc.public_point()),
            tls: self.issue(subject, KeySlot::Tls, keys.tls.public_point()),
        };
        let verified = self.anchor.verify_party(&triple, now(), subject.role()).unwrap();
        Party {
            keys,
            triple,
            verified,
        }
    }
}

/// A party with its keys and certificates.
pub(crate) struct Party {
    pub(crate) keys: SoftwareKeys,
    pub(crate) triple: Triple,
    pub(crate) verified: VerifiedParty,
}

impl Party {
    pub(crate) fn sender(&self, seed: u64) -> Sender<'_, &SoftwareKey, SoftwareEphemeral<TestRandom>> {
        Sender {
            certificate: &self.triple.sig,
            issuing: None,
            signer: &self.keys.sig,
            agreement: SoftwareEphemeral::new(TestRandom::new(seed)),
        }
    }

    pub(crate) fn seal(&self, content: &[u8], recipient: &Self) -> Vec<u8> {
        seal(
            content,
            &recipient.verified.enc,
            self.sender(77),
            &random(),
            now(),
        )
        .unwrap()
    }

    pub(crate) fn open(
        &self,
        message: &[u8],
        anchor: &TrustAnchor,
    ) -> Result<Opened, crate::envelope::OpenError<SoftwareKeyError>> {
        open(message, anchor, now(), &self.triple.enc, &self.keys.enc)
    }
}

pub(crate) fn random() -> EnvelopeRandom {
    EnvelopeRandom::new(Zeroizing::new(TestRandom::new(99).bytes()))
}

/// Everybody who writes and reads messages.
pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) supplier: Party,
    pub(crate) tsm: Party,
    pub(crate) card: Party,
}

pub(crate) fn party(name: &str, role: Role) -> Subject {
    Subject::party(name.parse().unwrap(), role).unwrap()
}

pub(crate) fn world() -> World {
    let mut authority = Authority::new(1, "Demo trust centre");
    World {
        supplier: authority.enroll(&party("Stadtwerke Süd, Strom + Gas", Role::Supplier)),
        tsm: authority.enroll(&party("Demo TSM", Role::Tsm)),
        card: authority.enroll(&Subject::card(card_id())),
        authority,
    }
}

/// A key that refuses everything, as a card does for a partner that is not on its list.
#[derive(Debug)]
pub(crate) struct Refusing;

/// What [`Refusing`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("refused")]
pub(crate) struct Refused;

impl Signer for Refusing {
    type Error = Refused;

    fn sign_digest(&mut self, _digest: &[u8; 32]) -> Result<[u8; 64], Refused> {
        Err(Refused)
    }
}

impl KeyAgreement for Refusing {
    type Error = Refused;

    fn agree(&mut self, _peer: &PublicPoint) -> Result<SharedSecret, Refused> {
        Err(Refused)
    }
}

impl EphemeralKeyAgreement for Refusing {
    type Error = Refused;

    fn agree_ephemeral(&mut self, _recipient: &PublicPoint) -> Result<(PublicPoint, SharedSecret), Refused> {
        Err(Refused)
    }
}
