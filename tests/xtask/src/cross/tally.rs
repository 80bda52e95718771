//! What cargo says of tests while it runs them, shown and counted.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::process::Command;

use crate::error::XtaskError;

/// The tests of one program, by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) ignored: usize,
    /// Those that cargo was told to leave out.
    pub(super) left_out: usize,
}

/// The tests of all programs, in the order in which they ran.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally(Vec<(String, Counts)>);

impl Tally {
    /// Returns the tests of all programs together.
    pub(super) fn total(&self) -> Counts {
        let mut total = Counts::default();
        for (_, counts) in &self.0 {
            total.passed += counts.passed;
            total.failed += counts.failed;
            total.ignored += counts.ignored;
            total.left_out += counts.left_out;
        }
        total
    }

    /// Takes a line of cargo's or of a test program's.
    fn take(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            // Running unittests src/lib.rs (target/…/deps/model-0123456789abcdef)
            ["Running", .., file] => self.0.push((program(file).to_owned(), Counts::default())),
            // test result: ok. 71 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.03s
            ["test", "result:", _, ..] => {
                let counted = |what: &str| {
                    let place = words.iter().position(|word| word.trim_end_matches(';') == what);
                    let before = place.and_then(|place| words.get(place.checked_sub(1)?));
                    before.and_then(|number| number.parse().ok()).unwrap_or(0)
                };
                if let Some((_, counts)) = self.0.last_mut() {
                    *counts = Counts {
                        passed: counted("passed"),
                        failed: counted("failed"),
                        ignored: counted("ignored"),
                        left_out: counted("filtered"),
                    };
                }
            }
            _ => {}
        }
    }
}

impl fmt::Display for Tally {
    /// Writes a line for each program that has tests, and one for all.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, counts) in &self.0 {
            if *counts != Counts::default() {
                writeln!(f, "  {name:<16} {counts}")?;
            }
        }
        write!(f, "  {:<16} {}", "in all", self.total())
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            ignored,
            left_out,
        } = self;
        write!(
            f,
            "{passed:>5} passed, {failed} failed, {ignored} ignored, {left_out} left out"
        )
    }
}

/// Returns the name of a test program without cargo's hash and path.
fn program(file: &str) -> &str {
    let name = file.trim_matches(['(', ')']).rsplit('/').next().unwrap_or(file);
    name.rsplit_once('-').map_or(name, |(name, _)| name)
}

/// Runs the command, passes on all that it says, and counts.
///
/// # Errors
///
/// [`XtaskError::Start`] if it cannot be started. That tests have failed is in the tally, and in [`XtaskError::Step`] if the
/// command failed without.
pub(super) fn run(step: &str, mut command: Command) -> Result<Tally, XtaskError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let start = |source| XtaskError::Start {
        program: name.clone(),
        source,
    };
    // One pipe for both, since cargo names the programs on one and they say what they did on the other.
    let (said, out) = std::io::pipe().map_err(start)?;
    command
        .stdout(out.try_clone().map_err(start)?)
        .stderr(out)
        // What would be drawn over and over on a terminal.
        .env("CARGO_TERM_PROGRESS_WHEN", "never")
        .env("CARGO_TERM_COLOR", "never");
    let mut child = command.spawn().map_err(start)?;
    // It holds the other end of the pipe, which would never end.
    drop(command);
    let tally = count(said);
    let status = child.wait().map_err(start)?;
    if status.success() || tally.total().failed > 0 {
        return Ok(tally);
    }
    Err(XtaskError::Step {
        step: step.to_owned(),
        status,
    })
}

#[expect(clippy::print_stdout, reason = "it passes on what a command says")]
fn count(said: impl Read) -> Tally {
    let mut tally = Tally::default();
    for line in BufReader::new(said).split(b'\n') {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally.take(&line);
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "   Compiling model v0.1.0
     Running unittests src/lib.rs (target/armv7-unknown-linux-gnueabihf/release/deps/model-0123abcd)

running 74 tests
test result: ok. 71 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.03s

     Running tests/it/main.rs (target/armv7-unknown-linux-gnueabihf/release/deps/it-89abcdef)
test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.03s
";

    #[test]
    fn tests_are_counted_for_each_program_and_in_all() {
        let tally = count(SAID.as_bytes());
        let model = Counts {
            passed: 71,
            failed: 0,
            ignored: 1,
            left_out: 2,
        };
        assert_eq!(tally.0[0], ("model".to_owned(), model));
        let total = tally.total();
        assert_eq!(
            (total.passed, total.failed, total.ignored, total.left_out),
            (74, 1, 1, 2)
        );
        assert!(tally.to_string().contains("in all"), "{tally}");
    }

    #[test]
    fn command_that_fails_without_a_failed_test_is_an_error() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        assert!(matches!(
            run("tests", shell("exit 101")),
            Err(XtaskError::Step { .. })
        ));
        let said =
            "echo 'Running x (deps/x-1)' >&2; echo 'test result: FAILED. 0 passed; 1 failed;'; exit 101";
        assert_eq!(run("tests", shell(said)).unwrap().total().failed, 1);
    }
}
