//! Any bytes are opened or refused; what is opened is what was sealed.
//!
//! The first byte says who has signed: OpenSSL's supplier, so that the rest is the whole message, or a supplier of a
//! trust centre that is here with its keys, so that the rest is what he signs, the encrypted part, and any of it gets
//! behind the signature.
#![no_main]

use std::convert::Infallible;
use std::sync::LazyLock;

use cms::content_info::ContentInfo;
use cms::signed_data::SignedData;
use der::asn1::{Any, OctetString, SetOfVec};
use der::oid::ObjectIdentifier;
use der::{Decode, Encode};
use libfuzzer_sys::fuzz_target;
use messages::certificate::profile::{CertificateContent, SerialNumber, issue, issue_root};
use messages::certificate::{Certificate, Role, Subject, TrustAnchor};
use messages::envelope::{EnvelopeRandom, Sender, open, seal};
use messages::keys::Signer;
use messages::software::{SoftwareEphemeral, SoftwareKey};
use model::{KeySlot, Period, Timestamp};
use p256::ecdsa::Signature;
use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};
use x509_cert::attr::Attribute;
use zeroize::Zeroizing;

const CONTENT: &[u8] = include_bytes!("../../vectors/messages/request.json");
const ROOT: &str = include_str!("../../vectors/messages/root.pem");
const RECIPIENT: &str = include_str!("../../vectors/messages/card-enc.pem");
const RECIPIENT_KEY: &str = include_str!("../../vectors/messages/card-enc.key");
/// id-messageDigest (RFC 5652, section 11.2).
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");

/// Two trust centres, and the recipient.
struct World {
    foreign: TrustAnchor,
    own: TrustAnchor,
    signer: SoftwareKey,
    /// A message of the own supplier's, whose parts are put around what comes.
    template: SignedData,
    recipient: Certificate,
    key: SoftwareKey,
    now: Timestamp,
}

static WORLD: LazyLock<World> = LazyLock::new(World::new);

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else {
        return;
    };
    let world = &*WORLD;
    let opened = if kind & 1 == 0 {
        open(rest, &world.foreign, world.now, &world.recipient, &world.key)
    } else {
        open(&world.signed(rest), &world.own, world.now, &world.recipient, &world.key)
    };
    match opened {
        Ok(opened) => assert_eq!(opened.content.as_slice(), CONTENT),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

impl World {
    fn new() -> Self {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let now = at("2026-11-30T12:00:00Z");
        let mut random = Counter(0);
        let validity = Period::new(at("2026-01-01T00:00:00Z"), at("2046-01-01T00:00:00Z")).unwrap();
        let root = SoftwareKey::generate(&mut random).unwrap();
        let serial = SerialNumber::from_random([1; 16]);
        let name = "Trust Centre".parse().unwrap();
        let own = issue_root(name, root.public_point(), serial, validity, &root).unwrap();
        let signer = SoftwareKey::generate(&mut random).unwrap();
        let content = CertificateContent {
            subject: Subject::party("Supplier".parse().unwrap(), Role::Supplier).unwrap(),
            slot: KeySlot::Sig,
            public_key: *signer.public_point(),
            serial_number: SerialNumber::from_random([2; 16]),
            validity,
        };
        let certificate = issue(&content, &own, &root).unwrap();
        let foreign = TrustAnchor::new(Certificate::from_pem(ROOT).unwrap()).unwrap();
        let recipient = Certificate::from_pem(RECIPIENT).unwrap();
        let card = CertificateContent {
            subject: Subject::card("fd5a::1".parse().unwrap()),
            slot: KeySlot::Enc,
            public_key: *recipient.public_key(),
            ..content
        };
        let card = issue(&card, &own, &root).unwrap();
        let verified = own.verify(&card, now, Role::Card, KeySlot::Enc).unwrap();
        let sender = Sender {
            certificate: &certificate,
            issuing: None,
            signer: &signer,
            agreement: SoftwareEphemeral::new(random),
        };
        let envelope = EnvelopeRandom::new(Zeroizing::new([3; EnvelopeRandom::LENGTH]));
        let sealed = seal(CONTENT, &verified, sender, &envelope, now).unwrap();
        let template = ContentInfo::from_der(&sealed).unwrap();
        Self {
            foreign,
            own,
            template: template.content.decode_as().unwrap(),
            recipient,
            key: SoftwareKey::from_pkcs8_pem(RECIPIENT_KEY).unwrap(),
            signer,
            now,
        }
    }

    /// Has the own supplier sign any bytes as if they were an encrypted part.
    fn signed(&self, enveloped: &[u8]) -> Vec<u8> {
        let mut signed = self.template.clone();
        let octets = OctetString::new(enveloped).unwrap();
        signed.encap_content_info.econtent = Some(Any::encode_from(&octets).unwrap());
        let mut signer = signed.signer_infos.0.as_slice()[0].clone();
        let digest = OctetString::new(Sha256::digest(enveloped).to_vec()).unwrap();
        let attributes = signer.signed_attrs.take().unwrap();
        let attributes: Vec<Attribute> = attributes
            .iter()
            .cloned()
            .map(|mut attribute| {
                if attribute.oid == MESSAGE_DIGEST {
                    attribute.values = SetOfVec::try_from(vec![Any::encode_from(&digest).unwrap()]).unwrap();
                }
                attribute
            })
            .collect();
        let attributes = SetOfVec::try_from(attributes).unwrap();
        let to_sign = Sha256::digest(attributes.to_der().unwrap()).into();
        let signature = (&self.signer).sign_digest(&to_sign).unwrap();
        let signature = Signature::from_slice(&signature).unwrap().to_der();
        signer.signed_attrs = Some(attributes);
        signer.signature = OctetString::new(signature.as_bytes()).unwrap();
        signed.signer_infos.0 = SetOfVec::try_from(vec![signer]).unwrap();
        let message = ContentInfo {
            content_type: ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2"),
            content: Any::encode_from(&signed).unwrap(),
        };
        message.to_der().unwrap()
    }
}

/// Random numbers that are the same in every run.
struct Counter(u64);

impl TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(32) {
            self.0 += 1;
            chunk.copy_from_slice(&Sha256::digest(self.0.to_be_bytes())[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Counter {}
