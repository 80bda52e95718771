//! How often the bound card has been paired: what the card proves, beside what this gateway has on record.
//!
//! The card counts its pairings. What it says of that before a pairing, in clear, anybody can say who has seen the card:
//! so it decides nothing. The gateway keeps three numbers that only grow: the count that the card last proved under
//! secure messaging (*confirmed*), how often pairing was tried (*attempts*, written before each try), and how many of
//! these tries the card never counted (*failed*, known when the next count is proved).
//!
//! A try may have been counted or not: a dummy took it, or the power went. So behind a pairing the card has to prove a
//! count between confirmed + 1 and attempts − failed. One that is ahead was paired by somebody else who has the secret,
//! or this store is an old one; one that is behind was set back, or is a copy. Each try with a dummy gives the upper
//! bound away by one until the card itself is paired again; so no more than [`MOST_OPEN`] are made without an order.

use store::{Bindings, BindingsError, Counter};

use super::obstacle::Obstacle;

/// How many tries are left to a card that is paired only when somebody orders it: wrong secrets shall never lock a card
/// because a gateway went on by itself.
pub(super) const FEW_TRIES: u8 = 3;

/// How many tries may be open that no count has been proved for: more than a reader that fails over and over causes,
/// and as many pairings as somebody who has the secret could hide behind tries with a dummy.
pub(super) const MOST_OPEN: u64 = 16;

/// The numbers that the gateway has on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pairings {
    confirmed: u64,
    attempts: u64,
    failed: u64,
    /// The least count that the card can have behind the next pairing.
    least: u64,
}

impl Pairings {
    /// Reads them.
    pub(super) fn read(bindings: &Bindings) -> Result<Self, BindingsError> {
        Ok(Self::new(
            bindings.counter(Counter::CardSession)?,
            bindings.counter(Counter::PairingAttempt)?,
            bindings.counter(Counter::PairingFailed)?,
        ))
    }

    fn new(confirmed: u64, attempts: u64, failed: u64) -> Self {
        Self {
            confirmed,
            // A cut may have kept a number from following another one.
            attempts: attempts.max(confirmed.saturating_add(failed)),
            failed,
            // A store that has counted no tries is of a software that wrote down the next count before it was proved.
            least: confirmed.saturating_add(u64::from(attempts > 0)),
        }
    }

    /// Returns how many tries are open: nobody knows yet whether the card has counted them.
    pub(super) const fn open(&self) -> u64 {
        self.most().saturating_sub(self.confirmed)
    }

    const fn most(&self) -> u64 {
        self.attempts.saturating_sub(self.failed)
    }

    /// Writes down that the next try begins; on return it is on the disk.
    pub(super) fn begin(self, bindings: &Bindings) -> Result<Self, Obstacle> {
        let attempts = self.attempts.saturating_add(1);
        bindings.advance(Counter::PairingAttempt, attempts)?;
        Ok(Self { attempts, ..self })
    }

    /// Judges the count that the card has proved under secure messaging, and writes it down.
    pub(super) fn settle(self, bindings: &Bindings, found: u64) -> Result<(), Obstacle> {
        self.judge(found)?;
        bindings.advance(Counter::CardSession, found)?;
        let failed = self.attempts.saturating_sub(found);
        if failed > self.failed {
            tracing::info!(
                tries = failed.saturating_sub(self.failed),
                "the card has not counted these tries to pair"
            );
            bindings.advance(Counter::PairingFailed, failed)?;
        }
        Ok(())
    }

    fn judge(&self, found: u64) -> Result<(), Obstacle> {
        if found > self.most() {
            return Err(Obstacle::SessionCounterAhead {
                found,
                recorded: self.most(),
            });
        }
        if found < self.least {
            return Err(Obstacle::SessionCounterBehind {
                found,
                recorded: self.least,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What happens to a gateway and its card.
    #[derive(Debug, Clone, Copy)]
    enum Event {
        /// The try is written down, and the power goes before the card counts it; or a dummy takes it.
        Lost,
        /// The card counts the pairing, and the power goes before that is proved.
        Unproved,
        /// As before, but the count is written down and what failed is not.
        HalfWritten,
        Paired,
        /// Somebody else pairs the card.
        Elsewhere,
        /// An older state of the card is put back in its place.
        SetBack,
    }

    /// The numbers as the store keeps them, beside the card's.
    #[derive(Debug, Default)]
    struct Both {
        confirmed: u64,
        attempts: u64,
        failed: u64,
        card: u64,
    }

    impl Both {
        fn begin(&mut self) -> Pairings {
            let mut pairings = Pairings::new(self.confirmed, self.attempts, self.failed);
            pairings.attempts += 1;
            self.attempts = pairings.attempts;
            pairings
        }

        fn happen(&mut self, event: Event) -> Result<(), Obstacle> {
            match event {
                Event::Lost => drop(self.begin()),
                Event::Unproved => {
                    self.begin();
                    self.card += 1;
                }
                Event::Paired | Event::HalfWritten => {
                    let pairings = self.begin();
                    self.card += 1;
                    pairings.judge(self.card)?;
                    self.confirmed = self.card;
                    if matches!(event, Event::Paired) {
                        self.failed = self.failed.max(pairings.attempts - self.card);
                    }
                }
                Event::Elsewhere => self.card += 1,
                Event::SetBack => self.card = self.card.saturating_sub(1),
            }
            Ok(())
        }
    }

    fn honest() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            Just(Event::Lost),
            Just(Event::Unproved),
            Just(Event::HalfWritten),
            Just(Event::Paired)
        ];
        prop::collection::vec(event, 0..30)
    }

    proptest! {
        #[test]
        fn own_card_is_never_refused_whatever_is_cut_and_whatever_dummies_take(events in honest()) {
            let mut both = Both::default();
            for event in events {
                prop_assert!(both.happen(event).is_ok(), "{event:?} {both:?}");
            }
            prop_assert!(both.happen(Event::Paired).is_ok());
        }

        #[test]
        fn foreign_pairings_are_noticed_unless_dummies_hide_them(events in honest()) {
            let mut both = Both::default();
            for event in events {
                both.happen(event).unwrap();
            }
            both.happen(Event::Paired).unwrap();
            both.happen(Event::Elsewhere).unwrap();
            prop_assert!(
                matches!(both.happen(Event::Paired), Err(Obstacle::SessionCounterAhead { .. })),
                "{both:?}"
            );
            // It is not forgotten because the card is tried again.
            prop_assert!(both.happen(Event::Paired).is_err());
        }

        #[test]
        fn card_that_was_set_back_is_noticed_whatever_dummies_take(events in honest(), dummies in 0..20) {
            let mut both = Both::default();
            for event in events {
                both.happen(event).unwrap();
            }
            both.happen(Event::Paired).unwrap();
            for _ in 0..dummies {
                both.happen(Event::Lost).unwrap();
            }
            both.happen(Event::SetBack).unwrap();
            prop_assert!(
                matches!(both.happen(Event::Paired), Err(Obstacle::SessionCounterBehind { .. })),
                "{both:?}"
            );
        }
    }

    #[test]
    fn tries_are_open_until_a_count_is_proved() {
        let mut both = Both::default();
        both.happen(Event::Paired).unwrap();
        for open in 0..5 {
            let pairings = Pairings::new(both.confirmed, both.attempts, both.failed);
            assert_eq!(pairings.open(), open);
            both.happen(Event::Lost).unwrap();
        }
        both.happen(Event::Paired).unwrap();
        assert_eq!(
            Pairings::new(both.confirmed, both.attempts, both.failed).open(),
            0
        );
    }

    #[test]
    fn store_that_counted_before_the_proof_goes_on() {
        // It had written 7 down; the card was paired, or a cut kept it from that.
        for card in [6, 7] {
            let mut both = Both {
                confirmed: 7,
                card,
                ..Both::default()
            };
            both.happen(Event::Paired).unwrap();
            both.happen(Event::Paired).unwrap();
        }
    }
}
