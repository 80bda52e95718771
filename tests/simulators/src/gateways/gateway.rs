//! One simulated gateway: its connection, its answers, and what waits for receipts.

use std::collections::BTreeMap;
use std::iter::Cycle;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::vec::IntoIter;

use broker::{
    BrokerAddress, Connection, ConnectionError, Delivery, Event, Filter, Leg, Options, Patience,
    PresenceTopic, Protocol, Return, Topic,
};
use bytes::Bytes;
use getrandom::SysRng;
use messages::content::{Content, MessageId, Request};
use messages::envelope::{EnvelopeRandom, MAX_MESSAGE, Sender, open, seal};
use messages::software::SoftwareEphemeral;
use model::Fingerprint;
use rand_core::TryRng;
use rustls::ClientConfig;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::center::{Card, Center};
use super::{Counts, FleetError, FleetOptions, answer, now};

/// How long a gateway that was sent away waits at most: it has to be back before a test gives up.
const PATIENCE: Patience = Patience {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(15),
};
/// How many answers may wait for receipts; the eldest is given up then.
const MAX_WAITING: usize = 16;
/// After how long an answer goes out again.
const AGAIN: Duration = Duration::from_secs(30);

/// A gateway.
pub(super) struct Gateway {
    card: Card,
    center: Arc<Center>,
    tls: Arc<ClientConfig>,
    broker: BrokerAddress,
    /// Those that come after it, again and again.
    brokers: Cycle<IntoIter<BrokerAddress>>,
    protocol: Protocol,
    counts: Arc<Counts>,
    waiting: BTreeMap<MessageId, (Fingerprint, Bytes)>,
}

impl Gateway {
    pub(super) fn new(
        card: Card,
        number: usize,
        center: Arc<Center>,
        options: &FleetOptions,
        counts: Arc<Counts>,
    ) -> Result<Self, FleetError> {
        let mut brokers = options.brokers.clone().into_iter().cycle();
        let place = number.checked_rem(options.brokers.len()).unwrap_or_default();
        Ok(Self {
            tls: center.tls(&card)?,
            card,
            center,
            broker: brokers.nth(place).ok_or(FleetError::NoBroker)?,
            brokers,
            protocol: options.protocol,
            counts,
            waiting: BTreeMap::new(),
        })
    }

    /// Keeps the connection until it is dropped.
    pub(super) async fn run(mut self, handshakes: Arc<Semaphore>) {
        let mut returns = Return::new(PATIENCE);
        loop {
            let opened = match handshakes.acquire().await {
                Ok(_turn) => Connection::open(self.options()).await,
                Err(_) => return,
            };
            let ended = match opened {
                Ok(mut connection) => {
                    returns.succeeded();
                    self.counts.connected.fetch_add(1, Ordering::Relaxed);
                    let ended = self.serve(&mut connection).await;
                    self.counts.connected.fetch_sub(1, Ordering::Relaxed);
                    ended
                }
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                tracing::debug!(guid = %self.card.guid, "{error}");
            }
            if let Some(next) = self.brokers.next() {
                self.broker = next;
            }
            let random = SysRng.try_next_u32().unwrap_or(u32::MAX);
            tokio::time::sleep(returns.failed(random)).await;
        }
    }

    fn options(&self) -> Options {
        let guid = self.card.guid;
        Options {
            address: self.broker.clone(),
            protocol: self.protocol,
            client: guid.to_string(),
            tls: Arc::clone(&self.tls),
            presence: Some(PresenceTopic(guid)),
            filters: [Leg::Request, Leg::Receipt]
                .map(|leg| Filter::to_gateway(guid, leg))
                .into(),
            max_message: MAX_MESSAGE,
        }
    }

    async fn serve(&mut self, connection: &mut Connection) -> Result<(), ConnectionError> {
        // The broker may have lost what it took before.
        self.send_waiting(connection);
        let mut again = tokio::time::interval_at(tokio::time::Instant::now() + AGAIN, AGAIN);
        loop {
            let event = tokio::select! {
                event = connection.next() => event?,
                _ = again.tick() => {
                    self.send_waiting(connection);
                    continue;
                }
            };
            if let Event::Message(delivery) = event {
                if let Err(error) = connection.acknowledge(&delivery) {
                    tracing::debug!("not acknowledged: {error}");
                }
                if self.take(&delivery, connection).is_none() {
                    self.counts.refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Deals with a message, unless it cannot be read.
    fn take(&mut self, delivery: &Delivery, connection: &mut Connection) -> Option<()> {
        let topic: Topic = delivery.topic.parse().ok()?;
        let opened = open(
            &delivery.message,
            self.center.anchor(),
            now(),
            self.card.party.enc.certificate(),
            &self.card.keys.enc,
        );
        match Content::parse(&opened.ok()?.content).ok()? {
            Content::Request(request) => self.answer(&request, topic.party, connection),
            Content::Receipt(receipt) => {
                if self.waiting.remove(&receipt.received).is_some() {
                    self.counts.receipts.fetch_add(1, Ordering::Relaxed);
                }
                Some(())
            }
            _ => None,
        }
    }

    fn answer(&mut self, request: &Request, party: Fingerprint, connection: &mut Connection) -> Option<()> {
        let recipient = self.center.supplier(party)?;
        let id = MessageId::new(random()?);
        let answer = Content::Answer(answer::answer(request, self.card.guid, id, now()));
        let sig = self.card.party.sig.certificate();
        let sender = Sender {
            certificate: sig,
            issuing: Some(self.center.issuing()),
            signer: &self.card.keys.sig,
            agreement: SoftwareEphemeral::new(SysRng),
        };
        let random = EnvelopeRandom::new(Zeroizing::new(random()?));
        let json = Zeroizing::new(answer.to_json().ok()?);
        let sealed = Bytes::from(seal(&json, &recipient.enc, sender, &random, now()).ok()?);
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.pop_first();
        }
        self.waiting.insert(id, (party, sealed.clone()));
        self.counts.answered.fetch_add(1, Ordering::Relaxed);
        self.send(party, sealed, connection);
        Some(())
    }

    fn send_waiting(&self, connection: &mut Connection) {
        for (party, message) in self.waiting.values() {
            self.counts.repeated.fetch_add(1, Ordering::Relaxed);
            self.send(*party, message.clone(), connection);
        }
    }

    fn send(&self, party: Fingerprint, message: Bytes, connection: &mut Connection) {
        let topic = Topic {
            gateway: self.card.guid,
            leg: Leg::Response,
            party,
        };
        if let Err(error) = connection.publish(&topic, message, None) {
            tracing::debug!(guid = %self.card.guid, "an answer waits on: {error}");
        }
    }
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).ok()?;
    Some(bytes)
}
