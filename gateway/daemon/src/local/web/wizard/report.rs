//! The report of the installation: what was found, as it is handed over, signed by the card.
//!
//! The card signs the SHA-256 of the JSON text with its SIG key, as it signs messages and the heads of the logs. None of them
//! can be taken for another: this text begins with `{`, a head with its own prefix, and what a message signs is DER.

use card::Partner;
use model::{CardId, Medium, MeterId, Timestamp};
use p256::ecdsa::Signature;
use qrcode::{EcLevel, QrCode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Site;
use super::book::{Book, Entry, Step};
use super::check::{Check, Verdict};
use super::meters::{Comparison, point_of};
use super::what::What;
use crate::clock;
use crate::config::Point;
use crate::metering::MeterView;
use crate::report::Chain;

/// The name of the schema of the report and its version.
const SCHEMA: &str = "smgw.installation-report/1";
/// The name of the schema of what is around it and its version.
const SIGNED_SCHEMA: &str = "smgw.signed-report/1";
/// The most meters that are told of: a full line.
const MOST_METERS: usize = 250;

/// A report with its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SignedReport {
    schema: String,
    /// The report: the very text that is signed.
    pub(super) report: String,
    /// The card's signature over the SHA-256 of the text: ECDSA on P-256, DER, hexadecimal digits.
    pub(super) signature: Option<String>,
    /// The certificate of the card's SIG key: DER, hexadecimal digits.
    certificate: Option<String>,
}

impl SignedReport {
    /// Returns the SHA-256 of the text.
    pub(super) fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.report).into()
    }

    /// Returns signature (DER) and certificate (DER), if the report is signed and they are legible.
    pub(super) fn proof(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let bytes = |text: &Option<String>| hex::decode(text.as_ref()?).ok();
        Some((bytes(&self.signature)?, bytes(&self.certificate)?))
    }

    /// Returns the SHA-256 of the certificate of the card's SIG key.
    pub(super) fn fingerprint(&self) -> Option<[u8; 32]> {
        let (_, certificate) = self.proof()?;
        Some(Sha256::digest(certificate).into())
    }

    /// Reads what the text says.
    pub(super) fn read(&self) -> Option<Report> {
        serde_json::from_str(&self.report).ok()
    }
}

/// What the report says. The schema is additive within its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    schema: String,
    pub(super) made: Timestamp,
    pub(super) software: String,
    /// The state of the gateway, by its code.
    pub(super) state: String,
    /// The GUID that the gateway is bound to.
    pub(super) guid: Option<CardId>,
    /// The gateway's own identity.
    pub(super) gateway: Option<String>,
    pub(super) bound_since: Option<Timestamp>,
    pub(super) steps: Vec<ReportedStep>,
    pub(super) meters: Vec<ReportedMeter>,
}

/// A step as the report has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReportedStep {
    pub(super) step: Step,
    #[serde(flatten)]
    pub(super) entry: Entry,
}

/// A meter as the report has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReportedMeter {
    pub(super) name: String,
    pub(super) bus: String,
    pub(super) id: Option<MeterId>,
    pub(super) medium: Option<Medium>,
    pub(super) metering_point: Option<String>,
    pub(super) consumer: Option<String>,
    /// The technician's word about the reading and the dial.
    pub(super) compared: Option<Comparison>,
    pub(super) answered: Option<Timestamp>,
    pub(super) error: Option<String>,
}

impl ReportedMeter {
    fn of(view: &MeterView, points: &[Point], comparisons: &[Comparison]) -> Self {
        let point = point_of(points, view.id.as_ref());
        let mut compared = comparisons
            .iter()
            .filter(|one| one.meter == view.name && one.id == view.id);
        Self {
            name: view.name.clone(),
            bus: view.bus.clone(),
            id: view.id.clone(),
            medium: view.medium,
            metering_point: point.and_then(|point| point.metering_point.clone()),
            consumer: point.and_then(|point| point.consumer.clone()),
            compared: compared.next_back().cloned(),
            answered: view.last_success,
            error: view.error.clone(),
        }
    }
}

/// Makes the QR code of a GUID. A GUID always fits.
pub(super) fn code_of(guid: &str) -> Option<QrCode> {
    QrCode::with_error_correction_level(guid, EcLevel::M).ok()
}

/// Puts the report together, has the card sign it, and keeps it. It waits for the card and the disk.
pub(super) fn make(site: &Site, book: &Book) -> Vec<Check> {
    let report = put_together(site, book);
    let text = match serde_json::to_string(&report) {
        Ok(text) => text,
        Err(error) => return vec![Check::of(What::Signature, false).because(error.to_string())],
    };
    let (signed, check) = sign(site, text);
    match book.change(|progress| progress.report = Some(signed)) {
        Ok(()) => vec![check],
        Err(error) => vec![Check::of(What::Space, false).because(Chain(&error).to_string())],
    }
}

fn put_together(site: &Site, book: &Book) -> Report {
    let progress = book.progress();
    let status = site.source.status();
    let binding = site.source.store.bindings().ok();
    let binding = binding.and_then(|bindings| bindings.binding().ok().flatten());
    let meters = status.meters.iter().take(MOST_METERS);
    let meters = meters.map(|view| ReportedMeter::of(view, &site.points, &progress.comparisons));
    let steps = Step::ALL.into_iter().filter(|step| *step != Step::Report);
    Report {
        schema: SCHEMA.to_owned(),
        made: clock::now(),
        software: env!("CARGO_PKG_VERSION").to_owned(),
        state: status.code,
        guid: binding.as_ref().map(|binding| binding.card),
        gateway: binding.as_ref().map(|binding| binding.gateway.to_string()),
        bound_since: binding.map(|binding| binding.time),
        steps: steps
            .map(|step| ReportedStep {
                step,
                entry: progress.entry(step),
            })
            .collect(),
        meters: meters.collect(),
    }
}

/// Has the card sign the text. Without a card that serves, the report is what it is without a signature.
fn sign(site: &Site, text: String) -> (SignedReport, Check) {
    let mut signed = SignedReport {
        schema: SIGNED_SCHEMA.to_owned(),
        report: text,
        signature: None,
        certificate: None,
    };
    let identity = site.bindings.standing.borrow().identity.clone();
    let Some(identity) = identity else {
        return (signed, Check::new(What::Signature, Verdict::Note));
    };
    let digest = signed.digest();
    let made = site.card.call(move |session| session.sign(Partner::Tsm, &digest));
    let check = match made.map(|made| Signature::from_slice(made.as_bytes())) {
        Ok(Ok(signature)) => {
            signed.signature = Some(hex::encode(signature.to_der().as_bytes()));
            signed.certificate = Some(hex::encode(identity.card.sig.certificate().as_der()));
            Check::of(What::Signature, true).measured(identity.guid.to_string())
        }
        Ok(Err(error)) => Check::of(What::Signature, false).because(error.to_string()),
        Err(fault) => Check::of(What::Signature, false).because(Chain(&fault).to_string()),
    };
    (signed, check)
}
