//! What a consumer's own Home Assistant is told: the last values of meters, over an MQTT broker of the house.
//!
//! It is off unless the configuration names a broker and elements, and the consumer has switched it on: by making an access
//! token of the name [`SWITCH`]. Making and revoking it are in the system log, as of every token, and the page of the recipients
//! says what goes where. Nothing is read from the broker.

mod discovery;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use broker::{Bulletin, BulletinError, BulletinOptions, Patience, Return};
use discovery::{Node, Notice};
use messages::certificate::{Certificate, CertificateError};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::gate::{Gate, GateError};
use super::household::{Measured, measured};
use super::language::Language;
use super::roster::{Own, Role};
use crate::clock;
use crate::config::HomeAssistantConfig;
use crate::random;
use crate::report::Chain;
use crate::status::StatusSource;
use crate::threads::{self, ThreadFailed};

/// The name of the access token with which the consumer switches it on.
pub(super) const SWITCH: &str = "home-assistant";
/// How often it is looked for new values, and for the switch.
const LOOK: Duration = Duration::from_secs(10);
/// The waits after failures; the broker of a house is switched off for a night.
const PATIENCE: Patience = Patience {
    first: Duration::from_secs(2),
    longest: Duration::from_secs(300),
};
/// The greatest file with credentials, or with the certificate of a root.
const MAX_FILE: u64 = 16 * 1_024;

/// The reason why Home Assistant is told nothing.
#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error(transparent)]
    Bulletin(#[from] BulletinError),
    #[error("the file {} of [home_assistant] cannot be read; it belongs to the user of smgw", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the file {} has not two lines, the user and the password", path.display())]
    Credentials { path: PathBuf },
    #[error("the file {} holds no certificate of a root (PEM)", path.display())]
    Root {
        path: PathBuf,
        #[source]
        source: CertificateError,
    },
    #[error("TLS to the broker of the house cannot be set up")]
    Tls(#[from] rustls::Error),
    #[error("the last values cannot be read")]
    Values(#[from] store::DatabaseError),
    #[error(transparent)]
    Gate(#[from] GateError),
    #[error(transparent)]
    Thread(#[from] ThreadFailed),
}

impl TellError {
    /// Returns whether coming again soon is of no use.
    const fn is_refusal(&self) -> bool {
        match self {
            Self::Bulletin(error) => error.is_refusal(),
            Self::File { .. } | Self::Credentials { .. } | Self::Root { .. } | Self::Tls(_) => true,
            Self::Values(_) | Self::Gate(_) | Self::Thread(_) => false,
        }
    }
}

/// Tells a consumer's own Home Assistant.
#[derive(Clone)]
pub(crate) struct HomeAssistant {
    config: Arc<HomeAssistantConfig>,
    gate: Gate,
    source: StatusSource,
}

impl HomeAssistant {
    pub(crate) fn new(config: HomeAssistantConfig, gate: Gate, source: StatusSource) -> Self {
        Self {
            config: Arc::new(config),
            gate,
            source,
        }
    }

    /// Tells it until the daemon stops.
    pub(crate) async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keep_telling() => {}
        }
    }

    async fn keep_telling(&self) {
        let mut returns = Return::new(PATIENCE);
        loop {
            let pause = match self.tell().await {
                Ok(()) => {
                    returns.succeeded();
                    LOOK
                }
                Err(error) => {
                    let random = random::bytes().map_or(u32::MAX, u32::from_be_bytes);
                    let pause = if error.is_refusal() {
                        returns.refused(random)
                    } else {
                        returns.failed(random)
                    };
                    tracing::warn!(again_in_s = pause.as_secs(), "{}", Chain(&error));
                    pause
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Tells all that is new, until it is switched off.
    async fn tell(&self) -> Result<(), TellError> {
        if !self.is_on().await? {
            return Ok(());
        }
        let bound_to = self.source.standing.borrow().bound_to;
        if bound_to.is_none() {
            // Right after the start nobody knows it yet, and a gateway that is not bound has nothing to tell.
            return Ok(());
        }
        let node = Node::of(bound_to);
        let mut bulletin = Bulletin::open(self.options(&node)?).await?;
        tracing::info!(broker = %self.config.broker, account = %self.config.account, "home assistant is told");
        bulletin.pin(&node.availability(), discovery::ONLINE).await?;
        let mut told: BTreeMap<String, String> = BTreeMap::new();
        loop {
            for Notice { topic, text } in self.notices(&node).await? {
                if told.get(&topic) != Some(&text) {
                    bulletin.pin(&topic, text.clone()).await?;
                    told.insert(topic, text);
                }
            }
            tokio::select! {
                error = bulletin.end() => return Err(error.into()),
                () = tokio::time::sleep(LOOK) => {}
            }
            if !self.is_on().await? {
                for topic in told.keys() {
                    bulletin.pin(topic, "").await?;
                }
                bulletin.pin(&node.availability(), discovery::OFFLINE).await?;
                bulletin.leave().await;
                tracing::info!("home assistant is told nothing any more");
                return Ok(());
            }
        }
    }

    /// Returns whether the consumer has switched it on.
    async fn is_on(&self) -> Result<bool, TellError> {
        let (gate, config) = (self.gate.clone(), Arc::clone(&self.config));
        let tokens = threads::blocking(move || gate.tokens(&config.account)).await??;
        Ok(tokens.iter().any(|token| token.name == SWITCH))
    }

    /// Returns all that is to be pinned up now.
    async fn notices(&self, node: &Node) -> Result<Vec<Notice>, TellError> {
        let (this, node) = (self.clone(), node.clone());
        threads::blocking(move || {
            let language = Language::parse(&this.config.language).unwrap_or(Language::German);
            let period = this.source.registration_period;
            Ok(discovery::notices(
                &node,
                &this.config.prefix,
                (language, period),
                &this.seen()?,
            ))
        })
        .await?
    }

    /// Returns the last values that may be told: of the account's own meters, what the configuration names of them.
    fn seen(&self) -> Result<Vec<Measured>, store::DatabaseError> {
        let Some(own) = self.own() else {
            return Ok(Vec::new());
        };
        let meters = self.source.meters.borrow().clone();
        let period = self.source.registration_period;
        let seen = measured(
            self.source.store.database(),
            &meters,
            (&own, period),
            clock::now(),
        )?;
        let is_named = |one: &Measured| {
            let mut patterns = self.config.elements.iter();
            patterns.any(|pattern| pattern.matches(&one.last.element))
        };
        Ok(seen.into_iter().filter(is_named).collect())
    }

    fn own(&self) -> Option<Own> {
        match self.gate.identity(&self.config.account)?.role {
            Role::Consumer(own) => Some(own),
            Role::Technician => None,
        }
    }

    fn options(&self, node: &Node) -> Result<BulletinOptions, TellError> {
        let credentials = self.config.credentials_file.as_deref();
        Ok(BulletinOptions {
            address: self.config.broker.clone(),
            client: node.client(),
            credentials: credentials.map(read_credentials).transpose()?,
            tls: self.config.root.as_deref().map(tls_with).transpose()?,
            will: (node.availability(), discovery::OFFLINE),
        })
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, TellError> {
    let file = |source| TellError::File {
        path: path.to_owned(),
        source,
    };
    if std::fs::metadata(path).map_err(file)?.len() > MAX_FILE {
        return Err(file(std::io::Error::other("it is too long")));
    }
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(file)
}

fn read_credentials(path: &Path) -> Result<(String, String), TellError> {
    let text = read(path)?;
    let mut lines = text.lines();
    match (lines.next(), lines.next(), lines.next()) {
        (Some(user), Some(password), None) if !user.is_empty() && !password.is_empty() => {
            Ok((user.to_owned(), password.to_owned()))
        }
        _ => Err(TellError::Credentials {
            path: path.to_owned(),
        }),
    }
}

fn tls_with(root: &Path) -> Result<Arc<ClientConfig>, TellError> {
    let certificate = Certificate::from_pem(&read(root)?).map_err(|source| TellError::Root {
        path: root.to_owned(),
        source,
    })?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(certificate.as_der().to_vec()))?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_two_lines_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials");
        std::fs::write(&file, "gateway\nsecret\n").unwrap();
        let (user, password) = read_credentials(&file).unwrap();
        assert_eq!((user.as_str(), password.as_str()), ("gateway", "secret"));
        for text in ["", "gateway\n", "gateway\n\n", "a\nb\nc\n"] {
            std::fs::write(&file, text).unwrap();
            assert!(
                matches!(read_credentials(&file), Err(TellError::Credentials { .. })),
                "{text:?}"
            );
        }
        assert!(matches!(
            read_credentials(&folder.path().join("none")),
            Err(TellError::File { .. })
        ));
    }
}
