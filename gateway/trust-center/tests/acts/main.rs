//! The program as its operator calls it: certificates that foreign tools judge, keys in an HSM, books on a server,
//! batches that are killed, the directory.

#[cfg(test)]
#[cfg(feature = "soft-card")]
mod batches;
#[cfg(test)]
#[cfg(feature = "soft-card")]
mod broker_acl;
#[cfg(test)]
#[cfg(feature = "soft-card")]
mod cancelled_deliveries;
#[cfg(test)]
#[cfg(feature = "soft-card")]
mod certificates;
#[cfg(test)]
#[cfg(feature = "soft-card")]
mod cluster;
#[cfg(test)]
#[cfg(feature = "soft-card")]
mod directory;
#[cfg(test)]
#[cfg(feature = "soft-card")]
mod facility;
#[cfg(test)]
#[cfg(feature = "soft-card")]
mod full_disk;
#[cfg(test)]
#[cfg(feature = "soft-card")]
mod hsm;
#[cfg(test)]
#[cfg(feature = "soft-card")]
mod keys_from_center;
#[cfg(test)]
#[cfg(feature = "soft-card")]
mod material;
#[cfg(test)]
#[cfg(feature = "soft-card")]
mod postgres;
#[cfg(test)]
#[cfg(feature = "soft-card")]
mod stage;
