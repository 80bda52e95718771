//! The door of a gateway in miniature: mutual TLS 1.3 and HTTP. What answers behind it is the test's.

use std::net::SocketAddr;
use std::sync::Arc;

use counterparty::exchange::GatewayAddress;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use messages::certificate::TrustAnchor;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// Status and body of an answer; without one the connection breaks.
pub(super) type Reply = Option<(StatusCode, Vec<u8>)>;

/// A door that is open until it is dropped.
pub(super) struct Door {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Door {
    /// Opens a door at a free port, for whom the root has certified. Every message goes to `answer`.
    pub(super) fn open(
        anchor: &TrustAnchor,
        key: CertifiedKey,
        answer: impl Fn(&[u8]) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(server_config(anchor, key)));
        let listener = std::net::TcpListener::bind("[::1]:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let task = tokio::spawn(accept(listener, acceptor, Arc::new(answer)));
        Self { address, task }
    }

    pub(super) fn address(&self) -> GatewayAddress {
        self.address.to_string().parse().unwrap()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept<A>(listener: TcpListener, acceptor: TlsAcceptor, answer: Arc<A>)
where
    A: Fn(&[u8]) -> Reply + Send + Sync + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (acceptor, answer) = (acceptor.clone(), Arc::clone(&answer));
        connections.spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = service_fn(|request| respond(Arc::clone(&answer), request));
            let served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(served);
        });
    }
}

async fn respond<A>(answer: Arc<A>, request: Request<Incoming>) -> std::io::Result<Response<Full<Bytes>>>
where
    A: Fn(&[u8]) -> Reply,
{
    assert_eq!(request.uri().path(), "/smgw/v1/messages");
    assert_eq!(request.headers()["content-type"], "application/pkcs7-mime");
    let message = request.into_body().collect().await.unwrap().to_bytes();
    let (status, body) = answer(&message).ok_or_else(|| std::io::Error::other("cut"))?;
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    Ok(response)
}

fn server_config(anchor: &TrustAnchor, key: CertifiedKey) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from(anchor.certificate().as_der().to_vec());
    roots.add(root).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
}
