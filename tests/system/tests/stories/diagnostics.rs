//! What the daemon says of itself where systemd listens: events with fields and levels in the journal, nothing twice.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use system::{Folder, Interrupt, Program, Programs, Stage};

/// The exit code for a faulty configuration (`EX_CONFIG` of sysexits.h).
const BAD_CONFIG: i64 = 78;
/// Is the journal of a program that it starts as systemd does, with its standard error connected to it; prints what comes as
/// lines of JSON until an event has a code or the program ends, and at last how it ended and what it wrote itself.
const JOURNAL: &str = "
import json, os, signal, socket, subprocess, sys, tempfile
subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', '/run'], check=True)
os.makedirs('/run/systemd/journal')
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind('/run/systemd/journal/socket')
journal.settimeout(1)
own = tempfile.TemporaryFile()
stream = os.fstat(own.fileno())
environment = dict(os.environ, JOURNAL_STREAM=f'{stream.st_dev}:{stream.st_ino}')
program = subprocess.Popen(sys.argv[1:], stderr=own, env=environment)

def fields(datagram):
    found = {}
    while datagram:
        line, _, datagram = datagram.partition(b'\\n')
        name, is_text, value = line.partition(b'=')
        if not is_text:
            length = int.from_bytes(datagram[:8], 'little')
            value, datagram = datagram[8:8 + length], datagram[9 + length:]
        found[name.decode()] = value.decode()
    return found

for _ in range(60):
    try:
        event = fields(journal.recv(65536))
    except TimeoutError:
        if program.poll() is not None:
            break
        continue
    print(json.dumps(event))
    if event.get('SMGW_CODE', '').startswith('SMGW-S-'):
        break
if program.poll() is None:
    program.send_signal(signal.SIGTERM)
code = program.wait(30)
own.seek(0)
print(json.dumps({'code': code, 'own': own.read().decode()}))
";

/// Runs the daemon under a journal; returns the events, then how it ended.
fn under_a_journal(stage: &Stage, config: &Path) -> Vec<Value> {
    let mut command = Command::new("unshare");
    command.args(["--mount", "python3", "-c", JOURNAL]);
    command
        .arg(stage.program(Program::Smgw))
        .args(["run", "--config"])
        .arg(config);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn stage() -> Stage {
    Stage::bare(
        Programs::find().unwrap(),
        Folder::temporary().unwrap(),
        Interrupt::default(),
    )
    .unwrap()
}

#[test]
fn events_are_in_the_journal_with_their_codes_remedies_and_levels() {
    let stage = stage();
    let text = format!(
        "data = {:?}\n[control]\nsocket = {:?}\n",
        stage.path("data"),
        stage.path("control")
    );
    let config = stage.write("smgw.toml", &text).unwrap();
    let said = under_a_journal(&stage, &config);
    let (end, events) = said.split_last().unwrap();
    assert_eq!(end["own"], "", "nothing is said twice");
    assert_eq!(end["code"], 0);
    let find = |name: &str, value: &str| events.iter().find(|event| event[name] == value);
    let state = find("SMGW_CODE", "SMGW-S-0001").unwrap_or_else(|| panic!("{events:?}"));
    assert_eq!(state["PRIORITY"], "4", "a warning: {state}");
    assert_eq!(state["SYSLOG_IDENTIFIER"], "smgw");
    assert!(
        state["SMGW_REMEDY"]
            .as_str()
            .is_some_and(|remedy| !remedy.is_empty()),
        "{state}"
    );
    let running = find("MESSAGE", "running").unwrap_or_else(|| panic!("{events:?}"));
    assert_eq!(running["PRIORITY"], "5", "a notice: {running}");
    assert_eq!(running["SMGW_PERIOD"], "PT15M");
}

#[test]
fn an_error_that_ends_the_program_is_one_in_the_journal() {
    let stage = stage();
    let said = under_a_journal(&stage, &stage.path("missing.toml"));
    let end = said.last().unwrap();
    assert_eq!(end["code"], BAD_CONFIG);
    let own = end["own"].as_str().unwrap();
    assert!(
        own.starts_with("<3>smgw: ") && own.contains("missing.toml"),
        "{own}"
    );
}
