//! One child process: it ends with its parent, its output arrives line by line, its log is a file.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::network::entering;
use crate::wait::{LOOK_AGAIN, wait_until};
use crate::{Deadline, Interrupt, LogTail, StageError};

/// How long a program may take to end after SIGTERM; a daemon flushes its store in this time.
const TERM_PATIENCE: Duration = Duration::from_secs(5);
/// How long the kernel may take to end a program after SIGKILL.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// The lines that are kept for a reader that is slow; a program that prints more waits.
const LINES_KEPT: usize = 256;
/// The longest line that is read, in bytes: a pull of four years of quarter hours has some 10 MiB.
const LINE_LIMIT: u64 = 32 * 1024 * 1024;
/// What has a child end with its parent.
const WITH_PARENT: [&str; 4] = ["setpriv", "--pdeathsig", "TERM", "--"];

/// What to start: a program, its arguments, and the name that errors give it.
#[derive(Debug, Clone)]
pub struct Command {
    name: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    inside: Option<u32>,
    open_files: Option<usize>,
}

impl Command {
    /// Starts the command with a program; `name` is what error messages call it.
    #[must_use]
    pub fn new(name: &str, program: &Path) -> Self {
        Self {
            name: name.to_owned(),
            program: program.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            inside: None,
            open_files: None,
        }
    }

    /// Returns what error messages call the command.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let variable = (name.as_ref().to_owned(), value.as_ref().to_owned());
        self.environment.push(variable);
        self
    }

    /// Runs it in the network that the process with this number holds, [`Host::id`](crate::Host::id).
    #[must_use]
    pub const fn inside(mut self, holder: u32) -> Self {
        self.inside = Some(holder);
        self
    }

    /// Permits it so many open files, if the system lets this user.
    #[must_use]
    pub const fn open_files(mut self, limit: usize) -> Self {
        self.open_files = Some(limit);
        self
    }

    /// Returns what it is started by: one program that becomes the next, from the first to the last.
    fn starters(&self) -> Vec<String> {
        let mut line = Vec::new();
        if let Some(holder) = self.inside {
            line.extend(entering(holder));
        }
        if let Some(limit) = self.open_files {
            line.extend(["prlimit".to_owned(), format!("--nofile={limit}")]);
        }
        line.extend(WITH_PARENT.map(str::to_owned));
        line
    }

    /// Adds an option and its value.
    #[must_use]
    pub fn option(self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.arg(name).arg(value)
    }
}

/// A child process that runs.
///
/// It is started through `setpriv --pdeathsig TERM`, so that it ends when the thread that started
/// it ends, however that comes about: start it from a thread that lives as long as it should. It
/// has a process group of its own, so that Ctrl-C reaches only the parent, which then ends its
/// children in order. Dropping it ends it: SIGTERM, a bounded wait, SIGKILL.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Option<Receiver<String>>,
    reader: Option<JoinHandle<()>>,
    log: PathBuf,
}

/// A process that has ended by itself, with all that it printed.
#[derive(Debug)]
pub struct Finished {
    /// What error messages call it.
    pub name: String,
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The lines of its standard output.
    pub lines: Vec<String>,
    /// The file with its standard error.
    pub log: PathBuf,
}

impl Process {
    /// Starts the command; its standard error goes to the file `log`.
    ///
    /// # Errors
    ///
    /// [`StageError::File`] if the log cannot be made, [`StageError::Start`] if there is no
    /// `setpriv`. A program that is not there shows as one that ends with exit code 127.
    pub fn start(command: &Command, log: &Path) -> Result<Self, StageError> {
        let name = &command.name;
        let log_file = File::create(log).map_err(StageError::file(log))?;
        let mut starters = command.starters().into_iter();
        let first = starters.next().unwrap_or_default();
        let mut child = std::process::Command::new(first)
            .args(starters)
            .arg(&command.program)
            .args(&command.arguments)
            .envs(command.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .process_group(0)
            .spawn()
            .map_err(|source| StageError::Start {
                name: name.clone(),
                source,
            })?;
        let (sender, lines) = sync_channel(LINES_KEPT);
        let stdout = child.stdout.take();
        let reader = stdout.map(|stdout| std::thread::spawn(move || forward_lines(stdout, &sender)));
        Ok(Self {
            name: name.clone(),
            child,
            lines: Some(lines),
            reader,
            log: log.to_owned(),
        })
    }

    /// Returns its number, by which the system tells about it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns what error messages call the process.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the file with its standard error.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Returns the next line that it prints, or `None` once its output has ended.
    ///
    /// # Errors
    ///
    /// [`StageError::TooLate`] or [`StageError::Interrupted`] if the deadline passes first.
    pub fn next_line(&self, deadline: &Deadline) -> Result<Option<String>, StageError> {
        let Some(lines) = &self.lines else { return Ok(None) };
        loop {
            match lines.recv_timeout(deadline.next_look()) {
                Ok(line) => return Ok(Some(line)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) if deadline.has_passed() => {
                    return Err(self.too_late("a line of output", deadline));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Returns the next line if one comes within a moment, so that a caller can look after others.
    #[must_use]
    pub fn line_soon(&self) -> Option<String> {
        self.lines.as_ref()?.recv_timeout(LOOK_AGAIN).ok()
    }

    /// Checks that the process still runs.
    ///
    /// # Errors
    ///
    /// [`StageError::Failed`] with its exit code and last words if it has ended.
    pub fn check_running(&mut self) -> Result<(), StageError> {
        match self.exit_status()? {
            None => Ok(()),
            Some(status) => Err(self.failed(status.code())),
        }
    }

    /// Waits for the process to end by itself.
    ///
    /// # Errors
    ///
    /// [`StageError::TooLate`] or [`StageError::Interrupted`] if the deadline passes first.
    pub fn finish(mut self, deadline: &Deadline) -> Result<Finished, StageError> {
        let mut printed = Vec::new();
        while let Some(line) = self.next_line(deadline)? {
            printed.push(line);
        }
        let status =
            wait_until(deadline, || self.exit_status())?.ok_or_else(|| self.too_late("its end", deadline))?;
        Ok(Finished {
            name: self.name.clone(),
            code: status.code(),
            lines: printed,
            log: self.log.clone(),
        })
    }

    /// Asks the process to end with SIGTERM and waits until it has.
    ///
    /// # Errors
    ///
    /// [`StageError::TooLate`] if it had to be killed, [`StageError::Failed`] if it ended with
    /// another exit code than 0.
    pub fn stop(&mut self) -> Result<(), StageError> {
        // Nothing may interrupt this wait: what has been started must end.
        let deadline = Deadline::after(TERM_PATIENCE, &Interrupt::default());
        self.signal("TERM");
        let ended = wait_until(&deadline, || {
            // Its last lines are of no use, but it must not wait for a reader that never comes.
            if let Some(lines) = &self.lines {
                lines.try_iter().for_each(drop);
            }
            self.exit_status()
        })?;
        match ended {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.failed(status.code())),
            None => Err(self.too_late("its end after SIGTERM", &deadline)),
        }
    }

    /// Ends the process with SIGKILL, as a crash would.
    ///
    /// # Errors
    ///
    /// [`StageError::TooLate`] if the kernel does not end it.
    pub fn kill(&mut self) -> Result<(), StageError> {
        let deadline = Deadline::after(KILL_PATIENCE, &Interrupt::default());
        self.signal("KILL");
        let ended = wait_until(&deadline, || self.exit_status())?;
        ended
            .map(drop)
            .ok_or_else(|| self.too_late("its end after SIGKILL", &deadline))
    }

    /// Builds the error for something that did not happen in time.
    pub(crate) fn too_late(&self, what: &str, deadline: &Deadline) -> StageError {
        if deadline.was_interrupted() {
            return StageError::Interrupted {
                name: self.name.clone(),
            };
        }
        StageError::TooLate {
            name: self.name.clone(),
            what: what.to_owned(),
            allowed: deadline.allowed(),
            log: LogTail::of(&self.log),
        }
    }

    fn failed(&self, code: Option<i32>) -> StageError {
        StageError::Failed {
            name: self.name.clone(),
            code,
            log: LogTail::of(&self.log),
        }
    }

    fn exit_status(&mut self) -> Result<Option<ExitStatus>, StageError> {
        let name = &self.name;
        self.child.try_wait().map_err(|source| StageError::Start {
            name: name.clone(),
            source,
        })
    }

    /// Sends a signal to the group of the process; a group that is gone needs none.
    pub(crate) fn signal(&self, signal: &str) {
        // The shell's builtin: `kill` as a program is not part of a minimal system.
        let sent = std::process::Command::new("sh")
            .args(["-c", r#"kill -s "$0" -- "-$1""#, signal])
            .arg(self.child.id().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        drop(sent);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Without its receiver the reader ends with the next line, so that it can be joined.
        self.lines = None;
        let interrupt = Interrupt::default();
        for (signal, patience) in [("TERM", TERM_PATIENCE), ("KILL", KILL_PATIENCE)] {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                break;
            }
            self.signal(signal);
            let deadline = Deadline::after(patience, &interrupt);
            drop(wait_until(&deadline, || self.child.try_wait()));
        }
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
    }
}

impl Finished {
    /// Returns the only line that the program should have printed, if it ended with exit code 0.
    ///
    /// # Errors
    ///
    /// [`StageError::Failed`] for another exit code, [`StageError::Silent`] without a line.
    pub fn answer(&self) -> Result<&str, StageError> {
        self.success()?;
        self.lines
            .last()
            .map(String::as_str)
            .ok_or_else(|| StageError::Silent {
                name: self.name.clone(),
                log: LogTail::of(&self.log),
            })
    }

    /// Checks that the program ended with exit code 0.
    ///
    /// # Errors
    ///
    /// [`StageError::Failed`] for another exit code.
    pub fn success(&self) -> Result<(), StageError> {
        if self.code == Some(0) {
            return Ok(());
        }
        Err(StageError::Failed {
            name: self.name.clone(),
            code: self.code,
            log: LogTail::of(&self.log),
        })
    }

    /// Returns all that the program wrote to its standard error.
    ///
    /// # Errors
    ///
    /// [`StageError::File`] if the log cannot be read.
    pub fn log_text(&self) -> Result<String, StageError> {
        let bytes = std::fs::read(&self.log).map_err(StageError::file(&self.log))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Sends on every line until the output or the receiver ends, or a line exceeds the limit.
fn forward_lines(output: impl Read, lines: &SyncSender<String>) {
    let mut output = BufReader::new(output);
    loop {
        let mut line = String::new();
        match output.by_ref().take(LINE_LIMIT).read_line(&mut line) {
            Ok(length) if length > 0 => {}
            _ => return,
        }
        let line = line.trim_end_matches(['\n', '\r']).to_owned();
        if lines.send(line).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        Command::new("script", Path::new("sh")).arg("-c").arg(script)
    }

    #[test]
    fn open_files_are_limited_as_it_was_said() {
        let folder = tempfile::tempdir().unwrap();
        let command = shell("ulimit -n").open_files(77);
        let process = Process::start(&command, &folder.path().join("log")).unwrap();
        assert_eq!(process.finish(&soon()).unwrap().lines, ["77"]);
    }

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(20), &Interrupt::default())
    }

    fn runs(id: u32) -> bool {
        // A zombie has a folder there too, but no command line.
        std::fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| !line.is_empty())
    }

    #[test]
    fn lines_arrive_while_the_process_runs() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::start(
            &shell("echo one; echo two; sleep 600"),
            &folder.path().join("log"),
        )
        .unwrap();
        assert_eq!(process.next_line(&soon()).unwrap().as_deref(), Some("one"));
        assert_eq!(process.next_line(&soon()).unwrap().as_deref(), Some("two"));
    }

    #[test]
    fn finished_process_hands_over_output_code_and_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let process = Process::start(&shell("echo out; echo because >&2; exit 3"), &log).unwrap();
        let finished = process.finish(&soon()).unwrap();
        assert_eq!(
            (finished.code, finished.lines.as_slice()),
            (Some(3), ["out".to_owned()].as_slice())
        );
        assert_eq!(finished.log_text().unwrap(), "because\n");
        let error = finished.answer().unwrap_err().to_string();
        assert!(
            error.contains("exit code 3") && error.ends_with("because"),
            "{error}"
        );
    }

    #[test]
    fn silent_success_is_no_answer() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::start(&shell("exit 0"), &folder.path().join("log")).unwrap();
        let finished = process.finish(&soon()).unwrap();
        assert!(matches!(finished.answer(), Err(StageError::Silent { .. })));
    }

    #[test]
    fn dropped_process_and_its_children_end() {
        let folder = tempfile::tempdir().unwrap();
        let script = shell("sleep 600 & echo $!; wait");
        let process = Process::start(&script, &folder.path().join("log")).unwrap();
        let grandchild: u32 = process.next_line(&soon()).unwrap().unwrap().parse().unwrap();
        let child = process.child.id();
        drop(process);
        let gone = wait_until(&soon(), || {
            Ok::<_, StageError>((!runs(child) && !runs(grandchild)).then_some(()))
        });
        assert_eq!(gone.unwrap(), Some(()));
    }

    #[test]
    fn process_ends_with_the_thread_that_started_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let start = move || {
            let process = Process::start(&shell("echo ready; exec sleep 600"), &log).unwrap();
            process.next_line(&soon()).unwrap();
            process
        };
        let process = std::thread::spawn(start).join().unwrap();
        let finished = process.finish(&soon()).unwrap();
        assert_eq!(finished.code, None);
    }

    #[test]
    fn process_that_ignores_nothing_stops_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let script = shell("trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done");
        let mut process = Process::start(&script, &folder.path().join("log")).unwrap();
        process.next_line(&soon()).unwrap();
        process.stop().unwrap();
    }

    #[test]
    fn process_that_ended_by_itself_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let mut process =
            Process::start(&shell("echo dead >&2; exit 70"), &folder.path().join("log")).unwrap();
        let error = wait_until(&soon(), || Ok::<_, StageError>(process.check_running().err()));
        assert!(matches!(
            error.unwrap(),
            Some(StageError::Failed { code: Some(70), .. })
        ));
    }

    #[test]
    fn late_line_and_interrupted_wait_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::start(&shell("exec sleep 600"), &folder.path().join("log")).unwrap();
        let interrupt = Interrupt::default();
        let short = Deadline::after(Duration::from_millis(30), &interrupt);
        assert!(matches!(
            process.next_line(&short),
            Err(StageError::TooLate { .. })
        ));
        interrupt.flag().store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(matches!(
            process.next_line(&short),
            Err(StageError::Interrupted { .. })
        ));
    }

    #[test]
    fn program_that_is_not_there_ends_with_127() {
        let folder = tempfile::tempdir().unwrap();
        let command = Command::new("ghost", Path::new("/does/not/exist"));
        let process = Process::start(&command, &folder.path().join("log")).unwrap();
        let finished = process.finish(&soon()).unwrap();
        assert_eq!(finished.code, Some(127));
    }
}
