//! Pulling from many gateways at once: each comes to its own end, and none stops the others.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use counterparty::exchange::{Exchange, ExchangeError, GatewayAddress};
use counterparty::hub::Hub;
use model::CardId;
use tokio::task::JoinSet;

use crate::puller::{Order, Pulled, Puller, PullerError, Witness};

/// How many gateways are pulled from at a time unless told otherwise: most of the time their cards sign.
pub const DEFAULT_JOBS: u16 = 32;
/// How many gateways are pulled from at a time at most; each may hold an answer of a few megabytes in memory.
pub const MAX_JOBS: u16 = 512;

/// A gateway, and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The gateway, by its card's GUID.
    pub guid: CardId,
    /// Where it is reached, directly or over a broker.
    pub address: GatewayAddress,
}

/// The reason why nothing was pulled from a gateway, or not all.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// There is no way to it.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The pull has failed.
    #[error(transparent)]
    Pull(#[from] PullerError),
    /// A fault of this program.
    #[error("the pull broke off; tell the makers of this program")]
    Broken,
}

/// What came of a gateway.
#[derive(Debug)]
pub struct Outcome {
    /// The gateway.
    pub target: Target,
    /// What was pulled, or why not.
    pub result: Result<Pulled, FleetError>,
}

/// Pulls from gateways, so many at a time. Those behind one broker share one connection to it.
///
/// `report` gets each gateway's outcome as soon as it is there. A gateway that is named twice is asked once.
pub async fn pull_fleet(
    puller: &Puller,
    targets: Vec<Target>,
    order: &Order,
    jobs: u16,
    mut report: impl FnMut(Outcome),
) {
    let order = Arc::new(order.clone());
    let mut ways = Ways::default();
    let mut once: BTreeMap<CardId, Target> = BTreeMap::new();
    for target in targets {
        once.entry(target.guid).or_insert(target);
    }
    let mut waiting = once.into_values();
    let mut running = JoinSet::new();
    let mut under_way = HashMap::new();
    loop {
        while running.len() < usize::from(jobs.clamp(1, MAX_JOBS)) {
            let Some(target) = waiting.next() else {
                break;
            };
            match ways.to(puller, &target) {
                Ok(exchange) => {
                    let (puller, order) = (puller.clone(), Arc::clone(&order));
                    let asked = target.clone();
                    let task = running.spawn(async move { visit(&puller, &asked, &exchange, &order).await });
                    under_way.insert(task.id(), target);
                }
                Err(error) => report(Outcome {
                    target,
                    result: Err(error.into()),
                }),
            }
        }
        let (task, result) = match running.join_next_with_id().await {
            Some(Ok((task, result))) => (task, result),
            Some(Err(error)) => (error.id(), Err(FleetError::Broken)),
            None => break,
        };
        if let Some(target) = under_way.remove(&task) {
            report(Outcome { target, result });
        }
    }
    ways.end().await;
}

async fn visit(
    puller: &Puller,
    target: &Target,
    exchange: &Exchange,
    order: &Order,
) -> Result<Pulled, FleetError> {
    let mut witness = Witness {
        archive: None,
        show: &mut |_| {},
    };
    Ok(puller.pull(target.guid, exchange, order, &mut witness).await?)
}

/// The ways to gateways: one connection for each broker.
#[derive(Debug, Default)]
struct Ways {
    hubs: BTreeMap<String, Arc<Hub>>,
}

impl Ways {
    fn to(&mut self, puller: &Puller, target: &Target) -> Result<Exchange, ExchangeError> {
        let identity = puller.home().identity();
        if !target.address.is_broker() {
            return Exchange::new(identity, target.guid, target.address.clone());
        }
        let name = target.address.to_string();
        let hub = match self.hubs.get(&name) {
            Some(hub) => Arc::clone(hub),
            None => {
                let hub = Arc::new(Hub::new(identity, target.address.clone())?);
                self.hubs.insert(name, Arc::clone(&hub));
                hub
            }
        };
        Ok(Exchange::over(hub, target.guid))
    }

    async fn end(self) {
        for hub in self.hubs.into_values() {
            hub.drain().await;
        }
    }
}
