//! What a check has found.

use std::error::Error;

use serde::Serialize;

use crate::acts::Act;
use crate::run::chain;

/// What was found. All counts are of acts that were acknowledged, unless they say something else.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Verdict {
    /// Acts whose effect is not there.
    pub(crate) lost: usize,
    /// Among them those whose loss nothing tells of.
    pub(crate) silent: usize,
    /// What is there in part or in another form, or came back, and nothing is reported.
    pub(crate) changed: usize,
    /// Values that are there and were never written.
    pub(crate) wrong: usize,
    /// Burns of another binding that were accepted behind the first, and counters that went back.
    pub(crate) second: usize,
    /// Panics that came out of the store.
    pub(crate) panics: usize,
    /// Panics that the store has contained.
    pub(crate) contained: usize,
    /// What the store has reported as damaged or out of reach.
    pub(crate) reported: Vec<String>,
    /// Why the store, its bindings or its logs cannot be opened.
    pub(crate) closed: Vec<String>,
    /// What a repaired store should do and does not.
    pub(crate) stuck: Vec<String>,
    /// Which acts and values the counts are about, the first few.
    pub(crate) about: Vec<String>,
}

/// The greatest number of remarks in a verdict; the counts go on.
const MAX_ABOUT: usize = 8;

impl Verdict {
    fn remark(&mut self, text: String) {
        if self.about.len() < MAX_ABOUT {
            self.about.push(text);
        }
    }

    pub(crate) fn report(&mut self, part: &str, error: &dyn Error) {
        self.reported.push(format!("{part}: {}", chain(error)));
    }

    pub(crate) fn close(&mut self, part: &str, error: &dyn Error) {
        self.closed.push(format!("{part}: {}", chain(error)));
    }

    pub(crate) fn stick(&mut self, part: &str, error: &dyn Error) {
        self.stuck.push(format!("{part}: {}", chain(error)));
    }

    /// Counts an act whose effect is missing.
    pub(crate) fn lose(&mut self, act: Act, is_reported: bool) {
        self.lost = self.lost.saturating_add(1);
        if !is_reported {
            self.silent = self.silent.saturating_add(1);
            self.remark(format!("lost {act}"));
        }
    }

    pub(crate) fn change(&mut self, what: String) {
        self.changed = self.changed.saturating_add(1);
        self.remark(what);
    }

    pub(crate) fn wrong(&mut self, what: String) {
        self.wrong = self.wrong.saturating_add(1);
        self.remark(what);
    }

    pub(crate) fn accept_second(&mut self, what: &str) {
        self.second = self.second.saturating_add(1);
        self.remark(what.to_owned());
    }
}
