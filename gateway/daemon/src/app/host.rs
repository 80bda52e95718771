//! The process that runs applications: one job from the standard input, one answer to the standard output.
//!
//! Before it reads a byte it gives up what it does not need, for good: it can open nothing any more, no file, no socket, no
//! device, since it has all the descriptors that it may have; it can start no program, gain no privilege, and leave no
//! core behind; its memory and its processor time are bounded, and it ends with the daemon. What an application could still
//! do, if it broke out of the interpreter, is to compute, and to send signals to processes of the same user.

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use evaluation::Go;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

use crate::cli::{FAILURE, fail};

/// How long a run may take. The daemon ends the process itself a little later.
const LONGEST_RUN: Duration = Duration::from_secs(10);
/// The processor time of the process, in seconds; what ends it is a signal.
const LONGEST_SECONDS: u64 = 15;
/// Its address space in bytes: program and libraries, a package and an input of some megabytes, and the memory of a module.
const MOST_MEMORY: u64 = 256 * 1_024 * 1_024;
/// Standard input, output and error.
const DESCRIPTORS: u64 = 3;

pub(super) fn run() -> ExitCode {
    if let Err(error) = confine() {
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
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    match evaluation::protocol::serve(&mut input, &mut output, &mut go) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILURE, &error),
    }
}

/// Gives up what a computation does not need.
fn confine() -> io::Result<()> {
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
