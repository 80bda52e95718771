//! The card's files: identifiers and contents.

use model::{CardId, Fingerprint, GatewayId, KeySlot};
use serde::{Deserialize, Serialize};
use x509_cert::der::Decode;

use crate::commands::{BLANK, BOUND, EVERYBODY, GATEWAY_AND_TSM};
use crate::tlv;
use crate::{CardKey, LifeCycle, Point, Reach};

/// The application identifier: a proprietary one (F0), "SMGW", version 1.
pub(crate) const AID: [u8; 6] = [0xF0, b'S', b'M', b'G', b'W', 1];

/// An elementary file of the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileId {
    /// The GUID: 16 bytes, an IPv6 address in network byte order.
    Guid,
    /// The certificate of the SIG key, DER.
    CertificateSig,
    /// The certificate of the ENC key, DER.
    CertificateEnc,
    /// The certificate of the TLS key, DER.
    CertificateTls,
    /// The certificate of the attestation key, DER.
    CertificateAttestation,
    /// The trust centre's contact: see [`Contact`].
    Contact,
    /// Whom the card is bound to, and whether that gateway has confirmed. Never holds the pairing secret.
    Binding,
    /// How often the card has been paired, and how many tries are left: see [`Pairing`].
    Pairing,
    /// The suppliers that the TSM has unlocked: see [`Suppliers`].
    Suppliers,
    /// Version and digest of the bundle that is in force: see [`Anchor`].
    Anchor,
    /// Counter and hash of the head of the gateway's store: see [`StoreHead`](crate::StoreHead).
    StoreHead,
    /// The life cycle: one byte, see [`LifeCycle`].
    State,
}

impl FileId {
    /// Every file, in the order of the enum.
    pub const ALL: [Self; 12] = [
        Self::Guid,
        Self::CertificateSig,
        Self::CertificateEnc,
        Self::CertificateTls,
        Self::CertificateAttestation,
        Self::Contact,
        Self::Binding,
        Self::Pairing,
        Self::Suppliers,
        Self::Anchor,
        Self::StoreHead,
        Self::State,
    ];

    /// Returns the two bytes by which SELECT names the file.
    #[must_use]
    pub const fn identifier(self) -> u16 {
        match self {
            Self::Guid => 0x0101,
            Self::CertificateSig => 0x0201,
            Self::CertificateEnc => 0x0202,
            Self::CertificateTls => 0x0203,
            Self::CertificateAttestation => 0x0204,
            Self::Contact => 0x0301,
            Self::Binding => 0x0401,
            Self::Pairing => 0x0402,
            Self::Suppliers => 0x0501,
            Self::Anchor => 0x0601,
            Self::StoreHead => 0x0602,
            Self::State => 0x0701,
        }
    }

    /// Returns the file that holds the certificate of a key.
    #[must_use]
    pub const fn certificate_of(key: CardKey) -> Self {
        match key {
            CardKey::Slot(KeySlot::Sig) => Self::CertificateSig,
            CardKey::Slot(KeySlot::Enc) => Self::CertificateEnc,
            CardKey::Slot(KeySlot::Tls) => Self::CertificateTls,
            CardKey::Attestation => Self::CertificateAttestation,
        }
    }

    pub(crate) fn by_identifier(identifier: &[u8]) -> Option<Self> {
        let identifier = u16::from_be_bytes(identifier.try_into().ok()?);
        Self::ALL.into_iter().find(|file| file.identifier() == identifier)
    }
}

/// One row of the table of files: who may do what with one of them.
#[derive(Debug, Clone, Copy)]
pub struct FileRule {
    /// The file.
    pub file: FileId,
    /// Its name.
    pub name: &'static str,
    /// Over which channels it is read, once it has a content.
    pub read: &'static [Reach],
    /// In which states and over which channel it is written; nobody writes the others.
    pub written: Option<(&'static [LifeCycle], Reach)>,
    /// What is in it.
    pub content: &'static str,
}

const fn rule(
    file: FileId,
    name: &'static str,
    read: &'static [Reach],
    written: Option<(&'static [LifeCycle], Reach)>,
    content: &'static str,
) -> FileRule {
    FileRule {
        file,
        name,
        read,
        written,
        content,
    }
}

const PERSONALIZER: Option<(&[LifeCycle], Reach)> = Some((BLANK, Reach::Anyone));
const TSM: Option<(&[LifeCycle], Reach)> = Some((BOUND, Reach::Tsm));
const GATEWAY: Option<(&[LifeCycle], Reach)> = Some((BOUND, Reach::Gateway));

/// Every file of the card. In which states READ and UPDATE BINARY work at all stands in the table of
/// commands.
#[rustfmt::skip]
pub const FILES: &[FileRule] = &[
    rule(FileId::Guid, "EF.GUID", EVERYBODY, PERSONALIZER, "16 bytes, the IPv6 address in network byte order"),
    rule(FileId::CertificateSig, "EF.CERT.SIG", EVERYBODY, PERSONALIZER, "X.509 certificate, DER"),
    rule(FileId::CertificateEnc, "EF.CERT.ENC", EVERYBODY, PERSONALIZER, "X.509 certificate, DER"),
    rule(FileId::CertificateTls, "EF.CERT.TLS", EVERYBODY, PERSONALIZER, "X.509 certificate, DER"),
    rule(FileId::CertificateAttestation, "EF.CERT.ATT", EVERYBODY, PERSONALIZER, "X.509 certificate, DER"),
    rule(FileId::Contact, "EF.CONTACT", EVERYBODY, PERSONALIZER, "`0C` name, `7F21` certificate of the trust centre, and `7F21` that of its issuing authority if it has one"),
    rule(FileId::Binding, "EF.BINDING", EVERYBODY, None, "`80` gateway identity (16), `81` confirmed (1)"),
    rule(FileId::Pairing, "EF.PAIRING", EVERYBODY, None, "`80` number of pairings so far (8, big-endian), `81` tries left (1)"),
    rule(FileId::Suppliers, "EF.SUPPLIERS", GATEWAY_AND_TSM, TSM, "for each supplier `A0` { `80` fingerprint of its SIG certificate (32), `86` its ENC key (65) }"),
    rule(FileId::Anchor, "EF.ANCHOR", GATEWAY_AND_TSM, TSM, "`80` version of the bundle (8, big-endian), `81` its SHA-256 digest (32); the version only grows"),
    rule(FileId::StoreHead, "EF.HEAD", GATEWAY_AND_TSM, GATEWAY, "`80` counter of the gateway's store (8, big-endian), `81` hash of its head (32); the counter grows by one"),
    rule(FileId::State, "EF.STATE", EVERYBODY, None, "the life cycle byte"),
];

/// Returns whether the file may be read over the channel.
pub(crate) fn may_read(file: FileId, reach: Reach) -> bool {
    FILES
        .iter()
        .any(|rule| rule.file == file && rule.read.contains(&reach))
}

/// Returns whether the file may be written over the channel in the state.
pub(crate) fn may_write(file: FileId, reach: Reach, state: LifeCycle) -> bool {
    let permits = |(states, by): (&[LifeCycle], Reach)| by == reach && states.contains(&state);
    FILES
        .iter()
        .any(|rule| rule.file == file && rule.written.is_some_and(permits))
}

/// The content of a file is not what belongs there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the content of the card's file {file:?} is malformed")]
pub struct FileContentError {
    /// The file.
    pub file: FileId,
}

/// The trust centre's contact: its name and its certificate, whose key the card trusts, and the certificate of the
/// authority that issued those of the card, if that is another one.
///
/// File content: `0C` name (UTF-8, 1 to 64 bytes), `7F21` certificate (X.509, DER), and `7F21` issuing authority's
/// certificate unless there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// The trust centre's name.
    pub name: String,
    /// The trust centre's certificate, DER.
    pub certificate: Vec<u8>,
    /// The certificate of the issuing authority, DER, if the trust centre's own key did not sign the card's certificates.
    /// The card itself has no use for it; it tells its gateway.
    pub issuing: Option<Vec<u8>>,
}

impl Contact {
    const MAX_NAME: usize = 64;
    const ERROR: FileContentError = FileContentError {
        file: FileId::Contact,
    };

    /// Returns the file content.
    ///
    /// # Errors
    ///
    /// [`FileContentError`] if the name or the certificate does not fit.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FileContentError> {
        let mut bytes = tlv::encode([(0x0C, self.name.as_bytes()), (0x7F21, &self.certificate)])
            .map_err(|_| Self::ERROR)?;
        if let Some(issuing) = &self.issuing {
            bytes.extend(tlv::encode([(0x7F21, issuing)]).map_err(|_| Self::ERROR)?);
        }
        Self::parse(&bytes)?;
        Ok(bytes)
    }

    /// Reads the file content.
    ///
    /// # Errors
    ///
    /// [`FileContentError`] if the content is not of that form.
    pub fn parse(bytes: &[u8]) -> Result<Self, FileContentError> {
        let alone = tlv::exactly(bytes, [0x0C, 0x7F21]).map(|[name, certificate]| (name, certificate, None));
        let (name, certificate, issuing) = alone
            .or_else(|_| {
                tlv::exactly(bytes, [0x0C, 0x7F21, 0x7F21])
                    .map(|[name, certificate, issuing]| (name, certificate, Some(issuing)))
            })
            .map_err(|_| Self::ERROR)?;
        if issuing.is_some_and(|issuing| x509_cert::Certificate::from_der(issuing).is_err()) {
            return Err(Self::ERROR);
        }
        let name = std::str::from_utf8(name).map_err(|_| Self::ERROR)?;
        let parsed = x509_cert::Certificate::from_der(certificate).map_err(|_| Self::ERROR)?;
        if name.is_empty() || name.len() > Self::MAX_NAME || public_key(&parsed).is_none() {
            return Err(Self::ERROR);
        }
        Ok(Self {
            name: name.to_owned(),
            certificate: certificate.to_vec(),
            issuing: issuing.map(<[u8]>::to_vec),
        })
    }
}

/// Returns the P-256 key of a certificate, if it has one.
pub(crate) fn public_key(certificate: &x509_cert::Certificate) -> Option<Point> {
    let key = certificate.tbs_certificate().subject_public_key_info();
    Point::try_from(key.subject_public_key.as_bytes()?).ok()
}

/// Whom a card is bound to, as everybody may read it.
///
/// File content: `80` gateway identity (16 bytes), `81` 01 if the gateway has confirmed, else 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BindingFile {
    pub(crate) gateway: GatewayId,
    pub(crate) confirmed: bool,
}

impl BindingFile {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let confirmed = [u8::from(self.confirmed)];
        tlv::encode([(0x80, self.gateway.as_bytes()), (0x81, &confirmed)]).unwrap_or_default()
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, FileContentError> {
        let error = FileContentError {
            file: FileId::Binding,
        };
        let [gateway, confirmed] = tlv::exactly(bytes, [0x80, 0x81]).map_err(|_| error)?;
        Ok(Self {
            gateway: GatewayId::try_from(gateway).map_err(|_| error)?,
            confirmed: match confirmed {
                [0] => false,
                [1] => true,
                _ => return Err(error),
            },
        })
    }
}

/// How often a card has been paired, and how many wrong secrets it still takes.
///
/// File content: `80` number of pairings so far (8 bytes, big-endian), `81` tries left (1 byte).
/// Everybody may read it: a gateway has to know the number before it pairs, so that it can write down
/// the next one first. What it reads in clear it confirms under secure messaging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pairing {
    /// The number of pairings so far.
    pub sessions: u64,
    /// How many wrong secrets the card still takes before it is blocked.
    pub tries: u8,
}

impl Pairing {
    /// How many wrong pairing secrets in a row block the card. The secret has 128 bits, so this keeps nobody
    /// from guessing who could guess it; it is the alarm of a card that is tried out. Ten leave room for a
    /// gateway whose power fails in the middle of a pairing.
    pub const MAX_TRIES: u8 = 10;

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let sessions = self.sessions.to_be_bytes();
        tlv::encode([(0x80, &sessions[..]), (0x81, &[self.tries])]).unwrap_or_default()
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, FileContentError> {
        let error = FileContentError {
            file: FileId::Pairing,
        };
        let [sessions, tries] = tlv::exactly(bytes, [0x80, 0x81]).map_err(|_| error)?;
        match tries {
            [tries] => Ok(Self {
                sessions: u64::from_be_bytes(sessions.try_into().map_err(|_| error)?),
                tries: *tries,
            }),
            _ => Err(error),
        }
    }
}

/// A supplier that the TSM has unlocked on the card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupplierEntry {
    /// The fingerprint of its SIG certificate.
    pub fingerprint: Fingerprint,
    /// Its ENC key, the only one with which the card agrees keys for it.
    pub encryption: Point,
}

/// The suppliers that the TSM has unlocked, at most [`Suppliers::MAX`].
///
/// File content: for each one `A0` { `80` fingerprint (32 bytes), `86` ENC key (65 bytes) }.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suppliers(Vec<SupplierEntry>);

impl Suppliers {
    /// The greatest number of entries; a household has a supplier per medium and a grid operator.
    pub const MAX: usize = 16;
    const ERROR: FileContentError = FileContentError {
        file: FileId::Suppliers,
    };

    /// Builds the list.
    ///
    /// # Errors
    ///
    /// [`FileContentError`] over [`Suppliers::MAX`] entries.
    pub fn new(entries: Vec<SupplierEntry>) -> Result<Self, FileContentError> {
        if entries.len() > Self::MAX {
            return Err(Self::ERROR);
        }
        Ok(Self(entries))
    }

    /// Returns the entries.
    #[must_use]
    pub fn entries(&self) -> &[SupplierEntry] {
        &self.0
    }

    pub(crate) fn find(&self, fingerprint: &Fingerprint) -> Option<&SupplierEntry> {
        self.0.iter().find(|entry| entry.fingerprint == *fingerprint)
    }

    /// Returns the file content.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let entries = self.0.iter().filter_map(|entry| {
            let fields = [
                (0x80, &entry.fingerprint.as_bytes()[..]),
                (0x86, &entry.encryption.to_bytes()),
            ];
            tlv::encode([(0xA0, &tlv::encode(fields).ok()?)]).ok()
        });
        entries.flatten().collect()
    }

    /// Reads the file content.
    ///
    /// # Errors
    ///
    /// [`FileContentError`] if it is malformed or has more than [`Suppliers::MAX`] entries.
    pub fn parse(bytes: &[u8]) -> Result<Self, FileContentError> {
        let mut entries = Vec::new();
        for object in tlv::Reader::new(bytes).take(Self::MAX.saturating_add(1)) {
            let object = object
                .ok()
                .filter(|object| object.tag == 0xA0)
                .ok_or(Self::ERROR)?;
            let [fingerprint, point] = tlv::exactly(object.value, [0x80, 0x86]).map_err(|_| Self::ERROR)?;
            entries.push(SupplierEntry {
                fingerprint: Fingerprint::try_from(fingerprint).map_err(|_| Self::ERROR)?,
                encryption: Point::try_from(point).map_err(|_| Self::ERROR)?,
            });
        }
        Self::new(entries)
    }
}

/// Version and digest of the bundle that the TSM has put in force; the version only grows.
///
/// File content: `80` version (8 bytes, big-endian), `81` SHA-256 digest (32 bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// The bundle's version; 0 before the first bundle.
    pub version: u64,
    /// The SHA-256 digest of the bundle's content.
    pub digest: Fingerprint,
}

impl Anchor {
    /// The anchor of a card that has seen no bundle.
    pub const NONE: Self = Self {
        version: 0,
        digest: Fingerprint::new([0; 32]),
    };

    /// Returns the file content.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let version = self.version.to_be_bytes();
        tlv::encode([(0x80, &version), (0x81, self.digest.as_bytes())]).unwrap_or_default()
    }

    /// Reads the file content.
    ///
    /// # Errors
    ///
    /// [`FileContentError`] if it is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, FileContentError> {
        let error = FileContentError { file: FileId::Anchor };
        let [version, digest] = tlv::exactly(bytes, [0x80, 0x81]).map_err(|_| error)?;
        Ok(Self {
            version: u64::from_be_bytes(version.try_into().map_err(|_| error)?),
            digest: Fingerprint::try_from(digest).map_err(|_| error)?,
        })
    }
}

pub(crate) fn parse_guid(bytes: &[u8]) -> Result<CardId, FileContentError> {
    CardId::try_from(bytes).map_err(|_| FileContentError { file: FileId::Guid })
}

pub(crate) fn parse_life_cycle(bytes: &[u8]) -> Result<LifeCycle, FileContentError> {
    let error = FileContentError { file: FileId::State };
    match bytes {
        [byte] => LifeCycle::from_byte(*byte).ok_or(error),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::applet::testing::TestRandom;
    use crate::crypto::PrivateKey;

    #[test]
    fn every_file_is_found_by_its_identifier() {
        for file in FileId::ALL {
            assert_eq!(
                FileId::by_identifier(&file.identifier().to_be_bytes()),
                Some(file)
            );
        }
        assert_eq!(FileId::by_identifier(&[0xFF, 0xFF]), None);
    }

    #[test]
    fn readme_has_the_same_table() {
        let list = |words: &[Reach]| {
            words
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let mut table =
            String::from("| file | identifier | content | read by | written by |\n|---|---|---|---|---|\n");
        for rule in FILES {
            let written = rule.written.map_or_else(
                || "nobody".to_owned(),
                |(states, by)| {
                    let states: Vec<_> = states.iter().map(ToString::to_string).collect();
                    format!("{by} ({})", states.join(", "))
                },
            );
            let (name, content, read) = (rule.name, rule.content, list(rule.read));
            let identifier = rule.file.identifier();
            table.push_str(&format!(
                "| {name} | {identifier:04X} | {content} | {read} | {written} |\n"
            ));
        }
        let readme = include_str!("../README.md");
        assert!(
            readme.contains(&table),
            "put this table into gateway/card/README.md:\n{table}"
        );
    }

    #[test]
    fn every_file_has_its_row() {
        let listed: Vec<FileId> = FILES.iter().map(|rule| rule.file).collect();
        assert_eq!(listed, FileId::ALL);
    }

    #[test]
    fn contents_read_back() {
        let point = PrivateKey::generate(&mut TestRandom::new(1)).point();
        let entry = SupplierEntry {
            fingerprint: Fingerprint::new([7; 32]),
            encryption: point,
        };
        let suppliers = Suppliers::new(vec![entry; 3]).unwrap();
        assert_eq!(Suppliers::parse(&suppliers.to_bytes()), Ok(suppliers));
        let anchor = Anchor {
            version: 5,
            digest: Fingerprint::new([9; 32]),
        };
        assert_eq!(Anchor::parse(&anchor.to_bytes()), Ok(anchor));
        let binding = BindingFile {
            gateway: GatewayId::new([3; 16]),
            confirmed: true,
        };
        assert_eq!(BindingFile::parse(&binding.to_bytes()), Ok(binding));
        let pairing = Pairing {
            sessions: 7,
            tries: 9,
        };
        assert_eq!(Pairing::parse(&pairing.to_bytes()), Ok(pairing));
    }

    #[test]
    fn the_list_of_suppliers_is_bounded() {
        let point = PrivateKey::generate(&mut TestRandom::new(1)).point();
        let entry = SupplierEntry {
            fingerprint: Fingerprint::new([7; 32]),
            encryption: point,
        };
        let full = Suppliers::new(vec![entry.clone(); Suppliers::MAX]).unwrap();
        let mut bytes = full.to_bytes();
        assert!(Suppliers::parse(&bytes).is_ok());
        bytes.extend(Suppliers::new(vec![entry.clone()]).unwrap().to_bytes());
        assert_eq!(Suppliers::parse(&bytes), Err(Suppliers::ERROR));
        assert_eq!(
            Suppliers::new(vec![entry; Suppliers::MAX + 1]),
            Err(Suppliers::ERROR)
        );
    }

    #[test]
    fn a_contact_without_certificate_is_refused() {
        let contact = Contact {
            name: "Trust centre".to_owned(),
            certificate: vec![0x30, 0x00],
            issuing: None,
        };
        assert_eq!(contact.to_bytes(), Err(Contact::ERROR));
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes: Vec<u8>) {
            if let Ok(suppliers) = Suppliers::parse(&bytes) {
                prop_assert_eq!(suppliers.to_bytes(), bytes.clone());
            }
            if let Ok(anchor) = Anchor::parse(&bytes) {
                prop_assert_eq!(anchor.to_bytes(), bytes.clone());
            }
            if let Ok(contact) = Contact::parse(&bytes) {
                prop_assert_eq!(contact.to_bytes(), Ok(bytes.clone()));
            }
            if let Ok(binding) = BindingFile::parse(&bytes) {
                prop_assert_eq!(binding.to_bytes(), bytes.clone());
            }
            if let Ok(pairing) = Pairing::parse(&bytes) {
                prop_assert_eq!(pairing.to_bytes(), bytes);
            }
        }
    }
}
