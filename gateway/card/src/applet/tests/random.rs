//! Random sequences of commands: whatever comes, the card stays a card.

use proptest::prelude::*;

use super::*;
use crate::{COMMANDS, Reach};

/// What is sent: known commands with odd data, in clear, as the paired gateway or as the TSM with a file selected, a
/// reset, or any bytes.
#[derive(Debug, Clone)]
enum Move {
    Clear(Vec<u8>),
    Paired(FileId, [u8; 4], Vec<u8>),
    Tsm(FileId, [u8; 4], Vec<u8>),
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
    let object = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..70));
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        any_file().prop_map(|file| file.identifier().to_be_bytes().to_vec()),
        object.prop_map(|(tag, value)| {
            let inner = tlv::encode([(u16::from(tag | 0x80) & 0x9E, &value[..])]).unwrap();
            tlv::encode([(0x7C, &inner[..])]).unwrap()
        }),
        (1u64..4).prop_map(|version| anchor(version).to_bytes()),
        Just(one_supplier().to_bytes()),
        Just(vec![0x84, 1, 1]),
        Just(vec![0x84, 1, 2]),
        Just(vec![0x7C, 0]),
        Just(vec![0; 32]),
        Just(vec![0; 16]),
    ]
}

fn any_file() -> impl Strategy<Value = FileId> {
    prop::sample::select(FileId::ALL.to_vec())
}

/// What the gateway or the TSM does: as often as not something that could work, if it were theirs to do.
fn any_order() -> impl Strategy<Value = (FileId, [u8; 4], Vec<u8>)> {
    const UPDATE: [u8; 4] = [0x00, 0xD6, 0x00, 0x00];
    let head = |counter: u64| StoreHead {
        counter,
        hash: Fingerprint::new([7; 32]),
    };
    let likely = prop_oneof![
        Just((FileId::Suppliers, UPDATE, one_supplier().to_bytes())),
        Just((FileId::Suppliers, UPDATE, Vec::new())),
        (0u64..4).prop_map(|version| (FileId::Anchor, UPDATE, anchor(version).to_bytes())),
        (0u64..4).prop_map(move |counter| (FileId::StoreHead, UPDATE, head(counter).to_bytes())),
        any_file().prop_map(|file| (file, [0x00, 0xB0, 0x00, 0x00], Vec::new())),
        any_file().prop_map(|file| (file, [0x00, 0x88, 0x00, 0x00], vec![1; 16])),
        any_file().prop_map(|file| (
            file,
            [0x80, 0x12, 0x00, 0x00],
            [&[0x80, 16][..], &[0x11; 16]].concat()
        )),
        any_file().prop_map(|file| (file, [0x00, 0x2C, 0x03, 0x03], Vec::new())),
    ];
    prop_oneof![likely, (any_file(), any_header(), any_data()),]
}

/// A good key pair, for any key.
fn any_import() -> impl Strategy<Value = Vec<u8>> {
    let names = prop::sample::select(vec![(0xB6, 1), (0xA6, 2), (0xA4, 3), (0xA4, 4)]);
    (names, any::<u64>()).prop_map(|((template, reference), seed)| {
        let key = PrivateKey::generate(&mut TestRandom::new(seed));
        let (private, point) = (key.to_bytes(), key.point().to_bytes());
        let data = completing::import_data(template, reference, private.as_slice(), &point);
        let command = CommandApdu::new(Header::new(completing::IMPORT), data);
        command.to_bytes().unwrap().to_vec()
    })
}

fn any_move() -> impl Strategy<Value = Move> {
    let clear = (any_header(), any_data(), any::<bool>()).prop_map(|([cla, ins, p1, p2], data, chained)| {
        let cla = if chained && cla == 0 { 0x10 } else { cla };
        let command = CommandApdu::new(Header::new([cla, ins, p1, p2]), data).expecting(256);
        Move::Clear(command.to_bytes().unwrap().to_vec())
    });
    prop_oneof![
        6 => clear,
        6 => any_order().prop_map(|(file, header, data)| Move::Paired(file, header, data)),
        3 => any_order().prop_map(|(file, header, data)| Move::Tsm(file, header, data)),
        1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Move::Clear),
        1 => any_import().prop_map(Move::Clear),
        1 => Just(Move::Reset),
    ]
}

fn card_at(stage: u8, center: &TestCenter) -> TestCard {
    match stage {
        0 => TestCard::blank(1),
        1 => TestCard::personalized(1, center).0,
        2 => bound_card(center).0,
        _ => operational_card(center).0,
    }
}

/// Has the TSM select a file and send a command to the card, if the card lets it in.
fn as_tsm(
    card: &mut TestCard,
    center: &TestCenter,
    file: FileId,
    (header, data): ([u8; 4], Vec<u8>),
) -> Option<ResponseApdu> {
    // Only what a living, completed card shows lets the TSM begin.
    let identity = CardSession::open(&mut *card).ok()?.identity().ok()?;
    let channel = open_channel(card, &identity, center).ok()?;
    let select = CommandApdu::new(
        Header::new([0x00, 0xA4, 0x02, 0x0C]),
        file.identifier().to_be_bytes().to_vec(),
    );
    let command = CommandApdu::new(Header::new(header), data).expecting(256);
    let (channel, commands) = channel.send_for_test(&[select, command]);
    channel.opened_for_test(&transmit(card, &commands))
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

/// The private keys and the pairing secret, in hexadecimal digits.
fn secrets_of(card: &TestCard) -> Vec<String> {
    let stored: serde_json::Value = serde_json::from_slice(&card.applet.state().to_bytes().unwrap()).unwrap();
    let keys = stored["keys"].as_object().unwrap().values();
    let mut secrets: Vec<String> = keys.map(|key| key.as_str().unwrap().to_owned()).collect();
    if let Some(secret) = stored["binding"]["pairing_secret"].as_array() {
        let bytes = secret
            .iter()
            .map(|byte| format!("{:02x}", byte.as_u64().unwrap()));
        secrets.push(bytes.collect());
    }
    secrets
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_comes_the_tables_hold_the_life_never_goes_back_and_no_key_leaves(
        stage in 0u8..4,
        moves in prop::collection::vec(any_move(), 1..40),
    ) {
        let center = TestCenter::new(1);
        let mut card = card_at(stage, &center);
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
                Move::Paired(file, header, data) => {
                    let Ok(mut session) = CardSession::open(&mut card) else {
                        continue;
                    };
                    if session.pair(&SECRET, &mut TestRandom::new(6)).is_err() {
                        continue;
                    }
                    let identifier = file.identifier().to_be_bytes().to_vec();
                    session.send_for_test([0x00, 0xA4, 0x02, 0x0C], identifier).unwrap();
                    let answer = session.send_for_test(header, data).unwrap();
                    (header, Reach::Gateway, answer.to_bytes().to_vec())
                }
                Move::Tsm(file, header, data) => match as_tsm(&mut card, &center, file, (header, data)) {
                    Some(answer) => (header, Reach::Tsm, answer.to_bytes().to_vec()),
                    None => continue,
                },
            };
            let (data, status) = answer.split_last_chunk::<2>().unwrap();
            if matches!(status, [0x90 | 0x61, _]) {
                prop_assert!(
                    is_permitted(header, reach, life_cycle) || data.is_empty() && matches!(header[0], 0x10 | 0x1C),
                    "{header:02x?} worked for {reach} on a card that is {life_cycle}"
                );
            }
            let answer = hex::encode(&answer);
            for secret in secrets_of(&card) {
                prop_assert!(!answer.contains(&secret));
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
