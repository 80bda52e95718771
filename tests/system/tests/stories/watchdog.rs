//! What the service manager is told: that the daemon is up, how it is, and nothing more as soon as a task of it hangs.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use system::{
    CardPlace, Command, Folder, Gateway, GatewayConfig, Interrupt, Meters, Process, Programs, Stage,
};

use crate::steps::{ARRIVAL, PERIOD, read, told};

/// The period of the watchdog in this story.
const WATCHDOG: Duration = Duration::from_secs(8);
/// How long a call into the system takes that the disk does not come back from: longer than the story.
const HANGING_MICROSECONDS: &str = "600000000";

/// A gateway with somebody who takes the place of the service manager.
struct Managed {
    gateway: Gateway,
    _meters: Meters,
    manager: UnixDatagram,
    stage: Stage,
}

impl Managed {
    fn start() -> Self {
        let programs = Programs::find().unwrap();
        let stage = Stage::set(programs, Folder::temporary().unwrap(), Interrupt::default());
        let mut stage = stage.unwrap_or_else(|error| panic!("{}", told(&error)));
        let card = stage.personalize("card").unwrap();
        let meters = stage.start_meters().unwrap();
        let manager = UnixDatagram::bind(stage.path("notify")).unwrap();
        stage.give("NOTIFY_SOCKET", stage.path("notify"));
        stage.give("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        let config = GatewayConfig::on(&stage, CardPlace::File(card.file), &meters, PERIOD);
        let config = stage.write_config("smgw.toml", &config).unwrap();
        let gateway = stage.start_gateway(&config);
        Self {
            gateway: gateway.unwrap_or_else(|error| panic!("{}", told(&error))),
            _meters: meters,
            manager,
            stage,
        }
    }

    /// Returns the next notice, or nothing if none comes in this time.
    fn next(&self, within: Duration) -> Option<String> {
        let mut bytes = [0; 1024];
        self.manager.set_read_timeout(Some(within)).unwrap();
        let length = self.manager.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..length].to_vec()).unwrap())
    }

    /// Waits for a notice that begins so, and returns it with those before it.
    fn wait_for(&self, beginning: &str, patience: Duration) -> Vec<String> {
        let begun = Instant::now();
        let mut notices = Vec::new();
        while let Some(left) = patience.checked_sub(begun.elapsed()) {
            let Some(notice) = self.next(left.max(Duration::from_millis(1))) else {
                break;
            };
            let found = notice.starts_with(beginning);
            notices.push(notice);
            if found {
                return notices;
            }
        }
        panic!("no {beginning:?} came: {notices:?}\n{}", read(self.gateway.log()));
    }

    /// Has the disk hang: whatever the daemon wants to have on it from now on does not come back. Dropping what is
    /// returned mends the disk.
    fn hang_the_disk(&self) -> Process {
        let daemon = self.gateway.id().to_string();
        let command = Command::new("hanging disk", Path::new("strace"))
            .arg("-f")
            .option("-p", daemon)
            .option("-e", "trace=fdatasync,fsync")
            .option(
                "-e",
                format!("inject=fdatasync,fsync:delay_enter={HANGING_MICROSECONDS}"),
            );
        self.stage.start(&command).unwrap()
    }
}

#[test]
fn the_service_manager_is_told_that_the_daemon_is_up_how_it_is_and_that_it_stops() {
    let mut managed = Managed::start();
    let notices = managed.wait_for("READY=1", ARRIVAL);
    assert_eq!(notices, ["READY=1"], "nothing is said before the daemon is up");
    managed.wait_for("STATUS=SMGW-S-", ARRIVAL);
    managed.wait_for("WATCHDOG=1", ARRIVAL);
    managed.gateway.stop().unwrap();
    managed.wait_for("STOPPING=1", ARRIVAL);
}

#[test]
fn a_task_that_hangs_stops_the_watchdog_while_the_daemon_still_answers() {
    let mut managed = Managed::start();
    managed
        .gateway
        .wait_for_state(&managed.stage, "bound", ARRIVAL)
        .unwrap();
    managed.wait_for("WATCHDOG=1", ARRIVAL);

    // The readings of the next point of the grid do not get onto the disk.
    let hanging = managed.hang_the_disk();
    let notices = managed.wait_for("STATUS=The task ", ARRIVAL);
    let stuck = notices.last().unwrap();
    // systemd restarts the daemon when it was told nothing for a period.
    let silence = Instant::now();
    while let Some(left) = (WATCHDOG * 2).checked_sub(silence.elapsed()) {
        let notice = managed.next(left.max(Duration::from_millis(1)));
        assert_ne!(notice.as_deref(), Some("WATCHDOG=1"), "after {stuck}");
    }
    // A timer, or a task that looks after nothing, would have gone on.
    assert!(managed.gateway.status(&managed.stage).unwrap().is_some());

    drop(hanging);
    managed.wait_for("WATCHDOG=1", ARRIVAL);
    managed.gateway.stop().unwrap();
}
