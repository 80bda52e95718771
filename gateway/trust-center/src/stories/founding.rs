//! The authority, its suppliers and its cards.

use card::session::CardSession;
use card::{LifeCycle, Transport};
use counterparty::clock;
use counterparty::files::FileError;
use getrandom::SysRng;
use messages::certificate::{
    CertificationRequest, RevocationReason, Role, Subject, TrustAnchor, VerifiedParty,
};
use messages::software::SoftwareKeys;
use model::{KeySlot, Span, Timestamp};
use zeroize::Zeroizing;

use super::{found, openssl_verifies, write_requests};
use crate::authority::{AuthorityError, read_certificate};
use crate::books::{Issued, Outcome};
use crate::certify::CertifyError;
use crate::keys::KeyError;
use crate::personalize::{
    CardCertificatesError, GuidSource, KeySource, PersonalizeError, Workplace, attestation_of, card_of,
    condemned, personalize,
};
use crate::revoke::{Whom, revoke, sign_lists};
use crate::soft_card::{SoftCard, SoftCardError};

#[test]
fn founded_authority_is_loaded_and_never_overwritten() {
    let house = super::house();
    let loaded = house.load().unwrap();
    assert_eq!(loaded.anchor(), house.authority.anchor());
    let error = found(&house.home(), "Another").unwrap_err();
    assert!(matches!(
        error,
        AuthorityError::Key(KeyError::File(FileError::Exists { .. }))
    ));
    let root = house.home().join("root.pem");
    openssl_verifies(&root, &house.home().join("issuing.pem"));
    for slot in KeySlot::ALL {
        openssl_verifies(&root, &house.home().join("tsm").join(format!("{slot}.pem")));
    }
    assert!(house.records().contains("\"act\":\"founded\""));
    assert_eq!(house.books.verify().unwrap().records, 3);
}

#[test]
fn name_that_no_card_can_hold_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = found(&folder.path().join("a"), &"Ü".repeat(40)).unwrap_err();
    assert!(matches!(error, AuthorityError::Name { found: 80 }));
}

#[test]
fn damaged_authority_is_named() {
    let house = super::house();
    let load = || house.load().unwrap_err();
    let key_of = || house.load().unwrap().tsm().map(drop).unwrap_err();
    let tsm = |name: &str| house.home().join("tsm").join(name);

    let key = std::fs::read(tsm("sig.key")).unwrap();
    std::fs::copy(tsm("enc.key"), tsm("sig.key")).unwrap();
    assert!(matches!(key_of(), AuthorityError::Key(KeyError::WrongKey { .. })));
    std::fs::write(tsm("sig.key"), "no key").unwrap();
    assert!(matches!(key_of(), AuthorityError::Key(KeyError::NoKey { .. })));
    std::fs::write(tsm("sig.key"), key).unwrap();
    let passphrase = house.home().join("passphrase");
    std::fs::write(&passphrase, "another passphrase").unwrap();
    assert!(matches!(
        key_of(),
        AuthorityError::Key(KeyError::WrongPassphrase { .. })
    ));
    std::fs::write(&passphrase, "short").unwrap();
    assert!(matches!(key_of(), AuthorityError::Key(KeyError::Passphrase)));
    std::fs::remove_file(&passphrase).unwrap();
    assert!(matches!(
        key_of(),
        AuthorityError::Key(KeyError::NoPassphrase { .. })
    ));

    let other = super::house();
    std::fs::copy(other.home().join("tsm/sig.pem"), tsm("sig.pem")).unwrap();
    assert!(matches!(key_of(), AuthorityError::Tsm(_)));
    std::fs::write(tsm("sig.pem"), "no certificate").unwrap();
    assert!(matches!(load(), AuthorityError::Certificate { .. }));
    std::fs::copy(other.home().join("issuing.pem"), house.home().join("issuing.pem")).unwrap();
    assert!(matches!(load(), AuthorityError::Certificate { .. }));
    std::fs::remove_file(house.home().join("root.pem")).unwrap();
    assert!(matches!(load(), AuthorityError::File(FileError::Missing { .. })));
}

#[test]
fn authority_with_a_wrong_clock_certifies_nobody() {
    let house = super::house();
    let subject = Subject::card("fd5a::1".parse().unwrap());
    let key = *house.authority.tsm().unwrap().keys.sig.public_point();
    let late: Timestamp = "2100-01-01T00:00:00Z".parse().unwrap();
    let error = house
        .authority
        .certify(&subject, KeySlot::Sig, &key, late)
        .unwrap_err();
    assert!(matches!(error, AuthorityError::Validity(_)), "{error}");
}

#[test]
fn supplier_is_certified_on_its_requests() {
    let house = super::house();
    let folder = house.supplier("supplier");
    for slot in KeySlot::ALL {
        openssl_verifies(&folder.join("root.pem"), &folder.join(format!("{slot}.pem")));
    }
    // It may come again with the same requests.
    house.certify(&folder).unwrap();
    assert_eq!(house.records().matches("\"act\":\"certified\"").count(), 2);
}

#[test]
fn next_issuing_authority_issues_and_what_the_former_one_issued_holds_on() {
    let mut house = super::house();
    let before = house.supplier("before");
    let first = house.authority.authorities()[1].clone();
    let second = house.authority.renew_issuing(&house.books, clock::now()).unwrap();
    assert_eq!(house.authority.authorities()[1..], [&second, &first]);
    let after = house.supplier("after");
    let root = after.join("root.pem");
    for folder in [&before, &after] {
        openssl_verifies(&root, &folder.join("sig.pem"));
    }
    let issuer = |folder: &std::path::Path| {
        let certificate = read_certificate(&folder.join("sig.pem")).unwrap();
        certificate.issuer_key_identifier().unwrap()
    };
    assert_eq!(issuer(&before), first.key_identifier());
    assert_eq!(issuer(&after), second.key_identifier());
    // The next run knows both, and a new card the new one.
    let loaded = house.load().unwrap();
    assert_eq!(loaded.authorities(), house.authority.authorities());
    assert_eq!(loaded.contact().issuing.as_deref(), Some(second.as_der()));
    house.personalize("card");
    house.books.verify().unwrap();
}

#[test]
fn every_authority_signs_its_own_list() {
    let mut house = super::house();
    let before = house.supplier("before");
    house.authority.renew_issuing(&house.books, clock::now()).unwrap();
    let whom = Whom::File(before.join("tls.pem"));
    revoke(
        (&house.home(), &house.books),
        &whom,
        RevocationReason::KeyCompromise,
        clock::now(),
    )
    .unwrap();
    let signed = sign_lists(&house.authority, &house.books, true, Span::DAY, clock::now()).unwrap();
    let files = ["root.crl", "issuing-2.crl", "issuing.crl"].map(|name| house.home().join(name));
    let counts = signed.iter().map(|list| (list.path.clone(), list.revoked));
    assert_eq!(
        counts.collect::<Vec<_>>(),
        files.clone().into_iter().zip([0, 0, 1]).collect::<Vec<_>>()
    );
    // OpenSSL finds the revoked certificate on the list of the authority that issued it.
    for (slot, holds) in [("sig", true), ("tls", false)] {
        let mut openssl = std::process::Command::new("openssl");
        openssl
            .args(["verify", "-crl_check_all", "-CAfile"])
            .arg(house.home().join("root.pem"));
        for list in &files {
            openssl.arg("-CRLfile").arg(list);
        }
        let chain = house.home().join("chain.pem");
        let certificate = before.join(format!("{slot}.pem"));
        let verified = openssl
            .arg("-untrusted")
            .arg(chain)
            .arg(certificate)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert_eq!(verified.status.success(), holds, "{said}");
        assert_eq!(said.contains("certificate revoked"), !holds, "{said}");
    }
}

#[test]
fn renewal_that_was_cut_off_is_begun_anew_and_their_number_is_bounded() {
    let mut house = super::house();
    // Cut off between the key and the certificate.
    std::fs::copy(
        house.home().join("issuing.key"),
        house.home().join("issuing-2.key"),
    )
    .unwrap();
    assert_eq!(house.load().unwrap().authorities().len(), 2);
    for number in 3..=TrustAnchor::MAX_ISSUING {
        house.authority.renew_issuing(&house.books, clock::now()).unwrap();
        assert!(house.home().join(format!("issuing-{number}.pem")).exists());
    }
    let error = house
        .authority
        .renew_issuing(&house.books, clock::now())
        .unwrap_err();
    assert!(matches!(error, AuthorityError::TooManyIssuing), "{error}");
    assert_eq!(house.load().unwrap().authorities(), house.authority.authorities());
    house.supplier("supplier");
}

#[test]
fn bad_requests_are_refused() {
    let house = super::house();
    let folder = house.path("supplier");
    let refusal = || house.certify(&folder).unwrap_err();
    assert!(matches!(refusal(), CertifyError::File(FileError::Missing { .. })));
    write_requests(&folder, &[Role::Tsm; 3], &KeySlot::ALL, "Supplier");
    assert!(matches!(refusal(), CertifyError::Role { found: Role::Tsm, .. }));
    let mixed = [Role::Supplier, Role::Supplier, Role::Tsm];
    write_requests(&folder, &mixed, &KeySlot::ALL, "Supplier");
    assert!(matches!(refusal(), CertifyError::DifferentSubjects));
    let swapped = [KeySlot::Sig, KeySlot::Tls, KeySlot::Enc];
    write_requests(&folder, &[Role::Supplier; 3], &swapped, "Supplier");
    assert!(matches!(
        refusal(),
        CertifyError::Slot {
            slot: KeySlot::Enc,
            ..
        }
    ));
    std::fs::write(folder.join("sig.csr"), "no request").unwrap();
    assert!(matches!(refusal(), CertifyError::Request { .. }));
    assert!(!folder.join("sig.pem").exists());
    let foreign = super::house();
    std::fs::copy(foreign.home().join("root.pem"), folder.join("root.pem")).unwrap();
    assert!(matches!(refusal(), CertifyError::ForeignRoot { .. }));
}

#[test]
fn requests_for_one_key_make_no_party() {
    let house = super::house();
    let folder = house.path("supplier");
    std::fs::create_dir_all(&folder).unwrap();
    let keys = SoftwareKeys::generate(&mut SysRng).unwrap();
    for slot in KeySlot::ALL {
        let subject = Subject::party("Supplier".parse().unwrap(), Role::Supplier).unwrap();
        let certified = slot;
        let request =
            CertificationRequest::build(subject, certified, keys.sig.public_point(), &keys.sig).unwrap();
        std::fs::write(folder.join(format!("{slot}.csr")), request.to_pem().unwrap()).unwrap();
    }
    let error = house.certify(&folder).unwrap_err();
    assert!(matches!(error, CertifyError::Party(_)));
}

#[test]
fn soft_card_is_personalised_once() {
    let house = super::house();
    let guid = house.personalize("card");
    assert!(guid.to_string().starts_with("fd5a:6d67:7700:"));
    let mut session = CardSession::open(SoftCard::insert(&house.path("card")).unwrap()).unwrap();
    assert_eq!(session.life_cycle().unwrap(), LifeCycle::Personalized);
    let identity = session.identity().unwrap();
    let known = card_of(&house.authority, &house.books, guid, clock::now()).unwrap();
    assert_eq!(identity.certificates.sig, known.sig.certificate().as_der());
    assert_eq!(identity.contact, house.authority.contact());
    drop(session);

    assert!(matches!(
        again(&house, "card"),
        PersonalizeError::NotBlank {
            found: LifeCycle::Personalized
        }
    ));
    assert_eq!(house.records().matches("guid-given").count(), 1);
    assert_ne!(house.personalize("second card"), guid);
    house.books.verify().unwrap();
}

fn again(house: &super::House, card: &str) -> PersonalizeError<SoftCardError> {
    let inserted = SoftCard::insert(&house.path(card)).unwrap();
    personalize(&house.workplace(card), inserted, clock::now()).unwrap_err()
}

/// A card that is taken out before its command with this number.
struct TakenOut<'a> {
    card: &'a mut SoftCard,
    commands: usize,
}

impl Transport for TakenOut<'_> {
    type Error = SoftCardError;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, SoftCardError> {
        self.commands = self.commands.checked_sub(1).ok_or(SoftCardError::NoPower)?;
        self.card.transmit(command)
    }
}

#[test]
fn card_that_is_taken_out_at_any_command_is_blank_or_scrap() {
    let house = super::house();
    let (mut blank, mut scrap) = (0, 0);
    for commands in 0.. {
        let name = format!("card-{commands}");
        let mut card = SoftCard::insert(&house.path(&name)).unwrap();
        let taken_out = TakenOut {
            card: &mut card,
            commands,
        };
        let result = personalize(&house.workplace(&name), taken_out, clock::now());
        drop(card);
        if result.is_ok() {
            break;
        }
        assert_eq!(
            house
                .books
                .unsettled(&house.workplace(&name).station.place)
                .unwrap(),
            []
        );
        let mut session = CardSession::open(SoftCard::insert(&house.path(&name)).unwrap()).unwrap();
        if session.life_cycle().unwrap() == LifeCycle::Blank {
            drop(session);
            blank += 1;
            house.personalize(&name);
        } else {
            let guid = session.identity().unwrap().guid;
            drop(session);
            scrap += 1;
            assert_eq!(house.books.outcome(guid).unwrap(), Some(Outcome::Scrapped));
            assert!(matches!(again(&house, &name), PersonalizeError::Scrap { .. }));
            let entries = house.books.certificates(&guid.to_string()).unwrap();
            assert!(entries.len() == 4 && entries.iter().all(|entry| entry.revoked));
        }
    }
    assert!(blank > 10 && scrap > 3, "{blank} blank, {scrap} scrap");
    house.books.verify().unwrap();
}

#[test]
fn what_a_crash_left_is_settled_at_the_next_look() {
    let house = super::house();
    let workplace = house.workplace("card");
    let draw = || Ok("fd5a::1".parse().unwrap());
    let given = house
        .books
        .give_guid(&workplace.station, clock::now(), draw, |_| Ok(((), Vec::new())));
    let (crashed, ()) = given.unwrap();
    let guid = house.personalize("card");
    assert_ne!(guid, crashed);
    assert_eq!(house.books.outcome(crashed).unwrap(), Some(Outcome::LeftBlank));

    // In a reader nobody knows whether the blank card is the one that was begun with.
    let reader = Workplace {
        keeps_its_card: false,
        ..house.workplace("other card")
    };
    let draw = || Ok("fd5a::2".parse().unwrap());
    let given = house
        .books
        .give_guid(&reader.station, clock::now(), draw, |_| Ok(((), Vec::new())));
    let (crashed, ()) = given.unwrap();
    let card = SoftCard::insert(&house.path("other card")).unwrap();
    personalize(&reader, card, clock::now()).unwrap();
    assert_eq!(house.books.outcome(crashed).unwrap(), Some(Outcome::Scrapped));
}

#[test]
fn guid_is_made_of_the_cards_key_on_demand() {
    let house = super::house();
    let workplace = Workplace {
        source: GuidSource::CardKey,
        ..house.workplace("card")
    };
    let card = SoftCard::insert(&house.path("card")).unwrap();
    let completed = personalize(&workplace, card, clock::now()).unwrap();
    let key = completed.party.sig.certificate().public_key();
    assert!(completed.guid.to_string().starts_with("2001:20:"));
    assert_eq!(GuidSource::CardKey.draw(key).unwrap(), completed.guid);
}

#[test]
fn cards_of_others_are_not_known() {
    let house = super::house();
    let foreign = super::house();
    let guid = foreign.personalize("card");
    let error = card_of(&house.authority, &house.books, guid, clock::now()).unwrap_err();
    assert!(matches!(error, CardCertificatesError::Unknown { .. }));
    let error = card_of(&house.authority, &foreign.books, guid, clock::now()).unwrap_err();
    assert!(matches!(error, CardCertificatesError::Refused { .. }));
    std::fs::copy(foreign.path("card"), house.path("card")).unwrap();
    assert!(matches!(again(&house, "card"), PersonalizeError::NotBlank { .. }));
}

#[test]
fn attestation_key_is_the_cards_own_and_another_than_its_sig_key() {
    let house = super::house();
    let foreign = super::house();
    let guid = house.personalize("card");
    let attestation = || attestation_of(&house.authority, &house.books, guid, clock::now());
    let sig = card_of(&house.authority, &house.books, guid, clock::now())
        .unwrap()
        .sig;
    let own = attestation().unwrap();
    assert_ne!(own.spki_digest(), sig.certificate().spki_digest());
    let theirs = attestation_of(&foreign.authority, &house.books, guid, clock::now());
    assert!(matches!(theirs, Err(CardCertificatesError::Refused { .. })));
    let theirs = attestation_of(&house.authority, &foreign.books, guid, clock::now());
    assert!(matches!(theirs, Err(CardCertificatesError::Unknown { .. })));

    let same_key = house
        .authority
        .certify(
            &Subject::card(guid),
            KeySlot::Sig,
            sig.certificate().public_key(),
            clock::now(),
        )
        .unwrap();
    let issued = Issued {
        certificate: same_key,
        key: "attestation",
    };
    house.books.issued(clock::now(), &[issued]).unwrap();
    assert!(matches!(
        attestation(),
        Err(CardCertificatesError::Attestation { .. })
    ));
    let reason = RevocationReason::KeyCompromise;
    let name = guid.to_string();
    house
        .books
        .revoke(clock::now(), &name, None, reason, &[])
        .unwrap();
    assert!(matches!(
        attestation(),
        Err(CardCertificatesError::Unknown { .. })
    ));
}

#[test]
fn revoked_card_is_known_to_whoever_ends_it_and_to_nobody_else() {
    let mut house = super::house();
    let guid = house.personalize("card");
    let party = card_of(&house.authority, &house.books, guid, clock::now()).unwrap();
    let attestation = attestation_of(&house.authority, &house.books, guid, clock::now()).unwrap();
    let (name, reason) = (guid.to_string(), RevocationReason::KeyCompromise);
    house
        .books
        .revoke(clock::now(), &name, None, reason, &[])
        .unwrap();
    // The next run of the program knows of the revocation from its start.
    house.authority = house.load().unwrap();
    let unknown = card_of(&house.authority, &house.books, guid, clock::now()).unwrap_err();
    assert!(matches!(unknown, CardCertificatesError::Unknown { .. }));
    let found = condemned(&house.authority, &house.books, guid, clock::now()).unwrap();
    assert_eq!(found.0.sig.certificate(), party.sig.certificate());
    assert_eq!(found.1, attestation);
    let stranger = condemned(
        &house.authority,
        &house.books,
        "fd5a::1".parse().unwrap(),
        clock::now(),
    );
    assert!(matches!(stranger, Err(CardCertificatesError::Unknown { .. })));
}

#[test]
fn keys_of_the_centre_serve_one_card() {
    let house = super::house();
    let workplace = Workplace {
        keys: KeySource::Center,
        ..house.workplace("card")
    };
    let card = SoftCard::insert(&house.path("card")).unwrap();
    let completed = personalize(&workplace, card, clock::now()).unwrap();
    let party = card_of(&house.authority, &house.books, completed.guid, clock::now()).unwrap();
    assert_eq!(party.sig.certificate(), completed.party.sig.certificate());
    // Another card gets other keys.
    let workplace = Workplace {
        keys: KeySource::Center,
        ..house.workplace("second")
    };
    let card = SoftCard::insert(&house.path("second")).unwrap();
    let second = personalize(&workplace, card, clock::now()).unwrap();
    let keys = |party: &VerifiedParty| {
        [&party.sig, &party.enc, &party.tls].map(|certificate| certificate.certificate().spki_digest())
    };
    assert!(keys(&second.party).iter().all(|key| !keys(&party).contains(key)));
}
