//! Updates of the device, judged by RAUC itself with the layer's own settings: what is not signed by whom the image names, or
//! was cut, is refused before anything is written.
//!
//! What RAUC does behind that, writing a root and starting it, needs the device mapper and a bootloader: `cargo xtask update`
//! shows it on a machine that boots.

use std::path::{Path, PathBuf};
use std::process::Command;

use system::{RAUC_SETTINGS, UPDATE_KEYS, update_manifest};
use tempfile::TempDir;

/// A place where updates are made and judged.
struct Workshop(TempDir);

impl Workshop {
    fn open() -> Self {
        let workshop = Self(tempfile::tempdir().unwrap());
        workshop.run(Command::new("sh").args(["-ec", UPDATE_KEYS]));
        std::fs::create_dir(workshop.path("data")).unwrap();
        let here = workshop.0.path().display().to_string();
        let settings = RAUC_SETTINGS
            .replace("@MACHINE@", "test")
            .replace("@DISK@", &format!("{here}/disk"))
            .replace("/etc/rauc/ca.cert.pem", &format!("{here}/ca.pem"))
            .replace("=/data/rauc", &format!("={here}/data"));
        std::fs::write(workshop.path("system.conf"), settings).unwrap();
        workshop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, command: &mut Command) {
        let output = command.current_dir(self.0.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {said}");
    }

    /// Makes an update in a format, signed with a certificate.
    fn bundle(&self, certificate: &str, format: &str) -> PathBuf {
        let content = self.path(&format!("content-{certificate}-{format}"));
        std::fs::create_dir(&content).unwrap();
        std::fs::write(content.join("manifest.raucm"), update_manifest("1.2.3", format)).unwrap();
        let root: Vec<u8> = (0_u32..250_000)
            .flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        std::fs::write(content.join("rootfs.ext4"), root).unwrap();
        let bundle = content.with_extension("raucb");
        let mut rauc = Command::new("rauc");
        rauc.arg("bundle").arg("--cert").arg(format!("{certificate}.pem"));
        self.run(rauc.args(["--key", "update.key"]).arg(&content).arg(&bundle));
        bundle
    }

    /// Has RAUC judge an update as the device does; returns whether it takes it, and what it says.
    fn judge(&self, bundle: &Path) -> (bool, String) {
        let mut rauc = Command::new("rauc");
        rauc.arg("--conf")
            .arg(self.path("system.conf"))
            .arg("info")
            .arg(bundle);
        let output = rauc.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    /// Writes a changed copy of an update.
    fn changed(&self, bundle: &Path, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
        let mut bytes = std::fs::read(bundle).unwrap();
        change(&mut bytes);
        let changed = self.path("changed.raucb");
        std::fs::write(&changed, bytes).unwrap();
        changed
    }
}

#[test]
fn update_is_taken_only_whole_and_signed_by_whom_the_image_names() {
    let workshop = Workshop::open();
    let good = workshop.bundle("update", "verity");
    let (is_taken, said) = workshop.judge(&good);
    assert!(
        is_taken && said.contains("smgw-test") && said.contains("Release 1"),
        "{said}"
    );

    for (certificate, why) in [
        ("foreign", "signature verification failed"),
        ("server", "purpose"),
    ] {
        let (is_taken, said) = workshop.judge(&workshop.bundle(certificate, "verity"));
        assert!(!is_taken && said.contains(why), "{certificate}: {said}");
    }
    // The format that is checked once, before it is read again.
    let (is_taken, said) = workshop.judge(&workshop.bundle("update", "plain"));
    assert!(!is_taken && said.contains("plain"), "{said}");

    // Cut off on the way, at the beginning, in the root, and just before the end.
    let length = std::fs::metadata(&good).unwrap().len();
    for kept in [4_096, length / 2, length - 1] {
        let kept = usize::try_from(kept).unwrap();
        let cut = workshop.changed(&good, |bytes| bytes.truncate(kept));
        let (is_taken, said) = workshop.judge(&cut);
        assert!(!is_taken, "{kept} of {length} bytes: {said}");
    }
    // The signature stands at the end, with its length in the last eight bytes.
    let unsigned = workshop.changed(&good, |bytes| {
        let (_, length) = bytes.split_last_chunk::<8>().unwrap();
        let signature = usize::try_from(u64::from_be_bytes(*length)).unwrap();
        bytes.truncate(bytes.len() - 8 - signature);
    });
    assert!(!workshop.judge(&unsigned).0);
    let altered = workshop.changed(&good, |bytes| {
        let (_, length) = bytes.split_last_chunk::<8>().unwrap();
        let signature = usize::try_from(u64::from_be_bytes(*length)).unwrap();
        // In the middle of what is signed: the digest over the root, or its name.
        let middle = bytes.len() - 8 - signature / 2;
        bytes[middle] ^= 1;
    });
    assert!(!workshop.judge(&altered).0);
}
