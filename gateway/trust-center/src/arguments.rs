//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use counterparty::exchange::GatewayAddress;
use messages::certificate::PartyName;
use model::CardId;

use crate::books::GuidPrefix;

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
    /// Personalises a blank card
    Personalize(Personalize),
    /// Makes first contact with a gateway and installs a supplier's grants
    Install(Install),
    /// Gives a card whose pairing is blocked all its tries back
    Unlock(CardAct),
    /// Ends the life of a bound card, for good
    Terminate(CardAct),
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
}

/// `trust-center init`
#[derive(Debug, Args)]
pub(crate) struct Init {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The trust centre's name, as certificates and cards carry it
    #[arg(long, value_name = "NAME")]
    pub(crate) name: PartyName,
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
    /// Keep every message as it went over the WAN in this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
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
            "trust-center install --home d --guid fd5a::1 --gateway [::1]:1 --supplier s --grants g.toml --json",
            "trust-center install --home d --guid fd5a::1 --gateway [::1]:1 --supplier s --grants g.toml --keep k",
            "trust-center unlock --home d --guid fd5a::1 --relay cat --json",
            "trust-center unlock --home d --guid fd5a::1 --gateway [::1]:1",
            "trust-center terminate --home d --guid fd5a::1 --gateway [::1]:1 --json",
        ] {
            assert!(Arguments::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        for line in [
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
