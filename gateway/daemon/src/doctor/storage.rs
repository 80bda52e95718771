//! The data folder: whether it is there, whose it is, how much room there is, and the key beside it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{Access, access, statvfs};
use store::DeviceKey;

use super::check::{Area, Check};
use crate::codes::examination as codes;
use crate::report::Chain;

/// With less room than this, in bytes, what is measured cannot be stored: a database's log grows to that between two clean-ups.
const FULL_BELOW: u64 = 4 << 20;
/// With less room than this, in bytes, somebody should look: readings of some months.
const LOW_BELOW: u64 = 64 << 20;
/// With less room than this, in bytes, two years of values may not fit, which is to be known when the gateway is installed.
const SMALL_BELOW: u64 = 512 << 20;
/// The folder of what the key seals.
const BINDINGS: &str = "bindings";
/// The file with the device key, where the configuration names none.
const OWN_KEY: &str = "device.key";

/// Looks at the folder: it has to be there, open to its user and to nobody else.
pub(crate) fn folder(data: &Path) -> Check {
    let what = "folder";
    let shown = data.display();
    let found = match fs::metadata(data) {
        Ok(found) if found.is_dir() => found,
        Ok(_) => {
            let found = format!("{shown} is no folder");
            return Check::error(Area::Data, what, codes::DATA_MISSING, found);
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Check::error(Area::Data, what, codes::DATA_RIGHTS, format!("{shown}: {error}"));
        }
        Err(error) => {
            return Check::error(Area::Data, what, codes::DATA_MISSING, format!("{shown}: {error}"));
        }
    };
    if let Err(error) = access(data, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        let found = format!("{shown}: {}", io::Error::from(error));
        return Check::error(Area::Data, what, codes::DATA_RIGHTS, found);
    }
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let found = format!("{shown} has mode {mode:04o}");
        return Check::warning(Area::Data, what, codes::DATA_OPEN, found);
    }
    Check::good(Area::Data, what, format!("{shown}, mode {mode:04o}"))
}

/// Measures how much room there is on the partition.
pub(crate) fn space(data: &Path) -> Check {
    match statvfs(data) {
        Ok(found) => {
            let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
            judge_space(bytes(found.f_bavail), bytes(found.f_blocks))
        }
        Err(error) => {
            let found = format!("{}: {}", data.display(), io::Error::from(error));
            Check::error(Area::Data, "space", codes::DATA_UNKNOWN, found)
        }
    }
}

/// Judges the room on the partition, in bytes.
fn judge_space(available: u64, total: u64) -> Check {
    let found = format!("{} MiB of {} MiB are free", available >> 20, total >> 20);
    let check = match available {
        ..FULL_BELOW => Check::error(Area::Data, "space", codes::DATA_FULL, found),
        FULL_BELOW..LOW_BELOW => Check::warning(Area::Data, "space", codes::DATA_LOW, found),
        LOW_BELOW..SMALL_BELOW => Check::notice(Area::Data, "space", codes::DATA_SMALL, found),
        _ => Check::good(Area::Data, "space", found),
    };
    check.measuring(format!("{} MiB / {} MiB", available >> 20, total >> 20))
}

/// Reads the key that seals the bindings, and says only that it is one.
pub(crate) fn device_key(configured: Option<&Path>, data: &Path) -> Check {
    let what = "device key";
    let own = data.join(OWN_KEY);
    let file = configured.unwrap_or(&own);
    let shown = file.display();
    let is_missing = |file: &Path| matches!(file.try_exists(), Ok(false));
    // With bindings that it does not fit, no new one is made.
    if configured.is_none() && is_missing(file) && is_missing(&data.join(BINDINGS)) {
        let why = format!("there is no {shown} yet; the gateway makes it at its first start");
        return Check::not_checked(Area::Data, what, why);
    }
    match DeviceKey::read(file) {
        Ok(_) if configured.is_none() => {
            let found = shown.to_string();
            Check::notice(Area::Data, what, codes::KEY_WITH_DATA, found.clone()).measuring(found)
        }
        Ok(_) => Check::good(Area::Data, what, shown.to_string()).measuring(shown.to_string()),
        Err(error) => {
            let found = format!("{shown}: {}", Chain(&error));
            Check::error(Area::Data, what, codes::KEY_MISSING, found)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::super::check::Outcome;
    use super::*;

    fn code(check: &Check) -> Option<&str> {
        check.code.as_deref()
    }

    #[test]
    fn folder_that_is_missing_open_or_no_folder_is_told_apart() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(code(&folder(&root.path().join("none"))), Some("SMGW-D-0201"));
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(code(&folder(&file)), Some("SMGW-D-0201"));
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        let open = folder(root.path());
        assert_eq!(
            (open.outcome, code(&open)),
            (Outcome::Warning, Some("SMGW-D-0203"))
        );
        fs::set_permissions(root.path(), Permissions::from_mode(0o700)).unwrap();
        assert_eq!(folder(root.path()).outcome, Outcome::Good);
    }

    #[test]
    fn full_partition_is_an_error_and_a_nearly_full_one_a_warning() {
        for (available, expected) in [
            (0, Some("SMGW-D-0204")),
            (FULL_BELOW - 1, Some("SMGW-D-0204")),
            (FULL_BELOW, Some("SMGW-D-0205")),
            (LOW_BELOW - 1, Some("SMGW-D-0205")),
            (LOW_BELOW, Some("SMGW-D-0208")),
            (SMALL_BELOW - 1, Some("SMGW-D-0208")),
            (SMALL_BELOW, None),
        ] {
            let judged = judge_space(available, 1 << 30);
            assert_eq!(code(&judged), expected, "{available}");
            let is_fault = expected.is_some_and(|code| code != "SMGW-D-0208");
            assert_eq!(judged.is_finding(), is_fault, "{available}");
        }
        let root = tempfile::tempdir().unwrap();
        assert!(space(root.path()).found.contains("MiB are free"));
        assert_eq!(code(&space(&root.path().join("none"))), Some("SMGW-D-0206"));
    }

    #[test]
    fn key_of_its_own_may_be_missing_before_the_first_start_and_a_named_one_never() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(device_key(None, root.path()).outcome, Outcome::NotChecked);
        let named = root.path().join("key");
        assert_eq!(code(&device_key(Some(&named), root.path())), Some("SMGW-D-0207"));
        fs::write(&named, [7; DeviceKey::LENGTH]).unwrap();
        fs::set_permissions(&named, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(device_key(Some(&named), root.path()).outcome, Outcome::Good);
        fs::write(&named, [7; 5]).unwrap();
        let short = device_key(Some(&named), root.path());
        assert_eq!(code(&short), Some("SMGW-D-0207"));
        fs::create_dir(root.path().join(BINDINGS)).unwrap();
        assert_eq!(code(&device_key(None, root.path())), Some("SMGW-D-0207"));
    }
}
