//! The command line.

mod account;
mod pull;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use counterparty::hub::Group;
use messages::certificate::PartyName;
use messages::content::ApplicationName;
use model::{CardId, Span};
use supplier::{GatewayAddress, StorePlace};

pub(crate) use account::{Bill, Export, Proof};
pub(crate) use pull::{Pull, until_now};

/// Energy supplier: pulls the elements that it was granted, verified and decrypted.
#[derive(Debug, Parser)]
#[command(name = "supplier", version, about)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What a supplier does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes keys, and requests for their certificates
    Init(Init),
    /// Pulls elements from gateways into the store
    Pull(Pull),
    /// Puts into the store what gateways send by themselves over a broker, until SIGINT or SIGTERM
    Receive(Receive),
    /// Says or shows where gateways are reached
    Gateways {
        /// What to do
        #[command(subcommand)]
        act: Gateways,
    },
    /// Lists the points that should have a value in the store and have none
    Gaps(Gaps),
    /// Lists values of the store that contradict each other
    Conflicts(Gaps),
    /// Writes the signed message that proves a reading into a file, for OpenSSL
    Proof(Proof),
    /// Bills what was counted, by stages of a tariff, with the readings that prove it
    Bill(Bill),
    /// Writes readings of the store as CSV, JSON or Parquet
    Export(Export),
    /// Asks the TSM for grants, and an application, on a gateway
    RequestInstall(RequestInstall),
    /// Shows what became of the requests, and takes over the certificates of gateways that serve
    Requests(Requests),
    /// Looks after energy applications
    App {
        /// What to do
        #[command(subcommand)]
        act: App,
    },
    /// Fetches the lists of revoked certificates, by which gateways are checked from then on
    Crl(Crl),
    /// Writes man pages and completions into a folder, for packages
    #[cfg(feature = "manual")]
    #[command(hide = true)]
    Generate(manual::Options),
}

/// `supplier gateways`
#[derive(Debug, Subcommand)]
pub(crate) enum Gateways {
    /// Takes note of where a gateway is reached, whose certificates are here
    Add {
        /// The supplier's folder
        #[arg(long, value_name = "DIR")]
        home: PathBuf,
        /// The GUID of the gateway's card
        #[arg(long, value_name = "GUID")]
        guid: CardId,
        /// Where it listens, or mqtts://HOST:PORT of its broker
        #[arg(long, value_name = "HOST:PORT")]
        gateway: GatewayAddress,
    },
    /// Shows the gateways whose certificates are here, and where they are reached
    List {
        /// The supplier's folder
        #[arg(long, value_name = "DIR")]
        home: PathBuf,
        /// Print one line of JSON per gateway
        #[arg(long)]
        json: bool,
    },
}

/// Which store is meant.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoreChoice {
    /// The supplier's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// The store: a file, or postgres://USER@HOST/DATABASE; store.db in the folder if it is not said. An address with a
    /// password is better named by the variable
    #[arg(long, value_name = "FILE|URL", env = "SUPPLIER_STORE", hide_env_values = true)]
    pub(crate) store: Option<StorePlace>,
}

impl StoreChoice {
    /// Returns where the store is.
    pub(crate) fn place(&self) -> StorePlace {
        let own = || StorePlace::File(self.home.join("store.db"));
        self.store.clone().unwrap_or_else(own)
    }
}

/// `supplier receive`
#[derive(Debug, Args)]
pub(crate) struct Receive {
    #[command(flatten)]
    pub(crate) store: StoreChoice,
    /// The broker, as mqtts://HOST:PORT
    #[arg(long, value_name = "mqtts://HOST:PORT")]
    pub(crate) broker: GatewayAddress,
    /// Share what comes with every other `receive` of this group, for more than one can take; the broker has to know shared
    /// subscriptions
    #[arg(long, value_name = "GROUP")]
    pub(crate) share: Option<Group>,
    /// For how long, such as PT1H
    #[arg(long = "for", value_name = "SPAN")]
    pub(crate) time: Option<Span>,
    /// Print a line of JSON with the values of each message
    #[arg(long)]
    pub(crate) json: bool,
    /// Receive only with lists of revoked certificates of which no newer one is due; without this, an old list is only told
    /// of
    #[arg(long)]
    pub(crate) require_lists: bool,
}

/// `supplier gaps` and `supplier conflicts`
#[derive(Debug, Args)]
pub(crate) struct Gaps {
    #[command(flatten)]
    pub(crate) store: StoreChoice,
    /// Only the gateway of this GUID
    #[arg(long, value_name = "GUID")]
    pub(crate) guid: Option<CardId>,
    /// Print one line of JSON for each
    #[arg(long)]
    pub(crate) json: bool,
}

/// `supplier request-install`
#[derive(Debug, Args)]
pub(crate) struct RequestInstall {
    #[command(flatten)]
    pub(crate) way: WayToTsm,
    /// The GUID of the gateway's card
    #[arg(long, value_name = "GUID")]
    pub(crate) guid: CardId,
    /// What is asked for
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) grants: PathBuf,
    /// An energy application that is to run on the gateway
    #[arg(long, value_name = "FILE.wasm")]
    pub(crate) application: Option<PathBuf>,
    /// The application's name and version, for the consumer; its file's name if it is not said
    #[arg(long, value_name = "NAME", requires = "application")]
    pub(crate) application_name: Option<ApplicationName>,
    /// What the application is to be run on, with which parameters, and when
    #[arg(long, value_name = "FILE.toml", requires = "application")]
    pub(crate) assignment: Option<PathBuf>,
}

/// `supplier app`
#[derive(Debug, Subcommand)]
pub(crate) enum App {
    /// Signs the package of an application as its author: no gateway takes one that is not signed
    Sign(SignApplication),
}

/// `supplier app sign`
#[derive(Debug, Args)]
pub(crate) struct SignApplication {
    /// The package, as it was built
    #[arg(value_name = "FILE.wasm")]
    pub(crate) file: PathBuf,
    /// The supplier's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// Where the signed package goes; in the place of the other if it is not said
    #[arg(long, value_name = "FILE.wasm")]
    pub(crate) out: Option<PathBuf>,
    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `supplier requests`
#[derive(Debug, Args)]
pub(crate) struct Requests {
    #[command(flatten)]
    pub(crate) way: WayToTsm,
}

/// Who asks the TSM, and where it is.
#[derive(Debug, Args)]
pub(crate) struct WayToTsm {
    /// The supplier's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// Where the TSM listens
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) tsm: GatewayAddress,
    /// Print one line of JSON per request
    #[arg(long)]
    pub(crate) json: bool,
}

/// `supplier crl`
#[derive(Debug, Args)]
pub(crate) struct Crl {
    /// The supplier's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    #[command(flatten)]
    pub(crate) from: ListPlace,
    /// Print the result as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where lists are taken from.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ListPlace {
    /// The trust centre's directory
    #[arg(long = "from", value_name = "http://HOST:PORT")]
    pub(crate) directory: Option<String>,
    /// A file with a list, PEM or DER; may be repeated
    #[arg(long = "file", value_name = "FILE.crl")]
    pub(crate) files: Vec<PathBuf>,
}

/// `supplier init`
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The supplier's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// The supplier's name, as certificates carry it
    #[arg(long, value_name = "NAME")]
    pub(crate) name: PartyName,
    /// Print the result as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Arguments::command().debug_assert();
        for line in [
            "supplier init --home d --name n",
            "supplier crl --home d --from http://[::1]:8610",
            "supplier crl --home d --file a --file b --json",
        ] {
            assert!(Arguments::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        assert!(Arguments::try_parse_from("supplier crl --home d".split(' ')).is_err());
    }

    #[test]
    fn tsm_is_asked_for_grants_and_applications() {
        let line = "supplier request-install --home d --tsm [::1]:1 --guid fd5a::1 --grants g.toml";
        for rest in [
            "",
            " --application a.wasm",
            " --application a.wasm --application-name T1 --json",
        ] {
            assert!(
                Arguments::try_parse_from(format!("{line}{rest}").split(' ')).is_ok(),
                "{rest}"
            );
        }
        assert!(Arguments::try_parse_from(format!("{line} --application-name T").split(' ')).is_err());
        assert!(
            Arguments::try_parse_from("supplier requests --home d --tsm [::1]:1 --json".split(' ')).is_ok()
        );
    }
}
