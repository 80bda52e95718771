//! Where the certificate of the local web is kept while it is in use: a new one takes effect with the next connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::Fingerprint;
use rustls::ServerConfig;
use store::Store;

use super::certificate::{CertificateFault, WebCertificate};
use crate::report::Chain;

/// What is in use: nothing, if the stored one is damaged. Then nobody is served by HTTPS, rather than with a certificate that
/// nobody knows.
type InUse = Option<(Fingerprint, Arc<ServerConfig>)>;

/// The certificate in use. Clones share it.
#[derive(Clone)]
pub(crate) struct Shelf {
    store: Arc<Store>,
    names: Arc<[String]>,
    in_use: Arc<Mutex<InUse>>,
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fingerprint = self.fingerprint();
        formatter.debug_tuple("Shelf").field(&fingerprint).finish()
    }
}

impl Shelf {
    /// Takes the stored certificate into use, or makes the first one.
    pub(crate) fn open(store: Arc<Store>, names: Arc<[String]>) -> Self {
        let made = WebCertificate::read_or_make(&store, &names);
        let in_use = made.and_then(|made| Ok((made.fingerprint(), made.server_config()?)));
        if let Err(fault) = &in_use {
            tracing::error!("nobody is served by HTTPS on the local network: {}", Chain(fault));
        }
        Self {
            store,
            names,
            in_use: Arc::new(Mutex::new(in_use.ok())),
        }
    }

    /// Makes a new certificate, and takes it into use.
    pub(super) fn renew(&self) -> Result<Fingerprint, CertificateFault> {
        let made = WebCertificate::make(&self.store, &self.names)?;
        let (fingerprint, config) = (made.fingerprint(), made.server_config()?);
        *self.lock() = Some((fingerprint, config));
        Ok(fingerprint)
    }

    /// Returns the fingerprint of the certificate in use.
    pub(crate) fn fingerprint(&self) -> Option<Fingerprint> {
        self.lock().as_ref().map(|(fingerprint, _)| *fingerprint)
    }

    /// Returns what the next connection is served with.
    pub(super) fn server_config(&self) -> Option<Arc<ServerConfig>> {
        self.lock().as_ref().map(|(_, config)| Arc::clone(config))
    }

    /// A panic under the lock leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, InUse> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use store::{DeviceKey, Protection};

    use super::*;

    fn open(folder: &std::path::Path) -> (Arc<Store>, Shelf) {
        let key = DeviceKey::new([7; DeviceKey::LENGTH]);
        let store = Arc::new(Store::open(folder, Ok(Protection { key, otp: None })).unwrap());
        let shelf = Shelf::open(Arc::clone(&store), Arc::from(["smgw.local".to_owned()]));
        (store, shelf)
    }

    #[test]
    fn certificate_is_made_once_and_a_damaged_one_serves_nobody_until_there_is_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path()).1.fingerprint().unwrap();
        assert_eq!(open(folder.path()).1.fingerprint(), Some(first));
        let file = folder.path().join("web-certificate");
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[100] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let (store, shelf) = open(folder.path());
        assert!(shelf.server_config().is_none());
        assert_eq!(store.access().damaged(), ["web-certificate"]);
        let new = shelf.renew().unwrap();
        assert_ne!(new, first);
        assert!(shelf.server_config().is_some() && store.access().damaged().is_empty());
        drop((store, shelf));
        assert_eq!(open(folder.path()).1.fingerprint(), Some(new));
    }
}
