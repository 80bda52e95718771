//! `smgw card selftest`: the card scripts on the card in the reader.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{ConfigFile, FAILURE, REFUSED, fail, print, with_config};
use crate::card::{Order, SelftestView, Slot, selftest};

/// Options of `smgw card selftest`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 every script that ran passed, 1 one did not, none was for this card, or the card is out of reach, 2 wrong usage, 77 --dangerous is refused: this is no bench, or the confirmation is not this card's, 78 wrong configuration."
)]
pub(super) struct SelftestOptions {
    #[command(flatten)]
    file: ConfigFile,
    /// Run the scripts too that write to the card, lock it, bind it or end its life.
    ///
    /// That is for cards on a bench: a configuration is refused whose data folder keeps a gateway's bindings.
    #[arg(long)]
    dangerous: bool,
    /// The last four characters of the card's GUID, as `smgw card status` shows it, or `blank`.
    #[arg(long, value_name = "CHARACTERS", requires = "dangerous")]
    confirm: Option<String>,
    /// Print one JSON document (schema smgw.card-selftest/1).
    #[arg(long)]
    json: bool,
    /// Card scripts to run in place of those that are built in (their form: gateway/card/src/script.rs).
    #[arg(value_name = "SCRIPT")]
    scripts: Vec<PathBuf>,
}

impl SelftestOptions {
    pub(super) fn run(self) -> ExitCode {
        let Self {
            file,
            dangerous,
            confirm,
            json,
            scripts,
        } = self;
        let order = Order {
            dangerous,
            confirmation: confirm,
            files: scripts,
        };
        with_config(file.config, |config| {
            let slot = Slot::new(config.card.slot.clone());
            match selftest(&slot, &config.data, &order) {
                Ok(view) => show(&view, json),
                Err(error) if error.is_refusal() => fail(REFUSED, &error),
                Err(error) => fail(FAILURE, &error),
            }
        })
    }
}

fn show(view: &SelftestView, json: bool) -> ExitCode {
    let printed = if json {
        match serde_json::to_string(view) {
            Ok(text) => print(&format!("{text}\n")),
            Err(error) => return fail(FAILURE, &error),
        }
    } else {
        print(&view.to_string())
    };
    if view.has_passed() {
        printed
    } else {
        ExitCode::from(FAILURE)
    }
}
