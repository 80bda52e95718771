//! A bill for people, and as JSON.

use std::io::{self, Write};

use model::{CardId, Decimal, Element, Fingerprint, GapReason, Span, Status, Timestamp, Unit};
use serde::Serialize;
use supplier::{Bill, BillLine, StoredReading, reason_in_words};

/// How amounts are rounded.
const RULE: &str = "each amount is rounded half away from zero, and the total is the sum of the amounts; nothing else is rounded";

#[derive(Serialize)]
#[serde(tag = "schema", rename = "supplier.bill/1")]
struct BillDocument<'a> {
    guid: CardId,
    from: Timestamp,
    to: Timestamp,
    rounding: &'static str,
    lines: Vec<LineDocument<'a>>,
    total: Option<Decimal>,
    currency: Option<&'a str>,
    missing: Vec<MissingDocument<'a>>,
    conflicts: Vec<ConflictDocument<'a>>,
    left_out: &'a [Element],
}

#[derive(Serialize)]
struct LineDocument<'a> {
    #[serde(flatten)]
    element: &'a Element,
    stage: Option<&'a str>,
    consumption: Decimal,
    unit: &'a str,
    price: Option<Decimal>,
    amount: Option<Decimal>,
    proof: Vec<PartDocument>,
}

#[derive(Serialize)]
struct PartDocument {
    start: ReadingDocument,
    end: ReadingDocument,
    consumption: Decimal,
}

#[derive(Serialize)]
struct ReadingDocument {
    time: Timestamp,
    value: Decimal,
    unit: Unit,
    status: Status,
    message: String,
    digest: Fingerprint,
}

#[derive(Serialize)]
struct MissingDocument<'a> {
    #[serde(flatten)]
    element: &'a Element,
    step: Span,
    first: Timestamp,
    last: Timestamp,
    points: u32,
    reason: Option<GapReason>,
}

#[derive(Serialize)]
struct ConflictDocument<'a> {
    #[serde(flatten)]
    element: &'a Element,
    time: Timestamp,
    other: Decimal,
    unit: Unit,
}

/// Writes a bill.
pub(crate) fn print_bill(bill: &Bill, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, &document(bill))?;
        writeln!(out)?;
        return out.flush();
    }
    writeln!(out, "Gateway {}, {} to {}", bill.guid, bill.from, bill.to)?;
    for line in &bill.lines {
        print_line(line, out)?;
    }
    if let Some((total, currency)) = &bill.total {
        writeln!(out, "Total: {total} {currency} ({RULE})")?;
    }
    print_remarks(bill, out)?;
    out.flush()
}

fn print_line(line: &BillLine, out: &mut dyn Write) -> io::Result<()> {
    let stage = line
        .stage
        .as_deref()
        .map(|stage| format!(", {stage}"))
        .unwrap_or_default();
    write!(out, "{}{stage}: {} {}", line.element, line.consumption, line.unit)?;
    if let Some((price, amount)) = line.price {
        write!(out, " at {price} = {amount}")?;
    }
    writeln!(out)?;
    for part in &line.parts {
        for (word, reading) in [("from", &part.start), ("to", &part.end)] {
            let StoredReading {
                time,
                quantity,
                status,
                proof,
            } = reading;
            let marks = match status.bits() {
                0 => String::new(),
                bits => format!(", status {bits}"),
            };
            writeln!(
                out,
                "    {word:<4} {time} {quantity}{marks}, message {}, SHA-256 {}",
                proof.message, proof.digest
            )?;
        }
    }
    Ok(())
}

fn print_remarks(bill: &Bill, out: &mut dyn Write) -> io::Result<()> {
    for run in &bill.missing {
        let why = reason_in_words(run.reason);
        let (element, points, first, last) = (&run.element, run.points, run.first, run.last);
        writeln!(
            out,
            "No reading: {element}, {points} points, {first} to {last}, {why}; the register has counted on"
        )?;
    }
    for conflict in &bill.conflicts {
        let (element, time, other) = (&conflict.element, conflict.time, conflict.quantity);
        writeln!(
            out,
            "Contradicted: {element} at {time} was handed out as {other} too; the first value is billed"
        )?;
    }
    for element in &bill.left_out {
        writeln!(out, "Not in the bill: {element} has no readings in this time")?;
    }
    Ok(())
}

fn document(bill: &Bill) -> BillDocument<'_> {
    let missing = bill.missing.iter().map(|run| MissingDocument {
        element: &run.element,
        step: run.step,
        first: run.first,
        last: run.last,
        points: run.points,
        reason: run.reason,
    });
    let conflicts = bill.conflicts.iter().map(|conflict| ConflictDocument {
        element: &conflict.element,
        time: conflict.time,
        other: conflict.quantity.value,
        unit: conflict.quantity.unit,
    });
    BillDocument {
        guid: bill.guid,
        from: bill.from,
        to: bill.to,
        rounding: RULE,
        lines: bill.lines.iter().map(line_document).collect(),
        total: bill.total.as_ref().map(|(total, _)| *total),
        currency: bill.total.as_ref().map(|(_, currency)| currency.as_str()),
        missing: missing.collect(),
        conflicts: conflicts.collect(),
        left_out: &bill.left_out,
    }
}

fn line_document(line: &BillLine) -> LineDocument<'_> {
    let reading = |reading: &StoredReading| ReadingDocument {
        time: reading.time,
        value: reading.quantity.value,
        unit: reading.quantity.unit,
        status: reading.status,
        message: reading.proof.message.to_string(),
        digest: reading.proof.digest,
    };
    let proof = line.parts.iter().map(|part| PartDocument {
        start: reading(&part.start),
        end: reading(&part.end),
        consumption: part.consumption,
    });
    LineDocument {
        element: &line.element,
        stage: line.stage.as_deref(),
        consumption: line.consumption,
        unit: &line.unit,
        price: line.price.map(|(price, _)| price),
        amount: line.price.map(|(_, amount)| amount),
        proof: proof.collect(),
    }
}

#[cfg(test)]
mod tests {
    use messages::content::MessageId;
    use model::Quantity;
    use supplier::{Contradiction, Part, Proof};

    use super::*;

    fn bill() -> Bill {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let element = Element {
            meter: "M1".parse().unwrap(),
            obis: "1-0:1.8.0*255".parse().unwrap(),
        };
        let quantity = |value: &str| Quantity {
            value: value.parse().unwrap(),
            unit: Unit::WattHour,
        };
        let reading = |time: &str, value: &str, status: u32| StoredReading {
            time: at(time),
            quantity: quantity(value),
            status: Status::from_bits(status),
            proof: Proof {
                message: MessageId::new([1; 16]),
                digest: Fingerprint::new([2; 32]),
            },
        };
        Bill {
            guid: "fd5a::1".parse().unwrap(),
            from: at("2026-11-01T00:00:00Z"),
            to: at("2026-12-01T00:00:00Z"),
            lines: vec![BillLine {
                element: element.clone(),
                stage: Some("day".to_owned()),
                consumption: "1.5".parse().unwrap(),
                unit: "kWh".to_owned(),
                price: Some(("0.30".parse().unwrap(), "0.45".parse().unwrap())),
                parts: vec![Part {
                    start: reading("2026-11-01T00:00:00Z", "1000", 0),
                    end: reading("2026-12-01T00:00:00Z", "2500", 4),
                    consumption: "1500".parse().unwrap(),
                }],
            }],
            total: Some(("0.45".parse().unwrap(), "EUR".to_owned())),
            missing: Vec::new(),
            conflicts: vec![Contradiction {
                element: element.clone(),
                time: at("2026-11-01T00:00:00Z"),
                quantity: quantity("1001"),
            }],
            left_out: vec![element],
        }
    }

    fn printed(json: bool) -> String {
        let mut out = Vec::new();
        print_bill(&bill(), json, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bill_for_people_names_the_readings_that_prove_it() {
        let text = printed(false);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], "M1 1-0:1.8.0*255, day: 1.5 kWh at 0.30 = 0.45");
        assert!(
            lines[3].starts_with("    to   2026-12-01T00:00:00Z 2500 Wh, status 4, message 0101"),
            "{text}"
        );
        assert!(
            lines[4].starts_with("Total: 0.45 EUR (each amount is rounded"),
            "{text}"
        );
        assert!(
            lines[5].starts_with("Contradicted:") && lines[6].starts_with("Not in the bill:"),
            "{text}"
        );
    }

    #[test]
    fn bill_in_json_has_decimals_as_text() {
        let bill: serde_json::Value = serde_json::from_str(&printed(true)).unwrap();
        assert_eq!(
            (&bill["schema"], &bill["total"], &bill["currency"]),
            (&"supplier.bill/1".into(), &"0.45".into(), &"EUR".into())
        );
        let line = &bill["lines"][0];
        assert_eq!(
            (
                &line["meter"],
                &line["amount"],
                &line["proof"][0]["end"]["status"]
            ),
            (&"M1".into(), &"0.45".into(), &4.into())
        );
    }
}
