//! The gateway and the TSM as a card meets them, written after the card's README.

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, KeyInit};
use card::secure_messaging::Channel;
use card::{CommandApdu, Header, Reach, ResponseApdu, tlv};
use p256::elliptic_curve::Generate;
use p256::elliptic_curve::ops::Reduce;
use p256::elliptic_curve::point::AffineCoordinates;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{AffinePoint, FieldBytes, NonZeroScalar, ProjectivePoint, PublicKey, Scalar};
use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::{Center, JudgedCard, Repeatable, SECRET};

const PACE: [u8; 10] = [0x04, 0x00, 0x7F, 0x00, 0x07, 0x02, 0x02, 0x04, 0x02, 0x02];

/// The gateway that the card is bound to. It pairs when it has to.
#[derive(Default)]
pub struct Gateway {
    channel: Option<Channel>,
}

/// The TSM. It authenticates itself when it has to.
#[derive(Default)]
pub struct Tsm {
    channel: Option<Channel>,
}

impl Gateway {
    /// Sends a command under secure messaging; `None` if the card has ended it, or never began.
    pub fn send(&mut self, card: &mut JudgedCard, command: &CommandApdu) -> Option<ResponseApdu> {
        let channel = self.channel.take().or_else(|| pair(card))?;
        let before = card.state().life_cycle();
        let (channel, protected) = channel.wrap_command(command).ok()?;
        let answer = card.carry(&protected.to_bytes().ok()?, Reach::Gateway);
        if !answer.status().is_ok() {
            return None;
        }
        let (channel, answer) = channel
            .unwrap_response(answer.data())
            .expect("the card's own answer");
        card.judge(command.header(), Reach::Gateway, before, &answer);
        self.channel = Some(channel);
        Some(answer)
    }

    /// Sends a command of which one bit was turned on the way. The card never takes it.
    pub fn send_altered(&mut self, card: &mut JudgedCard, command: &CommandApdu, position: u16) {
        let Some(channel) = self.channel.take().or_else(|| pair(card)) else {
            return;
        };
        let Ok((_, protected)) = channel.wrap_command(command) else {
            return;
        };
        let mut objects = protected.data().to_vec();
        let bits = objects.len() * 8;
        let bit = usize::from(position) % bits;
        objects[bit / 8] ^= 1 << (bit % 8);
        let altered = CommandApdu::new(protected.header(), objects).expecting(65_536);
        if let Ok(bytes) = altered.to_bytes() {
            let before = card.stored();
            let answer = card.carry(&bytes, Reach::Gateway);
            assert!(!answer.status().is_ok(), "an altered command is taken");
            assert_eq!(card.stored(), before, "an altered command changes the card");
        }
    }
}

/// Runs PACE as the terminal.
fn pair(card: &mut JudgedCard) -> Option<Channel> {
    let mut random = Repeatable::new(7);
    let choice = [&[0x80, 0x0A][..], &PACE, &[0x83, 0x01, 0x03]].concat();
    let answer = card.raw(&[&[0x00, 0x22, 0xC1, 0xA4, 0x0F][..], &choice].concat());
    if !answer.status().is_ok() {
        return None;
    }
    let nonce = step(card, 0x10, None, 0x80)?;
    let mut key = Sha1::new();
    key.update(SECRET);
    key.update([0, 0, 0, 3]);
    let key: [u8; 16] = key.finalize()[..16].try_into().ok()?;
    let mut block: aes::Block = <[u8; 16]>::try_from(nonce.as_slice()).ok()?.into();
    Aes128::new(&key.into()).decrypt_block(&mut block);
    let mut wide = FieldBytes::default();
    wide[16..].copy_from_slice(&block);
    let nonce = <Scalar as Reduce<FieldBytes>>::reduce(&wide);

    let map = NonZeroScalar::generate_from_rng(&mut random);
    let peer = step(
        card,
        0x10,
        Some((0x81, &encode(ProjectivePoint::GENERATOR * *map))),
        0x82,
    )?;
    let base = ProjectivePoint::GENERATOR * nonce + decode(&peer)? * *map;
    let own = NonZeroScalar::generate_from_rng(&mut random);
    let public = encode(base * *own);
    let peer = step(card, 0x10, Some((0x83, &public)), 0x84)?;
    let shared: AffinePoint = (decode(&peer)? * *own).into();
    let channel = Channel::new(&shared.x(), &[]);
    let token = step(
        card,
        0x00,
        Some((0x85, &channel.token(&token_input(&peer)))),
        0x86,
    )?;
    assert_eq!(
        token,
        channel.token(&token_input(&public)),
        "the card knows the secret"
    );
    Some(channel)
}

fn step(card: &mut JudgedCard, class: u8, object: Option<(u16, &[u8])>, expected: u16) -> Option<Vec<u8>> {
    let template = match object {
        Some(object) => tlv::encode([object]).ok()?,
        None => Vec::new(),
    };
    let data = tlv::encode([(0x7C, &template[..])]).ok()?;
    let command = CommandApdu::new(Header::new([class, 0x86, 0, 0]), data).expecting(256);
    let answer = card.raw(&command.to_bytes().ok()?);
    let [template] = tlv::exactly(answer.data(), [0x7C]).ok()?;
    let [value] = tlv::exactly(template, [expected]).ok()?;
    Some(value.to_vec())
}

fn token_input(point: &[u8]) -> Vec<u8> {
    let key = tlv::encode([(0x06, &PACE[..]), (0x86, point)]).expect("a short key");
    tlv::encode([(0x7F49, &key[..])]).expect("a short key")
}

fn encode(point: ProjectivePoint) -> Vec<u8> {
    AffinePoint::from(point).to_sec1_point(false).as_bytes().to_vec()
}

fn decode(bytes: &[u8]) -> Option<ProjectivePoint> {
    Some(PublicKey::from_sec1_bytes(bytes).ok()?.to_projective())
}

impl Tsm {
    /// Sends a command inside ENVELOPE; `None` if the card has ended the channel, or never opened it.
    pub fn send(
        &mut self,
        card: &mut JudgedCard,
        center: &Center,
        command: &CommandApdu,
    ) -> Option<ResponseApdu> {
        let channel = self.channel.take().or_else(|| authenticate(card, center))?;
        let before = card.state().life_cycle();
        let (channel, protected) = channel.wrap_command(command).ok()?;
        let protected = protected.to_bytes().ok()?.to_vec();
        let envelope = CommandApdu::new(Header::new([0x00, 0xC2, 0, 0]), protected).expecting(65_536);
        let answer = card.carry(&envelope.to_bytes().ok()?, Reach::Tsm);
        if !answer.status().is_ok() {
            return None;
        }
        let (channel, answer) = channel
            .unwrap_response(answer.data())
            .expect("the card's own answer");
        card.judge(command.header(), Reach::Tsm, before, &answer);
        self.channel = Some(channel);
        Some(answer)
    }
}

/// Authenticates as the TSM and agrees the channel's keys.
fn authenticate(card: &mut JudgedCard, center: &Center) -> Option<Channel> {
    let ask = |card: &mut JudgedCard, header, data: Vec<u8>| {
        let command = CommandApdu::new(Header::new(header), data).expecting(256);
        let answer = card.raw(&command.to_bytes().ok()?);
        answer.status().is_ok().then(|| answer.data().to_vec())
    };
    let guid = card.state().guid()?.to_bytes();
    let attestation = ask_attestation(card)?;
    let challenge = ask(card, [0x00, 0x84, 0, 0], Vec::new())?;
    ask(card, [0x00, 0x2A, 0x00, 0xBE], center.tsm_certificate().to_vec())?;
    let own = NonZeroScalar::generate_from_rng(&mut Repeatable::new(8));
    let public = encode(ProjectivePoint::GENERATOR * *own);
    let digest = sha256(&[
        b"smgw/tsm-authentication/3",
        &challenge,
        &guid,
        &public,
        &attestation,
    ]);
    let authentication = tlv::encode([(0x86, &public[..]), (0x9E, &center.tsm_sign(&digest))]).ok()?;
    ask(card, [0x00, 0x82, 0, 0], authentication)?;
    let template = tlv::encode([(0x80, &public[..])]).ok()?;
    let answer = ask(
        card,
        [0x00, 0x86, 0, 0],
        tlv::encode([(0x7C, &template[..])]).ok()?,
    )?;
    let [template] = tlv::exactly(&answer, [0x7C]).ok()?;
    let [peer, token, signature] = tlv::exactly(template, [0x81, 0x82, 0x9E]).ok()?;
    let shared: AffinePoint = (decode(peer)? * *own).into();
    let channel = Channel::new(&shared.x(), &[]);
    assert_eq!(token, channel.token(&public), "the card has the same keys");
    let digest = sha256(&[b"smgw/tsm-channel/1", &challenge, &guid, &public, peer]);
    let attestation = card::Point::try_from(attestation.as_slice()).ok()?;
    let signature = card::Signature::try_from(signature).ok()?;
    assert!(attestation.verifies(&digest, &signature), "it is the card");
    Some(channel)
}

/// Reads the attestation key in the card's certificate.
fn ask_attestation(card: &mut JudgedCard) -> Option<Vec<u8>> {
    use der::Decode;
    card.raw(&[0x00, 0xA4, 0x02, 0x0C, 0x02, 0x02, 0x04]);
    let answer = card.raw(&[0x00, 0xB0, 0, 0, 0, 0, 0]);
    let certificate = x509_cert::Certificate::from_der(answer.data()).ok()?;
    let key = certificate.tbs_certificate().subject_public_key_info();
    Some(key.subject_public_key.as_bytes()?.to_vec())
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}
