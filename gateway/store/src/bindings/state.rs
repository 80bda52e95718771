//! What the bindings say: the burned rows in their chain, the counters, and the intent.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::BindingsError;
use super::device_key::DeviceKey;
use super::error::Tampering;
use super::row::{Key, Link, NO_LINK, Row, RowFault};

/// Everything that the bindings keep; every row of it is authentic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// The burned rows in the order in which they were burned.
    burned: Vec<Row>,
    head: Row,
    /// The counters that have ever been advanced.
    counters: BTreeMap<Key, Row>,
    /// What is about to be burned; nothing once the binding is.
    intent: Option<Row>,
}

impl State {
    /// Returns the state in which nothing has been burned.
    pub(super) fn blank(device: &DeviceKey) -> Result<Self, RowFault> {
        Ok(Self {
            burned: Vec::new(),
            head: Row::seal(device, Key::Head, (0, NO_LINK), &[])?,
            counters: BTreeMap::new(),
            intent: None,
        })
    }

    /// Returns a burned row, a counter or the intent.
    pub(super) fn row(&self, key: Key) -> Option<&Row> {
        match key {
            Key::Head => Some(&self.head),
            Key::Intent => self.intent.as_ref(),
            Key::CardSession | Key::PairingAttempt | Key::PairingFailed => self.counters.get(&key),
            Key::Binding | Key::Tamper | Key::CardTerminated => self.burned.iter().find(|row| row.key == key),
        }
    }

    /// Returns the burned rows in the order in which they were burned.
    pub(super) fn burned(&self) -> &[Row] {
        &self.burned
    }

    /// Returns the rows that the engine keeps: all but the intent.
    pub(super) fn permanent(&self) -> impl Iterator<Item = &Row> {
        self.burned
            .iter()
            .chain([&self.head])
            .chain(self.counters.values())
    }

    /// Returns every row.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.permanent().chain(&self.intent)
    }

    /// Reads the content of a row.
    pub(super) fn content<T: DeserializeOwned>(&self, key: Key) -> Result<Option<T>, BindingsError> {
        let parse = |row: &Row| serde_json::from_slice(&row.content);
        let content = self.row(key).map(parse).transpose();
        content.map_err(|_| damaged(key, RowFault::Content).into())
    }

    /// Seals the row that would be burned next, and the head behind it.
    pub(super) fn next(&self, device: &DeviceKey, key: Key, content: &[u8]) -> Result<Next, RowFault> {
        let sequence = self.head.sequence.checked_add(1).ok_or(RowFault::Length)?;
        let row = Row::seal(device, key, (sequence, self.head.link), content)?;
        let head = Row::seal(device, Key::Head, (sequence, row.digest()), &[])?;
        Ok(Next { row, head })
    }

    /// Takes in a row that has been burned. The intent has served its purpose once it is the binding.
    pub(super) fn push(&mut self, next: Next) {
        if next.row.key == Key::Binding {
            self.intent = None;
        }
        self.burned.push(next.row);
        self.head = next.head;
    }

    /// Takes in a counter that has been advanced.
    pub(super) fn count(&mut self, counter: Row) {
        self.counters.insert(counter.key, counter);
    }

    /// Takes in an intent in place of the earlier one.
    pub(super) fn intend(&mut self, intent: Row) {
        self.intent = Some(intent);
    }
}

/// A row to burn, and the head that counts it.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) row: Row,
    pub(super) head: Row,
}

/// What the authentic sources say together, before it is known whether they agree.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    burned: BTreeMap<u64, Row>,
    heads: Vec<(u64, Link)>,
    counters: BTreeMap<Key, Row>,
    intent: Option<Row>,
    damaged: Vec<(Key, RowFault)>,
}

impl Evidence {
    /// Takes in an authentic row; a row is burned if any source says so.
    pub(super) fn add(&mut self, row: Row) -> Result<(), Tampering> {
        let key = row.key;
        match key {
            Key::Head => self.heads.push((row.sequence, row.link)),
            Key::Binding | Key::Tamper | Key::CardTerminated => {
                let alike = |other: &Row| other.key == key || other.sequence == row.sequence;
                if self.burned.values().any(|other| alike(other) && *other != row) {
                    return Err(contradiction(key));
                }
                self.burned.insert(row.sequence, row);
            }
            Key::CardSession | Key::PairingAttempt | Key::PairingFailed => {
                let known = self.counters.get(&key).map_or(0, |known| known.sequence);
                if row.sequence >= known {
                    self.counters.insert(key, row);
                }
            }
            Key::Intent => match &self.intent {
                Some(known) if known.sequence > row.sequence => {}
                Some(known) if known.sequence == row.sequence && *known != row => {
                    return Err(contradiction(key));
                }
                Some(_) | None => self.intent = Some(row),
            },
        }
        Ok(())
    }

    /// Takes in that something stood where a row belongs and was none.
    pub(super) fn add_damaged(&mut self, key: Key, fault: RowFault) {
        self.damaged.push((key, fault));
    }

    /// Returns whether any source says that something has been burned.
    pub(super) fn is_anything_burned(&self) -> bool {
        !self.burned.is_empty() || self.heads.iter().any(|(count, _)| *count > 0)
    }

    /// Returns what all sources say together.
    ///
    /// A source may lag behind, never contradict: the rows form one chain, and whatever a head counts
    /// is in it.
    pub(super) fn conclude(mut self, device: &DeviceKey) -> Result<State, BindingsError> {
        let missing =
            |(key, _): &&(Key, RowFault)| key.is_burned() && self.burned.values().all(|row| row.key != *key);
        if let Some((key, fault)) = self.damaged.iter().find(missing) {
            return Err(damaged(*key, fault.clone()).into());
        }
        if self.heads.is_empty() {
            return Err(Tampering::NothingAuthentic.into());
        }
        let counted = self.heads.iter().map(|(count, _)| *count);
        let expected = counted.chain(self.burned.keys().copied()).max().unwrap_or(0);
        let found = u64::try_from(self.burned.len()).unwrap_or(u64::MAX);
        if found < expected {
            return Err(Tampering::MissingRows {
                counted: expected,
                found,
            }
            .into());
        }
        let mut state = State::blank(device).map_err(BindingsError::Encode)?;
        for (_, row) in std::mem::take(&mut self.burned) {
            self.check_head(&state)?;
            let next = state.next(device, row.key, &row.content);
            let next = next.map_err(BindingsError::Encode)?;
            // The same device key, content and place in the chain give the same bytes.
            if next.row != row {
                return Err(contradiction(row.key).into());
            }
            state.push(next);
        }
        self.check_head(&state)?;
        state.counters = self.counters;
        if state.row(Key::Binding).is_none() {
            state.intent = self.intent;
        }
        Ok(state)
    }

    /// Checks that every head that counts as many rows as the state has names the same last one.
    fn check_head(&self, state: &State) -> Result<(), Tampering> {
        let here = |(count, _): &&(u64, Link)| *count == state.head.sequence;
        match self
            .heads
            .iter()
            .filter(here)
            .find(|(_, link)| *link != state.head.link)
        {
            Some(_) => Err(contradiction(Key::Head)),
            None => Ok(()),
        }
    }
}

const fn contradiction(key: Key) -> Tampering {
    Tampering::Contradiction { key: key.name() }
}

const fn damaged(key: Key, fault: RowFault) -> Tampering {
    Tampering::DamagedRow {
        key: key.name(),
        fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> DeviceKey {
        DeviceKey::new([1; 32])
    }

    /// A state with the rows burned in order.
    fn state(rows: &[(Key, &[u8])]) -> State {
        let mut state = State::blank(&device()).unwrap();
        for (key, content) in rows {
            let next = state.next(&device(), *key, content).unwrap();
            state.push(next);
        }
        state
    }

    fn merged(sources: &[&State]) -> Result<State, BindingsError> {
        let mut evidence = Evidence::default();
        for row in sources.iter().flat_map(|source| source.rows()) {
            evidence.add(row.clone())?;
        }
        evidence.conclude(&device())
    }

    fn tampering(outcome: Result<State, BindingsError>) -> Tampering {
        match outcome {
            Err(BindingsError::Tampered(tampering)) => tampering,
            other => panic!("{other:?}"),
        }
    }

    const BINDING: (Key, &[u8]) = (Key::Binding, b"1");
    const TAMPER: (Key, &[u8]) = (Key::Tamper, b"2");

    #[test]
    fn row_is_burned_if_any_source_says_so() {
        let (none, one, two) = (state(&[]), state(&[BINDING]), state(&[BINDING, TAMPER]));
        assert_eq!(merged(&[&none, &two, &one]).unwrap(), two);
        assert_eq!(merged(&[&one, &none]).unwrap(), one);
        assert_eq!(merged(&[&none, &none]).unwrap(), none);
        assert_eq!(tampering(merged(&[])), Tampering::NothingAuthentic);
    }

    #[test]
    fn sources_that_contradict_each_other_are_tampered() {
        let ours = state(&[BINDING, TAMPER]);
        let contradicted = |other: &[(Key, &[u8])]| tampering(merged(&[&ours, &state(other)]));
        assert_eq!(contradicted(&[(Key::Binding, b"9")]), contradiction(Key::Binding));
        assert_eq!(contradicted(&[TAMPER]), contradiction(Key::Tamper));
        assert_eq!(
            contradicted(&[(Key::CardTerminated, b"3")]),
            contradiction(Key::CardTerminated)
        );
    }

    #[test]
    fn rows_that_a_head_counts_must_be_there() {
        let (none, two) = (state(&[]), state(&[BINDING, TAMPER]));
        for lost in 0..2 {
            let mut evidence = Evidence::default();
            for row in none.rows().chain(two.rows()) {
                if row.key != two.burned[lost].key {
                    evidence.add(row.clone()).unwrap();
                }
            }
            assert!(evidence.is_anything_burned());
            let missing = Tampering::MissingRows { counted: 2, found: 1 };
            assert_eq!(tampering(evidence.conclude(&device())), missing);
        }
    }

    #[test]
    fn head_that_names_another_row_is_a_contradiction() {
        let one = state(&[BINDING]);
        let mut evidence = Evidence::default();
        for row in one.rows() {
            evidence.add(row.clone()).unwrap();
        }
        let head = Row::seal(&device(), Key::Head, (1, [7; 32]), &[]).unwrap();
        evidence.add(head).unwrap();
        assert_eq!(tampering(evidence.conclude(&device())), contradiction(Key::Head));
    }

    #[test]
    fn row_out_of_the_chain_is_a_contradiction() {
        let mut evidence = Evidence::default();
        for row in state(&[]).rows() {
            evidence.add(row.clone()).unwrap();
        }
        let row = Row::seal(&device(), Key::Binding, (1, [7; 32]), b"1").unwrap();
        evidence.add(row).unwrap();
        assert_eq!(
            tampering(evidence.conclude(&device())),
            contradiction(Key::Binding)
        );
    }

    #[test]
    fn damaged_row_that_nothing_replaces_is_never_absent() {
        let fault = RowFault::Tag;
        for (source, is_replaced) in [(state(&[]), false), (state(&[BINDING]), true)] {
            let mut evidence = Evidence::default();
            for row in source.rows() {
                evidence.add(row.clone()).unwrap();
            }
            evidence.add_damaged(Key::Binding, fault.clone());
            let outcome = evidence.conclude(&device());
            if is_replaced {
                assert_eq!(outcome.unwrap(), source);
            } else {
                assert_eq!(tampering(outcome), damaged(Key::Binding, fault.clone()));
            }
        }
    }

    #[test]
    fn greatest_counter_and_latest_intent_win() {
        let beside = |sequence| {
            let mut state = state(&[]);
            let seal = |key| Row::seal(&device(), key, (sequence, NO_LINK), &[]).unwrap();
            state.count(seal(Key::CardSession));
            state.intend(seal(Key::Intent));
            state
        };
        let newest = beside(9);
        assert_eq!(
            merged(&[&beside(8), &newest, &beside(2), &state(&[])]).unwrap(),
            newest
        );
        let mut other = newest.clone();
        other.intend(Row::seal(&device(), Key::Intent, (9, NO_LINK), b"other").unwrap());
        assert_eq!(tampering(merged(&[&newest, &other])), contradiction(Key::Intent));
        // Behind the burn there is no intent any more.
        let bound = merged(&[&newest, &state(&[BINDING])]).unwrap();
        assert_eq!(bound.row(Key::Intent), None);
        assert_eq!(bound.row(Key::CardSession).unwrap().sequence, 9);
    }
}
