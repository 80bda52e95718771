//! Whatever is said to a card, by whomever and in whatever state: it answers, its life never goes back, nothing works
//! that the tables forbid, and no secret leaves it.
//!
//! The first byte chooses the card. Then come moves: a byte that says who speaks, and what it says:
//!
//! | byte | who | what |
//! |---|---|---|
//! | 0 | anyone | length (2, big-endian), bytes of an APDU |
//! | 1, 2, 3 | anyone, the gateway, the TSM | command of the table (1), offset (2), length (2), data |
//! | 4 | the gateway, with one bit turned on the way | position (2), then as 2 |
//! | 5 | – | the card loses its power and gets it back |
//! | 6 | anyone | imports a key pair: for which use (1), which one (1) |
#![no_main]

use std::cell::OnceCell;

use card::{COMMANDS, CommandApdu, Header};
use fuzz::card_world::{Gateway, JudgedCard, Tsm, World, import};
use libfuzzer_sys::fuzz_target;

/// How many moves a game has; every one of them may cost a pairing.
const MOVES: usize = 24;

thread_local! {
    static WORLD: OnceCell<World> = const { OnceCell::new() };
}

/// Takes the input apart. What is missing at its end is nothing.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number(&mut self) -> u16 {
        u16::from_be_bytes([self.byte().unwrap_or(0), self.byte().unwrap_or(0)])
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.number()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    fn command(&mut self) -> CommandApdu {
        let rule = COMMANDS[usize::from(self.byte().unwrap_or(0)) % COMMANDS.len()];
        let [high, low] = self.number().to_be_bytes();
        let [p1, p2] = rule.parameters.unwrap_or([high, low]);
        let [cla, ins] = rule.cla_ins;
        CommandApdu::new(Header::new([cla, ins, p1, p2]), self.bytes().to_vec()).expecting(65_536)
    }
}

fn play(world: &World, input: &[u8]) {
    let mut moves = Input(input);
    let Some(number) = moves.byte() else { return };
    let mut card = JudgedCard::power_on(world.card(number)).told(input);
    let (mut gateway, mut tsm) = (Gateway::default(), Tsm::default());
    for _ in 0..MOVES {
        let Some(speaker) = moves.byte() else { return };
        match speaker % 7 {
            0 => drop(card.raw(moves.bytes())),
            1 => {
                if let Ok(bytes) = moves.command().to_bytes() {
                    card.raw(&bytes);
                }
            }
            2 => drop(gateway.send(&mut card, &moves.command())),
            3 => drop(tsm.send(&mut card, &world.center, &moves.command())),
            4 => {
                let position = moves.number();
                gateway.send_altered(&mut card, &moves.command(), position);
            }
            5 => card.reset(),
            _ => {
                let [name, number] = moves.number().to_be_bytes();
                if let Ok(bytes) = import(name, number).to_bytes() {
                    card.raw(&bytes);
                }
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    WORLD.with(|world| play(world.get_or_init(World::create), input));
});
