//! What is wrong, as a page tells it: the cause and the remedy of its code in the language of the page, and the particulars beside.

use model::{Span, Timestamp};

use super::language::Language;
use crate::doctor::{Check, buses, of_finding};
use crate::metering::MeterView;
use crate::mounts::Finding;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) code: String,
    pub(super) cause: String,
    pub(super) remedy: String,
    /// What was found, in English, as the log and the command line have it; nothing if that is the cause.
    pub(super) particulars: Option<String>,
}

impl Told {
    /// Tells what an examination has found, if something is wrong.
    pub(super) fn of(language: Language, check: &Check) -> Option<Self> {
        let code = check.code.clone()?;
        let known = language.of_code(&code);
        let text = |known: Option<&str>, found: &Option<String>| {
            known.map_or_else(|| found.clone().unwrap_or_default(), str::to_owned)
        };
        let cause = text(known.map(|known| known.cause), &check.cause);
        Some(Self {
            remedy: text(known.map(|known| known.remedy), &check.remedy),
            particulars: Some(check.found.clone()).filter(|found| *found != cause),
            cause,
            code,
        })
    }

    /// Tells what is wrong with the device.
    pub(super) fn of_findings(language: Language, findings: &[Finding]) -> Vec<Self> {
        let told = |finding| Self::of(language, &of_finding(finding));
        findings.iter().filter_map(told).collect()
    }

    /// Tells what is wrong with a meter, if it is.
    pub(super) fn of_meter(
        language: Language,
        view: &MeterView,
        period: Span,
        now: Timestamp,
    ) -> Option<Self> {
        Self::of(language, &buses::meter(view, period, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::device;

    #[test]
    fn finding_is_told_in_the_language_of_the_page_with_its_particulars() {
        let text = "3 rows of 2026-11 are missing.".to_owned();
        let finding = Finding::new(device::ROWS_LOST, text.clone());
        let german = Told::of_findings(Language::German, std::slice::from_ref(&finding)).remove(0);
        assert!(german.cause.starts_with("Zeilen der Datenbank"), "{german:?}");
        assert!(german.remedy.starts_with("Den Flash-Speicher"), "{german:?}");
        assert_eq!(german.particulars.as_deref(), Some(text.as_str()));
        let english = Told::of_findings(Language::English, std::slice::from_ref(&finding)).remove(0);
        assert_eq!(english.cause, device::ROWS_LOST.cause);
        assert_eq!(english.code, german.code);
    }
}
