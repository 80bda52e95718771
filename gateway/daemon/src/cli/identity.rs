//! `smgw identity`: who the gateway is, by which certificates it is known, and what runs on it.

use std::fmt;
use std::process::ExitCode;

use clap::Args;
use model::{CardId, Fingerprint, GatewayId, Timestamp};
use serde::Serialize;

use super::{ConfigFile, FAILURE, card, fail, show, with_config};
use crate::binding::BindingView;
use crate::card::CardView;
use crate::config::Config;
use crate::local::control::{self, ControlError};
use crate::status::Status;

/// The name of the schema and its version; additive within the version.
const SCHEMA: &str = "smgw.identity/1";
/// Where the system says what it is (os-release(5)), and the kernel.
const SYSTEM: &str = "/etc/os-release";
const KERNEL: &str = "/proc/sys/kernel/osrelease";

/// Options of `smgw identity`.
#[derive(Debug, Args)]
#[command(
    after_help = "Without a running gateway the card is looked at, and the rest is missing.\n\nExit codes: 0 done, 1 failure, 2 wrong usage, 78 wrong configuration."
)]
pub(super) struct IdentityOptions {
    /// Print one JSON document (schema smgw.identity/1).
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

/// Who the gateway is.
#[derive(Debug, Serialize)]
pub(super) struct IdentityView {
    schema: &'static str,
    /// Whether a running gateway was asked.
    asked_daemon: bool,
    /// The GUID that the gateway is bound to.
    guid: Option<CardId>,
    /// The gateway's own identity, as the card has it.
    gateway: Option<GatewayId>,
    card: CardIdentity,
    /// The SHA-256 digest of the local web's certificate, as it stands on the label and as browsers show it.
    label_fingerprint: Option<Fingerprint>,
    /// Where the local web is.
    https: Option<String>,
    bundle_version: Option<u64>,
    software: String,
    system: Versions,
}

/// The card in the reader.
#[derive(Debug, Serialize)]
struct CardIdentity {
    guid: Option<CardId>,
    trust_centre: Option<String>,
    certificates: Vec<CertificateIdentity>,
}

#[derive(Debug, Serialize)]
struct CertificateIdentity {
    key: String,
    not_after: Timestamp,
    /// The SHA-256 digest of the certificate.
    fingerprint: Option<Fingerprint>,
}

/// What the gateway runs on.
#[derive(Debug, Serialize)]
pub(super) struct Versions {
    system: Option<String>,
    kernel: Option<String>,
    machine: &'static str,
}

impl Versions {
    /// Reads what system and kernel say of themselves.
    pub(super) fn read() -> Self {
        let release = std::fs::read_to_string(SYSTEM).ok();
        let name = release.as_deref().and_then(pretty_name);
        let kernel = std::fs::read_to_string(KERNEL).ok();
        Self {
            system: name.map(str::to_owned),
            kernel: kernel.map(|kernel| kernel.trim().to_owned()),
            machine: std::env::consts::ARCH,
        }
    }
}

fn pretty_name(release: &str) -> Option<&str> {
    let lines = release.lines();
    let mut names = lines.filter_map(|line| line.strip_prefix("PRETTY_NAME="));
    names.next().map(|name| name.trim_matches('"'))
}

impl IdentityView {
    /// Puts together what the daemon, the bindings and the card say.
    pub(super) fn of(status: Option<&Status>, binding: Option<&BindingView>, card: &CardView) -> Self {
        let certificates = card.certificate_ends().map(|(key, not_after, fingerprint)| {
            let key = key.to_owned();
            CertificateIdentity {
                key,
                not_after,
                fingerprint,
            }
        });
        Self {
            schema: SCHEMA,
            asked_daemon: status.is_some(),
            guid: status.and_then(|status| status.guid),
            gateway: binding.and_then(BindingView::gateway),
            card: CardIdentity {
                guid: card.guid(),
                trust_centre: card.trust_centre().map(str::to_owned),
                certificates: certificates.collect(),
            },
            label_fingerprint: status.and_then(|status| status.https_fingerprint),
            https: status.and_then(|status| status.https.clone()),
            bundle_version: status.and_then(|status| status.bundle_version),
            software: env!("CARGO_PKG_VERSION").to_owned(),
            system: Versions::read(),
        }
    }

    /// Asks the running gateway, or looks at the card if none runs.
    pub(super) fn ask(config: &Config) -> Result<Self, ControlError> {
        let status = match control::ask(&config.control_socket) {
            Ok(status) => Some(status),
            Err(ControlError::NoDaemon { .. }) => None,
            Err(error) => return Err(error),
        };
        let binding = match &status {
            Some(_) => Some(control::ask_for(&config.control_socket, control::BINDING)?),
            None => None,
        };
        let card = card(config)?;
        Ok(Self::of(status.as_ref(), binding.as_ref(), &card))
    }
}

impl fmt::Display for IdentityView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn known(value: Option<impl ToString>) -> String {
            value.map_or_else(|| "not known".to_owned(), |value| value.to_string())
        }
        if !self.asked_daemon {
            writeln!(formatter, "No gateway runs: this is what the card says.")?;
        }
        writeln!(formatter, "GUID          {}", known(self.guid))?;
        writeln!(formatter, "gateway       {}", known(self.gateway))?;
        writeln!(formatter, "bundle        {}", known(self.bundle_version))?;
        writeln!(
            formatter,
            "label         SHA-256 {}",
            known(self.label_fingerprint)
        )?;
        writeln!(formatter, "local web     {}", known(self.https.as_ref()))?;
        writeln!(formatter, "card          {}", known(self.card.guid))?;
        writeln!(
            formatter,
            "trust centre  {}",
            known(self.card.trust_centre.as_ref())
        )?;
        for certificate in &self.card.certificates {
            let CertificateIdentity {
                key,
                not_after,
                fingerprint,
            } = certificate;
            writeln!(formatter, "certificate   {key:<11} until {not_after}")?;
            if let Some(fingerprint) = fingerprint {
                writeln!(formatter, "              SHA-256 {fingerprint}")?;
            }
        }
        writeln!(formatter, "software      smgw {}", self.software)?;
        writeln!(formatter, "system        {}", known(self.system.system.as_ref()))?;
        let (kernel, machine) = (known(self.system.kernel.as_ref()), self.system.machine);
        writeln!(formatter, "kernel        {kernel}, {machine}")
    }
}

impl IdentityOptions {
    pub(super) fn run(self) -> ExitCode {
        let Self { json, file } = self;
        with_config(file.config, |config| match IdentityView::ask(&config) {
            Ok(view) => show(&view, json),
            Err(error) => fail(FAILURE, &error),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_is_called_as_it_calls_itself() {
        let release = "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n";
        assert_eq!(pretty_name(release), Some("Debian GNU/Linux 13 (trixie)"));
        assert_eq!(pretty_name("NAME=x\n"), None);
        assert!(Versions::read().kernel.is_some());
    }
}
