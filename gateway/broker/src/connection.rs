//! A connection to a broker: TLS, MQTT 5 or 3.1.1, a clean session, and the end at the first fault.
//!
//! The client below ([`rumqttc_v5`], [`rumqttc_v4`]) would connect again by itself and carry its own queue over. This one
//! does not: whoever owns the connection decides when to come back, and what to send again is in its outbox.
//!
//! The client loses what it was about to send when it is interrupted, so it has a task of its own, and the owner may give
//! up waiting for it at any time.
//!
//! A message that came in is acknowledged by the owner when it has been dealt with. Until then the broker holds back
//! what would be more than [`MAX_UNACKNOWLEDGED`] at a time, so that a flood waits at the broker.

mod five;
mod pump;
mod three;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::ClientConfig;

use crate::address::BrokerAddress;
use crate::connection::pump::{Events, Pump};
use crate::topic::{EchoTopic, Filter, PresenceTopic, Topic};

/// How many messages a broker may hand over before the first of them is acknowledged (MQTT 5: Receive Maximum; an
/// MQTT 3.1.1 broker has a limit of its own, 20 in Mosquitto).
pub const MAX_UNACKNOWLEDGED: u16 = 16;

/// How many messages the broker may be sent before it has taken the first of them; the broker may take fewer at a time. The
/// client keeps room for so many from the start, some 250 bytes each: without a limit of ours 16 MiB for MQTT 5.
const MAX_UNTAKEN: u16 = 64;

/// How many packets may wait to be sent.
const QUEUED_PACKETS: usize = 32;

/// How long it may take until the broker has let the client in and taken its subscriptions: a handshake with a card that
/// signs for 300 ms and is busy, over a mobile network.
const OPENING_PATIENCE: Duration = Duration::from_secs(30);

/// How long a TCP connection may take, in seconds.
const CONNECT_PATIENCE_S: u64 = 15;

/// After how much silence the client shows that it is there, in seconds; below what the NAT of a mobile network
/// forgets.
const KEEP_ALIVE_S: u16 = 60;

/// What a packet has around the message: the fixed header, the topic, the properties.
const MAX_PACKET_FRAME: usize = 1_024;

/// What a broker says of a client that is connected, retained.
const PRESENT: &[u8] = b"present";
/// What it says of one that is not; the last will.
const AWAY: &[u8] = b"away";

/// The version of MQTT that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// MQTT 5.0.
    #[default]
    Five,
    /// MQTT 3.1.1, which every broker knows.
    ThreeOneOne,
}

/// What a connection is made with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the broker listens.
    pub address: BrokerAddress,
    /// The version of MQTT.
    pub protocol: Protocol,
    /// The client identifier; a broker ends the elder of two connections with the same.
    pub client: String,
    /// The own key and certificates, and the roots that are trusted. The broker's certificate has to name the host.
    pub tls: Arc<ClientConfig>,
    /// Where the broker says that the client is there, if it is to.
    pub presence: Option<PresenceTopic>,
    /// What is subscribed to.
    pub filters: Vec<Filter>,
    /// The length of the longest message that is taken, in bytes.
    pub max_message: usize,
}

impl Options {
    /// Returns the length of the longest packet that is taken, in bytes.
    const fn max_packet(&self) -> usize {
        self.max_message.saturating_add(MAX_PACKET_FRAME)
    }
}

/// The reason why a connection was not made, or has ended.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The broker cannot be reached.
    #[error("the broker {broker} cannot be reached; check its address and the network")]
    Unreachable {
        /// Where it should be.
        broker: BrokerAddress,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The broker did not let the client in in time.
    #[error("the broker {broker} gave no answer within {} s; check that it speaks MQTT over TLS at this port", .patience.as_secs())]
    Silent {
        /// Which broker.
        broker: BrokerAddress,
        /// How long was waited.
        patience: Duration,
    },
    /// TLS failed.
    #[error(
        "no TLS connection to the broker {broker}; check that its certificate names this host and is by the trust centre"
    )]
    Tls {
        /// Which broker.
        broker: BrokerAddress,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The broker does not let the client in.
    #[error(
        "the broker {broker} refuses the client {client:?}: {code}; check its access rules and that it knows this version of MQTT"
    )]
    Refused {
        /// Which broker.
        broker: BrokerAddress,
        /// As whom the client came.
        client: String,
        /// What it says.
        code: String,
    },
    /// The broker does not let the client subscribe.
    #[error("the broker {broker} refuses the subscription to {filter}; check its access rules")]
    Subscription {
        /// Which broker.
        broker: BrokerAddress,
        /// To what.
        filter: Filter,
    },
    /// The broker hands over more than it may before anything is acknowledged.
    #[error(
        "the broker {broker} hands over more than {MAX_UNACKNOWLEDGED} messages that nobody has acknowledged; it does not keep to MQTT"
    )]
    Flood {
        /// Which broker.
        broker: BrokerAddress,
    },
    /// The connection has ended.
    #[error("the connection to the broker {broker} has ended")]
    Ended {
        /// Which broker.
        broker: BrokerAddress,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ConnectionError {
    /// Returns whether coming again soon is of no use: somebody has to change something first.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::Flood { .. } | Self::Tls { .. } => true,
            // A cluster that has lost a node refuses subscriptions for some minutes.
            Self::Subscription { .. }
            | Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Ended { .. } => false,
        }
    }
}

/// A message cannot be handed to the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsent {
    /// Too much waits to be sent.
    #[error("too much waits to be sent to the broker; try again")]
    Full,
    /// The broker takes no message of this length.
    #[error("the broker takes no message of {found} bytes, only up to {limit}")]
    TooLarge {
        /// The length of the packet in bytes.
        found: usize,
        /// The broker's limit in bytes.
        limit: usize,
    },
    /// The connection has ended, or the packet cannot be built.
    #[error("the connection to the broker has ended")]
    Ended,
}

/// What a connection brings.
#[derive(Debug)]
pub enum Event {
    /// A message came in.
    Message(Delivery),
    /// Nobody listens to the topic of a message that was published; MQTT 5 alone says so. Without a topic it is the
    /// presence that nobody wants to know of.
    Unheard(Option<Topic>),
    /// The broker does not pass a message on that was published; MQTT 5 alone says so.
    NotPassedOn {
        /// The message's topic, or none if it is the presence.
        topic: Option<Topic>,
        /// Why, in the broker's words.
        reason: String,
    },
}

/// A message that came in.
#[derive(Debug)]
pub struct Delivery {
    /// Its topic as the broker says it, not yet read.
    pub topic: String,
    /// The message.
    pub message: Bytes,
    receipt: Packet,
}

/// The packet that a message came in, for its acknowledgement.
#[derive(Debug)]
enum Packet {
    Five(Box<rumqttc_v5::Publish>),
    Three(Box<rumqttc_v4::Publish>),
}

/// What happens on a wire, whichever version of MQTT it speaks.
enum Happening {
    /// The broker lets the client in; the longest packet that it takes, in bytes.
    LetIn {
        max_packet: Option<u32>,
    },
    /// The broker takes subscriptions, or not, in their order.
    Subscribed(Vec<bool>),
    Message(Delivery),
    /// A message went out under this number.
    Sent(u16),
    /// The broker has the message of this number; what it says of it, unless all is well.
    Taken(u16, Option<Objection>),
    Other,
}

/// What a broker has against a message.
enum Objection {
    Unheard,
    NotPassedOn(String),
}

enum Wire {
    Five(five::Wire),
    Three(three::Wire),
}

/// A connection to a broker, which is subscribed to everything that it was to.
pub struct Connection {
    wire: Wire,
    pump: Pump,
    options: Options,
    max_packet: Option<u32>,
    /// The topics of what was handed over and has not gone out yet, in order.
    handed_over: VecDeque<Option<Topic>>,
    /// The topics of what the broker has not taken yet, by the numbers of the packets.
    untaken: BTreeMap<u16, Option<Topic>>,
    /// What came in while something else was waited for.
    early: VecDeque<Event>,
}

impl Connection {
    /// Connects, subscribes, and says that the client is there.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`] if the broker cannot be reached, does not let the client in, or refuses a subscription.
    pub async fn open(options: Options) -> Result<Self, ConnectionError> {
        let (wire, events) = match options.protocol {
            Protocol::Five => {
                let (wire, events) = five::Wire::new(&options);
                (Wire::Five(wire), Events::Five(Box::new(events)))
            }
            Protocol::ThreeOneOne => {
                let (wire, events) = three::Wire::new(&options);
                (Wire::Three(wire), Events::Three(Box::new(events)))
            }
        };
        let mut connection = Self {
            wire,
            pump: Pump::start(events, options.clone()),
            options,
            max_packet: None,
            handed_over: VecDeque::new(),
            untaken: BTreeMap::new(),
            early: VecDeque::new(),
        };
        match tokio::time::timeout(OPENING_PATIENCE, connection.come_in()).await {
            Ok(Ok(())) => Ok(connection),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ConnectionError::Silent {
                broker: connection.options.address,
                patience: OPENING_PATIENCE,
            }),
        }
    }

    async fn come_in(&mut self) -> Result<(), ConnectionError> {
        loop {
            match self.happening().await? {
                Happening::LetIn { max_packet } => {
                    self.max_packet = max_packet;
                    break;
                }
                Happening::Subscribed(_)
                | Happening::Message(_)
                | Happening::Sent(_)
                | Happening::Taken(..)
                | Happening::Other => {}
            }
        }
        let filters: Vec<&str> = self.options.filters.iter().map(Filter::as_str).collect();
        let subscribing = match &self.wire {
            Wire::Five(wire) => wire.subscribe(&filters),
            Wire::Three(wire) => wire.subscribe(&filters),
        };
        subscribing.map_err(|unsent| self.ended(unsent))?;
        loop {
            match self.happening().await? {
                Happening::Subscribed(taken) => {
                    self.check_subscriptions(&taken)?;
                    break;
                }
                // The broker may hand over a message before it says that it has subscribed the client.
                Happening::Message(delivery) => self.keep(Event::Message(delivery))?,
                Happening::LetIn { .. } | Happening::Sent(_) | Happening::Taken(..) | Happening::Other => {}
            }
        }
        self.announce().map_err(|unsent| self.ended(unsent))
    }

    fn check_subscriptions(&self, taken: &[bool]) -> Result<(), ConnectionError> {
        let refused = self
            .options
            .filters
            .iter()
            .enumerate()
            .find(|(place, _)| taken.get(*place) != Some(&true));
        match refused {
            Some((_, filter)) => Err(ConnectionError::Subscription {
                broker: self.options.address.clone(),
                filter: filter.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Waits for what comes next. It has to be called again and again: soon nothing more comes or goes otherwise. A call
    /// that is given up loses nothing.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`] when the connection has ended.
    pub async fn next(&mut self) -> Result<Event, ConnectionError> {
        if let Some(event) = self.early.pop_front() {
            return Ok(event);
        }
        loop {
            if let Some(event) = self.event().await? {
                return Ok(event);
            }
        }
    }

    /// Waits until the broker has everything that was handed over. What comes in meanwhile is kept.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`] when the connection has ended.
    pub async fn drain(&mut self) -> Result<(), ConnectionError> {
        while self.waiting() > 0 {
            if let Some(event) = self.event().await? {
                self.keep(event)?;
            }
        }
        Ok(())
    }

    /// Returns how many messages were handed over that the broker does not have yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.handed_over.len().saturating_add(self.untaken.len())
    }

    async fn event(&mut self) -> Result<Option<Event>, ConnectionError> {
        Ok(match self.happening().await? {
            Happening::Message(delivery) => Some(Event::Message(delivery)),
            Happening::Sent(number) => {
                let topic = self.handed_over.pop_front().flatten();
                self.untaken.insert(number, topic);
                None
            }
            Happening::Taken(number, objection) => {
                let topic = self.untaken.remove(&number).flatten();
                objection.map(|objection| match objection {
                    Objection::Unheard => Event::Unheard(topic),
                    Objection::NotPassedOn(reason) => Event::NotPassedOn { topic, reason },
                })
            }
            Happening::LetIn { .. } | Happening::Subscribed(_) | Happening::Other => None,
        })
    }

    /// Returns the length of the longest message that the broker says to take, in bytes; it says nothing in MQTT 3.1.1.
    #[must_use]
    pub fn longest_message(&self) -> usize {
        let limit = self.max_packet.and_then(|limit| usize::try_from(limit).ok());
        limit.map_or(usize::MAX, |limit| limit.saturating_sub(MAX_PACKET_FRAME))
    }

    /// Hands a message over to be sent at least once. With `expiry`, a broker that knows it (MQTT 5) forgets the message
    /// after that time.
    ///
    /// # Errors
    ///
    /// [`Unsent`]; the message is not sent then.
    pub fn publish(&mut self, topic: &Topic, message: Bytes, expiry: Option<Duration>) -> Result<(), Unsent> {
        let found = message.len().saturating_add(MAX_PACKET_FRAME);
        let limit = self
            .max_packet
            .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        if found > limit {
            return Err(Unsent::TooLarge { found, limit });
        }
        match &self.wire {
            Wire::Five(wire) => wire.publish(topic.to_string(), message, expiry),
            Wire::Three(wire) => wire.publish(topic.to_string(), message),
        }?;
        self.handed_over.push_back(Some(*topic));
        Ok(())
    }

    /// Says something to oneself, through the broker: it comes back as a message, to whoever has subscribed to
    /// [`Filter::echo`].
    ///
    /// # Errors
    ///
    /// [`Unsent`]; it is not sent then.
    pub fn say_to_oneself(&mut self, topic: EchoTopic, message: Bytes) -> Result<(), Unsent> {
        match &self.wire {
            Wire::Five(wire) => wire.publish(topic.to_string(), message, None),
            Wire::Three(wire) => wire.publish(topic.to_string(), message),
        }?;
        self.handed_over.push_back(None);
        Ok(())
    }

    /// Says to the broker that a message has been dealt with.
    ///
    /// # Errors
    ///
    /// [`Unsent`] if that cannot be said; the broker hands the message over again in the next session, if it keeps one.
    pub fn acknowledge(&self, delivery: &Delivery) -> Result<(), Unsent> {
        match (&self.wire, &delivery.receipt) {
            (Wire::Five(wire), Packet::Five(packet)) => wire.acknowledge(packet),
            (Wire::Three(wire), Packet::Three(packet)) => wire.acknowledge(packet),
            (Wire::Five(_), Packet::Three(_)) | (Wire::Three(_), Packet::Five(_)) => Err(Unsent::Ended),
        }
    }

    /// Says that the client is there. That it is not any more, the broker says by itself: a connection ends without a
    /// farewell.
    fn announce(&mut self) -> Result<(), Unsent> {
        let Some(topic) = &self.options.presence else {
            return Ok(());
        };
        match &self.wire {
            Wire::Five(wire) => wire.announce(topic.to_string(), PRESENT),
            Wire::Three(wire) => wire.announce(topic.to_string(), PRESENT),
        }?;
        self.handed_over.push_back(None);
        Ok(())
    }

    async fn happening(&mut self) -> Result<Happening, ConnectionError> {
        let happening = self.pump.next().await;
        happening.unwrap_or_else(|| Err(self.ended(Unsent::Ended)))
    }

    /// Keeps for later what came in while something else was waited for.
    fn keep(&mut self, event: Event) -> Result<(), ConnectionError> {
        if self.early.len() >= usize::from(MAX_UNACKNOWLEDGED) {
            return Err(ConnectionError::Flood {
                broker: self.options.address.clone(),
            });
        }
        self.early.push_back(event);
        Ok(())
    }

    fn ended(&self, unsent: Unsent) -> ConnectionError {
        ConnectionError::Ended {
            broker: self.options.address.clone(),
            source: Box::new(unsent),
        }
    }
}

/// A fault of the stream while TLS was being set up: of TLS if it names one, else of the network.
fn of_handshake(broker: BrokerAddress, source: io::Error) -> ConnectionError {
    if source.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
        return ConnectionError::Tls {
            broker,
            source: Box::new(source),
        };
    }
    ConnectionError::Unreachable { broker, source }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connection")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
