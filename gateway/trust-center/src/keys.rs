//! The private keys of the trust centre: in encrypted files, or, those that issue certificates, in an HSM.
//!
//! A key file is PKCS#8 in PEM, encrypted by PBES2 (PBKDF2 with HMAC-SHA-256, AES-256 in CBC mode), which OpenSSL reads
//! too. Where the key is in an HSM, the file holds its PKCS#11 URI instead. Key files of an earlier version, which are
//! not encrypted, are read as they are.
//!
//! Spec: RFC 5958, RFC 8018, RFC 7512.

mod hsm;

use std::path::{Path, PathBuf};

use counterparty::files::{self, Access, FileError};
use counterparty::random::{self, RandomError};
use getrandom::SysRng;
use messages::certificate::Certificate;
use messages::keys::{PublicPoint, Signer};
use messages::software::{SoftwareKey, SoftwareKeyError};
use pkcs8::der::pem::PemLabel;
use pkcs8::pkcs5::pbes2;
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument};
use zeroize::Zeroizing;

pub(crate) use hsm::{HsmError, Token};

/// How many rounds a guess at a passphrase costs: what OWASP recommends for PBKDF2 with SHA-256.
const ROUNDS: u32 = if cfg!(test) { 1_000 } else { 600_000 };
/// The greatest length of a passphrase or PIN in bytes.
const MAX_PASSPHRASE: usize = 1_024;
/// The least length of a passphrase in characters.
const MIN_PASSPHRASE: usize = 12;
/// The variable that may hold the passphrase.
const PASSPHRASE_VARIABLE: &str = "TRUST_CENTER_PASSPHRASE";
/// The variable that may hold the PIN of the HSM.
const PIN_VARIABLE: &str = "TRUST_CENTER_PIN";

/// The reason why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// A key file is missing, there already, or cannot be reached.
    #[error("the keys of the trust centre cannot be read or written")]
    File(#[from] FileError),
    /// The passphrase is not known.
    #[error(
        "the keys are encrypted; name the file with their passphrase (--passphrase-file FILE, also /dev/fd/N), set \
         {PASSPHRASE_VARIABLE}, or put it into {}", path.display()
    )]
    NoPassphrase {
        /// Where it is looked for last.
        path: PathBuf,
    },
    /// The passphrase is too short or not text.
    #[error("a passphrase has {MIN_PASSPHRASE} to {MAX_PASSPHRASE} characters of text in one line")]
    Passphrase,
    /// The PIN of the HSM is not known.
    #[error(
        "the HSM wants a PIN; name a file with it (--pin-file FILE, also /dev/fd/N) or set {PIN_VARIABLE}"
    )]
    NoPin,
    /// The passphrase is another one.
    #[error("the passphrase does not open {}; give the right one, or restore the file from its backup", path.display())]
    WrongPassphrase {
        /// The key file.
        path: PathBuf,
    },
    /// A key file holds no key.
    #[error("{} holds no key; restore it from its backup", path.display())]
    NoKey {
        /// The key file.
        path: PathBuf,
    },
    /// A key is not that of its certificate.
    #[error("{} is not the key of its certificate; restore both from one backup", path.display())]
    WrongKey {
        /// The key's file.
        path: PathBuf,
    },
    /// A key could not be encrypted.
    #[error("the key cannot be encrypted")]
    Encrypt(#[source] pkcs8::Error),
    /// A key could not be made or used.
    #[error("a key cannot be made or used")]
    Software(#[from] SoftwareKeyError),
    /// The HSM does not do what it should.
    #[error("the HSM cannot be used; nothing has been done without it")]
    Hsm(#[from] HsmError),
    /// No random bytes could be drawn.
    #[error("no random bytes")]
    Random(#[from] RandomError),
}

/// Where the passphrase of the key files and the PIN of the HSM come from. They are never arguments, which others see.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Secrets {
    /// The file with the passphrase of the keys; /dev/fd/N is a descriptor. Otherwise $TRUST_CENTER_PASSPHRASE, then
    /// the file `passphrase` in the trust centre's folder
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// The file with the PIN of the HSM, if one holds the keys. Otherwise $TRUST_CENTER_PIN
    #[arg(long, value_name = "FILE")]
    pub(crate) pin_file: Option<PathBuf>,
}

/// A text that is wiped when it goes.
type Secret = Zeroizing<String>;

impl Secrets {
    /// Returns the passphrase of the keys in this folder.
    fn passphrase(&self, home: &Path) -> Result<Secret, KeyError> {
        let path = home.join("passphrase");
        let found = match &self.passphrase_file {
            Some(file) => Some(read_secret(file)?),
            None => match variable(PASSPHRASE_VARIABLE) {
                Some(passphrase) => Some(passphrase),
                None => match read_secret(&path) {
                    Ok(passphrase) => Some(passphrase),
                    Err(FileError::Missing { .. }) => None,
                    Err(error) => return Err(error.into()),
                },
            },
        };
        let passphrase = found.ok_or(KeyError::NoPassphrase { path })?;
        if passphrase.chars().count() < MIN_PASSPHRASE || passphrase.chars().any(char::is_control) {
            return Err(KeyError::Passphrase);
        }
        Ok(passphrase)
    }

    /// Returns the passphrase for a folder that has no keys yet; without one, it is drawn and put beside them.
    fn new_passphrase(&self, home: &Path) -> Result<Secret, KeyError> {
        match self.passphrase(home) {
            Err(KeyError::NoPassphrase { path }) => {
                let drawn: Zeroizing<[u8; 20]> = random::bytes()?;
                let text = Zeroizing::new(crate::books::hex(&*drawn));
                files::write_new(&path, text.as_bytes(), Access::Private)?;
                tracing::warn!(
                    path = %path.display(),
                    "the passphrase of the keys has been drawn and stands beside them; move it elsewhere, and name \
                     its place with --passphrase-file"
                );
                Ok(text)
            }
            found => found,
        }
    }

    fn pin(&self) -> Result<Secret, KeyError> {
        match &self.pin_file {
            Some(file) => Ok(read_secret(file)?),
            None => variable(PIN_VARIABLE).ok_or(KeyError::NoPin),
        }
    }
}

fn variable(name: &str) -> Option<Secret> {
    std::env::var(name).ok().map(Zeroizing::new)
}

fn read_secret(file: &Path) -> Result<Secret, FileError> {
    let text = Zeroizing::new(files::read_text(file, MAX_PASSPHRASE)?);
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// The keys of one folder.
#[derive(Debug)]
pub(crate) struct KeyStore {
    home: PathBuf,
    secrets: Secrets,
}

/// A key that issues certificates.
#[derive(Debug)]
pub(crate) enum IssuerKey {
    /// From a file.
    Software(SoftwareKey),
    /// In an HSM.
    Hsm(hsm::HsmKey),
}

impl IssuerKey {
    /// Returns the public key.
    pub(crate) const fn public_point(&self) -> &PublicPoint {
        match self {
            Self::Software(key) => key.public_point(),
            Self::Hsm(key) => key.public_point(),
        }
    }
}

impl Signer for &IssuerKey {
    type Error = KeyError;

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], Self::Error> {
        match self {
            IssuerKey::Software(key) => {
                let mut key = key;
                Ok(Signer::sign_digest(&mut key, digest)?)
            }
            IssuerKey::Hsm(key) => Ok(key.sign_digest(digest)?),
        }
    }
}

impl KeyStore {
    /// Names the keys of a folder.
    pub(crate) fn new(home: &Path, secrets: &Secrets) -> Self {
        Self {
            home: home.to_owned(),
            secrets: secrets.clone(),
        }
    }

    /// Makes a key that issues certificates: in the token, if there is one, or in the file.
    pub(crate) fn make_issuer(
        &self,
        path: &Path,
        name: &str,
        token: Option<&Token>,
    ) -> Result<IssuerKey, KeyError> {
        match token {
            None => {
                let key = SoftwareKey::generate(&mut SysRng)?;
                self.write(path, &key)?;
                Ok(IssuerKey::Software(key))
            }
            Some(token) => {
                let number: Zeroizing<[u8; 8]> = random::bytes()?;
                let object = format!("{name}-{}", crate::books::hex(&*number));
                let key = token.make(&object, &self.secrets.pin()?)?;
                files::write_new(path, token.uri(&object).as_bytes(), Access::Private)?;
                Ok(IssuerKey::Hsm(key))
            }
        }
    }

    /// Writes a key into a new file, encrypted.
    pub(crate) fn write(&self, path: &Path, key: &SoftwareKey) -> Result<(), KeyError> {
        let pem = self.encrypted(key)?;
        Ok(files::write_new(path, pem.as_bytes(), Access::Private)?)
    }

    /// Writes a key in place of the one in the file, encrypted.
    pub(crate) fn replace(&self, path: &Path, key: &SoftwareKey) -> Result<(), KeyError> {
        let pem = self.encrypted(key)?;
        Ok(files::replace(path, pem.as_bytes(), Access::Private)?)
    }

    fn encrypted(&self, key: &SoftwareKey) -> Result<Zeroizing<String>, KeyError> {
        let passphrase = self.secrets.new_passphrase(&self.home)?;
        let plain = key.to_pkcs8_pem()?;
        let (_, der) = SecretDocument::from_pem(&plain).map_err(|_| SoftwareKeyError::Pkcs8)?;
        let salt: Zeroizing<[u8; 16]> = random::bytes()?;
        let vector: Zeroizing<[u8; 16]> = random::bytes()?;
        let parameters = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(ROUNDS, &*salt, *vector);
        let encrypt = || {
            let parameters = parameters.map_err(pkcs8::Error::from)?;
            let info = PrivateKeyInfoRef::try_from(der.as_bytes())?;
            let encrypted = info.encrypt_with_params(parameters, passphrase.as_bytes())?;
            Ok(encrypted.to_pem(EncryptedPrivateKeyInfoRef::PEM_LABEL, LineEnding::LF)?)
        };
        encrypt().map_err(KeyError::Encrypt)
    }

    /// Reads the key of a certificate from its file.
    pub(crate) fn read(&self, path: &Path, certificate: &Certificate) -> Result<SoftwareKey, KeyError> {
        let text = Zeroizing::new(files::read_text(path, SoftwareKey::MAX_PEM)?);
        self.decrypt(path, &text, certificate)
    }

    /// Reads the key of an authority's certificate from its file, or finds it in the HSM.
    pub(crate) fn read_issuer(&self, path: &Path, certificate: &Certificate) -> Result<IssuerKey, KeyError> {
        let text = Zeroizing::new(files::read_text(path, SoftwareKey::MAX_PEM)?);
        match Token::parse(&text) {
            Some((token, object)) => {
                let key = token.find(&object, &self.secrets.pin()?, certificate.public_key())?;
                Ok(IssuerKey::Hsm(key))
            }
            None => self.decrypt(path, &text, certificate).map(IssuerKey::Software),
        }
    }

    /// Returns the token that holds the key of this file, if one does.
    pub(crate) fn token(&self, path: &Path) -> Result<Option<Token>, KeyError> {
        let text = Zeroizing::new(files::read_text(path, SoftwareKey::MAX_PEM)?);
        Ok(Token::parse(&text).map(|(token, _)| token))
    }

    fn decrypt(&self, path: &Path, text: &str, certificate: &Certificate) -> Result<SoftwareKey, KeyError> {
        let no_key = || KeyError::NoKey {
            path: path.to_owned(),
        };
        let (label, der) = SecretDocument::from_pem(text).map_err(|_| no_key())?;
        let key = if label == EncryptedPrivateKeyInfoRef::PEM_LABEL {
            let passphrase = self.secrets.passphrase(&self.home)?;
            let encrypted = EncryptedPrivateKeyInfoRef::try_from(der.as_bytes()).map_err(|_| no_key())?;
            let plain = encrypted.decrypt(passphrase.as_bytes());
            let plain = plain.map_err(|_| KeyError::WrongPassphrase {
                path: path.to_owned(),
            })?;
            let pem = plain.to_pem(PrivateKeyInfoRef::<'_>::PEM_LABEL, LineEnding::LF);
            SoftwareKey::from_pkcs8_pem(&pem.map_err(|_| no_key())?)
        } else {
            SoftwareKey::from_pkcs8_pem(text)
        };
        let key = key.map_err(|_| no_key())?;
        if key.public_point() != certificate.public_key() {
            let path = path.to_owned();
            return Err(KeyError::WrongKey { path });
        }
        Ok(key)
    }
}
