//! Any text is a card script or is refused by its line, and a script that is none harms no card.
#![no_main]

use std::convert::Infallible;

use card::Transport;
use card::script::Script;
use libfuzzer_sys::fuzz_target;
use zeroize::Zeroizing;

/// Answers every command with what it was asked, and 9000.
struct Echo(usize);

impl Transport for Echo {
    type Error = Infallible;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, Infallible> {
        self.0 += 1;
        Ok(Zeroizing::new([command, &[0x90, 0x00]].concat()))
    }
}

/// Random bytes that are the same in every run.
fn random() -> fuzz::card_world::Repeatable {
    fuzz::card_world::Repeatable::new(5)
}

/// How many commands a line sends at most: SELECT and PACE, or SELECT and what belongs to an identity.
const COMMANDS_OF_A_LINE: usize = 16;

fuzz_target!(|text: &str| {
    match text.parse::<Script>() {
        Ok(script) => {
            assert!(!script.cards().is_empty());
            let mut echo = Echo(0);
            drop(script.run(&mut echo, |_| Ok(()), &mut random()));
            let sends = |line: &&str| {
                [">", "pair", "identity"]
                    .iter()
                    .any(|word| line.trim().starts_with(word))
            };
            assert!(echo.0 <= text.lines().filter(sends).count() * COMMANDS_OF_A_LINE);
        }
        Err(error) => assert!(error.line <= text.lines().count()),
    }
});
