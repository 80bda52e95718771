//! The labels of a batch: for each completed card a picture and a text to print, and a table of all.
//!
//! The folder holds `batch.json`, `labels.csv`, and `<GUID with dashes>.{svg,txt}`. All of it but the first follows from
//! the books, and is made anew from them when a batch is taken up again; so it is written without waiting for the disk.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use counterparty::files::{self, Access, FileError};
use counterparty::gateways::folder_name;
use counterparty::random::{self, RandomError};
use model::CardId;
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use serde::{Deserialize, Serialize};

use crate::books::hex;

/// The greatest size of `batch.json` in bytes.
const MAX_BATCH_FILE: usize = 1_024;
/// The first line of the table.
const TABLE_HEAD: &str = "guid,short\n";

/// The reason why labels cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LabelsError {
    /// A file cannot be read or written.
    #[error("the labels cannot be written; free the disk or name another folder")]
    File(#[from] FileError),
    /// `batch.json` is damaged.
    #[error("{} is damaged; restore it from its backup", path.display())]
    Batch {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The batch has another size.
    #[error("the batch of {} was begun with {begun} cards; take it up with --batch {begun}, or name another folder", folder.display())]
    Size {
        /// The folder.
        folder: PathBuf,
        /// The number it was begun with.
        begun: u32,
    },
    /// Another program works at the batch.
    #[error("another program works at the batch of {}; wait for its end", folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// No random bytes could be drawn.
    #[error("no name can be drawn for the batch")]
    Random(#[from] RandomError),
    /// A GUID does not fit a QR code.
    #[error("the QR code of a GUID cannot be made")]
    Code(#[source] qrcode::types::QrError),
}

/// Which batch a folder belongs to.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchFile {
    batch: String,
    cards: u32,
}

/// The labels of one batch, held by this process alone.
#[derive(Debug)]
pub(crate) struct Labels {
    folder: PathBuf,
    batch: String,
    table: File,
    /// Held until this is dropped.
    _lock: File,
}

impl Labels {
    /// Begins a batch in a folder, or takes the one up that was begun there.
    pub(crate) fn open(folder: &Path, cards: u32) -> Result<Self, LabelsError> {
        files::make_folder(folder)?;
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(FileError::at(&path))?;
        if lock.try_lock().is_err() {
            let folder = folder.to_owned();
            return Err(LabelsError::Busy { folder });
        }
        let path = folder.join("batch.json");
        let batch = match files::read(&path, MAX_BATCH_FILE) {
            Ok(json) => {
                let parsed = serde_json::from_slice::<BatchFile>(&json);
                let begun = parsed.map_err(|source| LabelsError::Batch { path, source })?;
                if begun.cards != cards {
                    let (folder, begun) = (folder.to_owned(), begun.cards);
                    return Err(LabelsError::Size { folder, begun });
                }
                begun.batch
            }
            Err(FileError::Missing { .. }) => {
                let number = random::bytes::<8>()?;
                let batch = hex(&*number);
                let begun = BatchFile {
                    batch: batch.clone(),
                    cards,
                };
                let json = serde_json::to_vec(&begun);
                let json = json.map_err(|source| LabelsError::Batch {
                    path: path.clone(),
                    source,
                })?;
                files::write_new(&path, &json, Access::Public)?;
                batch
            }
            Err(error) => return Err(error.into()),
        };
        let path = folder.join("labels.csv");
        let table = File::create(&path).map_err(FileError::at(&path))?;
        Ok(Self {
            folder: folder.to_owned(),
            batch,
            table,
            _lock: lock,
        })
    }

    /// Returns the name of the batch.
    pub(crate) fn batch(&self) -> &str {
        &self.batch
    }

    /// Writes the labels of the cards that are complete, whatever was there.
    pub(crate) fn begin(&mut self, completed: &[CardId]) -> Result<(), LabelsError> {
        self.append(TABLE_HEAD)?;
        completed.iter().try_for_each(|guid| self.add(*guid))
    }

    /// Writes the label of a card that is complete.
    pub(crate) fn add(&mut self, guid: CardId) -> Result<(), LabelsError> {
        let short = short_form(guid);
        let write = |ending: &str, text: &str| {
            let path = self.folder.join(format!("{}.{ending}", folder_name(guid)));
            std::fs::write(&path, text).map_err(FileError::at(&path))
        };
        write("txt", &format!("GUID {guid}\nshort form {short}\n"))?;
        write("svg", &picture(guid).map_err(LabelsError::Code)?)?;
        self.append(&format!("{guid},{short}\n"))
    }

    /// Waits until the table is on the disk.
    pub(crate) fn finish(self) -> Result<(), LabelsError> {
        let path = self.folder.join("labels.csv");
        self.table.sync_all().map_err(FileError::at(&path))?;
        Ok(files::sync_folder_of(&path)?)
    }

    fn append(&self, text: &str) -> Result<(), LabelsError> {
        let path = self.folder.join("labels.csv");
        Ok((&self.table)
            .write_all(text.as_bytes())
            .map_err(FileError::at(&path))?)
    }
}

/// Returns the short form of a GUID, for people who compare: the last eight hexadecimal digits, in two groups.
pub(crate) fn short_form(guid: CardId) -> String {
    let digits = hex(&guid.to_bytes());
    let last = digits.get(24..).unwrap_or_default();
    let (first, second) = last.split_at_checked(4).unwrap_or_default();
    format!("{first}-{second}")
}

/// Draws the label: the QR code of the GUID, and below it the GUID and its short form.
fn picture(guid: CardId) -> Result<String, qrcode::types::QrError> {
    let code = QrCode::with_error_correction_level(guid.to_string(), EcLevel::M)?;
    let image = code.render::<svg::Color<'_>>().min_dimensions(300, 300).build();
    let body = image.split_once("?>").map_or(image.as_str(), |(_, body)| body);
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <svg xmlns=\"http://www.w3.org/2000/svg\" width=\"360\" height=\"400\" font-family=\"monospace\" \
         text-anchor=\"middle\">\n<rect width=\"360\" height=\"400\" fill=\"#fff\"/>\n\
         <svg x=\"20\" y=\"10\">{body}</svg>\n\
         <text x=\"180\" y=\"352\" font-size=\"13\">{guid}</text>\n\
         <text x=\"180\" y=\"384\" font-size=\"24\">{}</text>\n</svg>\n",
        short_form(guid)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "fd5a:6d67:7700:0:101:101:12:ab";

    #[test]
    fn labels_show_guid_and_short_form() {
        let folder = tempfile::tempdir().unwrap();
        let guid: CardId = GUID.parse().unwrap();
        let mut labels = Labels::open(folder.path(), 2).unwrap();
        labels.begin(&[]).unwrap();
        labels.add(guid).unwrap();
        let batch = labels.batch().to_owned();
        assert!(matches!(
            Labels::open(folder.path(), 2),
            Err(LabelsError::Busy { .. })
        ));
        labels.finish().unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("labels.csv"), format!("guid,short\n{GUID},0012-00ab\n"));
        let name = folder_name(guid);
        assert!(read(&format!("{name}.txt")).contains(GUID));
        let picture = read(&format!("{name}.svg"));
        assert!(picture.contains(GUID) && picture.contains("0012-00ab") && picture.contains("<path"));
        assert!(matches!(
            Labels::open(folder.path(), 3),
            Err(LabelsError::Size { begun: 2, .. })
        ));
        let mut again = Labels::open(folder.path(), 2).unwrap();
        assert_eq!(again.batch(), batch);
        again.begin(&[guid]).unwrap();
        assert_eq!(read("labels.csv").lines().count(), 2);
        std::fs::write(folder.path().join("batch.json"), "{}").unwrap();
        drop(again);
        assert!(matches!(
            Labels::open(folder.path(), 2),
            Err(LabelsError::Batch { .. })
        ));
    }
}
