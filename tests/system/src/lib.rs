//! The whole system as processes, driven through its real doors: command lines, files, sockets.
//!
//! A [`Stage`] is the folder of one run; it founds the trust centre, suppliers and cards.
//! [`Stage::start_meters`] and [`Stage::start_gateway`] start what keeps running, and a [`House`]
//! is all of it together, from the blank card to the first grant. The crate knows none of the
//! product's crates: what it asserts was seen from the outside. It is not a test itself; the
//! stories stand in `tests/stories`, and `cargo demo` tells the same story to a person.

mod answers;
mod broker;
mod cluster;
mod directory;
mod error;
mod facility;
mod files;
mod fleet;
mod gateway;
mod house;
mod network;
mod process;
mod programs;
mod proxy;
mod reader;
mod stage;
mod supplier;
mod token;
mod tsm;
mod updates;
mod wait;

pub use answers::{
    Answer, BrokerStatus, Certified, Finding, Installed, MeterAddresses, MeterStatus, MeterValue,
    Personalized, Point, Pull, PullSeries, Refusal, Renewed, Status, read_answer,
};
pub use broker::{Broker, BrokerUser};
pub use cluster::Cluster;
pub use directory::LdapServer;
pub use error::{LogTail, StageError};
pub use facility::Facility;
pub use files::{CardPlace, GatewayConfig, GrantText, Wan};
pub use fleet::{FleetState, SimulatedGateways};
pub use gateway::{Gateway, Meters};
pub use house::{COUNTER, GRANTED, Grade, HISTORY, House, HouseReader, UNGRANTED, grants_of_the_house};
pub use network::{Host, Network};
pub use process::{Command, Finished, Process};
pub use programs::{Program, Programs};
pub use proxy::BadNetwork;
pub use reader::{CardReader, SoftCard};
pub use stage::{Card, Folder, Stage};
pub use supplier::{Period, Query, Supplier};
pub use token::HsmToken;
pub use tsm::{Requested, Tsm};
pub use updates::{RAUC_SETTINGS, UPDATE_KEYS, update_manifest};
pub use wait::{Deadline, Interrupt, wait_until};
