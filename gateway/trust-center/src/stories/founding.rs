//! The authority, its suppliers and its cards.

use card::personalization::PersonalizationError;
use card::session::CardSession;
use card::{CardError, LifeCycle};
use counterparty::clock;
use counterparty::files::FileError;
use counterparty::gateways::folder_name;
use getrandom::SysRng;
use messages::certificate::{CertificationRequest, PartyName, Role, Subject};
use messages::software::SoftwareKeys;
use model::{CardId, KeySlot, Timestamp};

use super::{openssl_verifies, prefix, write_requests};
use crate::authority::{Authority, AuthorityError};
use crate::books::BooksError;
use crate::certify::{CertifyError, certify};
use crate::personalize::{CardCertificatesError, PersonalizeError, card_of, personalize};
use crate::soft_card::{SoftCard, SoftCardError};

#[test]
fn founded_authority_is_loaded_and_never_overwritten() {
    let house = super::house();
    let loaded = Authority::load(&house.home(), clock::now()).unwrap();
    assert_eq!(loaded.anchor(), house.authority.anchor());
    let name: PartyName = "Another".parse().unwrap();
    let error = Authority::init(&house.home(), &name, clock::now()).unwrap_err();
    assert!(matches!(error, AuthorityError::File(FileError::Exists { .. })));
    let root = house.home().join("root.pem");
    for slot in KeySlot::ALL {
        openssl_verifies(&root, &house.home().join("tsm").join(format!("{slot}.pem")));
    }
    assert!(house.records().contains("\"act\":\"founded\""));
}

#[test]
fn name_that_no_card_can_hold_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let name: PartyName = "Ü".repeat(40).parse().unwrap();
    let error = Authority::init(&folder.path().join("a"), &name, clock::now()).unwrap_err();
    assert!(matches!(error, AuthorityError::Name { found: 80 }));
}

#[test]
fn damaged_authority_is_named() {
    let house = super::house();
    let now = clock::now();
    let load = || Authority::load(&house.home(), now).unwrap_err();
    let tsm = |name: &str| house.home().join("tsm").join(name);

    let key = std::fs::read(tsm("sig.key")).unwrap();
    std::fs::copy(tsm("enc.key"), tsm("sig.key")).unwrap();
    assert!(matches!(load(), AuthorityError::WrongKey { .. }));
    std::fs::write(tsm("sig.key"), "no key").unwrap();
    assert!(matches!(load(), AuthorityError::Key { .. }));
    std::fs::write(tsm("sig.key"), key).unwrap();

    let other = super::house();
    for name in ["sig.pem", "sig.key"] {
        std::fs::copy(other.home().join("tsm").join(name), tsm(name)).unwrap();
    }
    assert!(matches!(load(), AuthorityError::Tsm(_)));
    std::fs::write(tsm("sig.pem"), "no certificate").unwrap();
    assert!(matches!(load(), AuthorityError::Certificate { .. }));
    std::fs::remove_file(house.home().join("root.pem")).unwrap();
    assert!(matches!(load(), AuthorityError::File(FileError::Missing { .. })));
}

#[test]
fn authority_with_a_wrong_clock_certifies_nobody() {
    let house = super::house();
    let subject = Subject::card("fd5a::1".parse().unwrap());
    let key = *house.authority.tsm().keys.sig.public_point();
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
    certify(&house.authority, &house.books, &folder, clock::now()).unwrap();
    assert_eq!(house.records().matches("\"act\":\"certified\"").count(), 2);
}

#[test]
fn bad_requests_are_refused() {
    let house = super::house();
    let folder = house.path("supplier");
    let refusal = || certify(&house.authority, &house.books, &folder, clock::now()).unwrap_err();
    assert!(matches!(refusal(), CertifyError::File(FileError::Missing { .. })));
    write_requests(&folder, &[Role::Tsm; 3], &KeySlot::ALL, "Supplier");
    assert!(matches!(refusal(), CertifyError::Role { found: Role::Tsm }));
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
    let error = certify(&house.authority, &house.books, &folder, clock::now()).unwrap_err();
    assert!(matches!(error, CertifyError::Party(_)));
}

#[test]
fn soft_card_is_personalised_once() {
    let house = super::house();
    let guid = house.personalize("card");
    assert!(guid.to_string().starts_with("fd5a:6d67:7700:"));
    let folder = house.home().join("cards").join(folder_name(guid));
    for slot in KeySlot::ALL {
        openssl_verifies(
            &house.home().join("root.pem"),
            &folder.join(format!("{slot}.pem")),
        );
    }
    let mut session = CardSession::open(SoftCard::insert(&house.path("card")).unwrap()).unwrap();
    assert_eq!(session.life_cycle().unwrap(), LifeCycle::Personalized);
    let identity = session.identity().unwrap();
    let known = card_of(&house.authority, guid, clock::now()).unwrap();
    assert_eq!(identity.certificates.sig, known.sig.certificate().as_der());
    assert_eq!(identity.contact, house.authority.contact());
    drop(session);

    let card = SoftCard::insert(&house.path("card")).unwrap();
    let again = personalize(&house.authority, &house.books, prefix(), card, clock::now());
    assert!(matches!(
        again,
        Err(PersonalizeError::NotBlank {
            found: LifeCycle::Personalized
        })
    ));
    assert_eq!(house.records().matches("guid-given").count(), 1);
    assert_ne!(house.personalize("second card"), guid);
}

#[test]
fn card_that_is_taken_out_half_way_stays_blank_and_its_guid_is_used_up() {
    let house = super::house();
    let path = house.path("cards/card");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let card = SoftCard::insert(&path).unwrap();
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    let error = personalize(&house.authority, &house.books, prefix(), card, clock::now()).unwrap_err();
    assert!(
        matches!(
            &error,
            PersonalizeError::Personalization(PersonalizationError::Card(CardError::Transport(
                SoftCardError::File(_)
            )))
        ),
        "{error:?}"
    );
    assert_eq!(house.records().matches("guid-given").count(), 1);
    assert!(!house.records().contains("personalized"));
}

#[test]
fn card_is_not_personalised_without_books() {
    let house = super::house();
    std::fs::remove_file(house.home().join("records.jsonl")).unwrap();
    let card = SoftCard::insert(&house.path("card")).unwrap();
    let error = personalize(&house.authority, &house.books, prefix(), card, clock::now()).unwrap_err();
    assert!(matches!(error, PersonalizeError::Books(BooksError::File(_))));
    assert!(!house.path("card").exists());
}

#[test]
fn cards_of_others_are_not_known() {
    let house = super::house();
    let guid = house.personalize("card");
    let folder = |guid| house.home().join("cards").join(folder_name(guid));
    let other: CardId = "fd5a::1".parse().unwrap();
    let card_of = |guid| card_of(&house.authority, guid, clock::now()).unwrap_err();
    assert!(matches!(card_of(other), CardCertificatesError::Unknown { .. }));
    std::fs::rename(folder(guid), folder(other)).unwrap();
    assert!(matches!(card_of(other), CardCertificatesError::Foreign { .. }));
    std::fs::write(folder(other).join("sig.pem"), "no certificate").unwrap();
    assert!(matches!(card_of(other), CardCertificatesError::Unreadable { .. }));
    std::fs::copy(house.home().join("tsm/sig.pem"), folder(other).join("sig.pem")).unwrap();
    assert!(matches!(card_of(other), CardCertificatesError::Refused { .. }));
}
