//! The lists of revoked certificates that the supplier has, in the folder `lists`: one per authority, PEM.
//!
//! They come from the trust centre's directory or from files. A list is taken if an authority of the trust centre has signed
//! it, and it is not older than the one that is there. What is on one is refused from then on, even after the next one was
//! due; that it was is told, or is a reason to refuse.

use std::path::{Path, PathBuf};

use counterparty::fetch::{self, FetchError};
use counterparty::files::{self, Access, FileError};
use messages::certificate::{Certificate, CertificateError, RevocationList, TrustAnchor};
use model::Timestamp;

use crate::home::{Home, KnowError};

/// The greatest size of a list in PEM.
const MAX_PEM: usize = RevocationList::MAX_DER + RevocationList::MAX_DER / 2;
/// The greatest number of lists: the root's, and those of its issuing authorities.
const MAX_LISTS: usize = TrustAnchor::MAX_ISSUING + 1;
/// The greatest size of the file of the issuing authorities.
const MAX_CHAIN: usize = Certificate::MAX_PEM * TrustAnchor::MAX_ISSUING;

/// The HTTP status of what is not there (RFC 9110, section 15.5.5).
const NOT_FOUND: u16 = 404;

/// The reason why a list was not taken or read.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// A file cannot be read or written.
    #[error("the lists of revoked certificates cannot be kept")]
    File(#[from] FileError),
    /// The issuing authorities are none of this trust centre, or cannot be kept.
    #[error("the issuing authorities in the directory cannot be taken over")]
    Authorities(#[from] KnowError),
    /// The directory does not give it.
    #[error("the list cannot be fetched from the directory")]
    Fetch(#[from] FetchError),
    /// It is no list, or none of this trust centre.
    #[error(
        "{place} holds no list of revoked certificates that this trust centre has signed; fetch it again"
    )]
    Refused {
        /// Where it is from.
        place: String,
        /// Why.
        #[source]
        source: CertificateError,
    },
    /// There is a newer one.
    #[error("{place} holds list {found}, and list {present} is here already; fetch the present one")]
    Older {
        /// Where it is from.
        place: String,
        /// The number that it has.
        found: u64,
        /// The number of the list that is here.
        present: u64,
    },
    /// There are no lists.
    #[error("there are no lists of revoked certificates; fetch them with `supplier crl`")]
    None,
    /// A newer list was due.
    #[error("a newer list of revoked certificates was due at {due}; fetch it with `supplier crl`")]
    Overdue {
        /// When it was due.
        due: Timestamp,
    },
    /// There are more lists than authorities.
    #[error("{} holds more than {MAX_LISTS} files, which are not all lists of one trust centre", folder.display())]
    TooMany {
        /// The folder.
        folder: PathBuf,
    },
}

/// A list that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its number.
    pub number: u64,
    /// How many certificates are on it.
    pub revoked: usize,
    /// When the next one is due.
    pub next: Timestamp,
}

impl Home {
    /// Fetches the issuing authorities and the present lists of all authorities from the trust centre's directory,
    /// `http://HOST:PORT`, and keeps them.
    ///
    /// # Errors
    ///
    /// [`ListError`] names the list that was not taken, and why; those before it are.
    pub async fn fetch_lists(self, directory: &str, now: Timestamp) -> Result<Vec<Taken>, ListError> {
        let directory = directory.trim_end_matches('/');
        let home = self.knowing(fetch_chain(directory).await?)?;
        let anchor = home.anchor();
        let mut taken = Vec::new();
        for authority in std::iter::once(anchor.certificate()).chain(anchor.issuing()) {
            let address = format!("{directory}/lists/{}", hex::encode(authority.key_identifier()));
            let der = fetch::get(&address, RevocationList::MAX_DER).await?;
            let list = RevocationList::from_der(&der).map_err(refused(&address))?;
            taken.push(home.take_list(&list, &address, now)?);
        }
        Ok(taken)
    }

    /// Takes a list from a file, PEM or DER, and keeps it.
    ///
    /// # Errors
    ///
    /// [`ListError`] if it is not taken.
    pub fn import_list(&self, file: &Path, now: Timestamp) -> Result<Taken, ListError> {
        let bytes = files::read(file, MAX_PEM)?;
        let text = String::from_utf8_lossy(&bytes);
        let list = if text.starts_with("-----BEGIN") {
            RevocationList::from_pem(&text)
        } else {
            RevocationList::from_der(&bytes)
        };
        let place = file.display().to_string();
        let list = list.map_err(refused(&place))?;
        self.take_list(&list, &place, now)
    }

    fn take_list(&self, list: &RevocationList, place: &str, now: Timestamp) -> Result<Taken, ListError> {
        self.anchor()
            .clone()
            .with_list(list, now)
            .map_err(refused(place))?;
        let folder = self.folder().join("lists");
        files::make_folder(&folder)?;
        let path = folder.join(format!("{}.crl", list.issuer_name()));
        match read_list(&path) {
            Ok(present) if present.number() > list.number() => {
                return Err(ListError::Older {
                    place: place.to_owned(),
                    found: list.number(),
                    present: present.number(),
                });
            }
            // One that is damaged is replaced.
            Ok(_) | Err(ListError::Refused { .. } | ListError::File(FileError::Missing { .. })) => {}
            Err(error) => return Err(error),
        }
        let pem = list.to_pem().map_err(refused(place))?;
        files::replace(&path, pem.as_bytes(), Access::Public)?;
        Ok(Taken {
            number: list.number(),
            revoked: list.revoked().len(),
            next: list.next_update(),
        })
    }

    /// Checks that there are lists, and that no newer one was due.
    ///
    /// # Errors
    ///
    /// [`ListError::None`] or [`ListError::Overdue`].
    pub fn check_lists(&self, now: Timestamp) -> Result<(), ListError> {
        match self.lists_due() {
            None => Err(ListError::None),
            Some(due) if due < now => Err(ListError::Overdue { due }),
            Some(_) => Ok(()),
        }
    }
}

/// Fetches the certificates of the issuing authorities; a trust centre of an early version has none.
async fn fetch_chain(directory: &str) -> Result<Vec<Certificate>, ListError> {
    let address = format!("{directory}/chain.pem");
    match fetch::get(&address, MAX_CHAIN).await {
        Ok(pem) => Certificate::from_pem_chain(&String::from_utf8_lossy(&pem)).map_err(refused(&address)),
        Err(FetchError::Status { status, .. }) if status.as_u16() == NOT_FOUND => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Has the anchor know what is on the lists of a folder; returns with it when the first of the next ones is due.
pub(crate) fn apply(
    mut anchor: TrustAnchor,
    home: &Path,
) -> Result<(TrustAnchor, Option<Timestamp>), ListError> {
    let folder = home.join("lists");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((anchor, None)),
        Err(error) => return Err(FileError::at(&folder)(error).into()),
    };
    let mut due = None;
    for (number, entry) in entries.enumerate() {
        if number >= MAX_LISTS {
            return Err(ListError::TooMany { folder });
        }
        let path = entry.map_err(FileError::at(&folder))?.path();
        let list = read_list(&path)?;
        // What is on an old list is revoked all the same; that a newer one is due is said elsewhere.
        let next = list.next_update();
        let place = path.display().to_string();
        anchor = anchor.with_list(&list, next).map_err(refused(&place))?;
        due = Some(due.map_or(next, |due: Timestamp| due.min(next)));
    }
    Ok((anchor, due))
}

fn read_list(path: &Path) -> Result<RevocationList, ListError> {
    let pem = files::read_text(path, MAX_PEM)?;
    RevocationList::from_pem(&pem).map_err(refused(&path.display().to_string()))
}

fn refused(place: &str) -> impl FnOnce(CertificateError) -> ListError + use<> {
    let place = place.to_owned();
    move |source| ListError::Refused { place, source }
}
