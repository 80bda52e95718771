//! Metering: every registration period the buses are read, and what the meters say is registered
//! for good, in one transaction for each point of the grid. Between those points, fast values are read for
//! display if that is configured; they live in memory alone.
//!
//! Metering goes on in every state of the gateway. What it needs is the store alone; a store that
//! fails stops the daemon, since nothing may be served that was not kept.

mod grid;
mod history;
mod registrar;
mod round;
mod view;

pub(crate) use grid::{keep_the_grid, keep_the_live_grid};
pub(crate) use history::{HistoryFailed, keep_the_history};
pub(crate) use registrar::{Registrar, RegistrationFailed};
#[cfg(test)]
pub(crate) use view::ValueView;
pub(crate) use view::{MeterView, StatisticsView};

/// How many reports of meters can wait to be registered; the buses wait when they are more.
pub(crate) const REPORTS: usize = 256;

/// How many missed rounds can wait to be noted: one for each bus and point of the grid.
pub(crate) const MISSED: usize = 64;
