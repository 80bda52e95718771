//! `cargo xtask apps`: builds the energy applications, the same to the byte wherever Debian 12 runs.
//!
//! The compiler is Debian's, named by its absolute path, and the linker is Debian's too: neither changes within a release, and
//! nothing of the toolchain that builds the gateway is in the modules. Paths are mapped away. What comes out is compared
//! with the digests in `gateway/apps/digests.txt`.
#![expect(clippy::print_stdout, reason = "a command-line tool prints its result")]

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use sha2::{Digest, Sha256};

use crate::build::{cargo, root, run_step};
use crate::error::XtaskError;
use crate::packages;

/// Every application, in the order of their names.
const APPS: [&str; 9] = [
    "gas-energy",
    "taf-1",
    "taf-2",
    "taf-3",
    "taf-4",
    "taf-5",
    "taf-6",
    "taf-7",
    "taf-8",
];

const RUSTC: &str = "/usr/bin/rustc";
const LINKER: &str = "wasm-ld-14";
const TARGET: &str = "wasm32-unknown-unknown";
/// The compiler that the digests are of.
const VERSION: &str = "rustc 1.63.0";
/// The most memory of a module: the most that the gateway gives one.
const MAX_MEMORY: &str = "--max-memory=4194304";
/// The section of a package that holds the manifest.
const MANIFEST_SECTION: &[u8] = b"smgw.manifest";
const CUSTOM: u8 = 0;

/// What to do with the digests.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Options {
    /// Write the digests of what was built down instead of comparing them.
    #[arg(long)]
    accept: bool,
}

/// Builds every application and compares its digest.
///
/// # Errors
///
/// [`XtaskError::Compiler`] if Debian's compiler is another one, [`XtaskError::Digest`] if a module differs from what is
/// written down, and whatever keeps it from being built.
pub(crate) fn run(options: Options) -> Result<(), XtaskError> {
    packages::ensure(&packages::FOR_APPS, &mut |text| println!("{text}"))?;
    check_compiler()?;
    let folder = target().join("apps");
    std::fs::create_dir_all(&folder).map_err(XtaskError::file(&folder))?;
    let library = folder.join("libguest.rlib");
    run_step("build the guests' library", &mut library_command(&library))?;
    let mut lines = String::from(
        "# SHA-256 of each application's unsigned package, as rustc 1.63.0 and LLD 14 of Debian 12 make it;\n\
         # `cargo xtask apps` compares, `cargo xtask apps --accept` writes.\n",
    );
    for app in APPS {
        let module = folder.join(format!("{app}.module.wasm"));
        run_step(app, &mut app_command(app, &library, &module))?;
        let manifest = root().join("gateway/apps").join(app).join("manifest.json");
        let module = std::fs::read(&module).map_err(XtaskError::file(&module))?;
        let manifest = std::fs::read(&manifest).map_err(XtaskError::file(&manifest))?;
        let package = package(&module, &manifest);
        let file = folder.join(format!("{app}.wasm"));
        std::fs::write(&file, &package).map_err(XtaskError::file(&file))?;
        let digest = hexadecimal(&Sha256::digest(&package));
        println!("{digest}  {app}.wasm  ({} bytes of module)", module.len());
        lines.push_str(&format!("{digest}  {app}.wasm\n"));
    }
    let file = root().join("gateway/apps/digests.txt");
    if options.accept {
        return std::fs::write(&file, lines).map_err(XtaskError::file(&file));
    }
    let known = std::fs::read_to_string(&file).map_err(XtaskError::file(&file))?;
    compare(&known, &lines)
}

/// Holds the applications against the form that everything else has.
///
/// # Errors
///
/// [`XtaskError::Step`] if a file has another.
pub(crate) fn check_format() -> Result<(), XtaskError> {
    let mut format = cargo(&[
        "fmt",
        "--manifest-path",
        "gateway/apps/Cargo.toml",
        "--all",
        "--check",
    ]);
    run_step("format of the applications", &mut format)
}

/// Returns the command that runs the applications' tests on this machine.
pub(crate) fn native_tests() -> Command {
    native("test")
}

/// Returns the command that holds the applications against clippy, on this machine.
pub(crate) fn native_clippy() -> Command {
    let mut command = native("clippy");
    command.args(["--all-targets", "--", "-D", "warnings"]);
    command
}

fn native(chore: &str) -> Command {
    let mut command = cargo(&[chore, "--release", "--manifest-path", "gateway/apps/Cargo.toml"]);
    command.env("CARGO_TARGET_DIR", target().join("native-apps"));
    command
}

/// The first line that differs is an error.
fn compare(known: &str, built: &str) -> Result<(), XtaskError> {
    let digests = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    let known = digests(known);
    match digests(built).into_iter().find(|line| !known.contains(line)) {
        None => Ok(()),
        Some(line) => Err(XtaskError::Digest { line }),
    }
}

/// Returns the folder of what is built, as cargo has it.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn check_compiler() -> Result<(), XtaskError> {
    let output = Command::new(RUSTC).arg("--version").output();
    let output = output.map_err(|source| XtaskError::Start {
        program: RUSTC.to_owned(),
        source,
    })?;
    let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if found == VERSION {
        return Ok(());
    }
    Err(XtaskError::Compiler {
        expected: VERSION,
        found,
    })
}

/// Begins a command of Debian's compiler that does not depend on where it runs.
fn compiler() -> Command {
    let mut command = Command::new(RUSTC);
    let remap = format!("--remap-path-prefix={}=/smgw", root().display());
    command
        .current_dir(root())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .args(["--edition", "2021", "--target", TARGET, &remap])
        .args(["-C", "opt-level=2", "-C", "panic=abort", "-C", "codegen-units=1"])
        // A sum of a bill that does not fit stops the run.
        .args(["-C", "overflow-checks=on"]);
    command
}

fn library_command(library: &Path) -> Command {
    let mut command = compiler();
    command
        .args([
            "--crate-type",
            "rlib",
            "--crate-name",
            "guest",
            "-C",
            "embed-bitcode=yes",
            "-o",
        ])
        .arg(library)
        .arg("gateway/apps/guest/src/lib.rs");
    command
}

fn app_command(app: &str, library: &Path, module: &Path) -> Command {
    let mut command = compiler();
    let linker = format!("linker={LINKER}");
    let max_memory = format!("link-arg={MAX_MEMORY}");
    command
        .args(["--crate-type", "cdylib", "--crate-name", &app.replace('-', "_")])
        .args(["-C", "lto=fat", "-C", &linker, "-C", &max_memory])
        .args(["-C", "link-arg=-zstack-size=16384", "-C", "link-arg=--strip-all"])
        .arg("--extern")
        .arg(format!("guest={}", library.display()))
        .arg("-o")
        .arg(module)
        .arg(format!("gateway/apps/{app}/src/lib.rs"));
    command
}

/// Puts the manifest behind the module, in a custom section: `evaluation::package` is what reads it.
fn package(module: &[u8], manifest: &[u8]) -> Vec<u8> {
    let mut content = leb128(MANIFEST_SECTION.len());
    content.extend(MANIFEST_SECTION);
    content.extend(manifest);
    let mut package = module.to_vec();
    package.push(CUSTOM);
    package.extend(leb128(content.len()));
    package.extend(content);
    package
}

/// Writes a number as LEB128 in its shortest form.
fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_with_a_manifest_is_an_application() {
        let folders = std::fs::read_dir(root().join("gateway/apps")).unwrap();
        let mut found: Vec<String> = folders
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().join("manifest.json").exists())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, APPS);
    }

    #[test]
    fn section_is_a_custom_one_in_its_shortest_form() {
        assert_eq!(package(b"M", b"{}"), *b"M\x00\x10\x0dsmgw.manifest{}");
        assert_eq!(leb128(300), [0xac, 0x02]);
    }

    #[test]
    fn digest_that_differs_is_named() {
        assert!(compare("# x\naa  a.wasm\nbb  b.wasm\n", "aa  a.wasm\n").is_ok());
        let error = compare("aa  a.wasm\n", "# y\nab  a.wasm\n").unwrap_err();
        assert!(error.to_string().contains("ab  a.wasm"));
    }
}
