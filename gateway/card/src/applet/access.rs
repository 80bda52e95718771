//! The trust centre's access: its certificate, its answer to the card's challenge, its channel.
//!
//! The gateway's software carries these commands and can neither forge nor read what goes through
//! the channel. Both ends make a key pair for it that serves once, and sign for it: the TSM over the
//! challenge, the GUID, its own ephemeral key and the attestation key of the card that it means; the
//! card, with that key, over all of this and its own ephemeral key. ENC and SIG have no part in it, since
//! the gateway has them agree and sign whatever it likes.
//!
//! Spec: BSI TR-03110-3, sections 3.3 and 3.4 (terminal authentication, version 2; chip authentication,
//! version 3, has an ephemeral key of the card too, and authenticates it in another way).

use std::fmt;

use model::{CardId, KeySlot};
use rand_core::CryptoRng;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage};

use super::keys::dynamic_authentication;
use super::{Applet, CHALLENGE, Outcome, response};
use crate::crypto::{PrivateKey, sha256};
use crate::files::public_key;
use crate::secure_messaging::Channel;
use crate::tlv;
use crate::{CardKey, CommandApdu, FileId, Point, Reach, Signature, StatusWord};

/// The domain of the TSM's signature.
pub(crate) const AUTHENTICATION_DOMAIN: &[u8] = b"smgw/tsm-authentication/3";

/// The domain of the signature by which the card stands for its end of the channel.
pub(crate) const CHANNEL_DOMAIN: &[u8] = b"smgw/tsm-channel/1";

/// Returns what the TSM signs: which card it means, and which key it agrees with.
pub(crate) fn authentication_digest(
    challenge: &[u8; CHALLENGE],
    card: &CardId,
    ephemeral: &Point,
    attestation: &Point,
) -> [u8; 32] {
    sha256(&[
        AUTHENTICATION_DOMAIN,
        challenge,
        &card.to_bytes(),
        &ephemeral.to_bytes(),
        &attestation.to_bytes(),
    ])
}

/// Returns what the card signs: both ephemeral keys of the channel, and for whom it made its own.
pub(crate) fn channel_digest(
    challenge: &[u8; CHALLENGE],
    card: &CardId,
    theirs: &Point,
    own: &Point,
) -> [u8; 32] {
    sha256(&[
        CHANNEL_DOMAIN,
        challenge,
        &card.to_bytes(),
        &theirs.to_bytes(),
        &own.to_bytes(),
    ])
}

/// The organisational unit that marks a certificate of the TSM.
const TSM_UNIT: &str = "TSM";

/// From this number of expected bytes on a command takes whatever there is (Le = 00).
const ALL_THERE_IS: usize = 256;

/// How far the TSM has come in this session.
#[derive(Default)]
pub(super) struct TsmAccess {
    /// The key of the TSM's SIG certificate, once that is verified.
    signature_key: Option<Point>,
    /// The key of the TSM's ENC certificate, once that is verified.
    pub(super) encryption_key: Option<Point>,
    /// What the TSM has signed in this session, until the channel is opened.
    authenticated: Option<Authenticated>,
    channel: Option<Channel>,
    /// The file that the TSM has selected.
    pub(super) selected_file: Option<FileId>,
}

/// What the TSM has authenticated itself with.
struct Authenticated {
    /// The challenge of the card that it has answered.
    challenge: [u8; CHALLENGE],
    /// The ephemeral key that it has signed.
    ephemeral: Point,
}

impl fmt::Debug for TsmAccess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TsmAccess")
            .field("channel", &self.channel.is_some())
            .finish_non_exhaustive()
    }
}

impl Applet {
    /// Verifies a certificate of the TSM with the only key that the card trusts.
    ///
    /// The card has no clock: validity is checked by the gateway.
    pub(super) fn verify_certificate(&mut self, data: &[u8]) -> Outcome {
        let issuer = self.trust_centre_key()?;
        let certificate = Certificate::from_der(data).map_err(|_| StatusWord::WRONG_DATA)?;
        if !is_signed_by(&certificate, &issuer) || !is_of_tsm(&certificate) {
            return Err(StatusWord::SECURITY_STATUS);
        }
        let key = public_key(&certificate).ok_or(StatusWord::WRONG_DATA)?;
        match slot_of(&certificate).ok_or(StatusWord::WRONG_DATA)? {
            KeySlot::Sig => self.session.tsm.signature_key = Some(key),
            KeySlot::Enc => self.session.tsm.encryption_key = Some(key),
            KeySlot::Tls => return Err(StatusWord::REFERENCE_NOT_FOUND),
        }
        Ok(Vec::new())
    }

    /// Gives a challenge of one length; whoever expects another number of bytes is told which.
    pub(super) fn challenge(&mut self, expected: Option<usize>, random: &mut dyn CryptoRng) -> Outcome {
        if expected.is_some_and(|expected| expected < ALL_THERE_IS && expected != CHALLENGE) {
            return Err(StatusWord::exactly(CHALLENGE));
        }
        let mut challenge = [0; CHALLENGE];
        random.fill_bytes(&mut challenge);
        self.session.challenge = Some(challenge);
        Ok(challenge.to_vec())
    }

    /// Checks the TSM's signature over the challenge, which is used up whatever comes of it.
    pub(super) fn external_authenticate(&mut self, data: &[u8]) -> Outcome {
        let challenge = self.session.challenge.take().ok_or(StatusWord::CONDITIONS)?;
        let tsm = &mut self.session.tsm;
        (tsm.authenticated, tsm.channel) = (None, None);
        let key = tsm.signature_key.ok_or(StatusWord::CONDITIONS)?;
        let [ephemeral, signature] = tlv::exactly(data, [0x86, 0x9E]).map_err(|_| StatusWord::WRONG_DATA)?;
        let signature = Signature::try_from(signature).map_err(|_| StatusWord::WRONG_DATA)?;
        let ephemeral = Point::try_from(ephemeral).map_err(|_| StatusWord::WRONG_DATA)?;
        let guid = self.state.guid().ok_or(StatusWord::CONDITIONS)?;
        let own = self
            .state
            .key(CardKey::Attestation)
            .ok_or(StatusWord::CONDITIONS)?
            .point();
        let digest = authentication_digest(&challenge, &guid, &ephemeral, &own);
        if !key.verifies(&digest, &signature) {
            return Err(StatusWord::SECURITY_STATUS);
        }
        self.session.tsm.authenticated = Some(Authenticated { challenge, ephemeral });
        Ok(Vec::new())
    }

    /// Agrees the channel's keys with the ephemeral key that the TSM has signed and one that the card
    /// makes now and signs with its attestation key.
    pub(super) fn open_tsm_channel(&mut self, data: &[u8], random: &mut dyn CryptoRng) -> Outcome {
        let [template] = tlv::exactly(data, [0x7C]).map_err(|_| StatusWord::WRONG_DATA)?;
        let [ephemeral] = tlv::exactly(template, [0x80]).map_err(|_| StatusWord::WRONG_DATA)?;
        let authenticated = self.session.tsm.authenticated.take();
        let Authenticated {
            challenge,
            ephemeral: theirs,
        } = authenticated.ok_or(StatusWord::SECURITY_STATUS)?;
        if theirs.to_bytes() != ephemeral {
            return Err(StatusWord::SECURITY_STATUS);
        }
        let guid = self.state.guid().ok_or(StatusWord::CONDITIONS)?;
        let key = PrivateKey::generate(random);
        let own = key.point();
        let signature = self.sign(
            CardKey::Attestation,
            &channel_digest(&challenge, &guid, &theirs, &own),
        )?;
        let channel = Channel::new(key.agree(&theirs).as_bytes(), &[]);
        let token = channel.token(ephemeral);
        self.session.tsm.channel = Some(channel);
        self.session.tsm.selected_file = None;
        dynamic_authentication(&[
            (0x81, &own.to_bytes()),
            (0x82, &token),
            (0x9E, signature.as_bytes()),
        ])
    }

    /// Gives all tries of the pairing back: the TSM unlocks a card that somebody has tried out.
    pub(super) fn reset_retry_counter(&mut self) -> Outcome {
        self.state.restore_tries();
        Ok(Vec::new())
    }

    /// Carries out a command that comes under the TSM's secure messaging. Any error in the
    /// protection ends the channel.
    pub(super) fn envelope(&mut self, data: &[u8], random: &mut dyn CryptoRng) -> Outcome {
        let channel = self
            .session
            .tsm
            .channel
            .take()
            .ok_or(StatusWord::SECURITY_STATUS)?;
        let protected = CommandApdu::parse(data).map_err(|_| StatusWord::WRONG_DATA)?;
        let (channel, command) = channel
            .unwrap_command(&protected)
            .map_err(|error| error.status())?;
        let response = response(self.dispatch(&command, Reach::Tsm, random));
        let (channel, bytes) = channel.wrap_response(&response).map_err(|error| error.status())?;
        self.session.tsm.channel = Some(channel);
        Ok(bytes)
    }
}

/// Returns the P-256 key of a certificate, if the bytes are one.
pub(crate) fn certificate_key(der: &[u8]) -> Option<Point> {
    public_key(&Certificate::from_der(der).ok()?)
}

pub(super) fn is_signed_by(certificate: &Certificate, issuer: &Point) -> bool {
    let signature = certificate.signature().as_bytes().and_then(plain_signature);
    match (certificate.tbs_certificate().to_der(), signature) {
        (Ok(signed), Some(signature)) => issuer.verifies(&sha256(&[&signed]), &signature),
        _ => false,
    }
}

/// Turns the DER form of an ECDSA signature into r and s.
fn plain_signature(der: &[u8]) -> Option<Signature> {
    let signature = p256::ecdsa::Signature::from_der(der).ok()?;
    Signature::try_from(signature.to_bytes().as_slice()).ok()
}

fn is_of_tsm(certificate: &Certificate) -> bool {
    let subject = certificate.tbs_certificate().subject();
    let unit = subject.organization_unit().ok().flatten();
    unit.is_some_and(|unit| unit.value() == TSM_UNIT)
}

/// Tells from the key usage which of the three certificates of a party this is.
pub(super) fn slot_of(certificate: &Certificate) -> Option<KeySlot> {
    let certificate = certificate.tbs_certificate();
    let (_, usage) = certificate.get_extension::<KeyUsage>().ok()??;
    let extended = certificate.get_extension::<ExtendedKeyUsage>().ok()?;
    match (usage.digital_signature(), usage.key_agreement(), extended) {
        (true, false, None) => Some(KeySlot::Sig),
        (true, false, Some(_)) => Some(KeySlot::Tls),
        (false, true, None) => Some(KeySlot::Enc),
        _ => None,
    }
}
