//! The rules about crates and what they depend on; each returns what is wrong and what to do.

use std::path::Path;

use super::table::{HOUSE, NEVER_IN_PURE, NEVER_REACHED_FROM_PURE, RANDOM, RESERVED, matches, room};
use super::workspace::{Metadata, Package};

/// Every member stands in a folder of the table, and the folder's name is the crate's.
pub(super) fn strangers(metadata: &Metadata, root: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    for member in metadata.members() {
        let folder = member
            .folder()
            .strip_prefix(root)
            .unwrap_or_else(|_| member.folder());
        if !HOUSE.iter().any(|room| folder == Path::new(room.folder)) {
            faults.push(format!(
                "{} is no room of the house: move the crate, or add it to tidy's table as a decision",
                folder.display()
            ));
        } else if !folder.ends_with(&member.name) {
            faults.push(format!(
                "{} holds a crate called {}: give both the same name",
                folder.display(),
                member.name
            ));
        }
    }
    faults
}

/// Crates of ours know only those that the table names.
pub(super) fn forbidden_edges(metadata: &Metadata) -> Vec<String> {
    let mut faults = Vec::new();
    for member in metadata.members() {
        let Some(room) = room(&member.name) else { continue };
        for dependency in member.dependencies.iter().filter(|d| d.path.is_some()) {
            let name = dependency.name.as_str();
            let known_to_tests = dependency.is_for_tests() && room.tests_know.contains(&name);
            if !known_to_tests && !room.knows.contains(&name) {
                faults.push(format!(
                    "{} must not know {name}: it may know {:?}; move the code to the side that may know both",
                    member.name, room.knows
                ));
            }
        }
    }
    faults
}

/// Dependencies with an effect are named only by the crates that keep it from the others.
pub(super) fn reserved_dependencies(metadata: &Metadata) -> Vec<String> {
    let mut faults = Vec::new();
    for member in metadata.members() {
        for dependency in &member.dependencies {
            let reserved = RESERVED.iter().find(|r| matches(r.dependency, &dependency.name));
            let Some(reserved) = reserved else { continue };
            if !reserved.for_crates.contains(&member.name.as_str()) {
                faults.push(format!(
                    "{} must not name {}: {}; it is reserved for {:?}",
                    member.name, dependency.name, reserved.reason, reserved.for_crates
                ));
            }
        }
    }
    faults
}

/// Pure crates name nothing that has an effect.
pub(super) fn effects_in_pure_crates(metadata: &Metadata) -> Vec<String> {
    let mut faults = Vec::new();
    for member in pure_members(metadata) {
        for dependency in &member.dependencies {
            let effect = NEVER_IN_PURE.iter().any(|p| matches(p, &dependency.name));
            let random = RANDOM.contains(&dependency.name.as_str()) && !dependency.is_for_tests();
            if effect || random {
                faults.push(format!(
                    "{} is pure and must not name {}: let its caller hand in what it needs",
                    member.name, dependency.name
                ));
            }
        }
    }
    faults
}

/// Pure crates reach no runtime, socket or database through others either.
pub(super) fn effects_behind_pure_crates(metadata: &Metadata) -> Vec<String> {
    let mut faults = Vec::new();
    for member in pure_members(metadata) {
        let reached = metadata.reached_from(&member.id);
        for name in NEVER_REACHED_FROM_PURE
            .iter()
            .filter(|name| reached.contains(*name))
        {
            faults.push(format!(
                "{} is pure and must not be built from {name}: `cargo tree -p {} -i {name}` shows the way",
                member.name, member.name
            ));
        }
    }
    faults
}

/// The builder of `cms` stays off, and with it RSA and its advisories.
pub(super) fn cms_builder(metadata: &Metadata) -> Vec<String> {
    let named = metadata.members().flat_map(|member| {
        let of_cms = member.dependencies.iter().filter(|d| d.name == "cms");
        let with_builder = of_cms.filter(|d| d.features.iter().any(|feature| feature == "builder"));
        with_builder.map(|_| {
            format!(
                "{} turns on cms's feature builder, which pulls rsa: take it out",
                member.name
            )
        })
    });
    let cms = metadata.packages.iter().filter(|package| package.name == "cms");
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    let resolved = nodes.filter(|node| {
        let is_cms = cms.clone().any(|package| package.id == node.id);
        is_cms && node.features.iter().any(|feature| feature == "builder")
    });
    let resolved = resolved
        .map(|_| "somebody turns on cms's feature builder: `cargo tree -e features -i cms`".to_owned());
    named.chain(resolved).collect()
}

/// No crate has the soft card among its default features: production has none.
pub(super) fn soft_card_by_default(metadata: &Metadata) -> Vec<String> {
    let by_default = metadata.members().filter(|member| {
        let default = member.features.get("default");
        default.is_some_and(|features| features.iter().any(|feature| feature.contains("soft-card")))
    });
    by_default
        .map(|member| {
            format!(
                "{} has soft-card among its default features: take it out",
                member.name
            )
        })
        .collect()
}

fn pure_members(metadata: &Metadata) -> impl Iterator<Item = &Package> {
    metadata
        .members()
        .filter(|member| room(&member.name).is_some_and(|room| room.pure))
}
