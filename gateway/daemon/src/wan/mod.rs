//! The WAN, direct: HTTPS with mutual TLS 1.3 at the gateway's own address.
//!
//! There is one door, `POST /smgw/v1/messages`, and what goes through it is a signed and encrypted
//! message; the transport adds nothing to what the message itself proves. Connections are taken
//! only in states that serve, and end when the card goes.

mod answer;
mod condition;
mod exchange;
mod install;
mod rejection;
mod server;

pub(crate) use exchange::Exchange;
pub(crate) use server::serve;
