//! The local web in a real browser: Debian's Chromium, driven by playwright-core, looked at by axe.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use system::Command;

use crate::local_web::{first_password, house_with_web};

/// What drives the browser, and where its modules are: `cargo verify` installs them.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../browser/local_web.mjs");
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/browser");
/// The pages that are looked at: those of each first login, those of both accounts in each of four views, and what two
/// consumers and two technicians do.
const LOOKED: u64 = 2 * 3 + 4 * (10 + 11) + 2 * 3 + 2 * 9;

/// How long all of it may take: half a second for a page, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(600);

#[test]
fn every_page_is_whole_in_a_browser_and_for_everybody() {
    let (house, web) = house_with_web();
    let pictures = house.stage.path("screenshots");
    std::fs::create_dir(&pictures).unwrap();
    let command = Command::new("browser", Path::new("node"))
        .arg(SCRIPT)
        .env("WEB", web.trim_end_matches('/'))
        .env("CONSUMER", first_password(&house, "consumer"))
        .env("TECHNICIAN", first_password(&house, "technician"))
        .env("MODULES", MODULES)
        .env("SCREENSHOTS", &pictures);
    let process = house.stage.start(&command).unwrap();
    let finished = process.finish(&house.stage.deadline(PATIENCE)).unwrap();
    let log = finished.log_text().unwrap();
    assert_eq!(finished.code, Some(0), "{log}");
    let answer: Value = serde_json::from_str(finished.answer().unwrap()).unwrap();
    let faults: Vec<_> = answer["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(answer["looked"], LOOKED);
    assert_eq!(std::fs::read_dir(&pictures).unwrap().count() as u64, LOOKED);
}
