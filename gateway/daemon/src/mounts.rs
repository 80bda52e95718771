//! The file system that the store lies on: what keeps it from keeping what was confirmed.
//!
//! The store forces everything onto the disk before it confirms it. That holds only if the file system and the
//! device do what they are told, which the mount options can undo. They are looked at once, at the start.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::codes::{Code, device as codes};

/// Where the kernel says what is mounted.
const MOUNTINFO: &str = "/proc/self/mountinfo";

/// The greatest length of that in bytes: thousands of mounts.
const MAX_MOUNTINFO: u64 = 1024 * 1024;

/// The longest commit interval in seconds that is not reported: the default of ext4. With a longer one, files that the
/// system renames or extends may be empty after a power cut long after they were written.
const LONGEST_COMMIT_SECONDS: u64 = 5;

/// Something that is wrong with the device and does not stop it: what, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finding {
    /// The stable code.
    pub(crate) code: String,
    /// What is wrong.
    pub(crate) text: String,
    /// What to do about it.
    pub(crate) remedy: String,
}

impl Finding {
    /// Says of a code what was found; the remedy is the catalogue's.
    pub(crate) fn new(code: Code, text: String) -> Self {
        Self {
            code: code.code.to_owned(),
            text,
            remedy: code.remedy.to_owned(),
        }
    }
}

/// What is wrong with a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    /// It cannot be told how the folder is mounted.
    Unknown,
    /// The folder lies in memory.
    Memory { kind: String },
    /// The folder lies on an overlay, whose upper layer nobody answers for.
    Overlay,
    /// The device may keep in its cache what it was told to write.
    NoBarriers { option: String },
    /// What is not forced out waits long.
    LongCommit { seconds: u64 },
    /// Files may hold foreign blocks after a power cut.
    Writeback,
}

impl Fault {
    const fn entry(&self) -> Code {
        match self {
            Self::Unknown => codes::MOUNT_UNKNOWN,
            Self::Memory { .. } => codes::MOUNT_MEMORY,
            Self::Overlay => codes::MOUNT_OVERLAY,
            Self::NoBarriers { .. } => codes::MOUNT_NO_BARRIERS,
            Self::LongCommit { .. } => codes::MOUNT_LONG_COMMIT,
            Self::Writeback => codes::MOUNT_WRITEBACK,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => formatter.write_str("The kernel does not say how the data folder is mounted."),
            Self::Memory { kind } => write!(
                formatter,
                "The data folder lies in memory ({kind}): everything is lost when the power goes."
            ),
            Self::Overlay => formatter.write_str(
                "The data folder lies on an overlay: what is written to it may not outlive the power.",
            ),
            Self::NoBarriers { option } => write!(
                formatter,
                "The data partition is mounted with {option}: what was confirmed may be lost when the power goes."
            ),
            Self::LongCommit { seconds } => write!(
                formatter,
                "The data partition is mounted with commit={seconds}, and {LONGEST_COMMIT_SECONDS} seconds are the \
                 most: more than that may be lost when the power goes."
            ),
            Self::Writeback => formatter.write_str(
                "The data partition is mounted with data=writeback: files may be damaged when the power goes.",
            ),
        }
    }
}

impl From<&Fault> for Finding {
    fn from(fault: &Fault) -> Self {
        Self::new(fault.entry(), fault.to_string())
    }
}

/// Looks at how a folder is mounted, and logs each finding once.
pub(crate) fn examine(folder: &Path) -> Vec<Finding> {
    let faults = folder.canonicalize().and_then(|folder| {
        let mut mountinfo = Vec::new();
        File::open(MOUNTINFO)?
            .take(MAX_MOUNTINFO)
            .read_to_end(&mut mountinfo)?;
        Ok(faults(&String::from_utf8_lossy(&mountinfo), &folder))
    });
    let faults = faults.unwrap_or_else(|_| vec![Fault::Unknown]);
    let findings: Vec<_> = faults.iter().map(Finding::from).collect();
    for Finding { code, text, remedy } in &findings {
        tracing::warn!(code, remedy, "{text}");
    }
    findings
}

/// A mount, as far as it matters here.
struct Mount<'a> {
    point: PathBuf,
    kind: &'a str,
    options: Vec<&'a str>,
}

/// Returns what is wrong with the mount that holds a folder.
fn faults(mountinfo: &str, folder: &Path) -> Vec<Fault> {
    let mounts = mountinfo.lines().filter_map(Mount::parse);
    let holding = mounts.filter(|mount| folder.starts_with(&mount.point));
    // Of several at one point the last one counts: it hides the others.
    let mount = holding.max_by_key(|mount| mount.point.components().count());
    mount.map_or_else(|| vec![Fault::Unknown], |mount| mount.faults())
}

impl<'a> Mount<'a> {
    /// Reads a line: number, parent, device, root, mount point, options, optional fields, `-`, kind, source, options of
    /// the file system.
    ///
    /// Spec: Linux, Documentation/filesystems/proc.rst, section 3.5.
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(' ');
        let point = unescaped(fields.nth(4)?);
        let options = fields.next()?;
        fields.by_ref().find(|field| *field == "-")?;
        let kind = fields.next()?;
        let of_file_system = fields.nth(1)?;
        Some(Self {
            point,
            kind,
            options: options.split(',').chain(of_file_system.split(',')).collect(),
        })
    }

    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        match self.kind {
            "tmpfs" | "ramfs" | "rootfs" => faults.push(Fault::Memory {
                kind: self.kind.to_owned(),
            }),
            "overlay" => faults.push(Fault::Overlay),
            _ => {}
        }
        for option in &self.options {
            match option.split_once('=').unwrap_or((option, "")) {
                ("nobarrier", _) | ("barrier", "0" | "none") | ("fsync_mode", "nobarrier") => {
                    faults.push(Fault::NoBarriers {
                        option: (*option).to_owned(),
                    });
                }
                ("data", "writeback") => faults.push(Fault::Writeback),
                ("commit", seconds) => {
                    let seconds = seconds.parse().ok();
                    let too_long = seconds.filter(|seconds| *seconds > LONGEST_COMMIT_SECONDS);
                    faults.extend(too_long.map(|seconds| Fault::LongCommit { seconds }));
                }
                _ => {}
            }
        }
        faults
    }
}

/// Resolves what the kernel escapes in a path: a backslash and three octal digits stand for a byte.
fn unescaped(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('\\');
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let code = part.get(..3).and_then(|code| u8::from_str_radix(code, 8).ok());
        match (code, part.get(3..)) {
            (Some(code), Some(rest)) => {
                bytes.push(code);
                bytes.extend_from_slice(rest.as_bytes());
            }
            _ => {
                bytes.push(b'\\');
                bytes.extend_from_slice(part.as_bytes());
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A board as they come: the data on a partition of its own.
    fn board(options: &str) -> String {
        format!(
            "22 27 0:20 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw\n\
             27 1 179:2 / / ro,relatime shared:1 - ext4 /dev/root ro,nobarrier,commit=600,data=writeback\n\
             30 27 0:25 / /tmp rw,nosuid,nodev shared:4 - tmpfs tmpfs rw,size=51200k\n\
             41 27 179:4 / /var/lib rw,relatime shared:9 master:1 - ext4 /dev/mmcblk0p4 {options}\n"
        )
    }

    fn found(options: &str, folder: &str) -> Vec<Fault> {
        faults(&board(options), Path::new(folder))
    }

    #[test]
    fn sound_mount_has_no_findings() {
        for options in [
            "rw",
            "rw,data=ordered",
            "rw,barrier=1,commit=5",
            "rw,data=journal,commit=1",
        ] {
            assert_eq!(found(options, "/var/lib/smgw"), [], "{options}");
        }
    }

    #[test]
    fn options_that_lose_data_are_found() {
        let no_barriers = |option: &str| Fault::NoBarriers {
            option: option.to_owned(),
        };
        let long = |seconds| Fault::LongCommit { seconds };
        for (options, expected) in [
            ("rw,nobarrier", vec![no_barriers("nobarrier")]),
            ("rw,barrier=0", vec![no_barriers("barrier=0")]),
            (
                "rw,fsync_mode=nobarrier",
                vec![no_barriers("fsync_mode=nobarrier")],
            ),
            ("rw,commit=6", vec![long(6)]),
            ("rw,data=writeback", vec![Fault::Writeback]),
            ("rw,commit=600,data=writeback", vec![long(600), Fault::Writeback]),
            ("rw,commit=abc", vec![]),
        ] {
            assert_eq!(found(options, "/var/lib/smgw"), expected, "{options}");
        }
    }

    #[test]
    fn mount_that_holds_the_folder_counts_and_no_other() {
        let of_root = found("rw", "/var/library");
        assert_eq!(of_root.len(), 3, "{of_root:?}");
        let kind = "tmpfs".to_owned();
        assert_eq!(found("rw", "/tmp/smgw"), [Fault::Memory { kind }]);
        let hidden = board("rw,nobarrier") + "42 41 179:5 / /var/lib rw - ext4 /dev/mmcblk0p5 rw\n";
        assert_eq!(faults(&hidden, Path::new("/var/lib/smgw")), []);
        let overlay = "1 0 0:1 / / rw - overlay overlay rw,lowerdir=/a,upperdir=/b,workdir=/c";
        assert_eq!(faults(overlay, Path::new("/var")), [Fault::Overlay]);
    }

    #[test]
    fn what_cannot_be_read_is_a_finding() {
        for mountinfo in ["", "nonsense", "1 2 3 4", "1 0 0:1 / / rw ext4 /dev/x rw"] {
            assert_eq!(
                faults(mountinfo, Path::new("/var")),
                [Fault::Unknown],
                "{mountinfo:?}"
            );
        }
        assert_eq!(examine(Path::new("/nonexistent"))[0].code, "SMGW-F-0101");
    }

    #[test]
    fn escaped_paths_are_resolved() {
        assert_eq!(
            unescaped(r"/media/my\040disk\134x"),
            Path::new(r"/media/my disk\x")
        );
        assert_eq!(unescaped(r"/a\b\999\04"), Path::new(r"/a\b\999\04"));
        let line = r"1 0 8:1 / /media/my\040disk rw - ext4 /dev/sda1 rw,nobarrier";
        assert_eq!(faults(line, Path::new("/media/my disk/smgw")).len(), 1);
    }

    #[test]
    fn finding_says_what_is_wrong_and_what_to_do() {
        let faults = found("rw,commit=30", "/var/lib/smgw");
        let finding = Finding::from(&faults[0]);
        assert_eq!(finding.code, "SMGW-F-0105");
        assert!(
            finding.text.contains("commit=30, and 5 seconds are the most"),
            "{}",
            finding.text
        );
        assert!(finding.remedy.contains("commit=5"), "{}", finding.remedy);
    }

    #[test]
    fn own_mount_is_known() {
        let findings = examine(&std::env::temp_dir());
        assert!(
            findings.iter().all(|finding| finding.code != "SMGW-F-0101"),
            "{findings:?}"
        );
    }
}
