//! A data folder that lies in memory: the gateway serves, and says plainly what is wrong.

use system::{Folder, House, Interrupt, Programs};

use crate::steps::{PERIOD, granted, pull_until, told};

/// A file system in memory that every Linux has.
const IN_MEMORY: &str = "/dev/shm";

#[test]
fn gateway_whose_data_lies_in_memory_serves_and_is_degraded() {
    let folder = tempfile::tempdir_in(IN_MEMORY).unwrap();
    let given = Folder::Given(folder.path().to_owned());
    let programs = Programs::find().unwrap();
    let house = House::open(programs, given, Interrupt::default(), PERIOD, None);
    let house = house.unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!(house.status.state, "degraded");
    assert_eq!(house.status.code, "SMGW-S-0203");
    let [finding] = house.status.findings.as_slice() else {
        panic!("{:?}", house.status.findings);
    };
    assert_eq!(finding.code, "SMGW-F-0102");
    assert!(
        finding.text.contains("lies in memory (tmpfs)"),
        "{}",
        finding.text
    );
    assert!(
        finding.remedy.contains("a partition of its own"),
        "{}",
        finding.remedy
    );
    pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
}
