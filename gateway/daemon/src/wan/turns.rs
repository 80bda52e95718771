//! How many of a kind may go on at the same time, in all and of one: nobody keeps the others out.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What goes on. Clones share it.
#[derive(Debug)]
pub(super) struct Turns<K>(Arc<Table<K>>);

impl<K> Clone for Turns<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Table<K> {
    counts: Mutex<HashMap<K, usize>>,
    in_all: usize,
    of_one: usize,
}

impl<K> Table<K> {
    /// A panic elsewhere leaves the counts as they are, and they are still right.
    fn counts(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something that goes on, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<K: Copy + Eq + Hash> {
    all: Turns<K>,
    whose: K,
}

impl<K: Copy + Eq + Hash> Turns<K> {
    /// Lets so many go on at the same time, and so many of one.
    pub(super) fn new(in_all: usize, of_one: usize) -> Self {
        Self(Arc::new(Table {
            counts: Mutex::new(HashMap::new()),
            in_all,
            of_one,
        }))
    }

    /// Begins something, unless too much goes on.
    pub(super) fn begin(&self, whose: K) -> Option<Turn<K>> {
        let mut counts = self.0.counts();
        let of_this = counts.get(&whose).copied().unwrap_or(0);
        if of_this >= self.0.of_one || counts.values().sum::<usize>() >= self.0.in_all {
            return None;
        }
        counts.insert(whose, of_this.saturating_add(1));
        drop(counts);
        Some(Turn {
            all: self.clone(),
            whose,
        })
    }
}

impl<K: Copy + Eq + Hash> Drop for Turn<K> {
    fn drop(&mut self) {
        let mut counts = self.all.0.counts();
        match counts.get_mut(&self.whose) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            _ => drop(counts.remove(&self.whose)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_does_not_keep_the_others_out() {
        let turns = Turns::new(8, 2);
        let flood: Vec<_> = (0..10).filter_map(|_| turns.begin('a')).collect();
        assert_eq!(flood.len(), 2);
        assert!(turns.begin('a').is_none());
        assert!(turns.begin('b').is_some());
        drop(flood);
        assert!(turns.begin('a').is_some());
        assert!(turns.0.counts().is_empty());
    }

    #[test]
    fn all_together_are_bounded() {
        let turns = Turns::new(8, 2);
        let going_on: Vec<_> = (0..200).filter_map(|whose| turns.begin(whose)).collect();
        assert_eq!(going_on.len(), 8);
    }
}
