//! The keys in use: for whom, from when on, and how long a choice lasts.

use super::*;

const SET_DST: [u8; 4] = [0x00, 0x22, 0x41, 0xB6];
const SET_KAT: [u8; 4] = [0x00, 0x22, 0x41, 0xA6];
const SIGN: [u8; 4] = [0x00, 0x2A, 0x9E, 0x9A];
const AGREE: [u8; 4] = [0x00, 0x86, 0x00, 0x00];
const STRANGER: Fingerprint = Fingerprint::new([0x66; 32]);

/// Chooses a key for a supplier: `84 key, 83 fingerprint`.
fn for_supplier(key: u8, supplier: Fingerprint) -> Vec<u8> {
    tlv::encode([(0x84, &[key][..]), (0x83, supplier.as_bytes())]).unwrap()
}

fn status_of(session: &mut CardSession<&mut TestCard>, header: [u8; 4], data: &[u8]) -> StatusWord {
    session.send_for_test(header, data.to_vec()).unwrap().status()
}

fn agreement_with(point: &[u8]) -> Vec<u8> {
    let object = tlv::encode([(0x85, point)]).unwrap();
    tlv::encode([(0x7C, &object[..])]).unwrap()
}

/// Has the TSM put another list on the card, while the gateway's session goes on.
fn update_suppliers(
    session: &mut CardSession<&mut TestCard>,
    identity: &CardIdentity,
    center: &TestCenter,
    suppliers: &Suppliers,
) {
    let (step, _, _, answers) = carry_authentication(session, identity, center);
    let (channel, commands) = step
        .open(&answers)
        .unwrap()
        .install(&anchor(2), suppliers)
        .unwrap();
    let pass = |command: &CommandApdu| {
        let answer = session.pass(&command.to_bytes().unwrap()).unwrap();
        ResponseApdu::parse(&answer).unwrap()
    };
    let answers: Vec<_> = commands.iter().map(pass).collect();
    channel.installed(&answers).unwrap();
}

#[test]
fn a_chosen_key_does_not_outlive_an_update_of_the_suppliers_list() {
    let center = TestCenter::new(1);
    let agreement = agreement_with(&supplier_key().point().to_bytes());
    let uses = [
        (SET_DST, 1, SIGN, vec![7; 32]),
        (SET_KAT, 2, AGREE, agreement.clone()),
        (SET_KAT, 0, AGREE, agreement),
    ];
    for (set, key, command, data) in uses {
        for (suppliers, afterwards) in [
            (Suppliers::default(), StatusWord::REFERENCE_NOT_FOUND),
            (one_supplier(), StatusWord::OK),
        ] {
            let (mut card, identity) = operational_card(&center);
            let mut session = paired(&mut card);
            let choice = for_supplier(key, SUPPLIER);
            assert_eq!(status_of(&mut session, set, &choice), StatusWord::OK);
            assert_eq!(status_of(&mut session, command, &data), StatusWord::OK);
            assert_eq!(status_of(&mut session, set, &choice), StatusWord::OK);
            update_suppliers(&mut session, &identity, &center, &suppliers);
            let status = status_of(&mut session, command, &data);
            assert_eq!(status, StatusWord::CONDITIONS, "key {key}");
            assert_eq!(status_of(&mut session, set, &choice), afterwards, "key {key}");
        }
    }
}

#[test]
fn a_chosen_key_does_not_outlive_the_session() {
    let (mut card, _) = operational_card(&TestCenter::new(1));
    let mut session = paired(&mut card);
    let choice = for_supplier(1, SUPPLIER);
    assert_eq!(status_of(&mut session, SET_DST, &choice), StatusWord::OK);
    drop(session);
    // No reset in between: the pairing alone makes a new session.
    let mut session = paired(&mut card);
    let status = status_of(&mut session, SIGN, &[7; 32]);
    assert_eq!(status, StatusWord::CONDITIONS);
    assert_eq!(status_of(&mut session, SET_DST, &choice), StatusWord::OK);
    session
        .send_for_test([0x00, 0xA4, 0x04, 0x0C], crate::files::AID.to_vec())
        .unwrap();
    let status = status_of(&mut session, SIGN, &[7; 32]);
    assert_eq!(status, StatusWord::CONDITIONS, "SELECT begins anew");
}

#[test]
fn messages_of_suppliers_are_opened_only_once_the_tsm_has_unlocked_them() {
    let center = TestCenter::new(1);
    let sender = PrivateKey::generate(&mut TestRandom::new(4));
    let (supplier, stranger) = (Partner::Supplier(SUPPLIER), Partner::Supplier(STRANGER));
    let (mut card, _) = bound_card(&center);
    let mut session = paired(&mut card);
    assert_eq!(
        refused(session.agree(supplier, &sender.point())),
        StatusWord::CONDITIONS
    );
    let (mut card, identity) = operational_card(&center);
    let mut session = paired(&mut card);
    let secret = session.agree(supplier, &sender.point()).unwrap();
    let expected = sender.agree(&encryption_key(&identity));
    assert_eq!(secret.as_bytes(), expected.as_bytes());
    assert_eq!(
        refused(session.agree(stranger, &sender.point())),
        StatusWord::REFERENCE_NOT_FOUND
    );
}

#[test]
fn a_choice_serves_once_whatever_comes_of_it() {
    let (mut card, _) = operational_card(&TestCenter::new(1));
    let mut session = paired(&mut card);
    let mut off = supplier_key().point().to_bytes();
    off[64] ^= 1;
    let (wrong, conditions) = (StatusWord::WRONG_DATA, StatusWord::CONDITIONS);
    for key in [0, 2] {
        let choice = for_supplier(key, SUPPLIER);
        for data in [vec![0x7C, 0], agreement_with(&[4; 3]), agreement_with(&off)] {
            assert_eq!(status_of(&mut session, SET_KAT, &choice), StatusWord::OK);
            assert_eq!(status_of(&mut session, AGREE, &data), wrong);
            // Without a choice, nobody learns what the card would say to the data.
            assert_eq!(status_of(&mut session, AGREE, &data), conditions);
        }
    }
    let choice = for_supplier(1, SUPPLIER);
    for (data, status) in [
        (&[7; 32][..], StatusWord::OK),
        (&[7; 31], StatusWord::WRONG_LENGTH),
    ] {
        assert_eq!(status_of(&mut session, SET_DST, &choice), StatusWord::OK);
        assert_eq!(status_of(&mut session, SIGN, data), status);
        assert_eq!(status_of(&mut session, SIGN, data), conditions);
    }
    // A key that was chosen for the other command does not serve this one, and is gone too.
    assert_eq!(status_of(&mut session, SET_DST, &choice), StatusWord::OK);
    let agreement = agreement_with(&supplier_key().point().to_bytes());
    assert_eq!(status_of(&mut session, AGREE, &agreement), conditions);
    assert_eq!(status_of(&mut session, SIGN, &[7; 32]), conditions);
}

#[test]
fn a_choice_that_is_refused_takes_the_one_before_away() {
    let (mut card, _) = operational_card(&TestCenter::new(1));
    let mut session = paired(&mut card);
    let not_found = StatusWord::REFERENCE_NOT_FOUND;
    for (set, data, status) in [
        (SET_DST, for_supplier(1, STRANGER), not_found),
        (SET_DST, for_supplier(3, SUPPLIER), not_found),
        (SET_DST, vec![0x84, 1, 2], not_found),
        (SET_DST, vec![0x84, 1, 4], not_found),
        (SET_DST, vec![0x83, 1, 1], StatusWord::WRONG_DATA),
        (SET_DST, vec![0x84, 2, 1, 1], StatusWord::WRONG_DATA),
        (SET_KAT, for_supplier(1, SUPPLIER), not_found),
        (SET_KAT, vec![0x84, 1, 4], not_found),
        (SET_KAT, Vec::new(), StatusWord::WRONG_DATA),
    ] {
        let choice = for_supplier(1, SUPPLIER);
        assert_eq!(status_of(&mut session, SET_DST, &choice), StatusWord::OK);
        assert_eq!(status_of(&mut session, set, &data), status, "{data:02x?}");
        let status = status_of(&mut session, SIGN, &[7; 32]);
        assert_eq!(status, StatusWord::CONDITIONS, "{data:02x?}");
    }
}

#[test]
fn a_channel_of_the_tsm_that_is_not_asked_for_rightly_is_not_there_the_next_time() {
    let center = TestCenter::new(1);
    let (mut card, identity) = bound_card(&center);
    let (step, commands) = tsm::begin(identity.guid, attestation_key(&identity));
    let answers = transmit(&mut card, &commands);
    let certificate = center.tsm_certificate(KeySlot::Sig);
    let sign = |digest: &[u8; 32]| Ok::<_, TsmError>(center.tsm_sign(digest));
    let (_, commands) = step
        .answer(&answers, &certificate, &mut TestRandom::new(5), sign)
        .unwrap();
    transmit(&mut card, &commands[..2]);
    let other = tlv::encode([(0x80, &supplier_key().point().to_bytes()[..])]).unwrap();
    let other = CommandApdu::new(Header::new(AGREE), tlv::encode([(0x7C, &other[..])]).unwrap());
    let sent = [other.expecting(256), commands[2].clone()];
    let statuses: Vec<_> = transmit(&mut card, &sent)
        .iter()
        .map(ResponseApdu::status)
        .collect();
    assert_eq!(statuses, [StatusWord::SECURITY_STATUS; 2]);
}
