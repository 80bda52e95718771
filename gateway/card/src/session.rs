//! The gateway's side: a session with the card that is inserted.
//!
//! Every method is one step of what the gateway needs from its card, in the gateway's words; which
//! APDUs that takes is known here alone. All calls block for as long as the card takes.

use model::{CardId, GatewayId, KeySlot};
use zeroize::Zeroizing;

use crate::applet::binding::BIND_DOMAIN;
use crate::applet::keys::{EPHEMERAL, NONCE, PROOF_DOMAIN, reference};
use crate::crypto::sha256;
use crate::files::{self, AID, Anchor, BindingFile, Contact, Suppliers};
use crate::tlv;
use crate::transport::execute;
use crate::{
    CardError, CommandApdu, FileId, Header, LifeCycle, Partner, Point, ResponseApdu, SharedSecret, Signature,
    StatusWord, Transport,
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

/// The three certificates of a card, DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// Of the SIG key.
    pub sig: Vec<u8>,
    /// Of the ENC key.
    pub enc: Vec<u8>,
    /// Of the TLS key.
    pub tls: Vec<u8>,
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
#[derive(Debug)]
pub struct CardSession<T> {
    transport: T,
}

impl<T: Transport> CardSession<T> {
    /// Selects the application.
    ///
    /// # Errors
    ///
    /// [`CardError::Refused`] if the card is terminated or is no card of this kind.
    pub fn open(transport: T) -> Result<Self, CardError<T::Error>> {
        let mut session = Self { transport };
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
            },
            contact: Contact::parse(&self.read(FileId::Contact)?)?,
        })
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

    /// Reads version and digest of the bundle that the TSM has put in force.
    ///
    /// # Errors
    ///
    /// [`CardError`] if the card cannot be reached or refuses.
    pub fn anchor(&mut self) -> Result<Anchor, CardError<T::Error>> {
        Ok(Anchor::parse(&self.read(FileId::Anchor)?)?)
    }

    /// Reads the suppliers that the TSM has unlocked.
    ///
    /// # Errors
    ///
    /// [`CardError`] if the card cannot be reached or refuses.
    pub fn suppliers(&mut self) -> Result<Suppliers, CardError<T::Error>> {
        Ok(Suppliers::parse(&self.read(FileId::Suppliers)?)?)
    }

    /// Binds the card to the gateway, irreversibly, and checks the card's receipt.
    ///
    /// # Errors
    ///
    /// [`CardError::Refused`] if the card is bound to another gateway (it is terminated then), and
    /// [`CardError::Signature`] if the receipt is not by the key of the SIG certificate.
    pub fn bind(&mut self, order: &BindOrder, identity: &CardIdentity) -> Result<(), CardError<T::Error>> {
        const COMMAND: &str = "BIND";
        let gateway = order.gateway.as_bytes();
        let secret: &[u8] = order.pairing_secret.as_slice();
        let data = encode([(0x80, gateway), (0x81, secret), (0x82, &order.nonce)])?;
        let response = self.ask(COMMAND, [0x80, 0x10, 0x00, 0x00], data)?;
        let malformed = || CardError::Answer { command: COMMAND };
        let [receipt] = tlv::exactly(response.data(), [0x9E]).map_err(|_| malformed())?;
        let receipt = Signature::try_from(receipt).map_err(|_| malformed())?;
        let digest = sha256(&[BIND_DOMAIN, &identity.guid.to_bytes(), gateway, &order.nonce]);
        verify(COMMAND, identity, &digest, &receipt)
    }

    /// Tells the card that the binding has been burned.
    ///
    /// # Errors
    ///
    /// [`CardError::Refused`] if identity or secret are not those of the binding.
    pub fn confirm(&mut self, order: &BindOrder) -> Result<(), CardError<T::Error>> {
        let secret: &[u8] = order.pairing_secret.as_slice();
        let data = encode([(0x80, order.gateway.as_bytes()), (0x81, secret)])?;
        self.run("CONFIRM", [0x80, 0x12, 0x00, 0x00], data)
    }

    /// Has the card prove that it holds the private key of its SIG certificate.
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

    /// Agrees a key with the ephemeral key of a message's sender, with ENC.
    ///
    /// # Errors
    ///
    /// [`CardError::Refused`] if the point is not on the curve or the card is not bound.
    pub fn agree(&mut self, peer: &Point) -> Result<SharedSecret, CardError<T::Error>> {
        let data = key_data(reference(KeySlot::Enc), Partner::Tsm)?;
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
    /// Only the commands of the TSM's access go through; any other is answered with 6982 without
    /// reaching the card.
    ///
    /// # Errors
    ///
    /// [`CardError::Transport`] if the card cannot be reached, [`CardError::Apdu`] if the bytes are
    /// no command.
    pub fn pass(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, CardError<T::Error>> {
        let header = CommandApdu::parse(command)?.header();
        if !TSM_COMMANDS.contains(&header.to_bytes()) {
            return Ok(Zeroizing::new(StatusWord::SECURITY_STATUS.to_bytes().to_vec()));
        }
        self.transport.transmit(command).map_err(CardError::Transport)
    }

    fn sign_with(
        &mut self,
        slot: KeySlot,
        partner: Partner,
        digest: &[u8; 32],
    ) -> Result<Signature, CardError<T::Error>> {
        const COMMAND: &str = "PSO: COMPUTE DIGITAL SIGNATURE";
        let data = key_data(reference(slot), partner)?;
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
        let identifier = file.identifier().to_be_bytes().to_vec();
        self.run("SELECT", [0x00, 0xA4, 0x02, 0x0C], identifier)?;
        let command = CommandApdu::new(Header::new([0x00, 0xB0, 0x00, 0x00]), Vec::new()).expecting(65_536);
        Ok(execute(&mut self.transport, "READ BINARY", &command)?
            .data()
            .to_vec())
    }

    /// Sends a command that expects no data.
    fn run(&mut self, name: &'static str, header: [u8; 4], data: Vec<u8>) -> Result<(), CardError<T::Error>> {
        let command = CommandApdu::new(Header::new(header), data);
        execute(&mut self.transport, name, &command).map(|_| ())
    }

    /// Sends a command that expects data.
    fn ask(
        &mut self,
        name: &'static str,
        header: [u8; 4],
        data: Vec<u8>,
    ) -> Result<ResponseApdu, CardError<T::Error>> {
        let command = CommandApdu::new(Header::new(header), data).expecting(256);
        execute(&mut self.transport, name, &command)
    }
}

const AGREEMENT: &str = "GENERAL AUTHENTICATE";
const SET_KAT: [u8; 4] = [0x00, 0x22, 0x41, 0xA6];
const VERIFY_CERTIFICATE: [u8; 4] = [0x00, 0x2A, 0x00, 0xBE];

/// The commands of the TSM's access: GET CHALLENGE, VERIFY CERTIFICATE, EXTERNAL AUTHENTICATE,
/// GENERAL AUTHENTICATE (its second half) and ENVELOPE. None of them yields anything without the
/// TSM's signature.
const TSM_COMMANDS: [[u8; 4]; 5] = [
    [0x00, 0x84, 0x00, 0x00],
    VERIFY_CERTIFICATE,
    [0x00, 0x82, 0x00, 0x00],
    [0x00, 0x86, 0x00, 0x00],
    [0x00, 0xC3, 0x00, 0x00],
];

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

/// Checks a signature of the card with the key of its SIG certificate.
fn verify<E: std::error::Error>(
    command: &'static str,
    identity: &CardIdentity,
    digest: &[u8; 32],
    signature: &Signature,
) -> Result<(), CardError<E>> {
    let key = crate::applet::access::certificate_key(&identity.certificates.sig);
    if key.is_some_and(|key| key.verifies(digest, signature)) {
        Ok(())
    } else {
        Err(CardError::Signature { command })
    }
}
