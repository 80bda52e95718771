//! The books: every act of the trust centre, one JSON object per line, only ever appended to.
//!
//! An act is on the disk before its effect leaves the house. A line that a power cut has left
//! without its end was never confirmed to anybody and is taken back.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use counterparty::files::{self, Access, FileError};
use counterparty::random::{self, RandomError};
use messages::certificate::PartyName;
use model::{CardId, Fingerprint, GatewayState, ParseIdentityError, Timestamp};
use serde::{Deserialize, Serialize};

/// The greatest length of a line in bytes; the longest act has some 500.
const MAX_LINE: u64 = 4_096;
/// How often a GUID is drawn anew; one collision of 64 random bits is a wonder, this many a fault.
const MAX_DRAWS: usize = 8;

/// What the trust centre has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case")]
pub(crate) enum Act {
    /// It made its authority and certified the TSM.
    Founded {
        /// Its name.
        name: PartyName,
        /// The root certificate.
        root: Fingerprint,
        /// The TSM's SIG certificate.
        tsm: Fingerprint,
    },
    /// It certified a supplier.
    Certified {
        /// The supplier's name.
        name: PartyName,
        /// The SIG certificate.
        sig: Fingerprint,
        /// The ENC certificate.
        enc: Fingerprint,
        /// The TLS certificate.
        tls: Fingerprint,
    },
    /// It gave a GUID away. Whether a card has got it or not, it is never given again.
    GuidGiven {
        /// The GUID.
        guid: CardId,
    },
    /// It completed a card.
    Personalized {
        /// The card's GUID.
        guid: CardId,
        /// The SIG certificate.
        sig: Fingerprint,
        /// The ENC certificate.
        enc: Fingerprint,
        /// The TLS certificate.
        tls: Fingerprint,
    },
    /// As TSM it set out to install a bundle.
    InstallBegun {
        /// The GUID of the gateway's card.
        guid: CardId,
        /// The bundle's version.
        version: u64,
        /// The bundle's digest.
        digest: Fingerprint,
    },
    /// The gateway reported that the bundle is in force.
    Installed {
        /// The GUID of the gateway's card.
        guid: CardId,
        /// The bundle's version.
        version: u64,
        /// The state that the gateway reported.
        state: GatewayState,
    },
    /// As TSM it set out to give a card its tries back.
    UnlockBegun {
        /// The card's GUID.
        guid: CardId,
    },
    /// The card has its tries back.
    Unlocked {
        /// The card's GUID.
        guid: CardId,
    },
    /// As TSM it set out to end a card's life.
    TerminationBegun {
        /// The card's GUID.
        guid: CardId,
    },
    /// The card has ended its life.
    Terminated {
        /// The card's GUID.
        guid: CardId,
        /// Who says so.
        witness: Witness,
    },
}

/// Who says that a card has ended its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Witness {
    /// The card itself, through the channel that ends in it.
    Card,
    /// Its gateway, within the connection that the card had signed for: a dead card signs no message.
    Gateway,
}

/// An act and when it was done.
#[derive(Debug, Serialize, Deserialize)]
struct Record<A> {
    time: Timestamp,
    #[serde(flatten)]
    act: A,
}

/// The reason why the books were not written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BooksError {
    /// The file is missing or cannot be reached.
    #[error("the books cannot be kept; restore records.jsonl from its backup or free the disk")]
    File(#[from] FileError),
    /// A line is no act.
    #[error("line {line} of {} is damaged; restore the books from their backup", path.display())]
    Damaged {
        /// The books.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// An act could not be written as JSON.
    #[error("an act cannot be written down")]
    Act(#[source] serde_json::Error),
    /// No random bytes could be drawn.
    #[error("no GUID can be drawn")]
    Random(#[from] RandomError),
    /// Every GUID that was drawn had been given away before.
    #[error(
        "{MAX_DRAWS} random GUIDs in a row had been given away before; the random number generator is broken"
    )]
    Exhausted,
    /// The prefix makes no GUIDs.
    #[error("the prefix makes no GUIDs")]
    Prefix(#[from] PrefixError),
}

/// The books of one trust centre.
#[derive(Debug)]
pub(crate) struct Books {
    path: PathBuf,
}

impl Books {
    /// Begins the books in a folder that has none.
    pub(crate) fn create(home: &Path) -> Result<Self, BooksError> {
        let path = home.join("records.jsonl");
        files::write_new(&path, b"", Access::Private)?;
        Ok(Self { path })
    }

    /// Opens the books. They are never begun anew by the way: a GUID could be given twice.
    pub(crate) fn open(home: &Path) -> Result<Self, BooksError> {
        let path = home.join("records.jsonl");
        File::open(&path).map_err(FileError::at(&path))?;
        Ok(Self { path })
    }

    /// Appends an act; when this returns, it is on the disk.
    pub(crate) fn record(&self, time: Timestamp, act: &Act) -> Result<(), BooksError> {
        let mut file = self.lock()?;
        self.append(&mut file, time, act)
    }

    /// Returns whether a card has ended its life.
    pub(crate) fn is_terminated(&self, guid: CardId) -> Result<bool, BooksError> {
        let mut file = self.lock()?;
        let mut is_terminated = false;
        self.for_each(&mut file, |act| {
            is_terminated |= matches!(act, Act::Terminated { guid: dead, .. } if dead == guid);
        })?;
        Ok(is_terminated)
    }

    /// Gives a GUID away that was never given before, and writes that down first.
    pub(crate) fn give_guid(&self, prefix: GuidPrefix, time: Timestamp) -> Result<CardId, BooksError> {
        self.give_guid_drawn_by(prefix, time, || random::bytes().map(|bytes| *bytes))
    }

    fn give_guid_drawn_by(
        &self,
        prefix: GuidPrefix,
        time: Timestamp,
        mut draw: impl FnMut() -> Result<[u8; 8], RandomError>,
    ) -> Result<CardId, BooksError> {
        let mut file = self.lock()?;
        let given = self.given_guids(&mut file)?;
        for _ in 0..MAX_DRAWS {
            let guid = prefix.guid(draw()?)?;
            if !given.contains(&guid) {
                self.append(&mut file, time, &Act::GuidGiven { guid })?;
                return Ok(guid);
            }
        }
        Err(BooksError::Exhausted)
    }

    /// Opens the file for this process alone, and takes back an act that was never confirmed.
    fn lock(&self) -> Result<File, BooksError> {
        let open = || {
            let mut file = OpenOptions::new().read(true).append(true).open(&self.path)?;
            file.lock()?;
            let length = file.seek(SeekFrom::End(0))?;
            let kept = end_of_last_line(&mut file, length)?;
            if kept < length {
                tracing::warn!(
                    bytes = length.saturating_sub(kept),
                    "taking back an act that was cut off"
                );
                file.set_len(kept)?;
            }
            Ok(file)
        };
        open().map_err(|source| FileError::at(&self.path)(source).into())
    }

    fn append(&self, file: &mut File, time: Timestamp, act: &Act) -> Result<(), BooksError> {
        let mut line = serde_json::to_vec(&Record { time, act }).map_err(BooksError::Act)?;
        line.push(b'\n');
        let mut write = || {
            file.write_all(&line)?;
            file.sync_all()
        };
        write().map_err(|source| FileError::at(&self.path)(source).into())
    }

    fn given_guids(&self, file: &mut File) -> Result<HashSet<CardId>, BooksError> {
        let mut given = HashSet::new();
        self.for_each(file, |act| {
            if let Act::GuidGiven { guid } | Act::Personalized { guid, .. } = act {
                given.insert(guid);
            }
        })?;
        Ok(given)
    }

    fn for_each(&self, file: &mut File, mut visit: impl FnMut(Act)) -> Result<(), BooksError> {
        let at_file = |source| FileError::at(&self.path)(source);
        file.seek(SeekFrom::Start(0)).map_err(at_file)?;
        let mut reader = BufReader::new(file);
        for line in 1usize.. {
            let mut text = Vec::new();
            reader
                .by_ref()
                .take(MAX_LINE)
                .read_until(b'\n', &mut text)
                .map_err(at_file)?;
            if text.is_empty() {
                break;
            }
            let record: Record<Act> =
                serde_json::from_slice(&text).map_err(|source| BooksError::Damaged {
                    path: self.path.clone(),
                    line,
                    source,
                })?;
            visit(record.act);
        }
        Ok(())
    }
}

/// Returns the offset behind the last line that has its end, looking back over one line at most.
fn end_of_last_line(file: &mut File, length: u64) -> std::io::Result<u64> {
    let begin = length.saturating_sub(MAX_LINE);
    file.seek(SeekFrom::Start(begin))?;
    let mut tail = Vec::new();
    Read::by_ref(file).take(MAX_LINE).read_to_end(&mut tail)?;
    match tail.iter().rposition(|byte| *byte == b'\n') {
        Some(position) => {
            let behind = u64::try_from(position).unwrap_or(0).saturating_add(1);
            Ok(begin.saturating_add(behind))
        }
        // A whole line's length without an end is damage, not a cut; reading will name it.
        None if begin > 0 => Ok(length),
        None => Ok(0),
    }
}

/// The upper half of the GUIDs that this trust centre gives; the lower half is random.
///
/// Text form `fd5a:6d67:7700::/64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GuidPrefix([u8; 8]);

impl GuidPrefix {
    /// The prefix unless another one is asked for: a unique local one, so that it is nobody's on
    /// the internet.
    ///
    /// Spec: RFC 4193, section 3.1.
    pub(crate) const DEFAULT: &'static str = "fd5a:6d67:7700::/64";

    fn guid(self, random: [u8; 8]) -> Result<CardId, PrefixError> {
        let mut octets = [0; 16];
        let (upper, lower) = octets.split_at_mut(8);
        upper.copy_from_slice(&self.0);
        lower.copy_from_slice(&random);
        Ok(CardId::try_from(Ipv6Addr::from(octets))?)
    }
}

impl FromStr for GuidPrefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, length) = text.split_once('/').ok_or(PrefixError::Form)?;
        let address: Ipv6Addr = address.parse().map_err(|_| PrefixError::Form)?;
        let octets = address.octets();
        let (upper, lower) = octets.split_at(8);
        if length != "64" || lower.iter().any(|byte| *byte != 0) {
            return Err(PrefixError::Length);
        }
        let prefix = Self(upper.try_into().map_err(|_| PrefixError::Form)?);
        prefix.guid([1; 8])?;
        Ok(prefix)
    }
}

/// The reason why a text is no prefix of GUIDs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PrefixError {
    /// The text is no address with a length.
    #[error("a prefix has the form fd5a:6d67:7700::/64")]
    Form,
    /// The prefix is not 64 bits long, or has bits behind its end.
    #[error("a prefix has 64 bits and zeros behind them, since the other 64 are random")]
    Length,
    /// Its addresses identify nobody.
    #[error("no GUIDs can be made of this prefix")]
    Identity(#[from] ParseIdentityError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-06-01T12:00:00Z".parse().unwrap()
    }

    fn prefix() -> GuidPrefix {
        GuidPrefix::DEFAULT.parse().unwrap()
    }

    fn text(home: &Path) -> String {
        std::fs::read_to_string(home.join("records.jsonl")).unwrap()
    }

    #[test]
    fn acts_are_lines_of_json_with_their_time() {
        let home = tempfile::tempdir().unwrap();
        let books = Books::create(home.path()).unwrap();
        let guid = books.give_guid_drawn_by(prefix(), now(), || Ok([1; 8])).unwrap();
        assert_eq!(guid.to_string(), "fd5a:6d67:7700:0:101:101:101:101");
        assert_eq!(
            text(home.path()),
            "{\"time\":\"2026-06-01T12:00:00Z\",\"act\":\"guid-given\",\"guid\":\"fd5a:6d67:7700:0:101:101:101:101\"}\n"
        );
    }

    #[test]
    fn guid_is_never_given_twice_across_restarts() {
        let home = tempfile::tempdir().unwrap();
        let books = Books::create(home.path()).unwrap();
        let first = books.give_guid_drawn_by(prefix(), now(), || Ok([1; 8])).unwrap();
        drop(books);
        let books = Books::open(home.path()).unwrap();
        let mut draws = [[1; 8], [1; 8], [2; 8]].into_iter();
        let second = books
            .give_guid_drawn_by(prefix(), now(), || draws.next().ok_or(RandomError))
            .unwrap();
        assert_ne!(first, second);
        assert!(second.to_string().ends_with(":202"));
    }

    #[test]
    fn broken_generator_gives_no_guid() {
        let home = tempfile::tempdir().unwrap();
        let books = Books::create(home.path()).unwrap();
        books.give_guid_drawn_by(prefix(), now(), || Ok([1; 8])).unwrap();
        let stuck = books.give_guid_drawn_by(prefix(), now(), || Ok([1; 8]));
        assert!(matches!(stuck, Err(BooksError::Exhausted)));
        let silent = books.give_guid_drawn_by(prefix(), now(), || Err(RandomError));
        assert!(matches!(silent, Err(BooksError::Random(RandomError))));
    }

    #[test]
    fn act_that_was_cut_off_is_taken_back_and_the_others_stay() {
        let home = tempfile::tempdir().unwrap();
        let books = Books::create(home.path()).unwrap();
        books.give_guid_drawn_by(prefix(), now(), || Ok([1; 8])).unwrap();
        let whole = text(home.path());
        for cut in [1, whole.len() / 2, whole.len() - 1] {
            std::fs::write(
                home.path().join("records.jsonl"),
                format!("{whole}{}", &whole[..cut]),
            )
            .unwrap();
            let error = books
                .give_guid_drawn_by(prefix(), now(), || Ok([1; 8]))
                .unwrap_err();
            assert!(matches!(error, BooksError::Exhausted));
            assert_eq!(text(home.path()), whole);
        }
        std::fs::write(home.path().join("records.jsonl"), &whole[..9]).unwrap();
        books.give_guid_drawn_by(prefix(), now(), || Ok([1; 8])).unwrap();
        assert_eq!(text(home.path()), whole);
    }

    #[test]
    fn damaged_line_is_named() {
        let home = tempfile::tempdir().unwrap();
        let books = Books::create(home.path()).unwrap();
        books.give_guid_drawn_by(prefix(), now(), || Ok([1; 8])).unwrap();
        let damaged = format!("{}{{\"act\":\"danced\"}}\n", text(home.path()));
        std::fs::write(home.path().join("records.jsonl"), damaged).unwrap();
        let error = books.give_guid(prefix(), now()).unwrap_err();
        assert!(matches!(error, BooksError::Damaged { line: 2, .. }), "{error}");
    }

    #[test]
    fn line_without_end_is_damage() {
        let home = tempfile::tempdir().unwrap();
        let books = Books::create(home.path()).unwrap();
        std::fs::write(home.path().join("records.jsonl"), " ".repeat(5_000)).unwrap();
        let error = books.give_guid(prefix(), now()).unwrap_err();
        assert!(matches!(error, BooksError::Damaged { line: 1, .. }), "{error}");
    }

    #[test]
    fn missing_books_are_never_begun_anew() {
        let home = tempfile::tempdir().unwrap();
        let error = Books::open(home.path()).unwrap_err();
        assert!(matches!(error, BooksError::File(FileError::Missing { .. })));
        Books::create(home.path()).unwrap();
        let error = Books::create(home.path()).unwrap_err();
        assert!(matches!(error, BooksError::File(FileError::Exists { .. })));
    }

    #[test]
    fn prefixes_are_64_bits_of_addresses_that_identify() {
        for (text, expected) in [
            ("fd5a:6d67:7700::", PrefixError::Form),
            ("10.0.0.0/64", PrefixError::Form),
            ("fd5a::/48", PrefixError::Length),
            ("fd5a::1/64", PrefixError::Length),
        ] {
            assert_eq!(text.parse::<GuidPrefix>(), Err(expected), "{text}");
        }
        assert!(matches!(
            "ff02::/64".parse::<GuidPrefix>(),
            Err(PrefixError::Identity(_))
        ));
    }
}
