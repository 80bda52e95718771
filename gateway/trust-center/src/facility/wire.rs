//! The connection between the two facilities: TLS 1.3 on which both prove who they are, and letters in frames.
//!
//! A frame is the length of a letter (4 bytes, big-endian) and the letter. Each one of the facility is answered by one of
//! the trust centre; one that is not accepted ends the connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use counterparty::clock;
use counterparty::exchange::{ExchangeError, Identity, own_certificate};
use messages::certificate::{Certificate, Role, TrustAnchor};
use messages::envelope::MAX_MESSAGE;
use model::KeySlot;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::center::Center;

/// How many facilities may be connected at once.
const MAX_CONNECTIONS: usize = 16;
/// How long a connection may take to come about.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long one letter and its answer may take: some thousand signatures, and an HSM may be slow.
const LETTER_PATIENCE: Duration = Duration::from_secs(300);
/// How long a facility may be silent between two letters: somebody changes cards.
const IDLE_PATIENCE: Duration = Duration::from_secs(3_600);
/// How long to wait after a connection could not be accepted, as without file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The reason why there is no connection, or no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The own key or certificate cannot be used.
    #[error(transparent)]
    Own(#[from] ExchangeError),
    /// The own key or certificate cannot be used for TLS.
    #[error("the own TLS certificate cannot be used; restore key and certificate from one backup")]
    Identity(#[source] rustls::Error),
    /// Nobody is there, or not the trust centre.
    #[error(
        "there is no connection to the trust centre at {address}; check the address, and that `trust-center facility serve` runs there"
    )]
    Connect {
        /// The address.
        address: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The trust centre has ended the connection.
    #[error("the trust centre has ended the connection; the same command continues, and its log says why")]
    Broken(#[source] io::Error),
    /// Nothing has come in time.
    #[error("the trust centre does not answer; the same command continues")]
    Timeout,
}

/// The way to the trust centre.
pub(super) struct Wire {
    stream: tokio_rustls::client::TlsStream<TcpStream>,
}

impl Wire {
    /// Connects to the trust centre that listens there.
    pub(super) async fn connect(identity: Identity<'_>, address: &str) -> Result<Self, WireError> {
        let config = client_config(identity)?;
        let at = |source| WireError::Connect {
            address: address.to_owned(),
            source,
        };
        // Whoever answers is judged by the certificate alone, which names no address.
        let name = ServerName::try_from("trust-center").map_err(|error| at(io::Error::other(error)))?;
        let connect = async {
            let stream = TcpStream::connect(address).await?;
            TlsConnector::from(Arc::new(config)).connect(name, stream).await
        };
        let stream = tokio::time::timeout(CONNECT_PATIENCE, connect).await;
        let stream = stream
            .map_err(|_| at(io::ErrorKind::TimedOut.into()))?
            .map_err(at)?;
        Ok(Self { stream })
    }

    /// Sends a letter and returns the answer.
    pub(super) async fn ask(&mut self, letter: &[u8]) -> Result<Vec<u8>, WireError> {
        let ask = async {
            write_frame(&mut self.stream, letter).await?;
            read_frame(&mut self.stream).await
        };
        let answer = tokio::time::timeout(LETTER_PATIENCE, ask).await;
        let answer = answer
            .map_err(|_| WireError::Timeout)?
            .map_err(WireError::Broken)?;
        answer.ok_or_else(|| WireError::Broken(io::ErrorKind::UnexpectedEof.into()))
    }
}

/// Serves facilities until the future is ready.
pub(super) async fn serve(listener: TcpListener, center: Arc<Center>, stop: impl Future<Output = ()>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            tracing::warn!(%peer, "connection refused: too many at once");
            continue;
        };
        let center = Arc::clone(&center);
        connections.spawn(async move {
            if let Err(error) = converse(stream, peer, center).await {
                tracing::warn!(%peer, "connection ended: {error}");
            }
            drop(slot);
        });
    }
    // What is being answered is in the books or not; the facility asks again.
    connections.shutdown().await;
}

async fn converse(stream: TcpStream, peer: SocketAddr, center: Arc<Center>) -> io::Result<()> {
    let config = server_config(&center).map_err(io::Error::other)?;
    let accepting = TlsAcceptor::from(Arc::new(config)).accept(stream);
    let mut stream = tokio::time::timeout(CONNECT_PATIENCE, accepting).await??;
    loop {
        let letter = tokio::time::timeout(IDLE_PATIENCE, read_frame(&mut stream)).await??;
        let Some(letter) = letter else {
            return Ok(());
        };
        let center = Arc::clone(&center);
        let answered = tokio::task::spawn_blocking(move || center.answer(&letter, clock::now())).await?;
        let answer = answered.map_err(|error| {
            tracing::error!(%peer, "{}", crate::chain(&error));
            io::Error::other("the letter was not answered")
        })?;
        write_frame(&mut stream, &answer).await?;
    }
}

async fn write_frame(stream: &mut (impl AsyncWrite + Unpin), letter: &[u8]) -> io::Result<()> {
    let length = u32::try_from(letter.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(letter).await?;
    stream.flush().await
}

/// Reads a letter, or `None` if the other side has ended the connection before one.
async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
    if length > MAX_MESSAGE {
        return Err(io::Error::other("the letter is larger than any message"));
    }
    let mut letter = vec![0; length];
    stream.read_exact(&mut letter).await?;
    Ok(Some(letter))
}

fn client_config(identity: Identity<'_>) -> Result<ClientConfig, WireError> {
    let (chain, key) = own_certificate(identity)?;
    let verifier = PartyVerifier::new(identity.anchor.clone(), Role::Tsm);
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(WireError::Identity)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(chain, key)
        .map_err(WireError::Identity)
}

fn server_config(center: &Center) -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
    let (chain, key) = own_certificate(center.identity()?)?;
    let verifier = PartyVerifier::new(center.anchor()?, Role::Facility);
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(chain, key)?;
    Ok(config)
}

/// Judges the other side's TLS certificate as everything else of this system is judged: by the root, what is revoked, and
/// the role.
#[derive(Debug)]
struct PartyVerifier {
    anchor: TrustAnchor,
    role: Role,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PartyVerifier {
    fn new(anchor: TrustAnchor, role: Role) -> Self {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        Self {
            anchor,
            role,
            algorithms,
        }
    }

    fn judge(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> Result<(), rustls::Error> {
        let other = |error: messages::certificate::CertificateError| {
            CertificateError::Other(rustls::OtherError(Arc::new(error)))
        };
        let mut anchor = self.anchor.clone();
        for issuing in others.iter().take(TrustAnchor::MAX_CHAIN) {
            // Only what the root has certified is taken.
            if let Ok(issuing) = Certificate::from_der(issuing)
                && let Ok(more) = anchor.clone().with_issuing(issuing)
            {
                anchor = more;
            }
        }
        let certificate = Certificate::from_der(certificate).map_err(other)?;
        let judged = anchor.verify(&certificate, clock::now(), self.role, KeySlot::Tls);
        judged.map(|_| ()).map_err(|error| other(error).into())
    }
}

impl ServerCertVerifier for PartyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge(end_entity, intermediates)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

impl ClientCertVerifier for PartyVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.judge(end_entity, intermediates)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
