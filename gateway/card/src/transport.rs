//! How APDUs reach a card, and what can go wrong on the way.

use zeroize::Zeroizing;

use crate::{ApduError, CommandApdu, FileContentError, ResponseApdu, StatusWord};

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
    /// The card signed something else, or with another key than it should.
    #[error("the card's signature for {command} does not verify")]
    Signature {
        /// What the card was to do.
        command: &'static str,
    },
}

/// Sends a command and returns the answer's data, if the card carried it out.
pub(crate) fn execute<T: Transport>(
    transport: &mut T,
    name: &'static str,
    command: &CommandApdu,
) -> Result<ResponseApdu, CardError<T::Error>> {
    let bytes = transport
        .transmit(&command.to_bytes()?)
        .map_err(CardError::Transport)?;
    let response = ResponseApdu::parse(&bytes)?;
    if response.status().is_ok() {
        Ok(response)
    } else {
        Err(CardError::Refused {
            command: name,
            status: response.status(),
        })
    }
}
