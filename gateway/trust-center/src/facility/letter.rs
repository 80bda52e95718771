//! Sealing and opening what the two facilities write: CMS, as all messages of this system.

use std::io;

use counterparty::exchange::Identity;
use counterparty::random::{self, RandomError};
use getrandom::SysRng;
use messages::certificate::{CertificateError, Role, TrustAnchor, VerifiedCertificate};
use messages::envelope::{self, EnvelopeRandom, OpenError, SealError, Sender};
use messages::software::{SoftwareEphemeral, SoftwareKeyError};
use model::{KeySlot, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// The reason why a letter was not written or not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LetterError {
    /// No random bytes could be drawn.
    #[error("the message cannot be sealed")]
    Random(#[from] RandomError),
    /// The content could not be written as JSON.
    #[error("the message cannot be written")]
    Write(#[source] serde_json::Error),
    /// The message could not be sealed.
    #[error("the message cannot be sealed; ask for fewer cards at once")]
    Seal(#[source] Box<SealError<SoftwareKeyError>>),
    /// The message is damaged, not for this facility, or not by somebody whom the trust centre knows.
    #[error("the message is not accepted; check that it is whole, and that it is for this facility")]
    Open(#[source] Box<OpenError<SoftwareKeyError>>),
    /// The sender is somebody else.
    #[error("the message is by a {found}, not by a {expected}")]
    Sender {
        /// Who should have written it.
        expected: Role,
        /// Who has.
        found: Role,
    },
    /// The content is not what is said in this place.
    #[error(
        "the message says something that is not understood here; check that both programs have one version"
    )]
    Read(#[source] serde_json::Error),
    /// The recipient's certificate does not hold.
    #[error("the certificate of the other side does not hold; have it renewed")]
    Recipient(#[from] CertificateError),
}

/// Writes a letter to the owner of this ENC certificate.
pub(super) fn write<T: Serialize>(
    content: &T,
    from: Identity<'_>,
    to: &VerifiedCertificate,
    now: Timestamp,
) -> Result<Vec<u8>, LetterError> {
    let json = json(content).map_err(LetterError::Write)?;
    let certificate = from.party.sig.certificate();
    let sender = Sender {
        certificate,
        issuing: from.anchor.issuing_of(certificate),
        signer: &from.keys.sig,
        agreement: SoftwareEphemeral::new(SysRng),
    };
    let random = EnvelopeRandom::new(random::bytes()?);
    envelope::seal(&json, to, sender, &random, now).map_err(|error| LetterError::Seal(Box::new(error)))
}

/// Writes the content into room that is set aside at once: there may be private keys in it, which a growing buffer would leave
/// behind where it stood.
fn json<T: Serialize>(content: &T) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, content)?;
    let mut json = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *json, content)?;
    Ok(json)
}

/// Counts what is written.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a letter by a party of this role; returns who has written it.
pub(super) fn read<T: DeserializeOwned>(
    letter: &[u8],
    to: Identity<'_>,
    anchor: &TrustAnchor,
    from: Role,
    now: Timestamp,
) -> Result<(VerifiedCertificate, T), LetterError> {
    let opened = envelope::open(letter, anchor, now, to.party.enc.certificate(), &to.keys.enc)
        .map_err(|error| LetterError::Open(Box::new(error)))?;
    let found = opened.sender.role();
    if found != from {
        let expected = from;
        return Err(LetterError::Sender { expected, found });
    }
    let content = serde_json::from_slice(&opened.content).map_err(LetterError::Read)?;
    Ok((opened.sender, content))
}

/// Returns the ENC certificate, judged, of the party whose certificates these are.
pub(super) fn recipient(
    anchor: &TrustAnchor,
    certificate: &messages::certificate::Certificate,
    role: Role,
    now: Timestamp,
) -> Result<VerifiedCertificate, CertificateError> {
    anchor.verify(certificate, now, role, KeySlot::Enc)
}
