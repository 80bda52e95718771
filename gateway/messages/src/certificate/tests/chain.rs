//! Issuing authorities, and what is revoked.

use proptest::prelude::*;

use super::super::profile::{Key, issue_authority, issue_broker, issue_under};
use super::*;

/// An issuing authority of the root: its key and certificate.
fn issuing(authority: &Authority, seed: u64) -> (SoftwareKey, Certificate) {
    let mut random = TestRandom::new(seed);
    let key = SoftwareKey::generate(&mut random).unwrap();
    let of_key = Key {
        public_key: key.public_point(),
        serial_number: SerialNumber::from_random(random.bytes()),
        validity: validity(),
    };
    let name = authority.anchor.name().clone();
    let certificate = issue_authority(name, of_key, &authority.anchor, &authority.key).unwrap();
    (key, certificate)
}

/// A supplier's certificate by the issuing authority.
fn issued(authority: &mut Authority, key: &SoftwareKey, issuing: &Certificate) -> Certificate {
    let own = SoftwareKey::generate(&mut TestRandom::new(70)).unwrap();
    let content = authority.content(&supplier(), KeySlot::Sig, own.public_point());
    issue_under(&content, issuing, key).unwrap()
}

fn revocation() -> Revocation {
    Revocation {
        time: start(),
        reason: RevocationReason::KeyCompromise,
    }
}

fn list(
    number: u64,
    revoked: &[(Vec<u8>, Revocation)],
    issuer: &Certificate,
    key: &SoftwareKey,
) -> RevocationList {
    let content = ListContent {
        number,
        time: start(),
        next: at("2026-07-01T00:00:00Z"),
        revoked,
    };
    RevocationList::issue(content, issuer, key).unwrap()
}

#[test]
fn issuing_authority_stands_between_root_and_party() {
    let mut authority = Authority::new(1, "Centre");
    let (key, issuing) = issuing(&authority, 2);
    let certificate = issued(&mut authority, &key, &issuing);
    let verify = |anchor: &TrustAnchor| anchor.verify(&certificate, now(), Role::Supplier, KeySlot::Sig);
    assert_eq!(verify(&authority.anchor), Err(CertificateError::UnknownIssuer));
    let anchor = authority.anchor.clone().with_issuing(issuing.clone()).unwrap();
    assert!(verify(&anchor).is_ok());
    assert_eq!(anchor.issuing_of(&certificate), Some(&issuing));
    assert_eq!(anchor.issuing_of(&issuing), None);
    // Nobody takes the authority itself for a party.
    let as_party = anchor.verify_any_role(&issuing, now(), KeySlot::Sig);
    assert_eq!(as_party, Err(CertificateError::IsAnAuthority));
    let late = at("2027-01-01T00:00:00Z");
    assert!(matches!(
        anchor.verify(&certificate, late, Role::Supplier, KeySlot::Sig),
        Err(CertificateError::Authority(_))
    ));
}

#[test]
fn only_the_roots_own_authorities_are_taken() {
    let mut authority = Authority::new(1, "Centre");
    let foreign = Authority::new(9, "Centre");
    let (_, of_foreign) = issuing(&foreign, 2);
    let anchor = || authority.anchor.clone();
    assert_eq!(
        anchor().with_issuing(of_foreign),
        Err(CertificateError::UnknownIssuer)
    );
    assert_eq!(
        anchor().with_issuing(foreign.anchor.certificate().clone()),
        Err(CertificateError::UnknownIssuer)
    );
    let key = SoftwareKey::generate(&mut TestRandom::new(3)).unwrap();
    let party = authority.issue(&supplier(), KeySlot::Sig, key.public_point());
    assert_eq!(
        authority.anchor.clone().with_issuing(party),
        Err(CertificateError::NotAnAuthority)
    );
    let (key, own) = issuing(&authority, 2);
    // What signs in the root's name has to be the root's key.
    let of_key = Key {
        public_key: key.public_point(),
        serial_number: SerialNumber::from_random([1; 16]),
        validity: validity(),
    };
    let made = issue_authority("Centre".parse().unwrap(), of_key, &authority.anchor, &key);
    assert!(matches!(made, Err(IssueError::WrongKey)));
    let mut anchor = authority.anchor.clone().with_issuing(own.clone()).unwrap();
    anchor = anchor.with_issuing(own).unwrap();
    assert_eq!(anchor.issuing().len(), 1);
    for seed in 10..17 {
        anchor = anchor.with_issuing(issuing(&authority, seed).1).unwrap();
    }
    assert_eq!(anchor.issuing().len(), TrustAnchor::MAX_ISSUING);
    assert!(anchor.with_issuing(issuing(&authority, 17).1).is_err());
}

#[test]
fn revoked_certificates_are_refused_and_so_is_what_a_revoked_authority_issued() {
    let mut authority = Authority::new(1, "Centre");
    let (key, issuing) = issuing(&authority, 2);
    let certificate = issued(&mut authority, &key, &issuing);
    let anchor = authority.anchor.clone().with_issuing(issuing.clone()).unwrap();
    let verify = |anchor: &TrustAnchor| anchor.verify(&certificate, now(), Role::Supplier, KeySlot::Sig);
    let of_party = list(
        1,
        &[(certificate.serial_number().to_vec(), revocation())],
        &issuing,
        &key,
    );
    let judged = verify(&anchor.clone().with_list(&of_party, now()).unwrap());
    let Revocation { time, reason } = revocation();
    assert_eq!(judged, Err(CertificateError::Revoked { time, reason }));
    let known = |anchor: TrustAnchor| anchor.revocation(&certificate).unwrap();
    assert_eq!(known(anchor.clone()), None);
    assert_eq!(
        known(anchor.clone().with_list(&of_party, now()).unwrap()),
        Some(revocation())
    );
    // The same number on the root's list is another certificate.
    let root = authority.anchor.certificate();
    let of_root = list(1, of_party.revoked(), root, &authority.key);
    assert!(verify(&anchor.clone().with_list(&of_root, now()).unwrap()).is_ok());
    let of_authority = [(issuing.serial_number().to_vec(), revocation())];
    let of_authority = list(2, &of_authority, root, &authority.key);
    let anchor = anchor.with_list(&of_authority, now()).unwrap();
    assert_eq!(known(anchor.clone()), Some(revocation()));
    let judged = verify(&anchor);
    assert!(
        matches!(judged, Err(CertificateError::Authority(error)) if matches!(*error, CertificateError::Revoked { .. }))
    );
}

#[test]
fn lists_are_taken_from_their_authority_and_while_they_are_the_latest() {
    let authority = Authority::new(1, "Centre");
    let foreign = Authority::new(9, "Centre");
    let root = authority.anchor.certificate();
    let good = list(3, &[], root, &authority.key);
    let read = RevocationList::from_pem(&good.to_pem().unwrap()).unwrap();
    assert_eq!((read.number(), read.revoked()), (3, &[][..]));
    assert_eq!(read, good);
    let anchor = || authority.anchor.clone();
    let due = at("2026-07-01T00:00:00Z");
    assert_eq!(good.next_update(), due);
    assert!(anchor().with_list(&good, due).is_ok());
    let overdue = anchor().with_list(&good, at("2026-07-01T00:00:01Z"));
    assert_eq!(overdue, Err(CertificateError::ListOverdue { due }));
    let others = list(3, &[], foreign.anchor.certificate(), &foreign.key);
    assert_eq!(
        anchor().with_list(&others, now()),
        Err(CertificateError::UnknownIssuer)
    );
    let mut altered = good.as_der().to_vec();
    *altered.last_mut().unwrap() ^= 1;
    let altered = RevocationList::from_der(&altered).unwrap();
    assert_eq!(
        anchor().with_list(&altered, now()),
        Err(CertificateError::BadSignature)
    );
    assert_eq!(
        RevocationList::from_pem(&root.to_pem().unwrap()),
        Err(CertificateError::Pem)
    );
}

#[test]
fn brokers_are_servers_by_their_names_and_no_party() {
    let authority = Authority::new(1, "Centre");
    let key = SoftwareKey::generate(&mut TestRandom::new(3)).unwrap();
    let of_key = Key {
        public_key: key.public_point(),
        serial_number: SerialNumber::from_random([1; 16]),
        validity: validity(),
    };
    let root = authority.anchor.certificate();
    let names = ["Broker.example".parse().unwrap()];
    let broker = issue_broker(&names, of_key, root, &authority.key).unwrap();
    assert_eq!(broker.subject().unwrap().name().as_str(), "broker.example");
    assert_eq!(
        authority.anchor.verify_any_role(&broker, now(), KeySlot::Tls),
        Err(CertificateError::WrongKeyUsage)
    );
    assert!(matches!(
        issue_broker(&[], of_key, root, &authority.key),
        Err(IssueError::Role)
    ));
    for text in [
        "",
        "a..b",
        "-a.example",
        "a_b.example",
        "*.example",
        &"a".repeat(64),
    ] {
        assert_eq!(text.parse::<DnsName>(), Err(SubjectError::DnsName), "{text}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_no_list_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(RevocationList::from_der(&bytes).is_err());
    }

    #[test]
    fn list_reads_back_what_was_written(
        number in any::<u64>(),
        serials in proptest::collection::btree_set(1..u64::MAX, 0..20),
        reason in 0..RevocationReason::ALL.len(),
    ) {
        let authority = &WORLD.authority;
        let revocation = Revocation { time: start(), reason: RevocationReason::ALL[reason] };
        let written: Vec<_> = serials
            .into_iter()
            .map(|serial| {
                let serial = x509_cert::serial_number::SerialNumber::<x509_cert::certificate::Rfc5280>::from(serial);
                (serial.as_bytes().to_vec(), revocation)
            })
            .collect();
        let list = list(number, &written, authority.anchor.certificate(), &authority.key);
        let read = RevocationList::from_der(list.as_der()).unwrap();
        prop_assert_eq!(read.number(), number);
        prop_assert_eq!(read.revoked(), &written[..]);
        prop_assert!(authority.anchor.clone().with_list(&read, now()).is_ok());
    }
}
