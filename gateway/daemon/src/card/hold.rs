//! What is held against a card, so that it is not paired again and again: each pairing wears a counter of the card and
//! of the store, and each wrong secret costs a try.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::obstacle::Obstacle;
use super::reader::ReaderError;

/// How long a card is left alone after its first examination behind a pairing has failed.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// How long a card is left alone that has refused the secret for the first time: a message that was spoilt on the way looks
/// the same. It is well below the time after which a card that is not paired is taken for removed.
const SECOND_TRY: Duration = Duration::from_secs(10);

/// The longest time that it is left alone: some 35,000 times a year, if nothing ever changes.
const LONGEST_PAUSE: Duration = Duration::from_secs(900);

/// An obstacle that stands until something changes.
#[derive(Debug, Clone)]
pub(super) struct Hold {
    obstacle: Arc<Obstacle>,
    /// The insertion that the card came by, as its reader counts them.
    insertion: Option<u16>,
    release: Release,
}

/// When a card is examined again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Release {
    /// When it is inserted anew: every try runs down a counter, and a card without tries needs the trust centre.
    Insertion,
    /// At the time, and each time later.
    Time { at: Instant, pause: Duration },
}

impl Hold {
    /// Returns what is held after an examination of a card that came by the insertion has met an obstacle.
    ///
    /// A failure that says nothing about which card there is leaves the hold: a card that another program has for a
    /// moment, or whose reader hangs, has not been taken out. `was_paired` says whether the examination came to a
    /// pairing.
    pub(super) fn after(
        before: Option<Self>,
        obstacle: &Arc<Obstacle>,
        was_paired: bool,
        insertion: Option<u16>,
        now: Instant,
    ) -> Option<Self> {
        let release = match (&**obstacle, was_paired) {
            (Obstacle::Reader(ReaderError::NoCard | ReaderError::NoReader), _) => return None,
            (Obstacle::PairingRefused { .. }, _) => {
                let has_refused = before.as_ref().is_some_and(Self::is_refusal);
                if has_refused {
                    Release::Insertion
                } else {
                    Release::Time {
                        at: now.checked_add(SECOND_TRY).unwrap_or(now),
                        pause: FIRST_PAUSE,
                    }
                }
            }
            (_, true) => {
                let pause = before.as_ref().map_or(FIRST_PAUSE, Self::next_pause);
                Release::Time {
                    at: now.checked_add(pause).unwrap_or(now),
                    pause,
                }
            }
            (_, false) => return before,
        };
        Some(Self {
            obstacle: Arc::clone(obstacle),
            insertion,
            release,
        })
    }

    fn is_refusal(&self) -> bool {
        matches!(*self.obstacle, Obstacle::PairingRefused { .. })
    }

    const fn next_pause(&self) -> Duration {
        match self.release {
            Release::Insertion => FIRST_PAUSE,
            Release::Time { pause, .. } => {
                let twice = pause.saturating_mul(2);
                if twice.as_millis() < LONGEST_PAUSE.as_millis() {
                    twice
                } else {
                    LONGEST_PAUSE
                }
            }
        }
    }

    /// Returns the obstacle, if it still stands for a card that came by the insertion.
    pub(super) fn against(&self, insertion: Option<u16>, now: Instant) -> Option<Arc<Obstacle>> {
        let stands = self.insertion == insertion
            && match self.release {
                Release::Insertion => true,
                Release::Time { at, .. } => now < at,
            };
        stands.then(|| Arc::clone(&self.obstacle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(before: Option<&Hold>, obstacle: Obstacle, was_paired: bool, now: Instant) -> Option<Hold> {
        Hold::after(before.cloned(), &Arc::new(obstacle), was_paired, Some(3), now)
    }

    #[test]
    fn refusal_lasts_until_the_card_is_inserted_anew() {
        let now = Instant::now();
        let first = after(None, Obstacle::PairingRefused { tries: 9 }, true, now).unwrap();
        assert!(first.against(Some(3), now).is_some());
        assert!(first.against(Some(3), now + SECOND_TRY).is_none(), "a second try");
        let hold = after(Some(&first), Obstacle::PairingRefused { tries: 9 }, true, now).unwrap();
        let later = now + Duration::from_secs(86_400);
        assert!(matches!(
            hold.against(Some(3), later).as_deref(),
            Some(Obstacle::PairingRefused { tries: 9 })
        ));
        assert!(
            hold.against(Some(5), now).is_none(),
            "another card, or this one again"
        );
        for failure in [
            ReaderError::InUse,
            ReaderError::Lost,
            ReaderError::NoService,
            ReaderError::Hangs,
        ] {
            let held = after(Some(&hold), failure.into(), false, now).unwrap();
            assert!(held.against(Some(3), later).is_some());
        }
        for gone in [ReaderError::NoCard, ReaderError::NoReader] {
            assert!(after(Some(&hold), gone.into(), false, now).is_none());
        }
    }

    #[test]
    fn card_that_fails_behind_its_pairing_is_left_alone_for_longer_and_longer() {
        let (mut now, mut hold) = (Instant::now(), None);
        let mut pairings = 0;
        let end = now + Duration::from_secs(7 * 86_400);
        while now < end {
            hold = after(hold.as_ref(), Obstacle::OtherKey, true, now);
            pairings += 1;
            // The gateway looks every half second.
            while hold.as_ref().unwrap().against(Some(3), now).is_some() {
                now += Duration::from_millis(500);
            }
        }
        assert!(pairings < 7 * 96 + 12, "{pairings} pairings in a week");
        let first = after(None, Obstacle::OtherKey, true, now).unwrap();
        assert!(first.against(Some(3), now + FIRST_PAUSE).is_none());
        assert!(first.against(Some(4), now).is_none());
    }

    #[test]
    fn card_that_was_never_paired_is_looked_at_again_at_once() {
        assert!(after(None, Obstacle::Blank, false, Instant::now()).is_none());
    }
}
