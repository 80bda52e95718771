//! `--watch`: the same again and again, until Ctrl-C.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{ConfigFile, FAILURE, fail, with_config};
use crate::config::Config;

/// How to begin at the top of an empty terminal (ECMA-48: cursor position, erase in page).
const FROM_THE_TOP: &str = "\x1b[H\x1b[2J";

/// Whether something is shown again, and how often.
#[derive(Debug, Args)]
struct Watch {
    /// Show it again every so many seconds, until Ctrl-C; on a terminal always in the same place.
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2",
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    watch: Option<u64>,
}

impl Watch {
    /// Shows it once, or until nobody reads it any more. A daemon that is away may come back.
    fn run(&self, mut once: impl FnMut() -> ExitCode) -> ExitCode {
        let Some(seconds) = self.watch else {
            return once();
        };
        let runtime = match tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
        {
            Ok(runtime) => runtime,
            Err(error) => return fail(FAILURE, &error),
        };
        // Ctrl-C ends the process, which holds nothing; a reader who is gone ends the loop.
        loop {
            if io::stdout().is_terminal() {
                drop(io::stdout().write_all(FROM_THE_TOP.as_bytes()));
            }
            let shown = once();
            if shown == ExitCode::from(FAILURE) {
                return shown;
            }
            runtime.block_on(async { tokio::time::sleep(Duration::from_secs(seconds)).await });
        }
    }
}

/// What a command takes that shows its answer once, or again and again.
#[derive(Debug, Args)]
pub(super) struct Watched {
    #[command(flatten)]
    watch: Watch,
    /// Print one JSON document; with --watch one a line; the schema is said by each command.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

impl Watched {
    /// Shows what the gateway of the configuration has to say, as JSON or in words.
    pub(super) fn run(self, once: impl Fn(&Config, bool) -> ExitCode) -> ExitCode {
        with_config(self.file.config, |config| {
            self.watch.run(|| once(&config, self.json))
        })
    }
}

/// Says on the help page of such a command in which schema its document is.
pub(super) fn schema_watched(name: &'static str) -> impl FnOnce(clap::Arg) -> clap::Arg {
    move |json| {
        json.help(format!(
            "Print one JSON document (schema {name}); with --watch one a line"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_interval_it_is_shown_once() {
        let mut shown = 0;
        let code = Watch { watch: None }.run(|| {
            shown += 1;
            ExitCode::from(69)
        });
        assert_eq!((shown, code), (1, ExitCode::from(69)));
    }

    #[test]
    fn it_ends_when_nobody_reads_it_and_not_while_no_daemon_answers() {
        let mut codes = vec![ExitCode::from(FAILURE), ExitCode::from(69), ExitCode::SUCCESS];
        let code = Watch { watch: Some(1) }.run(|| codes.pop().unwrap());
        assert_eq!((code, codes.len()), (ExitCode::from(FAILURE), 0));
    }
}
