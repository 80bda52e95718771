//! The profile by which the trust centre issues certificates.
//!
//! Version 3, ECDSA with SHA-256 on P-256. Extensions: the key identifiers of subject and issuer,
//! key usage (critical), for TLS the extended key usage, for cards the GUID as address; the root
//! has basic constraints (critical) instead of a slot.

use const_oid::ObjectIdentifier;
use der::Decode;
use der::asn1::BitString;
use model::{KeySlot, Period, Span};
use p256::ecdsa::VerifyingKey;
use sha2::{Digest, Sha256};
use signature::Keypair;
use spki::{
    AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, SubjectPublicKeyInfoOwned,
    SubjectPublicKeyInfoRef,
};
use x509_cert::TbsCertificate;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::ext::Extension;
use x509_cert::name::Name;
use x509_cert::time::{Time, Validity};

use crate::certificate::{
    Certificate, CertificateError, DnsName, PartyName, Role, SIGNATURE_ALGORITHM, Subject, TrustAnchor,
    extensions,
};
use crate::keys::{PublicPoint, Signer, signature_to_der};
use crate::time::to_date_time;

/// How many authorities may stand between the root and a party: the issuing one.
const ROOT_PATH_LENGTH: u8 = 1;

/// The serial number of a certificate: 16 bytes, of which 126 bits are the caller's random ones.
///
/// Spec: RFC 5280, section 4.1.2.2 (positive, at most 20 bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SerialNumber([u8; 16]);

impl SerialNumber {
    /// Makes the number from random bytes; the two upper bits become 01, so that it is positive
    /// and always of one length.
    #[must_use]
    pub const fn from_random(random: [u8; 16]) -> Self {
        let upper = 0x4000_0000_0000_0000_0000_0000_0000_0000;
        let lower = 0x3fff_ffff_ffff_ffff_ffff_ffff_ffff_ffff;
        Self((u128::from_be_bytes(random) & lower | upper).to_be_bytes())
    }

    /// Returns the bytes in big-endian order.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// What the trust centre certifies about one key of a party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateContent {
    /// Whose key it is.
    pub subject: Subject,
    /// Which of the party's keys it is.
    pub slot: KeySlot,
    /// The key.
    pub public_key: PublicPoint,
    /// The number of the certificate, unique for the trust centre.
    pub serial_number: SerialNumber,
    /// From when until when the certificate is to hold.
    pub validity: Period,
}

/// Issues a certificate with the root's key.
///
/// # Errors
///
/// As [`issue_under`].
pub fn issue<S: Signer>(
    content: &CertificateContent,
    anchor: &TrustAnchor,
    signer: S,
) -> Result<Certificate, IssueError<S::Error>> {
    issue_under(content, anchor.certificate(), signer)
}

/// Issues a certificate with the key of the root or of an issuing authority.
///
/// # Errors
///
/// [`IssueError`] if the key does not sign, is not that of the issuer's certificate, or the content
/// cannot be certified.
pub fn issue_under<S: Signer>(
    content: &CertificateContent,
    issuer: &Certificate,
    signer: S,
) -> Result<Certificate, IssueError<S::Error>> {
    match content.subject.role() {
        Role::TrustCenter | Role::IssuingAuthority | Role::Broker => return Err(IssueError::Role),
        Role::Tsm | Role::Supplier | Role::Card | Role::Facility => {}
    }
    let mut extensions = extensions::for_slot(content.slot)?;
    if let Some(card_id) = content.subject.card_id() {
        extensions.push(extensions::card_address(card_id)?);
    }
    let key = Key {
        public_key: &content.public_key,
        serial_number: content.serial_number,
        validity: content.validity,
    };
    draft(&content.subject, key, issuer, extensions)?.sign(signer)
}

/// A key that is to be certified, under which number, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// The key.
    pub public_key: &'a PublicPoint,
    /// The number of the certificate, unique for its issuer.
    pub serial_number: SerialNumber,
    /// From when until when the certificate is to hold.
    pub validity: Period,
}

/// Issues the certificate of an issuing authority with the root's key. It may have no authority below it.
///
/// # Errors
///
/// As [`issue_under`].
pub fn issue_authority<S: Signer>(
    name: PartyName,
    key: Key<'_>,
    anchor: &TrustAnchor,
    signer: S,
) -> Result<Certificate, IssueError<S::Error>> {
    let subject = Subject::party(name, Role::IssuingAuthority).map_err(CertificateError::Subject)?;
    draft(&subject, key, anchor.certificate(), extensions::authority(0)?)?.sign(signer)
}

/// Issues the certificate of a broker, a server that is reached by its DNS names. Its name is the first of them, as far
/// as it fits.
///
/// # Errors
///
/// As [`issue_under`], and [`IssueError::Role`] without a name.
pub fn issue_broker<S: Signer>(
    names: &[DnsName],
    key: Key<'_>,
    issuer: &Certificate,
    signer: S,
) -> Result<Certificate, IssueError<S::Error>> {
    let first = names.first().ok_or(IssueError::Role)?.as_str();
    let name = first.chars().take(PartyName::MAX_LENGTH).collect::<String>();
    let subject = PartyName::try_from(name).and_then(|name| Subject::party(name, Role::Broker));
    let subject = subject.map_err(CertificateError::Subject)?;
    draft(&subject, key, issuer, extensions::server(names)?)?.sign(signer)
}

fn draft<'a>(
    subject: &Subject,
    key: Key<'a>,
    issuer: &'a Certificate,
    mut own: Vec<Extension>,
) -> Result<Draft<'a>, CertificateError> {
    let malformed = CertificateError::Malformed;
    let identifiers = extensions::key_identifiers(key.public_key, issuer.key_identifier());
    let mut extensions = identifiers.map_err(malformed)?;
    extensions.append(&mut own);
    Ok(Draft {
        profile: Profile {
            subject: subject.to_name().map_err(malformed)?,
            issuer: issuer.tbs().subject().clone(),
            extensions,
        },
        public_key: key.public_key,
        serial_number: key.serial_number,
        validity: key.validity,
        issuer_key: issuer.public_key(),
    })
}

/// Issues the trust centre's self-signed root certificate.
///
/// # Errors
///
/// [`IssueError`] if the key does not sign or is not `public_key`.
pub fn issue_root<S: Signer>(
    name: PartyName,
    public_key: &PublicPoint,
    serial_number: SerialNumber,
    validity: Period,
    signer: S,
) -> Result<TrustAnchor, IssueError<S::Error>> {
    let subject = Subject::party(name, Role::TrustCenter).map_err(CertificateError::Subject)?;
    let subject = subject.to_name()?;
    let mut extensions = extensions::key_identifiers(public_key, &public_key.key_identifier())?;
    extensions.extend(extensions::authority(ROOT_PATH_LENGTH)?);
    let draft = Draft {
        profile: Profile {
            issuer: subject.clone(),
            subject,
            extensions,
        },
        public_key,
        serial_number,
        validity,
        issuer_key: public_key,
    };
    Ok(TrustAnchor::new(draft.sign(signer)?)?)
}

/// A certificate that is not signed yet.
pub(super) struct Draft<'a> {
    pub(super) profile: Profile,
    pub(super) public_key: &'a PublicPoint,
    pub(super) serial_number: SerialNumber,
    pub(super) validity: Period,
    pub(super) issuer_key: &'a PublicPoint,
}

impl Draft<'_> {
    pub(super) fn sign<S: Signer>(self, mut signer: S) -> Result<Certificate, IssueError<S::Error>> {
        let last = self
            .validity
            .to()
            .saturating_sub(Span::from_seconds(1).unwrap_or(Span::DAY));
        let validity = Validity::new(
            Time::from(to_date_time(self.validity.from()).ok_or(CertificateError::Validity)?),
            Time::from(to_date_time(last).ok_or(CertificateError::Validity)?),
        );
        let serial_number = x509_cert::serial_number::SerialNumber::new(self.serial_number.as_bytes())?;
        let public_key = SubjectPublicKeyInfoOwned::from_der(&self.public_key.to_spki())?;
        let mut builder = CertificateBuilder::new(self.profile, serial_number, validity, public_key)
            .map_err(IssueError::Builder)?;
        let issuer = IssuerKey::new(self.issuer_key)?;
        let to_be_signed = builder.finalize(&issuer).map_err(IssueError::Builder)?;
        let signature = sign_bytes(&to_be_signed, self.issuer_key, &mut signer)?;
        let certificate = builder
            .assemble(BitString::from_bytes(&signature)?, &issuer)
            .map_err(IssueError::Builder)?;
        Ok(Certificate::from_der(&der::Encode::to_der(&certificate)?)?)
    }
}

/// Signs the SHA-256 digest of the bytes and checks that the expected key has done it.
pub(super) fn sign_bytes<S: Signer>(
    bytes: &[u8],
    expected: &PublicPoint,
    signer: &mut S,
) -> Result<Vec<u8>, IssueError<S::Error>> {
    let digest = Sha256::digest(bytes).into();
    let signature = signer.sign_digest(&digest).map_err(IssueError::Signer)?;
    if !expected.verifies(&digest, &signature) {
        return Err(IssueError::WrongKey);
    }
    signature_to_der(&signature).ok_or(IssueError::WrongKey)
}

/// The names and extensions of a certificate.
pub(super) struct Profile {
    pub(super) subject: Name,
    pub(super) issuer: Name,
    pub(super) extensions: Vec<Extension>,
}

impl BuilderProfile for Profile {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        _key: SubjectPublicKeyInfoRef<'_>,
        _issuer_key: SubjectPublicKeyInfoRef<'_>,
        _certificate: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        Ok(self.extensions.clone())
    }
}

/// Tells the builder which key will sign; the signature itself comes from elsewhere.
struct IssuerKey(VerifyingKey);

impl IssuerKey {
    fn new(key: &PublicPoint) -> Result<Self, CertificateError> {
        VerifyingKey::from_sec1_bytes(key.as_sec1())
            .map(Self)
            .map_err(|_| CertificateError::BadSignature)
    }
}

impl Keypair for IssuerKey {
    type VerifyingKey = VerifyingKey;

    fn verifying_key(&self) -> VerifyingKey {
        self.0
    }
}

impl DynSignatureAlgorithmIdentifier for IssuerKey {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        Ok(signature_algorithm())
    }
}

pub(crate) const fn signature_algorithm() -> AlgorithmIdentifierOwned {
    const OID: ObjectIdentifier = SIGNATURE_ALGORITHM;
    AlgorithmIdentifierOwned {
        oid: OID,
        parameters: None,
    }
}

/// The reason why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError<E: std::error::Error + 'static> {
    /// The key did not sign.
    #[error("the key that issues did not sign")]
    Signer(#[source] E),
    /// The signature is not that of the expected key.
    #[error("the key that signed is another one than expected")]
    WrongKey,
    /// A certificate of another kind was asked for than parties of this role have.
    #[error("parties of this role have certificates of another kind")]
    Role,
    /// What was to be certified does not make a good certificate.
    #[error("what was to be certified does not make a good certificate")]
    Content(#[from] CertificateError),
    /// The certificate could not be put together.
    #[error("the certificate could not be put together")]
    Builder(#[source] x509_cert::builder::Error),
    /// The certificate could not be encoded.
    #[error("the certificate could not be encoded")]
    Encoding(#[from] der::Error),
}
