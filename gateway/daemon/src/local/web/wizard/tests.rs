use std::path::Path;

use store::{AccessRecord, DeviceKey, Protection, Store};

use super::check::Verdict;
use super::what::What;
use super::*;

fn open(folder: &Path) -> Arc<Store> {
    let key = DeviceKey::new([7; DeviceKey::LENGTH]);
    Arc::new(Store::open(folder, Ok(Protection { key, otp: None })).unwrap())
}

#[test]
fn a_step_that_a_power_cut_has_interrupted_does_not_run_any_more() {
    assert_eq!(seen(&State::Running, true), State::Running);
    assert_eq!(seen(&State::Running, false), State::Interrupted);
    assert_eq!(seen(&State::Good, false), State::Good);
}

#[test]
fn what_was_found_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let book = Book::open(Arc::clone(&store));
    assert_eq!(book.progress().entry(Step::Device).state, State::ToDo);
    let good = Check::of(What::Space, true).measured("9 MiB");
    let bad = Check::of(What::Clock, false);
    book.begin(Step::Device).unwrap();
    book.finish(
        Step::Device,
        vec![good.clone(), Check::new(What::DeviceKey, Verdict::Note)],
        12,
    )
    .unwrap();
    book.finish(Step::Card, vec![good, bad], 3).unwrap();
    book.skip(Step::Wan, "no SIM yet").unwrap();
    book.begin(Step::Report).unwrap();
    let before = book.progress();
    drop((book, store));
    let again = Book::open(open(folder.path())).progress();
    assert_eq!(again, before);
    assert_eq!(again.entry(Step::Device).state, State::Good);
    assert_eq!(again.entry(Step::Device).took_ms, Some(12));
    assert_eq!(again.entry(Step::Card).state, State::Problem);
    let reason = "no SIM yet".to_owned();
    assert_eq!(again.entry(Step::Wan).state, State::Skipped { reason });
    assert_eq!(again.entry(Step::Report).state, State::Running);
}

#[test]
fn book_that_is_damaged_or_of_another_version_is_begun_anew_and_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    for content in [&b"no json"[..], b"{\"schema\":\"smgw.wizard/9\"}", b""] {
        let store = open(folder.path());
        store.access().write(AccessRecord::Installation, content).unwrap();
        let book = Book::open(Arc::clone(&store));
        assert_eq!(book.progress().entry(Step::Device).state, State::ToDo);
        book.skip(Step::Device, "later").unwrap();
        drop((book, store));
        std::fs::write(folder.path().join("web-installation"), "torn").unwrap();
        let store = open(folder.path());
        let book = Book::open(Arc::clone(&store));
        assert_eq!(book.progress().entry(Step::Device).state, State::ToDo);
        book.begin(Step::Device).unwrap();
    }
}

#[test]
fn steps_are_found_by_the_names_in_addresses_and_no_others() {
    for step in Step::ALL {
        assert_eq!(Step::named(step.name()), Some(step));
    }
    assert_eq!(Step::named("Device"), None);
    assert_eq!(Step::named(""), None);
}
