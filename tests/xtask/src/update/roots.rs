//! The roots of the machine, one for each version, and the bundles by which the later ones come.

use std::path::{Path, PathBuf};
use std::process::Command;

use system::{Programs, RAUC_SETTINGS, UPDATE_KEYS, update_manifest};

use super::VERSIONS;
use super::disk::{DISK, places};
use crate::build::{root, run_step};
use crate::error::XtaskError;
use crate::vm::{install, install_all, make_disk, unpack_debian_with};

/// What the machine has besides Debian's smallest set.
const PACKAGES: &str = "systemd,systemd-sysv,udev,dbus,pcscd,nftables,rauc,rauc-service,libubootenv-tool";
/// What makes a Debian a root of the device.
const SETTLE: &str = include_str!("guest/settle");
/// What comes from here: file, mode, place.
const INSTALLED: [(&str, &str, &str); 3] = [
    ("guest/agent", "755", "usr/libexec/smgw/update-agent"),
    (
        "guest/smgw-update.service",
        "644",
        "usr/lib/systemd/system/smgw-update.service",
    ),
    (
        "guest/health.conf",
        "644",
        "usr/lib/systemd/system/smgw-health.service.d/test.conf",
    ),
];
/// A gateway that does not come up.
const BROKEN: &str = "#!/bin/sh\nexit 1\n";

/// The roots and bundles.
#[derive(Debug)]
pub(super) struct Roots {
    folder: PathBuf,
    /// A disk with the bundles `good`, `broken`, `foreign` and `cut`.
    pub(super) bundles: PathBuf,
}

impl Roots {
    /// Returns the image of a version.
    pub(super) fn image(&self, version: &str) -> PathBuf {
        self.folder.join(format!("root-{version}.ext4"))
    }
}

/// Makes them in the folder, anew but for what comes from Debian.
///
/// # Errors
///
/// [`XtaskError::Step`] names what failed.
pub(super) fn make(folder: &Path, programs: &Programs) -> Result<Roots, XtaskError> {
    std::fs::create_dir_all(folder).map_err(XtaskError::file(folder))?;
    let place = tempfile::tempdir_in(folder).map_err(XtaskError::file(folder))?;
    let place = place.path();
    run_step(
        "the keys of updates",
        Command::new("sh").args(["-ec", UPDATE_KEYS]).current_dir(place),
    )?;
    let roots = Roots {
        folder: folder.to_owned(),
        bundles: folder.join("bundles.img"),
    };
    let tree = place.join("root");
    unpack_debian_with(PACKAGES, folder, &tree)?;
    settle(&tree, programs, &place.join("ca.pem"))?;
    let [_, good, broken] = VERSIONS;
    for version in VERSIONS {
        name(&tree, version)?;
        if version == broken {
            write(&tree.join("usr/bin/smgw"), BROKEN)?;
        }
        make_disk(&roots.image(version), Some(&tree))?;
    }
    let made = place.join("bundles");
    std::fs::create_dir(&made).map_err(XtaskError::file(&made))?;
    for (bundle, certificate, version) in [
        ("good", "update", good),
        ("broken", "update", broken),
        ("foreign", "foreign", good),
    ] {
        let bundle = made.join(format!("{bundle}.raucb"));
        make_bundle(place, certificate, version, &roots.image(version), &bundle)?;
    }
    let cut = made.join("cut.raucb");
    let good = std::fs::File::open(made.join("good.raucb"));
    let half = good.and_then(|good| {
        let half = good.metadata()?.len() / 2;
        std::io::copy(
            &mut std::io::Read::take(good, half),
            &mut std::fs::File::create(&cut)?,
        )
    });
    half.map_err(XtaskError::file(&cut))?;
    make_disk(&roots.bundles, Some(&made))?;
    Ok(roots)
}

/// Makes a Debian a root of the device.
fn settle(tree: &Path, programs: &Programs, authority: &Path) -> Result<(), XtaskError> {
    install_all(tree, programs)?;
    for (file, mode, place) in INSTALLED {
        let file = root().join("tests/xtask/src/update").join(file);
        install(&file, mode, &tree.join(place))?;
    }
    install(authority, "644", &tree.join("etc/rauc/ca.cert.pem"))?;
    let settings = RAUC_SETTINGS.replace("@MACHINE@", "test").replace("@DISK@", DISK);
    write(&tree.join("etc/rauc/system.conf"), &settings)?;
    write(&tree.join("etc/fw_env.config"), &places(DISK)?)?;
    let mut settle = Command::new("chroot");
    run_step("chroot", settle.arg(tree).args(["sh", "-c", SETTLE]))
}

/// Names the version of a root where the layer's image names it.
fn name(tree: &Path, version: &str) -> Result<(), XtaskError> {
    let file = tree.join("usr/lib/os-release");
    let text = std::fs::read_to_string(&file).map_err(XtaskError::file(&file))?;
    let mut lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("IMAGE_VERSION="))
        .collect();
    let named = format!("IMAGE_VERSION={version}");
    lines.push(&named);
    write(&file, &format!("{}\n", lines.join("\n")))
}

/// Has RAUC make an update of a root, signed with a certificate.
fn make_bundle(
    place: &Path,
    certificate: &str,
    version: &str,
    image: &Path,
    bundle: &Path,
) -> Result<(), XtaskError> {
    let content = place.join("content");
    if content.exists() {
        std::fs::remove_dir_all(&content).map_err(XtaskError::file(&content))?;
    }
    std::fs::create_dir(&content).map_err(XtaskError::file(&content))?;
    write(
        &content.join("manifest.raucm"),
        &update_manifest(version, "verity"),
    )?;
    let linked = content.join("rootfs.ext4");
    std::fs::hard_link(image, &linked).map_err(XtaskError::file(&linked))?;
    let mut rauc = Command::new("rauc");
    rauc.current_dir(place)
        .args([
            "bundle",
            "--mksquashfs-args=-comp lzo -Xcompression-level 1",
            "--key",
            "update.key",
            "--cert",
        ])
        .arg(format!("{certificate}.pem"));
    run_step("rauc bundle", rauc.arg(&content).arg(bundle))
}

fn write(file: &Path, text: &str) -> Result<(), XtaskError> {
    std::fs::write(file, text).map_err(XtaskError::file(file))
}
