//! The local web in a real browser: Debian's Chromium, driven by playwright-core, looked at by axe.

mod crowd;
mod installation;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use system::{Command, Process, Stage, StageError, wait_until};

use crate::local_web::{first_password, house_with_web};

/// Where the scripts are that drive the browser, and its modules: `cargo verify` installs them.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../browser");
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/browser");
/// Where the pictures are kept, in a folder for each script.
const PICTURES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/screenshots");
/// The pages that are looked at: those of each first login, those of both accounts in each of four views, what two consumers
/// and two technicians do, what two consumers type wrongly, and two who are shut out.
const LOOKED: u64 = 2 * 3 + 4 * (10 + 11) + 2 * 3 + 2 * 9 + 2 * 4 + 2;

/// How long all of it may take: half a second for a page, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(600);

/// A script that tells a story in a browser.
struct Script<'a> {
    stage: &'a Stage,
    name: &'a str,
    web: &'a str,
    /// What else it is to know, as variables of its environment.
    variables: &'a [(&'a str, &'a str)],
    /// How many views it has to look at.
    looked: u64,
}

impl Script<'_> {
    /// Has the story told to its end. It must have found nothing wrong, and have looked at everything.
    fn tell(&self) {
        let (process, pictures) = self.start(&[]);
        self.check(process, &pictures);
    }

    /// As [`Script::tell`]; what the script orders, a list of words each time, is done meanwhile.
    fn tell_and_obey(&self, mut obey: impl FnMut(&[&str]) -> Value) {
        let socket = self.stage.path("orders.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (mut process, pictures) = self.start(&[("ORDERS", &socket)]);
        let connected = wait_until(&self.stage.deadline(PATIENCE), || {
            process.check_running()?;
            Ok::<_, StageError>(listener.accept().ok())
        });
        let (stream, _) = connected.unwrap().expect("the script connects");
        take_orders(stream, &mut obey);
        self.check(process, &pictures);
    }

    fn start(&self, files: &[(&str, &Path)]) -> (Process, PathBuf) {
        let pictures = Path::new(PICTURES).join(self.name);
        drop(std::fs::remove_dir_all(&pictures));
        std::fs::create_dir_all(&pictures).unwrap();
        let command = Command::new("browser", Path::new("node"))
            .arg(Path::new(SCRIPTS).join(self.name).with_extension("mjs"))
            .env("WEB", self.web.trim_end_matches('/'))
            .env("MODULES", MODULES)
            .env("SCREENSHOTS", &pictures);
        let texts = self.variables.iter();
        let command = texts.fold(command, |command, (name, value)| command.env(name, value));
        let files = files.iter();
        let command = files.fold(command, |command, (name, file)| command.env(name, file));
        (self.stage.start(&command).unwrap(), pictures)
    }

    fn check(&self, process: Process, pictures: &Path) {
        let finished = process.finish(&self.stage.deadline(PATIENCE)).unwrap();
        let log = finished.log_text().unwrap();
        assert_eq!(finished.code, Some(0), "{log}");
        let answer: Value = serde_json::from_str(finished.answer().unwrap()).unwrap();
        let faults: Vec<_> = answer["faults"]
            .as_array()
            .unwrap()
            .iter()
            .map(|fault| fault.as_str().unwrap())
            .collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        assert_eq!(answer["looked"], self.looked);
        assert_eq!(std::fs::read_dir(pictures).unwrap().count() as u64, self.looked);
    }
}

/// Does what is ordered, a line each, until nobody orders anything any more.
fn take_orders(stream: UnixStream, obey: &mut impl FnMut(&[&str]) -> Value) {
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answers = stream.try_clone().unwrap();
    for line in BufReader::new(stream).lines() {
        let order: Vec<String> = serde_json::from_str(&line.unwrap()).unwrap();
        let words: Vec<_> = order.iter().map(String::as_str).collect();
        let answer = obey(&words);
        // Who has gone without waiting for it says itself why.
        drop(writeln!(answers, "{answer}"));
    }
}

#[test]
fn every_page_is_whole_in_a_browser_and_for_everybody() {
    let (house, web) = house_with_web();
    let [consumer, technician] = ["consumer", "technician"].map(|account| first_password(&house, account));
    let script = Script {
        stage: &house.stage,
        name: "local_web",
        web: &web,
        variables: &[("CONSUMER", &consumer), ("TECHNICIAN", &technician)],
        looked: LOOKED,
    };
    script.tell();
}
