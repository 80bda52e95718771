//! A facility that makes cards of material, with cards that are taken out at every command.

use card::{LifeCycle, Transport};
use counterparty::clock;
use model::CardId;
use zeroize::Zeroizing;

use super::bench::{Bench, BenchError, Made};
use super::center::Center;
use super::home::Facility;
use crate::arguments::CardPlace;
use crate::batch::station;
use crate::books::{Books, DeliveryId, GuidPrefix, Outcome};
use crate::certify::certify_facility;
use crate::keys::Secrets;
use crate::personalize::GuidSource;
use crate::soft_card::SoftCard;
use crate::stories::{House, house};

/// A trust centre, and a facility of which it has certified the requests.
fn factory() -> (House, Center, Facility) {
    let house = house();
    let center = Center {
        authority: house.load().unwrap(),
        books: Books::open(&house.home()).unwrap(),
        source: GuidSource::Prefix(GuidPrefix::DEFAULT.parse().unwrap()),
    };
    let folder = house.path("factory");
    Facility::init(&folder, &"Factory".parse().unwrap(), &Secrets::default()).unwrap();
    certify_facility(&house.authority, &house.books, &folder, clock::now()).unwrap();
    let facility = Facility::load(&folder, &Secrets::default(), clock::now()).unwrap();
    (house, center, facility)
}

/// Gives the facility material for some cards; returns their GUIDs in the order in which they are used.
fn deliver(center: &Center, facility: &Facility, delivery: u8, cards: usize) -> Vec<CardId> {
    let now = clock::now();
    let delivery = DeliveryId::new([delivery; 16]);
    let name = "Factory".parse().unwrap();
    let letter = center.export(&name, delivery, cards, now).unwrap();
    let mut guids = facility.accept(&letter, now, None).unwrap();
    guids.sort_by_key(ToString::to_string);
    guids
}

/// Whether the command at which a card is taken out reaches the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    BeforeTheCommand,
    BeforeTheAnswer,
}

/// A card that is taken out at a command, counted from 0.
struct Slippery {
    card: SoftCard,
    left: u32,
    cut: Cut,
}

#[derive(Debug, thiserror::Error)]
#[error("the card was taken out")]
struct TakenOut;

impl Transport for Slippery {
    type Error = TakenOut;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, TakenOut> {
        let Some(left) = self.left.checked_sub(1) else {
            if self.cut == Cut::BeforeTheAnswer {
                self.card.transmit(command).unwrap();
            }
            return Err(TakenOut);
        };
        self.left = left;
        Ok(self.card.transmit(command).unwrap())
    }
}

#[test]
fn card_that_is_taken_out_at_any_command_is_blank_or_scrap_and_its_material_is_gone() {
    for cut in [Cut::BeforeTheCommand, Cut::BeforeTheAnswer] {
        let (house, center, facility) = factory();
        let guids = deliver(&center, &facility, 1, 100);
        let (mut outcomes, mut used) = (Vec::new(), 0);
        for left in 0.. {
            let path = house.path(&format!("card-{left}"));
            let bench = Bench {
                facility: &facility,
                station: station(&CardPlace::Pcsc(format!("reader {left}")), ""),
                keeps_its_card: false,
            };
            let card = SoftCard::insert(&path).unwrap();
            let made = bench.with_keys_from_stock(Slippery { card, left, cut }, clock::now());
            let guid = guids[used];
            used += 1;
            let outcome = facility.books().outcome(guid).unwrap().unwrap();
            let mut card = SoftCard::insert(&path).unwrap();
            let found = card::CardSession::open(&mut card).unwrap().life_cycle().unwrap();
            // The same GUID never comes again, and the files of the others are there.
            assert!(facility.take(guid, clock::now()).is_err(), "{left}");
            assert!(facility.take(guids[used], clock::now()).is_ok());
            assert!(
                facility
                    .books()
                    .begun_at(&bench.station.place)
                    .unwrap()
                    .is_empty()
            );
            match made {
                Ok(Made { guid: made, party }) => {
                    assert_eq!((made, party.card_id), (guid, Some(guid)));
                    assert_eq!((outcome, found), (Outcome::Completed, LifeCycle::Personalized));
                    break;
                }
                Err(error) => assert!(matches!(error, BenchError::Card(_)), "{error}"),
            }
            assert!(
                (outcome, found) == (Outcome::LeftBlank, LifeCycle::Blank) || outcome == Outcome::Scrapped,
                "{left}: {outcome:?}, {found}"
            );
            outcomes.push(outcome);
        }
        // The completion and the reading back come last, so the scrap does.
        let blank = outcomes
            .iter()
            .take_while(|outcome| **outcome == Outcome::LeftBlank);
        let blank = blank.count();
        assert!(
            blank >= 15
                && outcomes[blank..]
                    .iter()
                    .all(|outcome| *outcome == Outcome::Scrapped)
        );
        assert!(outcomes.len() - blank >= 5, "{outcomes:?}");
    }
}

#[test]
fn material_of_somebody_else_or_with_other_keys_is_never_begun() {
    let (house, center, facility) = factory();
    let now = clock::now();
    let [first, second] = *deliver(&center, &facility, 1, 2) else {
        panic!("two were ordered");
    };
    let [other] = *deliver(&center, &facility, 2, 1) else {
        panic!("one was ordered");
    };
    // The certificates of one card in the material of another one, and one key for two uses.
    let mut mixed = facility.take(first, now).unwrap();
    mixed.certificates = facility.take(other, now).unwrap().certificates;
    facility.keep(&mixed, now).unwrap();
    let mut repeated = facility.take(second, now).unwrap();
    repeated.certificates.attestation = repeated.certificates.sig.clone();
    facility.keep(&repeated, now).unwrap();
    // The private key of another card.
    let mut wrong = facility.take(other, now).unwrap();
    wrong.keys = facility.take(first, now).unwrap().keys;
    facility.keep(&wrong, now).unwrap();
    let bench = Bench {
        facility: &facility,
        station: station(&CardPlace::Soft(house.path("card")), ""),
        keeps_its_card: true,
    };
    let card = SoftCard::insert(&house.path("card")).unwrap();
    let error = bench.with_keys_from_stock(card, now).unwrap_err();
    assert!(matches!(error, BenchError::Stock(_)), "{error}");
    assert!(
        crate::chain(&error).contains("order other material"),
        "{}",
        crate::chain(&error)
    );
    // What does not hold is not begun; the keys that do not fit were found out by the blank card.
    assert_eq!(facility.books().outcome(other).unwrap(), Some(Outcome::LeftBlank));
    assert_eq!(facility.books().unbegun().unwrap(), [first, second]);
    let card = SoftCard::insert(&house.path("card")).unwrap();
    let error = bench.with_keys_from_stock(card, now).unwrap_err();
    assert!(
        crate::chain(&error).contains("do not hold"),
        "{}",
        crate::chain(&error)
    );
    assert_eq!(facility.books().unbegun().unwrap(), [first, second]);
}
