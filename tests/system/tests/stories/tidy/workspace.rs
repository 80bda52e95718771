//! What cargo and git say about the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// The answer of `cargo metadata`, as far as the rules look at it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Metadata {
    pub packages: Vec<Package>,
    pub workspace_members: BTreeSet<String>,
    pub resolve: Option<Resolve>,
}

/// A crate and what its manifest says.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Package {
    pub id: String,
    pub name: String,
    pub manifest_path: PathBuf,
    pub dependencies: Vec<Dependency>,
    pub features: BTreeMap<String, Vec<String>>,
}

/// A dependency as the manifest names it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Dependency {
    /// The name of the crate, even where the manifest renames it.
    pub name: String,
    /// `dev`, `build`, or nothing for a normal one.
    pub kind: Option<String>,
    /// The folder of a crate of ours.
    pub path: Option<PathBuf>,
    pub features: Vec<String>,
}

impl Dependency {
    pub(super) fn is_for_tests(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}

/// The graph that cargo has resolved, for this kind of machine.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Resolve {
    pub nodes: Vec<Node>,
}

/// A crate in the graph.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Node {
    pub id: String,
    pub deps: Vec<Edge>,
    pub features: Vec<String>,
}

/// An edge of the graph.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Edge {
    pub pkg: String,
    pub dep_kinds: Vec<EdgeKind>,
}

/// The kind of an edge, as in [`Dependency::kind`].
#[derive(Debug, Clone, Deserialize)]
pub(super) struct EdgeKind {
    pub kind: Option<String>,
}

impl Metadata {
    /// Asks cargo about the workspace, without changing its lock file.
    pub(super) fn read() -> Self {
        let host = printed("rustc", &["-vV"]);
        let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let arguments = [
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            host,
        ];
        serde_json::from_str(&printed(&cargo, &arguments)).unwrap()
    }

    /// Returns the crates of ours.
    pub(super) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
    }

    /// Returns the names of all crates that the crate is built from, tests apart.
    pub(super) fn reached_from(&self, id: &str) -> BTreeSet<&str> {
        let nodes = self.resolve.iter().flat_map(|resolve| &resolve.nodes);
        let nodes: BTreeMap<&str, &Node> = nodes.map(|node| (node.id.as_str(), node)).collect();
        let names: BTreeMap<&str, &str> = self
            .packages
            .iter()
            .map(|package| (package.id.as_str(), package.name.as_str()))
            .collect();
        let mut reached = BTreeSet::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            for edge in nodes.get(id).map_or(&[][..], |node| &node.deps) {
                let built_in = edge.dep_kinds.iter().any(|kind| kind.kind.is_none());
                if built_in && reached.insert(edge.pkg.as_str()) {
                    open.push(&edge.pkg);
                }
            }
        }
        reached
            .into_iter()
            .filter_map(|id| names.get(id).copied())
            .collect()
    }
}

impl Package {
    /// Returns the folder of the crate.
    pub(super) fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap()
    }

    /// Reads the manifest.
    pub(super) fn manifest(&self) -> toml::Table {
        let text = std::fs::read_to_string(&self.manifest_path).unwrap();
        text.parse().unwrap()
    }
}

/// Returns the top folder of the repository.
pub(super) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap().to_owned()
}

/// Returns the files that belong to the repository, relative to its top; build leftovers do not.
pub(super) fn files() -> Vec<String> {
    let files = printed("git", &["ls-files", "--cached", "--others", "--exclude-standard"]);
    let existing = files.lines().filter(|file| root().join(file).exists());
    existing.map(str::to_owned).collect()
}

/// Returns what a command prints when it is run at the top of the repository.
fn printed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?} failed:\n{stderr}"
    );
    String::from_utf8(output.stdout).unwrap()
}
