//! What the custodian publishes and writes into the system log.

use model::{GatewayState, LogEvent, LogKind, LogText, SystemEvent};
use store::Bindings;

use super::Custodian;
use crate::card::examination::refuse_given_up;
use crate::card::obstacle::Obstacle;
use crate::card::standing::{Explained, Standing};
use crate::journal::Alarm;
use crate::report::Chain;

impl Custodian {
    /// Writes the binding into the system log, if a power cut kept it from being written when it was burned.
    pub(super) fn note_binding(&mut self) {
        if self.binding_noted {
            return;
        }
        let Ok(Ok(Some(binding))) = self.store.bindings().map(Bindings::binding) else {
            return;
        };
        self.journal.compare_with(binding.card_key);
        match self.knows_binding() {
            Ok(false) => self.journal.note([LogEvent::from(SystemEvent::BindingBurned {
                card: binding.card,
                gateway: binding.gateway,
                time: binding.time,
            })]),
            Ok(true) => {}
            Err(error) => return tracing::warn!("{}", Chain(&error)),
        }
        self.binding_noted = true;
    }

    /// Returns whether the system log has the binding, or is so old that its beginning is gone.
    fn knows_binding(&self) -> Result<bool, store::LogError> {
        let mut after = Some(0);
        while let Some(behind) = after {
            let page = self.journal.logs().page(LogKind::System, behind, None)?;
            let is_binding =
                |event| matches!(event, Some(LogEvent::System(SystemEvent::BindingBurned { .. })));
            let is_shortened = page
                .entries
                .first()
                .is_some_and(|entry| behind == 0 && entry.sequence > 1);
            if is_shortened || page.entries.iter().any(|entry| is_binding(entry.event())) {
                return Ok(true);
            }
            after = page.next;
        }
        Ok(false)
    }

    /// Returns the standing that an obstacle leaves.
    pub(super) fn stand_down(&self, obstacle: &Obstacle) -> Standing {
        let bindings = self.store.bindings();
        let binding = match bindings.map(Bindings::binding) {
            Ok(Ok(binding)) => binding,
            Ok(Err(_)) | Err(_) => None,
        };
        // Bindings that cannot be read are no proof that there is none, and come before the card; so does what they say
        // about the end of gateway and card.
        let given_up = match bindings {
            Err(error) => Some(Obstacle::from(error)),
            Ok(bindings) => refuse_given_up(bindings).err(),
        };
        let removed = self.removal.is_removed().then_some(Obstacle::Removed);
        let first = given_up.or(removed);
        let obstacle = first.as_ref().unwrap_or(obstacle);
        Standing {
            state: obstacle.state(binding.is_some()),
            detail: Some(Chain(obstacle).to_string()),
            obstacle: Some(Explained {
                code: obstacle.code(),
                remedy: obstacle.remedy(),
            }),
            bound_to: binding.map(|binding| binding.card),
            soft_card: self.slot.is_soft(),
            identity: None,
        }
    }

    /// Writes a change of the state, or of its cause, into the system log before it is acted on.
    fn note_change(&self, next: &Standing) {
        let is_change = {
            let current = self.standing.borrow();
            current.state != next.state || current.detail != next.detail
        };
        if is_change {
            self.journal.note_outside(SystemEvent::StandingChanged {
                state: next.state,
                code: LogText::cut(next.state.code()),
                detail: next.detail.as_deref().map(LogText::cut),
            });
        }
    }

    /// Publishes a standing, and logs it once when it differs from the last.
    pub(super) fn publish(&self, next: Standing) {
        self.note_change(&next);
        self.gate.open();
        self.standing.send_if_modified(|current| {
            let same_identity = current.identity.is_none() && next.identity.is_none();
            if same_identity && current.state == next.state && current.detail == next.detail {
                return false;
            }
            let detail = next.detail.as_deref().unwrap_or_else(|| next.state.cause());
            let code = next.state.code();
            if next.state.serves_tsm() {
                tracing::info!(state = %next.state, code, "{detail}");
            } else {
                tracing::warn!(state = %next.state, code, remedy = next.state.remedy(), "{detail}");
            }
            *current = next;
            true
        });
    }
}

/// Returns the standing that is left of one when a log is damaged or full.
///
/// Without its identity the gateway serves nobody. With a log that is full or lost it keeps it, to say so.
pub(super) fn under_alarm(next: Standing, alarm: Option<&Alarm>) -> Standing {
    match alarm {
        Some(alarm) if alarm.state == GatewayState::Tampered && next.state != GatewayState::Tampered => {
            Standing {
                state: alarm.state,
                detail: Some(alarm.detail.clone()),
                identity: None,
                ..next
            }
        }
        Some(alarm) if next.state.serves_tsm() => Standing {
            state: alarm.state,
            detail: Some(alarm.detail.clone()),
            ..next
        },
        Some(_) | None => next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(state: GatewayState, alarm: GatewayState) -> GatewayState {
        let standing = Standing {
            state,
            ..Standing::unknown()
        };
        let alarm = Alarm {
            state: alarm,
            detail: "the consumer log is damaged".to_owned(),
        };
        under_alarm(standing, Some(&alarm)).state
    }

    #[test]
    fn alarm_ends_the_service_and_hides_nothing_that_is_worse() {
        let (lost, full, changed) = (
            GatewayState::Degraded,
            GatewayState::StorageFull,
            GatewayState::Tampered,
        );
        for serving in [GatewayState::Bound, GatewayState::Operational] {
            for alarm in [lost, full, changed] {
                assert_eq!(after(serving, alarm), alarm);
            }
        }
        for alarm in [lost, full] {
            assert_eq!(after(GatewayState::CardMissing, alarm), GatewayState::CardMissing);
        }
        assert_eq!(after(GatewayState::CardMissing, changed), changed);
    }
}
