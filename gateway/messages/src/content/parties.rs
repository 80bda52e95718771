//! Whether a content comes from who signed it, and is for who opened it.

use model::CardId;

use crate::certificate::{Role, VerifiedCertificate};
use crate::content::{Content, PartyError};

impl Content {
    /// Checks that who signed the message may say this, and is who the content says.
    ///
    /// The signature is made over the ciphertext, so that somebody who cannot read a message can
    /// still sign it as its own; this check is what gives that no effect.
    ///
    /// # Errors
    ///
    /// [`PartyError::Role`] if a party of this role never sends such a content,
    /// [`PartyError::Sender`] if the content names another sender.
    pub fn check_sender(&self, sender: &VerifiedCertificate) -> Result<(), PartyError> {
        let expected = match self {
            Self::Request(_) | Self::InstallationRequest(_) => Role::Supplier,
            // The TSM has messages as suppliers have.
            Self::Receipt(_) if sender.role() == Role::Tsm => Role::Tsm,
            Self::Receipt(_) => Role::Supplier,
            Self::Bundle(_) | Self::CardCommands(_) | Self::ReportRequest(_) | Self::Application(_) => {
                Role::Tsm
            }
            Self::Answer(_) | Self::Push(_) | Self::Report(_) | Self::CardAnswers(_) | Self::Refused(_) => {
                Role::Card
            }
        };
        if sender.role() != expected {
            return Err(PartyError::Role {
                expected,
                found: sender.role(),
            });
        }
        let same = match self {
            Self::Request(body) => body.sender == sender.certificate().fingerprint(),
            Self::Receipt(body) => body.sender == sender.certificate().fingerprint(),
            Self::InstallationRequest(body) => body.sender == sender.certificate().fingerprint(),
            // There is one TSM, and a content of its kind is accepted from nobody else.
            Self::Bundle(_) | Self::CardCommands(_) | Self::ReportRequest(_) | Self::Application(_) => true,
            Self::Answer(body) => sender.card_id() == Some(body.gateway),
            Self::Push(body) => sender.card_id() == Some(body.gateway),
            Self::Report(body) => sender.card_id() == Some(body.gateway),
            Self::CardAnswers(body) => sender.card_id() == Some(body.gateway),
            Self::Refused(body) => sender.card_id() == Some(body.gateway),
        };
        if same { Ok(()) } else { Err(PartyError::Sender) }
    }

    /// Checks that a content that came to a gateway is for this one.
    ///
    /// # Errors
    ///
    /// [`PartyError::Recipient`] if it names another gateway, [`PartyError::NotForGateways`] if
    /// contents of this type go to suppliers and the TSM only.
    pub fn check_recipient(&self, gateway: CardId) -> Result<(), PartyError> {
        let named = match self {
            Self::Request(body) => body.recipient,
            Self::Bundle(body) => body.recipient,
            Self::CardCommands(body) => body.recipient,
            Self::Receipt(body) => body.recipient,
            Self::ReportRequest(body) => body.recipient,
            Self::Application(body) => body.recipient,
            Self::InstallationRequest(_)
            | Self::Answer(_)
            | Self::Push(_)
            | Self::Report(_)
            | Self::CardAnswers(_)
            | Self::Refused(_) => {
                return Err(PartyError::NotForGateways);
            }
        };
        if named == gateway {
            Ok(())
        } else {
            Err(PartyError::Recipient { named })
        }
    }
}
