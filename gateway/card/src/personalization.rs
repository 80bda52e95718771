//! The trust centre's side: a blank card becomes a personalised one.
//!
//! The order is that of SYSTEM.md: identifier, key pairs on the card, certificates, contact,
//! completion. Until the completion the card stays blank and the whole can be repeated; after it
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
    /// The authority did not certify a key of the card.
    #[error("the authority does not certify the card's {key} key")]
    Certification {
        /// The key.
        key: CardKey,
        /// Why not.
        #[source]
        source: C,
    },
    /// The card was completed, but what it holds is not what was written; it is scrap.
    #[error("the completed card holds other data than were written; it is scrap")]
    ReadBack,
}

/// Personalises the card that the transport leads to and returns what it then says of itself.
///
/// `certify` gets each of the card's public keys and returns its certificate, DER.
///
/// # Errors
///
/// [`PersonalizationError`] names the step that failed.
pub fn personalize<T, C>(
    mut transport: T,
    guid: CardId,
    contact: &Contact,
    mut certify: impl FnMut(CardKey, &Point) -> Result<Vec<u8>, C>,
) -> Result<CardIdentity, PersonalizationError<T::Error, C>>
where
    T: Transport,
    C: std::error::Error,
{
    let found = CardSession::open(&mut transport)?.life_cycle()?;
    if found != LifeCycle::Blank {
        return Err(PersonalizationError::NotBlank { found });
    }
    let mut card = BlankCard { transport };
    card.write(FileId::Guid, guid.to_bytes().to_vec())?;
    let mut make = |key, file| {
        let point = card.generate(key)?;
        let certificate =
            certify(key, &point).map_err(|source| PersonalizationError::Certification { key, source })?;
        card.write(file, certificate.clone())?;
        Ok::<_, PersonalizationError<T::Error, C>>(certificate)
    };
    let written = CardIdentity {
        guid,
        certificates: Certificates {
            sig: make(CardKey::Slot(KeySlot::Sig), FileId::CertificateSig)?,
            enc: make(CardKey::Slot(KeySlot::Enc), FileId::CertificateEnc)?,
            tls: make(CardKey::Slot(KeySlot::Tls), FileId::CertificateTls)?,
            attestation: make(CardKey::Attestation, FileId::CertificateAttestation)?,
        },
        contact: contact.clone(),
    };
    card.write(FileId::Contact, contact.to_bytes().map_err(CardError::File)?)?;
    card.run("ACTIVATE", [0x00, 0x44, 0x00, 0x00], Vec::new())?;

    let mut session = CardSession::open(card.transport)?;
    let read = session.identity()?;
    if read != written || session.life_cycle()? != LifeCycle::Personalized {
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
