//! The trust centre's access: its certificate, its answer to the card's challenge, its channel.
//!
//! The gateway's software carries these commands and can neither forge nor read what goes through
//! the channel: the TSM signs over the challenge, the GUID and both keys from which the channel comes,
//! its own ephemeral key and the card's certified ENC key.
//!
//! Spec: BSI TR-03110-3, sections 3.3 and 3.4 (terminal and chip authentication, version 2).

use std::fmt;

use model::KeySlot;
use rand_core::CryptoRng;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage};

use super::keys::dynamic_authentication;
use super::{Applet, CHALLENGE, Outcome, response};
use crate::crypto::sha256;
use crate::files::public_key;
use crate::secure_messaging::Channel;
use crate::tlv;
use crate::{CardKey, CommandApdu, FileId, Point, Reach, Signature, StatusWord};

/// The domain of the TSM's signature.
pub(crate) const AUTHENTICATION_DOMAIN: &[u8] = b"smgw/tsm-authentication/2";

const ENC: CardKey = CardKey::Slot(KeySlot::Enc);

/// The organisational unit that marks a certificate of the TSM.
const TSM_UNIT: &str = "TSM";

/// The length of the card's nonce in the key agreement.
const AGREEMENT_NONCE: usize = 8;

/// From this number of expected bytes on a command takes whatever there is (Le = 00).
const ALL_THERE_IS: usize = 256;

/// How far the TSM has come in this session.
#[derive(Default)]
pub(super) struct TsmAccess {
    /// The key of the TSM's SIG certificate, once that is verified.
    pub(super) signature_key: Option<Point>,
    /// The key of the TSM's ENC certificate, once that is verified.
    pub(super) encryption_key: Option<Point>,
    /// The ephemeral key that the TSM has signed.
    ephemeral: Option<Point>,
    channel: Option<Channel>,
    /// The file that the TSM has selected.
    pub(super) selected_file: Option<FileId>,
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
        (tsm.ephemeral, tsm.channel) = (None, None);
        let key = tsm.signature_key.ok_or(StatusWord::CONDITIONS)?;
        let [ephemeral, signature] = tlv::exactly(data, [0x86, 0x9E]).map_err(|_| StatusWord::WRONG_DATA)?;
        let signature = Signature::try_from(signature).map_err(|_| StatusWord::WRONG_DATA)?;
        let point = Point::try_from(ephemeral).map_err(|_| StatusWord::WRONG_DATA)?;
        let guid = self.state.guid().ok_or(StatusWord::CONDITIONS)?;
        let own = self.encryption_point()?.to_bytes();
        let digest = sha256(&[
            AUTHENTICATION_DOMAIN,
            &challenge,
            &guid.to_bytes(),
            ephemeral,
            &own,
        ]);
        if !key.verifies(&digest, &signature) {
            return Err(StatusWord::SECURITY_STATUS);
        }
        self.session.tsm.ephemeral = Some(point);
        Ok(Vec::new())
    }

    /// Agrees the channel's keys with the ephemeral key that the TSM has signed.
    pub(super) fn open_tsm_channel(&mut self, data: &[u8], random: &mut dyn CryptoRng) -> Outcome {
        let [template] = tlv::exactly(data, [0x7C]).map_err(|_| StatusWord::WRONG_DATA)?;
        let [ephemeral] = tlv::exactly(template, [0x80]).map_err(|_| StatusWord::WRONG_DATA)?;
        let authenticated = self
            .session
            .tsm
            .ephemeral
            .take()
            .ok_or(StatusWord::SECURITY_STATUS)?;
        if authenticated.to_bytes() != ephemeral {
            return Err(StatusWord::SECURITY_STATUS);
        }
        let key = self.state.key(ENC).ok_or(StatusWord::CONDITIONS)?;
        let mut nonce = [0; AGREEMENT_NONCE];
        random.fill_bytes(&mut nonce);
        let channel = Channel::new(key.agree(&authenticated).as_bytes(), &nonce);
        let token = channel.token(ephemeral);
        self.session.tsm.channel = Some(channel);
        self.session.tsm.selected_file = None;
        dynamic_authentication(&[(0x81, &nonce), (0x82, &token)])
    }

    fn encryption_point(&self) -> Result<Point, StatusWord> {
        let key = self.state.key(ENC).ok_or(StatusWord::CONDITIONS)?;
        Ok(key.point())
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

fn is_signed_by(certificate: &Certificate, issuer: &Point) -> bool {
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
fn slot_of(certificate: &Certificate) -> Option<KeySlot> {
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
