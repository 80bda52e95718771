//! Running an application in a process of its own.

use std::io::{self, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use evaluation::protocol::{Failure, ProtocolError, encode_job, read_answer};
use evaluation::{Package, Run, VectorError, prove_by};
use rustix::process::{Pid, Signal, kill_process};

/// The command of this program that runs applications.
const COMMAND: &str = "app-host";
/// How long a job may take in all: the process ends a run after 10 seconds itself, if it still can.
const PATIENCE: Duration = Duration::from_secs(12);

/// The reason why the process for applications has given no answer. The application may be at fault, or the system.
#[derive(Debug, thiserror::Error)]
pub(super) enum HostError {
    /// The package or the input is longer than the process takes.
    #[error("the application is not run")]
    Job(#[from] ProtocolError),
    /// The process was not started.
    #[error(
        "the process for applications cannot be started; see that the system has memory and processes left"
    )]
    Start(#[source] io::Error),
    /// It took too long and was ended.
    #[error("the process for applications did not answer within {} seconds and was ended", PATIENCE.as_secs())]
    TooLong,
    /// It ended without an answer.
    #[error("the process for applications ended without an answer")]
    Died(#[source] io::Error),
}

impl HostError {
    /// Puts it as the process itself would have.
    fn into_failure(self) -> Failure {
        let code = match self {
            Self::Job(_) => "job",
            Self::Start(_) => "start",
            Self::TooLong => "time",
            Self::Died(_) => "died",
        };
        Failure {
            code: code.to_owned(),
            text: crate::report::Chain(&self).to_string(),
        }
    }
}

/// Proves an application by the vectors of its manifest, each run in a process of its own.
pub(crate) fn prove(package: &Package<'_>) -> Result<(), VectorError> {
    prove_by(package, &mut |blob| host(package.bytes(), blob))
}

/// Runs an application over an input blob, in a process of its own; what becomes of that process is a failure like any other.
pub(crate) fn host(package: &[u8], input: &[u8]) -> Result<Run, Failure> {
    run(package, input).unwrap_or_else(|error| Err(error.into_failure()))
}

/// Runs an application over an input blob. It may take some seconds.
fn run(package: &[u8], input: &[u8]) -> Result<Result<Run, Failure>, HostError> {
    let job = encode_job(package, input)?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(COMMAND).env_clear().current_dir("/");
    converse(&mut command, &job, PATIENCE)
}

/// Starts a process, gives it a job and takes its answer. Whatever it does, it has ended then.
fn converse(
    command: &mut Command,
    job: &[u8],
    patience: Duration,
) -> Result<Result<Run, Failure>, HostError> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(HostError::Start)?;
    let answer = within(patience, child_id(&child), || exchange(&mut child, job));
    // Behind its answer it has nothing more to do, and may not stay.
    let ended = child.kill().and_then(|()| child.wait());
    match (answer, ended) {
        (None, _) => Err(HostError::TooLong),
        (Some(Err(error)), _) | (_, Err(error)) => Err(HostError::Died(error)),
        (Some(Ok(answer)), Ok(_)) => Ok(answer),
    }
}

fn child_id(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Writes the job and reads the answer.
fn exchange(child: &mut Child, job: &[u8]) -> io::Result<Result<Run, Failure>> {
    let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
    let mut input = child.stdin.take().ok_or_else(gone)?;
    let mut output = child.stdout.take().ok_or_else(gone)?;
    // One that ends before it has read everything says why, if it can.
    let written = input.write_all(job);
    drop(input);
    read_answer(&mut output).map_err(|error| written.err().unwrap_or(error))
}

/// Does something with a process, which is ended if that takes too long; then there is no result.
fn within<T>(patience: Duration, process: Option<Pid>, work: impl FnOnce() -> T) -> Option<T> {
    let (done, waiting) = mpsc::sync_channel::<()>(0);
    std::thread::scope(|scope| {
        let guard = scope.spawn(move || {
            // The sender is dropped when the work is done; nothing is ever sent.
            let is_late = waiting.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout);
            if let Some(process) = process.filter(|_| is_late) {
                // It has not been waited for, so that the number is still its own.
                if let Err(error) = kill_process(process, Signal::KILL) {
                    tracing::error!("the process for applications cannot be ended: {error}");
                }
            }
            is_late
        });
        let result = work();
        drop(done);
        let is_late = guard.join().unwrap_or(true);
        (!is_late).then_some(result)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_that_does_not_answer_is_ended() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let id = child_id(&child);
        let begun = std::time::Instant::now();
        let result = within(Duration::from_millis(50), id, || child.wait());
        assert!(result.is_none());
        assert!(begun.elapsed() < Duration::from_secs(60));
        assert_eq!(within(Duration::from_secs(60), None, || 1), Some(1));
    }

    #[test]
    fn process_that_stays_behind_its_answer_is_ended() {
        let script = |script: &str| {
            let begun = std::time::Instant::now();
            let answer = converse(Command::new("sh").args(["-c", script]), b"job", PATIENCE);
            assert!(begun.elapsed() < Duration::from_secs(60));
            answer
        };
        let failure = r"printf 'SMA1\001\003\000\000\000job\002\000\000\000no'; exec >&-; sleep 600";
        let answer = script(failure).unwrap().unwrap_err();
        assert_eq!((answer.code.as_str(), answer.text.as_str()), ("job", "no"));
        assert!(matches!(script("exec >&-; sleep 600"), Err(HostError::Died(_))));
        assert!(matches!(script("exit 3"), Err(HostError::Died(_))));
        let mut stays = Command::new("sleep");
        let late = converse(stays.arg("600"), b"job", Duration::from_millis(50));
        assert!(matches!(late, Err(HostError::TooLong)), "{late:?}");
    }

    #[test]
    fn what_became_of_the_process_has_a_code() {
        let io = || io::Error::other("no reason");
        for (error, code) in [
            (HostError::Job(ProtocolError::TooLong), "job"),
            (HostError::Start(io()), "start"),
            (HostError::TooLong, "time"),
            (HostError::Died(io()), "died"),
        ] {
            assert_eq!(error.into_failure().code, code);
        }
    }
}
