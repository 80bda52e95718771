//! The stories that the whole system must be able to tell, one module each, in one binary.
//!
//! Every story has its own temporary folder and its own ports, and waits for conditions. The
//! programs must have been built before; `cargo verify` does both.

#[cfg(test)]
mod applications;
#[cfg(test)]
mod apps;
#[cfg(test)]
mod bad_brokers;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod both_ways;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod bundles;
#[cfg(test)]
mod card_life;
#[cfg(test)]
mod card_reader;
#[cfg(test)]
mod card_scripts;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod degraded;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod device;
#[cfg(test)]
mod diagnostics;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod firewall;
#[cfg(test)]
mod first_contact;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod grants;
#[cfg(test)]
mod home_assistant;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod layer;
#[cfg(test)]
mod ldap;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod live;
#[cfg(test)]
mod local_web;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod mbus_tools;
#[cfg(test)]
mod modbus_tools;
#[cfg(test)]
mod openssl;
#[cfg(test)]
mod over_a_broker;
#[cfg(test)]
mod pushes;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod renewed_authority;
#[cfg(test)]
mod revoked;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod second_card;
#[cfg(test)]
mod second_facility;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod supplier_store;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod tsm;
#[cfg(test)]
mod units;
#[cfg(test)]
mod updates;
#[cfg(test)]
mod watchdog;
#[cfg(test)]
mod web_api;
#[cfg(test)]
mod web_hostile;
#[cfg(test)]
mod whole_system;
#[cfg(test)]
mod wiped_card;
#[cfg(test)]
mod wizard;
