//! How a script is played on a card.

use std::collections::BTreeMap;

use rand_core::CryptoRng;

use super::{Act, Answer, Part, ScriptError, Step};
use crate::applet::access::certificate_key;
use crate::applet::binding::seal_secret;
use crate::crypto::sha256;
use crate::secure_messaging::Channel;
use crate::session::CardIdentity;
use crate::transport::exchange;
use crate::{CardError, CardKey, CardSession, CommandApdu, Point, Signature, StatusWord, Transport};

/// A card, and what the script has learnt of it.
pub(super) struct Player<'a, T> {
    transport: &'a mut T,
    random: &'a mut dyn CryptoRng,
    names: Names,
    identity: Option<CardIdentity>,
    /// The secure messaging, once the card is paired.
    channel: Option<Channel>,
}

/// The bytes that have got a name.
type Names = BTreeMap<String, Vec<u8>>;

impl<'a, T: Transport> Player<'a, T> {
    pub(super) const fn new(transport: &'a mut T, random: &'a mut dyn CryptoRng) -> Self {
        Self {
            transport,
            random,
            names: Names::new(),
            identity: None,
            channel: None,
        }
    }

    /// Takes a step of the script.
    pub(super) fn take(
        &mut self,
        step: &Step,
        reset: &mut impl FnMut(&mut T) -> Result<(), T::Error>,
    ) -> Result<(), ScriptError<T::Error>> {
        let line = step.line;
        match &step.act {
            Act::Reset => {
                self.channel = None;
                reset(self.transport).map_err(ScriptError::Transport)
            }
            Act::Exchange {
                command,
                is_protected,
                answer,
            } => {
                let command = bytes_of(command, &self.names);
                let (found, was_protected) = if *is_protected {
                    self.protected(line, &command)?
                } else {
                    let found = self.transport.transmit(&command);
                    (found.map_err(ScriptError::Transport)?.to_vec(), false)
                };
                self.compare(line, answer, &found, was_protected)
            }
            Act::Pair { secret, answer } => {
                let secret = bytes_of(secret, &self.names);
                let found = self.pair(line, &secret)?;
                self.compare(line, answer, &found.to_bytes(), false)
            }
            Act::Identity => self.read_identity(line),
            Act::Digest { name, bytes } => {
                let digest = sha256(&[&bytes_of(bytes, &self.names)]);
                self.names.insert(name.clone(), digest.to_vec());
                Ok(())
            }
            Act::Seal { name, secret, nonce } => {
                let enc = self.identity(line)?.certificates.enc.clone();
                let nonce = part_of(nonce, &self.names);
                let secret = part_of(secret, &self.names).try_into();
                let sealed = secret.ok().and_then(|secret| {
                    let card = certificate_key(&enc)?;
                    seal_secret(&secret, nonce, &card)
                });
                let (point, sealed) = sealed.ok_or(ScriptError::NoIdentity { line })?;
                self.names.insert(name.clone(), sealed.to_vec());
                self.names.insert(point_of(name), point.to_bytes().to_vec());
                Ok(())
            }
            Act::Verify {
                key,
                digest,
                signature,
            } => self.verify(line, *key, digest, signature),
        }
    }

    /// Sends a command under the secure messaging, and says whether its answer is protected too. Without secure
    /// messaging it goes as a protected one that nobody can open.
    fn protected(&mut self, line: usize, command: &[u8]) -> Result<(Vec<u8>, bool), ScriptError<T::Error>> {
        let failed = |source| ScriptError::Session { line, source };
        let altered = |_| {
            failed(CardError::Channel {
                command: "the command",
            })
        };
        let command = CommandApdu::parse(command).map_err(|error| failed(error.into()))?;
        let channel = self.channel.take().unwrap_or_else(|| Channel::new(&[], &[]));
        let (channel, protected) = channel.wrap_command(&command).map_err(altered)?;
        let answer = exchange(self.transport, &protected).map_err(failed)?;
        if !answer.status().is_ok() {
            return Ok((answer.to_bytes().to_vec(), false));
        }
        let (channel, response) = channel.unwrap_response(answer.data()).map_err(altered)?;
        self.channel = Some(channel);
        Ok((response.to_bytes().to_vec(), true))
    }

    fn pair(&mut self, line: usize, secret: &[u8]) -> Result<StatusWord, ScriptError<T::Error>> {
        self.channel = None;
        // The reader of scripts takes no secret of another length.
        let secret = secret.try_into().unwrap_or_default();
        let paired = CardSession::open(&mut *self.transport).and_then(|mut session| {
            session.pair(&secret, self.random)?;
            Ok(session.into_channel())
        });
        match paired {
            Ok(channel) => {
                self.channel = channel;
                Ok(StatusWord::OK)
            }
            Err(CardError::Refused { status, .. }) => Ok(status),
            Err(CardError::Transport(error)) => Err(ScriptError::Transport(error)),
            Err(source) => Err(ScriptError::Session { line, source }),
        }
    }

    fn read_identity(&mut self, line: usize) -> Result<(), ScriptError<T::Error>> {
        self.channel = None;
        let read = CardSession::open(&mut *self.transport).and_then(|mut session| session.identity());
        let identity = read.map_err(|source| match source {
            CardError::Transport(error) => ScriptError::Transport(error),
            source => ScriptError::Session { line, source },
        })?;
        self.names
            .insert("guid".to_owned(), identity.guid.to_bytes().to_vec());
        for key in CardKey::ALL {
            let point = key_of(&identity, key).map(|point| point.to_bytes());
            let bytes = point.as_ref().map_or(&[][..], |point| point);
            let (x, y) = bytes
                .get(1..)
                .unwrap_or_default()
                .split_at_checked(32)
                .unwrap_or_default();
            self.names.insert(format!("{key}-x"), x.to_vec());
            self.names.insert(format!("{key}-y"), y.to_vec());
        }
        self.identity = Some(identity);
        Ok(())
    }

    fn identity(&self, line: usize) -> Result<&CardIdentity, ScriptError<T::Error>> {
        self.identity.as_ref().ok_or(ScriptError::NoIdentity { line })
    }

    fn verify(
        &self,
        line: usize,
        key: CardKey,
        digest: &Part,
        signature: &Part,
    ) -> Result<(), ScriptError<T::Error>> {
        let point = key_of(self.identity(line)?, key);
        let digest: Option<[u8; 32]> = part_of(digest, &self.names).try_into().ok();
        let signature = Signature::try_from(part_of(signature, &self.names)).ok();
        let verifies = point
            .zip(digest)
            .zip(signature)
            .is_some_and(|((point, digest), signature)| point.verifies(&digest, &signature));
        if verifies {
            Ok(())
        } else {
            Err(ScriptError::Signature { line, key })
        }
    }

    /// Compares an answer with what is expected, and gives names to its parts.
    fn compare(
        &mut self,
        line: usize,
        answer: &Answer,
        found: &[u8],
        was_protected: bool,
    ) -> Result<(), ScriptError<T::Error>> {
        if answer.is_protected == was_protected && matches(&answer.parts, found, &mut self.names) {
            return Ok(());
        }
        Err(ScriptError::Answer {
            line,
            found: hex::encode(found),
        })
    }
}

/// What the word `seal` calls its ephemeral point.
pub(super) fn point_of(name: &str) -> String {
    format!("{name}-point")
}

fn key_of(identity: &CardIdentity, key: CardKey) -> Option<Point> {
    use model::KeySlot::{Enc, Sig, Tls};
    let certificates = &identity.certificates;
    certificate_key(match key {
        CardKey::Slot(Sig) => &certificates.sig,
        CardKey::Slot(Enc) => &certificates.enc,
        CardKey::Slot(Tls) => &certificates.tls,
        CardKey::Attestation => &certificates.attestation,
    })
}

fn bytes_of(parts: &[Part], names: &Names) -> Vec<u8> {
    let bytes = parts.iter().flat_map(|part| part_of(part, names));
    bytes.copied().collect()
}

fn part_of<'a>(part: &'a Part, names: &'a Names) -> &'a [u8] {
    match part {
        Part::Bytes(bytes) => bytes,
        Part::Known(name, _) => names.get(name).map_or(&[], Vec::as_slice),
        Part::New(..) | Part::Any => &[],
    }
}

/// Compares bytes with what is expected, and gives names to parts of them.
fn matches(parts: &[Part], found: &[u8], names: &mut Names) -> bool {
    let fixed: usize = parts.iter().map(Part::length).sum();
    let Some(any) = found.len().checked_sub(fixed) else {
        return false;
    };
    let mut rest = found;
    for part in parts {
        let length = if matches!(part, Part::Any) {
            any
        } else {
            part.length()
        };
        let Some((bytes, behind)) = rest.split_at_checked(length) else {
            return false;
        };
        match part {
            Part::Any => {}
            Part::New(name, _) => {
                names.insert(name.clone(), bytes.to_vec());
            }
            Part::Bytes(_) | Part::Known(..) => {
                if bytes != part_of(part, names) {
                    return false;
                }
            }
        }
        rest = behind;
    }
    rest.is_empty()
}
