//! The TSM (150): suppliers ask it for installations, and it visits gateways.
//!
//! A request comes in through the [`server`], is judged at its [`admission`] by the [`policy`], and waits in the books for
//! an operator or at once for its gateway. The [`worker`] takes up what is due, and a [`delivery`] brings it to one gateway:
//! applications first, then the bundle, through a [`mod@visit`] whose channel ends in the card. The [`transport`] is the way there.

pub(crate) mod admission;
pub(crate) mod delivery;
pub(crate) mod difference;
pub(crate) mod listener;
pub(crate) mod narrow;
pub(crate) mod operator;
pub(crate) mod policy;
pub(crate) mod server;
pub(crate) mod transport;
pub(crate) mod trust;
pub(crate) mod visit;
pub(crate) mod worker;

pub(crate) use visit::{Parties, VisitError, Way, ask_report, open_channel, send_application, visit};
