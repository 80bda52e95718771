//! What several tests of the local web begin with.

use std::path::Path;

use model::Reading;
use store::{DeviceKey, Protection, Round, Store};

/// Opens a store that has registered these, each in a round of its own.
pub(super) fn store(folder: &Path, readings: Vec<Reading>) -> Store {
    let key = DeviceKey::new([7; DeviceKey::LENGTH]);
    let store = Store::open(folder, Ok(Protection { key, otp: None })).unwrap();
    for reading in readings {
        let round = Round {
            readings: vec![reading],
            gaps: Vec::new(),
        };
        store.database().register(&round).unwrap();
    }
    store
}
