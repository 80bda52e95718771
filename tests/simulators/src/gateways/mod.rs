//! A fleet of gateways behind a broker, in one process: real certificates, real connections, real messages, no meters.
//!
//! Each gateway has a card of its own (in software), three certificates by the trust centre's issuing authority, and a
//! connection to the broker under its GUID. It answers every supplier of that trust centre with values that follow from
//! its GUID and the time, keeps an answer until its receipt has come, and comes back when the broker has gone. Messages
//! and the way over the broker are the product's; grants, freshness and repetition are not looked at.

mod answer;
mod center;
mod error;
mod gateway;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker::{BrokerAddress, Protocol};
use model::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use center::Center;
pub use error::FleetError;
use gateway::Gateway;

/// How many handshakes are made at a time: a broker has one thread for them, and whoever waits too long comes again.
const HANDSHAKES: usize = 64;
/// What the process needs besides one descriptor for each gateway.
const OTHER_DESCRIPTORS: u64 = 64;

/// What a fleet is made of.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// How many gateways there are.
    pub count: usize,
    /// The brokers; gateway by gateway the next one, and whoever loses one goes to the next.
    pub brokers: Vec<BrokerAddress>,
    /// The version of MQTT.
    pub protocol: Protocol,
}

/// A fleet that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Fleet {
    counts: Arc<Counts>,
    tasks: JoinSet<()>,
    count: usize,
}

/// What the gateways have done, all together.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    connected: AtomicU64,
    answered: AtomicU64,
    receipts: AtomicU64,
    repeated: AtomicU64,
    refused: AtomicU64,
}

/// The state of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetState {
    /// How many gateways are connected.
    pub connected: u64,
    /// How many requests were answered.
    pub answered: u64,
    /// How many answers have their receipts.
    pub receipts: u64,
    /// How many answers went out again.
    pub repeated: u64,
    /// How many messages could not be read.
    pub refused: u64,
}

impl Fleet {
    /// Certifies the gateways, writes their certificates where the supplier looks for them, and connects them; there has
    /// to be a broker.
    ///
    /// # Errors
    ///
    /// [`FleetError`] if they cannot be certified, or if the process may not have a descriptor for each.
    pub fn start(center: Center, options: &FleetOptions) -> Result<Self, FleetError> {
        check_descriptors(options.count)?;
        if options.brokers.is_empty() {
            return Err(FleetError::NoBroker);
        }
        let center = Arc::new(center);
        let cards = make_cards(&center, options.count)?;
        let counts = Arc::new(Counts::default());
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
        let mut tasks = JoinSet::new();
        for (number, card) in cards.into_iter().enumerate() {
            let gateway = Gateway::new(card, number, Arc::clone(&center), options, Arc::clone(&counts))?;
            tasks.spawn(gateway.run(Arc::clone(&handshakes)));
        }
        Ok(Self {
            counts,
            tasks,
            count: options.count,
        })
    }

    /// Returns how many gateways there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Returns whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns what they have done so far.
    #[must_use]
    pub fn state(&self) -> FleetState {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counts {
            connected,
            answered,
            receipts,
            repeated,
            refused,
        } = &*self.counts;
        FleetState {
            connected: read(connected),
            answered: read(answered),
            receipts: read(receipts),
            repeated: read(repeated),
            refused: read(refused),
        }
    }

    /// Waits until so many gateways are connected, or the time is over; returns whether they are.
    pub async fn wait_until_connected(&self, count: usize, allowed: Duration) -> bool {
        let wanted = u64::try_from(count).unwrap_or(u64::MAX);
        let waiting = async {
            while self.state().connected < wanted {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(allowed, waiting).await.is_ok()
    }

    /// Waits for the end, which comes only if a gateway fails.
    pub async fn ended(&mut self) {
        drop(self.tasks.join_next().await);
    }
}

/// Makes the cards on as many threads as the machine has processors.
fn make_cards(center: &Arc<Center>, count: usize) -> Result<Vec<center::Card>, FleetError> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = count.div_ceil(threads.max(1));
    std::thread::scope(|scope| {
        let making: Vec<_> = (0..threads)
            .map(|thread| {
                let begin = thread.saturating_mul(share).min(count);
                let end = begin.saturating_add(share).min(count);
                scope.spawn(move || {
                    let cards = (begin..end).map(|_| center.card());
                    cards.collect::<Result<Vec<_>, _>>()
                })
            })
            .collect();
        let mut cards = Vec::with_capacity(count);
        for made in making {
            cards.extend(made.join().map_err(|_| FleetError::Thread)??);
        }
        Ok(cards)
    })
}

/// Refuses to begin what would run out of descriptors on the way.
fn check_descriptors(count: usize) -> Result<(), FleetError> {
    let needed = u64::try_from(count)
        .unwrap_or(u64::MAX)
        .saturating_add(OTHER_DESCRIPTORS);
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let found = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    match found {
        Some(found) if found < needed => Err(FleetError::Descriptors { needed, found }),
        _ => Ok(()),
    }
}

/// Reads the clock.
#[expect(
    clippy::disallowed_methods,
    reason = "a simulated gateway has the machine's clock, as a real one has"
)]
fn now() -> Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    Timestamp::from_unix_seconds(seconds).unwrap_or(Timestamp::EPOCH)
}
