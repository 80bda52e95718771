//! The issuing authorities: the present one, and those before it, whose certificates are still in use.
//!
//! The first one is in `issuing.{pem,key,crl}`, the next ones in `issuing-2.{pem,key,crl}` and so on. A file is never moved,
//! and the certificate is written last: an authority is there as soon as its certificate is, and the one with the greatest
//! number issues. Those before it sign nothing but their lists of revoked certificates any more.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use counterparty::files::{self, Access, FileError};
use messages::certificate::profile::{Key, issue_authority};
use messages::certificate::{Certificate, TrustAnchor};
use model::{Period, Timestamp};

use super::{Authority, AuthorityError, begin, read_certificate, serial_number, write_certificate};
use crate::books::{Books, BooksError, Issued};

/// An issuing authority of a folder.
#[derive(Debug, Clone)]
pub(super) struct Issuing {
    number: usize,
    pub(super) certificate: Certificate,
}

impl Issuing {
    /// The one that a trust centre is founded with.
    pub(super) const fn first(certificate: Certificate) -> Self {
        Self {
            number: 1,
            certificate,
        }
    }

    /// Returns one of its files.
    pub(super) fn file(&self, home: &Path, ending: &str) -> PathBuf {
        file(home, self.number, ending)
    }
}

fn file(home: &Path, number: usize, ending: &str) -> PathBuf {
    home.join(match number {
        1 => format!("issuing.{ending}"),
        number => format!("issuing-{number}.{ending}"),
    })
}

/// Reads the certificates of the issuing authorities of a folder, the present one first; nobody has judged them.
pub(super) fn read(home: &Path) -> Result<Vec<Issuing>, AuthorityError> {
    let mut found = Vec::new();
    for number in (1..=TrustAnchor::MAX_ISSUING).rev() {
        match read_certificate(&file(home, number, "pem")) {
            Ok(certificate) => found.push(Issuing { number, certificate }),
            Err(AuthorityError::File(FileError::Missing { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Returns the root with the issuing authorities, the present one first, and what is revoked by any of them.
pub(super) fn anchor(
    root: TrustAnchor,
    issuing: &[Issuing],
    home: &Path,
    books: &Books,
) -> Result<TrustAnchor, AuthorityError> {
    let mut anchor = root;
    for known in issuing {
        let with = anchor.with_issuing(known.certificate.clone());
        anchor = with.map_err(|source| AuthorityError::Certificate {
            path: known.file(home, "pem"),
            source,
        })?;
    }
    Ok(with_what_is_revoked(anchor, books)?)
}

/// Has the root and its issuing authorities know what the books say is revoked.
fn with_what_is_revoked(mut anchor: TrustAnchor, books: &Books) -> Result<TrustAnchor, BooksError> {
    let authorities: Vec<_> = std::iter::once(anchor.certificate())
        .chain(anchor.issuing())
        .cloned()
        .collect();
    for authority in &authorities {
        anchor = anchor.with_revoked(authority.key_identifier(), books.revoked(authority)?);
    }
    Ok(anchor)
}

impl Authority {
    /// Makes the next issuing authority, with a new key, which issues from now on; in the HSM if the present one's is there.
    ///
    /// Whatever the former ones have issued holds on. Cards that are personalised from now on name the new one, and the
    /// others hear of it with the next bundle of their gateway.
    pub(crate) fn renew_issuing(
        &mut self,
        books: &Books,
        now: Timestamp,
    ) -> Result<Certificate, AuthorityError> {
        let home = self.home.clone();
        let last = self.issuing.first().map_or(0, |present| present.number);
        let free = |number: &usize| !file(&home, *number, "key").exists();
        let numbers = last.saturating_add(1)..=TrustAnchor::MAX_ISSUING;
        let number = numbers
            .into_iter()
            .find(free)
            .ok_or(AuthorityError::TooManyIssuing)?;
        let root = self.anchor.certificate();
        let root_key = self.keys.read_issuer(&home.join("root.key"), root)?;
        let token = self
            .keys
            .token(&self.file_of(self.issuing_certificate(), "key"))?;
        let key = self
            .keys
            .make_issuer(&file(&home, number, "key"), "smgw-issuing", token.as_ref())?;
        let (_, end) = root.validity()?;
        let certified = Key {
            public_key: key.public_point(),
            serial_number: serial_number()?,
            validity: Period::new(begin(now), end)?,
        };
        let name = self.anchor.name().clone();
        let certificate = issue_authority(name, certified, &self.anchor, &root_key)?;
        // What no gateway could be told of is not made.
        self.anchor.clone().with_issuing(certificate.clone())?;
        let issued = Issued {
            certificate: certificate.clone(),
            key: "authority",
        };
        books.issued(now, &[issued])?;
        write_certificate(&file(&home, number, "pem"), &certificate)?;
        self.issuing.insert(
            0,
            Issuing {
                number,
                certificate: certificate.clone(),
            },
        );
        let root = TrustAnchor::new(self.anchor.certificate().clone())?;
        self.anchor = anchor(root, &self.issuing, &home, books)?;
        self.issuer_key = OnceLock::from(key);
        self.write_chain(&home.join("chain.pem"))?;
        Ok(certificate)
    }

    /// Returns the root with all that is revoked now, for who runs long: other programs revoke meanwhile.
    pub(crate) fn anchor_now(&self, books: &Books) -> Result<TrustAnchor, BooksError> {
        with_what_is_revoked(self.anchor.clone(), books)
    }

    /// Writes the certificates of the issuing authorities, the present one first.
    pub(crate) fn write_chain(&self, path: &Path) -> Result<(), AuthorityError> {
        if self.issuing.is_empty() {
            return Ok(());
        }
        let pem = self.chain_pem()?;
        Ok(files::replace(path, pem.as_bytes(), Access::Public)?)
    }

    /// Returns the certificates of the issuing authorities, the present one first, in PEM.
    pub(crate) fn chain_pem(&self) -> Result<String, AuthorityError> {
        let pem = self.issuing.iter().map(|known| known.certificate.to_pem());
        Ok(pem.collect::<Result<_, _>>()?)
    }
}
