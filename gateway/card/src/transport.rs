//! How APDUs reach a card, and what can go wrong on the way.

use zeroize::Zeroizing;

use crate::{ApduError, CommandApdu, FileContentError, Header, ResponseApdu, StatusWord};

/// A way to a card that is inserted: a PC/SC reader, or the applet in process.
pub trait Transport {
    /// What the way itself can fail with; the card's refusals are not among it.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Sends the bytes of a command and returns those of the answer, status word included. They may
    /// hold an agreed secret, and are wiped when they are dropped.
    ///
    /// # Errors
    ///
    /// If the card could not be reached or did not answer.
    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, Self::Error>;
}

impl<T: Transport + ?Sized> Transport for &mut T {
    type Error = T::Error;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, Self::Error> {
        (**self).transmit(command)
    }
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    type Error = T::Error;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, Self::Error> {
        (**self).transmit(command)
    }
}

/// The reason why the card did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum CardError<E: std::error::Error + 'static> {
    /// The card could not be reached.
    #[error("the card cannot be reached")]
    Transport(#[source] E),
    /// The card refused the command.
    #[error("the card refuses {command}: {status}")]
    Refused {
        /// What the card was to do.
        command: &'static str,
        /// What it answered.
        status: StatusWord,
    },
    /// The command or the answer is no APDU.
    #[error("the exchange with the card is malformed")]
    Apdu(#[from] ApduError),
    /// A file of the card holds something else than it should.
    #[error("the card's data are malformed")]
    File(#[from] FileContentError),
    /// The card's answer has not the form that the command asks for.
    #[error("the card answers {command} with malformed data")]
    Answer {
        /// What the card was to do.
        command: &'static str,
    },
    /// The card does not know the pairing secret, or somebody stands between.
    #[error("the card does not prove that it knows the pairing secret")]
    Pairing,
    /// A protected answer was altered on the way; the session with the card has ended.
    #[error("the card's protected answer to {command} was altered on the way")]
    Channel {
        /// What the card was to do.
        command: &'static str,
    },
    /// The card, or somebody in its place, has ended the session with it.
    #[error("the card has ended its session at {command}: {status}")]
    SessionEnded {
        /// What the card was to do.
        command: &'static str,
        /// What it answered, in clear.
        status: StatusWord,
    },
    /// Secure messaging has ended with an error before; in clear anybody could answer.
    #[error("{command} is not sent: the session with the card has ended, and has to begin anew")]
    NotSent {
        /// What the card was to do.
        command: &'static str,
        /// The status word with which the session ended, if it was one.
        by: Option<StatusWord>,
    },
    /// The card signed something else, or with another key than it should.
    #[error("the card's signature for {command} does not verify")]
    Signature {
        /// What the card was to do.
        command: &'static str,
    },
}

/// How many parts an answer can have: 65 536 bytes in parts of 256, and the first one.
const MAX_PARTS: usize = 257;

/// Sends a command and returns the answer's data, if the card carried it out.
pub(crate) fn execute<T: Transport>(
    transport: &mut T,
    name: &'static str,
    command: &CommandApdu,
) -> Result<ResponseApdu, CardError<T::Error>> {
    good(name, exchange(transport, command)?)
}

/// Returns the answer if the card carried the command out.
pub(crate) fn good<E: std::error::Error>(
    command: &'static str,
    response: ResponseApdu,
) -> Result<ResponseApdu, CardError<E>> {
    let status = response.status();
    if status.is_ok() {
        Ok(response)
    } else {
        Err(CardError::Refused { command, status })
    }
}

/// Sends a command and returns the whole answer, whatever it says: an answer in parts is put together,
/// and a card that wants another number of expected bytes is asked again.
pub(crate) fn exchange<T: Transport>(
    transport: &mut T,
    command: &CommandApdu,
) -> Result<ResponseApdu, CardError<T::Error>> {
    let mut response = transmit(transport, command)?;
    if let Some(bytes) = response.status().exact() {
        response = transmit(transport, &command.clone().expecting(bytes))?;
    }
    if response.status().remaining().is_none() {
        return Ok(response);
    }
    let mut data = Zeroizing::new(response.data().to_vec());
    for _ in 0..MAX_PARTS {
        let Some(bytes) = response.status().remaining() else {
            return Ok(ResponseApdu::with_status(data.to_vec(), response.status()));
        };
        let get = CommandApdu::new(Header::new([0x00, 0xC0, 0x00, 0x00]), Vec::new());
        response = transmit(transport, &get.expecting(bytes))?;
        data.extend_from_slice(response.data());
    }
    Err(CardError::Apdu(ApduError::TooLong { found: data.len() }))
}

fn transmit<T: Transport>(
    transport: &mut T,
    command: &CommandApdu,
) -> Result<ResponseApdu, CardError<T::Error>> {
    let bytes = transport
        .transmit(&command.to_bytes()?)
        .map_err(CardError::Transport)?;
    Ok(ResponseApdu::parse(&bytes)?)
}
