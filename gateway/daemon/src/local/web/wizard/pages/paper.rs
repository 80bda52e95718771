//! The report as PDF, made on the device: what its page shows, and attached what the card has signed.

use super::super::super::language::Language;
use super::super::super::paper::{Attachment, Imprint, Paper, Style, TooLong};
use super::super::super::zone::{Zone, in_utc};
use super::super::report::{SignedReport, code_of};
use super::super::words::{self, Words};
use super::shown::{COLUMNS, Section, Shown};
use super::view::CheckLine;

/// How far checks are set in, in tenths of a point, and what belongs to one of them.
const CHECK: u16 = 120;
const DETAIL: u16 = 240;
/// The widths of the columns of the table of meters, in hundredths.
const SHARES: [u16; COLUMNS] = [17, 20, 12, 20, 13, 18];
/// What checks the signature, with the attachments beside the document.
const VERIFIED_WITH: [&str; 3] = [
    "pdfdetach -saveall installation-report.pdf",
    "openssl x509 -inform DER -in report.der -noout -pubkey > report.pub",
    "openssl dgst -sha256 -verify report.pub -signature report.sig report.json",
];

/// The reason why there is no PDF of a report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PaperError {
    /// What was signed is no report of this version.
    #[error(
        "the report is of another version of the gateway; make it anew at the last step of the installation"
    )]
    Version,
    /// It is too long.
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

/// Writes a report as PDF. The same report in the same language and zone is the same file.
///
/// # Errors
///
/// [`PaperError`], of a report of another version or of more pages than one may have.
pub(in super::super) fn write(
    signed: &SignedReport,
    zone: &Zone,
    language: Language,
) -> Result<Vec<u8>, PaperError> {
    let shown = Shown::of(signed, zone, language).ok_or(PaperError::Version)?;
    let words = words::words(language);
    let mut paper = Paper::new();
    paper.text(Style::Title, shown.title);
    if let Some(guid) = &shown.guid {
        if let Some(code) = code_of(guid) {
            paper.code(&code);
        }
        paper.fact("GUID", Style::Fixed, guid);
    }
    for fact in &shown.facts {
        let style = if fact.is_code { Style::Fixed } else { Style::Plain };
        paper.fact(&fact.name, style, &fact.value);
    }
    for section in &shown.steps {
        set_section(&mut paper, words, section);
    }
    paper.heading(Style::Heading, words.meters);
    if shown.meters.is_empty() {
        paper.text(Style::Plain, words.no_meters);
    } else {
        let mut shares = SHARES.into_iter();
        let head = shown.head.map(|name| (name, shares.next().unwrap_or(0)));
        paper.table(head, &shown.meters);
    }
    let attachments = attachments(signed, words);
    if attachments.len() > 1 {
        paper.heading(Style::Heading, words.report_verify);
        paper.text(Style::Plain, words.report_verify_how);
        for line in VERIFIED_WITH {
            paper.indented(Style::Fixed, CHECK, line);
        }
    }
    if !paper.has_all() {
        paper.heading(Style::Heading, words.report_characters);
        paper.text(Style::Plain, words.report_characters_how);
    }
    let foot = [shown.title, shown.guid.as_deref().unwrap_or_default()].join("  ");
    let numbered = |page: usize, pages: usize| format!("{} {page} {} {pages}", words.page, words.page_of);
    let imprint = Imprint {
        title: foot.trim_end(),
        language: language.code(),
        producer: concat!("smgw ", env!("CARGO_PKG_VERSION")),
        made: in_utc(shown.made),
        foot: foot.trim_end(),
        numbered: &numbered,
        attachments: &attachments,
    };
    Ok(paper.finish(&imprint)?)
}

fn set_section(paper: &mut Paper, words: &'static Words, section: &Section) {
    paper.heading(Style::Heading, &format!("{}: {}", section.title, section.state));
    for text in [&section.time, &section.reason].into_iter().flatten() {
        paper.text(Style::Soft, text);
    }
    for check in &section.checks {
        set_check(paper, words, check);
    }
}

fn set_check(paper: &mut Paper, words: &'static Words, check: &CheckLine) {
    let mut line = format!("• {}: {}", check.title, check.verdict);
    for part in [&check.measured, &check.time, &check.code].into_iter().flatten() {
        line.push_str("  ");
        line.push_str(part);
    }
    paper.indented(Style::Plain, CHECK, &line);
    for text in [check.cause, check.particulars.as_deref()].into_iter().flatten() {
        paper.indented(Style::Soft, DETAIL, text);
    }
    if let Some(remedy) = check.remedy {
        paper.indented(Style::Soft, DETAIL, &format!("{} {remedy}", words.what_to_do));
    }
}

/// Attaches the text that the card has signed, its signature and its certificate, each as OpenSSL takes it.
fn attachments<'a>(signed: &SignedReport, words: &'static Words) -> Vec<Attachment<'a>> {
    let report = Attachment {
        name: "report.json",
        media_type: "application#2Fjson",
        description: words.report_attached,
        content: signed.report.clone().into_bytes(),
    };
    let Some((signature, certificate)) = signed.proof() else {
        return vec![report];
    };
    let binary = |name, description, content| Attachment {
        name,
        media_type: "application#2Foctet-stream",
        description,
        content,
    };
    vec![
        binary("report.der", words.report_certificate, certificate),
        report,
        binary("report.sig", words.report_signature, signature),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::super::super::paper::tests::readable;
    use super::*;

    const GUID: &str = "fd5a:5d5e:aaaa:bbbb:cccc:dddd:eeee:ffff";

    fn report(meters: usize, name: &str) -> Value {
        let meter = |number: usize| {
            json!({
                "name": format!("{name}-{number}"), "bus": "cellar", "id": null, "medium": "gas",
                "metering_point": "DE0001234567890123456789012345678", "consumer": "flat-1", "answered": null,
                "error": null, "compared": {
                    "meter": "x", "id": null, "obis": null, "time": "2026-11-30T11:00:00Z", "agrees": true,
                    "reading": { "value": "12.5", "unit": "m3" },
                },
            })
        };
        let meters: Vec<_> = (0..meters).map(meter).collect();
        json!({
            "schema": "smgw.installation-report/1", "made": "2026-11-30T12:00:00Z", "software": "0.1.0",
            "state": "SMGW-S-0004", "guid": GUID, "gateway": "00ff", "bound_since": "2026-11-30T11:30:00Z",
            "steps": [
                { "step": "device", "state": { "skipped": { "reason": "später" } } },
                { "step": "card", "state": "problem", "checks": [
                    { "what": "certificate", "verdict": "good", "time": "2026-12-10T12:00:00Z" },
                    { "what": "signature", "verdict": "problem", "cause": "the card is away", "code": "SMGW-C-0101" },
                ] },
            ],
            "meters": meters,
        })
    }

    fn signed(report: &str) -> SignedReport {
        let text = json!({
            "schema": "smgw.signed-report/1", "report": report, "signature": "3006", "certificate": "3082",
        });
        serde_json::from_value(text).unwrap()
    }

    fn text_of(signed: &SignedReport, language: Language) -> String {
        readable(write(signed, &Zone::central_europe(), language).unwrap())
    }

    #[test]
    fn report_says_in_both_languages_what_its_page_says_and_carries_what_was_signed() {
        let report = report(3, "gas").to_string();
        let signed = signed(&report);
        for (language, told) in [
            (
                Language::German,
                [
                    "(Seite 1 von 1)",
                    "(30.11.2026 13:00)",
                    "g\u{fc}ltig noch 10 Tage",
                    "(Pr\u{fc}fung der Signatur)",
                ],
            ),
            (
                Language::English,
                [
                    "(Page 1 of 1)",
                    "(2026-11-30 13:00)",
                    "valid for another 10 days",
                    "(Check of the signature)",
                ],
            ),
        ] {
            let file = text_of(&signed, language);
            for part in told {
                assert!(file.contains(part), "{part}");
            }
            let attached: String = report.bytes().map(char::from).collect();
            assert!(file.contains(&format!("({GUID}) Tj")) && file.contains(&attached));
            assert!(file.contains("12.5 m\u{b3}") || file.contains("12,5 m\u{b3}"));
            assert_eq!(file, text_of(&signed, language), "it is the same at any time");
        }
    }

    #[test]
    fn hundred_meters_with_foreign_names_go_over_several_pages() {
        let file = text_of(&signed(&report(100, "сч").to_string()), Language::English);
        let pages = file.matches("/Type /Page\n").count();
        assert!((3..20).contains(&pages), "{pages}");
        assert!(file.contains(&format!("(Page {pages} of {pages})")));
        assert!(file.contains("[U+0441]") && file.contains("stand as their number"));
    }

    #[test]
    fn greatest_report_fits_and_what_is_none_is_refused_in_words() {
        text_of(
            &signed(&report(250, &"Ж".repeat(40)).to_string()),
            Language::German,
        );
        let zone = Zone::central_europe();
        let refused = write(&signed("{}"), &zone, Language::English).unwrap_err();
        assert!(refused.to_string().contains("make it anew"), "{refused}");
    }
}
