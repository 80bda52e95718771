//! MQTT 5.0.

use std::time::Duration;

use bytes::Bytes;
use rumqttc_v5::mqttbytes::v5::{Packet, PubAckReason, PublishProperties, SubscribeReasonCode};
use rumqttc_v5::{
    AckMode, AsyncClient, ClientError, Event, EventLoop, IncomingPacketSizeLimit, LastWill, MqttOptions,
    Outgoing, Publish, PublishOptions, QoS, SubscribeFilter, TlsConfiguration, Transport,
};

use super::{
    AWAY, CONNECT_PATIENCE_S, ConnectionError, Delivery, Happening, KEEP_ALIVE_S, MAX_UNACKNOWLEDGED,
    MAX_UNTAKEN, Objection, Options, QUEUED_PACKETS, Unsent,
};

pub(super) use rumqttc_v5::ConnectionError as Fault;

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
        let limit = u32::try_from(options.max_packet()).unwrap_or(u32::MAX);
        settings
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(
                options.tls.clone(),
            )))
            .set_keep_alive(KEEP_ALIVE_S)
            .set_connect_timeout(Duration::from_secs(CONNECT_PATIENCE_S))
            .set_clean_start(true)
            .set_ack_mode(AckMode::Manual)
            .set_receive_maximum(Some(MAX_UNACKNOWLEDGED))
            .set_outgoing_inflight_upper_limit(MAX_UNTAKEN)
            // The broker is told, and drops what is longer instead of the connection.
            .set_max_packet_size(Some(limit))
            .set_incoming_packet_size_limit(IncomingPacketSizeLimit::Bytes(limit));
        if let Some(presence) = &options.presence {
            let will = LastWill::new(presence.to_string(), AWAY, QoS::AtLeastOnce, true, None);
            settings.set_last_will(will);
        }
        let (client, events) = AsyncClient::builder(settings).capacity(QUEUED_PACKETS).build();
        (Self { client }, Events { events })
    }

    pub(super) fn subscribe(&self, filters: &[&str]) -> Result<(), Unsent> {
        let filters = filters
            .iter()
            .map(|filter| SubscribeFilter::new(*filter, QoS::AtLeastOnce));
        self.client.try_subscribe_many(filters).map_err(unsent)
    }

    pub(super) fn publish(
        &self,
        topic: String,
        message: Bytes,
        expiry: Option<Duration>,
    ) -> Result<(), Unsent> {
        let mut options = PublishOptions::new(QoS::AtLeastOnce);
        if let Some(expiry) = expiry {
            options = options.properties(PublishProperties {
                message_expiry_interval: Some(u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX)),
                ..PublishProperties::default()
            });
        }
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
            Event::Incoming(Packet::ConnAck(packet)) => Happening::LetIn {
                max_packet: packet
                    .properties
                    .and_then(|properties| properties.max_packet_size),
            },
            Event::Incoming(Packet::SubAck(packet)) => {
                let is_taken = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
                Happening::Subscribed(packet.return_codes.iter().map(is_taken).collect())
            }
            Event::Incoming(Packet::Publish(packet)) => Happening::Message(Delivery {
                topic: String::from_utf8_lossy(&packet.topic).into_owned(),
                message: packet.payload.clone(),
                receipt: super::Packet::Five(Box::new(packet)),
            }),
            Event::Incoming(Packet::PubAck(packet)) => {
                let objection = match packet.reason {
                    PubAckReason::Success => None,
                    PubAckReason::NoMatchingSubscribers => Some(Objection::Unheard),
                    reason => Some(Objection::NotPassedOn(format!("{reason:?}"))),
                };
                Happening::Taken(packet.pkid, objection)
            }
            Event::Outgoing(Outgoing::Publish(number)) => Happening::Sent(number),
            Event::Incoming(_) | Event::Outgoing(_) | Event::Auth(_) => Happening::Other,
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
        Fault::Tls(rumqttc_v5::TlsError::Io(source)) => super::of_handshake(broker, source),
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
