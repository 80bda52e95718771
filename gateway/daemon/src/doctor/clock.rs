//! The clock: whether it was ever set, and whether something keeps it right.

use std::path::Path;

use model::{Status, Timestamp};

use super::check::{Area, Check};
use crate::clock::{now, status_at};
use crate::codes::examination as codes;

/// What systemd-timesyncd leaves when it has set the clock by a server.
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";
/// What chrony leaves while it runs.
const CHRONY: &str = "/run/chrony/chronyd.pid";

/// Looks at the clock.
pub(crate) fn clock() -> Check {
    judge(
        now(),
        [SYNCHRONIZED, CHRONY]
            .map(Path::new)
            .into_iter()
            .find(|file| file.exists()),
    )
}

/// Judges the time, and the trace of a time service.
fn judge(now: Timestamp, service: Option<&Path>) -> Check {
    let what = "time";
    if status_at(now) != Status::GOOD {
        return Check::error(Area::Clock, what, codes::CLOCK_UNSET, now.to_string());
    }
    match service {
        Some(file) => Check::good(
            Area::Clock,
            what,
            format!("{now}, kept by a time service ({})", file.display()),
        ),
        None => Check::notice(
            Area::Clock,
            what,
            codes::CLOCK_FREE,
            format!("{now}; compare it with another clock"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;

    #[test]
    fn clock_that_was_never_set_is_an_error_whoever_keeps_it() {
        let file = Some(Path::new(SYNCHRONIZED));
        assert_eq!(judge(Timestamp::EPOCH, file).code.as_deref(), Some("SMGW-D-0501"));
        let time = "2026-11-30T12:00:00Z".parse().unwrap();
        assert_eq!(judge(time, file).outcome, Outcome::Good);
        assert_eq!(judge(time, None).code.as_deref(), Some("SMGW-D-0502"));
    }
}
