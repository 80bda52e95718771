//! Waiting for a condition until a deadline; never for a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The longest time between two looks at a condition, so that an interrupt is noticed soon.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A flag that ends every wait of a stage early; a signal handler may set it.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Returns the flag itself, for a signal handler.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Clears the flag, for what is to be waited for after the interrupt.
    pub fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Returns whether the flag is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The point in time until which something must have happened.
#[derive(Debug, Clone)]
pub struct Deadline {
    started: Instant,
    allowed: Duration,
    interrupt: Interrupt,
}

impl Deadline {
    /// Builds the deadline that lies `allowed` ahead and passes at once when the interrupt is set.
    #[must_use]
    pub fn after(allowed: Duration, interrupt: &Interrupt) -> Self {
        Self {
            started: Instant::now(),
            allowed,
            interrupt: interrupt.clone(),
        }
    }

    /// Returns what is left, zero when the deadline has passed or the interrupt is set.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        if self.interrupt.is_set() {
            return Duration::ZERO;
        }
        self.allowed.saturating_sub(self.started.elapsed())
    }

    /// Returns whether nothing is left.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.remaining().is_zero()
    }

    /// Returns whether it was the interrupt that ended the wait.
    #[must_use]
    pub fn was_interrupted(&self) -> bool {
        self.interrupt.is_set()
    }

    /// Returns the time that was allowed.
    #[must_use]
    pub const fn allowed(&self) -> Duration {
        self.allowed
    }

    /// Returns how long to wait before the next look at the condition.
    pub(crate) fn next_look(&self) -> Duration {
        self.remaining().min(LOOK_AGAIN)
    }
}

/// Looks at a condition again and again until it gives a value or the deadline has passed.
///
/// Looks at least once. Returns `None` when the deadline passed first.
///
/// # Errors
///
/// The first error of the condition ends the wait.
pub fn wait_until<T, E>(
    deadline: &Deadline,
    mut condition: impl FnMut() -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    loop {
        if let Some(value) = condition()? {
            return Ok(Some(value));
        }
        if deadline.has_passed() {
            return Ok(None);
        }
        std::thread::park_timeout(deadline.next_look());
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn condition_is_looked_at_until_it_holds() {
        let mut looks = 0;
        let deadline = Deadline::after(Duration::from_secs(60), &Interrupt::default());
        let value = wait_until(&deadline, || {
            looks += 1;
            Ok::<_, Infallible>((looks == 3).then_some("here"))
        });
        assert_eq!((value, looks), (Ok(Some("here")), 3));
    }

    #[test]
    fn condition_is_looked_at_once_even_after_the_deadline() {
        let deadline = Deadline::after(Duration::ZERO, &Interrupt::default());
        assert_eq!(
            wait_until(&deadline, || Ok::<_, Infallible>(Some(1))),
            Ok(Some(1))
        );
        assert_eq!(
            wait_until(&deadline, || Ok::<Option<()>, Infallible>(None)),
            Ok(None)
        );
    }

    #[test]
    fn error_of_the_condition_ends_the_wait() {
        let deadline = Deadline::after(Duration::from_secs(60), &Interrupt::default());
        assert_eq!(
            wait_until(&deadline, || Err::<Option<()>, _>("broken")),
            Err("broken")
        );
    }

    #[test]
    fn interrupt_ends_the_wait_before_its_time() {
        let interrupt = Interrupt::default();
        let deadline = Deadline::after(Duration::from_secs(60), &interrupt);
        assert!(!deadline.has_passed());
        interrupt.flag().store(true, Ordering::Relaxed);
        assert!(deadline.has_passed() && deadline.was_interrupted());
    }
}
