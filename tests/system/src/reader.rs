//! A card reader of a run's own: a private `pcscd` with vsmartcard's virtual reader, and soft cards in it.
//!
//! The private `pcscd` needs no root: it runs in a user and mount namespace of its own, in which `/run` is empty but for
//! the folder with its socket. Several can run at once, beside the system's own, each with its own ports and socket.
//!
//! The virtual reader has no authentication and listens on every address; it is for tests only.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::wait::wait_until;
use crate::{Command, LogTail, Process, Program, Stage, StageError};

/// How long `pcscd` may take until its socket is there, and a card until it is in the reader.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// How long the soft card may take to answer an order.
const ORDER_TIMEOUT: Duration = Duration::from_secs(5);
/// Ports are looked for from here on: below those that the kernel gives to others.
const FIRST_PORT: u16 = 20_000;
/// How many ports are looked at.
const PORTS: u16 = 12_000;
/// The driver of vsmartcard-vpcd.
const DRIVER: &str = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so";

/// Starts `pcscd` in namespaces of its own; `$1` is the folder, with its configuration and room for its socket.
///
/// `setpriv` is there again since a process that changes its namespace may lose what it asked for before. A `pcscd` with
/// polkit would refuse everybody where there is no D-Bus.
const SCRIPT: &str = r#"
set -e
PATH="$PATH:/usr/sbin:/sbin"
mount -t tmpfs none /run
mkdir /run/pcscd
mount --bind "$1/socket" /run/pcscd
polkit=
if pcscd --help 2>&1 | grep -q disable-polkit; then polkit=--disable-polkit; fi
exec setpriv --pdeathsig TERM -- pcscd --foreground --config "$1/readers" $polkit
"#;

/// A private `pcscd` with a virtual reader. Dropping it ends it.
#[derive(Debug)]
pub struct CardReader {
    process: Option<Process>,
    folder: PathBuf,
    port: u16,
}

/// A soft card on its way into a [`CardReader`]. Dropping it takes it out for good.
#[derive(Debug)]
pub struct SoftCard {
    process: Process,
    control: PathBuf,
}

impl CardReader {
    /// The name of the first slot of the virtual reader, in which the soft cards are.
    pub const NAME: &'static str = "Virtual PCD 00 00";

    /// Starts a private `pcscd` in the folder `name` of the stage.
    ///
    /// # Errors
    ///
    /// [`StageError::TooLate`] with the last words of `pcscd`; that it or the driver is not installed is among them.
    pub fn start(stage: &Stage, name: &str) -> Result<Self, StageError> {
        let folder = stage.path(name);
        let port = free_ports().ok_or_else(|| StageError::NoPorts {
            first: FIRST_PORT,
            count: PORTS,
        })?;
        for part in ["socket", "readers"] {
            let part = folder.join(part);
            std::fs::create_dir_all(&part).map_err(StageError::file(&part))?;
        }
        let config = folder.join("readers/vpcd");
        let text = format!(
            "FRIENDLYNAME \"Virtual PCD\"\nDEVICENAME /dev/null:{port:#06X}\nLIBPATH {DRIVER}\nCHANNELID {port:#06X}\n"
        );
        std::fs::write(&config, text).map_err(StageError::file(&config))?;
        let mut reader = Self {
            process: None,
            folder,
            port,
        };
        reader.start_service(stage)?;
        Ok(reader)
    }

    /// Returns the variable that leads programs to this reader, for [`Command::env`].
    #[must_use]
    pub fn environment(&self) -> (&'static str, PathBuf) {
        ("PCSCLITE_CSOCK_NAME", self.socket())
    }

    /// Kills `pcscd` with SIGKILL, as a crash would.
    ///
    /// # Errors
    ///
    /// [`StageError::TooLate`] if it does not end.
    pub fn kill_service(&mut self) -> Result<(), StageError> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        process.kill()
    }

    /// Starts `pcscd` again after [`CardReader::kill_service`], with the same ports and socket.
    ///
    /// # Errors
    ///
    /// As [`CardReader::start`].
    pub fn start_service(&mut self, stage: &Stage) -> Result<(), StageError> {
        let socket = self.socket();
        // What a killed one leaves behind would keep the next one from starting.
        for left_over in [&socket, &self.folder.join("socket/pcscd.pid")] {
            match std::fs::remove_file(left_over) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StageError::file(left_over)(error));
                }
                _ => {}
            }
        }
        let command = Command::new("pcscd", Path::new("unshare"))
            .arg("--user")
            .arg("--map-root-user")
            .arg("--mount")
            .arg("sh")
            .arg("-c")
            .arg(SCRIPT)
            .arg("pcscd")
            .arg(&self.folder);
        let mut process = stage.start(&command)?;
        let deadline = stage.deadline(START_PATIENCE);
        let there = wait_until(&deadline, || {
            process.check_running()?;
            Ok::<_, StageError>(UnixStream::connect(&socket).ok())
        })?;
        there.ok_or_else(|| process.too_late("its socket", &deadline))?;
        self.process = Some(process);
        Ok(())
    }

    /// Puts the card of a file into the reader and waits until it is there.
    ///
    /// # Errors
    ///
    /// [`StageError::TooLate`] if it does not get there.
    pub fn insert(&self, stage: &Stage, card: &Path) -> Result<SoftCard, StageError> {
        let control = self.folder.join(format!("card-{}.sock", stage.next_number()));
        let command = Command::new("softcard", &stage.program(Program::SoftCard))
            .option("--state", card)
            .option("--reader", format!("127.0.0.1:{}", self.port))
            .option("--control", &control);
        let process = stage.start(&command)?;
        let deadline = stage.deadline(START_PATIENCE);
        process.next_line(&deadline)?.ok_or_else(|| StageError::Silent {
            name: process.name().to_owned(),
            log: LogTail::of(process.log()),
        })?;
        let card = SoftCard { process, control };
        card.wait_for_contact(stage, "inserted")?;
        Ok(card)
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("socket/pcscd.comm")
    }
}

impl SoftCard {
    /// Gives an order, such as `remove`, `insert`, `brown-out`, `delay 100`, `garble 2`, `hang` or `resume`, and returns
    /// how the card then stands to the reader: `inserted`, `waiting` or `removed`.
    ///
    /// # Errors
    ///
    /// [`StageError::File`] if the card's program does not answer.
    pub fn order(&self, order: &str) -> Result<String, StageError> {
        self::order(&self.control, order)
    }

    /// Kills the card's program with SIGKILL: the card is out of the reader, without a word.
    ///
    /// # Errors
    ///
    /// [`StageError::TooLate`] if it does not end.
    pub fn kill(&mut self) -> Result<(), StageError> {
        self.process.kill()
    }

    /// Waits until the card stands so to its reader: `inserted`, `waiting` or `removed`.
    ///
    /// # Errors
    ///
    /// [`StageError::TooLate`] if it does not come to that.
    pub fn wait_for_contact(&self, stage: &Stage, contact: &str) -> Result<(), StageError> {
        let deadline = stage.deadline(START_PATIENCE);
        let found = wait_until(&deadline, || {
            Ok::<_, StageError>((self.order("contact")? == contact).then_some(()))
        })?;
        found.ok_or_else(|| self.process.too_late(contact, &deadline))
    }
}

/// Says a line to a program that takes orders from a socket, and returns what it answers.
pub(crate) fn order(socket: &Path, order: &str) -> Result<String, StageError> {
    let ask = || {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(ORDER_TIMEOUT))?;
        writeln!(stream, "{order}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.trim_end().to_owned())
    };
    ask().map_err(StageError::file(socket))
}

/// Finds two ports in a row that nobody has, for the two slots of the virtual reader. Another run begins elsewhere.
fn free_ports() -> Option<u16> {
    let pairs = PORTS / 2;
    let begin = u16::try_from(std::process::id() % u32::from(pairs)).ok()?;
    (0..pairs)
        .map(|pair| FIRST_PORT + (begin + pair) % pairs * 2)
        .find(|port| {
            let held = [*port, port + 1].map(|port| TcpListener::bind(("0.0.0.0", port)));
            held.iter().all(Result::is_ok)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_found_beside_those_that_are_taken() {
        let first = free_ports().unwrap();
        let _taken = TcpListener::bind(("0.0.0.0", first + 1)).unwrap();
        let second = free_ports().unwrap();
        assert_ne!(first, second);
        assert!((FIRST_PORT..FIRST_PORT + PORTS).contains(&second));
    }
}
