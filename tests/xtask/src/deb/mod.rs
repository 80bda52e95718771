//! `cargo xtask deb`: the packages for Debian, judged by lintian, and with `--check` installed into a Debian of their own.
//!
//! What is in a package stands in `[package.metadata.deb]` of the program's manifest. What dpkg runs is written by cargo-deb as
//! debhelper would write it; nothing of it is ours. The pages and completions are those of `cargo xtask man`, which is run
//! first; with `--no-build` those are packed that are there.
#![expect(clippy::print_stdout, reason = "a command-line tool prints its result")]

mod check;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

pub(crate) use check::PackageError;

use crate::build::{cargo, root, run_step};
use crate::error::XtaskError;
use crate::{apps, manual, packages};

/// The version of cargo-deb, so that a new one cannot break an old commit.
const CARGO_DEB: &str = "3.8.0";
/// What lintian is not asked about: nobody has asked for these packages in Debian, the line of whoever keeps them is written by
/// whoever builds them, with `--maintainer`, and nft reads its own rules.
const NOT_ASKED: &str = "initial-upload-closes-no-bugs,bogus-mail-host,bogus-mail-host-in-debian-changelog,\
    unusual-interpreter";
/// What it is not asked about either while no pages have been made.
const NO_PAGES: &str = ",no-manual-page";

/// A package and what it is made of.
#[derive(Debug, Clone, Copy)]
struct Package {
    /// Its name, and that of its program.
    name: &'static str,
    /// The folder of the crate.
    folder: &'static str,
}

const PACKAGES: [Package; 3] = [
    Package {
        name: "smgw",
        folder: "gateway/daemon",
    },
    Package {
        name: "trust-center",
        folder: "gateway/trust-center",
    },
    Package {
        name: "supplier",
        folder: "gateway/supplier",
    },
];

/// How the packages are made.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Installs them in a small Debian, looks at what is there, and removes them again; takes root.
    #[arg(long)]
    check: bool,
    /// Packs the programs that are in the release folder as they are.
    #[arg(long)]
    no_build: bool,
    /// Who keeps the packages, as `Name <address>`.
    #[arg(long)]
    maintainer: Option<String>,
}

/// Makes the packages in `target/debian`.
///
/// # Errors
///
/// [`XtaskError::Step`] names what failed, [`XtaskError::Package`] what is wrong with a package.
pub(crate) fn run(options: &Options) -> Result<(), XtaskError> {
    packages::ensure(&packages::FOR_DEB, &mut |text| println!("{text}"))?;
    let packer = packer()?;
    if !options.no_build {
        println!("== the pages and completions");
        manual::run(&manual::Options::default())?;
    }
    let mut made = Vec::new();
    for package in PACKAGES {
        println!("== the package {}", package.name);
        let file = folder().join(format!("{}.deb", package.name));
        run_step("cargo deb", &mut pack(package, &packer, options, &file)?)?;
        made.push(file);
    }
    println!("== lintian");
    let has_pages = apps::target().join("man/man1").exists();
    let not_asked = format!("{NOT_ASKED}{}", if has_pages { "" } else { NO_PAGES });
    let mut lintian = Command::new("lintian");
    lintian
        .args(["--no-cfg", "--allow-root", "--tag-display-limit", "0"])
        .args(["--fail-on", "error,warning", "--suppress-tags", &not_asked]);
    run_step("lintian", lintian.args(&made))?;
    for file in &made {
        let bytes = std::fs::metadata(file).map_err(XtaskError::file(file))?.len();
        println!("{}: {bytes} bytes", file.display());
    }
    if options.check {
        check::run(&made)?;
    }
    Ok(())
}

/// Returns where the packages are put.
fn folder() -> PathBuf {
    apps::target().join("debian")
}

/// Returns the path of cargo-deb, installed beside what is built if it is not there.
fn packer() -> Result<PathBuf, XtaskError> {
    let tools = apps::target().join("tools");
    let program = tools.join("bin/cargo-deb");
    let version = Command::new(&program)
        .arg("--version")
        .stderr(Stdio::null())
        .output();
    let is_there = version.is_ok_and(|output| {
        let version = String::from_utf8_lossy(&output.stdout);
        version.split_whitespace().any(|word| word == CARGO_DEB)
    });
    if !is_there {
        let mut install = cargo(&["install", "--locked", "--quiet", "--root"]);
        install.arg(&tools).arg(format!("cargo-deb@{CARGO_DEB}"));
        run_step("cargo install cargo-deb", &mut install)?;
    }
    Ok(program)
}

/// Returns the command that makes a package.
fn pack(package: Package, packer: &Path, options: &Options, file: &Path) -> Result<Command, XtaskError> {
    let mut command = Command::new(packer);
    command
        .env("CARGO", cargo(&[]).get_program())
        .current_dir(root())
        .args(["--quiet", "--locked", "--strip", "--no-dbgsym", "--manifest-path"])
        .arg(root().join(package.folder).join("Cargo.toml"))
        .arg("--output")
        .arg(file);
    if options.no_build {
        command.arg("--no-build");
    }
    if let Some(maintainer) = &options.maintainer {
        command.arg("--maintainer").arg(maintainer);
    }
    if lay_out_pages(package)? {
        command.args(["--variant", "pages"]);
    }
    Ok(command)
}

/// How the file of a page ends.
const PAGE: &str = ".1";

/// Where `cargo xtask man` writes, for all programs together: what to take of it, and where the manifest looks for it.
const PLACES: [(&str, &str, &str); 4] = [
    ("man/man1", PAGE, "man"),
    ("completions", ".bash", "completions/bash"),
    ("completions", "", "completions/zsh"),
    ("completions", ".fish", "completions/fish"),
];

/// Lays the pages and completions of a program where its manifest looks for them; returns whether there are any.
fn lay_out_pages(package: Package) -> Result<bool, XtaskError> {
    let target = apps::target();
    let laid_out = target.join("release/pages");
    if laid_out.exists() {
        std::fs::remove_dir_all(&laid_out).map_err(XtaskError::file(&laid_out))?;
    }
    let mut has_pages = false;
    for (from, ending, to) in PLACES {
        let to = laid_out.join(to);
        std::fs::create_dir_all(&to).map_err(XtaskError::file(&to))?;
        let Ok(files) = std::fs::read_dir(target.join(from)) else {
            continue;
        };
        for file in files {
            let file = file.map_err(XtaskError::file(&target))?.path();
            let name = file.file_name().and_then(|name| name.to_str());
            let Some(installed) = name.and_then(|name| installed_name(name, ending, package.name)) else {
                continue;
            };
            let to = to.join(installed);
            std::fs::copy(&file, &to).map_err(XtaskError::file(&to))?;
            has_pages = true;
            if ending == PAGE {
                // Debian wants pages compressed, and without the time at which that was done.
                run_step(
                    "gzip",
                    Command::new("gzip").args(["--best", "--no-name"]).arg(&to),
                )?;
            }
        }
    }
    Ok(has_pages)
}

/// Returns the name that a page or a completion of a program is installed under: bash finds one by the program's name alone,
/// zsh by the same behind an underscore, without an ending.
fn installed_name(file: &str, ending: &str, program: &str) -> Option<String> {
    match ending {
        "" => (file.strip_prefix('_') == Some(program)).then(|| file.to_owned()),
        ".bash" => (file.strip_suffix(ending) == Some(program)).then(|| program.to_owned()),
        _ => (file.ends_with(ending) && belongs_to(file, program)).then(|| file.to_owned()),
    }
}

/// Says whether a page is a program's: `smgw.1`, `smgw-config-check.1`.
fn belongs_to(file: &str, program: &str) -> bool {
    let rest = file.strip_prefix(program);
    rest.is_some_and(|rest| rest.starts_with(['.', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_packed_with_their_program() {
        let installed = |file, ending| installed_name(file, ending, "smgw");
        for page in ["smgw.1", "smgw-config-check.1"] {
            assert_eq!(installed(page, ".1").as_deref(), Some(page));
        }
        assert_eq!(installed("smgw.bash", ".bash").as_deref(), Some("smgw"));
        assert_eq!(installed("_smgw", "").as_deref(), Some("_smgw"));
        assert_eq!(installed("smgw.fish", ".fish").as_deref(), Some("smgw.fish"));
        for (file, ending) in [
            ("supplier.1", ".1"),
            ("smgwd.1", ".1"),
            ("smgw.bash", ""),
            ("smgw.fish", ".bash"),
            ("_supplier", ""),
        ] {
            assert_eq!(installed(file, ending), None, "{file}");
        }
    }

    #[test]
    fn no_package_is_built_with_the_card_in_a_file() {
        for package in PACKAGES {
            let manifest = root().join(package.folder).join("Cargo.toml");
            let manifest: toml::Table = toml::from_str(&std::fs::read_to_string(manifest).unwrap()).unwrap();
            let deb = manifest["package"]["metadata"]["deb"].as_table().unwrap();
            assert_eq!(deb["name"].as_str(), Some(package.name));
            assert!(!deb.contains_key("features"), "{}", package.name);
            let is_default = manifest
                .get("features")
                .is_some_and(|all| all.get("default").is_some());
            assert!(!is_default, "{}", package.name);
        }
    }

    #[test]
    fn every_file_that_a_package_names_is_there() {
        for package in PACKAGES {
            let folder = root().join(package.folder);
            let manifest: toml::Table =
                toml::from_str(&std::fs::read_to_string(folder.join("Cargo.toml")).unwrap()).unwrap();
            let deb = &manifest["package"]["metadata"]["deb"];
            let sources = deb["assets"]
                .as_array()
                .unwrap()
                .iter()
                .map(|asset| asset[0].as_str());
            for source in sources.chain([deb["changelog"].as_str()]) {
                let source = source.unwrap();
                assert!(
                    source.starts_with("target/release/") || folder.join(source).is_file(),
                    "{}: {source}",
                    package.name
                );
            }
        }
    }
}
