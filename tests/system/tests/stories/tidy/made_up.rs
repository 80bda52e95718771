//! The rules on made-up workspaces: each finds what it is there for, and nothing else.

use std::path::Path;

use serde_json::{Value, json};

use super::workspace::Metadata;
use super::{crates, manifests, sources};

/// A workspace of one member with the dependencies.
fn workspace(name: &str, folder: &str, dependencies: &Value) -> Metadata {
    let member = json!({
        "id": name, "name": name, "manifest_path": format!("/house/{folder}/Cargo.toml"),
        "dependencies": dependencies, "features": {},
    });
    metadata(&json!({ "packages": [member], "workspace_members": [name], "resolve": null }))
}

fn metadata(value: &Value) -> Metadata {
    serde_json::from_value(value.clone()).unwrap()
}

fn ours(name: &str, kind: Option<&str>) -> Value {
    json!({ "name": name, "kind": kind, "path": "/house/somewhere", "features": [] })
}

fn foreign(name: &str, kind: Option<&str>) -> Value {
    json!({ "name": name, "kind": kind, "path": null, "features": [] })
}

fn assert_one(faults: &[String], words: &[&str]) {
    let [fault] = faults else {
        panic!("expected one fault, found {faults:?}")
    };
    for word in words {
        assert!(fault.contains(word), "{fault:?} does not mention {word:?}");
    }
}

const NONE: &[String] = &[];

#[test]
fn crate_outside_the_table_is_found() {
    let faults = crates::strangers(
        &workspace("utils", "gateway/utils", &json!([])),
        Path::new("/house"),
    );
    assert_one(&faults, &["gateway/utils", "no room"]);
}

#[test]
fn crate_with_another_name_than_its_folder_is_found() {
    let faults = crates::strangers(
        &workspace("smgw-model", "gateway/model", &json!([])),
        Path::new("/house"),
    );
    assert_one(&faults, &["gateway/model", "smgw-model"]);
}

#[test]
fn crate_in_its_room_is_at_home() {
    let faults = crates::strangers(
        &workspace("model", "gateway/model", &json!([])),
        Path::new("/house"),
    );
    assert_eq!(faults, NONE);
}

#[test]
fn forbidden_edge_is_found() {
    for (name, folder, other) in [
        ("model", "gateway/model", "card"),
        ("card", "gateway/card", "messages"),
        ("supplier", "gateway/supplier", "store"),
        ("system", "tests/system", "model"),
        ("bus", "meters/bus", "simulators"),
    ] {
        let faults = crates::forbidden_edges(&workspace(name, folder, &json!([ours(other, None)])));
        assert_one(&faults, &[name, "must not know", other]);
    }
}

#[test]
fn permitted_edges_pass() {
    let edges = json!([
        ours("model", None),
        ours("mbus", None),
        ours("simulators", Some("dev"))
    ]);
    assert_eq!(
        crates::forbidden_edges(&workspace("bus", "meters/bus", &edges)),
        NONE
    );
}

#[test]
fn tests_of_a_crate_know_no_more_than_the_table_says() {
    let faults = crates::forbidden_edges(&workspace(
        "card",
        "gateway/card",
        &json!([ours("messages", Some("dev"))]),
    ));
    assert_one(&faults, &["card", "messages"]);
}

#[test]
fn reserved_dependency_is_found() {
    for (name, folder, dependency) in [
        ("daemon", "gateway/daemon", "sled"),
        ("daemon", "gateway/daemon", "tokio-modbus"),
        ("bus", "meters/bus", "axum"),
        ("store", "gateway/store", "pcsc"),
        ("supplier", "gateway/supplier", "hyper-rustls"),
        ("simulators", "tests/simulators", "rumqttc-next"),
    ] {
        let faults =
            crates::reserved_dependencies(&workspace(name, folder, &json!([foreign(dependency, None)])));
        assert_one(&faults, &[name, dependency, "reserved"]);
    }
    let at_home = workspace("store", "gateway/store", &json!([foreign("sled", None)]));
    assert_eq!(crates::reserved_dependencies(&at_home), NONE);
}

#[test]
fn effect_in_a_pure_crate_is_found() {
    for dependency in ["tokio", "tokio-util", "getrandom", "hyper-util"] {
        let faults = crates::effects_in_pure_crates(&workspace(
            "mbus",
            "meters/mbus",
            &json!([foreign(dependency, None)]),
        ));
        assert_one(&faults, &["mbus", dependency]);
    }
    let elsewhere = workspace("bus", "meters/bus", &json!([foreign("tokio", None)]));
    assert_eq!(crates::effects_in_pure_crates(&elsewhere), NONE);
}

#[test]
fn randomness_is_for_the_tests_of_a_pure_crate_only() {
    let in_tests = workspace(
        "card",
        "gateway/card",
        &json!([foreign("getrandom", Some("dev"))]),
    );
    assert_eq!(crates::effects_in_pure_crates(&in_tests), NONE);
    let runtime = workspace("card", "gateway/card", &json!([foreign("tokio", Some("dev"))]));
    assert_one(&crates::effects_in_pure_crates(&runtime), &["card", "tokio"]);
}

#[test]
fn runtime_behind_another_crate_is_found() {
    let package = |name: &str| {
        json!({ "id": name, "name": name, "manifest_path": format!("/house/gateway/{name}/Cargo.toml"),
                "dependencies": [], "features": {} })
    };
    let node = |name: &str, to: &str, kind: Option<&str>| json!({ "id": name, "deps": [{ "pkg": to, "dep_kinds": [{ "kind": kind }] }], "features": [] });
    let graph = |kind: Option<&str>| {
        metadata(&json!({
            "packages": [package("card"), package("friendly"), package("tokio")],
            "workspace_members": ["card"],
            "resolve": { "nodes": [node("card", "friendly", kind), node("friendly", "tokio", None)] },
        }))
    };
    assert_one(
        &crates::effects_behind_pure_crates(&graph(None)),
        &["card", "tokio", "cargo tree"],
    );
    assert_eq!(crates::effects_behind_pure_crates(&graph(Some("dev"))), NONE);
}

#[test]
fn builder_of_cms_is_found_in_manifests_and_in_the_graph() {
    let named = json!([{ "name": "cms", "kind": null, "path": null, "features": ["builder"] }]);
    assert_one(
        &crates::cms_builder(&workspace("messages", "gateway/messages", &named)),
        &["messages", "builder"],
    );
    let resolved = metadata(&json!({
        "packages": [{ "id": "cms 1", "name": "cms", "manifest_path": "/cms", "dependencies": [], "features": {} }],
        "workspace_members": [],
        "resolve": { "nodes": [{ "id": "cms 1", "deps": [], "features": ["builder"] }] },
    }));
    assert_one(&crates::cms_builder(&resolved), &["cms", "builder"]);
}

#[test]
fn soft_card_among_the_defaults_is_found() {
    let mut metadata = workspace("daemon", "gateway/daemon", &json!([]));
    assert_eq!(crates::soft_card_by_default(&metadata), NONE);
    let features = &mut metadata.packages[0].features;
    features.insert("default".into(), vec!["soft-card".into()]);
    assert_one(&crates::soft_card_by_default(&metadata), &["daemon", "soft-card"]);
}

#[test]
fn manifest_that_says_for_itself_what_holds_for_all_is_found() {
    let good = r#"
        [package]
        name = "x"
        version.workspace = true
        edition.workspace = true
        rust-version.workspace = true
        license.workspace = true
        publish.workspace = true
        [lints]
        workspace = true
        [dependencies]
        serde.workspace = true
        tokio = { workspace = true, features = ["rt"] }
    "#;
    let faults = |text: &str| manifests::not_inherited("x", &text.parse().unwrap());
    assert_eq!(faults(good), NONE);
    for (from, to, word) in [
        ("edition.workspace = true", "edition = \"2021\"", "edition"),
        (
            "rust-version.workspace = true",
            "rust-version = \"1.94\"",
            "rust-version",
        ),
        ("serde.workspace = true", "serde = \"1\"", "serde"),
        ("[lints]\n        workspace = true", "", "[lints]"),
    ] {
        assert_one(&faults(&good.replace(from, to)), &["x", word]);
    }
}

#[test]
fn clock_in_a_pure_source_is_found_but_not_in_tests_and_comments() {
    let source =
        "//! No std::fs here.\nuse std::{fmt, fs};\n#[cfg(test)]\nmod tests {\n    use std::process;\n}\n";
    assert_one(&sources::impurities("a.rs", source), &["a.rs:2", "std::fs"]);
    let clock = "fn now() { SystemTime::now() }";
    assert_one(&sources::impurities("a.rs", clock), &["a.rs:1", "SystemTime"]);
    assert_eq!(
        sources::impurities("a.rs", "use std::{fmt, net::Ipv6Addr};"),
        NONE
    );
}

#[test]
fn tests_of_a_file_do_not_count_as_its_lines() {
    let code = "line\n".repeat(600);
    let tests = "#[cfg(test)]\n#[expect(x)]\nmod tests {\n".to_owned() + &"line\n".repeat(600);
    assert_eq!(sources::too_long("a.rs", &format!("{code}{tests}"), false), None);
    let fault = sources::too_long("a.rs", &format!("{code}line\n{tests}"), false).unwrap();
    assert!(fault.contains("601 lines"), "{fault}");
    let declared = format!("#[cfg(test)]\nmod tests;\n{code}");
    assert!(sources::too_long("a.rs", &declared, false).is_some());
    assert_eq!(sources::too_long("tests.rs", &declared, true), None);
    assert!(sources::too_long("tests.rs", &declared.repeat(2), true).is_some());
}

#[test]
fn modules_that_are_declared_for_tests_are_told_from_others() {
    let lib = "mod frame;\n#[cfg(test)]\nmod properties;\n#[cfg(test)]\nuse x;\nmod link;\n#[cfg(test)]\nmod more;\n";
    let sources = [
        ("meters/mbus/src/lib.rs", lib),
        (
            "meters/mbus/src/frame.rs",
            "#[cfg(test)]\n#[expect(x)]\nmod tests;\n",
        ),
        ("meters/mbus/src/frame/tests.rs", "mod deep;\n"),
        ("meters/mbus/src/frame/tests/deep.rs", ""),
        ("meters/mbus/src/properties.rs", ""),
        ("meters/mbus/src/link/mod.rs", ""),
        ("meters/mbus/src/more.rs", ""),
        ("tests/system/tests/stories/main.rs", ""),
        ("tests/system/src/lib.rs", ""),
    ];
    let sources = sources
        .map(|(file, source)| (file.to_owned(), source.to_owned()))
        .into();
    let tests = |file: &str| sources::is_test_code(file, &sources);
    for file in [
        "frame/tests.rs",
        "frame/tests/deep.rs",
        "properties.rs",
        "more.rs",
    ] {
        assert!(tests(&format!("meters/mbus/src/{file}")), "{file}");
    }
    for file in ["lib.rs", "frame.rs", "link/mod.rs"] {
        assert!(!tests(&format!("meters/mbus/src/{file}")), "{file}");
    }
    assert!(tests("tests/system/tests/stories/main.rs") && !tests("tests/system/src/lib.rs"));
}

#[test]
fn stray_file_at_the_top_is_found() {
    let files = [
        "Cargo.toml",
        ".ci/run",
        "gateway/model/src/lib.rs",
        "CHANGELOG.md",
    ];
    let files = files.map(str::to_owned);
    assert_one(&sources::out_of_place(&files), &["CHANGELOG.md", "top level"]);
}
