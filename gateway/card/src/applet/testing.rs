//! What the card's tests share: a trust centre in miniature, a card in a variable.

use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use model::{CardId, KeySlot};
use p256::ecdsa::{DerSignature, SigningKey};
use rand_core::{Rng, TryCryptoRng, TryRng};
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::certificate::TbsCertificate;
use x509_cert::der::asn1::UtcTime;
use x509_cert::der::{Encode, flagset::FlagSet};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfo, SubjectPublicKeyInfoRef};
use x509_cert::time::{Time, Validity};

use zeroize::Zeroizing;

use super::{Applet, CardState};
use crate::files::Contact;
use crate::personalization::{CardPoints, KeyOrigin, personalize};
use crate::session::CardIdentity;
use crate::{CardKey, Point, Signature, Transport};

/// Random bytes that are the same in every run; fit for tests alone.
#[derive(Debug, Clone)]
pub(crate) struct TestRandom(u64);

impl TestRandom {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }
}

impl TryRng for TestRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64()
            .map(|value| u32::try_from(value >> 32).unwrap())
    }

    /// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Ok(mixed ^ (mixed >> 31))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let value = self.next_u64().to_le_bytes();
            for (byte, value) in chunk.iter_mut().zip(value) {
                *byte = value;
            }
        }
        Ok(())
    }
}

impl TryCryptoRng for TestRandom {}

/// A card in a variable, as a reader would offer it.
#[derive(Debug)]
pub(crate) struct TestCard {
    pub(crate) applet: Applet,
    pub(crate) random: TestRandom,
}

impl TestCard {
    pub(crate) fn blank(seed: u64) -> Self {
        Self {
            applet: Applet::power_on(CardState::blank()),
            random: TestRandom::new(seed),
        }
    }

    pub(crate) fn personalized(seed: u64, center: &TestCenter) -> (Self, CardIdentity) {
        let mut card = Self::blank(seed);
        let guid: CardId = format!("fd5a::{seed:x}").parse().unwrap();
        let certify = |name, key: &Point| Ok::<_, Infallible>(center.certify_card(guid, name, key));
        let identify = |points: &CardPoints| Ok::<_, Infallible>((guid, points.certified(certify)?));
        let identity = personalize(&mut card, &center.contact(), KeyOrigin::Card, identify).unwrap();
        (card, identity)
    }

    /// Takes the power away and gives it back.
    pub(crate) fn reset(&mut self) {
        let bytes = self.applet.state().to_bytes().unwrap();
        self.applet = Applet::power_on(CardState::from_bytes(&bytes).unwrap());
    }

    /// Sends a command in hexadecimal and returns the status word in hexadecimal.
    pub(crate) fn status(&mut self, command: &str) -> String {
        let answer = self.transmit(&hex::decode(command).unwrap()).unwrap();
        hex::encode(answer.last_chunk::<2>().unwrap())
    }
}

impl Transport for TestCard {
    type Error = Infallible;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, Infallible> {
        Ok(self.applet.process(command, &mut self.random).response)
    }
}

/// A trust centre in miniature: a root, and a TSM under it.
pub(crate) struct TestCenter {
    root: SigningKey,
    tsm: SigningKey,
}

impl TestCenter {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = TestRandom::new(seed);
        let mut key = || {
            use p256::elliptic_curve::Generate;
            SigningKey::generate_from_rng(&mut random)
        };
        Self {
            root: key(),
            tsm: key(),
        }
    }

    pub(crate) fn contact(&self) -> Contact {
        Contact {
            name: "Test centre".to_owned(),
            certificate: self.certify("Trust centre", KeySlot::Sig, &point_of(&self.root)),
            issuing: None,
        }
    }

    pub(crate) fn tsm_certificate(&self, slot: KeySlot) -> Vec<u8> {
        self.certify("TSM", slot, &point_of(&self.tsm))
    }

    pub(crate) fn tsm_sign(&self, digest: &[u8; 32]) -> Signature {
        use p256::ecdsa::signature::hazmat::PrehashSigner;
        let signature: p256::ecdsa::Signature = self.tsm.sign_prehash(digest).unwrap();
        Signature::try_from(signature.to_bytes().as_slice()).unwrap()
    }

    /// Certifies a key of a card; the attestation key signs as SIG does, but the card's texts only.
    pub(crate) fn certify_card(&self, guid: CardId, name: CardKey, key: &Point) -> Vec<u8> {
        let slot = match name {
            CardKey::Slot(slot) => slot,
            CardKey::Attestation => KeySlot::Sig,
        };
        self.issue("Card", slot, Some(guid), key)
    }

    pub(crate) fn certify(&self, unit: &str, slot: KeySlot, key: &Point) -> Vec<u8> {
        self.issue(unit, slot, None, key)
    }

    pub(crate) fn issue(&self, unit: &str, slot: KeySlot, guid: Option<CardId>, key: &Point) -> Vec<u8> {
        let subject: Name = format!("CN=test,OU={unit}").parse().unwrap();
        let key = p256::PublicKey::from_sec1_bytes(&key.to_bytes()).unwrap();
        let builder = CertificateBuilder::new(
            Profile {
                subject,
                slot,
                guid,
                is_authority: unit == AUTHORITY,
            },
            SerialNumber::from(1u32),
            Validity::new(at(1_700_000_000), at(2_500_000_000)),
            SubjectPublicKeyInfo::from_key(&key).unwrap(),
        );
        let certificate = builder.unwrap().build::<_, DerSignature>(&self.root).unwrap();
        certificate.to_der().unwrap()
    }

    /// A contact with an authority that the trust centre has made one, or has not.
    pub(crate) fn contact_with(&self, issuing: &Self, is_authority: bool) -> Contact {
        let unit = if is_authority { AUTHORITY } else { "Card" };
        Contact {
            issuing: Some(self.certify(unit, KeySlot::Sig, &point_of(&issuing.root))),
            ..self.contact()
        }
    }
}

/// The unit whose certificates say that they are of an authority.
const AUTHORITY: &str = "Authority";

fn at(seconds: u64) -> Time {
    UtcTime::from_unix_duration(Duration::from_secs(seconds))
        .unwrap()
        .into()
}

fn point_of(key: &SigningKey) -> Point {
    Point::try_from(key.verifying_key().to_sec1_point(false).as_bytes()).unwrap()
}

struct Profile {
    subject: Name,
    slot: KeySlot,
    guid: Option<CardId>,
    is_authority: bool,
}

impl BuilderProfile for Profile {
    fn get_issuer(&self, _: &Name) -> Name {
        "CN=Test centre".parse().unwrap()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        _: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let usage: FlagSet<KeyUsages> = match self.slot {
            KeySlot::Sig | KeySlot::Tls => KeyUsages::DigitalSignature.into(),
            KeySlot::Enc => KeyUsages::KeyAgreement.into(),
        };
        let mut extensions = vec![KeyUsage(usage).to_extension(tbs.subject(), &[])?];
        if self.slot == KeySlot::Tls {
            let client = der::oid::db::rfc5280::ID_KP_CLIENT_AUTH;
            extensions.push(ExtendedKeyUsage(vec![client]).to_extension(tbs.subject(), &extensions)?);
        }
        if let Some(guid) = self.guid {
            let address = GeneralName::from(IpAddr::V6(guid.address()));
            extensions.push(SubjectAltName(vec![address]).to_extension(tbs.subject(), &extensions)?);
        }
        if self.is_authority {
            let constraints = BasicConstraints {
                ca: true,
                path_len_constraint: None,
            };
            extensions.push(constraints.to_extension(tbs.subject(), &extensions)?);
        }
        Ok(extensions)
    }
}
