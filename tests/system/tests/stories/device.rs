//! What runs on the device beside the gateway: the preparation of its data partition, its repair, and the proof of an update.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Runs a program in the root of a device, whose programs are this machine's with some in front of them.
const ENTER: &str = "
mount -t overlay overlay -o \"lowerdir=$1/programs:/usr\" \"$1/root/usr\" &&
mount --bind /dev \"$1/root/dev\" &&
exec chroot \"$1/root\" \"$2\"
";
/// The user of the gateway there.
const SMGW: u32 = 990;

/// The root of a device with an empty data partition.
struct Device(TempDir);

impl Device {
    fn new() -> Self {
        let device = Self(tempfile::tempdir().unwrap());
        for folder in ["dev", "etc", "run/credstore", "tmp", "usr"] {
            std::fs::create_dir_all(device.path(folder)).unwrap();
        }
        for folder in ["bin", "lib", "lib64", "sbin"] {
            std::os::unix::fs::symlink(format!("usr/{folder}"), device.path(folder)).unwrap();
        }
        std::fs::create_dir(device.path("data")).unwrap();
        let users = format!("root:x:0:0::/:/bin/sh\nsmgw:x:{SMGW}:{SMGW}::/:/bin/false\n");
        std::fs::write(device.path("etc/passwd"), users).unwrap();
        std::fs::write(device.path("etc/group"), format!("root:x:0:\nsmgw:x:{SMGW}:\n")).unwrap();
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for script in ["data-check", "first-boot", "health", "recover"] {
            let text = std::fs::read_to_string(repository.join("systemd").join(script)).unwrap();
            device.install(&format!("libexec/smgw/{script}"), &text);
        }
        let configuration = repository.join("yocto-layer/recipes-smgw/smgw/smgw.toml");
        device.install(
            "share/smgw/smgw.toml",
            &std::fs::read_to_string(configuration).unwrap(),
        );
        device.install("lib/os-release", "ID=smgw\nIMAGE_VERSION=1.2.3\n");
        device
    }

    /// Puts a program, or a file of one, in front of this machine's.
    fn install(&self, place: &str, text: &str) {
        let file = self.0.path().join("programs").join(place);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn path(&self, place: &str) -> PathBuf {
        self.0.path().join("root").join(place)
    }

    /// Runs a program there and returns whether it succeeded, and what it said.
    fn run(&self, program: &str) -> (bool, String) {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", ENTER, "sh"])
            .arg(self.0.path())
            .arg(program);
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    }

    fn has(&self, place: &str) -> bool {
        self.path(place).exists()
    }
}

#[test]
fn first_boot_prepares_the_data_partition_once() {
    let device = Device::new();
    for _ in 0..2 {
        assert_eq!(device.run("/usr/libexec/smgw/first-boot"), (true, String::new()));
        let store = std::fs::metadata(device.path("data/smgw")).unwrap();
        assert_eq!((store.uid(), store.mode() & 0o777), (SMGW, 0o700));
        let configuration = std::fs::metadata(device.path("data/config/smgw.toml")).unwrap();
        let owner = (
            configuration.uid(),
            configuration.gid(),
            configuration.mode() & 0o777,
        );
        assert_eq!(
            owner,
            (0, SMGW, 0o640),
            "the gateway reads it and does not write it"
        );
    }
    // What an installer has written stays.
    let configuration = device.path("data/config/smgw.toml");
    std::fs::write(&configuration, "of the installer").unwrap();
    assert!(device.run("/usr/libexec/smgw/first-boot").0);
    assert_eq!(std::fs::read(&configuration).unwrap(), b"of the installer");
    assert!(!device.has("run/credstore/smgw.device-key"));
}

#[test]
fn key_of_a_board_reaches_the_credentials_and_a_board_that_fails_is_noticed() {
    let device = Device::new();
    device.install("libexec/smgw/device-key", "#!/bin/sh\nprintf %032d 7\n");
    assert_eq!(device.run("/usr/libexec/smgw/first-boot"), (true, String::new()));
    let key = std::fs::read(device.path("run/credstore/smgw.device-key")).unwrap();
    assert_eq!(key.len(), 32);
    device.install("libexec/smgw/device-key", "#!/bin/sh\nexit 1\n");
    assert!(!device.run("/usr/libexec/smgw/first-boot").0);
}

#[test]
fn update_is_good_when_the_gateway_answers_and_is_given_up_when_it_does_not() {
    let device = Device::new();
    std::fs::create_dir_all(device.path("data/rauc")).unwrap();
    device.install("bin/rauc", "#!/bin/sh\necho \"$@\" >>/tmp/rauc\n");
    device.install("bin/sleep", "#!/bin/sh\nexit 0\n");

    device.install("bin/smgw", "#!/bin/sh\nexit 69\n");
    let (done, said) = device.run("/usr/libexec/smgw/health");
    assert!(!done && said.contains("back to the version before"), "{said}");
    assert!(!device.has("tmp/rauc") && !device.has("data/rauc/proved-1.2.3"));

    // It answers after some tries.
    let late = "#!/bin/sh\necho >>/tmp/tries; test $(wc -l </tmp/tries) -gt 9 || exit 69\n";
    device.install("bin/smgw", late);
    assert_eq!(device.run("/usr/libexec/smgw/health"), (true, String::new()));
    let marked = || std::fs::read_to_string(device.path("tmp/rauc")).unwrap();
    assert_eq!(marked(), "status mark-good\n");
    assert!(device.has("data/rauc/proved-1.2.3"));

    // A fault that comes later is none of the update's.
    device.install("bin/smgw", "#!/bin/sh\nexit 69\n");
    let (done, said) = device.run("/usr/libexec/smgw/health");
    assert!(done && said.contains("the slot stays"), "{said}");
    assert_eq!(marked(), "status mark-good\n", "and it is not called good either");

    // The next version proves itself anew.
    device.install("lib/os-release", "IMAGE_VERSION=1.2.4\n");
    assert!(!device.run("/usr/libexec/smgw/health").0);
}

#[test]
fn data_partition_is_repaired_unasked_when_that_is_what_it_takes() {
    let device = Device::new();
    let ends_with = |preening: u8, repair: u8| {
        let text = format!(
            "#!/bin/sh\necho \"$@\" >>/tmp/e2fsck\ncase \"$*\" in *-p*) exit {preening};; *) exit {repair};; esac\n"
        );
        device.install("sbin/e2fsck", &text);
        drop(std::fs::remove_file(device.path("tmp/e2fsck")));
        let (done, said) = device.run("/usr/libexec/smgw/data-check");
        let calls = std::fs::read_to_string(device.path("tmp/e2fsck")).unwrap();
        (done, said.contains("is repaired"), calls.lines().count())
    };
    assert_eq!(ends_with(1, 8), (true, false, 1), "what e2fsck mends by itself");
    assert_eq!(ends_with(4, 1), (true, true, 2), "what it would ask about");
    assert_eq!(ends_with(4, 4), (false, true, 2), "what nobody can mend");
}

#[test]
fn lost_data_partition_is_tried_for_an_hour_and_then_the_device_starts_anew() {
    let device = Device::new();
    device.install("bin/sleep", "#!/bin/sh\necho \"$1\" >>/tmp/pauses\n");
    let systemctl =
        "#!/bin/sh\necho \"$@\" >>/tmp/calls\ncase \"$*\" in *reboot) kill $PPID;; esac\nexit 3\n";
    device.install("bin/systemctl", systemctl);
    let (_, said) = device.run("/usr/libexec/smgw/recover");
    let calls = std::fs::read_to_string(device.path("tmp/calls")).unwrap();
    let count = |wanted: &str| calls.lines().filter(|call| call.contains(wanted)).count();
    assert_eq!((count("start smgw.service"), count("reboot")), (10, 1), "{calls}");
    assert_eq!(
        said.lines()
            .filter(|line| line.starts_with("<3>SMGW-D-0307"))
            .count(),
        11,
        "{said}"
    );
    let pauses = std::fs::read_to_string(device.path("tmp/pauses")).unwrap();
    let pauses: Vec<u32> = pauses.lines().map(|pause| pause.parse().unwrap()).collect();
    assert_eq!(pauses[..3], [15, 30, 60]);
    let seconds: u32 = pauses.iter().take(10).sum();
    assert!((2_700..=3_600).contains(&seconds), "{pauses:?}");
}
