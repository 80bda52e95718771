//! `smgw doctor`: the examination, and the catalogue of codes.

use std::process::ExitCode;

use clap::Args;

use super::{ConfigFile, FAILURE, fail, show};
use crate::codes::{self, CatalogueView};
use crate::doctor::examine;
use crate::mbus::session::{end_progress, show_progress};

/// Options of `smgw doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 nothing is wrong, 1 something is, or there is no such code, 2 wrong usage. Notices are no fault."
)]
pub(super) struct DoctorOptions {
    /// Say what a code stands for, such as SMGW-C-0101 or C-0101, or print them all: `all`.
    #[arg(long, value_name = "CODE")]
    explain: Option<String>,
    /// Print the catalogue of codes.
    #[arg(long, conflicts_with = "explain")]
    list: bool,
    /// Print one JSON document (schema smgw.doctor/1, and smgw.codes/1 of codes).
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

/// The code is none.
#[derive(Debug, thiserror::Error)]
#[error("there is no code {0:?}; smgw doctor --list prints them all")]
struct UnknownCode(String);

impl DoctorOptions {
    pub(super) fn run(self) -> ExitCode {
        let Self {
            explain,
            list,
            json,
            file,
        } = self;
        match explain {
            Some(all) if all == "all" => show(&CatalogueView::of(codes::all()), json),
            Some(code) => match codes::find(&code) {
                Some(found) => show(&CatalogueView::of(std::iter::once(found)), json),
                None => fail(FAILURE, &UnknownCode(code)),
            },
            None if list => show(&CatalogueView::of(codes::all()), json),
            None => {
                let examination = examine(&file.config, show_progress);
                end_progress();
                let shown = show(&examination, json);
                if examination.is_well() || shown != ExitCode::SUCCESS {
                    shown
                } else {
                    ExitCode::from(FAILURE)
                }
            }
        }
    }
}
