//! The scan of a line: who answers on an M-Bus or to a Modbus endpoint, with progress, and what was found so far kept.
//!
//! A line that is read for metering is borrowed between two rounds and given back before the next, so that no value is missed.
//! Where the rounds follow each other too closely for that, the scan is refused.

mod found;
mod order;
mod probe;
mod turn;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bus::PollError;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Site;
use super::check::{Check, Verdict};
use super::what::What;
use crate::clock;
use crate::report::Chain;

pub(super) use found::FoundMeter;
pub(super) use order::{Fault, Form, LATENCIES_MS, Order, Protocol};
use probe::{MbusProbe, ModbusProbe, Probe};
pub(crate) use turn::Line;
use turn::{Refused, Turns};

/// How often an address is tried that was not at its end when the line had to be given back.
const MOST_ATTEMPTS: u8 = 3;
/// The most meters that are kept: a full line.
const MOST_FOUND: usize = 250;

/// A scan, as far as it has come.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Scan {
    pub(super) order: Order,
    pub(super) begun: Option<Timestamp>,
    /// How long it has run, in milliseconds.
    #[serde(default)]
    pub(super) took_ms: u64,
    /// Addresses that were asked.
    pub(super) asked: usize,
    /// Addresses that were to be asked.
    pub(super) of: usize,
    /// Who is asked now.
    #[serde(default)]
    pub(super) now: Option<String>,
    /// Whether the line is waited for, which is read for metering.
    #[serde(default)]
    pub(super) waits: bool,
    #[serde(default)]
    pub(super) found: Vec<FoundMeter>,
    /// Addresses at which several meters answer, or one is never understood.
    #[serde(default)]
    pub(super) shared: Vec<String>,
    /// Addresses for which the time between two rounds was never enough.
    #[serde(default)]
    pub(super) unfinished: Vec<String>,
    /// What was counted on the line: frames, tries without an answer, damaged frames, collisions.
    #[serde(default)]
    pub(super) counted: Counted,
}

/// What was counted on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Counted {
    pub(super) requests: u64,
    pub(super) frames: u64,
    pub(super) timeouts: u64,
    pub(super) damaged: u64,
    pub(super) collisions: u64,
}

/// Where the scan is seen while it runs. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Board {
    scan: Arc<Mutex<Option<Scan>>>,
    cancel: Arc<Mutex<CancellationToken>>,
}

impl Board {
    /// Shows what was found before a restart.
    pub(super) fn showing(scan: Option<Scan>) -> Self {
        let board = Self::default();
        *board.lock() = scan;
        board
    }

    /// Returns the scan as it stands.
    pub(super) fn scan(&self) -> Option<Scan> {
        self.lock().clone()
    }

    /// Has the scan that runs end; what it has found stays.
    pub(super) fn cancel(&self) {
        self.token().cancel();
    }

    fn begin(&self, scan: Scan) -> CancellationToken {
        *self.lock() = Some(scan);
        let fresh = CancellationToken::new();
        *self.token() = fresh.clone();
        fresh
    }

    fn change(&self, how: impl FnOnce(&mut Scan)) {
        if let Some(scan) = self.lock().as_mut() {
            how(scan);
        }
    }

    /// A panic under the lock leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, Option<Scan>> {
        self.scan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A panic under the lock leaves nothing half done.
    fn token(&self) -> MutexGuard<'_, CancellationToken> {
        self.cancel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reason why a scan did not come to its end.
#[derive(Debug, thiserror::Error)]
enum ScanError {
    #[error(transparent)]
    Poll(#[from] PollError),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the scan was cancelled")]
    Cancelled,
}

/// Scans a line. `keep` has what was found so far written down.
pub(super) async fn run(site: &Site, board: &Board, order: Order, keep: impl Fn(&Scan)) -> Vec<Check> {
    let begun = Instant::now();
    let cancelled = board.begin(Scan {
        begun: Some(clock::now()),
        of: order.addresses().len(),
        order: order.clone(),
        ..Scan::default()
    });
    let turns = Turns::new(site, &order);
    let scanning = async {
        let turns = turns?;
        match order.protocol {
            Protocol::Mbus => {
                let line = (MbusProbe::new(&order)?, turns);
                scan_line(&order, line, board, &keep, begun).await
            }
            Protocol::Modbus => {
                let line = (ModbusProbe::new(&order)?, turns);
                scan_line(&order, line, board, &keep, begun).await
            }
        }
    };
    let outcome = tokio::select! {
        () = cancelled.cancelled() => Err(ScanError::Cancelled),
        outcome = scanning => outcome,
    };
    board.change(|scan| {
        (scan.now, scan.waits) = (None, false);
        scan.took_ms = millis(begun.elapsed());
    });
    let scan = board.scan().unwrap_or_default();
    keep(&scan);
    told(&scan, &outcome)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Says what came of a scan.
fn told(scan: &Scan, outcome: &Result<(), ScanError>) -> Vec<Check> {
    let line = Check::of(What::Line, true).measured(scan.order.endpoint.clone());
    let asked = format!("{} / {}", scan.asked, scan.of);
    let mut checks = match outcome {
        Ok(()) => vec![line, Check::of(What::Asked, true).measured(asked)],
        Err(ScanError::Cancelled) => vec![line, Check::new(What::Cancelled, Verdict::Note).measured(asked)],
        Err(error) => {
            let cause = Chain(error).to_string();
            let what = match error {
                ScanError::Refused(_) => What::Shared,
                ScanError::Poll(_) | ScanError::Cancelled => What::Line,
            };
            vec![
                Check::of(what, false)
                    .measured(scan.order.endpoint.clone())
                    .because(cause),
            ]
        }
    };
    if !matches!(outcome, Err(ScanError::Refused(_) | ScanError::Poll(_))) || !scan.found.is_empty() {
        let found = scan.found.len();
        checks.push(Check::of(What::Found, found > 0).measured(found.to_string()));
    }
    let several = |address: &String| Check::of(What::SeveralMeters, false).measured(address.clone());
    checks.extend(scan.shared.iter().take(8).map(several));
    let late = |address: &String| Check::of(What::Unfinished, false).measured(address.clone());
    checks.extend(scan.unfinished.iter().take(8).map(late));
    checks
}

/// Asks every address of an order, one after the other, each as often as the line had to be given back before its end.
async fn scan_line<P: Probe>(
    order: &Order,
    (mut probe, mut turns): (P, Turns),
    board: &Board,
    keep: &impl Fn(&Scan),
    begun: Instant,
) -> Result<(), ScanError> {
    for address in order.addresses() {
        let name = address.to_string();
        let mut reports = None;
        for _ in 0..MOST_ATTEMPTS {
            let deadline = wait_for_turn(&mut turns, board, &name, || probe.renew()).await?;
            if let Some(done) = within(deadline, probe.ask(address, order.tries)).await {
                reports = Some(done?);
                break;
            }
            probe.renew();
            turns.give_back();
        }
        board.change(|scan| {
            scan.asked = scan.asked.saturating_add(1);
            scan.took_ms = millis(begun.elapsed());
            probe.count(&mut scan.counted);
            match reports {
                Some(reports) => reports.into_iter().for_each(|report| P::take(scan, report)),
                None => scan.unfinished.push(name),
            }
        });
        keep_found(board, keep);
    }
    Ok(())
}

/// Writes down what was found, if something is new; the progress alone is not worth a write.
fn keep_found(board: &Board, keep: &impl Fn(&Scan)) {
    if let Some(scan) = board.scan()
        && scan
            .found
            .last()
            .is_some_and(|last| scan.now.as_deref() == Some(&*last.address))
    {
        keep(&scan);
    }
}

/// Waits until the line may be used, and shows that. A master that was in use before the wait is replaced, since its port has
/// to be closed while others read.
async fn wait_for_turn(
    turns: &mut Turns,
    board: &Board,
    address: &str,
    renew: impl FnOnce(),
) -> Result<Option<Instant>, ScanError> {
    board.change(|scan| scan.now = Some(address.to_owned()));
    if turns.is_over() {
        renew();
        turns.give_back();
        board.change(|scan| scan.waits = true);
    }
    let deadline = turns.take().await?;
    board.change(|scan| scan.waits = false);
    Ok(deadline)
}

/// Does something until the deadline, if there is one; nothing if the time was not enough.
async fn within<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        None => Some(work.await),
        Some(deadline) => timeout_at(deadline, work).await.ok(),
    }
}
