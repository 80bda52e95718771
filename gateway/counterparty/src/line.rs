//! The way to a gateway over a broker.
//!
//! What comes back may be older than what was asked: a gateway sends everything again whose receipt it does not have.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use broker::{BrokerAddress, Connection, ConnectionError, Event, Filter, Leg, Options, Protocol, Topic};
use bytes::Bytes;
use messages::envelope::MAX_MESSAGE;
use model::{CardId, Fingerprint};
use rustls::ClientConfig;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::exchange::{EXCHANGE_PATIENCE, ExchangeError, GatewayAddress};

/// How long a connection is kept for the next message: while nobody waits for anything, nobody shows the broker that
/// the client is still there.
const IDLE_PATIENCE: Duration = Duration::from_secs(30);
/// How long the broker may keep a message that nobody has taken: what is older, the gateway would refuse.
pub(crate) const MESSAGE_EXPIRY: Duration = Duration::from_secs(300);
/// How long a receipt may take to the broker.
pub(crate) const RECEIPT_PATIENCE: Duration = Duration::from_secs(10);

/// The way to one gateway, over a broker.
pub(crate) struct Line {
    guid: CardId,
    party: Fingerprint,
    options: Options,
    open: Mutex<Option<(Connection, Instant)>>,
}

impl Line {
    /// Prepares the way; nothing is sent yet.
    pub(crate) fn new(
        guid: CardId,
        party: Fingerprint,
        broker: (BrokerAddress, Protocol),
        tls: ClientConfig,
    ) -> Self {
        // One party has several conversations at a time, each with a connection of its own.
        let client = format!("{party}-{guid}");
        Self {
            guid,
            party,
            options: options(client, Filter::from_gateway(guid, party), broker, tls),
            open: Mutex::new(None),
        }
    }

    /// Sends a message; what comes back is waited for with what is returned.
    pub(crate) async fn call(
        &self,
        message: Vec<u8>,
        gateway: &GatewayAddress,
    ) -> Result<Waiting<'_>, ExchangeError> {
        let mut open = self.open.lock().await;
        let kept = open.take().filter(|(_, used)| used.elapsed() < IDLE_PATIENCE);
        let mut connection = match kept {
            Some((connection, _)) => connection,
            None => Connection::open(self.options.clone()).await.map_err(broker)?,
        };
        connection.publish(
            &self.topic(Leg::Request),
            Bytes::from(message),
            Some(MESSAGE_EXPIRY),
        )?;
        *open = Some((connection, Instant::now()));
        Ok(Waiting {
            line: self,
            open,
            gateway: gateway.clone(),
            until: Instant::now().checked_add(EXCHANGE_PATIENCE),
        })
    }

    const fn topic(&self, leg: Leg) -> Topic {
        Topic {
            gateway: self.guid,
            leg,
            party: self.party,
        }
    }
}

/// Returns how a party connects to a broker, under this name and for what the filter lets through.
pub(crate) fn options(
    client: String,
    filter: Filter,
    (address, protocol): (BrokerAddress, Protocol),
    tls: ClientConfig,
) -> Options {
    Options {
        address,
        protocol,
        client,
        tls: Arc::new(tls),
        presence: None,
        filters: vec![filter],
        max_message: MAX_MESSAGE,
    }
}

/// A message that is on its way.
pub struct Waiting<'a> {
    line: &'a Line,
    open: MutexGuard<'a, Option<(Connection, Instant)>>,
    gateway: GatewayAddress,
    until: Option<Instant>,
}

impl Waiting<'_> {
    /// Waits for the next message of the gateway.
    pub(crate) async fn next(&mut self) -> Result<Vec<u8>, ExchangeError> {
        let timeout = ExchangeError::Timeout {
            gateway: self.gateway.clone(),
        };
        let Some(until) = self.until else {
            return Err(timeout);
        };
        let outcome = tokio::time::timeout_at(until, self.receive()).await;
        let outcome = outcome.unwrap_or(Err(timeout));
        if outcome.is_err() {
            *self.open = None;
        }
        outcome
    }

    async fn receive(&mut self) -> Result<Vec<u8>, ExchangeError> {
        let guid = self.line.guid;
        let expected = self.line.topic(Leg::Response);
        let (connection, used) = self.open.as_mut().ok_or(ExchangeError::Away { guid })?;
        loop {
            match connection.next().await.map_err(broker)? {
                Event::Message(delivery) => {
                    *used = Instant::now();
                    connection.acknowledge(&delivery)?;
                    // Nothing else was subscribed to; a broker that sends something else sends it in vain.
                    if delivery.topic.parse() == Ok(expected) && delivery.message.len() <= MAX_MESSAGE {
                        return Ok(delivery.message.to_vec());
                    }
                }
                Event::Unheard(_) => return Err(ExchangeError::Away { guid }),
                Event::NotPassedOn { reason, .. } => return Err(ExchangeError::NotPassedOn { reason }),
            }
        }
    }

    /// Sends a receipt, and waits until the broker has it.
    pub(crate) async fn receipt(&mut self, message: Vec<u8>) -> Result<(), ExchangeError> {
        let topic = self.line.topic(Leg::Receipt);
        let Some((connection, used)) = self.open.as_mut() else {
            return Err(ExchangeError::Away { guid: self.line.guid });
        };
        connection.publish(&topic, Bytes::from(message), None)?;
        let drained = tokio::time::timeout(RECEIPT_PATIENCE, connection.drain()).await;
        *used = Instant::now();
        match drained {
            Ok(drained) => drained.map_err(broker),
            Err(_) => Err(ExchangeError::Timeout {
                gateway: self.gateway.clone(),
            }),
        }
    }
}

impl fmt::Debug for Waiting<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Waiting")
            .field("gateway", &self.gateway)
            .finish_non_exhaustive()
    }
}

fn broker(error: ConnectionError) -> ExchangeError {
    ExchangeError::Broker(Arc::new(error))
}
