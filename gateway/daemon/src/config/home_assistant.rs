//! The part of the configuration about a consumer's own Home Assistant.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use broker::BrokerAddress;
use model::ElementPattern;
use serde::Deserialize;
use toml::Spanned;

use super::{Fault, HttpsConfig};

/// The most patterns of elements.
pub(super) const MOST_PATTERNS: usize = 64;
/// How the names of hosts end that are none of the internet: RFC 6762, RFC 8375, and what was set aside in 2024.
const LOCAL_ENDS: [&str; 3] = [".local", ".home.arpa", ".internal"];

/// What a consumer's own Home Assistant is told, and where.
#[derive(Debug, Clone)]
pub(crate) struct HomeAssistantConfig {
    /// The broker, in the network of the house.
    pub(crate) broker: BrokerAddress,
    /// The file with the user and the password, a line each, if the broker wants them.
    pub(crate) credentials_file: Option<PathBuf>,
    /// The root that certifies the broker; without it the connection is not encrypted.
    pub(crate) root: Option<PathBuf>,
    /// Whose meters.
    pub(crate) account: String,
    /// What of them at most.
    pub(crate) elements: Vec<ElementPattern>,
    /// Where Home Assistant looks for devices.
    pub(crate) prefix: String,
    /// `de` or `en`, for the names of what is measured.
    pub(crate) language: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HomeAssistantSection {
    broker: Spanned<String>,
    credentials_file: Option<PathBuf>,
    root: Option<PathBuf>,
    account: Option<String>,
    elements: Spanned<Vec<ElementPattern>>,
    prefix: Option<Spanned<String>>,
    language: Option<Spanned<String>>,
}

impl HomeAssistantSection {
    /// Checks the section beside the local web, where the consumer switches it on.
    pub(super) fn check(self, https: Option<&HttpsConfig>) -> Result<HomeAssistantConfig, Fault> {
        let at = self.broker.span().start;
        let broker = self.broker.get_ref().parse::<BrokerAddress>();
        let broker = broker.map_err(|source| Fault::HomeAssistantBroker { at, source })?;
        let https = https.ok_or(Fault::HomeAssistantAlone { at })?;
        if !is_of_the_house(broker.host()) {
            return Err(Fault::HomeAssistantFarAway { at });
        }
        let account = self
            .account
            .unwrap_or_else(|| crate::local::web::CONSUMER.to_owned());
        let is_known = if https.consumers.is_empty() {
            account == crate::local::web::CONSUMER
        } else {
            https.consumers.iter().any(|consumer| consumer.name == account)
        };
        if !is_known {
            return Err(Fault::HomeAssistantAccount { account, at });
        }
        let elements = self.elements.get_ref().len();
        if !(1..=MOST_PATTERNS).contains(&elements) {
            let at = self.elements.span().start;
            return Err(Fault::HomeAssistantElements { at });
        }
        Ok(HomeAssistantConfig {
            broker,
            credentials_file: self.credentials_file,
            root: self.root,
            account,
            elements: self.elements.into_inner(),
            prefix: one_of(self.prefix, "homeassistant", is_topic_part)?,
            language: one_of(self.language, "de", |text| matches!(text, "de" | "en"))?,
        })
    }
}

fn one_of(
    text: Option<Spanned<String>>,
    usual: &str,
    is_good: impl Fn(&str) -> bool,
) -> Result<String, Fault> {
    match text {
        None => Ok(usual.to_owned()),
        Some(text) if is_good(text.get_ref()) => Ok(text.into_inner()),
        Some(text) => Err(Fault::HomeAssistantWord {
            at: text.span().start,
        }),
    }
}

/// Returns whether a text can begin a topic.
fn is_topic_part(text: &str) -> bool {
    let permitted =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '/');
    (1..=64).contains(&text.len()) && text.chars().all(permitted)
}

/// Returns whether a host is one of the house: by an address that leads nowhere else, or by a name that the internet has not.
fn is_of_the_house(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_private() || address.is_loopback() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => {
            address == Ipv6Addr::LOCALHOST || address.is_unique_local() || address.is_unicast_link_local()
        }
        Err(_) => {
            let host = host.to_ascii_lowercase();
            !host.contains('.') || LOCAL_ENDS.iter().any(|end| host.ends_with(end))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_in_the_house_is_told() {
        for host in [
            "192.168.1.5",
            "10.0.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "::1",
            "fd5a::1",
            "fe80::1",
            "homeassistant.local",
            "broker.home.arpa",
            "mosquitto",
        ] {
            assert!(is_of_the_house(host), "{host}");
        }
        for host in ["1.1.1.1", "2001:db8::1", "broker.example", "local.example.com"] {
            assert!(!is_of_the_house(host), "{host}");
        }
    }

    #[test]
    fn topic_begins_without_wildcards() {
        assert!(is_topic_part("homeassistant") && is_topic_part("a/b"));
        assert!(!is_topic_part("#") && !is_topic_part("a/+") && !is_topic_part(""));
    }
}
