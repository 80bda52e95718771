//! The folder of `--keep`: messages, keys and certificates, and how to open them without our code.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use system::{House, Stage};

use crate::error::XtaskError;

/// The first line of the README; a folder that has it was made here and may be written again.
const TITLE: &str = "# What went over the WAN";

/// What a person needs to open a message with OpenSSL alone.
const README: &str = "# What went over the WAN

Every message that supplier, TSM and gateway sent each other in one demonstration, as it went over the
WAN, with the supplier's private keys and all certificates. The keys were made for this demonstration and are good
for nothing else.

| file | what it is |
|---|---|
| `NNNN-request.cms`, `NNNN-answer.cms` | the supplier's requests and the gateway's answers (CMS, DER) |
| `not-granted/`, `too-fine/` | the same for the two requests that the gateway refused |
| `first-contact/` | the same for the TSM's messages to the card and its bundle, which only the TSM and the card can open |
| `sig.*`, `enc.*`, `tls.*` | the supplier's private keys and certificates |
| `tsm-sig.pem`, `tsm-enc.pem`, `tsm-tls.pem` | the certificates of the TSM |
| `root.pem`, `chain.pem` | the certificates of the trust centre's root and of its issuing authority, which signed the others; messages bring the latter along |

A message is signed by its sender's card or key, over a content that is encrypted for its recipient.
Two commands of OpenSSL open an answer, no code of this project:

```sh
openssl cms -verify -purpose any -CAfile root.pem -inform DER -in 0001-answer.cms -binary -out sealed.der
openssl cms -decrypt -inkey enc.key -recip enc.pem -inform DER -in sealed.der -binary -out answer.json
```
";

/// A folder that is made ready for what went over the WAN.
#[derive(Debug)]
pub(crate) struct Kept {
    folder: PathBuf,
}

impl Kept {
    /// Makes the folder ready: new, empty, or cleared of an earlier demonstration.
    ///
    /// # Errors
    ///
    /// [`XtaskError::KeepNotEmpty`] if something else is in it, [`XtaskError::File`] if it cannot
    /// be written.
    pub(crate) fn prepare(folder: &Path) -> Result<Self, XtaskError> {
        std::fs::create_dir_all(folder).map_err(XtaskError::file(folder))?;
        let folder = std::fs::canonicalize(folder).map_err(XtaskError::file(folder))?;
        let kept = Self { folder };
        let readme = kept.path("README.md");
        let earlier = std::fs::read_to_string(&readme).is_ok_and(|text| text.starts_with(TITLE));
        if !earlier && !files(&kept.folder)?.is_empty() {
            return Err(XtaskError::KeepNotEmpty { path: kept.folder });
        }
        for folder in [
            kept.path(""),
            kept.first_contact(),
            kept.refused("not-granted"),
            kept.refused("too-fine"),
        ] {
            std::fs::create_dir_all(&folder).map_err(XtaskError::file(&folder))?;
            let messages = files(&folder)?.into_iter();
            for message in messages.filter(|file| file.extension() == Some(OsStr::new("cms"))) {
                std::fs::remove_file(&message).map_err(XtaskError::file(&message))?;
            }
        }
        std::fs::write(&readme, README).map_err(XtaskError::file(&readme))?;
        Ok(kept)
    }

    /// Returns the folder, where the supplier writes its messages.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the folder where the TSM writes its messages, apart from the supplier's numbers.
    pub(crate) fn first_contact(&self) -> PathBuf {
        self.path("first-contact")
    }

    /// Returns the folder for the messages of a refused request.
    pub(crate) fn refused(&self, what: &str) -> PathBuf {
        self.path(what)
    }

    /// Copies the supplier's keys and every certificate into the folder.
    ///
    /// # Errors
    ///
    /// [`XtaskError::File`] names the file that cannot be copied.
    pub(crate) fn copy_keys(&self, house: &House) -> Result<(), XtaskError> {
        self.copy_matching(house.supplier.home(), "", &["key", "pem"])?;
        self.copy_matching(&tsm(&house.stage), "tsm-", &["pem"])?;
        self.copy_matching(&house.stage.trust_center(), "", &["pem"])
    }

    fn copy_matching(&self, from: &Path, prefix: &str, extensions: &[&str]) -> Result<(), XtaskError> {
        for file in files(from)? {
            let extension = file.extension().and_then(OsStr::to_str).unwrap_or_default();
            let name = file.file_name().map(OsStr::to_string_lossy);
            if let (true, Some(name)) = (extensions.contains(&extension), name) {
                let to = self.path(&format!("{prefix}{name}"));
                std::fs::copy(&file, &to).map_err(XtaskError::file(&to))?;
            }
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn tsm(stage: &Stage) -> PathBuf {
    stage.trust_center().join("tsm")
}

/// Returns what is in a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>, XtaskError> {
    let entries = std::fs::read_dir(folder).map_err(XtaskError::file(folder))?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    paths
        .collect::<std::io::Result<_>>()
        .map_err(XtaskError::file(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_folder_gets_a_readme_with_both_commands() {
        let parent = tempfile::tempdir().unwrap();
        let kept = Kept::prepare(&parent.path().join("deep/kept")).unwrap();
        let readme = std::fs::read_to_string(kept.folder().join("README.md")).unwrap();
        assert!(readme.starts_with(TITLE));
        assert!(readme.contains("openssl cms -verify") && readme.contains("openssl cms -decrypt"));
    }

    #[test]
    fn folder_of_an_earlier_demonstration_is_cleared_of_its_messages() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::prepare(folder.path()).unwrap();
        let folders = [kept.refused("too-fine"), kept.first_contact()];
        let messages = folders.map(|folder| folder.join("0001-answer.cms"));
        for message in &messages {
            std::fs::write(message, "old").unwrap();
        }
        Kept::prepare(folder.path()).unwrap();
        assert!(messages.iter().all(|message| !message.exists()));
    }

    #[test]
    fn folder_with_other_files_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let thesis = folder.path().join("thesis.cms");
        std::fs::write(&thesis, "years of work").unwrap();
        let error = Kept::prepare(folder.path()).unwrap_err();
        assert!(matches!(error, XtaskError::KeepNotEmpty { .. }));
        assert!(thesis.exists());
    }
}
