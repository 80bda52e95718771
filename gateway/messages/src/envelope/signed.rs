//! SignedData: the encrypted content, signed by its sender; or something else that is signed apart from it.

use cms::cert::CertificateChoices;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedAttributes, SignedData, SignerIdentifier, SignerInfo,
    SignerInfos,
};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911::{
    ID_CONTENT_TYPE, ID_CT_CONTENT_INFO, ID_DATA, ID_MESSAGE_DIGEST, ID_SIGNED_DATA, ID_SIGNING_TIME,
};
use der::asn1::{Any, AnyRef, OctetString, OctetStringRef, SetOfVec};
use der::{Decode, Encode, ErrorKind};
use model::{KeySlot, Timestamp};
use sha2::{Digest, Sha256};
use spki::AlgorithmIdentifierOwned;
use x509_cert::attr::Attribute;
use x509_cert::ext::pkix::SubjectKeyIdentifier;
use x509_cert::time::Time;

use crate::certificate::{Certificate, TrustAnchor, VerifiedCertificate};
use crate::envelope::frame::{E_CONTENT, SEQUENCE, fill, take_out};
use crate::envelope::{
    MAX_ATTRIBUTES, MAX_CERTIFICATES, MAX_SIGNERS, OpenError, Part, SealError, Suite, check_frame,
};
use crate::keys::{Signer, signature_from_der, signature_to_der};
use crate::time::{from_asn1, to_date_time};

/// Who signs, and when.
pub(super) struct Signing<'a, S> {
    pub(super) certificate: &'a Certificate,
    pub(super) issuing: Option<&'a Certificate>,
    pub(super) signer: S,
    pub(super) time: Timestamp,
}

/// Signs the AuthEnvelopedData; returns the message in DER.
pub(super) fn sign<S: Signer>(
    enveloped: Vec<u8>,
    signing: Signing<'_, S>,
) -> Result<Vec<u8>, SealError<S::Error>> {
    let content = EncapsulatedContentInfo {
        econtent_type: ID_CT_CONTENT_INFO,
        econtent: Some(Any::encode_from(&OctetString::new([])?)?),
    };
    let message = signed_data(content, &enveloped, signing)?;
    Ok(fill(&message, &E_CONTENT, enveloped)?)
}

/// Signs bytes that stay where they are; returns the signature in DER.
pub(super) fn sign_apart<S: Signer>(
    bytes: &[u8],
    signing: Signing<'_, S>,
) -> Result<Vec<u8>, SealError<S::Error>> {
    let content = EncapsulatedContentInfo {
        econtent_type: ID_DATA,
        econtent: None,
    };
    signed_data(content, bytes, signing)
}

/// Writes the SignedData over octets, with the content as it is given.
fn signed_data<S: Signer>(
    content: EncapsulatedContentInfo,
    octets: &[u8],
    signing: Signing<'_, S>,
) -> Result<Vec<u8>, SealError<S::Error>> {
    let Signing {
        certificate,
        issuing,
        mut signer,
        time,
    } = signing;
    let suite = Suite::of(certificate.public_key().curve());
    let time = to_date_time(time).ok_or(SealError::SigningTime)?;
    let attributes = SignedAttributes::try_from(vec![
        attribute(ID_CONTENT_TYPE, Any::from(content.econtent_type))?,
        attribute(ID_SIGNING_TIME, Any::from_der(&Time::from(time).to_der()?)?)?,
        attribute(
            ID_MESSAGE_DIGEST,
            Any::encode_from(&OctetString::new(Sha256::digest(octets).to_vec())?)?,
        )?,
    ])?;
    let digest = Sha256::digest(attributes.to_der()?).into();
    let signature = signer.sign_digest(&digest).map_err(SealError::Signature)?;
    if !certificate.public_key().verifies(&digest, &signature) {
        return Err(SealError::WrongKey);
    }
    let digest_algorithm = algorithm(suite.digest);
    let signer_info = SignerInfo {
        version: CmsVersion::V3,
        sid: SignerIdentifier::SubjectKeyIdentifier(SubjectKeyIdentifier(OctetString::new(
            certificate.key_identifier(),
        )?)),
        digest_alg: digest_algorithm.clone(),
        signed_attrs: Some(attributes),
        signature_algorithm: algorithm(suite.signature),
        signature: OctetString::new(signature_to_der(&signature).ok_or(SealError::WrongKey)?)?,
        unsigned_attrs: None,
    };
    let signed = SignedData {
        version: CmsVersion::V3,
        digest_algorithms: SetOfVec::try_from(vec![digest_algorithm])?,
        encap_content_info: content,
        certificates: Some(CertificateSet::try_from(
            std::iter::once(certificate)
                .chain(issuing)
                .map(|certificate| CertificateChoices::Certificate(certificate.parsed().clone()))
                .collect::<Vec<_>>(),
        )?),
        crls: None,
        signer_infos: SignerInfos::try_from(vec![signer_info])?,
    };
    let message = ContentInfo {
        content_type: ID_SIGNED_DATA,
        content: Any::encode_from(&signed)?,
    };
    Ok(message.to_der()?)
}

const fn algorithm(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid,
        parameters: None,
    }
}

fn attribute(oid: ObjectIdentifier, value: Any) -> der::Result<Attribute> {
    Ok(Attribute {
        oid,
        values: SetOfVec::try_from(vec![value])?,
    })
}

/// What a known sender has signed.
pub(super) struct Signed<'a> {
    pub(super) sender: VerifiedCertificate,
    pub(super) signing_time: Timestamp,
    /// The ContentInfo of the AuthEnvelopedData in DER.
    pub(super) content: &'a [u8],
}

/// Checks the signature of a message, and that the trust centre knows its sender.
pub(super) fn verify<'a, E: std::error::Error>(
    message: &'a [u8],
    anchor: &TrustAnchor,
    now: Timestamp,
) -> Result<Signed<'a>, OpenError<E>> {
    let (frame, octets) = take_out(message, &E_CONTENT);
    let signed = parse(&frame)?;
    let content_info = signed.encap_content_info;
    if content_info.econtent_type != ID_CT_CONTENT_INFO {
        return Err(OpenError::UnsupportedAlgorithm {
            oid: content_info.econtent_type,
        });
    }
    let fields = || OpenError::Fields {
        part: Part::SignedData,
    };
    let content = content_info.econtent.ok_or_else(fields)?;
    content
        .decode_as::<OctetString>()
        .map_err(OpenError::malformed(Part::SignedData))?;
    let content = octets.ok_or_else(fields)?;
    let certificates = signed.certificates.ok_or_else(fields)?;
    let certificates = all_certificates(certificates)?;
    let signer = (signed.signer_infos, &signed.digest_algorithms);
    let (sender, signing_time) = judge(signer, &certificates, (ID_CT_CONTENT_INFO, content), anchor, now)?;
    Ok(Signed {
        sender,
        signing_time,
        content,
    })
}

/// Checks a signature that stands apart from what it is made over, and that the trust centre knows who made it, perhaps by
/// an issuing authority that goes with it.
pub(super) fn verify_apart<E: std::error::Error>(
    signature: &[u8],
    bytes: &[u8],
    anchor: &TrustAnchor,
    now: Timestamp,
) -> Result<(VerifiedCertificate, Timestamp), OpenError<E>> {
    let signed = parse(signature)?;
    let content_info = signed.encap_content_info;
    if content_info.econtent_type != ID_DATA {
        return Err(OpenError::UnsupportedAlgorithm {
            oid: content_info.econtent_type,
        });
    }
    let fields = || OpenError::Fields {
        part: Part::SignedData,
    };
    if content_info.econtent.is_some() {
        return Err(fields());
    }
    let certificates = all_certificates(signed.certificates.ok_or_else(fields)?)?;
    let mut anchor = anchor.clone();
    for certificate in &certificates {
        // One that is no authority of this root is the signer's, or nobody's.
        if let Ok(known) = anchor.clone().with_issuing(certificate.clone()) {
            anchor = known;
        }
    }
    let signer = (signed.signer_infos, &signed.digest_algorithms);
    judge(signer, &certificates, (ID_DATA, bytes), &anchor, now)
}

/// Returns the certificate that a signature names as its signer's.
pub(super) fn claimed_signer(signature: &[u8]) -> Option<Certificate> {
    let signed = parse::<std::convert::Infallible>(signature).ok()?;
    let certificates = all_certificates::<std::convert::Infallible>(signed.certificates?).ok()?;
    let signer = only_signer::<std::convert::Infallible>(signed.signer_infos).ok()?;
    sender_certificate::<std::convert::Infallible>(&signer, &certificates)
        .ok()
        .cloned()
}

/// Checks the only signature over a content, and who made it.
fn judge<E: std::error::Error>(
    (signers, digests): (SignerInfos, &SetOfVec<AlgorithmIdentifierOwned>),
    certificates: &[Certificate],
    (content_type, content): (ObjectIdentifier, &[u8]),
    anchor: &TrustAnchor,
    now: Timestamp,
) -> Result<(VerifiedCertificate, Timestamp), OpenError<E>> {
    let signer = only_signer(signers)?;
    let suite = supported_algorithms(&signer, digests)?;
    let certificate = sender_certificate(&signer, certificates)?;
    let attributes = signer.signed_attrs.as_ref().ok_or(OpenError::Fields {
        part: Part::SignerInfo,
    })?;
    let signing_time = check_attributes(attributes, content_type, content)?;
    let sender = anchor.verify_any_role(certificate, now, KeySlot::Sig)?;
    let signed = attributes
        .to_der()
        .map_err(OpenError::malformed(Part::SignedAttribute))?;
    let key = certificate.public_key();
    let signature = signature_from_der(signer.signature.as_bytes());
    match signature {
        Some(signature)
            if key.curve() == suite.curve && key.verifies(&Sha256::digest(signed).into(), &signature) =>
        {
            Ok((sender, signing_time))
        }
        _ => Err(OpenError::BadSignature),
    }
}

/// Reads the SignedData of a message, by the distinguished rules only.
fn parse<E: std::error::Error>(message: &[u8]) -> Result<SignedData, OpenError<E>> {
    // A message that was cut off has no frame and may be long; this looks at its first header alone.
    if message.first().is_none_or(|first| *first == SEQUENCE)
        && let Err(source) = AnyRef::from_der(message)
        && let ErrorKind::Incomplete { .. } = source.kind()
    {
        return Err(OpenError::Truncated);
    }
    check_frame(message)?;
    let outer = ContentInfo::from_der(message).map_err(OpenError::malformed(Part::ContentInfo))?;
    if outer.content_type != ID_SIGNED_DATA {
        return Err(OpenError::UnsupportedAlgorithm {
            oid: outer.content_type,
        });
    }
    let part = Part::SignedData;
    let signed: SignedData = outer.content.decode_as().map_err(OpenError::malformed(part))?;
    let canonical = ContentInfo {
        content_type: ID_SIGNED_DATA,
        content: Any::encode_from(&signed).map_err(OpenError::malformed(part))?,
    };
    if canonical.to_der().map_err(OpenError::malformed(part))? != message {
        return Err(OpenError::NotCanonical { part });
    }
    if signed.version != required_version(&signed) {
        return Err(OpenError::Version { part });
    }
    if signed.crls.is_some() {
        return Err(OpenError::Fields { part });
    }
    Ok(signed)
}

/// Spec: RFC 5652, section 5.1: 1 if plain data is signed by whom issuer and serial number name, else 3.
fn required_version(signed: &SignedData) -> CmsVersion {
    let is_data = signed.encap_content_info.econtent_type == ID_DATA;
    let mut signers = signed.signer_infos.0.iter();
    if is_data && signers.all(|signer| signer.version == CmsVersion::V1) {
        CmsVersion::V1
    } else {
        CmsVersion::V3
    }
}

fn only_signer<E: std::error::Error>(signers: SignerInfos) -> Result<SignerInfo, OpenError<E>> {
    let part = Part::SignerInfo;
    let mut signers = signers.0.into_vec();
    if signers.len() > MAX_SIGNERS {
        return Err(OpenError::TooMany {
            part,
            found: signers.len(),
            limit: MAX_SIGNERS,
        });
    }
    let signer = signers.pop().ok_or(OpenError::Fields { part })?;
    if signer.unsigned_attrs.is_some() {
        return Err(OpenError::Fields { part });
    }
    Ok(signer)
}

fn supported_algorithms<E: std::error::Error>(
    signer: &SignerInfo,
    digests: &SetOfVec<AlgorithmIdentifierOwned>,
) -> Result<Suite, OpenError<E>> {
    let oid = signer.signature_algorithm.oid;
    let suite = Suite::ALL
        .into_iter()
        .find(|suite| suite.signature == oid)
        .ok_or(OpenError::UnsupportedAlgorithm { oid })?;
    if signer.signature_algorithm.parameters.is_some() {
        return Err(OpenError::UnsupportedParameters { oid });
    }
    for digest in digests.iter().chain([&signer.digest_alg]) {
        if digest.oid != suite.digest {
            return Err(OpenError::UnsupportedAlgorithm { oid: digest.oid });
        }
        if digest.parameters.is_some() {
            return Err(OpenError::UnsupportedParameters { oid: digest.oid });
        }
    }
    if digests.len() != MAX_SIGNERS {
        return Err(OpenError::Fields {
            part: Part::SignedData,
        });
    }
    Ok(suite)
}

/// Reads the certificates that go with a signature.
fn all_certificates<E: std::error::Error>(
    certificates: CertificateSet,
) -> Result<Vec<Certificate>, OpenError<E>> {
    if certificates.0.len() > MAX_CERTIFICATES {
        return Err(OpenError::TooMany {
            part: Part::Certificate,
            found: certificates.0.len(),
            limit: MAX_CERTIFICATES,
        });
    }
    let mut found = Vec::new();
    for choice in certificates.0.into_vec() {
        let CertificateChoices::Certificate(candidate) = choice else {
            continue;
        };
        let candidate = candidate
            .to_der()
            .map_err(OpenError::malformed(Part::Certificate))?;
        found.push(Certificate::from_der(&candidate)?);
    }
    Ok(found)
}

/// Finds the certificate that the signer names, by its key identifier or by issuer and serial
/// number.
fn sender_certificate<'a, E: std::error::Error>(
    signer: &SignerInfo,
    certificates: &'a [Certificate],
) -> Result<&'a Certificate, OpenError<E>> {
    let version = match &signer.sid {
        SignerIdentifier::IssuerAndSerialNumber(_) => CmsVersion::V1,
        SignerIdentifier::SubjectKeyIdentifier(_) => CmsVersion::V3,
    };
    if signer.version != version {
        return Err(OpenError::Version {
            part: Part::SignerInfo,
        });
    }
    let is_named = |candidate: &&Certificate| match &signer.sid {
        SignerIdentifier::IssuerAndSerialNumber(name) => {
            let tbs = candidate.tbs();
            name.issuer == *tbs.issuer() && name.serial_number == *tbs.serial_number()
        }
        SignerIdentifier::SubjectKeyIdentifier(SubjectKeyIdentifier(identifier)) => {
            candidate.key_identifier() == identifier.as_bytes()
        }
    };
    certificates.iter().find(is_named).ok_or(OpenError::SenderMissing)
}

/// Checks content type and digest; returns the signing time.
fn check_attributes<E: std::error::Error>(
    attributes: &SignedAttributes,
    expected: ObjectIdentifier,
    content: &[u8],
) -> Result<Timestamp, OpenError<E>> {
    let part = Part::SignedAttribute;
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(OpenError::TooMany {
            part,
            found: attributes.len(),
            limit: MAX_ATTRIBUTES,
        });
    }
    let content_type: ObjectIdentifier = only_value(attributes, ID_CONTENT_TYPE)?
        .decode_as()
        .map_err(OpenError::malformed(part))?;
    if content_type != expected {
        return Err(OpenError::UnsupportedAlgorithm { oid: content_type });
    }
    let time = only_value(attributes, ID_SIGNING_TIME)?
        .to_der()
        .and_then(|time| Time::from_der(&time))
        .map_err(OpenError::malformed(part))?;
    let signing_time = from_asn1(time).ok_or(OpenError::Fields { part })?;
    let digest: &OctetStringRef = only_value(attributes, ID_MESSAGE_DIGEST)?
        .decode_as()
        .map_err(OpenError::malformed(part))?;
    if digest.as_bytes() != Sha256::digest(content).as_slice() {
        return Err(OpenError::WrongDigest);
    }
    Ok(signing_time)
}

/// Returns the value of an attribute that must stand once and have one value.
fn only_value<E: std::error::Error>(
    attributes: &SignedAttributes,
    oid: ObjectIdentifier,
) -> Result<&Any, OpenError<E>> {
    let mut found = attributes.iter().filter(|attribute| attribute.oid == oid);
    match (
        found.next().map(|attribute| attribute.values.as_slice()),
        found.next(),
    ) {
        (Some([value]), None) => Ok(value),
        _ => Err(OpenError::Fields {
            part: Part::SignedAttribute,
        }),
    }
}
