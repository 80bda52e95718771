//! The first step: the device looks at itself, at its network, and at its clock, with the checks of every examination
//! ([`crate::doctor`]).

use super::Site;
use super::check::Check;
use super::what::What;
use crate::codes::card::BINDINGS_OUT_OF_REACH;
use crate::doctor::{self, Area, Check as Examined, clock, ladder, storage};
use crate::report::Chain;
use crate::status;

/// Looks at everything. It reads files and asks time servers, and so belongs on a thread that may block.
pub(super) fn look(site: &Site) -> Vec<Check> {
    let software = Check::of(What::Software, true).measured(env!("CARGO_PKG_VERSION"));
    let mut checks = vec![software];
    checks.extend(findings(site));
    checks.push(Check::examined(What::DataFolder, &storage::folder(&site.data)));
    checks.push(Check::examined(What::Space, &storage::space(&site.data)));
    checks.extend(bindings(site));
    checks.push(Check::examined(What::Network, &ladder::link()));
    for (what, check) in [What::Clock, What::TimeSource].into_iter().zip(clock::clock()) {
        checks.push(Check::examined(what, &check));
    }
    let offset = clock::offset(&site.config, site.source.registration_period);
    checks.push(Check::examined(What::Offset, &offset));
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
    let check = |finding| Check::examined(What::Finding, &doctor::of_finding(finding));
    found.iter().map(check).collect()
}

/// Looks whether what is burned can be read, and where the key is that seals it.
pub(super) fn bindings(site: &Site) -> Vec<Check> {
    let readable = match site.source.store.bindings() {
        Ok(_) => Check::of(What::Bindings, true),
        Err(error) => {
            let found = Chain(error).to_string();
            let check = Examined::error(Area::Data, "bindings", BINDINGS_OUT_OF_REACH, found);
            Check::examined(What::Bindings, &check)
        }
    };
    let key = storage::device_key(site.bindings.device_key.as_deref(), &site.data);
    vec![readable, Check::examined(What::DeviceKey, &key)]
}

/// Looks whether the clock was ever set: TLS and messages are refused by one that is wrong.
pub(super) fn clock() -> Check {
    Check::examined(What::Clock, &clock::is_set())
}
