//! `smgw wan`: how the gateway is reached from outside, and what is in the way.

use std::fmt;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Subcommand;
use model::GatewayState;
use serde::Serialize;

use super::watch::{Watched, schema_watched};
use super::{ConfigFile, FAILURE, answer, show, with_config};
use crate::doctor::{self, Check, Daemon};
use crate::local::control;
use crate::status::Status;
use crate::wan::BrokerView;

/// The names of the schemas and their version; additive within the version.
const STATUS_SCHEMA: &str = "smgw.wan/1";
const CHECK_SCHEMA: &str = "smgw.wan-check/1";

#[derive(Debug, Subcommand)]
pub(super) enum WanCommand {
    /// Shows where the running gateway listens, how it stands with its broker, and whom it serves.
    #[command(
        after_help = "Exit codes: 0 done, 1 failure, 2 wrong usage, 69 no daemon answers, 77 refused, 78 wrong configuration.",
        mut_arg("json", schema_watched(STATUS_SCHEMA))
    )]
    Status(Watched),
    /// Climbs the way to the outside rung by rung, and says what each has measured: link, address, name, time, TCP, TLS, broker, echo,
    /// first contact.
    ///
    /// The running gateway climbs, in 25 seconds at most, since TLS takes its card; without one the rungs that need it are not
    /// checked. Nothing is proved before a word has come back through the broker and the trust centre has been there.
    #[command(
        after_help = "Exit codes: 0 every rung that could be checked is good, 1 one is not, 2 wrong usage, 78 wrong configuration."
    )]
    Check {
        /// Print one JSON document (schema smgw.wan-check/1).
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        file: ConfigFile,
    },
}

/// How it stands with the WAN.
#[derive(Debug, Serialize)]
struct WanView {
    schema: &'static str,
    state: GatewayState,
    /// Why it is in this state, and what to do about it.
    cause: String,
    remedy: String,
    /// Where the gateway listens, if it is reached directly.
    listen: Option<SocketAddr>,
    broker: Option<BrokerView>,
    /// The version of the trust centre's bundle in force.
    bundle_version: Option<u64>,
}

impl From<Status> for WanView {
    fn from(status: Status) -> Self {
        Self {
            schema: STATUS_SCHEMA,
            state: status.state,
            cause: status.detail.unwrap_or(status.cause),
            remedy: status.remedy,
            listen: status.wan,
            broker: status.broker,
            bundle_version: status.bundle_version,
        }
    }
}

impl fmt::Display for WanView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let off = || "off".to_owned();
        let listen = self.listen.map_or_else(off, |address| address.to_string());
        let broker = self.broker.as_ref().map_or_else(off, |broker| broker.to_string());
        let bundle = self
            .bundle_version
            .map_or_else(|| "none".to_owned(), |version| version.to_string());
        writeln!(formatter, "state   {}: {}", self.state, self.cause)?;
        writeln!(formatter, "        {}", self.remedy)?;
        writeln!(formatter, "direct  {listen}")?;
        writeln!(formatter, "broker  {broker}")?;
        writeln!(formatter, "bundle  {bundle}")
    }
}

/// The rungs, from the bottom up.
#[derive(Debug, Serialize)]
struct Ladder {
    schema: &'static str,
    well: bool,
    rungs: Vec<Check>,
}

impl fmt::Display for Ladder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rungs.iter().try_for_each(|rung| write!(formatter, "{rung}"))
    }
}

impl WanCommand {
    pub(super) fn run(self) -> ExitCode {
        match self {
            Self::Status(watched) => watched
                .run(|config, json| answer(control::ask(&config.control_socket).map(WanView::from), json)),
            Self::Check { json, file } => with_config(file.config, |config| {
                let daemon = Daemon::of(control::ask(&config.control_socket));
                let rungs = doctor::wan(&config, &daemon);
                let well = !rungs.iter().any(Check::is_finding);
                let ladder = Ladder {
                    schema: CHECK_SCHEMA,
                    well,
                    rungs,
                };
                let shown = show(&ladder, json);
                if well || shown != ExitCode::SUCCESS {
                    shown
                } else {
                    ExitCode::from(FAILURE)
                }
            }),
        }
    }
}
