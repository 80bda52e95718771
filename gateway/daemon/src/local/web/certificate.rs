//! The key and certificate of the local web: the gateway's own, made once, self-signed.
//!
//! No authority that browsers know certifies a device without a public name. So its fingerprint is what is compared with the
//! label or with `smgw status`. The private key lies in the data folder: it protects the local network only, and has nothing
//! to do with the keys on the card.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use model::Fingerprint;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::{EncodePrivateKey, EncodePublicKey};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::{AccessError, AccessRecord, Store};
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::certificate::TbsCertificate;
use x509_cert::der::asn1::{GeneralizedTime, Ia5String};
use x509_cert::der::oid::db::rfc5280::ID_KP_SERVER_AUTH;
use x509_cert::der::{DateTime, Decode, Encode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::time::{Time, Validity};
use zeroize::Zeroizing;

use crate::random::{self, RandomError};

/// The subject: it names no household.
const SUBJECT: &str = "CN=Smart-meter gateway";
/// From when on it is valid: a clock that was never set must not keep the technician out.
const NOT_BEFORE: (u16, u8, u8) = (2020, 1, 1);

/// The reason why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateFault {
    /// The store does not have it.
    #[error("the certificate of the local web cannot be used; smgw web certificate --new makes another one")]
    Store(#[from] AccessError),
    /// What is stored is none.
    #[error(
        "the certificate of the local web is of another version; smgw web certificate --new makes another one"
    )]
    Content(#[source] serde_json::Error),
    /// It cannot be made.
    #[error("the certificate of the local web cannot be made")]
    Make(#[source] x509_cert::builder::Error),
    /// The key cannot be made or written out.
    #[error("the key of the local web cannot be made")]
    Key(#[source] p256::pkcs8::Error),
    /// The number that was drawn is no key.
    #[error("the number that was drawn is no key; try again")]
    Scalar(#[source] p256::ecdsa::Error),
    /// There are no random numbers.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// TLS does not take it.
    #[error("TLS does not take the certificate of the local web")]
    Tls(#[from] rustls::Error),
}

impl From<x509_cert::der::Error> for CertificateFault {
    fn from(error: x509_cert::der::Error) -> Self {
        Self::Make(error.into())
    }
}

/// The key and the certificate, as they are stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebCertificate {
    /// The private key, PKCS#8.
    key: Zeroizing<Vec<u8>>,
    /// The certificate, DER.
    certificate: Vec<u8>,
}

impl WebCertificate {
    /// Reads the stored one, or makes the first one for these names and addresses.
    pub(super) fn read_or_make(store: &Store, names: &[String]) -> Result<Self, CertificateFault> {
        match store.access().read(AccessRecord::Certificate)? {
            Some(content) => serde_json::from_slice(&content).map_err(CertificateFault::Content),
            None => Self::make(store, names),
        }
    }

    /// Makes one, and stores it in place of an earlier one.
    pub(super) fn make(store: &Store, names: &[String]) -> Result<Self, CertificateFault> {
        let made = Self::new(names)?;
        let content = serde_json::to_vec(&made).map_err(CertificateFault::Content)?;
        let content = Zeroizing::new(content);
        store.access().write(AccessRecord::Certificate, &content)?;
        Ok(made)
    }

    fn new(names: &[String]) -> Result<Self, CertificateFault> {
        let scalar = Zeroizing::new(random::bytes::<32>()?);
        // One number in 2^32 is no key of this curve.
        let key = SigningKey::from_slice(scalar.as_slice()).map_err(CertificateFault::Scalar)?;
        let public = key.verifying_key().to_public_key_der();
        let public = public.map_err(|error| CertificateFault::Key(error.into()))?;
        let public = SubjectPublicKeyInfoOwned::from_der(public.as_bytes())?;
        let (year, month, day) = NOT_BEFORE;
        let from = DateTime::new(year, month, day, 0, 0, 0)?;
        let validity = Validity::new(
            Time::GeneralTime(GeneralizedTime::from_date_time(from)),
            // It has no date of expiry (RFC 5280, section 4.1.2.5).
            Time::INFINITY,
        );
        let mut serial = random::bytes::<16>()?;
        // Positive, and of full length (RFC 5280, section 4.1.2.2).
        if let Some(first) = serial.first_mut() {
            *first = *first & 0x3f | 0x40;
        }
        let profile = OwnProfile {
            subject: Name::from_str(SUBJECT)?,
            names: names
                .iter()
                .map(|name| general_name(name))
                .collect::<Result<_, _>>()?,
        };
        let serial = SerialNumber::new(&serial)?;
        let builder = CertificateBuilder::new(profile, serial, validity, public);
        let builder = builder.map_err(CertificateFault::Make)?;
        let certificate = builder.build::<_, DerSignature>(&key);
        let written = key.to_pkcs8_der().map_err(CertificateFault::Key)?;
        Ok(Self {
            key: Zeroizing::new(written.as_bytes().to_vec()),
            certificate: certificate.map_err(CertificateFault::Make)?.to_der()?,
        })
    }

    /// Returns the SHA-256 digest of the certificate, as browsers show it.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(Sha256::digest(&self.certificate).into())
    }

    /// Returns the server's side of TLS 1.3.
    pub(super) fn server_config(&self) -> Result<Arc<ServerConfig>, CertificateFault> {
        let chain = vec![CertificateDer::from(self.certificate.clone())];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.to_vec()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(Arc::new(config))
    }
}

fn general_name(name: &str) -> Result<GeneralName, x509_cert::der::Error> {
    match name.parse::<IpAddr>() {
        Ok(address) => Ok(GeneralName::from(address)),
        Err(_) => Ok(GeneralName::DnsName(Ia5String::new(name)?)),
    }
}

/// What the certificate says.
struct OwnProfile {
    subject: Name,
    names: Vec<GeneralName>,
}

impl BuilderProfile for OwnProfile {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
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
        let subject = tbs.subject();
        let mut extensions = vec![KeyUsage(KeyUsages::DigitalSignature.into()).to_extension(subject, &[])?];
        let server = ExtendedKeyUsage(vec![ID_KP_SERVER_AUTH]);
        extensions.push(server.to_extension(subject, &extensions)?);
        if !self.names.is_empty() {
            let names = SubjectAltName(self.names.clone());
            extensions.push(names.to_extension(subject, &extensions)?);
        }
        Ok(extensions)
    }
}

#[cfg(test)]
mod tests {
    use x509_cert::Certificate;

    use super::*;

    #[test]
    fn certificate_is_its_own_and_tls_takes_it() {
        let names = ["smgw.local".to_owned(), "192.168.1.5".to_owned()];
        let made = WebCertificate::new(&names).unwrap();
        let read = Certificate::from_der(&made.certificate).unwrap();
        assert_eq!(read.tbs_certificate().issuer(), read.tbs_certificate().subject());
        made.server_config().unwrap();
        let other = WebCertificate::new(&names).unwrap();
        assert_ne!(made.fingerprint(), other.fingerprint());
        assert!(WebCertificate::new(&["smgw.lökal".to_owned()]).is_err());
    }
}
