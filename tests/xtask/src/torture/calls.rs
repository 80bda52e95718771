//! What a run of the actor asked of the kernel, recorded with strace.
//!
//! strace runs with `-f -y -xx`: each line has its thread, descriptors have their paths, and every text is
//! in hexadecimal digits, so that nothing in it can be taken for the end of an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::bench::{Bench, Run};
use super::error::TortureError;

/// The calls that change files. A kill is tried before each of them.
pub(super) const CHANGING: [&str; 29] = [
    "openat",
    "creat",
    "write",
    "pwrite64",
    "writev",
    "pwritev",
    "pwritev2",
    "fsync",
    "fdatasync",
    "sync_file_range",
    "truncate",
    "ftruncate",
    "fallocate",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "rmdir",
    "mkdir",
    "mkdirat",
    "link",
    "linkat",
    "symlink",
    "copy_file_range",
    "sendfile",
    "chmod",
    "fchmod",
    "fchmodat",
];

/// The descriptor that acts are acknowledged on.
const STANDARD_OUTPUT: i64 = 1;

/// The calls that only read; an error of the disk is tried there too.
pub(super) const READING: [&str; 4] = ["read", "pread64", "getdents64", "lseek"];

/// A call of the actor that touched its folder, or one that acknowledged an act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    /// The thread that made it.
    pub(super) thread: u32,
    /// How many calls of this name the thread had made, with this one, wherever they went.
    pub(super) order: usize,
    /// The call's name.
    pub(super) name: String,
    /// The file or folder, from the folder of the run.
    pub(super) path: PathBuf,
    /// What it did.
    pub(super) effect: Effect,
}

/// What a call did to the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// It changed nothing, or failed.
    Nothing,
    /// Makes the file unless it is there; `empties` it if it is.
    Create { empties: bool },
    /// Writes at a place of the file; behind its end if there is none.
    Write { offset: Option<u64>, bytes: Vec<u8> },
    /// Makes the file at least so long, with zeros.
    Lengthen { length: u64 },
    /// Cuts the file, or lengthens it with zeros.
    Truncate { length: u64 },
    /// Gives the file or folder another name.
    Rename { to: PathBuf },
    /// Removes the name.
    Unlink,
    /// Makes the folder.
    MakeFolder,
    /// Forces the file, or the names in the folder, onto the disk.
    Sync,
    /// Should have done so and failed: the kernel takes what was waiting for written, and forgets it.
    FailedSync,
    /// The act was acknowledged.
    Acknowledge { act: String },
}

/// Runs a script from a prepared folder and returns its calls; the script must run through.
pub(super) fn record(bench: &Bench, folder: &Path, script: &str) -> Result<Vec<Call>, TortureError> {
    let (run, log) = trace(bench, folder, script, &RECORDING, &[traced().as_str()])?;
    if !run.status.success() {
        return Err(TortureError::Script {
            script: script.to_owned(),
            why: run.error.unwrap_or_default(),
        });
    }
    parse(&log, folder)
}

/// Runs a script that is killed before the call at a point; returns whether it was.
///
/// Without `--seccomp-bpf`, under which strace delivers no signal.
pub(super) fn kill_at(
    bench: &Bench,
    folder: &Path,
    script: &str,
    point: &Point,
) -> Result<(Run, bool), TortureError> {
    let traced = format!("trace={}", point.name);
    let inject = |when| format!("inject={}:signal=KILL:when={when}", point.name);
    let path = folder.join(&point.path);
    let path = path.to_string_lossy();
    let (run, _) = if point.is_main {
        let injected = inject(point.order);
        trace(bench, folder, script, &[], &[&traced, "-e", &injected])?
    } else {
        let injected = inject(point.number);
        let words = [&traced, "-P", path.trim_end_matches('/'), "-e", &injected];
        trace(bench, folder, script, &[], &words)?
    };
    let was_reached = run.was_killed();
    Ok((run, was_reached))
}

/// Runs a script whose call at a point fails; returns whether it did, and all calls where they are known.
///
/// A thread of sled's makes its calls at no fixed place in the order of all; its point is found by the path,
/// and then strace shows no other paths.
pub(super) fn fail_at(
    bench: &Bench,
    folder: &Path,
    script: &str,
    point: &Point,
    error: &str,
) -> Result<(Run, bool, Option<Vec<Call>>), TortureError> {
    let path = folder.join(&point.path);
    let path = path.to_string_lossy();
    let injected = |when| format!("inject={}:error={error}:when={when}", point.name);
    let (run, log) = if point.is_main {
        let injected = injected(point.order);
        trace(
            bench,
            folder,
            script,
            &RECORDING,
            &[traced().as_str(), "-e", &injected],
        )?
    } else {
        let injected = injected(point.number);
        let traced = traced();
        let words = [traced.as_str(), "-P", path.trim_end_matches('/'), "-e", &injected];
        trace(bench, folder, script, &RECORDING, &words)?
    };
    let was_reached = log.contains("(INJECTED)");
    let calls = if point.is_main {
        Some(parse(&log, folder)?)
    } else {
        None
    };
    Ok((run, was_reached, calls))
}

/// The words with which strace writes all that [`parse`] wants to know.
const RECORDING: [&str; 5] = ["--seccomp-bpf", "-y", "-xx", "-s", "16777216"];

fn traced() -> String {
    format!("trace={},{}", CHANGING.join(","), READING.join(","))
}

/// Runs a script under strace; the first of the last words says which calls are traced.
fn trace(
    bench: &Bench,
    folder: &Path,
    script: &str,
    form: &[&str],
    words: &[&str],
) -> Result<(Run, String), TortureError> {
    let log = bench.folder().join("calls");
    let log_text = log.to_string_lossy().into_owned();
    let before = [&["strace", "-f", "-qq", "-o", &log_text], form, &["-e"], words].concat();
    let run = bench.act(&before, &folder.join("store"), script)?;
    let text = fs::read_to_string(&log).map_err(TortureError::file(&log))?;
    Ok((run, text))
}

/// A call by its name, its file and how many of the same thread came before it.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// Counted from 1, as strace does.
    pub(super) number: usize,
    /// The same, counted over all files.
    pub(super) order: usize,
    /// Whether the actor's own thread makes it, and not one of sled's.
    pub(super) is_main: bool,
}

impl Point {
    /// Returns the n-th call of a name on a file, by whichever thread.
    pub(super) fn of_file(name: &str, path: &str, number: usize) -> Self {
        Self {
            name: name.to_owned(),
            path: path.into(),
            number,
            order: number,
            is_main: false,
        }
    }
}

/// Returns the points of a recording that are wanted, in the order in which they were made.
///
/// Two threads of sled's that make their n-th call on the same file make one point: strace counts by threads, and
/// they cannot be told apart before they run.
pub(super) fn points(calls: &[Call], wanted: impl Fn(&Call) -> bool) -> Vec<Point> {
    let mut counts: BTreeMap<(u32, &str, &Path), usize> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut points = Vec::new();
    let main = calls.first().map(|call| call.thread);
    for call in calls {
        let key = (call.name.as_str(), call.path.as_path());
        let number = counts.entry((call.thread, key.0, key.1)).or_default();
        *number += 1;
        let is_act = matches!(call.effect, Effect::Acknowledge { .. });
        let is_main = Some(call.thread) == main;
        if !is_act && wanted(call) && seen.insert((is_main, key, *number)) {
            points.push(Point {
                name: call.name.clone(),
                path: call.path.clone(),
                number: *number,
                order: call.order,
                is_main,
            });
        }
    }
    points
}

/// Reads the log; calls outside of the folder are left out.
pub(super) fn parse(log: &str, folder: &Path) -> Result<Vec<Call>, TortureError> {
    let mut unfinished: BTreeMap<u32, String> = BTreeMap::new();
    let mut positions = Positions::new();
    let mut orders: BTreeMap<(u32, String), usize> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let odd = || TortureError::Log {
            line: line.chars().take(200).collect(),
        };
        let (thread, rest) = line.split_once(' ').ok_or_else(odd)?;
        let thread = thread.parse().map_err(|_| odd())?;
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        if let Some(begin) = rest.strip_suffix("<unfinished ...>") {
            unfinished.insert(thread, begin.trim_end().to_owned());
            continue;
        }
        let whole = match rest.strip_prefix("<... ") {
            Some(resumed) => {
                let (_, end) = resumed.split_once(" resumed>").ok_or_else(odd)?;
                let begin = unfinished.remove(&thread).ok_or_else(odd)?;
                format!("{begin}{end}")
            }
            None => rest.to_owned(),
        };
        // A call that the end of its process overtook has no result, and no whole line either.
        if whole.ends_with("= ?") || whole.ends_with("<detached ...>") {
            continue;
        }
        let call = Line::split(&whole).ok_or_else(odd)?;
        let order = orders.entry((thread, call.name.to_owned())).or_default();
        *order += 1;
        let caller = (thread, *order);
        calls.extend(call.read(caller, folder, &mut positions).ok_or_else(odd)?);
    }
    Ok(calls)
}

/// Where the next write of a descriptor goes; `None` behind the end of its file, wherever that is.
type Positions = BTreeMap<i64, Option<u64>>;

/// A call as strace writes it.
struct Line<'a> {
    name: &'a str,
    arguments: Vec<&'a str>,
    result: i64,
}

impl<'a> Line<'a> {
    fn split(line: &'a str) -> Option<Self> {
        let (name, rest) = line.split_once('(')?;
        let (arguments, result) = rest.rsplit_once(") = ").or_else(|| {
            // strace pads a short call with blanks before the sign.
            let (arguments, result) = rest.rsplit_once(" = ")?;
            Some((arguments.trim_end().strip_suffix(')')?, result))
        })?;
        let digits = result.find(|c: char| !(c.is_ascii_digit() || c == '-'));
        let result = result.get(..digits.unwrap_or(result.len()))?;
        Some(Self {
            name,
            arguments: arguments.split(", ").collect(),
            result: result.parse().ok()?,
        })
    }

    /// Returns the number of the descriptor in an argument like `3<…>`, and its path.
    fn descriptor(&self, index: usize) -> Option<(i64, PathBuf)> {
        let (number, path) = self.arguments.get(index)?.split_once('<')?;
        let path = path.split('>').next()?;
        let number = if number == "AT_FDCWD" {
            -1
        } else {
            number.parse().ok()?
        };
        Some((number, PathBuf::from(String::from_utf8(unhex(path)?).ok()?)))
    }

    fn text(&self, index: usize) -> Option<Vec<u8>> {
        unhex(self.arguments.get(index)?.strip_prefix('"')?.strip_suffix('"')?)
    }

    fn path(&self, index: usize) -> Option<PathBuf> {
        Some(PathBuf::from(String::from_utf8(self.text(index)?).ok()?))
    }

    fn number(&self, index: usize) -> Option<u64> {
        self.arguments.get(index)?.parse().ok()
    }

    /// Returns the call, or nothing if it is none of the folder's; outside it is `None` for an odd line.
    fn read(
        &self,
        (thread, order): (u32, usize),
        folder: &Path,
        positions: &mut Positions,
    ) -> Option<Option<Call>> {
        let call = |path: &Path, effect| Call {
            thread,
            order,
            name: self.name.to_owned(),
            path: path.to_owned(),
            effect,
        };
        if self.name == "write" && self.descriptor(0)?.0 == STANDARD_OUTPUT {
            let text = String::from_utf8(self.text(1)?).ok()?;
            let act = text.trim_end().strip_prefix("ack ").map(str::to_owned);
            return Some(act.map(|act| call(Path::new(""), Effect::Acknowledge { act })));
        }
        let (path, mut effect) = self.effect(positions)?;
        if let Effect::Rename { to } = &mut effect {
            *to = to.strip_prefix(folder).ok()?.to_owned();
        }
        if self.result < 0 {
            effect = match effect {
                Effect::Sync => Effect::FailedSync,
                _ => Effect::Nothing,
            };
        }
        let inside = path.strip_prefix(folder).ok();
        Some(inside.map(|path| call(path, effect)))
    }

    /// Returns the file or folder of a call and what it does there if it does not fail.
    fn effect(&self, positions: &mut Positions) -> Option<(PathBuf, Effect)> {
        let moved = u64::try_from(self.result).unwrap_or(0);
        Some(match self.name {
            "openat" => {
                let flags = self.arguments.get(2)?;
                let has = |flag: &str| flags.split('|').any(|set| set == flag);
                positions.insert(self.result, (!has("O_APPEND")).then_some(0));
                let empties = has("O_TRUNC");
                let effect = if has("O_CREAT") || empties {
                    Effect::Create { empties }
                } else {
                    Effect::Nothing
                };
                (self.path_at(0)?, effect)
            }
            "write" => {
                let (descriptor, path) = self.descriptor(0)?;
                let position = positions.entry(descriptor).or_insert(Some(0));
                let offset = *position;
                *position = position.map(|position| position + moved);
                (path, self.written(offset)?)
            }
            "pwrite64" => {
                let effect = self.written(Some(self.number(3)?))?;
                (self.descriptor(0)?.1, effect)
            }
            "read" => {
                let (descriptor, path) = self.descriptor(0)?;
                let position = positions.entry(descriptor).or_insert(Some(0));
                *position = position.map(|position| position + moved);
                (path, Effect::Nothing)
            }
            "lseek" => {
                let (descriptor, path) = self.descriptor(0)?;
                if self.result >= 0 {
                    positions.insert(descriptor, Some(moved));
                }
                (path, Effect::Nothing)
            }
            "pread64" | "getdents64" | "sync_file_range" => (self.descriptor(0)?.1, Effect::Nothing),
            "chmod" => (self.path(0)?, Effect::Nothing),
            "fchmod" => (self.descriptor(0)?.1, Effect::Nothing),
            "fchmodat" => (self.path_at(0)?, Effect::Nothing),
            "fsync" | "fdatasync" => (self.descriptor(0)?.1, Effect::Sync),
            "ftruncate" => {
                let length = self.number(1)?;
                (self.descriptor(0)?.1, Effect::Truncate { length })
            }
            "fallocate" if self.arguments.get(1) == Some(&"0") => {
                let length = self.number(2)? + self.number(3)?;
                (self.descriptor(0)?.1, Effect::Lengthen { length })
            }
            "rename" => (self.path(0)?, Effect::Rename { to: self.path(1)? }),
            "renameat" | "renameat2" => {
                let to = self.path_at(2)?;
                (self.path_at(0)?, Effect::Rename { to })
            }
            "unlink" | "rmdir" => (self.path(0)?, Effect::Unlink),
            "unlinkat" => (self.path_at(0)?, Effect::Unlink),
            "mkdir" => (self.path(0)?, Effect::MakeFolder),
            "mkdirat" => (self.path_at(0)?, Effect::MakeFolder),
            // What the store has not used so far must not be overlooked when it begins to.
            _ => return None,
        })
    }

    /// Returns what was written at a place; a call may have written a part only.
    fn written(&self, offset: Option<u64>) -> Option<Effect> {
        let mut bytes = self.text(1)?;
        bytes.truncate(usize::try_from(self.result).unwrap_or(0));
        Some(Effect::Write { offset, bytes })
    }

    /// Returns the path in an argument and the next one: a folder's descriptor, and a name from there.
    fn path_at(&self, index: usize) -> Option<PathBuf> {
        let (_, folder) = self.descriptor(index)?;
        Some(folder.join(self.path(index + 1)?))
    }
}

/// Reads `\x2f\x64…`.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    for digits in text.split("\\x").skip(1) {
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
    }
    (bytes.len() * 4 == text.len()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> String {
        text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
    }

    fn parsed(lines: &[String]) -> Result<Vec<Call>, TortureError> {
        parse(&lines.join("\n"), Path::new("/t"))
    }

    #[test]
    fn writes_follow_each_other_and_acknowledgements_stand_between() {
        let file = format!("3<{}>", hex("/t/f"));
        let calls = parsed(&[
            format!(
                "7 openat(AT_FDCWD<{}>, \"{}\", O_WRONLY|O_CREAT|O_TRUNC, 0600) = {file}",
                hex("/"),
                hex("/t/f")
            ),
            format!("7 write({file}, \"{}\", 2) = 2", hex("ab")),
            format!("7 write({file}, \"{}\", 2 <unfinished ...>", hex("cd")),
            format!("8 fsync({file})           = 0"),
            "7 <... write resumed>) = 1".to_owned(),
            format!("7 write(1<{}>, \"{}\", 9) = 9", hex("pipe"), hex("ack open\n")),
            format!("7 unlink(\"{}\") = -1 ENOENT (No such file)", hex("/t/f")),
            format!("7 fsync({file}) = -1 EIO (Input/output error) (INJECTED)"),
            format!("8 fsync({file} <unfinished ...>"),
            "8 <... fsync resumed> <unfinished ...>) = ?".to_owned(),
            format!("7 rename(\"{}\", \"{}\") = 0", hex("/t/f"), hex("/t/g")),
            "7 +++ exited with 0 +++".to_owned(),
        ])
        .unwrap();
        let effects: Vec<_> = calls
            .iter()
            .map(|call| (call.thread, call.effect.clone()))
            .collect();
        let write = |offset, bytes: &[u8]| Effect::Write {
            offset: Some(offset),
            bytes: bytes.to_vec(),
        };
        let expected = [
            (7, Effect::Create { empties: true }),
            (7, write(0, b"ab")),
            (8, Effect::Sync),
            (7, write(2, b"c")),
            (7, Effect::Acknowledge { act: "open".into() }),
            (7, Effect::Nothing),
            (7, Effect::FailedSync),
            (7, Effect::Rename { to: "g".into() }),
        ];
        assert_eq!(effects, expected);
        let points = points(&calls, |call| call.name == "write");
        let numbers: Vec<_> = points.iter().map(|point| point.number).collect();
        assert_eq!(numbers, [1, 2]);
    }

    #[test]
    fn calls_elsewhere_are_left_out() {
        let line = format!("7 mkdir(\"{}\", 0700) = 0", hex("/elsewhere"));
        assert_eq!(parsed(&[line]).unwrap(), []);
    }

    #[test]
    fn odd_line_is_named() {
        for line in [
            "",
            "x y",
            "7 fsync(3) = 0",
            "7 splice(1, 2) = 0",
            "7 <... read resumed>) = 0",
        ] {
            let error = parse(&format!("{line}\n"), Path::new("/t")).unwrap_err();
            assert!(matches!(error, TortureError::Log { .. }), "{line}");
        }
    }
}
