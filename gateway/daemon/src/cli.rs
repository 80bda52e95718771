//! The command line. Results go to standard output, everything else to standard error.

mod config;
mod doctor;
mod grants;
mod identity;
mod log;
mod meter;
pub(crate) mod ordering;
mod readings;
mod report;
mod selftest;
mod wan;
mod watch;
mod web;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use serde::Serialize;

use crate::again;
use crate::app::{self, AppCommand};
use crate::binding::{BindingView, ConfirmationView};
use crate::card::{Apdus, CardView, Confirmation, DirectCard, Slot, relay_lines};
#[cfg(feature = "manual")]
use crate::codes;
use crate::config::Config;
use crate::diagnostics;
use crate::life::{self, End};
use crate::local::control::{self, ControlError};
use crate::mbus;
use crate::modbus;
use crate::report::Chain;
use config::ConfigCommand;
use doctor::DoctorOptions;
use grants::GrantsCommand;
use identity::IdentityOptions;
use log::LogCommand;
use meter::MeterCommand;
use readings::ReadingsOptions;
use report::ReportOptions;
use selftest::SelftestOptions;
use wan::WanCommand;
use watch::{Watched, schema_watched};
use web::WebCommand;

/// The configuration file of an installed gateway.
pub(crate) const DEFAULT_CONFIG: &str = "/etc/smgw/smgw.toml";

/// The exit codes, after sysexits.h where that has one.
pub(crate) const FAILURE: u8 = 1;
const UNAVAILABLE: u8 = 69;
const REFUSED: u8 = 77;
pub(crate) const CONFIGURATION: u8 = 78;

/// What the exit codes mean, on every help page that does not say it itself.
const EXIT_CODES: &str = "Exit codes: 0 done, 1 failure, 2 wrong usage, 3 bad input or a damaged log, 69 no daemon answers, 77 refused, 78 wrong configuration.";

/// Smart-meter gateway: polls meters, keeps what they say, and hands it to whom the card permits.
#[derive(Debug, Parser)]
#[command(name = "smgw", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the gateway until it is stopped by SIGTERM or SIGINT.
    Run(ConfigFile),
    /// Shows the state of the gateway that is running: binding, meters, last values.
    #[command(mut_arg("json", schema_watched("smgw.status/1")))]
    Status(Watched),
    /// Examines the gateway part by part: what is wrong, why, and what to do; or explains a code.
    Doctor(DoctorOptions),
    /// Looks after the once-only binding to the card.
    Binding {
        #[command(subcommand)]
        command: BindingCommand,
    },
    /// Shows and verifies the three logs: system, consumer, calibration.
    Log {
        #[command(subcommand)]
        command: LogCommand,
    },
    /// Shows and explains who may have what, and restricts it.
    Grants {
        #[command(subcommand)]
        command: GrantsCommand,
    },
    /// Looks after the passwords and the certificate of the local web.
    Web {
        #[command(subcommand)]
        command: WebCommand,
    },
    /// Looks after energy applications.
    App {
        #[command(subcommand)]
        command: AppCommand,
    },
    /// Runs one job of an energy application; the daemon starts it.
    #[command(name = "app-host", hide = true)]
    AppHost,
    /// Speaks to M-Bus meters, and reads what they have said.
    Mbus {
        #[command(subcommand)]
        command: mbus::MbusCommand,
    },
    /// Looks at the card in the reader, tests it, and lets its trust centre speak to it.
    Card {
        #[command(subcommand)]
        command: CardCommand,
    },
    /// Shows the meters of the running gateway, and how each is read.
    Meter {
        #[command(subcommand)]
        command: MeterCommand,
    },
    /// Shows registered values of the running gateway.
    Readings(ReadingsOptions),
    /// Shows how the gateway is reached from outside, and what is in the way.
    Wan {
        #[command(subcommand)]
        command: WanCommand,
    },
    /// Shows who the gateway is: GUID, certificates, the fingerprint for the label, versions.
    Identity(IdentityOptions),
    /// Makes one document for whoever helps, without consumption and without secrets.
    Report(ReportOptions),
    /// Looks after the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Speaks to Modbus meters, and looks after their profiles.
    Modbus {
        #[command(subcommand)]
        command: modbus::Command,
    },
    /// Writes man pages and completions into a folder, for packages.
    #[cfg(feature = "manual")]
    #[command(hide = true)]
    Generate(manual::Options),
    /// Writes the catalogue of systemd's journal into a file, for packages.
    #[cfg(feature = "manual")]
    #[command(hide = true)]
    Catalogue {
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum BindingCommand {
    /// Shows what is burned, where it stands, how sound each part is, and what was repaired at the last start.
    Show {
        #[command(flatten)]
        file: ConfigFile,
        /// Print one JSON document (schema smgw.binding/1).
        #[arg(long)]
        json: bool,
    },
    /// Binds the card in the reader, for good, if its GUID ends with these characters; ends with 1 if it does not.
    ///
    /// If the gateway is bound to this card and does not serve, it is paired once more, also when few tries are left. If a
    /// binding has begun with another card, this one takes its place.
    Confirm(ConfirmOptions),
}

#[derive(Debug, Args)]
struct ConfirmOptions {
    /// The last four characters of the GUID, from the card's label.
    characters: String,
    #[command(flatten)]
    file: ConfigFile,
    /// Print one JSON document (schema smgw.binding-confirm/1).
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum CardCommand {
    /// Shows reader, ATR, life cycle, GUID and certificates. Asks the daemon; looks itself if none runs.
    Status(CardOptions),
    /// Says what would keep the card from being bound, or from serving this gateway; ends with 1 if anything does.
    Check(CardOptions),
    /// Runs card scripts: commands, and the answers that every card for a gateway has to give.
    ///
    /// Without --dangerous only those that leave the card as it is. Stop the gateway first.
    Selftest(SelftestOptions),
    /// Passes the trust centre's commands to the card: each line of hexadecimal commands is answered by a line. For
    /// `trust-center unlock --relay`; whoever carries the lines can neither read nor forge what they mean.
    Relay(ConfigFile),
}

#[derive(Debug, Args)]
struct CardOptions {
    #[command(flatten)]
    file: ConfigFile,
    /// Print one JSON document (schema smgw.card/1).
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
}

/// Carries out what the command line says, and returns the exit code. One that is not understood, or asks for help, ends
/// the process.
pub(crate) fn run() -> ExitCode {
    let matches = command().get_matches();
    match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli.run(),
        Err(error) => error.exit(),
    }
}

/// Returns the command line with the exit codes on every page.
fn command() -> clap::Command {
    with_exit_codes(Cli::command())
}

/// Says on the help page of one of several commands with the same options in which schema its document is.
pub(crate) fn schema(name: &'static str) -> impl FnOnce(clap::Arg) -> clap::Arg {
    move |json| json.help(format!("Print one JSON document (schema {name})"))
}

fn with_exit_codes(command: clap::Command) -> clap::Command {
    let command = command.mut_subcommands(with_exit_codes);
    if command.get_after_help().is_some() {
        command
    } else {
        command.after_help(EXIT_CODES)
    }
}

impl Cli {
    /// Carries out the command and returns the exit code.
    fn run(self) -> ExitCode {
        match self.command {
            Command::Run(file) => with_config(file.config, |config| match life::run(config) {
                Ok(End::Stopped) => ExitCode::SUCCESS,
                Ok(End::Restart) => start_again(),
                Err(error) => fail(FAILURE, &error),
            }),
            Command::Status(watched) => {
                watched.run(|config, json| answer(control::ask(&config.control_socket), json))
            }
            Command::Doctor(options) => options.run(),
            Command::Meter { command } => command.run(),
            Command::Readings(options) => options.run(),
            Command::Wan { command } => command.run(),
            Command::Identity(options) => options.run(),
            Command::Report(options) => options.run(),
            #[cfg(feature = "manual")]
            Command::Generate(options) => done(&options.write(command())),
            #[cfg(feature = "manual")]
            Command::Catalogue { file } => {
                let written = std::fs::write(&file, codes::catalogue())
                    .map_err(|source| manual::ManualError { folder: file, source });
                done(&written)
            }
            Command::Binding {
                command: BindingCommand::Show { file, json },
            } => with_config(file.config, |config| {
                let view = control::ask_for::<BindingView>(&config.control_socket, control::BINDING);
                answer(view, json)
            }),
            Command::Binding {
                command: BindingCommand::Confirm(options),
            } => confirm(options),
            Command::Log { command } => command.run(),
            Command::Grants { command } => command.run(),
            Command::Web { command } => command.run(),
            Command::App { command } => command.run(),
            Command::AppHost => app::serve(),
            Command::Mbus { command } => command.run(),
            Command::Card {
                command: CardCommand::Status(CardOptions { file, json }),
            } => with_config(file.config, |config| answer(card(&config), json)),
            Command::Card {
                command: CardCommand::Check(CardOptions { file, json }),
            } => with_config(file.config, |config| {
                let view = card(&config);
                let in_order = view.as_ref().is_ok_and(CardView::is_in_order);
                let shown = answer(view, json);
                if in_order || shown != ExitCode::SUCCESS {
                    shown
                } else {
                    ExitCode::from(FAILURE)
                }
            }),
            Command::Card {
                command: CardCommand::Selftest(options),
            } => options.run(),
            Command::Card {
                command: CardCommand::Relay(file),
            } => with_config(file.config, |config| relay(&config)),
            Command::Config { command } => command.run(),
            Command::Modbus { command } => command.run(),
        }
    }
}

/// Starts the daemon again in its own process. A service manager that looks after it does that by itself, when it has ended.
fn start_again() -> ExitCode {
    if std::env::var_os("NOTIFY_SOCKET").is_some() {
        return ExitCode::SUCCESS;
    }
    fail(FAILURE, &again::start(&[]))
}

fn confirm(options: ConfirmOptions) -> ExitCode {
    let ConfirmOptions {
        characters,
        file,
        json,
    } = options;
    with_config(file.config, |config| {
        let confirmation = Confirmation { characters };
        let outcome =
            control::order::<ConfirmationView>(&config.control_socket, control::CONFIRM, &confirmation);
        let is_bound = outcome.as_ref().is_ok_and(ConfirmationView::is_bound);
        let shown = answer(outcome, json);
        if is_bound || shown != ExitCode::SUCCESS {
            shown
        } else {
            ExitCode::from(FAILURE)
        }
    })
}

/// Has the daemon pass on what the trust centre says, or does it itself if none runs.
fn relay(config: &Config) -> ExitCode {
    let (input, output) = (io::stdin().lock(), io::stdout().lock());
    let ask = |commands: &Apdus| control::order::<Apdus>(&config.control_socket, control::RELAY, commands);
    if !matches!(ask(&Apdus::default()), Err(ControlError::NoDaemon { .. })) {
        return done(&relay_lines(input, output, ask));
    }
    match DirectCard::open(&Slot::new(config.card.slot.clone())) {
        Ok(mut card) => done(&relay_lines(input, output, |commands| card.pass(commands))),
        Err(fault) => fail(FAILURE, &fault),
    }
}

fn done<E: std::error::Error>(outcome: &Result<(), E>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILURE, error),
    }
}

fn with_config(file: PathBuf, then: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    read_config(file).map_or_else(|failed| failed, then)
}

fn read_config(file: PathBuf) -> Result<Config, ExitCode> {
    Config::read(&file).map_err(|error| fail(CONFIGURATION, &error))
}

/// Has the daemon look at the card, which it has to itself; without one nobody has.
fn card(config: &Config) -> Result<CardView, ControlError> {
    match control::ask_for(&config.control_socket, control::CARD) {
        Err(ControlError::NoDaemon { .. }) => Ok(crate::card::inspect(
            &Slot::new(config.card.slot.clone()),
            None,
            None,
        )),
        answer => answer,
    }
}

/// Shows what the daemon answered, for people or as JSON.
fn answer<T: Display + Serialize>(answer: Result<T, ControlError>, json: bool) -> ExitCode {
    match answer {
        Ok(shown) => show(&shown, json),
        Err(error @ ControlError::NoDaemon { .. }) => fail(UNAVAILABLE, &error),
        Err(error @ ControlError::NotPermitted { .. }) => fail(REFUSED, &error),
        Err(error) => fail(FAILURE, &error),
    }
}

/// Shows something for people or as JSON.
fn show<T: Display + Serialize>(shown: &T, json: bool) -> ExitCode {
    if !json {
        return print(&shown.to_string());
    }
    match serde_json::to_string(shown) {
        Ok(text) => print(&format!("{text}\n")),
        Err(error) => fail(FAILURE, &error),
    }
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILURE, &error),
    }
}

/// Says on standard error what failed. If even that fails, the exit code still tells.
pub(crate) fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    let level = diagnostics::error_prefix();
    drop(writeln!(io::stderr(), "{level}smgw: {}", Chain(error)));
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    /// Checks a page and those below it.
    fn says_exit_codes(page: &clap::Command, path: &str) {
        let path = format!("{path} {}", page.get_name());
        let after = page.get_after_help().map(ToString::to_string);
        assert!(
            after.is_some_and(|after| after.contains("Exit codes: 0 ")),
            "{path}"
        );
        page.get_subcommands()
            .for_each(|below| says_exit_codes(below, &path));
    }

    #[test]
    fn every_page_says_what_the_exit_codes_mean() {
        says_exit_codes(&command(), "");
    }

    /// What prints no document: it runs until it is stopped, passes lines on, or writes files for packages; a report is one document
    /// without being asked for it.
    const WITHOUT_JSON: [&str; 5] = [
        " smgw run",
        " smgw app-host",
        " smgw card relay",
        " smgw generate",
        " smgw catalogue",
    ];

    #[test]
    fn every_command_prints_json_if_it_is_asked_to() {
        fn check(page: &clap::Command, path: &str) {
            let path = format!("{path} {}", page.get_name());
            let is_leaf = page.get_subcommands().next().is_none();
            let has_json = page.get_arguments().any(|argument| argument.get_id() == "json");
            let is_without = WITHOUT_JSON.contains(&path.as_str());
            assert!(!is_leaf || has_json != is_without, "{path}");
            page.get_subcommands().for_each(|below| check(below, &path));
        }
        check(&command(), "");
    }

    #[test]
    fn json_names_its_schema_on_every_page_that_has_it() {
        fn check(page: &clap::Command) {
            let json = page.get_arguments().find(|argument| argument.get_id() == "json");
            if let Some(help) = json.and_then(clap::Arg::get_help) {
                let help = help.to_string();
                let after = page.get_after_help().map(ToString::to_string).unwrap_or_default();
                let named = help.contains("smgw.") || after.contains("smgw.");
                assert!(named, "{}: {help}", page.get_name());
            }
            page.get_subcommands().for_each(check);
        }
        check(&command());
    }
}
