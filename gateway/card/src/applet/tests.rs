//! The card as its partners see it: through APDUs only.

use std::convert::Infallible;

use model::{CardId, Fingerprint, GatewayId, KeySlot};
use zeroize::Zeroizing;

use super::testing::{TestCard, TestCenter, TestRandom};
use super::{CardState, keys, life};
use crate::crypto::{PrivateKey, sha256};
use crate::files::Contact;
use crate::personalization::{CardPoints, KeyOrigin, PersonalizationError, personalize};
use crate::secure_messaging::Channel;
use crate::session::{BindOrder, CardIdentity, CardSession};
use crate::tlv;
use crate::tsm::{self, AttestationKey, TsmChannel, TsmError};
use crate::{
    Anchor, CardError, CardKey, CommandApdu, FileId, Header, LifeCycle, Pairing, Partner, Point,
    ResponseApdu, StatusWord, StoreHead, SupplierEntry, Suppliers, Transport,
};

mod attacks;
mod completing;
mod keys_in_use;
mod pairing;
mod random;
mod scripts;
mod two_phases;

const GATEWAY: GatewayId = GatewayId::new([0x11; 16]);
const OTHER_GATEWAY: GatewayId = GatewayId::new([0x22; 16]);
const SECRET: [u8; 16] = [0x44; 16];
const SUPPLIER: Fingerprint = Fingerprint::new([0x33; 32]);

fn guid() -> CardId {
    "fd5a::1".parse().unwrap()
}

fn order(gateway: GatewayId) -> BindOrder {
    BindOrder {
        gateway,
        pairing_secret: Zeroizing::new(SECRET),
        nonce: [0x55; 16],
    }
}

fn bound_card(center: &TestCenter) -> (TestCard, CardIdentity) {
    let (mut card, identity) = TestCard::personalized(7, center);
    let mut session = CardSession::open(&mut card).unwrap();
    session.bind(&order(GATEWAY), &identity).unwrap();
    session.pair(&SECRET, &mut TestRandom::new(40)).unwrap();
    session.confirm(&order(GATEWAY)).unwrap();
    card.reset();
    (card, identity)
}

/// Opens a session and pairs, as the bound gateway does after every reset.
fn paired(card: &mut TestCard) -> CardSession<&mut TestCard> {
    let mut session = CardSession::open(card).unwrap();
    session.pair(&SECRET, &mut TestRandom::new(41)).unwrap();
    session
}

fn supplier_key() -> PrivateKey {
    PrivateKey::generate(&mut TestRandom::new(99))
}

fn transmit(card: &mut TestCard, commands: &[CommandApdu]) -> Vec<ResponseApdu> {
    let send = |command: &CommandApdu| card.transmit(&command.to_bytes().unwrap()).unwrap();
    commands
        .iter()
        .map(send)
        .map(|bytes| ResponseApdu::parse(&bytes).unwrap())
        .collect()
}

fn encryption_key(identity: &CardIdentity) -> Point {
    super::access::certificate_key(&identity.certificates.enc).unwrap()
}

fn attestation_key(identity: &CardIdentity) -> AttestationKey {
    AttestationKey::new(super::access::certificate_key(&identity.certificates.attestation).unwrap())
}

fn open_channel(
    card: &mut TestCard,
    identity: &CardIdentity,
    center: &TestCenter,
) -> Result<TsmChannel, TsmError> {
    let (step, commands) = tsm::begin(identity.guid, attestation_key(identity));
    let answers = transmit(card, &commands);
    let certificate = center.tsm_certificate(KeySlot::Sig);
    let sign = |digest: &[u8; 32]| Ok::<_, TsmError>(center.tsm_sign(digest));
    let (step, commands) = step.answer(&answers, &certificate, &mut TestRandom::new(5), sign)?;
    step.open(&transmit(card, &commands))
}

fn anchor(version: u64) -> Anchor {
    Anchor {
        version,
        digest: Fingerprint::new([u8::try_from(version).unwrap(); 32]),
    }
}

fn one_supplier() -> Suppliers {
    let entry = SupplierEntry {
        fingerprint: SUPPLIER,
        encryption: supplier_key().point(),
    };
    Suppliers::new(vec![entry]).unwrap()
}

fn operational_card(center: &TestCenter) -> (TestCard, CardIdentity) {
    let (mut card, identity) = bound_card(center);
    let channel = open_channel(&mut card, &identity, center).unwrap();
    let (channel, commands) = channel.install(&anchor(1), &one_supplier()).unwrap();
    channel.installed(&transmit(&mut card, &commands)).unwrap();
    (card, identity)
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, CardError<Infallible>>) -> StatusWord {
    match outcome.unwrap_err() {
        CardError::Refused { status, .. } => status,
        other => panic!("not a refusal of the card: {other}"),
    }
}

#[test]
fn a_blank_card_becomes_a_personalised_one() {
    let (mut card, identity) = TestCard::personalized(1, &TestCenter::new(1));
    assert_eq!(identity.contact.name, "Test centre");
    assert_eq!(card.applet.state().life_cycle(), LifeCycle::Personalized);
    assert_eq!(
        CardSession::open(&mut card).unwrap().identity().unwrap(),
        identity
    );
}

#[test]
fn nothing_of_a_completed_card_can_be_written_again() {
    let center = TestCenter::new(1);
    let (mut card, identity) = TestCard::personalized(1, &center);
    let certify = |name, key: &Point| Ok::<_, Infallible>(center.certify_card(guid(), name, key));
    let identify = |points: &CardPoints| Ok::<_, Infallible>((identity.guid, points.certified(certify)?));
    let again = personalize(&mut card, &center.contact(), KeyOrigin::Card, identify);
    assert!(matches!(
        again,
        Err(PersonalizationError::NotBlank {
            found: LifeCycle::Personalized
        })
    ));
    for file in FileId::ALL {
        assert_eq!(
            card.status(&format!("00a4020c02{:04x}", file.identifier())),
            "9000"
        );
        assert_eq!(card.status("00d6000001ff"), "6985", "{file:?}");
    }
    assert_eq!(card.status("0047800005b603840101"), "6985");
}

#[test]
fn a_blank_card_is_completed_only_when_it_has_everything() {
    assert_eq!(TestCard::blank(1).status("00440000"), "6985");
}

#[test]
fn a_certificate_for_another_key_is_not_taken() {
    let center = TestCenter::new(1);
    let mut card = TestCard::blank(1);
    let certify =
        |name, _: &Point| Ok::<_, Infallible>(center.certify_card(guid(), name, &supplier_key().point()));
    let identify = |points: &CardPoints| Ok::<_, Infallible>((guid(), points.certified(certify)?));
    let outcome = personalize(&mut card, &center.contact(), KeyOrigin::Card, identify);
    let Err(PersonalizationError::Card(CardError::Refused { status, .. })) = outcome else {
        panic!("the card took a foreign key");
    };
    assert_eq!(status, StatusWord::WRONG_DATA);
}

#[test]
fn a_failing_authority_leaves_the_card_blank() {
    let mut card = TestCard::blank(1);
    let identify = |_: &CardPoints| Err(std::io::Error::other("no key"));
    let outcome = personalize(
        &mut card,
        &TestCenter::new(1).contact(),
        KeyOrigin::Card,
        identify,
    );
    assert!(matches!(outcome, Err(PersonalizationError::Certification(_))));
    assert_eq!(card.applet.state().life_cycle(), LifeCycle::Blank);
}

#[test]
fn a_personalised_card_answers_its_identity_and_bind_only() {
    let (mut card, _) = TestCard::personalized(1, &TestCenter::new(1));
    for command in [
        "0084000010",
        "00880000 10 00000000000000000000000000000000",
        "00fe0000",
        "80120000",
    ] {
        let status = card.status(&command.replace(' ', ""));
        assert!(["6985", "6982"].contains(&status.as_str()), "{command}: {status}");
    }
}

#[test]
fn binding_can_be_repeated_by_the_same_gateway_until_it_is_confirmed() {
    let center = TestCenter::new(1);
    let (mut card, identity) = TestCard::personalized(1, &center);
    for _ in 0..3 {
        card.reset();
        let mut session = CardSession::open(&mut card).unwrap();
        session.bind(&order(GATEWAY), &identity).unwrap();
        assert_eq!(session.bound_to().unwrap(), Some((GATEWAY, false)));
    }
    let mut session = paired(&mut card);
    session.confirm(&order(GATEWAY)).unwrap();
    session.confirm(&order(GATEWAY)).unwrap();
    assert_eq!(session.bound_to().unwrap(), Some((GATEWAY, true)));
    card.reset();
    let mut session = CardSession::open(&mut card).unwrap();
    assert_eq!(
        refused(session.bind(&order(GATEWAY), &identity)),
        StatusWord::CONDITIONS
    );
    assert_eq!(card.applet.state().life_cycle(), LifeCycle::Bound);
}

#[test]
fn a_bound_card_dies_when_another_gateway_binds_it() {
    let (mut card, identity) = bound_card(&TestCenter::new(1));
    let mut session = CardSession::open(&mut card).unwrap();
    assert_eq!(
        refused(session.bind(&order(OTHER_GATEWAY), &identity)),
        StatusWord::TERMINATED
    );
    card.reset();
    assert_eq!(card.applet.state().life_cycle(), LifeCycle::Terminated);
    assert_eq!(refused(CardSession::open(&mut card)), StatusWord::TERMINATED);
}

#[test]
fn the_card_proves_its_key_and_a_clone_does_not() {
    let center = TestCenter::new(1);
    let (mut card, identity) = bound_card(&center);
    paired(&mut card).prove([1; 16], &identity).unwrap();
    let (mut clone, other) = TestCard::personalized(8, &center);
    let mut session = CardSession::open(&mut clone).unwrap();
    session.bind(&order(GATEWAY), &other).unwrap();
    let cloned = paired(&mut clone).prove([1; 16], &identity);
    assert!(matches!(cloned, Err(CardError::Signature { .. })));
}

#[test]
fn the_tsm_reaches_the_card_and_unlocks_a_supplier() {
    let center = TestCenter::new(1);
    let (mut card, _) = operational_card(&center);
    assert_eq!(card.applet.state().life_cycle(), LifeCycle::Operational);
    card.reset();
    let mut session = paired(&mut card);
    assert_eq!(session.anchor().unwrap(), anchor(1));
    assert_eq!(session.suppliers().unwrap(), one_supplier());
}

#[test]
fn nobody_but_the_trust_centre_that_the_card_knows_gets_in() {
    let (mut card, identity) = bound_card(&TestCenter::new(1));
    let foreign = open_channel(&mut card, &identity, &TestCenter::new(2));
    assert!(matches!(
        foreign,
        Err(TsmError::Refused {
            status: StatusWord::SECURITY_STATUS,
            ..
        })
    ));
}

#[test]
fn a_certificate_that_is_not_the_tsms_opens_nothing() {
    let center = TestCenter::new(1);
    let (mut card, _) = bound_card(&center);
    let mut session = CardSession::open(&mut card).unwrap();
    let supplier = center.certify("Supplier", KeySlot::Sig, &supplier_key().point());
    assert_eq!(
        refused(session.introduce_tsm(&supplier)),
        StatusWord::SECURITY_STATUS
    );
    assert_eq!(refused(session.introduce_tsm(&[0x30])), StatusWord::WRONG_DATA);
    let tls = center.tsm_certificate(KeySlot::Tls);
    assert_eq!(
        refused(session.introduce_tsm(&tls)),
        StatusWord::REFERENCE_NOT_FOUND
    );
}

#[test]
fn an_authentication_relayed_to_another_card_is_refused() {
    let center = TestCenter::new(1);
    let (mut card, _) = bound_card(&center);
    let relayed = CardIdentity {
        guid: "fd5a::bad".parse().unwrap(),
        ..bound_card(&center).1
    };
    let outcome = open_channel(&mut card, &relayed, &center);
    assert!(matches!(
        outcome,
        Err(TsmError::Refused {
            command: "EXTERNAL AUTHENTICATE",
            status: StatusWord::SECURITY_STATUS
        })
    ));
}

#[test]
fn a_challenge_serves_once() {
    let center = TestCenter::new(1);
    let (mut card, identity) = bound_card(&center);
    let (step, commands) = tsm::begin(identity.guid, attestation_key(&identity));
    let answers = transmit(&mut card, &commands);
    let certificate = center.tsm_certificate(KeySlot::Sig);
    let sign = |digest: &[u8; 32]| Ok::<_, TsmError>(center.tsm_sign(digest));
    let (_, commands) = step
        .answer(&answers, &certificate, &mut TestRandom::new(5), sign)
        .unwrap();
    let statuses = |answers: Vec<ResponseApdu>| answers.iter().map(ResponseApdu::status).collect::<Vec<_>>();
    assert_eq!(statuses(transmit(&mut card, &commands)), [StatusWord::OK; 3]);
    let again = statuses(transmit(&mut card, &commands));
    assert_eq!(again[1..], [StatusWord::CONDITIONS, StatusWord::SECURITY_STATUS]);
}

/// Carries the TSM's authentication through a paired session, as the gateway's software does. Returns the
/// TSM's step, the challenge, the TSM's ephemeral point and the card's answers.
fn carry_authentication(
    session: &mut CardSession<&mut TestCard>,
    identity: &CardIdentity,
    center: &TestCenter,
) -> (
    tsm::AwaitingToken,
    [u8; super::CHALLENGE],
    Point,
    Vec<ResponseApdu>,
) {
    let mut pass = |commands: &[CommandApdu]| -> Vec<ResponseApdu> {
        let pass = |command: &CommandApdu| session.pass(&command.to_bytes().unwrap()).unwrap();
        let parse = |bytes: Zeroizing<Vec<u8>>| ResponseApdu::parse(&bytes).unwrap();
        commands.iter().map(pass).map(parse).collect()
    };
    let (step, commands) = tsm::begin(identity.guid, attestation_key(identity));
    let answers = pass(&commands);
    let challenge = answers[0].data().try_into().unwrap();
    let certificate = center.tsm_certificate(KeySlot::Sig);
    let sign = |digest: &[u8; 32]| Ok::<_, TsmError>(center.tsm_sign(digest));
    let (step, commands) = step
        .answer(&answers, &certificate, &mut TestRandom::new(5), sign)
        .unwrap();
    let [template] = tlv::exactly(commands[2].data(), [0x7C]).unwrap();
    let [ephemeral] = tlv::exactly(template, [0x80]).unwrap();
    let ephemeral = Point::try_from(ephemeral).unwrap();
    (step, challenge, ephemeral, pass(&commands))
}

#[test]
fn a_gateway_that_agrees_keys_with_the_tsms_key_cannot_speak_for_the_tsm() {
    let center = TestCenter::new(1);
    let (mut card, identity) = bound_card(&center);
    let mut session = paired(&mut card);
    let (_, _, ephemeral, _) = carry_authentication(&mut session, &identity, &center);
    // The card agrees ENC with any key, since it cannot know who sends a message.
    let secret = session.agree(Partner::Tsm, &ephemeral).unwrap();
    let select = CommandApdu::new(Header::new([0x00, 0xA4, 0x02, 0x0C]), vec![0x05, 0x01]);
    let (_, forged) = Channel::new(secret.as_bytes(), &[])
        .wrap_command(&select)
        .unwrap();
    let forged = forged.to_bytes().unwrap().to_vec();
    let envelope = CommandApdu::new(Header::new([0x00, 0xC2, 0x00, 0x00]), forged).expecting(65_536);
    let answer = session.pass(&envelope.to_bytes().unwrap()).unwrap();
    assert_eq!(answer.as_slice(), StatusWord::SM_OBJECT_WRONG.to_bytes());
}

#[test]
fn a_gateway_cannot_be_the_card_to_the_tsm() {
    let center = TestCenter::new(1);
    let (mut card, identity) = bound_card(&center);
    let mut session = paired(&mut card);
    let (step, challenge, ephemeral, mut answers) = carry_authentication(&mut session, &identity, &center);
    // The gateway puts its own key in place of the card's, and has SIG, which signs anything, sign for it.
    let key = PrivateKey::generate(&mut TestRandom::new(77));
    let digest = super::access::channel_digest(&challenge, &identity.guid, &ephemeral, &key.point());
    let signature = session.sign(Partner::Tsm, &digest).unwrap();
    let token = Channel::new(key.agree(&ephemeral).as_bytes(), &[]).token(&ephemeral.to_bytes());
    let template = tlv::encode([
        (0x81, &key.point().to_bytes()[..]),
        (0x82, &token),
        (0x9E, signature.as_bytes()),
    ]);
    answers[2] = ResponseApdu::ok(tlv::encode([(0x7C, &template.unwrap()[..])]).unwrap());
    assert_eq!(step.open(&answers).unwrap_err(), TsmError::Attestation);
}

#[test]
fn a_challenge_of_another_length_is_not_signed() {
    let center = TestCenter::new(1);
    let (_, identity) = TestCard::personalized(1, &center);
    for length in [0, 15, 17] {
        let (step, _) = tsm::begin(identity.guid, attestation_key(&identity));
        let sign = |_: &[u8; 32]| -> Result<_, TsmError> { panic!("the TSM signs a challenge that is none") };
        let answers = [ResponseApdu::ok(vec![1; length])];
        let outcome = step
            .answer(&answers, &[], &mut TestRandom::new(1), sign)
            .map(|_| ());
        let command = "GET CHALLENGE";
        assert_eq!(outcome, Err(TsmError::Malformed { command }));
    }
}

#[test]
fn an_older_bundle_is_not_taken() {
    let center = TestCenter::new(1);
    let (mut card, identity) = operational_card(&center);
    for (version, taken) in [(1, true), (3, true), (2, false)] {
        let channel = open_channel(&mut card, &identity, &center).unwrap();
        let (channel, commands) = channel.install(&anchor(version), &one_supplier()).unwrap();
        let outcome = channel.installed(&transmit(&mut card, &commands));
        assert_eq!(outcome.is_ok(), taken, "version {version}");
    }
    assert_eq!(paired(&mut card).anchor().unwrap(), anchor(3));
}

#[test]
fn the_first_step_with_too_few_answers_is_refused() {
    let center = TestCenter::new(1);
    let (_, identity) = TestCard::personalized(1, &center);
    let (step, _) = tsm::begin(identity.guid, attestation_key(&identity));
    let sign = |digest: &[u8; 32]| Ok::<_, TsmError>(center.tsm_sign(digest));
    let outcome = step.answer(&[], &[], &mut TestRandom::new(1), sign).map(|_| ());
    assert_eq!(
        outcome,
        Err(TsmError::Answers {
            expected: 1,
            found: 0
        })
    );
}

#[test]
fn a_card_with_another_key_than_the_certified_one_takes_nothing_of_the_tsm() {
    let center = TestCenter::new(1);
    let (mut card, identity) = bound_card(&center);
    let (step, commands) = tsm::begin(identity.guid, AttestationKey::new(supplier_key().point()));
    let answers = transmit(&mut card, &commands);
    let certificate = center.tsm_certificate(KeySlot::Sig);
    let sign = |digest: &[u8; 32]| Ok::<_, TsmError>(center.tsm_sign(digest));
    let (step, commands) = step
        .answer(&answers, &certificate, &mut TestRandom::new(5), sign)
        .unwrap();
    let refused = step.open(&transmit(&mut card, &commands)).unwrap_err();
    let status = StatusWord::SECURITY_STATUS;
    let command = "EXTERNAL AUTHENTICATE";
    assert_eq!(refused, TsmError::Refused { command, status });
}

#[test]
fn a_token_that_is_not_the_cards_opens_no_channel() {
    let center = TestCenter::new(1);
    let (mut card, identity) = bound_card(&center);
    let (step, commands) = tsm::begin(identity.guid, attestation_key(&identity));
    let answers = transmit(&mut card, &commands);
    let certificate = center.tsm_certificate(KeySlot::Sig);
    let sign = |digest: &[u8; 32]| Ok::<_, TsmError>(center.tsm_sign(digest));
    let (step, commands) = step
        .answer(&answers, &certificate, &mut TestRandom::new(5), sign)
        .unwrap();
    let mut answers = transmit(&mut card, &commands);
    let [template] = tlv::exactly(answers[2].data(), [0x7C]).unwrap();
    let [point, token, signature] = tlv::exactly(template, [0x81, 0x82, 0x9E]).unwrap();
    let mut forged = token.to_vec();
    forged[0] ^= 1;
    let template = tlv::encode([(0x81, point), (0x82, &forged), (0x9E, signature)]).unwrap();
    answers[2] = ResponseApdu::ok(tlv::encode([(0x7C, &template[..])]).unwrap());
    assert_eq!(step.open(&answers).unwrap_err(), TsmError::Token);
}

#[test]
fn keys_serve_a_supplier_only_once_the_tsm_has_unlocked_it() {
    let center = TestCenter::new(1);
    let partner = Partner::Supplier(SUPPLIER);
    let (mut card, _) = bound_card(&center);
    let mut session = paired(&mut card);
    assert_eq!(refused(session.sign(partner, &[1; 32])), StatusWord::CONDITIONS);
    let (mut card, identity) = operational_card(&center);
    let mut session = paired(&mut card);
    let signature = session.sign(partner, &[1; 32]).unwrap();
    let key = super::access::certificate_key(&identity.certificates.sig).unwrap();
    assert!(key.verifies(&[1; 32], &signature));
    let stranger = Partner::Supplier(Fingerprint::new([0x66; 32]));
    assert_eq!(
        refused(session.sign(stranger, &[1; 32])),
        StatusWord::REFERENCE_NOT_FOUND
    );
}

#[test]
fn keys_are_agreed_with_the_suppliers_own_key_only() {
    let (mut card, _) = operational_card(&TestCenter::new(1));
    let mut session = paired(&mut card);
    let partner = Partner::Supplier(SUPPLIER);
    let (ephemeral, secret) = session.agree_ephemeral(partner, &supplier_key().point()).unwrap();
    assert_eq!(supplier_key().agree(&ephemeral).as_bytes(), secret.as_bytes());
    let other = PrivateKey::generate(&mut TestRandom::new(3)).point();
    assert_eq!(
        refused(session.agree_ephemeral(partner, &other)),
        StatusWord::REFERENCE_NOT_FOUND
    );
}

#[test]
fn messages_go_to_the_tsm_only_after_its_certificate_was_verified() {
    let center = TestCenter::new(1);
    let (mut card, _) = bound_card(&center);
    let mut session = paired(&mut card);
    let certificate = center.tsm_certificate(KeySlot::Enc);
    let key = super::access::certificate_key(&certificate).unwrap();
    assert_eq!(
        refused(session.agree_ephemeral(Partner::Tsm, &key)),
        StatusWord::REFERENCE_NOT_FOUND
    );
    session.introduce_tsm(&certificate).unwrap();
    assert!(session.agree_ephemeral(Partner::Tsm, &key).is_ok());
}

#[test]
fn received_messages_are_agreed_with_the_encryption_key() {
    let center = TestCenter::new(1);
    let (mut card, identity) = bound_card(&center);
    let sender = PrivateKey::generate(&mut TestRandom::new(4));
    let mut session = paired(&mut card);
    let secret = session.agree(Partner::Tsm, &sender.point()).unwrap();
    assert_eq!(
        secret.as_bytes(),
        sender.agree(&encryption_key(&identity)).as_bytes()
    );
}

#[test]
fn a_point_off_the_curve_is_refused() {
    let (mut card, _) = bound_card(&TestCenter::new(1));
    let mut off = supplier_key().point().to_bytes();
    off[64] ^= 1;
    let mut session = paired(&mut card);
    let send = |session: &mut CardSession<_>, header, data| session.send_for_test(header, data);
    send(&mut session, [0x00, 0x22, 0x41, 0xA6], vec![0x84, 1, 2]).unwrap();
    let point = tlv::encode([(0x85, &off[..])]).unwrap();
    let template = tlv::encode([(0x7C, &point[..])]).unwrap();
    let answer = send(&mut session, [0x00, 0x86, 0x00, 0x00], template).unwrap();
    assert_eq!(answer.status(), StatusWord::WRONG_DATA);
    assert!(
        session.is_paired(),
        "a refusal under secure messaging does not end it"
    );
}

#[test]
fn handshakes_are_signed_with_the_tls_key() {
    let (mut card, identity) = bound_card(&TestCenter::new(1));
    let signature = paired(&mut card).sign_handshake(&[9; 32]).unwrap();
    let key = super::access::certificate_key(&identity.certificates.tls).unwrap();
    assert!(key.verifies(&[9; 32], &signature));
}

#[test]
fn commands_that_are_not_the_tsms_do_not_pass() {
    let (mut card, identity) = bound_card(&TestCenter::new(1));
    let mut session = paired(&mut card);
    let bind = [0x80, 0x10, 0, 0];
    assert_eq!(
        session.pass(&bind).unwrap(),
        Zeroizing::new(StatusWord::SECURITY_STATUS.to_bytes().to_vec())
    );
    assert_eq!(session.pass(&[0x00, 0x84, 0, 0, 16]).unwrap().len(), 18);
    assert!(matches!(session.pass(&[1]), Err(CardError::Apdu(_))));
    assert!(session.prove([0; 16], &identity).is_ok());
}

#[test]
fn a_reset_closes_every_session() {
    let center = TestCenter::new(1);
    let (mut card, identity) = bound_card(&center);
    let channel = open_channel(&mut card, &identity, &center).unwrap();
    let (_, commands) = channel.install(&anchor(1), &one_supplier()).unwrap();
    card.reset();
    let statuses: Vec<_> = transmit(&mut card, &commands)
        .iter()
        .map(ResponseApdu::status)
        .collect();
    assert_eq!(statuses, [StatusWord::SECURITY_STATUS; 4]);
}

#[test]
fn broken_apdus_and_wrong_files_get_their_status_words() {
    let mut card = TestCard::blank(1);
    assert_eq!(card.status("00a4"), "6700");
    assert_eq!(card.status("00a4040c021234"), "6a82");
    assert_eq!(card.status("00a4020c020101"), "9000");
    assert_eq!(card.status("00b0000000"), "6a82");
    assert_eq!(card.status("00a4020c020701"), "9000");
    assert_eq!(card.status("00b00000"), "6700");
    assert_eq!(card.status("00b0000201"), "6b00");
    assert_eq!(card.status("0ca4020c020701"), "6982");
}

#[test]
fn long_commands_come_in_chains_and_long_answers_go_in_parts() {
    let center = TestCenter::new(1);
    let mut card = TestCard::blank(1);
    assert_eq!(card.status("00a4020c020301"), "9000");
    let contact = center.contact().to_bytes().unwrap();
    let parts: Vec<_> = contact.chunks(200).collect();
    for (index, part) in parts.iter().enumerate() {
        let class = if index + 1 < parts.len() { "10" } else { "00" };
        let command = format!("{class}d60000{:02x}{}", part.len(), hex::encode(part));
        assert_eq!(card.status(&command), "9000");
    }
    let mut read = Vec::new();
    let mut command = "00b0000000".to_owned();
    for _ in 0..contact.len() {
        let answer = card.transmit(&hex::decode(&command).unwrap()).unwrap();
        let (data, status) = answer.split_last_chunk::<2>().unwrap();
        read.extend_from_slice(data);
        if read.len() >= contact.len() {
            assert_eq!(status, &[0x90, 0x00]);
            break;
        }
        command = format!("00b0{:04x}64", read.len());
    }
    assert_eq!(read, contact);
    assert_eq!(card.status("0047800005b603840101"), "6146");
    assert_eq!(card.status("00c0000047"), "6c46");
    assert_eq!(card.status("00c0000000"), "9000");
    assert_eq!(card.status("00c0000000"), "6985");
}

#[test]
fn a_new_key_takes_the_certificate_of_the_old_one_away() {
    let center = TestCenter::new(1);
    let mut card = TestCard::blank(1);
    let mut certified = 0;
    let certify = |name, key: &Point| {
        certified += 1;
        Ok::<_, Infallible>(center.certify_card(guid(), name, key))
    };
    let contact = Contact {
        name: "x".repeat(65),
        ..center.contact()
    };
    // Everything is written but the contact, which is too long.
    let identify = |points: &CardPoints| Ok::<_, Infallible>((guid(), points.certified(certify)?));
    personalize(&mut card, &contact, KeyOrigin::Card, identify).unwrap_err();
    assert_eq!(certified, 4);
    assert_eq!(card.status("00a4020c020301"), "9000");
    let contact = center.contact().to_bytes().unwrap();
    let write = CommandApdu::new(Header::new([0x00, 0xD6, 0x00, 0x00]), contact);
    assert!(transmit(&mut card, &[write])[0].status().is_ok());
    assert_eq!(card.status("0047800005b603840101"), "6146");
    assert_eq!(card.status("00440000"), "6985", "SIG has no certificate any more");
    assert_eq!(card.status("00a4020c020201"), "9000");
    assert_eq!(card.status("00b0000000"), "6a82");
}

#[test]
fn a_card_that_was_cut_off_while_dying_goes_on_dying() {
    let (card, _) = bound_card(&TestCenter::new(1));
    let bytes = card.applet.state().to_bytes().unwrap();
    let mut stored: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    stored["life_cycle"] = "terminated".into();
    let state = CardState::from_bytes(stored.to_string().as_bytes()).unwrap();
    let mut applet = super::Applet::power_on(state);
    let answer = applet.process(&[0x00, 0xA4, 0x04, 0x0C], &mut TestRandom::new(1));
    assert_eq!(answer.response.as_slice(), StatusWord::TERMINATED.to_bytes());
    assert!(answer.changed, "the holder has to write down what was erased");
    let stored: serde_json::Value = serde_json::from_slice(&applet.state().to_bytes().unwrap()).unwrap();
    assert_eq!(stored["keys"], serde_json::json!({}));
    assert_eq!(stored["binding"], serde_json::Value::Null);
    let again = applet.process(&[0x00, 0xA4, 0x04, 0x0C], &mut TestRandom::new(1));
    assert!(!again.changed);
}

#[test]
fn damaged_state_is_an_error() {
    assert!(CardState::from_bytes(b"{}").is_err());
    let error = CardState::from_bytes(br#"{"format":"smgw-soft-card/9"}"#).unwrap_err();
    assert!(error.to_string().contains("another format"));
}

#[test]
fn state_changes_are_announced_to_the_holder() {
    let mut card = TestCard::blank(1);
    let mut changed = |command: &str| {
        let command = hex::decode(command).unwrap();
        card.applet.process(&command, &mut card.random).changed
    };
    assert!(!changed("00a4020c020101"));
    assert!(changed("00d6000010fd5a0000000000000000000000000001"));
    assert!(!changed("00b0000010"));
    assert!(changed(&format!(
        "00478000{:02x}{}",
        5,
        hex::encode(life::key_template(CardKey::Slot(KeySlot::Sig)).unwrap())
    )));
}

#[test]
fn proofs_and_receipts_have_domains_of_their_own() {
    let digest = |domain: &[u8]| sha256(&[domain, &[0; 32]]);
    let domains = [
        keys::PROOF_DOMAIN,
        super::binding::BIND_DOMAIN,
        super::access::AUTHENTICATION_DOMAIN,
        super::access::CHANNEL_DOMAIN,
    ];
    for (index, one) in domains.iter().enumerate() {
        for two in &domains[index + 1..] {
            assert_ne!(digest(one), digest(two));
        }
    }
}
