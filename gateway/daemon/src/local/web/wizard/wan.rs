//! The step of the WAN: a ladder from the cable to the TSM, each rung with what was measured.
//!
//! The rungs behind one that does not hold are not reached, but for those that ask for something else. Nothing is called good
//! as a whole before a word has gone through the broker and come back, and the TSM has made the first contact.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::Site;
use super::check::{Check, Verdict};
use super::device;
use super::what::What;
use crate::card::{CardHandle, Identity};
use crate::doctor::ladder::{OUTSIDE, source_towards};
use crate::report::Chain;
use crate::wan::{BrokerConfig, try_echo, try_tls};

/// How long a name may take.
const NAME_PATIENCE: Duration = Duration::from_secs(10);
/// How long a TCP connection may take.
const TCP_PATIENCE: Duration = Duration::from_secs(10);

/// Takes checks, to show them.
type Show<'a> = dyn FnMut(&[Check]) + Send + 'a;

/// What is shown as it is found.
pub(super) struct Ladder<'a> {
    checks: Vec<Check>,
    /// Takes what has been found so far.
    show: Box<Show<'a>>,
}

impl<'a> Ladder<'a> {
    pub(super) fn new(show: impl FnMut(&[Check]) + Send + 'a) -> Self {
        Self {
            checks: Vec::new(),
            show: Box::new(show),
        }
    }

    fn push(&mut self, check: Check) {
        self.checks.push(check);
        (self.show)(&self.checks);
    }

    /// Climbs as far as it goes.
    pub(super) async fn climb(mut self, site: &Site) -> Vec<Check> {
        let up = device::interfaces(Path::new(device::INTERFACES));
        let link = Check::of(What::Link, !up.is_empty());
        self.push(if up.is_empty() {
            link
        } else {
            link.measured(up.join(", "))
        });
        let resolved = match &site.broker {
            Some(broker) => resolve(broker).await,
            None => Err(String::new()),
        };
        self.push(own_address(
            resolved.as_ref().ok().and_then(|found| found.addresses.first()),
        ));
        match (&site.broker, resolved) {
            (None, _) => self.climb_directly(site),
            (Some(broker), Ok(found)) => {
                let names = found.addresses.iter().map(|address| address.ip().to_string());
                let names: Vec<_> = names.collect();
                let text = format!(
                    "{}: {} ({} ms)",
                    broker.address.host(),
                    names.join(", "),
                    found.took_ms
                );
                self.push(Check::of(What::Name, true).measured(text));
                self.push(device::clock());
                self.climb_to_the_broker(site, broker, &found.addresses).await;
            }
            (Some(broker), Err(cause)) => {
                let host = broker.address.host();
                self.push(Check::of(What::Name, false).measured(host).because(cause));
                self.push(device::clock());
                self.leave_out(&[What::Tcp, What::Tls, What::Broker, What::Echo]);
            }
        }
        let contact = first_contact(site);
        self.push(contact);
        self.checks
    }

    /// Without a broker nobody can be called: the way is proven by whoever comes.
    fn climb_directly(&mut self, site: &Site) {
        self.leave_out(&[What::Name]);
        self.push(device::clock());
        self.push(match site.source.wan {
            Some(address) => Check::new(What::Listener, Verdict::Note).measured(address.to_string()),
            None => Check::of(What::Listener, false),
        });
        self.leave_out(&[What::Tcp, What::Tls, What::Broker, What::Echo]);
    }

    async fn climb_to_the_broker(&mut self, site: &Site, broker: &BrokerConfig, addresses: &[SocketAddr]) {
        let tcp = tcp(addresses).await;
        let holds = tcp.verdict == Verdict::Good;
        self.push(tcp);
        let identity = site.bindings.standing.borrow().identity.clone();
        let Some(identity) = identity.filter(|_| holds) else {
            if holds {
                self.push(
                    Check::of(What::Tls, false)
                        .because("no card serves this gateway, and its key is the card's"),
                );
                self.leave_out(&[What::Broker, What::Echo]);
            } else {
                self.leave_out(&[What::Tls, What::Broker, What::Echo]);
            }
            return;
        };
        self.climb_with_the_card(&site.card, broker, &identity).await;
    }

    async fn climb_with_the_card(
        &mut self,
        card: &CardHandle,
        broker: &BrokerConfig,
        identity: &Arc<Identity>,
    ) {
        match try_tls(broker, card, identity).await {
            Ok(seen) => {
                let text = format!("{} ({} ms)", seen.suite, seen.took.as_millis());
                let check = Check::of(What::Tls, true).measured(text);
                self.push(match seen.ends {
                    Some(ends) => check.at(ends),
                    None => check,
                });
            }
            Err(error) => {
                self.push(Check::of(What::Tls, false).because(Chain(&error).to_string()));
                return self.leave_out(&[What::Broker, What::Echo]);
            }
        }
        match try_echo(broker, card, identity).await {
            Ok(seen) => {
                let let_in = format!("{} ms", seen.let_in.as_millis());
                self.push(Check::of(What::Broker, true).measured(let_in));
                let echo = format!("{} ms", seen.echo.as_millis());
                self.push(Check::of(What::Echo, true).measured(echo));
            }
            Err(error) if error.is_of_echo() => {
                self.push(Check::of(What::Broker, true));
                self.push(Check::of(What::Echo, false).because(Chain(&error).to_string()));
            }
            Err(error) => {
                self.push(Check::of(What::Broker, false).because(Chain(&error).to_string()));
                self.leave_out(&[What::Echo]);
            }
        }
    }

    fn leave_out(&mut self, rungs: &[What]) {
        for rung in rungs {
            self.push(Check::new(*rung, Verdict::NotReached));
        }
    }
}

/// A name that was found.
struct Resolved {
    addresses: Vec<SocketAddr>,
    took_ms: u128,
}

/// The most addresses of a name that are tried.
const MOST_ADDRESSES: usize = 8;

async fn resolve(broker: &BrokerConfig) -> Result<Resolved, String> {
    let begun = Instant::now();
    let host = (broker.address.host(), broker.address.port());
    let found = timeout(NAME_PATIENCE, lookup_host(host)).await;
    let found = found.map_err(|_| "the name service does not answer".to_owned())?;
    let addresses: Vec<_> = found
        .map_err(|error| error.to_string())?
        .take(MOST_ADDRESSES)
        .collect();
    if addresses.is_empty() {
        return Err("the name has no address".to_owned());
    }
    Ok(Resolved {
        addresses,
        took_ms: begun.elapsed().as_millis(),
    })
}

/// Returns the address from which the gateway would go out. Nothing is sent: the kernel is asked for the way.
fn own_address(to: Option<&SocketAddr>) -> Check {
    let to: Vec<SocketAddr> = match to {
        Some(address) => vec![*address],
        None => OUTSIDE
            .iter()
            .filter_map(|address| address.parse().ok())
            .collect(),
    };
    let mut cause = String::new();
    for target in to {
        match source_towards(target) {
            Ok(own) => return Check::of(What::Address, true).measured(own.to_string()),
            Err(error) => cause = error.to_string(),
        }
    }
    Check::of(What::Address, false).because(cause)
}

async fn tcp(addresses: &[SocketAddr]) -> Check {
    let mut cause = String::new();
    for address in addresses {
        let begun = Instant::now();
        match timeout(TCP_PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(_)) => {
                let text = format!("{address} ({} ms)", begun.elapsed().as_millis());
                return Check::of(What::Tcp, true).measured(text);
            }
            Ok(Err(error)) => cause = format!("{address}: {error}"),
            Err(_) => cause = format!("{address}: no answer within {} s", TCP_PATIENCE.as_secs()),
        }
    }
    Check::of(What::Tcp, false).because(cause)
}

/// The last rung: the TSM has been here if a bundle is in force, for which the card vouches.
fn first_contact(site: &Site) -> Check {
    let standing = site.bindings.standing.borrow();
    let bundle = standing
        .identity
        .as_ref()
        .and_then(|identity| identity.bundle.as_ref());
    match bundle {
        Some(bundle) => Check::of(What::FirstContact, true).measured(format!("bundle {}", bundle.version)),
        None => Check::of(What::FirstContact, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_way_out_and_a_port_are_measured() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let own = own_address(Some(&address));
        assert_eq!(own.measured.as_deref(), Some("127.0.0.1"));
        assert_eq!(tcp(&[address]).await.verdict, Verdict::Good);
        drop(listener);
        let closed = tcp(&[address]).await;
        assert_eq!(closed.verdict, Verdict::Problem);
        assert!(closed.cause.unwrap().contains(&address.to_string()));
    }

    #[tokio::test]
    async fn rungs_that_are_not_reached_have_no_tick() {
        let mut seen = Vec::new();
        let mut ladder = Ladder::new(|checks| seen.push(checks.len()));
        ladder.leave_out(&[What::Broker, What::Echo]);
        assert!(
            ladder
                .checks
                .iter()
                .all(|check| check.verdict == Verdict::NotReached)
        );
        drop(ladder);
        assert_eq!(seen, [1, 2]);
    }
}
