//! `cargo xtask crates`: the crates of `Cargo.lock` as the recipes of the Yocto layer fetch them.
//!
//! bitbake builds without a network; it fetches every crate before, by name and version, and compares its checksum. The
//! list is checked in, since bitbake has to have it before it can read the lock file.
#![expect(clippy::print_stdout, reason = "a command-line tool prints its result")]

use std::path::PathBuf;

use serde::Deserialize;

use crate::build::root;
use crate::error::XtaskError;

/// Where cargo says that a crate is from, of all that the layer can fetch.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// What stands above the list.
const HEAD: &str = "# Written by `cargo xtask crates` from Cargo.lock; do not edit.\n";

/// `Cargo.lock`, as far as it is looked at.
#[derive(Debug, Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    /// Nothing for a crate of the workspace.
    source: Option<String>,
    checksum: Option<String>,
}

/// The reason why there is no list.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CratesError {
    /// The lock file is none.
    #[error("Cargo.lock cannot be read")]
    Lock(#[from] toml::de::Error),
    /// A crate is not from the registry of all crates, so that the layer cannot fetch it.
    #[error(
        "{name} {version} is not from the crates' registry with a checksum, and the layer fetches from nowhere else"
    )]
    Source {
        /// The crate.
        name: String,
        /// Its version.
        version: String,
    },
}

/// Writes the list.
///
/// # Errors
///
/// [`XtaskError::File`] or [`XtaskError::Crates`].
pub(crate) fn run() -> Result<(), XtaskError> {
    let (lock, list) = (root().join("Cargo.lock"), list_file());
    let text = std::fs::read_to_string(&lock).map_err(XtaskError::file(&lock))?;
    std::fs::write(&list, list_of(&text)?).map_err(XtaskError::file(&list))?;
    println!("{} is what Cargo.lock says", list.display());
    Ok(())
}

fn list_file() -> PathBuf {
    root().join("yocto-layer/recipes-smgw/smgw/smgw-crates.inc")
}

/// Writes the list of a lock file, in the form of `bitbake -c update_crates`.
fn list_of(lock: &str) -> Result<String, CratesError> {
    let lock: Lock = toml::from_str(lock)?;
    let mut uris = String::new();
    let mut checksums = String::new();
    for Package {
        name,
        version,
        source,
        checksum,
    } in lock.package
    {
        match (source.as_deref(), checksum) {
            (None, None) => {}
            (Some(REGISTRY), Some(checksum)) => {
                uris.push_str(&format!("    crate://crates.io/{name}/{version} \\\n"));
                checksums.push_str(&format!("SRC_URI[{name}-{version}.sha256sum] = \"{checksum}\"\n"));
            }
            (Some(_), _) | (None, Some(_)) => return Err(CratesError::Source { name, version }),
        }
    }
    Ok(format!("{HEAD}\nSRC_URI += \"\\\n{uris}\"\n\n{checksums}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const OURS: &str = "[[package]]\nname = \"model\"\nversion = \"0.1.0\"\n";

    fn foreign(source: &str) -> String {
        format!(
            "{OURS}\n[[package]]\nname = \"hex\"\nversion = \"0.4.3\"\nsource = \"{source}\"\nchecksum = \"7f24\"\n"
        )
    }

    #[test]
    fn list_is_what_the_lock_file_says() {
        let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
        let list = std::fs::read_to_string(list_file()).unwrap();
        assert!(
            list == list_of(&lock).unwrap(),
            "the list of crates is stale: `cargo xtask crates` writes it anew"
        );
    }

    #[test]
    fn crates_are_listed_with_their_checksums_and_ours_are_not() {
        let list = list_of(&foreign(REGISTRY)).unwrap();
        assert!(list.contains("    crate://crates.io/hex/0.4.3 \\\n"), "{list}");
        assert!(
            list.contains("SRC_URI[hex-0.4.3.sha256sum] = \"7f24\"\n"),
            "{list}"
        );
        assert!(!list.contains("model"), "{list}");
    }

    #[test]
    fn a_crate_from_elsewhere_is_refused() {
        let error = list_of(&foreign("git+https://example.org/hex")).unwrap_err();
        assert!(matches!(error, CratesError::Source { name, .. } if name == "hex"));
        assert!(matches!(list_of("no lock file"), Err(CratesError::Lock(_))));
    }

    /// bitbake runs cargo elsewhere, so that `.cargo/config.toml` is not found there.
    #[test]
    fn recipes_set_what_the_configuration_of_cargo_sets() {
        #[derive(Deserialize)]
        struct Configuration {
            env: BTreeMap<String, String>,
        }
        let text = std::fs::read_to_string(root().join(".cargo/config.toml")).unwrap();
        let configuration: Configuration = toml::from_str(&text).unwrap();
        let recipe = root().join("yocto-layer/recipes-smgw/smgw/smgw.inc");
        let recipe = std::fs::read_to_string(recipe).unwrap();
        assert!(!configuration.env.is_empty());
        for (name, value) in configuration.env {
            let line = format!("export {name} = \"{value}\"\n");
            assert!(recipe.contains(&line), "smgw.inc lacks {line}");
        }
    }

    /// What is built for a device has no card in a file, and no other feature for tests.
    #[test]
    fn recipes_ask_for_no_feature() {
        let mut recipes = 0;
        for file in std::fs::read_dir(root().join("yocto-layer/recipes-smgw/smgw")).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            recipes += usize::from(text.contains("inherit cargo"));
            assert!(
                !text.contains("features ") && !text.contains("features="),
                "{text}"
            );
        }
        assert_eq!(recipes, 1);
    }

    #[test]
    fn recipes_have_the_version_of_the_workspace() {
        #[derive(Deserialize)]
        struct Manifest {
            workspace: Workspace,
        }
        #[derive(Deserialize)]
        struct Workspace {
            package: Inherited,
        }
        #[derive(Deserialize)]
        struct Inherited {
            version: String,
        }
        let text = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        let manifest: Manifest = toml::from_str(&text).unwrap();
        let version = manifest.workspace.package.version;
        for program in ["smgw", "trust-center", "supplier"] {
            let recipe = format!("yocto-layer/recipes-smgw/smgw/{program}_{version}.bb");
            assert!(root().join(&recipe).is_file(), "{recipe} is missing");
        }
        let distro = std::fs::read_to_string(root().join("yocto-layer/conf/distro/smgw.conf")).unwrap();
        assert!(distro.contains(&format!("DISTRO_VERSION = \"{version}\"\n")));
    }
}
