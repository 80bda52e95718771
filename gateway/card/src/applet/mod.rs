//! The card side: one function from command to answer over a state that its holder persists.
//!
//! The applet is the specification of the card. It knows nothing of who holds it: a soft card
//! gives it a file, a test gives it a variable, and neither can change what it answers.

pub(crate) mod access;
pub(crate) mod binding;
pub(crate) mod keys;
pub(crate) mod life;
mod state;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::commands;
use crate::{Command, CommandApdu, FileId, LifeCycle, Point, Reach, ResponseApdu, StatusWord};

use access::TsmAccess;
use keys::KeyUse;
pub use keys::Partner;
pub use state::{CardState, CardStateError};

/// A card that has power: its persistent state and what it forgets at the next reset.
#[derive(Debug)]
pub struct Applet {
    state: CardState,
    session: Session,
}

/// What the card answers, and whether its state must be written down before the answer is given.
#[derive(Debug)]
pub struct Answer {
    /// The response APDU's bytes.
    pub response: Zeroizing<Vec<u8>>,
    /// Whether [`Applet::state`] has changed. The holder persists it, then hands out the response;
    /// if it cannot, it drops the applet and the response with it.
    pub changed: bool,
}

/// What a card forgets at every reset.
#[derive(Debug, Default)]
struct Session {
    selected_file: Option<FileId>,
    key: Option<KeyUse>,
    challenge: Option<[u8; CHALLENGE]>,
    tsm: TsmAccess,
}

/// The length of a challenge in bytes: as many as make a repetition unthinkable.
const CHALLENGE: usize = 16;

/// What a command yields: the data of a good answer, or the status word of a refusal.
type Outcome = Result<Vec<u8>, StatusWord>;

impl Applet {
    /// Gives power to a card.
    #[must_use]
    pub fn power_on(state: CardState) -> Self {
        Self {
            state,
            session: Session::default(),
        }
    }

    /// Returns the state that must survive.
    #[must_use]
    pub const fn state(&self) -> &CardState {
        &self.state
    }

    /// Carries out one command.
    ///
    /// Whatever the bytes are, there is an answer, and a command that is refused changes nothing,
    /// but for an attempt to bind a bound card to another gateway, which terminates it.
    pub fn process(&mut self, command: &[u8], random: &mut dyn CryptoRng) -> Answer {
        let before = self.state.revision();
        let response = self.respond(command, random);
        Answer {
            response: response.to_bytes(),
            changed: self.state.revision() != before,
        }
    }

    fn respond(&mut self, command: &[u8], random: &mut dyn CryptoRng) -> ResponseApdu {
        let outcome = CommandApdu::parse(command)
            .map_err(|_| StatusWord::WRONG_LENGTH)
            .and_then(|command| self.dispatch(&command, Reach::Anyone, random));
        match outcome {
            Ok(data) => ResponseApdu::ok(data),
            Err(status) => ResponseApdu::status_only(status),
        }
    }

    /// Finds the command in the table and carries it out.
    fn dispatch(&mut self, command: &CommandApdu, reach: Reach, random: &mut dyn CryptoRng) -> Outcome {
        if self.state.life_cycle() == LifeCycle::Terminated {
            return Err(StatusWord::TERMINATED);
        }
        let header = command.header();
        if header.cla == CHAINED {
            return Err(StatusWord::CHAINING_NOT_SUPPORTED);
        }
        let data = command.data();
        match commands::find(header, reach, self.state.life_cycle())? {
            Command::SelectApplication => self.select_application(data),
            Command::SelectFile => self.select_file(data, reach),
            Command::ReadBinary => self.read_binary(command, reach),
            Command::UpdateBinary => self.update_binary(command, reach),
            Command::GenerateKeyPair => self.generate_key_pair(data, random),
            Command::Activate => self.activate(),
            Command::Bind => self.bind(data),
            Command::ConfirmBinding => self.confirm_binding(data),
            Command::ChooseSignatureKey => self.choose_signature_key(data),
            Command::ChooseAgreementKey => self.choose_agreement_key(data),
            Command::ComputeSignature => self.compute_signature(data),
            Command::GeneralAuthenticate => self.general_authenticate(data, random),
            Command::InternalAuthenticate => self.internal_authenticate(data),
            Command::GetChallenge => self.challenge(random),
            Command::VerifyCertificate => self.verify_certificate(data),
            Command::ExternalAuthenticate => self.external_authenticate(data),
            Command::Envelope => self.envelope(data, random),
            Command::Terminate => self.terminate(),
        }
    }

    /// Returns the trust centre's key, which the card holds from its personalisation on.
    fn trust_centre_key(&self) -> Result<Point, StatusWord> {
        let contact = self.state.contact().ok_or(StatusWord::CONDITIONS)?;
        access::certificate_key(&contact.certificate).ok_or(StatusWord::CONDITIONS)
    }
}

/// The class byte of a command that continues in the next one.
const CHAINED: u8 = 0x10;
