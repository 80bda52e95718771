//! The system packages that a chore needs, installed when they are missing and this is allowed.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::XtaskError;

/// A Debian package and the program or file that proves that it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Package {
    /// A program on the path, or the absolute path of a file.
    proof: &'static str,
    /// The package's name in Debian.
    name: &'static str,
}

const fn package(proof: &'static str, name: &'static str) -> Package {
    Package { proof, name }
}

/// What the demonstration needs: `cc` for the C parts of SQLite and of the cryptography, `pkg-config` and the
/// library of PC/SC for the gateway's way to its card, `setpriv` for processes that end with their parent, `strip` for
/// the size of the program.
pub(crate) const FOR_DEMO: [Package; 6] = [
    package("cc", "gcc"),
    package("/usr/include/stdio.h", "libc6-dev"),
    package("pkg-config", "pkg-config"),
    package("/usr/include/PCSC/winscard.h", "libpcsclite-dev"),
    package("setpriv", "util-linux"),
    package("strip", "binutils"),
];

/// What the checks need besides: a smart card service with a virtual reader, foreign programs that prove our formats,
/// a database server, a directory server, a broker and an HSM in software, network namespaces, one that counts instructions,
/// one that judges units, one that judges updates, readers of PDF, QR codes and XML, and a browser.
pub(crate) const FOR_VERIFY: [Package; 43] = [
    package("cc", "gcc"),
    package("/usr/include/stdio.h", "libc6-dev"),
    package("pkg-config", "pkg-config"),
    package("/usr/include/PCSC/winscard.h", "libpcsclite-dev"),
    package("setpriv", "util-linux"),
    package("strip", "binutils"),
    package("git", "git"),
    package("mbpoll", "mbpoll"),
    package("opensc-tool", "opensc"),
    package("pcsc_scan", "pcsc-tools"),
    package("pcscd", "pcscd"),
    package("/usr/lib/pcsc/drivers/serial/libifdvpcd.so", "vsmartcard-vpcd"),
    package("openssl", "openssl"),
    package("curl", "curl"),
    package("chromium", "chromium"),
    package(
        "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
        "fonts-dejavu-core",
    ),
    package("node", "nodejs"),
    package("npm", "npm"),
    package("/usr/share/doc/postgresql/copyright", "postgresql"),
    package("/usr/sbin/mosquitto", "mosquitto"),
    package("/usr/sbin/nats-server", "nats-server"),
    package("ip", "iproute2"),
    package("nft", "nftables"),
    package("mosquitto_pub", "mosquitto-clients"),
    package(
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
        "libfaketime",
    ),
    package("softhsm2-util", "softhsm2"),
    package("slapd", "slapd"),
    package("ldapsearch", "ldap-utils"),
    package("sqlite3", "sqlite3"),
    package("strace", "strace"),
    package("mkfs.ext4", "e2fsprogs"),
    package("mount", "mount"),
    package("valgrind", "valgrind"),
    package("systemd-analyze", "systemd"),
    package("virtualenv", "virtualenv"),
    package("rauc", "rauc"),
    package("pdftotext", "poppler-utils"),
    package("qpdf", "qpdf"),
    package("zbarimg", "zbar-tools"),
    package("xmllint", "libxml2-utils"),
    package("/usr/bin/rustc", "rustc"),
    package(
        "/usr/lib/rustlib/wasm32-unknown-unknown/lib",
        "libstd-rust-dev-wasm32",
    ),
    package("wasm-ld-14", "lld-14"),
];

/// What the energy applications are built with: Debian's compiler, which a release does not change, and not the one that
/// builds everything else.
pub(crate) const FOR_APPS: [Package; 3] = [
    package("/usr/bin/rustc", "rustc"),
    package(
        "/usr/lib/rustlib/wasm32-unknown-unknown/lib",
        "libstd-rust-dev-wasm32",
    ),
    package("wasm-ld-14", "lld-14"),
];

/// What the torture needs: kills and errors at one call, a file system to cut off, mounts, and what builds
/// the actor.
pub(crate) const FOR_TORTURE: [Package; 5] = [
    package("cc", "gcc"),
    package("/usr/include/stdio.h", "libc6-dev"),
    package("strace", "strace"),
    package("mkfs.ext4", "e2fsprogs"),
    package("mount", "mount"),
];

/// What the other processors need: an emulator, and a linker and the library of C for each.
pub(crate) const FOR_CROSS: [Package; 9] = [
    package("cc", "gcc"),
    package("/usr/include/stdio.h", "libc6-dev"),
    package("qemu-aarch64", "qemu-user"),
    package("qemu-arm", "qemu-user"),
    package("ld.lld-16", "lld-16"),
    package("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
    package("/usr/aarch64-linux-gnu/include/stdio.h", "libc6-dev-arm64-cross"),
    package("arm-linux-gnueabihf-gcc", "gcc-arm-linux-gnueabihf"),
    package(
        "/usr/arm-linux-gnueabihf/include/stdio.h",
        "libc6-dev-armhf-cross",
    ),
];

/// What the machine that boots needs: an emulator, a maker of small Debians, a maker of disks, and what builds the programs.
pub(crate) const FOR_VM: [Package; 9] = [
    package("cc", "gcc"),
    package("/usr/include/stdio.h", "libc6-dev"),
    package("pkg-config", "pkg-config"),
    package("/usr/include/PCSC/winscard.h", "libpcsclite-dev"),
    package("strip", "binutils"),
    package("qemu-system-x86_64", "qemu-system-x86"),
    package("mmdebstrap", "mmdebstrap"),
    package("mke2fs", "e2fsprogs"),
    package("systemctl", "systemd"),
];

/// What a machine with the processor of a gateway needs besides.
pub(crate) const FOR_FOREIGN_VM: [Package; 5] = [
    package("qemu-system-aarch64", "qemu-system-arm"),
    package("qemu-aarch64-static", "qemu-user-static"),
    package("arch-test", "arch-test"),
    package("aarch64-linux-gnu-strip", "binutils-aarch64-linux-gnu"),
    package("/usr/lib/systemd/systemd-binfmt", "systemd"),
];

/// What the machine that is updated needs besides: what makes updates, what reads U-Boot's environment, and what lays out disks.
pub(crate) const FOR_UPDATE: [Package; 4] = [
    package("sfdisk", "fdisk"),
    package("rauc", "rauc"),
    package("openssl", "openssl"),
    package("fw_setenv", "libubootenv-tool"),
];

/// What packages for Debian need: what builds the programs, finds their libraries, judges the packages, and a small Debian to
/// install them in.
pub(crate) const FOR_DEB: [Package; 8] = [
    package("cc", "gcc"),
    package("/usr/include/stdio.h", "libc6-dev"),
    package("pkg-config", "pkg-config"),
    package("/usr/include/PCSC/winscard.h", "libpcsclite-dev"),
    package("strip", "binutils"),
    package("dpkg-shlibdeps", "dpkg-dev"),
    package("lintian", "lintian"),
    package("mmdebstrap", "mmdebstrap"),
];

/// What the fuzz targets need: libFuzzer is written in C++, and the card's way to a reader is not among them.
pub(crate) const FOR_FUZZ: [Package; 3] = [
    package("cc", "gcc"),
    package("c++", "g++"),
    package("/usr/include/stdio.h", "libc6-dev"),
];

/// Makes sure that every package is there; installs what is missing, as root or with sudo.
///
/// # Errors
///
/// [`XtaskError::PackagesMissing`] or [`XtaskError::NoApt`] names all packages that are missing
/// and cannot be installed from here.
pub(crate) fn ensure(packages: &[Package], say: &mut dyn FnMut(&str)) -> Result<(), XtaskError> {
    let missing: Vec<Package> = packages.iter().copied().filter(|p| !p.is_there()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    let listed = names.join(" ");
    if find("apt-get").is_none() {
        return Err(XtaskError::NoApt(listed));
    }
    let sudo = match privilege() {
        Privilege::Root => false,
        Privilege::Sudo => true,
        Privilege::None => return Err(XtaskError::PackagesMissing(listed)),
    };
    say(&format!("installing the Debian packages {listed}"));
    apt(sudo, "apt-get update", &["update", "--quiet"])?;
    let mut arguments = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    arguments.extend(&names);
    apt(sudo, "apt-get install", &arguments)?;
    match missing.into_iter().find(|package| !package.is_there()) {
        None => Ok(()),
        Some(Package { proof, name }) => Err(XtaskError::PackageUseless { package: name, proof }),
    }
}

/// What this user may do.
enum Privilege {
    Root,
    Sudo,
    None,
}

fn privilege() -> Privilege {
    let id = Command::new("id").arg("-u").output();
    if id.is_ok_and(|output| output.stdout.trim_ascii() == b"0") {
        return Privilege::Root;
    }
    let sudo = Command::new("sudo")
        .args(["--non-interactive", "true"])
        .stderr(Stdio::null())
        .status();
    if sudo.is_ok_and(|status| status.success()) {
        return Privilege::Sudo;
    }
    Privilege::None
}

/// Runs apt-get; what it prints goes to standard error, since standard output is for results.
fn apt(sudo: bool, step: &str, arguments: &[&str]) -> Result<(), XtaskError> {
    let mut command = if sudo {
        let mut command = Command::new("sudo");
        command.args(["--non-interactive", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        command
    } else {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(std::io::stderr());
    crate::build::run_step(step, &mut command)
}

impl Package {
    fn is_there(&self) -> bool {
        if self.proof.starts_with('/') {
            return Path::new(self.proof).exists();
        }
        find(self.proof).is_some()
    }
}

/// Looks for a program on the path, and where Debian keeps those of root.
fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proof_is_a_program_on_the_path_or_a_file() {
        assert!(package("sh", "dash").is_there());
        assert!(package("/bin/sh", "dash").is_there());
        assert!(!package("no-such-program", "nothing").is_there());
        assert!(!package("/no/such/file", "nothing").is_there());
    }

    #[test]
    fn packages_that_are_there_are_left_alone() {
        let mut said = Vec::new();
        let present = [package("sh", "dash")];
        ensure(&present, &mut |text| said.push(text.to_owned())).unwrap();
        assert!(said.is_empty());
    }

    #[test]
    fn checks_need_all_that_the_other_chores_need() {
        for package in FOR_DEMO.into_iter().chain(FOR_TORTURE).chain(FOR_APPS) {
            assert!(FOR_VERIFY.contains(&package), "{package:?}");
        }
    }
}
