//! The words of the smart-meter gateway: identifiers, quantities, readings, grants and states.
//!
//! Every other crate speaks in these types. Each one can only be made through a door that checks
//! it, so that a value which exists is a value which is valid. This crate does no I/O, reads no
//! clock and holds no protocol; how a word looks on a wire or on disk is its text form or its
//! serde form, and both are documented at the type.
#![warn(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]

mod aggregation;
mod app;
mod binding;
mod delivery;
mod element;
mod grant;
mod identity;
mod limit;
mod log;
mod obis;
mod quantity;
mod reading;
mod restriction;
mod series;
mod state;
mod text;
mod time;
mod window;

pub use aggregation::{Aggregation, ParseAggregationError, Summary};
pub use app::{AppId, AppWordError, Texts, Version};
pub use binding::Binding;
pub use delivery::{DeliveryError, DeliveryRule, Identity, Pseudonym, Side, Trigger};
pub use element::{Element, ElementPattern, Medium, MeterId, MeterIdError, ParseElementPatternError};
pub use grant::{Grant, GrantError, Purpose, PurposeError, Query};
pub use identity::{CardId, Fingerprint, GatewayId, KeySlot, ParseIdentityError};
pub use limit::Limit;
pub use log::{
    CalibrationEvent, ConsumerEvent, LogEvent, LogHash, LogHead, LogKind, LogText, LogWordError, SystemEvent,
};
pub use obis::{Obis, ObisPattern, ParseObisError};
pub use quantity::{Decimal, ParseDecimalError, ParseUnitError, Quantity, Unit};
pub use reading::{Gap, GapReason, Reading, Sample, Status};
pub use restriction::{Effect, RestrictedSupplier, Restriction};
pub use series::{Series, SeriesError};
pub use state::GatewayState;
pub use time::{ParseTimeError, Period, Span, Timestamp};
pub use window::{ParseWindowError, Window, Zone};
