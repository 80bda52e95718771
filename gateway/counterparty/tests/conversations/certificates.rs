//! The certificates by which gateways are known, in their folder.

use counterparty::clock;
use counterparty::gateways::{CardFolder, GatewayError, PublishError};
use messages::certificate::{Subject, VerifiedParty};
use model::CardId;

use super::checks::guid;
use super::gateway_double::TestAuthority;

fn card(authority: &TestAuthority) -> VerifiedParty {
    authority.party(&Subject::card(guid())).certificates
}

#[test]
fn gateways_are_known_by_their_certificates_alone() {
    let authority = TestAuthority::new("Trust centre");
    let home = tempfile::tempdir().unwrap();
    let read = |guid| CardFolder::of_gateway(home.path(), guid).read(authority.anchor(), clock::now());
    assert!(matches!(read(guid()), Err(GatewayError::Unknown { .. })));
    let folder = CardFolder::of_gateway(home.path(), guid());
    folder.write(&card(&authority)).unwrap();
    assert_eq!(read(guid()).unwrap().card_id, Some(guid()));

    let other: CardId = "fd5a:6d67:7700::2".parse().unwrap();
    let folder_of = |name: &str| home.path().join("gateways").join(name);
    std::fs::rename(folder_of("fd5a-6d67-7700--1"), folder_of("fd5a-6d67-7700--2")).unwrap();
    assert!(matches!(read(other), Err(GatewayError::Foreign { .. })));
    let stranger = TestAuthority::new("Trust centre");
    folder.write(&card(&stranger)).unwrap();
    assert!(matches!(read(guid()), Err(GatewayError::Refused { .. })));
    let file = folder_of("fd5a-6d67-7700--1").join("sig.pem");
    std::fs::write(&file, "no certificate").unwrap();
    assert!(matches!(read(guid()), Err(GatewayError::Certificate { .. })));
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert!(matches!(read(guid()), Err(GatewayError::File { .. })));
}

#[test]
fn certificates_are_replaced_by_new_ones() {
    let authority = TestAuthority::new("Trust centre");
    let home = tempfile::tempdir().unwrap();
    let folder = CardFolder::of_gateway(home.path(), guid());
    folder.write(&card(&authority)).unwrap();
    let second = card(&authority);
    folder.write(&second).unwrap();
    let read = folder.read(authority.anchor(), clock::now()).unwrap();
    assert_eq!(read.sig.certificate(), second.sig.certificate());
}

#[test]
fn attestation_key_is_the_cards_own_and_another_than_its_sig_key() {
    let authority = TestAuthority::new("Trust centre");
    let home = tempfile::tempdir().unwrap();
    let folder = CardFolder::of_gateway(home.path(), guid());
    let read = || folder.read_attestation(authority.anchor(), clock::now());
    let own = card(&authority);
    folder.write(&own).unwrap();
    assert!(matches!(read(), Err(GatewayError::Unknown { .. })));
    let attestation = card(&authority).sig;
    folder.write_attestation(attestation.certificate()).unwrap();
    assert_eq!(&read().unwrap(), attestation.certificate());

    folder.write_attestation(own.sig.certificate()).unwrap();
    assert!(matches!(read(), Err(GatewayError::Attestation { .. })));
    let other: CardId = "fd5a:6d67:7700::2".parse().unwrap();
    let other = authority.party(&Subject::card(other)).certificates;
    folder.write_attestation(other.sig.certificate()).unwrap();
    assert!(matches!(read(), Err(GatewayError::Foreign { .. })));
    let stranger = card(&TestAuthority::new("Trust centre"));
    folder.write_attestation(stranger.sig.certificate()).unwrap();
    assert!(matches!(read(), Err(GatewayError::Refused { .. })));
}

#[test]
fn folder_that_cannot_be_written_is_named() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("gateways"), "no folder").unwrap();
    let folder = CardFolder::of_gateway(home.path(), guid());
    let error = folder.write(&card(&TestAuthority::new("Trust centre")));
    assert!(matches!(error, Err(PublishError::File(_))));
}
