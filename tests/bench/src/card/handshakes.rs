//! What TLS handshakes do to the gateway while its card takes 100 ms for a signature.
//!
//! The gateway is measured from outside, as it is: while twenty clients shake hands, its local page is asked for
//! something that costs nothing, over and over. The page runs on the same runtime as the handshakes; the longest time
//! that it keeps somebody waiting is at least as long as the runtime stood still.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use socket2::{Domain, Socket, Type};
use system::House;

use super::{Figure, quantile};
use crate::error::BenchError;

/// How many clients shake hands at once.
const CLIENTS: u8 = 20;
/// How many of them come from one address: the gateway admits two.
const CLIENTS_OF_ONE: u8 = 2;
/// How long a signature takes on the slow card.
const SIGNATURE: &str = "delay 100";
/// How long all handshakes may take; each waits for its turn.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the page is watched while nothing else goes on.
const QUIET: Duration = Duration::from_secs(2);
/// A request that costs nothing: the page has no such thing.
const REQUEST: &[u8] = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Measures the handshakes of a house with a reader.
pub(super) fn measure(house: &mut House) -> Result<[Figure; 5], BenchError> {
    // Another network for each pair of clients exists on IPv4 loopback alone.
    let text = std::fs::read_to_string(&house.config).map_err(BenchError::file(&house.config))?;
    house.config = house
        .stage
        .write("bench.toml", &text.replace("[::1]:0", "127.0.0.1:0"))?;
    house.gateway.stop()?;
    house.start_gateway_again("operational")?;
    let page = house.status.web.as_deref().unwrap_or_default();
    let page = address(page.trim_start_matches("http://").trim_end_matches('/'))?;
    let wan = address(house.status.wan.as_deref().unwrap_or_default())?;
    let client = client(house)?;

    let quiet = watch_for(page, QUIET)?;
    if let Some(reader) = &house.reader {
        reader.card.order(SIGNATURE)?;
    }
    let one = shake_hands(wan, 0, &client)?;
    let done = AtomicBool::new(false);
    let begun = Instant::now();
    let (busy, all) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch(page, || !done.load(Ordering::Relaxed)));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let client = &client;
                scope.spawn(move || shake_hands(wan, number, client))
            })
            .collect();
        let shaken: Result<Vec<_>, _> = clients.into_iter().map(joined).collect();
        let all = begun.elapsed();
        done.store(true, Ordering::Relaxed);
        shaken.and_then(|_| joined(watching)).map(|busy| (busy, all))
    })?;
    let figure = |name, limit_ms, ms| Figure { name, limit_ms, ms };
    Ok([
        figure(
            "local page while nothing goes on, slowest answer",
            None,
            quantile(&quiet, 1.0),
        ),
        figure("one handshake, signature of 100 ms", None, millis(one)),
        figure(
            "20 parallel handshakes, signatures of 100 ms, all of them",
            None,
            millis(all),
        ),
        figure("local page meanwhile, median answer", None, quantile(&busy, 0.5)),
        figure(
            "local page meanwhile, slowest answer (the stall of the runtime)",
            Some(20.0),
            quantile(&busy, 1.0),
        ),
    ])
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T, BenchError>>) -> Result<T, BenchError> {
    let panicked = || std::io::Error::other("a thread of the bench has panicked");
    thread
        .join()
        .unwrap_or_else(|_| Err(BenchError::Network(panicked())))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn address(text: &str) -> Result<SocketAddr, BenchError> {
    let parsed = text.parse();
    parsed.map_err(|_| BenchError::Network(std::io::Error::new(ErrorKind::InvalidInput, text.to_owned())))
}

/// Asks the page again and again, and returns how long each answer took, in milliseconds, sorted.
fn watch(page: SocketAddr, goes_on: impl Fn() -> bool) -> Result<Vec<f64>, BenchError> {
    let mut stream = TcpStream::connect(page).map_err(BenchError::Network)?;
    stream.set_nodelay(true).map_err(BenchError::Network)?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .map_err(BenchError::Network)?;
    let mut times = Vec::new();
    let mut buffer = [0; 4096];
    while goes_on() {
        let begun = Instant::now();
        stream.write_all(REQUEST).map_err(BenchError::Network)?;
        let mut read = 0;
        while !buffer.get(..read).unwrap_or_default().ends_with(b"\r\n\r\n") {
            let rest = buffer.get_mut(read..).unwrap_or_default();
            match stream.read(rest).map_err(BenchError::Network)? {
                0 => return Err(BenchError::Network(ErrorKind::UnexpectedEof.into())),
                more => read += more,
            }
        }
        times.push(millis(begun.elapsed()));
        std::thread::park_timeout(Duration::from_millis(1));
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn watch_for(page: SocketAddr, time: Duration) -> Result<Vec<f64>, BenchError> {
    let begun = Instant::now();
    watch(page, || begun.elapsed() < time)
}

/// Shakes hands once; a client that is not admitted comes again, and only its last try counts.
fn shake_hands(wan: SocketAddr, number: u8, client: &Arc<ClientConfig>) -> Result<Duration, BenchError> {
    let begun = Instant::now();
    loop {
        let tried = Instant::now();
        match try_once(wan, number, client) {
            Ok(()) => return Ok(tried.elapsed()),
            Err(error) if begun.elapsed() > PATIENCE => return Err(BenchError::Network(error)),
            Err(_) => std::thread::park_timeout(Duration::from_millis(20)),
        }
    }
}

fn try_once(wan: SocketAddr, number: u8, client: &Arc<ClientConfig>) -> std::io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let own = Ipv4Addr::new(127, 0, 1, 1 + number / CLIENTS_OF_ONE);
    socket.bind(&SocketAddr::from((own, 0)).into())?;
    socket.connect(&wan.into())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut stream = TcpStream::from(socket);
    let name = ServerName::IpAddress(wan.ip().into());
    let mut connection = ClientConnection::new(Arc::clone(client), name).map_err(std::io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(())
}

/// The supplier's side of TLS. The gateway's certificate is the business of other tests.
fn client(house: &House) -> Result<Arc<ClientConfig>, BenchError> {
    let home = house.supplier.home();
    let pem = |error: rustls::pki_types::pem::Error| BenchError::Network(std::io::Error::other(error));
    let certificate = CertificateDer::from_pem_file(home.join("tls.pem")).map_err(pem)?;
    let key = PrivateKeyDer::from_pem_file(home.join("tls.key")).map_err(pem)?;
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_client_auth_cert(vec![certificate], key)?;
    Ok(Arc::new(config))
}

/// Takes any certificate, but checks the signature of the handshake.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
