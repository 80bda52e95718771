//! The device key: what the rows and their copies are sealed with.
//!
//! Whoever has it can forge a binding. A board that can keep it better (a trusted execution
//! environment, a secure element, a key that only the processor can unwrap) hands it over in a file of
//! its own at start. Without one it lies in the data folder, on the same flash as what it seals: that is
//! the weak default. It holds off damage, mistakes and files of another gateway, and nobody who can
//! read the flash.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::files::{self, FileError};

/// The length of a tag in bytes: HMAC-SHA-256, not cut off.
pub(super) const TAG_LENGTH: usize = 32;

/// The length of a block of SHA-256 in bytes (FIPS 180-4, figure 1).
const BLOCK_LENGTH: usize = 64;

/// The permission bits that let other users than owner and group read or change a file.
const OTHERS: u32 = 0o007;

/// The key that seals the bindings of one gateway; secret.
#[expect(missing_debug_implementations, reason = "it is secret")]
pub struct DeviceKey(Zeroizing<[u8; Self::LENGTH]>);

impl DeviceKey {
    /// The length of the key in bytes.
    pub const LENGTH: usize = 32;

    /// Takes a key that comes from elsewhere.
    #[must_use]
    pub fn new(mut key: [u8; Self::LENGTH]) -> Self {
        let taken = Self(Zeroizing::new(key));
        key.zeroize();
        taken
    }

    /// Reads the key from a file of exactly [`DeviceKey::LENGTH`] bytes.
    ///
    /// # Errors
    ///
    /// [`DeviceKeyError`] if there is no such file, or it has another length or lies open to everybody.
    pub fn read(file: &Path) -> Result<Self, DeviceKeyError> {
        Self::find(file)?.ok_or_else(|| DeviceKeyError::Missing {
            file: file.to_owned(),
        })
    }

    /// Reads the key of a store, and makes it from `random` at the first start; then it is on the disk.
    ///
    /// It is the file `device.key` in the store's folder, mode 0600: the weak default.
    ///
    /// # Errors
    ///
    /// As for [`DeviceKey::read`]. [`DeviceKeyError::Missing`] if there are bindings already: a new key
    /// would fit none of them.
    pub fn read_or_make(store: &Path, random: Zeroizing<[u8; Self::LENGTH]>) -> Result<Self, DeviceKeyError> {
        let file = store.join(DEFAULT_FILE);
        if let Some(key) = Self::find(&file)? {
            return Ok(key);
        }
        if store.join("bindings").exists() {
            return Err(DeviceKeyError::Missing { file });
        }
        files::make_folder(store)?;
        files::replace(store, DEFAULT_FILE, random.as_slice())?;
        Ok(Self(random))
    }

    fn find(file: &Path) -> Result<Option<Self>, DeviceKeyError> {
        let length = u64::try_from(Self::LENGTH).unwrap_or(u64::MAX);
        let Some(content) = files::read(file, length)?.map(Zeroizing::new) else {
            return Ok(None);
        };
        let mode = std::fs::metadata(file)
            .map_err(FileError::at(file))?
            .permissions()
            .mode();
        if mode & OTHERS != 0 {
            return Err(DeviceKeyError::Exposed {
                file: file.to_owned(),
            });
        }
        let key = content.as_slice().try_into().map(Zeroizing::new);
        let key = key.map_err(|_| DeviceKeyError::Length {
            file: file.to_owned(),
        })?;
        Ok(Some(Self(key)))
    }

    /// Returns the tag of some bytes.
    pub(super) fn tag(&self, bytes: &[u8]) -> [u8; TAG_LENGTH] {
        self.mac(bytes).finalize().into_bytes().into()
    }

    /// Returns whether the tag is that of the bytes, in a time that does not depend on where they differ.
    pub(super) fn is_tag(&self, bytes: &[u8], tag: &[u8; TAG_LENGTH]) -> bool {
        self.mac(bytes).verify_slice(tag).is_ok()
    }

    fn mac(&self, bytes: &[u8]) -> Hmac<Sha256> {
        // HMAC fills a key up with zeros to a block of its digest (RFC 2104, section 2).
        let mut block = Zeroizing::new([0; BLOCK_LENGTH]);
        for (padded, byte) in block.iter_mut().zip(self.0.iter()) {
            *padded = *byte;
        }
        let mut mac = Hmac::<Sha256>::new((&*block).into());
        mac.update(bytes);
        mac
    }
}

/// The name of the default file in the store's folder.
const DEFAULT_FILE: &str = "device.key";

/// The reason why there is no device key.
#[derive(Debug, thiserror::Error)]
pub enum DeviceKeyError {
    /// There is none, and none may be made.
    #[error("the device key {} is missing; without it no binding can be told from a forged one", file.display())]
    Missing {
        /// Where it should be.
        file: PathBuf,
    },
    /// The file is no key.
    #[error("the device key {} has not exactly 32 bytes", file.display())]
    Length {
        /// Where it is.
        file: PathBuf,
    },
    /// Every user of the system can get at it.
    #[error("the device key {} can be read or changed by every user; take those permissions away", file.display())]
    Exposed {
        /// Where it is.
        file: PathBuf,
    },
    /// The file is out of reach.
    #[error("the device key is out of reach")]
    File(#[from] FileError),
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    fn random() -> Zeroizing<[u8; 32]> {
        Zeroizing::new([7; 32])
    }

    #[test]
    fn tag_is_that_of_the_standard() {
        // RFC 4231, test case 2, whose key is shorter: HMAC fills both up with zeros.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let tag = DeviceKey::new(key).tag(b"what do ya want for nothing?");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex::encode(tag), expected);
        assert!(DeviceKey::new(key).is_tag(b"what do ya want for nothing?", &tag));
        assert!(!DeviceKey::new(key).is_tag(b"nothing", &tag));
    }

    #[test]
    fn key_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let made = DeviceKey::read_or_make(&store, random()).unwrap();
        let again = DeviceKey::read_or_make(&store, Zeroizing::new([8; 32])).unwrap();
        assert_eq!(made.tag(b"x"), again.tag(b"x"));
        let file = store.join("device.key");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&file).unwrap(), [7; 32]);
    }

    #[test]
    fn lost_key_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bindings")).unwrap();
        let error = DeviceKey::read_or_make(folder.path(), random()).err().unwrap();
        assert!(matches!(error, DeviceKeyError::Missing { .. }), "{error:?}");
        let error = DeviceKey::read(&folder.path().join("key")).err().unwrap();
        assert!(matches!(error, DeviceKeyError::Missing { .. }), "{error:?}");
    }

    #[test]
    fn files_that_are_no_secret_key_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        for length in [0, 31, 33] {
            fs::write(&file, vec![1; length]).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
            let error = DeviceKey::read(&file).err().unwrap();
            assert!(matches!(error, DeviceKeyError::Length { .. }), "{error:?}");
        }
        fs::write(&file, [1; 32]).unwrap();
        assert!(DeviceKey::read(&file).is_ok());
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        let error = DeviceKey::read(&file).err().unwrap();
        assert!(matches!(error, DeviceKeyError::Exposed { .. }), "{error:?}");
        let error = DeviceKey::read(folder.path()).err().unwrap();
        assert!(matches!(error, DeviceKeyError::File(_)), "{error:?}");
    }
}
