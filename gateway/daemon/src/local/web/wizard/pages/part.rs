//! Parts of long lists: a house may have a hundred meters, and a page stays small.

/// How many entries of a list a page shows at most: with readings and frames of each, it stays below 60 kB.
const MOST_SHOWN: usize = 20;

/// Which part of a list a page shows, and where the others are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Where it begins, from 0 on.
    pub(super) from: usize,
    /// How long the whole list is.
    pub(super) of: usize,
}

impl Part {
    /// Finds the part that the entry `wanted` is in, from 0 on; the first one if there is no such entry.
    pub(super) const fn with(wanted: usize, of: usize) -> Self {
        let from = if wanted < of {
            wanted.saturating_sub(wanted % MOST_SHOWN)
        } else {
            0
        };
        Self { from, of }
    }

    /// Takes the part out of its list.
    pub(super) fn take<T>(self, list: impl IntoIterator<Item = T>) -> impl Iterator<Item = T> {
        list.into_iter().skip(self.from).take(MOST_SHOWN)
    }

    /// Returns the number of its first entry, as people count.
    pub(super) const fn first(&self) -> usize {
        self.from.saturating_add(1)
    }

    /// Returns the number of its last entry, as people count.
    pub(super) fn last(&self) -> usize {
        self.from.saturating_add(MOST_SHOWN).min(self.of)
    }

    /// Returns whether it is the whole list.
    pub(super) const fn is_whole(&self) -> bool {
        self.of <= MOST_SHOWN
    }

    /// Returns where the part before it begins.
    pub(super) const fn earlier(&self) -> Option<usize> {
        self.from.checked_sub(MOST_SHOWN)
    }

    /// Returns where the part behind it begins.
    pub(super) fn later(&self) -> Option<usize> {
        let later = self.from.saturating_add(MOST_SHOWN);
        (later < self.of).then_some(later)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_is_shown_in_parts_that_follow_each_other_and_miss_nothing() {
        let mut seen = Vec::new();
        let mut next = Some(0);
        while let Some(from) = next {
            let part = Part::with(from, 45);
            let shown: Vec<_> = part.take(1..=45).collect();
            assert_eq!(
                (shown.first(), shown.last()),
                (Some(&part.first()), Some(&part.last()))
            );
            seen.extend(shown);
            next = part.later();
        }
        assert_eq!(seen, (1..=45).collect::<Vec<_>>());
        assert_eq!(Part::with(44, 45).earlier(), Some(20));
        assert_eq!(Part::with(7, 45).earlier(), None);
    }

    #[test]
    fn short_list_is_whole_and_what_lies_beyond_the_end_is_the_beginning() {
        assert!(Part::with(0, 20).is_whole() && !Part::with(0, 21).is_whole());
        assert_eq!(Part::with(100, 45), Part::with(0, 45));
        assert_eq!((Part::with(0, 0).later(), Part::with(0, 0).last()), (None, 0));
    }
}
