//! The process that runs applications: one job from the standard input, one answer to the standard output.
//!
//! Before it reads a byte it gives up what it does not need, for good. Its memory and its processor time are bounded; it ends
//! with the daemon, leaves no core behind and gains no privilege; and the kernel does next to nothing for it any more
//! ([`super::filter`]): it opens no file, no socket and no device, reads and writes no other descriptor than its own three,
//! starts nothing and signals nobody. What an application could still do, if it broke out of the interpreter, is to compute.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use evaluation::Go;
use evaluation::protocol::{Failure, encode_answer};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

use crate::cli::{FAILURE, fail};
use crate::report::Chain;

/// How long a run may take. The daemon ends the process itself a little later.
const LONGEST_RUN: Duration = Duration::from_secs(10);
/// The processor time of the process, in seconds; what ends it is a signal.
const LONGEST_SECONDS: u64 = 15;
/// Its address space in bytes: program and libraries, a package and an input of some megabytes, and the memory of a module.
const MOST_MEMORY: u64 = 256 * 1_024 * 1_024;
/// Standard input, output and error.
const DESCRIPTORS: u64 = 3;

pub(super) fn run() -> ExitCode {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    if let Err(error) = confine() {
        // The daemon cannot read the standard error; it is told why in the form that it reads.
        let answer = Err(Failure {
            code: "confinement".to_owned(),
            text: Chain(&error).to_string(),
        });
        drop(
            output
                .write_all(&encode_answer(&answer))
                .and_then(|()| output.flush()),
        );
        return fail(FAILURE, &error);
    }
    let begun = Instant::now();
    let mut go = |_| {
        if begun.elapsed() < LONGEST_RUN {
            Go::On
        } else {
            Go::Stop
        }
    };
    match evaluation::protocol::serve(&mut input, &mut output, &mut go) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILURE, &error),
    }
}

/// The reason why the process runs nothing.
#[derive(Debug, thiserror::Error)]
enum ConfineError {
    /// A limit is not taken.
    #[error(
        "the process for applications cannot be bounded; see that the service may call prctl and prlimit"
    )]
    Limits(#[from] io::Error),
    /// The filter is not taken.
    #[error(
        "the process for applications cannot be shut off; see that the kernel has CONFIG_SECCOMP_FILTER and that the service \
         may call seccomp"
    )]
    Filter(#[from] seccompiler::Error),
}

/// Gives up what a computation does not need.
fn confine() -> Result<(), ConfineError> {
    bound()?;
    Ok(super::filter::lock()?)
}

/// Bounds what the process may have, and ends it with its parent.
fn bound() -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    for (resource, most) in [
        (Resource::Nofile, DESCRIPTORS),
        (Resource::Nproc, 0),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Cpu, LONGEST_SECONDS),
        (Resource::As, MOST_MEMORY),
    ] {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit)?;
    }
    Ok(())
}
