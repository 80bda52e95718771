//! What the machines have in common: a script of exchanges, one after the other.

use core::time::Duration;

use super::exchange::{Exchange, Outcome, Poll};
use super::line::Line;
use super::{Output, timing::BaudRate};

/// Decides which exchange comes next, from how the one before ended.
pub(super) trait Script {
    /// What comes out of it all.
    type Result;

    /// Takes the first step.
    fn begin(&mut self, line: &Line) -> Step<Self::Result>;

    /// Takes the next step; an exchange also says how long the meter took to begin its answer.
    fn proceed(&mut self, line: &Line, outcome: Outcome, answer_time: Option<Duration>)
    -> Step<Self::Result>;

    /// Takes the next step behind [`Step::Rate`].
    fn switched(&mut self, line: &Line) -> Step<Self::Result>;
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Step<T> {
    Exchange(Box<Exchange>),
    /// The line gets another speed.
    Rate(BaudRate),
    Done(T),
}

/// Plays a script on a line.
#[derive(Debug)]
pub(super) struct Player<'l, S: Script> {
    line: &'l mut Line,
    script: S,
    state: State<S::Result>,
}

#[derive(Debug)]
enum State<T> {
    New,
    Step(Step<T>),
    Over,
}

impl<'l, S: Script> Player<'l, S> {
    pub(super) const fn new(line: &'l mut Line, script: S) -> Self {
        Self {
            line,
            script,
            state: State::New,
        }
    }

    pub(super) fn poll_output(&mut self, now: Duration) -> Output<S::Result> {
        loop {
            let step = match core::mem::replace(&mut self.state, State::Over) {
                State::New => self.script.begin(self.line),
                State::Step(step) => step,
                State::Over => return Output::Wait { until: Duration::MAX },
            };
            match step {
                Step::Exchange(mut exchange) => match exchange.poll(self.line, now) {
                    Poll::Send(bytes) => {
                        self.state = State::Step(Step::Exchange(exchange));
                        return Output::Send(bytes);
                    }
                    Poll::Wait(until) => {
                        self.state = State::Step(Step::Exchange(exchange));
                        return Output::Wait { until };
                    }
                    Poll::Done(outcome) => {
                        let time = exchange.answer_time();
                        self.state = State::Step(self.script.proceed(self.line, outcome, time));
                    }
                },
                Step::Rate(rate) => {
                    self.line.timing.baud_rate = rate;
                    self.state = State::Step(self.script.switched(self.line));
                    return Output::Rate(rate);
                }
                Step::Done(result) => return Output::Done(result),
            }
        }
    }

    pub(super) fn handle_input(&mut self, bytes: &[u8], now: Duration) {
        if let State::Step(Step::Exchange(exchange)) = &mut self.state {
            exchange.handle_input(self.line, bytes, now);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Duration) {
        if let State::Step(Step::Exchange(exchange)) = &mut self.state {
            exchange.handle_timeout(self.line, now);
        }
    }
}
