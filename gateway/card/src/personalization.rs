//! The trust centre's side: a blank card becomes a personalised one.
//!
//! The order: key pairs on the card, identifier, certificates, contact, completion. The keys come first, so that the
//! identifier may be made of one of them, and that no identifier is used up by a card that makes no keys. Until the completion the card stays blank and the whole can be repeated; after it
//! the path is closed for good. The result is read back and compared.

use model::{CardId, KeySlot};

use crate::applet::life::key_template;
use crate::files::Contact;
use crate::session::{CardIdentity, CardSession, Certificates};
use crate::tlv;
use crate::transport::execute;
use crate::{CardError, CardKey, CommandApdu, FileId, Header, LifeCycle, Point, Transport};

/// The reason why a card was not personalised. The card is blank still, unless the variant says
/// otherwise.
#[derive(Debug, thiserror::Error)]
pub enum PersonalizationError<T: std::error::Error + 'static, C: std::error::Error + 'static> {
    /// The card refused or could not be reached.
    #[error("the card cannot be personalised")]
    Card(#[from] CardError<T>),
    /// The card has been personalised already, or is terminated.
    #[error("the card is {found}, not blank")]
    NotBlank {
        /// The life cycle that was found.
        found: LifeCycle,
    },
    /// The authority did not certify the card's keys.
    #[error("the authority does not certify the card's keys")]
    Certification(#[source] C),
    /// The card could not be reached, or refused, when it was to be completed; it may be complete or not.
    #[error("the card may have been completed, and does not say so")]
    Completion(#[source] CardError<T>),
    /// The card was completed, but what it holds is not what was written; it is scrap.
    #[error("the completed card holds other data than were written; it is scrap")]
    ReadBack,
}

/// The public keys that a card has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardPoints {
    /// Of the key that signs messages.
    pub sig: Point,
    /// Of the key that opens messages.
    pub enc: Point,
    /// Of the key that proves the gateway's identity.
    pub tls: Point,
    /// Of the key that signs the card's own texts.
    pub attestation: Point,
}

impl CardPoints {
    /// Has each of the four keys certified, DER.
    ///
    /// # Errors
    ///
    /// The first error of `certify`.
    pub fn certified<C>(
        &self,
        mut certify: impl FnMut(CardKey, &Point) -> Result<Vec<u8>, C>,
    ) -> Result<Certificates, C> {
        Ok(Certificates {
            sig: certify(CardKey::Slot(KeySlot::Sig), &self.sig)?,
            enc: certify(CardKey::Slot(KeySlot::Enc), &self.enc)?,
            tls: certify(CardKey::Slot(KeySlot::Tls), &self.tls)?,
            attestation: certify(CardKey::Attestation, &self.attestation)?,
        })
    }
}

/// Personalises the card that the transport leads to and returns what it then says of itself.
///
/// `identify` gets the card's public keys and returns the GUID and the certificates, DER, that the card is to carry. Nothing
/// of a GUID is on the card before that.
///
/// # Errors
///
/// [`PersonalizationError`] names the step that failed.
pub fn personalize<T, C>(
    transport: T,
    contact: &Contact,
    identify: impl FnOnce(&CardPoints) -> Result<(CardId, Certificates), C>,
) -> Result<CardIdentity, PersonalizationError<T::Error, C>>
where
    T: Transport,
    C: std::error::Error,
{
    let mut transport = transport;
    let found = CardSession::open(&mut transport)?.life_cycle()?;
    if found != LifeCycle::Blank {
        return Err(PersonalizationError::NotBlank { found });
    }
    let mut card = BlankCard { transport };
    let points = CardPoints {
        sig: card.generate(CardKey::Slot(KeySlot::Sig))?,
        enc: card.generate(CardKey::Slot(KeySlot::Enc))?,
        tls: card.generate(CardKey::Slot(KeySlot::Tls))?,
        attestation: card.generate(CardKey::Attestation)?,
    };
    let (guid, certificates) = identify(&points).map_err(PersonalizationError::Certification)?;
    let written = CardIdentity {
        guid,
        certificates,
        contact: contact.clone(),
    };
    card.write(FileId::Guid, guid.to_bytes().to_vec())?;
    for (file, certificate) in [
        (FileId::CertificateSig, &written.certificates.sig),
        (FileId::CertificateEnc, &written.certificates.enc),
        (FileId::CertificateTls, &written.certificates.tls),
        (FileId::CertificateAttestation, &written.certificates.attestation),
    ] {
        card.write(file, certificate.clone())?;
    }
    card.write(FileId::Contact, contact.to_bytes().map_err(CardError::File)?)?;
    // From here on nobody knows what the card is unless it says so itself.
    card.run("ACTIVATE", [0x00, 0x44, 0x00, 0x00], Vec::new())
        .map_err(PersonalizationError::Completion)?;

    let mut session = CardSession::open(card.transport).map_err(PersonalizationError::Completion)?;
    let read = session.identity().map_err(PersonalizationError::Completion)?;
    let state = session.life_cycle().map_err(PersonalizationError::Completion)?;
    if read != written || state != LifeCycle::Personalized {
        return Err(PersonalizationError::ReadBack);
    }
    Ok(read)
}

/// A card while its identity can still be written.
struct BlankCard<T> {
    transport: T,
}

impl<T: Transport> BlankCard<T> {
    fn generate(&mut self, key: CardKey) -> Result<Point, CardError<T::Error>> {
        const COMMAND: &str = "GENERATE ASYMMETRIC KEY PAIR";
        let malformed = || CardError::Answer { command: COMMAND };
        let template = key_template(key).map_err(|_| malformed())?;
        let command = CommandApdu::new(Header::new([0x00, 0x47, 0x80, 0x00]), template).expecting(256);
        let response = execute(&mut self.transport, COMMAND, &command)?;
        let [key] = tlv::exactly(response.data(), [0x7F49]).map_err(|_| malformed())?;
        let [point] = tlv::exactly(key, [0x86]).map_err(|_| malformed())?;
        Point::try_from(point).map_err(|_| malformed())
    }

    fn write(&mut self, file: FileId, content: Vec<u8>) -> Result<(), CardError<T::Error>> {
        let identifier = file.identifier().to_be_bytes().to_vec();
        self.run("SELECT", [0x00, 0xA4, 0x02, 0x0C], identifier)?;
        self.run("UPDATE BINARY", [0x00, 0xD6, 0x00, 0x00], content)
    }

    fn run(&mut self, name: &'static str, header: [u8; 4], data: Vec<u8>) -> Result<(), CardError<T::Error>> {
        let command = CommandApdu::new(Header::new(header), data);
        execute(&mut self.transport, name, &command).map(|_| ())
    }
}
