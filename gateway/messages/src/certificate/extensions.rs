//! The extensions of certificates: made and read side by side.
//!
//! The key usage tells which of a party's three keys a certificate is for:
//!
//! | slot | key usage | extended key usage |
//! |---|---|---|
//! | sig | digitalSignature | none |
//! | enc | keyAgreement | none |
//! | tls | digitalSignature | serverAuth and clientAuth |
//!
//! An authority has keyCertSign and cRLSign, a broker digitalSignature and serverAuth alone.

use std::net::{IpAddr, Ipv6Addr};

use const_oid::db::rfc5280::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE,
    ID_CE_SUBJECT_ALT_NAME, ID_CE_SUBJECT_KEY_IDENTIFIER, ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH,
};
use const_oid::{AssociatedOid, ObjectIdentifier};
use der::asn1::{Ia5String, OctetString, Uint};
use der::flagset::FlagSet;
use der::{Decode, Encode};
use model::{CardId, KeySlot};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, CrlNumber, CrlReason, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectAltName, SubjectKeyIdentifier,
};

use crate::certificate::{CertificateError, DnsName};
use crate::keys::PublicPoint;

/// The extensions that this system understands; any other one must not be critical.
const KNOWN: [ObjectIdentifier; 6] = [
    ID_CE_AUTHORITY_KEY_IDENTIFIER,
    ID_CE_BASIC_CONSTRAINTS,
    ID_CE_EXT_KEY_USAGE,
    ID_CE_KEY_USAGE,
    ID_CE_SUBJECT_ALT_NAME,
    ID_CE_SUBJECT_KEY_IDENTIFIER,
];

/// Returns the slot that the extensions describe, or `None` if they describe none.
pub(crate) fn slot(extensions: &[Extension]) -> Result<Option<KeySlot>, CertificateError> {
    let Some(KeyUsage(usage)) = find::<KeyUsage>(extensions)? else {
        return Ok(None);
    };
    let extended = find::<ExtendedKeyUsage>(extensions)?.map(|ExtendedKeyUsage(purposes)| purposes);
    let found = KeySlot::ALL
        .into_iter()
        .find(|slot| usage == key_usage(*slot) && extended == extended_key_usage(*slot));
    Ok(found)
}

/// Returns the extensions that describe a slot.
pub(crate) fn for_slot(slot: KeySlot) -> der::Result<Vec<Extension>> {
    let mut extensions = vec![make(&KeyUsage(key_usage(slot)), true)?];
    if let Some(purposes) = extended_key_usage(slot) {
        extensions.push(make(&ExtendedKeyUsage(purposes), false)?);
    }
    Ok(extensions)
}

fn key_usage(slot: KeySlot) -> FlagSet<KeyUsages> {
    match slot {
        KeySlot::Sig | KeySlot::Tls => KeyUsages::DigitalSignature.into(),
        KeySlot::Enc => KeyUsages::KeyAgreement.into(),
    }
}

fn extended_key_usage(slot: KeySlot) -> Option<Vec<ObjectIdentifier>> {
    match slot {
        KeySlot::Sig | KeySlot::Enc => None,
        KeySlot::Tls => Some(vec![ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH]),
    }
}

/// Returns what an authority's certificate has in place of a slot: it may issue certificates and
/// revocation lists, and nothing else. The path length is the greatest number of authorities below it.
pub(crate) fn authority(path_length: u8) -> der::Result<Vec<Extension>> {
    let constraints = BasicConstraints {
        ca: true,
        path_len_constraint: Some(path_length),
    };
    Ok(vec![
        make(&constraints, true)?,
        make(&KeyUsage(authority_key_usage()), true)?,
    ])
}

/// Returns whether the extensions are those of an authority.
pub(crate) fn is_authority(extensions: &[Extension]) -> Result<bool, CertificateError> {
    let constraints = find::<BasicConstraints>(extensions)?;
    let usage = find::<KeyUsage>(extensions)?;
    Ok(constraints.is_some_and(|constraints| constraints.ca)
        && usage.is_some_and(|KeyUsage(usage)| usage == authority_key_usage()))
}

/// Returns whether the extensions are those of an authority that may have no authority below it.
pub(crate) fn is_last_authority(extensions: &[Extension]) -> Result<bool, CertificateError> {
    let constraints = find::<BasicConstraints>(extensions)?;
    let last = constraints.is_some_and(|constraints| constraints.path_len_constraint == Some(0));
    Ok(last && is_authority(extensions)?)
}

/// Returns what the certificate of a server has that is reached by its DNS names: it proves itself to its clients, and
/// nothing else.
pub(crate) fn server(names: &[DnsName]) -> der::Result<Vec<Extension>> {
    let mut alternatives = Vec::with_capacity(names.len());
    for name in names {
        alternatives.push(GeneralName::DnsName(Ia5String::new(name.as_str())?));
    }
    Ok(vec![
        make(&KeyUsage(KeyUsages::DigitalSignature.into()), true)?,
        make(&ExtendedKeyUsage(vec![ID_KP_SERVER_AUTH]), false)?,
        make(&SubjectAltName(alternatives), false)?,
    ])
}

/// Returns the extensions of a list of revoked certificates: its number, and whose key signs it.
pub(crate) fn of_list(number: u64, issuer: &[u8]) -> der::Result<Vec<Extension>> {
    let issuer = AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(issuer)?),
        ..AuthorityKeyIdentifier::default()
    };
    let number = CrlNumber(Uint::new(&number.to_be_bytes())?);
    Ok(vec![make(&issuer, false)?, make(&number, false)?])
}

/// Returns the number of a list of revoked certificates, if the extensions state one of at most 8 bytes.
pub(crate) fn list_number(extensions: &[Extension]) -> Result<Option<u64>, CertificateError> {
    let found = find::<CrlNumber>(extensions)?;
    Ok(found.and_then(|CrlNumber(number)| {
        let bytes = number.as_bytes();
        let mut padded = [0; 8];
        let place = padded.get_mut(8_usize.checked_sub(bytes.len())?..)?;
        place.copy_from_slice(bytes);
        Some(u64::from_be_bytes(padded))
    }))
}

/// Returns the extension that says why a certificate was revoked.
pub(crate) fn reason(reason: CrlReason) -> der::Result<Extension> {
    make(&reason, false)
}

/// Returns why a certificate was revoked, if the extensions say so.
pub(crate) fn stated_reason(extensions: &[Extension]) -> Result<Option<CrlReason>, CertificateError> {
    find(extensions)
}

/// Returns the first extension that is critical.
pub(crate) fn has_critical(extensions: &[Extension]) -> Option<ObjectIdentifier> {
    let critical = extensions.iter().find(|extension| extension.critical);
    critical.map(|extension| extension.extn_id)
}

/// Returns whether the extensions claim the right to issue certificates, in whatever way.
pub(crate) fn claims_authority(extensions: &[Extension]) -> Result<bool, CertificateError> {
    let constraints = find::<BasicConstraints>(extensions)?;
    let usage = find::<KeyUsage>(extensions)?;
    Ok(constraints.is_some_and(|constraints| constraints.ca)
        || usage.is_some_and(|usage| usage.key_cert_sign()))
}

fn authority_key_usage() -> FlagSet<KeyUsages> {
    KeyUsages::KeyCertSign | KeyUsages::CRLSign
}

/// Returns the extensions that name the subject's and the issuer's key.
pub(crate) fn key_identifiers(subject: &PublicPoint, issuer: &[u8]) -> der::Result<Vec<Extension>> {
    let subject = SubjectKeyIdentifier(OctetString::new(subject.key_identifier())?);
    let issuer = AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(issuer)?),
        ..AuthorityKeyIdentifier::default()
    };
    Ok(vec![make(&subject, false)?, make(&issuer, false)?])
}

/// Returns the identifier of the subject's key, if the extensions state it.
pub(crate) fn subject_key_identifier(extensions: &[Extension]) -> Result<Option<Vec<u8>>, CertificateError> {
    let found = find::<SubjectKeyIdentifier>(extensions)?;
    Ok(found.map(|SubjectKeyIdentifier(identifier)| identifier.as_bytes().to_vec()))
}

/// Returns the identifier of the issuer's key, if the extensions state it.
pub(crate) fn authority_key_identifier(
    extensions: &[Extension],
) -> Result<Option<Vec<u8>>, CertificateError> {
    let found = find::<AuthorityKeyIdentifier>(extensions)?;
    let identifier = found.and_then(|authority| authority.key_identifier);
    Ok(identifier.map(|identifier| identifier.as_bytes().to_vec()))
}

/// Returns the extension that carries a card's GUID as the address of its gateway.
pub(crate) fn card_address(card_id: CardId) -> der::Result<Extension> {
    let address = GeneralName::from(IpAddr::V6(card_id.address()));
    make(&SubjectAltName(vec![address]), false)
}

/// Returns the GUID that stands as the only address in the subject's alternative name.
///
/// Names of other kinds are not read.
pub(crate) fn card_id(extensions: &[Extension]) -> Result<Option<CardId>, CertificateError> {
    let Some(SubjectAltName(names)) = find::<SubjectAltName>(extensions)? else {
        return Ok(None);
    };
    let mut addresses = names.iter().filter_map(|name| match name {
        GeneralName::IpAddress(address) => <[u8; 16]>::try_from(address.as_bytes()).ok(),
        _ => None,
    });
    let first = addresses.next();
    let only = first.filter(|_| addresses.next().is_none());
    Ok(only.and_then(|bytes| CardId::try_from(Ipv6Addr::from(bytes)).ok()))
}

/// Refuses critical extensions that this system does not know.
pub(crate) fn check_critical(extensions: &[Extension]) -> Result<(), CertificateError> {
    let unknown = |extension: &&Extension| extension.critical && !KNOWN.contains(&extension.extn_id);
    match extensions.iter().find(unknown) {
        Some(extension) => Err(CertificateError::UnknownCriticalExtension {
            oid: extension.extn_id,
        }),
        None => Ok(()),
    }
}

fn make<T: AssociatedOid + Encode>(value: &T, critical: bool) -> der::Result<Extension> {
    Ok(Extension {
        extn_id: T::OID,
        critical,
        extn_value: OctetString::new(value.to_der()?)?,
    })
}

/// Finds and decodes an extension, which may stand once.
fn find<'a, T>(extensions: &'a [Extension]) -> Result<Option<T>, CertificateError>
where
    T: AssociatedOid + Decode<'a, Error = der::Error>,
{
    let mut found = extensions.iter().filter(|extension| extension.extn_id == T::OID);
    let Some(first) = found.next() else {
        return Ok(None);
    };
    if found.next().is_some() {
        return Err(CertificateError::RepeatedExtension { oid: T::OID });
    }
    T::from_der(first.extn_value.as_bytes())
        .map(Some)
        .map_err(CertificateError::Malformed)
}
