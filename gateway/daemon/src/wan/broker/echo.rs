//! The way over the broker, tried once from end to end: TLS with the card's key, and a word to oneself.
//!
//! It is a connection of its own beside the one that serves, with another client identifier, so that nothing is interrupted.

use std::time::{Duration, Instant};

use broker::{Connection, EchoTopic, Event, Filter, Options, Unsent};
use bytes::Bytes;
use messages::certificate::Certificate;
use model::Timestamp;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{BrokerConfig, BrokerError, read_root};
use crate::card::{CardHandle, Identity, client_config};
use crate::random;

/// How long TCP and TLS may take: a handshake with a card that signs for 300 ms and is busy, over a mobile network.
const TLS_PATIENCE: Duration = Duration::from_secs(20);
/// How long the own word may take to come back.
const ECHO_PATIENCE: Duration = Duration::from_secs(10);
/// The length of the word in bytes.
const WORD: usize = 16;

/// What a TLS connection to the broker is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsSeen {
    /// The version and the cipher suite.
    pub(crate) suite: String,
    /// When the broker's certificate ends.
    pub(crate) ends: Option<Timestamp>,
    /// How long TCP and the handshake took.
    pub(crate) took: Duration,
}

/// How the own word came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EchoSeen {
    /// How long it took until the broker had let the gateway in.
    pub(crate) let_in: Duration,
    /// How long the word was on its way there and back.
    pub(crate) echo: Duration,
}

/// The reason why the way over the broker does not carry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrialError {
    /// The gateway is not let in.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// TCP or TLS failed.
    #[error("no TLS connection to the broker")]
    Tls(#[source] std::io::Error),
    /// TCP or TLS took too long.
    #[error("the broker did not end the TLS handshake within {} s", TLS_PATIENCE.as_secs())]
    TlsSilent,
    /// The host is none that TLS knows.
    #[error("the broker's host is neither a name nor an address")]
    Host(#[from] rustls::pki_types::InvalidDnsNameError),
    /// The word was not sent.
    #[error(transparent)]
    Unsent(#[from] Unsent),
    /// The word was not passed on.
    #[error("the broker does not pass on what the gateway says to itself ({reason}); check its access rules")]
    NotPassedOn {
        /// What the broker says.
        reason: String,
    },
    /// The word did not come back.
    #[error(
        "what the gateway said to itself did not come back within {} s; check the broker's access rules",
        ECHO_PATIENCE.as_secs()
    )]
    NoEcho,
}

impl TrialError {
    /// Returns whether the broker has let the gateway in, and only what it said did not come back.
    pub(crate) const fn is_of_echo(&self) -> bool {
        match self {
            Self::Unsent(_) | Self::NotPassedOn { .. } | Self::NoEcho => true,
            Self::Broker(BrokerError::Connection(error)) => {
                matches!(error, broker::ConnectionError::Subscription { .. })
            }
            Self::Broker(_) | Self::Tls(_) | Self::TlsSilent | Self::Host(_) => false,
        }
    }
}

/// Opens a TLS connection to the broker as the gateway would, and closes it.
///
/// # Errors
///
/// [`TrialError`] says why there is none.
pub(crate) async fn try_tls(
    config: &BrokerConfig,
    card: &CardHandle,
    identity: &Identity,
) -> Result<TlsSeen, TrialError> {
    let root = config.root.as_deref().map(read_root).transpose()?;
    let tls = client_config(card, identity, root.as_ref()).map_err(BrokerError::from)?;
    let host = config.address.host().to_owned();
    let name = ServerName::try_from(host.clone())?;
    let begun = Instant::now();
    let connecting = async {
        let stream = TcpStream::connect((host, config.address.port())).await?;
        TlsConnector::from(tls).connect(name, stream).await
    };
    let stream = tokio::time::timeout(TLS_PATIENCE, connecting).await;
    let stream = stream
        .map_err(|_| TrialError::TlsSilent)?
        .map_err(TrialError::Tls)?;
    let took = begun.elapsed();
    let (_, session) = stream.get_ref();
    let suite = session.negotiated_cipher_suite();
    let shown = session.peer_certificates().and_then(|chain| chain.first());
    let ends = shown.and_then(|der| Certificate::from_der(der.as_ref()).ok()?.validity().ok());
    Ok(TlsSeen {
        suite: suite.map_or_else(String::new, |suite| format!("{:?}", suite.suite())),
        ends: ends.map(|(_, end)| end),
        took,
    })
}

/// Connects to the broker beside the connection that serves, says something to itself, and waits for it.
///
/// # Errors
///
/// [`TrialError`] says what did not carry.
pub(crate) async fn try_echo(
    config: &BrokerConfig,
    card: &CardHandle,
    identity: &Identity,
) -> Result<EchoSeen, TrialError> {
    let root = config.root.as_deref().map(read_root).transpose()?;
    let begun = Instant::now();
    let options = Options {
        address: config.address.clone(),
        protocol: config.protocol,
        client: format!("{}-echo", identity.guid),
        tls: client_config(card, identity, root.as_ref()).map_err(BrokerError::from)?,
        presence: None,
        filters: vec![Filter::echo(identity.guid)],
        max_message: WORD,
    };
    let mut connection = Connection::open(options).await.map_err(BrokerError::from)?;
    let let_in = begun.elapsed();
    let word = Bytes::from(random::bytes::<WORD>().map_err(BrokerError::from)?.to_vec());
    let said = Instant::now();
    connection.say_to_oneself(EchoTopic(identity.guid), word.clone())?;
    let heard = tokio::time::timeout(ECHO_PATIENCE, hear(&mut connection, &word)).await;
    heard.map_err(|_| TrialError::NoEcho)??;
    Ok(EchoSeen {
        let_in,
        echo: said.elapsed(),
    })
}

/// Waits for the word; another one may be of a trial before.
async fn hear(connection: &mut Connection, word: &Bytes) -> Result<(), TrialError> {
    loop {
        match connection.next().await.map_err(BrokerError::from)? {
            Event::Message(delivery) => {
                let is_own = delivery.message == *word;
                connection.acknowledge(&delivery)?;
                if is_own {
                    return Ok(());
                }
            }
            Event::Unheard(_) => return Err(TrialError::NoEcho),
            Event::NotPassedOn { reason, .. } => return Err(TrialError::NotPassedOn { reason }),
        }
    }
}
