//! The relay: the trust centre speaks to the card in the reader, whatever state the gateway is in.
//!
//! A card whose pairing is blocked serves no gateway, so no message over the WAN reaches it. Its trust centre still can:
//! its channel ends in the card, and whoever carries the commands can neither read nor forge what goes through it. So
//! `smgw card relay` reads a line with commands and prints one with the answers, and `trust-center unlock --relay` runs
//! it, over whatever way there is to the device. Only the commands of the TSM's access go through, and no certificate that
//! is not valid: the card has no clock.

use std::io::{BufRead, Read, Write};

use card::session::shown_certificate;
use card::{CardError, CardSession};
use messages::certificate::{Certificate, CertificateError, Role, TrustAnchor};
use model::{KeySlot, Status, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::examination::anchor_of;
use super::handle::{CardFault, RelayedAnswers, RelayedCommands, Session};
use super::slot::Slot;
use crate::clock;

/// The longest line that is read: as many commands as an installation has, hexadecimal digits.
const MAX_LINE: u64 = 1024 * 1024;

/// The reason why the relay ended before its input did.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError<E: std::error::Error + 'static> {
    /// A line holds something else than commands.
    #[error("a line is no list of commands in hexadecimal digits")]
    Line,
    /// Nothing can be read or written.
    #[error("the relay's input or output broke")]
    Broken(#[from] std::io::Error),
    /// The card took no part.
    #[error("the card took no part")]
    Card(#[source] E),
}

/// Commands or answers: the bytes of each in hexadecimal digits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Apdus {
    apdus: Vec<String>,
}

impl Apdus {
    /// Reads the words of a line.
    fn of_line(line: &str) -> Self {
        Self {
            apdus: line.split_whitespace().map(str::to_owned).collect(),
        }
    }

    fn line(&self) -> String {
        self.apdus.join(" ")
    }

    pub(crate) fn of(answers: &RelayedAnswers) -> Self {
        Self {
            apdus: answers
                .iter()
                .map(|answer| hex::encode(answer.as_slice()))
                .collect(),
        }
    }

    /// Returns the bytes; `None` if they are no hexadecimal digits.
    pub(crate) fn to_bytes(&self) -> Option<RelayedCommands> {
        self.apdus.iter().map(|apdu| hex::decode(apdu).ok()).collect()
    }
}

/// Answers every line of the input with one line of the output, until the input ends.
///
/// # Errors
///
/// [`RelayError`] says what ended it before.
pub(crate) fn relay_lines<E: std::error::Error + 'static>(
    mut input: impl BufRead,
    mut output: impl Write,
    mut pass: impl FnMut(&Apdus) -> Result<Apdus, E>,
) -> Result<(), RelayError<E>> {
    loop {
        let mut line = String::new();
        if input.by_ref().take(MAX_LINE).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let commands = Apdus::of_line(&line);
        if commands.to_bytes().is_none() {
            return Err(RelayError::Line);
        }
        let answers = pass(&commands).map_err(RelayError::Card)?;
        writeln!(output, "{}", answers.line())?;
        output.flush()?;
    }
}

/// A card that no daemon has.
pub(crate) struct DirectCard(Session);

impl std::fmt::Debug for DirectCard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("DirectCard")
    }
}

impl DirectCard {
    /// Gives power to the card in the slot.
    pub(crate) fn open(slot: &Slot) -> Result<Self, CardFault> {
        let card = slot.power_on().map_err(CardError::Transport)?;
        Ok(Self(CardSession::open(card)?))
    }

    /// Passes commands to it.
    pub(crate) fn pass(&mut self, commands: &Apdus) -> Result<Apdus, CardFault> {
        let commands = commands.to_bytes().unwrap_or_default();
        let pass = |command: &Vec<u8>| pass(&mut self.0, command);
        let answers: Result<RelayedAnswers, CardFault> = commands.iter().map(pass).collect();
        answers.map(|answers| Apdus::of(&answers))
    }
}

/// Passes a command of the trust centre's access to a card, once its certificate is known to be valid.
pub(super) fn pass(session: &mut Session, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, CardFault> {
    if shown_certificate(command).is_some() {
        let now = clock::now();
        if clock::status_at(now) != Status::GOOD {
            return Err(CardFault::ClockUnset);
        }
        let anchor = anchor_of(&session.contact()?).map_err(CardFault::TsmCertificate)?;
        check_validity(command, &anchor, now).map_err(CardFault::TsmCertificate)?;
    }
    Ok(session.pass(command)?)
}

/// Checks the certificate of the TSM that a command shows the card, if it does: the card, which has no clock, leaves
/// that to its gateway.
///
/// # Errors
///
/// [`CertificateError`] if the trust centre has not issued it to the TSM for signatures, or it is not valid now, or known
/// to be revoked.
pub(crate) fn check_validity(
    command: &[u8],
    anchor: &TrustAnchor,
    now: Timestamp,
) -> Result<(), CertificateError> {
    match shown_certificate(command) {
        Some(shown) => {
            let certificate = Certificate::from_der(&shown)?;
            anchor
                .verify(&certificate, now, Role::Tsm, KeySlot::Sig)
                .map(|_| ())
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relayed(input: &str) -> (Result<(), RelayError<CardFault>>, String) {
        let mut output = Vec::new();
        let echo = |commands: &Apdus| match commands.apdus.first() {
            Some(first) if first == "00" => Err(CardFault::Absent),
            _ => Ok(commands.clone()),
        };
        let outcome = relay_lines(input.as_bytes(), &mut output, echo);
        (outcome, String::from_utf8(output).unwrap())
    }

    #[test]
    fn every_line_is_answered_by_one() {
        let (outcome, answers) = relayed("0084000010 00c20000\n\nff\n");
        assert!(outcome.is_ok());
        assert_eq!(answers, "0084000010 00c20000\n\nff\n");
    }

    #[test]
    fn line_that_is_none_and_card_that_takes_no_part_end_the_relay() {
        let (outcome, answers) = relayed("01\n0x02\n03\n");
        assert!(matches!(outcome, Err(RelayError::Line)));
        assert_eq!(answers, "01\n");
        let (outcome, answers) = relayed("00\n03\n");
        assert!(matches!(outcome, Err(RelayError::Card(CardFault::Absent))));
        assert_eq!(answers, "");
    }

    #[test]
    fn line_without_an_end_is_not_read_for_ever() {
        let (outcome, _) = relayed(&"0".repeat(usize::try_from(MAX_LINE).unwrap() + 1));
        assert!(matches!(outcome, Err(RelayError::Line)));
    }

    mod validity {
        #[cfg(feature = "soft-card")]
        use std::path::Path;

        use getrandom::SysRng;
        use messages::certificate::Subject;
        use messages::certificate::profile::{self, CertificateContent, SerialNumber};
        use messages::software::SoftwareKey;
        use model::{Period, Span};

        use super::*;

        /// The command that shows the card a certificate.
        fn command(certificate: &Certificate) -> Vec<u8> {
            let header = card::Header::new([0x00, 0x2A, 0x00, 0xBE]);
            let command = card::CommandApdu::new(header, certificate.as_der().to_vec());
            command.to_bytes().unwrap().to_vec()
        }

        struct Issuer {
            key: SoftwareKey,
            anchor: TrustAnchor,
            now: Timestamp,
        }

        impl Issuer {
            fn new() -> Self {
                let key = SoftwareKey::generate(&mut SysRng).unwrap();
                let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
                let validity =
                    Period::new(now.saturating_sub(Span::DAY), now.saturating_add(Span::DAY)).unwrap();
                let serial = SerialNumber::from_random([1; 16]);
                let name = "Test centre".parse().unwrap();
                let anchor = profile::issue_root(name, key.public_point(), serial, validity, &key).unwrap();
                Self { key, anchor, now }
            }

            fn issue(&self, role: Role, slot: KeySlot, from: Timestamp) -> Certificate {
                let content = CertificateContent {
                    subject: Subject::party("The TSM".parse().unwrap(), role).unwrap(),
                    slot,
                    public_key: *SoftwareKey::generate(&mut SysRng).unwrap().public_point(),
                    serial_number: SerialNumber::from_random([2; 16]),
                    validity: Period::new(from, from.saturating_add(Span::QUARTER_HOUR)).unwrap(),
                };
                profile::issue(&content, &self.anchor, &self.key).unwrap()
            }
        }

        #[test]
        fn certificate_of_the_tsm_that_is_valid_passes_and_no_other() {
            let issuer = Issuer::new();
            let Issuer { anchor, now, .. } = &issuer;
            let (now, sig) = (*now, KeySlot::Sig);
            let good = issuer.issue(Role::Tsm, sig, now);
            assert_eq!(check_validity(&command(&good), anchor, now), Ok(()));
            let (old, young) = (
                now.saturating_sub(Span::QUARTER_HOUR),
                now.saturating_add(Span::QUARTER_HOUR),
            );
            let before = old.saturating_sub(Span::QUARTER_HOUR);
            for (what, certificate) in [
                ("expired", issuer.issue(Role::Tsm, sig, before)),
                ("not valid yet", issuer.issue(Role::Tsm, sig, young)),
                ("a supplier's", issuer.issue(Role::Supplier, sig, now)),
                ("for another key", issuer.issue(Role::Tsm, KeySlot::Enc, now)),
                (
                    "of another trust centre",
                    Issuer::new().issue(Role::Tsm, sig, now),
                ),
            ] {
                assert!(
                    check_validity(&command(&certificate), anchor, now).is_err(),
                    "{what}"
                );
            }
            assert!(check_validity(&[0x00, 0x2A, 0x00, 0xBE, 0x02, 0x30, 0x00], anchor, now).is_err());
            // What shows no certificate is judged elsewhere.
            assert_eq!(
                check_validity(&[0x00, 0x84, 0x00, 0x00, 0x10], anchor, now),
                Ok(())
            );
        }

        #[test]
        fn certificate_that_is_known_to_be_revoked_does_not_pass() {
            let issuer = Issuer::new();
            let certificate = issuer.issue(Role::Tsm, KeySlot::Sig, issuer.now);
            let revocation = messages::certificate::Revocation {
                time: issuer.now,
                reason: messages::certificate::RevocationReason::KeyCompromise,
            };
            let serial = certificate.serial_number().to_vec();
            let root = issuer.anchor.certificate().key_identifier().to_vec();
            let anchor = issuer.anchor.clone().with_revoked(&root, [(serial, revocation)]);
            let judged = check_validity(&command(&certificate), &anchor, issuer.now);
            assert!(
                matches!(judged, Err(CertificateError::Revoked { .. })),
                "{judged:?}"
            );
        }

        #[cfg(feature = "soft-card")]
        #[test]
        fn card_is_not_shown_a_certificate_that_is_not_valid() {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("card");
            let center = crate::card::Center::new();
            center.personalize(&file, "fd5a::1");
            let place = crate::config::CardSlot::Soft(file.clone());
            let state = |file: &Path| std::fs::read(file).unwrap();
            let before = state(&file);
            let mut card = DirectCard::open(&Slot::new(place)).unwrap();
            let other = Issuer::new();
            let foreign = other.issue(Role::Tsm, KeySlot::Sig, clock::now());
            let apdus = Apdus {
                apdus: vec![hex::encode(command(&foreign))],
            };
            let refused = card.pass(&apdus);
            assert!(
                matches!(refused, Err(CardFault::TsmCertificate(_))),
                "{refused:?}"
            );
            assert_eq!(state(&file), before);
        }
    }
}
