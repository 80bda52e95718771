//! Secure messaging under attack: commands and answers that are forged, replayed, reordered or cut.
//!
//! The card says so with the status word of ISO/IEC 7816-4 and ends the session; the gateway gets one
//! error, and sends nothing any more.

use super::*;
use crate::ApduError;

/// A way to the card on which somebody sits, who hears everything and alters one message.
struct Wire<'a> {
    card: &'a mut TestCard,
    commands: Vec<Vec<u8>>,
    answers: Vec<Vec<u8>>,
    attack: Attack,
}

/// What is done to the message under attack, by one who has also heard the one before it.
#[derive(Clone, Copy)]
enum Attack {
    None,
    Command(Alteration),
    Answer(Alteration),
}

type Alteration = fn(message: &[u8], before: &[u8]) -> Vec<u8>;

/// The message under attack: READ BINARY, behind SELECT, five commands of the pairing and a protected SELECT.
const ATTACKED: usize = 7;

impl Transport for Wire<'_> {
    type Error = Infallible;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, Infallible> {
        let number = self.commands.len();
        let last = |messages: &[Vec<u8>]| messages.last().cloned().unwrap_or_default();
        let command = match self.attack {
            Attack::Command(alter) if number == ATTACKED => alter(command, &last(&self.commands)),
            _ => command.to_vec(),
        };
        let answer = self.card.transmit(&command)?.to_vec();
        let answer = match self.attack {
            Attack::Answer(alter) if number == ATTACKED => alter(&answer, &last(&self.answers)),
            _ => answer,
        };
        self.commands.push(command);
        self.answers.push(answer.clone());
        Ok(Zeroizing::new(answer))
    }
}

/// Reads the anchor in a session of the bound gateway while a message is under attack. Returns the status
/// words that the card gave to the command under attack and to a good command behind it, and what the
/// gateway says.
fn read_under(attack: Attack) -> ([StatusWord; 2], Result<Anchor, CardError<Infallible>>) {
    let (mut card, _) = bound_card(&TestCenter::new(1));
    let mut wire = Wire {
        card: &mut card,
        commands: Vec::new(),
        answers: Vec::new(),
        attack,
    };
    let mut session = CardSession::open(&mut wire).unwrap();
    session.pair(&SECRET, &mut TestRandom::new(6)).unwrap();
    let outcome = session.anchor();
    if outcome.is_err() {
        // In clear anybody could answer.
        let next = session.anchor();
        let command = "SELECT";
        assert!(matches!(next, Err(CardError::NotSent { command: found, .. }) if found == command));
    }
    drop(session);
    assert_eq!(
        wire.commands.len(),
        ATTACKED + 1,
        "nothing is sent behind the attack"
    );
    let status = |answer: &[u8]| ResponseApdu::parse(answer).map(|answer| answer.status());
    let found = status(&wire.answers[ATTACKED]).unwrap_or(StatusWord::OK);
    let behind = wire.card.transmit(&[0x0C, 0xB0, 0, 0, 0]).unwrap();
    ([found, status(&behind).unwrap()], outcome)
}

/// Takes a command apart and puts it together again with other data.
fn with_data(command: &[u8], alter: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let command = CommandApdu::parse(command).unwrap();
    let mut data = command.data().to_vec();
    alter(&mut data);
    let altered = CommandApdu::new(command.header(), data).expecting(65_536);
    altered.to_bytes().unwrap().to_vec()
}

/// The data objects of the READ BINARY: 97 (4 bytes), 8E (10 bytes).
const CHECKSUM: usize = 10;

#[test]
fn without_an_attack_all_is_well() {
    let (_, outcome) = read_under(Attack::None);
    assert_eq!(outcome.unwrap(), Anchor::NONE);
}

/// What is done to a protected command, and what the card says to it.
const COMMANDS_UNDER_ATTACK: &[(&str, StatusWord, Alteration)] = &[
    ("forged checksum", StatusWord::SM_OBJECT_WRONG, |command, _| {
        with_data(command, |data| *data.last_mut().unwrap() ^= 1)
    }),
    (
        "forged length to read",
        StatusWord::SM_OBJECT_WRONG,
        |command, _| with_data(command, |data| data[2] ^= 1),
    ),
    ("forged instruction", StatusWord::SM_OBJECT_WRONG, |command, _| {
        with_header(command, 1, 0xD6)
    }),
    ("forged parameter", StatusWord::SM_OBJECT_WRONG, |command, _| {
        with_header(command, 3, 1)
    }),
    (
        "another protected class",
        StatusWord::SM_OBJECT_WRONG,
        |command, _| with_header(command, 0, 0x8C),
    ),
    (
        "replay of the command before",
        StatusWord::SM_OBJECT_WRONG,
        |_, before| before.to_vec(),
    ),
    (
        "without the checksum",
        StatusWord::SM_OBJECT_MISSING,
        |command, _| with_data(command, |data| data.truncate(data.len() - CHECKSUM)),
    ),
    (
        "without any object",
        StatusWord::SM_OBJECT_MISSING,
        |command, _| with_data(command, Vec::clear),
    ),
    (
        "cut within the checksum",
        StatusWord::SM_OBJECT_WRONG,
        |command, _| with_data(command, |data| data.truncate(data.len() - 1)),
    ),
    (
        "with a shorter checksum",
        StatusWord::SM_OBJECT_WRONG,
        |command, _| {
            with_data(command, |data| {
                data.truncate(data.len() - CHECKSUM);
                data.extend([0x8E, 0]);
            })
        },
    ),
    (
        "with objects out of order",
        StatusWord::SM_OBJECT_WRONG,
        |command, _| with_data(command, |data| data.rotate_right(CHECKSUM)),
    ),
    (
        "with an object twice",
        StatusWord::SM_OBJECT_WRONG,
        |command, _| with_data(command, |data| data.splice(..0, [0x97, 1, 0]).for_each(drop)),
    ),
    (
        "with an object behind the checksum",
        StatusWord::SM_OBJECT_WRONG,
        |command, _| with_data(command, |data| data.extend([0x97, 1, 0])),
    ),
    (
        "with the status of an answer",
        StatusWord::SM_OBJECT_WRONG,
        |command, _| {
            with_data(command, |data| {
                let at = data.len() - CHECKSUM;
                data.splice(at..at, [0x99, 2, 0x90, 0]).for_each(drop);
            })
        },
    ),
    (
        "with bytes that are no object",
        StatusWord::SM_OBJECT_WRONG,
        |_, _| vec![0x0C, 0xB0, 0, 0, 2, 0x97, 9],
    ),
    ("cut on the way", StatusWord::WRONG_LENGTH, |command, _| {
        command[..command.len() - 3].to_vec()
    }),
    (
        "cut to the header's half",
        StatusWord::WRONG_LENGTH,
        |command, _| command[..2].to_vec(),
    ),
    ("in clear", StatusWord::WRONG_LENGTH, |_, _| {
        vec![0x00, 0xB0, 0, 0]
    }),
    ("on a logical channel", StatusWord::UNKNOWN_CLASS, |command, _| {
        with_header(command, 0, 0x0D)
    }),
];

#[test]
fn commands_under_attack_get_their_status_word_and_end_the_session() {
    for (name, expected, attack) in COMMANDS_UNDER_ATTACK {
        let (found, outcome) = read_under(Attack::Command(*attack));
        let Err(CardError::SessionEnded { command, status }) = outcome else {
            panic!("{name}: {outcome:?}");
        };
        assert_eq!((command, status), ("READ BINARY", found[0]), "{name}");
        // In clear no file is selected any more: what was selected belonged to the session.
        let expected = if *name == "in clear" {
            StatusWord::FILE_NOT_FOUND
        } else {
            *expected
        };
        assert_eq!(found, [expected, StatusWord::SECURITY_STATUS], "{name}");
    }
}

fn with_header(command: &[u8], at: usize, value: u8) -> Vec<u8> {
    let mut command = command.to_vec();
    command[at] = value;
    command
}

#[test]
fn answers_under_attack_are_one_clear_error() {
    fn forged(answer: &[u8], at: usize) -> Vec<u8> {
        let mut answer = answer.to_vec();
        answer[at] ^= 1;
        answer
    }
    // 87 (3 + 48 bytes), 99 (4 bytes), 8E (10 bytes), 9000.
    let cases: &[(&str, Alteration)] = &[
        ("forged data", |answer, _| forged(answer, 10)),
        ("forged padding indicator", |answer, _| forged(answer, 2)),
        ("forged status", |answer, _| forged(answer, answer.len() - 14)),
        ("forged checksum", |answer, _| forged(answer, answer.len() - 3)),
        ("replay of the answer before", |_, before| before.to_vec()),
        ("without the checksum", |answer, _| {
            [&answer[..answer.len() - 2 - CHECKSUM], &[0x90, 0]].concat()
        }),
        ("without the data", |answer, _| {
            answer[answer.len() - 16..].to_vec()
        }),
        ("cut", |answer, _| [&answer[..20], &[0x90, 0]].concat()),
        ("empty", |_, _| vec![0x90, 0]),
        ("in clear", |_, _| {
            [&Anchor::NONE.to_bytes()[..], &[0x90, 0]].concat()
        }),
        ("with a length to read", |answer, _| {
            [&[0x97, 1, 0], answer].concat()
        }),
    ];
    for (name, attack) in cases {
        let (_, outcome) = read_under(Attack::Answer(*attack));
        let error = outcome.unwrap_err();
        let command = "READ BINARY";
        assert!(
            matches!(error, CardError::Channel { command: found } if found == command),
            "{name}: {error:?}"
        );
        assert!(error.to_string().contains("altered on the way"));
    }
}

#[test]
fn answers_without_protection_end_the_session_at_the_gateway() {
    let (_, outcome) = read_under(Attack::Answer(|_, _| vec![0x6A, 0x82]));
    let status = StatusWord::FILE_NOT_FOUND;
    assert!(matches!(outcome, Err(CardError::SessionEnded { status: found, .. }) if found == status));
    let (_, outcome) = read_under(Attack::Answer(|_, _| vec![0x90]));
    assert!(matches!(
        outcome,
        Err(CardError::Apdu(ApduError::TooShort { found: 1 }))
    ));
}

#[test]
fn commands_of_the_tsm_under_attack_end_its_channel() {
    type Alter = fn(&[CommandApdu]) -> CommandApdu;
    let wrong = StatusWord::SM_OBJECT_WRONG;
    let cases: &[(&str, StatusWord, Alter)] = &[
        ("forged", wrong, |commands| {
            envelope(&commands[1], |protected| {
                with_data(protected, |data| *data.last_mut().unwrap() ^= 1)
            })
        }),
        ("replayed", wrong, |commands| commands[0].clone()),
        ("reordered", wrong, |commands| commands[2].clone()),
        (
            "without its checksum",
            StatusWord::SM_OBJECT_MISSING,
            |commands| {
                envelope(&commands[1], |protected| {
                    with_data(protected, |data| data.truncate(data.len() - CHECKSUM))
                })
            },
        ),
        ("cut", StatusWord::WRONG_DATA, |commands| {
            envelope(&commands[1], |protected| {
                protected[..protected.len() - 3].to_vec()
            })
        }),
        ("empty", StatusWord::WRONG_DATA, |commands| {
            envelope(&commands[1], |_| Vec::new())
        }),
        ("in clear", StatusWord::SM_OBJECT_MISSING, |commands| {
            envelope(&commands[1], |_| vec![0x00, 0xFE, 0, 0])
        }),
    ];
    let center = TestCenter::new(1);
    for (name, expected, alter) in cases {
        let (mut card, identity) = bound_card(&center);
        let channel = open_channel(&mut card, &identity, &center).unwrap();
        let (channel, commands) = channel.install(&anchor(1), &one_supplier()).unwrap();
        let before = card.applet.state().to_bytes().unwrap();
        let sent = [
            commands[0].clone(),
            alter(&commands),
            commands[2].clone(),
            commands[3].clone(),
        ];
        let answers = transmit(&mut card, &sent);
        let statuses: Vec<_> = answers.iter().map(ResponseApdu::status).collect();
        let ended = StatusWord::SECURITY_STATUS;
        assert_eq!(statuses, [StatusWord::OK, *expected, ended, ended], "{name}");
        assert_eq!(card.applet.state().to_bytes().unwrap(), before, "{name}");
        let told = channel.installed(&answers).unwrap_err();
        assert!(
            matches!(told, TsmError::Refused { command: "ENVELOPE", status } if status == *expected),
            "{name}: {told}"
        );
    }
}

/// Alters the protected command in an ENVELOPE.
fn envelope(command: &CommandApdu, alter: impl FnOnce(&[u8]) -> Vec<u8>) -> CommandApdu {
    CommandApdu::new(command.header(), alter(command.data())).expecting(65_536)
}

#[test]
fn answers_to_the_tsm_under_attack_are_one_clear_error() {
    type Alter = fn(&mut Vec<ResponseApdu>);
    let cases: &[(&str, Alter)] = &[
        ("forged", |answers| {
            let mut data = answers[1].data().to_vec();
            *data.last_mut().unwrap() ^= 1;
            answers[1] = ResponseApdu::ok(data);
        }),
        ("replayed", |answers| answers[1] = answers[0].clone()),
        ("reordered", |answers| answers.swap(1, 2)),
        ("cut", |answers| {
            let data = answers[1].data();
            answers[1] = ResponseApdu::ok(data[..data.len() - 1].to_vec());
        }),
        ("empty", |answers| answers[1] = ResponseApdu::ok(Vec::new())),
    ];
    let center = TestCenter::new(1);
    for (name, alter) in cases {
        let (mut card, identity) = bound_card(&center);
        let channel = open_channel(&mut card, &identity, &center).unwrap();
        let (channel, commands) = channel.install(&anchor(1), &one_supplier()).unwrap();
        let mut answers = transmit(&mut card, &commands);
        alter(&mut answers);
        assert_eq!(
            channel.installed(&answers).unwrap_err(),
            TsmError::Channel,
            "{name}"
        );
    }
}

#[test]
fn a_chain_that_is_broken_up_ends_the_session() {
    let (mut card, _) = bound_card(&TestCenter::new(1));
    drop(paired(&mut card));
    assert_eq!(card.status("1cb000000100"), "9000");
    assert_eq!(card.status("00a4020c020101"), "6883");
    assert_eq!(card.status("0cb0000000"), "6982");
}

/// A reader of short length, whose driver asks for a wrong number of bytes before it asks for the right one.
struct Narrow<'a>(&'a mut TestCard);

impl Transport for Narrow<'_> {
    type Error = Infallible;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, Infallible> {
        let command = CommandApdu::parse(command).unwrap();
        let send = |card: &mut TestCard, command: CommandApdu| card.transmit(&command.to_bytes().unwrap());
        if command.header().ins == 0xC0 {
            let wrong = send(self.0, command.clone().expecting(255))?;
            assert_eq!(wrong[0], 0x6C, "{wrong:02x?}");
            return send(self.0, command);
        }
        send(self.0, command.expecting(20))
    }
}

#[test]
fn a_reader_that_asks_for_a_wrong_number_of_bytes_ends_no_session() {
    let (mut card, _) = bound_card(&TestCenter::new(1));
    let mut session = CardSession::open(Narrow(&mut card)).unwrap();
    session.pair(&SECRET, &mut TestRandom::new(6)).unwrap();
    for _ in 0..2 {
        assert_eq!(session.anchor().unwrap(), Anchor::NONE);
    }
}

#[test]
fn a_get_response_out_of_nowhere_ends_the_session() {
    let (mut card, _) = bound_card(&TestCenter::new(1));
    drop(paired(&mut card));
    assert_eq!(card.status("00c0000000"), "6985");
    assert_eq!(card.status("0cb0000000"), "6982");
}
