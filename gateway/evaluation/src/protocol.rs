//! What the daemon and its process for applications say to each other: one job in, one answer out.
//!
//! The daemon starts `smgw app-host`, writes a job to its standard input, closes it, and reads an answer from its standard
//! output. The process has no network, no keys and no files; if it dies, there is no answer, and the daemon says so. What an
//! answer holds is data of an untrusted program even then: the daemon calls [`accept`](crate::accept) on its output.
//!
//! | frame | bytes, numbers little-endian |
//! |---|---|
//! | job | `SMJ1`, u32 length of the package, u32 length of the input, package, input |
//! | answer with an output | `SMA1`, 0, u64 fuel, u64 bytes of memory, u8 whether the log is cut, u32 lines, each u8 level and u32 length and text, u32 length of the output, output |
//! | answer without | `SMA1`, 1, u32 length and text of the code, u32 length and text of the cause |

use std::error::Error;
use std::io::{self, Read, Write};

use crate::engine::{Go, LogLevel, LogLine, Module, ModuleError, Run, RunError};
use crate::interface::{InputView, ViewError};
use crate::limits::{MAX_INPUT_BYTES, MAX_LOG_BYTES, MAX_LOG_LINES, MAX_OUTPUT_BYTES, MAX_PACKAGE_BYTES};
use crate::package::{Package, PackageError};

const JOB: [u8; 4] = *b"SMJ1";
const ANSWER: [u8; 4] = *b"SMA1";
/// The most bytes of a code or a cause in an answer.
const MAX_CAUSE_BYTES: usize = 1024;
/// The most bytes of a job.
const MAX_JOB_BYTES: usize = 12 + MAX_PACKAGE_BYTES + MAX_INPUT_BYTES;
/// The most bytes of an answer: each byte of the log may have become a replacement character of three.
const MAX_ANSWER_BYTES: usize =
    64 + 3 * MAX_LOG_BYTES + 5 * MAX_LOG_LINES + MAX_OUTPUT_BYTES + 2 * MAX_CAUSE_BYTES;

/// What came of a job: a run, or a cause that the other process names.
pub type Answer = Result<Run, Failure>;

/// Why a job has no output, in the words of the process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// The stable code, such as `out-of-fuel`.
    pub code: String,
    /// The cause, its sources behind it.
    pub text: String,
}

/// Writes a job.
///
/// # Errors
///
/// [`ProtocolError::TooLong`] if package or input are longer than the gateway takes.
pub fn encode_job(package: &[u8], input: &[u8]) -> Result<Vec<u8>, ProtocolError> {
    if package.len() > MAX_PACKAGE_BYTES || input.len() > MAX_INPUT_BYTES {
        return Err(ProtocolError::TooLong);
    }
    let mut job = Vec::with_capacity(package.len().saturating_add(input.len()).saturating_add(12));
    job.extend(JOB);
    job.extend(length(package)?);
    job.extend(length(input)?);
    job.extend(package);
    job.extend(input);
    Ok(job)
}

/// Reads one job, runs it, and writes the answer: the whole of `smgw app-host`.
///
/// `go` is asked between slices of fuel whether to go on; it has the clock that this crate has not.
///
/// # Errors
///
/// What `input` or `output` say. Whatever is wrong with the job itself is an answer.
pub fn serve(input: &mut dyn Read, output: &mut dyn Write, go: &mut dyn FnMut(u64) -> Go) -> io::Result<()> {
    let mut job = Vec::new();
    let most = u64::try_from(MAX_JOB_BYTES).unwrap_or(u64::MAX);
    input.take(most.saturating_add(1)).read_to_end(&mut job)?;
    let answer = run_job(&job, go).map_err(|error| Failure::of(&error));
    output.write_all(&encode_answer(&answer))?;
    output.flush()
}

/// Reads the answer of the process.
///
/// # Errors
///
/// What `input` says, or an error of kind `InvalidData` around a [`ProtocolError`] if it is no answer.
pub fn read_answer(input: &mut dyn Read) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_ANSWER_BYTES).unwrap_or(u64::MAX);
    input.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    decode_answer(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Runs a job.
///
/// # Errors
///
/// [`JobError`] names why there is no output.
pub fn run_job(job: &[u8], go: &mut dyn FnMut(u64) -> Go) -> Result<Run, JobError> {
    let (package, input) = split_job(job).ok_or(JobError::Form)?;
    let package = Package::parse(package)?;
    let limits = package.manifest().limits();
    let view = InputView::parse(input)?;
    let module = Module::load(package.bytes(), limits.memory_bytes)?;
    Ok(module.run(input, limits.fuel_for(view.readings), go)?)
}

fn split_job(job: &[u8]) -> Option<(&[u8], &[u8])> {
    if job.len() > MAX_JOB_BYTES {
        return None;
    }
    let mut rest = job.strip_prefix(&JOB)?;
    let [package, input] = [number(&mut rest)?, number(&mut rest)?];
    let (package, rest) = rest.split_at_checked(package)?;
    (rest.len() == input).then_some((package, rest))
}

/// Writes an answer.
#[must_use]
pub fn encode_answer(answer: &Answer) -> Vec<u8> {
    let mut bytes = ANSWER.to_vec();
    match answer {
        Ok(run) => {
            bytes.push(0);
            bytes.extend(run.fuel.to_le_bytes());
            bytes.extend(run.memory_bytes.to_le_bytes());
            bytes.push(u8::from(run.log_is_cut));
            bytes.extend(u32::try_from(run.log.len()).unwrap_or(u32::MAX).to_le_bytes());
            for line in &run.log {
                bytes.push(line.level.number());
                put(&mut bytes, line.text.as_bytes());
            }
            put(&mut bytes, &run.output);
        }
        Err(failure) => {
            bytes.push(1);
            for text in [&failure.code, &failure.text] {
                put(&mut bytes, bounded(text).as_bytes());
            }
        }
    }
    bytes
}

/// Reads an answer.
///
/// # Errors
///
/// [`ProtocolError::Answer`] if the bytes are none.
pub fn decode_answer(bytes: &[u8]) -> Result<Answer, ProtocolError> {
    if bytes.len() > MAX_ANSWER_BYTES {
        return Err(ProtocolError::TooLong);
    }
    answer(bytes).ok_or(ProtocolError::Answer)
}

fn answer(bytes: &[u8]) -> Option<Answer> {
    let (kind, mut rest) = bytes.strip_prefix(&ANSWER)?.split_first()?;
    let answer = match kind {
        0 => {
            let (fuel, behind) = rest.split_first_chunk()?;
            let (memory, behind) = behind.split_first_chunk()?;
            let (cut, behind) = behind.split_first()?;
            rest = behind;
            let lines = number(&mut rest).filter(|lines| *lines <= MAX_LOG_LINES)?;
            let mut log = Vec::with_capacity(lines);
            for _ in 0..lines {
                let (level, behind) = rest.split_first()?;
                rest = behind;
                let text = text(&mut rest)?;
                log.push(LogLine {
                    level: LogLevel::of(i32::from(*level)),
                    text,
                });
            }
            Ok(Run {
                fuel: u64::from_le_bytes(*fuel),
                memory_bytes: u64::from_le_bytes(*memory),
                log_is_cut: *cut != 0,
                log,
                output: part(&mut rest)?.to_vec(),
            })
        }
        1 => Err(Failure {
            code: text(&mut rest)?,
            text: text(&mut rest)?,
        }),
        _ => return None,
    };
    rest.is_empty().then_some(answer)
}

fn length(part: &[u8]) -> Result<[u8; 4], ProtocolError> {
    u32::try_from(part.len())
        .map(u32::to_le_bytes)
        .map_err(|_| ProtocolError::TooLong)
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(part);
}

fn number(rest: &mut &[u8]) -> Option<usize> {
    let (number, behind) = rest.split_first_chunk()?;
    *rest = behind;
    usize::try_from(u32::from_le_bytes(*number)).ok()
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = number(rest)?;
    let (part, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(part)
}

fn text(rest: &mut &[u8]) -> Option<String> {
    String::from_utf8(part(rest)?.to_vec()).ok()
}

/// Returns as much of the text as an answer has room for.
fn bounded(text: &str) -> &str {
    let end = (0..=text.len().min(MAX_CAUSE_BYTES))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

impl Failure {
    fn of(error: &JobError) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        Self {
            code: error.code().to_owned(),
            text: bounded(&text).to_owned(),
        }
    }
}

/// The reason why a job has no output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The bytes are no job.
    #[error("the daemon sent no job")]
    Form,
    /// The package is malformed.
    #[error("the package of the application is refused")]
    Package(#[from] PackageError),
    /// The input blob is malformed.
    #[error("the daemon sent no input")]
    Input(#[from] ViewError),
    /// The module is not run at all.
    #[error("the module of the application is refused")]
    Module(#[from] ModuleError),
    /// The run has no output.
    #[error("the run failed")]
    Run(#[from] RunError),
}

impl JobError {
    /// Returns the stable code for logs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Form => "job",
            Self::Package(_) => "package",
            Self::Input(_) => "input",
            Self::Module(error) => error.code(),
            Self::Run(error) => error.code(),
        }
    }
}

/// The reason why bytes are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// Longer than the gateway takes.
    #[error("the frame is longer than the gateway takes")]
    TooLong,
    /// The answer is malformed.
    #[error("the process for applications sent no answer")]
    Answer,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples::{MANIFEST, echo, input};

    fn package() -> Vec<u8> {
        crate::package::with_manifest(&echo(), MANIFEST.as_bytes()).unwrap()
    }

    fn served(job: &[u8]) -> Answer {
        let mut written = Vec::new();
        serve(&mut &job[..], &mut written, &mut |_| Go::On).unwrap();
        read_answer(&mut &written[..]).unwrap()
    }

    #[test]
    fn job_is_answered_with_what_the_run_made() {
        let job = encode_job(&package(), &input().encode().unwrap()).unwrap();
        let run = served(&job).unwrap();
        assert_eq!(Ok(run), run_job(&job, &mut |_| Go::On));
    }

    #[test]
    fn every_cause_has_a_code_and_words() {
        let input = input().encode().unwrap();
        let job = |package: &[u8], input: &[u8]| encode_job(package, input).unwrap();
        let failure = |job: &[u8]| served(job).unwrap_err();
        assert_eq!(failure(b"").code, "job");
        assert_eq!(failure(&job(b"", &input)).code, "package");
        assert_eq!(failure(&job(&package(), b"")).code, "input");
        let trap = crate::samples::guest("unreachable");
        let trap = crate::package::with_manifest(&trap, MANIFEST.as_bytes()).unwrap();
        let failed = failure(&job(&trap, &input));
        assert_eq!(failed.code, "panic");
        assert_eq!(failed.text, "the run failed: the application failed: it panics");
        let empty = crate::package::with_manifest(b"\0asm\x01\0\0\0", MANIFEST.as_bytes()).unwrap();
        assert_eq!(failure(&job(&empty, &input)).code, "missing-export");
    }

    #[test]
    fn frames_that_are_too_long_are_refused() {
        assert_eq!(
            encode_job(&vec![0; MAX_PACKAGE_BYTES + 1], b""),
            Err(ProtocolError::TooLong)
        );
        assert_eq!(
            decode_answer(&vec![0; MAX_ANSWER_BYTES + 1]),
            Err(ProtocolError::TooLong)
        );
        assert_eq!(decode_answer(b"SMA1\x02"), Err(ProtocolError::Answer));
        let error = read_answer(&mut &b"nothing"[..]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let long = "ä".repeat(MAX_CAUSE_BYTES);
        assert_eq!(bounded(&long).len(), MAX_CAUSE_BYTES);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_refused(mut bytes: Vec<u8>, kind in 0u8..2) {
            let mut frame = b"SMA1".to_vec();
            frame.push(kind);
            frame.append(&mut bytes);
            if let Ok(answer) = decode_answer(&frame) {
                prop_assert_eq!(decode_answer(&encode_answer(&answer)), Ok(answer));
            }
        }

        #[test]
        fn any_bytes_are_a_job_or_refused(bytes: Vec<u8>) {
            drop(run_job(&[&JOB[..], &bytes].concat(), &mut |_| Go::On));
        }
    }
}
