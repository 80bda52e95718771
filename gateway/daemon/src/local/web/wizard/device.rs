//! The first step: the device looks at itself, at its network, and at its clock.

use std::fs;
use std::path::Path;

use model::Status;

use super::Site;
use super::check::{Check, Verdict};
use super::what::What;
use crate::clock;
use crate::report::Chain;
use crate::status;

/// With less free space than this the store will soon be full, in bytes.
const LEAST_SPACE: u64 = 64 << 20;
/// With less than this, two years of values may not fit, in bytes.
const COMFORTABLE_SPACE: u64 = 512 << 20;
/// What `systemd-timesyncd` makes when the clock was set from the network.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";
/// Where the kernel tells of its network interfaces.
pub(super) const INTERFACES: &str = "/sys/class/net";
/// The most interfaces that are told of.
const MOST_INTERFACES: usize = 16;

/// Looks at everything. It reads files, and so belongs on a thread that may block.
pub(super) fn look(site: &Site) -> Vec<Check> {
    let software = Check::new(What::Software, Verdict::Good).measured(env!("CARGO_PKG_VERSION"));
    let mut checks = vec![software];
    checks.extend(findings(site));
    checks.push(space(&site.data));
    checks.extend(bindings(site));
    checks.push(network(Path::new(INTERFACES)));
    checks.extend(time(Path::new(SYNCHRONISED)));
    checks
}

/// Takes over what the gateway has found to be wrong with itself; without anything, the mount is told of.
fn findings(site: &Site) -> Vec<Check> {
    let source = &site.source;
    let found = status::findings(&source.findings, &source.store, &source.journal);
    if found.is_empty() {
        let place = site.data.display().to_string();
        return vec![Check::of(What::Mounts, true).measured(place)];
    }
    let check = |finding| Check::fault(What::Finding, finding);
    found.iter().map(check).collect()
}

fn space(data: &Path) -> Check {
    match rustix::fs::statvfs(data) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let verdict = match free {
                ..LEAST_SPACE => Verdict::Problem,
                LEAST_SPACE..COMFORTABLE_SPACE => Verdict::Note,
                _ => Verdict::Good,
            };
            Check::new(What::Space, verdict).measured(format!("{} MiB", free >> 20))
        }
        Err(error) => Check::of(What::Space, false).because(error.to_string()),
    }
}

/// Looks whether what is burned can be read, and where the key is that seals it.
pub(super) fn bindings(site: &Site) -> Vec<Check> {
    let readable = match site.source.store.bindings() {
        Ok(_) => Check::of(What::Bindings, true),
        Err(error) => Check::of(What::Bindings, false).because(Chain(error).to_string()),
    };
    let key = match &site.bindings.device_key {
        Some(file) => Check::of(What::DeviceKey, true).measured(file.display().to_string()),
        None => Check::new(What::DeviceKey, Verdict::Note),
    };
    vec![readable, key]
}

/// Looks which interfaces are up; one that is needs no carrier check of its own.
fn network(folder: &Path) -> Check {
    let up = interfaces(folder);
    let verdict = if up.is_empty() {
        Verdict::Problem
    } else {
        Verdict::Good
    };
    let check = Check::new(What::Network, verdict);
    if up.is_empty() {
        check
    } else {
        check.measured(up.join(", "))
    }
}

/// Returns the interfaces that are up, the loopback interface aside.
pub(super) fn interfaces(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())));
    let mut up: Vec<String> = named
        .filter(|(name, path)| name != "lo" && is_up(path))
        .map(|(name, _)| name)
        .take(MOST_INTERFACES)
        .collect();
    up.sort();
    up
}

/// Returns whether an interface is up; some that have no carrier of their own never say more than `unknown`.
fn is_up(interface: &Path) -> bool {
    let state = fs::read_to_string(interface.join("operstate")).unwrap_or_default();
    matches!(state.trim(), "up" | "unknown")
}

/// Looks whether the clock was ever set: TLS and messages are refused by one that is wrong.
pub(super) fn clock() -> Check {
    let now = clock::now();
    Check::of(What::Clock, clock::status_at(now) == Status::GOOD).at(now)
}

/// Looks whether the clock was ever set, and by whom.
fn time(synchronised: &Path) -> Vec<Check> {
    let verdict = if synchronised.exists() {
        Verdict::Good
    } else {
        Verdict::Note
    };
    vec![clock(), Check::new(What::TimeSource, verdict)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_interfaces_that_are_up_count_and_loopback_never() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(network(folder.path()).verdict, Verdict::Problem);
        for (name, state) in [
            ("lo", "unknown"),
            ("eth0", "up"),
            ("eth1", "down"),
            ("wwan0", "unknown"),
        ] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("operstate"), format!("{state}\n")).unwrap();
        }
        let check = network(folder.path());
        assert_eq!(check.verdict, Verdict::Good);
        assert_eq!(check.measured.as_deref(), Some("eth0, wwan0"));
        assert_eq!(network(&folder.path().join("none")).verdict, Verdict::Problem);
    }

    #[test]
    fn space_is_told_and_a_folder_that_is_gone_is_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        assert!(space(folder.path()).measured.unwrap().ends_with(" MiB"));
        let gone = space(&folder.path().join("none"));
        assert_eq!(gone.verdict, Verdict::Problem);
        assert!(gone.cause.is_some());
    }

    #[test]
    fn a_clock_that_nobody_sets_is_noted_and_no_problem_while_it_is_set() {
        let folder = tempfile::tempdir().unwrap();
        let checks = time(&folder.path().join("none"));
        assert_eq!(
            checks.iter().map(|check| check.verdict).collect::<Vec<_>>(),
            [Verdict::Good, Verdict::Note]
        );
        assert_eq!(time(folder.path())[1].verdict, Verdict::Good);
    }
}
