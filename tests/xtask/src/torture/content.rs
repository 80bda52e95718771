//! The content of a file in pages, so that the many disks of a torture share what is the same in them.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

/// The length of a page in bytes.
const PAGE: usize = 4_096;

/// What a file holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    /// Whole pages; the last one ends in zeros that do not count.
    pages: Vec<Arc<Page>>,
    length: usize,
}

#[derive(Debug)]
struct Page {
    bytes: [u8; PAGE],
    digest: OnceLock<u64>,
}

impl Page {
    const fn new(bytes: [u8; PAGE]) -> Self {
        Self {
            bytes,
            digest: OnceLock::new(),
        }
    }

    fn digest(&self) -> u64 {
        *self.digest.get_or_init(|| {
            let mut hasher = DefaultHasher::new();
            self.bytes.hash(&mut hasher);
            hasher.finish()
        })
    }
}

impl Content {
    pub(super) const fn len(&self) -> usize {
        self.length
    }

    /// Writes at a place; what lies between there and the end so far is zeros.
    pub(super) fn write_at(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.length < end {
            self.resize(end);
        }
        let mut rest = bytes;
        let mut place = offset;
        while !rest.is_empty() {
            let within = place % PAGE;
            let (now, later) = rest.split_at(rest.len().min(PAGE - within));
            self.change(place / PAGE, |page| {
                page[within..within + now.len()].copy_from_slice(now);
            });
            place += now.len();
            rest = later;
        }
    }

    /// Cuts it, or lengthens it with zeros.
    pub(super) fn resize(&mut self, length: usize) {
        let count = length.div_ceil(PAGE);
        if length < self.length {
            self.pages.truncate(count);
            if !length.is_multiple_of(PAGE) {
                self.change(length / PAGE, |page| page[length % PAGE..].fill(0));
            }
        } else if count > self.pages.len() {
            let zeros = Arc::new(Page::new([0; PAGE]));
            self.pages.resize(count, zeros);
        }
        self.length = length;
    }

    fn change(&mut self, index: usize, change: impl FnOnce(&mut [u8; PAGE])) {
        let mut bytes = self.pages[index].bytes;
        change(&mut bytes);
        self.pages[index] = Arc::new(Page::new(bytes));
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.pages.iter().flat_map(|page| page.bytes).collect();
        bytes.truncate(self.length);
        bytes
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        let mut content = Self::default();
        content.write_at(0, bytes);
        content
    }
}

/// Tells contents apart by their bytes.
impl Hash for Content {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.length.hash(hasher);
        self.pages.iter().for_each(|page| page.digest().hash(hasher));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(content: &Content) -> u64 {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn writes_and_cuts_give_what_a_file_would_hold() {
        let mut content = Content::from(&b"begin"[..]);
        content.write_at(PAGE - 2, &[7; 5]);
        let mut expected = b"begin".to_vec();
        expected.resize(PAGE - 2, 0);
        expected.extend([7; 5]);
        assert_eq!(content.bytes(), expected);
        content.resize(PAGE - 1);
        content.resize(PAGE + 9);
        expected.truncate(PAGE - 1);
        expected.resize(PAGE + 9, 0);
        assert_eq!((content.bytes(), content.len()), (expected.clone(), PAGE + 9));
        assert_eq!(digest(&content), digest(&Content::from(expected.as_slice())));
        let mut other = content.clone();
        other.write_at(3, b"x");
        assert_ne!(digest(&other), digest(&content));
        assert_eq!(content.bytes(), expected);
    }
}
