//! What takes up the queues: leases gateways for which something is due, and visits some of them at the same time.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use counterparty::files::{self, Access, FileError};
use counterparty::random::{self, RandomError};
use model::Timestamp;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::delivery::{Delivery, DeliveryError, LEASE_SECONDS};
use super::trust::Trust;
use crate::books::{Books, BooksError, Leased, hex, later};
use crate::bundles::BundlesError;

/// How many gateways are visited at the same time; each visit has a thread that mostly waits.
const MAX_VISITS: usize = 16;
/// How long the books are left alone after nothing was due.
const IDLE: Duration = Duration::from_secs(1);
/// How long a gateway is left alone after it was tried in vain once, in seconds; twice as long after each further time.
const FIRST_PAUSE_SECONDS: u32 = 5;
/// The longest such pause in seconds: a gateway that is back is noticed within it.
const LONGEST_PAUSE_SECONDS: u32 = 3_600;
/// How long a gateway is left alone on which somebody else works.
const BUSY_PAUSE_SECONDS: u32 = 5;
/// How long visits that go on may take at the end.
const GRACE: Duration = Duration::from_secs(3);
/// How often a gateway is asked how it is, in seconds.
const REPORT_PERIOD_SECONDS: u32 = 86_400;
/// The greatest length of the worker's name.
const MAX_NAME: usize = 64;

/// The file that holds the name of the worker, and is locked while it works.
const NAME_FILE: &str = "worker";

/// The reason why a worker cannot begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkerError {
    /// Another one works from the same folder.
    #[error("another `trust-center tsm serve` runs from this folder already; end it, or let it do the work")]
    Busy,
    /// Its name cannot be read or written.
    #[error("the worker's name cannot be kept; free the disk")]
    File(#[from] FileError),
    /// It gets no name.
    #[error("the worker gets no name")]
    Random(#[from] RandomError),
    /// The books cannot be kept.
    #[error(transparent)]
    Books(#[from] BooksError),
}

/// The name under which a trust centre's folder leases gateways; there is one worker for each.
#[derive(Debug)]
pub(crate) struct WorkerName {
    name: String,
    /// Held until this is dropped.
    _lock: File,
}

impl WorkerName {
    /// Takes the name of a folder, and gives back what its last worker has left leased because it was killed.
    pub(crate) fn take(home: &Path, books: &Books) -> Result<Self, WorkerError> {
        let path = home.join("tsm").join(NAME_FILE);
        if let Err(FileError::Missing { .. }) = files::read(&path, MAX_NAME) {
            let name = hex(random::bytes::<16>()?.as_slice());
            files::replace(&path, name.as_bytes(), Access::Private)?;
        }
        let lock = File::open(&path).map_err(FileError::at(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(WorkerError::Busy),
            Err(TryLockError::Error(source)) => return Err(FileError::at(&path)(source).into()),
        }
        let name = files::read_text(&path, MAX_NAME)?;
        books.release(&name)?;
        Ok(Self { name, _lock: lock })
    }
}

/// What visits need.
#[derive(Debug)]
pub(crate) struct Workshop {
    /// Who works.
    pub(crate) name: WorkerName,
    /// Whom the TSM trusts.
    pub(crate) trust: Arc<Trust>,
    /// The books.
    pub(crate) books: Arc<Books>,
    /// The clock.
    pub(crate) clock: fn() -> Timestamp,
}

/// Works on the queues until it is stopped. Visits that go on then are waited for a little; one that is cut off is as good
/// as killed, which it may be at any moment.
pub(crate) async fn work(workshop: Arc<Workshop>, stop: CancellationToken) {
    let mut visits = JoinSet::new();
    while !stop.is_cancelled() {
        while visits.try_join_next().is_some() {}
        let room = MAX_VISITS.saturating_sub(visits.len());
        let leased = lease(&workshop, room).await;
        let found = leased.len();
        for leased in leased {
            let workshop = Arc::clone(&workshop);
            let runtime = Handle::current();
            // The books block, so each visit has a thread of its own.
            visits.spawn_blocking(move || runtime.block_on(call_on(&workshop, &leased)));
        }
        tokio::select! {
            () = stop.cancelled() => break,
            // More may be due than there was room for.
            Some(_) = visits.join_next(), if found == room => {}
            () = tokio::time::sleep(IDLE) => {}
        }
    }
    let ending = async { while visits.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, ending).await.is_err() {
        tracing::info!("visits that take longer are cut off");
    }
}

async fn lease(workshop: &Arc<Workshop>, room: usize) -> Vec<Leased> {
    if room == 0 {
        return Vec::new();
    }
    let workshop = Arc::clone(workshop);
    let leasing = tokio::task::spawn_blocking(move || {
        let now = (workshop.clock)();
        let name = &workshop.name.name;
        workshop.books.lease(name, now, later(now, LEASE_SECONDS), room)
    });
    match leasing.await.unwrap_or(Err(BooksError::Broken)) {
        Ok(leased) => leased,
        Err(error) => {
            tracing::error!("nothing can be taken up: {}", crate::chain(&error));
            Vec::new()
        }
    }
}

/// Visits one gateway, and writes down when it is next to be visited.
async fn call_on(workshop: &Workshop, leased: &Leased) {
    let delivery = Delivery {
        trust: &workshop.trust,
        books: &workshop.books,
        clock: workshop.clock,
    };
    let done = Box::pin(delivery.deliver(leased)).await;
    let now = (workshop.clock)();
    let kept = match done {
        Ok(_) => workshop.books.reached(
            leased.guid,
            later(now, spread(REPORT_PERIOD_SECONDS, random_byte())),
        ),
        // Nothing will ever be due there again.
        Err(DeliveryError::Terminated) => workshop.books.reached(leased.guid, later(now, u32::MAX)),
        Err(DeliveryError::Bundles(BundlesError::Busy { .. })) => {
            let trouble = "somebody else installs at this moment";
            let due = later(now, BUSY_PAUSE_SECONDS);
            workshop.books.postpone(leased, due, trouble, false)
        }
        Err(error) => {
            let trouble = crate::chain(&error);
            let pause = spread(pause_seconds(leased.attempts), random_byte());
            tracing::info!(guid = %leased.guid, again_in_seconds = pause, "not delivered: {trouble}");
            workshop.books.postpone(leased, later(now, pause), &trouble, true)
        }
    };
    if let Err(error) = kept {
        // The lease runs out by itself, and the gateway is visited again.
        tracing::error!(guid = %leased.guid, "a visit cannot be written down: {}", crate::chain(&error));
    }
}

/// Returns how long to wait after so many attempts before this one.
fn pause_seconds(attempts: u64) -> u32 {
    let doubled = u32::try_from(attempts)
        .ok()
        .and_then(|attempts| 1u32.checked_shl(attempts));
    let pause = doubled.and_then(|doubled| doubled.checked_mul(FIRST_PAUSE_SECONDS));
    pause.map_or(LONGEST_PAUSE_SECONDS, |pause| pause.min(LONGEST_PAUSE_SECONDS))
}

/// Spreads a time over its second half, so that gateways which went away together are not all tried together.
fn spread(seconds: u32, random: u8) -> u32 {
    let half = seconds.div_ceil(2);
    let share = u64::from(half).saturating_mul(u64::from(random)) >> 8;
    seconds
        .saturating_sub(half)
        .saturating_add(u32::try_from(share).unwrap_or(half))
        .max(1)
}

fn random_byte() -> u8 {
    // Without randomness the times are not spread, and that is all.
    random::bytes::<1>().map_or(u8::MAX, |bytes| bytes[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_works_from_a_folder() {
        let home = tempfile::tempdir().unwrap();
        let books = Books::create(home.path(), None).unwrap();
        std::fs::create_dir(home.path().join("tsm")).unwrap();
        let first = WorkerName::take(home.path(), &books).unwrap();
        assert!(matches!(
            WorkerName::take(home.path(), &books),
            Err(WorkerError::Busy)
        ));
        let name = first.name.clone();
        drop(first);
        assert_eq!(WorkerName::take(home.path(), &books).unwrap().name, name);
    }

    #[test]
    fn pauses_grow_to_an_hour() {
        let pauses: Vec<_> = [0, 1, 2, 9, 10, 31, 32, u64::MAX].map(pause_seconds).into();
        assert_eq!(pauses, [5, 10, 20, 2_560, 3_600, 3_600, 3_600, 3_600]);
    }

    #[test]
    fn times_are_spread_over_their_second_half() {
        for seconds in [1, 5, 10, 3_600, 86_400] {
            for random in [0, 1, 127, 255] {
                let spread = spread(seconds, random);
                assert!(
                    spread >= 1 && spread >= seconds / 2 && spread <= seconds,
                    "{seconds} {random}: {spread}"
                );
            }
        }
        assert!(spread(3_600, 255) > spread(3_600, 0) + 1_700);
    }
}
