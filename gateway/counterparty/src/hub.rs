//! One connection to a broker for many gateways.
//!
//! A supplier that pulls from thousands of gateways over one broker opens one connection, not thousands. The hub is
//! subscribed to what all gateways send to its party, and hands each message to whoever waits for that gateway, or else to
//! whoever takes what gateways send by themselves. What nobody waits for is dropped: the gateway has no receipt for it, and
//! sends it again when it is asked next, or after a while.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker::{
    BrokerAddress, Connection, ConnectionError, Event, Filter, Leg, Options, Protocol, Topic, Unsent,
};
pub use broker::{Group, GroupError};
use bytes::Bytes;
use messages::envelope::MAX_MESSAGE;
use model::{CardId, Fingerprint};
use rustls::ClientConfig;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::exchange::{EXCHANGE_PATIENCE, ExchangeError, GatewayAddress};
use crate::line::{MESSAGE_EXPIRY, RECEIPT_PATIENCE, options};
use crate::random;

/// How many messages may wait until the hub takes them; whoever has a further one waits himself.
const QUEUED_ORDERS: usize = 64;
/// How many messages may be on their way to the broker at a time: what waits to be sent, with as many acknowledgements,
/// has room in the connection.
const MAX_WAITING: usize = 15;
/// How many messages of one gateway are kept for who waits for them: the outbox of a gateway that was away may come first.
/// What does not fit comes again.
const HEARD: usize = 4;
/// How many messages that gateways have sent by themselves are kept for who takes them: a fleet sends at the same time of
/// the day. What does not fit comes again.
const OVERHEARD: usize = 32;

/// A connection to a broker that many conversations share.
pub struct Hub {
    address: GatewayAddress,
    party: Fingerprint,
    orders: mpsc::Sender<Order>,
    listeners: Listeners,
    task: JoinHandle<()>,
}

/// Who listens; clones are the same.
#[derive(Clone, Default)]
struct Listeners(Arc<Mutex<Listening>>);

impl Listeners {
    /// A panic elsewhere leaves the listeners whole.
    fn hold(&self) -> MutexGuard<'_, Listening> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who waits for which gateway, and who takes what nobody waits for.
#[derive(Default)]
struct Listening {
    calls: BTreeMap<CardId, mpsc::Sender<Heard>>,
    others: Option<mpsc::Sender<Overheard>>,
}

/// What nobody waited for, and of which gateway it is; or why nothing more is heard.
type Overheard = Result<(CardId, Bytes), Trouble>;

/// What is heard of a gateway.
type Heard = Result<Bytes, Trouble>;

/// Why nothing is heard.
enum Trouble {
    Away,
    NotPassedOn(String),
    Unsent(Unsent),
    Broker(Arc<ConnectionError>),
}

impl Trouble {
    fn of(self, guid: CardId) -> ExchangeError {
        match self {
            Self::Away => ExchangeError::Away { guid },
            Self::NotPassedOn(reason) => ExchangeError::NotPassedOn { reason },
            Self::Unsent(unsent) => unsent.into(),
            Self::Broker(error) => ExchangeError::Broker(error),
        }
    }
}

enum Order {
    Send {
        topic: Topic,
        message: Bytes,
        expiry: Option<Duration>,
    },
    Drain(oneshot::Sender<()>),
    /// Connects, if there is no connection.
    Listen,
}

impl Hub {
    /// Prepares a hub; it connects when the first message is sent. It lives in the present runtime of tokio.
    ///
    /// # Errors
    ///
    /// [`ExchangeError::Random`] if it gets no name.
    pub(crate) fn start(
        gateway: GatewayAddress,
        party: Fingerprint,
        group: Option<&Group>,
        broker: (BrokerAddress, Protocol),
        tls: ClientConfig,
    ) -> Result<Self, ExchangeError> {
        // A broker ends the elder of two connections with the same name.
        let name = u64::from_be_bytes(*random::bytes()?);
        let client = format!("{party}-{name:016x}");
        let all = Filter::from_gateways(party);
        let filter = group.map_or_else(|| all.clone(), |group| all.shared(group));
        let options = options(client, filter, broker, tls);
        let (orders, taken) = mpsc::channel(QUEUED_ORDERS);
        let listeners = Listeners::default();
        let desk = Desk {
            options,
            party,
            orders: taken,
            listeners: listeners.clone(),
        };
        Ok(Self {
            address: gateway,
            party,
            orders,
            listeners,
            task: tokio::spawn(desk.serve()),
        })
    }

    /// Waits until the broker has all receipts, for a short time at most. Which do not get there, their gateways ask for
    /// by sending their answers again.
    pub async fn drain(&self) {
        let (done, drained) = oneshot::channel();
        let draining = async {
            if self.orders.send(Order::Drain(done)).await.is_ok() {
                drained.await.unwrap_or_default();
            }
        };
        tokio::time::timeout(RECEIPT_PATIENCE, draining)
            .await
            .unwrap_or_default();
    }

    /// Returns the address that the hub is behind.
    pub(crate) const fn address(&self) -> &GatewayAddress {
        &self.address
    }

    /// Sends a message to a gateway; what comes back is waited for with what is returned.
    pub(crate) async fn call(&self, guid: CardId, message: Vec<u8>) -> Result<HubCall<'_>, ExchangeError> {
        let call = self.listen(guid)?;
        self.send(guid, Leg::Request, message, Some(MESSAGE_EXPIRY))
            .await?;
        Ok(call)
    }

    /// Connects, and listens to what gateways send by themselves, until what is returned is dropped. There is one who does;
    /// a second call takes its place.
    ///
    /// # Errors
    ///
    /// [`ExchangeError`] if the hub has ended.
    pub async fn overhear(&self) -> Result<Overhearing<'_>, ExchangeError> {
        let (into, heard) = mpsc::channel(OVERHEARD);
        let overhearing = Overhearing {
            hub: self,
            into: into.downgrade(),
            heard,
        };
        self.listeners.hold().others = Some(into);
        self.order(Order::Listen).await?;
        Ok(overhearing)
    }

    /// Hands over a receipt for what was overheard; [`Hub::drain`] waits until the broker has it.
    ///
    /// # Errors
    ///
    /// [`ExchangeError`] if the hub has ended, or takes nothing.
    pub async fn receipt(&self, guid: CardId, message: Vec<u8>) -> Result<(), ExchangeError> {
        self.send(guid, Leg::Receipt, message, None).await
    }

    fn listen(&self, guid: CardId) -> Result<HubCall<'_>, ExchangeError> {
        let (into, heard) = mpsc::channel(HEARD);
        let mut listening = self.listeners.hold();
        if listening.calls.contains_key(&guid) {
            return Err(ExchangeError::Engaged { guid });
        }
        listening.calls.insert(guid, into);
        drop(listening);
        Ok(HubCall {
            hub: self,
            guid,
            heard,
            until: Instant::now().checked_add(EXCHANGE_PATIENCE),
        })
    }

    async fn send(
        &self,
        gateway: CardId,
        leg: Leg,
        message: Vec<u8>,
        expiry: Option<Duration>,
    ) -> Result<(), ExchangeError> {
        let topic = Topic {
            gateway,
            leg,
            party: self.party,
        };
        let message = Bytes::from(message);
        self.order(Order::Send {
            topic,
            message,
            expiry,
        })
        .await
    }

    async fn order(&self, order: Order) -> Result<(), ExchangeError> {
        match tokio::time::timeout(EXCHANGE_PATIENCE, self.orders.send(order)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(ExchangeError::Unsent(Unsent::Ended)),
            Err(_) => Err(self.timeout()),
        }
    }

    fn timeout(&self) -> ExchangeError {
        ExchangeError::Timeout {
            gateway: self.address.clone(),
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Hub")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// A message that is on its way over a hub.
pub struct HubCall<'a> {
    hub: &'a Hub,
    guid: CardId,
    heard: mpsc::Receiver<Heard>,
    until: Option<Instant>,
}

impl HubCall<'_> {
    /// Waits for the next message of the gateway.
    pub(crate) async fn next(&mut self) -> Result<Vec<u8>, ExchangeError> {
        let guid = self.guid;
        let Some(until) = self.until else {
            return Err(self.hub.timeout());
        };
        match tokio::time::timeout_at(until, self.heard.recv()).await {
            Err(_) => Err(self.hub.timeout()),
            Ok(Some(Ok(message))) => Ok(message.to_vec()),
            Ok(Some(Err(trouble))) => Err(trouble.of(guid)),
            Ok(None) => Err(Trouble::Away.of(guid)),
        }
    }

    /// Hands a receipt over; [`Hub::drain`] waits until the broker has it.
    pub(crate) async fn receipt(&self, message: Vec<u8>) -> Result<(), ExchangeError> {
        self.hub.receipt(self.guid, message).await
    }
}

impl Drop for HubCall<'_> {
    fn drop(&mut self) {
        self.hub.listeners.hold().calls.remove(&self.guid);
    }
}

impl fmt::Debug for HubCall<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HubCall")
            .field("guid", &self.guid)
            .finish_non_exhaustive()
    }
}

/// Listens to what gateways send by themselves, as long as the connection lasts.
pub struct Overhearing<'a> {
    hub: &'a Hub,
    /// What the hub has for it; by that the hub's is told from another's that has taken its place.
    into: mpsc::WeakSender<Overheard>,
    heard: mpsc::Receiver<Overheard>,
}

impl Overhearing<'_> {
    /// Waits for the next message, and returns from which gateway it says it is.
    ///
    /// # Errors
    ///
    /// [`ExchangeError`] names why nothing more is heard; [`Hub::overhear`] connects again.
    pub async fn next(&mut self) -> Result<(CardId, Vec<u8>), ExchangeError> {
        match self.heard.recv().await {
            Some(Ok((guid, message))) => Ok((guid, message.to_vec())),
            Some(Err(Trouble::Broker(error))) => Err(ExchangeError::Broker(error)),
            Some(Err(_)) | None => Err(ExchangeError::Unsent(Unsent::Ended)),
        }
    }
}

impl Drop for Overhearing<'_> {
    fn drop(&mut self) {
        let mut listening = self.hub.listeners.hold();
        let own = self.into.upgrade();
        let is_own = |others: &mpsc::Sender<_>| own.as_ref().is_some_and(|own| own.same_channel(others));
        if listening.others.as_ref().is_some_and(is_own) {
            listening.others = None;
        }
    }
}

impl fmt::Debug for Overhearing<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Overhearing").finish_non_exhaustive()
    }
}

/// What the hub's task has in hand.
struct Desk {
    options: Options,
    party: Fingerprint,
    orders: mpsc::Receiver<Order>,
    listeners: Listeners,
}

impl Desk {
    /// Serves until the hub is dropped.
    async fn serve(mut self) {
        while let Some(order) = self.orders.recv().await {
            let error = match Connection::open(self.options.clone()).await {
                Ok(connection) => match self.serve_over(connection, order).await {
                    Ok(()) => return,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            // Whoever waits is told, and what waits to be sent is his who has been told.
            while self.orders.try_recv().is_ok() {}
            self.tell_all(&Arc::new(error));
        }
    }

    /// Serves until the connection ends.
    async fn serve_over(&mut self, mut connection: Connection, first: Order) -> Result<(), ConnectionError> {
        self.follow(first, &mut connection).await?;
        loop {
            tokio::select! {
                order = self.orders.recv(), if connection.waiting() < MAX_WAITING => match order {
                    Some(order) => self.follow(order, &mut connection).await?,
                    None => return Ok(()),
                },
                event = connection.next() => match event? {
                    Event::Message(delivery) => {
                        if let Err(unsent) = connection.acknowledge(&delivery) {
                            tracing::debug!(%unsent, "a message was not acknowledged; it comes again");
                        }
                        if let Ok(Topic { gateway, leg: Leg::Response, party }) = delivery.topic.parse()
                            && party == self.party && delivery.message.len() <= MAX_MESSAGE
                        {
                            self.tell(gateway, Ok(delivery.message));
                        }
                    }
                    Event::Unheard(topic) => self.tell_of(topic, Trouble::Away),
                    Event::NotPassedOn { topic, reason } => self.tell_of(topic, Trouble::NotPassedOn(reason)),
                },
            }
        }
    }

    async fn follow(&self, order: Order, connection: &mut Connection) -> Result<(), ConnectionError> {
        match order {
            Order::Send {
                topic,
                message,
                expiry,
            } => {
                if let Err(unsent) = connection.publish(&topic, message, expiry) {
                    self.tell(topic.gateway, Err(Trouble::Unsent(unsent)));
                }
            }
            Order::Drain(done) => {
                connection.drain().await?;
                // Whoever asked may have gone.
                done.send(()).unwrap_or_default();
            }
            Order::Listen => {}
        }
        Ok(())
    }

    /// Tells who waits for the gateway of a topic, unless it was a receipt: the gateway sends its answer again then.
    fn tell_of(&self, topic: Option<Topic>, trouble: Trouble) {
        if let Some(topic) = topic
            && topic.leg == Leg::Request
        {
            self.tell(topic.gateway, Err(trouble));
        }
    }

    fn tell(&self, gateway: CardId, heard: Heard) {
        let listening = self.listeners.hold();
        let was_taken = match (listening.calls.get(&gateway), &listening.others, heard) {
            (Some(call), _, heard) => call.try_send(heard).is_ok(),
            (None, Some(others), Ok(message)) => others.try_send(Ok((gateway, message))).is_ok(),
            (None, None, _) | (None, Some(_), Err(_)) => true,
        };
        if !was_taken {
            tracing::debug!(%gateway, "a message was dropped; the gateway sends it again");
        }
    }

    fn tell_all(&self, error: &Arc<ConnectionError>) {
        let mut listening = self.listeners.hold();
        // Nothing else will come. Who has no room for the error finds the end behind the messages that are left; his place is
        // kept until he goes.
        for call in listening.calls.values_mut() {
            let (nobody, _) = mpsc::channel(1);
            std::mem::replace(call, nobody)
                .try_send(Err(Trouble::Broker(Arc::clone(error))))
                .unwrap_or_default();
        }
        if let Some(others) = listening.others.take() {
            others
                .try_send(Err(Trouble::Broker(Arc::clone(error))))
                .unwrap_or_default();
        }
    }
}
