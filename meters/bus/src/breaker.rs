//! The circuit breaker of a meter: who does not answer is left out for a while.

/// Leaves a meter out of 1, 2, 4, 4, ... rounds after each poll that it did not answer.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// Rounds that the meter was left out of after its last failure; 0 when it answers.
    pause: u32,
    /// Rounds that it is still to be left out of.
    remaining: u32,
}

/// The greatest number of rounds in a row that leave a meter out: one hour of quarter hours, so
/// that a meter which is back is missed for no longer.
const LONGEST_PAUSE: u32 = 4;

impl Breaker {
    /// Begins a round; returns the number of rounds, this one included, that leave the meter out,
    /// or `None` if it is to be asked.
    pub(crate) fn begin_round(&mut self) -> Option<u32> {
        let rounds = self.remaining;
        self.remaining = rounds.checked_sub(1)?;
        Some(rounds)
    }

    /// Returns whether the meter did not answer the last time that it was asked.
    pub(crate) const fn is_open(&self) -> bool {
        self.pause > 0
    }

    /// Takes notice that the meter has answered, be it well or badly.
    pub(crate) fn answered(&mut self) {
        *self = Self::default();
    }

    /// Takes notice that the meter has not answered.
    pub(crate) fn unanswered(&mut self) {
        self.pause = self.pause.saturating_mul(2).clamp(1, LONGEST_PAUSE);
        self.remaining = self.pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_meter_is_asked_ever_less_often_but_never_given_up() {
        let mut breaker = Breaker::default();
        let asked: Vec<bool> = (0..20)
            .map(|_| {
                let asked = breaker.begin_round().is_none();
                if asked {
                    breaker.unanswered();
                }
                asked
            })
            .collect();
        let rounds: Vec<usize> = (0..20).filter(|round| asked[*round]).collect();
        assert_eq!(rounds, [0, 2, 5, 10, 15]);
    }

    #[test]
    fn one_answer_closes_the_breaker() {
        let mut breaker = Breaker::default();
        breaker.unanswered();
        assert_eq!(breaker.begin_round(), Some(1));
        assert_eq!(breaker.begin_round(), None);
        breaker.answered();
        assert_eq!(breaker.begin_round(), None);
        breaker.unanswered();
        assert_eq!(breaker.begin_round(), Some(1));
    }
}
