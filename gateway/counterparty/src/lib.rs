//! What a party that speaks to gateways needs, be it the TSM or a supplier.
//!
//! A [`conversation`] seals what the party says and checks what the gateway answers; [`exchange`]
//! is the way to the gateway, directly or over a broker, [`hub`] one connection to a broker for many gateways, [`archive`] keeps what went over it, and [`gateways`] are the
//! certificates by which gateways are known, [`grants`] what an operator writes about them.
//! [`tsm`] is how a supplier asks for what it is to have, [`fetch`] gets what the public directory has. [`files`],
//! [`clock`], [`random`] and [`stop`] are the operating system: files that survive a power cut, the present
//! second, random bytes, and the signals that end a program. What a party says, and what it does with an answer, is its own.

pub mod archive;
pub mod assignments;
pub mod clock;
pub mod conversation;
pub mod exchange;
pub mod fetch;
pub mod files;
pub mod gateways;
pub mod grants;
pub mod hub;
mod line;
pub mod random;
pub mod stop;
pub mod tsm;
