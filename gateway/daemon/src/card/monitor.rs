//! The monitor: sees cards come and go, readers too, and a pcscd that ends and comes back.
//!
//! It has a context of its own, since waiting for an event blocks it. It decides nothing for good: it counts the events,
//! has the service end at once when the card has moved or cannot be seen, and has the custodian look after the card.

use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

use pcsc::{Context, Error, PNP_NOTIFICATION, ReaderState, Scope, State};

use super::handle::Job;
use super::pcsc::events;
use super::queue::Queue;
use super::slot::Slot;
use crate::liveness::ThreadPulse;

/// How long to wait before pcscd is tried again.
const SERVICE_PAUSE: Duration = Duration::from_millis(250);
/// The longest wait for an event; between two the monitor sees whether it is still needed.
const EVENT_TIMEOUT: Duration = Duration::from_millis(500);

/// Watches the readers until the queue is closed. Everything that can be wrong is tried again.
pub(super) fn watch(slot: &Slot, queue: &Arc<Queue<Job>>, pulse: &ThreadPulse) {
    let mut was_there = true;
    loop {
        pulse.beat();
        match Context::establish(Scope::System) {
            Ok(context) => {
                if !was_there {
                    tracing::info!("the smart card service answers again");
                }
                was_there = true;
                queue.moved();
                if let Err(error) = watch_readers(&context, slot, (queue, pulse)) {
                    tracing::warn!("the card readers cannot be watched: {error}");
                }
            }
            Err(error) if was_there => {
                tracing::warn!("the smart card service does not answer: {error}");
                was_there = false;
            }
            Err(_) => {}
        }
        slot.forget_events();
        slot.note_blindness();
        if queue.closed_within(Duration::ZERO) {
            return;
        }
        queue.moved();
        if queue.closed_within(SERVICE_PAUSE) {
            return;
        }
    }
}

/// Watches until pcscd ends, or the queue is closed.
fn watch_readers(
    context: &Context,
    slot: &Slot,
    (queue, pulse): (&Queue<Job>, &ThreadPulse),
) -> Result<(), Error> {
    let mut states = vec![ReaderState::new(PNP_NOTIFICATION(), State::UNAWARE)];
    while !queue.closed_within(Duration::ZERO) {
        pulse.beat();
        let names = match context.list_readers_owned() {
            Ok(names) => names,
            Err(Error::NoReadersAvailable) => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut moved = follow(&mut states, &names);
        if moved {
            slot.note_readers(names.iter().map(|name| name.to_string_lossy()));
        }
        match context.get_status_change(EVENT_TIMEOUT, &mut states) {
            Ok(()) => {}
            // A reader that went between the two calls is out of the list in the next turn.
            Err(Error::Timeout | Error::UnknownReader) => {}
            Err(error) => return Err(error),
        }
        for state in &mut states {
            // Opening a card changes its reader's state too. Only a card that came or went is worth a look; else every
            // look at a card that is refused would be the reason for the next one.
            if state.event_state().contains(State::CHANGED) && state.name() != PNP_NOTIFICATION() {
                let is_present = state.event_state().contains(State::PRESENT);
                moved |= slot.note_events(&state.name().to_string_lossy(), events(state), is_present);
            }
            state.sync_current_state();
        }
        if moved {
            queue.moved();
        }
    }
    Ok(())
}

/// Adds readers that came to the states and takes out those that went, and returns whether there were any; the first
/// state is for readers themselves.
fn follow(states: &mut Vec<ReaderState>, names: &[CString]) -> bool {
    let before = states.len();
    states.retain(|state| {
        let name = state.name();
        name == PNP_NOTIFICATION() || names.iter().any(|known| known.as_c_str() == name)
    });
    let mut moved = states.len() != before;
    for name in names {
        if !states.iter().any(|state| state.name() == name.as_c_str()) {
            states.push(ReaderState::new(name.clone(), State::UNAWARE));
            moved = true;
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_that_come_and_go_are_followed() {
        let mut states = vec![ReaderState::new(PNP_NOTIFICATION(), State::UNAWARE)];
        let named = |states: &[ReaderState]| -> Vec<String> {
            let names = states.iter().skip(1).map(|state| state.name().to_string_lossy());
            names.map(std::borrow::Cow::into_owned).collect()
        };
        let names = |names: &[&str]| -> Vec<CString> {
            names.iter().map(|name| CString::new(*name).unwrap()).collect()
        };
        assert!(follow(&mut states, &names(&["Alpha", "Beta"])));
        assert!(!follow(&mut states, &names(&["Alpha", "Beta"])));
        assert_eq!(named(&states), ["Alpha", "Beta"]);
        assert!(follow(&mut states, &names(&["Beta", "Gamma"])));
        assert_eq!(named(&states), ["Beta", "Gamma"]);
        assert!(follow(&mut states, &[]));
        assert_eq!(states.len(), 1);
    }
}
