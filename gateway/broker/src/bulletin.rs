//! A bulletin: values that are pinned up at a broker of the house, for whoever reads them there.
//!
//! It is no way of the WAN. The broker is the consumer's own, every message is retained, and nothing is ever read. MQTT 3.1.1,
//! which every broker knows; with TLS where the broker has a certificate, without where it has none.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rumqttc_v4::mqttbytes::v4::Packet;
use rumqttc_v4::{
    AsyncClient, ConnectionError as Fault, Event, EventLoop, LastWill, MqttOptions, NetworkOptions, Outgoing,
    PublishOptions, QoS, TlsConfiguration, Transport,
};
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::address::BrokerAddress;

/// How many messages may wait to be sent.
const QUEUED: usize = 32;
/// How many the broker may be sent before it has taken the first of them.
const UNTAKEN: u16 = 16;
/// How long it may take until the broker has let the client in.
const OPENING_PATIENCE: Duration = Duration::from_secs(15);
/// How long a TCP connection may take, in seconds.
const CONNECT_PATIENCE_S: u64 = 10;
/// How long the broker may take to take a message.
const TAKING_PATIENCE: Duration = Duration::from_secs(15);
/// After how much silence the client shows that it is there, in seconds.
const KEEP_ALIVE_S: u16 = 30;
/// The longest packet that is taken, in bytes: the broker sends acknowledgements alone.
const MAX_INCOMING: usize = 1_024;
/// The longest packet that is sent, in bytes.
const MAX_OUTGOING: usize = 64 * 1_024;

/// What a bulletin is made with.
pub struct BulletinOptions {
    /// Where the broker listens.
    pub address: BrokerAddress,
    /// The client identifier; a broker ends the elder of two connections with the same.
    pub client: String,
    /// The user's name and password, if the broker wants them.
    pub credentials: Option<(String, String)>,
    /// What the broker's certificate is checked with; without it the connection is not encrypted.
    pub tls: Option<Arc<ClientConfig>>,
    /// What the broker pins up when the client is gone: topic and text.
    pub will: (String, &'static str),
}

impl fmt::Debug for BulletinOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BulletinOptions")
            .field("address", &self.address)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// The reason why nothing can be pinned up.
#[derive(Debug, thiserror::Error)]
pub enum BulletinError {
    /// The broker cannot be reached.
    #[error("the broker {broker} of the house cannot be reached; check its address and the network")]
    Unreachable {
        /// Where it should be.
        broker: BrokerAddress,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The broker does not let the client in.
    #[error("the broker {broker} of the house refuses the gateway: {code}; check the user and the password")]
    Refused {
        /// Which broker.
        broker: BrokerAddress,
        /// What it says.
        code: String,
    },
    /// The broker did not answer in time.
    #[error(
        "the broker {broker} of the house gave no answer in time; check that it speaks MQTT at this port"
    )]
    Silent {
        /// Which broker.
        broker: BrokerAddress,
    },
    /// A message is too long.
    #[error("a message of {found} bytes is too long for the broker of the house")]
    TooLong {
        /// Its length in bytes.
        found: usize,
    },
    /// The connection has ended.
    #[error("the connection to the broker {broker} of the house has ended")]
    Ended {
        /// Which broker.
        broker: BrokerAddress,
    },
}

impl BulletinError {
    /// Returns whether coming again soon is of no use: somebody has to change something first.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::TooLong { .. } => true,
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Ended { .. } => false,
        }
    }
}

/// What happens on the wire.
enum Happening {
    LetIn,
    Taken,
    Gone,
}

/// A connection to a broker of the house. It ends with the first fault, and when it is dropped.
pub struct Bulletin {
    client: AsyncClient,
    broker: BrokerAddress,
    happenings: mpsc::Receiver<Result<Happening, BulletinError>>,
    wire: JoinHandle<()>,
}

impl fmt::Debug for Bulletin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Bulletin")
            .field("broker", &self.broker)
            .finish_non_exhaustive()
    }
}

impl Drop for Bulletin {
    fn drop(&mut self) {
        self.wire.abort();
    }
}

impl Bulletin {
    /// Connects.
    ///
    /// # Errors
    ///
    /// [`BulletinError`] if the broker cannot be reached or does not let the client in.
    pub async fn open(options: BulletinOptions) -> Result<Self, BulletinError> {
        let broker = options.address.clone();
        let (client, events) = client(options);
        let (tell, happenings) = mpsc::channel(QUEUED);
        let wire = tokio::spawn(go_on(events, tell, broker.clone()));
        let mut bulletin = Self {
            client,
            broker,
            happenings,
            wire,
        };
        bulletin
            .wait_for(OPENING_PATIENCE, |happening| {
                matches!(happening, Happening::LetIn)
            })
            .await?;
        Ok(bulletin)
    }

    /// Pins a text up in the place of what is there, and waits until the broker has it. An empty one takes down what is there.
    ///
    /// # Errors
    ///
    /// [`BulletinError`] if the broker does not take it.
    pub async fn pin(&mut self, topic: &str, text: impl Into<Bytes>) -> Result<(), BulletinError> {
        let text = text.into();
        let found = topic.len().saturating_add(text.len());
        if found > MAX_OUTGOING {
            return Err(BulletinError::TooLong { found });
        }
        let options = PublishOptions::new(QoS::AtLeastOnce).retained();
        let published = self.client.try_publish(topic.to_owned(), text, options);
        published.map_err(|_| self.ended())?;
        self.wait_for(TAKING_PATIENCE, |happening| matches!(happening, Happening::Taken))
            .await
    }

    /// Waits for the end of the connection, which is always a fault.
    pub async fn end(&mut self) -> BulletinError {
        loop {
            match self.happenings.recv().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error,
                None => return self.ended(),
            }
        }
    }

    /// Says goodbye: the broker keeps the last will to itself.
    pub async fn leave(mut self) {
        if self.client.disconnect().await.is_ok() {
            let gone = self.wait_for(TAKING_PATIENCE, |happening| matches!(happening, Happening::Gone));
            // Whoever leaves has no use for how it ended.
            drop(gone.await);
        }
    }

    async fn wait_for(
        &mut self,
        patience: Duration,
        is_it: impl Fn(&Happening) -> bool,
    ) -> Result<(), BulletinError> {
        let waiting = async {
            loop {
                match self.happenings.recv().await {
                    Some(Ok(happening)) if is_it(&happening) => return Ok(()),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                    None => return Err(self.ended()),
                }
            }
        };
        match tokio::time::timeout(patience, waiting).await {
            Ok(outcome) => outcome,
            Err(_) => Err(BulletinError::Silent {
                broker: self.broker.clone(),
            }),
        }
    }

    fn ended(&self) -> BulletinError {
        BulletinError::Ended {
            broker: self.broker.clone(),
        }
    }
}

fn client(options: BulletinOptions) -> (AsyncClient, EventLoop) {
    let address = (options.address.host().to_owned(), options.address.port());
    let mut settings = MqttOptions::new(options.client, address);
    let (topic, text) = options.will;
    settings
        .set_keep_alive(KEEP_ALIVE_S)
        .set_clean_session(true)
        .set_inflight(UNTAKEN)
        .set_max_packet_size(MAX_INCOMING, MAX_OUTGOING)
        .set_last_will(LastWill::new(topic, text, QoS::AtLeastOnce, true));
    if let Some(tls) = options.tls {
        settings.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
    }
    if let Some((user, password)) = options.credentials {
        settings.set_credentials(user, password);
    }
    let (client, mut events) = AsyncClient::builder(settings).capacity(QUEUED).build();
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(CONNECT_PATIENCE_S);
    events.set_network_options(network);
    (client, events)
}

/// Goes on until the first fault; the client below would connect again by itself.
async fn go_on(
    mut events: EventLoop,
    tell: mpsc::Sender<Result<Happening, BulletinError>>,
    broker: BrokerAddress,
) {
    loop {
        let happening = match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => Ok(Happening::LetIn),
            Ok(Event::Incoming(Packet::PubAck(_))) => Ok(Happening::Taken),
            Ok(Event::Outgoing(Outgoing::Disconnect)) => Ok(Happening::Gone),
            Ok(Event::Incoming(_) | Event::Outgoing(_)) => continue,
            Err(Fault::ConnectionRefused(code)) => Err(BulletinError::Refused {
                broker: broker.clone(),
                code: format!("{code:?}"),
            }),
            Err(fault) => Err(BulletinError::Unreachable {
                broker: broker.clone(),
                source: Box::new(fault),
            }),
        };
        let is_end = matches!(happening, Err(_) | Ok(Happening::Gone));
        if tell.send(happening).await.is_err() || is_end {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn options(port: u16) -> BulletinOptions {
        BulletinOptions {
            address: format!("127.0.0.1:{port}").parse().unwrap(),
            client: "gateway".to_owned(),
            credentials: Some(("user".to_owned(), "secret".to_owned())),
            tls: None,
            will: ("house/there".to_owned(), "offline"),
        }
    }

    #[tokio::test]
    async fn nobody_at_the_port_is_told_as_such_and_the_password_to_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        assert!(!format!("{:?}", options(port)).contains("secret"));
        let error = Bulletin::open(options(port)).await.unwrap_err();
        assert!(matches!(error, BulletinError::Unreachable { .. }) && !error.is_refusal());
    }

    #[tokio::test]
    async fn who_talks_something_else_than_mqtt_is_left() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answering = async {
            use tokio::io::AsyncWriteExt;
            let (mut stream, _) = listener.accept().await.unwrap();
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .unwrap();
            std::future::pending::<()>().await;
        };
        let opened = tokio::select! {
            opened = Bulletin::open(options(port)) => opened,
            () = answering => unreachable!(),
        };
        assert!(opened.is_err());
    }
}
