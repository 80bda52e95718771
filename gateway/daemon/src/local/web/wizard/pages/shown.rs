//! The report in the words of a language, from which both its page and its PDF are made.

use model::Timestamp;

use super::super::super::language::Language;
use super::super::super::zone::Zone;
use super::super::report::{Report, ReportedMeter, ReportedStep, SignedReport};
use super::super::words;
use super::view::{CheckLine, Telling, class_of, reason_of};

/// What stands where nothing is known.
const NOTHING: &str = "–";
/// How many columns the table of the meters has.
pub(super) const COLUMNS: usize = 6;

/// The report as it is shown.
pub(super) struct Shown {
    pub(super) title: &'static str,
    pub(super) made: Timestamp,
    /// The GUID that the gateway is bound to.
    pub(super) guid: Option<String>,
    pub(super) facts: Vec<Fact>,
    pub(super) steps: Vec<Section>,
    pub(super) head: [&'static str; COLUMNS],
    pub(super) meters: Vec<[String; COLUMNS]>,
}

/// A fact.
pub(super) struct Fact {
    pub(super) name: String,
    pub(super) value: String,
    /// Whether it is compared character by character.
    pub(super) is_code: bool,
}

/// A step as the report shows it.
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) state: &'static str,
    pub(super) class: &'static str,
    pub(super) reason: Option<String>,
    pub(super) time: Option<String>,
    pub(super) checks: Vec<CheckLine>,
}

impl Shown {
    /// Puts a report into words; `None` if what was signed is no report, or of another version.
    pub(super) fn of(signed: &SignedReport, zone: &Zone, language: Language) -> Option<Self> {
        let report = signed.read()?;
        // How long a certificate is valid is told as of then, so that the same report says the same for ever.
        let now = report.made;
        let telling = Telling { language, zone, now };
        let words = words::words(language);
        Some(Self {
            title: words.report_title,
            made: report.made,
            guid: report.guid.map(|guid| guid.to_string()),
            facts: facts(telling, signed, &report),
            steps: report
                .steps
                .into_iter()
                .map(|step| Section::of(telling, step))
                .collect(),
            head: [
                words.name,
                words.number,
                words.medium,
                words.point,
                words.consumer,
                words.compared,
            ],
            meters: report
                .meters
                .into_iter()
                .map(|meter| row(telling, meter))
                .collect(),
        })
    }
}

impl Section {
    fn of(telling: Telling<'_>, ReportedStep { step, entry }: ReportedStep) -> Self {
        Self {
            title: words::step(telling.language, step),
            state: words::state(telling.language, &entry.state),
            class: class_of(&entry.state),
            time: entry.time.map(|time| telling.time(time)),
            checks: CheckLine::all(telling, &entry.checks),
            reason: reason_of(entry.state),
        }
    }
}

fn facts(telling: Telling<'_>, signed: &SignedReport, report: &Report) -> Vec<Fact> {
    let words = words::words(telling.language);
    let fact = |name: &str, value: String, is_code| Fact {
        name: name.to_owned(),
        value,
        is_code,
    };
    let signing = if signed.signature.is_some() {
        words.report_signed
    } else {
        words.report_unsigned
    };
    let since = format!("{}: {}", words.binding_is, words.since);
    let facts = [
        Some(fact(words.report_made, telling.time(report.made), false)),
        Some(fact(words.software, report.software.clone(), false)),
        Some(fact(words.state, report.state.clone(), false)),
        report
            .gateway
            .clone()
            .map(|gateway| fact(words.gateway_identity, gateway, true)),
        report
            .bound_since
            .map(|time| fact(&since, telling.time(time), false)),
        Some(fact(signing, hex::encode(signed.digest()), true)),
        signed
            .signature
            .clone()
            .map(|signature| fact(words.report_signature, signature, true)),
        signed
            .fingerprint()
            .map(|fingerprint| fact(words.report_certificate, hex::encode(fingerprint), true)),
    ];
    facts.into_iter().flatten().collect()
}

fn row(telling: Telling<'_>, meter: ReportedMeter) -> [String; COLUMNS] {
    let Telling { language, .. } = telling;
    let words = words::words(language);
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
    let compared = meter.compared.map(|one| {
        let reading = one.reading.map(|reading| language.quantity(reading));
        let verdict = if one.agrees { words.agrees } else { words.differs };
        let (reading, time) = (or_nothing(reading), telling.time(one.time));
        format!("{reading}, {time}: {verdict}")
    });
    [
        format!("{} ({})", meter.name, meter.bus),
        or_nothing(meter.id.map(|id| id.to_string())),
        or_nothing(
            meter
                .medium
                .map(|medium| language.words().medium(medium).to_owned()),
        ),
        or_nothing(meter.metering_point),
        or_nothing(meter.consumer),
        or_nothing(compared),
    ]
}
