//! What a device may lack, or run out of: the gateway does what it can without, says what is wrong, and goes on by itself
//! when the cause is gone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use system::{
    Command, Finished, Folder, Interrupt, Meters, Process, Program, Programs, Stage, StageError, wait_until,
};

use crate::steps::{ARRIVAL, PERIOD, read, told};

/// The exit code for a faulty configuration (`EX_CONFIG` of sysexits.h).
const BAD_CONFIG: i32 = 78;
/// How long a device that nobody looks after may take to be as it was.
const RECOVERY: Duration = Duration::from_secs(60);
/// The size of the data partition that is full: room for a small store.
const SMALL: &str = "size=12m";
/// A serial line to a level converter, for lack of one: a pseudo terminal, named as it is told, and a connection.
const LINE: &str = "
import os, pty, select, socket, sys, tty
name, address = sys.argv[1:]
host, port = address.rsplit(':', 1)
line, end = pty.openpty()
tty.setraw(line)
tty.setraw(end)
os.symlink(os.ttyname(end), name)
meters = socket.create_connection((host, int(port)))
print('open', flush=True)
while True:
    ready, _, _ = select.select([line, meters], [], [])
    if line in ready:
        meters.sendall(os.read(line, 4096))
    if meters in ready:
        data = meters.recv(4096)
        if not data:
            break
        os.write(line, data)
";

/// A gateway that was never bound, with meters of its own.
struct Device {
    stage: Stage,
    meters: Meters,
}

impl Device {
    fn new() -> Self {
        let programs = Programs::find().unwrap();
        let stage = Stage::bare(programs, Folder::temporary().unwrap(), Interrupt::default()).unwrap();
        let meters = stage
            .start_meters()
            .unwrap_or_else(|error| panic!("{}", told(&error)));
        Self { stage, meters }
    }

    /// Writes a configuration with these lines besides.
    fn configure(&self, more: &str) -> PathBuf {
        let text = format!(
            "data = {:?}\nregistration_period = \"{PERIOD}\"\n[control]\nsocket = {:?}\n{more}\n[[bus]]\nname = \"cellar\"\n\
             mbus = \"tcp:{}\"\n[[bus.meter]]\nname = \"gas\"\nprimary = 1\n",
            self.data(),
            self.stage.path("control"),
            self.meters.addresses().mbus,
        );
        self.stage.write("smgw.toml", &text).unwrap()
    }

    fn data(&self) -> PathBuf {
        self.stage.path("data")
    }

    fn run(&self, config: &Path) -> Command {
        self.stage
            .command(Program::Smgw, "run")
            .option("--config", config)
    }

    fn start(&self, config: &Path) -> Process {
        self.stage.start(&self.run(config)).unwrap()
    }

    /// Runs the daemon until it ends by itself.
    fn run_to_the_end(&self, config: &Path) -> Finished {
        self.start(config).finish(&self.stage.deadline(ARRIVAL)).unwrap()
    }

    /// Waits until the status of a running daemon fulfils a condition.
    fn wait_for(&self, daemon: &mut Process, config: &Path, condition: impl Fn(&Value) -> bool) -> Value {
        let found = wait_until(&self.stage.deadline(RECOVERY), || {
            daemon.check_running()?;
            let command = self.stage.command(Program::Smgw, "status").arg("--json");
            let finished = self.stage.run(&command.option("--config", config))?;
            let status = finished
                .lines
                .first()
                .and_then(|line| serde_json::from_str(line).ok());
            Ok::<_, StageError>(status.filter(&condition))
        });
        let found = found.unwrap_or_else(|error| panic!("{}", told(&error)));
        found.unwrap_or_else(|| panic!("{}", read(daemon.log())))
    }
}

/// Returns what the status says of a meter.
fn meter<'a>(status: &'a Value, name: &str) -> &'a Value {
    let meters = status["meters"].as_array().unwrap();
    meters.iter().find(|meter| meter["name"] == name).unwrap()
}

fn was_read(status: &Value, name: &str) -> bool {
    !meter(status, name)["last_success"].is_null() && meter(status, name)["error"].is_null()
}

#[test]
fn gateway_without_reader_serial_port_and_network_measures_what_it_can_and_takes_up_the_rest() {
    let device = Device::new();
    let port = device.stage.path("ttyCellar");
    // An address for documentation (RFC 5737), which this machine has no more than a gateway without a cable.
    let more = format!(
        "[web.https]\nlisten = \"192.0.2.1:8443\"\n[wan]\nlisten = \"192.0.2.1:8444\"\n[[bus]]\nname = \"shaft\"\n\
         mbus = \"serial:{}:2400\"\n[[bus.meter]]\nname = \"water\"\nprimary = 2\n",
        port.display()
    );
    let config = device.configure(&more);
    let mut daemon = device.start(&config);
    let status = device.wait_for(&mut daemon, &config, |status| {
        was_read(status, "gas") && !meter(status, "water")["error"].is_null()
    });
    assert_eq!(status["state"], "unbound", "without a reader nobody is served");
    assert!(
        status["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()),
        "{status}"
    );
    let error = meter(&status, "water")["error"].as_str().unwrap();
    assert!(error.contains("ttyCellar"), "{error}");
    assert!(
        read(daemon.log()).contains("smart card"),
        "{}",
        read(daemon.log())
    );

    // Somebody plugs the converter in.
    let line = Command::new("line", Path::new("python3")).option("-c", LINE);
    let line = line.arg(&port).arg(&device.meters.addresses().mbus);
    let line = device.stage.start(&line).unwrap();
    assert_eq!(
        line.next_line(&device.stage.deadline(ARRIVAL))
            .unwrap()
            .as_deref(),
        Some("open")
    );
    device.wait_for(&mut daemon, &config, |status| was_read(status, "water"));
    daemon.stop().unwrap();
}

#[test]
fn gateway_without_a_configuration_names_the_file_and_starts_when_it_is_there() {
    let device = Device::new();
    let missing = device.stage.path("smgw.toml");
    let finished = device.run_to_the_end(&missing);
    assert_eq!(finished.code, Some(BAD_CONFIG));
    let log = finished.log_text().unwrap();
    assert!(log.contains("smgw.toml"), "{log}");

    let config = device.configure("");
    let mut daemon = device.start(&config);
    device.wait_for(&mut daemon, &config, |status| was_read(status, "gas"));
    daemon.stop().unwrap();
}

/// A small data partition, until it is dropped.
struct Partition(PathBuf);

impl Partition {
    fn mount(folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SMALL, "tmpfs"]).arg(&folder);
        assert!(mount.status().unwrap().success());
        Self(folder)
    }

    /// Fills what is free.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("filler")).unwrap();
        let block = [0; 4096];
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        drop(std::process::Command::new("umount").arg(&self.0).status());
    }
}

#[test]
fn gateway_on_a_full_data_partition_says_so_loses_nothing_and_goes_on_when_there_is_room() {
    let device = Device::new();
    let partition = Partition::mount(device.data());
    let config = device.configure("");
    let mut daemon = device.start(&config);
    let before = device.wait_for(&mut daemon, &config, |status| was_read(status, "gas"));
    partition.fill();
    // What was read and cannot be kept is not shown as kept: the daemon ends, and the service manager starts it again.
    let finished = daemon.finish(&device.stage.deadline(RECOVERY)).unwrap();
    assert_eq!(finished.code, Some(1));
    for finished in [finished, device.run_to_the_end(&config)] {
        let log = finished.log_text().unwrap();
        assert!(log.contains("the disk is full"), "{log}");
    }

    partition.free();
    let mut daemon = device.start(&config);
    let after = device.wait_for(&mut daemon, &config, |status| was_read(status, "gas"));
    assert_eq!(meter(&after, "gas")["id"], meter(&before, "gas")["id"]);
    assert!(meter(&after, "gas")["last_success"].as_str() > meter(&before, "gas")["last_success"].as_str());
    daemon.stop().unwrap();
}
