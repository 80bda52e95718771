//! What is asked of the bundles of all gateways.

use std::path::Path;

use counterparty::files::FileError;
use counterparty::gateways::folder_name;
use messages::certificate::Certificate;
use model::CardId;

use super::{Bundles, BundlesError, in_force};
use crate::applications::Applications;
use crate::books::Books;

/// Returns the gateways whose bundle in force names an application of such an author.
pub(crate) fn gateways_with(
    home: &Path,
    is_author: impl Fn(&Certificate) -> bool,
) -> Result<Vec<CardId>, BundlesError> {
    let applications = Applications::of_home(home);
    let mut found = Vec::new();
    for guid in gateways(home)? {
        let folder = home.join("gateways").join(folder_name(guid));
        let entries = in_force(&folder)?.map_or_else(Vec::new, |stored| stored.bundle.applications);
        for entry in entries {
            if applications
                .author(entry.digest)?
                .is_some_and(|author| is_author(&author))
            {
                found.push(guid);
                break;
            }
        }
    }
    Ok(found)
}

/// Returns the gateways that have a folder.
fn gateways(home: &Path) -> Result<Vec<CardId>, BundlesError> {
    let folder = home.join("gateways");
    let entries = match std::fs::read_dir(&folder).map_err(FileError::at(&folder)) {
        Ok(entries) => entries,
        Err(FileError::Missing { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut gateways = Vec::new();
    for entry in entries {
        let name = entry.map_err(FileError::at(&folder))?.file_name();
        // The name is the GUID with dashes for the colons.
        gateways.extend(
            name.to_str()
                .and_then(|name| name.replace('-', ":").parse::<CardId>().ok()),
        );
    }
    Ok(gateways)
}

/// Takes gateways into the books that got their bundles from an earlier version of this program, so that a revocation
/// reaches them too.
pub(crate) fn adopt_all(home: &Path, books: &Books) -> Result<(), BundlesError> {
    for guid in gateways(home)? {
        if books.gateway(guid)?.is_none() {
            let suppliers = Bundles::open(home, guid)?.suppliers_in_force()?;
            books.adopt(guid, &suppliers)?;
        }
    }
    Ok(())
}
