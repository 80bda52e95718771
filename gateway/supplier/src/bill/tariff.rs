//! The tariff in its file.

use std::path::{Path, PathBuf};

use billing::{Tariff, TariffError};
use counterparty::files::{self, FileError};
use jiff::tz::TimeZone;

/// The greatest size of a tariff file in bytes.
const MAX_FILE: usize = 64 * 1_024;

/// The reason why a tariff cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TariffFileError {
    /// The file cannot be read.
    #[error("the tariff cannot be read")]
    File(#[from] FileError),
    /// The file is no tariff.
    #[error("{} is no tariff; the supplier's README has an example", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Why not, with line and key.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The tariff is not in order.
    #[error(transparent)]
    Tariff(#[from] TariffError),
}

/// Reads a tariff.
///
/// # Errors
///
/// [`TariffFileError`] names what is wrong in it.
pub fn read_tariff(path: &Path) -> Result<Tariff, TariffFileError> {
    let text = files::read_text(path, MAX_FILE)?;
    parse(&text, path)
}

pub(super) fn parse(text: &str, path: &Path) -> Result<Tariff, TariffFileError> {
    let document = toml::from_str(text).map_err(|source| TariffFileError::Form {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    Ok(Tariff::new(document, |name| zone(name).ok())?)
}

/// Returns a time zone by its name.
///
/// # Errors
///
/// [`TariffError::Zone`] if there is none of this name.
pub fn zone(name: &str) -> Result<TimeZone, TariffFileError> {
    let unknown = || TariffError::Zone {
        name: name.to_owned(),
    };
    TimeZone::get(name).map_err(|_| unknown().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_tariffs_are_named() {
        let parse = |text: &str| parse(text, Path::new("tariff.toml"));
        let text =
            "currency = \"EUR\"\nplaces = 2\n[[stage]]\nname = \"n\"\nelements = [\"*\"]\nunit = \"kWh\"\n";
        assert!(parse(&format!("{text}price = \"0.3\"")).is_ok());
        for wrong in ["price = 0.3", "price = \"0.3\"\ncolour = 1", ""] {
            let error = parse(&format!("{text}{wrong}")).unwrap_err();
            assert!(matches!(error, TariffFileError::Form { .. }), "{error}");
        }
        let error = parse(&format!("{text}price = \"0.3\"").replace("kWh", "kWx")).unwrap_err();
        assert!(
            matches!(error, TariffFileError::Tariff(TariffError::Unit { .. })),
            "{error}"
        );
        let unknown = zone("Europe/Atlantis").unwrap_err();
        assert!(
            matches!(unknown, TariffFileError::Tariff(TariffError::Zone { .. })),
            "{unknown}"
        );
        let missing = read_tariff(Path::new("/nowhere"));
        assert!(matches!(missing, Err(TariffFileError::File(_))));
    }
}
