//! The table of commands: what the card understands, in which state, and over which channel.
//!
//! The same table stands in the crate's README; a test keeps the two equal.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Header, StatusWord};

/// The life cycle of a card, one way only.
///
/// The bytes are those of the file EF.STATE and follow the life cycle status byte of
/// ISO/IEC 7816-4:2020, section 7.4.10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LifeCycle {
    /// Keys, GUID, certificates and contact can be written (01).
    Blank,
    /// Completed; waits for its gateway (03).
    Personalized,
    /// Tied to one gateway for good; waits for the TSM (05).
    Bound,
    /// The TSM has unlocked at least one supplier (07).
    Operational,
    /// Dead. Nothing leads out of this state (0F).
    Terminated,
}

impl LifeCycle {
    /// Returns the byte of EF.STATE.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Blank => 0x01,
            Self::Personalized => 0x03,
            Self::Bound => 0x05,
            Self::Operational => 0x07,
            Self::Terminated => 0x0F,
        }
    }

    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0x01 => Some(Self::Blank),
            0x03 => Some(Self::Personalized),
            0x05 => Some(Self::Bound),
            0x07 => Some(Self::Operational),
            0x0F => Some(Self::Terminated),
            _ => None,
        }
    }
}

impl fmt::Display for LifeCycle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Blank => "blank",
            Self::Personalized => "personalized",
            Self::Bound => "bound",
            Self::Operational => "operational",
            Self::Terminated => "terminated",
        })
    }
}

/// Over which channel a command comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// In clear, from whoever holds the card: the gateway, the personaliser, a reader.
    Anyone,
    /// Under the secure messaging of a pairing: the gateway that the card is bound to.
    Gateway,
    /// Only inside ENVELOPE, under the secure messaging that the TSM has set up.
    Tsm,
}

impl fmt::Display for Reach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Anyone => "anyone",
            Self::Gateway => "gateway",
            Self::Tsm => "TSM channel",
        })
    }
}

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the names are the standard's; the table says what they do"
)]
pub enum Command {
    SelectApplication,
    SelectFile,
    ReadBinary,
    UpdateBinary,
    GenerateKeyPair,
    ImportKeyPair,
    Activate,
    Bind,
    ConfirmBinding,
    ChoosePairing,
    Pair,
    ChooseSignatureKey,
    ChooseAgreementKey,
    ComputeSignature,
    AgreeKey,
    InternalAuthenticate,
    GetChallenge,
    VerifyCertificate,
    ExternalAuthenticate,
    AgreeWithTsm,
    Envelope,
    ResetRetryCounter,
    Terminate,
    GetResponse,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct CommandRule {
    /// What it does.
    pub command: Command,
    /// Its name in the standard.
    pub name: &'static str,
    /// Class and instruction.
    pub cla_ins: [u8; 2],
    /// P1 and P2; `None` where they are an offset.
    pub parameters: Option<[u8; 2]>,
    /// The states in which it works.
    pub states: &'static [LifeCycle],
    /// The channels over which it may come.
    pub reach: &'static [Reach],
    /// Data objects of command and answer.
    pub data: &'static str,
}

use Command as C;
use LifeCycle::{Blank, Bound, Operational, Personalized};

const ALIVE: &[LifeCycle] = &[Blank, Personalized, Bound, Operational];
const COMPLETED: &[LifeCycle] = &[Personalized, Bound, Operational];
pub(crate) const BOUND: &[LifeCycle] = &[Bound, Operational];
pub(crate) const BLANK: &[LifeCycle] = &[Blank];

pub(crate) const EVERYBODY: &[Reach] = &[Reach::Anyone, Reach::Gateway, Reach::Tsm];
/// Whoever sends these commands, they are worth nothing without the TSM's signature or keys; so they
/// work in clear as well, for a card whose pairing is blocked.
const ON_THE_WAY: &[Reach] = &[Reach::Anyone, Reach::Gateway];
const ANYONE: &[Reach] = &[Reach::Anyone];
const GATEWAY: &[Reach] = &[Reach::Gateway];
const TSM: &[Reach] = &[Reach::Tsm];
pub(crate) const GATEWAY_AND_TSM: &[Reach] = &[Reach::Gateway, Reach::Tsm];

const fn rule(
    command: Command,
    name: &'static str,
    cla_ins: [u8; 2],
    parameters: Option<[u8; 2]>,
    (states, reach): (&'static [LifeCycle], &'static [Reach]),
    data: &'static str,
) -> CommandRule {
    CommandRule {
        command,
        name,
        cla_ins,
        parameters,
        states,
        reach,
        data,
    }
}

/// Every command that the card understands. What is not in this table is refused.
///
/// Spec: ISO/IEC 7816-4, -8 and -9; BSI TR-03110-3 for the pairing (PACE) and for the TSM's
/// authentication (after terminal authentication version 2); BIND and CONFIRM are
/// the card's own.
#[rustfmt::skip]
pub const COMMANDS: &[CommandRule] = &[
    rule(C::SelectApplication, "SELECT (application)", [0x00, 0xA4], Some([0x04, 0x0C]), (ALIVE, ON_THE_WAY), "F0534D475701"),
    rule(C::SelectFile, "SELECT (file)", [0x00, 0xA4], Some([0x02, 0x0C]), (ALIVE, EVERYBODY), "file identifier (2)"),
    rule(C::ReadBinary, "READ BINARY", [0x00, 0xB0], None, (ALIVE, EVERYBODY), "→ content from the offset"),
    rule(C::UpdateBinary, "UPDATE BINARY", [0x00, 0xD6], None, (BLANK, ANYONE), "whole content, offset 0"),
    rule(C::UpdateBinary, "UPDATE BINARY", [0x00, 0xD6], None, (BOUND, GATEWAY_AND_TSM), "whole content, offset 0"),
    rule(C::GenerateKeyPair, "GENERATE ASYMMETRIC KEY PAIR", [0x00, 0x47], Some([0x80, 0x00]), (BLANK, ANYONE), "B6/A6/A4 {84 key} → 7F49 {86 point}"),
    rule(C::ImportKeyPair, "PUT DATA (key pair)", [0x00, 0xDB], Some([0x3F, 0xFF]), (BLANK, ANYONE), "4D {B6/A6/A4 {84 key}, 7F48 {92 20, 99 41}, 5F48 private key (32) ‖ point (65)}"),
    rule(C::Activate, "ACTIVATE", [0x00, 0x44], Some([0x00, 0x00]), (BLANK, ANYONE), "–"),
    rule(C::Bind, "BIND", [0x80, 0x10], Some([0x00, 0x00]), (COMPLETED, ANYONE), "80 gateway (16), 81 sealed pairing secret (16), 82 nonce (16), 86 ephemeral point (65) → 9E signature"),
    rule(C::ChoosePairing, "MANAGE SECURITY ENVIRONMENT: SET AT", [0x00, 0x22], Some([0xC1, 0xA4]), (BOUND, ANYONE), "80 protocol, 83 03"),
    rule(C::Pair, "GENERAL AUTHENTICATE (PACE)", [0x00, 0x86], Some([0x00, 0x00]), (BOUND, ANYONE), "7C {} → 7C {80 nonce}; 7C {81 point} → 7C {82 point}; 7C {83 point} → 7C {84 point}; 7C {85 token} → 7C {86 token}"),
    rule(C::ConfirmBinding, "CONFIRM", [0x80, 0x12], Some([0x00, 0x00]), (BOUND, GATEWAY), "80 gateway (16)"),
    rule(C::ChooseSignatureKey, "MANAGE SECURITY ENVIRONMENT: SET DST", [0x00, 0x22], Some([0x41, 0xB6]), (BOUND, GATEWAY), "84 key [, 83 supplier's fingerprint (32)]"),
    rule(C::ChooseAgreementKey, "MANAGE SECURITY ENVIRONMENT: SET KAT", [0x00, 0x22], Some([0x41, 0xA6]), (BOUND, GATEWAY), "84 key (00: ephemeral) [, 83 supplier's fingerprint (32)]"),
    rule(C::ComputeSignature, "PSO: COMPUTE DIGITAL SIGNATURE", [0x00, 0x2A], Some([0x9E, 0x9A]), (BOUND, GATEWAY), "SHA-256 digest (32) → r ‖ s (64)"),
    rule(C::AgreeKey, "GENERAL AUTHENTICATE (key agreement)", [0x00, 0x86], Some([0x00, 0x00]), (BOUND, GATEWAY), "7C {85 point} → 7C {82 Z} or 7C {85 point, 82 Z}"),
    rule(C::InternalAuthenticate, "INTERNAL AUTHENTICATE", [0x00, 0x88], Some([0x00, 0x00]), (BOUND, GATEWAY_AND_TSM), "nonce (16) → r ‖ s (64)"),
    rule(C::GetChallenge, "GET CHALLENGE", [0x00, 0x84], Some([0x00, 0x00]), (BOUND, ON_THE_WAY), "→ challenge (16)"),
    rule(C::VerifyCertificate, "PSO: VERIFY CERTIFICATE", [0x00, 0x2A], Some([0x00, 0xBE]), (BOUND, ON_THE_WAY), "X.509 certificate of the TSM, DER"),
    rule(C::ExternalAuthenticate, "EXTERNAL AUTHENTICATE", [0x00, 0x82], Some([0x00, 0x00]), (BOUND, ON_THE_WAY), "86 TSM's ephemeral point (65), 9E signature (64)"),
    rule(C::AgreeWithTsm, "GENERAL AUTHENTICATE (TSM)", [0x00, 0x86], Some([0x00, 0x00]), (BOUND, ON_THE_WAY), "7C {80 TSM's ephemeral point} → 7C {81 card's ephemeral point (65), 82 token (8), 9E signature (64)}"),
    rule(C::Envelope, "ENVELOPE", [0x00, 0xC2], Some([0x00, 0x00]), (BOUND, ON_THE_WAY), "protected command → protected answer"),
    rule(C::ResetRetryCounter, "RESET RETRY COUNTER", [0x00, 0x2C], Some([0x03, 0x03]), (BOUND, TSM), "–"),
    rule(C::Terminate, "TERMINATE CARD USAGE", [0x00, 0xFE], Some([0x00, 0x00]), (BOUND, TSM), "–"),
    rule(C::GetResponse, "GET RESPONSE", [0x00, 0xC0], Some([0x00, 0x00]), (ALIVE, ANYONE), "→ the rest of a long answer"),
];

/// Finds the row for a command that came over the given channel in the given state.
///
/// GENERAL AUTHENTICATE has one header and three meanings; `meant` says which one it is.
///
/// # Errors
///
/// The status word that says what does not fit: class, instruction, parameters, channel or state.
pub(crate) fn find(
    header: Header,
    meant: Option<Command>,
    reach: Reach,
    state: LifeCycle,
) -> Result<Command, StatusWord> {
    let mut best = StatusWord::UNKNOWN_CLASS;
    let rows = COMMANDS
        .iter()
        .filter(|rule| meant.is_none_or(|meant| meant == rule.command));
    for rule in rows {
        let [cla, ins] = rule.cla_ins;
        let reached = if header.cla != cla {
            StatusWord::UNKNOWN_CLASS
        } else if header.ins != ins {
            StatusWord::UNKNOWN_INSTRUCTION
        } else if rule
            .parameters
            .is_some_and(|parameters| parameters != [header.p1, header.p2])
        {
            StatusWord::WRONG_PARAMETERS
        } else if !rule.reach.contains(&reach) {
            StatusWord::SECURITY_STATUS
        } else if !rule.states.contains(&state) {
            StatusWord::CONDITIONS
        } else {
            return Ok(rule.command);
        };
        if progress(reached) > progress(best) {
            best = reached;
        }
    }
    Err(best)
}

/// How far a command came in the checks of [`find`]; the row that came furthest explains best.
const fn progress(status: StatusWord) -> u8 {
    match status {
        StatusWord::UNKNOWN_CLASS => 0,
        StatusWord::UNKNOWN_INSTRUCTION => 1,
        StatusWord::WRONG_PARAMETERS => 2,
        StatusWord::SECURITY_STATUS => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn what_does_not_fit_is_named() {
        let find = |bytes, reach, state| find(Header::new(bytes), None, reach, state);
        let anyone = Reach::Anyone;
        assert_eq!(
            find([0x90, 0xA4, 4, 0x0C], anyone, Blank),
            Err(StatusWord::UNKNOWN_CLASS)
        );
        assert_eq!(
            find([0x00, 0x01, 0, 0], anyone, Blank),
            Err(StatusWord::UNKNOWN_INSTRUCTION)
        );
        assert_eq!(
            find([0x00, 0xA4, 1, 0], anyone, Blank),
            Err(StatusWord::WRONG_PARAMETERS)
        );
        assert_eq!(
            find([0x00, 0xFE, 0, 0], anyone, Bound),
            Err(StatusWord::SECURITY_STATUS)
        );
        assert_eq!(
            find([0x00, 0x44, 0, 0], anyone, Bound),
            Err(StatusWord::CONDITIONS)
        );
        assert_eq!(
            find([0x00, 0xFE, 0, 0], Reach::Tsm, Bound),
            Ok(Command::Terminate)
        );
    }

    #[test]
    fn no_command_works_when_terminated() {
        for rule in COMMANDS {
            assert!(!rule.states.contains(&LifeCycle::Terminated), "{}", rule.name);
        }
    }

    fn list(words: &[impl ToString]) -> String {
        words
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    }

    #[test]
    fn readme_has_the_same_table() {
        let mut table = String::from(
            "| command | CLA INS P1 P2 | data → answer | states | from |\n|---|---|---|---|---|\n",
        );
        for rule in COMMANDS {
            let [cla, ins] = rule.cla_ins;
            let parameters = match rule.parameters {
                Some([p1, p2]) => format!("{p1:02X} {p2:02X}"),
                None => "offset".to_owned(),
            };
            writeln!(
                table,
                "| {} | {cla:02X} {ins:02X} {parameters} | {} | {} | {} |",
                rule.name,
                rule.data,
                list(rule.states),
                list(rule.reach)
            )
            .unwrap();
        }
        let readme = include_str!("../README.md");
        assert!(
            readme.contains(&table),
            "put this table into gateway/card/README.md:\n{table}"
        );
    }
}
