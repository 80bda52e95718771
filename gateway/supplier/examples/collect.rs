//! A supplier's own program: pulls from every gateway that is known, bills one for its tariff, and exports everything.
//!
//! `cargo run -p supplier --example collect -- HOME GUID TARIFF.toml`

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Aggregation, Period, Span, Timestamp};
use supplier::{
    BillOrder, ExportOrder, Format, Home, Order, Outcome, Puller, Store, StorePlace, bill, export,
    pull_fleet, read_tariff,
};

/// How many gateways are pulled from at a time.
const JOBS: u16 = 64;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || {
        arguments
            .next()
            .ok_or("three arguments are wanted: HOME GUID TARIFF.toml")
    };
    let (home, guid, tariff) = (PathBuf::from(next()?), next()?.parse()?, next()?);

    let now = counterparty::clock::now();
    let store = Store::open(&StorePlace::File(home.join("store.db"))).await?;
    let home = Arc::new(Home::load(&home, now)?);
    pull(&home, &store, now).await?;

    // What was counted on the last whole day, in UTC.
    let to = Span::DAY.grid_at_or_before(now);
    let order = BillOrder {
        guid,
        from: to.saturating_sub(Span::DAY),
        to,
        elements: Vec::new(),
        tariff: Some(read_tariff(Path::new(&tariff))?),
        despite_conflicts: false,
    };
    let bill = bill(&store, &order).await?;
    let mut out = io::stdout().lock();
    for line in &bill.lines {
        writeln!(out, "{} {} {}", line.element, line.consumption, line.unit)?;
    }

    let rows = export(
        &store,
        &ExportOrder::default(),
        Format::Parquet,
        Path::new("all.parquet"),
    )
    .await?;
    writeln!(out, "{rows} rows are in all.parquet")?;
    store.close().await;
    Ok(())
}

/// Pulls from where the store ends, and a day if there is nothing yet.
async fn pull(home: &Arc<Home>, store: &Store, now: Timestamp) -> Result<(), Box<dyn Error>> {
    let order = Order {
        elements: vec!["*/1-0:1.8.0*255".parse()?],
        resolution: Span::QUARTER_HOUR,
        aggregation: Aggregation::Value,
        period: Period::new(now.saturating_sub(Span::DAY), now)?,
        since_last: true,
        fill_gaps: true,
        retries: 2,
    };
    let known = home.gateways()?.into_iter();
    let targets = known
        .map(|gateway| gateway.target(None))
        .collect::<Result<_, _>>()?;
    let puller = Puller::new(Arc::clone(home), store.clone(), counterparty::clock::now);
    let report = |outcome: Outcome| match outcome.result {
        Ok(pulled) => tracing::info!(guid = %pulled.guid, new = pulled.kept.new, "pulled"),
        Err(error) => tracing::warn!(guid = %outcome.target.guid, %error, "not pulled"),
    };
    pull_fleet(&puller, targets, &order, JOBS, report).await;
    Ok(())
}
