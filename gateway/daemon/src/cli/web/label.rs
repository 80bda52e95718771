//! `smgw web label`: what the technician sticks on the device, so that a phone gets in without typing.
//!
//! The code leads to the login with account and password behind the `#`, which no browser sends; a script of the page fills
//! them in and takes them out of the address. Whoever reads the label sees the same as text.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use model::Fingerprint;
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use serde_json::json;
use zeroize::Zeroizing;

use super::{ConfigFile, WebError, order};
use crate::config::Config;
use crate::local::control;
use crate::local::web::{self, Issue, Issued};

/// The name of the schema and its version; additive within the version.
const SCHEMA: &str = "smgw.web-label/1";
/// The beginning of the addresses of the local web.
const HTTPS: &str = "https://";
/// The port that no address names.
const USUAL_PORT: u16 = 443;
/// The least width of the code in the picture, in its units.
const CODE_WIDTH: u32 = 300;
/// The bytes of the fingerprint in a line of the label.
const BYTES_OF_A_LINE: usize = 8;
/// Where the first line of text stands in the picture, and how far below it the next one, in its units.
const FIRST_LINE: usize = 400;
const NEXT_LINE: usize = 28;

#[derive(Debug, Args)]
pub(in super::super) struct LabelOptions {
    /// technician, consumer, or the name of a consumer of the configuration.
    account: String,
    /// Write the label as a picture (SVG) into this file, which must not exist yet; only its owner may read it.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// By which name or address a phone of the house reaches the gateway; without it, the first of the web.https.names of the
    /// configuration, or the address that the local web listens at.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Print one JSON document (schema smgw.web-label/1).
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) file: ConfigFile,
}

/// What stands on the label.
pub(super) struct Label {
    address: String,
    issued: Issued,
    fingerprint: Fingerprint,
}

impl LabelOptions {
    /// Has a first password issued, and makes the label.
    pub(super) fn make(self, config: &Config) -> Result<Label, WebError> {
        let status = control::ask(&config.control_socket)?;
        let (Some(https), Some(fingerprint)) = (status.https, status.https_fingerprint) else {
            return Err(WebError::NoWeb);
        };
        let names = config.https.as_ref().map_or(&[][..], |https| &https.names);
        let address = address(&https, self.host.as_deref(), names).ok_or(WebError::NoHost)?;
        // The file comes first: a new password that stands nowhere would lock everybody out.
        let file = self.svg.as_deref().map(create).transpose()?;
        let issue = Issue {
            account: self.account,
            password: None,
            keep_tokens: false,
        };
        let label = match order(&config.control_socket, web::PASSWORD, &issue) {
            Ok(issued) => Label {
                address,
                issued,
                fingerprint,
            },
            Err(error) => {
                if let Some((path, _)) = file {
                    std::fs::remove_file(path).ok();
                }
                return Err(error);
            }
        };
        if let Some((path, mut file)) = file {
            let picture = label.picture()?;
            let written = file.write_all(picture.as_bytes()).and_then(|()| file.sync_all());
            written.map_err(at(path))?;
        }
        Ok(label)
    }
}

/// Creates the file of the picture.
fn create(path: &Path) -> Result<(&Path, std::fs::File), WebError> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    Ok((path, file.map_err(at(path))?))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> WebError {
    let file = path.to_owned();
    move |source| WebError::Label { file, source }
}

/// Returns where a phone finds the local web that listens at `https`: by the host that was given, the first name of the
/// configuration, or the address itself, if it is one.
fn address(https: &str, host: Option<&str>, names: &[String]) -> Option<String> {
    let listens: SocketAddr = https.strip_prefix(HTTPS)?.trim_end_matches('/').parse().ok()?;
    let own = Some(listens.ip()).filter(|ip| !ip.is_unspecified());
    let host = match host.or_else(|| names.first().map(String::as_str)) {
        Some(host) => host.to_owned(),
        None => own?.to_string(),
    };
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':');
    if host.is_empty() || !host.bytes().all(is_good) {
        return None;
    }
    let host = match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        Ok(IpAddr::V4(_)) | Err(_) => host,
    };
    Some(match listens.port() {
        USUAL_PORT => format!("{HTTPS}{host}/"),
        port => format!("{HTTPS}{host}:{port}/"),
    })
}

impl Label {
    /// Returns where the code leads to.
    fn code(&self) -> Zeroizing<String> {
        let (address, account) = (&self.address, &self.issued.account);
        let password = self.issued.password.reveal();
        Zeroizing::new(format!("{address}login#{account}:{password}"))
    }

    /// Returns the digest as browsers show it, a line for each eight bytes.
    fn fingerprint_lines(&self) -> Vec<String> {
        let line = |bytes: &[u8]| {
            let pairs: Vec<_> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            pairs.join(":")
        };
        let digest = self.fingerprint.as_bytes();
        digest.chunks(BYTES_OF_A_LINE).map(line).collect()
    }

    /// Draws the label: the code, and below it what it says and the fingerprint. None of it needs to be escaped.
    fn picture(&self) -> Result<Zeroizing<String>, WebError> {
        let code = QrCode::with_error_correction_level(self.code().as_bytes(), EcLevel::M);
        let code = code.map_err(WebError::Code)?;
        let image = code
            .render::<svg::Color<'_>>()
            .min_dimensions(CODE_WIDTH, CODE_WIDTH)
            .build();
        let image = Zeroizing::new(image);
        // Within a picture there is no XML declaration.
        let body = image.split_once("?>").map_or(image.as_str(), |(_, body)| body);
        let mut lines = vec![
            self.address.clone(),
            self.issued.account.clone(),
            self.issued.password.reveal().to_owned(),
        ];
        lines.extend(self.fingerprint_lines());
        let lines = lines.iter().enumerate().map(|(place, line)| {
            let below = FIRST_LINE.saturating_add(place.saturating_mul(NEXT_LINE));
            format!("<text x=\"210\" y=\"{below}\">{line}</text>\n")
        });
        let lines: Zeroizing<String> = Zeroizing::new(lines.collect());
        Ok(Zeroizing::new(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 420 600\" font-family=\"monospace\" font-size=\"16\" \
             text-anchor=\"middle\">\n<rect width=\"420\" height=\"600\" fill=\"#fff\"/>\n\
             <svg x=\"30\" y=\"10\">{body}</svg>\n{}</svg>\n",
            *lines
        )))
    }

    /// Writes the label out, as text or as one JSON document.
    pub(super) fn tell(&self, json: bool) -> String {
        let (account, password) = (&self.issued.account, self.issued.password.reveal());
        if json {
            let document = json!({
                "schema": SCHEMA,
                "address": self.address,
                "account": account,
                "password": password,
                "fingerprint": self.fingerprint,
                "code": *self.code(),
            });
            return format!("{document}\n");
        }
        let fingerprint = self.fingerprint_lines().join("\n         ");
        format!(
            "address  {}\naccount  {account}\npassword {password}\nSHA-256  {fingerprint}\n\
             The password is shown once, and changed at the first login. Compare the fingerprint with the browser's.\n",
            self.address
        )
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::local::web::Password;

    #[test]
    fn address_is_one_that_a_phone_of_the_house_reaches() {
        let names = ["smgw.local".to_owned()];
        for (https, host, names, expected) in [
            (
                "https://192.168.1.5:443/",
                None,
                &names[..],
                Some("https://smgw.local/"),
            ),
            (
                "https://192.168.1.5:8443/",
                None,
                &[],
                Some("https://192.168.1.5:8443/"),
            ),
            ("https://[fd00::5]:443/", None, &[], Some("https://[fd00::5]/")),
            (
                "https://0.0.0.0:443/",
                Some("fd00::5"),
                &names,
                Some("https://[fd00::5]/"),
            ),
            ("https://0.0.0.0:443/", None, &[], None),
            ("https://192.168.1.5:443/", Some("a b"), &[], None),
            ("https://192.168.1.5:443/", Some("x\"><y"), &[], None),
        ] {
            assert_eq!(
                address(https, host, names).as_deref(),
                expected,
                "{https} {host:?}"
            );
        }
    }

    #[test]
    fn label_says_what_its_code_says() {
        let label = Label {
            address: "https://smgw.local/".to_owned(),
            issued: Issued {
                account: "technician".to_owned(),
                password: Password::new("abcd-efgh-jkmn-pq+s".to_owned().into()),
            },
            fingerprint: Fingerprint::new([0xa5; 32]),
        };
        assert_eq!(
            label.code().as_str(),
            "https://smgw.local/login#technician:abcd-efgh-jkmn-pq+s"
        );
        let picture = label.picture().ok().unwrap();
        for text in [
            ">https://smgw.local/<",
            ">technician<",
            ">abcd-efgh-jkmn-pq+s<",
            "<path",
        ] {
            assert!(picture.contains(text), "{text} is missing in {}", *picture);
        }
        assert_eq!(picture.matches(">A5:A5:A5:A5:A5:A5:A5:A5<").count(), 4);
        assert!(label.tell(true).contains(SCHEMA) && label.tell(false).contains("abcd-efgh-jkmn-pq+s"));
    }

    #[test]
    fn picture_is_for_its_owner_and_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("label.svg");
        let (_, file) = create(&path).ok().unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(create(&path), Err(WebError::Label { .. })));
    }
}
