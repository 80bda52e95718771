//! Installing: a supplier's grants become a bundle, and the bundle gets in force on a gateway.

use std::path::{Path, PathBuf};

use counterparty::archive::Archive;
use counterparty::assignments::{AssignmentsError, AssignmentsFile};
use counterparty::conversation::Conversation;
use counterparty::exchange::{Exchange, ExchangeError, GatewayAddress, Identity};
use counterparty::files::{self, FileError};
use counterparty::gateways::{CardFolder, PublishError};
use counterparty::grants::{GrantsError, GrantsFile};
use messages::certificate::{CertificateError, Role, Triple, VerifiedParty};
use messages::content::{ApplicationEntry, MAX_APPLICATION, WordError, application_digest};
use model::{CardId, GatewayState, KeySlot, Timestamp};

use crate::applications::{Applications, ApplicationsError};
use crate::authority::{Authority, AuthorityError, read_certificate};
use crate::books::{Act, Books, BooksError};
use crate::bundles::{Bundles, BundlesError, Change, Grants, StoredBundle, Wanted};
use crate::personalize::{CardCertificatesError, attestation_of, card_of};
use crate::tsm::difference::Difference;
use crate::tsm::policy::{Policy, PolicyError};
use crate::tsm::{VisitError, ask_report, send_application, visit};

/// The reason why nothing was installed, or the gateway does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    /// The gateway's card has ended its life.
    #[error("the gateway's card was terminated; replace gateway and card together")]
    Terminated,
    /// The gateway's card is not known.
    #[error("the gateway's card is not known")]
    Card(#[from] CardCertificatesError),
    /// A certificate of the supplier cannot be read.
    #[error("the supplier has no certificates; `trust-center certify` makes them")]
    SupplierFiles(#[source] AuthorityError),
    /// The supplier's certificates do not hold.
    #[error("the supplier's certificates do not hold; certify it anew")]
    Supplier(#[source] CertificateError),
    /// The grants file is refused.
    #[error("the grants are refused")]
    Grants(#[from] GrantsError),
    /// The assignments file is refused.
    #[error("the assignments are refused")]
    Assignments(#[from] AssignmentsError),
    /// The application's file cannot be read.
    #[error("the application cannot be read; one has {MAX_APPLICATION} bytes at most")]
    ApplicationFile(#[from] FileError),
    /// The application has no proper name.
    #[error("the application {} needs a file name that can be shown; give it another one", path.display())]
    ApplicationName {
        /// The application's file.
        path: PathBuf,
        /// Why its own name is none.
        #[source]
        source: WordError,
    },
    /// The application cannot be kept or signed.
    #[error("the application cannot be installed")]
    Application(#[from] ApplicationsError),
    /// The policy cannot be followed.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The bundle cannot be made or kept.
    #[error("there is no bundle to install")]
    Bundles(#[from] BundlesError),
    /// The TSM's keys cannot be used.
    #[error("the TSM's keys cannot be used")]
    Tsm(#[source] AuthorityError),
    /// The supplier cannot be told the gateway's certificates.
    #[error("the gateway's certificates cannot be put into the supplier's folder")]
    Publish(#[source] PublishError),
    /// The way to the gateway cannot be prepared.
    #[error("the way to the gateway cannot be prepared")]
    Exchange(#[from] ExchangeError),
    /// The books cannot be kept.
    #[error("nothing is installed, since the books cannot be kept")]
    Books(#[from] BooksError),
    /// The visit failed.
    #[error("the bundle was not put in force")]
    Visit(#[from] VisitError),
    /// The bundle is in force, but the gateway does not serve suppliers.
    #[error("bundle {version} is in force, but the gateway is {state} and serves nobody: {} {}", state.cause(), state.remedy())]
    NotOperational {
        /// The bundle's version.
        version: u64,
        /// The state that the gateway reports.
        state: GatewayState,
    },
}

/// What to install, and where.
#[derive(Debug)]
pub(crate) struct Order {
    /// The GUID of the gateway's card.
    pub(crate) guid: CardId,
    /// Where it listens.
    pub(crate) gateway: GatewayAddress,
    /// The supplier's folder.
    pub(crate) supplier: PathBuf,
    /// The grants file.
    pub(crate) grants: PathBuf,
    /// An application, signed by its author.
    pub(crate) application: Option<PathBuf>,
    /// What it is run on.
    pub(crate) assignments: Option<PathBuf>,
}

/// What is in force.
#[derive(Debug)]
pub(crate) struct Installed {
    /// The bundle's version.
    pub(crate) version: u64,
    /// The state of the gateway.
    pub(crate) state: GatewayState,
}

/// Installs the order on its gateway and keeps the messages in the archive, if there is one.
///
/// The clock is read again for every message, since an installation takes as long as the card does.
pub(crate) async fn install(
    authority: &Authority,
    books: &Books,
    order: &Order,
    archive: Option<&mut Archive>,
    clock: fn() -> Timestamp,
) -> Result<Installed, InstallError> {
    let now = clock();
    let guid = order.guid;
    let card = card_of(authority, books, guid, now)?;
    let attestation = attestation_of(authority, books, guid, now)?;
    if books.is_terminated(guid)? {
        return Err(InstallError::Terminated);
    }
    let tsm = authority.tsm().map_err(InstallError::Tsm)?;
    let bundles = Bundles::open(authority.home(), guid)?;
    let asked = Asked::read(authority, order, &bundles, now)?;
    let exchange = Exchange::new(tsm, guid, order.gateway.clone())?;
    let wanted = asked.wanted(tsm);
    let mut conversation = Conversation::new(tsm, &card, guid, &exchange, clock).kept_in(archive);
    let published = CardFolder::of_gateway(&order.supplier, guid);
    let stored = match made_good(&bundles, &mut conversation, books).await? {
        Some(state) => match bundles.prepare_change(&wanted, now)? {
            Some(stored) => stored,
            None => {
                published.write(&card).map_err(InstallError::Publish)?;
                let version = bundles.version_in_force()?;
                return finished(books, order, (version, state), clock());
            }
        },
        None => bundles.prepare(&wanted, now)?,
    };
    let (version, digest) = (stored.bundle.bundle_version, stored.digest);
    books.record(
        now,
        &Act::InstallBegun {
            guid,
            version,
            digest,
        },
    )?;
    published.write(&card).map_err(InstallError::Publish)?;
    send_applications(authority, &mut conversation, &stored).await?;
    let state = visit(&mut conversation, &attestation, &stored).await?;
    bundles.installed(&stored, state, books, clock())?;
    finished(books, order, (version, state), clock())
}

/// Sends the applications of a bundle that the gateway does not have.
async fn send_applications(
    authority: &Authority,
    conversation: &mut Conversation<'_>,
    stored: &StoredBundle,
) -> Result<(), InstallError> {
    if stored.bundle.applications.is_empty() {
        return Ok(());
    }
    let report = ask_report(conversation).await?;
    let known = report.unit.map(|unit| unit.applications).unwrap_or_default();
    let store = Applications::of_home(authority.home());
    for entry in &stored.bundle.applications {
        if !known.contains(&entry.digest) {
            send_application(conversation, entry.digest, &store.read(entry.digest)?).await?;
        }
    }
    Ok(())
}

/// Finds out whether the bundle that was sent last is in force though its report was lost, and returns the state of the gateway
/// then. One that cannot say so is visited as if it were not.
async fn made_good(
    bundles: &Bundles,
    conversation: &mut Conversation<'_>,
    books: &Books,
) -> Result<Option<GatewayState>, InstallError> {
    if bundles.pending()?.is_none() {
        return Ok(None);
    }
    let Ok(report) = ask_report(conversation).await else {
        return Ok(None);
    };
    bundles.reconcile(&report, books, conversation.now())?;
    let is_made_good = bundles.pending()?.is_none();
    Ok(is_made_good.then_some(report.state))
}

/// Notes where the gateway is, and tells a bundle in force from one that serves.
fn finished(
    books: &Books,
    order: &Order,
    (version, state): (u64, GatewayState),
    now: Timestamp,
) -> Result<Installed, InstallError> {
    books.register(now, order.guid, Some(&order.gateway.to_string()))?;
    if state.serves_suppliers() {
        Ok(Installed { version, state })
    } else {
        Err(InstallError::NotOperational { version, state })
    }
}

/// Returns what the order would change on its gateway. Nobody is asked, and nothing is written.
pub(crate) fn preview(
    authority: &Authority,
    books: &Books,
    order: &Order,
    now: Timestamp,
) -> Result<Difference, InstallError> {
    card_of(authority, books, order.guid, now)?;
    let bundles = Bundles::open(authority.home(), order.guid)?;
    let asked = Asked::read(authority, order, &bundles, now)?;
    let wanted = asked.wanted(authority.tsm().map_err(InstallError::Tsm)?);
    let (before, after) = bundles.preview(&wanted, now)?;
    Ok(Difference::between(before.as_ref(), &after))
}

/// What an order asks for, read from the files that it names.
struct Asked {
    supplier: VerifiedParty,
    grants: GrantsFile,
    policy: Policy,
    application: Option<ApplicationEntry>,
}

impl Asked {
    fn read(
        authority: &Authority,
        order: &Order,
        bundles: &Bundles,
        now: Timestamp,
    ) -> Result<Self, InstallError> {
        let supplier = read_supplier(authority, &order.supplier, now)?;
        let application = order.application.as_deref();
        let application =
            application.map(|file| read_application(authority, (order, file), (&supplier, bundles), now));
        Ok(Self {
            application: application.transpose()?,
            supplier,
            grants: GrantsFile::read(&order.grants)?,
            policy: Policy::of_home(authority.home())?,
        })
    }

    fn wanted<'a>(&'a self, tsm: Identity<'a>) -> Wanted<'a> {
        let change = Change {
            supplier: &self.supplier,
            grants: Grants::File(&self.grants, &self.policy),
            applications: self.application.as_ref().map(std::slice::from_ref),
        };
        Wanted {
            change: Some(change),
            anchor: tsm.anchor,
            reply_to: tsm.party.enc.certificate(),
            policy: &self.policy,
        }
    }
}

/// Reads an application, keeps it, and has the TSM sign it.
fn read_application(
    authority: &Authority,
    (order, file): (&Order, &Path),
    (supplier, bundles): (&VerifiedParty, &Bundles),
    now: Timestamp,
) -> Result<ApplicationEntry, InstallError> {
    let bytes = files::read(file, MAX_APPLICATION)?;
    let digest = application_digest(&bytes);
    let own = supplier.sig.certificate().fingerprint();
    let assignments = match &order.assignments {
        Some(path) => {
            let before = bundles.assignments_in_force(own)?;
            AssignmentsFile::read(path)?.assignments(&before, now)
        }
        None => Vec::new(),
    };
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = stem.unwrap_or_default().parse();
    let entry = ApplicationEntry {
        supplier: own,
        name: name.map_err(|source| InstallError::ApplicationName {
            path: file.to_owned(),
            source,
        })?,
        digest,
        size: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        assignments,
    };
    let store = Applications::of_home(authority.home());
    store.keep(digest, &bytes)?;
    let tsm = authority.tsm().map_err(InstallError::Tsm)?;
    Ok(store.countersigned(&entry, tsm, tsm.anchor, now)?)
}

fn read_supplier(
    authority: &Authority,
    folder: &Path,
    now: Timestamp,
) -> Result<VerifiedParty, InstallError> {
    let read = |slot: KeySlot| {
        read_certificate(&folder.join(format!("{slot}.pem"))).map_err(InstallError::SupplierFiles)
    };
    let certificates = Triple {
        sig: read(KeySlot::Sig)?,
        enc: read(KeySlot::Enc)?,
        tls: read(KeySlot::Tls)?,
    };
    authority
        .anchor()
        .verify_party(&certificates, now, Role::Supplier)
        .map_err(InstallError::Supplier)
}
