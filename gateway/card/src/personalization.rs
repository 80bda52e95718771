//! The trust centre's side: a blank card becomes a personalised one.
//!
//! The order: key pairs, identifier, certificates, contact, completion. The keys come first, so that the identifier may be
//! made of one of them, and that no identifier is used up by a card that takes no keys. Until the completion the card
//! stays blank and the whole can be repeated; after it the path is closed for good. The result is read back and compared.

use std::fmt;

use model::{CardId, KeySlot};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::applet::life::{IMPORTED, key_template};
use crate::crypto::PrivateKey;
use crate::files::Contact;
use crate::session::{CardIdentity, CardSession, Certificates};
use crate::tlv;
use crate::transport::execute;
use crate::{ApduError, CardError, CardKey, CommandApdu, FileId, Header, LifeCycle, Point, Transport};

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

/// Where the key pairs of a card come from.
#[derive(Debug)]
pub enum KeyOrigin {
    /// The card makes them.
    Card,
    /// They were made elsewhere; the card gets them now, and nobody ever again.
    Imported(Box<ImportedKeys>),
}

/// Key pairs that are made for one card. They are wiped when they are dropped, as they are once the card has them.
pub struct ImportedKeys {
    sig: PrivateKey,
    enc: PrivateKey,
    tls: PrivateKey,
    /// That with which the card attests, unless the card makes it itself.
    attestation: Option<PrivateKey>,
}

/// A number of 32 bytes is not one from 1 to the order of the curve less 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the number for the key {key} is no private key of P-256; have other keys made")]
pub struct ImportedKeyError {
    /// For which key it was meant.
    pub key: CardKey,
}

impl ImportedKeys {
    /// Makes the key pairs SIG, ENC and TLS of random numbers; the card makes the one with which it attests.
    pub fn generate(random: &mut dyn CryptoRng) -> Self {
        Self {
            sig: PrivateKey::generate(random),
            enc: PrivateKey::generate(random),
            tls: PrivateKey::generate(random),
            attestation: None,
        }
    }

    /// Takes all four private keys as numbers of 32 bytes, big-endian, which `number` returns for each. Whoever has made
    /// them vouches for the key with which the card attests, too.
    ///
    /// # Errors
    ///
    /// [`ImportedKeyError`] if a number is no private key.
    pub fn complete(
        mut number: impl FnMut(CardKey) -> Zeroizing<[u8; 32]>,
    ) -> Result<Self, ImportedKeyError> {
        let mut private = |key| PrivateKey::try_from(&*number(key)).map_err(|_| ImportedKeyError { key });
        Ok(Self {
            sig: private(CardKey::Slot(KeySlot::Sig))?,
            enc: private(CardKey::Slot(KeySlot::Enc))?,
            tls: private(CardKey::Slot(KeySlot::Tls))?,
            attestation: Some(private(CardKey::Attestation)?),
        })
    }
}

impl fmt::Debug for ImportedKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ImportedKeys")
    }
}

/// The public keys of a card.
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
/// Key pairs that were made elsewhere go to the card in clear, as everything does while it is blank: whoever holds it
/// then could write other ones. So this is for a place where nobody listens to the reader.
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
    keys: KeyOrigin,
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
    let points = card.take_keys(keys)?;
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
    // From here on nobody knows what the card is unless it says so itself, as it does when it refuses.
    card.run("ACTIVATE", [0x00, 0x44, 0x00, 0x00], Vec::new())
        .map_err(|error| match error {
            refused @ CardError::Refused { .. } => PersonalizationError::Card(refused),
            error => PersonalizationError::Completion(error),
        })?;

    let mut session = CardSession::open(card.transport).map_err(PersonalizationError::Completion)?;
    let read = session.identity().map_err(PersonalizationError::Completion)?;
    let state = session.life_cycle().map_err(PersonalizationError::Completion)?;
    if read != written || state != LifeCycle::Personalized {
        return Err(PersonalizationError::ReadBack);
    }
    Ok(read)
}

/// The greatest length of an imported key pair with its headers. It is set aside at once, so that the private key is not
/// left behind where a growing buffer stood.
const MAX_IMPORT: usize = 160;

/// A card while its identity can still be written.
struct BlankCard<T> {
    transport: T,
}

impl<T: Transport> BlankCard<T> {
    /// Has the card make its keys, or gives them to it.
    fn take_keys(&mut self, keys: KeyOrigin) -> Result<CardPoints, CardError<T::Error>> {
        let [sig, enc, tls] = [KeySlot::Sig, KeySlot::Enc, KeySlot::Tls].map(CardKey::Slot);
        match keys {
            KeyOrigin::Card => Ok(CardPoints {
                sig: self.generate(sig)?,
                enc: self.generate(enc)?,
                tls: self.generate(tls)?,
                attestation: self.generate(CardKey::Attestation)?,
            }),
            KeyOrigin::Imported(pairs) => Ok(CardPoints {
                sig: self.import(sig, &pairs.sig)?,
                enc: self.import(enc, &pairs.enc)?,
                tls: self.import(tls, &pairs.tls)?,
                attestation: match &pairs.attestation {
                    Some(pair) => self.import(CardKey::Attestation, pair)?,
                    None => self.generate(CardKey::Attestation)?,
                },
            }),
        }
    }

    /// Gives a key pair to the card, which checks that private key and point belong together.
    fn import(&mut self, name: CardKey, key: &PrivateKey) -> Result<Point, CardError<T::Error>> {
        let (private, point) = (key.to_bytes(), key.point().to_bytes());
        let mut pair = Zeroizing::new([0; PrivateKey::LENGTH + Point::LENGTH]);
        let bytes = private.iter().chain(&point).copied();
        pair.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
        let too_long = |_| CardError::Apdu(ApduError::Length);
        let mut list = Zeroizing::new(Vec::with_capacity(MAX_IMPORT));
        list.extend(key_template(name).map_err(too_long)?);
        tlv::push(&mut list, 0x7F48, IMPORTED).map_err(too_long)?;
        tlv::push(&mut list, 0x5F48, pair.as_slice()).map_err(too_long)?;
        let data = tlv::encode([(0x4D, list.as_slice())]).map_err(too_long)?;
        self.run("PUT DATA", [0x00, 0xDB, 0x3F, 0xFF], data)?;
        Ok(key.point())
    }

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
