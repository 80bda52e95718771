//! Keys in an HSM, through PKCS#11.
//!
//! The key pair is made in the token and never leaves it (`CKA_SENSITIVE`, not `CKA_EXTRACTABLE`). A session is opened for
//! each program run, and the signature is checked by whoever asked for it.
//!
//! Spec: PKCS#11 v2.40; RFC 7512 for the URI.

use std::path::PathBuf;
use std::sync::Mutex;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use messages::keys::PublicPoint;

/// P-256 as `CKA_EC_PARAMS` wants it: the DER of its object identifier.
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// The reason why an HSM cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HsmError {
    /// The library is not there, or is none of PKCS#11.
    #[error("the PKCS#11 library {} cannot be loaded; install it or name another one", module.display())]
    Module {
        /// The library.
        module: PathBuf,
        /// Why not.
        #[source]
        source: cryptoki::error::Error,
    },
    /// There is no such token.
    #[error("there is no token {label:?}; connect the HSM, or check SOFTHSM2_CONF if it is SoftHSM")]
    NoToken {
        /// The token's label.
        label: String,
    },
    /// The token has no such key, or another one.
    #[error(
        "the token {label:?} does not hold the key {object:?} of the certificate; restore it from its backup"
    )]
    NoKey {
        /// The token's label.
        label: String,
        /// The key's label.
        object: String,
    },
    /// The PIN is wrong, or the token fails.
    #[error("the token {label:?} refuses or has been taken away; check its PIN and its connection")]
    Token {
        /// The token's label.
        label: String,
        /// What it says.
        #[source]
        source: cryptoki::error::Error,
    },
    /// The token gave something else than a signature.
    #[error("the token {label:?} gave no signature")]
    Signature {
        /// The token's label.
        label: String,
    },
}

/// A token of an HSM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// The HSM's PKCS#11 library.
    pub(crate) module: PathBuf,
    /// The token's label.
    pub(crate) label: String,
}

/// A key in a token.
pub(crate) struct HsmKey {
    label: String,
    public: PublicPoint,
    object: ObjectHandle,
    session: Mutex<Session>,
}

impl std::fmt::Debug for HsmKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "HsmKey({:?})", self.label)
    }
}

impl HsmKey {
    /// Returns the public key.
    pub(super) const fn public_point(&self) -> &PublicPoint {
        &self.public
    }

    /// Signs a digest; returns r and s.
    pub(super) fn sign_digest(&self, digest: &[u8; 32]) -> Result<[u8; 64], HsmError> {
        let no_signature = || HsmError::Signature {
            label: self.label.clone(),
        };
        let session = self.session.lock().map_err(|_| no_signature())?;
        let signature = session
            .sign(&Mechanism::Ecdsa, self.object, digest)
            .map_err(|source| HsmError::Token {
                label: self.label.clone(),
                source,
            })?;
        signature.try_into().map_err(|_| no_signature())
    }
}

impl Token {
    /// Returns the URI of a key in this token.
    pub(super) fn uri(&self, object: &str) -> String {
        format!(
            "pkcs11:token={};object={};type=private?module-path={}\n",
            escape(&self.label),
            escape(object),
            escape(&self.module.to_string_lossy())
        )
    }

    /// Reads the URI of a key; `None` if the text is none.
    pub(super) fn parse(text: &str) -> Option<(Self, String)> {
        let (path, module) = text.trim().strip_prefix("pkcs11:")?.split_once("?module-path=")?;
        let field = |name: &str| {
            let mut fields = path.split(';').filter_map(|field| field.split_once('='));
            fields
                .find(|(found, _)| *found == name)
                .and_then(|(_, value)| unescape(value))
        };
        let token = Self {
            module: unescape(module)?.into(),
            label: field("token")?,
        };
        Some((token, field("object")?))
    }

    /// Makes a key pair in the token.
    pub(super) fn make(&self, object: &str, pin: &str) -> Result<HsmKey, HsmError> {
        let session = self.open(pin)?;
        let label = || Attribute::Label(object.as_bytes().to_vec());
        let public = [
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::KeyType(KeyType::EC),
            Attribute::EcParams(P256.to_vec()),
            Attribute::Verify(true),
            label(),
        ];
        let private = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            label(),
        ];
        session
            .generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)
            .map_err(|source| self.fails(source))?;
        self.key(session, object)
    }

    /// Finds the key of a certificate in the token.
    pub(super) fn find(&self, object: &str, pin: &str, expected: &PublicPoint) -> Result<HsmKey, HsmError> {
        let key = self.key(self.open(pin)?, object)?;
        if key.public == *expected {
            Ok(key)
        } else {
            Err(self.no_key(object))
        }
    }

    fn key(&self, session: Session, object: &str) -> Result<HsmKey, HsmError> {
        let find = |class| {
            let template = [
                Attribute::Class(class),
                Attribute::Label(object.as_bytes().to_vec()),
            ];
            let found = session
                .find_objects(&template)
                .map_err(|source| self.fails(source))?;
            match found.as_slice() {
                [only] => Ok(*only),
                _ => Err(self.no_key(object)),
            }
        };
        let (private, public) = (find(ObjectClass::PRIVATE_KEY)?, find(ObjectClass::PUBLIC_KEY)?);
        let attributes = session
            .get_attributes(public, &[AttributeType::EcPoint])
            .map_err(|source| self.fails(source))?;
        let point = attributes.iter().find_map(|attribute| match attribute {
            // An octet string around the point: 04 41, then 65 bytes.
            Attribute::EcPoint(bytes) => bytes.strip_prefix(&[0x04, 0x41]),
            _ => None,
        });
        let public = point.and_then(|point| PublicPoint::from_sec1(point).ok());
        Ok(HsmKey {
            label: self.label.clone(),
            public: public.ok_or_else(|| self.no_key(object))?,
            object: private,
            session: Mutex::new(session),
        })
    }

    fn open(&self, pin: &str) -> Result<Session, HsmError> {
        let of_module = |source| HsmError::Module {
            module: self.module.clone(),
            source,
        };
        let library = Pkcs11::new(&self.module).map_err(of_module)?;
        match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another key of this program has been opened before.
            Ok(())
            | Err(cryptoki::error::Error::Pkcs11(cryptoki::error::RvError::CryptokiAlreadyInitialized, _)) => {
            }
            Err(source) => return Err(of_module(source)),
        }
        let slots = library
            .get_slots_with_token()
            .map_err(|source| self.fails(source))?;
        let is_ours = |slot: &cryptoki::slot::Slot| {
            let token = library.get_token_info(*slot);
            token.is_ok_and(|token| token.label().trim_end() == self.label)
        };
        let slot = slots.into_iter().find(is_ours).ok_or_else(|| HsmError::NoToken {
            label: self.label.clone(),
        })?;
        let session = library
            .open_rw_session(slot)
            .map_err(|source| self.fails(source))?;
        match session.login(UserType::User, Some(&AuthPin::new(pin.into()))) {
            Ok(())
            | Err(cryptoki::error::Error::Pkcs11(cryptoki::error::RvError::UserAlreadyLoggedIn, _)) => {
                Ok(session)
            }
            Err(source) => Err(self.fails(source)),
        }
    }

    fn fails(&self, source: cryptoki::error::Error) -> HsmError {
        HsmError::Token {
            label: self.label.clone(),
            source,
        }
    }

    fn no_key(&self, object: &str) -> HsmError {
        HsmError::NoKey {
            label: self.label.clone(),
            object: object.to_owned(),
        }
    }
}

fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('%') {
        bytes.extend_from_slice(plain.as_bytes());
        let (digits, behind) = escaped.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = behind;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_read_back_what_was_named() {
        let token = Token {
            module: "/usr/lib/a b?.so".into(),
            label: "Trust; Zentrum=ä%".to_owned(),
        };
        let uri = token.uri("smgw root-1");
        assert_eq!(Token::parse(&uri), Some((token, "smgw root-1".to_owned())));
        for text in [
            "",
            "-----BEGIN",
            "pkcs11:token=a",
            "pkcs11:token=a?module-path=b",
            "pkcs11:object=%z;token=b?module-path=c",
        ] {
            assert_eq!(Token::parse(text), None, "{text}");
        }
    }
}
