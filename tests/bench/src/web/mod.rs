//! The bench of the local web: how long the server takes for each page with two years of quarter hours in the store, how much a
//! browser loads, and how much memory the gateway has meanwhile.
//!
//! It is the real daemon with a soft card in a file and simulated meters. The past is put into its store while it is stopped.

mod browser;
mod past;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use browser::Browser;
use clap::Args;
use serde_json::Value;
use system::{House, Program, wait_until};

use crate::error::BenchError;
use crate::figures::line;

/// How often each page is asked for.
const ROUNDS: usize = 101;
const SHORT_ROUNDS: usize = 5;
/// The days of the past.
const DAYS: u16 = 730;
const SHORT_DAYS: u16 = 40;
/// How long a page may take on the server.
const TIME_LIMIT: Duration = Duration::from_millis(50);
/// How much a browser may load for the first view, in bytes: the page and all that it names.
const VIEW_LIMIT: u64 = 60 * 1024;
/// How much all scripts may be together, in bytes, as they are sent.
const SCRIPTS_LIMIT: u64 = 40 * 1024;
/// How much memory the gateway may have with the web in use, in KiB.
const MEMORY_LIMIT_KIB: u64 = 25 * 1024;
/// How long a gateway that was used may take to come to rest.
const REST: Duration = Duration::from_secs(10);
const PASSWORD: &str = "seven green bottles";

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A shorter past and fewer rounds: to see that it works.
    #[arg(long)]
    short: bool,
    /// Succeed even if a figure is above its limit.
    #[arg(long)]
    no_limits: bool,
}

/// Figures, and which of them are above their limits.
#[derive(Debug, Default)]
struct Table {
    text: String,
    above: Vec<String>,
}

impl Table {
    fn add(&mut self, what: &str, limit: Option<&str>, found: &str, is_above: bool) {
        self.text += &line(what, limit.unwrap_or("-"), found);
        if is_above {
            self.above.push(what.to_owned());
        }
    }

    fn add_kilobytes(&mut self, what: &str, limit: u64, bytes: u64) {
        let text = |bytes: u64| format!("{}.{} KB", bytes / 1_024, bytes % 1_024 * 10 / 1_024);
        self.add(what, Some(&text(limit)), &text(bytes), bytes > limit);
    }
}

/// Measures and prints the table.
pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    let (days, rounds) = if options.short {
        (SHORT_DAYS, SHORT_ROUNDS)
    } else {
        (DAYS, ROUNDS)
    };
    let house = furnished(days)?;
    let web = smgw(&house, &["status"])?;
    let web = text_in(&web, "https")?;
    let consumer = entered(&house, &web, "consumer")?;
    let technician = entered(&house, &web, "technician")?;
    let stranger = Browser::new(&house.stage, &web, "stranger");
    let mut table = Table::default();
    table.text += &line("", "limit", "found");
    let mut scripts = std::collections::BTreeMap::new();
    let mut views = Vec::new();
    let pages = [(&stranger, "/login".to_owned())]
        .into_iter()
        .chain(pages(&consumer, &technician));
    for (browser, path) in pages {
        let served = browser.measure(&path, rounds)?;
        let limit = format!("{TIME_LIMIT:?}");
        let found = format!("{:.1?}", served.time);
        let what = format!("{path:<48} slowest {:>9.1?}, median", served.slowest);
        table.add(&what, Some(&limit), &found, served.time > TIME_LIMIT);
        if path.starts_with("/api/") || path.contains(".csv") || path.contains(".xml") {
            continue;
        }
        let mut view = served.bytes;
        let html = browser.page(&path)?;
        for part in parts(&html) {
            let bytes = browser.measure(part, 1)?.bytes;
            view = view.saturating_add(bytes);
            if Path::new(part).extension().is_some_and(|end| end == "js") {
                scripts.insert(part.to_owned(), bytes);
            }
        }
        views.push((view, path));
    }
    let (greatest, path) = views.into_iter().max().unwrap_or_default();
    let what = format!("greatest first view: {path} with all that it loads");
    table.add_kilobytes(&what, VIEW_LIMIT, greatest);
    table.add_kilobytes("all scripts together", SCRIPTS_LIMIT, scripts.values().sum());
    let memory = memory_at_rest(&house)?;
    for (what, kib) in [
        ("resident memory (VmRSS)", memory.resident),
        ("proportional memory (Pss)", memory.proportional),
    ] {
        let what = format!("smgw after all of it, {what}");
        table.add_kilobytes(&what, MEMORY_LIMIT_KIB * 1_024, kib * 1_024);
    }
    std::io::stdout()
        .write_all(table.text.as_bytes())
        .map_err(BenchError::Output)?;
    if options.short || options.no_limits || table.above.is_empty() {
        return Ok(());
    }
    Err(BenchError::AboveLimit(table.above.join(", ")))
}

/// Opens a house whose gateway has a past and a local web.
fn furnished(days: u16) -> Result<House, BenchError> {
    let mut house = House::for_a_story("PT15M")?;
    house.gateway.stop()?;
    past::fill(&house.stage.path("data").join("gateway.db"), days)?;
    let config = std::fs::read_to_string(&house.config).map_err(BenchError::file(&house.config))?;
    let web = "[web.https]\nlisten = \"127.0.0.1:0\"\n\n[control]";
    std::fs::write(&house.config, config.replace("[control]", web))
        .map_err(BenchError::file(&house.config))?;
    house.start_gateway_again("operational")?;
    Ok(house)
}

/// Lets somebody in, with a password of the own.
fn entered<'a>(house: &'a House, web: &str, account: &str) -> Result<Browser<'a>, BenchError> {
    let first = smgw(house, &["web", "password", account])?;
    let first = text_in(&first, "password")?;
    let browser = Browser::new(&house.stage, web, account);
    browser.post("/login", &[("account", account), ("password", &first)])?;
    browser.post(
        "/password",
        &[("old", &first), ("new", PASSWORD), ("again", PASSWORD)],
    )?;
    Ok(browser)
}

/// Returns every page with who may see it.
fn pages<'a>(consumer: &'a Browser<'a>, technician: &'a Browser<'a>) -> Vec<(&'a Browser<'a>, String)> {
    let of_consumer = ["/now", "/costs", "/recipients", "/tokens", "/password"];
    let mut pages: Vec<_> = of_consumer
        .iter()
        .map(|path| (consumer, (*path).to_owned()))
        .collect();
    for by in ["day", "week", "month", "year"] {
        pages.push((consumer, format!("/history?by={by}")));
    }
    for path in [
        "/history.csv?by=year",
        "/history.xml?by=year",
        "/api/v1/history?by=year",
        "/api/v1/values",
    ] {
        pages.push((consumer, path.to_owned()));
    }
    for path in ["/device", "/wizard", "/wizard/meters"] {
        pages.push((technician, path.to_owned()));
    }
    pages
}

/// Returns what a page has the browser load: the targets of `src` and of links in its head.
fn parts(html: &str) -> Vec<&str> {
    let head = html.split_once("</head>").map_or("", |(head, _)| head);
    let linked = head
        .split("<link")
        .skip(1)
        .filter_map(|rest| attribute(rest, "href"));
    let named = html.split('<').filter_map(|tag| attribute(tag, "src"));
    let mut parts: Vec<_> = linked.chain(named).collect();
    parts.sort_unstable();
    parts.dedup();
    parts
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let tag = tag.split('>').next()?;
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split('"').next()
}

/// Asks the gateway's command line for one JSON document.
fn smgw(house: &House, arguments: &[&str]) -> Result<Value, BenchError> {
    let mut arguments = arguments.iter();
    let verb = arguments.next().copied().unwrap_or_default();
    let mut command = house.stage.command(Program::Smgw, verb);
    for argument in arguments {
        command = command.arg(argument);
    }
    let command = command.arg("--json").option("--config", &house.config);
    let finished = house.stage.run(&command)?;
    let step = |source| BenchError::Step {
        step: format!("smgw {verb}"),
        source,
    };
    serde_json::from_str(finished.answer()?).map_err(step)
}

fn text_in(answer: &Value, key: &str) -> Result<String, BenchError> {
    let text = answer[key].as_str().map(str::to_owned);
    text.ok_or_else(|| BenchError::Program {
        program: "smgw".to_owned(),
        said: format!("nothing about {key}"),
    })
}

/// How much memory a process has, in KiB.
#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    resident: u64,
    /// Its share of that, where pages belong to several processes.
    proportional: u64,
}

/// Returns how much memory the gateway has once it has come to rest: below its limit, or when it had the time.
fn memory_at_rest(house: &House) -> Result<Memory, BenchError> {
    let mut memory = Memory::default();
    let is_low = wait_until(&house.stage.deadline(REST), || {
        memory = memory_of(house.gateway.id())?;
        Ok::<_, BenchError>((memory.resident <= MEMORY_LIMIT_KIB).then_some(memory))
    });
    Ok(is_low?.unwrap_or(memory))
}

fn memory_of(process: u32) -> Result<Memory, BenchError> {
    let file = Path::new("/proc").join(process.to_string()).join("smaps_rollup");
    let text = std::fs::read_to_string(&file).map_err(BenchError::file(&file))?;
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        number.ok_or_else(|| BenchError::file(&file)(std::io::Error::other("a number is missing")))
    };
    Ok(Memory {
        resident: number("Rss:")?,
        proportional: number("Pss:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_loads_is_found() {
        let html = "<head><link rel=\"icon\" href=\"/icon.svg\"><link rel=\"stylesheet\" href=\"/a.css\"></head><body><a \
                    href=\"/no\">x</a><script src=\"/b.js\" defer></script></body>";
        assert_eq!(parts(html), ["/a.css", "/b.js", "/icon.svg"]);
    }
}
