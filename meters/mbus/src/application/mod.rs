//! The application layer: telegrams, their header, and the records in them.
//!
//! A [`Telegram`] borrows from its frame; [`Telegram::records`] walks it without allocating. A
//! record that cannot be decoded is marked with its cause, and those behind it are still decoded.
//!
//! Spec: EN 13757-3:2018, sections 5 and 6.

mod bcd;
mod date;
mod header;
mod real;
mod record;
mod telegram;
mod value;
mod vif;

pub use date::{CivilDate, CivilTime};
pub use header::{ApplicationStatus, DeviceType, Header, Identification, Manufacturer, MeterStatus};
pub use real::decimal_of_real;
pub use record::{Function, Record, RecordError, Records};
pub use telegram::{Telegram, TelegramError};
pub use value::{Text, Value};
pub use vif::{Measurand, Vib};
