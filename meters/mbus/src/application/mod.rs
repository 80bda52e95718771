//! The application layer: telegrams, their header, and the records in them.
//!
//! A [`Telegram`] borrows from its frame; [`Telegram::records`] walks it without allocating. A
//! record that cannot be decoded is marked with its cause, and those behind it are still decoded.
//! [`Telegram::open`] reads encrypted and compact telegrams too, with an [`Opener`] that holds the
//! key and the [`Formats`] that were learned.
//!
//! Spec: EN 13757-3:2018, sections 5 to 9 and annexes A, B, G; EN 13757-7:2018; OMS specification
//! volume 2, issue 4.1.2, sections 6 and 9.

mod bcd;
mod compact;
mod cursor;
mod date;
mod fault;
mod fixed;
mod header;
mod measurand;
mod modifier;
mod real;
mod record;
mod security;
mod tables;
mod telegram;
mod text;
mod unit;
mod value;
mod vib;

pub use compact::{Formats, signature};
pub use date::{CivilDate, CivilTime, TimeOfDay};
pub use fault::RecordError;
pub use header::{
    ApplicationStatus, DeviceType, Header, HeaderKind, Identification, Manufacturer, MeterStatus,
    SecondaryAddress,
};
pub use measurand::Measurand;
pub use modifier::{Modifier, Modifiers};
pub use real::decimal_of_real;
pub use record::{Function, Record, Records};
pub use security::Key;
pub use telegram::{Opener, Scratch, Telegram, TelegramError};
pub use text::Text;
pub use unit::{Base, Ratio, Unit};
pub use value::{ByteOrder, Value};
pub use vib::{Line, Vib};
