//! When a message of the outbox is sent again.
//!
//! With every new connection each goes out once, since the broker may have lost what it took before; then after a pause
//! that doubles, since a recipient that is away for a day is no reason to send a thousand times.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use broker::{Connection, Unsent};
use model::CardId;
use store::{OutboxError, Pending, Store};
use tokio::time::Instant;

use super::desk::send;
use crate::liveness;
use crate::report::Chain;

/// How long a receipt may take before the message is sent again.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause between two times that a message is sent.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3_600);

/// What was sent over this connection, by the message's id, and when it is sent again. There are as many as the outbox
/// holds.
#[derive(Debug, Default)]
pub(super) struct Resends {
    sent: HashMap<[u8; 16], Sent>,
    /// Behind which number of the outbox the next look begins.
    behind: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    again: Instant,
    pause: Duration,
}

impl Resends {
    /// Takes note of a message that has just gone out.
    pub(super) fn sent(&mut self, id: [u8; 16]) {
        self.sent_at(id, Instant::now());
    }

    fn sent_at(&mut self, id: [u8; 16], now: Instant) {
        let pause = self.sent.get(&id).map_or(FIRST_PAUSE, |sent| {
            sent.pause.saturating_mul(2).min(LONGEST_PAUSE)
        });
        let again = now.checked_add(pause).unwrap_or(now);
        self.sent.insert(id, Sent { again, pause });
    }

    fn is_due(&self, id: &[u8; 16], now: Instant) -> bool {
        self.sent.get(id).is_none_or(|sent| sent.again <= now)
    }

    /// Looks through a part of the outbox and sends what is due, as far as the connection takes it.
    pub(super) async fn send_due(&mut self, store: &Arc<Store>, guid: CardId, connection: &mut Connection) {
        let Some(pending) = look(store, self.behind).await else {
            return;
        };
        for number in &pending.damaged {
            tracing::error!(number, "a message of the outbox is damaged and stays where it is");
        }
        let now = Instant::now();
        let mut reached = self.behind;
        for (number, message) in &pending.messages {
            if self.is_due(&message.id, now) {
                match send(message, guid, connection) {
                    Ok(()) | Err(Unsent::TooLarge { .. }) => self.sent_at(message.id, now),
                    // The rest follows when there is room.
                    Err(Unsent::Full | Unsent::Ended) => {
                        self.behind = reached;
                        return;
                    }
                }
            }
            reached = Some(*number);
        }
        self.behind = pending.more;
        if pending.more.is_none() {
            // What is not waiting any more need not be known.
            let longest = LONGEST_PAUSE;
            self.sent
                .retain(|_, sent| now.saturating_duration_since(sent.again) < longest);
        }
    }
}

/// Reads a part of the outbox, where that may block.
async fn look(store: &Arc<Store>, behind: Option<u64>) -> Option<Pending> {
    let store = Arc::clone(store);
    let looking = liveness::work(move || store.database().pending(behind));
    match looking.await {
        Ok(Ok(pending)) => Some(pending),
        Ok(Err(error)) => {
            report(&error);
            None
        }
        Err(error) => {
            tracing::error!("a thread that read the outbox has failed: {error}");
            None
        }
    }
}

fn report(error: &OutboxError) {
    tracing::error!("{}", Chain(error));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_sent_again_after_a_pause_that_doubles_up_to_its_limit() {
        let mut resends = Resends::default();
        let id = [1; 16];
        let mut now = Instant::now();
        assert!(resends.is_due(&id, now));
        let mut pauses = Vec::new();
        for _ in 0..11 {
            resends.sent_at(id, now);
            let pause = resends.sent[&id].again - now;
            assert!(!resends.is_due(&id, now + pause - Duration::from_millis(1)));
            now += pause;
            assert!(resends.is_due(&id, now));
            pauses.push(pause.as_secs() / 60);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360]);
        assert!(resends.is_due(&[2; 16], now), "another message");
    }
}
