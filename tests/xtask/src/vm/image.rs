//! The disk of the machine: a small Debian with the gateway installed as the layer installs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use system::{Meters, Program, Programs};

use super::arch::Arch;
use crate::build::{root, run_step};
use crate::error::XtaskError;

/// What the machine has besides Debian's smallest set and its kernel.
const PACKAGES: &str = "systemd,systemd-sysv,udev,nftables,iproute2,pcscd,sqlite3,curl";
/// The release of Debian.
const RELEASE: &str = "bookworm";
/// What more the root's file system has room for, in megabytes: nothing is ever written to it.
const ROOM_MB: u64 = 200;

/// Where what comes from the repository is installed, besides units and scripts: file, place.
const INSTALLED: [(&str, &str); 12] = [
    (
        "systemd/pcscd.service.d/smgw.conf",
        "usr/lib/systemd/system/pcscd.service.d/smgw.conf",
    ),
    (
        "systemd/pcscd.socket.d/smgw.conf",
        "usr/lib/systemd/system/pcscd.socket.d/smgw.conf",
    ),
    ("systemd/smgw.catalog", "usr/lib/systemd/catalog/smgw.catalog"),
    ("systemd/smgw.sysusers", "usr/lib/sysusers.d/smgw.conf"),
    ("systemd/smgw.tmpfiles", "usr/lib/tmpfiles.d/smgw.conf"),
    ("systemd/smgw.sysctl", "usr/lib/sysctl.d/60-smgw.conf"),
    ("systemd/nftables.conf", "usr/share/smgw/nftables.conf"),
    (
        "yocto-layer/recipes-smgw/system/files/journald.conf",
        "usr/lib/systemd/journald.conf.d/smgw.conf",
    ),
    (
        "tests/xtask/src/vm/guest/smgw-vm.service",
        "usr/lib/systemd/system/smgw-vm.service",
    ),
    (
        "tests/xtask/src/vm/guest/smgw-meters.service",
        "usr/lib/systemd/system/smgw-meters.service",
    ),
    (
        "tests/xtask/src/vm/guest/smgw-wire.service",
        "usr/lib/systemd/system/smgw-wire.service",
    ),
    (
        "tests/xtask/src/vm/guest/vm.conf",
        "usr/lib/systemd/system/smgw.service.d/vm.conf",
    ),
];
/// The programs of the units, and where they are.
const SCRIPTS: [&str; 4] = ["data-check", "first-boot", "health", "recover"];
const LIBEXEC: &str = "usr/libexec/smgw";
/// The script that looks at the machine, in parts.
const CHECKS: [&str; 4] = ["check", "faults", "partition", "tools"];
/// What our units are called, but for those of the servers, which are no part of a device.
const UNITS: [&str; 3] = ["service", "mount", "slice"];
const NOT_ON_A_DEVICE: [&str; 2] = ["supplier.service", "trust-center.service"];
/// Units that systemd enables by the name that stands in them.
const ENABLED: [&str; 10] = [
    "data.mount",
    "etc-smgw.mount",
    "pcscd.socket",
    "smgw-firewall.service",
    "smgw-first-boot.service",
    "smgw-recovery.service",
    "smgw-vm.service",
    "smgw.service",
    "tmp.mount",
    "var-lib-smgw.mount",
];
/// Nobody logs in.
const MASKED: [&str; 4] = [
    "getty-static.service",
    "getty@tty1.service",
    "serial-getty@ttyAMA0.service",
    "serial-getty@ttyS0.service",
];
/// Where the meters are that the configuration names.
const METERS: [&str; 2] = ["127.0.0.1:10001", "127.0.0.1:10002"];
/// This machine, as one whose processor is foreign sees it, when its network is the emulator's.
const HOST: &str = "10.0.2.2";

/// What a machine is started from.
#[derive(Debug)]
pub(super) struct Image {
    /// Its processor.
    pub(super) arch: Arch,
    /// The kernel.
    pub(super) kernel: PathBuf,
    /// Its first root.
    pub(super) initrd: PathBuf,
    /// The disk with the root.
    pub(super) root: PathBuf,
}

/// What runs in a machine.
#[derive(Debug)]
pub(super) enum Load<'a> {
    /// The gateway of this machine's programs, and the meters beside it.
    Native(&'a Programs),
    /// A gateway for another processor, and meters that run here.
    Foreign(&'a Path, &'a Meters),
}

impl Image {
    /// Makes the image in the folder, anew but for what comes from Debian.
    ///
    /// # Errors
    ///
    /// [`XtaskError::Step`] names what failed; it takes root.
    pub(super) fn make(arch: Arch, folder: &Path, load: &Load<'_>) -> Result<Self, XtaskError> {
        std::fs::create_dir_all(folder).map_err(XtaskError::file(folder))?;
        let place = tempfile::tempdir_in(folder).map_err(XtaskError::file(folder))?;
        let tree = place.path().join("root");
        unpack(arch, PACKAGES, folder, &tree)?;
        install_load(arch, &tree, load)?;
        settle(&tree, load)?;
        let image = Self {
            arch,
            kernel: folder.join("kernel"),
            initrd: folder.join("initrd"),
            root: folder.join("root.img"),
        };
        copy_only(&tree.join("boot"), "vmlinuz-", &image.kernel)?;
        copy_only(&tree.join("boot"), "initrd.img-", &image.initrd)?;
        make_disk(&image.root, Some(&tree))?;
        Ok(image)
    }
}

/// Unpacks a small Debian as a new folder; what comes from Debian is fetched once and kept.
///
/// # Errors
///
/// [`XtaskError::Step`] names what failed; it takes root.
pub(crate) fn unpack_debian(folder: &Path, tree: &Path) -> Result<(), XtaskError> {
    unpack_debian_with(PACKAGES, folder, tree)
}

/// As [`unpack_debian`], with these packages besides the kernel.
///
/// # Errors
///
/// As [`unpack_debian`].
pub(crate) fn unpack_debian_with(packages: &str, folder: &Path, tree: &Path) -> Result<(), XtaskError> {
    unpack(Arch::X86, packages, folder, tree)
}

fn unpack(arch: Arch, packages: &str, folder: &Path, tree: &Path) -> Result<(), XtaskError> {
    std::fs::create_dir_all(folder).map_err(XtaskError::file(folder))?;
    let debian = folder.join("debian.tar");
    let list = folder.join("debian.packages");
    let packages = format!("{packages},linux-image-cloud-{}", arch.debian());
    // Another list of packages is another Debian.
    if !std::fs::read_to_string(&list).is_ok_and(|made| made == packages) {
        arch.make_runnable()?;
        let mut make = Command::new("mmdebstrap");
        make.args(["--quiet", "--variant=minbase"])
            .arg(format!("--architectures={}", arch.debian()))
            .arg(format!("--include={packages}"));
        run_step("mmdebstrap", make.arg(RELEASE).arg(&debian))?;
        std::fs::write(&list, packages).map_err(XtaskError::file(&list))?;
    }
    std::fs::create_dir(tree).map_err(XtaskError::file(tree))?;
    let mut unpack = Command::new("tar");
    unpack
        .arg("-C")
        .arg(tree)
        .arg("-xf")
        .arg(&debian)
        .arg("--exclude=./dev/*");
    run_step("tar", &mut unpack)
}

/// Makes an empty data partition.
pub(super) fn make_data(file: &Path) -> Result<(), XtaskError> {
    make_disk(file, None)
}

/// Gives a data partition another name, so that it is not found.
pub(super) fn label(data: &Path, label: &str) -> Result<(), XtaskError> {
    run_step("e2label", Command::new("e2label").arg(data).arg(label))
}

/// Damages a data partition beyond what e2fsck mends without being told to: a folder has no blocks any more, and the file
/// system knows of an error.
pub(super) fn damage(data: &Path) -> Result<(), XtaskError> {
    for request in ["set_inode_field /rauc block[0] 0", "set_super_value state 2"] {
        let mut debugfs = Command::new("debugfs");
        run_step("debugfs", debugfs.args(["-w", "-R", request]).arg(data))?;
    }
    Ok(())
}

/// Installs the programs of this machine, our units, and what looks at the machine.
///
/// # Errors
///
/// [`XtaskError::Step`] names what could not be installed.
pub(crate) fn install_all(tree: &Path, programs: &Programs) -> Result<(), XtaskError> {
    install_load(Arch::X86, tree, &Load::Native(programs))
}

fn install_load(arch: Arch, tree: &Path, load: &Load<'_>) -> Result<(), XtaskError> {
    for folder in ["data", "etc/smgw", "var/lib/smgw"] {
        let folder = tree.join(folder);
        std::fs::create_dir_all(&folder).map_err(XtaskError::file(&folder))?;
    }
    let programs = match load {
        Load::Native(programs) => [Program::Smgw, Program::Simulators]
            .map(|program| (programs.path(program), program.name()))
            .to_vec(),
        Load::Foreign(smgw, _) => vec![(smgw.to_path_buf(), Program::Smgw.name())],
    };
    for (program, name) in programs {
        let place = tree.join("usr/bin").join(name);
        install(&program, "755", &place)?;
        run_step("strip", Command::new(arch.strip()).arg(&place))?;
    }
    for (file, place) in INSTALLED {
        install(&root().join(file), "644", &tree.join(place))?;
    }
    for script in SCRIPTS {
        let file = root().join("systemd").join(script);
        install(&file, "755", &tree.join(LIBEXEC).join(script))?;
    }
    for part in CHECKS {
        let file = root().join("tests/xtask/src/vm/guest").join(part);
        install(&file, "755", &tree.join(LIBEXEC).join("vm").join(part))?;
    }
    for unit in units()? {
        let name = unit.file_name().unwrap_or_default();
        install(&unit, "644", &tree.join("usr/lib/systemd/system").join(name))?;
    }
    install_configuration(tree, load)
}

/// Returns the units of a device.
fn units() -> Result<Vec<PathBuf>, XtaskError> {
    let folder = root().join("systemd");
    let files = std::fs::read_dir(&folder).map_err(XtaskError::file(&folder))?;
    let paths = files.filter_map(|file| Some(file.ok()?.path()));
    let is_of_a_device = |path: &PathBuf| {
        let is_unit = UNITS
            .iter()
            .any(|kind| path.extension().is_some_and(|ending| ending == *kind));
        is_unit && !NOT_ON_A_DEVICE.iter().any(|server| path.ends_with(server))
    };
    Ok(paths.filter(is_of_a_device).collect())
}

/// Installs the configuration with the meters where they are.
fn install_configuration(tree: &Path, load: &Load<'_>) -> Result<(), XtaskError> {
    let sample = root().join("tests/xtask/src/vm/guest/smgw.toml");
    let mut text = std::fs::read_to_string(&sample).map_err(XtaskError::file(&sample))?;
    if let Load::Foreign(_, meters) = load {
        let addresses = meters.addresses();
        for (here, there) in METERS.into_iter().zip([&addresses.mbus, &addresses.modbus]) {
            let port = there.rsplit(':').next().unwrap_or_default();
            text = text.replace(here, &format!("{HOST}:{port}"));
        }
    }
    let place = tree.join("usr/share/smgw/smgw.toml");
    std::fs::write(&place, text).map_err(XtaskError::file(&place))
}

/// Makes the machine what a device is: our units, nobody who logs in, and a root that nothing has to be written to.
fn settle(tree: &Path, load: &Load<'_>) -> Result<(), XtaskError> {
    let mut in_root = std::ffi::OsString::from("--root=");
    in_root.push(tree);
    run_step("systemd-sysusers", Command::new("systemd-sysusers").arg(&in_root))?;
    let memory = tree.join("usr/share/systemd/tmp.mount");
    install(&memory, "644", &tree.join("usr/lib/systemd/system/tmp.mount"))?;
    let meters = match load {
        Load::Native(_) => "smgw-meters.service",
        Load::Foreign(..) => "smgw-wire.service",
    };
    for (verb, units) in [
        ("enable", ENABLED.as_slice()),
        ("enable", &[meters]),
        ("mask", &MASKED),
    ] {
        let mut systemctl = Command::new("systemctl");
        run_step(
            "systemctl",
            systemctl.args(["--quiet", verb]).arg(&in_root).args(units),
        )?;
    }
    let mut catalogue = Command::new("journalctl");
    run_step("journalctl", catalogue.arg("--update-catalog").arg(&in_root))?;
    for file in ["etc/machine-id", "etc/fstab"] {
        let file = tree.join(file);
        std::fs::write(&file, "").map_err(XtaskError::file(&file))?;
    }
    Ok(())
}

/// Installs one file.
///
/// # Errors
///
/// [`XtaskError::Step`] if it cannot be.
pub(crate) fn install(file: &Path, mode: &str, place: &Path) -> Result<(), XtaskError> {
    let mut install = Command::new("install");
    run_step("install", install.args(["-D", "-m", mode]).arg(file).arg(place))
}

/// Copies the only file of a folder whose name begins so.
fn copy_only(folder: &Path, beginning: &str, to: &Path) -> Result<(), XtaskError> {
    let files = std::fs::read_dir(folder).map_err(XtaskError::file(folder))?;
    let mut names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let name = names.find(|name| name.starts_with(beginning)).unwrap_or_default();
    std::fs::copy(folder.join(name), to)
        .map(drop)
        .map_err(XtaskError::file(to))
}

/// Makes a disk that is one file system: the root with this tree, or the data partition, empty.
///
/// # Errors
///
/// [`XtaskError::Step`] if it cannot be made.
pub(crate) fn make_disk(file: &Path, tree: Option<&Path>) -> Result<(), XtaskError> {
    let mut make = Command::new("mke2fs");
    make.args(["-q", "-F", "-t", "ext4"]);
    let size = match tree {
        Some(tree) => {
            make.args(["-L", "root", "-E", "root_owner=0:0", "-d"]).arg(tree);
            format!("{}M", megabytes(tree)?.saturating_add(ROOM_MB))
        }
        None => {
            make.args(["-L", "data"]);
            "128M".to_owned()
        }
    };
    // A disk that is there keeps its size, and what was on it.
    drop(std::fs::remove_file(file));
    run_step("mke2fs", make.arg(file).arg(size))
}

fn megabytes(tree: &Path) -> Result<u64, XtaskError> {
    let output = Command::new("du").arg("-sm").arg(tree).output();
    let output = output.map_err(XtaskError::file(tree))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text
        .split_whitespace()
        .next()
        .and_then(|size| size.parse().ok())
        .unwrap_or(1_024))
}
