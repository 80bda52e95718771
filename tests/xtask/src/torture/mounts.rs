//! File systems of their own: small ones in memory, ext4 on a loop device. Both need root.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::TortureError;

/// A mounted file system; it is unmounted when this is dropped.
#[derive(Debug)]
pub(super) struct Mount {
    folder: PathBuf,
}

impl Mount {
    /// Mounts on a folder, which is made.
    ///
    /// # Errors
    ///
    /// [`TortureError::Impossible`] if this user or machine cannot mount.
    pub(super) fn new(kind: &str, options: &str, source: &Path, folder: &Path) -> Result<Self, TortureError> {
        fs::create_dir_all(folder).map_err(TortureError::file(folder))?;
        run(Command::new("mount")
            .args(["-t", kind, "-o", options])
            .args([source, folder]))?;
        let folder = folder.to_owned();
        Ok(Self { folder })
    }

    /// Mounts an empty file system in memory with the size in bytes.
    pub(super) fn memory(size: u64, folder: &Path) -> Result<Self, TortureError> {
        Self::new(
            "tmpfs",
            &format!("size={size},mode=700"),
            Path::new("tmpfs"),
            folder,
        )
    }

    /// Mounts it again with other options.
    pub(super) fn change(&self, options: &str) -> Result<(), TortureError> {
        let options = format!("remount,{options}");
        run(Command::new("mount").args(["-o", &options]).arg(&self.folder))
    }

    /// Returns where it is mounted.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if run(Command::new("umount").arg(&self.folder)).is_err() {
            // Someone is still in there: it goes away with the last one.
            drop(run(Command::new("umount").arg("--lazy").arg(&self.folder)));
        }
    }
}

/// Runs a program of the system, which must do what it is asked for.
pub(super) fn run(command: &mut Command) -> Result<(), TortureError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(TortureError::program(&program))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or_default();
    Err(TortureError::Impossible {
        why: format!("{program} says {said:?} ({})", output.status),
    })
}

/// Copies the image of a file system as it stands, without its empty pieces.
pub(super) fn copy_image(from: &Path, to: &Path) -> Result<(), TortureError> {
    const PIECE: usize = 4_096;
    let image = fs::read(from).map_err(TortureError::file(from))?;
    let write = || {
        let file = fs::File::create(to)?;
        file.set_len(u64::try_from(image.len()).unwrap_or(0))?;
        let mut offset = 0;
        for piece in image.chunks(PIECE) {
            if piece.iter().any(|byte| *byte != 0) {
                file.write_all_at(piece, offset)?;
            }
            offset += u64::try_from(piece.len()).unwrap_or(0);
        }
        Ok(())
    };
    write().map_err(TortureError::file(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_is_copied_as_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        let mut image = vec![0; 20_000];
        image[9_000] = 1;
        image[19_999] = 2;
        fs::write(&from, &image).unwrap();
        copy_image(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), image);
    }

    #[test]
    fn what_cannot_be_mounted_is_not_possible_here() {
        let folder = tempfile::tempdir().unwrap();
        let no_kind = Mount::new("no-such-kind", "ro", Path::new("none"), &folder.path().join("m"));
        assert!(
            matches!(no_kind, Err(TortureError::Impossible { .. })),
            "{no_kind:?}"
        );
    }
}
