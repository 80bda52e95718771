//! What the technician changes of the installation, written into the system log.

use model::{LogText, SystemEvent};

use super::Site;
use crate::local::web::TECHNICIAN;

/// Writes down what was done. A log that cannot be written stops the gateway by itself.
pub(super) fn record(site: &Site, what: &str) {
    let event = SystemEvent::InstallationChanged {
        account: LogText::cut(TECHNICIAN),
        what: LogText::cut(what),
    };
    site.source.journal.note([event.into()]);
}
