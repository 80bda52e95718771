//! What the journal does when the daemon starts: it opens the logs, and writes down what was found.

use std::path::{Path, PathBuf};

use model::{LogEvent, LogText, SystemEvent, Timestamp};
use store::{Bindings, LogError, Logs, Loss, Store};

use super::{CardKeyVerifier, Journal, moment};
use crate::codes::device as codes;
use crate::config::Config;
use crate::losses;
use crate::mounts::Finding;
use crate::report::Chain;

/// The folder of the logs within the gateway's data.
pub(crate) const FOLDER: &str = "logs";

/// Opens the logs, and has them checked with the key that the binding names.
///
/// Logs that cannot be read are set aside for the auditor and begun anew: measuring must go on. The new ones
/// never verify, so that the gateway stays [`Degraded`](model::GatewayState::Degraded).
///
/// # Errors
///
/// [`LogError`] if another process has them open, a newer gateway wrote them, or none can be begun.
pub(crate) fn open(config: &Config, store: &Store) -> Result<Journal, LogError> {
    // Bindings that cannot be read are no proof that there is none.
    let (provisioned, key) = match store.bindings().map(Bindings::binding) {
        Ok(Ok(binding)) => (binding.is_some(), binding.map(|binding| binding.card_key)),
        Ok(Err(_)) | Err(_) => (true, None),
    };
    let folder = config.data.join(FOLDER);
    let open = |provisioned| {
        let logs = Logs::open(&folder, config.logs, provisioned, moment())?;
        Journal::new(logs, CardKeyVerifier::new(key))
    };
    match open(provisioned) {
        Err(error @ LogError::File(_)) => {
            let Ok(aside) = set_aside(&folder, moment().time) else {
                return Err(error);
            };
            let text = format!(
                "The logs cannot be read and were set aside as {}: {}",
                aside.display(),
                Chain(&error)
            );
            tracing::error!("{text}");
            let journal = open(true)?;
            journal.note([finding(codes::LOGS_SET_ASIDE.code, &text).into()]);
            Ok(journal)
        }
        opened => opened,
    }
}

/// Gives the folder another name beside it.
fn set_aside(folder: &Path, now: Timestamp) -> std::io::Result<PathBuf> {
    let aside = folder.with_file_name(format!("{FOLDER}.unreadable-{}", now.unix_seconds()));
    std::fs::rename(folder, &aside)?;
    Ok(aside)
}

/// Returns what the system log says at every start: the version, the configuration, and whatever was found
/// out about the store and the disk that it lies on.
pub(crate) fn start_up(config: &Config, store: &Store, findings: &[Finding]) -> Vec<LogEvent> {
    let mut events = vec![
        SystemEvent::Started {
            version: LogText::cut(env!("CARGO_PKG_VERSION")),
        },
        SystemEvent::ConfigurationRead {
            digest: config.digest,
        },
    ];
    for repair in store.bindings().map_or(&[][..], Bindings::repairs) {
        tracing::warn!("the bindings were repaired: {repair}");
        events.push(SystemEvent::BindingsRepaired {
            what: LogText::cut(&repair.to_string()),
        });
    }
    let of_disk = findings.iter();
    events.extend(of_disk.map(|found| finding(&found.code, &found.text)));
    let mut events: Vec<_> = events.into_iter().map(LogEvent::from).collect();
    events.extend(lost(&store.database().new_losses()));
    events
}

/// Returns the entries about what the store has found to be lost.
pub(crate) fn lost(found: &[Loss]) -> Vec<LogEvent> {
    let findings = losses::findings(found);
    for Finding { code, text, remedy } in &findings {
        tracing::error!(code, remedy, "{text}");
    }
    let entries = findings.iter().map(|found| finding(&found.code, &found.text));
    entries.map(LogEvent::from).collect()
}

/// Returns the entry about something that is wrong with the storage, or lost in it.
pub(crate) fn finding(code: &str, text: &str) -> SystemEvent {
    SystemEvent::StorageFinding {
        code: LogText::cut(code),
        text: LogText::cut(text),
    }
}

#[cfg(test)]
mod tests {
    use model::{GatewayState, LogKind};
    use store::{DeviceKey, Protection};
    use tempfile::TempDir;

    use super::*;

    fn config(data: &Path) -> Config {
        let data = data.display();
        let text = format!("data = \"{data}\"\n[control]\nsocket = \"{data}/socket\"\n");
        Config::parse(&text).unwrap()
    }

    fn open_store(folder: &Path) -> Store {
        let key = DeviceKey::new([0x5a; DeviceKey::LENGTH]);
        Store::open(folder, Ok(Protection { key, otp: None })).unwrap()
    }

    fn codes(journal: &Journal) -> Vec<String> {
        let page = journal.logs().page(LogKind::System, 0, None).unwrap();
        let code = |entry: store::LogEntry| entry.event().unwrap().code().to_owned();
        page.entries.into_iter().map(code).collect()
    }

    #[test]
    fn start_says_the_version_the_configuration_and_what_was_found() {
        let folder = TempDir::new().unwrap();
        let (config, store) = (config(folder.path()), open_store(folder.path()));
        let journal = open(&config, &store).unwrap();
        let finding = Finding {
            code: "SMGW-F-0105".to_owned(),
            text: "The commit interval is long.".to_owned(),
            remedy: "Mount it otherwise.".to_owned(),
        };
        journal.note(start_up(&config, &store, &[finding]));
        assert_eq!(codes(&journal), ["SMGW-L-1001", "SMGW-L-1014", "SMGW-L-1015"]);
        assert_eq!(journal.alarm(), None);
        assert_eq!(journal.findings(), []);
    }

    #[test]
    fn logs_that_cannot_be_read_are_set_aside_and_keep_nothing_from_starting() {
        let folder = TempDir::new().unwrap();
        let (config, store) = (config(folder.path()), open_store(folder.path()));
        let logs = folder.path().join(FOLDER);
        std::fs::create_dir(&logs).unwrap();
        std::fs::write(logs.join("consumer"), "a file where a folder belongs").unwrap();
        for _ in 0..2 {
            let journal = open(&config, &store).unwrap();
            journal.note(start_up(&config, &store, &[]));
            assert_eq!(journal.alarm().unwrap().state, GatewayState::Degraded);
            assert_eq!(journal.findings()[0].code, "SMGW-F-0201");
            assert!(codes(&journal).iter().any(|code| code == "SMGW-L-1015"));
        }
        let names = std::fs::read_dir(folder.path()).unwrap();
        let aside = names.filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().starts_with("logs.unreadable-")
        });
        assert_eq!(aside.count(), 1);
    }
}
