//! The authority: the root that everything is judged by, the issuing authority that certifies on its behalf, and the TSM.
//!
//! The folder holds `root.{pem,key}`, `issuing.{pem,key}`, what followed it as `issuing-2.{pem,key}` and so on, the
//! certificates of all of these, the present one first, as `chain.pem` for whoever shows or checks a chain, and `tsm/{sig,enc,tls}.{pem,key}`; the books are in [`crate::books`]. The certificate of the root
//! is written last, so that a folder which has one is complete. The root's key signs the issuing authority, the TSM (whose
//! certificate a card checks by the root's key alone) and its own revocation list; it is read for nothing else, so `root.key`
//! may be kept elsewhere between. A folder of an earlier version has no issuing authority; its root issues everything.

mod issuing;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use card::Contact;
use counterparty::exchange::Identity;
use counterparty::files::{self, Access, FileError};
use counterparty::random::{self, RandomError};
use getrandom::SysRng;
use messages::certificate::profile::{
    CertificateContent, IssueError, Key, SerialNumber, issue_authority, issue_broker, issue_root, issue_under,
};
use messages::certificate::{
    Certificate, CertificateError, DnsName, PartyName, Role, Subject, SubjectError, Triple, TrustAnchor,
    VerifiedParty,
};
use messages::keys::PublicPoint;
use messages::software::{SoftwareKeyError, SoftwareKeys};
use model::{KeySlot, ParseTimeError, Period, Span, Timestamp};

use crate::books::{Act, Books, BooksError, Issued};
use crate::keys::{IssuerKey, KeyError, KeyStore, Secrets, Token};

use issuing::Issuing;

/// How long the root holds: longer than any card that it certifies.
const ROOT_DAYS: u32 = 20 * 365;
/// How long the TSM's certificates hold; its keys are software and are to be renewed.
const TSM_DAYS: u32 = 5 * 365;
/// How long a card's certificates hold: the eight years for which a gateway is calibrated, and two
/// in stock.
const CARD_DAYS: u32 = 10 * 365;
/// How long a supplier's or a broker's certificates hold.
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
    /// A key is missing, or cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate file holds no certificate.
    #[error("{} holds no certificate; restore it from its backup", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: CertificateError,
    },
    /// The TSM's certificates are not by this root, or no longer valid.
    #[error("the TSM's certificates do not hold; make new ones with `trust-center renew --tsm`")]
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
    Issue(#[from] IssueError<KeyError>),
    /// The root expires before the certificate could begin to hold.
    #[error("the root's certificate has expired, or the clock is wrong; check the clock")]
    Validity(#[from] ParseTimeError),
    /// There are as many issuing authorities as anybody keeps.
    #[error(
        "there are {} issuing authorities already, as many as a gateway knows; those that nothing in use is by are moved \
         out of the folder, with .pem, .key and .crl",
        TrustAnchor::MAX_ISSUING
    )]
    TooManyIssuing,
    /// What was issued does not stand up to the root's own judgement.
    #[error("an issued certificate does not hold; check the clock")]
    Issued(#[from] CertificateError),
}

/// The certificates of the authority, and its keys when they are needed.
#[derive(Debug)]
pub(crate) struct Authority {
    home: PathBuf,
    anchor: TrustAnchor,
    /// The issuing authorities, the present one first; none in a folder of an earlier version, whose root issues.
    issuing: Vec<Issuing>,
    /// The TSM; without a good one, everything else still goes on, and it can be renewed.
    party: Result<VerifiedParty, CertificateError>,
    keys: KeyStore,
    issuer_key: OnceLock<IssuerKey>,
    tsm_keys: OnceLock<SoftwareKeys>,
}

impl Authority {
    /// Makes an authority in a folder that has none, and begins its books.
    pub(crate) fn init(home: &Path, founding: &Founding<'_>, now: Timestamp) -> Result<Self, AuthorityError> {
        let name = founding.name;
        if name.as_str().len() > MAX_NAME {
            let found = name.as_str().len();
            return Err(AuthorityError::Name { found });
        }
        files::make_folder(&home.join("tsm"))?;
        let keys = KeyStore::new(home, founding.secrets);
        let token = founding.token;
        let root_key = keys.make_issuer(&home.join("root.key"), "smgw-root", token)?;
        let period = Period::new(begin(now), now.saturating_add(days(ROOT_DAYS)))?;
        let serial = serial_number()?;
        let anchor = issue_root(name.clone(), root_key.public_point(), serial, period, &root_key)?;
        let issuer_key = keys.make_issuer(&home.join("issuing.key"), "smgw-issuing", token)?;
        let key = Key {
            public_key: issuer_key.public_point(),
            serial_number: serial_number()?,
            validity: period,
        };
        let issuer = issue_authority(name.clone(), key, &anchor, &root_key)?;
        let anchor = anchor.with_issuing(issuer.clone())?;
        let tsm_keys = SoftwareKeys::generate(&mut SysRng)?;
        let root = Issuer {
            anchor: &anchor,
            certificate: anchor.certificate(),
            key: &root_key,
        };
        let certificates = root.issue_tsm(name, &tsm_keys, now)?;
        let party = anchor.verify_party(&certificates, now, Role::Tsm)?;
        for slot in KeySlot::ALL {
            let path = home.join("tsm").join(format!("{slot}.key"));
            keys.write(&path, key_of(&tsm_keys, slot))?;
        }
        let books = Books::create(home, founding.books)?;
        let founded = Act::Founded {
            name: name.clone(),
            root: anchor.certificate().fingerprint(),
            tsm: certificates.sig.fingerprint(),
        };
        let authorities = [anchor.certificate(), &issuer].map(|certificate| Issued {
            certificate: certificate.clone(),
            key: "authority",
        });
        books.record_issued(now, &founded, &authorities)?;
        books.issued(now, &issued(&certificates))?;
        write_triple(&home.join("tsm"), &certificates)?;
        write_certificate(&home.join("issuing.pem"), &issuer)?;
        write_certificate(&home.join("chain.pem"), &issuer)?;
        let pem = anchor.certificate().to_pem()?;
        files::write_new(&home.join("root.pem"), pem.as_bytes(), Access::Public)?;
        Ok(Self {
            home: home.to_owned(),
            anchor,
            issuing: vec![Issuing::first(issuer)],
            party: Ok(party),
            keys,
            issuer_key: OnceLock::from(issuer_key),
            tsm_keys: OnceLock::from(tsm_keys),
        })
    }

    /// Loads the authority of a folder and checks that its certificates fit each other, and with the books which of them
    /// are revoked. Keys are read when they are needed.
    pub(crate) fn load(
        home: &Path,
        secrets: &Secrets,
        books: &Books,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        let path = home.join("root.pem");
        let root = TrustAnchor::new(read_certificate(&path)?)
            .map_err(|source| AuthorityError::Certificate { path, source })?;
        let issuing = issuing::read(home)?;
        let anchor = issuing::anchor(root, &issuing, home, books)?;
        let file = |slot: KeySlot| home.join("tsm").join(format!("{slot}.pem"));
        let certificates = Triple {
            sig: read_certificate(&file(KeySlot::Sig))?,
            enc: read_certificate(&file(KeySlot::Enc))?,
            tls: read_certificate(&file(KeySlot::Tls))?,
        };
        let party = anchor.verify_party(&certificates, now, Role::Tsm);
        Ok(Self {
            home: home.to_owned(),
            anchor,
            issuing,
            party,
            keys: KeyStore::new(home, secrets),
            issuer_key: OnceLock::new(),
            tsm_keys: OnceLock::new(),
        })
    }

    /// Returns the folder.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Returns the root, with the issuing authority and what is revoked.
    pub(crate) const fn anchor(&self) -> &TrustAnchor {
        &self.anchor
    }

    /// Returns the authorities whose revocation lists there are: the root, and the issuing ones, the present one first.
    pub(crate) fn authorities(&self) -> Vec<&Certificate> {
        std::iter::once(self.anchor.certificate())
            .chain(self.anchor.issuing())
            .collect()
    }

    /// Returns the file that holds the list of one of these.
    pub(crate) fn list_file(&self, authority: &Certificate) -> PathBuf {
        self.file_of(authority, "crl")
    }

    fn file_of(&self, authority: &Certificate, ending: &str) -> PathBuf {
        let issuing = self.issuing.iter().find(|known| known.certificate == *authority);
        let root = || self.home.join(format!("root.{ending}"));
        issuing.map_or_else(root, |known| known.file(&self.home, ending))
    }

    /// Returns who the TSM is when it speaks with gateways.
    pub(crate) fn tsm(&self) -> Result<Identity<'_>, AuthorityError> {
        let party = self
            .party
            .as_ref()
            .map_err(|error| AuthorityError::Tsm(error.clone()))?;
        let keys = match self.tsm_keys.get() {
            Some(keys) => keys,
            None => {
                let read = |slot: KeySlot, certificate| {
                    let path = self.home.join("tsm").join(format!("{slot}.key"));
                    self.keys.read(&path, certificate)
                };
                let keys = SoftwareKeys {
                    sig: read(KeySlot::Sig, party.sig.certificate())?,
                    enc: read(KeySlot::Enc, party.enc.certificate())?,
                    tls: read(KeySlot::Tls, party.tls.certificate())?,
                };
                self.tsm_keys.get_or_init(|| keys)
            }
        };
        Ok(Identity {
            anchor: &self.anchor,
            party,
            keys,
        })
    }

    /// Returns what a card keeps of the trust centre: from its personalisation on it trusts nobody
    /// else.
    pub(crate) fn contact(&self) -> Contact {
        Contact {
            name: self.anchor.name().to_string(),
            certificate: self.anchor.certificate().as_der().to_vec(),
            issuing: self
                .anchor
                .issuing()
                .first()
                .map(|issuing| issuing.as_der().to_vec()),
        }
    }

    /// Opens the key that issues certificates, which takes its time the first time.
    pub(crate) fn ready(&self) -> Result<(), AuthorityError> {
        self.issuer().map(|_| ())
    }

    /// Certifies one key of a party, for as long as parties of its role hold.
    pub(crate) fn certify(
        &self,
        subject: &Subject,
        slot: KeySlot,
        key: &PublicPoint,
        now: Timestamp,
    ) -> Result<Certificate, AuthorityError> {
        self.issuer()?.issue(subject, slot, key, now)
    }

    /// Certifies a broker, a server that is reached by these names.
    pub(crate) fn certify_broker(
        &self,
        names: &[DnsName],
        key: &PublicPoint,
        now: Timestamp,
    ) -> Result<Certificate, AuthorityError> {
        let issuer = self.issuer()?;
        let key = Key {
            public_key: key,
            serial_number: serial_number()?,
            validity: issuer.validity(SUPPLIER_DAYS, now)?,
        };
        Ok(issue_broker(names, key, issuer.certificate, issuer.key)?)
    }

    /// Certifies the TSM anew, with new keys; the present ones are replaced. Until all files are there, none of them is in
    /// force, since keys and certificates are checked against each other.
    pub(crate) fn renew_tsm(&self, books: &Books, now: Timestamp) -> Result<VerifiedParty, AuthorityError> {
        let root_key = self
            .keys
            .read_issuer(&self.home.join("root.key"), self.anchor.certificate())?;
        let root = Issuer {
            anchor: &self.anchor,
            certificate: self.anchor.certificate(),
            key: &root_key,
        };
        let keys = SoftwareKeys::generate(&mut SysRng)?;
        let certificates = root.issue_tsm(self.anchor.name(), &keys, now)?;
        let party = self.anchor.verify_party(&certificates, now, Role::Tsm)?;
        books.issued(now, &issued(&certificates))?;
        let folder = self.home.join("tsm");
        for slot in KeySlot::ALL {
            self.keys
                .replace(&folder.join(format!("{slot}.key")), key_of(&keys, slot))?;
            write_certificate(
                &folder.join(format!("{slot}.pem")),
                certificate_of(&certificates, slot),
            )?;
        }
        Ok(party)
    }

    /// Returns the key of one of the authorities, to sign its revocation list.
    pub(crate) fn with_key_of<T>(
        &self,
        authority: &Certificate,
        sign: impl FnOnce(&IssuerKey) -> Result<T, AuthorityError>,
    ) -> Result<T, AuthorityError> {
        if authority == self.issuing_certificate() {
            return sign(self.issuer()?.key);
        }
        let key = self
            .keys
            .read_issuer(&self.file_of(authority, "key"), authority)?;
        sign(&key)
    }

    fn issuer(&self) -> Result<Issuer<'_>, AuthorityError> {
        let key = match self.issuer_key.get() {
            Some(key) => key,
            None => {
                let present = self.issuing_certificate();
                let key = self.keys.read_issuer(&self.file_of(present, "key"), present)?;
                self.issuer_key.get_or_init(|| key)
            }
        };
        Ok(Issuer {
            anchor: &self.anchor,
            certificate: self.issuing_certificate(),
            key,
        })
    }

    /// Returns the certificate of whose key issues: the present issuing authority, or the root of an earlier version.
    fn issuing_certificate(&self) -> &Certificate {
        let present = self.issuing.first();
        present.map_or_else(|| self.anchor.certificate(), |present| &present.certificate)
    }
}

/// What an authority is founded with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Founding<'a> {
    /// The trust centre's name.
    pub(crate) name: &'a PartyName,
    /// Where passphrase and PIN come from.
    pub(crate) secrets: &'a Secrets,
    /// Where the keys that issue are made, unless in files.
    pub(crate) token: Option<&'a Token>,
    /// The database of the books, unless a file.
    pub(crate) books: Option<&'a str>,
}

/// An authority while it signs.
struct Issuer<'a> {
    anchor: &'a TrustAnchor,
    certificate: &'a Certificate,
    key: &'a IssuerKey,
}

impl Issuer<'_> {
    fn issue(
        &self,
        subject: &Subject,
        slot: KeySlot,
        key: &PublicPoint,
        now: Timestamp,
    ) -> Result<Certificate, AuthorityError> {
        let lifetime = match subject.role() {
            Role::Card => CARD_DAYS,
            Role::Supplier | Role::Broker | Role::Facility => SUPPLIER_DAYS,
            Role::Tsm | Role::TrustCenter | Role::IssuingAuthority => TSM_DAYS,
        };
        let content = CertificateContent {
            subject: subject.clone(),
            slot,
            public_key: *key,
            serial_number: serial_number()?,
            validity: self.validity(lifetime, now)?,
        };
        Ok(issue_under(&content, self.certificate, self.key)?)
    }

    fn validity(&self, lifetime_days: u32, now: Timestamp) -> Result<Period, AuthorityError> {
        let (_, end_of_root) = self.anchor.certificate().validity()?;
        let (_, end_of_issuer) = self.certificate.validity()?;
        let end = now.saturating_add(days(lifetime_days));
        Ok(Period::new(begin(now), end.min(end_of_root).min(end_of_issuer))?)
    }

    fn issue_tsm(
        &self,
        name: &PartyName,
        keys: &SoftwareKeys,
        now: Timestamp,
    ) -> Result<Triple, AuthorityError> {
        let subject = Subject::party(name.clone(), Role::Tsm)?;
        Ok(Triple {
            sig: self.issue(&subject, KeySlot::Sig, keys.sig.public_point(), now)?,
            enc: self.issue(&subject, KeySlot::Enc, keys.enc.public_point(), now)?,
            tls: self.issue(&subject, KeySlot::Tls, keys.tls.public_point(), now)?,
        })
    }
}

/// Returns three certificates as the books take them.
pub(crate) fn issued(certificates: &Triple) -> [Issued; 3] {
    KeySlot::ALL.map(|slot| Issued {
        certificate: certificate_of(certificates, slot).clone(),
        key: slot.name(),
    })
}

/// Puts three certificates into a folder.
pub(crate) fn write_triple(folder: &Path, certificates: &Triple) -> Result<(), AuthorityError> {
    for slot in KeySlot::ALL {
        let path = folder.join(format!("{slot}.pem"));
        write_certificate(&path, certificate_of(certificates, slot))?;
    }
    Ok(())
}

/// Puts a certificate into a file, which may be there.
pub(crate) fn write_certificate(path: &Path, certificate: &Certificate) -> Result<(), AuthorityError> {
    let pem = certificate.to_pem()?;
    Ok(files::replace(path, pem.as_bytes(), Access::Public)?)
}

/// Returns the certificate of one key.
pub(crate) const fn certificate_of(certificates: &Triple, slot: KeySlot) -> &Certificate {
    match slot {
        KeySlot::Sig => &certificates.sig,
        KeySlot::Enc => &certificates.enc,
        KeySlot::Tls => &certificates.tls,
    }
}

const fn key_of(keys: &SoftwareKeys, slot: KeySlot) -> &messages::software::SoftwareKey {
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

/// Reads a file of one certificate or more; nobody has judged what comes out.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<Certificate>, AuthorityError> {
    let limit = Certificate::MAX_PEM.saturating_mul(TrustAnchor::MAX_ISSUING);
    let text = files::read_text(path, limit)?;
    Certificate::from_pem_chain(&text).map_err(|source| AuthorityError::Certificate {
        path: path.to_owned(),
        source,
    })
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
