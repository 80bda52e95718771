//! Asking the TSM: a grants file, and perhaps an application, become a request; and what became of it.

use std::path::{Path, PathBuf};

use counterparty::assignments::{AssignmentsError, AssignmentsFile};
use counterparty::files::{self, FileError};
use counterparty::grants::{GrantsError, GrantsFile};
use counterparty::random::{self, RandomError};
use counterparty::tsm::{RequestView, TsmClient, TsmClientError};
use messages::certificate::Triple;
use messages::content::{
    ApplicationEntry, ApplicationName, InstallationRequest, MAX_APPLICATION, MessageId, WordError,
};
use model::{CardId, Timestamp};

use crate::home::{Home, KnowError};

/// How many pages of requests are read at most: more than a TSM has.
const MAX_PAGES: usize = 1_000;

/// The reason why the TSM was not asked, or has not answered as it should.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The grants file is refused.
    #[error("the grants are refused")]
    Grants(#[from] GrantsError),
    /// The assignments file is refused.
    #[error("the assignments are refused")]
    Assignments(#[from] AssignmentsError),
    /// The application cannot be read.
    #[error("the application cannot be read; one has {MAX_APPLICATION} bytes at most")]
    File(#[from] FileError),
    /// The application has no proper name.
    #[error("the application {} needs a name; give it one (--application-name)", path.display())]
    Name {
        /// The application's file.
        path: PathBuf,
        /// Why its own name is none.
        #[source]
        source: WordError,
    },
    /// No random bytes could be drawn.
    #[error("the request gets no identity")]
    Random(#[from] RandomError),
    /// The TSM was not reached, or refuses.
    #[error(transparent)]
    Tsm(#[from] TsmClientError),
    /// The certificates of a gateway cannot be taken over.
    #[error("the gateway {guid} serves, but its certificates cannot be taken over")]
    Know {
        /// The GUID of its card.
        guid: CardId,
        /// Why not.
        #[source]
        source: Box<KnowError>,
    },
}

/// What to ask for.
#[derive(Debug, Clone)]
pub struct InstallationOrder {
    /// The GUID of the gateway's card.
    pub guid: CardId,
    /// The grants file.
    pub grants: PathBuf,
    /// The application's file.
    pub application: Option<PathBuf>,
    /// The application's name and version; its file's name if there is none.
    pub application_name: Option<ApplicationName>,
    /// What the application is to be run on.
    pub assignments: Option<PathBuf>,
}

/// Asks the TSM for an installation; the application is uploaded unless the TSM has it.
///
/// # Errors
///
/// [`AskError`] names what failed, or why the TSM refuses.
pub async fn request_install(
    home: &Home,
    tsm: &TsmClient<'_>,
    order: &InstallationOrder,
    now: Timestamp,
) -> Result<RequestView, AskError> {
    let party = home.party();
    let sender = party.sig.certificate().fingerprint();
    let grants = GrantsFile::read(&order.grants)?.grants(sender, now)?;
    let application = match &order.application {
        Some(path) => {
            let bytes = files::read(path, MAX_APPLICATION)?;
            let name = match &order.application_name {
                Some(name) => name.clone(),
                None => name_of(path)?,
            };
            let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let assignments = order
                .assignments
                .as_deref()
                .map(AssignmentsFile::read)
                .transpose()?;
            let assignments = assignments.map(|file| file.assignments(&[], now));
            Some(ApplicationEntry {
                supplier: sender,
                name,
                digest: tsm.upload(&bytes).await?,
                size,
                assignments: assignments.unwrap_or_default(),
            })
        }
        None => None,
    };
    let request = InstallationRequest {
        id: MessageId::new(*random::bytes()?),
        sender,
        gateway: order.guid,
        time: now,
        certificates: Box::new(Triple {
            sig: party.sig.certificate().clone(),
            enc: party.enc.certificate().clone(),
            tls: party.tls.certificate().clone(),
        }),
        grants,
        application,
    };
    Ok(tsm.request(&request).await?)
}

/// Hands every request out, oldest first, and takes over the certificates of gateways that serve and were not known.
///
/// # Errors
///
/// [`AskError`] names what failed; what `show` fails with.
pub async fn requests<E: From<AskError>>(
    home: &Home,
    tsm: &TsmClient<'_>,
    clock: fn() -> Timestamp,
    mut show: impl FnMut(&RequestView) -> Result<(), E>,
) -> Result<(), E> {
    let mut behind = 0;
    for _ in 0..MAX_PAGES {
        let page = tsm.requests(behind).await.map_err(AskError::Tsm)?;
        let Some(last) = page.requests.last() else {
            break;
        };
        behind = last.number;
        for request in &page.requests {
            if request.state == "installed" {
                know(home, tsm, request, clock()).await?;
            }
            show(request)?;
        }
    }
    Ok(())
}

/// Takes over the certificates of a gateway that is not known yet, or whose certificates have ended.
async fn know(
    home: &Home,
    tsm: &TsmClient<'_>,
    request: &RequestView,
    now: Timestamp,
) -> Result<(), AskError> {
    let guid = request.gateway;
    if home.gateway(guid, now).is_ok() {
        return Ok(());
    }
    let view = tsm.state(request.id).await?;
    match &view.certificates {
        Some(certificates) => home
            .know_gateway(guid, certificates, &view.issuing, now)
            .map_err(|error| AskError::Know {
                guid,
                source: Box::new(error),
            }),
        None => Ok(()),
    }
}

fn name_of(path: &Path) -> Result<ApplicationName, AskError> {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    stem.unwrap_or_default().parse().map_err(|source| AskError::Name {
        path: path.to_owned(),
        source,
    })
}
