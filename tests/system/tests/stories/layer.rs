//! The Yocto layer, as far as it can be judged without bitbake: its recipes, the files of the boards, and what the image has
//! to begin with.

use std::path::{Path, PathBuf};
use std::process::Command;

use system::{Folder, Interrupt, Program, Programs, Stage};

use crate::steps::read;

/// Has kas read files of a build with all that they include, as it does before it fetches anything, and prints what it has
/// to complain about.
const READER: &str = "
import logging, sys
from kas.context import create_global_context
from kas.includehandler import IncludeHandler
logging.basicConfig(level=logging.WARNING, stream=sys.stdout)
create_global_context(type('Options', (), {'__getattr__': lambda *_: None})())
for name in sys.argv[1:]:
    try:
        config, missing = IncludeHandler([name], use_lock=False).get_config()
        if missing or 'layers' not in config['repos']['smgw']:
            print(name, 'lacks', missing, config)
    except Exception as error:
        print(name, error)
";

#[test]
fn recipes_keep_to_the_guide_of_their_style() {
    let recipes = files(&["bb", "bbappend", "conf"]);
    assert!(recipes.len() >= 10, "{recipes:?}");
    let found = judge(&recipes);
    assert!(found.is_empty(), "{found}");

    let folder = tempfile::tempdir().unwrap();
    let recipe = folder.path().join("faulty_1.0.bb");
    std::fs::write(
        &recipe,
        "SUMARY = \"a\"\nLICENSE = \"MIT\"\nSRC_URI = \"file://a\"\n",
    )
    .unwrap();
    let found = judge(&[recipe]);
    assert!(found.contains("oelint.var.mandatoryvar.SUMMARY"), "{found}");
}

#[test]
fn files_of_the_boards_are_understood_by_kas() {
    let boards = ["qemuarm64", "raspberrypi4-64", "imx8mp", "beaglebone"];
    let boards = boards.map(|board| layer().join("kas").join(board).with_extension("yml"));
    assert_eq!(faulty(&boards), "");

    let folder = tempfile::tempdir().unwrap();
    let board = folder.path().join("faulty.yml");
    std::fs::write(&board, "header:\n  version: 14\nmaschine: qemuarm64\n").unwrap();
    assert!(faulty(&[board]).contains("maschine"));
}

#[test]
fn daemon_takes_the_configuration_of_the_image() {
    let programs = Programs::find().unwrap();
    let stage = Stage::bare(programs, Folder::temporary().unwrap(), Interrupt::default()).unwrap();
    let file = layer().join("recipes-smgw/smgw/smgw.toml");
    let check = stage.command(Program::Smgw, "config").arg("check").arg(file);
    let checked = stage.run(&check).unwrap();
    assert_eq!(checked.code, Some(0), "{}", read(&checked.log));
}

#[test]
fn every_unit_and_script_of_a_device_is_installed_by_a_recipe() {
    let recipes = files(&["bb"]);
    let recipes: String = recipes.iter().map(|recipe| read(recipe)).collect();
    let named = |name: &str| {
        recipes
            .split(|c: char| c.is_whitespace() || "\"/;".contains(c))
            .any(|word| word == name)
    };
    let mut judged = 0;
    for file in std::fs::read_dir(layer().join("../systemd")).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        // Servers are no part of a device, and the last is for boards with fuses, as the layer's README says.
        let others = ["supplier", "trust-center", "smgw-otp.conf"];
        if file.path().is_dir() || others.iter().any(|other| name.starts_with(other)) {
            continue;
        }
        assert!(named(&name), "systemd/{name} is installed by no recipe");
        judged += 1;
    }
    assert!(judged >= 15, "{judged}");
    assert!(!named("no-such.service"));
}

fn layer() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../yocto-layer")
}

/// Returns the files of the layer with these endings.
fn files(kinds: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![layer()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_wanted = path
                .extension()
                .is_some_and(|kind| kinds.iter().any(|wanted| kind == *wanted));
            // A file of a program, such as chrony's, is no metadata.
            let is_metadata = path.extension().is_none_or(|kind| kind != "conf")
                || path.components().any(|part| part.as_os_str() == "conf");
            if path.is_dir() {
                folders.push(path);
            } else if is_wanted && is_metadata {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Returns the path of a foreign program, which `cargo verify` installs.
fn foreign(program: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/foreign-python/bin");
    folder.join(program)
}

/// Returns what oelint-adv finds, one finding a line.
fn judge(recipes: &[PathBuf]) -> String {
    let output = Command::new(foreign("oelint-adv"))
        .env("OELINT_CONFIG", layer().join(".oelint.cfg"))
        .args(["--quiet", "--jobs", "1"])
        .args(recipes)
        .output()
        .unwrap();
    let found = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        output.status.success(),
        found.is_empty(),
        "{}: {found}",
        output.status
    );
    found
}

/// Returns what is wrong with files of kas.
fn faulty(files: &[PathBuf]) -> String {
    let mut command = Command::new(foreign("python"));
    let output = command.args(["-c", READER]).args(files).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
