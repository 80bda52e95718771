//! AuthEnvelopedData: the content, encrypted for one recipient.

use cms::authenveloped_data::AuthEnvelopedData;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::enveloped_data::{
    EncryptedContentInfo, KeyAgreeRecipientIdentifier, KeyAgreeRecipientInfo, OriginatorIdentifierOrKey,
    OriginatorPublicKey, RecipientEncryptedKey, RecipientInfo, RecipientInfos, RecipientKeyIdentifier,
};
use const_oid::db::rfc5911::{ID_CT_AUTH_ENVELOPED_DATA, ID_DATA};
use const_oid::db::rfc5912::ID_EC_PUBLIC_KEY;
use der::asn1::{Any, BitString, ObjectIdentifier, OctetString};
use der::{Decode, Encode};
use spki::AlgorithmIdentifierOwned;
use x509_cert::ext::pkix::SubjectKeyIdentifier;
use zeroize::Zeroizing;

use crate::certificate::Certificate;
use crate::envelope::frame::{ENCRYPTED_CONTENT, fill, take_out};
use crate::envelope::suite::{GcmParameters, Suite, TAG_LENGTH, decrypt_in_place, encrypt_in_place};
use crate::envelope::{EnvelopeRandom, MAX_FRAME, MAX_RECIPIENTS, OpenError, Part, SealError, check_frame};
use crate::keys::{Curve, KeyAgreement, PublicPoint, SharedSecret};

/// Encrypts the content; returns the AuthEnvelopedData inside its ContentInfo, in DER.
pub(super) fn encrypt<E: std::error::Error>(
    content: &[u8],
    recipient: &Certificate,
    ephemeral: &PublicPoint,
    secret: &SharedSecret,
    random: &EnvelopeRandom,
) -> Result<Vec<u8>, SealError<E>> {
    let suite = Suite::of(recipient.public_key().curve());
    let wrapped = suite.key_encryption_key(secret)?.wrap(&random.content_key);
    // With room for what goes around it, here and in the SignedData.
    let mut encrypted = Vec::with_capacity(content.len().saturating_add(MAX_FRAME));
    encrypted.extend_from_slice(content);
    let tag =
        encrypt_in_place(&random.content_key, &random.nonce, &mut encrypted).ok_or(SealError::Encryption)?;
    let parameters = GcmParameters {
        nonce: OctetString::new(random.nonce)?,
        tag_length: TAG_LENGTH,
    };
    let recipient = recipient_info(&suite, recipient, ephemeral, &wrapped)?;
    let enveloped = AuthEnvelopedData {
        version: CmsVersion::V0,
        originator_info: None,
        recip_infos: RecipientInfos::try_from(vec![RecipientInfo::Kari(recipient)])?,
        auth_encrypted_content_info: EncryptedContentInfo {
            content_type: ID_DATA,
            content_enc_alg: AlgorithmIdentifierOwned {
                oid: suite.content_encryption,
                parameters: Some(Any::encode_from(&parameters)?),
            },
            encrypted_content: Some(OctetString::new([])?),
        },
        auth_attrs: None,
        mac: OctetString::new(tag)?,
        unauth_attrs: None,
    };
    let content_info = ContentInfo {
        content_type: ID_CT_AUTH_ENVELOPED_DATA,
        content: Any::encode_from(&enveloped)?,
    };
    Ok(fill(&content_info.to_der()?, &ENCRYPTED_CONTENT, encrypted)?)
}

fn recipient_info<E: std::error::Error>(
    suite: &Suite,
    recipient: &Certificate,
    ephemeral: &PublicPoint,
    wrapped: &[u8],
) -> Result<KeyAgreeRecipientInfo, SealError<E>> {
    let rid = KeyAgreeRecipientIdentifier::RKeyId(RecipientKeyIdentifier {
        subject_key_identifier: SubjectKeyIdentifier(OctetString::new(recipient.key_identifier())?),
        date: None,
        other: None,
    });
    Ok(KeyAgreeRecipientInfo {
        version: CmsVersion::V3,
        originator: OriginatorIdentifierOrKey::OriginatorKey(OriginatorPublicKey {
            algorithm: AlgorithmIdentifierOwned {
                oid: ID_EC_PUBLIC_KEY,
                parameters: None,
            },
            public_key: BitString::from_bytes(ephemeral.as_sec1())?,
        }),
        ukm: None,
        key_enc_alg: AlgorithmIdentifierOwned {
            oid: suite.key_agreement,
            parameters: Some(Any::encode_from(&suite.key_wrap_algorithm())?),
        },
        recipient_enc_keys: vec![RecipientEncryptedKey {
            rid,
            enc_key: OctetString::new(wrapped)?,
        }],
    })
}

/// Decrypts an AuthEnvelopedData inside its ContentInfo, in DER.
pub(super) fn decrypt<A: KeyAgreement>(
    bytes: &[u8],
    recipient: &Certificate,
    mut agreement: A,
) -> Result<Zeroizing<Vec<u8>>, OpenError<A::Error>> {
    let part = Part::AuthEnvelopedData;
    let (bytes, encrypted) = take_out(bytes, &ENCRYPTED_CONTENT);
    let bytes = bytes.as_ref();
    check_frame(bytes)?;
    let outer = ContentInfo::from_der(bytes).map_err(OpenError::malformed(part))?;
    if outer.content_type != ID_CT_AUTH_ENVELOPED_DATA {
        return Err(OpenError::UnsupportedAlgorithm {
            oid: outer.content_type,
        });
    }
    let enveloped: AuthEnvelopedData = outer.content.decode_as().map_err(OpenError::malformed(part))?;
    let canonical = ContentInfo {
        content_type: ID_CT_AUTH_ENVELOPED_DATA,
        content: Any::encode_from(&enveloped).map_err(OpenError::malformed(part))?,
    };
    if canonical.to_der().map_err(OpenError::malformed(part))? != bytes {
        return Err(OpenError::NotCanonical { part });
    }
    if enveloped.version != CmsVersion::V0 {
        return Err(OpenError::Version { part });
    }
    let plain = enveloped.originator_info.is_none()
        && enveloped.auth_attrs.is_none()
        && enveloped.unauth_attrs.is_none();
    if !plain {
        return Err(OpenError::Fields { part });
    }
    let info = only_recipient(enveloped.recip_infos)?;
    let (suite, peer, wrapped) = key_for(&info, recipient)?;
    let (nonce, tag) = encryption_parameters(
        &suite,
        &enveloped.auth_encrypted_content_info,
        enveloped.mac.as_bytes(),
    )?;
    let secret = agreement.agree(&peer).map_err(OpenError::KeyAgreement)?;
    let content_key = suite
        .key_encryption_key(&secret)
        .map_err(OpenError::malformed(Part::RecipientInfo))?
        .unwrap(wrapped)
        .ok_or(OpenError::ContentKey)?;
    let encrypted = encrypted.ok_or(OpenError::Fields { part })?;
    let mut content = Zeroizing::new(encrypted.to_vec());
    decrypt_in_place(&content_key, &nonce, &mut content, &tag).ok_or(OpenError::Authentication)?;
    Ok(content)
}

fn only_recipient<E: std::error::Error>(
    recipients: RecipientInfos,
) -> Result<KeyAgreeRecipientInfo, OpenError<E>> {
    let part = Part::RecipientInfo;
    let mut recipients = recipients.0.into_vec();
    if recipients.len() > MAX_RECIPIENTS {
        return Err(OpenError::TooMany {
            part,
            found: recipients.len(),
            limit: MAX_RECIPIENTS,
        });
    }
    match recipients.pop() {
        Some(RecipientInfo::Kari(info)) => Ok(info),
        _ => Err(OpenError::Fields { part }),
    }
}

/// Finds the suite, the sender's ephemeral point and the wrapped content key.
fn key_for<'a, E: std::error::Error>(
    info: &'a KeyAgreeRecipientInfo,
    recipient: &Certificate,
) -> Result<(Suite, PublicPoint, &'a [u8]), OpenError<E>> {
    let part = Part::RecipientInfo;
    if info.version != CmsVersion::V3 {
        return Err(OpenError::Version { part });
    }
    let [key] = info.recipient_enc_keys.as_slice() else {
        return Err(OpenError::TooMany {
            part,
            found: info.recipient_enc_keys.len(),
            limit: MAX_RECIPIENTS,
        });
    };
    if !names(&key.rid, recipient)? {
        return Err(OpenError::NotForThisRecipient);
    }
    let OriginatorIdentifierOrKey::OriginatorKey(originator) = &info.originator else {
        return Err(OpenError::Fields { part });
    };
    if info.ukm.is_some() {
        return Err(OpenError::Fields { part });
    }
    let oid = info.key_enc_alg.oid;
    let suite = Suite::with_key_agreement(oid)
        .filter(|suite| suite.curve == recipient.public_key().curve())
        .ok_or(OpenError::UnsupportedAlgorithm { oid })?;
    let wrap: AlgorithmIdentifierOwned = match &info.key_enc_alg.parameters {
        Some(parameters) => parameters.decode_as().map_err(OpenError::malformed(part))?,
        None => return Err(OpenError::UnsupportedParameters { oid }),
    };
    if wrap.oid != suite.key_wrap {
        return Err(OpenError::UnsupportedAlgorithm { oid: wrap.oid });
    }
    if wrap.parameters.is_some() {
        return Err(OpenError::UnsupportedParameters { oid: wrap.oid });
    }
    let peer = ephemeral_point(originator, suite.curve)?;
    Ok((suite, peer, key.enc_key.as_bytes()))
}

/// Returns whether the recipient is named, by its key identifier or by issuer and serial number.
fn names<E: std::error::Error>(
    rid: &KeyAgreeRecipientIdentifier,
    recipient: &Certificate,
) -> Result<bool, OpenError<E>> {
    match rid {
        KeyAgreeRecipientIdentifier::RKeyId(identifier) => {
            if identifier.date.is_some() || identifier.other.is_some() {
                return Err(OpenError::Fields {
                    part: Part::RecipientInfo,
                });
            }
            let named = identifier.subject_key_identifier.0.as_bytes();
            Ok(recipient.key_identifier() == named)
        }
        KeyAgreeRecipientIdentifier::IssuerAndSerialNumber(name) => {
            let tbs = recipient.tbs();
            Ok(name.issuer == *tbs.issuer() && name.serial_number == *tbs.serial_number())
        }
    }
}

/// Reads the ephemeral key, whose curve is the recipient's whether it is named or not.
fn ephemeral_point<E: std::error::Error>(
    originator: &OriginatorPublicKey,
    curve: Curve,
) -> Result<PublicPoint, OpenError<E>> {
    let oid = originator.algorithm.oid;
    if oid != ID_EC_PUBLIC_KEY {
        return Err(OpenError::UnsupportedAlgorithm { oid });
    }
    if let Some(parameters) = &originator.algorithm.parameters
        && parameters.decode_as::<ObjectIdentifier>() != Ok(curve.oid())
    {
        return Err(OpenError::UnsupportedParameters { oid });
    }
    let point = originator.public_key.as_bytes().unwrap_or_default();
    PublicPoint::from_sec1(point).map_err(|_| OpenError::EphemeralKey)
}

/// Reads the nonce and the tag, in the only lengths that are supported.
fn encryption_parameters<E: std::error::Error>(
    suite: &Suite,
    info: &EncryptedContentInfo,
    tag: &[u8],
) -> Result<([u8; 12], [u8; 16]), OpenError<E>> {
    if info.content_type != ID_DATA {
        return Err(OpenError::UnsupportedAlgorithm {
            oid: info.content_type,
        });
    }
    let oid = info.content_enc_alg.oid;
    if oid != suite.content_encryption {
        return Err(OpenError::UnsupportedAlgorithm { oid });
    }
    let unsupported = || OpenError::UnsupportedParameters { oid };
    let parameters = info.content_enc_alg.parameters.as_ref();
    let parameters: GcmParameters = parameters
        .ok_or_else(unsupported)?
        .decode_as()
        .map_err(OpenError::malformed(Part::AuthEnvelopedData))?;
    if parameters.tag_length != TAG_LENGTH {
        return Err(unsupported());
    }
    let nonce = parameters
        .nonce
        .as_bytes()
        .try_into()
        .map_err(|_| unsupported())?;
    let tag = tag.try_into().map_err(|_| unsupported())?;
    Ok((nonce, tag))
}
