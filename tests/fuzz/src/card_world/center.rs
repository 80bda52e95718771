//! A trust centre in miniature, with its TSM.

use std::net::IpAddr;
use std::time::Duration;

use card::{CardKey, Contact, Point, SupplierEntry, Suppliers};
use der::Encode;
use der::asn1::UtcTime;
use der::flagset::FlagSet;
use model::{CardId, Fingerprint, KeySlot};
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::{DerSignature, Signature, SigningKey};
use p256::elliptic_curve::Generate;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::certificate::TbsCertificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfo, SubjectPublicKeyInfoRef};
use x509_cert::time::{Time, Validity};

use super::Repeatable;

/// The root, and the TSM's SIG key under it.
pub struct Center {
    root: SigningKey,
    tsm: SigningKey,
    tsm_certificate: Vec<u8>,
    contact: Contact,
}

impl Center {
    /// Founds it; the seed is its keys.
    pub fn new(seed: u64) -> Self {
        let mut random = Repeatable::new(seed);
        let root = SigningKey::generate_from_rng(&mut random);
        let tsm = SigningKey::generate_from_rng(&mut random);
        let contact = Contact {
            name: "Trust centre".to_owned(),
            certificate: certify(&root, "Trust centre", KeySlot::Sig, None, &point_of(&root)),
            issuing: None,
        };
        let tsm_certificate = certify(&root, "TSM", KeySlot::Sig, None, &point_of(&tsm));
        Self {
            root,
            tsm,
            tsm_certificate,
            contact,
        }
    }

    /// Returns what the card is to trust.
    pub fn contact(&self) -> Contact {
        self.contact.clone()
    }

    /// Returns the TSM's SIG certificate, DER.
    pub fn tsm_certificate(&self) -> &[u8] {
        &self.tsm_certificate
    }

    /// Signs a digest as the TSM.
    pub fn tsm_sign(&self, digest: &[u8; 32]) -> [u8; 64] {
        let signature: Signature = self.tsm.sign_prehash(digest).expect("a signature");
        signature.to_bytes().into()
    }

    /// Certifies a key of a card.
    pub fn certify_card(&self, guid: CardId, key: CardKey, point: &Point) -> Vec<u8> {
        let slot = match key {
            CardKey::Slot(slot) => slot,
            CardKey::Attestation => KeySlot::Sig,
        };
        certify(&self.root, "Card", slot, Some(guid), point)
    }

    /// Returns a list of one supplier, as the card keeps it.
    pub fn suppliers(&self) -> Vec<u8> {
        let entry = SupplierEntry {
            fingerprint: Fingerprint::new([0x33; 32]),
            encryption: point_of(&self.tsm),
        };
        Suppliers::new(vec![entry]).expect("one supplier").to_bytes()
    }
}

fn point_of(key: &SigningKey) -> Point {
    Point::try_from(key.verifying_key().to_sec1_point(false).as_bytes()).expect("a point")
}

fn certify(root: &SigningKey, unit: &str, slot: KeySlot, guid: Option<CardId>, key: &Point) -> Vec<u8> {
    let key = p256::PublicKey::from_sec1_bytes(&key.to_bytes()).expect("a key");
    let builder = CertificateBuilder::new(
        Profile {
            subject: format!("CN=fuzz,OU={unit}").parse().expect("a name"),
            slot,
            guid,
        },
        SerialNumber::from(1u32),
        Validity::new(at(1_700_000_000), at(2_500_000_000)),
        SubjectPublicKeyInfo::from_key(&key).expect("a key"),
    );
    let certificate = builder.expect("a builder").build::<_, DerSignature>(root);
    certificate
        .expect("a certificate")
        .to_der()
        .expect("a certificate")
}

fn at(seconds: u64) -> Time {
    UtcTime::from_unix_duration(Duration::from_secs(seconds))
        .expect("a time")
        .into()
}

struct Profile {
    subject: Name,
    slot: KeySlot,
    guid: Option<CardId>,
}

impl BuilderProfile for Profile {
    fn get_issuer(&self, _: &Name) -> Name {
        "CN=fuzz".parse().expect("a name")
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
        Ok(extensions)
    }
}
