//! The disk of the machine, as the layer lays it out: U-Boot's environment, two roots, and the data.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::build::{root, run_step};
use crate::error::XtaskError;

/// The name of the disk in the machine: one whose partitions are called as those of a board's disk, with a `p`.
pub(super) const DISK: &str = "/dev/nvme0n1";
/// Where the first partition begins and how large it is, in MiB: behind the bootloader's environment.
const BOOT_MIB: u64 = 4;
const BOOT_SIZE_MIB: u64 = 4;
/// The room for data, in MiB.
const DATA_MIB: u64 = 64;
const MIB: u64 = 1024 * 1024;

/// The disk.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) file: PathBuf,
    /// Where U-Boot's environment is, as in `fw_env.config` of the layer, in this file.
    pub(super) places: PathBuf,
}

impl Disk {
    /// Makes a disk with this root in the first place, nothing in the second, and no data.
    ///
    /// # Errors
    ///
    /// [`XtaskError::Step`] names what failed.
    pub(super) fn make(folder: &Path, first: &Path) -> Result<Self, XtaskError> {
        let disk = Self {
            file: folder.join("disk.img"),
            places: folder.join("fw_env.config"),
        };
        let file = XtaskError::file(&disk.file);
        let bytes = std::fs::metadata(first).map_err(XtaskError::file(first))?.len();
        let root_mib = bytes.div_ceil(MIB);
        let begin = |number: u64| BOOT_MIB + BOOT_SIZE_MIB + root_mib * number;
        let created = File::create(&disk.file);
        created
            .and_then(|file| file.set_len((begin(2) + DATA_MIB) * MIB))
            .map_err(file)?;
        let table = format!(
            "label: dos\n{BOOT_MIB}MiB {BOOT_SIZE_MIB}MiB c *\n{}MiB {root_mib}MiB L\n{}MiB {root_mib}MiB L\n{}MiB + L\n",
            begin(0),
            begin(1),
            begin(2)
        );
        disk.partition(&table)?;
        disk.write(first, begin(0) * MIB)?;
        let mut data = Command::new("mke2fs");
        data.args(["-q", "-F", "-t", "ext4", "-L", "data", "-E"])
            .arg(format!("offset={}", begin(2) * MIB))
            .arg(&disk.file)
            .arg(format!("{DATA_MIB}M"));
        run_step("mke2fs", &mut data)?;
        let file = disk.file.display().to_string();
        std::fs::write(&disk.places, places(&file)?).map_err(XtaskError::file(&disk.places))?;
        Ok(disk)
    }

    fn partition(&self, table: &str) -> Result<(), XtaskError> {
        let start = |source| XtaskError::Start {
            program: "sfdisk".to_owned(),
            source,
        };
        let mut sfdisk = Command::new("sfdisk");
        sfdisk.arg("--quiet").arg(&self.file).stdin(Stdio::piped());
        let mut child = sfdisk.spawn().map_err(start)?;
        // What is piped in is closed behind it.
        child
            .stdin
            .take()
            .map_or(Ok(()), |mut input| input.write_all(table.as_bytes()))
            .map_err(start)?;
        let status = child.wait().map_err(start)?;
        if status.success() {
            return Ok(());
        }
        Err(XtaskError::Step {
            step: "sfdisk".to_owned(),
            status,
        })
    }

    fn write(&self, image: &Path, at: u64) -> Result<(), XtaskError> {
        let mut from = File::open(image).map_err(XtaskError::file(image))?;
        let written = OpenOptions::new()
            .write(true)
            .open(&self.file)
            .and_then(|mut disk| {
                disk.seek(SeekFrom::Start(at))?;
                std::io::copy(&mut from, &mut disk)
            });
        written.map(drop).map_err(XtaskError::file(&self.file))
    }
}

/// Returns `fw_env.config` for a disk, from the layer's recipe that writes it.
///
/// # Errors
///
/// [`XtaskError::File`] if the recipe is not there.
pub(super) fn places(disk: &str) -> Result<String, XtaskError> {
    let recipe = root().join("yocto-layer/dynamic-layers/rauc/recipes-core/rauc/rauc-conf.bbappend");
    let text = std::fs::read_to_string(&recipe).map_err(XtaskError::file(&recipe))?;
    Ok(places_in(&text, disk))
}

/// Takes the places out of the recipe's `printf '%s 0x300000 0x4000\n…'`.
fn places_in(recipe: &str, disk: &str) -> String {
    let printed = recipe.lines().find_map(|line| {
        let (_, printed) = line.split_once("printf '%s ")?;
        printed.split_once('\'')
    });
    let lines = printed.map_or("", |(lines, _)| lines);
    format!("{disk} {}", lines.replace("%s", disk).replace("\\n", "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_is_where_the_recipe_says() {
        let disk = "/dev/nvme0n1";
        assert_eq!(
            places(disk).unwrap(),
            "/dev/nvme0n1 0x300000 0x4000\n/dev/nvme0n1 0x320000 0x4000\n"
        );
    }
}
