//! Commands that show what the supplier knows and has: `supplier gateways`, `gaps`, `conflicts`, `proof`, `bill` and
//! `export`.

use std::io::{self, Write};

use counterparty::clock;
use counterparty::files::{self, Access};
use messages::content::MessageId;
use model::{Aggregation, CardId, Element, GapReason, Quantity, Span, Timestamp};
use serde::Serialize;
use supplier::{
    BillOrder, ExportOrder, Home, KnownGateway, MissingRun, Store, StorePlace, parse_time, read_tariff,
};

use crate::arguments::{Bill, Export, Gaps, Gateways, Proof};
use crate::output::print_bill;
use crate::{END_PATIENCE, ProgramError, runtime};

/// One gateway of `gateways list`.
#[derive(Debug, Serialize)]
#[serde(tag = "schema", rename = "supplier.gateway/1")]
struct GatewayLine {
    guid: CardId,
    address: Option<String>,
}

/// Says or shows where gateways are reached.
pub(crate) fn gateways(act: &Gateways) -> Result<(), ProgramError> {
    match act {
        Gateways::Add { home, guid, gateway } => {
            let home = Home::load(home, clock::now())?;
            Ok(home.set_address(*guid, gateway)?)
        }
        Gateways::List { home, json } => {
            let home = Home::load(home, clock::now())?;
            let gateways = home.gateways()?;
            list(&gateways, *json, &mut io::stdout().lock()).map_err(ProgramError::Output)
        }
    }
}

fn list(gateways: &[KnownGateway], json: bool, out: &mut dyn Write) -> io::Result<()> {
    for gateway in gateways {
        let address = gateway.address.as_ref().map(ToString::to_string);
        if json {
            let guid = gateway.guid;
            serde_json::to_writer(&mut *out, &GatewayLine { guid, address })?;
            writeln!(out)?;
        } else {
            let address = address.unwrap_or_else(|| "at its GUID".to_owned());
            writeln!(out, "{:<40} {address}", gateway.guid.to_string())?;
        }
    }
    out.flush()
}

/// Points without a value, of `gaps`.
#[derive(Debug, Serialize)]
#[serde(tag = "schema", rename = "supplier.gap/1")]
struct GapLine<'a> {
    guid: CardId,
    #[serde(flatten)]
    element: &'a Element,
    aggregation: Aggregation,
    step: Span,
    first: Timestamp,
    last: Timestamp,
    points: u32,
    reason: Option<GapReason>,
    tries: u32,
}

/// The result of `export`.
#[derive(Debug, Serialize)]
#[serde(tag = "schema", rename = "supplier.exported/1")]
struct Exported {
    rows: u64,
}

/// Does something with a store that is there, and closes it in order whatever comes of it.
fn with_store<T>(
    place: &StorePlace,
    work: impl AsyncFnOnce(&Store) -> Result<T, ProgramError>,
) -> Result<T, ProgramError> {
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        let store = Store::open_existing(place).await?;
        let done = work(&store).await;
        store.close().await;
        done
    });
    runtime.shutdown_timeout(END_PATIENCE);
    done
}

/// Bills what was counted.
pub(crate) fn bill(act: &Bill) -> Result<(), ProgramError> {
    let tariff = act.tariff.as_deref().map(read_tariff).transpose()?;
    let zone = match (&act.zone, &tariff) {
        (Some(name), _) => supplier::zone(name)?,
        (None, Some(tariff)) => tariff.zone().clone(),
        (None, None) => supplier::zone("UTC")?,
    };
    let order = BillOrder {
        guid: act.guid,
        from: parse_time(&act.from, &zone)?,
        to: parse_time(&act.to, &zone)?,
        elements: act.elements.clone(),
        tariff,
        despite_conflicts: act.despite_conflicts,
    };
    let bill = with_store(&act.store.place(), async |store| {
        Ok(supplier::bill(store, &order).await?)
    })?;
    print_bill(&bill, act.json, &mut io::stdout().lock()).map_err(ProgramError::Output)
}

/// Writes readings of the store into a file.
pub(crate) fn export(act: &Export) -> Result<(), ProgramError> {
    let order = ExportOrder {
        guid: act.guid,
        elements: act.elements.clone(),
        from: act.from,
        to: act.to,
        gaps: act.gaps,
    };
    let rows = with_store(&act.store.place(), async |store| {
        Ok(supplier::export(store, &order, act.format, &act.out).await?)
    })?;
    let mut out = io::stdout().lock();
    let printed = if act.json {
        serde_json::to_string(&Exported { rows }).map_err(io::Error::from)
    } else {
        Ok(format!("{rows} rows are in {}", act.out.display()))
    };
    let printed = printed.and_then(|text| writeln!(out, "{text}"));
    printed.and_then(|()| out.flush()).map_err(ProgramError::Output)
}

/// Lists the points that should have a value in the store and have none.
pub(crate) fn gaps(act: &Gaps) -> Result<(), ProgramError> {
    with_store(&act.store.place(), async |store| {
        let mut out = io::stdout().lock();
        for element in store.elements(act.guid).await? {
            for run in store.missing(&element).await? {
                print_run(&run, act.json, &mut out).map_err(ProgramError::Output)?;
            }
        }
        out.flush().map_err(ProgramError::Output)
    })
}

/// A value that contradicts another one, of `conflicts`.
#[derive(Debug, Serialize)]
#[serde(tag = "schema", rename = "supplier.conflict/1")]
struct ConflictLine<'a> {
    guid: CardId,
    #[serde(flatten)]
    element: &'a Element,
    aggregation: Aggregation,
    time: Timestamp,
    /// The value that came first and counts.
    value: Quantity,
    message: MessageId,
    /// The value that came later.
    other: Quantity,
    other_message: MessageId,
}

/// Lists values of the store that contradict each other.
pub(crate) fn conflicts(act: &Gaps) -> Result<(), ProgramError> {
    with_store(&act.store.place(), async |store| {
        let mut out = io::stdout().lock();
        for element in store.elements(act.guid).await? {
            let Some(time) = element.known() else {
                continue;
            };
            for conflict in store.conflicts(element.key, time).await? {
                let present = store.readings(element.key, conflict.time, 1).await?;
                if let Some(present) = present.first() {
                    let line = ConflictLine {
                        guid: element.guid,
                        element: &element.element,
                        aggregation: element.aggregation,
                        time: conflict.time,
                        value: present.quantity,
                        message: present.proof.message,
                        other: conflict.quantity,
                        other_message: conflict.proof.message,
                    };
                    print_conflict(&line, act.json, &mut out).map_err(ProgramError::Output)?;
                }
            }
        }
        out.flush().map_err(ProgramError::Output)
    })
}

fn print_conflict(line: &ConflictLine<'_>, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, line)?;
        return writeln!(out);
    }
    let ConflictLine {
        guid,
        element,
        aggregation,
        time,
        value,
        message,
        other,
        other_message,
    } = line;
    writeln!(
        out,
        "{guid} {element} ({aggregation}) at {time}: {value} in {message}, {other} in {other_message}"
    )
}

/// Writes a signed message into a file.
pub(crate) fn proof(act: &Proof) -> Result<(), ProgramError> {
    let signed = with_store(&act.store.place(), async |store| {
        Ok(store.signed(act.guid, act.message).await?)
    })?;
    Ok(files::write_new(&act.out, &signed, Access::Public)?)
}

fn print_run(run: &MissingRun, json: bool, out: &mut dyn Write) -> io::Result<()> {
    let MissingRun {
        guid,
        element,
        aggregation,
        step,
        first,
        last,
        points,
        reason,
        tries,
        ..
    } = run;
    if json {
        let line = GapLine {
            guid: *guid,
            element,
            aggregation: *aggregation,
            step: *step,
            first: *first,
            last: *last,
            points: *points,
            reason: *reason,
            tries: *tries,
        };
        serde_json::to_writer(&mut *out, &line)?;
        return writeln!(out);
    }
    let why = supplier::reason_in_words(*reason);
    writeln!(
        out,
        "{guid} {element}: {points} points ({aggregation}) every {step}, {first} to {last}, {why}, asked again {tries} times"
    )
}
