//! The rule that tells the removal of the card from a brown-out of its reader.
//!
//! The service stops within a second whenever the card cannot be reached, whatever the reason. This rule decides only
//! whether that is for good: a removal burns the tamper row and costs the card its life, so it is never guessed.
//!
//! 1. Only a card that has served since the daemon started can be removed while it runs. What happens while the daemon
//!    is off, or after it was told to stop, is noticed by the card's session counter instead.
//! 2. The clock of a removal begins when somebody has looked and the card was not there: the reader says that its slot is
//!    empty, or a card is in it that is certainly another one. It runs on while whatever is in the slot does not
//!    answer, so that a dummy that is put in quickly does not stop it.
//! 3. The clock is put back when the bound card itself proves that it is there, and when nobody can look: no smart card
//!    service, no reader. A reader that re-enumerates, a service that restarts or a supply that dips is no removal,
//!    however long it takes. When sight returns, a reader may call a full slot empty for a moment: the removal is not
//!    decided before [`SETTLING`] has passed since then.
//! 4. The card is removed when the clock has run for [`OUT_FOR_GOOD`]. A contact that bounces, or a look that fails, is
//!    shorter; nobody has done anything with the card in that time that its session counter would not tell.
//!
//! All time comes in as an argument.

use std::time::{Duration, Instant};

/// How long the card has to be out. pcscd looks into its slots every 400 ms and the gateway every 500 ms: this is three
/// looks of both, and longer than any bounce of the contacts.
pub(super) const OUT_FOR_GOOD: Duration = Duration::from_secs(3);

/// How long a reader that has just come, or come back, may take to find its card: a USB reader is enumerated, started
/// and looks for its card, which is tried with three voltages.
pub(super) const SETTLING: Duration = Duration::from_secs(10);

/// What a look into the slot has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// The bound card: it answers in its session, or has been recognised and paired.
    Card,
    /// No card, or one that is certainly another.
    Out,
    /// Something that does not answer, or not as the bound card does.
    Unclear,
    /// Nobody can look: there is no reader, or no service that asks it.
    Blind,
}

/// Watches the slot for the removal of the card.
#[derive(Debug, Default)]
pub(super) struct RemovalWatch {
    /// Whether the card has served since the start.
    is_armed: bool,
    /// Since when the card is out.
    out_since: Option<Instant>,
    /// When nobody could look for the last time.
    blind_at: Option<Instant>,
    /// Whether the removal has been decided; there is no way back.
    is_removed: bool,
}

impl RemovalWatch {
    /// Takes in what a look has shown, and returns whether the card is removed for good.
    pub(super) fn see(&mut self, sight: Sight, now: Instant) -> bool {
        match sight {
            Sight::Card => {
                self.is_armed = true;
                self.out_since = None;
            }
            Sight::Blind => {
                self.blind_at = Some(now);
                self.out_since = None;
            }
            Sight::Out => {
                self.out_since.get_or_insert(now);
            }
            Sight::Unclear => {}
        }
        let has_passed = |since: Instant, span: Duration| now.saturating_duration_since(since) >= span;
        let is_out = self
            .out_since
            .is_some_and(|since| has_passed(since, OUT_FOR_GOOD));
        let has_settled = self.blind_at.is_none_or(|at| has_passed(at, SETTLING));
        self.is_removed |= self.is_armed && is_out && has_settled;
        self.is_removed
    }

    /// Returns whether the card is removed for good.
    pub(super) const fn is_removed(&self) -> bool {
        self.is_removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A watch in virtual time, in milliseconds since the card began to serve.
    struct Story {
        watch: RemovalWatch,
        start: Instant,
    }

    impl Story {
        fn unarmed() -> Self {
            Self {
                watch: RemovalWatch::default(),
                start: Instant::now(),
            }
        }

        fn of_a_serving_card() -> Self {
            let mut story = Self::unarmed();
            assert!(!story.see(0, Sight::Card));
            story
        }

        fn see(&mut self, at_ms: u64, sight: Sight) -> bool {
            self.watch.see(sight, self.start + Duration::from_millis(at_ms))
        }

        /// Looks every 500 ms, and returns when the removal was decided.
        fn see_until(&mut self, from_ms: u64, to_ms: u64, sight: Sight) -> Option<u64> {
            (from_ms..=to_ms)
                .step_by(500)
                .find(|at_ms| self.see(*at_ms, sight))
        }
    }

    #[test]
    fn card_that_stays_out_is_removed() {
        let mut story = Story::of_a_serving_card();
        assert_eq!(story.see_until(1_000, 60_000, Sight::Out), Some(4_000));
        assert!(story.watch.is_removed());
    }

    #[test]
    fn removal_is_for_good() {
        let mut story = Story::of_a_serving_card();
        story.see_until(0, 3_000, Sight::Out).unwrap();
        for sight in [Sight::Card, Sight::Blind, Sight::Unclear, Sight::Out] {
            assert!(story.see(9_000, sight), "{sight:?}");
        }
    }

    #[test]
    fn contact_that_bounces_is_no_removal() {
        let mut story = Story::of_a_serving_card();
        for bounce in (0..100_000).step_by(5_000) {
            assert_eq!(story.see_until(bounce, bounce + 2_500, Sight::Out), None);
            assert!(!story.see(bounce + 2_999, Sight::Card));
        }
    }

    #[test]
    fn reader_that_re_enumerates_and_service_that_restarts_are_no_removal() {
        for blind_for in [1_000, 10_000, 86_400_000] {
            let mut story = Story::of_a_serving_card();
            assert!(!story.see(500, Sight::Unclear));
            assert!(!story.see(1_000, Sight::Blind));
            assert!(!story.see(1_000 + blind_for, Sight::Blind));
            // The slot is called empty until the reader has found its card.
            let back = 1_000 + blind_for;
            assert_eq!(story.see_until(back + 500, back + 9_500, Sight::Out), None);
            assert!(!story.see(back + 9_900, Sight::Card));
            assert_eq!(story.see_until(back + 10_000, back + 60_000, Sight::Card), None);
        }
    }

    #[test]
    fn card_that_is_not_there_when_sight_returns_is_removed() {
        let mut story = Story::of_a_serving_card();
        assert!(!story.see(1_000, Sight::Blind));
        assert_eq!(story.see_until(1_500, 60_000, Sight::Out), Some(11_000));
    }

    #[test]
    fn supply_that_dips_and_comes_back_is_no_removal() {
        let mut story = Story::of_a_serving_card();
        // The card is mute for as long as the supply is weak, and is found again.
        assert_eq!(story.see_until(500, 120_000, Sight::Unclear), None);
        assert!(!story.see(120_500, Sight::Card));
    }

    #[test]
    fn dummy_that_is_put_in_quickly_does_not_stop_the_clock() {
        let mut story = Story::of_a_serving_card();
        assert!(!story.see(1_000, Sight::Out));
        assert_eq!(story.see_until(1_500, 60_000, Sight::Unclear), Some(4_000));
    }

    #[test]
    fn card_that_never_served_is_not_removed() {
        let mut story = Story::unarmed();
        assert_eq!(story.see_until(0, 600_000, Sight::Out), None);
        assert!(!story.see(600_500, Sight::Card));
        assert_eq!(story.see_until(601_000, 700_000, Sight::Out), Some(604_000));
    }

    /// Every story of looks: the removal is decided exactly when the rule says so.
    #[test]
    fn no_order_of_looks_removes_a_card_that_was_seen_in_time() {
        const SIGHTS: [Sight; 4] = [Sight::Card, Sight::Out, Sight::Unclear, Sight::Blind];
        for number in 0..4_u32.pow(8) {
            let mut story = Story::of_a_serving_card();
            let (mut out_since, mut blind_at) = (None, None);
            for step in 0..8 {
                let sight = SIGHTS[usize::try_from(number / 4_u32.pow(step) % 4).unwrap()];
                let at_ms = u64::from(step + 1) * 1_600;
                match sight {
                    Sight::Card => out_since = None,
                    Sight::Blind => (out_since, blind_at) = (None, Some(at_ms)),
                    Sight::Out => out_since = out_since.or(Some(at_ms)),
                    Sight::Unclear => {}
                }
                let expected = out_since.is_some_and(|since| at_ms - since >= 3_000)
                    && blind_at.is_none_or(|at| at_ms - at >= 10_000);
                assert_eq!(story.see(at_ms, sight), expected, "{number}, {step}");
                if expected {
                    break;
                }
            }
        }
    }
}
