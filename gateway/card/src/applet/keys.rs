//! The keys in use: which key for whom, signatures and key agreement.

use std::fmt;

use model::{Fingerprint, KeySlot};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{Applet, Outcome};
use crate::crypto::{PrivateKey, sha256};
use crate::tlv;
use crate::{Command, LifeCycle, Point, Signature, StatusWord};

/// The domain of INTERNAL AUTHENTICATE, so that its signatures can stand for nothing else.
pub(crate) const PROOF_DOMAIN: &[u8] = b"smgw/card-proof/2";

/// The length of the nonce that INTERNAL AUTHENTICATE takes.
pub(crate) const NONCE: usize = 16;

/// The key that the gateway has chosen with MANAGE SECURITY ENVIRONMENT, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyUse {
    /// Sign a message to the partner with SIG.
    Sign(Partner),
    /// Authenticate a connection with TLS.
    Authenticate,
    /// Agree a key with the ephemeral key of a message of the partner, with ENC.
    Receive(Partner),
    /// Agree a key with the partner, with a key pair made for this one message.
    Send(Partner),
}

/// For whom a key is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partner {
    /// The trust centre as TSM. The gateway's own texts, the heads of its logs, are signed in the same way.
    Tsm,
    /// A supplier on the card's list, by the fingerprint of its SIG certificate.
    Supplier(Fingerprint),
}

/// A key pair of the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CardKey {
    /// SIG, ENC or TLS: in use for the gateway's partners.
    Slot(KeySlot),
    /// Signs the card's own texts and nothing that comes from outside, so that its signatures prove
    /// that the card itself is there.
    Attestation,
}

impl CardKey {
    /// Every key pair, in the order of their references.
    pub const ALL: [Self; 4] = [
        Self::Slot(KeySlot::Sig),
        Self::Slot(KeySlot::Enc),
        Self::Slot(KeySlot::Tls),
        Self::Attestation,
    ];

    /// Returns the name, in small letters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slot(slot) => slot.name(),
            Self::Attestation => "attestation",
        }
    }
}

impl fmt::Display for CardKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// Returns the byte by which commands name a key.
pub(crate) const fn reference(key: CardKey) -> u8 {
    match key {
        CardKey::Slot(KeySlot::Sig) => 1,
        CardKey::Slot(KeySlot::Enc) => 2,
        CardKey::Slot(KeySlot::Tls) => 3,
        CardKey::Attestation => 4,
    }
}

/// The reference that stands for a key pair made for one message.
pub(crate) const EPHEMERAL: u8 = 0;

const SIG: u8 = reference(CardKey::Slot(KeySlot::Sig));
const ENC: u8 = reference(CardKey::Slot(KeySlot::Enc));
const TLS: u8 = reference(CardKey::Slot(KeySlot::Tls));

impl Applet {
    /// Chooses the key that signs next. A choice that is refused takes the one before away.
    pub(super) fn choose_signature_key(&mut self, data: &[u8]) -> Outcome {
        self.session.key = None;
        let (key, partner) = self.reference_and_partner(data)?;
        self.session.key = Some(match (key, partner) {
            (SIG, partner) => KeyUse::Sign(partner),
            (TLS, Partner::Tsm) => KeyUse::Authenticate,
            _ => return Err(StatusWord::REFERENCE_NOT_FOUND),
        });
        Ok(Vec::new())
    }

    /// Chooses the key that is agreed with next, as [`Applet::choose_signature_key`] does.
    pub(super) fn choose_agreement_key(&mut self, data: &[u8]) -> Outcome {
        self.session.key = None;
        let (key, partner) = self.reference_and_partner(data)?;
        self.session.key = Some(match (key, partner) {
            (ENC, partner) => KeyUse::Receive(partner),
            (EPHEMERAL, partner) => KeyUse::Send(partner),
            _ => return Err(StatusWord::REFERENCE_NOT_FOUND),
        });
        Ok(Vec::new())
    }

    /// Reads `84 key [, 83 fingerprint]`; without a fingerprint the partner is the TSM.
    fn reference_and_partner(&self, data: &[u8]) -> Result<(u8, Partner), StatusWord> {
        let (key, partner) = match tlv::exactly(data, [0x84]) {
            Ok([key]) => (key, Partner::Tsm),
            Err(_) => {
                let [key, partner] = tlv::exactly(data, [0x84, 0x83]).map_err(|_| StatusWord::WRONG_DATA)?;
                let fingerprint = Fingerprint::try_from(partner).map_err(|_| StatusWord::WRONG_DATA)?;
                (key, Partner::Supplier(fingerprint))
            }
        };
        let [key] = key else {
            return Err(StatusWord::WRONG_DATA);
        };
        self.admit(partner)?;
        Ok((*key, partner))
    }

    /// Admits a supplier only if the TSM has unlocked it and has not taken it off the list since.
    fn admit(&self, partner: Partner) -> Result<(), StatusWord> {
        let Partner::Supplier(fingerprint) = partner else {
            return Ok(());
        };
        if self.state.life_cycle() != LifeCycle::Operational {
            return Err(StatusWord::CONDITIONS);
        }
        match self.state.suppliers().find(&fingerprint) {
            Some(_) => Ok(()),
            None => Err(StatusWord::REFERENCE_NOT_FOUND),
        }
    }

    /// Signs with the chosen key. The choice is used up whatever comes of it.
    pub(super) fn compute_signature(&mut self, data: &[u8]) -> Outcome {
        let slot = match self.session.key.take() {
            Some(KeyUse::Sign(partner)) => {
                self.admit(partner)?;
                KeySlot::Sig
            }
            Some(KeyUse::Authenticate) => KeySlot::Tls,
            Some(KeyUse::Receive(_) | KeyUse::Send(_)) | None => return Err(StatusWord::CONDITIONS),
        };
        let digest = data.try_into().map_err(|_| StatusWord::WRONG_LENGTH)?;
        self.sign(CardKey::Slot(slot), &digest)
            .map(|signature| signature.as_bytes().to_vec())
    }

    pub(super) fn internal_authenticate(&self, data: &[u8]) -> Outcome {
        if data.len() != NONCE {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let guid = self.state.guid().ok_or(StatusWord::CONDITIONS)?;
        let digest = sha256(&[PROOF_DOMAIN, &guid.to_bytes(), data]);
        let signature = self.sign(CardKey::Attestation, &digest)?;
        Ok(signature.as_bytes().to_vec())
    }

    pub(super) fn sign(&self, key: CardKey, digest: &[u8; 32]) -> Result<Signature, StatusWord> {
        let key = self.state.key(key).ok_or(StatusWord::CONDITIONS)?;
        key.sign(digest).ok_or(StatusWord::CONDITIONS)
    }

    /// Tells the three meanings of GENERAL AUTHENTICATE apart: a pairing that has begun comes first,
    /// then the object in the template decides: 80 belongs to the TSM's authentication.
    pub(super) fn meaning_of_general_authenticate(&self, data: &[u8]) -> Command {
        if self.session.pairing.is_some() {
            return Command::Pair;
        }
        let template = tlv::exactly(data, [0x7C]);
        match template.and_then(|[template]| tlv::exactly(template, [0x80])) {
            Ok(_) => Command::AgreeWithTsm,
            Err(_) => Command::AgreeKey,
        }
    }

    /// Agrees a key for a message; the peer's point has to lie on the curve. The choice is used up
    /// whatever comes of it.
    pub(super) fn agree_key(&mut self, data: &[u8], random: &mut dyn CryptoRng) -> Outcome {
        match self.session.key.take() {
            Some(KeyUse::Receive(partner)) => {
                self.admit(partner)?;
                let peer = peer_point(data)?;
                let key = self.state.key(CardKey::Slot(KeySlot::Enc));
                let secret = key.ok_or(StatusWord::CONDITIONS)?.agree(&peer);
                dynamic_authentication(&[(0x82, secret.as_bytes())])
            }
            Some(KeyUse::Send(partner)) => {
                self.admit(partner)?;
                let peer = peer_point(data)?;
                if self.encryption_key(partner) != Some(peer) {
                    return Err(StatusWord::REFERENCE_NOT_FOUND);
                }
                let key = PrivateKey::generate(random);
                let secret = key.agree(&peer);
                dynamic_authentication(&[(0x85, &key.point().to_bytes()), (0x82, secret.as_bytes())])
            }
            Some(KeyUse::Sign(_) | KeyUse::Authenticate) | None => Err(StatusWord::CONDITIONS),
        }
    }

    /// Returns the only key with which the card agrees keys to send something to the partner.
    fn encryption_key(&self, partner: Partner) -> Option<Point> {
        match partner {
            Partner::Tsm => self.session.tsm.encryption_key,
            Partner::Supplier(fingerprint) => {
                let suppliers = self.state.suppliers();
                suppliers.find(&fingerprint).map(|entry| entry.encryption)
            }
        }
    }
}

/// Reads `7C {85 point}`.
fn peer_point(data: &[u8]) -> Result<Point, StatusWord> {
    let [template] = tlv::exactly(data, [0x7C]).map_err(|_| StatusWord::WRONG_DATA)?;
    let [peer] = tlv::exactly(template, [0x85]).map_err(|_| StatusWord::WRONG_DATA)?;
    Point::try_from(peer).map_err(|_| StatusWord::WRONG_DATA)
}

/// The greatest length of the template: a point, a token, a signature and their headers. It is set aside
/// at once, so that a secret is not left behind where a growing buffer stood.
const MAX_TEMPLATE: usize = 160;

/// Wraps data objects in the template 7C.
pub(super) fn dynamic_authentication(objects: &[(u16, &[u8])]) -> Outcome {
    let mut template = Zeroizing::new(Vec::with_capacity(MAX_TEMPLATE));
    for (tag, value) in objects {
        tlv::push(&mut template, *tag, value).map_err(|_| StatusWord::WRONG_LENGTH)?;
    }
    tlv::encode([(0x7C, &template)]).map_err(|_| StatusWord::WRONG_LENGTH)
}
