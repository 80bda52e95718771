//! The pairing, and what only a paired gateway may do.

use super::*;
use crate::pace::PROTOCOL;

fn wrong() -> [u8; 16] {
    let mut secret = SECRET;
    secret[15] ^= 1;
    secret
}

fn pair_with(card: &mut TestCard, secret: &[u8; 16]) -> Result<(), CardError<Infallible>> {
    CardSession::open(card)
        .unwrap()
        .pair(secret, &mut TestRandom::new(3))
}

#[test]
fn every_pairing_counts_and_opens_a_session() {
    let (mut card, _) = bound_card(&TestCenter::new(1));
    for sessions in 2..5 {
        let mut session = paired(&mut card);
        assert!(session.is_paired());
        assert_eq!(session.pairing().unwrap(), Pairing { sessions, tries: 10 });
        assert_eq!(session.life_cycle().unwrap(), LifeCycle::Bound);
        card.reset();
    }
}

#[test]
fn nothing_but_what_is_public_works_before_the_pairing() {
    let (mut card, identity) = operational_card(&TestCenter::new(1));
    card.reset();
    let mut session = CardSession::open(&mut card).unwrap();
    assert_eq!(session.identity().unwrap(), identity);
    assert_eq!(session.bound_to().unwrap(), Some((GATEWAY, true)));
    assert_eq!(session.pairing().unwrap().sessions, 1);
    let status = StatusWord::SECURITY_STATUS;
    assert_eq!(refused(session.anchor()), status);
    assert_eq!(refused(session.suppliers()), status);
    assert_eq!(refused(session.store_head()), status);
    assert_eq!(refused(session.sign(Partner::Tsm, &[1; 32])), status);
    assert_eq!(refused(session.sign_handshake(&[1; 32])), status);
    assert_eq!(
        refused(session.agree(Partner::Tsm, &supplier_key().point())),
        status
    );
    assert_eq!(refused(session.confirm(&order(GATEWAY))), status);
    assert_eq!(refused(session.prove([1; 16], &identity)), status);
}

#[test]
fn a_wrong_secret_uses_up_tries_until_the_card_is_blocked() {
    let (mut card, _) = bound_card(&TestCenter::new(1));
    for left in (0..10).rev() {
        card.reset();
        let status = refused(pair_with(&mut card, &wrong()));
        assert_eq!(status.tries(), Some(left));
    }
    card.reset();
    assert_eq!(refused(pair_with(&mut card, &SECRET)), StatusWord::BLOCKED);
    assert_eq!(card.applet.state().life_cycle(), LifeCycle::Bound);
}

#[test]
fn a_good_secret_gives_all_tries_back() {
    let (mut card, _) = bound_card(&TestCenter::new(1));
    for _ in 0..3 {
        pair_with(&mut card, &wrong()).unwrap_err();
    }
    assert_eq!(CardSession::open(&mut card).unwrap().pairing().unwrap().tries, 7);
    assert_eq!(paired(&mut card).pairing().unwrap().tries, 10);
}

#[test]
fn the_tsm_unlocks_a_card_that_somebody_tried_out() {
    let center = TestCenter::new(1);
    let (mut card, identity) = bound_card(&center);
    for _ in 0..10 {
        pair_with(&mut card, &wrong()).unwrap_err();
    }
    let channel = open_channel(&mut card, &identity, &center).unwrap();
    let (channel, commands) = channel.unlock_pairing().unwrap();
    channel.pairing_unlocked(&transmit(&mut card, &commands)).unwrap();
    assert!(pair_with(&mut card, &SECRET).is_ok());
}

#[test]
fn the_tsm_ends_the_cards_life() {
    let center = TestCenter::new(1);
    let (mut card, identity) = bound_card(&center);
    let channel = open_channel(&mut card, &identity, &center).unwrap();
    let (channel, commands) = channel.terminate().unwrap();
    channel.terminated(&transmit(&mut card, &commands)).unwrap();
    assert_eq!(card.applet.state().life_cycle(), LifeCycle::Terminated);
    assert_eq!(card.status("00a4020c020101"), "6285");
}

#[test]
fn nobody_gets_a_proof_of_the_card_in_clear() {
    let (mut card, _) = bound_card(&TestCenter::new(1));
    assert_eq!(card.status(&format!("0088000010{}", "00".repeat(16))), "6982");
}

/// Sends a step of the pairing and returns the data and the status.
fn step(card: &mut TestCard, object: &[(u16, &[u8])]) -> (Vec<u8>, StatusWord) {
    let mut template = Vec::new();
    for (tag, value) in object {
        tlv::push(&mut template, *tag, value).unwrap();
    }
    let data = tlv::encode([(0x7C, &template[..])]).unwrap();
    let command = CommandApdu::new(Header::new([0x10, 0x86, 0, 0]), data).expecting(256);
    let answer = transmit(card, &[command]).remove(0);
    (answer.data().to_vec(), answer.status())
}

fn choose(card: &mut TestCard) {
    let protocol = hex::encode(PROTOCOL);
    assert_eq!(card.status(&format!("0022c1a40f800a{protocol}830103")), "9000");
}

#[test]
fn a_pairing_that_breaks_off_costs_nothing_and_is_over() {
    let (mut card, _) = bound_card(&TestCenter::new(1));
    choose(&mut card);
    assert_eq!(step(&mut card, &[]).1, StatusWord::OK);
    card.reset();
    assert_eq!(step(&mut card, &[]).1, StatusWord::SECURITY_STATUS);
    assert_eq!(CardSession::open(&mut card).unwrap().pairing().unwrap().tries, 10);
}

#[test]
fn the_try_is_written_down_before_the_tokens_are_compared() {
    let (mut card, _) = bound_card(&TestCenter::new(1));
    let point = supplier_key().point().to_bytes();
    for left in (0..10).rev() {
        choose(&mut card);
        step(&mut card, &[]);
        assert_eq!(step(&mut card, &[(0x81, &point)]).1, StatusWord::OK);
        let template = tlv::encode([(0x83, &point[..])]).unwrap();
        let data = tlv::encode([(0x7C, &template[..])]).unwrap();
        let command = CommandApdu::new(Header::new([0x10, 0x86, 0, 0]), data).expecting(256);
        let answer = card
            .applet
            .process(&command.to_bytes().unwrap(), &mut card.random);
        assert!(answer.changed, "the holder writes the try down");
        // Whoever takes the power away now, and never sees what comes of the comparison, has lost it.
        card.reset();
        let mut session = CardSession::open(&mut card).unwrap();
        assert_eq!(session.pairing().unwrap().tries, left);
    }
    assert_eq!(refused(pair_with(&mut card, &SECRET)), StatusWord::BLOCKED);
}

#[test]
fn points_off_the_curve_end_the_pairing() {
    let (mut card, _) = bound_card(&TestCenter::new(1));
    let mut off = supplier_key().point().to_bytes();
    off[64] ^= 1;
    choose(&mut card);
    step(&mut card, &[]);
    assert_eq!(step(&mut card, &[(0x81, &off)]).1, StatusWord::WRONG_DATA);
    assert_eq!(step(&mut card, &[(0x81, &off)]).1, StatusWord::SECURITY_STATUS);
    choose(&mut card);
    step(&mut card, &[]);
    let point = supplier_key().point().to_bytes();
    assert_eq!(step(&mut card, &[(0x81, &point)]).1, StatusWord::OK);
    assert_eq!(step(&mut card, &[(0x83, &off)]).1, StatusWord::WRONG_DATA);
}

#[test]
fn steps_out_of_order_end_the_pairing() {
    let (mut card, _) = bound_card(&TestCenter::new(1));
    let point = supplier_key().point().to_bytes();
    for wrong in [(0x81, &point[..]), (0x83, &point), (0x85, &[0; 8])] {
        choose(&mut card);
        assert_eq!(step(&mut card, &[wrong]).1, StatusWord::WRONG_DATA);
    }
    choose(&mut card);
    step(&mut card, &[]);
    assert_eq!(step(&mut card, &[(0x85, &[0; 8])]).1, StatusWord::WRONG_DATA);
    assert_eq!(CardSession::open(&mut card).unwrap().pairing().unwrap().tries, 10);
}

#[test]
fn other_protocols_and_secrets_are_not_there() {
    let (mut card, _) = bound_card(&TestCenter::new(1));
    let protocol = hex::encode(PROTOCOL);
    assert_eq!(card.status(&format!("0022c1a40f800a{protocol}830101")), "6a88");
    assert_eq!(card.status("0022c1a406800101830103"), "6a80");
    assert_eq!(card.status("0022c1a400"), "6a80");
}

/// A way to a card on which somebody sits and alters one message.
struct Interposed<'a> {
    card: &'a mut TestCard,
    commands: usize,
    alter: Box<dyn FnMut(usize, Vec<u8>) -> Vec<u8> + 'a>,
    alter_answer: Box<dyn FnMut(usize, Vec<u8>) -> Vec<u8> + 'a>,
}

impl<'a> Interposed<'a> {
    fn new(card: &'a mut TestCard) -> Self {
        Self {
            card,
            commands: 0,
            alter: Box::new(|_, bytes| bytes),
            alter_answer: Box::new(|_, bytes| bytes),
        }
    }
}

impl Transport for Interposed<'_> {
    type Error = Infallible;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, Infallible> {
        let command = (self.alter)(self.commands, command.to_vec());
        let answer = self.card.transmit(&command)?.to_vec();
        let answer = (self.alter_answer)(self.commands, answer);
        self.commands = self.commands.saturating_add(1);
        Ok(Zeroizing::new(answer))
    }
}

/// Which command of a session is the first behind SELECT and the pairing.
const FIRST_PROTECTED: usize = 6;

#[test]
fn an_answer_of_somebody_else_proves_no_knowledge_of_the_secret() {
    let (mut card, _) = bound_card(&TestCenter::new(1));
    let mut way = Interposed::new(&mut card);
    way.alter_answer = Box::new(|number, mut bytes| {
        if number + 1 == FIRST_PROTECTED {
            bytes[6] ^= 1;
        }
        bytes
    });
    let mut session = CardSession::open(&mut way).unwrap();
    let outcome = session.pair(&SECRET, &mut TestRandom::new(6));
    assert!(matches!(outcome, Err(CardError::Pairing)));
    assert!(!session.is_paired());
}

#[test]
fn a_card_that_sends_the_gateways_own_key_back_is_none() {
    let (mut card, _) = bound_card(&TestCenter::new(1));
    let mut way = Interposed::new(&mut card);
    let key = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let ear = std::rc::Rc::clone(&key);
    // The last step but one: 7C { 83 key } → 7C { 84 key }.
    let step = FIRST_PROTECTED - 2;
    way.alter = Box::new(move |number, bytes| {
        if number == step {
            *ear.borrow_mut() = CommandApdu::parse(&bytes).unwrap().data()[4..].to_vec();
        }
        bytes
    });
    way.alter_answer = Box::new(move |number, bytes| match number {
        number if number == step => [&[0x7C, 0x43, 0x84, 0x41], &key.borrow()[..], &[0x90, 0x00]].concat(),
        _ => bytes,
    });
    let mut session = CardSession::open(&mut way).unwrap();
    let outcome = session.pair(&SECRET, &mut TestRandom::new(6));
    assert!(matches!(outcome, Err(CardError::Pairing)));
}

#[test]
fn a_command_in_clear_ends_the_session() {
    let (mut card, _) = bound_card(&TestCenter::new(1));
    let mut way = Interposed::new(&mut card);
    let mut session = CardSession::open(&mut way).unwrap();
    session.pair(&SECRET, &mut TestRandom::new(6)).unwrap();
    way.card.status("00a4020c020101");
    let command = [0x0C, 0xB0, 0, 0, 0];
    assert_eq!(way.card.transmit(&command).unwrap().as_slice(), [0x69, 0x82]);
}

#[test]
fn the_head_of_the_store_goes_on_by_one_step_only() {
    let (mut card, _) = bound_card(&TestCenter::new(1));
    let head = |counter: u64| StoreHead {
        counter,
        hash: Fingerprint::new([u8::try_from(counter).unwrap(); 32]),
    };
    let mut session = paired(&mut card);
    assert_eq!(session.store_head().unwrap(), StoreHead::NONE);
    for (counter, taken) in [
        (2, false),
        (1, true),
        (1, true),
        (3, false),
        (2, true),
        (1, false),
    ] {
        assert_eq!(
            session.advance_store_head(&head(counter)).is_ok(),
            taken,
            "{counter}"
        );
    }
    let other = StoreHead {
        hash: Fingerprint::new([9; 32]),
        ..head(2)
    };
    assert_eq!(
        refused(session.advance_store_head(&other)),
        StatusWord::CONDITIONS
    );
    card.reset();
    assert_eq!(paired(&mut card).store_head().unwrap(), head(2));
}

#[test]
fn the_gateway_writes_nothing_that_is_the_tsms() {
    let (mut card, _) = bound_card(&TestCenter::new(1));
    let mut session = paired(&mut card);
    for file in FileId::ALL.into_iter().filter(|file| *file != FileId::StoreHead) {
        let identifier = file.identifier().to_be_bytes().to_vec();
        let selected = session.send_for_test([0, 0xA4, 2, 0x0C], identifier).unwrap();
        assert!(selected.status().is_ok());
        let written = session.send_for_test([0, 0xD6, 0, 0], vec![1]).unwrap();
        assert_eq!(written.status(), StatusWord::SECURITY_STATUS, "{file:?}");
    }
}

#[test]
fn a_signature_over_the_cards_own_text_proves_nothing() {
    let (mut card, identity) = bound_card(&TestCenter::new(1));
    let digest = sha256(&[keys::PROOF_DOMAIN, &identity.guid.to_bytes(), &[1; 16]]);
    let forged = paired(&mut card).sign(Partner::Tsm, &digest).unwrap();
    let attestation = super::super::access::certificate_key(&identity.certificates.attestation).unwrap();
    assert!(!attestation.verifies(&digest, &forged));
}

#[test]
fn a_repeated_binding_with_a_wrong_secret_uses_up_a_try() {
    let center = TestCenter::new(1);
    let (mut card, identity) = TestCard::personalized(7, &center);
    let mut session = CardSession::open(&mut card).unwrap();
    session.bind(&order(GATEWAY), &identity).unwrap();
    let other = BindOrder {
        pairing_secret: Zeroizing::new(wrong()),
        ..order(GATEWAY)
    };
    for left in (0..10).rev() {
        assert_eq!(refused(session.bind(&other, &identity)).tries(), Some(left));
    }
    assert_eq!(
        refused(session.bind(&order(GATEWAY), &identity)),
        StatusWord::BLOCKED
    );
}

#[test]
fn the_pairing_secret_is_never_on_the_wire() {
    let (mut card, identity) = TestCard::personalized(7, &TestCenter::new(1));
    let mut way = Interposed::new(&mut card);
    let heard = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let ear = std::rc::Rc::clone(&heard);
    way.alter = Box::new(move |_, bytes| {
        ear.borrow_mut().extend_from_slice(&bytes);
        bytes
    });
    let mut session = CardSession::open(&mut way).unwrap();
    session.bind(&order(GATEWAY), &identity).unwrap();
    session.pair(&SECRET, &mut TestRandom::new(6)).unwrap();
    drop(session);
    drop(way);
    assert!(!heard.borrow().windows(SECRET.len()).any(|bytes| bytes == SECRET));
}

#[test]
fn a_secret_that_was_altered_on_the_way_gives_no_receipt() {
    let (mut card, identity) = TestCard::personalized(7, &TestCenter::new(1));
    let mut way = Interposed::new(&mut card);
    way.alter = Box::new(|number, mut bytes| {
        if number == 1 {
            bytes[26] ^= 1;
        }
        bytes
    });
    let mut session = CardSession::open(&mut way).unwrap();
    let outcome = session.bind(&order(GATEWAY), &identity);
    assert!(matches!(outcome, Err(CardError::Signature { command: "BIND" })));
}

#[test]
fn a_mere_reader_harms_nothing() {
    let (mut card, _) = bound_card(&TestCenter::new(1));
    let before = card.applet.state().to_bytes().unwrap();
    for file in FileId::ALL {
        card.status(&format!("00a4020c02{:04x}", file.identifier()));
        card.status("00b0000000");
    }
    for command in [
        "00a404000e315041592e5359532e4444463031",
        "00ca006600",
        "8010000000",
        "801000000101",
        "80120000",
        "0084000008",
        "00fe0000",
        "00200081083132333435363738",
    ] {
        card.status(command);
    }
    assert_eq!(card.applet.state().to_bytes().unwrap(), before);
}
