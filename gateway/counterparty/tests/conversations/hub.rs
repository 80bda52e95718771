//! Several gateways behind one Mosquitto, and a party that speaks with all of them over one connection.

use std::error::Error;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker::{Connection, Event, Filter, Leg, Options, Protocol, Topic};
use counterparty::clock;
use counterparty::conversation::{Conversation, ConversationError, Keeper};
use counterparty::exchange::{Exchange, ExchangeError, GatewayAddress, Identity, own_certificate};
use counterparty::hub::Hub;
use getrandom::SysRng;
use messages::certificate::profile::{Key, SerialNumber, issue_broker};
use messages::certificate::{Subject, VerifiedParty};
use messages::content::{Content, MessageId, Request};
use messages::envelope::MAX_MESSAGE;
use messages::software::SoftwareKey;
use model::{Aggregation, CardId, Period, Query, Span};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::checks::{identity, party};
use super::gateway_double::{Gateway, TestAuthority, TestParty};

/// How long something may take that happens at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// A private Mosquitto that takes everybody whom the authority has certified.
pub(super) struct Mosquitto {
    folder: TempDir,
    child: Child,
    port: u16,
}

impl Mosquitto {
    pub(super) async fn start(authority: &TestAuthority) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        certify(authority, folder.path());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "user root\nlistener {port} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n\
             use_identity_as_username true\nallow_anonymous true\npersistence false\nlog_dest file {}\n",
            path("root.pem"),
            path("broker.pem"),
            path("broker.key"),
            path("log"),
        );
        std::fs::write(folder.path().join("conf"), config).unwrap();
        let child = spawn(folder.path());
        let mosquitto = Self { folder, child, port };
        mosquitto.wait().await;
        mosquitto
    }

    /// Kills the broker, as a crash would; it forgets everything.
    fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Starts the broker again at the same address.
    async fn start_again(&mut self) {
        self.child = spawn(self.folder.path());
        self.wait().await;
    }

    async fn wait(&self) {
        let listens = || std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok();
        eventually("a listening broker", listens).await;
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    fn address(&self) -> GatewayAddress {
        format!("mqtts://localhost:{}", self.port).parse().unwrap()
    }

    /// Counts the clients that have come by the identity of their certificate.
    fn clients(&self, name: &str) -> usize {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        let connected = log.lines().filter(|line| line.contains("New client connected"));
        connected
            .filter(|line| line.contains(&format!("u'{name}'")))
            .count()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(folder: &Path) -> Child {
    Command::new("/usr/sbin/mosquitto")
        .arg("-c")
        .arg(folder.join("conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("`cargo verify` installs mosquitto")
}

fn certify(authority: &TestAuthority, folder: &Path) {
    let key = SoftwareKey::generate(&mut SysRng).unwrap();
    let now = clock::now();
    let validity = Period::new(now.saturating_sub(Span::DAY), now.saturating_add(Span::DAY)).unwrap();
    let certified = Key {
        public_key: key.public_point(),
        serial_number: SerialNumber::from_random([7; 16]),
        validity,
    };
    let root = authority.anchor().certificate();
    let certificate = issue_broker(&["localhost".parse().unwrap()], certified, root, &authority.key);
    let write = |name: &str, pem: &str| std::fs::write(folder.join(name), pem).unwrap();
    write("root.pem", &root.to_pem().unwrap());
    write("broker.pem", &certificate.unwrap().to_pem().unwrap());
    write("broker.key", &key.to_pkcs8_pem().unwrap());
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect(what);
}

pub(super) fn tls(identity: Identity<'_>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from(identity.anchor.certificate().as_der().to_vec());
    roots.add(root).unwrap();
    let (chain, key) = own_certificate(identity).unwrap();
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap()
}

/// A gateway that answers over the broker, and counts the receipts that it gets.
struct Behind {
    guid: CardId,
    card: VerifiedParty,
    receipts: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Behind {
    async fn start(authority: &TestAuthority, own: &TestParty, mosquitto: &Mosquitto, guid: CardId) -> Self {
        let gateway = Gateway::new(authority, guid, &own.certificates);
        let card = gateway.certificates().clone();
        let subject = authority.party(&Subject::card(guid));
        let party = own.certificates.sig.certificate().fingerprint();
        let options = Options {
            address: format!("localhost:{}", mosquitto.port).parse().unwrap(),
            protocol: Protocol::Five,
            client: guid.to_string(),
            tls: Arc::new(tls(identity(authority, &subject))),
            presence: None,
            filters: [Leg::Request, Leg::Receipt]
                .map(|leg| Filter::to_gateway(guid, leg))
                .into(),
            max_message: MAX_MESSAGE,
        };
        let mut connection = Connection::open(options).await.unwrap();
        let receipts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&receipts);
        let task = tokio::spawn(async move {
            while let Ok(event) = connection.next().await {
                let Event::Message(delivery) = event else {
                    continue;
                };
                connection.acknowledge(&delivery).unwrap();
                let topic: Topic = delivery.topic.parse().unwrap();
                if topic.leg == Leg::Receipt {
                    counted.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                let answer = gateway.answer_to(&delivery.message);
                let (_, message) = gateway.says(&Content::Answer(answer)).unwrap();
                let leg = Leg::Response;
                let topic = Topic {
                    gateway: guid,
                    leg,
                    party,
                };
                // Something old comes first; it is answered with a receipt, too.
                for message in [message.clone(), message] {
                    connection.publish(&topic, message.into(), None).unwrap();
                }
            }
        });
        Self {
            guid,
            card,
            receipts,
            task,
        }
    }

    fn receipts(&self) -> usize {
        self.receipts.load(Ordering::SeqCst)
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Counts what it keeps, or keeps nothing.
struct Shelf {
    kept: usize,
    is_full: bool,
}

impl Keeper for Shelf {
    async fn keep(&mut self, _: &Content, _: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        if self.is_full {
            return Err("the shelf is full".into());
        }
        self.kept += 1;
        Ok(())
    }
}

fn request(own: &TestParty, guid: CardId, number: u8) -> Content {
    let end = Span::QUARTER_HOUR.grid_after(clock::now());
    Content::Request(Request {
        id: MessageId::new([number; 16]),
        sender: own.certificates.sig.certificate().fingerprint(),
        recipient: guid,
        time: clock::now(),
        queries: vec![Query {
            elements: "*".parse().unwrap(),
            period: Period::new(end.saturating_sub(Span::DAY), end).unwrap(),
            resolution: Span::QUARTER_HOUR,
            aggregation: Aggregation::Value,
        }],
    })
}

pub(super) fn guid(number: u8) -> CardId {
    format!("fd5a::{number}").parse().unwrap()
}

struct Street {
    authority: TestAuthority,
    own: TestParty,
    mosquitto: Mosquitto,
    gateways: Vec<Behind>,
    hub: Arc<Hub>,
}

async fn street(gateways: u8) -> Street {
    let authority = TestAuthority::new("Trust centre");
    let own = party(&authority);
    let mosquitto = Mosquitto::start(&authority).await;
    let mut behind = Vec::new();
    for number in 1..=gateways {
        behind.push(Behind::start(&authority, &own, &mosquitto, guid(number)).await);
    }
    let hub = Arc::new(Hub::new(identity(&authority, &own), mosquitto.address()).unwrap());
    Street {
        authority,
        own,
        mosquitto,
        gateways: behind,
        hub,
    }
}

impl Street {
    async fn ask(
        &self,
        guid: CardId,
        card: &VerifiedParty,
        number: u8,
        shelf: &mut Shelf,
    ) -> Result<Content, ConversationError> {
        let exchange = Exchange::over(Arc::clone(&self.hub), guid);
        let own = identity(&self.authority, &self.own);
        let mut conversation = Conversation::new(own, card, guid, &exchange, clock::now);
        conversation
            .ask_keeping(&request(&self.own, guid, number), shelf)
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_gateways_are_spoken_with_over_one_connection() {
    let street = Box::pin(street(8)).await;
    let asking = street.gateways.iter().map(async |gateway| {
        let mut shelf = Shelf {
            kept: 0,
            is_full: false,
        };
        for number in 1..=3 {
            let answer = street
                .ask(gateway.guid, &gateway.card, number, &mut shelf)
                .await
                .unwrap();
            let Content::Answer(answer) = answer else {
                panic!("{answer:?}")
            };
            assert_eq!(answer.gateway, gateway.guid);
        }
        shelf.kept
    });
    let mut asking: Vec<_> = asking.map(Box::pin).collect();
    // All at once, on one task.
    let mut kept = vec![None; asking.len()];
    std::future::poll_fn(|context| {
        for (asking, kept) in asking.iter_mut().zip(&mut kept) {
            if kept.is_none()
                && let std::task::Poll::Ready(done) = asking.as_mut().poll(context)
            {
                *kept = Some(done);
            }
        }
        if kept.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    assert!(kept.iter().all(|kept| *kept >= Some(3)), "{kept:?}");
    street.hub.drain().await;
    for (gateway, kept) in street.gateways.iter().zip(kept) {
        eventually("every receipt", || Some(gateway.receipts()) == kept).await;
    }
    assert_eq!(street.mosquitto.clients("Party"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_kept_has_no_receipt() {
    let street = Box::pin(street(1)).await;
    let [gateway] = street.gateways.as_slice() else {
        panic!()
    };
    let mut shelf = Shelf {
        kept: 0,
        is_full: true,
    };
    let failed = street
        .ask(gateway.guid, &gateway.card, 1, &mut shelf)
        .await
        .unwrap_err();
    assert!(matches!(failed, ConversationError::Keep(_)), "{failed}");
    street.hub.drain().await;
    shelf.is_full = false;
    street
        .ask(gateway.guid, &gateway.card, 2, &mut shelf)
        .await
        .unwrap();
    street.hub.drain().await;
    eventually("the receipts of all that was kept", || {
        gateway.receipts() >= shelf.kept
    })
    .await;
    assert_eq!(gateway.receipts(), shelf.kept, "none for the first one");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_away_or_asked_already_is_told_at_once_and_the_others_are_served() {
    let mut street = Box::pin(street(2)).await;
    let mut shelf = Shelf {
        kept: 0,
        is_full: false,
    };
    let nobody = Gateway::new(&street.authority, guid(9), &street.own.certificates);
    let away = street.ask(guid(9), nobody.certificates(), 1, &mut shelf);
    let away = tokio::time::timeout(PATIENCE, away)
        .await
        .expect("at once")
        .unwrap_err();
    let is_away = |error: &ConversationError| matches!(error, ConversationError::Exchange(error) if matches!(**error, ExchangeError::Away { .. }));
    assert!(is_away(&away), "{away}");
    let waiting = Exchange::over(Arc::clone(&street.hub), guid(1));
    let call = waiting.call(b"no message".to_vec()).await.unwrap();
    let twice = waiting.call(b"no message".to_vec()).await.unwrap_err();
    assert!(matches!(twice, ExchangeError::Engaged { .. }), "{twice}");
    drop(call);
    let gateway = &street.gateways[1];
    street
        .ask(gateway.guid, &gateway.card, 2, &mut shelf)
        .await
        .unwrap();

    // Without the broker everybody who waits hears of it, and the hub finds it again.
    street.mosquitto.kill();
    let gone = street.ask(gateway.guid, &gateway.card, 3, &mut shelf);
    let gone = tokio::time::timeout(PATIENCE, gone)
        .await
        .expect("at once")
        .unwrap_err();
    assert!(
        matches!(&gone, ConversationError::Exchange(error) if matches!(**error, ExchangeError::Broker(_))),
        "{gone}"
    );
    street.mosquitto.start_again().await;
    let back = Behind::start(&street.authority, &street.own, &street.mosquitto, guid(2)).await;
    street.ask(back.guid, &back.card, 4, &mut shelf).await.unwrap();
    let direct = Hub::new(
        identity(&street.authority, &street.own),
        "[::1]:8443".parse().unwrap(),
    );
    assert!(matches!(direct, Err(ExchangeError::NoBroker { .. })));
}
