//! A browser for the bench: curl, with cookies of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use system::{Command, Stage};

use crate::error::BenchError;
use crate::figures::median;

/// What curl says about each answer: its status, the seconds from the sent request to the whole answer, and its size with its
/// header, in bytes.
const SAID: &str = "%{http_code} %{time_pretransfer} %{time_total} %{size_header} %{size_download}\\n";

/// Somebody who looks at pages.
pub(super) struct Browser<'a> {
    stage: &'a Stage,
    web: String,
    cookies: PathBuf,
}

/// What was found about a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Served {
    /// The time in the middle, from the request to the whole answer over a connection that stands.
    pub(super) time: Duration,
    /// The longest of the times: the first request among them, which finds nothing in memory.
    pub(super) slowest: Duration,
    /// The size of the answer as it is sent, in bytes.
    pub(super) bytes: u64,
}

impl<'a> Browser<'a> {
    pub(super) fn new(stage: &'a Stage, web: &str, name: &str) -> Self {
        Self {
            stage,
            web: web.trim_end_matches('/').to_owned(),
            cookies: stage.path(&format!("cookies-{name}")),
        }
    }

    fn curl(&self, more: &[&str]) -> Command {
        let mut command = Command::new("curl", Path::new("curl"))
            .arg("--silent")
            .arg("--show-error")
            .arg("--insecure")
            .option("--max-time", "120")
            .option("--header", "Accept-Encoding: gzip")
            .option("--cookie", &self.cookies)
            .option("--cookie-jar", &self.cookies);
        for argument in more {
            command = command.arg(argument);
        }
        command
    }

    fn run(&self, command: &Command) -> Result<Vec<String>, BenchError> {
        let finished = self.stage.run(command)?;
        if finished.code != Some(0) {
            return Err(BenchError::Program {
                program: "curl".to_owned(),
                said: finished.log_text()?,
            });
        }
        Ok(finished.lines)
    }

    /// Returns a page.
    pub(super) fn page(&self, path: &str) -> Result<String, BenchError> {
        let place = format!("{}{path}", self.web);
        Ok(self
            .run(&self.curl(&["--compressed", "--globoff", &place]))?
            .join("\n"))
    }

    /// Sends a form whose token stands on a page.
    pub(super) fn post(&self, path: &str, fields: &[(&str, &str)]) -> Result<(), BenchError> {
        let page = self.page(path)?;
        let token = page.split_once("name=\"form\" value=\"");
        let token = token.and_then(|(_, rest)| rest.split('"').next());
        let token = token.ok_or_else(|| unexpected(path, "a page without a form"))?;
        let place = format!("{}{path}", self.web);
        let mut command = self.curl(&["--globoff", &place]);
        command = command.option("--data-urlencode", format!("form={token}"));
        for (name, value) in fields {
            command = command.option("--data-urlencode", format!("{name}={value}"));
        }
        let command = command
            .option("--output", "/dev/null")
            .option("--write-out", SAID);
        let said = self.run(&command)?;
        match said.first() {
            Some(line) if line.starts_with("303 ") => Ok(()),
            said => Err(unexpected(path, said.map_or("nothing", String::as_str))),
        }
    }

    /// Asks for a page again and again over one connection.
    pub(super) fn measure(&self, path: &str, rounds: usize) -> Result<Served, BenchError> {
        let mark = if path.contains('?') { '&' } else { '?' };
        let place = format!("{}{path}{mark}round=[1-{rounds}]", self.web);
        let command = self.curl(&["--output", "/dev/null", "--write-out", SAID, &place]);
        let mut times = Vec::with_capacity(rounds);
        let mut bytes = 0;
        for line in self.run(&command)? {
            let (time, size) = found(&line).ok_or_else(|| unexpected(path, &line))?;
            times.push(time);
            bytes = size.max(bytes);
        }
        if times.len() != rounds {
            return Err(unexpected(path, &format!("{} answers", times.len())));
        }
        let slowest = times.iter().max().copied().unwrap_or_default();
        Ok(Served {
            time: median(times),
            slowest,
            bytes,
        })
    }
}

/// Reads what curl says about an answer that is one: its time and its size.
fn found(line: &str) -> Option<(Duration, u64)> {
    let mut words = line.split(' ');
    (words.next()? == "200").then_some(())?;
    let mut seconds = || Duration::try_from_secs_f64(words.next()?.parse().ok()?).ok();
    let (sent, whole) = (seconds()?, seconds()?);
    let mut number = || words.next()?.parse::<u64>().ok();
    let bytes = number()?.checked_add(number()?)?;
    Some((whole.saturating_sub(sent), bytes))
}

fn unexpected(path: &str, said: &str) -> BenchError {
    BenchError::Program {
        program: format!("the local web at {path}"),
        said: said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_curl_are_read_and_refusals_are_none() {
        let served = found("200 0.001000 0.003500 600 1400");
        assert_eq!(served, Some((Duration::from_micros(2_500), 2_000)));
        assert!(found("303 0.001000 0.003500 600 0").is_none() && found("").is_none());
    }
}
