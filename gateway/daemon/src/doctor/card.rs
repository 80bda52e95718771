//! The card in its reader, as an inspection has found it.

use model::{Span, Timestamp};

use super::check::{Area, Check, Outcome};
use crate::card::CardView;
use crate::codes::{card, examination as codes};

/// How long before its end a certificate is worth a warning: the trust centre renews in batches.
const ENDS_SOON: Span = match Span::from_seconds(90 * 86_400) {
    Some(span) => span,
    None => Span::DAY,
};

/// Says of a card what is in its way, which certificates end, and whether it is one for production.
pub(crate) fn card(view: &CardView, now: Timestamp) -> Vec<Check> {
    let what = view.reader().unwrap_or("reader");
    let mut checks: Vec<_> = view
        .causes()
        .map(|(code, cause, remedy)| Check {
            area: Area::Card,
            what: what.to_owned(),
            outcome: outcome(code),
            found: cause.to_owned(),
            took_ms: None,
            code: Some(code.to_owned()),
            cause: crate::codes::find(code).map(|code| code.cause.to_owned()),
            remedy: Some(remedy.to_owned()),
        })
        .collect();
    if checks.is_empty() {
        let guid = view
            .guid()
            .map_or_else(String::new, |guid| format!("card {guid}, "));
        checks.push(Check::good(
            Area::Card,
            what,
            format!("{guid}nothing is in its way"),
        ));
    }
    if view.is_soft() {
        checks.push(Check::warning(
            Area::Card,
            "kind",
            codes::SOFT_CARD,
            "its keys are in a file or a program",
        ));
    }
    let end = now.saturating_add(ENDS_SOON);
    for (key, not_after, _) in view.certificate_ends().filter(|(_, ends, _)| *ends < end) {
        let found = format!("{key} ends at {not_after}");
        checks.push(Check::warning(
            Area::Card,
            "certificate",
            codes::CERTIFICATE_ENDS,
            found,
        ));
    }
    checks
}

/// A card that only waits for somebody is no fault.
fn outcome(code: &str) -> Outcome {
    if [card::AWAITS_CONFIRMATION, card::BINDING_BEGUN]
        .iter()
        .any(|waiting| waiting.code == code)
    {
        Outcome::Warning
    } else {
        Outcome::Error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reader_that_is_missing_is_told_by_its_own_code() {
        let view: CardView = serde_json::from_value(serde_json::json!({
            "schema": "smgw.card/1", "reader": null, "atr": null, "soft_card": true, "life_cycle": null, "guid": null,
            "trust_centre": null, "binding": "unknown", "was_compared": false,
            "certificates": [{
                "key": "SIG", "not_before": "2026-01-01T00:00:00Z", "not_after": "2026-12-31T00:00:00Z", "expiry": "",
            }],
            "obstacles": ["no card reader is attached"],
            "causes": [{ "code": "SMGW-C-0102", "cause": "no card reader is attached", "remedy": "Attach the card reader." }],
        }))
        .unwrap();
        let codes = |now: &str| {
            let checks = card(&view, now.parse().unwrap());
            let codes = checks
                .into_iter()
                .map(|check| (check.code.unwrap(), check.outcome));
            codes.collect::<Vec<_>>()
        };
        let of_reader = ("SMGW-C-0102".to_owned(), Outcome::Error);
        let soft = ("SMGW-D-0401".to_owned(), Outcome::Warning);
        assert_eq!(codes("2026-06-01T00:00:00Z"), [of_reader.clone(), soft.clone()]);
        let ends = ("SMGW-D-0402".to_owned(), Outcome::Warning);
        assert_eq!(codes("2026-11-30T00:00:00Z"), [of_reader, soft, ends]);
    }
}
