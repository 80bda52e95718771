//! What the program prints as its result: a table for people, or one line of JSON per pull.

mod bill;
mod fleet;

use std::io::{self, Write};

use messages::certificate::PartyName;
use messages::content::{Answer, Delivered, MessageId, Refusal, RefusalCode, RefusalReason, RuleName};
use model::{CardId, ElementPattern, Fingerprint, Period, Series, Timestamp};
use serde::Serialize;
use supplier::{Received, RequestView, Taken};

pub(crate) use bill::print_bill;
pub(crate) use fleet::FleetPrinter;

/// The result of `init`.
#[derive(Debug, Serialize)]
#[serde(tag = "schema", rename = "supplier.init/1")]
pub(crate) struct Founded<'a> {
    /// The supplier's name.
    pub(crate) name: &'a PartyName,
}

impl Founded<'_> {
    /// Prints the result on the standard output.
    pub(crate) fn print(&self, json: bool) -> io::Result<()> {
        let text = if json {
            serde_json::to_string(self)?
        } else {
            let name = self.name;
            format!("Keys and requests of {name} are made. Have the trust centre certify them.")
        };
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}")?;
        stdout.flush()
    }
}

/// The result of `crl`.
#[derive(Debug, Serialize)]
#[serde(tag = "schema", rename = "supplier.crl/1")]
struct TakenLists {
    lists: Vec<TakenList>,
}

#[derive(Debug, Serialize)]
struct TakenList {
    number: u64,
    revoked: usize,
    next: Timestamp,
}

/// Prints where a signed application is, and its digest.
pub(crate) fn print_signed(file: &std::path::Path, digest: Fingerprint, json: bool) -> io::Result<()> {
    let text = if json {
        serde_json::to_string(&SignedApplication {
            schema: "supplier.app.signed/1",
            file: file.display().to_string(),
            digest,
        })?
    } else {
        format!("{} is signed; its digest is {digest}", file.display())
    };
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// A package that was signed.
#[derive(Serialize)]
struct SignedApplication {
    schema: &'static str,
    file: String,
    digest: Fingerprint,
}

/// Prints which lists of revoked certificates were taken.
pub(crate) fn print_lists(taken: &[Taken], json: bool) -> io::Result<()> {
    let text = if json {
        let list = |taken: &Taken| TakenList {
            number: taken.number,
            revoked: taken.revoked,
            next: taken.next,
        };
        serde_json::to_string(&TakenLists {
            lists: taken.iter().map(list).collect(),
        })?
    } else {
        let line = |taken: &Taken| {
            format!(
                "list {} with {} certificates, the next is due at {}",
                taken.number, taken.revoked, taken.next
            )
        };
        taken.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// The result of one pull.
#[derive(Debug, Serialize)]
#[serde(tag = "schema", rename = "supplier.pull/1")]
struct Pulled<'a> {
    guid: CardId,
    message: MessageId,
    series: &'a [Series],
    refusals: Vec<Refused<'a>>,
}

#[derive(Debug, Serialize)]
struct Refused<'a> {
    elements: &'a ElementPattern,
    code: &'a RefusalCode,
    reason: &'a RefusalReason,
    rule: Option<&'a RuleName>,
}

impl<'a> From<&'a Refusal> for Refused<'a> {
    fn from(refusal: &'a Refusal) -> Self {
        Self {
            elements: &refusal.query.elements,
            code: &refusal.code,
            reason: &refusal.reason,
            rule: refusal.rule.as_ref(),
        }
    }
}

/// What a gateway has sent by itself.
#[derive(Debug, Serialize)]
#[serde(tag = "schema", rename = "supplier.received/1")]
struct TakenIn<'a> {
    guid: CardId,
    message: MessageId,
    grant: Option<&'a RuleName>,
    period: Option<Period>,
    /// The delivery rule, and why it had it sent, if one had.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<&'a Delivered>,
    new: u64,
    series: &'a [Series],
}

/// The form in which pulls are printed.
#[derive(Debug)]
pub(crate) enum Printer {
    /// One line of JSON per pull.
    Json,
    /// A table that goes on from pull to pull.
    Table {
        /// Whether its head has been printed.
        has_head: bool,
    },
}

impl Printer {
    pub(crate) const fn new(json: bool) -> Self {
        if json {
            Self::Json
        } else {
            Self::Table { has_head: false }
        }
    }

    /// Writes what a gateway has sent by itself.
    pub(crate) fn print_received(&mut self, received: &Received, out: &mut dyn Write) -> io::Result<()> {
        let Self::Json = self else {
            return self.print(&received.answer, out);
        };
        let taken_in = TakenIn {
            guid: received.answer.gateway,
            message: received.answer.id,
            grant: received.schedule.as_ref().map(|(grant, _)| grant),
            period: received.schedule.as_ref().map(|(_, period)| *period),
            delivery: received.delivery.as_ref(),
            new: received.kept.new,
            series: &received.answer.series,
        };
        serde_json::to_writer(&mut *out, &taken_in)?;
        writeln!(out)?;
        out.flush()
    }

    /// Writes what an answer contains.
    pub(crate) fn print(&mut self, answer: &Answer, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Json => {
                let pulled = Pulled {
                    guid: answer.gateway,
                    message: answer.id,
                    series: &answer.series,
                    refusals: answer.refusals.iter().map(Refused::from).collect(),
                };
                serde_json::to_writer(&mut *out, &pulled)?;
                writeln!(out)?;
            }
            Self::Table { has_head } => {
                if !*has_head {
                    row(
                        out,
                        ["medium", "meter", "OBIS", "value", "unit", "time (UTC)"].map(str::to_owned),
                    )?;
                    *has_head = true;
                }
                rows(answer, out)?;
            }
        }
        out.flush()
    }
}

/// Prints what became of a request: a line of JSON, or what people read.
pub(crate) fn print_request(request: &RequestView, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, request)?;
        writeln!(out)?;
        return out.flush();
    }
    let reason = request.reason.as_ref().map(|reason| format!(": {reason}"));
    writeln!(
        out,
        "{} for {}: {} since {}{}",
        request.id,
        request.gateway,
        request.state,
        request.changed,
        reason.unwrap_or_default()
    )?;
    for grant in &request.grants {
        let elements: Vec<_> = grant.elements.iter().map(ToString::to_string).collect();
        let (id, finest, history) = (&grant.id, grant.finest, grant.history);
        writeln!(
            out,
            "    {id}: {} every {finest}, back to {history}",
            elements.join(" ")
        )?;
    }
    out.flush()
}

fn rows(answer: &Answer, out: &mut dyn Write) -> io::Result<()> {
    for series in &answer.series {
        for (time, value, _) in series.points() {
            let columns = [
                series.medium.to_string(),
                series.element.meter.to_string(),
                series.element.obis.to_string(),
                value.to_string(),
                series.unit.to_string(),
                time.to_string(),
            ];
            row(out, columns)?;
        }
    }
    for refusal in &answer.refusals {
        let (elements, reason, code) = (&refusal.query.elements, &refusal.reason, &refusal.code);
        let rule = refusal.rule.as_ref();
        let rule = rule.map_or_else(String::new, |rule| {
            format!(", rule {rule:?}", rule = rule.as_str())
        });
        write!(out, "refused: {elements}: {reason} ({code}{rule})")?;
        if let Some(advice) = advice(code) {
            write!(out, "; {advice}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Says what may be done about a refusal that is no matter of the grant alone.
fn advice(code: &RefusalCode) -> Option<&'static str> {
    match code.as_str() {
        "consumer-objects" => Some("this is the consumer's will, and only the consumer can lift it"),
        "consumer-coarser" => Some("ask for coarser values; only the consumer can lift this"),
        "too-often" => {
            Some("pull again then; what was not pulled stays in the gateway for as long as it keeps it")
        }
        _ => None,
    }
}

fn row(out: &mut dyn Write, [medium, meter, obis, value, unit, time]: [String; 6]) -> io::Result<()> {
    writeln!(
        out,
        "{medium:<12} {meter:<24} {obis:<18} {value:>16} {unit:<6} {time}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        let json = r#"{"id":"00112233445566778899aabbccddeeff","in_reply_to":"00000000000000000000000000000000",
            "gateway":"fd5a::1","supplier":"abababababababababababababababababababababababababababababababab",
            "time":"2026-11-23T12:00:00Z",
            "series":[{"meter":"M1","obis":"7-0:3.0.0*255","medium":"gas","unit":"m3","start":"2026-11-23T11:59:50Z",
            "step":"PT5S","values":["1.00",null,"1.10"],"status":[0,0,0],"gaps":[[1,"no-answer"]]}],
            "refusals":[{"query":{"elements":"*/1-0:16.7.0*255","period":{"from":"2026-11-23T11:00:00Z",
            "to":"2026-11-23T12:00:00Z"},"resolution":"PT5S"},"code":"element-not-granted","reason":"no grant"}]}"#;
        serde_json::from_str(json).unwrap()
    }

    fn printed(printer: &mut Printer) -> String {
        let mut out = Vec::new();
        printer.print(&answer(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_is_one_line_per_pull() {
        assert_eq!(
            printed(&mut Printer::new(true)),
            concat!(
                r#"{"schema":"supplier.pull/1","guid":"fd5a::1","message":"00112233445566778899aabbccddeeff","#,
                r#""series":[{"meter":"M1","obis":"7-0:3.0.0*255","medium":"gas","unit":"m3","start":"2026-11-23T11:59:50Z","#,
                r#""step":"PT5S","values":["1.00",null,"1.10"],"status":[0,0,0],"gaps":[[1,"no-answer"]]}],"#,
                r#""refusals":[{"elements":"*/1-0:16.7.0*255","code":"element-not-granted","reason":"no grant","rule":null}]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn request_is_told_in_words_and_in_json() {
        let json = r#"{"schema":"tsm.request/1","id":"00112233445566778899aabbccddeeff","number":3,"gateway":"fd5a::1","state":"rejected","reason":"no contract","received":"2026-11-23T12:00:00Z","changed":"2026-11-23T13:00:00Z","grants":[],"application":null}"#;
        let request: RequestView = serde_json::from_str(json).unwrap();
        let mut out = Vec::new();
        print_request(&request, true, &mut out).unwrap();
        print_request(&request, false, &mut out).unwrap();
        let expected = format!(
            "{json}\n00112233445566778899aabbccddeeff for fd5a::1: rejected since 2026-11-23T13:00:00Z: no contract\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn refusal_by_the_consumer_is_told_in_words_with_its_rule() {
        let mut answer = answer();
        answer.series.clear();
        answer.refusals[0].code = "consumer-objects".parse().unwrap();
        answer.refusals[0].reason = "the consumer objects".parse().unwrap();
        answer.refusals[0].rule = Some("restriction 1".parse().unwrap());
        let mut out = Vec::new();
        Printer::new(false).print(&answer, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let line = "refused: */1-0:16.7.0*255: the consumer objects (consumer-objects, rule \"restriction 1\"); \
                    this is the consumer's will, and only the consumer can lift it";
        assert_eq!(out.lines().last(), Some(line), "{out}");
    }

    #[test]
    fn table_has_one_head_and_a_row_per_value() {
        let mut printer = Printer::new(false);
        let first = printed(&mut printer);
        let lines: Vec<_> = first.lines().collect();
        assert!(lines[0].starts_with("medium "), "{first}");
        assert!(
            lines[2].contains("1.10") && lines[2].ends_with("2026-11-23T12:00:00Z"),
            "{first}"
        );
        assert_eq!(
            lines[3],
            "refused: */1-0:16.7.0*255: no grant (element-not-granted)"
        );
        assert_eq!(printed(&mut printer).lines().count(), 3);
    }
}
