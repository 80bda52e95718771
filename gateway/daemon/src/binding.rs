//! The binding as the command line and its JSON show it: rows, parts and their health, never the pairing.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use model::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Health, Report, Store, Strength};

use crate::report::Chain;

/// Everything that is shown about the binding. The schema is additive within its version.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct BindingView {
    schema: String,
    /// Why the bindings cannot be trusted; then nothing else is known about them.
    trouble: Option<String>,
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
}

impl BindingSource {
    /// Looks at the bindings as they are at this moment. It reads files, and so belongs on a thread that may
    /// block.
    pub(crate) fn view(&self) -> BindingView {
        let report = match self.store.bindings() {
            Ok(bindings) => bindings.report().map_err(|error| Chain(&error).to_string()),
            Err(error) => Err(Chain(error).to_string()),
        };
        let view = report.map_or_else(BindingView::of_trouble, |report| BindingView::of(&report));
        BindingView {
            schema: SCHEMA.to_owned(),
            device_key: self.device_key.clone(),
            ..view
        }
    }
}

impl BindingView {
    fn of_trouble(trouble: String) -> Self {
        Self {
            trouble: Some(trouble),
            ..Self::default()
        }
    }

    fn of(report: &Report) -> Self {
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
        }
    }

    #[test]
    fn everything_but_the_secret_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        let shown = source.view().to_string();
        assert!(shown.contains("none is burned"), "{shown}");
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
        for part in ["binding", "2026-11-23T12:00:00Z", "card-session     5", "copy-b"] {
            assert!(shown.contains(part), "{part} is not in {shown}");
        }
        assert!(!json.contains("abab") && !shown.contains("abab"));
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
