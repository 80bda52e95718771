//! The TSM's side: authentication to the card itself, and the channel that ends on it.
//!
//! The commands travel through the gateway's software, so this is a machine without I/O: each step
//! takes the card's answers and returns the next commands. The steps are types, and each can only
//! be taken once and in order.

use model::CardId;
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;

use crate::applet::CHALLENGE;
use crate::applet::access::{authentication_digest, channel_digest};
use crate::crypto::PrivateKey;
use crate::files::{Anchor, Suppliers};
use crate::secure_messaging::{Channel, SmError};
use crate::tlv;
use crate::{CommandApdu, FileId, Header, Point, ResponseApdu, Signature, StatusWord};

/// The reason why the TSM and the card do not come together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TsmError {
    /// The number of answers is not that of the commands.
    #[error("the card gave {found} answers to {expected} commands")]
    Answers {
        /// The number of commands.
        expected: usize,
        /// The number of answers.
        found: usize,
    },
    /// The card refused a command.
    #[error("the card refuses {command}: {status}")]
    Refused {
        /// What the card was to do.
        command: &'static str,
        /// What it answered.
        status: StatusWord,
    },
    /// An answer has not the form that the command asks for.
    #[error("the card answers {command} with malformed data")]
    Malformed {
        /// What the card was to do.
        command: &'static str,
    },
    /// What answers is not the card: it does not hold the attestation key of the card's certificate.
    #[error("what answers does not hold the attestation key of the card's certificate: it is not the card")]
    Attestation,
    /// The card has not agreed the same keys.
    #[error("the card's token does not verify: it has not agreed the same keys")]
    Token,
    /// A protected answer was altered, replayed or reordered on the way.
    #[error("an answer of the card was altered on the way")]
    Channel,
}

impl From<SmError> for TsmError {
    fn from(_: SmError) -> Self {
        Self::Channel
    }
}

/// The key of a card's attestation certificate, which the TSM has from the trust centre's own books.
///
/// Not what the gateway shows: the certificate is of the same kind as that of SIG, with which the
/// gateway has anything signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttestationKey(Point);

impl AttestationKey {
    /// Takes the point for the card's attestation key.
    #[must_use]
    pub const fn new(point: Point) -> Self {
        Self(point)
    }
}

/// First step: the card has been asked for a challenge.
#[derive(Debug)]
pub struct AwaitingChallenge {
    guid: CardId,
    attestation: AttestationKey,
}

/// Second step: the TSM has signed the challenge and awaits the card's token.
pub struct AwaitingToken {
    guid: CardId,
    attestation: AttestationKey,
    challenge: [u8; CHALLENGE],
    ephemeral: PrivateKey,
}

/// The channel that ends on the card: commands of the TSM alone go through it.
pub struct TsmChannel {
    sending: Channel,
    receiving: Channel,
}

/// Begins: returns the first step and the commands that belong to it.
#[must_use]
pub fn begin(guid: CardId, attestation: AttestationKey) -> (AwaitingChallenge, Vec<CommandApdu>) {
    let challenge = CommandApdu::new(Header::new([0x00, 0x84, 0x00, 0x00]), Vec::new()).expecting(CHALLENGE);
    (AwaitingChallenge { guid, attestation }, vec![challenge])
}

impl AwaitingChallenge {
    /// Takes the challenge and returns the commands that answer it.
    ///
    /// `certificate` is the TSM's SIG certificate (DER), `sign` signs with its key.
    ///
    /// # Errors
    ///
    /// [`TsmError`] if the card refused, or the error of `sign`.
    pub fn answer<E: From<TsmError>>(
        self,
        answers: &[ResponseApdu],
        certificate: &[u8],
        random: &mut dyn CryptoRng,
        sign: impl FnOnce(&[u8; 32]) -> Result<Signature, E>,
    ) -> Result<(AwaitingToken, Vec<CommandApdu>), E> {
        const COMMAND: &str = "GET CHALLENGE";
        let [challenge] = good(answers, [COMMAND])?;
        let challenge = challenge
            .try_into()
            .map_err(|_| TsmError::Malformed { command: COMMAND })?;
        let Self { guid, attestation } = self;
        let ephemeral = PrivateKey::generate(random);
        let point = ephemeral.point();
        let signature = sign(&authentication_digest(&challenge, &guid, &point, &attestation.0))?;
        let point = point.to_bytes();
        let authentication = encode([(0x86, &point), (0x9E, signature.as_bytes())])?;
        let agreement = encode([(0x7C, &encode([(0x80, &point)])?)])?;
        let command = |header, data| CommandApdu::new(Header::new(header), data);
        let commands = vec![
            command([0x00, 0x2A, 0x00, 0xBE], certificate.to_vec()),
            command([0x00, 0x82, 0x00, 0x00], authentication),
            command([0x00, 0x86, 0x00, 0x00], agreement).expecting(256),
        ];
        let next = AwaitingToken {
            guid,
            attestation,
            challenge,
            ephemeral,
        };
        Ok((next, commands))
    }
}

impl AwaitingToken {
    /// Takes the card's ephemeral key and token, and opens the channel.
    ///
    /// # Errors
    ///
    /// [`TsmError::Attestation`] if the card has not signed for that key, [`TsmError::Token`] if it has
    /// agreed other keys.
    pub fn open(self, answers: &[ResponseApdu]) -> Result<TsmChannel, TsmError> {
        const AGREEMENT: &str = "GENERAL AUTHENTICATE";
        const MALFORMED: TsmError = TsmError::Malformed { command: AGREEMENT };
        let names = ["PSO: VERIFY CERTIFICATE", "EXTERNAL AUTHENTICATE", AGREEMENT];
        let [_, _, agreement] = good(answers, names)?;
        let [template] = tlv::exactly(agreement, [0x7C]).map_err(|_| MALFORMED)?;
        let [card, token, signature] = tlv::exactly(template, [0x81, 0x82, 0x9E]).map_err(|_| MALFORMED)?;
        let card = Point::try_from(card).map_err(|_| MALFORMED)?;
        let signature = Signature::try_from(signature).map_err(|_| MALFORMED)?;
        let own = self.ephemeral.point();
        let digest = channel_digest(&self.challenge, &self.guid, &own, &card);
        if !self.attestation.0.verifies(&digest, &signature) {
            return Err(TsmError::Attestation);
        }
        let channel = Channel::new(self.ephemeral.agree(&card).as_bytes(), &[]);
        if !bool::from(channel.token(&own.to_bytes()).as_slice().ct_eq(token)) {
            return Err(TsmError::Token);
        }
        Ok(TsmChannel {
            sending: channel.clone(),
            receiving: channel,
        })
    }
}

impl TsmChannel {
    /// Protects commands that put a bundle in force: its version and digest, then its suppliers.
    ///
    /// # Errors
    ///
    /// [`TsmError::Malformed`] if the content does not fit an APDU.
    pub fn install(
        self,
        anchor: &Anchor,
        suppliers: &Suppliers,
    ) -> Result<(Self, Vec<CommandApdu>), TsmError> {
        let select = |file: FileId| {
            let identifier = file.identifier().to_be_bytes().to_vec();
            CommandApdu::new(Header::new([0x00, 0xA4, 0x02, 0x0C]), identifier)
        };
        let update = |content| CommandApdu::new(Header::new([0x00, 0xD6, 0x00, 0x00]), content);
        self.protect(&[
            select(FileId::Anchor),
            update(anchor.to_bytes()),
            select(FileId::Suppliers),
            update(suppliers.to_bytes()),
        ])
    }

    /// Checks that the card has carried out what [`TsmChannel::install`] told it.
    ///
    /// # Errors
    ///
    /// [`TsmError::Refused`] if the card holds a newer bundle, [`TsmError::Channel`] if an answer
    /// was altered on the way.
    pub fn installed(self, answers: &[ResponseApdu]) -> Result<Self, TsmError> {
        let names = [
            "SELECT",
            "UPDATE BINARY (anchor)",
            "SELECT",
            "UPDATE BINARY (suppliers)",
        ];
        self.carried_out(answers, names)
    }

    /// Protects the command that gives all tries of the pairing back, for a card that somebody has
    /// tried out.
    ///
    /// # Errors
    ///
    /// [`TsmError::Channel`] if the channel is worn out.
    pub fn unlock_pairing(self) -> Result<(Self, Vec<CommandApdu>), TsmError> {
        let header = Header::new([0x00, 0x2C, 0x03, 0x03]);
        self.protect(&[CommandApdu::new(header, Vec::new())])
    }

    /// Checks that the card has carried out what [`TsmChannel::unlock_pairing`] told it.
    ///
    /// # Errors
    ///
    /// As for [`TsmChannel::installed`].
    pub fn pairing_unlocked(self, answers: &[ResponseApdu]) -> Result<Self, TsmError> {
        self.carried_out(answers, ["RESET RETRY COUNTER"])
    }

    /// Protects the command that ends the card's life for good.
    ///
    /// # Errors
    ///
    /// [`TsmError::Channel`] if the channel is worn out.
    pub fn terminate(self) -> Result<(Self, Vec<CommandApdu>), TsmError> {
        let header = Header::new([0x00, 0xFE, 0x00, 0x00]);
        self.protect(&[CommandApdu::new(header, Vec::new())])
    }

    /// Checks that the card has carried out what [`TsmChannel::terminate`] told it.
    ///
    /// # Errors
    ///
    /// As for [`TsmChannel::installed`].
    pub fn terminated(self, answers: &[ResponseApdu]) -> Result<(), TsmError> {
        self.carried_out(answers, ["TERMINATE CARD USAGE"]).map(|_| ())
    }

    /// Protects any commands.
    #[cfg(test)]
    pub(crate) fn send_for_test(self, commands: &[CommandApdu]) -> (Self, Vec<CommandApdu>) {
        self.protect(commands).unwrap()
    }

    /// Opens the answers to [`TsmChannel::send_for_test`], whatever they say, and returns the last one.
    #[cfg(test)]
    pub(crate) fn opened_for_test(self, answers: &[ResponseApdu]) -> Option<ResponseApdu> {
        let (mut receiving, mut last) = (self.receiving, None);
        for answer in answers.iter().filter(|answer| answer.status().is_ok()) {
            let (next, response) = receiving.skip().ok()?.unwrap_response(answer.data()).ok()?;
            (receiving, last) = (next, Some(response));
        }
        last
    }

    /// Opens the protected answers and checks that each of them is good.
    fn carried_out<const N: usize>(
        self,
        answers: &[ResponseApdu],
        names: [&'static str; N],
    ) -> Result<Self, TsmError> {
        let Self {
            sending,
            mut receiving,
        } = self;
        for (bytes, command) in good(answers, ["ENVELOPE"; N])?.into_iter().zip(names) {
            let (next, response) = receiving.skip()?.unwrap_response(bytes)?;
            if !response.status().is_ok() {
                let status = response.status();
                return Err(TsmError::Refused { command, status });
            }
            receiving = next;
        }
        Ok(Self { sending, receiving })
    }

    fn protect(self, commands: &[CommandApdu]) -> Result<(Self, Vec<CommandApdu>), TsmError> {
        let Self {
            mut sending,
            receiving,
        } = self;
        let mut envelopes = Vec::with_capacity(commands.len());
        for command in commands {
            let (next, protected) = sending.wrap_command(command)?;
            let bytes = protected.to_bytes().map_err(|_| TsmError::Channel)?;
            let header = Header::new([0x00, 0xC2, 0x00, 0x00]);
            envelopes.push(CommandApdu::new(header, bytes.to_vec()).expecting(65_536));
            sending = next.skip()?;
        }
        Ok((Self { sending, receiving }, envelopes))
    }
}

/// Returns the data of the answers, if there are as many as commands and all are good.
fn good<'a, const N: usize>(
    answers: &'a [ResponseApdu],
    commands: [&'static str; N],
) -> Result<[&'a [u8]; N], TsmError> {
    for (answer, command) in answers.iter().zip(commands) {
        if !answer.status().is_ok() {
            let status = answer.status();
            return Err(TsmError::Refused { command, status });
        }
    }
    let mut data: [&[u8]; N] = [&[]; N];
    if answers.len() != N {
        return Err(TsmError::Answers {
            expected: N,
            found: answers.len(),
        });
    }
    for (data, answer) in data.iter_mut().zip(answers) {
        *data = answer.data();
    }
    Ok(data)
}

fn encode<const N: usize>(objects: [(u16, &[u8]); N]) -> Result<Vec<u8>, TsmError> {
    tlv::encode(objects).map_err(|_| TsmError::Channel)
}

impl std::fmt::Debug for AwaitingToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("AwaitingToken")
    }
}

impl std::fmt::Debug for TsmChannel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("TsmChannel")
    }
}
