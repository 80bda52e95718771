//! What a check has found, how it is judged, and the sums of a kind of torture.

use serde::Deserialize;

/// What a check of the actor found; its fields are those of the actor.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Verdict {
    pub(super) lost: usize,
    pub(super) silent: usize,
    pub(super) changed: usize,
    pub(super) wrong: usize,
    pub(super) second: usize,
    pub(super) panics: usize,
    pub(super) contained: usize,
    pub(super) reported: Vec<String>,
    pub(super) closed: Vec<String>,
    pub(super) stuck: Vec<String>,
    pub(super) about: Vec<String>,
}

impl Verdict {
    /// Writes before each remark when it was made.
    pub(super) fn say_when(&mut self, when: &str) {
        let remarks = [
            &mut self.reported,
            &mut self.closed,
            &mut self.stuck,
            &mut self.about,
        ];
        for remark in remarks.into_iter().flatten() {
            remark.insert_str(0, when);
        }
    }

    /// Adds what another look at the same state has found.
    pub(super) fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.silent += other.silent;
        self.changed += other.changed;
        self.wrong += other.wrong;
        self.second += other.second;
        self.panics += other.panics;
        self.contained += other.contained;
        self.reported.extend(other.reported);
        self.closed.extend(other.closed);
        self.stuck.extend(other.stuck);
        self.about.extend(other.about);
    }
}

/// What is forbidden to the store under a kind of torture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It was interrupted or refused by the disk: it must open, have all and work on.
    Interrupted,
    /// Its files were damaged: it may lose what it reports, and may stay shut.
    Damaged,
    /// It was taken back as a whole, which software alone cannot notice: losses and second burns are
    /// counted and not judged.
    TakenBack,
}

/// What came of one state.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// What was done, in words.
    pub(super) what: String,
    /// The number of acts that the store had acknowledged.
    pub(super) acknowledged: usize,
    /// What was found.
    pub(super) verdict: Verdict,
    /// An error of the disk that nobody was told of. It is harmless if nothing is lost even when the power goes
    /// next, which is tried; so it is counted and not judged.
    pub(super) unreported: bool,
    /// The point was never reached: the run went through.
    pub(super) missed: bool,
    /// A call of a thread of sled's that was not made again in any try: how many it makes depends on how it was
    /// scheduled. It is counted and not judged.
    pub(super) elusive: bool,
}

impl Outcome {
    /// Returns what the store must not have done, in words; empty if it stood.
    pub(super) fn faults(&self, judgement: Judgement) -> Vec<String> {
        let found = &self.verdict;
        let mut faults = Vec::new();
        let mut count = |number: usize, what: &str| {
            if number > 0 {
                faults.push(format!("{number} {what}"));
            }
        };
        count(found.panics, "panics");
        count(found.wrong, "wrong values");
        match judgement {
            Judgement::Interrupted => {
                count(found.lost, "lost");
                count(found.changed, "changed");
                count(found.second, "second burns");
                count(found.closed.len(), "times shut");
                count(found.stuck.len(), "times stuck");
                count(found.reported.len(), "damages reported where none was done");
                count(usize::from(self.missed), "points not reached");
            }
            Judgement::Damaged => {
                count(found.silent, "lost without a word");
                count(found.changed, "changed");
                count(found.second, "second burns");
            }
            Judgement::TakenBack => {}
        }
        faults
    }
}

/// The sums of one kind of torture.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) states: usize,
    pub(super) acknowledged: usize,
    pub(super) lost: usize,
    pub(super) changed: usize,
    pub(super) second: usize,
    pub(super) panics: usize,
    pub(super) contained: usize,
    pub(super) wrong: usize,
    pub(super) shut: usize,
    pub(super) unreported: usize,
    pub(super) reported: usize,
    pub(super) elusive: usize,
    /// The numbers of the states that the store did not stand, and why.
    pub(super) failed: Vec<(usize, String)>,
}

impl Tally {
    /// Adds what came of the state of a number.
    pub(super) fn add(&mut self, number: usize, outcome: &Outcome, judgement: Judgement) {
        let found = &outcome.verdict;
        let is_shut = !(found.closed.is_empty() && found.stuck.is_empty());
        self.states += 1;
        self.acknowledged += outcome.acknowledged;
        self.lost += match judgement {
            Judgement::Damaged => found.silent,
            Judgement::Interrupted | Judgement::TakenBack => found.lost,
        };
        self.changed += found.changed;
        self.second += found.second;
        self.panics += found.panics;
        self.contained += found.contained;
        self.wrong += found.wrong;
        self.shut += usize::from(is_shut);
        self.unreported += usize::from(outcome.unreported);
        self.elusive += usize::from(outcome.elusive);
        self.reported += usize::from(is_shut || !found.reported.is_empty());
        let faults = outcome.faults(judgement);
        if !faults.is_empty() {
            let remarks = found
                .about
                .iter()
                .chain(&found.closed)
                .chain(&found.stuck)
                .chain(&found.reported);
            let remarks: Vec<&str> = remarks.take(3).map(String::as_str).collect();
            let text = format!("{}: {} [{}]", outcome.what, faults.join(", "), remarks.join("; "));
            self.failed.push((number, text));
        }
    }

    /// Returns the head of the table.
    pub(super) fn head() -> String {
        format!(
            "{:<15} {:>7} {:>9} {:>6} {:>7} {:>7} {:>6} {:>6} {:>7} {:>7} {:>8} {:>6} {:>6} {:>6}",
            "kind",
            "states",
            "acts",
            "lost",
            "changed",
            "burned2",
            "panics",
            "wrong",
            "shut",
            "untold",
            "reported",
            "missed",
            "failed",
            "s"
        )
    }

    /// Returns the kind's row of the table.
    pub(super) fn row(&self, name: &str, seconds: f64) -> String {
        format!(
            "{name:<15} {:>7} {:>9} {:>6} {:>7} {:>7} {:>6} {:>6} {:>7} {:>7} {:>8} {:>6} {:>6} {seconds:>6.1}",
            self.states,
            self.acknowledged,
            self.lost,
            self.changed,
            self.second,
            self.panics,
            self.wrong,
            self.shut,
            self.unreported,
            self.reported,
            self.elusive,
            self.failed.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(verdict: Verdict) -> Outcome {
        Outcome {
            verdict,
            ..Outcome::default()
        }
    }

    #[test]
    fn every_forbidden_finding_is_a_fault() {
        let one = || vec!["why".to_owned()];
        type Spoil = fn(&mut Verdict, Vec<String>);
        let spoils: [(Spoil, bool, bool); 9] = [
            (|found, _| found.lost = 1, true, false),
            (|found, _| found.silent = 1, false, true),
            (|found, _| found.changed = 1, true, true),
            (|found, _| found.second = 1, true, true),
            (|found, _| found.panics = 1, true, true),
            (|found, _| found.wrong = 1, true, true),
            (|found, why| found.closed = why, true, false),
            (|found, why| found.stuck = why, true, false),
            (|found, why| found.reported = why, true, false),
        ];
        for (spoil, interrupted, damaged) in spoils {
            let mut verdict = Verdict::default();
            spoil(&mut verdict, one());
            let outcome = outcome(verdict);
            assert_eq!(!outcome.faults(Judgement::Interrupted).is_empty(), interrupted);
            assert_eq!(!outcome.faults(Judgement::Damaged).is_empty(), damaged);
        }
        let missed = Outcome {
            missed: true,
            ..Outcome::default()
        };
        assert_eq!(missed.faults(Judgement::Interrupted).len(), 1);
    }

    #[test]
    fn call_that_sled_did_not_make_again_is_counted_and_not_judged() {
        let elusive = Outcome {
            elusive: true,
            ..Outcome::default()
        };
        let mut tally = Tally::default();
        tally.add(0, &elusive, Judgement::Interrupted);
        assert_eq!((tally.elusive, tally.failed.len()), (1, 0));
    }

    #[test]
    fn what_was_taken_back_as_a_whole_is_counted_and_not_judged() {
        let outcome = outcome(Verdict {
            second: 1,
            lost: 2,
            ..Verdict::default()
        });
        let mut tally = Tally::default();
        tally.add(0, &outcome, Judgement::TakenBack);
        assert_eq!((tally.second, tally.lost, tally.failed.len()), (1, 2, 0));
    }

    #[test]
    fn row_stands_below_the_head() {
        let row = Tally::default().row("kill-fresh", 1.0);
        assert_eq!(row.len(), Tally::head().len());
    }
}
