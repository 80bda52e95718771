//! Files are deleted, cut, and swapped for older copies.

use std::fs;
use std::path::{Path, PathBuf};

use super::Kind;
use crate::torture::bases::{Base, Bases};
use crate::torture::bench::Bench;
use crate::torture::error::TortureError;
use crate::torture::folders;
use crate::torture::verdict::Outcome;

/// Damages to the files of one store.
struct Damages<'a> {
    base: &'a Base,
    damages: Vec<Vec<Damage>>,
    about: &'static str,
}

/// What is done to one file or folder, by its path from the folder of the base.
#[derive(Debug, Clone)]
enum Damage {
    Delete(PathBuf),
    Cut { file: PathBuf, length: u64 },
    Swap { file: PathBuf, older: PathBuf },
}

impl Damage {
    fn describe(&self) -> String {
        match self {
            Self::Delete(path) => format!("{} deleted", path.display()),
            Self::Cut { file, length } => format!("{} cut to {length} bytes", file.display()),
            Self::Swap { file, older } => {
                let age = older.components().rev().nth(file.components().count());
                let age = age.map(|age| age.as_os_str().to_string_lossy().into_owned());
                format!("{} of the {} store", file.display(), age.unwrap_or_default())
            }
        }
    }

    fn inflict(&self, folder: &Path) -> Result<(), TortureError> {
        match self {
            Self::Delete(path) => {
                let path = folder.join(path);
                let removed = if path.is_dir() {
                    fs::remove_dir_all(&path)
                } else {
                    fs::remove_file(&path)
                };
                removed.map_err(TortureError::file(&path))
            }
            Self::Cut { file, length } => {
                let path = folder.join(file);
                let file = fs::OpenOptions::new().write(true).open(&path);
                file.and_then(|file| file.set_len(*length))
                    .map_err(TortureError::file(&path))
            }
            Self::Swap { file, older } => {
                let path = folder.join(file);
                if older.is_dir() {
                    folders::empty(&path)?;
                    return folders::copy(older, &path);
                }
                fs::copy(older, &path)
                    .map(drop)
                    .map_err(TortureError::file(&path))
            }
        }
    }
}

/// The lengths that a file is cut to: nothing, each end of a page, the half, all but the last byte.
fn cuts(length: u64) -> Vec<u64> {
    const PAGE: usize = 4_096;
    const MOST_PAGES: usize = 16;
    let mut cuts = vec![0, 1, length / 2, length.saturating_sub(1)];
    cuts.extend((0..length).step_by(PAGE).take(MOST_PAGES));
    cuts.extend((0..length).rev().step_by(PAGE).take(MOST_PAGES));
    cuts.retain(|cut| *cut < length);
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// Returns what can be done to one file.
fn damages_of(base: &Base, older: &[&Base], file: &Path) -> Result<Vec<Damage>, TortureError> {
    let path = base.folder.join(file);
    let metadata = fs::metadata(&path).map_err(TortureError::file(&path))?;
    let mut damages = vec![Damage::Delete(file.to_owned())];
    for older in older {
        let older = older.folder.join(file);
        if older.is_file() && fs::read(&older).ok() != fs::read(&path).ok() {
            let file = file.to_owned();
            damages.push(Damage::Swap { file, older });
        }
    }
    damages.extend(cuts(metadata.len()).into_iter().map(|length| {
        let file = file.to_owned();
        Damage::Cut { file, length }
    }));
    Ok(damages)
}

/// Prepares damages to each file of the bindings, and deletions and swaps of every two of them.
pub(super) fn bindings<'a>(bases: &'a Bases, _: &Bench) -> Result<Box<dyn Kind + 'a>, TortureError> {
    let base = &bases.three[2];
    let older: Vec<&Base> = bases.three.iter().take(2).collect();
    let mut single = Vec::new();
    for file in folders::files(&base.folder)? {
        if file.starts_with("store/bindings") {
            single.extend(damages_of(base, &older, &file)?);
        }
    }
    let mut damages: Vec<Vec<Damage>> = single.iter().map(|damage| vec![damage.clone()]).collect();
    damages.push(vec![Damage::Delete("store/bindings/sled".into())]);
    damages.push(vec![Damage::Swap {
        file: "store/bindings/sled".into(),
        older: bases.three[1].folder.join("store/bindings/sled"),
    }]);
    let whole = |damage: &&Damage| !matches!(damage, Damage::Cut { length, .. } if *length > 0);
    let strong: Vec<&Damage> = single.iter().filter(whole).collect();
    for (index, first) in strong.iter().enumerate() {
        for second in &strong[index..] {
            if file_of(first) != file_of(second) {
                damages.push(vec![(*first).clone(), (*second).clone()]);
            }
        }
    }
    let about = "each file of the bindings deleted, cut, older; sled's folder; every two files";
    Ok(Box::new(Damages { base, damages, about }))
}

fn file_of(damage: &Damage) -> &Path {
    match damage {
        Damage::Delete(file) | Damage::Cut { file, .. } | Damage::Swap { file, .. } => file,
    }
}

/// Prepares damages to the files of the readings.
pub(super) fn readings<'a>(bases: &'a Bases, _: &Bench) -> Result<Box<dyn Kind + 'a>, TortureError> {
    let is_wanted = |file: &Path| !file.starts_with("store/bindings") && !file.starts_with("store/logs");
    let mut damages = beside(bases, &is_wanted)?;
    let files = ["store/gateway.db", "store/gateway.head"];
    damages.push(files.map(|file| Damage::Delete(file.into())).to_vec());
    let about = "each file of the database deleted, cut, older; both deleted beside a burned binding";
    let base = &bases.days;
    Ok(Box::new(Damages { base, damages, about }))
}

/// Prepares damages to the files of the three logs.
pub(super) fn logs<'a>(bases: &'a Bases, _: &Bench) -> Result<Box<dyn Kind + 'a>, TortureError> {
    let is_wanted = |file: &Path| file.starts_with("store/logs");
    let damages = beside(bases, &is_wanted)?;
    let about = "each file of the logs deleted, cut, older";
    let base = &bases.days;
    Ok(Box::new(Damages { base, damages, about }))
}

fn beside(bases: &Bases, is_wanted: &dyn Fn(&Path) -> bool) -> Result<Vec<Vec<Damage>>, TortureError> {
    let base = &bases.days;
    let older = [&bases.three[2]];
    let mut damages = Vec::new();
    for file in folders::files(&base.folder)? {
        if is_wanted(&file) {
            let of_file = damages_of(base, &older, &file)?;
            damages.extend(of_file.into_iter().map(|damage| vec![damage]));
        }
    }
    Ok(damages)
}

/// Prepares what no software can notice without a fuse or a counter in hardware: all is taken back at once.
pub(super) fn taken_back<'a>(bases: &'a Bases, _: &Bench) -> Result<Box<dyn Kind + 'a>, TortureError> {
    let base = &bases.three[2];
    let mut damages = Vec::new();
    for part in ["store/bindings", "store"] {
        damages.push(vec![Damage::Delete(part.into())]);
        let older = bases.three[1].folder.join(part);
        let file = part.into();
        damages.push(vec![Damage::Swap { file, older }]);
    }
    let about = "all bindings, or the whole store, deleted or older: only hardware could tell";
    Ok(Box::new(Damages { base, damages, about }))
}

impl Kind for Damages<'_> {
    fn count(&self) -> usize {
        self.damages.len()
    }

    fn torture(&self, number: usize, bench: &mut Bench) -> Result<Outcome, TortureError> {
        let Some(damages) = self.damages.get(number) else {
            return Ok(Outcome::default());
        };
        let folder = self.base.copy(bench)?;
        for damage in damages {
            damage.inflict(&folder)?;
        }
        let what: Vec<String> = damages.iter().map(Damage::describe).collect();
        Ok(Outcome {
            what: format!("{}, {}", self.base.name, what.join(" and ")),
            acknowledged: self.base.acknowledged.len(),
            verdict: bench.check(&folder.join("store"), &self.base.acknowledged, false)?,
            ..Outcome::default()
        })
    }

    fn describe(&self) -> String {
        self.about.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_shorter_than_the_file_and_different() {
        assert_eq!(cuts(0), [0; 0]);
        assert_eq!(cuts(1), [0]);
        assert_eq!(cuts(8_192), [0, 1, 4_095, 4_096, 8_191]);
    }
}
