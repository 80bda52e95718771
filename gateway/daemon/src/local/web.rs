//! The local web: for the technician with a phone in the cellar and the consumer in the kitchen, without internet.
//!
//! There are two doors. The one on a loopback address has no login: whoever gets there is on the device already; it shows the
//! state and the last values, and tells health metrics. The other one is for the network of the house: HTTPS with a
//! certificate of the gateway's own, and nothing without a login. No page needs a script, and none loads anything from
//! elsewhere.

mod accounts;
mod api;
mod asked;
mod bucket;
mod calendar;
mod catalogue;
mod certificate;
mod chart;
mod control;
mod deliveries;
mod denials;
mod gate;
mod headers;
mod history;
mod home_assistant;
mod host;
mod household;
mod language;
mod live;
mod loopback;
mod metrics;
mod openapi;
mod pages;
mod paper;
mod password;
mod portal;
mod prices;
mod reckoning;
mod rejection;
mod roster;
mod secret;
mod sent;
mod session;
mod shelf;
#[cfg(test)]
mod testing;
mod told;
mod transparency;
mod walk;
mod wizard;
mod zone;

pub(crate) use catalogue::german_of;
pub(crate) use control::{AccessSource, router as control_router};
pub(crate) use control::{CERTIFICATE, Certificate, Issue, Issued, NewCertificate, PASSWORD, RESET, Reset};
pub(crate) use headers::Ends;
pub(crate) use home_assistant::HomeAssistant;
pub(crate) use language::Language;
pub(crate) use loopback::serve as serve_loopback;
pub(crate) use password::Password;
pub(crate) use portal::{Portal, serve};
pub(crate) use roster::{CONSUMER, Consumer, MOST_CONSUMERS, TECHNICIAN};
pub(crate) use shelf::Shelf;
pub(crate) use wizard::{INSTALLATION_REPORT, InstallationReport, report_router};
pub(crate) use wizard::{Line, Site, Wizard, work};
pub(crate) use zone::Zone;
