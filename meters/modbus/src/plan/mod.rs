//! The planning of reads: many registers in few requests.
//!
//! [`Plan`] is the machine that a driver asks for the next request and tells the answer or the
//! exception. It splits a request that the meter refuses and remembers where in [`Refusals`], so
//! that the next poll does not try it again.

mod blocks;
mod machine;
mod refusals;

pub use blocks::Block;
pub(crate) use blocks::blocks;
pub use machine::{Handled, Outcome, Plan};
pub use refusals::Refusals;

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test")]
mod tests;
