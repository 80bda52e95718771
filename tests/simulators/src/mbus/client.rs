//! Those who talk to the slaves through a converter.

use std::io;
use std::time::Duration;

use mbus::master::BaudRate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::bus::Request;
use crate::terminal::Terminal;

/// Bytes taken from a client at once; the longest frame has 261.
const CHUNK: usize = 512;
/// How long a client may take to accept an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a client has sent, and the speed of its port if it has one.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) bytes: Vec<u8>,
    pub(super) rate: Option<BaudRate>,
}

/// Serves one connection of the converter.
pub(super) async fn converse(
    mut stream: TcpStream,
    bus: mpsc::Sender<Request>,
    mut answers: mpsc::Receiver<Vec<u8>>,
    stop: CancellationToken,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut chunk = [0; CHUNK];
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(bytes) = answers.recv() => timeout(WRITE_TIMEOUT, stream.write_all(&bytes)).await??,
            read = stream.read(&mut chunk) => match read? {
                0 => return Ok(()),
                length => hear(&bus, chunk.get(..length), None).await,
            },
        }
    }
}

/// Serves the pseudo-terminal.
pub(super) async fn converse_serial(
    terminal: Terminal,
    bus: mpsc::Sender<Request>,
    mut answers: mpsc::Receiver<Vec<u8>>,
    stop: CancellationToken,
) -> io::Result<()> {
    let mut terminal = terminal;
    let mut chunk = [0; CHUNK];
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(bytes) = answers.recv() => {
                timeout(WRITE_TIMEOUT, terminal.port.write_all(&bytes)).await??;
            }
            read = terminal.port.read(&mut chunk) => match read? {
                0 => return Ok(()),
                length => {
                    let rate = terminal.baud_rate().and_then(|rate| BaudRate::try_from(rate).ok());
                    hear(&bus, chunk.get(..length), rate).await;
                }
            },
        }
    }
}

/// Puts what the master sent onto the bus; if there is none any more, nobody hears it.
async fn hear(bus: &mpsc::Sender<Request>, bytes: Option<&[u8]>, rate: Option<BaudRate>) {
    let bytes = bytes.unwrap_or_default().to_vec();
    let heard = Request::Heard(Heard { bytes, rate });
    bus.send(heard).await.unwrap_or_default();
}
