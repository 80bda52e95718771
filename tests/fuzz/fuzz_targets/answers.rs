//! Whatever a card answers, the gateway's side gives a result or one error, and asks only so often.
//!
//! The first byte is what the gateway wants; then come the answers: length (2, big-endian), bytes. When they are used
//! up the card is gone.
#![no_main]

use card::session::{BindOrder, CardIdentity, CardSession, Certificates};
use card::{Contact, Partner, Point, StoreHead, Transport};
use fuzz::card_world::{GATEWAY, Repeatable, SECRET};
use libfuzzer_sys::fuzz_target;
use model::Fingerprint;
use p256::elliptic_curve::sec1::ToSec1Point;
use zeroize::Zeroizing;

/// How many answers there are at the most to one thing that the gateway wants: an answer in parts has 258.
const ANSWERS: usize = 600;

/// A card that says what it is told.
struct Parrot<'a> {
    answers: &'a [u8],
    asked: usize,
}

#[derive(Debug, thiserror::Error)]
#[error("the card is gone")]
struct Gone;

impl Transport for Parrot<'_> {
    type Error = Gone;

    fn transmit(&mut self, _: &[u8]) -> Result<Zeroizing<Vec<u8>>, Gone> {
        self.asked += 1;
        assert!(self.asked <= ANSWERS, "the gateway never stops asking");
        let (length, rest) = self.answers.split_first_chunk::<2>().ok_or(Gone)?;
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (answer, rest) = rest.split_at(length);
        self.answers = rest;
        Ok(Zeroizing::new(answer.to_vec()))
    }
}

/// A card of whose certificates nothing can be said.
fn nobody() -> CardIdentity {
    CardIdentity {
        guid: "fd5a::1".parse().expect("a GUID"),
        certificates: Certificates {
            sig: Vec::new(),
            enc: Vec::new(),
            tls: Vec::new(),
            attestation: Vec::new(),
        },
        contact: Contact {
            name: String::new(),
            certificate: Vec::new(),
            issuing: None,
        },
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((wanted, answers)) = input.split_first() else {
        return;
    };
    let Ok(mut session) = CardSession::open(Parrot { answers, asked: 0 }) else {
        return;
    };
    let point = p256::AffinePoint::GENERATOR.to_sec1_point(false);
    let point = Point::try_from(point.as_bytes()).expect("the base point");
    let order = BindOrder {
        gateway: GATEWAY,
        pairing_secret: Zeroizing::new(SECRET),
        nonce: [1; 16],
    };
    match wanted % 14 {
        0 => drop(session.identity()),
        1 => drop(session.life_cycle()),
        2 => drop(session.bound_to()),
        3 => drop(session.pairing()),
        4 => assert!(
            session.pair(&SECRET, &mut Repeatable::new(1)).is_err(),
            "a parrot is paired with"
        ),
        5 => drop(session.store_head()),
        6 => drop(session.anchor()),
        7 => drop(session.suppliers()),
        8 => assert!(session.bind(&order, &nobody()).is_err(), "a parrot is bound"),
        9 => assert!(
            session.prove([1; 16], &nobody()).is_err(),
            "a parrot proves itself"
        ),
        10 => drop(session.sign(Partner::Supplier(Fingerprint::new([1; 32])), &[1; 32])),
        11 => drop(session.agree_ephemeral(Partner::Tsm, &point)),
        12 => drop(session.advance_store_head(&StoreHead::NONE)),
        _ => drop(session.pass(&[0x00, 0x84, 0, 0, 16])),
    }
});
