//! How the unit of card and gateway is, as a report to the TSM says it.

use std::sync::Arc;

use messages::certificate::{CertificateError, VerifiedParty};
use messages::content::{
    MAX_APPLICATIONS, MAX_FINDINGS, RefusalReason, ReportedFinding, SoftwareVersion, UnitReport, WordError,
};
use model::Timestamp;
use store::Store;

use super::rejection::Rejection;
use crate::journal::Journal;
use crate::mounts::Finding;
use crate::status;

/// What knows how the unit is.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    /// What was found at the start.
    findings: Arc<[Finding]>,
    store: Arc<Store>,
    journal: Journal,
}

impl Condition {
    pub(super) const fn new(findings: Arc<[Finding]>, store: Arc<Store>, journal: Journal) -> Self {
        Self {
            findings,
            store,
            journal,
        }
    }

    /// Reports how the unit is at this moment.
    pub(super) fn report(&self, card: &VerifiedParty) -> Result<UnitReport, Rejection> {
        let findings = status::findings(&self.findings, &self.store, &self.journal);
        let mut applications = self.store.applications().list()?;
        applications.truncate(MAX_APPLICATIONS);
        let reported = findings.iter().take(MAX_FINDINGS).map(finding);
        Ok(UnitReport {
            software: version()?,
            certificates_end: first_end(card).map_err(Rejection::OwnCertificate)?,
            applications,
            findings: reported.collect::<Result<_, _>>()?,
        })
    }
}

/// Returns when the first of the card's certificates ends.
fn first_end(card: &VerifiedParty) -> Result<Timestamp, CertificateError> {
    let ends = [&card.sig, &card.enc, &card.tls].map(|verified| verified.certificate().validity());
    ends.into_iter()
        .try_fold(None, |first: Option<Timestamp>, validity| {
            let (_, end) = validity?;
            Ok(Some(first.map_or(end, |first| first.min(end))))
        })
        .map(|first| first.unwrap_or(Timestamp::EPOCH))
}

fn version() -> Result<SoftwareVersion, Rejection> {
    env!("CARGO_PKG_VERSION").parse().map_err(word)
}

/// Returns a finding as a report has it, its text cut to what fits.
fn finding(finding: &Finding) -> Result<ReportedFinding, Rejection> {
    let printable = finding.text.chars().filter(|character| !character.is_control());
    let text: String = printable.take(RefusalReason::MAX_LENGTH).collect();
    Ok(ReportedFinding {
        code: finding.code.parse().map_err(word)?,
        text: text.parse().map_err(word)?,
    })
}

fn word(_: WordError) -> Rejection {
    Rejection::WrongKind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finding_of_any_text_fits_a_report() {
        let long = Finding {
            code: "SMGW-F-0407".to_owned(),
            text: format!("line one\nline two {}", "x".repeat(1_000)),
            remedy: String::new(),
        };
        let reported = finding(&long).unwrap();
        assert!(reported.text.as_str().starts_with("line oneline two xx"));
        assert_eq!(reported.text.as_str().chars().count(), RefusalReason::MAX_LENGTH);
        assert_eq!(version().unwrap().as_str(), env!("CARGO_PKG_VERSION"));
    }
}
