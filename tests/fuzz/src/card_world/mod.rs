//! A card in every state of its life, and everybody who may speak to it.
//!
//! The partners are written anew after the tables in `gateway/card/README.md`, so that they share nothing with the
//! gateway's and the TSM's sides of the product but the secure messaging itself.

mod center;
mod judge;
mod partners;
mod random;

use std::convert::Infallible;

use card::applet::CardState;
use card::personalization::{CardPoints, KeyOrigin, personalize};
use card::session::{BindOrder, CardSession};
use card::{CommandApdu, Header, Point, Transport, tlv};
use model::GatewayId;
use p256::elliptic_curve::Generate;
use zeroize::Zeroizing;

pub use center::Center;
pub use judge::JudgedCard;
pub use partners::{Gateway, Tsm};
pub use random::Repeatable;

/// The identity of the gateway that the card is bound to.
pub const GATEWAY: GatewayId = GatewayId::new([0x11; 16]);
/// The pairing secret that both share.
pub const SECRET: [u8; 16] = *b"a pairing secret";

/// A card in a variable, whose answers nobody judges.
struct Plain {
    applet: card::applet::Applet,
    random: Repeatable,
    /// What it was before its completion.
    blank: Option<CardState>,
}

/// ACTIVATE.
const COMPLETION: u8 = 0x44;

impl Transport for Plain {
    type Error = std::convert::Infallible;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, Self::Error> {
        if command.get(1) == Some(&COMPLETION) {
            self.blank = Some(self.applet.state().clone());
        }
        Ok(self.applet.process(command, &mut self.random).response)
    }
}

/// The cards of the world: blank, personalised, bound, operational, terminated, and blank with everything that a card
/// needs to be completed.
pub struct World {
    pub center: Center,
    cards: Vec<CardState>,
}

impl World {
    /// Makes the trust centre and all cards.
    pub fn create() -> Self {
        let center = Center::new(1);
        let mut cards = vec![CardState::blank()];
        let mut card = Plain {
            applet: card::applet::Applet::power_on(CardState::blank()),
            random: Repeatable::new(2),
            blank: None,
        };
        let guid = "fd5a:6d67:7700::1".parse().expect("a GUID");
        let certify = |key, point: &Point| Ok::<_, Infallible>(center.certify_card(guid, key, point));
        let identify = |points: &CardPoints| Ok::<_, Infallible>((guid, points.certified(certify)?));
        let identity = personalize(&mut card, &center.contact(), KeyOrigin::Card, identify)
            .expect("a personalised card");
        cards.push(card.applet.state().clone());
        let order = BindOrder {
            gateway: GATEWAY,
            pairing_secret: Zeroizing::new(SECRET),
            nonce: [0x55; 16],
        };
        let mut session = CardSession::open(&mut card).expect("a card");
        session.bind(&order, &identity).expect("a bound card");
        session
            .pair(&SECRET, &mut Repeatable::new(3))
            .expect("a paired card");
        session.confirm(&order).expect("a confirmed card");
        cards.push(card.applet.state().clone());

        let mut operational = JudgedCard::power_on(card.applet.state().clone());
        let mut tsm = Tsm::default();
        let suppliers = center.suppliers();
        let update = CommandApdu::new(Header::new([0x00, 0xD6, 0x00, 0x00]), suppliers);
        let select = CommandApdu::new(Header::new([0x00, 0xA4, 0x02, 0x0C]), vec![0x05, 0x01]);
        for command in [select, update] {
            let answer = tsm
                .send(&mut operational, &center, &command)
                .expect("an answer to the TSM");
            assert!(answer.status().is_ok(), "{answer:?}");
        }
        cards.push(operational.state().clone());
        let end = CommandApdu::new(Header::new([0x00, 0xFE, 0x00, 0x00]), Vec::new());
        assert!(
            tsm.send(&mut operational, &center, &end)
                .is_some_and(|answer| answer.status().is_ok())
        );
        cards.push(operational.state().clone());
        cards.push(card.blank.expect("a card before its completion"));
        Self { center, cards }
    }

    /// Returns a card; the number chooses its state.
    pub fn card(&self, number: u8) -> CardState {
        self.cards[usize::from(number) % self.cards.len()].clone()
    }
}

/// Imports a key pair of which the input knows nothing but its number, so that whoever hears its private key has it from
/// the card.
pub fn import(name: u8, number: u8) -> CommandApdu {
    let (template, reference) = [(0xB6, 1), (0xA6, 2), (0xA4, 3), (0xA4, 4)][usize::from(name) % 4];
    let key = p256::SecretKey::generate_from_rng(&mut Repeatable::new(1_000 + u64::from(number)));
    let pair = [&key.to_bytes()[..], &key.public_key().to_sec1_bytes()].concat();
    let list = tlv::encode([
        (template, &[0x84, 1, reference][..]),
        (0x7F48, &[0x92, 0x20, 0x99, 0x41]),
        (0x5F48, &pair),
    ]);
    let data = tlv::encode([(0x4D, &list.expect("a list")[..])]);
    CommandApdu::new(Header::new([0x00, 0xDB, 0x3F, 0xFF]), data.expect("a key pair"))
}

#[cfg(test)]
mod tests {
    use card::LifeCycle;

    use super::*;

    #[test]
    fn world_has_a_card_in_every_state() {
        let world = World::create();
        let states: Vec<_> = (0..6).map(|number| world.card(number).life_cycle()).collect();
        use LifeCycle::{Blank, Bound, Operational, Personalized, Terminated};
        assert_eq!(
            states,
            [Blank, Personalized, Bound, Operational, Terminated, Blank]
        );
    }

    #[test]
    fn cards_are_completed_and_take_keys() {
        let world = World::create();
        let activate = [0x00, 0x44, 0x00, 0x00];
        let mut card = JudgedCard::power_on(world.card(5));
        assert!(card.raw(&activate).status().is_ok());
        let mut card = JudgedCard::power_on(world.card(5));
        let send = |card: &mut JudgedCard, command: CommandApdu| {
            card.raw(&command.to_bytes().expect("a command")).status()
        };
        for name in 0..3 {
            assert!(send(&mut card, import(name, 7)).is_ok());
        }
        assert!(!send(&mut card, import(3, 7)).is_ok());
        assert!(!card.raw(&activate).status().is_ok());
    }

    #[test]
    fn gateway_and_tsm_of_the_world_are_let_in() {
        let world = World::create();
        let mut card = JudgedCard::power_on(world.card(3));
        let read = CommandApdu::new(Header::new([0x00, 0xB0, 0x00, 0x00]), Vec::new()).expecting(256);
        let select = CommandApdu::new(Header::new([0x00, 0xA4, 0x02, 0x0C]), vec![0x05, 0x01]);
        let (mut gateway, mut tsm) = (Gateway::default(), Tsm::default());
        assert!(
            gateway
                .send(&mut card, &select)
                .expect("an answer")
                .status()
                .is_ok()
        );
        let seen = gateway.send(&mut card, &read).expect("an answer").data().to_vec();
        assert!(
            tsm.send(&mut card, &world.center, &select)
                .expect("an answer")
                .status()
                .is_ok()
        );
        let found = tsm.send(&mut card, &world.center, &read).expect("an answer");
        assert_eq!(found.data(), seen);
    }
}
