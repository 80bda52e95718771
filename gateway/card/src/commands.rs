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

/// Over which channel a command may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// From whoever holds the card: the gateway, the personaliser, a reader.
    Anyone,
    /// Only inside ENVELOPE, under the secure messaging that the TSM has set up.
    Tsm,
}

impl fmt::Display for Reach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Anyone => "anyone",
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
    Activate,
    Bind,
    ConfirmBinding,
    ChooseSignatureKey,
    ChooseAgreementKey,
    ComputeSignature,
    GeneralAuthenticate,
    InternalAuthenticate,
    GetChallenge,
    VerifyCertificate,
    ExternalAuthenticate,
    Envelope,
    Terminate,
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
    /// The channel over which it may come.
    pub reach: Reach,
    /// Data objects of command and answer.
    pub data: &'static str,
}

use Command as C;
use LifeCycle::{Blank, Bound, Operational, Personalized};

const ALIVE: &[LifeCycle] = &[Blank, Personalized, Bound, Operational];
const BOUND: &[LifeCycle] = &[Bound, Operational];

const fn rule(
    command: Command,
    name: &'static str,
    cla_ins: [u8; 2],
    parameters: Option<[u8; 2]>,
    (states, reach): (&'static [LifeCycle], Reach),
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

const ANYONE_ALIVE: (&[LifeCycle], Reach) = (ALIVE, Reach::Anyone);
const ANYONE_BOUND: (&[LifeCycle], Reach) = (BOUND, Reach::Anyone);
const TSM_BOUND: (&[LifeCycle], Reach) = (BOUND, Reach::Tsm);
const PERSONALIZER: (&[LifeCycle], Reach) = (&[Blank], Reach::Anyone);
const GATEWAY: (&[LifeCycle], Reach) = (&[Personalized, Bound, Operational], Reach::Anyone);

/// Every command that the card understands. What is not in this table is refused.
///
/// Spec: ISO/IEC 7816-4, -8 and -9; BSI TR-03110-3 for the TSM's authentication (terminal
/// authentication and chip authentication version 2); BIND and CONFIRM are the card's own.
#[rustfmt::skip]
pub const COMMANDS: &[CommandRule] = &[
    rule(C::SelectApplication, "SELECT (application)", [0x00, 0xA4], Some([0x04, 0x0C]), ANYONE_ALIVE, "F0534D475701"),
    rule(C::SelectFile, "SELECT (file)", [0x00, 0xA4], Some([0x02, 0x0C]), ANYONE_ALIVE, "file identifier (2)"),
    rule(C::SelectFile, "SELECT (file)", [0x00, 0xA4], Some([0x02, 0x0C]), TSM_BOUND, "file identifier (2)"),
    rule(C::ReadBinary, "READ BINARY", [0x00, 0xB0], None, ANYONE_ALIVE, "→ content from the offset"),
    rule(C::ReadBinary, "READ BINARY", [0x00, 0xB0], None, TSM_BOUND, "→ content from the offset"),
    rule(C::UpdateBinary, "UPDATE BINARY", [0x00, 0xD6], None, PERSONALIZER, "whole content, offset 0: GUID, certificates, contact"),
    rule(C::UpdateBinary, "UPDATE BINARY", [0x00, 0xD6], None, TSM_BOUND, "whole content, offset 0: suppliers, anchor"),
    rule(C::GenerateKeyPair, "GENERATE ASYMMETRIC KEY PAIR", [0x00, 0x47], Some([0x80, 0x00]), PERSONALIZER, "B6/A6/A4 {84 key} → 7F49 {86 point}"),
    rule(C::Activate, "ACTIVATE", [0x00, 0x44], Some([0x00, 0x00]), PERSONALIZER, "–"),
    rule(C::Bind, "BIND", [0x80, 0x10], Some([0x00, 0x00]), GATEWAY, "80 gateway (16), 81 pairing secret (16), 82 nonce (16) → 9E signature"),
    rule(C::ConfirmBinding, "CONFIRM", [0x80, 0x12], Some([0x00, 0x00]), ANYONE_BOUND, "80 gateway (16), 81 pairing secret (16)"),
    rule(C::ChooseSignatureKey, "MANAGE SECURITY ENVIRONMENT: SET DST", [0x00, 0x22], Some([0x41, 0xB6]), ANYONE_BOUND, "84 key [, 83 supplier's fingerprint (32)]"),
    rule(C::ChooseAgreementKey, "MANAGE SECURITY ENVIRONMENT: SET KAT", [0x00, 0x22], Some([0x41, 0xA6]), ANYONE_BOUND, "84 key (00: ephemeral) [, 83 supplier's fingerprint (32)]"),
    rule(C::ComputeSignature, "PSO: COMPUTE DIGITAL SIGNATURE", [0x00, 0x2A], Some([0x9E, 0x9A]), ANYONE_BOUND, "SHA-256 digest (32) → r ‖ s (64)"),
    rule(C::GeneralAuthenticate, "GENERAL AUTHENTICATE", [0x00, 0x86], Some([0x00, 0x00]), ANYONE_BOUND, "7C {85 point} → 7C {82 Z} or 7C {85 point, 82 Z}; 7C {80 TSM's ephemeral point} → 7C {81 nonce (8), 82 token (8)}"),
    rule(C::InternalAuthenticate, "INTERNAL AUTHENTICATE", [0x00, 0x88], Some([0x00, 0x00]), ANYONE_BOUND, "nonce (16) → r ‖ s (64)"),
    rule(C::GetChallenge, "GET CHALLENGE", [0x00, 0x84], Some([0x00, 0x00]), ANYONE_BOUND, "→ challenge (16)"),
    rule(C::VerifyCertificate, "PSO: VERIFY CERTIFICATE", [0x00, 0x2A], Some([0x00, 0xBE]), ANYONE_BOUND, "X.509 certificate of the TSM, DER"),
    rule(C::ExternalAuthenticate, "EXTERNAL AUTHENTICATE", [0x00, 0x82], Some([0x00, 0x00]), ANYONE_BOUND, "86 TSM's ephemeral point (65), 9E signature (64)"),
    rule(C::Envelope, "ENVELOPE", [0x00, 0xC3], Some([0x00, 0x00]), ANYONE_BOUND, "protected command → protected answer"),
    rule(C::Terminate, "TERMINATE CARD USAGE", [0x00, 0xFE], Some([0x00, 0x00]), TSM_BOUND, "–"),
];

/// Finds the row for a command that came over the given channel in the given state.
///
/// # Errors
///
/// The status word that says what does not fit: class, instruction, parameters, channel or state.
pub(crate) fn find(header: Header, reach: Reach, state: LifeCycle) -> Result<Command, StatusWord> {
    let mut best = StatusWord::UNKNOWN_CLASS;
    for rule in COMMANDS {
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
        } else if rule.reach != reach {
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
        let find = |bytes, reach, state| find(Header::new(bytes), reach, state);
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
            let states: Vec<_> = rule.states.iter().map(ToString::to_string).collect();
            writeln!(
                table,
                "| {} | {cla:02X} {ins:02X} {parameters} | {} | {} | {} |",
                rule.name,
                rule.data,
                states.join(", "),
                rule.reach
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
