//! What there is to say about the bindings: their rows, their parts and their health.

use std::fmt;

use model::Timestamp;

/// Where the bindings are written, and so what it takes to undo them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// In files: sled and two sealed copies. Putting the whole folder back to an earlier state is not noticed.
    Files,
    /// In fuses alone: the digest and the locks, which nothing puts back.
    Fuses,
    /// In files, and in fuses that the files must agree with.
    FilesAndFuses,
}

impl fmt::Display for Strength {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Files => "files",
            Self::Fuses => "fuses",
            Self::FilesAndFuses => "files and fuses",
        })
    }
}

/// How one part of the bindings was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It says what the bindings say.
    Sound,
    /// It is not there.
    Missing,
    /// It cannot be read, or is not authentic.
    Damaged,
    /// It is authentic and lags behind the others.
    Old,
}

impl fmt::Display for Health {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Sound => "sound",
            Self::Missing => "missing",
            Self::Damaged => "damaged",
            Self::Old => "old",
        })
    }
}

/// What was put right when the bindings were opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// The left-over of an interrupted snapshot was removed; it holds nothing of its own.
    LeftOverSnapshot {
        /// The name of the file.
        file: String,
    },
    /// sled's configuration file was missing or damaged, and was written again.
    Configuration,
    /// sled could be opened only without its snapshots, which were set aside.
    SnapshotsSetAside,
    /// A burn or a count that was cut off was completed in sled.
    Completed,
    /// sled or a copy was not what it should be, and was made again from the authentic ones. What was left of
    /// sled is set aside.
    Renewed {
        /// Its name: `sled`, `copy-a` or `copy-b`.
        part: &'static str,
        /// How it was found.
        was: Health,
    },
    /// A row had been burned in the files and not yet in the fuses, and was burned there too.
    FuseBurned {
        /// The name of the row.
        key: &'static str,
    },
    /// The disk is full; the space that is kept aside was needed to open the bindings.
    ReserveUsed,
    /// Less space was kept aside than should be, and more of it was.
    ReserveMade,
}

impl fmt::Display for Repair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftOverSnapshot { file } => write!(formatter, "removed the unfinished snapshot {file}"),
            Self::Configuration => formatter.write_str("wrote sled's configuration again"),
            Self::SnapshotsSetAside => formatter.write_str("set damaged snapshots of sled aside"),
            Self::Completed => formatter.write_str("completed a burn that was cut off"),
            Self::Renewed { part, was } => write!(formatter, "made {part} again, which was {was}"),
            Self::FuseBurned { key } => write!(formatter, "burned the row {key} into the fuses too"),
            Self::ReserveUsed => formatter.write_str("used the space kept aside: the disk is full"),
            Self::ReserveMade => formatter.write_str("kept space aside again"),
        }
    }
}

/// Everything that may be shown about the bindings; never the pairing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Where they are written.
    pub strength: Strength,
    /// The burned rows in the order in which they were burned.
    pub rows: Vec<RowReport>,
    /// The counters that were ever advanced, and their values.
    pub counters: Vec<(&'static str, u64)>,
    /// The parts: sled, both copies, and the fuses if there are any.
    pub parts: Vec<PartReport>,
    /// How much space is kept aside for a full disk, in bytes; 2 MiB unless it is full already.
    pub reserved_bytes: u64,
    /// What was put right when they were opened.
    pub repairs: Vec<Repair>,
}

/// What may be shown about a burned row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowReport {
    /// Its name.
    pub key: &'static str,
    /// The how-manieth row that was burned, from 1 on.
    pub sequence: u64,
    /// When it was burned, by the gateway's clock.
    pub time: Timestamp,
    /// The SHA-256 digest of all its bytes, tag included, as the next row or the head carries it.
    pub digest: [u8; 32],
}

/// What may be shown about one part of the bindings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartReport {
    /// Its name: `sled`, `copy-a`, `copy-b` or `fuses`.
    pub name: &'static str,
    /// How it is at this moment.
    pub health: Health,
    /// Which of the copies is newer: grows with each that is written. Copies only.
    pub generation: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repairs_are_said_in_words() {
        let renewed = Repair::Renewed {
            part: "copy-a",
            was: Health::Damaged,
        };
        assert_eq!(renewed.to_string(), "made copy-a again, which was damaged");
        assert_eq!(Strength::FilesAndFuses.to_string(), "files and fuses");
    }
}
