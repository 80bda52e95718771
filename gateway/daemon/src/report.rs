//! Errors as people read them: the chain of causes, in one line.

use std::error::Error;
use std::fmt;

/// Shows an error and everything that caused it, separated by colons.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the meter did not answer")]
    struct Outer(#[source] fmt::Error);

    #[test]
    fn the_chain_is_shown_from_the_outside_in() {
        let error = Outer(fmt::Error);
        let text = Chain(&error).to_string();
        assert!(
            text.starts_with("the meter did not answer: an error occurred"),
            "{text}"
        );
    }
}
