//! The program `softcard`: a card in a file, in the virtual reader of a real `pcscd`.
//!
//! It prints one line of JSON once the card is on its way into the reader, and lives until SIGINT or SIGTERM.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use simulators::softcard::{Control, SoftCard};
use tokio::signal::unix::{SignalKind, signal};

/// The address of the virtual reader as vsmartcard installs it.
const DEFAULT_READER: &str = "127.0.0.1:35963";

/// A card in a file, in the virtual reader of a real pcscd (vsmartcard-vpcd).
#[derive(Debug, Parser)]
#[command(name = "softcard", version)]
struct Arguments {
    /// The card's state; a file that is not there is a blank card. It holds the private keys.
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// Where the virtual reader listens.
    #[arg(long, value_name = "HOST:PORT", default_value = DEFAULT_READER)]
    reader: SocketAddr,
    /// A Unix socket that takes one line for each connection: remove, insert, brown-out, delay MS, garble N, hang,
    /// resume, contact.
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let Arguments {
        state,
        reader,
        control,
    } = Arguments::parse();
    // Before the line is printed: whoever has read it may end the program at once.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let card = Arc::new(SoftCard::start(&state, reader).map_err(io::Error::other)?);
    if let Some(socket) = &control {
        Control::listen(socket, Arc::downgrade(&card)).map_err(io::Error::other)?;
    }
    let line = serde_json::json!({ "state": state, "reader": reader });
    writeln!(io::stdout(), "{line}")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
