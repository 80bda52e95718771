//! Orders from outside: a Unix socket that takes one line and answers with one.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use super::{Contact, SoftCard, SoftCardError};

/// The longest line that is read.
const LONGEST_LINE: u64 = 256;
/// How long whoever connects may take for his line.
const LINE_TIMEOUT: Duration = Duration::from_secs(5);

/// What can be done to a soft card that runs as a program, as lines of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// `remove`: takes the card out.
    Remove,
    /// `insert`: puts it back.
    Insert,
    /// `brown-out`: takes its power away for a moment.
    BrownOut,
    /// `delay MS`: lets every signature take so long.
    Delay(Duration),
    /// `garble N`: gives garbage for N answers.
    Garble(u32),
    /// `hang`: stops answering.
    Hang,
    /// `resume`: answers again.
    Resume,
    /// `contact`: tells whether the card is in the reader.
    Contact,
}

/// The reason why a line is no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give remove, insert, brown-out, delay MS, garble N, hang, resume or contact")]
pub struct UnknownControl;

impl FromStr for Control {
    type Err = UnknownControl;

    fn from_str(line: &str) -> Result<Self, UnknownControl> {
        match line.split_once(' ') {
            None => match line {
                "remove" => Ok(Self::Remove),
                "insert" => Ok(Self::Insert),
                "brown-out" => Ok(Self::BrownOut),
                "hang" => Ok(Self::Hang),
                "resume" => Ok(Self::Resume),
                "contact" => Ok(Self::Contact),
                _ => Err(UnknownControl),
            },
            Some(("delay", ms)) => {
                let ms = ms.parse().map_err(|_| UnknownControl)?;
                Ok(Self::Delay(Duration::from_millis(ms)))
            }
            Some(("garble", answers)) => answers.parse().map(Self::Garble).map_err(|_| UnknownControl),
            Some(_) => Err(UnknownControl),
        }
    }
}

impl fmt::Display for Contact {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Inserted => "inserted",
            Self::Waiting => "waiting",
            Self::Removed => "removed",
        })
    }
}

impl Control {
    /// Does it to the card and returns how the card then stands to its reader.
    pub fn act_on(self, card: &SoftCard) -> Contact {
        match self {
            Self::Remove => card.remove(),
            Self::Insert => card.insert(),
            Self::BrownOut => card.brown_out(),
            Self::Delay(delay) => card.delay_signatures(delay),
            Self::Garble(answers) => card.garble(answers),
            Self::Hang => card.hang(),
            Self::Resume => card.resume(),
            Self::Contact => {}
        }
        card.contact()
    }

    /// Takes orders for the card from a socket, one line for each connection, on a thread that lives as long as the
    /// program. The answer is `inserted`, `waiting` or `removed`, or what is wrong with the line.
    ///
    /// # Errors
    ///
    /// [`SoftCardError::File`] if the socket cannot be opened, [`SoftCardError::Thread`] without a thread.
    pub fn listen(socket: &Path, card: std::sync::Weak<SoftCard>) -> Result<(), SoftCardError> {
        let listener = UnixListener::bind(socket).map_err(SoftCardError::file(socket))?;
        let serve = move || {
            for stream in listener.incoming() {
                let Some(card) = card.upgrade() else { return };
                if let Err(error) = stream.and_then(|stream| converse(stream, &card)) {
                    tracing::warn!("an order was not taken: {error}");
                }
            }
        };
        std::thread::Builder::new()
            .name("orders".to_owned())
            .spawn(serve)
            .map(drop)
            .map_err(SoftCardError::Thread)
    }
}

fn converse(mut stream: UnixStream, card: &SoftCard) -> io::Result<()> {
    stream.set_read_timeout(Some(LINE_TIMEOUT))?;
    let mut line = String::new();
    BufReader::new(stream.try_clone()?.take(LONGEST_LINE)).read_line(&mut line)?;
    let answer = match line.trim_end().parse::<Control>() {
        Ok(order) => order.act_on(card).to_string(),
        Err(error) => error.to_string(),
    };
    writeln!(stream, "{answer}")
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use super::*;

    fn say(socket: &Path, line: &str) -> String {
        let mut stream = UnixStream::connect(socket).unwrap();
        writeln!(stream, "{line}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }

    #[test]
    fn orders_are_taken_and_answered() {
        let folder = tempfile::tempdir().unwrap();
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let card = Arc::new(SoftCard::start(&folder.path().join("card"), nobody).unwrap());
        let socket = folder.path().join("orders");
        Control::listen(&socket, Arc::downgrade(&card)).unwrap();
        assert_eq!(say(&socket, "contact"), "waiting");
        for order in ["brown-out", "delay 100", "garble 3", "hang", "resume"] {
            assert_eq!(say(&socket, order), "waiting", "{order}");
        }
        assert_eq!(say(&socket, "remove"), "removed");
        assert_eq!(say(&socket, "insert"), "waiting");
        assert_eq!(say(&socket, "explode"), UnknownControl.to_string());
        assert_eq!(say(&socket, "delay soon"), UnknownControl.to_string());
    }

    #[test]
    fn socket_that_cannot_be_opened_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing/orders");
        let listened = Control::listen(&missing, std::sync::Weak::new());
        assert!(matches!(listened, Err(SoftCardError::File { path, .. }) if path == missing));
    }
}
