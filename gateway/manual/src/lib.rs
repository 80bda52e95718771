//! Man pages and completions of the programs, made from the definitions of their command lines.
//!
//! Programs know it only when they are built with their feature `manual`, so that no device carries what a package needs once.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, ValueEnum};
use clap_complete::Shell;

/// The shells that completions are written for.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// What is written, and where.
#[derive(Debug, Args)]
pub struct Options {
    /// What to write.
    #[arg(value_enum)]
    what: What,
    /// The folder to write it into; it is made if it is not there.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// What can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// A page of section 1 for the program and for each of its commands.
    Man,
    /// Completions for bash, zsh and fish.
    Completions,
}

/// The reason why something was not written.
#[derive(Debug, thiserror::Error)]
#[error("the manual cannot be written into {}", folder.display())]
pub struct ManualError {
    /// The folder.
    pub folder: PathBuf,
    /// What the system says.
    #[source]
    pub source: io::Error,
}

impl Options {
    /// Writes what is asked for of a program's command line.
    ///
    /// # Errors
    ///
    /// [`ManualError`] if the folder or a file in it cannot be written.
    pub fn write(&self, command: Command) -> Result<(), ManualError> {
        let written = match self.what {
            What::Man => pages(command, &self.folder),
            What::Completions => completions(command, &self.folder),
        };
        written.map_err(|source| ManualError {
            folder: self.folder.clone(),
            source,
        })
    }
}

fn pages(command: Command, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command, folder)
}

fn completions(mut command: Command, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let name = command.get_name().to_owned();
    for shell in SHELLS {
        clap_complete::generate_to(shell, &mut command, &name, folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Arg;

    use super::*;

    fn program() -> Command {
        Command::new("meter")
            .about("Reads a meter.")
            .subcommand(Command::new("read").arg(Arg::new("speed").long("speed")))
            .subcommand(Command::new("host").hide(true))
    }

    fn written(what: What) -> (tempfile::TempDir, BTreeSet<String>) {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            what,
            folder: folder.path().join("made"),
        };
        options.write(program()).unwrap();
        let entries = std::fs::read_dir(&options.folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let names = names.collect();
        (folder, names)
    }

    #[test]
    fn every_command_that_is_shown_has_a_page() {
        let (folder, names) = written(What::Man);
        let expected = ["meter.1", "meter-read.1"].map(str::to_owned);
        assert!(expected.iter().all(|name| names.contains(name)), "{names:?}");
        assert!(!names.contains("meter-host.1"), "{names:?}");
        let page = std::fs::read_to_string(folder.path().join("made/meter-read.1")).unwrap();
        assert!(page.contains(".TH") && page.contains("speed"), "{page}");
    }

    #[test]
    fn every_shell_has_its_completions() {
        let (_folder, names) = written(What::Completions);
        let expected = ["_meter", "meter.bash", "meter.fish"].map(str::to_owned);
        assert_eq!(names, expected.into());
    }

    #[test]
    fn folder_that_cannot_be_made_is_named() {
        let options = Options {
            what: What::Man,
            folder: "/proc/none".into(),
        };
        let error = options.write(program()).unwrap_err();
        assert!(error.to_string().contains("/proc/none"), "{error}");
    }
}
