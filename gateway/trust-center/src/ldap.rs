//! The directory on an LDAP server: certificates and lists are put there, and brought up to date whenever this runs again.
//!
//! Below the base there is one entry per authority and per card:
//!
//! | entry | classes | attributes |
//! |---|---|---|
//! | `cn=root` | `organizationalRole`, `pkiCA` | `cACertificate;binary`, `certificateRevocationList;binary` |
//! | `cn=issuing-KEY`, the identifier of its key | the same | the same |
//! | `cn=GUID` | `device`, `pkiUser` | `serialNumber` (the GUID), `userCertificate;binary`: all that are not revoked |
//!
//! Only what differs is written. The entry of a card goes when nothing of it is published any more; entries that are not
//! of these books are left alone.
//!
//! Spec: RFC 4511; RFC 4519; RFC 4523 for the classes, the attributes and `;binary`.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use counterparty::files::{self, FileError};
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Mod, Scope, SearchEntry};
use messages::certificate::{Certificate, CertificateError, RevocationList};
use model::CardId;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::authority::Authority;
use crate::books::{Books, BooksError, hex};
use crate::directory;

/// How long the server may take to be there.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long the server may take for one entry.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many cards are read from the books at once.
const PAGE: u32 = 1_000;
/// The greatest length of the password in bytes.
const MAX_PASSWORD: usize = 1_024;
/// The greatest length of the file with the server's authorities in bytes: those of an operating system fit.
const MAX_AUTHORITIES: usize = 1_024 * 1_024;

/// What an LDAP server says when there is no such entry (RFC 4511, appendix A).
const NO_SUCH_OBJECT: u32 = 32;

const USER_CERTIFICATE: &str = "userCertificate;binary";
const AUTHORITY_CERTIFICATE: &str = "cACertificate;binary";
const LIST: &str = "certificateRevocationList;binary";

/// The reason why nothing more was published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    /// The address is none of LDAP.
    #[error("an LDAP server is at ldap://HOST or ldaps://HOST, with a port if it has another one")]
    Address,
    /// A password would go over the network for all to read.
    #[error("the password would be sent in clear; use ldaps:// or --starttls")]
    Clear,
    /// The server's certificate could not be judged.
    #[error(
        "name the authority of the server's certificate (--ca FILE.pem; that of the operating system is /etc/ssl/certs/ca-certificates.crt)"
    )]
    NoAuthority,
    /// The file of the password or the server's authority cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file holds no certificates.
    #[error("{} holds no certificates in PEM; name another file with --ca", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
    },
    /// TLS cannot be used.
    #[error("no TLS connection can be made")]
    Tls(#[source] rustls::Error),
    /// The server cannot be reached, or is not whom its certificate should name.
    #[error("there is no connection to the LDAP server; check its address, its certificate and that it runs")]
    Connect(#[source] LdapError),
    /// The connection broke.
    #[error("the connection to the LDAP server broke; the same command continues")]
    Broken(#[source] LdapError),
    /// The server does not know who this is.
    #[error("the LDAP server refuses {name:?} with result {code}; check --bind and the password")]
    Bind {
        /// The name that was given.
        name: String,
        /// The result code (RFC 4511).
        code: u32,
    },
    /// There is no such base.
    #[error("there is no entry {base:?} on the LDAP server; make it, or name another one with --base")]
    NoBase {
        /// The base.
        base: String,
    },
    /// The server refuses an entry.
    #[error(
        "the LDAP server refuses {entry:?} with result {code} ({text}); check its access rules and that it has the core schema"
    )]
    Refused {
        /// The entry's name.
        entry: String,
        /// The result code (RFC 4511).
        code: u32,
        /// What the server says.
        text: String,
    },
    /// The books cannot be read.
    #[error(transparent)]
    Books(#[from] BooksError),
    /// A list in the books cannot be read.
    #[error("a list in the books cannot be read")]
    List(#[from] CertificateError),
}

/// Where to publish, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// The server, `ldap://` or `ldaps://`.
    pub(crate) server: String,
    /// The entry below which everything is.
    pub(crate) base: String,
    /// As whom; nobody without.
    pub(crate) bind: Option<(String, PathBuf)>,
    /// Whether a connection that begins in clear goes on with TLS.
    pub(crate) starttls: bool,
    /// Whose certificates the server may have.
    pub(crate) authority: Option<PathBuf>,
}

/// What was done, in entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// Made.
    pub(crate) added: u64,
    /// Brought up to date.
    pub(crate) changed: u64,
    /// Taken away.
    pub(crate) removed: u64,
    /// Left as they were.
    pub(crate) unchanged: u64,
}

/// Brings the server up to date with the books.
pub(crate) async fn publish(
    authority: &Authority,
    books: &Books,
    order: &Order,
) -> Result<Published, PublishError> {
    let mut session = Session::open(order).await?;
    session.check_base().await?;
    for certificate in authority.authorities() {
        session.put_authority(authority, books, certificate).await?;
    }
    let mut behind = None;
    loop {
        let cards = books.cards(behind, PAGE)?;
        let Some(last) = cards.last() else {
            break;
        };
        behind = Some(*last);
        for guid in cards {
            session.put_card(books, guid).await?;
        }
    }
    // What was written is written, whether the server hears the farewell or not.
    drop(session.ldap.unbind().await);
    Ok(session.done)
}

/// The values of one attribute.
type Values = HashSet<Vec<u8>>;

struct Session {
    ldap: Ldap,
    base: String,
    done: Published,
}

impl Session {
    async fn open(order: &Order) -> Result<Self, PublishError> {
        let server = Url::parse(&order.server).map_err(|_| PublishError::Address)?;
        let is_ldaps = match server.scheme() {
            "ldap" => false,
            "ldaps" => true,
            _ => return Err(PublishError::Address),
        };
        let has_tls = is_ldaps || order.starttls;
        let is_here = match server.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => return Err(PublishError::Address),
        };
        if order.bind.is_some() && !has_tls && !is_here {
            return Err(PublishError::Clear);
        }
        let mut settings = LdapConnSettings::new()
            .set_conn_timeout(CONNECT_PATIENCE)
            .set_starttls(order.starttls && !is_ldaps);
        if has_tls {
            settings = settings.set_config(Arc::new(tls_config(order.authority.as_ref())?));
        }
        let (connection, mut ldap) = LdapConnAsync::from_url_with_settings(settings, &server)
            .await
            .map_err(PublishError::Connect)?;
        ldap3::drive!(connection);
        if let Some((name, password)) = &order.bind {
            let password = Zeroizing::new(files::read_text(password, MAX_PASSWORD)?);
            let bound = ldap
                .with_timeout(PATIENCE)
                .simple_bind(name, password.trim_end_matches(['\r', '\n']))
                .await
                .map_err(PublishError::Broken)?;
            if bound.rc != 0 {
                let (name, code) = (name.clone(), bound.rc);
                return Err(PublishError::Bind { name, code });
            }
        }
        Ok(Self {
            ldap,
            base: order.base.clone(),
            done: Published::default(),
        })
    }

    async fn check_base(&mut self) -> Result<(), PublishError> {
        match self.read(&self.base.clone(), "1.1").await? {
            Some(_) => Ok(()),
            None => Err(PublishError::NoBase {
                base: self.base.clone(),
            }),
        }
    }

    async fn put_authority(
        &mut self,
        authority: &Authority,
        books: &Books,
        certificate: &Certificate,
    ) -> Result<(), PublishError> {
        let name = if certificate == authority.anchor().certificate() {
            "root".to_owned()
        } else {
            format!("issuing-{}", hex(certificate.key_identifier()))
        };
        let list = books.list(certificate.fingerprint())?;
        let list = list.map(|pem| RevocationList::from_pem(&pem)).transpose()?;
        let attributes = [
            (
                AUTHORITY_CERTIFICATE,
                Values::from([certificate.as_der().to_vec()]),
            ),
            (LIST, list.iter().map(|list| list.as_der().to_vec()).collect()),
        ];
        self.put(&name, &["organizationalRole", "pkiCA"], &attributes)
            .await
    }

    async fn put_card(&mut self, books: &Books, guid: CardId) -> Result<(), PublishError> {
        let entries = directory::holding(books, guid)?;
        if entries.is_empty() {
            return self.remove(&guid.to_string()).await;
        }
        let certificates = entries.iter().map(|entry| entry.certificate.as_der().to_vec());
        let attributes = [
            ("serialNumber", Values::from([guid.to_string().into_bytes()])),
            (USER_CERTIFICATE, certificates.collect()),
        ];
        self.put(&guid.to_string(), &["device", "pkiUser"], &attributes)
            .await
    }

    /// Makes an entry or brings it up to date.
    async fn put(
        &mut self,
        name: &str,
        classes: &[&str],
        attributes: &[(&str, Values)],
    ) -> Result<(), PublishError> {
        let entry = self.entry(name);
        let Some(found) = self.read(&entry, "*").await? else {
            let classes = classes.iter().map(|class| class.as_bytes().to_vec()).collect();
            let mut all = vec![
                (b"objectClass".to_vec(), classes),
                (b"cn".to_vec(), Values::from([name.as_bytes().to_vec()])),
            ];
            let given = attributes.iter().filter(|(_, values)| !values.is_empty());
            all.extend(given.map(|(name, values)| (name.as_bytes().to_vec(), values.clone())));
            let added = self.ldap.with_timeout(PATIENCE).add(&entry, all).await;
            done(&entry, added)?;
            self.done.added = self.done.added.saturating_add(1);
            return Ok(());
        };
        let differs = |(name, values): &&(&str, Values)| values_of(&found, name) != *values;
        let changes: Vec<_> = attributes
            .iter()
            .filter(differs)
            .map(|(name, values)| Mod::Replace(name.as_bytes().to_vec(), values.clone()))
            .collect();
        if changes.is_empty() {
            self.done.unchanged = self.done.unchanged.saturating_add(1);
            return Ok(());
        }
        let changed = self.ldap.with_timeout(PATIENCE).modify(&entry, changes).await;
        done(&entry, changed)?;
        self.done.changed = self.done.changed.saturating_add(1);
        Ok(())
    }

    async fn remove(&mut self, name: &str) -> Result<(), PublishError> {
        let entry = self.entry(name);
        let removed = self.ldap.with_timeout(PATIENCE).delete(&entry).await;
        match removed {
            Ok(result) if result.rc == NO_SUCH_OBJECT => Ok(()),
            removed => {
                done(&entry, removed)?;
                self.done.removed = self.done.removed.saturating_add(1);
                Ok(())
            }
        }
    }

    /// Reads an entry, if it is there.
    async fn read(&mut self, entry: &str, attributes: &str) -> Result<Option<SearchEntry>, PublishError> {
        let found = self
            .ldap
            .with_timeout(PATIENCE)
            .search(entry, Scope::Base, "(objectClass=*)", [attributes])
            .await
            .map_err(PublishError::Broken)?;
        if found.1.rc != NO_SUCH_OBJECT {
            done(entry, Ok(found.1))?;
        }
        Ok(found.0.into_iter().next().map(SearchEntry::construct))
    }

    /// Names an entry. Its name has nothing that would have to be escaped (RFC 4514): it is made of letters, digits, hyphens
    /// and colons.
    fn entry(&self, name: &str) -> String {
        format!("cn={name},{}", self.base)
    }
}

/// Returns the values of an attribute; what happens to be text is told apart by the library.
fn values_of(entry: &SearchEntry, attribute: &str) -> Values {
    let texts = entry.attrs.get(attribute).into_iter().flatten();
    let binaries = entry.bin_attrs.get(attribute).into_iter().flatten();
    texts
        .map(|text| text.as_bytes().to_vec())
        .chain(binaries.cloned())
        .collect()
}

fn done(entry: &str, result: Result<LdapResult, LdapError>) -> Result<(), PublishError> {
    let result = result.map_err(PublishError::Broken)?;
    if result.rc == 0 {
        return Ok(());
    }
    Err(PublishError::Refused {
        entry: entry.to_owned(),
        code: result.rc,
        text: result.text,
    })
}

fn tls_config(authority: Option<&PathBuf>) -> Result<ClientConfig, PublishError> {
    let path = authority.ok_or(PublishError::NoAuthority)?;
    let pem = files::read(path, MAX_AUTHORITIES)?;
    let mut roots = RootCertStore::empty();
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .filter_map(Result::ok)
        .collect();
    // The bundle of an operating system may hold some that the library does not take.
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        let path = path.clone();
        return Err(PublishError::Authority { path });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder
        .map_err(PublishError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
