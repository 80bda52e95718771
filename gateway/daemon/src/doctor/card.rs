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

/// Says of a card what is in its way, how long its certificates are valid, and whether it is one for production.
pub(crate) fn card(view: &CardView, now: Timestamp) -> Vec<Check> {
    let mut checks: Vec<_> = obstacles(view).collect();
    if checks.is_empty() {
        let guid = view
            .guid()
            .map_or_else(String::new, |guid| format!("card {guid}, "));
        let found = format!("{guid}nothing is in its way");
        checks.push(Check::good(Area::Card, what(view), found));
    }
    checks.extend(soft(view));
    checks.extend(certificates(view, now));
    checks
}

fn what(view: &CardView) -> &str {
    view.reader().unwrap_or("reader")
}

/// Says what keeps the card from being bound, or from serving, each with its own code.
pub(crate) fn obstacles(view: &CardView) -> impl Iterator<Item = Check> {
    view.causes().map(|(code, cause, remedy)| Check {
        outcome: outcome(code),
        ..Check::of_code(Area::Card, what(view), code, cause, remedy)
    })
}

/// Says that the card is none for production, if that is so.
pub(crate) fn soft(view: &CardView) -> Option<Check> {
    let found = "its keys are in a file or a program";
    view.is_soft()
        .then(|| Check::warning(Area::Card, "kind", codes::SOFT_CARD, found))
}

/// Says of each certificate until when it is valid.
pub(crate) fn certificates(view: &CardView, now: Timestamp) -> impl Iterator<Item = Check> {
    let soon = now.saturating_add(ENDS_SOON);
    view.certificates.iter().map(move |certificate| {
        let (area, what) = (Area::Card, "certificate");
        let (begins, ends) = (certificate.not_before, certificate.not_after);
        let key = &certificate.key;
        let found = format!("{key} is valid from {begins} to {ends}");
        let check = if now < begins || ends < now {
            Check::error(area, what, codes::CERTIFICATE_OVER, found)
        } else if ends < soon {
            Check::warning(area, what, codes::CERTIFICATE_ENDS, found)
        } else {
            Check::good(area, what, found)
        };
        check.measuring(key).at(ends)
    })
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
                .filter_map(|check| Some((check.code?, check.outcome)));
            codes.collect::<Vec<_>>()
        };
        let of_reader = ("SMGW-C-0102".to_owned(), Outcome::Error);
        let soft = ("SMGW-D-0401".to_owned(), Outcome::Warning);
        assert_eq!(codes("2026-06-01T00:00:00Z"), [of_reader.clone(), soft.clone()]);
        let ends = ("SMGW-D-0402".to_owned(), Outcome::Warning);
        assert_eq!(
            codes("2026-11-30T00:00:00Z"),
            [of_reader.clone(), soft.clone(), ends]
        );
        for out in ["2025-12-31T23:59:59Z", "2026-12-31T00:00:01Z"] {
            let over = ("SMGW-D-0403".to_owned(), Outcome::Error);
            assert_eq!(codes(out), [of_reader.clone(), soft.clone(), over]);
        }
    }
}
