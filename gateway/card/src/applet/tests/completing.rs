//! A blank card takes key pairs that were made elsewhere, and is completed only when all that it holds agrees.

use super::*;
use crate::personalization::ImportedKeys;

pub(super) const IMPORT: [u8; 4] = [0x00, 0xDB, 0x3F, 0xFF];

fn key(seed: u64) -> PrivateKey {
    PrivateKey::generate(&mut TestRandom::new(seed))
}

/// `4D { template {84 reference}, 7F48 {92 20, 99 41}, 5F48 private key ‖ point }`
pub(super) fn import_data(template: u16, reference: u8, private: &[u8], point: &[u8]) -> Vec<u8> {
    let reference = tlv::encode([(0x84, &[reference][..])]).unwrap();
    let pair = [private, point].concat();
    let list = tlv::encode([
        (template, &reference[..]),
        (0x7F48, &[0x92, 0x20, 0x99, 0x41]),
        (0x5F48, &pair),
    ]);
    tlv::encode([(0x4D, &list.unwrap()[..])]).unwrap()
}

fn import(card: &mut TestCard, data: Vec<u8>) -> StatusWord {
    transmit(card, &[CommandApdu::new(Header::new(IMPORT), data)])[0].status()
}

fn import_key(card: &mut TestCard, (template, reference): (u16, u8), key: &PrivateKey) -> StatusWord {
    let data = import_data(
        template,
        reference,
        key.to_bytes().as_slice(),
        &key.point().to_bytes(),
    );
    import(card, data)
}

const SIG: (u16, u8) = (0xB6, 1);
const ENC: (u16, u8) = (0xA6, 2);
const TLS: (u16, u8) = (0xA4, 3);
const ATTESTATION: (u16, u8) = (0xA4, 4);

/// Returns a blank card with imported keys, and all its points.
fn blank_with(seeds: [u64; 3]) -> (TestCard, [Point; 4]) {
    let mut card = TestCard::blank(1);
    let keys = seeds.map(key);
    for (name, key) in [SIG, ENC, TLS].into_iter().zip(&keys) {
        assert_eq!(import_key(&mut card, name, key), StatusWord::OK);
    }
    let template = life::key_template(CardKey::Attestation).unwrap();
    let generate = CommandApdu::new(Header::new([0x00, 0x47, 0x80, 0x00]), template).expecting(256);
    let answer = transmit(&mut card, &[generate]).remove(0);
    let attestation = Point::try_from(&answer.data()[5..]).unwrap();
    let [sig, enc, tls] = keys.map(|key| key.point());
    (card, [sig, enc, tls, attestation])
}

fn write(card: &mut TestCard, file: FileId, content: Vec<u8>) {
    let identifier = file.identifier().to_be_bytes().to_vec();
    let commands = [
        CommandApdu::new(Header::new([0x00, 0xA4, 0x02, 0x0C]), identifier),
        CommandApdu::new(Header::new([0x00, 0xD6, 0x00, 0x00]), content),
    ];
    let statuses: Vec<_> = transmit(card, &commands)
        .iter()
        .map(ResponseApdu::status)
        .collect();
    assert_eq!(statuses, [StatusWord::OK; 2], "{file:?}");
}

/// Writes everything that a card needs and has it completed; returns what it says to that.
fn complete(
    seeds: [u64; 3],
    contact: &Contact,
    guid: CardId,
    certify: impl Fn(CardKey, &Point) -> Vec<u8>,
) -> String {
    let (mut card, points) = blank_with(seeds);
    write(&mut card, FileId::Guid, guid.to_bytes().to_vec());
    write(&mut card, FileId::Contact, contact.to_bytes().unwrap());
    for (name, point) in CardKey::ALL.into_iter().zip(&points) {
        write(&mut card, FileId::certificate_of(name), certify(name, point));
    }
    let status = card.status("00440000");
    let expected = match status.as_str() {
        "9000" => LifeCycle::Personalized,
        _ => LifeCycle::Blank,
    };
    assert_eq!(card.applet.state().life_cycle(), expected);
    status
}

#[test]
fn a_card_is_completed_only_when_its_certificates_hold() {
    let (center, other) = (TestCenter::new(1), TestCenter::new(2));
    let contact = center.contact();
    let good = |name, point: &Point| center.certify_card(guid(), name, point);
    assert_eq!(complete([2, 3, 4], &contact, guid(), good), "9000");
    let another = "fd5a::2".parse().unwrap();
    assert_eq!(complete([2, 3, 4], &contact, another, good), "6985", "GUID");
    for bad in CardKey::ALL {
        let one = |instead: &dyn Fn(&Point) -> Vec<u8>| {
            complete([2, 3, 4], &contact, guid(), |name, point| {
                if name == bad {
                    instead(point)
                } else {
                    good(name, point)
                }
            })
        };
        let foreign = one(&|point| other.certify_card(guid(), bad, point));
        assert_eq!(foreign, "6985", "{bad} by another trust centre");
        let wrong = match bad {
            CardKey::Slot(KeySlot::Enc) => KeySlot::Tls,
            _ => KeySlot::Enc,
        };
        let usage = one(&|point| center.issue("Card", wrong, Some(guid()), point));
        assert_eq!(usage, "6985", "{bad} for another use");
        let slot = match bad {
            CardKey::Slot(slot) => slot,
            CardKey::Attestation => KeySlot::Sig,
        };
        let nobody = one(&|point| center.certify("Card", slot, point));
        assert_eq!(nobody, "6985", "{bad} without GUID");
        let another = one(&|point| center.certify_card(another, bad, point));
        assert_eq!(another, "6985", "{bad} of another card");
    }
}

#[test]
fn a_card_is_not_completed_with_one_key_for_two_uses() {
    let center = TestCenter::new(1);
    let good = |name, point: &Point| center.certify_card(guid(), name, point);
    for seeds in [[2, 2, 3], [2, 3, 2], [3, 2, 2]] {
        assert_eq!(
            complete(seeds, &center.contact(), guid(), good),
            "6985",
            "{seeds:?}"
        );
    }
}

#[test]
fn certificates_by_an_issuing_authority_hold_if_the_trust_centre_made_it_one() {
    let (center, issuing, other) = (TestCenter::new(1), TestCenter::new(2), TestCenter::new(3));
    let by_issuing = |name, point: &Point| issuing.certify_card(guid(), name, point);
    let completed = |contact: &Contact| complete([2, 3, 4], contact, guid(), by_issuing);
    assert_eq!(completed(&center.contact_with(&issuing, true)), "9000");
    assert_eq!(completed(&center.contact_with(&issuing, false)), "6985");
    assert_eq!(completed(&center.contact_with(&other, true)), "6985");
    let self_made = Contact {
        issuing: issuing.contact_with(&issuing, true).issuing,
        ..center.contact()
    };
    assert_eq!(completed(&self_made), "6985");
}

#[test]
fn imported_keys_serve_as_made_ones_do_and_are_never_read_again() {
    let center = TestCenter::new(1);
    let mut card = TestCard::blank(1);
    let certify = |name, key: &Point| Ok::<_, Infallible>(center.certify_card(guid(), name, key));
    let identify = |points: &CardPoints| Ok::<_, Infallible>((guid(), points.certified(certify)?));
    let keys = ImportedKeys::generate(&mut TestRandom::new(70));
    let origin = KeyOrigin::Imported(Box::new(keys));
    let identity = personalize(&mut card, &center.contact(), origin, identify).unwrap();
    // The same random numbers make the same keys again.
    let mut random = TestRandom::new(70);
    let [sig, enc, tls] = [(); 3].map(|()| PrivateKey::generate(&mut random));
    let certified = |der: &[u8]| crate::applet::access::certificate_key(der).unwrap();
    assert_eq!(certified(&identity.certificates.sig), sig.point());
    assert_eq!(certified(&identity.certificates.enc), enc.point());
    let mut session = CardSession::open(&mut card).unwrap();
    session.bind(&order(GATEWAY), &identity).unwrap();
    session.pair(&SECRET, &mut TestRandom::new(40)).unwrap();
    let signature = session.sign(Partner::Tsm, &[1; 32]).unwrap();
    assert!(sig.point().verifies(&[1; 32], &signature));
    let signature = session.sign_handshake(&[2; 32]).unwrap();
    assert!(tls.point().verifies(&[2; 32], &signature));
    let secret = session.agree(Partner::Tsm, &supplier_key().point()).unwrap();
    let expected = enc.agree(&supplier_key().point());
    assert_eq!(secret.as_bytes(), expected.as_bytes());
    session.prove([3; 16], &identity).unwrap();
}

#[test]
fn a_card_attests_with_the_key_that_was_imported_for_it() {
    let center = TestCenter::new(1);
    let mut card = TestCard::blank(1);
    let certify = |name, key: &Point| Ok::<_, Infallible>(center.certify_card(guid(), name, key));
    let identify = |points: &CardPoints| Ok::<_, Infallible>((guid(), points.certified(certify)?));
    let number = |name| match name {
        CardKey::Slot(KeySlot::Sig) => key(70).to_bytes(),
        CardKey::Slot(KeySlot::Enc) => key(71).to_bytes(),
        CardKey::Slot(KeySlot::Tls) => key(72).to_bytes(),
        CardKey::Attestation => key(73).to_bytes(),
    };
    let origin = KeyOrigin::Imported(Box::new(ImportedKeys::complete(number).unwrap()));
    let identity = personalize(&mut card, &center.contact(), origin, identify).unwrap();
    let certified = |der: &[u8]| crate::applet::access::certificate_key(der).unwrap();
    assert_eq!(certified(&identity.certificates.sig), key(70).point());
    assert_eq!(certified(&identity.certificates.enc), key(71).point());
    assert_eq!(certified(&identity.certificates.tls), key(72).point());
    assert_eq!(certified(&identity.certificates.attestation), key(73).point());
    // The receipt of the binding and the proof are checked by the certified key.
    let mut session = CardSession::open(&mut card).unwrap();
    session.bind(&order(GATEWAY), &identity).unwrap();
    session.pair(&SECRET, &mut TestRandom::new(40)).unwrap();
    session.prove([3; 16], &identity).unwrap();
}

#[test]
fn numbers_that_are_no_keys_are_not_taken_for_any() {
    for bad in CardKey::ALL {
        let number = |name| match name {
            name if name == bad => Zeroizing::new([0; 32]),
            _ => key(70).to_bytes(),
        };
        let refused = ImportedKeys::complete(number).unwrap_err();
        assert_eq!(refused.key, bad);
        assert!(refused.to_string().contains("other keys"), "{refused}");
    }
}

#[test]
fn an_imported_key_replaces_the_one_before_and_its_certificate() {
    let center = TestCenter::new(1);
    let (mut card, [sig, ..]) = blank_with([2, 3, 4]);
    let certificate = center.certify_card(guid(), CardKey::Slot(KeySlot::Sig), &sig);
    write(&mut card, FileId::CertificateSig, certificate);
    assert_eq!(import_key(&mut card, SIG, &key(5)), StatusWord::OK);
    assert_eq!(card.status("00a4020c020201"), "9000");
    assert_eq!(card.status("00b0000000"), "6a82");
}

#[test]
fn key_pairs_that_are_none_are_refused_and_change_nothing() {
    let mut card = TestCard::blank(1);
    let before = card.applet.state().to_bytes().unwrap();
    let good = key(2);
    let (private, point) = (good.to_bytes(), good.point().to_bytes());
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    let mut off = point;
    off[64] ^= 1;
    let wrong = StatusWord::WRONG_DATA;
    let data = |private: &[u8], point: &[u8]| import_data(0xB6, 1, private, point);
    for (name, data) in [
        ("zero", data(&[0; 32], &point)),
        ("the order", data(&order, &point)),
        ("beyond the order", data(&[0xFF; 32], &point)),
        (
            "another point",
            data(private.as_slice(), &key(3).point().to_bytes()),
        ),
        ("a point off the curve", data(private.as_slice(), &off)),
        ("no point", data(private.as_slice(), &[])),
        ("a short key", data(&private[1..], &point)),
        ("nothing", Vec::new()),
        (
            "more than a list",
            [data(private.as_slice(), &point), vec![0x80, 0]].concat(),
        ),
        ("other lengths", {
            let mut data = data(private.as_slice(), &point);
            data[11] = 0x21;
            data
        }),
    ] {
        assert_eq!(import(&mut card, data), wrong, "{name}");
    }
    for reference in [(0xA4, 5), (0xB6, 4), (0xB6, 2), (0xA6, 1), (0xA4, 0)] {
        let status = import_key(&mut card, reference, &good);
        assert_eq!(status, StatusWord::REFERENCE_NOT_FOUND, "{reference:02x?}");
    }
    assert_eq!(card.applet.state().to_bytes().unwrap(), before);
}

#[test]
fn no_key_is_imported_once_the_card_is_completed() {
    let center = TestCenter::new(1);
    for mut card in [
        TestCard::personalized(1, &center).0,
        bound_card(&center).0,
        operational_card(&center).0,
    ] {
        let before = card.applet.state().to_bytes().unwrap();
        for name in [SIG, ENC, TLS, ATTESTATION] {
            assert_eq!(import_key(&mut card, name, &key(2)), StatusWord::CONDITIONS);
        }
        assert_eq!(card.applet.state().to_bytes().unwrap(), before);
    }
}

#[test]
fn a_card_that_refuses_its_completion_is_known_to_be_blank() {
    let (center, other) = (TestCenter::new(1), TestCenter::new(2));
    let mut card = TestCard::blank(1);
    let certify = |name, key: &Point| Ok::<_, Infallible>(other.certify_card(guid(), name, key));
    let identify = |points: &CardPoints| Ok::<_, Infallible>((guid(), points.certified(certify)?));
    let refused = personalize(&mut card, &center.contact(), KeyOrigin::Card, identify).unwrap_err();
    let PersonalizationError::Card(CardError::Refused { command, status }) = refused else {
        panic!("{refused}");
    };
    assert_eq!((command, status), ("ACTIVATE", StatusWord::CONDITIONS));
}
