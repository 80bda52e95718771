//! Random sequences of commands: whatever comes, the card stays a card.

use proptest::prelude::*;

use super::*;
use crate::{COMMANDS, Reach};

/// What is sent: known commands with odd data, in clear or as the paired gateway, a reset, or any bytes.
#[derive(Debug, Clone)]
enum Move {
    Clear(Vec<u8>),
    Paired([u8; 4], Vec<u8>),
    Reset,
}

fn any_header() -> impl Strategy<Value = [u8; 4]> {
    (0..COMMANDS.len(), any::<[u8; 2]>()).prop_map(|(rule, offset)| {
        let rule = COMMANDS[rule];
        let [p1, p2] = rule.parameters.unwrap_or(offset);
        [rule.cla_ins[0], rule.cla_ins[1], p1, p2]
    })
}

/// Data that come further than random ones: what commands take, filled with anything.
fn any_data() -> impl Strategy<Value = Vec<u8>> {
    let file = prop::sample::select(FileId::ALL.to_vec());
    let object = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..70));
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        file.prop_map(|file| file.identifier().to_be_bytes().to_vec()),
        object.prop_map(|(tag, value)| {
            let inner = tlv::encode([(u16::from(tag | 0x80) & 0x9E, &value[..])]).unwrap();
            tlv::encode([(0x7C, &inner[..])]).unwrap()
        }),
        Just(vec![0x84, 1, 1]),
        Just(vec![0x84, 1, 2]),
        Just(vec![0x7C, 0]),
        Just(vec![0; 32]),
        Just(vec![0; 16]),
    ]
}

fn any_move() -> impl Strategy<Value = Move> {
    let clear = (any_header(), any_data(), any::<bool>()).prop_map(|([cla, ins, p1, p2], data, chained)| {
        let cla = if chained && cla == 0 { 0x10 } else { cla };
        let command = CommandApdu::new(Header::new([cla, ins, p1, p2]), data).expecting(256);
        Move::Clear(command.to_bytes().unwrap().to_vec())
    });
    prop_oneof![
        6 => clear,
        6 => (any_header(), any_data()).prop_map(|(header, data)| Move::Paired(header, data)),
        1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Move::Clear),
        1 => Just(Move::Reset),
    ]
}

fn card_at(stage: u8) -> TestCard {
    let center = TestCenter::new(1);
    match stage {
        0 => TestCard::blank(1),
        1 => TestCard::personalized(1, &center).0,
        2 => bound_card(&center).0,
        _ => operational_card(&center).0,
    }
}

/// Returns whether the table has a row for the command, over the channel and in the state.
fn is_permitted(header: [u8; 4], reach: Reach, state: LifeCycle) -> bool {
    let [cla, ins, p1, p2] = header;
    COMMANDS.iter().any(|rule| {
        rule.cla_ins == [cla & !0x10, ins]
            && rule.parameters.is_none_or(|parameters| parameters == [p1, p2])
            && rule.reach.contains(&reach)
            && rule.states.contains(&state)
    })
}

fn keys_of(card: &TestCard) -> Vec<String> {
    let stored: serde_json::Value = serde_json::from_slice(&card.applet.state().to_bytes().unwrap()).unwrap();
    let keys = stored["keys"].as_object().unwrap().values();
    keys.map(|key| key.as_str().unwrap().to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_comes_the_tables_hold_the_life_never_goes_back_and_no_key_leaves(
        stage in 0u8..4,
        moves in prop::collection::vec(any_move(), 1..40),
    ) {
        let mut card = card_at(stage);
        let mut life_cycle = card.applet.state().life_cycle();
        for next in moves {
            let (header, reach, answer) = match next {
                Move::Reset => {
                    card.reset();
                    continue;
                }
                Move::Clear(command) => {
                    let header = CommandApdu::parse(&command).map(|command| command.header().to_bytes());
                    let answer = card.transmit(&command).unwrap().to_vec();
                    (header.unwrap_or([0xFF; 4]), Reach::Anyone, answer)
                }
                Move::Paired(header, data) => {
                    let Ok(mut session) = CardSession::open(&mut card) else {
                        continue;
                    };
                    if session.pair(&SECRET, &mut TestRandom::new(6)).is_err() {
                        continue;
                    }
                    let answer = session.send_for_test(header, data).unwrap();
                    (header, Reach::Gateway, answer.to_bytes().to_vec())
                }
            };
            let (data, status) = answer.split_last_chunk::<2>().unwrap();
            if matches!(status, [0x90 | 0x61, _]) {
                prop_assert!(
                    is_permitted(header, reach, life_cycle) || data.is_empty() && matches!(header[0], 0x10 | 0x1C),
                    "{header:02x?} worked for {reach} on a card that is {life_cycle}"
                );
            }
            let answer = hex::encode(&answer);
            for key in keys_of(&card) {
                prop_assert!(!answer.contains(&key));
            }
            let next = card.applet.state().life_cycle();
            prop_assert!(next >= life_cycle);
            life_cycle = next;
        }
    }

    #[test]
    fn the_tsms_commands_in_any_order_and_with_any_data_open_nothing(
        order in prop::collection::vec((0usize..5, any_data()), 1..40),
    ) {
        let center = TestCenter::new(1);
        let (mut card, _) = bound_card(&center);
        let headers = [[0x84, 0, 0], [0x2A, 0, 0xBE], [0x82, 0, 0], [0x86, 0, 0], [0xC2, 0, 0]];
        let certificate = center.tsm_certificate(KeySlot::Sig);
        let before = card.applet.state().to_bytes().unwrap();
        for (index, data) in order {
            let [ins, p1, p2] = headers[index];
            // The certificate is public: everybody can show it.
            let data = if ins == 0x2A { certificate.clone() } else { data };
            let command = CommandApdu::new(Header::new([0, ins, p1, p2]), data).expecting(256);
            let answer = transmit(&mut card, &[command]).remove(0);
            prop_assert!(matches!(ins, 0x84 | 0x2A) || !answer.status().is_ok());
        }
        prop_assert_eq!(card.applet.state().to_bytes().unwrap(), before);
    }
}
