//! What the program prints as its result: a sentence for people, or one line of JSON.

use std::io::{self, Write};

use messages::certificate::{PartyName, VerifiedParty};
use model::{CardId, Fingerprint, GatewayState};
use serde::Serialize;

use crate::books::Witness;
use crate::install::Installed;

/// The result of an act.
#[derive(Debug, Serialize)]
#[serde(tag = "schema")]
pub(crate) enum Output {
    /// Of `init`.
    #[serde(rename = "trust-center.init/1")]
    Init {
        /// The trust centre's name.
        name: PartyName,
        /// The root certificate.
        fingerprint: Fingerprint,
    },
    /// Of `certify`.
    #[serde(rename = "trust-center.certify/1")]
    Certify {
        /// The supplier's name.
        name: PartyName,
        /// The SIG certificate, by which grants name the supplier.
        fingerprint: Fingerprint,
    },
    /// Of `personalize`.
    #[serde(rename = "trust-center.personalize/1")]
    Personalize {
        /// The card's GUID.
        guid: CardId,
        /// The SIG certificate.
        sig: Fingerprint,
        /// The ENC certificate.
        enc: Fingerprint,
        /// The TLS certificate.
        tls: Fingerprint,
    },
    /// Of `install`.
    #[serde(rename = "trust-center.install/1")]
    Install {
        /// The GUID of the gateway's card.
        guid: CardId,
        /// The bundle's version.
        version: u64,
        /// The state of the gateway.
        state: GatewayState,
    },
    /// Of `unlock`.
    #[serde(rename = "trust-center.unlock/1")]
    Unlock {
        /// The card's GUID.
        guid: CardId,
    },
    /// Of `terminate`.
    #[serde(rename = "trust-center.terminate/1")]
    Terminate {
        /// The card's GUID.
        guid: CardId,
        /// Who says so.
        witness: Witness,
    },
}

impl Output {
    pub(crate) fn certified(supplier: &VerifiedParty) -> Self {
        Self::Certify {
            name: supplier.name.clone(),
            fingerprint: supplier.sig.certificate().fingerprint(),
        }
    }

    pub(crate) fn personalized(guid: CardId, card: &VerifiedParty) -> Self {
        Self::Personalize {
            guid,
            sig: card.sig.certificate().fingerprint(),
            enc: card.enc.certificate().fingerprint(),
            tls: card.tls.certificate().fingerprint(),
        }
    }

    pub(crate) const fn installed(guid: CardId, installed: &Installed) -> Self {
        Self::Install {
            guid,
            version: installed.version,
            state: installed.state,
        }
    }

    /// Prints the result on the standard output.
    pub(crate) fn print(&self, json: bool) -> io::Result<()> {
        let text = if json {
            serde_json::to_string(self)?
        } else {
            self.sentence()
        };
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}")?;
        stdout.flush()
    }

    fn sentence(&self) -> String {
        match self {
            Self::Init { name, fingerprint } => {
                format!(
                    "The trust centre {name} is founded. Its root certificate has the SHA-256 {fingerprint}."
                )
            }
            Self::Certify { name, fingerprint } => {
                format!(
                    "The supplier {name} is certified. Its SIG certificate has the SHA-256 {fingerprint}."
                )
            }
            Self::Personalize { guid, sig, .. } => {
                format!(
                    "The card is personalised. Its GUID is {guid}, its SIG certificate has the SHA-256 {sig}."
                )
            }
            Self::Install { guid, version, state } => {
                format!("Bundle {version} is in force on the gateway {guid}, which is {state}.")
            }
            Self::Unlock { guid } => {
                format!("The card {guid} has all its tries back; its gateway pairs with it by itself.")
            }
            Self::Terminate {
                guid,
                witness: Witness::Card,
            } => format!("The card {guid} has ended its life, as it says itself."),
            Self::Terminate {
                guid,
                witness: Witness::Gateway,
            } => format!("The card {guid} has ended its life, as its gateway reports."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_their_schema() {
        let guid: CardId = "fd5a::1".parse().unwrap();
        let installed = Installed {
            version: 1,
            state: GatewayState::Operational,
        };
        assert_eq!(
            serde_json::to_string(&Output::installed(guid, &installed)).unwrap(),
            r#"{"schema":"trust-center.install/1","guid":"fd5a::1","version":1,"state":"operational"}"#
        );
        let fingerprint = Fingerprint::new([0xab; 32]);
        let certified = Output::Certify {
            name: "Supplier".parse().unwrap(),
            fingerprint,
        };
        assert_eq!(
            serde_json::to_string(&certified).unwrap(),
            format!(
                r#"{{"schema":"trust-center.certify/1","name":"Supplier","fingerprint":"{fingerprint}"}}"#
            )
        );
    }
}
