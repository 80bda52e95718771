//! How a supplier and the TSM speak: HTTPS with mutual TLS 1.3, JSON with schema names, and requests as CMS messages.
//!
//! | method and path below `/tsm/v1` | body | answer |
//! |---|---|---|
//! | `GET /certificates` | | [`TsmView`]: to whom requests are sealed |
//! | `HEAD /applications/SHA256` | | 200 if the TSM has it, 404 if not |
//! | `PUT /applications/SHA256` | the WebAssembly module | 204 |
//! | `POST /requests` | an `installation-request`, sealed (CMS, DER) | [`RequestView`] |
//! | `GET /requests?behind=NUMBER` | | [`RequestsView`]: the own ones behind the number |
//! | `GET /requests/ID` | | [`RequestView`], with the gateway's certificates once it serves |
//!
//! Whatever is refused is answered with a [`RefusalView`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use getrandom::SysRng;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use messages::certificate::{Certificate, CertificateError, Role, Triple, TrustAnchor};
use messages::content::{
    Content, ContentError, InstallationRequest, MessageId, RefusalCode, RefusalReason, application_digest,
};
use messages::envelope::{EnvelopeRandom, SealError, Sender, seal};
use messages::software::{SoftwareEphemeral, SoftwareKeyError};
use model::{CardId, Fingerprint, Grant, KeySlot, Timestamp};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::exchange::{ExchangeError, GatewayAddress, Identity, client, own_certificate};
use crate::random::{self, RandomError};

/// How long an exchange may take: the greatest application over a slow line.
const PATIENCE: Duration = Duration::from_secs(60);
/// The greatest size of an answer in bytes: a page of requests with their grants.
const MAX_ANSWER: usize = 16 * 1_024 * 1_024;
/// The type of a CMS message (RFC 8551, section 3.2).
const MESSAGE: &str = "application/pkcs7-mime";
/// The type of a WebAssembly module.
const MODULE: &str = "application/wasm";
/// A name that the TSM need not have: its certificate is judged by its role, not by a name.
const SERVER_NAME: &str = "tsm.invalid";

/// The TSM's certificates.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "schema", rename = "tsm.certificates/1")]
pub struct TsmView {
    /// SIG.
    pub sig: Certificate,
    /// ENC, to which requests are sealed.
    pub enc: Certificate,
}

/// A request, and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "schema", rename = "tsm.request/1")]
pub struct RequestView {
    /// Its identity.
    pub id: MessageId,
    /// Its place in the order in which requests came.
    pub number: u64,
    /// The GUID of the gateway's card.
    pub gateway: CardId,
    /// `waiting`, `approved`, `installed`, `rejected`, `failed` or `superseded`.
    pub state: String,
    /// Why, if there is more to say.
    pub reason: Option<String>,
    /// When it came.
    pub received: Timestamp,
    /// When its state changed.
    pub changed: Timestamp,
    /// What the TSM's policy leaves of the grants that were asked for.
    pub grants: Vec<Grant>,
    /// The application that was asked for.
    pub application: Option<Fingerprint>,
    /// The certificates of the gateway's card, once it serves, in the answer about this request alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Triple>,
    /// The issuing authorities of the trust centre, with those certificates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuing: Vec<Certificate>,
}

/// Requests, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "schema", rename = "tsm.requests/1")]
pub struct RequestsView {
    /// The requests; an empty page is the last one.
    pub requests: Vec<RequestView>,
}

/// Why something is refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "schema", rename = "tsm.refusal/1")]
pub struct RefusalView {
    /// The stable code.
    pub code: RefusalCode,
    /// The cause and the remedy.
    pub reason: RefusalReason,
}

/// The reason why the TSM has not done what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum TsmClientError {
    /// The own TLS key or certificate cannot be used.
    #[error("the own TLS certificate cannot be used")]
    Identity(#[from] ExchangeError),
    /// TLS cannot be set up.
    #[error("the own TLS certificate cannot be used; restore key and certificate from one backup")]
    Tls(#[source] rustls::Error),
    /// A request could not be put together.
    #[error("the request to {tsm} cannot be put together")]
    Request {
        /// The TSM's address.
        tsm: GatewayAddress,
        /// Why not.
        #[source]
        source: hyper::http::Error,
    },
    /// There is no connection.
    #[error(
        "no connection to the TSM at {tsm}; check the address, that it runs, and that both have one trust centre"
    )]
    Connect {
        /// The TSM's address.
        tsm: GatewayAddress,
        /// Why not.
        #[source]
        source: hyper_util::client::legacy::Error,
    },
    /// The answer broke off.
    #[error("the answer of the TSM at {tsm} broke off; try again")]
    Broken {
        /// The TSM's address.
        tsm: GatewayAddress,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The TSM took too long.
    #[error("the TSM at {tsm} did not answer within {} s; try again", PATIENCE.as_secs())]
    Timeout {
        /// The TSM's address.
        tsm: GatewayAddress,
    },
    /// The answer is larger than any.
    #[error("the TSM at {tsm} answered with more than {MAX_ANSWER} bytes; check that it is one")]
    TooLarge {
        /// The TSM's address.
        tsm: GatewayAddress,
    },
    /// The TSM refuses, and says why.
    #[error("the TSM refuses: {reason} ({code})")]
    Refused {
        /// The stable code.
        code: RefusalCode,
        /// The cause and the remedy.
        reason: RefusalReason,
    },
    /// The answer is none that a TSM gives.
    #[error(
        "{tsm} answered with HTTP status {status} and no reason; check that it is a TSM of the same version"
    )]
    Status {
        /// The TSM's address.
        tsm: GatewayAddress,
        /// The HTTP status.
        status: StatusCode,
    },
    /// The answer cannot be read.
    #[error("the answer of the TSM at {tsm} cannot be read; check that both have the same version")]
    Answer {
        /// The TSM's address.
        tsm: GatewayAddress,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// The certificate that the TSM shows is none of its own.
    #[error("the certificate that the TSM shows is not a TSM's; ask the trust centre")]
    Certificate(#[source] CertificateError),
    /// The request cannot be written.
    #[error("the request cannot be written; ask for fewer grants")]
    Content(#[source] ContentError),
    /// The request cannot be sealed.
    #[error("the request cannot be sealed for the TSM")]
    Seal(#[source] Box<SealError<SoftwareKeyError>>),
    /// No random bytes could be drawn.
    #[error("no identity can be drawn for the request")]
    Random(#[from] RandomError),
}

/// A supplier's way to the TSM.
pub struct TsmClient<'a> {
    identity: Identity<'a>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    tsm: GatewayAddress,
    clock: fn() -> Timestamp,
}

impl fmt::Debug for TsmClient<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TsmClient")
            .field("tsm", &self.tsm)
            .finish_non_exhaustive()
    }
}

impl<'a> TsmClient<'a> {
    /// Prepares the way; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`TsmClientError`] if the own TLS key or certificate cannot be used.
    pub fn new(
        identity: Identity<'a>,
        tsm: GatewayAddress,
        clock: fn() -> Timestamp,
    ) -> Result<Self, TsmClientError> {
        let server_name = ServerName::try_from(SERVER_NAME)
            .map_err(|_| TsmClientError::Tls(rustls::Error::UnsupportedNameType))?;
        let client = client(tls_config(identity, clock)?, server_name);
        Ok(Self {
            identity,
            client,
            tsm,
            clock,
        })
    }

    /// Uploads an application unless the TSM has it; returns its digest.
    ///
    /// # Errors
    ///
    /// [`TsmClientError`] names what failed, or why the TSM refuses.
    pub async fn upload(&self, application: &[u8]) -> Result<Fingerprint, TsmClientError> {
        let digest = application_digest(application);
        let path = format!("/tsm/v1/applications/{digest}");
        let (status, _) = self.exchange(Method::HEAD, &path, MODULE, Vec::new()).await?;
        if status == StatusCode::OK {
            return Ok(digest);
        }
        let put = self
            .exchange(Method::PUT, &path, MODULE, application.to_vec())
            .await?;
        match put {
            (StatusCode::NO_CONTENT, _) => Ok(digest),
            (status, body) => Err(self.refusal(status, &body)),
        }
    }

    /// Sends a request, sealed for the TSM, and returns what became of it.
    ///
    /// # Errors
    ///
    /// As [`TsmClient::upload`].
    pub async fn request(&self, request: &InstallationRequest) -> Result<RequestView, TsmClientError> {
        let view: TsmView = self.get("/tsm/v1/certificates").await?;
        let now = (self.clock)();
        let anchor = self.identity.anchor;
        let recipient = anchor.verify(&view.enc, now, Role::Tsm, KeySlot::Enc);
        let recipient = recipient.map_err(TsmClientError::Certificate)?;
        let content = Content::InstallationRequest(request.clone());
        let json = content.to_json().map_err(TsmClientError::Content)?;
        let certificate = self.identity.party.sig.certificate();
        let sender = Sender {
            certificate,
            issuing: anchor.issuing_of(certificate),
            signer: &self.identity.keys.sig,
            agreement: SoftwareEphemeral::new(SysRng),
        };
        let random = EnvelopeRandom::new(random::bytes()?);
        let message = seal(&json, &recipient, sender, &random, now)
            .map_err(|error| TsmClientError::Seal(Box::new(error)))?;
        let answer = self
            .exchange(Method::POST, "/tsm/v1/requests", MESSAGE, message)
            .await?;
        self.read(answer)
    }

    /// Returns the own requests behind a number; an empty page is the last one.
    ///
    /// # Errors
    ///
    /// As [`TsmClient::upload`].
    pub async fn requests(&self, behind: u64) -> Result<RequestsView, TsmClientError> {
        self.get(&format!("/tsm/v1/requests?behind={behind}")).await
    }

    /// Returns one of the own requests, with the gateway's certificates once it serves.
    ///
    /// # Errors
    ///
    /// As [`TsmClient::upload`].
    pub async fn state(&self, id: MessageId) -> Result<RequestView, TsmClientError> {
        self.get(&format!("/tsm/v1/requests/{id}")).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, TsmClientError> {
        let answer = self.exchange(Method::GET, path, MESSAGE, Vec::new()).await?;
        self.read(answer)
    }

    fn read<T: DeserializeOwned>(&self, (status, body): (StatusCode, Bytes)) -> Result<T, TsmClientError> {
        if !status.is_success() {
            return Err(self.refusal(status, &body));
        }
        let tsm = self.tsm.clone();
        serde_json::from_slice(&body).map_err(|source| TsmClientError::Answer { tsm, source })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), TsmClientError> {
        let exchange = self.exchange_patiently(method, path, content_type, body);
        let tsm = self.tsm.clone();
        let patient = tokio::time::timeout(PATIENCE, exchange).await;
        patient.map_err(|_| TsmClientError::Timeout { tsm })?
    }

    async fn exchange_patiently(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), TsmClientError> {
        let tsm = || self.tsm.clone();
        let uri = Uri::builder()
            .scheme("https")
            .authority(self.tsm.to_string())
            .path_and_query(path)
            .build();
        let request = uri.and_then(|uri| {
            Request::builder()
                .method(method)
                .uri(uri)
                .header(header::CONTENT_TYPE, content_type)
                .body(Full::new(Bytes::from(body)))
        });
        let request = request.map_err(|source| TsmClientError::Request { tsm: tsm(), source })?;
        let response = self.client.request(request).await.map_err(|source| {
            let tsm = tsm();
            if source.is_connect() {
                TsmClientError::Connect { tsm, source }
            } else {
                let source = source.into();
                TsmClientError::Broken { tsm, source }
            }
        })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|source| {
            let tsm = tsm();
            if source.is::<LengthLimitError>() {
                TsmClientError::TooLarge { tsm }
            } else {
                TsmClientError::Broken { tsm, source }
            }
        })?;
        Ok((status, body.to_bytes()))
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> TsmClientError {
        match serde_json::from_slice(body) {
            Ok(RefusalView { code, reason }) => TsmClientError::Refused { code, reason },
            Err(_) => TsmClientError::Status {
                tsm: self.tsm.clone(),
                status,
            },
        }
    }
}

fn tls_config(identity: Identity<'_>, clock: fn() -> Timestamp) -> Result<ClientConfig, TsmClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = TsmVerifier {
        anchor: identity.anchor.clone(),
        provider: Arc::clone(&provider),
        clock,
    };
    let (chain, key) = own_certificate(identity)?;
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TsmClientError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(chain, key)
        .map_err(TsmClientError::Tls)
}

/// Takes a TSM of the own trust centre for the server, whatever its address is called, and nobody else.
#[derive(Debug)]
struct TsmVerifier {
    anchor: TrustAnchor,
    provider: Arc<CryptoProvider>,
    clock: fn() -> Timestamp,
}

impl ServerCertVerifier for TsmVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let refused = |error: CertificateError| rustls::Error::General(error.to_string());
        let certificate = Certificate::from_der(end_entity).map_err(refused)?;
        self.anchor
            .verify(&certificate, (self.clock)(), Role::Tsm, KeySlot::Tls)
            .map_err(refused)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // No other version than 1.3 is offered.
        Err(rustls::PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
