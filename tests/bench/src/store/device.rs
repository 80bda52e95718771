//! A block device of its own: a file as loop device with ext4, whose own counter says what was written.
//!
//! What a process asks to be written is not what reaches the flash: the file system's journal comes on top, and
//! pages that are written twice before they are forced out come once.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::error::BenchError;

/// The size of the device in bytes: two years of 50 meters, and SQLite's worst case beside them. The file is sparse.
const DEVICE_BYTES: u64 = 2 << 30;

/// The unit of a block device's counters, whatever its own sectors are. Spec: Linux, Documentation/block/stat.rst.
const SECTOR_BYTES: u64 = 512;

/// The seventh number of a device's `stat` is the number of sectors that were written.
const SECTORS_WRITTEN: usize = 6;

/// A folder to work in, and how to tell what was written.
pub(super) struct Place {
    folder: TempDir,
    device: Option<Device>,
}

/// A loop device with ext4, mounted; it is taken down when it is dropped.
struct Device {
    name: String,
    mount: PathBuf,
}

impl Place {
    /// Makes a place, on a device of its own if that can be had; else says why not.
    pub(super) fn new() -> Result<(Self, Option<BenchError>), BenchError> {
        let folder = tempfile::Builder::new()
            .prefix("bench-store-")
            .tempdir()
            .map_err(BenchError::file(&std::env::temp_dir()))?;
        let (device, why_not) = match Device::make(folder.path()) {
            Ok(device) => (Some(device), None),
            Err(error) => (None, Some(error)),
        };
        Ok((Self { folder, device }, why_not))
    }

    /// Returns a new folder to work in.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf, BenchError> {
        let base = match &self.device {
            Some(device) => device.mount.as_path(),
            None => self.folder.path(),
        };
        let folder = base.join(name);
        std::fs::create_dir_all(&folder).map_err(BenchError::file(&folder))?;
        Ok(folder)
    }

    /// Returns the bytes that the device has written since it was made, everything that waits included, or
    /// `None` if there is no device.
    pub(super) fn bytes_written(&self) -> Result<Option<u64>, BenchError> {
        let Some(device) = &self.device else {
            return Ok(None);
        };
        device.write_back()?;
        Ok(Some(device.bytes_written()?))
    }
}

impl Device {
    fn make(folder: &Path) -> Result<Self, BenchError> {
        let image = folder.join("device.img");
        std::fs::File::create(&image)
            .and_then(|file| file.set_len(DEVICE_BYTES))
            .map_err(BenchError::file(&image))?;
        // Nothing is left to be initialised behind our back.
        let lazy = "lazy_itable_init=0,lazy_journal_init=0";
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-E", lazy])
            .arg(&image))?;
        let name = run(Command::new("losetup").args(["--find", "--show"]).arg(&image))?;
        let mut device = Self {
            name,
            mount: PathBuf::new(),
        };
        let mount = folder.join("mount");
        std::fs::create_dir(&mount).map_err(BenchError::file(&mount))?;
        run(Command::new("mount").arg(&device.name).arg(&mount))?;
        device.mount = mount;
        Ok(device)
    }

    /// Brings everything to its place, the file system's journal included.
    fn write_back(&self) -> Result<(), BenchError> {
        run(Command::new("umount").arg(&self.mount))?;
        run(Command::new("mount").arg(&self.name).arg(&self.mount))?;
        Ok(())
    }

    fn bytes_written(&self) -> Result<u64, BenchError> {
        let name = self.name.rsplit('/').next().unwrap_or_default();
        let path = PathBuf::from(format!("/sys/block/{name}/stat"));
        let text = std::fs::read_to_string(&path).map_err(BenchError::file(&path))?;
        let sectors = text.split_whitespace().nth(SECTORS_WRITTEN);
        let sectors = sectors.and_then(|sectors| sectors.parse::<u64>().ok());
        let sectors = sectors.ok_or_else(|| BenchError::Program {
            program: path.display().to_string(),
            said: text,
        })?;
        Ok(sectors.saturating_mul(SECTOR_BYTES))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // What cannot be taken down is the system's to keep; the folder's removal says so.
        if !self.mount.as_os_str().is_empty() {
            drop(run(Command::new("umount").arg(&self.mount)));
        }
        drop(run(Command::new("losetup").args(["--detach", &self.name])));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The device goes before the folder that it is mounted in.
        self.device = None;
    }
}

/// Runs a program and returns what it printed.
fn run(command: &mut Command) -> Result<String, BenchError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|source| BenchError::Start {
        program: program.clone(),
        source,
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(BenchError::Program { program, said });
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
