//! The rule that tells the removal of the card from a brown-out of its reader.
//!
//! The service stops within a second whenever the card cannot be reached, whatever the reason, and it goes on only when
//! the bound card has been paired anew and its session counter is what it has to be: so a card that was carried elsewhere
//! never serves unnoticed. This rule decides only whether that is for good: a removal burns the tamper row and costs the
//! card its life, so it is never guessed.
//!
//! 1. Only a card that has served since the daemon started can be removed while it runs. What happens while the daemon
//!    is off, or after it was told to stop, is noticed by the card's session counter instead.
//! 2. The card is *out* as long as another card is in its slot, or the reader says that the slot is empty and its count
//!    of events says too that a card came or went. Without such an event nobody has touched the card: then it is
//!    the reader or the card that fails, or pcscd that takes a card for absent which was reset without success. A reader
//!    whose events nobody could follow is believed without. Another card needs no event: no reader that fails makes one
//!    up, and pcscd counts none if the cards are swapped between two of its looks.
//! 3. The card is *gone* from the first such sight on, or from the first event on that was not a reset by the gateway:
//!    a card that was swapped faster than anybody looks has been out, even if it, or something that looks like it, is
//!    back. It stays gone while whatever is in the slot does not answer, so that a dummy does not stop the clock.
//! 4. The card is removed when it was out for [`OUT_FOR_GOOD`], or gone for [`GONE_FOR_GOOD`]. Both are put back to zero
//!    only by the bound card itself, when it has been paired anew. A contact that bounces, a supply that dips and a
//!    reader that starts again are shorter.
//! 5. While nobody can look, because there is no reader or no smart card service, both stand still, and so they do for
//!    [`SETTLING`] behind that, since a reader may then call a full slot empty for a moment. So blindness alone, however
//!    long, is no removal, no more than that the daemon is off, and it undoes nothing: what was seen before counts on.
//!    Sight that is lost over and over is given no more than [`SETTLINGS`] of these pauses until the card is paired.
//!
//! All time comes in as an argument.

use std::time::{Duration, Instant};

/// How long the card has to be out. pcscd looks into its slots every 400 ms and the gateway every 500 ms: this is three
/// looks of both, and longer than any bounce of the contacts.
pub(super) const OUT_FOR_GOOD: Duration = Duration::from_secs(3);

/// How long the card has to be gone without being seen to be out: longer than a supply dips, and than a card on weak
/// contacts takes to be found again.
pub(super) const GONE_FOR_GOOD: Duration = Duration::from_secs(30);

/// How long a reader that has just come, or come back, may take to find its card: a USB reader is enumerated, started
/// and looks for its card, which is tried with three voltages.
pub(super) const SETTLING: Duration = Duration::from_secs(10);

/// How often a reader is given that time until the card is paired: a hub that fails makes some attempts.
pub(super) const SETTLINGS: u32 = 20;

/// What a look into the slot has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// The bound card: it answers in its session, or has been recognised and paired.
    Card,
    /// No card.
    Out,
    /// A card that is certainly another.
    Other,
    /// Something that does not answer, or not as the bound card does.
    Unclear,
    /// Nobody can look: there is no reader, or no service that asks it.
    Blind,
}

/// What the reader's count of events says since the bound card has proved for the last time that it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Events {
    /// No card came or went.
    None,
    /// One did.
    Moved,
    /// Nobody could follow them.
    Unknown,
}

/// Watches the slot for the removal of the card.
#[derive(Debug, Default)]
pub(super) struct RemovalWatch {
    /// Whether the card has served since the start.
    is_armed: bool,
    /// When somebody looked for the last time, and whether the card was out.
    last: Option<(Instant, bool)>,
    /// For how long the card was out since it has served.
    out: Duration,
    /// Whether the card is gone, and for how long.
    gone: Option<Duration>,
    /// Until when the reader is given time to find its card.
    settled: Option<Instant>,
    /// How often it was.
    settlings: u32,
    /// Whether nobody could look when somebody tried for the last time.
    is_blind: bool,
    /// Whether the removal has been decided; there is no way back.
    is_removed: bool,
}

impl RemovalWatch {
    /// Takes in what a look has shown, and returns whether the card is removed for good.
    pub(super) fn see(&mut self, sight: Sight, events: Events, now: Instant) -> bool {
        match sight {
            Sight::Card => {
                *self = Self {
                    is_armed: true,
                    is_removed: self.is_removed,
                    ..Self::default()
                };
            }
            Sight::Blind => {
                self.last = None;
                if !std::mem::replace(&mut self.is_blind, true) {
                    self.settlings = self.settlings.saturating_add(1);
                }
                if self.settlings <= SETTLINGS {
                    self.settled = now.checked_add(SETTLING);
                }
            }
            Sight::Out | Sight::Other | Sight::Unclear => {
                self.is_blind = false;
                let is_empty = sight == Sight::Out && events != Events::None;
                let is_out = sight == Sight::Other || is_empty;
                self.run_on(is_out, now);
                if is_out || events == Events::Moved {
                    self.gone.get_or_insert_default();
                }
                self.last = Some((now, is_out));
            }
        }
        let is_gone = self.gone.is_some_and(|gone| gone >= GONE_FOR_GOOD);
        self.is_removed |= self.is_armed && (self.out >= OUT_FOR_GOOD || is_gone);
        self.is_removed
    }

    /// Lets the clocks run for the time since the last look.
    fn run_on(&mut self, is_out: bool, now: Instant) {
        let Some((last, was_out)) = self.last else {
            return;
        };
        let since = self.settled.map_or(last, |settled| settled.max(last));
        let passed = now.saturating_duration_since(since);
        if was_out && is_out {
            self.out = self.out.saturating_add(passed);
        }
        if let Some(gone) = &mut self.gone {
            *gone = gone.saturating_add(passed);
        }
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
        events: Events,
    }

    impl Story {
        fn unarmed() -> Self {
            Self {
                watch: RemovalWatch::default(),
                start: Instant::now(),
                events: Events::Moved,
            }
        }

        fn of_a_serving_card() -> Self {
            let mut story = Self::unarmed();
            assert!(!story.see(0, Sight::Card));
            story
        }

        fn with(mut self, events: Events) -> Self {
            self.events = events;
            self
        }

        fn see(&mut self, at_ms: u64, sight: Sight) -> bool {
            let now = self.start + Duration::from_millis(at_ms);
            self.watch.see(sight, self.events, now)
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
        for events in [Events::Moved, Events::Unknown] {
            let mut story = Story::of_a_serving_card().with(events);
            assert_eq!(story.see_until(1_000, 60_000, Sight::Out), Some(4_000));
            assert!(story.watch.is_removed());
        }
    }

    #[test]
    fn slot_that_is_called_empty_though_nobody_touched_it_is_no_removal() {
        let mut story = Story::of_a_serving_card().with(Events::None);
        assert_eq!(story.see_until(1_000, 600_000, Sight::Out), None);
        // When a card does come or go, it counts from then on.
        story.events = Events::Moved;
        assert_eq!(story.see_until(600_500, 700_000, Sight::Out), Some(603_500));
    }

    #[test]
    fn another_card_is_a_removal_though_nobody_counted_the_swap() {
        let mut story = Story::of_a_serving_card().with(Events::None);
        assert_eq!(story.see_until(1_000, 60_000, Sight::Other), Some(4_000));
        let mut story = Story::of_a_serving_card().with(Events::None);
        assert_eq!(story.see_until(1_000, 3_500, Sight::Other), None);
        assert!(!story.see(3_600, Sight::Card), "it was put back in time");
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
    fn swap_that_nobody_saw_is_a_removal_unless_the_card_is_back() {
        // A mute dummy, one that says 6285, one that does not pair: the count has told that the card was out.
        let mut story = Story::of_a_serving_card();
        assert_eq!(story.see_until(500, 120_000, Sight::Unclear), Some(30_500));
        let mut story = Story::of_a_serving_card();
        assert_eq!(story.see_until(500, 30_000, Sight::Unclear), None);
        assert!(!story.see(30_400, Sight::Card));
        assert_eq!(story.see_until(30_500, 60_000, Sight::Unclear), None);
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
            let mut story = Story::of_a_serving_card().with(Events::Unknown);
            assert!(!story.see(500, Sight::Unclear));
            assert!(!story.see(1_000, Sight::Blind));
            assert!(!story.see(1_000 + blind_for, Sight::Blind));
            // The slot is called empty until the reader has found its card.
            let back = 1_000 + blind_for;
            assert_eq!(story.see_until(back + 500, back + 12_500, Sight::Out), None);
            assert!(!story.see(back + 12_900, Sight::Card));
            assert_eq!(story.see_until(back + 13_000, back + 60_000, Sight::Card), None);
        }
    }

    #[test]
    fn card_that_is_not_there_when_sight_returns_is_removed() {
        let mut story = Story::of_a_serving_card().with(Events::Unknown);
        assert!(!story.see(1_000, Sight::Blind));
        assert_eq!(story.see_until(1_500, 60_000, Sight::Out), Some(14_000));
    }

    #[test]
    fn blindness_undoes_nothing_that_was_seen_before() {
        let mut story = Story::of_a_serving_card();
        assert_eq!(story.see_until(1_000, 3_500, Sight::Out), None);
        assert!(!story.see(3_600, Sight::Blind));
        assert_eq!(story.see_until(4_000, 60_000, Sight::Out), Some(14_500));
        let mut story = Story::of_a_serving_card();
        assert_eq!(story.see_until(500, 20_500, Sight::Unclear), None);
        assert!(!story.see(20_600, Sight::Blind));
        assert_eq!(story.see_until(21_000, 90_000, Sight::Unclear), Some(41_000));
    }

    #[test]
    fn sight_that_is_lost_over_and_over_does_not_put_the_removal_off_for_ever() {
        let mut story = Story::of_a_serving_card().with(Events::Unknown);
        let mut removed = None;
        for flap in 0..40_u64 {
            let begun = flap * 9_000;
            assert!(removed.is_some() || !story.see(begun, Sight::Blind));
            removed = removed.or_else(|| story.see_until(begun + 500, begun + 8_500, Sight::Out));
        }
        assert!(removed.is_some_and(|at_ms| at_ms > 160_000), "{removed:?}");
    }

    #[test]
    fn supply_that_dips_and_comes_back_is_no_removal() {
        let mut story = Story::of_a_serving_card().with(Events::None);
        // The card is mute for as long as the supply is weak, and is found again.
        assert_eq!(story.see_until(500, 120_000, Sight::Unclear), None);
        assert!(!story.see(120_500, Sight::Card));
    }

    #[test]
    fn dummy_that_is_put_in_quickly_does_not_stop_the_clock() {
        let mut story = Story::of_a_serving_card();
        assert!(!story.see(1_000, Sight::Out));
        assert_eq!(story.see_until(1_500, 60_000, Sight::Unclear), Some(31_000));
    }

    #[test]
    fn card_that_never_served_is_not_removed() {
        let mut story = Story::unarmed();
        assert_eq!(story.see_until(0, 600_000, Sight::Out), None);
        assert!(!story.see(600_500, Sight::Card));
        assert_eq!(story.see_until(601_000, 700_000, Sight::Out), Some(604_000));
    }

    /// Every story of looks: a card that has just been paired is never removed before the least time of the rule, and
    /// one that is never seen again, while the slot can be seen, always is.
    #[test]
    fn no_order_of_looks_removes_a_card_too_early_or_never() {
        const SIGHTS: [Sight; 5] = [
            Sight::Card,
            Sight::Out,
            Sight::Other,
            Sight::Unclear,
            Sight::Blind,
        ];
        for number in 0..5_u32.pow(8) {
            let mut story = Story::of_a_serving_card();
            let mut seen_at = 0;
            for step in 0..8 {
                let sight = SIGHTS[usize::try_from(number / 5_u32.pow(step) % 5).unwrap()];
                let at_ms = u64::from(step + 1) * 1_600;
                let is_removed = story.see(at_ms, sight);
                if sight == Sight::Card {
                    seen_at = at_ms;
                }
                assert!(!is_removed || at_ms - seen_at >= 3_000, "{number}, {step}");
                if is_removed {
                    break;
                }
            }
            assert!(story.see_until(13_000, 60_000, Sight::Out).is_some(), "{number}");
        }
    }
}
