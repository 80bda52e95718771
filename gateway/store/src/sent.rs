//! What has left the gateway for suppliers, word for word, so that the consumer can be shown exactly that.
//!
//! One file for each message, named after the time at which it was kept and the SHA-256 digest of what it says. The consumer
//! log names the digest, so that what is shown is what was sent, or nothing is shown. Number, length and age are bounded; the
//! oldest is forgotten first. A file that is damaged is never handed out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::{Fingerprint, Span, Timestamp};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::files::{self, FileError};

/// The name of the folder.
const FOLDER: &str = "sent";
/// The most messages that are kept: one each quarter of an hour for six weeks.
const MAX_COUNT: usize = 4_096;
/// The greatest length of one message in bytes, as long as any that a way bears.
const MAX_CONTENT: u64 = 16 << 20;
/// How long what was sent is kept unless it is set: three months.
const DEFAULT_AGE: Span = match Span::from_seconds(90 * Span::DAY.seconds()) {
    Some(age) => age,
    None => Span::DAY,
};
/// How many bytes are kept unless it is set.
const DEFAULT_BYTES: u64 = 32 << 20;

/// How much of what was sent is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentLimits {
    /// How long.
    pub age: Span,
    /// How many bytes at most; with 0 nothing is kept but the digest in the consumer log.
    pub bytes: u64,
}

impl Default for SentLimits {
    fn default() -> Self {
        Self {
            age: DEFAULT_AGE,
            bytes: DEFAULT_BYTES,
        }
    }
}

/// What is kept of a message, by the time at which it was kept, in seconds since 1970, and its digest: its length.
type Index = BTreeMap<(i64, Fingerprint), u64>;

/// What has left the gateway.
#[derive(Debug)]
pub struct Sent {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limits: SentLimits,
    index: Index,
}

/// The reason why what was sent cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum SentError {
    /// What is kept is not what was sent.
    #[error("what was kept of a message is damaged; its digest in the consumer log is {digest}")]
    Damaged {
        /// The digest of what was sent.
        digest: Fingerprint,
    },
    /// The file is out of reach.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Sent {
    /// Reads which messages there are; what cannot be told counts as forgotten.
    pub(crate) fn open(folder: &Path) -> Self {
        let folder = folder.join(FOLDER);
        let index = index(&folder);
        let limits = SentLimits::default();
        Self {
            folder,
            state: Mutex::new(State { limits, index }),
        }
    }

    /// Sets how much is kept from now on.
    pub fn limit(&self, limits: SentLimits) {
        self.lock().limits = limits;
    }

    /// Keeps what a message says, and forgets the oldest that it leaves no room for; on return it is on the disk. Returns its
    /// digest, which the consumer log has to name. The same content is kept once.
    ///
    /// # Errors
    ///
    /// [`FileError`] if it cannot be written, or an older one not be deleted.
    pub fn keep(&self, content: &[u8], now: Timestamp) -> Result<Fingerprint, FileError> {
        let digest = Fingerprint::new(Sha256::digest(content).into());
        let length = u64::try_from(content.len()).unwrap_or(u64::MAX);
        let mut state = self.lock();
        let fits = length <= state.limits.bytes.min(MAX_CONTENT);
        let is_known = state.index.keys().any(|(_, known)| *known == digest);
        let room = if fits && !is_known { length } else { 0 };
        self.forget(&mut state, room, now)?;
        if room > 0 {
            files::make_folder(&self.folder)?;
            let key = (now.unix_seconds(), digest);
            files::replace(&self.folder, &name(key), content)?;
            state.index.insert(key, length);
        }
        Ok(digest)
    }

    /// Returns what a message said, word for word; `None` if it is not kept any more, or never was.
    ///
    /// # Errors
    ///
    /// [`SentError::Damaged`] if what is kept has another digest, or the failure of the disk.
    pub fn read(&self, digest: Fingerprint) -> Result<Option<Zeroizing<Vec<u8>>>, SentError> {
        let key = {
            let state = self.lock();
            let known = state.index.keys().find(|(_, known)| *known == digest);
            known.copied()
        };
        let Some(key) = key else { return Ok(None) };
        let found = files::read(&self.folder.join(name(key)), MAX_CONTENT)?.map(Zeroizing::new);
        match found {
            Some(content) if Fingerprint::new(Sha256::digest(&content).into()) != digest => {
                Err(SentError::Damaged { digest })
            }
            found => Ok(found),
        }
    }

    /// Forgets what is too old, and the oldest until there is room for one message more.
    fn forget(&self, state: &mut State, room: u64, now: Timestamp) -> Result<(), FileError> {
        let oldest_kept = now.saturating_sub(state.limits.age).unix_seconds();
        let mut bytes: u64 = state.index.values().copied().fold(0, u64::saturating_add);
        // Each turn shortens the index, which has MAX_COUNT messages at most.
        while let Some((key, length)) = state.index.first_key_value().map(|(key, length)| (*key, *length)) {
            let is_old = key.0 < oldest_kept;
            let is_full = bytes.saturating_add(room) > state.limits.bytes;
            if !is_old && !is_full && state.index.len() < MAX_COUNT {
                break;
            }
            files::remove(&self.folder, &name(key))?;
            state.index.remove(&key);
            bytes = bytes.saturating_sub(length);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name((seconds, digest): (i64, Fingerprint)) -> String {
    format!("{seconds}-{digest}")
}

fn parse_name(name: &str) -> Option<(i64, Fingerprint)> {
    let (seconds, digest) = name.rsplit_once('-')?;
    let key = (seconds.parse().ok()?, digest.parse().ok()?);
    (self::name(key) == name).then_some(key)
}

/// Returns what is in the folder. A file that a power cut has left half written has no name of a message, and is deleted.
fn index(folder: &Path) -> Index {
    let Ok(entries) = fs::read_dir(folder) else {
        return Index::new();
    };
    let mut index = Index::new();
    // A folder of ours has MAX_COUNT files and one half written at most; others have no business there.
    for entry in entries.flatten().take(MAX_COUNT.saturating_mul(2)) {
        let file = entry.file_name();
        let Some(file) = file.to_str() else { continue };
        match (parse_name(file), entry.metadata()) {
            (Some(key), Ok(metadata)) => {
                index.insert(key, metadata.len());
            }
            _ if file.ends_with(".tmp") => {
                // What cannot be deleted now is overwritten or tried again at the next start.
                drop(files::remove(folder, file));
            }
            _ => {}
        }
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).unwrap()
    }

    fn of(bytes: u64, age_seconds: u32) -> SentLimits {
        SentLimits {
            age: Span::from_seconds(age_seconds).unwrap(),
            bytes,
        }
    }

    fn shown(sent: &Sent, digest: Fingerprint) -> Option<Vec<u8>> {
        sent.read(digest).unwrap().map(|content| content.to_vec())
    }

    #[test]
    fn what_was_sent_is_shown_word_for_word_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let digest = Sent::open(folder.path()).keep(b"{\"a\":1}", at(7)).unwrap();
        assert_eq!(digest, Fingerprint::new(Sha256::digest(b"{\"a\":1}").into()));
        fs::write(folder.path().join("sent/7-ab.tmp"), "half").unwrap();
        fs::write(folder.path().join("sent/stranger"), "").unwrap();
        let sent = Sent::open(folder.path());
        assert_eq!(shown(&sent, digest), Some(b"{\"a\":1}".to_vec()));
        assert!(!folder.path().join("sent/7-ab.tmp").exists());
        assert_eq!(sent.keep(b"{\"a\":1}", at(9)).unwrap(), digest);
        assert_eq!(sent.lock().index.len(), 1);
        assert_eq!(shown(&sent, Fingerprint::new([0; 32])), None);
    }

    #[test]
    fn the_oldest_is_forgotten_when_room_or_time_is_up() {
        let folder = tempfile::tempdir().unwrap();
        let sent = Sent::open(folder.path());
        sent.limit(of(10, 100));
        let digests: Vec<_> = [(b"aaaa", 1), (b"bbbb", 2), (b"cccc", 3)]
            .map(|(content, time)| sent.keep(content, at(time)).unwrap())
            .into();
        let kept =
            |sent: &Sent| -> Vec<_> { digests.iter().map(|one| shown(sent, *one).is_some()).collect() };
        assert_eq!(kept(&sent), [false, true, true]);
        sent.keep(b"d", at(103)).unwrap();
        assert_eq!(kept(&sent), [false, false, true]);
        let long = sent.keep(b"longer than ten", at(104)).unwrap();
        assert_eq!(shown(&sent, long), None);
        let left = fs::read_dir(folder.path().join("sent")).unwrap().count();
        assert_eq!(left, 1, "what is forgotten is deleted");
        sent.limit(of(0, 100));
        sent.keep(b"e", at(105)).unwrap();
        assert_eq!(fs::read_dir(folder.path().join("sent")).unwrap().count(), 0);
    }

    #[test]
    fn number_of_messages_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let sent = Sent::open(folder.path());
        let mut full = Index::new();
        for number in 0..i64::try_from(MAX_COUNT).unwrap() {
            full.insert((number, Fingerprint::new([1; 32])), 1);
        }
        sent.lock().index = full;
        sent.keep(b"one more", at(5_000)).unwrap();
        assert_eq!(sent.lock().index.len(), MAX_COUNT);
    }

    #[test]
    fn damage_is_told_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let sent = Sent::open(folder.path());
        let digest = sent.keep(b"value 1", at(1)).unwrap();
        fs::write(folder.path().join(format!("sent/1-{digest}")), "value 2").unwrap();
        let error = sent.read(digest).unwrap_err();
        assert!(matches!(error, SentError::Damaged { digest: named } if named == digest));
        assert!(error.to_string().contains(&digest.to_string()));
        fs::remove_file(folder.path().join(format!("sent/1-{digest}"))).unwrap();
        assert_eq!(shown(&sent, digest), None);
    }

    #[test]
    fn failure_of_the_disk_is_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("sent"), "a file").unwrap();
        let sent = Sent::open(folder.path());
        assert!(sent.keep(b"a", at(1)).is_err());
        sent.lock().index.insert((1, Fingerprint::new([1; 32])), 1);
        let read = sent.read(Fingerprint::new([1; 32]));
        assert!(matches!(read, Err(SentError::File(_))), "{read:?}");
    }
}
