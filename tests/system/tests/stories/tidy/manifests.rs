//! The rules about manifests: what is said once, for all, is said in the workspace.

use toml::{Table, Value};

/// The keys of `[package]` that every member takes from the workspace.
const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];

/// The members that may ask for a later compiler than the gateway does, since nothing of them runs on one.
const OWN_COMPILER: [&str; 3] = ["bench", "supplier", "trust-center"];

/// The manifest takes lints, the keys of [`INHERITED`] and every dependency from the workspace.
pub(super) fn not_inherited(name: &str, manifest: &Table) -> Vec<String> {
    let mut faults = Vec::new();
    if !manifest.get("lints").is_some_and(is_inherited) {
        faults.push(format!(
            "{name}: write `[lints] workspace = true`; lints of the root reach nobody else"
        ));
    }
    let package = manifest.get("package");
    for key in INHERITED {
        let stated = package.and_then(|package| package.get(key));
        let own = key == "rust-version" && OWN_COMPILER.contains(&name) && stated.is_some_and(Value::is_str);
        if !own && !stated.is_some_and(is_inherited) {
            faults.push(format!("{name}: write `{key}.workspace = true` in [package]"));
        }
    }
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let dependencies = manifest.get(kind).and_then(Value::as_table);
        for (dependency, value) in dependencies.into_iter().flatten() {
            if !is_inherited(value) {
                faults.push(format!(
                    "{name}: write `{dependency}.workspace = true` and its version in [workspace.dependencies]"
                ));
            }
        }
    }
    faults
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}
