//! Stores on a server, and on a disk that is full.

#[cfg(test)]
#[path = "../../../trust-center/tests/acts/cluster.rs"]
mod cluster;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod stage;
