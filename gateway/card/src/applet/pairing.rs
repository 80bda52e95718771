//! The pairing: after every reset a bound card and its gateway prove to each other that they share the
//! secret, and agree the keys of secure messaging.
//!
//! The steps come in order, and whatever goes wrong ends the run. A wrong secret uses up a try. The try
//! is gone with the third step, whose answer the holder hands out only when that is written down; so
//! whoever takes the power away while the tokens are compared in the fourth has lost it already.
//!
//! Spec: BSI TR-03110-3, sections A.3 and B.1 (PACE).

use p256::NistP256;
use rand_core::CryptoRng;

use super::keys::dynamic_authentication;
use super::{Applet, Outcome, Session};
use crate::StatusWord;
use crate::pace::{Agreed, Agreement, Mapping, Nonce, NonceKey, PROTOCOL, PaceError};
use crate::tlv;

/// The reference of the pairing secret in MANAGE SECURITY ENVIRONMENT: 03 is a secret number that the
/// holder knows (PIN).
pub(crate) const PAIRING_SECRET: u8 = 0x03;

/// How far a run of PACE has come.
pub(super) enum PairingStep {
    /// The protocol is chosen.
    Chosen,
    /// The nonce has been given.
    Mapping(Mapping<NistP256>),
    /// The base point is mapped.
    Agreement(Agreement<NistP256>),
    /// The keys are agreed.
    Agreed(Agreed),
}

impl Applet {
    /// Chooses the pairing, unless it is blocked.
    pub(super) fn choose_pairing(&mut self, data: &[u8]) -> Outcome {
        let [protocol, secret] = tlv::exactly(data, [0x80, 0x83]).map_err(|_| StatusWord::WRONG_DATA)?;
        if protocol != PROTOCOL {
            return Err(StatusWord::WRONG_DATA);
        }
        if secret != [PAIRING_SECRET] {
            return Err(StatusWord::REFERENCE_NOT_FOUND);
        }
        if self.state.pairing().tries == 0 {
            return Err(StatusWord::BLOCKED);
        }
        self.session.pairing = Some(PairingStep::Chosen);
        Ok(Vec::new())
    }

    /// Takes the next step of the run.
    pub(super) fn pair(&mut self, data: &[u8], random: &mut dyn CryptoRng) -> Outcome {
        let step = self.session.pairing.take().ok_or(StatusWord::CONDITIONS)?;
        let [template] = tlv::exactly(data, [0x7C]).map_err(|_| StatusWord::WRONG_DATA)?;
        let object = |tag| match tlv::exactly(template, [tag]) {
            Ok([value]) => Ok(value),
            Err(_) => Err(StatusWord::WRONG_DATA),
        };
        match step {
            PairingStep::Chosen if template.is_empty() => self.give_nonce(random),
            PairingStep::Chosen => Err(StatusWord::WRONG_DATA),
            PairingStep::Mapping(mapping) => {
                let own = mapping.public();
                let agreement = mapping.map(object(0x81)?, random).map_err(status)?;
                self.session.pairing = Some(PairingStep::Agreement(agreement));
                dynamic_authentication(&[(0x82, &own)])
            }
            PairingStep::Agreement(agreement) => {
                let own = agreement.public();
                let agreed = agreement.agree(object(0x83)?).map_err(status)?;
                if !self.state.use_try() {
                    return Err(StatusWord::BLOCKED);
                }
                self.session.pairing = Some(PairingStep::Agreed(agreed));
                dynamic_authentication(&[(0x84, &own)])
            }
            PairingStep::Agreed(agreed) => self.open_session(agreed, object(0x85)?),
        }
    }

    fn give_nonce(&mut self, random: &mut dyn CryptoRng) -> Outcome {
        let bound = self.state.binding().ok_or(StatusWord::CONDITIONS)?;
        let nonce = Nonce::generate(random);
        let encrypted = NonceKey::new(&bound.pairing_secret.0).encrypt(&nonce);
        self.session.pairing = Some(PairingStep::Mapping(Mapping::begin(nonce, random)));
        dynamic_authentication(&[(0x80, &encrypted)])
    }

    fn open_session(&mut self, agreed: Agreed, token: &[u8]) -> Outcome {
        let own = agreed.token();
        let channel = agreed
            .verify(token)
            .map_err(|_| StatusWord::tries_left(self.state.pairing().tries))?;
        self.state.restore_tries();
        self.state.count_session();
        self.session = Session {
            paired: Some(channel),
            ..Session::default()
        };
        dynamic_authentication(&[(0x86, &own)])
    }
}

/// Returns how the standard names what went wrong.
const fn status(error: PaceError) -> StatusWord {
    match error {
        PaceError::Point | PaceError::Reflected => StatusWord::WRONG_DATA,
        PaceError::Mapping => StatusWord::CONDITIONS,
        PaceError::Token => StatusWord::SECURITY_STATUS,
    }
}
