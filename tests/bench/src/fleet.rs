//! The bench of a fleet: a supplier pulls a day of quarter hours from thousands of simulated gateways behind one broker.
//!
//! Everything is on this machine: the gateways in one process, Mosquitto in another, and the supplier's own program. The
//! messages and connections are real; what a card and a mobile network would take is not in it.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use system::{Broker, BrokerUser, Folder, Interrupt, Programs, SimulatedGateways, Stage};

use crate::error::BenchError;
use crate::figures::{line, peak_memory_kib};

/// How many gateways there are.
const GATEWAYS: usize = 10_000;
const SHORT_GATEWAYS: usize = 20;
/// How many are pulled at the same time.
const JOBS: usize = 256;
/// How long pulling [`GATEWAYS`] may take, on two processors.
const LIMIT: Duration = Duration::from_secs(300);
/// After how long the bench gives up.
const PATIENCE: Duration = Duration::from_secs(1_800);
/// What each gateway measures, and the quarter hours of a day; both of its ends may lie on the grid.
const ELEMENTS: u32 = 4;
const POINTS: usize = 96;
/// How much memory a simulated gateway may take, in KiB, so that a fleet fits into a machine.
const MEMORY_LIMIT_KIB: u64 = 256;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Fewer gateways: to see that it works.
    #[arg(long)]
    short: bool,
    /// Succeed even if a figure is above its limit.
    #[arg(long)]
    no_limits: bool,
    /// How many gateways there are; the limit holds for 10,000.
    #[arg(long, conflicts_with = "short", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    gateways: Option<u16>,
}

/// Measures and prints the table.
pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    let count = match (options.short, options.gateways) {
        (true, _) => SHORT_GATEWAYS,
        (false, gateways) => gateways.map_or(GATEWAYS, usize::from),
    };
    let stage = Stage::set(Programs::find()?, Folder::temporary()?, Interrupt::default())?;
    let supplier = stage.found_supplier("supplier", "City Works", &stage.trust_center())?;
    let broker = Broker::start(&stage, "broker", &[BrokerUser::supplier(&supplier)])?;
    let begun = Instant::now();
    let mut fleet = SimulatedGateways::start(&stage, &supplier, count, &[broker.address()], "5")?;
    let connected = begun.elapsed();
    let wan = format!("mqtts://{}", broker.address());
    let begun = Instant::now();
    let pulling = stage.start(&supplier.pull_all_command(&stage, &wan, JOBS))?;
    let finished = pulling.finish(&stage.deadline(PATIENCE))?;
    let pulled = begun.elapsed();
    finished.success()?;
    let stored = stored(&supplier.home().join("store.db"))?;
    let gateways = u32::try_from(count).unwrap_or_default();
    let expected = Stored {
        gateways,
        whole: gateways * ELEMENTS,
        conflicts: 0,
    };
    if stored != expected {
        return Err(BenchError::Content {
            engine: "the supplier's store".to_owned(),
            expected: format!("{expected:?}"),
            found: format!("{stored:?}"),
        });
    }
    let all = u64::try_from(count).unwrap_or(u64::MAX);
    let state = fleet.wait_for(&stage, "all receipts", PATIENCE, |state| state.receipts == all)?;
    let memory = peak_memory_kib(fleet.id())?;
    let each = memory.checked_div(all).unwrap_or_default();
    let brokers = broker.id().map_or(Ok(0), peak_memory_kib)?;
    let mut text = line("", "limit", "found");
    text += &line(
        &format!("{count} gateways pulled, a day of four elements each (limit for {GATEWAYS})"),
        &format!("{LIMIT:?}"),
        &format!("{pulled:.1?}"),
    );
    text += &line(
        "until they were certified and connected",
        "-",
        &format!("{connected:.1?}"),
    );
    text += &line("answers that went out again", "-", &state.repeated.to_string());
    let limit = format!("{MEMORY_LIMIT_KIB} KiB");
    text += &line("memory of a simulated gateway", &limit, &format!("{each} KiB"));
    text += &line("memory of the broker", "-", &format!("{} MiB", brokers / 1_024));
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(BenchError::Output)?;
    if options.short || options.no_limits || (pulled <= LIMIT && each <= MEMORY_LIMIT_KIB) {
        return Ok(());
    }
    Err(BenchError::AboveLimit("a fleet".to_owned()))
}

/// What is in the supplier's store.
#[derive(Debug, PartialEq, Eq)]
struct Stored {
    gateways: u32,
    /// Elements that have a value for each quarter hour; the key of the table lets none be there twice.
    whole: u32,
    conflicts: u32,
}

fn stored(store: &Path) -> Result<Stored, BenchError> {
    let database = rusqlite::Connection::open(store)?;
    let count = |statement: &str| database.query_row(statement, [], |row| row.get::<_, u32>(0));
    let whole = format!(
        "SELECT count(*) FROM (SELECT count(*) AS points FROM readings GROUP BY element) WHERE points >= {POINTS}"
    );
    Ok(Stored {
        gateways: count("SELECT count(DISTINCT gateway) FROM elements")?,
        whole: count(&whole)?,
        conflicts: count("SELECT count(*) FROM conflicts")?,
    })
}
