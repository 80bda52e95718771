//! Which time servers the installation has: those that the time service was told of.
//!
//! They are read where the time service reads them itself: `time.d/*.sources` beside the configuration, as the image has them for
//! chrony; else what chrony or systemd-timesyncd has on other systems. Nothing is asked that nobody has configured.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The port of NTP (RFC 5905, section 7.2).
const PORT: u16 = 123;
/// The folder beside the configuration.
const FOLDER: &str = "time.d";
/// What chrony calls a file with servers (chrony.conf(5), `sourcedir`).
const SOURCES: &str = "sources";
/// Where chrony has its servers on Debian: those of the file, of the administrator, and of DHCP.
const CHRONY_FILE: &str = "/etc/chrony/chrony.conf";
const CHRONY_FOLDERS: [&str; 2] = ["/etc/chrony/sources.d", "/run/chrony-dhcp"];
/// Where systemd-timesyncd has them.
const TIMESYNCD: &str = "/etc/systemd/timesyncd.conf";
/// The most files that are looked at, the greatest part of each in bytes, and the most servers that are taken.
const MOST_FILES: usize = 16;
const MOST_BYTES: u64 = 64 * 1_024;
const MOST_SERVERS: usize = 4;

/// A time server, as somebody has configured it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TimeServer {
    /// A name or an address.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Returns the time servers of the gateway whose configuration is in this file.
pub(crate) fn time_servers(config: &Path) -> Vec<TimeServer> {
    let own = config.parent().map(|folder| in_folder(&folder.join(FOLDER)));
    let mut found = own.unwrap_or_default();
    if found.is_empty() {
        found = in_file(Path::new(CHRONY_FILE), chrony_line);
        let folders = CHRONY_FOLDERS.iter().map(Path::new);
        found.extend(folders.flat_map(in_folder));
    }
    if found.is_empty() {
        found = in_file(Path::new(TIMESYNCD), timesyncd_line);
    }
    found.truncate(MOST_SERVERS);
    found
}

fn in_folder(folder: &Path) -> Vec<TimeServer> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path());
    let is_one = |file: &PathBuf| file.extension().is_some_and(|extension| extension == SOURCES);
    let mut files: Vec<_> = files.filter(is_one).take(MOST_FILES).collect();
    files.sort();
    files.iter().flat_map(|file| in_file(file, chrony_line)).collect()
}

/// Reads a file line by line; one that is not there has no servers.
fn in_file(file: &Path, of_line: fn(&str) -> Vec<TimeServer>) -> Vec<TimeServer> {
    let mut text = Vec::new();
    let read = File::open(file).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut text));
    if read.is_err() {
        return Vec::new();
    }
    String::from_utf8_lossy(&text)
        .lines()
        .flat_map(of_line)
        .take(MOST_SERVERS)
        .collect()
}

/// Reads a line of chrony: `server NAME [OPTION]…`, `pool …` and `peer …` (chrony.conf(5)); of the options only `port` matters.
fn chrony_line(line: &str) -> Vec<TimeServer> {
    let mut words = line.split_whitespace();
    let is_server = words
        .next()
        .is_some_and(|word| ["server", "pool", "peer"].contains(&word.to_ascii_lowercase().as_str()));
    let Some(host) = words.next().filter(|_| is_server) else {
        return Vec::new();
    };
    let mut port = PORT;
    while let Some(option) = words.next() {
        if option.eq_ignore_ascii_case("port") {
            match words.next().map(str::parse) {
                Some(Ok(number)) => port = number,
                Some(Err(_)) | None => return Vec::new(),
            }
        }
    }
    let host = host.to_owned();
    vec![TimeServer { host, port }]
}

/// Reads a line of systemd-timesyncd: `NTP=NAME…` (timesyncd.conf(5)).
fn timesyncd_line(line: &str) -> Vec<TimeServer> {
    let names = line.trim().strip_prefix("NTP=").unwrap_or_default();
    names
        .split_whitespace()
        .map(|host| TimeServer {
            host: host.to_owned(),
            port: PORT,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str, port: u16) -> TimeServer {
        TimeServer {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn servers_of_the_folder_beside_the_configuration_come_first_and_are_bounded() {
        let root = tempfile::tempdir().unwrap();
        let config = root.path().join("smgw.toml");
        let folder = root.path().join(FOLDER);
        fs::create_dir(&folder).unwrap();
        let text = "# server nobody\n\nserver time.example nts iburst\n  Pool 2001:db8::7 PORT 1123 iburst\nmakestep 1 3\n";
        fs::write(folder.join("b.sources"), text).unwrap();
        fs::write(
            folder.join("a.sources"),
            "peer 192.0.2.7\nserver\nserver x port\nserver x port y\n",
        )
        .unwrap();
        fs::write(folder.join("a.conf"), "server other.example\n").unwrap();
        let expected = [
            server("192.0.2.7", 123),
            server("time.example", 123),
            server("2001:db8::7", 1_123),
        ];
        assert_eq!(time_servers(&config), expected);
        fs::write(folder.join("c.sources"), "server many.example\n".repeat(100)).unwrap();
        assert_eq!(time_servers(&config).len(), MOST_SERVERS);
    }

    #[test]
    fn line_of_timesyncd_names_several() {
        assert_eq!(
            timesyncd_line("NTP=a.example 192.0.2.1"),
            [server("a.example", 123), server("192.0.2.1", 123)]
        );
        for none in ["#NTP=a.example", "NTP=", "FallbackNTP=a.example", "[Time]"] {
            assert_eq!(timesyncd_line(none), [], "{none}");
        }
    }
}
