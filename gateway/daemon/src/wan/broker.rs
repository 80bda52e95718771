//! The WAN through a broker: the gateway dials out, subscribes to what is for it, and answers.
//!
//! The connection is made while the gateway serves, with the card's TLS key, and ends with the session of the card. An
//! answer goes into the outbox before it goes out, and leaves it when the receipt of its recipient has come; until then
//! it is sent again with every new connection, and from time to time. What comes in twice is told apart by its id.

mod desk;
mod echo;
mod resend;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use broker::{
    BrokerAddress, Connection, ConnectionError, Event, Filter, Leg, Options, Patience, PresenceTopic,
    Protocol, Return,
};
use messages::certificate::{Certificate, CertificateError};
use messages::envelope::MAX_MESSAGE;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::exchange::Exchange;
use super::server::end_of_session;
use crate::card::{CardHandle, Identity, Standing, TlsSetupError, client_config};
use crate::random::{self, RandomError};
use crate::report::Chain;

pub(crate) use echo::{EchoSeen, TlsSeen, try_echo, try_tls};

use desk::Desk;
use resend::Resends;

/// How often the outbox is looked through.
const OUTBOX_PAUSE: Duration = Duration::from_secs(1);

/// How long a connection has to last for the next failure to be the first again.
const LASTING: Duration = Duration::from_secs(60);

/// The length of the longest certificate file of another root, in bytes.
const MAX_ROOT_FILE: u64 = 64 * 1_024;

/// Through which broker, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrokerConfig {
    /// Where it listens.
    pub(crate) address: BrokerAddress,
    /// The version of MQTT.
    pub(crate) protocol: Protocol,
    /// The longest wait after the start.
    pub(crate) start_delay: Duration,
    /// Who else than the trust centre may certify the broker: a file with a certificate (PEM).
    pub(crate) root: Option<PathBuf>,
}

/// How it stands with the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BrokerView {
    /// Where it listens.
    pub(crate) address: String,
    /// Whether the gateway is connected.
    pub(crate) connected: bool,
    /// Why it is not, or was not the last time.
    pub(crate) fault: Option<String>,
}

impl fmt::Display for BrokerView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            connected,
            fault,
        } = self;
        match (connected, fault) {
            (true, _) => write!(formatter, "{address}, connected"),
            (false, Some(fault)) => write!(formatter, "{address}, NOT connected: {fault}"),
            (false, None) => write!(formatter, "{address}, not connected yet"),
        }
    }
}

impl BrokerView {
    /// Before the first connection.
    pub(crate) fn of(config: &BrokerConfig) -> Self {
        Self {
            address: config.address.to_string(),
            connected: false,
            fault: None,
        }
    }
}

/// The reason why the gateway is not connected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokerError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    #[error(transparent)]
    Random(#[from] RandomError),
    #[error("the file {} with the broker's root cannot be read", path.display())]
    RootFile {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the file {} holds no certificate of a root (PEM)", path.display())]
    Root {
        path: PathBuf,
        #[source]
        source: CertificateError,
    },
}

impl BrokerError {
    const fn is_refusal(&self) -> bool {
        match self {
            Self::Connection(error) => error.is_refusal(),
            Self::Tls(_) | Self::Random(_) | Self::RootFile { .. } | Self::Root { .. } => true,
        }
    }
}

/// The gateway's end of the way over a broker.
pub(crate) struct BrokerWay {
    config: BrokerConfig,
    card: CardHandle,
    exchange: Exchange,
    standing: watch::Receiver<Standing>,
    view: watch::Sender<BrokerView>,
}

impl BrokerWay {
    /// Prepares the way, and returns where it can be seen how it stands.
    pub(crate) fn new(
        config: BrokerConfig,
        card: CardHandle,
        exchange: Exchange,
        standing: watch::Receiver<Standing>,
    ) -> (Self, watch::Receiver<BrokerView>) {
        let (view, watch) = watch::channel(BrokerView::of(&config));
        let way = Self {
            config,
            card,
            exchange,
            standing,
            view,
        };
        (way, watch)
    }

    /// Keeps the connection until the daemon stops.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keep_connected() => {}
        }
    }

    async fn keep_connected(&mut self) {
        let mut returns = Return::new(Patience::FLEET);
        // Power returns to a whole street at once.
        tokio::time::sleep(broker::part_of(self.config.start_delay, random_number())).await;
        loop {
            let Some(identity) = self.serving().await else {
                return;
            };
            let begun = tokio::time::Instant::now();
            let mut standing = self.standing.clone();
            let error = tokio::select! {
                outcome = self.serve(&identity) => outcome,
                () = end_of_session(&mut standing, identity.session) => Ok(()),
            };
            if begun.elapsed() >= LASTING {
                returns.succeeded();
            }
            let Err(error) = error else {
                self.show(false, Some("the gateway does not serve at the moment".to_owned()));
                continue;
            };
            let pause = if error.is_refusal() {
                returns.refused(random_number())
            } else {
                returns.failed(random_number())
            };
            let text = Chain(&error).to_string();
            tracing::warn!(again_in_s = pause.as_secs(), "{text}");
            self.show(false, Some(text));
            tokio::time::sleep(pause).await;
        }
    }

    /// Waits until the gateway serves; nothing if the card's thread is gone.
    async fn serving(&mut self) -> Option<Arc<Identity>> {
        let standing = self.standing.wait_for(Standing::answers).await.ok()?;
        standing.identity.clone()
    }

    /// Connects and serves until the connection ends.
    async fn serve(&self, identity: &Identity) -> Result<(), BrokerError> {
        let mut connection = Connection::open(self.options(identity)?).await?;
        tracing::info!(broker = %self.config.address, "connected to the broker");
        self.show(true, None);
        let mut desk = Desk::new(self.exchange.clone(), identity.guid, &connection);
        let mut resends = Resends::default();
        let mut look = tokio::time::interval(OUTBOX_PAUSE);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = connection.next() => match event? {
                    Event::Message(delivery) => {
                        // Whoever asks is there, and gets what waits.
                        resends.hasten(&delivery.topic);
                        desk.take(delivery, &connection);
                    }
                    // Whoever the answer was for is away; it waits in the outbox.
                    Event::Unheard(_) => {}
                    Event::NotPassedOn { reason, .. } => tracing::warn!(
                        "the broker does not pass a message on ({reason}); check its access rules"
                    ),
                },
                Some(done) = desk.done() => {
                    if let Some(answer) = desk.put_away(done, &mut connection) {
                        resends.sent(answer);
                    }
                }
                _ = look.tick() => {
                    resends.send_due(&self.exchange.store, identity.guid, &mut connection).await;
                }
            }
        }
    }

    fn options(&self, identity: &Identity) -> Result<Options, BrokerError> {
        let root = self.config.root.as_deref().map(read_root).transpose()?;
        let filters = [Leg::Request, Leg::Receipt].map(|leg| Filter::to_gateway(identity.guid, leg));
        Ok(Options {
            address: self.config.address.clone(),
            protocol: self.config.protocol,
            client: identity.guid.to_string(),
            tls: client_config(&self.card, identity, root.as_ref())?,
            presence: Some(PresenceTopic(identity.guid)),
            filters: filters.into(),
            max_message: MAX_MESSAGE,
        })
    }

    fn show(&self, connected: bool, fault: Option<String>) {
        let address = self.config.address.to_string();
        self.view.send_replace(BrokerView {
            address,
            connected,
            fault,
        });
    }
}

fn read_root(path: &Path) -> Result<Certificate, BrokerError> {
    let file = |source| BrokerError::RootFile {
        path: path.to_owned(),
        source,
    };
    if std::fs::metadata(path).map_err(file)?.len() > MAX_ROOT_FILE {
        return Err(file(std::io::Error::other("it is too long")));
    }
    let text = std::fs::read_to_string(path).map_err(file)?;
    Certificate::from_pem(&text).map_err(|source| BrokerError::Root {
        path: path.to_owned(),
        source,
    })
}

/// Draws a number for a wait; without random numbers every wait is the longest, which harms nobody.
fn random_number() -> u32 {
    random::bytes().map_or(u32::MAX, u32::from_be_bytes)
}
