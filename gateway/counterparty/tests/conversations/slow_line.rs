//! A line that is slower than what goes over it, and an owner who gives up waiting again and again.

use std::sync::Arc;
use std::time::Duration;

use broker::{Connection, Event, Filter, Leg, Options, Protocol, Topic};
use messages::certificate::Subject;
use messages::envelope::MAX_MESSAGE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::checks::{identity, party};
use super::gateway_double::TestAuthority;
use super::hub::{Mosquitto, guid, tls};

/// How many messages go out, and how long each is: more than the buffers of the system hold.
const MESSAGES: usize = 12;
const LENGTH: usize = 1 << 20;
/// How much goes over the line at once, and how often: 3 MB/s.
const PIECE: usize = 64 * 1_024;
const EVERY: Duration = Duration::from_millis(20);
/// After how long the owner gives up waiting and does something else.
const IMPATIENCE: Duration = Duration::from_millis(10);
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_on_a_slow_line_by_giving_up_to_wait() {
    let authority = TestAuthority::new("Trust centre");
    let own = party(&authority);
    let mosquitto = Mosquitto::start(&authority).await;
    let mut relays = JoinSet::new();
    let port = slow_line(mosquitto.port(), &mut relays);
    for (protocol, number) in [(Protocol::Five, 1), (Protocol::ThreeOneOne, 2)] {
        let guid = guid(number);
        let recipient = own.certificates.sig.certificate().fingerprint();
        let options = |client: &str, port: u16, filters: Vec<Filter>, tls| Options {
            address: format!("localhost:{port}").parse().unwrap(),
            protocol,
            client: client.to_owned(),
            tls: Arc::new(tls),
            presence: None,
            filters,
            max_message: MAX_MESSAGE,
        };
        let subject = authority.party(&Subject::card(guid));
        let gateway_tls = tls(identity(&authority, &subject));
        let requests = vec![Filter::to_gateway(guid, Leg::Request)];
        let gateway = options(&guid.to_string(), port, requests, gateway_tls);
        let mut gateway = Box::pin(Connection::open(gateway)).await.unwrap();
        let answers = vec![Filter::from_gateway(guid, recipient)];
        let party_tls = tls(identity(&authority, &own));
        let listening = options("party", mosquitto.port(), answers, party_tls);
        let mut listening = Box::pin(Connection::open(listening)).await.unwrap();

        let topic = Topic {
            gateway: guid,
            leg: Leg::Response,
            party: recipient,
        };
        for number in 0..MESSAGES {
            let content = vec![u8::try_from(number).unwrap(); LENGTH];
            gateway.publish(&topic, content.into(), None).unwrap();
        }
        let sending = async {
            while gateway.waiting() > 0 {
                if let Ok(event) = tokio::time::timeout(IMPATIENCE, gateway.next()).await {
                    event.unwrap();
                }
            }
        };
        let hearing = async {
            let mut heard = Vec::new();
            while heard.len() < MESSAGES {
                if let Event::Message(delivery) = listening.next().await.unwrap() {
                    listening.acknowledge(&delivery).unwrap();
                    heard.push((delivery.message[0], delivery.message.len()));
                }
            }
            heard
        };
        let both = async { tokio::join!(sending, hearing) };
        let ((), heard) = tokio::time::timeout(PATIENCE, both)
            .await
            .expect("every message and its acknowledgement");
        let all: Vec<_> = (0..MESSAGES)
            .map(|number| (u8::try_from(number).unwrap(), LENGTH))
            .collect();
        assert_eq!(heard, all);
    }
}

/// Opens a slow line to a port of this machine, and returns its own port.
fn slow_line(to: u16, relays: &mut JoinSet<()>) -> u16 {
    let socket = TcpSocket::new_v4().unwrap();
    // Connections that are accepted have it from the one that listens.
    socket
        .set_recv_buffer_size(u32::try_from(PIECE).unwrap())
        .unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(16).unwrap();
    let port = listener.local_addr().unwrap().port();
    relays.spawn(async move {
        let mut lines = JoinSet::new();
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            let ((mut near_reading, mut near_writing), (mut far_reading, mut far_writing)) =
                (near.into_split(), far.into_split());
            lines.spawn(async move {
                let mut piece = vec![0; PIECE];
                while let Ok(length @ 1..) = near_reading.read(&mut piece).await {
                    tokio::time::sleep(EVERY).await;
                    if far_writing.write_all(&piece[..length]).await.is_err() {
                        return;
                    }
                }
            });
            lines.spawn(async move {
                drop(tokio::io::copy(&mut far_reading, &mut near_writing).await);
            });
        }
    });
    port
}
