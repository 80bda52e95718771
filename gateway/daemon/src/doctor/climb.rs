//! The ladder of the WAN: its rungs in their order, from the link to the first contact with the TSM.
//!
//! The rungs that need the card's key are climbed by the daemon alone, which has the card to itself; whoever asks from outside is
//! told why they were not. Behind a rung that does not hold, those that stand on it are not tried.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::Span;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout_at};

use super::check::{Area, Check, Outcome};
use super::{clock, ladder};
use crate::card::{CardHandle, Identity, Standing};
use crate::codes::examination as codes;
use crate::config::Config;
use crate::report::Chain;
use crate::threads;
use crate::wan::BrokerConfig;

/// How long a rung may block that asks the system: a name service that is away takes its time.
const RUNG_PATIENCE: Duration = Duration::from_secs(15);
/// How long the whole climb may take for somebody who waits for it at the control socket.
pub(crate) const CLIMB_PATIENCE: Duration = Duration::from_secs(25);
/// What is said of a rung that stands on one that does not hold.
pub(crate) const BELOW: &str = "a rung below does not hold";
/// What is said of the rungs of a broker where there is none.
pub(crate) const NO_BROKER: &str = "no broker is configured";
/// What is said of the direct way where only a broker is wanted.
pub(crate) const NOT_DIRECT: &str = "the gateway is not to be called directly";

/// A rung of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rung {
    Link,
    Address,
    Name,
    Time,
    Tcp,
    Tls,
    Broker,
    Echo,
    Direct,
    FirstContact,
}

impl Rung {
    /// Every rung, from the bottom up.
    pub(crate) const ALL: [Self; 10] = [
        Self::Link,
        Self::Address,
        Self::Name,
        Self::Time,
        Self::Tcp,
        Self::Tls,
        Self::Broker,
        Self::Echo,
        Self::Direct,
        Self::FirstContact,
    ];

    /// Names it, as its check does.
    const fn name(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Address => "address",
            Self::Name => "name",
            Self::Time => "time",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Broker => "broker",
            Self::Echo => "echo",
            Self::Direct => "direct",
            Self::FirstContact => "first contact",
        }
    }
}

/// A rung, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Climbed {
    pub(crate) rung: Rung,
    pub(crate) check: Check,
}

/// The way that the configuration names.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    broker: Option<BrokerConfig>,
    listen: Option<SocketAddr>,
    /// The file of the configuration, beside which the time servers are.
    file: PathBuf,
    period: Span,
}

impl Way {
    /// Takes the way from a configuration.
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            broker: config.broker.clone(),
            listen: config.wan,
            file: config.file.clone(),
            period: config.registration_period,
        }
    }
}

/// What only the running gateway has.
#[derive(Debug, Clone)]
pub(crate) struct Inside {
    pub(crate) card: CardHandle,
    pub(crate) standing: watch::Receiver<Standing>,
    /// Where it listens.
    pub(crate) listens: Option<SocketAddr>,
}

impl Inside {
    fn identity(&self) -> Option<Arc<Identity>> {
        self.standing.borrow().identity.clone()
    }

    fn bundle_version(&self) -> Option<u64> {
        let identity = self.identity()?;
        Some(identity.bundle.as_ref()?.version)
    }
}

/// Climbs for the daemon, for one at a time: two would take the broker's connection from each other. Clones share the turn.
#[derive(Debug, Clone)]
pub(crate) struct Climber {
    way: Way,
    inside: Inside,
    turn: Arc<Mutex<()>>,
}

/// Shows a rung when it is known.
type Show<'a> = &'a mut (dyn FnMut(Climbed) + Send);

impl Climber {
    pub(crate) fn new(way: Way, inside: Inside) -> Self {
        let turn = Arc::default();
        Self { way, inside, turn }
    }

    /// Climbs as far as it goes, and shows each rung when it is known.
    pub(crate) async fn climb(&self, show: Show<'_>) {
        let _turn = self.turn.lock().await;
        climb(&self.way, Ok(&self.inside), show).await;
    }

    /// Climbs for as long as somebody waits; rungs that were not reached until then are not checked.
    pub(crate) async fn climb_in_time(&self) -> Vec<Climbed> {
        let mut climbed = Vec::new();
        let deadline = Instant::now() + CLIMB_PATIENCE;
        let mut show = |rung| climbed.push(rung);
        let climbing = self.climb(&mut show);
        if timeout_at(deadline, climbing).await.is_err() {
            let seen: Vec<_> = climbed.iter().map(|one| one.rung).collect();
            let why = format!("the rungs below took longer than {} s", CLIMB_PATIENCE.as_secs());
            let rest = Rung::ALL.into_iter().filter(|rung| !seen.contains(rung));
            climbed.extend(rest.map(|rung| left_out(rung, &why)));
        }
        climbed
    }
}

/// Climbs from outside, or from inside, as far as it goes, and shows each rung when it is known. From outside, the text says why
/// what only the gateway can tell is not checked.
pub(crate) async fn climb(way: &Way, inside: Result<&Inside, &str>, show: Show<'_>) {
    let mut push = |rung, check| show(Climbed { rung, check });
    push(Rung::Link, blocking(Rung::Link, ladder::link).await);
    let broker = way.broker.as_ref().map(|broker| broker.address.clone());
    let (name, addresses) = match broker {
        Some(address) => {
            let resolving = threads::blocking(move || ladder::name(&address));
            match tokio::time::timeout(RUNG_PATIENCE, resolving).await {
                Ok(Ok(resolved)) => resolved,
                Ok(Err(_)) | Err(_) => {
                    let found = "the name service does not answer";
                    (Check::error(Area::Wan, "name", codes::NO_NAME, found), Vec::new())
                }
            }
        }
        None => (left_out(Rung::Name, NO_BROKER).check, Vec::new()),
    };
    let towards = addresses.clone();
    push(
        Rung::Address,
        blocking(Rung::Address, move || ladder::route(&towards)).await,
    );
    push(Rung::Name, name);
    let (file, period) = (way.file.clone(), way.period);
    push(
        Rung::Time,
        blocking(Rung::Time, move || clock::offset(&file, period)).await,
    );
    for (rung, check) in to_the_broker(way, addresses, inside).await {
        push(rung, check);
    }
    match inside {
        Ok(inside) => {
            let is_wanted = way.listen.is_some() || way.broker.is_none();
            let direct = ladder::direct(way.listen, inside.listens);
            push(
                Rung::Direct,
                if is_wanted {
                    direct
                } else {
                    left_out(Rung::Direct, NOT_DIRECT).check
                },
            );
            push(Rung::FirstContact, ladder::contact(inside.bundle_version()));
        }
        Err(why) => {
            push(Rung::Direct, left_out(Rung::Direct, why).check);
            push(Rung::FirstContact, left_out(Rung::FirstContact, why).check);
        }
    }
}

/// Climbs the rungs that stand on each other: TCP, TLS, login, echo.
async fn to_the_broker(
    way: &Way,
    addresses: Vec<SocketAddr>,
    inside: Result<&Inside, &str>,
) -> Vec<(Rung, Check)> {
    let all = [Rung::Tcp, Rung::Tls, Rung::Broker, Rung::Echo];
    let rest = |count: usize, why: &str| -> Vec<_> {
        let rest = all.into_iter().skip(count);
        rest.map(|rung| (rung, left_out(rung, why).check)).collect()
    };
    let Some(broker) = &way.broker else {
        return rest(0, NO_BROKER);
    };
    let tcp = blocking(Rung::Tcp, move || ladder::connection(&addresses)).await;
    let holds = tcp.outcome == Outcome::Good;
    let mut climbed = vec![(Rung::Tcp, tcp)];
    let inside = match inside {
        Err(why) => {
            climbed.extend(rest(1, why));
            return climbed;
        }
        Ok(_) if !holds => {
            climbed.extend(rest(1, BELOW));
            return climbed;
        }
        Ok(inside) => inside,
    };
    let Some(identity) = inside.identity() else {
        let what = Rung::Tls.name();
        let found = "no card serves";
        let check = Check::error(Area::Wan, what, codes::NO_CARD_SERVES, found);
        climbed.push((Rung::Tls, check));
        climbed.extend(rest(2, BELOW));
        return climbed;
    };
    let tls = ladder::tls(broker, &inside.card, &identity).await;
    let holds = tls.outcome == Outcome::Good;
    climbed.push((Rung::Tls, tls));
    if !holds {
        climbed.extend(rest(2, BELOW));
        return climbed;
    }
    let (login, echo) = ladder::echo(broker, &inside.card, &identity).await;
    climbed.push((Rung::Broker, login));
    match echo {
        Some(echo) => climbed.push((Rung::Echo, echo)),
        None => climbed.extend(rest(3, BELOW)),
    }
    climbed
}

fn left_out(rung: Rung, why: &str) -> Climbed {
    let check = Check::not_checked(Area::Wan, rung.name(), why);
    Climbed { rung, check }
}

/// Has something looked at that blocks.
async fn blocking(rung: Rung, look: impl FnOnce() -> Check + Send + 'static) -> Check {
    let looking = threads::blocking(look);
    match tokio::time::timeout(RUNG_PATIENCE, looking).await {
        Ok(Ok(check)) => check,
        Ok(Err(error)) => left_out(rung, &Chain(&error).to_string()).check,
        Err(_) => {
            left_out(
                rung,
                &format!("it took longer than {} s", RUNG_PATIENCE.as_secs()),
            )
            .check
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn way(broker: Option<&str>) -> (tempfile::TempDir, Way) {
        let root = tempfile::tempdir().unwrap();
        let broker = broker.map(|address| format!("[wan.broker]\naddress = \"{address}\"\n"));
        let control = "[control]\nsocket = \"/nowhere\"\n";
        let text = format!("data = \"/nowhere\"\n{control}{}", broker.unwrap_or_default());
        let mut way = Way::of(&Config::parse(&text).unwrap());
        way.file = root.path().join("smgw.toml");
        (root, way)
    }

    async fn from_outside(way: &Way) -> Vec<Climbed> {
        let mut climbed = Vec::new();
        climb(way, Err("nobody is inside"), &mut |rung| climbed.push(rung)).await;
        climbed
    }

    #[tokio::test]
    async fn every_rung_is_told_of_in_order_whatever_holds() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap().to_string();
        for broker in [
            None,
            Some(open.as_str()),
            Some("127.0.0.1:1"),
            Some("broker.invalid:8883"),
        ] {
            let (_root, way) = way(broker);
            let climbed = from_outside(&way).await;
            let rungs: Vec<_> = climbed.iter().map(|one| one.rung).collect();
            assert_eq!(rungs, Rung::ALL, "{broker:?}");
            for Climbed { rung, check } in &climbed {
                assert_eq!(check.what, rung.name(), "{broker:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_needs_the_card_is_not_checked_from_outside_and_says_why() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (_root, way) = way(Some(&listener.local_addr().unwrap().to_string()));
        let climbed = from_outside(&way).await;
        let of = |rung| &climbed.iter().find(|one| one.rung == rung).unwrap().check;
        assert_eq!(of(Rung::Tcp).outcome, Outcome::Good);
        for rung in [Rung::Tls, Rung::Broker, Rung::Echo, Rung::FirstContact] {
            assert_eq!(of(rung).outcome, Outcome::NotChecked);
            assert_eq!(of(rung).found, "nobody is inside");
        }
    }
}
