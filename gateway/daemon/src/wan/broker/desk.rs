//! Messages that came over the broker, worked on one after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use broker::{Connection, Delivery, Leg, MAX_UNACKNOWLEDGED, Topic, Unsent};
use bytes::Bytes;
use card::Partner;
use model::{CardId, Fingerprint};
use store::OutboxMessage;
use tokio::task::JoinSet;

use crate::wan::exchange::{Exchange, Outcome, Sealed, Way};
use crate::wan::rejection::Rejection;

/// How many messages wait for their turn. A broker that keeps to MQTT 5 hands over no more; from another one the rest is
/// dropped, and its senders ask again.
const WAITING: usize = MAX_UNACKNOWLEDGED as usize;

/// Takes messages in, has the exchange answer them where it may block, and puts the answers on the way.
pub(super) struct Desk {
    exchange: Exchange,
    guid: CardId,
    /// The length of the longest answer that outbox and broker take.
    longest: usize,
    waiting: VecDeque<Delivery>,
    /// The one that is worked on.
    in_work: Option<Arc<Delivery>>,
    working: JoinSet<Done>,
}

/// What became of a message that has been worked on.
pub(super) type Done = Result<Option<OutboxMessage>, Rejection>;

impl Desk {
    pub(super) fn new(exchange: Exchange, guid: CardId, connection: &Connection) -> Self {
        let longest = connection.longest_message().min(OutboxMessage::MAX_CONTENT);
        Self {
            exchange,
            guid,
            longest,
            waiting: VecDeque::new(),
            in_work: None,
            working: JoinSet::new(),
        }
    }

    /// Takes a message in.
    pub(super) fn take(&mut self, delivery: Delivery, connection: &Connection) {
        if self.waiting.len() >= WAITING {
            tracing::debug!("a message of the broker is dropped: too many wait");
            acknowledge(&delivery, connection);
            return;
        }
        self.waiting.push_back(delivery);
        self.begin_next();
    }

    /// Waits for a message that has been worked on; for nothing if none is.
    pub(super) async fn done(&mut self) -> Option<Result<Done, tokio::task::JoinError>> {
        match self.working.join_next().await {
            Some(done) => Some(done),
            None => std::future::pending().await,
        }
    }

    /// Says to the broker that a message has been dealt with and sends its answer, which is returned if it went out.
    pub(super) fn put_away(
        &mut self,
        done: Result<Done, tokio::task::JoinError>,
        connection: &mut Connection,
    ) -> Option<[u8; 16]> {
        // Also if the thread has failed: what is never acknowledged counts against what the broker hands over.
        if let Some(delivery) = self.in_work.take() {
            acknowledge(&delivery, connection);
        }
        self.begin_next();
        let outcome = match done {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::error!("a thread that worked on a message has failed: {error}");
                return None;
            }
        };
        match outcome {
            Ok(Some(answer)) => send(&answer, self.guid, connection).ok().map(|()| answer.id),
            Ok(None) => None,
            Err(rejection) => {
                tracing::warn!(
                    code = rejection.code(),
                    "rejected, from the broker: {}",
                    rejection.reason()
                );
                None
            }
        }
    }

    fn begin_next(&mut self) {
        if !self.working.is_empty() {
            return;
        }
        let Some(delivery) = self.waiting.pop_front() else {
            return;
        };
        let delivery = Arc::new(delivery);
        self.in_work = Some(Arc::clone(&delivery));
        let (exchange, guid, longest) = (self.exchange.clone(), self.guid, self.longest);
        self.working.spawn_blocking(move || {
            let outcome = answer(&exchange, guid, longest, &delivery);
            if let Err(rejection) = &outcome {
                exchange.note_rejected(rejection, None);
            }
            outcome
        });
    }
}

/// Answers a message; the answer is in the outbox then.
fn answer(
    exchange: &Exchange,
    guid: CardId,
    longest: usize,
    delivery: &Delivery,
) -> Result<Option<OutboxMessage>, Rejection> {
    let topic: Topic = delivery.topic.parse().map_err(|_| Rejection::Topic)?;
    if topic.gateway != guid || topic.leg == Leg::Response {
        return Err(Rejection::Topic);
    }
    let way = Way {
        party: Some(topic.party),
        longest,
    };
    if topic.leg == Leg::Request {
        check_receipts(exchange, topic.party)?;
    }
    match (exchange.handle(&delivery.message, &way)?, topic.leg) {
        (Outcome::Answered(Sealed { id, bytes, partner }), Leg::Request) => {
            let message = OutboxMessage {
                id: *id.as_bytes(),
                recipient: topic.party,
                content: bytes,
            };
            let database = exchange.store.database();
            match partner {
                Partner::Tsm => database.enqueue_for_tsm(&message)?,
                Partner::Supplier(_) => database.enqueue(&message)?,
            }
            Ok(Some(message))
        }
        (Outcome::Received, Leg::Receipt) => Ok(None),
        (Outcome::Answered(_), Leg::Receipt | Leg::Response)
        | (Outcome::Received, Leg::Request | Leg::Response) => Err(Rejection::Topic),
    }
}

/// Refuses who does not say that it has what it was sent. What the topic claims is enough for that: nobody else can
/// publish there, and a broker that lies could as well pass nothing on.
fn check_receipts(exchange: &Exchange, party: Fingerprint) -> Result<(), Rejection> {
    let arrears = exchange.store.database().waiting_for(party)?;
    if arrears.are_too_many() {
        return Err(Rejection::ReceiptsDue {
            waiting: arrears.messages,
        });
    }
    Ok(())
}

/// Sends a message of the outbox to its recipient.
pub(super) fn send(message: &OutboxMessage, guid: CardId, connection: &mut Connection) -> Result<(), Unsent> {
    let topic = Topic {
        gateway: guid,
        leg: Leg::Response,
        party: message.recipient,
    };
    let sent = connection.publish(&topic, Bytes::copy_from_slice(&message.content), None);
    if let Err(error @ Unsent::TooLarge { .. }) = &sent {
        tracing::warn!("an answer waits on: {error}; raise the broker's limit");
    }
    sent
}

fn acknowledge(delivery: &Delivery, connection: &Connection) {
    if let Err(error) = connection.acknowledge(delivery) {
        tracing::debug!("a message of the broker is not acknowledged: {error}");
    }
}
