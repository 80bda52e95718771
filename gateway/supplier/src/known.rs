//! The gateways that the supplier may ask, where they are reached, and lists of them.

use std::path::{Path, PathBuf};

use counterparty::exchange::{GatewayAddress, GatewayAddressError};
use counterparty::files::{self, Access, FileError};
use counterparty::gateways::folder_name;
use model::CardId;

use crate::fleet::Target;
use crate::home::Home;

/// How many gateways a supplier has at most: more than any metering-point operator reads.
const MAX_GATEWAYS: usize = 1_000_000;
/// The greatest length of an address in bytes: a host name has 255.
const MAX_ADDRESS: usize = 512;
/// The greatest size of a list in bytes: a GUID and an address for each of the most gateways.
const MAX_LIST: usize = 128 * MAX_GATEWAYS;

/// The reason why it is not known which gateways to ask, or where.
#[derive(Debug, thiserror::Error)]
pub enum KnownError {
    /// A file cannot be read or written.
    #[error("the gateways that are known cannot be read or written")]
    File(#[from] FileError),
    /// The folder of a gateway is missing.
    #[error(
        "the gateway {guid} is not known; take its certificates over first (`supplier requests`, or \
         `trust-center install` on the supplier's folder)"
    )]
    Unknown {
        /// The GUID of the gateway's card.
        guid: CardId,
    },
    /// An address in the folder is none.
    #[error("{} holds no address; set it again (`supplier gateways add`)", path.display())]
    Address {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: GatewayAddressError,
    },
    /// There are more gateways than any supplier has.
    #[error("there are more than {MAX_GATEWAYS} gateways; divide them among several folders or lists")]
    TooMany,
    /// A line of a list cannot be read.
    #[error("line {line} of {} is none of the form GUID [ADDRESS]", path.display())]
    Line {
        /// The list.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// The gateway has no address.
    #[error("nobody knows where the gateway {guid} is reached; name its address (--gateway)")]
    NoAddress {
        /// The GUID of the gateway's card.
        guid: CardId,
    },
}

/// A gateway that the supplier may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownGateway {
    /// The gateway, by its card's GUID.
    pub guid: CardId,
    /// Where it is reached, if somebody has said so; otherwise at its GUID.
    pub address: Option<GatewayAddress>,
}

impl KnownGateway {
    /// Returns where the gateway is reached: where somebody has said, or where all are, or at its GUID.
    ///
    /// # Errors
    ///
    /// [`KnownError::NoAddress`] if the GUID makes no address.
    pub fn target(self, all: Option<&GatewayAddress>) -> Result<Target, KnownError> {
        let guid = self.guid;
        let address = self.address.or_else(|| all.cloned());
        let address = address.or_else(|| GatewayAddress::of_guid(guid));
        let address = address.ok_or(KnownError::NoAddress { guid })?;
        Ok(Target { guid, address })
    }
}

impl Home {
    /// Returns every gateway whose certificates are here, by GUID.
    ///
    /// # Errors
    ///
    /// [`KnownError`] if the folder or an address cannot be read.
    pub fn gateways(&self) -> Result<Vec<KnownGateway>, KnownError> {
        let folder = self.folder().join("gateways");
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(FileError::at(&folder)(error).into()),
        };
        let mut gateways = Vec::new();
        for entry in entries {
            let name = entry.map_err(FileError::at(&folder))?.file_name();
            // What has another name is not the folder of a gateway.
            let Ok(guid) = name.to_string_lossy().replace('-', ":").parse() else {
                continue;
            };
            if gateways.len() >= MAX_GATEWAYS {
                return Err(KnownError::TooMany);
            }
            gateways.push(self.known(guid)?);
        }
        gateways.sort_by_key(|gateway| gateway.guid);
        Ok(gateways)
    }

    /// Returns what is known of where a gateway is reached.
    ///
    /// # Errors
    ///
    /// [`KnownError`] if its address cannot be read.
    pub fn known(&self, guid: CardId) -> Result<KnownGateway, KnownError> {
        let path = self.address_file(guid);
        let address = match files::read_text(&path, MAX_ADDRESS) {
            Ok(text) => {
                let address = text.trim().parse();
                Some(address.map_err(|source| KnownError::Address { path, source })?)
            }
            Err(FileError::Missing { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(KnownGateway { guid, address })
    }

    /// Takes note of where a gateway is reached.
    ///
    /// # Errors
    ///
    /// [`KnownError::Unknown`] if its certificates are not here, [`KnownError::File`] if it cannot be written.
    pub fn set_address(&self, guid: CardId, address: &GatewayAddress) -> Result<(), KnownError> {
        let path = self.address_file(guid);
        match files::replace(&path, format!("{address}\n").as_bytes(), Access::Public) {
            Err(FileError::Missing { .. }) => Err(KnownError::Unknown { guid }),
            done => Ok(done?),
        }
    }

    /// Reads a list of gateways: a GUID on each line, and behind it where the gateway is reached, unless that is known.
    ///
    /// # Errors
    ///
    /// [`KnownError`] names the line that is none.
    pub fn read_list(&self, path: &Path) -> Result<Vec<KnownGateway>, KnownError> {
        let text = files::read_text(path, MAX_LIST)?;
        let mut gateways = Vec::new();
        for (line, text) in text.lines().enumerate() {
            let text = text.split('#').next().unwrap_or_default();
            let wrong = || KnownError::Line {
                path: path.to_owned(),
                line: line.saturating_add(1),
            };
            let mut words = text.split_whitespace();
            let Some(guid) = words.next() else {
                continue;
            };
            let guid = guid.parse().map_err(|_| wrong())?;
            let gateway = match words.next() {
                Some(address) => KnownGateway {
                    guid,
                    address: Some(address.parse().map_err(|_| wrong())?),
                },
                None => self.known(guid)?,
            };
            if words.next().is_some() {
                return Err(wrong());
            }
            if gateways.len() >= MAX_GATEWAYS {
                return Err(KnownError::TooMany);
            }
            gateways.push(gateway);
        }
        Ok(gateways)
    }

    fn address_file(&self, guid: CardId) -> PathBuf {
        let folder = self.folder().join("gateways").join(folder_name(guid));
        folder.join("address")
    }
}
