//! The disk of the machine: a small Debian with the gateway installed as the layer installs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use system::{Program, Programs};

use crate::build::{root, run_step};
use crate::error::XtaskError;

/// What the machine has besides Debian's smallest set.
const PACKAGES: &str =
    "systemd,systemd-sysv,udev,linux-image-cloud-amd64,nftables,iproute2,pcscd,sqlite3,curl";
/// The release of Debian.
const RELEASE: &str = "bookworm";
/// What more the root's file system has room for, in megabytes: nothing is ever written to it.
const ROOM_MB: u64 = 200;

/// Where what comes from the repository is installed: file, mode, place.
const INSTALLED: [(&str, &str, &str); 12] = [
    (
        "systemd/pcscd.socket.d/smgw.conf",
        "644",
        "usr/lib/systemd/system/pcscd.socket.d/smgw.conf",
    ),
    ("systemd/smgw.sysusers", "644", "usr/lib/sysusers.d/smgw.conf"),
    ("systemd/smgw.tmpfiles", "644", "usr/lib/tmpfiles.d/smgw.conf"),
    ("systemd/smgw.sysctl", "644", "usr/lib/sysctl.d/60-smgw.conf"),
    ("systemd/nftables.conf", "644", "usr/share/smgw/nftables.conf"),
    ("systemd/first-boot", "755", "usr/libexec/smgw/first-boot"),
    ("systemd/health", "755", "usr/libexec/smgw/health"),
    (
        "tests/xtask/src/vm/guest/check",
        "755",
        "usr/libexec/smgw/vm-check",
    ),
    (
        "tests/xtask/src/vm/guest/smgw.toml",
        "644",
        "usr/share/smgw/smgw.toml",
    ),
    (
        "tests/xtask/src/vm/guest/smgw-vm.service",
        "644",
        "usr/lib/systemd/system/smgw-vm.service",
    ),
    (
        "tests/xtask/src/vm/guest/smgw-meters.service",
        "644",
        "usr/lib/systemd/system/smgw-meters.service",
    ),
    (
        "tests/xtask/src/vm/guest/vm.conf",
        "644",
        "usr/lib/systemd/system/smgw.service.d/vm.conf",
    ),
];
/// Our units.
const UNITS: [&str; 7] = [
    "data.mount",
    "etc-smgw.mount",
    "smgw-firewall.service",
    "smgw-first-boot.service",
    "smgw-health.service",
    "smgw.service",
    "var-lib-smgw.mount",
];

/// Makes the machine what a device is: our units, nobody who logs in, and a root that nothing has to be written to.
const SETTLE: &str = "
set -eu
systemd-sysusers
cp /usr/share/systemd/tmp.mount /usr/lib/systemd/system/
systemctl enable data.mount etc-smgw.mount var-lib-smgw.mount smgw-first-boot smgw-firewall smgw smgw-vm smgw-meters \\
    pcscd.socket tmp.mount
systemctl mask serial-getty@ttyS0.service getty-static.service getty@tty1.service
: >/etc/machine-id
: >/etc/fstab
";

/// What a machine is started from.
#[derive(Debug)]
pub(super) struct Image {
    /// The kernel.
    pub(super) kernel: PathBuf,
    /// Its first root.
    pub(super) initrd: PathBuf,
    /// The disk with the root.
    pub(super) root: PathBuf,
}

impl Image {
    /// Makes the image in the folder, anew but for what comes from Debian.
    ///
    /// # Errors
    ///
    /// [`XtaskError::Step`] names what failed; it takes root.
    pub(super) fn make(folder: &Path, programs: &Programs) -> Result<Self, XtaskError> {
        std::fs::create_dir_all(folder).map_err(XtaskError::file(folder))?;
        let place = tempfile::tempdir_in(folder).map_err(XtaskError::file(folder))?;
        let tree = place.path().join("root");
        unpack_debian(folder, &tree)?;
        install_all(&tree, programs)?;
        run_step(
            "chroot",
            Command::new("chroot").arg(&tree).args(["sh", "-c", SETTLE]),
        )?;
        let image = Self {
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
    std::fs::create_dir_all(folder).map_err(XtaskError::file(folder))?;
    let debian = folder.join("debian.tar");
    let list = folder.join("debian.packages");
    // Another list of packages is another Debian.
    if !std::fs::read_to_string(&list).is_ok_and(|made| made == PACKAGES) {
        let mut make = Command::new("mmdebstrap");
        make.args(["--quiet", "--variant=minbase"])
            .arg(format!("--include={PACKAGES}"));
        run_step("mmdebstrap", make.arg(RELEASE).arg(&debian))?;
        std::fs::write(&list, PACKAGES).map_err(XtaskError::file(&list))?;
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

fn install_all(tree: &Path, programs: &Programs) -> Result<(), XtaskError> {
    for folder in ["data", "etc/smgw", "var/lib/smgw"] {
        let folder = tree.join(folder);
        std::fs::create_dir_all(&folder).map_err(XtaskError::file(&folder))?;
    }
    for program in [Program::Smgw, Program::Simulators] {
        let place = tree.join("usr/bin").join(program.name());
        install(&programs.path(program), "755", &place)?;
        run_step("strip", Command::new("strip").arg(&place))?;
    }
    for (file, mode, place) in INSTALLED {
        install(&root().join(file), mode, &tree.join(place))?;
    }
    for unit in UNITS {
        let place = tree.join("usr/lib/systemd/system").join(unit);
        install(&root().join("systemd").join(unit), "644", &place)?;
    }
    Ok(())
}

fn install(file: &Path, mode: &str, place: &Path) -> Result<(), XtaskError> {
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
fn make_disk(file: &Path, tree: Option<&Path>) -> Result<(), XtaskError> {
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
