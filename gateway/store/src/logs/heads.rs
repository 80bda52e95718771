//! The heads of the logs, signed by the card, so that a log which was cut short is noticed.
//!
//! The file `heads.json` has the last signature. What is signed is the SHA-256 digest of a text that
//! anybody can rebuild from that file, each line ended by a line feed:
//!
//! ```text
//! smgw/log-heads/1
//! number 12
//! time 2026-11-23T12:00:00Z
//! system base 0 HASH head 310 HASH
//! consumer base 0 HASH head 96 HASH
//! calibration base 0 HASH head 14 HASH
//! ```
//!
//! The first line is the domain: no other signature of the card begins like that. `base` is what was
//! deleted of a log because of its size or age, `head` is its last entry; each is a number of entries
//! and a hash. The signature is ECDSA on P-256, r and s in 32 bytes each, big-endian.

use std::path::Path;

use model::{Fingerprint, LogHead, LogKind, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::LogError;
use crate::files;

/// The format's name and version; also the domain of the signature.
const FORMAT: &str = "smgw/log-heads/1";
/// The name of the file in the logs' folder.
pub(super) const FILE: &str = "heads.json";
/// The greatest length of the file in bytes: a certificate of 4 KiB, twice that in hexadecimal digits.
const MAX_FILE: u64 = 16_384;
/// The length of a signature in bytes.
const SIGNATURE_BYTES: usize = 64;

/// Signs the heads of the logs: the card.
pub trait HeadAnchor {
    /// What the card can answer instead.
    type Error: std::error::Error + 'static;

    /// Signs a SHA-256 digest with the card's SIG key.
    ///
    /// # Errors
    ///
    /// Whatever keeps the card from signing.
    fn sign(&mut self, digest: &[u8; 32]) -> Result<HeadSignature, Self::Error>;
}

/// Checks signatures over heads; that takes no card.
pub trait HeadVerifier {
    /// Checks a signature over a SHA-256 digest.
    ///
    /// # Errors
    ///
    /// [`HeadRefusal`] says whether the key or the signature is wrong.
    fn verify(&self, digest: &[u8; 32], signature: &HeadSignature) -> Result<(), HeadRefusal>;
}

/// A signature and the certificate of the key that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadSignature {
    /// ECDSA on P-256: r and s, 32 bytes each, big-endian.
    pub signature: [u8; SIGNATURE_BYTES],
    /// The certificate of the SIG key, DER.
    pub certificate: Vec<u8>,
}

impl HeadSignature {
    /// Returns the fingerprint of the certificate.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(Sha256::digest(&self.certificate).into())
    }
}

/// The reason why a signature is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadRefusal {
    /// The certificate cannot be read, or its key is not the bound card's.
    #[error("the heads were not signed with the key of the bound card")]
    Key,
    /// The signature is not over these heads.
    #[error("the signature over the heads is wrong")]
    Signature,
}

/// Where a log began and ended when it was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSpan {
    /// What was deleted because of the log's size or age.
    pub base: LogHead,
    /// The last entry.
    pub head: LogHead,
}

/// The heads of the logs at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heads {
    /// The how-manieth signature, from 1 on.
    pub number: u64,
    /// When, by the gateway's clock.
    pub time: Timestamp,
    /// The system log.
    pub system: LogSpan,
    /// The consumer log.
    pub consumer: LogSpan,
    /// The calibration log.
    pub calibration: LogSpan,
}

impl Heads {
    /// Returns the span of a log.
    #[must_use]
    pub const fn of(&self, kind: LogKind) -> LogSpan {
        match kind {
            LogKind::System => self.system,
            LogKind::Consumer => self.consumer,
            LogKind::Calibration => self.calibration,
        }
    }

    /// Returns the text whose digest is signed.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{FORMAT}\nnumber {}\ntime {}\n", self.number, self.time);
        for kind in LogKind::ALL {
            let LogSpan { base, head } = self.of(kind);
            let (base_hash, head_hash) = (base.hash, head.hash);
            text.push_str(&format!(
                "{kind} base {} {base_hash} head {} {head_hash}
",
                base.count, head.count
            ));
        }
        text
    }

    /// Returns the digest that is signed: SHA-256 of [`Heads::text`].
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.text()).into()
    }
}

/// Heads and the card's signature over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHeads {
    /// The heads.
    pub heads: Heads,
    /// The signature.
    pub signature: HeadSignature,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    number: u64,
    time: Timestamp,
    system: LogSpan,
    consumer: LogSpan,
    calibration: LogSpan,
    /// Hexadecimal digits, as the certificate.
    signature: String,
    certificate: String,
    /// SHA-256 of the certificate.
    fingerprint: Fingerprint,
}

/// What there is of signed heads.
#[derive(Debug)]
pub(super) enum Stored {
    /// They were never signed, or the file is gone.
    Nothing,
    /// The file is none of ours.
    Damaged,
    /// The last ones.
    Heads(Box<SignedHeads>),
}

pub(super) fn load(folder: &Path) -> Result<Stored, LogError> {
    let Some(content) = files::read(&folder.join(FILE), MAX_FILE)? else {
        return Ok(Stored::Nothing);
    };
    Ok(parse(&content).map_or(Stored::Damaged, |signed| Stored::Heads(Box::new(signed))))
}

pub(super) fn save(folder: &Path, signed: &SignedHeads) -> Result<(), LogError> {
    let SignedHeads { heads, signature } = signed;
    let document = Document {
        format: FORMAT.to_owned(),
        number: heads.number,
        time: heads.time,
        system: heads.system,
        consumer: heads.consumer,
        calibration: heads.calibration,
        signature: hex::encode(signature.signature),
        certificate: hex::encode(&signature.certificate),
        fingerprint: signature.fingerprint(),
    };
    let mut content = serde_json::to_vec_pretty(&document).map_err(LogError::Encode)?;
    content.push(b'\n');
    Ok(files::replace(folder, FILE, &content)?)
}

fn parse(content: &[u8]) -> Option<SignedHeads> {
    let document: Document = serde_json::from_slice(content).ok()?;
    let signature = HeadSignature {
        signature: hex::decode(&document.signature).ok()?.try_into().ok()?,
        certificate: hex::decode(&document.certificate).ok()?,
    };
    let sound = document.format == FORMAT && document.fingerprint == signature.fingerprint();
    sound.then_some(SignedHeads {
        heads: Heads {
            number: document.number,
            time: document.time,
            system: document.system,
            consumer: document.consumer,
            calibration: document.calibration,
        },
        signature,
    })
}
