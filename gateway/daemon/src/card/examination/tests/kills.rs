//! The daemon is killed, as by SIGKILL, at every command of the binding, before the card has it and after; the card then
//! has written its memory or not. Each time the next start completes the binding, and card and gateway agree.
//!
//! Between two commands to the card the daemon makes at most one write to the store, which the store's own tests cut at
//! every system call; so this leaves no place between two writes of either side where nobody was killed.

use std::process::Command;

use super::*;

/// Tells the child which folder it works in, at which command it dies, and whether the card has it by then.
const FOLDER: &str = "SMGW_TEST_KILL_FOLDER";
const COMMAND: &str = "SMGW_TEST_KILL_COMMAND";
const AFTER: &str = "SMGW_TEST_KILL_AFTER";

/// A card in whose gateway the process dies at the nth command.
struct Deadly {
    card: reader::Reader,
    commands_left: usize,
    after: bool,
}

impl Transport for Deadly {
    type Error = ReaderError;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, ReaderError> {
        let is_last = self.commands_left == 0;
        if is_last && !self.after {
            std::process::abort();
        }
        let answer = self.card.transmit(command)?;
        if is_last {
            std::process::abort();
        }
        self.commands_left -= 1;
        Ok(answer)
    }
}

fn store_in(folder: &Path) -> Store {
    let key = DeviceKey::new([0x5a; DeviceKey::LENGTH]);
    Store::open(&folder.join("data"), Ok(Protection { key, otp: None })).unwrap()
}

#[test]
#[ignore = "not a test of its own: the child of the next one, in which the daemon dies"]
fn daemon_that_is_killed() {
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    let card = Deadly {
        card: reader::power_on(&CardSlot::Soft(folder.join("card"))).unwrap(),
        commands_left: std::env::var(COMMAND).unwrap().parse().unwrap(),
        after: std::env::var(AFTER).unwrap() == "true",
    };
    let card: reader::Reader = Box::new(card);
    let store = store_in(&folder);
    let mut session = CardSession::open(card).unwrap();
    examine(&mut session, &store, Consent::Automatic).unwrap();
}

#[test]
fn kill_of_the_daemon_at_any_command_of_the_binding_costs_nothing() {
    let center = Center::new();
    let mut kills = 0;
    for after in [false, true] {
        for command in 0.. {
            let gateway = Gateway::new();
            center.personalize(&gateway.card(), GUID);
            let child = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--ignored",
                    "--exact",
                    "card::examination::tests::kills::daemon_that_is_killed",
                ])
                .env(FOLDER, gateway.folder.path())
                .env(COMMAND, command.to_string())
                .env(AFTER, after.to_string())
                .output()
                .unwrap();
            let identity = gateway.examine().unwrap();
            assert_eq!(
                identity.guid,
                GUID.parse().unwrap(),
                "killed at command {command}"
            );
            let store = store_in(gateway.folder.path());
            let bindings = store.bindings().unwrap();
            let binding = bindings.binding().unwrap().unwrap();
            let card = reader::power_on(&CardSlot::Soft(gateway.card())).unwrap();
            let mut session = CardSession::open(card).unwrap();
            assert_eq!(session.bound_to().unwrap(), Some((binding.gateway, true)));
            let sessions = session.pairing().unwrap().sessions;
            assert_eq!(sessions, bindings.counter(Counter::CardSession).unwrap());
            if child.status.success() {
                let said = String::from_utf8_lossy(&child.stdout);
                assert!(said.contains("1 passed"), "the child is not the daemon: {said}");
                break;
            }
            assert_eq!(child.status.code(), None, "the child was not killed");
            kills += 1;
        }
    }
    assert!(
        kills >= 40,
        "{kills} kills are fewer than the binding has commands"
    );
}
