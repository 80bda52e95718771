//! Whether the daemon is alive: every task and thread shows it, and the service manager is told.
//!
//! A [`Pulses`] knows all of them, a [`Feeder`] looks at them and speaks to systemd (sd_notify(3), sd_watchdog_enabled(3)).
//! The watchdog is fed only while none is stuck, so that a hung task ends in a restart and not in a gateway that answers
//! and no longer registers.

mod feeder;
mod notifier;
mod pulse;
mod vitals;

pub(crate) use feeder::Feeder;
pub(crate) use notifier::Notifier;
pub(crate) use pulse::{Pulses, ThreadPulse, long_work, work};
pub(crate) use vitals::{VitalSigns, Vitals};
