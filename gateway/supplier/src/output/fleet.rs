//! What became of many gateways: a line for each, and a summary of those that failed.

use std::io::{self, Write};

use messages::content::MessageId;
use model::CardId;
use serde::Serialize;
use supplier::{Outcome, Pulled};

use super::Refused;
use crate::chain;

/// How many gateways that failed the summary names; the lines name all.
const NAMED: usize = 20;

/// One gateway.
#[derive(Debug, Serialize)]
#[serde(tag = "schema", rename = "supplier.pulled/1")]
struct PulledLine<'a> {
    guid: CardId,
    address: String,
    /// `pulled`, `refused` if nothing else came, or `failed`.
    outcome: &'static str,
    answers: &'a [MessageId],
    new: u64,
    repeated: u64,
    filled: u64,
    gaps: u64,
    conflicts: usize,
    refusals: Vec<Refused<'a>>,
    error: Option<&'a str>,
}

/// Prints a line for each gateway, and remembers who failed.
#[derive(Debug)]
pub(crate) struct FleetPrinter {
    json: bool,
    gateways: usize,
    failed: Vec<(CardId, String)>,
    failures: usize,
}

impl FleetPrinter {
    pub(crate) const fn new(json: bool) -> Self {
        Self {
            json,
            gateways: 0,
            failed: Vec::new(),
            failures: 0,
        }
    }

    /// Returns how many gateways did not give what they were asked for.
    pub(crate) const fn failed(&self) -> usize {
        self.failures
    }

    /// Writes what became of a gateway.
    pub(crate) fn print(&mut self, outcome: &Outcome, out: &mut dyn Write) -> io::Result<()> {
        let guid = outcome.target.guid;
        self.gateways = self.gateways.saturating_add(1);
        let why = match &outcome.result {
            Ok(pulled) if pulled.is_refused() => pulled.refusals.first().map(|refusal| {
                let (reason, code) = (&refusal.reason, &refusal.code);
                ("refused", format!("everything is refused: {reason} ({code})"))
            }),
            Ok(_) => None,
            Err(error) => Some(("failed", chain(error))),
        };
        if let Some((_, why)) = &why {
            self.failures = self.failures.saturating_add(1);
            if self.failed.len() < NAMED {
                self.failed.push((guid, why.clone()));
            }
        }
        let nothing = Pulled::nothing(guid);
        let pulled = outcome.result.as_ref().unwrap_or(&nothing);
        if self.json {
            let line = PulledLine {
                guid,
                address: outcome.target.address.to_string(),
                outcome: why.as_ref().map_or("pulled", |(word, _)| word),
                answers: &pulled.answers,
                new: pulled.kept.new,
                repeated: pulled.kept.repeated,
                filled: pulled.kept.filled,
                gaps: pulled.kept.gaps,
                conflicts: pulled.kept.conflicts.len(),
                refusals: pulled.refusals.iter().map(Refused::from).collect(),
                error: why.as_ref().map(|(_, why)| why.as_str()),
            };
            serde_json::to_writer(&mut *out, &line)?;
            writeln!(out)?;
        } else if let Some((_, why)) = why {
            writeln!(out, "{guid}: {why}")?;
        } else {
            let kept = &pulled.kept;
            writeln!(
                out,
                "{guid}: {} new, {} again, {} gaps filled, {} gaps, {} conflicts, {} refused",
                kept.new,
                kept.repeated,
                kept.filled,
                kept.gaps,
                kept.conflicts.len(),
                pulled.refusals.len()
            )?;
        }
        out.flush()
    }

    /// Writes how many gateways failed, which, and why.
    pub(crate) fn summary(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.failures == 0 {
            return writeln!(out, "all {} gateways gave what they have", self.gateways);
        }
        writeln!(
            out,
            "{} of {} gateways did not give what they were asked for:",
            self.failures, self.gateways
        )?;
        for (guid, why) in &self.failed {
            writeln!(out, "    {guid}: {why}")?;
        }
        let more = self.failures.saturating_sub(self.failed.len());
        if more > 0 {
            writeln!(out, "    and {more} more, of which each has its line")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use messages::content::Refusal;
    use model::{Period, Query, Span, Timestamp};
    use supplier::{FleetError, Target};

    use super::*;

    fn outcome(number: u16, result: Result<Pulled, FleetError>) -> Outcome {
        Outcome {
            target: Target {
                guid: guid(number),
                address: "[::1]:8443".parse().unwrap(),
            },
            result,
        }
    }

    fn guid(number: u16) -> CardId {
        format!("fd5a::{number}").parse().unwrap()
    }

    fn refused(number: u16) -> Pulled {
        let end = Timestamp::EPOCH.saturating_add(Span::DAY);
        let mut pulled = Pulled::nothing(guid(number));
        pulled.refusals.push(Refusal {
            query: Query {
                elements: "*".parse().unwrap(),
                period: Period::new(Timestamp::EPOCH, end).unwrap(),
                resolution: Span::QUARTER_HOUR,
                aggregation: model::Aggregation::Value,
            },
            code: "no-grant".parse().unwrap(),
            reason: "there is no grant".parse().unwrap(),
            rule: None,
        });
        pulled
    }

    fn printed(json: bool) -> (String, String) {
        let mut printer = FleetPrinter::new(json);
        let mut out = Vec::new();
        let mut pulled = Pulled::nothing(guid(1));
        pulled.kept.new = 4;
        printer.print(&outcome(1, Ok(pulled)), &mut out).unwrap();
        printer.print(&outcome(2, Ok(refused(2))), &mut out).unwrap();
        for number in 3..25 {
            printer
                .print(&outcome(number, Err(FleetError::Broken)), &mut out)
                .unwrap();
        }
        let mut summary = Vec::new();
        printer.summary(&mut summary).unwrap();
        assert_eq!(printer.failed(), 23);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(out), text(summary))
    }

    #[test]
    fn every_gateway_has_a_line_and_the_summary_names_some_that_failed() {
        let (lines, summary) = printed(false);
        assert_eq!(lines.lines().count(), 24);
        assert!(lines.starts_with("fd5a::1: 4 new, 0 again"), "{lines}");
        assert!(
            lines.contains("fd5a::2: everything is refused: there is no grant (no-grant)"),
            "{lines}"
        );
        assert!(summary.starts_with("23 of 24 gateways did not give"), "{summary}");
        assert!(
            summary.ends_with("and 3 more, of which each has its line\n"),
            "{summary}"
        );
    }

    #[test]
    fn json_is_one_line_per_gateway() {
        let (lines, _) = printed(true);
        let first = concat!(
            r#"{"schema":"supplier.pulled/1","guid":"fd5a::1","address":"[::1]:8443","outcome":"pulled","answers":[],"#,
            r#""new":4,"repeated":0,"filled":0,"gaps":0,"conflicts":0,"refusals":[],"error":null}"#
        );
        assert_eq!(lines.lines().next(), Some(first));
        let second: serde_json::Value = serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
        assert_eq!(
            (&second["outcome"], &second["refusals"][0]["code"]),
            (&"refused".into(), &"no-grant".into())
        );
    }

    #[test]
    fn fleet_without_a_failure_says_so() {
        let mut printer = FleetPrinter::new(true);
        let mut out = Vec::new();
        printer
            .print(&outcome(1, Ok(Pulled::nothing(guid(1)))), &mut Vec::new())
            .unwrap();
        printer.summary(&mut out).unwrap();
        assert_eq!(out, b"all 1 gateways gave what they have\n");
    }
}
