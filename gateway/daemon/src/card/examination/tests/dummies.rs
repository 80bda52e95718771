//! What looks like the bound card and is not, and other cards in the middle of a binding: none of them costs the pair
//! anything for good.

use super::*;
use crate::card::pairings::{FEW_TRIES, MOST_OPEN};

fn guid() -> CardId {
    GUID.parse().unwrap()
}

/// Makes a dummy that shows everything that the card shows to anybody, and the count and tries that it likes; it has
/// neither keys nor secret of the card.
fn dummy(center: &Center, gateway: &Gateway, sessions: u64, tries: u8) -> PathBuf {
    let (file, other) = (gateway.folder.path().join("dummy"), Gateway::new());
    center.personalize(&other.card(), GUID);
    let other: serde_json::Value = serde_json::from_slice(&std::fs::read(other.card()).unwrap()).unwrap();
    std::fs::copy(gateway.card(), &file).unwrap();
    alter(&file, |card| {
        card["keys"] = other["keys"].clone();
        card["binding"]["pairing_secret"] = serde_json::Value::from(vec![0_u8; 16]);
        card["pairing"]["sessions"] = sessions.into();
        card["pairing"]["tries"] = tries.into();
    });
    file
}

#[test]
fn dummy_that_says_any_count_does_not_drive_the_record_ahead_of_the_card() {
    let (center, gateway) = bound();
    for sessions in [0, 1, 2, 3, 4, 1_000, u64::MAX - 1, u64::MAX] {
        for _ in 0..2 {
            let dummy = dummy(&center, &gateway, sessions, 10);
            let refused = gateway.examine_until(&dummy, usize::MAX, false).unwrap_err();
            assert!(
                matches!(refused, Obstacle::PairingRefused { tries: 9 }),
                "{refused}"
            );
        }
        let refused = gateway.examine().map(|identity| identity.guid);
        assert!(
            refused.is_ok(),
            "behind a dummy that says {sessions}: {refused:?}"
        );
    }
}

#[test]
fn dummy_that_is_taken_away_at_any_command_costs_nothing() {
    let (center, gateway) = bound();
    for after in [false, true] {
        for commands_left in 0.. {
            let dummy = dummy(&center, &gateway, 77, 10);
            let refused = gateway.examine_until(&dummy, commands_left, after).unwrap_err();
            assert!(
                gateway.examine().is_ok(),
                "behind a dummy of {commands_left} commands"
            );
            if matches!(refused, Obstacle::PairingRefused { .. }) {
                break;
            }
        }
    }
}

#[test]
fn card_whose_pairing_is_cut_anywhere_and_twice_is_paired_again() {
    let (_, gateway) = bound();
    for after in [false, true] {
        for commands_left in 0.. {
            let first = gateway.examine_until(&gateway.card(), commands_left, after);
            let second = gateway.examine_until(&gateway.card(), commands_left, !after);
            assert!(gateway.examine().is_ok(), "cut at command {commands_left}");
            if first.is_ok() && second.is_ok() {
                break;
            }
        }
    }
}

#[test]
fn copy_that_has_the_secret_too_is_noticed_behind_dummies() {
    let (center, gateway) = bound();
    let copy = gateway.folder.path().join("copy");
    std::fs::copy(gateway.card(), &copy).unwrap();
    gateway.examine().unwrap();
    let dummy = dummy(&center, &gateway, 2, 10);
    for _ in 0..3 {
        gateway.examine_until(&dummy, usize::MAX, false).unwrap_err();
    }
    let refused = gateway.examine_until(&copy, usize::MAX, false).unwrap_err();
    assert!(
        matches!(refused, Obstacle::SessionCounterBehind { .. }),
        "{refused}"
    );
    // The card itself was paired once more than the gateway knows.
    alter(&gateway.card(), |card| card["pairing"]["sessions"] = 9.into());
    let refused = gateway.examine().unwrap_err();
    assert!(
        matches!(refused, Obstacle::SessionCounterAhead { .. }),
        "{refused}"
    );
}

#[test]
fn clone_with_the_certificates_of_the_card_is_called_a_copy() {
    let (center, gateway) = bound();
    let clone = dummy(&center, &gateway, 1, 10);
    let refused = gateway.examine_until(&clone, usize::MAX, false).unwrap_err();
    assert_eq!(
        (refused.code(), refused.state(true)),
        ("SMGW-C-0215", GatewayState::CardForeign)
    );
    assert!(refused.to_string().contains("it is a copy"), "{refused}");
    assert!(
        refused.remedy().contains("put the bound card back"),
        "{}",
        refused.remedy()
    );
    // One that has the secret as well still lacks the keys.
    std::fs::copy(gateway.card(), &clone).unwrap();
    let other = Gateway::new();
    center.personalize(&other.card(), GUID);
    let other: serde_json::Value = serde_json::from_slice(&std::fs::read(other.card()).unwrap()).unwrap();
    alter(&clone, |card| card["keys"] = other["keys"].clone());
    let refused = gateway.examine_until(&clone, usize::MAX, false).unwrap_err();
    assert!(matches!(refused, Obstacle::OtherKey), "{refused}");
    assert!(refused.to_string().contains("it is a copy"), "{refused}");
}

/// A card that answers the pairing with points and a token of its own.
struct Impostor(Failing);

impl Transport for Impostor {
    type Error = ReaderError;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, ReaderError> {
        let answer = self.0.transmit(command)?;
        let is_refusal_of_a_token = matches!(command, [0x00, 0x86, ..]) && answer.starts_with(&[0x63]);
        if is_refusal_of_a_token {
            let token = [&[0x7C, 0x0A, 0x86, 0x08][..], &[7; 8], &[0x90, 0x00]].concat();
            return Ok(Zeroizing::new(token));
        }
        Ok(answer)
    }
}

#[test]
fn dummy_that_invents_a_token_is_called_a_copy() {
    let (center, gateway) = bound();
    let file = dummy(&center, &gateway, 1, 10);
    let state = CardState::from_bytes(&std::fs::read(&file).unwrap()).unwrap();
    let applet = Applet::power_on(state);
    let failing = Failing {
        applet,
        file,
        commands_left: usize::MAX,
        after: false,
    };
    let card: reader::Reader = Box::new(Impostor(failing));
    let mut session = CardSession::open(card).unwrap();
    let refused = examine(&mut session, &gateway.store(), Consent::Automatic).unwrap_err();
    assert!(matches!(refused, Obstacle::SecretUnknown), "{refused}");
    assert!(refused.to_string().contains("it is a copy"), "{refused}");
    assert!(gateway.examine().is_ok());
}

#[test]
fn card_with_few_tries_is_paired_only_by_order() {
    let (_, gateway) = bound();
    for tries in 1..=FEW_TRIES {
        alter(&gateway.card(), |card| card["pairing"]["tries"] = tries.into());
        let paused = gateway.refusal();
        assert!(matches!(paused, Obstacle::PairingPaused { .. }), "{paused}");
        assert_eq!(paused.code(), "SMGW-C-0219");
        assert!(paused.to_string().contains(&format!("{tries} tries")), "{paused}");
        assert!(
            paused.remedy().contains("smgw binding confirm"),
            "{}",
            paused.remedy()
        );
        alter(&gateway.card(), |card| {
            assert_eq!(card["pairing"]["tries"], tries)
        });
        gateway.examine_with(Consent::Given(guid())).unwrap();
        alter(&gateway.card(), |card| assert_eq!(card["pairing"]["tries"], 10));
    }
    alter(&gateway.card(), |card| {
        card["pairing"]["tries"] = (FEW_TRIES + 1).into()
    });
    assert!(gateway.examine().is_ok());
}

#[test]
fn no_number_of_dummies_costs_more_than_an_order() {
    let (center, gateway) = bound();
    let dummy = dummy(&center, &gateway, 5, 10);
    for open in 0..=MOST_OPEN {
        alter(&dummy, |card| card["pairing"]["tries"] = 10.into());
        let refused = gateway.examine_until(&dummy, usize::MAX, false).unwrap_err();
        let is_paused = matches!(refused, Obstacle::PairingPaused { .. });
        assert_eq!(is_paused, open == MOST_OPEN, "{open}: {refused}");
    }
    assert!(matches!(
        gateway.refusal(),
        Obstacle::PairingPaused { open: MOST_OPEN, .. }
    ));
    gateway.examine_with(Consent::Given(guid())).unwrap();
    assert!(gateway.examine().is_ok());
}

/// Begins a binding whose power fails at the nth command, or returns `None` if it does not.
fn begin(center: &Center, commands_left: usize) -> Option<Gateway> {
    let gateway = Gateway::new();
    center.personalize(&gateway.card(), GUID);
    let begun = gateway.examine_until(&gateway.card(), commands_left, true);
    begun.is_err().then_some(gateway)
}

#[test]
fn second_card_in_the_middle_of_a_binding_does_not_cost_the_first_one_its_completion() {
    let center = Center::new();
    let mut begun_with_the_card = 0;
    for commands_left in 0.. {
        let Some(gateway) = begin(&center, commands_left) else {
            break;
        };
        let has_begun = gateway.store().bindings().unwrap().intent().unwrap().is_some();
        let first = gateway.folder.path().join("first");
        std::fs::rename(gateway.card(), &first).unwrap();
        center.personalize(&gateway.card(), "fd5a::2");
        let is_bound = gateway.store().bindings().unwrap().binding().unwrap().is_some();
        let second = gateway.examine();
        if !has_begun {
            assert!(second.is_ok());
            continue;
        }
        let refused = second.unwrap_err();
        if is_bound {
            assert!(matches!(refused, Obstacle::OtherCard { .. }), "{refused}");
        } else {
            assert!(matches!(refused, Obstacle::BindingBegun { .. }), "{refused}");
            assert_eq!(
                (refused.code(), refused.state(false)),
                ("SMGW-C-0220", GatewayState::Binding)
            );
            begun_with_the_card += 1;
        }
        std::fs::rename(&first, gateway.card()).unwrap();
        assert_eq!(
            gateway.examine().unwrap().guid,
            guid(),
            "cut at command {commands_left}"
        );
    }
    assert!(begun_with_the_card >= 1);
}

#[test]
fn second_card_takes_the_place_of_the_first_one_by_order_alone() {
    let center = Center::new();
    let bindings_begun = |gateway: &Gateway| {
        let store = gateway.store();
        let bindings = store.bindings().unwrap();
        bindings.intent().unwrap().is_some() && bindings.binding().unwrap().is_none()
    };
    let mut gateways = (0..).map_while(|commands_left| begin(&center, commands_left));
    let gateway = gateways.find(bindings_begun).unwrap();
    let first = gateway.folder.path().join("first");
    std::fs::rename(gateway.card(), &first).unwrap();
    center.personalize(&gateway.card(), "fd5a::2");
    let second: CardId = "fd5a::2".parse().unwrap();
    for consent in [Consent::Automatic, Consent::Awaited, Consent::Given(guid())] {
        let refused = gateway.examine_with(consent).unwrap_err();
        assert!(
            matches!(refused, Obstacle::BindingBegun { begun, found } if begun == guid() && found == second)
        );
    }
    assert_eq!(gateway.examine_with(Consent::Given(second)).unwrap().guid, second);
    std::fs::rename(&first, gateway.card()).unwrap();
    assert!(matches!(gateway.refusal(), Obstacle::OtherCard { .. }));
}
