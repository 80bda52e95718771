//! The trust centre whose gateways a fleet consists of: its issuing authority certifies their cards.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use getrandom::SysRng;
use messages::certificate::profile::{CertificateContent, SerialNumber, issue_under};
use messages::certificate::{Certificate, Role, Subject, Triple, TrustAnchor, VerifiedParty};
use messages::software::{SoftwareKey, SoftwareKeys};
use model::{CardId, Fingerprint, KeySlot, Period, Span, Timestamp};
use pkcs8::der::pem::PemLabel;
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument};
use rand_core::TryRng;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::{FleetError, now};

/// The prefix of the GUIDs of simulated gateways: unique local addresses that nobody else has.
const PREFIX: [u8; 8] = [0xfd, 0x5a, 0x5e, 0x11, 0, 0, 0, 1];
/// How long the certificates hold, in seconds: a day, which no fleet lasts.
const VALIDITY_SECONDS: u32 = 86_400;
/// How long before now they begin to hold, in seconds, so that a clock that is behind does not matter.
const EARLIER_SECONDS: u32 = 3_600;

/// A trust centre's folder, with the key of its issuing authority.
#[derive(Debug)]
pub struct Center {
    anchor: TrustAnchor,
    issuing: Certificate,
    key: SoftwareKey,
    roots: Arc<RootCertStore>,
    /// Where the supplier keeps the certificates of gateways.
    known: PathBuf,
    supplier: VerifiedParty,
}

/// The card of a simulated gateway.
#[derive(Debug)]
pub(super) struct Card {
    pub(super) guid: CardId,
    pub(super) party: VerifiedParty,
    pub(super) keys: SoftwareKeys,
}

impl Center {
    /// Opens the folder that `trust-center init` has made, whose passphrase is in it, and that of the supplier whom the
    /// gateways are to serve, which is certified.
    ///
    /// # Errors
    ///
    /// [`FleetError`] if a file is missing, or the key is not where it can be read.
    pub fn open(home: &Path, supplier: &Path) -> Result<Self, FleetError> {
        let read_in = |folder: &Path, name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(FleetError::file(&path))
        };
        let read = |name: &str| read_in(home, name);
        let certified = |name: &str| -> Result<Certificate, FleetError> {
            Ok(Certificate::from_pem(&read_in(supplier, name)?)?)
        };
        let issuing = Certificate::from_pem(&read("issuing.pem")?)?;
        let anchor = TrustAnchor::new(Certificate::from_pem(&read("root.pem")?)?)?;
        let anchor = anchor.with_issuing(issuing.clone())?;
        let key = decrypt(
            &home.join("issuing.key"),
            &read("issuing.key")?,
            read("passphrase")?.trim_end(),
        )?;
        let mut roots = RootCertStore::empty();
        for authority in [anchor.certificate(), &issuing] {
            roots.add(der(authority))?;
        }
        let triple = Triple {
            sig: certified("sig.pem")?,
            enc: certified("enc.pem")?,
            tls: certified("tls.pem")?,
        };
        Ok(Self {
            supplier: anchor.verify_party(&triple, now(), Role::Supplier)?,
            known: supplier.join("gateways"),
            anchor,
            issuing,
            key,
            roots: Arc::new(roots),
        })
    }

    /// Returns the supplier, if it is the one with this SIG certificate.
    pub(super) fn supplier(&self, party: Fingerprint) -> Option<&VerifiedParty> {
        (self.supplier.sig.certificate().fingerprint() == party).then_some(&self.supplier)
    }

    /// Returns by whom senders are judged.
    pub(super) const fn anchor(&self) -> &TrustAnchor {
        &self.anchor
    }

    /// Returns the certificate that stands between the root and a card.
    pub(super) const fn issuing(&self) -> &Certificate {
        &self.issuing
    }

    /// Makes a card and certifies it, and writes its certificates where the supplier looks for them.
    pub(super) fn card(&self) -> Result<Card, FleetError> {
        let mut interface = [0; 8];
        SysRng
            .try_fill_bytes(&mut interface)
            .map_err(|_| FleetError::Random)?;
        let mut bytes = [0; 16];
        let (prefix, suffix) = bytes.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(&PREFIX);
        suffix.copy_from_slice(&interface);
        let guid = CardId::try_from(bytes.as_slice()).map_err(|_| FleetError::Random)?;
        let keys = SoftwareKeys::generate(&mut SysRng)?;
        let time = now();
        let subject = Subject::card(guid);
        let issue = |slot, key: &SoftwareKey| self.issue(&subject, slot, key, time);
        let triple = Triple {
            sig: issue(KeySlot::Sig, &keys.sig)?,
            enc: issue(KeySlot::Enc, &keys.enc)?,
            tls: issue(KeySlot::Tls, &keys.tls)?,
        };
        let folder = self.known.join(guid.to_string().replace(':', "-"));
        std::fs::create_dir_all(&folder).map_err(FleetError::file(&folder))?;
        for (name, certificate) in [("sig", &triple.sig), ("enc", &triple.enc), ("tls", &triple.tls)] {
            let file = folder.join(format!("{name}.pem"));
            std::fs::write(&file, certificate.to_pem()?).map_err(FleetError::file(&file))?;
        }
        let party = self.anchor.verify_party(&triple, time, Role::Card)?;
        Ok(Card { guid, party, keys })
    }

    fn issue(
        &self,
        subject: &Subject,
        slot: KeySlot,
        key: &SoftwareKey,
        time: Timestamp,
    ) -> Result<Certificate, FleetError> {
        let mut serial = [0; 16];
        SysRng
            .try_fill_bytes(&mut serial)
            .map_err(|_| FleetError::Random)?;
        let span = |seconds| Span::from_seconds(seconds).unwrap_or(Span::DAY);
        let from = time.saturating_sub(span(EARLIER_SECONDS));
        let until = time.saturating_add(span(VALIDITY_SECONDS));
        let content = CertificateContent {
            subject: subject.clone(),
            slot,
            public_key: *key.public_point(),
            serial_number: SerialNumber::from_random(serial),
            validity: Period::new(from, until).map_err(|_| FleetError::Random)?,
        };
        Ok(issue_under(&content, &self.issuing, &self.key)?)
    }

    /// Sets up the TLS of a card: its key, and servers of the trust centre.
    pub(super) fn tls(&self, card: &Card) -> Result<Arc<ClientConfig>, FleetError> {
        let pem = card.keys.tls.to_pkcs8_pem()?;
        let (_, key) = SecretDocument::from_pem(&pem).map_err(|_| FleetError::Random)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()));
        let chain = vec![der(card.party.tls.certificate()), der(&self.issuing)];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(Arc::clone(&self.roots))
            .with_client_auth_cert(chain, key)?;
        Ok(Arc::new(config))
    }
}

fn der(certificate: &Certificate) -> CertificateDer<'static> {
    CertificateDer::from(certificate.as_der().to_vec())
}

fn decrypt(path: &Path, text: &str, passphrase: &str) -> Result<SoftwareKey, FleetError> {
    let no_key = || FleetError::Key {
        path: path.to_owned(),
    };
    let (label, der) = SecretDocument::from_pem(text).map_err(|_| no_key())?;
    if label != EncryptedPrivateKeyInfoRef::PEM_LABEL {
        return Ok(SoftwareKey::from_pkcs8_pem(text)?);
    }
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(der.as_bytes()).map_err(|_| no_key())?;
    let plain = encrypted.decrypt(passphrase.as_bytes()).map_err(|_| no_key())?;
    let pem = plain.to_pem(PrivateKeyInfoRef::<'_>::PEM_LABEL, LineEnding::LF);
    Ok(SoftwareKey::from_pkcs8_pem(&pem.map_err(|_| no_key())?)?)
}
