//! The binding as the command line and its JSON show it: rows, parts and their health, never the pairing.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use model::{Binding, CardId, Fingerprint, GatewayId, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Bindings, BindingsError, Health, Report, Store, Strength, Tamper};
use tokio::sync::watch;

use crate::card::{Confirmed, NotConfirmed, SOFT_CARD, Standing};
use crate::report::Chain;

/// Everything that is shown about the binding. The schema is additive within its version.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct BindingView {
    schema: String,
    /// Why the bindings cannot be trusted; then nothing else is known about them.
    trouble: Option<String>,
    /// To which card the gateway is bound.
    #[serde(default)]
    binding: Option<BoundView>,
    /// The card with which a binding has begun that is not burned yet.
    #[serde(default)]
    begun: Option<BoundView>,
    /// When and why the gateway was given up.
    #[serde(default)]
    given_up: Option<GivenUpView>,
    /// When the bound card ended its life, as far as this gateway has seen.
    #[serde(default)]
    card_ended: Option<Timestamp>,
    /// How far the store has come, as the card is told.
    #[serde(default)]
    milestone: Option<MilestoneView>,
    /// Whether a card is bound at its insertion (`automatic`) or after `smgw binding confirm` (`confirmed`).
    #[serde(default)]
    mode: String,
    /// Whether the card is a file, or a program on a virtual reader: never so in production.
    #[serde(default)]
    soft_card: bool,
    /// What it takes to undo the binding: `files`, `fuses` or `files-and-fuses`.
    strength: Option<String>,
    /// The file with the device key, if it is not the weak default.
    device_key: Option<PathBuf>,
    rows: Vec<RowView>,
    counters: Vec<CounterView>,
    parts: Vec<PartView>,
    /// How much space is kept aside for a full disk, in bytes.
    reserved_bytes: u64,
    /// What was put right at the last start.
    repairs: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct BoundView {
    /// The GUID of the card.
    card: CardId,
    /// SHA-256 of the public key of its SIG certificate.
    card_key: Fingerprint,
    /// The gateway's own identity, as the card has it.
    gateway: GatewayId,
    time: Timestamp,
}

impl From<Binding> for BoundView {
    fn from(binding: Binding) -> Self {
        Self {
            card: binding.card,
            card_key: binding.card_key,
            gateway: binding.gateway,
            time: binding.time,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct GivenUpView {
    time: Timestamp,
    reason: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct MilestoneView {
    counter: u64,
    digest: Fingerprint,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct RowView {
    key: String,
    sequence: u64,
    time: Timestamp,
    /// SHA-256 of the sealed row, in hexadecimal digits.
    digest: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct CounterView {
    name: String,
    value: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct PartView {
    name: String,
    /// `sound`, `missing`, `damaged` or `old`.
    health: String,
    generation: Option<u64>,
}

/// The name of the schema and its version.
const SCHEMA: &str = "smgw.binding/1";

/// Where the view comes from.
#[derive(Debug, Clone)]
pub(crate) struct BindingSource {
    pub(crate) store: Arc<Store>,
    pub(crate) device_key: Option<PathBuf>,
    pub(crate) waits_for_confirmation: bool,
    pub(crate) standing: watch::Receiver<Standing>,
}

impl BindingSource {
    /// Looks at the bindings as they are at this moment. It reads files, and so belongs on a thread that may
    /// block.
    pub(crate) fn view(&self) -> BindingView {
        let report = match self.store.bindings() {
            Ok(bindings) => BindingView::of(bindings).map_err(|error| Chain(&error).to_string()),
            Err(error) => Err(Chain(error).to_string()),
        };
        let mode = if self.waits_for_confirmation {
            "confirmed"
        } else {
            "automatic"
        };
        let milestone = self.store.milestone().ok().flatten();
        BindingView {
            schema: SCHEMA.to_owned(),
            device_key: self.device_key.clone(),
            mode: mode.to_owned(),
            soft_card: SOFT_CARD || self.standing.borrow().soft_card,
            milestone: milestone.map(|milestone| MilestoneView {
                counter: milestone.counter,
                digest: milestone.digest(),
            }),
            ..report.unwrap_or_else(BindingView::of_trouble)
        }
    }
}

impl BindingView {
    /// Returns the gateway's own identity, if it is bound.
    pub(crate) fn gateway(&self) -> Option<GatewayId> {
        self.binding.as_ref().map(|binding| binding.gateway)
    }

    fn of_trouble(trouble: String) -> Self {
        Self {
            trouble: Some(trouble),
            ..Self::default()
        }
    }

    fn of(bindings: &Bindings) -> Result<Self, BindingsError> {
        let binding = bindings.binding()?;
        let begun = bindings.intent()?.filter(|_| binding.is_none());
        let given_up = bindings.tampered()?;
        Ok(Self {
            binding: binding.map(BoundView::from),
            begun: begun.map(|intent| BoundView::from(intent.binding)),
            given_up: given_up.map(|Tamper { reason, time }| GivenUpView { time, reason }),
            card_ended: bindings.card_terminated()?.map(|card| card.time),
            ..Self::of_report(&bindings.report()?)
        })
    }

    fn of_report(report: &Report) -> Self {
        let strength = match report.strength {
            Strength::Files => "files",
            Strength::Fuses => "fuses",
            Strength::FilesAndFuses => "files-and-fuses",
        };
        let rows = report.rows.iter().map(|row| RowView {
            key: row.key.to_owned(),
            sequence: row.sequence,
            time: row.time,
            digest: hex::encode(row.digest),
        });
        let counters = report.counters.iter().map(|(name, value)| CounterView {
            name: (*name).to_owned(),
            value: *value,
        });
        let parts = report.parts.iter().map(|part| PartView {
            name: part.name.to_owned(),
            health: part.health.to_string(),
            generation: part.generation,
        });
        Self {
            strength: Some(strength.to_owned()),
            rows: rows.collect(),
            counters: counters.collect(),
            parts: parts.collect(),
            reserved_bytes: report.reserved_bytes,
            repairs: report.repairs.iter().map(ToString::to_string).collect(),
            ..Self::default()
        }
    }
}

impl fmt::Display for BindingView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(trouble) = &self.trouble {
            return writeln!(formatter, "The bindings cannot be trusted: {trouble}");
        }
        if self.soft_card {
            writeln!(
                formatter,
                "The card is, or can be, a SOFT CARD: its keys are in a file. Never for production."
            )?;
        }
        self.write_binding(formatter)?;
        let strength = self.strength.as_deref().unwrap_or("unknown");
        writeln!(formatter, "strength    {strength}")?;
        match &self.device_key {
            Some(file) => writeln!(formatter, "device key  {}", file.display())?,
            None => writeln!(formatter, "device key  in the data folder: the weak default")?,
        }
        if self.rows.is_empty() {
            writeln!(formatter, "rows        none is burned")?;
        }
        for row in &self.rows {
            let (sequence, key, time) = (row.sequence, &row.key, row.time);
            writeln!(formatter, "row {sequence:<7} {key:<16} {time}  {}", row.digest)?;
        }
        for counter in &self.counters {
            writeln!(formatter, "counter     {:<16} {}", counter.name, counter.value)?;
        }
        for part in &self.parts {
            write!(formatter, "part        {:<16} {}", part.name, part.health)?;
            match part.generation {
                Some(generation) => writeln!(formatter, ", generation {generation}")?,
                None => writeln!(formatter)?,
            }
        }
        writeln!(
            formatter,
            "space kept  {} KiB for a full disk",
            self.reserved_bytes / 1024
        )?;
        for repair in &self.repairs {
            writeln!(formatter, "repaired    {repair}")?;
        }
        // Whoever looks at it is to know what to do about a part that went bad while the gateway ran.
        let sound = Health::Sound.to_string();
        if self.parts.iter().any(|part| part.health != sound) {
            writeln!(
                formatter,
                "Restart the gateway: it puts its parts right when it starts."
            )?;
        }
        Ok(())
    }
}

impl BindingView {
    /// Shows what the rows say.
    fn write_binding(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = self.binding.as_ref().map(|bound| ("bound to", bound));
        let begun = self.begun.as_ref().map(|begun| ("begun with", begun));
        match bound.or(begun) {
            Some((what, bound)) => {
                let BoundView {
                    card,
                    card_key,
                    gateway,
                    time,
                } = bound;
                writeln!(formatter, "{what:<11} {card} since {time}")?;
                writeln!(formatter, "card key    {card_key}")?;
                writeln!(formatter, "gateway     {gateway}")?;
            }
            None => writeln!(formatter, "bound to    no card yet")?,
        }
        writeln!(formatter, "mode        {}", self.mode)?;
        if let Some(GivenUpView { time, reason }) = &self.given_up {
            writeln!(formatter, "given up    {time}: {reason}")?;
        }
        if let Some(time) = &self.card_ended {
            writeln!(formatter, "card ended  {time}")?;
        }
        match &self.milestone {
            Some(MilestoneView { counter, digest }) => writeln!(formatter, "milestone   {counter}  {digest}"),
            None => writeln!(formatter, "milestone   none yet"),
        }
    }
}

/// What came of `smgw binding confirm`. The schema is additive within its version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ConfirmationView {
    schema: String,
    /// The GUID of the card, if it is bound now.
    bound_to: Option<CardId>,
    /// Why not.
    refusal: Option<RefusalView>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct RefusalView {
    code: String,
    reason: String,
}

impl ConfirmationView {
    /// Describes an outcome.
    pub(crate) fn of(outcome: &Result<Confirmed, NotConfirmed>) -> Self {
        Self {
            schema: "smgw.binding-confirm/1".to_owned(),
            bound_to: outcome.as_ref().ok().map(|confirmed| confirmed.guid),
            refusal: outcome.as_ref().err().map(|refusal| RefusalView {
                code: refusal.code().to_owned(),
                reason: refusal.to_string(),
            }),
        }
    }

    /// Returns whether the card is bound now.
    pub(crate) const fn is_bound(&self) -> bool {
        self.bound_to.is_some()
    }
}

impl fmt::Display for ConfirmationView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(guid) = &self.bound_to {
            writeln!(formatter, "The gateway is bound to the card {guid}, for good.")?;
        }
        if let Some(RefusalView { code, reason }) = &self.refusal {
            writeln!(formatter, "not bound ({code}): {reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use model::{Binding, Fingerprint, GatewayId};
    use store::{Counter, DeviceKey, Intent, Protection};
    use zeroize::Zeroizing;

    use super::*;

    fn source(folder: &std::path::Path) -> BindingSource {
        let key = DeviceKey::new([1; DeviceKey::LENGTH]);
        let store = Store::open(folder, Ok(Protection { key, otp: None })).unwrap();
        BindingSource {
            store: Arc::new(store),
            device_key: None,
            waits_for_confirmation: false,
            standing: watch::channel(Standing::unknown()).1,
        }
    }

    #[test]
    fn everything_but_the_secret_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        let shown = source.view().to_string();
        assert!(
            shown.contains("none is burned") && shown.contains("no card yet"),
            "{shown}"
        );
        let bindings = source.store.bindings().unwrap();
        let binding = Binding {
            card: "fd5a::1".parse().unwrap(),
            card_key: Fingerprint::new([7; 32]),
            gateway: GatewayId::new([9; 16]),
            time: "2026-11-23T12:00:00Z".parse().unwrap(),
        };
        let pairing = Zeroizing::new(vec![0xab; 16]);
        let intent = Intent {
            binding: binding.clone(),
            pairing,
        };
        bindings.begin(&intent).unwrap();
        bindings.burn(&binding).unwrap();
        bindings.advance(Counter::CardSession, 5).unwrap();
        let view = source.view();
        let json = serde_json::to_string(&view).unwrap();
        let read: BindingView = serde_json::from_str(&json).unwrap();
        assert_eq!(read.schema, "smgw.binding/1");
        assert_eq!(read.strength.as_deref(), Some("files"));
        assert_eq!((read.rows.len(), read.parts.len()), (1, 3));
        let shown = read.to_string();
        for part in [
            "bound to    fd5a::1 since 2026-11-23T12:00:00Z",
            "0707",
            "0909",
            "mode        automatic",
            "card-session     5",
            "copy-b",
        ] {
            assert!(shown.contains(part), "{part} is not in {shown}");
        }
        assert!(!json.contains("abab") && !shown.contains("abab"));
        let time = "2026-11-24T12:00:00Z".parse().unwrap();
        bindings
            .burn_tamper("the bound card was taken out", time)
            .unwrap();
        bindings.burn_card_terminated(time).unwrap();
        let shown = source.view().to_string();
        let said = "given up    2026-11-24T12:00:00Z: the bound card was taken out";
        assert!(
            shown.contains(said) && shown.contains("card ended  2026-11-24"),
            "{shown}"
        );
        std::fs::write(folder.path().join("bindings/copy-a"), "?").unwrap();
        let shown = source.view().to_string();
        assert!(shown.contains("damaged") && shown.contains("Restart"), "{shown}");
    }

    #[test]
    fn bindings_that_cannot_be_trusted_say_why() {
        let folder = tempfile::tempdir().unwrap();
        drop(source(folder.path()));
        for part in ["copy-a", "copy-b", "sled/db"] {
            std::fs::write(folder.path().join("bindings").join(part), "?").unwrap();
        }
        let source = source(folder.path());
        let view = source.view();
        assert!(view.trouble.is_some() && view.rows.is_empty());
        assert!(view.to_string().contains("cannot be trusted"));
    }
}
