//! What the kernel still does for a process that runs an application: next to nothing.
//!
//! A seccomp filter (seccomp(2), `Documentation/userspace-api/seccomp_filter.rst` of Linux) holds each system call against a
//! short list. What is not on it fails with `EPERM`: open, socket, clone, kill, ptrace, ioctl, and whatever the kernel learns
//! next. The filter cannot be taken off again.

use libc::c_long;
use seccompiler::sock_filter;

/// How the kernel calls the processor that this program is made for (`linux/audit.h`); a call by another one's numbers fails.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;
#[cfg(target_arch = "arm")]
const ARCHITECTURE: u32 = 0x4000_0028;
#[cfg(target_arch = "riscv64")]
const ARCHITECTURE: u32 = 0xC000_00F3;

/// What a computation needs whose memory grows, whose clock is looked at, and which ends.
const FREE: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];
/// The same with 64-bit times, where they have numbers of their own (`asm-generic/unistd.h`): `clock_gettime64`, `futex_time64`.
#[cfg(target_pointer_width = "32")]
const FREE_IN_32_BITS: &[c_long] = &[403, 422];
#[cfg(not(target_pointer_width = "32"))]
const FREE_IN_32_BITS: &[c_long] = &[];

#[cfg(target_arch = "arm")]
const MMAP: c_long = libc::SYS_mmap2;
#[cfg(not(target_arch = "arm"))]
const MMAP: c_long = libc::SYS_mmap;

/// What is asked of the lower half of an argument.
#[derive(Debug, Clone, Copy)]
enum Test {
    /// It is no greater than this.
    AtMost(u32),
    /// It has this bit.
    Has(u32),
    /// It lacks this bit.
    Lacks(u32),
}

/// A call that is permitted with some arguments only; every test has to hold.
struct Bound {
    call: c_long,
    /// The arguments by their places, from 0 on.
    tests: &'static [(u8, Test)],
}

/// Memory is anonymous and holds no programs; bytes come from the standard input, and go to the standard output and error.
const BOUND: &[Bound] = &[
    Bound {
        call: MMAP,
        tests: &[
            (2, Test::Lacks(libc::PROT_EXEC.cast_unsigned())),
            (3, Test::Has(libc::MAP_ANONYMOUS.cast_unsigned())),
        ],
    },
    Bound {
        call: libc::SYS_mprotect,
        tests: &[(2, Test::Lacks(libc::PROT_EXEC.cast_unsigned()))],
    },
    Bound {
        call: libc::SYS_read,
        tests: &[(0, Test::AtMost(0))],
    },
    Bound {
        call: libc::SYS_write,
        tests: &[(0, Test::AtMost(2))],
    },
];

/// The codes of the instructions (`linux/bpf_common.h`): load a word; jump by comparing with it; return.
const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_GREATER: u16 = 0x25;
const JUMP_IF_SET: u16 = 0x45;
const RETURN: u16 = 0x06;
/// What the filter may return (`linux/seccomp.h`): do it, or fail with the number in the lower half.
const ALLOW: u32 = 0x7FFF_0000;
const REFUSE: u32 = 0x0005_0000 | libc::EPERM.cast_unsigned();
/// Where the call's number, the architecture and the arguments of 64 bits are (`struct seccomp_data`).
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
const ARGUMENTS_AT: u32 = 16;

/// Puts the calling thread under the filter, for good; so are all threads that it could start, but it can start none.
///
/// # Errors
///
/// [`seccompiler::Error`] if the kernel has no filters, or another filter does not let it set one.
pub(super) fn lock() -> Result<(), seccompiler::Error> {
    seccompiler::apply_filter(&program())
}

/// Writes the filter down as the kernel's interpreter reads it.
fn program() -> Vec<sock_filter> {
    let mut program = vec![
        instruction(LOAD, ARCHITECTURE_AT),
        jump(JUMP_IF_EQUAL, ARCHITECTURE, 1, 0),
        instruction(RETURN, REFUSE),
        instruction(LOAD, NUMBER_AT),
    ];
    for call in FREE.iter().chain(FREE_IN_32_BITS) {
        program.extend(permission(*call, &[]));
    }
    for bound in BOUND {
        program.extend(permission(bound.call, bound.tests));
    }
    program.push(instruction(RETURN, REFUSE));
    program
}

/// Returns the instructions that decide about one call, and pass over any other.
fn permission(call: c_long, tests: &[(u8, Test)]) -> Vec<sock_filter> {
    let mut decision: Vec<_> = tests
        .iter()
        .flat_map(|(place, test)| {
            let argument = ARGUMENTS_AT.saturating_add(u32::from(*place).saturating_mul(8));
            let verdict = match *test {
                Test::AtMost(most) => jump(JUMP_IF_GREATER, most, 0, 1),
                Test::Has(bit) => jump(JUMP_IF_SET, bit, 1, 0),
                Test::Lacks(bit) => jump(JUMP_IF_SET, bit, 0, 1),
            };
            [instruction(LOAD, argument), verdict, instruction(RETURN, REFUSE)]
        })
        .collect();
    decision.push(instruction(RETURN, ALLOW));
    // No list of tests is that long; if one were, the call would be refused where the jump ends.
    let length = u8::try_from(decision.len()).unwrap_or(u8::MAX);
    // The numbers of calls are small and positive; one that were not would be none that is ever asked for.
    let number = u32::try_from(call).unwrap_or(u32::MAX);
    decision.insert(0, jump(JUMP_IF_EQUAL, number, 0, length));
    decision
}

const fn instruction(code: u16, value: u32) -> sock_filter {
    jump(code, value, 0, 0)
}

/// Passes over so many instructions if the comparison holds, and over so many if it does not.
const fn jump(code: u16, value: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter {
        code,
        jt,
        jf,
        k: value,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::fs::File;
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::net::{TcpStream, UdpSocket};
    use std::os::unix::net::UnixDatagram;
    use std::time::{Duration, Instant};

    use super::*;

    /// Does something in a thread of its own, under the filter.
    fn locked<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let thread = std::thread::spawn(|| {
            lock().unwrap();
            work()
        });
        thread.join().unwrap()
    }

    #[test]
    fn nothing_can_be_opened_started_or_signalled() {
        let mut passwords = File::open("/etc/passwd").unwrap();
        let (mut written, other) = (tempfile::tempfile().unwrap(), UnixDatagram::pair().unwrap());
        let refusals = locked(move || {
            let kind = |result: std::io::Result<()>| result.map_err(|error| error.kind());
            vec![
                ("open", kind(File::open("/etc/passwd").map(drop))),
                (
                    "memory of the parent",
                    kind(File::open("/proc/self/mem").map(drop)),
                ),
                ("inherited file", kind(passwords.read(&mut [0]).map(drop))),
                ("written file", kind(written.write(b"1").map(drop))),
                ("inherited socket", kind(other.0.send(b"1").map(drop))),
                ("list", kind(std::fs::read_dir("/").map(drop))),
                ("remove", kind(std::fs::remove_file("/etc/passwd-"))),
                ("udp", kind(UdpSocket::bind("127.0.0.1:0").map(drop))),
                ("tcp", kind(TcpStream::connect("127.0.0.1:1").map(drop))),
                ("unix", kind(UnixDatagram::unbound().map(drop))),
                ("thread", kind(std::thread::Builder::new().spawn(|| ()).map(drop))),
                (
                    "program",
                    kind(std::process::Command::new("/bin/true").spawn().map(drop)),
                ),
                (
                    "signal",
                    kind(
                        rustix::process::test_kill_process(rustix::process::getpid())
                            .map_err(std::io::Error::from),
                    ),
                ),
            ]
        });
        for (what, refused) in refusals {
            assert_eq!(refused, Err(ErrorKind::PermissionDenied), "{what}");
        }
    }

    #[test]
    fn computation_goes_on() {
        let (sum, counted) = locked(|| {
            let begun = Instant::now();
            let large = vec![1_u8; 64 * 1_024 * 1_024];
            let counted: HashMap<usize, u8> = large.iter().copied().enumerate().take(10_000).collect();
            assert!(begun.elapsed() < Duration::from_secs(600));
            (
                large.iter().map(|byte| usize::from(*byte)).sum::<usize>(),
                counted.len(),
            )
        });
        assert_eq!((sum, counted), (64 * 1_024 * 1_024, 10_000));
    }

    #[test]
    fn memory_for_programs_is_refused() {
        // What the kernel would read: the tests of mmap stand behind its number.
        let program = program();
        let at = program
            .iter()
            .position(|line| line.code == JUMP_IF_EQUAL && u32::try_from(MMAP) == Ok(line.k))
            .unwrap();
        let codes: Vec<_> = program[at..]
            .iter()
            .take(8)
            .map(|line| (line.code, line.k))
            .collect();
        assert_eq!(codes[1..4], [(LOAD, 32), (JUMP_IF_SET, 4), (RETURN, REFUSE)]);
        assert_eq!(
            codes[4..8],
            [(LOAD, 40), (JUMP_IF_SET, 0x20), (RETURN, REFUSE), (RETURN, ALLOW)]
        );
        assert_eq!(
            program.last().map(|line| (line.code, line.k)),
            Some((RETURN, REFUSE))
        );
    }
}
