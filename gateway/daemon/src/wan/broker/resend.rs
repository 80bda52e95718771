//! When a message of the outbox is sent again.
//!
//! With every new connection each goes out once, since the broker may have lost what it took before; then after a pause
//! that doubles, since a recipient that is away for a day is no reason to send a thousand times. A recipient that asks for
//! something is there, and gets what waits at once.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use broker::{Connection, Leg, Topic, Unsent};
use model::{CardId, Fingerprint};
use store::{OutboxError, OutboxMessage, Pending, Store};
use tokio::time::Instant;

use super::desk::send;
use crate::liveness;
use crate::report::Chain;

/// How long a receipt may take before the message is sent again.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause between two times that a message is sent.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3_600);

/// How long a message rests at least before it is sent again to a recipient that is there: its receipt may be on its way, and
/// whoever asks on and on has no more of it.
const REST: Duration = Duration::from_secs(10);
/// How many recipients are known at a time to be there; those that fit no more wait for their time.
const MAX_HASTENED: usize = 64;

/// What was sent over this connection, by the message's id, and when it is sent again. There are as many as were queued
/// within some hours.
#[derive(Debug, Default)]
pub(super) struct Resends {
    sent: HashMap<[u8; 16], Sent>,
    /// Who has asked since the outbox was last looked through.
    hastened: BTreeSet<Fingerprint>,
    /// Behind which number of the outbox the next look begins.
    behind: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    at: Instant,
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
        self.sent.insert(
            id,
            Sent {
                at: now,
                again,
                pause,
            },
        );
    }

    /// Takes note that somebody sends something to a topic: who asks gets what waits for him.
    pub(super) fn hasten(&mut self, topic: &str) {
        let Ok(Topic {
            leg: Leg::Request,
            party,
            ..
        }) = topic.parse()
        else {
            return;
        };
        if self.hastened.len() < MAX_HASTENED && self.hastened.insert(party) {
            // From the beginning, where what has waited longest is.
            self.behind = None;
        }
    }

    fn is_due(&self, message: &OutboxMessage, now: Instant) -> bool {
        let is_there = self.hastened.contains(&message.recipient);
        self.sent.get(&message.id).is_none_or(|sent| {
            let has_rested = now.saturating_duration_since(sent.at) >= REST;
            sent.again <= now || (is_there && has_rested)
        })
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
            if self.is_due(message, now) {
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
            self.hastened.clear();
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

    fn message(number: u8) -> OutboxMessage {
        OutboxMessage {
            id: [number; 16],
            recipient: Fingerprint::new([number; 32]),
            content: Vec::new(),
        }
    }

    #[test]
    fn a_message_is_sent_again_after_a_pause_that_doubles_up_to_its_limit() {
        let mut resends = Resends::default();
        let [message, another] = [1, 2].map(message);
        let id = message.id;
        let mut now = Instant::now();
        assert!(resends.is_due(&message, now));
        let mut pauses = Vec::new();
        for _ in 0..11 {
            resends.sent_at(id, now);
            let pause = resends.sent[&id].again - now;
            assert!(!resends.is_due(&message, now + pause - Duration::from_millis(1)));
            now += pause;
            assert!(resends.is_due(&message, now));
            pauses.push(pause.as_secs() / 60);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360]);
        assert!(resends.is_due(&another, now), "another message");
    }

    #[test]
    fn who_asks_gets_what_waits_for_him_and_no_more_than_that() {
        let mut resends = Resends::default();
        let (his, another) = (message(1), message(2));
        let now = Instant::now();
        resends.sent_at(his.id, now);
        resends.sent_at(another.id, now);
        let later = now + REST;
        assert!(!resends.is_due(&his, later));
        let topic = |leg| Topic {
            gateway: "fd5a::1".parse().unwrap(),
            leg,
            party: his.recipient,
        };
        resends.hasten(&topic(Leg::Receipt).to_string());
        resends.hasten("smgw/v1/nothing");
        assert!(!resends.is_due(&his, later));
        resends.behind = Some(7);
        resends.hasten(&topic(Leg::Request).to_string());
        assert_eq!(resends.behind, None);
        assert!(!resends.is_due(&his, later - Duration::from_millis(1)));
        assert!(resends.is_due(&his, later) && !resends.is_due(&another, later));
    }
}
