//! The part of the configuration about the local web.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use model::MeterId;
use serde::Deserialize;
use toml::Spanned;

use super::Fault;
use crate::local::web::{Consumer, MOST_CONSUMERS, TECHNICIAN, Zone};

/// The most names and addresses by which the local web is asked for, beside the address of the connection.
pub(super) const MOST_NAMES: usize = 16;
/// The longest name (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 253;
/// The longest name of an account.
const LONGEST_ACCOUNT: usize = 40;

/// The local web over HTTPS.
#[derive(Debug, Clone)]
pub(crate) struct HttpsConfig {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// The names and addresses by which it may be asked for, beside the address of the connection.
    pub(crate) names: Vec<String>,
    /// The zone of the times that are shown.
    pub(crate) zone: Zone,
    /// The consumers with their meters; none means one consumer for all meters.
    pub(crate) consumers: Vec<Consumer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebSection {
    listen: Option<Spanned<SocketAddr>>,
    https: Option<HttpsSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpsSection {
    listen: SocketAddr,
    names: Option<Spanned<Vec<String>>>,
    zone: Option<Spanned<String>>,
    #[serde(default)]
    consumer: Vec<ConsumerSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsumerSection {
    name: Spanned<String>,
    meters: BTreeSet<MeterId>,
}

impl WebSection {
    /// Checks the section: where the page without login listens, and the web with one.
    pub(super) fn check(self) -> Result<(Option<SocketAddr>, Option<HttpsConfig>), Fault> {
        if let Some(listen) = &self.listen
            && !listen.get_ref().ip().is_loopback()
        {
            return Err(Fault::WebNotLocal {
                at: listen.span().start,
            });
        }
        let https = self.https.map(HttpsSection::check).transpose()?;
        Ok((self.listen.map(Spanned::into_inner), https))
    }
}

impl HttpsSection {
    fn check(self) -> Result<HttpsConfig, Fault> {
        let zone = match self.zone {
            None => Zone::central_europe(),
            Some(zone) => {
                let at = zone.span().start;
                zone.get_ref().parse().map_err(|_| Fault::Zone { at })?
            }
        };
        Ok(HttpsConfig {
            listen: self.listen,
            names: self.names.map_or(Ok(Vec::new()), check_names)?,
            zone,
            consumers: check_consumers(self.consumer)?,
        })
    }
}

fn check_names(names: Spanned<Vec<String>>) -> Result<Vec<String>, Fault> {
    let permitted =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | ':');
    let sound = |name: &String| (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(permitted);
    if names.get_ref().len() > MOST_NAMES || !names.get_ref().iter().all(sound) {
        return Err(Fault::WebNames {
            at: names.span().start,
        });
    }
    let names = names.into_inner().into_iter();
    Ok(names.map(|name| name.to_ascii_lowercase()).collect())
}

fn check_consumers(sections: Vec<ConsumerSection>) -> Result<Vec<Consumer>, Fault> {
    let mut names = BTreeSet::from([TECHNICIAN.to_owned()]);
    let permitted =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    let mut consumers = Vec::new();
    for section in sections {
        let at = section.name.span().start;
        let name = section.name.into_inner();
        let sound = (1..=LONGEST_ACCOUNT).contains(&name.len()) && name.chars().all(permitted);
        let is_new = names.insert(name.clone());
        if !sound || !is_new || section.meters.is_empty() || consumers.len() >= MOST_CONSUMERS {
            return Err(Fault::Consumer { at });
        }
        consumers.push(Consumer {
            name,
            meters: section.meters,
        });
    }
    Ok(consumers)
}
