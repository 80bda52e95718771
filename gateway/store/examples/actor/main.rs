//! The actor of `cargo xtask torture store`: it uses the store as the gateway does, and is killed for it.
//!
//! | command | what it does |
//! |---|---|
//! | `actor run FOLDER ACT…` | does the acts in their order; prints `ack ACT` when the store has confirmed one, `error ACT: why` and ends at the first one that fails |
//! | `actor check` | reads one request per line, looks at the folder that it names, prints one verdict per line |
//!
//! The acts are those of [`acts::Act`], most of them with a number behind a colon, and the ranges `days:A-B` and
//! `mix:A-B`, which stand for the acts in them. What an act writes follows from its number alone, so that the
//! check knows every value that can be in a store. An act that removes something is announced by one that
//! acknowledges that it may be gone from then on. A request is
//! `{"folder": "…", "acknowledged": ["open", "round:0"], "repair": true}`, a verdict is what
//! [`verdict::Verdict`] is in JSON. A check writes into the folder: it tries to burn another binding.
#![expect(clippy::print_stderr, reason = "a command-line tool says how it is called")]

mod acts;
mod card;
mod check;
mod run;
mod verdict;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run", folder, script @ ..] => match acts::parse_script(script) {
            Some(acts) => run::run(Path::new(folder), acts),
            None => usage(),
        },
        ["check"] => check::serve(),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: actor run FOLDER ACT… | actor check");
    ExitCode::from(2)
}
