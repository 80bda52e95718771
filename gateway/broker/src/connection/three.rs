//! MQTT 3.1.1.

use bytes::Bytes;
use rumqttc_v4::mqttbytes::v4::{Packet, SubscribeReasonCode};
use rumqttc_v4::{
    AckMode, AsyncClient, ClientError, Event, EventLoop, LastWill, MqttOptions, NetworkOptions, Outgoing,
    Publish, PublishOptions, QoS, SubscribeFilter, TlsConfiguration, Transport,
};

use super::{
    AWAY, CONNECT_PATIENCE_S, ConnectionError, Delivery, Happening, KEEP_ALIVE_S, MAX_UNTAKEN, Options,
    QUEUED_PACKETS, Unsent,
};

pub(super) use rumqttc_v4::ConnectionError as Fault;

/// What is said on the wire.
pub(super) struct Wire {
    client: AsyncClient,
}

/// What happens on the wire.
pub(super) struct Events {
    events: EventLoop,
}

impl Wire {
    pub(super) fn new(options: &Options) -> (Self, Events) {
        let address = (options.address.host().to_owned(), options.address.port());
        let mut settings = MqttOptions::new(options.client.clone(), address);
        settings
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(
                options.tls.clone(),
            )))
            .set_keep_alive(KEEP_ALIVE_S)
            .set_clean_session(true)
            .set_ack_mode(AckMode::Manual)
            .set_inflight(MAX_UNTAKEN)
            .set_max_packet_size(options.max_packet(), options.max_packet());
        if let Some(presence) = &options.presence {
            let will = LastWill::new(presence.to_string(), AWAY, QoS::AtLeastOnce, true);
            settings.set_last_will(will);
        }
        let (client, mut events) = AsyncClient::builder(settings).capacity(QUEUED_PACKETS).build();
        let mut network = NetworkOptions::new();
        network.set_connection_timeout(CONNECT_PATIENCE_S);
        events.set_network_options(network);
        (Self { client }, Events { events })
    }

    pub(super) fn subscribe(&self, filters: &[&str]) -> Result<(), Unsent> {
        let filters = filters
            .iter()
            .map(|filter| SubscribeFilter::new((*filter).to_owned(), QoS::AtLeastOnce));
        self.client.try_subscribe_many(filters).map_err(unsent)
    }

    pub(super) fn publish(&self, topic: String, message: Bytes) -> Result<(), Unsent> {
        let options = PublishOptions::new(QoS::AtLeastOnce);
        self.client.try_publish(topic, message, options).map_err(unsent)
    }

    pub(super) fn announce(&self, topic: String, presence: &'static [u8]) -> Result<(), Unsent> {
        let options = PublishOptions::new(QoS::AtLeastOnce).retained();
        self.client
            .try_publish(topic, Bytes::from_static(presence), options)
            .map_err(unsent)
    }

    pub(super) fn acknowledge(&self, packet: &Publish) -> Result<(), Unsent> {
        self.client.try_ack(packet).map_err(unsent)
    }
}

impl Events {
    /// Goes on until something happens. A call that is given up can lose what was on its way out.
    pub(super) async fn next(&mut self) -> Result<Happening, Fault> {
        Ok(match self.events.poll().await? {
            Event::Incoming(Packet::ConnAck(_)) => Happening::LetIn { max_packet: None },
            Event::Incoming(Packet::SubAck(packet)) => {
                let is_taken = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
                Happening::Subscribed(packet.return_codes.iter().map(is_taken).collect())
            }
            Event::Incoming(Packet::Publish(packet)) => Happening::Message(Delivery {
                topic: String::from_utf8_lossy(&packet.topic).into_owned(),
                message: packet.payload.clone(),
                receipt: super::Packet::Three(Box::new(packet)),
            }),
            Event::Incoming(Packet::PubAck(packet)) => Happening::Taken(packet.pkid, None),
            Event::Outgoing(Outgoing::Publish(number)) => Happening::Sent(number),
            Event::Incoming(_) | Event::Outgoing(_) => Happening::Other,
        })
    }
}

fn unsent(error: ClientError) -> Unsent {
    match error {
        ClientError::RequestChannelFull(_) => Unsent::Full,
        _ => Unsent::Ended,
    }
}

pub(super) fn error(fault: Fault, options: &Options) -> ConnectionError {
    let broker = options.address.clone();
    let client = options.client.clone();
    match fault {
        Fault::Io(source) => ConnectionError::Unreachable { broker, source },
        Fault::Tls(rumqttc_v4::TlsError::Io(source)) => super::of_handshake(broker, source),
        Fault::Tls(source) => ConnectionError::Tls {
            broker,
            source: Box::new(source),
        },
        Fault::ConnectionRefused(code) => ConnectionError::Refused {
            broker,
            client,
            code: format!("{code:?}"),
        },
        fault => ConnectionError::Ended {
            broker,
            source: Box::new(fault),
        },
    }
}
