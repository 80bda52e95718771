//! A soft card that is killed in the middle of its commands, in a virtual reader that the test itself is.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use card::applet::CardState;

/// How often the card is killed.
const KILLS: u64 = 60;

/// A card's process, and the wire that it has plugged itself into.
struct Plugged {
    process: Child,
    wire: TcpStream,
}

impl Plugged {
    fn start(reader: &TcpListener, state: &Path) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_softcard"))
            .arg("--state")
            .arg(state)
            .arg("--reader")
            .arg(reader.local_addr().unwrap().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (wire, _) = reader.accept().unwrap();
        wire.set_nodelay(true).unwrap();
        wire.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut plugged = Self { process, wire };
        plugged.send(&[1]);
        plugged
    }

    fn send(&mut self, body: &[u8]) {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        self.wire.write_all(&[&length[..], body].concat()).unwrap();
    }

    fn transmit(&mut self, command: &[u8]) -> Vec<u8> {
        self.send(command);
        let mut length = [0; 2];
        self.wire.read_exact(&mut length).unwrap();
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        self.wire.read_exact(&mut answer).unwrap();
        answer
    }

    /// Reads the number that was last written as the card's GUID.
    fn number(&mut self) -> u64 {
        let answer = self.transmit(&[0x00, 0xB0, 0x00, 0x00, 0x00]);
        match answer.as_slice() {
            [0x6A, 0x82] => 0,
            [guid @ .., 0x90, 0x00] => u64::from_be_bytes(*guid.last_chunk().unwrap()),
            other => panic!("{other:02x?}"),
        }
    }
}

fn write(number: u64) -> Vec<u8> {
    let guid = [&[0xFD, 0x5A, 0, 0, 0, 0, 0, 0][..], &number.to_be_bytes()].concat();
    [&[0x00, 0xD6, 0x00, 0x00, 0x10][..], &guid].concat()
}

#[test]
fn card_that_is_killed_at_any_moment_has_what_it_answered_and_is_never_torn() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("card");
    let reader = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut answered, mut sent) = (0, 0);
    for kill in 0..KILLS {
        let mut card = Plugged::start(&reader, &state);
        assert_eq!(
            card.transmit(&[0x00, 0xA4, 0x02, 0x0C, 0x02, 0x01, 0x01]),
            [0x90, 0x00]
        );
        let found = card.number();
        assert!(
            (answered..=sent).contains(&found),
            "{found} is not in {answered}..={sent}"
        );
        for _ in 0..kill % 4 {
            sent += 1;
            assert_eq!(card.transmit(&write(sent)), [0x90, 0x00]);
            answered = sent;
        }
        sent += 1;
        card.send(&write(sent));
        // Every kill comes at another moment of the command, which takes some hundred microseconds on a disk.
        let until = Instant::now() + Duration::from_micros(kill * 37 % 1_500);
        while Instant::now() < until {
            std::thread::yield_now();
        }
        card.process.kill().unwrap();
        card.process.wait().unwrap();
        if state.exists() {
            let stored = CardState::from_bytes(&std::fs::read(&state).unwrap()).unwrap();
            assert!(stored.guid().is_some());
        }
    }
    // What a kill leaves half written is written over by the next one, so no old keys lie about.
    let mut files: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort_unstable();
    files.retain(|file| file != "card.next");
    assert_eq!(files, ["card", "card.lock"]);
}
