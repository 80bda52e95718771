//! The gateway's side: a session with the card that is inserted.
//!
//! Every method is one step of what the gateway needs from its card, in the gateway's words; which
//! APDUs that takes is known here alone. All calls block for as long as the card takes. Behind
//! [`CardSession::pair`] every command goes under secure messaging; what ends that is an error, and
//! nothing is sent any more until the pairing is repeated: in clear anybody could answer.

use std::fmt;

use model::{CardId, GatewayId, KeySlot};
use p256::NistP256;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::applet::binding::{receipt_digest, seal_secret};
use crate::applet::keys::{EPHEMERAL, NONCE, PROOF_DOMAIN, reference};
use crate::applet::pairing::PAIRING_SECRET;
use crate::crypto::sha256;
use crate::files::{self, AID, Anchor, BindingFile, Contact, Pairing, Suppliers};
use crate::pace::{Mapping, NonceKey, PROTOCOL, PaceError};
use crate::secure_messaging::{Channel, is_protected};
use crate::tlv;
use crate::transport::{exchange, good};
use crate::{
    CardError, CardKey, CommandApdu, FileId, Header, LifeCycle, Partner, Point, ResponseApdu, SharedSecret,
    Signature, StatusWord, StoreHead, Transport,
};

/// What a card says of itself: GUID, certificates, the trust centre's contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardIdentity {
    /// The GUID.
    pub guid: CardId,
    /// The certificates of SIG, ENC and TLS, DER.
    pub certificates: Certificates,
    /// Whom the card trusts.
    pub contact: Contact,
}

/// The certificates of a card, DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// Of the SIG key.
    pub sig: Vec<u8>,
    /// Of the ENC key.
    pub enc: Vec<u8>,
    /// Of the TLS key.
    pub tls: Vec<u8>,
    /// Of the attestation key.
    pub attestation: Vec<u8>,
}

/// What the gateway hands to the card when it binds itself.
#[derive(Debug)]
pub struct BindOrder {
    /// The gateway's identity.
    pub gateway: GatewayId,
    /// The secret that both share from now on; made once and kept until the binding is burned.
    pub pairing_secret: Zeroizing<[u8; 16]>,
    /// Random bytes that make the card's receipt fresh.
    pub nonce: [u8; NONCE],
}

/// A session with a card. Dropping it leaves the card as it is.
pub struct CardSession<T> {
    transport: T,
    protection: Protection,
}

/// How commands go to the card.
enum Protection {
    /// In clear: the card is not paired yet.
    None,
    /// Under secure messaging.
    On(Channel),
    /// Not at all: secure messaging has ended by an error.
    Ended {
        /// The status word that ended it, if it was one.
        by: Option<StatusWord>,
    },
}

impl<T> fmt::Debug for CardSession<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CardSession")
            .field("paired", &matches!(self.protection, Protection::On(_)))
            .finish_non_exhaustive()
    }
}

impl<T: Transport> CardSession<T> {
    /// Selects the application.
    ///
    /// # Errors
    ///
    /// [`CardError::Refused`] if the card is terminated or is no card of this kind.
    pub fn open(transport: T) -> Result<Self, CardError<T::Error>> {
        let mut session = Self {
            transport,
            protection: Protection::None,
        };
        session.run("SELECT", [0x00, 0xA4, 0x04, 0x0C], AID.to_vec())?;
        Ok(session)
    }

    /// Reads GUID, certificates and contact.
    ///
    /// # Errors
    ///
    /// [`CardError::Refused`] if the card is blank.
    pub fn identity(&mut self) -> Result<CardIdentity, CardError<T::Error>> {
        Ok(CardIdentity {
            guid: files::parse_guid(&self.read(FileId::Guid)?)?,
            certificates: Certificates {
                sig: self.read(FileId::CertificateSig)?,
                enc: self.read(FileId::CertificateEnc)?,
                tls: self.read(FileId::CertificateTls)?,
                attestation: self.read(FileId::CertificateAttestation)?,
            },
            contact: self.contact()?,
        })
    }

    /// Reads whom the card trusts.
    ///
    /// # Errors
    ///
    /// [`CardError::Refused`] if the card is blank.
    pub fn contact(&mut self) -> Result<Contact, CardError<T::Error>> {
        Ok(Contact::parse(&self.read(FileId::Contact)?)?)
    }

    /// Reads the life cycle.
    ///
    /// # Errors
    ///
    /// [`CardError`] if the card cannot be reached or refuses.
    pub fn life_cycle(&mut self) -> Result<LifeCycle, CardError<T::Error>> {
        Ok(files::parse_life_cycle(&self.read(FileId::State)?)?)
    }

    /// Reads which gateway the card is bound to, if any, and whether that one has confirmed.
    ///
    /// # Errors
    ///
    /// [`CardError`] if the card cannot be reached or refuses.
    pub fn bound_to(&mut self) -> Result<Option<(GatewayId, bool)>, CardError<T::Error>> {
        if self.life_cycle()? < LifeCycle::Bound {
            return Ok(None);
        }
        let binding = BindingFile::parse(&self.read(FileId::Binding)?)?;
        Ok(Some((binding.gateway, binding.confirmed)))
    }

    /// Reads how often the card has been paired and how many tries are left.
    ///
    /// # Errors
    ///
    /// [`CardError::Refused`] if the card is not bound.
    pub fn pairing(&mut self) -> Result<Pairing, CardError<T::Error>> {
        Ok(Pairing::parse(&self.read(FileId::Pairing)?)?)
    }

    /// Returns whether commands go under secure messaging.
    #[must_use]
    pub const fn is_paired(&self) -> bool {
        matches!(self.protection, Protection::On(_))
    }

    /// Pairs with the card: both prove that they know the secret, and what follows goes under secure
    /// messaging until either end has lost its power or anything was wrong with a message. From then on
    /// every method but this one fails with [`CardError::NotSent`].
    ///
    /// # Errors
    ///
    /// [`CardError::Refused`] with [`StatusWord::tries`] if the card does not take the secret, and with
    /// [`StatusWord::BLOCKED`] if it takes none any more; [`CardError::Pairing`] if the card does not
    /// know it.
    ///
    /// Spec: BSI TR-03110-3, sections A.3 and B.1.
    pub fn pair(&mut self, secret: &[u8; 16], random: &mut dyn CryptoRng) -> Result<(), CardError<T::Error>> {
        self.protection = Protection::None;
        let choice = encode([(0x80, &PROTOCOL[..]), (0x83, &[PAIRING_SECRET])])?;
        self.run("MANAGE SECURITY ENVIRONMENT", [0x00, 0x22, 0xC1, 0xA4], choice)?;
        let nonce = self.pairing_step(CHAINED, None, 0x80)?;
        let nonce = nonce
            .as_slice()
            .try_into()
            .map_err(|_| CardError::Answer { command: PACE })?;
        let mapping = Mapping::<NistP256>::begin(NonceKey::new(secret).decrypt(nonce), random);
        let peer = self.pairing_step(CHAINED, Some((0x81, &mapping.public())), 0x82)?;
        let agreement = mapping.map(&peer, random).map_err(pairing_error)?;
        let peer = self.pairing_step(CHAINED, Some((0x83, &agreement.public())), 0x84)?;
        let agreed = agreement.agree(&peer).map_err(pairing_error)?;
        let token = self.pairing_step(LAST, Some((0x85, &agreed.token())), 0x86)?;
        self.protection = Protection::On(agreed.verify(&token).map_err(pairing_error)?);
        Ok(())
    }

    /// Sends one object of the pairing and returns the one that answers it.
    fn pairing_step(
        &mut self,
        class: u8,
        object: Option<(u16, &[u8])>,
        answer: u16,
    ) -> Result<Vec<u8>, CardError<T::Error>> {
        let template = match object {
            Some(object) => encode([object])?,
            None => Vec::new(),
        };
        let data = encode([(0x7C, &template[..])])?;
        let response = self.ask(PACE, [class, 0x86, 0x00, 0x00], data)?;
        let [template] = tlv::exactly(response.data(), [0x7C]).map_err(|_| malformed(PACE))?;
        let [value] = tlv::exactly(template, [answer]).map_err(|_| malformed(PACE))?;
        Ok(value.to_vec())
    }

    /// Reads the head of the gateway's store as the card keeps it.
    ///
    /// # Errors
    ///
    /// [`CardError::Refused`] if the card is not paired.
    pub fn store_head(&mut self) -> Result<StoreHead, CardError<T::Error>> {
        Ok(StoreHead::parse(&self.read(FileId::StoreHead)?)?)
    }

    /// Tells the card the next head of the gateway's store. The one that it keeps already is no error.
    ///
    /// # Errors
    ///
    /// [`CardError::Refused`] if its counter is not one more than that of the card.
    pub fn advance_store_head(&mut self, head: &StoreHead) -> Result<(), CardError<T::Error>> {
        self.select(FileId::StoreHead)?;
        self.run("UPDATE BINARY", [0x00, 0xD6, 0x00, 0x00], head.to_bytes())
    }

    /// Reads version and digest of the bundle that the TSM has put in force.
    ///
    /// # Errors
    ///
    /// [`CardError::Refused`] if the card is not paired.
    pub fn anchor(&mut self) -> Result<Anchor, CardError<T::Error>> {
        Ok(Anchor::parse(&self.read(FileId::Anchor)?)?)
    }

    /// Reads the suppliers that the TSM has unlocked.
    ///
    /// # Errors
    ///
    /// [`CardError::Refused`] if the card is not paired.
    pub fn suppliers(&mut self) -> Result<Suppliers, CardError<T::Error>> {
        Ok(Suppliers::parse(&self.read(FileId::Suppliers)?)?)
    }

    /// Binds the card to the gateway, irreversibly, and checks the card's receipt, which proves that the
    /// card has the secret.
    ///
    /// # Errors
    ///
    /// [`CardError::Refused`] if the card is bound to another gateway (it is terminated then), and
    /// [`CardError::Signature`] if the receipt is not by the card's attestation key.
    pub fn bind(&mut self, order: &BindOrder, identity: &CardIdentity) -> Result<(), CardError<T::Error>> {
        const COMMAND: &str = "BIND";
        let card = crate::applet::access::certificate_key(&identity.certificates.enc);
        let sealed = card.and_then(|card| seal_secret(&order.pairing_secret, &order.nonce, &card));
        let (ephemeral, sealed) = sealed.ok_or(CardError::Answer { command: COMMAND })?;
        let data = encode([
            (0x80, &order.gateway.as_bytes()[..]),
            (0x81, &sealed),
            (0x82, &order.nonce),
            (0x86, &ephemeral.to_bytes()),
        ])?;
        let response = self.ask(COMMAND, [0x80, 0x10, 0x00, 0x00], data)?;
        let malformed = || CardError::Answer { command: COMMAND };
        let [receipt] = tlv::exactly(response.data(), [0x9E]).map_err(|_| malformed())?;
        let receipt = Signature::try_from(receipt).map_err(|_| malformed())?;
        let digest = receipt_digest(
            &identity.guid,
            &order.gateway,
            &order.pairing_secret,
            &order.nonce,
        );
        verify(COMMAND, identity, &digest, &receipt)
    }

    /// Tells the card that the binding has been burned.
    ///
    /// # Errors
    ///
    /// [`CardError::Refused`] if the card is not paired, or bound to another gateway.
    pub fn confirm(&mut self, order: &BindOrder) -> Result<(), CardError<T::Error>> {
        let data = encode([(0x80, &order.gateway.as_bytes()[..])])?;
        self.run("CONFIRM", [0x80, 0x12, 0x00, 0x00], data)
    }

    /// Has the card prove that it holds the private key of its attestation certificate.
    ///
    /// # Errors
    ///
    /// [`CardError::Signature`] if it does not.
    pub fn prove(&mut self, nonce: [u8; NONCE], identity: &CardIdentity) -> Result<(), CardError<T::Error>> {
        const COMMAND: &str = "INTERNAL AUTHENTICATE";
        let response = self.ask(COMMAND, [0x00, 0x88, 0x00, 0x00], nonce.to_vec())?;
        let signature =
            Signature::try_from(response.data()).map_err(|_| CardError::Answer { command: COMMAND })?;
        let digest = sha256(&[PROOF_DOMAIN, &identity.guid.to_bytes(), &nonce]);
        verify(COMMAND, identity, &digest, &signature)
    }

    /// Signs the SHA-256 digest of a message to the partner, with SIG.
    ///
    /// # Errors
    ///
    /// [`CardError::Refused`] if the partner is a supplier that the TSM has not unlocked.
    pub fn sign(&mut self, partner: Partner, digest: &[u8; 32]) -> Result<Signature, CardError<T::Error>> {
        self.sign_with(KeySlot::Sig, partner, digest)
    }

    /// Signs the SHA-256 digest of a TLS handshake, with TLS.
    ///
    /// # Errors
    ///
    /// [`CardError::Refused`] if the card is not bound.
    pub fn sign_handshake(&mut self, digest: &[u8; 32]) -> Result<Signature, CardError<T::Error>> {
        self.sign_with(KeySlot::Tls, Partner::Tsm, digest)
    }

    /// Agrees a key with the ephemeral key of a message that the partner sent, with ENC.
    ///
    /// # Errors
    ///
    /// [`CardError::Refused`] if the point is not on the curve, the card is not bound, or the partner is a
    /// supplier that the TSM has not unlocked.
    pub fn agree(&mut self, partner: Partner, peer: &Point) -> Result<SharedSecret, CardError<T::Error>> {
        let data = key_data(reference(CardKey::Slot(KeySlot::Enc)), partner)?;
        self.run("MANAGE SECURITY ENVIRONMENT", SET_KAT, data)?;
        let response = self.agreement(peer)?;
        let malformed = || CardError::Answer { command: AGREEMENT };
        let [template] = tlv::exactly(response.data(), [0x7C]).map_err(|_| malformed())?;
        let [secret] = tlv::exactly(template, [0x82]).map_err(|_| malformed())?;
        SharedSecret::try_from(secret).map_err(|_| malformed())
    }

    /// Agrees a key with the partner's ENC key, with a key pair that the card makes for it.
    ///
    /// Returns the public key of that pair and the secret.
    ///
    /// # Errors
    ///
    /// [`CardError::Refused`] if the recipient's key is not the one that the card knows for the
    /// partner.
    pub fn agree_ephemeral(
        &mut self,
        partner: Partner,
        recipient: &Point,
    ) -> Result<(Point, SharedSecret), CardError<T::Error>> {
        self.run(
            "MANAGE SECURITY ENVIRONMENT",
            SET_KAT,
            key_data(EPHEMERAL, partner)?,
        )?;
        let response = self.agreement(recipient)?;
        let malformed = || CardError::Answer { command: AGREEMENT };
        let [template] = tlv::exactly(response.data(), [0x7C]).map_err(|_| malformed())?;
        let [point, secret] = tlv::exactly(template, [0x85, 0x82]).map_err(|_| malformed())?;
        let point = Point::try_from(point).map_err(|_| malformed())?;
        let secret = SharedSecret::try_from(secret).map_err(|_| malformed())?;
        Ok((point, secret))
    }

    /// Shows the card a certificate of the TSM, so that it sends messages to that key.
    ///
    /// # Errors
    ///
    /// [`CardError::Refused`] if the certificate is not by the trust centre that the card trusts.
    pub fn introduce_tsm(&mut self, certificate: &[u8]) -> Result<(), CardError<T::Error>> {
        self.run(
            "PSO: VERIFY CERTIFICATE",
            VERIFY_CERTIFICATE,
            certificate.to_vec(),
        )
    }

    /// Passes a command of the TSM to the card and returns the bytes of its answer, refusals too.
    ///
    /// Only the commands of the TSM's access go through, and only with the data objects that belong to them; any other
    /// is answered with 6982 without reaching the card. Whether the TSM's certificate is valid is for the caller to
    /// check, see [`shown_certificate`]: the card has no clock.
    ///
    /// # Errors
    ///
    /// [`CardError::Transport`] if the card cannot be reached, [`CardError::Apdu`] if the bytes are
    /// no command.
    pub fn pass(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, CardError<T::Error>> {
        let command = CommandApdu::parse(command)?;
        if !belongs_to_tsm(&command) {
            return Ok(Zeroizing::new(StatusWord::SECURITY_STATUS.to_bytes().to_vec()));
        }
        Ok(self.exchange("ENVELOPE", &command)?.to_bytes())
    }

    fn sign_with(
        &mut self,
        slot: KeySlot,
        partner: Partner,
        digest: &[u8; 32],
    ) -> Result<Signature, CardError<T::Error>> {
        const COMMAND: &str = "PSO: COMPUTE DIGITAL SIGNATURE";
        let data = key_data(reference(CardKey::Slot(slot)), partner)?;
        self.run("MANAGE SECURITY ENVIRONMENT", [0x00, 0x22, 0x41, 0xB6], data)?;
        let response = self.ask(COMMAND, [0x00, 0x2A, 0x9E, 0x9A], digest.to_vec())?;
        Signature::try_from(response.data()).map_err(|_| CardError::Answer { command: COMMAND })
    }

    fn agreement(&mut self, peer: &Point) -> Result<ResponseApdu, CardError<T::Error>> {
        let template = encode([(0x85, &peer.to_bytes()[..])])?;
        self.ask(
            AGREEMENT,
            [0x00, 0x86, 0x00, 0x00],
            encode([(0x7C, &template[..])])?,
        )
    }

    /// Selects a file and reads all of it.
    fn read(&mut self, file: FileId) -> Result<Vec<u8>, CardError<T::Error>> {
        const COMMAND: &str = "READ BINARY";
        self.select(file)?;
        let command = CommandApdu::new(Header::new([0x00, 0xB0, 0x00, 0x00]), Vec::new()).expecting(65_536);
        let response = self.exchange(COMMAND, &command)?;
        Ok(good(COMMAND, response)?.data().to_vec())
    }

    fn select(&mut self, file: FileId) -> Result<(), CardError<T::Error>> {
        let identifier = file.identifier().to_be_bytes().to_vec();
        self.run("SELECT", [0x00, 0xA4, 0x02, 0x0C], identifier)
    }

    /// Sends a command that expects no data.
    fn run(&mut self, name: &'static str, header: [u8; 4], data: Vec<u8>) -> Result<(), CardError<T::Error>> {
        let command = CommandApdu::new(Header::new(header), data);
        let response = self.exchange(name, &command)?;
        good(name, response).map(|_| ())
    }

    /// Sends a command that expects data.
    fn ask(
        &mut self,
        name: &'static str,
        header: [u8; 4],
        data: Vec<u8>,
    ) -> Result<ResponseApdu, CardError<T::Error>> {
        let command = CommandApdu::new(Header::new(header), data).expecting(256);
        let response = self.exchange(name, &command)?;
        good(name, response)
    }

    /// Returns the secure messaging, for who sends commands of his own.
    pub(crate) fn into_channel(self) -> Option<Channel> {
        match self.protection {
            Protection::On(channel) => Some(channel),
            Protection::None | Protection::Ended { .. } => None,
        }
    }

    /// Sends any command and returns the answer, whatever it says.
    #[cfg(test)]
    pub(crate) fn send_for_test(
        &mut self,
        header: [u8; 4],
        data: Vec<u8>,
    ) -> Result<ResponseApdu, CardError<T::Error>> {
        let command = CommandApdu::new(Header::new(header), data).expecting(256);
        self.exchange("test", &command)
    }

    /// Sends a command, under secure messaging if there is any, and returns the answer whatever it
    /// says. Any error ends secure messaging.
    fn exchange(
        &mut self,
        name: &'static str,
        command: &CommandApdu,
    ) -> Result<ResponseApdu, CardError<T::Error>> {
        let ended = Protection::Ended { by: None };
        let channel = match std::mem::replace(&mut self.protection, ended) {
            Protection::None => {
                self.protection = Protection::None;
                return exchange(&mut self.transport, command);
            }
            Protection::On(channel) => channel,
            Protection::Ended { by } => {
                self.protection = Protection::Ended { by };
                return Err(CardError::NotSent { command: name, by });
            }
        };
        let altered = |_| CardError::Channel { command: name };
        let (channel, protected) = channel.wrap_command(command).map_err(altered)?;
        let answer = exchange(&mut self.transport, &protected)?;
        let status = answer.status();
        if !status.is_ok() {
            self.protection = Protection::Ended { by: Some(status) };
            return Err(CardError::SessionEnded {
                command: name,
                status,
            });
        }
        let (channel, response) = channel.unwrap_response(answer.data()).map_err(altered)?;
        self.protection = Protection::On(channel);
        Ok(response)
    }
}

/// The class of a command that goes on in the next one, and of the last.
const CHAINED: u8 = 0x10;
const LAST: u8 = 0x00;
const PACE: &str = "GENERAL AUTHENTICATE";
const AGREEMENT: &str = "GENERAL AUTHENTICATE";
const SET_KAT: [u8; 4] = [0x00, 0x22, 0x41, 0xA6];
const VERIFY_CERTIFICATE: [u8; 4] = [0x00, 0x2A, 0x00, 0xBE];

/// Returns whether a command is one of the TSM's access, with the data that belong to it: GET CHALLENGE, VERIFY
/// CERTIFICATE, EXTERNAL AUTHENTICATE, GENERAL AUTHENTICATE with the TSM's ephemeral key, and ENVELOPE around a
/// protected command. None of them yields anything without the TSM's signature; GENERAL AUTHENTICATE with any other
/// object would have the gateway's own keys agree a secret, or pair.
fn belongs_to_tsm(command: &CommandApdu) -> bool {
    let data = command.data();
    match command.header().to_bytes() {
        [0x00, 0x84, 0x00, 0x00] => data.is_empty(),
        VERIFY_CERTIFICATE => matches!(data, [0x30, ..]),
        [0x00, 0x82, 0x00, 0x00] => tlv::exactly(data, [0x86, 0x9E])
            .is_ok_and(|[key, signature]| is_point(key) && Signature::try_from(signature).is_ok()),
        [0x00, 0x86, 0x00, 0x00] => tlv::exactly(data, [0x7C])
            .and_then(|[template]| tlv::exactly(template, [0x80]))
            .is_ok_and(|[key]| is_point(key)),
        [0x00, 0xC2, 0x00, 0x00] => CommandApdu::parse(data).is_ok_and(|inner| is_protected(inner.header())),
        _ => false,
    }
}

fn is_point(bytes: &[u8]) -> bool {
    Point::try_from(bytes).is_ok()
}

/// Returns the certificate (DER) that a command of the TSM shows the card, or `None` if the command shows none.
#[must_use]
pub fn shown_certificate(command: &[u8]) -> Option<Vec<u8>> {
    let command = CommandApdu::parse(command).ok()?;
    (command.header().to_bytes() == VERIFY_CERTIFICATE).then(|| command.data().to_vec())
}

const fn malformed<E: std::error::Error>(command: &'static str) -> CardError<E> {
    CardError::Answer { command }
}

/// Whatever goes wrong at this end of the pairing, the card is not who it should be.
const fn pairing_error<E: std::error::Error>(_: PaceError) -> CardError<E> {
    CardError::Pairing
}

/// Returns `84 key [, 83 fingerprint]`.
fn key_data<E: std::error::Error>(key: u8, partner: Partner) -> Result<Vec<u8>, CardError<E>> {
    match partner {
        Partner::Tsm => encode([(0x84, &[key])]),
        Partner::Supplier(fingerprint) => encode([(0x84, &[key][..]), (0x83, fingerprint.as_bytes())]),
    }
}

fn encode<const N: usize, E: std::error::Error>(objects: [(u16, &[u8]); N]) -> Result<Vec<u8>, CardError<E>> {
    tlv::encode(objects).map_err(|_| CardError::Apdu(crate::ApduError::Length))
}

/// Checks a signature of the card with the key of its attestation certificate.
fn verify<E: std::error::Error>(
    command: &'static str,
    identity: &CardIdentity,
    digest: &[u8; 32],
    signature: &Signature,
) -> Result<(), CardError<E>> {
    let key = crate::applet::access::certificate_key(&identity.certificates.attestation);
    if key.is_some_and(|key| key.verifies(digest, signature)) {
        Ok(())
    } else {
        Err(CardError::Signature { command })
    }
}

#[cfg(test)]
mod tests;
