//! Messages whose structure is not what it has to be.

use super::*;
use crate::certificate::Triple;

#[test]
fn malformed_parts_are_named() {
    let malformed = |message: &[u8], expected: Part| match refused(message) {
        Error::Malformed { part, .. } => assert_eq!(part, expected),
        other => panic!("{other:?}"),
    };
    malformed(b"{\"hello\":\"gateway\"}", Part::ContentInfo);
    let outer = ContentInfo {
        content_type: ID_SIGNED_DATA,
        content: Any::null(),
    };
    malformed(&outer.to_der().unwrap(), Part::SignedData);
    malformed(
        &with_signed(|signed| signed.encap_content_info.econtent = Some(Any::null())),
        Part::SignedData,
    );
    malformed(
        &with_attributes(|attributes| {
            let digest = attributes
                .iter_mut()
                .find(|a| a.oid == ID_MESSAGE_DIGEST)
                .unwrap();
            digest.values = SetOfVec::try_from(vec![Any::null()]).unwrap();
        }),
        Part::SignedAttribute,
    );
    malformed(&signed(b"hello".to_vec()), Part::AuthEnvelopedData);
    malformed(
        &with_recipient(|info| info.key_enc_alg.parameters = Some(Any::null())),
        Part::RecipientInfo,
    );
}

/// Swaps two attributes that follow each other.
fn swapped(bytes: &[u8], first: &Attribute, second: &Attribute) -> Vec<u8> {
    let (first, second) = (first.to_der().unwrap(), second.to_der().unwrap());
    let sorted = [first.clone(), second.clone()].concat();
    let place = bytes
        .windows(sorted.len())
        .position(|window| window == sorted)
        .unwrap();
    let mut bytes = bytes.to_vec();
    bytes[place..][..sorted.len()].copy_from_slice(&[second, first].concat());
    bytes
}

#[test]
fn encodings_that_are_not_distinguished_are_refused() {
    assert_eq!(with_signed(|_| {}), message());
    let signed_part = Part::SignedData;
    let outer = ContentInfo::from_der(&message()).unwrap();
    let parsed: SignedData = outer.content.decode_as().unwrap();
    let attributes = parsed.signer_infos.0.as_slice()[0].signed_attrs.clone();
    let [first, second, _] = attributes.unwrap().into_vec().try_into().unwrap();
    assert_eq!(
        refused(&swapped(&message(), &first, &second)),
        Error::NotCanonical { part: signed_part }
    );
    let both = SetOfVec::try_from(vec![first.clone(), second.clone()]).unwrap();
    let mut parsed = enveloped();
    parsed.unauth_attrs = Some(both);
    let unsorted = swapped(&in_content_info(&parsed), &first, &second);
    assert_eq!(
        refused(&signed(unsorted)),
        Error::NotCanonical {
            part: Part::AuthEnvelopedData
        }
    );
}

#[test]
fn absent_and_surplus_fields_are_refused() {
    let fields = |message: Vec<u8>, part: Part| assert_eq!(refused(&message), Error::Fields { part });
    fields(
        with_signed(|signed| signed.encap_content_info.econtent = None),
        Part::SignedData,
    );
    fields(with_signed(|signed| signed.certificates = None), Part::SignedData);
    fields(
        with_signed(|signed| signed.digest_algorithms = SetOfVec::new()),
        Part::SignedData,
    );
    fields(
        with_signed(|signed| {
            signed.crls = Some(cms::revocation::RevocationInfoChoices(SetOfVec::new()));
        }),
        Part::SignedData,
    );
    fields(
        with_signed(|signed| signed.signer_infos = SignerInfos(SetOfVec::new())),
        Part::SignerInfo,
    );
    fields(
        with_signer(|signer| signer.unsigned_attrs = signer.signed_attrs.clone()),
        Part::SignerInfo,
    );
    fields(with_signer(|signer| signer.signed_attrs = None), Part::SignerInfo);
    fields(
        with_attributes(|attributes| attributes.retain(|a| a.oid != ID_SIGNING_TIME)),
        Part::SignedAttribute,
    );
    fields(
        with_enveloped(|enveloped| {
            enveloped.auth_encrypted_content_info.encrypted_content = None;
        }),
        Part::AuthEnvelopedData,
    );
    fields(
        with_enveloped(|enveloped| enveloped.unauth_attrs = Some(SetOfVec::new())),
        Part::AuthEnvelopedData,
    );
    fields(
        with_recipient(|info| info.ukm = Some(UserKeyingMaterial::new([1; 8]).unwrap())),
        Part::RecipientInfo,
    );
}

#[test]
fn other_versions_are_refused() {
    let version = |message: Vec<u8>, part: Part| assert_eq!(refused(&message), Error::Version { part });
    version(
        with_signed(|signed| signed.version = CmsVersion::V1),
        Part::SignedData,
    );
    version(
        with_signer(|signer| signer.version = CmsVersion::V1),
        Part::SignerInfo,
    );
    version(
        with_enveloped(|enveloped| enveloped.version = CmsVersion::V2),
        Part::AuthEnvelopedData,
    );
    version(
        with_recipient(|info| info.version = CmsVersion::V2),
        Part::RecipientInfo,
    );
}

#[test]
fn more_than_one_of_anything_is_refused() {
    let many = |message: Vec<u8>, part: Part, found: usize, limit: usize| {
        assert_eq!(refused(&message), Error::TooMany { part, found, limit });
    };
    many(
        with_signed(|signed| {
            let first = signed.signer_infos.0.as_slice()[0].clone();
            let second = SignerInfo {
                signature: OctetString::new([1]).unwrap(),
                ..first.clone()
            };
            signed.signer_infos = SignerInfos::try_from(vec![first, second]).unwrap();
        }),
        Part::SignerInfo,
        2,
        MAX_SIGNERS,
    );
    many(
        with_signed(|signed| {
            let Triple { sig, enc, tls } = &WORLD.supplier.triple;
            let all = [sig, enc, tls].map(|one| CertificateChoices::Certificate(one.parsed().clone()));
            signed.certificates = Some(CertificateSet::try_from(all.to_vec()).unwrap());
        }),
        Part::Certificate,
        3,
        MAX_CERTIFICATES,
    );
    many(
        with_attributes(|attributes| {
            for number in 0..6 {
                let oid = ObjectIdentifier::from_arcs([1, 3, 6, 1, 4, 1, 32_473, number]).unwrap();
                attributes.push(Attribute {
                    oid,
                    values: SetOfVec::new(),
                });
            }
        }),
        Part::SignedAttribute,
        9,
        MAX_ATTRIBUTES,
    );
    many(
        with_enveloped(|enveloped| {
            let first = enveloped.recip_infos.0.as_slice()[0].clone();
            let mut second = first.clone();
            if let RecipientInfo::Kari(info) = &mut second {
                info.version = CmsVersion::V4;
            }
            enveloped.recip_infos = RecipientInfos::try_from(vec![first, second]).unwrap();
        }),
        Part::RecipientInfo,
        2,
        MAX_RECIPIENTS,
    );
    many(
        with_recipient(|info| info.recipient_enc_keys.push(info.recipient_enc_keys[0].clone())),
        Part::RecipientInfo,
        2,
        MAX_RECIPIENTS,
    );
}

#[test]
fn message_without_its_senders_certificate_is_refused() {
    let message = with_signed(|signed| {
        let other = WORLD.supplier.triple.enc.parsed().clone();
        let set = CertificateSet::try_from(vec![CertificateChoices::Certificate(other)]);
        signed.certificates = Some(set.unwrap());
    });
    assert_eq!(refused(&message), Error::SenderMissing);
}

#[test]
fn other_algorithms_are_refused() {
    let unsupported = |message: Vec<u8>, oid: ObjectIdentifier| {
        assert_eq!(refused(&message), Error::UnsupportedAlgorithm { oid });
    };
    let other = ID_AES_256_WRAP;
    let outer = ContentInfo {
        content_type: ID_DATA,
        content: Any::null(),
    };
    unsupported(outer.to_der().unwrap(), ID_DATA);
    unsupported(
        with_signed(|signed| signed.encap_content_info.econtent_type = ID_DATA),
        ID_DATA,
    );
    let inner = ContentInfo {
        content_type: ID_DATA,
        content: Any::null(),
    };
    unsupported(signed(inner.to_der().unwrap()), ID_DATA);
    unsupported(with_signer(|signer| signer.digest_alg.oid = other), other);
    unsupported(
        with_signer(|signer| signer.signature_algorithm.oid = other),
        other,
    );
    unsupported(with_recipient(|info| info.key_enc_alg.oid = other), other);
    unsupported(
        with_recipient(|info| {
            let wrap = algorithm(other, None);
            info.key_enc_alg.parameters = Some(Any::encode_from(&wrap).unwrap());
        }),
        other,
    );
    unsupported(
        with_enveloped(|enveloped| enveloped.auth_encrypted_content_info.content_enc_alg.oid = other),
        other,
    );
    unsupported(
        with_enveloped(|enveloped| enveloped.auth_encrypted_content_info.content_type = other),
        other,
    );
}

#[test]
fn other_parameters_are_refused() {
    let unsupported = |message: Vec<u8>, oid: ObjectIdentifier| {
        assert_eq!(refused(&message), Error::UnsupportedParameters { oid });
    };
    let suite = Suite::P256;
    let null = || Some(Any::null());
    unsupported(
        with_signer(|signer| signer.digest_alg.parameters = null()),
        suite.digest,
    );
    unsupported(
        with_signer(|signer| signer.signature_algorithm.parameters = null()),
        suite.signature,
    );
    unsupported(
        with_recipient(|info| info.key_enc_alg.parameters = None),
        suite.key_agreement,
    );
    unsupported(
        with_recipient(|info| {
            let wrap = algorithm(suite.key_wrap, null());
            info.key_enc_alg.parameters = Some(Any::encode_from(&wrap).unwrap());
        }),
        suite.key_wrap,
    );
    unsupported(
        with_enveloped(|enveloped| {
            let info = &mut enveloped.auth_encrypted_content_info;
            info.content_enc_alg.parameters = None;
        }),
        suite.content_encryption,
    );
    unsupported(
        with_enveloped(|enveloped| enveloped.mac = OctetString::new([0; 12]).unwrap()),
        suite.content_encryption,
    );
}
