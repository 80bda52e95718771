//! The card in its reader, and what the gateway may do because of it.
//!
//! PC/SC calls block, so one thread owns the card: the [`custodian`]. Everybody else has a
//! [`CardHandle`]. The custodian also owns the binding, since both only mean something together:
//! it examines every card that appears, binds the first one, and publishes the [`Standing`] that
//! decides what is served.

mod confirmation;
mod custodian;
mod examination;
mod handle;
mod hold;
mod inspection;
mod keys;
mod monitor;
mod obstacle;
mod pairings;
mod pcsc;
mod queue;
mod reader;
mod relay;
mod removal;
mod rollback;
mod selftest;
mod slot;
#[cfg(feature = "soft-card")]
mod soft;
mod standing;
mod tls;
mod view;

#[cfg(test)]
#[cfg(feature = "soft-card")]
pub(crate) use examination::tests::Center;

pub(crate) use confirmation::{Confirmation, Confirmed, NotConfirmed, are_last_characters};
pub(crate) use custodian::{Custodian, CustodianThread};
pub(crate) use handle::{CardCalls, CardFault, CardHandle};
pub(crate) use inspection::inspect;
pub(crate) use keys::CardKeys;
pub(crate) use reader::SOFT_CARD;
pub(crate) use relay::{Apdus, DirectCard, check_validity, relay_lines};
pub(crate) use selftest::{Order, SelftestView, selftest};
pub(crate) use slot::Slot;
pub(crate) use standing::{Bundle, Identity, Standing};
pub(crate) use tls::{TlsSetupError, client_config, server_config};
pub(crate) use view::{BindingOfCard, CardView};
