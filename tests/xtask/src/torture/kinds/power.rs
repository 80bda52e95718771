//! Power cuts: the image of a mounted ext4, taken as it stands, is what the disk would have kept.
//!
//! The actor is stopped, what it has acknowledged is read, and the file behind the loop device is copied
//! without any sync. Mounting the copy replays its journal. Un-fsynced data are in the kernel's memory only,
//! and so are not in the copy.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use super::Kind;
use super::killed::{endless, pass};
use crate::torture::bases::Bases;
use crate::torture::bench::{Bench, Run};
use crate::torture::error::TortureError;
use crate::torture::folders;
use crate::torture::mounts::{self, Mount};
use crate::torture::random::Random;
use crate::torture::verdict::Outcome;

/// The number of power cuts.
const CUTS: usize = 500;

/// The size of the file system in bytes.
const IMAGE_BYTES: u64 = 32 << 20;

/// The longest time in microseconds before a cut; of every tenth one it is ten times that.
const LONGEST_US: usize = 100_000;

/// How often it is looked whether the actor stands still, a millisecond apart; it takes some milliseconds.
const STOP_TRIES: usize = 5_000;

/// How the file system is mounted, in turn: as it is by default, and as one of the field was that lost data.
const OPTIONS: [&str; 3] = ["loop", "loop,data=writeback", "loop,commit=600"];

struct Cuts {
    stores: Vec<(&'static str, &'static str, Vec<String>, PathBuf)>,
}

/// Prepares a file system with each of the three stores.
pub(super) fn prepare<'a>(bases: &'a Bases, bench: &Bench) -> Result<Box<dyn Kind + 'a>, TortureError> {
    let mut stores = Vec::new();
    for base in &bases.three {
        let image = base.folder.with_extension("ext4");
        let file = fs::File::create(&image).map_err(TortureError::file(&image))?;
        file.set_len(IMAGE_BYTES).map_err(TortureError::file(&image))?;
        mounts::run(
            Command::new("mkfs.ext4")
                .args(["-q", "-F", "-b", "4096"])
                .arg(&image),
        )?;
        let mount = Mount::new("ext4", "loop", &image, &bench.folder().join("prepared"))?;
        folders::copy(&base.folder, mount.folder())?;
        drop(mount);
        stores.push((base.name, endless(base), base.acknowledged.clone(), image));
    }
    Ok(Box::new(Cuts { stores }))
}

impl Kind for Cuts {
    fn count(&self) -> usize {
        CUTS
    }

    fn torture(&self, number: usize, bench: &mut Bench) -> Result<Outcome, TortureError> {
        let (name, script, before, image) = &self.stores[number % self.stores.len()];
        let options = OPTIONS[(number / self.stores.len()) % OPTIONS.len()];
        let mut random = Random::new(u64::try_from(number).unwrap_or(0));
        let longest = if random.below(10) == 0 {
            LONGEST_US * 10
        } else {
            LONGEST_US
        };
        let delay = Duration::from_micros(u64::try_from(random.below(longest)).unwrap_or(0));
        let folder = bench.state_folder()?;
        let (running, cut) = (folder.join("running"), folder.join("cut"));
        mounts::copy_image(image, &running)?;
        let mount = Mount::new("ext4", options, &running, &folder.join("mounted"))?;
        let run = run_until_cut(bench, &mount, script, delay, || {
            mounts::copy_image(&running, &cut)
        })?;
        drop(mount);
        let mount = Mount::new("ext4", "loop", &cut, &folder.join("mounted"))?;
        let acknowledged: Vec<String> = before.iter().chain(&run.acknowledged).cloned().collect();
        let verdict = bench.check(&mount.folder().join("store"), &acknowledged, true)?;
        Ok(Outcome {
            what: format!(
                "{name}, cut after {} µs, mounted with {options}",
                delay.as_micros()
            ),
            acknowledged: acknowledged.len(),
            verdict,
            ..Outcome::default()
        })
    }

    fn describe(&self) -> String {
        format!(
            "ext4 on a loop device, copied while it is mounted: {}",
            OPTIONS.join("; ")
        )
    }
}

/// Runs the actor, stops it, has the power cut, and kills it; what it printed was acknowledged before the cut.
fn run_until_cut(
    bench: &Bench,
    mount: &Mount,
    script: &str,
    delay: Duration,
    cut: impl FnOnce() -> Result<(), TortureError>,
) -> Result<Run, TortureError> {
    let actor = || TortureError::program("the actor");
    let store = mount.folder().join("store");
    let mut child = bench.actor(&[], &store, script).spawn().map_err(actor())?;
    let reading = child.stdout.take().map(|mut stdout| {
        std::thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).map(|_| text)
        })
    });
    pass(delay);
    let stopped = stop(&child).and_then(|()| cut());
    child.kill().map_err(actor())?;
    let status = child.wait().map_err(actor())?;
    stopped?;
    let text = match reading.map(std::thread::JoinHandle::join) {
        Some(Ok(text)) => text.map_err(actor())?,
        _ => String::new(),
    };
    Ok(Run::of(text.lines(), status))
}

/// Stops a process and waits until each of its threads stands still, outside of any call to the disk.
fn stop(child: &Child) -> Result<(), TortureError> {
    let id = child.id().to_string();
    mounts::run(Command::new("sh").args(["-c", "kill -STOP \"$0\"", &id]))?;
    let tasks = Path::new("/proc").join(&id).join("task");
    for _ in 0..STOP_TRIES {
        let mut threads = folders::entries(&tasks)?.into_iter();
        if threads.all(|thread| stands_still(&thread)) {
            return Ok(());
        }
        pass(Duration::from_millis(1));
    }
    Err(TortureError::Impossible {
        why: "the actor cannot be stopped".to_owned(),
    })
}

fn stands_still(thread: &Path) -> bool {
    let Ok(stat) = fs::read_to_string(thread.join("stat")) else {
        // It has ended.
        return true;
    };
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
    matches!(state, Some(Some('T' | 't' | 'Z' | 'X')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stopped_process_stands_still() {
        let mut child = Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .spawn()
            .unwrap();
        stop(&child).unwrap();
        let task = Path::new("/proc").join(child.id().to_string());
        assert!(stands_still(&task));
        assert!(!stands_still(Path::new("/proc/self")));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
