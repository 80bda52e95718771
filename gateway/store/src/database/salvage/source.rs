//! The pages of a damaged database, as its last commit left them: from its write-ahead log where that has them, else
//! from the file.
//!
//! Spec: SQLite, Database File Format, sections 1.5 (freelist) and 4 (write-ahead log). Numbers are big-endian.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The length of a page in bytes: SQLite's default, which all our databases have.
pub(super) const PAGE: usize = 4_096;

/// The lengths of the headers of a log and of a frame in it, in bytes.
const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// The first word of a log, but for its last bit: that is set if checksums are over big-endian words.
const LOG_MAGIC: u32 = 0x377f_0682;

/// Where the first page has the number of the first page of the freelist, and then the length of the list.
const FREELIST: usize = 32;

/// The pages.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    log: Option<File>,
    /// Where in the log a page's last committed content begins.
    frames: BTreeMap<u32, u64>,
    pages: u32,
}

impl Source {
    /// Opens a database and its log, which may be missing.
    pub(super) fn open(path: &Path, log: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let log = match File::open(log) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            log => Some(log?),
        };
        let frames = log.as_ref().map_or_else(|| Ok(BTreeMap::new()), committed)?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        let in_file = u32::try_from(length.div_ceil(PAGE)).unwrap_or(u32::MAX);
        let in_log = frames.keys().next_back().copied().unwrap_or(0);
        Ok(Self {
            file,
            log,
            frames,
            pages: in_file.max(in_log),
        })
    }

    /// Returns the number of pages; the first one has number 1.
    pub(super) const fn pages(&self) -> u32 {
        self.pages
    }

    /// Reads a page into a buffer of its length; what is missing at the end of the file is zeros.
    pub(super) fn read(&self, number: u32, page: &mut [u8]) -> io::Result<()> {
        let in_file = u64::from(number.saturating_sub(1)).saturating_mul(length_of(PAGE));
        let (file, place) = match (self.frames.get(&number), &self.log) {
            (Some(place), Some(log)) => (log, *place),
            _ => (&self.file, in_file),
        };
        let read = fill(file, page, place)?;
        page.iter_mut().skip(read).for_each(|byte| *byte = 0);
        Ok(())
    }

    /// Returns the pages of the freelist, which hold what was deleted; `None` if the list is not in order.
    pub(super) fn free(&self) -> io::Result<Option<BTreeSet<u32>>> {
        let mut page = vec![0; PAGE];
        self.read(1, &mut page)?;
        let (mut trunk, count) = (word(&page, FREELIST), word(&page, FREELIST.saturating_add(4)));
        let mut free = BTreeSet::new();
        // Each trunk is a page that was not met before, so the loop ends.
        while trunk != 0 {
            if trunk > self.pages || !free.insert(trunk) {
                return Ok(None);
            }
            self.read(trunk, &mut page)?;
            trunk = word(&page, 0);
            let leaves = usize::try_from(word(&page, 4)).unwrap_or(usize::MAX);
            let leaves = page.as_chunks::<4>().0.iter().skip(2).take(leaves);
            for leaf in leaves.map(|bytes| u32::from_be_bytes(*bytes)) {
                if leaf == 0 || leaf > self.pages || !free.insert(leaf) {
                    return Ok(None);
                }
            }
        }
        let is_whole = u32::try_from(free.len()).is_ok_and(|length| length == count);
        Ok(is_whole.then_some(free))
    }
}

/// Returns where the last committed content of each page in a log begins. The log ends, as for SQLite, with its last
/// commit before anything that is not in order.
fn committed(log: &File) -> io::Result<BTreeMap<u32, u64>> {
    let mut frames = BTreeMap::new();
    let mut header = [0; LOG_HEADER];
    fill(log, &mut header, 0)?;
    let magic = word(&header, 0);
    let is_big = magic & 1 == 1;
    let (summed, sum) = header.split_at(FRAME_HEADER);
    let mut running = add([0; 2], summed, is_big);
    let salts = [word(&header, 16), word(&header, 20)];
    let is_ours = magic & !1 == LOG_MAGIC && usize::try_from(word(&header, 8)).is_ok_and(|size| size == PAGE);
    if !is_ours || running != [word(sum, 0), word(sum, 4)] {
        return Ok(frames);
    }
    let mut frame = vec![0; FRAME_HEADER.saturating_add(PAGE)];
    let mut open = Vec::new();
    let mut place = length_of(LOG_HEADER);
    // The file has an end, and each round of the loop is a frame further on.
    while fill(log, &mut frame, place)? == frame.len() {
        let (head, page) = frame.split_at(FRAME_HEADER);
        let (summed, _) = head.split_at(8);
        running = add(add(running, summed, is_big), page, is_big);
        let is_next = [word(head, 8), word(head, 12)] == salts && [word(head, 16), word(head, 20)] == running;
        if !is_next || word(head, 0) == 0 {
            break;
        }
        open.push((word(head, 0), place.saturating_add(length_of(FRAME_HEADER))));
        if word(head, 4) != 0 {
            frames.extend(open.drain(..));
        }
        place = place.saturating_add(length_of(frame.len()));
    }
    Ok(frames)
}

/// Adds bytes to a log's checksum.
fn add([mut first, mut second]: [u32; 2], bytes: &[u8], is_big: bool) -> [u32; 2] {
    let read = if is_big {
        u32::from_be_bytes
    } else {
        u32::from_le_bytes
    };
    for [a, b, c, d, e, f, g, h] in bytes.as_chunks::<8>().0 {
        first = first.wrapping_add(read([*a, *b, *c, *d])).wrapping_add(second);
        second = second.wrapping_add(read([*e, *f, *g, *h])).wrapping_add(first);
    }
    [first, second]
}

/// Returns the number in the four bytes from a place on; 0 behind the end.
pub(super) fn word(bytes: &[u8], place: usize) -> u32 {
    let bytes = bytes.get(place..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// Returns the number in the two bytes from a place on; 0 behind the end.
pub(super) fn half(bytes: &[u8], place: usize) -> usize {
    let bytes = bytes.get(place..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| usize::from(u16::from_be_bytes(*bytes)))
}

/// Reads until the buffer is full or the file ends; returns the number of bytes.
fn fill(file: &File, buffer: &mut [u8], place: u64) -> io::Result<usize> {
    let mut done = 0usize;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, place.saturating_add(length_of(done))) {
            Ok(0) => break,
            Ok(read) => done = done.saturating_add(read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

fn length_of(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
