use std::sync::LazyLock;

use const_oid::AssociatedOid;
use der::Encode;
use der::asn1::OctetString;
use model::{Period, Timestamp};
use proptest::prelude::*;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::KeyUsage;

use super::profile::{CertificateContent, Draft, IssueError, Profile, SerialNumber, issue};
use super::*;
use crate::keys::PointError;
use crate::software::SoftwareKey;
use crate::testing::{Authority, TestRandom, World, at, card_id, now, party, start, world};

mod chain;
mod request;

/// A certificate of the world's trust centre with other extensions or another validity.
fn unusual(world: &World, subject: &Subject, validity: Period, extensions: &[Extension]) -> Certificate {
    let root = world.authority.anchor.certificate();
    let key = world.supplier.keys.sig.public_point();
    let mut all = extensions::key_identifiers(key, root.key_identifier()).unwrap();
    all.extend_from_slice(extensions);
    let draft = Draft {
        profile: Profile {
            subject: subject.to_name().unwrap(),
            issuer: root.tbs().subject().clone(),
            extensions: all,
        },
        public_key: key,
        serial_number: SerialNumber::from_random([0xff; 16]),
        validity,
        issuer_key: root.public_key(),
    };
    draft.sign(&world.authority.key).unwrap()
}

/// One world for all cases of a property test.
static WORLD: LazyLock<World> = LazyLock::new(world);

fn supplier() -> Subject {
    party("Supplier", Role::Supplier)
}

fn validity() -> Period {
    crate::testing::validity()
}

fn verify(world: &World, certificate: &Certificate) -> Result<VerifiedCertificate, CertificateError> {
    world
        .authority
        .anchor
        .verify(certificate, now(), Role::Supplier, KeySlot::Sig)
}

/// Replaces every occurrence of some bytes by others of the same length.
fn patched(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> = (0..bytes.len())
        .filter(|place| bytes[*place..].starts_with(from))
        .collect();
    assert!(!places.is_empty());
    for place in places {
        bytes[place..][..to.len()].copy_from_slice(to);
    }
    bytes
}

#[test]
fn party_is_known_by_its_three_certificates() {
    let world = world();
    let card = &world.card.verified;
    assert_eq!(card.role, Role::Card);
    assert_eq!(card.card_id, Some(card_id()));
    assert_eq!(card.name.as_str(), card_id().to_string());
    assert_eq!(card.enc.slot(), KeySlot::Enc);
    assert_eq!(world.tsm.verified.name.as_str(), "Demo TSM");
    assert_eq!(world.supplier.verified.card_id, None);
    assert_eq!(world.authority.anchor.name().as_str(), "Demo trust centre");
}

#[test]
fn several_certificates_are_read_from_one_text() {
    let world = world();
    let anchor = world.authority.anchor.certificate().clone();
    let one = anchor.to_pem().unwrap();
    assert_eq!(Certificate::from_pem_chain(&one), Ok(vec![anchor.clone()]));
    let two = format!("{one}\n{one}\n");
    assert_eq!(
        Certificate::from_pem_chain(&two),
        Ok(vec![anchor.clone(), anchor])
    );
    for text in [
        "",
        "\n",
        &one.repeat(TrustAnchor::MAX_ISSUING + 1),
        &format!("{one}more"),
    ] {
        assert_eq!(Certificate::from_pem_chain(text), Err(CertificateError::Pem));
    }
}

#[test]
fn certificate_reads_back_from_pem_and_json() {
    let certificate = world().supplier.triple.tls;
    let pem = certificate.to_pem().unwrap();
    assert_eq!(Certificate::from_pem(&pem), Ok(certificate.clone()));
    let json = serde_json::to_string(&certificate).unwrap();
    assert_eq!(serde_json::from_str::<Certificate>(&json).unwrap(), certificate);
    assert!(serde_json::from_str::<Certificate>("\"AAAA\"").is_err());
    assert!(serde_json::from_str::<Certificate>("\"*\"").is_err());
    assert!(serde_json::from_str::<Certificate>(&format!("\"{}\"", "A".repeat(9_000))).is_err());
}

#[test]
fn bytes_that_are_no_certificate_are_refused() {
    let good = world().supplier.triple.sig.as_der().to_vec();
    assert_eq!(
        Certificate::from_der(&[0; 4_097]),
        Err(CertificateError::TooLarge { size: 4_097 })
    );
    assert_eq!(
        Certificate::from_pem(&" ".repeat(8_193)),
        Err(CertificateError::TooLarge { size: 8_193 })
    );
    assert_eq!(Certificate::from_pem("hello"), Err(CertificateError::Pem));
    let key = world().supplier.keys.sig.to_pkcs8_pem().unwrap();
    assert_eq!(Certificate::from_pem(&key), Err(CertificateError::Pem));
    for length in 0..good.len() {
        assert!(matches!(
            Certificate::from_der(&good[..length]),
            Err(CertificateError::Malformed(_))
        ));
    }
    let version_2 = patched(&good, &[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, 1]);
    assert_eq!(
        Certificate::from_der(&version_2),
        Err(CertificateError::NotVersion3)
    );
}

#[test]
fn time_in_the_wrong_form_is_not_canonical() {
    let world = world();
    let long = Period::new(start(), at("2055-01-01T00:00:01Z")).unwrap();
    let good = unusual(
        &world,
        &supplier(),
        long,
        &extensions::for_slot(KeySlot::Sig).unwrap(),
    );
    assert_eq!(good.validity(), Ok((start(), at("2055-01-01T00:00:00Z"))));
    let early = patched(good.as_der(), b"20550101000000Z", b"20450101000000Z");
    assert_eq!(Certificate::from_der(&early), Err(CertificateError::NotCanonical));
    let never = patched(good.as_der(), b"20550101000000Z", b"99991231235959Z");
    let never = Certificate::from_der(&never).unwrap();
    assert_eq!(never.validity(), Err(CertificateError::Validity));
}

#[test]
fn key_on_no_known_curve_is_refused() {
    let good = world().supplier.triple.sig;
    let p256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let other = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x06];
    assert!(matches!(
        Certificate::from_der(&patched(good.as_der(), &p256, &other)),
        Err(CertificateError::PublicKey(PointError::UnknownAlgorithm { .. }))
    ));
    let point = *good.public_key().as_sec1();
    let mut off_curve = point;
    off_curve[64] ^= 1;
    assert_eq!(
        Certificate::from_der(&patched(good.as_der(), &point, &off_curve)),
        Err(CertificateError::PublicKey(PointError::NotOnCurve))
    );
}

#[test]
fn foreign_and_forged_certificates_are_refused() {
    let world = world();
    let mut foreign = Authority::new(2, "Foreign trust centre");
    let mut impostor = Authority::new(3, "Demo trust centre");
    for authority in [&mut foreign, &mut impostor] {
        let stranger = authority.enroll(&supplier());
        assert_eq!(
            verify(&world, &stranger.triple.sig),
            Err(CertificateError::UnknownIssuer)
        );
    }
    let good = &world.supplier.triple.sig;
    let forged = patched(good.as_der(), b"Strom", b"Gross");
    assert_eq!(
        verify(&world, &Certificate::from_der(&forged).unwrap()),
        Err(CertificateError::BadSignature)
    );
    let sha256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let sha384 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
    let other = Certificate::from_der(&patched(good.as_der(), &sha256, &sha384)).unwrap();
    assert!(matches!(
        verify(&world, &other),
        Err(CertificateError::UnsupportedAlgorithm { .. })
    ));
}

#[test]
fn certificate_is_good_in_its_time_only() {
    let world = world();
    let judge = |certificate: &Certificate, time: &str| {
        let anchor = &world.authority.anchor;
        anchor
            .verify(certificate, at(time), Role::Supplier, KeySlot::Sig)
            .map(drop)
    };
    let period = Period::new(at("2026-03-01T00:00:00Z"), at("2026-04-01T00:00:00Z")).unwrap();
    let short = unusual(
        &world,
        &supplier(),
        period,
        &extensions::for_slot(KeySlot::Sig).unwrap(),
    );
    assert_eq!(judge(&short, "2026-03-01T00:00:00Z"), Ok(()));
    assert_eq!(judge(&short, "2026-03-31T23:59:59Z"), Ok(()));
    assert_eq!(
        judge(&short, "2026-02-28T23:59:59Z"),
        Err(CertificateError::NotYetValid {
            not_before: at("2026-03-01T00:00:00Z")
        })
    );
    assert_eq!(
        judge(&short, "2026-04-01T00:00:00Z"),
        Err(CertificateError::Expired {
            not_after: at("2026-03-31T23:59:59Z")
        })
    );
    assert_eq!(
        judge(&world.supplier.triple.sig, "2027-01-01T00:00:00Z"),
        Err(CertificateError::Authority(Box::new(CertificateError::Expired {
            not_after: at("2026-12-31T23:59:59Z")
        })))
    );
}

#[test]
fn certificate_is_good_for_its_role_and_slot_only() {
    let world = world();
    let anchor = &world.authority.anchor;
    assert_eq!(
        anchor.verify(&world.supplier.triple.sig, now(), Role::Tsm, KeySlot::Sig),
        Err(CertificateError::WrongRole {
            expected: Role::Tsm,
            found: Role::Supplier
        })
    );
    for expected in KeySlot::ALL {
        for (found, certificate) in [
            (KeySlot::Sig, &world.card.triple.sig),
            (KeySlot::Enc, &world.card.triple.enc),
            (KeySlot::Tls, &world.card.triple.tls),
        ] {
            let judged = anchor.verify(certificate, now(), Role::Card, expected).map(drop);
            if expected == found {
                assert_eq!(judged, Ok(()));
            } else {
                assert_eq!(judged, Err(CertificateError::WrongSlot { expected, found }));
            }
        }
    }
}

#[test]
fn unusual_extensions_are_refused() {
    let world = world();
    let judge =
        |extensions: &[Extension]| verify(&world, &unusual(&world, &supplier(), validity(), extensions));
    let sig = extensions::for_slot(KeySlot::Sig).unwrap();
    let oid = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1");
    let unknown = |critical| Extension {
        extn_id: oid,
        critical,
        extn_value: OctetString::new([5, 0]).unwrap(),
    };
    assert!(judge(&[sig.clone(), vec![unknown(false)]].concat()).is_ok());
    assert_eq!(
        judge(&[sig.clone(), vec![unknown(true)]].concat()),
        Err(CertificateError::UnknownCriticalExtension { oid })
    );
    assert_eq!(
        judge(&[sig.clone(), sig.clone()].concat()),
        Err(CertificateError::RepeatedExtension { oid: KeyUsage::OID })
    );
    assert_eq!(judge(&[]), Err(CertificateError::WrongKeyUsage));
    assert_eq!(
        judge(&extensions::authority(1).unwrap()),
        Err(CertificateError::IsAnAuthority)
    );
    let with_address = [sig, vec![extensions::card_address(card_id()).unwrap()]].concat();
    assert_eq!(
        judge(&with_address),
        Err(CertificateError::CardIdMismatch {
            subject: None,
            address: Some(card_id())
        })
    );
}

#[test]
fn certificate_without_key_identifier_is_refused() {
    let world = world();
    let root = world.authority.anchor.certificate();
    let draft = Draft {
        profile: Profile {
            subject: supplier().to_name().unwrap(),
            issuer: root.tbs().subject().clone(),
            extensions: extensions::for_slot(KeySlot::Sig).unwrap(),
        },
        public_key: world.supplier.keys.sig.public_point(),
        serial_number: SerialNumber::from_random([0; 16]),
        validity: validity(),
        issuer_key: root.public_key(),
    };
    assert!(matches!(
        draft.sign(&world.authority.key),
        Err(IssueError::Content(CertificateError::KeyIdentifierMissing))
    ));
}

#[test]
fn card_without_its_address_is_refused() {
    let world = world();
    let extensions = extensions::for_slot(KeySlot::Sig).unwrap();
    let card = unusual(&world, &Subject::card(card_id()), validity(), &extensions);
    assert_eq!(
        world
            .authority
            .anchor
            .verify(&card, now(), Role::Card, KeySlot::Sig),
        Err(CertificateError::CardIdMismatch {
            subject: Some(card_id()),
            address: None
        })
    );
}

#[test]
fn subject_of_another_form_is_refused() {
    let world = world();
    let good = &world.supplier.triple.sig;
    let stranger = patched(good.as_der(), b"Supplier", b"Customer");
    assert_eq!(
        Certificate::from_der(&stranger).unwrap().subject(),
        Err(CertificateError::Subject(SubjectError::Role))
    );
}

#[test]
fn only_a_trust_centres_root_is_an_anchor() {
    let world = world();
    let refused = |certificate: Certificate| TrustAnchor::new(certificate).unwrap_err();
    assert_eq!(
        refused(world.supplier.triple.sig.clone()),
        CertificateError::UnknownIssuer
    );
    let key = &world.authority.key;
    let self_signed = |subject: &Subject, extensions: Vec<Extension>| {
        let name = subject.to_name().unwrap();
        let identifiers =
            extensions::key_identifiers(key.public_point(), &key.public_point().key_identifier());
        let draft = Draft {
            profile: Profile {
                subject: name.clone(),
                issuer: name,
                extensions: [identifiers.unwrap(), extensions].concat(),
            },
            public_key: key.public_point(),
            serial_number: SerialNumber::from_random([1; 16]),
            validity: validity(),
            issuer_key: key.public_point(),
        };
        draft.sign(key).unwrap()
    };
    let center = party("Root", Role::TrustCenter);
    assert_eq!(
        refused(self_signed(&center, extensions::for_slot(KeySlot::Sig).unwrap())),
        CertificateError::NotAnAuthority
    );
    assert_eq!(
        refused(self_signed(&supplier(), extensions::authority(1).unwrap())),
        CertificateError::WrongRole {
            expected: Role::TrustCenter,
            found: Role::Supplier
        }
    );
    let forged = patched(world.authority.anchor.certificate().as_der(), b"Demo", b"Semi");
    assert_eq!(
        refused(Certificate::from_der(&forged).unwrap()),
        CertificateError::BadSignature
    );
}

#[test]
fn certificates_of_different_parties_are_no_triple() {
    let mut world = world();
    let mut mixed = world.supplier.triple.clone();
    let other = world.authority.enroll(&party("Other supplier", Role::Supplier));
    mixed.tls = other.triple.tls;
    assert_eq!(
        world.authority.anchor.verify_party(&mixed, now(), Role::Supplier),
        Err(CertificateError::DifferentSubjects)
    );
    let subject = world.supplier.triple.sig.subject().unwrap();
    let repeated = Triple {
        tls: world
            .authority
            .issue(&subject, KeySlot::Tls, world.supplier.keys.sig.public_point()),
        ..world.supplier.triple.clone()
    };
    assert_eq!(
        world
            .authority
            .anchor
            .verify_party(&repeated, now(), Role::Supplier),
        Err(CertificateError::RepeatedKey)
    );
}

#[test]
fn nothing_is_issued_with_another_key_or_in_the_roots_role() {
    let mut world = world();
    let key = *world.supplier.keys.sig.public_point();
    let content = world.authority.content(&supplier(), KeySlot::Sig, &key);
    let anchor = &world.authority.anchor;
    assert!(matches!(
        issue(&content, anchor, &world.supplier.keys.sig),
        Err(IssueError::WrongKey)
    ));
    let center = CertificateContent {
        subject: party("Second", Role::TrustCenter),
        ..content.clone()
    };
    assert!(matches!(
        issue(&center, anchor, &world.authority.key),
        Err(IssueError::Role)
    ));
    let ancient = Period::new(at("1960-01-01T00:00:00Z"), at("1961-01-01T00:00:00Z")).unwrap();
    let ancient = CertificateContent {
        validity: ancient,
        ..content.clone()
    };
    assert!(matches!(
        issue(&ancient, anchor, &world.authority.key),
        Err(IssueError::Content(CertificateError::Validity))
    ));
    assert!(matches!(
        issue(&content, anchor, crate::testing::Refusing),
        Err(IssueError::Signer(crate::testing::Refused))
    ));
}

#[test]
fn certificates_validity_reaches_past_2050() {
    let world = world();
    let far = Period::new(start(), at("2126-01-01T00:00:00Z")).unwrap();
    let certificate = unusual(
        &world,
        &supplier(),
        far,
        &extensions::for_slot(KeySlot::Sig).unwrap(),
    );
    let (_, not_after): (_, Timestamp) = certificate.validity().unwrap();
    assert_eq!(not_after, at("2125-12-31T23:59:59Z"));
}

#[test]
fn subjects_name_their_faults() {
    let read = |name: &str| Subject::from_name(&name.parse().unwrap());
    assert_eq!(read("CN=A,OU=TSM"), Ok(party("A", Role::Tsm)));
    assert_eq!(read("O=X,CN=A,OU=TSM"), Ok(party("A", Role::Tsm)));
    assert_eq!(read("OU=TSM"), Err(SubjectError::Name));
    assert_eq!(
        read(&format!("CN={},OU=TSM", "a".repeat(65))),
        Err(SubjectError::Name)
    );
    assert_eq!(read("CN=A"), Err(SubjectError::Role));
    assert_eq!(read("CN=A,OU=Card"), Err(SubjectError::CardIdMissing));
    assert_eq!(
        read("CN=A,OU=Card,2.5.4.5=#1301 41".replace(' ', "").as_str()),
        Err(SubjectError::CardId)
    );
    assert!(matches!(
        read("CN=A,CN=B,OU=TSM"),
        Err(SubjectError::Repeated { .. })
    ));
    assert!(matches!(read("CN=A,OU=#020101"), Err(SubjectError::Text { .. })));
    assert_eq!(
        Subject::party("A".parse().unwrap(), Role::Card),
        Err(SubjectError::CardIdMissing)
    );
    assert_eq!("a\u{7}".parse::<PartyName>(), Err(SubjectError::Name));
}

#[test]
fn serial_numbers_are_positive_and_of_one_length() {
    for random in [[0; 16], [0xff; 16]] {
        assert_eq!(SerialNumber::from_random(random).as_bytes()[0] >> 6, 1);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        assert!(Certificate::from_der(&bytes).is_err());
        assert!(CertificationRequest::from_der(&bytes).is_err());
    }

    #[test]
    fn any_damaged_certificate_is_refused(place in 0usize..400, value: u8) {
        let world = &*WORLD;
        let mut bytes = world.supplier.triple.sig.as_der().to_vec();
        let old = std::mem::replace(&mut bytes[place], value);
        if let Ok(certificate) = Certificate::from_der(&bytes) {
            prop_assert_eq!(verify(world, &certificate).is_ok(), old == value);
        }
    }

    #[test]
    fn any_text_is_a_name_or_refused(text: String) {
        if let Ok(name) = text.parse::<PartyName>() {
            let subject = Subject::party(name, Role::Tsm).unwrap();
            prop_assert_eq!(Subject::from_name(&subject.to_name().unwrap()), Ok(subject));
        }
    }
}
