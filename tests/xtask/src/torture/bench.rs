//! Where a state is made and looked at: folders, the actor that is tortured, and the one that checks.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use super::error::TortureError;
use super::folders;
use super::verdict::Verdict;

/// How long a check may take; it takes some milliseconds.
const CHECK_TIME: Duration = Duration::from_secs(60);

/// The number of checks behind which a new process is begun: sled keeps some memory of each folder.
const CHECKS_PER_PROCESS: usize = 500;

/// The exit code of a Rust program that panicked.
const PANICKED: i32 = 101;

/// A folder in memory where there is one, since a state is written and read once.
pub(super) fn scratch() -> Result<tempfile::TempDir, TortureError> {
    let memory = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("smgw-torture-");
    builder
        .tempdir_in(memory)
        .or_else(|_| builder.tempdir())
        .map_err(TortureError::file(memory))
}

/// The place of one worker.
#[derive(Debug)]
pub(super) struct Bench {
    actor: PathBuf,
    folder: PathBuf,
    checker: Option<Checker>,
}

/// How a run of the actor went.
#[derive(Debug)]
pub(super) struct Run {
    /// The acts that it had acknowledged.
    pub(super) acknowledged: Vec<String>,
    /// The act that failed, and why.
    pub(super) error: Option<String>,
    /// How it ended.
    pub(super) status: ExitStatus,
}

impl Run {
    /// Collects what the actor printed.
    pub(super) fn of<'a>(lines: impl IntoIterator<Item = &'a str>, status: ExitStatus) -> Self {
        let mut acknowledged = Vec::new();
        let mut error = None;
        for line in lines {
            if let Some(act) = line.strip_prefix("ack ") {
                acknowledged.push(act.to_owned());
            } else if let Some(why) = line.strip_prefix("error ") {
                error = Some(why.to_owned());
            }
        }
        Self {
            acknowledged,
            error,
            status,
        }
    }

    /// Whether it ended by a panic, or by the abort that a panic within a panic is.
    fn has_panicked(&self) -> bool {
        const ABORTED: i32 = 6;
        self.status.code() == Some(PANICKED) || self.status.signal() == Some(ABORTED)
    }

    /// What it did wrong by itself: no error of the disk may make it panic.
    pub(super) fn verdict(&self) -> Verdict {
        let mut verdict = Verdict::default();
        if self.has_panicked() {
            verdict.panics = 1;
            verdict.about.push("the actor panicked".to_owned());
        }
        verdict
    }

    /// Whether it was killed.
    pub(super) fn was_killed(&self) -> bool {
        const KILLED: i32 = 9;
        self.status.signal() == Some(KILLED)
    }
}

impl Bench {
    /// Makes a place in a folder of its own.
    pub(super) fn new(actor: &Path, folder: PathBuf) -> Result<Self, TortureError> {
        folders::empty(&folder)?;
        Ok(Self {
            actor: actor.to_owned(),
            folder,
            checker: None,
        })
    }

    /// Returns the folder that is the worker's own.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the folder for a state, emptied.
    pub(super) fn state_folder(&self) -> Result<PathBuf, TortureError> {
        let folder = self.folder.join("state");
        folders::empty(&folder)?;
        Ok(folder)
    }

    /// Begins the command that does the acts in a folder, behind another program's words if there are any.
    pub(super) fn actor(&self, before: &[&str], store: &Path, script: &str) -> Command {
        let mut command = match before.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(&self.actor);
                command
            }
            None => Command::new(&self.actor),
        };
        command.arg("run").arg(store).args(script.split_whitespace());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .env("RUST_BACKTRACE", "0");
        command
    }

    /// Does the acts in a folder, undisturbed or behind another program.
    pub(super) fn act(&self, before: &[&str], store: &Path, script: &str) -> Result<Run, TortureError> {
        let output = self
            .actor(before, store, script)
            .output()
            .map_err(TortureError::program("the actor"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(Run::of(text.lines(), output.status))
    }

    /// Does the acts in a folder, which must go well.
    pub(super) fn prepare(&self, store: &Path, script: &str) -> Result<Vec<String>, TortureError> {
        let run = self.act(&[], store, script)?;
        if run.status.success() {
            return Ok(run.acknowledged);
        }
        Err(TortureError::Script {
            script: script.to_owned(),
            why: run.error.unwrap_or_default(),
        })
    }

    /// Looks at a folder; with `repair`, the store must work on there as if nothing had happened.
    ///
    /// A check that panics so hard that its process ends, or that never ends, counts as a panic.
    pub(super) fn check(
        &mut self,
        store: &Path,
        acknowledged: &[String],
        repair: bool,
    ) -> Result<Verdict, TortureError> {
        let mut checker = match self.checker.take() {
            Some(checker) if checker.checks < CHECKS_PER_PROCESS => checker,
            _ => Checker::start(&self.actor)?,
        };
        let request = serde_json::json!({"folder": store, "acknowledged": acknowledged, "repair": repair});
        let answer = checker.ask(&request.to_string());
        match answer.as_deref().map(serde_json::from_str) {
            Ok(Ok(verdict)) => {
                self.checker = Some(checker);
                Ok(verdict)
            }
            Ok(Err(_)) => Err(TortureError::Log {
                line: answer.unwrap_or_default(),
            }),
            Err(end) => Ok(Verdict {
                panics: 1,
                about: vec![(*end).to_owned()],
                ..Verdict::default()
            }),
        }
    }
}

/// A process that checks one folder behind the other.
#[derive(Debug)]
struct Checker {
    child: Child,
    requests: Option<ChildStdin>,
    answers: Receiver<String>,
    checks: usize,
}

impl Checker {
    fn start(actor: &Path) -> Result<Self, TortureError> {
        let mut child = Command::new(actor)
            .arg("check")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .env("RUST_BACKTRACE", "0")
            .spawn()
            .map_err(TortureError::program("the checking actor"))?;
        let (sender, answers) = channel();
        if let Some(stdout) = child.stdout.take() {
            // Ends with the process, whose end closes the pipe.
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self {
            requests: child.stdin.take(),
            child,
            answers,
            checks: 0,
        })
    }

    /// Returns the answer, or how the process ended instead.
    fn ask(&mut self, request: &str) -> Result<String, &'static str> {
        const ENDED: &str = "the checking process ended without a verdict";
        self.checks += 1;
        let requests = self.requests.as_mut().ok_or(ENDED)?;
        writeln!(requests, "{request}").map_err(|_| ENDED)?;
        self.answers
            .recv_timeout(CHECK_TIME)
            .map_err(|error| match error {
                RecvTimeoutError::Timeout => "the check did not end within a minute",
                RecvTimeoutError::Disconnected => ENDED,
            })
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.requests = None;
        // It may have ended already; then there is nothing to kill or to wait for.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
