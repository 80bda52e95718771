//! The secret that pseudonyms are made with: made once on this gateway, and never shown.
//!
//! Values that name no meter carry a MAC instead, over a label that says which meter, for whom and for how long. Its key is
//! made of a file of this store and of the device key, so that neither alone gives a pseudonym away. The file is sealed with
//! the device key, as the bindings are; one that is damaged or of another gateway is refused and never replaced by itself,
//! since pseudonyms that change for no reason could not be told from others.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::bindings::Bindings;
use crate::files::{self, FileError};

/// The name of the file.
const NAME: &str = "pseudonym.key";
/// The length of the secret in bytes.
const SECRET_LENGTH: usize = 32;
/// The length of the seal behind it in bytes: HMAC-SHA-256, not cut off.
const SEAL_LENGTH: usize = 32;
/// What the seal and the key are for, so that neither is anything else's.
const SEALED: &[u8] = b"smgw pseudonym secret 1";
const KEYED: &[u8] = b"smgw pseudonym key 1";

/// The reason why there is no pseudonym.
#[derive(Debug, thiserror::Error)]
pub enum PseudonymError {
    /// There is no device key.
    #[error("without the bindings and their device key there is no pseudonym")]
    NoDeviceKey,
    /// The file is damaged, or of another gateway.
    #[error("{} is damaged or of another gateway; take it away, and pseudonyms begin anew", file.display())]
    Damaged {
        /// Where it is.
        file: PathBuf,
    },
    /// The file is out of reach.
    #[error("the secret of pseudonyms is out of reach")]
    File(#[from] FileError),
}

/// Makes pseudonyms.
pub(crate) struct Pseudonyms {
    folder: PathBuf,
    key: Mutex<Option<Zeroizing<[u8; SECRET_LENGTH]>>>,
}

/// The key is left out: it is secret.
impl fmt::Debug for Pseudonyms {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Pseudonyms")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Pseudonyms {
    /// Nothing is read or made before the first pseudonym is.
    pub(crate) fn open(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            key: Mutex::new(None),
        }
    }

    /// Returns the MAC of a label; at the first one the secret is made of `random`, and is on the disk before it is used.
    pub(crate) fn tag(
        &self,
        bindings: &Bindings,
        label: &[u8],
        random: &Zeroizing<[u8; SECRET_LENGTH]>,
    ) -> Result<[u8; SEAL_LENGTH], PseudonymError> {
        let mut known = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let key = match known.take() {
            Some(key) => key,
            None => self.read_or_make(bindings, random)?,
        };
        let tag = mac(&key, label);
        *known = Some(key);
        Ok(tag)
    }

    fn read_or_make(
        &self,
        bindings: &Bindings,
        random: &Zeroizing<[u8; SECRET_LENGTH]>,
    ) -> Result<Zeroizing<[u8; SECRET_LENGTH]>, PseudonymError> {
        let file = self.folder.join(NAME);
        let length = u64::try_from(SECRET_LENGTH.saturating_add(SEAL_LENGTH)).unwrap_or(u64::MAX);
        let secret = match files::read(&file, length)?.map(Zeroizing::new) {
            Some(content) => {
                opened(bindings, &content).ok_or_else(|| PseudonymError::Damaged { file: file.clone() })?
            }
            None => {
                let mut content = Zeroizing::new(random.to_vec());
                content.extend(seal(bindings, random.as_slice()));
                files::replace(&self.folder, NAME, &content)?;
                random.clone()
            }
        };
        let bound = [KEYED, secret.as_slice()].concat();
        Ok(Zeroizing::new(bindings.tag(&Zeroizing::new(bound))))
    }
}

/// Returns the secret, if the seal behind it is that of this gateway.
fn opened(bindings: &Bindings, content: &[u8]) -> Option<Zeroizing<[u8; SECRET_LENGTH]>> {
    let (secret, found) = content.split_first_chunk::<SECRET_LENGTH>()?;
    (found == seal(bindings, secret)).then(|| Zeroizing::new(*secret))
}

fn seal(bindings: &Bindings, secret: &[u8]) -> [u8; SEAL_LENGTH] {
    bindings.tag(&Zeroizing::new([SEALED, secret].concat()))
}

fn mac(key: &[u8; SECRET_LENGTH], label: &[u8]) -> [u8; SEAL_LENGTH] {
    // HMAC fills a key up with zeros to a block of its digest (RFC 2104, section 2): 64 bytes for SHA-256.
    let mut block = Zeroizing::new([0; 64]);
    for (padded, byte) in block.iter_mut().zip(key) {
        *padded = *byte;
    }
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    mac.update(label);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::{DeviceKey, Protection, Store};

    fn store(folder: &Path, key: u8) -> Store {
        let key = DeviceKey::new([key; 32]);
        Store::open(folder, Ok(Protection { key, otp: None })).unwrap()
    }

    fn random(byte: u8) -> Zeroizing<[u8; 32]> {
        Zeroizing::new([byte; 32])
    }

    #[test]
    fn secret_is_made_once_and_lasts() {
        let folder = tempfile::tempdir().unwrap();
        let first = store(folder.path(), 1);
        let made = first.pseudonym(b"label", &random(7)).unwrap();
        assert_eq!(first.pseudonym(b"label", &random(8)).unwrap(), made);
        assert_ne!(first.pseudonym(b"other", &random(8)).unwrap(), made);
        drop(first);
        assert_eq!(
            store(folder.path(), 1).pseudonym(b"label", &random(9)).unwrap(),
            made
        );
        let file = folder.path().join(NAME);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn pseudonyms_of_two_gateways_differ_with_secret_and_device_key() {
        let made = [(1, 7), (1, 8), (2, 7)].map(|(key, byte)| {
            let folder = tempfile::tempdir().unwrap();
            store(folder.path(), key)
                .pseudonym(b"label", &random(byte))
                .unwrap()
        });
        assert!(made[0] != made[1] && made[0] != made[2] && made[1] != made[2]);
    }

    #[test]
    fn damaged_or_foreign_secret_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        store(folder.path(), 1).pseudonym(b"label", &random(7)).unwrap();
        let file = folder.path().join(NAME);
        let good = fs::read(&file).unwrap();
        let mut flipped = good.clone();
        flipped[3] ^= 1;
        for content in [&flipped[..], &good[..40], &[&good[..], b"x"].concat()] {
            fs::write(&file, content).unwrap();
            let error = store(folder.path(), 1)
                .pseudonym(b"label", &random(8))
                .unwrap_err();
            assert!(matches!(error, PseudonymError::Damaged { .. }), "{error}");
            assert_eq!(fs::read(&file).unwrap(), content);
        }
    }

    #[test]
    fn pseudonym_is_a_mac_of_the_standard() {
        // RFC 4231, test case 2.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex::encode(mac(&key, b"what do ya want for nothing?")), expected);
    }

    #[test]
    fn no_device_key_no_pseudonym() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(
            folder.path(),
            DeviceKey::read(&folder.path().join("none")).map(|key| Protection { key, otp: None }),
        )
        .unwrap();
        let error = store.pseudonym(b"label", &random(7)).unwrap_err();
        assert!(matches!(error, PseudonymError::NoDeviceKey), "{error}");
        assert!(!folder.path().join(NAME).exists());
    }
}
