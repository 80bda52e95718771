//! `smgw web`: first passwords and the certificate of the local web.

mod label;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;
use serde_json::json;
use zeroize::Zeroizing;

use super::{ConfigFile, FAILURE, REFUSED, UNAVAILABLE, fail, print, with_config};
use crate::local::control::{self, ControlError};
use crate::local::grants::Outcome;
use crate::local::web::{self, Certificate, Issue, Issued, NewCertificate, Password, Reset};
use label::LabelOptions;

/// The name of the schemas and their version; additive within the version.
const PASSWORD_SCHEMA: &str = "smgw.web-password/1";
const CERTIFICATE_SCHEMA: &str = "smgw.web-certificate/1";
const RESET_SCHEMA: &str = "smgw.web-reset/1";
/// The greatest length of a file with a password.
const MAX_FILE: u64 = 1_024;

#[derive(Debug, Subcommand)]
pub(super) enum WebCommand {
    /// Issues a first password to an account, and prints it once: for the label, or for whoever has forgotten theirs.
    ///
    /// It has to be changed at the first login. Earlier passwords, sessions and tokens of the account end, since it may be for
    /// somebody who has moved in.
    Password(PasswordOptions),
    /// Issues a first password, and makes the label for the device: a QR code that fills in the login, and the certificate's
    /// fingerprint.
    ///
    /// Make it when the certificate is the one that stays. As with `smgw web password`, all that the account had ends.
    Label(LabelOptions),
    /// Shows the SHA-256 fingerprint of the certificate, to be compared with what the browser shows.
    Certificate {
        /// Make a new key and certificate; the next connection gets it.
        #[arg(long)]
        new: bool,
        /// Print one JSON document (schema smgw.web-certificate/1).
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Deletes every password and token, as when they are damaged; issue new passwords then.
    Reset {
        /// Print one JSON document (schema smgw.web-reset/1).
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        file: ConfigFile,
    },
}

#[derive(Debug, Args)]
pub(super) struct PasswordOptions {
    /// technician, consumer, or the name of a consumer of the configuration.
    account: String,
    /// Take the password from the first line of this file, such as what is on the label; without it, one is drawn.
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// Keep the account's tokens: the password is for the same person, who has forgotten the last one.
    #[arg(long)]
    keep_tokens: bool,
    /// Print one JSON document (schema smgw.web-password/1).
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

/// The reason why an order about the local web is not carried out.
#[derive(Debug, thiserror::Error)]
enum WebError {
    #[error("{0}")]
    NotDone(String),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("{} cannot be read", file.display())]
    File {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} has to be a line of text with a password", file.display())]
    NoPassword { file: PathBuf },
    #[error("the local web over HTTPS is off, or has no certificate; smgw status says which")]
    NoWeb,
    #[error("it is not known how a phone of the house reaches the gateway; name it with --host")]
    NoHost,
    #[error("the label cannot be written to {}; name a file that does not exist yet", file.display())]
    Label {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the QR code of the label cannot be made; name a shorter --host")]
    Code(#[source] qrcode::types::QrError),
}

impl WebCommand {
    pub(super) fn run(self) -> ExitCode {
        match self {
            Self::Password(options) => {
                let PasswordOptions {
                    account,
                    from_file,
                    keep_tokens,
                    json,
                    file,
                } = options;
                with_config(file.config, |config| {
                    let issued = read_given(from_file.as_deref()).and_then(|password| {
                        let issue = Issue {
                            account,
                            password,
                            keep_tokens,
                        };
                        order(&config.control_socket, web::PASSWORD, &issue)
                    });
                    shown(issued, |issued: Issued| tell_password(&issued, json))
                })
            }
            Self::Certificate { new, json, file } => with_config(file.config, |config| {
                let socket = &config.control_socket;
                let certificate = if new {
                    order(socket, web::CERTIFICATE, &NewCertificate {})
                } else {
                    control::ask_for(socket, web::CERTIFICATE)
                        .map_err(WebError::from)
                        .and_then(done)
                };
                shown(certificate, |certificate| tell_certificate(&certificate, json))
            }),
            Self::Label(options) => {
                let (json, file) = (options.json, options.file.config.clone());
                with_config(file, |config| {
                    shown(options.make(&config), |label| label.tell(json))
                })
            }
            Self::Reset { json, file } => with_config(file.config, |config| {
                let reset = order(&config.control_socket, web::RESET, &Reset {});
                shown(reset, |Reset {}| tell_reset(json))
            }),
        }
    }
}

fn read_given(file: Option<&Path>) -> Result<Option<Password>, WebError> {
    file.map(read_password).transpose()
}

fn read_password(file: &Path) -> Result<Password, WebError> {
    let at = |source| WebError::File {
        file: file.to_owned(),
        source,
    };
    let mut text = Zeroizing::new(String::new());
    let opened = File::open(file).map_err(at)?;
    opened.take(MAX_FILE).read_to_string(&mut text).map_err(at)?;
    match text.lines().next().map(str::trim_end) {
        Some(line) if !line.is_empty() => Ok(Password::new(Zeroizing::new(line.to_owned()))),
        _ => Err(WebError::NoPassword {
            file: file.to_owned(),
        }),
    }
}

fn order<T: DeserializeOwned>(
    socket: &Path,
    address: &str,
    what: &impl serde::Serialize,
) -> Result<T, WebError> {
    done(control::order(socket, address, what)?)
}

fn done<T>(outcome: Outcome<T>) -> Result<T, WebError> {
    match outcome {
        Outcome::Done(done) => Ok(done),
        Outcome::Refused(reason) => Err(WebError::NotDone(reason)),
    }
}

fn shown<T>(outcome: Result<T, WebError>, tell: impl FnOnce(T) -> String) -> ExitCode {
    match outcome {
        Ok(done) => print(&Zeroizing::new(tell(done))),
        Err(error @ WebError::Control(ControlError::NoDaemon { .. })) => fail(UNAVAILABLE, &error),
        Err(error @ WebError::Control(ControlError::NotPermitted { .. })) => fail(REFUSED, &error),
        Err(error) => fail(FAILURE, &error),
    }
}

fn tell_password(issued: &Issued, json: bool) -> String {
    let (account, password) = (&issued.account, issued.password.reveal());
    if json {
        let document = json!({"schema": PASSWORD_SCHEMA, "account": account, "password": password});
        return format!("{document}\n");
    }
    format!("account  {account}\npassword {password}\nIt is shown once, and changed at the first login.\n")
}

fn tell_certificate(certificate: &Certificate, json: bool) -> String {
    let fingerprint = certificate.fingerprint;
    if json {
        let document = json!({"schema": CERTIFICATE_SCHEMA, "fingerprint": fingerprint});
        return format!("{document}\n");
    }
    match fingerprint {
        Some(fingerprint) => format!("SHA-256 {fingerprint}\n"),
        None => "The certificate is damaged; make a new one: smgw web certificate --new\n".to_owned(),
    }
}

fn tell_reset(json: bool) -> String {
    if json {
        let document =
            json!({"schema": RESET_SCHEMA, "deleted": ["passwords", "tokens", "sessions", "prices"]});
        return format!("{document}\n");
    }
    "Every password and token of the local web is deleted. Issue new passwords: smgw web password\n"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_is_the_first_line_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("label");
        std::fs::write(&file, "from the label\r\nmore\n").unwrap();
        assert_eq!(read_password(&file).ok().unwrap().reveal(), "from the label");
        std::fs::write(&file, "\n").unwrap();
        assert!(matches!(read_password(&file), Err(WebError::NoPassword { .. })));
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(read_password(&file), Err(WebError::File { .. })));
    }
}
