//! What passes for a command of the TSM, and what does not.

use super::*;
use crate::crypto::PrivateKey;

fn point() -> [u8; 65] {
    PrivateKey::derived(b"test", &[7; 16], &[9; 16])
        .unwrap()
        .point()
        .to_bytes()
}

fn template(object: u16, value: &[u8]) -> Vec<u8> {
    tlv::encode([(0x7C, &tlv::encode([(object, value)]).unwrap()[..])]).unwrap()
}

fn passes(header: [u8; 4], data: &[u8]) -> bool {
    belongs_to_tsm(&CommandApdu::new(Header::new(header), data.to_vec()).expecting(256))
}

/// The commands of the TSM, each as it makes them.
fn commands() -> [([u8; 4], Vec<u8>); 5] {
    let authentication = tlv::encode([(0x86, &point()[..]), (0x9E, &[1; 64])]).unwrap();
    let protected = [&[0x0C, 0x2C, 0x03, 0x03, 0x0A, 0x8E, 0x08][..], &[5; 8], &[0x00]].concat();
    [
        ([0x00, 0x84, 0x00, 0x00], Vec::new()),
        ([0x00, 0x2A, 0x00, 0xBE], vec![0x30, 0x82, 0x01, 0x00]),
        ([0x00, 0x82, 0x00, 0x00], authentication),
        ([0x00, 0x86, 0x00, 0x00], template(0x80, &point())),
        ([0x00, 0xC2, 0x00, 0x00], protected),
    ]
}

#[test]
fn commands_of_the_tsm_pass_under_their_own_header_alone() {
    let commands = commands();
    for (header, data) in &commands {
        assert!(passes(*header, data), "{header:02X?}");
        for place in 0..4 {
            for bit in 0..8 {
                let mut other = *header;
                other[place] ^= 1 << bit;
                assert!(!passes(other, data), "{other:02X?}");
            }
        }
        for (other, _) in commands.iter().filter(|(other, _)| other != header) {
            assert!(
                !passes(*other, data),
                "{other:02X?} with the data of {header:02X?}"
            );
        }
    }
}

#[test]
fn general_authenticate_passes_with_the_key_of_the_tsm_alone() {
    const HEADER: [u8; 4] = [0x00, 0x86, 0x00, 0x00];
    // 81 to 84 are the pairing, 85 is a key agreement with the gateway's own key or the last step of the pairing.
    for object in [0x81, 0x82, 0x83, 0x84, 0x85, 0x86] {
        assert!(!passes(HEADER, &template(object, &point())), "{object:02X}");
    }
    assert!(!passes(HEADER, &[0x7C, 0x00]), "the pairing begins so");
    assert!(!passes(HEADER, &template(0x80, &point()[..64])));
    assert!(
        !passes(HEADER, &template(0x80, &[4; 65])),
        "no point of the curve"
    );
    let two = tlv::encode([(0x80, &point()[..]), (0x85, &point()[..])]).unwrap();
    assert!(!passes(HEADER, &tlv::encode([(0x7C, &two[..])]).unwrap()));
    let behind = [template(0x80, &point()), template(0x85, &point())].concat();
    assert!(!passes(HEADER, &behind));
}

#[test]
fn other_commands_pass_with_their_own_data_objects_alone() {
    assert!(!passes([0x00, 0x84, 0x00, 0x00], &[0]));
    assert!(!passes([0x00, 0x2A, 0x00, 0xBE], &[]));
    assert!(!passes([0x00, 0x2A, 0x00, 0xBE], &[0x7F, 0x21, 0x00]));
    let reversed = tlv::encode([(0x9E, &[1; 64][..]), (0x86, &point()[..])]).unwrap();
    assert!(!passes([0x00, 0x82, 0x00, 0x00], &reversed));
    let key_alone = tlv::encode([(0x86, &point()[..])]).unwrap();
    assert!(!passes([0x00, 0x82, 0x00, 0x00], &key_alone));
    // An ENVELOPE is around a protected command, not around one in clear or nothing.
    for inner in [
        &[][..],
        &[0x0C],
        &[0x00, 0xFE, 0x00, 0x00],
        &[0x80, 0x10, 0x00, 0x00],
    ] {
        assert!(!passes([0x00, 0xC2, 0x00, 0x00], inner), "{inner:02X?}");
    }
    for header in [
        [0x80, 0x10, 0x00, 0x00],
        [0x00, 0xB0, 0x00, 0x00],
        [0x00, 0x2A, 0x9E, 0x9A],
    ] {
        assert!(!passes(header, &[1; 32]), "{header:02X?}");
    }
}

#[test]
fn certificate_is_found_in_the_command_that_shows_it_alone() {
    for (header, data) in commands() {
        let command = CommandApdu::new(Header::new(header), data.clone())
            .to_bytes()
            .unwrap();
        let shows_one = header == VERIFY_CERTIFICATE;
        assert_eq!(shown_certificate(&command), shows_one.then_some(data));
    }
    assert_eq!(shown_certificate(&[0x00]), None);
}
