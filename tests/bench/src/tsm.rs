//! The bench of the TSM: how much memory it takes with thousands of gateways, each with a queue.
//!
//! As many cards as are visited at the same time are real, each with a request of a real supplier; their gateways are a door
//! that takes every connection and says nothing, which is where visits last longest. The other gateways, requests and jobs
//! are put into the books as rows like theirs; visits to those end where their cards are not found. The supplier reads the
//! state of all its requests meanwhile, several times at once.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use rusqlite::{Connection, params};
use serde::Deserialize;
use system::{Folder, GrantText, Interrupt, Program, Programs, Stage, Tsm, grants_of_the_house};

use crate::error::BenchError;
use crate::figures::peak_memory_kib;

/// How many gateways are registered.
const GATEWAYS: u32 = 10_000;
const SHORT_GATEWAYS: u32 = 200;
/// How many of them have a real card: as many as the TSM visits at the same time.
const CARDS: u32 = 16;
/// How many jobs wait for each of the others.
const JOBS: u32 = 3;
/// How much memory the TSM may take, in KiB.
const LIMIT_KIB: u64 = 300 * 1024;
/// How many programs read the state of all requests at the same time.
const READERS: usize = 4;
/// How long reading all of it may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Fewer gateways: to see that it works.
    #[arg(long)]
    short: bool,
    /// Succeed even if a figure is above its limit.
    #[arg(long)]
    no_limits: bool,
}

/// Measures and prints the table.
pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    let gateways = if options.short { SHORT_GATEWAYS } else { GATEWAYS };
    let stage = Stage::set(Programs::find()?, Folder::temporary()?, Interrupt::default())?;
    let cards = personalize(&stage)?;
    let supplier = stage.found_supplier("supplier", "Supplier", &stage.trust_center())?;
    let grants = stage.write("grants.toml", &GrantText::file(&grants_of_the_house("PT15M")))?;
    let mute = TcpListener::bind("127.0.0.1:0").map_err(BenchError::Network)?;
    let address = mute.local_addr().map_err(BenchError::Network)?.to_string();
    stage.write("trust-center/policy.toml", "approve = \"automatic\"\n")?;
    let tsm = stage.start_tsm()?;
    for guid in &cards {
        stage.register_gateway(guid, &address)?;
        tsm.request(&stage, &supplier, guid, &grants, None)?;
    }
    stop(tsm)?;
    let others = gateways.saturating_sub(CARDS);
    fill(&stage.trust_center().join("books.db"), others)?;

    let mut tsm = stage.start_tsm()?;
    let deadline = stage.deadline(PATIENCE);
    let command = stage
        .command(Program::Supplier, "requests")
        .arg("--json")
        .option("--home", supplier.home())
        .option("--tsm", tsm.address());
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(stage.start(&command)?);
    }
    let mut read = usize::MAX;
    for reader in readers {
        let finished = reader.finish(&deadline)?;
        finished.success()?;
        read = read.min(finished.lines.len());
    }
    let peak = peak_memory_kib(tsm.process().id())?;
    stop(tsm)?;
    drop(mute);
    print(gateways, read, peak)?;
    let expected = usize::try_from(others * JOBS + CARDS).unwrap_or(usize::MAX);
    if read != expected {
        return Err(BenchError::Program {
            program: "supplier requests".to_owned(),
            said: format!("{read} requests of {expected}"),
        });
    }
    if options.no_limits || peak <= LIMIT_KIB {
        return Ok(());
    }
    Err(BenchError::AboveLimit("the TSM's memory".to_owned()))
}

/// Personalises the real cards; returns their GUIDs.
fn personalize(stage: &Stage) -> Result<Vec<String>, BenchError> {
    let command = stage.command(Program::TrustCenter, "personalize").arg("--json");
    let command = command
        .option("--home", stage.trust_center())
        .option("--card", format!("soft:{}", stage.path("cards").display()))
        .option("--batch", CARDS.to_string())
        .option("--labels", stage.path("labels"));
    let finished = stage.run(&command)?;
    let step = |source| BenchError::Step {
        step: "personalize".to_owned(),
        source,
    };
    let batch: Batch = serde_json::from_str(finished.answer()?).map_err(step)?;
    Ok(batch.guids)
}

/// What a batch answers.
#[derive(Debug, Deserialize)]
struct Batch {
    guids: Vec<String>,
}

fn print(gateways: u32, read: usize, peak_kib: u64) -> Result<(), BenchError> {
    let text = format!(
        "{:<60} {:>10} {:>10}\n{:<60} {:>10} {:>10}\n{:<60} {:>10} {:>10}\n",
        "",
        "limit",
        "found",
        format!("greatest resident memory with {gateways} gateways, {JOBS} jobs each"),
        format!("{} MiB", LIMIT_KIB / 1024),
        format!("{} MiB", peak_kib.div_ceil(1024)),
        format!("requests that each of {READERS} readers has read meanwhile"),
        "-",
        read
    );
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(BenchError::Output)
}

fn stop(mut tsm: Tsm) -> Result<(), BenchError> {
    Ok(tsm.process().stop()?)
}

/// Puts gateways with their queues into the books, made after the first request that is there.
fn fill(books: &Path, gateways: u32) -> Result<(), BenchError> {
    let mut connection = Connection::open(books)?;
    let transaction = connection.transaction()?;
    {
        let mut gateway = transaction.prepare(
            "INSERT INTO tsm_gateways (guid, report_due, attempts, due, lease) VALUES (?1, 0, 0, 0, 0)",
        )?;
        let mut request = transaction.prepare(
            "INSERT INTO tsm_requests (id, number, guid, supplier, name, received, content, granted, state, changed, record, \
             decision) SELECT ?1, ?2, ?3, supplier, name, received, content, granted, 'approved', changed, record, record \
             FROM tsm_requests WHERE number = 1",
        )?;
        let mut job = transaction
            .prepare("INSERT INTO tsm_jobs (number, guid, urgency, request) VALUES (?1, ?2, 0, ?3)")?;
        let mut number = CARDS;
        for gateway_number in 0..gateways {
            let guid = format!(
                "fd5b::{:x}:{:x}",
                gateway_number >> 16 | 1,
                gateway_number & 0xffff
            );
            gateway.execute(params![guid])?;
            for _ in 0..JOBS {
                number += 1;
                let id = format!("{number:032x}");
                request.execute(params![id, number, guid])?;
                job.execute(params![number, guid, id])?;
            }
        }
    }
    transaction.commit()?;
    Ok(())
}
