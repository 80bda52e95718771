//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use counterparty::exchange::GatewayAddress;
use messages::certificate::{DnsName, PartyName, RevocationReason};
use messages::content::MessageId;
use model::CardId;

use crate::books::{GuidPrefix, RequestState};
use crate::facility::FacilityCommand;
use crate::keys::Secrets;

/// Trust centre: authority, personalisation of cards, and as TSM the first contact with gateways.
#[derive(Debug, Parser)]
#[command(name = "trust-center", version, about)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The acts of the trust centre.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes the authority and the TSM, with their keys and certificates
    Init(Init),
    /// Certifies a supplier on its requests
    Certify(Certify),
    /// Certifies a second facility on its requests
    CertifyFacility(CertifyFacility),
    /// Certifies a broker, a server that is reached by DNS names, on its request
    CertifyBroker(CertifyBroker),
    /// Prints the access rules with which a broker (Mosquitto) serves gateways, suppliers and the TSM
    BrokerAcl(BrokerAcl),
    /// Issues new certificates in place of those that expire
    Renew(Renew),
    /// Revokes certificates
    Revoke(Revoke),
    /// Signs the lists of revoked certificates
    Crl(Crl),
    /// Personalises a blank card, or a batch of them
    Personalize(Personalize),
    /// Personalises cards at two facilities: what the trust centre serves, and what the second facility does
    Facility {
        /// What to do.
        #[command(subcommand)]
        command: FacilityCommand,
    },
    /// Shows the books, or verifies that nobody has altered them
    Records {
        /// What to do.
        #[command(subcommand)]
        command: Records,
    },
    /// Moves the books to another database
    Books {
        /// What to do.
        #[command(subcommand)]
        command: BooksCommand,
    },
    /// Publishes certificates and lists of revoked ones
    Directory {
        /// What to do.
        #[command(subcommand)]
        command: Directory,
    },
    /// Makes first contact with a gateway and installs a supplier's grants
    Install(Install),
    /// Serves suppliers as TSM, visits gateways, and decides on what suppliers ask for
    Tsm {
        /// What to do.
        #[command(subcommand)]
        command: Tsm,
    },
    /// Shows how gateways are, by their signed reports
    Gateways {
        /// What to do.
        #[command(subcommand)]
        command: Gateways,
    },
    /// Gives a card whose pairing is blocked all its tries back
    Unlock(CardAct),
    /// Ends the life of a bound card, for good
    Terminate(CardAct),
    /// Writes man pages and completions into a folder, for packages
    #[cfg(feature = "manual")]
    #[command(hide = true)]
    Generate(manual::Options),
}

/// Where the trust centre is, and how it answers.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The trust centre's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// Print the result as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) secrets: Secrets,
}

/// `trust-center init`
#[derive(Debug, Args)]
pub(crate) struct Init {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The trust centre's name, as certificates and cards carry it
    #[arg(long, value_name = "NAME")]
    pub(crate) name: PartyName,
    /// Keep the books on a PostgreSQL server instead of a file in the folder; a password belongs into PGPASSFILE
    #[arg(long, value_name = "postgres://USER@HOST/DATABASE")]
    pub(crate) books: Option<String>,
    /// Make the keys that issue certificates in an HSM, by its PKCS#11 library
    #[arg(long, value_name = "LIBRARY", requires = "hsm_token")]
    pub(crate) hsm_module: Option<PathBuf>,
    /// The label of the HSM's token
    #[arg(long, value_name = "LABEL", requires = "hsm_module")]
    pub(crate) hsm_token: Option<String>,
}

/// `trust-center certify`
#[derive(Debug, Args)]
pub(crate) struct Certify {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The supplier's folder, with sig.csr, enc.csr and tls.csr
    #[arg(long, value_name = "SUPPLIER_HOME")]
    pub(crate) requests: PathBuf,
}

/// `trust-center certify-facility`
#[derive(Debug, Args)]
pub(crate) struct CertifyFacility {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The facility's folder, with sig.csr, enc.csr and tls.csr
    #[arg(long, value_name = "FACILITY_HOME")]
    pub(crate) requests: PathBuf,
}

/// `trust-center certify-broker`
#[derive(Debug, Args)]
pub(crate) struct CertifyBroker {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The broker's request for a certificate (PKCS#10, PEM)
    #[arg(long, value_name = "FILE.csr")]
    pub(crate) request: PathBuf,
    /// A DNS name by which it is reached
    #[arg(long, value_name = "NAME", required = true)]
    pub(crate) dns: Vec<DnsName>,
    /// Where its certificate and that of its issuing authority go
    #[arg(long, value_name = "FILE.pem")]
    pub(crate) out: PathBuf,
}

/// `trust-center broker-acl`
#[derive(Debug, Args)]
pub(crate) struct BrokerAcl {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Name each gateway whose card is alive, instead of patterns that hold for all of them
    #[arg(long)]
    pub(crate) gateways: bool,
}

/// `trust-center renew`
#[derive(Debug, Args)]
pub(crate) struct Renew {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) whose: Renewed,
}

/// Whose certificates are renewed.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Renewed {
    /// The TSM, with new keys
    #[arg(long)]
    pub(crate) tsm: bool,
    /// The issuing authority, with a new key, in the HSM if the former one is there; what that one has issued holds on
    #[arg(long)]
    pub(crate) issuing: bool,
    /// The card with this GUID, for the keys that it has
    #[arg(long, value_name = "GUID")]
    pub(crate) guid: Option<CardId>,
    /// The supplier of this folder, on the requests in it
    #[arg(long, value_name = "SUPPLIER_HOME")]
    pub(crate) requests: Option<PathBuf>,
}

/// `trust-center revoke`
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) whose: Revoked,
    /// Why: unspecified, key-compromise, authority-compromise, affiliation-changed, superseded, cessation-of-operation or
    /// privilege-withdrawn
    #[arg(long, value_name = "REASON")]
    pub(crate) reason: RevocationReason,
}

/// Whose certificates are revoked.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Revoked {
    /// All of the card with this GUID
    #[arg(long, value_name = "GUID")]
    pub(crate) guid: Option<CardId>,
    /// All of the supplier or broker of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<PartyName>,
    /// The one in this file
    #[arg(long, value_name = "FILE.pem")]
    pub(crate) certificate: Option<PathBuf>,
}

/// `trust-center crl`
#[derive(Debug, Args)]
pub(crate) struct Crl {
    #[command(flatten)]
    pub(crate) common: Common,
    /// In how many days the next lists are due
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=366))]
    pub(crate) days: u32,
    /// Leave the root's list as it is, so that its key is not needed
    #[arg(long)]
    pub(crate) issuing_only: bool,
}

/// `trust-center records`
#[derive(Debug, Subcommand)]
pub(crate) enum Records {
    /// Prints the records, oldest first
    Show(ShowRecords),
    /// Walks the chain of the records and compares the tables with it; exit code 3 if something was altered
    Verify(Common),
}

/// `trust-center records show`
#[derive(Debug, Args)]
pub(crate) struct ShowRecords {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Only those behind this number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) behind: u64,
}

/// `trust-center books`
#[derive(Debug, Subcommand)]
pub(crate) enum BooksCommand {
    /// Moves the books from the file to a PostgreSQL server; cut off, the same command continues
    Move(MoveBooks),
}

/// `trust-center books move`
#[derive(Debug, Args)]
pub(crate) struct MoveBooks {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The database, which is empty yet: postgres://USER@HOST/DATABASE. A file (--to-file) hides a password from others
    #[arg(long, value_name = "URL", required_unless_present = "to_file")]
    pub(crate) to: Option<String>,
    /// A file with that address; /dev/fd/N is a descriptor
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    pub(crate) to_file: Option<PathBuf>,
}

/// `trust-center directory`
#[derive(Debug, Subcommand)]
pub(crate) enum Directory {
    /// Serves certificates by GUID, and lists of revoked ones, over HTTP
    Serve(ServeDirectory),
    /// Brings an LDAP server up to date with them
    Publish(PublishDirectory),
}

/// `trust-center directory publish`
#[derive(Debug, Args)]
pub(crate) struct PublishDirectory {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The server: ldap://HOST or ldaps://HOST, with :PORT if it has another one
    #[arg(long, value_name = "URL")]
    pub(crate) ldap: String,
    /// The entry below which everything is put; it must be there
    #[arg(long, value_name = "DN")]
    pub(crate) base: String,
    /// As whom to write
    #[arg(long, value_name = "DN", requires = "password_file")]
    pub(crate) bind: Option<String>,
    /// The file with the password; /dev/fd/N is a descriptor
    #[arg(long, value_name = "FILE", requires = "bind")]
    pub(crate) password_file: Option<PathBuf>,
    /// Go on with TLS on a connection to ldap://
    #[arg(long)]
    pub(crate) starttls: bool,
    /// The authorities of which one has certified the server, PEM
    #[arg(long, value_name = "FILE.pem")]
    pub(crate) ca: Option<PathBuf>,
}

/// `trust-center directory serve`
#[derive(Debug, Args)]
pub(crate) struct ServeDirectory {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Where to listen; port 0 is any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "[::1]:8610")]
    pub(crate) listen: std::net::SocketAddr,
}

/// `trust-center personalize`
#[derive(Debug, Args)]
pub(crate) struct Personalize {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The card: pcsc:READER is the card in a reader, named as `opensc-tool -l` does; soft:FILE is a card in a file,
    /// blank if the file is not there yet
    #[arg(long, value_name = "CARD")]
    pub(crate) card: CardPlace,
    /// The upper half of the GUID; the lower one is random
    #[arg(long, value_name = "ADDRESS/64", default_value = GuidPrefix::DEFAULT)]
    pub(crate) prefix: GuidPrefix,
    /// Make the GUID of the card's public key instead
    #[arg(long, conflicts_with = "prefix")]
    pub(crate) guid_from_key: bool,
    /// Make the keys SIG, ENC and TLS here instead of on the card, which then keeps them for good; they are in memory
    /// only. Nobody may listen to the reader
    #[arg(long)]
    pub(crate) keys_from_center: bool,
    /// Personalise this many cards; soft:FOLDER is then a folder of cards in files. The same command takes a batch up
    /// again that was cut off
    #[arg(long, value_name = "CARDS", requires = "labels", value_parser = clap::value_parser!(u32).range(1..=99_999))]
    pub(crate) batch: Option<u32>,
    /// Where the labels of the batch go
    #[arg(long, value_name = "DIR", requires = "batch")]
    pub(crate) labels: Option<PathBuf>,
}

/// `trust-center install`
#[derive(Debug, Args)]
pub(crate) struct Install {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The GUID of the gateway's card
    #[arg(long, value_name = "GUID")]
    pub(crate) guid: CardId,
    /// Where the gateway listens
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) gateway: GatewayAddress,
    /// The supplier's folder; the gateway's certificates are put into it
    #[arg(long, value_name = "SUPPLIER_HOME")]
    pub(crate) supplier: PathBuf,
    /// What the supplier is to have
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) grants: PathBuf,
    /// An energy application that is to run on the gateway, signed by its author; in place of the supplier's earlier ones
    #[arg(long, value_name = "FILE.wasm")]
    pub(crate) application: Option<PathBuf>,
    /// What the application is run on, with which parameters, and when
    #[arg(long, value_name = "FILE.toml", requires = "application")]
    pub(crate) assignment: Option<PathBuf>,
    /// Keep every message as it went over the WAN in this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// Show what would change on the gateway, and change nothing; nobody is asked
    #[arg(long, conflicts_with = "keep")]
    pub(crate) dry_run: bool,
}

/// `trust-center tsm`
#[derive(Debug, Subcommand)]
pub(crate) enum Tsm {
    /// Takes suppliers' requests over mutual TLS, and visits gateways for which something is due
    Serve(ServeTsm),
    /// Shows suppliers' requests and decides on them
    Requests {
        /// What to do.
        #[command(subcommand)]
        command: Requests,
    },
}

/// `trust-center tsm serve`
#[derive(Debug, Args)]
pub(crate) struct ServeTsm {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Where to listen; port 0 is any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "[::1]:8150")]
    pub(crate) listen: std::net::SocketAddr,
}

/// `trust-center tsm requests`
#[derive(Debug, Subcommand)]
pub(crate) enum Requests {
    /// Lists requests, oldest first
    List(ListRequests),
    /// Shows a request, and what its installation would change on the gateway
    Show(OneRequest),
    /// Approves a request, with what the policy leaves of it
    Approve(OneRequest),
    /// Rejects a request
    Reject(RejectRequest),
}

/// `trust-center tsm requests list`
#[derive(Debug, Args)]
pub(crate) struct ListRequests {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Only those that are waiting, approved, installed, rejected, failed or superseded
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<RequestState>,
}

/// `trust-center tsm requests show` and `approve`
#[derive(Debug, Args)]
pub(crate) struct OneRequest {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The request
    #[arg(value_name = "ID")]
    pub(crate) id: MessageId,
}

/// `trust-center tsm requests reject`
#[derive(Debug, Args)]
pub(crate) struct RejectRequest {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The request
    #[arg(value_name = "ID")]
    pub(crate) id: MessageId,
    /// Why, for the supplier
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
}

/// `trust-center gateways`
#[derive(Debug, Subcommand)]
pub(crate) enum Gateways {
    /// Lists the gateways, with a forecast of certificates that end
    List(ListGateways),
    /// Shows one gateway
    Show(ShowGateway),
    /// Takes note of gateways, and where they listen if it is not their GUID, port 8443
    Register(RegisterGateways),
}

/// `trust-center gateways list`
#[derive(Debug, Args)]
pub(crate) struct ListGateways {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Only those with a certificate that ends within so many days
    #[arg(long, value_name = "DAYS")]
    pub(crate) expiring_within: Option<u32>,
}

/// `trust-center gateways show`
#[derive(Debug, Args)]
pub(crate) struct ShowGateway {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The GUID of the gateway's card
    #[arg(long, value_name = "GUID")]
    pub(crate) guid: CardId,
}

/// `trust-center gateways register`
#[derive(Debug, Args)]
pub(crate) struct RegisterGateways {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The GUID of the gateway's card
    #[arg(
        long,
        value_name = "GUID",
        required_unless_present = "from",
        conflicts_with = "from"
    )]
    pub(crate) guid: Option<CardId>,
    /// Where it listens
    #[arg(long, value_name = "HOST:PORT", requires = "guid")]
    pub(crate) gateway: Option<GatewayAddress>,
    /// A list instead: on each line a GUID, and behind it HOST:PORT if the gateway does not listen at its GUID
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
}

/// `trust-center unlock` and `trust-center terminate`
#[derive(Debug, Args)]
pub(crate) struct CardAct {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The GUID of the card
    #[arg(long, value_name = "GUID")]
    pub(crate) guid: CardId,
    #[command(flatten)]
    pub(crate) way: WayArguments,
}

/// How the card is reached.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct WayArguments {
    /// Where its gateway listens; a card whose pairing is blocked serves no gateway and needs --relay
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) gateway: Option<GatewayAddress>,
    /// A command line that carries lines to and from the card, as `ssh GATEWAY smgw card relay`; it runs in sh, and can
    /// neither read nor forge what goes through it
    #[arg(long, value_name = "COMMAND")]
    pub(crate) relay: Option<String>,
}

/// Where a card is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CardPlace {
    /// In the PC/SC reader of that name.
    Pcsc(String),
    /// In a file.
    Soft(PathBuf),
}

impl FromStr for CardPlace {
    type Err = CardPlaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("pcsc", reader)) if !reader.is_empty() => Ok(Self::Pcsc(reader.to_owned())),
            Some(("soft", file)) if !file.is_empty() => Ok(Self::Soft(file.into())),
            _ => Err(CardPlaceError),
        }
    }
}

/// A text names no place of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a card's place has the form pcsc:READER or soft:FILE")]
pub(crate) struct CardPlaceError;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn contract_is_understood() {
        for line in [
            "trust-center init --home d --name n",
            "trust-center certify --home d --requests s --json",
            "trust-center personalize --home d --card soft:f --json",
            "trust-center personalize --home d --card soft:f --guid-from-key --passphrase-file /dev/fd/3",
            "trust-center personalize --home d --card soft:f --batch 10 --labels l",
            "trust-center certify-broker --home d --request r.csr --dns a.example --dns b.example --out r.pem",
            "trust-center renew --home d --tsm",
            "trust-center renew --home d --issuing",
            "trust-center revoke --home d --name n --reason key-compromise",
            "trust-center crl --home d --days 30 --issuing-only",
            "trust-center records show --home d --json",
            "trust-center records verify --home d",
            "trust-center certify-facility --home d --requests f",
            "trust-center facility init --home f --name n",
            "trust-center facility serve --home d --listen [::1]:0 --guid-from-key",
            "trust-center facility answer --home d --file a --out b",
            "trust-center facility export --home d --facility n --cards 500 --out b",
            "trust-center facility order --home f --center [::1]:1 --cards 500",
            "trust-center facility import --home f --file a --out b",
            "trust-center facility personalize --home f --center [::1]:1 --card soft:c --batch 3 --labels l",
            "trust-center facility report --home f --out b",
            "trust-center books move --home d --to postgres://centre@db/books",
            "trust-center directory serve --home d --listen [::1]:0",
            "trust-center directory publish --home d --ldap ldaps://db --base dc=example --ca c.pem",
            "trust-center directory publish --home d --ldap ldap://db --base dc=e --bind cn=a --password-file p --starttls",
            "trust-center install --home d --guid fd5a::1 --gateway [::1]:1 --supplier s --grants g.toml --json",
            "trust-center install --home d --guid fd5a::1 --gateway [::1]:1 --supplier s --grants g.toml --keep k",
            "trust-center install --home d --guid fd5a::1 --gateway [::1]:1 --supplier s --grants g.toml --dry-run",
            "trust-center tsm serve --home d --listen [::1]:0 --json",
            "trust-center tsm requests list --home d --state waiting",
            "trust-center tsm requests show --home d 00112233445566778899aabbccddeeff --json",
            "trust-center tsm requests approve --home d 00112233445566778899aabbccddeeff",
            "trust-center tsm requests reject --home d 00112233445566778899aabbccddeeff --reason no",
            "trust-center gateways list --home d --expiring-within 90 --json",
            "trust-center gateways show --home d --guid fd5a::1",
            "trust-center gateways register --home d --guid fd5a::1 --gateway [::1]:1",
            "trust-center gateways register --home d --from list",
            "trust-center unlock --home d --guid fd5a::1 --relay cat --json",
            "trust-center unlock --home d --guid fd5a::1 --gateway [::1]:1",
            "trust-center terminate --home d --guid fd5a::1 --gateway [::1]:1 --json",
        ] {
            assert!(Arguments::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        for line in [
            "trust-center gateways register --home d",
            "trust-center gateways register --home d --from list --guid fd5a::1",
            "trust-center tsm requests list --home d --state asleep",
            "trust-center unlock --home d --guid fd5a::1",
            "trust-center terminate --home d --guid fd5a::1 --gateway [::1]:1 --relay cat",
        ] {
            assert!(Arguments::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn place_of_a_card_is_named() {
        assert_eq!("soft:a b".parse(), Ok(CardPlace::Soft("a b".into())));
        let reader = "Alpha: 00 00".to_owned();
        assert_eq!("pcsc:Alpha: 00 00".parse(), Ok(CardPlace::Pcsc(reader)));
        assert_eq!("pcsc:".parse::<CardPlace>(), Err(CardPlaceError));
        assert_eq!("soft:".parse::<CardPlace>(), Err(CardPlaceError));
        assert_eq!("reader:0".parse::<CardPlace>(), Err(CardPlaceError));
    }
}
