//! The card side: one function from command to answer over a state that its holder persists.
//!
//! The applet is the specification of the card. It knows nothing of who holds it: a soft card
//! gives it a file, a test gives it a variable, and neither can change what it answers.

pub(crate) mod access;
pub(crate) mod binding;
mod completion;
pub(crate) mod keys;
pub(crate) mod life;
pub(crate) mod pairing;
mod state;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod transmission;

use std::fmt;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::commands;
use crate::secure_messaging::{Channel, is_protected};
use crate::{Command, CommandApdu, FileId, LifeCycle, Point, Reach, ResponseApdu, StatusWord};

use access::TsmAccess;
use keys::KeyUse;
pub use keys::{CardKey, Partner};
use pairing::PairingStep;
pub use state::{CardState, CardStateError};
use transmission::{Received, Transmission};

/// A card that has power: its persistent state and what it forgets at the next reset.
#[derive(Debug)]
pub struct Applet {
    state: CardState,
    /// The revision of the state that the holder has.
    written: u64,
    session: Session,
    transmission: Transmission,
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
#[derive(Default)]
struct Session {
    /// The secure messaging with the gateway, once the pairing is done.
    paired: Option<Channel>,
    pairing: Option<PairingStep>,
    selected_file: Option<FileId>,
    key: Option<KeyUse>,
    challenge: Option<[u8; CHALLENGE]>,
    tsm: TsmAccess,
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("paired", &self.paired.is_some())
            .field("selected_file", &self.selected_file)
            .field("key", &self.key)
            .field("tsm", &self.tsm)
            .finish_non_exhaustive()
    }
}

/// The length of a challenge in bytes: as many as make a repetition unthinkable.
pub(crate) const CHALLENGE: usize = 16;

/// What a command yields: the data of a good answer, or the status word of a refusal.
type Outcome = Result<Vec<u8>, StatusWord>;

impl Applet {
    /// Gives power to a card. One that was cut off while it died goes on dying, and says so in its first
    /// answer.
    #[must_use]
    pub fn power_on(mut state: CardState) -> Self {
        let written = state.revision();
        state.go_on_dying();
        Self {
            state,
            written,
            session: Session::default(),
            transmission: Transmission::default(),
        }
    }

    /// Returns the state that must survive.
    #[must_use]
    pub const fn state(&self) -> &CardState {
        &self.state
    }

    /// Carries out one command.
    ///
    /// Whatever the bytes are, there is an answer. A command that is refused changes nothing that
    /// survives a reset, with two exceptions: a wrong secret uses up a try, and the attempt to bind a
    /// bound card to another gateway terminates it.
    pub fn process(&mut self, command: &[u8], random: &mut dyn CryptoRng) -> Answer {
        let response = self.respond(command, random);
        if self.state.life_cycle() == LifeCycle::Terminated {
            // Nothing is left of a dead card, nor of whom it spoke with.
            self.session = Session::default();
            self.transmission = Transmission::default();
        }
        let revision = self.state.revision();
        let written = std::mem::replace(&mut self.written, revision);
        Answer {
            response: response.to_bytes(),
            changed: revision != written,
        }
    }

    fn respond(&mut self, command: &[u8], random: &mut dyn CryptoRng) -> ResponseApdu {
        if self.state.life_cycle() == LifeCycle::Terminated {
            return ResponseApdu::status_only(StatusWord::TERMINATED);
        }
        let received = CommandApdu::parse(command)
            .map_err(|_| StatusWord::WRONG_LENGTH)
            .and_then(|command| self.transmission.receive(command));
        match received {
            Ok(Received::Part) => ResponseApdu::ok(Vec::new()),
            Ok(Received::Rest(rest)) => rest,
            Ok(Received::Whole(command)) => {
                let response = if is_protected(command.header()) {
                    self.unprotect(&command, random)
                } else {
                    // Who speaks in clear is not the gateway.
                    self.end_pairing();
                    response(self.dispatch(&command, Reach::Anyone, random))
                };
                self.transmission.send(response, command.expected())
            }
            Err(status) => {
                // A reader that expects a wrong number of bytes asks again. Whatever else does not even
                // come to a command is a message that was cut or broken up on the way.
                if status.exact().is_none() {
                    self.end_pairing();
                }
                ResponseApdu::status_only(status)
            }
        }
    }

    /// Ends the session with the gateway, if there is one, and forgets everything that belongs to it.
    fn end_pairing(&mut self) {
        if self.session.paired.is_some() {
            self.session = Session::default();
        }
    }

    /// Carries out a command that comes under the gateway's secure messaging. Any error in the
    /// protection ends the session.
    fn unprotect(&mut self, command: &CommandApdu, random: &mut dyn CryptoRng) -> ResponseApdu {
        let Some(channel) = self.session.paired.take() else {
            return ResponseApdu::status_only(StatusWord::SECURITY_STATUS);
        };
        let answered = channel.unwrap_command(command).and_then(|(channel, command)| {
            let response = response(self.dispatch(&command, Reach::Gateway, random));
            channel.wrap_response(&response)
        });
        match answered {
            Ok((channel, protected)) => {
                self.session.paired = Some(channel);
                ResponseApdu::ok(protected)
            }
            Err(error) => {
                self.session = Session::default();
                ResponseApdu::status_only(error.status())
            }
        }
    }

    /// Finds the command in the table and carries it out.
    fn dispatch(&mut self, command: &CommandApdu, reach: Reach, random: &mut dyn CryptoRng) -> Outcome {
        if self.state.life_cycle() == LifeCycle::Terminated {
            return Err(StatusWord::TERMINATED);
        }
        let (header, data) = (command.header(), command.data());
        let meant = (header.ins == GENERAL_AUTHENTICATE).then(|| self.meaning_of_general_authenticate(data));
        match commands::find(header, meant, reach, self.state.life_cycle())? {
            Command::SelectApplication => self.select_application(data),
            Command::SelectFile => self.select_file(data, reach),
            Command::ReadBinary => self.read_binary(command, reach),
            Command::UpdateBinary => self.update_binary(command, reach),
            Command::GenerateKeyPair => self.generate_key_pair(data, random),
            Command::ImportKeyPair => self.import_key_pair(data),
            Command::Activate => self.activate(),
            Command::Bind => self.bind(data),
            Command::ChoosePairing => self.choose_pairing(data),
            Command::Pair => self.pair(data, random),
            Command::ConfirmBinding => self.confirm_binding(data),
            Command::ChooseSignatureKey => self.choose_signature_key(data),
            Command::ChooseAgreementKey => self.choose_agreement_key(data),
            Command::ComputeSignature => self.compute_signature(data),
            Command::AgreeKey => self.agree_key(data, random),
            Command::InternalAuthenticate => self.internal_authenticate(data),
            Command::GetChallenge => self.challenge(command.expected(), random),
            Command::VerifyCertificate => self.verify_certificate(data),
            Command::ExternalAuthenticate => self.external_authenticate(data),
            Command::AgreeWithTsm => self.open_tsm_channel(data, random),
            Command::Envelope => self.envelope(data, random),
            Command::ResetRetryCounter => self.reset_retry_counter(),
            Command::Terminate => self.terminate(),
            // It is answered where answers are cut; inside a channel there is nothing to fetch.
            Command::GetResponse => Err(StatusWord::CONDITIONS),
        }
    }

    /// Returns the trust centre's key, which the card holds from its personalisation on.
    fn trust_centre_key(&self) -> Result<Point, StatusWord> {
        let contact = self.state.contact().ok_or(StatusWord::CONDITIONS)?;
        access::certificate_key(&contact.certificate).ok_or(StatusWord::CONDITIONS)
    }
}

const GENERAL_AUTHENTICATE: u8 = 0x86;

fn response(outcome: Outcome) -> ResponseApdu {
    match outcome {
        Ok(data) => ResponseApdu::ok(data),
        Err(status) => ResponseApdu::status_only(status),
    }
}
