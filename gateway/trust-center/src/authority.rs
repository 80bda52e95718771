//! The authority: the root that everything is judged by, and the TSM that it has certified first.
//!
//! The folder holds `root.pem`, `root.key` and `tsm/{sig,enc,tls}.{pem,key}`; the books are in
//! [`crate::books`]. The certificate of the root is written last, so that a folder which has one
//! is complete.

use std::path::{Path, PathBuf};

use card::Contact;
use counterparty::exchange::Identity;
use counterparty::files::{self, Access, FileError};
use counterparty::random::{self, RandomError};
use getrandom::SysRng;
use messages::certificate::profile::{CertificateContent, IssueError, SerialNumber, issue, issue_root};
use messages::certificate::{
    Certificate, CertificateError, PartyName, Role, Subject, SubjectError, Triple, TrustAnchor, VerifiedParty,
};
use messages::keys::PublicPoint;
use messages::software::{SoftwareKey, SoftwareKeyError, SoftwareKeys};
use model::{KeySlot, ParseTimeError, Period, Span, Timestamp};

use crate::books::{Act, Books, BooksError};

/// How long the root holds: longer than any card that it certifies.
const ROOT_DAYS: u32 = 20 * 365;
/// How long the TSM's certificates hold; its keys are software and are to be renewed.
const TSM_DAYS: u32 = 5 * 365;
/// How long a card's certificates hold: the eight years for which a gateway is calibrated, and two
/// in stock.
const CARD_DAYS: u32 = 10 * 365;
/// How long a supplier's certificates hold.
const SUPPLIER_DAYS: u32 = 3 * 365;
/// How far before now a certificate begins to hold, since a gateway's clock may be slow.
const CLOCK_SKEW_SECONDS: u32 = 3_600;
/// The greatest length of the trust centre's name in bytes: the card keeps it.
const MAX_NAME: usize = 64;

/// The reason why there is no authority, or it did not certify.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    /// A file is missing, there already, or cannot be reached.
    #[error("the trust centre's folder cannot be used as it is; `trust-center init` makes a new one")]
    File(#[from] FileError),
    /// The books cannot be begun.
    #[error("the trust centre's books cannot be begun")]
    Books(#[from] BooksError),
    /// The name does not fit the card.
    #[error(
        "the name has {found} bytes, more than the {MAX_NAME} that a card can hold; choose a shorter one"
    )]
    Name {
        /// The length that was given, in bytes.
        found: usize,
    },
    /// A key file holds no key.
    #[error("{} holds no key; restore it from its backup", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: SoftwareKeyError,
    },
    /// A certificate file holds no certificate.
    #[error("{} holds no certificate; restore it from its backup", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: CertificateError,
    },
    /// A key is not that of its certificate.
    #[error("{} is not the key of its certificate; restore both from one backup", path.display())]
    WrongKey {
        /// The key's file.
        path: PathBuf,
    },
    /// The TSM's certificates are not by this root, or no longer valid.
    #[error("the TSM's certificates do not hold; restore them from the backup of this root")]
    Tsm(#[source] CertificateError),
    /// Key or serial number could not be drawn.
    #[error("no random bytes")]
    Random(#[from] RandomError),
    /// A key could not be made or used.
    #[error("a key cannot be made")]
    Software(#[from] SoftwareKeyError),
    /// The subject cannot be certified.
    #[error("this subject cannot be certified")]
    Subject(#[from] SubjectError),
    /// A certificate could not be issued.
    #[error("the certificate cannot be issued")]
    Issue(#[from] IssueError<SoftwareKeyError>),
    /// The root expires before the certificate could begin to hold.
    #[error("the root's certificate has expired, or the clock is wrong; check the clock")]
    Validity(#[from] ParseTimeError),
    /// What was issued does not stand up to the root's own judgement.
    #[error("an issued certificate does not hold; check the clock")]
    Issued(#[from] CertificateError),
}

/// The root's key and certificate, and the TSM.
#[derive(Debug)]
pub(crate) struct Authority {
    home: PathBuf,
    anchor: TrustAnchor,
    key: SoftwareKey,
    tsm: Tsm,
}

/// The TSM: keys and certificates.
#[derive(Debug)]
struct Tsm {
    keys: SoftwareKeys,
    party: VerifiedParty,
}

impl Authority {
    /// Makes an authority in a folder that has none, and begins its books.
    pub(crate) fn init(home: &Path, name: &PartyName, now: Timestamp) -> Result<Self, AuthorityError> {
        if name.as_str().len() > MAX_NAME {
            let found = name.as_str().len();
            return Err(AuthorityError::Name { found });
        }
        files::make_folder(&home.join("tsm"))?;
        let key = SoftwareKey::generate(&mut SysRng)?;
        files::write_new(
            &home.join("root.key"),
            key.to_pkcs8_pem()?.as_bytes(),
            Access::Private,
        )?;
        let period = Period::new(begin(now), now.saturating_add(days(ROOT_DAYS)))?;
        let anchor = issue_root(name.clone(), key.public_point(), serial_number()?, period, &key)?;
        let keys = SoftwareKeys::generate(&mut SysRng)?;
        let subject = Subject::party(name.clone(), Role::Tsm)?;
        let issuer = Issuer {
            anchor: &anchor,
            key: &key,
        };
        let certificates = issuer.issue_triple(&subject, &keys, now)?;
        let party = anchor.verify_party(&certificates, now, Role::Tsm)?;
        for slot in KeySlot::ALL {
            let key = key_of(&keys, slot).to_pkcs8_pem()?;
            let pem = certificate_of(&certificates, slot).to_pem()?;
            let file = |ending| home.join("tsm").join(format!("{slot}.{ending}"));
            files::write_new(&file("key"), key.as_bytes(), Access::Private)?;
            files::write_new(&file("pem"), pem.as_bytes(), Access::Public)?;
        }
        let founded = Act::Founded {
            name: name.clone(),
            root: anchor.certificate().fingerprint(),
            tsm: certificates.sig.fingerprint(),
        };
        Books::create(home)?.record(now, &founded)?;
        let pem = anchor.certificate().to_pem()?;
        files::write_new(&home.join("root.pem"), pem.as_bytes(), Access::Public)?;
        Ok(Self {
            home: home.to_owned(),
            anchor,
            key,
            tsm: Tsm { keys, party },
        })
    }

    /// Loads the authority of a folder and checks that its parts fit each other.
    pub(crate) fn load(home: &Path, now: Timestamp) -> Result<Self, AuthorityError> {
        let path = home.join("root.pem");
        let anchor = TrustAnchor::new(read_certificate(&path)?)
            .map_err(|source| AuthorityError::Certificate { path, source })?;
        let key = read_key(&home.join("root.key"), anchor.certificate())?;
        let file = |slot: KeySlot, ending| home.join("tsm").join(format!("{slot}.{ending}"));
        let certificates = Triple {
            sig: read_certificate(&file(KeySlot::Sig, "pem"))?,
            enc: read_certificate(&file(KeySlot::Enc, "pem"))?,
            tls: read_certificate(&file(KeySlot::Tls, "pem"))?,
        };
        let keys = SoftwareKeys {
            sig: read_key(&file(KeySlot::Sig, "key"), &certificates.sig)?,
            enc: read_key(&file(KeySlot::Enc, "key"), &certificates.enc)?,
            tls: read_key(&file(KeySlot::Tls, "key"), &certificates.tls)?,
        };
        let party = anchor
            .verify_party(&certificates, now, Role::Tsm)
            .map_err(AuthorityError::Tsm)?;
        Ok(Self {
            home: home.to_owned(),
            anchor,
            key,
            tsm: Tsm { keys, party },
        })
    }

    /// Returns the folder.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Returns the root.
    pub(crate) const fn anchor(&self) -> &TrustAnchor {
        &self.anchor
    }

    /// Returns who the TSM is when it speaks with gateways.
    pub(crate) const fn tsm(&self) -> Identity<'_> {
        Identity {
            anchor: &self.anchor,
            party: &self.tsm.party,
            keys: &self.tsm.keys,
        }
    }

    /// Returns what a card keeps of the trust centre: from its personalisation on it trusts nobody
    /// else.
    pub(crate) fn contact(&self) -> Contact {
        Contact {
            name: self.anchor.name().to_string(),
            certificate: self.anchor.certificate().as_der().to_vec(),
        }
    }

    /// Certifies one key of a party, for as long as parties of its role hold.
    pub(crate) fn certify(
        &self,
        subject: &Subject,
        slot: KeySlot,
        key: &PublicPoint,
        now: Timestamp,
    ) -> Result<Certificate, AuthorityError> {
        let issuer = Issuer {
            anchor: &self.anchor,
            key: &self.key,
        };
        issuer.issue(subject, slot, key, now)
    }
}

/// The root while it signs.
struct Issuer<'a> {
    anchor: &'a TrustAnchor,
    key: &'a SoftwareKey,
}

impl Issuer<'_> {
    fn issue(
        &self,
        subject: &Subject,
        slot: KeySlot,
        key: &PublicPoint,
        now: Timestamp,
    ) -> Result<Certificate, AuthorityError> {
        let lifetime = days(match subject.role() {
            Role::Card => CARD_DAYS,
            Role::Supplier => SUPPLIER_DAYS,
            Role::Tsm | Role::TrustCenter => TSM_DAYS,
        });
        let (_, end_of_root) = self.anchor.certificate().validity()?;
        let content = CertificateContent {
            subject: subject.clone(),
            slot,
            public_key: *key,
            serial_number: serial_number()?,
            validity: Period::new(begin(now), now.saturating_add(lifetime).min(end_of_root))?,
        };
        Ok(issue(&content, self.anchor, self.key)?)
    }

    fn issue_triple(
        &self,
        subject: &Subject,
        keys: &SoftwareKeys,
        now: Timestamp,
    ) -> Result<Triple, AuthorityError> {
        Ok(Triple {
            sig: self.issue(subject, KeySlot::Sig, keys.sig.public_point(), now)?,
            enc: self.issue(subject, KeySlot::Enc, keys.enc.public_point(), now)?,
            tls: self.issue(subject, KeySlot::Tls, keys.tls.public_point(), now)?,
        })
    }
}

/// Returns the certificate of one key.
pub(crate) const fn certificate_of(certificates: &Triple, slot: KeySlot) -> &Certificate {
    match slot {
        KeySlot::Sig => &certificates.sig,
        KeySlot::Enc => &certificates.enc,
        KeySlot::Tls => &certificates.tls,
    }
}

const fn key_of(keys: &SoftwareKeys, slot: KeySlot) -> &SoftwareKey {
    match slot {
        KeySlot::Sig => &keys.sig,
        KeySlot::Enc => &keys.enc,
        KeySlot::Tls => &keys.tls,
    }
}

/// Reads a certificate file; nobody has judged what comes out.
pub(crate) fn read_certificate(path: &Path) -> Result<Certificate, AuthorityError> {
    let text = files::read_text(path, Certificate::MAX_PEM)?;
    Certificate::from_pem(&text).map_err(|source| AuthorityError::Certificate {
        path: path.to_owned(),
        source,
    })
}

fn read_key(path: &Path, certificate: &Certificate) -> Result<SoftwareKey, AuthorityError> {
    let text = zeroize::Zeroizing::new(files::read_text(path, SoftwareKey::MAX_PEM)?);
    let key = SoftwareKey::from_pkcs8_pem(&text).map_err(|source| AuthorityError::Key {
        path: path.to_owned(),
        source,
    })?;
    if key.public_point() != certificate.public_key() {
        let path = path.to_owned();
        return Err(AuthorityError::WrongKey { path });
    }
    Ok(key)
}

fn serial_number() -> Result<SerialNumber, RandomError> {
    random::bytes().map(|bytes| SerialNumber::from_random(*bytes))
}

fn begin(now: Timestamp) -> Timestamp {
    Span::from_seconds(CLOCK_SKEW_SECONDS).map_or(now, |skew| now.saturating_sub(skew))
}

fn days(count: u32) -> Span {
    Span::from_seconds(count.saturating_mul(Span::DAY.seconds())).unwrap_or(Span::DAY)
}
