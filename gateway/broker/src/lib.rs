//! The way over an MQTT broker, the same from both ends: a gateway's, and a supplier's or the TSM's.
//!
//! A [`Topic`] says between whom a message goes; a [`Connection`] carries messages over MQTT 5 or 3.1.1 inside TLS and
//! ends with the first fault; a [`Return`] says when to come back. What the messages say, and whether they are genuine,
//! is decided elsewhere: the broker is trusted with nothing, and nothing that it adds is believed.
//!
//! A [`Bulletin`] is something else: what is pinned up at a broker of the house, with the consumer's will.
//!
//! Every connection begins clean. What is to survive a broker stands in the outbox of its sender until the
//! recipient's signed receipt has come.

mod address;
mod backoff;
mod bulletin;
mod connection;
mod topic;

pub use address::{BrokerAddress, BrokerAddressError};
pub use backoff::{Patience, Return, part_of};
pub use bulletin::{Bulletin, BulletinError, BulletinOptions};
pub use connection::{
    Connection, ConnectionError, Delivery, Event, MAX_UNACKNOWLEDGED, Options, Protocol, Unsent,
};
pub use topic::{EchoTopic, Filter, Group, GroupError, Leg, PresenceTopic, Topic, TopicError};
