//! Applications as the command line shows them.

use std::collections::BTreeMap;
use std::fmt;

use messages::content::RevokedCertificate;
use model::{Element, Fingerprint, Period, Quantity, Status, Timestamp};
use serde::{Deserialize, Serialize};
use store::Derived;

const LIST_SCHEMA: &str = "smgw.app.list/1";
const RUN_SCHEMA: &str = "smgw.app.run/2";
const EXPLANATION_SCHEMA: &str = "smgw.app.explanation/2";

/// The applications of the gateway.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AppsView {
    schema: String,
    pub(super) applications: Vec<AppView>,
}

/// One version of an application.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AppView {
    pub(super) id: String,
    pub(super) version: String,
    pub(super) digest: Fingerprint,
    pub(super) taf: Option<u8>,
    pub(super) name_de: String,
    pub(super) name_en: String,
    /// On whose behalf it runs; none if it is kept for what it has made alone.
    pub(super) supplier: Option<String>,
    pub(super) assignments: Vec<AssignmentView>,
    /// Why it makes nothing any more, if it does not.
    #[serde(default)]
    pub(super) stopped: Option<StoppedView>,
    /// The failures in a row since the start of the daemon, and until when it is left alone.
    pub(super) failures: u32,
    pub(super) left_alone_until: Option<Timestamp>,
}

/// The stable code of what stops an application whose author's certificate is revoked.
pub(super) const AUTHOR_REVOKED: &str = "author-revoked";

/// That an application is stopped.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoppedView {
    code: String,
    /// Since when the certificate is revoked.
    since: Timestamp,
    /// Why it is revoked.
    reason: String,
}

impl StoppedView {
    pub(super) fn new(revoked: &RevokedCertificate) -> Self {
        Self {
            code: AUTHOR_REVOKED.to_owned(),
            since: revoked.time,
            reason: revoked.reason.to_string(),
        }
    }
}

/// What it is run on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AssignmentView {
    pub(super) name: String,
    pub(super) window: String,
    pub(super) zone: String,
    pub(super) from: Timestamp,
    /// From when on no window of it begins.
    pub(super) to: Option<Timestamp>,
    pub(super) inputs: Vec<String>,
    /// The end of the last window that was evaluated.
    pub(super) evaluated_until: Option<Timestamp>,
}

impl AppsView {
    pub(super) fn new(applications: Vec<AppView>) -> Self {
        Self {
            schema: LIST_SCHEMA.to_owned(),
            applications,
        }
    }
}

impl fmt::Display for AppsView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.applications.is_empty() {
            writeln!(formatter, "No applications are installed.")?;
        }
        for app in &self.applications {
            let taf = app.taf.map(|taf| format!(", TAF {taf}")).unwrap_or_default();
            writeln!(formatter, "{} {}{taf}: {}", app.id, app.version, app.name_en)?;
            writeln!(formatter, "  digest   {}", app.digest)?;
            match &app.supplier {
                Some(supplier) => writeln!(formatter, "  for      {supplier}")?,
                None => writeln!(formatter, "  kept for the values that it has made")?,
            }
            for assignment in &app.assignments {
                write!(
                    formatter,
                    "  {}: {}, each {} ({})",
                    assignment.name,
                    assignment.inputs.join(", "),
                    assignment.window,
                    assignment.zone
                )?;
                match assignment.evaluated_until {
                    Some(until) => writeln!(formatter, ", evaluated until {until}")?,
                    None => writeln!(formatter, ", nothing evaluated since {}", assignment.from)?,
                }
                if let Some(to) = assignment.to {
                    writeln!(formatter, "    for windows that begin before {to}")?;
                }
            }
            if let Some(StoppedView { code, since, reason }) = &app.stopped {
                writeln!(
                    formatter,
                    "  stopped ({code}): its author's certificate is revoked since {since} ({reason}); have the module signed \
                     anew"
                )?;
            }
            if let Some(until) = app.left_alone_until {
                writeln!(
                    formatter,
                    "  failed {} times in a row, left alone until {until}",
                    app.failures
                )?;
            }
        }
        Ok(())
    }
}

/// A value that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MadeView {
    pub(super) meter: String,
    pub(super) obis: String,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) value: String,
    pub(super) unit: String,
    pub(super) status: u32,
    pub(super) stage: u16,
    /// How many readings it is made of.
    pub(super) basis: u32,
}

impl MadeView {
    pub(super) fn new(value: &Derived) -> Self {
        let Element { meter, obis } = &value.reading.element;
        let Quantity { value: digits, unit } = value.reading.quantity;
        Self {
            meter: meter.to_string(),
            obis: obis.to_string(),
            from: value.from,
            to: value.reading.time,
            value: digits.to_string(),
            unit: unit.to_string(),
            status: value.reading.status.bits(),
            stage: value.stage,
            basis: value.basis.end.saturating_sub(value.basis.start),
        }
    }
}

impl fmt::Display for MadeView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            meter,
            obis,
            from,
            to,
            value,
            unit,
            basis,
            ..
        } = self;
        write!(
            formatter,
            "{meter} {obis}  {value} {unit}  from {from} to {to}, of {basis} readings"
        )
    }
}

/// What a run would make.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RunView {
    schema: String,
    pub(super) period: Period,
    pub(super) assignments: Vec<RunOf>,
}

/// What it would make of one assignment.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RunOf {
    /// Id and version of the application that was run.
    pub(super) application: String,
    pub(super) digest: Fingerprint,
    pub(super) name: String,
    pub(super) values: Vec<MadeView>,
    /// Why there are none, if it failed.
    pub(super) failure: Option<String>,
}

impl RunView {
    pub(super) fn new(period: Period, assignments: Vec<RunOf>) -> Self {
        Self {
            schema: RUN_SCHEMA.to_owned(),
            period,
            assignments,
        }
    }
}

impl fmt::Display for RunView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.period.from(), self.period.to());
        writeln!(formatter, "From {from} to {to}; nothing is stored")?;
        for run in &self.assignments {
            writeln!(formatter, "{} by {} ({}):", run.name, run.application, run.digest)?;
            for value in &run.values {
                writeln!(formatter, "  {value}")?;
            }
            match &run.failure {
                Some(failure) => writeln!(formatter, "  failed: {failure}")?,
                None if run.values.is_empty() => writeln!(formatter, "  nothing")?,
                None => {}
            }
        }
        Ok(())
    }
}

/// How a value came about.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ExplanationView {
    schema: String,
    /// By what made it; what has made it last stands first.
    pub(super) series: Vec<SeriesView>,
}

/// What one assignment has made of the value.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SeriesView {
    /// The assignment's name, and on whose behalf it is; none if neither a bundle nor a revision tells.
    pub(super) assignment: Option<String>,
    pub(super) supplier: Option<String>,
    /// The newest revision first.
    pub(super) revisions: Vec<RevisionView>,
}

/// One revision of the value.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RevisionView {
    pub(super) revision: u32,
    pub(super) value: MadeView,
    pub(super) made: Timestamp,
    pub(super) window: Period,
    /// Id and version of the application, if its package is still here.
    pub(super) application: Option<String>,
    pub(super) digest: Fingerprint,
    /// The parameters at that time; none if an earlier version of the gateway has made it.
    pub(super) parameters: Option<BTreeMap<String, serde_json::Value>>,
    /// The slots of the calendar that held in the value's period, of the value's stage if it has one of theirs.
    pub(super) slots: Vec<SlotView>,
    /// How many bytes the window before had left.
    pub(super) state_bytes: usize,
    /// The readings that it is made of.
    pub(super) basis: Vec<BasisView>,
    /// Whether the same came out just now, of the same version and the same readings; or why it was not tried.
    pub(super) reproduced: bool,
    pub(super) fault: Option<String>,
}

/// A slot of the calendar.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SlotView {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) stage: u16,
}

/// A reading that a value is made of.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BasisView {
    /// Whose it is; none if an earlier version of the gateway has made the value.
    pub(super) meter: Option<String>,
    pub(super) obis: String,
    pub(super) time: Timestamp,
    pub(super) value: String,
    pub(super) unit: String,
    pub(super) status: Status,
}

impl ExplanationView {
    pub(super) fn new(series: Vec<SeriesView>) -> Self {
        Self {
            schema: EXPLANATION_SCHEMA.to_owned(),
            series,
        }
    }
}

impl fmt::Display for ExplanationView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for series in &self.series {
            match (&series.assignment, &series.supplier) {
                (Some(name), Some(supplier)) => writeln!(formatter, "assignment {name} for {supplier}")?,
                (Some(name), None) => writeln!(formatter, "assignment {name}")?,
                (None, _) => writeln!(formatter, "an assignment that is gone")?,
            }
            series
                .revisions
                .iter()
                .try_for_each(|revision| write!(formatter, "{revision}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for RevisionView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self
            .application
            .as_deref()
            .unwrap_or("an application that is gone");
        writeln!(formatter, "revision {}: {}", self.revision, self.value)?;
        writeln!(formatter, "  made {} by {name} ({})", self.made, self.digest)?;
        for (name, value) in self.parameters.iter().flatten() {
            writeln!(formatter, "  with {name} = {value}")?;
        }
        if self.value.stage > 0 {
            writeln!(formatter, "  stage {}", self.value.stage)?;
        }
        for SlotView { from, to, stage } in &self.slots {
            writeln!(formatter, "    stage {stage} from {from} to {to}")?;
        }
        if self.state_bytes > 0 {
            writeln!(
                formatter,
                "  with {} bytes that the window before had left",
                self.state_bytes
            )?;
        }
        let (from, to) = (self.window.from(), self.window.to());
        writeln!(
            formatter,
            "  of the window from {from} to {to}, of these readings:"
        )?;
        self.basis
            .iter()
            .try_for_each(|reading| writeln!(formatter, "    {reading}"))?;
        match &self.fault {
            _ if self.reproduced => writeln!(formatter, "  run once more, the same came out"),
            Some(fault) => writeln!(formatter, "  not run once more: {fault}"),
            None => writeln!(formatter, "  run once more, SOMETHING ELSE came out"),
        }
    }
}

impl fmt::Display for BasisView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            meter,
            obis,
            time,
            value,
            unit,
            ..
        } = self;
        let meter = meter.as_deref().unwrap_or("?");
        write!(formatter, "{time}  {meter} {obis}  {value} {unit}")
    }
}
