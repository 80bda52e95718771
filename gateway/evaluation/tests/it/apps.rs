//! The shipped applications, as `cargo xtask apps` builds them into `target/apps`: each gives what its vectors say.

use std::path::Path;

use evaluation::{Go, Package, prove};

/// Their names are those that digests are written down of.
const DIGESTS: &str = include_str!("../../../apps/digests.txt");

/// Returns every application's name.
fn apps() -> impl Iterator<Item = &'static str> {
    let lines = DIGESTS.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit(' ').next().unwrap().strip_suffix(".wasm").unwrap())
}

#[test]
fn digests_are_those_of_the_applications() {
    assert_eq!(apps().count(), 9);
}

/// Reads a package; it must have been built.
pub(super) fn package(app: &str) -> Vec<u8> {
    let name = format!("apps/{app}.wasm");
    // For another processor cargo has a folder of its own within the one where the applications are.
    let folders = Path::new(env!("CARGO_TARGET_TMPDIR")).ancestors().skip(1).take(2);
    let mut files = folders.map(|folder| folder.join(&name));
    let file = files
        .find(|file| file.exists())
        .unwrap_or_else(|| name.clone().into());
    std::fs::read(&file).unwrap_or_else(|error| {
        panic!(
            "{} ({error}): build the applications with `cargo xtask apps`",
            file.display()
        )
    })
}

#[test]
fn every_application_is_proven_by_its_vectors() {
    for app in apps() {
        let bytes = package(app);
        let package = Package::parse(&bytes).unwrap_or_else(|error| panic!("{app}: {error:?}"));
        assert_eq!(package.manifest().id().as_str(), app);
        prove(&package, &mut |_| Go::On).unwrap_or_else(|error| panic!("{app}: {error:?}"));
    }
}

#[test]
fn modules_are_small() {
    for app in apps() {
        let bytes = package(app);
        let module = Package::parse(&bytes).unwrap().module().len();
        assert!(module < 8 * 1024, "{app} has {module} bytes");
    }
}
