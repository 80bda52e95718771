//! A card in every state of its life, and everybody who may speak to it.
//!
//! The partners are written anew after the tables in `gateway/card/README.md`, so that they share nothing with the
//! gateway's and the TSM's sides of the product but the secure messaging itself.

mod center;
mod judge;
mod partners;
mod random;

use card::applet::CardState;
use card::personalization::personalize;
use card::session::{BindOrder, CardSession};
use card::{CommandApdu, Header, Transport};
use model::GatewayId;
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
}

impl Transport for Plain {
    type Error = std::convert::Infallible;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, Self::Error> {
        Ok(self.applet.process(command, &mut self.random).response)
    }
}

/// The cards of the world: blank, personalised, bound, operational, terminated.
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
        };
        let guid = "fd5a:6d67:7700::1".parse().expect("a GUID");
        let identity = personalize(&mut card, guid, &center.contact(), |key, point| {
            Ok::<_, std::convert::Infallible>(center.certify_card(key, point))
        })
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
        Self { center, cards }
    }

    /// Returns a card; the number chooses its state.
    pub fn card(&self, number: u8) -> CardState {
        self.cards[usize::from(number) % self.cards.len()].clone()
    }
}

#[cfg(test)]
mod tests {
    use card::LifeCycle;

    use super::*;

    #[test]
    fn world_has_a_card_in_every_state() {
        let world = World::create();
        let states: Vec<_> = (0..5).map(|number| world.card(number).life_cycle()).collect();
        use LifeCycle::{Blank, Bound, Operational, Personalized, Terminated};
        assert_eq!(states, [Blank, Personalized, Bound, Operational, Terminated]);
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
