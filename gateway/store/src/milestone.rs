//! Milestones: how far the store has come, in a form that the bound card can be told in 40 bytes.
//!
//! Whoever has an older copy of the whole folder has an older milestone, and the card, which takes only the next one,
//! is ahead of it. A milestone is written down before the card is told: so after a cut it is the card's or one ahead.
//!
//! The last one stands twice, in `milestone-a` and `milestone-b`, each replaced as a whole; the greater counter counts.
//! The file is the text whose SHA-256 digest the card keeps, each line ended by a line feed, and a line with that digest
//! behind it, by which a damaged copy is known:
//!
//! ```text
//! smgw/store-milestone/1
//! counter 12
//! before HASH
//! database GENERATION DIGEST losses NUMBER
//! system COUNT HASH
//! consumer COUNT HASH
//! calibration COUNT HASH
//! sha256 HASH
//! ```
//!
//! `before` is the digest of the milestone before, zeros in the first. GENERATION is the number of the database's last
//! commit and DIGEST (16 hexadecimal digits) that of its head, NUMBER that of the last loss that it has reported, 0 for
//! none. COUNT and HASH are the head of each log.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use model::{Fingerprint, LogHash, LogHead};
use sha2::{Digest, Sha256};

use crate::FileError;
use crate::files;

/// The format's name and version.
const FORMAT: &str = "smgw/store-milestone/1";
/// The names of the copies.
const COPIES: [&str; 2] = ["milestone-a", "milestone-b"];
/// The greatest length of a copy in bytes.
const MAX_FILE: u64 = 1_024;

/// How far the database has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabasePosition {
    /// The number of commits.
    pub generation: u64,
    /// The first 8 bytes of the digest of everything that is accounted for.
    pub digest: u64,
    /// The number of the last loss that was reported, 0 for none.
    pub last_loss: u64,
}

/// How far the store has come at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Milestone {
    /// The how-manieth milestone it is, from 1 on.
    pub counter: u64,
    /// The digest of the one before; zeros in the first.
    pub before: Fingerprint,
    /// The database.
    pub database: DatabasePosition,
    /// The system log.
    pub system: LogHead,
    /// The consumer log.
    pub consumer: LogHead,
    /// The calibration log.
    pub calibration: LogHead,
}

impl Milestone {
    /// The digest that stands for "none before".
    pub const NOTHING_BEFORE: Fingerprint = Fingerprint::new([0; 32]);

    /// Returns the text whose digest the card keeps.
    #[must_use]
    pub fn text(&self) -> String {
        let Self {
            counter,
            before,
            database:
                DatabasePosition {
                    generation,
                    digest,
                    last_loss,
                },
            system,
            consumer,
            calibration,
        } = self;
        let head = |head: &LogHead| format!("{} {}", head.count, head.hash);
        format!(
            "{FORMAT}\ncounter {counter}\nbefore {before}\ndatabase {generation} {digest:016x} losses {last_loss}\n\
             system {}\nconsumer {}\ncalibration {}\n",
            head(system),
            head(consumer),
            head(calibration)
        )
    }

    /// Returns the digest that the card keeps: SHA-256 of [`Milestone::text`].
    #[must_use]
    pub fn digest(&self) -> Fingerprint {
        Fingerprint::new(Sha256::digest(self.text()).into())
    }

    fn encode(&self) -> String {
        format!("{}sha256 {}\n", self.text(), self.digest())
    }

    /// Reads a copy; `None` if it is damaged or of another format.
    fn decode(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != FORMAT {
            return None;
        }
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let counter = field("counter")?.parse().ok()?;
        let before = field("before")?.parse().ok()?;
        let (generation, rest) = field("database")?.split_once(' ')?;
        let (digest, last_loss) = rest.split_once(" losses ")?;
        let database = DatabasePosition {
            generation: generation.parse().ok()?,
            digest: u64::from_str_radix(digest, 16).ok()?,
            last_loss: last_loss.parse().ok()?,
        };
        let milestone = Self {
            counter,
            before,
            database,
            system: head(field("system")?)?,
            consumer: head(field("consumer")?)?,
            calibration: head(field("calibration")?)?,
        };
        // Only what would be written so is read: the digest covers every byte.
        (milestone.encode() == text).then_some(milestone)
    }
}

fn head(text: &str) -> Option<LogHead> {
    let (count, hash) = text.split_once(' ')?;
    Some(LogHead {
        count: count.parse().ok()?,
        hash: LogHash::from_str(hash).ok()?,
    })
}

impl fmt::Display for Milestone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "milestone {}, {}", self.counter, self.digest())
    }
}

/// The file of the last milestone, twice.
#[derive(Debug)]
pub(crate) struct Milestones {
    folder: PathBuf,
    last: Mutex<Option<Milestone>>,
}

impl Milestones {
    /// Reads the last milestone; a copy that is damaged or missing is left to the other one.
    pub(crate) fn open(folder: &Path) -> Result<Self, FileError> {
        let mut last: Option<Milestone> = None;
        for copy in COPIES {
            let content = files::read(&folder.join(copy), MAX_FILE)?.unwrap_or_default();
            let read = std::str::from_utf8(&content).ok().and_then(Milestone::decode);
            last = match (last, read) {
                (Some(known), Some(read)) if known.counter >= read.counter => Some(known),
                (known, read) => read.or(known),
            };
        }
        Ok(Self {
            folder: folder.to_owned(),
            last: Mutex::new(last),
        })
    }

    pub(crate) fn last(&self) -> Option<Milestone> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes both copies; on return they are on the disk.
    pub(crate) fn reach(&self, milestone: &Milestone) -> Result<(), FileError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        for copy in COPIES {
            files::replace(&self.folder, copy, milestone.encode().as_bytes())?;
            *last = Some(*milestone);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milestone(counter: u64) -> Milestone {
        let head = |count: u8| LogHead {
            count: u64::from(count),
            hash: LogHash::new([count; 32]),
        };
        Milestone {
            counter,
            before: Fingerprint::new([0xb; 32]),
            database: DatabasePosition {
                generation: 77,
                digest: 0x0102_0304_0506_0708,
                last_loss: 3,
            },
            system: head(1),
            consumer: head(2),
            calibration: head(3),
        }
    }

    /// Rebuilt with `printf … | sha256sum`, so that an auditor can do it too.
    #[test]
    fn text_and_digest_are_those_of_the_documentation() {
        let text = milestone(12).text();
        let ones = "01".repeat(32);
        assert!(
            text.starts_with("smgw/store-milestone/1\ncounter 12\nbefore 0b0b"),
            "{text}"
        );
        assert!(
            text.contains("\ndatabase 77 0102030405060708 losses 3\n"),
            "{text}"
        );
        assert!(text.contains(&format!("\nsystem 1 {ones}\n")), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("text");
        std::fs::write(&file, &text).unwrap();
        let sum = std::process::Command::new("sha256sum")
            .arg(&file)
            .output()
            .unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        assert_eq!(sum.split(' ').next().unwrap(), milestone(12).digest().to_string());
    }

    #[test]
    fn milestone_is_read_back_and_no_flipped_bit_passes() {
        let text = milestone(u64::MAX).encode();
        assert_eq!(Milestone::decode(&text), Some(milestone(u64::MAX)));
        for place in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= 1;
            if let Ok(flipped) = std::str::from_utf8(&bytes) {
                assert_eq!(Milestone::decode(flipped), None, "{place}");
            }
            assert_eq!(Milestone::decode(&text[..place]), None, "{place}");
        }
        assert!(u64::try_from(text.len()).unwrap() <= MAX_FILE);
    }

    #[test]
    fn the_greater_of_two_sound_copies_counts() {
        let folder = tempfile::tempdir().unwrap();
        let last = || Milestones::open(folder.path()).unwrap().last();
        assert_eq!(last(), None);
        let milestones = Milestones::open(folder.path()).unwrap();
        milestones.reach(&milestone(1)).unwrap();
        assert_eq!(
            (last(), milestones.last()),
            (Some(milestone(1)), Some(milestone(1)))
        );
        // A cut between the two copies.
        std::fs::write(folder.path().join(COPIES[0]), milestone(2).encode()).unwrap();
        assert_eq!(last(), Some(milestone(2)));
        std::fs::write(folder.path().join(COPIES[0]), "?").unwrap();
        assert_eq!(last(), Some(milestone(1)));
        std::fs::remove_file(folder.path().join(COPIES[0])).unwrap();
        std::fs::write(folder.path().join(COPIES[1]), [0xff; 2_000]).unwrap();
        assert_eq!(last(), None);
    }

    #[test]
    fn milestone_that_cannot_be_written_is_not_reached() {
        let folder = tempfile::tempdir().unwrap();
        let milestones = Milestones::open(folder.path()).unwrap();
        drop(folder);
        assert!(milestones.reach(&milestone(1)).is_err());
        assert_eq!(milestones.last(), None);
    }
}
