//! What is wrong with the logs, and what the gateway may still do then.
//!
//! Files that are gone or unreadable may have died with the flash: the gateway is `Degraded`, tells the TSM and
//! the suppliers, and measures on. Entries that read well and are not those that were written cannot come about
//! by accident: somebody has written them, and the gateway is `Tampered`. In both it serves no supplier, and its
//! card never signs what is there.

use model::{GatewayState, LogText, SystemEvent};
use store::{HeadsFault, LogFault, Verification};

use crate::codes::device as codes;
use crate::mounts::Finding;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damage {
    /// How it may have come about.
    pub(super) cause: Cause,
    /// What the system log says about it.
    pub(super) event: SystemEvent,
    /// What it is, in words.
    pub(super) reason: String,
}

/// How damage may have come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// By an accident: something is gone or unreadable.
    Loss,
    /// By nobody's accident: something reads well and is not what was written.
    Change,
}

impl Cause {
    const fn of_log(fault: LogFault) -> Self {
        match fault {
            LogFault::Header { .. }
            | LogFault::Damaged { .. }
            | LogFault::Base { .. }
            | LogFault::Shorter { .. } => Self::Loss,
            // A file that is gone leaves a hole; nothing else does, and nothing at all doubles an entry.
            LogFault::Sequence { sequence, found } if found > sequence => Self::Loss,
            LogFault::Sequence { .. } | LogFault::Chain { .. } | LogFault::Different { .. } => Self::Change,
        }
    }

    const fn of_heads(fault: HeadsFault) -> Self {
        match fault {
            HeadsFault::Missing { .. } | HeadsFault::Damaged => Self::Loss,
            HeadsFault::Older { .. } | HeadsFault::Refused(_) => Self::Change,
        }
    }

    /// Returns the state that the gateway is in because of it.
    pub(super) const fn state(self) -> GatewayState {
        match self {
            Self::Loss => GatewayState::Degraded,
            Self::Change => GatewayState::Tampered,
        }
    }
}

impl Damage {
    /// Returns what the status says about it.
    pub(super) fn finding(&self) -> Finding {
        let code = match self.cause {
            Cause::Loss => codes::LOG_LOST,
            Cause::Change => codes::LOG_CHANGED,
        };
        let text = format!(
            "{}: {}. No supplier is served; smgw log verify says more.",
            self.event, self.reason
        );
        Finding::new(code, text)
    }
}

/// Returns everything that a verification has found.
pub(super) fn of(verification: &Verification) -> Vec<Damage> {
    let heads = verification.fault.map(|fault| Damage {
        cause: Cause::of_heads(fault),
        event: SystemEvent::LogDamaged {
            log: None,
            code: LogText::cut(fault.code()),
            sequence: None,
        },
        reason: fault.to_string(),
    });
    let logs = verification.logs.iter().filter_map(|verdict| {
        let fault = verdict.fault?;
        Some(Damage {
            cause: Cause::of_log(fault),
            event: SystemEvent::LogDamaged {
                log: Some(verdict.log),
                code: LogText::cut(fault.code()),
                sequence: Some(fault.sequence()),
            },
            reason: fault.to_string(),
        })
    });
    heads.into_iter().chain(logs).collect()
}

/// Returns the first of those that weigh most.
pub(super) fn worst(found: &[Damage]) -> Option<Damage> {
    let mut worst: Option<&Damage> = None;
    for damage in found {
        if worst.is_none_or(|worst| worst.cause < damage.cause) {
            worst = Some(damage);
        }
    }
    worst.cloned()
}

#[cfg(test)]
mod tests {
    use store::HeadRefusal;

    use super::*;

    #[test]
    fn what_is_gone_is_a_loss_and_what_is_another_is_a_change() {
        let (sequence, signed) = (3, 7);
        for fault in [
            LogFault::Header { sequence },
            LogFault::Damaged { sequence },
            LogFault::Base { sequence },
            LogFault::Shorter { sequence, signed },
            LogFault::Sequence { sequence, found: 9 },
        ] {
            assert_eq!(Cause::of_log(fault).state(), GatewayState::Degraded, "{fault:?}");
        }
        for fault in [
            LogFault::Sequence { sequence, found: 2 },
            LogFault::Chain { sequence },
            LogFault::Different { sequence },
        ] {
            assert_eq!(Cause::of_log(fault).state(), GatewayState::Tampered, "{fault:?}");
        }
        for (fault, state) in [
            (HeadsFault::Missing { number: 1 }, GatewayState::Degraded),
            (HeadsFault::Damaged, GatewayState::Degraded),
            (HeadsFault::Older { number: 2, found: 1 }, GatewayState::Tampered),
            (HeadsFault::Refused(HeadRefusal::Key), GatewayState::Tampered),
        ] {
            assert_eq!(Cause::of_heads(fault).state(), state, "{fault:?}");
        }
    }

    #[test]
    fn change_weighs_more_than_loss() {
        let damage = |cause, log| Damage {
            cause,
            event: SystemEvent::LogFull { log },
            reason: String::new(),
        };
        let [system, consumer, calibration] = model::LogKind::ALL;
        let found = [
            damage(Cause::Loss, system),
            damage(Cause::Change, consumer),
            damage(Cause::Change, calibration),
        ];
        assert_eq!(worst(&found), Some(found[1].clone()));
        assert_eq!(worst(&[]), None);
    }
}
