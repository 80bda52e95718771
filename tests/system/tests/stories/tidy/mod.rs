//! The rules of the house, checked: who may know whom, what belongs where, how long a file may be.

mod crates;
mod made_up;
mod manifests;
mod sources;
mod table;
mod workspace;

use workspace::{Metadata, files, root};

/// Fails with every fault and what to do about it.
fn expect_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_crate_has_its_room_in_the_house() {
    expect_none(&crates::strangers(&Metadata::read(), &root()));
}

#[test]
fn crates_know_only_whom_they_may_know() {
    expect_none(&crates::forbidden_edges(&Metadata::read()));
}

#[test]
fn effects_are_named_only_by_the_crates_that_keep_them() {
    expect_none(&crates::reserved_dependencies(&Metadata::read()));
}

#[test]
fn pure_crates_name_no_effect() {
    expect_none(&crates::effects_in_pure_crates(&Metadata::read()));
}

#[test]
fn pure_crates_reach_no_runtime_through_others() {
    expect_none(&crates::effects_behind_pure_crates(&Metadata::read()));
}

#[test]
fn cms_is_used_without_its_builder() {
    expect_none(&crates::cms_builder(&Metadata::read()));
}

#[test]
fn soft_card_is_never_a_default() {
    expect_none(&crates::soft_card_by_default(&Metadata::read()));
}

#[test]
fn manifests_take_from_the_workspace_what_holds_for_all() {
    let metadata = Metadata::read();
    let faults: Vec<String> = metadata
        .members()
        .flat_map(|member| manifests::not_inherited(&member.name, &member.manifest()))
        .collect();
    expect_none(&faults);
}

#[test]
fn pure_sources_mention_no_clock_file_socket_or_randomness() {
    let sources = rust_files();
    let pure = |file: &str| table::HOUSE.iter().any(|room| room.pure && room.holds(file));
    let faults: Vec<String> = sources
        .iter()
        .filter(|(file, _)| pure(file) && !sources::is_test_code(file, &sources))
        .flat_map(|(file, source)| sources::impurities(file, source))
        .collect();
    expect_none(&faults);
}

#[test]
fn rust_files_are_short_enough_to_be_read() {
    let sources = rust_files();
    let faults: Vec<String> = sources
        .iter()
        .filter_map(|(file, source)| sources::too_long(file, source, sources::is_test_code(file, &sources)))
        .collect();
    expect_none(&faults);
}

#[test]
fn top_level_holds_what_the_design_names() {
    expect_none(&sources::out_of_place(&files()));
}

/// Reads every Rust file of the repository.
fn rust_files() -> sources::Sources {
    let rust = files().into_iter().filter(|file| file.ends_with(".rs"));
    rust.map(|file| {
        let source = std::fs::read_to_string(root().join(&file)).unwrap();
        (file, source)
    })
    .collect()
}
