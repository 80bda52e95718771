//! The WAN: two ways on which the same messages come and go.
//!
//! The direct one ([`server`]) is HTTPS with mutual TLS 1.3 at the gateway's own address. There is one door,
//! `POST /smgw/v1/messages`. On the other one ([`broker`]) the gateway dials out to an MQTT broker. What goes over either
//! is a signed and encrypted message; the way adds nothing to what the message itself proves. Connections are taken
//! only in states that serve, and end when the card goes.

mod answer;
mod broker;
mod condition;
mod exchange;
mod install;
mod push;
mod rejection;
mod server;
mod turns;

pub(crate) use broker::{BrokerConfig, BrokerView, BrokerWay, EchoSeen, TlsSeen, try_echo, try_tls};
pub(crate) use exchange::Exchange;
pub(crate) use push::{Samples, keep_the_schedules, sample};
pub(crate) use server::serve;
