//! The topics: `smgw/v1/<shard>/<guid>/{req,rsp,ack}/<party>`, and `smgw/v1/<shard>/<guid>/presence`.
//!
//! The GUID stands in its text form (RFC 5952). The party is the one that is no gateway, by the fingerprint of its SIG
//! certificate (64 hexadecimal digits). A gateway may write and read `smgw/v1/<shard>/<guid>/echo` itself: what comes back
//! from there has gone through the broker and its access rules. The shard is the first byte of the SHA-256 of the GUID's 16 bytes (two
//! hexadecimal digits): it says nothing that the GUID does not say, and lets a cluster, or several workers of a
//! supplier, share the gateways among them.
//!
//! A topic is a claim of the broker's. Who speaks is in the message, and both are compared.

use std::fmt;
use std::str::FromStr;

use model::{CardId, Fingerprint};
use sha2::{Digest, Sha256};

/// What all topics begin with: the system, and the version of their form.
const ROOT: &str = "smgw/v1";

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Leg {
    /// From a party to the gateway: requests, bundles, card commands.
    Request,
    /// From the gateway to the party that asked, or that is to be told.
    Response,
    /// From a party to the gateway: it has a response.
    Receipt,
}

impl Leg {
    /// Every leg, in the order of the enum.
    pub const ALL: [Self; 3] = [Self::Request, Self::Response, Self::Receipt];

    /// Returns the level of the topic: `req`, `rsp`, `ack`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "req",
            Self::Response => "rsp",
            Self::Receipt => "ack",
        }
    }
}

/// The topic of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Topic {
    /// The gateway, by its card's GUID.
    pub gateway: CardId,
    /// Which way the message goes.
    pub leg: Leg,
    /// The other party, by the fingerprint of its SIG certificate.
    pub party: Fingerprint,
}

impl fmt::Display for Topic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gateway, leg, party } = self;
        write!(formatter, "{}/{}/{party}", Base(*gateway), leg.as_str())
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix(ROOT).and_then(|rest| rest.strip_prefix('/'));
        let mut levels = rest.ok_or(TopicError)?.split('/');
        let mut level = || levels.next().ok_or(TopicError);
        let (_, gateway, leg, party) = (level()?, level()?, level()?, level()?);
        let topic = Self {
            gateway: gateway.parse().map_err(|_| TopicError)?,
            leg: Leg::ALL
                .into_iter()
                .find(|candidate| candidate.as_str() == leg)
                .ok_or(TopicError)?,
            party: party.parse().map_err(|_| TopicError)?,
        };
        // There is one text for each topic, with the right shard and nothing behind it.
        if topic.to_string() == text {
            Ok(topic)
        } else {
            Err(TopicError)
        }
    }
}

/// A text is no topic of this system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the topic is none of this system; check the broker's access rules")]
pub struct TopicError;

/// Where a broker says whether a gateway is connected; anybody who may read it has the broker's word, no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresenceTopic(pub CardId);

impl fmt::Display for PresenceTopic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/presence", Base(self.0))
    }
}

/// Where a gateway hears itself: what it publishes there, the broker hands back to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EchoTopic(pub CardId);

impl fmt::Display for EchoTopic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/echo", Base(self.0))
    }
}

/// The most bytes of a group's name.
const MAX_GROUP_BYTES: usize = 64;

/// The name of workers that share a subscription: 1 to 64 letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group(String);

impl fmt::Display for Group {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Group {
    type Err = GroupError;

    fn from_str(text: &str) -> Result<Self, GroupError> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if (1..=MAX_GROUP_BYTES).contains(&text.len()) && text.bytes().all(known) {
            Ok(Self(text.to_owned()))
        } else {
            Err(GroupError)
        }
    }
}

/// A text is no name of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a group has 1 to {MAX_GROUP_BYTES} letters, digits, `-` or `_`")]
pub struct GroupError;

/// What a client subscribes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(String);

impl Filter {
    /// Everything that goes to a gateway on one leg, from whichever party.
    #[must_use]
    pub fn to_gateway(gateway: CardId, leg: Leg) -> Self {
        Self(format!("{}/{}/+", Base(gateway), leg.as_str()))
    }

    /// What a gateway says to itself.
    #[must_use]
    pub fn echo(gateway: CardId) -> Self {
        Self(EchoTopic(gateway).to_string())
    }

    /// What one gateway sends to a party.
    #[must_use]
    pub fn from_gateway(gateway: CardId, party: Fingerprint) -> Self {
        let leg = Leg::Response;
        Self(Topic { gateway, leg, party }.to_string())
    }

    /// What all gateways send to a party.
    #[must_use]
    pub fn from_gateways(party: Fingerprint) -> Self {
        Self(format!("{ROOT}/+/+/{}/{party}", Leg::Response.as_str()))
    }

    /// The same, shared with every other worker of the group: the broker gives each message to one of them.
    ///
    /// Spec: MQTT 5.0, section 4.8.2; many brokers know it under MQTT 3.1.1 too.
    #[must_use]
    pub fn shared(&self, group: &Group) -> Self {
        Self(format!("$share/{group}/{}", self.0))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What all topics of one gateway begin with.
struct Base(CardId);

impl fmt::Display for Base {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [shard, ..]: [u8; 32] = Sha256::digest(self.0.to_bytes()).into();
        write!(formatter, "{ROOT}/{shard:02x}/{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARTY: [u8; 32] = [0xab; 32];

    fn topic(leg: Leg) -> Topic {
        Topic {
            gateway: "fd5a::1".parse().unwrap(),
            leg,
            party: Fingerprint::new(PARTY),
        }
    }

    /// The shard is what `printf 'fd5a0000000000000000000000000001' | xxd -r -p | sha256sum` begins with.
    #[test]
    fn name_of_a_group_cannot_be_a_part_of_a_filter() {
        for text in ["", "a/b", "+", "#", "ä", "a b", &"x".repeat(65)] {
            assert_eq!(text.parse::<Group>(), Err(GroupError), "{text}");
        }
        assert_eq!("billing_1".parse::<Group>().unwrap().to_string(), "billing_1");
    }

    #[test]
    fn topics_read_as_designed() {
        let party = "ab".repeat(32);
        assert_eq!(
            topic(Leg::Request).to_string(),
            format!("smgw/v1/8c/fd5a::1/req/{party}")
        );
        assert_eq!(
            topic(Leg::Receipt).to_string(),
            format!("smgw/v1/8c/fd5a::1/ack/{party}")
        );
        let gateway = "fd5a::1".parse().unwrap();
        assert_eq!(PresenceTopic(gateway).to_string(), "smgw/v1/8c/fd5a::1/presence");
        assert_eq!(Filter::echo(gateway).as_str(), "smgw/v1/8c/fd5a::1/echo");
        assert_eq!(
            Filter::to_gateway(gateway, Leg::Request).as_str(),
            "smgw/v1/8c/fd5a::1/req/+"
        );
        let from = Filter::from_gateways(Fingerprint::new(PARTY));
        assert_eq!(from.as_str(), format!("smgw/v1/+/+/rsp/{party}"));
        assert_eq!(
            from.shared(&"workers".parse().unwrap()).as_str(),
            format!("$share/workers/smgw/v1/+/+/rsp/{party}")
        );
        assert_eq!(
            Filter::from_gateway(gateway, Fingerprint::new(PARTY)).as_str(),
            topic(Leg::Response).to_string()
        );
    }

    #[test]
    fn a_topic_is_read_as_it_is_written_and_no_other_text_is_one() {
        for leg in Leg::ALL {
            assert_eq!(topic(leg).to_string().parse(), Ok(topic(leg)));
        }
        let text = topic(Leg::Request).to_string();
        for other in [
            String::new(),
            text.replace("8c", "00"),
            text.replace("v1", "v2"),
            text.replace("req", "REQ"),
            text.replace("fd5a::1", "FD5A::1"),
            text.replace("fd5a::1", "fd5a:0::1"),
            text.replace("ab", "AB"),
            text.replace("/req/", "/+/"),
            format!("{text}/"),
            format!("{text}/x"),
            format!("/{text}"),
            text[..text.len() - 1].to_owned(),
        ] {
            assert_eq!(other.parse::<Topic>(), Err(TopicError), "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in ".{0,200}") {
            prop_assert!(text.parse::<Topic>().is_err());
        }

        #[test]
        fn any_topic_survives(bytes in any::<[u8; 16]>(), party in any::<[u8; 32]>(), leg in 0_usize..3) {
            let Ok(gateway) = CardId::try_from(bytes.as_slice()) else {
                return Ok(());
            };
            let topic = Topic { gateway, leg: Leg::ALL[leg], party: Fingerprint::new(party) };
            prop_assert_eq!(topic.to_string().parse(), Ok(topic));
        }
    }
}
