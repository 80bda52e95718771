//! The published example, and two ends that meet.

use bp256::r1::BrainpoolP256r1;
use proptest::prelude::*;

use super::*;
use crate::applet::testing::TestRandom;
use crate::crypto::sha256;
use crate::{CommandApdu, Header, ResponseApdu};

impl PaceCurve for BrainpoolP256r1 {}

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text.replace(' ', "")).unwrap()
}

fn scalar(text: &str) -> NonZeroScalar<BrainpoolP256r1> {
    NonZeroScalar::<BrainpoolP256r1>::try_from(bytes(text).as_slice()).unwrap()
}

fn point(x: &str, y: &str) -> Vec<u8> {
    bytes(&format!("04{x}{y}"))
}

/// The keys of the example: SHA-1 over the document number, date of birth and of expiry, with
/// their check digits (T22000129 3, 640812 5, 101031 8).
const SECRET: &str = "7E2D2A41C74EA0B38CD36F863939BFA8E9032AAD";
const NONCE_CLEAR: &str = "3F00C4D39D153F2B2A214A078D899B22";
const NONCE_ENCRYPTED: &str = "95A3A016522EE98D01E76CB6B98B42C3";
const TERMINAL_MAP: &str = "7F4EF07B9EA82FD78AD689B38D0BC78CF21F249D953BC46F4C6E19259C010F99";
const CHIP_MAP: &str = "498FF49756F2DC1587840041839A85982BE7761D14715FB091EFA7BCE9058560";
const TERMINAL_KEY: &str = "A73FB703AC1436A18E0CFA5ABB3F7BEC7A070E7A6788486BEE230C4A22762595";
const CHIP_KEY: &str = "107CF58696EF6155053340FD633392BA81909DF7B9706F226F32086C7AFF974A";

/// ICAO Doc 9303-11, appendix G.1: PACE with generic mapping on brainpoolP256r1, step by step. It is
/// the example of BSI TR-03110 as well.
#[test]
fn the_published_example_is_reproduced() {
    let key = NonceKey::new(&bytes(SECRET));
    assert_eq!(key.0.as_slice(), bytes("89DED1B26624EC1E634C1989302849DD"));
    let encrypted: [u8; NONCE] = bytes(NONCE_ENCRYPTED).try_into().unwrap();
    assert_eq!(key.decrypt(encrypted).0.as_slice(), bytes(NONCE_CLEAR));
    assert_eq!(key.encrypt(&key.decrypt(encrypted)), encrypted);

    let terminal = Mapping::with_key(key.decrypt(encrypted), scalar(TERMINAL_MAP));
    let chip = Mapping::with_key(key.decrypt(encrypted), scalar(CHIP_MAP));
    let terminal_map = point(
        "7ACF3EFC982EC45565A4B155129EFBC74650DCBFA6362D896FC70262E0C2CC5E",
        "544552DCB6725218799115B55C9BAA6D9F6BC3A9618E70C25AF71777A9C4922D",
    );
    let chip_map = point(
        "824FBA91C9CBE26BEF53A0EBE7342A3BF178CEA9F45DE0B70AA601651FBA3F57",
        "30D8C879AAA9C9F73991E61B58F4D52EB87A0A0C709A49DC63719363CCD13C54",
    );
    assert_eq!(terminal.public(), terminal_map);
    assert_eq!(chip.public(), chip_map);

    let terminal = terminal.map_with(&chip_map, scalar(TERMINAL_KEY)).unwrap();
    let chip = chip.map_with(&terminal_map, scalar(CHIP_KEY)).unwrap();
    let mapped = point(
        "8CED63C91426D4F0EB1435E7CB1D74A46723A0AF21C89634F65A9AE87A9265E2",
        "8C879506743F8611AC33645C5B985C80B5F09A0B83407C1B6A4D857AE76FE522",
    );
    assert_eq!(encode::<BrainpoolP256r1>(terminal.base), mapped);
    assert_eq!(encode::<BrainpoolP256r1>(chip.base), mapped);
    let terminal_key = point(
        "2DB7A64C0355044EC9DF190514C625CBA2CEA48754887122F3A5EF0D5EDD301C",
        "3556F3B3B186DF10B857B58F6A7EB80F20BA5DC7BE1D43D9BF850149FBB36462",
    );
    let chip_key = point(
        "9E880F842905B8B3181F7AF7CAA9F0EFB743847F44A306D2D28C1D9EC65DF6DB",
        "7764B22277A2EDDC3C265A9F018F9CB852E111B768B326904B59A0193776F094",
    );
    assert_eq!(terminal.public(), terminal_key);
    assert_eq!(chip.public(), chip_key);

    let terminal = terminal.agree(&chip_key).unwrap();
    let chip = chip.agree(&terminal_key).unwrap();
    assert_eq!(terminal.token().as_slice(), bytes("C2B0BD78D94BA866"));
    assert_eq!(chip.token().as_slice(), bytes("3ABB9674BCE93C08"));
    let token = terminal.token();
    assert!(terminal.verify(&chip.token()).is_ok());
    assert!(chip.verify(&token).is_ok());
}

/// The card's own curve, and the first command and answer under the agreed keys. Expected values: computed
/// once with Python's integers (the curve) and OpenSSL 3.0 (`enc -aes-128-ecb`, `enc -aes-128-cbc`, `mac CMAC`),
/// after ICAO Doc 9303-11, sections 4.4 and 9.8, and BSI TR-03110-3, annex F. The private keys are the SHA-256
/// digests of the four texts.
#[test]
fn a_foreign_computation_on_p256_is_reproduced() {
    let private =
        |text: &str| NonZeroScalar::<NistP256>::try_from(sha256(&[text.as_bytes()]).as_slice()).unwrap();
    let secret: Vec<u8> = (0..16).collect();
    let key = NonceKey::new(&secret);
    let encrypted: [u8; NONCE] = bytes("79571c7e402cd20a43483c9d567ed2df").try_into().unwrap();
    let clear: Vec<u8> = (0xA0..0xB0).collect();
    assert_eq!(key.decrypt(encrypted).0.as_slice(), clear);
    let terminal = Mapping::with_key(key.decrypt(encrypted), private("terminal map"));
    let card = Mapping::with_key(key.decrypt(encrypted), private("card map"));
    let (terminal_map, card_map) = (terminal.public(), card.public());
    let terminal = terminal.map_with(&card_map, private("terminal key")).unwrap();
    let card = card.map_with(&terminal_map, private("card key")).unwrap();
    let base = point(
        "2070da06d6a1e73022b6863654169e29bbe15353204903c92cc22dba4f5e7e78",
        "4dee8cf1bdc0c467dd5fe735acba0060c43fab659d932730e5e313f9db0104d5",
    );
    assert_eq!(encode::<NistP256>(terminal.base), base);
    let (terminal_key, card_key) = (terminal.public(), card.public());
    let terminal = terminal.agree(&card_key).unwrap();
    let card = card.agree(&terminal_key).unwrap();
    assert_eq!(terminal.token().as_slice(), bytes("f47207a561ff0f01"));
    assert_eq!(card.token().as_slice(), bytes("8a1759885a823216"));
    let (terminal_token, card_token) = (terminal.token(), card.token());
    let terminal = terminal.verify(&card_token).unwrap();
    let card = card.verify(&terminal_token).unwrap();

    let command = CommandApdu::new(Header::new([0x00, 0xB0, 0x00, 0x04]), vec![6, 2]).expecting(32);
    let (_, protected) = terminal.wrap_command(&command).unwrap();
    let expected = "871101513f0912ff5d53f06beb55ce7226afa79701208e086528627f9efeeb12";
    assert_eq!(protected.data(), bytes(expected));
    let (card, _) = card.unwrap_command(&protected).unwrap();
    let answer = ResponseApdu::ok((0..20).collect());
    let expected =
        "87210153ae2e72b68ac9d7f8aeb62dd79390b4b8c8f5415a2444ae79e3784f53a334d2990290008e082acdb15ddfc3f867";
    assert_eq!(card.wrap_response(&answer).unwrap().1, bytes(expected));
}

/// Runs both ends on P-256 and returns what each says of the other's token.
fn meet(terminal_secret: &[u8], card_secret: &[u8]) -> [Result<Channel, PaceError>; 2] {
    let (mut random, mut theirs) = (TestRandom::new(1), TestRandom::new(2));
    let nonce = Nonce::generate(&mut theirs);
    let encrypted = NonceKey::new(card_secret).encrypt(&nonce);
    let card = Mapping::<NistP256>::begin(nonce, &mut theirs);
    let nonce = NonceKey::new(terminal_secret).decrypt(encrypted);
    let terminal = Mapping::<NistP256>::begin(nonce, &mut random);
    let (card_map, terminal_map) = (card.public(), terminal.public());
    let terminal = terminal.map(&card_map, &mut random).unwrap();
    let card = card.map(&terminal_map, &mut theirs).unwrap();
    let (card_key, terminal_key) = (card.public(), terminal.public());
    let terminal = terminal.agree(&card_key).unwrap();
    let card = card.agree(&terminal_key).unwrap();
    let (terminal_token, card_token) = (terminal.token(), card.token());
    [terminal.verify(&card_token), card.verify(&terminal_token)]
}

#[test]
fn ends_with_one_secret_agree_one_channel() {
    let [terminal, card] = meet(&[7; 16], &[7; 16]).map(Result::unwrap);
    let command = CommandApdu::new(Header::new([0, 0xB0, 0, 0]), vec![1]);
    let (_, protected) = terminal.wrap_command(&command).unwrap();
    assert_eq!(card.unwrap_command(&protected).unwrap().1, command);
}

#[test]
fn ends_with_two_secrets_refuse_each_other() {
    for outcome in meet(&[7; 16], &[8; 16]) {
        assert_eq!(outcome.map(|_| ()), Err(PaceError::Token));
    }
}

fn mapping() -> Mapping<NistP256> {
    let mut random = TestRandom::new(3);
    Mapping::begin(Nonce::generate(&mut random), &mut random)
}

#[test]
fn points_off_the_curve_are_refused() {
    let mut off = mapping().public();
    off[64] ^= 1;
    let compressed = [&[0x02][..], &off[1..33]].concat();
    for bad in [&off[..], &off[..64], &compressed, &[0x00], &[]] {
        let random = &mut TestRandom::new(4);
        let refused = mapping().map(bad, random).map(|_| ());
        assert_eq!(refused, Err(PaceError::Point), "{bad:02x?}");
        let good = Mapping::<NistP256>::begin(Nonce::generate(random), random).public();
        let agreement = mapping().map(&good, random).unwrap();
        assert_eq!(agreement.agree(bad).map(|_| ()), Err(PaceError::Point));
    }
}

#[test]
fn a_key_that_is_sent_back_is_refused() {
    let random = &mut TestRandom::new(4);
    let peer = Mapping::<NistP256>::begin(Nonce::generate(random), random).public();
    let agreement = mapping().map(&peer, random).unwrap();
    let own = agreement.public();
    assert_eq!(agreement.agree(&own).map(|_| ()), Err(PaceError::Reflected));
}

#[test]
fn a_nonce_that_maps_to_nothing_is_refused() {
    // H = k × G with k = −s makes s × G + H the point at infinity.
    let nonce = Nonce(Zeroizing::new([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
    let one = NonZeroScalar::<NistP256>::try_from([&[0; 31][..], &[1]].concat().as_slice()).unwrap();
    let minus = encode::<NistP256>(-ProjectivePoint::<NistP256>::generator());
    let mapping = Mapping::<NistP256>::with_key(nonce, one);
    let refused = mapping.map(&minus, &mut TestRandom::new(1)).map(|_| ());
    assert_eq!(refused, Err(PaceError::Mapping));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_a_point_or_refused(bytes: Vec<u8>) {
        prop_assert!(mapping().map(&bytes, &mut TestRandom::new(5)).is_err());
    }
}
