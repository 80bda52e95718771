//! The way to a gateway: directly, or over a broker; one message there, and what comes back.
//!
//! Directly it is HTTPS with mutual TLS 1.3, and one message answers one. The server has to be the gateway's card: its
//! certificate names the GUID as address, whatever address the connection is made to. Over a broker (`line`, [`crate::hub`]) other
//! messages of the gateway may come first, and each wants a receipt. What the messages say and whether they are genuine
//! is decided elsewhere.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use broker::{BrokerAddress, ConnectionError, Protocol, Unsent};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode, Uri, header};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use messages::certificate::{TrustAnchor, VerifiedParty};
use messages::content::{RefusalCode, RefusalReason};
use messages::envelope::MAX_MESSAGE;
use messages::software::{SoftwareKeyError, SoftwareKeys};
use model::CardId;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;

use crate::hub::{Group, Hub, HubCall};
use crate::line::{Line, Waiting};
use crate::random::RandomError;

/// How long the other side may take to accept a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long a whole exchange may take: the card signs some ten times at 300 ms each, and an answer
/// of the greatest size comes over a mobile network.
pub(crate) const EXCHANGE_PATIENCE: Duration = Duration::from_secs(120);
/// How long a connection is kept for the next message; a handshake costs the card a signature.
const IDLE_PATIENCE: Duration = Duration::from_secs(20);
/// The greatest size of a refusal in bytes: code, reason, and JSON around them.
const MAX_REFUSAL: usize = 4_096;
/// Where a gateway takes messages.
const PATH: &str = "/smgw/v1/messages";
/// The type of a CMS message (RFC 8551, section 3.2).
const CONTENT_TYPE: &str = "application/pkcs7-mime";

/// The reason why a gateway did not answer with a message.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The own TLS key cannot be used.
    #[error("the own TLS key cannot be used; restore it from its backup")]
    Key(#[from] SoftwareKeyError),
    /// The own TLS key or certificate cannot be used.
    #[error("the own TLS certificate cannot be used; restore key and certificate from one backup")]
    Identity(#[source] rustls::Error),
    /// The own TLS key is in no form that the TLS library reads.
    #[error("the own TLS key cannot be read; restore it from its backup")]
    KeyForm(#[source] rustls::pki_types::pem::Error),
    /// The request could not be put together.
    #[error("the request to {gateway} cannot be put together")]
    Request {
        /// The gateway's address.
        gateway: GatewayAddress,
        /// Why not.
        #[source]
        source: hyper::http::Error,
    },
    /// There is no connection: nobody there, or not the gateway with this GUID.
    #[error("no connection to {gateway}; check the address, the GUID and that the gateway runs")]
    Connect {
        /// The gateway's address.
        gateway: GatewayAddress,
        /// Why not.
        #[source]
        source: hyper_util::client::legacy::Error,
    },
    /// The connection broke; a gateway does that to whom it does not know.
    #[error("the connection to {gateway} broke; try again, and check that both have one trust centre")]
    Broken {
        /// The gateway's address.
        gateway: GatewayAddress,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The gateway took too long.
    #[error("{gateway} did not answer within {} s; try again", EXCHANGE_PATIENCE.as_secs())]
    Timeout {
        /// The gateway's address.
        gateway: GatewayAddress,
    },
    /// The answer is larger than any message.
    #[error("{gateway} answered with more than {limit} bytes; it is no gateway of this system")]
    TooLarge {
        /// The gateway's address.
        gateway: GatewayAddress,
        /// The limit in bytes.
        limit: usize,
    },
    /// The gateway refused the message and said why.
    #[error("{gateway} refuses the message: {reason} ({code})")]
    Refused {
        /// The gateway's address.
        gateway: GatewayAddress,
        /// The stable code.
        code: RefusalCode,
        /// The reason, as a sentence.
        reason: RefusalReason,
    },
    /// The broker cannot be used, or the connection to it has ended.
    #[error("the way over the broker failed")]
    Broker(#[source] Arc<ConnectionError>),
    /// The message cannot be handed to the broker.
    #[error("the message cannot be handed to the broker")]
    Unsent(#[from] Unsent),
    /// The broker does not pass the message on.
    #[error(
        "the broker does not pass the message on ({reason}); have its operator permit this party its own topics"
    )]
    NotPassedOn {
        /// What the broker says.
        reason: String,
    },
    /// Nobody listens where the gateway should.
    #[error("the gateway {guid} is not connected to the broker; try again when it is")]
    Away {
        /// Which gateway.
        guid: CardId,
    },
    /// Somebody waits for an answer of the gateway over the same connection.
    #[error("the gateway {guid} is being asked already; ask it once at a time")]
    Engaged {
        /// Which gateway.
        guid: CardId,
    },
    /// The address is that of a gateway, and a broker's is wanted.
    #[error("{gateway} is no broker; a broker's address begins with {BROKER_SCHEME}")]
    NoBroker {
        /// The address.
        gateway: GatewayAddress,
    },
    /// No random bytes could be drawn.
    #[error("the connection to the broker gets no name")]
    Random(#[from] RandomError),
    /// The answer is none that a gateway gives.
    #[error("{gateway} answered with HTTP status {status} and no reason; check that it is a gateway")]
    Status {
        /// The gateway's address.
        gateway: GatewayAddress,
        /// The HTTP status.
        status: StatusCode,
    },
}

/// Where a gateway is reached: `HOST:PORT`, an IPv6 address in brackets, or over a broker, `mqtts://HOST:PORT`, with
/// `?mqtt=3.1.1` for the version that is not 5.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayAddress(Place);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Direct(Arc<Uri>),
    Broker(BrokerAddress, Protocol),
}

/// The port that gateways listen on unless told otherwise.
const DIRECT_PORT: u16 = 8_443;
/// What the address of a broker begins with; it has no registered scheme, and everybody writes it so.
const BROKER_SCHEME: &str = "mqtts://";
/// What the address of a broker ends with that knows MQTT 3.1.1 only.
const OLD_PROTOCOL: &str = "?mqtt=3.1.1";

impl FromStr for GatewayAddress {
    type Err = GatewayAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(broker) = text.strip_prefix(BROKER_SCHEME) {
            let (address, protocol) = match broker.strip_suffix(OLD_PROTOCOL) {
                Some(address) => (address, Protocol::ThreeOneOne),
                None => (broker, Protocol::Five),
            };
            let address = address.parse().map_err(|_| GatewayAddressError)?;
            return Ok(Self(Place::Broker(address, protocol)));
        }
        let uri: Uri = format!("https://{text}{PATH}")
            .parse()
            .map_err(|_| GatewayAddressError)?;
        let whole = uri
            .authority()
            .is_some_and(|authority| authority.as_str() == text);
        if !whole || uri.port_u16().is_none() || text.contains('@') {
            return Err(GatewayAddressError);
        }
        Ok(Self(Place::Direct(Arc::new(uri))))
    }
}

impl GatewayAddress {
    /// Returns the address of the gateway itself: its GUID, at the port that gateways listen on unless told otherwise.
    #[must_use]
    pub fn of_guid(guid: CardId) -> Option<Self> {
        format!("[{}]:{DIRECT_PORT}", guid.address()).parse().ok()
    }

    /// Returns whether it is a broker's.
    #[must_use]
    pub const fn is_broker(&self) -> bool {
        match self.0 {
            Place::Broker(..) => true,
            Place::Direct(_) => false,
        }
    }
}

impl fmt::Display for GatewayAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Direct(uri) => {
                formatter.write_str(uri.authority().map_or("", |authority| authority.as_str()))
            }
            Place::Broker(address, Protocol::Five) => write!(formatter, "{BROKER_SCHEME}{address}"),
            Place::Broker(address, Protocol::ThreeOneOne) => {
                write!(formatter, "{BROKER_SCHEME}{address}{OLD_PROTOCOL}")
            }
        }
    }
}

/// A text is no address of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a gateway's address has the form HOST:PORT, such as [fd5a::1]:8443, or mqtts://HOST:PORT for the broker"
)]
pub struct GatewayAddressError;

/// The own side: who speaks with gateways, and whom it trusts.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The only root that is trusted.
    pub anchor: &'a TrustAnchor,
    /// The own certificates.
    pub party: &'a VerifiedParty,
    /// Their keys.
    pub keys: &'a SoftwareKeys,
}

/// The way to one gateway.
pub struct Exchange {
    gateway: GatewayAddress,
    way: Way,
}

enum Way {
    Direct {
        client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
        uri: Arc<Uri>,
    },
    Line(Box<Line>),
    Hub {
        hub: Arc<Hub>,
        guid: CardId,
    },
}

/// A message that is on its way, and what comes back.
pub enum Call<'a> {
    /// Directly: one message, which is here.
    Answered(Option<Vec<u8>>),
    /// Over a broker.
    Waiting(Waiting<'a>),
    /// Over a broker, by a connection that many share.
    Shared(HubCall<'a>),
}

impl Call<'_> {
    /// Waits for what comes back: the answer, or, over a broker, something that was sent before.
    ///
    /// # Errors
    ///
    /// [`ExchangeError`] names why nothing more comes.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ExchangeError> {
        match self {
            Self::Answered(answer) => Ok(answer.take()),
            Self::Waiting(waiting) => waiting.next().await.map(Some),
            Self::Shared(call) => call.next().await.map(Some),
        }
    }

    /// Returns whether the gateway wants a receipt for what came, and more may come.
    #[must_use]
    pub const fn wants_receipts(&self) -> bool {
        match self {
            Self::Answered(_) => false,
            Self::Waiting(_) | Self::Shared(_) => true,
        }
    }

    /// Sends a receipt.
    ///
    /// # Errors
    ///
    /// [`ExchangeError`] if it did not get to the broker; the gateway sends the message again then.
    pub async fn receipt(&mut self, message: Vec<u8>) -> Result<(), ExchangeError> {
        match self {
            Self::Answered(_) => Ok(()),
            Self::Waiting(waiting) => waiting.receipt(message).await,
            Self::Shared(call) => call.receipt(message).await,
        }
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Call").finish_non_exhaustive()
    }
}

impl Exchange {
    /// Prepares the way; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`ExchangeError`] if the own TLS key or certificate cannot be used.
    pub fn new(identity: Identity<'_>, guid: CardId, gateway: GatewayAddress) -> Result<Self, ExchangeError> {
        let tls = tls_config(identity)?;
        let way = match &gateway.0 {
            Place::Direct(uri) => Way::Direct {
                client: client(tls, ServerName::from(IpAddr::V6(guid.address()))),
                uri: Arc::clone(uri),
            },
            Place::Broker(address, protocol) => {
                let party = identity.party.sig.certificate().fingerprint();
                Way::Line(Box::new(Line::new(
                    guid,
                    party,
                    (address.clone(), *protocol),
                    tls,
                )))
            }
        };
        Ok(Self { gateway, way })
    }

    /// Prepares the way to a gateway over a hub; nothing is sent yet.
    #[must_use]
    pub fn over(hub: Arc<Hub>, guid: CardId) -> Self {
        Self {
            gateway: hub.address().clone(),
            way: Way::Hub { hub, guid },
        }
    }

    /// Sends a message (DER); the answer is what comes back, or is among it.
    ///
    /// # Errors
    ///
    /// [`ExchangeError`] names what kept the gateway from answering with a message.
    pub async fn call(&self, message: Vec<u8>) -> Result<Call<'_>, ExchangeError> {
        match &self.way {
            Way::Direct { client, uri } => {
                let posting = self.post(client, uri, message);
                let answer = tokio::time::timeout(EXCHANGE_PATIENCE, posting).await;
                let answer = answer.map_err(|_| self.timeout())??;
                Ok(Call::Answered(Some(answer)))
            }
            Way::Line(line) => Ok(Call::Waiting(line.call(message, &self.gateway).await?)),
            Way::Hub { hub, guid } => Ok(Call::Shared(hub.call(*guid, message).await?)),
        }
    }

    fn timeout(&self) -> ExchangeError {
        ExchangeError::Timeout {
            gateway: self.gateway.clone(),
        }
    }

    async fn post(
        &self,
        client: &Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
        uri: &Uri,
        message: Vec<u8>,
    ) -> Result<Vec<u8>, ExchangeError> {
        let gateway = || self.gateway.clone();
        let request = Request::builder()
            .method(Method::POST)
            .uri(uri.clone())
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .header(header::ACCEPT, CONTENT_TYPE)
            .body(Full::new(Bytes::from(message)))
            .map_err(|source| ExchangeError::Request {
                gateway: gateway(),
                source,
            })?;
        let response = client.request(request).await.map_err(|source| {
            let gateway = gateway();
            if source.is_connect() {
                ExchangeError::Connect { gateway, source }
            } else {
                let source = source.into();
                ExchangeError::Broken { gateway, source }
            }
        })?;
        match response.status() {
            StatusCode::OK => self.read(response, MAX_MESSAGE).await,
            status => {
                let body = self.read(response, MAX_REFUSAL).await?;
                Err(self.refusal(status, &body))
            }
        }
    }

    async fn read(&self, response: Response<Incoming>, limit: usize) -> Result<Vec<u8>, ExchangeError> {
        let body = Limited::new(response.into_body(), limit).collect().await;
        let gateway = || self.gateway.clone();
        body.map(|body| body.to_bytes().to_vec()).map_err(|source| {
            let gateway = gateway();
            if source.is::<LengthLimitError>() {
                ExchangeError::TooLarge { gateway, limit }
            } else {
                ExchangeError::Broken { gateway, source }
            }
        })
    }

    /// Reads why a gateway refuses; whoever answers otherwise is none.
    fn refusal(&self, status: StatusCode, body: &[u8]) -> ExchangeError {
        let gateway = self.gateway.clone();
        match serde_json::from_slice(body) {
            Ok(Refusal { code, reason }) => ExchangeError::Refused {
                gateway,
                code,
                reason,
            },
            Err(_) => ExchangeError::Status { gateway, status },
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Exchange")
            .field("gateway", &self.gateway)
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// Prepares a connection to a broker for many gateways; it is made when the first message is sent, and lives in the
    /// present runtime of tokio.
    ///
    /// # Errors
    ///
    /// [`ExchangeError::NoBroker`] for the address of a gateway, and what keeps the own certificate from being used.
    pub fn new(identity: Identity<'_>, broker: GatewayAddress) -> Result<Self, ExchangeError> {
        Self::prepare(identity, broker, None)
    }

    /// Prepares a hub as [`Hub::new`] does, which shares what gateways send with the others of a group: the broker gives
    /// each message to one of them. It is for who only takes what gateways send by themselves; who waits for an answer
    /// needs all of it.
    ///
    /// # Errors
    ///
    /// As [`Hub::new`].
    pub fn sharing(
        identity: Identity<'_>,
        broker: GatewayAddress,
        group: &Group,
    ) -> Result<Self, ExchangeError> {
        Self::prepare(identity, broker, Some(group))
    }

    fn prepare(
        identity: Identity<'_>,
        broker: GatewayAddress,
        group: Option<&Group>,
    ) -> Result<Self, ExchangeError> {
        let Place::Broker(address, protocol) = &broker.0 else {
            return Err(ExchangeError::NoBroker { gateway: broker });
        };
        let place = (address.clone(), *protocol);
        let party = identity.party.sig.certificate().fingerprint();
        Self::start(broker, party, group, place, tls_config(identity)?)
    }
}

/// What a gateway answers instead of a message.
#[derive(Deserialize)]
struct Refusal {
    code: RefusalCode,
    reason: RefusalReason,
}

/// Prepares connections over TLS to a server that is expected to have this name, whatever address they are made to.
pub(crate) fn client(
    tls: ClientConfig,
    server_name: ServerName<'static>,
) -> Client<HttpsConnector<HttpConnector>, Full<Bytes>> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(CONNECT_PATIENCE));
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_only()
        .with_server_name_resolver(FixedServerNameResolver::new(server_name))
        .enable_http1()
        .wrap_connector(http);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_PATIENCE)
        .build(https)
}

fn tls_config(identity: Identity<'_>) -> Result<ClientConfig, ExchangeError> {
    let mut roots = RootCertStore::empty();
    for authority in std::iter::once(identity.anchor.certificate()).chain(identity.anchor.issuing()) {
        let authority = CertificateDer::from(authority.as_der().to_vec());
        roots.add(authority).map_err(ExchangeError::Identity)?;
    }
    let (chain, key) = own_certificate(identity)?;
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(ExchangeError::Identity)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(ExchangeError::Identity)
}

/// Returns the own TLS certificate, with that of its issuing authority, and its key, as rustls wants them.
///
/// # Errors
///
/// [`ExchangeError::Key`] or [`ExchangeError::KeyForm`] if the key cannot be written for it.
pub fn own_certificate(
    identity: Identity<'_>,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), ExchangeError> {
    let certificate = identity.party.tls.certificate();
    let chain = std::iter::once(certificate).chain(identity.anchor.issuing_of(certificate));
    let chain = chain
        .map(|certificate| CertificateDer::from(certificate.as_der().to_vec()))
        .collect();
    let pem = identity.keys.tls.to_pkcs8_pem()?;
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(ExchangeError::KeyForm)?;
    Ok((chain, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for text in [
            "[::1]:8443",
            "127.0.0.1:1",
            "gateway.example:443",
            "mqtts://broker.example:8883",
            "mqtts://[::1]:8883?mqtt=3.1.1",
        ] {
            assert_eq!(text.parse::<GatewayAddress>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "::1",
            "[::1]",
            "host",
            "host:",
            "a@b:1",
            "host:1/x",
            "host:99999",
            "a b:1",
            "mqtts://broker.example",
            "mqtts://broker.example:8883/x",
            "mqtts://broker.example:8883?mqtt=4",
            "mqtt://broker.example:1883",
        ] {
            assert_eq!(
                text.parse::<GatewayAddress>(),
                Err(GatewayAddressError),
                "{text:?}"
            );
        }
    }
}
